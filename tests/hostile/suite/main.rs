//! The hostile suite: one small component for each way to do harm, and a neighbour that notices nothing of it.
//!
//! `docs/sandbox.md` lists the ways, each with its test; `list` holds it to that.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod abi;
mod bombs;
mod cache;
mod crowd;
mod exhaustion;
mod fixtures;
mod invocation;
mod list;
mod loading;
mod neighbour;
mod random;
mod secrets;
mod tenants;
