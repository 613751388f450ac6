//! A person at a web browser as a Strowger provider: the page is the telephone, and there is no carrier behind it.
//!
//! The modules follow a call: [`spec`] is what a browser is and how it is known, `calls` rings it, `signature` describes how
//! it proves that it picked up, `answers` tells it where to talk, `media` is the wire of its socket.

mod answers;
mod calls;
mod media;
mod signature;
mod spec;

use serde_json::Value;
use strowger_sdk::{
    Answered, Call, CallbackOutcome, Calling, Cost, FieldProblem, HangUpOutcome, Io, MediaAddress, Outbound, Outcome,
    Placed, Proof, Provider, ProviderSpec, Recognition, Rejection, RejectionReason, Response, StatusReport, Webhook,
};

pub use crate::media::Socket;
pub use crate::spec::Config;

/// The provider; its functions are in the modules.
#[derive(Debug)]
pub struct Browser;

impl Provider for Browser {
    type Config = Config;
    type Leg = Socket;

    fn spec() -> ProviderSpec {
        spec::spec()
    }

    fn config_loader(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
        spec::load(credentials)
    }

    /// Nothing is a browser's but what comes to its own routes, which name the call.
    fn recognise(_webhook: &Webhook) -> Option<Recognition> {
        None
    }

    fn verify_signature(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
        signature::proofs(config, webhook)
    }

    fn handle_callback(
        _config: &Config,
        route: &str,
        _call: &Call,
        webhook: &Webhook,
        _io: &mut Io,
    ) -> Outcome<CallbackOutcome> {
        Ok(answers::told(route, webhook))
    }

    fn answer_markup(
        _config: &Config,
        _call: &Call,
        media: &MediaAddress,
        _webhook: Option<&Webhook>,
        _io: &mut Io,
    ) -> Outcome<Answered> {
        Ok(Answered::with(answers::connect(media)))
    }

    fn rejection_markup(reason: RejectionReason) -> Response {
        answers::refuse(reason)
    }
}

impl Calling for Browser {
    fn place_call(_config: &Config, call: &Call, _outbound: &Outbound, _io: &mut Io) -> Outcome<Placed> {
        calls::place(call)
    }

    /// A call is its socket, which the runtime closes; there is nobody else to tell.
    fn hang_up(_config: &Config, _call: &Call, _io: &mut Io) -> Outcome<HangUpOutcome> {
        Ok(HangUpOutcome::AlreadyEnded)
    }

    fn fetch_status(_config: &Config, _call: &Call, _io: &mut Io) -> Outcome<StatusReport> {
        calls::status()
    }

    fn fetch_cost(_config: &Config, _call: &Call, _io: &mut Io) -> Outcome<Option<Cost>> {
        Ok(None)
    }
}

strowger_sdk::export!(Browser: calling);
