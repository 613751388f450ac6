//! Vobiz's REST API: addresses, authorisation and what its refusals mean.
//!
//! <https://docs.vobiz.ai/introduction>. Paths are written exactly as documented: capital letters and the slash at the end
//! decide which resource is meant.

use serde_json::Value;
use strowger_sdk::{Failure, Request, Response, join_path};

use crate::spec::{API_HOST, Config};

/// URL of a resource below the account whose path has no slash at its end, such as `["numbers"]`.
pub(crate) fn url(config: &Config, resource: &[&str]) -> Result<String, Failure> {
    let mut segments = vec![config.auth_id.as_str()];
    segments.extend_from_slice(resource);
    join_path(&format!("https://{API_HOST}/api/v1/Account"), &segments)
}

/// The same with a slash, as calls and applications have it.
pub(crate) fn url_slash(config: &Config, resource: &[&str]) -> Result<String, Failure> {
    Ok(url(config, resource)? + "/")
}

pub(crate) fn authorised(config: &Config, request: Request) -> Request {
    request
        .credential_header("X-Auth-ID", &config.auth_id)
        .credential_header("X-Auth-Token", &config.auth_token)
}

/// The response if it is a success; otherwise whose fault it is. `refused` says what to do about a request that Vobiz does
/// not like. Vobiz's own words are left out: they quote phone numbers.
pub(crate) fn accept(response: Response, refused: &str) -> Result<Response, Failure> {
    match response.status {
        200..=299 => Ok(response),
        404 => Err(Failure::request(
            "not-found",
            "Vobiz does not know what was asked for (HTTP 404); check the identifiers in the configuration.",
        )),
        409 => Err(Failure::request(
            "conflict",
            "Vobiz refused the change because it conflicts with another one (HTTP 409); look at the Vobiz console.",
        )),
        status @ (400 | 405..=407 | 410..=428) => Err(Failure::request(
            "request-refused",
            format!("Vobiz refused the request (HTTP {status}); {refused}"),
        )),
        status => Err(Failure::from_status(status)),
    }
}

/// The same for a request whose answer has nothing to tell. The page of something in between is not Vobiz's success.
pub(crate) fn confirm(response: Response, refused: &str) -> Result<(), Failure> {
    accept(response, refused)?.confirmed().map(|_| ())
}

/// An identifier or an amount, which Vobiz writes as a string or as a number.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Vobiz takes numbers without their plus sign.
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
        ];
        for (status, kind, owner, retryable) in table {
            let body = json!({ "error": "+14155550100 is not yours" });
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
        assert!(accept(Response::empty(204), "").is_ok());
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
}
