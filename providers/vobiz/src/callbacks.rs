//! What Vobiz tells about a call: that it rings, that it was answered, and why it ended.
//!
//! <https://docs.vobiz.ai/xml/request/call-status> and <https://docs.vobiz.ai/concepts/hangup-causes>.

use strowger_sdk::{
    Call, CallEvent, CallStatus, CallbackOutcome, Direction, Form, Response, StatusEvent, Webhook, seconds_to_ms,
};

use crate::markup;
use crate::spec::{HANGUP_CALLBACK, RING_CALLBACK};

pub(crate) fn outcome(route: &str, call: &Call, webhook: &Webhook) -> CallbackOutcome {
    let parameters = webhook.parameters();
    let response = match route {
        // Anything but 200 counts as a failure at Vobiz.
        RING_CALLBACK | HANGUP_CALLBACK => Response::empty(200),
        // At the common dispatcher Vobiz may be waiting for markup.
        _ => markup::nothing(),
    };
    let mut events = identified(call, &parameters);
    events.extend(status_event(&parameters).map(CallEvent::Status));
    CallbackOutcome { events, response }
}

/// What rides along with the webhook that asks for the markup of a call. Vobiz's pages disagree whether ringing is told
/// here as well: the status says what it is.
pub(crate) fn answer_events(call: &Call, webhook: &Webhook) -> Vec<CallEvent> {
    let parameters = webhook.parameters();
    let mut events = identified(call, &parameters);
    if call.direction == Direction::Outbound {
        events.extend(status_event(&parameters).map(CallEvent::Status));
    }
    events
}

/// What placing a call returned is documented to be its identifier for good. Should it ever differ, this one is live.
fn identified(call: &Call, parameters: &Form) -> Vec<CallEvent> {
    parameters
        .get_filled("CallUUID")
        .filter(|call_uuid| call.provider_call_id.as_deref() != Some(*call_uuid))
        .map(|call_uuid| CallEvent::Identified(call_uuid.to_owned()))
        .into_iter()
        .collect()
}

pub(crate) fn call_status(status: &str) -> Option<CallStatus> {
    match status.to_ascii_lowercase().as_str() {
        "queued" | "initiated" => Some(CallStatus::Initiated),
        "ringing" | "ring" | "early" => Some(CallStatus::Ringing),
        "in-progress" | "answered" | "active" => Some(CallStatus::InProgress),
        "completed" | "hangup" => Some(CallStatus::Completed),
        "failed" => Some(CallStatus::Failed),
        "busy" | "rejected" => Some(CallStatus::Busy),
        "no-answer" | "timeout" => Some(CallStatus::NoAnswer),
        "cancel" | "canceled" | "cancelled" => Some(CallStatus::Canceled),
        _ => None,
    }
}

/// What a code of the list of hang-up causes says about how a call ended. The records of calls have the numbers of Q.850
/// (ITU-T Q.850 §2.2.7) as well.
pub(crate) fn status_of_cause(code: u32) -> Option<CallStatus> {
    match code {
        16 | 31 | 4000..=4999 => Some(CallStatus::Completed),
        17 | 21 | 3010 | 3020 | 3100 | 3110 => Some(CallStatus::Busy),
        18 | 19 | 3000 | 6010 => Some(CallStatus::NoAnswer),
        1000..=1020 => Some(CallStatus::Canceled),
        1 | 28 | 2000..=2999 => Some(CallStatus::Failed),
        _ => None,
    }
}

/// None for a status that is not known, so that a new one does not disturb a call, and for what concerns the stream.
fn status_event(parameters: &Form) -> Option<StatusEvent> {
    let event = parameters.get("Event").unwrap_or_default();
    if event.ends_with("Stream") {
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
    // Vobiz counts whole seconds.
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

/// Why the call ended as it did: the telephony cause, and Vobiz's own code and name for it.
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
    fn every_status_of_vobiz_has_a_meaning() {
        for (told, expected) in [
            ("ringing", CallStatus::Ringing),
            ("in-progress", CallStatus::InProgress),
            ("completed", CallStatus::Completed),
            ("busy", CallStatus::Busy),
            ("no-answer", CallStatus::NoAnswer),
            ("timeout", CallStatus::NoAnswer),
            ("cancel", CallStatus::Canceled),
            ("failed", CallStatus::Failed),
        ] {
            assert_eq!(status(&format!("CallStatus={told}")), Some(expected), "{told}");
        }
        assert_eq!(status("Event=Ring"), Some(CallStatus::Ringing));
        assert_eq!(status("Event=Hangup"), Some(CallStatus::Completed));
        for other in [
            "",
            "CallStatus=teleported",
            "Event=StartApp",
            "Event=StopStream&CallStatus=completed",
        ] {
            assert_eq!(status(other), None);
        }
    }

    #[test]
    fn the_cause_tells_that_nobody_answered() {
        for (cause, expected) in [
            ("USER_BUSY", CallStatus::Busy),
            ("NO_ANSWER", CallStatus::NoAnswer),
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
    fn codes_of_causes_are_sorted() {
        for (code, expected) in [
            (16, Some(CallStatus::Completed)),
            (17, Some(CallStatus::Busy)),
            (19, Some(CallStatus::NoAnswer)),
            (1000, Some(CallStatus::Canceled)),
            (2010, Some(CallStatus::Failed)),
            (3000, Some(CallStatus::NoAnswer)),
            (3010, Some(CallStatus::Busy)),
            (3110, Some(CallStatus::Busy)),
            (6010, Some(CallStatus::NoAnswer)),
            (3070, None),
            (4010, Some(CallStatus::Completed)),
            (0, None),
        ] {
            assert_eq!(status_of_cause(code), expected, "{code}");
        }
    }
}
