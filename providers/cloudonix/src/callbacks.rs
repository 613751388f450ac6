//! What became of a session: session updates and call detail records.
//!
//! <https://developers.cloudonix.com/Documentation/dataModels/session>

use strowger_sdk::{Call, CallEvent, CallStatus, CallbackOutcome, Response, StatusEvent, Webhook};

use crate::fields::Fields;
use crate::inbound;
use crate::markup;
use crate::spec::{CDR, STATUS_CALLBACK};

pub(crate) fn outcome(route: &str, call: &Call, webhook: &Webhook) -> CallbackOutcome {
    let response = match route {
        STATUS_CALLBACK | CDR => Response::empty(204),
        // At the common dispatcher Cloudonix may be waiting for CXML.
        _ => Response::xml(markup::nothing()),
    };
    CallbackOutcome {
        events: events(call.provider_call_id.as_deref(), webhook),
        response,
    }
}

/// The events of the session that is known by this token so far. What tells about another session is not for it.
fn events(known: Option<&str>, webhook: &Webhook) -> Vec<CallEvent> {
    let Some(fields) = Fields::read(webhook) else {
        return Vec::new();
    };
    let Some(identity) = identify(known, &fields, webhook) else {
        return Vec::new();
    };
    let mut events = identity;
    events.extend(Report::of(&fields).event());
    events
}

/// None when the webhook is about another session; the event that names the session when its token was not known.
pub(crate) fn identify(known: Option<&str>, fields: &Fields, webhook: &Webhook) -> Option<Vec<CallEvent>> {
    match (known, inbound::token(fields, webhook)) {
        (Some(known), Some(token)) if known != token => None,
        (None, Some(token)) => Some(vec![CallEvent::Identified(token.to_owned())]),
        _ => Some(Vec::new()),
    }
}

/// What a webhook, or the session itself, says of a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// None for a word that is not known, so that a new one does not disturb a call.
    pub(crate) status: Option<CallStatus>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) cause: Option<String>,
}

impl Report {
    pub(crate) fn of(fields: &Fields) -> Self {
        if fields.has("disposition") {
            Self::of_record(fields)
        } else {
            Self::of_session(fields)
        }
    }

    pub(crate) fn event(self) -> Option<CallEvent> {
        let event = StatusEvent::new(self.status?).lasted_ms(self.duration_ms);
        Some(event.because(self.cause).into())
    }

    /// A call detail record comes when the call is over. `billsec` counts from the answer, and 0 is a count.
    fn of_record(fields: &Fields) -> Self {
        let disposition = fields.text("disposition").unwrap_or_default().to_ascii_lowercase();
        let seconds = fields.number("billsec").or_else(|| fields.number("duration"));
        Self {
            status: status(&disposition, Ended::Yes { answered: None }),
            duration_ms: seconds.and_then(|seconds| seconds.checked_mul(1000)),
            cause: cause(&disposition),
        }
    }

    pub(crate) fn of_session(fields: &Fields) -> Self {
        let word = fields
            .text_of(&["status", "CallStatus"])
            .unwrap_or_default()
            .to_ascii_lowercase();
        // Unix time in milliseconds; 0 or null until it has happened.
        let time = |name| fields.number(name).filter(|time| *time > 0);
        let (answered, ended) = (time("callAnswerTime"), time("callEndTime"));
        let counted = ["duration", "CallDuration"]
            .iter()
            .find_map(|name| fields.number(name))
            .and_then(|seconds| seconds.checked_mul(1000));
        let talked = ended.zip(answered).and_then(|(end, answer)| end.checked_sub(answer));
        let end = match ended {
            Some(_) => Ended::Yes {
                answered: Some(answered.is_some()),
            },
            None => Ended::No,
        };
        Self {
            status: status(&word, end),
            duration_ms: talked.or(counted),
            cause: cause(&word),
        }
    }
}

/// Whether a report says that the session is over, and if so whether anybody had answered, when it says that.
#[derive(Clone, Copy)]
enum Ended {
    Yes { answered: Option<bool> },
    No,
}

/// Words of sessions, of the requests of voice applications, and of call detail records, in lower case.
///
/// `answer` is both the state of a session that was answered and the disposition of one that has ended after that; the
/// time of its end tells the two apart.
fn status(word: &str, ended: Ended) -> Option<CallStatus> {
    Some(match (word, ended) {
        ("busy", _) => CallStatus::Busy,
        ("noanswer" | "no-answer" | "no answer", _) => CallStatus::NoAnswer,
        ("cancel" | "canceled" | "cancelled", _) => CallStatus::Canceled,
        ("failed" | "error" | "congestion" | "nocredit", _) => CallStatus::Failed,
        ("completed", _) => CallStatus::Completed,
        ("answer" | "answered" | "connected" | "in-progress", Ended::Yes { .. }) => CallStatus::Completed,
        ("answer" | "answered" | "connected" | "in-progress", Ended::No) => CallStatus::InProgress,
        // Whatever the word, a session with an end is over.
        (_, Ended::Yes { answered: Some(true) }) => CallStatus::Completed,
        (_, Ended::Yes { answered: Some(false) }) => CallStatus::Failed,
        ("new" | "initiated" | "queued" | "processing", Ended::No) => CallStatus::Initiated,
        ("ringing", Ended::No) => CallStatus::Ringing,
        _ => return None,
    })
}

/// Cloudonix's own word, where ours says less.
fn cause(word: &str) -> Option<String> {
    matches!(word, "error" | "congestion" | "nocredit" | "external").then(|| word.to_owned())
}
