//! From the catalogue to the registry: loads what takes calls, and replaces everything at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use strowger_host::{Engine, InvokeError, LoadError, Provider};
use tokio::sync::Mutex;

use super::{Registry, Versions};
use crate::catalogue::{Catalogue, CatalogueError};
use crate::invocations::Watchers;
use crate::store::{ProviderChannel, ProviderVersion, StoreError};

/// Loads components. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Loader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    catalogue: Catalogue,
    registry: Registry,
    watchers: Watchers,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the catalogue, when it was last looked at.
    revision: Option<i64>,
    /// By digest.
    loaded: BTreeMap<String, Provider>,
}

impl Loader {
    /// Loads from this catalogue into this registry. `loaded` need not be loaded again.
    #[must_use]
    pub fn new(
        engine: Engine,
        catalogue: Catalogue,
        registry: Registry,
        watchers: Watchers,
        loaded: Vec<Provider>,
    ) -> Self {
        let loaded = loaded
            .into_iter()
            .map(|provider| (provider.digest().to_owned(), provider))
            .collect();
        Self {
            inner: Arc::new(Inner {
                engine,
                catalogue,
                registry,
                watchers,
                state: Mutex::new(State { revision: None, loaded }),
            }),
        }
    }

    /// The catalogue.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.inner.catalogue
    }

    /// Looks whether the catalogue has changed, and follows it. `true` when it had; the registry is then as the catalogue says.
    ///
    /// # Errors
    /// The database fails. Everything stays as it was.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        let mut state = self.inner.state.lock().await;
        let store = self.inner.catalogue.store();
        // First: what changes while the rest is read is seen the next time.
        let revision = store.provider_revision().await?;
        if state.revision == Some(revision) {
            return Ok(false);
        }
        let channels = store.provider_channels().await?;
        let mut rows = BTreeMap::new();
        for version in store.provider_versions().await? {
            rows.insert(version.digest.clone(), version);
        }
        let mut loaded = BTreeMap::new();
        let mut again = false;
        for digest in channels.iter().flat_map(ProviderChannel::digests) {
            if let Some(provider) = state.loaded.get(digest) {
                loaded.insert(digest.to_owned(), provider.clone());
                continue;
            }
            match self.load(digest).await {
                Ok(provider) => drop(loaded.insert(digest.to_owned(), provider)),
                Err(NotLoaded { is_passing }) => again |= is_passing,
            }
        }
        let providers = channels
            .into_iter()
            .filter_map(|channel| {
                let versions = assemble(&channel, &loaded, &rows, &self.inner.watchers);
                let versions = versions.or_else(|| self.before(&channel))?;
                Some((channel.name, versions))
            })
            .collect();
        self.inner.registry.replace(providers);
        *state = State {
            revision: (!again).then_some(revision),
            loaded,
        };
        Ok(true)
    }

    /// What takes calls until now: they need not fail because the version that is to take them cannot be loaded.
    fn before(&self, channel: &ProviderChannel) -> Option<Versions> {
        channel.live.as_ref()?;
        let before = self
            .inner
            .registry
            .read(|providers| providers.get(&channel.name).cloned());
        before.filter(|before| before.owner == channel.owner)
    }

    /// What cannot be loaded is told. It is tried again when the catalogue changes, or soon where that may help.
    async fn load(&self, digest: &str) -> Result<Provider, NotLoaded> {
        let mut is_passing = false;
        let loaded = async {
            let bytes = self.inner.catalogue.component(digest).await?;
            let engine = self.inner.engine.clone();
            // Compiling takes seconds for a large component: away from the threads that serve sockets.
            let load = move || Provider::load(&engine, &bytes);
            let loaded = tokio::task::spawn_blocking(load).await;
            Ok::<_, CatalogueError>(loaded.map_err(|error| error.to_string()))
        };
        let problem = match loaded.await {
            Ok(Ok(Ok(provider))) => return Ok(provider),
            Ok(Ok(Err(error))) => {
                // All instances are taken, which calls give back.
                is_passing = matches!(error, LoadError::Failed(InvokeError::Host(_)));
                error.to_string()
            }
            Ok(Err(error)) => error,
            Err(error) => error.to_string(),
        };
        tracing::error!(
            digest,
            problem,
            "an installed version of a provider cannot be loaded; it takes no calls"
        );
        Err(NotLoaded { is_passing })
    }
}

/// A version could not be loaded, which was told.
struct NotLoaded {
    /// Trying again may help.
    is_passing: bool,
}

/// The versions of one provider; none without the live one.
fn assemble(
    channel: &ProviderChannel,
    loaded: &BTreeMap<String, Provider>,
    rows: &BTreeMap<String, ProviderVersion>,
    watchers: &Watchers,
) -> Option<Versions> {
    let version = |digest: &String| {
        // Nothing is granted that nobody has confirmed.
        let granted = rows
            .get(digest)
            .and_then(|row| row.granted_hosts.clone())
            .unwrap_or_default();
        Some(loaded.get(digest)?.with_granted_hosts(granted))
    };
    let canary = channel
        .canary
        .as_ref()
        .and_then(|canary| Some((version(&canary.digest)?, canary.permille)));
    let shadow = channel.shadow.as_ref().and_then(version);
    let watched = |provider: Provider, shadow| watchers.version(&provider, shadow);
    Some(Versions {
        owner: channel.owner.clone(),
        live: watched(version(channel.live.as_ref()?)?, shadow.as_ref()),
        canary: canary.map(|(canary, permille)| (watched(canary, None), permille)),
        previous: channel
            .previous
            .as_ref()
            .and_then(version)
            .map(|previous| watched(previous, None)),
        shadow,
    })
}
