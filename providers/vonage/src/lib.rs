//! Vonage Voice API as a Strowger provider.
//!
//! The modules follow a call: [`spec`] is what Vonage is and how an account is configured, `inbound` recognises its
//! webhooks, `payload` and `token` read them, `signature` describes their proofs, `ncco` writes call control objects,
//! `media` wraps audio for the WebSocket, `callbacks` reads what Vonage tells about a call, `calls` and `numbers` use the
//! APIs through `api`, `setup` says what is left to do.

mod api;
mod callbacks;
mod calls;
mod inbound;
mod media;
mod ncco;
mod numbers;
mod payload;
mod setup;
mod signature;
mod spec;
mod token;

use serde_json::Value;
use strowger_sdk::{
    Answered, Call, CallbackOutcome, Calling, Cost, DetailGroup, Facts, FieldProblem, HangUpOutcome, Io, MediaAddress,
    Numbers, Outbound, Outcome, Ownership, Placed, Proof, Provider, ProviderSpec, PublicUrls, Recognition, Rejection,
    RejectionReason, Response, Setup, StatusReport, Step, Synchronisation, Webhook,
};

pub use crate::media::MediaSocket;
pub use crate::spec::Config;

/// The provider; its functions are in the modules.
#[derive(Debug)]
pub struct Vonage;

impl Provider for Vonage {
    type Config = Config;
    type Leg = MediaSocket;

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
        _config: &Config,
        call: &Call,
        media: &MediaAddress,
        webhook: Option<&Webhook>,
        _io: &mut Io,
    ) -> Outcome<Answered> {
        let learned = callbacks::learned(call, webhook)?;
        let call_uuid = learned.call_uuid.as_deref().or(call.provider_call_id.as_deref());
        Ok(Answered {
            response: ncco::connect_socket(&media.url, call.route(spec::EVENTS)?, &call.id, call_uuid),
            events: learned.events,
        })
    }

    fn rejection_markup(reason: RejectionReason) -> Response {
        ncco::refuse(reason)
    }

    fn reject_call(_config: &Config, call: &Call, reason: RejectionReason, _io: &mut Io) -> Outcome<Response> {
        Ok(ncco::refuse_call(call.direction, reason))
    }
}

impl Calling for Vonage {
    fn place_call(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
        calls::place(config, call, outbound, io)
    }

    fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
        calls::hang_up(config, call, io)
    }

    fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
        calls::fetch_status(config, call, io)
    }

    fn fetch_cost(config: &Config, call: &Call, io: &mut Io) -> Outcome<Option<Cost>> {
        calls::fetch_cost(config, call, io)
    }
}

impl Numbers for Vonage {
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

impl Setup for Vonage {
    fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
        setup::checklist(config, facts)
    }

    fn connectivity_details(_config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
        setup::connectivity_details(urls)
    }
}

strowger_sdk::export!(Vonage: calling, numbers, setup);
