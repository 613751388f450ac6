//! Calls: their records, and the end of those in progress.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use strowger_call::{Address, CallId, Direction, ProviderCallId};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::authentication::Caller;
use super::form::Form;
use super::path::Path;
use super::{ApiError, OperationError, Operations, timestamp, transfers};
use crate::store::{AgentId, CallFilter, CallRecord, CallState, EventRecord, OrganizationId, PAGE_ROWS_MAX};

const PAGE_ROWS_DEFAULT: u64 = 50;
/// How much of a recording is in memory at once.
const CHUNK_BYTES: usize = 64 * 1024;

pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let limit = limit(&mut form);
    let filter = CallFilter {
        before: form.id("before", CallId::parse),
        state: form.choice("state", &["initialized", "running", "completed"], CallState::parse),
        agent: form.id("agent_id", AgentId::parse),
        direction: form.choice("direction", &["inbound", "outbound"], |text| match text {
            "inbound" => Some(Direction::Inbound),
            "outbound" => Some(Direction::Outbound),
            _ => None,
        }),
    };
    form.finish()?;
    let calls = operations.store().calls(&organization, &filter, limit).await?;
    // A page that is full may be the last one; the next one is then empty.
    let next = calls
        .last()
        .filter(|_| calls.len() == limit as usize)
        .map(|call| &call.id);
    Ok(Json(
        json!({ "calls": calls.iter().map(shown).collect::<Vec<_>>(), "next_before": next }),
    ))
}

pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let call = find(operations.as_ref(), &organization, &id).await?;
    let records = operations.store().transfers(&call.id).await?;
    let mut shown = shown(&call);
    shown["transfers"] = records.iter().map(transfers::shown).collect();
    Ok(Json(shown))
}

pub(super) async fn events<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let limit = limit(&mut form);
    let after = form.number("after", 0..=u64::from(u32::MAX)).unwrap_or(0);
    form.finish()?;
    let call = find(operations.as_ref(), &organization, &id).await?;
    let events = operations.store().events(&organization, &call.id, after, limit).await?;
    let next = events
        .last()
        .filter(|_| events.len() == limit as usize)
        .map(|event| event.sequence);
    Ok(Json(
        json!({ "events": events.iter().map(shown_event).collect::<Vec<_>>(), "next_after": next }),
    ))
}

pub(super) async fn hang_up<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let call = find(operations.as_ref(), &organization, &id).await?;
    // A client that asks twice, or too late, has what it wanted.
    if call.state == CallState::Completed {
        return Ok(Json(json!({ "message": "the call has ended already" })));
    }
    operations.hang_up(&call).await?;
    Ok(Json(json!({ "message": "the call is being ended" })))
}

pub(super) async fn recording<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let call = find(operations.as_ref(), &organization, &id).await?;
    let path = operations
        .recording_file(&call)
        .ok_or(ApiError::NotFound("recording"))?;
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => ApiError::NotFound("recording"),
        _ => ApiError::Operation(OperationError::Internal(format!("cannot read a recording: {error}"))),
    };
    let file = File::open(path).await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    let chunks = stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let count = file.read(&mut chunk).await?;
        chunk.truncate(count);
        Ok::<_, std::io::Error>((count > 0).then(|| (Bytes::from(chunk), file)))
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Ok(disposition) = HeaderValue::try_from(format!("inline; filename=\"{}.wav\"", call.id)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

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

fn limit(form: &mut Form) -> u32 {
    let limit = form
        .number("limit", 1..=u64::from(PAGE_ROWS_MAX))
        .unwrap_or(PAGE_ROWS_DEFAULT);
    u32::try_from(limit).unwrap_or(PAGE_ROWS_MAX)
}

pub(super) fn shown(call: &CallRecord) -> Value {
    json!({
        "id": call.id,
        "direction": match call.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        },
        "state": call.state,
        "caller": call.caller.as_ref().map(Address::expose),
        "callee": call.callee.expose(),
        "telephony_configuration_id": call.configuration,
        "phone_number_id": call.number,
        "agent_id": call.agent,
        "provider": call.provider,
        "provider_version": call.provider_version,
        "provider_call_id": call.provider_call_id.as_ref().map(ProviderCallId::expose),
        "answered_by": call.answered_by,
        "outcome": call.outcome,
        "cost": call.cost,
        "has_recording": call.recording_path.is_some(),
        "duration_ms": call.duration_ms,
        "created_at": timestamp::rfc3339(call.created_at),
        "answered_at": timestamp::optional(call.answered_at),
        "ended_at": timestamp::optional(call.ended_at),
    })
}

fn shown_event(event: &EventRecord) -> Value {
    json!({ "sequence": event.sequence, "at": timestamp::rfc3339(event.at), "kind": event.kind, "detail": event.detail })
}
