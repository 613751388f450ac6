//! Organisations and the keys by which their programs are known.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;

use super::{ApiKeyId, OrganizationId, Store, StoreError, Unique, UnixMs, get, optional, parse};

const NAME: Unique = Unique {
    name: "organizations_name",
    columns: "organizations.name",
};

/// Characters of a key that are shown, and kept in the clear.
const PREFIX_CHARS: usize = 12;
/// 256 bits: nobody guesses a key, so a plain hash is as good as a slow one.
const KEY_BYTES: usize = 32;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its name in rows.
    pub id: OrganizationId,
    /// Its name for people.
    pub name: String,
    /// When it was created.
    pub created_at: UnixMs,
}

/// An API key in the clear: shown once, when it is made.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A new random key.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn generate() -> Result<Self, StoreError> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("strow_{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// A key that a client presents, or that an operator brings along.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The key itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }

    fn prefix(&self) -> String {
        self.0.chars().take(PREFIX_CHARS).collect()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// What is kept of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// Its name in rows.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// Its first characters, by which people tell keys apart.
    pub prefix: String,
    /// When it was made.
    pub created_at: UnixMs,
    /// Since when it opens nothing, if so.
    pub revoked_at: Option<UnixMs>,
}

impl Store {
    /// Creates an organisation.
    ///
    /// # Errors
    /// `Conflict` when the name is taken.
    pub async fn create_organization(
        &self,
        id: &OrganizationId,
        name: &str,
        now: UnixMs,
    ) -> Result<Organization, StoreError> {
        sqlx::query("INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)")
            .bind(id.as_str())
            .bind(name)
            .bind(now)
            .execute(&self.writer)
            .await
            .map_err(|error| {
                if NAME.is_violated_by(&error) {
                    StoreError::Conflict {
                        field: "name",
                        cure: "an organization of this name exists; choose another name".to_owned(),
                    }
                } else {
                    error.into()
                }
            })?;
        Ok(Organization {
            id: id.clone(),
            name: name.to_owned(),
            created_at: now,
        })
    }

    /// All organisations by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        let rows = sqlx::query("SELECT id, name, created_at FROM organizations ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(organization).collect()
    }

    /// The organisation of this name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn organization_named(&self, name: &str) -> Result<Option<Organization>, StoreError> {
        let query = sqlx::query("SELECT id, name, created_at FROM organizations WHERE name = $1").bind(name);
        optional(query, &self.pool)
            .await?
            .as_ref()
            .map(organization)
            .transpose()
    }

    /// Lets a key act for an organisation.
    ///
    /// # Errors
    /// `NotFound` when there is no such organisation; `Conflict` when the key exists.
    pub async fn create_api_key(
        &self,
        organization: &OrganizationId,
        id: &ApiKeyId,
        name: &str,
        key: &ApiKey,
        now: UnixMs,
    ) -> Result<ApiKeyRecord, StoreError> {
        let result = sqlx::query(
            "INSERT INTO api_keys (id, organization_id, name, key_hash, key_prefix, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(name)
        .bind(key.hash())
        .bind(key.prefix())
        .bind(now)
        .execute(&self.writer)
        .await;
        match result {
            Ok(_) => {
                let (id, name, prefix) = (id.clone(), name.to_owned(), key.prefix());
                Ok(ApiKeyRecord {
                    id,
                    name,
                    prefix,
                    created_at: now,
                    revoked_at: None,
                })
            }
            Err(error) => Err(match error.as_database_error() {
                Some(database) if database.is_foreign_key_violation() => StoreError::NotFound { what: "organization" },
                Some(database) if database.is_unique_violation() => StoreError::Conflict {
                    field: "key",
                    cure: "this key exists; make a new one".to_owned(),
                },
                _ => error.into(),
            }),
        }
    }

    /// The keys of an organisation, oldest first, revoked ones included.
    ///
    /// # Errors
    /// The database fails.
    pub async fn api_keys(&self, organization: &OrganizationId) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, name, key_prefix, created_at, revoked_at FROM api_keys WHERE organization_id = $1 ORDER BY created_at, id",
        )
        .bind(organization.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ApiKeyRecord {
                    id: parse(row, "id", ApiKeyId::try_from)?,
                    name: get(row, "name")?,
                    prefix: get(row, "key_prefix")?,
                    created_at: get(row, "created_at")?,
                    revoked_at: get(row, "revoked_at")?,
                })
            })
            .collect()
    }

    /// Ends a key's power at once. Revoking it again changes nothing.
    ///
    /// # Errors
    /// `NotFound` when the organisation has no such key.
    pub async fn revoke_api_key(
        &self,
        organization: &OrganizationId,
        id: &ApiKeyId,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let result = sqlx::query(
            "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $3) WHERE id = $1 AND organization_id = $2",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(now)
        .execute(&self.writer)
        .await?;
        if result.rows_affected() == 0 {
            Err(StoreError::NotFound { what: "API key" })
        } else {
            Ok(())
        }
    }

    /// The organisation that a presented key acts for; none when the key is unknown or revoked.
    ///
    /// # Errors
    /// The database fails.
    pub async fn authenticate(&self, presented: &ApiKey) -> Result<Option<OrganizationId>, StoreError> {
        // The index compares hashes: what its timing could tell is the hash of a guess.
        let query = sqlx::query("SELECT organization_id FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL")
            .bind(presented.hash());
        optional(query, &self.pool)
            .await?
            .map(|row| parse(&row, "organization_id", OrganizationId::try_from))
            .transpose()
    }
}

fn organization(row: &AnyRow) -> Result<Organization, StoreError> {
    Ok(Organization {
        id: parse(row, "id", OrganizationId::try_from)?,
        name: get(row, "name")?,
        created_at: get(row, "created_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn a_key_acts_for_its_organization_until_it_is_revoked() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let other = store.organization("Other").await;
        let key = ApiKey::generate().unwrap();
        let record = store
            .create_api_key(&acme, &ApiKeyId::generate(), "ci", &key, 5)
            .await
            .unwrap();
        assert!(key.expose().starts_with(&record.prefix) && record.prefix.len() < key.expose().len() / 2);
        assert_eq!(store.authenticate(&key).await.unwrap(), Some(acme.clone()));
        assert_eq!(
            store
                .authenticate(&ApiKey::new(format!("{}x", key.expose())))
                .await
                .unwrap(),
            None
        );

        let error = store.revoke_api_key(&other, &record.id, 6).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
        store.revoke_api_key(&acme, &record.id, 7).await.unwrap();
        store.revoke_api_key(&acme, &record.id, 8).await.unwrap();
        assert_eq!(store.authenticate(&key).await.unwrap(), None);
        assert_eq!(store.api_keys(&acme).await.unwrap()[0].revoked_at, Some(7));
        assert!(store.api_keys(&other).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn organizations_have_names_of_their_own() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let error = store
            .create_organization(&OrganizationId::generate(), "Acme", 1)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Conflict { field: "name", .. }), "{error:?}");
        assert_eq!(store.organization_named("Acme").await.unwrap().unwrap().id, acme);
        assert!(store.organization_named("Nobody").await.unwrap().is_none());
        let error = store
            .create_api_key(
                &OrganizationId::generate(),
                &ApiKeyId::generate(),
                "x",
                &ApiKey::new("k"),
                1,
            )
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
    }
}
