//! The second leg of a transfer, as the carrier tells of it: by webhook or over an event socket.
//!
//! The record comes first, and only moves forward; the call's session then decides what follows. When the call has no session
//! any more (it ended, or the gateway was started anew), what must not be left over is taken down from here.

use strowger_call::{CallId, CallStatus, Event, ProviderCallId, TransferId};
use strowger_host::operation::{self, CallEvent, RouteUrl, TransferLeg};
use strowger_host::spec::RoutePurpose;
use strowger_host::{Provider, Response, Webhook};
use tokio::time::Instant;

use super::callback::{Known, Named, find_route, status};
use super::{Exchange, Refused};
use crate::session::{SessionHandle, SessionMessage};
use crate::store::{CallRecord, CallState, ConfigurationId, TransferRecord, TransferState};

impl Exchange {
    /// A webhook at a route that names a transfer.
    pub(super) async fn transfer_called_back(
        &self,
        provider: &str,
        path: &str,
        id: &TransferId,
        webhook: Webhook,
        began: Instant,
    ) -> Result<Response, Refused> {
        let (transfer, call) = self.find_transfer(id).await?.ok_or(Refused::NoSuchCall)?;
        if call.provider != provider {
            return Err(Refused::NoSuchCall);
        }
        let known = self.know(&call).await?;
        let Some((route, Named::Transfer(_))) = find_route(&known.provider, &webhook.method, path) else {
            return Err(Refused::NoSuchRoute);
        };
        self.verify(&known.provider, &known.credentials, &known.scope, &webhook)
            .await?;
        let leg = transfer_leg(&known.provider, &self.callback_base(&known.provider), &transfer);
        let guest = self.guest_call(&known.provider, &call);
        let moment = self.moment();
        let operation = known
            .provider
            .handle_transfer_callback(&known.credentials, route.clone(), guest, leg, webhook, moment)
            .map_err(|_| Refused::NoSuchRoute)?;
        let outcome = self
            .inner
            .performer
            .run(operation, &known.scope)
            .await
            .map_err(|error| {
                tracing::error!(%error, route, "a callback of a transfer could not be read");
                self.unread(&known.provider, &call.id, &error)
            })?;
        self.leg_told(&known, &call, &transfer, outcome.events).await;
        if let Some(session) = &known.session {
            let told = SessionMessage::Webhook {
                name: route,
                latency: began.elapsed(),
            };
            drop(session.mailbox.send(told).await);
        }
        Ok(outcome.response)
    }

    /// What an event socket of this configuration told about a transfer. `false` when the configuration has none of this
    /// name.
    pub(super) async fn transfer_told(
        &self,
        configuration: &ConfigurationId,
        id: &str,
        events: Vec<CallEvent>,
    ) -> bool {
        let Ok(id) = TransferId::parse(id) else { return false };
        let Ok(Some((transfer, call))) = self.find_transfer(&id).await else {
            return false;
        };
        if call.configuration.as_ref() != Some(configuration) {
            return false;
        }
        let Ok(known) = self.know(&call).await else {
            return false;
        };
        self.leg_told(&known, &call, &transfer, events).await;
        true
    }

    async fn find_transfer(&self, id: &TransferId) -> Result<Option<(TransferRecord, CallRecord)>, Refused> {
        let unavailable = |error| {
            tracing::error!(%error, "cannot look a transfer up");
            Refused::Unavailable
        };
        let Some(transfer) = self.inner.store.transfer_by_id(id).await.map_err(unavailable)? else {
            return Ok(None);
        };
        let call = self
            .inner
            .store
            .call_by_id(&transfer.asked.call)
            .await
            .map_err(unavailable)?;
        Ok(call.map(|call| (transfer, call)))
    }

    async fn leg_told(&self, known: &Known, call: &CallRecord, transfer: &TransferRecord, events: Vec<CallEvent>) {
        let (store, id) = (&self.inner.store, &transfer.asked.id);
        for event in events {
            let (written, told) = match event {
                CallEvent::Identified(name) => match ProviderCallId::new(name) {
                    Ok(name) => (
                        store.identify_transfer(id, &name, false).await,
                        Some(Event::TransferIdentified { transfer: id.clone() }),
                    ),
                    Err(_) => continue,
                },
                CallEvent::Attach(attachment) => (store.attach_to_transfer(id, &attachment).await, None),
                CallEvent::Status {
                    status: reported,
                    cause,
                    ..
                } => {
                    let status = status(reported);
                    let written = if status == CallStatus::InProgress {
                        store
                            .advance_transfer(id, TransferState::Answered, None, self.inner.clock.unix_ms())
                            .await
                            .map(drop)
                    } else {
                        Ok(())
                    };
                    let told = Event::TransferStatus {
                        transfer: id.clone(),
                        status,
                        cause,
                    };
                    (written, Some(told))
                }
            };
            if let Err(error) = written {
                tracing::error!(%error, "what a callback told of a transfer could not be written down");
            }
            let Some(told) = told else { continue };
            let taken = match &known.session {
                Some(session) => session.event(told.clone()).await,
                None => false,
            };
            if !taken {
                self.leg_told_late(known, call, id, told).await;
            }
        }
    }

    /// The call has no session: nobody waits for an answer, and nobody else ends what is left of the call.
    async fn leg_told_late(&self, known: &Known, call: &CallRecord, id: &TransferId, told: Event) {
        if known.session.is_none() && call.state != CallState::Completed {
            // Its session is in another process, or just beginning: it is not ours to end anything.
            tracing::warn!("a transfer was told of whose call is not carried here");
            return;
        }
        let transfer = match self.inner.store.transfer_by_id(id).await {
            Ok(Some(transfer)) => transfer,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "cannot look a transfer up");
                return;
            }
        };
        let connected = transfer.connected_at.is_some();
        if let Event::TransferStatus { status, .. } = &told {
            if *status == CallStatus::InProgress && !connected {
                self.cancel_leg(known, call, &transfer).await;
            }
            if status.is_terminal() && connected && transfer.state != TransferState::Over {
                self.end_caller(known, call, id).await;
            }
        }
        self.keep_late_event(&call.id, &told).await;
    }

    async fn cancel_leg(&self, known: &Known, call: &CallRecord, transfer: &TransferRecord) {
        let id = &transfer.asked.id;
        let (over, ended) = (TransferState::Over, Some(strowger_call::TransferFailure::CallEnded));
        let now = self.inner.clock.unix_ms();
        if let Err(error) = self.inner.store.advance_transfer(id, over, ended, now).await {
            tracing::error!(%error, "the end of a transfer could not be written down");
        }
        let leg = transfer_leg(&known.provider, &self.callback_base(&known.provider), transfer);
        let guest = self.guest_call(&known.provider, call);
        let operation = known
            .provider
            .cancel_transfer(&known.credentials, guest, leg, self.moment());
        let ended = match operation {
            Ok(operation) => self.inner.performer.run(operation, &known.scope).await.map(drop),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = ended {
            tracing::error!(%error, "a leg that answered too late could not be ended");
        }
    }

    async fn end_caller(&self, known: &Known, call: &CallRecord, id: &TransferId) {
        let first = self
            .inner
            .store
            .advance_transfer(id, TransferState::Over, None, self.inner.clock.unix_ms())
            .await;
        if !matches!(first, Ok(true)) {
            return;
        }
        let guest = self.guest_call(&known.provider, call);
        let ended = match known.provider.hang_up(&known.credentials, guest, self.moment()) {
            Ok(operation) => self.inner.performer.run(operation, &known.scope).await.map(drop),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = ended {
            tracing::error!(%error, "a caller whose destination has left could not be hung up");
        }
    }

    /// Asks a live call to connect its caller with somebody else.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn transfer(
        &self,
        call: &CallId,
        request: crate::agent::TransferRequest,
    ) -> Result<TransferId, strowger_call::TransferFailure> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let session = self.session(call).ok_or(strowger_call::TransferFailure::NotConnected)?;
        let asked = SessionMessage::Transfer { request, reply };
        if session.mailbox.send(asked).await.is_err() {
            return Err(strowger_call::TransferFailure::CallEnded);
        }
        answer.await.unwrap_or(Err(strowger_call::TransferFailure::CallEnded))
    }

    /// Withdraws the transfer of a call; `false` when there is none that could be.
    pub async fn cancel_transfer(&self, call: &CallId) -> bool {
        let Some(session) = self.session(call) else {
            return false;
        };
        let (reply, answer) = tokio::sync::oneshot::channel();
        let sent = session.mailbox.send(SessionMessage::CancelTransfer { reply }).await;
        sent.is_ok() && answer.await.unwrap_or(false)
    }

    /// Tells the sessions whose callers talk to somebody else that nobody need wait for them.
    pub(super) async fn release_transferred(&self) {
        let sessions: Vec<SessionHandle> = self.sessions().values().cloned().collect();
        for session in sessions {
            drop(session.mailbox.send(SessionMessage::Drain).await);
        }
    }
}

/// The second leg as a component sees it. `base` is where the provider's routes begin.
pub(super) fn transfer_leg(provider: &Provider, base: &str, transfer: &TransferRecord) -> TransferLeg {
    let routes = provider
        .spec()
        .routes
        .iter()
        .filter(|route| route.purpose == RoutePurpose::Transfer);
    TransferLeg {
        id: transfer.asked.id.as_str().to_owned(),
        state: match transfer.state {
            TransferState::Dialing => operation::TransferState::Dialing,
            TransferState::Answered => operation::TransferState::Answered,
            TransferState::Connected => operation::TransferState::Connected,
            TransferState::Over => operation::TransferState::Over,
        },
        destination: transfer.asked.destination.expose().to_owned(),
        caller_id: transfer
            .asked
            .caller_id
            .as_ref()
            .map(|caller_id| caller_id.expose().to_owned()),
        trunk: transfer.asked.trunk.clone(),
        ring_timeout_s: transfer.asked.ring_timeout_s,
        announcement: transfer.asked.announcement.clone(),
        provider_call_id: transfer.provider_call_id.as_ref().map(|id| id.expose().to_owned()),
        routes: routes
            .map(|route| RouteUrl {
                name: route.name.clone(),
                url: route.url(base, transfer.asked.id.as_str()),
            })
            .collect(),
        attachment: transfer.attachment.as_ref().map(serde_json::Value::to_string),
    }
}
