//! The simulator against a gateway of a few lines, so that its own manners are known before it judges another's.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

mod desk;
mod switchboard;
mod transfers;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use strowger_simulator::{
    Agent, AgentDo, AgentMisbehaviour, AgentOptions, AgentProtocol, AgentScript, AgentWhen, Callee, CallerScript,
    Misbehaviour, Options, RunningCarrier, Signing,
    agent::AgentEnd,
    load::{self, LoadAgent, LoadPlan, WebhookPlan},
    report::{CallEvent, CallStatus, HangUp, StreamEnd},
    speech,
};
use tokio_tungstenite::{connect_async, tungstenite};

use desk::{Desk, Media, audio, call, exchange, rest, short_tone};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_inbound_call_from_ring_to_callback() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    carrier.set_status_callback(carrier.own_number(), &format!("http://{}/status", desk.address));
    let script = CallerScript::new()
        .speak(short_tone())
        .press('5')
        .silence(Duration::from_millis(100))
        .hang_up();
    let handle = carrier.place_inbound(call(&carrier, script)).unwrap();
    let report = handle.finished(SOON).await.unwrap();

    assert_eq!(
        (report.status, report.hang_up),
        (CallStatus::Completed, Some(HangUp::Person))
    );
    assert!(report.notes().is_empty(), "{:?}", report.notes());
    let stream = report.stream().unwrap();
    assert_eq!(stream.end, Some(StreamEnd::ClosedByCarrier));
    assert_eq!(stream.parameters, [("a".to_owned(), "b".to_owned())]);
    assert_eq!((stream.digits_sent.as_str(), stream.unreadable.len()), ("5", 0));
    assert_eq!(stream.sent.len(), 20);
    // What was said came back, sample for sample apart from companding, and later by the echo's way.
    let (said, heard) = (speech::energy(&stream.sent_samples), speech::energy(&stream.heard()));
    assert!(heard > said * 0.8, "said {said}, heard {heard}");

    let events = desk.events.lock().unwrap();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["connected", "start", "dtmf", "stop"]);
    assert_eq!(events[1]["start"]["callSid"], report.call_id.as_str());
    assert_eq!(events[1]["start"]["customParameters"]["a"], "b");
    let kinds: Vec<&str> = report.webhooks.iter().map(|webhook| webhook.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "incoming",
            "stream stream-started",
            "stream stream-stopped",
            "status Completed"
        ]
    );
    let last = desk.webhooks.lock().unwrap().len() - 1;
    assert_eq!(desk.parameter(last, "CallStatus"), "completed");
    assert_eq!(desk.parameter(last, "CallDuration"), "1");
    assert!(
        report
            .webhooks
            .iter()
            .all(|webhook| webhook.status.is_some_and(|status| status < 300))
    );
}

#[tokio::test]
async fn marks_come_back_when_audio_was_played_and_at_once_after_a_clear() {
    let played = vec![audio(1600), json!({ "event": "mark", "mark": { "name": "played" } })];
    let (desk, carrier) = exchange(Media::Send(played), None, Options::default()).await;
    let script = CallerScript::new().silence(Duration::from_millis(400)).hang_up();
    let report = carrier
        .place_inbound(call(&carrier, script))
        .unwrap()
        .finished(SOON)
        .await
        .unwrap();
    let stream = report.stream().unwrap();
    let mark = &stream.marks[0];
    let played_for = mark.echoed_at.unwrap() - stream.received[0].at;
    assert!(
        !mark.cleared && played_for >= Duration::from_millis(199),
        "came back after {played_for:?}"
    );
    assert!(
        desk.events
            .lock()
            .unwrap()
            .iter()
            .any(|event| event["mark"]["name"] == "played")
    );

    let (_desk, carrier) = exchange(Media::Interrupt, None, Options::default()).await;
    let script = CallerScript::new()
        .wait_heard(Duration::from_millis(100), SOON)
        .wait_quiet(Duration::from_millis(100), SOON)
        .hang_up();
    let report = carrier
        .place_inbound(call(&carrier, script))
        .unwrap()
        .finished(SOON)
        .await
        .unwrap();
    let stream = report.stream().unwrap();
    assert!(stream.marks[0].cleared);
    assert_eq!(stream.clears[0].marks, ["end"]);
    assert!(stream.clears[0].dropped_ms > 300.0, "{:?}", stream.clears);
    assert!(
        stream.heard_duration() < Duration::from_millis(700),
        "{:?}",
        stream.heard_duration()
    );
}

#[tokio::test]
async fn the_document_goes_on_after_the_stream_and_callers_lose_patience() {
    let document = |address: &str| {
        format!(r#"<Response><Connect><Stream url="ws://{address}/media"/></Connect><Pause length="40"/></Response>"#)
    };
    // The document needs the gateway's port: ask for it first.
    let (desk, _) = exchange(Media::Close, None, Options::default()).await;
    let (_, carrier) = exchange(
        Media::Close,
        Some(&document(&desk.address.to_string())),
        Options::default(),
    )
    .await;
    let script = CallerScript::new().stay().patience(Duration::from_millis(50));
    let report = carrier
        .place_inbound(call(&carrier, script))
        .unwrap()
        .finished(SOON)
        .await
        .unwrap();
    assert_eq!(report.stream().unwrap().end, Some(StreamEnd::ClosedByGateway));
    assert!(report.happened(&CallEvent::Instruction("pause 40s".to_owned())));
    assert_eq!(report.hang_up, Some(HangUp::Person));

    let (_, carrier) = exchange(
        Media::Close,
        Some(r#"<Response><Reject reason="busy"/></Response>"#),
        Options::default(),
    )
    .await;
    let report = carrier
        .place_inbound(call(&carrier, CallerScript::new()))
        .unwrap()
        .finished(SOON)
        .await
        .unwrap();
    assert_eq!((report.status, report.answered_at), (CallStatus::Busy, None));
}

fn call_form(carrier: &RunningCarrier, desk: &Desk, to: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("To", to)
        .append_pair("From", carrier.own_number())
        .append_pair("Url", &format!("http://{}/answer?x=1", desk.address))
        .append_pair("StatusCallback", &format!("http://{}/status", desk.address))
        .extend_pairs(["initiated", "ringing", "answered", "completed"].map(|event| ("StatusCallbackEvent", event)))
        .finish()
}

#[tokio::test]
async fn an_outbound_call_is_told_in_order_and_ended_once() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    let (status, created) = rest(
        &carrier,
        reqwest::Method::POST,
        "/Calls.json",
        &call_form(&carrier, &desk, "+14155550101"),
    )
    .await;
    assert_eq!((status, created["status"].as_str()), (201, Some("queued")));
    let handle = carrier.next_outbound(SOON).await.unwrap();
    assert_eq!(handle.id(), created["sid"].as_str().unwrap());
    handle
        .wait_until(SOON, |call| {
            call.stream().is_some_and(|stream| stream.received.len() > 3)
        })
        .await
        .unwrap();

    let path = format!("/Calls/{}.json", handle.id());
    let (status, ended) = rest(&carrier, reqwest::Method::POST, &path, "Status=completed").await;
    assert_eq!((status, ended["status"].as_str()), (200, Some("completed")));
    let report = handle.finished(SOON).await.unwrap();
    assert_eq!(
        (report.status, report.hang_up),
        (CallStatus::Completed, Some(HangUp::Rest))
    );
    let told: Vec<&str> = report
        .webhooks
        .iter()
        .filter_map(|webhook| webhook.kind.strip_prefix("status "))
        .collect();
    assert_eq!(told, ["Initiated", "Ringing", "InProgress", "Completed"]);
    assert_eq!(
        rest(&carrier, reqwest::Method::POST, &path, "Status=completed").await.1["code"],
        20404
    );
    assert_eq!(
        rest(&carrier, reqwest::Method::GET, &path, "").await.1["price"],
        Value::Null
    );
    assert_eq!(
        rest(&carrier, reqwest::Method::GET, &path, "").await.1["price"],
        "-0.01400"
    );
    assert_eq!(carrier.rest_log().len(), 5);
}

#[tokio::test]
async fn people_who_are_called_can_be_busy_or_away() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    for (number, callee, status) in [
        ("+14155550102", Callee::Busy, CallStatus::Busy),
        (
            "+14155550103",
            Callee::NoAnswer {
                after: Duration::from_millis(20),
            },
            CallStatus::NoAnswer,
        ),
        ("+14155550104", Callee::Unreachable, CallStatus::Failed),
    ] {
        carrier.set_callee(number, callee);
        rest(
            &carrier,
            reqwest::Method::POST,
            "/Calls.json",
            &call_form(&carrier, &desk, number),
        )
        .await;
        let report = carrier.next_outbound(SOON).await.unwrap().finished(SOON).await.unwrap();
        assert_eq!((report.status, report.answered_at), (status, None));
        assert_eq!(report.webhooks.last().unwrap().kind, format!("status {status:?}"));
    }
}

#[tokio::test]
async fn a_call_can_be_sent_elsewhere_while_it_streams() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    let handle = carrier
        .place_inbound(call(&carrier, CallerScript::new().stay()))
        .unwrap();
    handle
        .wait_until(SOON, |call| {
            call.stream().is_some_and(|stream| !stream.received.is_empty())
        })
        .await
        .unwrap();
    let conference = "<Response><Dial><Conference endConferenceOnExit=\"true\">room</Conference></Dial></Response>";
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("Twiml", conference)
        .finish();
    let (status, _) = rest(
        &carrier,
        reqwest::Method::POST,
        &format!("/Calls/{}.json", handle.id()),
        &form,
    )
    .await;
    assert_eq!(status, 200);
    handle
        .wait_until(SOON, |call| {
            call.happened(&CallEvent::ConferenceJoined("room".to_owned()))
        })
        .await
        .unwrap();
    assert_eq!(
        handle.look(|call| call.stream().unwrap().end),
        Some(StreamEnd::ClosedByCarrier)
    );
    handle.hang_up();
    assert_eq!(handle.finished(SOON).await.unwrap().hang_up, Some(HangUp::Person));
    assert_eq!(desk.events.lock().unwrap().last().unwrap()["event"], "stop");
}

#[tokio::test]
async fn webhooks_are_tried_again_with_the_same_token() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    // A port that nobody listens on any more.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    carrier.set_voice_url(carrier.own_number(), &format!("http://{closed}/in"));
    let report = carrier
        .place_inbound(call(&carrier, CallerScript::new()))
        .unwrap()
        .finished(SOON)
        .await
        .unwrap();
    assert_eq!(
        (report.status, report.hang_up),
        (CallStatus::Failed, Some(HangUp::Fault))
    );
    assert_eq!(
        report
            .webhooks
            .iter()
            .map(|webhook| webhook.attempt)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(report.webhooks[0].token, report.webhooks[1].token);

    // Errors of the server are final unless the address says otherwise.
    for (fragment, attempts) in [("", 1), ("#rc=2&rp=5xx", 3)] {
        carrier.set_voice_url(
            carrier.own_number(),
            &format!("http://{}/broken{fragment}", desk.address),
        );
        let report = carrier
            .place_inbound(call(&carrier, CallerScript::new()))
            .unwrap()
            .finished(SOON)
            .await
            .unwrap();
        assert_eq!(report.webhooks.len(), attempts);
    }
}

#[tokio::test]
async fn misbehaviour_reaches_the_wire() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    let misbehaviour = Misbehaviour {
        webhook_copies: 2,
        signing: Signing::Missing,
        padding_bytes: 10_000_000,
        invalid_utf8: true,
        malformed_after: Some(3),
        second_socket: true,
        lose_every: 10,
        slow_webhook: Duration::from_millis(20),
        ..Misbehaviour::default()
    };
    let script = CallerScript::new().silence(Duration::from_millis(600)).hang_up();
    let handle = carrier
        .place_inbound(call(&carrier, script).misbehaving(misbehaviour))
        .unwrap();
    let report = handle.finished(SOON).await.unwrap();
    let incoming: Vec<_> = report
        .webhooks
        .iter()
        .filter(|webhook| webhook.kind == "incoming")
        .collect();
    assert_eq!(incoming.len(), 3);
    assert!(
        incoming
            .iter()
            .all(|webhook| webhook.token == incoming[0].token && webhook.latency >= Duration::from_millis(20))
    );
    {
        let webhooks = desk.webhooks.lock().unwrap();
        assert!(
            webhooks
                .iter()
                .all(|(_, headers, _)| !headers.contains_key("x-twilio-signature"))
        );
        assert_eq!(
            webhooks
                .iter()
                .filter(|(path, ..)| path == "/api/v1/telephony/inbound/run")
                .count(),
            3
        );
    }
    assert!(desk.events.lock().unwrap().contains(&json!("malformed")));
    let refused = report
        .events
        .iter()
        .any(|timed| matches!(timed.event, CallEvent::SecondSocket { accepted: false, .. }));
    assert!(refused, "{:?}", report.events);
    let stream = report.stream().unwrap();
    let lost = stream.sent.iter().filter(|frame| !frame.sent).count();
    assert_eq!(lost, stream.sent.len() / 10);
    // What is lost does not come back; the last echoes may be late for the end of the call.
    assert!(stream.received.len() + lost <= stream.sent.len());
    assert!(stream.received.len() >= stream.sent.len() / 2);
}

#[tokio::test]
async fn a_half_open_socket_stays_until_the_call_is_ended() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    let misbehaviour = Misbehaviour {
        half_open_after: Some(5),
        ..Misbehaviour::default()
    };
    let handle = carrier
        .place_inbound(call(&carrier, CallerScript::new().stay()).misbehaving(misbehaviour))
        .unwrap();
    handle.wait_until(SOON, |call| !call.notes().is_empty()).await.unwrap();
    handle.hang_up();
    let report = handle.finished(SOON).await.unwrap();
    assert_eq!(report.stream().unwrap().end, Some(StreamEnd::DroppedByCarrier));
    assert!(desk.events.lock().unwrap().iter().all(|event| event["event"] != "stop"));
}

#[tokio::test]
async fn a_rest_api_that_fails_says_so_in_the_carriers_own_words() {
    let options = Options {
        misbehaviour: Misbehaviour::named("rest-429").unwrap(),
        ..Options::default()
    };
    let (_, carrier) = exchange(Media::Echo, None, options).await;
    let (status, body) = rest(&carrier, reqwest::Method::GET, "/IncomingPhoneNumbers.json", "").await;
    assert_eq!((status, body["code"].as_u64()), (429, Some(20429)));
}

#[tokio::test]
async fn a_caller_interrupts_an_agent() {
    let script = AgentScript::new()
        .on(
            AgentWhen::Start,
            [speech::agent().into(), AgentDo::Mark("end".to_owned())],
        )
        .on(
            AgentWhen::HeardWhileSpeaking(Duration::from_millis(100)),
            [AgentDo::Clear],
        )
        .on(AgentWhen::Dtmf('5'), [AgentDo::HangUp]);
    let agent = Agent::start(AgentOptions::new(AgentProtocol::MediaStreams, script))
        .await
        .unwrap();
    let (_, carrier) = exchange(Media::Bridge(agent.url()), None, Options::default()).await;
    let caller = CallerScript::new()
        .wait_heard(Duration::from_millis(500), SOON)
        .speak(short_tone())
        .press('5')
        .stay();
    let handle = carrier.place_inbound(call(&carrier, caller)).unwrap();
    let report = handle.finished(SOON).await.unwrap();
    let session = agent.next_session(SOON).await.unwrap().finished(SOON).await.unwrap();

    assert_eq!(session.end, Some(AgentEnd::ClosedByAgent));
    assert_eq!((session.digits.as_str(), session.clears.len()), ("5", 1));
    assert!(session.unreadable.is_empty(), "{:?}", session.unreadable);
    let stream = report.stream().unwrap();
    assert_eq!((stream.clears.len(), stream.end), (1, Some(StreamEnd::ClosedByGateway)));
    // It was told to be quiet while it was speaking, and was.
    assert!(
        session.spoken_duration() < Duration::from_millis(2000),
        "{:?}",
        session.spoken_duration()
    );
    assert!(stream.heard_duration() >= Duration::from_millis(500));
}

/// The gateway's side of the native protocol.
async fn call_agent(
    agent: &Agent,
) -> tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>> {
    use tungstenite::client::IntoClientRequest;
    let mut request = agent.url().into_client_request().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", "strowger.v1".parse().unwrap());
    let (mut socket, response) = connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "strowger.v1");
    let start = json!({
        "type": "start", "call_id": "c1", "direction": "inbound", "caller": "+1", "callee": "+2",
        "audio": { "encoding": "pcm_s16le", "sample_rate_hz": 16000, "channels": 1, "frame_ms": 20 },
        "capabilities": ["clear", "mark", "dtmf"], "parameters": {},
    });
    socket
        .send(tungstenite::Message::text(start.to_string()))
        .await
        .unwrap();
    socket
}

#[tokio::test]
async fn an_agent_follows_its_script_in_the_native_protocol() {
    let script = AgentScript::new()
        .on(
            AgentWhen::Start,
            [short_tone().into(), AgentDo::Mark("hello".to_owned())],
        )
        .on(
            AgentWhen::Mark("hello".to_owned()),
            [AgentDo::SendDtmf("42".to_owned()), AgentDo::HangUp],
        );
    let agent = Agent::start(AgentOptions::new(AgentProtocol::Strowger, script))
        .await
        .unwrap();
    let mut socket = call_agent(&agent).await;
    let mut samples = 0;
    let mut controls = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            tungstenite::Message::Binary(bytes) => samples += bytes.len() / 2,
            tungstenite::Message::Text(text) => {
                let control: Value = serde_json::from_str(&text).unwrap();
                controls.push(control["type"].as_str().unwrap().to_owned());
                match control["type"].as_str().unwrap() {
                    "mark" => {
                        let reached = json!({ "type": "mark", "name": control["name"], "heard_ms": 300 });
                        socket
                            .send(tungstenite::Message::text(reached.to_string()))
                            .await
                            .unwrap();
                    }
                    "hang_up" => {
                        let stop = json!({ "type": "stop", "reason": "agent hung up" });
                        socket.send(tungstenite::Message::text(stop.to_string())).await.unwrap();
                        socket.close(None).await.unwrap();
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    assert_eq!(samples, 4800, "300 ms at 16 kHz");
    assert_eq!(controls, ["mark", "send_dtmf", "hang_up"]);
    let report = agent.sessions()[0].finished(SOON).await.unwrap();
    assert_eq!(report.marks[0].heard_ms, Some(300));
    assert_eq!(
        (report.rate_hz, report.stop.as_deref()),
        (16_000, Some("agent hung up"))
    );
}

#[tokio::test]
async fn agents_misbehave_on_demand() {
    let refusing = AgentMisbehaviour {
        refuse: Some(503),
        ..AgentMisbehaviour::default()
    };
    let options = AgentOptions::new(AgentProtocol::MediaStreams, AgentScript::echo());
    let agent = Agent::start(options.clone().misbehaving(refusing)).await.unwrap();
    assert!(connect_async(agent.url()).await.is_err());
    assert_eq!(
        agent
            .next_session(SOON)
            .await
            .unwrap()
            .finished(SOON)
            .await
            .unwrap()
            .end,
        Some(AgentEnd::Refused)
    );

    let faults = AgentMisbehaviour {
        burst: Some(Duration::from_secs(10)),
        garbage_after: Some(Duration::from_millis(10)),
        drop_after: Some(Duration::from_millis(1500)),
        ..AgentMisbehaviour::default()
    };
    let agent = Agent::start(AgentOptions::new(AgentProtocol::Strowger, AgentScript::new()).misbehaving(faults))
        .await
        .unwrap();
    let mut socket = call_agent(&agent).await;
    let mut samples = 0;
    let mut texts = 0;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            tungstenite::Message::Binary(bytes) if bytes.len() == 640 => samples += bytes.len() / 2,
            tungstenite::Message::Text(_) => texts += 1,
            _ => {}
        }
    }
    assert_eq!((samples, texts), (160_000, 4));
    assert_eq!(
        agent.sessions()[0].finished(SOON).await.unwrap().end,
        Some(AgentEnd::DroppedByAgent)
    );
}

#[tokio::test]
async fn load_is_measured_at_both_ends() {
    let agent = LoadAgent::start(AgentProtocol::MediaStreams, ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let (_, carrier) = exchange(Media::Bridge(agent.url()), None, Options::default()).await;
    let plan = LoadPlan {
        calls: 1,
        duration: Duration::from_secs(2),
        ramp: Duration::ZERO,
        to: None,
    };
    let report = load::run(&carrier, &agent, &plan).await.unwrap();
    assert_eq!((report.completed, report.without_agent), (1, 0), "{}", report.table());
    assert!(
        report.carrier_to_agent.count >= 8 && report.agent_to_carrier.count >= 8,
        "{}",
        report.table()
    );
    // Nothing is in between but a copy, whatever the machine is doing besides.
    assert!(
        report.carrier_to_agent.p50_ms < 20.0 && report.agent_to_carrier.p50_ms < 20.0,
        "{}",
        report.table()
    );
    assert_eq!((report.tones_lost_to_agent, report.tones_lost_to_carrier), (0, 0));

    let plan = WebhookPlan {
        at_once: 4,
        duration: Duration::from_millis(200),
        signing: Signing::Right,
        same_call: false,
        to: None,
    };
    let report = load::webhooks(&carrier, &plan).await.unwrap();
    assert_eq!(report.statuses.keys().collect::<Vec<_>>(), ["200"]);
    assert!(report.requests > 10, "{}", report.table());
}
