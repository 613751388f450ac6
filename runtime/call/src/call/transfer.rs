//! The transfer of a call: how far the second leg has come, and what follows for it.
//!
//! ```text
//!   Dialing ─► Connecting ─► Connected ─► Over
//!      └────────────┴────────────────────►
//! ```
//!
//! The first answer counts, and only while it is waited for: a leg that answers later is let go. What a transfer means for
//! the call (whether it goes on with its agent, or ends) is the call's to decide.

use serde::{Deserialize, Serialize};

use super::event::CallStatus;
use crate::TransferId;

/// How far a transfer has come, as the agent and the API hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum TransferProgress {
    /// The destination is being dialled.
    Dialing,
    /// It is being alerted.
    Ringing,
    /// It answered and is being connected with the caller.
    Answered,
    /// Caller and destination hear each other.
    Connected,
    /// There will be no connection; the caller is back with the agent, or gone.
    Failed(TransferFailure),
    /// They were connected, and are no longer.
    Ended,
}

/// Why a transfer did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferFailure {
    /// This carrier cannot transfer calls.
    Unsupported,
    /// No destination was given, or it is no number, SIP address or extension.
    NoDestination,
    /// The gateway's limits do not allow the destination.
    DestinationRefused,
    /// The call is not at a point where it can be transferred.
    NotConnected,
    /// Another transfer of the call is under way.
    InProgress,
    /// The carrier refused to dial, or could not be reached.
    ProviderError,
    /// Nobody answered before the time was up.
    Timeout,
    /// The destination was busy.
    Busy,
    /// The carrier says that nobody answered.
    NoAnswer,
    /// The carrier could not complete the leg.
    CallFailed,
    /// The destination answered and could not be connected.
    ConnectFailed,
    /// The destination answered and hung up before it was connected.
    HungUp,
    /// Whoever asked for the transfer withdrew it.
    Canceled,
    /// The call ended first.
    CallEnded,
}

/// What a transfer does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    None,
    /// It is being alerted.
    Ringing,
    /// Connect the legs.
    Connect,
    /// It did not come about.
    Fail(TransferFailure),
    /// A leg that nobody waits for any more is to be let go.
    LetGo,
    /// The destination has left the caller alone.
    DestinationLeft,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Dialing,
    Connecting,
    Connected,
    Over,
}

/// One transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) id: TransferId,
    pub(super) phase: Phase,
    /// The carrier has not said yet what came of the request to dial.
    asked: bool,
    /// There is a leg at the carrier, so that it can be cancelled.
    identified: bool,
    /// To be cancelled as soon as it can be.
    unwanted: bool,
    rang: bool,
    /// The leg has ended.
    pub(super) destination_gone: bool,
}

impl Transfer {
    pub(super) fn new(id: TransferId) -> Self {
        Self {
            id,
            phase: Phase::Dialing,
            asked: true,
            identified: false,
            unwanted: false,
            rang: false,
            destination_gone: false,
        }
    }

    /// Whether it may still come about.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Dialing | Phase::Connecting)
    }

    /// Whether another transfer may take its place: nothing of it may still come to be that nobody would know of.
    pub(super) fn is_settled(&self) -> bool {
        self.phase == Phase::Over && !self.asked
    }

    /// The carrier refused the request to dial, or said nothing.
    pub(super) fn refused(&mut self) {
        self.asked = false;
    }

    /// The carrier's name of the leg became known; `true` when the leg is to be cancelled now.
    pub(super) fn identify(&mut self) -> bool {
        self.asked = false;
        let first = !std::mem::replace(&mut self.identified, true);
        first && self.unwanted && !self.destination_gone
    }

    /// Nobody waits for the leg any more; `true` when it can be cancelled now.
    pub(super) fn let_go(&mut self) -> bool {
        self.phase = Phase::Over;
        self.unwanted = true;
        self.identified && !self.destination_gone
    }

    /// The carrier's word on the leg.
    pub(super) fn status(&mut self, status: CallStatus) -> Step {
        if status.is_terminal() {
            self.destination_gone = true;
        } else {
            // Whatever became of the reply to the request: there is a leg.
            self.identified = true;
        }
        match (self.phase, status) {
            (Phase::Dialing, CallStatus::Ringing) if !self.rang => {
                self.rang = true;
                Step::Ringing
            }
            (Phase::Dialing, CallStatus::InProgress) => {
                self.phase = Phase::Connecting;
                Step::Connect
            }
            (Phase::Dialing, CallStatus::Busy) => Step::Fail(TransferFailure::Busy),
            // A leg that the carrier withdrew by itself has rung for as long as it might.
            (Phase::Dialing, CallStatus::NoAnswer | CallStatus::Canceled) => Step::Fail(TransferFailure::NoAnswer),
            (Phase::Dialing, CallStatus::Failed | CallStatus::Completed) => Step::Fail(TransferFailure::CallFailed),
            (Phase::Connected, status) if status.is_terminal() => Step::DestinationLeft,
            (Phase::Over, CallStatus::Ringing | CallStatus::InProgress) if self.let_go() => Step::LetGo,
            // While the legs are being connected the carrier's word on that decides.
            _ => Step::None,
        }
    }
}
