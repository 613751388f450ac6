//! The REST API under `/api/v1`: configurations, numbers, agents and calls of the organisation that an API key acts for.
//!
//! Handlers check what a client sent, and say all that is wrong with it at once, by field; the rest is the store's and that
//! of [`Operations`], which is whatever runs calls. Whatever belongs to another organisation does not exist (404, never 403).
//! Secrets go in and never come out: what is shown of them is a mask, and a mask that is sent back means "as it was".
//!
//! Webhooks and media sockets are not here: carriers have no API key.

#![allow(unused_qualifications, reason = "what `utoipa::path` generates is qualified")]

mod access;
mod agents;
mod audit;
mod authentication;
mod calls;
mod configurations;
mod error;
mod etag;
mod form;
mod idempotency;
mod initiate;
mod inspection;
mod json;
mod keys;
mod limits;
mod live;
mod mask;
mod numbers;
mod openapi;
mod operator;
mod page;
mod path;
mod problem;
mod providers;
mod readiness;
mod reference;
mod routes;
mod saving;
mod schema;
mod session;
pub(crate) mod timestamp;
mod transfers;
mod trunks;
mod warnings;
mod webhook_endpoints;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::{Extension, Router, middleware};
use strowger_call::{Address, TransferFailure, TransferId};
use strowger_host::operation::{
    AppliedTrunk, DetailGroup, DetectionMode, Failure, Occasion, Ownership, SetField, SetupStep, Synchronisation, Trunk,
};
use strowger_host::spec::Field;
use strowger_host::{Ability, Credentials, FieldProblem, ProviderSpec};
use thiserror::Error;
use tracing::Instrument as _;

use crate::admission::Slots;
use crate::agent::TransferRequest;
use crate::catalogue::Catalogue;
use crate::egress::IpNetwork;
use crate::exchange::EventSocketState;
use crate::install::Installer;
use crate::live::LiveCalls;
use crate::store::{
    Agent, CallRecord, Configuration, ConfigurationFacts, ConfigurationId, OrganizationId, PhoneNumber, Store,
    StoreError, UnixMs,
};
use crate::waveform::Waveform;

pub use self::error::ApiError;
use self::reference::Reference;
use self::routes::Routes;
pub(crate) use self::timestamp::rfc3339;

/// The largest body of a request, in bytes: a configuration with every field at its longest is smaller.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What the API must know of a loaded provider.
#[derive(Debug, Clone)]
pub struct ProviderView {
    /// Its frozen spec.
    pub spec: ProviderSpec,
    /// What it exports beyond what every provider does.
    pub abilities: Vec<Ability>,
    /// The settings of a trunk; none without the ability.
    pub trunk_fields: Vec<Field>,
    /// Digest of its component.
    pub digest: String,
}

impl ProviderView {
    fn can(&self, ability: Ability) -> bool {
        self.abilities.contains(&ability)
    }
}

/// An outbound call that a client asks for. Everything in it belongs to the organisation, and the provider can place calls.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// Whose call.
    pub organization: OrganizationId,
    /// Over which account. Active.
    pub configuration: Configuration,
    /// Who talks.
    pub agent: Agent,
    /// Who is called.
    pub callee: Address,
    /// Which number of ours is shown. Active, and of that configuration.
    pub caller_id: Option<PhoneNumber>,
    /// How long it may ring, in seconds: 5 to 120.
    pub ring_timeout_s: u16,
    /// Whether the carrier is to tell if a machine answers.
    pub detect_machine: Option<DetectionMode>,
}

/// Why an operation that involves a provider was not done. Each says whose fault it is.
#[derive(Debug, Error)]
pub enum OperationError {
    /// The provider's own check of a configuration found problems. The user's fault.
    #[error("the provider refuses the configuration")]
    Fields(Vec<FieldProblem>),
    /// The provider's verdict, for the user.
    #[error("{}: {}", .0.code, .0.message)]
    Failed(Failure),
    /// As many calls are live as may be. Nobody's fault.
    #[error("as many calls are in progress as may be; try again when one has ended")]
    AtCapacity,
    /// A limit of the organisation does not allow the call.
    #[error(transparent)]
    Refused(#[from] crate::admission::Refusal),
    /// The organisation's providers have used up what they may use together.
    #[error(transparent)]
    OverBudget(#[from] strowger_host::OverBudget),
    /// The organisation's providers keep as much as they may.
    #[error(transparent)]
    KeepsTooMuch(#[from] crate::budget::KeepsTooMuch),
    /// As many streams of live calls are open as may be.
    #[error("{} streams of live calls are open; close one", crate::live::STREAMS_MAX)]
    TooManyStreams,
    /// The gateway is stopping and takes no calls.
    #[error("the gateway is stopping; try again when it is back")]
    Stopping,
    /// No component for this configuration's provider is loaded. The operator's fault.
    #[error("no provider of this name is loaded; the operator must add its component")]
    ProviderMissing,
    /// The provider's component failed. Its author's fault.
    #[error("the provider failed ({code})")]
    ProviderFault {
        /// What it did, in a word.
        code: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Ours. The text is for the log.
    #[error("internal error: {0}")]
    Internal(String),
}

/// What the API asks of whatever runs calls. Implementations are cheap to share; every method may be called at any time.
pub trait Operations: Send + Sync + 'static {
    /// The store.
    fn store(&self) -> &Store;

    /// Wall-clock time.
    fn now(&self) -> UnixMs;

    /// Where clients reach this gateway: scheme and authority, no trailing slash.
    fn public_base(&self) -> &str;

    /// The catalogue of providers. Whoever changes it has it followed with [`Self::refresh_providers`].
    fn catalogue(&self) -> &Catalogue;

    /// Examines components before they come into the catalogue.
    fn installer(&self) -> &Installer;

    /// Follows the catalogue: when this returns, new calls get what it says.
    fn refresh_providers(&self) -> impl Future<Output = ()> + Send;

    /// The live versions of the providers that exist for an organisation, sorted by name.
    fn providers(&self, organization: &OrganizationId) -> Vec<ProviderView>;

    /// The live version of the provider of this name, if it exists for the organisation.
    fn provider(&self, organization: &OrganizationId, name: &str) -> Option<ProviderView>;

    /// Lets the provider check credentials that fit its fields.
    fn check_credentials(
        &self,
        organization: &OrganizationId,
        provider: &str,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<(), OperationError>> + Send;

    /// Lets the provider make at its carrier what credentials need that are about to be stored, under this configuration's
    /// id. Asked only of providers that can. What is returned is not checked against the spec.
    fn prepare_credentials(
        &self,
        organization: &OrganizationId,
        provider: &str,
        configuration: &ConfigurationId,
        credentials: &Credentials,
        occasion: Occasion,
    ) -> impl Future<Output = Result<Vec<SetField>, OperationError>> + Send;

    /// The provider's steps towards calls that work. Asked only of providers that can.
    fn checklist(
        &self,
        configuration: &Configuration,
        facts: ConfigurationFacts,
    ) -> impl Future<Output = Result<Vec<SetupStep>, OperationError>> + Send;

    /// What a person must enter elsewhere. Asked only of providers that can.
    fn connectivity_details(
        &self,
        configuration: &Configuration,
    ) -> impl Future<Output = Result<Vec<DetailGroup>, OperationError>> + Send;

    /// Something about the configurations was written: whoever keeps something open for them must look again.
    fn configurations_changed(&self);

    /// Makes the carrier's trunk as described. Asked only of providers that can. What is returned is not checked against the
    /// trunk fields.
    fn apply_trunk(
        &self,
        configuration: &Configuration,
        trunk: Trunk,
    ) -> impl Future<Output = Result<AppliedTrunk, OperationError>> + Send;

    /// Takes a trunk out of service. Asked only of providers that can.
    fn remove_trunk(
        &self,
        configuration: &Configuration,
        trunk: Trunk,
    ) -> impl Future<Output = Result<(), OperationError>> + Send;

    /// Whether the configuration's account owns a number. Asked only of providers that can tell.
    fn validate_number(
        &self,
        configuration: &Configuration,
        address: &Address,
    ) -> impl Future<Output = Result<Ownership, OperationError>> + Send;

    /// Points a number's inbound calls at this gateway, or away from it. Asked only of providers that can.
    fn configure_inbound(
        &self,
        configuration: &Configuration,
        address: &Address,
        attach: bool,
    ) -> impl Future<Output = Result<Synchronisation, OperationError>> + Send;

    /// Records an outbound call and places it. Without an `Ok` no call is in progress; there may be the record of one that
    /// failed.
    fn place_call(&self, request: CallRequest) -> impl Future<Output = Result<CallRecord, OperationError>> + Send;

    /// Ends a call that is not over.
    fn hang_up(&self, call: &CallRecord) -> impl Future<Output = Result<(), OperationError>> + Send;

    /// What calls are admitted with.
    fn slots(&self) -> &Slots;

    /// Whether calls of an organisation may go to this address at all.
    fn permit_destination(
        &self,
        organization: &OrganizationId,
        destination: &Address,
    ) -> impl Future<Output = Result<(), OperationError>> + Send;

    /// Connects the caller of a live call with somebody else; the transfer's identifier, or why it cannot begin.
    fn transfer(
        &self,
        call: &CallRecord,
        request: TransferRequest,
    ) -> impl Future<Output = Result<TransferId, TransferFailure>> + Send;

    /// Withdraws a transfer that was not answered; `false` when there is none.
    fn cancel_transfer(&self, call: &CallRecord) -> impl Future<Output = bool> + Send;

    /// How the event socket of a configuration fares; nothing when this gateway keeps none for it.
    fn event_socket(&self, configuration: &ConfigurationId) -> Option<EventSocketState>;

    /// Shows live calls to those who watch them.
    fn live(&self) -> &LiveCalls;

    /// Networks that are not public and that may be reached all the same.
    fn allow_networks(&self) -> &[IpNetwork];

    /// The file of a call's recording, if it has one: WAV.
    fn recording_file(&self, call: &CallRecord) -> Option<PathBuf>;

    /// The sound of a call's recording as a picture shows it, in at most so many points; none without a recording.
    fn waveform(
        &self,
        call: &CallRecord,
        points: usize,
    ) -> impl Future<Output = Result<Option<Waveform>, OperationError>> + Send;

    /// The picture of a call that is over, if it has one: a standalone SVG document.
    fn timeline_svg(&self, call: &CallRecord) -> impl Future<Output = Option<String>> + Send;
}

/// Runs something to its end even when the client goes away meanwhile: what was made at a carrier must be written down.
async fn unbroken<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    let work = tokio::spawn(work.instrument(tracing::Span::current()));
    work.await
        .unwrap_or_else(|error| Err(OperationError::Internal(error.to_string()).into()))
}

/// Every operation, with what is written down about it.
fn routes<O: Operations>() -> Routes<O> {
    let routes = Routes::new()
        .add(providers::__path_metadata, providers::metadata::<O>)
        .add(providers::__path_list, providers::list::<O>)
        .add(providers::__path_install, providers::install::<O>)
        .add(providers::__path_roll_back, providers::roll_back::<O>)
        .add(providers::__path_remove, providers::remove::<O>)
        .add(providers::__path_adopt, providers::adopt::<O>)
        .add(providers::__path_canary, providers::canary::<O>)
        .add(configurations::__path_list, configurations::list::<O>)
        .add(configurations::__path_create, configurations::create::<O>)
        .add(configurations::__path_read, configurations::read::<O>)
        .add(configurations::__path_update, configurations::update::<O>)
        .add(configurations::__path_delete, configurations::delete::<O>)
        .add(configurations::__path_set_default, configurations::set_default::<O>)
        .add(configurations::__path_reactivate, configurations::reactivate::<O>)
        .add(trunks::__path_list, trunks::list::<O>)
        .add(trunks::__path_create, trunks::create::<O>)
        .add(trunks::__path_read, trunks::read::<O>)
        .add(trunks::__path_update, trunks::update::<O>)
        .add(trunks::__path_delete, trunks::delete::<O>)
        .add(numbers::__path_list, numbers::list::<O>)
        .add(numbers::__path_create, numbers::create::<O>)
        .add(numbers::__path_read, numbers::read::<O>)
        .add(numbers::__path_update, numbers::update::<O>)
        .add(numbers::__path_delete, numbers::delete::<O>)
        .add(numbers::__path_set_default, numbers::set_default::<O>)
        .add(agents::__path_list, agents::list::<O>)
        .add(agents::__path_create, agents::create::<O>)
        .add(agents::__path_read, agents::read::<O>)
        .add(agents::__path_update, agents::update::<O>)
        .add(agents::__path_delete, agents::delete::<O>)
        .add(initiate::__path_initiate, initiate::initiate::<O>)
        .add(calls::__path_list, calls::list::<O>)
        .add(calls::__path_read, calls::read::<O>)
        .add(calls::__path_events, calls::events::<O>)
        .add(calls::__path_hang_up, calls::hang_up::<O>)
        .add(transfers::__path_request, transfers::request::<O>)
        .add(transfers::__path_cancel, transfers::cancel::<O>)
        .add(calls::__path_recording, calls::recording::<O>)
        .add(calls::__path_timeline, calls::timeline::<O>)
        .add(inspection::__path_waveform, inspection::waveform::<O>)
        .add(inspection::__path_invocations, inspection::invocations::<O>)
        .add(keys::__path_organization, keys::organization::<O>)
        .add(keys::__path_list, keys::list::<O>)
        .add(keys::__path_create, keys::create::<O>)
        .add(keys::__path_revoke, keys::revoke::<O>)
        .add(session::__path_read, session::read::<O>)
        .add(session::__path_sign_in, session::sign_in::<O>)
        .add(session::__path_sign_out, session::sign_out::<O>)
        .add(audit::__path_list, audit::list::<O>)
        .add(audit::__path_export, audit::export::<O>)
        .add(reference::__path_document, reference::document)
        .add(reference::__path_reference, reference::reference)
        .add(warnings::__path_list, warnings::list::<O>)
        .add(limits::__path_read, limits::read::<O>)
        .add(limits::__path_usage, limits::usage::<O>)
        .add(live::__path_stream, live::stream::<O>)
        .add(webhook_endpoints::__path_list, webhook_endpoints::list::<O>)
        .add(webhook_endpoints::__path_create, webhook_endpoints::create::<O>)
        .add(webhook_endpoints::__path_read, webhook_endpoints::read::<O>)
        .add(webhook_endpoints::__path_update, webhook_endpoints::update::<O>)
        .add(webhook_endpoints::__path_delete, webhook_endpoints::delete::<O>)
        .add(webhook_endpoints::__path_rotate, webhook_endpoints::rotate::<O>)
        .add(webhook_endpoints::__path_test, webhook_endpoints::test::<O>)
        .add(webhook_endpoints::__path_deliveries, webhook_endpoints::deliveries::<O>)
        .add(webhook_endpoints::__path_resend, webhook_endpoints::resend::<O>)
        .add(
            webhook_endpoints::__path_resend_dead,
            webhook_endpoints::resend_dead::<O>,
        );
    operator_routes(routes)
}

/// What is the operator's. Providers and the audit log are the same things as an organisation's, for the installation.
fn operator_routes<O: Operations>(routes: Routes<O>) -> Routes<O> {
    const PROVIDERS: &str = "/api/v1/operator/telephony-providers";
    const LOG: &str = "/api/v1/operator/audit-log";
    let provider = |rest: &str| format!("{PROVIDERS}/{{provider}}{rest}");
    routes
        .add(operator::__path_status, operator::status::<O>)
        .add(operator::__path_organizations, operator::organizations::<O>)
        .add(operator::__path_create_organization, operator::create_organization::<O>)
        .add(operator::__path_keys, operator::keys::<O>)
        .add(operator::__path_create_key, operator::create_key::<O>)
        .add(limits::__path_read_for_operator, limits::read_for_operator::<O>)
        .add(limits::__path_set, limits::set::<O>)
        .add_for_operator(
            PROVIDERS,
            "listInstalledProviders",
            providers::__path_list,
            providers::list::<O>,
        )
        .add_for_operator(
            PROVIDERS,
            "installProviderForAll",
            providers::__path_install,
            providers::install::<O>,
        )
        .add_for_operator(
            &provider("/rollback"),
            "rollBackProviderForAll",
            providers::__path_roll_back,
            providers::roll_back::<O>,
        )
        .add_for_operator(
            &provider("/versions/{digest}"),
            "removeVersionForAll",
            providers::__path_remove,
            providers::remove::<O>,
        )
        .add_for_operator(
            &provider("/versions/{digest}/adopt"),
            "adoptVersionForAll",
            providers::__path_adopt,
            providers::adopt::<O>,
        )
        .add_for_operator(
            &provider("/versions/{digest}/canary"),
            "setCanaryForAll",
            providers::__path_canary,
            providers::canary::<O>,
        )
        .add_for_operator(
            LOG,
            "listInstallationAuditEntries",
            audit::__path_list,
            audit::list::<O>,
        )
        .add_for_operator(
            &format!("{LOG}/export"),
            "exportInstallationAuditLog",
            audit::__path_export,
            audit::export::<O>,
        )
}

/// The routes of the API, and the answer to whatever no route of the server leads to.
pub fn router<O: Operations>(operations: Arc<O>) -> Router {
    let (router, document) = routes::<O>().finish();
    router
        .layer(Extension(Reference::new(&document)))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::method_not_allowed)
        // Inside of the layer that lets requests in: a key of a stranger's is none.
        .route_layer(middleware::from_fn_with_state(
            operations.clone(),
            idempotency::once::<O>,
        ))
        // Around every route above, whatever is added to them.
        .route_layer(middleware::from_fn_with_state(
            access::Gate::new(operations.clone()),
            access::guard::<O>,
        ))
        .layer(Extension(Arc::new(access::Limiter::default())))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(operations)
}
