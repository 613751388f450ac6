//! The binary as a person uses it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{providers, signature};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const URL: &str = "https://gateway.example/api/v1/telephony/inbound/run";

/// The binary beside the tests' own; `cargo test --workspace` builds it.
pub(crate) fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().and_then(Path::parent).unwrap().join("strowger");
    assert!(
        binary.exists(),
        "{} is missing: `cargo build -p strowger-server`",
        binary.display()
    );
    binary
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    for name in [
        "STROWGER_PROVIDERS",
        "STROWGER_LOG",
        "STROWGER_DATA_DIR",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
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

fn component() -> String {
    providers().join("twilio.wasm").display().to_string()
}

/// A folder with JSON files.
fn files(files: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in files {
        std::fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    folder
}

#[test]
fn it_says_what_it_can_do() {
    let help = printed(&run(&["--help"]), 0);
    tells(
        &help,
        &["telephony gateway", "serve", "demo", "org", "provider", "--log"],
    );
    // Without arguments it says the same, and that something is missing.
    let nothing = printed(&run(&[]), 2);
    tells(&nothing, &["Usage: strowger", "serve", "demo", "provider"]);
    tells(&printed(&run(&["--version"]), 0), &["strowger 0."]);
    for command in ["serve", "demo", "org", "provider"] {
        tells(&printed(&run(&[command, "--help"]), 0), &["Usage: strowger"]);
    }
    tells(
        &printed(&run(&["serve", "--help"]), 0),
        &["--data-dir", "--listen", "--public-base-url", "--providers"],
    );
}

#[test]
fn flags_that_are_wrong_are_told() {
    tells(&printed(&run(&["frobnicate"]), 2), &["frobnicate"]);
    tells(&printed(&run(&["serve", "--frobnicate"]), 2), &["--frobnicate"]);
    tells(&printed(&run(&["provider", "inspect"]), 2), &["<FILE>"]);
    tells(
        &printed(&run(&["--log", "a=b=c", "provider", "list", "--providers", "."]), 2),
        &["--log", "info"],
    );
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    tells(
        &printed(&run(&["serve", "--data-dir", data, "--listen", "8080"]), 2),
        &["--listen", "127.0.0.1:8080"],
    );
    let insecure = run(&[
        "serve",
        "--data-dir",
        data,
        "--public-base-url",
        "http://voice.example.com",
    ]);
    tells(&printed(&insecure, 2), &["--public-base-url", "https://"]);
    let missing = run(&[
        "serve",
        "--data-dir",
        data,
        "--listen",
        "127.0.0.1:0",
        "--providers",
        "/no/such/folder",
    ]);
    tells(&printed(&missing, 2), &["/no/such/folder", "--providers"]);
    tells(
        &printed(&run(&["demo", "--providers", "/no/such/folder"]), 2),
        &["/no/such/folder"],
    );
    let carrier = run(&[
        "demo",
        "--providers",
        providers().to_str().unwrap(),
        "--provider",
        "nobody",
    ]);
    tells(&printed(&carrier, 2), &["nobody", "twilio"]);
}

#[test]
fn an_organisation_is_created_once_and_its_key_shown_once() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["org", "create", "Acme", "--data-dir", data.path().to_str().unwrap()];
    let text = printed(&run(&arguments), 0);
    tells(&text, &["Acme", "API key", "shown this once"]);
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("API key"))
        .unwrap()
        .trim();
    let database = std::fs::read(data.path().join("strowger.db")).unwrap();
    assert!(
        !database.windows(key.len()).any(|window| window == key.as_bytes()),
        "the key is stored as it is"
    );
    tells(&printed(&run(&arguments), 2), &["taken"]);
}

#[test]
fn providers_are_listed() {
    let list = printed(
        &run(&["provider", "list", "--providers", providers().to_str().unwrap()]),
        0,
    );
    tells(&list, &["twilio", "Twilio", "calling"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(component(), folder.path().join("good.wasm")).unwrap();
    std::fs::write(folder.path().join("bad.wasm"), "no component").unwrap();
    let list = printed(
        &run(&["provider", "list", "--providers", folder.path().to_str().unwrap()]),
        1,
    );
    tells(&list, &["twilio", "passed over", "bad.wasm"]);
    tells(
        &printed(&run(&["provider", "list", "--providers", "/no/such/folder"]), 2),
        &["/no/such/folder"],
    );
}

#[test]
fn a_provider_is_inspected() {
    let text = printed(&run(&["provider", "inspect", &component()]), 0);
    tells(
        &text,
        &[
            "sha256:",
            "inert",
            "api.twilio.com",
            "auth_token",
            "sealed",
            "status-callback",
            "Pcmu",
            "limits",
        ],
    );
    assert!(!text.contains("wasi:sockets") && !text.contains("wasi:http"), "{text}");
    let output = run(&["provider", "inspect", "--json", &component()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["spec"]["name"], report["digest"].as_str().map(str::len)),
        (&json!("twilio"), Some(64))
    );
    assert!(
        report["abilities"].as_array().unwrap().contains(&json!("calling")),
        "{report}"
    );

    tells(
        &printed(&run(&["provider", "inspect", "/no/such/file"]), 2),
        &["cannot read /no/such/file"],
    );
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("core.wasm");
    std::fs::write(&core, b"\0asm\x01\0\0\0").unwrap();
    tells(
        &printed(&run(&["provider", "inspect", core.to_str().unwrap()]), 2),
        &["is not a provider", "component"],
    );
}

fn webhook(token: &str) -> Value {
    let parameters = [
        ("AccountSid", ACCOUNT),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", "CA00112233445566778899aabbccddeeff"),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", "+12025550147"),
        ("To", "+12025550188"),
    ];
    json!({
        "method": "POST",
        "url": URL,
        "headers": [
            ["content-type", "application/x-www-form-urlencoded"],
            ["x-twilio-signature", signature(token, URL, &parameters)],
        ],
        "body": form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish(),
        "received_at": 1_763_800_000_000_u64,
    })
}

#[test]
fn a_webhook_is_verified() {
    let folder = files(&[
        ("config.json", json!({ "account_sid": ACCOUNT, "auth_token": TOKEN })),
        ("incomplete.json", json!({ "account_sid": ACCOUNT, "auth_tokn": TOKEN })),
        ("genuine.json", webhook(TOKEN)),
        ("forged.json", webhook("another")),
        (
            "unsigned.json",
            json!({ "method": "POST", "url": URL, "headers": [], "body": "a=b" }),
        ),
        ("strange.json", json!({ "verb": "POST" })),
    ]);
    let verify = |config: &str, request: &str| {
        let path = |name: &str| folder.path().join(name).display().to_string();
        run(&[
            "provider",
            "verify",
            &component(),
            "--config",
            &path(config),
            "--request",
            &path(request),
        ])
    };
    tells(&printed(&verify("config.json", "genuine.json"), 0), &["authentic"]);
    let forged = printed(&verify("config.json", "forged.json"), 1);
    tells(&forged, &["refused"]);
    assert!(forged.lines().count() > 1, "which check failed is not told: {forged}");
    assert!(!forged.contains(TOKEN), "{forged}");
    tells(&printed(&verify("config.json", "unsigned.json"), 1), &["refused"]);
    let incomplete = printed(&verify("incomplete.json", "genuine.json"), 2);
    tells(&incomplete, &["auth_token", "auth_tokn", "does not fit"]);
    tells(
        &printed(&verify("config.json", "strange.json"), 2),
        &["strange.json", "verb"],
    );
    tells(
        &printed(&verify("config.json", "nowhere.json"), 2),
        &["cannot read", "nowhere.json"],
    );
}

#[test]
fn an_export_is_run() {
    let mut request = webhook(TOKEN);
    request["received-at"] = request.as_object_mut().unwrap().remove("received_at").unwrap();
    let headers = request["headers"].as_array().unwrap().iter();
    request["headers"] = headers
        .map(|header| json!({ "name": header[0], "value": header[1] }))
        .collect();
    let folder = files(&[
        ("webhook.json", json!({ "webhook": request })),
        ("nothing.json", json!({})),
    ]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let invoke =
        |export: &str, input: &str| run(&["provider", "invoke", &component(), export, "--input", &path(input)]);
    let output = invoke("webhook.recognise", "webhook.json");
    let text = printed(&output, 0);
    let recognised: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        recognised.to_string().contains("CA00112233445566778899aabbccddeeff"),
        "{text}"
    );
    tells(&printed(&invoke("webhook.recognise", "nothing.json"), 2), &["webhook"]);
    tells(
        &printed(&invoke("webhook.no-such-export", "nothing.json"), 2),
        &["no-such-export"],
    );
}

/// The README's first command, for each carrier: a whole call in real time, so all of them at once.
#[test]
fn a_demo_plays_over_every_carrier() {
    let demos: Vec<_> = strowger_simulator::carriers()
        .iter()
        .map(|carrier| {
            let folder = tempfile::tempdir().unwrap();
            let component = format!("{}.wasm", carrier.name());
            std::fs::copy(providers().join(&component), folder.path().join(&component)).unwrap();
            let (components, output) = (folder.path().to_owned(), folder.path().join("output"));
            let (name, keep) = (carrier.name(), output.clone());
            let running = std::thread::spawn(move || {
                run(&[
                    "demo",
                    "--provider",
                    name,
                    "--providers",
                    components.to_str().unwrap(),
                    "--output",
                    output.to_str().unwrap(),
                ])
            });
            (name, folder, keep, running)
        })
        .collect();
    for (name, _folder, output, running) in demos {
        let text = printed(&running.join().unwrap(), 0);
        tells(&text, &[name, "completed (agent hung up)", "DTMF 5"]);
        for file in ["recording.wav", "timeline.svg"] {
            assert!(output.join(file).metadata().unwrap().len() > 1_000, "{name}: {file}");
        }
    }
}
