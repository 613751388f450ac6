//! Sessions of the console: signing in with an API key, looking who is signed in, signing out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::{self, From, Identity, Limiter, Source};
use super::form::Form;
use super::problem::Problem;
use super::schema::{Id, Timestamp};
use super::{ApiError, Operations};
use crate::store::{
    ApiKey, AuditChain, IntentId, KeyHolder, OrganizationId, Outcome, Power, Role, Session, SessionId, SessionToken,
};

const KEY_CHARS_MAX: usize = 256;
const NO_STORE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// A session of the console.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct SessionView {
    organization: SessionOrganization,
    // Without a description: beside what is inlined it would become a schema of its own, which no text fits.
    #[schema(inline)]
    role: Role,
    /// For the header `x-csrf-token` of whatever is no `GET`.
    csrf_token: String,
    /// When it ends if nobody uses it.
    expires_at: Timestamp,
}

/// Whose session it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionOrganization {
    #[schema(value_type = Id)]
    id: OrganizationId,
    name: String,
}

/// Who signs in.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `sign_in` reads")]
pub(super) struct SignIn {
    /// A key of the organisation.
    #[schema(
        max_length = 256,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "strow_…"
    )]
    api_key: String,
}

/// Sign in
///
/// Opens a session for whoever has an API key. A session that the browser had before ends: an identifier from before the
/// sign-in is never one of those after it.
#[utoipa::path(post, path = "/api/v1/session", tag = "Access", operation_id = "signIn", request_body = SignIn, security(),
    responses((status = 200, description = "The session; its cookie is set.", body = SessionView),
        (status = 401, description = "The key opens nothing.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key is the operator's, or the page is somebody else's.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts failed.", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn sign_in<O: Operations>(
    State(operations): State<Arc<O>>,
    Extension(limiter): Extension<Arc<Limiter>>,
    from: From,
    headers: HeaderMap,
    mut form: Form,
) -> Result<Response, ApiError> {
    access::check_origin(&Method::POST, &headers, operations.public_base())?;
    let key = form.text("api_key", KEY_CHARS_MAX);
    let key = ApiKey::new(form.required("api_key", key));
    form.finish()?;
    let (store, now) = (operations.store(), operations.now());
    let sources = [Source::address(from.address()), Source::Key(key.prefix())];
    for source in &sources {
        if let Err(retry_after_s) = limiter.try_once(source, now) {
            return Err(ApiError::TooManyAttempts { retry_after_s });
        }
    }
    let Some(holder) = store.authenticate(&key, now).await? else {
        tracing::info!(address = from.told(), "a sign-in with a key that opens nothing");
        return Err(ApiError::Unauthorized);
    };
    for source in &sources {
        limiter.forgive(source, now);
    }
    let Power::Organization(organization, _) = &holder.power else {
        return Err(ApiError::Forbidden(
            "operator_key",
            "the console is for organizations; sign in with a key of one".to_owned(),
        ));
    };
    if let Some(before) = access::session_token(&headers)
        && let Some((session, _)) = store.session(&before, now).await?
    {
        store.end_session(&session.id).await?;
    }
    let token = SessionToken::generate()?;
    let session = store
        .open_session(&SessionId::generate(), &token, &holder.key, now)
        .await?;
    let chain = AuditChain::Organization(organization.clone());
    let identity = Identity {
        holder,
        session: Some((session, token)),
    };
    let entry = access::entry(&identity, &from, "POST /api/v1/session".to_owned());
    access::append(&*operations, &IntentId::generate(), &chain, &entry, Outcome::Done).await?;
    store.note_key_use(&identity.holder, now).await?;
    let Some((session, token)) = identity.session else {
        return Err(ApiError::Unauthorized);
    };
    let body = shown(&*operations, &session, &token, &identity.holder).await?;
    let cookie = access::cookie(&token, is_secure(&*operations));
    Ok(([NO_STORE, (header::SET_COOKIE, &*cookie)], Json(body)).into_response())
}

/// Look who is signed in
///
/// Only with a session.
#[utoipa::path(get, path = "/api/v1/session", tag = "Access", operation_id = "readSession",
    responses((status = 200, description = "The session.", body = SessionView)))]
pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let (session, token) = identity.session.ok_or(ApiError::Unauthorized)?;
    let body = shown(&*operations, &session, &token, &identity.holder).await?;
    Ok(([NO_STORE], Json(body)).into_response())
}

/// Sign out
///
/// Ends the session.
#[utoipa::path(delete, path = "/api/v1/session", tag = "Access", operation_id = "signOut",
    responses((status = 204, description = "It is over.")))]
pub(super) async fn sign_out<O: Operations>(
    State(operations): State<Arc<O>>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let (session, _) = identity.session.ok_or(ApiError::Unauthorized)?;
    operations.store().end_session(&session.id).await?;
    let cookie = access::no_cookie(is_secure(&*operations));
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

fn is_secure<O: Operations>(operations: &O) -> bool {
    operations.public_base().starts_with("https://")
}

async fn shown<O: Operations>(
    operations: &O,
    session: &Session,
    token: &SessionToken,
    holder: &KeyHolder,
) -> Result<SessionView, ApiError> {
    let Power::Organization(organization, role) = &holder.power else {
        return Err(ApiError::Unauthorized);
    };
    let organization = operations.store().find_organization(organization).await?;
    Ok(SessionView {
        organization: SessionOrganization {
            id: organization.id,
            name: organization.name,
        },
        role: *role,
        csrf_token: token.csrf_token(),
        expires_at: Timestamp(session.expires_at()),
    })
}
