//! What an author implements. The functions are those of the contract, with `config` read and effects behind [`Io`].

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Answered, AnsweredBy, AppliedTrunk, Call, CallbackOutcome, Cost, DetailGroup, DetectionMode, Directive,
    EventSocket, Facts, Failure, Field, FieldProblem, FieldValue, FrameProblem, HangUpOutcome, Io, MediaAddress,
    MediaEvent, MediaFrame, Message, Outbound, Outcome, Ownership, Placed, Proof, ProviderSpec, Provisioning,
    PublicUrls, Recognition, Rejection, RejectionReason, Response, Saving, StatusReport, Step, Synchronisation,
    TransferLeg, Trunk, Webhook,
};

/// A telephone carrier. Every function is pure: the same arguments and replies give the same answer.
pub trait Provider: 'static {
    /// What every operation gets; made from the credentials by [`config_loader`](Self::config_loader).
    type Config: DeserializeOwned + Serialize;
    type Leg: Leg<Self::Config>;

    /// Static: read once when the component is loaded.
    fn spec() -> ProviderSpec;

    /// Turns validated credentials into the configuration. Without an implementation they are the same.
    fn config_loader(credentials: Value) -> Result<Self::Config, Vec<FieldProblem>> {
        // Serde's own text would quote the value.
        serde_json::from_value(credentials).map_err(|_| {
            vec![FieldProblem::new(
                "",
                "The settings do not have the shape that this provider expects.",
            )]
        })
    }

    /// Whether a webhook at the common dispatcher is this carrier's, and what it claims. Nothing is verified yet.
    fn recognise(webhook: &Webhook) -> Option<Recognition>;

    /// Describes what must hold for the webhook to be genuine: one of the proofs.
    fn verify_signature(config: &Self::Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection>;

    /// What a genuine webhook means for its call. `route` is the name of a route, or `inbound` for the dispatcher.
    fn handle_callback(
        config: &Self::Config,
        route: &str,
        call: &Call,
        webhook: &Webhook,
        io: &mut Io,
    ) -> Outcome<CallbackOutcome>;

    /// Connects an inbound call, or an answered outbound call, to the media socket. There is no webhook when the call was
    /// announced over [`Events`].
    fn answer_markup(
        config: &Self::Config,
        call: &Call,
        media: &MediaAddress,
        webhook: Option<&Webhook>,
        io: &mut Io,
    ) -> Outcome<Answered>;

    /// A refusal that needs no configuration. Its words must not tell a stranger how the gateway is set up.
    fn rejection_markup(reason: RejectionReason) -> Response;

    /// Refuses a call whose webhook was genuine.
    fn reject_call(_config: &Self::Config, _call: &Call, reason: RejectionReason, _io: &mut Io) -> Outcome<Response> {
        Ok(Self::rejection_markup(reason))
    }
}

/// The media of one call: envelopes only. It may be dropped and opened again at any time, and then gets the carrier's
/// messages up to the one that yielded [`MediaEvent::Started`].
pub trait Leg<Config>: Sized + 'static {
    fn open(config: &Config, call: &Call) -> Self;

    /// What a message of the carrier means; at most 64 events.
    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent>;

    /// Messages to send, in order; at most 4.
    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem>;
}

/// Placing calls, steering them and asking about them over the carrier's API.
pub trait Calling: Provider {
    /// Dials `call.callee`.
    fn place_call(config: &Self::Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed>;

    /// Ends the call at the carrier. That it had ended already is a success.
    fn hang_up(config: &Self::Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome>;

    /// What the carrier thinks of the call.
    fn fetch_status(config: &Self::Config, call: &Call, io: &mut Io) -> Outcome<StatusReport>;

    /// What the call cost; `None` while the carrier has not rated it.
    fn fetch_cost(config: &Self::Config, call: &Call, io: &mut Io) -> Outcome<Option<Cost>>;
}

/// Answering-machine detection.
pub trait Detection: Provider {
    /// What this configuration may use, the preferred one first; empty when it is switched off.
    fn detection_modes(config: &Self::Config) -> Vec<DetectionMode>;

    /// The verdict that a genuine webhook carries, if any.
    fn detection_result(config: &Self::Config, webhook: &Webhook) -> Option<AnsweredBy>;
}

/// The phone numbers of the account. Addresses are E.164 with `+`, SIP URIs or extensions.
pub trait Numbers: Provider {
    /// Whether the account owns the number.
    fn validate_number(config: &Self::Config, address: &str, io: &mut Io) -> Outcome<Ownership>;

    /// Adds the number to the account. Most carriers' numbers are ordered at the carrier.
    fn provision_number(_config: &Self::Config, _address: &str, _io: &mut Io) -> Outcome<Provisioning> {
        Ok(Provisioning::NotOffered)
    }

    /// Points the number's inbound calls at `webhook_url`, or, unless `attach`, away from it. Detaching changes only what
    /// points there: a number that points elsewhere, or that is not there, is [`Synchronisation::Unchanged`].
    fn configure_inbound(
        config: &Self::Config,
        address: &str,
        webhook_url: &str,
        attach: bool,
        io: &mut Io,
    ) -> Outcome<Synchronisation>;
}

/// Connecting a caller with somebody else. The runtime keeps the state of a transfer and counts its time; these functions
/// say how the carrier does it.
pub trait Transfer: Provider {
    /// Dials the destination. The leg may answer before the carrier has answered this request.
    fn dial_destination(config: &Self::Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<Placed>;

    /// The destination answered: joins the caller to it, away from the media socket.
    fn connect(config: &Self::Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<()>;

    /// Ends the second leg. That it had ended already is a success.
    fn cancel(config: &Self::Config, call: &Call, leg: &TransferLeg, io: &mut Io) -> Outcome<HangUpOutcome>;

    /// What a genuine webhook at a route of purpose `transfer` means for the second leg.
    fn handle_transfer_callback(
        config: &Self::Config,
        route: &str,
        call: &Call,
        leg: &TransferLeg,
        webhook: &Webhook,
        io: &mut Io,
    ) -> Outcome<CallbackOutcome>;
}

/// What happens around a configuration.
pub trait Setup: Provider {
    /// Makes at the carrier what the configuration needs and is not there; called before it is stored. The fields that are
    /// returned are stored with it.
    fn prepare_credentials(_config: &Self::Config, _saving: &Saving, _io: &mut Io) -> Outcome<Vec<FieldValue>> {
        Ok(Vec::new())
    }

    /// The steps towards calls that work, in order.
    fn checklist(config: &Self::Config, facts: &Facts) -> Vec<Step>;

    /// What a person must know or enter elsewhere.
    fn connectivity_details(_config: &Self::Config, _urls: &PublicUrls) -> Vec<DetailGroup> {
        Vec::new()
    }
}

/// SIP trunks that a configuration keeps at the carrier.
pub trait Trunks: Provider {
    /// Static: read once when the component is loaded.
    fn trunk_fields() -> Vec<Field>;

    /// Makes the carrier's trunk as described: new, changed, renamed or switched off.
    fn apply_trunk(config: &Self::Config, trunk: &Trunk, io: &mut Io) -> Outcome<AppliedTrunk>;

    /// Takes the trunk out of service. That it is not there is a success.
    fn remove_trunk(config: &Self::Config, trunk: &Trunk, io: &mut Io) -> Outcome<()>;
}

/// A carrier that tells what happens over a socket which the gateway keeps open.
pub trait Events: Provider {
    /// The socket. A failure that is not retryable parks the configuration until somebody reactivates it.
    fn endpoint(config: &Self::Config) -> Result<EventSocket, Failure>;

    /// What a message means. `received_at` is Unix time in milliseconds.
    fn handle_event(config: &Self::Config, message: &str, received_at: u64, io: &mut Io) -> Outcome<Vec<Directive>>;
}
