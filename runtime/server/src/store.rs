//! Everything that survives a restart: organisations, API keys, agents, telephony configurations, phone numbers, calls
//! and their events, the catalogue of providers, and what these keep between operations.
//!
//! [`Store`] is the one way to the database; no SQL is written anywhere else. It decides nothing about calls: it keeps the
//! rules that must hold whoever writes, which are isolation of organisations, uniqueness of routes, single use of media
//! tokens and idempotence of webhooks.
//!
//! **One code for two databases.** The pool is [`sqlx::Any`], because a `Store` that is generic over the database would carry
//! a dozen of sqlx's bounds on every method, and two stores would drift apart. The price is that queries are checked by the
//! tests and not by the compiler, and that only TEXT and BIGINT exist: booleans are 0 and 1, hashes and ciphertexts are
//! text. In return the SQL and the migrations are the same text on both: numbered parameters, `RETURNING`, `ON
//! CONFLICT`, partial indexes, row values. The places where databases differ are in this file: the pragmas, how a writing
//! transaction begins, and how a violated constraint is told.
//!
//! **Time and identity are parameters.** Times are unix milliseconds ([`UnixMs`]). Identifiers are made by the caller, so
//! that it can log and bind them before they are written.
//!
//! Every statement of a writing transaction runs under the database's write lock (SQLite) or the row's (PostgreSQL): those
//! that read before they write begin with the lock in hand, since SQLite refuses a reader that turns into a writer too late.

mod admission;
mod agents;
mod audit;
mod calls;
mod configurations;
mod data_keys;
mod endpoints;
mod gateways;
mod id;
mod idempotency;
mod invocations;
mod keys;
mod leases;
mod numbers;
mod organizations;
mod outbox;
mod pool;
mod probe;
mod providers;
mod rotation;
mod secret;
mod sessions;
mod signals;
mod state;
mod transfers;
mod trunks;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Connection as _, Executor, Row as _};
use thiserror::Error;

use self::data_keys::Keys;
use self::pool::{Pool, Tx, answered};
use crate::keyring::{OpenError, Place};

pub use admission::{Admitted, Terms, UsageReport};
pub use agents::{Agent, AgentSettings};
pub use audit::{AuditChain, AuditEntry, AuditRecord, AuditVerdict, IntentId, Outcome};
pub use calls::{
    CallFilter, CallFinish, CallRecord, CallState, EventRecord, MediaToken, NewCall, NewEvent, NotClaimable,
    PAGE_ROWS_MAX, new_call_id,
};
pub use configurations::{Configuration, ConfigurationChange, ConfigurationFacts, Inactive, NewConfiguration};
pub use data_keys::{MasterKeys, NoMasterKey, Secrets};
pub use endpoints::{ENDPOINTS_MAX, OLD_SECRET_FOR, WebhookEndpoint, WebhookEndpointSettings};
pub use gateways::{GatewayRow, NewGateway};
pub use id::{
    AgentId, ApiKeyId, ConfigurationId, IdError, NumberId, OrganizationId, OutgoingEventId, SessionId, TrunkId,
    WebhookEndpointId,
};
pub use idempotency::{Attempt, IdempotentRequest};
pub use invocations::{FrameTimes, InvocationRecord};
pub use keys::{ApiKey, ApiKeyRecord, KeyHolder, KeyRole, LAST_ADMIN, NewApiKey, Power, Role};
pub use leases::LeaseKey;
pub use numbers::{NewNumber, NumberChange, PhoneNumber, Route};
pub use organizations::{InstallationCounts, Organization};
pub(crate) use outbox::{Attempted, ClaimedDelivery};
pub use outbox::{DELIVERIES_BYTES_MAX, DELIVERIES_MAX, DeliveryRecord, DeliveryState};
pub use providers::{
    Canary, Installed, NewProviderVersion, Party, ProviderChannel, ProviderVersion, Quarantine, VersionFault,
};
pub use rotation::{KeyReport, MasterKeyUse, Rotation};
pub use secret::{AccountId, SecretHeaders, SecretJson, WrittenAddress};
pub use sessions::{Session, SessionToken};
pub use state::{Scope, StateUsage};
pub use transfers::{NewTransfer, TransferRecord, TransferState, new_transfer_id};
pub use trunks::{NewTrunk, Trunk, TrunkContent};

/// Wall-clock time: milliseconds since 1970-01-01 00:00 UTC.
pub type UnixMs = i64;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// What can go wrong in the store. Callers decide by the variant; the text names the cause and the cure.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no such row, or it belongs to another organisation: nobody can tell which.
    #[error("there is no such {what}")]
    NotFound {
        /// What was looked for, in words.
        what: &'static str,
    },
    /// A value that must be unique is taken.
    #[error("{field} is taken: {cure}")]
    Conflict {
        /// The field whose value is taken.
        field: &'static str,
        /// Where it is in use, as far as the caller may know, and what to do.
        cure: String,
    },
    /// The row is of another version than the one that was expected.
    #[error("it was changed meanwhile; read it again")]
    Stale,
    /// Somebody else holds the database for longer than the busy timeout. The same again may succeed.
    #[error(
        "the database is locked by another process, overloaded, or does not answer; try again, and look whether it runs, and for a \
         backup or a second server on the same file"
    )]
    Locked,
    /// The database cannot be used: gone, full, not readable, not reachable.
    #[error(
        "the database cannot be used; look whether it is there, whether the user that runs strowger may write to it and \
         its directory, and whether the disk is full"
    )]
    Unavailable(#[source] sqlx::Error),
    /// What is in the file is no database, or not any more.
    #[error(
        "the database is damaged, or no database at all: restore it from a backup (a file may be saved with `sqlite3 FILE \
         .recover`), and check the disk"
    )]
    Damaged(#[source] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error(
        "the database's schema does not fit this version of strowger; it was probably made by a newer one, so start that one"
    )]
    Schema(#[source] MigrateError),
    /// A sealed value does not open: the encryption key is not the one that it was sealed with, or the row was changed.
    #[error(
        "{column} of {table} {row} cannot be decrypted: start with the encryption key that the data was written with"
    )]
    Sealed {
        /// Table of the row.
        table: &'static str,
        /// Id of the row.
        row: String,
        /// Column of the value.
        column: &'static str,
        /// Which of the two it is.
        source: OpenError,
    },
    /// There is no key, or the wrong one. What needs no secret goes on.
    #[error("stored secrets can neither be read nor written: {reason}")]
    SecretsUnavailable {
        /// Why, and what to do.
        reason: String,
    },
    /// A new database, and no key to begin with.
    #[error("a new database needs an encryption key: {reason}")]
    NoMasterKey {
        /// Why there is none.
        reason: String,
    },
    /// A stored value is not what this version writes.
    #[error("{column} has a value that strowger never writes ({problem}); restore the database from a backup")]
    Corrupt {
        /// Column of the value.
        column: &'static str,
        /// What is wrong with it, without the value.
        problem: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system has no random bytes")]
    Randomness(#[from] getrandom::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_locked(&error) {
            Self::Locked
        } else if is_damaged(&error) {
            Self::Damaged(error)
        } else {
            Self::Unavailable(error)
        }
    }
}

fn is_damaged(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        // PostgreSQL: data_corrupted, index_corrupted.
        Some("XX001" | "XX002") => true,
        // SQLite: SQLITE_CORRUPT and SQLITE_NOTADB, with an extension in the higher bits.
        Some(code) => code
            .parse::<u32>()
            .is_ok_and(|code| matches!(code & 0xff, 11 | 26) && code < 0x1000),
        None => false,
    }
}

fn is_locked(error: &sqlx::Error) -> bool {
    match error {
        // All connections wait for the same lock.
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => match error.code().as_deref() {
            // PostgreSQL: lock_not_available, deadlock_detected, serialization_failure.
            Some("55P03" | "40P01" | "40001") => true,
            // SQLite: SQLITE_BUSY and SQLITE_LOCKED, with an extension in the higher bits.
            Some(code) => code
                .parse::<u32>()
                .is_ok_and(|code| matches!(code & 0xff, 5 | 6) && code < 0x1000),
            None => false,
        },
        _ => false,
    }
}

/// What a row refers to is not there, or not any more.
fn is_foreign_key_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
}

/// A unique index by name, and by the columns as which SQLite reports it.
struct Unique {
    name: &'static str,
    columns: &'static str,
}

impl Unique {
    fn is_violated_by(&self, error: &sqlx::Error) -> bool {
        let Some(error) = error.as_database_error().filter(|error| error.is_unique_violation()) else {
            return false;
        };
        match error.constraint() {
            Some(name) => name == self.name,
            None => error.message().ends_with(&format!(": {}", self.columns)),
        }
    }
}

/// How the store uses its database.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// How long a statement waits for somebody else's lock before it fails with [`StoreError::Locked`].
    pub busy_timeout: Duration,
    /// Connections at most. With SQLite one more writes.
    pub connections_max: u32,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            connections_max: 8,
        }
    }
}

/// The longest statement, in milliseconds, where the database can end one. Every statement here touches few rows.
const STATEMENT_MS_MAX: u32 = 30_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Sqlite,
    Postgres,
}

/// The database with the keys to it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// For statements that only read.
    pool: Pool,
    /// For those that write. With SQLite it has one connection: writers then wait for their turn in a queue, and not by
    /// asking for the lock again every few milliseconds.
    writer: Pool,
    keys: Arc<Keys>,
    backend: Backend,
    signals: signals::Signals,
}

impl Store {
    /// Opens the database at a `sqlite:` or `postgres:` URL, creates or upgrades its schema, and wraps
    /// its data keys under the current master key. Without the right master key it opens all the same; see [`Store::secrets`].
    ///
    /// # Errors
    /// `Locked` or `Unavailable`; `Schema` for a database of another version; `NoMasterKey` for a new one without a key.
    pub async fn open(url: &str, keys: impl MasterKeys + 'static, options: &StoreOptions) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let connect: AnyConnectOptions = url.parse()?;
        let busy_ms = options.busy_timeout.as_millis();
        let mut first = answered(AnyConnection::connect_with(&connect)).await?;
        let backend = match first.backend_name() {
            "SQLite" => Backend::Sqlite,
            _ => Backend::Postgres,
        };
        if backend == Backend::Sqlite {
            // Part of the file, not of the connection. Readers then never wait for the writer, nor the writer for readers.
            let sql = format!("PRAGMA busy_timeout = {busy_ms}; PRAGMA journal_mode = WAL");
            first.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        }
        MIGRATIONS.run(&mut first).await.map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::migration_failed(error),
            error => StoreError::Schema(error),
        })?;
        first.close().await?;

        let per_connection: Arc<str> = match backend {
            // In WAL mode NORMAL loses at most the last transactions of a power cut, and never consistency.
            Backend::Sqlite => {
                format!("PRAGMA busy_timeout = {busy_ms}; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON")
            }
            // Whoever waits for a lock, works, or keeps one without working, for longer than that has lost its way.
            Backend::Postgres => format!(
                "SET lock_timeout = {busy_ms}; SET statement_timeout = {STATEMENT_MS_MAX}; \
                 SET idle_in_transaction_session_timeout = {STATEMENT_MS_MAX}"
            ),
        }
        .into();
        let pool = |connections_max| {
            let per_connection = per_connection.clone();
            AnyPoolOptions::new()
                .max_connections(connections_max)
                .min_connections(1)
                .acquire_timeout(options.busy_timeout + Duration::from_secs(1))
                .test_before_acquire(backend == Backend::Postgres)
                // One that does not answer is closed, and does not count as in use until somebody else gives it up.
                .after_release(move |connection, _| {
                    Box::pin(async move {
                        if backend == Backend::Postgres {
                            answered(connection.ping()).await?;
                        }
                        Ok(true)
                    })
                })
                .after_connect(move |connection, _| {
                    let sql = sqlx::AssertSqlSafe(per_connection.to_string());
                    Box::pin(async move { connection.execute(sqlx::raw_sql(sql)).await.map(drop) })
                })
                .connect_with(connect.clone())
        };
        let readers = Pool::new(answered(pool(options.connections_max)).await?);
        let writer = match backend {
            Backend::Sqlite => Pool::new(answered(pool(1)).await?),
            Backend::Postgres => readers.clone(),
        };
        let store = Self {
            pool: readers,
            writer,
            keys: Arc::new(Keys::new(keys)),
            backend,
            signals: signals::Signals::default(),
        };
        // What cannot be written is told at the start, and not by the first call.
        store.begin().await?.rollback().await?;
        store.open_keys().await?;
        Ok(store)
    }

    fn migration_failed(error: sqlx::Error) -> StoreError {
        error.into()
    }

    /// Waits for running statements and closes the database, which folds SQLite's write-ahead log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
        self.writer.close().await;
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// `Locked` or `Unavailable`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// A transaction that will write.
    async fn begin(&self) -> Result<Tx, StoreError> {
        if self.backend == Backend::Postgres {
            return Ok(self.writer.begin().await?);
        }
        match self.writer.begin_with("BEGIN IMMEDIATE").await {
            // SQLite ends a transaction by itself when the disk is full, which its connection does not hear of: it would
            // refuse every later one.
            Err(sqlx::Error::InvalidSavePointStatement | sqlx::Error::BeginFailed) => {
                self.writer.acquire().await?.close().await?;
                Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
            }
            begun => Ok(begun?),
        }
    }

    /// Ends a `SELECT` whose row must stay as it is until the transaction ends. SQLite's transactions exclude each other
    /// anyway.
    fn for_update(&self) -> &'static str {
        match self.backend {
            Backend::Sqlite => "",
            Backend::Postgres => " FOR UPDATE",
        }
    }
}

type AnyQuery<'q> = Query<'q, Any, AnyArguments>;

/// The first row. All are fetched: a statement that returns what it writes has to run to its end.
async fn optional<'e>(
    query: AnyQuery<'e>,
    executor: impl Executor<'e, Database = Any>,
) -> Result<Option<AnyRow>, sqlx::Error> {
    Ok(query.fetch_all(executor).await?.into_iter().next())
}

/// A row, or the part of a joined row whose columns have a prefix.
#[derive(Clone, Copy)]
struct Columns<'r> {
    row: &'r AnyRow,
    prefix: &'static str,
}

impl<'r> From<&'r AnyRow> for Columns<'r> {
    fn from(row: &'r AnyRow) -> Self {
        Self { row, prefix: "" }
    }
}

/// Reads one column of a row.
fn get<'r, T>(from: impl Into<Columns<'r>>, column: &'static str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, Any> + sqlx::Type<Any>,
{
    let Columns { row, prefix } = from.into();
    let name: Cow<'_, str> = if prefix.is_empty() {
        column.into()
    } else {
        format!("{prefix}{column}").into()
    };
    row.try_get(&*name).map_err(|error| corrupt(column, error.to_string()))
}

/// Reads a column and makes a type of ours of it.
fn parse<'r, T, E: std::fmt::Display>(
    from: impl Into<Columns<'r>>,
    column: &'static str,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, StoreError> {
    make(get(from, column)?).map_err(|error| corrupt(column, error.to_string()))
}

/// The same for a column that may be null.
fn parse_optional<'r, T, E: std::fmt::Display>(
    from: impl Into<Columns<'r>>,
    column: &'static str,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Result<Option<T>, StoreError> {
    get::<Option<String>>(from, column)?
        .map(make)
        .transpose()
        .map_err(|error| corrupt(column, error.to_string()))
}

fn flag<'r>(from: impl Into<Columns<'r>>, column: &'static str) -> Result<bool, StoreError> {
    Ok(get::<i64>(from, column)? != 0)
}

fn json<'r>(from: impl Into<Columns<'r>>, column: &'static str) -> Result<serde_json::Value, StoreError> {
    parse(from, column, |text| serde_json::from_str(&text))
}

fn json_optional<'r>(
    from: impl Into<Columns<'r>>,
    column: &'static str,
) -> Result<Option<serde_json::Value>, StoreError> {
    parse_optional(from, column, |text| serde_json::from_str(&text))
}

fn corrupt(column: &'static str, problem: impl Into<Cow<'static, str>>) -> StoreError {
    StoreError::Corrupt {
        column,
        problem: problem.into().into_owned(),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! The one place where tests open a store: on SQLite, or on the PostgreSQL that `STROWGER_TEST_DATABASE` names, where each
    //! has a schema of its own.

    use super::*;
    use crate::keyring::Keyring;

    /// A store on a database of its own, removed with it.
    pub(crate) struct TestStore {
        pub(crate) store: Store,
        pub(crate) url: String,
        pub(crate) directory: tempfile::TempDir,
    }

    impl std::ops::Deref for TestStore {
        type Target = Store;

        fn deref(&self) -> &Store {
            &self.store
        }
    }

    pub(crate) const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";

    pub(crate) fn options() -> StoreOptions {
        StoreOptions {
            busy_timeout: Duration::from_millis(200),
            connections_max: 4,
        }
    }

    pub(crate) async fn open() -> TestStore {
        match std::env::var("STROWGER_TEST_DATABASE") {
            Ok(server) => open_at(schema(&server).await).await,
            Err(_) => open_sqlite().await,
        }
    }

    /// For what is particular to the embedded database.
    pub(crate) async fn open_sqlite() -> TestStore {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("test.db").display());
        TestStore {
            directory,
            ..open_at(url).await
        }
    }

    /// The URL of a new schema on a server that is thrown away after the tests.
    async fn schema(server: &str) -> String {
        sqlx::any::install_default_drivers();
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut connection = AnyConnection::connect(server).await.unwrap();
        let sql = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"));
        connection.execute(sqlx::raw_sql(sql)).await.unwrap();
        connection.close().await.unwrap();
        let mut url = url::Url::parse(server).unwrap();
        url.query_pairs_mut().append_pair("options[search_path]", &name);
        url.into()
    }

    async fn open_at(url: String) -> TestStore {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&url, Keyring::parse(KEY).unwrap(), &options())
            .await
            .unwrap();
        TestStore { store, url, directory }
    }

    impl TestStore {
        /// All that whoever copies the database has.
        pub(crate) async fn copied(&self) -> Vec<u8> {
            if self.backend == Backend::Postgres {
                let sql = "SELECT CAST(schema_to_xml(current_schema(), true, false, '') AS TEXT) AS copy";
                let row = sqlx::query(sql).fetch_one(&self.pool).await.unwrap();
                return get::<String>(&row, "copy").unwrap().into_bytes();
            }
            let files = std::fs::read_dir(self.directory.path()).unwrap();
            files
                .flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
                .collect()
        }

        /// What stands in a configuration's row.
        pub(crate) async fn copied_secret(&self, configuration: &Configuration) -> String {
            let sql = "SELECT credentials_sealed FROM telephony_configurations WHERE id = $1";
            let query = sqlx::query(sql).bind(configuration.id.as_str());
            get(&query.fetch_one(&self.pool).await.unwrap(), "credentials_sealed").unwrap()
        }

        /// Opens the same database again, with these keys.
        pub(crate) async fn again(&self, keys: &str) -> Result<Store, StoreError> {
            Store::open(&self.url, Keyring::parse(keys).unwrap(), &options()).await
        }

        pub(crate) async fn organization(&self, name: &str) -> OrganizationId {
            let id = OrganizationId::generate();
            self.create_organization(&id, name, 1).await.unwrap();
            id
        }

        pub(crate) async fn agent(&self, organization: &OrganizationId, name: &str) -> Agent {
            self.create_agent(organization, &AgentId::generate(), &agent_settings(name), 1)
                .await
                .unwrap()
        }

        pub(crate) async fn configuration(
            &self,
            organization: &OrganizationId,
            name: &str,
            account: Option<&str>,
        ) -> Configuration {
            self.create_configuration(new_configuration(organization, name, account), 1)
                .await
                .unwrap()
        }

        pub(crate) async fn number(
            &self,
            configuration: &Configuration,
            address: &str,
            agent: Option<&AgentId>,
        ) -> PhoneNumber {
            self.create_number(new_number(configuration, address, agent), 1)
                .await
                .unwrap()
        }
    }

    /// The database's write lock.
    pub(crate) type Lock = Tx;

    impl Store {
        /// Lets nobody else write until the transaction ends.
        pub(crate) async fn hold_for_tests(&self) -> Lock {
            let mut held = self.begin().await.unwrap();
            if self.backend == Backend::Postgres {
                let tables = "SELECT string_agg(quote_ident(tablename), ', ') AS tables FROM pg_tables WHERE schemaname = current_schema()";
                let row = sqlx::query(tables).fetch_one(&mut *held).await.unwrap();
                let tables: String = get(&row, "tables").unwrap();
                let sql = sqlx::AssertSqlSafe(format!("LOCK TABLE {tables} IN EXCLUSIVE MODE"));
                sqlx::query(sql).execute(&mut *held).await.unwrap();
            }
            held
        }
    }

    pub(crate) fn agent_settings(name: &str) -> AgentSettings {
        AgentSettings {
            name: name.to_owned(),
            protocol: crate::agent::Protocol::Echo,
            url: None,
            sample_rate_hz: 16_000,
            headers: SecretHeaders::default(),
            record: false,
            parameters: serde_json::json!({}),
        }
    }

    pub(crate) fn new_configuration(
        organization: &OrganizationId,
        name: &str,
        account: Option<&str>,
    ) -> NewConfiguration {
        NewConfiguration {
            id: ConfigurationId::generate(),
            organization: organization.clone(),
            name: name.to_owned(),
            provider: "testphone".to_owned(),
            credentials: SecretJson::new(serde_json::json!({ "account": account, "auth_token": "hush-hush" })),
            account_id: account.map(AccountId::new),
            is_default_outbound: false,
        }
    }

    pub(crate) fn new_number(configuration: &Configuration, address: &str, agent: Option<&AgentId>) -> NewNumber {
        NewNumber {
            id: NumberId::generate(),
            organization: configuration.organization.clone(),
            configuration: configuration.id.clone(),
            written: WrittenAddress::new(address),
            address: strowger_call::Address::parse(address, None).unwrap(),
            country: None,
            label: None,
            agent: agent.cloned(),
            trunk: None,
            is_active: true,
            is_default_caller_id: false,
            metadata: serde_json::json!({}),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    use super::testing;
    use super::*;

    #[tokio::test]
    async fn nothing_secret_is_in_the_file() {
        let test = testing::open().await;
        let organization = test.organization("Acme").await;
        let key = ApiKey::generate().unwrap();
        let new = NewApiKey::lasting(ApiKeyId::generate(), "ci");
        let made = test
            .create_api_key(&organization, &new, Role::Admin, &key, 1)
            .await
            .unwrap();
        let token = SessionToken::generate().unwrap();
        test.open_session(&SessionId::generate(), &token, &made.id, 1)
            .await
            .unwrap();
        test.configuration(&organization, "main", Some("ACCOUNT-4711")).await;
        let mut settings = testing::agent_settings("bot");
        settings.headers = SecretHeaders::new(vec![("Authorization".to_owned(), "Bearer whisper".to_owned())]);
        test.create_agent(&organization, &AgentId::generate(), &settings, 1)
            .await
            .unwrap();
        let copied = test.copied().await;
        let has = |text: &str| copied.windows(text.len()).any(|window| window == text.as_bytes());
        // What is looked through is the data, and it is not changed to something that nobody looks for.
        assert!(has("Acme") && has("bot"));
        for secret in ["hush-hush", "ACCOUNT-4711", "whisper", key.expose(), token.expose()] {
            for spelling in [
                secret.to_owned(),
                hex::encode(secret),
                STANDARD_NO_PAD.encode(secret),
                URL_SAFE_NO_PAD.encode(secret),
            ] {
                assert!(!has(&spelling), "{spelling}");
            }
        }
    }

    #[tokio::test]
    async fn a_sealed_row_that_was_copied_does_not_open() {
        let test = testing::open().await;
        let acme = test.organization("Acme").await;
        let mallory = test.organization("Mallory").await;
        let theirs = test.configuration(&acme, "main", Some("A1")).await;
        let mine = test.configuration(&mallory, "main", Some("A2")).await;
        sqlx::query("UPDATE telephony_configurations SET credentials_sealed = (SELECT credentials_sealed FROM telephony_configurations WHERE id = $1) WHERE id = $2")
            .bind(theirs.id.as_str())
            .bind(mine.id.as_str())
            .execute(&test.pool)
            .await
            .unwrap();
        let error = test.find_configuration(&mallory, &mine.id).await.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Sealed {
                    source: OpenError::Tampered,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[cfg(test)]
mod writers;

#[cfg(test)]
mod sqlite_tests {
    //! What is particular to the embedded database: its file, its pragmas, and a lock on all of it.

    use super::testing::{self, KEY};
    use super::*;
    use crate::keyring::Keyring;

    #[tokio::test]
    async fn the_database_is_set_up_as_documented() {
        let store = testing::open_sqlite().await;
        for (pragma, expected) in [
            ("journal_mode", "wal"),
            ("synchronous", "1"),
            ("foreign_keys", "1"),
            ("busy_timeout", "200"),
        ] {
            let sql = format!("SELECT CAST({pragma} AS TEXT) AS value FROM pragma_{pragma}");
            let sql = if pragma == "busy_timeout" {
                sql.replace("CAST(busy_timeout", "CAST(timeout")
            } else {
                sql
            };
            let row = optional(sqlx::query(sqlx::AssertSqlSafe(sql)), &store.pool)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(get::<String>(&row, "value").unwrap(), expected, "{pragma}");
        }
    }

    #[tokio::test]
    async fn a_locked_database_is_told_after_the_busy_timeout() {
        let test = testing::open_sqlite().await;
        let other = test.again(KEY).await.unwrap();
        let held = other.begin().await.unwrap();
        let begun = std::time::Instant::now();
        let error = test
            .create_organization(&OrganizationId::generate(), "Acme", 1)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Locked), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        // Who only reads does not notice.
        test.organizations().await.unwrap();
        held.rollback().await.unwrap();
        test.create_organization(&OrganizationId::generate(), "Acme", 1)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_database_that_is_locked_at_the_start_is_told() {
        let test = testing::open_sqlite().await;
        let other = test.again(KEY).await.unwrap();
        let _held = other.begin().await.unwrap();
        let error = test.again(KEY).await.unwrap_err();
        assert!(matches!(error, StoreError::Locked), "{error:?}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("noise.db");
        std::fs::write(&path, "this is not a database, whatever its name says".repeat(100)).unwrap();
        let url = format!("sqlite://{}", path.display());
        let error = Store::open(&url, Keyring::parse(KEY).unwrap(), &testing::options())
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_damaged_file_is_told_and_what_is_whole_is_still_served() {
        let test = testing::open_sqlite().await;
        let organization = test.organization("Acme").await;
        let configuration = test.configuration(&organization, "main", Some("A1")).await;
        for number in 0..200 {
            test.agent(&organization, &format!("bot {number}")).await;
        }
        test.close().await;
        let path = test.directory.path().join("test.db");
        // The pages of one table, so that the others stay whole.
        let query =
            sqlx::query("SELECT pageno FROM dbstat WHERE name = 'agents' AND pagetype = 'leaf' ORDER BY pageno");
        let mut bytes = std::fs::read(&path).unwrap();
        let connect: AnyConnectOptions = test.url.parse().unwrap();
        let mut connection = AnyConnection::connect_with(&connect).await.unwrap();
        let pages = query.fetch_all(&mut connection).await;
        connection.close().await.unwrap();
        let pages: Vec<usize> = match &pages {
            Ok(rows) => rows
                .iter()
                .map(|row| usize::try_from(get::<i64>(row, "pageno").unwrap()).unwrap())
                .collect(),
            // Without the table of pages: all but what every statement needs.
            Err(_) => panic!("the page table is not compiled in"),
        };
        for page in pages {
            bytes[(page - 1) * 4096..page * 4096].fill(0x5a);
        }
        std::fs::write(&path, bytes).unwrap();

        let store = test.again(KEY).await.unwrap();
        let error = store.agents(&organization, None, 500).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
        assert!(error.to_string().contains("backup"), "{error}");
        assert_eq!(
            store
                .find_configuration(&organization, &configuration.id)
                .await
                .unwrap(),
            configuration
        );
    }

    #[tokio::test]
    async fn on_a_full_disk_nothing_is_half_done_and_reading_goes_on() {
        let store = testing::open_sqlite().await;
        let organization = store.organization("Acme").await;
        let mut new = testing::new_configuration(&organization, "default", None);
        new.is_default_outbound = true;
        let default = store.create_configuration(new, 1).await.unwrap();
        let pages = |count: u32| sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {count}")));
        // Below what there is means: no page more.
        pages(1).fetch_all(&store.writer).await.unwrap();
        let mut made = 0;
        let error = loop {
            let mut new = testing::new_configuration(&organization, &format!("more {made}"), None);
            new.credentials = SecretJson::new(serde_json::json!({ "much": "x".repeat(2_000) }));
            new.is_default_outbound = made > 0;
            match store.create_configuration(new, 2).await {
                Ok(_) => made += 1,
                Err(error) => break error,
            }
            assert!(made < 100, "the disk does not fill");
        };
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(error.to_string().contains("full"), "{error}");
        let found = store.configurations(&organization).await.unwrap();
        assert_eq!(found.len(), made + 1);
        assert_eq!(found.iter().filter(|found| found.is_default_outbound).count(), 1);
        pages(1_000_000).fetch_all(&store.writer).await.unwrap();
        store.set_default_outbound(&organization, &default.id, 3).await.unwrap();
        testing::TestStore::configuration(&store, &organization, "after", None).await;
    }

    #[tokio::test]
    async fn a_database_of_a_newer_version_is_left_alone() {
        let test = testing::open_sqlite().await;
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)";
        sqlx::query(sql).execute(&test.pool).await.unwrap();
        let error = test.again(KEY).await.unwrap_err();
        assert!(matches!(error, StoreError::Schema(_)), "{error:?}");
    }
}
