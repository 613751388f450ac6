//! What a carrier tells the gateway, and what it can get wrong in doing so.

use std::fmt;

use super::{ConferenceChange, WebhookTarget};
use crate::{misbehaviour::Signing, report::CallStatus};

/// What a webhook, or an event, tells or asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookKind {
    /// Somebody calls: what shall be done?
    Incoming,
    /// The person called has answered: what shall be done?
    Answered,
    /// A call was sent to this address: what shall be done?
    Redirected,
    Status(CallStatus),
    Stream {
        stream_id: String,
        name: String,
        /// `stream-started`, `stream-stopped` or `stream-error`.
        event: &'static str,
        error: String,
    },
    Conference {
        name: String,
        change: ConferenceChange,
    },
    /// The person pressed a key, outside of a media socket.
    Digit(char),
    /// Something of this carrier alone, by its own name.
    Other(String),
}

impl fmt::Display for WebhookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incoming => f.write_str("incoming"),
            Self::Answered => f.write_str("answered"),
            Self::Redirected => f.write_str("redirected"),
            Self::Status(status) => write!(f, "status {status:?}"),
            Self::Stream { event, .. } => write!(f, "stream {event}"),
            Self::Conference { change, .. } => write!(f, "conference {change:?}"),
            Self::Digit(digit) => write!(f, "digit {digit}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// One way in which the gateway is told something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Built by [`super::Carrier::webhook`] and delivered after the call's earlier notices.
    Webhook { kind: WebhookKind, target: WebhookTarget },
    /// A text message on the event socket of this key. Lost when nobody is subscribed.
    Event { key: String, text: String },
}

/// What is wrong with a webhook or an upgrade on purpose, and which of its ways to sign a carrier uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tamper {
    pub signing: Signing,
    /// The carrier's newer way to sign, if it has two.
    pub newer_signature: bool,
    pub padding_bytes: usize,
    pub invalid_utf8: bool,
}
