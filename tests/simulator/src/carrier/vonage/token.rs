//! Tokens: those that Vonage signs its webhooks with (HS256), and those that requests about calls carry (RS256).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{API_KEY, APPLICATION_ID, PUBLIC_KEY, SIGNATURE_SECRET};
use crate::misbehaviour::Signing;

/// How far a client's clock may be wrong, in seconds. Not documented; generous.
const CLOCK_SKEW_S: u64 = 60;
/// Longest life of a client's token, in seconds.
const LIFETIME_MAX_S: u64 = 24 * 3600;

/// The header that proves a webhook.
pub(super) fn header(payload: &[u8], jti: &str, signing: Signing) -> Option<(String, String)> {
    let secret = match signing {
        Signing::Right => SIGNATURE_SECRET,
        Signing::Wrong => "not-the-secret-of-this-account",
        Signing::Missing => return None,
    };
    let hash: String = Sha256::digest(payload)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let claims = json!({
        "iat": unix_s(),
        "jti": jti,
        "iss": "Vonage",
        "payload_hash": hash,
        "api_key": API_KEY,
        "application_id": APPLICATION_ID,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    let signature = sign(&signed, secret);
    Some(("authorization".to_owned(), format!("Bearer {signed}.{signature}")))
}

fn sign(signed: &str, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(signed.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Whether a request about calls comes from the application.
///
/// # Errors
/// What is wrong with its token.
pub(super) fn check(token: &str) -> Result<(), &'static str> {
    let (signed, signature) = token.rsplit_once('.').ok_or("not a token")?;
    let (header, claims) = signed.split_once('.').ok_or("not a token")?;
    let part = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let header = part(header).ok_or("an unreadable header")?;
    if header["alg"] != "RS256" {
        return Err("another algorithm than RS256");
    }
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| "an unreadable signature")?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key())
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| "a signature of another key")?;
    let claims = part(claims).ok_or("unreadable claims")?;
    if claims["application_id"] != APPLICATION_ID {
        return Err("another application");
    }
    if claims["jti"].as_str().is_none_or(str::is_empty) {
        return Err("no jti");
    }
    let (Some(iat), Some(exp)) = (claims["iat"].as_u64(), claims["exp"].as_u64()) else {
        return Err("no iat or no exp");
    };
    let now = unix_s();
    if iat > now + CLOCK_SKEW_S || exp + CLOCK_SKEW_S < now || exp > iat + LIFETIME_MAX_S {
        return Err("not of this time");
    }
    Ok(())
}

/// The key as PKCS#1 has it, which is all that an RSA library wants of the PEM document's SubjectPublicKeyInfo.
fn public_key() -> Vec<u8> {
    /// Bytes before the key in a SubjectPublicKeyInfo of RSA with 2048 bits (RFC 8017 §A.1).
    const PREFIX: usize = 24;
    let base64: String = PUBLIC_KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut document = STANDARD.decode(base64).unwrap_or_default();
    document.split_off(PREFIX.min(document.len()))
}

fn unix_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A token as a gateway makes it.
#[cfg(test)]
pub(super) fn of_the_application(change: &Value) -> String {
    use ring::{rand::SystemRandom, signature};

    let base64: String = super::PRIVATE_KEY
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let key = signature::RsaKeyPair::from_pkcs8(&STANDARD.decode(base64).unwrap()).unwrap();
    let now = unix_s();
    let mut claims = json!({ "application_id": APPLICATION_ID, "iat": now, "exp": now + 900, "jti": "1" });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &signature::RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The token with which Vonage's Python library tests its verification.
    #[test]
    fn signs_as_vonages_library_expects() {
        let signed = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJPbmxpbmUgSldUIEJ1aWxkZXIiLCJpYXQiOjE2OTc2MzQ2ODAsIm\
                      V4cCI6MzMyNTQ1NDA4MjgsImF1ZCI6IiIsInN1YiI6IiJ9";
        assert_eq!(
            sign(signed, "qwertyuiopasdfghjklzxcvbnm123456"),
            "88vJc3I2HhuqEDixHXVhc9R30tA6U_HQHZTC29y6CGM"
        );
    }

    #[test]
    fn only_the_applications_tokens_count() {
        let now = unix_s();
        assert_eq!(check(&of_the_application(&json!({}))), Ok(()));
        for (change, reason) in [
            (json!({ "application_id": "other" }), "another application"),
            (json!({ "jti": null }), "no jti"),
            (json!({ "exp": null }), "no iat or no exp"),
            (json!({ "iat": now - 2000, "exp": now - 1000 }), "not of this time"),
            (json!({ "iat": now + 1000 }), "not of this time"),
            (json!({ "exp": now + 2 * LIFETIME_MAX_S }), "not of this time"),
        ] {
            assert_eq!(check(&of_the_application(&change)), Err(reason), "{change}");
        }
        let token = of_the_application(&json!({}));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(check("a"), Err("not a token"));
        assert!(check(signed).is_err());
        let other = of_the_application(&json!({ "jti": "2" }));
        let other_signature = other.rsplit_once('.').unwrap().1;
        assert_ne!(signature, other_signature);
        assert_eq!(
            check(&format!("{signed}.{other_signature}")),
            Err("a signature of another key")
        );
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let confused = format!("{}.{}", part(&json!({ "alg": "HS256" })), part(&json!({})));
        let forged = sign(&confused, PUBLIC_KEY);
        assert_eq!(
            check(&format!("{confused}.{forged}")),
            Err("another algorithm than RS256")
        );
    }
}
