//! Evaluates the proofs that a component describes for a webhook, in constant time, with secrets it never sees.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::Hmac;
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use crate::bindings::exports::strowger::provider::webhook as wit;
use crate::http::Webhook;
use crate::sealed::Vault;

/// Proofs of one webhook, and checks of one proof.
const COUNT_MAX: usize = 16;
/// Longest replay window.
const ONCE_MS_MAX: u32 = 24 * 60 * 60 * 1000;

/// What came of verifying a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A proof holds. It counts only once every key in `once` has been claimed.
    Genuine {
        /// Which proof.
        label: String,
        /// Keys that must not have been seen before.
        once: Vec<OnceKey>,
    },
    /// Nothing acts on this webhook.
    Refused(Refusal),
}

/// A replay guard: succeeds for the first who claims it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnceKey {
    /// Scoped by the caller to the configuration.
    pub key: String,
    /// Milliseconds.
    pub ttl_ms: u32,
}

/// Why a webhook is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The provider found the reason without a secret.
    Rejected {
        /// kebab-case.
        code: String,
        /// What is missing and where to look.
        message: String,
    },
    /// The provider described no proof.
    NoProof,
    /// No proof holds; for each, the check that failed first.
    NotProved(Vec<FailedProof>),
}

/// A proof that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedProof {
    /// The provider's name for it.
    pub label: String,
    /// Which check failed, and what that means.
    pub failed: String,
}

/// Puts what a webhook presented, and a guest saw sealed, back into the checks that compare it. A reference that the guest
/// has from elsewhere presents nothing.
pub(crate) fn open_presented(vault: &Vault, seen: &Webhook, described: &mut Result<Vec<wit::Proof>, wit::Rejection>) {
    let checks = described.iter_mut().flatten().flat_map(|proof| &mut proof.checks);
    for check in checks {
        if let wit::Check::Equals(check) = check
            && let Ok(token) = std::str::from_utf8(&check.presented)
            && let Some(secret) = vault.open(token)
            && seen.headers.iter().any(|header| header.value.ends_with(token))
        {
            check.presented = secret.expose().as_bytes().to_vec();
        }
    }
}

/// Evaluates every proof, whatever the ones before it gave: the time taken does not tell which one holds.
pub(crate) fn evaluate(vault: &Vault, described: Result<Vec<wit::Proof>, wit::Rejection>) -> Result<Verdict, String> {
    let proofs = match described {
        Ok(proofs) => proofs,
        Err(rejection) => {
            if vault.occurs_in(rejection.message.as_bytes()) || vault.occurs_in(rejection.code.as_bytes()) {
                return Err("a rejection contains a sealed reference".to_owned());
            }
            let clip = |text: &str, max: usize| text.chars().filter(|c| !c.is_control()).take(max).collect::<String>();
            return Ok(Verdict::Refused(Refusal::Rejected {
                code: clip(&rejection.code, 64),
                message: clip(&rejection.message, 500),
            }));
        }
    };
    if proofs.is_empty() {
        return Ok(Verdict::Refused(Refusal::NoProof));
    }
    if proofs.len() > COUNT_MAX {
        return Err(format!("{} proofs; at most {COUNT_MAX} are evaluated", proofs.len()));
    }
    let mut genuine = None;
    let mut failed = Vec::new();
    for proof in proofs {
        let label: String = proof.label.chars().filter(|c| !c.is_control()).take(100).collect();
        match evaluate_one(vault, &proof.checks)? {
            Ok(once) => drop(genuine.get_or_insert((label, once))),
            Err(reason) => failed.push(FailedProof { label, failed: reason }),
        }
    }
    Ok(match genuine {
        Some((label, once)) => Verdict::Genuine { label, once },
        None => Verdict::Refused(Refusal::NotProved(failed)),
    })
}

/// The outer error is the guest's fault; the inner one a check that does not hold.
fn evaluate_one(vault: &Vault, checks: &[wit::Check]) -> Result<Result<Vec<OnceKey>, String>, String> {
    if checks.len() > COUNT_MAX {
        return Err(format!(
            "{} checks in one proof; at most {COUNT_MAX} are evaluated",
            checks.len()
        ));
    }
    let mut once = Vec::new();
    let mut proves = false;
    let mut failed = None;
    for (n, check) in checks.iter().enumerate() {
        let (holds, name) = match check {
            wit::Check::Hmac(check) => {
                proves = true;
                let key = key(vault, &check.key)?;
                let name = match check.hash {
                    wit::Hash::Sha1 => "HMAC-SHA1",
                    wit::Hash::Sha256 => "HMAC-SHA256",
                    wit::Hash::Sha512 => "HMAC-SHA512",
                };
                let holds = match key {
                    None => false,
                    Some(key) => {
                        let computed = match check.hash {
                            wit::Hash::Sha1 => mac::<Hmac<Sha1>>(vault, &key, &check.message)?,
                            wit::Hash::Sha256 => mac::<Hmac<Sha256>>(vault, &key, &check.message)?,
                            wit::Hash::Sha512 => mac::<Hmac<Sha512>>(vault, &key, &check.message)?,
                        };
                        bool::from(computed.ct_eq(&check.expected))
                    }
                };
                (
                    holds,
                    format!(
                        "{name} over the message: the key is not the one that signed it, or the URL or body is not what the carrier signed"
                    ),
                )
            }
            wit::Check::Digest(check) => {
                let computed = match check.hash {
                    wit::Hash::Sha1 => hash::<Sha1>(vault, &check.message)?,
                    wit::Hash::Sha256 => hash::<Sha256>(vault, &check.message)?,
                    wit::Hash::Sha512 => hash::<Sha512>(vault, &check.message)?,
                };
                (
                    bool::from(computed.ct_eq(&check.expected)),
                    "digest: the body is not what the carrier hashed".to_owned(),
                )
            }
            wit::Check::Ed25519(check) => {
                proves = true;
                (
                    ed25519(check),
                    "Ed25519 signature: the public key does not belong to it, or the body or timestamp was changed"
                        .to_owned(),
                )
            }
            wit::Check::Equals(check) => {
                proves = true;
                let secret = vault
                    .open(&check.sealed)
                    .ok_or("`equals` needs a sealed reference of this operation")?;
                // Digests first, so that not even the length of the secret shows in the time taken.
                let same = Sha256::digest(secret.expose().as_bytes()).ct_eq(&Sha256::digest(&check.presented));
                (
                    bool::from(same) && !secret.expose().is_empty(),
                    "shared secret: what was presented is not the configured one".to_owned(),
                )
            }
            wit::Check::Once(check) => {
                if check.key.is_empty() || check.key.len() > 128 || check.ttl_ms == 0 || check.ttl_ms > ONCE_MS_MAX {
                    return Err("`once` needs a key of 1 to 128 bytes and at most 24 hours".to_owned());
                }
                if vault.occurs_in(check.key.as_bytes()) {
                    return Err("the key of `once` contains a sealed reference".to_owned());
                }
                once.push(OnceKey {
                    key: check.key.clone(),
                    ttl_ms: check.ttl_ms,
                });
                (true, String::new())
            }
        };
        if !holds && failed.is_none() {
            failed = Some(format!("check {} of {}: {name}", n + 1, checks.len()));
        }
    }
    if failed.is_none() && !proves {
        failed = Some("it contains no check that involves a key".to_owned());
    }
    Ok(match failed {
        None => Ok(once),
        Some(reason) => Err(reason),
    })
}

/// The key's bytes; `None` when the stored secret is not in the stated encoding, which no signature fits.
fn key(vault: &Vault, key: &wit::SealedKey) -> Result<Option<Vec<u8>>, String> {
    let secret = vault
        .open(&key.reference)
        .ok_or("a key must be a sealed reference of this operation")?
        .expose();
    let bytes = match key.encoding {
        wit::KeyEncoding::Utf8 => Some(secret.as_bytes().to_vec()),
        wit::KeyEncoding::Hex => hex::decode(secret.trim()).ok(),
        wit::KeyEncoding::Base64 => {
            let text = secret.trim();
            [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
                .iter()
                .find_map(|engine| engine.decode(text).ok())
        }
    };
    // An empty key would let anybody sign.
    Ok(bytes.filter(|bytes| !bytes.is_empty()))
}

fn each(vault: &Vault, message: &[wit::Segment], mut update: impl FnMut(&[u8])) -> Result<(), String> {
    for segment in message {
        match segment {
            wit::Segment::Bytes(bytes) => update(bytes),
            wit::Segment::Sealed(reference) => {
                update(
                    vault
                        .open(reference)
                        .ok_or("a sealed segment must be a sealed reference of this operation")?
                        .expose()
                        .as_bytes(),
                );
            }
        }
    }
    Ok(())
}

fn mac<M: hmac::Mac + hmac::KeyInit>(vault: &Vault, key: &[u8], message: &[wit::Segment]) -> Result<Vec<u8>, String> {
    let mut mac = <M as hmac::KeyInit>::new_from_slice(key).map_err(|_| "the key is not usable".to_owned())?;
    each(vault, message, |bytes| mac.update(bytes))?;
    Ok(mac.finalize().into_bytes().to_vec())
}

fn hash<D: sha2::Digest>(vault: &Vault, message: &[wit::Segment]) -> Result<Vec<u8>, String> {
    let mut digest = D::new();
    each(vault, message, |bytes| digest.update(bytes))?;
    Ok(digest.finalize().to_vec())
}

fn ed25519(check: &wit::Ed25519Check) -> bool {
    let (Ok(key), Ok(signature)) = (
        <[u8; 32]>::try_from(check.public_key.as_slice()),
        <[u8; 64]>::try_from(check.signature.as_slice()),
    ) else {
        return false;
    };
    // Strict: refuses the malleable signatures and weak keys that RFC 8032 leaves to the implementer.
    ed25519_dalek::VerifyingKey::from_bytes(&key).is_ok_and(|key| {
        key.verify_strict(&check.message, &ed25519_dalek::Signature::from_bytes(&signature))
            .is_ok()
    })
}

#[cfg(test)]
mod tests;
