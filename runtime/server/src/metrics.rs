//! What the gateway counts about itself, for Prometheus. `docs/metrics.md` is the list.
//!
//! Labels are names of ours, of providers and of routes: never a number, an identifier or anything else that a stranger can
//! make up, so that the number of series is bounded by what is installed. Nothing on the media path is counted frame by
//! frame: a call's frames are counted when it ends.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use strowger_host::Provider;
use strowger_host::recording::{Observer, Recorded};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::exchange::Exchange;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long the database may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// The invocations that carry media: those that end well are not counted one by one.
const MEDIA_EXPORTS: [&str; 2] = ["media.deserialize-frame", "media.serialize-frame"];

/// A label's value that is one of a few words of the program, or the name of something installed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Word(std::borrow::Cow<'static, str>);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

impl From<&'static str> for Word {
    fn from(word: &'static str) -> Self {
        Self(word.into())
    }
}

impl From<String> for Word {
    fn from(word: String) -> Self {
        Self(word.into())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    provider: Word,
    direction: Word,
    status: Word,
    reason: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    provider: Word,
    reason: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SideLabels {
    side: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: Word,
    route: Word,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InvocationLabels {
    provider: Word,
    export: Word,
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// The counters. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Histogram,
    refused_calls: Family<RefusalLabels, Counter>,
    frames_lost: Family<SideLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram>,
    invocations: Family<InvocationLabels, Counter>,
    live_calls: Gauge,
    draining: Gauge,
    database_up: Gauge,
    resident_bytes: Gauge,
    cpu_seconds: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("strowger");
        let build = Family::<BuildLabels, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&BuildLabels { version }).set(1);
        let metrics = Self {
            registry: Arc::default(),
            calls: Family::default(),
            // From calls that nobody talked in to an hour and a half.
            call_seconds: Histogram::new(exponential_buckets(1.3, 2.0, 13)),
            refused_calls: Family::default(),
            frames_lost: Family::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0005, 2.0, 16))),
            invocations: Family::default(),
            live_calls: Gauge::default(),
            draining: Gauge::default(),
            database_up: Gauge::default(),
            resident_bytes: Gauge::default(),
            cpu_seconds: Gauge::default(),
        };
        registry.register("build_info", "The version that runs; always 1", build);
        registry.register(
            "calls_live",
            "Calls in progress in this process",
            metrics.live_calls.clone(),
        );
        registry.register("calls", "Calls that have ended", metrics.calls.clone());
        registry.register_with_unit(
            "call_duration",
            "Time from a call's answer to its end; calls that were never answered are not in it",
            Unit::Seconds,
            metrics.call_seconds.clone(),
        );
        registry.register(
            "inbound_calls_refused",
            "Genuine inbound calls that were not taken",
            metrics.refused_calls.clone(),
        );
        registry.register(
            "media_frames_lost",
            "Frames of 20 ms that were said and not passed on, by who said them",
            metrics.frames_lost.clone(),
        );
        registry.register("http_requests", "Requests that were answered", metrics.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer's head, without media sockets and streams",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        registry.register(
            "provider_invocations",
            "Invocations of providers; of those that carry media only the faults",
            metrics.invocations.clone(),
        );
        registry.register(
            "draining",
            "1 while the gateway takes no new calls because it is to stop",
            metrics.draining.clone(),
        );
        registry.register(
            "database_up",
            "1 when the database answered within a second",
            metrics.database_up.clone(),
        );
        registry.register_with_unit(
            "process_resident_memory",
            "Memory that the process occupies",
            Unit::Bytes,
            metrics.resident_bytes.clone(),
        );
        registry.register_with_unit(
            "process_cpu",
            "Processor time that the process has used",
            Unit::Seconds,
            metrics.cpu_seconds.clone(),
        );
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub struct EndedCall<'a> {
    /// Name of its provider.
    pub provider: &'a str,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// The outcome's status.
    pub status: &'a str,
    /// The outcome's reason.
    pub reason: &'a str,
    /// From its answer; none when it never was answered.
    pub duration: Option<Duration>,
    /// Frames of the caller that did not reach the agent.
    pub caller_frames_lost: u64,
}

impl Metrics {
    /// A call is over.
    pub fn call_ended(&self, call: &EndedCall<'_>) {
        let labels = CallLabels {
            provider: call.provider.to_owned().into(),
            direction: call.direction.into(),
            status: call.status.to_owned().into(),
            reason: call.reason.to_owned().into(),
        };
        self.calls.get_or_create(&labels).inc();
        if let Some(duration) = call.duration {
            self.call_seconds.observe(duration.as_secs_f64());
        }
        let caller = SideLabels { side: "caller".into() };
        self.frames_lost.get_or_create(&caller).inc_by(call.caller_frames_lost);
    }

    /// A genuine inbound call was not taken.
    pub fn call_refused(&self, provider: &str, reason: &'static str) {
        let labels = RefusalLabels {
            provider: provider.to_owned().into(),
            reason: reason.into(),
        };
        self.refused_calls.get_or_create(&labels).inc();
    }

    /// Counts what this provider does.
    #[must_use]
    pub fn invocations_of(&self, provider: &Provider) -> Arc<dyn Observer> {
        Arc::new(InvocationCounter {
            provider: provider.name().to_owned(),
            invocations: self.invocations.clone(),
        })
    }

    fn encoded(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct InvocationCounter {
    provider: String,
    invocations: Family<InvocationLabels, Counter>,
}

impl Observer for InvocationCounter {
    fn wants(&self, export: &'static str, faulted: bool) -> bool {
        if faulted || !MEDIA_EXPORTS.contains(&export) {
            let labels = InvocationLabels {
                provider: self.provider.clone().into(),
                export: export.into(),
                outcome: if faulted { "fault" } else { "done" }.into(),
            };
            self.invocations.get_or_create(&labels).inc();
        }
        false
    }

    fn observe(&self, _recorded: Recorded) {}
}

/// Counts every request of the gateway's port. A path that no route has is one series, whatever it was.
pub async fn count_requests(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route: Word = route.map_or_else(|| "none".into(), |route| route.as_str().to_owned().into());
    let method = match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let response = next.run(request).await;
    let labels = RequestLabels {
        method: method.into(),
        route: route.clone(),
        status: response.status().as_u16(),
    };
    metrics.requests.get_or_create(&labels).inc();
    let seconds = metrics.request_seconds.get_or_create(&RouteLabels { route });
    seconds.observe(began.elapsed().as_secs_f64());
    response
}

/// Answers scrapes on a port of its own until it is told to stop.
pub fn serve(listener: TcpListener, exchange: Exchange, stop: CancellationToken) -> JoinHandle<()> {
    let app = Router::new().route("/metrics", get(scrape)).with_state(exchange);
    tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the listener for metrics failed");
        }
    })
}

async fn scrape(State(exchange): State<Exchange>) -> Response {
    let metrics = exchange.metrics();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    metrics.live_calls.set(count(exchange.live_calls()));
    metrics.draining.set(i64::from(exchange.is_draining()));
    let pinged = tokio::time::timeout(PING_TIMEOUT, exchange.store().ping()).await;
    metrics.database_up.set(i64::from(matches!(pinged, Ok(Ok(())))));
    if let Some((bytes, seconds)) = process_usage() {
        metrics.resident_bytes.set(bytes);
        metrics.cpu_seconds.set(seconds);
    }
    match metrics.encoded() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Resident bytes, and seconds of processor time, of this process, as Linux tells them.
fn process_usage() -> Option<(i64, f64)> {
    let pages: i64 = std::fs::read_to_string("/proc/self/statm")
        .ok()?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()?;
    let page_bytes = i64::try_from(rustix::param::page_size()).ok()?;
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some((pages * page_bytes, used.tv_sec as f64 + used.tv_nsec as f64 / 1e9))
}

/// Where scrapes are answered, if anywhere.
///
/// # Errors
/// When the address is taken.
pub async fn listen(address: Option<SocketAddr>) -> std::io::Result<Option<TcpListener>> {
    match address {
        Some(address) => Ok(Some(TcpListener::bind(address).await?)),
        None => Ok(None),
    }
}
