//! Event sockets: for carriers that tell what happens over a socket that the gateway opens and keeps.
//!
//! Every active configuration of a provider with the ability gets a [`keeper`]: it takes the lease of its socket (so that of
//! several gateways on one database one listens), opens it, and opens it again when it breaks, as the [`policy`] says.
//! What is heard waits in an [`inbox`] and is handled in order; what it means for calls is decided in
//! [`crate::exchange`]. Nothing here knows a carrier.
//!
//! The most important type: [`EventSockets`].

mod connection;
mod inbox;
mod keeper;
mod lease;
mod policy;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use strowger_host::Ability;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::keeper::{Keeper, Tools, Watched};
use self::lease::LeaseTimes;
use crate::egress::Egress;
use crate::exchange::Exchange;
use crate::store::{ConfigurationId, StoreError};

/// How often the configurations are looked through although nobody of this process has changed one: another gateway may
/// have.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// Keeps the event sockets of all configurations.
#[derive(Debug)]
pub struct EventSockets {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl EventSockets {
    /// Starts. `lease` is how long others wait before they take a socket over from a gateway that has vanished.
    #[must_use]
    pub fn start(exchange: Exchange, egress: Egress, lease: Duration) -> Self {
        let stop = CancellationToken::new();
        let tools = Tools {
            exchange,
            egress,
            times: LeaseTimes { ttl: lease },
        };
        Self {
            task: tokio::spawn(keep(tools, stop.clone())),
            stop,
        }
    }

    /// Closes all sockets and gives their leases back; seconds at most.
    pub async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("the task that keeps the event sockets failed");
        }
    }
}

async fn keep(tools: Tools, stop: CancellationToken) {
    let mut keepers = BTreeMap::new();
    let mut leaving = JoinSet::new();
    let mut refresh = interval(REFRESH_INTERVAL);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = refresh.tick() => {}
            () = tools.exchange.configurations_changed().notified() => {}
            Some(_) = leaving.join_next() => continue,
        }
        match configurations(&tools.exchange).await {
            Ok(configurations) => {
                for keeper in arrange(&mut keepers, configurations, &tools) {
                    leaving.spawn(keeper.stop());
                }
            }
            // What is open stays open.
            Err(error) => tracing::error!(%error, "the configurations with event sockets cannot be read"),
        }
    }
    join_all(keepers.into_values().map(Keeper::stop)).await;
    leaving.join_all().await;
}

/// Those that are to have an event socket, each with the digest of the version that reads it.
async fn configurations(exchange: &Exchange) -> Result<Vec<Watched>, StoreError> {
    let mut all = Vec::new();
    for provider in exchange.registry().providers() {
        if !provider.can(Ability::Events) {
            continue;
        }
        for configuration in exchange.store().active_configurations(provider.name()).await? {
            // Another organisation's provider of a name that was this one's does not exist for it.
            let own = exchange.provider_of(&configuration.organization, provider.name());
            all.extend(own.map(|provider| Watched {
                version: provider.digest().to_owned(),
                configuration,
            }));
        }
    }
    Ok(all)
}

/// One keeper for each, and none for others, which are returned.
fn arrange(
    keepers: &mut BTreeMap<ConfigurationId, Keeper>,
    configurations: Vec<Watched>,
    tools: &Tools,
) -> Vec<Keeper> {
    let mut before = std::mem::take(keepers);
    for watched in configurations {
        let id = watched.configuration.id.clone();
        let keeper = match before.remove(&id) {
            Some(keeper) if !keeper.is_finished() => {
                keeper.update(&watched);
                keeper
            }
            _ => Keeper::start(tools.clone(), watched),
        };
        keepers.insert(id, keeper);
    }
    for id in before.keys() {
        tools.exchange.set_event_socket_state(id, None);
    }
    before.into_values().collect()
}
