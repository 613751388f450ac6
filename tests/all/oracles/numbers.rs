//! Telephone numbers, as `phonenumbers` writes and reads them, in all countries whose national numbers we know.
//!
//! A number written in full must be read as the number that was meant, whatever the hint: there the library, too, is a
//! mere reader, and takes `491512…` with the hint Germany for a national number and `00` for a prefix only where the
//! hinted country dials it. A national number must be read as the library reads it, where it finds a valid number in
//! it.
//!
//! What differs is in [`DIFFERENCES`]. The library knows every country's plan and how people write; we know the shape
//! of E.164 and twenty-one dial codes, and what is not certainly a number is left as the extension that it may be.

use std::collections::BTreeMap;

use serde_json::Value;
use strowger_call::{Address, Country};

use super::witness::{Witness, text};

/// Those with a dial code in `strowger_call`.
const COUNTRIES: [&str; 21] = [
    "US", "CA", "GB", "IN", "AU", "DE", "FR", "BR", "MX", "IT", "ES", "NL", "SE", "NO", "DK", "FI", "CH", "AT", "BE",
    "LU", "IE",
];

/// Why we read a number otherwise, and how often among all that are tried.
const DIFFERENCES: [(Reason, usize); 6] = [
    (Reason::Uri, 366),
    (Reason::Extension, 366),
    (Reason::Writing, 57),
    (Reason::Short, 51),
    (Reason::ItalianZero, 3),
    (Reason::ParenthesisedZero, 3),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// A `tel:` URI (RFC 3966): no carrier sends one, and we leave it as it is.
    Uri,
    /// `ext. 42` behind the number: the library drops it and rings somebody else; we take the whole for an extension.
    Extension,
    /// Dots, two plus signs, letters for digits, the digits of other scripts: left as they are.
    Writing,
    /// Fewer than eight digits, which is an extension here: service numbers, and seven digits within an area. After
    /// `00` the zeros are then taken for trunk zeros of the hinted country.
    Short,
    /// Italy's numbers keep their trunk zero abroad. Ours lose it, because stored rows have lost it.
    ItalianZero,
    /// `+44 (0) 20 …`: the zero is for callers inside the country only, and we leave it out. The library reads a few of
    /// them otherwise.
    ParenthesisedZero,
}

/// The reason that explains a difference, if one does.
fn reason(case: &Value) -> Option<Reason> {
    let (form, written) = (text(case, "form"), text(case, "text"));
    let digits: String = written.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.strip_prefix("00").unwrap_or(&digits);
    match form {
        "rfc3966" => Some(Reason::Uri),
        "with an extension" => Some(Reason::Extension),
        "dots" | "plus plus" | "letters" | "other digits" => Some(Reason::Writing),
        _ if digits.len() < 8 => Some(Reason::Short),
        _ if case["country"] == "IT" && text(case, "kind") == "fixed" => Some(Reason::ItalianZero),
        "trunk zero in parentheses" => Some(Reason::ParenthesisedZero),
        _ => None,
    }
}

/// What we should read, or nothing where nobody can tell.
fn expected(case: &Value) -> Option<&str> {
    let in_full = match text(case, "form") {
        "e164" | "international" | "00" | "00 with blanks" | "parentheses" => true,
        // With the hint of another country these are anybody's.
        "digits with country code" => case["hint"].is_null() || case["hint"] == case["country"],
        _ => false,
    };
    if in_full {
        case["meant"].as_str()
    } else if case["valid"] == true {
        case["e164"].as_str()
    } else {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_read_as_another_library_reads_them() {
    let cases = Witness::start("phone_numbers.py", &COUNTRIES).rest().await;
    let (mut same, mut unexplained) = (BTreeMap::new(), Vec::new());
    let mut differences: BTreeMap<Reason, usize> = BTreeMap::new();
    for case in &cases {
        let Some(expected) = expected(case) else { continue };
        let hint = case["hint"].as_str().map(|hint| Country::parse(hint).unwrap());
        let address = Address::parse(text(case, "text"), hint).unwrap();
        if address.e164().is_some_and(|number| number.expose() == expected) {
            *same.entry(text(case, "form")).or_insert(0_usize) += 1;
            continue;
        }
        match reason(case) {
            Some(reason) => *differences.entry(reason).or_default() += 1,
            None => unexplained.push(format!("{:?}: {case}", address.expose())),
        }
    }
    assert!(unexplained.is_empty(), "{} cases: {unexplained:#?}", unexplained.len());
    assert_eq!(differences.into_iter().collect::<Vec<_>>(), DIFFERENCES, "{same:#?}");
    // Nothing is found the same that was not tried.
    for (form, at_least) in [
        ("e164", 350),
        ("international", 350),
        ("00", 350),
        ("00 with blanks", 350),
        ("parentheses", 350),
        ("digits with country code", 230),
        ("national", 110),
        ("national digits", 110),
        ("significant digits", 110),
    ] {
        assert!(
            same.get(form).is_some_and(|&count| count >= at_least),
            "{form}: {same:#?}"
        );
    }
}

/// What is no telephone number stays what it is, and is none for the library either, or not a valid one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_number_is_none() {
    let cases = Witness::start("phone_numbers.py", &COUNTRIES).rest().await;
    let mut tried = 0;
    for case in &cases {
        if !matches!(text(case, "form"), "emergency" | "name" | "sip" | "too long") {
            continue;
        }
        let hint = case["hint"].as_str().map(|hint| Country::parse(hint).unwrap());
        let address = Address::parse(text(case, "text"), hint).unwrap();
        assert_eq!((address.e164(), &case["valid"]), (None, &Value::Bool(false)), "{case}");
        tried += 1;
    }
    assert_eq!(tried, 5 * (COUNTRIES.len() + 1));
}
