//! Webhooks signed as Telnyx documents it, with libsodium and the keys of RFC 8032, for our verifier and for that of
//! Telnyx's own package. Where the two differ:
//!
//! | webhook | telnyx 4.189.0 | ours | because |
//! |---|---|---|---|
//! | body that is not UTF-8 | fails | genuine | the bytes are signed, not their meaning |
//! | timestamp with a sign or a space | genuine | refused | Telnyx sends digits; Python's `int` reads more |
//! | signature with letters that are not base64 | genuine | refused | the package skips them, RFC 4648 §3.3 refuses |
//!
//! That the check itself is RFC 8032's, with the vectors of its §7.1, is tested beside it in the host.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use strowger_host::Provider;
use strowger_tests::{credentials, provider};

use super::witness::{Witness, text};
use super::{NOW_MS, SEED, verdict, webhook};

const WEBHOOKS: usize = 100;

/// The official verdict on a webhook of this kind, and ours.
fn verdicts(kind: &str) -> (bool, &'static str) {
    match kind {
        "plain" | "no body" => (true, "genuine"),
        "not utf-8" => (false, "genuine"),
        "timestamp with a sign" | "timestamp with a space" => (true, "timestamp-malformed"),
        "signature with rubbish" => (true, "signature-malformed"),
        other => panic!("{other}"),
    }
}

fn found(telnyx: &Provider, case: &Value) -> String {
    let entered = json!({ "api_key": "KEY0123", "connection_id": "1", "webhook_public_key": text(case, "public_key") });
    verdict(telnyx, &credentials(telnyx, &entered), &webhook(case, NOW_MS))
}

fn compare(telnyx: &Provider, cases: &[Value]) -> (Vec<String>, BTreeMap<String, usize>) {
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::new();
    for case in cases {
        let mut count = |what: String| *counts.entry(what).or_default() += 1;
        let (kind, ours) = (text(case, "kind"), found(telnyx, case));
        count(format!("signed {kind}"));
        if (case["official"] == json!(true), ours.as_str()) != verdicts(kind) {
            wrong.push(format!("{ours}: {case:#}"));
        }
        for change in case["changes"].as_array().unwrap() {
            let (what, ours) = (text(change, "what"), found(telnyx, change));
            count(format!("changed {what}"));
            if ours == "genuine" || change["official"] == json!(true) {
                wrong.push(format!("{what} changed, ours {ours}: {change:#}"));
            }
        }
    }
    (wrong, counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_telnyx_signs_is_genuine_and_what_was_changed_is_not() {
    let now = (NOW_MS / 1000).to_string();
    let cases = Witness::start("telnyx_sign.py", &[SEED, &WEBHOOKS.to_string(), &now])
        .rest()
        .await;
    assert_eq!(cases.len(), WEBHOOKS);
    let telnyx = provider("telnyx");
    let (wrong, counts) = tokio::task::spawn_blocking(move || compare(&telnyx, &cases))
        .await
        .unwrap();
    assert!(
        wrong.is_empty(),
        "{} verdicts are wrong; the first:\n{}",
        wrong.len(),
        wrong[0]
    );
    // A generator that no longer makes one of these would make this test blind.
    for (what, at_least) in [
        ("signed plain", 70),
        ("signed no body", 5),
        ("signed not utf-8", 5),
        ("signed timestamp with a sign", 5),
        ("signed timestamp with a space", 5),
        ("signed signature with rubbish", 5),
        ("changed body", WEBHOOKS),
        ("changed timestamp", WEBHOOKS),
        ("changed signature", WEBHOOKS),
        ("changed signature plus the order", WEBHOOKS),
        ("changed signature cut", WEBHOOKS),
        ("changed key", WEBHOOKS),
        ("changed no timestamp", WEBHOOKS),
        ("changed no signature", WEBHOOKS),
        ("changed outside the window", 2 * WEBHOOKS),
    ] {
        assert!(
            counts.get(what).is_some_and(|&count| count >= at_least),
            "{what}: {counts:#?}"
        );
    }
}
