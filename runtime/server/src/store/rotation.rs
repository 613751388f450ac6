//! Rotation of keys, while calls run.
//!
//! Two things can be new: the master key, under which the data keys are wrapped again (a handful of rows, [`Store::rewrap_keys`]),
//! and the data keys, under which every secret is sealed again ([`Store::rotate_keys`]). Both go in small transactions that touch
//! a row only if it is still what was read, so whoever writes at the same time wins, and neither waits for the other for
//! longer than one batch.
//!
//! Nothing has to be told to gateways that run: what they read names the key that it is under, and they fetch keys that they
//! do not know (`store::data_keys`). Old data keys stay, so that a secret sealed at the last moment under one of them still
//! opens; the next rotation finds it.
//!
//! The key of the blind index is wrapped again and never replaced: while two values for one account existed, two
//! organisations could have one route.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::{Place, Store, StoreError, UnixMs, data_keys, get, optional};
use crate::keyring::{DataKey, KEY_ID_CHARS, key_id};

/// Rows that are read, and those of them that are written in one transaction: a few milliseconds.
const BATCH_ROWS: i64 = 100;
/// How often all rows are looked through at most, for those that were sealed under the old key meanwhile.
const PASSES_MAX: u32 = 3;

/// Where there are secrets: tables with `id` and `organization_id`, and a column that is sealed.
const SEALED: [(&str, &str); 4] = [
    ("telephony_configurations", "credentials_sealed"),
    ("agents", "headers_sealed"),
    ("webhook_endpoints", "secret_sealed"),
    ("webhook_endpoints", "previous_secret_sealed"),
];

/// How far a rotation is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Which one it is, counted from 1.
    pub generation: u64,
    /// Whether an earlier process began it.
    pub resumed: bool,
    /// Secrets that it found under an older key when it began.
    pub total: u64,
    /// Those that it has sealed again.
    pub done: u64,
    /// Those that do not open, whatever the key; the log names them. They stay as they are.
    pub failed: u64,
}

/// What a master key is used for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterKeyUse {
    /// Its id.
    pub id: String,
    /// Whether it is at hand.
    pub present: bool,
    /// Whether new data keys are wrapped under it.
    pub current: bool,
    /// Data keys that are wrapped under it. Without any, its line can go.
    pub data_keys: u64,
}

/// Which keys there are, and what they are used for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyReport {
    /// The master keys, those at hand first.
    pub master_keys: Vec<MasterKeyUse>,
    /// Secrets by the rotation that their key came with. The newest is what new secrets are sealed under.
    pub secrets_by_generation: BTreeMap<u64, u64>,
    /// Secrets that no data key of this database has sealed: from before there were data keys.
    pub without_data_key: u64,
    /// The newest rotation.
    pub generation: u64,
    /// Whether it was interrupted.
    pub unfinished: bool,
}

impl Store {
    /// Wraps all data keys under the current master key that are under another one. Returns how many.
    ///
    /// # Errors
    /// The database fails, or a data key stays closed: then the others are wrapped all the same.
    pub async fn rewrap_keys(&self) -> Result<u64, StoreError> {
        let (mut count, mut after, mut failed) = (0, String::new(), None);
        loop {
            let ring = self.keys.ring()?;
            let rows = sqlx::query(
                "SELECT id, organization_id, wrapped FROM data_keys WHERE master_key_id <> $1 AND id > $2 ORDER BY id LIMIT $3",
            )
            .bind(ring.current_id())
            .bind(&*after)
            .bind(BATCH_ROWS)
            .fetch_all(&self.pool)
            .await?;
            let Some(last) = rows.last() else { break };
            after = get(last, "id")?;
            let mut tx = self.begin().await?;
            for row in &rows {
                let (id, organization): (String, Option<String>) = (get(row, "id")?, get(row, "organization_id")?);
                let wrapped: String = get(row, "wrapped")?;
                let place = data_keys::place(organization.as_deref(), &id);
                let key = match ring.unwrap(place, &id, &wrapped) {
                    Ok(key) => key,
                    Err(source) => {
                        failed = Some(data_keys::sealed(place, source));
                        continue;
                    }
                };
                let changed =
                    sqlx::query("UPDATE data_keys SET wrapped = $3, master_key_id = $4 WHERE id = $1 AND wrapped = $2")
                        .bind(&*id)
                        .bind(&*wrapped)
                        .bind(ring.wrap(place, &key)?)
                        .bind(ring.current_id())
                        .execute(&mut *tx)
                        .await?;
                count += changed.rows_affected();
            }
            tx.commit().await?;
        }
        if count > 0 {
            tracing::info!(keys = count, "wrapped data keys under the current encryption key");
        }
        failed.map_or(Ok(count), Err)
    }

    /// Gives every organisation a new data key and seals all secrets again under it, or goes on where that was
    /// interrupted. Gateways may run meanwhile. `progress` is told after each batch.
    ///
    /// # Errors
    /// The database fails, or a secret does not open. The same again goes on from there.
    pub async fn rotate_keys(
        &self,
        now: impl Fn() -> UnixMs,
        mut progress: impl FnMut(Rotation),
    ) -> Result<Rotation, StoreError> {
        self.rewrap_keys().await?;
        let mut rotation = self.begin_rotation(now()).await?;
        self.replace_data_keys(rotation.generation).await?;
        rotation.total = self.stale_secrets().await?;
        progress(rotation);
        for _ in 0..PASSES_MAX {
            let before = rotation.done;
            rotation.failed = 0;
            for (table, column) in SEALED {
                let failed = self.reseal(table, column, |rows| {
                    rotation.done += rows;
                    progress(rotation);
                });
                rotation.failed += failed.await?;
            }
            if rotation.done == before {
                break;
            }
        }
        self.finish_rotation(now()).await?;
        Ok(rotation)
    }

    async fn finish_rotation(&self, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query("UPDATE key_rotation SET finished_at = $1")
            .bind(now)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn begin_rotation(&self, now: UnixMs) -> Result<Rotation, StoreError> {
        let begun = sqlx::query(
            "UPDATE key_rotation SET generation = generation + 1, started_at = $1, finished_at = NULL \
             WHERE finished_at IS NOT NULL RETURNING generation",
        )
        .bind(now);
        let begun = optional(begun, &self.writer).await?;
        let resumed = begun.is_none();
        let row = match begun {
            Some(row) => row,
            None => {
                sqlx::query("SELECT generation FROM key_rotation")
                    .fetch_one(&self.pool)
                    .await?
            }
        };
        Ok(Rotation {
            generation: get::<i64>(&row, "generation")?.unsigned_abs(),
            resumed,
            ..Rotation::default()
        })
    }

    /// Puts a new data key in the place of each that is of an earlier generation.
    async fn replace_data_keys(&self, generation: u64) -> Result<(), StoreError> {
        let generation = i64::try_from(generation).unwrap_or(i64::MAX);
        loop {
            let ring = self.keys.ring()?;
            let rows = sqlx::query(
                "SELECT id, organization_id FROM data_keys WHERE is_current = 1 AND organization_id IS NOT NULL \
                 AND generation < $1 LIMIT $2",
            )
            .bind(generation)
            .bind(BATCH_ROWS)
            .fetch_all(&self.pool)
            .await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin().await?;
            for row in &rows {
                let (id, organization): (String, String) = (get(row, "id")?, get(row, "organization_id")?);
                sqlx::query("UPDATE data_keys SET is_current = 0 WHERE id = $1")
                    .bind(id)
                    .execute(&mut *tx)
                    .await?;
                // Another process may rotate as well: one key of either becomes the current one.
                data_keys::insert_data_key(&mut *tx, &ring, Some(&organization), &DataKey::generate()?, generation)
                    .await?;
            }
            tx.commit().await?;
        }
    }

    /// Seals one column of a table again, where it is not under its organisation's current key. Returns how many did not open.
    async fn reseal(
        &self,
        table: &'static str,
        column: &'static str,
        mut done: impl FnMut(u64),
    ) -> Result<u64, StoreError> {
        let read = format!(
            "SELECT id, organization_id, {column} AS sealed FROM {table} WHERE id > $1 AND {column} IS NOT NULL ORDER BY id LIMIT $2"
        );
        let write = format!("UPDATE {table} SET {column} = $3 WHERE id = $1 AND {column} = $2");
        let mut current: HashMap<String, Arc<DataKey>> = HashMap::new();
        let (mut after, mut failed) = (String::new(), 0);
        loop {
            let rows = sqlx::query(AssertSqlSafe(read.clone()))
                .bind(&*after)
                .bind(BATCH_ROWS)
                .fetch_all(&self.pool)
                .await?;
            let Some(last) = rows.last() else { return Ok(failed) };
            after = get(last, "id")?;
            let mut changes = Vec::new();
            for row in &rows {
                let (id, organization): (String, String) = (get(row, "id")?, get(row, "organization_id")?);
                let sealed: String = get(row, "sealed")?;
                let key = match current.get(&organization) {
                    Some(key) => key.clone(),
                    None => {
                        let key = self.sealing_key(&organization).await?;
                        current.insert(organization.clone(), key.clone());
                        key
                    }
                };
                if key_id(&sealed) == Some(key.id()) {
                    continue;
                }
                let place = Place {
                    table,
                    organization: &organization,
                    row: &id,
                    column,
                };
                let plain = match self.opened(|| self.unseal(place, &sealed)).await {
                    Ok(plain) => plain,
                    Err(error @ StoreError::Sealed { .. }) => {
                        tracing::error!(%error, "a secret stays under its old key");
                        failed += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let again = key.seal(place, &plain)?;
                changes.push((id, sealed, again));
            }
            if changes.is_empty() {
                continue;
            }
            let (mut tx, mut written) = (self.begin().await?, 0);
            for (id, sealed, again) in changes {
                let changed = sqlx::query(AssertSqlSafe(write.clone()))
                    .bind(id)
                    .bind(sealed)
                    .bind(again);
                written += changed.execute(&mut *tx).await?.rows_affected();
            }
            tx.commit().await?;
            done(written);
        }
    }

    /// Finishes a rotation that needs no new data keys.
    pub(super) async fn reseal_all(&self) -> Result<(), StoreError> {
        for (table, column) in SEALED {
            self.reseal(table, column, |_| {}).await?;
        }
        self.finish_rotation(0).await
    }

    /// Secrets that are not under their organisation's current key.
    async fn stale_secrets(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        for (table, column) in SEALED {
            let sql = format!(
                "SELECT COUNT(*) AS count FROM {table} t WHERE t.{column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM data_keys k \
                 WHERE k.id = SUBSTR(t.{column}, 1, {KEY_ID_CHARS}) AND k.is_current = 1)"
            );
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&self.pool).await?;
            count += get::<i64>(&row, "count")?.unsigned_abs();
        }
        Ok(count)
    }

    /// Whether there are secrets, although no data key has been made yet.
    pub(super) async fn has_legacy_secrets(&self) -> Result<bool, StoreError> {
        for (table, column) in SEALED {
            let sql = format!("SELECT 1 AS found FROM {table} WHERE {column} IS NOT NULL LIMIT 1");
            if optional(sqlx::query(AssertSqlSafe(sql)), &self.pool).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Which keys there are, and what they are used for. It needs no key.
    ///
    /// # Errors
    /// The database fails.
    pub async fn key_report(&self) -> Result<KeyReport, StoreError> {
        let mut report = KeyReport::default();
        let ring = self.keys.loaded();
        for (position, id) in ring.iter().flat_map(|ring| ring.ids()).enumerate() {
            report.master_keys.push(MasterKeyUse {
                id: id.to_owned(),
                present: true,
                current: position == 0,
                data_keys: 0,
            });
        }
        let rows =
            sqlx::query("SELECT master_key_id, COUNT(*) AS count FROM data_keys GROUP BY master_key_id ORDER BY 1");
        for row in rows.fetch_all(&self.pool).await? {
            let id: String = get(&row, "master_key_id")?;
            let data_keys = get::<i64>(&row, "count")?.unsigned_abs();
            match report.master_keys.iter_mut().find(|key| key.id == id) {
                Some(key) => key.data_keys = data_keys,
                None => report.master_keys.push(MasterKeyUse {
                    id,
                    data_keys,
                    ..MasterKeyUse::default()
                }),
            }
        }
        for (table, column) in SEALED {
            let sql = format!(
                "SELECT COALESCE(k.generation, 0) AS generation, COUNT(*) AS count FROM {table} t \
                 LEFT JOIN data_keys k ON k.id = SUBSTR(t.{column}, 1, {KEY_ID_CHARS}) WHERE t.{column} IS NOT NULL GROUP BY COALESCE(k.generation, 0)"
            );
            for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.pool).await? {
                let count = get::<i64>(&row, "count")?.unsigned_abs();
                match get::<i64>(&row, "generation")?.unsigned_abs() {
                    0 => report.without_data_key += count,
                    generation => *report.secrets_by_generation.entry(generation).or_default() += count,
                }
            }
        }
        let row = sqlx::query("SELECT generation, finished_at FROM key_rotation").fetch_one(&self.pool);
        let row = row.await?;
        report.generation = get::<i64>(&row, "generation")?.unsigned_abs();
        report.unfinished = get::<Option<i64>>(&row, "finished_at")?.is_none();
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::testing::{self, KEY, TestStore};
    use super::super::{
        AccountId, Agent, AgentSettings, Configuration, ConfigurationChange, OrganizationId, SecretJson,
    };
    use super::*;

    /// Two organisations with agents and configurations; more rows than one batch.
    async fn filled() -> (TestStore, Vec<(OrganizationId, Agent, Configuration)>) {
        let test = testing::open().await;
        let mut organizations = Vec::new();
        for name in ["Acme", "Other"] {
            let organization = test.organization(name).await;
            let agent = test.agent(&organization, "bot").await;
            let configuration = test.configuration(&organization, "main", Some(name)).await;
            test.number(&configuration, "+14155551234", Some(&agent.id)).await;
            organizations.push((organization, agent, configuration));
        }
        for number in 0..BATCH_ROWS {
            test.configuration(&organizations[0].0, &format!("more {number}"), None)
                .await;
        }
        (test, organizations)
    }

    async fn is_routed(store: &Store, account: &str) -> bool {
        let callee = strowger_call::Address::parse("+14155551234", None).unwrap();
        let account = AccountId::new(account);
        let route = store.find_route("testphone", Some(&account), &callee);
        route.await.unwrap().is_some_and(|route| route.agent.is_some())
    }

    #[tokio::test]
    async fn everything_is_sealed_again_and_another_process_learns_the_keys_as_it_meets_them() {
        let (test, organizations) = filled().await;
        let running = test.again(KEY).await.unwrap();
        let before = test.copied_secret(&organizations[0].2).await;
        let mut told = Vec::new();
        let rotation = test
            .rotate_keys(|| 7, |rotation| told.push(rotation.done))
            .await
            .unwrap();
        assert_eq!(
            (
                rotation.generation,
                rotation.resumed,
                rotation.total,
                rotation.done,
                rotation.failed
            ),
            (2, false, 104, 104, 0)
        );
        assert!(told.len() > 3 && told.is_sorted(), "{told:?}");
        let after = test.copied_secret(&organizations[0].2).await;
        assert_ne!(key_id(&before), key_id(&after));

        for (organization, agent, configuration) in &organizations {
            let found = running
                .find_configuration(organization, &configuration.id)
                .await
                .unwrap();
            assert_eq!(found, *configuration);
            assert_eq!(running.find_agent(organization, &agent.id).await.unwrap(), *agent);
        }
        assert!(is_routed(&running, "Acme").await && is_routed(&running, "Other").await);
        running
            .create_configuration(testing::new_configuration(&organizations[1].0, "new", None), 8)
            .await
            .unwrap();
        let report = running.key_report().await.unwrap();
        assert_eq!(report.secrets_by_generation, BTreeMap::from([(2, 105)]));
        assert_eq!((report.generation, report.unfinished), (2, false));
        // Two of each organisation, and the index's.
        assert_eq!(report.master_keys.iter().map(|key| key.data_keys).sum::<u64>(), 5);
    }

    #[tokio::test]
    async fn a_rotation_that_was_interrupted_goes_on() {
        let (test, _) = filled().await;
        let begun = test.begin_rotation(1).await.unwrap();
        test.replace_data_keys(begun.generation).await.unwrap();
        assert!(test.key_report().await.unwrap().unfinished);
        let other = test.again(KEY).await.unwrap();
        let rotation = other.rotate_keys(|| 2, |_| {}).await.unwrap();
        assert_eq!(
            (rotation.generation, rotation.resumed, rotation.done),
            (begun.generation, true, 104)
        );
        assert_eq!(
            other.key_report().await.unwrap().secrets_by_generation,
            BTreeMap::from([(2, 104)])
        );
        assert_eq!(other.rotate_keys(|| 3, |_| {}).await.unwrap().generation, 3);
    }

    #[tokio::test]
    async fn nobody_who_writes_or_calls_meanwhile_loses_anything() {
        let (test, organizations) = filled().await;
        let running = test.again(KEY).await.unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (organization, agent, configuration) = organizations[0].clone();
        let (writer, stop) = (running.clone(), over.clone());
        let writing = tokio::spawn(async move {
            let mut count = 0;
            let mut version = agent.version;
            loop {
                count += 1;
                let settings = AgentSettings {
                    parameters: serde_json::json!({ "count": count }),
                    ..testing::agent_settings("bot")
                };
                let change = ConfigurationChange {
                    credentials: Some((
                        SecretJson::new(serde_json::json!({ "count": count })),
                        Some(AccountId::new("Acme")),
                    )),
                    ..ConfigurationChange::default()
                };
                let changed = writer.update_agent(&organization, &agent.id, &settings, version, count);
                version = changed.await.unwrap().version;
                let changed = writer.update_configuration(&organization, &configuration.id, change, None, count);
                changed.await.unwrap();
                assert!(is_routed(&writer, "Acme").await, "a route was lost");
                if stop.load(Ordering::Acquire) {
                    return (organization, agent, configuration, count);
                }
            }
        });
        for _ in 0..3 {
            test.rotate_keys(|| 1, |_| {}).await.unwrap();
        }
        over.store(true, Ordering::Release);
        let (organization, agent, configuration, count) = writing.await.unwrap();
        let found = test.find_agent(&organization, &agent.id).await.unwrap();
        assert_eq!(found.settings.parameters["count"], count);
        let found = test.find_configuration(&organization, &configuration.id).await.unwrap();
        assert_eq!(found.credentials.expose()["count"], count);
    }

    #[tokio::test]
    async fn a_row_that_does_not_open_does_not_hold_up_the_others() {
        let (test, organizations) = filled().await;
        sqlx::query("UPDATE agents SET headers_sealed = 'noise' WHERE id = $1")
            .bind(organizations[0].1.id.as_str())
            .execute(&test.writer)
            .await
            .unwrap();
        let rotation = test.rotate_keys(|| 1, |_| {}).await.unwrap();
        assert_eq!((rotation.done, rotation.failed), (103, 1));
        assert!(!test.key_report().await.unwrap().unfinished);
    }
}
