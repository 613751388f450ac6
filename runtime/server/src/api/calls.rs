//! Calls: their records, and the end of those in progress.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use strowger_call::{CallId, Direction};
use tower_http::services::ServeFile;
use utoipa::{IntoParams, ToSchema};

use super::authentication::Caller;
use super::form::Form;
use super::page::{Asked, PageQuery};
use super::path::Path;
use super::schema::{Binary, FreeObject, Id, Message, Timestamp};
use super::{ApiError, OperationError, Operations, transfers};
use crate::store::{
    AgentId, CallFilter, CallRecord, CallState, ConfigurationId, EventRecord, NumberId, OrganizationId,
};

/// A call's record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Call)]
pub(super) struct CallView {
    #[schema(value_type = Id)]
    id: CallId,
    #[schema(value_type = CallDirection)]
    direction: Direction,
    state: CallState,
    /// Who calls; null for calls without a caller id.
    caller: Option<String>,
    /// Who is called.
    callee: String,
    /// Null when it was deleted since.
    #[schema(value_type = Option<Id>)]
    telephony_configuration_id: Option<ConfigurationId>,
    #[schema(value_type = Option<Id>)]
    phone_number_id: Option<NumberId>,
    #[schema(value_type = Option<Id>)]
    agent_id: Option<AgentId>,
    /// Name of the provider.
    provider: String,
    /// SHA-256 of the component that served it.
    provider_version: String,
    /// The carrier's name of the call.
    provider_call_id: Option<String>,
    /// Who picked up, where the carrier tells.
    #[schema(example = "human")]
    answered_by: Option<String>,
    /// How it ended; null until then.
    #[schema(value_type = Option<CallOutcome>)]
    outcome: Option<Value>,
    /// Null until the carrier has rated the call, and with carriers that do not tell.
    #[schema(value_type = Option<CallCost>)]
    cost: Option<Value>,
    has_recording: bool,
    /// From answer to end; null while it goes on.
    #[schema(minimum = 0)]
    duration_ms: Option<u64>,
    created_at: Timestamp,
    answered_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

/// Who called whom, seen from the gateway.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes `Direction`")]
pub(super) enum CallDirection {
    /// The carrier brought it.
    Inbound,
    /// It was placed here.
    Outbound,
}

/// How a call ended, with figures.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is kept as JSON")]
struct CallOutcome {
    #[schema(inline)]
    status: CallOutcomeStatus,
    /// Why: `caller_hung_up`, `agent_hung_up`, `transferred`, ….
    reason: String,
    /// A sentence, when there is more to say.
    detail: Option<String>,
}

/// The result of a call in one word.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "describes `OutcomeStatus`")]
enum CallOutcomeStatus {
    Completed,
    Failed,
    Busy,
    NoAnswer,
    Canceled,
}

/// What the carrier charges.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is kept as JSON")]
struct CallCost {
    /// A decimal number as text.
    #[schema(example = "0.0085")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: String,
}

/// A page of calls, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallList {
    calls: Vec<CallView>,
    next_cursor: Option<String>,
}

/// A call's record with its transfers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallDetail)]
pub(super) struct CallDetailView {
    #[serde(flatten)]
    call: CallView,
    transfers: Vec<transfers::TransferView>,
}

/// Something that happened in a call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallEvent)]
pub(super) struct EventView {
    /// Counts from 1, without gaps.
    #[schema(minimum = 1)]
    sequence: u64,
    at: Timestamp,
    /// What kind of event it is.
    #[schema(example = "agent_connected")]
    kind: String,
    /// What belongs to events of the kind.
    #[schema(value_type = FreeObject)]
    detail: Value,
}

/// A page of a call's events, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventList {
    events: Vec<EventView>,
    next_cursor: Option<String>,
}

/// Which calls.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `list` reads")]
struct CallQuery {
    /// Only those in this state.
    #[param(inline)]
    state: Option<CallState>,
    /// Only those in this direction.
    #[param(inline)]
    direction: Option<CallDirection>,
    /// Only those of this agent.
    #[param(format = "uuid")]
    agent_id: Option<String>,
}

/// Which events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `events` reads")]
struct EventQuery {
    /// Only those with a greater number: for whoever follows a call.
    #[param(minimum = 0, maximum = 4294967295_u32)]
    after: Option<u32>,
}

/// List calls
///
/// Newest first.
#[utoipa::path(get, path = "/api/v1/calls", tag = "Calls", operation_id = "listCalls", params(PageQuery, CallQuery),
    responses((status = 200, description = "A page of calls.", body = CallList)))]
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<CallList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<(i64, String)>::read(&mut form, "calls");
    let filter = CallFilter {
        before: page.after.clone(),
        state: form.choice("state", &["initialized", "running", "completed"], CallState::parse),
        agent: form.id("agent_id", AgentId::parse),
        direction: form.choice("direction", &["inbound", "outbound"], |text| match text {
            "inbound" => Some(Direction::Inbound),
            "outbound" => Some(Direction::Outbound),
            _ => None,
        }),
    };
    form.finish()?;
    let mut calls = operations.store().calls(&organization, &filter, page.rows()).await?;
    let next_cursor = page.cut(&mut calls, |call| (call.created_at, call.id.as_str().to_owned()));
    Ok(Json(CallList {
        calls: calls.iter().map(shown).collect(),
        next_cursor,
    }))
}

/// Read a call's record
#[utoipa::path(get, path = "/api/v1/calls/{call}", tag = "Calls", operation_id = "readCall",
    responses((status = 200, description = "The record, with the call's transfers.", body = CallDetailView)))]
pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<CallDetailView>, ApiError> {
    let call = find(operations.as_ref(), &organization, &id).await?;
    let records = operations.store().transfers(&call.id).await?;
    Ok(Json(CallDetailView {
        call: shown(&call),
        transfers: records.iter().map(transfers::shown).collect(),
    }))
}

/// List what happened in a call
///
/// In order. While the call goes on, more events follow: ask again with `after`.
#[utoipa::path(get, path = "/api/v1/calls/{call}/events", tag = "Calls", operation_id = "listCallEvents",
    params(PageQuery, EventQuery), responses((status = 200, description = "A page of events.", body = EventList)))]
pub(super) async fn events<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<EventList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<u64>::read(&mut form, "events");
    let after = form.number("after", 0..=u64::from(u32::MAX)).unwrap_or(0);
    form.finish()?;
    let call = find(operations.as_ref(), &organization, &id).await?;
    let after = page.after.unwrap_or(0).max(after);
    let mut events = operations
        .store()
        .events(&organization, &call.id, after, page.rows())
        .await?;
    let next_cursor = page.cut(&mut events, |event| event.sequence);
    Ok(Json(EventList {
        events: events.iter().map(shown_event).collect(),
        next_cursor,
    }))
}

/// End a call
///
/// A call that has ended already is no error.
#[utoipa::path(post, path = "/api/v1/calls/{call}/hang-up", tag = "Calls", operation_id = "hangUpCall",
    responses((status = 200, description = "It is being ended, or has ended.", body = Message)))]

pub(super) async fn hang_up<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Message>, ApiError> {
    let call = find(operations.as_ref(), &organization, &id).await?;
    // A client that asks twice, or too late, has what it wanted.
    if call.state == CallState::Completed {
        return Ok(Message::new("the call has ended already"));
    }
    operations.hang_up(&call).await?;
    Ok(Message::new("the call is being ended"))
}

/// Hear a call's recording
///
/// Stereo: the caller on the left, the agent on the right.
#[utoipa::path(get, path = "/api/v1/calls/{call}/recording", tag = "Calls", operation_id = "readCallRecording",
    responses((status = 200, description = "WAV.", content_type = "audio/wav", body = Binary),
        (status = 206, description = "The part that the header `range` asks for.", content_type = "audio/wav", body = Binary)))]
pub(super) async fn recording<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let call = find(operations.as_ref(), &organization, &id).await?;
    let path = operations
        .recording_file(&call)
        .ok_or(ApiError::NotFound("recording"))?;
    // In parts for whoever asks for parts: a browser must, to begin in the middle.
    let served = ServeFile::new(path)
        .try_call(request)
        .await
        .map_err(|error| ApiError::Operation(OperationError::Internal(format!("cannot read a recording: {error}"))))?;
    if served.status() == StatusCode::NOT_FOUND {
        return Err(ApiError::NotFound("recording"));
    }
    let mut response = served.map(Body::new);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    if let Ok(disposition) = HeaderValue::try_from(format!("inline; filename=\"{}.wav\"", call.id)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// See a call's picture
#[utoipa::path(get, path = "/api/v1/calls/{call}/timeline.svg", tag = "Calls", operation_id = "readCallTimeline",
    responses((status = 200, description = "A drawing.", content_type = "image/svg+xml", body = String)))]
pub(super) async fn timeline<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let call = find(operations.as_ref(), &organization, &id).await?;
    let svg = operations
        .timeline_svg(&call)
        .await
        .ok_or(ApiError::NotFound("timeline"))?;
    // A picture must not run anything, whatever an agent or a carrier put into a label.
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, svg).into_response())
}

pub(super) async fn find<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    id: &str,
) -> Result<CallRecord, ApiError> {
    let id = CallId::parse(id).map_err(|_| ApiError::NotFound("call"))?;
    Ok(operations.store().find_call(organization, &id).await?)
}

pub(super) fn shown(call: &CallRecord) -> CallView {
    CallView {
        id: call.id.clone(),
        direction: call.direction,
        state: call.state,
        caller: call.caller.as_ref().map(|caller| caller.expose().to_owned()),
        callee: call.callee.expose().to_owned(),
        telephony_configuration_id: call.configuration.clone(),
        phone_number_id: call.number.clone(),
        agent_id: call.agent.clone(),
        provider: call.provider.clone(),
        provider_version: call.provider_version.clone(),
        provider_call_id: call.provider_call_id.as_ref().map(|id| id.expose().to_owned()),
        answered_by: call.answered_by.clone(),
        outcome: call.outcome.clone(),
        cost: call.cost.clone(),
        has_recording: call.recording_path.is_some(),
        duration_ms: call.duration_ms,
        created_at: Timestamp(call.created_at),
        answered_at: call.answered_at.map(Timestamp),
        ended_at: call.ended_at.map(Timestamp),
    }
}

fn shown_event(event: &EventRecord) -> EventView {
    EventView {
        sequence: event.sequence,
        at: Timestamp(event.at),
        kind: event.kind.clone(),
        detail: event.detail.clone(),
    }
}
