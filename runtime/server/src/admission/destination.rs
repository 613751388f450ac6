//! Where calls may go, by the beginning of the number.
//!
//! Toll fraud is calls to numbers whose holder earns with each minute. What is denied by default is what the numbering plans
//! set aside for that, and satellite networks, where a minute costs as much as elsewhere an hour. Ordinary numbers of expensive
//! countries cannot be told from honest ones by their prefix: caps by prefix and day bound what they may cost.

use std::fmt;

use serde::{Deserialize, Serialize};
use strowger_call::{Address, AddressKind};
use thiserror::Error;

/// Digits of an E.164 number, and so of its longest prefix.
const PREFIX_DIGITS_MAX: usize = 15;
/// Digits of a number that a public network routes; fewer is an extension.
const NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// Denied unless the operator says otherwise: the prefix, what it is, and whose plan says so. `docs/limits.md` has it as well.
pub const DENIED_BY_DEFAULT: [(&str, &str); 26] = [
    ("+808", "international shared cost service (ITU-T E.169.3)"),
    ("+870", "Inmarsat (ITU-T E.164 assigned codes)"),
    (
        "+878",
        "universal personal telecommunications (ITU-T E.164 assigned codes)",
    ),
    (
        "+881",
        "satellite systems: Iridium, Globalstar and others (ITU-T E.164 assigned codes)",
    ),
    (
        "+882",
        "international networks, satellite among them (ITU-T E.164 assigned codes)",
    ),
    ("+883", "international networks (ITU-T E.164 assigned codes)"),
    ("+979", "international premium rate service (ITU-T E.169.2)"),
    ("+1900", "premium rate, area code 900 (North American Numbering Plan)"),
    ("+3389", "premium rate, 089 (France, ARCEP)"),
    ("+34803", "premium rate (Spain, CNMC)"),
    ("+34806", "premium rate (Spain, CNMC)"),
    ("+34807", "premium rate (Spain, CNMC)"),
    ("+3989", "premium rate, 89x (Italy, AGCOM)"),
    ("+31900", "premium rate, 0900 (Netherlands, ACM)"),
    ("+31906", "premium rate, 0906 (Netherlands, ACM)"),
    ("+31909", "premium rate, 0909 (Netherlands, ACM)"),
    ("+41900", "premium rate, 0900 (Switzerland, BAKOM)"),
    ("+41901", "premium rate, 0901 (Switzerland, BAKOM)"),
    ("+41906", "premium rate, 0906 (Switzerland, BAKOM)"),
    ("+43900", "premium rate, 0900 (Austria, RTR)"),
    ("+43901", "premium rate, 0901 (Austria, RTR)"),
    ("+43930", "premium rate, 0930 (Austria, RTR)"),
    ("+43931", "premium rate, 0931 (Austria, RTR)"),
    (
        "+4470",
        "personal numbers, 070, a usual target of fraud (United Kingdom, Ofcom)",
    ),
    ("+449", "premium rate, 09 (United Kingdom, Ofcom)"),
    ("+49900", "premium rate, 0900 (Germany, Bundesnetzagentur)"),
];

/// It is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a prefix is + and 0 to 15 digits, such as +44; + alone is every number")]
pub struct PrefixError;

/// The beginning of an international number: `+` and digits. `+` alone is every number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(String);

impl Prefix {
    /// Reads it; blanks and hyphens between the digits are dropped.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let digits: String = text
            .trim()
            .strip_prefix('+')
            .ok_or(PrefixError)?
            .chars()
            .filter(|char| !matches!(char, ' ' | '-'))
            .collect();
        if digits.len() <= PREFIX_DIGITS_MAX && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(format!("+{digits}")))
        } else {
            Err(PrefixError)
        }
    }

    /// With its plus sign.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn covers(&self, number: &str) -> bool {
        number.starts_with(&self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        Self::parse(&text)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.0
    }
}

/// How much may go to the numbers with a prefix, on one day by UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationCap {
    /// Which numbers. Every cap whose prefix fits counts.
    pub prefix: Prefix,
    /// Calls and second legs of transfers.
    #[serde(default)]
    pub calls_per_day: Option<u64>,
    /// Minutes of them, from answer to end.
    #[serde(default)]
    pub minutes_per_day: Option<u64>,
}

/// Where calls may go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DestinationRules {
    /// Not there.
    pub denied: Vec<Prefix>,
    /// There, also where a shorter prefix is denied. When there are any, nowhere else.
    pub allowed: Vec<Prefix>,
    /// And no more than this.
    pub caps: Vec<DestinationCap>,
}

impl DestinationRules {
    /// Denies premium rate and satellite numbers, and caps nothing.
    #[must_use]
    pub fn by_default() -> Self {
        Self {
            denied: DENIED_BY_DEFAULT
                .iter()
                .filter_map(|(prefix, _)| Prefix::parse(prefix).ok())
                .collect(),
            ..Self::default()
        }
    }

    /// Whether calls may go to this address at all. The longest prefix decides; of two of the same length it is the denial.
    ///
    /// # Errors
    /// The prefix that is denied; none when the address is not among those that are allowed.
    pub fn permit(&self, address: &Address) -> Result<(), Option<Prefix>> {
        let longest = |prefixes: &[Prefix], number: &str| {
            let fitting = prefixes.iter().filter(|prefix| prefix.covers(number));
            fitting.max_by_key(|prefix| prefix.0.len()).cloned()
        };
        for number in numbers_in(address) {
            let (denied, allowed) = (longest(&self.denied, &number), longest(&self.allowed, &number));
            match (denied, allowed) {
                (Some(denied), Some(allowed)) if allowed.0.len() > denied.0.len() => {}
                (Some(denied), _) => return Err(Some(denied)),
                (None, Some(_)) => {}
                (None, None) if self.allowed.is_empty() => {}
                (None, None) => return Err(None),
            }
        }
        Ok(())
    }

    /// The caps that a call to this address counts for.
    pub fn caps_of(&self, address: &Address) -> Vec<&DestinationCap> {
        let numbers = numbers_in(address);
        let fits = |cap: &&DestinationCap| numbers.iter().any(|number| cap.prefix.covers(number));
        self.caps.iter().filter(fits).collect()
    }
}

/// The international numbers that an address may reach. A SIP address or an extension is read as generously as a telephone
/// system might: what is behind it may dial digits, whatever they were wrapped in. One that can be no number of the public
/// network has none.
fn numbers_in(address: &Address) -> Vec<String> {
    let text = address.expose();
    let user = match address.kind() {
        AddressKind::Pstn => return vec![text.to_owned()],
        AddressKind::SipExtension => text.split('@').next().unwrap_or_default(),
        // The host is no number, even where it has digits.
        AddressKind::SipUri => {
            let rest = text.split_once(':').map_or("", |(_, rest)| rest);
            rest.rsplit_once('@').map_or("", |(user, _)| user)
        }
    };
    let user = percent_encoding::percent_decode_str(user).decode_utf8_lossy();
    user.split([';', ':', '/', '?', ',']).flat_map(numbers_of).collect()
}

fn numbers_of(piece: &str) -> Vec<String> {
    let dense: String = piece
        .chars()
        .filter(|char| !char.is_whitespace() && !matches!(char, '-' | '.' | '(' | ')' | '_' | '~'))
        .collect();
    if let Some(rest) = dense.strip_prefix('+') {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        return if digits.is_empty() {
            Vec::new()
        } else {
            vec![format!("+{digits}")]
        };
    }
    if dense.is_empty() || !dense.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    // 00 and 011 are how most of the world and North America dial abroad.
    let dialled = ["00", "011"].iter().filter_map(|prefix| dense.strip_prefix(prefix));
    let dialled = dialled.filter(|rest| rest.len() >= *NUMBER_DIGITS.start());
    let plain = Some(dense.as_str()).filter(|dense| NUMBER_DIGITS.contains(&dense.len()));
    dialled.chain(plain).map(|digits| format!("+{digits}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| Prefix::parse(text).unwrap()).collect()
    }

    fn permits(rules: &DestinationRules, address: &str) -> bool {
        rules.permit(&Address::parse(address, None).unwrap()).is_ok()
    }

    #[test]
    fn a_prefix_is_a_plus_and_digits() {
        for (text, read) in [
            ("+44", Some("+44")),
            (" +1 900 ", Some("+1900")),
            ("+", Some("+")),
            ("44", None),
            ("", None),
            ("+44x", None),
            ("+1234567890123456", None),
        ] {
            assert_eq!(Prefix::parse(text).ok().as_ref().map(Prefix::as_str), read, "{text}");
        }
    }

    #[test]
    fn every_prefix_that_is_denied_by_default_is_one() {
        assert_eq!(DestinationRules::by_default().denied.len(), DENIED_BY_DEFAULT.len());
    }

    #[test]
    fn premium_and_satellite_numbers_are_denied_and_ordinary_ones_are_not() {
        let rules = DestinationRules::by_default();
        for address in [
            "+881612345678",
            "+870773123456",
            "+19005550100",
            "+449098790000",
            "+447012345678",
            "+499001234567",
            "+34806123456",
            "+979123456789",
        ] {
            assert!(!permits(&rules, address), "{address}");
        }
        for address in [
            "+12025550123",
            "+19025550123",
            "+442079460000",
            "+447911123456",
            "+4930123456",
            "+3531551234567",
            "8000",
            "sip:desk@pbx.example.com",
        ] {
            assert!(permits(&rules, address), "{address}");
        }
    }

    #[test]
    fn a_number_in_disguise_is_the_same_number() {
        let rules = DestinationRules::by_default();
        for address in [
            "sip:+881612345678@carrier.example",
            "sip:881612345678@carrier.example",
            "sip:00881612345678@carrier.example",
            "sip:011881612345678@carrier.example",
            "sip:%2B881612345678@carrier.example",
            "sip:+8816-1234-5678;phone-context=x@carrier.example",
            "sip:%2b8816%2e12345678:secret@carrier.example",
            "sips:+881612345678@carrier.example;transport=tcp",
            "tel:+881612345678",
            "+8816.1234.5678",
            "pjsip/+881612345678@trunk",
        ] {
            assert!(!permits(&rules, address), "{address}");
        }
        // Digits of a host are no number.
        assert!(permits(&rules, "sip:desk@190.0.12.34"));
        assert!(permits(&rules, "sip:190.055.0100"));
    }

    #[test]
    fn the_longest_prefix_decides_and_a_list_of_what_is_allowed_leaves_nothing_else() {
        let rules = DestinationRules {
            denied: prefixes(&["+44", "+88216"]),
            allowed: prefixes(&["+4420", "+1", "+88216"]),
            caps: Vec::new(),
        };
        for (address, permitted) in [
            ("+442079460000", true),
            ("+441632960000", false),
            ("+12025550123", true),
            ("+4930123456", false),
            ("+8821612345678", false),
            ("8000", true),
        ] {
            assert_eq!(permits(&rules, address), permitted, "{address}");
        }
        let denied = rules.permit(&Address::parse("+441632960000", None).unwrap());
        assert_eq!(denied, Err(Some(Prefix::parse("+44").unwrap())));
        let elsewhere = rules.permit(&Address::parse("+4930123456", None).unwrap());
        assert_eq!(elsewhere, Err(None));
    }

    #[test]
    fn every_cap_that_fits_counts() {
        let cap = |prefix: &str| DestinationCap {
            prefix: Prefix::parse(prefix).unwrap(),
            calls_per_day: Some(1),
            minutes_per_day: None,
        };
        let rules = DestinationRules {
            caps: vec![cap("+"), cap("+44"), cap("+1")],
            ..DestinationRules::default()
        };
        let counted = |address: &str| -> Vec<String> {
            let address = Address::parse(address, None).unwrap();
            rules
                .caps_of(&address)
                .iter()
                .map(|cap| cap.prefix.to_string())
                .collect()
        };
        assert_eq!(counted("+442079460000"), ["+", "+44"]);
        assert_eq!(counted("sip:+12025550123@carrier.example"), ["+", "+1"]);
        assert_eq!(counted("8000"), Vec::<String>::new());
    }
}
