//! How a webhook of Plivo is signed: version 3, an HMAC-SHA256 over the URL, the parameters and a nonce.
//!
//! <https://docs.plivo.com/docs/voice/concepts/signature-validation>. The message is put together as Plivo's own libraries
//! do it. Version 2 does not cover the parameters and is not accepted; Plivo signs every voice webhook with version 3.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strowger_sdk::{Form, Proof, Rejection, Webhook};

use crate::spec::Config;

/// Signed with the token of the account, or subaccount, that the call belongs to.
pub(crate) const SIGNATURE: &str = "x-plivo-signature-v3";
/// Signed with the token of the main account.
pub(crate) const MAIN_SIGNATURE: &str = "x-plivo-signature-ma-v3";
const NONCE: &str = "x-plivo-signature-v3-nonce";

/// What fits in the key of a claim; Plivo sends 20 digits.
const NONCE_MAX_CHARS: usize = 100;
/// The contract's bound on proofs, half of it for each header, so that neither can crowd out the other.
const PROOFS_MAX_PER_HEADER: usize = 8;
/// The longest that the runtime remembers a nonce. The same webhook again is a retry and is taken; another one behind the
/// nonce is not.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn proofs(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
    let presented = [("account's token", SIGNATURE), ("main account's token", MAIN_SIGNATURE)]
        .map(|(key, header)| (key, webhook.header(header).unwrap_or_default()));
    if presented.iter().all(|(_, value)| value.is_empty()) {
        return Err(Rejection::new(
            "signature-missing",
            "The headers X-Plivo-Signature-V3 and X-Plivo-Signature-Ma-V3 are missing: Plivo sends them with every webhook.",
        ));
    }
    let nonce = webhook
        .header(NONCE)
        .filter(|nonce| !nonce.is_empty())
        .ok_or_else(|| Rejection::new("nonce-missing", "The header X-Plivo-Signature-V3-Nonce is missing."))?;
    // A dot would let the end of the signed parameters pass as the beginning of the nonce, and be missing.
    if nonce.len() > NONCE_MAX_CHARS || !nonce.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Rejection::new(
            "nonce-malformed",
            "The header X-Plivo-Signature-V3-Nonce is not a nonce of Plivo.",
        ));
    }

    let message = format!("{}.{nonce}", signed_request(webhook)?);
    let mut proofs = Vec::new();
    for (key, value) in presented {
        // An account with two tokens in use signs with both.
        let signatures = value
            .split(',')
            .filter_map(|signature| STANDARD.decode(signature.trim()).ok())
            .filter(|signature| !signature.is_empty());
        let described = signatures.map(|signature| {
            Proof::new(format!("version 3, {key}"))
                .hmac_sha256(&config.auth_token, message.as_bytes(), signature)
                .once(format!("nonce {nonce}"), REMEMBERED)
        });
        proofs.extend(described.take(PROOFS_MAX_PER_HEADER));
    }
    if proofs.is_empty() {
        return Err(Rejection::new(
            "signature-malformed",
            "The header X-Plivo-Signature-V3 is not a list of base64 signatures.",
        ));
    }
    Ok(proofs)
}

fn signed_request(webhook: &Webhook) -> Result<String, Rejection> {
    let base = webhook.url.split(['?', '#']).next().unwrap_or_default();
    let query = joined(&webhook.query(), "=", "&");
    if webhook.method != "POST" {
        if !webhook.body.is_empty() {
            return Err(body_not_signed());
        }
        return Ok(if query.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{query}")
        });
    }
    if !webhook.has_form() && !webhook.body.is_empty() {
        return Err(body_not_signed());
    }
    let parameters = joined(&webhook.form(), "", "");
    Ok(match (query.is_empty(), parameters.is_empty()) {
        (true, true) => base.to_owned(),
        (false, true) => format!("{base}?{query}"),
        // The question mark stands there even when no query follows it.
        (true, false) => format!("{base}?{parameters}"),
        (false, false) => format!("{base}?{query}.{parameters}"),
    })
}

/// Names in order, the values of a name in order, decoded and not escaped again.
fn joined(form: &Form, between: &str, after: &str) -> String {
    let mut pairs: Vec<&(String, String)> = form.pairs().iter().collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}{between}{value}"))
        .collect();
    pairs.join(after)
}

fn body_not_signed() -> Rejection {
    Rejection::new(
        "body-not-signed",
        "The signature does not cover a body that is not a form; have Plivo send its webhooks as POST or GET.",
    )
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;
    use strowger_sdk::{Check, Sealed, Segment, testing};

    use super::*;
    use crate::spec::AudioFormat;

    /// Known answers of Plivo's Go library, from requests of Plivo's own.
    const TOKEN: &str = "Y2Q2ZDgxZmY5YWRiOTI5YmQ1Njg0MTAxZWIyOTc4";
    const KNOWN_NONCE: &str = "31627761595286130198";
    const KNOWN_URL: &str = "https://plivobin.non-prod.plivops.com/api/v1/validate_signature03.xml";
    const KNOWN_PARAMETERS: &str = "Direction=outbound&From=19792014278&ALegUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&CallStatus=in-progress&BillRate=0.002&ParentAuthID=MANWVLYTK4ZWU1YTY4QA&To=sip%3APlivoSignature382029104058171078704104%40phone-qa.voice.plivodev.com&ALegRequestUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&CallUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&RequestUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&SIP-H-To=%3Csip%3APlivoSignature382029104058171078704104%4052.9.11.55%3Btransport%3Dudp%3E%3Btag%3D1&SessionStart=2020-04-08+11%3A34%3A33.238707&Event=StartApp";

    fn config() -> Config {
        Config {
            auth_id: "MA1".to_owned(),
            auth_token: Sealed::new("sealed:auth_token"),
            application_id: None,
            audio_format: AudioFormat::default(),
        }
    }

    fn webhook(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Webhook {
        let form = ("content-type", "application/x-www-form-urlencoded");
        testing::webhook(method, url, &[headers, &[form]].concat(), body)
    }

    fn signed(method: &str, url: &str, body: &str, signature: &str) -> Webhook {
        webhook(method, url, &[(SIGNATURE, signature), (NONCE, KNOWN_NONCE)], body)
    }

    fn message(proof: &Proof) -> String {
        match &proof.checks[..] {
            [Check::Hmac(check), Check::Once(_)] => match &check.message[..] {
                [Segment::Bytes(bytes)] => String::from_utf8(bytes.clone()).unwrap(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// The runtime's part of a proof.
    fn genuine(webhook: &Webhook, token: &str) -> bool {
        proofs(&config(), webhook).unwrap().iter().any(|proof| {
            let Check::Hmac(check) = &proof.checks[0] else {
                panic!("{proof:?}")
            };
            let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).unwrap();
            mac.update(message(proof).as_bytes());
            mac.verify_slice(&check.expected).is_ok()
        })
    }

    #[test]
    fn plivos_own_examples_verify() {
        let with_query = format!("{KNOWN_URL}/?a=b&c=d");
        let table = [
            (
                "POST",
                with_query.clone(),
                KNOWN_PARAMETERS,
                "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c=",
            ),
            (
                "POST",
                KNOWN_URL.to_owned(),
                KNOWN_PARAMETERS,
                "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0=",
            ),
            (
                "GET",
                format!("{with_query}&{KNOWN_PARAMETERS}"),
                "",
                "UBq8jAtd32wR8EK9VgxbBn4n5rpI/l1H9iN4WfSEHFQ=",
            ),
            (
                "GET",
                format!("{KNOWN_URL}?{KNOWN_PARAMETERS}"),
                "",
                "i/MQsaQSAd6fiKhOh2qeeeLHZ9faldADSb3/7+Akfbc=",
            ),
        ];
        for (method, url, body, signature) in table {
            let genuine_one = signed(method, &url, body, signature);
            assert!(genuine(&genuine_one, TOKEN), "{method} {url}");
            assert!(!genuine(&genuine_one, "another token"));
            let elsewhere = signed(method, &url.replace("validate", "elsewhere"), body, signature);
            assert!(!genuine(&elsewhere, TOKEN));
            let changed = signed(
                method,
                &url.replace("in-progress", "completed"),
                &body.replace("in-progress", "completed"),
                signature,
            );
            assert!(!genuine(&changed, TOKEN));
            let mut other_nonce = genuine_one.clone();
            other_nonce.headers[1].value = "31627761595286130199".to_owned();
            assert!(!genuine(&other_nonce, TOKEN));
        }
    }

    #[test]
    fn the_parts_of_the_message_are_joined_as_they_are_there() {
        for (method, url, body, expected) in [
            ("POST", "https://a.example/x", "", "https://a.example/x.n"),
            (
                "POST",
                "https://a.example/x?b=2&a=%31+1#f",
                "",
                "https://a.example/x?a=1 1&b=2.n",
            ),
            (
                "POST",
                "https://a.example/x",
                "b=2&a=&b=1",
                "https://a.example/x?ab1b2.n",
            ),
            ("POST", "https://a.example/x?q=", "b=2", "https://a.example/x?q=.b2.n"),
            (
                "GET",
                "https://a.example:8443/x?b=2&b=1&a",
                "",
                "https://a.example:8443/x?a=&b=1&b=2.n",
            ),
            ("GET", "https://a.example", "", "https://a.example.n"),
        ] {
            let described = proofs(
                &config(),
                &webhook(method, url, &[(SIGNATURE, "AAAA"), (NONCE, "n")], body),
            )
            .unwrap();
            assert_eq!(message(&described[0]), expected);
        }
    }

    #[test]
    fn either_header_and_any_signature_of_a_list_will_do() {
        let right = "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0=";
        for headers in [
            [(MAIN_SIGNATURE, right), (SIGNATURE, "AAAA")],
            [(MAIN_SIGNATURE, "AAAA"), (SIGNATURE, right)],
            [
                (SIGNATURE, "AAAA, iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="),
                ("x", "y"),
            ],
            [
                (MAIN_SIGNATURE, "%%%,iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="),
                ("x", "y"),
            ],
        ] {
            let headers = [headers[0], headers[1], (NONCE, KNOWN_NONCE)];
            assert!(
                genuine(&webhook("POST", KNOWN_URL, &headers, KNOWN_PARAMETERS), TOKEN),
                "{headers:?}"
            );
        }
        let many = ["AAAA"; 40].join(",");
        let crowded = webhook(
            "POST",
            KNOWN_URL,
            &[(SIGNATURE, &many), (MAIN_SIGNATURE, &many), (NONCE, "n")],
            "a=é",
        );
        assert_eq!(proofs(&config(), &crowded).unwrap().len(), 2 * PROOFS_MAX_PER_HEADER);
    }

    #[test]
    fn parameters_beyond_ascii_are_signed_as_they_are() {
        let described = proofs(&config(), &signed("POST", "https://a.example/", "n=%C3%A9", "AAAA")).unwrap();
        let messages: Vec<String> = described.iter().map(message).collect();
        assert_eq!(messages, [format!("https://a.example/?né.{KNOWN_NONCE}")]);
    }

    #[test]
    fn a_nonce_counts_once() {
        let described = proofs(&config(), &signed("GET", "https://a.example/", "", "AAAA")).unwrap();
        let Check::Once(once) = &described[0].checks[1] else {
            panic!("{described:?}")
        };
        assert_eq!(
            (once.key.as_str(), once.ttl_ms),
            ("nonce 31627761595286130198", 86_400_000)
        );
    }

    #[test]
    fn what_cannot_be_proved_is_told() {
        let long = "9".repeat(101);
        for (headers, body, code) in [
            (vec![(NONCE, "n")], "", "signature-missing"),
            (vec![(SIGNATURE, ""), (NONCE, "n")], "", "signature-missing"),
            (
                vec![("x-plivo-signature-v2", "AAAA"), ("x-plivo-signature-v2-nonce", "n")],
                "",
                "signature-missing",
            ),
            (vec![(SIGNATURE, "AAAA")], "", "nonce-missing"),
            (vec![(SIGNATURE, "AAAA"), (NONCE, "")], "", "nonce-missing"),
            (vec![(SIGNATURE, "AAAA"), (NONCE, &long)], "", "nonce-malformed"),
            (
                vec![(SIGNATURE, "AAAA"), (NONCE, "238707To19792014278.31627")],
                "",
                "nonce-malformed",
            ),
            (vec![(SIGNATURE, "not base64"), (NONCE, "n")], "", "signature-malformed"),
            (vec![(SIGNATURE, "AAAA"), (NONCE, "n")], "a=1", "body-not-signed"),
        ] {
            let method = if code == "body-not-signed" { "GET" } else { "POST" };
            let rejection = proofs(&config(), &webhook(method, "https://a.example/", &headers, body)).unwrap_err();
            assert_eq!(rejection.code, code, "{headers:?}");
        }
        let mut json = webhook("POST", "https://a.example/", &[(SIGNATURE, "AAAA"), (NONCE, "n")], "{}");
        json.headers.retain(|header| header.name != "content-type");
        assert_eq!(proofs(&config(), &json).unwrap_err().code, "body-not-signed");
    }
}
