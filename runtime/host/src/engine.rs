//! The engine: one compiler and one pool of instance slots for all providers, and the ticker that makes deadlines hold.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Store};

use crate::cache::CompiledCache;
use crate::error::{HostFault, LoadError};
use crate::inert::{self, Inert};
use crate::limits::{Limits, State};

/// How often a running guest's clock is read. A deadline is met within this plus what the machine's scheduler costs.
const TICK: Duration = Duration::from_millis(2);
/// Guest stack. Rust guests keep their own stack in linear memory, so this bounds only the engine's frames.
const STACK_BYTES: usize = 512 * 1024;
/// Live resource handles of one instance. A media leg is one, the streams of standard output a few.
const HANDLES_MAX: usize = 1_024;
/// The largest component file.
pub const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What to start the engine with.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Live instances at once: one for each call's media, and some for control.
    pub instances_max: u32,
    /// Where compiled components are kept; none compiles at every start.
    pub cache: Option<CompiledCache>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            instances_max: 1_000,
            cache: None,
        }
    }
}

/// The shared engine. Cloning is cheap.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    engine: wasmtime::Engine,
    linker: Linker<State>,
    cache: Option<CompiledCache>,
    compatibility: u64,
    _ticker: Ticker,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("cache", &self.inner.cache)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine and its ticker.
    ///
    /// # Errors
    /// When the machine cannot reserve the address space, or lacks a processor feature.
    pub fn new(options: EngineOptions) -> Result<Self, HostFault> {
        let config = config(options.instances_max);
        let engine = wasmtime::Engine::new(&config).map_err(|error| HostFault::Engine(format!("{error:#}")))?;
        let mut linker = Linker::new(&engine);
        inert::add_to_linker(&mut linker).map_err(|error| HostFault::Engine(format!("{error:#}")))?;
        let compatibility = {
            use std::hash::{DefaultHasher, Hash as _, Hasher as _};
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        let ticker = Ticker::start(&engine)
            .map_err(|error| HostFault::Engine(format!("cannot start the ticker thread: {error}")))?;
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                linker,
                cache: options.cache,
                compatibility,
                _ticker: ticker,
            }),
        })
    }

    /// Compiles a component, or takes it from the cache.
    pub(crate) fn compile(&self, bytes: &[u8], digest: &str) -> Result<Component, LoadError> {
        if bytes.len() > COMPONENT_BYTES_MAX {
            return Err(LoadError::TooLarge {
                bytes: bytes.len(),
                max: COMPONENT_BYTES_MAX,
            });
        }
        match bytes {
            [0, b'a', b's', b'm', 1, _, 0, _, ..] => return Err(LoadError::CoreModule),
            [0, b'a', b's', b'm', _, _, _, _, ..] => {}
            [0, b'a', b's', b'm', ..] => {
                return Err(LoadError::Invalid("it ends within its first eight bytes".to_owned()));
            }
            _ => return Err(LoadError::NotWasm),
        }
        let inner = &self.inner;
        if let Some(cache) = &inner.cache
            && let Some(code) = cache.load(digest, inner.compatibility)
        {
            // SAFETY: `deserialize` runs what it is given. The bytes carry an authentication code made by this installation
            // over exactly this component and this engine, verified on this very copy.
            #[expect(
                unsafe_code,
                reason = "the one place where stored machine code is trusted, after its authentication"
            )]
            match unsafe { Component::deserialize(&inner.engine, &code) } {
                Ok(component) => return Ok(component),
                Err(error) => {
                    tracing::warn!(%digest, error = format!("{error:#}"), "compiled component does not fit; compiling it again")
                }
            }
        }
        let component =
            Component::from_binary(&inner.engine, bytes).map_err(|error| LoadError::Invalid(one_line(&error)))?;
        if let Some(cache) = &inner.cache {
            match component.serialize() {
                Ok(code) => cache.store(digest, inner.compatibility, &code),
                Err(error) => {
                    tracing::warn!(%digest, error = format!("{error:#}"), "cannot serialise the compiled component")
                }
            }
        }
        Ok(component)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.engine
    }

    pub(crate) fn linker(&self) -> &Linker<State> {
        &self.inner.linker
    }

    /// A store with its limits in force.
    pub(crate) fn store(&self, limits: Limits, now_ms: u64, seed: u64) -> Store<State> {
        let mut store = Store::new(&self.inner.engine, State::new(Inert::new(now_ms, seed), limits));
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

fn config(instances_max: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    // A component is usually two core instances and one memory; interpreters have more, within the same totals.
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max * 4)
        .total_memories(instances_max * 2)
        .total_tables(instances_max * 4)
        .max_component_instance_size(1024 * 1024)
        .max_core_instance_size(1024 * 1024)
        .max_memories_per_component(8)
        .max_tables_per_component(16)
        .max_memories_per_module(1)
        .table_elements(Limits::CONTROL.table_elements_max)
        .max_memory_size(Limits::CONTROL.memory_bytes_max)
        // Nothing is kept from one instance for the next. It would have to be cleared, which makes the first pages resident:
        // a guest's own stack, hardly any of which it ever touches. (The kernel could tell which pages were touched, but that
        // way overlooks those that were swapped out, and with them somebody else's bytes.)
        .linear_memory_keep_resident(0)
        .table_keep_resident(4 * 1024);
    let mut config = Config::new();
    config
        .strategy(wasmtime::Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
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
        .wasm_multi_memory(false)
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
    fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let weak = engine.weak();
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("epoch-ticker".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                    match weak.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
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
