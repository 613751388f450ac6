//! Plivo's own packages sign webhooks for our verifier: version 3 of its signature, as its package for Python and its
//! package for Node.js compute it. They are not always of one mind:
//!
//! | webhook | Python 4.63.0 | Node.js 4.79.0 | ours |
//! |---|---|---|---|
//! | query beyond ASCII (`?a=%C3%A9`) | fails: neither signs nor validates | UTF-8, once | as Node.js |
//! | query that is not UTF-8 (`?a=%ff`) | fails | U+FFFD in its place | as Node.js |
//! | names beyond the basic plane | in the order of code points | in the order of UTF-16 | as Python |
//! | user information in the URL | signed | left out | as Python |
//! | `;v=1` at the end of the path | left out | signed | as Node.js |
//! | IPv6 literal as the host | signed | mangled, and the query left out | as Python |
//! | parameter `__proto__` in the query | signed | left out | as Python |
//!
//! The first is the only one that occurs with our own URLs, whose queries are ASCII. Everything else is the same in all
//! three: lists, empty values, parameters beyond ASCII in a form, `%` that escapes nothing, empty pieces of a query.
//!
//! None of them signs where a name ends: `a=bc` and `ab=c` in a form have one signature. Nor is the method signed, only
//! what it does to the parameters.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use strowger_host::{Credentials, Header, Provider, Webhook};
use strowger_tests::{credentials, provider};

use super::witness::{Witness, bytes, text};
use super::{NOW_MS, SEED, verdict};

const WEBHOOKS: usize = 880;

/// Whose signature of this kind of webhook is ours as well: Python's, that of Node.js.
fn agreeing(kind: &str) -> (bool, bool) {
    match kind {
        "plain" | "bare" | "list" | "beyond-ascii form" | "looks encoded twice" => (true, true),
        "order beyond the basic plane" | "user information" | "ipv6" | "prototype" => (true, false),
        "beyond-ascii query" | "broken utf-8 query" | "path parameters" => (false, true),
        other => panic!("{other}"),
    }
}

fn account(plivo: &Provider, token: &str) -> Credentials {
    credentials(
        plivo,
        &json!({ "auth_id": "MAXXXXXXXXXXXXXXXXXX", "auth_token": token }),
    )
}

const SIGNATURE: &str = "X-Plivo-Signature-V3";
const MAIN_SIGNATURE: &str = "X-Plivo-Signature-Ma-V3";

fn signed(case: &Value, name: &str, signature: &str) -> Webhook {
    let header = |name: &str, value: &str| Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let mut headers = vec![
        header(name, signature),
        header("X-Plivo-Signature-V3-Nonce", text(case, "nonce")),
    ];
    if text(case, "method") == "POST" {
        headers.push(header("Content-Type", "application/x-www-form-urlencoded"));
    }
    Webhook {
        method: text(case, "method").to_owned(),
        url: text(case, "url").to_owned(),
        headers,
        body: bytes(case, "body"),
        received_at: NOW_MS,
    }
}

fn is_genuine(plivo: &Provider, case: &Value, name: &str, signature: &str) -> bool {
    let account = account(plivo, text(case, "token"));
    verdict(plivo, &account, &signed(case, name, signature)) == "genuine"
}

/// Everything that an official package gets to see: each webhook, and after it its changed copies.
fn requests(cases: &[Value]) -> impl Iterator<Item = &Value> {
    cases
        .iter()
        .flat_map(|case| std::iter::once(case).chain(case["changes"].as_array().unwrap()))
}

/// What the package for Node.js finds, in the same order.
async fn node(cases: &[Value]) -> Vec<Value> {
    let mut input = String::new();
    for case in requests(cases) {
        let mut request = case["request"].clone();
        request["signature"] = case["signature"].clone();
        input.push_str(&format!("{request}\n"));
    }
    Witness::start_node_with("plivo_sign.mjs", input).rest().await
}

/// Where ours and the official verdicts differ from what is written above, and what was compared, counted.
fn compare(plivo: &Provider, cases: &[Value], node: &[Value]) -> (Vec<String>, BTreeMap<String, usize>) {
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::new();
    let mut node = node.iter();
    for case in cases {
        let mut count = |what: String| *counts.entry(what).or_default() += 1;
        let kind = text(case, "kind");
        let (as_python, as_node) = agreeing(kind);
        let (python, theirs) = (case["signature"].as_str(), node.next().unwrap());
        let both = as_python && as_node;
        count(format!("signed {kind}"));
        if both != (python == theirs["signature"].as_str()) || python.is_some() != (case["official"] == json!(true)) {
            wrong.push(format!("the official packages are not as they were: {theirs} {case:#}"));
        }
        for (ours, signature) in [(as_python, python), (as_node, theirs["signature"].as_str())] {
            let Some(signature) = signature else { continue };
            if is_genuine(plivo, case, SIGNATURE, signature) != ours {
                wrong.push(format!("{signature} must be accepted: {ours}: {case:#}"));
            }
        }
        if both {
            let signature = python.unwrap();
            let list = format!("AAAA,{signature}");
            // Of a list any signature will do, and the main account's token signs as the account's does.
            for (name, value) in [(SIGNATURE, list.as_str()), (MAIN_SIGNATURE, signature)] {
                if !is_genuine(plivo, case, name, value) {
                    wrong.push(format!("{name}: {value} must be accepted: {case:#}"));
                }
            }
        }
        for change in case["changes"].as_array().unwrap() {
            let (what, theirs) = (text(change, "what"), node.next().unwrap());
            let official = change["official"] == json!(true);
            let signature = text(change, "signature");
            let ours = is_genuine(plivo, change, SIGNATURE, signature);
            if both {
                count(format!("changed {what}: {official}"));
                if ours != official || theirs["accepts"] != json!(official) {
                    wrong.push(format!("{what} changed: ours {ours}, theirs {theirs}: {change:#}"));
                }
            } else if ours && !(as_python && official) {
                wrong.push(format!("{what} changed: {change:#}"));
            }
        }
    }
    (wrong, counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_official_packages_sign_is_genuine_and_what_was_changed_is_not() {
    let cases = Witness::start("plivo_sign.py", &[SEED, &WEBHOOKS.to_string()])
        .rest()
        .await;
    let node = node(&cases).await;
    assert_eq!((cases.len(), node.len()), (WEBHOOKS, requests(&cases).count()));
    let plivo = provider("plivo");
    let (wrong, counts) = tokio::task::spawn_blocking(move || compare(&plivo, &cases, &node))
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
        ("signed plain", WEBHOOKS / 2),
        ("signed bare", 40),
        ("signed list", 40),
        ("signed beyond-ascii form", 40),
        ("signed looks encoded twice", 40),
        ("signed beyond-ascii query", 40),
        ("signed broken utf-8 query", 40),
        ("signed order beyond the basic plane", 40),
        ("signed user information", 40),
        ("signed path parameters", 40),
        ("signed ipv6", 40),
        ("signed prototype", 40),
        ("changed path: false", 300),
        ("changed host: false", 500),
        ("changed scheme: false", 300),
        ("changed query: false", 500),
        ("changed body: false", 500),
        ("changed nonce: false", 500),
        ("changed token: false", 500),
        ("changed signature: false", 500),
        ("changed method: false", 300),
        ("changed method: true", 50),
        ("changed order: true", 300),
        ("changed boundary: true", 300),
    ] {
        assert!(
            counts.get(what).is_some_and(|&count| count >= at_least),
            "{what}: {counts:#?}"
        );
    }
}

#[test]
fn version_2_is_not_accepted() {
    let plivo = provider("plivo");
    let header = |name: &str, value: &str| Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let webhook = Webhook {
        method: "POST".to_owned(),
        url: "https://gateway.example/answer".to_owned(),
        headers: vec![
            header("X-Plivo-Signature-V2", "0000"),
            header("X-Plivo-Signature-V2-Nonce", "12345678901234567890"),
        ],
        body: vec![],
        received_at: NOW_MS,
    };
    assert_eq!(verdict(&plivo, &account(&plivo, "a"), &webhook), "signature-missing");
}
