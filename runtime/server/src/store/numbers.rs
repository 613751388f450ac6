//! Phone numbers, and the route from a webhook to its organisation.

use serde_json::Value;
use sqlx::any::AnyRow;
use strowger_call::{Address, Country};

use super::pool::Tx;
use super::{
    AccountId, Agent, AgentId, Columns, Configuration, ConfigurationId, NumberId, OrganizationId, Store, StoreError,
    TrunkId, Unique, UnixMs, WrittenAddress, flag, get, is_foreign_key_violation, json, optional, parse,
    parse_optional, trunks,
};

const ADDRESS: Unique = Unique {
    name: "phone_numbers_address",
    columns: "phone_numbers.organization_id, phone_numbers.address_normalized",
};
pub(super) const ROUTE: Unique = Unique {
    name: "phone_numbers_route",
    columns: "phone_numbers.provider, phone_numbers.account_index, phone_numbers.address_normalized",
};

/// A number of an organisation at one of its carriers.
#[derive(Debug, Clone, PartialEq)]
pub struct PhoneNumber {
    /// Its name in rows.
    pub id: NumberId,
    /// Who it belongs to.
    pub organization: OrganizationId,
    /// The carrier's account that it is at.
    pub configuration: ConfigurationId,
    /// As entered: what the carrier is told.
    pub written: WrittenAddress,
    /// Normalised: what is compared. Unique in the organisation.
    pub address: Address,
    /// The country whose national numbers it may be in.
    pub country: Option<Country>,
    /// A user's name for it.
    pub label: Option<String>,
    /// Who takes its inbound calls.
    pub agent: Option<AgentId>,
    /// The trunk that calls from it take; one of its configuration.
    pub trunk: Option<TrunkId>,
    /// Whether it takes and makes calls.
    pub is_active: bool,
    /// Whether outbound calls of its configuration show it unless they say otherwise.
    pub is_default_caller_id: bool,
    /// A user's own data: a JSON object.
    pub metadata: Value,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
    /// How often it was written; clients change what they have read.
    pub version: u64,
}

/// A number to create.
#[derive(Debug, Clone)]
pub struct NewNumber {
    /// See [`PhoneNumber::id`].
    pub id: NumberId,
    /// See [`PhoneNumber::organization`].
    pub organization: OrganizationId,
    /// See [`PhoneNumber::configuration`]. It never changes.
    pub configuration: ConfigurationId,
    /// See [`PhoneNumber::written`]. It never changes.
    pub written: WrittenAddress,
    /// See [`PhoneNumber::address`].
    pub address: Address,
    /// See [`PhoneNumber::country`].
    pub country: Option<Country>,
    /// See [`PhoneNumber::label`].
    pub label: Option<String>,
    /// See [`PhoneNumber::agent`].
    pub agent: Option<AgentId>,
    /// See [`PhoneNumber::trunk`].
    pub trunk: Option<TrunkId>,
    /// See [`PhoneNumber::is_active`].
    pub is_active: bool,
    /// Takes the default from the number that has it.
    pub is_default_caller_id: bool,
    /// See [`PhoneNumber::metadata`].
    pub metadata: Value,
}

/// What to change in a number; what is `None` stays. A field that can be emptied is changed to `Some(None)`.
#[derive(Debug, Clone, Default)]
pub struct NumberChange {
    /// See [`PhoneNumber::label`].
    pub label: Option<Option<String>>,
    /// See [`PhoneNumber::agent`].
    pub agent: Option<Option<AgentId>>,
    /// See [`PhoneNumber::trunk`].
    pub trunk: Option<Option<TrunkId>>,
    /// See [`PhoneNumber::is_active`].
    pub is_active: Option<bool>,
    /// See [`PhoneNumber::country`].
    pub country: Option<Option<Country>>,
    /// See [`PhoneNumber::metadata`].
    pub metadata: Option<Value>,
}

/// Where an inbound call goes.
#[derive(Debug, Clone)]
pub struct Route {
    /// Whose call it is.
    pub organization: OrganizationId,
    /// Whose credentials prove the webhook. It is active.
    pub configuration: Configuration,
    /// The number that was called. It is active.
    pub number: PhoneNumber,
    /// Who takes the call; none when the number has no agent.
    pub agent: Option<Agent>,
}

const COLUMNS: &str = "id, organization_id, configuration_id, address, address_normalized, country_code, label, agent_id, trunk_id, \
                       is_active, is_default_caller_id, metadata, created_at, updated_at, version";

const NO_SUCH: StoreError = StoreError::NotFound { what: "phone number" };

/// Somebody deleted, between the look and the writing, what the number was to belong to.
const GONE: StoreError = StoreError::NotFound {
    what: "agent, trunk or telephony configuration any more",
};

/// The error for a taken route. `holder` has the organisation and the configuration's name of whoever has it.
pub(super) fn route_taken(
    field: &'static str,
    organization: &OrganizationId,
    holder: Option<&AnyRow>,
) -> Result<StoreError, StoreError> {
    let cure = match holder {
        Some(row) if get::<String>(row, "organization_id")? == organization.as_str() => {
            let name: String = get(row, "name")?;
            format!("the configuration \"{name}\" of this organization has this number; remove it there first")
        }
        _ => "another organization routes this number of this account; one number of one account has one place"
            .to_owned(),
    };
    Ok(StoreError::Conflict { field, cure })
}

/// The columns of three tables side by side; each table's reader finds its own under their names.
const SELECT_ROUTE: &str = "\
    SELECT c.id AS c_id, c.organization_id AS c_organization_id, c.name AS c_name, c.provider AS c_provider, \
    c.credentials_sealed AS c_credentials_sealed, c.is_default_outbound AS c_is_default_outbound, c.inactive AS c_inactive, \
    c.inactive_since AS c_inactive_since, c.inactive_reason AS c_inactive_reason, c.created_at AS c_created_at, \
    c.updated_at AS c_updated_at, c.version AS c_version, \
    n.id AS n_id, n.organization_id AS n_organization_id, n.configuration_id AS n_configuration_id, n.address AS n_address, \
    n.address_normalized AS n_address_normalized, n.country_code AS n_country_code, n.label AS n_label, \
    n.agent_id AS n_agent_id, n.trunk_id AS n_trunk_id, n.is_active AS n_is_active, n.is_default_caller_id AS n_is_default_caller_id, \
    n.metadata AS n_metadata, n.created_at AS n_created_at, n.updated_at AS n_updated_at, n.version AS n_version, \
    a.id AS a_id, a.organization_id AS a_organization_id, a.name AS a_name, a.protocol AS a_protocol, a.url AS a_url, \
    a.sample_rate_hz AS a_sample_rate_hz, a.headers_sealed AS a_headers_sealed, a.record AS a_record, \
    a.parameters AS a_parameters, a.created_at AS a_created_at, a.updated_at AS a_updated_at, a.version AS a_version \
    FROM phone_numbers n JOIN telephony_configurations c ON c.id = n.configuration_id \
    LEFT JOIN agents a ON a.id = n.agent_id AND a.organization_id = n.organization_id";

/// By its address: how many numbers there are does not matter, only how often one of them exists.
const BY_ACCOUNT: &str = "WHERE n.provider = $1 AND n.address_normalized = $2 AND COALESCE(n.account_index, '') = $3 \
                          AND n.is_active = 1 AND c.inactive = 0 LIMIT 2";

impl Store {
    /// Creates a number.
    ///
    /// # Errors
    /// `NotFound` when the configuration or the agent is not the organisation's, or the trunk not the configuration's;
    /// `Conflict` when the organisation has the number, or anybody routes it under the same provider and account.
    pub async fn create_number(&self, new: NewNumber, now: UnixMs) -> Result<PhoneNumber, StoreError> {
        let mut tx = self.begin().await?;
        let query = sqlx::query(
            "SELECT provider, account_index FROM telephony_configurations WHERE id = $1 AND organization_id = $2",
        )
        .bind(new.configuration.as_str())
        .bind(new.organization.as_str());
        let row = optional(query, &mut *tx).await?.ok_or(StoreError::NotFound {
            what: "telephony configuration",
        })?;
        let provider: String = get(&row, "provider")?;
        let account_index: Option<String> = get(&row, "account_index")?;
        if let Some(agent) = &new.agent {
            require_agent(&mut tx, &new.organization, agent).await?;
        }
        if let Some(trunk) = &new.trunk {
            trunks::require_trunk(&mut tx, &new.configuration, trunk).await?;
        }
        if new.is_default_caller_id {
            clear_default(&mut tx, &new.configuration, now).await?;
        }
        let inserted = sqlx::query(
            "INSERT INTO phone_numbers (id, organization_id, configuration_id, address, address_normalized, address_type, country_code, \
             label, agent_id, trunk_id, is_active, is_default_caller_id, metadata, provider, account_index, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16)",
        )
        .bind(new.id.as_str())
        .bind(new.organization.as_str())
        .bind(new.configuration.as_str())
        .bind(new.written.expose())
        .bind(new.address.expose())
        .bind(new.address.kind().as_str())
        .bind(new.country.as_ref().map(Country::as_str))
        .bind(new.label.as_deref())
        .bind(new.agent.as_ref().map(AgentId::as_str))
        .bind(new.trunk.as_ref().map(TrunkId::as_str))
        .bind(i64::from(new.is_active))
        .bind(i64::from(new.is_default_caller_id))
        .bind(new.metadata.to_string())
        .bind(&*provider)
        .bind(account_index.as_deref())
        .bind(now)
        .execute(&mut *tx)
        .await;
        if let Err(error) = inserted {
            tx.rollback().await?;
            return Err(self
                .number_conflict(error, &new, &provider, account_index.as_deref())
                .await?);
        }
        tx.commit().await?;
        Ok(PhoneNumber {
            id: new.id,
            organization: new.organization,
            configuration: new.configuration,
            written: new.written,
            address: new.address.with_country(new.country),
            country: new.country,
            label: new.label,
            agent: new.agent,
            trunk: new.trunk,
            is_active: new.is_active,
            is_default_caller_id: new.is_default_caller_id,
            metadata: new.metadata,
            created_at: now,
            updated_at: now,
            version: 1,
        })
    }

    async fn number_conflict(
        &self,
        error: sqlx::Error,
        new: &NewNumber,
        provider: &str,
        account_index: Option<&str>,
    ) -> Result<StoreError, StoreError> {
        if is_foreign_key_violation(&error) {
            return Ok(GONE);
        }
        if !ADDRESS.is_violated_by(&error) && !ROUTE.is_violated_by(&error) {
            return Ok(error.into());
        }
        let holder = self
            .number_holder(&new.organization, provider, account_index, &new.address)
            .await?;
        route_taken("address", &new.organization, holder.as_ref())
    }

    /// Who has a number, so that the organisation cannot. A number of the same organisation comes first: it violates both
    /// constraints, and what is said must not depend on which one the database checks first.
    async fn number_holder(
        &self,
        organization: &OrganizationId,
        provider: &str,
        account_index: Option<&str>,
        address: &Address,
    ) -> Result<Option<AnyRow>, StoreError> {
        let query = sqlx::query(
            "SELECT n.organization_id AS organization_id, c.name AS name FROM phone_numbers n \
             JOIN telephony_configurations c ON c.id = n.configuration_id WHERE n.address_normalized = $1 \
             AND (n.organization_id = $2 OR (n.provider = $3 AND n.account_index = $4)) \
             ORDER BY CASE n.organization_id WHEN $2 THEN 0 ELSE 1 END LIMIT 1",
        )
        .bind(address.expose())
        .bind(organization.as_str())
        .bind(provider)
        .bind(account_index);
        Ok(optional(query, &self.pool).await?)
    }

    /// Whether [`Store::create_number`] would have it, before a carrier is asked to do something about it. Only the creation
    /// itself settles the matter.
    ///
    /// # Errors
    /// `Conflict`, as for the creation.
    pub async fn require_free_number(
        &self,
        configuration: &Configuration,
        address: &Address,
    ) -> Result<(), StoreError> {
        let index = self.account_index(&configuration.provider, configuration.account_id.as_ref())?;
        let organization = &configuration.organization;
        match self
            .number_holder(organization, &configuration.provider, index.as_deref(), address)
            .await?
        {
            None => Ok(()),
            holder => Err(route_taken("address", organization, holder.as_ref())?),
        }
    }

    /// One number of a configuration.
    ///
    /// # Errors
    /// `NotFound`, also for one of another organisation or configuration.
    pub async fn find_number(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
        id: &NumberId,
    ) -> Result<PhoneNumber, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM phone_numbers WHERE id = $1 AND organization_id = $2 AND configuration_id = $3"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str())
            .bind(configuration.as_str());
        number_of(&optional(query, &self.pool).await?.ok_or(NO_SUCH)?)
    }

    /// The numbers of a configuration, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn numbers(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
    ) -> Result<Vec<PhoneNumber>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM phone_numbers WHERE organization_id = $1 AND configuration_id = $2 ORDER BY created_at, id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(organization.as_str())
            .bind(configuration.as_str())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(number_of).collect()
    }

    /// A page of the numbers of a configuration, oldest first: at most `limit` behind the time of creation and id `after`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn numbers_page(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
        after: Option<&(UnixMs, String)>,
        limit: u32,
    ) -> Result<Vec<PhoneNumber>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM phone_numbers WHERE organization_id = $1 AND configuration_id = $2 \
             AND (created_at, id) > ($3, $4) ORDER BY created_at, id LIMIT $5"
        );
        let (at, id) = after.map_or((UnixMs::MIN, ""), |(at, id)| (*at, id));
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(organization.as_str())
            .bind(configuration.as_str())
            .bind(at)
            .bind(id)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(number_of).collect()
    }

    /// Changes a number: what the change does not name stays, whoever has written it.
    ///
    /// # Errors
    /// `Stale` when it is not of the version `expected`, if one is; `NotFound`, also when the agent is not the organisation's or the trunk not the configuration's.
    pub async fn update_number(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
        id: &NumberId,
        change: NumberChange,
        expected: Option<u64>,
        now: UnixMs,
    ) -> Result<PhoneNumber, StoreError> {
        let mut tx = self.begin().await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM phone_numbers WHERE id = $1 AND organization_id = $2 AND configuration_id = $3"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str())
            .bind(configuration.as_str());
        let mut number = number_of(&optional(query, &mut *tx).await?.ok_or(NO_SUCH)?)?;
        if expected.is_some_and(|expected| expected != number.version) {
            return Err(StoreError::Stale);
        }
        if let Some(Some(agent)) = &change.agent {
            require_agent(&mut tx, organization, agent).await?;
        }
        if let Some(Some(trunk)) = &change.trunk {
            trunks::require_trunk(&mut tx, configuration, trunk).await?;
        }
        number.label = change.label.unwrap_or(number.label);
        number.agent = change.agent.unwrap_or(number.agent);
        number.trunk = change.trunk.unwrap_or(number.trunk);
        number.is_active = change.is_active.unwrap_or(number.is_active);
        number.country = change.country.unwrap_or(number.country);
        number.metadata = change.metadata.unwrap_or(number.metadata);
        number.updated_at = now;
        // Of two that have read the same, one writes: where rows are not locked by reading, the version tells.
        let written = sqlx::query(
            "UPDATE phone_numbers SET label = $2, agent_id = $3, is_active = $4, country_code = $5, metadata = $6, updated_at = $7, \
             trunk_id = $8, version = version + 1 WHERE id = $1 AND version = $9",
        )
        .bind(id.as_str())
        .bind(number.label.as_deref())
        .bind(number.agent.as_ref().map(AgentId::as_str))
        .bind(i64::from(number.is_active))
        .bind(number.country.as_ref().map(Country::as_str))
        .bind(number.metadata.to_string())
        .bind(now)
        .bind(number.trunk.as_ref().map(TrunkId::as_str))
        .bind(number.version.cast_signed())
        .execute(&mut *tx)
        .await
        .map_err(|error| if is_foreign_key_violation(&error) { GONE } else { error.into() })?;
        if written.rows_affected() == 0 {
            return Err(StoreError::Stale);
        }
        number.version += 1;
        tx.commit().await?;
        Ok(number)
    }

    /// Makes a number the caller id that its configuration shows by default, in place of the one that is.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_default_caller(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
        id: &NumberId,
        now: UnixMs,
    ) -> Result<PhoneNumber, StoreError> {
        let mut tx = self.begin().await?;
        // The organisation is checked by the second statement; without a match the transaction is dropped.
        clear_default(&mut tx, configuration, now).await?;
        let sql = format!(
            "UPDATE phone_numbers SET is_default_caller_id = 1, updated_at = $4, version = version + 1 WHERE id = $1 AND organization_id = $2 \
             AND configuration_id = $3 RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str())
            .bind(configuration.as_str())
            .bind(now);
        let number = number_of(&optional(query, &mut *tx).await?.ok_or(NO_SUCH)?)?;
        tx.commit().await?;
        Ok(number)
    }

    /// Deletes a number. Its calls stay in the record.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when it is not of the version `expected`, if one is.
    pub async fn delete_number(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
        id: &NumberId,
        expected: Option<u64>,
    ) -> Result<(), StoreError> {
        let result = sqlx::query(
            "DELETE FROM phone_numbers WHERE id = $1 AND organization_id = $2 AND configuration_id = $3 \
             AND (version = $4 OR $4 = 0)",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(configuration.as_str())
        .bind(expected.unwrap_or(0).cast_signed())
        .execute(&self.writer)
        .await?;
        if result.rows_affected() == 0 {
            self.find_number(organization, configuration, id).await?;
            return Err(StoreError::Stale);
        }
        Ok(())
    }

    /// Where a call to `callee` goes, in one query: the active number of an active configuration of this provider with
    /// this account id. `account_id` is `None` for a provider whose webhooks name no account; then the number must be
    /// unique among its configurations, since guessing would hand one organisation's call to another.
    ///
    /// # Errors
    /// The database fails, or the configuration does not open.
    pub async fn find_route(
        &self,
        provider: &str,
        account_id: Option<&AccountId>,
        callee: &Address,
    ) -> Result<Option<Route>, StoreError> {
        if account_id.is_some_and(|id| id.expose().is_empty()) {
            return Ok(None);
        }
        let sql = format!("{SELECT_ROUTE} {BY_ACCOUNT}");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(provider)
            .bind(callee.expose())
            .bind(self.account_index(provider, account_id)?.unwrap_or_default());
        let rows = query.fetch_all(&self.pool).await?;
        match rows.as_slice() {
            [] => Ok(None),
            [row] => self.opened(|| self.route_of(row)).await.map(Some),
            _ => {
                tracing::error!(
                    provider,
                    "two organizations have this number without an account id; the call is refused"
                );
                Ok(None)
            }
        }
    }

    /// Where a call to `callee` goes that an active configuration was told of over a socket of its own.
    ///
    /// # Errors
    /// As for [`Store::find_route`].
    pub async fn find_route_of(
        &self,
        configuration: &ConfigurationId,
        callee: &Address,
    ) -> Result<Option<Route>, StoreError> {
        let sql = format!(
            "{SELECT_ROUTE} WHERE n.configuration_id = $1 AND n.address_normalized = $2 AND n.is_active = 1 AND c.inactive = 0"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(configuration.as_str())
            .bind(callee.expose());
        let row = optional(query, &self.pool).await?;
        match &row {
            Some(row) => self.opened(|| self.route_of(row)).await.map(Some),
            None => Ok(None),
        }
    }

    fn route_of(&self, row: &AnyRow) -> Result<Route, StoreError> {
        let configuration = self.configuration_of(Columns { row, prefix: "c_" })?;
        let number = number_of(Columns { row, prefix: "n_" })?;
        let agent = match get::<Option<String>>(row, "a_id")? {
            Some(_) => Some(self.agent_of(Columns { row, prefix: "a_" })?),
            None => None,
        };
        Ok(Route {
            organization: number.organization.clone(),
            configuration,
            number,
            agent,
        })
    }
}

fn number_of<'r>(row: impl Into<Columns<'r>>) -> Result<PhoneNumber, StoreError> {
    let row = row.into();
    let country = parse_optional(row, "country_code", Country::try_from)?;
    Ok(PhoneNumber {
        id: parse(row, "id", NumberId::try_from)?,
        organization: parse(row, "organization_id", OrganizationId::try_from)?,
        configuration: parse(row, "configuration_id", ConfigurationId::try_from)?,
        written: WrittenAddress::new(get::<String>(row, "address")?),
        address: parse(row, "address_normalized", |text| Address::parse(&text, None))?.with_country(country),
        country,
        label: get(row, "label")?,
        agent: parse_optional(row, "agent_id", AgentId::try_from)?,
        trunk: parse_optional(row, "trunk_id", TrunkId::try_from)?,
        is_active: flag(row, "is_active")?,
        is_default_caller_id: flag(row, "is_default_caller_id")?,
        metadata: json(row, "metadata")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
        version: get::<i64>(row, "version")?.unsigned_abs(),
    })
}

async fn require_agent(tx: &mut Tx, organization: &OrganizationId, id: &AgentId) -> Result<(), StoreError> {
    let query = sqlx::query("SELECT id FROM agents WHERE id = $1 AND organization_id = $2")
        .bind(id.as_str())
        .bind(organization.as_str());
    optional(query, &mut **tx)
        .await?
        .map(drop)
        .ok_or(StoreError::NotFound { what: "agent" })
}

async fn clear_default(tx: &mut Tx, configuration: &ConfigurationId, now: UnixMs) -> Result<(), StoreError> {
    // Who comes second waits here, and then sees what the first one has made the default.
    sqlx::query("UPDATE telephony_configurations SET created_at = created_at WHERE id = $1")
        .bind(configuration.as_str())
        .execute(&mut **tx)
        .await?;
    sqlx::query("UPDATE phone_numbers SET is_default_caller_id = 0, updated_at = $2, version = version + 1 WHERE configuration_id = $1 AND is_default_caller_id = 1")
        .bind(configuration.as_str())
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, TestStore};
    use super::super::{Backend, ConfigurationFacts};
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text, None).unwrap()
    }

    async fn route(store: &TestStore, account: &str, callee: &str) -> Option<Route> {
        store
            .find_route("testphone", Some(&AccountId::new(account)), &address(callee))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn what_a_configuration_is_told_concerns_its_own_numbers_only() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let mine = store.configuration(&acme, "main", None).await;
        let other = store.configuration(&acme, "other", None).await;
        let number = store.number(&mine, "1001", None).await;
        let found = async |configuration: &Configuration, callee: &str| {
            let route = store.find_route_of(&configuration.id, &address(callee)).await.unwrap();
            route.map(|route| (route.organization, route.number))
        };
        assert_eq!(found(&mine, "1001").await, Some((acme, number)));
        assert_eq!(found(&mine, "1002").await, None);
        assert_eq!(found(&other, "1001").await, None);
        let active = store.active_configurations("testphone").await.unwrap();
        assert_eq!(active.len(), 2);
        assert!(store.park_configuration(&mine.id, "gone", 2, 2).await.unwrap());
        assert_eq!(found(&mine, "1001").await, None);
        let active = store.active_configurations("testphone").await.unwrap();
        assert_eq!(active, [other]);
        assert_eq!(store.active_configurations("otherphone").await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_webhook_finds_its_organization_by_provider_account_and_number() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let rival = store.organization("Rival").await;
        let agent = store.agent(&acme, "bot").await;
        let mine = store.configuration(&acme, "main", Some("A1")).await;
        let theirs = store.configuration(&rival, "main", Some("A2")).await;
        let number = store.number(&mine, "+1 (415) 555-1234", Some(&agent.id)).await;
        store.number(&theirs, "+14155551234", None).await;

        let found = route(&store, "A1", "+14155551234").await.unwrap();
        assert_eq!(
            (found.organization, found.configuration, found.number),
            (acme.clone(), mine.clone(), number.clone())
        );
        assert_eq!(found.agent, Some(agent.clone()));
        let found = route(&store, "A2", "+14155551234").await.unwrap();
        assert_eq!((found.organization, found.agent), (rival, None));
        for (account, callee) in [("A3", "+14155551234"), ("", "+14155551234"), ("A1", "+14155550000")] {
            assert!(route(&store, account, callee).await.is_none(), "{account} {callee}");
        }
        assert!(
            store
                .find_route("otherphone", Some(&AccountId::new("A1")), &number.address)
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            store
                .find_route("testphone", None, &number.address)
                .await
                .unwrap()
                .is_none()
        );

        let off = NumberChange {
            is_active: Some(false),
            ..NumberChange::default()
        };
        store
            .update_number(&acme, &mine.id, &number.id, off, None, 2)
            .await
            .unwrap();
        assert!(route(&store, "A1", "+14155551234").await.is_none(), "inactive number");
        let on = NumberChange {
            is_active: Some(true),
            ..NumberChange::default()
        };
        store
            .update_number(&acme, &mine.id, &number.id, on, None, 2)
            .await
            .unwrap();
        assert!(store.park_configuration(&mine.id, "refused", 3, 3).await.unwrap());
        assert!(
            route(&store, "A1", "+14155551234").await.is_none(),
            "parked configuration"
        );
        store.reactivate_configuration(&acme, &mine.id, 4).await.unwrap();
        store.delete_agent(&acme, &agent.id, None).await.unwrap();
        assert!(route(&store, "A1", "+14155551234").await.unwrap().agent.is_none());
    }

    #[tokio::test]
    async fn without_an_account_id_an_ambiguous_number_is_refused() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let rival = store.organization("Rival").await;
        let mine = store.configuration(&acme, "pbx", None).await;
        let theirs = store.configuration(&rival, "pbx", Some("")).await;
        store.number(&mine, "8000", None).await;
        assert_eq!(
            store
                .find_route("testphone", None, &address("8000"))
                .await
                .unwrap()
                .unwrap()
                .organization,
            acme
        );
        store.number(&theirs, "8000", None).await;
        assert!(
            store
                .find_route("testphone", None, &address("8000"))
                .await
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn a_route_is_found_by_indexes_alone() {
        let store = testing::open().await;
        let mut tx = store.begin().await.unwrap();
        let (explain, column) = match store.backend {
            Backend::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
            Backend::Postgres => {
                // An empty table is read from end to end, whatever indexes there are.
                let query = sqlx::query("SET LOCAL enable_seqscan = off");
                query.execute(&mut *tx).await.unwrap();
                ("EXPLAIN", "QUERY PLAN")
            }
        };
        let sql = format!("{explain} {SELECT_ROUTE} {BY_ACCOUNT}");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind("p").bind("+1").bind("i");
        let rows = query.fetch_all(&mut *tx).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| get(row, column).unwrap()).collect();
        let plan = plan.join("\n");
        assert!(plan.contains("phone_numbers_"), "{plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("Seq Scan"), "{plan}");
    }

    #[tokio::test]
    async fn one_number_of_one_account_has_one_place() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let rival = store.organization("Rival").await;
        let mine = store.configuration(&acme, "main", Some("A1")).await;
        let theirs = store.configuration(&rival, "secret project", Some("A1")).await;
        store.number(&theirs, "+14155551234", None).await;

        let error = store
            .create_number(testing::new_number(&mine, "+1 415 555 1234", None), 2)
            .await
            .unwrap_err();
        let StoreError::Conflict { field: "address", cure } = error else {
            panic!("{error:?}")
        };
        assert!(
            cure.contains("another organization") && !cure.contains("secret project"),
            "{cure}"
        );

        store.number(&mine, "+14155550000", None).await;
        let error = store
            .create_number(testing::new_number(&mine, "0014155550000", None), 2)
            .await
            .unwrap_err();
        let StoreError::Conflict { field: "address", cure } = error else {
            panic!("{error:?}")
        };
        assert!(cure.contains("\"main\" of this organization"), "{cure}");
        assert_eq!(store.numbers(&acme, &mine.id).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn one_number_is_the_default_caller_id_and_only_when_asked() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let rival = store.organization("Rival").await;
        let main = store.configuration(&acme, "main", Some("A1")).await;
        let first = store.number(&main, "+14155550001", None).await;
        assert!(!first.is_default_caller_id);
        let mut new = testing::new_number(&main, "+14155550002", None);
        new.is_default_caller_id = true;
        let second = store.create_number(new, 2).await.unwrap();
        assert!(matches!(
            store.set_default_caller(&rival, &main.id, &first.id, 3).await,
            Err(StoreError::NotFound { .. })
        ));
        assert!(
            store
                .find_number(&acme, &main.id, &second.id)
                .await
                .unwrap()
                .is_default_caller_id,
            "nothing half-done"
        );
        store.set_default_caller(&acme, &main.id, &first.id, 3).await.unwrap();
        let flags: Vec<bool> = store
            .numbers(&acme, &main.id)
            .await
            .unwrap()
            .iter()
            .map(|n| n.is_default_caller_id)
            .collect();
        assert_eq!(flags, [true, false]);
    }

    #[tokio::test]
    async fn a_number_belongs_to_its_organization_and_takes_only_its_agents() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let rival = store.organization("Rival").await;
        let main = store.configuration(&acme, "main", Some("A1")).await;
        let their_agent = store.agent(&rival, "bot").await;
        let error = store
            .create_number(testing::new_number(&main, "+14155550001", Some(&their_agent.id)), 1)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::NotFound { what: "agent" }), "{error:?}");
        let mut new = testing::new_number(&main, "+14155550001", None);
        new.organization = rival.clone();
        let error = store.create_number(new, 1).await.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::NotFound {
                    what: "telephony configuration"
                }
            ),
            "{error:?}"
        );

        let agent = store.agent(&acme, "bot").await;
        let mut new = testing::new_number(&main, "+14155550001", Some(&agent.id));
        new.country = Some(Country::parse("us").unwrap());
        new.label = Some("front desk".to_owned());
        new.metadata = serde_json::json!({ "floor": 2 });
        let made = store.create_number(new, 1).await.unwrap();
        assert_eq!(store.find_number(&acme, &main.id, &made.id).await.unwrap(), made);
        assert!(!format!("{made:?}").contains("4155550001"));
        assert_eq!(
            store.configuration_facts(&acme, &main.id).await.unwrap(),
            ConfigurationFacts {
                active_numbers: 1,
                inbound_numbers: 1,
                enabled_trunks: 0,
                numbers_without_trunk: 1
            }
        );
        let steal = NumberChange {
            agent: Some(Some(their_agent.id)),
            ..NumberChange::default()
        };
        let error = store
            .update_number(&acme, &main.id, &made.id, steal, None, 2)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::NotFound { what: "agent" }), "{error:?}");
        let clear = NumberChange {
            agent: Some(None),
            label: Some(None),
            ..NumberChange::default()
        };
        let changed = store
            .update_number(&acme, &main.id, &made.id, clear, None, 2)
            .await
            .unwrap();
        assert_eq!(
            (changed.agent.is_none(), changed.label.is_none(), changed.updated_at),
            (true, true, 2)
        );
        assert_eq!(store.find_number(&acme, &main.id, &made.id).await.unwrap(), changed);
        assert!(matches!(
            store.delete_number(&rival, &main.id, &made.id, None).await,
            Err(StoreError::NotFound { .. })
        ));
        store.delete_number(&acme, &main.id, &made.id, None).await.unwrap();
        assert!(matches!(
            store.find_number(&acme, &main.id, &made.id).await,
            Err(StoreError::NotFound { .. })
        ));
    }
}
