//! A person at a web browser: `providers/browser` with a WebSocket client that plays the page.
//!
//! No carrier is behind it that could be simulated, so what the matrix asks of carriers' proofs is asked here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use strowger_simulator::agent::{AgentDo, AgentScript, AgentWhen};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::harness::{Api, CALLEE, DEADLINE, Installation, Scenario, created, eventually, frequency, ms, tone};

const RATE_HZ: u32 = 16_000;
/// 20 ms.
const FRAME: usize = 320;

/// One browser, with its key and its configuration.
struct Page {
    api: Api,
    base: String,
    key: SigningKey,
    configuration: String,
}

/// What a page sends to one of the provider's routes.
struct Request {
    route: String,
    call: String,
    signature: String,
    body: Vec<u8>,
}

impl Page {
    async fn open(installation: &Installation, api: &Api, seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public_key = URL_SAFE_NO_PAD.encode(key.verifying_key());
        let configuration = json!({
            "name": format!("Browser {seed}"),
            "config": { "provider": "browser", "public_key": public_key },
        });
        Self {
            configuration: created(&api.post("/organizations/telephony-configs", configuration).await),
            api: api.clone(),
            base: installation.base(),
            key,
        }
    }

    /// Asks for a call; its identifier.
    async fn ring(&self, agent: &str) -> String {
        let call = json!({
            "agent_id": agent,
            "telephony_configuration_id": self.configuration,
            "phone_number": "browser",
        });
        let placed = self.api.post("/telephony/initiate-call", call).await.ok();
        placed["call_id"].as_str().unwrap().to_owned()
    }

    fn request(&self, route: &str, call: &str, more: &Value) -> Request {
        let mut random = [0; 16];
        getrandom(&mut random);
        self.request_at(route, call, more, now_ms(), &URL_SAFE_NO_PAD.encode(random))
    }

    fn request_at(&self, route: &str, call: &str, more: &Value, time_ms: u64, nonce: &str) -> Request {
        let mut body = json!({ "time_ms": time_ms, "nonce": nonce });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let body = body.to_string().into_bytes();
        let message = [format!("strowger browser call 1\n{route}/{call}\n").as_bytes(), &body].concat();
        Request {
            route: route.to_owned(),
            call: call.to_owned(),
            signature: URL_SAFE_NO_PAD.encode(self.key.sign(&message).to_bytes()),
            body,
        }
    }

    /// Status and document.
    async fn send(&self, request: &Request) -> (u16, Value) {
        let url = format!(
            "{}/api/v1/telephony/browser/{}/{}",
            self.base, request.route, request.call
        );
        let sent = self.api.client.post(url).body(request.body.clone());
        let sent = match request.signature.as_str() {
            "" => sent,
            signature => sent.header("x-browser-signature", signature),
        };
        let response = sent.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn pick_up(&self, call: &str) -> Talk {
        let (status, answer) = self.send(&self.request("answer", call, &json!({}))).await;
        assert_eq!(status, 200, "{answer}");
        let url = answer["media_url"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut talk = Talk {
            socket,
            heard: Vec::new(),
            texts: Vec::new(),
            closed: false,
        };
        talk.tell(json!({ "type": "start", "version": 1 })).await;
        talk
    }

    async fn closed(&self, call: &str) -> Value {
        eventually("the call's record is closed", async || {
            let record = self.api.get(&format!("/calls/{call}")).await.ok();
            (record["state"] == "completed").then_some(record)
        })
        .await
    }

    /// Left the person, right the agent.
    async fn recording(&self, call: &str) -> (Vec<i16>, Vec<i16>) {
        let wav = self.api.get(&format!("/calls/{call}/recording")).await;
        assert_eq!(wav.status, 200, "{wav:?}");
        let mut wav = hound::WavReader::new(std::io::Cursor::new(wav.body)).unwrap();
        assert_eq!((wav.spec().channels, wav.spec().sample_rate), (2, RATE_HZ));
        let samples: Vec<i16> = wav.samples().collect::<Result<_, _>>().unwrap();
        samples.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip()
    }
}

/// The page's side of a media socket.
struct Talk {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heard: Vec<i16>,
    texts: Vec<Value>,
    closed: bool,
}

impl Talk {
    async fn tell(&mut self, message: Value) {
        self.socket
            .send(Message::Text(message.to_string().into()))
            .await
            .unwrap();
    }

    /// Speaks in real time, then is silent, until `enough`; marks are said back as they come.
    async fn talk(&mut self, speech: &[i16], what: &str, enough: impl Fn(&Self) -> bool) {
        let mut frames = speech.chunks(FRAME);
        let mut clock = tokio::time::interval(ms(20));
        let talked = async {
            while !enough(self) && !self.closed {
                tokio::select! {
                    _ = clock.tick() => {
                        let mut frame = frames.next().unwrap_or_default().to_vec();
                        frame.resize(FRAME, 0);
                        let bytes: Vec<u8> = frame.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                        // Whoever was hung up on finds the socket closed.
                        if self.socket.send(Message::Binary(bytes.into())).await.is_err() {
                            self.closed = true;
                        }
                    }
                    message = self.socket.next() => self.take(message).await,
                }
            }
        };
        tokio::time::timeout(DEADLINE, talked)
            .await
            .unwrap_or_else(|_| panic!("not in time: {what}: {:?}", self.texts));
        assert!(enough(self), "the socket was closed before {what}: {:?}", self.texts);
    }

    async fn take(&mut self, message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) {
        match message {
            Some(Ok(Message::Binary(bytes))) => {
                assert_eq!(bytes.len(), 2 * FRAME, "every frame has 20 ms");
                let samples = bytes.chunks_exact(2);
                self.heard
                    .extend(samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
            }
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["type"] == "mark" {
                    self.tell(message.clone()).await;
                }
                self.texts.push(message);
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => self.closed = true,
            Some(Ok(_)) => {}
        }
    }

    fn was_told(&self, kind: &str) -> bool {
        self.texts.iter().any(|text| text["type"] == kind)
    }

    fn loud(&self) -> usize {
        self.heard.iter().filter(|sample| sample.abs() > 1_000).count()
    }
}

fn getrandom(bytes: &mut [u8]) {
    use std::hash::{BuildHasher as _, RandomState};
    for byte in bytes {
        *byte = RandomState::new().hash_one(0).to_le_bytes()[0];
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// At the rate of the wire.
fn speech(hz: f64, duration: Duration) -> Vec<i16> {
    let count = (duration.as_secs_f64() * f64::from(RATE_HZ)) as usize;
    let wave = |at: usize| (std::f64::consts::TAU * hz * at as f64 / f64::from(RATE_HZ)).sin();
    (0..count).map(|at| (wave(at) * 8_000.0) as i16).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_talks_to_an_agent_and_hangs_up() {
    let installation = Scenario::echo().recorded().start().await;
    let page = Page::open(&installation, &installation.api, 1).await;
    let call = page.ring(&installation.ids.agent).await;
    let mut talk = page.pick_up(&call).await;
    let said = speech(500.0, ms(1_000));
    talk.talk(&said, "the echo", |talk| talk.loud() > 8_000).await;
    let heard = frequency(&talk.heard, RATE_HZ);
    assert!((heard - 500.0).abs() < 20.0, "{heard}");
    talk.tell(json!({ "type": "dtmf", "digit": "5" })).await;
    talk.tell(json!({ "type": "stop" })).await;
    let ended = page.request("ended", &call, &json!({ "status": "completed" }));
    assert_eq!(page.send(&ended).await.0, 204);

    let record = page.closed(&call).await;
    assert_eq!(record["outcome"]["status"], "completed", "{record:#}");
    assert_eq!(record["outcome"]["reason"], "callee_hung_up", "{record:#}");
    assert_eq!(
        (&record["provider"], &record["callee"]),
        (&json!("browser"), &json!("browser"))
    );
    let kinds = page.api.kinds(&record).await;
    assert!(kinds.contains(&"dtmf".to_owned()), "{kinds:?}");
    let invocations = page.api.get(&format!("/calls/{call}/invocations")).await.ok();
    assert_eq!(
        (&invocations["dropped"], &invocations["next_cursor"]),
        (&json!(0), &Value::Null)
    );
    let invocations = invocations["invocations"].as_array().unwrap();
    let exports: Vec<&str> = invocations
        .iter()
        .map(|each| each["export"].as_str().unwrap())
        .collect();
    assert_eq!(
        exports,
        [
            "calling.place-call",
            "webhook.verify-signature",
            "answer.answer-markup",
            "media.leg",
            "webhook.verify-signature",
            "webhook.handle-callback",
            "calling.fetch-cost",
            "media.deserialize-frame",
            "media.serialize-frame",
        ]
    );
    for each in invocations {
        assert_eq!(
            (&each["outcome"], &each["version"]),
            (&json!("done"), &record["provider_version"])
        );
        assert!(each["wall_us"].as_f64().unwrap() > 0.0, "{each}");
        let frames = each["export"].as_str().unwrap().ends_with("-frame");
        assert_eq!(each["count"].as_u64().unwrap() > 1, frames, "{each}");
        assert_eq!(each["wall_p99_us"].is_null(), !frames, "{each}");
    }

    let waveform = page.api.get(&format!("/calls/{call}/waveform?points=100")).await.ok();
    assert_eq!(waveform["sample_rate_hz"], RATE_HZ);
    for channel in waveform["channels"].as_array().unwrap() {
        let max = channel["max"].as_array().unwrap();
        assert_eq!(max.len(), 100);
        assert!(max.iter().any(|value| value.as_i64().unwrap() > 20), "{channel}");
    }
    let kinds: Vec<&Value> = waveform["marks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mark| &mark["kind"])
        .collect();
    assert_eq!(kinds, [&json!("dtmf")]);
    let who: Vec<&Value> = waveform["turns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| &turn["who"])
        .collect();
    assert!(
        who.contains(&&json!("caller")) && who.contains(&&json!("agent")),
        "{waveform}"
    );

    let (person, agent) = page.recording(&call).await;
    for side in [person, agent] {
        let heard = frequency(&side, RATE_HZ);
        assert!((heard - 500.0).abs() < 20.0, "{heard}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_interrupted_sets_marks_and_hangs_up() {
    let script = AgentScript::new()
        .on(
            AgentWhen::Start,
            [tone(440.0, 4_000).into(), AgentDo::Mark("greeting".to_owned())],
        )
        .once(AgentWhen::HeardWhileSpeaking(ms(200)), [AgentDo::Clear])
        .once(
            AgentWhen::Quiet(ms(400)),
            [
                tone(600.0, 400).into(),
                AgentDo::Mark("reply".to_owned()),
                AgentDo::SendDtmf("7".to_owned()),
            ],
        )
        .on(AgentWhen::Mark("reply".to_owned()), [AgentDo::HangUp]);
    let installation = Scenario::native(RATE_HZ, script).start().await;
    let page = Page::open(&installation, &installation.api, 1).await;
    let call = page.ring(&installation.ids.agent).await;
    let mut talk = page.pick_up(&call).await;
    talk.talk(&[], "the greeting", |talk| talk.loud() > 4_000).await;
    talk.talk(&speech(1_000.0, ms(1_000)), "barge-in", |talk| talk.was_told("clear"))
        .await;
    talk.talk(&[], "the agent's end of it", |talk| talk.was_told("stop"))
        .await;
    assert!(talk.was_told("mark") && talk.was_told("dtmf"), "{:?}", talk.texts);
    let ended = page.request("ended", &call, &json!({ "status": "completed" }));
    assert_eq!(page.send(&ended).await.0, 204);
    let record = page.closed(&call).await;
    assert_eq!(
        (&record["outcome"]["status"], &record["outcome"]["reason"]),
        (&json!("completed"), &json!("agent_hung_up")),
        "{record:#}"
    );
    let kinds = page.api.kinds(&record).await;
    assert!(kinds.contains(&"barged_in".to_owned()), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_are_two_calls_and_one_that_vanishes_has_hung_up() {
    let installation = Scenario::echo().start().await;
    let page = Page::open(&installation, &installation.api, 1).await;
    let (one, two) = (
        page.ring(&installation.ids.agent).await,
        page.ring(&installation.ids.agent).await,
    );
    let (mut first, mut second) = (page.pick_up(&one).await, page.pick_up(&two).await);
    first
        .talk(&speech(400.0, ms(600)), "the first echo", |talk| talk.loud() > 4_000)
        .await;
    second
        .talk(&speech(900.0, ms(600)), "the second echo", |talk| talk.loud() > 4_000)
        .await;
    for (talk, hz) in [(&first, 400.0), (&second, 900.0)] {
        let heard = frequency(&talk.heard, RATE_HZ);
        assert!((heard - hz).abs() < 30.0, "{heard}");
    }
    drop(first);
    second.tell(json!({ "type": "stop" })).await;
    for call in [&one, &two] {
        assert_eq!(page.closed(call).await["outcome"]["reason"], "callee_hung_up");
    }
}

/// What a page signed counts for one request, and nothing else does. The same webhook again is the page that did not hear the
/// answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_this_browser_signed_picks_up() {
    let installation = Scenario::echo().start().await;
    let page = Page::open(&installation, &installation.api, 1).await;
    let stranger = Page {
        key: SigningKey::from_bytes(&[2; 32]),
        api: page.api.clone(),
        base: page.base.clone(),
        configuration: page.configuration.clone(),
    };
    let call = page.ring(&installation.ids.agent).await;
    let other = page.ring(&installation.ids.agent).await;
    let right = page.request("answer", &call, &json!({}));
    let same = || Request {
        route: right.route.clone(),
        call: right.call.clone(),
        signature: right.signature.clone(),
        body: right.body.clone(),
    };

    let mut forged = vec![
        ("of another browser", stranger.request("answer", &call, &json!({}))),
        (
            "for another call",
            Request {
                call: other.clone(),
                ..same()
            },
        ),
        (
            "for another route",
            Request {
                route: "ended".to_owned(),
                ..same()
            },
        ),
        (
            "without a signature",
            Request {
                signature: String::new(),
                ..same()
            },
        ),
        (
            "with a longer body",
            Request {
                body: [right.body.as_slice(), b" "].concat(),
                ..same()
            },
        ),
        (
            "without a body",
            Request {
                body: Vec::new(),
                ..same()
            },
        ),
        (
            "too old",
            page.request_at(
                "answer",
                &call,
                &json!({}),
                now_ms() - 301_000,
                "AAAAAAAAAAAAAAAAAAAAAA",
            ),
        ),
        (
            "too early",
            page.request_at(
                "answer",
                &call,
                &json!({}),
                now_ms() + 301_000,
                "AAAAAAAAAAAAAAAAAAAAAB",
            ),
        ),
        (
            "without a nonce",
            page.request_at("answer", &call, &json!({}), now_ms(), ""),
        ),
    ];
    for at in (0..right.signature.len()).step_by(9).chain([right.signature.len() - 1]) {
        let mut signature = right.signature.clone().into_bytes();
        signature[at] = if signature[at] == b'A' { b'B' } else { b'A' };
        let signature = String::from_utf8(signature).unwrap();
        forged.push(("with another signature", Request { signature, ..same() }));
    }
    for at in (0..right.body.len()).step_by(7) {
        let mut body = right.body.clone();
        body[at] ^= 1;
        forged.push(("with another body", Request { body, ..same() }));
    }
    for (what, request) in &forged {
        let (status, answer) = page.send(request).await;
        assert_eq!((status, answer), (403, Value::Null), "{what}");
    }
    // Nothing of it touched a call: both can still be picked up.
    let (status, answer) = page.send(&right).await;
    assert_eq!(status, 200);
    assert!(answer["media_url"].is_string(), "{answer}");
    assert_eq!(page.send(&right).await, (200, answer), "the same again is a retry");

    // A nonce counts once for the configuration, whatever it is for.
    let nonce = serde_json::from_slice::<Value>(&right.body).unwrap()["nonce"].clone();
    let again = page.request_at("answer", &other, &json!({}), now_ms(), nonce.as_str().unwrap());
    assert_eq!(page.send(&again).await.0, 403);
    let fresh = page.request("answer", &other, &json!({}));
    assert_eq!(page.send(&fresh).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_of_another_organisation_picks_up_nothing() {
    let installation = Scenario::echo().start().await;
    let page = Page::open(&installation, &installation.api, 1).await;
    let neighbour = Api::new(&installation.gateway, "Neighbour").await;
    let other = Page::open(&installation, &neighbour, 2).await;
    let call = page.ring(&installation.ids.agent).await;
    let theirs = other.request("answer", &call, &json!({}));
    assert_eq!(other.send(&theirs).await.0, 403);
    // Nor does it ring over a configuration, or with an agent, that is not its own.
    for (configuration, agent) in [
        (&page.configuration, &installation.ids.agent),
        (&other.configuration, &installation.ids.agent),
    ] {
        let asked =
            json!({ "agent_id": agent, "telephony_configuration_id": configuration, "phone_number": "browser" });
        assert_eq!(neighbour.post("/telephony/initiate-call", asked).await.status, 404);
    }
    // The same key may be in both: what it proves is about the call that it names.
    let twin = Page::open(&installation, &neighbour, 1).await;
    assert_eq!(twin.send(&twin.request("answer", &call, &json!({}))).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_dials_no_telephone() {
    let installation = Scenario::echo().without_number().start().await;
    let api = Api::new(&installation.gateway, "Talkers").await;
    let agent = created(&api.post("/agents", json!({ "name": "Echo", "protocol": "echo" })).await);
    let page = Page::open(&installation, &api, 1).await;
    let asked = json!({ "agent_id": agent, "phone_number": CALLEE });
    let mut by_name = asked.clone();
    by_name["telephony_configuration_id"] = json!(page.configuration);
    for asked in [&asked, &by_name] {
        let refused = api.post("/telephony/initiate-call", asked.clone()).await;
        assert_eq!(refused.refused(400), "not-a-telephone");
    }
    // A carrier comes first, although the browser is older and none of them is the default.
    let mut carrier = installation.configuration("The carrier");
    carrier["is_default_outbound"] = json!(false);
    let carrier = created(&api.post("/organizations/telephony-configs", carrier).await);
    let number = json!({ "address": installation.carrier.own_number(), "is_default_caller_id": true });
    let numbers = format!("/organizations/telephony-configs/{carrier}/phone-numbers");
    created(&api.post(&numbers, number).await);
    let placed = api.post("/telephony/initiate-call", asked).await.ok();
    assert_eq!(placed["call"]["telephony_configuration_id"], json!(carrier));
}
