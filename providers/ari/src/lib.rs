//! Asterisk as a Strowger provider: calls over ARI, media over chan_websocket.
//!
//! Asterisk sends no webhooks. It tells of calls over an event socket that the runtime keeps open, and is commanded over
//! REST. Its second channel for each call, the media channel, opens a WebSocket to the gateway; a mixing bridge joins it to
//! the caller. Nothing of this is remembered anywhere: the identifiers of all that belongs to a call derive from the
//! caller's channel.
//!
//! [`spec`] is what Asterisk is and how it is configured, `ids` derives identifiers, `api` is REST, `events` reads the event
//! socket, `causes` says what the end of a channel means, `calls` answers, places and ends calls, `destination` writes dial
//! strings, `transfers` swaps the media channel for somebody else, `media` speaks chan_websocket, `setup` mints the Stasis
//! application's name and says what to enter at Asterisk.

mod api;
mod calls;
mod causes;
mod destination;
mod events;
mod ids;
mod media;
mod setup;
mod spec;
mod transfers;

use serde_json::Value;
use strowger_sdk::{
    Answered, Call, CallbackOutcome, Calling, Cost, DetailGroup, Directive, EventSocket, Events, Facts, Failure,
    FieldProblem, FieldValue, HangUpOutcome, Io, MediaAddress, Numbers, Outbound, Outcome, Ownership, Placed, Proof,
    Provider, ProviderSpec, PublicUrls, Recognition, Rejection, RejectionReason, Response, Saving, Setup, StatusReport,
    Step, Synchronisation, Transfer, TransferLeg, Webhook,
};

pub use crate::media::MediaSocket;
pub use crate::spec::{Config, Format};

/// The provider; its functions are in the modules.
#[derive(Debug)]
pub struct Ari;

impl Provider for Ari {
    type Config = Config;
    type Leg = MediaSocket;

    fn spec() -> ProviderSpec {
        spec::spec()
    }

    fn config_loader(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
        spec::load(credentials)
    }

    fn recognise(_webhook: &Webhook) -> Option<Recognition> {
        None
    }

    fn verify_signature(_config: &Config, _webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
        Err(Rejection::new("no-webhooks", "Asterisk sends no webhooks."))
    }

    fn handle_callback(
        _config: &Config,
        _route: &str,
        _call: &Call,
        _webhook: &Webhook,
        _io: &mut Io,
    ) -> Outcome<CallbackOutcome> {
        Ok(no_callbacks())
    }

    fn answer_markup(
        config: &Config,
        call: &Call,
        media: &MediaAddress,
        _webhook: Option<&Webhook>,
        io: &mut Io,
    ) -> Outcome<Answered> {
        calls::answer(config, call, media, io)
    }

    fn rejection_markup(reason: RejectionReason) -> Response {
        calls::refusal(reason)
    }

    fn reject_call(config: &Config, call: &Call, reason: RejectionReason, io: &mut Io) -> Outcome<Response> {
        calls::reject(config, call, reason, io)
    }
}

impl Calling for Ari {
    fn place_call(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
        calls::place(config, call, outbound, io)
    }

    fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
        calls::hang_up(config, call, io)
    }

    fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
        calls::fetch_status(config, call, io)
    }

    /// A PBX does not know what its trunks cost.
    fn fetch_cost(_config: &Config, _call: &Call, _io: &mut Io) -> Outcome<Option<Cost>> {
        Ok(None)
    }
}

/// Which numbers lead to a PBX is decided by its trunks and its dialplan, and ARI tells of neither.
impl Numbers for Ari {
    fn validate_number(_config: &Config, _address: &str, _io: &mut Io) -> Outcome<Ownership> {
        Ok(Ownership::NotApplicable)
    }

    fn configure_inbound(
        _config: &Config,
        _address: &str,
        _webhook_url: &str,
        _attach: bool,
        _io: &mut Io,
    ) -> Outcome<Synchronisation> {
        Ok(Synchronisation::Unchanged)
    }
}

impl Transfer for Ari {
    fn dial_destination(config: &Config, _call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<Placed> {
        transfers::dial(config, leg, io)
    }

    fn connect(config: &Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<()> {
        transfers::connect(config, call, leg, io)
    }

    fn cancel(config: &Config, _call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<HangUpOutcome> {
        transfers::cancel(config, leg, io)
    }

    fn handle_transfer_callback(
        _config: &Config,
        _route: &str,
        _call: &Call,
        _leg: &TransferLeg,
        _webhook: &Webhook,
        _io: &mut Io,
    ) -> Outcome<CallbackOutcome> {
        Ok(no_callbacks())
    }
}

impl Setup for Ari {
    fn prepare_credentials(config: &Config, saving: &Saving, _io: &mut Io) -> Outcome<Vec<FieldValue>> {
        Ok(setup::mint(config, saving))
    }

    fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
        setup::checklist(config, facts)
    }

    fn connectivity_details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
        setup::connectivity_details(config, urls)
    }
}

impl Events for Ari {
    fn endpoint(config: &Config) -> Result<EventSocket, Failure> {
        events::endpoint(config)
    }

    fn handle_event(config: &Config, message: &str, _received_at: u64, io: &mut Io) -> Outcome<Vec<Directive>> {
        events::handle(config, message, io)
    }
}

/// There are no routes, so nobody asks.
fn no_callbacks() -> CallbackOutcome {
    CallbackOutcome {
        events: Vec::new(),
        response: Response::empty(204),
    }
}

strowger_sdk::export!(Ari: calling, numbers, transfer, setup, events);
