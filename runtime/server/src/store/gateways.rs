//! The gateways that share the database, and the calls that nobody carries any more.
//!
//! A gateway has a row from before its first call until it ends, and every call names its gateway. So a call whose gateway has
//! no row is abandoned, whoever looks; which rows are to go is decided by [`crate::admission::watch`], without a clock that
//! two machines would have to agree on.

use std::time::Duration;

use super::calls::call_of;
use super::{CallRecord, Store, StoreError, UnixMs, get, optional, parse};
use crate::admission::GatewayId;

/// A gateway as it announces itself.
#[derive(Debug, Clone)]
pub struct NewGateway {
    /// Its name.
    pub id: GatewayId,
    /// The data directory that it has to itself, if it does.
    pub place: Option<String>,
    /// It renews its row more often than that.
    pub lease: Duration,
}

/// The row of another gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRow {
    /// Its name.
    pub id: GatewayId,
    /// Another value after each renewal.
    pub stamp: i64,
    /// It renews its row more often than that.
    pub lease: Duration,
}

impl Store {
    /// Announces a gateway, or says that it still lives. `true` when it had no row: it is new, or was taken for dead.
    ///
    /// # Errors
    /// The database fails.
    pub async fn renew_gateway(&self, gateway: &NewGateway, now: UnixMs) -> Result<bool, StoreError> {
        let lease_ms = UnixMs::try_from(gateway.lease.as_millis()).unwrap_or(UnixMs::MAX);
        let until = now.saturating_add(lease_ms);
        // Each renewal is seen, also while the clock is set back and forth.
        let query = sqlx::query(
            "UPDATE gateway_leases SET expires_at = CASE WHEN expires_at = $2 THEN $2 + 1 ELSE $2 END, lease_ms = $3 \
             WHERE gateway_id = $1 RETURNING gateway_id",
        )
        .bind(gateway.id.as_str())
        .bind(until)
        .bind(lease_ms);
        if optional(query, &self.writer).await?.is_some() {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO gateway_leases (gateway_id, expires_at, place, started_at, lease_ms) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (gateway_id) DO NOTHING",
        )
        .bind(gateway.id.as_str())
        .bind(until)
        .bind(gateway.place.as_deref())
        .bind(now)
        .bind(lease_ms)
        .execute(&self.writer)
        .await?;
        Ok(true)
    }

    /// Says that a gateway carries no calls any more.
    ///
    /// # Errors
    /// The database fails; others find out.
    pub async fn end_gateway(&self, gateway: &GatewayId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM gateway_leases WHERE gateway_id = $1")
            .bind(gateway.as_str())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The other gateways on this database.
    ///
    /// # Errors
    /// The database fails.
    pub async fn other_gateways(&self, own: &GatewayId) -> Result<Vec<GatewayRow>, StoreError> {
        let query = sqlx::query("SELECT gateway_id, expires_at, lease_ms FROM gateway_leases WHERE gateway_id <> $1")
            .bind(own.as_str());
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(GatewayRow {
                    id: parse(row, "gateway_id", GatewayId::try_from)?,
                    stamp: get(row, "expires_at")?,
                    lease: Duration::from_millis(u64::try_from(get::<i64>(row, "lease_ms")?).unwrap_or(0)),
                })
            })
            .collect()
    }

    /// Takes a gateway for dead, unless it has renewed its row since that was read.
    ///
    /// # Errors
    /// The database fails.
    pub async fn bury_gateway(&self, dead: &GatewayRow) -> Result<bool, StoreError> {
        let result = sqlx::query("DELETE FROM gateway_leases WHERE gateway_id = $1 AND expires_at = $2")
            .bind(dead.id.as_str())
            .bind(dead.stamp)
            .execute(&self.writer)
            .await?;
        Ok(result.rows_affected() == 1)
    }

    /// Takes the earlier gateways for dead that had this one's data directory to themselves, as it has now.
    ///
    /// # Errors
    /// The database fails.
    pub async fn succeed_gateways(&self, own: &NewGateway) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM gateway_leases WHERE place = $1 AND gateway_id <> $2")
            .bind(own.place.as_deref())
            .bind(own.id.as_str())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Calls of all organisations whose record is open and whose gateway is gone, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn abandoned_calls(&self) -> Result<Vec<CallRecord>, StoreError> {
        let sql = format!(
            "SELECT {} FROM calls WHERE state <> 'completed' AND NOT EXISTS \
             (SELECT 1 FROM gateway_leases g WHERE g.gateway_id = calls.gateway_id) ORDER BY created_at, id",
            super::calls::COLUMNS
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.iter().map(call_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::new_call;
    use super::super::testing::{self, KEY};
    use super::super::{Admitted, Terms};
    use super::*;
    use crate::admission::CallLimits;

    fn gateway(place: Option<&str>) -> NewGateway {
        NewGateway {
            id: GatewayId::generate().unwrap(),
            place: place.map(str::to_owned),
            lease: Duration::from_secs(30),
        }
    }

    async fn call_of(store: &Store, gateway: &NewGateway, configuration: &super::super::Configuration) -> CallRecord {
        let limits = CallLimits::default();
        let terms = Terms {
            limits: &limits,
            gateway: &gateway.id,
        };
        let new = new_call(configuration, Some(gateway.id.as_str()));
        match store.admit_inbound_call(&new, terms, 10).await.unwrap() {
            Admitted::Created { call, .. } => *call,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn calls_are_abandoned_when_their_gateway_is_gone_and_not_before() {
        let one = testing::open().await;
        let other = one.again(KEY).await.unwrap();
        let acme = one.organization("Acme").await;
        let configuration = one.configuration(&acme, "main", Some("A1")).await;
        let (first, second) = (gateway(Some("here")), gateway(Some("there")));
        assert!(one.renew_gateway(&first, 1).await.unwrap());
        assert!(other.renew_gateway(&second, 1).await.unwrap());
        let (mine, theirs) = (
            call_of(&one, &first, &configuration).await,
            call_of(&other, &second, &configuration).await,
        );
        assert_eq!(one.abandoned_calls().await.unwrap(), []);

        // Its row has changed since it was read: it lives.
        let seen = one.other_gateways(&first.id).await.unwrap();
        assert_eq!(seen.len(), 1);
        assert!(!other.renew_gateway(&second, 1).await.unwrap());
        assert!(!one.bury_gateway(&seen[0]).await.unwrap());
        assert_eq!(one.abandoned_calls().await.unwrap(), []);
        let seen = one.other_gateways(&first.id).await.unwrap();
        assert!(one.bury_gateway(&seen[0]).await.unwrap());
        assert_eq!(one.abandoned_calls().await.unwrap(), [theirs]);
        // It lived all the same, and hears of it.
        assert!(other.renew_gateway(&second, 2).await.unwrap());
        assert_eq!(one.abandoned_calls().await.unwrap(), []);

        // Whoever has its data directory to himself is its successor; one that shares another succeeds nobody.
        let third = gateway(None);
        other.renew_gateway(&third, 3).await.unwrap();
        other.succeed_gateways(&third).await.unwrap();
        assert_eq!(other.abandoned_calls().await.unwrap(), []);
        let third = gateway(Some("here"));
        other.renew_gateway(&third, 3).await.unwrap();
        other.succeed_gateways(&third).await.unwrap();
        assert_eq!(other.abandoned_calls().await.unwrap(), std::slice::from_ref(&mine));
        // One that ends in order leaves no row either.
        other.end_gateway(&second.id).await.unwrap();
        assert_eq!(other.abandoned_calls().await.unwrap().len(), 2);
    }
}
