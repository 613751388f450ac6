//! Webhooks that nobody signed, and signed ones that somebody changed: none of them is genuine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strowger_host::spec::ProofPolicy;
use strowger_host::{Header, Verdict, Webhook};

use super::given;
use super::problems::Problems;
use super::subject::{Subject, moment};
use crate::report::{Outcome, Problem};

const EXPORT: &str = "webhook.verify-signature";

/// Nothing that is made up is genuine, and none of it makes the component fault.
pub(super) fn forged(subject: &Subject<'_>) -> Outcome {
    let mut problems = Problems::default();
    let mut webhooks: Vec<(String, Webhook)> = given::garbage()
        .into_iter()
        .map(|(what, webhook)| (what.to_owned(), webhook))
        .collect();
    for (name, webhook, _) in recorded(subject) {
        if let Some(mut webhook) = read(&webhook) {
            webhook
                .headers
                .retain(|header| header.name.eq_ignore_ascii_case("content-type"));
            webhooks.push((format!("the recorded webhook `{name}` without its headers"), webhook));
        }
    }
    for (what, webhook) in webhooks {
        match subject.provider.verify(&subject.credentials, &webhook, &moment(0)) {
            Err(fault) => problems.fault(EXPORT, &format!("given {what}"), &fault),
            Ok(Verdict::Genuine { label, .. }) => problems.add(EXPORT, "genuine", || Problem {
                what: format!("{EXPORT} describes a proof, `{label}`, that holds for {what}"),
                why: "whoever reaches the gateway could have calls answered, ended and billed".to_owned(),
                mend: "compare what the webhook presents with what a secret of this configuration makes of its bytes, and \
                       take keys from the configuration only"
                    .to_owned(),
            }),
            Ok(Verdict::Refused(_)) => {}
        }
    }
    problems.outcome()
}

/// What is genuine stops being so when its proof is changed.
pub(super) fn tampered(subject: &Subject<'_>) -> Outcome {
    if subject.provider.spec().webhook_proof == ProofPolicy::NoWebhooks {
        return Outcome::Skipped("the carrier sends no webhooks; all are refused".to_owned());
    }
    let genuine: Vec<(String, Value, Value)> = recorded(subject)
        .into_iter()
        .filter(|(_, _, config)| !config.is_null())
        .collect();
    let mut problems = Problems::default();
    let mut looked_at = 0;
    for (name, webhook, config) in genuine {
        let describe = |webhook: &Value| {
            subject
                .provider
                .invoke_json(EXPORT, &json!({ "config": config, "webhook": webhook }))
                .ok()
        };
        let Some(original) = describe(&webhook) else { continue };
        let Some(proofs) = original
            .get("ok")
            .and_then(Value::as_array)
            .filter(|proofs| !proofs.is_empty())
        else {
            continue;
        };
        looked_at += 1;
        for (n, proof) in proofs.iter().enumerate() {
            if presented(proof).is_empty() {
                problems.add(EXPORT, "nothing presented", || Problem {
                    what: format!("proof {n} of `{name}` compares nothing that the carrier presents"),
                    why: "it proves nothing, so the gateway refuses it and with it every webhook".to_owned(),
                    mend: "describe an `hmac`, `ed25519` or `equals` check".to_owned(),
                });
            }
        }
        let changed = mutations(&webhook);
        let mut touches_presented = false;
        for (what, mutation) in &changed {
            match describe(mutation) {
                None => problems.add(EXPORT, "fault", || Problem {
                    what: format!("{EXPORT} faults when {what} of the recorded webhook `{name}` is changed"),
                    why: "anybody can send such a webhook".to_owned(),
                    mend: "describe no proof, or return a rejection, for what cannot be read".to_owned(),
                }),
                Some(described) => {
                    let all = |value: &Value| -> Vec<Value> {
                        value
                            .get("ok")
                            .and_then(Value::as_array)
                            .into_iter()
                            .flatten()
                            .flat_map(presented)
                            .collect()
                    };
                    touches_presented |= all(&described) != all(&original);
                }
            }
        }
        if !touches_presented {
            problems.add(EXPORT, "not presented", || Problem {
                what: format!("no part of the recorded webhook `{name}` is what its proofs compare with"),
                why: "a webhook with another signature, or with none, would be just as genuine".to_owned(),
                mend:
                    "take the expected bytes from the webhook: from the header in which the carrier puts its signature"
                        .to_owned(),
            });
        }
    }
    if looked_at == 0 {
        return Outcome::Skipped(
            "there is no recorded case of `webhook.verify-signature` that describes a proof; record a signed webhook in cases/"
                .to_owned(),
        );
    }
    problems.outcome()
}

/// What the checks of a proof compare with: the carrier's side.
fn presented(proof: &Value) -> Vec<Value> {
    let checks = proof.get("checks").and_then(Value::as_array).into_iter().flatten();
    checks
        .filter_map(|check| {
            let (kind, check) = check.as_object()?.iter().next()?;
            let name = match kind.as_str() {
                "hmac" => "expected",
                "ed25519" => "signature",
                "equals" => "presented",
                _ => return None,
            };
            check.get(name).cloned()
        })
        .collect()
}

/// A webhook with one part changed, and which part.
fn mutations(webhook: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let headers = webhook
        .get("headers")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for (n, header) in headers.iter().enumerate() {
        let name = header.get("name").and_then(Value::as_str).unwrap_or_default();
        let value = header.get("value").and_then(Value::as_str).unwrap_or_default();
        for (how, other) in [
            ("first character", flipped(value, 0)),
            (
                "last character",
                flipped(value, value.chars().count().saturating_sub(1)),
            ),
            ("whole value", String::new()),
        ] {
            let mut changed = webhook.clone();
            changed["headers"][n]["value"] = json!(other);
            all.push((format!("the {how} of the header `{name}`"), changed));
        }
        let mut without = webhook.clone();
        if let Some(list) = without["headers"].as_array_mut() {
            list.remove(n);
        }
        all.push((format!("the header `{name}`"), without));
    }
    if let Some(url) = webhook.get("url").and_then(Value::as_str) {
        let mut changed = webhook.clone();
        let joint = if url.contains('?') { '&' } else { '?' };
        changed["url"] = json!(format!("{url}{joint}kit=1"));
        all.push(("the address".to_owned(), changed));
        if let Some((path, query)) = url.split_once('?') {
            for n in 0..query.split('&').count() {
                let query: Vec<String> = query
                    .split('&')
                    .enumerate()
                    .map(|(at, pair)| {
                        if at == n {
                            flipped(pair, pair.chars().count() - usize::from(!pair.is_empty()))
                        } else {
                            pair.to_owned()
                        }
                    })
                    .collect();
                let mut changed = webhook.clone();
                changed["url"] = json!(format!("{path}?{}", query.join("&")));
                all.push(("the query".to_owned(), changed));
            }
        }
    }
    for body in ["", "{", "\u{fffd}"] {
        let mut changed = webhook.clone();
        changed["body"] = json!(body);
        all.push(("the body".to_owned(), changed));
    }
    if let Some(body) = webhook
        .get("body")
        .and_then(Value::as_str)
        .filter(|body| !body.is_empty())
    {
        let mut changed = webhook.clone();
        changed["body"] = json!(flipped(body, body.chars().count() / 2));
        all.push(("the body".to_owned(), changed));
    }
    all
}

/// The text with another character at a place.
fn flipped(text: &str, at: usize) -> String {
    text.chars()
        .enumerate()
        .map(|(n, c)| match c {
            _ if n != at => c,
            'a' | 'A' | '0' => '1',
            _ => '0',
        })
        .collect()
}

/// The webhooks of the recorded cases, with the configuration where there is one.
pub(crate) fn recorded(subject: &Subject<'_>) -> Vec<(String, Value, Value)> {
    subject
        .cases
        .iter()
        .filter_map(|case| {
            let arguments = case.arguments(subject.provider).ok()?;
            let webhook = arguments.get("webhook").filter(|webhook| webhook.is_object())?.clone();
            let config = if case.export == EXPORT {
                arguments.get("config").cloned().unwrap_or_default()
            } else {
                Value::Null
            };
            Some((case.name.clone(), webhook, config))
        })
        .collect()
}

/// A webhook as a case spells it.
pub(crate) fn read(webhook: &Value) -> Option<Webhook> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let body = match webhook.get("body") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(body)) => body.clone().into_bytes(),
        Some(body) => STANDARD.decode(text(body, "base64")).ok()?,
    };
    let headers = webhook.get("headers").and_then(Value::as_array).into_iter().flatten();
    Some(Webhook {
        method: webhook.get("method")?.as_str()?.to_owned(),
        url: webhook.get("url")?.as_str()?.to_owned(),
        headers: headers
            .map(|header| Header {
                name: text(header, "name"),
                value: text(header, "value"),
            })
            .collect(),
        body,
        received_at: webhook.get("received-at").and_then(Value::as_u64).unwrap_or_default(),
    })
}
