//! Problems as they are found, said once each.

use std::collections::BTreeMap;

use strowger_host::{GuestFault, InvokeError};

use crate::report::{Outcome, Problem};

/// Problems of one check that a report lists; the first ones tell what to do.
const SHOWN_MAX: usize = 8;

/// Collects problems. The same kind in the same place is told once, and how often it was met.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: BTreeMap<(String, String), (Problem, usize)>,
    order: Vec<(String, String)>,
}

impl Problems {
    /// `place` and `kind` decide what is the same problem.
    pub(super) fn add(&mut self, place: &str, kind: &str, problem: impl FnOnce() -> Problem) {
        let key = (place.to_owned(), kind.to_owned());
        if let Some((_, times)) = self.found.get_mut(&key) {
            *times += 1;
        } else {
            self.order.push(key.clone());
            self.found.insert(key, (problem(), 1));
        }
    }

    /// A fault: the component broke the contract while it was asked something.
    pub(super) fn fault(&mut self, export: &str, circumstance: &str, error: &InvokeError) {
        let kind = match error {
            InvokeError::Guest(fault) => fault.code(),
            _ => "host",
        };
        self.add(export, kind, || Problem {
            what: format!("{error}, {circumstance}"),
            why: "a fault ends the call or the request that is served".to_owned(),
            mend: mend(error).to_owned(),
        });
    }

    pub(super) fn outcome(mut self) -> Outcome {
        if self.order.is_empty() {
            return Outcome::Passed;
        }
        let more = self.order.len().saturating_sub(SHOWN_MAX);
        let mut problems: Vec<Problem> = self
            .order
            .iter()
            .take(SHOWN_MAX)
            .filter_map(|key| self.found.remove(key))
            .map(|(mut problem, times)| {
                if times > 1 {
                    problem.what.push_str(&format!(" (and {} more times)", times - 1));
                }
                problem
            })
            .collect();
        if more > 0
            && let Some(last) = problems.last_mut()
        {
            last.mend
                .push_str(&format!("; {more} more problems of this check are not listed"));
        }
        Outcome::Failed(problems)
    }
}

/// What helps against a fault.
fn mend(error: &InvokeError) -> &'static str {
    match error {
        InvokeError::Guest(fault) => match fault {
            GuestFault::Trap { .. } | GuestFault::Stack { .. } => {
                "return a failure, or `malformed`, instead of panicking: look for unwraps, indices, exceptions that nobody \
                 catches, and recursion over what came from outside"
            }
            GuestFault::Deadline { .. } => {
                "bound the work by the input, look for loops that wait for something, and refuse what is too large first"
            }
            GuestFault::Memory { .. } => {
                "do not copy what came from outside more often than needed; refuse what is too large first"
            }
            GuestFault::MalformedOutput { .. } => {
                "check the value against the contract before it is returned (docs/providers/reference.md has its bounds)"
            }
            GuestFault::TooMuchOutput { .. } => "return less: the contract says how much is taken",
            GuestFault::MisplacedSecret { .. } => {
                "put the sealed reference into `authorization` or into a proof; nowhere else does it become the secret"
            }
            GuestFault::TooManyRounds { .. } => {
                "end when the replies say the same again: an operation reads all its replies from the first on"
            }
            #[allow(unreachable_patterns, reason = "faults that later versions of the host tell apart")]
            _ => "see the contract",
        },
        InvokeError::Configuration(_) => "let config-loader accept what it accepted before: it is a pure reshape",
        _ => "nothing is wrong with the component; run the check again on a machine with more room",
    }
}
