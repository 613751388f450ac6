//! The engine: a pool of small instance slots for compact components, room for a few large ones, and the ticker that makes
//! deadlines hold.
//!
//! There are two engines of wasmtime in it, one for each [`Class`]. They compile alike, so that a component's machine code
//! fits both, and differ in where instances live: an interpreter's instance would need a slot that is thirty times larger
//! than everybody else's, so it gets its memory when it is made.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Store};

use crate::cache::CompiledCache;
use crate::compile::IsolatedCompiler;
use crate::error::{HostFault, LoadError};
use crate::inert::{self, Inert};
use crate::limits::{Class, Limits, State, TICK};
use crate::provider::Provider;
use crate::structure::{self, Structure};

/// Guest stack. Rust guests keep their own stack in linear memory, so this bounds only the engine's frames.
const STACK_BYTES: usize = 512 * 1024;
/// Live resource handles of one instance. A media leg is one, the streams of standard output a few.
const HANDLES_MAX: usize = 1_024;

/// What to start the engine with.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Live instances of compact components at once: one for each call's media, and some for control.
    pub instances_max: u32,
    /// Live instances of interpreted components at once. Each may use as much memory as [`Limits::control`] says for its
    /// class, so this bounds the memory of all of them.
    pub interpreted_instances_max: u32,
    /// Where compiled components are kept; none compiles at every start.
    pub cache: Option<CompiledCache>,
    /// Compiles strangers' components in a process of its own; none compiles in this one.
    pub compiler: Option<IsolatedCompiler>,
    /// Machine code that whoever started this process has compiled for it.
    pub precompiled: Option<Precompiled>,
}

/// A component's machine code, to be handed to another process of this program. It is trusted there as it is here.
#[derive(Clone)]
pub struct Precompiled {
    /// Of the component.
    pub digest: String,
    /// For this version of the program, on this machine.
    pub code: Vec<u8>,
}

impl Precompiled {
    /// The code of a component that is loaded.
    ///
    /// # Errors
    /// When the engine cannot write it.
    pub fn of(provider: &Provider) -> Result<Self, HostFault> {
        let code = provider
            .component()
            .serialize()
            .map_err(|error| HostFault::Engine(one_line(&error)))?;
        Ok(Self {
            digest: provider.digest().to_owned(),
            code,
        })
    }
}

impl std::fmt::Debug for Precompiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Precompiled")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            instances_max: 1_000,
            interpreted_instances_max: 64,
            cache: None,
            compiler: None,
            precompiled: None,
        }
    }
}

/// The shared engine. Cloning is cheap.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    compact: Half,
    interpreted: Half,
    interpreted_free: Arc<AtomicU32>,
    cache: Option<CompiledCache>,
    compiler: Option<IsolatedCompiler>,
    precompiled: Option<Precompiled>,
    compatibility: u64,
    _ticker: Ticker,
}

/// What there is once for each class.
struct Half {
    engine: wasmtime::Engine,
    linker: Linker<State>,
}

impl Half {
    fn new(config: &Config) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(config)?;
        let mut linker = Linker::new(&engine);
        inert::add_to_linker(&mut linker)?;
        Ok(Self { engine, linker })
    }
}

/// A component that is ready to be linked.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    pub(crate) structure: Structure,
}

/// The right to one live instance, given back when it is dropped. The pool counts its instances by itself.
#[derive(Debug)]
pub(crate) struct Slot {
    free: Option<Arc<AtomicU32>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(free) = &self.free {
            free.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("cache", &self.inner.cache)
            .field("compiler", &self.inner.compiler)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine and its ticker.
    ///
    /// # Errors
    /// When the machine cannot reserve the address space, or lacks a processor feature.
    pub fn new(options: EngineOptions) -> Result<Self, HostFault> {
        let half = |config: &Config| Half::new(config).map_err(|error| HostFault::Engine(format!("{error:#}")));
        let compact = half(config().allocation_strategy(pool(options.instances_max)))?;
        let interpreted = half(config().allocation_strategy(InstanceAllocationStrategy::OnDemand))?;
        let compatibility = compatibility(&compact.engine);
        if compatibility != self::compatibility(&interpreted.engine) {
            return Err(HostFault::Engine("the two engines do not compile alike".to_owned()));
        }
        let ticker = Ticker::start([&compact.engine, &interpreted.engine])
            .map_err(|error| HostFault::Engine(format!("cannot start the ticker thread: {error}")))?;
        Ok(Self {
            inner: Arc::new(Inner {
                compact,
                interpreted,
                interpreted_free: Arc::new(AtomicU32::new(options.interpreted_instances_max)),
                cache: options.cache,
                compiler: options.compiler,
                precompiled: options.precompiled,
                compatibility,
                _ticker: ticker,
            }),
        })
    }

    /// Examines a component and compiles it, or takes it from the cache.
    pub(crate) fn compile(&self, bytes: &[u8], digest: &str) -> Result<Compiled, LoadError> {
        let structure = Structure::read(bytes)?;
        let engine = self.wasmtime(structure.class);
        let component = match self.cached(engine, digest) {
            Some(component) => component,
            None => self.compile_anew(engine, bytes, digest)?,
        };
        Ok(Compiled { component, structure })
    }

    /// Removes what the cache has of a component that will not be used.
    pub fn forget(&self, digest: &str) {
        if let Some(cache) = &self.inner.cache {
            cache.remove(digest);
        }
    }

    fn cached(&self, engine: &wasmtime::Engine, digest: &str) -> Option<Component> {
        let inner = &self.inner;
        let handed = inner.precompiled.as_ref().filter(|handed| handed.digest == digest);
        let code = match handed {
            Some(handed) => handed.code.clone(),
            None => inner.cache.as_ref()?.load(digest, inner.compatibility)?,
        };
        // SAFETY: `deserialize` runs what it is given. The bytes are from the process that started this one, or they carry an
        // authentication code made by this installation over exactly this component and this engine, verified on this very
        // copy.
        #[expect(
            unsafe_code,
            reason = "stored machine code is trusted here, after its authentication"
        )]
        match unsafe { Component::deserialize(engine, &code) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(%digest, error = format!("{error:#}"), "compiled component does not fit; compiling it again");
                None
            }
        }
    }

    fn compile_anew(&self, engine: &wasmtime::Engine, bytes: &[u8], digest: &str) -> Result<Component, LoadError> {
        let invalid = |error: wasmtime::Error| LoadError::Invalid(one_line(&error));
        let Some(compiler) = &self.inner.compiler else {
            let component = Component::from_binary(engine, bytes).map_err(invalid)?;
            if let Some(cache) = &self.inner.cache {
                match component.serialize() {
                    Ok(code) => cache.store(digest, self.inner.compatibility, &code),
                    Err(error) => {
                        tracing::warn!(%digest, error = format!("{error:#}"), "cannot serialise the compiled component")
                    }
                }
            }
            return Ok(component);
        };
        let code = compiler.compile(bytes)?;
        // SAFETY: `deserialize` runs what it is given. The bytes were written by a process of this very program, which was
        // started for this component alone and whose only inputs were its bytes: as trustworthy as compiling them here.
        #[expect(
            unsafe_code,
            reason = "the isolated compiler's machine code is trusted here, as this process's own would be"
        )]
        let component = unsafe { Component::deserialize(engine, &code) }.map_err(invalid)?;
        if let Some(cache) = &self.inner.cache {
            cache.store(digest, self.inner.compatibility, &code);
        }
        Ok(component)
    }

    fn half(&self, class: Class) -> &Half {
        match class {
            Class::Compact => &self.inner.compact,
            Class::Interpreted => &self.inner.interpreted,
        }
    }

    /// wasmtime's engine for a class.
    pub(crate) fn wasmtime(&self, class: Class) -> &wasmtime::Engine {
        &self.half(class).engine
    }

    /// What components of a class are linked with.
    pub(crate) fn linker(&self, class: Class) -> &Linker<State> {
        &self.half(class).linker
    }

    /// The right to one more live instance. It must outlive the store that it is for.
    pub(crate) fn slot(&self, class: Class) -> Result<Slot, HostFault> {
        if class == Class::Compact {
            return Ok(Slot { free: None });
        }
        let free = &self.inner.interpreted_free;
        free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1))
            .map(|_| Slot {
                free: Some(free.clone()),
            })
            .map_err(|_| HostFault::AtCapacity("all instances of interpreted components are in use".to_owned()))
    }

    /// A store with its limits in force.
    pub(crate) fn store(&self, class: Class, limits: Limits, now_ms: u64, seed: u64) -> Store<State> {
        let mut store = Store::new(self.wasmtime(class), State::new(Inert::new(now_ms, seed), limits));
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits.output_bytes_max);
        store.set_max_component_handles(HANDLES_MAX);
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().tick()));
        store
    }
}

/// SHA-256 in hexadecimal: how a component is known.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// An error of the engine as one line of bounded length.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    // The cause first: what the engine puts around it is a backtrace, which may be longer than the line.
    let mut chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    chain.rotate_right(1);
    let text = chain.join("\n");
    let mut line: String = text
        .split('\n')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" | ");
    if line.len() > 600 {
        let end = (0..=600).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

/// An engine that only compiles: it has no instances, so it reserves no address space for them.
pub(crate) fn compiler() -> wasmtime::Result<wasmtime::Engine> {
    wasmtime::Engine::new(config().allocation_strategy(InstanceAllocationStrategy::OnDemand))
}

fn compatibility(engine: &wasmtime::Engine) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Slots for compact components, each with its share of everything (`structure` tells who fits one).
fn pool(instances_max: u32) -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max * structure::SLOT_CORE_INSTANCES)
        .total_memories(instances_max * structure::SLOT_MEMORIES)
        .total_tables(instances_max * structure::SLOT_TABLES)
        .max_core_instances_per_component(structure::SLOT_CORE_INSTANCES)
        .max_memories_per_component(structure::SLOT_MEMORIES)
        .max_tables_per_component(structure::SLOT_TABLES)
        .max_component_instance_size(1024 * 1024)
        .max_core_instance_size(1024 * 1024)
        .max_memories_per_module(1)
        .table_elements(Limits::CONTROL.table_elements_max)
        .max_memory_size(Limits::CONTROL.memory_bytes_max)
        // Nothing is kept from one instance for the next. It would have to be cleared, which makes the first pages resident:
        // a guest's own stack, hardly any of which it ever touches. (The kernel could tell which pages were touched, but that
        // way overlooks those that were swapped out, and with them somebody else's bytes.)
        .linear_memory_keep_resident(0)
        .table_keep_resident(4 * 1024);
    InstanceAllocationStrategy::Pooling(pool)
}

/// What both engines and the isolated compiler have in common: everything but where instances live.
fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(wasmtime::Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .memory_init_cow(true)
        .epoch_interruption(true)
        .consume_fuel(false)
        .concurrency_support(false)
        .max_wasm_stack(STACK_BYTES)
        .wasm_backtrace_max_frames(NonZeroUsize::new(16))
        .wasm_component_model(true)
        .wasm_simd(true)
        .wasm_tail_call(true)
        .wasm_extended_const(true)
        // For the engine's own code between nested components; a guest's module with two memories is refused before.
        .wasm_multi_memory(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .wasm_shared_everything_threads(false)
        .wasm_stack_switching(false);
    config
}

/// The thread that moves the epoch on. An operating-system thread of its own, because an executor that is busy with a
/// spinning guest would never come round to it.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engines: [&wasmtime::Engine; 2]) -> std::io::Result<Self> {
        let engines = engines.map(wasmtime::Engine::weak);
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("epoch-ticker".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                    for engine in engines.iter().filter_map(wasmtime::EngineWeak::upgrade) {
                        engine.increment_epoch();
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the epoch ticker panicked");
        }
    }
}
