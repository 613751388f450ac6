//! What the gateway wants done with a call, whatever the carrier's way of being told.

use std::time::Duration;

use super::Notice;

/// An address that the gateway gave for webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookTarget {
    pub url: String,
    pub method: String,
}

impl WebhookTarget {
    #[must_use]
    pub fn post(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: "POST".to_owned(),
        }
    }

    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: "GET".to_owned(),
        }
    }
}

/// What the gateway wants done with a call, in order. A call whose instructions are used up is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    Stream(StreamInstruction),
    Pause(Duration),
    Say(String),
    Play(String),
    HangUp,
    /// Refuse the call before answering it.
    Reject {
        busy: bool,
    },
    Redirect(WebhookTarget),
    Conference(ConferenceInstruction),
    /// Nothing until the REST API says what. As the first instruction of an inbound call it leaves the call ringing, and
    /// the next [`Directive::Instruct`] answers it, unless that begins with [`Instruction::Reject`].
    Await,
    /// Something that this simulator does not do; it goes on with the next instruction.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamInstruction {
    pub url: String,
    pub name: String,
    pub parameters: Vec<(String, String)>,
    pub status: Option<WebhookTarget>,
    /// The format that was asked for, in the carrier's own words; empty for the usual one.
    pub content_type: String,
    /// The socket is opened while the person called is still being dialled. Only as the first of
    /// [`super::CallRecord::instructions`].
    pub before_answer: bool,
}

/// A room in which calls hear each other. A person's script rests while nobody else is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConferenceInstruction {
    pub name: String,
    /// When this call leaves, the conference ends for all: each goes on with its next instruction, if it has one.
    pub ends_on_exit: bool,
    pub status: Option<WebhookTarget>,
    /// Which changes are told at `status`.
    pub events: Vec<ConferenceChange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConferenceChange {
    Joined,
    Left,
}

/// What a REST request does to the lines. Calls are named by [`super::CallRecord::id`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// Dial the call of this id, which is in the ledger.
    Dial(String),
    /// Open a call without a person, which is in the ledger and whose first instruction is a stream: a media channel. It
    /// sounds in the room that [`Directive::Seat`] puts it in.
    OpenMedia(String),
    /// Put a media channel into the room of this name while its stream runs, or take it out.
    Seat(String, Option<String>),
    HangUp(String),
    /// The call gets new instructions; whatever it does now ends.
    Instruct(String, Vec<Instruction>),
    /// The call gets its instructions from there.
    Redirect(String, WebhookTarget),
    /// Everybody in the room of this name goes on with their next instruction.
    EndConference(String),
    /// The person on this call hears keys.
    Digits(String, String),
    /// Tells the gateway something about a call.
    Tell(String, Notice),
}
