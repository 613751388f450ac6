//! Many calls at once.

use futures_util::future::join_all;
use strowger_simulator::agent::{AgentDo, AgentScript, AgentSession, AgentWhen};

use crate::harness::{DEADLINE, eventually, frequency, tone};
use crate::installation::{OWN, Plan, heard_by};

const CALLS: usize = 20;
/// Between what two of the callers say. Half of it tells them apart, also with the holes that a busy machine leaves.
const STEP_HZ: f64 = 50.0;

/// The number of one of the callers, reserved for fiction.
fn number(call: usize) -> String {
    format!("+120255501{call:02}")
}

/// What one of the callers says.
fn hz(call: usize) -> f64 {
    400.0 + STEP_HZ * call as f64
}

/// Each caller says something of their own, hears only that again, and presses keys of their own.
pub(crate) async fn twenty_calls_at_once() {
    let echo = AgentScript::new().on(AgentWhen::Start, [AgentDo::EchoBack]);
    let installation = Plan::new(echo).start().await;
    let dialling = (0..CALLS).map(|call| {
        let telephone = installation.telephone().number(&number(call));
        telephone
            .voice(tone(hz(call), 20_000))
            .keys(&format!("{call:02}#"))
            .calls(OWN)
    });
    let lines = join_all(dialling).await;
    let mut agents = Vec::new();
    for _ in 0..CALLS {
        agents.push(installation.conversation().await);
    }
    for agent in &agents {
        agent
            .wait_until(DEADLINE, |report| report.start.is_some())
            .await
            .unwrap();
    }
    assert_eq!(installation.gateway.exchange().live_calls(), CALLS);
    let agent_of = |call: usize| {
        let number = number(call);
        let is_caller = |agent: &&AgentSession| {
            agent.look(|report| report.start.as_ref().is_some_and(|start| start["caller"] == number))
        };
        agents
            .iter()
            .find(is_caller)
            .unwrap_or_else(|| panic!("no agent for caller {call}"))
    };

    join_all(lines.iter().map(|line| line.speak())).await;
    for (call, line) in lines.iter().enumerate() {
        heard_by(agent_of(call), 1_500).await;
        line.hears(1_500).await;
    }
    join_all(lines.iter().map(|line| line.press())).await;
    for call in 0..CALLS {
        let keys = format!("{call:02}#");
        let agent = agent_of(call);
        agent
            .wait_until(DEADLINE, |report| report.digits.len() >= keys.len())
            .await
            .unwrap();
        assert_eq!(agent.look(|report| report.digits.clone()), keys);
    }
    join_all(lines.iter().map(|line| line.leave())).await;

    for (call, line) in lines.iter().enumerate() {
        let report = agent_of(call).finished(DEADLINE).await.unwrap();
        let (said, heard) = (
            frequency(&report.audio, report.rate_hz),
            frequency(&line.heard(), 8_000),
        );
        assert!(
            (said - hz(call)).abs() < STEP_HZ / 2.0,
            "the agent of caller {call} heard {said} Hz"
        );
        assert!(
            (heard - hz(call)).abs() < STEP_HZ / 2.0,
            "caller {call} heard {heard} Hz"
        );
    }
    let calls = eventually("all records are closed", async || {
        let calls = installation.api.calls().await;
        calls.iter().all(|call| call["state"] == "completed").then_some(calls)
    })
    .await;
    assert_eq!(calls.len(), CALLS);
    for call in calls {
        assert_eq!(call["outcome"]["reason"], "caller_hung_up", "{call:#}");
        assert_eq!(call["outcome"]["digits"], 3, "{call:#}");
    }
    installation.finish().await;
}
