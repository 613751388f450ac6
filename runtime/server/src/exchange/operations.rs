//! What the REST API asks of the exchange.

use std::path::PathBuf;

use strowger_call::timeline::Timeline;
use strowger_call::{Address, TransferFailure, TransferId};
use strowger_host::operation::{
    AppliedTrunk, DetailGroup, Facts, Moment, Occasion, Ownership, Provisioning, PublicUrls, Saving, SetField,
    SetupStep, Synchronisation, Trunk,
};
use strowger_host::{Credentials, InvokeError, Operation, Provider};

use super::{EventSocketState, Exchange};
use crate::admission::{Refusal, Slots};
use crate::agent::TransferRequest;
use crate::api::{CallRequest, OperationError, Operations, ProviderView};
use crate::catalogue::Catalogue;
use crate::egress::IpNetwork;
use crate::install::Installer;
use crate::live::LiveCalls;
use crate::perform::PerformError;
use crate::store::{
    CallRecord, Configuration, ConfigurationFacts, ConfigurationId, OrganizationId, Scope, Store, StoreError, UnixMs,
};
use crate::waveform::Waveform;

impl From<PerformError> for OperationError {
    fn from(error: PerformError) -> Self {
        let code = error.code();
        match error {
            PerformError::Failed(failure) => Self::Failed(failure),
            PerformError::Invoke(InvokeError::Configuration(problems)) => Self::Fields(problems),
            PerformError::Invoke(InvokeError::Guest(fault)) => {
                tracing::error!(%fault, "a provider failed");
                Self::ProviderFault { code }
            }
            PerformError::Invoke(InvokeError::Budget(refusal)) => Self::OverBudget(refusal),
            PerformError::Invoke(InvokeError::Host(fault)) => Self::Internal(fault.to_string()),
            PerformError::Store(error) => Self::Store(error),
            PerformError::KeepsTooMuch(refusal) => Self::KeepsTooMuch(refusal),
            PerformError::Abandoned => Self::Internal("the operation was abandoned".to_owned()),
        }
    }
}

impl From<ConfigurationFacts> for Facts {
    fn from(facts: ConfigurationFacts) -> Self {
        Self {
            active_numbers: facts.active_numbers,
            inbound_numbers: facts.inbound_numbers,
            enabled_trunks: facts.enabled_trunks,
            numbers_without_trunk: facts.numbers_without_trunk,
        }
    }
}

/// 12 hexadecimal digits that no other saving has.
fn unique() -> Result<String, OperationError> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).map_err(StoreError::from)?;
    Ok(hex::encode(bytes))
}

/// The credentials of a stored configuration, checked against the spec of today.
pub(super) fn credentials(provider: &Provider, configuration: &Configuration) -> Result<Credentials, OperationError> {
    Credentials::check(provider.spec(), configuration.credentials.expose()).map_err(OperationError::Fields)
}

fn view(provider: &Provider) -> ProviderView {
    ProviderView {
        spec: provider.spec().clone(),
        abilities: provider.abilities().to_vec(),
        trunk_fields: provider.trunk_fields().to_vec(),
        digest: provider.digest().to_owned(),
    }
}

impl Exchange {
    pub(super) fn moment(&self) -> Moment {
        Moment::at(self.inner.clock.unix_ms_unsigned())
    }

    fn public_urls(&self, provider: &Provider) -> PublicUrls {
        PublicUrls {
            dispatcher: self.inbound_url_of(provider.name()),
            routes: self.callback_base(provider),
            media: self.media_base(),
        }
    }

    /// The trunk that a call of this configuration takes when it shows `caller_id`, a normalised address: by name, for
    /// `outbound.trunk` and `transfer-leg.trunk`. There are none without the ability `trunks`.
    ///
    /// # Errors
    /// When the store fails. Then no trunk may be guessed.
    pub(crate) async fn trunk_for(
        &self,
        configuration: &ConfigurationId,
        caller_id: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        self.inner.store.trunk_for(configuration, caller_id).await
    }

    /// Asks a configuration's provider something that needs no carrier.
    async fn consult<T: Send + 'static>(
        &self,
        configuration: &Configuration,
        question: impl FnOnce(&Provider, &Credentials, &Moment) -> Result<T, InvokeError> + Send + 'static,
    ) -> Result<T, OperationError> {
        let provider = self
            .provider_of(&configuration.organization, &configuration.provider)
            .ok_or(OperationError::ProviderMissing)?;
        let credentials = credentials(&provider, configuration)?;
        let moment = self.moment();
        let invoke = move || -> Result<_, PerformError> { Ok(question(&provider, &credentials, &moment)?) };
        let organization = Some(&configuration.organization);
        Ok(self.inner.performer.invoke(organization, invoke).await?)
    }

    /// Runs an operation of a configuration's provider.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        configuration: &Configuration,
        begin: impl FnOnce(&Provider, &Credentials) -> Result<Operation<T>, InvokeError> + Send,
    ) -> Result<T, OperationError> {
        let provider = self
            .provider_of(&configuration.organization, &configuration.provider)
            .ok_or(OperationError::ProviderMissing)?;
        let credentials = credentials(&provider, configuration)?;
        let operation = begin(&provider, &credentials).map_err(PerformError::Invoke)?;
        let scope = Scope::of(configuration);
        Ok(self.inner.performer.run(operation, &scope).await?)
    }
}

impl Operations for Exchange {
    fn store(&self) -> &Store {
        Self::store(self)
    }

    fn now(&self) -> UnixMs {
        self.inner.clock.unix_ms()
    }

    fn public_base(&self) -> &str {
        Self::public_base(self)
    }

    fn catalogue(&self) -> &Catalogue {
        Self::catalogue(self)
    }

    fn installer(&self) -> &Installer {
        Self::installer(self)
    }

    async fn refresh_providers(&self) {
        Self::refresh_providers(self).await;
    }

    fn providers(&self, organization: &OrganizationId) -> Vec<ProviderView> {
        self.inner.registry.visible_to(organization).iter().map(view).collect()
    }

    fn provider(&self, organization: &OrganizationId, name: &str) -> Option<ProviderView> {
        self.provider_of(organization, name).as_ref().map(view)
    }

    async fn check_credentials(
        &self,
        organization: &OrganizationId,
        provider: &str,
        credentials: &Credentials,
    ) -> Result<(), OperationError> {
        let guest = self
            .provider_of(organization, provider)
            .ok_or(OperationError::ProviderMissing)?;
        let (credentials, moment) = (credentials.clone(), self.moment());
        let check = move || -> Result<(), PerformError> { Ok(guest.check_credentials(&credentials, &moment)?) };
        Ok(self.inner.performer.invoke(Some(organization), check).await?)
    }

    async fn prepare_credentials(
        &self,
        organization: &OrganizationId,
        provider: &str,
        configuration: &ConfigurationId,
        credentials: &Credentials,
        occasion: Occasion,
    ) -> Result<Vec<SetField>, OperationError> {
        let provider = self
            .provider_of(organization, provider)
            .ok_or(OperationError::ProviderMissing)?;
        let saving = Saving {
            occasion,
            urls: self.public_urls(&provider),
            unique: unique()?,
        };
        let operation = provider
            .prepare_credentials(credentials, saving, self.moment())
            .map_err(PerformError::Invoke)?;
        let scope = Scope {
            organization: organization.clone(),
            configuration: configuration.clone(),
            provider: provider.name().to_owned(),
        };
        match self.inner.performer.run(operation, &scope).await {
            // It asked to keep something for a configuration that is not there yet.
            Err(PerformError::Store(StoreError::NotFound { .. })) if occasion == Occasion::Create => {
                tracing::error!(
                    provider = provider.name(),
                    "a provider keeps state while a configuration is created"
                );
                Err(OperationError::ProviderFault {
                    code: "provider-state-too-early".to_owned(),
                })
            }
            set => Ok(set?),
        }
    }

    async fn checklist(
        &self,
        configuration: &Configuration,
        facts: ConfigurationFacts,
    ) -> Result<Vec<SetupStep>, OperationError> {
        self.consult(configuration, move |provider, credentials, moment| {
            provider.checklist(credentials, facts.into(), moment)
        })
        .await
    }

    async fn connectivity_details(&self, configuration: &Configuration) -> Result<Vec<DetailGroup>, OperationError> {
        let exchange = self.clone();
        self.consult(configuration, move |provider, credentials, moment| {
            provider.connectivity_details(credentials, &exchange.public_urls(provider), moment)
        })
        .await
    }

    fn configurations_changed(&self) {
        Self::configurations_changed(self).notify_one();
    }

    async fn apply_trunk(&self, configuration: &Configuration, trunk: Trunk) -> Result<AppliedTrunk, OperationError> {
        let moment = self.moment();
        self.ask(configuration, |provider, credentials| {
            provider.apply_trunk(credentials, trunk, moment)
        })
        .await
    }

    async fn remove_trunk(&self, configuration: &Configuration, trunk: Trunk) -> Result<(), OperationError> {
        let moment = self.moment();
        self.ask(configuration, |provider, credentials| {
            provider.remove_trunk(credentials, trunk, moment)
        })
        .await
    }

    /// Registers the number first, where the carrier offers that.
    async fn validate_number(
        &self,
        configuration: &Configuration,
        address: &Address,
    ) -> Result<Ownership, OperationError> {
        let number = address.expose().to_owned();
        let moment = self.moment();
        match self
            .ask(configuration, |provider, credentials| {
                provider.provision_number(credentials, number, moment)
            })
            .await?
        {
            Provisioning::Provisioned | Provisioning::Present => return Ok(Ownership::Owned),
            Provisioning::NotOffered => {}
        }
        let number = address.expose().to_owned();
        let moment = self.moment();
        self.ask(configuration, |provider, credentials| {
            provider.validate_number(credentials, number, moment)
        })
        .await
    }

    async fn configure_inbound(
        &self,
        configuration: &Configuration,
        address: &Address,
        attach: bool,
    ) -> Result<Synchronisation, OperationError> {
        let url = self.inbound_url_of(&configuration.provider);
        let number = address.expose().to_owned();
        let moment = self.moment();
        self.ask(configuration, |provider, credentials| {
            provider.configure_inbound(credentials, number, url, attach, moment)
        })
        .await
    }

    async fn place_call(&self, request: CallRequest) -> Result<CallRecord, OperationError> {
        let exchange = self.clone();
        let placed = Self::unbroken(async move { exchange.place(request).await }).await;
        placed.unwrap_or_else(|| Err(OperationError::Internal("placing the call failed".to_owned())))
    }

    /// A call that no session of this process carries is ended at the carrier; its callback closes the record.
    async fn hang_up(&self, call: &CallRecord) -> Result<(), OperationError> {
        if Self::hang_up(self, &call.id).await {
            return Ok(());
        }
        let Some(configuration) = &call.configuration else {
            return Err(OperationError::ProviderMissing);
        };
        let configuration = self
            .inner
            .store
            .find_configuration(&call.organization, configuration)
            .await?;
        let moment = self.moment();
        let begin = |provider: &Provider, credentials: &Credentials| {
            provider.hang_up(credentials, self.guest_call(provider, call), moment)
        };
        self.ask(&configuration, begin).await.map(drop)
    }

    fn slots(&self) -> &Slots {
        &self.inner.slots
    }

    async fn permit_destination(
        &self,
        organization: &OrganizationId,
        destination: &Address,
    ) -> Result<(), OperationError> {
        let limits = self.limits_of(organization).await?;
        let permitted = limits.destinations.permit(destination);
        permitted.map_err(|prefix| self.refused(organization, Refusal::denied(prefix)).into())
    }

    async fn transfer(&self, call: &CallRecord, request: TransferRequest) -> Result<TransferId, TransferFailure> {
        Self::transfer(self, &call.id, request).await
    }

    async fn cancel_transfer(&self, call: &CallRecord) -> bool {
        Self::cancel_transfer(self, &call.id).await
    }

    fn event_socket(&self, configuration: &ConfigurationId) -> Option<EventSocketState> {
        self.event_socket_state(configuration)
    }

    fn live(&self) -> &LiveCalls {
        Self::live(self)
    }

    fn allow_networks(&self) -> &[IpNetwork] {
        &self.inner.options.allow_networks
    }

    fn recording_file(&self, call: &CallRecord) -> Option<PathBuf> {
        call.recording_path
            .as_ref()
            .map(|name| self.inner.options.recordings.join(name))
    }

    async fn waveform(&self, call: &CallRecord, points: usize) -> Result<Option<Waveform>, OperationError> {
        let Some(recording) = self.recording_file(call) else {
            return Ok(None);
        };
        let folder = &self.inner.options.recordings;
        let timeline = folder.join(format!("{}.timeline.json", call.id.as_str()));
        let read = self.inner.waveforms.of(recording, timeline, points).await;
        read.map_err(|error| OperationError::Internal(format!("a recording cannot be read: {error}")))
    }

    async fn timeline_svg(&self, call: &CallRecord) -> Option<String> {
        let path = self
            .inner
            .options
            .recordings
            .join(format!("{}.timeline.json", call.id.as_str()));
        let text = tokio::fs::read(path).await.ok()?;
        let timeline: Timeline = serde_json::from_slice(&text).ok()?;
        Some(timeline.to_svg())
    }
}
