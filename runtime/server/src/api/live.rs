//! Live calls as server-sent events: what there is when the stream begins, and then whatever changes.
//!
//! A stream compares the newest picture of the calls with what it has sent. A reader that is slow misses what was between two
//! pictures, and gets a new `snapshot` when that is too much.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use utoipa::ToSchema;

use super::access::{self, Identity};
use super::authentication::Caller;
use super::{ApiError, OperationError, Operations, calls};
use crate::live::{Picture, WatchError, Watching};
use crate::store::{CallRecord, CallState, OrganizationId};

/// How often a comment says that the stream is alive.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// How often it is looked whether whoever watches still may.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// More calls than this that have changed at once are told as a new snapshot.
const CHANGES_MAX: usize = 100;

impl From<WatchError> for ApiError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::TooMany => OperationError::TooManyStreams.into(),
            WatchError::Stopping => OperationError::Stopping.into(),
            WatchError::Store(error) => error.into(),
        }
    }
}

/// One event of the stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Viewer` sends")]
pub(super) struct LiveEvent {
    #[schema(inline)]
    event: LiveEventName,
    id: String,
    /// JSON: `{"calls": […]}` in a snapshot, else a call, as `GET /api/v1/calls` shows them.
    data: String,
}

/// What an event tells.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes what `Viewer` sends")]
enum LiveEventName {
    /// All live calls, whatever was told before.
    Snapshot,
    /// One has begun or changed.
    Call,
    /// One is over.
    Ended,
}

/// Watch live calls
///
/// Server-sent events: a `snapshot` of all live calls, then `call` for one that has changed and `ended` for one that is over.
/// The data is JSON. The stream goes on until the client goes away.
#[utoipa::path(get, path = "/api/v1/calls/live", tag = "Events", operation_id = "watchLiveCalls",
    responses((status = 200, description = "The stream.", body = LiveEvent, content_type = "text/event-stream")))]
pub(super) async fn stream<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    identity: Identity,
    parts: Parts,
) -> Result<Response, ApiError> {
    let watching = operations.live().watch(&organization).await?;
    let mut checks = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let began = operations.now();
    let viewer = Viewer {
        operations,
        organization,
        identity,
        parts,
        watching,
        checks,
        sent: None,
        began,
        number: 0,
    };
    let events = stream::unfold((viewer, Vec::<Event>::new()), |(mut viewer, mut waiting)| async move {
        while waiting.is_empty() {
            waiting = viewer.next().await?;
            waiting.reverse();
        }
        let event = waiting.pop()?;
        Some((Ok::<_, Infallible>(event), (viewer, waiting)))
    });
    let comments = KeepAlive::new().interval(COMMENT_INTERVAL).text("alive");
    let mut response = Sse::new(events).keep_alive(comments).into_response();
    // Proxies that collect answers before they pass them on would keep everything to themselves.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

struct Viewer<O> {
    operations: Arc<O>,
    organization: OrganizationId,
    /// Who watches.
    identity: Identity,
    /// The request, by which it is looked whether its key or session still opens anything.
    parts: Parts,
    watching: Watching,
    checks: Interval,
    /// What the client believes; nothing before the first snapshot.
    sent: Option<Picture>,
    began: i64,
    number: u64,
}

impl<O: Operations> Viewer<O> {
    /// Waits for something to send. Nothing: the stream is over.
    async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            let pictures = &mut self.watching.pictures;
            if self.sent.is_none() {
                let picture = pictures.borrow_and_update().clone();
                return Some(vec![self.snapshot(picture)]);
            }
            let changed = tokio::select! {
                () = self.watching.closing.cancelled() => return None,
                changed = pictures.changed() => changed.is_ok(),
                _ = self.checks.tick() => {
                    if !self.may_watch().await {
                        return None;
                    }
                    continue;
                }
            };
            if !changed {
                // The feed has ended: the client comes back, and begins with a snapshot.
                return None;
            }
            let picture = self.watching.pictures.borrow_and_update().clone();
            let events = self.compare(picture).await;
            if !events.is_empty() {
                return Some(events);
            }
        }
    }

    /// Whether the request would be let in today. Who cannot tell does not go on.
    async fn may_watch(&self) -> bool {
        access::still_admits(&*self.operations, &self.parts, &self.identity).await
    }

    async fn compare(&mut self, picture: Picture) -> Vec<Event> {
        let sent = self.sent.clone().unwrap_or_default();
        let changed: Vec<&CallRecord> = picture.iter().rev().filter(|call| !sent.contains(call)).collect();
        let gone: Vec<&CallRecord> = sent
            .iter()
            .rev()
            .filter(|old| !picture.iter().any(|call| call.id == old.id))
            .collect();
        if changed.len() + gone.len() > CHANGES_MAX {
            return vec![self.snapshot(picture)];
        }
        let mut events = Vec::with_capacity(changed.len() + gone.len());
        for call in changed {
            events.push(self.event("call", &calls::shown(call)));
        }
        for old in gone {
            // One that is not over was pushed out of a picture that shows the newest ones only.
            match self.operations.store().find_call(&self.organization, &old.id).await {
                Ok(call) if call.state == CallState::Completed => {
                    events.push(self.event("ended", &calls::shown(&call)));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the end of a call cannot be shown");
                    return vec![self.snapshot(picture)];
                }
            }
        }
        self.sent = Some(picture);
        events
    }

    fn snapshot(&mut self, picture: Picture) -> Event {
        let calls: Vec<_> = picture.iter().map(calls::shown).collect();
        self.sent = Some(picture);
        self.event("snapshot", &json!({ "calls": calls }))
    }

    fn event(&mut self, name: &str, data: &impl Serialize) -> Event {
        self.number += 1;
        // JSON has no line ends of its own, so the data is one line.
        Event::default()
            .event(name)
            .id(format!("{}-{}", self.began, self.number))
            .data(serde_json::to_string(data).unwrap_or_default())
    }
}
