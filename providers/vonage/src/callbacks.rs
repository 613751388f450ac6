//! What Vonage tells about a call: events, and what rides along with the request for a call control object.
//!
//! <https://developer.vonage.com/en/voice/voice-api/webhook-reference#event-webhook>

use serde::{Deserialize, Serialize};
use strowger_sdk::{Call, CallEvent, CallStatus, CallbackOutcome, Direction, Failure, Response, StatusEvent, Webhook};

use crate::api;
use crate::payload::Payload;

/// What the provider keeps of a call.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Attachment {
    /// Host of the API in the region that carries the call; another region does not know it.
    pub(crate) host: String,
}

/// What the request for a call control object tells.
#[derive(Debug)]
pub(crate) struct Learned {
    pub(crate) call_uuid: Option<String>,
    pub(crate) events: Vec<CallEvent>,
}

pub(crate) fn outcome(call: &Call, webhook: &Webhook) -> CallbackOutcome {
    CallbackOutcome {
        events: call_events(call, &Payload::of(webhook)),
        response: Response::empty(204),
    }
}

/// Fails when the webhook is about another call than the one whose route it came to: the signature does not cover the
/// address, and a media token must not go to whom it is not for.
pub(crate) fn learned(call: &Call, webhook: Option<&Webhook>) -> Result<Learned, Failure> {
    let mut events = Vec::new();
    let payload = webhook.map(Payload::of);
    let call_uuid = payload.as_ref().and_then(|payload| payload.text("uuid"));
    match (&call.provider_call_id, call_uuid) {
        (Some(known), Some(told)) if !same_leg(known, told) => {
            return Err(Failure::request(
                "call-mismatch",
                "Vonage asked how to go on with another call than the one that this address is for.",
            ));
        }
        (None, Some(told)) => events.push(CallEvent::Identified(told.to_owned())),
        _ => {}
    }
    let region_url = payload.as_ref().and_then(|payload| payload.text("region_url"));
    if let Some(host) = region_url.and_then(api::regional_host) {
        let attachment = Attachment { host: host.to_owned() };
        events.push(CallEvent::Attach(
            serde_json::to_string(&attachment).expect("a string is JSON"),
        ));
    }
    // Of an outbound call Vonage asks once the callee has answered.
    if call.direction == Direction::Outbound && webhook.is_some() {
        events.push(CallEvent::status(CallStatus::InProgress));
    }
    Ok(Learned {
        call_uuid: call_uuid.map(str::to_owned),
        events,
    })
}

/// None for a status that is not known, so that a new one does not disturb a call.
pub(crate) fn call_status(status: &str) -> Option<CallStatus> {
    match status {
        "started" => Some(CallStatus::Initiated),
        "ringing" => Some(CallStatus::Ringing),
        "answered" | "human" | "machine" => Some(CallStatus::InProgress),
        "complete" | "completed" | "disconnected" => Some(CallStatus::Completed),
        // `rejected`: Vonage itself refused the call before it was connected; the callee was not asked.
        "failed" | "rejected" => Some(CallStatus::Failed),
        "busy" => Some(CallStatus::Busy),
        "timeout" | "unanswered" => Some(CallStatus::NoAnswer),
        "cancelled" => Some(CallStatus::Canceled),
        _ => None,
    }
}

fn call_events(call: &Call, payload: &Payload) -> Vec<CallEvent> {
    let mut events = Vec::new();
    let Some(leg) = payload.leg() else { return events };
    // The media socket is a leg of its own, with an identifier and a life of its own.
    let is_socket = |to: &str| to.starts_with("wss://") || to.starts_with("ws://");
    if payload.text("to").is_some_and(is_socket) {
        return events;
    }
    match &call.provider_call_id {
        Some(known) if !same_leg(known, leg) => return events,
        Some(_) => {}
        // An event may be faster than the response to the request that placed the call.
        None => events.push(CallEvent::Identified(leg.to_owned())),
    }
    let Some(word) = payload.text("status") else {
        return events;
    };
    let Some(status) = call_status(word) else { return events };
    // Vonage counts whole seconds.
    let duration_ms = payload.number("duration").and_then(|seconds| seconds.checked_mul(1000));
    let event = StatusEvent::new(status).lasted_ms(duration_ms);
    events.push(event.because(cause(status, word, payload)).into());
    events
}

/// Inbound calls have been seen with and without the hyphens of their UUID.
fn same_leg(one: &str, other: &str) -> bool {
    let bare = |id: &str| -> String { id.chars().filter(|c| *c != '-').collect() };
    bare(one).eq_ignore_ascii_case(&bare(other))
}

/// Vonage's own word for a call that came to nothing, and its detail. Free text may quote numbers, so only words count.
fn cause(status: CallStatus, word: &str, payload: &Payload) -> Option<String> {
    let unhappy = matches!(
        status,
        CallStatus::Failed | CallStatus::Busy | CallStatus::NoAnswer | CallStatus::Canceled
    );
    let is_words = |text: &&str| {
        text.chars()
            .all(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | ' ' | '.'))
    };
    let detail = ["detail", "reason"]
        .into_iter()
        .find_map(|name| payload.text(name).filter(is_words))
        .map_or_else(String::new, |detail| format!(": {detail}"));
    unhappy.then(|| format!("{word}{detail}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use strowger_sdk::testing::{call, post_json};

    use super::*;

    const LEG: &str = "63f61863-4a51-4f6b-86e1-46edebcf9356";

    fn events(body: &Value) -> Vec<CallEvent> {
        outcome(&call(Direction::Outbound, Some(LEG)), &post_json(body)).events
    }

    fn status(status: CallStatus, cause: Option<&str>) -> CallEvent {
        StatusEvent::new(status).because(cause.map(str::to_owned)).into()
    }

    #[test]
    fn every_status_of_vonage_has_a_meaning() {
        for (word, expected, cause) in [
            ("started", CallStatus::Initiated, None),
            ("ringing", CallStatus::Ringing, None),
            ("answered", CallStatus::InProgress, None),
            ("human", CallStatus::InProgress, None),
            ("machine", CallStatus::InProgress, None),
            ("complete", CallStatus::Completed, None),
            ("completed", CallStatus::Completed, None),
            ("disconnected", CallStatus::Completed, None),
            ("failed", CallStatus::Failed, Some("failed")),
            ("rejected", CallStatus::Failed, Some("rejected")),
            ("busy", CallStatus::Busy, Some("busy")),
            ("timeout", CallStatus::NoAnswer, Some("timeout")),
            ("unanswered", CallStatus::NoAnswer, Some("unanswered")),
            ("cancelled", CallStatus::Canceled, Some("cancelled")),
        ] {
            assert_eq!(
                events(&json!({ "uuid": LEG, "status": word })),
                [status(expected, cause)],
                "{word}"
            );
        }
        for body in [
            json!({ "uuid": LEG, "status": "teleported" }),
            json!({ "uuid": LEG, "status": "" }),
            json!({ "uuid": LEG, "dtmf": { "digits": "42" } }),
            json!({ "uuid": LEG, "conversation_uuid_from": "CON-1", "conversation_uuid_to": "CON-2" }),
            json!({ "conversation_uuid": "CON-1", "recording_url": "https://api.nexmo.com/v1/files/1" }),
            json!({ "conversation_uuid": "CON-1", "reason": "Syntax error in NCCO." }),
            json!([]),
        ] {
            assert_eq!(events(&body), [], "{body}");
        }
    }

    #[test]
    fn the_end_of_a_call_has_a_duration_and_a_failure_a_cause() {
        let completed = json!({ "uuid": LEG, "status": "completed", "duration": "61", "rate": "0.00450000" });
        let event = StatusEvent::new(CallStatus::Completed).lasted_ms(Some(61_000));
        assert_eq!(events(&completed), [CallEvent::Status(event)]);
        let detailed = json!({ "uuid": LEG, "status": "unanswered", "detail": "declined" });
        assert_eq!(
            events(&detailed),
            [status(CallStatus::NoAnswer, Some("unanswered: declined"))]
        );
        let quoting = json!({ "uuid": LEG, "status": "failed", "reason": "447700900000 cannot be reached" });
        assert_eq!(events(&quoting), [status(CallStatus::Failed, Some("failed"))]);
        let long = json!({ "uuid": LEG, "status": "failed", "detail": "x".repeat(300) });
        let [CallEvent::Status(event)] = &events(&long)[..] else {
            panic!("no event")
        };
        assert_eq!(event.cause.as_ref().map(String::len), Some(100));
    }

    #[test]
    fn other_legs_are_not_the_call() {
        let socket =
            json!({ "uuid": "e0d4b8d2", "to": "wss://g.example/ws/t", "status": "completed", "duration": "9" });
        assert_eq!(events(&socket), []);
        assert_eq!(
            events(&json!({ "uuid": "e0d4b8d2", "to": "447700900000", "status": "completed" })),
            []
        );
        assert_eq!(
            outcome(&call(Direction::Outbound, None), &post_json(&socket)).events,
            []
        );
        let bare = json!({ "uuid": LEG.replace('-', ""), "status": "ringing" });
        assert_eq!(events(&bare), [status(CallStatus::Ringing, None)]);
    }

    #[test]
    fn an_event_may_come_before_the_response_that_names_the_call() {
        let early = post_json(&json!({ "uuid": LEG, "to": "447700900000", "status": "started" }));
        assert_eq!(
            outcome(&call(Direction::Outbound, None), &early).events,
            [
                CallEvent::Identified(LEG.to_owned()),
                status(CallStatus::Initiated, None)
            ]
        );
    }

    #[test]
    fn the_region_of_a_call_is_kept() {
        let answer = post_json(&json!({ "uuid": LEG, "region_url": "https://api-eu-3.vonage.com" }));
        let inbound = call(Direction::Inbound, Some(LEG));
        assert_eq!(
            learned(&inbound, Some(&answer)).unwrap().events,
            [CallEvent::Attach(r#"{"host":"api-eu-3.vonage.com"}"#.to_owned())]
        );
        for elsewhere in ["https://evil.example", "http://api-eu-3.vonage.com", ""] {
            let answer = post_json(&json!({ "uuid": LEG, "region_url": elsewhere }));
            assert_eq!(learned(&inbound, Some(&answer)).unwrap().events, [], "{elsewhere}");
        }
    }

    #[test]
    fn an_answer_is_for_its_own_call_only() {
        let answer = post_json(&json!({ "uuid": LEG }));
        let other = call(Direction::Outbound, Some("e0d4b8d2"));
        assert_eq!(learned(&other, Some(&answer)).unwrap_err().code, "call-mismatch");
        let known = learned(&call(Direction::Outbound, Some(LEG)), Some(&answer)).unwrap();
        assert_eq!(known.events, [status(CallStatus::InProgress, None)]);
        let unknown = learned(&call(Direction::Outbound, None), Some(&answer)).unwrap();
        assert_eq!(unknown.events[0], CallEvent::Identified(LEG.to_owned()));
        assert_eq!(unknown.call_uuid.as_deref(), Some(LEG));
        assert_eq!(learned(&other, None).unwrap().events, []);
    }
}
