//! Vobiz as a Strowger provider.
//!
//! The modules follow a call: [`spec`] is what Vobiz is and how an account is configured, `inbound` recognises its
//! webhooks, `signature` describes their proofs, `markup` writes Vobiz XML, `media` wraps audio for audio streams,
//! `callbacks` reads what Vobiz tells about a call, `calls`, `numbers` and `setup` use the REST API through `api`.
//!
//! Much of it resembles Plivo, which Vobiz imitates. The two are apart on purpose: what they sign, how they authorise and
//! what they do with numbers differs, and either may change without asking the other.

mod api;
mod callbacks;
mod calls;
mod inbound;
mod markup;
mod media;
mod numbers;
mod setup;
mod signature;
mod spec;

use serde_json::Value;
use strowger_sdk::{
    Answered, Call, CallbackOutcome, Calling, Cost, DetailGroup, Facts, FieldProblem, FieldValue, HangUpOutcome, Io,
    MediaAddress, Numbers, Outbound, Outcome, Ownership, Placed, Proof, Provider, ProviderSpec, PublicUrls,
    Recognition, Rejection, RejectionReason, Response, Saving, Setup, StatusReport, Step, Synchronisation, Webhook,
};

pub use crate::media::AudioStream;
pub use crate::spec::Config;

/// The provider; its functions are in the modules.
#[derive(Debug)]
pub struct Vobiz;

impl Provider for Vobiz {
    type Config = Config;
    type Leg = AudioStream;

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
        route: &str,
        call: &Call,
        webhook: &Webhook,
        _io: &mut Io,
    ) -> Outcome<CallbackOutcome> {
        Ok(callbacks::outcome(route, call, webhook))
    }

    fn answer_markup(
        _config: &Config,
        call: &Call,
        media: &MediaAddress,
        webhook: Option<&Webhook>,
        _io: &mut Io,
    ) -> Outcome<Answered> {
        Ok(Answered {
            response: markup::stream(&media.url),
            events: webhook.map_or_else(Vec::new, |webhook| callbacks::answer_events(call, webhook)),
        })
    }

    fn rejection_markup(reason: RejectionReason) -> Response {
        markup::refuse(reason)
    }

    fn reject_call(_config: &Config, call: &Call, reason: RejectionReason, _io: &mut Io) -> Outcome<Response> {
        Ok(markup::refuse_call(call.direction, reason))
    }
}

impl Calling for Vobiz {
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

impl Numbers for Vobiz {
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

impl Setup for Vobiz {
    fn prepare_credentials(config: &Config, saving: &Saving, io: &mut Io) -> Outcome<Vec<FieldValue>> {
        setup::prepare(config, saving, io)
    }

    fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
        setup::checklist(config, facts)
    }

    fn connectivity_details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
        setup::details(config, urls)
    }
}

strowger_sdk::export!(Vobiz: calling, numbers, setup);
