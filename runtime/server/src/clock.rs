//! The clocks of the server, as a value: wall-clock time for records and webhooks, host time for calls.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Tells the time. Cloning shares the origin of host time.
#[derive(Clone)]
pub struct Clock {
    origin: Instant,
    wall: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self::with_wall(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    }

    /// Wall-clock time from elsewhere, for tests. Host time is tokio's, which a test may pause.
    pub fn with_wall(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self {
            origin: Instant::now(),
            wall: Arc::new(wall),
        }
    }

    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        (self.wall)()
    }

    /// The same for the host crate, which counts from 1970 on.
    #[must_use]
    pub fn unix_ms_unsigned(&self) -> u64 {
        u64::try_from(self.unix_ms()).unwrap_or(0)
    }

    /// Microseconds of host time since this clock was made.
    #[must_use]
    pub fn host_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant of a point in host time.
    #[must_use]
    pub fn instant(&self, host_us: u64) -> Instant {
        self.origin + std::time::Duration::from_micros(host_us)
    }
}
