//! What Twilio tells about a call: status callbacks, stream callbacks, and what rides along with other webhooks.
//!
//! <https://www.twilio.com/docs/voice/api/call-resource#statuscallback>

use strowger_sdk::{
    AnsweredBy, Call, CallEvent, CallStatus, CallbackOutcome, Direction, Form, Response, StatusEvent, Webhook,
    seconds_to_ms,
};

use crate::markup;
use crate::spec::{STATUS_CALLBACK, STREAM_CALLBACK};

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
    let parameters = webhook.parameters();
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
    match webhook.parameters().get_filled("AnsweredBy")? {
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
    webhook.parameters().get_filled("CallSid").map(str::to_owned)
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

/// None for a status that is not known, so that a new one does not disturb a call.
pub(crate) fn status_event(webhook: &Webhook) -> Vec<CallEvent> {
    let parameters = webhook.parameters();
    let Some(status) = parameters.get("CallStatus").and_then(call_status) else {
        return Vec::new();
    };
    // `Duration` is the same in billed minutes.
    let duration_ms = parameters.get("CallDuration").and_then(seconds_to_ms);
    let event = StatusEvent::new(status).lasted_ms(duration_ms);
    vec![event.because(cause(&parameters)).into()]
}

/// Why the call ended as it did: Twilio's error, or the response of the callee's network (RFC 3261 §21).
fn cause(parameters: &Form) -> Option<String> {
    let error = parameters.get_filled("ErrorCode").map(|code| format!("error {code}"));
    let sip = parameters
        .get_filled("SipResponseCode")
        .map(|code| format!("sip {code}"));
    let causes: Vec<String> = error.into_iter().chain(sip).collect();
    (!causes.is_empty()).then(|| causes.join(", "))
}

#[cfg(test)]
mod tests {
    use strowger_sdk::testing::post_form;

    use super::*;

    fn events(body: &str) -> Vec<CallEvent> {
        outcome(STATUS_CALLBACK, &post_form(&[], body)).events
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
            assert_eq!(events(&format!("CallStatus={status}")), [CallEvent::status(expected)]);
        }
        for other in ["CallStatus=", "CallStatus=teleported", ""] {
            assert_eq!(events(other), []);
        }
    }

    #[test]
    fn the_end_of_a_call_has_a_duration_and_a_cause() {
        let event = StatusEvent::new(CallStatus::Failed)
            .lasted_ms(Some(61_000))
            .because(Some("error 32009, sip 486".to_owned()));
        let body = "CallStatus=failed&CallDuration=61&Duration=2&SipResponseCode=486&ErrorCode=32009";
        assert_eq!(events(body), [CallEvent::Status(event)]);
        let odd = StatusEvent::new(CallStatus::Failed).because(Some("error 1".to_owned()));
        assert_eq!(events("CallStatus=failed&CallDuration=soon&ErrorCode=1"), [odd.into()]);
    }

    #[test]
    fn events_of_the_stream_are_not_events_of_the_call() {
        let webhook = post_form(&[], "StreamEvent=stream-stopped&CallStatus=completed");
        assert_eq!(outcome(STREAM_CALLBACK, &webhook).events, []);
        assert_eq!(outcome(STREAM_CALLBACK, &webhook).response.status, 204);
    }

    #[test]
    fn who_answered_is_read_from_any_webhook() {
        assert_eq!(
            answered_by(&post_form(&[], "AnsweredBy=machine_end_beep")),
            Some(AnsweredBy::MachineEndBeep)
        );
        assert_eq!(
            answered_by(&post_form(&[], "AnsweredBy=robot")),
            Some(AnsweredBy::Unknown)
        );
        assert_eq!(answered_by(&post_form(&[], "CallStatus=in-progress")), None);
    }
}
