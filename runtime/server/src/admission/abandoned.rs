//! Closes the records of calls whose gateway is gone: its sockets are gone with it, and nobody else will.

use serde_json::json;

use crate::store::{CallFinish, Store, StoreError, UnixMs};

/// Closes them, gives back what they held of their organisations' limits, and returns how many there were. Two gateways may do
/// it at once: a record is closed once.
///
/// # Errors
/// The database fails. What is left is closed the next time.
pub(crate) async fn close_abandoned(store: &Store, now: UnixMs) -> Result<usize, StoreError> {
    let mut closed = 0;
    for call in store.abandoned_calls().await? {
        let duration_ms = call
            .answered_at
            .map_or(0, |at| u64::try_from(now.saturating_sub(at)).unwrap_or(0));
        let finish = CallFinish {
            outcome: json!({
                "status": "failed", "reason": "shutdown", "detail": "the gateway stopped while the call was live"
            }),
            answered_at: call.answered_at,
            ended_at: now,
            duration_ms,
        };
        store.close_transfers(&call.id, now).await?;
        closed += usize::from(store.finish_call(&call.id, &finish).await?);
    }
    if closed > 0 {
        store.settle_ended_slots(now).await?;
    }
    Ok(closed)
}
