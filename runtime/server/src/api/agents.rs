//! Agents.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::authentication::Caller;
use super::etag::{Conditions, IfMatch, IfNoneMatch, Tagged};
use super::form::Form;
use super::idempotency::IdempotencyKey;
use super::page::{Asked, PageQuery};
use super::path::Path;
use super::schema::{FreeObject, Id, Message, Timestamp};
use super::{ApiError, Operations, mask};
use crate::agent::Protocol;
use crate::store::{Agent, AgentId, AgentSettings, OrganizationId, SecretHeaders, StoreError};

const NAME_CHARS_MAX: usize = 64;
const URL_CHARS_MAX: usize = 2_048;
const HEADERS_MAX: usize = 32;
/// A header's value: longer than any token, and as long as servers commonly take.
const HEADER_BYTES_MAX: usize = 8 * 1024;
/// Parameters as JSON text: they travel in the first message of every call.
const PARAMETERS_BYTES_MAX: usize = 8 * 1024;
/// How often a change is tried that others keep getting ahead of.
const ATTEMPTS_MAX: u32 = 16;
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

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Agent)]
pub(super) struct AgentView {
    #[schema(value_type = Id)]
    id: AgentId,
    /// Unique in the organisation.
    name: String,
    protocol: Protocol,
    /// Where it listens; null for those built in.
    #[schema(format = "uri")]
    url: Option<String>,
    /// Samples per second that it takes and gives.
    sample_rate_hz: u32,
    /// Sent with the handshake. Values are masked.
    #[schema(value_type = HashMap<String, String>)]
    headers: Map<String, Value>,
    /// Whether its calls are recorded.
    record: bool,
    /// Passed to the agent when a call starts.
    #[schema(value_type = FreeObject)]
    parameters: Value,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A page of agents, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AgentList {
    agents: Vec<AgentView>,
    next_cursor: Option<String>,
}

/// An agent to make.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `settings` reads")]
pub(super) struct NewAgent {
    /// Unique in the organisation.
    #[schema(
        max_length = 64,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "Reception"
    )]
    name: String,
    #[schema(inline)]
    protocol: Protocol,
    /// `wss://…` or `ws://…`; for the protocols `strowger` and `media-streams`, which need it.
    #[schema(
        max_length = 2048,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "wss://agent.example.com/call"
    )]
    url: Option<String>,
    /// 8000, 16000, 24000 or 48000; 8000 only for `media-streams`.
    #[schema(default = 16000)]
    sample_rate_hz: Option<SampleRate>,
    /// Sent with the handshake, at most 32.
    headers: Option<HashMap<String, String>>,
    record: Option<bool>,
    /// Passed to the agent when a call starts; at most 8 KiB.
    parameters: Option<FreeObject>,
}

/// What to change in an agent: what is left out stays.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `settings` reads")]
pub(super) struct AgentChange {
    #[schema(
        max_length = 64,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    name: Option<String>,
    protocol: Option<Protocol>,
    #[schema(
        max_length = 2048,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    url: Option<String>,
    sample_rate_hz: Option<SampleRate>,
    /// Replaces all headers; a mask stands for the stored value of that name.
    headers: Option<HashMap<String, String>>,
    record: Option<bool>,
    parameters: Option<FreeObject>,
}

/// Samples per second.
struct SampleRate;

impl PartialSchema for SampleRate {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .enum_values(Some(SAMPLE_RATES_HZ))
            .into()
    }
}

impl ToSchema for SampleRate {}

/// List agents
///
/// By name.
#[utoipa::path(get, path = "/api/v1/agents", tag = "Agents", operation_id = "listAgents", params(PageQuery),
    responses((status = 200, description = "A page of agents.", body = AgentList)))]
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<AgentList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<(String, String)>::read(&mut form, "agents");
    form.finish()?;
    let mut agents = operations
        .store()
        .agents(&organization, page.after.as_ref(), page.rows())
        .await?;
    let next_cursor = page.cut(&mut agents, |agent| (agent.settings.name.clone(), agent.id.to_string()));
    Ok(Json(AgentList {
        agents: agents.iter().map(shown).collect(),
        next_cursor,
    }))
}

/// Make an agent
#[utoipa::path(post, path = "/api/v1/agents", tag = "Agents", operation_id = "createAgent", request_body = NewAgent,
    params(IdempotencyKey), responses((status = 201, description = "The agent.", body = AgentView)))]
pub(super) async fn create<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    form: Form,
) -> Result<Tagged<AgentView>, ApiError> {
    let settings = settings(form, None)?;
    let agent = operations
        .store()
        .create_agent(&organization, &AgentId::generate(), &settings, operations.now())
        .await?;
    Ok(Tagged::created(agent.version, shown(&agent)))
}

/// Read an agent
#[utoipa::path(get, path = "/api/v1/agents/{agent}", tag = "Agents", operation_id = "readAgent", params(IfNoneMatch),
    responses((status = 200, description = "The agent.", body = AgentView)))]
pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Tagged<AgentView>, ApiError> {
    let agent = find(operations.as_ref(), &organization, &id).await?;
    Ok(Tagged::read(agent.version, shown(&agent), conditions))
}

/// Change an agent
///
/// What is left out stays. Calls in progress keep what they started with.
#[utoipa::path(put, path = "/api/v1/agents/{agent}", tag = "Agents", operation_id = "updateAgent", request_body = AgentChange,
    params(IfMatch), responses((status = 200, description = "The agent as it is now.", body = AgentView)))]
pub(super) async fn update<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    conditions: Conditions,
    form: Form,
) -> Result<Tagged<AgentView>, ApiError> {
    let mut attempts = 0;
    loop {
        let stored = find(operations.as_ref(), &organization, &id).await?;
        conditions.require(stored.version)?;
        let settings = settings(form.clone(), Some(&stored.settings))?;
        let changed = operations
            .store()
            .update_agent(&organization, &stored.id, &settings, stored.version, operations.now())
            .await;
        attempts += 1;
        match changed {
            Ok(agent) => return Ok(Tagged::new(agent.version, shown(&agent))),
            // What this request leaves out stays as the other one has written it. One that names a version is told above.
            Err(StoreError::Stale) if conditions.is_strict() || attempts < ATTEMPTS_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Delete an agent
///
/// Its numbers stay without one, its calls stay in the record.
#[utoipa::path(delete, path = "/api/v1/agents/{agent}", tag = "Agents", operation_id = "deleteAgent", params(IfMatch),
    responses((status = 200, description = "It is gone.", body = Message)))]
pub(super) async fn delete<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    conditions: Conditions,
) -> Result<Json<Message>, ApiError> {
    let agent = find(operations.as_ref(), &organization, &id).await?;
    let expected = conditions.expected(agent.version)?;
    let deleted = operations
        .store()
        .delete_agent(&organization, &agent.id, expected)
        .await;
    deleted.map_err(|error| conditions.told(error))?;
    Ok(Message::new("the agent was deleted"))
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
        let fits = |value: &&str| value.len() <= HEADER_BYTES_MAX && HeaderValue::from_str(value).is_ok();
        let Some(value) = value.as_str().filter(fits) else {
            form.problem(
                &field,
                format!("must be a text of at most {HEADER_BYTES_MAX} bytes without line breaks"),
            );
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

fn shown(agent: &Agent) -> AgentView {
    let settings = &agent.settings;
    let headers = settings.headers.expose().iter();
    AgentView {
        id: agent.id.clone(),
        name: settings.name.clone(),
        protocol: settings.protocol,
        url: settings.url.clone(),
        sample_rate_hz: settings.sample_rate_hz,
        headers: headers
            .map(|(name, value)| (name.clone(), Value::String(mask::mask(value))))
            .collect(),
        record: settings.record,
        parameters: settings.parameters.clone(),
        created_at: Timestamp(agent.created_at),
        updated_at: Timestamp(agent.updated_at),
    }
}
