//! What went into a component and what came out of it, invocation by invocation, for whoever watches.
//!
//! A provider is a pure function, so this is all there is to know about what it did: [`crate::replay`] runs it again, byte for
//! byte. Inputs are recorded as the guest saw them, with sealed references where the secrets are; phone numbers are in
//! them, so a recording is as confidential as the call.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::InvokeError;
use crate::operation::Moment;

mod file;
mod spelling;

pub use self::file::{Header, Recording, RecordingError, write_header, write_invocation};
pub use self::spelling::{spelled, spelled_bytes};

/// One invocation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// `interface.function`; for a media leg `media.leg` opens it.
    pub export: String,
    /// Unix milliseconds, as the guest saw them.
    pub now_ms: u64,
    /// Where the guest's randomness began.
    pub seed: u64,
    /// Tells the invocations of one media leg from those of another; none for everything else, which ran in an instance of
    /// its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<u64>,
    /// One entry for each parameter, in the spelling of [`crate::invoke`].
    pub input: Value,
    /// The result in the same spelling, in which `null` is one; none when there is only a fault.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why there is no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<RecordedFault>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A fault of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFault {
    /// As [`crate::GuestFault::code`].
    pub code: String,
    /// For people.
    pub message: String,
}

/// Whoever watches invocations. It is called on the thread of the guest, also on the media path: it must not wait.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Whether to tell about an invocation that ended well, or in a fault. Spelling one out costs far more than asking.
    fn wants(&self, export: &'static str, faulted: bool) -> bool;

    /// One invocation is over.
    fn observe(&self, recorded: Recorded);
}

/// When and where an invocation happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    pub(crate) now_ms: u64,
    pub(crate) seed: u64,
    pub(crate) leg: Option<u64>,
}

impl Circumstances {
    pub(crate) fn of(moment: &Moment, leg: Option<u64>) -> Self {
        Self {
            now_ms: moment.now_ms,
            seed: moment.seed(),
            leg,
        }
    }

    /// An invocation whose end is not told.
    pub(crate) fn recorded(self, export: &str, input: Map<String, Value>) -> Recorded {
        Recorded {
            export: export.to_owned(),
            now_ms: self.now_ms,
            seed: self.seed,
            leg: self.leg,
            input: Value::Object(input),
            output: None,
            fault: None,
        }
    }
}

/// Tells the observers that want to know.
pub(crate) fn tell<R: Serialize>(
    observers: &[Arc<dyn Observer>],
    export: &'static str,
    circumstances: Circumstances,
    input: impl Fn() -> Map<String, Value>,
    result: &Result<R, InvokeError>,
) {
    tell_after(Vec::new, observers, export, circumstances, input, result);
}

/// Tells the observers that want to know; those that only hear of faults hear first what the instance went through.
pub(crate) fn tell_after<R: Serialize>(
    history: impl Fn() -> Vec<Recorded>,
    observers: &[Arc<dyn Observer>],
    export: &'static str,
    circumstances: Circumstances,
    input: impl Fn() -> Map<String, Value>,
    result: &Result<R, InvokeError>,
) {
    if observers.is_empty() {
        return;
    }
    let fault = match result {
        Ok(_) => None,
        Err(InvokeError::Guest(fault)) => Some(RecordedFault {
            code: fault.code().to_owned(),
            message: fault.to_string(),
        }),
        // Ours or the user's: the guest has done nothing that could be done again.
        Err(_) => return,
    };
    for observer in observers
        .iter()
        .filter(|observer| observer.wants(export, fault.is_some()))
    {
        if fault.is_some() && !observer.wants(export, false) {
            for recorded in history() {
                observer.observe(recorded);
            }
        }
        observer.observe(Recorded {
            output: result.as_ref().ok().map(spelled),
            fault: fault.clone(),
            ..circumstances.recorded(export, input())
        });
    }
}

/// The arguments of an export by their names in the contract.
macro_rules! arguments {
    ($($name:literal => $value:expr),* $(,)?) => {
        || {
            let mut arguments = serde_json::Map::new();
            $(arguments.insert($name.to_owned(), $crate::recording::spelled($value));)*
            arguments
        }
    };
}
pub(crate) use arguments;
