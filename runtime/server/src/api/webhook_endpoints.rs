//! Where a tenant's events are sent to, and what became of them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use url::{Host, Url};
use utoipa::{IntoParams, ToSchema};

use super::authentication::Caller;
use super::etag::{Conditions, IfMatch, IfNoneMatch, Tagged};
use super::form::Form;
use super::page::{Asked, PageQuery};
use super::path::Path;
use super::schema::{Id, Message, Timestamp};
use super::{ApiError, Operations};
use crate::egress::{AddressPolicy, HostGrant, IpNetwork};
use crate::outbox::{EventType, OutgoingEvent, WebhookSecret};
use crate::store::{
    DeliveryRecord, DeliveryState, OrganizationId, OutgoingEventId, StoreError, WebhookEndpoint, WebhookEndpointId,
    WebhookEndpointSettings,
};

const URL_CHARS_MAX: usize = 2_048;
const DESCRIPTION_CHARS_MAX: usize = 255;
/// How often a change is tried that others keep getting ahead of.
const ATTEMPTS_MAX: u32 = 16;
/// Stands for all types of events.
const ALL: &str = "*";

/// Where events are sent to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(super) struct EndpointView {
    #[schema(value_type = Id)]
    id: WebhookEndpointId,
    #[schema(format = "uri")]
    url: String,
    /// For people.
    description: Option<String>,
    /// `*` for all, or those that are wanted.
    #[schema(example = json!(["call.created", "call.ended"]))]
    event_types: Vec<&'static str>,
    enabled: bool,
    /// When the gateway gave it up, unless it was enabled since.
    disabled_at: Option<Timestamp>,
    disabled_reason: Option<String>,
    /// Since when nothing has come through.
    failing_since: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// An endpoint that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeWebhookEndpoint {
    #[serde(flatten)]
    endpoint: EndpointView,
    /// What its events are signed with, shown this once.
    #[schema(example = "whsec_…")]
    secret: String,
}

/// All endpoints, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookEndpointList {
    webhook_endpoints: Vec<EndpointView>,
    /// Always null: there are so few that they fit on one page.
    next_cursor: Option<String>,
}

/// An endpoint to make.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `settings` reads")]
pub(super) struct NewWebhookEndpoint {
    /// `https://…`; `http://…` only in networks that the operator has allowed.
    #[schema(
        max_length = 2048,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "https://example.com/hooks"
    )]
    url: String,
    /// For people; empty for none.
    #[schema(max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", example = "Billing")]
    description: Option<String>,
    /// `["*"]` for all, or a list of types of events.
    #[schema(min_items = 1, example = json!(["*"]))]
    event_types: Option<Vec<String>>,
    #[schema(default = true)]
    enabled: Option<bool>,
}

/// What to change in an endpoint: what is left out stays.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `settings` reads")]
pub(super) struct WebhookEndpointChange {
    #[schema(
        max_length = 2048,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "https://example.com/hooks"
    )]
    url: Option<String>,
    /// Empty for none.
    #[schema(max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    description: Option<String>,
    /// `["*"]` for all, or a list of types of events.
    #[schema(min_items = 1, example = json!(["call.ended"]))]
    event_types: Option<Vec<String>>,
    /// An endpoint that is enabled again begins anew: what failed before is forgotten.
    enabled: Option<bool>,
}

/// A new secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RotatedWebhookSecret {
    /// Shown this once.
    #[schema(example = "whsec_…")]
    secret: String,
    /// Until then the secret before signs beside it.
    previous_secret_signs_until: Timestamp,
}

/// What became of an event on its way to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryView {
    /// The event's, which the endpoint sees as `webhook-id`.
    #[schema(value_type = Id)]
    id: OutgoingEventId,
    #[schema(example = "call.ended")]
    event_type: String,
    #[schema(value_type = DeliveryStateName)]
    state: &'static str,
    /// Since it happened, or was sent again.
    #[schema(minimum = 0)]
    attempts: u32,
    next_attempt_at: Option<Timestamp>,
    last_attempt_at: Option<Timestamp>,
    /// What the endpoint answered then.
    #[schema(minimum = 100, maximum = 999)]
    last_status: Option<u16>,
    /// What went wrong then, in a word.
    last_error: Option<String>,
    created_at: Timestamp,
    /// When it was delivered or given up.
    settled_at: Option<Timestamp>,
}

/// How far a delivery is.
#[derive(ToSchema)]
#[schema(as = DeliveryState, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes `DeliveryState`")]
pub(super) enum DeliveryStateName {
    /// It is to be attempted, now or later.
    Pending,
    /// The endpoint has it.
    Delivered,
    /// Given up; it can be sent again.
    Dead,
}

/// A page of deliveries, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryList {
    deliveries: Vec<DeliveryView>,
    next_cursor: Option<String>,
}

/// Which deliveries.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `deliveries` reads")]
struct DeliveryQuery {
    /// Only those that are so far.
    #[param(inline)]
    state: Option<DeliveryStateName>,
}

/// What is sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Resent {
    /// How many.
    #[schema(minimum = 0)]
    resent: u64,
}

/// List webhook endpoints
#[utoipa::path(get, path = "/api/v1/webhook-endpoints", tag = "Events", operation_id = "listWebhookEndpoints",
    responses((status = 200, description = "All endpoints.", body = WebhookEndpointList)))]
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<WebhookEndpointList>, ApiError> {
    let endpoints = operations.store().webhook_endpoints(&organization).await?;
    Ok(Json(WebhookEndpointList {
        webhook_endpoints: endpoints.iter().map(shown).collect(),
        next_cursor: None,
    }))
}

/// Make a webhook endpoint
///
/// Its secret is shown this once. An organisation has at most 10.
#[utoipa::path(post, path = "/api/v1/webhook-endpoints", tag = "Events", operation_id = "createWebhookEndpoint",
    request_body = NewWebhookEndpoint, responses((status = 201, description = "The endpoint.", body = MadeWebhookEndpoint)))]
pub(super) async fn create<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    form: Form,
) -> Result<Tagged<MadeWebhookEndpoint>, ApiError> {
    let settings = settings(form, None, operations.allow_networks())?;
    let secret = WebhookSecret::generate().map_err(StoreError::from)?;
    let id = WebhookEndpointId::generate();
    let endpoint = operations
        .store()
        .create_webhook_endpoint(&organization, &id, &settings, &secret, operations.now())
        .await?;
    let made = MadeWebhookEndpoint {
        endpoint: shown(&endpoint),
        secret: secret.expose().to_owned(),
    };
    Ok(Tagged::created(endpoint.version, made))
}

/// Read a webhook endpoint
#[utoipa::path(get, path = "/api/v1/webhook-endpoints/{endpoint}", tag = "Events", operation_id = "readWebhookEndpoint",
    params(IfNoneMatch), responses((status = 200, description = "The endpoint.", body = EndpointView)))]
pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Tagged<EndpointView>, ApiError> {
    let endpoint = find(operations.as_ref(), &organization, &id).await?;
    Ok(Tagged::read(endpoint.version, shown(&endpoint), conditions))
}

/// Change a webhook endpoint
///
/// What is left out stays.
#[utoipa::path(put, path = "/api/v1/webhook-endpoints/{endpoint}", tag = "Events", operation_id = "updateWebhookEndpoint",
    request_body = WebhookEndpointChange, params(IfMatch),
    responses((status = 200, description = "The endpoint as it is now.", body = EndpointView)))]
pub(super) async fn update<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    conditions: Conditions,
    form: Form,
) -> Result<Tagged<EndpointView>, ApiError> {
    let mut attempts = 0;
    loop {
        let stored = find(operations.as_ref(), &organization, &id).await?;
        conditions.require(stored.version)?;
        let settings = settings(form.clone(), Some(&stored.settings), operations.allow_networks())?;
        let changed = operations
            .store()
            .update_webhook_endpoint(&organization, &stored.id, &settings, stored.version, operations.now())
            .await;
        attempts += 1;
        match changed {
            Ok(endpoint) => return Ok(Tagged::new(endpoint.version, shown(&endpoint))),
            // What this request leaves out stays as the other one has written it, or the gateway, which may have given the
            // endpoint up meanwhile. One that names a version is told above.
            Err(StoreError::Stale) if conditions.is_strict() || attempts < ATTEMPTS_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Delete a webhook endpoint
///
/// With everything that waits for it.
#[utoipa::path(delete, path = "/api/v1/webhook-endpoints/{endpoint}", tag = "Events", operation_id = "deleteWebhookEndpoint",
    params(IfMatch), responses((status = 200, description = "It is gone.", body = Message)))]
pub(super) async fn delete<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Json<Message>, ApiError> {
    let endpoint = find(operations.as_ref(), &organization, &id).await?;
    let expected = conditions.expected(endpoint.version)?;
    let deleted = operations
        .store()
        .delete_webhook_endpoint(&organization, &endpoint.id, expected)
        .await;
    deleted.map_err(|error| conditions.told(error))?;
    Ok(Message::new(
        "the webhook endpoint was deleted, with what waited for it",
    ))
}

/// Give a webhook endpoint a new secret
///
/// The one before signs beside it for a day.
#[utoipa::path(post, path = "/api/v1/webhook-endpoints/{endpoint}/rotate-secret", tag = "Events", operation_id = "rotateWebhookSecret",
    responses((status = 200, description = "The new secret.", body = RotatedWebhookSecret)))]
pub(super) async fn rotate<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<RotatedWebhookSecret>, ApiError> {
    let id = parse_id(&id)?;
    let secret = WebhookSecret::generate().map_err(StoreError::from)?;
    let until = operations
        .store()
        .rotate_webhook_secret(&organization, &id, &secret, operations.now())
        .await?;
    Ok(Json(RotatedWebhookSecret {
        secret: secret.expose().to_owned(),
        previous_secret_signs_until: Timestamp(until),
    }))
}

/// Send a test event
///
/// A `ping`, which says whether anything arrives.
#[utoipa::path(post, path = "/api/v1/webhook-endpoints/{endpoint}/test", tag = "Events", operation_id = "testWebhookEndpoint",
    responses((status = 202, description = "It is on its way.", body = DeliveryView)))]
pub(super) async fn test<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<DeliveryView>), ApiError> {
    let endpoint = find_enabled(operations.as_ref(), &organization, &id).await?;
    let delivery = operations
        .store()
        .spool_to(&organization, &endpoint.id, &OutgoingEvent::ping(), operations.now())
        .await?;
    Ok((StatusCode::ACCEPTED, Json(shown_delivery(&delivery))))
}

/// List what became of events
///
/// The newest first.
#[utoipa::path(get, path = "/api/v1/webhook-endpoints/{endpoint}/deliveries", tag = "Events", operation_id = "listDeliveries",
    params(PageQuery, DeliveryQuery), responses((status = 200, description = "A page of deliveries.", body = DeliveryList)))]
pub(super) async fn deliveries<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<DeliveryList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<OutgoingEventId>::read(&mut form, "deliveries");
    let names = DeliveryState::ALL.map(DeliveryState::as_str);
    let state = form.choice("state", &names, DeliveryState::parse);
    form.finish()?;
    let endpoint = find(operations.as_ref(), &organization, &id).await?;
    let mut deliveries = operations
        .store()
        .deliveries(&endpoint.id, state, page.after.as_ref(), page.rows())
        .await?;
    let next_cursor = page.cut(&mut deliveries, |delivery| delivery.event.clone());
    Ok(Json(DeliveryList {
        deliveries: deliveries.iter().map(shown_delivery).collect(),
        next_cursor,
    }))
}

/// Send an event again
///
/// One that was given up.
#[utoipa::path(post, path = "/api/v1/webhook-endpoints/{endpoint}/deliveries/{delivery}/resend", tag = "Events", operation_id = "resendDelivery",
    responses((status = 202, description = "It is on its way.", body = Resent)))]
pub(super) async fn resend<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Resent>), ApiError> {
    let delivery = OutgoingEventId::parse(&delivery).map_err(|_| ApiError::NotFound("delivery"))?;
    resend_some(operations.as_ref(), &organization, &id, Some(&delivery)).await
}

/// Send all events again that were given up
#[utoipa::path(post, path = "/api/v1/webhook-endpoints/{endpoint}/resend-dead", tag = "Events", operation_id = "resendDeadDeliveries",
    responses((status = 202, description = "They are on their way.", body = Resent)))]
pub(super) async fn resend_dead<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Resent>), ApiError> {
    resend_some(operations.as_ref(), &organization, &id, None).await
}

async fn resend_some<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    id: &str,
    only: Option<&OutgoingEventId>,
) -> Result<(StatusCode, Json<Resent>), ApiError> {
    let endpoint = find_enabled(operations, organization, id).await?;
    let resent = operations
        .store()
        .resend_dead(&endpoint.id, only, operations.now())
        .await?;
    Ok((StatusCode::ACCEPTED, Json(Resent { resent })))
}

fn parse_id(text: &str) -> Result<WebhookEndpointId, ApiError> {
    WebhookEndpointId::parse(text).map_err(|_| ApiError::NotFound("webhook endpoint"))
}

async fn find<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    id: &str,
) -> Result<WebhookEndpoint, ApiError> {
    let id = parse_id(id)?;
    Ok(operations.store().find_webhook_endpoint(organization, &id).await?)
}

async fn find_enabled<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    id: &str,
) -> Result<WebhookEndpoint, ApiError> {
    let endpoint = find(operations, organization, id).await?;
    if endpoint.settings.enabled {
        Ok(endpoint)
    } else {
        let message = "the endpoint is disabled, and nothing is sent to it; enable it first";
        Err(ApiError::Conflict("endpoint_disabled", message.to_owned()))
    }
}

/// Reads settings; what is not sent stays as stored, or has its default.
fn settings(
    mut form: Form,
    stored: Option<&WebhookEndpointSettings>,
    networks: &[IpNetwork],
) -> Result<WebhookEndpointSettings, ApiError> {
    let sent = form.text("url", URL_CHARS_MAX);
    if let Some(url) = &sent
        && let Err(problem) = check_url(url, networks)
    {
        form.problem("url", problem);
    }
    let url = sent.or_else(|| stored.map(|stored| stored.url.clone()));
    let url = form.required("url", url);
    let description = match form.value("description") {
        None => stored.and_then(|stored| stored.description.clone()),
        Some(value) => match value.as_str().map(str::trim) {
            Some("") => None,
            Some(text) if text.chars().count() <= DESCRIPTION_CHARS_MAX && !text.chars().any(char::is_control) => {
                Some(text.to_owned())
            }
            _ => {
                form.problem(
                    "description",
                    format!("must be a text of at most {DESCRIPTION_CHARS_MAX} characters on one line"),
                );
                None
            }
        },
    };
    let event_types = match form.value("event_types") {
        None => stored.and_then(|stored| stored.event_types.clone()),
        Some(value) => event_types(&mut form, &value),
    };
    let enabled = form
        .flag("enabled")
        .or(stored.map(|stored| stored.enabled))
        .unwrap_or(true);
    form.finish()?;
    Ok(WebhookEndpointSettings {
        url,
        description,
        event_types,
        enabled,
    })
}

fn event_types(form: &mut Form, value: &Value) -> Option<Vec<EventType>> {
    let names: Option<Vec<&str>> = value
        .as_array()
        .and_then(|names| names.iter().map(Value::as_str).collect());
    if names.as_deref() == Some(&[ALL]) {
        return None;
    }
    let types: Option<Vec<EventType>> = names.and_then(|names| names.into_iter().map(EventType::parse).collect());
    match types {
        Some(mut types) if !types.is_empty() => {
            types.sort_unstable();
            types.dedup();
            Some(types)
        }
        _ => {
            let known = EventType::CHOICES.map(EventType::as_str).join(", ");
            form.problem(
                "event_types",
                format!("must be [\"{ALL}\"] for all, or a list of {known}"),
            );
            None
        }
    }
}

/// Refuses what could never be delivered to. What a name leads to is only known, and checked, whenever it is connected to.
fn check_url(text: &str, networks: &[IpNetwork]) -> Result<(), &'static str> {
    const HTTPS: &str = "must begin with https:// and a host; http:// is for networks that the operator has allowed";
    let url = Url::parse(text).map_err(|_| "must be a URL such as https://example.com/webhooks")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user name or password in it; the signature says who sends");
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment");
    }
    HostGrant::of_url(&url).map_err(|_| HTTPS)?;
    let policy = match url.scheme() {
        "http" if networks.is_empty() => return Err(HTTPS),
        "http" => AddressPolicy::only(networks.to_vec()),
        _ => AddressPolicy::new(networks.to_vec()),
    };
    let address: Option<IpAddr> = match url.host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        Some(Host::Domain(_)) | None => None,
    };
    match address.map(|address| policy.check(address)) {
        Some(Err(_)) if url.scheme() == "http" => Err(HTTPS),
        Some(Err(_)) => Err("is in a network that is not public; the operator may allow it with `allow_networks`"),
        Some(Ok(())) | None => Ok(()),
    }
}

fn shown(endpoint: &WebhookEndpoint) -> EndpointView {
    let settings = &endpoint.settings;
    let types = settings
        .event_types
        .as_ref()
        .map_or_else(|| vec![ALL], |types| types.iter().map(|kind| kind.as_str()).collect());
    EndpointView {
        id: endpoint.id.clone(),
        url: settings.url.clone(),
        description: settings.description.clone(),
        event_types: types,
        enabled: settings.enabled,
        disabled_at: endpoint.disabled.as_ref().map(|(at, _)| Timestamp(*at)),
        disabled_reason: endpoint.disabled.as_ref().map(|(_, reason)| reason.clone()),
        failing_since: endpoint.failing_since.map(Timestamp),
        created_at: Timestamp(endpoint.created_at),
        updated_at: Timestamp(endpoint.updated_at),
    }
}

fn shown_delivery(delivery: &DeliveryRecord) -> DeliveryView {
    DeliveryView {
        id: delivery.event.clone(),
        event_type: delivery.event_type.clone(),
        state: delivery.state.as_str(),
        attempts: delivery.attempts,
        next_attempt_at: delivery.next_attempt_at.map(Timestamp),
        last_attempt_at: delivery.last_attempt_at.map(Timestamp),
        last_status: delivery.last_status,
        last_error: delivery.last_error.clone(),
        created_at: Timestamp(delivery.created_at),
        settled_at: delivery.settled_at.map(Timestamp),
    }
}
