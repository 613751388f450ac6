//! Everything that a client can be told went wrong, and its status, in one place.

use std::error::Error;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use strowger_host::FieldProblem;
use strowger_host::operation::FailureKind;

use super::OperationError;
use crate::store::StoreError;

/// Why a request is not answered with what it asked for.
#[derive(Debug)]
pub enum ApiError {
    /// No API key, or one that opens nothing.
    Unauthorized,
    /// The body is no JSON object.
    Malformed(String),
    /// The body is larger than any honest one.
    TooLarge,
    /// Fields are missing, unknown or of the wrong shape: all of them.
    Fields(Vec<FieldProblem>),
    /// Well-formed, and still not possible. A stable code and a sentence.
    Refused(&'static str, String),
    /// It contradicts what there is.
    Conflict(&'static str, String),
    /// There is no such thing, as far as this organisation may know.
    NotFound(&'static str),
    /// No method of this resource.
    MethodNotAllowed,
    /// A provider's operation was not done.
    Operation(OperationError),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Operation(error.into())
    }
}

impl From<OperationError> for ApiError {
    fn from(error: OperationError) -> Self {
        Self::Operation(error)
    }
}

impl ApiError {
    /// Status, code, message and fields. The one place that decides; what is internal is not in it.
    fn parts(self) -> (StatusCode, String, String, Vec<FieldProblem>) {
        const INVALID: &str = "some fields are not right; nothing was changed";
        let (status, code, message, fields) = match self {
            Self::Unauthorized => {
                let message = "send an API key of an organization: `Authorization: Bearer <key>`";
                (StatusCode::UNAUTHORIZED, "unauthorized", message.to_owned(), Vec::new())
            }
            Self::Malformed(problem) => (StatusCode::BAD_REQUEST, "malformed_body", problem, Vec::new()),
            Self::TooLarge => {
                let message = format!("the body is larger than {} bytes", super::BODY_BYTES_MAX);
                (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message, Vec::new())
            }
            Self::Fields(fields) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_fields",
                INVALID.to_owned(),
                fields,
            ),
            Self::Refused(code, message) => (StatusCode::BAD_REQUEST, code, message, Vec::new()),
            Self::Conflict(code, message) => (StatusCode::CONFLICT, code, message, Vec::new()),
            Self::NotFound(what) => (
                StatusCode::NOT_FOUND,
                "not_found",
                format!("there is no such {what}"),
                Vec::new(),
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this resource has no such method".to_owned(),
                Vec::new(),
            ),
            Self::Operation(error) => return operation(error),
        };
        (status, code.to_owned(), message, fields)
    }
}

fn operation(error: OperationError) -> (StatusCode, String, String, Vec<FieldProblem>) {
    let message = error.to_string();
    let (status, code) = match error {
        OperationError::Fields(fields) => {
            let fields = fields.into_iter().map(|FieldProblem { field, problem }| FieldProblem {
                field: format!("config.{field}"),
                problem,
            });
            return (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_fields".to_owned(),
                message,
                fields.collect(),
            );
        }
        OperationError::Failed(failure) => {
            let status = match failure.kind {
                FailureKind::Configuration | FailureKind::Request | FailureKind::Unsupported => StatusCode::BAD_REQUEST,
                // A rate limit passes; credit that is used up does not.
                FailureKind::Quota if failure.retryable => StatusCode::TOO_MANY_REQUESTS,
                FailureKind::Quota => StatusCode::PAYMENT_REQUIRED,
                FailureKind::Carrier | FailureKind::Internal => StatusCode::BAD_GATEWAY,
            };
            return (status, failure.code, failure.message, Vec::new());
        }
        OperationError::AtCapacity => (StatusCode::TOO_MANY_REQUESTS, "at_capacity"),
        OperationError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        OperationError::ProviderMissing => (StatusCode::SERVICE_UNAVAILABLE, "provider_missing"),
        OperationError::ProviderFault { .. } => (StatusCode::BAD_GATEWAY, "provider_fault"),
        OperationError::Store(StoreError::NotFound { what }) => return ApiError::NotFound(what).parts(),
        OperationError::Store(StoreError::Conflict { .. }) => (StatusCode::CONFLICT, "conflict"),
        OperationError::Store(StoreError::Locked) => {
            let message = "the database is busy; try again".to_owned();
            return (StatusCode::SERVICE_UNAVAILABLE, "busy".to_owned(), message, Vec::new());
        }
        OperationError::Store(
            error @ (StoreError::Unavailable(_)
            | StoreError::Schema(_)
            | StoreError::Sealed { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Randomness(_)),
        ) => return internal(&error.to_string(), error.source()),
        OperationError::Internal(problem) => return internal(&problem, None),
    };
    (status, code.to_owned(), message, Vec::new())
}

/// The cause goes to the log, where the operator looks; the client learns that it is not its fault.
fn internal(problem: &str, cause: Option<&(dyn Error + 'static)>) -> (StatusCode, String, String, Vec<FieldProblem>) {
    tracing::error!(problem, cause, "a request to the API failed");
    let message = "the gateway failed; its operator finds the cause in the log".to_owned();
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal".to_owned(),
        message,
        Vec::new(),
    )
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message, fields) = self.parts();
        let body = Json(json!({ "error": { "code": code, "message": message, "fields": fields } }));
        let mut response = (status, body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}
