//! Whole calls as they should be: audio both ways, keys, marks, interruptions, and how they end.

use serde_json::Value;
use strowger_audio::{Encoding, SampleRate, WireFormat};
use strowger_simulator::agent::{AgentDo, AgentOptions, AgentProtocol, AgentReport, AgentScript, AgentWhen, Pace};
use strowger_simulator::report::{CallStatus, HangUp, StreamEnd};
use strowger_simulator::{CallReport, CallerScript};

use crate::harness::{
    DEADLINE, Installation, Scenario, finished, frequency, in_order, lag_of, ms, sounds, stream, tone,
};

/// An agent that is interrupted, answers, and hangs up when a key is pressed.
fn conversation() -> AgentScript {
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
fn interrupting() -> CallerScript {
    CallerScript::new()
        .wait_heard(ms(600), DEADLINE)
        .speak(tone(1_000.0, 1_000))
        .wait_quiet(ms(400), DEADLINE)
        .press('5')
        .stay()
}

struct Conversation {
    installation: Installation,
    report: CallReport,
    agent: AgentReport,
    record: Value,
}

async fn converse(options: AgentOptions, rate_hz: u32) -> Conversation {
    let scenario = match options.protocol {
        AgentProtocol::Strowger => Scenario::agent(options).rate(rate_hz),
        AgentProtocol::MediaStreams => Scenario::agent(options),
    };
    let installation = scenario.recorded().start().await;
    let call = installation.call_in(interrupting());
    let agent = installation.heard_by_agent().await;
    installation.hung_up_at_carrier(&call).await;
    let report = finished(&call).await;
    let record = installation.closed_call().await;
    Conversation {
        installation,
        report,
        agent,
        record,
    }
}

impl Conversation {
    /// What must be true whatever the agent speaks.
    async fn check(&self) {
        let Self {
            installation,
            report,
            agent,
            record,
        } = self;
        let stream = stream(report);
        assert_eq!(report.notes(), Vec::<&str>::new());
        assert_eq!(
            (report.hang_up, report.status),
            (Some(HangUp::Rest), CallStatus::Completed)
        );
        assert_eq!(stream.unreadable, Vec::<String>::new());
        // The socket is closed while the carrier is asked to hang up: either end may be the first.
        let closed = matches!(
            (stream.end, stream.close_code),
            (Some(StreamEnd::ClosedByGateway), Some(1_000)) | (Some(StreamEnd::ClosedByCarrier), _)
        );
        assert!(closed, "{:?} {:?}", stream.end, stream.close_code);

        // The caller's tone reached the agent, and the agent's first words the caller.
        assert!((frequency(&agent.audio, agent.rate_hz) - 1_000.0).abs() < 20.0);
        let heard = stream.heard();
        let greeting = heard.iter().position(|&sample| sample != 0).unwrap();
        assert!((frequency(&heard[greeting..greeting + 3_200], stream.rate_hz) - 440.0).abs() < 20.0);
        let reply = &heard[heard.iter().rposition(|&sample| sample != 0).unwrap() - 3_200..];
        assert!((frequency(reply, stream.rate_hz) - 600.0).abs() < 20.0);
        assert_eq!(agent.unreadable, Vec::<String>::new());
        assert_eq!(agent.digits, "5");
        assert!(agent.marks.iter().any(|mark| mark.name == "reply"), "{:?}", agent.marks);

        // The interruption went through to the carrier, and cut the greeting.
        assert_eq!((agent.clears.len(), stream.clears.len()), (1, 1));
        assert!(stream.heard_duration() < ms(3_500), "{:?}", stream.heard_duration());

        assert_eq!(record["direction"], "inbound");
        assert_eq!(record["outcome"]["status"], "completed");
        assert_eq!(record["outcome"]["reason"], "agent_hung_up");
        assert_eq!(record["outcome"]["carrier_status"], "completed");
        assert_eq!(record["outcome"]["digits"], 1);
        assert_eq!(record["outcome"]["barge_ins"], 1);
        assert_eq!(record["outcome"]["media"]["caller_frames_lost"], 0);
        assert!(record["outcome"]["carrier_duration_ms"].is_u64(), "{record}");
        assert_eq!(record["provider_call_id"], report.call_id);
        let kinds = installation.kinds(record).await;
        // The shape of media streams has no word for hanging up: its agents close.
        let left = if agent.protocol == AgentProtocol::Strowger {
            "agent_hung_up"
        } else {
            "agent_closed"
        };
        let order = [
            "media_connected",
            "agent_connected",
            "barged_in",
            "dtmf",
            left,
            "hang_up_done",
        ];
        in_order(&kinds, &order);
        in_order(&kinds, &["webhook_answered", "media_started", "status"]);
        // The carrier works prices out after the call: the first question may come too early, and is asked again.
        let exchange = installation.gateway.exchange();
        exchange
            .rate_calls(0, exchange.clock().unix_ms() + 61_000)
            .await
            .unwrap();
        let rated = installation.closed_call().await;
        assert_eq!(rated["cost"]["currency"], "USD", "{rated}");

        let (left, right) = installation.recording(record).await;
        // The end of the call is the gateway's: what the carrier said after it is not there.
        let spoken = stream.sent_samples.iter().rposition(|&sample| sample != 0).unwrap();
        lag_of(&left, &stream.sent_samples, spoken + 1);
        assert!(!sounds(&right).is_empty());

        let picture = installation
            .api
            .get(&format!("/calls/{}/timeline.svg", record["id"].as_str().unwrap()))
            .await;
        assert_eq!(picture.content_type, "image/svg+xml");
        well_formed(&picture.text());
    }

    /// How much of the greeting the carrier had played when it was cleared, in milliseconds.
    fn played_at_clear_ms(&self) -> u64 {
        let stream = stream(&self.report);
        let until = stream.sample_at(stream.clears[0].at);
        stream.playout.heard_samples(until) * 1_000 / u64::from(stream.rate_hz)
    }
}

/// The agent's channel has what the gateway encoded: this is what the carrier makes of it. Coders may round as they like, and
/// the recording is not to depend on how.
fn as_sent(right: &[i16]) -> Vec<i16> {
    let wire = WireFormat::new(Encoding::Pcmu, SampleRate::Hz8000);
    let (mut bytes, mut samples) = (Vec::new(), Vec::new());
    wire.encode(right, &mut bytes);
    assert_eq!(wire.decode(&bytes, &mut samples), 0);
    samples
}

fn well_formed(svg: &str) {
    let mut reader = quick_xml::Reader::from_str(svg);
    reader.config_mut().check_end_names = true;
    let (mut depth, mut root) = (0, None);
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error} in {svg}")) {
            quick_xml::events::Event::Start(element) => {
                root.get_or_insert_with(|| element.name().as_ref().to_owned());
                depth += 1;
            }
            quick_xml::events::Event::End(_) => depth -= 1,
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!((depth, root.as_deref()), (0, Some("svg")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_agent_at_16_khz_has_a_conversation() {
    let options = AgentOptions::new(AgentProtocol::Strowger, conversation()).pace(Pace::AtOnce { message: ms(100) });
    let conversation = converse(options, 16_000).await;
    conversation.check().await;
    assert_eq!(conversation.agent.rate_hz, 16_000);
    let [cleared] = conversation.agent.cleared.as_slice() else {
        panic!("{:?}", conversation.agent)
    };
    assert_eq!(cleared.marks, ["greeting"]);
    // The gateway knows what was heard only by its clock; the carrier knows.
    let (told, played) = (cleared.heard_ms.unwrap(), conversation.played_at_clear_ms());
    assert!(
        told.abs_diff(played) < 250,
        "the agent was told {told} ms, the caller heard {played} ms"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_agent_at_24_khz_has_a_conversation() {
    let conversation = converse(AgentOptions::new(AgentProtocol::Strowger, conversation()), 24_000).await;
    conversation.check().await;
    assert_eq!(conversation.agent.rate_hz, 24_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_media_streams_agent_has_a_conversation() {
    let options =
        AgentOptions::new(AgentProtocol::MediaStreams, conversation()).pace(Pace::AtOnce { message: ms(100) });
    let conversation = converse(options, 8_000).await;
    conversation.check().await;
    // The shape's way to tell that a mark will not be reached any more is to send it back.
    assert!(
        conversation.agent.marks.iter().any(|mark| mark.name == "greeting"),
        "{:?}",
        conversation.agent.marks
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_is_in_its_place_in_the_recording() {
    let script = AgentScript::new().on(AgentWhen::Start, [tone(700.0, 1_000).into()]);
    let installation = Scenario::native(16_000, script).recorded().start().await;
    let caller = CallerScript::new()
        .speak(tone(300.0, 500))
        .silence(ms(300))
        .speak(tone(900.0, 700))
        .silence(ms(500))
        .hang_up();
    let call = installation.call_in(caller);
    let report = finished(&call).await;
    let record = installation.closed_call().await;
    let stream = stream(&report);
    let (left, right) = installation.recording(&record).await;
    assert_eq!(left.len(), right.len());
    let left_lag = lag_of(&left, &stream.sent_samples, stream.sent_samples.len());

    // The same sounds, in order, that the caller heard; and where the carrier played them.
    let heard = stream.heard();
    assert_eq!(sounds(&as_sent(&right)), sounds(&heard));
    let first = |samples: &[i16]| samples.iter().position(|&sample| sample != 0).unwrap();
    let shift = first(&right).abs_diff(first(&heard) + left_lag);
    assert!(shift < 8 * 300, "the agent's channel is {} ms off", shift / 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_says_comes_back_from_an_echo() {
    let installation = Scenario::media_streams(AgentScript::echo()).start().await;
    let call = installation.call_in(CallerScript::new().speak(tone(800.0, 1_000)).silence(ms(600)).hang_up());
    let report = finished(&call).await;
    let stream = stream(&report);
    assert!((frequency(&stream.heard(), stream.rate_hz) - 800.0).abs() < 20.0);
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "caller_hung_up");
    assert_eq!(record["has_recording"], false);
    installation
        .api
        .get(&format!("/calls/{}/recording", record["id"].as_str().unwrap()))
        .await
        .refused(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_echo_needs_nobody() {
    let installation = Scenario::echo().start().await;
    let call = installation.call_in(CallerScript::new().speak(tone(800.0, 800)).silence(ms(600)).hang_up());
    let report = finished(&call).await;
    assert!((frequency(&stream(&report).heard(), 8_000) - 800.0).abs() < 20.0);
    assert_eq!(installation.closed_call().await["outcome"]["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_is_told_that_the_caller_hung_up() {
    let installation = Scenario::native(16_000, AgentScript::new()).start().await;
    let call = installation.call_in(CallerScript::new().speak(tone(800.0, 400)).hang_up());
    let agent = installation.heard_by_agent().await;
    assert_eq!(agent.stop.as_deref(), Some("caller_hung_up"), "{agent:?}");
    let report = finished(&call).await;
    assert_eq!(report.hang_up, Some(HangUp::Person));
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["status"], "completed");
    assert_eq!(record["outcome"]["reason"], "caller_hung_up");
    // The carrier had ended it: there was nothing to hang up.
    assert!(!installation.kinds(&record).await.contains(&"hang_up_done".to_owned()));
}
