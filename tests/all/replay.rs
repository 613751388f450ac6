//! What a provider did can be done again, byte for byte; what it would do otherwise shows.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::{Value, json};
use strowger_host::operation::{Call, Direction};
use strowger_host::recording::Recording;
use strowger_host::replay::{ReplayOutcome, replay};
use strowger_host::{Message, Moment, Provider};
use strowger_server::invocations::shadow::Compared;
use strowger_server::invocations::{InvocationLog, Watchers};
use strowger_simulator::{CallerScript, carriers};
use strowger_tests::{credentials, guest};

use crate::harness::{DEADLINE, Scenario, eventually, finished, ms, tone};

fn read(path: &Path) -> Recording {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Recording::read(BufReader::new(file)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The only file of a folder, once there is one.
async fn only_file(folder: &Path) -> std::path::PathBuf {
    eventually("a file is written", async || {
        let mut files = std::fs::read_dir(folder).ok()?;
        Some(files.next()?.unwrap().path())
    })
    .await
}

#[track_caller]
fn all_the_same(provider: &Provider, recording: &Recording) {
    let replayed = replay(provider, recording);
    assert_eq!(replayed.len(), recording.invocations.len());
    for one in &replayed {
        assert_eq!(one.outcome, ReplayOutcome::Same, "{}: {}", provider.name(), one.export);
    }
}

async fn a_call_is_recorded_and_replayed(carrier: &str) {
    let installation = Scenario::echo()
        .over(carrier)
        .setting("record_invocations", &true)
        .start()
        .await;
    if carrier == "ari" {
        let open = |sockets: &[_]| !sockets.is_empty();
        installation
            .carrier
            .wait_for_event_sockets(DEADLINE, open)
            .await
            .unwrap();
    }
    let script = CallerScript::new()
        .silence(ms(300))
        .speak(tone(700.0, 600))
        .silence(ms(600))
        .press('7')
        .silence(ms(200))
        .hang_up();
    finished(&installation.call_in(script)).await;
    let record = installation.closed_call().await;
    let name = format!("invocations/calls/{}.jsonl", record["id"].as_str().unwrap());
    let path = installation.data.path().join(name);
    installation.gateway.stop().await;
    let recording = read(&path);
    assert_eq!(recording.header.provider, carrier);
    let count = |export: &str| {
        let of_export = recording
            .invocations
            .iter()
            .filter(|recorded| recorded.export == export);
        of_export.count()
    };
    assert!(count("answer.answer-markup") > 0, "{carrier}");
    assert_eq!(count("media.leg"), 1, "{carrier}");
    assert!(
        count("media.deserialize-frame") > 20 && count("media.serialize-frame") > 20,
        "{carrier}"
    );

    let provider = strowger_tests::provider(carrier);
    all_the_same(&provider, &recording);

    // Of the secrets there are only references.
    let text = std::fs::read_to_string(&path).unwrap();
    let spec = provider.spec();
    let entered = strowger_simulator::by_name(carrier).unwrap().credentials();
    for (field, value) in entered.as_object().unwrap() {
        if let Some(secret) = value.as_str().filter(|_| spec.is_sealed(field)) {
            let line = text.lines().find(|line| line.contains(secret));
            let export = line.map(|line| serde_json::from_str::<Value>(line).unwrap()["export"].clone());
            assert_eq!(export, None, "{carrier}: {field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_every_carrier_is_replayed_byte_for_byte() {
    for carrier in carriers() {
        a_call_is_recorded_and_replayed(carrier.name()).await;
    }
}

fn call(provider_call_id: &str) -> Call {
    Call {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192".to_owned(),
        provider_call_id: Some(provider_call_id.to_owned()),
        direction: Direction::Inbound,
        caller: "+14155550100".to_owned(),
        callee: "+14155550199".to_owned(),
        routes: vec![],
        attachment: None,
    }
}

#[tokio::test]
async fn a_trap_leaves_a_file_that_traps_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = InvocationLog::start(folder.path().to_owned()).unwrap();
    let provider = guest("strowger_hostile_guest");
    let watched = provider.observed(log.faults(&provider));
    let trapping = credentials(
        &provider,
        &json!({ "misbehave": "hang-up:trap", "secret": "hush-hush" }),
    );
    for _ in 0..3 {
        let mut operation = watched.hang_up(&trapping, call("CA1"), Moment::at(1)).unwrap();
        assert!(operation.step().is_err());
    }
    let path = only_file(&folder.path().join("faults")).await;
    let recording = read(&path);
    all_the_same(&provider, &recording);
    let last = recording.invocations.last().unwrap();
    assert_eq!(last.export, "calling.hang-up");
    assert_eq!(last.fault.as_ref().unwrap().code, "trap");
    assert_eq!(
        recording.invocations.len(),
        1,
        "a trap storm is one file with one fault"
    );
    assert!(!std::fs::read_to_string(&path).unwrap().contains("hush-hush"));
}

#[tokio::test]
async fn another_version_shows_where_it_differs() {
    let folder = tempfile::tempdir().unwrap();
    let log = InvocationLog::start(folder.path().to_owned()).unwrap();
    let provider = strowger_tests::provider("twilio");
    let watched = provider.observed(log.call(&provider, "one"));
    let entered = strowger_simulator::by_name("twilio").unwrap().credentials();
    let mut leg = watched
        .open_leg(&credentials(&provider, &entered), call("CA1"), Moment::at(1))
        .unwrap();
    leg.deserialize(Message::Text(r#"{"event":"connected"}"#.to_owned()))
        .unwrap();
    drop(leg);
    let path = only_file(&folder.path().join("calls")).await;
    let mut recording = eventually("the leg is recorded", async || {
        Some(read(&path)).filter(|recording| recording.invocations.len() == 3)
    })
    .await;
    all_the_same(&provider, &recording);
    recording.invocations[2].output = Some(json!([{ "dtmf": "1" }]));
    let replayed = replay(&provider, &recording);
    assert_eq!(
        replayed[2].outcome,
        ReplayOutcome::Differs {
            path: "result".to_owned(),
            recorded: json!([{ "dtmf": "1" }]),
            now: json!([]),
        }
    );
}

#[tokio::test]
async fn a_shadow_tells_its_differences_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let watchers = Watchers::start(folder.path(), false, strowger_server::metrics::Metrics::default()).unwrap();
    let live = strowger_tests::provider("plivo");
    let shadow = strowger_tests::provider("vobiz");
    let watched = watchers.version(&live, Some(&shadow));
    let entered = strowger_simulator::by_name("plivo").unwrap().credentials();
    let credentials = credentials(&live, &entered);
    watched.check_credentials(&credentials, &Moment::at(1)).unwrap();
    let path = only_file(&folder.path().join("shadows")).await;
    let compared: Compared = eventually("a line is written", async || {
        serde_json::from_str(std::fs::read_to_string(&path).ok()?.lines().next()?).ok()
    })
    .await;
    assert_eq!(compared.export, "descriptor.config-loader");
    let difference = compared.difference.unwrap();
    assert!(difference.path.starts_with("result"), "{difference:?}");
    assert_ne!(difference.live, difference.shadow);
    assert_ne!(difference.live, Value::Null);
}
