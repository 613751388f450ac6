//! Telephony configurations.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::{Map, Value};
use strowger_host::operation::{DetailGroup, Occasion};
use strowger_host::spec::Connectivity;
use strowger_host::{Ability, Credentials};
use utoipa::ToSchema;

use super::authentication::Caller;
use super::etag::{Conditions, IfMatch, IfNoneMatch, Tagged};
use super::form::Form;
use super::idempotency::IdempotencyKey;
use super::page::{Asked, PageQuery};
use super::path::Path;
use super::providers::Connectivity as ConnectivityName;
use super::readiness::{Readiness, SetupChecklist};
use super::saving::{self, Prepared};
use super::schema::{FreeObject, Id, Message, Timestamp};
use super::trunks::{self, TrunkView};
use super::{ApiError, OperationError, Operations, ProviderView, mask, unbroken};
use crate::exchange::{EventSocketPhase, EventSocketState};
use crate::store::{
    Configuration, ConfigurationChange, ConfigurationFacts, ConfigurationId, NewConfiguration, OrganizationId,
};

const NAME_CHARS_MAX: usize = 64;
const PROVIDER_CHARS_MAX: usize = 32;

/// A configuration in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigurationSummary {
    #[schema(value_type = Id)]
    id: ConfigurationId,
    /// Unique in the organisation.
    name: String,
    /// Name of the provider.
    provider: String,
    /// Null while the provider is not there.
    #[schema(value_type = Option<ConnectivityName>)]
    connectivity: Option<Connectivity>,
    is_default_outbound: bool,
    /// Whether it was parked, because it can never work as it is.
    inactive: bool,
    inactive_since: Option<Timestamp>,
    inactive_reason: Option<String>,
    /// Active numbers.
    #[schema(minimum = 0)]
    phone_number_count: u32,
    is_ready_for_outbound: bool,
    outbound_blocked_reason: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// An account at a carrier.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Configuration)]
pub(super) struct ConfigurationDetail {
    #[serde(flatten)]
    summary: ConfigurationSummary,
    /// What was entered, and what the provider added. Sensitive values are masked.
    #[schema(value_type = FreeObject)]
    credentials: Map<String, Value>,
    /// Null when the provider cannot tell.
    setup_checklist: Option<SetupChecklist>,
    /// What a person enters elsewhere; null when the provider cannot tell.
    #[schema(value_type = Option<Vec<ConnectivityDetails>>)]
    connectivity_details: Option<Vec<DetailGroup>>,
    /// The same for carriers that are reached over SIP, else null.
    #[schema(value_type = Option<Vec<ConnectivityDetails>>)]
    sip_connectivity: Option<Vec<DetailGroup>>,
    /// For carriers that tell what happens over a socket of ours.
    event_socket: Option<EventSocketView>,
    supports_trunks: bool,
    trunks: Vec<TrunkView>,
}

/// Details that belong together.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `DetailGroup`")]
struct ConnectivityDetails {
    title: String,
    /// Where they are to be entered.
    description: Option<String>,
    details: Vec<ConnectivityDetail>,
}

/// Something to be copied elsewhere.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `Detail`")]
struct ConnectivityDetail {
    label: String,
    /// May have several lines.
    value: String,
}

/// How an event socket fares.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventSocket)]
struct EventSocketView {
    state: EventSocketPhase,
    since: Option<Timestamp>,
    last_failure: Option<EventSocketFailureView>,
}

/// Why there was no event socket.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventSocketFailure)]
struct EventSocketFailureView {
    code: String,
    message: String,
    at: Timestamp,
}

/// A page of configurations: the default first, then the oldest.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigurationList {
    configurations: Vec<ConfigurationSummary>,
    next_cursor: Option<String>,
}

/// A configuration to make.
#[derive(ToSchema)]
#[schema(as = NewConfiguration)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `create` reads")]
pub(super) struct NewConfigurationForm {
    /// Unique in the organisation.
    #[schema(
        max_length = 64,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "Main"
    )]
    name: String,
    /// Takes the default from the configuration that has it.
    #[schema(default = false)]
    is_default_outbound: Option<bool>,
    config: ProviderSettings,
}

/// `provider`, and the provider's fields.
#[derive(ToSchema)]
#[schema(example = json!({ "provider": "browser", "public_key": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }))]
#[expect(dead_code, reason = "describes what `saving::check` reads")]
struct ProviderSettings {
    /// Name of the provider.
    #[schema(max_length = 32)]
    provider: String,
    #[serde(flatten)]
    fields: HashMap<String, Value>,
}

/// What to change in a configuration: what is left out stays.
#[derive(ToSchema)]
#[schema(as = ConfigurationChange)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `update` reads")]
pub(super) struct ConfigurationChangeForm {
    #[schema(
        max_length = 64,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    name: Option<String>,
    /// Replaces all of it; a mask stands for the stored value.
    config: Option<FreeObject>,
}

/// List configurations
///
/// The default first, then the oldest: the order in which outbound calls consider them.
#[utoipa::path(get, path = "/api/v1/organizations/telephony-configs", tag = "Configurations", operation_id = "listConfigurations", params(PageQuery),
    responses((status = 200, description = "A page of configurations.", body = ConfigurationList)))]
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<ConfigurationList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<(bool, i64, String)>::read(&mut form, "configurations");
    form.finish()?;
    let store = operations.store();
    let mut found = store
        .configurations_page(&organization, page.after.as_ref(), page.rows())
        .await?;
    let next_cursor = page.cut(&mut found, |configuration| {
        (
            configuration.is_default_outbound,
            configuration.created_at,
            configuration.id.to_string(),
        )
    });
    let mut configurations = Vec::with_capacity(found.len());
    for configuration in &found {
        let facts = store.configuration_facts(&organization, &configuration.id).await?;
        let provider = operations.provider(&configuration.organization, &configuration.provider);
        let readiness = Readiness::of(operations.as_ref(), configuration, provider.as_ref(), facts).await;
        configurations.push(summary(configuration, provider.as_ref(), facts, readiness.blocked));
    }
    Ok(Json(ConfigurationList {
        configurations,
        next_cursor,
    }))
}

/// Make a configuration
///
/// The provider checks it, and makes at its carrier what is missing. When that fails nothing is kept.
#[utoipa::path(post, path = "/api/v1/organizations/telephony-configs", tag = "Configurations", operation_id = "createConfiguration",
    request_body = NewConfigurationForm, params(IdempotencyKey),
    responses((status = 201, description = "The configuration.", body = ConfigurationDetail)))]
pub(super) async fn create<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    mut form: Form,
) -> Result<Tagged<ConfigurationDetail>, ApiError> {
    let name = form.text("name", NAME_CHARS_MAX);
    let name = form.required("name", name);
    let is_default_outbound = form.flag("is_default_outbound").unwrap_or(false);
    let config = form.object("config");
    let config = form.required("config", config);
    let provider = provider_of(operations.as_ref(), &organization, &mut form, &config);
    // What is wrong with the credentials is told together with what is wrong beside them.
    let checked = match &provider {
        Some(provider) => saving::check(&provider.spec, config, None, &mut form),
        None => None,
    };
    form.finish()?;
    let (Some(provider), Some(credentials)) = (provider, checked) else {
        return Err(ApiError::Fields(Vec::new()));
    };
    unbroken(async move {
        let operations = operations.as_ref();
        // The carrier is asked last: what can be refused here leaves nothing behind there.
        operations
            .check_credentials(&organization, &provider.spec.name, &credentials)
            .await?;
        operations.store().require_free_name(&organization, &name, None).await?;
        let id = ConfigurationId::generate();
        let Prepared {
            credentials,
            account_id,
        } = saving::prepare(operations, &organization, &provider, &id, credentials, Occasion::Create).await?;
        let new = NewConfiguration {
            id,
            organization,
            name,
            provider: provider.spec.name,
            credentials,
            account_id,
            is_default_outbound,
        };
        let configuration = operations.store().create_configuration(new, operations.now()).await?;
        operations.configurations_changed();
        let shown = detail(operations, &configuration).await?;
        Ok(Tagged::created(configuration.version, shown))
    })
    .await
}

/// Read a configuration
#[utoipa::path(get, path = "/api/v1/organizations/telephony-configs/{configuration}", tag = "Configurations", operation_id = "readConfiguration",
    params(IfNoneMatch), responses((status = 200, description = "The configuration.", body = ConfigurationDetail)))]
pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Tagged<ConfigurationDetail>, ApiError> {
    let configuration = find(operations.as_ref(), &organization, &id).await?;
    let shown = detail(operations.as_ref(), &configuration).await?;
    Ok(Tagged::read(configuration.version, shown, conditions))
}

/// Change a configuration
///
/// What is left out stays; `config` replaces all settings.
#[utoipa::path(put, path = "/api/v1/organizations/telephony-configs/{configuration}", tag = "Configurations", operation_id = "updateConfiguration",
    request_body = ConfigurationChangeForm, params(IfMatch), responses((status = 200, description = "The configuration as it is now.", body = ConfigurationDetail)))]
pub(super) async fn update<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    conditions: Conditions,
    mut form: Form,
) -> Result<Tagged<ConfigurationDetail>, ApiError> {
    let stored = find(operations.as_ref(), &organization, &id).await?;
    let mut expected = conditions.expected(stored.version)?;
    let name = form.text("name", NAME_CHARS_MAX);
    let config = form.object("config");
    let mut entered = None;
    if let Some(config) = config {
        if config
            .get("provider")
            .is_some_and(|provider| provider.as_str() != Some(&*stored.provider))
        {
            let message = "the provider of a configuration cannot be changed; create another configuration";
            return Err(ApiError::Refused("provider_change", message.to_owned()));
        }
        let provider = operations
            .provider(&organization, &stored.provider)
            .ok_or(OperationError::ProviderMissing)?;
        entered = saving::check(&provider.spec, config, Some(stored.credentials.expose()), &mut form)
            .map(|credentials| (provider, credentials));
    }
    form.finish()?;
    unbroken(async move {
        let operations = operations.as_ref();
        let mut change = ConfigurationChange {
            name,
            credentials: None,
        };
        if let Some((provider, credentials)) = entered {
            operations
                .check_credentials(&organization, &provider.spec.name, &credentials)
                .await?;
            require_free(operations, &stored, change.name.as_deref(), &provider, &credentials).await?;
            let prepared = saving::prepare(
                operations,
                &organization,
                &provider,
                &stored.id,
                credentials,
                Occasion::Update,
            )
            .await?;
            change.credentials = Some((prepared.credentials, prepared.account_id));
            // Masks stood for what was stored then: if that was replaced since, they would bring it back.
            expected = Some(stored.version);
        }
        let changed = operations
            .store()
            .update_configuration(&organization, &stored.id, change, expected, operations.now())
            .await
            .map_err(|error| conditions.told(error))?;
        operations.configurations_changed();
        Ok(Tagged::new(changed.version, detail(operations, &changed).await?))
    })
    .await
}

/// Delete a configuration
///
/// Its numbers and trunks go with it, its calls stay in the record.
#[utoipa::path(delete, path = "/api/v1/organizations/telephony-configs/{configuration}", tag = "Configurations", operation_id = "deleteConfiguration",
    params(IfMatch), responses((status = 200, description = "It is gone.", body = Message)))]
pub(super) async fn delete<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Json<Message>, ApiError> {
    let configuration = find(operations.as_ref(), &organization, &id).await?;
    let expected = conditions.expected(configuration.version)?;
    operations
        .store()
        .delete_configuration(&organization, &configuration.id, expected)
        .await
        .map_err(|error| conditions.told(error))?;
    operations.configurations_changed();
    Ok(Message::new("the telephony configuration was deleted"))
}

/// Make a configuration the default for outbound calls
#[utoipa::path(post, path = "/api/v1/organizations/telephony-configs/{configuration}/set-default-outbound", tag = "Configurations", operation_id = "setDefaultOutbound",
    responses((status = 200, description = "The configuration as it is now.", body = ConfigurationDetail)))]
pub(super) async fn set_default<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Tagged<ConfigurationDetail>, ApiError> {
    let changed = operations
        .store()
        .set_default_outbound(&organization, &parse_id(&id)?, operations.now())
        .await?;
    operations.configurations_changed();
    Ok(Tagged::new(
        changed.version,
        detail(operations.as_ref(), &changed).await?,
    ))
}

/// Reactivate a configuration
///
/// After it was parked for a reason.
#[utoipa::path(post, path = "/api/v1/organizations/telephony-configs/{configuration}/reactivate", tag = "Configurations", operation_id = "reactivateConfiguration",
    responses((status = 200, description = "The configuration as it is now.", body = ConfigurationDetail)))]
pub(super) async fn reactivate<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Tagged<ConfigurationDetail>, ApiError> {
    let changed = operations
        .store()
        .reactivate_configuration(&organization, &parse_id(&id)?, operations.now())
        .await?;
    operations.configurations_changed();
    Ok(Tagged::new(
        changed.version,
        detail(operations.as_ref(), &changed).await?,
    ))
}

/// Whether the store would have the change, before a carrier is asked to do something for it.
async fn require_free<O: Operations>(
    operations: &O,
    stored: &Configuration,
    name: Option<&str>,
    provider: &ProviderView,
    credentials: &Credentials,
) -> Result<(), ApiError> {
    let store = operations.store();
    if let Some(name) = name {
        store
            .require_free_name(&stored.organization, name, Some(&stored.id))
            .await?;
    }
    let account_id = saving::account_id(&provider.spec, credentials);
    if account_id != stored.account_id {
        store.require_free_account(stored, account_id.as_ref()).await?;
    }
    Ok(())
}

/// What no identifier can name does not exist.
pub(super) fn parse_id(text: &str) -> Result<ConfigurationId, ApiError> {
    ConfigurationId::parse(text).map_err(|_| ApiError::NotFound("telephony configuration"))
}

pub(super) async fn find<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    id: &str,
) -> Result<Configuration, ApiError> {
    Ok(operations
        .store()
        .find_configuration(organization, &parse_id(id)?)
        .await?)
}

fn provider_of<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    form: &mut Form,
    config: &Map<String, Value>,
) -> Option<ProviderView> {
    let name = config
        .get("provider")
        .and_then(Value::as_str)
        .filter(|name| name.chars().count() <= PROVIDER_CHARS_MAX);
    let provider = name.and_then(|name| operations.provider(organization, name));
    if provider.is_none() {
        let names: Vec<String> = operations
            .providers(organization)
            .into_iter()
            .map(|provider| provider.spec.name)
            .collect();
        let problem = match names.as_slice() {
            [] => "cannot be: no provider is loaded; the operator must add one".to_owned(),
            names => format!("must be one of {}", names.join(", ")),
        };
        form.problem("config.provider", problem);
    }
    provider
}

fn summary(
    configuration: &Configuration,
    provider: Option<&ProviderView>,
    facts: ConfigurationFacts,
    blocked: Option<String>,
) -> ConfigurationSummary {
    let inactive = configuration.inactive.as_ref();
    ConfigurationSummary {
        id: configuration.id.clone(),
        name: configuration.name.clone(),
        provider: configuration.provider.clone(),
        connectivity: provider.map(|provider| provider.spec.connectivity),
        is_default_outbound: configuration.is_default_outbound,
        inactive: inactive.is_some(),
        inactive_since: inactive.map(|inactive| Timestamp(inactive.since)),
        inactive_reason: inactive.map(|inactive| inactive.reason.clone()),
        phone_number_count: facts.active_numbers,
        is_ready_for_outbound: blocked.is_none(),
        outbound_blocked_reason: blocked,
        created_at: Timestamp(configuration.created_at),
        updated_at: Timestamp(configuration.updated_at),
    }
}

async fn detail<O: Operations>(operations: &O, configuration: &Configuration) -> Result<ConfigurationDetail, ApiError> {
    let store = operations.store();
    let facts = store
        .configuration_facts(&configuration.organization, &configuration.id)
        .await?;
    let provider = operations.provider(&configuration.organization, &configuration.provider);
    let spec = provider.as_ref().map(|provider| &provider.spec);
    let can = |ability| provider.as_ref().is_some_and(|provider| provider.can(ability));
    let readiness = Readiness::of(operations, configuration, provider.as_ref(), facts).await;
    let connectivity = if can(Ability::Setup) {
        connectivity_details(operations, configuration).await
    } else {
        Some(Vec::new())
    };
    let trunks = store.trunks(&configuration.organization, &configuration.id).await?;
    let over_sip = spec.is_some_and(|spec| spec.connectivity == Connectivity::Sip);
    let event_socket = match operations.event_socket(&configuration.id) {
        Some(state) => Some(event_socket(&state)),
        // The reason is in `inactive_reason`.
        None if configuration.inactive.is_some() && can(Ability::Events) => Some(EventSocketView {
            state: EventSocketPhase::Parked,
            since: None,
            last_failure: None,
        }),
        None => None,
    };
    Ok(ConfigurationDetail {
        summary: summary(configuration, provider.as_ref(), facts, readiness.blocked),
        credentials: mask::masked(spec, configuration.credentials.expose()),
        setup_checklist: readiness.checklist,
        sip_connectivity: connectivity.clone().filter(|_| over_sip),
        connectivity_details: connectivity,
        event_socket,
        supports_trunks: can(Ability::Trunks),
        trunks: trunks.iter().map(trunks::shown).collect(),
    })
}

fn event_socket(state: &EventSocketState) -> EventSocketView {
    EventSocketView {
        state: state.phase,
        since: Some(Timestamp(state.since)),
        last_failure: state.last_failure.as_ref().map(|failure| EventSocketFailureView {
            code: failure.code.clone(),
            message: failure.message.clone(),
            at: Timestamp(failure.at),
        }),
    }
}

/// None when the component cannot tell, which must not hide the configuration from its owner.
async fn connectivity_details<O: Operations>(
    operations: &O,
    configuration: &Configuration,
) -> Option<Vec<DetailGroup>> {
    match operations.connectivity_details(configuration).await {
        Ok(groups) => Some(groups),
        Err(error) => {
            tracing::error!(%error, configuration = %configuration.id, "what to enter elsewhere could not be told");
            None
        }
    }
}
