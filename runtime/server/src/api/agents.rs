//! Agents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use url::Url;

use super::authentication::Caller;
use super::form::Form;
use super::path::Path;
use super::{ApiError, Operations, mask, timestamp};
use crate::agent::Protocol;
use crate::store::{Agent, AgentId, AgentSettings, OrganizationId, SecretHeaders};

const NAME_CHARS_MAX: usize = 64;
const URL_CHARS_MAX: usize = 2_048;
const HEADERS_MAX: usize = 32;
/// Parameters as JSON text: they travel in the first message of every call.
const PARAMETERS_BYTES_MAX: usize = 8 * 1024;
const SAMPLE_RATES_HZ: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

/// What the WebSocket handshake itself says. An agent's own headers must not contradict it.
const HANDSHAKE_HEADERS: [HeaderName; 6] = [
    header::HOST,
    header::CONNECTION,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
];

pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<Value>, ApiError> {
    let agents = operations.store().agents(&organization).await?;
    Ok(Json(json!({ "agents": agents.iter().map(shown).collect::<Vec<_>>() })))
}

pub(super) async fn create<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    form: Form,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let settings = settings(form, None)?;
    let agent = operations
        .store()
        .create_agent(&organization, &AgentId::generate(), &settings, operations.now())
        .await?;
    Ok((StatusCode::CREATED, Json(shown(&agent))))
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
    let settings = settings(form, Some(&stored.settings))?;
    let agent = operations
        .store()
        .update_agent(&organization, &stored.id, &settings, operations.now())
        .await?;
    Ok(Json(shown(&agent)))
}

pub(super) async fn delete<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    operations.store().delete_agent(&organization, &parse_id(&id)?).await?;
    Ok(Json(json!({ "message": "the agent was deleted" })))
}

fn parse_id(text: &str) -> Result<AgentId, ApiError> {
    AgentId::parse(text).map_err(|_| ApiError::NotFound("agent"))
}

async fn find<O: Operations>(operations: &O, organization: &OrganizationId, id: &str) -> Result<Agent, ApiError> {
    Ok(operations.store().find_agent(organization, &parse_id(id)?).await?)
}

/// Reads settings; what is not sent stays as stored, or has its default.
fn settings(mut form: Form, stored: Option<&AgentSettings>) -> Result<AgentSettings, ApiError> {
    let name = form
        .text("name", NAME_CHARS_MAX)
        .or_else(|| stored.map(|stored| stored.name.clone()));
    let name = form.required("name", name);
    let names = Protocol::ALL.map(Protocol::as_str);
    let sent = form.choice("protocol", &names, |name| name.parse::<Protocol>().ok());
    if sent.is_none() && stored.is_none() {
        form.required::<()>("protocol", None);
    }
    let protocol = sent.or(stored.map(|stored| stored.protocol)).unwrap_or(Protocol::Echo);

    let sent_url = form.text("url", URL_CHARS_MAX);
    let url = if protocol.is_remote() {
        let url = sent_url.or_else(|| stored.and_then(|stored| stored.url.clone()));
        let url = form.required("url", url);
        if !url.is_empty()
            && let Err(problem) = check_url(&url)
        {
            form.problem("url", problem);
        }
        Some(url)
    } else {
        if sent_url.is_some() {
            form.problem(
                "url",
                format!("is not for `{}`, which is built in; leave it out", protocol.as_str()),
            );
        }
        None
    };

    let expected = SAMPLE_RATES_HZ.map(|rate| rate.to_string()).join(", ");
    let sent_rate = form
        .number("sample_rate_hz", 8_000..=48_000)
        .and_then(|rate| u32::try_from(rate).ok());
    if sent_rate.is_some_and(|rate| !SAMPLE_RATES_HZ.contains(&rate)) {
        form.problem("sample_rate_hz", format!("must be one of {expected}"));
    }
    // The standard's wire carries 8 kHz and nothing else.
    let sample_rate_hz = if protocol == Protocol::MediaStreams {
        if sent_rate.is_some_and(|rate| rate != 8_000) {
            form.problem("sample_rate_hz", "must be 8000 for `media-streams`");
        }
        8_000
    } else {
        sent_rate
            .or(stored.map(|stored| stored.sample_rate_hz))
            .unwrap_or(16_000)
    };

    let headers = match form.object("headers") {
        Some(entered) => headers(&mut form, entered, stored.map(|stored| &stored.headers)),
        None => stored.map(|stored| stored.headers.clone()).unwrap_or_default(),
    };
    let record = form
        .flag("record")
        .or(stored.map(|stored| stored.record))
        .unwrap_or(false);
    let parameters = form
        .object("parameters")
        .map(Value::Object)
        .or_else(|| stored.map(|stored| stored.parameters.clone()));
    let parameters = parameters.unwrap_or_else(|| json!({}));
    if parameters.to_string().len() > PARAMETERS_BYTES_MAX {
        form.problem(
            "parameters",
            format!("must have at most {PARAMETERS_BYTES_MAX} bytes as JSON"),
        );
    }
    form.finish()?;
    Ok(AgentSettings {
        name,
        protocol,
        url,
        sample_rate_hz,
        headers,
        record,
        parameters,
    })
}

fn check_url(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL such as wss://agent.example.com/socket")?;
    if !matches!(url.scheme(), "ws" | "wss") || !url.has_host() {
        return Err("must begin with wss:// or ws:// and a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user name or password in it; send them as a header");
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment");
    }
    Ok(())
}

/// Checks headers; a mask stands for the stored value of that name.
fn headers(form: &mut Form, entered: Map<String, Value>, stored: Option<&SecretHeaders>) -> SecretHeaders {
    if entered.len() > HEADERS_MAX {
        form.problem("headers", format!("must be at most {HEADERS_MAX}"));
        return SecretHeaders::default();
    }
    let mut headers = Vec::with_capacity(entered.len());
    for (name, value) in entered {
        let field = format!("headers.{name}");
        let Ok(parsed) = HeaderName::try_from(&*name) else {
            form.problem(&field, "is not a header's name");
            continue;
        };
        if HANDSHAKE_HEADERS.contains(&parsed) || parsed.as_str().starts_with("sec-websocket-") {
            form.problem(&field, "belongs to the WebSocket handshake and cannot be set");
            continue;
        }
        let Some(value) = value.as_str().filter(|value| HeaderValue::from_str(value).is_ok()) else {
            form.problem(&field, "must be a text without line breaks");
            continue;
        };
        let before = stored.and_then(|stored| {
            stored
                .expose()
                .iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(&name))
        });
        match before {
            Some((_, before)) if mask::mask(before) == value => headers.push((name, before.clone())),
            _ if mask::looks_masked(value) => form.problem(
                &field,
                "is masked, but not as the stored value is; enter the whole value",
            ),
            _ => headers.push((name, value.to_owned())),
        }
    }
    SecretHeaders::new(headers)
}

fn shown(agent: &Agent) -> Value {
    let settings = &agent.settings;
    let headers: Map<String, Value> = settings
        .headers
        .expose()
        .iter()
        .map(|(name, value)| (name.clone(), Value::String(mask::mask(value))))
        .collect();
    json!({
        "id": agent.id,
        "name": settings.name,
        "protocol": settings.protocol,
        "url": settings.url,
        "sample_rate_hz": settings.sample_rate_hz,
        "headers": headers,
        "record": settings.record,
        "parameters": settings.parameters,
        "created_at": timestamp::rfc3339(agent.created_at),
        "updated_at": timestamp::rfc3339(agent.updated_at),
    })
}
