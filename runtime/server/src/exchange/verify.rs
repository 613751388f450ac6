//! The one way in which a webhook becomes genuine.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use strowger_host::operation::Moment;
use strowger_host::{Credentials, InvokeError, Provider, Refusal, RejectionReason, Verdict, Webhook};

use super::versions::rejection_of;
use super::{Exchange, Refused};
use crate::perform::PerformError;
use crate::store::Scope;

impl Exchange {
    /// Verifies a webhook under a configuration. Fails closed: a fault of the provider, or of ours, is a refusal.
    pub(super) async fn verify(
        &self,
        provider: &Provider,
        credentials: &Credentials,
        scope: &Scope,
        webhook: &Webhook,
    ) -> Result<(), Refused> {
        let moment = Moment::at(self.inner.clock.unix_ms_unsigned());
        let fingerprint = fingerprint(webhook);
        let (guest, credentials, webhook) = (self.before_proof(provider), credentials.clone(), webhook.clone());
        let verdict = self
            .inner
            .performer
            .invoke(Some(&scope.organization), move || {
                guest
                    .verify(&credentials, &webhook, &moment)
                    .map_err(PerformError::from)
            })
            .await;
        let once = match verdict {
            Ok(Verdict::Genuine { once, .. }) => once,
            Ok(Verdict::Refused(refusal)) => {
                let why = why(&refusal);
                tracing::warn!(provider = provider.name(), why, "a webhook was refused");
                return Err(Refused::NotGenuine);
            }
            Err(PerformError::Invoke(InvokeError::Budget(refusal))) => {
                tracing::warn!(provider = provider.name(), %refusal, "a webhook was not verified");
                return Err(Refused::OverBudget(rejection_of(&refusal)));
            }
            // Still closed, but the carrier may repeat a genuine one.
            Err(
                error @ (PerformError::Invoke(InvokeError::Host(_)) | PerformError::Abandoned | PerformError::Store(_)),
            ) => {
                tracing::error!(provider = provider.name(), %error, "a webhook could not be verified");
                return Err(Refused::Unavailable);
            }
            Err(error) => {
                tracing::error!(provider = provider.name(), %error, "a webhook could not be verified");
                return Err(Refused::NotGenuine);
            }
        };
        let now = self.inner.clock.unix_ms();
        for guard in once {
            match self
                .inner
                .performer
                .keep(scope, guard.key.len() + fingerprint.len())
                .await
            {
                Ok(()) => {}
                Err(PerformError::KeepsTooMuch(refusal)) => {
                    tracing::warn!(provider = provider.name(), %refusal, "a webhook was refused");
                    return Err(Refused::OverBudget(RejectionReason::Quota));
                }
                Err(error) => {
                    tracing::error!(%error, "a webhook could not be checked for repetition");
                    return Err(Refused::Unavailable);
                }
            }
            let ttl = Duration::from_millis(u64::from(guard.ttl_ms));
            match self
                .inner
                .store
                .claim_state_by(scope, &format!("once:{}", guard.key), &fingerprint, ttl, now)
                .await
            {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(provider = provider.name(), "a webhook was refused: it was seen before");
                    return Err(Refused::NotGenuine);
                }
                Err(error) => {
                    tracing::error!(%error, "a webhook could not be checked for repetition");
                    return Err(Refused::Unavailable);
                }
            }
        }
        Ok(())
    }
}

/// By this the same webhook is known when it comes again. A carrier that did not hear our answer repeats itself, and what is
/// said twice is one thing to whoever acts on it; what is new behind a nonce that was seen is a forgery.
fn fingerprint(webhook: &Webhook) -> String {
    let mut digest = Sha256::new();
    for part in [webhook.method.as_bytes(), webhook.url.as_bytes(), &webhook.body] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize())
}

/// The reason for the log: in our words and in the provider's codes, never in its sentences, which may quote what came.
fn why(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Rejected { code, .. } => code.clone(),
        Refusal::NoProof => "no proof was described".to_owned(),
        Refusal::NotProved(failed) => {
            let mut reasons: Vec<&str> = failed.iter().map(|proof| proof.failed.as_str()).collect();
            reasons.dedup();
            reasons.join("; ")
        }
    }
}
