//! A loaded provider: its component, its frozen spec, and the door to its exports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use wasmtime::component::{Component, Instance, InstancePre};
use wasmtime::{Store, Trap};

use crate::bindings::exports::strowger::provider::{
    answer, calling, descriptor, detection, events, media, numbers, setup, transfer, trunks, webhook,
};
use crate::credentials::{Credentials, FieldProblem};
use crate::engine::{Compiled, Engine, Slot, digest, one_line};
use crate::error::{GuestFault, HostFault, InvokeError, LoadError};
use crate::http::Response;
use crate::inert;
use crate::limits::{Class, Limits, State, TICK};
use crate::meter::{LiveInstance, Meter};
use crate::operation::Moment;
use crate::recording::{self, Circumstances, Observer, arguments};
use crate::sealed::Vault;
use crate::spec::{self, Field, ProviderSpec, RoutePurpose, SpecError};
use crate::structure::Structure;
use crate::tally::{Account, Frame, Tally};

/// The package and version of the contract that this host speaks.
pub(crate) const PACKAGE: &str = "strowger:provider/";
pub(crate) const VERSION: &str = "@0.1.0";

/// An optional interface of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// Places calls, hangs up, fetches status and cost.
    Calling,
    /// Tells humans from answering machines.
    Detection,
    /// Validates, provisions and configures phone numbers.
    Numbers,
    /// Connects a caller with somebody else.
    Transfer,
    /// Prepares configurations, and tells what is left to do.
    Setup,
    /// Keeps SIP trunks at the carrier.
    Trunks,
    /// Tells what happens over a socket that the gateway opens.
    Events,
}

impl Ability {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Calling,
        Self::Detection,
        Self::Numbers,
        Self::Transfer,
        Self::Setup,
        Self::Trunks,
        Self::Events,
    ];

    /// The interface's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Calling => "calling",
            Self::Detection => "detection",
            Self::Numbers => "numbers",
            Self::Transfer => "transfer",
            Self::Setup => "setup",
            Self::Trunks => "trunks",
            Self::Events => "events",
        }
    }
}

/// Why a call is refused, as the contract lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectionReason {
    /// No active number of ours.
    UnknownNumber,
    /// The number has no agent.
    NoAgent,
    /// The account in the webhook is not the configured one.
    AccountMismatch,
    /// The webhook was not proved.
    Signature,
    /// The number belongs to another provider.
    ProviderMismatch,
    /// All lines are taken.
    AtCapacity,
    /// The usage limit is reached.
    Quota,
    /// Something of ours is broken or shutting down.
    Unavailable,
}

impl RejectionReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::UnknownNumber,
        Self::NoAgent,
        Self::AccountMismatch,
        Self::Signature,
        Self::ProviderMismatch,
        Self::AtCapacity,
        Self::Quota,
        Self::Unavailable,
    ];

    /// As the contract spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownNumber => "unknown-number",
            Self::NoAgent => "no-agent",
            Self::AccountMismatch => "account-mismatch",
            Self::Signature => "signature",
            Self::ProviderMismatch => "provider-mismatch",
            Self::AtCapacity => "at-capacity",
            Self::Quota => "quota",
            Self::Unavailable => "unavailable",
        }
    }

    pub(crate) fn to_wit(self) -> answer::RejectionReason {
        match self {
            Self::UnknownNumber => answer::RejectionReason::UnknownNumber,
            Self::NoAgent => answer::RejectionReason::NoAgent,
            Self::AccountMismatch => answer::RejectionReason::AccountMismatch,
            Self::Signature => answer::RejectionReason::Signature,
            Self::ProviderMismatch => answer::RejectionReason::ProviderMismatch,
            Self::AtCapacity => answer::RejectionReason::AtCapacity,
            Self::Quota => answer::RejectionReason::Quota,
            Self::Unavailable => answer::RejectionReason::Unavailable,
        }
    }
}

/// A provider, loaded and frozen. Cloning is cheap; the component stays loaded as long as a clone lives.
///
/// A clone may be bound to a tenant's budgets ([`Self::metered`]), to whoever watches ([`Self::observed`]) and to the hosts
/// that were granted ([`Self::with_granted_hosts`]); whatever is invoked through it obeys.
#[derive(Clone)]
pub struct Provider {
    inner: Arc<Inner>,
    meter: Option<Arc<Meter>>,
    observers: Vec<Arc<dyn Observer>>,
    granted: Option<Arc<[String]>>,
    tally: Option<Arc<dyn Tally>>,
}

struct Inner {
    engine: Engine,
    component: Component,
    pre: InstancePre<State>,
    exports: Exports,
    spec: ProviderSpec,
    digest: String,
    size_bytes: usize,
    structure: Structure,
    abilities: Vec<Ability>,
    trunk_fields: Vec<Field>,
    rejections: BTreeMap<RejectionReason, Response>,
}

/// Where the functions of each interface are, looked up once.
pub(crate) struct Exports {
    pub(crate) descriptor: descriptor::GuestIndices,
    pub(crate) webhook: webhook::GuestIndices,
    pub(crate) answer: answer::GuestIndices,
    pub(crate) media: media::GuestIndices,
    pub(crate) calling: Option<calling::GuestIndices>,
    pub(crate) detection: Option<detection::GuestIndices>,
    pub(crate) numbers: Option<numbers::GuestIndices>,
    pub(crate) transfer: Option<transfer::GuestIndices>,
    pub(crate) setup: Option<setup::GuestIndices>,
    pub(crate) trunks: Option<trunks::GuestIndices>,
    pub(crate) events: Option<events::GuestIndices>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.inner.spec.name)
            .field("digest", &self.inner.digest)
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// Loads a component: checks its imports, reads its spec once, validates and freezes it, and renders its rejections.
    ///
    /// # Errors
    /// Whatever makes the file unfit, each with what to do about it. Nothing stays behind.
    pub fn load(engine: &Engine, bytes: &[u8]) -> Result<Self, LoadError> {
        let digest = digest(bytes);
        let Compiled { component, structure } = engine.compile(bytes, &digest)?;
        let present: Vec<Ability> = Ability::ALL
            .into_iter()
            .filter(|ability| structure.exports_interface(ability.name()))
            .collect();
        let pre = engine
            .linker(structure.class)
            .instantiate_pre(&component)
            .map_err(|error| LoadError::Incompatible {
                interface: "imports".to_owned(),
                detail: one_line(&error),
            })?;
        let exports = Exports::find(&pre, &present)?;
        let mut provider = Self {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                component,
                pre,
                exports,
                spec: ProviderSpec::placeholder(),
                digest,
                size_bytes: bytes.len(),
                structure,
                abilities: present,
                trunk_fields: Vec::new(),
                rejections: BTreeMap::new(),
            }),
            meter: None,
            observers: Vec::new(),
            granted: None,
            tally: None,
        };
        provider.check_types()?;
        let spec = provider.read_spec()?;
        if spec.routes.iter().any(|route| route.purpose == RoutePurpose::Transfer) && !provider.can(Ability::Transfer) {
            return Err(SpecError {
                place: "routes".to_owned(),
                problem: "has a route of purpose `transfer`, but the component does not export `transfer`".to_owned(),
            }
            .into());
        }
        let trunk_fields = provider.read_trunk_fields()?;
        let rejections = provider.render_rejections()?;
        let inner = Arc::get_mut(&mut provider.inner).expect("nobody else has a clone yet");
        inner.spec = spec;
        inner.trunk_fields = trunk_fields;
        inner.rejections = rejections;
        Ok(provider)
    }

    /// The frozen spec.
    #[must_use]
    pub fn spec(&self) -> &ProviderSpec {
        &self.inner.spec
    }

    /// The name in URLs and stored rows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.spec.name
    }

    /// SHA-256 of the component file, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// Size of the component file.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.inner.size_bytes
    }

    /// What the component imports, all of it on the inert list.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.inner.structure.imports
    }

    /// What the component is made of.
    #[must_use]
    pub fn structure(&self) -> &Structure {
        &self.inner.structure
    }

    /// What it needs of the sandbox, and which limits its invocations have.
    #[must_use]
    pub fn class(&self) -> Class {
        self.inner.structure.class
    }

    /// The optional interfaces that it exports.
    #[must_use]
    pub fn abilities(&self) -> &[Ability] {
        &self.inner.abilities
    }

    /// Whether it has an ability.
    #[must_use]
    pub fn can(&self, ability: Ability) -> bool {
        self.inner.abilities.contains(&ability)
    }

    /// The settings of a trunk; none for a provider without trunks.
    #[must_use]
    pub fn trunk_fields(&self) -> &[Field] {
        &self.inner.trunk_fields
    }

    /// The refusal that was rendered when the component was loaded. It needs no guest.
    #[must_use]
    pub fn rejection(&self, reason: RejectionReason) -> &Response {
        &self.inner.rejections[&reason]
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.inner.exports
    }

    pub(crate) fn component(&self) -> &Component {
        &self.inner.component
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// This provider on behalf of a tenant: its invocations, their time and their effects come out of these budgets.
    #[must_use]
    pub fn metered(&self, meter: Arc<Meter>) -> Self {
        Self {
            meter: Some(meter),
            ..self.clone()
        }
    }

    /// This provider at nobody's cost.
    #[must_use]
    pub fn unmetered(&self) -> Self {
        Self {
            meter: None,
            ..self.clone()
        }
    }

    /// This provider under somebody's eyes, beside those that watch already.
    #[must_use]
    pub fn observed(&self, observer: Arc<dyn Observer>) -> Self {
        let mut observed = self.clone();
        observed.observers.push(observer);
        observed
    }

    /// This provider with those of its declared hosts that were granted, spelled as its spec does; the others are refused like
    /// hosts that it did not declare.
    #[must_use]
    pub fn with_granted_hosts(&self, hosts: Vec<String>) -> Self {
        Self {
            granted: Some(hosts.into()),
            ..self.clone()
        }
    }

    /// This provider with somebody who keeps accounts of what its invocations cost, in the place of whoever did.
    #[must_use]
    pub fn tallied(&self, tally: Arc<dyn Tally>) -> Self {
        Self {
            tally: Some(tally),
            ..self.clone()
        }
    }

    /// The budgets that it is bound to.
    #[must_use]
    pub fn meter(&self) -> Option<&Arc<Meter>> {
        self.meter.as_ref()
    }

    pub(crate) fn observers(&self) -> &[Arc<dyn Observer>] {
        &self.observers
    }

    /// The hosts that a configuration grants.
    #[must_use]
    pub fn granted_hosts(&self, credentials: &Credentials) -> Vec<String> {
        let granted = |host: &str| {
            self.granted
                .as_ref()
                .is_none_or(|granted| granted.iter().any(|granted| granted == host))
        };
        self.inner
            .spec
            .egress_hosts
            .iter()
            .filter(|host| granted(host.as_str()))
            .filter_map(|host| host.resolve(|field| credentials.plain_text(field).map(str::to_owned)))
            .collect()
    }

    /// A fresh instance.
    pub(crate) fn instantiate(&self, limits: Limits, moment: &Moment) -> Result<Invocation, InvokeError> {
        let live = match &self.meter {
            Some(meter) => {
                meter.take_invocation()?;
                Some(meter.enter()?)
            }
            None => None,
        };
        let account = self
            .tally
            .as_ref()
            .map(|tally| Account::open(tally.clone(), moment.now_ms));
        let class = self.class();
        let slot = self.inner.engine.slot(class)?;
        let mut store = self.inner.engine.store(class, limits, moment.now_ms, moment.seed());
        store.data_mut().meter = self.meter.clone();
        store.set_epoch_deadline(1);
        match self.inner.pre.instantiate(&mut store) {
            Ok(instance) => Ok(Invocation {
                provider: self.clone(),
                store,
                instance,
                circumstances: Circumstances::of(moment, None),
                account,
                _live: live,
                _slot: slot,
            }),
            Err(error) => Err(classify("instantiation", store.data(), &error)),
        }
    }

    /// Looks every function up once with its types: the engine compares them only against an instance, and a misfit in an
    /// ability must not wait for the first call that uses it.
    fn check_types(&self) -> Result<(), LoadError> {
        let mut invocation = self.instantiate(Limits::load(self.class()), &Moment::fixed())?;
        let (store, instance, exports) = (&mut invocation.store, &invocation.instance, self.exports());
        let fits = |interface: &str, result: wasmtime::Result<()>| {
            result.map_err(|error| LoadError::Incompatible {
                interface: interface.to_owned(),
                detail: one_line(&error),
            })
        };
        fits("descriptor", exports.descriptor.load(&mut *store, instance).map(drop))?;
        fits("webhook", exports.webhook.load(&mut *store, instance).map(drop))?;
        fits("answer", exports.answer.load(&mut *store, instance).map(drop))?;
        fits("media", exports.media.load(&mut *store, instance).map(drop))?;
        if let Some(calling) = &exports.calling {
            fits("calling", calling.load(&mut *store, instance).map(drop))?;
        }
        if let Some(detection) = &exports.detection {
            fits("detection", detection.load(&mut *store, instance).map(drop))?;
        }
        if let Some(numbers) = &exports.numbers {
            fits("numbers", numbers.load(&mut *store, instance).map(drop))?;
        }
        if let Some(transfer) = &exports.transfer {
            fits("transfer", transfer.load(&mut *store, instance).map(drop))?;
        }
        if let Some(setup) = &exports.setup {
            fits("setup", setup.load(&mut *store, instance).map(drop))?;
        }
        if let Some(trunks) = &exports.trunks {
            fits("trunks", trunks.load(&mut *store, instance).map(drop))?;
        }
        if let Some(events) = &exports.events {
            fits("events", events.load(&mut *store, instance).map(drop))?;
        }
        Ok(())
    }

    fn read_spec(&self) -> Result<ProviderSpec, LoadError> {
        let mut invocation = self.instantiate(Limits::load(self.class()), &Moment::fixed())?;
        let raw = invocation.run("descriptor.spec", |provider, store, instance| {
            provider
                .exports()
                .descriptor
                .load(&mut *store, instance)?
                .call_spec(&mut *store)
        })?;
        Ok(ProviderSpec::try_from(raw)?)
    }

    fn read_trunk_fields(&self) -> Result<Vec<Field>, LoadError> {
        if !self.can(Ability::Trunks) {
            return Ok(Vec::new());
        }
        let mut invocation = self.instantiate(Limits::load(self.class()), &Moment::fixed())?;
        let raw = invocation.run("trunks.trunk-fields", |provider, store, instance| {
            match &provider.exports().trunks {
                Some(trunks) => trunks.load(&mut *store, instance)?.call_trunk_fields(&mut *store),
                None => Ok(Vec::new()),
            }
        })?;
        Ok(spec::trunk_fields(raw)?)
    }

    fn render_rejections(&self) -> Result<BTreeMap<RejectionReason, Response>, LoadError> {
        let mut rejections = BTreeMap::new();
        for reason in RejectionReason::ALL {
            let mut invocation = self.instantiate(Limits::load(self.class()), &Moment::fixed())?;
            let raw = invocation.run("answer.rejection-markup", |provider, store, instance| {
                provider
                    .exports()
                    .answer
                    .load(&mut *store, instance)?
                    .call_rejection_markup(&mut *store, reason.to_wit())
            })?;
            let response = Response::try_from(raw).map_err(|what| LoadError::Rejection {
                reason: format!("{reason:?}"),
                what,
            })?;
            rejections.insert(reason, response);
        }
        Ok(rejections)
    }

    /// Runs the provider's own check of a configuration.
    ///
    /// # Errors
    /// [`InvokeError::Configuration`] with the problems that the provider found; anything else is a fault.
    pub fn check_credentials(&self, credentials: &Credentials, moment: &Moment) -> Result<(), InvokeError> {
        let (vault, sealed) = seal(credentials, moment);
        self.instantiate(Limits::control(self.class()), moment)?
            .config(&vault, &sealed)
            .map(drop)
    }
}

/// Seals the secrets of a configuration for one operation: the vault, and the credentials as the guest may see them.
pub(crate) fn seal(credentials: &Credentials, moment: &Moment) -> (Vault, String) {
    let mut vault = Vault::new(moment.nonce());
    let mut values = credentials.plain_values().clone();
    for (field, secret) in credentials.secrets() {
        values.insert(field.clone(), serde_json::Value::String(vault.seal(secret.clone())));
    }
    (vault, serde_json::Value::Object(values).to_string())
}

/// One fresh instance and its store.
pub(crate) struct Invocation {
    provider: Provider,
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
    circumstances: Circumstances,
    account: Option<Account>,
    _live: Option<LiveInstance>,
    // After the store: the next instance may only be made when this one is gone.
    _slot: Slot,
}

impl std::fmt::Debug for Invocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocation")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

impl Invocation {
    /// The instance of a media leg, told apart by this number.
    pub(crate) fn of_leg(mut self, leg: u64) -> Self {
        self.circumstances.leg = Some(leg);
        self
    }

    /// [`Self::run`] under the eyes of the observers.
    pub(crate) fn call<R: Serialize>(
        &mut self,
        export: &'static str,
        input: impl Fn() -> serde_json::Map<String, serde_json::Value>,
        call: impl FnOnce(&Provider, &mut Store<State>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, InvokeError> {
        let result = self.run(export, call);
        recording::tell(self.provider.observers(), export, self.circumstances, input, &result);
        result
    }

    pub(crate) fn circumstances(&self) -> Circumstances {
        self.circumstances
    }

    /// Which round of an operation this is.
    pub(crate) fn round(&mut self, round: usize) {
        if let Some(account) = &mut self.account {
            account.round = u32::try_from(round).unwrap_or(u32::MAX);
        }
    }

    /// How it ended, for the account, unless that is plain from the guest's calls.
    pub(crate) fn ended(&mut self, outcome: &'static str) {
        if let Some(account) = &mut self.account {
            account.ended(outcome);
        }
    }

    /// What the guest gave was not what it may give.
    pub(crate) fn failed(&mut self, error: &InvokeError) {
        if let Some(account) = &mut self.account {
            account.failed(error);
        }
    }

    /// The instance lives on as a leg: what making it has cost is told now, and its frames one by one from here on.
    pub(crate) fn settle(&mut self) {
        let memory_bytes = self.store.data().memory_bytes;
        if let Some(account) = &mut self.account {
            account.settle(memory_bytes);
        }
    }

    /// [`Self::run`] for a leg's message.
    pub(crate) fn frame<R>(
        &mut self,
        export: &'static str,
        call: impl FnOnce(&Provider, &mut Store<State>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, InvokeError> {
        let began = self.account.is_some().then(Instant::now);
        let ticks = self.store.data().ticks;
        let result = self.guarded(export, call);
        if let (Some(began), Some(account)) = (began, &self.account) {
            let ticks = self.store.data().ticks.saturating_sub(ticks);
            account.tally().frame(Frame {
                export,
                wall: began.elapsed(),
                cpu: TICK * u32::try_from(ticks).unwrap_or(u32::MAX),
                faulted: result.is_err(),
            });
        }
        result
    }

    /// Calls into the guest under a new budget, and says whose fault a failure is.
    pub(crate) fn run<R>(
        &mut self,
        export: &'static str,
        call: impl FnOnce(&Provider, &mut Store<State>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, InvokeError> {
        let result = self.guarded(export, call);
        if let Some(account) = &mut self.account {
            account.called(export, &result);
        }
        result
    }

    fn guarded<R>(
        &mut self,
        export: &'static str,
        call: impl FnOnce(&Provider, &mut Store<State>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, InvokeError> {
        if let Some(meter) = &self.provider.meter {
            meter.check_cpu()?;
        }
        self.store.data_mut().restart();
        let fuel = self.store.data().limits.output_bytes_max;
        self.store.set_hostcall_fuel(fuel);
        self.store.set_epoch_deadline(1);
        let result = call(&self.provider, &mut self.store, &self.instance);
        if let Some(text) = self.store.data_mut().inert.take_output() {
            // Its words are a stranger's, and may quote what it was given: the log says only that there are some.
            tracing::debug!(
                provider = self.provider.name(),
                export,
                bytes = text.len(),
                "the guest printed something"
            );
        }
        result.map_err(|error| classify(export, self.store.data(), &error))
    }

    /// Lets the provider shape its configuration.
    pub(crate) fn config(&mut self, vault: &Vault, sealed: &String) -> Result<String, InvokeError> {
        let input = arguments! { "credentials" => sealed };
        let shaped = self.call("descriptor.config-loader", input, |provider, store, instance| {
            provider
                .exports()
                .descriptor
                .load(&mut *store, instance)?
                .call_config_loader(&mut *store, sealed)
        })?;
        match shaped {
            Ok(config) if serde_json::from_str::<serde_json::Value>(&config).is_ok() => Ok(config),
            Ok(_) => Err(GuestFault::MalformedOutput {
                export: "descriptor.config-loader",
                what: "the configuration is not JSON".to_owned(),
            }
            .into()),
            Err(problems) => {
                let clip =
                    |text: &str, max: usize| text.chars().filter(|c| !c.is_control()).take(max).collect::<String>();
                Err(InvokeError::Configuration(
                    problems
                        .iter()
                        .take(64)
                        .map(|problem| FieldProblem {
                            field: clip(&problem.field, 64),
                            problem: vault.reseal_text(clip(&problem.problem, 500)),
                        })
                        .collect(),
                ))
            }
        }
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Tells a guest's fault from ours. What a deep recursion looks like depends on where its stack ran out, so it may be either
/// of two faults.
fn classify(export: &'static str, state: &State, error: &wasmtime::Error) -> InvokeError {
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return HostFault::AtCapacity(one_line(error)).into();
    }
    if state.past_deadline {
        return GuestFault::Deadline {
            export,
            budget_ms: state.limits.cpu_ms_max,
        }
        .into();
    }
    let text = one_line(error);
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => GuestFault::Deadline {
            export,
            budget_ms: state.limits.cpu_ms_max,
        }
        .into(),
        Some(Trap::StackOverflow) => GuestFault::Stack { export }.into(),
        Some(_) => match state.refused_bytes {
            Some(wanted_bytes) => GuestFault::Memory {
                export,
                wanted_bytes,
                limit_bytes: state.limits.memory_bytes_max,
            }
            .into(),
            None => GuestFault::Trap { export, detail: text }.into(),
        },
        None if text.contains("fuel allocated for hostcalls") => GuestFault::TooMuchOutput {
            export,
            what: format!("more than {} bytes", state.limits.output_bytes_max),
        }
        .into(),
        None if export == "instantiation" => match state.refused_bytes {
            Some(wanted_bytes) => GuestFault::Memory {
                export,
                wanted_bytes,
                limit_bytes: state.limits.memory_bytes_max,
            }
            .into(),
            None => GuestFault::Trap { export, detail: text }.into(),
        },
        None if error.is::<inert::Stopped>() => GuestFault::Trap { export, detail: text }.into(),
        None => GuestFault::MalformedOutput { export, what: text }.into(),
    }
}

impl Exports {
    fn find(pre: &InstancePre<State>, present: &[Ability]) -> Result<Self, LoadError> {
        let misfit = |interface: &str| {
            let interface = interface.to_owned();
            move |error: wasmtime::Error| LoadError::Incompatible {
                interface,
                detail: one_line(&error),
            }
        };
        macro_rules! optional {
            ($ability:ident, $module:ident) => {
                present
                    .contains(&Ability::$ability)
                    .then(|| $module::GuestIndices::new(pre))
                    .transpose()
                    .map_err(misfit(Ability::$ability.name()))?
            };
        }
        Ok(Self {
            descriptor: descriptor::GuestIndices::new(pre).map_err(misfit("descriptor"))?,
            webhook: webhook::GuestIndices::new(pre).map_err(misfit("webhook"))?,
            answer: answer::GuestIndices::new(pre).map_err(misfit("answer"))?,
            media: media::GuestIndices::new(pre).map_err(misfit("media"))?,
            calling: optional!(Calling, calling),
            detection: optional!(Detection, detection),
            numbers: optional!(Numbers, numbers),
            transfer: optional!(Transfer, transfer),
            setup: optional!(Setup, setup),
            trunks: optional!(Trunks, trunks),
            events: optional!(Events, events),
        })
    }
}

#[cfg(test)]
mod tests;
