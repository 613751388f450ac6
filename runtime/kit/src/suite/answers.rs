//! Refusals and failures: what the carrier hears, and what people read.

use strowger_host::{Failure, Provider, RejectionReason};

use super::problems::Problems;
use super::shape;
use crate::report::{Outcome, Problem};

/// Every refusal can be sent.
pub(super) fn rejections(provider: &Provider) -> Outcome {
    const EXPORT: &str = "answer.rejection-markup";
    let mut problems = Problems::default();
    for reason in RejectionReason::ALL {
        let response = provider.rejection(reason);
        if response.status >= 500 {
            problems.add(EXPORT, "server error", || Problem {
                what: format!("{EXPORT} answers {reason:?} with status {}", response.status),
                why: "carriers take it for a failure of the gateway: they try again, or play their own announcement"
                    .to_owned(),
                mend: "answer with a success whose body says that the call is refused, as the carrier documents it"
                    .to_owned(),
            });
        }
        if let Err(what) = shape::of_response(response) {
            problems.add(EXPORT, "not well-formed", || Problem {
                what: format!("{EXPORT} for {reason:?}: {what}"),
                why: "the carrier cannot read it, and the caller hears nothing".to_owned(),
                mend: "write the document that the header `content-type` names".to_owned(),
            });
        }
    }
    problems.outcome()
}

/// A failure is in the terms of the contract.
pub(super) fn failure(problems: &mut Problems, export: &str, circumstance: &str, failure: &Failure) {
    let kebab = (1..=64).contains(&failure.code.len())
        && failure
            .code
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !kebab {
        problems.add(export, "code", || Problem {
            what: format!("{export} fails with the code `{}`, {circumstance}", failure.code),
            why: "programs compare codes: lower-case letters, digits and hyphens, 1 to 64".to_owned(),
            mend: "give the failure a short kebab-case code, such as `call-not-found`".to_owned(),
        });
    }
    if failure.message.trim().is_empty() {
        problems.add(export, "message", || Problem {
            what: format!(
                "{export} fails with `{}` and without a message, {circumstance}",
                failure.code
            ),
            why: "the message is all that a user gets to read".to_owned(),
            mend: "say in one sentence what happened and what helps".to_owned(),
        });
    }
}
