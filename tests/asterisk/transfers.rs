//! The caller is connected with somebody else, or is back with the agent.

use serde_json::Value;
use strowger_simulator::agent::{AgentDo, AgentScript, AgentSession, AgentWhen, Hold, Transfer};

use crate::harness::{DEADLINE, eventually, frequency, tone};
use crate::installation::{Installation, OWN, Plan, heard_by};
use crate::telephone::Line;

/// An agent that greets, and asks for a transfer to `destination` when a key is pressed.
pub(crate) fn asking(destination: &str) -> AgentScript {
    let transfer = Transfer::to(destination).hold(Hold::Silence).ring_timeout_s(60);
    AgentScript::new()
        .on(AgentWhen::Start, [tone(440.0, 600).into()])
        .on(AgentWhen::Dtmf('1'), [transfer.into()])
        .on(AgentWhen::Dtmf('2'), [tone(600.0, 600).into()])
}

/// A caller, and the destination with which the caller is connected.
pub(crate) struct Connected {
    pub(crate) caller: Line,
    pub(crate) destination: Line,
    pub(crate) agent: AgentSession,
}

/// A caller asks for somebody else, who answers.
pub(crate) async fn connect(installation: &Installation) -> Connected {
    let destination = installation.telephone().voice(tone(700.0, 10_000));
    let destination = destination.waits_as("answering").await;
    let caller = installation.telephone().keys("1").calls(OWN).await;
    let agent = installation.conversation().await;
    caller.hears(400).await;
    caller.press().await;
    destination.answer().await;
    agent.wait_transfer(DEADLINE, "connected").await.unwrap();
    Connected {
        caller,
        destination,
        agent,
    }
}

/// The transfer of the only call, when it is over.
async fn over(installation: &Installation) -> Value {
    let record = installation.api.closed_call().await;
    eventually("the transfer is over", async || {
        let transfers = installation.transfers(&record).await;
        transfers.into_iter().find(|transfer| transfer["state"] == "over")
    })
    .await
}

pub(crate) async fn a_caller_is_connected_with_somebody_else() {
    let installation = Plan::new(asking("answering")).start().await;
    let Connected {
        caller,
        destination,
        agent,
    } = connect(&installation).await;
    let agent = agent.finished(DEADLINE).await.unwrap();
    let states: Vec<&str> = agent.transfers.iter().map(|seen| seen.state.as_str()).collect();
    assert_eq!(states, ["dialing", "ringing", "answered", "connected"]);
    assert_eq!(agent.stop.as_deref(), Some("transferred"));

    // They hear each other, without the gateway.
    let before = caller.heard().len();
    let greeting = caller.heard_sound_ms();
    destination.speak().await;
    caller.hears(greeting + 800).await;
    caller.speak().await;
    destination.hears(800).await;
    assert!((frequency(&caller.heard()[before..], 8_000) - 700.0).abs() < 20.0);
    assert!((frequency(&destination.heard(), 8_000) - 1_000.0).abs() < 20.0);

    // The end of the destination ends the caller.
    destination.leave().await;
    caller.over().await;
    let record = installation.api.closed_call().await;
    assert_eq!(record["outcome"]["status"], "completed", "{record:#}");
    assert_eq!(record["outcome"]["reason"], "transferred", "{record:#}");
    let transfer = over(&installation).await;
    assert_eq!(
        (&transfer["destination"], &transfer["reason"]),
        (&"answering".into(), &Value::Null)
    );
    assert!(transfer["connected_at"].is_string(), "{transfer:#}");
    installation.finish().await;
}

pub(crate) async fn the_end_of_the_caller_ends_the_second_leg() {
    let installation = Plan::new(asking("answering")).start().await;
    let Connected {
        caller, destination, ..
    } = connect(&installation).await;
    caller.leave().await;
    destination.over().await;
    let record = installation.api.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "transferred", "{record:#}");
    over(&installation).await;
    installation.finish().await;
}

pub(crate) async fn a_busy_destination_leaves_the_caller_with_the_agent() {
    let installation = Plan::new(asking("busy")).start().await;
    let busy = installation.telephone().refuses_as("busy").await;
    let caller = installation.telephone().keys("12").calls(OWN).await;
    let agent = installation.conversation().await;
    caller.hears(400).await;
    caller.press().await;
    let failed = agent.wait_transfer(DEADLINE, "failed").await.unwrap();
    assert_eq!(failed.reason.as_deref(), Some("busy"));
    busy.over().await;

    // The conversation goes on, both ways.
    agent
        .wait_until(DEADLINE, |report| report.digits == "12")
        .await
        .unwrap();
    let before = caller.heard_sound_ms();
    agent.perform(AgentDo::Say(tone(600.0, 600)));
    caller.hears(before + 400).await;
    caller.speak().await;
    heard_by(&agent, 600).await;
    caller.leave().await;
    let record = installation.api.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "caller_hung_up", "{record:#}");
    assert_eq!(over(&installation).await["reason"], "busy");
    installation.finish().await;
}
