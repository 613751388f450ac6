//! Many calls at once, and what they cost in time.
//!
//! Both ends of each call are in this process, so that one clock serves both. The audio is silence with a short tone now and
//! then; which of four frequencies it has says which tone it is, and survives companding and resampling. From the moment that
//! a tone is said to the moment that it is heard is the latency, counted from sample to sample and not from message to message:
//! an end that waits for a longer message pays for it.
//!
//! The generator does as little as it can: payloads are made once, nothing is recorded, and each end is one task per call.

mod probe;
pub mod relay;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt, future::join_all};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
    },
};

use self::probe::{Detector, Flight, Tones};
use crate::{
    agent::AgentProtocol,
    agent::wire::{Heard, Wire},
    carrier::{
        CallRecord, FRAME, FromGateway, Instruction, StreamInstruction, WebhookKind, WebhookTarget, WireMessage,
    },
    clock,
    exchange::{NoGateway, RunningCarrier, dial_media, socket_config},
    misbehaviour::{Misbehaviour, Signing},
    report::Direction,
};

/// A peer that takes no message for this long has failed.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Start-up is measured apart: jitter counts from here on.
const SETTLING: Duration = Duration::from_millis(500);

/// How much load.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    pub calls: usize,
    /// How long each call has media.
    pub duration: Duration,
    /// Over which the calls begin, evenly.
    pub ramp: Duration,
    /// The number that is called; the carrier's own one when `None`.
    pub to: Option<String>,
}

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distribution {
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// What a load run measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadReport {
    pub carrier: String,
    pub calls: usize,
    /// Calls that had media until they were hung up.
    pub completed: usize,
    /// The others, by reason.
    pub failed: BTreeMap<String, usize>,
    /// Calls whose agent side could not be told apart: no start message named the caller.
    pub without_agent: usize,
    /// From the call's announcement to the instructions.
    pub webhook: Distribution,
    /// From the open media socket to the first audio of the agent.
    pub first_audio: Distribution,
    /// Added one way, resampling and re-framing included.
    pub carrier_to_agent: Distribution,
    /// The same, with the gateway's pacing.
    pub agent_to_carrier: Distribution,
    /// Distance of the time between two messages at the carrier from the first one's duration.
    pub pacing_jitter: Distribution,
    pub tones_lost_to_agent: u64,
    pub tones_lost_to_carrier: u64,
    /// Audio that arrived, as a share of what was sent, the first words before the agent was reached included.
    pub audio_to_agent: f64,
    pub audio_to_carrier: f64,
    /// Frames that the generator itself sent more than a frame late: a sign that it is the bottleneck.
    pub late_frames: u64,
}

/// Durations of one kind, to the microsecond.
#[derive(Debug)]
pub struct Times(Mutex<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        Self(Mutex::new(
            Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order and the precision is allowed"),
        ))
    }
}

impl Times {
    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .saturating_record(us);
    }

    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |quantile: f64| times.value_at_quantile(quantile) as f64 / 1000.0;
        Distribution {
            count: times.len(),
            mean_ms: times.mean() / 1000.0,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: times.max() as f64 / 1000.0,
        }
    }
}

/// What both ends of all calls write to.
#[derive(Debug)]
struct Meters {
    webhook: Times,
    first_audio: Times,
    to_agent: Times,
    to_carrier: Times,
    jitter: Times,
    late_frames: AtomicU64,
    /// Calls by the caller's number.
    probes: Mutex<BTreeMap<String, Arc<Probe>>>,
}

impl Meters {
    fn new() -> Self {
        Self {
            webhook: Times::default(),
            first_audio: Times::default(),
            to_agent: Times::default(),
            to_carrier: Times::default(),
            jitter: Times::default(),
            late_frames: AtomicU64::new(0),
            probes: Mutex::new(BTreeMap::new()),
        }
    }

    /// Forgets an earlier run.
    fn clear(&self) {
        for times in [
            &self.webhook,
            &self.first_audio,
            &self.to_agent,
            &self.to_carrier,
            &self.jitter,
        ] {
            times.clear();
        }
        self.late_frames.store(0, Ordering::Relaxed);
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for probe in self.probes.lock().unwrap_or_else(PoisonError::into_inner).values() {
            totals.add(probe);
        }
        totals
    }
}

/// Audio that was said and not heard at one moment of a run: what is under way, and what is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outstanding {
    to_agent_us: i64,
    to_carrier_us: i64,
}

impl Outstanding {
    /// Frames that went missing since `earlier`, to the agent and to the carrier. While all calls have media throughout, what
    /// is under way at the two moments differs by a frame here and there, in either sign.
    #[must_use]
    pub fn frames_since(self, earlier: Self) -> (i64, i64) {
        let frame_us = FRAME.as_micros() as i64;
        (
            (self.to_agent_us - earlier.to_agent_us) / frame_us,
            (self.to_carrier_us - earlier.to_carrier_us) / frame_us,
        )
    }
}

/// One call's tones under way.
#[derive(Debug, Default)]
struct Probe {
    to_agent: Flight,
    to_carrier: Flight,
}

/// The agents' end of all calls: one address, to be configured at the gateway.
#[derive(Debug)]
pub struct LoadAgent {
    address: SocketAddr,
    meters: Arc<Meters>,
    server: JoinHandle<()>,
}

impl LoadAgent {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(protocol: AgentProtocol, listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let meters = Arc::new(Meters::new());
        let shared = Arc::clone(&meters);
        let server = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let Ok((tcp, _)) = listener.accept().await else {
                    continue;
                };
                while sessions.try_join_next().is_some() {}
                sessions.spawn(answer(tcp, protocol, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            address,
            meters,
            server,
        })
    }

    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The address to configure at the gateway.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// What is outstanding now, in all calls of the present run.
    #[must_use]
    pub fn outstanding(&self) -> Outstanding {
        let totals = self.meters.totals();
        let missing = |said: u64, heard: u64| said as i64 - heard as i64;
        Outstanding {
            to_agent_us: missing(totals.said_to_agent_us, totals.heard_by_agent_us),
            to_carrier_us: missing(totals.said_to_carrier_us, totals.heard_by_carrier_us),
        }
    }
}

impl Drop for LoadAgent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Places the calls and measures. One run at a time for one agent.
///
/// # Errors
/// When the carrier does not know where the gateway is.
pub async fn run(carrier: &RunningCarrier, agent: &LoadAgent, plan: &LoadPlan) -> Result<LoadReport, NoGateway> {
    carrier.courier().ok_or(NoGateway)?;
    let meters = &agent.meters;
    meters.clear();
    let begin = Instant::now();
    let calls = (0..plan.calls).map(|index| async move {
        // Spread within a frame as well, as calls of strangers are.
        let offset =
            plan.ramp.mul_f64(index as f64 / plan.calls as f64) + FRAME.mul_f64(index as f64 / plan.calls as f64);
        sleep_until(begin + offset).await;
        call(carrier, meters, plan, index).await
    });
    let outcomes = join_all(calls).await;

    let mut failed = BTreeMap::new();
    let mut completed = 0;
    for outcome in outcomes {
        match outcome {
            Ok(()) => completed += 1,
            Err(reason) => *failed.entry(reason).or_insert(0) += 1,
        }
    }
    let totals = meters.totals();
    let probes = std::mem::take(&mut *meters.probes.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(LoadReport {
        carrier: carrier.carrier().name().to_owned(),
        calls: plan.calls,
        completed,
        failed,
        without_agent: probes.values().filter(|probe| !probe.to_agent.is_live()).count(),
        webhook: meters.webhook.distribution(),
        first_audio: meters.first_audio.distribution(),
        carrier_to_agent: meters.to_agent.distribution(),
        agent_to_carrier: meters.to_carrier.distribution(),
        pacing_jitter: meters.jitter.distribution(),
        tones_lost_to_agent: totals.lost_to_agent,
        tones_lost_to_carrier: totals.lost_to_carrier,
        audio_to_agent: share(totals.heard_by_agent_us, totals.said_to_agent_us),
        audio_to_carrier: share(totals.heard_by_carrier_us, totals.said_to_carrier_us),
        late_frames: meters.late_frames.load(Ordering::Relaxed),
    })
}

#[derive(Default)]
struct Totals {
    lost_to_agent: u64,
    lost_to_carrier: u64,
    said_to_agent_us: u64,
    heard_by_agent_us: u64,
    said_to_carrier_us: u64,
    heard_by_carrier_us: u64,
}

impl Totals {
    fn add(&mut self, probe: &Probe) {
        self.lost_to_agent += probe.to_agent.lost();
        self.lost_to_carrier += probe.to_carrier.lost();
        self.said_to_agent_us += probe.to_agent.said_us();
        self.heard_by_agent_us += probe.to_agent.heard_us();
        self.said_to_carrier_us += probe.to_carrier.said_us();
        self.heard_by_carrier_us += probe.to_carrier.heard_us();
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The carrier's end of one call.
async fn call(carrier: &RunningCarrier, meters: &Meters, plan: &LoadPlan, index: usize) -> Result<(), String> {
    let to = plan.to.as_deref().unwrap_or(carrier.own_number());
    let from = format!("+1555{:07}", index + 1);
    let description = carrier.carrier();
    let courier = carrier.courier().ok_or("the gateway's address is not known")?;
    let record = CallRecord::new(description.new_call_id(), Direction::Inbound, &from, to);
    carrier.adopt(record.clone());
    let probe = Arc::new(Probe::default());
    meters
        .probes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(from.clone(), Arc::clone(&probe));

    let tamper = carrier.tamper(&Misbehaviour::default());
    let target = voice_target(carrier, to, &courier.gateway);
    let request = description.webhook(&record, &WebhookKind::Incoming, &target, &tamper);
    let asked = clock::now();
    let policy = description.retry_policy(&target.url);
    let response = courier
        .deliver(&request, "incoming", 0, policy, Duration::ZERO, &|_| {})
        .await
        .ok_or("the webhook had no answer")?;
    meters.webhook.record(clock::now().saturating_sub(asked));
    let stream = stream_of(&description.read_answer(&response)?)?;
    let headers = description.upgrade_headers(&stream.url, &tamper);
    let mut socket = dial_media(&courier.gateway, &stream.url, &headers).await?;
    let mut dialect = description.open_stream(&record, &stream);
    let (opened, sends, reads) = (dialect.connected(), dialect.sends(), dialect.reads());
    for message in opened.into_iter().chain(dialect.opening()) {
        send(&mut socket, raw(message)).await?;
    }

    let tones = Tones::new(sends.rate_hz(), |samples| sends.encode(samples));
    let mut detector = Detector::new(reads.rate_hz());
    let opened = Instant::now();
    let opened_at = clock::now();
    let mut last: Option<(Duration, Duration)> = None;
    let mut ticks = ticks(opened);
    let mut frame = 0_u64;
    loop {
        tokio::select! {
            biased;
            message = socket.next() => {
                let message = match message {
                    Some(Ok(Message::Text(text))) => WireMessage::Text(text.to_string()),
                    Some(Ok(Message::Binary(bytes))) => WireMessage::Binary(bytes.to_vec()),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err("the gateway ended the stream".to_owned()),
                };
                let at = clock::now();
                let FromGateway::Audio(payload) = dialect.read(&message)? else { continue };
                let samples = reads.decode(&payload);
                let duration = crate::speech::duration_of(samples.len(), reads.rate_hz());
                match last {
                    None => meters.first_audio.record(at.saturating_sub(opened_at)),
                    Some((before, duration)) if at.saturating_sub(opened_at) > SETTLING => {
                        meters.jitter.record((at.saturating_sub(before)).abs_diff(duration));
                    }
                    Some(_) => {}
                }
                last = Some((at, duration));
                probe.to_carrier.heard(duration);
                if let Some(tone) = detector.hear(at, &samples)
                    && let Some(latency) = probe.to_carrier.arrived(tone)
                {
                    meters.to_carrier.record(latency);
                }
            }
            due = ticks.tick() => {
                note_lateness(meters, due);
                let (payload, tone) = tones.frame(frame);
                frame += 1;
                let message = raw(dialect.audio(payload));
                probe.to_agent.said(tone, FRAME);
                send(&mut socket, message).await?;
                if opened.elapsed() >= plan.duration {
                    break;
                }
            }
        }
    }
    for message in dialect.closing() {
        send(&mut socket, raw(message)).await?;
    }
    send(&mut socket, Message::Close(None)).await?;
    let closing = async { while socket.next().await.is_some_and(|message| message.is_ok()) {} };
    timeout(CLOSE_TIMEOUT, closing)
        .await
        .map_err(|_| "the gateway does not close".to_owned())
}

/// The agent's end of one call.
async fn answer(tcp: TcpStream, protocol: AgentProtocol, meters: Arc<Meters>) {
    if let Err(reason) = converse(tcp, protocol, &meters).await {
        tracing::debug!(reason, "an agent's side of a call ended");
    }
}

async fn converse(tcp: TcpStream, protocol: AgentProtocol, meters: &Meters) -> Result<(), String> {
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let choose = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        if protocol == AgentProtocol::Strowger {
            response
                .headers_mut()
                .insert("sec-websocket-protocol", HeaderValue::from_static("strowger.v1"));
        }
        Ok(response)
    };
    let mut socket = accept_hdr_async_with_config(tcp, choose, Some(socket_config()))
        .await
        .map_err(|error| error.to_string())?;
    let mut wire = Wire::new(protocol);
    let (probe, rate_hz) = loop {
        let message = socket
            .next()
            .await
            .ok_or("closed before it began")?
            .map_err(|error| error.to_string())?;
        if let (Heard::Started { rate_hz }, Some(start)) = wire.read(&message)? {
            break (
                find_probe(meters, &start.to_string()).ok_or("a start that names no caller of ours")?,
                rate_hz,
            );
        }
    };
    probe.to_agent.go_live();
    probe.to_carrier.go_live();
    let tones = Tones::new(rate_hz, <[i16]>::to_vec);
    let mut detector = Detector::new(rate_hz);
    let mut ticks = ticks(Instant::now());
    let mut frame = 0_u64;
    loop {
        tokio::select! {
            biased;
            message = socket.next() => {
                let Some(Ok(message)) = message else { return Ok(()) };
                let at = clock::now();
                // Pings are answered below this layer, and are no part of the protocol.
                if !matches!(message, Message::Text(_) | Message::Binary(_)) {
                    continue;
                }
                let (Heard::Audio(samples), _) = wire.read(&message)? else { continue };
                probe.to_agent.heard(crate::speech::duration_of(samples.len(), rate_hz));
                if let Some(tone) = detector.hear(at, &samples)
                    && let Some(latency) = probe.to_agent.arrived(tone)
                {
                    meters.to_agent.record(latency);
                }
            }
            due = ticks.tick() => {
                note_lateness(meters, due);
                let (samples, tone) = tones.frame(frame);
                frame += 1;
                let message = wire.audio(samples);
                probe.to_carrier.said(tone, FRAME);
                if send(&mut socket, message).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

fn ticks(start: Instant) -> tokio::time::Interval {
    let mut ticks = interval_at(start + FRAME, FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}

fn note_lateness(meters: &Meters, due: Instant) {
    if due.elapsed() > FRAME {
        meters.late_frames.fetch_add(1, Ordering::Relaxed);
    }
}

/// The call whose caller's number is somewhere in the agent's start message.
fn find_probe(meters: &Meters, start: &str) -> Option<Arc<Probe>> {
    let probes = meters.probes.lock().unwrap_or_else(PoisonError::into_inner);
    start
        .match_indices("+1555")
        .find_map(|(at, _)| probes.get(start.get(at..at + 12)?).cloned())
}

async fn send(socket: &mut WebSocketStream<TcpStream>, message: Message) -> Result<(), String> {
    match timeout(SEND_TIMEOUT, socket.send(message)).await {
        Ok(sent) => sent.map_err(|error| format!("the gateway's socket failed: {error}")),
        Err(_) => Err("the gateway does not read".to_owned()),
    }
}

fn raw(message: WireMessage) -> Message {
    match message {
        WireMessage::Text(text) => Message::text(text),
        WireMessage::Binary(bytes) => Message::binary(bytes),
    }
}

fn stream_of(instructions: &[Instruction]) -> Result<StreamInstruction, String> {
    let stream = instructions.iter().find_map(|instruction| match instruction {
        Instruction::Stream(stream) => Some(stream.clone()),
        _ => None,
    });
    stream.ok_or_else(|| match instructions.first() {
        Some(first) => format!("no stream but {first:?}"),
        None => "no instructions".to_owned(),
    })
}

fn voice_target(carrier: &RunningCarrier, to: &str, gateway: &crate::Gateway) -> WebhookTarget {
    match carrier.number(to) {
        Some(number) if !number.voice.url.is_empty() => number.voice,
        _ => WebhookTarget::post(gateway.url(crate::exchange::DEFAULT_VOICE_PATH)),
    }
}

/// How many webhooks.
#[derive(Debug, Clone)]
pub struct WebhookPlan {
    /// Requests under way at a time.
    pub at_once: usize,
    pub duration: Duration,
    /// What the gateway has to refuse after the same work costs it less or more: measure it apart.
    pub signing: Signing,
    /// All requests announce one call, as a carrier's retries do, instead of a new one each.
    pub same_call: bool,
    /// The number that is called; the carrier's own one when `None`.
    pub to: Option<String>,
}

/// What a webhook run measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WebhookReport {
    pub requests: u64,
    pub per_second: f64,
    pub latency: Distribution,
    /// By HTTP status; `none` for requests without a response.
    pub statuses: BTreeMap<String, u64>,
    /// Answers that connect the call to a media socket.
    pub connected: u64,
}

/// Announces calls as fast as the gateway takes them; no media follow.
///
/// # Errors
/// When the carrier does not know where the gateway is.
pub async fn webhooks(carrier: &RunningCarrier, plan: &WebhookPlan) -> Result<WebhookReport, NoGateway> {
    let courier = carrier.courier().ok_or(NoGateway)?;
    let description = carrier.carrier();
    let to = plan.to.as_deref().unwrap_or(carrier.own_number());
    let target = voice_target(carrier, to, &courier.gateway);
    let tamper = carrier.tamper(&Misbehaviour {
        signing: plan.signing,
        ..Misbehaviour::default()
    });
    let policy = crate::carrier::RetryPolicy {
        retries_max: 0,
        ..description.retry_policy(&target.url)
    };
    let shared = CallRecord::new(description.new_call_id(), Direction::Inbound, "+15550000000", to);
    let times = Times::default();
    let statuses = Mutex::new(BTreeMap::new());
    let connected = AtomicU64::new(0);
    let begin = Instant::now();
    let end = begin + plan.duration;
    let workers = (0..plan.at_once).map(|_| async {
        while Instant::now() < end {
            let record = if plan.same_call {
                shared.clone()
            } else {
                CallRecord {
                    id: description.new_call_id(),
                    ..shared.clone()
                }
            };
            carrier.adopt(record.clone());
            let request = description.webhook(&record, &WebhookKind::Incoming, &target, &tamper);
            let asked = clock::now();
            let delivery = courier.deliver(&request, "incoming", 0, policy, Duration::ZERO, &|_| {});
            // A request that is still under way at the end does not hold it up, nor does it count.
            let Ok(response) = timeout_at(end + CLOSE_TIMEOUT, delivery).await else {
                break;
            };
            times.record(clock::now().saturating_sub(asked));
            let answer = response.as_ref().map(|response| description.read_answer(response));
            if let Some(Ok(instructions)) = answer
                && stream_of(&instructions).is_ok()
            {
                connected.fetch_add(1, Ordering::Relaxed);
            }
            let status = response.map_or_else(|| "none".to_owned(), |response| response.status.to_string());
            *statuses
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(status)
                .or_insert(0) += 1;
        }
    });
    join_all(workers).await;
    let latency = times.distribution();
    Ok(WebhookReport {
        requests: latency.count,
        per_second: latency.count as f64 / begin.elapsed().as_secs_f64(),
        latency,
        statuses: statuses.into_inner().unwrap_or_else(PoisonError::into_inner),
        connected: connected.into_inner(),
    })
}

impl Distribution {
    fn line(&self, what: &str) -> String {
        format!(
            "{what:<26}{:>9}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>9.2}\n",
            self.count, self.p50_ms, self.p90_ms, self.p99_ms, self.p999_ms, self.max_ms
        )
    }
}

const HEADINGS: &str = "                              count      p50      p90      p99    p99.9      max  (ms)\n";

impl LoadReport {
    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = format!(
            "{} calls through {}: {} completed\n",
            self.calls, self.carrier, self.completed
        );
        for (reason, count) in &self.failed {
            table += &format!("  {count} failed: {reason}\n");
        }
        if self.without_agent > 0 {
            table += &format!("  {} never reached an agent\n", self.without_agent);
        }
        table += HEADINGS;
        table += &self.webhook.line("webhook");
        table += &self.first_audio.line("first agent audio");
        table += &self.carrier_to_agent.line("carrier to agent");
        table += &self.agent_to_carrier.line("agent to carrier");
        table += &self.pacing_jitter.line("pacing jitter at carrier");
        table += &format!(
            "audio arrived: {:.2} % at the agent, {:.2} % at the carrier; tones lost: {} and {}; late frames of the generator: {}\n",
            self.audio_to_agent * 100.0,
            self.audio_to_carrier * 100.0,
            self.tones_lost_to_agent,
            self.tones_lost_to_carrier,
            self.late_frames
        );
        table
    }
}

impl WebhookReport {
    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let statuses: Vec<String> = self
            .statuses
            .iter()
            .map(|(status, count)| format!("{status}: {count}"))
            .collect();
        format!(
            "{} requests, {:.0} per second; {}\n{HEADINGS}{}",
            self.requests,
            self.per_second,
            statuses.join(", "),
            self.latency.line("webhook")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_found_in_any_start_message() {
        let probes = BTreeMap::from([("+15550000007".to_owned(), Arc::new(Probe::default()))]);
        let meters = Meters {
            probes: Mutex::new(probes),
            ..Meters::new()
        };
        assert!(find_probe(&meters, r#"{"to":"+15550009999","caller":"+15550000007"}"#).is_some());
        assert!(find_probe(&meters, r#"{"caller":"+1555"}"#).is_none());
    }
}
