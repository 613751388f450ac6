//! Reading the audit log: an organisation its own, the operator that of the installation.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::access::Identity;
use super::form::Form;
use super::timestamp::rfc3339;
use super::{ApiError, Operations};
use crate::store::{AuditChain, AuditRecord, Power, StoreError};

const PAGE_ROWS_DEFAULT: u64 = 50;
const PAGE_ROWS_MAX: u64 = 200;
/// Entries of an export that are in memory at once.
const BATCH_ROWS: u32 = 500;

fn chain(identity: Identity) -> AuditChain {
    match identity.holder.power {
        Power::Organization(organization, _) => AuditChain::Organization(organization),
        Power::Operator => AuditChain::Installation,
    }
}

/// Entries, the newest first.
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let limit = form.number("limit", 1..=PAGE_ROWS_MAX).unwrap_or(PAGE_ROWS_DEFAULT);
    let before = form.number("cursor", 1..=i64::MAX as u64);
    form.finish()?;
    let (before, limit) = (
        before.and_then(|before| i64::try_from(before).ok()),
        u32::try_from(limit).unwrap_or(u32::MAX),
    );
    let records = operations
        .store()
        .audit_entries(&chain(identity), before, limit)
        .await?;
    // Sequences begin at 1: nothing comes before that.
    let next = records
        .last()
        .filter(|last| records.len() == limit as usize && last.sequence > 1)
        .map(|last| last.sequence.to_string());
    Ok(Json(
        json!({ "entries": records.iter().map(shown).collect::<Vec<_>>(), "next_cursor": next }),
    ))
}

/// The entry as it was written, with its time as other times are shown, and the hash that covers it.
fn shown(record: &AuditRecord) -> Value {
    let mut entry: Value = serde_json::from_str(&record.entry).unwrap_or_else(|_| json!({ "damaged": record.entry }));
    entry["at"] = json!(rfc3339(record.at));
    entry["hash"] = json!(record.hash);
    entry
}

/// The whole log, the oldest entry first, one JSON object a line: `hash`, and `entry` to the letter as it was hashed.
pub(super) async fn export<O: Operations>(
    State(operations): State<Arc<O>>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let chain = chain(identity);
    // Who exports hears of a failure in the first batch as a status, and of a later one as an answer that breaks off.
    let first = operations.store().audit_entries_after(&chain, 0, BATCH_ROWS).await?;
    let batches = stream::try_unfold((first, operations), move |(batch, operations)| {
        let chain = chain.clone();
        async move {
            let Some(last) = batch.last() else {
                return Ok::<_, StoreError>(None);
            };
            let after = last.sequence;
            let lines: String = batch.iter().map(line).collect();
            let next = operations
                .store()
                .audit_entries_after(&chain, after, BATCH_ROWS)
                .await?;
            Ok(Some((Bytes::from(lines), (next, operations))))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit-log.jsonl\""),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(batches)).into_response())
}

fn line(record: &AuditRecord) -> String {
    format!("{{\"hash\":\"{}\",\"entry\":{}}}\n", record.hash, record.entry)
}
