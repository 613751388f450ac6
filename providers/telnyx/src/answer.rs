//! Taking a call and refusing one, over the REST API: Telnyx ignores what its webhook is answered with.
//!
//! <https://developers.telnyx.com/api-reference/call-commands/answer-call>,
//! <https://developers.telnyx.com/api-reference/call-commands/reject-a-call>

use serde_json::{Value, json};
use strowger_sdk::{Call, Direction, Failure, Io, MediaAddress, Outcome, RejectionReason, Response};

use crate::spec::{Config, EVENTS};
use crate::{api, calls, state};

/// The webhook was taken; what to do was said over the API.
pub(crate) fn acknowledged() -> Response {
    Response::json(&json!({ "status": "ok" }))
}

pub(crate) fn answer(config: &Config, call: &Call, media: &MediaAddress, io: &mut Io) -> Outcome<()> {
    let mut body = streaming(media);
    body["webhook_url"] = json!(call.route(EVENTS)?);
    body["webhook_url_method"] = json!("POST");
    body["client_state"] = json!(state::of_call(&call.id));
    body["command_id"] = json!(format!("answer-{}", call.id));
    let request = api::command(call.carrier_id()?, "answer", &body)?;
    let response = api::send_again(config, request, io)?;
    if api::has_ended(&response) {
        return Err(Failure::request("call-not-found", "The caller hung up before the call was answered.").into());
    }
    Ok(api::confirmed(response)?)
}

/// The media socket of an answer or of an outbound call. Without `stream_bidirectional_mode` Telnyx drops what is sent
/// to the socket and says nothing.
/// <https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming>
pub(crate) fn streaming(media: &MediaAddress) -> Value {
    json!({
        "stream_url": media.url,
        "stream_track": "inbound_track",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "PCMU",
    })
}

/// Nobody at Telnyx reads it; it is for people who look at their webhooks' deliveries.
pub(crate) fn rejection(reason: RejectionReason) -> Response {
    Response::json(&json!({ "status": "rejected", "cause": cause(reason) }))
}

/// Without this the call would ring until it times out.
pub(crate) fn reject(config: &Config, call: &Call, reason: RejectionReason, io: &mut Io) -> Outcome<Response> {
    let call_control_id = call.carrier_id()?;
    match call.direction {
        Direction::Inbound => {
            let body = json!({ "cause": cause(reason), "command_id": format!("reject-{}", call.id) });
            let request = api::command(call_control_id, "reject", &body)?;
            let response = api::send_again(config, request, io)?;
            // A caller who has given up meanwhile is gone as well.
            if !api::has_ended(&response) {
                api::confirmed(response)?;
            }
        }
        // Only a call that comes in can be rejected.
        Direction::Outbound => {
            calls::hang_up(config, call_control_id, io)?;
        }
    }
    Ok(rejection(reason))
}

/// What the caller's network hears: 486, 480, 404 or 603 in SIP.
fn cause(reason: RejectionReason) -> &'static str {
    match reason {
        RejectionReason::AtCapacity => "USER_BUSY",
        RejectionReason::NoAgent | RejectionReason::Quota | RejectionReason::Unavailable => "TEMPORARILY_UNAVAILABLE",
        RejectionReason::UnknownNumber => "NOT_FOUND",
        RejectionReason::AccountMismatch | RejectionReason::Signature | RejectionReason::ProviderMismatch => {
            "CALL_REJECTED"
        }
    }
}
