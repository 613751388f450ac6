//! Encryption at rest: what a copied database must not give away.
//!
//! A [`Keyring`] has one key that seals and any number of older ones that still open. A sealed text is bound to its
//! [`Place`] (table, organisation, row, column) and to the key's id as associated data, so that it opens nowhere else: a
//! row that was copied over another one is as unreadable as one that was changed.
//!
//! To rotate the key, put a new line above the old one in the key file and start again: the store seals everything under
//! the new key when it opens. Then the old line can go.
//!
//! What this does not protect against is whoever reads both the database and the key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// The most keys in one ring; more than a few means that rotation is not being finished.
pub const KEYS_MAX: usize = 8;
const NONCE_BYTES: usize = 12;

/// What is wrong with the text of a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// No line with a key.
    #[error("there is no key in it; put 64 hexadecimal digits there, for example from `openssl rand -hex 32`")]
    Missing,
    /// Not 64 hexadecimal digits.
    #[error("line {line} has {chars} characters, a key is {} hexadecimal digits ({KEY_BYTES} bytes); make one with `openssl rand -hex 32`", KEY_BYTES * 2)]
    WrongLength {
        /// Counted from 1.
        line: usize,
        /// Its length in characters.
        chars: usize,
    },
    /// The right length, but not hexadecimal.
    #[error("line {line} has a character that is no hexadecimal digit; make a key with `openssl rand -hex 32`")]
    NotHexadecimal {
        /// Counted from 1.
        line: usize,
    },
    /// More than [`KEYS_MAX`] keys.
    #[error("it has more than {KEYS_MAX} keys; remove those that have been rotated out")]
    TooMany,
}

/// Why a sealed text stays closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Sealed under a key that is not in this ring.
    #[error("sealed under the key {key_id}, which is not in the key file")]
    UnknownKey {
        /// The id of the key that is missing.
        key_id: String,
    },
    /// Changed, moved to another row, or never a sealed text.
    #[error("not what was sealed here: the row was changed or moved")]
    Tampered,
}

/// The row and column that a sealed text belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Name of the table.
    pub table: &'static str,
    /// Id of the organisation that the row belongs to.
    pub organization: &'a str,
    /// Id of the row.
    pub row: &'a str,
    /// Name of the column.
    pub column: &'static str,
}

impl Place<'_> {
    /// Each part is preceded by its length, so that no two places have the same associated data.
    fn associated_data(&self, key_id: &str) -> Vec<u8> {
        let mut data = Vec::with_capacity(160);
        for part in [
            "strowger at rest 1",
            self.table,
            self.organization,
            self.row,
            self.column,
            key_id,
        ] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

struct Key {
    id: String,
    cipher: ChaCha20Poly1305,
    index: [u8; KEY_BYTES],
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        // One key, three uses that tell nothing about each other.
        let id = derive(bytes, b"key id");
        let seal = derive(bytes, b"seal");
        Self {
            id: hex::encode(&id[..8]),
            cipher: ChaCha20Poly1305::new(&seal.into()),
            index: derive(bytes, b"blind index"),
        }
    }
}

/// The keys that protect the store.
pub struct Keyring {
    current: Key,
    older: Vec<Key>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("current", &self.current.id)
            .field("older", &self.older.len())
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Reads keys as 64 hexadecimal digits a line, the current one first. Blank lines and `#` comments are skipped.
    ///
    /// # Errors
    /// The line that is no key, never its text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let line_number = n + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.chars().count() != KEY_BYTES * 2 {
                return Err(KeyError::WrongLength {
                    line: line_number,
                    chars: line.chars().count(),
                });
            }
            let mut bytes = [0; KEY_BYTES];
            hex::decode_to_slice(line, &mut bytes).map_err(|_| KeyError::NotHexadecimal { line: line_number })?;
            if keys.len() == KEYS_MAX {
                return Err(KeyError::TooMany);
            }
            keys.push(Key::new(&bytes));
        }
        let mut keys = keys.into_iter();
        let current = keys.next().ok_or(KeyError::Missing)?;
        Ok(Self {
            current,
            older: keys.collect(),
        })
    }

    /// A new random key as a line for a key file.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn generate_line() -> Result<String, getrandom::Error> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(hex::encode(bytes))
    }

    /// The id of the key that seals: it says which key, and nothing about the key.
    #[must_use]
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    /// Seals a text for one place: `<key id>.<nonce and ciphertext>`.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn seal(&self, place: Place<'_>, plain: &str) -> Result<String, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let aad = place.associated_data(&self.current.id);
        let sealed = self
            .current
            .cipher
            .encrypt(
                &Nonce::from(nonce),
                Payload {
                    msg: plain.as_bytes(),
                    aad: &aad,
                },
            )
            .expect("a text that fits in memory is shorter than the 256 GiB that the cipher takes");
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        Ok(format!("{}.{}", self.current.id, STANDARD_NO_PAD.encode(bytes)))
    }

    /// Opens what was sealed for this place, under the current key or an older one.
    ///
    /// # Errors
    /// Another key is needed, or this is not what was sealed here.
    pub fn open(&self, place: Place<'_>, sealed: &str) -> Result<String, OpenError> {
        let (key_id, text) = sealed.split_once('.').ok_or(OpenError::Tampered)?;
        let key = std::iter::once(&self.current)
            .chain(&self.older)
            .find(|key| key.id == key_id)
            .ok_or_else(|| OpenError::UnknownKey {
                key_id: key_id.chars().take(32).collect(),
            })?;
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| OpenError::Tampered)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Tampered)?;
        let plain = key
            .cipher
            .decrypt(
                &Nonce::from(*nonce),
                Payload {
                    msg: ciphertext,
                    aad: &place.associated_data(key_id),
                },
            )
            .map_err(|_| OpenError::Tampered)?;
        String::from_utf8(plain).map_err(|_| OpenError::Tampered)
    }

    /// Whether a sealed text waits to be sealed under the current key.
    #[must_use]
    pub fn is_stale(&self, sealed: &str) -> bool {
        sealed
            .split_once('.')
            .is_none_or(|(key_id, _)| key_id != self.current.id)
    }

    /// A keyed hash by which a row can be found without the value in it: equal for equal values, and useless without
    /// the key. `domain` keeps equal values of different kinds apart.
    #[must_use]
    pub fn blind_index(&self, domain: &str, value: &str) -> String {
        let mut mac = keyed(&self.current.index);
        mac.update(&(domain.len() as u64).to_be_bytes());
        mac.update(domain.as_bytes());
        mac.update(value.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

fn keyed(key: &[u8; KEY_BYTES]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length")
}

fn derive(key: &[u8; KEY_BYTES], purpose: &[u8]) -> [u8; KEY_BYTES] {
    let mut mac = keyed(key);
    mac.update(b"strowger ");
    mac.update(purpose);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0101010101010101010101010101010101010101010101010101010101010101";
    const NEW: &str = "0202020202020202020202020202020202020202020202020202020202020202";

    fn place(row: &str) -> Place<'_> {
        Place {
            table: "things",
            organization: "o",
            row,
            column: "secret",
        }
    }

    #[test]
    fn what_is_sealed_opens_only_at_its_place() {
        let ring = Keyring::parse(OLD).unwrap();
        let sealed = ring.seal(place("a"), "hush").unwrap();
        assert!(!sealed.contains("hush"));
        assert_ne!(
            sealed,
            ring.seal(place("a"), "hush").unwrap(),
            "every seal has its own nonce"
        );
        assert_eq!(ring.open(place("a"), &sealed).unwrap(), "hush");
        assert_eq!(ring.open(place("b"), &sealed), Err(OpenError::Tampered));
        assert_eq!(
            ring.open(
                Place {
                    organization: "p",
                    ..place("a")
                },
                &sealed
            ),
            Err(OpenError::Tampered)
        );
        assert_eq!(
            ring.open(
                Place {
                    column: "other",
                    ..place("a")
                },
                &sealed
            ),
            Err(OpenError::Tampered)
        );
        for broken in [
            "",
            "x",
            &sealed[..sealed.len() - 2],
            &format!("{}AA", &sealed[..sealed.len() - 2]),
        ] {
            assert!(ring.open(place("a"), broken).is_err());
        }
    }

    #[test]
    fn a_rotated_key_still_opens_and_a_lost_one_is_named() {
        let old = Keyring::parse(OLD).unwrap();
        let sealed = old.seal(place("a"), "hush").unwrap();
        let both = Keyring::parse(&format!("# new\n{NEW}\n\n{OLD}\n")).unwrap();
        assert_eq!(both.open(place("a"), &sealed).unwrap(), "hush");
        assert!(both.is_stale(&sealed));
        assert!(!both.is_stale(&both.seal(place("a"), "hush").unwrap()));
        let new = Keyring::parse(NEW).unwrap();
        assert_eq!(
            new.open(place("a"), &sealed),
            Err(OpenError::UnknownKey {
                key_id: old.current_id().to_owned()
            })
        );
    }

    #[test]
    fn a_blind_index_depends_on_key_domain_and_value() {
        let ring = Keyring::parse(OLD).unwrap();
        let index = ring.blind_index("account", "42");
        assert_eq!(index, ring.blind_index("account", "42"));
        assert_ne!(index, ring.blind_index("account", "43"));
        assert_ne!(index, ring.blind_index("account4", "2"));
        assert_ne!(index, Keyring::parse(NEW).unwrap().blind_index("account", "42"));
    }

    #[test]
    fn a_bad_key_is_told_without_showing_it() {
        assert_eq!(Keyring::parse("\n# none\n").unwrap_err(), KeyError::Missing);
        assert_eq!(
            Keyring::parse("\nabc").unwrap_err(),
            KeyError::WrongLength { line: 2, chars: 3 }
        );
        assert_eq!(
            Keyring::parse(&"g".repeat(64)).unwrap_err(),
            KeyError::NotHexadecimal { line: 1 }
        );
        assert_eq!(
            Keyring::parse(&format!("{OLD}\n").repeat(9)).unwrap_err(),
            KeyError::TooMany
        );
        let ring = Keyring::parse(&Keyring::generate_line().unwrap()).unwrap();
        assert!(!format!("{ring:?}").contains("index"));
    }
}
