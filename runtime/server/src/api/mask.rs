//! What is shown of a secret, and what it means when that comes back.
//!
//! A mask has as many characters as the secret: stars, and the last four as they are. A client that saves what it read
//! sends masks; each that equals the mask of the stored value stands for that value. Any other text that looks like a mask
//! is refused, because it is the mask of a value that somebody else has changed meanwhile, and storing it would replace a
//! secret by stars.
//!
//! Who wants no guessing says it: `{"unchanged": true}` is what is stored, whatever that is, and `{"value": "…"}` is this very
//! text, even if it looks like a mask. No field has an object as its value, so neither can be meant otherwise.

use serde_json::{Map, Value};
use strowger_host::FieldProblem;
use strowger_host::spec::{Field, FieldType, ProviderSpec};

/// How many characters at the end are shown, of a longer secret.
const SHOWN_CHARS: usize = 4;

/// The mask of a text. Of a text that is no longer than what would be shown, nothing is.
pub(super) fn mask(text: &str) -> String {
    let chars = text.chars().count();
    let hidden = if chars <= SHOWN_CHARS {
        chars
    } else {
        chars - SHOWN_CHARS
    };
    "*".repeat(hidden) + &text.chars().skip(hidden).collect::<String>()
}

pub(super) fn looks_masked(text: &str) -> bool {
    !text.is_empty() && mask(text) == text
}

/// Masks the texts in a value; numbers and flags that are secret become their mask, too.
fn mask_value(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::String(text) => Value::String(mask(text)),
        Value::Bool(_) | Value::Number(_) => Value::String(mask(&value.to_string())),
        Value::Array(items) => items.iter().map(mask_value).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), mask_value(value)))
            .collect(),
    }
}

/// What a user may see of credentials. Without a spec, because the provider is gone, every value is masked.
pub(super) fn masked(spec: Option<&ProviderSpec>, credentials: &Value) -> Map<String, Value> {
    let Some(fields) = credentials.as_object() else {
        return Map::new();
    };
    let shown = fields.iter().filter_map(|(name, value)| match spec {
        None => Some((name.clone(), mask_value(value))),
        Some(spec) => match spec.field(name) {
            // Set by the provider, for itself.
            Some(field) if field.server_managed => None,
            Some(field) if !field.sensitive => Some((name.clone(), value.clone())),
            // A field that an older version of the provider had, or a sensitive one.
            _ => Some((name.clone(), mask_value(value))),
        },
    });
    shown.collect()
}

/// What a user does not enter.
fn is_managed(field: &Field) -> bool {
    field.server_managed || field.kind == FieldType::Readonly
}

/// The credentials that a user means: masks stand for what is stored, and fields that users do not enter are ignored and
/// carried over. What belongs to an account that is being left is discarded, unless the user entered another value.
///
/// # Errors
/// One entry for each mask that stands for nothing.
pub(super) fn restored(
    spec: &ProviderSpec,
    entered: Map<String, Value>,
    stored: Option<&Value>,
) -> Result<Value, Vec<FieldProblem>> {
    let stored = stored.and_then(Value::as_object);
    let mut problems = Vec::new();
    let mut meant = Map::new();
    let mut unmasked = Vec::new();
    for (name, value) in entered {
        let Some(field) = spec.field(&name) else {
            meant.insert(name, value);
            continue;
        };
        if is_managed(field) {
            continue;
        }
        let before = stored.and_then(|stored| stored.get(&name));
        let value = if field.sensitive {
            match before {
                _ if value.is_object() => match (said(&value), before) {
                    (Some(Said::Value(value)), _) => value,
                    (Some(Said::Unchanged), Some(before)) if !is_empty(before) => {
                        unmasked.push(name.clone());
                        before.clone()
                    }
                    (Some(Said::Unchanged), _) => {
                        let problem = "cannot stay unchanged: there is no stored value; enter one".to_owned();
                        problems.push(FieldProblem { field: name, problem });
                        continue;
                    }
                    (None, _) => {
                        let problem = "must be a value, {\"unchanged\": true} or {\"value\": …}".to_owned();
                        problems.push(FieldProblem { field: name, problem });
                        continue;
                    }
                },
                Some(before) if !is_empty(&value) && value == mask_value(before) => {
                    unmasked.push(name.clone());
                    before.clone()
                }
                _ if has_mask(&value) => {
                    let problem =
                        "is masked, but not as the stored value is; enter the whole value, or {\"value\": …} when the \
                                   stars are part of it"
                            .to_owned();
                    problems.push(FieldProblem { field: name, problem });
                    continue;
                }
                _ => value,
            }
        } else {
            value
        };
        meant.insert(name, value);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let account_changed = spec.account_id_field.as_ref().is_some_and(|name| {
        let of = |fields: Option<&Map<String, Value>>| fields.and_then(|fields| fields.get(name)).cloned();
        of(Some(&meant)) != of(stored)
    });
    if account_changed {
        // A client that saves what it read sends what belonged to the account before. Of a text that is shown nobody can tell
        // whether it was entered again; one that is required is believed.
        for Field { name, required, .. } in spec.fields.iter().filter(|field| field.account_scoped) {
            let as_before = !required && meant.get(name) == stored.and_then(|stored| stored.get(name));
            if unmasked.contains(name) || as_before {
                meant.remove(name);
            }
        }
    }
    for field in spec
        .fields
        .iter()
        .filter(|field| is_managed(field) && !(field.account_scoped && account_changed))
    {
        if let Some(value) = stored.and_then(|stored| stored.get(&field.name)) {
            meant.insert(field.name.clone(), value.clone());
        }
    }
    Ok(Value::Object(meant))
}

/// What a client says about a secret without room for a guess.
enum Said {
    Unchanged,
    Value(Value),
}

fn said(value: &Value) -> Option<Said> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    match object.iter().next()? {
        (name, Value::Bool(true)) if name == "unchanged" => Some(Said::Unchanged),
        (name, value) if name == "value" && !value.is_object() => Some(Said::Value(value.clone())),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

fn has_mask(value: &Value) -> bool {
    match value {
        Value::String(text) => looks_masked(text),
        Value::Array(items) => items.iter().any(has_mask),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_shows_the_last_four_of_a_longer_secret() {
        for (secret, shown) in [
            ("", ""),
            ("abc", "***"),
            ("abcd", "****"),
            ("abcde", "*bcde"),
            ("0123456789", "******6789"),
            ("häßlich", "***lich"),
        ] {
            assert_eq!(mask(secret), shown);
            assert_eq!(looks_masked(shown), !shown.is_empty(), "{shown}");
        }
        assert!(!looks_masked("secret") && !looks_masked("ab*cdef") && !looks_masked("s3cr*t-value"));
    }

    #[test]
    fn values_of_every_kind_are_masked() {
        let value = serde_json::json!({ "list": ["abcdef", "xy"], "pin": 123456, "on": true, "none": null });
        let expected = serde_json::json!({ "list": ["**cdef", "**"], "pin": "**3456", "on": "****", "none": null });
        assert_eq!(mask_value(&value), expected);
    }
}
