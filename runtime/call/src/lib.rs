//! The life of a call as a pure state machine, and the addresses that take part in it.
//!
//! [`Call`] takes what happened ([`Event`]) and gives what to do ([`Action`]); it never does anything itself. There is no
//! clock, socket, task or random number in this crate: time is a parameter ([`Monotonic`]), and so are identifiers. A
//! whole call, its four hours' limit included, therefore runs in a test in microseconds.
//!
//! Beside it: [`Address`], what a phone number or SIP address is called once it is normalised; the identifiers of a call
//! ([`CallId`], [`ProviderCallId`]); and [`timeline`], which draws one finished call as a picture.
//!
//! What is *not* here: audio (that is `strowger-audio`), carriers' words (those are the components'), and storage.

pub mod address;
pub mod call;
pub mod timeline;

mod id;
mod time;

pub use address::{Address, AddressError, AddressKind, Country, E164};
pub use call::{
    Action, AnsweredBy, Call, CallStatus, Cost, Digit, Direction, EndReason, Event, Limits, Outcome, OutcomeStatus,
    Recorded, Requester, Setup, State, Summary, TransferFailure, TransferProgress, Verdict,
};
pub use id::{CallId, IdError, ProviderCallId, TransferId};
pub use time::Monotonic;
