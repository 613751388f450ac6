//! Calls that the gateway places.

use serde_json::{Value, json};
use strowger_simulator::agent::{AgentDo, AgentScript, AgentWhen};
use strowger_simulator::report::{CallStatus, HangUp};
use strowger_simulator::{Callee, CallerScript, Misbehaviour};

use crate::harness::{CALLEE, DEADLINE, Installation, Scenario, finished, frequency, in_order, ms, stream, tone};

fn greeting() -> AgentScript {
    AgentScript::new().on(AgentWhen::Start, [tone(440.0, 500).into()])
}

fn answers(script: CallerScript, answered_by: &str) -> Callee {
    Callee::Answers {
        after: ms(50),
        script: script.patience(DEADLINE),
        answered_by: answered_by.to_owned(),
    }
}

/// Hears the agent, says something and hangs up.
fn short() -> CallerScript {
    CallerScript::new()
        .wait_heard(ms(300), DEADLINE)
        .speak(tone(900.0, 400))
        .silence(ms(200))
        .hang_up()
}

async fn initiate(installation: &Installation) -> Value {
    let reply = installation
        .api
        .post("/telephony/initiate-call", installation.outbound())
        .await
        .ok();
    reply["call"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_placed_answered_and_ended_by_the_callee() {
    let installation = Scenario::native(16_000, greeting()).recorded().start().await;
    installation.carrier.set_callee(CALLEE, answers(short(), "human"));
    let placed = initiate(&installation).await;
    let call = installation.carrier.next_outbound(DEADLINE).await.unwrap();
    assert_eq!(placed["provider_call_id"], call.id());
    let agent = installation.heard_by_agent().await;
    assert!((frequency(&agent.audio, agent.rate_hz) - 900.0).abs() < 20.0);
    let start = agent.start.as_ref().unwrap().to_string();
    assert!(start.contains("outbound"), "{start}");
    let report = finished(&call).await;
    assert_eq!(
        (report.from.as_str(), report.to.as_str()),
        (installation.carrier.own_number(), CALLEE)
    );
    assert_eq!(report.notes(), Vec::<&str>::new());
    let heard = stream(&report).heard();
    assert!((frequency(&heard, 8_000) - 440.0).abs() < 20.0);

    let record = installation.closed_call().await;
    assert_eq!(
        (&record["id"], &record["direction"]),
        (&placed["id"], &json!("outbound"))
    );
    assert_eq!(record["outcome"]["status"], "completed");
    assert_eq!(record["outcome"]["reason"], "callee_hung_up");
    assert_eq!(record["answered_by"], Value::Null);
    let kinds = installation.kinds(&record).await;
    in_order(&kinds, &["placed", "media_connected", "media_stopped"]);
    let (left, right) = installation.recording(&record).await;
    assert!(left.iter().any(|&sample| sample != 0) && right.iter().any(|&sample| sample != 0));
}

/// A call that nobody answers.
async fn unanswered(callee: Callee, status: &str, reason: &str) {
    let installation = Scenario::native(16_000, greeting()).start().await;
    installation.carrier.set_callee(CALLEE, callee);
    initiate(&installation).await;
    let report = finished(&installation.carrier.next_outbound(DEADLINE).await.unwrap()).await;
    assert!(report.streams.is_empty());
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["status"], status, "{record}");
    assert_eq!(record["outcome"]["reason"], reason, "{record}");
    assert_eq!(record["answered_at"], Value::Null);
    assert_eq!(
        (
            installation.conversations(),
            installation.gateway.exchange().live_calls()
        ),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_who_is_busy_ends_the_call() {
    unanswered(Callee::Busy, "busy", "busy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_who_does_not_answer_ends_the_call() {
    unanswered(Callee::NoAnswer { after: ms(100) }, "no-answer", "no_answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_does_not_exist_ends_the_call() {
    unanswered(Callee::Unreachable, "failed", "carrier_failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_tells_that_a_machine_answered() {
    for (mode, said) in [
        ("human-or-machine", "machine_start"),
        ("end-of-greeting", "machine_end_beep"),
    ] {
        let installation = Scenario::native(16_000, greeting())
            .credentials(json!({ "amd_enabled": true }))
            .start()
            .await;
        installation.carrier.set_callee(CALLEE, answers(short(), said));
        let mut request = installation.outbound();
        request["detect_machine"] = json!(mode);
        installation.api.post("/telephony/initiate-call", request).await.ok();
        finished(&installation.carrier.next_outbound(DEADLINE).await.unwrap()).await;
        let record = installation.closed_call().await;
        let told = record["answered_by"]
            .as_str()
            .unwrap_or_else(|| panic!("{record}"))
            .replace('-', "_");
        assert_eq!(told, said);
        assert!(installation.kinds(&record).await.contains(&"answered_by".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_refuses_leaves_a_failed_record_and_no_call() {
    for (status, answer) in [(500, 502), (401, 400), (429, 429)] {
        let installation = Scenario::native(16_000, greeting()).start().await;
        let refuses = Misbehaviour {
            rest_error: Some(status),
            ..Misbehaviour::default()
        };
        installation.carrier.set_misbehaviour(refuses);
        let reply = installation
            .api
            .post("/telephony/initiate-call", installation.outbound())
            .await;
        assert_eq!(reply.status, answer, "{status}: {}", reply.text());
        assert!(!reply.json()["detail"].as_str().unwrap().is_empty());
        let record = installation.closed_call().await;
        assert_eq!(record["outcome"]["status"], "failed", "{record}");
        assert_eq!(record["outcome"]["reason"], "place_failed", "{record}");
        assert_eq!(record["provider_call_id"], Value::Null);
        assert_eq!(installation.gateway.exchange().live_calls(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_out_of_order_and_repeated_tell_the_same_story() {
    let misbehaviour = Misbehaviour {
        statuses_reversed: true,
        status_copies: 2,
        ..Misbehaviour::default()
    };
    let installation = Scenario::native(16_000, greeting())
        .carrier_misbehaves(misbehaviour)
        .start()
        .await;
    installation.carrier.set_callee(CALLEE, answers(short(), "human"));
    initiate(&installation).await;
    let report = finished(&installation.carrier.next_outbound(DEADLINE).await.unwrap()).await;
    let told: Vec<_> = report
        .webhooks
        .iter()
        .filter(|webhook| webhook.kind.starts_with("status"))
        .collect();
    assert!(
        told.len() >= 6 && told.iter().all(|webhook| webhook.status == Some(204)),
        "{told:#?}"
    );
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["status"], "completed", "{record}");
    assert_eq!(record["outcome"]["reason"], "callee_hung_up", "{record}");
    assert_eq!(record["outcome"]["carrier_status"], "completed");
    // However often it was told, the record says it once.
    let mut statuses: Vec<String> = installation
        .events(&record)
        .await
        .iter()
        .filter(|event| event["kind"] == "status")
        .map(|event| event["detail"]["event"]["status"].to_string())
        .collect();
    let all = statuses.len();
    statuses.sort();
    statuses.dedup();
    assert_eq!(statuses.len(), all, "{:#?}", installation.events(&record).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_the_answer_that_is_repeated_opens_one_conversation() {
    let misbehaviour = Misbehaviour {
        webhook_copies: 3,
        ..Misbehaviour::default()
    };
    let installation = Scenario::native(16_000, greeting())
        .carrier_misbehaves(misbehaviour)
        .start()
        .await;
    installation.carrier.set_callee(CALLEE, answers(short(), "human"));
    initiate(&installation).await;
    let report = finished(&installation.carrier.next_outbound(DEADLINE).await.unwrap()).await;
    let answers: Vec<_> = report
        .webhooks
        .iter()
        .filter(|webhook| webhook.kind == "answered")
        .collect();
    assert!(
        answers.iter().all(|answer| answer.response == answers[0].response),
        "{answers:#?}"
    );
    assert_eq!(installation.closed_call().await["outcome"]["status"], "completed");
    assert_eq!(installation.conversations(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_api_hangs_up() {
    let script = greeting().on(AgentWhen::Dtmf('1'), [AgentDo::Clear]);
    let installation = Scenario::native(16_000, script).start().await;
    installation
        .carrier
        .set_callee(CALLEE, answers(CallerScript::new().stay(), "human"));
    let placed = initiate(&installation).await;
    let call = installation.carrier.next_outbound(DEADLINE).await.unwrap();
    let agent = installation.conversation().await;
    agent
        .wait_until(DEADLINE, |agent| agent.heard_duration() > ms(100))
        .await
        .unwrap();
    let path = format!("/calls/{}/hang-up", placed["id"].as_str().unwrap());
    installation.api.post(&path, json!({})).await.ok();
    installation.hung_up_at_carrier(&call).await;
    let agent = agent.finished(DEADLINE).await.unwrap();
    assert_eq!(agent.stop.as_deref(), Some("api_request"));
    let report = finished(&call).await;
    assert_eq!(
        (report.hang_up, report.status),
        (Some(HangUp::Rest), CallStatus::Completed)
    );
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "api_request", "{record}");
    // Whoever asks again has what they wanted.
    installation.api.post(&path, json!({})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_still_rings_can_be_hung_up() {
    let installation = Scenario::native(16_000, greeting()).start().await;
    let rings = Callee::Answers {
        after: DEADLINE,
        script: CallerScript::new().stay(),
        answered_by: "human".to_owned(),
    };
    installation.carrier.set_callee(CALLEE, rings);
    let placed = initiate(&installation).await;
    let call = installation.carrier.next_outbound(DEADLINE).await.unwrap();
    call.wait_until(DEADLINE, |report| report.status == CallStatus::Ringing)
        .await
        .unwrap();
    installation
        .api
        .post(&format!("/calls/{}/hang-up", placed["id"].as_str().unwrap()), json!({}))
        .await
        .ok();
    let report = finished(&call).await;
    assert_eq!(report.hang_up, Some(HangUp::Rest));
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "api_request", "{record}");
    assert_eq!(installation.conversations(), 0);
}
