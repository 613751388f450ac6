//! The catalogue of providers: which versions are installed, whose they are, which of them takes calls, and what each may
//! reach.
//!
//! The database is the truth, and the components lie beside it as files, named by digest. Several processes may change it at
//! once: the command line does while a gateway runs, which follows by the catalogue's revision. Nothing here compiles or
//! runs a component; [`crate::registry`] has those that are loaded.

mod components;
pub mod shelf;

use std::path::Path;

use serde_json::Value;
use strowger_host::Provider;
use thiserror::Error;

pub use self::components::{ComponentError, Components};
use crate::clock::Clock;
use crate::store::{
    Canary, Installed, NewProviderVersion, Party, ProviderChannel, ProviderVersion, Quarantine, Store, StoreError,
};

/// The fewest characters of a digest by which a version may be named.
const DIGEST_CHARS_MIN: usize = 8;
/// A canary's whole: it takes this many of 1000 new calls at most.
const PERMILLE_MAX: u16 = 1000;

/// Why the catalogue did not do something. Each says what to do.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// It belongs to the operator, and all organisations use it.
    #[error("the provider `{name}` is the operator's; only the operator can change it")]
    NotYours {
        /// The provider.
        name: String,
    },
    /// A digest that is none, or names more than one version.
    #[error(
        "`{given}` names no version: give the SHA-256 of the component in hexadecimal, or at least its first \
         {DIGEST_CHARS_MIN} characters where no other version begins with them"
    )]
    NoSuchDigest {
        /// What was given.
        given: String,
    },
    /// Hosts were confirmed that the version does not ask for.
    #[error("the version does not ask for {}; it declares {}", list(.hosts), list(.declared))]
    UndeclaredHosts {
        /// Which.
        hosts: Vec<String>,
        /// What it asks for.
        declared: Vec<String>,
    },
    /// The version asks for hosts that nobody has confirmed.
    #[error(
        "the version asks for hosts that nobody has confirmed for this provider: {}. Confirm each that it may reach; requests \
         to one that is left out are refused",
        list(.hosts)
    )]
    UnconfirmedHosts {
        /// Which.
        hosts: Vec<String>,
    },
    /// More than all calls.
    #[error("a canary takes a share of 0 to {PERMILLE_MAX} of 1000 new calls, and not {permille}")]
    Share {
        /// What was asked for.
        permille: u16,
    },
    /// The component's file cannot be read or written.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// No such version, a name that is taken, or a database that fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// For people: `a`, `b`.
fn list(hosts: &[String]) -> String {
    if hosts.is_empty() {
        return "no host".to_owned();
    }
    let hosts: Vec<String> = hosts.iter().map(|host| format!("`{host}`")).collect();
    hosts.join(", ")
}

/// A component that was examined, to be installed.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// Whose it will be.
    pub owner: Party,
    /// Loaded from `bytes`.
    pub provider: &'a Provider,
    /// The component.
    pub bytes: &'a [u8],
    /// Where it came from, for people.
    pub source: String,
    /// Who signed it, when a signature was checked.
    pub signer: Option<String>,
    /// What its examination found.
    pub report: Option<Value>,
}

/// A provider with its versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogued {
    /// What its versions do.
    pub channel: ProviderChannel,
    /// The newest first.
    pub versions: Vec<ProviderVersion>,
}

/// The catalogue. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Catalogue {
    store: Store,
    components: Components,
    clock: Clock,
}

impl Catalogue {
    /// The catalogue in this database, with the components in this data directory.
    #[must_use]
    pub fn new(store: Store, data_dir: &Path, clock: Clock) -> Self {
        Self {
            store,
            components: Components::new(data_dir.join("components")),
            clock,
        }
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Installs a version. It takes no calls until it is adopted. The same again changes nothing.
    ///
    /// # Errors
    /// A `Conflict` of the store when the name belongs to somebody else.
    pub async fn add(&self, new: NewVersion<'_>) -> Result<Installed, CatalogueError> {
        let spec = new.provider.spec();
        let version = NewProviderVersion {
            owner: new.owner,
            provider: spec.name.clone(),
            digest: new.provider.digest().to_owned(),
            version: spec.version.clone(),
            size_bytes: new.bytes.len() as u64,
            declared_hosts: spec.egress_hosts.iter().map(|host| host.as_str().to_owned()).collect(),
            source: new.source,
            signer: new.signer,
            report: new.report,
        };
        // The file first: a row without one could not be loaded.
        self.components.put(&version.digest, new.bytes.to_vec()).await?;
        let installed = self
            .store
            .install_provider_version(&version, self.clock.unix_ms())
            .await;
        if installed.is_err() && !self.is_installed(&version.digest).await {
            self.components.remove(&version.digest).await?;
        }
        let installed = installed?;
        if installed == Installed::Added {
            let (digest, source) = (&version.digest, &version.source);
            tracing::info!(
                provider = version.provider,
                digest,
                source,
                "a version of a provider was installed"
            );
        }
        Ok(installed)
    }

    async fn is_installed(&self, digest: &str) -> bool {
        // Whoever cannot tell leaves the file where it is.
        !matches!(self.store.provider_version_with_digest(digest).await, Ok(None))
    }

    /// The component of a version, proved to be what its digest says.
    ///
    /// # Errors
    /// When its file is gone or damaged.
    pub async fn component(&self, digest: &str) -> Result<Vec<u8>, ComponentError> {
        self.components.get(digest).await
    }

    /// Puts back the file of a version that is installed, should it have been lost.
    async fn heal(&self, digest: &str, bytes: Vec<u8>) -> Result<(), ComponentError> {
        if self.components.get(digest).await.is_ok() {
            return Ok(());
        }
        self.components.put(digest, bytes).await
    }

    /// The providers that exist for somebody, with all their versions, by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn list(&self, viewer: &Party) -> Result<Vec<Catalogued>, CatalogueError> {
        let mut versions = self.store.provider_versions().await?;
        let mut catalogued = Vec::new();
        for channel in self.store.provider_channels().await? {
            if viewer.sees(&channel.owner) {
                let own = |version: &mut ProviderVersion| version.provider == channel.name;
                let versions = versions.extract_if(.., own).collect();
                catalogued.push(Catalogued { channel, versions });
            }
        }
        Ok(catalogued)
    }

    /// The version that `given` names: a digest or the beginning of one, with or without `sha256:`.
    ///
    /// # Errors
    /// When there is none that exists for `viewer`, or more than one.
    pub async fn find(&self, viewer: &Party, name: &str, given: &str) -> Result<ProviderVersion, CatalogueError> {
        let no_such = || CatalogueError::NoSuchDigest {
            given: given.to_owned(),
        };
        let digest = given.strip_prefix("sha256:").unwrap_or(given).to_ascii_lowercase();
        let is_hex = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !(DIGEST_CHARS_MIN..=64).contains(&digest.len()) {
            return Err(no_such());
        }
        let catalogued = self.list(viewer).await?;
        let provider = catalogued.into_iter().find(|provider| provider.channel.name == name);
        let provider = provider.ok_or(StoreError::NotFound { what: "provider" })?;
        let named = |version: &ProviderVersion| version.digest.starts_with(&digest);
        let mut named = provider.versions.into_iter().filter(named);
        match (named.next(), named.next()) {
            (Some(version), None) => Ok(version),
            _ => Err(no_such()),
        }
    }

    /// Lets a version take new calls; calls in progress end on theirs. `hosts` are those that it may reach, confirmed one by
    /// one; without them it gets those that were confirmed before, which must be all that it declares.
    ///
    /// # Errors
    /// When there is no such version that `actor` may change, or its hosts are not settled.
    pub async fn adopt(
        &self,
        actor: &Party,
        name: &str,
        digest: &str,
        hosts: Option<&[String]>,
    ) -> Result<(), CatalogueError> {
        let version = self.find(actor, name, digest).await?;
        let granted = self.confirmed(name, &version, hosts).await?;
        let before = self
            .store
            .adopt_provider_version(actor, name, &version.digest, &granted)
            .await;
        let before = self.own(actor, name, before).await?;
        let (digest, version) = (&version.digest, &version.version);
        let previous = before.live.as_deref().unwrap_or("none");
        tracing::info!(
            provider = name,
            digest,
            version,
            previous,
            "a version of a provider takes new calls from now on"
        );
        Ok(())
    }

    /// Lets the version before take new calls again.
    ///
    /// # Errors
    /// When there is no such provider that `actor` may change, or nothing to return to.
    pub async fn roll_back(&self, actor: &Party, name: &str) -> Result<ProviderChannel, CatalogueError> {
        let now = self.store.roll_back_provider(actor, name).await;
        let now = self.own(actor, name, now).await?;
        tracing::info!(provider = name, digest = now.live, "a provider was rolled back");
        Ok(now)
    }

    /// Lets a version take a share of new calls, in thousandths; none does any more with a share of 0. `hosts` as for
    /// [`Self::adopt`].
    ///
    /// # Errors
    /// As for [`Self::adopt`], and when no other version is live.
    pub async fn set_canary(
        &self,
        actor: &Party,
        name: &str,
        digest: &str,
        permille: u16,
        hosts: Option<&[String]>,
    ) -> Result<(), CatalogueError> {
        if permille > PERMILLE_MAX {
            return Err(CatalogueError::Share { permille });
        }
        let version = self.find(actor, name, digest).await?;
        let set = if permille == 0 {
            self.store.set_provider_canary(actor, name, None).await
        } else {
            let granted = self.confirmed(name, &version, hosts).await?;
            let digest = version.digest.clone();
            let canary = Canary { digest, permille };
            self.store
                .set_provider_canary(actor, name, Some((&canary, &granted)))
                .await
        };
        self.own(actor, name, set).await?;
        tracing::info!(
            provider = name,
            digest = version.digest,
            permille,
            "a version of a provider takes a share of new calls"
        );
        Ok(())
    }

    /// Lets a version run beside the live one without effect; none does any more with `None`.
    ///
    /// # Errors
    /// When there is no such version that `actor` may change.
    pub async fn set_shadow(&self, actor: &Party, name: &str, digest: Option<&str>) -> Result<(), CatalogueError> {
        let version = match digest {
            Some(digest) => Some(self.find(actor, name, digest).await?.digest),
            None => None,
        };
        let set = self.store.set_provider_shadow(actor, name, version.as_deref()).await;
        self.own(actor, name, set).await.map(drop)
    }

    /// Removes a version; the last one takes the provider's name with it.
    ///
    /// # Errors
    /// When there is no such version that `actor` may change, or it is needed.
    pub async fn remove(&self, actor: &Party, name: &str, digest: &str) -> Result<(), CatalogueError> {
        let digest = self.find(actor, name, digest).await?.digest;
        let removed = self.store.remove_provider_version(actor, name, &digest).await;
        self.own(actor, name, removed).await?;
        self.components.remove(&digest).await?;
        tracing::info!(provider = name, digest, "a version of a provider was removed");
        Ok(())
    }

    /// Sets a version aside that keeps failing.
    ///
    /// # Errors
    /// The database fails.
    pub async fn quarantine(&self, name: &str, digest: &str, reason: &str) -> Result<Quarantine, CatalogueError> {
        let now = self.clock.unix_ms();
        Ok(self
            .store
            .quarantine_provider_version(name, digest, reason, now)
            .await?)
    }

    /// The hosts that a version may reach when it takes calls.
    async fn confirmed(
        &self,
        name: &str,
        version: &ProviderVersion,
        hosts: Option<&[String]>,
    ) -> Result<Vec<String>, CatalogueError> {
        let declared = &version.declared_hosts;
        let Some(hosts) = hosts else {
            return self.confirmed_before(name, version).await;
        };
        let undeclared: Vec<String> = hosts.iter().filter(|host| !declared.contains(host)).cloned().collect();
        if !undeclared.is_empty() {
            let declared = declared.clone();
            return Err(CatalogueError::UndeclaredHosts {
                hosts: undeclared,
                declared,
            });
        }
        Ok(declared.iter().filter(|host| hosts.contains(host)).cloned().collect())
    }

    /// What was confirmed for the version itself, or for the one that is live: who trusts the provider with a host need not
    /// say so again for every version.
    async fn confirmed_before(&self, name: &str, version: &ProviderVersion) -> Result<Vec<String>, CatalogueError> {
        if let Some(granted) = &version.granted_hosts {
            return Ok(granted.clone());
        }
        let live = match self
            .store
            .provider_channel(name)
            .await?
            .and_then(|channel| channel.live)
        {
            Some(live) => self.store.provider_version(name, &live).await?,
            None => None,
        };
        let known = live.and_then(|live| live.granted_hosts).unwrap_or_default();
        let new: Vec<String> = version
            .declared_hosts
            .iter()
            .filter(|host| !known.contains(host))
            .cloned()
            .collect();
        if new.is_empty() {
            Ok(version.declared_hosts.clone())
        } else {
            Err(CatalogueError::UnconfirmedHosts { hosts: new })
        }
    }

    /// Tells what cannot be changed from what does not exist: the operator's providers exist for everybody.
    async fn own<T>(&self, actor: &Party, name: &str, done: Result<T, StoreError>) -> Result<T, CatalogueError> {
        match done {
            Err(StoreError::NotFound { what: "provider" }) => {
                let channel = self.store.provider_channel(name).await?;
                match channel.filter(|channel| actor.sees(&channel.owner)) {
                    Some(_) => Err(CatalogueError::NotYours { name: name.to_owned() }),
                    None => Err(StoreError::NotFound { what: "provider" }.into()),
                }
            }
            done => Ok(done?),
        }
    }
}
