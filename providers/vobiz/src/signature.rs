//! How a webhook of Vobiz is signed: an HMAC-SHA256 over its URL without the query, and a nonce. Neither parameters nor
//! body are covered, so a signature must not be accepted twice: whoever saw one could put any words behind it.
//!
//! <https://docs.vobiz.ai/concepts/validating-callbacks>

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strowger_sdk::{Proof, Rejection, Webhook};

use crate::spec::Config;

/// By any of these a webhook is known for Vobiz's, the first version included, which proves nothing here.
pub(crate) const HEADERS: [&str; 5] = [
    "x-vobiz-signature-v3",
    "x-vobiz-signature-ma-v3",
    "x-vobiz-signature-v2",
    "x-vobiz-signature-ma-v2",
    "x-vobiz-signature",
];

/// A way of signing: both versions differ only in what stands between URL and nonce.
struct Version {
    name: &'static str,
    /// Signed with the token of the account, and with that of its parent account.
    signatures: [(&'static str, &'static str); 2],
    nonce: &'static str,
    separator: &'static str,
}

const V3: Version = Version {
    name: "version 3",
    signatures: [("account's token", HEADERS[0]), ("parent account's token", HEADERS[1])],
    nonce: "x-vobiz-signature-v3-nonce",
    separator: ".",
};

const V2: Version = Version {
    name: "version 2",
    signatures: [("account's token", HEADERS[2]), ("parent account's token", HEADERS[3])],
    nonce: "x-vobiz-signature-v2-nonce",
    separator: "",
};

/// What fits in the key of a claim; Vobiz sends 20 digits.
const NONCE_MAX_CHARS: usize = 100;
/// The longest that the runtime remembers a nonce.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn proofs(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
    let is_signed = |version: &Version| {
        let mut headers = version.signatures.iter().map(|(_, header)| webhook.header(header));
        headers.any(|value| value.is_some_and(|value| !value.is_empty()))
    };
    let version = [V3, V2].into_iter().find(is_signed).ok_or_else(|| {
        Rejection::new(
            "signature-missing",
            "The headers X-Vobiz-Signature-V3 and X-Vobiz-Signature-V2 are missing: Vobiz sends them with every webhook.",
        )
    })?;
    let nonce = nonce(webhook, &version)?.ok_or_else(|| {
        Rejection::new(
            "nonce-missing",
            "The header with the nonce of the signature is missing: X-Vobiz-Signature-V3-Nonce, or V2.",
        )
    })?;
    let base = webhook.url.split(['?', '#']).next().unwrap_or_default();
    let message = format!("{base}{}{nonce}", version.separator);

    // Vobiz signs a webhook by both versions. Both nonces are spent together, lest the half that was not looked at be used
    // for another webhook.
    let mut spent = vec![format!("{} {nonce}", version.name)];
    if version.name == V3.name
        && let Some(other) = self::nonce(webhook, &V2)?
    {
        spent.push(format!("{} {other}", V2.name));
    }

    let mut proofs = Vec::new();
    for (key, header) in version.signatures {
        let presented = webhook.header(header).unwrap_or_default();
        let Ok(expected) = STANDARD.decode(presented.trim()) else {
            continue;
        };
        if expected.is_empty() {
            continue;
        }
        let proof = Proof::new(format!("{}, {key}", version.name));
        let proof = proof.hmac_sha256(&config.auth_token, message.as_bytes(), expected);
        proofs.push(
            spent
                .iter()
                .fold(proof, |proof, key| proof.once(key.as_str(), REMEMBERED)),
        );
    }
    if proofs.is_empty() {
        return Err(Rejection::new(
            "signature-malformed",
            "The headers with the signature are not base64.",
        ));
    }
    Ok(proofs)
}

/// Letters and digits only: with the separator in it, a nonce of one version could pass as one of the other.
fn nonce<'a>(webhook: &'a Webhook, version: &Version) -> Result<Option<&'a str>, Rejection> {
    let Some(nonce) = webhook.header(version.nonce).filter(|nonce| !nonce.is_empty()) else {
        return Ok(None);
    };
    if nonce.len() > NONCE_MAX_CHARS || !nonce.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Rejection::new(
            "nonce-malformed",
            "The header with the nonce of the signature does not have a nonce of Vobiz.",
        ));
    }
    Ok(Some(nonce))
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;
    use strowger_sdk::{Check, Sealed, Segment, testing};

    use super::*;

    const URL: &str = "https://gateway.example/api/v1/telephony/vobiz/answer/1";

    fn config() -> Config {
        Config {
            auth_id: "MA_1".to_owned(),
            auth_token: Sealed::new("sealed:auth_token"),
            application_id: None,
        }
    }

    fn webhook(url: &str, headers: &[(&str, &str)]) -> Webhook {
        testing::webhook("POST", url, headers, "CallUUID=u1")
    }

    fn sign(message: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"token").unwrap();
        mac.update(message.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }

    fn holds(proof: &Proof) -> bool {
        let Check::Hmac(check) = &proof.checks[0] else {
            panic!("{proof:?}")
        };
        let [Segment::Bytes(message)] = &check.message[..] else {
            panic!("{check:?}")
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(b"token").unwrap();
        mac.update(message);
        mac.verify_slice(&check.expected).is_ok()
    }

    fn genuine(webhook: &Webhook) -> Vec<String> {
        let proofs = proofs(&config(), webhook).unwrap();
        proofs.into_iter().filter(holds).map(|proof| proof.label).collect()
    }

    fn spent(webhook: &Webhook) -> Vec<String> {
        let proofs = proofs(&config(), webhook).unwrap();
        let once = proofs[0].checks.iter().filter_map(|check| match check {
            Check::Once(once) => Some(once.key.clone()),
            _ => None,
        });
        once.collect()
    }

    const NONCE: &str = "46347661609492873878";

    #[test]
    fn both_versions_and_both_accounts_are_known() {
        let v3 = sign(&format!("{URL}.{NONCE}"));
        let v2 = sign(&format!("{URL}{NONCE}"));
        for (header, nonce, signature, label) in [
            (HEADERS[0], V3.nonce, &v3, "version 3, account's token"),
            (HEADERS[1], V3.nonce, &v3, "version 3, parent account's token"),
            (HEADERS[2], V2.nonce, &v2, "version 2, account's token"),
            (HEADERS[3], V2.nonce, &v2, "version 2, parent account's token"),
        ] {
            let headers = [(header, signature.as_str()), (nonce, NONCE)];
            assert_eq!(genuine(&webhook(URL, &headers)), [label]);
            assert_eq!(genuine(&webhook(&format!("{URL}?a=b#c"), &headers)), [label]);
            assert_eq!(genuine(&webhook(&format!("{URL}2"), &headers)), [""; 0]);
            assert_eq!(genuine(&webhook(URL, &[headers[0], (nonce, "1")])), [""; 0]);
        }
    }

    #[test]
    fn the_other_account_may_have_signed_with_another_token() {
        let v3 = sign(&format!("{URL}.{NONCE}"));
        let headers = [(HEADERS[0], "AAAA"), (HEADERS[1], v3.as_str()), (V3.nonce, NONCE)];
        assert_eq!(genuine(&webhook(URL, &headers)), ["version 3, parent account's token"]);
    }

    #[test]
    fn version_3_comes_first_and_spends_both_nonces() {
        let v2 = sign(&format!("{URL}{NONCE}"));
        let headers = [
            (HEADERS[0], "AAAA"),
            (V3.nonce, "1"),
            (HEADERS[2], v2.as_str()),
            (V2.nonce, NONCE),
        ];
        assert_eq!(genuine(&webhook(URL, &headers)), [""; 0]);
        assert_eq!(
            spent(&webhook(URL, &headers)),
            ["version 3 1", "version 2 46347661609492873878"]
        );
        assert_eq!(spent(&webhook(URL, &headers[2..])), ["version 2 46347661609492873878"]);
    }

    #[test]
    fn a_signature_of_one_version_is_none_of_the_other() {
        let v3 = sign(&format!("{URL}.{NONCE}"));
        let dotted = format!(".{NONCE}");
        let headers = [(HEADERS[2], v3.as_str()), (V2.nonce, dotted.as_str())];
        assert_eq!(
            proofs(&config(), &webhook(URL, &headers)).unwrap_err().code,
            "nonce-malformed"
        );
    }

    #[test]
    fn what_cannot_be_proved_is_told() {
        let long = "9".repeat(101);
        for (headers, code) in [
            (vec![(V3.nonce, "1")], "signature-missing"),
            (vec![(HEADERS[0], ""), (V3.nonce, "1")], "signature-missing"),
            (vec![(HEADERS[4], "AAAA"), (V3.nonce, "1")], "signature-missing"),
            (vec![(HEADERS[0], "AAAA")], "nonce-missing"),
            (vec![(HEADERS[0], "AAAA"), (V2.nonce, "1")], "nonce-missing"),
            (vec![(HEADERS[0], "AAAA"), (V3.nonce, &long)], "nonce-malformed"),
            (
                vec![(HEADERS[0], "AAAA"), (V3.nonce, "1"), (V2.nonce, "a b")],
                "nonce-malformed",
            ),
            (vec![(HEADERS[0], "not base64"), (V3.nonce, "1")], "signature-malformed"),
        ] {
            assert_eq!(
                proofs(&config(), &webhook(URL, &headers)).unwrap_err().code,
                code,
                "{headers:?}"
            );
        }
    }
}
