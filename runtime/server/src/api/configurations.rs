//! Telephony configurations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use strowger_host::operation::Occasion;
use strowger_host::spec::Connectivity;
use strowger_host::{Ability, Credentials};

use super::authentication::Caller;
use super::form::Form;
use super::path::Path;
use super::readiness::Readiness;
use super::saving::{self, Prepared};
use super::{ApiError, OperationError, Operations, ProviderView, mask, timestamp, trunks, unbroken};
use crate::exchange::EventSocketState;
use crate::store::{
    Configuration, ConfigurationChange, ConfigurationFacts, ConfigurationId, NewConfiguration, OrganizationId,
};

const NAME_CHARS_MAX: usize = 64;
const PROVIDER_CHARS_MAX: usize = 32;

pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<Value>, ApiError> {
    let mut shown = Vec::new();
    for configuration in operations.store().configurations(&organization).await? {
        let facts = operations
            .store()
            .configuration_facts(&organization, &configuration.id)
            .await?;
        let provider = operations.provider(&configuration.organization, &configuration.provider);
        let readiness = Readiness::of(operations.as_ref(), &configuration, provider.as_ref(), facts).await;
        shown.push(Value::Object(summary(
            &configuration,
            provider.as_ref(),
            facts,
            &readiness,
        )));
    }
    Ok(Json(json!({ "configurations": shown })))
}

pub(super) async fn create<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    mut form: Form,
) -> Result<(StatusCode, Json<Value>), ApiError> {
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
        Ok((StatusCode::CREATED, detail(operations, &configuration).await?))
    })
    .await
}

pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    detail(
        operations.as_ref(),
        &find(operations.as_ref(), &organization, &id).await?,
    )
    .await
}

pub(super) async fn update<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    mut form: Form,
) -> Result<Json<Value>, ApiError> {
    let stored = find(operations.as_ref(), &organization, &id).await?;
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
        }
        let changed = operations
            .store()
            .update_configuration(&organization, &stored.id, change, operations.now())
            .await?;
        operations.configurations_changed();
        detail(operations, &changed).await
    })
    .await
}

pub(super) async fn delete<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    operations
        .store()
        .delete_configuration(&organization, &parse_id(&id)?)
        .await?;
    operations.configurations_changed();
    Ok(Json(json!({ "message": "the telephony configuration was deleted" })))
}

pub(super) async fn set_default<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let changed = operations
        .store()
        .set_default_outbound(&organization, &parse_id(&id)?, operations.now())
        .await?;
    operations.configurations_changed();
    detail(operations.as_ref(), &changed).await
}

pub(super) async fn reactivate<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let changed = operations
        .store()
        .reactivate_configuration(&organization, &parse_id(&id)?, operations.now())
        .await?;
    operations.configurations_changed();
    detail(operations.as_ref(), &changed).await
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
    readiness: &Readiness,
) -> Map<String, Value> {
    let inactive = configuration.inactive.as_ref();
    let mut shown = Map::new();
    for (name, value) in [
        ("id", json!(configuration.id)),
        ("name", json!(configuration.name)),
        ("provider", json!(configuration.provider)),
        (
            "connectivity",
            json!(provider.map(|provider| provider.spec.connectivity)),
        ),
        ("is_default_outbound", json!(configuration.is_default_outbound)),
        ("inactive", json!(inactive.is_some())),
        (
            "inactive_since",
            timestamp::optional(inactive.map(|inactive| inactive.since)),
        ),
        ("inactive_reason", json!(inactive.map(|inactive| &inactive.reason))),
        ("phone_number_count", json!(facts.active_numbers)),
        ("is_ready_for_outbound", json!(readiness.blocked.is_none())),
        ("outbound_blocked_reason", json!(readiness.blocked)),
        ("created_at", json!(timestamp::rfc3339(configuration.created_at))),
        ("updated_at", json!(timestamp::rfc3339(configuration.updated_at))),
    ] {
        shown.insert(name.to_owned(), value);
    }
    shown
}

async fn detail<O: Operations>(operations: &O, configuration: &Configuration) -> Result<Json<Value>, ApiError> {
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
        json!([])
    };
    let trunks = store.trunks(&configuration.organization, &configuration.id).await?;

    let mut shown = summary(configuration, provider.as_ref(), facts, &readiness);
    let over_sip = spec.is_some_and(|spec| spec.connectivity == Connectivity::Sip);
    for (name, value) in [
        (
            "credentials",
            Value::Object(mask::masked(spec, configuration.credentials.expose())),
        ),
        ("setup_checklist", readiness.checklist),
        (
            "sip_connectivity",
            if over_sip { connectivity.clone() } else { Value::Null },
        ),
        ("connectivity_details", connectivity),
        (
            "event_socket",
            match operations.event_socket(&configuration.id) {
                Some(state) => event_socket(&state),
                // The reason is in `inactive_reason`.
                None if configuration.inactive.is_some() && can(Ability::Events) => json!({ "state": "parked" }),
                None => Value::Null,
            },
        ),
        ("supports_trunks", json!(can(Ability::Trunks))),
        ("trunks", trunks.iter().map(trunks::shown).collect()),
    ] {
        shown.insert(name.to_owned(), value);
    }
    Ok(Json(Value::Object(shown)))
}

fn event_socket(state: &EventSocketState) -> Value {
    json!({
        "state": state.phase,
        "since": timestamp::rfc3339(state.since),
        "last_failure": state.last_failure.as_ref().map(|failure| json!({
            "code": failure.code,
            "message": failure.message,
            "at": timestamp::rfc3339(failure.at),
        })),
    })
}

/// Null when the component cannot tell, which must not hide the configuration from its owner.
async fn connectivity_details<O: Operations>(operations: &O, configuration: &Configuration) -> Value {
    match operations.connectivity_details(configuration).await {
        Ok(groups) => json!(groups),
        Err(error) => {
            tracing::error!(%error, configuration = %configuration.id, "what to enter elsewhere could not be told");
            Value::Null
        }
    }
}
