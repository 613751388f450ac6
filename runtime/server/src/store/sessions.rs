//! Sessions of the console: who signed in with which key, and until when that holds.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::keys::{holder, random};
use super::{ApiKeyId, KeyHolder, SessionId, Store, StoreError, UnixMs, get, optional, parse};

/// A session that nobody used for so long is over, in milliseconds.
pub(super) const SESSION_IDLE_MS: UnixMs = 30 * 60 * 1000;
/// The longest session, however busy, in milliseconds.
pub(super) const SESSION_LIFETIME_MS: UnixMs = 12 * 60 * 60 * 1000;

/// What the cookie of a session carries. Only its hash is kept.
#[derive(Clone)]
pub struct SessionToken(String);

impl SessionToken {
    /// A new random one.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn generate() -> Result<Self, StoreError> {
        Ok(Self(random()?))
    }

    /// One that a browser presents.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }

    /// What a page of ours must send beside the cookie when it changes something. It follows from the token and does not lead
    /// back to it, so each session has its own and none needs to be kept.
    #[must_use]
    pub fn csrf_token(&self) -> String {
        let digest = Sha256::new()
            .chain_update("strowger csrf 1\0")
            .chain_update(&self.0)
            .finalize();
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// Whether this is the session's CSRF token, in constant time.
    #[must_use]
    pub fn is_csrf_token(&self, presented: &[u8]) -> bool {
        self.csrf_token().as_bytes().ct_eq(presented).into()
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

/// A session that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its name in rows and in the audit log.
    pub id: SessionId,
    /// When somebody signed in.
    pub created_at: UnixMs,
    /// When it was last used, to the minute.
    pub last_seen_at: UnixMs,
    /// When it ends, however busy it is.
    pub ends_at: UnixMs,
}

impl Session {
    /// When it ends if nobody uses it any more.
    #[must_use]
    pub fn expires_at(&self) -> UnixMs {
        self.ends_at.min(self.last_seen_at.saturating_add(SESSION_IDLE_MS))
    }
}

impl Store {
    /// Opens a session for whoever has presented this key of an organisation.
    ///
    /// # Errors
    /// `NotFound` when the key is gone or was revoked meanwhile.
    pub async fn open_session(
        &self,
        id: &SessionId,
        token: &SessionToken,
        key: &ApiKeyId,
        now: UnixMs,
    ) -> Result<Session, StoreError> {
        let ends_at = now.saturating_add(SESSION_LIFETIME_MS);
        // One statement: a key that is revoked at this moment leaves no session behind.
        let opened = sqlx::query(
            "INSERT INTO console_sessions (id, token_hash, api_key_id, created_at, last_seen_at, ends_at) \
             SELECT $1, $2, id, $4, $4, $5 FROM api_keys WHERE id = $3 AND revoked_at IS NULL",
        )
        .bind(id.as_str())
        .bind(token.hash())
        .bind(key.as_str())
        .bind(now)
        .bind(ends_at)
        .execute(&self.writer)
        .await?;
        if opened.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "API key" });
        }
        Ok(Session {
            id: id.clone(),
            created_at: now,
            last_seen_at: now,
            ends_at,
        })
    }

    /// The session of a presented token with whom it speaks for; none when it is over, or its key opens nothing any more.
    ///
    /// # Errors
    /// The database fails.
    pub async fn session(
        &self,
        presented: &SessionToken,
        now: UnixMs,
    ) -> Result<Option<(Session, KeyHolder)>, StoreError> {
        let query = sqlx::query(
            "SELECT k.id AS id, k.name AS name, k.organization_id AS organization_id, k.role AS role, \
             s.id AS session_id, s.created_at AS created_at, s.last_seen_at AS last_seen_at, s.ends_at AS ends_at \
             FROM console_sessions s JOIN api_keys k ON k.id = s.api_key_id \
             WHERE s.token_hash = $1 AND s.ends_at > $2 AND s.last_seen_at > $3 \
             AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)",
        )
        .bind(presented.hash())
        .bind(now)
        .bind(now.saturating_sub(SESSION_IDLE_MS));
        let Some(row) = optional(query, &self.pool).await? else {
            return Ok(None);
        };
        let session = Session {
            id: parse(&row, "session_id", SessionId::try_from)?,
            created_at: get(&row, "created_at")?,
            last_seen_at: get(&row, "last_seen_at")?,
            ends_at: get(&row, "ends_at")?,
        };
        Ok(Some((session, holder(&row)?)))
    }

    /// Writes down that a session was used.
    ///
    /// # Errors
    /// The database fails.
    pub async fn note_session_use(&self, id: &SessionId, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query("UPDATE console_sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2")
            .bind(id.as_str())
            .bind(now)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Ends a session. Ending it again changes nothing.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end_session(&self, id: &SessionId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM console_sessions WHERE id = $1")
            .bind(id.as_str())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Removes sessions that are over.
    ///
    /// # Errors
    /// The database fails.
    pub async fn purge_sessions(&self, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM console_sessions WHERE ends_at <= $1 OR last_seen_at <= $2")
            .bind(now)
            .bind(now.saturating_sub(SESSION_IDLE_MS))
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, TestStore};
    use super::super::{ApiKey, NewApiKey, OrganizationId, Role};
    use super::*;

    async fn key(store: &TestStore, organization: &OrganizationId, role: Role) -> ApiKeyId {
        let new = NewApiKey::lasting(ApiKeyId::generate(), "console");
        let key = ApiKey::generate().unwrap();
        store
            .create_api_key(organization, &new, role, &key, 1)
            .await
            .unwrap()
            .id
    }

    #[tokio::test]
    async fn a_session_slides_and_still_ends() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let key = key(&store, &acme, Role::Read).await;
        let (id, token) = (SessionId::generate(), SessionToken::generate().unwrap());
        let opened = store.open_session(&id, &token, &key, 0).await.unwrap();
        assert_eq!(opened.expires_at(), SESSION_IDLE_MS);
        let (found, holder) = store.session(&token, SESSION_IDLE_MS - 1).await.unwrap().unwrap();
        assert_eq!((found, holder.key), (opened, key));
        assert_eq!(store.session(&token, SESSION_IDLE_MS).await.unwrap(), None);

        let mut now = 0;
        while now < SESSION_LIFETIME_MS - SESSION_IDLE_MS {
            now += SESSION_IDLE_MS - 1;
            assert!(store.session(&token, now).await.unwrap().is_some(), "{now}");
            store.note_session_use(&id, now).await.unwrap();
        }
        assert_eq!(store.session(&token, SESSION_LIFETIME_MS).await.unwrap(), None);
        store.purge_sessions(SESSION_LIFETIME_MS).await.unwrap();
        assert_eq!(store.session(&token, 1).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_session_ends_with_its_key_or_when_somebody_signs_out() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        key(&store, &acme, Role::Admin).await;
        let key = key(&store, &acme, Role::Admin).await;
        let (first, token) = (SessionId::generate(), SessionToken::generate().unwrap());
        store.open_session(&first, &token, &key, 1).await.unwrap();
        store.end_session(&first).await.unwrap();
        assert_eq!(store.session(&token, 2).await.unwrap(), None);

        let token = SessionToken::generate().unwrap();
        store
            .open_session(&SessionId::generate(), &token, &key, 1)
            .await
            .unwrap();
        assert!(store.session(&token, 2).await.unwrap().is_some());
        store.revoke_api_key(&acme, &key, false, 3).await.unwrap();
        assert_eq!(store.session(&token, 3).await.unwrap(), None);
        let error = store
            .open_session(&SessionId::generate(), &token, &key, 4)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
    }

    #[test]
    fn a_csrf_token_is_its_sessions_own() {
        let (one, other) = (SessionToken::new("one"), SessionToken::new("other"));
        assert!(one.is_csrf_token(one.csrf_token().as_bytes()));
        assert!(!one.is_csrf_token(other.csrf_token().as_bytes()));
        assert!(!one.is_csrf_token(b"") && !one.is_csrf_token(b"one"));
        assert!(!format!("{one:?}").contains("one"));
    }
}
