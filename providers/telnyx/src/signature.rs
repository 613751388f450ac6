//! How a webhook of Telnyx is signed: Ed25519 over the timestamp, a bar and the body.
//!
//! <https://developers.telnyx.com/development/api-fundamentals/webhooks/receiving-webhooks>. The public key is no secret
//! and stands in the configuration as it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strowger_sdk::{Proof, Rejection, Webhook};

use crate::spec::{Config, public_key};

const SIGNATURE: &str = "telnyx-signature-ed25519";
const TIMESTAMP: &str = "telnyx-timestamp";
/// RFC 8032 §5.1.6.
const SIGNATURE_BYTES: usize = 64;

/// How far the timestamp may be from our clock, either way, in seconds: what Telnyx's own libraries accept.
///
/// There is no `once` check. Telnyx says that it may deliver the very same webhook more than once and does not say that
/// a retry is signed anew; the first of two must not be the one that got lost. Within the window a repetition does
/// nothing: a new call is known by its identifier, and an event by what it is about (see `state`).
const WINDOW_S: u64 = 300;

pub(crate) fn proofs(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
    let signature = header(webhook, SIGNATURE, "signature-missing")?;
    let timestamp = header(webhook, TIMESTAMP, "timestamp-missing")?;
    let key = config.webhook_public_key.as_deref().ok_or_else(|| {
        Rejection::new(
            "public-key-missing",
            "The configuration has no Webhook Public Key; copy it from Keys & Credentials in the Telnyx portal.",
        )
    })?;
    let key = public_key(key).ok_or_else(|| {
        Rejection::new(
            "public-key-malformed",
            "The Webhook Public Key is not 32 bytes of base64.",
        )
    })?;

    check_age(timestamp, webhook.received_at)?;
    let signature = STANDARD
        .decode(signature)
        .ok()
        .filter(|signature| signature.len() == SIGNATURE_BYTES)
        .ok_or_else(|| {
            Rejection::new(
                "signature-malformed",
                "The header telnyx-signature-ed25519 is not 64 bytes of base64.",
            )
        })?;
    let message = [timestamp.as_bytes(), b"|", &webhook.body].concat();
    Ok(vec![Proof::new("ed25519").ed25519(key, message, signature)])
}

fn header<'a>(webhook: &'a Webhook, name: &str, code: &str) -> Result<&'a str, Rejection> {
    webhook.header(name).filter(|value| !value.is_empty()).ok_or_else(|| {
        Rejection::new(
            code,
            format!("The header {name} is missing: Telnyx sends it with every webhook."),
        )
    })
}

fn check_age(timestamp: &str, received_at_ms: u64) -> Result<(), Rejection> {
    let digits = timestamp.bytes().all(|b| b.is_ascii_digit());
    let sent_s: u64 = digits.then(|| timestamp.parse().ok()).flatten().ok_or_else(|| {
        Rejection::new(
            "timestamp-malformed",
            "The header telnyx-timestamp is not a number of seconds.",
        )
    })?;
    if sent_s.abs_diff(received_at_ms / 1000) > WINDOW_S {
        return Err(Rejection::new(
            "timestamp-outside-window",
            "The webhook was signed more than five minutes ago or ahead; check this machine's clock.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
    use strowger_sdk::{Check, Header, Sealed};

    use super::*;

    const NOW_S: u64 = 1_763_800_000;
    const BODY: &[u8] = b"{\"data\":{\"event_type\":\"call.initiated\"}} \xff";

    fn signing_key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn config() -> Config {
        Config {
            api_key: Sealed::new("sealed:api_key"),
            connection_id: Some("77".to_owned()),
            webhook_public_key: Some(STANDARD.encode(signing_key().verifying_key().as_bytes())),
        }
    }

    fn signed(timestamp: &str) -> Webhook {
        let message = [timestamp.as_bytes(), b"|", BODY].concat();
        let signature = STANDARD.encode(signing_key().sign(&message).to_bytes());
        Webhook {
            method: "POST".to_owned(),
            url: "https://gateway.example/".to_owned(),
            headers: vec![
                Header::new("Telnyx-Signature-Ed25519", signature),
                Header::new("Telnyx-Timestamp", timestamp),
            ],
            body: BODY.to_vec(),
            received_at: NOW_S * 1000 + 999,
        }
    }

    /// The runtime's part of a proof.
    fn holds(proof: &Proof) -> bool {
        let [Check::Ed25519(check)] = &proof.checks[..] else {
            panic!("{proof:?}")
        };
        let key = VerifyingKey::from_bytes(check.public_key.as_slice().try_into().unwrap()).unwrap();
        let signature = Signature::from_slice(&check.signature).unwrap();
        key.verify_strict(&check.message, &signature).is_ok()
    }

    fn refusal(config: &Config, webhook: &Webhook) -> String {
        proofs(config, webhook).unwrap_err().code
    }

    #[test]
    fn timestamp_and_raw_body_are_signed() {
        let webhook = signed(&NOW_S.to_string());
        assert!(holds(&proofs(&config(), &webhook).unwrap()[0]));
        for at in 0..BODY.len() {
            let mut changed = webhook.clone();
            changed.body[at] ^= 1;
            assert!(!holds(&proofs(&config(), &changed).unwrap()[0]), "byte {at}");
        }
        let mut later = webhook.clone();
        later.headers[1].value = (NOW_S + 1).to_string();
        assert!(!holds(&proofs(&config(), &later).unwrap()[0]));
        let mut other = webhook;
        other.headers[0].value = STANDARD.encode([1; SIGNATURE_BYTES]);
        assert!(!holds(&proofs(&config(), &other).unwrap()[0]));
    }

    #[test]
    fn the_window_is_five_minutes_either_way() {
        for offset in [-300_i64, 0, 300] {
            let timestamp = NOW_S.saturating_add_signed(offset).to_string();
            assert!(proofs(&config(), &signed(&timestamp)).is_ok(), "{offset}");
        }
        for offset in [-301_i64, 301] {
            let timestamp = NOW_S.saturating_add_signed(offset).to_string();
            assert_eq!(
                refusal(&config(), &signed(&timestamp)),
                "timestamp-outside-window",
                "{offset}"
            );
        }
        for timestamp in ["0", "18446744073709551615"] {
            assert_eq!(refusal(&config(), &signed(timestamp)), "timestamp-outside-window");
        }
        for timestamp in ["1763800000.5", "-1", "+1763800000", "soon", "99999999999999999999"] {
            assert_eq!(
                refusal(&config(), &signed(timestamp)),
                "timestamp-malformed",
                "{timestamp}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let webhook = signed(&NOW_S.to_string());
        for (at, code) in [(0, "signature-missing"), (1, "timestamp-missing")] {
            let mut bare = webhook.clone();
            bare.headers[at].value.clear();
            assert_eq!(refusal(&config(), &bare), code);
            bare.headers.remove(at);
            assert_eq!(refusal(&config(), &bare), code);
        }
        let without_key = Config {
            webhook_public_key: None,
            ..config()
        };
        assert_eq!(refusal(&without_key, &webhook), "public-key-missing");
        let bad_key = Config {
            webhook_public_key: Some("AAAA".to_owned()),
            ..config()
        };
        assert_eq!(refusal(&bad_key, &webhook), "public-key-malformed");
        for signature in ["%%%".to_owned(), STANDARD.encode([0; 63]), STANDARD.encode([0; 65])] {
            let mut bad = webhook.clone();
            bad.headers[0].value = signature;
            assert_eq!(refusal(&config(), &bad), "signature-malformed");
        }
    }
}
