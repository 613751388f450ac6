//! Media sockets of a carrier that makes mistakes, and sockets that are not the carrier's.

use std::ops::Range;

use serde_json::Value;
use strowger_simulator::agent::AgentScript;
use strowger_simulator::report::{CallEvent, HangUp, StreamEnd};
use strowger_simulator::{CallReport, CallerScript, Misbehaviour, Speech, StreamReport};
use tokio_tungstenite::tungstenite;

use crate::harness::{
    DEADLINE, Installation, Scenario, eventually, finished, frequency, lag_of, ms, quantised, stream, tone,
};

/// Says something twice, with a pause, and hangs up. No two frames of the first are alike.
fn caller() -> CallerScript {
    CallerScript::new()
        .speak(noise(800))
        .silence(ms(200))
        .speak(tone(700.0, 800))
        .silence(ms(220))
        .hang_up()
}

/// The same noise every time.
fn noise(ms: usize) -> Speech {
    let mut state = 1_u32;
    let samples: Vec<i16> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i16::try_from(state >> 18).unwrap() - 8_192
    })
    .take(8 * ms)
    .collect();
    Speech::from_samples(8_000, samples)
}

async fn called(misbehaviour: Misbehaviour) -> (Installation, CallReport, Value) {
    let installation = Scenario::native(16_000, AgentScript::new()).recorded().start().await;
    let call = installation.call_in_badly(caller(), misbehaviour);
    let report = finished(&call).await;
    let record = installation.closed_call().await;
    assert_eq!(installation.gateway.exchange().live_calls(), 0);
    (installation, report, record)
}

/// The call went through as if nothing had been.
async fn unharmed(misbehaviour: Misbehaviour) -> (Installation, CallReport, Value) {
    let (installation, report, record) = called(misbehaviour).await;
    assert_eq!(report.hang_up, Some(HangUp::Person), "{report:#?}");
    assert_eq!(record["outcome"]["reason"], "caller_hung_up", "{record}");
    let agent = installation.heard_by_agent().await;
    assert_eq!(agent.unreadable, Vec::<String>::new());
    let second = agent.audio.len() / 2..;
    assert!((frequency(&agent.audio[second], agent.rate_hz) - 700.0).abs() < 30.0);
    (installation, report, record)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_not_json_is_counted_and_passed_over() {
    let (installation, report, record) = unharmed(Misbehaviour {
        malformed_after: Some(20),
        ..Misbehaviour::default()
    })
    .await;
    assert_eq!(record["outcome"]["media"]["malformed_messages"], 1, "{record}");
    let sent = &stream(&report).sent_samples;
    lag_of(&installation.recording(&record).await.0, sent, sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_that_is_not_base64_is_counted_and_passed_over() {
    let (_, _, record) = unharmed(Misbehaviour {
        bad_payload_after: Some(20),
        ..Misbehaviour::default()
    })
    .await;
    // By its number it was a frame: its time is kept, its sound is made up.
    let media = &record["outcome"]["media"];
    assert_eq!(
        (&media["malformed_messages"], &media["caller_frames_lost"]),
        (&1.into(), &1.into()),
        "{record}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_before_the_start_is_not_heard() {
    let (_, _, record) = unharmed(Misbehaviour {
        media_before_start: 3,
        ..Misbehaviour::default()
    })
    .await;
    let media = &record["outcome"]["media"];
    let refused = media["audio_before_start"].as_u64().unwrap() + media["malformed_messages"].as_u64().unwrap();
    assert_eq!(refused, 3, "{record}");
}

/// Every frame that arrived is where it was said, whatever happened to its neighbours: the recording's lag never changes.
#[track_caller]
fn in_place(left: &[i16], stream: &StreamReport) {
    let sent = quantised(&stream.sent_samples);
    let mut arrived = Vec::new();
    for (at, frame) in stream.sent.iter().enumerate().filter(|(_, frame)| frame.sent) {
        let first = usize::try_from(frame.first_sample).unwrap();
        let end = first + usize::try_from(frame.samples).unwrap();
        // The sound that stands in for a lost frame fades into the next one, which is whole again at its end.
        let after_loss = at > 0 && !stream.sent[at - 1].sent;
        arrived.push(if after_loss { end - 40..end } else { first..end });
    }
    let fits =
        |place: &Range<usize>, lag: usize| left.get(place.start + lag..place.end + lag) == Some(&sent[place.clone()]);
    let in_place = |lag: usize| arrived.iter().filter(|place| fits(place, lag)).count();
    let lag = (0..4_000).max_by_key(|&lag| in_place(lag)).unwrap();
    let wrong: Vec<usize> = arrived
        .iter()
        .filter(|place| !fits(place, lag))
        .map(|place| place.start / 160)
        .collect();
    assert_eq!(
        wrong,
        Vec::<usize>::new(),
        "frames that are not in place, of {}, with a lag of {lag}",
        stream.sent.len()
    );
}

async fn still_aligned(misbehaviour: Misbehaviour) -> Value {
    let (installation, report, record) = unharmed(misbehaviour).await;
    let (left, _) = installation.recording(&record).await;
    in_place(&left, stream(&report));
    record["outcome"]["media"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_out_of_order_are_put_in_order() {
    let media = still_aligned(Misbehaviour {
        reorder_every: 5,
        ..Misbehaviour::default()
    })
    .await;
    assert!(media["caller_frames_reordered"].as_u64().unwrap() >= 10, "{media}");
    assert_eq!(media["caller_frames_lost"], 0, "{media}");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_come_twice_are_heard_once() {
    let media = still_aligned(Misbehaviour {
        duplicate_every: 10,
        ..Misbehaviour::default()
    })
    .await;
    assert!(media["caller_frames_repeated"].as_u64().unwrap() >= 5, "{media}");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_lost_leave_their_time() {
    let media = still_aligned(Misbehaviour {
        lose_every: 10,
        ..Misbehaviour::default()
    })
    .await;
    assert!(media["caller_frames_lost"].as_u64().unwrap() >= 5, "{media}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_dropped_ends_the_call() {
    let (installation, report, record) = called(Misbehaviour {
        no_stop: true,
        ..Misbehaviour::default()
    })
    .await;
    assert_eq!(stream(&report).end, Some(StreamEnd::DroppedByCarrier));
    // The agent hears of it, the recording has what there was, and the record says what is known: the media broke, or that
    // the carrier says that the call was completed.
    installation.heard_by_agent().await;
    let sent = &stream(&report).sent_samples;
    lag_of(&installation.recording(&record).await.0, sent, sent.len());
    let reason = record["outcome"]["reason"].as_str().unwrap();
    assert!(matches!(reason, "media_lost" | "caller_hung_up"), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_falls_silent_is_given_up() {
    let (_, report, record) = called(Misbehaviour {
        half_open_after: Some(50),
        ..Misbehaviour::default()
    })
    .await;
    assert_eq!(report.hang_up, Some(HangUp::Rest), "{report:#?}");
    assert_eq!(record["outcome"]["status"], "failed", "{record}");
    assert_eq!(record["outcome"]["reason"], "media_lost", "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_socket_is_refused_and_the_first_goes_on() {
    let installation = Scenario::native(16_000, AgentScript::new()).start().await;
    let call = installation.call_in_badly(
        CallerScript::new().speak(tone(300.0, 1_000)).stay(),
        Misbehaviour {
            second_socket: true,
            ..Misbehaviour::default()
        },
    );
    let tried = |report: &CallReport| {
        report.events.iter().find_map(|timed| match &timed.event {
            CallEvent::SecondSocket { accepted, detail } => Some((*accepted, detail.clone())),
            _ => None,
        })
    };
    call.wait_until(DEADLINE, |report| tried(report).is_some())
        .await
        .unwrap();
    let (accepted, detail) = tried(&call.report()).unwrap();
    assert!(!accepted && detail.contains("409"), "{detail}");
    let agent = installation.conversation().await;
    agent
        .wait_until(DEADLINE, |agent| agent.heard_duration() > ms(1_000))
        .await
        .unwrap();
    call.hang_up();
    assert_eq!(finished(&call).await.hang_up, Some(HangUp::Person));
    assert_eq!(installation.closed_call().await["outcome"]["reason"], "caller_hung_up");
    assert_eq!(installation.conversations(), 1);
}

async fn dialled(url: &str) -> u16 {
    match tokio_tungstenite::connect_async(url).await {
        Ok(_) => 101,
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_gave_out_opens_nothing() {
    let installation = Scenario::echo().start().await;
    let base = format!("ws://{}/api/v1/telephony/ws", installation.gateway.address());
    for token in [
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "x",
        "%00",
        &"a".repeat(4_000),
    ] {
        assert_eq!(dialled(&format!("{base}/{token}")).await, 403, "{token}");
        assert_eq!(dialled(&format!("{base}?token={token}")).await, 403, "{token}");
    }
    assert_eq!(dialled(&base).await, 400);
    // Without an upgrade it is no socket.
    let reply = installation.api.get("/telephony/ws/AAAA").await;
    assert!((400..500).contains(&reply.status), "{}", reply.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_works_once() {
    let installation = Scenario::native(16_000, AgentScript::new()).start().await;
    let call = installation.call_in(CallerScript::new().speak(tone(300.0, 200)).stay());
    call.wait_until(DEADLINE, |report| !report.streams.is_empty())
        .await
        .unwrap();
    let url = call.report().streams[0].url.clone();
    assert_eq!(dialled(&url).await, 409);
    call.hang_up();
    finished(&call).await;
    installation.closed_call().await;
    eventually("the session is gone", async || {
        (installation.gateway.exchange().live_calls() == 0).then_some(())
    })
    .await;
    let after = dialled(&url).await;
    assert!(matches!(after, 403 | 409), "{after}");
}
