//! The signed token of a webhook (RFC 7519, in the compact serialisation of RFC 7515 §7.1). Reading it verifies nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};
use strowger_sdk::Webhook;

#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub(crate) header: Header,
    pub(crate) claims: Claims,
    /// What is signed: the first two parts with the dot between them.
    pub(crate) signed: &'a str,
    pub(crate) signature: Vec<u8>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    /// Extensions that must be understood (RFC 7515 §4.1.11).
    pub(crate) crit: Option<Value>,
}

/// <https://developer.vonage.com/en/getting-started/concepts/webhooks#signed-jwt-payload>
#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) application_id: Option<String>,
    /// SHA-256 of the payload, in hexadecimal digits.
    pub(crate) payload_hash: Option<String>,
    iat: Option<Number>,
    exp: Option<Number>,
    nbf: Option<Number>,
}

impl Claims {
    /// Unix time in seconds at which the token was issued.
    pub(crate) fn issued_at(&self) -> Option<i64> {
        seconds(self.iat.as_ref()?)
    }

    /// Unix time in seconds from which the token counts no more; `None` when it does not say.
    pub(crate) fn expires(&self) -> Option<i64> {
        self.exp.as_ref().map(|exp| seconds(exp).unwrap_or(i64::MIN))
    }

    /// Unix time in seconds before which the token does not count; `None` when it does not say.
    pub(crate) fn not_before(&self) -> Option<i64> {
        self.nbf.as_ref().map(|nbf| seconds(nbf).unwrap_or(i64::MAX))
    }
}

/// The token that a webhook presents. The scheme's name has no case (RFC 9110 §11.1).
pub(crate) fn presented(webhook: &Webhook) -> Option<&str> {
    let (scheme, token) = webhook.header("authorization")?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

pub(crate) fn read(token: &str) -> Option<Token<'_>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    Some(Token {
        header: part(header)?,
        claims: part(claims)?,
        signed,
        signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
    })
}

fn part<T: DeserializeOwned>(encoded: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

/// A NumericDate may have a fraction (RFC 7519 §2).
fn seconds(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let seconds = number.as_f64()?.floor();
        // Far beyond any date, and still exact.
        (seconds.abs() < 1e15).then_some(seconds as i64)
    })
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;
    use strowger_sdk::testing::webhook;

    use super::*;

    fn verifies(token: &Token<'_>, key: &[u8]) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(token.signed.as_bytes());
        mac.verify_slice(&token.signature).is_ok()
    }

    /// RFC 7515 §A.1.
    #[test]
    fn the_example_of_the_rfc_is_read() {
        let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9\
                    leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let token = read(text).unwrap();
        assert!(verifies(&token, &URL_SAFE_NO_PAD.decode(key).unwrap()));
        assert_eq!(token.header.alg, "HS256");
        assert_eq!(
            (
                token.claims.iss.as_deref(),
                token.claims.expires(),
                token.claims.issued_at()
            ),
            (Some("joe"), Some(1_300_819_380), None)
        );
    }

    /// The token with which Vonage's Python library tests its verification.
    #[test]
    fn the_token_of_vonages_library_is_read() {
        let text = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJPbmxpbmUgSldUIEJ1aWxkZXIiLCJpYXQiOjE2OTc2MzQ2ODAsIm\
                    V4cCI6MzMyNTQ1NDA4MjgsImF1ZCI6IiIsInN1YiI6IiJ9.88vJc3I2HhuqEDixHXVhc9R30tA6U_HQHZTC29y6CGM";
        let token = read(text).unwrap();
        assert!(verifies(&token, b"qwertyuiopasdfghjklzxcvbnm123456"));
        assert!(!verifies(&token, b"qwertyuiopasdfghjklzxcvbnm123457"));
        assert_eq!(token.claims.issued_at(), Some(1_697_634_680));
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        for (value, expected) in [
            ("Bearer a.b.c", Some("a.b.c")),
            ("bEARER   a.b.c ", Some("a.b.c")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic a.b.c", None),
            ("a.b.c", None),
        ] {
            let webhook = webhook("POST", "", &[("Authorization", value)], "");
            assert_eq!(presented(&webhook), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_token_is_not_read() {
        let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let header = encode(r#"{"alg":"HS256"}"#);
        let claims = encode(r#"{"iat":1}"#);
        assert!(read(&format!("{header}.{claims}.AAAA")).is_some());
        for token in [
            String::new(),
            format!("{header}.{claims}"),
            format!("{header}.{claims}.AAAA.AAAA"),
            format!("{header}.{claims}.AA=="),
            format!("{header}.{claims}.A+A/"),
            format!("{}.{claims}.AAAA", encode("{}")),
            format!("{header}.{}.AAAA", encode("[]")),
            format!("{header}.{}.AAAA", encode(r#"{"api_key":"a","api_key":"b"}"#)),
            format!("{header}.{}.AAAA", encode(r#"{"iat":"soon"}"#)),
        ] {
            assert!(read(&token).is_none(), "{token}");
        }
    }

    #[test]
    fn dates_are_whole_seconds_or_not_at_all() {
        let claims: Claims = serde_json::from_str(r#"{"iat":12.9,"exp":1e300,"nbf":1e300}"#).unwrap();
        assert_eq!(claims.issued_at(), Some(12));
        assert_eq!(
            (claims.expires(), claims.not_before()),
            (Some(i64::MIN), Some(i64::MAX))
        );
    }
}
