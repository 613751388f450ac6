//! The exchange: connects calls. It holds what calls share and knows the calls that are live.
//!
//! Webhooks, the API and the command line come here; each call then lives in a session of its own. Nothing here knows a
//! carrier: what is particular to one is asked of its component.

mod callback;
mod context;
mod events;
mod inbound;
mod operations;
mod outbound;
mod rating;
mod transfer;
mod verify;
mod versions;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use strowger_call::{CallId, Event};
use strowger_host::operation::MediaAddress;
use strowger_host::{Provider, RejectionReason};
use tokio::sync::Notify;
use tokio::time::timeout;

pub(crate) use self::context::Kept;
pub use self::context::{CallContext, CarrierError};
pub use self::events::{EventSocketFailure, EventSocketPhase, EventSocketState};
pub(crate) use self::events::{EventSource, News, Obeyed, Reception};
use crate::admission::refusals::Refusals;
use crate::admission::{Slot, Slots};
use crate::agent::{AgentLimits, CheckedDial};
use crate::budget::Budgets;
use crate::clock::Clock;
use crate::egress::{Egress, IpNetwork};
use crate::guests::GuestThreads;
use crate::install::Installer;
use crate::invocations::Watchers;
use crate::live::LiveCalls;
use crate::metrics::Metrics;
use crate::perform::Performer;
use crate::recording::RecordingWriter;
use crate::registry::faults::Faults;
use crate::registry::{Loader, Registry};
use crate::session::SessionHandle;
use crate::session::lane::SlowLane;
use crate::store::{ConfigurationId, MediaToken, NotClaimable, Store, StoreError, UnixMs};
use crate::waveform::Waveforms;

/// How long a media token opens its socket. Carriers open it within seconds of the answer; an outbound call may ring first.
const MEDIA_TOKEN_TTL_MS: i64 = 5 * 60 * 1000;

/// How long a call waits for others to be admitted.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(3);

/// What the operator decides about calls.
#[derive(Debug, Clone)]
pub struct ExchangeOptions {
    /// Where carriers reach this gateway: scheme and authority, no trailing slash.
    pub public_base: String,
    /// Where recordings and pictures are kept.
    pub recordings: PathBuf,
    /// Whether agents may have their calls recorded.
    pub recording: bool,
    /// Live calls at once.
    pub calls_max: usize,
    /// The patience with agents.
    pub agent_limits: AgentLimits,
    /// Where calls are counted.
    pub metrics: Metrics,
    /// Networks that are not public and that may be reached all the same.
    pub allow_networks: Vec<IpNetwork>,
}

/// The threads beside those that serve sockets.
#[derive(Debug, Clone)]
pub struct Threads {
    /// Write the recordings of calls.
    pub recordings: RecordingWriter,
    /// Run guests off the media path.
    pub guests: GuestThreads,
    /// Runs the media guests that are not quick.
    pub slow_lane: SlowLane,
    /// Write down what providers did.
    pub watchers: Watchers,
}

impl Threads {
    /// Starts them. `invocations` is the folder for what providers did, `record_invocations` whether that of whole calls is
    /// wanted.
    ///
    /// # Errors
    /// When the machine has no thread left.
    pub fn start(invocations: &Path, record_invocations: bool, metrics: &Metrics) -> std::io::Result<Self> {
        Ok(Self {
            recordings: RecordingWriter::start()?,
            guests: GuestThreads::off_media()?,
            slow_lane: SlowLane::start()?,
            watchers: Watchers::start(invocations, record_invocations, metrics.clone())?,
        })
    }
}

/// The providers, and what keeps them in bounds.
#[derive(Debug)]
pub struct ExchangeProviders {
    /// Those that are loaded.
    pub registry: Registry,
    /// Loads them, as the catalogue says.
    pub loader: Loader,
    /// Counts what they fail.
    pub faults: Faults,
    /// What organisations may use.
    pub budgets: Budgets,
    /// Examines what is to be installed.
    pub installer: Installer,
}

/// The exchange. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Exchange {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: ExchangeOptions,
    store: Store,
    registry: Registry,
    loader: Loader,
    faults: Faults,
    budgets: Budgets,
    installer: Installer,
    dialler: CheckedDial,
    performer: Performer,
    threads: Threads,
    waveforms: Waveforms,
    slots: Slots,
    refusals: Refusals,
    clock: Clock,
    sessions: Mutex<HashMap<CallId, SessionHandle>>,
    /// Held from the moment a call's row is written until its session is there, so that a webhook that is repeated at once
    /// finds either none of them or both.
    admission: tokio::sync::Mutex<()>,
    draining: AtomicBool,
    session_closed: Notify,
    configurations_changed: Notify,
    event_sockets: Mutex<HashMap<ConfigurationId, EventSocketState>>,
    live: LiveCalls,
}

/// Why a webhook gets no answer of a provider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No provider says that it is its carrier's.
    NotRecognised,
    /// No provider has such a route.
    NoSuchRoute,
    /// The call does not exist.
    NoSuchCall,
    /// No proof holds.
    NotGenuine,
    /// Something of ours does not work right now.
    Unavailable,
    /// The organisation has used up what its providers may use; what a caller is told.
    OverBudget(RejectionReason),
    /// The component failed.
    ProviderFault,
}

/// Why a media socket is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaRefusal {
    /// No live call has this token.
    Unknown,
    /// The token is too old, or its call has ended.
    Expired,
    /// The call has its socket.
    AlreadyClaimed,
    /// Something of ours does not work right now.
    Unavailable,
}

/// Tells the exchange that a session is over.
#[derive(Debug)]
pub struct Closing {
    exchange: Weak<Inner>,
    call_id: CallId,
    /// The call's line. Given back when everything else knows that the call is over.
    _line: Slot,
}

/// The session is over when this is dropped.
impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(inner) = self.exchange.upgrade() {
            inner
                .sessions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&self.call_id);
            inner.session_closed.notify_waiters();
        }
    }
}

impl Exchange {
    /// Puts the parts together.
    #[must_use]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of its own, and this is where they meet"
    )]
    pub fn new(
        options: ExchangeOptions,
        store: Store,
        providers: ExchangeProviders,
        dialler: CheckedDial,
        egress: Egress,
        threads: Threads,
        slots: Slots,
        clock: Clock,
    ) -> Self {
        let ExchangeProviders {
            registry,
            loader,
            faults,
            budgets,
            installer,
        } = providers;
        let performer = Performer::new(
            egress,
            store.clone(),
            clock.clone(),
            budgets.clone(),
            threads.guests.clone(),
        );
        Self {
            inner: Arc::new(Inner {
                live: LiveCalls::new(store.clone()),
                options,
                store,
                registry,
                loader,
                faults,
                budgets,
                installer,
                dialler,
                performer,
                threads,
                waveforms: Waveforms::default(),
                slots,
                refusals: Refusals::default(),
                clock,
                sessions: Mutex::new(HashMap::new()),
                admission: tokio::sync::Mutex::new(()),
                draining: AtomicBool::new(false),
                session_closed: Notify::new(),
                configurations_changed: Notify::new(),
                event_sockets: Mutex::default(),
            }),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The providers.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The clocks.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Where carriers reach this gateway.
    #[must_use]
    pub fn public_base(&self) -> &str {
        &self.inner.options.public_base
    }

    /// The URL that carriers of shared providers post inbound calls to.
    #[must_use]
    pub fn inbound_url(&self) -> String {
        format!("{}/api/v1/telephony/inbound/run", self.public_base())
    }

    /// Where a provider's routes begin, without a trailing slash.
    fn callback_base(&self, provider: &Provider) -> String {
        format!("{}/api/v1/telephony/{}", self.public_base(), provider.name())
    }

    /// Told (`notify_one`) when a telephony configuration was created, changed, parked, reactivated or deleted. It has one
    /// listener: whoever keeps something open for each of them. A change while nobody listens is told to the next who does.
    #[must_use]
    pub fn configurations_changed(&self) -> &Notify {
        &self.inner.configurations_changed
    }

    /// Shows live calls to those who watch them.
    #[must_use]
    pub fn live(&self) -> &LiveCalls {
        &self.inner.live
    }

    /// How many calls are live.
    #[must_use]
    pub fn live_calls(&self) -> usize {
        self.sessions().len()
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<CallId, SessionHandle>> {
        self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event_sockets(&self) -> std::sync::MutexGuard<'_, HashMap<ConfigurationId, EventSocketState>> {
        self.inner.event_sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, call: &CallId) -> Option<SessionHandle> {
        self.sessions().get(call).cloned()
    }

    fn closing(&self, call: &CallId) -> Closing {
        Closing {
            exchange: Arc::downgrade(&self.inner),
            call_id: call.clone(),
            _line: self.inner.slots.hold(call.as_str()),
        }
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.options.metrics
    }

    /// Whether new calls are refused because the gateway is to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Acquire)
    }

    /// Where carriers open media sockets, without a token.
    fn media_base(&self) -> String {
        let base = match self.public_base().split_once("://") {
            Some(("http", rest)) => format!("ws://{rest}"),
            Some((_, rest)) => format!("wss://{rest}"),
            None => self.public_base().to_owned(),
        };
        format!("{base}/api/v1/telephony/ws")
    }

    fn media_address(&self, token: &MediaToken) -> MediaAddress {
        let base_url = self.media_base();
        MediaAddress {
            url: format!("{base_url}/{}", token.expose()),
            base_url,
            token: token.expose().to_owned(),
        }
    }

    /// Claims the media socket of a call: the first who presents the token gets it.
    ///
    /// # Errors
    /// When there is no call, or not any more, or another socket was first.
    pub async fn claim_media(&self, token: &str) -> Result<SessionHandle, MediaRefusal> {
        let call = match self
            .inner
            .store
            .claim_media(&MediaToken::new(token), self.inner.clock.unix_ms())
            .await
        {
            Ok(call) => call,
            Err(NotClaimable::Unknown) => return Err(MediaRefusal::Unknown),
            Err(NotClaimable::Expired | NotClaimable::Ended) => return Err(MediaRefusal::Expired),
            Err(NotClaimable::AlreadyClaimed) => {
                tracing::warn!("a second media socket was refused");
                return Err(MediaRefusal::AlreadyClaimed);
            }
            Err(NotClaimable::Store(error)) => {
                tracing::error!(%error, "cannot claim a media socket");
                return Err(MediaRefusal::Unavailable);
            }
        };
        self.session(&call.id).ok_or(MediaRefusal::Expired)
    }

    /// Asks a live call to end. `false` when it is not live.
    pub async fn hang_up(&self, call: &CallId) -> bool {
        match self.session(call) {
            Some(session) => {
                session
                    .event(Event::HangUpRequested {
                        by: strowger_call::Requester::Api,
                    })
                    .await
            }
            None => false,
        }
    }

    /// Brings up to date what calls and legs that have ended used of the limits, and forgets what is too old to matter.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_admission(&self, now: UnixMs) -> Result<(), StoreError> {
        self.inner.store.settle_ended_slots(now).await?;
        self.inner.store.purge_admission(now).await
    }

    /// Lets calls finish: new ones are refused from now on, live ones may go on for `grace`, and are then ended. Returns how
    /// many had to be.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.inner.draining.store(true, Ordering::Release);
        self.release_transferred().await;
        if timeout(grace, self.until_empty()).await.is_ok() {
            return 0;
        }
        let left: Vec<SessionHandle> = self.sessions().values().cloned().collect();
        for session in &left {
            session.event(Event::ShutdownRequested).await;
        }
        // Hanging up takes a request to the carrier and its last word a little longer.
        if timeout(Duration::from_secs(30), self.until_empty()).await.is_err() {
            tracing::warn!(calls = self.live_calls(), "calls did not end in time");
        }
        left.len()
    }

    /// Waits for the turn to admit a call; nothing when it does not come. With a database that is stuck every turn takes
    /// seconds, and a carrier that waits for its answer gives up before a queue of them is through.
    async fn admission(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        timeout(ADMISSION_TIMEOUT, self.inner.admission.lock()).await.ok()
    }

    /// Runs something to its end even when whoever asked for it goes away: a client that hangs up while a call is being
    /// set up must not leave half of one.
    async fn unbroken<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let work = tokio::spawn(tracing::Instrument::instrument(work, tracing::Span::current()));
        match work.await {
            Ok(result) => Some(result),
            Err(error) => {
                tracing::error!(%error, "a task of the exchange failed");
                None
            }
        }
    }

    async fn until_empty(&self) {
        loop {
            let closed = self.inner.session_closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if self.sessions().is_empty() {
                return;
            }
            closed.await;
        }
    }
}
