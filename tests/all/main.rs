//! The black-box suite.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod access;
mod admission;
mod agents;
mod browser;
mod carriers;
mod cli;
mod components;
mod conversation;
mod events;
mod harness;
mod hostile;
mod installation;
mod isolation;
mod keys;
mod kit;
mod kit_new;
mod live;
mod matrix;
mod media;
mod oci;
mod operations;
mod oracles;
mod outages;
mod outbound;
mod polyglot;
mod receiver;
mod replay;
mod secrets;
mod setup;
mod toy;
mod transfers;
mod versions;
mod webhook_events;
mod webhooks;
