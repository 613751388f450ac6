//! Secrets of endpoints, and the signatures by which receivers know that an event is genuine: symmetric ones of the Standard
//! Webhooks specification.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// The specification asks for 24 to 64.
const SECRET_BYTES: usize = 32;

/// What an endpoint's events are signed with: `whsec_` and base64. It shows itself only through [`WebhookSecret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(String);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl WebhookSecret {
    /// A new random one.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", STANDARD.encode(bytes))))
    }

    /// One that was generated before; nothing for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let secret = Self(text.to_owned());
        secret.key().is_some().then_some(secret)
    }

    /// The secret itself: for its owner, once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn key(&self) -> Option<Vec<u8>> {
        let key = STANDARD.decode(self.0.strip_prefix(PREFIX)?).ok()?;
        (24..=64).contains(&key.len()).then_some(key)
    }

    /// The signature of one attempt: `v1,` and base64. `timestamp_s` is the attempt's, in unix seconds.
    fn sign(&self, id: &str, timestamp_s: i64, body: &str) -> String {
        let key = self.key().unwrap_or_default();
        let mut mac = <Hmac<Sha256>>::new_from_slice(&key).expect("HMAC takes keys of every length");
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The value of `webhook-signature`: one signature for each secret, so that a receiver may know either while they change.
pub(crate) fn signatures<'a>(
    secrets: impl IntoIterator<Item = &'a WebhookSecret>,
    id: &str,
    timestamp_s: i64,
    body: &str,
) -> String {
    let signed: Vec<String> = secrets
        .into_iter()
        .map(|secret| secret.sign(id, timestamp_s, body))
        .collect();
    signed.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference implementations.
    #[test]
    fn the_published_vector_is_met() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_side_by_side() {
        let secrets = [WebhookSecret::generate().unwrap(), WebhookSecret::generate().unwrap()];
        assert_ne!(secrets[0], secrets[1]);
        let both = signatures(&secrets, "id", 1, "{}");
        let each: Vec<String> = secrets.iter().map(|secret| secret.sign("id", 1, "{}")).collect();
        assert_eq!(both, each.join(" "));
    }

    #[test]
    fn a_secret_is_parsed_back_and_shows_itself_to_nobody() {
        let secret = WebhookSecret::generate().unwrap();
        assert_eq!(WebhookSecret::parse(secret.expose()), Some(secret.clone()));
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
        for wrong in [
            "",
            "whsec_",
            "whsec_AAAA",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_%%%",
        ] {
            assert_eq!(WebhookSecret::parse(wrong), None, "{wrong}");
        }
    }
}
