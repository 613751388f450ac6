//! The black-box suite.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod components;
mod hostile;
mod harness;
mod conversation;
mod webhooks;
mod oracles;
mod agents;
mod outbound;
mod media;
mod isolation;
mod operations;
mod secrets;
mod cli;
