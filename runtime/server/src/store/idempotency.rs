//! Requests that are done once, however often they are sent: the client's key, what it was first sent with, and the answer.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{OrganizationId, Store, StoreError, UnixMs, get, json, optional};

/// How long a key is remembered, in milliseconds: a day.
const LIFETIME_MS: UnixMs = 24 * 60 * 60 * 1000;

/// A request that is sent under a key. The client's own text is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentRequest {
    organization: OrganizationId,
    key_hash: String,
    request_hash: String,
}

impl IdempotentRequest {
    /// The request that an organisation sends under `key`. `parts` are what makes it this request and no other: method, path
    /// and body.
    #[must_use]
    pub fn new(organization: OrganizationId, key: &[u8], parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // With its length, so that no two lists of parts are the same text.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self {
            organization,
            key_hash: hex::encode(Sha256::digest(key)),
            request_hash: hex::encode(hash.finalize()),
        }
    }
}

/// What is known about a request that is sent under a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Attempt {
    /// Nothing: whoever asks is to do it, and then to say how that went.
    First,
    /// It was done, and answered with this.
    Answered {
        /// HTTP status.
        status: u16,
        /// The document.
        body: Value,
    },
    /// Another request has the key.
    OtherRequest,
    /// It began then, and has no answer: it is being done, or whoever did it is gone.
    Open {
        /// When it began.
        since: UnixMs,
    },
}

impl Store {
    /// Takes a key, or says what became of the request that has it. Of two at once one is the first.
    ///
    /// # Errors
    /// The database fails. Who cannot tell must not do it.
    pub async fn begin_idempotent(&self, request: &IdempotentRequest, now: UnixMs) -> Result<Attempt, StoreError> {
        // One that has expired gives its place to the next.
        let query = sqlx::query(
            "INSERT INTO idempotent_requests (organization_id, key_hash, request_hash, started_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (organization_id, key_hash) DO UPDATE SET request_hash = excluded.request_hash, \
             status = NULL, body = NULL, started_at = excluded.started_at, expires_at = excluded.expires_at \
             WHERE idempotent_requests.expires_at <= $4 RETURNING key_hash",
        )
        .bind(request.organization.as_str())
        .bind(&*request.key_hash)
        .bind(&*request.request_hash)
        .bind(now)
        .bind(now.saturating_add(LIFETIME_MS));
        if optional(query, &self.writer).await?.is_some() {
            return Ok(Attempt::First);
        }
        let query = sqlx::query(
            "SELECT request_hash, status, body, started_at FROM idempotent_requests WHERE organization_id = $1 AND key_hash = $2",
        )
        .bind(request.organization.as_str())
        .bind(&*request.key_hash);
        // The writer's: what was written a moment ago is seen.
        let Some(row) = optional(query, &self.writer).await? else {
            // Released since: the next one who asks has it.
            return Ok(Attempt::Open { since: now });
        };
        if get::<String>(&row, "request_hash")? != request.request_hash {
            return Ok(Attempt::OtherRequest);
        }
        Ok(match get::<Option<i64>>(&row, "status")? {
            Some(status) => Attempt::Answered {
                status: u16::try_from(status).unwrap_or(500),
                body: json(&row, "body")?,
            },
            None => Attempt::Open {
                since: get(&row, "started_at")?,
            },
        })
    }

    /// Keeps the answer of a request, for whoever sends it again.
    ///
    /// # Errors
    /// The database fails; the request then stays open.
    pub async fn answer_idempotent(
        &self,
        request: &IdempotentRequest,
        status: u16,
        body: &Value,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE idempotent_requests SET status = $3, body = $4 WHERE organization_id = $1 AND key_hash = $2 AND status IS NULL",
        )
        .bind(request.organization.as_str())
        .bind(&*request.key_hash)
        .bind(i64::from(status))
        .bind(body.to_string())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Gives a key back, because nothing was done.
    ///
    /// # Errors
    /// The database fails; the request then stays open.
    pub async fn release_idempotent(&self, request: &IdempotentRequest) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM idempotent_requests WHERE organization_id = $1 AND key_hash = $2 AND status IS NULL")
            .bind(request.organization.as_str())
            .bind(&*request.key_hash)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Removes keys that have expired; how many.
    ///
    /// # Errors
    /// The database fails.
    pub async fn purge_idempotent_requests(&self, now: UnixMs) -> Result<u64, StoreError> {
        let result = sqlx::query("DELETE FROM idempotent_requests WHERE expires_at <= $1")
            .bind(now)
            .execute(&self.writer)
            .await?;
        Ok(result.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing;
    use super::*;

    fn request(organization: &OrganizationId, key: &str, body: &str) -> IdempotentRequest {
        IdempotentRequest::new(organization.clone(), key.as_bytes(), &[b"POST", body.as_bytes()])
    }

    #[tokio::test]
    async fn a_request_is_done_once_and_answered_alike_for_a_day() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let other = store.organization("Other").await;
        let asked = request(&acme, "k", "a");
        assert_eq!(store.begin_idempotent(&asked, 1).await.unwrap(), Attempt::First);
        assert_eq!(
            store.begin_idempotent(&asked, 2).await.unwrap(),
            Attempt::Open { since: 1 }
        );
        store.answer_idempotent(&asked, 201, &json!({ "n": 1 })).await.unwrap();
        // A process that starts anew finds it.
        let again = store.again(testing::KEY).await.unwrap();
        let answered = Attempt::Answered {
            status: 201,
            body: json!({ "n": 1 }),
        };
        assert_eq!(again.begin_idempotent(&asked, LIFETIME_MS).await.unwrap(), answered);
        assert_eq!(
            store.begin_idempotent(&request(&acme, "k", "b"), 3).await.unwrap(),
            Attempt::OtherRequest
        );
        // Another organisation's key of the same text is another key.
        assert_eq!(
            store.begin_idempotent(&request(&other, "k", "b"), 3).await.unwrap(),
            Attempt::First
        );

        assert_eq!(
            store.begin_idempotent(&asked, LIFETIME_MS + 1).await.unwrap(),
            Attempt::First
        );
        store.release_idempotent(&asked).await.unwrap();
        assert_eq!(
            store.begin_idempotent(&asked, LIFETIME_MS + 2).await.unwrap(),
            Attempt::First
        );
        assert_eq!(store.purge_idempotent_requests(LIFETIME_MS + 3).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn of_many_at_once_one_is_the_first() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (store, asked) = (store.store.clone(), request(&acme, "k", "a"));
            asking.spawn(async move { store.begin_idempotent(&asked, 1).await.unwrap() });
        }
        let attempts = asking.join_all().await;
        assert_eq!(attempts.iter().filter(|attempt| **attempt == Attempt::First).count(), 1);
    }
}
