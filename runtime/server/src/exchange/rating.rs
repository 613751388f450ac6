//! What calls cost. Carriers rate a call minutes after its end, so those without a price are asked about again, ever less
//! often.

use std::time::Duration;

use strowger_host::Ability;

use super::Exchange;
use crate::api::OperationError;
use crate::store::{CallRecord, StoreError, UnixMs};

/// How old an ended call is when its price is asked for. A carrier that has none after the last will not have one.
const AGES: [Duration; 5] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(20 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(12 * 3600),
];

impl Exchange {
    /// Asks for the price of every answered call that came to one of the ages at `previous` or later, and before `now`.
    ///
    /// # Errors
    /// When the store fails. What a carrier answers is no reason to stop.
    pub async fn rate_calls(&self, previous: UnixMs, now: UnixMs) -> Result<(), StoreError> {
        let own = &self.inner.slots.gateway;
        for age in AGES {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            for call in self.store().unrated_calls(own, previous - age, now - age).await? {
                let rated = match self.price(&call).await {
                    Ok(Some(cost)) => self
                        .store()
                        .set_cost(&call.id, &cost, now)
                        .await
                        .map_err(OperationError::from),
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                if let Err(error) = rated {
                    tracing::warn!(call = call.id.as_str(), %error, "a call has no price yet");
                }
            }
        }
        Ok(())
    }

    async fn price(&self, call: &CallRecord) -> Result<Option<serde_json::Value>, OperationError> {
        let Some(configuration) = &call.configuration else {
            return Ok(None);
        };
        if !self
            .provider_of(&call.organization, &call.provider)
            .is_some_and(|provider| provider.can(Ability::Calling))
        {
            return Ok(None);
        }
        let configuration = self
            .store()
            .find_configuration(&call.organization, configuration)
            .await?;
        let moment = self.moment();
        let cost = self
            .ask(&configuration, |provider, credentials| {
                provider.fetch_cost(credentials, self.guest_call(provider, call), moment)
            })
            .await?;
        Ok(cost.map(|cost| serde_json::json!({ "amount": cost.amount, "currency": cost.currency })))
    }
}
