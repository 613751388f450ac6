//! Connecting the caller of a live call with somebody else.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use strowger_call::address::ADDRESS_CHARS_MAX;
use strowger_call::{TransferFailure, TransferId};
use strowger_host::FieldProblem;
use utoipa::ToSchema;

use super::authentication::Caller;
use super::calls::find;
use super::form::Form;
use super::idempotency::IdempotencyKey;
use super::path::Path;
use super::schema::{Id, Message, Timestamp};
use super::{ApiError, Operations};
use crate::agent::{TransferProblem, TransferRequest};
use crate::store::{TransferRecord, TransferState};

const HOLDS: [&str; 3] = ["ringback", "silence", "agent"];

/// A transfer of a call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transfer)]
pub(super) struct TransferView {
    #[schema(value_type = Id)]
    id: TransferId,
    /// Who is dialled.
    destination: String,
    /// What the destination sees.
    caller_id: Option<String>,
    state: TransferState,
    /// Why it did not come about; null unless it failed.
    #[schema(value_type = Option<String>, example = "busy")]
    reason: Option<TransferFailure>,
    created_at: Timestamp,
    answered_at: Option<Timestamp>,
    connected_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

/// A transfer that goes on by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TransferStarted {
    message: &'static str,
    transfer: StartedTransfer,
}

/// The beginning of a transfer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StartedTransfer {
    #[schema(value_type = Id)]
    id: TransferId,
    state: TransferState,
}

/// Whom to connect the caller with.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `request` reads")]
pub(super) struct NewTransfer {
    /// A number with `+`, a SIP URI or an extension.
    #[schema(
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "+12025550199"
    )]
    destination: String,
    /// An active number of the call's configuration; else the number that the call goes over.
    #[schema(
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    caller_id: Option<String>,
    /// In seconds.
    #[schema(minimum = 5, maximum = 120, default = 30)]
    ring_timeout_s: Option<u16>,
    /// Said to the destination where the carrier can speak.
    #[schema(
        max_length = 500,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    announcement: Option<String>,
    /// What the caller hears meanwhile.
    #[schema(inline)]
    hold: Option<Hold>,
}

/// What a caller hears while a transfer is dialled.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes `HOLDS`")]
enum Hold {
    Ringback,
    Silence,
    Agent,
}

/// Transfer a call
///
/// Connects the caller with somebody else. It goes on by itself; the call's record has its state.
#[utoipa::path(post, path = "/api/v1/calls/{call}/transfer", tag = "Calls", operation_id = "transferCall",
    request_body = NewTransfer, params(IdempotencyKey), responses((status = 202, description = "The destination is being dialled.", body = TransferStarted)))]
pub(super) async fn request<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
    mut form: Form,
) -> Result<(StatusCode, Json<TransferStarted>), ApiError> {
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
    operations
        .permit_destination(&organization, &request.destination)
        .await?;
    match operations.transfer(&call, request).await {
        Ok(id) => {
            let body = TransferStarted {
                message: "the destination is being dialled",
                transfer: StartedTransfer {
                    id,
                    state: TransferState::Dialing,
                },
            };
            Ok((StatusCode::ACCEPTED, Json(body)))
        }
        Err(reason) => Err(refused(reason)),
    }
}

/// Withdraw a transfer
///
/// While it is not answered.
#[utoipa::path(delete, path = "/api/v1/calls/{call}/transfer", tag = "Calls", operation_id = "cancelTransfer",
    responses((status = 200, description = "It is withdrawn.", body = Message)))]
pub(super) async fn cancel<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(id): Path<String>,
) -> Result<Json<Message>, ApiError> {
    let call = find(operations.as_ref(), &organization, &id).await?;
    if operations.cancel_transfer(&call).await {
        Ok(Message::new("the transfer was withdrawn"))
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

pub(super) fn shown(transfer: &TransferRecord) -> TransferView {
    let asked = &transfer.asked;
    TransferView {
        id: asked.id.clone(),
        destination: asked.destination.expose().to_owned(),
        caller_id: asked.caller_id.as_ref().map(|caller_id| caller_id.expose().to_owned()),
        state: transfer.state,
        reason: transfer.failure,
        created_at: Timestamp(transfer.created_at),
        answered_at: transfer.answered_at.map(Timestamp),
        connected_at: transfer.connected_at.map(Timestamp),
        ended_at: transfer.ended_at.map(Timestamp),
    }
}
