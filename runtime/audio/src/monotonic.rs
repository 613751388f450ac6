//! Host time as a parameter: one newtype, so that it is never mistaken for a sample count or a carrier's timestamp.

use std::ops::Add;
use std::time::Duration;

/// A point in host time: microseconds from an arbitrary origin that the driver chooses once per process or per call.
/// Points of different origins must not be mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The point `micros` microseconds after the origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time since `earlier`, or zero when `earlier` is in fact later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The point `duration` earlier, or the origin when that would lie before it.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    /// The point `duration` later; saturates at the end of representable time (half a million years).
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let t = Monotonic::from_micros(1_000);
        assert_eq!((t + Duration::from_millis(1)).as_micros(), 2_000);
        assert_eq!(t.saturating_since(t + Duration::from_millis(1)), Duration::ZERO);
        assert_eq!(
            (t + Duration::from_millis(1)).saturating_since(t),
            Duration::from_millis(1)
        );
        assert_eq!(t.saturating_sub(Duration::from_secs(1)), Monotonic::default());
        assert_eq!(t + Duration::MAX, Monotonic::from_micros(u64::MAX));
    }
}
