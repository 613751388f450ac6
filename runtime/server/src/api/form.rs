//! What a client sent, taken apart field by field. All that is wrong with it is collected before anything is said.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Number, Value};
use strowger_host::FieldProblem;

use super::{ApiError, json};

/// The fields of a request's body. Each is taken once; what is left at the end is unknown.
#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    fields: Map<String, Value>,
    /// Whether everything is a text, as in a query.
    textual: bool,
    known: Vec<&'static str>,
    problems: Vec<FieldProblem>,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| ApiError::TooLarge)?;
        match json::parse(&body) {
            Ok(Value::Object(fields)) => Ok(Self {
                fields,
                ..Self::default()
            }),
            Ok(_) => Err(ApiError::Malformed("the body must be a JSON object".to_owned())),
            Err(problem) => Err(ApiError::Malformed(format!(
                "the body must be a JSON object; {problem}"
            ))),
        }
    }
}

/// Whether the body claims to be JSON in UTF-8; one that claims nothing is tried.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return !headers.contains_key(CONTENT_TYPE);
    };
    let Ok(value) = value.to_str() else {
        return false;
    };
    let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
    let kind = kind.trim().to_ascii_lowercase();
    let charset = parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, charset)| charset.trim().trim_matches('"'));
    (kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")))
        && charset.is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8"))
}

impl Form {
    /// The fields of a query string.
    pub(super) fn of_query(query: Option<&str>) -> Self {
        let mut form = Self {
            textual: true,
            ..Self::default()
        };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = Value::String(value.into_owned());
            if form.fields.insert(name.clone().into_owned(), value).is_some() {
                form.problem(&name, "is there twice; send it once");
            }
        }
        form
    }

    /// Adds a problem with a field.
    pub(super) fn problem(&mut self, field: &str, problem: impl Into<String>) {
        self.problems.push(FieldProblem {
            field: field.to_owned(),
            problem: problem.into(),
        });
    }

    /// Takes a field as it is; null is none.
    pub(super) fn value(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn checked<T>(&mut self, name: &'static str, expected: &str, make: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let made = make(self.value(name)?);
        if made.is_none() {
            self.problem(name, format!("must be {expected}"));
        }
        made
    }

    /// Adds a problem when there is no value and none was told yet. The substitute is never used: [`Form::finish`] fails.
    pub(super) fn required<T: Default>(&mut self, name: &'static str, value: Option<T>) -> T {
        if value.is_none() && !self.problems.iter().any(|problem| problem.field == name) {
            self.problem(name, "is required");
        }
        value.unwrap_or_default()
    }

    /// A text of 1 to `chars_max` characters on one line, without white space around it.
    pub(super) fn text(&mut self, name: &'static str, chars_max: usize) -> Option<String> {
        self.checked(
            name,
            &format!("a text of 1 to {chars_max} characters on one line"),
            |value| {
                let text = value.as_str().filter(|text| text.chars().count() <= chars_max)?.trim();
                let fits = !text.is_empty() && !text.chars().any(char::is_control);
                fits.then(|| text.to_owned())
            },
        )
    }

    /// True or false.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.checked(name, "true or false", |value| value.as_bool())
    }

    /// A whole number in a range; in a query, digits.
    pub(super) fn number(&mut self, name: &'static str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let textual = self.textual;
        self.checked(
            name,
            &format!("a whole number from {} to {}", range.start(), range.end()),
            |value| {
                let number = match &value {
                    Value::String(digits) if textual && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                        digits.parse().ok()?
                    }
                    Value::Number(number) => whole(number)?,
                    _ => return None,
                };
                range.contains(&number).then_some(number)
            },
        )
    }

    /// An object.
    pub(super) fn object(&mut self, name: &'static str) -> Option<Map<String, Value>> {
        self.checked(name, "an object", |value| match value {
            Value::Object(object) => Some(object),
            _ => None,
        })
    }

    /// One of the names that `parse` knows.
    pub(super) fn choice<T>(
        &mut self,
        name: &'static str,
        choices: &[&str],
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.checked(name, &format!("one of {}", choices.join(", ")), |value| {
            parse(value.as_str()?)
        })
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.checked(name, expected, |value| parse(value.as_str()?))
    }

    /// An identifier.
    pub(super) fn id<T, E>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        self.checked(name, "an identifier: a UUID of 36 characters", |value| {
            parse(value.as_str()?).ok()
        })
    }

    /// Everything has been taken.
    ///
    /// # Errors
    /// All problems at once, unknown fields among them.
    pub(super) fn finish(mut self) -> Result<(), ApiError> {
        let unknown: Vec<String> = self.fields.keys().cloned().collect();
        for name in unknown {
            self.problem(
                &name,
                format!("is not known here; the fields are {}", self.known.join(", ")),
            );
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ApiError::Fields(self.problems))
        }
    }
}

/// JSON has one kind of numbers: `5.0` is as whole as `5`.
fn whole(number: &Number) -> Option<u64> {
    let exact = |float: &f64| float.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(float);
    number.as_u64().or_else(|| {
        let float = number.as_f64().filter(exact)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole, and fits"
        )]
        Some(float as u64)
    })
}
