//! What Twilio tells about a call: status callbacks, stream callbacks, and what rides along with other webhooks.
//!
//! <https://www.twilio.com/docs/voice/api/call-resource#statuscallback>

use strowger_sdk::{
    AnsweredBy, Call, CallEvent, CallStatus, CallbackOutcome, Direction, Form, Response, StatusEvent, Webhook,
};

use crate::inbound::parameters;
use crate::markup;
use crate::spec::{STATUS_CALLBACK, STREAM_CALLBACK};

/// The contract's bound on `status-event.cause`, in characters.
const CAUSE_MAX_CHARS: usize = 100;

pub(crate) fn outcome(route: &str, webhook: &Webhook) -> CallbackOutcome {
    match route {
        STATUS_CALLBACK => CallbackOutcome {
            events: status_event(webhook),
            response: Response::empty(204),
        },
        // That a stream started or stopped is known from the stream itself, and says nothing of the call.
        STREAM_CALLBACK => CallbackOutcome {
            events: Vec::new(),
            response: Response::empty(204),
        },
        // At the common dispatcher Twilio may be waiting for markup.
        _ => CallbackOutcome {
            events: status_event(webhook),
            response: markup::nothing(),
        },
    }
}

/// The webhook that asks for the markup of an answered call also tells its identifier and its status.
pub(crate) fn answer_events(call: &Call, webhook: &Webhook) -> Vec<CallEvent> {
    let mut events = Vec::new();
    let parameters = parameters(webhook);
    if let Some(call_sid) = parameters.get_filled("CallSid")
        && call.provider_call_id.as_deref() != Some(call_sid)
    {
        events.push(CallEvent::Identified(call_sid.to_owned()));
    }
    if call.direction == Direction::Outbound {
        events.extend(status_event(webhook));
    }
    events
}

pub(crate) fn answered_by(webhook: &Webhook) -> Option<AnsweredBy> {
    match parameters(webhook).get_filled("AnsweredBy")? {
        "human" => Some(AnsweredBy::Human),
        "machine_start" => Some(AnsweredBy::MachineStart),
        "machine_end_beep" => Some(AnsweredBy::MachineEndBeep),
        "machine_end_silence" => Some(AnsweredBy::MachineEndSilence),
        "machine_end_other" => Some(AnsweredBy::MachineEndOther),
        "fax" => Some(AnsweredBy::Fax),
        _ => Some(AnsweredBy::Unknown),
    }
}

pub(crate) fn call_sid(webhook: &Webhook) -> Option<String> {
    parameters(webhook).get_filled("CallSid").map(str::to_owned)
}

pub(crate) fn call_status(status: &str) -> Option<CallStatus> {
    match status {
        "queued" | "initiated" => Some(CallStatus::Initiated),
        "ringing" => Some(CallStatus::Ringing),
        "in-progress" | "answered" => Some(CallStatus::InProgress),
        "completed" => Some(CallStatus::Completed),
        "failed" => Some(CallStatus::Failed),
        "busy" => Some(CallStatus::Busy),
        "no-answer" => Some(CallStatus::NoAnswer),
        "canceled" => Some(CallStatus::Canceled),
        _ => None,
    }
}

/// Twilio counts whole seconds.
pub(crate) fn seconds_to_ms(seconds: &str) -> Option<u64> {
    seconds.trim().parse::<u64>().ok()?.checked_mul(1000)
}

/// None for a status that is not known, so that a new one does not disturb a call.
pub(crate) fn status_event(webhook: &Webhook) -> Vec<CallEvent> {
    let parameters = parameters(webhook);
    let Some(status) = parameters.get("CallStatus").and_then(call_status) else {
        return Vec::new();
    };
    // `Duration` is the same in billed minutes.
    let duration_ms = parameters.get("CallDuration").and_then(seconds_to_ms);
    vec![CallEvent::Status(StatusEvent {
        status,
        duration_ms,
        cause: cause(&parameters),
    })]
}

/// Why the call ended as it did: Twilio's error, or the response of the callee's network (RFC 3261 §21).
fn cause(parameters: &Form) -> Option<String> {
    let error = parameters.get_filled("ErrorCode").map(|code| format!("error {code}"));
    let sip = parameters
        .get_filled("SipResponseCode")
        .map(|code| format!("sip {code}"));
    let causes: Vec<String> = error.into_iter().chain(sip).collect();
    (!causes.is_empty()).then(|| causes.join(", ").chars().take(CAUSE_MAX_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use strowger_sdk::Header;

    use super::*;

    fn post(body: &str) -> Webhook {
        Webhook {
            method: "POST".to_owned(),
            url: "https://gateway.example/".to_owned(),
            headers: vec![Header::new("content-type", "application/x-www-form-urlencoded")],
            body: body.as_bytes().to_vec(),
            received_at: 0,
        }
    }

    fn events(body: &str) -> Vec<CallEvent> {
        outcome(STATUS_CALLBACK, &post(body)).events
    }

    #[test]
    fn every_status_of_twilio_has_a_meaning() {
        for (status, expected) in [
            ("queued", CallStatus::Initiated),
            ("initiated", CallStatus::Initiated),
            ("ringing", CallStatus::Ringing),
            ("in-progress", CallStatus::InProgress),
            ("answered", CallStatus::InProgress),
            ("completed", CallStatus::Completed),
            ("failed", CallStatus::Failed),
            ("busy", CallStatus::Busy),
            ("no-answer", CallStatus::NoAnswer),
            ("canceled", CallStatus::Canceled),
        ] {
            let event = StatusEvent {
                status: expected,
                duration_ms: None,
                cause: None,
            };
            assert_eq!(events(&format!("CallStatus={status}")), [CallEvent::Status(event)]);
        }
        for other in ["CallStatus=", "CallStatus=teleported", ""] {
            assert_eq!(events(other), []);
        }
    }

    #[test]
    fn the_end_of_a_call_has_a_duration_and_a_cause() {
        let event = StatusEvent {
            status: CallStatus::Failed,
            duration_ms: Some(61_000),
            cause: Some("error 32009, sip 486".to_owned()),
        };
        let body = "CallStatus=failed&CallDuration=61&Duration=2&SipResponseCode=486&ErrorCode=32009";
        assert_eq!(events(body), [CallEvent::Status(event)]);
        let long = format!("CallStatus=failed&CallDuration=soon&ErrorCode={}", "9".repeat(300));
        let [CallEvent::Status(event)] = &events(&long)[..] else {
            panic!("no event")
        };
        assert_eq!(
            (event.duration_ms, event.cause.as_ref().map(String::len)),
            (None, Some(CAUSE_MAX_CHARS))
        );
    }

    #[test]
    fn events_of_the_stream_are_not_events_of_the_call() {
        let webhook = post("StreamEvent=stream-stopped&CallStatus=completed");
        assert_eq!(outcome(STREAM_CALLBACK, &webhook).events, []);
        assert_eq!(outcome(STREAM_CALLBACK, &webhook).response.status, 204);
    }

    #[test]
    fn who_answered_is_read_from_any_webhook() {
        assert_eq!(
            answered_by(&post("AnsweredBy=machine_end_beep")),
            Some(AnsweredBy::MachineEndBeep)
        );
        assert_eq!(answered_by(&post("AnsweredBy=robot")), Some(AnsweredBy::Unknown));
        assert_eq!(answered_by(&post("CallStatus=in-progress")), None);
    }
}
