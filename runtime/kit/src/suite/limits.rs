//! What each export costs, and how far that is from what it may cost.

use std::collections::BTreeMap;

use strowger_host::cost::Counter;
use strowger_host::limits::{Class, Limits};

use super::inputs::Input;
use super::problems::Problems;
use super::subject::Subject;
use crate::report::{ExportCost, Outcome, Problem};

/// Instructions that the slowest machine worth running a gateway on does in a millisecond. Measured ones do a million and
/// more; a factor of four is left for what instructions differ in.
const INSTRUCTIONS_PER_MS: u64 = 250_000;

/// Counts every export on every input, and keeps the dearest of each.
pub(super) fn costs(counter: &Counter, inputs: &[Input]) -> Vec<ExportCost> {
    let mut dearest: BTreeMap<&str, ExportCost> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for input in inputs {
        let Ok(cost) = counter.measure(&input.export, &input.value) else {
            continue;
        };
        let entry = dearest.entry(&input.export).or_insert_with(|| {
            order.push(&input.export);
            ExportCost {
                export: input.export.clone(),
                instructions: 0,
                memory_bytes: 0,
                output_bytes: 0,
            }
        });
        entry.instructions = entry.instructions.max(cost.instructions);
        entry.memory_bytes = entry.memory_bytes.max(cost.memory_bytes as u64);
        entry.output_bytes = entry.output_bytes.max(cost.output_bytes as u64);
    }
    order.into_iter().filter_map(|export| dearest.remove(export)).collect()
}

/// Half of what is allowed is enough for honest work.
pub(super) fn check(subject: &Subject<'_>, costs: &[ExportCost]) -> Outcome {
    let class = subject.provider.class();
    let mut problems = Problems::default();
    for cost in costs {
        let media = cost.export.starts_with("media.");
        let limits = if media {
            Limits::media(class)
        } else {
            Limits::control(class)
        };
        let instructions_max = limits.cpu_ms_max * INSTRUCTIONS_PER_MS / 2;
        let memory_max = limits.memory_bytes_max as u64 / 2;
        let output_max = limits.output_bytes_max as u64 / 2;
        let mut beyond = |kind: &str, demand: u64, max: u64, mend: &str| {
            if demand > max {
                problems.add(&cost.export, kind, || Problem {
                    what: format!(
                        "{} needs {demand} {kind}; half of what it may have is {max}",
                        cost.export
                    ),
                    why: "on a busy day, or with a longer message, it would be stopped in the middle of a call"
                        .to_owned(),
                    mend: mend.to_owned(),
                });
            }
        };
        beyond(
            "instructions",
            cost.instructions,
            instructions_max,
            "do less: parse once, borrow instead of copying, build no tables at each call",
        );
        // An interpreter's memory is there before its program does anything.
        if class == Class::Compact {
            beyond(
                "bytes of memory",
                cost.memory_bytes,
                memory_max,
                "keep less: a fresh instance serves one request",
            );
        }
        beyond(
            "bytes of output",
            cost.output_bytes,
            output_max,
            "return less: the contract says how much is taken",
        );
    }
    problems.outcome()
}
