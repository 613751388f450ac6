//! References to secrets that the provider never sees.

use serde::{Deserialize, Serialize};

use crate::{KeyEncoding, SealedKey};

/// A sealed reference: an opaque string that stands for a secret. It is of use in an authorisation and in a proof only;
/// the runtime refuses to let it out anywhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    pub fn new(reference: impl Into<String>) -> Self {
        Self(reference.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The secret's UTF-8 bytes as a key.
    pub fn key(&self) -> SealedKey {
        SealedKey {
            reference: self.0.clone(),
            encoding: KeyEncoding::Utf8,
        }
    }

    /// The key that the secret spells in base64.
    pub fn base64_key(&self) -> SealedKey {
        SealedKey {
            reference: self.0.clone(),
            encoding: KeyEncoding::Base64,
        }
    }

    /// The key that the secret spells in hexadecimal digits.
    pub fn hex_key(&self) -> SealedKey {
        SealedKey {
            reference: self.0.clone(),
            encoding: KeyEncoding::Hex,
        }
    }
}

impl From<&Sealed> for String {
    fn from(sealed: &Sealed) -> Self {
        sealed.0.clone()
    }
}
