//! The keys of stored secrets: rotated while calls run, lost, and found again.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use strowger_simulator::CallerScript;
use strowger_simulator::agent::AgentScript;
use strowger_simulator::report::CallStatus;

use crate::harness::{DEADLINE, Installation, Scenario, database, eventually, finished, ms, tone};

fn with_own_key(folder: &Path) -> Scenario {
    Scenario::native(16_000, AgentScript::echo()).setting("encryption_key_file", &folder.join("key").display())
}

/// `strowger keys …` in a process of its own, on the database of a gateway that runs.
fn keys(installation: &Installation, folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(strowger_tests::root().join("target/debug/strowger"));
    command
        .arg("keys")
        .args(arguments)
        .arg("--data-dir")
        .arg(installation.data.path())
        .env("STROWGER_ENCRYPTION_KEY_FILE", folder.join("key"));
    if let Some(url) = database(installation.data.path()) {
        command.args(["--database-url", &url]);
    }
    let output = command.output().unwrap();
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{told}");
    told
}

/// A whole call: its webhooks are verified with stored secrets.
async fn converses(installation: &Installation) {
    let call = installation.call_in(
        CallerScript::new()
            .speak(tone(500.0, 400))
            .wait_heard(ms(200), DEADLINE)
            .hang_up(),
    );
    let report = finished(&call).await;
    assert_eq!(report.status, CallStatus::Completed, "{report:#?}");
    assert_eq!(report.streams.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_by_another_process_while_calls_run() {
    let folder = tempfile::tempdir().unwrap();
    let installation = with_own_key(folder.path()).start().await;
    let before = std::fs::read_to_string(folder.path().join("key")).unwrap();
    let live = installation.call_in(CallerScript::new().speak(tone(500.0, 300)).stay());
    let agent = installation.conversation().await;
    agent
        .wait_until(DEADLINE, |agent| agent.heard_duration() > ms(100))
        .await
        .unwrap();

    let told = keys(&installation, folder.path(), &["rotate", "--new-key"]);
    assert!(told.contains("Sealed 2 secrets again (rotation 2)"), "{told}");
    assert!(told.contains("is not used any more"), "{told}");
    let listed = keys(&installation, folder.path(), &["list"]);
    assert!(listed.contains("2 secrets  current"), "{listed}");

    // The gateway has neither been told nor started again.
    live.hang_up();
    finished(&live).await;
    converses(&installation).await;
    let changed = json!({ "name": "An agent", "protocol": "echo" });
    let path = format!("/agents/{}", installation.ids.agent);
    installation
        .api
        .send(reqwest::Method::PUT, &path, Some(&changed))
        .await
        .ok();

    // The old key can go.
    let text = std::fs::read_to_string(folder.path().join("key")).unwrap();
    assert!(text.ends_with(&before));
    std::fs::write(folder.path().join("key"), text.strip_suffix(&before).unwrap()).unwrap();
    let (_, installation) = installation.restart().await;
    converses(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_the_gateway_runs_says_so_and_goes_on_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let installation = with_own_key(folder.path()).start().await;
    let key = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (_, installation) = installation.restart().await;
    assert!(!path.exists(), "no new key is made beside a database");

    let configurations = "/organizations/telephony-configs";
    let ready = reqwest::get(format!("{}/readyz", installation.base())).await.unwrap();
    assert_eq!(ready.status(), 503);
    assert_eq!(
        ready.text().await.unwrap(),
        json!({ "status": "encryption_key_unavailable" }).to_string()
    );
    // What needs no secret goes on.
    assert_eq!(installation.api.get("/calls").await.status, 200);
    for reply in [
        installation.api.get(configurations).await,
        installation.api.get("/agents").await,
        installation
            .api
            .post("/agents", json!({ "name": "Another", "protocol": "echo" }))
            .await,
        installation
            .api
            .post(configurations, installation.configuration("Another"))
            .await,
        installation
            .api
            .post("/telephony/initiate-call", installation.outbound())
            .await,
    ] {
        assert_eq!(reply.refused(503), "encryption_key_unavailable");
        let text = reply.text();
        assert!(
            !text.contains(&*path.to_string_lossy()),
            "a client learns nothing of files: {text}"
        );
    }
    let call = finished(&installation.call_in(CallerScript::new().stay())).await;
    assert!(call.streams.is_empty(), "{call:#?}");
    // Nobody's signature can be checked: the carrier is asked to come again, and no call is let in.
    assert_eq!(call.webhooks[0].response, "try again");

    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .unwrap();
    std::io::Write::write_all(&mut file, &key).unwrap();
    eventually("the key is noticed", async || {
        (installation.api.get("/agents").await.status == 200).then_some(())
    })
    .await;
    converses(&installation).await;
}
