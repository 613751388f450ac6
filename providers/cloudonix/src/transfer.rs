//! Transfers by conference: the destination is dialled into one, then the caller's session is switched into it.

use serde_json::json;
use strowger_sdk::{
    Call, CallEvent, CallStatus, CallbackOutcome, Failure, HangUpOutcome, Io, Outcome, Placed, Request, Response,
    StatusEvent, TransferLeg, TransferState, Webhook,
};

use crate::api;
use crate::callbacks::{Report, identify};
use crate::calls::{NewCall, end_session, session_url};
use crate::fields::Fields;
use crate::inbound::token;
use crate::markup;
use crate::spec::{Config, TRANSFER_RESULT};

pub(crate) fn dial(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<Placed> {
    let result_url = leg.route(TRANSFER_RESULT)?;
    NewCall {
        destination: &leg.destination,
        // Somebody has to be seen calling: without another wish, the number of ours that the call is on.
        caller_id: leg.caller_id.as_deref().unwrap_or_else(|| call.our_address()),
        cxml: markup::wait_in_conference(&conference(leg), leg.announcement.as_deref(), result_url),
        callback: result_url,
        timeout: leg.ring_timeout_s,
        trunk: leg.trunk.as_deref(),
    }
    .place(config, io)
}

/// Switches the caller's session to another application, which also ends its media stream.
pub(crate) fn connect(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<()> {
    let url = api::calls_url(config, &["sessions", call.carrier_id()?, "application"])?;
    let request = Request::post(url).json(&json!({ "cxml": markup::join_conference(&conference(leg)) }));
    let response = api::send(config, request, io)?;
    if response.status == 404 {
        return Err(Failure::request("call-not-found", "The caller's session has ended.").into());
    }
    api::accept(response)?.confirmed()?;
    Ok(())
}

pub(crate) fn cancel(config: &Config, leg: &TransferLeg, io: &mut Io) -> Outcome<HangUpOutcome> {
    end_session(config, leg.carrier_id()?, io)
}

/// Both the leg's session updates and its arrival in the conference come here. Only the arrival is an answer: before it,
/// the announcement may still be spoken.
pub(crate) fn outcome(
    config: &Config,
    call: &Call,
    leg: &TransferLeg,
    webhook: &Webhook,
    io: &mut Io,
) -> Outcome<CallbackOutcome> {
    let told = |events| {
        Ok(CallbackOutcome {
            events,
            response: Response::empty(204),
        })
    };
    let Some(fields) = Fields::read(webhook) else {
        return told(Vec::new());
    };
    let about = token(&fields, webhook);
    // The caller arrives in the same conference.
    if about.is_some() && about == call.provider_call_id.as_deref() {
        return told(Vec::new());
    }
    let Some(mut events) = identify(leg.provider_call_id.as_deref(), &fields, webhook) else {
        return told(Vec::new());
    };
    let Some(event) = event(&fields) else {
        return told(events);
    };
    if leg.state == TransferState::Over && event.status == CallStatus::InProgress {
        // Nobody waits for this leg any more. No answer of ours reaches it, so its session is ended.
        if let Some(token) = leg.provider_call_id.as_deref().or(about) {
            let request = Request::delete(session_url(config, token)?).bearer(&config.bearer_token);
            let _ = io.try_http(request)?;
        }
        return Ok(CallbackOutcome {
            events,
            response: Response::xml(markup::hang_up()),
        });
    }
    events.push(CallEvent::Status(event));
    told(events)
}

fn event(fields: &Fields) -> Option<StatusEvent> {
    if let Some(happened) = fields.text("StatusCallbackEvent") {
        let arrived = matches!(happened.to_ascii_lowercase().as_str(), "participant-join" | "join");
        return arrived.then(|| StatusEvent::new(CallStatus::InProgress));
    }
    let Report {
        status,
        duration_ms,
        cause,
    } = Report::of(fields);
    let status = status.filter(|status| !matches!(status, CallStatus::InProgress | CallStatus::Initiated))?;
    Some(StatusEvent::new(status).lasted_ms(duration_ms).because(cause))
}

/// A conference belongs to the domain, so anybody who can dial there and knows its name could come in.
fn conference(leg: &TransferLeg) -> String {
    format!("transfer-{}", leg.id)
}
