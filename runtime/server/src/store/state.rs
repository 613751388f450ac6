//! What providers keep between operations: the effects `load`, `save` and `claim`, and proofs that hold only once.

use std::time::Duration;

use serde_json::Value;

use super::{Configuration, ConfigurationId, OrganizationId, Store, StoreError, UnixMs, corrupt, get, json, optional};

/// Whose keys: two providers, or two configurations of one, never see each other's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The organisation that the configuration belongs to.
    pub organization: OrganizationId,
    /// The configuration on whose behalf the provider acts.
    pub configuration: ConfigurationId,
    /// Name of the provider.
    pub provider: String,
}

impl Scope {
    /// That of a configuration's provider.
    #[must_use]
    pub fn of(configuration: &Configuration) -> Self {
        Self {
            organization: configuration.organization.clone(),
            configuration: configuration.id.clone(),
            provider: configuration.provider.clone(),
        }
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateUsage {
    /// Entries and claims.
    pub keys: u64,
    /// Of keys and values.
    pub bytes: u64,
}

const ENTRY: &str = "entry";
const CLAIM: &str = "claim";

impl Store {
    /// What was saved under a key, unless it has expired.
    ///
    /// # Errors
    /// The database fails.
    pub async fn load_state(&self, scope: &Scope, key: &str, now: UnixMs) -> Result<Option<Value>, StoreError> {
        let query = sqlx::query(
            "SELECT state_value FROM provider_state WHERE configuration_id = $1 AND provider = $2 AND kind = $3 AND state_key = $4 \
             AND expires_at > $5",
        )
        .bind(scope.configuration.as_str())
        .bind(&*scope.provider)
        .bind(ENTRY)
        .bind(key)
        .bind(now);
        optional(query, &self.pool)
            .await?
            .map(|row| json(&row, "state_value"))
            .transpose()
    }

    /// Keeps a value for a time, in place of the one before.
    ///
    /// # Errors
    /// `NotFound` when the configuration is gone.
    pub async fn save_state(
        &self,
        scope: &Scope,
        key: &str,
        value: &Value,
        ttl: Duration,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO provider_state (configuration_id, provider, kind, state_key, state_value, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (configuration_id, provider, kind, state_key) \
             DO UPDATE SET state_value = excluded.state_value, expires_at = excluded.expires_at",
        )
        .bind(scope.configuration.as_str())
        .bind(&*scope.provider)
        .bind(ENTRY)
        .bind(key)
        .bind(value.to_string())
        .bind(expiry(now, ttl))
        .execute(&self.writer)
        .await
        .map_err(gone)?;
        Ok(())
    }

    /// Whether this is the first claim of a key before it expires. Of any number that ask at once, one gets `true`.
    ///
    /// # Errors
    /// `NotFound` when the configuration is gone. Who cannot tell must treat the key as claimed.
    pub async fn claim_state(&self, scope: &Scope, key: &str, ttl: Duration, now: UnixMs) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "INSERT INTO provider_state (configuration_id, provider, kind, state_key, state_value, expires_at) \
             VALUES ($1, $2, $3, $4, 'null', $5) ON CONFLICT (configuration_id, provider, kind, state_key) \
             DO UPDATE SET expires_at = excluded.expires_at WHERE provider_state.expires_at <= $6 RETURNING state_key",
        )
        .bind(scope.configuration.as_str())
        .bind(&*scope.provider)
        .bind(CLAIM)
        .bind(key)
        .bind(expiry(now, ttl))
        .bind(now);
        Ok(optional(query, &self.writer).await.map_err(gone)?.is_some())
    }

    /// Like [`Self::claim_state`], and `true` again for the one who has the claim: `by` tells claimants apart.
    ///
    /// # Errors
    /// `NotFound` when the configuration is gone. Who cannot tell must treat the key as claimed by somebody else.
    pub async fn claim_state_by(
        &self,
        scope: &Scope,
        key: &str,
        by: &str,
        ttl: Duration,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "INSERT INTO provider_state (configuration_id, provider, kind, state_key, state_value, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (configuration_id, provider, kind, state_key) \
             DO UPDATE SET state_value = excluded.state_value, expires_at = excluded.expires_at \
             WHERE provider_state.expires_at <= $7 OR provider_state.state_value = excluded.state_value RETURNING state_key",
        )
        .bind(scope.configuration.as_str())
        .bind(&*scope.provider)
        .bind(CLAIM)
        .bind(key)
        .bind(Value::from(by).to_string())
        .bind(expiry(now, ttl))
        .bind(now);
        Ok(optional(query, &self.writer).await.map_err(gone)?.is_some())
    }

    /// How much the providers of an organisation keep. It reads all of it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn state_usage(&self, organization: &OrganizationId, now: UnixMs) -> Result<StateUsage, StoreError> {
        let query = sqlx::query(
            "SELECT COUNT(state_key) AS keys, CAST(COALESCE(SUM(OCTET_LENGTH(state_key) + OCTET_LENGTH(state_value)), 0) AS BIGINT) AS bytes \
             FROM provider_state WHERE expires_at > $1 AND configuration_id IN \
             (SELECT id FROM telephony_configurations WHERE organization_id = $2)",
        )
        .bind(now)
        .bind(organization.as_str());
        let Some(row) = optional(query, &self.pool).await? else {
            return Ok(StateUsage::default());
        };
        let count =
            |column| u64::try_from(get::<i64>(&row, column)?).map_err(|error| corrupt(column, error.to_string()));
        Ok(StateUsage {
            keys: count("keys")?,
            bytes: count("bytes")?,
        })
    }

    /// Forgets what has expired; returns how much. Nothing depends on it but the size of the database.
    ///
    /// # Errors
    /// The database fails.
    pub async fn purge_expired_state(&self, now: UnixMs) -> Result<u64, StoreError> {
        let result = sqlx::query("DELETE FROM provider_state WHERE expires_at <= $1")
            .bind(now)
            .execute(&self.writer)
            .await?;
        Ok(result.rows_affected())
    }
}

fn expiry(now: UnixMs, ttl: Duration) -> UnixMs {
    now.saturating_add(UnixMs::try_from(ttl.as_millis()).unwrap_or(UnixMs::MAX))
}

fn gone(error: sqlx::Error) -> StoreError {
    if error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
    {
        StoreError::NotFound {
            what: "telephony configuration",
        }
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use serde_json::json;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[tokio::test]
    async fn what_is_saved_is_loaded_in_its_scope_until_it_expires() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let scope = |configuration: &ConfigurationId| Scope {
            organization: acme.clone(),
            configuration: configuration.clone(),
            provider: "testphone".to_owned(),
        };
        let one = scope(&store.configuration(&acme, "one", None).await.id);
        let two = scope(&store.configuration(&acme, "two", None).await.id);
        store
            .save_state(&one, "cursor", &json!({ "at": 1 }), ms(90), 10)
            .await
            .unwrap();
        store
            .save_state(&one, "cursor", &json!({ "at": 2 }), ms(190), 10)
            .await
            .unwrap();
        assert_eq!(
            store.load_state(&one, "cursor", 199).await.unwrap(),
            Some(json!({ "at": 2 }))
        );
        assert_eq!(store.load_state(&one, "cursor", 200).await.unwrap(), None);
        assert_eq!(store.load_state(&two, "cursor", 1).await.unwrap(), None);
        let other = Scope {
            provider: "otherphone".to_owned(),
            ..one.clone()
        };
        assert_eq!(store.load_state(&other, "cursor", 1).await.unwrap(), None);
        // Claims and entries of one key are apart.
        assert!(store.claim_state(&one, "cursor", ms(300), 1).await.unwrap());
        assert_eq!(store.purge_expired_state(250).await.unwrap(), 1);
        assert_eq!(store.purge_expired_state(250).await.unwrap(), 0);
        let nowhere = scope(&ConfigurationId::generate());
        assert!(matches!(
            store.save_state(&nowhere, "cursor", &json!(1), ms(100), 1).await,
            Err(StoreError::NotFound { .. })
        ));
        assert!(matches!(
            store.claim_state(&nowhere, "cursor", ms(100), 1).await,
            Err(StoreError::NotFound { .. })
        ));
    }

    #[tokio::test]
    async fn of_many_claims_one_succeeds_and_again_after_expiry() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let scope = Scope {
            organization: acme.clone(),
            configuration: store.configuration(&acme, "one", None).await.id,
            provider: "testphone".to_owned(),
        };
        for now in [10, 20] {
            let claims = (0..16).map(|_| {
                let (store, scope) = (store.store.clone(), scope.clone());
                tokio::spawn(async move { store.claim_state(&scope, "nonce", ms(10), now).await.unwrap() })
            });
            let mut won = 0;
            for claim in claims.collect::<Vec<_>>() {
                won += u32::from(claim.await.unwrap());
            }
            assert_eq!(won, 1);
        }
        assert!(!store.claim_state(&scope, "nonce", ms(10), 29).await.unwrap());
    }
    #[tokio::test]
    async fn a_claim_stays_one_when_the_clock_is_set_back() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let scope = Scope {
            organization: acme.clone(),
            configuration: store.configuration(&acme, "one", None).await.id,
            provider: "testphone".to_owned(),
        };
        assert!(store.claim_state(&scope, "nonce", ms(10), 1_000).await.unwrap());
        for now in [999, 0, 1_009] {
            assert!(!store.claim_state(&scope, "nonce", ms(10), now).await.unwrap());
            store.purge_expired_state(now).await.unwrap();
        }
    }

    #[tokio::test]
    async fn whoever_has_a_claim_may_claim_again() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let scope = Scope {
            organization: acme.clone(),
            configuration: store.configuration(&acme, "one", None).await.id,
            provider: "testphone".to_owned(),
        };
        for (by, now, expected) in [
            ("one", 10, true),
            ("one", 11, true),
            ("other", 12, false),
            ("one", 13, true),
            ("other", 30, true),
            ("one", 31, false),
        ] {
            let claimed = store.claim_state_by(&scope, "nonce", by, ms(10), now).await.unwrap();
            assert_eq!(claimed, expected, "{by} at {now}");
        }
    }
}
