//! What goes wrong with Asterisk, and what comes after it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use strowger_server::exchange::{EventSocketPhase, EventSocketState};
use strowger_simulator::agent::{AgentScript, AgentWhen};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::harness::{DEADLINE, tone};
use crate::installation::{Installation, OWN, Plan, heard_by};
use crate::site::{ARI_PASSWORD, ARI_USER};
use crate::transfers::{Connected, asking, connect};

fn greeting() -> AgentScript {
    AgentScript::new().on(AgentWhen::Start, [tone(440.0, 1_000).into()])
}

fn failed_with(state: &EventSocketState, code: &str) -> bool {
    state.last_failure.as_ref().is_some_and(|failure| failure.code == code)
}

/// A call as it should be.
async fn takes_a_call(installation: &Installation) {
    let line = installation.telephone().calls(OWN).await;
    let agent = installation.conversation().await;
    line.hears(300).await;
    line.speak().await;
    heard_by(&agent, 600).await;
    line.leave().await;
    let report = agent.finished(DEADLINE).await.unwrap();
    assert_eq!(report.stop.as_deref(), Some("caller_hung_up"));
}

pub(crate) async fn asterisk_is_killed_and_comes_back() {
    let mut installation = Plan::new(greeting()).start().await;
    let caller = installation.telephone().calls(OWN).await;
    let with_caller = installation.conversation().await;
    caller.hears(300).await;
    let callee = installation.telephone().waits_as("answering").await;
    let outbound = installation.call("answering").await;
    callee.answer().await;
    let with_callee = installation.conversation().await;
    callee.hears(300).await;

    installation.site.kill();
    for agent in [with_caller, with_callee] {
        let report = agent.finished(DEADLINE).await.unwrap();
        assert_eq!(report.stop.as_deref(), Some("media_lost"));
    }
    // It is tried again, and again.
    let refused = installation
        .events_are("Asterisk is gone", |state| failed_with(state, "connect"))
        .await;
    let first = refused.last_failure.unwrap().at;
    installation
        .events_are("it is tried again", |state| {
            state.last_failure.as_ref().is_some_and(|failure| failure.at > first)
        })
        .await;
    drop((caller, callee));
    installation.site.start().await;
    installation.hears_events().await;

    let inbound = installation.api.calls().await;
    let inbound = inbound.iter().find(|call| call["direction"] == "inbound").unwrap();
    for id in [inbound["id"].as_str().unwrap(), &outbound] {
        let record = installation.closed(id).await;
        assert_eq!(record["outcome"]["status"], "failed", "{record:#}");
        assert_eq!(record["outcome"]["reason"], "media_lost", "{record:#}");
    }
    takes_a_call(&installation).await;
    installation.finish().await;
}

/// The gateway has no media of a call that was handed over: that it is gone is found out when the event socket is back.
pub(crate) async fn a_hand_over_ends_with_asterisk() {
    let mut installation = Plan::new(asking("answering")).start().await;
    let Connected {
        caller,
        destination,
        agent,
    } = connect(&installation).await;
    agent.finished(DEADLINE).await.unwrap();
    installation.site.kill();
    drop((caller, destination));
    installation
        .events_are("Asterisk is gone", |state| state.phase != EventSocketPhase::Up)
        .await;
    assert_eq!(installation.gateway.exchange().live_calls(), 1);
    installation.site.start().await;
    let record = installation.api.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "transferred", "{record:#}");
    let transfers = installation.transfers(&record).await;
    assert_eq!(transfers[0]["state"], "over", "{transfers:#?}");
    installation.finish().await;
}

pub(crate) async fn another_subscriber_takes_the_application() {
    let installation = Plan::new(greeting()).start().await;
    let application = installation.site.value("STASIS_APP");
    let url = format!("{}/ari/events?app={application}", installation.site.endpoint());
    let mut request = url.replacen("http", "ws", 1).into_client_request().unwrap();
    let credentials = format!("Basic {}", STANDARD.encode(format!("{ARI_USER}:{ARI_PASSWORD}")));
    request
        .headers_mut()
        .insert("authorization", credentials.parse().unwrap());
    let (mut stranger, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let state = installation
        .events_are("it is noticed", |state| failed_with(state, "application-replaced"))
        .await;
    assert!(!state.last_failure.unwrap().message.is_empty());
    // And it is taken back.
    let farewell = stranger.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(farewell.contains("ApplicationReplaced"), "{farewell}");
    installation.hears_events().await;
    takes_a_call(&installation).await;
    installation.finish().await;
}

pub(crate) async fn a_wrong_password_is_told_and_can_be_put_right() {
    let installation = Plan::new(greeting()).password("wrong").start_deaf().await;
    installation
        .events_are("it is refused", |state| failed_with(state, "http-401"))
        .await;
    installation.put_password_right().await;
    installation.hears_events().await;
    takes_a_call(&installation).await;
    installation.finish().await;
}
