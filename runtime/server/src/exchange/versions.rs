//! Which version of a provider does what, on whose behalf, and what becomes of one that keeps failing.

use strowger_host::{Credentials, InvokeError, OverBudget, Provider, RejectionReason};

use super::Exchange;
use crate::catalogue::Catalogue;
use crate::install::Installer;
use crate::perform::PerformError;
use crate::registry::faults::Alarm;
use crate::store::{CallRecord, OrganizationId, Party, Quarantine};

impl Exchange {
    /// The catalogue of providers. After a change see [`Self::refresh_providers`].
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        self.inner.loader.catalogue()
    }

    /// Examines components before they come into the catalogue.
    #[must_use]
    pub fn installer(&self) -> &Installer {
        &self.inner.installer
    }

    /// Follows the catalogue now: when this returns, new calls get what it says. Otherwise it is followed every second.
    pub async fn refresh_providers(&self) {
        match self.inner.loader.refresh().await {
            Ok(false) => {}
            // Whoever keeps a socket open for a provider has it read by the version of now.
            Ok(true) => {
                self.inner.configurations_changed.notify_one();
                self.tell_of_misfits().await;
            }
            Err(error) => tracing::error!(%error, "the catalogue of providers cannot be read"),
        }
    }

    /// A version may ask for fields that an older one did not: its calls are refused, and somebody should know before they are
    /// missed.
    async fn tell_of_misfits(&self) {
        for provider in self.inner.registry.providers() {
            let configurations = match self.inner.store.active_configurations(provider.name()).await {
                Ok(configurations) => configurations,
                Err(error) => return tracing::error!(%error, "the configurations of a provider cannot be read"),
            };
            for configuration in configurations {
                let Err(problems) = Credentials::check(provider.spec(), configuration.credentials.expose()) else {
                    continue;
                };
                tracing::error!(
                    provider = provider.name(),
                    digest = provider.digest(),
                    configuration = configuration.id.as_str(),
                    ?problems,
                    "a stored configuration does not fit the version that takes calls; save it again, or roll the provider back"
                );
            }
        }
    }

    /// Sets a version aside that failed too many calls.
    pub(crate) async fn quarantine(&self, alarm: &Alarm) {
        let Alarm {
            provider,
            digest,
            reason,
        } = alarm;
        match self.catalogue().quarantine(provider, digest, reason).await {
            Ok(Quarantine::AlreadyDone) => return,
            Ok(Quarantine::FellBack { to }) => {
                tracing::error!(
                    provider,
                    digest,
                    reason,
                    to,
                    "a version is in quarantine; new calls get the one before"
                );
            }
            Ok(Quarantine::CanaryWithdrawn) => {
                tracing::error!(
                    provider,
                    digest,
                    reason,
                    "a version that was tried out is in quarantine"
                );
            }
            Ok(Quarantine::SetAside) => {
                tracing::error!(
                    provider,
                    digest,
                    reason,
                    "a version is in quarantine; it took no new calls"
                );
            }
            Ok(Quarantine::NoOtherVersion) => {
                tracing::error!(
                    provider,
                    digest,
                    reason,
                    "a version keeps failing, and there is none to fall back to"
                );
            }
            Err(error) => {
                tracing::error!(provider, digest, reason, %error, "a version keeps failing and cannot be set aside");
                return;
            }
        }
        self.refresh_providers().await;
    }

    /// A version as it acts for an organisation, whose budgets it is bound to.
    fn acting_for(&self, organization: &OrganizationId, provider: &Provider) -> Provider {
        provider.metered(self.inner.budgets.meter(organization))
    }

    /// The live version of a provider, if it exists for this organisation.
    pub(crate) fn provider_of(&self, organization: &OrganizationId, name: &str) -> Option<Provider> {
        let versions = self.inner.registry.versions(organization, name)?;
        Some(self.acting_for(organization, &versions.live))
    }

    /// The version that a new call gets. `key` names the call, the same for every repetition of what announces it.
    pub(super) fn provider_for_new_call(
        &self,
        organization: &OrganizationId,
        name: &str,
        key: &str,
    ) -> Option<Provider> {
        let provider = self.inner.registry.for_new_call(organization, name, key)?;
        Some(self.acting_for(organization, &provider))
    }

    /// The version that belongs to a call: the one that its session keeps, else its own while that is loaded, else that of
    /// today.
    pub(super) fn provider_of_call(&self, call: &CallRecord) -> Option<Provider> {
        if let Some(session) = self.session(&call.id) {
            return Some(session.provider.clone());
        }
        let provider = self
            .inner
            .registry
            .for_call(&call.organization, &call.provider, &call.provider_version)?;
        Some(self.acting_for(&call.organization, &provider))
    }

    /// All versions of a provider that something may still be about: those that are loaded, the live one first, and those that
    /// only calls keep.
    pub(super) fn versions_in_use(&self, name: &str) -> Vec<Provider> {
        let mut versions = self.inner.registry.loaded(name);
        for session in self.sessions().values() {
            let kept = &session.provider;
            if kept.name() == name && versions.iter().all(|known| known.digest() != kept.digest()) {
                versions.push(kept.clone());
            }
        }
        versions
    }

    /// A version as it looks at a webhook that nothing has proved yet. Anybody can send one, and must not use up what an
    /// organisation may use; only its own provider is at its own cost.
    pub(super) fn before_proof(&self, provider: &Provider) -> Provider {
        match self.inner.registry.owner(provider.name()) {
            Some(Party::Operator) => provider.unmetered(),
            Some(Party::Organization(_)) | None => provider.clone(),
        }
    }

    /// A provider on its own inbound URL. An organisation's own pays for it.
    pub(super) fn provider_at_own_url(&self, name: &str) -> Option<Provider> {
        let provider = self.inner.registry.get(name)?;
        Some(match self.inner.registry.owner(name)? {
            Party::Operator => provider,
            Party::Organization(owner) => self.acting_for(&owner, &provider),
        })
    }

    /// The URL that a provider's carrier posts inbound calls to. An organisation's own provider has one to itself: it is
    /// never asked about what comes to the common one.
    #[must_use]
    pub fn inbound_url_of(&self, provider: &str) -> String {
        match self.inner.registry.owner(provider) {
            Some(Party::Organization(_)) => format!("{}/{provider}", self.inbound_url()),
            Some(Party::Operator) | None => self.inbound_url(),
        }
    }
}

/// What a caller is told when an organisation's budget is used up.
pub(super) fn rejection_of(refusal: &OverBudget) -> RejectionReason {
    match refusal.resource {
        strowger_host::meter::Resource::Instances => RejectionReason::AtCapacity,
        _ => RejectionReason::Quota,
    }
}

/// The same for whatever went wrong.
pub(super) fn rejection_for(error: &PerformError) -> RejectionReason {
    match error {
        PerformError::Invoke(InvokeError::Budget(refusal)) => rejection_of(refusal),
        PerformError::KeepsTooMuch(_) => RejectionReason::Quota,
        _ => RejectionReason::Unavailable,
    }
}
