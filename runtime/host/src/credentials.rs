//! Credentials as a user enters them, checked against the fields of a frozen spec.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::sealed::Secret;
use crate::spec::{Field, FieldType, ProviderSpec};

/// The longest value of one field, in bytes.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// What is wrong with one field, never with its value in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Name of the field.
    pub field: String,
    /// What is wrong with its shape, and what to enter.
    pub problem: String,
}

impl FieldProblem {
    pub(crate) fn new(field: &str, problem: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            problem: problem.into(),
        }
    }
}

/// The credentials of one configuration: they passed the spec's rules. Values of sensitive fields are [`Secret`]s.
#[derive(Debug, Clone)]
pub struct Credentials {
    plain: Map<String, Value>,
    secret: Vec<(String, Secret)>,
}

impl Credentials {
    /// Checks what was entered against the fields of the spec. All problems are reported at once.
    ///
    /// # Errors
    /// One entry for each field that is missing, unknown or of the wrong type.
    pub fn check(spec: &ProviderSpec, entered: &Value) -> Result<Self, Vec<FieldProblem>> {
        let Some(entered) = entered.as_object() else {
            return Err(vec![FieldProblem::new(
                "config",
                "must be a JSON object with one entry for each field",
            )]);
        };
        let mut problems = Vec::new();
        for name in entered.keys() {
            if spec.field(name).is_none() {
                let known: Vec<&str> = spec.fields.iter().map(|field| field.name.as_str()).collect();
                problems.push(FieldProblem::new(
                    name,
                    format!(
                        "is not a field of {}; its fields are {}",
                        spec.display_name,
                        known.join(", ")
                    ),
                ));
            }
        }
        let mut checked = Self {
            plain: Map::new(),
            secret: Vec::new(),
        };
        for field in &spec.fields {
            let value = entered.get(&field.name).filter(|value| !is_blank(value));
            match value {
                _ if !is_visible(field, entered) => {}
                None if field.required => problems.push(FieldProblem::new(
                    &field.name,
                    format!("is required: enter {}", expected(field)),
                )),
                None => {}
                Some(value) => match check_value(field, value) {
                    Err(problem) => problems.push(FieldProblem::new(&field.name, problem)),
                    Ok(()) => match value {
                        Value::String(text) if spec.is_sealed(&field.name) => {
                            checked.secret.push((field.name.clone(), Secret::new(text.clone())))
                        }
                        value => drop(checked.plain.insert(field.name.clone(), value.clone())),
                    },
                },
            }
        }
        if problems.is_empty() {
            Ok(checked)
        } else {
            Err(problems)
        }
    }

    /// The value of a field that is not sealed.
    #[must_use]
    pub fn plain(&self, field: &str) -> Option<&Value> {
        self.plain.get(field)
    }

    /// The value of a field that is not sealed, if it is text.
    #[must_use]
    pub fn plain_text(&self, field: &str) -> Option<&str> {
        self.plain.get(field).and_then(Value::as_str)
    }

    /// Everything, secrets in the clear: for the store, which encrypts it.
    #[must_use]
    pub fn expose(&self) -> Value {
        let mut all = self.plain.clone();
        for (name, secret) in &self.secret {
            all.insert(name.clone(), Value::String(secret.expose().to_owned()));
        }
        Value::Object(all)
    }

    pub(crate) fn plain_values(&self) -> &Map<String, Value> {
        &self.plain
    }

    pub(crate) fn secrets(&self) -> &[(String, Secret)] {
        &self.secret
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn is_visible(field: &Field, entered: &Map<String, Value>) -> bool {
    field
        .visible_when
        .as_ref()
        .is_none_or(|condition| entered.get(&condition.field) == Some(&condition.equals))
}

fn expected(field: &Field) -> String {
    match field.kind {
        FieldType::Text | FieldType::Password | FieldType::Textarea | FieldType::Readonly => "text".to_owned(),
        FieldType::StringArray => "a list of texts".to_owned(),
        FieldType::Number => "a number".to_owned(),
        FieldType::Boolean => "true or false".to_owned(),
        FieldType::Select => {
            let values: Vec<&str> = field.options.iter().map(|choice| choice.value.as_str()).collect();
            format!("one of {}", values.join(", "))
        }
    }
}

fn check_value(field: &Field, value: &Value) -> Result<(), String> {
    let fits = match (field.kind, value) {
        (FieldType::Text | FieldType::Password | FieldType::Readonly, Value::String(text)) => {
            if text.chars().any(char::is_control) {
                return Err(format!(
                    "must be one line of {} characters without line breaks or other control characters",
                    text.chars().count()
                ));
            }
            true
        }
        (FieldType::Textarea, Value::String(_))
        | (FieldType::Number, Value::Number(_))
        | (FieldType::Boolean, Value::Bool(_)) => true,
        (FieldType::StringArray, Value::Array(items)) => items.iter().all(Value::is_string),
        (FieldType::Select, Value::String(text)) => field.options.iter().any(|choice| choice.value == *text),
        _ => false,
    };
    if !fits {
        return Err(format!("must be {}, not {}", expected(field), shape(value)));
    }
    match value {
        Value::String(text) if text.len() > VALUE_BYTES_MAX => Err(format!(
            "is {} bytes long; at most {VALUE_BYTES_MAX} are allowed",
            text.len()
        )),
        _ => Ok(()),
    }
}

/// What a value looks like, without saying what it is.
fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "another text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
