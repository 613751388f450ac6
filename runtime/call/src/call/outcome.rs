//! How a call ended.

use serde::{Deserialize, Serialize};

use super::event::{AnsweredBy, CallStatus, Cost};
use super::{Direction, State};
use crate::{CallId, Monotonic, ProviderCallId};

/// The result of a call in one word, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeStatus {
    /// A conversation took place and was ended by one of its sides or by a limit.
    Completed,
    /// Something broke, whatever the carrier calls it: somebody was cut off or never connected.
    Failed,
    /// The other side was busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// The call was withdrawn before anybody answered.
    Canceled,
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The caller of an inbound call hung up.
    CallerHungUp,
    /// The called party of an outbound call hung up.
    CalleeHungUp,
    /// The agent ended the call.
    AgentHungUp,
    /// The agent did not connect in time or at all.
    AgentUnreachable,
    /// The agent stopped taking audio.
    AgentStalled,
    /// The connection to the agent broke.
    AgentLost,
    /// The carrier's media socket broke.
    MediaLost,
    /// The carrier did not open the media in time after the call was answered.
    MediaTimeout,
    /// The provider's component failed.
    ProviderFault,
    /// The call was not answered by us (inbound) or not accepted by the carrier (outbound) in time.
    SetupTimeout,
    /// The carrier refused to place the call.
    PlaceFailed,
    /// Nobody answered.
    NoAnswer,
    /// The other side was busy.
    Busy,
    /// We refused the call.
    Rejected,
    /// The carrier withdrew the call.
    Canceled,
    /// The carrier could not complete the call.
    CarrierFailed,
    /// The call reached the longest duration allowed.
    DurationLimit,
    /// A client of the API ended the call.
    ApiRequest,
    /// A person at the console ended the call.
    OperatorRequest,
    /// The gateway stopped.
    Shutdown,
    /// The caller was connected with somebody else.
    Transferred,
}

impl EndReason {
    /// Whether something broke. Such a call has failed even if the carrier, which saw it answered, calls it completed.
    pub fn is_fault(self) -> bool {
        match self {
            Self::AgentUnreachable
            | Self::AgentStalled
            | Self::AgentLost
            | Self::MediaLost
            | Self::MediaTimeout
            | Self::ProviderFault
            | Self::SetupTimeout
            | Self::PlaceFailed
            | Self::Rejected
            | Self::CarrierFailed => true,
            Self::CallerHungUp
            | Self::CalleeHungUp
            | Self::AgentHungUp
            | Self::NoAnswer
            | Self::Busy
            | Self::Canceled
            | Self::DurationLimit
            | Self::ApiRequest
            | Self::OperatorRequest
            | Self::Shutdown
            | Self::Transferred => false,
        }
    }
}

/// How a call ended, as far as it can be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The result in one word.
    pub status: OutcomeStatus,
    /// Why.
    pub reason: EndReason,
    /// What the side at fault said about it, bounded.
    pub detail: Option<String>,
    /// The carrier's closing word, if it said one. It may be `completed` for a call that failed here.
    pub carrier_status: Option<CallStatus>,
    /// When the call was answered, if it was.
    pub answered_at: Option<Monotonic>,
    /// When the call was over: the first sign of it, not the moment the record was closed.
    pub ended_at: Monotonic,
    /// From answer to end by our own clock, in milliseconds; 0 if the call was never answered.
    pub duration_ms: u64,
    /// The same by the carrier's, which is what it bills.
    pub carrier_duration_ms: Option<u64>,
}

/// A call at a glance, at any time of its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Our name of the call.
    pub call_id: CallId,
    /// The carrier's name of the call, once known.
    pub provider_call_id: Option<ProviderCallId>,
    /// Who called whom.
    pub direction: Direction,
    /// Where the call is in its life.
    pub state: State,
    /// When the call began for us.
    pub created_at: Monotonic,
    /// When it was answered.
    pub answered_at: Option<Monotonic>,
    /// When the carrier's audio began.
    pub media_started_at: Option<Monotonic>,
    /// When the agent was told to begin.
    pub agent_started_at: Option<Monotonic>,
    /// Who picked up, by the carrier's last word on it.
    pub answered_by: Option<AnsweredBy>,
    /// How many keys the caller pressed.
    pub digits: u64,
    /// How many times the caller spoke over the agent.
    pub barge_ins: u64,
    /// When the caller was connected with somebody else, if that happened.
    pub transferred_at: Option<Monotonic>,
    /// What the call cost, if the carrier said so.
    pub cost: Option<Cost>,
    /// Events that were not recorded because the record was full.
    pub records_dropped: u64,
    /// How the call ended, if it has.
    pub outcome: Option<Outcome>,
}
