//! Proofs of webhooks: a token signed with the account's signature secret, with a digest of the payload in it.
//!
//! <https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks>

use strowger_sdk::{Hash, Proof, Rejection, Webhook};

use crate::spec::Config;
use crate::token::{self, Claims};

/// The only algorithm that Vonage signs webhooks with. A token that names another one is refused before anything is
/// computed, so that neither `none` nor a public key in place of the secret gets anywhere.
const ALGORITHM: &str = "HS256";
const ISSUER: &str = "Vonage";
/// How old a token may be, in seconds. Vonage sets no end to its tokens. It tries a webhook twice, within seconds, and
/// does not say whether with the same token: so the token's age is bounded, and its `jti` is not required to be new.
const AGE_MAX_S: i64 = 300;
/// How far the clocks of Vonage and of the gateway may differ, in seconds.
const CLOCK_SKEW_S: i64 = 60;

pub(crate) fn proofs(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
    let presented = token::presented(webhook).ok_or_else(|| {
        Rejection::new(
            "signature-missing",
            "The header Authorization has no bearer token; switch on signed webhooks in the Vonage application.",
        )
    })?;
    let token = token::read(presented).ok_or_else(|| {
        Rejection::new(
            "signature-malformed",
            "The bearer token in the header Authorization is not a signed JSON web token.",
        )
    })?;
    if token.header.alg != ALGORITHM || token.header.crit.is_some() {
        return Err(Rejection::new(
            "algorithm-refused",
            "The token is not signed with HS256, the only algorithm that Vonage signs webhooks with.",
        ));
    }
    let secret = config.signature_secret.as_ref().ok_or_else(|| {
        Rejection::new(
            "signature-secret-missing",
            "Enter the Signature Secret from the Vonage Dashboard; without it no webhook can be verified.",
        )
    })?;
    check_claims(config, &token.claims, webhook.received_at)?;

    let proof = |covered: &str| {
        Proof::new(format!("hs256, {covered}")).hmac(
            Hash::Sha256,
            secret.key(),
            token.signed.as_bytes(),
            token.signature.clone(),
        )
    };
    let payloads = payloads(webhook);
    let Some(digest) = token.claims.payload_hash.as_deref() else {
        if payloads.is_empty() {
            return Ok(vec![proof("nothing to cover")]);
        }
        return Err(Rejection::new(
            "payload-hash-missing",
            "The token has no payload_hash, so it does not cover what the webhook says.",
        ));
    };
    let digest = hex::decode(digest)
        .ok()
        .filter(|digest| digest.len() == 32)
        .ok_or_else(|| {
            Rejection::new(
                "payload-hash-malformed",
                "The token's payload_hash is no SHA-256 digest.",
            )
        })?;
    let payloads = if payloads.is_empty() {
        vec![("no query", Vec::new()), ("empty query", b"{}".to_vec())]
    } else {
        payloads
    };
    Ok(payloads
        .into_iter()
        .map(|(covered, payload)| proof(covered).digest(Hash::Sha256, payload, digest.clone()))
        .collect())
}

fn check_claims(config: &Config, claims: &Claims, received_at_ms: u64) -> Result<(), Rejection> {
    if claims.iss.as_deref() != Some(ISSUER) {
        return Err(Rejection::new("issuer-wrong", "The token was not issued by Vonage."));
    }
    if claims.api_key.as_deref() != Some(config.api_key.as_str()) {
        return Err(Rejection::new(
            "account-mismatch",
            "The token is for another API Key than the configured one, or for none.",
        ));
    }
    let other = |id: &String| !id.eq_ignore_ascii_case(&config.application_id);
    if claims.application_id.as_ref().is_some_and(other) {
        return Err(Rejection::new(
            "application-mismatch",
            "The token is for another Vonage application than the configured one.",
        ));
    }
    let now = i64::try_from(received_at_ms / 1000).unwrap_or(i64::MAX);
    let issued_at = claims
        .issued_at()
        .ok_or_else(|| Rejection::new("issued-at-missing", "The token does not say when it was issued."))?;
    if issued_at > now.saturating_add(CLOCK_SKEW_S)
        || claims
            .not_before()
            .is_some_and(|nbf| nbf > now.saturating_add(CLOCK_SKEW_S))
    {
        return Err(Rejection::new(
            "token-from-the-future",
            "The token was issued in the future; check the clock of this machine.",
        ));
    }
    if issued_at < now.saturating_sub(AGE_MAX_S)
        || claims
            .expires()
            .is_some_and(|exp| exp <= now.saturating_sub(CLOCK_SKEW_S))
    {
        return Err(Rejection::new(
            "token-expired",
            "The token was issued too long ago; the webhook was repeated, or the clock of this machine is wrong.",
        ));
    }
    Ok(())
}

/// What Vonage may have computed `payload_hash` over. The body of a POST as it is; for a GET an object of the query's
/// parameters as compact JSON. That their order is the query's is not documented, so that of their names may hold as well.
/// None for a GET without a query.
fn payloads(webhook: &Webhook) -> Vec<(&'static str, Vec<u8>)> {
    if webhook.method != "GET" {
        return vec![("body", webhook.body.clone())];
    }
    let query = webhook.query();
    let mut pairs: Vec<&(String, String)> = query.pairs().iter().collect();
    if pairs.is_empty() {
        return Vec::new();
    }
    let as_sent = object(&pairs);
    pairs.sort();
    let sorted = object(&pairs);
    let mut payloads = vec![("query", as_sent)];
    if payloads[0].1 != sorted {
        payloads.push(("query by name", sorted));
    }
    payloads
}

fn object(pairs: &[&(String, String)]) -> Vec<u8> {
    let quoted = |text: &str| serde_json::to_string(text).expect("a string is JSON");
    let members: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
        .collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit, Mac};
    use serde_json::{Value, json};
    use sha2::{Digest, Sha256};
    use strowger_sdk::{Check, Header, Sealed, Segment};

    use super::*;

    const SECRET: &[u8] = b"qwertyuiopasdfghjklzxcvbnm123456";
    const NOW_S: i64 = 1_587_494_962;
    const BODY: &str = r#"{"uuid":"63f61863","status":"answered"}"#;

    fn config() -> Config {
        Config {
            application_id: "aaaaaaaa-bbbb-cccc-dddd-0123456789ab".to_owned(),
            private_key: Sealed::new("sealed:private_key"),
            api_key: "a1b2c3d4".to_owned(),
            api_secret: Sealed::new("sealed:api_secret"),
            signature_secret: Some(Sealed::new("sealed:signature_secret")),
        }
    }

    fn digest(payload: &[u8]) -> String {
        hex::encode(Sha256::digest(payload))
    }

    fn claims() -> Value {
        json!({
            "iat": NOW_S, "jti": "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5", "iss": "Vonage", "api_key": "a1b2c3d4",
            "application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "payload_hash": digest(BODY.as_bytes()),
        })
    }

    fn with(change: &Value) -> Value {
        let mut claims = claims();
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    fn sign(header: &Value, claims: &Value, key: &[u8]) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    fn hs256(claims: &Value) -> String {
        sign(&json!({ "alg": "HS256", "typ": "JWT" }), claims, SECRET)
    }

    fn webhook(method: &str, url: &str, token: &str, body: &[u8]) -> Webhook {
        Webhook {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: vec![Header::new("authorization", format!("Bearer {token}"))],
            body: body.to_vec(),
            received_at: u64::try_from(NOW_S).unwrap() * 1000 + 999,
        }
    }

    fn post(token: &str) -> Webhook {
        webhook("POST", "https://g.example/events/1", token, BODY.as_bytes())
    }

    /// The runtime's part of a proof.
    fn holds(proof: &Proof) -> bool {
        proof.checks.iter().all(|check| match check {
            Check::Hmac(check) => {
                assert_eq!(
                    (check.hash, check.key.reference.as_str()),
                    (Hash::Sha256, "sealed:signature_secret")
                );
                let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
                for segment in &check.message {
                    let Segment::Bytes(bytes) = segment else {
                        panic!("{segment:?}")
                    };
                    mac.update(bytes);
                }
                mac.verify_slice(&check.expected).is_ok()
            }
            Check::Digest(check) => {
                let mut digest = Sha256::new();
                for segment in &check.message {
                    let Segment::Bytes(bytes) = segment else {
                        panic!("{segment:?}")
                    };
                    digest.update(bytes);
                }
                digest.finalize().as_slice() == check.expected
            }
            other => panic!("{other:?}"),
        })
    }

    fn genuine(webhook: &Webhook) -> bool {
        proofs(&config(), webhook).is_ok_and(|proofs| proofs.iter().any(holds))
    }

    fn refused(token: &str) -> String {
        proofs(&config(), &post(token)).unwrap_err().code
    }

    #[test]
    fn what_vonage_signs_is_genuine() {
        assert!(genuine(&post(&hs256(&claims()))));
        assert!(genuine(&post(&hs256(&with(&json!({ "application_id": null }))))));
        assert!(genuine(&post(&hs256(&with(
            &json!({ "exp": NOW_S + 900, "nbf": NOW_S })
        )))));
        let upper = digest(BODY.as_bytes()).to_uppercase();
        assert!(genuine(&post(&hs256(&with(&json!({ "payload_hash": upper }))))));
    }

    #[test]
    fn every_signed_part_counts() {
        let token = hs256(&claims());
        // One bit in the header, the claims and the signature, at places where the token can still be read.
        for part in 0..3 {
            let mut parts: Vec<Vec<u8>> = token
                .split('.')
                .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
                .collect();
            let last = parts[part].len() - 3;
            parts[part][last] ^= 1;
            let parts: Vec<String> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
            assert!(!genuine(&post(&parts.join("."))), "{part}");
        }
        let mut body = post(&token);
        body.body[3] ^= 1;
        assert!(!genuine(&body));
        body.body.clear();
        assert!(!genuine(&body));
        assert!(!genuine(&post(&sign(&json!({ "alg": "HS256" }), &claims(), b"other"))));
    }

    #[test]
    fn the_algorithm_is_pinned() {
        for alg in ["none", "None", "HS384", "HS512", "RS256", "hs256", ""] {
            assert_eq!(
                refused(&sign(&json!({ "alg": alg }), &claims(), SECRET)),
                "algorithm-refused",
                "{alg}"
            );
        }
        let none = sign(&json!({ "alg": "none" }), &claims(), SECRET);
        let unsigned = &none[..=none.rfind('.').unwrap()];
        assert_eq!(refused(unsigned), "algorithm-refused");
        let critical = json!({ "alg": "HS256", "crit": ["b64"], "b64": false });
        assert_eq!(refused(&sign(&critical, &claims(), SECRET)), "algorithm-refused");
        // A signature that was left out is a signature that does not hold.
        let stripped = hs256(&claims());
        assert!(!genuine(&post(&stripped[..=stripped.rfind('.').unwrap()])));
    }

    #[test]
    fn claims_name_issuer_account_and_application() {
        for (change, code) in [
            (json!({ "iss": null }), "issuer-wrong"),
            (json!({ "iss": "vonage" }), "issuer-wrong"),
            (json!({ "api_key": null }), "account-mismatch"),
            (json!({ "api_key": "a1b2c3d5" }), "account-mismatch"),
            (
                json!({ "application_id": "bbbbbbbb-bbbb-cccc-dddd-0123456789ab" }),
                "application-mismatch",
            ),
            (json!({ "iat": null }), "issued-at-missing"),
            (json!({ "payload_hash": null }), "payload-hash-missing"),
            (json!({ "payload_hash": "d6c0" }), "payload-hash-malformed"),
            (json!({ "payload_hash": "zz" }), "payload-hash-malformed"),
        ] {
            assert_eq!(refused(&hs256(&with(&change))), code, "{change}");
        }
    }

    #[test]
    fn a_token_counts_for_a_while() {
        for (change, code) in [
            (json!({ "iat": NOW_S - 301 }), "token-expired"),
            (json!({ "iat": 0 }), "token-expired"),
            (json!({ "iat": NOW_S + 61 }), "token-from-the-future"),
            (json!({ "nbf": NOW_S + 61 }), "token-from-the-future"),
            (json!({ "exp": NOW_S - 60 }), "token-expired"),
        ] {
            assert_eq!(refused(&hs256(&with(&change))), code, "{change}");
        }
        for change in [
            json!({ "iat": NOW_S - 300 }),
            json!({ "iat": NOW_S + 60 }),
            json!({ "exp": NOW_S - 59 }),
        ] {
            assert!(genuine(&post(&hs256(&with(&change)))), "{change}");
        }
    }

    #[test]
    fn a_get_webhook_covers_its_query() {
        let url = "https://g.example/ncco/1?to=442079460000&from=447700900000&conversation_uuid=CON-1&uuid=%22a%22";
        let as_sent = r#"{"to":"442079460000","from":"447700900000","conversation_uuid":"CON-1","uuid":"\"a\""}"#;
        let by_name = r#"{"conversation_uuid":"CON-1","from":"447700900000","to":"442079460000","uuid":"\"a\""}"#;
        for payload in [as_sent, by_name] {
            let token = hs256(&with(&json!({ "payload_hash": digest(payload.as_bytes()) })));
            assert!(genuine(&webhook("GET", url, &token, b"")), "{payload}");
            assert!(!genuine(&webhook(
                "GET",
                &url.replace("442079460000", "442079460001"),
                &token,
                b""
            )));
            assert!(!genuine(&webhook("GET", &format!("{url}&uuid=b"), &token, b"")));
        }
        let uncovered = webhook("GET", url, &hs256(&with(&json!({ "payload_hash": null }))), b"");
        assert_eq!(proofs(&config(), &uncovered).unwrap_err().code, "payload-hash-missing");
    }

    #[test]
    fn a_get_webhook_without_a_query_has_nothing_to_cover() {
        let url = "https://g.example/ncco/1";
        let bare = hs256(&with(&json!({ "payload_hash": null })));
        assert!(genuine(&webhook("GET", url, &bare, b"")));
        for payload in ["", "{}"] {
            let token = hs256(&with(&json!({ "payload_hash": digest(payload.as_bytes()) })));
            assert!(genuine(&webhook("GET", url, &token, b"")));
        }
        assert!(!genuine(&webhook("GET", url, &hs256(&claims()), b"")));
    }

    #[test]
    fn without_a_token_or_a_secret_there_is_nothing_to_prove() {
        let mut bare = post("");
        assert_eq!(proofs(&config(), &bare).unwrap_err().code, "signature-missing");
        bare.headers.clear();
        assert_eq!(proofs(&config(), &bare).unwrap_err().code, "signature-missing");
        assert_eq!(refused("a.b.c"), "signature-malformed");
        let secretless = Config {
            signature_secret: None,
            ..config()
        };
        assert_eq!(
            proofs(&secretless, &post(&hs256(&claims()))).unwrap_err().code,
            "signature-secret-missing"
        );
    }
}
