//! The conformance suite, in a process of its own: it runs the component thousands of times on every input that somebody
//! thought of, and counts its instructions with code that is compiled for that alone.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strowger_host::child::{self, Bounds};
use strowger_host::structure::COMPONENT_BYTES_MAX;
use strowger_host::{Engine, EngineOptions, Precompiled, Provider};
use strowger_kit::{ConformanceOptions, Outcome, conformance as ask};

use super::InstallError;
use super::page::{Cost, Finding};

/// The hidden command that the program must answer with [`serve`]. The child's bounds follow it as three numbers.
pub const COMMAND: &str = "examine-component";
/// An interpreter with its libraries is compiled once more in it, and its instances are large.
const BOUNDS: Bounds = Bounds {
    memory_bytes_max: 2 << 30,
    address_bytes_max: None,
    cpu_s_max: 300,
    wall: Duration::from_secs(600),
    output_bytes_max: 4 << 20,
};
/// Machine code is a few times as large as its component.
const CODE_BYTES_MAX: u64 = 256 << 20;
/// Live instances in the child: one runs at a time.
const INSTANCES: u32 = 8;

/// What the suite found.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) passed: bool,
    /// The problems, for people.
    pub(super) text: String,
    pub(super) findings: Vec<Finding>,
    pub(super) costs: Vec<Cost>,
}

/// Asks the questions of the contract, in a child of `program`.
pub(super) fn conformance(provider: &Provider, bytes: &[u8], program: Option<&Path>) -> Result<Report, InstallError> {
    let Some(program) = program else {
        return Ok(report(provider, bytes));
    };
    let compiled = Precompiled::of(provider).map_err(|error| InstallError::Internal(error.to_string()))?;
    let length = (bytes.len() as u64).to_le_bytes();
    let input: [&[u8]; 3] = [&length, bytes, &compiled.code];
    let output = child::run(program, COMMAND, &BOUNDS, &input).map_err(InstallError::Examination)?;
    serde_json::from_slice(&output)
        .map_err(|error| InstallError::Internal(format!("the examination's report cannot be read: {error}")))
}

/// The child's side of it.
#[must_use]
pub fn serve(arguments: &[u64; 3]) -> ExitCode {
    let input_max = 8 + COMPONENT_BYTES_MAX as u64 + CODE_BYTES_MAX;
    child::serve(arguments, input_max, |input| {
        let cut = || io::Error::other("the input is cut short");
        let (length, rest) = input.split_first_chunk().ok_or_else(cut)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(io::Error::other)?;
        let (bytes, code) = rest.split_at_checked(length).ok_or_else(cut)?;
        let engine = Engine::new(EngineOptions {
            instances_max: INSTANCES,
            interpreted_instances_max: INSTANCES,
            precompiled: Some(Precompiled {
                digest: strowger_host::engine::digest(bytes),
                code: code.to_vec(),
            }),
            ..EngineOptions::default()
        })
        .map_err(io::Error::other)?;
        let provider = Provider::load(&engine, bytes).map_err(io::Error::other)?;
        serde_json::to_vec(&report(&provider, bytes)).map_err(io::Error::other)
    })
}

fn report(provider: &Provider, bytes: &[u8]) -> Report {
    let report = ask(
        provider,
        &ConformanceOptions {
            component: Some(bytes.into()),
            ..ConformanceOptions::default()
        },
    );
    let text = report
        .failures()
        .map(|(check, problem)| format!("{}: {}\n{problem}", check.name, check.rule))
        .collect::<Vec<_>>()
        .join("\n");
    Report {
        passed: report.passed(),
        text,
        findings: report
            .checks
            .iter()
            .map(|check| Finding {
                name: check.name.to_owned(),
                rule: check.rule.to_owned(),
                skipped: match &check.outcome {
                    Outcome::Skipped(why) => Some(why.clone()),
                    Outcome::Passed | Outcome::Failed(_) => None,
                },
            })
            .collect(),
        costs: report
            .costs
            .iter()
            .map(|cost| Cost {
                export: cost.export.clone(),
                instructions: cost.instructions,
                memory_bytes: cost.memory_bytes,
                output_bytes: cost.output_bytes,
            })
            .collect(),
    }
}
