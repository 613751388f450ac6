//! What each organisation's providers may use together: one meter for each, for as long as the gateway runs, and a bound on
//! what they keep.
//!
//! The operator's own providers count for the organisation on whose behalf they act. What is done before anybody knows whose
//! a webhook is (recognising it) counts for nobody, and is therefore only asked of providers that the operator has chosen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strowger_host::{Meter, MeterLimits};
use thiserror::Error;

use crate::store::{OrganizationId, StateUsage, Store, StoreError};

/// What an organisation may use. `docs/limits.md` has the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Of its guests.
    pub meter: MeterLimits,
    /// Its guests that run off the media path at the same time. Fewer than run at all, so that others have a turn.
    pub guests_at_once: usize,
    /// What they keep.
    pub kept: StateUsage,
}

impl Default for BudgetLimits {
    fn default() -> Self {
        Self {
            meter: MeterLimits::default(),
            guests_at_once: 2,
            kept: StateUsage {
                keys: 200_000,
                bytes: 32 * 1024 * 1024,
            },
        }
    }
}

/// An organisation's providers keep as much as they may.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "this organisation's providers keep as much as they may: {demand} {what}, and the limit is {limit}. What they keep expires by \
     itself, after a day at most"
)]
pub struct KeepsTooMuch {
    /// `keys` or `bytes`.
    pub what: &'static str,
    /// The bound.
    pub limit: u64,
    /// What there would be.
    pub demand: u64,
}

/// Why nothing more may be kept.
#[derive(Debug, Error)]
pub enum KeepError {
    /// There is too much already.
    #[error(transparent)]
    TooMuch(#[from] KeepsTooMuch),
    /// It cannot be told.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long an organisation that keeps too much is refused without counting again: counting is what a flood must not cost.
const RECOUNT_AFTER: Duration = Duration::from_secs(1);

/// The budgets of all organisations. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Budgets {
    limits: BudgetLimits,
    organizations: Arc<Mutex<HashMap<OrganizationId, Budget>>>,
}

#[derive(Debug)]
struct Budget {
    meter: Arc<Meter>,
    guests: Arc<tokio::sync::Semaphore>,
    /// At least what it keeps: counted once, and everything that was added since.
    kept: Option<StateUsage>,
    /// Nothing is counted again before.
    recount_at: Option<Instant>,
}

impl Budgets {
    /// Every organisation gets these.
    #[must_use]
    pub fn new(limits: BudgetLimits) -> Self {
        Self {
            limits,
            organizations: Arc::default(),
        }
    }

    fn of<T>(&self, organization: &OrganizationId, look: impl FnOnce(&mut Budget) -> T) -> T {
        let mut organizations = self.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = organizations.entry(organization.clone()).or_insert_with(|| Budget {
            meter: Arc::new(Meter::new(self.limits.meter)),
            guests: Arc::new(tokio::sync::Semaphore::new(self.limits.guests_at_once)),
            kept: None,
            recount_at: None,
        });
        look(budget)
    }

    /// What its guests are charged to.
    #[must_use]
    pub fn meter(&self, organization: &OrganizationId) -> Arc<Meter> {
        self.of(organization, |budget| budget.meter.clone())
    }

    /// The turns of its guests off the media path.
    #[must_use]
    pub fn guests(&self, organization: &OrganizationId) -> Arc<tokio::sync::Semaphore> {
        self.of(organization, |budget| budget.guests.clone())
    }

    /// Whether one more key with this many bytes may be kept. What replaces a value counts as one more until it is counted
    /// again, which happens before anything is refused.
    ///
    /// # Errors
    /// When it may not, or nobody can tell.
    pub async fn keep(
        &self,
        store: &Store,
        organization: &OrganizationId,
        bytes: usize,
        now: crate::store::UnixMs,
    ) -> Result<(), KeepError> {
        let bytes = bytes as u64;
        if let Some(kept) = self.of(organization, |budget| self.add(budget, bytes)) {
            return Ok(kept?);
        }
        let counted = store.state_usage(organization, now).await?;
        self.of(organization, |budget| {
            budget.kept = Some(counted);
            budget.recount_at = Some(Instant::now() + RECOUNT_AFTER);
            Ok(self.add(budget, bytes).unwrap_or(Ok(()))?)
        })
    }

    /// Nothing when it must be counted first.
    fn add(&self, budget: &mut Budget, bytes: u64) -> Option<Result<(), KeepsTooMuch>> {
        let kept = budget.kept?;
        let (keys, bytes) = (kept.keys + 1, kept.bytes + bytes);
        let bounds = [
            ("keys", self.limits.kept.keys, keys),
            ("bytes", self.limits.kept.bytes, bytes),
        ];
        let broken = bounds.into_iter().find(|(_, limit, demand)| demand > limit);
        let Some((what, limit, demand)) = broken else {
            budget.kept = Some(StateUsage { keys, bytes });
            return Some(Ok(()));
        };
        let counted_lately = budget.recount_at.is_some_and(|at| Instant::now() < at);
        if !counted_lately {
            budget.kept = None;
            return None;
        }
        tracing::warn!(
            what,
            limit,
            demand,
            "an organisation's providers keep as much as they may"
        );
        Some(Err(KeepsTooMuch { what, limit, demand }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{Scope, testing};

    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test]
    async fn an_organisation_keeps_so_much_and_another_does_not_notice() {
        let store = testing::open().await;
        let budgets = Budgets::new(BudgetLimits {
            kept: StateUsage { keys: 3, bytes: 1_000 },
            ..BudgetLimits::default()
        });
        let acme = store.organization("Acme").await;
        let other = store.organization("Other").await;
        let scope = Scope {
            organization: acme.clone(),
            configuration: store.configuration(&acme, "main", None).await.id,
            provider: "testphone".to_owned(),
        };
        let keep = |bytes| budgets.keep(&store, &acme, bytes, 1);
        // What is replaced again and again is one key, as soon as that matters.
        for at in 1..20 {
            keep(20).await.unwrap();
            store.save_state(&scope, "cursor", &json!(at), DAY, 1).await.unwrap();
            budgets.of(&acme, |budget| budget.recount_at = None);
        }
        for key in ["two", "three"] {
            keep(20).await.unwrap();
            store.save_state(&scope, key, &json!(key), DAY, 1).await.unwrap();
        }
        let refused = keep(20).await.unwrap_err();
        assert!(refused.to_string().contains("4 keys, and the limit is 3"), "{refused}");
        budgets.keep(&store, &other, 20, 1).await.unwrap();
        let refused = budgets.keep(&store, &other, 2_000, 1).await.unwrap_err();
        assert!(refused.to_string().contains("bytes"), "{refused}");
        // What has expired counts no more.
        budgets.of(&acme, |budget| budget.recount_at = None);
        budgets.keep(&store, &acme, 20, 100_000_000).await.unwrap();
    }

    #[test]
    fn each_organisation_has_a_meter_of_its_own() {
        let budgets = Budgets::new(BudgetLimits::default());
        let (one, other) = (OrganizationId::generate(), OrganizationId::generate());
        assert!(Arc::ptr_eq(&budgets.meter(&one), &budgets.meter(&one)));
        assert!(!Arc::ptr_eq(&budgets.meter(&one), &budgets.meter(&other)));
    }
}
