//! Everything that a client can be told went wrong, and its status, in one place.

use std::error::Error;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use strowger_host::child::ChildError;
use strowger_host::operation::{FailureKind, FailureOwner};
use strowger_host::{FieldProblem, LoadError};

use super::OperationError;
use super::problem::Problem;
use crate::catalogue::CatalogueError;
use crate::install::InstallError;
use crate::store::StoreError;

/// Why a request is not answered with what it asked for.
#[derive(Debug)]
pub enum ApiError {
    /// No API key, or one that opens nothing.
    Unauthorized,
    /// Whoever asks is known, and may not. A stable code, and what would be needed.
    Forbidden(&'static str, String),
    /// Too many wrong keys.
    TooManyAttempts {
        /// Seconds until the next one counts.
        retry_after_s: u64,
    },
    /// It was done, or not, and could not be written to the audit log.
    Unrecorded,
    /// The body is no JSON object, or a header is not what it should be.
    Malformed(String),
    /// The body is of a type that is not read.
    UnsupportedMediaType,
    /// The body is larger than any honest one.
    TooLarge,
    /// Fields are missing, unknown or of the wrong shape: all of them.
    Fields(Vec<FieldProblem>),
    /// Well-formed, and still not possible. A stable code and a sentence.
    Refused(&'static str, String),
    /// It contradicts what there is.
    Conflict(&'static str, String),
    /// Somebody else has changed it since the client has read it.
    Stale,
    /// The key of an idempotent request was another request's.
    KeyReused,
    /// The same request is being done.
    KeyInUse,
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

impl ApiError {
    /// The one place that decides; what is internal is not in it.
    fn problem(self) -> Problem {
        match self {
            Self::Unauthorized => Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "send an API key of an organization: `Authorization: Bearer <key>`",
            ),
            Self::Forbidden(code, message) => Problem::new(StatusCode::FORBIDDEN, code, message),
            Self::TooManyAttempts { retry_after_s } => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_attempts",
                format!("too many attempts failed; try again in {retry_after_s} s"),
            )
            .retryable(true)
            .retry_after(retry_after_s),
            Self::Unrecorded => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unrecorded",
                "it may have been done, and could not be written to the audit log; look before you ask again",
            )
            .owner(FailureOwner::Operator),
            Self::Malformed(problem) => Problem::new(StatusCode::BAD_REQUEST, "malformed_body", problem),
            Self::UnsupportedMediaType => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be JSON: send it with `Content-Type: application/json`",
            ),
            Self::TooLarge => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body is larger than {} bytes", super::BODY_BYTES_MAX),
            ),
            Self::Fields(fields) => Problem::fields(fields, "some fields are not right; nothing was changed"),
            Self::Refused(code, message) => Problem::new(StatusCode::BAD_REQUEST, code, message),
            Self::Conflict(code, message) => Problem::new(StatusCode::CONFLICT, code, message),
            Self::Stale => Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "stale",
                "it was changed since the ETag in If-Match was given; read it again, and decide again",
            ),
            Self::KeyReused => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "another request was sent with this Idempotency-Key; every request needs a key of its own",
            ),
            Self::KeyInUse => Problem::new(
                StatusCode::CONFLICT,
                "idempotency_key_in_use",
                "a request with this Idempotency-Key is being done; ask again for its answer",
            )
            .retryable(true),
            Self::NotFound(what) => {
                Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
            }
            Self::MethodNotAllowed => Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this resource has no such method",
            ),
            Self::Operation(error) => operation(error),
            Self::Install(error) => install(&error),
        }
    }
}

fn install(error: &InstallError) -> Problem {
    let message = error.to_string();
    match error {
        InstallError::Busy(_) => Problem::new(StatusCode::TOO_MANY_REQUESTS, error.code(), message).retryable(true),
        InstallError::Load(LoadError::TooLarge { .. }) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error.code(), message)
        }
        InstallError::TooMuchInstalled { .. } => Problem::new(StatusCode::CONFLICT, error.code(), message),
        InstallError::Signature(_)
        | InstallError::OtherDigest { .. }
        | InstallError::NoDigest(_)
        | InstallError::Load(_)
        | InstallError::NotConformant { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), message),
        InstallError::Examination(ChildError::Unavailable(_)) => internal(&message, None),
        InstallError::Examination(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), message),
        InstallError::Catalogue(error) => match error {
            CatalogueError::NotYours { .. } => Problem::new(StatusCode::FORBIDDEN, "not_yours", message),
            CatalogueError::NoSuchDigest { .. } => Problem::new(StatusCode::NOT_FOUND, "not_found", message),
            CatalogueError::UndeclaredHosts { .. } => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "undeclared_hosts", message)
            }
            CatalogueError::UnconfirmedHosts { .. } => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unconfirmed_hosts", message)
            }
            CatalogueError::Share { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "share", message),
            CatalogueError::Component(_) | CatalogueError::Store(_) => internal(&message, error.source()),
        },
        InstallError::Internal(_) => internal(&message, None),
    }
}

fn operation(error: OperationError) -> Problem {
    let message = error.to_string();
    match error {
        OperationError::Fields(fields) => {
            let fields = fields.into_iter().map(|FieldProblem { field, problem }| FieldProblem {
                field: format!("config.{field}"),
                problem,
            });
            Problem::fields(fields.collect(), message)
        }
        OperationError::Failed(failure) => {
            let status = match failure.kind {
                FailureKind::Configuration | FailureKind::Request | FailureKind::Unsupported => StatusCode::BAD_REQUEST,
                // A rate limit passes; credit that is used up does not.
                FailureKind::Quota if failure.retryable => StatusCode::TOO_MANY_REQUESTS,
                FailureKind::Quota => StatusCode::PAYMENT_REQUIRED,
                FailureKind::Carrier | FailureKind::Internal => StatusCode::BAD_GATEWAY,
            };
            Problem::of_provider(status, &failure.code, failure.message)
                .owner(failure.owner)
                .retryable(failure.retryable)
        }
        OperationError::AtCapacity => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "at_capacity", message).retryable(true)
        }
        OperationError::TooManyStreams => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", message).retryable(true)
        }
        OperationError::Refused(refusal) => {
            let status = if refusal.passes() {
                StatusCode::TOO_MANY_REQUESTS
            } else {
                StatusCode::FORBIDDEN
            };
            Problem::new(status, refusal.code(), message)
                .owner(FailureOwner::Operator)
                .retryable(refusal.passes())
        }
        OperationError::OverBudget(_) | OperationError::KeepsTooMuch(_) => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "over_budget", message).retryable(true)
        }
        OperationError::Stopping => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message).retryable(true),
        OperationError::ProviderMissing => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "provider_missing", message).owner(FailureOwner::Operator)
        }
        OperationError::ProviderFault { .. } => {
            Problem::new(StatusCode::BAD_GATEWAY, "provider_fault", message).owner(FailureOwner::Operator)
        }
        OperationError::Store(StoreError::NotFound { what }) => ApiError::NotFound(what).problem(),
        OperationError::Store(StoreError::Conflict { .. }) => Problem::new(StatusCode::CONFLICT, "conflict", message),
        // Who said which version it should be hears so from the handler; this one said nothing, and may simply ask again.
        OperationError::Store(StoreError::Stale) => {
            Problem::new(StatusCode::CONFLICT, "changed_meanwhile", message).retryable(true)
        }
        OperationError::Store(StoreError::Locked) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "the database is busy; try again",
        )
        .retryable(true),
        OperationError::Store(error @ StoreError::Unavailable(_)) => {
            tracing::error!(%error, cause = error.source(), "the database cannot be used");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "the gateway's database cannot be used right now; try again, and if that does not help, tell its operator",
            )
            .owner(FailureOwner::Operator)
            .retryable(true)
        }
        OperationError::Store(StoreError::SecretsUnavailable { .. }) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "encryption_key_unavailable",
            "the gateway has no key to its stored secrets; its operator has to put the encryption key back",
        )
        .owner(FailureOwner::Operator),
        OperationError::Store(
            error @ (StoreError::Schema(_)
            | StoreError::NoMasterKey { .. }
            | StoreError::Damaged(_)
            | StoreError::Sealed { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Randomness(_)),
        ) => internal(&error.to_string(), error.source()),
        OperationError::Internal(problem) => internal(&problem, None),
    }
}

/// The cause goes to the log, where the operator looks; the client learns that it is not its fault.
fn internal(problem: &str, cause: Option<&(dyn Error + 'static)>) -> Problem {
    tracing::error!(problem, cause, "a request to the API failed");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the gateway failed; its operator finds the cause in the log",
    )
    .owner(FailureOwner::Operator)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}

/// Whatever no route leads to.
pub(super) async fn no_such_path() -> ApiError {
    ApiError::NotFound("resource; /api/v1/docs lists them all")
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}
