//! A call looked at closely: its recording as a picture shows it, and what its provider was asked.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::authentication::Caller;
use super::calls::find;
use super::form::Form;
use super::page::{Asked, PageQuery};
use super::path::Path;
use super::schema::Timestamp;
use super::{ApiError, Operations};
use crate::store::InvocationRecord;
use crate::waveform::{POINTS, Waveform};

const POINTS_DEFAULT: u64 = 800;

/// One time that a call's provider was asked, or all frames of its media in one direction.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invocation)]
pub(super) struct InvocationView {
    /// Counts from 1, without gaps.
    #[schema(minimum = 1)]
    sequence: u64,
    /// `interface.function`.
    #[schema(example = "answer.answer-markup")]
    export: String,
    /// SHA-256 of the component.
    version: String,
    /// When it was asked; of frames, when their leg was opened.
    at: Timestamp,
    /// Which round of an operation, counted from 0.
    #[schema(minimum = 0)]
    round: u32,
    /// 1, or how many frames.
    #[schema(minimum = 1)]
    count: u64,
    /// How many frames ended in a fault.
    #[schema(minimum = 0)]
    faults: u64,
    /// Processor time in microseconds, with the making of the instance; of frames the sum, sampled.
    #[schema(minimum = 0)]
    cpu_us: f64,
    /// From beginning to end, in microseconds; of frames the sum.
    #[schema(minimum = 0)]
    wall_us: f64,
    /// Of frames: half of them take no longer.
    #[schema(minimum = 0)]
    wall_p50_us: Option<f64>,
    /// Of frames: 99 of 100 take no longer.
    #[schema(minimum = 0)]
    wall_p99_us: Option<f64>,
    /// Of frames: the longest.
    #[schema(minimum = 0)]
    wall_max_us: Option<f64>,
    /// Linear memory of the instance at its end; null for frames.
    #[schema(minimum = 0)]
    memory_bytes: Option<u64>,
    /// `done`; `failed` for the provider's verdict, `asked-http` and the like for an effect, or the code of a fault.
    #[schema(example = "done")]
    outcome: String,
}

/// A page of a call's invocations, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvocationList {
    invocations: Vec<InvocationView>,
    /// How many there were besides, which are not listed.
    #[schema(minimum = 0)]
    dropped: u64,
    next_cursor: Option<String>,
}

/// How finely.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `waveform` reads")]
struct WaveformQuery {
    /// Points in time.
    #[param(minimum = 16, maximum = 4000, default = 800)]
    points: Option<u32>,
}

/// See a call's recording as a waveform
///
/// With marks, turns and latencies on the same time line.
#[utoipa::path(get, path = "/api/v1/calls/{call}/waveform", tag = "Calls", operation_id = "readCallWaveform",
    params(WaveformQuery), responses((status = 200, description = "The waveform of both sides.", body = Waveform)))]
pub(super) async fn waveform<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Waveform>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let points = form.number("points", POINTS).unwrap_or(POINTS_DEFAULT);
    form.finish()?;
    let call = find(operations.as_ref(), &organization, &id).await?;
    let waveform = operations
        .waveform(&call, usize::try_from(points).unwrap_or_default())
        .await?;
    waveform.map(Json).ok_or(ApiError::NotFound("recording"))
}

/// List what a call's provider was asked
///
/// In order, each with its cost. The frames of the media are one entry for each direction, written when the call is over.
#[utoipa::path(get, path = "/api/v1/calls/{call}/invocations", tag = "Calls", operation_id = "listCallInvocations",
    params(PageQuery), responses((status = 200, description = "A page of invocations.", body = InvocationList)))]
pub(super) async fn invocations<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<InvocationList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<u64>::read(&mut form, "invocations");
    form.finish()?;
    let call = find(operations.as_ref(), &organization, &id).await?;
    let after = page.after.unwrap_or(0);
    let (mut records, dropped) = operations
        .store()
        .invocations(&organization, &call.id, after, page.rows())
        .await?;
    let next_cursor = page.cut(&mut records, |record| record.sequence);
    Ok(Json(InvocationList {
        invocations: records.into_iter().map(shown).collect(),
        dropped,
        next_cursor,
    }))
}

fn shown(record: InvocationRecord) -> InvocationView {
    InvocationView {
        sequence: record.sequence,
        export: record.export,
        version: record.version,
        at: Timestamp(record.at),
        round: record.round,
        count: record.count,
        faults: record.faults,
        cpu_us: microseconds(record.cpu_ns),
        wall_us: microseconds(record.wall_ns),
        wall_p50_us: record.frames.map(|frames| microseconds(frames.p50_ns)),
        wall_p99_us: record.frames.map(|frames| microseconds(frames.p99_ns)),
        wall_max_us: record.frames.map(|frames| microseconds(frames.max_ns)),
        memory_bytes: record.memory_bytes,
        outcome: record.outcome,
    }
}

/// With one decimal: a frame takes about one.
fn microseconds(ns: u64) -> f64 {
    (ns / 100) as f64 / 10.0
}
