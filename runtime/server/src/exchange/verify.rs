//! The one way in which a webhook becomes genuine.

use strowger_host::operation::Moment;
use strowger_host::{Credentials, Provider, Verdict, Webhook};
use std::time::Duration;

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
        let (guest, credentials, webhook) = (provider.clone(), credentials.clone(), webhook.clone());
        let verdict =
            self.inner.performer.invoke(move || guest.verify(&credentials, &webhook, &moment).map_err(PerformError::from)).await;
        let once = match verdict {
            Ok(Verdict::Genuine { once, .. }) => once,
            Ok(Verdict::Refused(refusal)) => {
                tracing::warn!(provider = provider.name(), ?refusal, "a webhook was refused");
                return Err(Refused::NotGenuine);
            }
            Err(error) => {
                tracing::error!(provider = provider.name(), %error, "a webhook could not be verified");
                return Err(Refused::NotGenuine);
            }
        };
        let now = self.inner.clock.unix_ms();
        for guard in once {
            let ttl = Duration::from_millis(u64::from(guard.ttl_ms));
            match self.inner.store.claim_state(scope, &format!("once:{}", guard.key), ttl, now).await {
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
