//! Plivo's REST API: addresses, authorisation and what its refusals mean.
//!
//! <https://docs.plivo.com/docs/voice/api/response>

use serde_json::Value;
use strowger_sdk::{Failure, Request, Response, join_path};

use crate::spec::{API_HOST, Config};

/// URL of a resource below the account, for example `["Call", "…"]`.
pub(crate) fn url(config: &Config, resource: &[&str]) -> Result<String, Failure> {
    let mut segments = vec![config.auth_id.as_str()];
    segments.extend_from_slice(resource);
    Ok(join_path(&format!("https://{API_HOST}/v1/Account"), &segments)? + "/")
}

pub(crate) fn authorised(config: &Config, request: Request) -> Request {
    request.basic(&config.auth_id, &config.auth_token)
}

/// The response if it is a success; otherwise whose fault it is. `refused` says what to do about a request that Plivo does
/// not like. Plivo's own words are left out: they quote phone numbers.
pub(crate) fn accept(response: Response, refused: &str) -> Result<Response, Failure> {
    match response.status {
        200..=299 => Ok(response),
        404 => Err(Failure::request(
            "not-found",
            "Plivo does not know what was asked for (HTTP 404); check the identifiers in the configuration.",
        )),
        409 => Err(Failure::request(
            "conflict",
            "Plivo refused the change because it conflicts with another one (HTTP 409); look at the Plivo console.",
        )),
        status @ (400 | 405..=407 | 410..=428) => Err(Failure::request(
            "request-refused",
            format!("Plivo refused the request (HTTP {status}); {refused}"),
        )),
        status => Err(Failure::from_status(status)),
    }
}

/// The same for a request whose answer has nothing to tell. The page of something in between is not Plivo's success.
pub(crate) fn confirm(response: Response, refused: &str) -> Result<(), Failure> {
    accept(response, refused)?.confirmed().map(|_| ())
}

/// An identifier, which Plivo writes as a string or as a number; the first of a list.
pub(crate) fn identifier(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(list) => list.first().and_then(identifier),
        _ => None,
    }
}

/// Plivo writes numbers without their plus sign.
pub(crate) fn dialled(address: &str) -> &str {
    address.strip_prefix('+').unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strowger_sdk::{FailureKind, FailureOwner};

    use super::*;

    #[test]
    fn refusals_have_an_owner() {
        let table = [
            (401, FailureKind::Configuration, FailureOwner::User, false),
            (403, FailureKind::Configuration, FailureOwner::User, false),
            (404, FailureKind::Request, FailureOwner::User, false),
            (409, FailureKind::Request, FailureOwner::User, false),
            (400, FailureKind::Request, FailureOwner::User, false),
            (402, FailureKind::Quota, FailureOwner::User, false),
            (429, FailureKind::Quota, FailureOwner::User, true),
            (302, FailureKind::Configuration, FailureOwner::User, false),
            (408, FailureKind::Carrier, FailureOwner::Operator, true),
            (500, FailureKind::Carrier, FailureOwner::Operator, true),
            (503, FailureKind::Carrier, FailureOwner::Operator, true),
        ];
        for (status, kind, owner, retryable) in table {
            let body = json!({ "api_id": "1", "error": "+14155550100 is not yours" });
            let failure = accept(
                Response {
                    status,
                    ..Response::json(&body)
                },
                "try another number.",
            )
            .unwrap_err();
            assert_eq!(
                (failure.kind, failure.owner, failure.retryable),
                (kind, owner, retryable),
                "{status}"
            );
            assert!(!failure.message.contains("4155550100"), "{}", failure.message);
        }
        assert!(accept(Response::empty(202), "").is_ok());
    }

    #[test]
    fn a_page_of_something_in_between_confirms_nothing() {
        for body in ["<html>", "{\"message\":"] {
            let failure = confirm(Response::text(body), "").unwrap_err();
            assert_eq!((failure.kind, failure.retryable), (FailureKind::Carrier, true));
        }
        assert!(confirm(Response::empty(204), "").is_ok());
        assert!(confirm(Response::json(&json!({ "message": "changed" })), "").is_ok());
    }

    #[test]
    fn identifiers_come_in_several_shapes() {
        for (value, expected) in [
            (json!("a"), Some("a")),
            (json!(20468599130939380_u64), Some("20468599130939380")),
            (json!(["a", "b"]), Some("a")),
            (json!(""), None),
            (json!(null), None),
            (json!([]), None),
        ] {
            assert_eq!(identifier(&value).as_deref(), expected);
        }
    }
}
