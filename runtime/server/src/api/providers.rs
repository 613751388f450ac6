//! What a client needs to know of providers to draw their forms.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use strowger_host::Ability;

use super::authentication::Caller;
use super::{ApiError, Operations, ProviderView};

pub(super) async fn metadata<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<Value>, ApiError> {
    let providers: Vec<Value> = operations.providers(&organization).iter().map(describe).collect();
    Ok(Json(json!({ "providers": providers })))
}

fn describe(provider: &ProviderView) -> Value {
    let spec = &provider.spec;
    let fields: Vec<_> = spec.fields.iter().filter(|field| !field.server_managed).collect();
    json!({
        "provider": spec.name,
        "display_name": spec.display_name,
        "version": spec.version,
        "connectivity": spec.connectivity,
        "requires_caller_id": spec.requires_caller_id,
        "account_id_field": spec.account_id_field,
        "fields": fields,
        "supports_trunks": provider.can(Ability::Trunks),
        "trunk_fields": provider.trunk_fields,
        "abilities": provider.abilities.iter().map(|ability| ability.name()).collect::<Vec<_>>(),
        "docs_url": spec.docs_url,
    })
}
