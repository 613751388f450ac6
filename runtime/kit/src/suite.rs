//! The conformance suite: the questions, in order.

use std::sync::Arc;

use serde_json::Value;
use strowger_host::Provider;
use strowger_host::cost::Counter;
use strowger_host::invoke::cases::Case;

use self::subject::Subject;
use crate::report::{Check, Outcome, Problem, Report};

mod answers;
mod carrier;
mod carriers;
mod configuration;
mod determinism;
mod escaping;
mod given;
mod inputs;
mod limits;
pub(crate) mod media;
mod operations;
mod problems;
pub(crate) mod proofs;
mod pure;
mod shape;
mod spec;
pub(crate) mod subject;
mod webhooks;

pub(crate) use self::inputs::Input;

/// What the suite may use beside the component itself.
#[derive(Debug, Clone, Default)]
pub struct ConformanceOptions {
    /// The component file, for the costs of its exports: it is compiled once more, by an engine that counts.
    pub component: Option<Arc<[u8]>>,
    /// The author's recorded cases. They have webhooks, messages and configurations of the carrier's kind, which are then
    /// damaged on purpose.
    pub cases: Vec<Case>,
    /// A configuration as a user would enter it. Without one it is taken from the cases, or made up from the spec.
    pub credentials: Option<Value>,
}

/// A question: its name, its rule, and whether it belongs to the few that every build should pass.
type Question = (&'static str, &'static str, bool);

/// What is asked of a component; all of it needs a configuration that the component accepts.
const QUESTIONS: [Question; 12] = [
    (
        "configuration",
        "whatever is entered, the form can say what is wrong with which field",
        true,
    ),
    (
        "determinism",
        "the same input gives the same output, in any instance and at any moment",
        true,
    ),
    (
        "recognition",
        "nothing that only looks like a webhook is taken for one",
        false,
    ),
    (
        "forged-webhooks",
        "no webhook that the carrier has not signed is genuine",
        false,
    ),
    (
        "tampered-proofs",
        "what proves a webhook is part of it: changed, it proves nothing",
        false,
    ),
    (
        "callbacks",
        "webhooks that cannot be read are answered, without a fault",
        false,
    ),
    (
        "escaping",
        "words of strangers stay words, in markup, documents and addresses",
        false,
    ),
    (
        "media",
        "messages that cannot be read are malformed, and are never heard",
        false,
    ),
    (
        "carriers",
        "however the carrier answers, every operation ends in its result or a failure",
        false,
    ),
    (
        "events",
        "messages of the event socket that cannot be read lead to nothing",
        false,
    ),
    ("facts", "checklists and modes can be asked for at any time", false),
    ("limits", "no export needs more than half of what it may have", true),
];

/// Asks a component everything that can be asked of any component.
#[must_use]
pub fn conformance(provider: &Provider, options: &ConformanceOptions) -> Report {
    ask(provider, options, false)
}

/// Asks a component what every build should pass: the contract, determinism and limits. It takes a moment.
#[must_use]
pub fn essentials(provider: &Provider, options: &ConformanceOptions) -> Report {
    ask(provider, options, true)
}

/// An input for each export of a component, and those of its recorded cases.
///
/// # Errors
/// When there is no configuration that the component accepts.
pub(crate) fn inputs_of(provider: &Provider, options: &ConformanceOptions) -> Result<Vec<Input>, String> {
    Ok(inputs::all(&Subject::new(provider, options)?))
}

fn ask(provider: &Provider, options: &ConformanceOptions, only_essentials: bool) -> Report {
    let mut checks = vec![
        Check {
            name: "spec",
            rule: "the spec can be shown to people and used as it is",
            outcome: outcome(spec::check(provider)),
        },
        Check {
            name: "rejections",
            rule: "every refusal can be sent to the carrier",
            outcome: answers::rejections(provider),
        },
    ];
    let subject = Subject::new(provider, options);
    let inputs = subject.as_ref().map(inputs::all).unwrap_or_default();
    let counter = options.component.as_deref().map(Counter::new);
    let costs = match &counter {
        Some(Ok(counter)) => limits::costs(counter, &inputs),
        _ => Vec::new(),
    };
    for (name, rule, essential) in QUESTIONS {
        if only_essentials && !essential {
            continue;
        }
        let outcome = match &subject {
            Err(why) => Outcome::Skipped(why.clone()),
            Ok(subject) => match name {
                "configuration" => configuration::check(subject),
                "determinism" => determinism::check(subject, &inputs),
                "recognition" => webhooks::recognised(subject),
                "forged-webhooks" => proofs::forged(subject),
                "tampered-proofs" => proofs::tampered(subject),
                "callbacks" => webhooks::handled(subject),
                "escaping" => escaping::check(subject),
                "media" => media::check(subject),
                "carriers" => carriers::check(subject),
                "events" => webhooks::events(subject),
                "facts" => pure::check(subject),
                _ => match &counter {
                    Some(Ok(_)) => limits::check(subject, &costs),
                    Some(Err(error)) => Outcome::Skipped(format!("the component cannot be measured: {error}")),
                    None => Outcome::Skipped("the component file was not given".to_owned()),
                },
            },
        };
        checks.push(Check { name, rule, outcome });
    }
    Report { checks, costs }
}

fn outcome(problems: Vec<Problem>) -> Outcome {
    if problems.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed(problems)
    }
}
