//! A carrier that runs: its REST API on loopback, its lines, and the people on them.
//!
//! Everything in here is the same for all carriers. What is particular to one is asked of its [`Carrier`].

mod line;
mod stream;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, Response, Uri},
};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc},
    task::{AbortHandle, JoinHandle},
};

pub use crate::carrier::NumberRecord;
use crate::{
    carrier::{
        CallRecord, Carrier, Directive, Instruction, Ledger, RestRequest, RestResponse, Tamper, WebhookTarget,
        random_hex,
    },
    clock,
    gateway::Gateway,
    misbehaviour::Misbehaviour,
    report::{CallReport, CallStatus, Direction},
    script::CallerScript,
    watched::{TimedOut, Watched},
    webhook::Courier,
};
pub(crate) use stream::{dial_media, socket_config};

/// Where an inbound call is announced when the number has no address of its own.
pub(crate) const DEFAULT_VOICE_PATH: &str = "/api/v1/telephony/inbound/run";

/// How a carrier is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// May also be told later: see [`RunningCarrier::set_gateway`].
    pub gateway: Option<Gateway>,
    /// The REST API's faults, and those of outbound calls.
    pub misbehaviour: Misbehaviour,
    /// Sign with the carrier's newer method, if it has two.
    pub newer_signature: bool,
    /// Of the REST API; loopback.
    pub listen: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            gateway: None,
            misbehaviour: Misbehaviour::default(),
            newer_signature: false,
            listen: ([127, 0, 0, 1], 0).into(),
        }
    }
}

/// A call to the gateway's number, to be placed with [`RunningCarrier::place_inbound`].
#[derive(Debug, Clone)]
pub struct InboundCall {
    pub from: String,
    pub to: String,
    pub script: CallerScript,
    pub misbehaviour: Misbehaviour,
}

impl InboundCall {
    #[must_use]
    pub fn new(from: &str, to: &str, script: CallerScript) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            script,
            misbehaviour: Misbehaviour::default(),
        }
    }

    #[must_use]
    pub fn misbehaving(mut self, misbehaviour: Misbehaviour) -> Self {
        self.misbehaviour = misbehaviour;
        self
    }
}

/// What somebody does who is called.
#[derive(Debug, Clone)]
pub enum Callee {
    Answers {
        /// Ringing time.
        after: Duration,
        script: CallerScript,
        /// What the carrier's detection says, when the gateway asks for it: `human`, `machine_start`, …
        answered_by: String,
    },
    Busy,
    NoAnswer {
        after: Duration,
    },
    /// There is no such number.
    Unreachable,
}

impl Default for Callee {
    fn default() -> Self {
        Self::Answers {
            after: Duration::from_millis(50),
            script: CallerScript::new().stay(),
            answered_by: "human".to_owned(),
        }
    }
}

/// One request that the gateway made to the REST API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestLogEntry {
    pub at: Duration,
    pub method: String,
    /// With the query.
    pub path: String,
    pub body: String,
    pub status: u16,
    pub response: String,
}

/// A carrier in operation. Dropping it stops its server and cuts its lines.
#[derive(Debug)]
pub struct RunningCarrier {
    exchange: Arc<Exchange>,
    rest_addr: SocketAddr,
    server: JoinHandle<()>,
}

impl RunningCarrier {
    /// Starts the REST API; no call is made until one is placed or asked for.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(carrier: &'static dyn Carrier, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let rest_addr = listener.local_addr()?;
        let courier = match &options.gateway {
            Some(gateway) => Some(Courier::new(gateway.clone()).map_err(io::Error::other)?),
            None => None,
        };
        let own = new_number(carrier.own_number());
        let exchange = Arc::new(Exchange {
            carrier,
            newer_signature: options.newer_signature,
            settings: Mutex::new(Settings {
                courier,
                misbehaviour: options.misbehaviour,
                callees: BTreeMap::new(),
                default_callee: Callee::default(),
            }),
            ledger: Mutex::new(Ledger {
                numbers: vec![own],
                ..Ledger::default()
            }),
            lines: Watched::new(Lines::default()),
            conferences: Mutex::new(BTreeMap::new()),
            rest_log: Watched::new(Vec::new()),
            tasks: Mutex::new(Vec::new()),
        });
        // Larger than any form of ours, so that it is never the simulator that refuses.
        let app = Router::new()
            .fallback(serve_rest)
            .layer(DefaultBodyLimit::max(1 << 20))
            .with_state(Arc::clone(&exchange));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the simulated REST API stopped");
            }
        });
        Ok(Self {
            exchange,
            rest_addr,
            server,
        })
    }

    #[must_use]
    pub fn carrier(&self) -> &'static dyn Carrier {
        self.exchange.carrier
    }

    /// Credentials that the REST API accepts, in the fields of the gateway's configuration.
    #[must_use]
    pub fn credentials(&self) -> Value {
        self.exchange.carrier.credentials()
    }

    /// The host whose traffic the gateway must send to [`Self::rest_addr`].
    #[must_use]
    pub fn rest_host(&self) -> &'static str {
        self.exchange.carrier.rest_host()
    }

    /// Where the REST API listens, in plain text.
    #[must_use]
    pub fn rest_addr(&self) -> SocketAddr {
        self.rest_addr
    }

    /// A number of the account.
    #[must_use]
    pub fn own_number(&self) -> &'static str {
        self.exchange.carrier.own_number()
    }

    /// Tells where the gateway is; needed before the first call.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn set_gateway(&self, gateway: Gateway) -> io::Result<()> {
        self.exchange.settings().courier = Some(Courier::new(gateway).map_err(io::Error::other)?);
        Ok(())
    }

    /// Changes the faults of the REST API and of the outbound calls from now on.
    pub fn set_misbehaviour(&self, misbehaviour: Misbehaviour) {
        self.exchange.settings().misbehaviour = misbehaviour;
    }

    /// What happens when the gateway calls `number`; without it, [`Callee::default`].
    pub fn set_callee(&self, number: &str, callee: Callee) {
        self.exchange.settings().callees.insert(number.to_owned(), callee);
    }

    /// What happens when the gateway calls any other number.
    pub fn set_default_callee(&self, callee: Callee) {
        self.exchange.settings().default_callee = callee;
    }

    /// Gives the account one more number, in E.164.
    pub fn add_number(&self, number: &str) {
        self.exchange.ledger().numbers.push(new_number(number));
    }

    /// A number of the account as the API has it: its voice address after provisioning, for instance.
    #[must_use]
    pub fn number(&self, number: &str) -> Option<NumberRecord> {
        self.exchange
            .ledger()
            .numbers
            .iter()
            .find(|record| record.number == number)
            .cloned()
    }

    /// Sets where calls to an own number are announced, as a customer would in the carrier's console.
    pub fn set_voice_url(&self, number: &str, url: &str) {
        self.with_number(number, |record| record.voice = WebhookTarget::post(url));
    }

    /// Sets where the end of calls to an own number is told.
    pub fn set_status_callback(&self, number: &str, url: &str) {
        self.with_number(number, |record| record.status = Some(WebhookTarget::post(url)));
    }

    fn with_number(&self, number: &str, change: impl FnOnce(&mut NumberRecord)) {
        if let Some(record) = self
            .exchange
            .ledger()
            .numbers
            .iter_mut()
            .find(|record| record.number == number)
        {
            change(record);
        }
    }

    /// Lets somebody call. The call runs by itself; the handle watches it.
    ///
    /// # Errors
    /// When the gateway's address was never told.
    pub fn place_inbound(&self, call: InboundCall) -> Result<CallHandle, NoGateway> {
        let exchange = &self.exchange;
        let courier = exchange.settings().courier.clone().ok_or(NoGateway)?;
        let mut record = CallRecord::new(exchange.carrier.new_call_id(), Direction::Inbound, &call.from, &call.to);
        let mut voice = WebhookTarget::default();
        if let Some(number) = self.number(&call.to) {
            voice = number.voice;
            record.status_target = number.status;
            // A number's callback tells the end of a call and nothing else.
            record.status_events = vec![CallStatus::Completed];
        }
        if voice.url.is_empty() {
            voice = WebhookTarget::post(courier.gateway.url(DEFAULT_VOICE_PATH));
        }
        let callee = Callee::Answers {
            after: Duration::ZERO,
            script: call.script,
            answered_by: String::new(),
        };
        let call = exchange.start_line(record, Some(voice), callee, courier, call.misbehaviour);
        Ok(CallHandle { call })
    }

    /// The next call that the gateway has asked the carrier to dial, in order.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn next_outbound(&self, within: Duration) -> Result<CallHandle, TimedOut> {
        let call = self
            .exchange
            .lines
            .wait_for(within, |lines| lines.outbound_unseen.pop_front())
            .await?;
        Ok(CallHandle { call })
    }

    /// All calls so far, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CallHandle> {
        self.exchange.lines.read(|lines| {
            lines
                .all
                .iter()
                .map(|call| CallHandle { call: Arc::clone(call) })
                .collect()
        })
    }

    /// All requests to the REST API so far.
    #[must_use]
    pub fn rest_log(&self) -> Vec<RestLogEntry> {
        self.exchange.rest_log.read(Clone::clone)
    }

    /// Waits for a request to the REST API that `is_it`.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn wait_for_rest(
        &self,
        within: Duration,
        is_it: impl Fn(&RestLogEntry) -> bool,
    ) -> Result<RestLogEntry, TimedOut> {
        self.exchange
            .rest_log
            .wait_for(within, |log| log.iter().find(|entry| is_it(entry)).cloned())
            .await
    }

    /// Puts a call into the books that the load generator runs itself, so that the gateway can ask about it and end it.
    pub(crate) fn adopt(&self, record: CallRecord) {
        self.exchange.ledger().calls.insert(record.id.clone(), record);
    }

    /// The load generator's way to the gateway.
    pub(crate) fn courier(&self) -> Option<Courier> {
        self.exchange.settings().courier.clone()
    }

    pub(crate) fn tamper(&self, misbehaviour: &Misbehaviour) -> Tamper {
        self.exchange.tamper(misbehaviour)
    }
}

impl Drop for RunningCarrier {
    fn drop(&mut self) {
        self.server.abort();
        for task in lock(&self.exchange.tasks).drain(..) {
            task.abort();
        }
    }
}

/// A call was placed before the gateway's address was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the carrier does not know where the gateway is")]
pub struct NoGateway;

/// Watches one call.
#[derive(Debug, Clone)]
pub struct CallHandle {
    call: Arc<Call>,
}

impl CallHandle {
    /// The carrier's id of the call.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.call.id
    }

    /// The report so far.
    #[must_use]
    pub fn report(&self) -> CallReport {
        self.call.report.read(Clone::clone)
    }

    /// Looks at the report without copying it.
    pub fn look<R>(&self, look: impl FnOnce(&CallReport) -> R) -> R {
        self.call.report.read(look)
    }

    /// Waits until the report fulfils a condition.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn wait_until(
        &self,
        within: Duration,
        mut is_so: impl FnMut(&CallReport) -> bool,
    ) -> Result<(), TimedOut> {
        self.call
            .report
            .wait_for(within, |report| is_so(report).then_some(()))
            .await
    }

    /// Waits until the call is over and its last webhook is delivered, and gives the complete report.
    ///
    /// # Errors
    /// When it is not over in time.
    pub async fn finished(&self, within: Duration) -> Result<CallReport, TimedOut> {
        self.call
            .report
            .wait_for(within, |report| report.finished.then(|| report.clone()))
            .await
    }

    /// The person on the line hangs up now, whatever the script says.
    pub fn hang_up(&self) {
        // A call that has ended does not listen any more, and needs no telling.
        let _ = self.call.control.send(Control::PersonHangsUp);
    }
}

#[derive(Debug)]
pub(crate) struct Exchange {
    carrier: &'static dyn Carrier,
    newer_signature: bool,
    settings: Mutex<Settings>,
    ledger: Mutex<Ledger>,
    lines: Watched<Lines>,
    /// By name; a message ends the conference.
    conferences: Mutex<BTreeMap<String, broadcast::Sender<()>>>,
    rest_log: Watched<Vec<RestLogEntry>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

#[derive(Debug)]
struct Settings {
    courier: Option<Courier>,
    misbehaviour: Misbehaviour,
    callees: BTreeMap<String, Callee>,
    default_callee: Callee,
}

#[derive(Debug, Default)]
struct Lines {
    all: Vec<Arc<Call>>,
    outbound_unseen: VecDeque<Arc<Call>>,
}

/// One call, as far as others than its own task are concerned.
#[derive(Debug)]
struct Call {
    id: String,
    report: Watched<CallReport>,
    control: mpsc::UnboundedSender<Control>,
}

/// What others do to a call.
#[derive(Debug)]
enum Control {
    RestHangsUp,
    PersonHangsUp,
    Instruct(Vec<Instruction>),
    Redirect(WebhookTarget),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_number(number: &str) -> NumberRecord {
    NumberRecord {
        id: format!("PN{}", random_hex(32)),
        number: number.to_owned(),
        voice: WebhookTarget {
            url: String::new(),
            method: "POST".to_owned(),
        },
        status: None,
        updated: SystemTime::UNIX_EPOCH,
    }
}

impl Exchange {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    fn tamper(&self, misbehaviour: &Misbehaviour) -> Tamper {
        Tamper {
            signing: misbehaviour.signing,
            newer_signature: self.newer_signature,
            padding_bytes: misbehaviour.padding_bytes,
            invalid_utf8: misbehaviour.invalid_utf8,
        }
    }

    /// Begins a call's own task.
    fn start_line(
        self: &Arc<Self>,
        record: CallRecord,
        voice: Option<WebhookTarget>,
        callee: Callee,
        courier: Courier,
        misbehaviour: Misbehaviour,
    ) -> Arc<Call> {
        let (control, commands) = mpsc::unbounded_channel();
        let report = CallReport {
            carrier: self.carrier.name().to_owned(),
            call_id: record.id.clone(),
            direction: record.direction,
            from: record.from.clone(),
            to: record.to.clone(),
            status: record.status,
            placed_at: clock::now(),
            answered_at: None,
            ended_at: None,
            hang_up: None,
            events: Vec::new(),
            webhooks: Vec::new(),
            streams: Vec::new(),
            finished: false,
        };
        let call = Arc::new(Call {
            id: record.id.clone(),
            report: Watched::new(report),
            control,
        });
        let outbound = record.direction == Direction::Outbound;
        self.ledger().calls.insert(record.id.clone(), record);
        self.lines.update(|lines| {
            lines.all.push(Arc::clone(&call));
            if outbound {
                lines.outbound_unseen.push_back(Arc::clone(&call));
            }
        });
        let line = line::Line::new(
            Arc::clone(self),
            Arc::clone(&call),
            commands,
            courier,
            callee,
            misbehaviour,
        );
        self.track(tokio::spawn(line.run(voice)).abort_handle());
        call
    }

    fn track(&self, task: AbortHandle) {
        let mut tasks = lock(&self.tasks);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    fn obey(self: &Arc<Self>, directive: Directive) {
        let (id, control) = match directive {
            Directive::Dial(id) => return self.dial(&id),
            Directive::HangUp(id) => (id, Control::RestHangsUp),
            Directive::Instruct(id, instructions) => (id, Control::Instruct(instructions)),
            Directive::Redirect(id, target) => (id, Control::Redirect(target)),
        };
        self.lines.read(|lines| {
            if let Some(call) = lines.all.iter().find(|call| call.id == id) {
                // A call that ends at this very moment is past commands.
                let _ = call.control.send(control);
            }
        });
    }

    fn dial(self: &Arc<Self>, id: &str) {
        let Some(record) = self.ledger().calls.get(id).cloned() else {
            return;
        };
        let (courier, callee, misbehaviour) = {
            let settings = self.settings();
            let callee = settings
                .callees
                .get(&record.to)
                .unwrap_or(&settings.default_callee)
                .clone();
            (settings.courier.clone(), callee, settings.misbehaviour.clone())
        };
        match courier {
            Some(courier) => {
                self.start_line(record, None, callee, courier, misbehaviour);
            }
            None => tracing::error!("a call was asked for before the carrier was told where the gateway is"),
        }
    }
}

async fn serve_rest(
    State(exchange): State<Arc<Exchange>>,
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
    let response = match misbehaviour.rest_error {
        Some(status) => exchange.carrier.rest_error(status),
        None => {
            let answer = exchange.carrier.handle_rest(&mut exchange.ledger(), &request);
            if let Some(directive) = answer.directive {
                exchange.obey(directive);
            }
            answer.response
        }
    };
    exchange.rest_log.update(|log| {
        log.push(RestLogEntry {
            at: clock::now(),
            method: request.method,
            path: uri.to_string(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
            status: response.status,
            response: String::from_utf8_lossy(&response.body).into_owned(),
        });
    });
    // The request has been carried out; only the client does not know yet. That is the case which is hard for it.
    if !misbehaviour.rest_delay.is_zero() {
        tokio::time::sleep(misbehaviour.rest_delay).await;
    }
    http_response(response)
}

fn http_response(response: RestResponse) -> Response<Body> {
    Response::builder()
        .status(response.status)
        .header("content-type", response.content_type)
        .body(Body::from(response.body))
        .expect("a status and a constant header make a response")
}
