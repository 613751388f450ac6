//! The `strowger` gateway: everything with I/O.
//!
//! The folders are the stops on a call's way: carriers come in through [`ingress`], the [`exchange`] finds out whose call it
//! is, a [`session`] carries it, an [`agent`] talks on it, and [`egress`] is the one door out. The [`store`] keeps what
//! survives, the [`registry`] the providers.

pub mod admission;
pub mod agent;
pub mod api;
pub mod budget;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod console;
pub mod egress;
pub mod events;
pub mod exchange;
pub mod gateway;
pub mod guests;
pub mod health;
pub mod ingress;
pub mod install;
pub mod invocations;
pub mod keyring;
pub mod live;
pub mod metrics;
pub mod oci;
pub mod outbox;
pub mod perform;
pub mod recording;
pub mod registry;
pub mod session;
pub mod settings;
pub mod signature;
pub mod store;
pub mod waveform;
