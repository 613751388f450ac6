//! Points in time as Telnyx writes them.

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Unix time in milliseconds of `2018-02-02T22:25:27.521992Z` (RFC 3339 in UTC, from 1970 on). None for anything else.
pub(crate) fn unix_ms(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix(['Z', 'z'])?.split_once(['T', 't'])?;
    let [year, month, day] = numbers(date, '-')?;
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(seconds, ':')?;
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let days = days_before(year, month) + day - 1;
    Some(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

/// Days from 1970-01-01 to the first of the month.
fn days_before(year: u64, month: u64) -> u64 {
    const CUMULATIVE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = leap_days(year) != leap_days(year - 1);
    let months = usize::try_from(month - 1).map_or(0, |index| CUMULATIVE[index % 12]);
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969) + months + u64::from(is_leap && month > 2)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut next = || -> Option<u64> {
        let part = parts.next()?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let numbers = [next()?, next()?, next()?];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2018-02-02T22:25:27.521992Z", 1_517_610_327_521),
            ("2024-02-29T12:00:00.5Z", 1_709_208_000_500),
            ("2024-03-01T00:00:00Z", 1_709_251_200_000),
            ("2025-11-23T03:30:00.076316Z", 1_763_868_600_076),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000),
        ] {
            assert_eq!(unix_ms(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "Z",
            "2018-02-02",
            "2018-02-02T22:25:27",
            "2018-02-02T22:25:27+01:00",
            "2018-13-02T22:25:27Z",
            "2018-00-02T22:25:27Z",
            "1969-12-31T23:59:59Z",
            "2018-02-02T24:00:00Z",
            "2018-02-02T22:25Z",
            "2018-02-02T22:25:27.Z",
            "2018-02-02T22:25:27.5x1Z",
            "2018-02-02-01T22:25:27Z",
            "2018-+2-02T22:25:27Z",
        ] {
            assert_eq!(unix_ms(text), None, "{text}");
        }
    }
}
