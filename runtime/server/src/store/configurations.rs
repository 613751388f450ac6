//! Telephony configurations: one carrier's account in one organisation.

use serde_json::{Value, json};
use sqlx::any::AnyRow;

use crate::keyring::DataKey;

use super::numbers;
use super::pool::Tx;
use super::{
    AccountId, Columns, ConfigurationId, OrganizationId, Place, SecretJson, Store, StoreError, Unique, UnixMs, corrupt,
    flag, get, is_foreign_key_violation, optional, parse,
};
use crate::outbox::OutgoingEvent;

const NAME: Unique = Unique {
    name: "telephony_configurations_name",
    columns: "telephony_configurations.organization_id, telephony_configurations.name",
};

/// Longest reason for being inactive, in characters.
const REASON_CHARS_MAX: usize = 255;

/// Since when, and why, a configuration takes no part in anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inactive {
    /// When it was parked.
    pub since: UnixMs,
    /// Why, for its user.
    pub reason: String,
}

/// One carrier's account in one organisation.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// Its name in rows.
    pub id: ConfigurationId,
    /// Who it belongs to.
    pub organization: OrganizationId,
    /// Its name for people, unique in the organisation.
    pub name: String,
    /// Name of the provider.
    pub provider: String,
    /// What the user entered, and what the provider added to it: a JSON object.
    pub credentials: SecretJson,
    /// What webhooks name the account by; none where the provider has nothing of the kind.
    pub account_id: Option<AccountId>,
    /// Whether outbound calls go here unless they say otherwise.
    pub is_default_outbound: bool,
    /// Set while it is parked.
    pub inactive: Option<Inactive>,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
    /// How often it was written; clients change what they have read.
    pub version: u64,
}

/// A configuration to create.
#[derive(Debug, Clone)]
pub struct NewConfiguration {
    /// See [`Configuration::id`].
    pub id: ConfigurationId,
    /// See [`Configuration::organization`].
    pub organization: OrganizationId,
    /// See [`Configuration::name`].
    pub name: String,
    /// See [`Configuration::provider`]. It never changes.
    pub provider: String,
    /// See [`Configuration::credentials`].
    pub credentials: SecretJson,
    /// See [`Configuration::account_id`]. An empty one is none.
    pub account_id: Option<AccountId>,
    /// Takes the default from the configuration that has it.
    pub is_default_outbound: bool,
}

/// What to change in a configuration.
#[derive(Debug, Clone, Default)]
pub struct ConfigurationChange {
    /// A new name.
    pub name: Option<String>,
    /// Replaces all credentials, and the account id with them.
    pub credentials: Option<(SecretJson, Option<AccountId>)>,
}

/// What there is beside a configuration's own settings, for its checklist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConfigurationFacts {
    /// Numbers that are active.
    pub active_numbers: u32,
    /// Those of them that have an agent.
    pub inbound_numbers: u32,
    /// Trunks that are enabled.
    pub enabled_trunks: u32,
    /// Active numbers that are attached to no trunk.
    pub numbers_without_trunk: u32,
}

const COLUMNS: &str = "id, organization_id, name, provider, credentials_sealed, is_default_outbound, inactive, inactive_since, \
                       inactive_reason, created_at, updated_at, version";

fn place<'a>(organization: &'a str, id: &'a str) -> Place<'a> {
    Place {
        table: "telephony_configurations",
        organization,
        row: id,
        column: "credentials_sealed",
    }
}

const NO_SUCH: StoreError = StoreError::NotFound {
    what: "telephony configuration",
};

fn conflict(error: sqlx::Error) -> StoreError {
    if NAME.is_violated_by(&error) {
        name_taken()
    } else if is_foreign_key_violation(&error) {
        StoreError::NotFound { what: "organization" }
    } else {
        error.into()
    }
}

fn name_taken() -> StoreError {
    StoreError::Conflict {
        field: "name",
        cure: "another telephony configuration has this name; choose another name".to_owned(),
    }
}

impl Store {
    /// Whether a configuration may have this name, before a carrier is asked to do something for it. Only the writing itself
    /// settles the matter. `except` is the configuration that is renamed.
    ///
    /// # Errors
    /// `Conflict`.
    pub async fn require_free_name(
        &self,
        organization: &OrganizationId,
        name: &str,
        except: Option<&ConfigurationId>,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(
            "SELECT 1 AS found FROM telephony_configurations WHERE organization_id = $1 AND name = $2 AND id <> $3 LIMIT 1",
        )
        .bind(organization.as_str())
        .bind(name)
        .bind(except.map_or("", ConfigurationId::as_str));
        match optional(query, &self.pool).await? {
            None => Ok(()),
            Some(_) => Err(name_taken()),
        }
    }

    /// Whether the numbers of a configuration may move to another account id with it, before a carrier is asked to do
    /// something there. Only the writing itself settles the matter.
    ///
    /// # Errors
    /// `Conflict`.
    pub async fn require_free_account(
        &self,
        configuration: &Configuration,
        account_id: Option<&AccountId>,
    ) -> Result<(), StoreError> {
        let Some(index) = self.account_index(&configuration.provider, account_id)? else {
            return Ok(());
        };
        match self
            .route_holder(&configuration.id, &configuration.provider, Some(&index))
            .await?
        {
            None => Ok(()),
            holder => Err(numbers::route_taken(
                "account id",
                &configuration.organization,
                holder.as_ref(),
            )?),
        }
    }

    /// Counts what a configuration has.
    ///
    /// # Errors
    /// The database fails.
    pub async fn configuration_facts(
        &self,
        organization: &OrganizationId,
        id: &ConfigurationId,
    ) -> Result<ConfigurationFacts, StoreError> {
        let query = sqlx::query(
            "SELECT COUNT(*) AS active, COUNT(agent_id) AS inbound, COUNT(trunk_id) AS attached, \
             (SELECT COUNT(*) FROM telephony_trunks t WHERE t.organization_id = $1 AND t.configuration_id = $2 AND t.enabled = 1) \
             AS trunks FROM phone_numbers WHERE organization_id = $1 AND configuration_id = $2 AND is_active = 1",
        )
        .bind(organization.as_str())
        .bind(id.as_str());
        let Some(row) = optional(query, &self.pool).await? else {
            return Ok(ConfigurationFacts::default());
        };
        let count = |column| Ok::<u32, StoreError>(u32::try_from(get::<i64>(&row, column)?).unwrap_or(u32::MAX));
        let active_numbers = count("active")?;
        Ok(ConfigurationFacts {
            active_numbers,
            inbound_numbers: count("inbound")?,
            enabled_trunks: count("trunks")?,
            numbers_without_trunk: active_numbers.saturating_sub(count("attached")?),
        })
    }

    /// Creates a configuration, exactly as asked: it becomes the default only when that is said.
    ///
    /// # Errors
    /// `Conflict` when the organisation has a configuration of this name.
    pub async fn create_configuration(&self, new: NewConfiguration, now: UnixMs) -> Result<Configuration, StoreError> {
        let account_id = new.account_id.filter(|id| !id.expose().is_empty());
        let sealed = self
            .seal_credentials(&new.organization, &new.id, &new.credentials, account_id.as_ref())
            .await?;
        let index = self.account_index(&new.provider, account_id.as_ref())?;
        let mut tx = self.begin().await?;
        if new.is_default_outbound {
            clear_default(&mut tx, &new.organization, now).await?;
        }
        sqlx::query(
            "INSERT INTO telephony_configurations (id, organization_id, name, provider, credentials_sealed, account_index, \
             is_default_outbound, inactive, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $8)",
        )
        .bind(new.id.as_str())
        .bind(new.organization.as_str())
        .bind(&*new.name)
        .bind(&*new.provider)
        .bind(sealed)
        .bind(index)
        .bind(i64::from(new.is_default_outbound))
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(conflict)?;
        tx.commit().await?;
        Ok(Configuration {
            id: new.id,
            organization: new.organization,
            name: new.name,
            provider: new.provider,
            credentials: new.credentials,
            account_id,
            is_default_outbound: new.is_default_outbound,
            inactive: None,
            created_at: now,
            updated_at: now,
            version: 1,
        })
    }

    /// Changes a configuration. A changed account id takes the routes of all its numbers along, or nothing changes.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when it is not of the version `expected`, if one is; `Conflict` for the name, or when a number of it is routed already under the new account id.
    pub async fn update_configuration(
        &self,
        organization: &OrganizationId,
        id: &ConfigurationId,
        change: ConfigurationChange,
        expected: Option<u64>,
        now: UnixMs,
    ) -> Result<Configuration, StoreError> {
        let sealed = match &change.credentials {
            Some((credentials, account_id)) => {
                let account_id = account_id.as_ref().filter(|id| !id.expose().is_empty());
                Some(self.seal_credentials(organization, id, credentials, account_id).await?)
            }
            None => None,
        };
        let mut tx = self.begin().await?;
        // First, since it takes the row's lock: whatever follows is about the version that was expected.
        let query = sqlx::query(
            "UPDATE telephony_configurations SET version = version + 1 WHERE id = $1 AND organization_id = $2 \
             AND (version = $3 OR $3 = 0) RETURNING version",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(expected.unwrap_or(0).cast_signed());
        if optional(query, &mut *tx).await?.is_none() {
            tx.rollback().await?;
            self.find_configuration(organization, id).await?;
            return Err(StoreError::Stale);
        }
        if let Some(name) = &change.name {
            sqlx::query("UPDATE telephony_configurations SET name = $3 WHERE id = $1 AND organization_id = $2")
                .bind(id.as_str())
                .bind(organization.as_str())
                .bind(&**name)
                .execute(&mut *tx)
                .await
                .map_err(conflict)?;
        }
        if let Some((_, account_id)) = &change.credentials {
            let account_id = account_id.as_ref().filter(|id| !id.expose().is_empty());
            let query =
                sqlx::query("SELECT provider FROM telephony_configurations WHERE id = $1 AND organization_id = $2")
                    .bind(id.as_str())
                    .bind(organization.as_str());
            let row = optional(query, &mut *tx).await?.ok_or(NO_SUCH)?;
            let provider: String = get(&row, "provider")?;
            let index = self.account_index(&provider, account_id)?;
            sqlx::query(
                "UPDATE telephony_configurations SET credentials_sealed = $2, account_index = $3 WHERE id = $1",
            )
            .bind(id.as_str())
            .bind(sealed)
            .bind(index.as_deref())
            .execute(&mut *tx)
            .await?;
            let moved = sqlx::query("UPDATE phone_numbers SET account_index = $2 WHERE configuration_id = $1")
                .bind(id.as_str())
                .bind(index.as_deref())
                .execute(&mut *tx)
                .await;
            if let Err(error) = moved {
                if !numbers::ROUTE.is_violated_by(&error) {
                    return Err(error.into());
                }
                tx.rollback().await?;
                return Err(self
                    .route_conflict(organization, id, &provider, index.as_deref())
                    .await?);
            }
        }
        let sql = format!(
            "UPDATE telephony_configurations SET updated_at = $3 WHERE id = $1 AND organization_id = $2 RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str())
            .bind(now);
        let row = optional(query, &mut *tx).await?.ok_or(NO_SUCH)?;
        let configuration = self.opened(|| self.configuration_of(&row)).await?;
        tx.commit().await?;
        Ok(configuration)
    }

    /// Who has a number of this configuration under another account: by name if it is the same organisation.
    async fn route_conflict(
        &self,
        organization: &OrganizationId,
        id: &ConfigurationId,
        provider: &str,
        index: Option<&str>,
    ) -> Result<StoreError, StoreError> {
        let holder = self.route_holder(id, provider, index).await?;
        numbers::route_taken("account id", organization, holder.as_ref())
    }

    /// The organisation, and the name of its configuration, that routes a number of this one under `index`.
    async fn route_holder(
        &self,
        id: &ConfigurationId,
        provider: &str,
        index: Option<&str>,
    ) -> Result<Option<AnyRow>, StoreError> {
        let query = sqlx::query(
            "SELECT other.organization_id AS organization_id, holder.name AS name FROM phone_numbers mine \
             JOIN phone_numbers other ON other.address_normalized = mine.address_normalized AND other.provider = $2 \
             AND other.account_index = $3 AND other.configuration_id <> $1 \
             JOIN telephony_configurations holder ON holder.id = other.configuration_id WHERE mine.configuration_id = $1 LIMIT 1",
        )
        .bind(id.as_str())
        .bind(provider)
        .bind(index);
        Ok(optional(query, &self.pool).await?)
    }

    /// One configuration, parked or not.
    ///
    /// # Errors
    /// `NotFound`, also for one of another organisation.
    pub async fn find_configuration(
        &self,
        organization: &OrganizationId,
        id: &ConfigurationId,
    ) -> Result<Configuration, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM telephony_configurations WHERE id = $1 AND organization_id = $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str());
        let row = optional(query, &self.pool).await?.ok_or(NO_SUCH)?;
        self.opened(|| self.configuration_of(&row)).await
    }

    /// The configurations of an organisation in the order in which outbound calls consider them: the default, then the
    /// oldest. Parked ones are included.
    ///
    /// # Errors
    /// The database fails, or a row does not open.
    pub async fn configurations(&self, organization: &OrganizationId) -> Result<Vec<Configuration>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM telephony_configurations WHERE organization_id = $1 ORDER BY is_default_outbound DESC, created_at, id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(organization.as_str())
            .fetch_all(&self.pool)
            .await?;
        self.opened(|| rows.iter().map(|row| self.configuration_of(row)).collect())
            .await
    }

    /// A page of [`Self::configurations`], in the same order: at most `limit` behind the one that `after` describes by whether
    /// it is the default, the time of its creation, and its id.
    ///
    /// # Errors
    /// The database fails, or a row does not open.
    pub async fn configurations_page(
        &self,
        organization: &OrganizationId,
        after: Option<&(bool, UnixMs, String)>,
        limit: u32,
    ) -> Result<Vec<Configuration>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM telephony_configurations WHERE organization_id = $1 \
             AND (1 - is_default_outbound, created_at, id) > ($2, $3, $4) \
             ORDER BY is_default_outbound DESC, created_at, id LIMIT $5"
        );
        let (rank, at, id) = after.map_or((-1, 0, ""), |(is_default, at, id)| (i64::from(!is_default), *at, id));
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(organization.as_str())
            .bind(rank)
            .bind(at)
            .bind(id)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        self.opened(|| rows.iter().map(|row| self.configuration_of(row)).collect())
            .await
    }

    /// All active configurations of a provider, whosever they are. One that does not open is left out and logged: the
    /// others must not suffer from it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn active_configurations(&self, provider: &str) -> Result<Vec<Configuration>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM telephony_configurations WHERE provider = $1 AND inactive = 0 ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(provider)
            .fetch_all(&self.pool)
            .await?;
        let mut configurations = Vec::with_capacity(rows.len());
        for row in &rows {
            match self.opened(|| self.configuration_of(row)).await {
                Ok(configuration) => configurations.push(configuration),
                Err(error) => tracing::error!(provider, %error, "a telephony configuration cannot be read"),
            }
        }
        Ok(configurations)
    }

    /// Makes a configuration the default for outbound calls, in place of the one that is. It need not be active.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_default_outbound(
        &self,
        organization: &OrganizationId,
        id: &ConfigurationId,
        now: UnixMs,
    ) -> Result<Configuration, StoreError> {
        let mut tx = self.begin().await?;
        clear_default(&mut tx, organization, now).await?;
        let sql = format!(
            "UPDATE telephony_configurations SET is_default_outbound = 1, updated_at = $3, version = version + 1 WHERE id = $1 AND organization_id = $2 \
             RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str())
            .bind(now);
        let row = optional(query, &mut *tx).await?.ok_or(NO_SUCH)?;
        let configuration = self.opened(|| self.configuration_of(&row)).await?;
        tx.commit().await?;
        Ok(configuration)
    }

    /// The active configuration of this provider with this account id, if there is exactly one.
    ///
    /// # Errors
    /// The database fails, or the configuration does not open.
    pub async fn only_configuration_of(
        &self,
        provider: &str,
        account_id: &AccountId,
    ) -> Result<Option<Configuration>, StoreError> {
        let Some(index) = self.account_index(provider, Some(account_id))? else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM telephony_configurations WHERE provider = $1 AND account_index = $2 AND inactive = 0 LIMIT 2"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(provider).bind(index);
        match query.fetch_all(&self.pool).await?.as_slice() {
            [row] => self.opened(|| self.configuration_of(row)).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Parks a configuration: until a user reactivates it, no call uses it. `true` when it was not parked before: parking it
    /// again keeps the first reason. The reason is for its user, and cut at 255 characters. `as_of` is when the configuration
    /// that cannot work was last changed: one that has been changed since is left alone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn park_configuration(
        &self,
        id: &ConfigurationId,
        reason: &str,
        as_of: UnixMs,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let query = sqlx::query(
            "UPDATE telephony_configurations SET inactive = 1, inactive_since = $2, inactive_reason = $3, updated_at = $2, \
             version = version + 1 \
             WHERE id = $1 AND inactive = 0 AND updated_at <= $4 RETURNING organization_id, name, provider",
        )
        .bind(id.as_str())
        .bind(now)
        .bind(&*reason)
        .bind(as_of);
        let mut tx = self.begin().await?;
        let Some(row) = optional(query, &mut *tx).await? else {
            return Ok(false);
        };
        let (name, provider): (String, String) = (get(&row, "name")?, get(&row, "provider")?);
        let event = OutgoingEvent::parked(id.as_str(), &name, &provider, &reason);
        self.spool(&mut tx, &get::<String>(&row, "organization_id")?, &event, now)
            .await?;
        tx.commit().await?;
        self.signals.spooled();
        Ok(true)
    }

    /// Undoes [`Store::park_configuration`].
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn reactivate_configuration(
        &self,
        organization: &OrganizationId,
        id: &ConfigurationId,
        now: UnixMs,
    ) -> Result<Configuration, StoreError> {
        let sql = format!(
            "UPDATE telephony_configurations SET inactive = 0, inactive_since = NULL, inactive_reason = NULL, updated_at = $3, version = version + 1 \
             WHERE id = $1 AND organization_id = $2 RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str())
            .bind(now);
        let row = optional(query, &self.writer).await?.ok_or(NO_SUCH)?;
        self.opened(|| self.configuration_of(&row)).await
    }

    /// Deletes a configuration with its numbers. Its calls stay in the record.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when it is not of the version `expected`, if one is; `Conflict` while a call of it is not over, or it
    /// has trunks at the carrier.
    pub async fn delete_configuration(
        &self,
        organization: &OrganizationId,
        id: &ConfigurationId,
        expected: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        // A call that begins meanwhile refers to this row, and waits until it is gone or stays.
        let sql = format!(
            "SELECT id FROM telephony_configurations WHERE id = $1 AND organization_id = $2{}",
            self.for_update()
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str());
        optional(query, &mut *tx).await?.ok_or(NO_SUCH)?;
        let query = sqlx::query("SELECT 1 AS found FROM calls WHERE configuration_id = $1 AND organization_id = $2 AND state <> 'completed' LIMIT 1")
            .bind(id.as_str())
            .bind(organization.as_str());
        if optional(query, &mut *tx).await?.is_some() {
            let cure = "calls of this configuration are in progress; wait for their end or hang them up".to_owned();
            return Err(StoreError::Conflict {
                field: "telephony configuration",
                cure,
            });
        }
        let query = sqlx::query(
            "SELECT 1 AS found FROM telephony_trunks t JOIN telephony_configurations c ON c.id = t.configuration_id \
             WHERE c.id = $1 AND c.organization_id = $2 AND t.external_id IS NOT NULL LIMIT 1",
        )
        .bind(id.as_str())
        .bind(organization.as_str());
        if optional(query, &mut *tx).await?.is_some() {
            let cure =
                "this configuration has trunks at the carrier, which nobody could name any more; delete them first";
            return Err(StoreError::Conflict {
                field: "telephony configuration",
                cure: cure.to_owned(),
            });
        }
        let result = sqlx::query(
            "DELETE FROM telephony_configurations WHERE id = $1 AND organization_id = $2 AND (version = $3 OR $3 = 0)",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(expected.unwrap_or(0).cast_signed())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if result.rows_affected() == 0 {
            self.find_configuration(organization, id).await?;
            return Err(StoreError::Stale);
        }
        Ok(())
    }

    pub(super) fn account_index(
        &self,
        provider: &str,
        account_id: Option<&AccountId>,
    ) -> Result<Option<String>, StoreError> {
        account_id
            .filter(|id| !id.expose().is_empty())
            .map(|id| self.blind_index(&account_domain(provider), id.expose()))
            .transpose()
    }

    /// The account id is sealed beside the credentials, so that the blind index can be made by something that knows no
    /// provider's fields.
    async fn seal_credentials(
        &self,
        organization: &OrganizationId,
        id: &ConfigurationId,
        credentials: &SecretJson,
        account_id: Option<&AccountId>,
    ) -> Result<String, StoreError> {
        let plain =
            json!({ "credentials": credentials.expose(), "account_id": account_id.map(AccountId::expose) }).to_string();
        self.seal(place(organization.as_str(), id.as_str()), &plain).await
    }

    fn unseal_credentials(
        &self,
        organization: &str,
        id: &str,
        sealed: &str,
    ) -> Result<(SecretJson, Option<AccountId>), StoreError> {
        let plain = self.unseal(place(organization, id), sealed)?;
        let mut plain: Value =
            serde_json::from_str(&plain).map_err(|error| corrupt("credentials_sealed", error.to_string()))?;
        let account_id = plain["account_id"].as_str().map(AccountId::new);
        Ok((SecretJson::new(plain["credentials"].take()), account_id))
    }

    /// Reads a configuration from columns with these names.
    pub(super) fn configuration_of<'r>(&self, row: impl Into<Columns<'r>>) -> Result<Configuration, StoreError> {
        let row = row.into();
        let id = parse(row, "id", ConfigurationId::try_from)?;
        let organization = parse(row, "organization_id", OrganizationId::try_from)?;
        let sealed: String = get(row, "credentials_sealed")?;
        let (credentials, account_id) = self.unseal_credentials(organization.as_str(), id.as_str(), &sealed)?;
        let inactive = if flag(row, "inactive")? {
            let since = get::<Option<i64>>(row, "inactive_since")?.unwrap_or_default();
            Some(Inactive {
                since,
                reason: get::<Option<String>>(row, "inactive_reason")?.unwrap_or_default(),
            })
        } else {
            None
        };
        Ok(Configuration {
            name: get(row, "name")?,
            provider: get(row, "provider")?,
            credentials,
            account_id,
            is_default_outbound: flag(row, "is_default_outbound")?,
            inactive,
            created_at: get(row, "created_at")?,
            updated_at: get(row, "updated_at")?,
            version: get::<i64>(row, "version")?.unsigned_abs(),
            id,
            organization,
        })
    }

    /// Makes the blind index of all configurations and of their numbers with a key that is new: the routes of a database from
    /// before data keys existed are found again. Whether there are any.
    pub(super) async fn index_accounts(&self, tx: &mut Tx, key: &DataKey) -> Result<bool, StoreError> {
        let rows =
            sqlx::query("SELECT id, organization_id, provider, credentials_sealed FROM telephony_configurations");
        let rows = rows.fetch_all(&mut **tx).await?;
        for row in &rows {
            let (id, organization): (String, String) = (get(row, "id")?, get(row, "organization_id")?);
            let sealed: String = get(row, "credentials_sealed")?;
            let (_, account_id) = self.unseal_credentials(&organization, &id, &sealed)?;
            let domain = account_domain(&get::<String>(row, "provider")?);
            let index = account_id.map(|account| key.blind_index(&domain, account.expose()));
            for sql in [
                "UPDATE telephony_configurations SET account_index = $2 WHERE id = $1",
                "UPDATE phone_numbers SET account_index = $2 WHERE configuration_id = $1",
            ] {
                let query = sqlx::query(sql).bind(&*id).bind(index.as_deref());
                query.execute(&mut **tx).await?;
            }
        }
        Ok(!rows.is_empty())
    }
}

fn account_domain(provider: &str) -> String {
    format!("account:{provider}")
}

async fn clear_default(tx: &mut Tx, organization: &OrganizationId, now: UnixMs) -> Result<(), StoreError> {
    // Who comes second waits here, and then sees what the first one has made the default.
    sqlx::query("UPDATE organizations SET created_at = created_at WHERE id = $1")
        .bind(organization.as_str())
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "UPDATE telephony_configurations SET is_default_outbound = 0, updated_at = $2, version = version + 1 WHERE organization_id = $1 AND is_default_outbound = 1",
    )
    .bind(organization.as_str())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn a_configuration_round_trips_and_belongs_to_its_organization() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let other = store.organization("Other").await;
        let made = store.configuration(&acme, "main", Some("A1")).await;
        let found = store.find_configuration(&acme, &made.id).await.unwrap();
        assert_eq!(found, made);
        let shown = format!("{found:?}");
        assert!(!shown.contains("hush") && !shown.contains("A1\""), "{shown}");
        assert!(matches!(
            store.find_configuration(&other, &made.id).await,
            Err(StoreError::NotFound { .. })
        ));
        assert!(matches!(
            store.set_default_outbound(&other, &made.id, 2).await,
            Err(StoreError::NotFound { .. })
        ));
        assert!(matches!(
            store.delete_configuration(&other, &made.id, None).await,
            Err(StoreError::NotFound { .. })
        ));
        let change = ConfigurationChange {
            name: Some("stolen".to_owned()),
            ..ConfigurationChange::default()
        };
        assert!(matches!(
            store.update_configuration(&other, &made.id, change, None, 2).await,
            Err(StoreError::NotFound { .. })
        ));
        let change = ConfigurationChange {
            credentials: Some((SecretJson::default(), None)),
            ..ConfigurationChange::default()
        };
        assert!(matches!(
            store.update_configuration(&other, &made.id, change, None, 2).await,
            Err(StoreError::NotFound { .. })
        ));
        assert_eq!(store.find_configuration(&acme, &made.id).await.unwrap(), made);
    }

    #[tokio::test]
    async fn one_configuration_is_the_default_and_only_when_asked() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let first = store.configuration(&acme, "first", None).await;
        assert!(!first.is_default_outbound, "nothing adopts the default");
        let mut new = testing::new_configuration(&acme, "second", None);
        new.is_default_outbound = true;
        let second = store.create_configuration(new, 2).await.unwrap();
        let mut new = testing::new_configuration(&acme, "third", None);
        new.is_default_outbound = true;
        let third = store.create_configuration(new, 3).await.unwrap();
        let order: Vec<_> = store
            .configurations(&acme)
            .await
            .unwrap()
            .into_iter()
            .map(|c| (c.id, c.is_default_outbound))
            .collect();
        assert_eq!(order, [(third.id, true), (first.id.clone(), false), (second.id, false)]);
        assert!(
            store
                .set_default_outbound(&acme, &first.id, 4)
                .await
                .unwrap()
                .is_default_outbound
        );
        assert_eq!(
            store
                .configurations(&acme)
                .await
                .unwrap()
                .iter()
                .filter(|c| c.is_default_outbound)
                .count(),
            1
        );
    }

    #[tokio::test]
    async fn a_refused_configuration_does_not_take_the_default() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let mut new = testing::new_configuration(&acme, "main", None);
        new.is_default_outbound = true;
        let main = store.create_configuration(new, 1).await.unwrap();
        let mut new = testing::new_configuration(&acme, "main", None);
        new.is_default_outbound = true;
        let error = store.create_configuration(new, 2).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { field: "name", .. }), "{error:?}");
        assert!(
            store
                .find_configuration(&acme, &main.id)
                .await
                .unwrap()
                .is_default_outbound
        );
    }

    #[tokio::test]
    async fn a_parked_configuration_keeps_its_first_reason_until_it_is_reactivated() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let made = store.configuration(&acme, "main", None).await;
        let reason = "refused: wrong password";
        // It was changed after what is said of it.
        assert!(
            !store
                .park_configuration(&made.id, reason, made.updated_at - 1, 5)
                .await
                .unwrap()
        );
        assert!(
            store
                .park_configuration(&made.id, reason, made.updated_at, 5)
                .await
                .unwrap()
        );
        assert!(!store.park_configuration(&made.id, "again", 6, 6).await.unwrap());
        assert!(
            !store
                .park_configuration(&ConfigurationId::generate(), "x", 6, 6)
                .await
                .unwrap()
        );
        let parked = store.find_configuration(&acme, &made.id).await.unwrap();
        assert_eq!(
            parked.inactive,
            Some(Inactive {
                since: 5,
                reason: "refused: wrong password".to_owned()
            })
        );
        assert_eq!(
            store
                .reactivate_configuration(&acme, &made.id, 7)
                .await
                .unwrap()
                .inactive,
            None
        );
        store
            .park_configuration(&made.id, &"ü".repeat(300), 8, 8)
            .await
            .unwrap();
        let parked = store.find_configuration(&acme, &made.id).await.unwrap();
        assert_eq!(parked.inactive.unwrap().reason, "ü".repeat(255));
    }

    #[tokio::test]
    async fn an_account_id_is_not_changed_onto_a_route_in_use() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let rival = store.organization("Rival").await;
        let mine = store.configuration(&acme, "mine", Some("A1")).await;
        let spare = store.configuration(&acme, "spare", Some("A2")).await;
        let theirs = store.configuration(&rival, "secret project", Some("A3")).await;
        store.number(&mine, "+14155551234", None).await;
        store.number(&theirs, "+14155551234", None).await;
        let onto = |account: &str| ConfigurationChange {
            name: Some("renamed".to_owned()),
            credentials: Some((
                SecretJson::new(json!({ "account": account })),
                Some(AccountId::new(account)),
            )),
        };
        for (account, is_free) in [("A3", false), ("A2", true), ("A1", true), ("", true)] {
            let found = store.require_free_account(&mine, Some(&AccountId::new(account))).await;
            assert_eq!(found.is_ok(), is_free, "{account}: {found:?}");
        }
        let error = store
            .update_configuration(&acme, &mine.id, onto("A3"), None, 5)
            .await
            .unwrap_err();
        let StoreError::Conflict {
            field: "account id",
            cure,
        } = error
        else {
            panic!("{error:?}")
        };
        assert!(
            cure.contains("another organization") && !cure.contains("secret project"),
            "{cure}"
        );
        assert_eq!(
            store.find_configuration(&acme, &mine.id).await.unwrap(),
            mine,
            "nothing half-done"
        );
        // Two configurations may share an account as long as no number collides.
        store
            .update_configuration(&acme, &mine.id, onto("A2"), None, 6)
            .await
            .unwrap();
        assert_eq!(
            store.find_configuration(&acme, &spare.id).await.unwrap().account_id,
            Some(AccountId::new("A2"))
        );
    }
}
