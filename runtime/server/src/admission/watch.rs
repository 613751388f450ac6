//! Which of the other gateways are dead: those whose row has not changed for as long as their lease, while this one has looked
//! all the time.
//!
//! Only this process's own monotonic clock is asked. So nobody is taken for dead because a clock was set, or because two machines
//! disagree about the time; nor because the database was away, or this process was suspended, for then nobody could be seen
//! to live.

use std::collections::HashMap;
use std::time::Duration;

use super::GatewayId;
use crate::store::GatewayRow;

/// What one gateway has seen of the others. Times are host time.
#[derive(Debug, Default)]
pub struct Watch {
    /// The stamp of each, and since when it has not changed.
    seen: HashMap<GatewayId, (i64, Duration)>,
    last: Option<Duration>,
}

impl Watch {
    /// Looks at the rows of the others at `now`, and returns those of the dead. After a pause of more than `patience` everybody
    /// is watched from the beginning.
    pub fn look(&mut self, others: Vec<GatewayRow>, patience: Duration, now: Duration) -> Vec<GatewayRow> {
        if self.last.is_some_and(|last| now.saturating_sub(last) > patience) {
            self.seen.clear();
        }
        self.last = Some(now);
        self.seen.retain(|id, _| others.iter().any(|other| other.id == *id));
        let mut dead = Vec::new();
        for other in others {
            let (stamp, since) = self.seen.entry(other.id.clone()).or_insert((other.stamp, now));
            if *stamp != other.stamp {
                (*stamp, *since) = (other.stamp, now);
            } else if now.saturating_sub(*since) >= other.lease {
                dead.push(other);
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);
    const PATIENCE: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    struct Others(Vec<GatewayRow>, Watch);

    impl Others {
        fn new(count: usize) -> Self {
            let row = |_| GatewayRow {
                id: GatewayId::generate().unwrap(),
                stamp: 0,
                lease: LEASE,
            };
            Self((0..count).map(row).collect(), Watch::default())
        }

        fn look(&mut self, seconds: u64) -> usize {
            self.1.look(self.0.clone(), PATIENCE, at(seconds)).len()
        }
    }

    #[test]
    fn one_that_does_not_renew_is_dead_after_its_lease() {
        let mut others = Others::new(2);
        for seconds in (0..30).step_by(10) {
            others.0[1].stamp += 1;
            assert_eq!(others.look(seconds), 0, "{seconds}");
        }
        others.0[1].stamp += 1;
        assert_eq!(others.1.look(others.0.clone(), PATIENCE, at(30)), [others.0[0].clone()]);
    }

    #[test]
    fn whatever_the_stamp_is_a_change_is_a_sign_of_life() {
        let mut others = Others::new(1);
        for (seconds, stamp) in [(0, 1_000), (10, -86_400_000), (20, i64::MAX), (30, 7), (40, 6), (50, 5)] {
            others.0[0].stamp = stamp;
            assert_eq!(others.look(seconds), 0, "{seconds}");
        }
    }

    #[test]
    fn nobody_died_while_nobody_could_be_seen() {
        let mut others = Others::new(3);
        assert_eq!(others.look(0), 0);
        assert_eq!(others.look(10), 0);
        // The database was away for an hour, or this process was suspended.
        assert_eq!(others.look(3_600), 0);
        assert_eq!(others.look(3_620), 0);
        assert_eq!(others.look(3_630), 3);
    }

    #[test]
    fn one_whose_row_is_gone_is_forgotten() {
        let mut others = Others::new(1);
        assert_eq!(others.look(0), 0);
        let row = others.0.remove(0);
        assert_eq!(others.look(10), 0);
        others.0.push(row);
        assert_eq!(others.look(20), 0);
        assert_eq!(others.look(40), 0);
        assert_eq!(others.look(50), 1);
    }
}
