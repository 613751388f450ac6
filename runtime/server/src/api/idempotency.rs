//! Requests that may be sent again: with the header `Idempotency-Key` a request is done once, and whoever sends it again gets
//! the answer of the first time.
//!
//! An answer is kept when something may have been done: success, and failures that leave that open. One that says that
//! nothing was done gives the key back, so that the request can be mended and sent again under it.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::IntoParams;

use super::access::Identity;
use super::{ApiError, BODY_BYTES_MAX, OperationError, Operations};
use crate::store::{Attempt, IdempotentRequest, Power, UnixMs};

const HEADER: &str = "idempotency-key";
/// Set on an answer that was given before.
const REPLAYED: &str = "idempotency-replayed";
const KEY_CHARS_MAX: usize = 255;
/// The largest answer that is kept, in bytes: a configuration with all its trunks is smaller.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// When whoever did the request is certainly not at it any more: no operation takes that long.
const GONE_AFTER_MS: UnixMs = 10 * 60 * 1000;

/// What makes a request one that may be sent again.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `once` reads")]
pub(super) struct IdempotencyKey {
    /// A text of the client's, such as a UUID. For a day, the same request under the same key is done once and answered alike.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    idempotency_key: Option<String>,
}

/// The operations that take the header. What shows a secret once is not among them: its answer must not be kept.
const ROUTES: [&str; 6] = [
    "/api/v1/telephony/initiate-call",
    "/api/v1/organizations/telephony-configs",
    "/api/v1/organizations/telephony-configs/{configuration}/phone-numbers",
    "/api/v1/organizations/telephony-configs/{configuration}/trunks",
    "/api/v1/agents",
    "/api/v1/calls/{call}/transfer",
];

/// The layer. It is inside of the one that lets requests in.
pub(super) async fn once<O: Operations>(
    State(operations): State<Arc<O>>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let named = request.headers().contains_key(HEADER);
    if !named || request.method() != Method::POST || !ROUTES.contains(&route.as_str()) {
        return next.run(request).await;
    }
    match done_once(&*operations, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn done_once<O: Operations>(operations: &O, request: Request, next: Next) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let identity = parts.extensions.get::<Identity>().ok_or(ApiError::Unauthorized)?;
    let Power::Organization(organization, _) = identity.holder.power.clone() else {
        return Err(ApiError::Unauthorized);
    };
    let key = key(&parts.headers)?;
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| ApiError::TooLarge)?;
    let what = [parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), &body];
    let asked = IdempotentRequest::new(organization, key.as_bytes(), &what);
    let (store, now) = (operations.store(), operations.now());
    match store.begin_idempotent(&asked, now).await? {
        Attempt::First => {}
        Attempt::Answered { status, body } => return Ok(replayed(status, body)),
        Attempt::OtherRequest => return Err(ApiError::KeyReused),
        Attempt::Open { since } if now.saturating_sub(since) < GONE_AFTER_MS => return Err(ApiError::KeyInUse),
        Attempt::Open { .. } => {
            let message = "the gateway was interrupted while it did this, so it may have been done or not; look, and use \
                           another key";
            return Err(ApiError::Conflict("idempotency_outcome_unknown", message.to_owned()));
        }
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let status = response.status();
    if !is_kept(status) {
        if let Err(error) = store.release_idempotent(&asked).await {
            tracing::warn!(%error, "an idempotency key could not be given back");
        }
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, ANSWER_BYTES_MAX)
        .await
        .map_err(|error| OperationError::Internal(error.to_string()))?;
    let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    // It was done: that its answer cannot be kept must not hide that.
    if let Err(error) = store.answer_idempotent(&asked, status.as_u16(), &document).await {
        tracing::error!(%error, "an answer could not be kept for its idempotency key");
    }
    Ok(Response::from_parts(head, Body::from(bytes)))
}

fn key(headers: &HeaderMap) -> Result<&HeaderValue, ApiError> {
    let mut values = headers.get_all(HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(malformed());
    };
    let fits = (1..=KEY_CHARS_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    fits.then_some(value).ok_or_else(malformed)
}

fn malformed() -> ApiError {
    ApiError::Refused(
        "invalid_idempotency_key",
        format!("the header Idempotency-Key must be there once, with 1 to {KEY_CHARS_MAX} visible ASCII characters"),
    )
}

/// Whether something was done, or may have been.
fn is_kept(status: StatusCode) -> bool {
    status.is_success() || (status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE)
}

fn replayed(status: u16, body: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if !status.is_success() {
        headers.insert(
            axum::http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
    }
    response
}
