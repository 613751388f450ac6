//! The agent's leg of a call: a socket to a voice agent, or an agent that is built in.
//!
//! [`connect`] starts one task per call. The task owns the agent's socket, translates between the agent's protocol and
//! [`AgentCommand`]/[`AgentEvent`], and notices when the agent is unreachable, gone or stalled. It knows no carrier and
//! decides nothing about the call: pacing, marks, what was heard and what follows from a failure belong to the session.
//!
//! Both channels are bounded. An agent that sends faster than the session takes is simply not read any further. The
//! session, which must never wait for an agent, gives its commands with `try_send`; a full channel means that the agent
//! has not taken anything for seconds.
//!
//! The protocols are described in `docs/agent-protocol.md`. The most important types: [`AgentSpec`], [`AgentLink`],
//! [`AgentEvent`], [`AgentCommand`], [`Dial`].

mod builtin;
#[cfg(fuzzing)]
pub mod fuzzing;
mod media_streams;
mod native;
mod socket;
#[cfg(test)]
mod tests;
mod transfer;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use strowger_audio::SampleRate;
use strowger_call::TransferProgress;
use strowger_host::Secret;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use url::Url;

use self::media_streams::MediaStreams;
use self::native::Native;
pub(crate) use self::transfer::dialable;
pub use self::transfer::{Hold, TransferProblem, TransferRequest};
pub use crate::egress::{CheckedDial, Dial, DialError, tls_config};

/// The WebSocket subprotocol of the native protocol, which is also its version.
pub const SUBPROTOCOL: &str = "strowger.v1";

/// How the gateway talks to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The gateway plays the carrier's side of the de-facto standard media socket: JSON with µ-law at 8 kHz in it.
    MediaStreams,
    /// The native one: JSON control, and PCM16 at the agent's rate in binary messages.
    Strowger,
    /// Built in: says back what it hears.
    Echo,
    /// Built in: a sine.
    Tone,
    /// Built in: plays a file of the operator's media folder, or a chime.
    Play,
}

/// A name that is no [`Protocol`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an agent protocol: use media-streams, strowger, echo, tone or play")]
pub struct UnknownProtocol;

/// An agent as it is configured, with its secrets in the clear. Its `Debug` shows neither path nor parameters.
#[derive(Clone)]
pub struct AgentSpec {
    /// How to talk to it.
    pub protocol: Protocol,
    /// Where it listens, `ws` or `wss`; not used by what is built in.
    pub url: Option<Url>,
    /// What the agent is configured to speak; see [`AgentSpec::effective_sample_rate`].
    pub sample_rate: SampleRate,
    /// Sent with the request that opens the socket. Not those of the WebSocket handshake itself.
    pub headers: Vec<(String, Secret)>,
    /// Passed on when the call starts; for a built-in agent its settings.
    pub parameters: Map<String, Value>,
}

/// What an agent is told about a call. Its `Debug` hides the phone numbers.
#[derive(Clone)]
pub struct AgentCall {
    /// The gateway's id of the call.
    pub call_id: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// As the agent shall see it, E.164 where possible; empty when withheld.
    pub caller: String,
    /// As the agent shall see it, E.164 where possible.
    pub callee: String,
    /// Length of the frames that the session sends, in milliseconds.
    pub frame_ms: u16,
    /// What the carrier's leg can do, in the words of the native protocol: `clear`, `mark`, `dtmf`, `send_dtmf`, …
    pub capabilities: Vec<&'static str>,
}

/// The bounds of an agent's leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLimits {
    /// For name lookup, TCP, TLS and the WebSocket handshake together.
    pub connect_timeout: Duration,
    /// How long the agent may take nothing, or leave a ping unanswered, before it counts as stalled. The check runs four
    /// times in this period.
    pub stall_timeout: Duration,
    /// How often the agent is asked for a sign of life. Kernel buffers hide a dead agent from writes for minutes.
    pub ping_interval: Duration,
    /// How long taking leave may last once the call is over.
    pub close_timeout: Duration,
    /// The largest message that an agent may send, in bytes. A larger one ends the connection with 1009.
    pub message_bytes_max: usize,
    /// Commands that wait for the agent. At 20 ms a frame the default is 4 s, longer than `stall_timeout`: a full
    /// channel is never the first sign of a stall.
    pub commands_max: usize,
    /// Events that wait for the session. Few, because each may hold as much audio as a message may.
    pub events_max: usize,
    /// Where the files of `play` agents are; without it they have only the chime.
    pub media_folder: Option<PathBuf>,
}

/// The session's end of an agent's leg. Dropping it lets the agent go: a [`AgentCommand::Stop`] that was sent is still
/// delivered, and the socket is closed within [`AgentLimits::close_timeout`].
#[derive(Debug)]
pub struct AgentLink {
    /// What the agent does, in its order. After `Failed`, `Closed`, `Stalled` or a `Stop` nothing more comes.
    pub events: mpsc::Receiver<AgentEvent>,
    /// What the agent is told, in this order.
    pub commands: mpsc::Sender<AgentCommand>,
    task: Task,
}

/// What an agent did. `Debug` hides samples and digits.
#[derive(Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// The socket is open; the agent waits for [`AgentCommand::Start`].
    Connected,
    /// The agent speaks: samples at the effective rate, any number of them. They belong behind all audio before.
    Audio(Vec<i16>),
    /// Forget what the caller has not heard yet; to be answered with [`AgentCommand::Cleared`].
    Clear,
    /// Tell me when the audio so far has been heard; to be answered with [`AgentCommand::MarkPlayed`].
    Mark(String),
    /// Send these keys to the caller's side: 1 to 32 of `0`-`9`, `A`-`D`, `*`, `#`.
    SendDtmf(String),
    /// Connect the caller with somebody else.
    Transfer(TransferRequest),
    /// Forget the transfer that has not been answered yet.
    CancelTransfer,
    /// End the call.
    HangUp {
        /// The agent's words, if it gave any.
        reason: Option<String>,
    },
    /// There is no connection. The last event.
    Failed {
        /// Whose fault it is and what it says, without path, header values or addresses.
        reason: String,
    },
    /// The connection ended, by the agent or by an accident. The last event.
    Closed {
        /// The code of the close message (RFC 6455 §7.4), or the one that the gateway closed with; none after an accident.
        code: Option<u16>,
        /// The agent's words, or the gateway's.
        reason: String,
    },
    /// The agent neither takes data nor gives a sign of life. The last event.
    Stalled,
}

/// What an agent is told. `Debug` hides samples and digits.
#[derive(Clone, PartialEq, Eq)]
pub enum AgentCommand {
    /// The call was answered and its media flows. Until then all other commands but `Stop` are dropped, and so is what the
    /// agent sends, except that it may hang up.
    Start,
    /// The caller speaks: one frame at the effective rate.
    Audio(Vec<i16>),
    /// The caller pressed a key.
    Dtmf(char),
    /// The audio before a mark was heard.
    MarkPlayed {
        /// As the agent gave it.
        name: String,
        /// Milliseconds of the agent's audio that the caller had heard in this call by then.
        heard_ms: u64,
    },
    /// What was not heard yet is gone.
    Cleared {
        /// Milliseconds that the caller heard of the utterance that was cut.
        heard_ms: u64,
        /// The marks in what is gone, in their order.
        marks: Vec<String>,
    },
    /// A transfer has come this far.
    Transfer(TransferProgress),
    /// The call is over; the last command.
    Stop {
        /// Why, in a word.
        reason: String,
    },
}

/// Begins to connect to an agent and returns at once; [`AgentEvent::Connected`] or [`AgentEvent::Failed`] follows. Must be
/// called in a runtime. What the task logs belongs to the current span.
pub fn connect(spec: AgentSpec, call: AgentCall, limits: AgentLimits, dial: impl Dial) -> AgentLink {
    // A channel without room is a mistake in the limits, not a reason to panic.
    let (events, events_out) = mpsc::channel(limits.events_max.max(1));
    let (commands_in, commands) = mpsc::channel(limits.commands_max.max(1));
    let cancel = CancellationToken::new();
    let mailbox = Mailbox {
        commands,
        events,
        cancel: cancel.clone(),
    };
    let running = async move {
        match spec.protocol {
            Protocol::MediaStreams => {
                socket::run(MediaStreams::new(&spec, &call), &spec, &limits, &dial, mailbox).await
            }
            Protocol::Strowger => socket::run(Native::new(&spec, &call), &spec, &limits, &dial, mailbox).await,
            Protocol::Echo | Protocol::Tone | Protocol::Play => builtin::run(&spec, &call, &limits, mailbox).await,
        }
    };
    let handle = tokio::spawn(running.in_current_span());
    AgentLink {
        events: events_out,
        commands: commands_in,
        task: Task {
            handle: Some(handle),
            cancel,
        },
    }
}

/// The task's end of the channels.
struct Mailbox {
    commands: mpsc::Receiver<AgentCommand>,
    events: mpsc::Sender<AgentEvent>,
    /// The session dropped its link.
    cancel: CancellationToken,
}

/// Tells the task to end when the link is dropped. It is not aborted: it has to take leave, and it is bounded in time.
#[derive(Debug)]
struct Task {
    handle: Option<JoinHandle<()>>,
    cancel: CancellationToken,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::MediaStreams, Self::Strowger, Self::Echo, Self::Tone, Self::Play];

    /// The name in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MediaStreams => "media-streams",
            Self::Strowger => "strowger",
            Self::Echo => "echo",
            Self::Tone => "tone",
            Self::Play => "play",
        }
    }

    /// Whether the agent is somewhere else and has a URL.
    #[must_use]
    pub const fn is_remote(self) -> bool {
        matches!(self, Self::MediaStreams | Self::Strowger)
    }

    /// The rate that the agent's leg runs at when an agent is configured for `configured`.
    #[must_use]
    pub const fn sample_rate(self, configured: SampleRate) -> SampleRate {
        match self {
            Self::MediaStreams => SampleRate::Hz8000,
            Self::Strowger | Self::Echo | Self::Tone | Self::Play => configured,
        }
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, UnknownProtocol> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.as_str() == name)
            .ok_or(UnknownProtocol)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AgentSpec {
    /// The rate of all audio in commands and events.
    #[must_use]
    pub const fn effective_sample_rate(&self) -> SampleRate {
        self.protocol.sample_rate(self.sample_rate)
    }
}

impl fmt::Debug for AgentSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentSpec")
            .field("protocol", &self.protocol)
            .field("host", &self.url.as_ref().and_then(Url::host_str))
            .field("sample_rate", &self.sample_rate)
            .field("headers", &self.headers)
            .field("parameters", &self.parameters.len())
            .finish()
    }
}

impl fmt::Debug for AgentCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentCall")
            .field("call_id", &self.call_id)
            .field("direction", &self.direction)
            .field("frame_ms", &self.frame_ms)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(3),
            ping_interval: Duration::from_secs(5),
            close_timeout: Duration::from_secs(1),
            message_bytes_max: 256 * 1024,
            commands_max: 200,
            events_max: 8,
            media_folder: None,
        }
    }
}

impl AgentLink {
    /// Lets the agent go and waits until its socket is closed. For a shutdown that leaves nothing behind.
    pub async fn finish(mut self) {
        self.task.cancel.cancel();
        if let Some(handle) = self.task.handle.take()
            && let Err(error) = handle.await
        {
            tracing::error!(%error, "the task of an agent's leg did not end by itself");
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Mailbox {
    /// Gives the session one event, waiting for room. `false` when nobody will ever take it.
    async fn deliver(&self, event: AgentEvent) -> bool {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => false,
            sent = self.events.send(event) => sent.is_ok(),
        }
    }
}

impl fmt::Debug for AgentEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("Connected"),
            Self::Audio(samples) => write!(f, "Audio({} samples)", samples.len()),
            Self::Clear => f.write_str("Clear"),
            Self::Mark(name) => f.debug_tuple("Mark").field(name).finish(),
            Self::SendDtmf(digits) => write!(f, "SendDtmf({} digits)", digits.len()),
            Self::Transfer(_) => f.write_str("Transfer(…)"),
            Self::CancelTransfer => f.write_str("CancelTransfer"),
            Self::HangUp { reason } => f.debug_struct("HangUp").field("reason", reason).finish(),
            Self::Failed { reason } => f.debug_struct("Failed").field("reason", reason).finish(),
            Self::Closed { code, reason } => f
                .debug_struct("Closed")
                .field("code", code)
                .field("reason", reason)
                .finish(),
            Self::Stalled => f.write_str("Stalled"),
        }
    }
}

impl fmt::Debug for AgentCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("Start"),
            Self::Audio(samples) => write!(f, "Audio({} samples)", samples.len()),
            Self::Dtmf(_) => f.write_str("Dtmf(…)"),
            Self::MarkPlayed { name, heard_ms } => f
                .debug_struct("MarkPlayed")
                .field("name", name)
                .field("heard_ms", heard_ms)
                .finish(),
            Self::Cleared { heard_ms, marks } => f
                .debug_struct("Cleared")
                .field("heard_ms", heard_ms)
                .field("marks", marks)
                .finish(),
            Self::Transfer(progress) => f.debug_tuple("Transfer").field(progress).finish(),
            Self::Stop { reason } => f.debug_struct("Stop").field("reason", reason).finish(),
        }
    }
}
