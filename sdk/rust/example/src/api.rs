//! The REST API: requests of one account, and whose fault an answer is.

use serde::Serialize;
use strowger_sdk::{Call, Failure, FailureOwner, Interrupted, Io, Outcome, Request, Response, Unreachable, join_path};

use crate::Config;
use crate::webhooks::Body;

const BASE: &str = "https://api.example-telecom.example/v1/accounts";

/// Of a request that only asks.
pub(crate) const NO_BODY: Option<&()> = None;

/// Sends a request below the account and gives the answer, whatever its status. `path` is escaped.
pub(crate) fn send(
    config: &Config,
    io: &mut Io,
    method: &str,
    path: &[&str],
    body: Option<&impl Serialize>,
) -> Outcome<Response> {
    let url = join_path(BASE, &[&[&*config.account], path].concat())?;
    let mut request = Request::new(method, url).bearer(&config.api_key);
    if let Some(body) = body {
        request = request.json(body);
    }
    io.try_http(request)?
        .map_err(|Unreachable(_)| Failure::carrier("unreachable", "The carrier cannot be reached.").into())
}

/// The carrier's identifier of a call, which a path can hold.
pub(crate) fn call_id(call: &Call) -> Result<&str, Failure> {
    match call.provider_call_id.as_deref() {
        None | Some("" | "." | "..") => Err(call_not_found()),
        Some(id) => Ok(id),
    }
}

pub(crate) fn call_not_found() -> Failure {
    Failure::request("call-not-found", "The carrier does not know this call.")
}

/// The body of an answer.
pub(crate) fn read(answer: &Response) -> Result<Body, Failure> {
    Body::read(&answer.body).ok_or_else(|| unusable(answer))
}

/// The failure that an answer's status stands for, unless an operation knows better.
pub(crate) fn refusal(answer: &Response) -> Interrupted {
    let status = answer.status;
    match status {
        401 | 403 => Failure::configuration("unauthorized", "The carrier refuses the API key."),
        402 => Failure::quota("balance", "The account has no credit."),
        429 => Failure {
            owner: FailureOwner::Operator,
            ..Failure::quota("rate-limited", "The carrier asks to slow down.").retryable()
        },
        400..=499 => Failure::request("refused", format!("The carrier refused the request (HTTP {status}).")),
        _ => unusable(answer),
    }
    .into()
}

/// The carrier answered with what it does not document.
pub(crate) fn unusable(answer: &Response) -> Failure {
    let status = answer.status;
    Failure::carrier(
        "unexpected-answer",
        format!("The carrier's answer cannot be used (HTTP {status})."),
    )
}
