//! Something happened to a call: find it, verify the webhook under its configuration, and tell its session.

use std::sync::atomic::Ordering;

use serde_json::json;
use strowger_call::{AnsweredBy, CallId, CallStatus, Event, ProviderCallId, TransferId};
use strowger_host::operation::{self, CallEvent, Moment, Recognition, answered_by_name};
use strowger_host::spec::RoutePurpose;
use strowger_host::{Credentials, InvokeError, Provider, RejectionReason, Response, Webhook};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::context::CallFacts;
use super::inbound::Claim;
use super::{Exchange, Refused};
use crate::perform::PerformError;
use crate::session::{SessionHandle, SessionMessage};
use crate::store::{CallRecord, NewEvent, Scope};

/// What a webhook about a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// An outbound call was answered.
    Answer,
    /// Something happened.
    Event,
}

/// What a webhook about a call is read with.
pub(super) struct Known {
    /// Of the call, if it is live.
    pub(super) session: Option<SessionHandle>,
    pub(super) provider: Provider,
    pub(super) credentials: Credentials,
    pub(super) scope: Scope,
}

/// What the path of a route names.
pub(super) enum Named {
    Call(CallId, Told),
    Transfer(TransferId),
    Nothing,
}

impl Exchange {
    /// A webhook at a provider's own route.
    ///
    /// # Errors
    /// When there is no such route or call, or the webhook is not genuine.
    pub async fn callback(&self, provider: &str, path: &str, webhook: Webhook) -> Result<Response, Refused> {
        let versions = self.versions_in_use(provider);
        let found = versions
            .iter()
            .find_map(|version| find_route(version, &webhook.method, path));
        let (name, named) = found.ok_or(Refused::NoSuchRoute)?;
        let (exchange, provider, path) = (self.clone(), provider.to_owned(), path.to_owned());
        Self::unbroken(async move { exchange.called_back(&provider, &path, name, named, webhook).await })
            .await
            .unwrap_or(Err(Refused::Unavailable))
    }

    /// `name` and `named` are what some version of the provider makes of the path: enough to find the call. What the route is
    /// for is then said by the call's own version.
    async fn called_back(
        &self,
        provider: &str,
        path: &str,
        name: String,
        named: Named,
        webhook: Webhook,
    ) -> Result<Response, Refused> {
        let began = Instant::now();
        let id = match named {
            Named::Call(id, _) => id,
            Named::Transfer(id) => {
                let span = tracing::info_span!("transfer", transfer = id.as_str(), provider);
                return self
                    .transfer_called_back(provider, path, &id, webhook, began)
                    .instrument(span)
                    .await;
            }
            Named::Nothing => return self.told_by_itself(provider, &name, webhook, began).await,
        };
        let call = match self.inner.store.call_by_id(&id).await {
            Ok(Some(call)) if call.provider == provider => call,
            Ok(_) => return Err(Refused::NoSuchCall),
            Err(error) => {
                tracing::error!(%error, "cannot look a call up");
                return Err(Refused::Unavailable);
            }
        };
        let own = self.provider_of_call(&call).ok_or(Refused::NoSuchRoute)?;
        let Some((name, Named::Call(_, told))) = find_route(&own, &webhook.method, path) else {
            return Err(Refused::NoSuchRoute);
        };
        self.tell_call(call, &name, told, webhook, began).await
    }

    /// A webhook at a route that does not name its call: the webhook itself does.
    async fn told_by_itself(
        &self,
        provider: &str,
        name: &str,
        webhook: Webhook,
        began: Instant,
    ) -> Result<Response, Refused> {
        let provider = self.provider_at_own_url(provider).ok_or(Refused::NoSuchRoute)?;
        let claims = self.recognise(&webhook, vec![provider]).await?;
        let Some((provider, Recognition::Event(reference))) = claims.first() else {
            return Err(Refused::NoSuchCall);
        };
        match self.find_call(provider, reference).await {
            Claim::Call(call) => self.tell_call(*call, name, Told::Event, webhook, began).await,
            Claim::Nothing(response) => Ok(response),
            Claim::Route(_) | Claim::Lost(_) => Err(Refused::NoSuchCall),
            Claim::Unavailable => Err(Refused::Unavailable),
        }
    }

    /// Verifies a webhook about a call, and does what it says.
    pub(super) async fn tell_call(
        &self,
        call: CallRecord,
        route: &str,
        told: Told,
        webhook: Webhook,
        began: Instant,
    ) -> Result<Response, Refused> {
        let span = tracing::info_span!("call", call = call.id.as_str(), provider = call.provider);
        self.tell(call, route, told, webhook, began).instrument(span).await
    }

    async fn tell(
        &self,
        call: CallRecord,
        route: &str,
        told: Told,
        webhook: Webhook,
        began: Instant,
    ) -> Result<Response, Refused> {
        let Known {
            session,
            provider,
            credentials,
            scope,
        } = self.know(&call).await?;
        let provider = &provider;
        self.verify(provider, &credentials, &scope, &webhook).await?;

        self.detect(provider, &credentials, &scope, &webhook, session.as_ref(), &call.id)
            .await;
        match (told, session) {
            (Told::Answer, Some(session)) => {
                if session.answering.swap(true, Ordering::AcqRel) {
                    return self.answer_again(provider, &call.id).await;
                }
                self.answer(session, self.guest_call(provider, &call), Some(webhook), began)
                    .await
            }
            (Told::Answer, None) => {
                tracing::warn!("a call was answered that has ended here");
                Ok(provider.rejection(RejectionReason::Unavailable).clone())
            }
            (Told::Event, session) => {
                let guest = self.guest_call(provider, &call);
                let moment = Moment::at(self.inner.clock.unix_ms_unsigned());
                let operation = provider.handle_callback(&credentials, route.to_owned(), guest, webhook, moment);
                let outcome = self.inner.performer.run(operation, &scope).await.map_err(|error| {
                    tracing::error!(%error, route, "a callback could not be read");
                    self.unread(provider, &call.id, &error)
                })?;
                self.apply(session.as_ref(), &call.id, outcome.events).await;
                if let Some(session) = &session {
                    let name = route.to_owned();
                    drop(
                        session
                            .mailbox
                            .send(SessionMessage::Webhook {
                                name,
                                latency: began.elapsed(),
                            })
                            .await,
                    );
                }
                Ok(outcome.response)
            }
        }
    }

    /// What a webhook about a call is read with.
    pub(super) async fn know(&self, call: &CallRecord) -> Result<Known, Refused> {
        let session = self.session(&call.id);
        let provider = self.provider_of_call(call).ok_or(Refused::NoSuchRoute)?;
        let Some(configuration) = &call.configuration else {
            return Err(Refused::NoSuchCall);
        };
        let configuration = match self
            .inner
            .store
            .find_configuration(&call.organization, configuration)
            .await
        {
            Ok(configuration) => configuration,
            Err(error) => {
                tracing::error!(%error, "cannot read the configuration of a call");
                return Err(Refused::Unavailable);
            }
        };
        let credentials =
            Credentials::check(provider.spec(), configuration.credentials.expose()).map_err(|problems| {
                tracing::error!(
                    ?problems,
                    "a stored configuration does not fit its provider any more; save it again"
                );
                Refused::Unavailable
            })?;
        let scope = Scope::of(&configuration);
        Ok(Known {
            session,
            provider,
            credentials,
            scope,
        })
    }

    /// A callback could not be read: counts that against the version where it was its fault, and says what to answer.
    pub(super) fn unread(&self, provider: &Provider, call: &CallId, error: &PerformError) -> Refused {
        match error {
            PerformError::Invoke(InvokeError::Guest(fault)) => {
                self.inner.faults.note(provider, call, fault);
                Refused::ProviderFault
            }
            PerformError::Failed(_) | PerformError::Invoke(InvokeError::Configuration(_)) => Refused::ProviderFault,
            PerformError::Invoke(InvokeError::Host(_) | InvokeError::Budget(_))
            | PerformError::KeepsTooMuch(_)
            | PerformError::Store(_)
            | PerformError::Abandoned => Refused::Unavailable,
        }
    }

    /// The call as the component sees it, from its row.
    pub(super) fn guest_call(&self, provider: &Provider, call: &CallRecord) -> operation::Call {
        let facts = CallFacts {
            call_id: &call.id,
            direction: call.direction,
            caller: call.caller.as_ref().map_or("", |caller| caller.expose()),
            callee: call.callee.expose(),
            provider_call_id: call.provider_call_id.as_ref(),
            attachment: call.attachment.as_ref(),
        };
        facts.describe(provider, &self.callback_base(provider))
    }

    /// Looks for a detection verdict. It must not stop what the webhook is really about.
    async fn detect(
        &self,
        provider: &Provider,
        credentials: &Credentials,
        scope: &Scope,
        webhook: &Webhook,
        session: Option<&SessionHandle>,
        call: &CallId,
    ) {
        if !provider.can(strowger_host::Ability::Detection) {
            return;
        }
        let moment = Moment::at(self.inner.clock.unix_ms_unsigned());
        let (guest, credentials, webhook) = (provider.clone(), credentials.clone(), webhook.clone());
        let result = self
            .inner
            .performer
            .invoke(Some(&scope.organization), move || {
                guest
                    .detection_result(&credentials, &webhook, &moment)
                    .map_err(PerformError::from)
            })
            .await;
        match result {
            Ok(None) => {}
            Ok(Some(by)) => {
                if let Err(error) = self.inner.store.set_answered_by(call, answered_by_name(by)).await {
                    tracing::error!(%error, "who answered could not be written down");
                }
                if let Some(session) = session {
                    session.event(Event::AnsweredBy { by: answered_by(by) }).await;
                }
            }
            Err(error) => tracing::error!(%error, "the detection verdict could not be read"),
        }
    }

    /// Tells the call, and the store where it keeps what was told.
    pub(super) async fn apply(&self, session: Option<&SessionHandle>, call: &CallId, events: Vec<CallEvent>) {
        for event in events {
            let stored = match &event {
                CallEvent::Status { .. } => Ok(()),
                CallEvent::Identified(id) => match ProviderCallId::new(id.clone()) {
                    Ok(id) => self.inner.store.set_provider_call_id(call, &id).await,
                    Err(_) => continue,
                },
                CallEvent::Attach(attachment) => self.inner.store.set_attachment(call, attachment).await,
            };
            if let Err(error) = stored {
                tracing::error!(%error, "what a callback told could not be written down");
            }
            let delivered = match (session, event) {
                (Some(session), CallEvent::Attach(attachment)) => {
                    session.mailbox.send(SessionMessage::Attach(attachment)).await.is_ok()
                }
                (Some(session), event) => {
                    let delivered = match to_event(event.clone()) {
                        Some(told) => session.event(told).await,
                        None => true,
                    };
                    if !delivered {
                        self.keep_late(call, event).await;
                    }
                    delivered
                }
                (None, event) => {
                    self.keep_late(call, event).await;
                    true
                }
            };
            if !delivered {
                tracing::debug!("the call ended meanwhile");
            }
        }
    }

    /// The record of a call that has ended keeps what comes late, and nothing else changes.
    async fn keep_late(&self, call: &CallId, event: CallEvent) {
        if let Some(event) = to_event(event) {
            self.keep_late_event(call, &event).await;
        }
    }

    pub(super) async fn keep_late_event(&self, call: &CallId, event: &Event) {
        let detail = serde_json::to_value(event).unwrap_or_default();
        let kind = detail
            .get("type")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("unknown")
            .to_owned();
        // Carriers repeat themselves; the record says it once.
        let dedupe_key = Some(format!("told:{detail}"));
        let event = NewEvent {
            at: self.inner.clock.unix_ms(),
            kind,
            detail: json!({ "event": detail, "late": true }),
            dedupe_key,
        };
        if let Err(error) = self.inner.store.append_events(call, &[event]).await {
            tracing::error!(%error, "a late event could not be written down");
        }
    }
}

/// The route of this method and path, and what the path names.
pub(super) fn find_route(provider: &Provider, method: &str, path: &str) -> Option<(String, Named)> {
    provider
        .spec()
        .routes
        .iter()
        .filter(|route| route.method == method)
        .find_map(|route| {
            let (pattern, given): (Vec<&str>, Vec<&str>) = (route.path.split('/').collect(), path.split('/').collect());
            if pattern.len() != given.len() {
                return None;
            }
            let mut named = Named::Nothing;
            for (pattern, given) in pattern.into_iter().zip(given) {
                match pattern {
                    "{call}" => {
                        let told = match route.purpose {
                            RoutePurpose::Answer => Told::Answer,
                            RoutePurpose::Callback | RoutePurpose::Transfer => Told::Event,
                        };
                        named = Named::Call(CallId::parse(given).ok()?, told);
                    }
                    "{transfer}" => named = Named::Transfer(TransferId::parse(given).ok()?),
                    pattern if pattern != given => return None,
                    _ => {}
                }
            }
            Some((route.name.clone(), named))
        })
}

fn to_event(event: CallEvent) -> Option<Event> {
    match event {
        CallEvent::Status {
            status: reported,
            duration_ms,
            cause,
        } => Some(Event::Status {
            status: status(reported),
            duration_ms,
            cause,
        }),
        CallEvent::Identified(id) => ProviderCallId::new(id)
            .ok()
            .map(|provider_call_id| Event::Identified { provider_call_id }),
        CallEvent::Attach(_) => None,
    }
}

pub(super) fn status(status: operation::CallStatus) -> CallStatus {
    match status {
        operation::CallStatus::Initiated => CallStatus::Initiated,
        operation::CallStatus::Ringing => CallStatus::Ringing,
        operation::CallStatus::InProgress => CallStatus::InProgress,
        operation::CallStatus::Completed => CallStatus::Completed,
        operation::CallStatus::Failed => CallStatus::Failed,
        operation::CallStatus::Busy => CallStatus::Busy,
        operation::CallStatus::NoAnswer => CallStatus::NoAnswer,
        operation::CallStatus::Canceled => CallStatus::Canceled,
    }
}

fn answered_by(by: operation::AnsweredBy) -> AnsweredBy {
    match by {
        operation::AnsweredBy::Human => AnsweredBy::Human,
        operation::AnsweredBy::MachineStart | operation::AnsweredBy::MachineEndOther => AnsweredBy::Machine,
        operation::AnsweredBy::MachineEndBeep => AnsweredBy::MachineBeep,
        operation::AnsweredBy::MachineEndSilence => AnsweredBy::MachineSilence,
        operation::AnsweredBy::Fax => AnsweredBy::Fax,
        operation::AnsweredBy::Unknown => AnsweredBy::Unknown,
    }
}
