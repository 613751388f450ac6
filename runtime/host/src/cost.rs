//! What an export costs, in WebAssembly instructions: the same number on every machine and in every run.
//!
//! The engine that serves calls does not count instructions, because counting slows every block of the guest down. So a
//! component is compiled once more here, by an engine of its own that does nothing else.

use std::time::{Duration, Instant};

use serde_json::Value;
use wasmtime::component::{Component, Instance, InstancePre, Linker, ResourceAny, Val};
use wasmtime::{Config, OptLevel, ResourceLimiter, Store, Trap};

use crate::engine::one_line;
use crate::error::{GuestFault, HostFault, InvokeError, LoadError};
use crate::inert::{self, HasInert, Inert};
use crate::invoke::{self, Caller, Function, InvokeJsonError, Script};
use crate::limits::{Class, Limits};
use crate::provider::Provider;

/// Instructions of one measured invocation: far beyond every budget of processor time, so that what is too dear is still
/// measured, and what does not end is ended.
const INSTRUCTIONS_MAX: u64 = 20_000_000_000;

/// As in the engine that serves calls.
const STACK_BYTES: usize = 512 * 1024;

/// A component, compiled to be measured.
pub struct Counter {
    engine: wasmtime::Engine,
    component: Component,
    pre: InstancePre<Measured>,
}

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counter").finish_non_exhaustive()
    }
}

/// What one call of an export cost, in a fresh instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    /// WebAssembly instructions of the call, without those of the instantiation.
    pub instructions: u64,
    /// Linear memory after the call, over all memories of the instance, in bytes.
    pub memory_bytes: usize,
    /// Bytes of the result, as JSON.
    pub output_bytes: usize,
}

impl Counter {
    /// Compiles a component that [`crate::Provider::load`] has accepted.
    ///
    /// # Errors
    /// When it is no component after all.
    pub fn new(bytes: &[u8]) -> Result<Self, LoadError> {
        let fault = |error: wasmtime::Error| LoadError::Failed(HostFault::Engine(one_line(&error)).into());
        let mut config = Config::new();
        config
            .consume_fuel(true)
            .concurrency_support(false)
            .cranelift_opt_level(OptLevel::None)
            .cranelift_nan_canonicalization(true)
            .wasm_component_model(true)
            .wasm_multi_memory(true)
            .max_wasm_stack(STACK_BYTES);
        let engine = wasmtime::Engine::new(&config).map_err(fault)?;
        let mut linker = Linker::new(&engine);
        inert::add_to_linker(&mut linker).map_err(fault)?;
        let component = Component::from_binary(&engine, bytes).map_err(|error| LoadError::Invalid(one_line(&error)))?;
        let pre = linker
            .instantiate_pre(&component)
            .map_err(|error| LoadError::Incompatible {
                interface: "imports".to_owned(),
                detail: one_line(&error),
            })?;
        Ok(Self { engine, component, pre })
    }

    /// Calls an export once, as [`crate::Provider::invoke_json`] does, and counts. Of a method of a resource only its own
    /// call counts, not what came before it.
    ///
    /// # Errors
    /// When the export cannot be run on this input.
    pub fn measure(&self, export: &str, input: &Value) -> Result<Cost, InvokeJsonError> {
        let script = Script::prepare(&self.engine, &self.component, export, input)?;
        let mut running = self.instantiate(script.name)?;
        let output = script.run(&mut running)?;
        Ok(Cost {
            instructions: if script.is_method() {
                running.instructions.last().copied().unwrap_or_default()
            } else {
                running.instructions.iter().sum()
            },
            memory_bytes: running.store.data().memory_bytes,
            output_bytes: output.to_string().len(),
        })
    }

    fn instantiate(&self, export: &'static str) -> Result<Counting, InvokeError> {
        let mut store = Store::new(
            &self.engine,
            Measured {
                inert: Inert::new(0, 0),
                memory_bytes: 0,
            },
        );
        store.limiter(|measured| measured);
        let fault = |error: wasmtime::Error| InvokeError::from(HostFault::Engine(one_line(&error)));
        store.set_fuel(INSTRUCTIONS_MAX).map_err(fault)?;
        let instance = self.pre.instantiate(&mut store).map_err(fault)?;
        Ok(Counting {
            store,
            instance,
            export,
            instructions: Vec::new(),
        })
    }
}

/// What a measured store carries.
struct Measured {
    inert: Inert,
    memory_bytes: usize,
}

impl HasInert for Measured {
    fn inert(&mut self) -> &mut Inert {
        &mut self.inert
    }
}

impl ResourceLimiter for Measured {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.memory_bytes = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        Ok(self.memory_bytes <= Limits::control(Class::Interpreted).memory_bytes_max)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= Limits::control(Class::Interpreted).table_elements_max)
    }
}

/// An instance whose instructions are counted, call by call.
struct Counting {
    store: Store<Measured>,
    instance: Instance,
    export: &'static str,
    instructions: Vec<u64>,
}

impl Counting {
    fn counted<R>(
        &mut self,
        call: impl FnOnce(&mut Store<Measured>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, InvokeError> {
        let export = self.export;
        let fault = |error: wasmtime::Error| InvokeError::from(HostFault::Engine(one_line(&error)));
        self.store.set_fuel(INSTRUCTIONS_MAX).map_err(fault)?;
        let result = call(&mut self.store, &self.instance);
        let left = self.store.get_fuel().map_err(fault)?;
        self.instructions.push(INSTRUCTIONS_MAX - left);
        result.map_err(|error| match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => GuestFault::Deadline {
                export,
                budget_ms: Limits::CONTROL.cpu_ms_max,
            }
            .into(),
            _ => GuestFault::Trap {
                export,
                detail: one_line(&error),
            }
            .into(),
        })
    }
}

impl Caller for Counting {
    fn call(&mut self, function: &Function, arguments: &[Val]) -> Result<Option<Val>, InvokeError> {
        self.counted(|store, instance| invoke::call(store, instance, function, arguments))
    }

    fn give_back(&mut self, resource: ResourceAny) -> Result<(), InvokeError> {
        // Not part of what was asked for.
        resource.resource_drop(&mut self.store).map_err(|error| {
            GuestFault::Trap {
                export: self.export,
                detail: one_line(&error),
            }
            .into()
        })
    }
}

/// How long an export takes, call by call: a method of a leg on a leg that lives, as on the media path, anything else in a
/// fresh instance each time, its making included, as everywhere else. Values are written into the guest one by one here,
/// which the gateway does faster: about a microsecond for a frame.
///
/// # Errors
/// When the export cannot be run on this input.
pub fn time(provider: &Provider, export: &str, input: &Value, calls: usize) -> Result<Vec<Duration>, InvokeJsonError> {
    let script = Script::prepare(
        provider.engine().wasmtime(provider.class()),
        provider.component(),
        export,
        input,
    )?;
    if script.is_method() {
        let mut invocation = invoke::open(provider)?;
        return script.time_last(&mut invoke::running(&mut invocation, &script), calls);
    }
    (0..calls)
        .map(|_| {
            let start = Instant::now();
            let mut invocation = invoke::open(provider)?;
            script.run(&mut invoke::running(&mut invocation, &script))?;
            Ok(start.elapsed())
        })
        .collect()
}
