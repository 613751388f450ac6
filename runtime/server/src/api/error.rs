//! Everything that a client can be told went wrong, and its status, in one place.

use std::error::Error;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use strowger_host::child::ChildError;
use strowger_host::operation::{FailureKind, FailureOwner};
use strowger_host::{FieldProblem, LoadError};

use super::OperationError;
use crate::catalogue::CatalogueError;
use crate::install::InstallError;
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
    /// A component was not installed.
    Install(InstallError),
}

impl From<InstallError> for ApiError {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Catalogue(error) => error.into(),
            error => Self::Install(error),
        }
    }
}

impl From<CatalogueError> for ApiError {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::Store(error) => error.into(),
            error => Self::Install(error.into()),
        }
    }
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

/// What a client is told.
struct Told {
    status: StatusCode,
    code: String,
    message: String,
    fields: Vec<FieldProblem>,
    /// Who can do something about it, where somebody said so.
    owner: Option<FailureOwner>,
    /// Whether the same request may succeed later.
    retryable: bool,
}

impl Told {
    fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            fields: Vec::new(),
            owner: None,
            retryable: false,
        }
    }

    fn fields(fields: Vec<FieldProblem>, message: impl Into<String>) -> Self {
        Self {
            fields,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields", message)
        }
    }

    fn owner(self, owner: FailureOwner) -> Self {
        Self {
            owner: Some(owner),
            ..self
        }
    }

    fn retryable(self, retryable: bool) -> Self {
        Self { retryable, ..self }
    }
}

impl ApiError {
    /// The one place that decides; what is internal is not in it.
    fn told(self) -> Told {
        match self {
            Self::Unauthorized => Told::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "send an API key of an organization: `Authorization: Bearer <key>`",
            ),
            Self::Malformed(problem) => Told::new(StatusCode::BAD_REQUEST, "malformed_body", problem),
            Self::TooLarge => Told::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body is larger than {} bytes", super::BODY_BYTES_MAX),
            ),
            Self::Fields(fields) => Told::fields(fields, "some fields are not right; nothing was changed"),
            Self::Refused(code, message) => Told::new(StatusCode::BAD_REQUEST, code, message),
            Self::Conflict(code, message) => Told::new(StatusCode::CONFLICT, code, message),
            Self::NotFound(what) => Told::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}")),
            Self::MethodNotAllowed => Told::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this resource has no such method",
            ),
            Self::Operation(error) => operation(error),
            Self::Install(error) => install(&error),
        }
    }
}

fn install(error: &InstallError) -> Told {
    let message = error.to_string();
    match error {
        InstallError::Busy(_) => Told::new(StatusCode::TOO_MANY_REQUESTS, error.code(), message).retryable(true),
        InstallError::Load(LoadError::TooLarge { .. }) => {
            Told::new(StatusCode::PAYLOAD_TOO_LARGE, error.code(), message)
        }
        InstallError::TooMuchInstalled { .. } => Told::new(StatusCode::CONFLICT, error.code(), message),
        InstallError::Signature(_)
        | InstallError::OtherDigest { .. }
        | InstallError::NoDigest(_)
        | InstallError::Load(_)
        | InstallError::NotConformant { .. } => Told::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), message),
        InstallError::Examination(ChildError::Unavailable(_)) => internal(&message, None),
        InstallError::Examination(_) => Told::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), message),
        InstallError::Catalogue(error) => match error {
            CatalogueError::NotYours { .. } => Told::new(StatusCode::FORBIDDEN, "not_yours", message),
            CatalogueError::NoSuchDigest { .. } => Told::new(StatusCode::NOT_FOUND, "not_found", message),
            CatalogueError::UndeclaredHosts { .. } => {
                Told::new(StatusCode::UNPROCESSABLE_ENTITY, "undeclared_hosts", message)
            }
            CatalogueError::UnconfirmedHosts { .. } => {
                Told::new(StatusCode::UNPROCESSABLE_ENTITY, "unconfirmed_hosts", message)
            }
            CatalogueError::Share { .. } => Told::new(StatusCode::UNPROCESSABLE_ENTITY, "share", message),
            CatalogueError::Component(_) | CatalogueError::Store(_) => internal(&message, error.source()),
        },
        InstallError::Internal(_) => internal(&message, None),
    }
}

fn operation(error: OperationError) -> Told {
    let message = error.to_string();
    match error {
        OperationError::Fields(fields) => {
            let fields = fields.into_iter().map(|FieldProblem { field, problem }| FieldProblem {
                field: format!("config.{field}"),
                problem,
            });
            Told::fields(fields.collect(), message)
        }
        OperationError::Failed(failure) => {
            let status = match failure.kind {
                FailureKind::Configuration | FailureKind::Request | FailureKind::Unsupported => StatusCode::BAD_REQUEST,
                // A rate limit passes; credit that is used up does not.
                FailureKind::Quota if failure.retryable => StatusCode::TOO_MANY_REQUESTS,
                FailureKind::Quota => StatusCode::PAYMENT_REQUIRED,
                FailureKind::Carrier | FailureKind::Internal => StatusCode::BAD_GATEWAY,
            };
            Told::new(status, failure.code, failure.message)
                .owner(failure.owner)
                .retryable(failure.retryable)
        }
        OperationError::AtCapacity => Told::new(StatusCode::TOO_MANY_REQUESTS, "at_capacity", message).retryable(true),
        OperationError::OverBudget(_) | OperationError::KeepsTooMuch(_) => {
            Told::new(StatusCode::TOO_MANY_REQUESTS, "over_budget", message).retryable(true)
        }
        OperationError::Stopping => Told::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message).retryable(true),
        OperationError::ProviderMissing => {
            Told::new(StatusCode::SERVICE_UNAVAILABLE, "provider_missing", message).owner(FailureOwner::Operator)
        }
        OperationError::ProviderFault { .. } => {
            Told::new(StatusCode::BAD_GATEWAY, "provider_fault", message).owner(FailureOwner::Operator)
        }
        OperationError::Store(StoreError::NotFound { what }) => ApiError::NotFound(what).told(),
        OperationError::Store(StoreError::Conflict { .. }) => Told::new(StatusCode::CONFLICT, "conflict", message),
        OperationError::Store(StoreError::Locked) => Told::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "the database is busy; try again",
        )
        .retryable(true),
        OperationError::Store(
            error @ (StoreError::Unavailable(_)
            | StoreError::Schema(_)
            | StoreError::Sealed { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Randomness(_)),
        ) => internal(&error.to_string(), error.source()),
        OperationError::Internal(problem) => internal(&problem, None),
    }
}

/// The cause goes to the log, where the operator looks; the client learns that it is not its fault.
fn internal(problem: &str, cause: Option<&(dyn Error + 'static)>) -> Told {
    tracing::error!(problem, cause, "a request to the API failed");
    Told::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the gateway failed; its operator finds the cause in the log",
    )
    .owner(FailureOwner::Operator)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Told {
            status,
            code,
            message,
            fields,
            owner,
            retryable,
        } = self.told();
        let body = Json(json!({
            "error": { "code": code, "message": message, "fields": fields, "owner": owner, "retryable": retryable }
        }));
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
