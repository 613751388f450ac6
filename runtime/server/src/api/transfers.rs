//! Connecting the caller of a live call with somebody else.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use strowger_call::address::ADDRESS_CHARS_MAX;
use strowger_call::{Address, TransferFailure};
use strowger_host::FieldProblem;

use super::authentication::Caller;
use super::calls::find;
use super::form::Form;
use super::path::Path;
use super::{ApiError, Operations, timestamp};
use crate::agent::{TransferProblem, TransferRequest};
use crate::store::TransferRecord;

const HOLDS: [&str; 3] = ["ringback", "silence", "agent"];

pub(super) async fn request<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    mut form: Form,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let destination = form.text("destination", ADDRESS_CHARS_MAX);
    let caller_id = form.text("caller_id", ADDRESS_CHARS_MAX);
    let ring_timeout_s = form.number("ring_timeout_s", 5..=120);
    let announcement = form.text("announcement", 500);
    let hold = form.choice("hold", &HOLDS, |text| HOLDS.into_iter().find(|hold| *hold == text));
    let request = TransferRequest::read(
        destination.as_deref(),
        caller_id.as_deref(),
        ring_timeout_s,
        announcement.as_deref(),
        hold,
    );
    let request = match request {
        Ok(request) => Some(request),
        Err(TransferProblem::NoDestination) => {
            form.required::<String>("destination", destination);
            None
        }
        Err(TransferProblem::Address(field)) => {
            form.problem(field, "must be a number in E.164 with `+`, a SIP URI or an extension");
            None
        }
        // The form has said the same already.
        Err(TransferProblem::RingTimeout | TransferProblem::Announcement | TransferProblem::Hold) => None,
    };
    form.finish()?;
    let Some(request) = request else {
        return Err(ApiError::Fields(Vec::new()));
    };
    let call = find(operations.as_ref(), &organization, &id).await?;
    if let (Some(caller_id), Some(configuration)) = (&request.caller_id, &call.configuration)
        && !operations.store().is_active_number(configuration, caller_id).await?
    {
        return Err(ApiError::Fields(vec![FieldProblem {
            field: "caller_id".to_owned(),
            problem: "must be an active number of the call's configuration".to_owned(),
        }]));
    }
    match operations.transfer(&call, request).await {
        Ok(id) => {
            let body =
                json!({ "message": "the destination is being dialled", "transfer": { "id": id, "state": "dialing" } });
            Ok((StatusCode::ACCEPTED, Json(body)))
        }
        Err(reason) => Err(refused(reason)),
    }
}

pub(super) async fn cancel<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let call = find(operations.as_ref(), &organization, &id).await?;
    if operations.cancel_transfer(&call).await {
        Ok(Json(json!({ "message": "the transfer was withdrawn" })))
    } else {
        let message = "no transfer of this call waits for an answer";
        Err(ApiError::Conflict("no_transfer", message.to_owned()))
    }
}

fn refused(reason: TransferFailure) -> ApiError {
    match reason {
        TransferFailure::Unsupported => ApiError::Refused(
            "transfer_unsupported",
            "this call's provider cannot transfer calls".to_owned(),
        ),
        TransferFailure::InProgress => ApiError::Conflict(
            "transfer_in_progress",
            "another transfer of this call is under way; withdraw it first".to_owned(),
        ),
        _ => ApiError::Conflict(
            "not_connected",
            "a call is transferred while its caller talks to the agent".to_owned(),
        ),
    }
}

pub(super) fn shown(transfer: &TransferRecord) -> Value {
    json!({
        "id": transfer.asked.id,
        "destination": transfer.asked.destination.expose(),
        "caller_id": transfer.asked.caller_id.as_ref().map(Address::expose),
        "state": transfer.state,
        "reason": transfer.failure,
        "created_at": timestamp::rfc3339(transfer.created_at),
        "answered_at": timestamp::optional(transfer.answered_at),
        "connected_at": timestamp::optional(transfer.connected_at),
        "ended_at": timestamp::optional(transfer.ended_at),
    })
}
