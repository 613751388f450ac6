//! Carriers and agents that play the other side of Strowger: for the demo, the tests and the load generator.
//!
//! A [`Carrier`] is the small description of one telephone carrier's interfaces; [`RunningCarrier`] runs one on loopback:
//! its REST API, its webhooks, its media and event sockets, its conferences and the people at the far end of the line
//! ([`CallerScript`], [`Callee`]).
//! An [`Agent`] is a scripted voice agent behind a WebSocket. Both write down all that they saw ([`CallReport`],
//! [`AgentReport`]) on one clock ([`clock`]), and both can misbehave on demand ([`Misbehaviour`], [`AgentMisbehaviour`]).
//!
//! Nothing here is shared with the providers or with the runtime, so that an error of theirs cannot hide in ours.
//! It is not a carrier: no call leaves this machine, and sockets other than the gateway's are refused.

pub mod agent;
pub mod carrier;
pub mod clock;
pub mod exchange;
pub mod g711;
pub mod gateway;
pub mod load;
pub mod markup;
pub mod misbehaviour;
pub mod playout;
pub mod report;
pub mod script;
pub mod speech;
mod watched;
mod webhook;

pub use agent::{
    Agent, AgentDo, AgentMisbehaviour, AgentOptions, AgentProtocol, AgentReport, AgentScript, AgentSession, AgentWhen,
    Hold, Pace, Transfer, TransferSeen,
};
pub use carrier::{Carrier, by_name, carriers, usual};
pub use exchange::{CallHandle, Callee, InboundCall, Options, RestFailure, RunningCarrier};
pub use gateway::Gateway;
pub use misbehaviour::{Misbehaviour, RestFault, Signing};
pub use report::{CallReport, Pacing, RoomReport, StreamReport};
pub use script::CallerScript;
pub use speech::Speech;
pub use watched::TimedOut;
