//! What came of asking a component.

use std::fmt;

use serde::Serialize;

/// The answers of one component.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// In the order in which they were asked.
    pub checks: Vec<Check>,
    /// One entry for each export that could be measured; empty when the component file was not given.
    pub costs: Vec<ExportCost>,
}

/// One question, and whether the component passed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// kebab-case, stable.
    pub name: &'static str,
    /// What the contract asks, one sentence.
    pub rule: &'static str,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "detail")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not; at least one problem.
    Failed(Vec<Problem>),
    /// It could not be asked, and why.
    Skipped(String),
}

/// One thing that is wrong, as a good compiler would say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What happened, and where.
    pub what: String,
    /// Which rule it breaks, and what that would cost in a gateway.
    pub why: String,
    /// What to change.
    pub mend: String,
}

/// What one export costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportCost {
    /// `interface.function`.
    pub export: String,
    /// WebAssembly instructions of one call in a fresh instance: the dearest of those that were measured.
    pub instructions: u64,
    /// Linear memory after that call, over all memories, in bytes.
    pub memory_bytes: u64,
    /// Bytes of the result as JSON.
    pub output_bytes: u64,
}

impl Report {
    /// Whether no check failed. What was skipped has not failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// Every problem, with the check that found it.
    pub fn failures(&self) -> impl Iterator<Item = (&Check, &Problem)> {
        self.checks.iter().flat_map(|check| {
            let problems: &[Problem] = match &check.outcome {
                Outcome::Failed(problems) => problems,
                Outcome::Passed | Outcome::Skipped(_) => &[],
            };
            problems.iter().map(move |problem| (check, problem))
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            match &check.outcome {
                Outcome::Passed => writeln!(f, "ok       {:<16} {}", check.name, check.rule)?,
                Outcome::Skipped(why) => writeln!(f, "skipped  {:<16} {why}", check.name)?,
                Outcome::Failed(problems) => {
                    writeln!(f, "FAILED   {:<16} {}", check.name, check.rule)?;
                    for problem in problems {
                        writeln!(f, "{problem}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  error: {}\n    why:  {}\n    help: {}",
            self.what, self.why, self.mend
        )
    }
}
