//! A carrier that runs: its REST API on loopback, its lines, and the people on them.
//!
//! Everything in here is the same for all carriers. What is particular to one is asked of its [`Carrier`].

mod api;
mod events;
mod line;
mod notices;
mod room;
mod rooms;
mod stream;
mod switch;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::DefaultBodyLimit};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

pub use crate::carrier::NumberRecord;
use crate::{
    carrier::{CallRecord, Carrier, InboundRoute, Ledger, Tamper, WebhookTarget},
    gateway::Gateway,
    misbehaviour::Misbehaviour,
    report::{CallReport, Direction},
    script::CallerScript,
    watched::{TimedOut, Watched},
    webhook::Courier,
};
pub(crate) use stream::{dial_media, socket_config};
use {
    api::Window,
    events::Hub,
    switch::{Call, Control, Exchange, Out, Settings, Start, lock, new_number},
};
pub use {
    api::{RestFailure, RestLogEntry},
    events::{EventSocketReport, EventSocketState},
};

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
    /// The carrier's limit on the rate of requests does not hold.
    pub without_rate_limit: bool,
    /// Of the REST API; loopback.
    pub listen: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            gateway: None,
            misbehaviour: Misbehaviour::default(),
            newer_signature: false,
            without_rate_limit: false,
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
    /// Declines.
    Rejects {
        after: Duration,
    },
    /// There is no such number.
    Unreachable,
}

impl Callee {
    /// Somebody who picks up after a moment.
    #[must_use]
    pub fn answers(script: CallerScript) -> Self {
        Self::Answers {
            after: Duration::from_millis(50),
            script,
            answered_by: "human".to_owned(),
        }
    }
}

impl Default for Callee {
    fn default() -> Self {
        Self::answers(CallerScript::new().stay())
    }
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
        let mut ledger = Ledger {
            numbers: vec![new_number(carrier.own_number())],
            ..Ledger::default()
        };
        if let Some(gateway) = &options.gateway {
            ledger.gateway = gateway.url("");
        }
        carrier.open_account(&mut ledger);
        let exchange = Arc::new(Exchange {
            carrier,
            newer_signature: options.newer_signature,
            rate_limit: carrier.rate_limit().filter(|_| !options.without_rate_limit),
            settings: Mutex::new(Settings {
                courier,
                misbehaviour: options.misbehaviour,
                rest_failures: Vec::new(),
                callees: BTreeMap::new(),
                default_callee: Callee::default(),
            }),
            ledger: Mutex::new(ledger),
            lines: Watched::default(),
            rooms: Arc::default(),
            hub: Hub::default(),
            window: Window::default(),
            rest_log: Watched::default(),
            tasks: Mutex::default(),
        });
        // Larger than any form of ours, so that it is never the simulator that refuses.
        let app = Router::new()
            .fallback(api::serve)
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
        self.exchange.carrier.credentials_at(self.rest_addr)
    }

    /// The host whose traffic the gateway must send to [`Self::rest_addr`].
    #[must_use]
    pub fn rest_host(&self) -> &'static str {
        self.exchange.carrier.rest_host()
    }

    /// All hosts whose traffic the gateway must send to [`Self::rest_addr`].
    #[must_use]
    pub fn rest_hosts(&self) -> Vec<&'static str> {
        self.exchange.carrier.rest_hosts()
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
        self.exchange.ledger().gateway = gateway.url("");
        self.exchange.settings().courier = Some(Courier::new(gateway).map_err(io::Error::other)?);
        Ok(())
    }

    /// Has some of the next requests to the REST API fail.
    pub fn fail_rest(&self, failure: RestFailure) {
        self.exchange.settings().rest_failures.push(failure);
    }

    /// Looks into, or changes, what the carrier knows: to set up an application, or to see what was provisioned.
    pub fn with_ledger<R>(&self, look: impl FnOnce(&mut Ledger) -> R) -> R {
        look(&mut self.exchange.ledger())
    }

    /// All event sockets so far, oldest first.
    #[must_use]
    pub fn event_sockets(&self) -> Vec<EventSocketReport> {
        self.exchange.hub.sockets.read(Clone::clone)
    }

    /// Waits until the event sockets fulfil a condition.
    ///
    /// # Errors
    /// When they do not in time.
    pub async fn wait_for_event_sockets(
        &self,
        within: Duration,
        mut is_so: impl FnMut(&[EventSocketReport]) -> bool,
    ) -> Result<(), TimedOut> {
        self.exchange
            .hub
            .sockets
            .wait_for(within, |sockets| is_so(sockets).then_some(()))
            .await
    }

    /// Cuts all event sockets off, without a closing handshake.
    pub fn drop_event_sockets(&self) {
        self.exchange.hub.drop_all();
    }

    /// Tells the live subscriber of this key something that no call brought about.
    pub fn push_event(&self, key: &str, text: &str) {
        self.exchange.hub.push(key, text);
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
        let InboundRoute {
            mut voice,
            callbacks,
            extra,
        } = exchange.carrier.inbound_route(&exchange.ledger(), &call.to);
        if let Some(target) = voice.as_mut().filter(|target| target.url.is_empty()) {
            *target = WebhookTarget::post(courier.gateway.url(DEFAULT_VOICE_PATH));
        }
        let mut record = CallRecord::new(exchange.carrier.new_call_id(), Direction::Inbound, &call.from, &call.to);
        record.callbacks = callbacks;
        record.extra = extra;
        let start = Start::Inbound {
            voice,
            script: call.script,
        };
        let call = exchange.start_line(record, start, courier, call.misbehaviour);
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

    /// All calls so far, oldest first; media channels do not count.
    #[must_use]
    pub fn calls(&self) -> Vec<CallHandle> {
        self.exchange.lines.read(|lines| {
            lines
                .all
                .iter()
                .filter(|call| !call.is_media)
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
