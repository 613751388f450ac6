//! What Telnyx tells about a call.
//!
//! <https://developers.telnyx.com/api-reference/callbacks/call-hangup> and its neighbours. Webhooks come in any order and
//! more than once.

use serde::{Deserialize, Serialize};
use strowger_sdk::{Call, CallEvent, CallStatus, CallbackOutcome, Direction, StatusEvent, Webhook};

use crate::answer::acknowledged;
use crate::event::{Event, Payload};
use crate::{state, time};

/// What is kept with the call, because Telnyx does not say how long one was: the time from its answer to its end.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Attachment {
    /// Unix time in milliseconds; none when Telnyx did not say.
    answered_at_ms: Option<u64>,
}

pub(crate) fn outcome(call: &Call, webhook: &Webhook) -> CallbackOutcome {
    let event = Event::read(webhook);
    let about_call =
        |event: &Event| state::is_about(event, &state::of_call(&call.id), call.provider_call_id.as_deref());
    CallbackOutcome {
        events: event
            .filter(about_call)
            .map_or_else(Vec::new, |event| events(call, &event)),
        response: acknowledged(),
    }
}

fn events(call: &Call, event: &Event) -> Vec<CallEvent> {
    let mut events: Vec<CallEvent> = identified(call.provider_call_id.as_deref(), event)
        .into_iter()
        .collect();
    match event.kind().as_str() {
        "call.initiated" => events.push(CallEvent::status(CallStatus::Initiated)),
        "call.answered" => {
            let attachment = Attachment {
                answered_at_ms: event.occurred_at.as_deref().and_then(time::unix_ms),
            };
            if let Ok(attachment) = serde_json::to_string(&attachment) {
                events.push(CallEvent::Attach(attachment));
            }
            events.push(CallEvent::status(CallStatus::InProgress));
        }
        "call.hangup" => events.push(CallEvent::Status(hung_up(call, event))),
        // The stream's beginning and end are known from the stream itself; what else there is was not asked for.
        _ => {}
    }
    events
}

/// The identifier, where a webhook is faster than the response to the request that made the leg.
pub(crate) fn identified(known: Option<&str>, event: &Event) -> Option<CallEvent> {
    let call_control_id = &event.payload.call_control_id;
    (known != Some(call_control_id)).then(|| CallEvent::Identified(call_control_id.clone()))
}

fn hung_up(call: &Call, event: &Event) -> StatusEvent {
    let attachment: Option<Attachment> = call.attached();
    let ended_at = event.payload.end_time.as_deref().or(event.occurred_at.as_deref());
    let answered_at_ms = attachment.as_ref().and_then(|attachment| attachment.answered_at_ms);
    let status = match attachment {
        // However an answered call ends, it has taken place.
        Some(_) => CallStatus::Completed,
        None => ending(&event.payload).unwrap_or(match call.direction {
            // That it was answered may simply not have been told yet.
            Direction::Inbound => CallStatus::Completed,
            Direction::Outbound => CallStatus::Failed,
        }),
    };
    let duration_ms = answered_at_ms
        .zip(ended_at.and_then(time::unix_ms))
        .and_then(|(from, to)| to.checked_sub(from));
    StatusEvent::new(status)
        .lasted_ms(duration_ms)
        .because(cause(&event.payload))
}

/// What became of a call that was perhaps not answered. None for a cause that does not tell.
pub(crate) fn ending(payload: &Payload) -> Option<CallStatus> {
    match payload.hangup_cause.as_deref().unwrap_or_default() {
        "normal_clearing" | "time_limit" => Some(CallStatus::Completed),
        "originator_cancel" => Some(CallStatus::Canceled),
        "timeout" | "no_answer" => Some(CallStatus::NoAnswer),
        "user_busy" | "busy" => Some(CallStatus::Busy),
        "call_rejected" | "not_found" | "unallocated_number" => Some(CallStatus::Failed),
        // `unspecified`, and causes that are not documented: what SIP says then (RFC 3261 §21).
        _ => match payload.sip_hangup_cause.as_deref().unwrap_or_default() {
            "486" | "600" => Some(CallStatus::Busy),
            "408" | "480" => Some(CallStatus::NoAnswer),
            "487" => Some(CallStatus::Canceled),
            "200" => Some(CallStatus::Completed),
            code if code.len() == 3 && code.starts_with(['3', '4', '5', '6']) => Some(CallStatus::Failed),
            _ => None,
        },
    }
}

/// Telnyx's word and the network's: `user_busy, sip 486`.
pub(crate) fn cause(payload: &Payload) -> Option<String> {
    let sip = payload
        .sip_hangup_cause
        .as_deref()
        .filter(|code| *code != "unspecified");
    let words = payload
        .hangup_cause
        .clone()
        .into_iter()
        .chain(sip.map(|code| format!("sip {code}")));
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use strowger_sdk::testing::{self, post_json};

    use super::*;

    fn call(direction: Direction, attachment: Option<&str>) -> Call {
        Call {
            attachment: attachment.map(str::to_owned),
            ..testing::call(direction, Some("v3:abc"))
        }
    }

    fn webhook(event_type: &str, payload: Value) -> Webhook {
        let mut payload = payload;
        payload["call_control_id"] = json!("v3:abc");
        payload["client_state"] = json!(state::of_call("1"));
        let body = json!({ "data": { "record_type": "event", "event_type": event_type,
            "occurred_at": "2025-11-23T03:30:10.000000Z", "payload": payload } });
        post_json(&body)
    }

    fn hang_up(call: &Call, payload: Value) -> StatusEvent {
        match &outcome(call, &webhook("call.hangup", payload)).events[..] {
            [CallEvent::Status(event)] => event.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_cause_has_a_meaning() {
        let outbound = call(Direction::Outbound, None);
        for (cause, expected) in [
            ("call_rejected", CallStatus::Failed),
            ("normal_clearing", CallStatus::Completed),
            ("originator_cancel", CallStatus::Canceled),
            ("timeout", CallStatus::NoAnswer),
            ("no_answer", CallStatus::NoAnswer),
            ("time_limit", CallStatus::Completed),
            ("user_busy", CallStatus::Busy),
            ("busy", CallStatus::Busy),
            ("not_found", CallStatus::Failed),
            ("unallocated_number", CallStatus::Failed),
            ("unspecified", CallStatus::Failed),
            ("abducted", CallStatus::Failed),
        ] {
            let event = hang_up(
                &outbound,
                json!({ "hangup_cause": cause, "sip_hangup_cause": "unspecified" }),
            );
            assert_eq!(
                (event.status, event.cause.as_deref()),
                (expected, Some(cause)),
                "{cause}"
            );
        }
    }

    #[test]
    fn where_telnyx_is_silent_the_network_is_asked() {
        let outbound = call(Direction::Outbound, None);
        for (code, expected) in [
            ("486", CallStatus::Busy),
            ("600", CallStatus::Busy),
            ("480", CallStatus::NoAnswer),
            ("408", CallStatus::NoAnswer),
            ("487", CallStatus::Canceled),
            ("200", CallStatus::Completed),
            ("404", CallStatus::Failed),
            ("503", CallStatus::Failed),
            ("", CallStatus::Failed),
        ] {
            let event = hang_up(
                &outbound,
                json!({ "hangup_cause": "unspecified", "sip_hangup_cause": code }),
            );
            assert_eq!(event.status, expected, "{code}");
        }
        let event = hang_up(
            &outbound,
            json!({ "hangup_cause": "user_busy", "sip_hangup_cause": "486" }),
        );
        assert_eq!(event.cause.as_deref(), Some("user_busy, sip 486"));
        let event = hang_up(&call(Direction::Inbound, None), json!({}));
        assert_eq!((event.status, event.cause), (CallStatus::Completed, None));
        let event = hang_up(&outbound, json!({ "hangup_cause": "ü".repeat(300) }));
        assert_eq!(event.cause.map(|cause| cause.chars().count()), Some(100));
    }

    #[test]
    fn a_call_that_was_answered_is_completed_and_has_a_duration() {
        let answered = outcome(&call(Direction::Outbound, None), &webhook("call.answered", json!({})));
        let [CallEvent::Attach(attachment), CallEvent::Status(event)] = &answered.events[..] else {
            panic!("{:?}", answered.events)
        };
        assert_eq!(event.status, CallStatus::InProgress);
        assert_eq!(attachment, r#"{"answered_at_ms":1763868610000}"#);

        let later = call(Direction::Outbound, Some(attachment));
        let event = hang_up(
            &later,
            json!({ "hangup_cause": "unspecified", "end_time": "2025-11-23T03:30:52.5Z" }),
        );
        assert_eq!((event.status, event.duration_ms), (CallStatus::Completed, Some(42_500)));
        let event = hang_up(&later, json!({ "end_time": "2025-11-23T03:00:00Z" }));
        assert_eq!(event.duration_ms, None);
        let event = hang_up(
            &call(Direction::Outbound, Some(r#"{"answered_at_ms":null}"#)),
            json!({}),
        );
        assert_eq!((event.status, event.duration_ms), (CallStatus::Completed, None));
    }

    #[test]
    fn what_was_not_asked_for_changes_nothing() {
        let inbound = call(Direction::Inbound, None);
        for event_type in [
            "call.bridged",
            "call.machine.detection.ended",
            "streaming.started",
            "streaming_stopped",
            "call.speak.ended",
            "call.teleported",
        ] {
            assert_eq!(
                outcome(&inbound, &webhook(event_type, json!({}))).events,
                [],
                "{event_type}"
            );
        }
    }
}
