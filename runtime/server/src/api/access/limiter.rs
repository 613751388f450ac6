//! How often somebody may fail to sign in: a token bucket for each source and for each key that is tried. Who succeeds gets
//! the token back, so that only failures count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::store::UnixMs;

/// Failures at once from one address.
const ADDRESS_BURST: u32 = 10;
/// How long until one of them is forgiven, in milliseconds.
const ADDRESS_REFILL_MS: i64 = 6_000;
/// Failures at once with one key's first characters.
const KEY_BURST: u32 = 5;
/// How long until one of them is forgiven, in milliseconds.
const KEY_REFILL_MS: i64 = 12_000;
/// Sources that are known at once. All that are more share one bucket: who has many addresses gains nothing by using them.
const BUCKETS_MAX: usize = 10_000;

/// Who is trying.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::api) enum Source {
    /// An address; of IPv6 the network of 64 bits, which is what one subscriber has.
    Address(Option<[u8; 8]>),
    /// The first characters of a key.
    Key(String),
    /// Everybody for whom there was no room.
    Others,
}

impl Source {
    /// The source behind an address; all whose address is not known are one.
    pub(in crate::api) fn address(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => {
                let mut bytes = [0; 8];
                // No IPv6 network of anybody's begins with four zero bytes.
                bytes[4..].copy_from_slice(&address.octets());
                bytes
            }
            IpAddr::V6(address) => {
                let octets = address.octets();
                std::array::from_fn(|index| octets[index])
            }
        }))
    }

    fn burst_and_refill(&self) -> (u32, i64) {
        match self {
            Self::Address(_) | Self::Others => (ADDRESS_BURST, ADDRESS_REFILL_MS),
            Self::Key(_) => (KEY_BURST, KEY_REFILL_MS),
        }
    }
}

/// Milliseconds of failing that are not forgiven yet, as of a time.
#[derive(Debug, Clone, Copy)]
struct Debt {
    ms: i64,
    at: UnixMs,
}

impl Debt {
    fn now(self, now: UnixMs) -> i64 {
        // A clock that goes back forgives nothing.
        (self.ms - (now - self.at).max(0)).max(0)
    }
}

/// Counts attempts. Time is a parameter.
#[derive(Debug, Default)]
pub(in crate::api) struct Limiter {
    debts: Mutex<HashMap<Source, Debt>>,
}

impl Limiter {
    /// Lets somebody try, or says for how many seconds not.
    pub(in crate::api) fn try_once(&self, source: &Source, now: UnixMs) -> Result<(), u64> {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        if debts.len() >= BUCKETS_MAX && !debts.contains_key(source) {
            debts.retain(|_, debt| debt.now(now) > 0);
        }
        let source = if debts.len() >= BUCKETS_MAX && !debts.contains_key(source) {
            &Source::Others
        } else {
            source
        };
        let (burst, refill_ms) = source.burst_and_refill();
        let owed = debts.get(source).map_or(0, |debt| debt.now(now));
        let over = owed + refill_ms - i64::from(burst) * refill_ms;
        if over > 0 {
            return Err(u64::try_from((over + 999) / 1_000).unwrap_or(1));
        }
        let debt = Debt {
            ms: owed + refill_ms,
            at: now,
        };
        debts.insert(source.clone(), debt);
        Ok(())
    }

    /// The attempt was honest.
    pub(in crate::api) fn forgive(&self, source: &Source, now: UnixMs) {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, refill_ms) = source.burst_and_refill();
        if let Some(debt) = debts.get_mut(source) {
            *debt = Debt {
                ms: (debt.now(now) - refill_ms).max(0),
                at: now,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Source {
        Source::address(Some(text.parse().unwrap()))
    }

    #[test]
    fn a_bucket_is_used_up_and_fills_again() {
        let limiter = Limiter::default();
        let source = address("192.0.2.1");
        for _ in 0..ADDRESS_BURST {
            limiter.try_once(&source, 0).unwrap();
        }
        assert_eq!(limiter.try_once(&source, 0), Err(6));
        assert_eq!(limiter.try_once(&source, 5_000), Err(1));
        limiter.try_once(&address("192.0.2.2"), 0).unwrap();
        limiter.try_once(&source, 6_000).unwrap();
        assert!(limiter.try_once(&source, 6_000).is_err());
        assert!(
            limiter.try_once(&source, -50_000).is_err(),
            "a clock that goes back forgives nothing"
        );
    }

    #[test]
    fn who_succeeds_is_not_counted() {
        let limiter = Limiter::default();
        let source = Source::Key("strow_abcdef".to_owned());
        for _ in 0..1_000 {
            limiter.try_once(&source, 0).unwrap();
            limiter.forgive(&source, 0);
        }
    }

    #[test]
    fn one_subscriber_has_one_bucket() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }

    #[test]
    fn many_sources_are_bounded() {
        let limiter = Limiter::default();
        let many = |number: usize| Source::Key(format!("{number}"));
        for number in 0..BUCKETS_MAX {
            limiter.try_once(&many(number), 0).unwrap();
        }
        let refused = (0..100).filter(|number| limiter.try_once(&many(BUCKETS_MAX + number), 0).is_err());
        assert_eq!(refused.count(), 100 - ADDRESS_BURST as usize);
        assert!(limiter.debts.lock().unwrap().len() <= BUCKETS_MAX + 1);
        limiter.try_once(&many(BUCKETS_MAX), KEY_REFILL_MS * 20).unwrap();
        assert!(
            limiter.debts.lock().unwrap().len() < 10,
            "those that are forgiven make room"
        );
    }
}
