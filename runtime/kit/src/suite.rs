//! The conformance suite: the questions, in order.

use std::sync::Arc;

use serde_json::Value;
use strowger_host::Provider;
use strowger_host::invoke::cases::Case;

use crate::report::{Check, Outcome, Problem, Report};

mod spec;

/// What the suite may use beside the component itself.
#[derive(Debug, Clone, Default)]
pub struct ConformanceOptions {
    /// The component file, for the costs of its exports: they are counted in an engine of their own.
    pub component: Option<Arc<[u8]>>,
    /// The author's recorded cases. They have webhooks, messages and configurations of the carrier's kind, which are then
    /// damaged on purpose.
    pub cases: Vec<Case>,
    /// A configuration as a user would enter it. Without one it is taken from the cases, or made up from the spec.
    pub credentials: Option<Value>,
}

/// Asks a component everything that can be asked of any component.
#[must_use]
pub fn conformance(provider: &Provider, options: &ConformanceOptions) -> Report {
    let _ = options;
    Report {
        checks: vec![Check {
            name: "spec",
            rule: "the spec can be shown to people and used as it is",
            outcome: outcome(spec::check(provider)),
        }],
        costs: Vec::new(),
    }
}

fn outcome(problems: Vec<Problem>) -> Outcome {
    if problems.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed(problems)
    }
}
