//! Providers: what a client needs to know to draw their forms, and how an organisation, or the operator for all of them,
//! installs them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use strowger_host::spec;
use strowger_host::structure::COMPONENT_BYTES_MAX;
use strowger_host::{Ability, LoadError};
use utoipa::{IntoParams, ToSchema};

use super::authentication::{Actor, Caller};
use super::form::Form;
use super::page::{Asked, PageQuery};
use super::path::Path;
use super::schema::{Binary, FreeObject, Timestamp};
use super::{ApiError, Operations, ProviderView, unbroken};
use crate::catalogue::Catalogued;
use crate::install::{InstallError, Installer, Page, Upload};
use crate::store::{Installed, Party, ProviderVersion};

/// What a client needs to know of a provider.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderMetadata {
    /// Name in configurations and paths.
    provider: String,
    display_name: String,
    /// As its author counts.
    version: String,
    #[schema(value_type = Connectivity, inline)]
    connectivity: spec::Connectivity,
    /// Whether outbound calls must show a number.
    requires_caller_id: bool,
    /// The field that webhooks name the account by.
    account_id_field: Option<String>,
    /// What a configuration takes.
    #[schema(value_type = Vec<ProviderField>)]
    fields: Vec<spec::Field>,
    supports_trunks: bool,
    /// What a trunk's `settings` take.
    #[schema(value_type = Vec<ProviderField>)]
    trunk_fields: Vec<spec::Field>,
    /// The optional interfaces that it exports.
    abilities: Vec<&'static str>,
    docs_url: Option<String>,
}

/// How calls reach the carrier: over its API, or over SIP trunks that the user connects.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "describes `spec::Connectivity`")]
pub(super) enum Connectivity {
    Api,
    Sip,
}

/// A credential or setting.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `spec::Field`")]
struct ProviderField {
    name: String,
    label: String,
    #[schema(rename = "type", inline)]
    kind: ProviderFieldType,
    required: bool,
    /// Shown masked.
    sensitive: bool,
    /// Set by the provider, never by a user.
    server_managed: bool,
    /// Discarded when the account id changes.
    account_scoped: bool,
    description: Option<String>,
    placeholder: Option<String>,
    /// Choices of a select field.
    options: Vec<ProviderFieldChoice>,
    /// Shown only when another field has a value.
    visible_when: Option<ProviderFieldCondition>,
    /// Heading in the form.
    section: Option<String>,
}

/// How a field is entered, and what type its value has.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "describes `spec::FieldType`")]
enum ProviderFieldType {
    Text,
    Password,
    Textarea,
    StringArray,
    Number,
    Boolean,
    Select,
    Readonly,
}

/// One choice of a select field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `spec::Choice`")]
struct ProviderFieldChoice {
    value: String,
    label: String,
}

/// When a field is shown.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `spec::Condition`")]
struct ProviderFieldCondition {
    field: String,
    equals: Value,
}

/// A page of providers, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderMetadataList {
    providers: Vec<ProviderMetadata>,
    next_cursor: Option<String>,
}

/// Describe providers
///
/// What a form for each takes. By name.
#[utoipa::path(get, path = "/api/v1/organizations/telephony-providers/metadata", tag = "Providers", operation_id = "describeProviders", params(PageQuery),
    responses((status = 200, description = "A page of providers.", body = ProviderMetadataList)))]
pub(super) async fn metadata<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<ProviderMetadataList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<String>::read(&mut form, "provider-metadata");
    form.finish()?;
    let mut providers = operations.providers(&organization);
    providers.retain(|provider| page.after.as_ref().is_none_or(|after| provider.spec.name > *after));
    let next_cursor = page.cut(&mut providers, |provider| provider.spec.name.clone());
    Ok(Json(ProviderMetadataList {
        providers: providers.iter().map(describe).collect(),
        next_cursor,
    }))
}

fn describe(provider: &ProviderView) -> ProviderMetadata {
    let spec = &provider.spec;
    let fields = spec.fields.iter().filter(|field| !field.server_managed);
    ProviderMetadata {
        provider: spec.name.clone(),
        display_name: spec.display_name.clone(),
        version: spec.version.clone(),
        connectivity: spec.connectivity,
        requires_caller_id: spec.requires_caller_id,
        account_id_field: spec.account_id_field.clone(),
        fields: fields.cloned().collect(),
        supports_trunks: provider.can(Ability::Trunks),
        trunk_fields: provider.trunk_fields.clone(),
        abilities: provider.abilities.iter().map(|ability| ability.name()).collect(),
        docs_url: spec.docs_url.clone(),
    }
}

/// Longest wait for the bytes of a component: one that trickles in holds a place that others need.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(120);
/// A detached signature, in base64, as it stands in its file.
const SIGNATURE_HEADER: &str = "strowger-signature";
/// Longest host name (RFC 1035), in characters.
const HOST_CHARS_MAX: usize = 253;
/// Longest name of where a component came from, in characters.
const SOURCE_CHARS_MAX: usize = 200;

/// Where a component is from.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `install` reads")]
struct InstallQuery {
    /// Pins the component: `sha256:` and 64 hexadecimal digits.
    #[param(max_length = 71)]
    digest: Option<String>,
    /// Where it came from, for people.
    #[param(
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    source: Option<String>,
}

/// Install a provider
///
/// Examines a component and installs it for whoever sends it, where it takes no calls before it is adopted. The answer is the
/// page that says what it may ever do.
#[utoipa::path(post, path = "/api/v1/organizations/telephony-providers", tag = "Providers", operation_id = "installProvider",
    params(InstallQuery, ("strowger-signature" = Option<String>, Header, description = "A detached signature, in base64.")),
    request_body(content = Binary, content_type = "application/wasm", description = "The component, at most 64 MiB."),
    responses((status = 201, description = "It is installed, and takes no calls.", body = Page),
        (status = 200, description = "It was installed before.", body = Page)))]
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
            let message = format!("the header {SIGNATURE_HEADER} must be the signature's file in base64");
            ApiError::Refused("invalid_signature", message)
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

/// A provider with its versions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderVersions {
    provider: String,
    /// Whether the organisation has installed it itself, and so may change it.
    own: bool,
    /// Digest of the version that takes new calls.
    live: Option<String>,
    /// Digest of the version that a roll back returns to.
    previous: Option<String>,
    canary: Option<CanaryView>,
    /// Digest of the version that runs beside the live one without effect.
    shadow: Option<String>,
    /// The newest first.
    versions: Vec<VersionView>,
}

/// A version that takes a share of new calls.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Canary)]
struct CanaryView {
    digest: String,
    /// Of 1000 calls.
    #[schema(minimum = 0, maximum = 1000)]
    share_permille: u16,
}

/// A version of a provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProviderVersion)]
struct VersionView {
    /// SHA-256 of the component, hexadecimal.
    digest: String,
    version: String,
    #[schema(minimum = 0)]
    size_bytes: u64,
    /// Hosts that it asks for.
    declared_hosts: Vec<String>,
    /// Those that somebody has confirmed; null when nobody was asked yet.
    granted_hosts: Option<Vec<String>>,
    /// Where it came from; null for the operator's.
    source: Option<String>,
    signer: Option<String>,
    installed_at: Timestamp,
    /// When, and how, it last failed so often that somebody should know.
    fault: Option<Fault>,
    /// Since when it takes no calls because of that.
    quarantined_at: Option<Timestamp>,
    /// What its examination found.
    #[schema(value_type = Option<FreeObject>)]
    page: Option<Value>,
}

/// How a version failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VersionFault)]
struct Fault {
    at: Timestamp,
    reason: String,
}

/// A page of providers with their versions, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderList {
    providers: Vec<ProviderVersions>,
    next_cursor: Option<String>,
}

/// A version that is to take all new calls.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `adopt` reads")]
pub(super) struct Adoption {
    /// The hosts that it may reach, as it declares them.
    #[schema(max_items = 16)]
    hosts: Option<Vec<String>>,
}

/// A version that is to take a share of new calls.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `canary` reads")]
pub(super) struct CanaryShare {
    /// Of 1000 calls; 0 ends it.
    #[schema(minimum = 0, maximum = 1000)]
    share_permille: u16,
    /// The hosts that it may reach, as it declares them.
    #[schema(max_items = 16)]
    hosts: Option<Vec<String>>,
}

/// List providers with their versions
///
/// By name.
#[utoipa::path(get, path = "/api/v1/organizations/telephony-providers", tag = "Providers", operation_id = "listProviders", params(PageQuery),
    responses((status = 200, description = "A page of providers.", body = ProviderList)))]
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Actor(viewer): Actor,
    RawQuery(query): RawQuery,
) -> Result<Json<ProviderList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<String>::read(&mut form, "providers");
    form.finish()?;
    let mut catalogued = operations.catalogue().list(&viewer).await?;
    catalogued.retain(|provider| page.after.as_ref().is_none_or(|after| provider.channel.name > *after));
    let next_cursor = page.cut(&mut catalogued, |provider| provider.channel.name.clone());
    Ok(Json(ProviderList {
        providers: catalogued.iter().map(|provider| versions(&viewer, provider)).collect(),
        next_cursor,
    }))
}

fn versions(viewer: &Party, provider: &Catalogued) -> ProviderVersions {
    let Catalogued { channel, versions } = provider;
    // How the operator's fare, and where they are from, is between the operator and the log.
    let own = viewer.may_change(&channel.owner);
    let shown = |version: &ProviderVersion| VersionView {
        digest: version.digest.clone(),
        version: version.version.clone(),
        size_bytes: version.size_bytes,
        declared_hosts: version.declared_hosts.clone(),
        granted_hosts: version.granted_hosts.clone(),
        source: own.then(|| version.source.clone()),
        signer: version.signer.clone(),
        installed_at: Timestamp(version.installed_at),
        fault: version.fault.as_ref().filter(|_| own).map(|fault| Fault {
            at: Timestamp(fault.at),
            reason: fault.reason.clone(),
        }),
        quarantined_at: version.quarantined_at.filter(|_| own).map(Timestamp),
        page: version.report.clone(),
    };
    ProviderVersions {
        provider: channel.name.clone(),
        own,
        live: channel.live.clone(),
        previous: channel.previous.clone(),
        canary: channel.canary.as_ref().map(|canary| CanaryView {
            digest: canary.digest.clone(),
            share_permille: canary.permille,
        }),
        shadow: channel.shadow.clone(),
        versions: versions.iter().map(shown).collect(),
    }
}

/// Adopt a version
///
/// Lets a version take new calls, with the hosts that the client has confirmed.
#[utoipa::path(post, path = "/api/v1/organizations/telephony-providers/{provider}/versions/{digest}/adopt", tag = "Providers", operation_id = "adoptVersion",
    request_body = Adoption, responses((status = 200, description = "The provider as it is now.", body = ProviderVersions)))]
pub(super) async fn adopt<O: Operations>(
    State(operations): State<Arc<O>>,
    Actor(actor): Actor,
    Path((name, digest)): Path<(String, String)>,
    mut form: Form,
) -> Result<Json<ProviderVersions>, ApiError> {
    let hosts = hosts(&mut form);
    form.finish()?;
    let catalogue = operations.catalogue();
    catalogue.adopt(&actor, &name, &digest, hosts.as_deref()).await?;
    changed(&*operations, &actor, &name).await
}

/// Roll back
///
/// Lets the version before take new calls again.
#[utoipa::path(post, path = "/api/v1/organizations/telephony-providers/{provider}/rollback", tag = "Providers", operation_id = "rollBackProvider",
    responses((status = 200, description = "The provider as it is now.", body = ProviderVersions)))]
pub(super) async fn roll_back<O: Operations>(
    State(operations): State<Arc<O>>,
    Actor(actor): Actor,
    Path(name): Path<String>,
) -> Result<Json<ProviderVersions>, ApiError> {
    operations.catalogue().roll_back(&actor, &name).await?;
    changed(&*operations, &actor, &name).await
}

/// Try a version
///
/// Lets it take a share of new calls; none with a share of 0.
#[utoipa::path(post, path = "/api/v1/organizations/telephony-providers/{provider}/versions/{digest}/canary", tag = "Providers", operation_id = "setCanary",
    request_body = CanaryShare, responses((status = 200, description = "The provider as it is now.", body = ProviderVersions)))]
pub(super) async fn canary<O: Operations>(
    State(operations): State<Arc<O>>,
    Actor(actor): Actor,
    Path((name, digest)): Path<(String, String)>,
    mut form: Form,
) -> Result<Json<ProviderVersions>, ApiError> {
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

/// Remove a version
///
/// One that nothing needs.
#[utoipa::path(delete, path = "/api/v1/organizations/telephony-providers/{provider}/versions/{digest}", tag = "Providers", operation_id = "removeVersion",
    responses((status = 204, description = "It is gone.")))]
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
async fn changed<O: Operations>(operations: &O, actor: &Party, name: &str) -> Result<Json<ProviderVersions>, ApiError> {
    operations.refresh_providers().await;
    let catalogued = operations.catalogue().list(actor).await?;
    let provider = catalogued.iter().find(|provider| provider.channel.name == name);
    let provider = provider.ok_or(ApiError::NotFound("provider"))?;
    Ok(Json(versions(actor, provider)))
}

fn hosts(form: &mut Form) -> Option<Vec<String>> {
    let hosts = serde_json::from_value::<Vec<String>>(form.value("hosts")?).ok();
    let hosts = hosts.filter(|hosts| {
        hosts.len() <= spec::EGRESS_HOSTS_MAX && hosts.iter().all(|host| host.chars().count() <= HOST_CHARS_MAX)
    });
    if hosts.is_none() {
        form.problem(
            "hosts",
            format!(
                "must be a list of at most {} hosts, each as the component declares it",
                spec::EGRESS_HOSTS_MAX
            ),
        );
    }
    hosts
}
