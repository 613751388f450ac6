//! The names of calls and transfers: ours, and the carrier's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest identifier that a carrier may give a call. The longest seen, a call control id in base64, has about 90.
const PROVIDER_CALL_ID_BYTES_MAX: usize = 255;

/// Why a text is no identifier. The text itself is left out: it came from outside.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// An id of ours that is not a hyphenated UUID.
    #[error("an id of ours is a UUID of 36 characters")]
    NotAUuid,
    /// The carrier's id has no visible character.
    #[error("the carrier's call id is blank")]
    Blank,
    /// The carrier's id is longer than 255 bytes.
    #[error("the carrier's call id has {bytes} bytes, more than {PROVIDER_CALL_ID_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The carrier's id has a control character, which no carrier's has and a forged one may.
    #[error("the carrier's call id has a control character")]
    ControlCharacter,
}

/// A name of ours: a UUID in its hyphenated lower-case form. It opens nothing by itself, so it may be logged.
macro_rules! own_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Reads the hyphenated form of a UUID of any version, in either case.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                hyphenated_uuid(text).map(Self)
            }

            /// The hyphenated lower-case form.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

own_id!(
    /// Our name of a call. It opens nothing by itself, so it may be logged.
    CallId
);
own_id!(
    /// Our name of a transfer. It names a conference at some carriers, so it must not be guessable.
    TransferId
);

fn hyphenated_uuid(text: &str) -> Result<String, IdError> {
    let hyphenated = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if hyphenated {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(IdError::NotAUuid)
    }
}

/// The carrier's name of a call. With the account's credentials it gives access to recordings and numbers, so logs get
/// only its end; serialisation, which is for storage, gives the whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderCallId(String);

impl ProviderCallId {
    /// Takes an identifier as the carrier wrote it. Nothing is changed: carriers compare it byte by byte.
    pub fn new(id: impl Into<String>) -> Result<Self, IdError> {
        let id = id.into();
        if id.trim().is_empty() {
            return Err(IdError::Blank);
        }
        if id.len() > PROVIDER_CALL_ID_BYTES_MAX {
            return Err(IdError::TooLong { bytes: id.len() });
        }
        if id.chars().any(char::is_control) {
            return Err(IdError::ControlCharacter);
        }
        Ok(Self(id))
    }

    /// The whole identifier, for a request to the carrier or for storage. Not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderCallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Four characters tell a reader which of a few calls this is. Of a short id they would be most of it.
        let chars = self.0.chars().count();
        let shown = if chars >= 12 { 4 } else { 0 };
        f.write_str("•••")?;
        self.0
            .chars()
            .skip(chars - shown)
            .try_for_each(|char| write!(f, "{char}"))
    }
}

impl fmt::Debug for ProviderCallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderCallId({self})")
    }
}

impl TryFrom<String> for ProviderCallId {
    type Error = IdError;

    fn try_from(id: String) -> Result<Self, IdError> {
        Self::new(id)
    }
}

impl From<ProviderCallId> for String {
    fn from(id: ProviderCallId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_a_uuid() {
        let id = CallId::parse("0193C0DE-0000-7000-8000-0123456789AB").unwrap();
        assert_eq!(id.to_string(), "0193c0de-0000-7000-8000-0123456789ab");
        for wrong in [
            "",
            "0193c0de000070008000-0123456789ab",
            "0193c0de-0000-7000-8000-0123456789ag",
            "é".repeat(18).as_str(),
        ] {
            assert_eq!(CallId::parse(wrong), Err(IdError::NotAUuid), "{wrong}");
        }
        assert!(serde_json::from_str::<CallId>("\"nobody\"").is_err());
    }

    #[test]
    fn a_providers_call_id_is_not_printed() {
        let id = ProviderCallId::new("CA0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(id.to_string(), "•••cdef");
        assert_eq!(format!("{id:?}"), "ProviderCallId(•••cdef)");
        assert_eq!(id.expose().len(), 34);
        assert_eq!(ProviderCallId::new("short").unwrap().to_string(), "•••");
    }

    #[test]
    fn a_providers_call_id_round_trips_whole() {
        let json = "\"v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg\"";
        let id: ProviderCallId = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), json);
    }

    #[test]
    fn a_providers_call_id_is_bounded() {
        assert_eq!(ProviderCallId::new("  "), Err(IdError::Blank));
        assert_eq!(
            ProviderCallId::new("x".repeat(256)),
            Err(IdError::TooLong { bytes: 256 })
        );
        assert_eq!(ProviderCallId::new("a\r\nHost: b"), Err(IdError::ControlCharacter));
    }
}
