//! One agent, unchanged, takes calls from every carrier that can be simulated, and calls people over each.

use serde_json::{Value, json};
use strowger_simulator::agent::{AgentDo, AgentScript, AgentWhen, Transfer};
use strowger_simulator::exchange::Callee;
use strowger_simulator::report::{CallStatus, HangUp};
use strowger_simulator::{CallerScript, Misbehaviour};

use crate::harness::{
    CALLEE, DEADLINE, Installation, Scenario, eventually, finished, frequency, in_order, ms, stream, tone,
};

/// Reserved for fiction, as the others are: somebody who is never at home, and a number that no agent has.
const OTHER: &str = "+12025550166";
const STRAY: &str = "+12025550177";

/// An agent that is interrupted, answers, and hangs up when a key is pressed. It knows no carrier.
fn agent() -> AgentScript {
    AgentScript::new()
        .on(
            AgentWhen::Start,
            [tone(440.0, 4_000).into(), AgentDo::Mark("greeting".to_owned())],
        )
        .once(AgentWhen::HeardWhileSpeaking(ms(200)), [AgentDo::Clear])
        .once(
            AgentWhen::Quiet(ms(400)),
            [tone(600.0, 800).into(), AgentDo::Mark("reply".to_owned())],
        )
        .on(AgentWhen::Dtmf('5'), [AgentDo::HangUp])
}

/// Lets the agent begin, speaks over it, hears its answer, and presses a key.
fn person() -> CallerScript {
    CallerScript::new()
        .wait_heard(ms(600), DEADLINE)
        .speak(tone(1_000.0, 1_000))
        .wait_quiet(ms(400), DEADLINE)
        .press('5')
        .stay()
}

async fn start(provider: &str) -> Installation {
    start_with(provider, agent()).await
}

async fn start_with(provider: &str, script: AgentScript) -> Installation {
    let installation = Scenario::native(16_000, script)
        .over(provider)
        .without_rate_limit()
        .start()
        .await;
    // A carrier that tells over a socket has nobody to tell before it is open.
    if provider == "ari" {
        installation
            .carrier
            .wait_for_event_sockets(DEADLINE, |sockets| !sockets.is_empty())
            .await
            .unwrap();
    }
    installation
}

/// The gateway ended the call: by request, or, where that is faster, by closing the media, which some carriers take as the
/// end of what they were told to do.
#[track_caller]
fn ended_by_gateway(report: &strowger_simulator::CallReport) {
    let by = report.hang_up;
    assert!(matches!(by, Some(HangUp::Rest | HangUp::Markup)), "{report:#?}");
}

/// What both directions have in common: the agent spoke, was interrupted, answered, heard a key and hung up.
async fn check(installation: &Installation, report: &strowger_simulator::CallReport, record: &Value, direction: &str) {
    let stream = stream(report);
    assert_eq!(stream.unreadable, Vec::<String>::new());
    assert_eq!(report.status, CallStatus::Completed, "{report:#?}");
    let agent = installation.heard_by_agent().await;
    assert!((frequency(&agent.audio, agent.rate_hz) - 1_000.0).abs() < 20.0);
    let heard = stream.heard();
    let quarter = stream.rate_hz as usize / 4;
    let greeting = heard.iter().position(|sample| sample.abs() > 500).unwrap();
    assert!((frequency(&heard[greeting..greeting + quarter], stream.rate_hz) - 440.0).abs() < 20.0);
    assert!((frequency(&last_words(&heard, stream.rate_hz), stream.rate_hz) - 600.0).abs() < 20.0);
    assert_eq!((agent.digits.as_str(), agent.clears.len()), ("5", 1));
    assert!(agent.marks.iter().any(|mark| mark.name == "reply"), "{:?}", agent.marks);
    // The interruption went through to the carrier.
    assert!(stream.heard_duration() < ms(3_500), "{:?}", stream.heard_duration());
    assert_eq!(agent.unreadable, Vec::<String>::new());

    assert_eq!(record["direction"], direction);
    assert_eq!(record["outcome"]["status"], "completed");
    assert_eq!(record["outcome"]["reason"], "agent_hung_up");
    assert_eq!(record["outcome"]["digits"], 1);
    assert_eq!(record["outcome"]["media"]["provider_faults"], 0);
    assert_eq!(record["outcome"]["media"]["malformed_messages"], 0);
    in_order(
        &installation.kinds(record).await,
        &[
            "media_connected",
            "media_started",
            "dtmf",
            "agent_hung_up",
            "hang_up_done",
        ],
    );
}

/// The last quarter of a second in which something was heard.
fn last_words(heard: &[i16], rate_hz: u32) -> Vec<i16> {
    let end = heard.iter().rposition(|sample| sample.abs() > 500).unwrap();
    heard[end.saturating_sub(rate_hz as usize / 4)..end].to_vec()
}

async fn takes_a_call(provider: &str) {
    let installation = start(provider).await;
    let call = installation.call_in(person());
    let report = finished(&call).await;
    ended_by_gateway(&report);
    let record = installation.closed_call().await;
    check(&installation, &report, &record, "inbound").await;
}

async fn places_a_call(provider: &str) {
    let installation = start(provider).await;
    installation.carrier.set_callee(CALLEE, Callee::answers(person()));
    let placed = installation
        .api
        .post("/telephony/initiate-call", installation.outbound())
        .await
        .ok();
    let call = installation.carrier.next_outbound(DEADLINE).await.unwrap();
    let report = finished(&call).await;
    ended_by_gateway(&report);
    let record = installation.closed_call().await;
    assert_eq!(record["id"], placed["call_id"]);
    check(&installation, &report, &record, "outbound").await;
}

/// Every way in which an outbound call ends unanswered.
async fn is_told_why_nobody_answers(provider: &str) {
    let installation = start(provider).await;
    for (callee, status) in [
        (Callee::Busy, "busy"),
        (Callee::NoAnswer { after: DEADLINE }, "no-answer"),
        (Callee::Unreachable, "failed"),
    ] {
        installation.carrier.set_callee(CALLEE, callee);
        let mut body = installation.outbound();
        body["ring_timeout_s"] = 5.into();
        let reply = installation.api.post("/telephony/initiate-call", body).await;
        let placed = reply.ok();
        let path = format!("/calls/{}", placed["call_id"].as_str().unwrap());
        let record = eventually("the call's record is closed", async || {
            let call = installation.api.get(&path).await.ok();
            (call["state"] == "completed").then_some(call)
        })
        .await;
        assert_eq!(record["outcome"]["status"], status, "{record:#}");
    }
}

/// A carrier repeats itself and confuses the order: there is one call, and it ends as it should.
async fn survives_a_carrier_that_repeats_itself(provider: &str) {
    let installation = start(provider).await;
    let misbehaviour = Misbehaviour {
        webhook_copies: 2,
        status_copies: 2,
        statuses_swapped: true,
        malformed_after: Some(5),
        duplicate_every: 7,
        ..Misbehaviour::default()
    };
    let call = installation.call_in_badly(person(), misbehaviour);
    let report = finished(&call).await;
    assert_eq!(report.status, CallStatus::Completed);
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "agent_hung_up");
    assert_eq!(installation.conversations(), 1);
}

/// The caller hangs up: the record says so.
async fn notices_that_the_caller_hangs_up(provider: &str) {
    let installation = start(provider).await;
    let call = installation.call_in(CallerScript::new().wait_heard(ms(300), DEADLINE));
    finished(&call).await;
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "caller_hung_up", "{record:#}");
    assert_eq!(record["outcome"]["status"], "completed");
}

/// The caller is connected with somebody else, and the end of that ends both legs; or the carrier cannot, and says so.
async fn transfers(provider: &str) {
    let script = AgentScript::new()
        .on(AgentWhen::Start, [tone(440.0, 600).into()])
        .on(AgentWhen::Dtmf('1'), [Transfer::to(CALLEE).into()])
        .on(AgentWhen::Dtmf('9'), [AgentDo::HangUp]);
    let installation = start_with(provider, script).await;
    installation.carrier.set_callee(
        CALLEE,
        Callee::answers(
            CallerScript::new()
                .wait_person(DEADLINE)
                .speak(tone(600.0, 600))
                .silence(ms(1_000)),
        ),
    );
    let metadata = installation
        .api
        .get("/organizations/telephony-providers/metadata")
        .await
        .ok();
    let shown = metadata["providers"].as_array().unwrap().iter();
    let shown = shown.clone().find(|shown| shown["provider"] == provider).unwrap();
    let able = shown["abilities"]
        .as_array()
        .unwrap()
        .iter()
        .any(|ability| ability == "transfer");
    let call = installation.call_in(if able {
        CallerScript::new()
            .wait_heard(ms(300), DEADLINE)
            .press('1')
            .wait_person(DEADLINE)
            .speak(tone(1_000.0, 600))
            .leave_after(DEADLINE)
            .stay()
    } else {
        CallerScript::new()
            .wait_heard(ms(300), DEADLINE)
            .press('1')
            .silence(ms(500))
            .press('9')
            .stay()
    });
    let agent = installation.conversation().await;
    if able {
        agent.wait_transfer(DEADLINE, "connected").await.unwrap();
        let leg = installation.carrier.next_outbound(DEADLINE).await.unwrap();
        let (caller, destination) = (finished(&call).await, finished(&leg).await);
        assert!(caller.met(&destination.call_id) && destination.met(&caller.call_id));
        for (report, hz) in [(&caller, 600.0), (&destination, 1_000.0)] {
            let room = report.rooms.last().unwrap();
            // At some carriers the caller has been in this room all the time, with the agent.
            let heard = last_words(&room.heard(), room.rate_hz);
            assert!((frequency(&heard, room.rate_hz) - hz).abs() < 20.0, "{report:#?}");
        }
        let record = installation.closed_call().await;
        assert_eq!(record["outcome"]["status"], "completed");
        assert_eq!(record["outcome"]["reason"], "transferred");
    } else {
        let failed = agent.wait_transfer(DEADLINE, "failed").await.unwrap();
        assert_eq!(failed.reason.as_deref(), Some("unsupported"));
        let live = installation.live_call().await;
        let path = format!("/calls/{}/transfer", live["id"].as_str().unwrap());
        let refused = installation.api.post(&path, json!({ "destination": CALLEE })).await;
        assert_eq!(refused.refused(400), "transfer_unsupported");
        finished(&call).await;
        assert_eq!(installation.closed_call().await["outcome"]["reason"], "agent_hung_up");
    }
}

/// A destination that is busy, and one that does not answer, leave the caller with the agent.
async fn returns_the_caller(provider: &str) {
    let script = AgentScript::new()
        .on(AgentWhen::Start, [tone(440.0, 600).into()])
        .on(AgentWhen::Dtmf('1'), [Transfer::to(CALLEE).into()])
        .on(AgentWhen::Dtmf('2'), [Transfer::to(OTHER).ring_timeout_s(5).into()])
        .on(AgentWhen::Dtmf('9'), [AgentDo::HangUp]);
    let installation = start_with(provider, script).await;
    installation.carrier.set_callee(CALLEE, Callee::Busy);
    installation
        .carrier
        .set_callee(OTHER, Callee::NoAnswer { after: DEADLINE });
    let call = installation.call_in(
        CallerScript::new()
            .wait_heard(ms(300), DEADLINE)
            .press('1')
            .silence(ms(2_500))
            .press('2')
            .silence(ms(9_000))
            .press('9')
            .stay(),
    );
    let agent = installation.heard_by_agent().await;
    let failed: Vec<&str> = agent
        .transfers
        .iter()
        .filter_map(|seen| seen.reason.as_deref())
        .collect();
    // The carrier's clock for ringing, and ours, come to an end at about the same time.
    assert!(
        failed == ["busy", "no_answer"] || failed == ["busy", "timeout"],
        "{:?}",
        agent.transfers
    );
    finished(&call).await;
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "agent_hung_up");
}

/// A call for a number that nobody has set up is refused in the carrier's own way, and does not ring on.
async fn refuses_a_call_for_nobody(provider: &str) {
    let installation = start(provider).await;
    // It is set up at the carrier as our number is.
    let own = installation.carrier.own_number();
    installation.carrier.with_ledger(|ledger| {
        let mut stray = ledger.number(own).unwrap().clone();
        stray.number = STRAY.to_owned();
        ledger.numbers.push(stray);
    });
    let call = installation.call_number(STRAY, CallerScript::new().stay(), Misbehaviour::default());
    let report = finished(&call).await;
    assert_ne!(report.hang_up, Some(HangUp::Person), "it rang on: {report:#?}");
    assert!(report.stream().is_none());
    assert!(installation.calls().await.is_empty());
}

macro_rules! carriers {
    ($($name:ident),*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn takes_a_call() {
                super::takes_a_call(stringify!($name)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn places_a_call() {
                super::places_a_call(stringify!($name)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn transfers() {
                super::transfers(stringify!($name)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn refuses_a_call_for_nobody() {
                super::refuses_a_call_for_nobody(stringify!($name)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn is_told_why_nobody_answers() {
                super::is_told_why_nobody_answers(stringify!($name)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn survives_a_carrier_that_repeats_itself() {
                super::survives_a_carrier_that_repeats_itself(stringify!($name)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn notices_that_the_caller_hangs_up() {
                super::notices_that_the_caller_hangs_up(stringify!($name)).await;
            }
        }
    )*

    #[test]
    fn these_are_all_carriers() {
        let simulated: Vec<&str> = strowger_simulator::carriers().iter().map(|carrier| carrier.name()).collect();
        assert_eq!(simulated, [$(stringify!($name)),*]);
    }
    };
}

carriers!(ari, cloudonix, plivo, telnyx, twilio, vobiz, vonage);

macro_rules! transferring {
    ($($name:ident),*) => {
        mod returns_the_caller {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::returns_the_caller(stringify!($name)).await;
            })*
        }
    };
}

transferring!(ari, cloudonix, plivo, telnyx, twilio);
