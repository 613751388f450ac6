//! What a call wants done, in the imperative.

use super::event::Recorded;
use super::outcome::{EndReason, Outcome};
use super::transfer::TransferProgress;
use crate::{ProviderCallId, TransferId};

/// Something that the driver should do for a call, in the order in which it gets them. It never has to ask back: what
/// comes of an action returns as an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open the agent's socket. Report `AgentConnected` or `AgentFailed`.
    ConnectAgent,
    /// Tell the agent that the call begins, and let it have the caller's audio from the first frame on. At most once, and
    /// never while the call rings: an agent that talks to a ringing tone has said its greeting to nobody.
    StartAgent,
    /// Ask the carrier to end the call. Report `HangUpDone` or `HangUpFailed`.
    HangUp {
        /// The carrier's name for the call.
        provider_call_id: ProviderCallId,
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// Close the media socket, or refuse it if it is only now arriving.
    CloseMedia,
    /// Close the agent's socket, or stop opening it.
    CloseAgent {
        /// What to tell it.
        reason: EndReason,
    },
    /// Ask the carrier what has become of the call. Report `Status` or `StatusUnavailable`.
    FetchStatus {
        /// The carrier's name for the call.
        provider_call_id: ProviderCallId,
    },
    /// Ask the carrier what the call cost. Report `CostKnown` or `CostUnavailable`.
    FetchCost {
        /// The carrier's name for the call.
        provider_call_id: ProviderCallId,
    },
    /// Keep the record of the transfer, then ask the carrier to dial the destination. Report `TransferIdentified` or
    /// `TransferDialFailed`.
    DialDestination {
        /// Our name of the transfer.
        transfer: TransferId,
    },
    /// Ask the carrier to connect the caller with the destination. Report `TransferConnected` or `TransferConnectFailed`.
    ConnectTransfer {
        /// Our name of the transfer.
        transfer: TransferId,
    },
    /// Ask the carrier to end the second leg. Nothing to report.
    CancelTransfer {
        /// Our name of the transfer.
        transfer: TransferId,
    },
    /// Tell the agent, and keep in the transfer's record, how far it has come.
    TransferChanged {
        /// Our name of the transfer.
        transfer: TransferId,
        /// How far.
        progress: TransferProgress,
    },
    /// Add this entry to the call's record.
    Record(Recorded),
    /// Close the record and free what the call held. Exactly once, and last.
    Finish(Outcome),
}
