//! Transfers: their records, written before anything is dialled.

use serde::Serialize;
use serde_json::Value;
use sqlx::any::AnyRow;
use strowger_call::{Address, CallId, ProviderCallId, TransferFailure, TransferId};
use uuid::Uuid;

use super::pool::Tx;
use super::{ConfigurationId, Store, StoreError, UnixMs, corrupt, get, json_optional, optional, parse, parse_optional};
use crate::outbox::OutgoingEvent;

const COLUMNS: &str = "id, call_id, destination, caller_id, trunk, ring_timeout_s, announcement, provider_call_id, \
                       attachment, progress, failure, created_at, answered_at, connected_at, ended_at";

/// A new identifier for a transfer: random throughout, because at some carriers it names a conference.
#[must_use]
pub fn new_transfer_id() -> TransferId {
    TransferId::parse(&Uuid::new_v4().hyphenated().to_string()).expect("a hyphenated UUID is a transfer id")
}

/// How far the record of a transfer is. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// The second leg is being dialled.
    Dialing,
    /// It answered.
    Answered,
    /// Both legs talk.
    Connected,
    /// Failed or finished.
    Over,
}

impl TransferState {
    const ALL: [Self; 4] = [Self::Dialing, Self::Answered, Self::Connected, Self::Over];
}

/// A transfer that is about to be dialled. Its `Debug` shows no number.
#[derive(Debug, Clone)]
pub struct NewTransfer {
    /// From [`new_transfer_id`].
    pub id: TransferId,
    /// Whose.
    pub call: CallId,
    /// Who is called.
    pub destination: Address,
    /// What the destination sees.
    pub caller_id: Option<Address>,
    /// The trunk of the caller id.
    pub trunk: Option<String>,
    /// How long it may ring.
    pub ring_timeout_s: u16,
    /// What it hears first.
    pub announcement: Option<String>,
}

/// The record of a transfer. Its `Debug` shows no number.
#[derive(Debug, Clone)]
pub struct TransferRecord {
    /// What was asked for.
    pub asked: NewTransfer,
    /// The carrier's name of the second leg.
    pub provider_call_id: Option<ProviderCallId>,
    /// What the provider has attached to it.
    pub attachment: Option<Value>,
    /// How far it has come.
    pub state: TransferState,
    /// Why it did not come about.
    pub failure: Option<TransferFailure>,
    /// When it was asked for.
    pub created_at: UnixMs,
    /// When the destination answered.
    pub answered_at: Option<UnixMs>,
    /// When the legs were connected.
    pub connected_at: Option<UnixMs>,
    /// When it was over.
    pub ended_at: Option<UnixMs>,
}

impl Store {
    /// Writes a transfer down.
    ///
    /// # Errors
    /// The database fails.
    pub async fn create_transfer(&self, new: &NewTransfer, now: UnixMs) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO transfers (id, call_id, destination, caller_id, trunk, ring_timeout_s, announcement, progress, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8) RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(new.id.as_str())
            .bind(new.call.as_str())
            .bind(new.destination.expose())
            .bind(new.caller_id.as_ref().map(Address::expose))
            .bind(new.trunk.as_deref())
            .bind(i64::from(new.ring_timeout_s))
            .bind(new.announcement.as_deref())
            .bind(now);
        let mut tx = self.begin().await?;
        let row = optional(query, &mut *tx).await?;
        self.tell_of_transfers(tx, row.as_slice(), now).await
    }

    /// Commits changes of transfers, with the events that they are told by.
    async fn tell_of_transfers(&self, mut tx: Tx, rows: &[AnyRow], now: UnixMs) -> Result<(), StoreError> {
        for row in rows {
            let transfer = transfer_of(row)?;
            let query =
                sqlx::query("SELECT organization_id FROM calls WHERE id = $1").bind(transfer.asked.call.as_str());
            let Some(call) = optional(query, &mut *tx).await? else {
                continue;
            };
            let organization: String = get(&call, "organization_id")?;
            let event = OutgoingEvent::of_transfer(&transfer);
            self.spool(&mut tx, &organization, &event, now).await?;
        }
        tx.commit().await?;
        self.signals.spooled();
        Ok(())
    }

    /// One transfer, whoever it belongs to: for callbacks, whose path names it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn transfer_by_id(&self, id: &TransferId) -> Result<Option<TransferRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM transfers WHERE id = $1");
        optional(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.as_str()), &self.pool)
            .await?
            .as_ref()
            .map(transfer_of)
            .transpose()
    }

    /// The transfers of a call, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn transfers(&self, call: &CallId) -> Result<Vec<TransferRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM transfers WHERE call_id = $1 ORDER BY created_at, id LIMIT 500");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(call.as_str());
        query.fetch_all(&self.pool).await?.iter().map(transfer_of).collect()
    }

    /// Moves the record forward; `false` when it has come as far already, which changes nothing.
    ///
    /// # Errors
    /// The database fails.
    pub async fn advance_transfer(
        &self,
        id: &TransferId,
        state: TransferState,
        failure: Option<TransferFailure>,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE transfers SET progress = $2, failure = $3, \
             answered_at = CASE WHEN $2 = 1 THEN $4 ELSE answered_at END, \
             connected_at = CASE WHEN $2 = 2 THEN $4 ELSE connected_at END, \
             ended_at = CASE WHEN $2 = 3 THEN $4 ELSE ended_at END WHERE id = $1 AND progress < $2 RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(state as i64)
            .bind(failure.map(name))
            .bind(now);
        let mut tx = self.begin().await?;
        let Some(row) = optional(query, &mut *tx).await? else {
            return Ok(false);
        };
        self.tell_of_transfers(tx, &[row], now).await?;
        Ok(true)
    }

    /// Closes what a call that has ended without its session left open: nobody waits for those answers any more. What was
    /// connected goes on.
    ///
    /// # Errors
    /// The database fails.
    pub async fn close_transfers(&self, call: &CallId, now: UnixMs) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE transfers SET progress = 3, failure = $3, ended_at = $2 WHERE call_id = $1 AND progress < 2 \
             RETURNING {COLUMNS}"
        );
        let mut tx = self.begin().await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(call.as_str())
            .bind(now)
            .bind(name(TransferFailure::CallEnded))
            .fetch_all(&mut *tx)
            .await?;
        self.tell_of_transfers(tx, &rows, now).await
    }

    /// Keeps the carrier's name of the second leg. `first_only` is for the reply to the request, which a webhook that knows
    /// a newer name may have overtaken.
    ///
    /// # Errors
    /// The database fails.
    pub async fn identify_transfer(
        &self,
        id: &TransferId,
        provider_call_id: &ProviderCallId,
        first_only: bool,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE transfers SET provider_call_id = $2 WHERE id = $1 AND ($3 = 0 OR provider_call_id IS NULL)",
        )
        .bind(id.as_str())
        .bind(provider_call_id.expose())
        .bind(i64::from(first_only))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Replaces what the provider has attached to the second leg.
    ///
    /// # Errors
    /// The database fails.
    pub async fn attach_to_transfer(&self, id: &TransferId, attachment: &Value) -> Result<(), StoreError> {
        sqlx::query("UPDATE transfers SET attachment = $2 WHERE id = $1")
            .bind(id.as_str())
            .bind(attachment.to_string())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Whether this address is an active number of the configuration, so that calls may show it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn is_active_number(
        &self,
        configuration: &ConfigurationId,
        address: &Address,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "SELECT id FROM phone_numbers WHERE configuration_id = $1 AND address_normalized = $2 AND is_active = 1",
        )
        .bind(configuration.as_str())
        .bind(address.expose());
        Ok(optional(query, &self.pool).await?.is_some())
    }
}

fn name(failure: TransferFailure) -> String {
    serde_json::to_value(failure)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn transfer_of(row: &AnyRow) -> Result<TransferRecord, StoreError> {
    let address = |text: String| Address::parse(&text, None);
    let progress: i64 = get(row, "progress")?;
    let ring_timeout_s: i64 = get(row, "ring_timeout_s")?;
    Ok(TransferRecord {
        asked: NewTransfer {
            id: parse(row, "id", TransferId::try_from)?,
            call: parse(row, "call_id", CallId::try_from)?,
            destination: parse(row, "destination", address)?,
            caller_id: parse_optional(row, "caller_id", address)?,
            trunk: get(row, "trunk")?,
            ring_timeout_s: u16::try_from(ring_timeout_s)
                .map_err(|_| corrupt("ring_timeout_s", "not a number of seconds"))?,
            announcement: get(row, "announcement")?,
        },
        provider_call_id: parse_optional(row, "provider_call_id", ProviderCallId::try_from)?,
        attachment: json_optional(row, "attachment")?,
        state: TransferState::ALL
            .into_iter()
            .find(|state| *state as i64 == progress)
            .ok_or_else(|| corrupt("progress", "not 0 to 3"))?,
        failure: parse_optional(row, "failure", |text| {
            serde_json::from_value::<TransferFailure>(Value::String(text))
        })?,
        created_at: get(row, "created_at")?,
        answered_at: get(row, "answered_at")?,
        connected_at: get(row, "connected_at")?,
        ended_at: get(row, "ended_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::new_call;
    use super::super::testing::{self, TestStore};
    use super::*;

    const NOW: UnixMs = 1_000;

    async fn dialing() -> (TestStore, TransferId) {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let configuration = store.configuration(&acme, "main", Some("A1")).await;
        let call = new_call(&configuration, Some("CALL-1"));
        store.create_inbound_call(&call, NOW).await.unwrap();
        let id = new_transfer_id();
        let new = NewTransfer {
            id: id.clone(),
            call: call.id,
            destination: Address::parse("+14155550100", None).unwrap(),
            caller_id: None,
            trunk: None,
            ring_timeout_s: 30,
            announcement: Some("A caller for you.".to_owned()),
        };
        store.create_transfer(&new, NOW).await.unwrap();
        (store, id)
    }

    #[tokio::test]
    async fn a_record_only_moves_forward() {
        let (test, id) = dialing().await;
        let advance = |state, failure, at| {
            let (store, id) = (test.store.clone(), id.clone());
            async move { store.advance_transfer(&id, state, failure, at).await.unwrap() }
        };
        assert!(advance(TransferState::Answered, None, NOW + 1).await);
        assert!(!advance(TransferState::Answered, None, NOW + 2).await);
        assert!(advance(TransferState::Over, Some(TransferFailure::Timeout), NOW + 3).await);
        assert!(!advance(TransferState::Connected, None, NOW + 4).await);
        let record = test.store.transfer_by_id(&id).await.unwrap().unwrap();
        assert_eq!(record.state, TransferState::Over);
        assert_eq!(record.failure, Some(TransferFailure::Timeout));
        assert_eq!(
            (record.answered_at, record.connected_at, record.ended_at),
            (Some(NOW + 1), None, Some(NOW + 3))
        );
        assert_eq!(test.store.transfers(&record.asked.call).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_reply_to_the_request_does_not_replace_a_newer_name() {
        let (test, id) = dialing().await;
        let (request, live) = (
            ProviderCallId::new("request-uuid").unwrap(),
            ProviderCallId::new("live-uuid").unwrap(),
        );
        test.store.identify_transfer(&id, &live, false).await.unwrap();
        test.store.identify_transfer(&id, &request, true).await.unwrap();
        test.store
            .attach_to_transfer(&id, &serde_json::json!({"conference": 1}))
            .await
            .unwrap();
        let record = test.store.transfer_by_id(&id).await.unwrap().unwrap();
        assert_eq!(record.provider_call_id, Some(live));
        assert_eq!(record.attachment, Some(serde_json::json!({"conference": 1})));
    }

    #[tokio::test]
    async fn what_a_call_left_open_is_closed_and_what_is_connected_goes_on() {
        let (test, id) = dialing().await;
        let call = test.store.transfer_by_id(&id).await.unwrap().unwrap().asked.call;
        test.store.close_transfers(&call, NOW + 9).await.unwrap();
        let record = test.store.transfer_by_id(&id).await.unwrap().unwrap();
        assert_eq!(
            (record.state, record.failure, record.ended_at),
            (TransferState::Over, Some(TransferFailure::CallEnded), Some(NOW + 9))
        );
        let (test, id) = dialing().await;
        let call = test.store.transfer_by_id(&id).await.unwrap().unwrap().asked.call;
        assert!(
            test.store
                .advance_transfer(&id, TransferState::Connected, None, NOW)
                .await
                .unwrap()
        );
        test.store.close_transfers(&call, NOW + 9).await.unwrap();
        let record = test.store.transfer_by_id(&id).await.unwrap().unwrap();
        assert_eq!(record.state, TransferState::Connected);
    }

    #[tokio::test]
    async fn an_unknown_transfer_is_not_there() {
        let (test, _) = dialing().await;
        assert!(test.store.transfer_by_id(&new_transfer_id()).await.unwrap().is_none());
    }
}
