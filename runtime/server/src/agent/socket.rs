//! The task that owns the socket to a remote agent, whatever its protocol.
//!
//! It opens the socket, waits for one thing at a time (a command, room for an event, the socket, the clock) and hands it
//! on. What messages look like is the [`Shape`]'s affair.
//!
//! Reading and writing never wait for one another. When the session does not take events, the socket is not read; when the
//! agent does not take messages, commands are left in their channel. Both come to rest without a buffer that grows.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use url::Url;

use super::{AgentCommand, AgentEvent, AgentLimits, AgentSpec, Dial, DialError, Mailbox};
use crate::egress::WebSocket;
use crate::egress::websocket::{self, Upgrade, UpgradeError};

/// A protocol as two functions, with what they have to remember.
pub(super) trait Shape: Send + 'static {
    /// What the agent must agree to in the handshake.
    const SUBPROTOCOL: Option<&'static str>;

    /// Appends the messages that tell the agent of a command.
    fn encode(&mut self, command: &AgentCommand, out: &mut Vec<Message>);

    /// Appends what a message means, and what is to be answered to it.
    fn decode(
        &mut self,
        message: Incoming<'_>,
        events: &mut VecDeque<AgentEvent>,
        replies: &mut Vec<Message>,
    ) -> Result<(), Ignored>;
}

/// A message from the agent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// Why a message of the agent has no effect. The agent's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ignored {
    /// Not what the protocol says that it should be.
    Malformed,
    /// Well-formed, of a type that the protocol does not have.
    Unknown,
    /// A binary message in a protocol without them.
    Binary,
    /// Sent before the call started.
    TooEarly,
}

/// Why there is no connection to the agent. Goes into the call's record: no path, no header value, no address.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("the agent is not configured properly: {0}")]
    Misconfigured(String),
    #[error("the agent cannot be reached: {0}")]
    Dial(#[from] DialError),
    #[error("the agent's host does not prove by TLS that it is the one: {0}")]
    Tls(rustls::Error),
    #[error("the agent refused the WebSocket with HTTP status {0}")]
    Status(u16),
    #[error("the agent did not agree to the subprotocol `{0}`")]
    Subprotocol(&'static str),
    #[error("the agent did not answer as a WebSocket server")]
    NotWebSocket,
    #[error("the agent's host ended the connection during the handshake: {0}")]
    Interrupted(io::ErrorKind),
    #[error("the connection to the agent was not established within {0} ms")]
    TimedOut(u128),
}

/// Messages are small and frequent: larger buffers, which each call would hold, gain nothing.
const READ_BUFFER_BYTES: usize = 8 * 1024;
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// A `start` with all its parameters fits many times. More means that something is stuck.
const WRITE_BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// What may be written before the agent has to take it: bounds the write buffer to this and one message.
const UNFLUSHED_BYTES_MAX: usize = 64 * 1024;

/// Checks for a stall per `stall_timeout`.
const CHECKS_PER_STALL: u32 = 4;

/// Runs the agent's leg from the first packet to the last.
pub(super) async fn run<S: Shape, D: Dial>(
    shape: S,
    spec: &AgentSpec,
    limits: &AgentLimits,
    dial: &D,
    mut mailbox: Mailbox,
) {
    let host = spec.url.as_ref().and_then(Url::host_str).unwrap_or("-");
    let protocol = spec.protocol.as_str();
    let (socket, start_waits) = {
        let mut opening = std::pin::pin!(open::<S, D>(spec, limits, dial));
        let mut start_waits = false;
        let outcome = loop {
            tokio::select! {
                biased;
                () = mailbox.cancel.cancelled() => return,
                outcome = &mut opening => break outcome,
                command = mailbox.commands.recv() => match command {
                    Some(AgentCommand::Start) => start_waits = true,
                    Some(AgentCommand::Stop { .. }) | None => return,
                    Some(_) => {}
                },
            }
        };
        (outcome, start_waits)
    };
    let socket = match socket {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(protocol, host, %error, "agent failed");
            mailbox
                .deliver(AgentEvent::Failed {
                    reason: error.to_string(),
                })
                .await;
            return;
        }
    };
    tracing::debug!(protocol, host, "agent connected");
    let now = Instant::now();
    let mut leg = Leg {
        shape,
        socket: Socket {
            stream: socket,
            unflushed_bytes: 0,
            blocked_since: None,
            broken_since: None,
        },
        health: Health {
            stall_timeout: limits.stall_timeout,
            ping_interval: limits.ping_interval,
            pinged: None,
            next_ping: now + limits.ping_interval,
        },
        limits,
        started: false,
        inbox: VecDeque::from([AgentEvent::Connected]),
        outgoing: Vec::new(),
        ignored: 0,
    };
    if start_waits {
        leg.command(&AgentCommand::Start);
    }
    let end = leg.serve(&mut mailbox).await;
    tracing::debug!(protocol, host, ?end, ignored = leg.ignored, "agent's leg ended");
    leg.conclude(end, &mut mailbox).await;
}

/// An agent's leg with its socket open.
struct Leg<'a, S> {
    shape: S,
    socket: Socket,
    health: Health,
    limits: &'a AgentLimits,
    started: bool,
    /// What the session is yet to take. While there is anything in it, the socket is not read.
    inbox: VecDeque<AgentEvent>,
    /// Kept for its memory; empty between two turns.
    outgoing: Vec<Message>,
    /// Messages of the agent that had no effect.
    ignored: u64,
}

/// Why a leg ends.
#[derive(Debug)]
enum End {
    /// The session says so.
    Stopped { reason: String },
    /// The session is gone.
    Abandoned,
    /// The agent closed, or the connection broke.
    Closed { code: Option<u16>, reason: String },
    /// The agent broke the rules: we close.
    Refused { code: CloseCode, reason: String },
    /// The agent takes nothing, or is silent where it must answer.
    Stalled,
}

impl<S: Shape> Leg<'_, S> {
    async fn serve(&mut self, mailbox: &mut Mailbox) -> End {
        let Mailbox {
            commands,
            events,
            cancel,
        } = mailbox;
        let mut checks = interval(
            self.limits
                .stall_timeout
                .min(self.limits.ping_interval)
                .max(Duration::from_millis(1))
                / CHECKS_PER_STALL,
        );
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (writing, reading) = (self.socket.accepts_messages(), self.inbox.is_empty());
            tokio::select! {
                // Commands before the socket: those that are ready go out together.
                biased;
                () = cancel.cancelled() => return End::Abandoned,
                _ = checks.tick() => if let Some(end) = self.check() {
                    return end;
                },
                command = commands.recv(), if writing => match command {
                    Some(AgentCommand::Stop { reason }) => return End::Stopped { reason },
                    Some(command) => self.command(&command),
                    None => return End::Abandoned,
                },
                room = events.reserve(), if !reading => match (room, self.inbox.pop_front()) {
                    (Ok(room), Some(event)) => room.send(event),
                    (Ok(_), None) => {}
                    (Err(_), _) => return End::Abandoned,
                },
                signal = self.socket.next(reading) => if let Some(end) = self.signal(signal) {
                    return end;
                },
            }
        }
    }

    fn command(&mut self, command: &AgentCommand) {
        if matches!(command, AgentCommand::Start) {
            if self.started {
                return;
            }
            self.started = true;
        }
        if self.started {
            self.shape.encode(command, &mut self.outgoing);
            self.send_outgoing();
        }
    }

    fn send_outgoing(&mut self) {
        for message in self.outgoing.drain(..) {
            self.socket.write(message);
        }
    }

    fn check(&mut self) -> Option<End> {
        let now = Instant::now();
        let overdue =
            |since: Option<Instant>| since.is_some_and(|since| now.duration_since(since) >= self.limits.stall_timeout);
        if overdue(self.socket.broken_since) {
            return Some(End::Closed {
                code: None,
                reason: "the connection to the agent broke".to_owned(),
            });
        }
        if overdue(self.socket.blocked_since) {
            return Some(End::Stalled);
        }
        match self.health.check(now, self.inbox.is_empty()) {
            Verdict::Well => {}
            Verdict::Ping => self.socket.write(Message::Ping(Bytes::new())),
            Verdict::Stalled => return Some(End::Stalled),
        }
        None
    }

    fn signal(&mut self, signal: Signal) -> Option<End> {
        let ignored = match signal {
            Signal::Flushed => return None,
            Signal::Ended => {
                return Some(End::Closed {
                    code: None,
                    reason: "the agent ended the connection".to_owned(),
                });
            }
            Signal::Failed(error) => return Some(self.failure(&error)),
            Signal::Message(Message::Text(text)) => self.incoming(Incoming::Text(&text)),
            Signal::Message(Message::Binary(bytes)) => self.incoming(Incoming::Binary(&bytes)),
            Signal::Message(Message::Pong(_)) => {
                self.health.pong();
                Ok(())
            }
            Signal::Message(Message::Close(frame)) => {
                return Some(match frame {
                    Some(CloseFrame { code, reason }) => End::Closed {
                        code: Some(code.into()),
                        reason: printable(&reason),
                    },
                    None => End::Closed {
                        code: Some(CloseCode::Status.into()),
                        reason: String::new(),
                    },
                });
            }
            // Pings are answered below this layer.
            Signal::Message(Message::Ping(_) | Message::Frame(_)) => Ok(()),
        };
        if let Err(ignored) = ignored {
            // Once, and without the message: it may hold what was said or a phone number.
            if self.ignored == 0 {
                tracing::warn!(%ignored, "a message of the agent is ignored; further ones are only counted");
            }
            self.ignored += 1;
        }
        None
    }

    fn incoming(&mut self, message: Incoming<'_>) -> Result<(), Ignored> {
        let decoded = self.shape.decode(message, &mut self.inbox, &mut self.outgoing);
        self.send_outgoing();
        if !self.started {
            // An agent may refuse the call, but not speak into a phone that still rings.
            let before = self.inbox.len();
            self.inbox.retain(|event| matches!(event, AgentEvent::HangUp { .. }));
            if self.inbox.len() < before {
                return Err(Ignored::TooEarly);
            }
        }
        decoded
    }

    fn failure(&self, error: &tungstenite::Error) -> End {
        use tungstenite::Error::{Capacity, Io, Protocol, Utf8, WriteBufferFull};
        let lost = |reason: String| End::Closed { code: None, reason };
        match error {
            Capacity(_) => End::Refused {
                code: CloseCode::Size,
                reason: format!(
                    "the agent sent a message of more than {} bytes",
                    self.limits.message_bytes_max
                ),
            },
            Utf8(_) => End::Refused {
                code: CloseCode::Invalid,
                reason: "the agent sent text that is not UTF-8".to_owned(),
            },
            Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                lost("the agent ended the connection without closing the WebSocket".to_owned())
            }
            Protocol(_) => End::Refused {
                code: CloseCode::Protocol,
                reason: "the agent violated the WebSocket protocol".to_owned(),
            },
            Io(error) => lost(format!("the connection to the agent broke: {}", error.kind())),
            WriteBufferFull(_) => End::Stalled,
            _ => lost("the connection to the agent broke".to_owned()),
        }
    }

    /// Takes leave: from the session with the last event, from the agent as the protocol wants it.
    async fn conclude(mut self, end: End, mailbox: &mut Mailbox) {
        let close_timeout = self.limits.close_timeout;
        match end {
            End::Stopped { reason } => self.stop(&reason).await,
            End::Abandoned => {
                let reason = self.drain(mailbox);
                self.stop(&reason).await;
            }
            // An agent that takes nothing does not take leave.
            End::Stalled => self.deliver_last(AgentEvent::Stalled, mailbox).await,
            End::Closed { code, reason } => {
                self.deliver_last(AgentEvent::Closed { code, reason }, mailbox).await;
                // Sends our half of a closing handshake that the agent began. After an accident this fails at once.
                let _ = timeout(close_timeout, self.socket.stream.flush()).await;
            }
            End::Refused { code, reason } => {
                let closing = CloseFrame {
                    code,
                    reason: Utf8Bytes::from_static(""),
                };
                let _ = timeout(close_timeout, self.socket.stream.close(Some(closing))).await;
                self.deliver_last(
                    AgentEvent::Closed {
                        code: Some(code.into()),
                        reason,
                    },
                    mailbox,
                )
                .await;
                let _ = timeout(close_timeout, self.socket.discard()).await;
            }
        }
    }

    async fn deliver_last(&mut self, event: AgentEvent, mailbox: &Mailbox) {
        for event in self.inbox.drain(..).chain([event]) {
            if !mailbox.deliver(event).await {
                return;
            }
        }
    }

    /// What the session gave before it went; the reason of its `Stop` if there is one.
    fn drain(&mut self, mailbox: &mut Mailbox) -> String {
        while let Ok(command) = mailbox.commands.try_recv() {
            match command {
                AgentCommand::Stop { reason } => return reason,
                // Nobody is left who would answer to what was said last.
                AgentCommand::Audio(_) => {}
                command => self.command(&command),
            }
        }
        "call_ended".to_owned()
    }

    async fn stop(mut self, reason: &str) {
        self.command(&AgentCommand::Stop {
            reason: reason.to_owned(),
        });
        let leaving = async {
            let closing = CloseFrame {
                code: CloseCode::Normal,
                reason: Utf8Bytes::from_static(""),
            };
            if self.socket.stream.close(Some(closing)).await.is_ok() {
                self.socket.until_closed().await;
            }
        };
        if timeout(self.limits.close_timeout, leaving).await.is_err() {
            tracing::debug!("the agent did not take part in closing");
        }
    }
}

/// A WebSocket that can be read and written at once by one task.
struct Socket {
    stream: WebSocket,
    /// Messages that were written but perhaps not sent, in bytes; at least 1 for each.
    unflushed_bytes: usize,
    /// Since when the kernel takes no more.
    blocked_since: Option<Instant>,
    /// Since when writing fails. What the agent sent before, such as its reason for closing, is still read.
    broken_since: Option<Instant>,
}

enum Signal {
    /// Messages are accepted again.
    Flushed,
    Message(Message),
    Failed(tungstenite::Error),
    Ended,
}

impl Socket {
    fn accepts_messages(&self) -> bool {
        self.unflushed_bytes < UNFLUSHED_BYTES_MAX && self.blocked_since.is_none()
    }

    fn write(&mut self, message: Message) {
        if self.broken_since.is_some() {
            return;
        }
        let bytes = message.len().max(1);
        match self.stream.start_send_unpin(message) {
            Ok(()) => self.unflushed_bytes += bytes,
            Err(_) => self.broken(),
        }
    }

    fn broken(&mut self) {
        self.unflushed_bytes = 0;
        self.blocked_since = None;
        self.broken_since.get_or_insert_with(Instant::now);
    }

    /// Sends what was written and waits for what is to be handled. Can be dropped and called again at any time.
    async fn next(&mut self, reading: bool) -> Signal {
        poll_fn(|context| self.poll_next(reading, context)).await
    }

    fn poll_next(&mut self, reading: bool, context: &mut Context<'_>) -> Poll<Signal> {
        if self.unflushed_bytes > 0 {
            let refused_messages = !self.accepts_messages();
            match self.stream.poll_flush_unpin(context) {
                Poll::Ready(Ok(())) => {
                    self.unflushed_bytes = 0;
                    self.blocked_since = None;
                }
                Poll::Ready(Err(_)) => self.broken(),
                Poll::Pending => {
                    self.blocked_since.get_or_insert_with(Instant::now);
                }
            }
            if refused_messages && self.accepts_messages() {
                return Poll::Ready(Signal::Flushed);
            }
        }
        if !reading {
            return Poll::Pending;
        }
        self.stream.poll_next_unpin(context).map(|item| match item {
            Some(Ok(message)) => Signal::Message(message),
            Some(Err(error)) => Signal::Failed(error),
            None => Signal::Ended,
        })
    }

    /// Reads up to the agent's half of the closing handshake. What it says until then concerns nobody any more.
    async fn until_closed(&mut self) {
        while let Some(Ok(message)) = self.stream.next().await {
            if message.is_close() {
                return;
            }
        }
    }

    /// Takes what the agent still sends after a message that could not be read. Ending the connection with bytes unread
    /// resets it, and then the agent may never see the close message.
    async fn discard(&mut self) {
        let mut bytes = vec![0; READ_BUFFER_BYTES];
        while let Ok(1..) = self.stream.get_mut().read(&mut bytes).await {}
    }
}

/// Whether the agent gives signs of life. Pure.
struct Health {
    stall_timeout: Duration,
    ping_interval: Duration,
    /// When a ping was sent that is unanswered.
    pinged: Option<Instant>,
    next_ping: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Well,
    Ping,
    Stalled,
}

impl Health {
    /// To be called a few times per `stall_timeout`.
    fn check(&mut self, now: Instant, reading: bool) -> Verdict {
        if let Some(pinged) = &mut self.pinged {
            if !reading {
                // The answer may be waiting behind what the session has not taken: that is no fault of the agent's.
                *pinged = now;
            }
            return if now.duration_since(*pinged) >= self.stall_timeout {
                Verdict::Stalled
            } else {
                Verdict::Well
            };
        }
        if now < self.next_ping {
            return Verdict::Well;
        }
        self.pinged = Some(now);
        self.next_ping = now + self.ping_interval;
        Verdict::Ping
    }

    fn pong(&mut self) {
        self.pinged = None;
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a message of the agent's protocol",
            Self::Unknown => "of a type that the agent's protocol does not have",
            Self::Binary => "binary, which the agent's protocol does not have",
            Self::TooEarly => "sent before the call started",
        })
    }
}

async fn open<S: Shape, D: Dial>(spec: &AgentSpec, limits: &AgentLimits, dial: &D) -> Result<WebSocket, ConnectError> {
    let no_url = || ConnectError::Misconfigured("it has no URL".to_owned());
    let upgrade = Upgrade {
        url: spec.url.as_ref().ok_or_else(no_url)?,
        headers: &spec.headers,
        subprotocol: S::SUBPROTOCOL,
        config: WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(limits.message_bytes_max))
            .max_frame_size(Some(limits.message_bytes_max)),
    };
    let limit = limits.connect_timeout;
    match timeout(limit, websocket::open(dial, &upgrade)).await {
        Ok(opened) => opened.map_err(refusal::<S>),
        Err(_) => Err(ConnectError::TimedOut(limit.as_millis())),
    }
}

fn refusal<S: Shape>(error: UpgradeError) -> ConnectError {
    match error {
        UpgradeError::Invalid(what) => ConnectError::Misconfigured(what),
        UpgradeError::Dial(error) => ConnectError::Dial(error),
        UpgradeError::Tls(error) => ConnectError::Tls(error),
        UpgradeError::Status(status) => ConnectError::Status(status),
        UpgradeError::Subprotocol => match S::SUBPROTOCOL {
            Some(subprotocol) => ConnectError::Subprotocol(subprotocol),
            None => ConnectError::NotWebSocket,
        },
        UpgradeError::NotWebSocket => ConnectError::NotWebSocket,
        UpgradeError::Interrupted(reason) => ConnectError::Interrupted(reason),
    }
}

/// What a stranger wrote, for a record that people read.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(3);
    const PING: Duration = Duration::from_secs(5);

    #[test]
    fn an_unanswered_ping_is_a_stall_and_an_answered_one_is_followed_by_the_next() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut health = Health {
            stall_timeout: STALL,
            ping_interval: PING,
            pinged: None,
            next_ping: at(5),
        };
        assert_eq!(health.check(at(4), true), Verdict::Well);
        assert_eq!(health.check(at(5), true), Verdict::Ping);
        assert_eq!(health.check(at(7), true), Verdict::Well);
        health.pong();
        assert_eq!(health.check(at(9), true), Verdict::Well);
        assert_eq!(health.check(at(10), true), Verdict::Ping);
        assert_eq!(health.check(at(12), true), Verdict::Well);
        assert_eq!(health.check(at(13), true), Verdict::Stalled);
    }

    #[test]
    fn while_nothing_is_read_nobody_is_blamed_for_a_missing_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut health = Health {
            stall_timeout: STALL,
            ping_interval: PING,
            pinged: None,
            next_ping: at(0),
        };
        assert_eq!(health.check(at(0), true), Verdict::Ping);
        assert_eq!(health.check(at(60), false), Verdict::Well);
        assert_eq!(health.check(at(62), true), Verdict::Well);
        assert_eq!(health.check(at(63), true), Verdict::Stalled);
    }

    #[test]
    fn words_of_the_agent_are_cleaned() {
        assert_eq!(printable("bye\r\n\x1b[31mred"), "bye[31mred");
    }
}
