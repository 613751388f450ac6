//! The document about the API: OpenAPI 3.1, from what the handlers say about themselves and what holds for all of them.

use axum::http::StatusCode;
use utoipa::PartialSchema as _;
use utoipa::ToSchema as _;
use utoipa::openapi::path::{HttpMethod, Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{SchemaFormat, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, Required,
    Schema,
};

use super::access::policy;
use super::problem::Problem;

/// The sections of the reference, in order.
const TAGS: [(&str, &str); 11] = [
    ("Providers", "What carriers there are, and providers of your own."),
    ("Configurations", "Accounts at carriers."),
    ("Trunks", "SIP trunks, for providers that keep them."),
    ("Phone numbers", "Numbers of a configuration, and who answers them."),
    ("Agents", "Who talks to callers."),
    ("Calls", "Placing calls, following them, ending and transferring them."),
    ("Events", "Being told of what happens."),
    ("Limits", "What an organisation may do, and how much of that is in use."),
    ("Access", "Keys, sessions, and what was changed by whom."),
    ("Operator", "The installation. Only a key of the operator opens these."),
    ("Reference", "This document."),
];

/// Every refusal that the API knows, by status.
const REFUSALS: [(StatusCode, &str, &str); 15] = [
    (
        StatusCode::BAD_REQUEST,
        "BadRequest",
        "The body is no JSON object, or what is asked cannot be done; `code` says why.",
    ),
    (
        StatusCode::UNAUTHORIZED,
        "Unauthorized",
        "No key or session, or one that opens nothing.",
    ),
    (
        StatusCode::PAYMENT_REQUIRED,
        "PaymentRequired",
        "The carrier's account has no balance.",
    ),
    (
        StatusCode::FORBIDDEN,
        "Forbidden",
        "The key or session has not the role that this takes, or the thing belongs to the operator.",
    ),
    (
        StatusCode::NOT_FOUND,
        "NotFound",
        "No such thing for this organisation.",
    ),
    (StatusCode::CONFLICT, "Conflict", "It contradicts what there is."),
    (
        StatusCode::PRECONDITION_FAILED,
        "PreconditionFailed",
        "Somebody else has changed it since the ETag in `If-Match` was read.",
    ),
    (
        StatusCode::PAYLOAD_TOO_LARGE,
        "PayloadTooLarge",
        "The body is too large.",
    ),
    (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UnsupportedMediaType",
        "The body is not sent as what it has to be.",
    ),
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        "InvalidFields",
        "Fields are missing, unknown or wrong: `errors` has all of them.",
    ),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "TooManyRequests",
        "A limit is reached; try again later.",
    ),
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "Internal",
        "The gateway failed; its operator finds the cause in the log.",
    ),
    (
        StatusCode::BAD_GATEWAY,
        "BadGateway",
        "The carrier or the provider failed.",
    ),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "Unavailable",
        "The gateway is stopping, or its database cannot be used now.",
    ),
    (
        StatusCode::REQUEST_TIMEOUT,
        "Timeout",
        "The body did not arrive in time.",
    ),
];

/// The document without operations.
pub(super) fn empty() -> OpenApi {
    let mut components = Components::new();
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    let mut needed = Vec::new();
    Problem::schemas(&mut needed);
    components.schemas.extend(needed);
    for (_, name, description) in REFUSALS {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content.build())
            .build();
        components.responses.insert(name.to_owned(), RefOr::T(response));
    }
    components.add_security_scheme("api_key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            "strowger_session",
            "A session of the console. Every method but GET and HEAD then takes the header `x-csrf-token`.",
        ))),
    );
    let tags = TAGS.map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build());
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Strowger")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "The REST API of a telephony gateway. JSON in and out; errors are problem details (RFC 9457); lists come in \
                     pages. What belongs to another organisation does not exist.",
                ))
                .build(),
        )
        .paths(Paths::new())
        .components(Some(components))
        .tags(Some(tags))
        .build()
}

/// Adds to an operation what follows from its path and its method: parameters of the path, who may, and how it can be refused.
pub(super) fn complete(path: &str, method: &HttpMethod, mut operation: Operation) -> Operation {
    let parameters = operation.parameters.get_or_insert_default();
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut in_path = Vec::new();
    for name in names {
        in_path.push(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(path_parameter(name)))
                .build(),
        );
    }
    let has_query = parameters.iter().any(
        |parameter| matches!(parameter, RefOr::T(parameter) if matches!(parameter.parameter_in, ParameterIn::Query)),
    );
    let has_body = operation.request_body.is_some();
    let in_tree = !in_path.is_empty();
    parameters.splice(0..0, in_path.into_iter().map(RefOr::T));

    // What is open to everybody says so with an empty list.
    let open = operation.security.as_ref().is_some_and(Vec::is_empty);
    if operation.security.is_none() {
        let none: [&str; 0] = [];
        let mut either = vec![SecurityRequirement::new("api_key", none)];
        // A session is always an organisation's.
        if !path.starts_with(policy::OPERATOR) {
            either.push(SecurityRequirement::new("session", none));
        }
        operation.security = Some(either);
    }
    let is_conditional = parameters
        .iter()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "If-None-Match"));
    if is_conditional {
        let unchanged = ResponseBuilder::new()
            .description("It is as the client has read it.")
            .build();
        operation
            .responses
            .responses
            .insert("304".to_owned(), RefOr::T(unchanged));
    }
    let changes = !matches!(method, HttpMethod::Get);
    for (status, name, _) in REFUSALS {
        let applies = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => !open,
            StatusCode::NOT_FOUND => in_tree || has_body,
            StatusCode::BAD_REQUEST => changes || in_tree,
            StatusCode::CONFLICT
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::PAYMENT_REQUIRED
            | StatusCode::BAD_GATEWAY => changes,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::REQUEST_TIMEOUT => {
                has_body
            }
            StatusCode::UNPROCESSABLE_ENTITY => has_body || has_query || changes,
            _ => !open,
        };
        let code = status.as_str().to_owned();
        if applies && !operation.responses.responses.contains_key(&code) {
            let reference: RefOr<Response> = RefOr::Ref(Ref::from_response_name(name));
            operation.responses.responses.insert(code, reference);
        }
    }
    operation
}

/// What stands in a path is the identifier of something, but for providers and their versions.
fn path_parameter(name: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    match name {
        "provider" => text.pattern(Some("^[a-z][a-z0-9-]*$")).max_length(Some(32)).into(),
        "digest" => text.pattern(Some("^[0-9a-f]{64}$")).into(),
        _ => text.format(Some(SchemaFormat::Custom("uuid".to_owned()))).into(),
    }
}
