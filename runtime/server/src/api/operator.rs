//! What the operator's key opens: the installation. It leads to no calls, numbers or secrets of an organisation; who needs
//! them makes a key of the organisation, which its audit log shows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::form::Form;
use super::keys::{self, ApiKeyList, MadeApiKey, NewKey, OrganizationView};
use super::path::Path;
use super::{ApiError, Operations};
use crate::store::{Organization, OrganizationId};

const NAME_CHARS_MAX: usize = 64;

/// All organisations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrganizationList {
    organizations: Vec<OrganizationView>,
    /// Always null: they are all there.
    next_cursor: Option<String>,
}

/// An organisation to make.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `create_organization` reads")]
pub(super) struct NewOrganization {
    /// Unique in the installation.
    #[schema(
        max_length = 64,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "Acme"
    )]
    name: String,
}

/// What the installation has, in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InstallationStatus {
    /// The gateway's.
    version: &'static str,
    #[schema(minimum = 0)]
    organizations: i64,
    #[schema(minimum = 0)]
    usable_api_keys: i64,
    #[schema(minimum = 0)]
    console_sessions: i64,
    #[schema(minimum = 0)]
    telephony_configurations: i64,
    #[schema(minimum = 0)]
    phone_numbers: i64,
    #[schema(minimum = 0)]
    calls_in_progress: i64,
}

/// List organisations
#[utoipa::path(get, path = "/api/v1/operator/organizations", tag = "Operator", operation_id = "listOrganizations",
    responses((status = 200, description = "All organisations.", body = OrganizationList)))]
pub(super) async fn organizations<O: Operations>(
    State(operations): State<Arc<O>>,
) -> Result<Json<OrganizationList>, ApiError> {
    let organizations = operations.store().organizations().await?;
    Ok(Json(OrganizationList {
        organizations: organizations.iter().map(OrganizationView::of).collect(),
        next_cursor: None,
    }))
}

/// Make an organisation
///
/// It has no key yet.
#[utoipa::path(post, path = "/api/v1/operator/organizations", tag = "Operator", operation_id = "createOrganization",
    request_body = NewOrganization, responses((status = 201, description = "The organisation.", body = OrganizationView)))]
pub(super) async fn create_organization<O: Operations>(
    State(operations): State<Arc<O>>,
    mut form: Form,
) -> Result<(StatusCode, Json<OrganizationView>), ApiError> {
    let name = form.text("name", NAME_CHARS_MAX);
    let name = form.required("name", name);
    form.finish()?;
    let organization = operations
        .store()
        .create_organization(&OrganizationId::generate(), &name, operations.now())
        .await?;
    Ok((StatusCode::CREATED, Json(OrganizationView::of(&organization))))
}

/// List an organisation's API keys
///
/// As they are shown they open nothing. Revoked ones included.
#[utoipa::path(get, path = "/api/v1/operator/organizations/{organization}/api-keys", tag = "Operator", operation_id = "listOrganizationApiKeys",
    responses((status = 200, description = "All keys.", body = ApiKeyList)))]
pub(super) async fn keys<O: Operations>(
    State(operations): State<Arc<O>>,
    Path(organization): Path<String>,
) -> Result<Json<ApiKeyList>, ApiError> {
    let organization = find(&*operations, &organization).await?;
    keys::listed(&*operations, &organization.id).await
}

/// Make an API key of an organisation
///
/// It is shown this once. The organisation's audit log tells of it.
#[utoipa::path(post, path = "/api/v1/operator/organizations/{organization}/api-keys", tag = "Operator", operation_id = "createOrganizationApiKey",
    request_body = NewKey, responses((status = 201, description = "The key.", body = MadeApiKey)))]
pub(super) async fn create_key<O: Operations>(
    State(operations): State<Arc<O>>,
    Path(organization): Path<String>,
    form: Form,
) -> Result<Response, ApiError> {
    let organization = find(&*operations, &organization).await?;
    keys::made(&*operations, &organization.id, None, form).await
}

/// Read the installation's status
///
/// What it has, in numbers.
#[utoipa::path(get, path = "/api/v1/operator/status", tag = "Operator", operation_id = "readInstallationStatus",
    responses((status = 200, description = "The numbers.", body = InstallationStatus)))]
pub(super) async fn status<O: Operations>(
    State(operations): State<Arc<O>>,
) -> Result<Json<InstallationStatus>, ApiError> {
    let counts = operations.store().installation_counts(operations.now()).await?;
    Ok(Json(InstallationStatus {
        version: env!("CARGO_PKG_VERSION"),
        organizations: counts.organizations,
        usable_api_keys: counts.usable_api_keys,
        console_sessions: counts.console_sessions,
        telephony_configurations: counts.telephony_configurations,
        phone_numbers: counts.phone_numbers,
        calls_in_progress: counts.calls_in_progress,
    }))
}

pub(super) async fn find<O: Operations>(operations: &O, id: &str) -> Result<Organization, ApiError> {
    let id = OrganizationId::parse(id).map_err(|_| ApiError::NotFound("organization"))?;
    Ok(operations.store().find_organization(&id).await?)
}
