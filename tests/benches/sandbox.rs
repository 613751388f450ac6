//! What a sandboxed provider costs in each language: the time until it is installed and takes calls, a fresh instance, a frame, and the memory of a
//! live leg. Prints the table of docs/sandbox.md. The components are the four samples of the same carrier.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use strowger_host::cache::CompiledCache;
use strowger_host::operation::{Call, Direction};
use strowger_host::{Engine, EngineOptions, MediaEvent, MediaFrame, Message, Moment, Provider, Webhook};
use strowger_tests::{credentials, root};

const LANGUAGES: [&str; 4] = ["rust", "javascript", "python", "c"];
const INVOCATIONS: usize = 200;
const FRAMES: usize = 2_000;
const LEGS: usize = 50;

fn main() {
    println!(
        "| language | size | install to ready | compile | load from the cache | fresh instance and first call p50 (p99) | a frame in p50 (p99) | a frame out p50 (p99) | memory of a live leg |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for language in LANGUAGES {
        row(language);
    }
}

fn row(language: &str) {
    let path = root().join(format!("target/samples/{language}.wasm"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `just samples`", path.display()));
    let folder = tempfile::tempdir().expect("a folder");
    let engine = || {
        Engine::new(EngineOptions {
            instances_max: 128,
            cache: Some(CompiledCache::new(folder.path(), [7; 32])),
            ..EngineOptions::default()
        })
        .expect("an engine starts")
    };
    let (compile, _) = timed(|| Provider::load(&engine(), &bytes).expect("it loads"));
    let second = engine();
    let (cached, provider) = timed(|| Provider::load(&second, &bytes).expect("it loads"));
    let webhook = Webhook {
        method: "POST".to_owned(),
        url: "https://gateway.example/".to_owned(),
        headers: vec![],
        body: b"{}".to_vec(),
        received_at: 0,
    };
    let fresh = many(INVOCATIONS, || {
        drop(black_box(provider.recognise(&webhook, &Moment::at(1))));
    });
    let before = resident_bytes();
    let mut legs: Vec<_> = (0..LEGS).map(|_| open(&provider)).collect();
    let leg_bytes = resident_bytes().saturating_sub(before) / LEGS;
    let mut leg = legs.pop().expect("there is one");
    let audio = json!({ "event": "media", "seq": 1, "payload": "f39/f39/".repeat(26) }).to_string();
    let frame_in = many(FRAMES, || {
        let heard = leg.deserialize(Message::Text(audio.clone())).expect("it runs");
        assert!(matches!(heard[..], [MediaEvent::Audio { .. }]), "{heard:?}");
    });
    let frame = MediaFrame::Audio(vec![0x7f; 160]);
    let frame_out = many(FRAMES, || drop(black_box(leg.serialize(&frame).expect("it runs"))));
    println!(
        "| {language} | {} KiB | {} | {} | {} | {fresh} | {frame_in} | {frame_out} | {} KiB |",
        bytes.len() / 1024,
        shown(install(&path)),
        shown(compile),
        shown(cached),
        leg_bytes / 1024
    );
}

/// `strowger provider add` on an empty installation: examined in a process of its own, the conformance suite passed, adopted.
fn install(component: &Path) -> Duration {
    let program = root().join("target/release/strowger");
    let folder = tempfile::tempdir().expect("a folder");
    let (took, output) = timed(|| {
        Command::new(&program)
            .args(["provider", "add", "--yes", "--data-dir"])
            .arg(folder.path())
            .arg(component)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}; build it in release mode", program.display()))
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    took
}

fn open(provider: &Provider) -> strowger_host::MediaLeg {
    let account = credentials(
        provider,
        &json!({ "account": "ACME01", "api_key": "a key", "signing_secret": "a secret" }),
    );
    let call = Call {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192".to_owned(),
        provider_call_id: Some("ET-1".to_owned()),
        direction: Direction::Inbound,
        caller: "+12025550147".to_owned(),
        callee: "+12025550100".to_owned(),
        routes: vec![],
        attachment: None,
    };
    let mut leg = provider.open_leg(&account, call, Moment::at(1)).expect("the leg opens");
    let start = r#"{"event":"start","stream":"S1","call":"ET-1","format":"pcmu"}"#;
    let heard = leg.deserialize(Message::Text(start.to_owned())).expect("it runs");
    assert!(matches!(heard[..], [MediaEvent::Started(_)]), "{heard:?}");
    leg
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let result = work();
    (began.elapsed(), result)
}

fn many(times: usize, mut work: impl FnMut()) -> String {
    let mut took: Vec<Duration> = (0..times).map(|_| timed(&mut work).0).collect();
    took.sort();
    format!("{} ({})", shown(took[times / 2]), shown(took[times * 99 / 100]))
}

fn shown(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s >= 1.0 => format!("{s:.1} s"),
        s if s >= 0.001 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.1} µs", s * 1e6),
    }
}

/// Of this process.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    pages * 4096
}
