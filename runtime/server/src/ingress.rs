//! Where carriers come in: webhooks and media sockets.
//!
//! This is the boundary to HTTP and nothing more. Bodies stay raw bytes, the URL is built from the configured public base and
//! the path as it arrived, and what is decided is decided in [`Exchange`].

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde::Deserialize;
use strowger_host::{Header, Webhook};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::exchange::{Exchange, MediaRefusal, Refused};
use crate::session::SessionMessage;

/// The largest message that a carrier may send on a media socket: seconds of audio, where 20 ms are usual.
const MEDIA_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// What a media socket reads at once. Messages are small, the buffer belongs to the call, and all of it is cleared for every
/// read: with the library's 128 KiB that is a quarter of a call's memory.
const MEDIA_READ_BUFFER_BYTES: usize = 4 * 1024;

/// Webhooks that are read or answered at once. More wait for nothing but each other, and hold their bodies meanwhile; a
/// carrier repeats what is turned away.
const WEBHOOKS_AT_ONCE: usize = 256;
/// How long a webhook's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The carriers' routes. `webhook_bytes_max` bounds a webhook's body.
pub fn router(exchange: Exchange, webhook_bytes_max: usize) -> Router {
    let door = Door {
        bytes_max: webhook_bytes_max,
        free: Arc::new(Semaphore::new(WEBHOOKS_AT_ONCE)),
    };
    Router::new()
        .route("/api/v1/telephony/inbound/run", any(inbound))
        .route("/api/v1/telephony/inbound/run/{provider}", any(inbound_to))
        .route("/api/v1/telephony/inbound/fallback", any(fallback))
        .route("/api/v1/telephony/{provider}/{*path}", any(provider_route))
        .route_layer(from_fn_with_state(door, enter))
        .route("/api/v1/telephony/ws", get(media_by_query))
        .route("/api/v1/telephony/ws/{token}", get(media_by_path))
        .layer(DefaultBodyLimit::max(webhook_bytes_max))
        .with_state(exchange)
}

/// What strangers may take up before anything is known about them.
#[derive(Clone)]
struct Door {
    bytes_max: usize,
    free: Arc<Semaphore>,
}

/// Lets a webhook in: only so many at once, and only with a body that is neither too long nor too slow.
async fn enter(State(door): State<Door>, request: Request, next: Next) -> Response {
    let Ok(_place) = door.free.try_acquire() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    // Who announces too much is not read to the limit first.
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > door.bytes_max as u64) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let (head, body) = request.into_parts();
    match timeout(BODY_TIMEOUT, to_bytes(body, door.bytes_max)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(_)) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

async fn inbound(
    State(exchange): State<Exchange>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(
        exchange
            .inbound(webhook(&exchange, &method, &uri, &headers, &body))
            .await,
    )
}

async fn inbound_to(
    State(exchange): State<Exchange>,
    Path(provider): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(
        exchange
            .inbound_to(&provider, webhook(&exchange, &method, &uri, &headers, &body))
            .await,
    )
}

async fn fallback(
    State(exchange): State<Exchange>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(
        exchange
            .fallback(webhook(&exchange, &method, &uri, &headers, &body))
            .await,
    )
}

async fn provider_route(
    State(exchange): State<Exchange>,
    Path((provider, path)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(
        exchange
            .callback(&provider, &path, webhook(&exchange, &method, &uri, &headers, &body))
            .await,
    )
}

#[derive(Deserialize)]
struct MediaQuery {
    token: String,
}

async fn media_by_query(
    state: State<Exchange>,
    Query(query): Query<MediaQuery>,
    upgrade: WebSocketUpgrade,
) -> Response {
    media(state, query.token, upgrade).await
}

async fn media_by_path(state: State<Exchange>, Path(token): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    media(state, token, upgrade).await
}

/// The token opens one socket of one call, once: it is claimed before the upgrade, so that of two sockets only one gets one.
async fn media(State(exchange): State<Exchange>, token: String, upgrade: WebSocketUpgrade) -> Response {
    let session = match exchange.claim_media(&token).await {
        Ok(session) => session,
        Err(refusal) => return refusal.into_response(),
    };
    let upgrade = upgrade
        .max_message_size(MEDIA_MESSAGE_BYTES_MAX)
        .max_frame_size(MEDIA_MESSAGE_BYTES_MAX)
        .read_buffer_size(MEDIA_READ_BUFFER_BYTES);
    let upgrade = match session.provider.spec().media.subprotocol.clone() {
        Some(subprotocol) => upgrade.protocols([subprotocol]),
        None => upgrade,
    };
    let mailbox = session.mailbox.clone();
    let failed = session.mailbox.clone();
    upgrade
        .on_failed_upgrade(move |error| {
            let reason = format!("the upgrade failed: {error}");
            // A mailbox that is full or closed belongs to a call that is ending anyway.
            drop(failed.try_send(SessionMessage::Event(strowger_call::Event::MediaLost { reason })));
        })
        .on_upgrade(move |socket| async move {
            drop(mailbox.send(SessionMessage::Media(Box::new(socket))).await);
        })
}

fn webhook(exchange: &Exchange, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Webhook {
    let path = uri.path_and_query().map_or(uri.path(), |path| path.as_str());
    Webhook {
        method: method.as_str().to_owned(),
        url: format!("{}{path}", exchange.public_base()),
        headers: headers
            .iter()
            .map(|(name, value)| Header {
                name: name.as_str().to_owned(),
                value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
            })
            .collect(),
        body: body.to_vec(),
        received_at: exchange.clock().unix_ms_unsigned(),
    }
}

fn respond(result: Result<strowger_host::Response, Refused>) -> Response {
    let answer = match result {
        Ok(answer) => answer,
        Err(refused) => return refused.into_response(),
    };
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name), header::HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Strangers read these: they tell what to do to somebody who owns the number, and nothing to anybody else.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::NotRecognised => (StatusCode::NOT_FOUND, "no provider recognises this webhook"),
            Self::NoSuchRoute => (StatusCode::NOT_FOUND, "no such route"),
            Self::NoSuchCall => (StatusCode::NOT_FOUND, "no such call"),
            Self::NotGenuine => (StatusCode::FORBIDDEN, "the webhook is not genuine"),
            // Carriers repeat a webhook that got a 5xx.
            Self::Unavailable | Self::OverBudget(_) => (StatusCode::SERVICE_UNAVAILABLE, "try again"),
            Self::ProviderFault => (StatusCode::BAD_GATEWAY, "the provider failed"),
        };
        (status, text).into_response()
    }
}

impl IntoResponse for MediaRefusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Unknown | Self::Expired => StatusCode::FORBIDDEN,
            Self::AlreadyClaimed => StatusCode::CONFLICT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, "this media socket cannot be opened").into_response()
    }
}
