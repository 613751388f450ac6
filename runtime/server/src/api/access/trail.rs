//! What of a request and its answer goes into the audit log: names and identifiers, never a value.

use std::collections::BTreeMap;

use axum::body::{Body, HttpBody as _};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::store::Outcome;

/// Names of fields in one entry.
const FIELDS_MAX: usize = 64;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest name of a provider, in bytes. A key is longer.
const WORD_BYTES_MAX: usize = 40;
/// Answers up to this size are looked through for identifiers, in bytes.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// Fields whose own fields are those of a provider, and so have names that are no secrets.
const FORMS: [&str; 2] = ["config", "settings"];

/// The names of the fields in a body.
pub(super) fn fields(body: &[u8]) -> Vec<String> {
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for (name, value) in &object {
        match value {
            Value::Object(form) if FORMS.contains(&name.as_str()) => {
                names.extend(
                    form.keys()
                        .filter(|inner| is_name(inner))
                        .map(|inner| format!("{name}.{inner}")),
                );
            }
            _ if is_name(name) => names.push(name.clone()),
            _ => {}
        }
    }
    names.truncate(FIELDS_MAX);
    names
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The parameters of a path that are identifiers. Whatever else somebody put there is not written down.
pub(super) fn resources<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    parameters
        .map(|(name, value)| {
            let shown = if is_identifier(value) { value } else { "?" };
            (name.to_owned(), shown.to_owned())
        })
        .collect()
}

/// A UUID, a digest, or a word like a provider's name.
fn is_identifier(text: &str) -> bool {
    if text.len() == 36 && Uuid::try_parse(text).is_ok() {
        return true;
    }
    let digest = text.strip_prefix("sha256:").unwrap_or(text);
    if digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return true;
    }
    text.len() <= WORD_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
}

/// How an answer ends the story.
pub(super) fn outcome(status: StatusCode) -> Outcome {
    if status.is_server_error() {
        Outcome::Failed
    } else if status.is_client_error() {
        Outcome::Refused
    } else {
        Outcome::Done
    }
}

/// Adds the identifiers of what was made, which only the answer knows.
pub(super) async fn made(response: Response, resources: &mut BTreeMap<String, String>) -> Response {
    if response
        .body()
        .size_hint()
        .upper()
        .is_none_or(|bytes| bytes > ANSWER_BYTES_MAX)
    {
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        // A body that is in memory does not fail.
        return Response::from_parts(parts, Body::empty());
    };
    if let Ok(answer) = serde_json::from_slice::<Map<String, Value>>(&bytes) {
        for (name, value) in &answer {
            let names_it = name == "id" || name.ends_with("_id") || name == "digest" || name == "provider";
            if let Some(value) = value.as_str().filter(|value| names_it && is_identifier(value)) {
                resources.entry(name.clone()).or_insert_with(|| value.to_owned());
            }
        }
    }
    Response::from_parts(parts, Body::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_and_values_are_not() {
        let body = br#"{"name": "secret", "config": {"auth_token": "secret", "Sec ret": 1}, "headers": {"x-secret": "s"}, "strow_S": 1}"#;
        assert_eq!(fields(body), ["config.auth_token", "headers", "name"]);
        assert!(fields(b"[1]").is_empty() && fields(b"\xff").is_empty());
        let many: Map<String, Value> = (0..1_000).map(|number| (format!("f{number}"), Value::Null)).collect();
        assert_eq!(fields(&serde_json::to_vec(&many).unwrap()).len(), FIELDS_MAX);
    }

    #[test]
    fn only_identifiers_of_ours_are_kept() {
        let id = "0193c0de-0000-7000-8000-0123456789ab";
        let digest = "a".repeat(64);
        for kept in [id, &digest, "acme-voice"] {
            assert_eq!(resources([("x", kept)].into_iter())["x"], kept);
        }
        for other in ["+14155551234", "14155551234", "strow_AbC", "", "ä", &"a".repeat(41)] {
            assert_eq!(resources([("x", other)].into_iter())["x"], "?", "{other}");
        }
    }
}
