//! Telnyx Voice API (Call Control) as a Strowger provider.
//!
//! Telnyx is commanded over its REST API and ignores what its webhooks are answered with. The modules follow a call:
//! [`spec`] is what Telnyx is and how an account is configured, `event` reads its webhooks, `state` binds them to a call,
//! `signature` describes their proof, `answer` takes and refuses calls, `media` wraps audio, `callbacks` reads what Telnyx
//! tells about a call, `calls`, `transfer`, `numbers` and `setup` use the REST API through `api`.

mod answer;
mod api;
mod callbacks;
mod calls;
mod event;
mod media;
mod numbers;
mod setup;
mod signature;
mod spec;
mod state;
mod time;
mod transfer;

use serde_json::Value;
use strowger_sdk::{
    Answered, Call, CallbackOutcome, Calling, Cost, DetailGroup, Direction, Facts, FieldProblem, FieldValue,
    HangUpOutcome, Io, MediaAddress, Numbers, Outbound, Outcome, Ownership, Placed, Proof, Provider, ProviderSpec,
    PublicUrls, Recognition, Rejection, RejectionReason, Response, Saving, Setup, StatusReport, Step, Synchronisation,
    Transfer, TransferLeg, Webhook,
};

pub use crate::media::MediaStream;
pub use crate::spec::Config;

/// The provider; its functions are in the modules.
#[derive(Debug)]
pub struct Telnyx;

impl Provider for Telnyx {
    type Config = Config;
    type Leg = MediaStream;

    fn spec() -> ProviderSpec {
        spec::spec()
    }

    fn config_loader(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
        spec::load(credentials)
    }

    fn recognise(webhook: &Webhook) -> Option<Recognition> {
        event::recognise(webhook)
    }

    fn verify_signature(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
        signature::proofs(config, webhook)
    }

    fn handle_callback(
        _config: &Config,
        _route: &str,
        call: &Call,
        webhook: &Webhook,
        _io: &mut Io,
    ) -> Outcome<CallbackOutcome> {
        Ok(callbacks::outcome(call, webhook))
    }

    fn answer_markup(
        config: &Config,
        call: &Call,
        media: &MediaAddress,
        _webhook: Option<&Webhook>,
        io: &mut Io,
    ) -> Outcome<Answered> {
        // An outbound call got its media socket with the request that placed it.
        if call.direction == Direction::Inbound {
            answer::answer(config, call, media, io)?;
        }
        Ok(Answered::with(answer::acknowledged()))
    }

    fn rejection_markup(reason: RejectionReason) -> Response {
        answer::rejection(reason)
    }

    fn reject_call(config: &Config, call: &Call, reason: RejectionReason, io: &mut Io) -> Outcome<Response> {
        answer::reject(config, call, reason, io)
    }
}

impl Calling for Telnyx {
    fn place_call(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
        calls::place(config, call, outbound, io)
    }

    fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
        calls::hang_up(config, call.carrier_id()?, io)
    }

    fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
        calls::fetch_status(config, call, io)
    }

    /// Call Control does not tell what a call cost.
    fn fetch_cost(_config: &Config, _call: &Call, _io: &mut Io) -> Outcome<Option<Cost>> {
        Ok(None)
    }
}

impl Numbers for Telnyx {
    fn validate_number(config: &Config, address: &str, io: &mut Io) -> Outcome<Ownership> {
        numbers::validate(config, address, io)
    }

    fn configure_inbound(
        config: &Config,
        address: &str,
        webhook_url: &str,
        attach: bool,
        io: &mut Io,
    ) -> Outcome<Synchronisation> {
        numbers::configure_inbound(config, address, webhook_url, attach, io)
    }
}

impl Transfer for Telnyx {
    fn dial_destination(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<Placed> {
        transfer::dial(config, call, leg, io)
    }

    fn connect(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<()> {
        transfer::connect(config, call, leg, io)
    }

    fn cancel(config: &Config, _call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<HangUpOutcome> {
        transfer::cancel(config, leg, io)
    }

    fn handle_transfer_callback(
        config: &Config,
        _route: &str,
        _call: &Call,
        leg: &TransferLeg,
        webhook: &Webhook,
        io: &mut Io,
    ) -> Outcome<CallbackOutcome> {
        transfer::callback(config, leg, webhook, io)
    }
}

impl Setup for Telnyx {
    fn prepare_credentials(config: &Config, saving: &Saving, io: &mut Io) -> Outcome<Vec<FieldValue>> {
        setup::prepare(config, saving, io)
    }

    fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
        setup::checklist(config, facts)
    }

    fn connectivity_details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
        setup::connectivity_details(config, urls)
    }
}

strowger_sdk::export!(Telnyx: calling, numbers, transfer, setup);
