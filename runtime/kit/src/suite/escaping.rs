//! Words of strangers in markup, documents and addresses: they stay words.

use super::carrier::{Answers, Ending, Run};
use super::given::{HARMLESS, HOSTILE, HOSTILE_NUMBERS, Words};
use super::operations;
use super::problems::Problems;
use super::shape::{self, Shape};
use super::subject::Subject;
use crate::report::{Outcome, Problem};

pub(super) fn check(subject: &Subject<'_>) -> Outcome {
    let mut problems = Problems::default();
    let carriers = [Answers::agreeable(), Answers::not_found()];
    for words in [&HOSTILE, &HOSTILE_NUMBERS] {
        let changed = HARMLESS.changed(words);
        let harmless = operations::all(subject, &HARMLESS);
        let hostile = operations::all(subject, words);
        for (one, two) in harmless.iter().zip(&hostile) {
            for answers in &carriers {
                compare(
                    &mut problems,
                    &two.name,
                    two.export,
                    &one.run(answers),
                    &two.run(answers),
                    &changed,
                    words,
                );
            }
        }
    }
    problems.outcome()
}

/// The same operation with harmless and with hostile words says the same, but for the words.
fn compare(
    problems: &mut Problems,
    name: &str,
    export: &str,
    harmless: &Run,
    hostile: &Run,
    changed: &[(&str, &str)],
    words: &Words,
) {
    if let Ending::Fault(fault) = &hostile.ending {
        // Requests that the host refuses because a word broke out of its place end here.
        problems.fault(
            export,
            &format!(
                "given the call identifier {:?} and the caller {:?}",
                words.provider_call_id, words.caller
            ),
            fault,
        );
        return;
    }
    // Which requests follow may depend on the words, as for an address that is no number; their form may not.
    let requests = harmless.requests.iter().zip(&hostile.requests);
    for (one, two) in requests {
        if one.method != two.method {
            break;
        }
        shapes(
            problems,
            name,
            export,
            "a request",
            shape::of_request(one),
            shape::of_request(two),
            changed,
        );
    }
    if let (Ending::Done(Some(one)), Ending::Done(Some(two))) = (&harmless.ending, &hostile.ending) {
        shapes(
            problems,
            name,
            export,
            "its response",
            shape::of_response(one),
            shape::of_response(two),
            changed,
        );
    }
}

fn shapes(
    problems: &mut Problems,
    name: &str,
    export: &str,
    what: &str,
    harmless: Result<Shape, String>,
    hostile: Result<Shape, String>,
    changed: &[(&str, &str)],
) {
    let why =
        "what a stranger chooses, such as the identifier of a call, could add an element, a field or a path of its own";
    let mend = "escape each word where it is put: the SDK's writers do it for XML, JSON, forms and paths";
    let Ok(harmless) = harmless else {
        // Told by another check.
        return;
    };
    let hostile = match hostile {
        Ok(hostile) => hostile,
        Err(error) => {
            return problems.add(export, what, || Problem {
                what: format!(
                    "{name}: {what} is broken by a word with quotes, angle brackets, ampersands and dots: {error}"
                ),
                why: why.to_owned(),
                mend: mend.to_owned(),
            });
        }
    };
    if harmless.skeleton != hostile.skeleton {
        let place = harmless
            .skeleton
            .iter()
            .zip(&hostile.skeleton)
            .find(|(one, two)| one != two)
            .map_or("its end".to_owned(), |(one, two)| {
                format!("`{one}`, where it then has `{two}`")
            });
        return problems.add(export, what, || Problem {
            what: format!("{name}: {what} changes its structure with a word that has quotes, angle brackets, ampersands and dots, at {place}"),
            why: why.to_owned(),
            mend: mend.to_owned(),
        });
    }
    for ((place, one), (_, two)) in harmless.leaves.iter().zip(&hostile.leaves) {
        for (word, other) in changed {
            let kept = || {
                two.contains(other)
                    || shape::percent_decoded(two).contains(other)
                    || json_unescaped(two).contains(other)
            };
            if one.contains(word) && !kept() {
                problems.add(export, "altered", || Problem {
                    what: format!("{name}: {what} has {two:?} at {place}, where {other:?} was given"),
                    why: "the carrier would look for another call, or call another number".to_owned(),
                    mend: "escape the word instead of cutting or replacing its characters, or refuse it with a failure"
                        .to_owned(),
                });
            }
        }
    }
}

/// A text that may be JSON in a string.
fn json_unescaped(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}
