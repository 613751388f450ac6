//! The gateway calls somebody.

use reqwest::Method;
use serde_json::Value;
use strowger_simulator::agent::{AgentDo, AgentScript, AgentWhen};

use crate::harness::{DEADLINE, frequency, in_order, tone};
use crate::installation::{OWN, Plan, heard_by};

fn greeting() -> AgentScript {
    AgentScript::new().on(AgentWhen::Start, [tone(440.0, 1_000).into()])
}

pub(crate) async fn somebody_answers() {
    let installation = Plan::new(greeting()).start().await;
    let line = installation.telephone().waits_as("answering").await;
    let call = installation.call("answering").await;
    line.answer().await;
    let agent = installation.conversation().await;
    line.hears(800).await;
    line.speak().await;
    heard_by(&agent, 800).await;
    agent.perform(AgentDo::HangUp);
    line.over().await;

    let report = agent.finished(DEADLINE).await.unwrap();
    assert!((frequency(&report.audio, report.rate_hz) - 1_000.0).abs() < 20.0);
    assert!((frequency(&line.heard(), 8_000) - 440.0).abs() < 20.0);
    let invitation = line.messages();
    assert!(invitation.contains(&format!("From: <sip:{OWN}@")), "{invitation}");

    let record = installation.closed(&call).await;
    assert_eq!(record["direction"], "outbound");
    assert_eq!(record["outcome"]["status"], "completed", "{record:#}");
    assert_eq!(record["outcome"]["reason"], "agent_hung_up", "{record:#}");
    in_order(
        &installation.api.kinds(&record).await,
        &["placed", "media_connected", "media_started", "agent_hung_up"],
    );
    installation.finish().await;
}

pub(crate) async fn somebody_answers_and_hangs_up() {
    let installation = Plan::new(greeting()).start().await;
    let line = installation.telephone().waits_as("answering").await;
    let call = installation.call("answering").await;
    line.answer().await;
    let agent = installation.conversation().await;
    line.hears(300).await;
    line.leave().await;
    let report = agent.finished(DEADLINE).await.unwrap();
    assert_eq!(report.stop.as_deref(), Some("callee_hung_up"));
    let record = installation.closed(&call).await;
    assert_eq!(record["outcome"]["status"], "completed", "{record:#}");
    assert_eq!(record["outcome"]["reason"], "callee_hung_up", "{record:#}");
    installation.finish().await;
}

/// All ways in which a call is not answered, at the same time.
pub(crate) async fn nobody_answers() {
    let installation = Plan::new(greeting()).start().await;
    let busy = installation.telephone().refuses_as("busy").await;
    let declining = installation.telephone().refuses_as("declining").await;
    let ringing = installation.telephone().waits_as("ringing").await;
    let expected = [
        ("busy", "busy", "busy", "cause 17 (User busy), sip 486"),
        (
            "declining",
            "failed",
            "carrier_failed",
            "cause 21 (Call Rejected), sip 603",
        ),
        (
            "ringing",
            "no-answer",
            "no_answer",
            "cause 19 (User alerting, no answer), sip 480",
        ),
        // Over UDP there is no difference for Asterisk.
        (
            "unreachable",
            "no-answer",
            "no_answer",
            "cause 19 (User alerting, no answer), sip 480",
        ),
    ];
    let mut calls = Vec::new();
    for (callee, ..) in expected {
        let placed = installation.try_call(callee, 5).await.ok();
        calls.push(placed["call_id"].as_str().unwrap().to_owned());
    }
    // What Asterisk has no endpoint for is not even dialled.
    let reply = installation.try_call("nobody", 5).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("Outbound Dial String"), "{}", reply.text());

    for (call, (callee, status, reason, detail)) in calls.iter().zip(expected) {
        let record = installation.closed(call).await;
        let outcome = &record["outcome"];
        assert_eq!(
            (&outcome["status"], &outcome["reason"]),
            (&status.into(), &reason.into()),
            "{callee}: {record:#}"
        );
        assert_eq!(outcome["detail"], detail, "{callee}");
        assert_eq!(record["answered_at"], Value::Null);
    }
    for line in [&busy, &declining, &ringing] {
        line.over().await;
    }
    assert_eq!(installation.conversations(), 0);
    installation.finish().await;
}

pub(crate) async fn a_call_is_withdrawn_while_it_rings() {
    let installation = Plan::new(greeting()).start().await;
    let line = installation.telephone().waits_as("ringing").await;
    let call = installation.call("ringing").await;
    line.rings().await;
    let path = format!("/calls/{call}/hang-up");
    installation.api.send(Method::POST, &path, None).await.ok();
    line.over().await;
    let record = installation.closed(&call).await;
    assert_eq!(record["outcome"]["status"], "canceled", "{record:#}");
    assert_eq!(record["outcome"]["reason"], "api_request", "{record:#}");
    installation.finish().await;
}
