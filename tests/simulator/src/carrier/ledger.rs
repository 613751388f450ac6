//! The state behind a carrier's REST API: the only memory that a description has.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{Instruction, WebhookTarget};
use crate::report::{CallStatus, Direction, HangUp};

#[derive(Debug, Default)]
pub struct Ledger {
    pub numbers: Vec<NumberRecord>,
    pub calls: BTreeMap<String, CallRecord>,
    /// Whatever else this carrier keeps: applications, conferences, bridges, trunks. Keys are the description's own.
    pub objects: BTreeMap<String, Value>,
    /// The gateway's public address without a trailing slash, for what an operator would have configured at the carrier.
    /// Empty until it is known.
    pub gateway: String,
    /// Which event sockets have a subscriber that hears them.
    pub subscribers: BTreeSet<String>,
}

impl Ledger {
    /// The call of this id or earlier id.
    #[must_use]
    pub fn call(&self, id: &str) -> Option<&CallRecord> {
        self.calls
            .get(id)
            .or_else(|| self.calls.values().find(|call| call.earlier_id.as_deref() == Some(id)))
    }

    /// The call of this id or earlier id.
    pub fn call_mut(&mut self, id: &str) -> Option<&mut CallRecord> {
        let id = self.call(id)?.id.clone();
        self.calls.get_mut(&id)
    }

    #[must_use]
    pub fn number(&self, number: &str) -> Option<&NumberRecord> {
        self.numbers.iter().find(|record| record.number == number)
    }

    #[must_use]
    pub fn owns(&self, number: &str) -> bool {
        self.number(number).is_some()
    }

    /// Enters a call that the gateway asked for.
    pub fn enter(&mut self, call: CallRecord) {
        self.calls.insert(call.id.clone(), call);
    }
}

/// A number of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberRecord {
    pub id: String,
    /// E.164.
    pub number: String,
    /// Where calls to it are announced; the gateway's usual address when empty.
    pub voice: WebhookTarget,
    pub status: Option<WebhookTarget>,
    /// The application that it is attached to, at carriers that have such.
    pub application: Option<String>,
    pub updated: SystemTime,
}

impl NumberRecord {
    #[must_use]
    pub fn new(id: String, number: &str) -> Self {
        Self {
            id,
            number: number.to_owned(),
            voice: WebhookTarget::post(""),
            status: None,
            application: None,
            updated: SystemTime::UNIX_EPOCH,
        }
    }
}

/// How a call to an own number comes to the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundRoute {
    /// Where it is announced; the gateway's usual address when empty. `None` for a carrier that sends no webhooks: then
    /// only [`super::Carrier::notices`] tells of the call.
    pub voice: Option<WebhookTarget>,
    pub callbacks: Vec<Subscription>,
    /// Goes into [`CallRecord::extra`].
    pub extra: Value,
}

/// Changes of a call's status, and where they are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub target: WebhookTarget,
    /// [`CallStatus::Completed`] stands for every end.
    pub statuses: Vec<CallStatus>,
}

impl Subscription {
    #[must_use]
    pub fn new(target: WebhookTarget, statuses: impl Into<Vec<CallStatus>>) -> Self {
        Self {
            target,
            statuses: statuses.into(),
        }
    }

    /// From the first ring to the end.
    #[must_use]
    pub fn to_all(target: WebhookTarget) -> Self {
        Self::new(
            target,
            [
                CallStatus::Initiated,
                CallStatus::Ringing,
                CallStatus::InProgress,
                CallStatus::Completed,
            ],
        )
    }

    #[must_use]
    pub fn covers(&self, status: CallStatus) -> bool {
        self.statuses.contains(&status) || (status.is_final() && self.statuses.contains(&CallStatus::Completed))
    }
}

/// What the carrier's API knows about a call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    pub id: String,
    /// What the carrier called it before it had `id`: ids that change when a call is answered.
    pub earlier_id: Option<String>,
    pub from: String,
    pub to: String,
    pub direction: Direction,
    pub status: CallStatus,
    pub created: SystemTime,
    pub answered: Option<SystemTime>,
    pub ended: Option<SystemTime>,
    /// Who ended it.
    pub ended_by: Option<HangUp>,
    /// Where to ask what to do, for an outbound call.
    pub answer: Option<WebhookTarget>,
    /// What to do once it is answered, when the gateway said so with the request.
    pub instructions: Option<Vec<Instruction>>,
    /// How long it may ring.
    pub ring_timeout: Option<Duration>,
    /// What of it is told, and where.
    pub callbacks: Vec<Subscription>,
    /// Number of the next status callback.
    pub status_sequence: u32,
    /// Who answered, in the carrier's word, when it was asked to find out.
    pub answered_by: Option<String>,
    pub detect_machine: bool,
    /// How often the finished call has been looked up: prices appear late.
    pub lookups_after_end: u32,
    /// Whatever else this carrier knows of it.
    pub extra: Value,
}

impl CallRecord {
    #[must_use]
    pub fn new(id: String, direction: Direction, from: &str, to: &str) -> Self {
        Self {
            id,
            earlier_id: None,
            from: from.to_owned(),
            to: to.to_owned(),
            direction,
            status: match direction {
                Direction::Inbound => CallStatus::Ringing,
                Direction::Outbound => CallStatus::Queued,
            },
            created: SystemTime::now(),
            answered: None,
            ended: None,
            ended_by: None,
            answer: None,
            instructions: None,
            ring_timeout: None,
            callbacks: Vec::new(),
            status_sequence: 0,
            answered_by: None,
            detect_machine: false,
            lookups_after_end: 0,
            extra: Value::Null,
        }
    }

    /// Whole seconds from answer to end, rounded up as carriers bill; 0 when never answered.
    #[must_use]
    pub fn duration_s(&self) -> u64 {
        let (Some(answered), Some(ended)) = (self.answered, self.ended) else {
            return 0;
        };
        let duration = ended.duration_since(answered).unwrap_or_default();
        duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
    }

    /// The API ends it: the status that it has from now on. Give [`super::Directive::HangUp`] as well.
    pub fn end(&mut self) {
        self.status = if self.answered.is_some() {
            CallStatus::Completed
        } else {
            CallStatus::Canceled
        };
        self.ended = Some(SystemTime::now());
    }
}
