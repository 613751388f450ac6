//! The running gateway: its parts, put together in order and taken apart in the reverse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::serve::ListenerExt as _;
use sha2::{Digest as _, Sha256};
use strowger_host::cache::CompiledCache;
use strowger_host::{Engine, EngineOptions, HostFault, IsolatedCompiler};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::admission::{Bookkeeper, GatewayId, Place, Slots};
use crate::agent::{self, AgentLimits, CheckedDial};
use crate::budget::Budgets;
use crate::catalogue::Catalogue;
use crate::catalogue::shelf::{ShelfError, StockError};
use crate::clock::Clock;
use crate::egress::{AddressPolicy, Egress, EgressConfig, EgressConfigError, SystemResolver};
use crate::events::EventSockets;
use crate::exchange::{Exchange, ExchangeOptions, ExchangeProviders, Threads};
use crate::install::{InstallOptions, Installer};
use crate::metrics::{self, Metrics};
use crate::outbox::Outbox;
use crate::registry::faults::{Alarm, Faults};
use crate::registry::{Loader, Registry};
use crate::settings::{Settings, SettingsError};
use crate::store::{NewGateway, Secrets, Store, StoreError, StoreOptions};
use crate::{api, console, health, ingress};

/// How often it is looked whether another process has changed the catalogue of providers.
const CATALOGUE_INTERVAL: Duration = Duration::from_secs(1);
/// How often expired values of providers are removed, and the prices of ended calls asked for.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);
/// How long a change may take before its entry in the audit log says that nobody knows how it ended, in milliseconds. No
/// request takes that long.
const AUDIT_PATIENCE_MS: i64 = 15 * 60 * 1000;
/// Instances beside those of the calls' media.
const CONTROL_INSTANCES: u32 = 64;

/// Why the gateway did not start. Each says what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The port is taken, or not ours.
    #[error("cannot listen on {address}: {cause}. Stop what listens there, or choose another address with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
    /// The port for metrics is taken, or not ours.
    #[error("cannot answer scrapes: {0}. Stop what listens there, or set metrics_listen to another address")]
    Metrics(std::io::Error),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The providers cannot be read or kept.
    #[error(transparent)]
    Providers(#[from] StockError),
    /// The sandbox does not start.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// The operator's permissions for outgoing requests make no sense.
    #[error(transparent)]
    Egress(#[from] EgressConfigError),
    /// TLS towards agents cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The machine has no thread left.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Gateway {
    exchange: Exchange,
    address: SocketAddr,
    serving: JoinHandle<()>,
    housekeeping: JoinHandle<()>,
    versions: JoinHandle<()>,
    scrapes: Option<JoinHandle<()>>,
    events: EventSockets,
    outbox: Outbox,
    books: Bookkeeper,
    /// Held as long as anything of the gateway runs.
    place: Option<Place>,
    stop: CancellationToken,
    grace: Duration,
    /// Files of the shelf that take no calls, and why.
    pub skipped: Vec<ShelfError>,
}

impl Gateway {
    /// Starts everything. When something fails, what was started is taken down again.
    ///
    /// # Errors
    /// The first thing that does not work.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        // The port first: of all that can fail, it is what somebody else may have.
        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(|cause| StartError::Listen {
                address: settings.listen,
                cause,
            })?;
        let address = listener.local_addr().map_err(|cause| StartError::Listen {
            address: settings.listen,
            cause,
        })?;
        let scraped = metrics::listen(settings.metrics_listen)
            .await
            .map_err(StartError::Metrics)?;
        settings.prepare_data_dir()?;
        let store = Store::open(&settings.database_url, settings.clone(), &StoreOptions::default()).await?;
        if let Secrets::Unavailable { reason } = store.secrets() {
            tracing::error!(
                "calls cannot be taken and secrets not changed until the encryption key is there: {reason}"
            );
        }
        let place = Place::take(&settings.data_dir)?;
        let engine = engine(&settings)?;
        let clock = Clock::system();
        let catalogue = Catalogue::new(store.clone(), &settings.data_dir, clock.clone());
        let (mut loaded, mut skipped) = (Vec::new(), Vec::new());
        for folder in &settings.providers {
            let stock = catalogue.stock(&engine, folder).await?;
            loaded.extend(stock.loaded);
            skipped.extend(stock.passed_over);
        }
        let registry = Registry::default();
        let metrics = Metrics::default();
        let threads = Threads::start(&settings.invocations_dir(), settings.record_invocations, &metrics)
            .map_err(StartError::Thread)?;
        let watchers = threads.watchers.clone();
        let installer = Installer::new(engine.clone(), InstallOptions::of(&settings));
        let loader = Loader::new(engine, catalogue, registry.clone(), watchers, loaded);
        loader.refresh().await?;
        let (faults, alarms) = Faults::new();
        let providers = ExchangeProviders {
            registry,
            loader,
            faults,
            budgets: Budgets::new(settings.budgets),
            installer,
        };
        let egress = Egress::new(EgressConfig {
            allow_networks: settings.allow_networks.clone(),
            routes: settings.egress_routes.clone(),
            ..EgressConfig::default()
        })?;
        let policy = AddressPolicy::new(settings.allow_networks.clone());
        let tls = agent::tls_config(&[]).map_err(|error| StartError::Tls(error.to_string()))?;
        let dialler = CheckedDial::new(move |address| policy.check(address), Arc::new(SystemResolver), tls);
        let options = ExchangeOptions {
            public_base: settings.public_url(address).as_str().to_owned(),
            recordings: settings.recordings_dir(),
            recording: settings.recording,
            calls_max: settings.calls_max as usize,
            allow_networks: settings.allow_networks.clone(),
            agent_limits: AgentLimits {
                media_folder: Some(settings.data_dir.join("media")),
                ..AgentLimits::default()
            },
            metrics: metrics.clone(),
        };
        let gateway = GatewayId::generate()?;
        let (slots, given_back) = Slots::new(gateway.clone(), settings.call_limits.clone());
        let exchange = Exchange::new(
            options,
            store.clone(),
            providers,
            dialler,
            egress.clone(),
            threads,
            slots,
            clock.clone(),
        );
        let announced = NewGateway {
            id: gateway,
            place: place.as_ref().map(|place| place.id.clone()),
            lease: settings.call_lease,
        };
        let books = Bookkeeper::start(store, announced, given_back, clock).await?;
        let stop = CancellationToken::new();
        let app = Router::new()
            .merge(ingress::router(exchange.clone(), settings.webhook_body_bytes_max))
            .merge(api::router(Arc::new(exchange.clone())))
            .merge(health::router(exchange.clone()))
            .merge(console::router())
            .layer(from_fn_with_state(metrics, metrics::count_requests));
        let stopped = stop.clone();
        // Frames of 20 ms must not wait for one another's acknowledgement.
        let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
        let serving = tokio::spawn(async move {
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            let served = axum::serve(listener, app)
                .with_graceful_shutdown(stopped.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the listener failed");
            }
        });
        let housekeeping = tokio::spawn(keep_house(exchange.clone(), stop.clone()));
        let versions = tokio::spawn(keep_versions(exchange.clone(), alarms, stop.clone()));
        let scrapes = scraped.map(|listener| metrics::serve(listener, exchange.clone(), stop.clone()));
        let outbox = Outbox::start(
            exchange.store().clone(),
            exchange.clock().clone(),
            &settings.allow_networks,
        )?;
        // Last: from now on calls may come in.
        let events = EventSockets::start(exchange.clone(), egress, settings.event_lease);
        Ok(Self {
            exchange,
            address,
            serving,
            housekeeping,
            versions,
            scrapes,
            events,
            outbox,
            books,
            place,
            stop,
            grace: settings.shutdown_grace,
            skipped,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The exchange inside.
    #[must_use]
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Stops: no new calls, live ones may finish for the grace period, then the rest is ended. Returns how many had to be.
    pub async fn stop(self) -> usize {
        let ended = self.exchange.drain(self.grace).await;
        // Not before: they tell how the last calls end.
        self.events.stop().await;
        self.exchange.live().close();
        self.stop.cancel();
        // Idle keep-alive connections would otherwise hold the end up.
        if tokio::time::timeout(Duration::from_secs(5), self.serving)
            .await
            .is_err()
        {
            tracing::debug!("connections were left open");
        }
        drop(self.housekeeping.await);
        drop(self.versions.await);
        if let Some(scrapes) = self.scrapes {
            drop(scrapes.await);
        }
        self.outbox.stop().await;
        self.books.stop().await;
        self.exchange.store().close().await;
        drop(self.place);
        ended
    }
}

/// The engine of an installation, with its cache of compiled components.
pub(crate) fn engine(settings: &Settings) -> Result<Engine, HostFault> {
    // The key of the cache comes from the installation's own secret, so that only this installation's files count. Without
    // it everything is compiled anew, and nothing is kept.
    let key = settings.keyring().ok();
    let key = key.map(|keyring| Sha256::digest(keyring.derived("compiled-components").as_bytes()).into());
    Engine::new(EngineOptions {
        instances_max: settings.calls_max.saturating_add(CONTROL_INSTANCES),
        cache: key.map(|key| CompiledCache::new(settings.cache_dir(), key)),
        compiler: settings.program.clone().map(IsolatedCompiler::new),
        ..EngineOptions::default()
    })
}

/// Follows the catalogue of providers, and sets aside what keeps failing.
async fn keep_versions(exchange: Exchange, mut alarms: mpsc::Receiver<Alarm>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(CATALOGUE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(alarm) = alarms.recv() => exchange.quarantine(&alarm).await,
            _ = ticks.tick() => {
                exchange.refresh_providers().await;
                if let Err(error) = exchange.store().refresh_keys().await {
                    tracing::debug!(%error, "the encryption key could not be asked for again");
                }
            }
        }
    }
}

async fn keep_house(exchange: Exchange, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    let mut previous = exchange.clock().unix_ms();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = exchange.clock().unix_ms();
        if let Err(error) = exchange.store().purge_expired_state(now).await {
            tracing::warn!(%error, "expired values of providers could not be removed");
        }
        if let Err(error) = exchange.keep_admission(now).await {
            tracing::warn!(%error, "what calls have used of their organizations' limits could not be brought up to date");
        }
        if let Err(error) = exchange.store().purge_sessions(now).await {
            tracing::warn!(%error, "sessions of the console that are over could not be removed");
        }
        if let Err(error) = exchange.store().settle_audit(now - AUDIT_PATIENCE_MS, now).await {
            tracing::warn!(%error, "changes that never ended could not be written to the audit log");
        }
        if let Err(error) = exchange.store().purge_idempotent_requests(now).await {
            tracing::warn!(%error, "expired idempotency keys could not be removed");
        }
        // A carrier that hangs must not hold up the end of the process.
        let rated = tokio::select! {
            () = stop.cancelled() => return,
            rated = exchange.rate_calls(previous, now) => rated,
        };
        if let Err(error) = rated {
            tracing::warn!(%error, "the prices of calls could not be asked for");
        }
        previous = now;
    }
}
