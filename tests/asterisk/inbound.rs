//! Somebody calls.

use std::time::Duration;

use futures_util::future::join_all;
use strowger_simulator::Pace;
use strowger_simulator::agent::{AgentDo, AgentScript, AgentWhen};

use crate::harness::{CALLER, DEADLINE, eventually, frequency, in_order, ms, tone};
use crate::installation::{OWN, Plan, heard_by};
use crate::site::{Site, free_ports};
use crate::telephone::Telephone;

/// Samples of 300 ms at 8 kHz: what is looked at to tell a tone.
const WINDOW: usize = 2_400;

/// An agent that says all of a long greeting at once, is interrupted, answers, and hangs up at a hash sign.
fn interrupted() -> AgentScript {
    AgentScript::new()
        .on(
            AgentWhen::Start,
            [tone(440.0, 8_000).into(), AgentDo::Mark("greeting".to_owned())],
        )
        .once(AgentWhen::HeardWhileSpeaking(ms(200)), [AgentDo::Clear])
        .once(
            AgentWhen::Cleared,
            [tone(600.0, 800).into(), AgentDo::Mark("reply".to_owned())],
        )
        .on(AgentWhen::Dtmf('#'), [AgentDo::HangUp])
}

/// An agent that greets.
fn greeting() -> AgentScript {
    AgentScript::new().on(AgentWhen::Start, [tone(440.0, 1_000).into()])
}

/// Whether Asterisk and the telephones do what the other stories take for granted.
pub(crate) async fn telephones_work() {
    let mut site = Site::new();
    site.set("MEDIA_CLIENT", "nobody");
    site.set(
        "MEDIA_CLIENT_SETTINGS",
        "type = websocket_client\nuri = ws://127.0.0.1:1/",
    );
    site.set("INBOUND_EXTENSION", "_[+0-9]!,1,Stasis(nobody)");
    site.start().await;
    let line = Telephone::new(&site).calls("echo").await;
    line.talks().await;
    line.speak().await;
    line.hears(800).await;
    line.leave().await;
    assert!((frequency(&line.heard(), 8_000) - 1_000.0).abs() < 20.0);
    // The gateway is not there.
    let line = Telephone::new(&site).calls(OWN).await;
    line.over().await;
    assert_eq!(line.status(), Some(603));
    site.idle().await;
}

pub(crate) async fn a_conversation() {
    converse(Plan::new(interrupted())).await;
}

pub(crate) async fn a_conversation_in_a_law() {
    converse(Plan::new(interrupted()).media_format("alaw")).await;
}

pub(crate) async fn a_conversation_in_linear_samples_and_json() {
    converse(Plan::new(interrupted()).media_format("slin16").control_format("json")).await;
}

/// Audio both ways, a caller who interrupts, keys, and an agent who hangs up.
async fn converse(plan: Plan) {
    let plan = plan.pace(Pace::AtOnce {
        message: Duration::from_millis(200),
    });
    let installation = plan.start().await;
    let line = installation.telephone().keys("42#").calls(OWN).await;
    let agent = installation.conversation().await;
    line.hears(600).await;
    line.speak().await;
    agent
        .wait_until(DEADLINE, |report| report.marks.iter().any(|mark| mark.name == "reply"))
        .await
        .unwrap();
    line.press().await;
    line.over().await;
    let report = agent.finished(DEADLINE).await.unwrap();

    // The caller was heard, and nobody else.
    assert!((frequency(&report.audio, report.rate_hz) - 1_000.0).abs() < 20.0);
    assert_eq!(report.digits, "42#");
    assert_eq!(report.unreadable, Vec::<String>::new());
    // The caller heard the beginning of the greeting, and all of the reply.
    let heard = line.heard();
    let loud = |sample: &i16| sample.abs() > 1_000;
    let (first, last) = (
        heard.iter().position(loud).unwrap(),
        heard.iter().rposition(loud).unwrap(),
    );
    assert!((frequency(&heard[first..first + WINDOW], 8_000) - 440.0).abs() < 20.0);
    assert!((frequency(&heard[last - WINDOW..last], 8_000) - 600.0).abs() < 20.0);
    assert_eq!((report.clears.len(), report.cleared.len()), (1, 1));
    assert_eq!(report.cleared[0].marks, ["greeting"]);
    assert!(line.heard_sound_ms() < 4_000, "{} ms of 8.8 s", line.heard_sound_ms());

    let record = installation.api.closed_call().await;
    let outcome = &record["outcome"];
    assert_eq!(
        (&record["direction"], &record["caller"]),
        (&"inbound".into(), &CALLER.into())
    );
    assert_eq!(outcome["status"], "completed", "{record:#}");
    assert_eq!(outcome["reason"], "agent_hung_up", "{record:#}");
    assert_eq!((&outcome["digits"], &outcome["barge_ins"]), (&3.into(), &1.into()));
    in_order(
        &installation.api.kinds(&record).await,
        &[
            "media_connected",
            "agent_connected",
            "barged_in",
            "dtmf",
            "agent_hung_up",
        ],
    );
    installation.finish().await;
}

pub(crate) async fn a_caller_hangs_up() {
    let installation = Plan::new(greeting()).start().await;
    let line = installation.telephone().calls(OWN).await;
    let agent = installation.conversation().await;
    line.hears(300).await;
    line.speak().await;
    heard_by(&agent, 600).await;
    line.leave().await;
    let report = agent.finished(DEADLINE).await.unwrap();
    assert_eq!(report.stop.as_deref(), Some("caller_hung_up"));
    let record = installation.api.closed_call().await;
    assert_eq!(record["outcome"]["status"], "completed", "{record:#}");
    assert_eq!(record["outcome"]["reason"], "caller_hung_up", "{record:#}");
    assert_eq!(record["outcome"]["carrier_status"], "completed", "{record:#}");
    installation.finish().await;
}

/// They give up at any point of the answer: before Asterisk has told, while it is told what to do, when it has done it.
pub(crate) async fn callers_who_give_up_at_once_leave_nothing_behind() {
    let installation = Plan::new(greeting()).start().await;
    let calls = (0..12_u64).map(|call| installation.telephone().calls_and_gives_up(OWN, ms(4 * call + 1)));
    let lines = join_all(calls).await;
    for line in &lines {
        line.over().await;
    }
    // What comes later is handled later: then all of them have been announced.
    let last = installation.telephone().calls(OWN).await;
    last.hears(300).await;
    last.leave().await;
    let calls = eventually("all calls are over", async || {
        let calls = installation.api.calls().await;
        calls.iter().all(|call| call["state"] == "completed").then_some(calls)
    })
    .await;
    for call in calls {
        assert_eq!(call["outcome"]["reason"], "caller_hung_up", "{call:#}");
    }
    installation.finish().await;
}

pub(crate) async fn calls_that_cannot_be_taken_are_refused() {
    let installation = Plan::new(greeting()).calls_max(1).start().await;
    let refused = async |number: &str, status: u16| {
        let line = installation.telephone().calls(number).await;
        line.over().await;
        assert_eq!(line.status(), Some(status));
    };
    refused("1999", 404).await;
    assert_eq!(installation.api.calls().await.len(), 0);

    let line = installation.telephone().calls(OWN).await;
    line.hears(300).await;
    refused(OWN, 486).await;
    line.leave().await;
    assert_eq!(
        installation.api.closed_call().await["outcome"]["reason"],
        "caller_hung_up"
    );

    installation.without_agent().await;
    refused(OWN, 480).await;
    installation.finish().await;
}

pub(crate) async fn a_media_socket_that_cannot_be_opened_ends_the_call() {
    let nowhere = format!("ws://127.0.0.1:{}/", free_ports(1));
    let installation = Plan::new(greeting()).media_uri(&nowhere).start().await;
    let line = installation.telephone().calls(OWN).await;
    line.over().await;
    let record = installation.api.closed_call().await;
    assert_eq!(record["outcome"]["status"], "failed", "{record:#}");
    assert_eq!(record["outcome"]["reason"], "carrier_failed", "{record:#}");
    let detail = record["outcome"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("websocket_client.conf"), "{record:#}");
    installation.finish().await;
}
