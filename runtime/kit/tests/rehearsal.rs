//! A recorded webhook is signed anew, whatever the carrier's way of signing is.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

use serde_json::{Value, json};
use strowger_host::invoke::cases;
use strowger_host::{Credentials, Moment, Verdict};
use strowger_kit::ConformanceOptions;
use strowger_kit::rehearsal::Rehearsal;

const NOW_MS: u64 = 1_795_000_000_000;
const GATEWAY: &str = "http://127.0.0.1:8080/api/v1/telephony/inbound/run";

fn case(case: &Value) -> cases::Case {
    cases::read(&case.to_string()).unwrap().remove(0)
}

#[test]
fn a_key_in_a_header_is_that_of_the_configuration() {
    let provider = strowger_tests::guest("strowger_crooked_guest");
    let webhook = |key: &str| {
        json!({
            "method": "POST", "url": "https://gateway.example/x", "received-at": 0,
            "headers": [{ "name": "X-Crooked-Key", "value": key }],
            "body": json!({ "call": "C1", "line": "OTHER", "from": "+12025550123", "to": "+12025550124" }).to_string(),
        })
    };
    let options = ConformanceOptions {
        cases: vec![
            case(
                &json!({ "name": "a call", "export": "webhook.recognise", "input": { "webhook": webhook("0") }, "expect": {} }),
            ),
            case(&json!({
                "name": "its key", "export": "webhook.verify-signature", "config": { "line": "L", "key": "sealed:key" },
                "input": { "webhook": webhook("hush") }, "expect": {},
            })),
        ],
        ..ConformanceOptions::default()
    };
    let rehearsal = Rehearsal::new(&provider, &options).unwrap();
    assert_eq!(rehearsal.callee, "+12025550124");
    let webhook = rehearsal.perform(&provider, GATEWAY, NOW_MS).unwrap().webhook;
    assert_eq!(webhook.url, GATEWAY);
    let credentials = Credentials::check(provider.spec(), &rehearsal.entered).unwrap();
    let verdict = provider.verify(&credentials, &webhook, &Moment::at(NOW_MS)).unwrap();
    assert!(matches!(verdict, Verdict::Genuine { .. }), "{verdict:?}");
    // The account is the one that was made up.
    let body: Value = serde_json::from_slice(&webhook.body).unwrap();
    assert_eq!(body["line"], rehearsal.entered["line"]);
    // No two calls are the same one.
    assert!(body["call"].as_str().unwrap().len() > "C1".len());
}

#[test]
fn what_the_author_has_to_record_is_said() {
    let provider = strowger_tests::guest("strowger_crooked_guest");
    let why = Rehearsal::new(&provider, &ConformanceOptions::default()).unwrap_err();
    assert!(why.contains("record a case of `webhook.recognise`"), "{why}");
}
