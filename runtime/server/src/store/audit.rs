//! The audit log: who changed what, in chains that show it when an entry was changed, removed or moved.
//!
//! Each organisation has a chain, and the installation has one. An entry is a JSON text that contains its place in the chain; its
//! hash covers that text and the hash before. Whoever can write to the database can make a whole chain anew: who wants to
//! notice that as well keeps a hash elsewhere, and looks for it later.
//!
//! A change is written down twice: as an intent before it begins, and as an entry, which replaces the intent, when it has ended.
//! What began and never ended becomes an entry as well, so that nothing is done without a trace.

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::pool::Statements;
use super::{OrganizationId, Store, StoreError, UnixMs, corrupt, get, optional};

/// The hash before a chain's first entry.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Entries that are read at once when a chain is verified.
const BATCH_ROWS: u32 = 1_000;
/// Intents that are settled at once.
const SETTLED_ROWS_MAX: i64 = 1_000;

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditChain {
    /// What the operator does.
    Installation,
    /// What is done to an organisation.
    Organization(OrganizationId),
}

impl AuditChain {
    /// Its name in rows and entries.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Installation => "installation",
            Self::Organization(id) => id.as_str(),
        }
    }
}

/// What happened, as far as it is known before it has ended. The fields of the JSON stand in alphabetical order, so that
/// anybody can write the same text again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// `api_key`, `session`, `operator` or `command_line`.
    pub actor: &'static str,
    /// The key's id, or the system's user.
    pub actor_id: String,
    /// The key's name.
    pub actor_name: String,
    /// From where: an IP address.
    pub address: Option<String>,
    /// Names of the fields that were sent; never a value.
    pub fields: Vec<String>,
    /// What was asked for: method and route, or a command.
    pub operation: String,
    /// Identifiers by what they name.
    pub resources: std::collections::BTreeMap<String, String>,
    /// The console's session.
    pub session: Option<String>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Not done, and the reason lies with who asked.
    Refused,
    /// It failed, and may have been done in part.
    Failed,
    /// Nobody was there any more when it ended.
    Unknown,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Names an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentId(String);

impl IntentId {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7().hyphenated().to_string())
    }
}

/// An entry in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// From 1, without a gap.
    pub sequence: i64,
    /// When it was written.
    pub at: UnixMs,
    /// JSON, to the letter as it was hashed.
    pub entry: String,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

/// What verifying a chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every entry is what it was, where it was.
    Intact {
        /// How many.
        entries: i64,
        /// The newest one's hash; it covers all of them.
        hash: String,
    },
    /// Something is not.
    Broken {
        /// The first entry that is wrong or missing.
        sequence: i64,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Store {
    /// Writes down that a change begins.
    ///
    /// # Errors
    /// The database fails. Then the change must not begin.
    pub async fn begin_audit(
        &self,
        id: &IntentId,
        chain: &AuditChain,
        entry: &AuditEntry,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(entry).map_err(|error| corrupt("entry", error.to_string()))?;
        sqlx::query("INSERT INTO audit_intents (id, chain, begun_at, entry) VALUES ($1, $2, $3, $4)")
            .bind(&*id.0)
            .bind(chain.as_str())
            .bind(now)
            .bind(text)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Writes down how a change ended, in place of its intent.
    ///
    /// # Errors
    /// The database fails. The intent then stays, and becomes an entry with the outcome `unknown`.
    pub async fn end_audit(
        &self,
        id: &IntentId,
        chain: &AuditChain,
        entry: &AuditEntry,
        outcome: Outcome,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let entry = serde_json::to_value(entry).map_err(|error| corrupt("entry", error.to_string()))?;
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM audit_intents WHERE id = $1")
            .bind(&*id.0)
            .execute(&mut *tx)
            .await?;
        append(&mut tx, chain.as_str(), entry, outcome, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Makes entries of changes that began before `begun_before` and never ended: whoever made them is gone. How many.
    ///
    /// # Errors
    /// The database fails.
    pub async fn settle_audit(&self, begun_before: UnixMs, now: UnixMs) -> Result<usize, StoreError> {
        let rows = sqlx::query("SELECT id FROM audit_intents WHERE begun_at < $1 ORDER BY begun_at, id LIMIT $2")
            .bind(begun_before)
            .bind(SETTLED_ROWS_MAX)
            .fetch_all(&self.pool)
            .await?;
        let mut settled = 0;
        for row in rows {
            let id: String = get(&row, "id")?;
            let mut tx = self.begin().await?;
            // Of several processes one gets it.
            let query = sqlx::query("DELETE FROM audit_intents WHERE id = $1 RETURNING chain, entry").bind(id);
            if let Some(row) = optional(query, &mut *tx).await? {
                let (chain, entry): (String, String) = (get(&row, "chain")?, get(&row, "entry")?);
                let entry = serde_json::from_str(&entry).map_err(|error| corrupt("entry", error.to_string()))?;
                append(&mut tx, &chain, entry, Outcome::Unknown, now).await?;
                settled += 1;
            }
            tx.commit().await?;
        }
        Ok(settled)
    }

    /// Entries of a chain before a sequence number, the newest first; from the newest one without.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_entries(
        &self,
        chain: &AuditChain,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT sequence, at, entry, hash FROM audit_entries WHERE chain = $1 AND sequence < $2 \
             ORDER BY sequence DESC LIMIT $3",
        )
        .bind(chain.as_str())
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(record).collect()
    }

    /// Entries of a chain after a sequence number, the oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_entries_after(
        &self,
        chain: &AuditChain,
        after: i64,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT sequence, at, entry, hash FROM audit_entries WHERE chain = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        )
        .bind(chain.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(record).collect()
    }

    /// Looks whether every entry of a chain is what it was, where it was. Entries that are written meanwhile do not disturb.
    ///
    /// # Errors
    /// The database fails.
    pub async fn verify_audit(&self, chain: &AuditChain) -> Result<AuditVerdict, StoreError> {
        // First: what is written from here on comes after it.
        let query = sqlx::query("SELECT sequence, hash FROM audit_chains WHERE chain = $1").bind(chain.as_str());
        let (newest, newest_hash) = match optional(query, &self.pool).await? {
            Some(row) => (get::<i64>(&row, "sequence")?, get::<String>(&row, "hash")?),
            None => (0, GENESIS.to_owned()),
        };
        let (mut sequence, mut hash) = (0, GENESIS.to_owned());
        loop {
            let records = self.audit_entries_after(chain, sequence, BATCH_ROWS).await?;
            if records.is_empty() {
                break;
            }
            for record in records {
                sequence += 1;
                let broken = |problem| Ok(AuditVerdict::Broken { sequence, problem });
                if record.sequence != sequence {
                    return broken("it is missing");
                }
                if record.hash != hash_of(&hash, &record.entry) {
                    return broken("it, or the order of the entries before it, was changed");
                }
                if !is_at_its_place(&record, chain) {
                    return broken("it was not written at this place");
                }
                if sequence == newest && record.hash != newest_hash {
                    return broken("it is not the one that was written last");
                }
                hash = record.hash;
            }
        }
        if sequence < newest {
            return Ok(AuditVerdict::Broken {
                sequence: sequence + 1,
                problem: "it is missing, and all that follow",
            });
        }
        if sequence > 0 && newest == 0 {
            return Ok(AuditVerdict::Broken {
                sequence,
                problem: "the head of the chain is missing",
            });
        }
        Ok(AuditVerdict::Intact {
            entries: sequence,
            hash,
        })
    }
}

/// Appends an entry. Writers of one chain take turns at its row.
async fn append(
    tx: &mut Statements,
    chain: &str,
    entry: Value,
    outcome: Outcome,
    now: UnixMs,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO audit_chains (chain, sequence, hash) VALUES ($1, 0, $2) ON CONFLICT (chain) DO NOTHING")
        .bind(chain)
        .bind(GENESIS)
        .execute(&mut *tx)
        .await?;
    let query =
        sqlx::query("UPDATE audit_chains SET sequence = sequence + 1 WHERE chain = $1 RETURNING sequence, hash");
    let row = optional(query.bind(chain), &mut *tx).await?;
    let row = row.ok_or_else(|| corrupt("chain", "no row"))?;
    let (sequence, before): (i64, String) = (get(&row, "sequence")?, get(&row, "hash")?);
    let Value::Object(mut fields) = entry else {
        return Err(corrupt("entry", "no object"));
    };
    fields.insert("at_ms".to_owned(), now.into());
    fields.insert("chain".to_owned(), chain.into());
    fields.insert("outcome".to_owned(), outcome.as_str().into());
    fields.insert("sequence".to_owned(), sequence.into());
    let text = canonical(fields);
    let hash = hash_of(&before, &text);
    sqlx::query("INSERT INTO audit_entries (chain, sequence, at, entry, hash) VALUES ($1, $2, $3, $4, $5)")
        .bind(chain)
        .bind(sequence)
        .bind(now)
        .bind(text)
        .bind(&*hash)
        .execute(&mut *tx)
        .await?;
    sqlx::query("UPDATE audit_chains SET hash = $2 WHERE chain = $1")
        .bind(chain)
        .bind(hash)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// JSON without white space, members in alphabetical order whatever map is behind it.
fn canonical(fields: Map<String, Value>) -> String {
    let mut value = Value::Object(fields);
    value.sort_all_objects();
    value.to_string()
}

fn hash_of(before: &str, entry: &str) -> String {
    let digest = Sha256::new()
        .chain_update(before)
        .chain_update("\n")
        .chain_update(entry)
        .finalize();
    hex::encode(digest)
}

/// Whether the entry says of itself what its row does.
fn is_at_its_place(record: &AuditRecord, chain: &AuditChain) -> bool {
    let Ok(entry) = serde_json::from_str::<Value>(&record.entry) else {
        return false;
    };
    entry["chain"] == chain.as_str() && entry["sequence"] == record.sequence && entry["at_ms"] == record.at
}

fn record(row: &AnyRow) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        sequence: get(row, "sequence")?,
        at: get(row, "at")?,
        entry: get(row, "entry")?,
        hash: get(row, "hash")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, TestStore};
    use super::*;

    fn entry(operation: &str) -> AuditEntry {
        AuditEntry {
            actor: "api_key",
            actor_name: "Zoë".to_owned(),
            operation: operation.to_owned(),
            ..AuditEntry::default()
        }
    }

    async fn write(store: &Store, chain: &AuditChain, operation: &str) {
        let id = IntentId::generate();
        store.begin_audit(&id, chain, &entry(operation), 1).await.unwrap();
        store
            .end_audit(&id, chain, &entry(operation), Outcome::Done, 2)
            .await
            .unwrap();
    }

    async fn five() -> TestStore {
        let store = testing::open().await;
        for operation in ["one", "two", "three", "four", "five"] {
            write(&store, &AuditChain::Installation, operation).await;
        }
        store
    }

    async fn verify(store: &Store) -> AuditVerdict {
        store.verify_audit(&AuditChain::Installation).await.unwrap()
    }

    #[tokio::test]
    async fn an_intact_chain_is_told_by_its_last_hash() {
        let store = five().await;
        let newest = store.audit_entries(&AuditChain::Installation, None, 2).await.unwrap();
        assert_eq!(newest.iter().map(|record| record.sequence).collect::<Vec<_>>(), [5, 4]);
        let older = store
            .audit_entries(&AuditChain::Installation, Some(4), 10)
            .await
            .unwrap();
        assert_eq!(older.len(), 3);
        let hash = newest[0].hash.clone();
        assert_eq!(verify(&store).await, AuditVerdict::Intact { entries: 5, hash });
        let other = AuditChain::Organization(OrganizationId::generate());
        let nothing = store.verify_audit(&other).await.unwrap();
        assert!(
            matches!(nothing, AuditVerdict::Intact { entries: 0, .. }),
            "{nothing:?}"
        );
    }

    #[tokio::test]
    async fn an_entry_is_text_that_anybody_can_write_again() {
        let store = five().await;
        let record = &store.audit_entries(&AuditChain::Installation, None, 1).await.unwrap()[0];
        assert_eq!(
            record.entry,
            "{\"actor\":\"api_key\",\"actor_id\":\"\",\"actor_name\":\"Zoë\",\"address\":null,\"at_ms\":2,\
             \"chain\":\"installation\",\"fields\":[],\"operation\":\"five\",\"outcome\":\"done\",\"resources\":{},\
             \"sequence\":5,\"session\":null}"
        );
    }

    #[tokio::test]
    async fn what_was_changed_removed_or_moved_is_found() {
        let changes = [
            (
                "UPDATE audit_entries SET entry = replace(entry, 'three', 'seven') WHERE sequence = 3",
                3,
            ),
            ("DELETE FROM audit_entries WHERE sequence = 2", 2),
            ("DELETE FROM audit_entries WHERE sequence = 1", 1),
            ("DELETE FROM audit_entries WHERE sequence = 5", 5),
            ("DELETE FROM audit_entries WHERE sequence >= 4", 4),
            ("DELETE FROM audit_entries", 1),
            ("DELETE FROM audit_chains", 5),
            ("UPDATE audit_entries SET at = 7 WHERE sequence = 4", 4),
            (
                "UPDATE audit_entries SET sequence = CASE sequence WHEN 2 THEN -3 WHEN 3 THEN -2 END WHERE sequence IN (2, 3); \
                 UPDATE audit_entries SET sequence = -sequence WHERE sequence < 0",
                2,
            ),
            (
                "DELETE FROM audit_entries WHERE sequence = 5; UPDATE audit_chains SET sequence = 4",
                4,
            ),
        ];
        for (change, at) in changes {
            let store = five().await;
            for statement in change.split("; ") {
                sqlx::query(statement).execute(&store.store.writer).await.unwrap();
            }
            let verdict = verify(&store).await;
            assert!(
                matches!(verdict, AuditVerdict::Broken { sequence, .. } if sequence == at),
                "{change}: {verdict:?}"
            );
        }
    }

    #[tokio::test]
    async fn writers_of_one_chain_take_turns() {
        let store = testing::open().await;
        let other = store.again(testing::KEY).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..20 {
            let store = if number % 2 == 0 {
                store.store.clone()
            } else {
                other.clone()
            };
            writers.spawn(async move { write(&store, &AuditChain::Installation, "x").await });
        }
        writers.join_all().await;
        let verdict = verify(&store).await;
        assert!(
            matches!(verdict, AuditVerdict::Intact { entries: 20, .. }),
            "{verdict:?}"
        );
    }

    #[tokio::test]
    async fn what_began_and_never_ended_is_an_entry_as_well() {
        let store = testing::open().await;
        let chain = AuditChain::Installation;
        let id = IntentId::generate();
        store.begin_audit(&id, &chain, &entry("lost"), 100).await.unwrap();
        assert_eq!(store.settle_audit(100, 500).await.unwrap(), 0);
        assert_eq!(store.settle_audit(101, 500).await.unwrap(), 1);
        assert_eq!(store.settle_audit(101, 500).await.unwrap(), 0);
        let record = &store.audit_entries(&chain, None, 5).await.unwrap()[0];
        assert!(record.entry.contains("\"outcome\":\"unknown\""), "{}", record.entry);
        assert!(matches!(verify(&store).await, AuditVerdict::Intact { entries: 1, .. }));
    }
}
