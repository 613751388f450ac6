//! Who keeps an event socket open. The database compares and swaps in one statement, so that of any number of processes
//! that ask at once one gets the lease.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use url::Url;

use super::{Store, StoreError, UnixMs, optional};

/// What a lease is for: one socket, wherever in the world somebody wants to open it. The URL itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseKey(String);

impl LeaseKey {
    /// The key of the socket at this URL.
    #[must_use]
    pub fn of(url: &Url) -> Self {
        Self(hex::encode(Sha256::digest(url.as_str())))
    }
}

impl Store {
    /// Takes a lease, or renews one's own, until `now + ttl`. `false` while somebody else has it. Processes that share a
    /// database must agree on the time of day to within a fraction of `ttl`: a lease that ends later than it could if that were
    /// so is from before the clock was set back, and is nobody's.
    ///
    /// # Errors
    /// The database fails. Who cannot tell does not have the lease.
    pub async fn take_lease(
        &self,
        key: &LeaseKey,
        owner: &str,
        ttl: Duration,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "INSERT INTO event_socket_leases (lease_key, owner, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (lease_key) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at \
             WHERE event_socket_leases.owner = excluded.owner OR event_socket_leases.expires_at <= $4 \
             OR event_socket_leases.expires_at > $5 RETURNING lease_key",
        )
        .bind(&*key.0)
        .bind(owner)
        .bind(after(now, ttl))
        .bind(now)
        .bind(after(now, ttl * 2));
        Ok(optional(query, &self.writer).await?.is_some())
    }

    /// Gives a lease back, so that nobody has to wait for its end. One that is somebody else's by now stays.
    ///
    /// # Errors
    /// The database fails; the lease then ends by itself.
    pub async fn release_lease(&self, key: &LeaseKey, owner: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM event_socket_leases WHERE lease_key = $1 AND owner = $2")
            .bind(&*key.0)
            .bind(owner)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

fn after(now: UnixMs, time: Duration) -> UnixMs {
    now.saturating_add(UnixMs::try_from(time.as_millis()).unwrap_or(UnixMs::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn key() -> LeaseKey {
        LeaseKey::of(&Url::parse("wss://pbx.example/pbx/events?app=strowger-1").unwrap())
    }

    /// Two processes, each with a store of its own on one file.
    async fn two() -> (testing::TestStore, Store) {
        let one = testing::open().await;
        let other = one.again(testing::KEY).await.unwrap();
        (one, other)
    }

    #[tokio::test]
    async fn one_of_two_processes_has_the_lease_and_the_other_gets_it_when_it_ends() {
        let (one, other) = two().await;
        assert!(one.take_lease(&key(), "one", TTL, 0).await.unwrap());
        assert!(!other.take_lease(&key(), "other", TTL, 29_999).await.unwrap());
        // Renewed, it lasts longer.
        assert!(one.take_lease(&key(), "one", TTL, 10_000).await.unwrap());
        assert!(!other.take_lease(&key(), "other", TTL, 39_999).await.unwrap());
        // The first has died.
        assert!(other.take_lease(&key(), "other", TTL, 40_000).await.unwrap());
        // It comes back, and finds that it has lost it.
        assert!(!one.take_lease(&key(), "one", TTL, 40_001).await.unwrap());
    }

    #[tokio::test]
    async fn a_lease_that_is_given_back_is_free_and_nobody_gives_back_another_ones() {
        let (one, other) = two().await;
        assert!(one.take_lease(&key(), "one", TTL, 0).await.unwrap());
        other.release_lease(&key(), "other").await.unwrap();
        assert!(!other.take_lease(&key(), "other", TTL, 1).await.unwrap());
        one.release_lease(&key(), "one").await.unwrap();
        assert!(other.take_lease(&key(), "other", TTL, 2).await.unwrap());
    }

    #[tokio::test]
    async fn of_many_that_ask_at_once_one_gets_it() {
        let (one, other) = two().await;
        let mut asking = tokio::task::JoinSet::new();
        for number in 0..16 {
            let store = if number % 2 == 0 {
                one.store.clone()
            } else {
                other.clone()
            };
            asking.spawn(async move {
                store
                    .take_lease(&key(), &format!("owner {number}"), TTL, 0)
                    .await
                    .unwrap()
            });
        }
        let winners = asking.join_all().await.into_iter().filter(|&won| won).count();
        assert_eq!(winners, 1);
    }

    #[tokio::test]
    async fn a_lease_from_before_the_clock_was_set_back_does_not_last_for_hours() {
        let (one, other) = two().await;
        let hour = 3_600_000;
        assert!(one.take_lease(&key(), "one", TTL, hour).await.unwrap());
        // A clock that is a little behind takes nothing away.
        assert!(!other.take_lease(&key(), "other", TTL, hour - 20_000).await.unwrap());
        assert!(other.take_lease(&key(), "other", TTL, 0).await.unwrap());
        assert!(!one.take_lease(&key(), "one", TTL, 1).await.unwrap());
        // Whoever has it keeps it, whatever the clock does.
        assert!(other.take_lease(&key(), "other", TTL, hour).await.unwrap());
        assert!(other.take_lease(&key(), "other", TTL, 2).await.unwrap());
    }

    #[tokio::test]
    async fn another_socket_has_another_lease() {
        let store = testing::open().await;
        let elsewhere = LeaseKey::of(&Url::parse("wss://pbx.example/pbx/events?app=strowger-2").unwrap());
        assert!(store.take_lease(&key(), "one", TTL, 0).await.unwrap());
        assert!(store.take_lease(&elsewhere, "other", TTL, 0).await.unwrap());
    }
}
