//! One more call: may it be?

use thiserror::Error;

use super::{CallLimits, DestinationCap, Prefix};
use crate::store::UnixMs;

const DAY_MS: i64 = 86_400_000;
/// A call, in the unit in which buckets are filled: thousandths.
const CALL_MILLI: i64 = 1_000;

/// The day of a moment, counted from 1970-01-01 UTC.
#[must_use]
pub fn day_of(now: UnixMs) -> i64 {
    now.div_euclid(DAY_MS)
}

/// A token bucket as it is kept: how full it was, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Calls, in thousandths.
    pub level_milli: i64,
    /// When it was so full.
    pub at: UnixMs,
}

impl Bucket {
    /// A bucket that nothing was taken from.
    #[must_use]
    pub fn full(per_s: u32, now: UnixMs) -> Self {
        Self {
            level_milli: capacity(per_s),
            at: now,
        }
    }

    /// The same bucket now. A clock that was set back fills nothing, and one that was set forward fills no more than it holds.
    #[must_use]
    pub fn at(self, per_s: u32, now: UnixMs) -> Self {
        let elapsed_ms = now.saturating_sub(self.at).max(0);
        let filled = self
            .level_milli
            .saturating_add(elapsed_ms.saturating_mul(i64::from(per_s)));
        Self {
            level_milli: filled.clamp(0, capacity(per_s)),
            at: now,
        }
    }

    fn take(self) -> Option<Self> {
        let level_milli = self.level_milli - CALL_MILLI;
        (level_milli >= 0).then_some(Self { level_milli, ..self })
    }
}

/// One second's worth.
fn capacity(per_s: u32) -> i64 {
    i64::from(per_s) * CALL_MILLI
}

/// What a rate is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// The organisation.
    Organization,
    /// One of its numbers.
    Number,
    /// One provider, on its behalf.
    Provider,
}

/// A value for each rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates<T> {
    /// Of the organisation.
    pub organization: T,
    /// Of the number that takes part.
    pub number: T,
    /// Of the provider.
    pub provider: T,
}

/// How much of a cap was used today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// The cap.
    pub cap: DestinationCap,
    /// Calls and second legs that began today.
    pub calls: u64,
    /// Seconds of those of them that have ended.
    pub seconds: u64,
}

/// What is in use as one more call is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Live calls of the organisation.
    pub calls: u32,
    /// Live calls over the number that takes part; none when no number of ours does.
    pub number_calls: Option<u32>,
    /// The buckets as they were kept; none where nothing was taken yet.
    pub rates: Rates<Option<Bucket>>,
    /// The caps that the destination counts for.
    pub destinations: Vec<Spent>,
}

/// What a call was admitted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The buckets after it.
    pub rates: Rates<Bucket>,
    /// Seconds that the caps of its destination leave for today.
    pub seconds_left: Option<u64>,
}

/// Which limit does not allow a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exceeded {
    /// [`CallLimits::calls_max`].
    Calls,
    /// [`CallLimits::number_calls_max`].
    NumberCalls,
    /// A rate.
    CallsPerSecond(Rate),
    /// The destination is denied by this prefix, or none of those that are allowed.
    Destination(Option<Prefix>),
    /// [`DestinationCap::calls_per_day`].
    DestinationCalls(Prefix),
    /// [`DestinationCap::minutes_per_day`].
    DestinationMinutes(Prefix),
}

/// A call is not admitted: which limit, how high it is, and what there would be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", sentence(self))]
pub struct Refusal {
    /// Which limit.
    pub exceeded: Exceeded,
    /// How high it is.
    pub limit: u64,
    /// What there would be with this call.
    pub demand: u64,
}

impl Refusal {
    /// The destination may not be called at all.
    #[must_use]
    pub fn denied(prefix: Option<Prefix>) -> Self {
        Self {
            exceeded: Exceeded::Destination(prefix),
            limit: 0,
            demand: 1,
        }
    }

    /// A stable name of the limit.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.exceeded {
            Exceeded::Calls => "too_many_calls",
            Exceeded::NumberCalls => "too_many_calls_of_number",
            Exceeded::CallsPerSecond(_) => "calls_too_fast",
            Exceeded::Destination(_) => "destination_denied",
            Exceeded::DestinationCalls(_) => "destination_calls_used_up",
            Exceeded::DestinationMinutes(_) => "destination_minutes_used_up",
        }
    }

    /// Whether the same call may be admitted later without anybody changing a limit.
    #[must_use]
    pub fn passes(&self) -> bool {
        !matches!(self.exceeded, Exceeded::Destination(_))
    }
}

fn sentence(refusal: &Refusal) -> String {
    let Refusal { limit, demand, .. } = refusal;
    match &refusal.exceeded {
        Exceeded::Calls => format!(
            "this would be call {demand} at once of this organization, which may have {limit}; try again when one has ended"
        ),
        Exceeded::NumberCalls => format!(
            "this would be call {demand} at once over this number, which may have {limit}; try again when one has ended"
        ),
        Exceeded::CallsPerSecond(rate) => {
            let whose = match rate {
                Rate::Organization => "this organization",
                Rate::Number => "this number",
                Rate::Provider => "this provider",
            };
            format!("calls of {whose} come faster than {limit} in a second; try again in a second")
        }
        Exceeded::Destination(Some(prefix)) => format!(
            "numbers that begin with {prefix} are not called; the operator of this gateway can allow them for this organization"
        ),
        Exceeded::Destination(None) => {
            "this number is not among those that this organization may call; the operator of this gateway can allow it"
                .to_owned()
        }
        Exceeded::DestinationCalls(prefix) => format!(
            "this would be call {demand} today to numbers that begin with {prefix}, and {limit} are allowed; the day ends at \
             midnight UTC"
        ),
        Exceeded::DestinationMinutes(prefix) => format!(
            "{demand} minutes were spoken today with numbers that begin with {prefix}, and {limit} are allowed; the day ends at \
             midnight UTC"
        ),
    }
}

/// Decides about one more call. Nothing is taken from any bucket by a call that is refused.
///
/// # Errors
/// The first limit that does not allow it.
pub fn decide(limits: &CallLimits, usage: &Usage, now: UnixMs) -> Result<Grant, Refusal> {
    let calls = u64::from(usage.calls) + 1;
    within(Exceeded::Calls, u64::from(limits.calls_max), calls)?;
    if let (Some(max), Some(calls)) = (limits.number_calls_max, usage.number_calls) {
        within(Exceeded::NumberCalls, u64::from(max), u64::from(calls) + 1)?;
    }
    let seconds_left = decide_destination(&usage.destinations)?;
    let take = |kept: Option<Bucket>, per_s: u32, rate| {
        let bucket = kept.map_or_else(|| Bucket::full(per_s, now), |kept| kept.at(per_s, now));
        bucket.take().ok_or(Refusal {
            exceeded: Exceeded::CallsPerSecond(rate),
            limit: u64::from(per_s),
            demand: u64::from(per_s) + 1,
        })
    };
    let rates = &usage.rates;
    Ok(Grant {
        rates: Rates {
            organization: take(rates.organization, limits.calls_per_s, Rate::Organization)?,
            number: take(rates.number, limits.number_calls_per_s, Rate::Number)?,
            provider: take(rates.provider, limits.provider_calls_per_s, Rate::Provider)?,
        },
        seconds_left,
    })
}

/// Decides whether one more call or leg may go to a destination, by the caps that it counts for. How many seconds they leave,
/// when one of them counts minutes.
///
/// # Errors
/// The first cap that is used up.
pub fn decide_destination(spent: &[Spent]) -> Result<Option<u64>, Refusal> {
    let mut seconds_left: Option<u64> = None;
    for Spent { cap, calls, seconds } in spent {
        if let Some(max) = cap.calls_per_day {
            within(Exceeded::DestinationCalls(cap.prefix.clone()), max, calls + 1)?;
        }
        if let Some(minutes) = cap.minutes_per_day {
            let left = minutes.saturating_mul(60).saturating_sub(*seconds);
            if left == 0 {
                return Err(Refusal {
                    exceeded: Exceeded::DestinationMinutes(cap.prefix.clone()),
                    limit: minutes,
                    demand: seconds.div_ceil(60),
                });
            }
            seconds_left = Some(seconds_left.map_or(left, |other| other.min(left)));
        }
    }
    Ok(seconds_left)
}

fn within(exceeded: Exceeded, limit: u64, demand: u64) -> Result<(), Refusal> {
    if demand <= limit {
        return Ok(());
    }
    Err(Refusal {
        exceeded,
        limit,
        demand,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = 1_795_365_000_000;

    fn limits() -> CallLimits {
        CallLimits {
            calls_max: 3,
            number_calls_max: Some(2),
            calls_per_s: 4,
            number_calls_per_s: 3,
            provider_calls_per_s: 2,
            ..CallLimits::default()
        }
    }

    fn code(usage: &Usage) -> &'static str {
        decide(&limits(), usage, NOW).map_or_else(|refusal| refusal.code(), |_| "granted")
    }

    #[test]
    fn one_call_too_many_is_refused_with_the_limit_and_the_demand() {
        let usage = |calls, number_calls| Usage {
            calls,
            number_calls,
            ..Usage::default()
        };
        assert_eq!(code(&usage(2, Some(1))), "granted");
        assert_eq!(code(&usage(3, Some(0))), "too_many_calls");
        assert_eq!(code(&usage(2, Some(2))), "too_many_calls_of_number");
        assert_eq!(code(&usage(2, None)), "granted");
        let refusal = decide(&limits(), &usage(3, None), NOW).unwrap_err();
        assert_eq!((refusal.limit, refusal.demand), (3, 4));
        assert!(refusal.to_string().contains("call 4 at once"), "{refusal}");
    }

    #[test]
    fn a_bucket_holds_a_second_and_fills_with_time() {
        let mut bucket = Bucket::full(4, NOW);
        for _ in 0..4 {
            bucket = bucket.at(4, NOW).take().unwrap();
        }
        assert_eq!(bucket.at(4, NOW).take(), None);
        assert_eq!(bucket.at(4, NOW + 249).take(), None);
        assert!(bucket.at(4, NOW + 250).take().is_some());
        // However long nothing came, a second's worth is all.
        assert_eq!(bucket.at(4, NOW + DAY_MS).level_milli, 4_000);
        // A clock that was set back fills nothing and starves nobody for longer than it takes to fill again.
        let back = bucket.at(4, NOW - DAY_MS);
        assert_eq!((back.level_milli, back.at), (0, NOW - DAY_MS));
        assert!(back.at(4, NOW - DAY_MS + 250).take().is_some());
        // A lower rate than the one that it was filled with holds at once.
        assert_eq!(Bucket::full(100, NOW).at(2, NOW).level_milli, 2_000);
    }

    #[test]
    fn the_rates_are_kept_apart_and_a_refused_call_takes_nothing() {
        let empty = Some(Bucket {
            level_milli: 999,
            at: NOW,
        });
        let rates = [
            Rates {
                organization: empty,
                ..Rates::default()
            },
            Rates {
                number: empty,
                ..Rates::default()
            },
            Rates {
                provider: empty,
                ..Rates::default()
            },
        ];
        for (rates, whose) in rates
            .into_iter()
            .zip(["this organization", "this number", "this provider"])
        {
            let usage = Usage {
                rates,
                ..Usage::default()
            };
            let refusal = decide(&limits(), &usage, NOW).unwrap_err();
            assert_eq!(refusal.code(), "calls_too_fast");
            assert!(refusal.to_string().contains(whose), "{refusal}");
        }
        let granted = decide(&limits(), &Usage::default(), NOW).unwrap();
        assert_eq!(granted.rates.organization.level_milli, 3_000);
        assert_eq!(granted.rates.number.level_milli, 2_000);
        assert_eq!(granted.rates.provider.level_milli, 1_000);
    }

    #[test]
    fn of_caps_the_tightest_decides() {
        let spent = |prefix: &str, calls_per_day, minutes_per_day, calls, seconds| Spent {
            cap: DestinationCap {
                prefix: Prefix::parse(prefix).unwrap(),
                calls_per_day,
                minutes_per_day,
            },
            calls,
            seconds,
        };
        assert_eq!(decide_destination(&[]), Ok(None));
        let wide = spent("+", Some(100), Some(60), 7, 1_000);
        let narrow = spent("+44", Some(2), Some(10), 1, 540);
        assert_eq!(decide_destination(&[wide.clone(), narrow]), Ok(Some(60)));
        let calls = spent("+44", Some(2), None, 2, 0);
        let refusal = decide_destination(&[wide.clone(), calls]).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.limit, refusal.demand),
            ("destination_calls_used_up", 2, 3)
        );
        let minutes = spent("+44", None, Some(10), 2, 601);
        let refusal = decide_destination(&[wide, minutes]).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.limit, refusal.demand),
            ("destination_minutes_used_up", 10, 11)
        );
        let never = spent("+44", Some(0), None, 0, 0);
        assert!(decide_destination(&[never]).is_err());
    }

    #[test]
    fn a_day_is_one_by_utc() {
        assert_eq!(day_of(0), 0);
        assert_eq!(day_of(DAY_MS - 1), 0);
        assert_eq!(day_of(DAY_MS), 1);
        assert_eq!(day_of(-1), -1);
    }
}
