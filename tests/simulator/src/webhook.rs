//! Delivering webhooks: the address, the time limit, the retries.

use std::time::Duration;

use futures_util::stream;
use reqwest::{Client, Method};

use crate::{clock, gateway::Gateway, report::WebhookAttempt};

/// A webhook as a carrier wants it sent: signed, encoded, complete.
#[derive(Debug, Clone)]
pub struct WebhookRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Identifies the webhook over retries and copies; empty when the carrier has no such thing.
    pub token: String,
}

/// When a carrier tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub retries_max: u32,
    pub connection_failed: bool,
    pub read_timed_out: bool,
    pub status_4xx: bool,
    pub status_5xx: bool,
    /// For one attempt, from the request to the end of the response.
    pub attempt_timeout: Duration,
}

impl RetryPolicy {
    /// One attempt of at most 15 seconds.
    #[must_use]
    pub fn never() -> Self {
        Self {
            retries_max: 0,
            connection_failed: false,
            read_timed_out: false,
            status_4xx: false,
            status_5xx: false,
            attempt_timeout: Duration::from_secs(15),
        }
    }
}

/// What a gateway answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookResponse {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

/// How much of a response goes into a report.
const REPORTED_BODY_CHARS_MAX: usize = 4096;

/// Sends webhooks to the gateway and nowhere else.
#[derive(Debug, Clone)]
pub(crate) struct Courier {
    client: Client,
    pub(crate) gateway: Gateway,
}

enum Outcome {
    Response(WebhookResponse),
    Unreachable(String),
    TimedOut,
}

impl Courier {
    pub(crate) fn new(gateway: Gateway) -> Result<Self, reqwest::Error> {
        // Without a provider the client refuses to be built, although everything here is plain text. An error means that
        // somebody installed one before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().tcp_nodelay(true).build()?;
        Ok(Self { client, gateway })
    }

    /// Delivers one webhook with retries; each attempt goes to `log`.
    pub(crate) async fn deliver(
        &self,
        request: &WebhookRequest,
        kind: &str,
        copy: u32,
        policy: RetryPolicy,
        slow_body: Duration,
        log: &(dyn Fn(WebhookAttempt) + Sync),
    ) -> Option<WebhookResponse> {
        let mut attempt = 1;
        loop {
            let at = clock::now();
            let outcome = self.attempt(request, policy.attempt_timeout, slow_body).await;
            let (response, error, again) = match outcome {
                Outcome::Response(response) => {
                    let again = (policy.status_5xx && response.status >= 500)
                        || (policy.status_4xx && (400..500).contains(&response.status));
                    (Some(response), None, again)
                }
                Outcome::Unreachable(reason) => (None, Some(reason), policy.connection_failed),
                Outcome::TimedOut => (None, Some("no response in time".to_owned()), policy.read_timed_out),
            };
            log(WebhookAttempt {
                at,
                kind: kind.to_owned(),
                url: request.url.clone(),
                attempt,
                copy,
                token: request.token.clone(),
                latency: clock::now().saturating_sub(at),
                status: response.as_ref().map(|response| response.status),
                error,
                content_type: response
                    .as_ref()
                    .map_or_else(String::new, |response| response.content_type.clone()),
                response: response.as_ref().map_or_else(String::new, |response| {
                    String::from_utf8_lossy(&response.body)
                        .chars()
                        .take(REPORTED_BODY_CHARS_MAX)
                        .collect()
                }),
            });
            if !again || attempt > policy.retries_max {
                return response;
            }
            attempt += 1;
        }
    }

    async fn attempt(&self, request: &WebhookRequest, timeout: Duration, slow_body: Duration) -> Outcome {
        let route = match self.gateway.route(&request.url) {
            Ok(route) => route,
            Err(error) => return Outcome::Unreachable(error.to_string()),
        };
        let method = Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::POST);
        let mut builder = self
            .client
            .request(method, format!("http://{}{}", route.authority, route.path_and_query))
            .header("host", &route.host)
            .timeout(timeout);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        builder = if slow_body.is_zero() {
            builder.body(request.body.clone())
        } else {
            builder.body(slowly(&request.body, slow_body))
        };
        let response = match builder.send().await {
            Ok(response) => response,
            Err(error) => return failed(&error),
        };
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        match response.bytes().await {
            Ok(body) => Outcome::Response(WebhookResponse {
                status,
                content_type,
                body: body.to_vec(),
            }),
            Err(error) => failed(&error),
        }
    }
}

fn failed(error: &reqwest::Error) -> Outcome {
    if error.is_timeout() && !error.is_connect() {
        return Outcome::TimedOut;
    }
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    Outcome::Unreachable(reason)
}

/// The body in two halves with `pause` between them.
fn slowly(body: &[u8], pause: Duration) -> reqwest::Body {
    let (first, second) = body.split_at(body.len() / 2);
    let halves = vec![(Duration::ZERO, first.to_vec()), (pause, second.to_vec())];
    reqwest::Body::wrap_stream(stream::unfold(halves.into_iter(), |mut halves| async move {
        let (pause, half) = halves.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, std::io::Error>(half), halves))
    }))
}
