//! Recorded cases: an export, what it is given, and what it must return.
//!
//! A provider keeps them as data, in `cases/*.json` beside its source, one case or an array of cases in each file. They are
//! written in the spelling of [`invoke`](super), so they fit a provider in any language.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{InvokeJsonError, bytes_of_base64};
use crate::provider::Provider;

const CONFIG_LOADER: &str = "descriptor.config-loader";
/// Differences that a report lists; the first ones tell what happened.
const DIFFERENCES_MAX: usize = 8;
/// Longest value that a report repeats, in characters.
const VALUE_CHARS_MAX: usize = 300;

/// One recorded case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in a few words.
    pub name: String,
    /// `interface.function`.
    pub export: String,
    /// The configuration, in the shape that `config-loader` gives it. Sealed references are placeholders.
    #[serde(default)]
    pub config: Option<Value>,
    /// Instead of `config`: what `config-loader` makes it from.
    #[serde(default)]
    pub credentials: Option<Value>,
    /// The other arguments, by their names in the contract.
    #[serde(default)]
    pub input: Map<String, Value>,
    /// The history of an operation; none is its first round.
    #[serde(default)]
    pub replies: Option<Vec<Value>>,
    /// What it must return.
    pub expect: Value,
}

/// Why a case does not hold.
#[derive(Debug, Error)]
pub enum CaseError {
    /// The file is not a case.
    #[error("this is not a case: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The case contradicts itself.
    #[error("{0}")]
    Contradiction(&'static str),
    /// The export did not run.
    #[error(transparent)]
    Invoke(#[from] InvokeJsonError),
    /// `config-loader` refused the credentials of the case.
    #[error("config-loader refuses the credentials of this case: {0}")]
    Credentials(Value),
    /// It returned something else.
    #[error("{0}")]
    Mismatch(Mismatch),
}

/// Where a result differs from what was expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// In order, at least one.
    pub differences: Vec<Difference>,
    /// The whole result.
    pub actual: Value,
}

/// One place that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// For example `expect.ok.headers[0].value`.
    pub path: String,
    /// `None` when there should be nothing.
    pub expected: Option<Value>,
    /// `None` when there is nothing.
    pub actual: Option<Value>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| match value {
            None => "nothing".to_owned(),
            Some(value) => {
                let text = value.to_string();
                let mut shown: String = text.chars().take(VALUE_CHARS_MAX).collect();
                if shown.len() < text.len() {
                    shown.push('…');
                }
                shown
            }
        };
        for (n, difference) in self.differences.iter().take(DIFFERENCES_MAX).enumerate() {
            let line = if n == 0 { "" } else { "\n" };
            let Difference { path, expected, actual } = difference;
            write!(
                f,
                "{line}{path}\n  expected {}\n  returned {}",
                show(expected),
                show(actual)
            )?;
        }
        match self.differences.len().saturating_sub(DIFFERENCES_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more differences"),
        }
    }
}

/// Reads a file of cases: one, or an array.
///
/// # Errors
/// When it is not JSON, or not a case.
pub fn read(text: &str) -> Result<Vec<Case>, CaseError> {
    Ok(match serde_json::from_str(text)? {
        many @ Value::Array(_) => serde_json::from_value(many)?,
        one => vec![serde_json::from_value(one)?],
    })
}

impl Case {
    /// Runs the case against a component.
    ///
    /// # Errors
    /// When the export cannot be run, faults, or returns something else.
    pub fn run(&self, provider: &Provider) -> Result<(), CaseError> {
        let actual = provider.invoke_json(&self.export, &self.arguments(provider)?)?;
        match differences(&self.expect, &actual) {
            differences if differences.is_empty() => Ok(()),
            differences => Err(CaseError::Mismatch(Mismatch { differences, actual })),
        }
    }

    /// What the export is given: all arguments by name, the configuration among them.
    ///
    /// # Errors
    /// When the case contradicts itself, or its credentials are refused.
    pub fn arguments(&self, provider: &Provider) -> Result<Value, CaseError> {
        let mut input = self.input.clone();
        let mut add = |name: &str, value: &Value| match input.insert(name.to_owned(), value.clone()) {
            None => Ok(()),
            Some(_) => Err(CaseError::Contradiction(
                "an argument is given twice: in `input` and beside it",
            )),
        };
        match (&self.config, &self.credentials) {
            (Some(_), Some(_)) => {
                return Err(CaseError::Contradiction(
                    "a case has `config` or `credentials`, not both",
                ));
            }
            (Some(config), None) => add("config", config)?,
            (None, Some(credentials)) if self.export == CONFIG_LOADER => add("credentials", credentials)?,
            (None, Some(credentials)) => {
                let arguments = Map::from_iter([("credentials".to_owned(), credentials.clone())]);
                let loaded = provider.invoke_json(CONFIG_LOADER, &Value::Object(arguments))?;
                match loaded.get("ok") {
                    Some(config) => add("config", config)?,
                    None => return Err(CaseError::Credentials(loaded)),
                }
            }
            (None, None) => {}
        }
        if let Some(replies) = &self.replies {
            add("replies", &Value::Array(replies.clone()))?;
        }
        Ok(Value::Object(input))
    }
}

/// Where two results differ. A document that is embedded as text equals the same document embedded as JSON, bytes equal
/// their base64, and `null` equals nothing.
#[must_use]
pub fn differences(expected: &Value, actual: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("expect", expected, actual, &mut found);
    found
}

/// The name of a case without payload, in either of its spellings: `"ok"` or `{"ok": null}`.
fn bare_case(value: &Value) -> Option<&str> {
    match value {
        Value::String(name) => Some(name),
        Value::Object(members) if members.len() == 1 => {
            let (name, payload) = members.iter().next()?;
            payload.is_null().then_some(name)
        }
        _ => None,
    }
}

fn compare(path: &str, expected: &Value, actual: &Value, found: &mut Vec<Difference>) {
    match (expected, actual) {
        _ if expected == actual => {}
        (Value::Object(left), Value::Object(right)) if bytes(expected).is_none() && bytes(actual).is_none() => {
            let absent = &Value::Null;
            let names = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
            for name in names {
                let (left, right) = (left.get(name).unwrap_or(absent), right.get(name).unwrap_or(absent));
                compare(&format!("{path}.{name}"), left, right, found);
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for n in 0..left.len().max(right.len()) {
                let path = format!("{path}[{n}]");
                match (left.get(n), right.get(n)) {
                    (Some(left), Some(right)) => compare(&path, left, right, found),
                    (left, right) => {
                        found.push(Difference {
                            path,
                            expected: left.cloned(),
                            actual: right.cloned(),
                        });
                    }
                }
            }
        }
        _ => match (document(expected), document(actual)) {
            // At least one of them was text, so this ends.
            (Some(left), Some(right)) if left != *expected || right != *actual => compare(path, &left, &right, found),
            _ if bytes(expected).is_some() && bytes(expected) == bytes(actual) => {}
            // A text that holds JSON, where that JSON is a text itself.
            (_, Some(held)) if held == *expected => {}
            _ if bare_case(expected).is_some() && bare_case(expected) == bare_case(actual) => {}
            _ => {
                let present = |value: &Value| (!value.is_null()).then(|| value.clone());
                found.push(Difference {
                    path: path.to_owned(),
                    expected: present(expected),
                    actual: present(actual),
                });
            }
        },
    }
}

/// The document that a value is, or that its text contains.
fn document(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => serde_json::from_str(text).ok(),
        value => Some(value.clone()),
    }
}

/// The bytes that a value spells.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(object) => bytes_of_base64(object)?.ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(expected: &Value, actual: &Value) -> Vec<String> {
        differences(expected, actual)
            .into_iter()
            .map(|difference| difference.path)
            .collect()
    }

    #[test]
    fn spellings_of_one_value_are_equal() {
        let same = |left: Value, right: Value| {
            assert_eq!(differences(&left, &right), vec![]);
            assert_eq!(differences(&right, &left), vec![]);
        };
        same(json!({"a": {"b": [1]}}), json!({"a": "{ \"b\": [1] }"}));
        same(json!({"a": null}), json!({}));
        same(json!({"base64": "aGk="}), json!("hi"));
        same(json!({"equals": true}), json!({"equals": "true"}));
        same(json!({"equals": "eu"}), json!({"equals": "eu"}));
        same(json!("{\"a\":1,\"b\":2}"), json!("{\"b\": 2, \"a\": 1}"));
    }

    #[test]
    fn a_difference_names_its_place() {
        assert_eq!(
            paths(&json!({"ok": [{"a": 1}]}), &json!({"ok": [{"a": 2}]})),
            ["expect.ok[0].a"]
        );
        assert_eq!(paths(&json!([1]), &json!([1, 2])), ["expect[1]"]);
        assert_eq!(paths(&json!({"a": 1}), &json!({"b": 1})), ["expect.a", "expect.b"]);
        assert_eq!(
            paths(&json!({"body": {"a": 1}}), &json!({"body": "{\"a\":2}"})),
            ["expect.body.a"]
        );
        assert_eq!(paths(&json!({"base64": "aGk="}), &json!("ho")), ["expect"]);
        assert_eq!(paths(&json!("1"), &json!("2")), ["expect"]);
        assert_eq!(paths(&json!({"ok": null}), &json!("ended")), ["expect"]);
        assert_eq!(
            paths(&json!({"value": "u1"}), &json!({"value": "\"u2\""})),
            ["expect.value"]
        );
    }

    #[test]
    fn the_two_spellings_of_a_value_are_one() {
        assert_eq!(paths(&json!({"ok": null}), &json!("ok")), [""; 0]);
        assert_eq!(paths(&json!({"value": "u1"}), &json!({"value": "\"u1\""})), [""; 0]);
    }

    #[test]
    fn a_report_can_be_read() {
        let expected = json!({"ok": {"status": 200, "body": "<a/>"}});
        let actual = json!({"ok": {"status": 500, "body": "<a/>", "extra": "x"}});
        let mismatch = Mismatch {
            differences: differences(&expected, &actual),
            actual,
        };
        assert_eq!(
            mismatch.to_string(),
            "expect.ok.status\n  expected 200\n  returned 500\nexpect.ok.extra\n  expected nothing\n  returned \"x\""
        );
    }

    #[test]
    fn a_file_has_one_case_or_many() {
        let one = r#"{"name": "n", "export": "descriptor.spec", "expect": {}}"#;
        assert_eq!(read(one).map(|cases| cases.len()).unwrap(), 1);
        assert_eq!(read(&format!("[{one}, {one}]")).map(|cases| cases.len()).unwrap(), 2);
        assert!(matches!(
            read(r#"{"name": "n", "exprot": "x", "expect": {}}"#),
            Err(CaseError::Unreadable(_))
        ));
    }
}
