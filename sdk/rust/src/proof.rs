//! Describing how a webhook may be genuine. The runtime evaluates it; no secret comes here.

use std::time::Duration;

use crate::{
    Check, DigestCheck, Ed25519Check, EqualsCheck, Hash, HmacCheck, OnceCheck, Proof, Rejection, Sealed, SealedKey,
    Segment,
};

impl Proof {
    /// A proof without checks yet. The label tells a user which way of signing this is: `sha1, url with port`.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            checks: Vec::new(),
        }
    }

    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// RFC 2104 over `message`; `expected` is the decoded signature.
    #[must_use]
    pub fn hmac(self, hash: Hash, key: SealedKey, message: impl Into<Vec<u8>>, expected: impl Into<Vec<u8>>) -> Self {
        let message = vec![Segment::Bytes(message.into())];
        self.check(Check::Hmac(HmacCheck {
            hash,
            key,
            message,
            expected: expected.into(),
        }))
    }

    #[must_use]
    pub fn hmac_sha1(self, key: &Sealed, message: impl Into<Vec<u8>>, expected: impl Into<Vec<u8>>) -> Self {
        self.hmac(Hash::Sha1, key.key(), message, expected)
    }

    #[must_use]
    pub fn hmac_sha256(self, key: &Sealed, message: impl Into<Vec<u8>>, expected: impl Into<Vec<u8>>) -> Self {
        self.hmac(Hash::Sha256, key.key(), message, expected)
    }

    /// A plain digest: proves nothing alone, only ties a part of the webhook to what another check signs.
    #[must_use]
    pub fn digest(self, hash: Hash, message: impl Into<Vec<u8>>, expected: impl Into<Vec<u8>>) -> Self {
        let message = vec![Segment::Bytes(message.into())];
        self.check(Check::Digest(DigestCheck {
            hash,
            message,
            expected: expected.into(),
        }))
    }

    /// RFC 8032: 32 bytes of public key, 64 bytes of signature.
    #[must_use]
    pub fn ed25519(self, public_key: Vec<u8>, message: impl Into<Vec<u8>>, signature: Vec<u8>) -> Self {
        self.check(Check::Ed25519(Ed25519Check {
            public_key,
            message: message.into(),
            signature,
        }))
    }

    /// The carrier presents the secret itself.
    #[must_use]
    pub fn equals(self, sealed: &Sealed, presented: impl Into<Vec<u8>>) -> Self {
        self.check(Check::Equals(EqualsCheck {
            sealed: sealed.into(),
            presented: presented.into(),
        }))
    }

    /// Holds for the first webhook with this key, 1 to 128 characters; at most 24 hours.
    #[must_use]
    pub fn once(self, key: impl Into<String>, ttl: Duration) -> Self {
        self.check(Check::Once(OnceCheck {
            key: key.into(),
            ttl_ms: milliseconds(ttl),
        }))
    }
}

impl Rejection {
    /// `code` in kebab case; `message` says what is missing and where to look, never a value.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
