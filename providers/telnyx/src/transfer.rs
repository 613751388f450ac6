//! Conferences: <https://developers.telnyx.com/api-reference/conference-commands/create-conference>.
//!
//! The destination is dialled as a call of its own, without a media socket. When it has answered, a conference is made of
//! it, and the caller joins.

use serde::Deserialize;
use serde_json::json;
use strowger_sdk::{
    Call, CallEvent, CallStatus, CallbackOutcome, HangUpOutcome, Io, Outcome, Placed, Request, StatusEvent,
    TransferLeg, TransferState, Webhook, join_path,
};

use crate::answer::acknowledged;
use crate::callbacks::{cause, ending, identified};
use crate::calls::{callee, caller_id};
use crate::event::{Event, Payload};
use crate::spec::{Config, TRANSFER_RESULT};
use crate::{api, calls, state};

pub(crate) fn dial(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<Placed> {
    let body = json!({
        "connection_id": config.connection_id()?,
        "to": callee(&leg.destination)?,
        "from": caller_id(leg.caller_id.as_deref().unwrap_or_else(|| call.our_address()))?,
        "timeout_secs": leg.ring_timeout_s,
        "webhook_url": leg.route(TRANSFER_RESULT)?,
        "webhook_url_method": "POST",
        "client_state": state::of_transfer(&leg.id),
        "command_id": format!("dial-{}", leg.id),
    });
    calls::dial(config, &body, io)
}

pub(crate) fn connect(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<()> {
    #[derive(Deserialize)]
    struct Conference {
        id: String,
    }
    let destination = leg.carrier_id()?;
    let body = json!({
        "call_control_id": destination,
        "name": format!("strowger-{}", leg.id),
        "start_conference_on_create": true,
        "beep_enabled": "never",
        "command_id": format!("conference-{}", leg.id),
    });
    let request = Request::post(api::url(&["conferences"])?).json(&body);
    let conference: Conference = api::data(api::send_again(config, request, io)?)?;

    // When the caller leaves, so does the destination.
    let body = json!({
        "call_control_id": call.carrier_id()?,
        "end_conference_on_exit": true,
        "beep_enabled": "never",
        "command_id": format!("join-{}", leg.id),
    });
    let request = Request::post(api::url(&["conferences", &conference.id, "actions", "join"])?).json(&body);
    api::confirmed(api::send_again(config, request, io)?)?;
    end_with(config, &conference.id, destination, io)
}

/// When the destination leaves, so does the caller. The leg that a conference is made of cannot be told so beforehand. What
/// goes wrong here does no harm while the gateway lives: it hears of the hang-up, and ends the caller itself.
/// <https://developers.telnyx.com/api-reference/conference-commands/update-a-conference-participant>
fn end_with(config: &Config, conference_id: &str, call_control_id: &str, io: &mut Io) -> Outcome<()> {
    #[derive(Deserialize)]
    struct Participant {
        id: String,
        call_control_id: String,
    }
    let participants = api::url(&["conferences", conference_id, "participants"])?;
    let request = Request::get(&participants).bearer(&config.api_key);
    let Ok(response) = io.try_http(request)? else {
        return Ok(());
    };
    let listed: Vec<Participant> = api::data(response).unwrap_or_default();
    if let Some(participant) = listed
        .iter()
        .find(|participant| participant.call_control_id == call_control_id)
    {
        let request = Request::patch(join_path(&participants, &[&participant.id])?)
            .bearer(&config.api_key)
            .json(&json!({ "end_conference_on_exit": true }));
        // See above: whatever comes of it.
        let _ = io.try_http(request)?;
    }
    Ok(())
}

pub(crate) fn cancel(config: &Config, leg: &TransferLeg, io: &mut Io) -> Outcome<HangUpOutcome> {
    calls::hang_up(config, leg.carrier_id()?, io)
}

pub(crate) fn callback(config: &Config, leg: &TransferLeg, webhook: &Webhook, io: &mut Io) -> Outcome<CallbackOutcome> {
    let about_leg =
        |event: &Event| state::is_about(event, &state::of_transfer(&leg.id), leg.provider_call_id.as_deref());
    let Some(event) = Event::read(webhook).filter(about_leg) else {
        return Ok(told(Vec::new()));
    };
    let mut events: Vec<CallEvent> = identified(leg.provider_call_id.as_deref(), &event)
        .into_iter()
        .collect();
    match event.kind().as_str() {
        "call.initiated" | "call.answered" | "call.speak.ended" if leg.state == TransferState::Over => {
            calls::hang_up(config, &event.payload.call_control_id, io)?;
        }
        "call.answered" => {
            // With an announcement the caller waits for its end.
            let announcing = announce(config, leg, &event, io)?;
            events.extend((!announcing).then(|| CallEvent::status(CallStatus::InProgress)));
        }
        "call.speak.ended" if leg.announcement.is_some() => events.push(CallEvent::status(CallStatus::InProgress)),
        "call.hangup" => {
            let ended = StatusEvent::new(hung_up(leg, &event.payload));
            events.push(ended.because(cause(&event.payload)).into());
        }
        _ => {}
    }
    Ok(told(events))
}

/// Begins to say the announcement; false when there is none, or it cannot be said: the people matter more than it.
/// <https://developers.telnyx.com/api-reference/call-commands/speak-text>
fn announce(config: &Config, leg: &TransferLeg, event: &Event, io: &mut Io) -> Outcome<bool> {
    let Some(announcement) = leg.announcement.as_deref().filter(|text| !text.trim().is_empty()) else {
        return Ok(false);
    };
    if leg.state != TransferState::Dialing {
        return Ok(false);
    }
    let body = json!({
        "payload": announcement,
        "payload_type": "text",
        "voice": "female",
        "language": "en-US",
        "service_level": "basic",
        "command_id": format!("speak-{}", leg.id),
    });
    let request = api::command(&event.payload.call_control_id, "speak", &body)?.bearer(&config.api_key);
    Ok(io
        .try_http(request)?
        .is_ok_and(|response| api::confirmed(response).is_ok()))
}

fn hung_up(leg: &TransferLeg, payload: &Payload) -> CallStatus {
    match leg.state {
        TransferState::Answered | TransferState::Connected => CallStatus::Completed,
        TransferState::Dialing | TransferState::Over => match ending(payload) {
            // Nobody has talked to it.
            None | Some(CallStatus::Completed) => CallStatus::Failed,
            Some(status) => status,
        },
    }
}

fn told(events: Vec<CallEvent>) -> CallbackOutcome {
    CallbackOutcome {
        events,
        response: acknowledged(),
    }
}
