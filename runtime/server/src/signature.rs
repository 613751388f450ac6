//! Detached signatures of component files: who vouches for what is about to be installed.
//!
//! A signature is minisign's, or a plain Ed25519 one, over the bytes of the file; it lies beside the file. Whose signatures
//! count is the operator's decision. A signature says who made a file, not that the file is harmless: the sandbox does not
//! become any wider by it.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};
use thiserror::Error;

/// The largest signature file: minisign's with long comments.
pub const SIGNATURE_BYTES_MAX: usize = 4 * 1024;

/// Somebody whose signatures count.
#[derive(Clone)]
pub struct TrustedSigner {
    name: String,
    key: Key,
}

#[derive(Clone)]
enum Key {
    Minisign(minisign_verify::PublicKey),
    Ed25519(VerifyingKey),
}

impl fmt::Debug for TrustedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedSigner")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl FromStr for TrustedSigner {
    type Err = &'static str;

    /// `NAME=KEY`, with a key as minisign prints it or 64 hexadecimal digits of Ed25519.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const CURE: &str = "must be NAME=KEY, with the second line of a minisign public key file, or the 64 hexadecimal digits \
                            of an Ed25519 public key";
        // Not the last `=`: base64 may end with some.
        let (name, key) = text.split_once('=').ok_or(CURE)?;
        let (name, key) = (name.trim(), key.trim());
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err(CURE);
        }
        let mut bytes = [0; 32];
        let key = if hex::decode_to_slice(key, &mut bytes).is_ok() {
            Key::Ed25519(VerifyingKey::from_bytes(&bytes).map_err(|_| CURE)?)
        } else {
            Key::Minisign(minisign_verify::PublicKey::from_base64(key).map_err(|_| CURE)?)
        };
        Ok(Self {
            name: name.to_owned(),
            key,
        })
    }
}

impl TrustedSigner {
    /// As the settings call them.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why a component is not vouched for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The operator wants one.
    #[error(
        "the component has no signature, and this installation takes none without; give the signature of one of its trusted signers ({signers})"
    )]
    Missing {
        /// Whose would do.
        signers: String,
    },
    /// Neither format.
    #[error(
        "this is no signature: give the file that minisign writes beside the component (.minisig), or an Ed25519 signature as 64 bytes or 128 hexadecimal digits"
    )]
    Unreadable,
    /// Nobody to believe.
    #[error("a signature was given, but nobody is trusted to sign: name them with the setting `trusted_signers`")]
    NobodyTrusted,
    /// Somebody else's, or of another file.
    #[error(
        "the signature is of another file, or of nobody who is trusted here ({signers}); check that file and signature belong together, or add the signer to the setting `trusted_signers`"
    )]
    Untrusted {
        /// Whose would do.
        signers: String,
    },
}

/// Finds out who signed a component; nobody, when it has no signature and needs none.
///
/// # Errors
/// When there is a signature that does not hold, or none where one is required. A signature that nobody can check is never
/// taken for none.
pub fn check(
    signers: &[TrustedSigner],
    is_required: bool,
    bytes: &[u8],
    signature: Option<&[u8]>,
) -> Result<Option<String>, SignatureError> {
    let names = || signers.iter().map(TrustedSigner::name).collect::<Vec<_>>().join(", ");
    let Some(signature) = signature else {
        return if is_required {
            Err(SignatureError::Missing { signers: names() })
        } else {
            Ok(None)
        };
    };
    let signature = Detached::read(signature).ok_or(SignatureError::Unreadable)?;
    if signers.is_empty() {
        return Err(SignatureError::NobodyTrusted);
    }
    match signers.iter().find(|signer| signature.is_of(signer, bytes)) {
        Some(signer) => Ok(Some(signer.name.clone())),
        None => Err(SignatureError::Untrusted { signers: names() }),
    }
}

enum Detached {
    Minisign(minisign_verify::Signature),
    Ed25519(Signature),
}

impl Detached {
    fn read(file: &[u8]) -> Option<Self> {
        if file.len() > SIGNATURE_BYTES_MAX {
            return None;
        }
        if let Ok(plain) = Signature::from_slice(file) {
            return Some(Self::Ed25519(plain));
        }
        let text = std::str::from_utf8(file).ok()?.trim();
        if text.starts_with("untrusted comment:") {
            return Some(Self::Minisign(minisign_verify::Signature::decode(text).ok()?));
        }
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self::Ed25519(Signature::from_bytes(&bytes)))
    }

    fn is_of(&self, signer: &TrustedSigner, bytes: &[u8]) -> bool {
        match (self, &signer.key) {
            // What minisign wrote before it hashed files first is refused: it takes the whole file into memory elsewhere.
            (Self::Minisign(signature), Key::Minisign(key)) => key.verify(bytes, signature, false).is_ok(),
            (Self::Ed25519(signature), Key::Ed25519(key)) => key.verify_strict(bytes, signature).is_ok(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    // The example of minisign's own documentation: the file `test`.
    const MINISIGN_KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const MINISIGN: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==";

    fn ed25519() -> (SigningKey, TrustedSigner) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let signer = format!("acme={}", hex::encode(key.verifying_key().to_bytes()));
        (key, signer.parse().unwrap())
    }

    #[test]
    fn minisign_and_plain_signatures_say_who_signed() {
        let minisign: TrustedSigner = format!("frank={MINISIGN_KEY}").parse().unwrap();
        let (key, acme) = ed25519();
        let signers = [minisign, acme];
        let plain = key.sign(b"test");
        let check = |signature: &[u8]| check(&signers, true, b"test", Some(signature));
        assert_eq!(check(MINISIGN.as_bytes()), Ok(Some("frank".to_owned())));
        assert_eq!(check(&plain.to_bytes()), Ok(Some("acme".to_owned())));
        assert_eq!(
            check(hex::encode(plain.to_bytes()).as_bytes()),
            Ok(Some("acme".to_owned()))
        );
    }

    #[test]
    fn what_does_not_hold_is_refused_and_never_ignored() {
        let (key, acme) = ed25519();
        let signers = [acme];
        let good = key.sign(b"test").to_bytes();
        let mut flipped = good;
        flipped[3] ^= 1;
        let stranger = SigningKey::from_bytes(&[8; 32]).sign(b"test").to_bytes();
        for (bytes, signature) in [(&b"tesT"[..], good), (b"test", flipped), (b"test", stranger)] {
            let refusal = check(&signers, false, bytes, Some(&signature)).unwrap_err();
            assert!(matches!(refusal, SignatureError::Untrusted { .. }), "{refusal}");
        }
        // Of the right file, by somebody else's key of the other kind.
        let refusal = check(&signers, false, b"test", Some(MINISIGN.as_bytes())).unwrap_err();
        assert!(refusal.to_string().contains("acme"), "{refusal}");
        assert_eq!(
            check(&signers, false, b"test", Some(b"hello")),
            Err(SignatureError::Unreadable)
        );
        assert_eq!(
            check(&[], false, b"test", Some(&good)),
            Err(SignatureError::NobodyTrusted)
        );
        assert!(matches!(
            check(&signers, true, b"test", None),
            Err(SignatureError::Missing { .. })
        ));
        assert_eq!(check(&signers, false, b"test", None), Ok(None));
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        for text in [
            "",
            "acme",
            "acme=",
            "=00",
            "acme=RWQ",
            &format!("acme={}", "0".repeat(63)),
        ] {
            assert!(text.parse::<TrustedSigner>().is_err(), "{text}");
        }
    }
}
