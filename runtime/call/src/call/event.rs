//! What happens to a call, in the past tense, and what each happening was worth.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Monotonic, ProviderCallId, TransferId};

/// Something that happened to a call. The server stores events as they serialise.
///
/// Texts inside come from carriers and agents: whoever builds an event has bounded them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The carrier asked what to do with the call and got the markup that answers it and opens the media. For an outbound
    /// call this means that somebody picked up, because carriers ask only then.
    WebhookAnswered,
    /// We refused an inbound call: no agent for the number, no free slot.
    Rejected {
        /// Why, in our words.
        reason: String,
    },
    /// The carrier accepted the request for an outbound call.
    Placed {
        /// Its name for the call.
        provider_call_id: ProviderCallId,
    },
    /// The carrier refused the request for an outbound call, or could not be reached.
    PlaceFailed {
        /// A short code, the carrier's or the gateway's.
        code: String,
        /// What it said.
        message: String,
        /// Whether the same request may succeed later. The gateway does not repeat it within this call.
        retryable: bool,
    },
    /// The carrier told what has become of the call, by callback or asked.
    Status {
        /// The status in the gateway's words.
        status: CallStatus,
        /// How long the carrier says the call lasted, in milliseconds.
        duration_ms: Option<u64>,
        /// The carrier's cause, such as a SIP code.
        cause: Option<String>,
    },
    /// The carrier could not or would not tell the status when asked.
    StatusUnavailable {
        /// Why.
        reason: String,
    },
    /// The carrier's name for the call became known otherwise than by [`Placed`](Self::Placed), or changed.
    Identified {
        /// Its name for the call.
        provider_call_id: ProviderCallId,
    },
    /// The carrier's detection says who picked up. Only information: what to do about a machine is the agent's business.
    AnsweredBy {
        /// Who.
        by: AnsweredBy,
    },
    /// The carrier opened the media socket with the right token.
    MediaConnected,
    /// The carrier announced the stream: audio follows.
    MediaStarted,
    /// The carrier announced the end of the stream.
    MediaStopped,
    /// The media socket went away without such an announcement.
    MediaLost {
        /// How.
        reason: String,
    },
    /// The provider's component failed on this call's media.
    MediaFailed {
        /// How.
        reason: String,
    },
    /// The agent's socket is open and its handshake done.
    AgentConnected,
    /// The agent could not be reached, or its connection broke.
    AgentFailed {
        /// How.
        reason: String,
    },
    /// The agent closed its socket.
    AgentClosed {
        /// The WebSocket close code (RFC 6455 section 7.4), or nothing if the socket ended without a close frame.
        code: Option<u16>,
        /// The reason in the close frame.
        reason: String,
    },
    /// The agent is connected but takes no audio.
    AgentStalled,
    /// The agent asked for the end of the call, and what it had said before has been played.
    AgentHungUp {
        /// Its reason.
        reason: Option<String>,
    },
    /// The caller pressed a key.
    Dtmf {
        /// Which.
        digit: Digit,
    },
    /// The caller spoke over the agent and playback was cleared.
    BargedIn {
        /// How much of the agent's utterance had been heard, in milliseconds.
        heard_ms: u64,
    },
    /// Somebody outside the call asked for its end.
    HangUpRequested {
        /// Who.
        by: Requester,
    },
    /// The carrier carried out a hang-up.
    HangUpDone {
        /// It said that the call was over before.
        already_ended: bool,
    },
    /// The carrier refused a hang-up, or could not be reached.
    HangUpFailed {
        /// A short code, the carrier's or the gateway's.
        code: String,
        /// What it said.
        message: String,
        /// Whether the same request may succeed later.
        retryable: bool,
    },
    /// The server ends the calls that are left. Until it says so, calls go on while it drains.
    ShutdownRequested,
    /// The carrier told what the call cost.
    CostKnown {
        /// How much.
        cost: Cost,
    },
    /// The carrier could not or would not tell the cost when asked.
    CostUnavailable {
        /// Why.
        reason: String,
    },
    /// The agent, or a client, wants the caller connected with somebody else. To whom is in the transfer's own record.
    TransferRequested {
        /// Our name of the transfer.
        transfer: TransferId,
        /// How long the destination may ring, in milliseconds.
        ring_timeout_ms: u64,
    },
    /// Whoever asked for the transfer withdrew it.
    TransferCanceled {
        /// Our name of the transfer.
        transfer: TransferId,
    },
    /// The carrier accepted the request to dial the destination, or its name for that leg became known otherwise.
    TransferIdentified {
        /// Our name of the transfer.
        transfer: TransferId,
    },
    /// The destination was not dialled: the carrier refused or could not be reached, or the gateway does not call it.
    TransferDialFailed {
        /// Our name of the transfer.
        transfer: TransferId,
        /// A short code, the carrier's or the gateway's.
        code: String,
        /// What it said.
        message: String,
        /// It is the gateway that does not call this destination.
        #[serde(default)]
        refused: bool,
    },
    /// The carrier told what has become of the second leg.
    TransferStatus {
        /// Our name of the transfer.
        transfer: TransferId,
        /// The status of the second leg, in the gateway's words.
        status: CallStatus,
        /// The carrier's cause.
        cause: Option<String>,
    },
    /// The carrier connected the two legs.
    TransferConnected {
        /// Our name of the transfer.
        transfer: TransferId,
    },
    /// The carrier refused to connect the legs, or could not be reached.
    TransferConnectFailed {
        /// Our name of the transfer.
        transfer: TransferId,
        /// A short code, the carrier's or the gateway's.
        code: String,
        /// What it said.
        message: String,
    },
}

/// A carrier's word on a call, in the gateway's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallStatus {
    /// The carrier has the request.
    Initiated,
    /// The other side is being alerted.
    Ringing,
    /// Somebody answered.
    InProgress,
    /// The call was answered and is over.
    Completed,
    /// The carrier could not complete the call.
    Failed,
    /// The other side was busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// The call was withdrawn before anybody answered.
    Canceled,
}

impl CallStatus {
    /// Whether the call is over for the carrier. No other status follows such a one.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Initiated | Self::Ringing | Self::InProgress => false,
            Self::Completed | Self::Failed | Self::Busy | Self::NoAnswer | Self::Canceled => true,
        }
    }
}

/// Who picked up, according to the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// A machine, whose greeting may still be running.
    Machine,
    /// A machine whose greeting ended with a tone: a message may be left now.
    MachineBeep,
    /// A machine whose greeting ended in silence.
    MachineSilence,
    /// A fax.
    Fax,
    /// The carrier could not tell.
    Unknown,
}

/// Who asked for the end of a call from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requester {
    /// A client of the API.
    Api,
    /// A person at the console.
    Operator,
}

/// One key of a telephone. Keys spell card numbers and codes, so a digit prints as `•`; serialisation gives the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "char", into = "char")]
pub struct Digit(char);

impl Digit {
    /// Takes one of `0`–`9`, `*`, `#`, `A`–`D` (either case); nothing else is on the pad (ITU-T Q.23).
    pub fn new(key: char) -> Option<Self> {
        let key = key.to_ascii_uppercase();
        matches!(key, '0'..='9' | '*' | '#' | 'A'..='D').then_some(Self(key))
    }

    /// The key. Not for logs.
    pub fn expose(self) -> char {
        self.0
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit(•)")
    }
}

impl TryFrom<char> for Digit {
    type Error = &'static str;

    fn try_from(key: char) -> Result<Self, Self::Error> {
        Self::new(key).ok_or("not a key of a telephone")
    }
}

impl From<Digit> for char {
    fn from(digit: Digit) -> Self {
        digit.0
    }
}

/// What a carrier charges for a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// A decimal number as the carrier wrote it: money is not a float.
    pub amount: String,
    /// The currency, three letters of ISO 4217.
    pub currency: String,
}

/// What an event was worth when it came. Nothing is an error: carriers repeat themselves and are out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It fitted, and was recorded.
    Applied,
    /// It did not fit, or fitted no longer: it was recorded as late and changed nothing.
    Late,
    /// It was known already, and was not recorded again.
    Repeated,
    /// The record of the call is closed.
    Closed,
}

/// An entry of the call's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// When the call was told.
    pub at: Monotonic,
    /// What.
    pub event: Event,
    /// It changed nothing, because it did not fit the call or fitted it no longer.
    pub late: bool,
}
