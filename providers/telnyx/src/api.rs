//! Telnyx's REST API, version 2: addresses, authorisation and what its errors mean.
//!
//! <https://developers.telnyx.com/development/api-fundamentals/api-errors>

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use strowger_sdk::{Failure, Io, Outcome, Request, Response, join_path};

use crate::spec::Config;

const BASE: &str = "https://api.telnyx.com/v2";

/// "Call has already ended".
const CALL_ENDED: &str = "90018";
/// Telnyx's own numbers have five digits; SIP ones a letter and up to three.
const ERROR_CODE_MAX_CHARS: usize = 8;

/// URL of a resource, for example `["calls", id]`.
pub(crate) fn url(resource: &[&str]) -> Result<String, Failure> {
    join_path(BASE, resource)
}

/// A command to a call: <https://developers.telnyx.com/docs/voice/programmable-voice/sending-commands>.
pub(crate) fn command(call_control_id: &str, action: &str, body: &Value) -> Result<Request, Failure> {
    Ok(Request::post(url(&["calls", call_control_id, "actions", action])?).json(body))
}

pub(crate) fn send(config: &Config, request: Request, io: &mut Io) -> Outcome<Response> {
    io.http(request.bearer(&config.api_key))
}

/// Like [`send`], and the same request once more when Telnyx could not process it. Only for a command with a
/// `command_id`: Telnyx carries such a one out once, and advises to repeat it at once.
/// <https://developers.telnyx.com/docs/voice/programmable-voice/command-retries>
pub(crate) fn send_again(config: &Config, request: Request, io: &mut Io) -> Outcome<Response> {
    let request = request.bearer(&config.api_key);
    match io.try_http(request.clone())? {
        Ok(response) if response.status < 500 => Ok(response),
        _ => io.http(request),
    }
}

/// Whether what was commanded is no longer there to be commanded. Some time after its end Telnyx forgets a call.
pub(crate) fn has_ended(response: &Response) -> bool {
    response.status == 404 || error_code(response).as_deref() == Some(CALL_ENDED)
}

/// What the response says under `data`, if it is a success; otherwise whose fault it is.
pub(crate) fn data<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    #[derive(Deserialize)]
    struct Body<T> {
        data: T,
    }
    let response = accept(response)?;
    let body: Body<T> = response.read_json().map_err(|_| {
        Failure::carrier(
            "unexpected-answer",
            "The answer was not one of Telnyx's API; try again later, and check the network between if it stays so.",
        )
    })?;
    Ok(body.data)
}

/// That a command was taken. A page of something between us and Telnyx is no such thing, whatever its status.
pub(crate) fn confirmed(response: Response) -> Result<(), Failure> {
    data::<IgnoredAny>(response).map(|_| ())
}

/// The first of Telnyx's own codes for what went wrong, from the body of a refusal.
pub(crate) fn error_code(response: &Response) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        errors: Vec<Problem>,
    }
    #[derive(Deserialize)]
    struct Problem {
        code: Value,
    }
    let refusal: Refusal = response.read_json().ok()?;
    let code = match refusal.errors.into_iter().next()?.code {
        Value::String(code) => code,
        Value::Number(code) => code.to_string(),
        _ => return None,
    };
    let plain = (1..=ERROR_CODE_MAX_CHARS).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then_some(code)
}

/// The response if it is a success. Telnyx's own words are left out: they quote phone numbers.
fn accept(response: Response) -> Result<Response, Failure> {
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    let code = error_code(&response);
    let failure = failure(response.status, code.as_deref());
    Err(match code {
        Some(code) => Failure {
            message: format!("{} Telnyx's error is {code}.", failure.message),
            ..failure
        },
        None => failure,
    })
}

fn failure(status: u16, code: Option<&str>) -> Failure {
    match (status, code) {
        (_, Some(CALL_ENDED)) => Failure::request("call-ended", "The call has ended already."),
        (_, Some("90015")) => Failure::request("call-not-found", "Telnyx does not know this call (any more)."),
        (_, Some("90034")) => Failure::request("call-not-answered", "The call has not been answered yet.").retryable(),
        (_, Some("20100")) | (402, _) => Failure::quota(
            "no-balance",
            "The Telnyx account has not enough balance; add funds in the Telnyx portal.",
        ),
        (_, Some("10002" | "10016")) => Failure::request(
            "number-invalid",
            "Telnyx cannot use this number; it must be written as E.164 with +.",
        ),
        (401, _) => Failure::configuration(
            "credentials-refused",
            "Telnyx refused the API key (HTTP 401); check it in the configuration.",
        ),
        (403, _) => Failure::configuration(
            "not-permitted",
            "Telnyx does not permit this (HTTP 403); check the API key's rights, the account's verification level, and \
             that the application has an outbound voice profile which allows the destination.",
        ),
        (404, _) => Failure::request(
            "not-found",
            "Telnyx does not know what was asked for (HTTP 404): the call has ended, or the application is gone; check the \
             Call Control App ID in the configuration.",
        ),
        (409, _) => Failure::request(
            "conflict",
            "Telnyx was changing the same thing at that moment (HTTP 409); try again.",
        )
        .retryable(),
        _ => Failure::from_status(status),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strowger_sdk::{FailureKind, FailureOwner};

    use super::*;

    fn refusal(status: u16, code: &Value) -> Failure {
        let body = json!({ "errors": [{ "code": code, "title": "…", "detail": "The number +14155550100 …" }] });
        confirmed(Response {
            status,
            ..Response::json(&body)
        })
        .unwrap_err()
    }

    #[test]
    fn telnyxs_errors_have_an_owner() {
        let table = [
            (401, "10009", FailureKind::Configuration, "credentials-refused", false),
            (403, "10010", FailureKind::Configuration, "not-permitted", false),
            (403, "20100", FailureKind::Quota, "no-balance", false),
            (404, "10005", FailureKind::Request, "not-found", false),
            (409, "10012", FailureKind::Request, "conflict", true),
            (422, "10016", FailureKind::Request, "number-invalid", false),
            (422, "90015", FailureKind::Request, "call-not-found", false),
            (422, "90018", FailureKind::Request, "call-ended", false),
            (422, "90034", FailureKind::Request, "call-not-answered", true),
            (422, "12345", FailureKind::Request, "request-refused", false),
            (429, "10011", FailureKind::Quota, "rate-limited", true),
            (500, "10007", FailureKind::Carrier, "carrier-error", true),
        ];
        for (status, code, kind, name, retryable) in table {
            let failure = refusal(status, &json!(code));
            let given = (failure.kind, failure.code.as_str(), failure.retryable);
            assert_eq!(given, (kind, name, retryable), "{status} {code}");
            assert!(failure.message.contains(code), "{}", failure.message);
            assert!(!failure.message.contains("4155550100"));
            let user = matches!(
                kind,
                FailureKind::Configuration | FailureKind::Quota | FailureKind::Request
            );
            assert_eq!(failure.owner == FailureOwner::User, user, "{status} {code}");
        }
    }

    #[test]
    fn a_code_may_be_a_number_and_nothing_strange() {
        assert_eq!(refusal(422, &json!(90018)).code, "call-ended");
        for strange in [json!("90018 +14155550100"), json!(""), json!([1]), json!("<script>")] {
            let failure = refusal(422, &strange);
            assert_eq!(
                failure.message,
                "The carrier refused the request (HTTP 422); check the number and the settings that it is about."
            );
        }
    }

    #[test]
    fn a_success_is_telnyxs_own_or_none() {
        assert!(confirmed(Response::json(&json!({ "data": { "result": "ok" } }))).is_ok());
        for body in ["<html>Welcome to the network</html>", r#"{"data":{"res"#, "", "{}"] {
            let failure = confirmed(Response::text(body)).unwrap_err();
            assert_eq!(
                (failure.kind, failure.retryable),
                (FailureKind::Carrier, true),
                "{body}"
            );
        }
        let page = Response {
            status: 502,
            ..Response::text("<html>Bad Gateway</html>")
        };
        assert_eq!(confirmed(page).unwrap_err().code, "carrier-error");
        assert_eq!(confirmed(Response::empty(302)).unwrap_err().code, "redirected");
    }
}
