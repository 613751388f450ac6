//! Agents that do not do what they should. The call ends cleanly at the carrier, with a reason in its record, or goes on.

use serde_json::{Value, json};
use strowger_simulator::agent::{AgentDo, AgentMisbehaviour, AgentOptions, AgentProtocol, AgentScript, AgentWhen};
use strowger_simulator::report::{CallStatus, HangUp};
use strowger_simulator::{CallReport, CallerScript};

use crate::harness::{DEADLINE, Installation, Scenario, finished, frequency, ms, stream, tone};

const PROTOCOLS: [AgentProtocol; 2] = [AgentProtocol::Strowger, AgentProtocol::MediaStreams];

fn scenario(protocol: AgentProtocol, misbehaviour: AgentMisbehaviour) -> Scenario {
    let script = AgentScript::new().on(AgentWhen::Start, [tone(440.0, 300).into()]);
    Scenario::agent(AgentOptions::new(protocol, script).misbehaving(misbehaviour))
}

/// Somebody calls and stays on the line, until the gateway hangs up.
async fn ended(scenario: Scenario, status: &str, reason: &str) -> (Installation, CallReport, Value) {
    let installation = scenario.start().await;
    let call = installation.call_in(CallerScript::new().speak(tone(800.0, 300)).stay());
    installation.hung_up_at_carrier(&call).await;
    let report = finished(&call).await;
    assert_eq!(
        (report.hang_up, report.status),
        (Some(HangUp::Rest), CallStatus::Completed),
        "{report:#?}"
    );
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["status"], status, "{record}");
    assert_eq!(record["outcome"]["reason"], reason, "{record}");
    assert_eq!(record["outcome"]["carrier_status"], "completed", "{record}");
    assert_eq!(installation.gateway.exchange().live_calls(), 0);
    (installation, report, record)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_closes_has_hung_up() {
    for protocol in PROTOCOLS {
        let closes = AgentMisbehaviour {
            close_after: Some(ms(400)),
            ..AgentMisbehaviour::default()
        };
        ended(scenario(protocol, closes), "completed", "agent_hung_up").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_nobody_answers_for_is_unreachable() {
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nobody = json!({ "protocol": "strowger", "url": format!("ws://127.0.0.1:{port}/") });
    let (installation, _, record) = ended(Scenario::configured(nobody), "failed", "agent_unreachable").await;
    assert!(record["outcome"]["detail"].is_string(), "{record}");
    assert!(installation.kinds(&record).await.contains(&"agent_failed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_refuses_the_upgrade_is_unreachable() {
    for protocol in PROTOCOLS {
        let refuses = AgentMisbehaviour {
            refuse: Some(503),
            ..AgentMisbehaviour::default()
        };
        let (_, _, record) = ended(scenario(protocol, refuses), "failed", "agent_unreachable").await;
        assert!(
            record["outcome"]["detail"].as_str().unwrap().contains("503"),
            "{record}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_may_not_be_reached_is_not() {
    // A private address that the operator has not allowed.
    let forbidden = json!({ "protocol": "media-streams", "url": "ws://10.255.0.1:9/" });
    ended(Scenario::configured(forbidden), "failed", "agent_unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_drops_its_connection_is_lost() {
    for protocol in PROTOCOLS {
        let drops = AgentMisbehaviour {
            drop_after: Some(ms(400)),
            ..AgentMisbehaviour::default()
        };
        ended(scenario(protocol, drops), "failed", "agent_lost").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stalls_is_given_up() {
    let stalls = AgentMisbehaviour {
        stall_after: Some(ms(200)),
        ..AgentMisbehaviour::default()
    };
    ended(scenario(AgentProtocol::Strowger, stalls), "failed", "agent_stalled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_an_agent_disturbs_nobody() {
    for protocol in PROTOCOLS {
        let garbage = AgentMisbehaviour {
            garbage_after: Some(ms(100)),
            ..AgentMisbehaviour::default()
        };
        let installation = scenario(protocol, garbage).start().await;
        let call = installation.call_in(
            CallerScript::new()
                .silence(ms(500))
                .speak(tone(800.0, 500))
                .silence(ms(200))
                .hang_up(),
        );
        let agent = installation.heard_by_agent().await;
        assert!(
            (frequency(&agent.audio, agent.rate_hz) - 800.0).abs() < 20.0,
            "the call went on"
        );
        let report = finished(&call).await;
        assert_eq!(stream(&report).unreadable, Vec::<String>::new());
        let record = installation.closed_call().await;
        assert_eq!(record["outcome"]["reason"], "caller_hung_up", "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_paced_and_nothing_of_it_is_lost() {
    for protocol in PROTOCOLS {
        let burst = AgentMisbehaviour {
            burst: Some(ms(3_000)),
            ..AgentMisbehaviour::default()
        };
        let script = AgentScript::new().on(AgentWhen::Dtmf('1'), [AgentDo::HangUp]);
        let installation = Scenario::agent(AgentOptions::new(protocol, script).misbehaving(burst))
            .start()
            .await;
        let call = installation.call_in(CallerScript::new().wait_heard(ms(2_990), DEADLINE).press('1').stay());
        let report = finished(&call).await;
        let stream = stream(&report);
        // The resampler's own delay may add a frame.
        let played_ms = stream.received_samples() / 8;
        assert!((3_000..=3_040).contains(&played_ms), "{played_ms} ms");
        assert!((frequency(&stream.heard(), 8_000) - 440.0).abs() < 20.0);
        // 100 ms by the gateway's clock; the carrier's differs by what the machine keeps messages waiting.
        let ahead_ms = stream.pacing().ahead_max_ms;
        assert!(ahead_ms < 500.0, "{ahead_ms} ms ahead");
        assert_eq!(installation.closed_call().await["outcome"]["reason"], "agent_hung_up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_ten_seconds_is_gone_when_it_is_cleared() {
    let burst = AgentMisbehaviour {
        burst: Some(ms(10_000)),
        ..AgentMisbehaviour::default()
    };
    let script = AgentScript::new()
        .on(AgentWhen::Dtmf('1'), [AgentDo::Clear])
        .on(
            AgentWhen::Cleared,
            [tone(900.0, 500).into(), AgentDo::Mark("end".to_owned())],
        )
        .on(AgentWhen::Mark("end".to_owned()), [AgentDo::HangUp]);
    let installation = Scenario::agent(AgentOptions::new(AgentProtocol::Strowger, script).misbehaving(burst))
        .start()
        .await;
    let call = installation.call_in(CallerScript::new().wait_heard(ms(500), DEADLINE).press('1').stay());
    let agent = installation.heard_by_agent().await;
    let report = finished(&call).await;
    let stream = stream(&report);
    assert_eq!(stream.clears.len(), 1);
    assert!(
        stream.heard_duration() < ms(5_000),
        "{:?} of a burst that was cleared",
        stream.heard_duration()
    );
    let told = agent.cleared[0].heard_ms.unwrap();
    assert!((300..5_000).contains(&told), "{told}");
    assert!(agent.marks.iter().any(|mark| mark.name == "end"));
    assert_eq!(installation.closed_call().await["outcome"]["barge_ins"], 1);
}
