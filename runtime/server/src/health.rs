//! Whether the gateway lives, and whether it should be sent calls: for whoever supervises it. Anybody may ask, so the answers
//! tell nothing but that.
//!
//! `GET /healthz` is 200 as long as the process answers: restart it when it does not. `GET /readyz` is 200 when new calls are
//! taken, and 503 with the reason otherwise: send them elsewhere meanwhile.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::exchange::Exchange;
use crate::store::Secrets;

/// How long the database may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Why new calls are not taken, or that they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ready,
    /// It is to stop, and finishes its calls.
    Draining,
    /// The database does not answer: calls in progress go on, new ones cannot be recorded.
    DatabaseUnavailable,
    /// The encryption key is missing, or another one: calls need stored secrets. The log says more.
    EncryptionKeyUnavailable,
    /// No provider takes calls.
    NoProviders,
}

#[derive(Debug, Serialize)]
struct Readiness {
    status: Status,
}

/// The two routes.
pub fn router(exchange: Exchange) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(exchange)
}

async fn ready(State(exchange): State<Exchange>) -> (StatusCode, Json<Readiness>) {
    let status = status(&exchange).await;
    let code = match status {
        Status::Ready => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(Readiness { status }))
}

async fn status(exchange: &Exchange) -> Status {
    if exchange.is_draining() {
        return Status::Draining;
    }
    if exchange.registry().providers().is_empty() {
        return Status::NoProviders;
    }
    match tokio::time::timeout(PING_TIMEOUT, exchange.store().ping()).await {
        Ok(Ok(())) if exchange.store().secrets() == Secrets::Available => Status::Ready,
        Ok(Ok(())) => Status::EncryptionKeyUnavailable,
        _ => Status::DatabaseUnavailable,
    }
}
