//! What the operator's key opens: the installation. It leads to no calls, numbers or secrets of an organisation; who needs
//! them makes a key of the organisation, which its audit log shows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::form::Form;
use super::keys::{self, ApiKeyList, OrganizationView};
use super::path::Path;
use super::{ApiError, Operations};
use crate::store::{Organization, OrganizationId};

const NAME_CHARS_MAX: usize = 64;

/// All organisations.
pub(super) async fn organizations<O: Operations>(State(operations): State<Arc<O>>) -> Result<Json<Value>, ApiError> {
    let organizations = operations.store().organizations().await?;
    let shown: Vec<_> = organizations.iter().map(OrganizationView::of).collect();
    Ok(Json(json!({ "organizations": shown, "next_cursor": null })))
}

/// Makes an organisation. It has no key yet.
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

/// The keys of an organisation, which open nothing as they are shown.
pub(super) async fn keys<O: Operations>(
    State(operations): State<Arc<O>>,
    Path(organization): Path<String>,
) -> Result<Json<ApiKeyList>, ApiError> {
    let organization = find(&*operations, &organization).await?;
    keys::listed(&*operations, &organization.id).await
}

/// Makes a key of an organisation, which is shown this once. The organisation's audit log tells of it.
pub(super) async fn create_key<O: Operations>(
    State(operations): State<Arc<O>>,
    Path(organization): Path<String>,
    form: Form,
) -> Result<Response, ApiError> {
    let organization = find(&*operations, &organization).await?;
    keys::made(&*operations, &organization.id, None, form).await
}

/// What the installation has, in numbers.
pub(super) async fn status<O: Operations>(State(operations): State<Arc<O>>) -> Result<Json<Value>, ApiError> {
    let counts = operations.store().installation_counts(operations.now()).await?;
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "organizations": counts.organizations,
        "usable_api_keys": counts.usable_api_keys,
        "console_sessions": counts.console_sessions,
        "telephony_configurations": counts.telephony_configurations,
        "phone_numbers": counts.phone_numbers,
        "calls_in_progress": counts.calls_in_progress,
    })))
}

pub(super) async fn find<O: Operations>(operations: &O, id: &str) -> Result<Organization, ApiError> {
    let id = OrganizationId::parse(id).map_err(|_| ApiError::NotFound("organization"))?;
    Ok(operations.store().find_organization(&id).await?)
}
