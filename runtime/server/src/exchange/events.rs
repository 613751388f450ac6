//! What a carrier tells over an event socket: calls that come in, calls that were answered, and what happens to those that
//! exist. From here on it is as if a webhook had said it, save that nobody waits for an answer.
//!
//! The socket itself is kept by [`crate::events`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use strowger_call::{Address, CallStatus, Country, Direction, ProviderCallId};
use strowger_host::operation::{CallEvent, Directive, EventSocket, InboundCall};
use strowger_host::{Ability, Credentials, Failure, Moment, Provider, RejectionReason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::Exchange;
use super::callback::status;
use super::context::{CallFacts, is_forgotten};
use super::inbound::{Admission, Arrival, Claimed};
use crate::invocations::costs::CallCosts;
use crate::perform::PerformError;
use crate::session::SessionHandle;
use crate::store::{CallRecord, CallState, Configuration, ConfigurationId, Scope, UnixMs, new_call_id};

/// Calls of one configuration that are answered or refused at once: each takes several requests to the carrier. While there
/// are so many, no further message is handled.
const ANSWERS_AT_ONCE: usize = 32;

/// How the event socket of a configuration fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSocketState {
    /// What it is at.
    pub phase: EventSocketPhase,
    /// Since when.
    pub since: UnixMs,
    /// The last thing that went wrong since the configuration was changed or the gateway started.
    pub last_failure: Option<EventSocketFailure>,
}

/// What an event socket is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventSocketPhase {
    /// Another gateway, or another configuration with the same socket, has it.
    Waiting,
    /// It is being opened.
    Connecting,
    /// It is open.
    Up,
    /// After a failure, until the next attempt.
    Backoff,
    /// Given up until somebody reactivates the configuration.
    Parked,
}

/// Why there was no event socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSocketFailure {
    /// Stable, in kebab case.
    pub code: String,
    /// For the configuration's user.
    pub message: String,
    /// When.
    pub at: UnixMs,
}

/// A configuration that hears over an event socket, with what its messages are read with. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct EventSource {
    pub(crate) provider: Provider,
    pub(crate) scope: Scope,
    credentials: Credentials,
    answers: Arc<Semaphore>,
}

/// Something about a call that the carrier knows by a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum News {
    /// It was answered.
    Answered,
    /// It changed.
    Events(Vec<CallEvent>),
}

/// What became of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reception {
    /// The call was told.
    Told,
    /// A call is being placed whose name is not known yet: it may be meant.
    Perhaps,
    /// No call of ours is meant.
    Nobody,
}

/// What is left to do after a directive.
#[derive(Debug)]
pub(crate) enum Obeyed {
    /// Nothing.
    Done,
    /// To tell a call; see [`Exchange::tell_news`].
    Tell(String, News),
}

impl Exchange {
    /// How the event socket of a configuration fares; none when this gateway keeps none for it.
    #[must_use]
    pub fn event_socket_state(&self, configuration: &ConfigurationId) -> Option<EventSocketState> {
        self.event_sockets().get(configuration).cloned()
    }

    pub(crate) fn set_event_socket_state(&self, configuration: &ConfigurationId, state: Option<EventSocketState>) {
        let mut states = self.event_sockets();
        match state {
            Some(state) => drop(states.insert(configuration.clone(), state)),
            None => drop(states.remove(configuration)),
        }
    }

    /// A configuration's event source, or what is wrong with its settings.
    pub(crate) fn event_source(&self, configuration: &Configuration) -> Result<EventSource, String> {
        let provider = self
            .provider_of(&configuration.organization, &configuration.provider)
            .ok_or("its provider is not installed")?;
        let credentials =
            Credentials::check(provider.spec(), configuration.credentials.expose()).map_err(|problems| {
                let problems: Vec<_> = problems
                    .iter()
                    .map(|problem| format!("{}: {}", problem.field, problem.problem))
                    .collect();
                format!("the stored settings do not fit the provider: {}", problems.join("; "))
            })?;
        Ok(EventSource {
            scope: Scope::of(configuration),
            provider,
            credentials,
            answers: Arc::new(Semaphore::new(ANSWERS_AT_ONCE)),
        })
    }

    /// Where the socket is. With the same `moment` the same settings give the same answer.
    pub(crate) async fn event_endpoint(
        &self,
        source: &EventSource,
        moment: Moment,
    ) -> Result<Result<EventSocket, Failure>, PerformError> {
        let asked = source.clone();
        let ask = move || -> Result<_, PerformError> { Ok(asked.provider.event_socket(&asked.credentials, &moment)?) };
        self.inner.performer.invoke(Some(&source.scope.organization), ask).await
    }

    /// What a message of the socket means.
    pub(crate) async fn read_event(
        &self,
        source: &EventSource,
        message: String,
        received_at: UnixMs,
    ) -> Result<Vec<Directive>, PerformError> {
        let moment = Moment::at(u64::try_from(received_at).unwrap_or(0));
        let operation = source
            .provider
            .handle_event(&source.credentials, message, moment)
            .map_err(PerformError::Invoke)?;
        self.inner.performer.run(operation, &source.scope).await
    }

    /// Does what a message asks for. When this returns, calls that it announced exist; they are answered later.
    pub(crate) async fn obey(&self, source: &EventSource, directive: Directive) -> Obeyed {
        match directive {
            Directive::InboundCall(call) => {
                self.announced(source, call).await;
                Obeyed::Done
            }
            Directive::Answered { provider_call_id } => Obeyed::Tell(provider_call_id, News::Answered),
            Directive::Call {
                provider_call_id,
                events,
            } => Obeyed::Tell(provider_call_id, News::Events(events)),
            Directive::Transfer { id, events } => {
                let configuration = &source.scope.configuration;
                if !self.transfer_told(configuration, &id, events).await {
                    tracing::debug!("an event names a transfer that this configuration does not have");
                }
                Obeyed::Done
            }
        }
    }

    /// Tells the call that the carrier knows by this name.
    pub(crate) async fn tell_news(&self, source: &EventSource, provider_call_id: &str, news: &News) -> Reception {
        let Ok(id) = ProviderCallId::new(provider_call_id) else {
            return Reception::Nobody;
        };
        let (store, configuration) = (&self.inner.store, &source.scope.configuration);
        let find = || store.call_by_provider_id(configuration, &id);
        let found = match find().await {
            Ok(Some(call)) => Ok(Some(call)),
            Ok(None) => match store.has_unidentified_calls(configuration).await {
                Ok(true) => return Reception::Perhaps,
                // It may have got its name between the two questions.
                Ok(false) => find().await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match found {
            Ok(Some(call)) => {
                let span = tracing::info_span!("call", call = call.id.as_str(), provider = source.provider.name());
                self.receive(source, call, news.clone()).instrument(span).await;
                Reception::Told
            }
            Ok(None) => Reception::Nobody,
            Err(error) => {
                tracing::error!(%error, "cannot look a call up");
                Reception::Perhaps
            }
        }
    }

    async fn receive(&self, source: &EventSource, call: CallRecord, news: News) {
        match (news, self.session(&call.id)) {
            (News::Events(events), session) => self.apply(session.as_ref(), &call.id, events).await,
            (News::Answered, Some(session)) => {
                if session.answering.swap(true, Ordering::AcqRel) {
                    return;
                }
                let guest = self.guest_call(&session.provider, &call);
                let began = Instant::now();
                self.beside(source, move |exchange, _| async move {
                    // Should it fail, the session has been told and hangs up.
                    drop(exchange.try_answer(&session, guest, None, began).await);
                })
                .await;
            }
            (News::Answered, None) if call.state == CallState::Completed => {
                tracing::warn!("a call was answered that has ended here");
                self.beside(source, move |exchange, source| async move {
                    exchange.let_go(&source, &call).await;
                })
                .await;
            }
            (News::Answered, None) => tracing::warn!("a call was answered that no session of this gateway carries"),
        }
    }

    /// Hangs up a call that nobody here wants any more.
    async fn let_go(&self, source: &EventSource, call: &CallRecord) {
        let guest = self.guest_call(&source.provider, call);
        let ended = match source.provider.hang_up(&source.credentials, guest, self.moment()) {
            Ok(operation) => self.inner.performer.run(operation, &source.scope).await.map(drop),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = ended {
            tracing::error!(%error, "a call that was answered too late could not be hung up");
        }
    }

    /// Somebody calls. The announcement is genuine: it came over a socket that we opened to a host that the user named.
    async fn announced(&self, source: &EventSource, claims: InboundCall) {
        let began = Instant::now();
        let Ok(provider_call_id) = ProviderCallId::new(claims.provider_call_id.clone()) else {
            tracing::warn!(
                provider = source.provider.name(),
                "a call was announced without an identifier"
            );
            return;
        };
        let country = |code: &Option<String>| code.as_deref().and_then(|code| Country::parse(code).ok());
        let caller = Address::parse(&claims.caller, country(&claims.caller_country)).ok();
        let callee = Address::parse(&claims.callee, country(&claims.callee_country)).ok();
        let found = match &callee {
            Some(callee) => {
                self.inner
                    .store
                    .find_route_of(&source.scope.configuration, callee)
                    .await
            }
            None => Ok(None),
        };
        let refused = match (found, callee) {
            (Ok(Some(route)), Some(callee)) => {
                let (organization, name) = (&source.scope.organization, source.provider.name());
                let provider = self.provider_for_new_call(organization, name, provider_call_id.expose());
                let provider = provider.unwrap_or_else(|| source.provider.clone());
                let arrival = Arrival {
                    costs: CallCosts::open(&provider),
                    provider,
                    credentials: source.credentials.clone(),
                    scope: source.scope.clone(),
                    claimed: Claimed {
                        route,
                        provider_call_id: provider_call_id.clone(),
                        caller,
                        callee,
                    },
                };
                match self.admit(&arrival).await {
                    Admission::Call(session) => return self.answer_announced(source, *session, began).await,
                    // It was announced before.
                    Admission::Known(_) => return,
                    Admission::Refused(reason, _) => reason,
                    Admission::Failed => RejectionReason::Unavailable,
                }
            }
            (Ok(_), _) => RejectionReason::UnknownNumber,
            (Err(error), _) => {
                tracing::error!(%error, "cannot look a number up");
                RejectionReason::Unavailable
            }
        };
        self.beside(source, move |exchange, source| async move {
            exchange
                .turn_away(&source, &claims.caller, &claims.callee, &provider_call_id, refused)
                .await;
        })
        .await;
    }

    async fn answer_announced(&self, source: &EventSource, session: SessionHandle, began: Instant) {
        let context = session.context.clone();
        let span = tracing::info_span!(
            "call",
            call = context.call_id.as_str(),
            provider = source.provider.name()
        );
        self.beside(source, move |exchange, _| {
            let answering = async move {
                let call = context.guest_call(context.provider_call_id.as_ref(), None);
                // Should it fail, the session has been told and hangs up.
                drop(exchange.try_answer(&session, call, None, began).await);
            };
            answering.instrument(span)
        })
        .await;
    }

    async fn turn_away(
        &self,
        source: &EventSource,
        caller: &str,
        callee: &str,
        provider_call_id: &ProviderCallId,
        reason: RejectionReason,
    ) {
        let announced = CallFacts {
            call_id: &new_call_id(),
            direction: Direction::Inbound,
            caller,
            callee,
            provider_call_id: Some(provider_call_id),
            attachment: None,
        };
        drop(
            self.reject_call(&source.provider, &source.credentials, &source.scope, &announced, reason)
                .await,
        );
    }

    /// Does something that takes requests to the carrier beside the handling of further messages, once there is room.
    async fn beside<F>(&self, source: &EventSource, work: impl FnOnce(Self, EventSource) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // The semaphore is never closed.
        let room: Option<OwnedSemaphorePermit> = source.answers.clone().acquire_owned().await.ok();
        let work = work(self.clone(), source.clone()).instrument(tracing::Span::current());
        tokio::spawn(async move {
            work.await;
            drop(room);
        });
    }

    /// Asks the carrier about the live calls of a configuration: while its socket was closed, the end of one may have been
    /// told to nobody.
    pub(crate) async fn ask_after_calls(&self, source: &EventSource) {
        if !source.provider.can(Ability::Calling) {
            return;
        }
        let live: Vec<SessionHandle> = self.sessions().values().cloned().collect();
        for session in live {
            let context = &session.context;
            if context.scope.configuration != source.scope.configuration {
                continue;
            }
            let call = match self.inner.store.call_by_id(&context.call_id).await {
                // One that is being placed is not known to the carrier yet.
                Ok(Some(call)) if call.provider_call_id.is_some() => call,
                Ok(_) => continue,
                Err(error) => {
                    tracing::error!(%error, "cannot look a call up");
                    return;
                }
            };
            let guest = self.guest_call(&session.provider, &call);
            let operation = session
                .provider
                .fetch_status(&context.credentials, guest, self.moment());
            let asked = match operation {
                Ok(operation) => self.inner.performer.run(operation, &context.scope).await,
                Err(error) => Err(error.into()),
            };
            let (ended, cause) = match asked {
                Ok((reported, _)) => (status(reported), None),
                Err(error) if is_forgotten(&error) => (CallStatus::Completed, Some(error.code())),
                Err(error) => {
                    tracing::warn!(call = context.call_id.as_str(), %error, "the carrier does not tell how a call fares");
                    continue;
                }
            };
            if ended == CallStatus::InProgress && context.direction == Direction::Outbound {
                // Nothing happens when it has been answered here.
                let source = EventSource {
                    provider: session.provider.clone(),
                    ..source.clone()
                };
                self.receive(&source, call, News::Answered).await;
            } else if ended.is_terminal() {
                tracing::info!(
                    call = context.call_id.as_str(),
                    "a call ended while the event socket was closed"
                );
                let told = strowger_call::Event::Status {
                    status: ended,
                    duration_ms: None,
                    cause,
                };
                session.event(told).await;
            }
        }
    }
}
