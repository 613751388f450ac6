//! When a delivery that failed is attempted again. Pure: the moment and the chance are parameters.

use std::time::Duration;

/// The pauses between attempts, as the Standard Webhooks specification recommends them: from seconds to a day, and three days
/// from the first attempt to the last.
const PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// By which share of itself a pause may be longer, so that those who failed together do not come back together.
const JITTER_SHARE: f64 = 0.2;

/// How long to wait after this many failed attempts; `None` when it was the last one. `chance` is from 0 to 1.
pub(crate) fn pause_after(attempts: u32, chance: f64) -> Option<Duration> {
    let pause = PAUSES.get(usize::try_from(attempts.checked_sub(1)?).ok()?)?;
    Some(pause.mul_f64(1.0 + JITTER_SHARE * chance.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_five_seconds_to_a_day_and_end_after_three_days() {
        let pauses: Vec<Duration> = (1..).map_while(|attempts| pause_after(attempts, 0.0)).collect();
        assert_eq!(pauses.len(), 9);
        assert_eq!(pauses[0], Duration::from_secs(5));
        assert!(pauses.is_sorted());
        let total: Duration = pauses.iter().sum();
        assert!(total > Duration::from_secs(3 * 24 * 3600), "{total:?}");
        assert!(total < Duration::from_secs(4 * 24 * 3600), "{total:?}");
        assert_eq!(pause_after(0, 0.0), None);
        assert_eq!(pause_after(10, 0.0), None);
        assert_eq!(pause_after(u32::MAX, 1.0), None);
    }

    #[test]
    fn chance_makes_a_pause_up_to_a_fifth_longer_and_never_shorter() {
        for attempts in 1..=9 {
            let plain = pause_after(attempts, 0.0).unwrap();
            assert_eq!(pause_after(attempts, 1.0).unwrap(), plain.mul_f64(1.2));
            assert_eq!(pause_after(attempts, -3.0).unwrap(), plain);
            assert_eq!(pause_after(attempts, 7.0).unwrap(), plain.mul_f64(1.2));
        }
    }
}
