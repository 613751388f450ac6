//! What the end of a channel means.
//!
//! `cause` is a number of Q.850 (<https://docs.asterisk.org/Configuration/Miscellaneous/Hangup-Cause-Mappings/>),
//! `tech_cause` the SIP status behind it, left out when there was none.

use strowger_sdk::{CallStatus, StatusEvent};

/// The end of a channel that we dialled.
pub(crate) fn end_of_dialled(state: &str, cause: i64, text: &str, tech_cause: Option<i64>) -> StatusEvent {
    // The state at the end is the last one reached. Asterisk reports cause 0 for an answered call whose far end hangs up.
    let status = if state == "Up" {
        CallStatus::Completed
    } else {
        unanswered(cause)
    };
    StatusEvent::new(status).because(Some(describe(cause, text, tech_cause)))
}

/// The end of a channel that came to us, which has no cause: Asterisk tells it only to those who subscribe to the channel.
pub(crate) fn end_of_caller(state: &str) -> StatusEvent {
    StatusEvent::new(if state == "Up" {
        CallStatus::Completed
    } else {
        CallStatus::Canceled
    })
}

/// What a channel is doing; `None` for a word that Asterisk does not document.
pub(crate) fn channel_state(state: &str) -> Option<CallStatus> {
    match state {
        "Down" | "Rsrvd" | "OffHook" | "Dialing" | "Dialing Offhook" | "Pre-ring" | "Unknown" => {
            Some(CallStatus::Initiated)
        }
        "Ring" | "Ringing" => Some(CallStatus::Ringing),
        "Up" => Some(CallStatus::InProgress),
        "Busy" => Some(CallStatus::Busy),
        _ => None,
    }
}

/// Number, words and SIP status, for the record.
pub(crate) fn describe(cause: i64, text: &str, tech_cause: Option<i64>) -> String {
    let mut described = format!("cause {cause}");
    if !text.is_empty() {
        described.push_str(&format!(" ({text})"));
    }
    if let Some(tech_cause) = tech_cause {
        described.push_str(&format!(", sip {tech_cause}"));
    }
    described.chars().filter(|letter| !letter.is_control()).collect()
}

fn unanswered(cause: i64) -> CallStatus {
    match cause {
        // User busy.
        17 => CallStatus::Busy,
        // No user responding; no answer, which is also how Asterisk calls its own timeout.
        18 | 19 => CallStatus::NoAnswer,
        // Normal clearing is what the gateway itself asks for while it rings; answered elsewhere.
        16 | 26 => CallStatus::Canceled,
        // Unallocated (1), no route (2, 3), subscriber absent (20), rejected (21), out of order (27), congestion (34, 38,
        // 42) and the rest.
        _ => CallStatus::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_numbers() {
        for (cause, expected) in [
            (17, CallStatus::Busy),
            (18, CallStatus::NoAnswer),
            (19, CallStatus::NoAnswer),
            (16, CallStatus::Canceled),
            (26, CallStatus::Canceled),
            (0, CallStatus::Failed),
            (1, CallStatus::Failed),
            (3, CallStatus::Failed),
            (20, CallStatus::Failed),
            (21, CallStatus::Failed),
            (27, CallStatus::Failed),
            (34, CallStatus::Failed),
            (38, CallStatus::Failed),
            (42, CallStatus::Failed),
            (999, CallStatus::Failed),
        ] {
            assert_eq!(end_of_dialled("Ringing", cause, "", None).status, expected, "{cause}");
            assert_eq!(
                end_of_dialled("Up", cause, "", None).status,
                CallStatus::Completed,
                "{cause}"
            );
        }
    }

    #[test]
    fn the_record_says_why() {
        let busy = end_of_dialled("Ringing", 17, "User busy", Some(486));
        assert_eq!(busy.cause.as_deref(), Some("cause 17 (User busy), sip 486"));
        let long = end_of_dialled("Down", 38, &"\u{7}x".repeat(200), None).cause.unwrap();
        assert_eq!(long.chars().count(), 100);
        assert!(!long.contains('\u{7}'));
    }

    #[test]
    fn a_caller_who_gives_up_has_withdrawn_the_call() {
        assert_eq!(end_of_caller("Ring").status, CallStatus::Canceled);
        assert_eq!(end_of_caller("Up").status, CallStatus::Completed);
    }

    #[test]
    fn every_state_of_a_channel_has_a_meaning() {
        for (state, expected) in [
            ("Down", CallStatus::Initiated),
            ("Rsrvd", CallStatus::Initiated),
            ("OffHook", CallStatus::Initiated),
            ("Dialing", CallStatus::Initiated),
            ("Dialing Offhook", CallStatus::Initiated),
            ("Pre-ring", CallStatus::Initiated),
            ("Unknown", CallStatus::Initiated),
            ("Ring", CallStatus::Ringing),
            ("Ringing", CallStatus::Ringing),
            ("Up", CallStatus::InProgress),
            ("Busy", CallStatus::Busy),
        ] {
            assert_eq!(channel_state(state), Some(expected), "{state}");
        }
        assert_eq!(channel_state("Unavailable"), None);
    }
}
