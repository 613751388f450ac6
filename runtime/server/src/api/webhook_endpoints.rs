//! Where a tenant's events are sent to, and what became of them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use url::{Host, Url};

use super::authentication::Caller;
use super::form::Form;
use super::path::Path;
use super::{ApiError, Operations, timestamp};
use crate::egress::{AddressPolicy, HostGrant, IpNetwork};
use crate::outbox::{EventType, OutgoingEvent, WebhookSecret};
use crate::store::{
    DeliveryRecord, DeliveryState, OrganizationId, OutgoingEventId, StoreError, WebhookEndpoint, WebhookEndpointId,
    WebhookEndpointSettings,
};

const URL_CHARS_MAX: usize = 2_048;
const DESCRIPTION_CHARS_MAX: usize = 255;
const PAGE_ROWS_MAX: u64 = 200;
const PAGE_ROWS_DEFAULT: u64 = 50;
/// Stands for all types of events.
const ALL: &str = "*";

pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<Value>, ApiError> {
    let endpoints = operations.store().webhook_endpoints(&organization).await?;
    let endpoints: Vec<Value> = endpoints.iter().map(shown).collect();
    // There are so few that they always fit on one page.
    Ok(Json(json!({ "webhook_endpoints": endpoints, "next_cursor": null })))
}

pub(super) async fn create<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    form: Form,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let settings = settings(form, None, operations.allow_networks())?;
    let secret = WebhookSecret::generate().map_err(StoreError::from)?;
    let id = WebhookEndpointId::generate();
    let endpoint = operations
        .store()
        .create_webhook_endpoint(&organization, &id, &settings, &secret, operations.now())
        .await?;
    let mut shown = shown(&endpoint);
    shown["secret"] = secret.expose().into();
    Ok((StatusCode::CREATED, Json(shown)))
}

pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(shown(&find(operations.as_ref(), &organization, &id).await?)))
}

pub(super) async fn update<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    form: Form,
) -> Result<Json<Value>, ApiError> {
    let stored = find(operations.as_ref(), &organization, &id).await?;
    let settings = settings(form, Some(&stored.settings), operations.allow_networks())?;
    let endpoint = operations
        .store()
        .update_webhook_endpoint(&organization, &stored.id, &settings, operations.now())
        .await?;
    Ok(Json(shown(&endpoint)))
}

pub(super) async fn delete<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = parse_id(&id)?;
    operations.store().delete_webhook_endpoint(&organization, &id).await?;
    Ok(Json(
        json!({ "message": "the webhook endpoint was deleted, with what waited for it" }),
    ))
}

pub(super) async fn rotate<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = parse_id(&id)?;
    let secret = WebhookSecret::generate().map_err(StoreError::from)?;
    let until = operations
        .store()
        .rotate_webhook_secret(&organization, &id, &secret, operations.now())
        .await?;
    Ok(Json(json!({
        "secret": secret.expose(),
        "previous_secret_signs_until": timestamp::rfc3339(until),
    })))
}

pub(super) async fn test<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let endpoint = find_enabled(operations.as_ref(), &organization, &id).await?;
    let delivery = operations
        .store()
        .spool_to(&organization, &endpoint.id, &OutgoingEvent::ping(), operations.now())
        .await?;
    Ok((StatusCode::ACCEPTED, Json(shown_delivery(&delivery))))
}

pub(super) async fn deliveries<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let limit = form.number("limit", 1..=PAGE_ROWS_MAX).unwrap_or(PAGE_ROWS_DEFAULT);
    let cursor = form.id("cursor", OutgoingEventId::parse);
    let names = DeliveryState::ALL.map(DeliveryState::as_str);
    let state = form.choice("state", &names, DeliveryState::parse);
    form.finish()?;
    let endpoint = find(operations.as_ref(), &organization, &id).await?;
    let rows = u32::try_from(limit).unwrap_or(u32::MAX);
    let mut deliveries = operations
        .store()
        .deliveries(&endpoint.id, state, cursor.as_ref(), rows + 1)
        .await?;
    let more = deliveries.len() > rows as usize;
    deliveries.truncate(rows as usize);
    let next = deliveries.last().filter(|_| more).map(|delivery| &delivery.event);
    Ok(Json(json!({
        "deliveries": deliveries.iter().map(shown_delivery).collect::<Vec<_>>(),
        "next_cursor": next,
    })))
}

pub(super) async fn resend<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let delivery = OutgoingEventId::parse(&delivery).map_err(|_| ApiError::NotFound("delivery"))?;
    resend_some(operations.as_ref(), &organization, &id, Some(&delivery)).await
}

pub(super) async fn resend_dead<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    resend_some(operations.as_ref(), &organization, &id, None).await
}

async fn resend_some<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    id: &str,
    only: Option<&OutgoingEventId>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let endpoint = find_enabled(operations, organization, id).await?;
    let count = operations
        .store()
        .resend_dead(&endpoint.id, only, operations.now())
        .await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "resent": count }))))
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

fn shown(endpoint: &WebhookEndpoint) -> Value {
    let settings = &endpoint.settings;
    let types = settings
        .event_types
        .as_ref()
        .map_or_else(|| vec![ALL], |types| types.iter().map(|kind| kind.as_str()).collect());
    json!({
        "id": endpoint.id,
        "url": settings.url,
        "description": settings.description,
        "event_types": types,
        "enabled": settings.enabled,
        "disabled_at": timestamp::optional(endpoint.disabled.as_ref().map(|(at, _)| *at)),
        "disabled_reason": endpoint.disabled.as_ref().map(|(_, reason)| reason),
        "failing_since": timestamp::optional(endpoint.failing_since),
        "created_at": timestamp::rfc3339(endpoint.created_at),
        "updated_at": timestamp::rfc3339(endpoint.updated_at),
    })
}

fn shown_delivery(delivery: &DeliveryRecord) -> Value {
    json!({
        "id": delivery.event,
        "event_type": delivery.event_type,
        "state": delivery.state.as_str(),
        "attempts": delivery.attempts,
        "next_attempt_at": timestamp::optional(delivery.next_attempt_at),
        "last_attempt_at": timestamp::optional(delivery.last_attempt_at),
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "created_at": timestamp::rfc3339(delivery.created_at),
        "settled_at": timestamp::optional(delivery.settled_at),
    })
}
