//! `config-loader`: whatever is entered, it says what is wrong with which field, and repeats no value.

use serde_json::{Map, Value, json};
use strowger_host::spec::FieldType;

use super::problems::Problems;
use super::subject::{Subject, reference};
use crate::report::{Outcome, Problem};

const EXPORT: &str = "descriptor.config-loader";
/// A value that no sentence has by chance.
const CANARY: &str = "kit7canary7value7that7nobody7would7enter";

pub(super) fn check(subject: &Subject<'_>) -> Outcome {
    let mut problems = Problems::default();
    let spec = subject.provider.spec();
    for (what, entered) in strange_entries(subject) {
        let loaded = match subject.provider.invoke_json(EXPORT, &json!({ "credentials": entered })) {
            Ok(loaded) => loaded,
            Err(strowger_host::InvokeJsonError::Invoke(fault)) => {
                problems.fault(EXPORT, &format!("given {what}"), &fault);
                continue;
            }
            Err(_) => continue,
        };
        for told in loaded.get("err").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (field, problem) = (text("field"), text("problem"));
            // A problem without a field is one of the whole configuration.
            if !field.is_empty() && spec.field(&field).is_none() {
                problems.add(EXPORT, "unknown field", || Problem {
                    what: format!("{EXPORT} finds a problem with `{field}`, which is not a field, given {what}"),
                    why: "a form shows each problem at its field, and has no place for this one".to_owned(),
                    mend: "name the field of the spec whose value has to change".to_owned(),
                });
            }
            if problem.trim().is_empty() {
                problems.add(EXPORT, "no words", || Problem {
                    what: format!("{EXPORT} finds a problem with `{field}` and does not say which, given {what}"),
                    why: "a user cannot mend what is not named".to_owned(),
                    mend: "say in one sentence what is wrong with its shape, and what to enter".to_owned(),
                });
            }
            if problem.contains(CANARY) {
                problems.add(EXPORT, "quotes", || Problem {
                    what: format!("{EXPORT} repeats the value of `{field}` in its problem"),
                    why: "problems are logged and shown; a value that was entered in the wrong field may be a secret"
                        .to_owned(),
                    mend: "say what a good value looks like instead".to_owned(),
                });
            }
        }
    }
    problems.outcome()
}

fn strange_entries(subject: &Subject<'_>) -> Vec<(String, Value)> {
    let spec = subject.provider.spec();
    let good = subject.credentials.expose();
    let mut entries = vec![
        ("nothing".to_owned(), json!({})),
        ("an array".to_owned(), json!([])),
        ("null".to_owned(), json!(null)),
        ("a field that is none".to_owned(), json!({ "no_such_field": CANARY })),
    ];
    for (n, field) in spec.fields.iter().enumerate() {
        let strange = match field.kind {
            FieldType::Number => json!(-1.5e300),
            FieldType::Boolean => json!(true),
            FieldType::StringArray => json!([CANARY, "", "\u{0}"]),
            _ if spec.is_sealed(&field.name) => json!(reference(n)),
            _ => json!(format!("{CANARY}/../?#\"'<>&{{}}")),
        };
        for value in [strange, Value::Null] {
            let mut entered: Map<String, Value> = good.as_object().cloned().unwrap_or_default();
            entered.insert(field.name.clone(), value.clone());
            entries.push((format!("`{}` as {}", field.name, brief(&value)), Value::Object(entered)));
        }
    }
    entries
}

fn brief(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Number(_) => "a huge negative number",
        Value::Array(_) => "a list of strange texts",
        Value::Bool(_) => "true",
        _ => "a strange text",
    }
}
