//! SIP trunks that a configuration keeps at its carrier, and which of them a call takes.

use serde_json::Value;
use sqlx::any::AnyRow;

use super::pool::Tx;
use super::{
    ConfigurationId, OrganizationId, Store, StoreError, TrunkId, Unique, UnixMs, flag, get, json, optional, parse,
};

const NAME: Unique = Unique {
    name: "telephony_trunks_name",
    columns: "telephony_trunks.configuration_id, telephony_trunks.name",
};

/// A trunk of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Trunk {
    /// Its name in rows.
    pub id: TrunkId,
    /// Who it belongs to.
    pub organization: OrganizationId,
    /// Whose it is. It never changes.
    pub configuration: ConfigurationId,
    /// Its name for people and for the carrier, unique in the configuration.
    pub name: String,
    /// Whether calls may take it.
    pub enabled: bool,
    /// Values of the provider's trunk fields: a JSON object.
    pub settings: Value,
    /// The carrier's identifier. No client sees it.
    pub external_id: Option<String>,
    /// How many numbers are attached to it, active or not. Counted, never written.
    pub number_count: u64,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
    /// How often it was written; clients change what they have read.
    pub version: u64,
}

impl Trunk {
    /// Whether [`Store::delete_trunk`] would do it, before the carrier is asked to take the trunk out of service. Only the
    /// deletion itself settles the matter.
    ///
    /// # Errors
    /// `Conflict` while numbers are attached.
    pub fn require_unattached(&self) -> Result<(), StoreError> {
        match self.number_count {
            0 => Ok(()),
            count => Err(attached(count)),
        }
    }
}

/// A trunk to create.
#[derive(Debug, Clone)]
pub struct NewTrunk {
    /// See [`Trunk::id`].
    pub id: TrunkId,
    /// See [`Trunk::organization`].
    pub organization: OrganizationId,
    /// See [`Trunk::configuration`].
    pub configuration: ConfigurationId,
    /// What its user decided, and the carrier made of it.
    pub content: TrunkContent,
}

/// What changes about a trunk: all of it at once, because the carrier was told all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrunkContent {
    /// See [`Trunk::name`].
    pub name: String,
    /// See [`Trunk::enabled`].
    pub enabled: bool,
    /// See [`Trunk::settings`].
    pub settings: Value,
    /// See [`Trunk::external_id`].
    pub external_id: Option<String>,
}

const COLUMNS: &str = "t.id AS id, t.organization_id AS organization_id, t.configuration_id AS configuration_id, t.name AS name, \
                       t.enabled AS enabled, t.settings AS settings, t.external_id AS external_id, t.created_at AS created_at, \
                       t.updated_at AS updated_at, t.version AS version, \
                       (SELECT COUNT(*) FROM phone_numbers n WHERE n.trunk_id = t.id) AS number_count";

const NO_SUCH: StoreError = StoreError::NotFound { what: "trunk" };

fn conflict(error: sqlx::Error) -> StoreError {
    if NAME.is_violated_by(&error) {
        name_taken()
    } else {
        error.into()
    }
}

fn name_taken() -> StoreError {
    StoreError::Conflict {
        field: "name",
        cure: "another trunk of this configuration has this name; choose another name".to_owned(),
    }
}

fn attached(count: u64) -> StoreError {
    StoreError::Conflict {
        field: "trunk",
        cure: format!("{count} phone numbers are attached to it; attach them to another trunk or to none first"),
    }
}

impl Store {
    /// The trunks of a configuration, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn trunks(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
    ) -> Result<Vec<Trunk>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM telephony_trunks t WHERE t.organization_id = $1 AND t.configuration_id = $2 \
             ORDER BY t.created_at, t.id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(organization.as_str())
            .bind(configuration.as_str())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(trunk_of).collect()
    }

    /// A page of the trunks of a configuration, oldest first: at most `limit` behind the time of creation and id `after`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn trunks_page(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
        after: Option<&(UnixMs, String)>,
        limit: u32,
    ) -> Result<Vec<Trunk>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM telephony_trunks t WHERE t.organization_id = $1 AND t.configuration_id = $2 \
             AND (t.created_at, t.id) > ($3, $4) ORDER BY t.created_at, t.id LIMIT $5"
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
        rows.iter().map(trunk_of).collect()
    }

    /// One trunk of a configuration.
    ///
    /// # Errors
    /// `NotFound`, also for one of another organisation or configuration.
    pub async fn find_trunk(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
        id: &TrunkId,
    ) -> Result<Trunk, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM telephony_trunks t WHERE t.id = $1 AND t.organization_id = $2 AND t.configuration_id = $3"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str())
            .bind(configuration.as_str());
        trunk_of(&optional(query, &self.pool).await?.ok_or(NO_SUCH)?)
    }

    /// Whether a trunk may have this name, before a carrier is asked to do something about it. Only the writing itself
    /// settles the matter. `except` is the trunk that is renamed.
    ///
    /// # Errors
    /// `Conflict`.
    pub async fn require_free_trunk_name(
        &self,
        configuration: &ConfigurationId,
        name: &str,
        except: Option<&TrunkId>,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(
            "SELECT 1 AS found FROM telephony_trunks WHERE configuration_id = $1 AND name = $2 AND id <> $3 LIMIT 1",
        )
        .bind(configuration.as_str())
        .bind(name)
        .bind(except.map_or("", TrunkId::as_str));
        match optional(query, &self.pool).await? {
            None => Ok(()),
            Some(_) => Err(name_taken()),
        }
    }

    /// Creates a trunk that the carrier has.
    ///
    /// # Errors
    /// `NotFound` when the configuration is not the organisation's; `Conflict` for the name.
    pub async fn create_trunk(&self, new: NewTrunk, now: UnixMs) -> Result<Trunk, StoreError> {
        let mut tx = self.begin().await?;
        let query = sqlx::query("SELECT id FROM telephony_configurations WHERE id = $1 AND organization_id = $2")
            .bind(new.configuration.as_str())
            .bind(new.organization.as_str());
        optional(query, &mut *tx).await?.ok_or(StoreError::NotFound {
            what: "telephony configuration",
        })?;
        sqlx::query(
            "INSERT INTO telephony_trunks (id, organization_id, configuration_id, name, enabled, settings, external_id, created_at, \
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        )
        .bind(new.id.as_str())
        .bind(new.organization.as_str())
        .bind(new.configuration.as_str())
        .bind(&*new.content.name)
        .bind(i64::from(new.content.enabled))
        .bind(new.content.settings.to_string())
        .bind(new.content.external_id.as_deref())
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(conflict)?;
        tx.commit().await?;
        let TrunkContent {
            name,
            enabled,
            settings,
            external_id,
        } = new.content;
        Ok(Trunk {
            id: new.id,
            organization: new.organization,
            configuration: new.configuration,
            name,
            enabled,
            settings,
            external_id,
            number_count: 0,
            created_at: now,
            updated_at: now,
            version: 1,
        })
    }

    /// Writes down what the carrier now has, of a trunk of which the version `expected` was read.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when it was changed since; `Conflict` for the name.
    pub async fn update_trunk(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
        id: &TrunkId,
        content: &TrunkContent,
        expected: u64,
        now: UnixMs,
    ) -> Result<Trunk, StoreError> {
        let result = sqlx::query(
            "UPDATE telephony_trunks SET name = $4, enabled = $5, settings = $6, external_id = $7, updated_at = $8, \
             version = version + 1 WHERE id = $1 AND organization_id = $2 AND configuration_id = $3 AND version = $9",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(configuration.as_str())
        .bind(&*content.name)
        .bind(i64::from(content.enabled))
        .bind(content.settings.to_string())
        .bind(content.external_id.as_deref())
        .bind(now)
        .bind(expected.cast_signed())
        .execute(&self.writer)
        .await
        .map_err(conflict)?;
        let found = self.find_trunk(organization, configuration, id).await?;
        if result.rows_affected() == 0 {
            return Err(StoreError::Stale);
        }
        Ok(found)
    }

    /// Deletes a trunk.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when it is not of the version `expected`, if one is; `Conflict` while numbers are attached.
    pub async fn delete_trunk(
        &self,
        organization: &OrganizationId,
        configuration: &ConfigurationId,
        id: &TrunkId,
        expected: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let query =
            sqlx::query("SELECT COUNT(*) AS attached FROM phone_numbers WHERE trunk_id = $1 AND organization_id = $2")
                .bind(id.as_str())
                .bind(organization.as_str());
        if let Some(row) = optional(query, &mut *tx).await? {
            let count = get::<i64>(&row, "attached")?.unsigned_abs();
            if count > 0 {
                return Err(attached(count));
            }
        }
        let result = sqlx::query(
            "DELETE FROM telephony_trunks WHERE id = $1 AND organization_id = $2 AND configuration_id = $3 \
             AND (version = $4 OR $4 = 0)",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(configuration.as_str())
        .bind(expected.unwrap_or(0).cast_signed())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if result.rows_affected() == 0 {
            self.find_trunk(organization, configuration, id).await?;
            return Err(StoreError::Stale);
        }
        Ok(())
    }

    /// The name of the trunk that a call of this configuration takes when it shows `caller_id`, a normalised address: the
    /// number's own trunk, and none when that is disabled, because a call never goes over a trunk that its number was not
    /// given. A number without a trunk, or no number, takes the only enabled trunk; of several none is guessed.
    ///
    /// # Errors
    /// The database fails.
    pub async fn trunk_for(
        &self,
        configuration: &ConfigurationId,
        caller_id: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        if let Some(caller_id) = caller_id {
            let query = sqlx::query(
                "SELECT t.name AS name, t.enabled AS enabled FROM phone_numbers n JOIN telephony_trunks t ON t.id = n.trunk_id \
                 WHERE n.configuration_id = $1 AND n.address_normalized = $2",
            )
            .bind(configuration.as_str())
            .bind(caller_id);
            if let Some(row) = optional(query, &self.pool).await? {
                return if flag(&row, "enabled")? {
                    Ok(Some(get(&row, "name")?))
                } else {
                    Ok(None)
                };
            }
        }
        let rows = sqlx::query("SELECT name FROM telephony_trunks WHERE configuration_id = $1 AND enabled = 1 LIMIT 2")
            .bind(configuration.as_str())
            .fetch_all(&self.pool)
            .await?;
        match rows.as_slice() {
            [row] => Ok(Some(get(row, "name")?)),
            _ => Ok(None),
        }
    }
}

/// A number is attached only to a trunk of its own configuration.
pub(super) async fn require_trunk(
    tx: &mut Tx,
    configuration: &ConfigurationId,
    id: &TrunkId,
) -> Result<(), StoreError> {
    let query = sqlx::query("SELECT id FROM telephony_trunks WHERE id = $1 AND configuration_id = $2")
        .bind(id.as_str())
        .bind(configuration.as_str());
    optional(query, &mut **tx).await?.map(drop).ok_or(NO_SUCH)
}

fn trunk_of(row: &AnyRow) -> Result<Trunk, StoreError> {
    Ok(Trunk {
        id: parse(row, "id", TrunkId::try_from)?,
        organization: parse(row, "organization_id", OrganizationId::try_from)?,
        configuration: parse(row, "configuration_id", ConfigurationId::try_from)?,
        name: get(row, "name")?,
        enabled: flag(row, "enabled")?,
        settings: json(row, "settings")?,
        external_id: get(row, "external_id")?,
        number_count: get::<i64>(row, "number_count")?.unsigned_abs(),
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
        version: get::<i64>(row, "version")?.unsigned_abs(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, TestStore};
    use super::super::{Configuration, ConfigurationFacts, NumberChange, PhoneNumber};
    use super::*;

    fn content(name: &str, enabled: bool) -> TrunkContent {
        TrunkContent {
            name: name.to_owned(),
            enabled,
            settings: serde_json::json!({ "region": "Global" }),
            external_id: Some("uuid-1".to_owned()),
        }
    }

    async fn trunk(store: &TestStore, configuration: &Configuration, name: &str, enabled: bool) -> Trunk {
        let new = NewTrunk {
            id: TrunkId::generate(),
            organization: configuration.organization.clone(),
            configuration: configuration.id.clone(),
            content: content(name, enabled),
        };
        store.create_trunk(new, 1).await.unwrap()
    }

    async fn attach(store: &TestStore, number: &PhoneNumber, to: Option<&Trunk>) {
        let change = NumberChange {
            trunk: Some(to.map(|trunk| trunk.id.clone())),
            ..NumberChange::default()
        };
        store
            .update_number(&number.organization, &number.configuration, &number.id, change, None, 2)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_trunk_round_trips_and_its_name_is_unique_in_its_configuration() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let rival = store.organization("Rival").await;
        let main = store.configuration(&acme, "main", Some("A1")).await;
        let other = store.configuration(&acme, "other", Some("A2")).await;
        let made = trunk(&store, &main, "east", true).await;
        assert_eq!(store.find_trunk(&acme, &main.id, &made.id).await.unwrap(), made);
        trunk(&store, &other, "east", true).await;
        for (organization, configuration) in [(&rival, &main.id), (&acme, &other.id)] {
            let found = store.find_trunk(organization, configuration, &made.id).await;
            assert!(
                matches!(found, Err(StoreError::NotFound { what: "trunk" })),
                "{found:?}"
            );
            let changed = store
                .update_trunk(organization, configuration, &made.id, &content("stolen", true), 1, 2)
                .await;
            assert!(matches!(changed, Err(StoreError::NotFound { .. })), "{changed:?}");
            let deleted = store.delete_trunk(organization, configuration, &made.id, None).await;
            assert!(matches!(deleted, Err(StoreError::NotFound { .. })), "{deleted:?}");
        }

        let west = trunk(&store, &main, "west", false).await;
        let taken = store
            .update_trunk(&acme, &main.id, &west.id, &content("east", true), 1, 3)
            .await;
        assert!(
            matches!(taken, Err(StoreError::Conflict { field: "name", .. })),
            "{taken:?}"
        );
        assert!(
            store
                .require_free_trunk_name(&main.id, "east", Some(&west.id))
                .await
                .is_err()
        );
        store
            .require_free_trunk_name(&main.id, "east", Some(&made.id))
            .await
            .unwrap();
        let renamed = store
            .update_trunk(&acme, &main.id, &west.id, &content("north", true), 1, 4)
            .await
            .unwrap();
        assert_eq!(
            (&*renamed.name, renamed.enabled, renamed.updated_at),
            ("north", true, 4)
        );
        let names: Vec<String> = store
            .trunks(&acme, &main.id)
            .await
            .unwrap()
            .into_iter()
            .map(|trunk| trunk.name)
            .collect();
        assert_eq!(names, ["east", "north"]);
    }

    #[tokio::test]
    async fn a_call_takes_its_numbers_trunk_or_the_only_one_and_never_a_guess() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let main = store.configuration(&acme, "main", Some("A1")).await;
        let number = store.number(&main, "+14155550001", None).await;
        let caller = Some("+14155550001");
        let taken = async |caller| store.trunk_for(&main.id, caller).await.unwrap();

        assert_eq!(taken(caller).await, None, "there is none");
        let off = trunk(&store, &main, "off", false).await;
        assert_eq!(taken(caller).await, None, "it is disabled");
        let east = trunk(&store, &main, "east", true).await;
        assert_eq!(taken(caller).await.as_deref(), Some("east"), "the only enabled one");
        assert_eq!(taken(None).await.as_deref(), Some("east"), "also without a caller id");
        attach(&store, &number, Some(&off)).await;
        assert_eq!(taken(caller).await, None, "its own is disabled, and it is not rerouted");
        attach(&store, &number, None).await;
        let west = trunk(&store, &main, "west", true).await;
        assert_eq!((taken(caller).await, taken(None).await), (None, None), "of two, which?");
        attach(&store, &number, Some(&west)).await;
        assert_eq!(taken(caller).await.as_deref(), Some("west"));
        let facts = store.configuration_facts(&acme, &main.id).await.unwrap();
        let expected = ConfigurationFacts {
            active_numbers: 1,
            inbound_numbers: 0,
            enabled_trunks: 2,
            numbers_without_trunk: 0,
        };
        assert_eq!(facts, expected);

        let error = store.delete_trunk(&acme, &main.id, &west.id, None).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Conflict { field: "trunk", .. }),
            "{error:?}"
        );
        let counted = store.find_trunk(&acme, &main.id, &west.id).await.unwrap();
        assert!(counted.require_unattached().is_err());
        attach(&store, &number, Some(&east)).await;
        store.delete_trunk(&acme, &main.id, &west.id, None).await.unwrap();
    }

    #[tokio::test]
    async fn a_number_takes_no_trunk_of_another_configuration() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let main = store.configuration(&acme, "main", Some("A1")).await;
        let other = store.configuration(&acme, "other", Some("A2")).await;
        let theirs = trunk(&store, &other, "east", true).await;
        let number = store.number(&main, "+14155550001", None).await;
        let change = NumberChange {
            trunk: Some(Some(theirs.id.clone())),
            ..NumberChange::default()
        };
        let error = store
            .update_number(&acme, &main.id, &number.id, change, None, 2)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::NotFound { what: "trunk" }), "{error:?}");
        let mut new = testing::new_number(&main, "+14155550002", None);
        new.trunk = Some(theirs.id);
        let error = store.create_number(new, 2).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { what: "trunk" }), "{error:?}");
    }
}
