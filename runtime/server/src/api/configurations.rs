//! Telephony configurations.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use strowger_host::{Credentials, FieldProblem, ProviderSpec};

use super::authentication::Caller;
use super::form::Form;
use super::{ApiError, Operations, ProviderView, mask, timestamp};
use crate::store::{
    AccountId, Configuration, ConfigurationChange, ConfigurationId, NewConfiguration, NumberCounts, OrganizationId,
    SecretJson,
};

const NAME_CHARS_MAX: usize = 64;
const PROVIDER_CHARS_MAX: usize = 32;

pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<Value>, ApiError> {
    let mut shown = Vec::new();
    for configuration in operations.store().configurations(&organization).await? {
        let counts = operations
            .store()
            .number_counts(&organization, &configuration.id)
            .await?;
        let provider = operations.provider(&configuration.provider);
        shown.push(Value::Object(summary(&configuration, provider.as_ref(), counts)));
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
    let provider = provider_of(operations.as_ref(), &mut form, &config);
    // What is wrong with the credentials is told together with what is wrong beside them.
    let checked = match &provider {
        Some(provider) => check(&provider.spec, config, None, &mut form),
        None => None,
    };
    form.finish()?;
    let (Some(provider), Some(credentials)) = (provider, checked) else {
        return Err(ApiError::Fields(Vec::new()));
    };
    operations.check_credentials(&provider.spec.name, &credentials).await?;
    let new = NewConfiguration {
        id: ConfigurationId::generate(),
        organization: organization.clone(),
        name,
        account_id: account_id(&provider.spec, &credentials),
        provider: provider.spec.name.clone(),
        credentials: SecretJson::new(credentials.expose()),
        is_default_outbound,
    };
    let configuration = operations.store().create_configuration(new, operations.now()).await?;
    Ok((StatusCode::CREATED, detail(operations.as_ref(), &configuration).await?))
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
    let mut credentials = None;
    let mut spec = None;
    if let Some(config) = config {
        if config
            .get("provider")
            .is_some_and(|provider| provider.as_str() != Some(&*stored.provider))
        {
            let message = "the provider of a configuration cannot be changed; create another configuration";
            return Err(ApiError::Refused("provider_change", message.to_owned()));
        }
        let provider = operations
            .provider(&stored.provider)
            .ok_or(super::OperationError::ProviderMissing)?;
        credentials = check(&provider.spec, config, Some(stored.credentials.expose()), &mut form);
        spec = Some(provider.spec);
    }
    form.finish()?;
    let mut change = ConfigurationChange {
        name,
        credentials: None,
    };
    if let (Some(spec), Some(credentials)) = (spec, credentials) {
        operations.check_credentials(&spec.name, &credentials).await?;
        change.credentials = Some((SecretJson::new(credentials.expose()), account_id(&spec, &credentials)));
    }
    let changed = operations
        .store()
        .update_configuration(&organization, &stored.id, change, operations.now())
        .await?;
    detail(operations.as_ref(), &changed).await
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
    detail(operations.as_ref(), &changed).await
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

fn provider_of<O: Operations>(operations: &O, form: &mut Form, config: &Map<String, Value>) -> Option<ProviderView> {
    let name = config
        .get("provider")
        .and_then(Value::as_str)
        .filter(|name| name.chars().count() <= PROVIDER_CHARS_MAX);
    let provider = name.and_then(|name| operations.provider(name));
    if provider.is_none() {
        let names: Vec<String> = operations
            .providers()
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

/// Checks credentials against the provider's fields. Problems go to the form.
fn check(
    spec: &ProviderSpec,
    mut entered: Map<String, Value>,
    stored: Option<&Value>,
    form: &mut Form,
) -> Option<Credentials> {
    entered.remove("provider");
    // Numbers have a resource of their own; clients of old send them here.
    if spec.field("from_numbers").is_none() {
        entered.remove("from_numbers");
    }
    match mask::restored(spec, entered, stored).and_then(|meant| Credentials::check(spec, &meant)) {
        Ok(credentials) => Some(credentials),
        Err(problems) => {
            for FieldProblem { field, problem } in problems {
                form.problem(&format!("config.{field}"), problem);
            }
            None
        }
    }
}

fn account_id(spec: &ProviderSpec, credentials: &Credentials) -> Option<AccountId> {
    credentials
        .plain_text(spec.account_id_field.as_deref()?)
        .map(AccountId::new)
}

/// What keeps a configuration from placing calls.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checklist {
    /// For the user; none when nothing does.
    pub(super) blocked: Option<String>,
    shown: Value,
}

impl Checklist {
    pub(super) fn of(provider: &ProviderView, counts: NumberCounts) -> Self {
        let spec = &provider.spec;
        let mut steps = Vec::new();
        let mut blocked = None;
        if spec.requires_caller_id {
            let complete = counts.active > 0;
            let description =
                "Add a phone number of this account and keep it active: outbound calls show it as their caller id.";
            steps.push(json!({
                "key": "caller_id",
                "title": "Add a phone number",
                "description": description,
                "complete": complete,
                "blocks_outbound": true,
            }));
            blocked = (!complete).then(|| description.to_owned());
        }
        let shown = json!({
            "ready_for_outbound": blocked.is_none(),
            "outbound_blocked_reason": blocked,
            "steps": steps,
            "docs_url": spec.docs_url,
        });
        Self { blocked, shown }
    }
}

fn summary(configuration: &Configuration, provider: Option<&ProviderView>, counts: NumberCounts) -> Map<String, Value> {
    let checklist = provider.map(|provider| Checklist::of(provider, counts));
    let blocked = match &checklist {
        Some(checklist) => checklist.blocked.clone(),
        None => Some("The provider is unavailable: its component is not loaded.".to_owned()),
    };
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
        ("phone_number_count", json!(counts.active)),
        ("is_ready_for_outbound", json!(blocked.is_none())),
        ("outbound_blocked_reason", json!(blocked)),
        ("created_at", json!(timestamp::rfc3339(configuration.created_at))),
        ("updated_at", json!(timestamp::rfc3339(configuration.updated_at))),
    ] {
        shown.insert(name.to_owned(), value);
    }
    shown
}

async fn detail<O: Operations>(operations: &O, configuration: &Configuration) -> Result<Json<Value>, ApiError> {
    let counts = operations
        .store()
        .number_counts(&configuration.organization, &configuration.id)
        .await?;
    let provider = operations.provider(&configuration.provider);
    let mut shown = summary(configuration, provider.as_ref(), counts);
    let spec = provider.as_ref().map(|provider| &provider.spec);
    shown.insert(
        "credentials".to_owned(),
        Value::Object(mask::masked(spec, configuration.credentials.expose())),
    );
    let checklist = provider
        .as_ref()
        .map_or(Value::Null, |provider| Checklist::of(provider, counts).shown);
    shown.insert("setup_checklist".to_owned(), checklist);
    // Trunks come with providers that connect over SIP.
    shown.insert("sip_connectivity".to_owned(), Value::Null);
    shown.insert("supports_trunks".to_owned(), json!(false));
    shown.insert("trunks".to_owned(), json!([]));
    Ok(Json(Value::Object(shown)))
}

/// The configuration that an outbound call without one goes over: of the active ones, in the order of the store, the first
/// that is ready. When none is, the reason of the first.
pub(super) async fn outbound<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    explicit: Option<&ConfigurationId>,
) -> Result<(Configuration, ProviderView), ApiError> {
    let candidates = match explicit {
        // What a client names is what it gets, or nothing.
        Some(id) => {
            let configuration = operations.store().find_configuration(organization, id).await?;
            if let Some(inactive) = &configuration.inactive {
                let message = format!(
                    "the telephony configuration is inactive ({}); reactivate it first",
                    inactive.reason
                );
                return Err(ApiError::Refused("configuration_inactive", message));
            }
            vec![configuration]
        }
        None => {
            let mut all = operations.store().configurations(organization).await?;
            all.retain(|configuration| configuration.inactive.is_none());
            all
        }
    };
    let mut first = None;
    for configuration in candidates {
        let blocked = match operations.provider(&configuration.provider) {
            None => ApiError::Operation(super::OperationError::ProviderMissing),
            Some(provider) => {
                let counts = operations
                    .store()
                    .number_counts(organization, &configuration.id)
                    .await?;
                match Checklist::of(&provider, counts).blocked {
                    None => return Ok((configuration, provider)),
                    Some(reason) => ApiError::Refused("not_ready_for_outbound", reason),
                }
            }
        };
        first.get_or_insert(blocked);
    }
    let none = "no active telephony configuration; create one first".to_owned();
    Err(first.unwrap_or(ApiError::Refused("telephony_not_configured", none)))
}
