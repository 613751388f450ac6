//! Sessions: placing calls, ending them and asking about them.
//!
//! <https://developers.cloudonix.com/Documentation/apiWorkflow/callControlAndSessionManagement>

use serde::{Deserialize, Serialize};
use strowger_sdk::{Call, Failure, HangUpOutcome, Io, Outbound, Outcome, Placed, Request, StatusReport};

use crate::api;
use crate::callbacks::Report;
use crate::fields::Fields;
use crate::markup;
use crate::spec::{Config, STATUS_CALLBACK};

/// A call from an application to somebody, with the application inline: nothing asks for it when the call is answered.
#[derive(Serialize)]
pub(crate) struct NewCall<'a> {
    pub(crate) destination: &'a str,
    #[serde(rename = "caller-id")]
    pub(crate) caller_id: &'a str,
    pub(crate) cxml: String,
    /// Where session updates go.
    pub(crate) callback: &'a str,
    /// How long it may ring, in seconds.
    pub(crate) timeout: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trunk: Option<&'a str>,
}

impl NewCall<'_> {
    pub(crate) fn place(&self, config: &Config, io: &mut Io) -> Outcome<Placed> {
        #[derive(Deserialize)]
        struct Created {
            token: String,
        }

        if self.caller_id.is_empty() {
            return Err(Failure::caller_id_missing("Cloudonix").into());
        }
        if self.destination.is_empty() {
            return Err(Failure::request("callee-invalid", "There is nobody to call.").into());
        }
        let request = Request::post(api::calls_url(config, &["application"])?).json(self);
        let created: Created = api::accept(api::send(config, request, io)?)?.read_json()?;
        if created.token.is_empty() {
            return Err(Failure::unexpected_answer("a call without a session token").into());
        }
        Ok(Placed::new(created.token))
    }
}

pub(crate) fn place(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
    NewCall {
        destination: &call.callee,
        caller_id: outbound.caller_id.as_deref().unwrap_or(&call.caller),
        cxml: markup::connect_stream(&outbound.media.url),
        callback: call.route(STATUS_CALLBACK)?,
        timeout: outbound.ring_timeout_s,
        trunk: outbound.trunk.as_deref(),
    }
    .place(config, io)
}

/// Ends a session. One that is not there has ended.
pub(crate) fn end_session(config: &Config, token: &str, io: &mut Io) -> Outcome<HangUpOutcome> {
    let response = api::send(config, Request::delete(session_url(config, token)?), io)?;
    if response.status == 404 {
        return Ok(HangUpOutcome::AlreadyEnded);
    }
    api::accept(response)?.confirmed()?;
    Ok(HangUpOutcome::Ended)
}

pub(crate) fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
    let response = api::send(config, Request::get(session_url(config, call.carrier_id()?)?), io)?;
    if response.status == 404 {
        return Err(Failure::request("call-not-found", "Cloudonix does not know this session (any more).").into());
    }
    let session = Report::of_session(&Fields::Json(api::accept(response)?.read_json()?));
    let status = session
        .status
        .ok_or_else(|| Failure::unexpected_answer("an unknown session status"))?;
    Ok(StatusReport {
        status,
        duration_ms: session.duration_ms,
    })
}

pub(crate) fn session_url(config: &Config, token: &str) -> Result<String, Failure> {
    api::domain_url(config, &["sessions", token])
}
