//! What each invocation of a guest cost, for whoever keeps accounts.
//!
//! An invocation is an instance: made, told its configuration, asked once, dropped. Its processor time is read off the
//! thread's clock, which takes two system calls that are small beside all that. The frames of a media leg are too many and too
//! quick for that: each is timed by the wall clock, and its processor time is sampled, as everywhere on that path.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::InvokeError;
use crate::limits::thread_cpu_time;

/// Keeps accounts. It is called on the guest's thread, frames on the media path among them: it must not wait, nor allocate for
/// a frame.
pub trait Tally: Send + Sync + fmt::Debug {
    /// An instance is done with.
    fn invocation(&self, spent: Spent);

    /// A leg has taken a message or made one.
    fn frame(&self, frame: Frame);
}

/// One invocation, from the making of its instance to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// `interface.function` that it was made for.
    pub export: &'static str,
    /// Unix milliseconds, as the guest saw them: the same in all rounds of an operation.
    pub at_ms: u64,
    /// Which round of an operation, counted from 0.
    pub round: u32,
    /// Processor time of its thread.
    pub cpu: Duration,
    /// From beginning to end.
    pub wall: Duration,
    /// Linear memory at its end.
    pub memory_bytes: usize,
    /// `done`; `failed` for the provider's verdict, `asked-http`, `asked-load`, `asked-save` or `asked-claim` for an effect;
    /// `refused` for a configuration that does not fit; the code of a fault; `internal` for one of ours.
    pub outcome: &'static str,
}

/// One message through a media leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Which of the leg's two functions.
    pub export: &'static str,
    /// In the guest.
    pub wall: Duration,
    /// Sampled: nothing for most frames, a tick for some.
    pub cpu: Duration,
    /// The guest failed.
    pub faulted: bool,
}

/// An invocation that is being accounted for.
#[derive(Debug)]
pub(crate) struct Account {
    tally: Arc<dyn Tally>,
    began: Instant,
    cpu_before: Duration,
    at_ms: u64,
    export: Option<&'static str>,
    pub(crate) round: u32,
    outcome: &'static str,
}

impl Account {
    pub(crate) fn open(tally: Arc<dyn Tally>, at_ms: u64) -> Self {
        Self {
            tally,
            began: Instant::now(),
            cpu_before: thread_cpu_time(),
            at_ms,
            export: None,
            round: 0,
            outcome: "done",
        }
    }

    pub(crate) fn tally(&self) -> &dyn Tally {
        &*self.tally
    }

    /// The guest was called: what it is called for last is what the instance was made for.
    pub(crate) fn called<R>(&mut self, export: &'static str, result: &Result<R, InvokeError>) {
        self.export = Some(export);
        if let Err(error) = result {
            self.failed(error);
        }
    }

    pub(crate) fn failed(&mut self, error: &InvokeError) {
        self.outcome = match error {
            InvokeError::Guest(fault) => fault.code(),
            InvokeError::Configuration(_) => "refused",
            InvokeError::Budget(_) => "over-budget",
            InvokeError::Host(_) => "internal",
        };
    }

    pub(crate) fn ended(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }

    /// Tells what there was, if the guest was called at all; once.
    pub(crate) fn settle(&mut self, memory_bytes: usize) {
        let Some(export) = self.export.take() else { return };
        self.tally.invocation(Spent {
            export,
            at_ms: self.at_ms,
            round: self.round,
            cpu: thread_cpu_time().saturating_sub(self.cpu_before),
            wall: self.began.elapsed(),
            memory_bytes,
            outcome: self.outcome,
        });
    }
}
