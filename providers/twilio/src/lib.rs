//! Twilio Programmable Voice as a Strowger provider.
//!
//! The modules follow a call: [`spec`] is what Twilio is and how an account is configured, `inbound` recognises its
//! webhooks, `signature` describes their proofs, `markup` writes TwiML, `media` wraps audio for Media Streams,
//! `callbacks` reads what Twilio tells about a call, `calls`, `numbers` and `transfer` use the REST API through `api`,
//! `setup` says what is left to do.

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
mod transfer;

use serde_json::Value;
use strowger_sdk::{
    Answered, AnsweredBy, Call, CallbackOutcome, Calling, Cost, DetailGroup, Detection, DetectionMode, Facts,
    FieldProblem, HangUpOutcome, Io, MediaAddress, Numbers, Outbound, Outcome, Ownership, Placed, Proof, Provider,
    ProviderSpec, PublicUrls, Recognition, Rejection, RejectionReason, Response, Setup, StatusReport, Step,
    Synchronisation, Transfer, TransferLeg, Webhook,
};

pub use crate::media::MediaStream;
pub use crate::spec::Config;

/// The provider; its functions are in the modules.
#[derive(Debug)]
pub struct Twilio;

impl Provider for Twilio {
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
        signature::proofs(config, webhook)
    }

    fn handle_callback(
        _config: &Config,
        route: &str,
        _call: &Call,
        webhook: &Webhook,
        _io: &mut Io,
    ) -> Outcome<CallbackOutcome> {
        Ok(callbacks::outcome(route, webhook))
    }

    fn answer_markup(
        _config: &Config,
        call: &Call,
        media: &MediaAddress,
        webhook: Option<&Webhook>,
        _io: &mut Io,
    ) -> Outcome<Answered> {
        let response = markup::connect_stream(&media.url, call.route(spec::STREAM_CALLBACK)?, &call.id);
        Ok(Answered {
            response,
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

impl Calling for Twilio {
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

impl Detection for Twilio {
    fn detection_modes(config: &Config) -> Vec<DetectionMode> {
        if config.detect_machines {
            vec![DetectionMode::HumanOrMachine, DetectionMode::EndOfGreeting]
        } else {
            vec![]
        }
    }

    fn detection_result(_config: &Config, webhook: &Webhook) -> Option<AnsweredBy> {
        callbacks::answered_by(webhook)
    }
}

impl Numbers for Twilio {
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

impl Transfer for Twilio {
    fn dial_destination(config: &Config, _call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<Placed> {
        transfer::dial(config, leg, io)
    }

    fn connect(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<()> {
        transfer::connect(config, call, leg, io)
    }

    fn cancel(config: &Config, _call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<HangUpOutcome> {
        transfer::cancel(config, leg, io)
    }

    fn handle_transfer_callback(
        _config: &Config,
        _route: &str,
        _call: &Call,
        _leg: &TransferLeg,
        webhook: &Webhook,
        _io: &mut Io,
    ) -> Outcome<CallbackOutcome> {
        Ok(transfer::callback(webhook))
    }
}

impl Setup for Twilio {
    fn checklist(_config: &Config, facts: &Facts) -> Vec<Step> {
        setup::checklist(facts)
    }

    fn connectivity_details(_config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
        setup::connectivity_details(urls)
    }
}

strowger_sdk::export!(Twilio: calling, detection, numbers, transfer, setup);
