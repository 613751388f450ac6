//! Providers: what a client needs to know to draw their forms, and how an organisation, or the operator for all of them,
//! installs them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strowger_host::structure::COMPONENT_BYTES_MAX;
use strowger_host::{Ability, LoadError};

use super::authentication::{Actor, Caller};
use super::form::Form;
use super::path::Path;
use super::timestamp::{optional, rfc3339};
use super::{ApiError, Operations, ProviderView, unbroken};
use crate::catalogue::Catalogued;
use crate::install::{InstallError, Installer, Upload};
use crate::store::{Installed, Party};

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

/// Longest wait for the bytes of a component: one that trickles in holds a place that others need.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(120);
/// A detached signature, in base64, as it stands in its file.
const SIGNATURE_HEADER: &str = "strowger-signature";
/// Longest name of where a component came from, in characters.
const SOURCE_CHARS_MAX: usize = 200;

/// Examines a component and installs it for whoever sends it, where it takes no calls before it is adopted. The answer is the
/// page that says what it may ever do.
pub(super) async fn install<O: Operations>(
    State(operations): State<Arc<O>>,
    Actor(owner): Actor,
    request: Request,
) -> Result<Response, ApiError> {
    let installer = operations.installer().clone();
    // Before the body is read, which may be large.
    let admission = installer.admit(&owner)?;
    let mut form = Form::of_query(request.uri().query());
    let digest = form.text("digest", 71);
    let source = form.text("source", SOURCE_CHARS_MAX);
    form.finish()?;
    let signature = match request.headers().get(SIGNATURE_HEADER) {
        Some(value) => Some(STANDARD.decode(value.as_bytes()).map_err(|_| {
            ApiError::Malformed(format!(
                "the header {SIGNATURE_HEADER} must be the signature's file in base64"
            ))
        })?),
        None => None,
    };
    let body = axum::body::to_bytes(request.into_body(), COMPONENT_BYTES_MAX + 1);
    let bytes = match tokio::time::timeout(UPLOAD_TIME_MAX, body).await {
        Ok(Ok(bytes)) => bytes.to_vec(),
        // Larger than that, or the client has gone and hears nothing anyway.
        Ok(Err(_)) => {
            return Err(InstallError::from(LoadError::TooLarge {
                bytes: COMPONENT_BYTES_MAX + 1,
                max: COMPONENT_BYTES_MAX,
            })
            .into());
        }
        Err(_) => {
            return Err(ApiError::Malformed(format!(
                "the component did not arrive within {} s",
                UPLOAD_TIME_MAX.as_secs()
            )));
        }
    };
    let upload = Upload {
        bytes,
        signature,
        digest,
        source: source.unwrap_or_else(|| "uploaded".to_owned()),
    };
    // To its end even when the client goes away: what was examined is then installed, or leaves nothing behind.
    unbroken(async move {
        Installer::make_room(operations.catalogue(), &owner, &upload.bytes).await?;
        let examined = installer.examine(&admission, upload).await?;
        let installed = examined.install(operations.catalogue(), owner).await?;
        let status = match installed {
            Installed::Added => StatusCode::CREATED,
            Installed::Unchanged => StatusCode::OK,
        };
        Ok((status, Json(examined.page)).into_response())
    })
    .await
}

/// The providers that exist for who asks, with their versions.
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Actor(viewer): Actor,
) -> Result<Json<Value>, ApiError> {
    let catalogued = operations.catalogue().list(&viewer).await?;
    let providers: Vec<Value> = catalogued.iter().map(|provider| versions(&viewer, provider)).collect();
    Ok(Json(json!({ "providers": providers })))
}

fn versions(viewer: &Party, provider: &Catalogued) -> Value {
    let Catalogued { channel, versions } = provider;
    // How the operator's fare, and where they are from, is between the operator and the log.
    let own = viewer.may_change(&channel.owner);
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| {
            json!({
                "digest": version.digest,
                "version": version.version,
                "size_bytes": version.size_bytes,
                "declared_hosts": version.declared_hosts,
                "granted_hosts": version.granted_hosts,
                "source": own.then_some(&version.source),
                "signer": version.signer,
                "installed_at": rfc3339(version.installed_at),
                "fault": version.fault.as_ref().filter(|_| own).map(|fault| json!({ "at": rfc3339(fault.at), "reason": fault.reason })),
                "quarantined_at": optional(version.quarantined_at.filter(|_| own)),
                "page": version.report,
            })
        })
        .collect();
    json!({
        "provider": channel.name,
        "own": own,
        "live": channel.live,
        "previous": channel.previous,
        "canary": channel.canary.as_ref().map(|canary| json!({ "digest": canary.digest, "share_permille": canary.permille })),
        "shadow": channel.shadow,
        "versions": versions,
    })
}

/// Lets a version take new calls, with the hosts that the client has confirmed.
pub(super) async fn adopt<O: Operations>(
    State(operations): State<Arc<O>>,
    Actor(actor): Actor,
    Path((name, digest)): Path<(String, String)>,
    mut form: Form,
) -> Result<Json<Value>, ApiError> {
    let hosts = hosts(&mut form);
    form.finish()?;
    let catalogue = operations.catalogue();
    catalogue.adopt(&actor, &name, &digest, hosts.as_deref()).await?;
    changed(&*operations, &actor, &name).await
}

/// Lets the version before take new calls again.
pub(super) async fn roll_back<O: Operations>(
    State(operations): State<Arc<O>>,
    Actor(actor): Actor,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    operations.catalogue().roll_back(&actor, &name).await?;
    changed(&*operations, &actor, &name).await
}

/// Lets a version take a share of new calls; none with a share of 0.
pub(super) async fn canary<O: Operations>(
    State(operations): State<Arc<O>>,
    Actor(actor): Actor,
    Path((name, digest)): Path<(String, String)>,
    mut form: Form,
) -> Result<Json<Value>, ApiError> {
    let share = form.number("share_permille", 0..=1000);
    let share = form.required("share_permille", share);
    let hosts = hosts(&mut form);
    form.finish()?;
    let share = u16::try_from(share).unwrap_or(u16::MAX);
    let catalogue = operations.catalogue();
    catalogue
        .set_canary(&actor, &name, &digest, share, hosts.as_deref())
        .await?;
    changed(&*operations, &actor, &name).await
}

/// Removes a version that nothing needs.
pub(super) async fn remove<O: Operations>(
    State(operations): State<Arc<O>>,
    Actor(actor): Actor,
    Path((name, digest)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let digest = operations.catalogue().find(&actor, &name, &digest).await?.digest;
    operations.catalogue().remove(&actor, &name, &digest).await?;
    operations.refresh_providers().await;
    operations.installer().forget(&digest);
    Ok(StatusCode::NO_CONTENT)
}

/// The provider as it is after a change, which new calls see already.
async fn changed<O: Operations>(operations: &O, actor: &Party, name: &str) -> Result<Json<Value>, ApiError> {
    operations.refresh_providers().await;
    let catalogued = operations.catalogue().list(actor).await?;
    let provider = catalogued.iter().find(|provider| provider.channel.name == name);
    let provider = provider.ok_or(ApiError::NotFound("provider"))?;
    Ok(Json(versions(actor, provider)))
}

fn hosts(form: &mut Form) -> Option<Vec<String>> {
    let hosts = serde_json::from_value::<Vec<String>>(form.value("hosts")?);
    if hosts.is_err() {
        form.problem("hosts", "must be a list of hosts, each as the component declares it");
    }
    hosts.ok()
}
