//! The author's commands, as an author uses them: check, test, bench and run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use strowger_tests::root;

/// The binary beside the tests' own; `cargo test --workspace` builds it.
fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().and_then(Path::parent).unwrap().join("strowger");
    assert!(
        binary.exists(),
        "{} is missing: `cargo build -p strowger-server`",
        binary.display()
    );
    binary
}

fn provider(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.env_remove("STROWGER_LOG").env_remove("RUST_BACKTRACE");
    command.arg("provider").args(arguments).output().unwrap()
}

/// What it printed, when it ended with `status`.
#[track_caller]
fn printed(output: &Output, status: i32) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

#[track_caller]
fn tells(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "`{wanted}` is not in: {text}");
    }
}

fn guest(name: &str) -> String {
    let bytes = strowger_tests::guest_bytes(name);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kit-{name}-{}.wasm", std::process::id()));
    std::fs::write(&file, bytes).unwrap();
    file.display().to_string()
}

/// A folder with the recorded cases of a call, one of them wrong if that is wanted.
fn cases(wrong: bool) -> tempfile::TempDir {
    let webhook = |key: &str| {
        let body = json!({ "call": "C1", "line": "LINE1", "from": "+12025550123", "to": "+12025550124" });
        json!({
            "method": "POST", "url": "https://gateway.example/x", "received-at": 0,
            "headers": [{ "name": "X-Crooked-Key", "value": key }], "body": body.to_string(),
        })
    };
    let config = json!({ "line": "LINE1", "key": "sealed:key" });
    let presented = if wrong { "hush hush" } else { "hush" };
    let cases = json!([
        {
            "name": "a call", "export": "webhook.recognise", "input": { "webhook": webhook("hush") },
            "expect": { "inbound-call": {
                "provider-call-id": "C1", "caller": "+12025550123", "callee": "+12025550124", "account-id": "LINE1",
            } },
        },
        {
            "name": "its key", "export": "webhook.verify-signature", "config": config, "input": { "webhook": webhook("hush") },
            "expect": { "ok": [{ "label": "key", "checks": [{ "equals": { "sealed": "sealed:key", "presented": presented } }] }] },
        },
        {
            "name": "its audio", "export": "media.leg", "config": config,
            "input": {
                "call": { "id": "1", "direction": "inbound", "caller": "", "callee": "" },
                "script": [
                    { "deserialize": { "text": "{\"begin\":true}" } },
                    { "deserialize": { "text": "{\"audio\":\"hm\"}" } },
                ],
            },
            "expect": [
                [{ "started": { "parameters": [] } }],
                [{ "audio": { "payload": "hm" } }],
            ],
        },
    ]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("call.json"), cases.to_string()).unwrap();
    folder
}

fn path(folder: &tempfile::TempDir) -> &str {
    folder.path().to_str().unwrap()
}

#[test]
fn what_every_build_should_pass() {
    let component = guest("strowger_crooked_guest");
    let text = printed(&provider(&["check", &component]), 0);
    tells(
        &text,
        &[
            "Crooked Telephone (crooked)",
            "ok       contract",
            "ok       determinism",
            "ok       limits",
        ],
    );
    let json = printed(&provider(&["check", &component, "--json"]), 0);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["passed"], true);
    assert_eq!(report["component"]["name"], "crooked");
}

#[test]
fn cases_rules_and_costs_in_one_report() {
    let component = guest("strowger_crooked_guest");
    let cases = cases(false);
    let json = printed(&provider(&["test", &component, "--cases", path(&cases), "--json"]), 0);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["cases"], json!({ "total": 3, "failed": [] }));
    assert_eq!(report["passed"], true);
    let costs = report["report"]["costs"].as_array().unwrap();
    assert!(
        costs
            .iter()
            .any(|cost| cost["export"] == "media.deserialize-frame" && cost["instructions"].as_u64() > Some(0))
    );
}

#[test]
fn a_case_that_does_not_hold_says_where() {
    let component = guest("strowger_crooked_guest");
    let cases = cases(true);
    let text = printed(&provider(&["test", &component, "--cases", path(&cases)]), 1);
    tells(
        &text,
        &[
            "FAILED   cases            1 of 3 recorded cases do not hold",
            "call.json: its key: webhook.verify-signature",
            "expect.ok[0].checks[0].equals.presented",
            "expected \"hush hush\"",
            "returned \"hush\"",
        ],
    );
}

#[test]
fn a_rule_that_is_broken_says_what_why_and_how_to_mend_it() {
    let component = guest("strowger_crooked_guest");
    let mut bytes = std::fs::read(&component).unwrap();
    let (honest, crooked) = (b"misbehaviour: none        ", b"misbehaviour: hears-voices");
    let at = bytes.windows(honest.len()).position(|window| window == honest).unwrap();
    bytes[at..at + crooked.len()].copy_from_slice(crooked);
    let file = format!("{component}.crooked.wasm");
    std::fs::write(&file, bytes).unwrap();
    let text = printed(&provider(&["test", &file]), 1);
    tells(
        &text,
        &[
            "FAILED   media ",
            "  error: media.deserialize-frame hears audio in what is none",
            "    why:  noise",
            "    help: return `malformed`",
            "Not all of it holds.",
        ],
    );
}

#[test]
fn every_export_is_measured() {
    let component = guest("strowger_crooked_guest");
    let json = printed(&provider(&["bench", &component, "--calls", "20", "--json"]), 0);
    let report: Value = serde_json::from_str(&json).unwrap();
    let exports = report["exports"].as_array().unwrap();
    assert!(exports.len() > 10, "{json}");
    for row in exports {
        assert!(row["instructions"].as_u64() > Some(0), "{row}");
        assert!(row["p50_ns"].as_u64() <= row["p99_ns"].as_u64(), "{row}");
    }
}

#[test]
fn what_is_no_provider_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let text = printed(&provider(&["check", path(&folder)]), 2);
    tells(&text, &["has no strowger.toml", "strowger provider new"]);
    let file = folder.path().join("p.wasm");
    std::fs::write(&file, "no component").unwrap();
    let text = printed(&provider(&["check", file.to_str().unwrap()]), 2);
    tells(&text, &["is not a provider", "not a WebAssembly file"]);
}

#[test]
fn recorded_cases_become_a_call_through_a_gateway() {
    let component = guest("strowger_crooked_guest");
    let cases = cases(false);
    let text = printed(&provider(&["run", &component, "--cases", path(&cases), "--once"]), 0);
    tells(
        &text,
        &[
            "a call to +12025550124, from the recorded cases",
            "answer.answer-markup",
            "the gateway answers 200 OK: <Answer url=\"ws://127.0.0.1:",
            "out  [{\"started\":",
            "the call ended: 2 messages were said",
        ],
    );
}

#[test]
fn a_simulated_carrier_calls_the_provider_of_its_name() {
    let component = root().join("target/samples/rust.wasm");
    let text = printed(&provider(&["run", component.to_str().unwrap(), "--once"]), 0);
    tells(
        &text,
        &[
            "example-telecom, simulated",
            "out  [{\"dtmf\":\"5\"}]",
            "calling.hang-up",
            "the call ended: the caller sent",
        ],
    );
}
