//! SIP trunks of a configuration. The carrier comes first: what it refuses is not written down, and what can be refused
//! here costs it nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use strowger_host::operation::Trunk as CarrierTrunk;
use strowger_host::{Ability, Credentials, FieldProblem, ProviderSpec};

use super::authentication::Caller;
use super::form::Form;
use super::path::Path;
use super::{ApiError, OperationError, Operations, ProviderView, configurations, timestamp, unbroken};
use crate::store::{Configuration, NewTrunk, OrganizationId, StoreError, Trunk, TrunkContent, TrunkId};

const NAME_CHARS_MAX: usize = 64;

pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(configuration): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let configuration = configurations::find(operations.as_ref(), &organization, &configuration).await?;
    supported(operations.as_ref(), &configuration)?;
    let trunks = operations.store().trunks(&organization, &configuration.id).await?;
    Ok(Json(json!({ "trunks": trunks.iter().map(shown).collect::<Vec<_>>() })))
}

pub(super) async fn create<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(configuration): Path<String>,
    mut form: Form,
) -> Result<(StatusCode, Json<Value>), ApiError> {
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
        Ok((StatusCode::CREATED, Json(shown(&trunk))))
    })
    .await
}

pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((configuration, trunk)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (_, trunk) = find(operations.as_ref(), &organization, &configuration, &trunk).await?;
    Ok(Json(shown(&trunk)))
}

pub(super) async fn update<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((configuration, trunk)): Path<(String, String)>,
    mut form: Form,
) -> Result<Json<Value>, ApiError> {
    let (configuration, trunk) = find(operations.as_ref(), &organization, &configuration, &trunk).await?;
    let provider = supported(operations.as_ref(), &configuration)?;
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
        let trunk = store
            .update_trunk(&organization, &configuration.id, &trunk.id, &content, operations.now())
            .await?;
        Ok(Json(shown(&trunk)))
    })
    .await
}

pub(super) async fn delete<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((configuration, trunk)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let (configuration, trunk) = find(operations.as_ref(), &organization, &configuration, &trunk).await?;
    supported(operations.as_ref(), &configuration)?;
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
            .delete_trunk(&organization, &configuration.id, &trunk.id)
            .await?;
        Ok(Json(json!({ "success": true })))
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

fn of_carrier(content: &TrunkContent) -> CarrierTrunk {
    CarrierTrunk {
        name: content.name.clone(),
        enabled: content.enabled,
        settings: content.settings.to_string(),
        external_id: content.external_id.clone(),
    }
}

pub(super) fn shown(trunk: &Trunk) -> Value {
    json!({
        "id": trunk.id,
        "telephony_configuration_id": trunk.configuration,
        "name": trunk.name,
        "enabled": trunk.enabled,
        "settings": trunk.settings,
        "phone_number_count": trunk.number_count,
        "created_at": timestamp::rfc3339(trunk.created_at),
        "updated_at": timestamp::rfc3339(trunk.updated_at),
    })
}
