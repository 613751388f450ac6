//! How a refusal looks on the wire: problem details of RFC 9457, with members of our own.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use strowger_host::FieldProblem;
use strowger_host::operation::FailureOwner;
use utoipa::ToSchema;

/// What the types of problems begin with. They are names: nothing needs to be there.
const TYPES: &str = "https://strowger.dev/problems/";
/// How many fields one answer tells of. Somebody with more has other trouble.
const ERRORS_MAX: usize = 100;
/// How much of a field's name is repeated, in characters: it may be the client's invention.
const FIELD_CHARS_MAX: usize = 80;

/// A refusal, as a client reads it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// URI that names the kind of problem. It ends with the code.
    #[serde(rename = "type")]
    #[schema(format = "uri", example = "https://strowger.dev/problems/invalid_fields")]
    kind: String,
    /// The kind of problem in words; the same for every problem of the kind.
    #[schema(example = "Invalid fields")]
    title: String,
    /// HTTP status.
    #[schema(minimum = 400, maximum = 599, example = 422)]
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: String,
    /// The kind of problem, for programs.
    #[schema(example = "invalid_fields")]
    code: String,
    /// Every field that is wrong.
    #[schema(value_type = Vec<WrongField>, max_items = 100)]
    errors: Vec<FieldProblem>,
    /// Who can do something about it, where that is known.
    #[schema(value_type = Option<Owner>)]
    owner: Option<FailureOwner>,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// In how many seconds, where that is known: a header.
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

/// A field that is wrong.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `FieldProblem`")]
struct WrongField {
    /// Where it is: `config.auth_token`.
    field: String,
    /// What is wrong with it, and what to send.
    problem: String,
}

/// Who can do something about a problem.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "describes `FailureOwner`")]
enum Owner {
    /// The organisation.
    User,
    /// Whoever runs the gateway.
    Operator,
}

impl Problem {
    /// Of a kind that belongs to the gateway.
    pub(super) fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> Self {
        let code = code.into();
        Self {
            kind: format!("{TYPES}{code}"),
            title: title(&code),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            errors: Vec::new(),
            owner: None,
            retryable: false,
            retry_after_s: None,
        }
    }

    /// Of a kind that a provider has named: its codes must not pass for ours.
    pub(super) fn of_provider(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPES}provider/{code}"),
            ..Self::new(status, code, detail)
        }
    }

    pub(super) fn fields(errors: Vec<FieldProblem>, detail: impl Into<String>) -> Self {
        let short = |FieldProblem { field, problem }| FieldProblem {
            field: shortened(field),
            problem,
        };
        Self {
            errors: errors.into_iter().take(ERRORS_MAX).map(short).collect(),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields", detail)
        }
    }

    pub(super) fn owner(self, owner: FailureOwner) -> Self {
        Self {
            owner: Some(owner),
            ..self
        }
    }

    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    pub(super) fn retryable(self, retryable: bool) -> Self {
        Self { retryable, ..self }
    }
}

/// `invalid_fields` → `Invalid fields`.
fn title(code: &str) -> String {
    let mut words = code.replace(['_', '-'], " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn shortened(mut name: String) -> String {
    if let Some((end, _)) = name.char_indices().nth(FIELD_CHARS_MAX) {
        name.truncate(end);
        name.push('…');
    }
    name
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_s = self.retry_after_s;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
