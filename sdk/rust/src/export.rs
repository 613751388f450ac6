//! Between the generated bindings and the traits that authors implement.

use std::cell::RefCell;

use serde_json::Value;

use crate::bindings::calling::exports::strowger::provider::calling as calling_export;
use crate::bindings::detection::exports::strowger::provider::detection as detection_export;
use crate::bindings::numbers::exports::strowger::provider::numbers as numbers_export;
use crate::bindings::provider::exports::strowger::provider::{answer, descriptor, media, webhook};
use crate::{
    Answered, AnsweredBy, Call, CallbackOutcome, Calling, Cost, Detection, DetectionMode, Failure, FieldProblem,
    FrameProblem, HangUpOutcome, Interruption, Io, Leg, MediaAddress, MediaEvent, MediaFrame, Message, Numbers,
    Outbound, Outcome, Ownership, Placed, Proof, Provider, ProviderSpec, Provisioning, Recognition, Rejection,
    RejectionReason, Reply, Response, StatusReport, Synchronisation, Webhook,
};

/// Makes a component of a type that implements [`Provider`]: `export!(Example);`, or with the abilities that it
/// implements, `export!(Example: calling, detection, numbers);`. Only the abilities named here are exported, and only on
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
    (calling $provider:ident) => {
        const _: () = {
            const fn implements<T: $crate::Calling>() {}
            implements::<$provider>();
        };
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::calling::export_calling!($provider with_types_in $crate::bindings::calling);
    };
    (detection $provider:ident) => {
        const _: () = {
            const fn implements<T: $crate::Detection>() {}
            implements::<$provider>();
        };
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::detection::export_detection!($provider with_types_in $crate::bindings::detection);
    };
    (numbers $provider:ident) => {
        const _: () = {
            const fn implements<T: $crate::Numbers>() {}
            implements::<$provider>();
        };
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::numbers::export_numbers!($provider with_types_in $crate::bindings::numbers);
    };
    ($other:ident $provider:ident) => {
        compile_error!(concat!("the abilities are calling, detection and numbers, not ", stringify!($other)));
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
        webhook: Webhook,
        replies: Vec<Reply>,
    ) -> Result<Answered, Interruption> {
        operate::<P, _>(&config, replies, |config, io| {
            P::answer_markup(config, &call, &media, &webhook, io)
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
