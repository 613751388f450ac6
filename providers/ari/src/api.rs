//! ARI over HTTP: addresses, authorisation and what refusals mean.
//!
//! Parameters travel in a JSON body, which Asterisk takes in place of the query for every POST: the query of a request ends
//! up in logs, and one of the parameters opens a media socket.

use serde::Deserialize;
use strowger_sdk::{Failure, HangUpOutcome, Io, Outcome, Request, Response, Unreachable, join_path};

use crate::spec::Config;

/// Code of the failure to make a channel.
pub(crate) const ALLOCATION_FAILED: &str = "allocation-failed";

/// Code of the failure to do something to a channel that has left, or to make one a second time.
pub(crate) const CONFLICT: &str = "conflict";

/// Code of the failure to answer a channel that is just being hung up.
pub(crate) const NOT_ANSWERED: &str = "not-answered";

/// Why a channel is hung up, in ARI's words; each becomes a Q.850 cause and, before the answer, a SIP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// 16.
    Normal,
    /// 17; 486 Busy Here.
    Busy,
    /// 34; 503 Service Unavailable.
    Congestion,
    /// 21; 403 Forbidden.
    Rejected,
    /// 1; 404 Not Found.
    Unallocated,
    /// 31; 480 Temporarily Unavailable.
    NormalUnspecified,
}

impl Reason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Busy => "busy",
            Self::Congestion => "congestion",
            Self::Rejected => "rejected",
            Self::Unallocated => "unallocated",
            Self::NormalUnspecified => "normal_unspecified",
        }
    }
}

pub(crate) fn get(config: &Config, path: &[&str]) -> Result<Request, Failure> {
    Ok(authorised(config, Request::get(url(config, path)?)))
}

/// A POST without parameters; [`Request::json`] adds them.
pub(crate) fn post(config: &Config, path: &[&str]) -> Result<Request, Failure> {
    Ok(authorised(config, Request::post(url(config, path)?)))
}

/// Hangs up a channel.
pub(crate) fn delete_channel(config: &Config, channel: &str, reason: Reason) -> Result<Request, Failure> {
    let request = Request::delete(url(config, &["channels", channel])?).query(&[("reason", reason.as_str())]);
    Ok(authorised(config, request))
}

pub(crate) fn delete_bridge(config: &Config, bridge: &str) -> Result<Request, Failure> {
    Ok(authorised(config, Request::delete(url(config, &["bridges", bridge])?)))
}

/// Performs a request whose refusal the caller of this function deals with. All that ARI answers with has no body, or JSON.
pub(crate) fn attempt(io: &mut Io, request: Request) -> Outcome<Result<Response, Failure>> {
    Ok(match io.try_http(request)? {
        Ok(response) => accept(response).and_then(Response::confirmed),
        Err(Unreachable(_)) => Err(unreachable()),
    })
}

/// Performs a request for tidiness: whatever comes of it, the operation goes on.
pub(crate) fn tidy(io: &mut Io, request: Request) -> Outcome<()> {
    io.try_http(request).map(|_| ())
}

/// Hangs up a channel that may have ended already.
pub(crate) fn hang_up(config: &Config, channel: &str, reason: Reason, io: &mut Io) -> Outcome<HangUpOutcome> {
    match io.try_http(delete_channel(config, channel, reason)?)? {
        Err(Unreachable(_)) => Err(unreachable().into()),
        Ok(response) if is_gone(&response) => Ok(HangUpOutcome::AlreadyEnded),
        Ok(response) => {
            accept(response)?.confirmed()?;
            Ok(HangUpOutcome::Ended)
        }
    }
}

/// Whether the channel or bridge does not exist. A 404 that is not ARI's own means that the address is wrong, and says
/// nothing about channels.
pub(crate) fn is_gone(response: &Response) -> bool {
    response.status == 404 && message(response).is_some_and(|message| message != "Resource not found")
}

/// The response if it is a success; otherwise whose fault it is. Asterisk's own words are left out: they may quote what was
/// dialled.
pub(crate) fn accept(response: Response) -> Result<Response, Failure> {
    let status = response.status;
    match status {
        200..300 => Ok(response),
        401 => Err(Failure::configuration(
            "credentials-refused",
            "Asterisk refused the ARI user or password (HTTP 401); compare them with the user in ari.conf.",
        )),
        403 => Err(Failure::configuration(
            "user-read-only",
            "The ARI user may not change anything (HTTP 403); set read_only = no for it in ari.conf.",
        )),
        404 if is_gone(&response) => Err(Failure::request(
            "not-found",
            "Asterisk does not know the channel or bridge (any more) (HTTP 404).",
        )),
        404 => Err(Failure::configuration(
            "ari-not-found",
            "There is no ARI at the endpoint (HTTP 404); check it against prefix in http.conf and enabled in ari.conf.",
        )),
        409 => Err(Failure::request(
            CONFLICT,
            "Asterisk has something else under this name, or the call is not in a state for it (HTTP 409); try again.",
        )),
        // What was asked for cannot be made: an endpoint that does not exist or has not registered, an unknown technology.
        500 if message(&response).as_deref() == Some("Allocation failed") => Err(Failure::request(
            ALLOCATION_FAILED,
            "Asterisk could not make the channel (HTTP 500, allocation failed); look at its log, which says why.",
        )),
        500 if message(&response).as_deref() == Some("Failed to answer channel") => Err(Failure::request(
            NOT_ANSWERED,
            "Asterisk could not answer the channel (HTTP 500); look at its log, which says why.",
        )),
        500 if message(&response).is_some() => Err(Failure::carrier(
            "asterisk-error",
            "Asterisk could not do what it was asked for (HTTP 500); look at its log, which says why.",
        )),
        _ => Err(Failure::from_status(status)),
    }
}

pub(crate) fn unreachable() -> Failure {
    Failure::carrier(
        "unreachable",
        "Asterisk could not be reached; check that it runs and that the gateway may connect to the ARI endpoint.",
    )
}

fn url(config: &Config, path: &[&str]) -> Result<String, Failure> {
    join_path(&format!("{}/ari", config.endpoint), path)
}

fn authorised(config: &Config, request: Request) -> Request {
    request.basic(&config.user, &config.password)
}

/// What Asterisk says of its refusal; nothing that is no answer of ARI has one.
fn message(response: &Response) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        // A few refusals use the other name.
        #[serde(alias = "error")]
        message: String,
    }
    response.read_json::<Refusal>().ok().map(|refusal| refusal.message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use strowger_sdk::FailureKind;

    use super::*;

    fn refusal(status: u16, body: &Value) -> Failure {
        accept(Response {
            status,
            ..Response::json(body)
        })
        .unwrap_err()
    }

    #[test]
    fn a_refusal_has_an_owner() {
        let table = [
            (401, FailureKind::Configuration, "credentials-refused", false),
            (403, FailureKind::Configuration, "user-read-only", false),
            (404, FailureKind::Request, "not-found", false),
            (409, FailureKind::Request, CONFLICT, false),
            (429, FailureKind::Quota, "rate-limited", true),
            (500, FailureKind::Carrier, "asterisk-error", true),
            (502, FailureKind::Carrier, "carrier-error", true),
            (503, FailureKind::Carrier, "carrier-error", true),
            (302, FailureKind::Configuration, "redirected", false),
        ];
        for (status, kind, code, retryable) in table {
            let failure = refusal(status, &json!({ "message": "PJSIP/+12025550188" }));
            assert_eq!(
                (failure.kind, failure.code.as_str(), failure.retryable),
                (kind, code, retryable),
                "{status}"
            );
            assert!(!failure.message.contains("2025550188"));
        }
    }

    #[test]
    fn what_cannot_be_made_is_not_asterisks_fault() {
        let failure = refusal(500, &json!({ "error": "Allocation failed" }));
        assert_eq!(
            (failure.kind, failure.code.as_str()),
            (FailureKind::Request, ALLOCATION_FAILED)
        );
        let failure = accept(Response {
            status: 500,
            ..Response::text("<html>")
        });
        assert_eq!(failure.unwrap_err().code, "carrier-error");
    }

    #[test]
    fn a_wrong_address_is_not_a_channel_that_ended() {
        for body in [
            Response::json(&json!({ "message": "Resource not found" })).body,
            b"<html>Not Found</html>".to_vec(),
            vec![],
        ] {
            let response = Response {
                status: 404,
                headers: vec![],
                body,
            };
            assert!(!is_gone(&response));
            assert_eq!(accept(response).unwrap_err().code, "ari-not-found");
        }
        assert!(is_gone(&Response {
            status: 404,
            ..Response::json(&json!({ "message": "Channel not found" }))
        }));
    }
}
