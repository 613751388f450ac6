//! Cloudonix as a Strowger provider: a SIP platform whose applications speak CXML, a dialect of TwiML.
//!
//! The modules follow a call: [`spec`] is what Cloudonix is and how a domain is configured, `inbound` recognises its
//! webhooks, `proof` describes what makes them genuine, `markup` writes CXML, `media` wraps audio, `callbacks` reads what
//! became of a session. `calls`, `transfer`, `numbers`, `setup` and `trunks` use the REST API through `api`; `regions` are
//! the places where Cloudonix takes SIP, `fields` reads a webhook's parameters in any of their spellings.
//!
//! The call's identifier is the session token everywhere. `CallSid` looks like one and sometimes is a SIP Call-ID.

mod api;
mod callbacks;
mod calls;
mod fields;
mod inbound;
mod markup;
mod media;
mod numbers;
mod proof;
mod regions;
mod setup;
mod spec;
mod transfer;
mod trunks;

use serde_json::Value;
use strowger_sdk::{
    Answered, AppliedTrunk, Call, CallbackOutcome, Calling, Cost, DetailGroup, Facts, Field, FieldProblem, FieldValue,
    HangUpOutcome, Io, MediaAddress, Numbers, Outbound, Outcome, Ownership, Placed, Proof, Provider, ProviderSpec,
    Provisioning, PublicUrls, Recognition, Rejection, RejectionReason, Response, Saving, Setup, StatusReport, Step,
    Synchronisation, Transfer, TransferLeg, Trunk, Trunks, Webhook,
};

pub use crate::media::MediaStream;
pub use crate::spec::Config;

/// The provider; its functions are in the modules.
#[derive(Debug)]
pub struct Cloudonix;

impl Provider for Cloudonix {
    type Config = Config;
    type Leg = MediaStream;

    fn spec() -> ProviderSpec {
        spec::spec()
    }

    fn config_loader(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
        spec::load(credentials)
    }

    fn recognise(webhook: &Webhook) -> Option<Recognition> {
        inbound::recognise(webhook)
    }

    fn verify_signature(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
        proof::proofs(config, webhook)
    }

    fn handle_callback(
        _config: &Config,
        route: &str,
        call: &Call,
        webhook: &Webhook,
        _io: &mut Io,
    ) -> Outcome<CallbackOutcome> {
        Ok(callbacks::outcome(route, call, webhook))
    }

    /// Only inbound calls come here: an outbound call takes its CXML, and the media socket in it, along when it is placed.
    fn answer_markup(
        _config: &Config,
        _call: &Call,
        media: &MediaAddress,
        _webhook: Option<&Webhook>,
        _io: &mut Io,
    ) -> Outcome<Answered> {
        Ok(Answered::with(Response::xml(markup::connect_stream(&media.url))))
    }

    fn rejection_markup(reason: RejectionReason) -> Response {
        Response::xml(markup::refuse(reason))
    }

    fn reject_call(_config: &Config, call: &Call, reason: RejectionReason, _io: &mut Io) -> Outcome<Response> {
        Ok(Response::xml(markup::refuse_call(call.direction, reason)))
    }
}

impl Calling for Cloudonix {
    fn place_call(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
        calls::place(config, call, outbound, io)
    }

    fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
        calls::end_session(config, call.carrier_id()?, io)
    }

    fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
        calls::fetch_status(config, call, io)
    }

    /// Cloudonix bills the platform, not the call.
    fn fetch_cost(_config: &Config, _call: &Call, _io: &mut Io) -> Outcome<Option<Cost>> {
        Ok(None)
    }
}

impl Numbers for Cloudonix {
    fn validate_number(config: &Config, address: &str, io: &mut Io) -> Outcome<Ownership> {
        numbers::validate(config, address, io)
    }

    fn provision_number(config: &Config, address: &str, io: &mut Io) -> Outcome<Provisioning> {
        numbers::provision(config, address, io)
    }

    fn configure_inbound(
        config: &Config,
        _address: &str,
        webhook_url: &str,
        attach: bool,
        io: &mut Io,
    ) -> Outcome<Synchronisation> {
        numbers::configure_inbound(config, webhook_url, attach, io)
    }
}

impl Transfer for Cloudonix {
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
        call: &Call,
        leg: &TransferLeg,
        webhook: &Webhook,
        io: &mut Io,
    ) -> Outcome<CallbackOutcome> {
        transfer::outcome(config, call, leg, webhook, io)
    }
}

impl Setup for Cloudonix {
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

impl Trunks for Cloudonix {
    fn trunk_fields() -> Vec<Field> {
        trunks::fields()
    }

    fn apply_trunk(config: &Config, trunk: &Trunk, io: &mut Io) -> Outcome<AppliedTrunk> {
        trunks::apply(config, trunk, io)
    }

    fn remove_trunk(config: &Config, trunk: &Trunk, io: &mut Io) -> Outcome<()> {
        trunks::remove(config, trunk, io)
    }
}

strowger_sdk::export!(Cloudonix: calling, numbers, transfer, setup, trunks);
