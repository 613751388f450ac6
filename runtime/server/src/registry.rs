//! The providers that are loaded, and which version of each a call gets.
//!
//! What is in here follows the catalogue: the [`Loader`] loads what the catalogue names and replaces all of it at once, so that
//! a call sees a provider as it was before a change or as it is after it. A call keeps the [`Provider`] that it started with;
//! a version that nothing names any more goes when its last call does.

pub mod faults;
mod loader;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest as _, Sha256};
use strowger_host::Provider;

pub use self::loader::Loader;
use crate::store::{OrganizationId, Party};

/// The loaded versions of one provider.
#[derive(Debug, Clone)]
pub struct Versions {
    /// Whose it is.
    pub owner: Party,
    /// Takes new calls.
    pub live: Provider,
    /// Takes a share of them, in thousandths.
    pub canary: Option<(Provider, u16)>,
    /// What a roll back, or a quarantine, returns to.
    pub previous: Option<Provider>,
    /// Runs beside the live one without effect.
    pub shadow: Option<Provider>,
}

impl Versions {
    fn all(&self) -> impl Iterator<Item = &Provider> {
        let canary = self.canary.as_ref().map(|(canary, _)| canary);
        [Some(&self.live), canary, self.previous.as_ref(), self.shadow.as_ref()]
            .into_iter()
            .flatten()
    }

    /// The version that a new call gets. `key` is the call's: however often its webhook is repeated, it gets the same one.
    fn for_new_call(&self, key: &str) -> &Provider {
        match &self.canary {
            Some((canary, permille)) if draw(canary.digest(), key) < *permille => canary,
            _ => &self.live,
        }
    }
}

/// From 0 to 999, evenly, and another one for each version that is tried out.
fn draw(digest: &str, key: &str) -> u16 {
    let hash = Sha256::new_with_prefix(digest).chain_update(key).finalize();
    u16::try_from(u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) % 1000).unwrap_or(0)
}

/// The registry. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    providers: Arc<RwLock<BTreeMap<String, Versions>>>,
}

impl Registry {
    /// Replaces everything.
    pub(crate) fn replace(&self, providers: BTreeMap<String, Versions>) {
        *self.providers.write().unwrap_or_else(PoisonError::into_inner) = providers;
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Versions>) -> T) -> T {
        look(&self.providers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The live version of this provider, whosever it is.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Provider> {
        self.read(|providers| providers.get(name).map(|versions| versions.live.clone()))
    }

    /// The live versions of all providers, sorted by name.
    #[must_use]
    pub fn providers(&self) -> Vec<Provider> {
        self.read(|providers| providers.values().map(|versions| versions.live.clone()).collect())
    }

    /// The live versions of those that all organisations use, sorted by name: the order in which they are asked whether a
    /// webhook is theirs. An organisation's own are not asked, so that they cost nobody else's webhooks anything.
    #[must_use]
    pub fn shared(&self) -> Vec<Provider> {
        self.read(|providers| {
            providers
                .values()
                .filter(|versions| versions.owner == Party::Operator)
                .map(|versions| versions.live.clone())
                .collect()
        })
    }

    /// The live versions of those that exist for an organisation, sorted by name.
    #[must_use]
    pub fn visible_to(&self, organization: &OrganizationId) -> Vec<Provider> {
        let viewer = Party::Organization(organization.clone());
        self.read(|providers| {
            providers
                .values()
                .filter(|versions| viewer.sees(&versions.owner))
                .map(|versions| versions.live.clone())
                .collect()
        })
    }

    /// The versions of a provider, if it exists for this organisation.
    #[must_use]
    pub fn versions(&self, organization: &OrganizationId, name: &str) -> Option<Versions> {
        let viewer = Party::Organization(organization.clone());
        self.read(|providers| {
            providers
                .get(name)
                .filter(|versions| viewer.sees(&versions.owner))
                .cloned()
        })
    }

    /// The version that a new call of an organisation gets.
    #[must_use]
    pub fn for_new_call(&self, organization: &OrganizationId, name: &str, key: &str) -> Option<Provider> {
        let versions = self.versions(organization, name)?;
        Some(versions.for_new_call(key).clone())
    }

    /// The version that something about an existing call is read with, when no session has it: the call's own while that is
    /// loaded, and that of today after it.
    #[must_use]
    pub fn for_call(&self, organization: &OrganizationId, name: &str, digest: &str) -> Option<Provider> {
        let versions = self.versions(organization, name)?;
        let own = versions.all().find(|version| version.digest() == digest);
        Some(own.unwrap_or(&versions.live).clone())
    }

    /// All loaded versions of a provider, the live one first.
    #[must_use]
    pub fn loaded(&self, name: &str) -> Vec<Provider> {
        self.read(|providers| {
            let versions = providers.get(name);
            versions.map_or_else(Vec::new, |versions| versions.all().cloned().collect())
        })
    }

    /// Whose a provider is.
    #[must_use]
    pub fn owner(&self, name: &str) -> Option<Party> {
        self.read(|providers| providers.get(name).map(|versions| versions.owner.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_gets_its_share_and_a_call_always_the_same_version() {
        let drawn: Vec<u16> = (0..10_000)
            .map(|call| draw("a digest", &format!("call {call}")))
            .collect();
        let taken = drawn.iter().filter(|&&drawn| drawn < 50).count();
        assert!((400..600).contains(&taken), "{taken} of 10 000 at 5 %");
        assert!(drawn.iter().all(|&drawn| drawn < 1000));
        assert_eq!(draw("a digest", "call 7"), drawn[7]);
        // Who was drawn for one version is not always drawn first.
        assert_ne!(draw("another digest", "call 7"), drawn[7]);
    }
}
