//! The database goes away while calls run. With a PostgreSQL of their own.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use strowger_simulator::CallerScript;
use strowger_simulator::agent::{AgentDo, AgentScript};

use crate::harness::{DEADLINE, Installation, Scenario, eventually, finished, ms, stream, tone};
use crate::postgres::{Postgres, blocking};

/// Says something, hears an answer, presses a key.
fn caller() -> CallerScript {
    CallerScript::new()
        .speak(tone(500.0, 300))
        .wait_heard(ms(500), DEADLINE)
        .press('7')
        .stay()
}

async fn works(installation: &Installation) {
    let status = installation.api.get("/agents").await.status;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_without_the_database_and_their_records_are_complete_afterwards() {
    let server = blocking(Postgres::start).await;
    let server = std::sync::Arc::new(server);
    let installation = Scenario::native(16_000, AgentScript::new())
        .recorded()
        .setting("database_url", &server.url)
        .start()
        .await;
    let call = installation.call_in(caller());
    let agent = installation.conversation().await;
    agent
        .wait_until(DEADLINE, |agent| agent.heard_duration() > ms(200))
        .await
        .unwrap();

    let stopping = server.clone();
    blocking(move || stopping.kill()).await;
    // Both hear each other, keys are told, and the call ends as it should.
    agent.perform(AgentDo::Say(tone(600.0, 1_500)));
    agent.perform(AgentDo::Mark("said".to_owned()));
    agent
        .wait_until(DEADLINE, |agent| agent.digits == "7" && !agent.marks.is_empty())
        .await
        .unwrap();
    // Clients and callers are told at once what is the matter, instead of being kept waiting.
    let reply = installation.api.get("/agents").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(reply.json()["retryable"], true);
    let refused = finished(&installation.call_in(caller())).await;
    assert!(refused.streams.is_empty(), "{refused:#?}");
    agent.perform(AgentDo::HangUp);
    installation.hung_up_at_carrier(&call).await;
    let report = finished(&call).await;
    assert!(stream(&report).heard_duration() >= ms(1_400), "{report:#?}");

    let starting = server.clone();
    blocking(move || starting.start_again()).await;
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["status"], "completed", "{record}");
    assert_eq!(record["outcome"]["digits"], 1, "{record}");
    assert!(record["has_recording"] == true, "{record}");
    let events = installation.events(&record).await;
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let kinds = installation.kinds(&record).await;
    for kind in [
        "media_connected",
        "agent_connected",
        "dtmf",
        "agent_hung_up",
        "hang_up_done",
    ] {
        let count = kinds.iter().filter(|found| *found == kind).count();
        assert_eq!(count, 1, "{kind} in {kinds:?}");
    }
    eventually("the session is over", async || {
        (installation.gateway.exchange().live_calls() == 0).then_some(())
    })
    .await;
    // And everything works again.
    works(&installation).await;
    let call = installation.call_in(CallerScript::new().speak(tone(500.0, 300)).hang_up());
    finished(&call).await;
    let completed = async || {
        let calls = installation.calls().await;
        let over = |call: &Value| call["state"] == "completed";
        (calls.len() == 2 && calls.iter().all(over)).then_some(())
    };
    eventually("the next call is recorded", completed).await;
}

/// Longer than a connection is waited for, or one answer, and shorter than carriers and clients wait.
const PATIENCE: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread")]
async fn whoever_meets_a_database_that_hangs_is_told_in_time_and_calls_go_on() {
    let server = std::sync::Arc::new(blocking(Postgres::start).await);
    let installation = Scenario::native(16_000, AgentScript::new())
        .setting("database_url", &server.url)
        .start()
        .await;
    let call = installation.call_in(caller());
    let agent = installation.conversation().await;
    agent
        .wait_until(DEADLINE, |agent| agent.heard_duration() > ms(200))
        .await
        .unwrap();

    let freezing = server.clone();
    let frozen = blocking(move || freezing.freeze()).await;
    let told = async || {
        let begun = Instant::now();
        let asked = [
            installation.api.get("/agents"),
            installation.api.get("/calls"),
            installation.api.get("/organizations/telephony-configs"),
        ];
        for reply in join_all(asked).await {
            assert_eq!(reply.status, 503, "{}", reply.text());
            assert_eq!(reply.json()["retryable"], true, "{}", reply.text());
        }
        let (written, placed) = tokio::join!(
            installation
                .api
                .post("/agents", json!({ "name": "Another", "protocol": "echo" })),
            installation
                .api
                .post("/telephony/initiate-call", installation.outbound()),
        );
        assert_eq!((written.status, placed.status), (503, 503), "{}", placed.text());
        assert!(begun.elapsed() < PATIENCE * 2, "{:?}", begun.elapsed());
    };
    let refused = async || {
        let begun = Instant::now();
        let refused = finished(&installation.call_in(caller())).await;
        assert!(refused.streams.is_empty(), "{refused:#?}");
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    };
    // The first to ask meet a connection that was good, and those after them none at all.
    tokio::join!(told(), refused());
    tokio::join!(told(), refused());
    agent.perform(AgentDo::Say(tone(600.0, 1_000)));
    agent.perform(AgentDo::Mark("said".to_owned()));
    agent
        .wait_until(DEADLINE, |agent| agent.digits == "7" && !agent.marks.is_empty())
        .await
        .unwrap();
    blocking(move || drop(frozen)).await;

    eventually("it works again", async || {
        (installation.api.get("/agents").await.status == 200).then_some(())
    })
    .await;
    agent.perform(AgentDo::HangUp);
    installation.hung_up_at_carrier(&call).await;
    finished(&call).await;
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["status"], "completed", "{record}");
    let kinds = installation.kinds(&record).await;
    for kind in ["media_connected", "agent_connected", "dtmf", "agent_hung_up"] {
        let count = kinds.iter().filter(|found| *found == kind).count();
        assert_eq!(count, 1, "{kind} in {kinds:?}");
    }
    blocking(move || drop(server)).await;
}
