//! What Plivo tells about a call: that it rings, that it was answered, and why it ended.
//!
//! <https://docs.plivo.com/docs/voice/xml/request/call-status> and
//! <https://docs.plivo.com/docs/voice/troubleshooting/hangup-causes>.

use strowger_sdk::{
    Call, CallEvent, CallStatus, CallbackOutcome, Direction, Form, Response, StatusEvent, Webhook, seconds_to_ms,
};

use crate::markup;
use crate::spec::{HANGUP_CALLBACK, RING_CALLBACK, STREAM_CALLBACK};

pub(crate) fn outcome(route: &str, call: &Call, webhook: &Webhook) -> CallbackOutcome {
    let parameters = webhook.parameters();
    let response = match route {
        // That a stream started or stopped is known from the stream itself, and says nothing of the call.
        STREAM_CALLBACK => {
            return CallbackOutcome {
                events: Vec::new(),
                response: acknowledged(),
            };
        }
        RING_CALLBACK | HANGUP_CALLBACK => acknowledged(),
        // At the common dispatcher Plivo may be waiting for markup.
        _ => markup::nothing(),
    };
    let mut events = identified(call.provider_call_id.as_deref(), &parameters);
    events.extend(status_event(&parameters).map(CallEvent::Status));
    CallbackOutcome { events, response }
}

/// The webhook that asks for the markup of an answered call also tells its final identifier: placing it returned that of
/// the request only.
pub(crate) fn answer_events(call: &Call, webhook: &Webhook) -> Vec<CallEvent> {
    let parameters = webhook.parameters();
    let mut events = identified(call.provider_call_id.as_deref(), &parameters);
    if call.direction == Direction::Outbound {
        events.extend(status_event(&parameters).map(CallEvent::Status));
    }
    events
}

/// The identifier under which Plivo knows a leg, when it is not the one that we know.
pub(crate) fn identified(known: Option<&str>, parameters: &Form) -> Vec<CallEvent> {
    parameters
        .get_filled("CallUUID")
        .filter(|call_uuid| known != Some(*call_uuid))
        .map(|call_uuid| CallEvent::Identified(call_uuid.to_owned()))
        .into_iter()
        .collect()
}

/// Anything but 200 counts as a failure at Plivo.
pub(crate) fn acknowledged() -> Response {
    Response::empty(200)
}

pub(crate) fn call_status(status: &str) -> Option<CallStatus> {
    match status.to_ascii_lowercase().as_str() {
        "queued" | "initiated" => Some(CallStatus::Initiated),
        "ringing" | "ring" => Some(CallStatus::Ringing),
        "in-progress" | "answered" => Some(CallStatus::InProgress),
        "completed" | "hangup" => Some(CallStatus::Completed),
        "failed" => Some(CallStatus::Failed),
        "busy" => Some(CallStatus::Busy),
        "no-answer" | "timeout" => Some(CallStatus::NoAnswer),
        "cancel" | "canceled" | "cancelled" => Some(CallStatus::Canceled),
        // Not in the list of statuses, but a hang-up cause of this name is.
        "rejected" => Some(CallStatus::Busy),
        _ => None,
    }
}

/// What a code of the list of hang-up causes says about how a call ended; none when it says only that it did.
pub(crate) fn status_of_cause(code: u32) -> Option<CallStatus> {
    match code {
        1000..=1020 => Some(CallStatus::Canceled),
        2000..=2999 => Some(CallStatus::Failed),
        3000 | 6010 => Some(CallStatus::NoAnswer),
        3010 | 3020 | 3100 | 3110 => Some(CallStatus::Busy),
        4000..=4999 => Some(CallStatus::Completed),
        _ => None,
    }
}

/// None for a status that is not known, so that a new one does not disturb a call, and for what concerns the stream.
pub(crate) fn status_event(parameters: &Form) -> Option<StatusEvent> {
    let event = parameters.get("Event").unwrap_or_default();
    if event.ends_with("Stream") || event == "ClearedAudio" {
        return None;
    }
    let told = parameters.get_filled("CallStatus").unwrap_or(event);
    let mut status = call_status(told)?;
    // A call that nobody answered can be `completed` or `failed` as well; its cause knows better.
    if matches!(status, CallStatus::Completed | CallStatus::Failed)
        && let Some(cause) = parameters.get_filled("HangupCause").and_then(unanswered)
    {
        status = cause;
    }
    let duration_ms = parameters.get("Duration").and_then(seconds_to_ms);
    let event = StatusEvent::new(status).lasted_ms(duration_ms);
    Some(event.because(cause(parameters)))
}

/// The telephony causes that a call which was answered never has.
fn unanswered(hangup_cause: &str) -> Option<CallStatus> {
    match hangup_cause {
        "USER_BUSY" | "CALL_REJECTED" => Some(CallStatus::Busy),
        "NO_ANSWER" | "NO_USER_RESPONSE" => Some(CallStatus::NoAnswer),
        "ORIGINATOR_CANCEL" => Some(CallStatus::Canceled),
        "UNALLOCATED_NUMBER" | "INVALID_NUMBER_FORMAT" | "NO_ROUTE_DESTINATION" | "SUBSCRIBER_ABSENT" => {
            Some(CallStatus::Failed)
        }
        _ => None,
    }
}

/// Why the call ended as it did: the telephony cause, and Plivo's own code and name for it.
fn cause(parameters: &Form) -> Option<String> {
    let parts = ["HangupCause", "HangupCauseCode", "HangupCauseName"];
    let parts: Vec<&str> = parts
        .into_iter()
        .filter_map(|name| parameters.get_filled(name))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

#[cfg(test)]
mod tests {
    use strowger_sdk::testing::post_form;

    use super::*;

    fn form(body: &str) -> Form {
        post_form(&[], body).form()
    }

    fn status(body: &str) -> Option<CallStatus> {
        status_event(&form(body)).map(|event| event.status)
    }

    #[test]
    fn every_status_of_plivo_has_a_meaning() {
        for (told, expected) in [
            ("ringing", CallStatus::Ringing),
            ("in-progress", CallStatus::InProgress),
            ("completed", CallStatus::Completed),
            ("busy", CallStatus::Busy),
            ("no-answer", CallStatus::NoAnswer),
            ("timeout", CallStatus::NoAnswer),
            ("cancel", CallStatus::Canceled),
            ("failed", CallStatus::Failed),
            ("Rejected", CallStatus::Busy),
        ] {
            assert_eq!(status(&format!("CallStatus={told}")), Some(expected), "{told}");
        }
        assert_eq!(status("Event=Ring"), Some(CallStatus::Ringing));
        assert_eq!(status("Event=Hangup"), Some(CallStatus::Completed));
        for other in ["", "CallStatus=teleported", "Event=StartApp"] {
            assert_eq!(status(other), None);
        }
    }

    #[test]
    fn the_cause_tells_that_nobody_answered() {
        for (cause, expected) in [
            ("USER_BUSY", CallStatus::Busy),
            ("CALL_REJECTED", CallStatus::Busy),
            ("NO_ANSWER", CallStatus::NoAnswer),
            ("NO_USER_RESPONSE", CallStatus::NoAnswer),
            ("ORIGINATOR_CANCEL", CallStatus::Canceled),
            ("UNALLOCATED_NUMBER", CallStatus::Failed),
            ("NORMAL_CLEARING", CallStatus::Completed),
        ] {
            assert_eq!(
                status(&format!("CallStatus=completed&HangupCause={cause}")),
                Some(expected),
                "{cause}"
            );
        }
        assert_eq!(
            status("CallStatus=failed&HangupCause=USER_BUSY"),
            Some(CallStatus::Busy)
        );
        // What Plivo says outright is believed.
        assert_eq!(
            status("CallStatus=no-answer&HangupCause=ORIGINATOR_CANCEL"),
            Some(CallStatus::NoAnswer)
        );
    }

    #[test]
    fn the_end_of_a_call_has_a_duration_and_a_cause() {
        let body = "CallStatus=completed&Duration=66&BillDuration=120&HangupCause=NORMAL_CLEARING&HangupCauseCode=4000&HangupCauseName=Normal+Hangup&Event=Hangup";
        let event = StatusEvent {
            status: CallStatus::Completed,
            duration_ms: Some(66_000),
            cause: Some("NORMAL_CLEARING 4000 Normal Hangup".to_owned()),
        };
        assert_eq!(status_event(&form(body)), Some(event));
        let long = form(&format!(
            "CallStatus=failed&Duration=soon&HangupCause={}",
            "X".repeat(300)
        ));
        let event = status_event(&long).unwrap();
        assert_eq!(
            (event.duration_ms, event.cause.map(|cause| cause.len())),
            (None, Some(100))
        );
    }

    #[test]
    fn events_of_the_stream_are_not_events_of_the_call() {
        for event in [
            "StartStream",
            "StopStream",
            "DroppedStream",
            "PlayedStream",
            "ClearedAudio",
        ] {
            assert_eq!(status(&format!("Event={event}&CallStatus=in-progress")), None);
        }
    }

    #[test]
    fn codes_of_causes_are_sorted() {
        for (code, expected) in [
            (1000, Some(CallStatus::Canceled)),
            (2010, Some(CallStatus::Failed)),
            (3000, Some(CallStatus::NoAnswer)),
            (3010, Some(CallStatus::Busy)),
            (3110, Some(CallStatus::Busy)),
            (6010, Some(CallStatus::NoAnswer)),
            (3070, None),
            (4010, Some(CallStatus::Completed)),
            (0, None),
            (6000, None),
        ] {
            assert_eq!(status_of_cause(code), expected, "{code}");
        }
    }
}
