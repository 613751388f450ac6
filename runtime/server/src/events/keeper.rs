//! The task that keeps the event socket of one configuration: it does what [`Policy`] says, and tells it what came of it.

use std::future::Future;
use std::time::Duration;

use strowger_call::Monotonic;
use strowger_host::operation::EventSocket;
use strowger_host::{InvokeError, Moment, Secret};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::connection::{Connection, MESSAGE_BYTES_MAX, Signal};
use super::inbox::{Complaint, Inbox, inbox};
use super::lease::{Lease, LeaseTimes, StoredLeases};
use super::policy::{Failure, Policy, State, Verdict};
use crate::egress::{Egress, HostGrant, SocketRequest};
use crate::exchange::{EventSocketFailure, EventSocketPhase, EventSocketState, EventSource, Exchange};
use crate::perform::PerformError;
use crate::store::{Configuration, LeaseKey};

/// How long taking leave of the carrier may last when there is time.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long what was heard may still be handled once the socket is to be kept no longer.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// What all keepers work with. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) exchange: Exchange,
    pub(super) egress: Egress,
    pub(super) times: LeaseTimes,
}

/// What a keeper depends on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Watched {
    pub(super) configuration: Configuration,
    /// Digest of the provider's version that takes new calls: another one may name another socket.
    pub(super) version: String,
}

/// The handle of a keeper.
#[derive(Debug)]
pub(super) struct Keeper {
    watched: watch::Sender<Watched>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeper {
    pub(super) fn start(tools: Tools, watched: Watched) -> Self {
        let configuration = &watched.configuration;
        let span = tracing::info_span!(
            "event_socket",
            configuration = configuration.id.as_str(),
            provider = configuration.provider
        );
        let (sender, receiver) = watch::channel(watched);
        let stop = CancellationToken::new();
        let task = Task {
            leases: StoredLeases {
                store: tools.exchange.store().clone(),
                clock: tools.exchange.clock().clone(),
            },
            tools,
            watched: receiver,
            stop: stop.clone(),
            policy: Policy::new(),
            owner: Uuid::now_v7().to_string(),
            lease: None,
            identity: None,
            connection: None,
            connections: 0,
            ears: None,
            last_failure: None,
            published: None,
        };
        Self {
            watched: sender,
            stop,
            task: tokio::spawn(task.run().instrument(span)),
        }
    }

    /// The configuration and its provider as they are now.
    pub(super) fn update(&self, watched: &Watched) {
        self.watched.send_if_modified(|known| {
            let changed = known != watched;
            if changed {
                known.clone_from(watched);
            }
            changed
        });
    }

    /// It has parked its configuration, or failed.
    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Closes the socket, lets what was heard be handled, and gives the lease back.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("the task that keeps an event socket failed");
        }
    }
}

/// What handles messages, for as long as the keeper lives.
struct Ears {
    source: watch::Sender<EventSource>,
    inbox: Inbox,
    complaints: mpsc::Receiver<Complaint>,
    handling: JoinHandle<()>,
}

/// What makes a socket another one.
#[derive(PartialEq)]
struct Identity {
    url: url::Url,
    headers: Vec<(String, String)>,
    subprotocol: Option<String>,
}

/// Why something was not waited for any longer.
enum Interrupt {
    Stop,
    Changed,
    LeaseLost,
}

struct Task {
    tools: Tools,
    leases: StoredLeases,
    watched: watch::Receiver<Watched>,
    stop: CancellationToken,
    policy: Policy,
    owner: String,
    lease: Option<Lease<StoredLeases>>,
    identity: Option<Identity>,
    connection: Option<Connection>,
    /// How many there were.
    connections: u64,
    ears: Option<Ears>,
    last_failure: Option<EventSocketFailure>,
    published: Option<EventSocketState>,
}

impl Task {
    async fn run(mut self) {
        loop {
            self.publish();
            let done = match self.policy.state().clone() {
                State::Waiting => self.wait().await,
                State::Connecting => self.connect().await,
                State::Up { .. } => self.serve().await,
                State::Backoff { until } => self.rest(until).await,
                State::Parking { reason } => self.park(&reason).await,
                State::Parked => break,
            };
            match done {
                Ok(()) => {}
                Err(Interrupt::Stop) => break,
                Err(Interrupt::Changed) => self.changed().await,
                Err(Interrupt::LeaseLost) => self.lease_lost().await,
            }
        }
        self.end().await;
    }

    /// Waits for this, unless something comes between.
    async fn unless_interrupted<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Interrupt> {
        let lease = &self.lease;
        let lost = async {
            match lease {
                Some(lease) => lease.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Interrupt::Stop),
            () = lost => Err(Interrupt::LeaseLost),
            changed = self.watched.changed() => Err(match changed {
                Ok(()) => Interrupt::Changed,
                // Nobody is left who would say so.
                Err(_) => Interrupt::Stop,
            }),
            done = work => Ok(done),
        }
    }

    fn now(&self) -> Monotonic {
        Monotonic::from_micros(self.tools.exchange.clock().host_us())
    }

    /// Obtains the lease of the socket.
    async fn wait(&mut self) -> Result<(), Interrupt> {
        let Some(socket) = self.endpoint().await? else {
            return Ok(());
        };
        let key = LeaseKey::of(&socket.url);
        if self.lease.as_ref().is_some_and(|lease| *lease.key() != key)
            && let Some(other) = self.lease.take()
        {
            other.release().await;
        }
        let mut told = false;
        while self.lease.is_none() {
            let times = self.tools.times;
            let taking = Lease::take(self.leases.clone(), key.clone(), self.owner.clone(), times);
            match self.unless_interrupted(taking).await? {
                Ok(Some(lease)) => self.lease = Some(lease),
                Ok(None) => {
                    if !told {
                        tracing::info!("another gateway or configuration keeps this event socket");
                        told = true;
                    }
                    self.unless_interrupted(sleep(times.poll())).await?;
                }
                Err(error) => {
                    tracing::error!(%error, "the lease of an event socket cannot be asked for");
                    self.unless_interrupted(sleep(times.poll())).await?;
                }
            }
        }
        self.policy.handle_lease();
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), Interrupt> {
        if let Some(room) = self.ears.as_ref().map(|ears| ears.inbox.room()) {
            self.unless_interrupted(room).await?;
        }
        // Again: what proves who we are may be fresh for minutes only.
        let Some(socket) = self.endpoint().await? else {
            return Ok(());
        };
        let grants: Vec<HostGrant> = socket.grants.iter().filter_map(|grant| grant.parse().ok()).collect();
        let egress = self.tools.egress.clone();
        let opening = egress.open_socket(SocketRequest {
            url: &socket.url,
            headers: &socket.headers,
            subprotocol: socket.subprotocol.as_deref(),
            grants: &grants,
            message_bytes_max: MESSAGE_BYTES_MAX,
        });
        match self.unless_interrupted(opening).await? {
            Ok(socket) => {
                self.connections += 1;
                self.connection = Some(Connection::new(socket));
                self.policy.handle_open(self.now());
                tracing::info!("the event socket is open");
                self.ask_after_calls();
            }
            Err(error) => self.failed(&Failure {
                code: error.code(),
                message: error.to_string(),
                retryable: error.is_retryable(),
            }),
        }
        Ok(())
    }

    /// The end of a call may have been told while nobody listened.
    fn ask_after_calls(&self) {
        if let Some(ears) = &self.ears {
            let (exchange, source) = (self.tools.exchange.clone(), ears.source.borrow().clone());
            let asking = async move { exchange.ask_after_calls(&source).await };
            tokio::spawn(asking.instrument(tracing::Span::current()));
        }
    }

    async fn serve(&mut self) -> Result<(), Interrupt> {
        // Out of `self`, so that what interrupts can be waited for beside them; put back whatever happens.
        let (Some(mut connection), Some(mut ears)) = (self.connection.take(), self.ears.take()) else {
            self.failed(&Failure::passing("internal", "there is no event socket to serve"));
            return Ok(());
        };
        let served = self.serve_with(&mut connection, &mut ears).await;
        self.ears = Some(ears);
        match served {
            Err(interrupt) => {
                self.connection = Some(connection);
                Err(interrupt)
            }
            Ok(Some(failure)) => {
                self.failed(&failure);
                connection.close(self.tools.times.farewell()).await;
                Ok(())
            }
            Ok(None) => {
                let (failure, verdict) = self.policy.handle_closed(self.now(), jitter());
                self.tell(&failure, verdict);
                connection.close(self.tools.times.farewell()).await;
                Ok(())
            }
        }
    }

    /// Until the carrier closes the socket, or something is wrong with it.
    async fn serve_with(&mut self, connection: &mut Connection, ears: &mut Ears) -> Result<Option<Failure>, Interrupt> {
        loop {
            let heard = async {
                tokio::select! {
                    signal = connection.next() => Heard::Signal(signal),
                    Some(complaint) = ears.complaints.recv() => Heard::Complaint(complaint),
                }
            };
            match self.unless_interrupted(heard).await? {
                Heard::Signal(Signal::Text(text)) => {
                    if let Some(failure) = self.heard(text, &ears.inbox) {
                        return Ok(Some(failure));
                    }
                }
                Heard::Signal(Signal::Closed) => return Ok(None),
                Heard::Signal(Signal::Broken(failure)) => return Ok(Some(failure)),
                Heard::Complaint(Complaint { connection, failure }) => {
                    if connection == self.connections {
                        return Ok(Some(failure));
                    }
                }
            }
        }
    }

    fn heard(&self, text: Utf8Bytes, inbox: &Inbox) -> Option<Failure> {
        let at = self.tools.exchange.clock().unix_ms();
        let full = inbox.push(text, at, self.connections).is_err();
        full.then(|| {
            tracing::error!("the messages of an event socket are not handled as fast as they come; it is opened anew");
            Failure::passing(
                "fell-behind",
                "the gateway could not handle the messages of the event socket as fast as they came",
            )
        })
    }

    async fn rest(&mut self, until: Monotonic) -> Result<(), Interrupt> {
        let until = self.tools.exchange.clock().instant(until.as_micros());
        self.unless_interrupted(sleep_until(until)).await?;
        self.policy.handle_wake(self.now());
        Ok(())
    }

    async fn park(&mut self, reason: &str) -> Result<(), Interrupt> {
        let store = self.tools.exchange.store().clone();
        let (id, as_of) = {
            let configuration = &self.watched.borrow().configuration;
            (configuration.id.clone(), configuration.updated_at)
        };
        let now = self.tools.exchange.clock().unix_ms();
        let written = self
            .unless_interrupted(store.park_configuration(&id, reason, as_of, now))
            .await?;
        match &written {
            Ok(true) => tracing::error!(reason, "the configuration is parked until somebody reactivates it"),
            Ok(false) => tracing::info!("the configuration was changed meanwhile, and is not parked"),
            Err(error) => {
                tracing::error!(%error, reason, "the configuration should be parked, which could not be written down");
            }
        }
        self.policy
            .handle_parked(written.is_ok_and(|parked| parked), self.now());
        Ok(())
    }

    /// Where the socket is; nothing when that failed, which the policy knows then.
    async fn endpoint(&mut self) -> Result<Option<EventSocket>, Interrupt> {
        let source = match self.source() {
            Ok(source) => source,
            Err(message) => {
                self.misconfigured(&Failure {
                    code: "settings-incomplete".to_owned(),
                    message,
                    retryable: false,
                });
                return Ok(None);
            }
        };
        let exchange = self.tools.exchange.clone();
        if self.identity.is_none() {
            self.identity = identity(&exchange, &source).await;
        }
        let moment = Moment::at(exchange.clock().unix_ms_unsigned());
        let asking = exchange.event_endpoint(&source, moment);
        match self.unless_interrupted(asking).await? {
            Ok(Ok(socket)) => return Ok(Some(socket)),
            Ok(Err(failure)) => self.misconfigured(&Failure {
                code: failure.code,
                message: failure.message,
                retryable: failure.retryable,
            }),
            Err(error @ PerformError::Invoke(InvokeError::Configuration(_))) => self.misconfigured(&Failure {
                code: error.code(),
                message: error.to_string(),
                retryable: false,
            }),
            // Not a fault of the configuration's.
            Err(error) => self.failed(&Failure::passing(&error.code(), error.to_string())),
        }
        Ok(None)
    }

    /// The configuration as it is now, and what handles its messages.
    fn source(&mut self) -> Result<EventSource, String> {
        let exchange = &self.tools.exchange;
        let source = exchange.event_source(&self.watched.borrow_and_update().configuration)?;
        match &self.ears {
            Some(ears) if !ears.handling.is_finished() => drop(ears.source.send_replace(source.clone())),
            // The first time, or after a failure of the one before.
            _ => {
                let (sender, receiver) = watch::channel(source.clone());
                let (complain, complaints) = mpsc::channel(1);
                let (inbox, handler) = inbox(exchange.clone(), receiver, complain);
                self.ears = Some(Ears {
                    source: sender,
                    inbox,
                    complaints,
                    handling: tokio::spawn(handler.run().instrument(tracing::Span::current())),
                });
            }
        }
        Ok(source)
    }

    /// Somebody changed the configuration: a socket that stays the same stays open.
    async fn changed(&mut self) {
        let exchange = self.tools.exchange.clone();
        let identity = match self.source() {
            Ok(source) => identity(&exchange, &source).await,
            Err(_) => None,
        };
        let same = identity.is_some() && identity == self.identity;
        if same && self.connection.is_some() {
            return;
        }
        self.identity = identity;
        self.last_failure = None;
        if let Some(connection) = self.connection.take() {
            tracing::info!("the event socket is opened anew, because its settings were changed");
            connection.close(CLOSE_TIMEOUT).await;
        }
        self.policy.handle_changed();
    }

    async fn lease_lost(&mut self) {
        self.lease = None;
        if let Some(connection) = self.connection.take() {
            tracing::warn!("the event socket is closed, because its lease is lost");
            connection.close(self.tools.times.farewell()).await;
        }
        self.policy.handle_lease_lost();
    }

    fn failed(&mut self, failure: &Failure) {
        let verdict = self.policy.handle_failure(failure, self.now(), jitter());
        self.tell(failure, verdict);
    }

    fn misconfigured(&mut self, failure: &Failure) {
        let verdict = self.policy.handle_misconfigured(failure, self.now(), jitter());
        self.tell(failure, verdict);
    }

    fn tell(&mut self, failure: &Failure, verdict: Verdict) {
        let Failure { code, message, .. } = failure;
        if verdict.told {
            tracing::warn!(code, failures = verdict.failures, "no event socket: {message}");
        }
        self.last_failure = Some(EventSocketFailure {
            code: code.clone(),
            message: message.clone(),
            at: self.tools.exchange.clock().unix_ms(),
        });
    }

    fn publish(&mut self) {
        let phase = match self.policy.state() {
            State::Waiting => EventSocketPhase::Waiting,
            State::Connecting => EventSocketPhase::Connecting,
            State::Up { .. } => EventSocketPhase::Up,
            State::Backoff { .. } | State::Parking { .. } => EventSocketPhase::Backoff,
            State::Parked => EventSocketPhase::Parked,
        };
        let since = match &self.published {
            Some(published) if published.phase == phase => published.since,
            _ => self.tools.exchange.clock().unix_ms(),
        };
        let state = EventSocketState {
            phase,
            since,
            last_failure: self.last_failure.clone(),
        };
        let id = &self.watched.borrow().configuration.id;
        self.tools.exchange.set_event_socket_state(id, Some(state.clone()));
        self.published = Some(state);
    }

    async fn end(mut self) {
        let ears = self.ears.take().map(|ears| {
            drop((ears.inbox, ears.complaints));
            ears.handling
        });
        if let Some(connection) = self.connection.take() {
            connection.close(CLOSE_TIMEOUT).await;
        }
        // Before what was heard is handled: another gateway may listen from now on.
        if let Some(lease) = self.lease.take() {
            lease.release().await;
        }
        if let Some(mut handling) = ears
            && timeout(FINISH_TIMEOUT, &mut handling).await.is_err()
        {
            tracing::warn!("messages of an event socket were left unhandled");
            handling.abort();
        }
        let id = self.watched.borrow().configuration.id.clone();
        if *self.policy.state() != State::Parked {
            self.tools.exchange.set_event_socket_state(&id, None);
        }
    }
}

enum Heard {
    Signal(Signal),
    Complaint(Complaint),
}

/// As the settings alone make it: with a moment that is always the same, so are signatures.
async fn identity(exchange: &Exchange, source: &EventSource) -> Option<Identity> {
    let moment = Moment {
        now_ms: 0,
        entropy: [0; 40],
    };
    let EventSocket {
        url,
        headers,
        subprotocol,
        ..
    } = exchange.event_endpoint(source, moment).await.ok()?.ok()?;
    let expose = |(name, value): (String, Secret)| (name, value.expose().to_owned());
    Some(Identity {
        url,
        headers: headers.into_iter().map(expose).collect(),
        subprotocol,
    })
}

/// From 0 to 1. A wait is not a secret: without randomness there is no jitter.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.0,
    }
}
