//! How a page proves that it is the browser of a configuration: Ed25519 over the route, the call and the body.
//!
//! The host is left out on purpose: a page knows under which name it was loaded, not under which the gateway is told to be
//! reached. The route and the call are the last two segments of the path, the only ones that mean anything here. The body has
//! the time and a nonce, so a signature is good for one request, for a few minutes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use strowger_sdk::{Proof, Rejection, Webhook};

use crate::spec::{Config, public_key_bytes};

const SIGNATURE: &str = "x-browser-signature";
/// RFC 8032 §5.1.6.
const SIGNATURE_BYTES: usize = 64;
/// Keeps a signature of this from being one of anything else that the key may sign some day.
const PURPOSE: &str = "strowger browser call 1";
/// How far the page's time may be from ours, either way, in milliseconds. Pages take theirs from our answers.
const WINDOW_MS: u64 = 5 * 60 * 1000;
/// Longer than both halves of the window together.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
/// In characters: 16 random bytes in base64url have 22.
const NONCE_CHARS: std::ops::RangeInclusive<usize> = 16..=64;

#[derive(Deserialize)]
struct Signed {
    time_ms: u64,
    nonce: String,
}

pub(crate) fn proofs(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
    let signature = webhook.header(SIGNATURE).filter(|value| !value.is_empty());
    let signature = signature.ok_or_else(|| {
        Rejection::new(
            "signature-missing",
            "The header x-browser-signature is missing: the page sends it with every request.",
        )
    })?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok();
    let signature = signature
        .filter(|bytes| bytes.len() == SIGNATURE_BYTES)
        .ok_or_else(|| {
            Rejection::new(
                "signature-malformed",
                "The header x-browser-signature is not 64 bytes of base64url.",
            )
        })?;
    let key = public_key_bytes(&config.public_key).ok_or_else(|| {
        Rejection::new(
            "public-key-malformed",
            "The browser's key is not 32 bytes of base64url.",
        )
    })?;
    let signed: Signed = webhook
        .json()
        .map_err(|_| Rejection::new("body-malformed", "The body has no time_ms and nonce."))?;
    if signed.time_ms.abs_diff(webhook.received_at) > WINDOW_MS {
        return Err(Rejection::new(
            "time-outside-window",
            "The request was signed more than five minutes ago or ahead; check the clocks of the browser's and this machine.",
        ));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !NONCE_CHARS.contains(&signed.nonce.len()) || !signed.nonce.bytes().all(plain) {
        return Err(Rejection::new(
            "nonce-malformed",
            "The nonce is not 16 to 64 characters of base64url.",
        ));
    }
    let message = message(&webhook.url, &webhook.body);
    Ok(vec![
        Proof::new("ed25519")
            .ed25519(key, message, signature)
            .once(signed.nonce, REMEMBERED),
    ])
}

/// `strowger browser call 1`, a line end, the route and the call, a line end, the body.
fn message(url: &str, body: &[u8]) -> Vec<u8> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path.rsplit('/');
    let call = segments.next().unwrap_or_default();
    let route = segments.next().unwrap_or_default();
    [
        PURPOSE.as_bytes(),
        b"\n",
        route.as_bytes(),
        b"/",
        call.as_bytes(),
        b"\n",
        body,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
    use strowger_sdk::{Check, testing};

    use super::*;

    const URL: &str = "https://gateway.example/api/v1/telephony/browser/answer/c1";
    const NOW_MS: u64 = 1_763_800_000_000;
    const BODY: &str = r#"{"time_ms":1763800000000,"nonce":"AAAAAAAAAAAAAAAAAAAAAA"}"#;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn config() -> Config {
        Config {
            public_key: URL_SAFE_NO_PAD.encode(key().verifying_key()),
        }
    }

    fn sign(route: &str, body: &str) -> String {
        let message = format!("strowger browser call 1\n{route}\n{body}");
        URL_SAFE_NO_PAD.encode(key().sign(message.as_bytes()).to_bytes())
    }

    fn webhook(url: &str, signature: &str, body: &str) -> Webhook {
        Webhook {
            received_at: NOW_MS,
            ..testing::webhook("POST", url, &[("X-Browser-Signature", signature)], body)
        }
    }

    fn holds(webhook: &Webhook) -> bool {
        let proofs = proofs(&config(), webhook).unwrap();
        let [Check::Ed25519(check), Check::Once(_)] = &proofs[0].checks[..] else {
            panic!("{proofs:?}")
        };
        let key = VerifyingKey::from_bytes(check.public_key.as_slice().try_into().unwrap()).unwrap();
        let signature = Signature::from_slice(&check.signature).unwrap();
        key.verify_strict(&check.message, &signature).is_ok()
    }

    #[test]
    fn route_call_and_body_are_covered_and_the_host_is_not() {
        let signature = sign("answer/c1", BODY);
        assert!(holds(&webhook(URL, &signature, BODY)));
        let elsewhere = URL.replace("https://gateway.example", "http://127.0.0.1:8080");
        assert!(holds(&webhook(&elsewhere, &signature, BODY)));
        assert!(holds(&webhook(&format!("{URL}?a=/b/c#d"), &signature, BODY)));
        for other in [
            URL.replace("answer/c1", "ended/c1"),
            URL.replace("c1", "c2"),
            format!("{URL}/"),
        ] {
            assert!(!holds(&webhook(&other, &signature, BODY)), "{other}");
        }
        assert!(!holds(&webhook(URL, &signature, &BODY.replace("}", ",\"a\":1}"))));
        assert!(!holds(&webhook(URL, &sign("ended/c1", BODY), BODY)));
    }

    #[test]
    fn what_cannot_be_proved_is_told() {
        let right = sign("answer/c1", BODY);
        let at = |ms: u64| BODY.replace("1763800000000", &ms.to_string());
        let nonce = |nonce: &str| BODY.replace("AAAAAAAAAAAAAAAAAAAAAA", nonce);
        for (signature, body, code) in [
            ("", BODY.to_owned(), "signature-missing"),
            ("not base64", BODY.to_owned(), "signature-malformed"),
            (&right[1..], BODY.to_owned(), "signature-malformed"),
            (&right, String::new(), "body-malformed"),
            (&right, "{}".to_owned(), "body-malformed"),
            (&right, at(NOW_MS - WINDOW_MS - 1), "time-outside-window"),
            (&right, at(NOW_MS + WINDOW_MS + 1), "time-outside-window"),
            (&right, nonce(""), "nonce-malformed"),
            (&right, nonce("AAAAAAAAAAAAAAA"), "nonce-malformed"),
            (&right, nonce("AAAAAAAAAAAAAAA A"), "nonce-malformed"),
            (&right, nonce(&"A".repeat(65)), "nonce-malformed"),
        ] {
            let rejection = proofs(&config(), &webhook(URL, signature, &body)).unwrap_err();
            assert_eq!(rejection.code, code, "{body}");
        }
        let mut unsigned = webhook(URL, "", BODY);
        unsigned.headers.clear();
        assert_eq!(proofs(&config(), &unsigned).unwrap_err().code, "signature-missing");
    }
}
