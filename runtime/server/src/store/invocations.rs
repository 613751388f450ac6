//! What a call's provider was asked, and what it cost.

use strowger_call::CallId;

use super::{OrganizationId, PAGE_ROWS_MAX, Store, StoreError, UnixMs, get, optional};

const NO_SUCH_CALL: StoreError = StoreError::NotFound { what: "call" };

/// One invocation, or all frames of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationRecord {
    /// Position in the call, counted from 1 without gaps.
    pub sequence: u64,
    /// `interface.function`.
    pub export: String,
    /// Digest of the component.
    pub version: String,
    /// As the guest saw it; of frames, when their leg was opened.
    pub at: UnixMs,
    /// Which round of an operation, counted from 0.
    pub round: u32,
    /// 1, or how many frames.
    pub count: u64,
    /// How many of them ended in a fault.
    pub faults: u64,
    /// Processor time, of frames sampled.
    pub cpu_ns: u64,
    /// From beginning to end; of frames the sum.
    pub wall_ns: u64,
    /// Of frames only.
    pub frames: Option<FrameTimes>,
    /// Linear memory of the instance at its end.
    pub memory_bytes: Option<u64>,
    /// In a word.
    pub outcome: String,
}

/// How long one frame takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTimes {
    /// Half of them take no longer.
    pub p50_ns: u64,
    /// 99 of 100 take no longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Store {
    /// Writes invocations down. Each is written once, whoever repeats it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn append_invocations(&self, id: &CallId, records: &[InvocationRecord]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for record in records {
            let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            sqlx::query(
                "INSERT INTO call_invocations (call_id, sequence, export, version, at, round, count, faults, cpu_ns, wall_ns, \
                 wall_p50_ns, wall_p99_ns, wall_max_ns, memory_bytes, outcome) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (call_id, sequence) DO NOTHING",
            )
            .bind(id.as_str())
            .bind(signed(record.sequence))
            .bind(&*record.export)
            .bind(&*record.version)
            .bind(record.at)
            .bind(i64::from(record.round))
            .bind(signed(record.count))
            .bind(signed(record.faults))
            .bind(signed(record.cpu_ns))
            .bind(signed(record.wall_ns))
            .bind(record.frames.map(|frames| signed(frames.p50_ns)))
            .bind(record.frames.map(|frames| signed(frames.p99_ns)))
            .bind(record.frames.map(|frames| signed(frames.max_ns)))
            .bind(record.memory_bytes.map(signed))
            .bind(&*record.outcome)
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Keeps how many invocations of a call were not written down.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_invocations_dropped(&self, id: &CallId, dropped: u64) -> Result<(), StoreError> {
        sqlx::query("UPDATE calls SET invocations_dropped = $2 WHERE id = $1")
            .bind(id.as_str())
            .bind(i64::try_from(dropped).unwrap_or(i64::MAX))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A call's invocations in order, beginning after the one with the number `after` (0 for the first), and how many there
    /// were besides.
    ///
    /// # Errors
    /// `NotFound` for a call that is not the organisation's.
    pub async fn invocations(
        &self,
        organization: &OrganizationId,
        id: &CallId,
        after: u64,
        limit: u32,
    ) -> Result<(Vec<InvocationRecord>, u64), StoreError> {
        let query = sqlx::query("SELECT invocations_dropped FROM calls WHERE id = $1 AND organization_id = $2")
            .bind(id.as_str())
            .bind(organization.as_str());
        let row = optional(query, &self.pool).await?.ok_or(NO_SUCH_CALL)?;
        let dropped = get::<i64>(&row, "invocations_dropped")?.unsigned_abs();
        let rows = sqlx::query(
            "SELECT sequence, export, version, at, round, count, faults, cpu_ns, wall_ns, wall_p50_ns, wall_p99_ns, wall_max_ns, \
             memory_bytes, outcome FROM call_invocations WHERE call_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        )
        .bind(id.as_str())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::from(limit.min(PAGE_ROWS_MAX + 1)))
        .fetch_all(&self.pool)
        .await?;
        let records = rows.iter().map(|row| {
            let number = |column: &'static str| get::<i64>(row, column).map(i64::unsigned_abs);
            let maybe = |column: &'static str| get::<Option<i64>>(row, column).map(|n| n.map(i64::unsigned_abs));
            let times = (maybe("wall_p50_ns")?, maybe("wall_p99_ns")?, maybe("wall_max_ns")?);
            Ok(InvocationRecord {
                sequence: number("sequence")?,
                export: get(row, "export")?,
                version: get(row, "version")?,
                at: get(row, "at")?,
                round: u32::try_from(number("round")?).unwrap_or(u32::MAX),
                count: number("count")?,
                faults: number("faults")?,
                cpu_ns: number("cpu_ns")?,
                wall_ns: number("wall_ns")?,
                frames: match times {
                    (Some(p50_ns), Some(p99_ns), Some(max_ns)) => Some(FrameTimes { p50_ns, p99_ns, max_ns }),
                    _ => None,
                },
                memory_bytes: maybe("memory_bytes")?,
                outcome: get(row, "outcome")?,
            })
        });
        Ok((records.collect::<Result<_, StoreError>>()?, dropped))
    }
}

#[cfg(test)]
mod tests {
    use strowger_call::Address;

    use super::*;
    use crate::store::{NewCall, new_call_id, testing};

    fn record(sequence: u64, frames: Option<FrameTimes>) -> InvocationRecord {
        InvocationRecord {
            sequence,
            export: "answer.answer-markup".to_owned(),
            version: "ab".repeat(32),
            at: 1_763_800_000_000,
            round: 1,
            count: 1,
            faults: 0,
            cpu_ns: 61_000,
            wall_ns: 70_000,
            memory_bytes: frames.is_none().then_some(1 << 20),
            frames,
            outcome: "done".to_owned(),
        }
    }

    #[tokio::test]
    async fn invocations_are_kept_once_in_order_and_for_their_organisation() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let configuration = store.configuration(&acme, "main", None).await;
        let agent = store.agent(&acme, "bot").await;
        let call = new_call_id();
        let new = NewCall {
            id: call.clone(),
            organization: acme.clone(),
            configuration: configuration.id.clone(),
            number: None,
            agent: Some(agent.id.clone()),
            provider: "acme".to_owned(),
            provider_version: "ab".repeat(32),
            provider_call_id: None,
            caller: None,
            callee: Address::parse("+12025550123", None).unwrap(),
            attachment: None,
            media: None,
        };
        store.create_outbound_call(&new, 1).await.unwrap();
        let frames = FrameTimes {
            p50_ns: 1_000,
            p99_ns: 9_000,
            max_ns: 20_000,
        };
        let records = [record(1, None), record(2, None), record(3, Some(frames))];
        store.append_invocations(&call, &records[..2]).await.unwrap();
        store.append_invocations(&call, &records[1..]).await.unwrap();
        store.set_invocations_dropped(&call, 7).await.unwrap();
        assert_eq!(
            store.invocations(&acme, &call, 0, 100).await.unwrap(),
            (records.to_vec(), 7)
        );
        assert_eq!(store.invocations(&acme, &call, 1, 1).await.unwrap().0, records[1..2]);
        let other = store.organization("Other").await;
        for (organization, call) in [(&other, call), (&acme, new_call_id())] {
            let missing = store.invocations(organization, &call, 0, 100).await;
            assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
        }
    }
}
