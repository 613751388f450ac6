//! The data keys: who seals what, and what happens when they cannot be opened.
//!
//! Every organisation has one data key that seals. It is looked up each time something is sealed, which is rare, so that a
//! rotation in another process counts at once. What opens is kept in memory, since a key's bytes never change; one that is
//! not known yet is fetched by [`Store::opened`].
//!
//! Without the right master key the store goes on with what needs no secret, and refuses the rest
//! ([`StoreError::SecretsUnavailable`]): nothing is sealed under a key that nobody will have tomorrow. The master keys are asked
//! for again when something is wrapped under one that is missing, so a key file that comes back, or has a new line, counts
//! without a restart.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{Any, Executor};
use thiserror::Error;
use tokio::time::Instant;

use super::{Place, Store, StoreError, get, optional};
use crate::keyring::{DataKey, Keyring, OpenError, key_id};

/// Name of the key that makes the blind index.
pub(super) const INDEX_KEY: &str = "index";
/// How often the master keys are asked for again at most: a command may be behind them.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// Why there is no master key, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NoMasterKey(pub String);

/// Where the master keys come from. It may block.
pub trait MasterKeys: fmt::Debug + Send + Sync {
    /// The keys as they are now.
    ///
    /// # Errors
    /// Why there are none.
    fn load(&self) -> Result<Keyring, NoMasterKey>;

    /// The same for a database that has no secrets yet, so that nothing is lost with a new key.
    ///
    /// # Errors
    /// Why there are none.
    fn load_or_make(&self) -> Result<Keyring, NoMasterKey> {
        self.load()
    }
}

/// Keys that are what they are.
impl MasterKeys for Keyring {
    fn load(&self) -> Result<Keyring, NoMasterKey> {
        Ok(self.clone())
    }
}

/// Whether secrets can be read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secrets {
    /// They can.
    Available,
    /// They cannot.
    Unavailable {
        /// Why, and what to do.
        reason: String,
    },
}

/// All keys of a process.
pub(super) struct Keys {
    source: Arc<dyn MasterKeys>,
    held: RwLock<Held>,
    /// When the source was asked last.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Held {
    ring: Option<Arc<Keyring>>,
    data: HashMap<String, Arc<DataKey>>,
    problem: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held();
        f.debug_struct("Keys")
            .field("ring", &held.ring)
            .field("data", &held.data.len())
            .field("problem", &held.problem)
            .finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(source: impl MasterKeys + 'static) -> Self {
        Self {
            source: Arc::new(source),
            held: RwLock::default(),
            asked: tokio::sync::Mutex::default(),
        }
    }

    fn held(&self) -> std::sync::RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> std::sync::RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self, id: &str) -> Option<Arc<DataKey>> {
        self.held().data.get(id).cloned()
    }

    /// The master keys, while all is well.
    pub(super) fn ring(&self) -> Result<Arc<Keyring>, StoreError> {
        let held = self.held();
        match (&held.problem, &held.ring) {
            (None, Some(ring)) => Ok(ring.clone()),
            (problem, _) => Err(unavailable(problem.as_deref())),
        }
    }

    /// The master keys that were given, whether or not they are the right ones.
    pub(super) fn loaded(&self) -> Option<Arc<Keyring>> {
        self.held().ring.clone()
    }

    /// Asks the source; off the threads that serve sockets, since a command may take seconds.
    async fn ask(&self, make: bool) -> Result<Arc<Keyring>, NoMasterKey> {
        let source = self.source.clone();
        let asked = tokio::task::spawn_blocking(move || if make { source.load_or_make() } else { source.load() });
        let ring = asked
            .await
            .map_err(|_| NoMasterKey("reading the encryption key failed".to_owned()))?;
        let ring = Arc::new(ring?);
        self.change().ring = Some(ring.clone());
        Ok(ring)
    }
}

fn unavailable(problem: Option<&str>) -> StoreError {
    StoreError::SecretsUnavailable {
        reason: problem.unwrap_or("there is no encryption key").to_owned(),
    }
}

/// Where a data key is wrapped.
pub(super) fn place<'a>(organization: Option<&'a str>, id: &'a str) -> Place<'a> {
    Place {
        table: "data_keys",
        organization: organization.unwrap_or_default(),
        row: id,
        column: "wrapped",
    }
}

fn unwrapped(ring: &Keyring, row: &AnyRow) -> Result<DataKey, StoreError> {
    let (id, organization): (String, Option<String>) = (get(row, "id")?, get(row, "organization_id")?);
    let wrapped: String = get(row, "wrapped")?;
    ring.unwrap(place(organization.as_deref(), &id), &id, &wrapped)
        .map_err(|source| sealed(place(organization.as_deref(), &id), source))
}

pub(super) fn sealed(place: Place<'_>, source: OpenError) -> StoreError {
    StoreError::Sealed {
        table: place.table,
        row: place.row.to_owned(),
        column: place.column,
        source,
    }
}

/// Why data keys stay closed, for whoever has the key file.
fn closed(error: &StoreError) -> String {
    match error {
        StoreError::Sealed {
            source: OpenError::UnknownKey { key_id },
            ..
        } => format!(
            "the secrets in the database are protected by the encryption key {key_id}, which is not among those given; put its \
             line back into the key file"
        ),
        error => error.to_string(),
    }
}

impl Store {
    /// Whether secrets can be read and written.
    #[must_use]
    pub fn secrets(&self) -> Secrets {
        match &self.keys.held().problem {
            None => Secrets::Available,
            Some(reason) => Secrets::Unavailable { reason: reason.clone() },
        }
    }

    /// Opens all data keys; at the first start it makes the one for the index. What cannot be opened does not stop the store:
    /// it is told by [`Store::secrets`]. Data keys under an older master key are wrapped again.
    ///
    /// # Errors
    /// The database fails, or it is new and there is no key to begin with.
    pub(super) async fn open_keys(&self) -> Result<(), StoreError> {
        let query = "SELECT id, organization_id, wrapped FROM data_keys";
        let mut rows = sqlx::query(query).fetch_all(&self.pool).await?;
        let is_first = rows.is_empty();
        let is_upgrade = is_first && self.has_legacy_secrets().await?;
        let is_new = is_first && !is_upgrade;
        let ring = match self.keys.ask(is_new).await {
            Ok(ring) => ring,
            Err(NoMasterKey(reason)) if is_new => return Err(StoreError::NoMasterKey { reason }),
            Err(NoMasterKey(reason)) => {
                self.keys.change().problem = Some(reason);
                return Ok(());
            }
        };
        if is_first {
            if let Err(error @ (StoreError::Sealed { .. } | StoreError::SecretsUnavailable { .. })) =
                self.make_index_key(&ring).await
            {
                self.keys.change().problem = Some(closed(&error));
                return Ok(());
            }
            rows = sqlx::query(query).fetch_all(&self.pool).await?;
        }
        let (mut data, mut problem) = (HashMap::with_capacity(rows.len()), None);
        for row in &rows {
            match unwrapped(&ring, row) {
                Ok(key) => drop(data.insert(key.id().to_owned(), Arc::new(key))),
                Err(error) => drop(problem.get_or_insert_with(|| closed(&error))),
            }
        }
        let is_available = problem.is_none();
        {
            let mut held = self.keys.change();
            held.data = data;
            held.problem = problem;
        }
        if is_available {
            self.rewrap_keys().await?;
        }
        if is_available && is_upgrade {
            // Whoever takes the old master key away must not lose what it sealed itself.
            self.reseal_all().await?;
        }
        Ok(())
    }

    /// Asks for the master keys again if they are missing. Called every now and then.
    ///
    /// # Errors
    /// The database fails.
    pub async fn refresh_keys(&self) -> Result<(), StoreError> {
        if self.secrets() == Secrets::Available || !self.may_ask().await {
            return Ok(());
        }
        self.open_keys().await?;
        if self.secrets() == Secrets::Available {
            tracing::info!("the encryption key is there: secrets can be read and written again");
        }
        Ok(())
    }

    async fn may_ask(&self) -> bool {
        let mut asked = self.keys.asked.lock().await;
        let now = Instant::now();
        let may = asked.is_none_or(|asked| now.duration_since(asked) >= ASK_INTERVAL);
        if may {
            *asked = Some(now);
        }
        may
    }

    /// Fetches a data key that another process has made.
    async fn learn_key(&self, id: &str) -> Result<Option<Arc<DataKey>>, StoreError> {
        let query = sqlx::query("SELECT id, organization_id, wrapped FROM data_keys WHERE id = $1").bind(id);
        let Some(row) = optional(query, &self.pool).await? else {
            return Ok(None);
        };
        let mut opened = unwrapped(&*self.keys.ring()?, &row);
        if let Err(StoreError::Sealed {
            source: OpenError::UnknownKey { .. },
            ..
        }) = &opened
            && self.may_ask().await
            && let Ok(ring) = self.keys.ask(false).await
        {
            // The master key is newer than this process.
            opened = unwrapped(&ring, &row);
        }
        let key = Arc::new(opened?);
        self.keys.change().data.insert(id.to_owned(), key.clone());
        Ok(Some(key))
    }

    /// Reads rows with secrets in them. If a data key is missing, it is fetched, and they are read again.
    pub(super) async fn opened<T>(&self, read: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut missing = String::new();
        loop {
            match read() {
                Err(StoreError::Sealed {
                    table,
                    row,
                    column,
                    source: OpenError::UnknownKey { key_id },
                }) => {
                    // Once for each key: a page of rows may have several.
                    if key_id == missing || self.learn_key(&key_id).await?.is_none() {
                        let source = OpenError::UnknownKey { key_id };
                        return Err(StoreError::Sealed {
                            table,
                            row,
                            column,
                            source,
                        });
                    }
                    missing = key_id;
                }
                read => return read,
            }
        }
    }

    /// Seals a text for its place, under its organisation's key. Not within a transaction: it may have to make the key.
    pub(super) async fn seal(&self, place: Place<'_>, plain: &str) -> Result<String, StoreError> {
        Ok(self.sealing_key(place.organization).await?.seal(place, plain)?)
    }

    /// Opens a sealed text; see [`Store::opened`].
    pub(super) fn unseal(&self, place: Place<'_>, text: &str) -> Result<String, StoreError> {
        let id = key_id(text).ok_or_else(|| sealed(place, OpenError::Tampered))?;
        if let Some(key) = self.keys.data(id) {
            return key.open(place, text).map_err(|source| sealed(place, source));
        }
        // Of a database that is older than data keys; or nobody's, for all that is known here.
        let opened = self.keys.ring()?.open(place, text);
        opened.map_err(|source| sealed(place, source))
    }

    /// A keyed hash for finding what is sealed.
    pub(super) fn blind_index(&self, domain: &str, value: &str) -> Result<String, StoreError> {
        match self.keys.data(INDEX_KEY) {
            Some(key) => Ok(key.blind_index(domain, value)),
            None => Err(unavailable(self.keys.held().problem.as_deref())),
        }
    }

    /// The key that seals for an organisation; made when it has none.
    pub(super) async fn sealing_key(&self, organization: &str) -> Result<Arc<DataKey>, StoreError> {
        let ring = self.keys.ring()?;
        for attempt in 0..2 {
            let query = sqlx::query("SELECT id FROM data_keys WHERE organization_id = $1 AND is_current = 1");
            if let Some(row) = optional(query.bind(organization), &self.pool).await? {
                let id: String = get(&row, "id")?;
                return match self.keys.data(&id) {
                    Some(key) => Ok(key),
                    None => self
                        .learn_key(&id)
                        .await?
                        .ok_or_else(|| unavailable(Some("the organization's data key is gone"))),
                };
            }
            if attempt == 0 {
                let row = sqlx::query("SELECT generation FROM key_rotation").fetch_one(&self.pool);
                let generation = get(&row.await?, "generation")?;
                let key = DataKey::generate()?;
                insert_data_key(&self.writer, &ring, Some(organization), &key, generation).await?;
            }
        }
        Err(StoreError::NotFound { what: "organization" })
    }

    /// Makes the key of the blind index, and with it the index of what is there from before data keys existed. Of several
    /// processes that start at once, one does it.
    async fn make_index_key(&self, ring: &Keyring) -> Result<(), StoreError> {
        let key = DataKey::named(INDEX_KEY)?;
        let mut tx = self.begin().await?;
        if insert_data_key(&mut *tx, ring, None, &key, 1).await? && self.index_accounts(&mut tx, &key).await? {
            // Until everything is under a data key, a rotation is due.
            sqlx::query("UPDATE key_rotation SET finished_at = NULL")
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Keeps a new data key as the one that seals, unless there is one; whether it did.
pub(super) async fn insert_data_key<'e>(
    executor: impl Executor<'e, Database = Any>,
    ring: &Keyring,
    organization: Option<&str>,
    key: &DataKey,
    generation: i64,
) -> Result<bool, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO data_keys (id, organization_id, wrapped, master_key_id, generation, is_current) \
         VALUES ($1, $2, $3, $4, $5, 1) ON CONFLICT DO NOTHING",
    )
    .bind(key.id())
    .bind(organization)
    .bind(ring.wrap(place(organization, key.id()), key)?)
    .bind(ring.current_id())
    .bind(generation)
    .execute(executor)
    .await;
    match inserted {
        Ok(inserted) => Ok(inserted.rows_affected() == 1),
        Err(error)
            if error
                .as_database_error()
                .is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation) =>
        {
            Err(StoreError::NotFound { what: "organization" })
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::testing::{self, KEY, TestStore};
    use super::super::{AccountId, Agent, AgentId, Configuration, OrganizationId, SecretJson};
    use super::*;

    const NEW_KEY: &str = "0202020202020202020202020202020202020202020202020202020202020202";

    async fn filled() -> (TestStore, OrganizationId, Agent, Configuration) {
        let test = testing::open().await;
        let organization = test.organization("Acme").await;
        let agent = test.agent(&organization, "bot").await;
        let configuration = test.configuration(&organization, "main", Some("A1")).await;
        test.number(&configuration, "+14155551234", Some(&agent.id)).await;
        (test, organization, agent, configuration)
    }

    async fn route(store: &Store) -> Result<Option<AgentId>, StoreError> {
        let callee = strowger_call::Address::parse("+14155551234", None).unwrap();
        let route = store
            .find_route("testphone", Some(&AccountId::new("A1")), &callee)
            .await?;
        Ok(route.and_then(|route| route.agent).map(|agent| agent.id))
    }

    #[track_caller]
    fn has_no_key<T: fmt::Debug>(result: Result<T, StoreError>) {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::SecretsUnavailable { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_new_master_key_takes_over_when_the_store_opens() {
        let (test, organization, agent, configuration) = filled().await;
        let before = test.copied_secret(&configuration).await;
        let store = test.again(&format!("{NEW_KEY}\n{KEY}")).await.unwrap();
        store.close().await;
        let store = test.again(NEW_KEY).await.unwrap();
        assert_eq!(store.secrets(), Secrets::Available);
        let found = store
            .find_configuration(&organization, &configuration.id)
            .await
            .unwrap();
        assert_eq!(found.credentials.expose()["auth_token"], "hush-hush");
        assert_eq!(route(&store).await.unwrap(), Some(agent.id));
        assert_eq!(
            test.copied_secret(&configuration).await,
            before,
            "no secret was touched"
        );
    }

    #[tokio::test]
    async fn with_the_wrong_master_key_what_needs_no_secret_goes_on() {
        let (test, organization, agent, configuration) = filled().await;
        let store = test.again(NEW_KEY).await.unwrap();
        let Secrets::Unavailable { reason } = store.secrets() else {
            panic!("the key is another one");
        };
        let right = Keyring::parse(KEY).unwrap();
        assert!(reason.contains(right.current_id()) && !reason.contains(KEY), "{reason}");
        assert_eq!(store.numbers(&organization, &configuration.id).await.unwrap().len(), 1);
        store.ping().await.unwrap();

        has_no_key(store.find_configuration(&organization, &configuration.id).await);
        has_no_key(store.agents(&organization, None, 500).await);
        has_no_key(route(&store).await);
        let settings = testing::agent_settings("another");
        has_no_key(
            store
                .create_agent(&organization, &AgentId::generate(), &settings, 1)
                .await,
        );
        has_no_key(
            store
                .update_agent(&organization, &agent.id, &settings, agent.version, 1)
                .await,
        );
        has_no_key(
            store
                .create_configuration(testing::new_configuration(&organization, "second", None), 1)
                .await,
        );
        has_no_key(store.rewrap_keys().await);
        has_no_key(store.rotate_keys(|| 1, |_| {}).await);
        // Not even for an organisation that has no key yet, one is made that nobody could open later.
        let other = store
            .create_organization(&OrganizationId::generate(), "Other", 1)
            .await
            .unwrap();
        has_no_key(store.create_agent(&other.id, &AgentId::generate(), &settings, 1).await);
        assert_eq!(
            test.find_configuration(&organization, &configuration.id).await.unwrap(),
            configuration
        );
    }

    /// A key file that changes.
    #[derive(Debug, Clone)]
    struct File(Arc<Mutex<Option<&'static str>>>);

    impl MasterKeys for File {
        fn load(&self) -> Result<Keyring, NoMasterKey> {
            let text = self
                .0
                .lock()
                .unwrap()
                .ok_or_else(|| NoMasterKey("it is gone".to_owned()))?;
            Ok(Keyring::parse(text).unwrap())
        }
    }

    #[tokio::test]
    async fn a_key_that_comes_back_counts_without_a_restart() {
        let (test, organization, agent, _) = filled().await;
        let file = File(Arc::default());
        let store = Store::open(&test.url, file.clone(), &testing::options()).await.unwrap();
        assert_eq!(
            store.secrets(),
            Secrets::Unavailable {
                reason: "it is gone".to_owned()
            }
        );
        has_no_key(store.agents(&organization, None, 500).await);
        store.refresh_keys().await.unwrap();
        *file.0.lock().unwrap() = Some(KEY);
        store.refresh_keys().await.unwrap();
        has_no_key(store.agents(&organization, None, 500).await);
        tokio::time::pause();
        tokio::time::advance(ASK_INTERVAL).await;
        tokio::time::resume();
        store.refresh_keys().await.unwrap();
        assert_eq!(store.agents(&organization, None, 500).await.unwrap().len(), 1);
        assert_eq!(route(&store).await.unwrap(), Some(agent.id));
    }

    #[tokio::test]
    async fn a_new_master_key_is_learned_when_something_is_under_it() {
        let (test, ..) = filled().await;
        let file = File(Arc::new(Mutex::new(Some(KEY))));
        let running = Store::open(&test.url, file.clone(), &testing::options()).await.unwrap();
        // Somebody adds a key and rotates; an organisation that is new since then is under the new key alone.
        *file.0.lock().unwrap() = Some(
            "0202020202020202020202020202020202020202020202020202020202020202\n0101010101010101010101010101010101010101010101010101010101010101",
        );
        let other = Store::open(&test.url, file.clone(), &testing::options()).await.unwrap();
        let organization = other
            .create_organization(&OrganizationId::generate(), "Other", 1)
            .await
            .unwrap();
        let agent = other
            .create_agent(
                &organization.id,
                &AgentId::generate(),
                &testing::agent_settings("bot"),
                1,
            )
            .await
            .unwrap();
        assert_eq!(running.find_agent(&organization.id, &agent.id).await.unwrap(), agent);
    }

    #[tokio::test]
    async fn a_new_database_needs_a_key_to_begin_with() {
        let test = testing::open().await;
        sqlx::query("DELETE FROM data_keys")
            .execute(&test.writer)
            .await
            .unwrap();
        let error = Store::open(&test.url, File(Arc::default()), &testing::options())
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::NoMasterKey { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_database_from_before_data_keys_is_opened_and_sealed_again() {
        let (test, organization, agent, configuration) = filled().await;
        let ring = Keyring::parse(KEY).unwrap();
        let of = |table, row, column| Place {
            table,
            organization: organization.as_str(),
            row,
            column,
        };
        let plain = serde_json::json!({ "credentials": { "auth_token": "hush-hush" }, "account_id": "A1" });
        for (sql, row, sealed) in [
            (
                "UPDATE telephony_configurations SET credentials_sealed = $2, account_index = 'old' WHERE id = $1",
                configuration.id.as_str(),
                ring.seal_without_data_key(
                    of(
                        "telephony_configurations",
                        configuration.id.as_str(),
                        "credentials_sealed",
                    ),
                    &plain.to_string(),
                ),
            ),
            (
                "UPDATE agents SET headers_sealed = $2 WHERE id = $1",
                agent.id.as_str(),
                ring.seal_without_data_key(of("agents", agent.id.as_str(), "headers_sealed"), "[]"),
            ),
            (
                "UPDATE phone_numbers SET account_index = 'old' WHERE configuration_id = $1 AND $2 <> ''",
                configuration.id.as_str(),
                "x".to_owned(),
            ),
            ("DELETE FROM data_keys WHERE $1 <> $2", "a", "b".to_owned()),
        ] {
            let query = sqlx::query(sql).bind(row).bind(sealed);
            query.execute(&test.writer).await.unwrap();
        }
        // With another key nothing is changed.
        let store = test.again(NEW_KEY).await.unwrap();
        has_no_key(store.agents(&organization, None, 500).await);
        assert_eq!(store.key_report().await.unwrap().without_data_key, 2);

        let store = test.again(KEY).await.unwrap();
        assert_eq!(store.agents(&organization, None, 500).await.unwrap()[0].id, agent.id);
        let found = store
            .find_configuration(&organization, &configuration.id)
            .await
            .unwrap();
        assert_eq!(
            found.credentials,
            SecretJson::new(serde_json::json!({ "auth_token": "hush-hush" }))
        );
        assert_eq!(route(&store).await.unwrap(), Some(agent.id));
        assert_eq!(store.key_report().await.unwrap().without_data_key, 0);
    }
}
