//! Placing calls, ending them and asking about them.
//!
//! <https://developers.telnyx.com/api-reference/call-commands/dial>,
//! <https://developers.telnyx.com/api-reference/call-information/retrieve-a-call-status>

use serde::Deserialize;
use serde_json::json;
use strowger_sdk::{
    Call, CallStatus, Failure, HangUpOutcome, Io, Outbound, Outcome, Placed, Request, StatusReport, is_e164, is_sip_uri,
};

use crate::answer::streaming;
use crate::spec::{Config, EVENTS};
use crate::{api, state};

pub(crate) fn place(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
    let from = outbound.caller_id.as_deref().unwrap_or(&call.caller);
    // The media socket comes along, so that no webhook has to ask for it once the call is answered.
    let mut body = streaming(&outbound.media);
    body["connection_id"] = json!(config.connection_id()?);
    body["to"] = json!(callee(&call.callee)?);
    body["from"] = json!(caller_id(from)?);
    body["timeout_secs"] = json!(outbound.ring_timeout_s);
    body["webhook_url"] = json!(call.route(EVENTS)?);
    body["webhook_url_method"] = json!("POST");
    body["client_state"] = json!(state::of_call(&call.id));
    // Telnyx dials once for each of these, however often the request arrives.
    body["command_id"] = json!(format!("dial-{}", call.id));
    dial(config, &body, io)
}

/// Dials one leg.
pub(crate) fn dial(config: &Config, body: &serde_json::Value, io: &mut Io) -> Outcome<Placed> {
    #[derive(Deserialize)]
    struct Leg {
        call_control_id: String,
    }
    let request = Request::post(api::url(&["calls"])?).json(body);
    let leg: Leg = api::data(api::send(config, request, io)?)?;
    Ok(Placed::new(leg.call_control_id))
}

pub(crate) fn hang_up(config: &Config, call_control_id: &str, io: &mut Io) -> Outcome<HangUpOutcome> {
    let request = api::command(call_control_id, "hangup", &json!({}))?;
    let response = api::send(config, request, io)?;
    if api::has_ended(&response) {
        return Ok(HangUpOutcome::AlreadyEnded);
    }
    api::confirmed(response)?;
    Ok(HangUpOutcome::Ended)
}

pub(crate) fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
    #[derive(Deserialize)]
    struct Resource {
        is_alive: bool,
        call_duration: Option<u64>,
        end_time: Option<String>,
    }
    let request = Request::get(api::url(&["calls", call.carrier_id()?])?);
    let response = api::send(config, request, io)?;
    if response.status == 404 {
        return Err(Failure::request("call-not-found", "Telnyx does not know this call (any more).").into());
    }
    let resource: Resource = api::data(response)?;
    // Whether it was answered is not told; and a call that is being dialled is not alive yet.
    Ok(match resource {
        Resource { is_alive: true, .. } => StatusReport {
            status: CallStatus::InProgress,
            duration_ms: None,
        },
        Resource {
            end_time: Some(_),
            call_duration,
            ..
        } => StatusReport {
            status: CallStatus::Completed,
            duration_ms: call_duration.and_then(|seconds| seconds.checked_mul(1000)),
        },
        _ => StatusReport {
            status: CallStatus::Initiated,
            duration_ms: None,
        },
    })
}

/// Telnyx would play what follows a comma as keys.
pub(crate) fn callee(address: &str) -> Result<&str, Failure> {
    if is_e164(address) || is_sip_uri(address) && !address.contains(',') {
        return Ok(address);
    }
    Err(Failure::request(
        "callee-invalid",
        "Telnyx dials numbers with + and SIP addresses only.",
    ))
}

pub(crate) fn caller_id(address: &str) -> Result<&str, Failure> {
    if address.is_empty() {
        return Err(Failure::caller_id_missing("Telnyx"));
    }
    Ok(address)
}
