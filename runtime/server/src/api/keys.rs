//! API keys of an organisation, and the organisation itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::access::Identity;
use super::authentication::Caller;
use super::form::Form;
use super::path::Path;
use super::timestamp::{optional, rfc3339};
use super::{ApiError, Operations};
use crate::store::{
    ApiKey, ApiKeyId, ApiKeyRecord, LAST_ADMIN, NewApiKey, Organization, OrganizationId, Power, Role, StoreError,
};

const NAME_CHARS_MAX: usize = 64;
/// The longest life of a key that has an end, in days.
const DAYS_MAX: u64 = 3_650;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Keys of one organisation that are not revoked.
const KEYS_MAX: usize = 100;

/// The organisation that the key is for.
pub(super) async fn organization<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<Value>, ApiError> {
    let organization = operations.store().find_organization(&organization).await?;
    Ok(Json(shown_organization(&organization)))
}

pub(super) fn shown_organization(organization: &Organization) -> Value {
    json!({ "id": organization.id, "name": organization.name, "created_at": rfc3339(organization.created_at) })
}

/// The keys of the organisation, revoked ones included.
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<Value>, ApiError> {
    listed(&*operations, &organization).await
}

pub(super) async fn listed<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
) -> Result<Json<Value>, ApiError> {
    let keys = operations.store().api_keys(organization).await?;
    Ok(Json(
        json!({ "api_keys": keys.iter().map(shown).collect::<Vec<_>>(), "next_cursor": null }),
    ))
}

/// Makes a key, which is shown this once.
pub(super) async fn create<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    identity: Identity,
    form: Form,
) -> Result<Response, ApiError> {
    let Power::Organization(_, own) = identity.holder.power else {
        return Err(ApiError::Unauthorized);
    };
    made(&*operations, &organization, Some(own), form).await
}

/// Makes a key with at most the power of `most`; any, without.
pub(super) async fn made<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    most: Option<Role>,
    mut form: Form,
) -> Result<Response, ApiError> {
    let name = form.text("name", NAME_CHARS_MAX);
    let name = form.required("name", name);
    let role = form.choice("role", &Role::ALL.map(Role::as_str), Role::parse);
    if role.is_none() {
        form.required::<()>("role", None);
    }
    let role = role.unwrap_or(Role::Read);
    let days = form.number("expires_in_days", 1..=DAYS_MAX);
    form.finish()?;
    // The layer lets admins alone come here; this holds whatever it does.
    if most.is_some_and(|most| role > most) {
        return Err(ApiError::Forbidden(
            "forbidden_role",
            format!("nobody can make a key with more rights than their own; ask for one with the role `{role}`"),
        ));
    }
    let (store, now) = (operations.store(), operations.now());
    let usable = store.api_keys(organization).await?;
    if usable.iter().filter(|key| key.revoked_at.is_none()).count() >= KEYS_MAX {
        return Err(ApiError::Conflict(
            "too_many_keys",
            format!("an organization has at most {KEYS_MAX} keys; revoke those that nobody uses"),
        ));
    }
    let new = NewApiKey {
        id: ApiKeyId::generate(),
        name,
        expires_at: days
            .and_then(|days| i64::try_from(days).ok())
            .map(|days| now.saturating_add(days * DAY_MS)),
    };
    let key = ApiKey::generate()?;
    let record = store.create_api_key(organization, &new, role, &key, now).await?;
    let mut body = shown(&record);
    body["api_key"] = json!(key.expose());
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Revokes a key, and ends the sessions that were opened with it.
pub(super) async fn revoke<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = ApiKeyId::parse(&id).map_err(|_| ApiError::NotFound("API key"))?;
    let revoked = operations
        .store()
        .revoke_api_key(&organization, &id, false, operations.now())
        .await;
    revoked.map_err(|error| match error {
        StoreError::Conflict {
            field: LAST_ADMIN,
            cure,
        } => ApiError::Conflict("last_admin_key", cure),
        error => error.into(),
    })?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn shown(key: &ApiKeyRecord) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "role": key.role.as_str(),
        "prefix": key.prefix,
        "created_at": rfc3339(key.created_at),
        "expires_at": optional(key.expires_at),
        "last_used_at": optional(key.last_used_at),
        "revoked_at": optional(key.revoked_at),
    })
}
