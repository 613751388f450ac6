//! Addresses of callers and callees, and what an account has to say of them.

use crate::{Ownership, Synchronisation};

/// `+` and 8 to 15 digits (ITU-T E.164 §6): a telephone number, and neither a SIP address nor an extension.
pub fn is_e164(address: &str) -> bool {
    address
        .strip_prefix('+')
        .is_some_and(|digits| (8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// A SIP or SIPS URI, by its scheme (RFC 3261 §19.1), which has no case.
pub fn is_sip_uri(address: &str) -> bool {
    address
        .split_once(':')
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips"))
}

/// Whether a word stands in place of a caller's number that is withheld: that of RFC 3323 §4.1.1.3, and what networks put
/// there besides.
pub fn is_withheld(caller: &str) -> bool {
    [
        "anonymous",
        "blocked",
        "private",
        "restricted",
        "unavailable",
        "unknown",
        "withheld",
    ]
    .iter()
    .any(|word| caller.eq_ignore_ascii_case(word))
}

/// A country as the contract has it, two capital letters (ISO 3166-1); None for anything else.
pub fn country_code(text: &str) -> Option<String> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase())
}

impl Ownership {
    /// Of a number that was looked for in the account.
    pub fn of(found: bool) -> Self {
        if found { Self::Owned } else { Self::NotOwned }
    }
}

impl Synchronisation {
    /// Whether anything had to be changed.
    pub fn of(changed: bool) -> Self {
        if changed { Self::Done } else { Self::Unchanged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_extensions() {
        assert!(is_e164("+14155550100"));
        for other in [
            "14155550100",
            "+1415",
            "8000",
            "+1415555010a",
            "+1234567890123456",
            "sip:a@b",
        ] {
            assert!(!is_e164(other), "{other}");
        }
    }

    #[test]
    fn a_uri_goes_by_its_scheme() {
        for uri in ["sip:a@b", "SIPS:a@b;x=1"] {
            assert!(is_sip_uri(uri), "{uri}");
        }
        for other in ["", "sip", "tel:1", "+14155550100", "sipp:a@b"] {
            assert!(!is_sip_uri(other), "{other}");
        }
    }

    #[test]
    fn a_withheld_number_is_a_word() {
        assert!(is_withheld("Anonymous"));
        for other in ["", "+14155550100", "anonymous@anonymous.invalid"] {
            assert!(!is_withheld(other), "{other}");
        }
    }

    #[test]
    fn a_country_has_two_letters() {
        assert_eq!(country_code("us").as_deref(), Some("US"));
        for other in ["", "USA", "1A", "é"] {
            assert_eq!(country_code(other), None, "{other}");
        }
    }
}
