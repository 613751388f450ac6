//! Calls are admitted: the call's row, its line and what it uses of its organisation's limits are written together or not at
//! all.
//!
//! The decision itself is [`crate::admission::decide`]'s. It is taken with the organisation's row in [`LOCK`] locked, so that
//! of calls that come at once, over however many gateways, each sees what those before it took. (One statement that counts
//! and inserts would do on SQLite; on PostgreSQL two of them would count the same.)

use serde_json::Value;
use strowger_call::{Address, CallId, Direction, TransferId};

use super::calls::{call_of, taken};
use super::pool::Tx;
use super::{
    CallRecord, NewCall, NumberId, OrganizationId, Store, StoreError, UnixMs, corrupt, get, is_foreign_key_violation,
    optional, parse,
};
use crate::admission::{
    Bucket, CallLimits, DestinationCap, GatewayId, LimitOverrides, Prefix, Rates, Refusal, Spent, Usage, day_of,
    decide, decide_destination,
};
use crate::outbox::EventType;

/// Days for which it is kept what was used of the caps.
const USE_KEPT_DAYS: i64 = 35;
/// After this nobody asks any more how full a bucket was.
const KEPT_MS: i64 = 86_400_000;

/// The version of what was never said.
const NOTHING_SAID: u64 = 1;

/// Locks the admission of an organisation's calls until the transaction ends.
const LOCK: &str = "INSERT INTO call_rates (organization_id, kind, rate_key, level_milli, filled_at) VALUES ($1, '', '', $2, $3) \
                    ON CONFLICT (organization_id, kind, rate_key) DO UPDATE SET level_milli = call_rates.level_milli \
                    RETURNING level_milli, filled_at";

/// By which limits a call is admitted, and who will carry it.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The organisation's.
    pub limits: &'a CallLimits,
    /// Of this gateway.
    pub gateway: &'a GatewayId,
}

/// What came of a call that wants to be admitted.
#[derive(Debug, Clone, PartialEq)]
pub enum Admitted {
    /// It is written down and has a line.
    Created {
        /// Its record.
        call: Box<CallRecord>,
        /// Seconds that the caps of its destination leave for today.
        seconds_left: Option<u64>,
    },
    /// It was announced before, and holds what it got then.
    Existing(Box<CallRecord>),
    /// A limit does not allow it. Nothing was written.
    Refused(Refusal),
}

/// What an organisation uses of its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageReport {
    /// Live calls.
    pub calls: u32,
    /// Live calls over each number that has any.
    pub number_calls: Vec<(NumberId, u32)>,
    /// The organisation's bucket, if anything was ever taken from it.
    pub rate: Option<Bucket>,
    /// What today's calls used of each cap, by prefix: calls, and seconds of those that have ended.
    pub destinations: Vec<(Prefix, u64, u64)>,
}

impl Store {
    /// What the operator has said about an organisation.
    ///
    /// # Errors
    /// The database fails.
    pub async fn organization_limits(&self, organization: &OrganizationId) -> Result<LimitOverrides, StoreError> {
        Ok(self.versioned_limits(organization).await?.0)
    }

    /// The same, with how often it was said; clients change what they have read.
    ///
    /// # Errors
    /// The database fails.
    pub async fn versioned_limits(&self, organization: &OrganizationId) -> Result<(LimitOverrides, u64), StoreError> {
        let query = sqlx::query("SELECT overrides, version FROM organization_limits WHERE organization_id = $1")
            .bind(organization.as_str());
        match optional(query, &self.pool).await? {
            Some(row) => {
                let overrides = parse(&row, "overrides", |text| serde_json::from_str(&text))?;
                Ok((overrides, get::<i64>(&row, "version")?.unsigned_abs()))
            }
            None => Ok((LimitOverrides::default(), NOTHING_SAID)),
        }
    }

    /// Replaces what the operator has said about an organisation. Returns its new version.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when it is not of the version `expected`, if one is.
    pub async fn set_organization_limits(
        &self,
        organization: &OrganizationId,
        overrides: &LimitOverrides,
        expected: Option<u64>,
        now: UnixMs,
    ) -> Result<u64, StoreError> {
        let text = serde_json::to_string(overrides).map_err(|error| corrupt("overrides", error.to_string()))?;
        // Nothing but the organisation's end takes a row away: who has read the version of one finds it.
        let query = sqlx::query(
            "INSERT INTO organization_limits (organization_id, overrides, updated_at, version) VALUES ($1, $2, $3, $5) \
             ON CONFLICT (organization_id) DO UPDATE SET overrides = excluded.overrides, updated_at = excluded.updated_at, \
             version = organization_limits.version + 1 WHERE organization_limits.version = $4 OR $4 = 0 RETURNING version",
        )
        .bind(organization.as_str())
        .bind(text)
        .bind(now)
        .bind(expected.unwrap_or(0).cast_signed())
        .bind((NOTHING_SAID + 1).cast_signed());
        match optional(query, &self.writer).await {
            Ok(Some(row)) => Ok(get::<i64>(&row, "version")?.unsigned_abs()),
            Ok(None) => Err(StoreError::Stale),
            Err(error) if is_foreign_key_violation(&error) => Err(StoreError::NotFound { what: "organization" }),
            Err(error) => Err(error.into()),
        }
    }

    /// Records an inbound call if the limits allow one more, or finds the one that was recorded when the carrier sent this
    /// webhook before.
    ///
    /// # Errors
    /// `NotFound` when the configuration, number or agent was deleted meanwhile.
    pub async fn admit_inbound_call(
        &self,
        new: &NewCall,
        terms: Terms<'_>,
        now: UnixMs,
    ) -> Result<Admitted, StoreError> {
        self.admit(new, Direction::Inbound, terms, now).await
    }

    /// Records an outbound call before it is placed, if the limits allow one more.
    ///
    /// # Errors
    /// `NotFound` when the configuration, number or agent was deleted meanwhile; `Conflict` for a carrier's id in use.
    pub async fn admit_outbound_call(
        &self,
        new: &NewCall,
        terms: Terms<'_>,
        now: UnixMs,
    ) -> Result<Admitted, StoreError> {
        match self.admit(new, Direction::Outbound, terms, now).await? {
            Admitted::Existing(_) => Err(taken()),
            admitted => Ok(admitted),
        }
    }

    async fn admit(
        &self,
        new: &NewCall,
        direction: Direction,
        terms: Terms<'_>,
        now: UnixMs,
    ) -> Result<Admitted, StoreError> {
        let mut tx = self.begin().await?;
        let Some(row) = Self::insert_call(&mut tx, new, direction, Some(terms.gateway), now).await? else {
            tx.rollback().await?;
            return Ok(Admitted::Existing(Box::new(self.repeated_call(new).await?)));
        };
        let destination = (direction == Direction::Outbound).then_some(&new.callee);
        let organization = &new.organization;
        let Terms { limits, gateway } = terms;
        let organization_rate = lock(&mut tx, organization, limits, now).await?;
        let usage = Usage {
            rates: Rates {
                organization: Some(organization_rate),
                number: match &new.number {
                    Some(number) => bucket(&mut tx, organization, "number", number.as_str()).await?,
                    None => None,
                },
                provider: bucket(&mut tx, organization, "provider", &new.provider).await?,
            },
            destinations: spent(&mut tx, organization, limits, destination, now).await?,
            ..live(&mut tx, new, gateway).await?
        };
        let grant = match decide(limits, &usage, now) {
            Ok(grant) => grant,
            Err(refusal) => {
                tx.rollback().await?;
                return Ok(Admitted::Refused(refusal));
            }
        };
        keep_bucket(&mut tx, organization, "", "", grant.rates.organization).await?;
        if let Some(number) = &new.number {
            keep_bucket(&mut tx, organization, "number", number.as_str(), grant.rates.number).await?;
        }
        keep_bucket(&mut tx, organization, "provider", &new.provider, grant.rates.provider).await?;
        let slot = NewSlot {
            id: new.id.as_str(),
            call: &new.id,
            organization,
            number: new.number.as_ref(),
            takes_line: true,
        };
        charge(&mut tx, &slot, gateway, &usage.destinations, now).await?;
        self.tell(tx, &row, &[EventType::CallCreated], now).await?;
        Ok(Admitted::Created {
            call: Box::new(call_of(&row)?),
            seconds_left: grant.seconds_left,
        })
    }

    /// The call that was recorded when the carrier sent this webhook before.
    async fn repeated_call(&self, new: &NewCall) -> Result<CallRecord, StoreError> {
        let known = match &new.provider_call_id {
            Some(id) => self.call_by_provider_id(&new.configuration, id).await?,
            None => None,
        };
        known.ok_or(StoreError::NotFound { what: "call" })
    }

    /// Counts the second leg of a transfer for the caps of its destination, or says which of them is used up. The leg takes
    /// no line: its call has one.
    ///
    /// # Errors
    /// The database fails; then the leg may not be dialled.
    pub async fn admit_transfer(
        &self,
        id: &TransferId,
        call: &CallId,
        organization: &OrganizationId,
        destination: &Address,
        terms: Terms<'_>,
        now: UnixMs,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let Terms { limits, gateway } = terms;
        if limits.destinations.caps_of(destination).is_empty() {
            return Ok(Ok(()));
        }
        let mut tx = self.begin().await?;
        lock(&mut tx, organization, limits, now).await?;
        let spent = spent(&mut tx, organization, limits, Some(destination), now).await?;
        if let Err(refusal) = decide_destination(&spent) {
            tx.rollback().await?;
            return Ok(Err(refusal));
        }
        let slot = NewSlot {
            id: id.as_str(),
            call,
            organization,
            number: None,
            takes_line: false,
        };
        charge(&mut tx, &slot, gateway, &spent, now).await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Gives a slot back, and counts how long its call or leg lasted. Once: whoever comes second finds nothing to do.
    ///
    /// # Errors
    /// The database fails; the slot is then still there.
    pub async fn settle_slot(&self, id: &str, now: UnixMs) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let query = sqlx::query(
            "DELETE FROM call_slots WHERE id = $1 RETURNING call_id, organization_id, takes_line, charged, day, taken_at",
        )
        .bind(id);
        let Some(row) = optional(query, &mut *tx).await? else {
            return Ok(());
        };
        let charged: Vec<String> = parse(&row, "charged", |text| serde_json::from_str(&text))?;
        if !charged.is_empty() {
            let (organization, day): (String, i64) = (get(&row, "organization_id")?, get(&row, "day")?);
            let sql = if get::<i64>(&row, "takes_line")? == 1 {
                "SELECT answered_at, ended_at FROM calls WHERE id = $1"
            } else {
                "SELECT answered_at, ended_at FROM transfers WHERE id = $1"
            };
            let seconds = match optional(sqlx::query(sql).bind(id), &mut *tx).await? {
                // It was never dialled.
                None => 0,
                Some(times) => match (
                    get::<Option<i64>>(&times, "answered_at")?,
                    get::<Option<i64>>(&times, "ended_at")?,
                ) {
                    (Some(answered), Some(ended)) => seconds_between(answered, ended),
                    (None, Some(_)) => 0,
                    // Its record could not be closed: it counts for as long as it can have lasted.
                    (answered, None) => seconds_between(answered.unwrap_or(get(&row, "taken_at")?), now),
                },
            };
            for prefix in charged {
                sqlx::query(
                    "UPDATE destination_use SET seconds = seconds + $4 WHERE organization_id = $1 AND day = $2 AND prefix = $3",
                )
                .bind(&*organization)
                .bind(day)
                .bind(prefix)
                .bind(seconds)
                .execute(&mut *tx)
                .await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Gives the slots back of calls and legs whose record says that they are over: those of a gateway that crashed, once
    /// their records were closed, and those of second legs. Returns how many there were.
    ///
    /// # Errors
    /// The database fails.
    pub async fn settle_ended_slots(&self, now: UnixMs) -> Result<usize, StoreError> {
        let rows = sqlx::query(
            "SELECT s.id AS id FROM call_slots s JOIN calls c ON c.id = s.call_id LEFT JOIN transfers t ON t.id = s.id \
             WHERE c.state = 'completed' OR t.progress = 3",
        )
        .fetch_all(&self.pool)
        .await?;
        for row in &rows {
            self.settle_slot(&get::<String>(row, "id")?, now).await?;
        }
        Ok(rows.len())
    }

    /// Forgets what decides about nothing any more: buckets that are long full again, what was used weeks ago.
    ///
    /// # Errors
    /// The database fails.
    pub async fn purge_admission(&self, now: UnixMs) -> Result<(), StoreError> {
        let statements = [
            ("DELETE FROM call_rates WHERE filled_at < $1", now - KEPT_MS),
            (
                "DELETE FROM destination_use WHERE day < $1",
                day_of(now) - USE_KEPT_DAYS,
            ),
        ];
        for (sql, before) in statements {
            sqlx::query(sql).bind(before).execute(&self.writer).await?;
        }
        Ok(())
    }

    /// What an organisation uses of its limits right now.
    ///
    /// # Errors
    /// The database fails.
    pub async fn usage_report(
        &self,
        organization: &OrganizationId,
        gateway: &GatewayId,
        now: UnixMs,
    ) -> Result<UsageReport, StoreError> {
        let sql = format!(
            "SELECT s.number_id AS number_id, COUNT(*) AS calls {LIVE} GROUP BY s.number_id ORDER BY s.number_id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(organization.as_str())
            .bind(gateway.as_str())
            .fetch_all(&self.pool)
            .await?;
        let (mut calls, mut number_calls) = (0, Vec::new());
        for row in &rows {
            let count = count(get(row, "calls")?);
            calls += count;
            if let Some(number) = get::<Option<String>>(row, "number_id")? {
                let number = NumberId::parse(&number).map_err(|error| corrupt("number_id", error.to_string()))?;
                number_calls.push((number, count));
            }
        }
        let query = sqlx::query(
            "SELECT level_milli, filled_at FROM call_rates WHERE organization_id = $1 AND kind = '' AND rate_key = ''",
        )
        .bind(organization.as_str());
        let rate = match optional(query, &self.pool).await? {
            Some(row) => Some(Bucket {
                level_milli: get(&row, "level_milli")?,
                at: get(&row, "filled_at")?,
            }),
            None => None,
        };
        let rows = sqlx::query(
            "SELECT prefix, calls, seconds FROM destination_use WHERE organization_id = $1 AND day = $2 ORDER BY prefix",
        )
        .bind(organization.as_str())
        .bind(day_of(now))
        .fetch_all(&self.pool)
        .await?;
        let destinations = rows.iter().map(|row| {
            let prefix = parse(row, "prefix", Prefix::try_from)?;
            Ok((prefix, amount(get(row, "calls")?), amount(get(row, "seconds")?)))
        });
        Ok(UsageReport {
            calls,
            number_calls,
            rate,
            destinations: destinations.collect::<Result<_, StoreError>>()?,
        })
    }
}

/// The lines that are taken: those of gateways that nobody takes for dead, and this one's own.
const LIVE: &str = "FROM call_slots s LEFT JOIN gateway_leases g ON g.gateway_id = s.gateway_id \
                    WHERE s.organization_id = $1 AND s.takes_line = 1 AND (s.gateway_id = $2 OR g.gateway_id IS NOT NULL)";

async fn live(tx: &mut Tx, new: &NewCall, gateway: &GatewayId) -> Result<Usage, StoreError> {
    let sql = format!("SELECT COUNT(*) AS calls, COUNT(CASE WHEN s.number_id = $3 THEN 1 END) AS number_calls {LIVE}");
    let query = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(new.organization.as_str())
        .bind(gateway.as_str())
        .bind(new.number.as_ref().map_or("", NumberId::as_str));
    let Some(row) = optional(query, &mut **tx).await? else {
        return Ok(Usage::default());
    };
    let number_calls = count(get(&row, "number_calls")?);
    Ok(Usage {
        calls: count(get(&row, "calls")?),
        number_calls: new.number.as_ref().map(|_| number_calls),
        ..Usage::default()
    })
}

async fn lock(
    tx: &mut Tx,
    organization: &OrganizationId,
    limits: &CallLimits,
    now: UnixMs,
) -> Result<Bucket, StoreError> {
    let full = Bucket::full(limits.calls_per_s, now);
    let query = sqlx::query(LOCK)
        .bind(organization.as_str())
        .bind(full.level_milli)
        .bind(full.at);
    let row = optional(query, &mut **tx)
        .await?
        .ok_or_else(|| corrupt("level_milli", "an upsert returned nothing"))?;
    Ok(Bucket {
        level_milli: get(&row, "level_milli")?,
        at: get(&row, "filled_at")?,
    })
}

async fn bucket(
    tx: &mut Tx,
    organization: &OrganizationId,
    kind: &str,
    key: &str,
) -> Result<Option<Bucket>, StoreError> {
    let query = sqlx::query(
        "SELECT level_milli, filled_at FROM call_rates WHERE organization_id = $1 AND kind = $2 AND rate_key = $3",
    )
    .bind(organization.as_str())
    .bind(kind)
    .bind(key);
    match optional(query, &mut **tx).await? {
        Some(row) => Ok(Some(Bucket {
            level_milli: get(&row, "level_milli")?,
            at: get(&row, "filled_at")?,
        })),
        None => Ok(None),
    }
}

async fn keep_bucket(
    tx: &mut Tx,
    organization: &OrganizationId,
    kind: &str,
    key: &str,
    bucket: Bucket,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO call_rates (organization_id, kind, rate_key, level_milli, filled_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (organization_id, kind, rate_key) DO UPDATE SET level_milli = excluded.level_milli, filled_at = excluded.filled_at",
    )
    .bind(organization.as_str())
    .bind(kind)
    .bind(key)
    .bind(bucket.level_milli)
    .bind(bucket.at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What today used of the caps that a destination counts for.
async fn spent(
    tx: &mut Tx,
    organization: &OrganizationId,
    limits: &CallLimits,
    destination: Option<&Address>,
    now: UnixMs,
) -> Result<Vec<Spent>, StoreError> {
    let Some(destination) = destination else {
        return Ok(Vec::new());
    };
    let mut spent = Vec::new();
    for cap in limits.destinations.caps_of(destination) {
        let query = sqlx::query(
            "SELECT calls, seconds FROM destination_use WHERE organization_id = $1 AND day = $2 AND prefix = $3",
        )
        .bind(organization.as_str())
        .bind(day_of(now))
        .bind(cap.prefix.as_str());
        let (calls, seconds) = match optional(query, &mut **tx).await? {
            Some(row) => (amount(get(&row, "calls")?), amount(get(&row, "seconds")?)),
            None => (0, 0),
        };
        let cap: DestinationCap = cap.clone();
        spent.push(Spent { cap, calls, seconds });
    }
    Ok(spent)
}

struct NewSlot<'a> {
    id: &'a str,
    call: &'a CallId,
    organization: &'a OrganizationId,
    number: Option<&'a NumberId>,
    takes_line: bool,
}

/// Writes a slot, and counts it for the caps.
async fn charge(
    tx: &mut Tx,
    slot: &NewSlot<'_>,
    gateway: &GatewayId,
    spent: &[Spent],
    now: UnixMs,
) -> Result<(), StoreError> {
    let mut prefixes: Vec<&str> = spent.iter().map(|spent| spent.cap.prefix.as_str()).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    let day = day_of(now);
    sqlx::query(
        "INSERT INTO call_slots (id, call_id, organization_id, number_id, gateway_id, takes_line, charged, day, taken_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(slot.id)
    .bind(slot.call.as_str())
    .bind(slot.organization.as_str())
    .bind(slot.number.map(NumberId::as_str))
    .bind(gateway.as_str())
    .bind(i64::from(slot.takes_line))
    .bind(Value::from(prefixes.clone()).to_string())
    .bind(day)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    for prefix in prefixes {
        sqlx::query(
            "INSERT INTO destination_use (organization_id, day, prefix, calls, seconds) VALUES ($1, $2, $3, 1, 0) \
             ON CONFLICT (organization_id, day, prefix) DO UPDATE SET calls = destination_use.calls + 1",
        )
        .bind(slot.organization.as_str())
        .bind(day)
        .bind(prefix)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Whole seconds, rounded up, as carriers count them.
fn seconds_between(from: UnixMs, to: UnixMs) -> i64 {
    to.saturating_sub(from).max(0).div_euclid(1_000) + i64::from(to.saturating_sub(from).rem_euclid(1_000) > 0)
}

fn count(rows: i64) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

fn amount(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use serde_json::json;
    use strowger_call::ProviderCallId;

    use super::super::calls::tests::new_call;
    use super::super::testing::{self, KEY, TestStore};
    use super::super::{CallFinish, Configuration, NewGateway, NewTransfer, TransferState, new_transfer_id};
    use super::*;

    const NOW: UnixMs = 1_795_365_000_000;
    const DAY: UnixMs = 86_400_000;

    fn limits(calls_max: u32) -> CallLimits {
        CallLimits {
            calls_max,
            calls_per_s: 1_000,
            number_calls_per_s: 1_000,
            provider_calls_per_s: 1_000,
            ..CallLimits::default()
        }
    }

    fn capped(prefix: &str, calls_per_day: Option<u64>, minutes_per_day: Option<u64>) -> CallLimits {
        let mut limits = limits(100);
        limits.destinations.caps = vec![DestinationCap {
            prefix: Prefix::parse(prefix).unwrap(),
            calls_per_day,
            minutes_per_day,
        }];
        limits
    }

    async fn setup() -> (TestStore, Configuration, GatewayId) {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let configuration = store.configuration(&acme, "main", Some("A1")).await;
        (store, configuration, GatewayId::generate().unwrap())
    }

    fn outbound(configuration: &Configuration, callee: &str) -> NewCall {
        NewCall {
            callee: Address::parse(callee, None).unwrap(),
            ..new_call(configuration, None)
        }
    }

    async fn announce(store: &Store, id: &GatewayId) {
        let gateway = NewGateway {
            id: id.clone(),
            place: None,
            lease: Duration::from_secs(30),
        };
        store.renew_gateway(&gateway, NOW).await.unwrap();
    }

    async fn open_calls(store: &Store) -> usize {
        let query = sqlx::query("SELECT id FROM calls WHERE state <> 'completed'");
        query.fetch_all(&store.pool).await.unwrap().len()
    }

    /// The code of what came of it.
    fn code(admitted: &Admitted) -> &'static str {
        match admitted {
            Admitted::Created { .. } => "created",
            Admitted::Existing(_) => "existing",
            Admitted::Refused(refusal) => refusal.code(),
        }
    }

    async fn place(
        store: &Store,
        new: &NewCall,
        limits: &CallLimits,
        gateway: &GatewayId,
        now: UnixMs,
    ) -> &'static str {
        let terms = Terms { limits, gateway };
        code(&store.admit_outbound_call(new, terms, now).await.unwrap())
    }

    async fn live_calls(store: &Store, configuration: &Configuration, gateway: &GatewayId, now: UnixMs) -> u32 {
        let report = store.usage_report(&configuration.organization, gateway, now).await;
        report.unwrap().calls
    }

    /// The call took from `answered` to `ended`.
    async fn end(store: &Store, id: &str, answered: Option<UnixMs>, ended: UnixMs) {
        let finish = CallFinish {
            outcome: json!({}),
            answered_at: answered,
            ended_at: ended,
            duration_ms: answered.map_or(0, |at| u64::try_from(ended - at).unwrap()),
        };
        store.finish_call(&CallId::parse(id).unwrap(), &finish).await.unwrap();
        store.settle_slot(id, ended).await.unwrap();
    }

    #[tokio::test]
    async fn of_many_calls_at_once_over_two_gateways_as_many_are_admitted_as_may_be() {
        let (store, configuration, gateway) = setup().await;
        let other = store.again(KEY).await.unwrap();
        let gateways = [gateway, GatewayId::generate().unwrap()];
        for gateway in &gateways {
            announce(&store, gateway).await;
        }
        let mut asking = tokio::task::JoinSet::new();
        for number in 0..20 {
            let (store, gateway) = match number % 2 {
                0 => (store.store.clone(), gateways[0].clone()),
                _ => (other.clone(), gateways[1].clone()),
            };
            let new = new_call(&configuration, Some(&format!("CALL-{number}")));
            asking.spawn(async move {
                let limits = limits(10);
                let terms = Terms {
                    limits: &limits,
                    gateway: &gateway,
                };
                loop {
                    match store.admit_inbound_call(&new, terms, NOW).await {
                        Ok(admitted) => return code(&admitted),
                        Err(StoreError::Locked) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        let came = asking.join_all().await;
        let created = came.iter().filter(|code| **code == "created").count();
        assert_eq!(created, 10, "{came:?}");
        assert!(came.iter().all(|code| ["created", "too_many_calls"].contains(code)));
        assert_eq!(live_calls(&store, &configuration, &gateways[0], NOW).await, 10);
        // Of a call that was refused nothing is left.
        assert_eq!(open_calls(&store).await, 10);
    }

    #[tokio::test]
    async fn a_webhook_that_is_repeated_takes_no_second_line_and_none_is_needed_for_it() {
        let (store, configuration, gateway) = setup().await;
        let limits = limits(1);
        let terms = Terms {
            limits: &limits,
            gateway: &gateway,
        };
        let admit = async |name: &str| {
            let new = new_call(&configuration, Some(name));
            store.admit_inbound_call(&new, terms, NOW).await.unwrap()
        };
        let Admitted::Created { call, .. } = admit("CALL-1").await else {
            panic!("it is the first")
        };
        for _ in 0..3 {
            let Admitted::Existing(known) = admit("CALL-1").await else {
                panic!("it is known")
            };
            assert_eq!(known.id, call.id);
        }
        let Admitted::Refused(refusal) = admit("CALL-2").await else {
            panic!("there is no line")
        };
        assert_eq!(
            (refusal.code(), refusal.limit, refusal.demand),
            ("too_many_calls", 1, 2)
        );
        assert_eq!(live_calls(&store, &configuration, &gateway, NOW).await, 1);
        let name = ProviderCallId::new("CALL-2").unwrap();
        assert_eq!(store.call_by_provider_id(&configuration.id, &name).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_lines_of_a_gateway_that_vanished_are_free_when_it_is_taken_for_dead_and_no_clock_decides_that() {
        let (store, configuration, dead) = setup().await;
        let alive = GatewayId::generate().unwrap();
        let limits = limits(1);
        announce(&store, &dead).await;
        announce(&store, &alive).await;
        let first = outbound(&configuration, "+12025550123");
        assert_eq!(place(&store, &first, &limits, &dead, NOW).await, "created");
        let next = outbound(&configuration, "+12025550124");
        for now in [NOW, NOW - DAY, NOW + DAY, NOW + 400 * DAY] {
            assert_eq!(place(&store, &next, &limits, &alive, now).await, "too_many_calls");
        }
        store.end_gateway(&dead).await.unwrap();
        // One that is only cut off still knows of its own calls.
        assert_eq!(live_calls(&store, &configuration, &dead, NOW).await, 1);
        assert_eq!(place(&store, &next, &limits, &alive, NOW).await, "created");
        // It was only slow: its call counts again, and nobody's is ended for it.
        announce(&store, &dead).await;
        assert_eq!(live_calls(&store, &configuration, &alive, NOW).await, 2);
    }

    #[tokio::test]
    async fn what_a_crash_left_is_given_back_when_its_records_are_closed() {
        let (store, configuration, gateway) = setup().await;
        let limits = capped("+1", None, Some(10));
        let new = outbound(&configuration, "+12025550123");
        assert_eq!(place(&store, &new, &limits, &gateway, NOW).await, "created");
        assert_eq!(store.settle_ended_slots(NOW).await.unwrap(), 0, "it is live");
        let finish = CallFinish {
            outcome: json!({}),
            answered_at: Some(NOW),
            ended_at: NOW + 90_500,
            duration_ms: 90_500,
        };
        store.finish_call(&new.id, &finish).await.unwrap();
        let twice = (
            store.settle_ended_slots(NOW + 91_000).await.unwrap(),
            store.settle_ended_slots(NOW + 91_000).await.unwrap(),
        );
        assert_eq!(twice, (1, 0));
        store.settle_slot(new.id.as_str(), NOW + 91_000).await.unwrap();
        let report = store
            .usage_report(&configuration.organization, &gateway, NOW)
            .await
            .unwrap();
        assert_eq!(report.calls, 0);
        assert_eq!(
            report.destinations,
            [(Prefix::parse("+1").unwrap(), 1, 91)],
            "counted once"
        );
    }

    #[tokio::test]
    async fn a_number_has_lines_and_a_rate_of_its_own() {
        let (store, configuration, gateway) = setup().await;
        let front = store.number(&configuration, "+14155550001", None).await;
        let back = store.number(&configuration, "+14155550002", None).await;
        let over = |number: &crate::store::PhoneNumber| NewCall {
            number: Some(number.id.clone()),
            ..outbound(&configuration, "+12025550123")
        };
        let lines = CallLimits {
            number_calls_max: Some(1),
            ..limits(10)
        };
        assert_eq!(place(&store, &over(&front), &lines, &gateway, NOW).await, "created");
        assert_eq!(
            place(&store, &over(&front), &lines, &gateway, NOW).await,
            "too_many_calls_of_number"
        );
        assert_eq!(place(&store, &over(&back), &lines, &gateway, NOW).await, "created");
        let report = store
            .usage_report(&configuration.organization, &gateway, NOW)
            .await
            .unwrap();
        assert_eq!(report.number_calls, [(front.id.clone(), 1), (back.id.clone(), 1)]);

        let slow = CallLimits {
            number_calls_per_s: 1,
            ..limits(100)
        };
        let later = NOW + 10_000;
        assert_eq!(place(&store, &over(&front), &slow, &gateway, later).await, "created");
        assert_eq!(
            place(&store, &over(&front), &slow, &gateway, later + 999).await,
            "calls_too_fast"
        );
        assert_eq!(
            place(&store, &over(&back), &slow, &gateway, later + 999).await,
            "created"
        );
        assert_eq!(
            place(&store, &over(&front), &slow, &gateway, later + 1_000).await,
            "created"
        );
    }

    #[tokio::test]
    async fn a_rate_holds_over_all_gateways_and_a_call_that_is_refused_takes_nothing_from_it() {
        let (store, configuration, gateway) = setup().await;
        let other = (store.again(KEY).await.unwrap(), GatewayId::generate().unwrap());
        let slow = CallLimits {
            calls_per_s: 2,
            ..limits(100)
        };
        let call = || outbound(&configuration, "+12025550123");
        assert_eq!(place(&store, &call(), &slow, &gateway, NOW).await, "created");
        assert_eq!(place(&other.0, &call(), &slow, &other.1, NOW).await, "created");
        for at in [NOW, NOW + 100, NOW + 499] {
            assert_eq!(place(&store, &call(), &slow, &gateway, at).await, "calls_too_fast");
        }
        assert_eq!(place(&other.0, &call(), &slow, &other.1, NOW + 500).await, "created");
        // Another organisation does not notice.
        let rival = store.organization("Rival").await;
        let theirs = store.configuration(&rival, "main", Some("A2")).await;
        let call = outbound(&theirs, "+12025550123");
        assert_eq!(place(&store, &call, &slow, &gateway, NOW + 500).await, "created");
    }

    #[tokio::test]
    async fn a_cap_of_calls_holds_until_midnight() {
        let (store, configuration, gateway) = setup().await;
        let limits = capped("+44", Some(2), None);
        let midnight = (day_of(NOW) + 1) * DAY;
        let british = || outbound(&configuration, "+442079460000");
        for at in [midnight - 3_000, midnight - 2_000] {
            assert_eq!(place(&store, &british(), &limits, &gateway, at).await, "created");
        }
        let last = midnight - 1;
        assert_eq!(
            place(&store, &british(), &limits, &gateway, last).await,
            "destination_calls_used_up"
        );
        let disguised = outbound(&configuration, "sip:+442079460001@carrier.example");
        assert_eq!(
            place(&store, &disguised, &limits, &gateway, last).await,
            "destination_calls_used_up"
        );
        let american = outbound(&configuration, "+12025550123");
        assert_eq!(place(&store, &american, &limits, &gateway, last).await, "created");
        assert_eq!(place(&store, &british(), &limits, &gateway, midnight).await, "created");
        // What was used weeks ago is forgotten, and today is not.
        store.purge_admission(midnight).await.unwrap();
        let used = async |at| {
            let report = store.usage_report(&configuration.organization, &gateway, at).await;
            report.unwrap().destinations.len()
        };
        assert_eq!((used(last).await, used(midnight).await), (1, 1));
        store
            .purge_admission(midnight + (USE_KEPT_DAYS + 1) * DAY)
            .await
            .unwrap();
        assert_eq!((used(last).await, used(midnight).await), (0, 0));
    }

    #[tokio::test]
    async fn a_cap_of_minutes_bounds_the_next_call_and_then_refuses_it() {
        let (store, configuration, gateway) = setup().await;
        let limits = capped("+44", None, Some(2));
        let terms = Terms {
            limits: &limits,
            gateway: &gateway,
        };
        let admit = async |new: &NewCall, at| {
            let admitted = store.admit_outbound_call(new, terms, at).await.unwrap();
            match admitted {
                Admitted::Created { seconds_left, .. } => Ok(seconds_left),
                Admitted::Refused(refusal) => Err((refusal.code(), refusal.limit, refusal.demand)),
                Admitted::Existing(_) => panic!("it is new"),
            }
        };
        let first = outbound(&configuration, "+442079460000");
        assert_eq!(admit(&first, NOW).await, Ok(Some(120)));
        end(&store, first.id.as_str(), Some(NOW), NOW + 89_001).await;
        let unanswered = outbound(&configuration, "+442079460000");
        assert_eq!(admit(&unanswered, NOW + 90_000).await, Ok(Some(30)));
        end(&store, unanswered.id.as_str(), None, NOW + 120_000).await;
        let second = outbound(&configuration, "+442079460000");
        assert_eq!(admit(&second, NOW + 120_000).await, Ok(Some(30)));
        end(&store, second.id.as_str(), Some(NOW + 120_000), NOW + 150_000).await;
        let third = outbound(&configuration, "+442079460000");
        let refused = Err(("destination_minutes_used_up", 2, 2));
        assert_eq!(admit(&third, NOW + 150_000).await, refused);
        assert_eq!(admit(&third, NOW + DAY).await, Ok(Some(120)));
    }

    #[tokio::test]
    async fn the_second_leg_of_a_transfer_counts_for_its_destination_and_takes_no_line() {
        let (store, configuration, gateway) = setup().await;
        let limits = capped("+44", Some(1), Some(10));
        let call = new_call(&configuration, Some("CALL-1"));
        let terms = Terms {
            limits: &limits,
            gateway: &gateway,
        };
        store.admit_inbound_call(&call, terms, NOW).await.unwrap();
        let destination = Address::parse("+442079460000", None).unwrap();
        let leg = async |destination: &Address| {
            let new = NewTransfer {
                id: new_transfer_id(),
                call: call.id.clone(),
                destination: destination.clone(),
                caller_id: None,
                trunk: None,
                ring_timeout_s: 30,
                announcement: None,
            };
            store.create_transfer(&new, NOW).await.unwrap();
            let organization = &configuration.organization;
            let admitted = store
                .admit_transfer(&new.id, &call.id, organization, destination, terms, NOW)
                .await
                .unwrap();
            admitted.map(|()| new.id)
        };
        let first = leg(&destination).await.unwrap();
        assert_eq!(live_calls(&store, &configuration, &gateway, NOW).await, 1);
        assert_eq!(leg(&destination).await.unwrap_err().code(), "destination_calls_used_up");
        leg(&Address::parse("8000", None).unwrap()).await.unwrap();

        store
            .advance_transfer(&first, TransferState::Answered, None, NOW + 1_000)
            .await
            .unwrap();
        store
            .advance_transfer(&first, TransferState::Over, None, NOW + 62_000)
            .await
            .unwrap();
        assert_eq!(store.settle_ended_slots(NOW + 63_000).await.unwrap(), 1);
        let report = store
            .usage_report(&configuration.organization, &gateway, NOW)
            .await
            .unwrap();
        assert_eq!(report.destinations, [(Prefix::parse("+44").unwrap(), 1, 61)]);
    }

    #[tokio::test]
    async fn what_the_operator_said_of_one_organization_is_kept_and_goes_with_it() {
        let (store, configuration, _) = setup().await;
        let acme = &configuration.organization;
        assert_eq!(
            store.organization_limits(acme).await.unwrap(),
            LimitOverrides::default()
        );
        let said = |calls_max| LimitOverrides {
            calls_max: Some(calls_max),
            ..LimitOverrides::default()
        };
        for (calls_max, read, version) in [(3, Some(1), 2), (4, Some(2), 3), (5, None, 4)] {
            let said = said(calls_max);
            let set = store.set_organization_limits(acme, &said, read, NOW).await;
            assert_eq!(set.unwrap(), version);
            assert_eq!(store.versioned_limits(acme).await.unwrap(), (said, version));
        }
        let stale = store.set_organization_limits(acme, &said(6), Some(1), NOW).await;
        assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
        let nobody = store
            .set_organization_limits(&OrganizationId::generate(), &LimitOverrides::default(), None, NOW)
            .await;
        assert!(
            matches!(nobody, Err(StoreError::NotFound { what: "organization" })),
            "{nobody:?}"
        );
    }

    #[tokio::test]
    async fn a_store_that_fails_admits_nobody() {
        let (store, configuration, gateway) = setup().await;
        let held = store.again(KEY).await.unwrap().hold_for_tests().await;
        let limits = limits(10);
        let terms = Terms {
            limits: &limits,
            gateway: &gateway,
        };
        let new = outbound(&configuration, "+12025550123");
        let failed = store.admit_outbound_call(&new, terms, NOW).await;
        assert!(matches!(failed, Err(StoreError::Locked)), "{failed:?}");
        held.rollback().await.unwrap();
        assert_eq!(live_calls(&store, &configuration, &gateway, NOW).await, 0);
    }

    /// A generator of small numbers that is the same on every machine.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }
    }

    /// Whatever happens in whatever order (calls, repetitions, ends that are told twice, gateways that crash, stall, come back
    /// and stop), the lines that are taken are those of the calls that live.
    #[tokio::test]
    async fn lines_are_those_of_live_calls_whatever_happens() {
        for seed in 1..=4 {
            let (store, configuration, _) = setup().await;
            let limits = limits(4);
            let mut dice = Dice(seed);
            let mut now = NOW;
            // Gateways and whether they are taken to live, and calls with who carries them.
            let mut gateways: Vec<(GatewayId, bool)> = Vec::new();
            let mut calls: HashMap<String, usize> = HashMap::new();
            for step in 0..120 {
                now += i64::try_from(dice.below(4_000)).unwrap();
                if gateways.is_empty() || dice.below(20) == 0 {
                    let gateway = GatewayId::generate().unwrap();
                    announce(&store, &gateway).await;
                    gateways.push((gateway, true));
                }
                let at = usize::try_from(dice.below(gateways.len() as u64)).unwrap();
                let live = calls.values().filter(|&&on| on == at || gateways[on].1).count();
                match dice.below(7) {
                    0..=2 => {
                        let name = format!("CALL-{step}");
                        let new = new_call(&configuration, Some(&name));
                        let terms = Terms {
                            limits: &limits,
                            gateway: &gateways[at].0,
                        };
                        let admitted = store.admit_inbound_call(&new, terms, now).await.unwrap();
                        let expected = if live < 4 { "created" } else { "too_many_calls" };
                        assert_eq!(code(&admitted), expected, "seed {seed}, step {step}");
                        if live < 4 {
                            calls.insert(new.id.as_str().to_owned(), at);
                            let repeated = store.admit_inbound_call(&new, terms, now).await.unwrap();
                            assert_eq!(code(&repeated), "existing");
                        }
                    }
                    3 => {
                        if let Some(id) = calls.keys().min().cloned() {
                            calls.remove(&id);
                            end(&store, &id, Some(now), now).await;
                            // Told again, by a callback that came late.
                            store.settle_slot(&id, now).await.unwrap();
                        }
                    }
                    4 => {
                        announce(&store, &gateways[at].0).await;
                        gateways[at].1 = true;
                    }
                    5 => {
                        store.end_gateway(&gateways[at].0).await.unwrap();
                        gateways[at].1 = false;
                    }
                    _ => drop(store.settle_ended_slots(now).await.unwrap()),
                }
                let live = calls.values().filter(|&&on| on == at || gateways[on].1).count();
                let counted = live_calls(&store, &configuration, &gateways[at].0, now).await;
                assert_eq!(counted as usize, live, "seed {seed}, step {step}");
            }
        }
    }
}
