//! A call goes out: write it down, ask the carrier, and let its session wait for the answer.

use std::time::Duration;

use strowger_call::{Direction, Event, Limits, ProviderCallId};
use strowger_host::operation::{DetectionMode, Outbound};
use strowger_host::spec::RoutePurpose;
use strowger_host::{Ability, Credentials, Provider};

use super::inbound::ContextParts;
use super::{Exchange, MEDIA_TOKEN_TTL_MS};
use crate::admission::Refusal;
use crate::api::{CallRequest, OperationError};
use crate::invocations::costs::CallCosts;
use crate::perform::PerformError;
use crate::session::{SessionHandle, SessionMessage};
use crate::store::{Admitted, CallRecord, MediaToken, NewCall, Scope, StoreError, new_call_id};

/// How much longer than the carrier we let a call ring.
const RING_GRACE: Duration = Duration::from_secs(10);

impl Exchange {
    /// Places a call. Returns when the carrier has taken it, or refused; a refused call has a record that says so.
    pub(super) async fn place(&self, request: CallRequest) -> Result<CallRecord, OperationError> {
        let name = request.configuration.provider.clone();
        let id = new_call_id();
        let provider = self
            .provider_for_new_call(&request.organization, &name, id.as_str())
            .ok_or(OperationError::ProviderMissing)?;
        let credentials = super::operations::credentials(&provider, &request.configuration)?;
        let limits = self.limits_of(&request.organization).await?;
        // Before anything is asked of anybody.
        if let Err(prefix) = limits.destinations.permit(&request.callee) {
            return Err(self.refused(&request.organization, Refusal::denied(prefix)).into());
        }
        let scope = Scope::of(&request.configuration);
        let detect_machine = match request.detect_machine {
            Some(mode) => Some(mode),
            None => self.configured_detection(&provider, &credentials, &scope).await?,
        };

        let trunk = if provider.can(Ability::Trunks) {
            let caller_id = request.caller_id.as_ref().map(|number| number.address.expose());
            self.trunk_for(&request.configuration.id, caller_id).await?
        } else {
            None
        };

        let ring_timeout_s = request.ring_timeout_s.clamp(5, 120);
        let ring_timeout = Duration::from_secs(u64::from(ring_timeout_s));
        let token = MediaToken::generate()?;
        let now = self.inner.clock.unix_ms();
        let caller = request.caller_id.as_ref().map(|number| number.address.clone());
        let new = NewCall {
            id: id.clone(),
            organization: request.organization.clone(),
            configuration: request.configuration.id.clone(),
            number: request.caller_id.as_ref().map(|number| number.id.clone()),
            agent: Some(request.agent.id.clone()),
            provider: name,
            provider_version: provider.digest().to_owned(),
            provider_call_id: None,
            caller: caller.clone(),
            callee: request.callee.clone(),
            attachment: None,
            media: Some((token.clone(), now + MEDIA_TOKEN_TTL_MS)),
        };
        let mut context = self
            .context(ContextParts {
                id: id.clone(),
                direction: Direction::Outbound,
                provider: provider.clone(),
                credentials: credentials.clone(),
                scope,
                caller: caller.as_ref().map_or("", |caller| caller.expose()).to_owned(),
                callee: request.callee.expose().to_owned(),
                provider_call_id: None,
                agent: &request.agent,
                token: &token,
                // The carrier's own ring timeout comes first; ours is for a carrier that forgets.
                limits: Limits {
                    ring_timeout: ring_timeout + RING_GRACE,
                    ..self.limits(&limits)
                },
                costs: CallCosts::open(&provider),
            })
            .map_err(|problem| OperationError::Internal(format!("the agent cannot take calls: {problem}")))?;
        let session = {
            let Some(_admission) = self.admission().await else {
                return Err(StoreError::Locked.into());
            };
            if self.is_draining() {
                return Err(OperationError::Stopping);
            }
            if self.live_calls() >= self.inner.options.calls_max {
                return Err(OperationError::AtCapacity);
            }
            let terms = self.terms(&limits);
            match self.inner.store.admit_outbound_call(&new, terms, now).await? {
                Admitted::Created { seconds_left, .. } => {
                    if let Some(left) = seconds_left.map(Duration::from_secs) {
                        let longest = &mut context.limits.call_duration_max;
                        *longest = (*longest).min(left);
                    }
                    self.start_session(context)
                }
                Admitted::Refused(refusal) => return Err(self.refused(&request.organization, refusal).into()),
                Admitted::Existing(_) => {
                    return Err(OperationError::Internal("a call is placed twice".to_owned()));
                }
            }
        };

        let guest = session.context.guest_call(None, None);
        let answer = provider
            .spec()
            .routes
            .iter()
            .find(|route| route.purpose == RoutePurpose::Answer);
        let outbound = Outbound {
            caller_id: caller.map(|caller| caller.expose().to_owned()),
            answer_url: answer
                .and_then(|route| guest.routes.iter().find(|url| url.name == route.name))
                .map(|url| url.url.clone()),
            media: session.context.media.clone(),
            ring_timeout_s,
            detect_machine,
            trunk,
        };
        let moment = session.context.moment();
        let placed = match session
            .context
            .provider
            .place_call(&credentials, guest, outbound, moment)
        {
            Ok(operation) => session.context.run(operation).await,
            Err(error) => Err(PerformError::Invoke(error)),
        };
        match placed {
            Ok(placed) => self.placed(&session, placed).await,
            Err(error) => {
                let event = Event::PlaceFailed {
                    code: error.code(),
                    message: error.to_string(),
                    retryable: error.is_retryable(),
                };
                session.event(event).await;
                Err(error.into())
            }
        }
    }

    async fn placed(
        &self,
        session: &SessionHandle,
        placed: strowger_host::operation::Placed,
    ) -> Result<CallRecord, OperationError> {
        let id = &session.context.call_id;
        let Ok(provider_call_id) = ProviderCallId::new(placed.provider_call_id) else {
            let message = "the provider gave no usable identifier of the call".to_owned();
            session
                .event(Event::PlaceFailed {
                    code: "no-identifier".to_owned(),
                    message,
                    retryable: false,
                })
                .await;
            return Err(OperationError::ProviderFault {
                code: "no-identifier".to_owned(),
            });
        };
        // First the session: whatever the store does, a call that the carrier has taken must be one that can be hung up.
        session
            .event(Event::Placed {
                provider_call_id: provider_call_id.clone(),
            })
            .await;
        self.inner
            .store
            .set_first_provider_call_id(id, &provider_call_id)
            .await?;
        if let Some(attachment) = placed.attachment {
            self.inner.store.set_attachment(id, &attachment).await?;
            drop(session.mailbox.send(SessionMessage::Attach(attachment)).await);
        }
        let call = self.inner.store.call_by_id(id).await?;
        call.ok_or_else(|| OperationError::Internal("a call that was just written is not there".to_owned()))
    }

    /// What the configuration itself asks for.
    async fn configured_detection(
        &self,
        provider: &Provider,
        credentials: &Credentials,
        scope: &Scope,
    ) -> Result<Option<DetectionMode>, PerformError> {
        if !provider.can(Ability::Detection) {
            return Ok(None);
        }
        let moment = self.moment();
        let (guest, credentials) = (provider.clone(), credentials.clone());
        let modes = self
            .inner
            .performer
            .invoke(Some(&scope.organization), move || -> Result<_, PerformError> {
                Ok(guest.detection_modes(&credentials, &moment)?)
            })
            .await?;
        Ok(modes.first().copied())
    }
}
