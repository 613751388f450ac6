//! A call comes in: recognise, find the configuration, verify, admit, answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use strowger_audio::SampleRate;
use strowger_call::{Address, Call, CallId, CallStatus, Country, Direction, Event, Limits, ProviderCallId, Setup};
use strowger_host::operation::{self, CallReference, InboundCall, Recognition};
use strowger_host::{Ability, Credentials, Provider, RejectionReason, Response, Secret, Webhook};
use tokio::time::{Instant, timeout};
use url::Url;

use super::callback::Told;
use super::context::{CallFacts, is_forgotten};
use super::versions::rejection_for;
use super::{CallContext, Exchange, MEDIA_TOKEN_TTL_MS, Refused};
use crate::admission::{CallLimits, Refusal};
use crate::agent::AgentSpec;
use crate::invocations::costs::CallCosts;
use crate::perform::PerformError;
use crate::session::{self, SessionHandle, SessionMessage};
use crate::store::{
    AccountId, Admitted, Agent, AgentId, AgentSettings, CallRecord, MediaToken, NewCall, OrganizationId, Route, Scope,
    StoreError, Terms, UnixMs, new_call_id,
};

/// How long a repeated webhook waits for the answer to the first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

impl Exchange {
    /// The common dispatcher: the webhook of any provider that all organisations use.
    ///
    /// # Errors
    /// When no provider has an answer to it.
    pub async fn inbound(&self, webhook: Webhook) -> Result<Response, Refused> {
        self.dispatched(webhook, self.inner.registry.shared()).await
    }

    /// The URL of one provider alone.
    ///
    /// # Errors
    /// When there is none of this name, or it has no answer.
    pub async fn inbound_to(&self, provider: &str, webhook: Webhook) -> Result<Response, Refused> {
        let provider = self.provider_at_own_url(provider).ok_or(Refused::NotRecognised)?;
        self.dispatched(webhook, vec![provider]).await
    }

    async fn dispatched(&self, webhook: Webhook, providers: Vec<Provider>) -> Result<Response, Refused> {
        let exchange = self.clone();
        Self::unbroken(async move { exchange.dispatch(webhook, providers).await })
            .await
            .unwrap_or(Err(Refused::Unavailable))
    }

    /// Gives the webhook to the first provider whose claim leads somewhere. One that claims what is not its own thereby
    /// takes nobody's calls away; if no claim leads anywhere the first provider refuses.
    async fn dispatch(&self, webhook: Webhook, providers: Vec<Provider>) -> Result<Response, Refused> {
        let began = Instant::now();
        let (mut refused, mut lost) = (None, None);
        for (provider, recognition) in self.recognise(&webhook, providers).await? {
            let claim = match recognition {
                Recognition::InboundCall(call) => self.find_route(&provider, call).await,
                Recognition::Event(reference) => self.find_call(&provider, &reference).await,
            };
            match claim {
                Claim::Call(call) => {
                    return self.tell_call(*call, "inbound", Told::Event, webhook, began).await;
                }
                Claim::Route(claimed) => return self.inbound_call(&provider, *claimed, webhook, began).await,
                Claim::Lost(call) if refused.is_none() => drop(lost.get_or_insert((provider, *call))),
                Claim::Lost(_) => {}
                Claim::Nothing(response) if lost.is_none() => drop(refused.get_or_insert(response)),
                Claim::Nothing(_) => {}
                Claim::Unavailable => return Err(Refused::Unavailable),
            }
        }
        if let Some((provider, call)) = lost {
            return self.misdirected(&provider, call, webhook).await;
        }
        refused.ok_or(Refused::NotRecognised)
    }

    /// Where a carrier turns when the dispatcher fails: refuses politely.
    ///
    /// # Errors
    /// When no provider recognises its carrier.
    pub async fn fallback(&self, webhook: Webhook) -> Result<Response, Refused> {
        let claims = self.recognise(&webhook, self.inner.registry.shared()).await?;
        let (provider, _) = claims.first().ok_or(Refused::NotRecognised)?;
        Ok(provider.rejection(RejectionReason::Unavailable).clone())
    }

    /// Asks these providers, and returns the claims in their order. One that fails makes none.
    pub(super) async fn recognise(
        &self,
        webhook: &Webhook,
        providers: Vec<Provider>,
    ) -> Result<Vec<(Provider, Recognition)>, Refused> {
        // Nobody knows yet whose the webhook is, save where one organisation's provider is asked alone.
        let owner = match providers.as_slice() {
            [alone] => self.inner.registry.owner(alone.name()),
            _ => None,
        };
        let owner = owner.and_then(|owner| owner.organization().cloned());
        let webhook = webhook.clone();
        let moment = self.moment();
        let ask = move || -> Result<_, PerformError> {
            let mut claims = Vec::new();
            for provider in providers {
                match provider.recognise(&webhook, &moment) {
                    Ok(Some(recognition)) => claims.push((provider, recognition)),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(provider = provider.name(), %error, "a provider failed to look at a webhook")
                    }
                }
            }
            Ok(claims)
        };
        self.inner
            .performer
            .invoke(owner.as_ref(), ask)
            .await
            .map_err(|_| Refused::Unavailable)
    }

    /// The call that an event is about.
    pub(super) async fn find_call(&self, provider: &Provider, reference: &CallReference) -> Claim {
        // Most likely a call that was refused and therefore has no record: the carrier reports its end all the same.
        // Nothing acts on it, and an error would only have it repeated.
        let nothing = Claim::Nothing(Response {
            status: 204,
            headers: Vec::new(),
            body: Vec::new(),
        });
        let Ok(id) = ProviderCallId::new(reference.provider_call_id.clone()) else {
            return nothing;
        };
        let account = reference.account_id.as_ref().map(AccountId::new);
        match self
            .inner
            .store
            .call_of_account(provider.name(), account.as_ref(), &id)
            .await
        {
            Ok(Some(call)) => Claim::Call(Box::new(call)),
            Ok(None) => nothing,
            Err(error) => {
                tracing::error!(%error, "cannot look a call up");
                Claim::Unavailable
            }
        }
    }

    /// Whose number is called.
    async fn find_route(&self, provider: &Provider, claims: InboundCall) -> Claim {
        let nothing = |reason: RejectionReason| {
            tracing::info!(provider = provider.name(), ?reason, "an inbound call leads nowhere");
            Claim::Nothing(provider.rejection(reason).clone())
        };
        let country = |code: &Option<String>| code.as_deref().and_then(|code| Country::parse(code).ok());
        let Ok(callee) = Address::parse(&claims.callee, country(&claims.callee_country)) else {
            return nothing(RejectionReason::UnknownNumber);
        };
        let caller = Address::parse(&claims.caller, country(&claims.caller_country)).ok();
        let Ok(provider_call_id) = ProviderCallId::new(claims.provider_call_id) else {
            return nothing(RejectionReason::Unavailable);
        };
        let account = claims.account_id.map(AccountId::new);
        match self
            .inner
            .store
            .find_route(provider.name(), account.as_ref(), &callee)
            .await
        {
            Ok(Some(route)) => Claim::Route(Box::new(Claimed {
                route,
                provider_call_id,
                caller,
                callee,
            })),
            Ok(None) => {
                tracing::info!(provider = provider.name(), "an inbound call is for no number of ours");
                Claim::Lost(Box::new(Lost {
                    account,
                    provider_call_id,
                    caller,
                    callee,
                }))
            }
            Err(error) => {
                tracing::error!(%error, "cannot look a number up");
                Claim::Unavailable
            }
        }
    }

    /// Somebody calls a number of ours, or claims to. From here on it is the version that the call gets; what it was recognised
    /// by, which strangers can try, is the live one.
    async fn inbound_call(
        &self,
        recognised_by: &Provider,
        claimed: Claimed,
        webhook: Webhook,
        began: Instant,
    ) -> Result<Response, Refused> {
        let configuration = &claimed.route.configuration;
        let key = claimed.provider_call_id.expose();
        let organization = &claimed.route.organization;
        let Some(provider) = self.provider_for_new_call(organization, recognised_by.name(), key) else {
            return Ok(recognised_by.rejection(RejectionReason::UnknownNumber).clone());
        };
        let refuse = |reason: RejectionReason| {
            tracing::info!(provider = provider.name(), ?reason, "an inbound call is refused");
            self.metrics().call_refused(provider.name(), reason.name());
            Ok(provider.rejection(reason).clone())
        };
        let credentials = match Credentials::check(provider.spec(), configuration.credentials.expose()) {
            Ok(credentials) => credentials,
            Err(problems) => {
                tracing::error!(
                    ?problems,
                    "a stored configuration does not fit its provider any more; save it again"
                );
                return refuse(RejectionReason::Unavailable);
            }
        };
        let scope = Scope::of(configuration);
        let costs = CallCosts::open(&provider);
        match self
            .verify(&costs.charge(&provider), &credentials, &scope, &webhook)
            .await
        {
            Ok(()) => {}
            Err(Refused::NotGenuine) => return refuse(RejectionReason::Signature),
            Err(Refused::OverBudget(reason)) => return refuse(reason),
            Err(_) => return Err(Refused::Unavailable),
        }
        let arrival = Arrival {
            provider,
            costs,
            credentials,
            scope,
            claimed,
        };
        match self.admit(&arrival).await {
            Admission::Call(session) => {
                let call = session
                    .context
                    .guest_call(session.context.provider_call_id.as_ref(), None);
                self.answer(*session, call, Some(webhook), began).await
            }
            Admission::Known(call) => self.answer_again(&arrival.provider, &call).await,
            Admission::Refused(reason, _) => self.reject(&arrival, reason).await,
            Admission::Failed => self.reject(&arrival, RejectionReason::Unavailable).await,
        }
    }

    /// Somebody calls a number that is none of ours, over an account that is. Where the webhook is genuine, the call is
    /// refused in the carrier's own way: one that reads no response would let it ring on.
    async fn misdirected(&self, provider: &Provider, lost: Lost, webhook: Webhook) -> Result<Response, Refused> {
        let reason = RejectionReason::UnknownNumber;
        let fallback = provider.rejection(reason).clone();
        let Some(account) = &lost.account else {
            return Ok(fallback);
        };
        let configuration = match self.inner.store.only_configuration_of(provider.name(), account).await {
            Ok(Some(configuration)) => configuration,
            Ok(None) => return Ok(fallback),
            Err(error) => {
                tracing::error!(%error, "cannot look an account up");
                return Err(Refused::Unavailable);
            }
        };
        let Some(provider) = self.provider_of(&configuration.organization, provider.name()) else {
            return Ok(fallback);
        };
        let Ok(credentials) = Credentials::check(provider.spec(), configuration.credentials.expose()) else {
            return Ok(fallback);
        };
        let scope = Scope::of(&configuration);
        match self.verify(&provider, &credentials, &scope, &webhook).await {
            Ok(()) => {}
            // Whoever it is learns no more than that the number is not here.
            Err(Refused::NotGenuine | Refused::OverBudget(_)) => return Ok(fallback),
            Err(_) => return Err(Refused::Unavailable),
        }
        let facts = CallFacts {
            call_id: &new_call_id(),
            direction: Direction::Inbound,
            caller: lost.caller.as_ref().map_or("", |caller| caller.expose()),
            callee: lost.callee.expose(),
            provider_call_id: Some(&lost.provider_call_id),
            attachment: None,
        };
        let call = facts.describe(&provider, &self.callback_base(&provider));
        let operation = provider.reject_call(&credentials, call, reason, self.moment());
        match self.inner.performer.run(operation, &scope).await {
            Ok(response) => Ok(response),
            Err(error) => {
                tracing::error!(%error, "a call could not be refused in the carrier's own way");
                Ok(fallback)
            }
        }
    }

    /// The call is genuine: from here on something happens.
    pub(super) async fn admit(&self, arrival: &Arrival) -> Admission {
        let admission = self.try_admit(arrival).await;
        if let Admission::Refused(reason, detail) = &admission {
            self.record_refused(arrival, detail.unwrap_or(reason.name())).await;
        }
        admission
    }

    /// Leaves a record of a call that is refused, for those who wonder where it is.
    async fn record_refused(&self, arrival: &Arrival, why: &str) {
        let now = self.inner.clock.unix_ms();
        let (organization, gateway) = (&arrival.claimed.route.organization, &self.inner.slots.gateway);
        if !self.inner.refusals.take(organization, now) {
            return;
        }
        let agent = arrival.claimed.route.agent.as_ref();
        let new = new_call(arrival, new_call_id(), agent.map(|agent| agent.id.clone()), None);
        let outcome = json!({ "status": "failed", "reason": "refused", "detail": why });
        if let Err(error) = self.inner.store.record_refused_call(&new, gateway, &outcome, now).await {
            tracing::warn!(%error, "a refused call could not be written down");
        }
    }

    async fn try_admit(&self, arrival: &Arrival) -> Admission {
        let Some(_admission) = self.admission().await else {
            tracing::error!("calls cannot be admitted in time");
            return Admission::Failed;
        };
        let Some(agent) = arrival.claimed.route.agent.clone() else {
            return Admission::Refused(RejectionReason::NoAgent, None);
        };
        if self.is_draining() {
            return Admission::Refused(RejectionReason::Unavailable, Some("stopping"));
        }
        let token = match MediaToken::generate() {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(%error, "no media token");
                return Admission::Failed;
            }
        };
        let now = self.inner.clock.unix_ms();
        let id = new_call_id();
        let known = self
            .inner
            .store
            .call_by_provider_id(
                &arrival.claimed.route.configuration.id,
                &arrival.claimed.provider_call_id,
            )
            .await;
        let limits = match self.limits_of(&arrival.claimed.route.organization).await {
            Ok(limits) => limits,
            Err(error) => {
                tracing::error!(%error, "the limits of an organization cannot be read");
                return Admission::Failed;
            }
        };
        let budget = self.inner.budgets.meter(&arrival.claimed.route.organization);
        let at_capacity = matches!(known, Ok(None))
            && (self.live_calls() >= self.inner.options.calls_max
                || budget.instances() >= budget.limits().instances_max);
        if at_capacity {
            return Admission::Refused(RejectionReason::AtCapacity, None);
        }
        let media = Some((token.clone(), now + MEDIA_TOKEN_TTL_MS));
        let new = new_call(arrival, id.clone(), Some(agent.id.clone()), media);
        let context = match self.inbound_context(arrival, &agent, id, &token, &limits) {
            Ok(context) => context,
            Err(reason) => {
                tracing::error!(reason, "the agent of this number cannot take calls");
                return Admission::Refused(RejectionReason::Unavailable, Some("agent-unusable"));
            }
        };
        match self
            .inner
            .store
            .admit_inbound_call(&new, self.terms(&limits), now)
            .await
        {
            Ok(Admitted::Created { .. }) => Admission::Call(Box::new(self.start_session(context))),
            Ok(Admitted::Existing(call)) => Admission::Known(call.id),
            Ok(Admitted::Refused(refusal)) => {
                let refusal = self.refused(&new.organization, refusal);
                Admission::Refused(RejectionReason::AtCapacity, Some(refusal.code()))
            }
            Err(error) => {
                tracing::error!(%error, "the call could not be written down");
                Admission::Failed
            }
        }
    }

    fn inbound_context(
        &self,
        arrival: &Arrival,
        agent: &Agent,
        id: CallId,
        token: &MediaToken,
        limits: &CallLimits,
    ) -> Result<CallContext, String> {
        self.context(ContextParts {
            id,
            direction: Direction::Inbound,
            provider: arrival.provider.clone(),
            credentials: arrival.credentials.clone(),
            scope: arrival.scope.clone(),
            caller: arrival
                .claimed
                .caller
                .as_ref()
                .map_or("", |caller| caller.expose())
                .to_owned(),
            callee: arrival.claimed.callee.expose().to_owned(),
            provider_call_id: Some(arrival.claimed.provider_call_id.clone()),
            agent,
            token,
            limits: self.limits(limits),
            costs: arrival.costs.clone(),
        })
    }

    /// Answers a call of ours, and remembers the answer for repetitions of the webhook.
    pub(super) async fn answer(
        &self,
        session: SessionHandle,
        call: operation::Call,
        webhook: Option<Webhook>,
        began: Instant,
    ) -> Result<Response, Refused> {
        Ok(match self.try_answer(&session, call, webhook, began).await {
            Some(response) => response,
            None => session.provider.rejection(RejectionReason::Unavailable).clone(),
        })
    }

    /// The same; nothing when it could not be answered, which its session has been told.
    pub(super) async fn try_answer(
        &self,
        session: &SessionHandle,
        call: operation::Call,
        webhook: Option<Webhook>,
        began: Instant,
    ) -> Option<Response> {
        let context = session.context.clone();
        let is_read = webhook.is_some();
        let operation = context.provider.answer(
            &context.credentials,
            call.clone(),
            context.media.clone(),
            webhook,
            context.moment(),
        );
        match self.inner.performer.run(operation, &context.scope).await {
            Ok(outcome) => {
                session.answered.send_replace(Some(outcome.response.clone()));
                self.apply(Some(session), &context.call_id, outcome.events).await;
                session.event(Event::WebhookAnswered).await;
                let name = "answer".to_owned();
                drop(
                    session
                        .mailbox
                        .send(SessionMessage::Webhook {
                            name,
                            latency: began.elapsed(),
                        })
                        .await,
                );
                Some(outcome.response)
            }
            Err(error) if is_forgotten(&error) => {
                tracing::info!("the other side hung up before the call was connected");
                let status = match context.direction {
                    Direction::Inbound => CallStatus::Canceled,
                    // Somebody had picked up.
                    Direction::Outbound => CallStatus::Completed,
                };
                let ended = Event::Status {
                    status,
                    duration_ms: None,
                    cause: None,
                };
                session.event(ended).await;
                let rejection = context.provider.rejection(RejectionReason::Unavailable).clone();
                session.answered.send_replace(Some(rejection.clone()));
                is_read.then_some(rejection)
            }
            Err(error) => {
                tracing::error!(%error, "a call could not be answered");
                context.note_fault(&error);
                let event = match context.direction {
                    Direction::Inbound if is_read => Event::Rejected { reason: error.code() },
                    // Somebody has picked up, or the carrier reads no refusal: that call is to be hung up.
                    Direction::Inbound | Direction::Outbound => Event::MediaFailed { reason: error.code() },
                };
                session.event(event).await;
                let rejection = match context.direction {
                    Direction::Inbound if is_read => {
                        self.refuse_unanswered(&context, call, rejection_for(&error)).await
                    }
                    Direction::Inbound | Direction::Outbound => {
                        context.provider.rejection(RejectionReason::Unavailable).clone()
                    }
                };
                session.answered.send_replace(Some(rejection.clone()));
                is_read.then_some(rejection)
            }
        }
    }

    /// Refuses a call that could not be answered, in the carrier's own way: one that reads no response would let it ring on.
    async fn refuse_unanswered(
        &self,
        context: &CallContext,
        call: operation::Call,
        reason: RejectionReason,
    ) -> Response {
        let operation = context
            .provider
            .reject_call(&context.credentials, call, reason, context.moment());
        match self.inner.performer.run(operation, &context.scope).await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(%error, "a call could not be refused in the carrier's own way");
                context.provider.rejection(reason).clone()
            }
        }
    }

    /// The carrier repeats its webhook: it gets the same answer, and nothing else happens.
    pub(super) async fn answer_again(&self, provider: &Provider, call: &CallId) -> Result<Response, Refused> {
        let unavailable = || Ok(provider.rejection(RejectionReason::Unavailable).clone());
        let Some(session) = self.session(call) else {
            tracing::warn!("a webhook of a call that has ended was repeated");
            return unavailable();
        };
        let mut answer = session.answer.clone();
        let answered = timeout(ANSWER_TIMEOUT, answer.wait_for(Option::is_some)).await;
        match answered {
            Ok(Ok(answer)) => answer.clone().map_or_else(unavailable, Ok),
            _ => unavailable(),
        }
    }

    /// Refuses a call whose webhook is genuine, in the carrier's own way.
    async fn reject(&self, arrival: &Arrival, reason: RejectionReason) -> Result<Response, Refused> {
        let announced = CallFacts {
            call_id: &new_call_id(),
            direction: Direction::Inbound,
            caller: arrival.claimed.caller.as_ref().map_or("", |caller| caller.expose()),
            callee: arrival.claimed.callee.expose(),
            provider_call_id: Some(&arrival.claimed.provider_call_id),
            attachment: None,
        };
        let Arrival {
            provider,
            credentials,
            scope,
            ..
        } = arrival;
        let rejected = self.reject_call(provider, credentials, scope, &announced, reason).await;
        Ok(rejected.unwrap_or_else(|| provider.rejection(reason).clone()))
    }

    /// The same for a call that need not be to a number of ours. Nothing when the provider or its carrier would not.
    pub(super) async fn reject_call(
        &self,
        provider: &Provider,
        credentials: &Credentials,
        scope: &Scope,
        announced: &CallFacts<'_>,
        reason: RejectionReason,
    ) -> Option<Response> {
        tracing::info!(provider = provider.name(), ?reason, "an inbound call is refused");
        let call = announced.describe(provider, &self.callback_base(provider));
        let operation = provider.reject_call(credentials, call, reason, self.moment());
        match self.inner.performer.run(operation, scope).await {
            Ok(response) => Some(response),
            Err(error) => {
                tracing::error!(%error, "a call could not be refused in the carrier's own way");
                None
            }
        }
    }

    pub(super) fn limits(&self, organization: &CallLimits) -> Limits {
        Limits {
            call_duration_max: Duration::from_secs(organization.call_duration_max_s),
            ..Limits::default()
        }
    }

    /// What this organisation may do.
    ///
    /// # Errors
    /// The store fails. Then no call may be admitted.
    pub(super) async fn limits_of(&self, organization: &OrganizationId) -> Result<CallLimits, StoreError> {
        let own = self.inner.store.organization_limits(organization).await?;
        Ok(self.inner.slots.limits.with(own))
    }

    pub(super) fn terms<'a>(&'a self, limits: &'a CallLimits) -> Terms<'a> {
        Terms {
            limits,
            gateway: &self.inner.slots.gateway,
        }
    }

    /// A call or a leg is not admitted, and somebody may want to know why.
    pub(super) fn refused(&self, organization: &OrganizationId, refusal: Refusal) -> Refusal {
        tracing::warn!(
            organization = organization.as_str(),
            code = refusal.code(),
            limit = refusal.limit,
            demand = refusal.demand,
            "a limit does not allow a call"
        );
        refusal
    }

    pub(super) fn start_session(&self, context: CallContext) -> SessionHandle {
        let setup = Setup {
            call_id: context.call_id.clone(),
            provider_call_id: context.provider_call_id.clone(),
            fetch_cost: context.provider.can(Ability::Calling),
            limits: context.limits.clone(),
        };
        let now = strowger_call::Monotonic::from_micros(self.inner.clock.host_us());
        let call = match context.direction {
            Direction::Inbound => Call::inbound(setup, now),
            Direction::Outbound => Call::outbound(setup, now),
        };
        let id = context.call_id.clone();
        // The map's lock is held until the session is in it: one that ends at once must find itself there.
        let mut sessions = self.sessions();
        let session = session::spawn(Arc::new(context), call, self.closing(&id));
        sessions.insert(id, session.clone());
        session
    }

    pub(super) fn context(&self, parts: ContextParts<'_>) -> Result<CallContext, String> {
        let agent = agent_spec(&parts.agent.settings)?;
        Ok(CallContext {
            direction: parts.direction,
            callback_base: self.callback_base(&parts.provider),
            provider: self
                .inner
                .threads
                .watchers
                .call(&parts.costs.charge(&parts.provider), parts.id.as_str()),
            costs: parts.costs,
            credentials: parts.credentials,
            scope: parts.scope,
            caller: parts.caller,
            callee: parts.callee,
            provider_call_id: parts.provider_call_id,
            limits: parts.limits,
            media: self.media_address(parts.token),
            agent,
            agent_limits: self.inner.options.agent_limits.clone(),
            dialler: self.inner.dialler.clone(),
            recordings: self.inner.threads.recordings.clone(),
            slow_lane: self.inner.threads.slow_lane.clone(),
            folder: self.inner.options.recordings.clone(),
            record: self.inner.options.recording && parts.agent.settings.record,
            clock: self.inner.clock.clone(),
            metrics: self.metrics().clone(),
            slots: self.inner.slots.clone(),
            performer: self.inner.performer.clone(),
            store: self.inner.store.clone(),
            faults: self.inner.faults.clone(),
            call_id: parts.id,
            writers: Mutex::default(),
        })
    }
}

/// The row of a call that comes in.
fn new_call(arrival: &Arrival, id: CallId, agent: Option<AgentId>, media: Option<(MediaToken, UnixMs)>) -> NewCall {
    let Claimed {
        route,
        provider_call_id,
        caller,
        callee,
    } = &arrival.claimed;
    NewCall {
        id,
        organization: route.organization.clone(),
        configuration: route.configuration.id.clone(),
        number: Some(route.number.id.clone()),
        agent,
        provider: arrival.provider.name().to_owned(),
        provider_version: arrival.provider.digest().to_owned(),
        provider_call_id: Some(provider_call_id.clone()),
        caller: caller.clone(),
        callee: callee.clone(),
        attachment: None,
        media,
    }
}

/// An agent as it is stored, as its leg needs it.
fn agent_spec(settings: &AgentSettings) -> Result<AgentSpec, String> {
    let url = settings
        .url
        .as_deref()
        .map(Url::parse)
        .transpose()
        .map_err(|error| format!("its URL is not one: {error}"))?;
    let sample_rate = SampleRate::try_from(settings.sample_rate_hz).map_err(|error| error.to_string())?;
    let headers = settings
        .headers
        .expose()
        .iter()
        .map(|(name, value)| (name.clone(), Secret::new(value.clone())))
        .collect();
    let parameters = settings.parameters.as_object().cloned().unwrap_or_default();
    Ok(AgentSpec {
        protocol: settings.protocol,
        url,
        sample_rate,
        headers,
        parameters,
    })
}

/// What a provider's claim about a webhook leads to. Nothing of it is verified.
pub(super) enum Claim {
    /// A call of ours.
    Call(Box<CallRecord>),
    /// A number of ours.
    Route(Box<Claimed>),
    /// A call to no number of ours, if nobody has a better claim.
    Lost(Box<Lost>),
    /// Nothing; what to answer if nobody has a better claim.
    Nothing(Response),
    /// The store cannot tell right now.
    Unavailable,
}

/// A claimed call to a number of ours.
pub(super) struct Claimed {
    pub(super) route: Route,
    pub(super) provider_call_id: ProviderCallId,
    pub(super) caller: Option<Address>,
    pub(super) callee: Address,
}

/// A claimed call to a number that is none of ours.
pub(super) struct Lost {
    account: Option<AccountId>,
    provider_call_id: ProviderCallId,
    caller: Option<Address>,
    callee: Address,
}

/// A genuine inbound call on its way in, however it was announced.
pub(super) struct Arrival {
    pub(super) provider: Provider,
    /// What its proof has cost already.
    pub(super) costs: Arc<CallCosts>,
    pub(super) credentials: Credentials,
    pub(super) scope: Scope,
    pub(super) claimed: Claimed,
}

/// What came of an arrival.
pub(super) enum Admission {
    /// A new call, with its session.
    Call(Box<SessionHandle>),
    /// It was announced before.
    Known(CallId),
    /// Not now, not here; and why, in more detail, for records.
    Refused(RejectionReason, Option<&'static str>),
    /// Something of ours does not work; it was logged.
    Failed,
}

/// What a call's context is made of.
pub(super) struct ContextParts<'a> {
    pub(super) id: CallId,
    pub(super) direction: Direction,
    pub(super) provider: Provider,
    pub(super) credentials: Credentials,
    pub(super) scope: Scope,
    pub(super) caller: String,
    pub(super) callee: String,
    pub(super) provider_call_id: Option<ProviderCallId>,
    pub(super) agent: &'a Agent,
    pub(super) token: &'a MediaToken,
    pub(super) limits: Limits,
    pub(super) costs: Arc<CallCosts>,
}
