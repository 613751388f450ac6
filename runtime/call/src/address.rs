//! Phone addresses in the one form in which they are stored, compared and dialled.
//!
//! The rules are those of the gateway whose data we can import, with four differences, each of which made a wrong number
//! out of a right one there:
//!
//! - `+` or `00` before the digits says that they are international. The country hint then never changes them: a British
//!   number written in full stays British in an American configuration.
//! - `00` is read as that prefix when 8 to 15 digits that do not begin with 0 follow, whatever the hint; it is not a pile
//!   of trunk zeros.
//! - `(0)` after the country's code is dropped (`+44 (0)20 …`), save where the zero is part of the number (Italy).
//! - Only ASCII digits are digits, and any white space between them is dropped, since pasted numbers carry no-break spaces.
//!
//! Kept on purpose, because stored rows were normalised so and must still be found: a national number that happens to begin
//! with its own country's dial code is taken as complete (`9123456789` in India), an Italian trunk zero is dropped, and a
//! number with a trunk zero but without a hint becomes `+0…`. [`Address::e164`] refuses that last shape.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest address, in characters, as written.
pub const ADDRESS_CHARS_MAX: usize = 255;

/// Digits of a number that a public network routes: fewer is an extension, more than 15 is not E.164.
const PSTN_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// What is wrong with an address. The address itself is left out, because errors are logged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Nothing but white space.
    #[error("the address is blank")]
    Blank,
    /// Longer than [`ADDRESS_CHARS_MAX`].
    #[error("the address has {chars} characters, more than {ADDRESS_CHARS_MAX}")]
    TooLong {
        /// Its length.
        chars: usize,
    },
    /// A control character, which would end a header line wherever the address is sent.
    #[error("the address has a control character")]
    ControlCharacter,
    /// Not `+`, a digit from 1 to 9 and 7 to 14 more digits.
    #[error("not an E.164 number: it takes a plus sign and 8 to 15 digits, the first not 0")]
    NotE164,
    /// Not two letters.
    #[error("a country is two letters of ISO 3166")]
    NotACountry,
}

/// A country as two capital letters of ISO 3166-1. Any two letters will do: an unknown country is one without a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country([u8; 2]);

impl Country {
    /// Reads two letters of either case.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        match text.trim().as_bytes() {
            [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
                Ok(Self([first.to_ascii_uppercase(), second.to_ascii_uppercase()]))
            }
            _ => Err(AddressError::NotACountry),
        }
    }

    /// The two capital letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The dial code that a national number of this country gets, for the countries whose stored numbers were made so.
    pub fn dial_code(self) -> Option<&'static str> {
        Some(match &self.0 {
            b"US" | b"CA" => "1",
            b"GB" => "44",
            b"IN" => "91",
            b"AU" => "61",
            b"DE" => "49",
            b"FR" => "33",
            b"BR" => "55",
            b"MX" => "52",
            b"IT" => "39",
            b"ES" => "34",
            b"NL" => "31",
            b"SE" => "46",
            b"NO" => "47",
            b"DK" => "45",
            b"FI" => "358",
            b"CH" => "41",
            b"AT" => "43",
            b"BE" => "32",
            b"LU" => "352",
            b"IE" => "353",
            _ => return None,
        })
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Country {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Country {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.as_str().to_owned()
    }
}

/// What sort of thing an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressKind {
    /// A number of the public telephone network, `+` and digits.
    Pstn,
    /// A `sip:` or `sips:` URI.
    SipUri,
    /// Anything else: an extension or a name that a PBX knows.
    SipExtension,
}

impl AddressKind {
    /// The name under which the kind is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pstn => "pstn",
            Self::SipUri => "sip_uri",
            Self::SipExtension => "sip_extension",
        }
    }
}

/// A normalised phone address. Printing it in any way shows at most two digits; [`expose`](Self::expose) is the one way to
/// the whole. It deserialises from the written form, without a hint; it does not serialise, so that it cannot slip out
/// with a struct around it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    kind: AddressKind,
    canonical: String,
    country: Option<Country>,
}

impl Address {
    /// Normalises an address as a person or a carrier wrote it. `hint` is the country whose national numbers it may be in.
    ///
    /// Normalising the result again changes nothing, with or without a hint.
    pub fn parse(raw: &str, hint: Option<Country>) -> Result<Self, AddressError> {
        let raw = raw.trim();
        if raw.is_empty() {
            return Err(AddressError::Blank);
        }
        let chars = raw.chars().count();
        if chars > ADDRESS_CHARS_MAX {
            return Err(AddressError::TooLong { chars });
        }
        // A tab between digits is white space to drop, not an attack; inside a name or URI it cannot be kept.
        if raw.chars().any(|char| char.is_control() && char != '\t') {
            return Err(AddressError::ControlCharacter);
        }
        if let Some((scheme, rest)) = sip_scheme(raw) {
            if raw.contains('\t') {
                return Err(AddressError::ControlCharacter);
            }
            let canonical = kept(sip_uri(scheme, rest).unwrap_or_else(|| raw.to_lowercase()))?;
            return Ok(Self {
                kind: AddressKind::SipUri,
                canonical,
                country: None,
            });
        }
        if let Some((canonical, country)) = pstn(raw, hint) {
            return Ok(Self {
                kind: AddressKind::Pstn,
                canonical,
                country,
            });
        }
        if raw.contains('\t') {
            return Err(AddressError::ControlCharacter);
        }
        Ok(Self {
            kind: AddressKind::SipExtension,
            canonical: kept(raw.to_lowercase())?,
            country: None,
        })
    }

    /// The same address with the country that was stored beside it.
    #[must_use]
    pub fn with_country(self, country: Option<Country>) -> Self {
        Self { country, ..self }
    }

    /// What the address reaches.
    pub fn kind(&self) -> AddressKind {
        self.kind
    }

    /// The country, when the hint named a known one that agrees with the digits.
    pub fn country(&self) -> Option<Country> {
        self.country
    }

    /// The canonical form, for dialling, storage and comparison. Not for logs.
    pub fn expose(&self) -> &str {
        &self.canonical
    }

    /// The address as a number that any carrier can dial, if it is one.
    pub fn e164(&self) -> Option<E164> {
        match self.kind {
            AddressKind::Pstn => E164::parse(&self.canonical).ok(),
            AddressKind::SipUri | AddressKind::SipExtension => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            AddressKind::Pstn => write!(f, "+•••{}", last_digits(&self.canonical)),
            AddressKind::SipExtension => write!(f, "•••{}", last_digits(&self.canonical)),
            AddressKind::SipUri => {
                let (scheme, rest) = self.canonical.split_once(':').unwrap_or(("sip", ""));
                match rest.split_once('@').and_then(|(_, after)| printable_host(after)) {
                    Some(host) => write!(f, "{scheme}:•••@{host}"),
                    None => write!(f, "{scheme}:•••"),
                }
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(raw: String) -> Result<Self, AddressError> {
        Self::parse(&raw, None)
    }
}

impl From<E164> for Address {
    fn from(number: E164) -> Self {
        Self {
            kind: AddressKind::Pstn,
            canonical: number.0,
            country: None,
        }
    }
}

/// A number in the international form of E.164: `+`, a digit from 1 to 9, and 8 to 15 digits in all. Prints redacted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct E164(String);

impl E164 {
    /// Takes exactly the written form: no blanks, no hints. For what a person typed, use [`Address::parse`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let digits = text.strip_prefix('+').ok_or(AddressError::NotE164)?;
        if is_pstn_digits(digits) && !digits.starts_with('0') {
            Ok(Self(text.to_owned()))
        } else {
            Err(AddressError::NotE164)
        }
    }

    /// The number with its plus sign. Not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+•••{}", last_digits(&self.0))
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E164({self})")
    }
}

impl FromStr for E164 {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for E164 {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

/// The canonical number and its country, or nothing if the text is no number of the public network.
fn pstn(raw: &str, hint: Option<Country>) -> Option<(String, Option<Country>)> {
    let dense: String = without_optional_zero(raw)
        .chars()
        .filter(|char| !char.is_whitespace() && !matches!(char, '-' | '(' | ')'))
        .collect();
    let known = hint.and_then(|country| Some((country, country.dial_code()?)));
    // The hint may still name the country of a number in full, if the number agrees.
    let international = |digits: &str| {
        let country = known
            .filter(|(_, code)| digits.starts_with(code))
            .map(|(country, _)| country);
        Some((format!("+{digits}"), country))
    };

    if let Some(digits) = dense.strip_prefix('+') {
        return if is_pstn_digits(digits) {
            international(digits)
        } else {
            None
        };
    }
    if let Some(digits) = dense.strip_prefix("00")
        && is_pstn_digits(digits)
        && !digits.starts_with('0')
    {
        return international(digits);
    }
    if !is_pstn_digits(&dense) {
        return None;
    }
    let Some((country, code)) = known else {
        return Some((format!("+{dense}"), None));
    };
    if !dense.starts_with(code) {
        let national = format!("{code}{}", dense.trim_start_matches('0'));
        if PSTN_DIGITS.contains(&national.len()) {
            return Some((format!("+{national}"), Some(country)));
        }
    }
    Some((format!("+{dense}"), Some(country)))
}

/// Countries whose subscribers' numbers keep the zero when they are called from abroad.
const ZERO_STAYS: [&str; 3] = ["39", "378", "379"];

/// The text without the zero of `+44 (0)20 …`, which means: dialled at home, left out from abroad.
fn without_optional_zero(raw: &str) -> Cow<'_, str> {
    let Some((before, after)) = raw.split_once("(0)") else {
        return raw.into();
    };
    let before: String = before
        .chars()
        .filter(|char| !char.is_whitespace() && !matches!(char, '-' | '(' | ')'))
        .collect();
    let code = before.strip_prefix('+').or_else(|| before.strip_prefix("00"));
    let is_country_code = |code: &str| {
        (1..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit()) && !ZERO_STAYS.contains(&code)
    };
    if code.is_some_and(is_country_code) {
        format!("{before}{after}").into()
    } else {
        raw.into()
    }
}

fn is_pstn_digits(text: &str) -> bool {
    PSTN_DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is kept must be readable again, and lower case may be longer: that of `İ` has two characters.
fn kept(canonical: String) -> Result<String, AddressError> {
    match canonical.chars().count() {
        chars if chars > ADDRESS_CHARS_MAX => Err(AddressError::TooLong { chars }),
        _ => Ok(canonical),
    }
}

/// `sip` or `sips` in lower case and what follows its colon, if the text is a SIP URI at all.
fn sip_scheme(raw: &str) -> Option<(&'static str, &str)> {
    let (scheme, rest) = raw.split_once(':')?;
    ["sip", "sips"]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known))
        .map(|known| (known, rest))
}

/// The canonical URI: scheme, host and parameters in lower case, the user part as it was (it is case-sensitive, RFC 3261
/// section 19.1.4), the scheme's default port dropped. Nothing if it does not have the form of a URI.
fn sip_uri(scheme: &str, rest: &str) -> Option<String> {
    let (user, after) = match rest.split_once('@') {
        Some(("", _)) => return None,
        Some((user, after)) => (Some(user), after),
        None => (None, rest),
    };
    let (host, tail) = split_host(after)?;
    let (port, parameters) = match tail.strip_prefix(':') {
        Some(tail) => {
            let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return None;
            }
            let (port, parameters) = tail.split_at(digits);
            (Some(port), parameters)
        }
        None => (None, tail),
    };
    if !parameters.is_empty() && !parameters.starts_with([';', '?']) {
        return None;
    }

    let default_port = if scheme == "sips" { "5061" } else { "5060" };
    let mut canonical = format!("{scheme}:");
    if let Some(user) = user {
        canonical.push_str(user);
        canonical.push('@');
    }
    canonical.push_str(&host.to_lowercase());
    if let Some(port) = port.filter(|port| *port != default_port) {
        canonical.push(':');
        canonical.push_str(port);
    }
    canonical.push_str(&parameters.to_lowercase());
    Some(canonical)
}

/// The host and what follows it. An IPv6 address is one host with its brackets, although it has colons.
fn split_host(text: &str) -> Option<(&str, &str)> {
    let end = match text.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => text.find([':', ';', '?']).unwrap_or(text.len()),
    };
    if end == 0 || text[..end].contains('@') {
        None
    } else {
        Some(text.split_at(end))
    }
}

/// A host that may be printed: it has a letter and too few digits to be somebody's number.
fn printable_host(after_user: &str) -> Option<&str> {
    let (host, _) = split_host(after_user)?;
    let digits = host.bytes().filter(u8::is_ascii_digit).count();
    let named = host.bytes().any(|byte| byte.is_ascii_alphabetic());
    (named && digits < 7 && !host.starts_with('[')).then_some(host)
}

/// The last two digits, if the text ends in them and has enough others for them to give nothing away.
fn last_digits(text: &str) -> &str {
    let bytes = text.as_bytes();
    match bytes {
        [_, _, .., tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit() => &text[text.len() - 2..],
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(raw: &str, hint: &str) -> Address {
        let hint = (!hint.is_empty()).then(|| Country::parse(hint).unwrap());
        Address::parse(raw, hint).unwrap()
    }

    #[track_caller]
    fn check(raw: &str, hint: &str, canonical: &str, kind: AddressKind) {
        let address = parse(raw, hint);
        assert_eq!((address.expose(), address.kind()), (canonical, kind));
    }

    #[test]
    fn numbers_with_and_without_a_hint() {
        use AddressKind::Pstn;
        check("+1 (415) 555-1234", "", "+14155551234", Pstn);
        for (raw, hint) in [
            ("+44 (0)20 7946 0000", ""),
            ("+44(0)20 7946 0000", "US"),
            ("0044 (0)20 7946 0000", "GB"),
            ("(0)20 7946 0000", "GB"),
        ] {
            check(raw, hint, "+442079460000", Pstn);
        }
        // In Italy the zero is part of the number.
        check("+39 (0)6 1234 5678", "", "+390612345678", Pstn);
        check("+1 (0)", "", "+1 (0)", AddressKind::SipExtension);
        check("4155551234", "US", "+14155551234", Pstn);
        check("14155551234", "US", "+14155551234", Pstn);
        check("08043071383", "IN", "+918043071383", Pstn);
        check("918043071383", "IN", "+918043071383", Pstn);
        check("02271264296", "", "+02271264296", Pstn);
        check("020 7946 0000", "GB", "+442079460000", Pstn);
        check("2125550100", "XX", "+2125550100", Pstn);
        check("12345678", "", "+12345678", Pstn);
    }

    #[test]
    fn what_is_no_number_is_an_extension() {
        use AddressKind::SipExtension;
        check("1234567", "", "1234567", SipExtension);
        check("8000", "", "8000", SipExtension);
        check("Lobby", "", "lobby", SipExtension);
        check("+1.415.555.1234", "", "+1.415.555.1234", SipExtension);
        check("1234567890123456", "US", "1234567890123456", SipExtension);
        check("++14155551234", "", "++14155551234", SipExtension);
        check("٤١٥٥٥٥١٢٣٤", "", "٤١٥٥٥٥١٢٣٤", SipExtension);
    }

    #[test]
    fn sip_uris() {
        use AddressKind::SipUri;
        check(
            "SIP:Desk@Example.COM:5060;Transport=TCP",
            "",
            "sip:Desk@example.com;transport=tcp",
            SipUri,
        );
        check("sips:desk@h:5061", "", "sips:desk@h", SipUri);
        check("sip:desk@h:5080?X=Y", "", "sip:desk@h:5080?x=y", SipUri);
        check("sip:desk@h:5061", "", "sip:desk@h:5061", SipUri);
        check("sip:Example.com", "", "sip:example.com", SipUri);
        check("sip:Desk@[2001:DB8::1]:5060", "", "sip:Desk@[2001:db8::1]", SipUri);
        check(
            "sip:+14155551234;phone-context=X@GW",
            "",
            "sip:+14155551234;phone-context=X@gw",
            SipUri,
        );
        // Not of the form: lower-cased whole.
        check("sip:Desk@h:port", "", "sip:desk@h:port", SipUri);
        check("SIP:", "", "sip:", SipUri);
    }

    #[test]
    fn an_international_prefix_overrules_the_hint() {
        use AddressKind::Pstn;
        check("+4420794600000", "US", "+4420794600000", Pstn);
        check("0044 20 7946 0000", "GB", "+442079460000", Pstn);
        check("0044 20 7946 0000", "US", "+442079460000", Pstn);
        check("0044 20 7946 0000", "", "+442079460000", Pstn);
        check("00 123456789012345", "US", "+123456789012345", Pstn);
        // Three zeros are no international prefix, and neither is one before too few digits.
        check("000 20 7946 0000", "GB", "+442079460000", Pstn);
        check("001234567", "", "+001234567", Pstn);
    }

    #[test]
    fn kept_for_the_sake_of_stored_rows() {
        check("9123456789", "IN", "+9123456789", AddressKind::Pstn);
        check("06 6982 1234", "IT", "+39669821234", AddressKind::Pstn);
    }

    #[test]
    fn the_country_is_the_hint_where_it_agrees() {
        let us = Country::parse("us").unwrap();
        assert_eq!(parse("4155551234", "US").country(), Some(us));
        assert_eq!(parse("+14155551234", "us").country(), Some(us));
        assert_eq!(parse("+442079460000", "US").country(), None);
        assert_eq!(parse("2125550100", "XX").country(), None);
        assert_eq!(parse("8000", "US").country(), None);
        assert_eq!(parse("+14155551234", "").with_country(Some(us)).country(), Some(us));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let check = |raw: &str, error| assert_eq!(Address::parse(raw, None), Err(error));
        check(" \t ", AddressError::Blank);
        check(&"9".repeat(256), AddressError::TooLong { chars: 256 });
        check(&"İ".repeat(128), AddressError::TooLong { chars: 256 });
        check(
            &format!("sip:a@{}", "İ".repeat(128)),
            AddressError::TooLong { chars: 262 },
        );
        check("sip:a@b\r\nVia: c", AddressError::ControlCharacter);
        check("lob\tby", AddressError::ControlCharacter);
        for wrong in [
            "14155551234",
            "+1415555123a",
            "+04155551234",
            "+1234567",
            "+1234567890123456",
            "+1 4155551234",
        ] {
            assert_eq!(E164::parse(wrong), Err(AddressError::NotE164), "{wrong}");
        }
        for wrong in ["", "U", "USA", "1X", "Ü"] {
            assert_eq!(Country::parse(wrong), Err(AddressError::NotACountry), "{wrong}");
        }
    }

    #[test]
    fn only_a_real_number_is_e164() {
        assert_eq!(parse("4155551234", "US").e164().unwrap().expose(), "+14155551234");
        assert_eq!(parse("02271264296", "").e164(), None);
        assert_eq!(parse("8000", "").e164(), None);
    }

    #[test]
    fn printing_redacts() {
        let printed = |raw: &str| parse(raw, "").to_string();
        assert_eq!(printed("+14155551234"), "+•••34");
        assert_eq!(printed("+1.415.555.1234"), "•••34");
        assert_eq!(printed("8000"), "•••00");
        assert_eq!(printed("80"), "•••");
        assert_eq!(printed("lobby"), "•••");
        assert_eq!(printed("sip:+14155551234@gw.example.com;x=1"), "sip:•••@gw.example.com");
        assert_eq!(printed("sip:+14155551234"), "sip:•••");
        assert_eq!(printed("sip:a@14155551234.gw"), "sip:•••");
        assert_eq!(format!("{:?}", parse("+14155551234", "")), "Address(+•••34)");
        assert_eq!(format!("{:?}", E164::parse("+14155551234").unwrap()), "E164(+•••34)");
    }

    #[test]
    fn deserialises_from_the_written_form() {
        let address: Address = serde_json::from_str("\"+1 415 555 1234\"").unwrap();
        assert_eq!(address.expose(), "+14155551234");
        assert!(serde_json::from_str::<Address>("\"\"").is_err());
        assert!(serde_json::from_str::<E164>("\"415\"").is_err());
        let country: Country = serde_json::from_str("\"gb\"").unwrap();
        assert_eq!(serde_json::to_string(&country).unwrap(), "\"GB\"");
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(
            raw in "(\\PC{0,20}|(sip|SIPS):[A-Za-z0-9@:;?\\[\\]=.+]{0,24}|[+0-9 ()-]{0,20})",
            hint in proptest::option::of("[A-Z]{2}"),
        ) {
            let hint = hint.map(|hint| Country::parse(&hint).unwrap());
            if let Ok(address) = Address::parse(&raw, hint) {
                let again = Address::parse(address.expose(), None).unwrap();
                prop_assert_eq!(again.expose(), address.expose());
                prop_assert_eq!(again.kind(), address.kind());
            }
        }

        #[test]
        fn no_print_shows_more_than_two_digits(digits in "[0-9]{6,17}", form in 0..5_usize) {
            let raw = [
                digits.clone(),
                format!("+{digits}"),
                format!("sip:{digits}@example.com"),
                format!("sip:x@{digits}.com"),
                format!("sip:{digits}"),
            ][form].clone();
            if form == 3 && digits.len() < 7 {
                return Ok(());
            }
            let printed = format!("{:?}", Address::parse(&raw, None).unwrap());
            prop_assert!(printed.bytes().filter(u8::is_ascii_digit).count() <= 2, "{}", printed);
        }
    }
}
