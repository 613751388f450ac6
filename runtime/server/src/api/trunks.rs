//! SIP trunks of a configuration. The carrier comes first: what it refuses is not written down, and what can be refused
//! here costs it nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::{Map, Value};
use strowger_host::operation::Trunk as CarrierTrunk;
use strowger_host::{Ability, Credentials, FieldProblem, ProviderSpec};
use utoipa::ToSchema;

use super::authentication::Caller;
use super::etag::{Conditions, IfMatch, IfNoneMatch, Tagged};
use super::form::Form;
use super::idempotency::IdempotencyKey;
use super::page::{Asked, PageQuery};
use super::path::Path;
use super::schema::{FreeObject, Id, Timestamp};
use super::{ApiError, OperationError, Operations, ProviderView, configurations, unbroken};
use crate::store::{
    Configuration, ConfigurationId, NewTrunk, OrganizationId, StoreError, Trunk, TrunkContent, TrunkId,
};

const NAME_CHARS_MAX: usize = 64;

/// A SIP trunk.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trunk)]
pub(super) struct TrunkView {
    #[schema(value_type = Id)]
    id: TrunkId,
    #[schema(value_type = Id)]
    telephony_configuration_id: ConfigurationId,
    /// Unique in the configuration; the carrier is told it as well.
    name: String,
    /// Whether calls may take it.
    enabled: bool,
    /// Values of the provider's `trunk_fields`.
    #[schema(value_type = FreeObject)]
    settings: Value,
    /// Numbers that are attached to it.
    #[schema(minimum = 0)]
    phone_number_count: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A page of trunks, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TrunkList {
    trunks: Vec<TrunkView>,
    next_cursor: Option<String>,
}

/// A trunk to make.
#[derive(ToSchema)]
#[schema(as = NewTrunk)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `create` reads")]
pub(super) struct NewTrunkForm {
    /// Letters, digits and hyphens.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9-]+$", example = "east")]
    name: String,
    #[schema(default = true)]
    enabled: Option<bool>,
    /// Values of the provider's `trunk_fields`.
    settings: Option<FreeObject>,
}

/// What to change in a trunk: what is left out stays.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `update` reads")]
pub(super) struct TrunkChange {
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9-]+$")]
    name: Option<String>,
    enabled: Option<bool>,
    /// Replaces all settings.
    settings: Option<FreeObject>,
}

/// A trunk is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TrunkDeleted {
    success: bool,
}

/// List trunks
///
/// Oldest first.
#[utoipa::path(get, path = "/api/v1/organizations/telephony-configs/{configuration}/trunks", tag = "Trunks", operation_id = "listTrunks",
    params(PageQuery), responses((status = 200, description = "A page of trunks.", body = TrunkList)))]
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(configuration): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<TrunkList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<(i64, String)>::read(&mut form, "trunks");
    form.finish()?;
    let configuration = configurations::find(operations.as_ref(), &organization, &configuration).await?;
    supported(operations.as_ref(), &configuration)?;
    let mut trunks = operations
        .store()
        .trunks_page(&organization, &configuration.id, page.after.as_ref(), page.rows())
        .await?;
    let next_cursor = page.cut(&mut trunks, |trunk| (trunk.created_at, trunk.id.to_string()));
    Ok(Json(TrunkList {
        trunks: trunks.iter().map(shown).collect(),
        next_cursor,
    }))
}

/// Make a trunk
///
/// The carrier makes it first: what it refuses is not kept.
#[utoipa::path(post, path = "/api/v1/organizations/telephony-configs/{configuration}/trunks", tag = "Trunks", operation_id = "createTrunk",
    request_body = NewTrunkForm, params(IdempotencyKey), responses((status = 201, description = "The trunk.", body = TrunkView)))]
pub(super) async fn create<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(configuration): Path<String>,
    mut form: Form,
) -> Result<Tagged<TrunkView>, ApiError> {
    let configuration = configurations::find(operations.as_ref(), &organization, &configuration).await?;
    let provider = supported(operations.as_ref(), &configuration)?;
    let name = name(&mut form);
    let name = form.required("name", name);
    let enabled = form.flag("enabled").unwrap_or(true);
    let entered = form.object("settings").unwrap_or_default();
    let settings = settings(&provider, entered, &mut form);
    form.finish()?;
    let content = TrunkContent {
        name,
        enabled,
        settings,
        external_id: None,
    };
    unbroken(async move {
        let store = operations.store();
        store
            .require_free_trunk_name(&configuration.id, &content.name, None)
            .await?;
        let content = apply(operations.as_ref(), &configuration, &provider, content).await?;
        let new = NewTrunk {
            id: TrunkId::generate(),
            organization,
            configuration: configuration.id.clone(),
            content: content.clone(),
        };
        let trunk = match store.create_trunk(new, operations.now()).await {
            // Somebody else was faster, and it is theirs that the carrier has.
            Err(error @ StoreError::Conflict { .. }) => return Err(error.into()),
            Err(error) => {
                // Nobody would know of it: no row has its identifier.
                if let Err(error) = operations.remove_trunk(&configuration, of_carrier(&content)).await {
                    tracing::error!(%error, configuration = %configuration.id, trunk = content.name, "a trunk stays at the carrier that could not be stored");
                }
                return Err(error.into());
            }
            Ok(trunk) => trunk,
        };
        Ok(Tagged::created(trunk.version, shown(&trunk)))
    })
    .await
}

/// Read a trunk
#[utoipa::path(get, path = "/api/v1/organizations/telephony-configs/{configuration}/trunks/{trunk}", tag = "Trunks", operation_id = "readTrunk",
    params(IfNoneMatch), responses((status = 200, description = "The trunk.", body = TrunkView)))]
pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((configuration, trunk)): Path<(String, String)>,
    conditions: Conditions,
) -> Result<Tagged<TrunkView>, ApiError> {
    let (_, trunk) = find(operations.as_ref(), &organization, &configuration, &trunk).await?;
    Ok(Tagged::read(trunk.version, shown(&trunk), conditions))
}

/// Change a trunk
///
/// What is left out stays.
#[utoipa::path(put, path = "/api/v1/organizations/telephony-configs/{configuration}/trunks/{trunk}", tag = "Trunks", operation_id = "updateTrunk",
    request_body = TrunkChange, params(IfMatch), responses((status = 200, description = "The trunk as it is now.", body = TrunkView)))]
pub(super) async fn update<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((configuration, trunk)): Path<(String, String)>,
    conditions: Conditions,
    mut form: Form,
) -> Result<Tagged<TrunkView>, ApiError> {
    let (configuration, trunk) = find(operations.as_ref(), &organization, &configuration, &trunk).await?;
    let provider = supported(operations.as_ref(), &configuration)?;
    conditions.require(trunk.version)?;
    let name = name(&mut form).unwrap_or_else(|| trunk.name.clone());
    let enabled = form.flag("enabled").unwrap_or(trunk.enabled);
    let settings = match form.object("settings") {
        Some(entered) => settings(&provider, entered, &mut form),
        None => trunk.settings.clone(),
    };
    form.finish()?;
    let content = TrunkContent {
        name,
        enabled,
        settings,
        external_id: trunk.external_id.clone(),
    };
    unbroken(async move {
        let store = operations.store();
        store
            .require_free_trunk_name(&configuration.id, &content.name, Some(&trunk.id))
            .await?;
        let content = apply(operations.as_ref(), &configuration, &provider, content).await?;
        let changed = store
            .update_trunk(
                &organization,
                &configuration.id,
                &trunk.id,
                &content,
                trunk.version,
                operations.now(),
            )
            .await;
        if matches!(changed, Err(StoreError::Stale)) {
            restore(operations.as_ref(), &configuration, &provider, &trunk.id).await;
        }
        let trunk = changed.map_err(|error| conditions.told(error))?;
        Ok(Tagged::new(trunk.version, shown(&trunk)))
    })
    .await
}

/// Delete a trunk
///
/// Not while numbers are attached to it.
#[utoipa::path(delete, path = "/api/v1/organizations/telephony-configs/{configuration}/trunks/{trunk}", tag = "Trunks", operation_id = "deleteTrunk",
    params(IfMatch), responses((status = 200, description = "It is gone.", body = TrunkDeleted)))]
pub(super) async fn delete<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((configuration, trunk)): Path<(String, String)>,
    conditions: Conditions,
) -> Result<Json<TrunkDeleted>, ApiError> {
    let (configuration, trunk) = find(operations.as_ref(), &organization, &configuration, &trunk).await?;
    supported(operations.as_ref(), &configuration)?;
    let expected = conditions.expected(trunk.version)?;
    trunk.require_unattached()?;
    unbroken(async move {
        let content = TrunkContent {
            name: trunk.name,
            enabled: trunk.enabled,
            settings: trunk.settings,
            external_id: trunk.external_id,
        };
        operations.remove_trunk(&configuration, of_carrier(&content)).await?;
        operations
            .store()
            .delete_trunk(&organization, &configuration.id, &trunk.id, expected)
            .await
            .map_err(|error| conditions.told(error))?;
        Ok(Json(TrunkDeleted { success: true }))
    })
    .await
}

/// What no identifier can name does not exist.
fn parse_id(text: &str) -> Result<TrunkId, ApiError> {
    TrunkId::parse(text).map_err(|_| ApiError::NotFound("trunk"))
}

async fn find<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    configuration: &str,
    trunk: &str,
) -> Result<(Configuration, Trunk), ApiError> {
    let configuration = configurations::find(operations, organization, configuration).await?;
    let trunk = operations
        .store()
        .find_trunk(organization, &configuration.id, &parse_id(trunk)?)
        .await?;
    Ok((configuration, trunk))
}

fn supported<O: Operations>(operations: &O, configuration: &Configuration) -> Result<ProviderView, ApiError> {
    let provider = operations
        .provider(&configuration.organization, &configuration.provider)
        .ok_or(OperationError::ProviderMissing)?;
    if provider.can(Ability::Trunks) {
        Ok(provider)
    } else {
        let message = format!("{} has no trunks", provider.spec.display_name);
        Err(ApiError::Refused("trunks_unsupported", message))
    }
}

/// The carrier is told this name, so it has the few characters that none of them mistakes.
fn name(form: &mut Form) -> Option<String> {
    let name = form.text("name", NAME_CHARS_MAX)?;
    if name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-') {
        Some(name)
    } else {
        form.problem("name", "must be letters, digits and hyphens");
        None
    }
}

/// Checks settings against the provider's trunk fields. Problems go to the form.
fn settings(provider: &ProviderView, mut entered: Map<String, Value>, form: &mut Form) -> Value {
    // Whoever enters a choice by hand need not know its capitals.
    for field in &provider.trunk_fields {
        if let Some(Value::String(text)) = entered.get_mut(&field.name)
            && let Some(choice) = field
                .options
                .iter()
                .find(|choice| choice.value.eq_ignore_ascii_case(text))
        {
            text.clone_from(&choice.value);
        }
    }
    match checked(provider, &Value::Object(entered)) {
        Ok(settings) => settings,
        Err(problems) => {
            for FieldProblem { field, problem } in problems {
                form.problem(&format!("settings.{field}"), problem);
            }
            Value::Null
        }
    }
}

/// The rules for values of a spec's fields hold for those of a trunk's.
fn checked(provider: &ProviderView, settings: &Value) -> Result<Value, Vec<FieldProblem>> {
    let spec = ProviderSpec {
        display_name: "a trunk".to_owned(),
        fields: provider.trunk_fields.clone(),
        account_id_field: None,
        ..provider.spec.clone()
    };
    Credentials::check(&spec, settings).map(|settings| settings.expose())
}

/// Lets the carrier have the trunk, and tells what it now has.
async fn apply<O: Operations>(
    operations: &O,
    configuration: &Configuration,
    provider: &ProviderView,
    content: TrunkContent,
) -> Result<TrunkContent, OperationError> {
    let applied = operations.apply_trunk(configuration, of_carrier(&content)).await?;
    let settings = checked(provider, &applied.settings).map_err(|problems| {
        tracing::error!(
            provider = provider.spec.name,
            ?problems,
            "a provider returned settings of a trunk that do not fit its trunk fields"
        );
        OperationError::ProviderFault {
            code: "provider-malformed-output".to_owned(),
        }
    })?;
    Ok(TrunkContent {
        settings,
        // Without it the carrier's trunk could not be found again.
        external_id: applied.external_id.or(content.external_id),
        ..content
    })
}

/// Lets the carrier have again what somebody else has written meanwhile: of two who change a trunk at once, the row and the
/// carrier are to have the same one's.
async fn restore<O: Operations>(
    operations: &O,
    configuration: &Configuration,
    provider: &ProviderView,
    trunk: &TrunkId,
) {
    let store = operations.store();
    let restored = async {
        let trunk = store
            .find_trunk(&configuration.organization, &configuration.id, trunk)
            .await?;
        let content = TrunkContent {
            name: trunk.name,
            enabled: trunk.enabled,
            settings: trunk.settings,
            external_id: trunk.external_id,
        };
        apply(operations, configuration, provider, content).await
    };
    if let Err(error) = restored.await {
        tracing::error!(%error, configuration = %configuration.id, "the carrier has an older state of a trunk than the database; save it again");
    }
}

fn of_carrier(content: &TrunkContent) -> CarrierTrunk {
    CarrierTrunk {
        name: content.name.clone(),
        enabled: content.enabled,
        settings: content.settings.to_string(),
        external_id: content.external_id.clone(),
    }
}

pub(super) fn shown(trunk: &Trunk) -> TrunkView {
    TrunkView {
        id: trunk.id.clone(),
        telephony_configuration_id: trunk.configuration.clone(),
        name: trunk.name.clone(),
        enabled: trunk.enabled,
        settings: trunk.settings.clone(),
        phone_number_count: trunk.number_count,
        created_at: Timestamp(trunk.created_at),
        updated_at: Timestamp(trunk.updated_at),
    }
}
