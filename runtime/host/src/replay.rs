//! Runs a recording again, and tells every difference.
//!
//! The same component gives the same outputs to the byte, because it is told everything again: inputs, replies, clock and
//! randomness. Another version of it shows in the differences what it would have done.

use serde_json::{Value, json};

use crate::invoke::InvokeJsonError;
use crate::operation::Moment;
use crate::provider::Provider;
use crate::recording::{Recorded, Recording};

/// What opens a leg, and the field of its input that holds what was said to it.
const OPEN: &str = "media.leg";
const SCRIPT: &str = "script";

/// One invocation, run again.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// Its place in the recording, from 0.
    pub index: usize,
    /// `interface.function`.
    pub export: String,
    /// What came of it.
    pub outcome: ReplayOutcome,
}

/// How a replayed invocation compares to the recorded one.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplayOutcome {
    /// Byte for byte the same; a fault with the same code counts.
    Same,
    /// Its result was not recorded: it only brings an instance into the state of the next one.
    NotCompared,
    /// Another result.
    Differs {
        /// Where the first difference is, for example `result.ok.response.body`.
        path: String,
        /// What was recorded there.
        recorded: Value,
        /// What it is now.
        now: Value,
    },
}

impl ReplayOutcome {
    /// Whether it differs.
    #[must_use]
    pub fn differs(&self) -> bool {
        matches!(self, Self::Differs { .. })
    }
}

/// Runs a recording again with this component.
#[must_use]
pub fn replay(provider: &Provider, recording: &Recording) -> Vec<Replayed> {
    let mut replayed = Vec::with_capacity(recording.invocations.len());
    let mut legs: Vec<(usize, Vec<usize>)> = Vec::new();
    for (index, recorded) in recording.invocations.iter().enumerate() {
        if recorded.leg.is_some() && recorded.export == OPEN {
            legs.push((index, Vec::new()));
        } else if let Some(leg) = recorded.leg.filter(|_| recorded.export.starts_with("media.")) {
            // The newest instance of that leg: after a fault it was built again.
            let of_leg = |(open, _): &&mut (usize, Vec<usize>)| recording.invocations[*open].leg == Some(leg);
            match legs.iter_mut().rev().find(of_leg) {
                Some((_, said)) => said.push(index),
                None => replayed.push(done(index, recorded, ReplayOutcome::NotCompared)),
            }
        } else {
            replayed.push(done(index, recorded, compare(recorded, alone(provider, recorded))));
        }
    }
    for (open, said) in legs {
        replayed.extend(replay_leg(provider, &recording.invocations, open, &said));
    }
    replayed.sort_by_key(|replayed| replayed.index);
    replayed
}

/// Runs one recorded invocation that had an instance of its own.
fn alone(provider: &Provider, recorded: &Recorded) -> Result<Value, InvokeJsonError> {
    provider.invoke_json_exactly(&recorded.export, &recorded.input, &moment(recorded))
}

/// Compares one recorded invocation with what this component makes of it.
#[must_use]
pub fn replay_one(provider: &Provider, recorded: &Recorded) -> ReplayOutcome {
    compare(recorded, alone(provider, recorded))
}

fn moment(recorded: &Recorded) -> Moment {
    Moment::of_recording(recorded.now_ms, recorded.seed)
}

fn done(index: usize, recorded: &Recorded, outcome: ReplayOutcome) -> Replayed {
    Replayed {
        index,
        export: recorded.export.clone(),
        outcome,
    }
}

/// A leg lives in one instance. A fault can only be what was said last, because the leg was built again after it; what came
/// before is run without it, so that its results are there to be compared.
fn replay_leg(provider: &Provider, all: &[Recorded], open: usize, said: &[usize]) -> Vec<Replayed> {
    let faulted = said.last().copied().filter(|&last| all[last].fault.is_some());
    let calm = said.strip_suffix(faulted.as_slice()).unwrap_or(said);
    let mut replayed = Vec::with_capacity(said.len() + 1);
    match run_leg(provider, &all[open], calm.iter().map(|&at| &all[at])) {
        Ok(results) => {
            replayed.push(done(open, &all[open], leg_opened(&all[open])));
            for (&at, result) in calm.iter().zip(results) {
                replayed.push(done(at, &all[at], compare(&all[at], Ok(result))));
            }
        }
        Err(error) => {
            // It happened somewhere in the leg: at the opening, as far as this can tell.
            replayed.push(done(open, &all[open], compare(&all[open], Err(error))));
            return replayed;
        }
    }
    if let Some(last) = faulted {
        let whole = run_leg(provider, &all[open], said.iter().map(|&at| &all[at]));
        let result = whole.map(|mut results| results.pop().unwrap_or_default());
        replayed.push(done(last, &all[last], compare(&all[last], result)));
    }
    replayed
}

/// Opening a leg has no result but that it went well.
fn leg_opened(recorded: &Recorded) -> ReplayOutcome {
    match &recorded.fault {
        None => ReplayOutcome::Same,
        Some(fault) => ReplayOutcome::Differs {
            path: "result".to_owned(),
            recorded: json!({ "fault": fault.code }),
            now: json!("opened"),
        },
    }
}

fn run_leg<'a>(
    provider: &Provider,
    open: &Recorded,
    said: impl Iterator<Item = &'a Recorded>,
) -> Result<Vec<Value>, InvokeJsonError> {
    let script: Vec<Value> = said
        .map(|recorded| {
            let argument = |name: &str| recorded.input.get(name).cloned().unwrap_or_default();
            if recorded.export == "media.deserialize-frame" {
                json!({ "deserialize-frame": argument("message") })
            } else {
                json!({ "serialize-frame": argument("frame") })
            }
        })
        .collect();
    let mut input = open.input.clone();
    if let Value::Object(input) = &mut input {
        input.insert(SCRIPT.to_owned(), Value::Array(script));
    }
    Ok(match provider.invoke_json_exactly(OPEN, &input, &moment(open))? {
        Value::Array(results) => results,
        other => vec![other],
    })
}

fn compare(recorded: &Recorded, now: Result<Value, InvokeJsonError>) -> ReplayOutcome {
    let now = match now {
        Ok(value) => value,
        Err(InvokeJsonError::Invoke(crate::InvokeError::Guest(fault))) => {
            if recorded
                .fault
                .as_ref()
                .is_some_and(|before| before.code == fault.code())
            {
                return ReplayOutcome::Same;
            }
            json!({ "fault": fault.code(), "message": fault.to_string() })
        }
        Err(other) => json!({ "not-run": other.to_string() }),
    };
    let before = match (&recorded.output, &recorded.fault) {
        (Some(output), _) => output.clone(),
        (None, Some(fault)) => json!({ "fault": fault.code, "message": fault.message }),
        (None, None) => return ReplayOutcome::NotCompared,
    };
    match first_difference("result", &before, &now) {
        None => ReplayOutcome::Same,
        Some((path, recorded, now)) => ReplayOutcome::Differs { path, recorded, now },
    }
}

/// Where two values part, and what each has there.
fn first_difference(path: &str, before: &Value, now: &Value) -> Option<(String, Value, Value)> {
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            names
                .map(|name| {
                    let (a, b) = (a.get(name), b.get(name));
                    first_difference(
                        &format!("{path}.{name}"),
                        a.unwrap_or(&Value::Null),
                        b.unwrap_or(&Value::Null),
                    )
                })
                .find_map(|difference| difference)
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => (a.iter().zip(b))
            .enumerate()
            .find_map(|(at, (a, b))| first_difference(&format!("{path}[{at}]"), a, b)),
        _ => (before != now).then(|| (path.to_owned(), before.clone(), now.clone())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::first_difference;

    #[test]
    fn a_difference_is_told_by_its_place() {
        let before = json!({"ok": {"body": "a", "headers": [{"name": "x"}], "gone": 1}});
        let place = |now| first_difference("result", &before, &now).map(|(path, ..)| path);
        assert_eq!(place(before.clone()), None);
        let mut now = before.clone();
        now["ok"]["headers"][0]["name"] = json!("y");
        assert_eq!(place(now).as_deref(), Some("result.ok.headers[0].name"));
        let mut now = before.clone();
        now["ok"]["new"] = json!(1);
        assert_eq!(place(now).as_deref(), Some("result.ok.new"));
        let mut now = before.clone();
        now["ok"]["headers"] = json!([]);
        assert_eq!(place(now).as_deref(), Some("result.ok.headers"));
    }
}
