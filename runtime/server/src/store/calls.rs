//! Calls and what happened to them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use std::fmt;
use strowger_call::{Address, CallId, Direction, ProviderCallId};
use thiserror::Error;
use uuid::Uuid;

use super::pool::Tx;
use super::{
    AccountId, AgentId, ConfigurationId, NumberId, OrganizationId, Store, StoreError, Unique, UnixMs, get, json,
    json_optional, optional, parse, parse_optional,
};
use crate::admission::GatewayId;
use crate::outbox::{EventType, OutgoingEvent};

const PROVIDER_CALL: Unique = Unique {
    name: "calls_provider_call",
    columns: "calls.configuration_id, calls.provider_call_id",
};

/// The most rows that one page has. Whoever asks for one more learns whether there is another page.
pub const PAGE_ROWS_MAX: u32 = 200;

/// A new identifier for a call. They sort by time.
#[must_use]
pub fn new_call_id() -> CallId {
    CallId::parse(&Uuid::now_v7().hyphenated().to_string()).expect("a hyphenated UUID is a call id")
}

/// How far the record of a call is. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// The call exists; no media yet.
    Initialized,
    /// A media socket has claimed it.
    Running,
    /// Closed, with an outcome.
    Completed,
}

impl CallState {
    /// The name in rows and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initialized => "initialized",
            Self::Running => "running",
            Self::Completed => "completed",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Initialized, Self::Running, Self::Completed]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// The secret in the path of a call's media socket. It opens one socket of one call, once, until it expires; the store
/// keeps only its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaToken(String);

impl MediaToken {
    /// A new random token of 43 URL-safe characters.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn generate() -> Result<Self, StoreError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A token that somebody presents.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The token itself, for the URL that the carrier gets.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Debug for MediaToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaToken(…)")
    }
}

/// Why a media socket gets no call. The socket's other end learns none of this.
#[derive(Debug, Error)]
pub enum NotClaimable {
    /// No call has this token.
    #[error("no call has this media token")]
    Unknown,
    /// It was valid once.
    #[error("the media token has expired")]
    Expired,
    /// Another socket has used it.
    #[error("the call's media socket was claimed already")]
    AlreadyClaimed,
    /// The call is over.
    #[error("the call has ended")]
    Ended,
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A call to record.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// Our name of it.
    pub id: CallId,
    /// Whose call it is.
    pub organization: OrganizationId,
    /// The carrier's account that it goes through.
    pub configuration: ConfigurationId,
    /// Our number that takes part in it.
    pub number: Option<NumberId>,
    /// Who talks.
    pub agent: Option<AgentId>,
    /// Name of the provider.
    pub provider: String,
    /// Digest of the component that serves it to its end.
    pub provider_version: String,
    /// The carrier's name of it, once known.
    pub provider_call_id: Option<ProviderCallId>,
    /// Who calls; none when withheld.
    pub caller: Option<Address>,
    /// Who is called.
    pub callee: Address,
    /// What the provider has attached to it.
    pub attachment: Option<Value>,
    /// The token of its media socket and when that expires.
    pub media: Option<(MediaToken, UnixMs)>,
}

/// The record of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    /// Our name of it.
    pub id: CallId,
    /// Whose call it is.
    pub organization: OrganizationId,
    /// The carrier's account that it goes through; none when that was deleted since.
    pub configuration: Option<ConfigurationId>,
    /// Our number in it, unless deleted since.
    pub number: Option<NumberId>,
    /// Who talks, unless deleted since.
    pub agent: Option<AgentId>,
    /// Name of the provider.
    pub provider: String,
    /// Digest of the component that serves it.
    pub provider_version: String,
    /// Who called whom.
    pub direction: Direction,
    /// The carrier's name of it, once known.
    pub provider_call_id: Option<ProviderCallId>,
    /// Who calls; none when withheld.
    pub caller: Option<Address>,
    /// Who is called.
    pub callee: Address,
    /// How far its record is.
    pub state: CallState,
    /// How it ended, as the call's state machine tells it.
    pub outcome: Option<Value>,
    /// What the provider has attached to it.
    pub attachment: Option<Value>,
    /// What answered, if the carrier told.
    pub answered_by: Option<String>,
    /// What it cost, if the carrier told.
    pub cost: Option<Value>,
    /// File of its recording, relative to the recordings' directory.
    pub recording_path: Option<String>,
    /// When its media socket was claimed.
    pub media_claimed_at: Option<UnixMs>,
    /// When it was recorded first.
    pub created_at: UnixMs,
    /// When it was answered.
    pub answered_at: Option<UnixMs>,
    /// When it was over.
    pub ended_at: Option<UnixMs>,
    /// From answer to end.
    pub duration_ms: Option<u64>,
}

/// Something that happened, to append to a call's record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// When.
    pub at: UnixMs,
    /// In one word: `media_connected`.
    pub kind: String,
    /// What there is to say about it.
    pub detail: Value,
    /// Of two events of a call with the same key only the first is kept.
    pub dedupe_key: Option<String>,
}

/// Something that happened to a call.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Position in the call, counted from 1 without gaps.
    pub sequence: u64,
    /// When.
    pub at: UnixMs,
    /// In one word.
    pub kind: String,
    /// What there is to say about it.
    pub detail: Value,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CallFinish {
    /// The outcome as JSON.
    pub outcome: Value,
    /// When it was answered; keeps what is recorded when none.
    pub answered_at: Option<UnixMs>,
    /// When it was over.
    pub ended_at: UnixMs,
    /// From answer to end.
    pub duration_ms: u64,
}

/// Which calls to list.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Only those older than this: when the last call of the page before was created, and its id.
    pub before: Option<(UnixMs, String)>,
    /// Only those in this state.
    pub state: Option<CallState>,
    /// Only those of this agent.
    pub agent: Option<AgentId>,
    /// Only those in this direction.
    pub direction: Option<Direction>,
}

pub(super) const COLUMNS: &str = "id, organization_id, configuration_id, number_id, agent_id, provider, provider_version, direction, \
                       provider_call_id, caller, callee, state, outcome, attachment, answered_by, cost, recording_path, \
                       media_claimed_at, created_at, answered_at, ended_at, duration_ms";

const NO_SUCH: StoreError = StoreError::NotFound { what: "call" };

impl Store {
    /// Writes a call's row; nothing when the configuration has a call of this carrier's name.
    pub(super) async fn insert_call(
        tx: &mut Tx,
        new: &NewCall,
        direction: Direction,
        gateway: Option<&GatewayId>,
        now: UnixMs,
    ) -> Result<Option<AnyRow>, StoreError> {
        let sql = format!(
            "INSERT INTO calls (id, organization_id, configuration_id, number_id, agent_id, provider, provider_version, direction, \
             provider_call_id, caller, callee, state, attachment, media_token_hash, media_token_expires_at, event_count, created_at, \
             gateway_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'initialized', $12, $13, $14, 0, $15, $16) \
             ON CONFLICT (configuration_id, provider_call_id) DO NOTHING RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(new.id.as_str())
            .bind(new.organization.as_str())
            .bind(new.configuration.as_str())
            .bind(new.number.as_ref().map(NumberId::as_str))
            .bind(new.agent.as_ref().map(AgentId::as_str))
            .bind(&*new.provider)
            .bind(&*new.provider_version)
            .bind(direction_name(direction))
            .bind(new.provider_call_id.as_ref().map(ProviderCallId::expose))
            .bind(new.caller.as_ref().map(Address::expose))
            .bind(new.callee.expose())
            .bind(new.attachment.as_ref().map(Value::to_string))
            .bind(new.media.as_ref().map(|(token, _)| token.hash()))
            .bind(new.media.as_ref().map(|(_, expires_at)| *expires_at))
            .bind(now)
            .bind(gateway.map(GatewayId::as_str));
        optional(query, &mut **tx).await.map_err(|error| {
            if error
                .as_database_error()
                .is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
            {
                StoreError::NotFound {
                    what: "telephony configuration, phone number or agent of the call",
                }
            } else {
                error.into()
            }
        })
    }

    /// Commits a change of a call, with the events that it is told by.
    pub(super) async fn tell(
        &self,
        mut tx: Tx,
        row: &AnyRow,
        kinds: &[EventType],
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let call = call_of(row)?;
        let mut spooled = false;
        for kind in kinds {
            let event = match kind {
                EventType::RecordingAvailable => OutgoingEvent::recording(&call),
                kind => OutgoingEvent::of_call(*kind, &call),
            };
            spooled |= self.spool(&mut tx, call.organization.as_str(), &event, now).await?;
        }
        tx.commit().await?;
        if spooled {
            self.signals.spooled();
        }
        self.signals.call_changed(&call.organization);
        Ok(())
    }

    /// Gives a call a new media token; the one before opens nothing any more.
    ///
    /// # Errors
    /// `NotFound` when there is no such call, or it is over, or its media socket has been claimed.
    pub async fn set_media_token(&self, id: &CallId, token: &MediaToken, expires_at: UnixMs) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE calls SET media_token_hash = $2, media_token_expires_at = $3 \
             WHERE id = $1 AND state <> 'completed' AND media_claimed_at IS NULL RETURNING organization_id",
        );
        self.change_call(query.bind(id.as_str()).bind(token.hash()).bind(expires_at))
            .await
    }

    /// Hands a call to the one media socket that presents its token first. Two sockets never both get it: the database
    /// compares and swaps in one statement.
    ///
    /// # Errors
    /// Why not.
    pub async fn claim_media(&self, token: &MediaToken, now: UnixMs) -> Result<CallRecord, NotClaimable> {
        let sql = format!(
            "UPDATE calls SET media_claimed_at = $2, state = 'running' WHERE media_token_hash = $1 AND media_claimed_at IS NULL \
             AND media_token_expires_at > $2 AND state <> 'completed' RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(token.hash()).bind(now);
        if let Some(row) = optional(query, &self.writer).await.map_err(StoreError::from)? {
            let call = call_of(&row)?;
            self.signals.call_changed(&call.organization);
            return Ok(call);
        }
        let query =
            sqlx::query("SELECT media_claimed_at, state FROM calls WHERE media_token_hash = $1").bind(token.hash());
        let Some(row) = optional(query, &self.pool).await.map_err(StoreError::from)? else {
            return Err(NotClaimable::Unknown);
        };
        Err(if get::<Option<i64>>(&row, "media_claimed_at")?.is_some() {
            NotClaimable::AlreadyClaimed
        } else if get::<String>(&row, "state")? == CallState::Completed.as_str() {
            NotClaimable::Ended
        } else {
            NotClaimable::Expired
        })
    }

    /// Records by which name the carrier now knows a call.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when another call of the configuration has this name.
    pub async fn set_provider_call_id(&self, id: &CallId, provider_call_id: &ProviderCallId) -> Result<(), StoreError> {
        self.name_call(
            "UPDATE calls SET provider_call_id = $2 WHERE id = $1 RETURNING organization_id",
            id,
            provider_call_id,
        )
        .await
    }

    /// The same, unless it has a name: the reply to the request that placed a call, which a webhook with a newer name may
    /// have overtaken.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when another call of the configuration has the id.
    pub async fn set_first_provider_call_id(
        &self,
        id: &CallId,
        provider_call_id: &ProviderCallId,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE calls SET provider_call_id = COALESCE(provider_call_id, $2) WHERE id = $1 RETURNING organization_id";
        self.name_call(sql, id, provider_call_id).await
    }

    async fn name_call(
        &self,
        sql: &'static str,
        id: &CallId,
        provider_call_id: &ProviderCallId,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(sql).bind(id.as_str()).bind(provider_call_id.expose());
        match optional(query, &self.writer).await {
            Ok(row) => self.changed(&row.ok_or(NO_SUCH)?),
            Err(error) if PROVIDER_CALL.is_violated_by(&error) => Err(taken()),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces what the provider has attached to a call.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_attachment(&self, id: &CallId, attachment: &Value) -> Result<(), StoreError> {
        let query = sqlx::query("UPDATE calls SET attachment = $2 WHERE id = $1 RETURNING organization_id");
        self.change_call(query.bind(id.as_str()).bind(attachment.to_string()))
            .await
    }

    /// Records when a call was answered. The first time holds.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_answered(&self, id: &CallId, at: UnixMs) -> Result<(), StoreError> {
        let sql =
            format!("UPDATE calls SET answered_at = $2 WHERE id = $1 AND answered_at IS NULL RETURNING {COLUMNS}");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.as_str()).bind(at);
        let mut tx = self.begin().await?;
        match optional(query, &mut *tx).await? {
            Some(row) => self.tell(tx, &row, &[EventType::CallAnswered], at).await,
            None => {
                let query = sqlx::query("SELECT id FROM calls WHERE id = $1").bind(id.as_str());
                optional(query, &mut *tx).await?.map(drop).ok_or(NO_SUCH)
            }
        }
    }

    /// Records what answered a call: `human`, `machine`, ….
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_answered_by(&self, id: &CallId, answered_by: &str) -> Result<(), StoreError> {
        let query = sqlx::query("UPDATE calls SET answered_by = $2 WHERE id = $1 RETURNING organization_id");
        self.change_call(query.bind(id.as_str()).bind(answered_by)).await
    }

    /// Records what a call cost; carriers tell after its end. The same again changes nothing, and is not told again.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_cost(&self, id: &CallId, cost: &Value, now: UnixMs) -> Result<(), StoreError> {
        let sql =
            format!("UPDATE calls SET cost = $2 WHERE id = $1 AND (cost IS NULL OR cost <> $2) RETURNING {COLUMNS}");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(cost.to_string());
        let mut tx = self.begin().await?;
        let Some(row) = optional(query, &mut *tx).await? else {
            let query = sqlx::query("SELECT id FROM calls WHERE id = $1").bind(id.as_str());
            return optional(query, &mut *tx).await?.map(drop).ok_or(NO_SUCH);
        };
        // What is known by then is told with the end.
        let kinds: &[EventType] = match call_of(&row)?.state {
            CallState::Completed => &[EventType::CallRated],
            CallState::Initialized | CallState::Running => &[],
        };
        self.tell(tx, &row, kinds, now).await
    }

    /// Records where a call's recording is, relative to the recordings' directory.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_recording(&self, id: &CallId, path: &str) -> Result<(), StoreError> {
        let query = sqlx::query("UPDATE calls SET recording_path = $2 WHERE id = $1 RETURNING organization_id");
        self.change_call(query.bind(id.as_str()).bind(path)).await
    }

    async fn change_call(&self, query: super::AnyQuery<'_>) -> Result<(), StoreError> {
        self.changed(&optional(query, &self.writer).await?.ok_or(NO_SUCH)?)
    }

    fn changed(&self, row: &AnyRow) -> Result<(), StoreError> {
        let organization = parse(row, "organization_id", OrganizationId::try_from)?;
        self.signals.call_changed(&organization);
        Ok(())
    }

    /// Closes the record of a call. `false` when it was closed before, which changes nothing: the first outcome holds.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn finish_call(&self, id: &CallId, finish: &CallFinish) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE calls SET state = 'completed', outcome = $2, answered_at = COALESCE($3, answered_at), ended_at = $4, \
             duration_ms = $5 WHERE id = $1 AND state <> 'completed' RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(finish.outcome.to_string())
            .bind(finish.answered_at)
            .bind(finish.ended_at)
            .bind(i64::try_from(finish.duration_ms).unwrap_or(i64::MAX));
        let mut tx = self.begin().await?;
        if let Some(row) = optional(query, &mut *tx).await? {
            let kinds: &[EventType] = match get::<Option<String>>(&row, "recording_path")? {
                Some(_) => &[EventType::CallEnded, EventType::RecordingAvailable],
                None => &[EventType::CallEnded],
            };
            self.tell(tx, &row, kinds, finish.ended_at).await?;
            return Ok(true);
        }
        let query = sqlx::query("SELECT id FROM calls WHERE id = $1").bind(id.as_str());
        optional(query, &mut *tx).await?.map(|_| false).ok_or(NO_SUCH)
    }

    /// Leaves the record of an inbound call that was refused: closed from the beginning, and told to nobody. Nothing when the
    /// carrier has announced it before.
    ///
    /// # Errors
    /// `NotFound` when what it refers to was deleted meanwhile.
    pub async fn record_refused_call(
        &self,
        new: &NewCall,
        gateway: &GatewayId,
        outcome: &Value,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if Self::insert_call(&mut tx, new, Direction::Inbound, Some(gateway), now)
            .await?
            .is_none()
        {
            return Ok(tx.rollback().await?);
        }
        sqlx::query("UPDATE calls SET state = 'completed', outcome = $2, ended_at = $3, duration_ms = 0 WHERE id = $1")
            .bind(new.id.as_str())
            .bind(outcome.to_string())
            .bind(now)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Appends events in order, leaving out those whose dedupe key the call has already. Returns how many were new.
    ///
    /// # Errors
    /// `NotFound`. Either all new ones are appended or none.
    pub async fn append_events(&self, id: &CallId, events: &[NewEvent]) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        // The row's lock makes numbers without gaps of appends at the same time.
        let query = sqlx::query("UPDATE calls SET event_count = event_count WHERE id = $1 RETURNING event_count")
            .bind(id.as_str());
        let first: i64 = get(&optional(query, &mut *tx).await?.ok_or(NO_SUCH)?, "event_count")?;
        let mut last = first;
        for event in events {
            let result = sqlx::query(
                "INSERT INTO call_events (call_id, sequence, at, kind, detail, dedupe_key) VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (call_id, dedupe_key) DO NOTHING",
            )
            .bind(id.as_str())
            .bind(last + 1)
            .bind(event.at)
            .bind(&*event.kind)
            .bind(event.detail.to_string())
            .bind(event.dedupe_key.as_deref())
            .execute(&mut *tx)
            .await?;
            last += i64::from(result.rows_affected() == 1);
        }
        sqlx::query("UPDATE calls SET event_count = $2 WHERE id = $1")
            .bind(id.as_str())
            .bind(last)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok((last - first).unsigned_abs())
    }

    /// What happened to a call, in order, beginning after the event with the number `after` (0 for the first).
    ///
    /// # Errors
    /// The database fails. A call of another organisation has no events.
    pub async fn events(
        &self,
        organization: &OrganizationId,
        id: &CallId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT e.sequence AS sequence, e.at AS at, e.kind AS kind, e.detail AS detail FROM call_events e \
             JOIN calls c ON c.id = e.call_id WHERE e.call_id = $1 AND c.organization_id = $2 AND e.sequence > $3 \
             ORDER BY e.sequence LIMIT $4",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::from(limit.min(PAGE_ROWS_MAX + 1)))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(EventRecord {
                    sequence: get::<i64>(row, "sequence")?.unsigned_abs(),
                    at: get(row, "at")?,
                    kind: get(row, "kind")?,
                    detail: json(row, "detail")?,
                })
            })
            .collect()
    }

    /// One call of an organisation.
    ///
    /// # Errors
    /// `NotFound`, also for one of another organisation.
    pub async fn find_call(&self, organization: &OrganizationId, id: &CallId) -> Result<CallRecord, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM calls WHERE id = $1 AND organization_id = $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str());
        call_of(&optional(query, &self.pool).await?.ok_or(NO_SUCH)?)
    }

    /// One call, whoever it belongs to: for callbacks, whose path names the call. The call then names the organisation.
    ///
    /// # Errors
    /// The database fails.
    pub async fn call_by_id(&self, id: &CallId) -> Result<Option<CallRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM calls WHERE id = $1");
        optional(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.as_str()), &self.pool)
            .await?
            .as_ref()
            .map(call_of)
            .transpose()
    }

    /// The call that a carrier names by its account and its own id of the call, before anything is verified.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn call_of_account(
        &self,
        provider: &str,
        account_id: Option<&AccountId>,
        provider_call_id: &ProviderCallId,
    ) -> Result<Option<CallRecord>, StoreError> {
        let columns = COLUMNS
            .split(", ")
            .map(|column| format!("c.{column}"))
            .collect::<Vec<_>>()
            .join(", ");
        let sql = format!(
            "SELECT {columns} FROM calls c JOIN telephony_configurations t ON t.id = c.configuration_id \
             WHERE c.provider = $1 AND COALESCE(t.account_index, '') = $2 AND c.provider_call_id = $3"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(provider)
            .bind(self.account_index(provider, account_id)?.unwrap_or_default())
            .bind(provider_call_id.expose());
        optional(query, &self.pool).await?.as_ref().map(call_of).transpose()
    }

    /// The call that the carrier knows by this name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn call_by_provider_id(
        &self,
        configuration: &ConfigurationId,
        provider_call_id: &ProviderCallId,
    ) -> Result<Option<CallRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM calls WHERE configuration_id = $1 AND provider_call_id = $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(configuration.as_str())
            .bind(provider_call_id.expose());
        optional(query, &self.pool).await?.as_ref().map(call_of).transpose()
    }

    /// Whether a call of this configuration is being placed: the carrier may know it already by a name that we do not.
    ///
    /// # Errors
    /// The database fails.
    pub async fn has_unidentified_calls(&self, configuration: &ConfigurationId) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "SELECT 1 AS found FROM calls WHERE configuration_id = $1 AND provider_call_id IS NULL AND state <> 'completed' LIMIT 1",
        )
        .bind(configuration.as_str());
        Ok(optional(query, &self.pool).await?.is_some())
    }

    /// The calls of an organisation, newest first, a page of at most `limit`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn calls(
        &self,
        organization: &OrganizationId,
        filter: &CallFilter,
        limit: u32,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM calls WHERE organization_id = $1 \
             AND ($2 = '' OR (created_at, id) < ($3, $2)) \
             AND ($4 = '' OR state = $4) AND ($5 = '' OR agent_id = $5) AND ($6 = '' OR direction = $6) \
             ORDER BY created_at DESC, id DESC LIMIT $7"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(organization.as_str())
            .bind(filter.before.as_ref().map_or("", |(_, id)| id))
            .bind(filter.before.as_ref().map_or(0, |(at, _)| *at))
            .bind(filter.state.map_or("", CallState::as_str))
            .bind(filter.agent.as_ref().map_or("", AgentId::as_str))
            .bind(filter.direction.map_or("", direction_name))
            .bind(i64::from(limit.min(PAGE_ROWS_MAX + 1)))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(call_of).collect()
    }

    /// The calls of an organisation whose record is open, newest first, at most `limit`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn live_calls(&self, organization: &OrganizationId, limit: u32) -> Result<Vec<CallRecord>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM calls WHERE organization_id = $1 AND state <> 'completed' \
             ORDER BY created_at DESC, id DESC LIMIT $2"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(organization.as_str())
            .bind(i64::from(limit.min(PAGE_ROWS_MAX)));
        query.fetch_all(&self.pool).await?.iter().map(call_of).collect()
    }

    /// Answered calls that ended at `from` or later and before `until`, and have no price, oldest first: those that this
    /// gateway carried, and those whose gateway is gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn unrated_calls(
        &self,
        gateway: &GatewayId,
        from: UnixMs,
        until: UnixMs,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM calls WHERE state = 'completed' AND cost IS NULL AND answered_at IS NOT NULL \
             AND ended_at >= $1 AND ended_at < $2 AND (gateway_id = $4 OR NOT EXISTS \
             (SELECT 1 FROM gateway_leases g WHERE g.gateway_id = calls.gateway_id)) ORDER BY ended_at, id LIMIT $3"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(from)
            .bind(until)
            .bind(i64::from(PAGE_ROWS_MAX))
            .bind(gateway.as_str());
        query.fetch_all(&self.pool).await?.iter().map(call_of).collect()
    }
}

pub(super) fn taken() -> StoreError {
    StoreError::Conflict {
        field: "provider_call_id",
        cure: "another call of this configuration has the carrier's id".to_owned(),
    }
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

pub(super) fn call_of(row: &AnyRow) -> Result<CallRecord, StoreError> {
    let address = |text: String| Address::parse(&text, None);
    Ok(CallRecord {
        id: parse(row, "id", CallId::try_from)?,
        organization: parse(row, "organization_id", OrganizationId::try_from)?,
        configuration: parse_optional(row, "configuration_id", ConfigurationId::try_from)?,
        number: parse_optional(row, "number_id", NumberId::try_from)?,
        agent: parse_optional(row, "agent_id", AgentId::try_from)?,
        provider: get(row, "provider")?,
        provider_version: get(row, "provider_version")?,
        direction: parse(row, "direction", |text| match &*text {
            "inbound" => Ok(Direction::Inbound),
            "outbound" => Ok(Direction::Outbound),
            _ => Err("unknown direction"),
        })?,
        provider_call_id: parse_optional(row, "provider_call_id", ProviderCallId::new)?,
        caller: parse_optional(row, "caller", address)?,
        callee: parse(row, "callee", address)?,
        state: parse(row, "state", |text| CallState::parse(&text).ok_or("unknown state"))?,
        outcome: json_optional(row, "outcome")?,
        attachment: json_optional(row, "attachment")?,
        answered_by: get(row, "answered_by")?,
        cost: json_optional(row, "cost")?,
        recording_path: get(row, "recording_path")?,
        media_claimed_at: get(row, "media_claimed_at")?,
        created_at: get(row, "created_at")?,
        answered_at: get(row, "answered_at")?,
        ended_at: get(row, "ended_at")?,
        duration_ms: get::<Option<i64>>(row, "duration_ms")?.map(i64::unsigned_abs),
    })
}

#[cfg(test)]
mod unbounded {
    //! Calls that no limit bounds, for tests of everything else.

    use super::*;

    /// What came of recording an inbound call.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) enum Created {
        /// It is new.
        Created(CallRecord),
        /// The carrier sent the webhook again: this is the call that it means.
        Existing(CallRecord),
    }

    impl Created {
        /// The call, new or not.
        pub(crate) fn into_call(self) -> CallRecord {
            match self {
                Self::Created(call) | Self::Existing(call) => call,
            }
        }
    }

    impl Store {
        pub(crate) async fn create_inbound_call(&self, new: &NewCall, now: UnixMs) -> Result<Created, StoreError> {
            let mut tx = self.begin().await?;
            if let Some(row) = Self::insert_call(&mut tx, new, Direction::Inbound, None, now).await? {
                self.tell(tx, &row, &[EventType::CallCreated], now).await?;
                return Ok(Created::Created(call_of(&row)?));
            }
            tx.rollback().await?;
            let id = new.provider_call_id.as_ref().expect("only a name can be taken");
            let known = self.call_by_provider_id(&new.configuration, id).await?;
            Ok(Created::Existing(known.ok_or(NO_SUCH)?))
        }

        pub(crate) async fn create_outbound_call(&self, new: &NewCall, now: UnixMs) -> Result<CallRecord, StoreError> {
            let mut tx = self.begin().await?;
            let row = Self::insert_call(&mut tx, new, Direction::Outbound, None, now).await?;
            let row = row.ok_or_else(taken)?;
            self.tell(tx, &row, &[EventType::CallCreated], now).await?;
            call_of(&row)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::testing::{self, TestStore};
    use super::super::{Configuration, ConfigurationId};
    use super::unbounded::Created;
    use super::*;
    use serde_json::json;

    pub(crate) fn new_call(configuration: &Configuration, provider_call_id: Option<&str>) -> NewCall {
        NewCall {
            id: new_call_id(),
            organization: configuration.organization.clone(),
            configuration: configuration.id.clone(),
            number: None,
            agent: None,
            provider: configuration.provider.clone(),
            provider_version: "sha256:00".to_owned(),
            provider_call_id: provider_call_id.map(|id| ProviderCallId::new(id).unwrap()),
            caller: Some(Address::parse("+442079460000", None).unwrap()),
            callee: Address::parse("+14155551234", None).unwrap(),
            attachment: None,
            media: None,
        }
    }

    async fn setup() -> (TestStore, Configuration) {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let configuration = store.configuration(&acme, "main", Some("A1")).await;
        (store, configuration)
    }

    fn finish(at: UnixMs) -> CallFinish {
        CallFinish {
            outcome: json!({ "reason": "caller_hung_up" }),
            answered_at: Some(20),
            ended_at: at,
            duration_ms: 10,
        }
    }

    fn event(at: UnixMs, kind: &str, dedupe_key: Option<&str>) -> NewEvent {
        NewEvent {
            at,
            kind: kind.to_owned(),
            detail: json!({ "at": at }),
            dedupe_key: dedupe_key.map(str::to_owned),
        }
    }

    #[tokio::test]
    async fn a_repeated_webhook_finds_the_same_call() {
        let (store, configuration) = setup().await;
        let attempts = (0..8).map(|_| {
            let (store, new) = (store.store.clone(), new_call(&configuration, Some("CALL-1")));
            tokio::spawn(async move { store.create_inbound_call(&new, 10).await.unwrap() })
        });
        let mut created = 0;
        let mut ids = std::collections::BTreeSet::new();
        for attempt in attempts.collect::<Vec<_>>() {
            let result = attempt.await.unwrap();
            created += u32::from(matches!(result, Created::Created(_)));
            ids.insert(result.into_call().id);
        }
        assert_eq!((created, ids.len()), (1, 1));
        // The same id under another configuration is another call.
        let other = store
            .configuration(&configuration.organization, "other", Some("A2"))
            .await;
        let result = store
            .create_inbound_call(&new_call(&other, Some("CALL-1")), 11)
            .await
            .unwrap();
        assert!(matches!(result, Created::Created(_)));
    }

    #[tokio::test]
    async fn a_call_round_trips_and_shows_no_number() {
        let (store, configuration) = setup().await;
        let organization = &configuration.organization;
        let mut new = new_call(&configuration, None);
        new.attachment = Some(json!({ "leg": 1 }));
        let made = store.create_outbound_call(&new, 10).await.unwrap();
        assert_eq!(store.find_call(organization, &made.id).await.unwrap(), made);
        assert_eq!(
            (made.direction, made.state, made.created_at),
            (Direction::Outbound, CallState::Initialized, 10)
        );
        let shown = format!("{made:?} {new:?}");
        assert!(
            !shown.contains("4155551234") && !shown.contains("2079460000"),
            "{shown}"
        );
        let other = store.organization("Other").await;
        assert!(matches!(
            store.find_call(&other, &made.id).await,
            Err(StoreError::NotFound { .. })
        ));

        store
            .set_provider_call_id(&made.id, &ProviderCallId::new("CALL-9").unwrap())
            .await
            .unwrap();
        store.set_attachment(&made.id, &json!({ "leg": 2 })).await.unwrap();
        store.set_answered(&made.id, 15).await.unwrap();
        store.set_answered(&made.id, 16).await.unwrap();
        store.set_answered_by(&made.id, "human").await.unwrap();
        store.set_recording(&made.id, "a.wav").await.unwrap();
        let found = store
            .call_by_provider_id(&configuration.id, &ProviderCallId::new("CALL-9").unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.answered_at, found.answered_by.as_deref()),
            (Some(15), Some("human"))
        );
        assert_eq!(
            (found.attachment, found.recording_path.as_deref()),
            (Some(json!({ "leg": 2 })), Some("a.wav"))
        );
        let second = store
            .create_outbound_call(&new_call(&configuration, None), 11)
            .await
            .unwrap();
        let error = store
            .set_provider_call_id(&second.id, &ProviderCallId::new("CALL-9").unwrap())
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
        assert!(matches!(
            store.set_cost(&new_call_id(), &json!({}), 9).await,
            Err(StoreError::NotFound { .. })
        ));
    }

    #[tokio::test]
    async fn two_sockets_never_both_claim_a_call() {
        let (store, configuration) = setup().await;
        for round in 0..8 {
            let token = MediaToken::generate().unwrap();
            let mut new = new_call(&configuration, Some(&format!("CALL-{round}")));
            new.media = Some((token.clone(), 100));
            let call = store.create_inbound_call(&new, 10).await.unwrap().into_call();
            let claims = (0..8).map(|_| {
                let (store, token) = (store.store.clone(), token.clone());
                tokio::spawn(async move { store.claim_media(&token, 50).await })
            });
            let mut won = 0;
            for claim in claims.collect::<Vec<_>>() {
                match claim.await.unwrap() {
                    Ok(claimed) => {
                        assert_eq!(
                            (&claimed.id, claimed.state, claimed.media_claimed_at),
                            (&call.id, CallState::Running, Some(50))
                        );
                        won += 1;
                    }
                    Err(error) => assert!(matches!(error, NotClaimable::AlreadyClaimed), "{error:?}"),
                }
            }
            assert_eq!(won, 1);
        }
    }

    #[tokio::test]
    async fn a_media_token_that_opens_nothing_says_why() {
        let (store, configuration) = setup().await;
        let token = MediaToken::generate().unwrap();
        assert_eq!(token.expose().len(), 43);
        assert!(matches!(store.claim_media(&token, 1).await, Err(NotClaimable::Unknown)));
        let call = store
            .create_inbound_call(&new_call(&configuration, Some("CALL-1")), 10)
            .await
            .unwrap()
            .into_call();
        store.set_media_token(&call.id, &token, 100).await.unwrap();
        assert!(matches!(
            store.claim_media(&token, 100).await,
            Err(NotClaimable::Expired)
        ));
        let newer = MediaToken::generate().unwrap();
        store.set_media_token(&call.id, &newer, 200).await.unwrap();
        assert!(matches!(
            store.claim_media(&token, 50).await,
            Err(NotClaimable::Unknown)
        ));
        assert!(store.finish_call(&call.id, &finish(60)).await.unwrap());
        assert!(matches!(store.claim_media(&newer, 150).await, Err(NotClaimable::Ended)));
        assert!(matches!(
            store.set_media_token(&call.id, &token, 300).await,
            Err(StoreError::NotFound { .. })
        ));
    }

    #[tokio::test]
    async fn a_record_is_closed_once() {
        let (store, configuration) = setup().await;
        let call = store
            .create_inbound_call(&new_call(&configuration, Some("CALL-1")), 10)
            .await
            .unwrap()
            .into_call();
        assert_eq!(store.abandoned_calls().await.unwrap(), std::slice::from_ref(&call));
        assert!(store.finish_call(&call.id, &finish(30)).await.unwrap());
        let second = CallFinish {
            outcome: json!({ "reason": "late" }),
            ..finish(99)
        };
        assert!(!store.finish_call(&call.id, &second).await.unwrap());
        assert!(matches!(
            store.finish_call(&new_call_id(), &second).await,
            Err(StoreError::NotFound { .. })
        ));
        store
            .set_cost(&call.id, &json!({ "amount": "0.0085" }), 70)
            .await
            .unwrap();
        let closed = store.call_by_id(&call.id).await.unwrap().unwrap();
        assert_eq!(
            (closed.state, closed.ended_at, closed.duration_ms),
            (CallState::Completed, Some(30), Some(10))
        );
        assert_eq!(
            (closed.outcome.unwrap()["reason"].as_str(), closed.answered_at),
            (Some("caller_hung_up"), Some(20))
        );
        assert_eq!(closed.cost.unwrap()["amount"], "0.0085");
        assert!(store.abandoned_calls().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn events_are_numbered_without_gaps_and_repeats_are_left_out() {
        let (store, configuration) = setup().await;
        let organization = &configuration.organization;
        let call = store
            .create_inbound_call(&new_call(&configuration, Some("CALL-1")), 10)
            .await
            .unwrap()
            .into_call();
        let batch = [
            event(1, "status", Some("status:ringing")),
            event(2, "dtmf", None),
            event(3, "status", Some("status:ringing")),
            event(4, "dtmf", None),
        ];
        assert_eq!(store.append_events(&call.id, &batch).await.unwrap(), 3);
        assert_eq!(store.append_events(&call.id, &batch[..1]).await.unwrap(), 0);
        let appends = (0..8).map(|n| {
            let (store, id) = (store.store.clone(), call.id.clone());
            tokio::spawn(async move { store.append_events(&id, &[event(10 + n, "mark", None)]).await.unwrap() })
        });
        for append in appends.collect::<Vec<_>>() {
            assert_eq!(append.await.unwrap(), 1);
        }
        let events = store.events(organization, &call.id, 0, 100).await.unwrap();
        assert_eq!(
            events.iter().map(|event| event.sequence).collect::<Vec<_>>(),
            (1..=11).collect::<Vec<_>>()
        );
        assert_eq!(
            events.iter().take(3).map(|event| event.at).collect::<Vec<_>>(),
            [1, 2, 4]
        );
        assert_eq!(store.events(organization, &call.id, 9, 100).await.unwrap(), events[9..]);
        assert_eq!(store.events(organization, &call.id, 0, 2).await.unwrap(), events[..2]);
        let other = store.organization("Other").await;
        assert!(store.events(&other, &call.id, 0, 100).await.unwrap().is_empty());
        assert!(matches!(
            store.append_events(&new_call_id(), &batch).await,
            Err(StoreError::NotFound { .. })
        ));
    }

    #[tokio::test]
    async fn calls_are_listed_in_pages_newest_first() {
        let (store, configuration) = setup().await;
        let organization = &configuration.organization;
        let agent = store.agent(organization, "bot").await;
        let mut ids = Vec::new();
        for n in 0..7_i64 {
            let mut new = new_call(&configuration, Some(&format!("CALL-{n}")));
            new.agent = (n == 3).then(|| agent.id.clone());
            // Some share a time: the id decides.
            ids.push(store.create_inbound_call(&new, n / 2).await.unwrap().into_call().id);
        }
        ids.reverse();
        let mut filter = CallFilter::default();
        let mut seen = Vec::new();
        loop {
            let page = store.calls(organization, &filter, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.before = Some((last.created_at, last.id.as_str().to_owned()));
            seen.extend(page.into_iter().map(|call| call.id));
        }
        assert_eq!(seen.len(), 7);
        assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 7);
        store.finish_call(&ids[0], &finish(9)).await.unwrap();
        let count = async |filter: CallFilter| store.calls(organization, &filter, 100).await.unwrap().len();
        assert_eq!(
            count(CallFilter {
                state: Some(CallState::Completed),
                ..CallFilter::default()
            })
            .await,
            1
        );
        assert_eq!(
            count(CallFilter {
                agent: Some(agent.id),
                ..CallFilter::default()
            })
            .await,
            1
        );
        assert_eq!(
            count(CallFilter {
                direction: Some(Direction::Outbound),
                ..CallFilter::default()
            })
            .await,
            0
        );
        let other = store.organization("Other").await;
        assert!(
            store
                .calls(&other, &CallFilter::default(), 100)
                .await
                .unwrap()
                .is_empty()
        );
        let stranger = CallFilter {
            before: Some((i64::MAX, ids[0].as_str().to_owned())),
            ..CallFilter::default()
        };
        assert!(store.calls(&other, &stranger, 100).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_record_of_a_call_outlives_what_it_went_through() {
        let (store, configuration) = setup().await;
        let organization = &configuration.organization;
        let call = store
            .create_inbound_call(&new_call(&configuration, Some("CALL-1")), 10)
            .await
            .unwrap()
            .into_call();
        let error = store
            .delete_configuration(organization, &configuration.id, None)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
        store.finish_call(&call.id, &finish(30)).await.unwrap();
        store
            .delete_configuration(organization, &configuration.id, None)
            .await
            .unwrap();
        assert_eq!(
            store.find_call(organization, &call.id).await.unwrap().configuration,
            None
        );
        let mut new = new_call(&configuration, Some("CALL-2"));
        new.configuration = ConfigurationId::generate();
        assert!(matches!(
            store.create_inbound_call(&new, 10).await,
            Err(StoreError::NotFound { .. })
        ));
    }
}
