//! The one clock of all reports: time since shortly before this process first looked at it.
//!
//! Carriers and agents of one process stamp what they see with it, so that a one-way latency is a subtraction. It is
//! tokio's clock, and therefore follows a test that pauses time.

use std::{sync::OnceLock, time::Duration};

use tokio::time::Instant;

static FIRST_LOOK: OnceLock<Instant> = OnceLock::new();

/// What the clock shows at the first look. Not zero, so that a report can look back a little and zero can mean "never".
const FIRST: Duration = Duration::from_secs(1);

/// Time on the clock of this process's reports.
#[must_use]
pub fn now() -> Duration {
    FIRST + Instant::now().saturating_duration_since(*FIRST_LOOK.get_or_init(Instant::now))
}

/// The instant at which [`now`] showed, or will show, `at`.
#[must_use]
pub fn instant(at: Duration) -> Instant {
    *FIRST_LOOK.get_or_init(Instant::now) + at.saturating_sub(FIRST)
}
