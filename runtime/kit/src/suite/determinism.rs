//! The same input gives the same output, in any instance and at any moment.

use std::collections::BTreeMap;

use strowger_host::InvokeJsonError;

use super::inputs::Input;
use super::problems::Problems;
use super::subject::{Subject, moment};
use crate::report::{Outcome, Problem};

/// Inputs of one export that are tried; more of them would tell the same.
const INPUTS_MAX: usize = 16;

pub(super) fn check(subject: &Subject<'_>, inputs: &[Input]) -> Outcome {
    let mut problems = Problems::default();
    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    for input in inputs {
        let count = tried.entry(&input.export).or_default();
        *count += 1;
        if *count > INPUTS_MAX {
            continue;
        }
        let Input { export, name, value } = input;
        let at = |n: u8| subject.provider.invoke_json_at(export, value, &moment(n));
        let first = match at(0) {
            Ok(first) => first,
            Err(InvokeJsonError::Invoke(fault)) => {
                problems.fault(export, &format!("given the input `{name}`"), &fault);
                continue;
            }
            // An input that does not fit is a mistake in a case, which running the cases tells.
            Err(_) => continue,
        };
        if at(0).is_ok_and(|second| second != first) {
            problems.add(export, "chance", || Problem {
                what: format!("{export} gave two different results for the input `{name}`, at the same moment"),
                why: "an operation is called again with its replies, a call is recorded and replayed: only a pure function \
                      comes to the same result"
                    .to_owned(),
                mend: "keep nothing between calls, and read nothing that is not an argument".to_owned(),
            });
        } else if at(41).is_ok_and(|later| later != first) {
            problems.add(export, "moment", || Problem {
                what: format!("{export} gave another result for the input `{name}` at another moment, with other randomness"),
                why: "an operation is called again with its replies, a call is recorded and replayed: only a pure function \
                      comes to the same result"
                    .to_owned(),
                mend: "use `received-at` of the webhook as the only clock, identifiers that were given in place of random \
                       ones, and maps that keep their order"
                    .to_owned(),
            });
        }
    }
    problems.outcome()
}
