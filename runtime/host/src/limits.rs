//! What one invocation may use, and how that is enforced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, UpdateDeadline};

use crate::inert::{HasInert, Inert};
use crate::meter::Meter;

/// How often a running guest's clock is read. A deadline is met within this plus what the machine's scheduler costs.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// What a component needs before it has done anything, which follows from how it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Compiled code: one or two core instances and a memory of a few pages. Its instances come from a pool.
    Compact,
    /// An interpreter with its program: many core instances, tens of megabytes, a slow start.
    Interpreted,
}

/// The bounds of one class of invocations. Every number has its reason; `docs/limits.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processor time of one call into the guest. Honest control calls take well under a millisecond, in an interpreted
    /// language some tens of them.
    pub cpu_ms_max: u64,
    /// Wall time of one call: a backstop far beyond what a stalled machine costs an honest guest.
    pub wall_ms_max: u64,
    /// Linear memory, over all memories of the instance. It also bounds the time of one bulk operation, which no deadline
    /// can interrupt.
    pub memory_bytes_max: usize,
    /// Elements of all tables together.
    pub table_elements_max: usize,
    /// Bytes that the host copies out of the guest in one call, records and strings included.
    pub output_bytes_max: usize,
    /// Effects of one operation.
    pub rounds_max: usize,
}

impl Limits {
    /// Webhooks, calling, numbers: not on the media path.
    pub const CONTROL: Self = Self {
        cpu_ms_max: 100,
        wall_ms_max: 10_000,
        memory_bytes_max: 16 * 1024 * 1024,
        table_elements_max: 20_000,
        output_bytes_max: 1024 * 1024,
        rounds_max: 16,
    };
    /// One message or frame of the media path: a frame lasts 20 ms, and other calls wait behind this one.
    pub const MEDIA: Self = Self {
        cpu_ms_max: 10,
        memory_bytes_max: 4 * 1024 * 1024,
        output_bytes_max: 256 * 1024,
        ..Self::CONTROL
    };
    /// Reading the spec and the rejections while a component is loaded; interpreters start slowly.
    pub const LOAD: Self = Self {
        cpu_ms_max: 2_000,
        ..Self::CONTROL
    };

    /// Off the media path.
    #[must_use]
    pub const fn control(class: Class) -> Self {
        Self::CONTROL.of(class)
    }

    /// On the media path.
    #[must_use]
    pub const fn media(class: Class) -> Self {
        Self::MEDIA.of(class)
    }

    /// While a component is loaded.
    #[must_use]
    pub const fn load(class: Class) -> Self {
        Self::LOAD.of(class)
    }

    /// An interpreter's heap is there before its program has done anything. Its time is bounded as everybody's.
    const fn of(self, class: Class) -> Self {
        match class {
            Class::Compact => self,
            Class::Interpreted => Self {
                memory_bytes_max: 128 * 1024 * 1024,
                table_elements_max: 200_000,
                ..self
            },
        }
    }
}

/// What a store carries.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) inert: Inert,
    pub(crate) limits: Limits,
    /// Of all its linear memories.
    pub(crate) memory_bytes: usize,
    table_elements: usize,
    /// The size of a growth that was refused.
    pub(crate) refused_bytes: Option<usize>,
    pub(crate) past_deadline: bool,
    /// Ticks that found the guest running, ever: a sample of its processor time.
    pub(crate) ticks: u64,
    /// The tenant's, which each tick that finds the guest running is charged to.
    pub(crate) meter: Option<Arc<Meter>>,
    /// Set at the first tick of an invocation: reading the thread's clock costs a system call that most invocations, done
    /// within one tick, need not make. The budget is thereby too generous by at most one tick.
    started: Option<(Duration, Instant)>,
}

impl State {
    pub(crate) fn new(inert: Inert, limits: Limits) -> Self {
        Self {
            inert,
            limits,
            memory_bytes: 0,
            table_elements: 0,
            refused_bytes: None,
            past_deadline: false,
            ticks: 0,
            meter: None,
            started: None,
        }
    }

    /// Begins the budget of one call into the guest.
    pub(crate) fn restart(&mut self) {
        self.started = None;
        self.past_deadline = false;
        self.refused_bytes = None;
    }

    /// Called on every tick of the epoch while the guest runs.
    pub(crate) fn tick(&mut self) -> UpdateDeadline {
        self.ticks += 1;
        if let Some(meter) = &self.meter {
            meter.charge_cpu(TICK);
        }
        let cpu = thread_cpu_time();
        match self.started {
            None => {
                self.started = Some((cpu, Instant::now()));
                UpdateDeadline::Continue(1)
            }
            Some((cpu_start, wall_start)) => {
                let cpu_used = cpu.saturating_sub(cpu_start);
                if cpu_used >= Duration::from_millis(self.limits.cpu_ms_max)
                    || wall_start.elapsed() >= Duration::from_millis(self.limits.wall_ms_max)
                {
                    self.past_deadline = true;
                    UpdateDeadline::Interrupt
                } else {
                    UpdateDeadline::Continue(1)
                }
            }
        }
    }
}

impl HasInert for State {
    fn inert(&mut self) -> &mut Inert {
        &mut self.inert
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        let granted = total <= self.limits.memory_bytes_max;
        if granted {
            self.memory_bytes = total;
        } else {
            self.refused_bytes = Some(total);
            tracing::warn!(
                demand_bytes = total,
                limit_bytes = self.limits.memory_bytes_max,
                "guest memory growth refused"
            );
        }
        Ok(granted)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        let granted = total <= self.limits.table_elements_max;
        if granted {
            self.table_elements = total;
        } else {
            tracing::warn!(
                demand = total,
                limit = self.limits.table_elements_max,
                "guest table growth refused"
            );
        }
        Ok(granted)
    }
}

pub(crate) fn thread_cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}
