//! API keys: by which programs, and through them people, are known. Those of organisations have a role, those of the operator
//! act on the installation and on no organisation.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;

use super::pool::Statements;
use super::{ApiKeyId, OrganizationId, Store, StoreError, UnixMs, corrupt, get, optional, parse};

/// Characters of a key that are shown, and kept in the clear.
const PREFIX_CHARS: usize = 12;
/// 256 bits: nobody guesses a key, so a plain hash is as good as a slow one.
const KEY_BYTES: usize = 32;
const COLUMNS: &str = "id, name, role, key_prefix, created_at, expires_at, last_used_at, revoked_at";
const OPERATOR_COLUMNS: &str =
    "id, name, 'operator' AS role, key_prefix, created_at, expires_at, last_used_at, revoked_at";
/// The field of the conflict when nobody could administrate an organisation any more.
pub const LAST_ADMIN: &str = "the last admin key";
/// Opens something at the time `$2`.
const USABLE: &str = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";

/// What a key of an organisation may do. Each can do what those before it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything of the organisation.
    Read,
    /// Place calls, end and transfer them, and send again what was not delivered.
    Operate,
    /// Everything of the organisation.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Admin];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An API key in the clear: shown once, when it is made.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A new random key of an organisation.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn generate() -> Result<Self, StoreError> {
        Ok(Self(format!("strow_{}", random()?)))
    }

    /// A new random key of the operator. It looks different, so that people notice which one they hand out.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn generate_for_operator() -> Result<Self, StoreError> {
        Ok(Self(format!("strow_op_{}", random()?)))
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

    /// Its first characters, by which people tell keys apart.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.0.chars().take(PREFIX_CHARS).collect()
    }

    fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// 256 random bits as text.
pub(super) fn random() -> Result<String, StoreError> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Its name in rows.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// From when on it opens nothing; never, without.
    pub expires_at: Option<UnixMs>,
}

impl NewApiKey {
    /// One that opens something until it is revoked.
    #[must_use]
    pub fn lasting(id: ApiKeyId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            expires_at: None,
        }
    }
}

/// What a key is for: the power that comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// One of an organisation's.
    Organization(Role),
    /// The operator's.
    Operator,
}

impl KeyRole {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organization(role) => role.as_str(),
            Self::Operator => "operator",
        }
    }
}

/// What is kept of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// Its name in rows.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: KeyRole,
    /// Its first characters, by which people tell keys apart.
    pub prefix: String,
    /// When it was made.
    pub created_at: UnixMs,
    /// From when on it opens nothing, if ever.
    pub expires_at: Option<UnixMs>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<UnixMs>,
    /// Since when it opens nothing, if so.
    pub revoked_at: Option<UnixMs>,
}

/// Whom a key acts for, and with what power.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// For an organisation.
    Organization(OrganizationId, Role),
    /// On the installation.
    Operator,
}

/// A key that opens something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// Which key.
    pub key: ApiKeyId,
    /// What it is called.
    pub name: String,
    /// What it opens.
    pub power: Power,
}

impl Store {
    /// Lets a key act for an organisation.
    ///
    /// # Errors
    /// `NotFound` when there is no such organisation; `Conflict` when the key exists.
    pub async fn create_api_key(
        &self,
        organization: &OrganizationId,
        new: &NewApiKey,
        role: Role,
        key: &ApiKey,
        now: UnixMs,
    ) -> Result<ApiKeyRecord, StoreError> {
        let inserted = sqlx::query(
            "INSERT INTO api_keys (id, organization_id, name, role, key_hash, key_prefix, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(new.id.as_str())
        .bind(organization.as_str())
        .bind(&*new.name)
        .bind(role.as_str())
        .bind(key.hash())
        .bind(key.prefix())
        .bind(now)
        .bind(new.expires_at)
        .execute(&self.writer)
        .await;
        made(inserted, new, KeyRole::Organization(role), key, now)
    }

    /// Lets a key act on the installation.
    ///
    /// # Errors
    /// `Conflict` when the key exists.
    pub async fn create_operator_key(
        &self,
        new: &NewApiKey,
        key: &ApiKey,
        now: UnixMs,
    ) -> Result<ApiKeyRecord, StoreError> {
        let inserted = sqlx::query(
            "INSERT INTO operator_keys (id, name, key_hash, key_prefix, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(new.id.as_str())
        .bind(&*new.name)
        .bind(key.hash())
        .bind(key.prefix())
        .bind(now)
        .bind(new.expires_at)
        .execute(&self.writer)
        .await;
        made(inserted, new, KeyRole::Operator, key, now)
    }

    /// The keys of an organisation, oldest first, revoked ones included.
    ///
    /// # Errors
    /// The database fails.
    pub async fn api_keys(&self, organization: &OrganizationId) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM api_keys WHERE organization_id = $1 ORDER BY created_at, id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(organization.as_str())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(record).collect()
    }

    /// The operator's keys, oldest first, revoked ones included.
    ///
    /// # Errors
    /// The database fails.
    pub async fn operator_keys(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let sql = format!("SELECT {OPERATOR_COLUMNS} FROM operator_keys ORDER BY created_at, id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.iter().map(record).collect()
    }

    /// Ends a key's power at once, and the sessions that were opened with it. Revoking it again changes nothing.
    ///
    /// # Errors
    /// `NotFound` when the organisation has no such key; `Conflict` of [`LAST_ADMIN`] when nobody could administrate the
    /// organisation any more, unless `last_admin_too`.
    pub async fn revoke_api_key(
        &self,
        organization: &OrganizationId,
        id: &ApiKeyId,
        last_admin_too: bool,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        // Two admins who revoke each other's keys take turns at this row.
        sqlx::query("UPDATE organizations SET name = name WHERE id = $1")
            .bind(organization.as_str())
            .execute(&mut *tx)
            .await?;
        let admins_before = admins(&mut tx, organization, now).await?;
        let revoked = sqlx::query(
            "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $3) WHERE id = $1 AND organization_id = $2",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(now)
        .execute(&mut *tx)
        .await?;
        if revoked.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "API key" });
        }
        if !last_admin_too && admins_before > 0 && admins(&mut tx, organization, now).await? == 0 {
            tx.rollback().await?;
            return Err(StoreError::Conflict {
                field: LAST_ADMIN,
                cure: "no other key can administrate the organization; make another one with the role admin first"
                    .to_owned(),
            });
        }
        sqlx::query("DELETE FROM console_sessions WHERE api_key_id = $1")
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Ends the power of a key of the operator at once. Revoking it again changes nothing.
    ///
    /// # Errors
    /// `NotFound` when there is no such key.
    pub async fn revoke_operator_key(&self, id: &ApiKeyId, now: UnixMs) -> Result<(), StoreError> {
        let revoked = sqlx::query("UPDATE operator_keys SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1")
            .bind(id.as_str())
            .bind(now)
            .execute(&self.writer)
            .await?;
        if revoked.rows_affected() == 0 {
            Err(StoreError::NotFound { what: "API key" })
        } else {
            Ok(())
        }
    }

    /// What a presented key opens; nothing when it is unknown, expired or revoked.
    ///
    /// # Errors
    /// The database fails.
    pub async fn authenticate(&self, presented: &ApiKey, now: UnixMs) -> Result<Option<KeyHolder>, StoreError> {
        // The index compares hashes: what its timing could tell is the hash of a guess.
        let sql = format!(
            "SELECT id, name, organization_id, role FROM api_keys WHERE key_hash = $1 AND {USABLE} \
             UNION ALL SELECT id, name, '' AS organization_id, 'operator' AS role FROM operator_keys WHERE key_hash = $1 AND {USABLE}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(presented.hash()).bind(now);
        optional(query, &self.pool).await?.as_ref().map(holder).transpose()
    }

    /// Writes down that a key was used.
    ///
    /// # Errors
    /// The database fails.
    pub async fn note_key_use(&self, holder: &KeyHolder, now: UnixMs) -> Result<(), StoreError> {
        let sql = match holder.power {
            Power::Organization(..) => {
                "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)"
            }
            Power::Operator => {
                "UPDATE operator_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)"
            }
        };
        sqlx::query(sql)
            .bind(holder.key.as_str())
            .bind(now)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

/// How many keys can administrate an organisation.
async fn admins(tx: &mut Statements, organization: &OrganizationId, now: UnixMs) -> Result<i64, StoreError> {
    let sql =
        format!("SELECT COUNT(*) AS admins FROM api_keys WHERE organization_id = $1 AND role = 'admin' AND {USABLE}");
    let query = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(organization.as_str())
        .bind(now);
    get(&query.fetch_one(tx).await?, "admins")
}

fn made(
    inserted: Result<sqlx::any::AnyQueryResult, sqlx::Error>,
    new: &NewApiKey,
    role: KeyRole,
    key: &ApiKey,
    now: UnixMs,
) -> Result<ApiKeyRecord, StoreError> {
    match inserted {
        Ok(_) => Ok(ApiKeyRecord {
            id: new.id.clone(),
            name: new.name.clone(),
            role,
            prefix: key.prefix(),
            created_at: now,
            expires_at: new.expires_at,
            last_used_at: None,
            revoked_at: None,
        }),
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

fn record(row: &AnyRow) -> Result<ApiKeyRecord, StoreError> {
    Ok(ApiKeyRecord {
        id: parse(row, "id", ApiKeyId::try_from)?,
        name: get(row, "name")?,
        role: match get::<String>(row, "role")?.as_str() {
            "operator" => KeyRole::Operator,
            other => KeyRole::Organization(role(other)?),
        },
        prefix: get(row, "key_prefix")?,
        created_at: get(row, "created_at")?,
        expires_at: get(row, "expires_at")?,
        last_used_at: get(row, "last_used_at")?,
        revoked_at: get(row, "revoked_at")?,
    })
}

/// Whom a row with `id`, `name`, `organization_id` and `role` of a key speaks for.
pub(super) fn holder(row: &AnyRow) -> Result<KeyHolder, StoreError> {
    let power = match get::<String>(row, "role")?.as_str() {
        "operator" => Power::Operator,
        other => Power::Organization(parse(row, "organization_id", OrganizationId::try_from)?, role(other)?),
    };
    Ok(KeyHolder {
        key: parse(row, "id", ApiKeyId::try_from)?,
        name: get(row, "name")?,
        power,
    })
}

fn role(name: &str) -> Result<Role, StoreError> {
    Role::parse(name).ok_or_else(|| corrupt("role", "no role"))
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn new(name: &str) -> NewApiKey {
        NewApiKey::lasting(ApiKeyId::generate(), name)
    }

    #[tokio::test]
    async fn a_key_acts_for_its_organization_until_it_is_revoked() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let other = store.organization("Other").await;
        let (key, boss) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let boss = store
            .create_api_key(&acme, &new("boss"), Role::Admin, &boss, 4)
            .await
            .unwrap();
        let record = store
            .create_api_key(&acme, &new("ci"), Role::Operate, &key, 5)
            .await
            .unwrap();
        assert!(key.expose().starts_with(&record.prefix) && record.prefix.len() < key.expose().len() / 2);
        let holder = store.authenticate(&key, 6).await.unwrap().unwrap();
        assert_eq!(holder.power, Power::Organization(acme.clone(), Role::Operate));
        let wrong = ApiKey::new(format!("{}x", key.expose()));
        assert_eq!(store.authenticate(&wrong, 6).await.unwrap(), None);

        let error = store.revoke_api_key(&other, &record.id, false, 6).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
        store.revoke_api_key(&acme, &record.id, false, 7).await.unwrap();
        store.revoke_api_key(&acme, &record.id, false, 8).await.unwrap();
        assert_eq!(store.authenticate(&key, 9).await.unwrap(), None);
        assert_eq!(store.api_keys(&acme).await.unwrap()[1].revoked_at, Some(7));
        assert!(store.api_keys(&other).await.unwrap().is_empty());

        let error = store.revoke_api_key(&acme, &boss.id, false, 9).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Conflict { field: LAST_ADMIN, .. }),
            "{error:?}"
        );
        store.revoke_api_key(&acme, &boss.id, true, 9).await.unwrap();
    }

    #[tokio::test]
    async fn of_two_admins_who_revoke_each_other_one_stays() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let mut ids = Vec::new();
        for name in ["one", "other"] {
            let key = ApiKey::generate().unwrap();
            ids.push(
                store
                    .create_api_key(&acme, &new(name), Role::Admin, &key, 1)
                    .await
                    .unwrap()
                    .id,
            );
        }
        let (one, other) = tokio::join!(
            store.revoke_api_key(&acme, &ids[0], false, 2),
            store.revoke_api_key(&acme, &ids[1], false, 2),
        );
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    }

    #[tokio::test]
    async fn an_expired_key_opens_nothing_and_does_not_count_as_an_admin() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let (brief, lasting) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let expiring = NewApiKey {
            expires_at: Some(10),
            ..new("brief")
        };
        store
            .create_api_key(&acme, &expiring, Role::Admin, &brief, 1)
            .await
            .unwrap();
        let lasting = store
            .create_api_key(&acme, &new("lasting"), Role::Admin, &lasting, 1)
            .await
            .unwrap();
        assert!(store.authenticate(&brief, 9).await.unwrap().is_some());
        assert_eq!(store.authenticate(&brief, 10).await.unwrap(), None);
        assert!(store.revoke_api_key(&acme, &lasting.id, false, 10).await.is_err());
    }

    #[tokio::test]
    async fn the_operators_key_acts_for_no_organization() {
        let store = testing::open().await;
        let key = ApiKey::generate_for_operator().unwrap();
        let record = store.create_operator_key(&new("root"), &key, 1).await.unwrap();
        let holder = store.authenticate(&key, 2).await.unwrap().unwrap();
        assert_eq!((&holder.power, record.role), (&Power::Operator, KeyRole::Operator));
        store.note_key_use(&holder, 5).await.unwrap();
        assert_eq!(store.operator_keys().await.unwrap()[0].last_used_at, Some(5));
        store.revoke_operator_key(&record.id, 6).await.unwrap();
        assert_eq!(store.authenticate(&key, 7).await.unwrap(), None);
        let nobody = store.revoke_operator_key(&ApiKeyId::generate(), 6).await.unwrap_err();
        assert!(matches!(nobody, StoreError::NotFound { .. }));
    }

    #[tokio::test]
    async fn a_key_needs_an_organization() {
        let store = testing::open().await;
        let error = store
            .create_api_key(&OrganizationId::generate(), &new("x"), Role::Read, &ApiKey::new("k"), 1)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
    }
}
