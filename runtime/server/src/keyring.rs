//! Encryption at rest: what a copied database must not give away.
//!
//! **Envelopes.** A [`DataKey`] is random, belongs to one organisation (one more makes the blind index), and seals its
//! secrets. It is kept in the database, wrapped by a master key. A [`Keyring`] has the master keys: one that wraps and any
//! number of older ones that still open. So a new master key means that a few data keys are wrapped again, and no secret is
//! touched; and a new data key is known to every process that shares the database (`store::data_keys`).
//!
//! A sealed text is bound to its [`Place`] (table, organisation, row, column) and to the key's id as associated data, so
//! that it opens nowhere else: a row that was copied over another one is as unreadable as one that was changed.
//!
//! What this does not protect against is whoever reads both the database and the master key.

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
/// Characters of a key's id, with which everything begins that is sealed under it.
pub const KEY_ID_CHARS: usize = 16;

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
    #[error("sealed under the key {key_id}, which is not there")]
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

/// Bytes that seal and make a blind index, under a name that says nothing about them.
#[derive(Clone)]
struct Key {
    id: String,
    cipher: ChaCha20Poly1305,
    index: [u8; KEY_BYTES],
}

impl Key {
    /// A master key: its name comes from its bytes, so that nobody has to write it down.
    fn master(bytes: &[u8; KEY_BYTES]) -> Self {
        let id = derive(bytes, b"key id");
        Self::named(hex::encode(&id[..KEY_ID_CHARS / 2]), bytes)
    }

    /// One key, several uses that tell nothing about each other.
    fn named(id: String, bytes: &[u8; KEY_BYTES]) -> Self {
        let seal = derive(bytes, b"seal");
        Self {
            id,
            cipher: ChaCha20Poly1305::new(&seal.into()),
            index: derive(bytes, b"blind index"),
        }
    }

    /// `<key id>.<nonce and ciphertext>`
    fn seal(&self, place: Place<'_>, plain: &str) -> Result<String, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let aad = place.associated_data(&self.id);
        let payload = Payload {
            msg: plain.as_bytes(),
            aad: &aad,
        };
        let sealed = self
            .cipher
            .encrypt(&Nonce::from(nonce), payload)
            .expect("a text that fits in memory is shorter than the 256 GiB that the cipher takes");
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        Ok(format!("{}.{}", self.id, STANDARD_NO_PAD.encode(bytes)))
    }

    /// Opens what follows the key's id.
    fn open(&self, place: Place<'_>, text: &str) -> Result<String, OpenError> {
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| OpenError::Tampered)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Tampered)?;
        let aad = place.associated_data(&self.id);
        let payload = Payload {
            msg: ciphertext,
            aad: &aad,
        };
        let plain = self.cipher.decrypt(&Nonce::from(*nonce), payload);
        String::from_utf8(plain.map_err(|_| OpenError::Tampered)?).map_err(|_| OpenError::Tampered)
    }
}

/// The id of the key that a text is sealed under.
#[must_use]
pub fn key_id(sealed: &str) -> Option<&str> {
    sealed.split_once('.').map(|(id, _)| id)
}

fn unknown(key_id: &str) -> OpenError {
    OpenError::UnknownKey {
        key_id: key_id.chars().take(KEY_ID_CHARS).collect(),
    }
}

/// What seals the secrets of one organisation, or makes the blind index of all. It lives in the database, wrapped.
#[derive(Clone)]
pub struct DataKey {
    key: Key,
    bytes: [u8; KEY_BYTES],
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DataKey").field(&self.key.id).finish()
    }
}

impl DataKey {
    /// A new random one with a random name.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut id = [0; KEY_ID_CHARS / 2];
        getrandom::fill(&mut id)?;
        Self::named(&hex::encode(id))
    }

    /// A new random one with this name.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn named(id: &str) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self::new(id.to_owned(), bytes))
    }

    fn new(id: String, bytes: [u8; KEY_BYTES]) -> Self {
        Self {
            key: Key::named(id, &bytes),
            bytes,
        }
    }

    /// Its name, which is the beginning of what it sealed.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.key.id
    }

    /// Seals a text for one place: `<key id>.<nonce and ciphertext>`.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn seal(&self, place: Place<'_>, plain: &str) -> Result<String, getrandom::Error> {
        self.key.seal(place, plain)
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// Another key is needed, or this is not what was sealed here.
    pub fn open(&self, place: Place<'_>, sealed: &str) -> Result<String, OpenError> {
        match sealed.split_once('.') {
            Some((id, text)) if id == self.key.id => self.key.open(place, text),
            Some((id, _)) => Err(unknown(id)),
            None => Err(OpenError::Tampered),
        }
    }

    /// A keyed hash by which a row can be found without the value in it: equal for equal values, and useless without
    /// the key. `domain` keeps equal values of different kinds apart.
    #[must_use]
    pub fn blind_index(&self, domain: &str, value: &str) -> String {
        blind_index(&self.key.index, domain, value)
    }
}

/// The master keys.
#[derive(Clone)]
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
            keys.push(bytes);
        }
        let mut keys = keys.iter().map(Key::master);
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

    /// The id of the key that wraps: it says which key, and nothing about the key.
    #[must_use]
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    /// The ids of all keys, the current one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys().map(|key| &*key.id)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.older)
    }

    /// Wraps a data key under the current master key, for its place.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn wrap(&self, place: Place<'_>, key: &DataKey) -> Result<String, getrandom::Error> {
        self.current.seal(place, &hex::encode(key.bytes))
    }

    /// Unwraps a data key, under whichever master key it is.
    ///
    /// # Errors
    /// Another master key is needed, or this is not what was wrapped here.
    pub fn unwrap(&self, place: Place<'_>, id: &str, wrapped: &str) -> Result<DataKey, OpenError> {
        let plain = self.open(place, wrapped)?;
        let mut bytes = [0; KEY_BYTES];
        hex::decode_to_slice(plain, &mut bytes).map_err(|_| OpenError::Tampered)?;
        Ok(DataKey::new(id.to_owned(), bytes))
    }

    /// Opens what a master key sealed itself: a data key, or a secret of a database that is older than data keys.
    ///
    /// # Errors
    /// Another key is needed, or this is not what was sealed here.
    pub fn open(&self, place: Place<'_>, sealed: &str) -> Result<String, OpenError> {
        let (key_id, text) = sealed.split_once('.').ok_or(OpenError::Tampered)?;
        let key = self
            .keys()
            .find(|key| key.id == key_id)
            .ok_or_else(|| unknown(key_id))?;
        key.open(place, text)
    }

    /// What a database has that is older than data keys.
    #[cfg(test)]
    pub(crate) fn seal_without_data_key(&self, place: Place<'_>, plain: &str) -> String {
        self.current.seal(place, plain).unwrap()
    }

    /// A key for something that is this installation's own, such as what it has compiled.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> String {
        blind_index(&self.current.index, purpose, "")
    }
}

fn blind_index(key: &[u8; KEY_BYTES], domain: &str, value: &str) -> String {
    let mut mac = keyed(key);
    mac.update(&(domain.len() as u64).to_be_bytes());
    mac.update(domain.as_bytes());
    mac.update(value.as_bytes());
    hex::encode(mac.finalize().into_bytes())
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
        let key = DataKey::generate().unwrap();
        let sealed = key.seal(place("a"), "hush").unwrap();
        assert!(!sealed.contains("hush"));
        assert_eq!(key_id(&sealed), Some(key.id()));
        assert_ne!(
            sealed,
            key.seal(place("a"), "hush").unwrap(),
            "every seal has its own nonce"
        );
        assert_eq!(key.open(place("a"), &sealed).unwrap(), "hush");
        let elsewhere = [
            place("b"),
            Place {
                organization: "p",
                ..place("a")
            },
            Place {
                column: "other",
                ..place("a")
            },
        ];
        for place in elsewhere {
            assert_eq!(key.open(place, &sealed), Err(OpenError::Tampered));
        }
        for broken in [
            "",
            "x",
            &sealed[..sealed.len() - 2],
            &format!("{}AA", &sealed[..sealed.len() - 2]),
        ] {
            assert!(key.open(place("a"), broken).is_err());
        }
        let other = DataKey::generate().unwrap();
        assert!(matches!(
            other.open(place("a"), &sealed),
            Err(OpenError::UnknownKey { .. })
        ));
    }

    #[test]
    fn a_data_key_is_wrapped_again_without_touching_what_it_sealed() {
        let old = Keyring::parse(OLD).unwrap();
        let key = DataKey::generate().unwrap();
        let sealed = key.seal(place("a"), "hush").unwrap();
        let wrapped = old.wrap(place("k"), &key).unwrap();
        assert_eq!(key_id(&wrapped), Some(old.current_id()));

        let both = Keyring::parse(&format!("# new\n{NEW}\n\n{OLD}\n")).unwrap();
        assert_eq!(both.ids().collect::<Vec<_>>(), [both.current_id(), old.current_id()]);
        let again = both.unwrap(place("k"), key.id(), &wrapped).unwrap();
        let wrapped_again = both.wrap(place("k"), &again).unwrap();
        let new = Keyring::parse(NEW).unwrap();
        assert_eq!(
            new.unwrap(place("k"), key.id(), &wrapped).unwrap_err(),
            OpenError::UnknownKey {
                key_id: old.current_id().to_owned()
            }
        );
        assert!(new.unwrap(place("other"), key.id(), &wrapped_again).is_err());
        let opened = new.unwrap(place("k"), key.id(), &wrapped_again).unwrap();
        assert_eq!(opened.open(place("a"), &sealed).unwrap(), "hush");
        assert_eq!(opened.blind_index("account", "42"), key.blind_index("account", "42"));
    }

    #[test]
    fn a_blind_index_depends_on_key_domain_and_value() {
        let key = DataKey::generate().unwrap();
        let index = key.blind_index("account", "42");
        assert_eq!(index, key.blind_index("account", "42"));
        assert_ne!(index, key.blind_index("account", "43"));
        assert_ne!(index, key.blind_index("account4", "2"));
        assert_ne!(index, DataKey::generate().unwrap().blind_index("account", "42"));
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
