//! Between the generated bindings and the traits that authors implement.

use std::cell::RefCell;

use serde_json::Value;

use crate::bindings::calling::exports::strowger::provider::calling as calling_export;
use crate::bindings::detection::exports::strowger::provider::detection as detection_export;
use crate::bindings::events::exports::strowger::provider::events as events_export;
use crate::bindings::numbers::exports::strowger::provider::numbers as numbers_export;
use crate::bindings::provider::exports::strowger::provider::{answer, descriptor, media, webhook};
use crate::bindings::setup::exports::strowger::provider::setup as setup_export;
use crate::bindings::transfer::exports::strowger::provider::transfer as transfer_export;
use crate::bindings::trunks::exports::strowger::provider::trunks as trunks_export;
use crate::{
    Answered, AnsweredBy, AppliedTrunk, Call, CallbackOutcome, Calling, Cost, DetailGroup, Detection, DetectionMode,
    Directive, EventSocket, Events, Facts, Failure, Field, FieldProblem, FieldValue, FrameProblem, HangUpOutcome,
    Interruption, Io, Leg, MediaAddress, MediaEvent, MediaFrame, Message, Numbers, Outbound, Outcome, Ownership,
    Placed, Proof, Provider, ProviderSpec, Provisioning, PublicUrls, Recognition, Rejection, RejectionReason, Reply,
    Response, Saving, Setup, StatusReport, Step, Synchronisation, Transfer, TransferLeg, Trunk, Trunks, Webhook,
};

/// Makes a component of a type that implements [`Provider`]: `export!(Example);`, or with the abilities that it
/// implements, `export!(Example: calling, numbers);`. Only the abilities named here are exported, and only on
/// WebAssembly; elsewhere the macro checks that the traits are implemented, so that tests run natively.
#[macro_export]
macro_rules! export {
    ($provider:ident $(: $($ability:ident),+ $(,)?)?) => {
        const _: () = {
            const fn implements<T: $crate::Provider>() {}
            implements::<$provider>();
        };
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::provider::export_provider!($provider with_types_in $crate::bindings::provider);
        $($($crate::__export_ability!($ability $provider);)+)?
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_ability {
    (calling $provider:ident) => { $crate::__export_ability!(@ calling Calling $provider); };
    (detection $provider:ident) => { $crate::__export_ability!(@ detection Detection $provider); };
    (numbers $provider:ident) => { $crate::__export_ability!(@ numbers Numbers $provider); };
    (transfer $provider:ident) => { $crate::__export_ability!(@ transfer Transfer $provider); };
    (setup $provider:ident) => { $crate::__export_ability!(@ setup Setup $provider); };
    (trunks $provider:ident) => { $crate::__export_ability!(@ trunks Trunks $provider); };
    (events $provider:ident) => { $crate::__export_ability!(@ events Events $provider); };
    (@ $module:ident $ability:ident $provider:ident) => {
        const _: () = {
            const fn implements<T: $crate::$ability>() {}
            implements::<$provider>();
        };
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::$module::export_ability!($provider with_types_in $crate::bindings::$module);
    };
    ($other:ident $provider:ident) => {
        compile_error!(concat!(
            "the abilities are calling, detection, numbers, transfer, setup, trunks and events, not ",
            stringify!($other)
        ));
    };
}

impl<P: Provider> descriptor::Guest for P {
    fn spec() -> ProviderSpec {
        P::spec()
    }

    fn config_loader(credentials: String) -> Result<String, Vec<FieldProblem>> {
        let shape = || {
            vec![FieldProblem::new(
                "",
                "The settings are not a JSON object that can be kept.",
            )]
        };
        let credentials: Value = serde_json::from_str(&credentials).map_err(|_| shape())?;
        serde_json::to_string(&P::config_loader(credentials)?).map_err(|_| shape())
    }
}

impl<P: Provider> webhook::Guest for P {
    fn recognise(webhook: Webhook) -> Option<Recognition> {
        P::recognise(&webhook)
    }

    fn verify_signature(config: String, webhook: Webhook) -> Result<Vec<Proof>, Rejection> {
        let config = serde_json::from_str(&config).map_err(|_| Rejection::new(UNREADABLE_CODE, UNREADABLE))?;
        P::verify_signature(&config, &webhook)
    }

    fn handle_callback(
        config: String,
        route: String,
        call: Call,
        webhook: Webhook,
        replies: Vec<Reply>,
    ) -> Result<CallbackOutcome, Interruption> {
        operate::<P, _>(&config, replies, |config, io| {
            P::handle_callback(config, &route, &call, &webhook, io)
        })
    }
}

impl<P: Provider> answer::Guest for P {
    fn answer_markup(
        config: String,
        call: Call,
        media: MediaAddress,
        webhook: Option<Webhook>,
        replies: Vec<Reply>,
    ) -> Result<Answered, Interruption> {
        operate::<P, _>(&config, replies, |config, io| {
            P::answer_markup(config, &call, &media, webhook.as_ref(), io)
        })
    }

    fn rejection_markup(reason: RejectionReason) -> Response {
        P::rejection_markup(reason)
    }

    fn reject_call(
        config: String,
        call: Call,
        reason: RejectionReason,
        replies: Vec<Reply>,
    ) -> Result<Response, Interruption> {
        operate::<P, _>(&config, replies, |config, io| P::reject_call(config, &call, reason, io))
    }
}

impl<P: Provider> media::Guest for P {
    type Leg = LegCell<P>;
}

/// A leg behind the shared reference that a resource gets. `None` when the configuration could not be read, which a
/// constructor has no way to say.
#[expect(
    missing_debug_implementations,
    reason = "an author's leg need not have one, and nobody sees this type"
)]
pub struct LegCell<P: Provider>(RefCell<Option<P::Leg>>);

impl<P: Provider> media::GuestLeg for LegCell<P> {
    fn new(config: String, call: Call) -> Self {
        let config = serde_json::from_str(&config).ok();
        Self(RefCell::new(
            config.map(|config: P::Config| P::Leg::open(&config, &call)),
        ))
    }

    fn deserialize_frame(&self, message: Message) -> Vec<MediaEvent> {
        match &mut *self.0.borrow_mut() {
            Some(leg) => leg.deserialize_frame(message),
            None => vec![MediaEvent::malformed("the configuration cannot be read")],
        }
    }

    fn serialize_frame(&self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        match &mut *self.0.borrow_mut() {
            Some(leg) => leg.serialize_frame(frame),
            None => Err(FrameProblem::NotStarted),
        }
    }
}

impl<P: Calling> calling_export::Guest for P {
    fn place_call(config: String, call: Call, outbound: Outbound, replies: Vec<Reply>) -> Result<Placed, Interruption> {
        operate::<P, _>(&config, replies, |config, io| {
            P::place_call(config, &call, &outbound, io)
        })
    }

    fn hang_up(config: String, call: Call, replies: Vec<Reply>) -> Result<HangUpOutcome, Interruption> {
        operate::<P, _>(&config, replies, |config, io| P::hang_up(config, &call, io))
    }

    fn fetch_status(config: String, call: Call, replies: Vec<Reply>) -> Result<StatusReport, Interruption> {
        operate::<P, _>(&config, replies, |config, io| P::fetch_status(config, &call, io))
    }

    fn fetch_cost(config: String, call: Call, replies: Vec<Reply>) -> Result<Option<Cost>, Interruption> {
        operate::<P, _>(&config, replies, |config, io| P::fetch_cost(config, &call, io))
    }
}

impl<P: Detection> detection_export::Guest for P {
    fn detection_modes(config: String) -> Vec<DetectionMode> {
        serde_json::from_str(&config)
            .map(|config| P::detection_modes(&config))
            .unwrap_or_default()
    }

    fn detection_result(config: String, webhook: Webhook) -> Option<AnsweredBy> {
        P::detection_result(&serde_json::from_str(&config).ok()?, &webhook)
    }
}

impl<P: Numbers> numbers_export::Guest for P {
    fn validate_number(config: String, address: String, replies: Vec<Reply>) -> Result<Ownership, Interruption> {
        operate::<P, _>(&config, replies, |config, io| P::validate_number(config, &address, io))
    }

    fn provision_number(config: String, address: String, replies: Vec<Reply>) -> Result<Provisioning, Interruption> {
        operate::<P, _>(&config, replies, |config, io| P::provision_number(config, &address, io))
    }

    fn configure_inbound(
        config: String,
        address: String,
        webhook_url: String,
        attach: bool,
        replies: Vec<Reply>,
    ) -> Result<Synchronisation, Interruption> {
        operate::<P, _>(&config, replies, |config, io| {
            P::configure_inbound(config, &address, &webhook_url, attach, io)
        })
    }
}

impl<P: Transfer> transfer_export::Guest for P {
    fn dial_destination(
        config: String,
        call: Call,
        leg: TransferLeg,
        replies: Vec<Reply>,
    ) -> Result<Placed, Interruption> {
        operate::<P, _>(&config, replies, |config, io| {
            P::dial_destination(config, &call, &leg, io)
        })
    }

    fn connect(config: String, call: Call, leg: TransferLeg, replies: Vec<Reply>) -> Result<(), Interruption> {
        operate::<P, _>(&config, replies, |config, io| P::connect(config, &call, &leg, io))
    }

    fn cancel(
        config: String,
        call: Call,
        leg: TransferLeg,
        replies: Vec<Reply>,
    ) -> Result<HangUpOutcome, Interruption> {
        operate::<P, _>(&config, replies, |config, io| P::cancel(config, &call, &leg, io))
    }

    fn handle_transfer_callback(
        config: String,
        route: String,
        call: Call,
        leg: TransferLeg,
        webhook: Webhook,
        replies: Vec<Reply>,
    ) -> Result<CallbackOutcome, Interruption> {
        operate::<P, _>(&config, replies, |config, io| {
            P::handle_transfer_callback(config, &route, &call, &leg, &webhook, io)
        })
    }
}

impl<P: Setup> setup_export::Guest for P {
    fn prepare_credentials(
        config: String,
        saving: Saving,
        replies: Vec<Reply>,
    ) -> Result<Vec<FieldValue>, Interruption> {
        operate::<P, _>(&config, replies, |config, io| {
            P::prepare_credentials(config, &saving, io)
        })
    }

    fn checklist(config: String, facts: Facts) -> Vec<Step> {
        match serde_json::from_str(&config) {
            Ok(config) => P::checklist(&config, &facts),
            Err(_) => vec![Step {
                key: "configuration".to_owned(),
                title: "Save the configuration again".to_owned(),
                description: UNREADABLE.to_owned(),
                complete: false,
                blocks_outbound: true,
            }],
        }
    }

    fn connectivity_details(config: String, urls: PublicUrls) -> Vec<DetailGroup> {
        serde_json::from_str(&config)
            .map(|config| P::connectivity_details(&config, &urls))
            .unwrap_or_default()
    }
}

impl<P: Trunks> trunks_export::Guest for P {
    fn trunk_fields() -> Vec<Field> {
        P::trunk_fields()
    }

    fn apply_trunk(config: String, trunk: Trunk, replies: Vec<Reply>) -> Result<AppliedTrunk, Interruption> {
        operate::<P, _>(&config, replies, |config, io| P::apply_trunk(config, &trunk, io))
    }

    fn remove_trunk(config: String, trunk: Trunk, replies: Vec<Reply>) -> Result<(), Interruption> {
        operate::<P, _>(&config, replies, |config, io| P::remove_trunk(config, &trunk, io))
    }
}

impl<P: Events> events_export::Guest for P {
    fn endpoint(config: String) -> Result<EventSocket, Failure> {
        let config = serde_json::from_str(&config).map_err(|_| Failure::internal(UNREADABLE_CODE, UNREADABLE))?;
        P::endpoint(&config)
    }

    fn handle_event(
        config: String,
        message: String,
        received_at: u64,
        replies: Vec<Reply>,
    ) -> Result<Vec<Directive>, Interruption> {
        operate::<P, _>(&config, replies, |config, io| {
            P::handle_event(config, &message, received_at, io)
        })
    }
}

const UNREADABLE_CODE: &str = "config-unreadable";
const UNREADABLE: &str =
    "The stored configuration has a shape that this version of the provider does not know; save it again.";

// Pointers of 64 bits make it large; a component has those of 32.
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(clippy::result_large_err, reason = "the generated traits return it unboxed")
)]
fn operate<P: Provider, T>(
    config: &str,
    replies: Vec<Reply>,
    operation: impl FnOnce(&P::Config, &mut Io) -> Outcome<T>,
) -> Result<T, Interruption> {
    let config = serde_json::from_str(config)
        .map_err(|_| Interruption::Failed(Failure::internal(UNREADABLE_CODE, UNREADABLE)))?;
    let mut io = Io::new(replies);
    let outcome = operation(&config, &mut io);
    io.finish(outcome).map_err(|interrupted| *interrupted)
}
