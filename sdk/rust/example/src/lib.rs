//! Example Telecom as a Strowger provider: the sample of the Rust SDK.
//!
//! The carrier exists on paper only (`sdk/README.md`); the samples of the other languages integrate the same one and give
//! the same bytes. The modules follow a call: `webhooks` recognises and proves what the carrier posts and reads what it
//! tells, `markup` writes its XML, `media` wraps audio for its media socket, `calls` and `numbers` use its REST API
//! through `api`.

mod api;
mod calls;
mod markup;
mod media;
mod numbers;
mod webhooks;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strowger_sdk::{
    Answered, Call, CallbackOutcome, Calling, Cost, Encoding, Field, FieldProblem, HangUpOutcome, Io, MediaAddress,
    MediaProfile, Numbers, Outbound, Outcome, Ownership, Placed, Proof, Provider, ProviderSpec, Recognition, Rejection,
    RejectionReason, Response, Route, Sealed, StatusReport, Synchronisation, Webhook,
};

pub use crate::media::MediaStream;

/// The provider; its functions are in the modules.
#[derive(Debug)]
pub struct ExampleTelecom;

/// What every operation gets. The two secrets are references that stand for them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    account: String,
    api_key: Sealed,
    signing_secret: Sealed,
}

impl Provider for ExampleTelecom {
    type Config = Config;
    type Leg = MediaStream;

    fn spec() -> ProviderSpec {
        let media = MediaProfile::new(Encoding::Pcmu, 8000)
            .format(Encoding::L16Le, 16_000)
            .echoes_marks();
        ProviderSpec::new("example-telecom", "Example Telecom", "0.1.0", media)
            .field(Field::text("account", "Account").required())
            .field(Field::password("api_key", "API key").required().sensitive())
            .field(
                Field::password("signing_secret", "Signing secret")
                    .required()
                    .sensitive(),
            )
            .account_id_field("account")
            .route(Route::answer("answer"))
            .route(Route::callback("status"))
            .egress_host("api.example-telecom.example")
    }

    fn config_loader(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
        let problem = || {
            vec![FieldProblem::new(
                "account",
                "An account is 4 to 32 capital letters and digits, as shown in the portal.",
            )]
        };
        // That all three are there is validated before this is called.
        let config: Config = serde_json::from_value(credentials).map_err(|_| problem())?;
        let account = config.account.as_bytes();
        if !(4..=32).contains(&account.len()) || !account.iter().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9')) {
            return Err(problem());
        }
        Ok(config)
    }

    fn recognise(webhook: &Webhook) -> Option<Recognition> {
        webhooks::recognise(webhook)
    }

    fn verify_signature(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
        webhooks::proofs(config, webhook)
    }

    fn handle_callback(_: &Config, _: &str, _: &Call, webhook: &Webhook, _: &mut Io) -> Outcome<CallbackOutcome> {
        Ok(webhooks::read_status(webhook))
    }

    fn answer_markup(
        _: &Config,
        call: &Call,
        media: &MediaAddress,
        webhook: Option<&Webhook>,
        _: &mut Io,
    ) -> Outcome<Answered> {
        Ok(Answered {
            response: markup::stream(&media.url),
            events: webhook
                .and_then(|webhook| webhooks::identify(call, webhook))
                .into_iter()
                .collect(),
        })
    }

    fn rejection_markup(reason: RejectionReason) -> Response {
        markup::reject(reason)
    }
}

impl Calling for ExampleTelecom {
    fn place_call(config: &Config, call: &Call, outbound: &Outbound, io: &mut Io) -> Outcome<Placed> {
        calls::place(config, call, outbound, io)
    }

    fn hang_up(config: &Config, call: &Call, io: &mut Io) -> Outcome<HangUpOutcome> {
        calls::hang_up(config, call, io)
    }

    fn fetch_status(config: &Config, call: &Call, io: &mut Io) -> Outcome<StatusReport> {
        calls::status(config, call, io)
    }

    fn fetch_cost(config: &Config, call: &Call, io: &mut Io) -> Outcome<Option<Cost>> {
        calls::cost(config, call, io)
    }
}

impl Numbers for ExampleTelecom {
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
        numbers::configure(config, address, webhook_url, attach, io)
    }
}

strowger_sdk::export!(ExampleTelecom: calling, numbers);
