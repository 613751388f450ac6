//! Loads provider components and calls them.
//!
//! This crate is for everything between a component file and typed results: the engine, its limits, the inert imports,
//! the frozen spec, sealed references, proofs, and the replay loop in which an operation asks for effects. It does no I/O of
//! its own: effects come out as data ([`Effect`]) and their replies go back in, so it needs neither HTTP nor SQL.

mod authorization;
pub mod bindings;
pub mod cache;
pub mod child;
pub mod compile;
pub mod cost;
pub mod credentials;
pub mod engine;
pub mod error;
pub mod http;
mod inert;
pub mod invoke;
pub mod limits;
pub mod media;
pub mod meter;
pub mod operation;
pub mod proof;
pub mod provider;
pub mod recording;
pub mod redact;
pub mod replay;
pub mod sealed;
pub mod spec;
pub mod structure;
pub mod tally;

pub use compile::IsolatedCompiler;
pub use credentials::{Credentials, FieldProblem};
pub use engine::{Engine, EngineOptions, Precompiled};
pub use error::{GuestFault, HostFault, InvokeError, LoadError};
pub use http::{Header, IncomingResponse, OutgoingRequest, Response, Webhook};
pub use invoke::InvokeJsonError;
pub use media::{MediaEvent, MediaFrame, MediaLeg, Message};
pub use meter::{Meter, MeterLimits, OverBudget};
pub use operation::{Effect, Failure, Moment, Operation, Reply, Step};
pub use proof::{Refusal, Verdict};
pub use provider::{Ability, Provider, RejectionReason};
pub use recording::{Observer, Recorded};
pub use sealed::Secret;
pub use spec::ProviderSpec;
pub use tally::Tally;
