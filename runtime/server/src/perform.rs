//! Runs a provider's operation to its end: guest code on the threads for blocking work, effects here.

use strowger_host::operation::{Effect, Reply, Step};
use strowger_host::{Failure, IncomingResponse, InvokeError, Operation, OutgoingRequest};
use thiserror::Error;

use crate::budget::{Budgets, KeepError, KeepsTooMuch};
use crate::clock::Clock;
use crate::egress::{Egress, HostGrant, Request};
use crate::guests::GuestThreads;
use crate::store::{OrganizationId, Scope, Store, StoreError};

/// Why an operation has no result.
#[derive(Debug, Error)]
pub enum PerformError {
    /// The provider's verdict.
    #[error("{}: {}", .0.code, .0.message)]
    Failed(Failure),
    /// The component's fault or the host's.
    #[error(transparent)]
    Invoke(#[from] InvokeError),
    /// Ours.
    #[error("a value that the provider keeps could not be read or written")]
    Store(#[from] StoreError),
    /// The organisation's providers keep as much as they may.
    #[error(transparent)]
    KeepsTooMuch(#[from] KeepsTooMuch),
    /// Ours: the thread of the guest is gone.
    #[error("the operation was abandoned")]
    Abandoned,
}

impl PerformError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Failed(failure) => failure.retryable,
            Self::Invoke(InvokeError::Host(_) | InvokeError::Budget(_))
            | Self::Store(_)
            | Self::KeepsTooMuch(_)
            | Self::Abandoned => true,
            Self::Invoke(InvokeError::Guest(_) | InvokeError::Configuration(_)) => false,
        }
    }

    /// A short code for records.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Failed(failure) => failure.code.clone(),
            Self::Invoke(InvokeError::Guest(fault)) => format!("provider-{}", fault.code()),
            Self::Invoke(InvokeError::Configuration(_)) => "configuration-refused".to_owned(),
            Self::Invoke(InvokeError::Budget(_)) | Self::KeepsTooMuch(_) => "budget-used-up".to_owned(),
            Self::Invoke(InvokeError::Host(_)) | Self::Store(_) | Self::Abandoned => "internal".to_owned(),
        }
    }
}

/// What operations are performed with. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Performer {
    egress: Egress,
    store: Store,
    clock: Clock,
    budgets: Budgets,
    guests: GuestThreads,
}

impl Performer {
    /// Performs effects through this door and this store.
    #[must_use]
    pub fn new(egress: Egress, store: Store, clock: Clock, budgets: Budgets, guests: GuestThreads) -> Self {
        Self {
            egress,
            store,
            clock,
            budgets,
            guests,
        }
    }

    /// Runs guest code away from the threads that serve sockets. An organisation's guests wait for each other before they
    /// wait for those of others, so that one's never take all turns.
    ///
    /// # Errors
    /// Those of `invoke`.
    pub async fn invoke<T, E>(
        &self,
        organization: Option<&OrganizationId>,
        invoke: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Abandoned> + Send + 'static,
    {
        let own = match organization {
            Some(organization) => Some(
                self.budgets
                    .guests(organization)
                    .acquire_owned()
                    .await
                    .map_err(|_| Abandoned)?,
            ),
            None => None,
        };
        // What is refused to an organisation says whose it is.
        let span = match organization {
            Some(organization) => tracing::info_span!("guest", organization = organization.as_str()),
            None => tracing::Span::current(),
        };
        let invoked = self.guests.run(move || {
            let _turn = own;
            span.in_scope(invoke)
        });
        invoked.await.ok_or(Abandoned)?
    }

    /// Drives an operation: step, effect, reply, step. `scope` is what its keys belong to.
    ///
    /// # Errors
    /// The provider's verdict, or a fault.
    pub async fn run<T: Send + 'static>(&self, operation: Operation<T>, scope: &Scope) -> Result<T, PerformError> {
        let mut operation = operation;
        loop {
            let (step, stepped) = self
                .invoke(Some(&scope.organization), move || -> Result<_, PerformError> {
                    let step = operation.step()?;
                    Ok((step, operation))
                })
                .await?;
            operation = stepped;
            match step {
                Step::Done(value) => return Ok(value),
                Step::Failed(failure) => return Err(PerformError::Failed(failure)),
                Step::Perform(effect) => operation.reply(self.perform(effect, scope).await?),
            }
        }
    }

    async fn perform(&self, effect: Effect, scope: &Scope) -> Result<Reply, PerformError> {
        let now = self.clock.unix_ms();
        Ok(match effect {
            Effect::Http(request) => self.send(request).await,
            Effect::Load { key } => Reply::Value(self.store.load_state(scope, &key, now).await?),
            Effect::Save { key, value, ttl } => {
                self.keep(scope, key.len() + value.to_string().len()).await?;
                self.store.save_state(scope, &key, &value, ttl, now).await?;
                Reply::Saved
            }
            Effect::Claim { key, ttl } => {
                self.keep(scope, key.len()).await?;
                Reply::Claimed(self.store.claim_state(scope, &key, ttl, now).await?)
            }
        })
    }

    /// Whether an organisation may have one more value kept.
    ///
    /// # Errors
    /// When it keeps too much, or nobody can tell.
    pub async fn keep(&self, scope: &Scope, bytes: usize) -> Result<(), PerformError> {
        let now = self.clock.unix_ms();
        match self.budgets.keep(&self.store, &scope.organization, bytes, now).await {
            Ok(()) => Ok(()),
            Err(KeepError::TooMuch(refusal)) => Err(refusal.into()),
            Err(KeepError::Store(error)) => Err(error.into()),
        }
    }

    async fn send(&self, request: OutgoingRequest) -> Reply {
        let mut grants = Vec::with_capacity(request.grants.len());
        for grant in &request.grants {
            match grant.parse::<HostGrant>() {
                Ok(grant) => grants.push(grant),
                Err(error) => tracing::warn!(%error, "a host of the provider's spec grants nothing"),
            }
        }
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().as_bytes().to_vec()))
            .collect();
        let sent = self
            .egress
            .send(Request {
                method: request.method,
                url: request.url.to_string(),
                headers,
                body: request.body.into(),
                grants: &grants,
            })
            .await;
        match sent {
            Ok(response) => Reply::Http(IncomingResponse {
                status: response.status,
                headers: response.headers,
                body: response.body.to_vec(),
            }),
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "request to the carrier failed");
                Reply::Unreachable(error.code().to_owned())
            }
        }
    }
}

/// The thread that ran the guest is gone, which only happens when the process ends.
#[derive(Debug)]
pub struct Abandoned;

impl From<Abandoned> for PerformError {
    fn from(_: Abandoned) -> Self {
        Self::Abandoned
    }
}
