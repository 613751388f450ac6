//! Secrets, and the references that stand for them inside a component.
//!
//! A sensitive credential reaches a guest as an opaque token: unguessable, fresh for every operation, stable across the
//! rounds of one operation. The [`Vault`] of the operation alone knows what stands behind it.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use subtle::ConstantTimeEq as _;

use crate::http::Webhook;

/// A secret in the clear. It shows itself only through [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret into custody.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Every use is a place to look at in review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Secrets shorter than this are not looked for in replies: they would match by chance and spoil honest text.
const RESEAL_BYTES_MIN: usize = 4;

/// The sealed references of one operation.
pub(crate) struct Vault {
    /// Common to all tokens of this operation, and unguessable.
    prefix: String,
    secrets: Vec<Secret>,
    /// What was composed of secrets and sent: a user and a password, a signed token. The component may see that no more
    /// than what it is made of.
    composed: Vec<Secret>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// `nonce` is 128 random bits, never used before.
    pub(crate) fn new(nonce: [u8; 16]) -> Self {
        Self {
            prefix: format!("sealed-{}-", hex::encode(nonce)),
            secrets: Vec::new(),
            composed: Vec::new(),
        }
    }

    pub(crate) fn seal(&mut self, secret: Secret) -> String {
        let token = format!("{}{:03}", self.prefix, self.secrets.len());
        self.secrets.push(secret);
        token
    }

    /// The secret behind a token that is the whole text.
    pub(crate) fn open(&self, token: &str) -> Option<&Secret> {
        let index = token.strip_prefix(&self.prefix)?;
        if index.len() != 3 {
            None
        } else {
            self.secrets.get(index.parse::<usize>().ok()?)
        }
    }

    /// The text with every token in it replaced by its secret.
    pub(crate) fn open_within(&self, text: &str) -> Option<Secret> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(&self.prefix) {
            out.push_str(&rest[..at]);
            let end = at + self.prefix.len() + 3;
            out.push_str(self.open(rest.get(at..end)?)?.expose());
            rest = &rest[end..];
        }
        out.push_str(rest);
        Some(Secret(out))
    }

    /// Whether a token of this operation is somewhere in these bytes.
    pub(crate) fn occurs_in(&self, bytes: &[u8]) -> bool {
        memmem::find(bytes, self.prefix.as_bytes()).is_some()
    }

    /// The bytes with every secret of this operation replaced by its token: plain, or in base64, hex, URL or JSON spelling.
    /// A carrier that echoes a credential thereby tells the component nothing.
    pub(crate) fn reseal(&self, bytes: Vec<u8>) -> Vec<u8> {
        let sealed = self
            .secrets
            .iter()
            .enumerate()
            .map(|(index, secret)| (secret, format!("{}{index:03}", self.prefix)));
        let composed = self
            .composed
            .iter()
            .map(|secret| (secret, format!("{}cmp", self.prefix)));
        let mut all: Vec<(String, String)> = sealed
            .chain(composed)
            .flat_map(|(secret, token)| {
                spellings(secret.expose())
                    .into_iter()
                    .map(move |spelling| (spelling, token.clone()))
            })
            .filter(|(spelling, _)| spelling.len() >= RESEAL_BYTES_MIN)
            .collect();
        // The longest first: one spelling, and one secret, may be part of another.
        all.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        let mut bytes = bytes;
        for (spelling, token) in all {
            if memmem::find(&bytes, spelling.as_bytes()).is_some() {
                bytes = replace(&bytes, spelling.as_bytes(), token.as_bytes());
            }
        }
        bytes
    }

    /// A webhook as a guest may see it: some carriers present a secret in a header. It is compared like a proof, because
    /// strangers send webhooks too.
    pub(crate) fn presented<'a>(&self, webhook: &'a Webhook) -> Cow<'a, Webhook> {
        let mut seen = Cow::Borrowed(webhook);
        for (at, header) in webhook.headers.iter().enumerate() {
            // `Bearer <secret>`, or the secret alone.
            let parts = [
                Some(header.value.as_str()),
                header.value.split_once(' ').map(|(_, credentials)| credentials),
            ];
            for part in parts.into_iter().flatten() {
                let same = |secret: &Secret| part.as_bytes().ct_eq(secret.expose().as_bytes()).into();
                if part.len() >= RESEAL_BYTES_MIN
                    && let Some(index) = self.secrets.iter().position(same)
                {
                    let scheme = &header.value[..header.value.len() - part.len()];
                    seen.to_mut().headers[at].value = format!("{scheme}{}{index:03}", self.prefix);
                }
            }
        }
        seen
    }

    /// Remembers the value of a header that carried an authorization, so that its echo is sealed, too.
    pub(crate) fn compose(&mut self, header: &Secret) {
        let value = header.expose();
        // A scheme such as `Basic` is no secret, and an echo may come without it.
        let credentials = value.split_once(' ').map_or(value, |(_, credentials)| credentials);
        if !self.secrets.iter().any(|secret| secret.expose() == credentials) {
            self.composed.push(Secret::new(credentials));
        }
    }

    pub(crate) fn reseal_text(&self, text: String) -> String {
        // Replacing UTF-8 by UTF-8 at a match of UTF-8 leaves UTF-8.
        String::from_utf8(self.reseal(text.into_bytes())).unwrap_or_default()
    }
}

fn spellings(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let percent: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let json = serde_json::Value::String(secret.to_owned()).to_string();
    let mut all = vec![
        secret.to_owned(),
        percent.replace('+', "%20"),
        percent,
        json.trim_matches('"').to_owned(),
        STANDARD.encode(bytes),
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE_NO_PAD.encode(bytes),
        hex::encode(bytes),
        hex::encode_upper(bytes),
    ];
    all.sort();
    all.dedup();
    all
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut last = 0;
    for at in memmem::find_iter(bytes, from) {
        out.extend_from_slice(&bytes[last..at]);
        out.extend_from_slice(to);
        last = at + from.len();
    }
    out.extend_from_slice(&bytes[last..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Header;

    fn vault() -> (Vault, String) {
        let mut vault = Vault::new([7; 16]);
        let token = vault.seal(Secret::new("hush/ü\"x"));
        (vault, token)
    }

    #[test]
    fn a_token_opens_only_in_its_own_operation() {
        let (vault, token) = vault();
        assert_eq!(vault.open(&token).map(Secret::expose), Some("hush/ü\"x"));
        assert_eq!(
            vault
                .open_within(&format!("key={token};"))
                .map(|s| s.expose().to_owned()),
            Some("key=hush/ü\"x;".to_owned())
        );
        assert!(Vault::new([8; 16]).open(&token).is_none());
        assert!(vault.open_within(&format!("{}999", vault.prefix)).is_none());
    }

    #[test]
    fn a_reply_that_echoes_a_secret_is_sealed_again() {
        let (vault, token) = vault();
        for spelling in spellings("hush/ü\"x") {
            let sealed = vault.reseal_text(format!("<{spelling}>"));
            assert_eq!(sealed, format!("<{token}>"), "{spelling}");
        }
    }

    #[test]
    fn a_secret_that_a_webhook_presents_is_sealed() {
        let (vault, token) = vault();
        let value = |value: &str| {
            let webhook = Webhook {
                method: "POST".to_owned(),
                url: "https://gateway.example/".to_owned(),
                headers: vec![Header {
                    name: "x-key".to_owned(),
                    value: value.to_owned(),
                }],
                body: vec![],
                received_at: 0,
            };
            vault.presented(&webhook).headers[0].value.clone()
        };
        assert_eq!(value("hush/ü\"x"), token);
        assert_eq!(value("Bearer hush/ü\"x"), format!("Bearer {token}"));
        assert_eq!(value("hush/ü\"y"), "hush/ü\"y");
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(…)");
    }
}
