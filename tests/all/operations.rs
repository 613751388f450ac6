//! What an operator meets: ports, disks, databases, limits, restarts and folders of providers.

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use strowger_server::catalogue::shelf::ShelfError;
use strowger_server::gateway::{Gateway, StartError};
use strowger_simulator::agent::AgentScript;
use strowger_simulator::report::{CallStatus, HangUp};
use strowger_simulator::{CallerScript, Misbehaviour, Options, RunningCarrier};

use crate::harness::{CALLER, DEADLINE, Installation, Scenario, eventually, finished, ms, providers, tone};

/// The error of a gateway that must not start, as an operator reads it.
async fn does_not_start(scenario: &Scenario, data: &Path) -> String {
    let carrier = RunningCarrier::start(strowger_simulator::by_name("twilio").unwrap(), Options::default())
        .await
        .unwrap();
    let started = async { Gateway::start(scenario.settings(data, &carrier)?).await };
    let error: StartError = started.await.expect_err("it starts");
    error.to_string()
}

fn talks() -> CallerScript {
    CallerScript::new().speak(tone(500.0, 200)).stay()
}

/// A call in which the agent hears the caller.
async fn live(installation: &Installation) -> strowger_simulator::CallHandle {
    let call = installation.call_in(talks());
    installation
        .conversation()
        .await
        .wait_until(DEADLINE, |agent| agent.heard_duration() > ms(200))
        .await
        .unwrap();
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_told_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let address = taken.local_addr().unwrap();
    let told = does_not_start(&Scenario::echo().setting("listen", &address), &data).await;
    assert!(
        told.contains(&address.to_string()) && told.contains("--listen"),
        "{told}"
    );
    assert!(!data.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    // Below a file nobody can write, not even root.
    let told = does_not_start(&Scenario::echo(), &file.join("data")).await;
    assert!(
        told.contains("cannot write to the data directory") && told.contains("--data-dir"),
        "{told}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_locked_is_told_and_nothing_is_left_half_done() {
    let installation = Scenario::native(16_000, AgentScript::new()).on_sqlite().start().await;
    let url = format!("sqlite://{}", installation.data.path().join("strowger.db").display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();

    let agent = json!({ "name": "Another", "protocol": "echo" });
    let second = Scenario::echo().on_sqlite();
    let (created, placed, call, start) = tokio::join!(
        installation.api.post("/agents", agent),
        installation
            .api
            .post("/telephony/initiate-call", installation.outbound()),
        async { finished(&installation.call_in(talks())).await },
        does_not_start(&second, installation.data.path()),
    );
    for reply in [created, placed] {
        assert_eq!(reply.refused(503), "busy");
        assert!(reply.text().contains("try again"), "{}", reply.text());
    }
    assert!(start.contains("the database is locked by another process"), "{start}");
    // Whoever calls is told, in the carrier's own way, that it does not work right now.
    assert!(
        call.webhooks[0].response.contains("<Say>"),
        "{}",
        call.webhooks[0].response
    );
    assert!(call.streams.is_empty());

    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    assert_eq!(installation.calls().await, Vec::<Value>::new());
    assert_eq!(
        installation.api.get("/agents").await.ok()["agents"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        (installation.placed(), installation.gateway.exchange().live_calls()),
        (0, 0)
    );
    // And everything works again.
    let call = live(&installation).await;
    call.hang_up();
    finished(&call).await;
    assert_eq!(installation.closed_call().await["outcome"]["status"], "completed");
}

#[test]
fn a_call_that_a_crash_left_open_is_closed_at_the_next_start() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (installation, id) = first.block_on(async {
        let installation = Scenario::native(16_000, AgentScript::new()).start().await;
        live(&installation).await;
        let call = installation.live_call().await;
        (installation, call["id"].clone())
    });
    // Every task is gone at once, as in a crash: nobody closes anything.
    drop(first);
    runtime().block_on(async {
        let installation = installation.resurrect().await;
        let call = installation.closed_call().await;
        assert_eq!(call["id"], id);
        assert_eq!(call["outcome"]["status"], "failed", "{call}");
        assert_eq!(call["outcome"]["reason"], "shutdown", "{call}");
        assert_eq!(installation.gateway.exchange().live_calls(), 0);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_lets_calls_finish_and_takes_no_new_ones() {
    let installation = Scenario::native(16_000, AgentScript::new())
        .setting("shutdown_grace_s", &60)
        .start()
        .await;
    let calls = [live(&installation).await, live(&installation).await];
    let (api, outbound) = (installation.api.clone(), installation.outbound());
    let meanwhile = async {
        eventually("new calls are refused", async || {
            (api.post("/telephony/initiate-call", outbound.clone()).await.status == 503).then_some(())
        })
        .await;
        for call in calls {
            call.hang_up();
            assert_eq!(finished(&call).await.hang_up, Some(HangUp::Person));
        }
    };
    let ((ended, installation), ()) = tokio::join!(installation.restart(), meanwhile);
    assert_eq!(ended, 0);
    let calls = installation.calls().await;
    assert_eq!(
        calls.iter().filter(|call| call["direction"] == "inbound").count(),
        2,
        "{calls:#?}"
    );
    for call in calls.iter().filter(|call| call["direction"] == "inbound") {
        assert_eq!(call["outcome"]["reason"], "caller_hung_up", "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_outlast_the_grace_period_are_ended() {
    let installation = Scenario::native(16_000, AgentScript::new())
        .setting("shutdown_grace_s", &1)
        .start()
        .await;
    let call = live(&installation).await;
    let (ended, installation) = installation.restart().await;
    assert_eq!(ended, 1);
    installation.hung_up_at_carrier(&call).await;
    assert_eq!(finished(&call).await.hang_up, Some(HangUp::Rest));
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "shutdown", "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_too_many_is_refused_politely() {
    let installation = Scenario::native(16_000, AgentScript::new())
        .setting("calls_max", &1)
        .start()
        .await;
    let first = live(&installation).await;
    let second = finished(&installation.call_in(talks())).await;
    assert_eq!(second.status, CallStatus::Busy, "{second:#?}");
    assert!(second.webhooks[0].response.contains("<Reject reason=\"busy\"/>"));
    let reply = installation
        .api
        .post("/telephony/initiate-call", installation.outbound())
        .await;
    assert_eq!(reply.refused(429), "at_capacity");
    // Whose number it was sees that somebody called, and why nobody answered.
    let calls = installation.calls().await;
    assert_eq!((installation.placed(), calls.len()), (0, 2), "{calls:#?}");
    assert_eq!(calls[0]["state"], "completed");
    assert_eq!(
        calls[0]["outcome"],
        json!({ "status": "failed", "reason": "refused", "detail": "at-capacity" })
    );
    assert_eq!(
        (&calls[0]["caller"], &calls[0]["duration_ms"]),
        (&json!(CALLER), &json!(0))
    );
    // A repetition of the webhook of the call that is live is not one more call.
    first.hang_up();
    finished(&first).await;
    eventually("the call is over", async || {
        (installation.gateway.exchange().live_calls() == 0).then_some(())
    })
    .await;
    let misbehaviour = Misbehaviour {
        webhook_copies: 2,
        ..Misbehaviour::default()
    };
    let third = installation.call_in_badly(CallerScript::new().speak(tone(500.0, 200)).hang_up(), misbehaviour);
    let third = finished(&third).await;
    assert!(
        third
            .webhooks
            .iter()
            .filter(|webhook| webhook.kind == "incoming")
            .all(|webhook| webhook.response.contains("<Stream"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_providers_that_is_not_there_is_told() {
    let data = tempfile::tempdir().unwrap();
    let told = does_not_start(&Scenario::echo().providers(&data.path().join("nowhere")), data.path()).await;
    assert!(told.contains("nowhere") && told.contains("--providers"), "{told}");
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_provider_twice_is_the_same_provider() {
    let component = std::fs::read(providers().join("twilio.wasm")).unwrap();
    let folder = folder(&[("a.wasm", &component), ("b.wasm", &component)]);
    let installation = Scenario::echo().providers(folder.path()).start().await;
    assert!(
        installation.gateway.skipped.is_empty(),
        "{:?}",
        installation.gateway.skipped
    );
    assert_eq!(installation.gateway.exchange().registry().providers().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_provider_or_has_a_name_that_is_taken_is_passed_over() {
    let component = std::fs::read(providers().join("twilio.wasm")).unwrap();
    // The same with a custom section more: another artefact with the same name.
    let other = [&component[..], b"\0\x06\x05other"].concat();
    let truncated = &component[..component.len() / 2];
    let folder = folder(&[
        ("a.wasm", &component),
        ("b.wasm", &other),
        ("c.wasm", truncated),
        ("d.wasm", b"not wasm"),
        ("e.txt", b"-"),
    ]);
    let installation = Scenario::echo().providers(folder.path()).start().await;
    let [
        ShelfError::NotAdopted {
            name, live, offered, ..
        },
        ShelfError::Load { file: c, .. },
        ShelfError::Load { file: d, .. },
    ] = installation.gateway.skipped.as_slice()
    else {
        panic!("{:?}", installation.gateway.skipped);
    };
    assert_eq!((name.as_str(), live == offered), ("twilio", false));
    assert!(c.ends_with("c.wasm") && d.ends_with("d.wasm"));
    let told = installation.gateway.skipped[0].to_string();
    assert!(
        told.contains(live) && told.contains(&format!("strowger provider adopt twilio {offered}")),
        "{told}"
    );
    // The one that was first does its work.
    let call = installation.call_in(CallerScript::new().speak(tone(500.0, 200)).hang_up());
    finished(&call).await;
    assert_eq!(installation.closed_call().await["provider_version"], json!(live));
}

/// What a supervisor or a scraper reads: status and body.
async fn fetched(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn free_address() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_says_that_it_is_ready_until_it_drains() {
    let installation = Scenario::echo().setting("shutdown_grace_s", &60).start().await;
    let address = installation.gateway.address();
    assert_eq!(fetched(address, "/healthz").await.0, 200);
    let (status, body) = fetched(address, "/readyz").await;
    assert_eq!((status, &*body), (200, r#"{"status":"ready"}"#));
    let talking = installation.call_in(talks());
    eventually("the call is live", async || {
        (installation.gateway.exchange().live_calls() == 1).then_some(())
    })
    .await;
    let exchange = installation.gateway.exchange().clone();
    let draining = tokio::spawn(async move { exchange.drain(DEADLINE).await });
    eventually("it says that it drains", async || {
        let (status, body) = fetched(address, "/readyz").await;
        (status == 503 && body.contains("draining")).then_some(())
    })
    .await;
    assert_eq!(fetched(address, "/healthz").await.0, 200);
    talking.hang_up();
    assert_eq!(draining.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_counts_calls_and_names_nobody() {
    let scraped = free_address();
    let installation = Scenario::echo().setting("metrics_listen", &scraped).start().await;
    let call = installation.call_in(CallerScript::new().speak(tone(500.0, 300)).hang_up());
    finished(&call).await;
    let record = installation.closed_call().await;
    let text = eventually("the call is counted", async || {
        let (status, text) = fetched(scraped, "/metrics").await;
        assert_eq!(status, 200);
        text.contains("strowger_calls_total{").then_some(text)
    })
    .await;
    for expected in [
        r#"strowger_calls_total{provider="twilio",direction="inbound",status="completed",reason="caller_hung_up"} 1"#,
        r#"route="/api/v1/telephony/inbound/run",status="200"}"#,
        r#"strowger_provider_invocations_total{provider="twilio",export="webhook.verify-signature",outcome="done"}"#,
        "strowger_database_up 1",
        "strowger_calls_live 0",
        "# EOF",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    for secret in [&record["caller"], &record["id"]] {
        assert!(!text.contains(secret.as_str().unwrap()), "{secret} is in\n{text}");
    }
    // The public port does not show them.
    assert_eq!(fetched(installation.gateway.address(), "/metrics").await.0, 404);
}
