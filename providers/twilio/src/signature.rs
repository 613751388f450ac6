//! How a webhook of Twilio is signed: an HMAC over the URL and, for a form, its parameters.
//!
//! <https://www.twilio.com/docs/usage/security>. Twilio is not consistent about ports (and user information) in the URL
//! that it signs, so each spelling of the URL is a proof of its own.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strowger_sdk::{Form, Hash, Proof, Rejection, Sealed, Webhook};

use crate::spec::Config;

const SIGNATURE: &str = "x-twilio-signature";
/// `key=<id>,algorithm=HMAC_SHA256`: the webhook is signed with a shared key instead of the auth token.
const SETTINGS: &str = "x-twilio-webhooks-signature-settings";

pub(crate) fn proofs(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
    let presented = webhook
        .header(SIGNATURE)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| {
            Rejection::new(
                "signature-missing",
                "The header X-Twilio-Signature is missing: Twilio sends it with every webhook.",
            )
        })?;
    let expected = STANDARD
        .decode(presented)
        .map_err(|_| Rejection::new("signature-malformed", "The header X-Twilio-Signature is not base64."))?;
    let (hash, key) = scheme(config, webhook)?;
    let (parameters, body_hash) = signed_body(webhook)?;

    let hash_name = if hash == Hash::Sha256 { "sha256" } else { "sha1" };
    let proof = |spelling: UrlSpelling| {
        let message = spelling.url + &parameters;
        let proof = Proof::new(format!("{hash_name}, url {}", spelling.label));
        let proof = proof.hmac(hash, key.key(), message, expected.clone());
        match &body_hash {
            Some(digest) => proof.digest(Hash::Sha256, webhook.body.clone(), digest.clone()),
            None => proof,
        }
    };
    Ok(url_spellings(&webhook.url).into_iter().map(proof).collect())
}

/// Which hash and which key Twilio says it signed with; without the settings header SHA-1 and the auth token.
fn scheme<'a>(config: &'a Config, webhook: &Webhook) -> Result<(Hash, &'a Sealed), Rejection> {
    let settings = webhook.header(SETTINGS).unwrap_or_default();
    let setting = |wanted: &str| {
        settings
            .split(',')
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .find(|(name, value)| *name == wanted && !value.is_empty())
            .map(|(_, value)| value)
    };
    let hash = match setting("algorithm").map(str::to_ascii_uppercase).as_deref() {
        None | Some("HMAC_SHA1") => Hash::Sha1,
        Some("HMAC_SHA256") => Hash::Sha256,
        Some(_) => {
            return Err(Rejection::new(
                "algorithm-unknown",
                "The webhook names a signature algorithm other than HMAC_SHA1 and HMAC_SHA256.",
            ));
        }
    };
    if hash == Hash::Sha1 && setting("key").is_none() {
        return Ok((hash, &config.auth_token));
    }
    let key = config.webhook_shared_key.as_ref().ok_or_else(|| {
        Rejection::new(
            "shared-key-missing",
            "The webhook is signed with a shared key; enter it as Webhook Shared Key.",
        )
    })?;
    Ok((hash, key))
}

/// What of the body goes into the signed message, and the digest that the signed URL demands of the body.
fn signed_body(webhook: &Webhook) -> Result<(String, Option<Vec<u8>>), Rejection> {
    // A GET webhook has its parameters in the URL.
    if webhook.method == "POST" && webhook.has_form() {
        return Ok((concatenate(&webhook.form()), None));
    }
    if let Some(digest) = webhook.query().get("bodySHA256") {
        let digest = hex::decode(digest)
            .map_err(|_| Rejection::new("body-digest-malformed", "The parameter bodySHA256 is not hexadecimal."))?;
        return Ok((String::new(), Some(digest)));
    }
    if webhook.body.is_empty() {
        return Ok((String::new(), None));
    }
    Err(Rejection::new(
        "body-not-signed",
        "The signature does not cover a body that is neither a form nor named by bodySHA256.",
    ))
}

/// Names in byte order; each distinct value of a name in byte order after its name; no separators.
fn concatenate(form: &Form) -> String {
    let pairs: BTreeSet<&(String, String)> = form.pairs().iter().collect();
    pairs
        .into_iter()
        .flat_map(|(name, value)| [name.as_str(), value.as_str()])
        .collect()
}

struct UrlSpelling {
    label: &'static str,
    url: String,
}

/// The URL without and with a port (the scheme's own port where none is written), and each of them without user
/// information where there is any. Everything else stays as it is, byte for byte.
fn url_spellings(url: &str) -> Vec<UrlSpelling> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return vec![UrlSpelling {
            label: "as received",
            url: url.to_owned(),
        }];
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user_info, host_port) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    // The colons of an IPv6 literal are inside its brackets (RFC 3986 §3.2.2).
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
        _ => (host_port, ""),
    };
    let port = match port {
        "" if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss") => "443",
        "" => "80",
        port => port,
    };
    let mut spellings = vec![
        UrlSpelling {
            label: "without port",
            url: format!("{scheme}://{user_info}{host}{tail}"),
        },
        UrlSpelling {
            label: "with port",
            url: format!("{scheme}://{user_info}{host}:{port}{tail}"),
        },
    ];
    if !user_info.is_empty() {
        spellings.push(UrlSpelling {
            label: "without user and port",
            url: format!("{scheme}://{host}{tail}"),
        });
        spellings.push(UrlSpelling {
            label: "without user, with port",
            url: format!("{scheme}://{host}:{port}{tail}"),
        });
    }
    spellings
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use sha1::Sha1;
    use strowger_sdk::Check;
    use strowger_sdk::testing::webhook;

    use super::*;

    fn config() -> Config {
        Config {
            account_sid: "AC0123456789abcdef0123456789abcdef".to_owned(),
            auth_token: Sealed::new("sealed:auth_token"),
            webhook_shared_key: None,
            detect_machines: false,
            api_host: "api.twilio.com".to_owned(),
        }
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=UTF-8");

    fn hmac_messages(proofs: &[Proof]) -> Vec<String> {
        let message = |proof: &Proof| match &proof.checks[0] {
            Check::Hmac(check) => match &check.message[..] {
                [strowger_sdk::Segment::Bytes(bytes)] => String::from_utf8(bytes.clone()).unwrap(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        proofs.iter().map(message).collect()
    }

    /// The runtime's part of a proof, for known answers.
    fn holds(proof: &Proof, secret: &str) -> bool {
        proof.checks.iter().all(|check| match check {
            Check::Hmac(check) => {
                assert_eq!(
                    (check.hash, check.key.reference.as_str()),
                    (Hash::Sha1, "sealed:auth_token")
                );
                let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
                for segment in &check.message {
                    let strowger_sdk::Segment::Bytes(bytes) = segment else {
                        panic!("{segment:?}")
                    };
                    mac.update(bytes);
                }
                mac.verify_slice(&check.expected).is_ok()
            }
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_example_of_the_documentation_verifies() {
        let body = b"To=%2B18005551212&Digits=1234&CallSid=CA1234567890ABCDE&Caller=%2B12349013030&From=%2B12349013030";
        let headers = [FORM, ("X-Twilio-Signature", "0/KCTR6DLpKmkAf8muzZqo1nDgQ=")];
        for url in [
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            "https://mycompany.com:443/myapp.php?foo=1&bar=2",
        ] {
            let proofs = proofs(&config(), &webhook("POST", url, &headers, body)).unwrap();
            assert!(proofs.iter().any(|proof| holds(proof, "12345")), "{url}");
            assert!(!proofs.iter().any(|proof| holds(proof, "12346")));
        }
        let tampered = webhook(
            "POST",
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            &headers,
            b"Digits=1235",
        );
        assert!(
            !proofs(&config(), &tampered)
                .unwrap()
                .iter()
                .any(|proof| holds(proof, "12345"))
        );
    }

    #[test]
    fn urls_are_spelled_with_and_without_port() {
        let table: [(&str, &[&str]); 8] = [
            (
                "https://a.example/x?y",
                &["https://a.example/x?y", "https://a.example:443/x?y"],
            ),
            ("http://a.example", &["http://a.example", "http://a.example:80"]),
            (
                "https://a.example:8443/x",
                &["https://a.example/x", "https://a.example:8443/x"],
            ),
            (
                "https://[2001:db8::]/x",
                &["https://[2001:db8::]/x", "https://[2001:db8::]:443/x"],
            ),
            (
                "http://[2001:db8::1]/x",
                &["http://[2001:db8::1]/x", "http://[2001:db8::1]:80/x"],
            ),
            (
                "https://[2001:db8::1]:8443/x",
                &["https://[2001:db8::1]/x", "https://[2001:db8::1]:8443/x"],
            ),
            (
                "https://u:p@a.example/x",
                &[
                    "https://u:p@a.example/x",
                    "https://u:p@a.example:443/x",
                    "https://a.example/x",
                    "https://a.example:443/x",
                ],
            ),
            (
                "https://a.example?to=b@c:1",
                &["https://a.example?to=b@c:1", "https://a.example:443?to=b@c:1"],
            ),
        ];
        for (url, expected) in table {
            let spellings: Vec<String> = url_spellings(url).into_iter().map(|spelling| spelling.url).collect();
            assert_eq!(spellings, expected);
        }
    }

    #[test]
    fn repeated_parameters_are_signed_once_for_each_value() {
        let headers = [FORM, ("x-twilio-signature", "AAAA")];
        let webhook = webhook("POST", "https://a.example/", &headers, b"b=2&a=z&b=1&b=2&B=0&a=");
        let messages = hmac_messages(&proofs(&config(), &webhook).unwrap());
        assert_eq!(messages[0], "https://a.example/B0aazb1b2");
    }

    #[test]
    fn a_get_webhook_has_no_form() {
        let headers = [FORM, ("x-twilio-signature", "AAAA")];
        let messages =
            hmac_messages(&proofs(&config(), &webhook("GET", "https://a.example/?b=1", &headers, b"")).unwrap());
        assert_eq!(messages[0], "https://a.example/?b=1");
        let with_body = webhook("GET", "https://a.example/?b=1", &headers, b"c=1");
        assert_eq!(proofs(&config(), &with_body).unwrap_err().code, "body-not-signed");
    }

    #[test]
    fn a_body_that_is_no_form_is_tied_to_the_url_by_its_digest() {
        let headers = [("content-type", "application/json"), ("x-twilio-signature", "AAAA")];
        let signed = webhook("POST", "https://a.example/?bodySHA256=00ff", &headers, b"{}");
        let described = proofs(&config(), &signed).unwrap();
        assert_eq!(hmac_messages(&described)[0], "https://a.example/?bodySHA256=00ff");
        let Check::Digest(digest) = &described[0].checks[1] else {
            panic!("{described:?}")
        };
        assert_eq!(
            (digest.hash, digest.expected.as_slice()),
            (Hash::Sha256, [0x00, 0xff].as_slice())
        );

        for (url, code) in [
            ("https://a.example/", "body-not-signed"),
            ("https://a.example/?bodySHA256=xyz", "body-digest-malformed"),
        ] {
            assert_eq!(
                proofs(&config(), &webhook("POST", url, &headers, b"{}"))
                    .unwrap_err()
                    .code,
                code
            );
        }
    }

    #[test]
    fn the_settings_header_chooses_hash_and_key() {
        let shared = Config {
            webhook_shared_key: Some(Sealed::new("sealed:shared")),
            ..config()
        };
        let with = |settings: &str| {
            webhook(
                "POST",
                "https://a.example/",
                &[("x-twilio-signature", "AAAA"), (SETTINGS, settings)],
                b"",
            )
        };
        let scheme_of = |config: &Config, settings: &str| {
            proofs(config, &with(settings)).map(|proofs| match &proofs[0].checks[0] {
                Check::Hmac(check) => (check.hash, check.key.reference.clone()),
                other => panic!("{other:?}"),
            })
        };
        let sha256 = "key=webhooks_sharedkey_1, algorithm=hmac_sha256";
        assert_eq!(
            scheme_of(&shared, sha256),
            Ok((Hash::Sha256, "sealed:shared".to_owned()))
        );
        assert_eq!(scheme_of(&config(), sha256).unwrap_err().code, "shared-key-missing");
        assert_eq!(scheme_of(&shared, ""), Ok((Hash::Sha1, "sealed:auth_token".to_owned())));
        assert_eq!(
            scheme_of(&shared, "algorithm=HMAC_SHA1"),
            Ok((Hash::Sha1, "sealed:auth_token".to_owned()))
        );
        assert_eq!(
            scheme_of(&shared, "key=k"),
            Ok((Hash::Sha1, "sealed:shared".to_owned()))
        );
        assert_eq!(
            scheme_of(&shared, "key=k,algorithm=HMAC_MD5").unwrap_err().code,
            "algorithm-unknown"
        );
    }

    #[test]
    fn without_a_signature_there_is_nothing_to_prove() {
        for headers in [
            &[][..],
            &[("x-twilio-signature", "")],
            &[("x-signature", "AAAA")],
            &[("twilio-signature", "AAAA")],
        ] {
            assert_eq!(
                proofs(&config(), &webhook("GET", "https://a", headers, b""))
                    .unwrap_err()
                    .code,
                "signature-missing"
            );
        }
        let malformed = webhook("GET", "https://a", &[("x-twilio-signature", "not base64")], b"");
        assert_eq!(proofs(&config(), &malformed).unwrap_err().code, "signature-malformed");
    }
}
