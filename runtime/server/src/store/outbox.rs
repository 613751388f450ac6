//! The spool of outgoing events: written in the transaction of what it tells of, emptied by [`crate::outbox`].
//!
//! Of the events of one subject, a call, only the first that is not settled is `pending`; the others are `waiting` until it is. So
//! an attempt is found by an index, however many wait. A claim ends by itself: who dies in the middle of an attempt leaves
//! nothing behind but a second attempt.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::pool::Tx;
use super::{
    OrganizationId, OutgoingEventId, PAGE_ROWS_MAX, Store, StoreError, UnixMs, WebhookEndpointId, corrupt, get,
    optional, parse,
};
use crate::outbox::OutgoingEvent;

/// What an endpoint may have in its spool: rows, and bytes of their bodies. An hour of a busy tenant.
pub const DELIVERIES_MAX: i64 = 10_000;
/// See [`DELIVERIES_MAX`].
pub const DELIVERIES_BYTES_MAX: i64 = 16 * 1024 * 1024;
/// How long it can be seen that something was delivered.
const DELIVERED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long something that could not be delivered can be sent again.
const DEAD_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

const COLUMNS: &str =
    "event_id, event_type, state, attempts, due_at, last_attempt_at, last_status, last_error, created_at, settled_at";
const NO_SUCH: StoreError = StoreError::NotFound { what: "delivery" };

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is to be attempted, now or later.
    Pending,
    /// The endpoint has it.
    Delivered,
    /// Given up; it can be sent again.
    Dead,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What became of an event on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The event's name, which the endpoint sees as `webhook-id`.
    pub event: OutgoingEventId,
    /// The event's kind.
    pub event_type: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was attempted since it was spooled, or sent again.
    pub attempts: u32,
    /// When it is attempted next, while it is pending and nothing is before it.
    pub next_attempt_at: Option<UnixMs>,
    /// When it was last attempted.
    pub last_attempt_at: Option<UnixMs>,
    /// What the endpoint answered then, if it did.
    pub last_status: Option<u16>,
    /// What went wrong then, in a word.
    pub last_error: Option<String>,
    /// When it was spooled.
    pub created_at: UnixMs,
    /// When it was delivered or given up.
    pub settled_at: Option<UnixMs>,
}

/// A delivery that this process attempts now. Its `Debug` does not show the body.
#[derive(Clone)]
pub(crate) struct ClaimedDelivery {
    pub(crate) endpoint: WebhookEndpointId,
    pub(crate) event: OutgoingEventId,
    /// How often it was attempted before.
    pub(crate) attempts: u32,
    pub(crate) body: String,
    /// Settles this claim and no later one.
    claim: String,
}

impl std::fmt::Debug for ClaimedDelivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClaimedDelivery")
            .field("endpoint", &self.endpoint)
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempted {
    /// The status of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// What went wrong, in a word; none when the endpoint has it.
    pub(crate) error: Option<String>,
    /// When it is attempted again; none: never.
    pub(crate) retry_at: Option<UnixMs>,
    /// The endpoint takes nothing any more, and why.
    pub(crate) disable: Option<String>,
}

impl Store {
    /// Writes an event down for every endpoint that wants it, in the transaction of what it tells of. Whether there is one.
    pub(super) async fn spool(
        &self,
        tx: &mut Tx,
        organization: &str,
        event: &OutgoingEvent,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let spooled = self.spool_for(tx, organization, None, event, now).await?;
        Ok(spooled.is_some())
    }

    async fn spool_for(
        &self,
        tx: &mut Tx,
        organization: &str,
        only: Option<&WebhookEndpointId>,
        event: &OutgoingEvent,
        now: UnixMs,
    ) -> Result<Option<OutgoingEventId>, StoreError> {
        let id = OutgoingEventId::generate();
        let subject = event.subject.as_deref().unwrap_or(id.as_str());
        // Whoever settles the one before either sees this one, or is seen.
        sqlx::query(
            "UPDATE webhook_deliveries SET position = position WHERE subject = $1 AND state IN ('pending', 'waiting')",
        )
        .bind(subject)
        .execute(&mut **tx)
        .await?;
        let body = event.body(now);
        let result = sqlx::query(
            "INSERT INTO webhook_deliveries (endpoint_id, event_id, event_type, body, body_bytes, subject, position, state, \
             due_at, attempts, created_at) \
             SELECT e.id, $2, $3, $4, $5, $6, \
             COALESCE((SELECT MAX(p.position) FROM webhook_deliveries p WHERE p.endpoint_id = e.id AND p.subject = $6), 0) + 1, \
             CASE WHEN EXISTS (SELECT 1 FROM webhook_deliveries b WHERE b.endpoint_id = e.id AND b.subject = $6 \
             AND b.state IN ('pending', 'waiting')) THEN 'waiting' ELSE 'pending' END, $7, 0, $7 \
             FROM webhook_endpoints e WHERE e.organization_id = $1 AND e.enabled = 1 AND \
             CASE WHEN $8 = '' THEN e.event_types IS NULL OR e.event_types LIKE $9 ELSE e.id = $8 END",
        )
        .bind(organization)
        .bind(id.as_str())
        .bind(event.kind.as_str())
        .bind(&*body)
        .bind(i64::try_from(body.len()).unwrap_or(i64::MAX))
        .bind(subject)
        .bind(now)
        .bind(only.map_or("", WebhookEndpointId::as_str))
        .bind(format!("%,{},%", event.kind.as_str()))
        .execute(&mut **tx)
        .await?;
        Ok((result.rows_affected() > 0).then_some(id))
    }

    /// Writes an event down for one endpoint, whatever that has chosen.
    ///
    /// # Errors
    /// `NotFound` when there is no such endpoint, or it is not enabled.
    pub(crate) async fn spool_to(
        &self,
        organization: &OrganizationId,
        endpoint: &WebhookEndpointId,
        event: &OutgoingEvent,
        now: UnixMs,
    ) -> Result<DeliveryRecord, StoreError> {
        let mut tx = self.begin().await?;
        let id = self
            .spool_for(&mut tx, organization.as_str(), Some(endpoint), event, now)
            .await?
            .ok_or(StoreError::NotFound {
                what: "enabled webhook endpoint",
            })?;
        tx.commit().await?;
        self.signals.spooled();
        self.find_delivery(endpoint, &id).await
    }

    /// The enabled endpoints that something is due for, and whether they are failing.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn due_endpoints(&self, now: UnixMs) -> Result<Vec<(WebhookEndpointId, bool)>, StoreError> {
        let rows = sqlx::query(
            "SELECT e.id AS id, e.failing_since AS failing_since FROM webhook_endpoints e WHERE e.enabled = 1 AND EXISTS \
             (SELECT 1 FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.due_at <= $1)",
        )
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let failing = get::<Option<i64>>(row, "failing_since")?.is_some();
                Ok((parse(row, "id", WebhookEndpointId::try_from)?, failing))
            })
            .collect()
    }

    /// Takes up to `limit` due deliveries of an endpoint; nobody else attempts them until `now + lease`.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn claim_deliveries(
        &self,
        endpoint: &WebhookEndpointId,
        claim: &str,
        limit: usize,
        lease: Duration,
        now: UnixMs,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        // The outer conditions are looked at again when another process was faster.
        let rows = sqlx::query(
            "UPDATE webhook_deliveries SET due_at = $4, claimed_by = $2 \
             WHERE endpoint_id = $1 AND state = 'pending' AND due_at <= $3 AND event_id IN \
             (SELECT d.event_id FROM webhook_deliveries d WHERE d.endpoint_id = $1 AND d.state = 'pending' AND d.due_at <= $3 \
             ORDER BY d.due_at, d.event_id LIMIT $5) RETURNING event_id, attempts, body",
        )
        .bind(endpoint.as_str())
        .bind(claim)
        .bind(now)
        .bind(later(now, lease))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.writer)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ClaimedDelivery {
                    endpoint: endpoint.clone(),
                    event: parse(row, "event_id", OutgoingEventId::try_from)?,
                    attempts: count(row, "attempts")?,
                    body: get(row, "body")?,
                    claim: claim.to_owned(),
                })
            })
            .collect()
    }

    /// Writes down what came of an attempt, and lets the next event of the same subject go. `false` when the claim was over and
    /// somebody else has the delivery, which changes nothing.
    ///
    /// # Errors
    /// The database fails. Then it is attempted again when the claim is over.
    pub(crate) async fn settle_delivery(
        &self,
        delivery: &ClaimedDelivery,
        attempted: &Attempted,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let endpoint = delivery.endpoint.as_str();
        let delivered = attempted.error.is_none();
        let state = match (delivered, attempted.retry_at) {
            (true, _) => "delivered",
            (false, Some(_)) => "pending",
            (false, None) => "dead",
        };
        let mut tx = self.begin().await?;
        // What was delivered need not be kept, only that it was.
        let query = sqlx::query(
            "UPDATE webhook_deliveries SET state = $4, due_at = $5, claimed_by = NULL, attempts = attempts + 1, \
             last_attempt_at = $6, last_status = $7, last_error = $8, settled_at = $9, \
             body = CASE WHEN $4 = 'delivered' THEN '' ELSE body END, \
             body_bytes = CASE WHEN $4 = 'delivered' THEN 0 ELSE body_bytes END \
             WHERE endpoint_id = $1 AND event_id = $2 AND claimed_by = $3 AND state = 'pending' RETURNING subject",
        )
        .bind(endpoint)
        .bind(delivery.event.as_str())
        .bind(&*delivery.claim)
        .bind(state)
        .bind(attempted.retry_at.unwrap_or(now))
        .bind(now)
        .bind(attempted.status.map(i64::from))
        .bind(attempted.error.as_deref())
        .bind((state != "pending").then_some(now));
        let Some(row) = optional(query, &mut *tx).await? else {
            return Ok(false);
        };
        if state != "pending" {
            let subject: String = get(&row, "subject")?;
            sqlx::query(
                "UPDATE webhook_deliveries SET state = 'pending', due_at = $3 WHERE endpoint_id = $1 AND subject = $2 \
                 AND state = 'waiting' AND position = (SELECT MIN(w.position) FROM webhook_deliveries w \
                 WHERE w.endpoint_id = $1 AND w.subject = $2 AND w.state = 'waiting')",
            )
            .bind(endpoint)
            .bind(subject)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query(
            "UPDATE webhook_endpoints SET failing_since = $2 WHERE id = $1 AND (failing_since IS NULL) <> ($2 IS NULL)",
        )
        .bind(endpoint)
        .bind((!delivered).then_some(now))
        .execute(&mut *tx)
        .await?;
        if let Some(reason) = &attempted.disable {
            give_up(&mut tx, endpoint, reason, now).await?;
        }
        tx.commit().await?;
        self.signals.spooled();
        Ok(true)
    }

    /// Since when nothing has come through to an endpoint; none when it does.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn failing_since(&self, endpoint: &WebhookEndpointId) -> Result<Option<UnixMs>, StoreError> {
        let query = sqlx::query("SELECT failing_since FROM webhook_endpoints WHERE id = $1").bind(endpoint.as_str());
        match optional(query, &self.pool).await? {
            Some(row) => get(&row, "failing_since"),
            None => Ok(None),
        }
    }

    /// The deliveries of an endpoint, newest first, a page of at most `limit`: those before `before`, in one state or all.
    ///
    /// # Errors
    /// The database fails.
    pub async fn deliveries(
        &self,
        endpoint: &WebhookEndpointId,
        state: Option<DeliveryState>,
        before: Option<&OutgoingEventId>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM webhook_deliveries WHERE endpoint_id = $1 AND ($2 = '' OR event_id < $2) \
             AND ($3 = '' OR state = $3 OR ($3 = 'pending' AND state = 'waiting')) ORDER BY event_id DESC LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(endpoint.as_str())
            .bind(before.map_or("", OutgoingEventId::as_str))
            .bind(state.map_or("", DeliveryState::as_str))
            .bind(i64::from(limit.min(PAGE_ROWS_MAX + 1)))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(delivery_of).collect()
    }

    async fn find_delivery(
        &self,
        endpoint: &WebhookEndpointId,
        event: &OutgoingEventId,
    ) -> Result<DeliveryRecord, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook_deliveries WHERE endpoint_id = $1 AND event_id = $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(endpoint.as_str())
            .bind(event.as_str());
        delivery_of(&optional(query, &self.pool).await?.ok_or(NO_SUCH)?)
    }

    /// Sends again what could not be delivered: one, or all of an endpoint. Returns how many. The events of a call go in their
    /// order.
    ///
    /// # Errors
    /// `NotFound` when there is no such delivery of this endpoint; `Conflict` when it is not a dead letter.
    pub async fn resend_dead(
        &self,
        endpoint: &WebhookEndpointId,
        only: Option<&OutgoingEventId>,
        now: UnixMs,
    ) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let result = sqlx::query(
            "UPDATE webhook_deliveries SET state = 'waiting', attempts = 0, settled_at = NULL \
             WHERE endpoint_id = $1 AND state = 'dead' AND ($2 = '' OR event_id = $2)",
        )
        .bind(endpoint.as_str())
        .bind(only.map_or("", OutgoingEventId::as_str))
        .execute(&mut *tx)
        .await?;
        if let Some(event) = only
            && result.rows_affected() == 0
        {
            // There may be one that is no dead letter.
            drop(tx);
            let found = self.find_delivery(endpoint, event).await?;
            return Err(StoreError::Conflict {
                field: "delivery",
                cure: format!("it is {}, and only dead ones are sent again", found.state.as_str()),
            });
        }
        sqlx::query(
            "UPDATE webhook_deliveries SET state = 'pending', due_at = $2 WHERE endpoint_id = $1 AND state = 'waiting' \
             AND NOT EXISTS (SELECT 1 FROM webhook_deliveries b WHERE b.endpoint_id = webhook_deliveries.endpoint_id \
             AND b.subject = webhook_deliveries.subject AND b.position < webhook_deliveries.position \
             AND b.state IN ('pending', 'waiting'))",
        )
        .bind(endpoint.as_str())
        .bind(now)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.signals.spooled();
        Ok(result.rows_affected())
    }

    /// Takes out of the spools what is too old or too much: what was delivered goes first, then the oldest dead letters, then
    /// what waits longest. Returns how many went that nobody had got.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn prune_deliveries(&self, now: UnixMs) -> Result<u64, StoreError> {
        for (state, age) in [("delivered", DELIVERED_FOR), ("dead", DEAD_FOR)] {
            sqlx::query("DELETE FROM webhook_deliveries WHERE settled_at < $1 AND state = $2")
                .bind(now.saturating_sub(later(0, age)))
                .bind(state)
                .execute(&self.writer)
                .await?;
        }
        let over = sqlx::query(
            "SELECT endpoint_id FROM webhook_deliveries GROUP BY endpoint_id HAVING COUNT(*) > $1 OR SUM(body_bytes) > $2",
        )
        .bind(DELIVERIES_MAX)
        .bind(DELIVERIES_BYTES_MAX)
        .fetch_all(&self.pool)
        .await?;
        let mut lost = 0;
        for row in over {
            let endpoint: String = get(&row, "endpoint_id")?;
            lost += self
                .prune_endpoint(&endpoint, DELIVERIES_MAX, DELIVERIES_BYTES_MAX)
                .await?;
        }
        Ok(lost)
    }

    async fn prune_endpoint(&self, endpoint: &str, rows_max: i64, bytes_max: i64) -> Result<u64, StoreError> {
        let gone = sqlx::query(
            "DELETE FROM webhook_deliveries WHERE endpoint_id = $1 AND event_id IN (SELECT r.event_id FROM \
             (SELECT d.event_id AS event_id, ROW_NUMBER() OVER kept AS place, SUM(d.body_bytes) OVER kept AS bytes \
             FROM webhook_deliveries d WHERE d.endpoint_id = $1 WINDOW kept AS (ORDER BY CASE d.state \
             WHEN 'delivered' THEN 2 WHEN 'dead' THEN 1 ELSE 0 END, d.event_id DESC)) r \
             WHERE r.place > $2 OR r.bytes > $3) RETURNING state",
        )
        .bind(endpoint)
        .bind(rows_max)
        .bind(bytes_max)
        .fetch_all(&self.writer)
        .await?;
        let mut lost = 0;
        for row in &gone {
            lost += u64::from(get::<String>(row, "state")? != "delivered");
        }
        Ok(lost)
    }
}

/// The endpoint takes nothing any more; what waits for it becomes dead letters, so that somebody can see it and send it again.
async fn give_up(tx: &mut Tx, endpoint: &str, reason: &str, now: UnixMs) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE webhook_endpoints SET enabled = 0, disabled_at = $2, disabled_reason = $3, version = version + 1 \
         WHERE id = $1 AND enabled = 1",
    )
    .bind(endpoint)
    .bind(now)
    .bind(reason)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "UPDATE webhook_deliveries SET state = 'dead', claimed_by = NULL, settled_at = $2, \
         last_error = COALESCE(last_error, 'endpoint-disabled') WHERE endpoint_id = $1 AND state IN ('pending', 'waiting')",
    )
    .bind(endpoint)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn later(now: UnixMs, by: Duration) -> UnixMs {
    now.saturating_add(UnixMs::try_from(by.as_millis()).unwrap_or(UnixMs::MAX))
}

fn count(row: &AnyRow, column: &'static str) -> Result<u32, StoreError> {
    u32::try_from(get::<i64>(row, column)?).map_err(|error| corrupt(column, error.to_string()))
}

fn delivery_of(row: &AnyRow) -> Result<DeliveryRecord, StoreError> {
    let state: String = get(row, "state")?;
    let due_at: i64 = get(row, "due_at")?;
    let status = get::<Option<i64>>(row, "last_status")?.map(u16::try_from).transpose();
    Ok(DeliveryRecord {
        event: parse(row, "event_id", OutgoingEventId::try_from)?,
        event_type: get(row, "event_type")?,
        state: match &*state {
            "waiting" => DeliveryState::Pending,
            state => DeliveryState::parse(state).ok_or_else(|| corrupt("state", "not a delivery's state"))?,
        },
        attempts: count(row, "attempts")?,
        next_attempt_at: (state == "pending").then_some(due_at),
        last_attempt_at: get(row, "last_attempt_at")?,
        last_status: status.map_err(|error| corrupt("last_status", error.to_string()))?,
        last_error: get(row, "last_error")?,
        created_at: get(row, "created_at")?,
        settled_at: get(row, "settled_at")?,
    })
}

#[cfg(test)]
mod tests;
