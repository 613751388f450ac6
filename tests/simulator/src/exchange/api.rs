//! The REST API's front: faults, limits and the log; what the requests mean is the description's.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, Method, Response, Uri},
    response::IntoResponse,
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;

use super::{Exchange, events, lock};
use crate::{
    carrier::{Directive, RateLimit, RestRequest, RestResponse},
    misbehaviour::{Misbehaviour, RestFault},
};

/// How long a response waits for the callbacks that shall come before it.
const CALLBACKS_FIRST_MAX: Duration = Duration::from_secs(10);

/// How long half a body may take to leave.
const HALF_SENT_WITHIN: Duration = Duration::from_millis(50);

/// One request that the gateway made to the REST API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestLogEntry {
    pub at: Duration,
    pub method: String,
    /// With the query.
    pub path: String,
    pub body: String,
    /// What was meant to be answered; 0 when nothing was.
    pub status: u16,
    pub response: String,
}

/// Requests to the REST API that shall fail, in the order in which they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestFailure {
    pub fault: RestFault,
    /// Any method when empty.
    pub method: String,
    /// Part of the path with the query; any path when empty.
    pub path: String,
    /// So many requests fail.
    pub times: u32,
    /// The request is carried out all the same, which the gateway cannot know.
    pub carried_out: bool,
}

impl RestFailure {
    /// The next request, whatever it is.
    #[must_use]
    pub fn next(fault: RestFault) -> Self {
        Self {
            fault,
            method: String::new(),
            path: String::new(),
            times: 1,
            carried_out: false,
        }
    }

    /// Only requests of this method, with `path` as a part of their path or query.
    #[must_use]
    pub fn of(mut self, method: &str, path: &str) -> Self {
        method.clone_into(&mut self.method);
        path.clone_into(&mut self.path);
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    #[must_use]
    pub fn carried_out(mut self) -> Self {
        self.carried_out = true;
        self
    }

    pub(super) fn is_about(&self, request: &RestRequest) -> bool {
        (self.method.is_empty() || self.method == request.method) && request.path_and_query().contains(&self.path)
    }
}

/// Counts requests in a sliding window.
#[derive(Debug, Default)]
pub(super) struct Window(Mutex<VecDeque<Instant>>);

impl Window {
    fn allows(&self, limit: RateLimit) -> bool {
        let mut recent = lock(&self.0);
        let now = Instant::now();
        while recent.front().is_some_and(|at| now.duration_since(*at) >= limit.per) {
            recent.pop_front();
        }
        let allowed = recent.len() < limit.requests;
        if allowed {
            recent.push_back(now);
        }
        allowed
    }
}

pub(super) async fn serve(
    State(exchange): State<Arc<Exchange>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = RestRequest {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
        body: body.to_vec(),
    };
    let misbehaviour = exchange.settings().misbehaviour.clone();
    if let Ok(upgrade) = upgrade
        && let Some(socket) = event_socket(&exchange, &request, &misbehaviour)
    {
        return match socket {
            Ok(socket) => {
                exchange.log(&request, &RestResponse::empty(101));
                let serve = move |opened| events::serve(exchange, opened, socket, request);
                upgrade.on_upgrade(serve).into_response()
            }
            Err(response) => {
                exchange.log(&request, &response);
                http_response(response)
            }
        };
    }
    rest(&exchange, request, &misbehaviour).await
}

fn event_socket(
    exchange: &Exchange,
    request: &RestRequest,
    misbehaviour: &Misbehaviour,
) -> Option<Result<crate::carrier::EventSocket, RestResponse>> {
    let socket = exchange.carrier.event_socket(&exchange.ledger(), request)?;
    match misbehaviour.event_socket_refused {
        Some(status) => Some(Err(exchange.carrier.rest_error(status))),
        None => Some(socket),
    }
}

async fn rest(exchange: &Arc<Exchange>, request: RestRequest, misbehaviour: &Misbehaviour) -> Response<Body> {
    let failure = exchange.settings().next_failure(&request);
    let (fault, carried_out) = match failure {
        Some(failure) => (Some(failure.fault), failure.carried_out),
        None => {
            let fault = misbehaviour.rest_fault.clone();
            (fault.or(misbehaviour.rest_error.map(RestFault::Status)), false)
        }
    };
    let within_limit = exchange.rate_limit.is_none_or(|limit| exchange.window.allows(limit));
    let response = if !within_limit {
        exchange.carrier.rest_error(429)
    } else if fault.is_some() && !carried_out {
        RestResponse::empty(200)
    } else {
        let answer = exchange.carrier.handle_rest(&mut exchange.ledger(), &request);
        for directive in answer.directives {
            let dialled = match &directive {
                Directive::Dial(id) | Directive::OpenMedia(id) if misbehaviour.callbacks_before_response => {
                    Some(id.clone())
                }
                _ => None,
            };
            exchange.obey(directive);
            if let Some(id) = dialled {
                exchange.callbacks_delivered(&id, CALLBACKS_FIRST_MAX).await;
            }
        }
        answer.response
    };
    let (logged, answer) = match fault.filter(|_| within_limit) {
        Some(fault) => fail(exchange, fault, response),
        None => (response.clone(), Answer::Whole(response)),
    };
    exchange.log(&request, &logged);
    // The request has been carried out; only the client does not know yet. That is the case which is hard for it.
    if !misbehaviour.rest_delay.is_zero() {
        tokio::time::sleep(misbehaviour.rest_delay).await;
    }
    match answer {
        Answer::Whole(response) => http_response(response),
        Answer::Half(response) => half_response(&response),
        Answer::Redirect(to) => redirect(&to),
        Answer::Never => std::future::pending().await,
    }
}

enum Answer {
    Whole(RestResponse),
    Half(RestResponse),
    Redirect(String),
    Never,
}

/// What is written down, and what is answered.
fn fail(exchange: &Exchange, fault: RestFault, response: RestResponse) -> (RestResponse, Answer) {
    match fault {
        RestFault::Status(status) => {
            let response = exchange.carrier.rest_error(status);
            (response.clone(), Answer::Whole(response))
        }
        RestFault::Timeout => (RestResponse::empty(0), Answer::Never),
        RestFault::HalfBody => {
            // Something must be there to be cut in half.
            let response = if response.body.len() < 2 {
                exchange.carrier.rest_error(200)
            } else {
                response
            };
            (response.clone(), Answer::Half(response))
        }
        RestFault::Html => {
            let response = RestResponse {
                status: 200,
                content_type: "text/html",
                body: b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>"
                    .to_vec(),
            };
            (response.clone(), Answer::Whole(response))
        }
        RestFault::Redirect(to) => (RestResponse::empty(302), Answer::Redirect(to)),
    }
}

fn http_response(response: RestResponse) -> Response<Body> {
    let mut builder = Response::builder().status(response.status);
    if !response.content_type.is_empty() {
        builder = builder.header("content-type", response.content_type);
    }
    builder
        .body(Body::from(response.body))
        .expect("a status and a constant header make a response")
}

fn half_response(response: &RestResponse) -> Response<Body> {
    let half = Bytes::copy_from_slice(&response.body[..response.body.len() / 2]);
    let first = stream::once(async { Ok(half) });
    // The library drops what it has not sent yet when a body fails; the half shall arrive.
    let cut = stream::once(async {
        tokio::time::sleep(HALF_SENT_WITHIN).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    Response::builder()
        .status(response.status)
        .header("content-type", response.content_type)
        .header("content-length", response.body.len())
        .body(Body::from_stream(first.chain(cut)))
        .expect("a status and plain headers make a response")
}

fn redirect(to: &str) -> Response<Body> {
    Response::builder()
        .status(302)
        .header("location", to)
        .body(Body::empty())
        .unwrap_or_else(|_| http_response(RestResponse::empty(302)))
}
