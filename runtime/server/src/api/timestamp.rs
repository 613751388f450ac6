//! Times as clients read them.

use serde_json::Value;

use crate::store::UnixMs;

/// RFC 3339 in UTC with milliseconds: `2026-11-22T16:30:00.125Z`.
pub(crate) fn rfc3339(at: UnixMs) -> String {
    let (days, ms_of_day) = (at.div_euclid(86_400_000), at.rem_euclid(86_400_000));
    // Days to a civil date by counting from 0000-03-01 in eras of 400 years (H. Hinnant, "chrono-compatible low-level date
    // algorithms"), so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, ms) = (ms_of_day / 1_000, ms_of_day % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The same, or null.
pub(crate) fn optional(at: Option<UnixMs>) -> Value {
    at.map_or(Value::Null, |at| Value::String(rfc3339(at)))
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn days_of_every_kind_are_written() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_365_000_125, "2026-11-22T16:30:00.125Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(at), text);
        }
    }
}
