//! API keys of an organisation, and the organisation itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Identity;
use super::authentication::Caller;
use super::form::Form;
use super::path::Path;
use super::schema::{Id, Timestamp};
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

/// An organisation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
pub(super) struct OrganizationView {
    #[schema(value_type = Id)]
    id: OrganizationId,
    /// Unique in the installation.
    name: String,
    created_at: Timestamp,
}

impl OrganizationView {
    pub(super) fn of(organization: &Organization) -> Self {
        Self {
            id: organization.id.clone(),
            name: organization.name.clone(),
            created_at: Timestamp(organization.created_at),
        }
    }
}

/// An API key, as far as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(super) struct KeyView {
    #[schema(value_type = Id)]
    id: ApiKeyId,
    /// What it is for.
    name: String,
    /// `read`, `operate` or `admin`.
    role: &'static str,
    /// Its first characters.
    prefix: String,
    created_at: Timestamp,
    /// When it opens nothing any more; null: when it is revoked.
    expires_at: Option<Timestamp>,
    /// To the minute.
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl KeyView {
    fn of(key: &ApiKeyRecord) -> Self {
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            role: key.role.as_str(),
            prefix: key.prefix.clone(),
            created_at: Timestamp(key.created_at),
            expires_at: key.expires_at.map(Timestamp),
            last_used_at: key.last_used_at.map(Timestamp),
            revoked_at: key.revoked_at.map(Timestamp),
        }
    }
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeApiKey {
    #[serde(flatten)]
    key: KeyView,
    /// The key itself, shown this once.
    api_key: String,
}

/// All keys, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApiKeyList {
    api_keys: Vec<KeyView>,
    /// Always null: an organisation has few keys.
    next_cursor: Option<String>,
}

/// A key to make.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `made` reads")]
pub(super) struct NewKey {
    /// What it is for.
    #[schema(
        max_length = 64,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "Dashboard"
    )]
    name: String,
    #[schema(inline)]
    role: Role,
    /// Days until it opens nothing any more; never, without.
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<u16>,
}

/// Read the organisation
///
/// The one that the key or session is for.
#[utoipa::path(get, path = "/api/v1/organization", tag = "Access", operation_id = "readOrganization",
    responses((status = 200, description = "The organisation.", body = OrganizationView)))]
pub(super) async fn organization<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<OrganizationView>, ApiError> {
    let organization = operations.store().find_organization(&organization).await?;
    Ok(Json(OrganizationView::of(&organization)))
}

/// List API keys
///
/// Revoked ones included.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "Access", operation_id = "listApiKeys",
    responses((status = 200, description = "All keys.", body = ApiKeyList)))]
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<ApiKeyList>, ApiError> {
    listed(&*operations, &organization).await
}

pub(super) async fn listed<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
) -> Result<Json<ApiKeyList>, ApiError> {
    let keys = operations.store().api_keys(organization).await?;
    Ok(Json(ApiKeyList {
        api_keys: keys.iter().map(KeyView::of).collect(),
        next_cursor: None,
    }))
}

/// Make an API key
///
/// It is shown this once.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "Access", operation_id = "createApiKey", request_body = NewKey,
    responses((status = 201, description = "The key.", body = MadeApiKey)))]
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
    let body = MadeApiKey {
        key: KeyView::of(&record),
        api_key: key.expose().to_owned(),
    };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Revoke an API key
///
/// At once, with the sessions that were opened with it. The last one that can administrate the organisation stays.
#[utoipa::path(delete, path = "/api/v1/api-keys/{key}", tag = "Access", operation_id = "revokeApiKey",
    responses((status = 204, description = "It opens nothing any more.")))]
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
