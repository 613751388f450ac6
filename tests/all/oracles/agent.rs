//! An agent on somebody else's WebSocket library, which follows the documentation of Media Streams.

use serde_json::json;
use strowger_simulator::g711::decode_mulaw;
use strowger_simulator::{CallerScript, speech};

use super::witness::{Witness, bytes, text};
use crate::harness::{CALLER, DEADLINE, Scenario, finished, lag_of, ms, sounds, stream};

fn decoded(audio: &[u8]) -> Vec<i16> {
    audio.iter().map(|&code| decode_mulaw(code)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_on_another_library_follows_the_documentation_and_has_a_call() {
    let mut agent = Witness::start("agent.py", &[]);
    let port = agent.expect().await["port"].as_u64().unwrap();
    let url = format!("ws://127.0.0.1:{port}/bot");
    let parameters = json!({ "tenant": "a \"b\" ä", "limit": 3 });
    let configured = json!({ "protocol": "media-streams", "url": url, "parameters": parameters });
    let installation = Scenario::configured(configured).start().await;

    // Says something and listens to it; says it again, and presses a key when it begins to come back.
    let said = speech::caller().first(ms(2_000));
    let script = CallerScript::new()
        .speak(said.clone())
        .wait_heard(ms(1_500), DEADLINE)
        .wait_quiet(ms(400), DEADLINE)
        .speak(said)
        .wait_heard(ms(200), DEADLINE)
        .press('7')
        .stay();
    let call = installation.call_in(script);
    assert_eq!(agent.expect().await, json!({ "event": "start" }));
    assert_eq!(agent.expect().await, json!({ "event": "mark", "name": "echo-1" }));
    assert_eq!(agent.expect().await, json!({ "event": "mark", "name": "echo-2" }));
    // The agent's mark does not wait for the carrier.
    let cleared = call.wait_until(DEADLINE, |report| {
        report.stream().is_some_and(|stream| !stream.clears.is_empty())
    });
    cleared.await.expect("the carrier clears what it plays");
    call.hang_up();
    assert_eq!(agent.expect().await, json!({ "event": "stop" }));
    let seen = agent.expect().await;
    assert_eq!(agent.next().await, None);
    let report = finished(&call).await;
    let record = installation.closed_call().await;

    assert_eq!(seen["problems"], json!([]));
    assert_eq!(
        seen["events"],
        json!(["connected", "start", "mark", "dtmf", "mark", "stop"])
    );
    let told = &seen["start"]["customParameters"];
    assert_eq!(text(told, "call_id"), text(&record, "id"));
    assert_eq!(
        (text(told, "direction"), text(told, "from_number")),
        ("inbound", CALLER)
    );
    assert_eq!(text(told, "to_number"), installation.carrier.own_number());
    assert_eq!((text(told, "tenant"), text(told, "limit")), ("a \"b\" ä", "3"));
    assert_eq!(text(&seen, "digits"), "7");
    assert_eq!(seen["close_code"], 1000);

    // Every frame of the caller, in its place.
    let stream = stream(&report);
    lag_of(&decoded(&bytes(&seen, "audio")), &stream.sent_samples, 8_000 * 4);
    let echoes = seen["echoes"].as_array().unwrap();
    assert_eq!(echoes.len(), 2, "{echoes:#?}");
    // The first came back whole: heard sample by sample, and its mark not before.
    let echo = decoded(&bytes(&echoes[0], "audio"));
    let heard = sounds(&stream.heard());
    let echoed = sounds(&echo);
    assert!(
        heard.starts_with(&echoed),
        "{} of {} samples are heard",
        heard.len(),
        echoed.len()
    );
    assert!(
        echoes[0]["returned_after_ms"].as_u64() >= echoes[0]["duration_ms"].as_u64().map(|ms| ms - 100),
        "{seen:#}"
    );
    assert_eq!(text(&echoes[0], "digits_before"), "");
    // The second was cut off by the key: its mark comes back early, and the rest is never heard.
    assert_eq!(text(&echoes[1], "digits_before"), "7");
    assert_eq!(stream.clears.len(), 1, "{:?}", stream.clears);
    assert_eq!(stream.unreadable, Vec::<String>::new());
    let both = echoed.len() + sounds(&decoded(&bytes(&echoes[1], "audio"))).len();
    assert!(
        heard.len() > echoed.len() && heard.len() < both,
        "{} of {both} samples are heard",
        heard.len()
    );
    assert_eq!(text(&record["outcome"], "status"), "completed");
}
