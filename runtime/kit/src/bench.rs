//! What each export costs, in instructions and in time.

use std::time::Duration;

use serde::Serialize;
use strowger_host::cost::{self, Counter};
use strowger_host::{InvokeJsonError, LoadError, Provider};
use thiserror::Error;

use crate::suite::{ConformanceOptions, Input, inputs_of};

/// The cost of one export, on the input on which it is dearest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// `interface.function`.
    pub export: String,
    /// Which input: `made up`, or the name of a recorded case.
    pub input: String,
    /// WebAssembly instructions of one call: the same on every machine.
    pub instructions: u64,
    /// Half of the calls took at most this long, in nanoseconds. A media frame on a live leg; anything else with the making of
    /// its instance.
    pub p50_ns: u64,
    /// 99 of 100 calls took at most this long, in nanoseconds.
    pub p99_ns: u64,
    /// Bytes of the result, as JSON.
    pub output_bytes: usize,
    /// Linear memory of the instance after the call, in bytes.
    pub memory_bytes: usize,
}

/// Why a component cannot be measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// It has no configuration to be called with.
    #[error("{0}")]
    NoConfiguration(String),
    /// It cannot be compiled to be counted.
    #[error("the component cannot be compiled to be measured: {0}")]
    Compile(#[from] LoadError),
    /// An export that ran once does not run again.
    #[error("{export}: {source}")]
    Invoke {
        /// Which.
        export: String,
        /// Why.
        source: InvokeJsonError,
    },
}

/// Measures every export of a component, `calls` times each.
///
/// # Errors
/// When the component cannot be called.
pub fn bench(
    provider: &Provider,
    component: &[u8],
    options: &ConformanceOptions,
    calls: usize,
) -> Result<Vec<Measurement>, BenchError> {
    let inputs = inputs_of(provider, options).map_err(BenchError::NoConfiguration)?;
    let counter = Counter::new(component)?;
    let mut dearest: Vec<(Input, cost::Cost)> = Vec::new();
    for input in inputs {
        let Ok(cost) = counter.measure(&input.export, &input.value) else {
            continue;
        };
        match dearest.iter_mut().find(|(known, _)| known.export == input.export) {
            Some((_, known)) if known.instructions >= cost.instructions => {}
            Some(entry) => *entry = (input, cost),
            None => dearest.push((input, cost)),
        }
    }
    dearest
        .into_iter()
        .map(|(input, cost)| {
            let mut times =
                cost::time(provider, &input.export, &input.value, calls).map_err(|source| BenchError::Invoke {
                    export: input.export.clone(),
                    source,
                })?;
            times.sort_unstable();
            Ok(Measurement {
                export: input.export,
                input: input.name,
                instructions: cost.instructions,
                p50_ns: percentile(&times, 50),
                p99_ns: percentile(&times, 99),
                output_bytes: cost.output_bytes,
                memory_bytes: cost.memory_bytes,
            })
        })
        .collect()
}

/// The smallest value that so many of a hundred do not exceed; `sorted` ascends.
fn percentile(sorted: &[Duration], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted
        .get(rank)
        .map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
