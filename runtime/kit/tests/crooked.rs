//! For each question of the suite there is a component that fails it, and it alone, with words that help.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

use std::sync::Arc;

use serde_json::json;
use strowger_host::Provider;
use strowger_host::invoke::cases;
use strowger_kit::{ConformanceOptions, Report, conformance};

const MARKER: &[u8] = b"misbehaviour: ";
const MARKER_LEN: usize = 32;

/// The component, told to break one rule.
fn told(misbehaviour: &str) -> Vec<u8> {
    let mut bytes = strowger_tests::guest_bytes("strowger_crooked_guest");
    let at = bytes
        .windows(MARKER_LEN)
        .position(|window| window.starts_with(b"misbehaviour: none "))
        .unwrap();
    let mut word = [b' '; MARKER_LEN];
    word[..MARKER.len()].copy_from_slice(MARKER);
    word[MARKER.len()..MARKER.len() + misbehaviour.len()].copy_from_slice(misbehaviour.as_bytes());
    bytes[at..at + MARKER_LEN].copy_from_slice(&word);
    bytes
}

/// A webhook that the honest component takes for genuine.
fn recorded() -> Vec<cases::Case> {
    let case = json!({
        "name": "a call",
        "export": "webhook.verify-signature",
        "config": { "line": "LINE1", "key": "sealed:key" },
        "input": { "webhook": {
            "method": "POST", "url": "https://gateway.example/x",
            "headers": [{ "name": "x-crooked-key", "value": "hush" }],
            "body": "{\"call\":\"C1\"}", "received-at": 0
        } },
        "expect": { "ok": [{ "label": "key", "checks": [{ "equals": { "sealed": "sealed:key", "presented": "hush" } }] }] }
    });
    cases::read(&case.to_string()).unwrap()
}

fn report(misbehaviour: &str, measured: bool) -> Report {
    let bytes = told(misbehaviour);
    let provider = Provider::load(strowger_tests::engine(), &bytes).unwrap();
    conformance(
        &provider,
        &ConformanceOptions {
            component: measured.then(|| Arc::from(bytes)),
            cases: recorded(),
            credentials: None,
        },
    )
}

/// The checks that fail, and the first problem of each.
fn failed(report: &Report) -> Vec<(&'static str, String)> {
    let mut failed: Vec<(&'static str, String)> = report
        .failures()
        .map(|(check, problem)| (check.name, problem.what.clone()))
        .collect();
    failed.dedup_by_key(|(name, _)| *name);
    failed
}

#[track_caller]
fn fails(misbehaviour: &str, check: &str, what: &str) {
    let report = report(misbehaviour, check == "limits");
    match failed(&report).as_slice() {
        [(name, told)] if *name == check && told.contains(what) => {}
        other => panic!("{misbehaviour}: {other:?}"),
    }
    assert!(!report.passed());
}

#[test]
fn the_honest_one_passes() {
    let report = report("none", true);
    assert!(report.passed(), "{report}");
    assert!(
        report
            .costs
            .iter()
            .any(|cost| cost.export == "media.serialize-frame" && cost.instructions > 0)
    );
}

#[test]
fn one_whom_no_call_could_reach() {
    fails("is-deaf", "spec", "the component does not export `events`");
}

#[test]
fn a_refusal_that_looks_like_a_failure() {
    fails("refuses-with-503", "rejections", "with status 503");
}

#[test]
fn a_problem_that_repeats_what_was_entered() {
    fails("quotes", "configuration", "repeats the value of `line`");
}

#[test]
fn a_result_that_depends_on_chance() {
    fails("rolls-dice", "determinism", "answer.answer-markup gave another result");
}

#[test]
fn one_who_claims_everybodys_webhooks() {
    fails(
        "claims-all",
        "recognition",
        "takes an empty body for a call of its carrier",
    );
}

#[test]
fn a_proof_with_a_key_of_its_own() {
    let report = report("signs-itself", false);
    let failed = failed(&report);
    assert_eq!(failed[0].0, "forged-webhooks", "{report}");
    assert!(failed[0].1.contains("holds for an empty body"), "{report}");
}

#[test]
fn a_proof_that_presents_itself() {
    fails(
        "expects-itself",
        "tampered-proofs",
        "no part of the recorded webhook `a call`",
    );
}

#[test]
fn one_who_trusts_what_comes_after_the_proof() {
    fails("trusts-callbacks", "callbacks", "webhook.handle-callback trapped");
}

#[test]
fn markup_that_words_break_out_of() {
    fails("injects", "escaping", "answer.answer-markup");
}

#[test]
fn one_who_hears_audio_in_anything() {
    fails(
        "hears-voices",
        "media",
        "hears audio in what is none, given an empty text",
    );
}

#[test]
fn one_who_takes_a_refusal_for_a_success() {
    fails(
        "believes-all",
        "carriers",
        "calling.place-call succeeds against a carrier that answers 302",
    );
}

#[test]
fn one_who_asks_hosts_that_it_did_not_declare() {
    fails(
        "wanders",
        "carriers",
        "https://api.elsewhere.example, which the spec does not declare",
    );
}

#[test]
fn one_who_puts_a_secret_into_a_url() {
    let report = report("leaks", false);
    let failed = failed(&report);
    assert!(
        failed
            .iter()
            .all(|(_, what)| what.contains("put a sealed reference into a request's URL"))
            && !failed.is_empty(),
        "{report}"
    );
}

#[test]
fn one_who_never_stops_asking() {
    let report = report("insists", false);
    assert!(
        failed(&report)
            .iter()
            .any(|(check, what)| *check == "carriers" && what.contains("more than 16 effects")),
        "{report}"
    );
}

#[test]
fn one_who_is_too_dear() {
    fails("is-slow", "limits", "webhook.recognise needs");
}
