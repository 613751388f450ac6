//! Reading the audit log: an organisation its own, the operator that of the installation.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::access::Identity;
use super::form::Form;
use super::page::{Asked, PageQuery};
use super::schema::{Binary, FreeObject, Id, Timestamp};
use super::timestamp::rfc3339;
use super::{ApiError, Operations};
use crate::store::{AuditChain, AuditRecord, Power, StoreError};

/// Entries of an export that are in memory at once.
const BATCH_ROWS: u32 = 500;

/// One thing that somebody did, or tried to do.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `shown` makes of an entry")]
pub(super) struct AuditEntry {
    /// From 1, without a gap.
    sequence: i64,
    at: Timestamp,
    /// The same in milliseconds since 1970, as it was hashed.
    at_ms: i64,
    /// The organisation, or `installation`.
    chain: String,
    /// `api_key`, `session`, `operator` or `command_line`.
    actor: String,
    /// The key's id, or the system's user.
    actor_id: String,
    actor_name: String,
    /// From where: `A via B` when a proxy B says so.
    address: Option<String>,
    /// Method and route, or a command.
    operation: String,
    /// Identifiers by what they name.
    resources: FreeObject,
    /// Names of the fields that were sent; never a value.
    fields: Vec<String>,
    /// `done`, `refused`, `failed` or `unknown`.
    outcome: String,
    session: Option<Id>,
    /// SHA-256 of the hash before, a line feed and the entry.
    hash: String,
}

/// A page of entries, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditEntryList {
    #[schema(value_type = Vec<AuditEntry>)]
    entries: Vec<Value>,
    next_cursor: Option<String>,
}

fn chain(identity: Identity) -> AuditChain {
    match identity.holder.power {
        Power::Organization(organization, _) => AuditChain::Organization(organization),
        Power::Operator => AuditChain::Installation,
    }
}

/// Read the audit log
///
/// Who changed what, the newest entry first.
#[utoipa::path(get, path = "/api/v1/audit-log", tag = "Access", operation_id = "listAuditEntries", params(PageQuery),
    responses((status = 200, description = "A page of entries.", body = AuditEntryList)))]
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditEntryList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<i64>::read(&mut form, "audit-log");
    form.finish()?;
    let store = operations.store();
    let mut records = store.audit_entries(&chain(identity), page.after, page.rows()).await?;
    let next_cursor = page.cut(&mut records, |record| record.sequence);
    Ok(Json(AuditEntryList {
        entries: records.iter().map(shown).collect(),
        next_cursor,
    }))
}

/// The entry as it was written, with its time as other times are shown, and the hash that covers it.
fn shown(record: &AuditRecord) -> Value {
    let mut entry: Value = serde_json::from_str(&record.entry).unwrap_or_else(|_| json!({ "damaged": record.entry }));
    entry["at"] = json!(rfc3339(record.at));
    entry["hash"] = json!(record.hash);
    entry
}

/// Export the audit log
///
/// All of it, the oldest entry first, one JSON object a line: `hash`, and `entry` to the letter as it was hashed.
#[utoipa::path(get, path = "/api/v1/audit-log/export", tag = "Access", operation_id = "exportAuditLog",
    responses((status = 200, description = "JSON Lines.", body = Binary, content_type = "application/jsonl")))]
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
