//! What a tenant's guests may use together, beyond the bounds of each invocation.
//!
//! A component that stays just below its limits in every invocation is never at fault, and can still take a whole core. A
//! [`Meter`] bounds the sum: token buckets for processor time, invocations and effects, and a gauge for live instances. All
//! of it is a few atomic numbers, so asking costs the media path nothing that another call could hold.
//!
//! Processor time is counted by sampling: each tick of the epoch that finds a guest running charges one tick. That is right
//! on average, however the guest cuts its work, and costs nothing while no tick falls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;

/// What one tenant may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterLimits {
    /// Processor time in each second, over the long run.
    pub cpu_ms_per_s: u32,
    /// Processor time that may be used at once after a rest.
    pub cpu_ms_burst: u32,
    /// Invocations off the media path in each second, over the long run.
    pub invocations_per_s: u32,
    /// Invocations at once after a rest.
    pub invocations_burst: u32,
    /// Effects (requests to carriers, kept values) in each second, over the long run.
    pub effects_per_s: u32,
    /// Effects at once after a rest.
    pub effects_burst: u32,
    /// Instances that live at the same time: one for each call's media, and those of control for milliseconds.
    pub instances_max: u32,
}

impl Default for MeterLimits {
    fn default() -> Self {
        Self {
            cpu_ms_per_s: 500,
            cpu_ms_burst: 10_000,
            invocations_per_s: 200,
            invocations_burst: 2_000,
            effects_per_s: 50,
            effects_burst: 500,
            instances_max: 1_000,
        }
    }
}

/// What a budget is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// In milliseconds for each second.
    ProcessorTime,
    /// For each second.
    Invocations,
    /// For each second.
    Effects,
    /// At the same time.
    Instances,
}

impl Resource {
    /// A stable name for logs and clients.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ProcessorTime => "processor-time",
            Self::Invocations => "invocations",
            Self::Effects => "effects",
            Self::Instances => "instances",
        }
    }
}

/// A tenant's guests have used up what they may use together. Nobody else notices.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this organisation's providers have used up their {}: the limit is {limit}; try again in {retry_after_ms} ms", .resource.name())]
pub struct OverBudget {
    /// Which budget.
    pub resource: Resource,
    /// Its limit, in the resource's unit.
    pub limit: u32,
    /// When there will be room again, as far as that is known.
    pub retry_after_ms: u64,
}

/// A token bucket in one number: the moment at which it will be full again (the generic cell rate algorithm).
#[derive(Debug)]
struct Bucket {
    /// Nanoseconds since the meter was made.
    full_at_ns: AtomicU64,
    /// What one unit takes to come back.
    unit_ns: u64,
    burst_ns: u64,
}

impl Bucket {
    fn new(per_s: u32, burst: u32) -> Self {
        let unit_ns = 1_000_000_000 / u64::from(per_s.max(1));
        Self {
            full_at_ns: AtomicU64::new(0),
            unit_ns,
            burst_ns: unit_ns.saturating_mul(u64::from(burst.max(1))),
        }
    }

    /// How long until a unit may be taken; none when it may be now.
    fn wait_ns(&self, now_ns: u64, units: u64) -> Option<u64> {
        let full_at = self.full_at_ns.load(Ordering::Relaxed).max(now_ns);
        let after = full_at.saturating_add(self.unit_ns.saturating_mul(units));
        (after - now_ns).checked_sub(self.burst_ns).filter(|&wait| wait > 0)
    }

    /// Takes units, whether they are there or not.
    fn charge(&self, now_ns: u64, units: u64) {
        let cost = self.unit_ns.saturating_mul(units);
        self.full_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                Some(full_at.max(now_ns).saturating_add(cost))
            })
            .expect("the function always has a value");
    }

    /// Takes units if they are there.
    fn take(&self, now_ns: u64, units: u64) -> Result<(), u64> {
        let cost = self.unit_ns.saturating_mul(units);
        let mut wait = 0;
        let taken = self
            .full_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                let after = full_at.max(now_ns).saturating_add(cost);
                wait = (after - now_ns).saturating_sub(self.burst_ns);
                (wait == 0).then_some(after)
            });
        taken.map(drop).map_err(|_| wait)
    }
}

/// The budgets of one tenant. Shared by all of its providers and calls.
#[derive(Debug)]
pub struct Meter {
    limits: MeterLimits,
    began: Instant,
    cpu: Bucket,
    invocations: Bucket,
    effects: Bucket,
    instances: AtomicU32,
}

impl Meter {
    /// A meter that nothing has been taken from.
    #[must_use]
    pub fn new(limits: MeterLimits) -> Self {
        Self {
            limits,
            began: Instant::now(),
            cpu: Bucket::new(limits.cpu_ms_per_s, limits.cpu_ms_burst),
            invocations: Bucket::new(limits.invocations_per_s, limits.invocations_burst),
            effects: Bucket::new(limits.effects_per_s, limits.effects_burst),
            instances: AtomicU32::new(0),
        }
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &MeterLimits {
        &self.limits
    }

    /// Instances that live now.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.instances.load(Ordering::Relaxed)
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether processor time is left.
    pub(crate) fn check_cpu(&self) -> Result<(), OverBudget> {
        match self.cpu.wait_ns(self.now_ns(), 0) {
            None => Ok(()),
            Some(wait_ns) => Err(refused(Resource::ProcessorTime, self.limits.cpu_ms_per_s, wait_ns)),
        }
    }

    pub(crate) fn charge_cpu(&self, used: Duration) {
        self.cpu
            .charge(self.now_ns(), u64::try_from(used.as_millis()).unwrap_or(u64::MAX));
    }

    /// One more invocation off the media path, if it may be.
    pub(crate) fn take_invocation(&self) -> Result<(), OverBudget> {
        self.check_cpu()?;
        self.invocations
            .take(self.now_ns(), 1)
            .map_err(|wait_ns| refused(Resource::Invocations, self.limits.invocations_per_s, wait_ns))
    }

    pub(crate) fn take_effect(&self) -> Result<(), OverBudget> {
        self.effects
            .take(self.now_ns(), 1)
            .map_err(|wait_ns| refused(Resource::Effects, self.limits.effects_per_s, wait_ns))
    }

    /// Counts an instance for as long as the guard lives.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<LiveInstance, OverBudget> {
        let max = self.limits.instances_max;
        let entered = self
            .instances
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |live| {
                (live < max).then_some(live + 1)
            });
        match entered {
            Ok(_) => Ok(LiveInstance(self.clone())),
            Err(_) => Err(refused(Resource::Instances, max, 0)),
        }
    }
}

fn refused(resource: Resource, limit: u32, wait_ns: u64) -> OverBudget {
    let refusal = OverBudget {
        resource,
        limit,
        retry_after_ms: wait_ns.div_ceil(1_000_000),
    };
    tracing::warn!(
        resource = resource.name(),
        limit,
        retry_after_ms = refusal.retry_after_ms,
        "a tenant's budget is used up"
    );
    refusal
}

/// An instance that counts.
#[derive(Debug)]
pub(crate) struct LiveInstance(Arc<Meter>);

impl Drop for LiveInstance {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MeterLimits = MeterLimits {
        cpu_ms_per_s: 100,
        cpu_ms_burst: 50,
        invocations_per_s: 10,
        invocations_burst: 3,
        effects_per_s: 10,
        effects_burst: 2,
        instances_max: 2,
    };

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let bucket = Bucket::new(10, 3);
        assert_eq!([(); 4].map(|()| bucket.take(0, 1).is_ok()), [true, true, true, false]);
        assert_eq!(
            bucket.take(0, 1),
            Err(100_000_000),
            "a tenth of a second until the next"
        );
        assert!(bucket.take(100_000_000, 1).is_ok());
        assert!(bucket.take(100_000_000, 1).is_err());
        let rested = 10_000_000_000;
        assert_eq!(
            [(); 4].map(|()| bucket.take(rested, 1).is_ok()),
            [true, true, true, false]
        );
    }

    #[test]
    fn what_was_used_beyond_the_burst_is_waited_for() {
        let bucket = Bucket::new(100, 50);
        bucket.charge(0, 50);
        assert_eq!(bucket.wait_ns(0, 0), None);
        bucket.charge(0, 20);
        assert_eq!(bucket.wait_ns(0, 0), Some(200_000_000));
        assert_eq!(bucket.wait_ns(200_000_000, 0), None);
    }

    #[test]
    fn each_budget_refuses_by_its_own_name() {
        let meter = Arc::new(Meter::new(LIMITS));
        let resource = |result: Result<(), OverBudget>| result.unwrap_err().resource;
        let exhausted = |take: &dyn Fn() -> Result<(), OverBudget>| resource((0..100).try_for_each(|_| take()));
        assert_eq!(exhausted(&|| meter.take_invocation()), Resource::Invocations);
        assert_eq!(exhausted(&|| meter.take_effect()), Resource::Effects);
        let live = [meter.enter().unwrap(), meter.enter().unwrap()];
        assert_eq!(resource(meter.enter().map(drop)), Resource::Instances);
        drop(live);
        assert_eq!(meter.instances(), 0);
        meter.charge_cpu(Duration::from_secs(60));
        let refused = meter.check_cpu().unwrap_err();
        assert_eq!(refused.resource, Resource::ProcessorTime);
        assert!(
            refused.to_string().contains("processor-time: the limit is 100"),
            "{refused}"
        );
    }
}
