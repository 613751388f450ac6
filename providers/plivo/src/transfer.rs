//! Connecting a caller with somebody else in a conference: the destination joins it when it answers, the caller when its
//! call is redirected there. Plivo knows no other way to join legs that were placed one by one.
//!
//! <https://docs.plivo.com/docs/voice/xml/conference> and <https://docs.plivo.com/docs/voice/api/call/transfer-a-call>.

use serde_json::json;
use strowger_sdk::{
    Call, CallEvent, CallStatus, CallbackOutcome, Failure, Form, HangUpOutcome, Io, Outcome, Placed, Request,
    TransferLeg, TransferState, Webhook,
};

use crate::api;
use crate::callbacks::{acknowledged, identified, status_event};
use crate::calls::{self, Dial};
use crate::markup;
use crate::spec::{Config, TRANSFER_ANSWER, TRANSFER_HANGUP, TRANSFER_RING};

pub(crate) fn dial(config: &Config, leg: &TransferLeg, io: &mut Io) -> Outcome<Placed> {
    let dial = Dial {
        caller: leg.caller_id.as_deref().unwrap_or_default(),
        callee: &leg.destination,
        answer_url: leg.route(TRANSFER_ANSWER)?,
        ring_url: leg.route(TRANSFER_RING)?,
        hangup_url: leg.route(TRANSFER_HANGUP)?,
        ring_timeout_s: leg.ring_timeout_s,
    };
    dial.perform(config, io)
}

/// Sends the caller to its next markup. Plivo's documents differ on whether that ends a stream or waits for its end; the
/// gateway closes the media socket as soon as this has succeeded, so it makes no difference.
pub(crate) fn connect(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<()> {
    let request = Request::post(api::url(config, &["Call", call.carrier_id()?])?).json(&json!({
        "legs": "aleg",
        "aleg_url": leg.route(TRANSFER_ANSWER)?,
        "aleg_method": "POST",
    }));
    let response = io.http(api::authorised(config, request))?;
    if response.status == 404 {
        return Err(Failure::request("call-not-found", "The caller's call has ended at Plivo.").into());
    }
    api::confirm(response, "look at the call in the Plivo console.")?;
    Ok(())
}

pub(crate) fn cancel(config: &Config, leg: &TransferLeg, io: &mut Io) -> Outcome<HangUpOutcome> {
    match leg.provider_call_id.as_deref() {
        Some(call_uuid) => calls::hang_up(config, call_uuid, io),
        // Nothing was dialled.
        None => Ok(HangUpOutcome::AlreadyEnded),
    }
}

pub(crate) fn outcome(route: &str, call: &Call, leg: &TransferLeg, webhook: &Webhook) -> CallbackOutcome {
    let parameters = webhook.parameters();
    if route == TRANSFER_ANSWER {
        return joining(call, leg, &parameters);
    }
    let mut events = identified(leg.provider_call_id.as_deref(), &parameters);
    match route {
        TRANSFER_RING => events.push(CallEvent::status(CallStatus::Ringing)),
        TRANSFER_HANGUP => events.extend(status_event(&parameters).map(CallEvent::Status)),
        _ => {}
    }
    CallbackOutcome {
        events,
        response: acknowledged(),
    }
}

/// Both legs ask here what to do, and both are sent to the conference; only the destination's asking is its answer.
fn joining(call: &Call, leg: &TransferLeg, parameters: &Form) -> CallbackOutcome {
    let asks = parameters.get_filled("CallUUID");
    let is_caller = asks.is_some() && asks == call.provider_call_id.as_deref();
    let conference = format!("strowger-{}", leg.id);
    let over = leg.state == TransferState::Over;
    if is_caller {
        let response = if over {
            markup::hang_up()
        } else {
            markup::conference(&conference, None)
        };
        return CallbackOutcome {
            events: Vec::new(),
            response,
        };
    }
    let mut events = identified(leg.provider_call_id.as_deref(), parameters);
    if over {
        return CallbackOutcome {
            events,
            response: markup::hang_up(),
        };
    }
    events.push(CallEvent::status(CallStatus::InProgress));
    CallbackOutcome {
        events,
        response: markup::conference(&conference, leg.announcement.as_deref()),
    }
}
