//! A carrier of our own making, with what the forms and markup of the first one do not show: commands instead of answers, an
//! event socket, media channels in bridges, whole frames and flow control.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{
        Query, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
    routing::{any, get},
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use strowger_simulator::{
    Callee, CallerScript, Gateway, InboundCall, Misbehaviour, Options, RunningCarrier,
    carrier::{
        CallRecord, Carrier, ConferenceInstruction, Directive, EventSocket, Framer, FromGateway, InboundRoute,
        Instruction, Ledger, MediaDialect, Notice, QueueLimits, QueueStatus, RateLimit, RestAnswer, RestRequest,
        RestResponse, StreamInstruction, Subscription, Tamper, WebhookKind, WebhookRequest, WebhookTarget, WireAudio,
        WireMessage,
    },
    exchange::EventSocketState,
    report::{CallEvent, CallStatus, Direction, HangUp, StreamEnd},
};
use tokio_tungstenite::{connect_async, tungstenite};

use crate::{
    SOON,
    desk::{call, short_tone},
};

/// Calls to this number are announced by a webhook, those to the own one on the event socket.
const HOOKED: &str = "+15550002222";

#[derive(Debug)]
struct Switchboard;

impl Carrier for Switchboard {
    fn name(&self) -> &'static str {
        "switchboard"
    }

    fn rest_host(&self) -> &'static str {
        "switchboard.test"
    }

    fn credentials(&self) -> Value {
        json!({})
    }

    fn own_number(&self) -> &'static str {
        "+15550001111"
    }

    fn new_call_id(&self) -> String {
        uuid::Uuid::new_v4().to_string()
    }

    fn rate_limit(&self) -> Option<RateLimit> {
        let per = Duration::from_secs(60);
        Some(RateLimit { requests: 10, per })
    }

    fn rest_error(&self, status: u16) -> RestResponse {
        RestResponse::json(status, &json!({ "failed": status }))
    }

    fn handle_rest(&self, ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let body = request.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let ok = RestResponse::json(200, &json!({}));
        let stay = |first: Instruction| vec![first, Instruction::Await];
        match (request.method.as_str(), segments.as_slice()) {
            ("POST", ["answer", id]) => {
                let mut instructions = vec![Instruction::Await];
                if !text("stream").is_empty() {
                    instructions.insert(0, stream(&text("stream"), false));
                }
                ok.and(Directive::Instruct((*id).to_owned(), instructions))
            }
            ("POST", ["reject", id]) => ok.and(Directive::Instruct(
                (*id).to_owned(),
                vec![Instruction::Reject { busy: true }],
            )),
            ("POST", ["dial"]) => {
                let mut call = CallRecord::new(self.new_call_id(), Direction::Outbound, self.own_number(), &text("to"));
                let first = Some(text("stream"))
                    .filter(|url| !url.is_empty())
                    .map(|url| stream(&url, true));
                call.instructions = Some(first.into_iter().chain([Instruction::Await]).collect());
                let id = call.id.clone();
                ledger.enter(call);
                RestResponse::json(200, &json!({ "id": id })).and(Directive::Dial(id))
            }
            ("POST", ["media", id]) => {
                let mut channel = CallRecord::new((*id).to_owned(), Direction::Outbound, "", "");
                channel.instructions = Some(vec![stream(&text("stream"), false)]);
                ledger.enter(channel);
                ok.and(Directive::OpenMedia((*id).to_owned()))
            }
            ("POST", ["bridge", name, "media", id]) => {
                ok.and(Directive::Seat((*id).to_owned(), Some((*name).to_owned())))
            }
            ("POST", ["bridge", name, id]) => {
                let bridge = ConferenceInstruction {
                    name: (*name).to_owned(),
                    ..ConferenceInstruction::default()
                };
                ok.and(Directive::Instruct(
                    (*id).to_owned(),
                    stay(Instruction::Conference(bridge)),
                ))
            }
            ("DELETE", ["call", id]) => match ledger.call_mut(id) {
                Some(call) => {
                    call.end();
                    ok.and(Directive::HangUp((*id).to_owned()))
                }
                None => self.rest_error(404).into(),
            },
            _ => self.rest_error(404).into(),
        }
    }

    fn event_socket(&self, _: &Ledger, request: &RestRequest) -> Option<Result<EventSocket, RestResponse>> {
        if request.path != "/events" {
            return None;
        }
        let Some(app) = request.parameters().get("app").map(str::to_owned) else {
            return Some(Err(self.rest_error(400)));
        };
        Some(Ok(EventSocket {
            key: app,
            farewell: Some("replaced".to_owned()),
        }))
    }

    fn inbound_route(&self, ledger: &Ledger, to: &str) -> InboundRoute {
        let hook = WebhookTarget::post(format!("{}/hook", ledger.gateway));
        InboundRoute {
            voice: (to == HOOKED).then(|| hook.clone()),
            callbacks: (to == HOOKED).then(|| Subscription::to_all(hook)).into_iter().collect(),
            extra: json!({ "announced": to == HOOKED }),
        }
    }

    fn webhook(&self, call: &CallRecord, kind: &WebhookKind, target: &WebhookTarget, _: &Tamper) -> WebhookRequest {
        WebhookRequest {
            method: target.method.clone(),
            url: target.url.clone(),
            headers: Vec::new(),
            body: json!({ "call": call.id, "kind": kind.to_string() })
                .to_string()
                .into_bytes(),
            token: String::new(),
        }
    }

    fn notices(
        &self,
        _: &mut Ledger,
        call: &CallRecord,
        what: &WebhookKind,
        given: Option<&WebhookTarget>,
    ) -> Vec<Notice> {
        if call.extra["announced"] == true {
            return strowger_simulator::carrier::subscribed(call, what, given);
        }
        vec![Notice::Event {
            key: "desk".to_owned(),
            text: format!("{what} {}", call.id),
        }]
    }

    fn upgrade_headers(&self, _: &str, _: &Tamper) -> Vec<(String, String)> {
        vec![("sec-websocket-protocol".to_owned(), "media".to_owned())]
    }

    fn open_stream(&self, _: &CallRecord, _: &StreamInstruction) -> Box<dyn MediaDialect> {
        Box::new(Wire {
            framer: Framer::new(640),
        })
    }
}

fn stream(url: &str, before_answer: bool) -> Instruction {
    Instruction::Stream(StreamInstruction {
        url: url.to_owned(),
        before_answer,
        ..StreamInstruction::default()
    })
}

/// Binary linear audio at 16 kHz from the gateway in whole frames, A-law towards it; words for the rest.
#[derive(Debug)]
struct Wire {
    framer: Framer,
}

impl MediaDialect for Wire {
    fn stream_id(&self) -> &'static str {
        "wire"
    }

    fn sends(&self) -> WireAudio {
        WireAudio::Alaw
    }

    fn reads(&self) -> WireAudio {
        WireAudio::Linear { rate_hz: 16_000 }
    }

    fn connected(&mut self) -> Vec<WireMessage> {
        vec![WireMessage::Text("connected".to_owned())]
    }

    fn opening(&mut self) -> Vec<WireMessage> {
        vec![WireMessage::Text("start".to_owned())]
    }

    fn audio(&mut self, payload: &[u8]) -> WireMessage {
        WireMessage::Binary(payload.to_vec())
    }

    fn unreadable_audio(&mut self) -> WireMessage {
        WireMessage::Binary(vec![0])
    }

    fn malformed(&mut self) -> WireMessage {
        WireMessage::Text(String::new())
    }

    fn dtmf(&mut self, digit: char) -> Option<WireMessage> {
        Some(WireMessage::Text(format!("key {digit}")))
    }

    fn mark_played(&mut self, name: &str) -> Option<WireMessage> {
        Some(WireMessage::Text(format!("reached {name}")))
    }

    fn limits(&self) -> Option<QueueLimits> {
        Some(QueueLimits {
            stop_at: 40,
            resume_below: 30,
            frames_max: 50,
        })
    }

    fn flow(&mut self, stop: bool) -> Option<WireMessage> {
        Some(WireMessage::Text(if stop { "stop" } else { "go" }.to_owned()))
    }

    fn status(&mut self, queue: QueueStatus) -> Option<WireMessage> {
        Some(WireMessage::Text(format!("queued {} {}", queue.frames, queue.stopped)))
    }

    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String> {
        match message {
            WireMessage::Binary(bytes) => {
                let (frames, dropped) = self.framer.take(bytes);
                let mut heard = vec![FromGateway::Audio(frames)];
                if dropped > 0 {
                    heard.push(FromGateway::Dropped(format!("{dropped} bytes")));
                }
                Ok(FromGateway::Several(heard))
            }
            WireMessage::Text(text) => match text.split_once(' ') {
                Some(("mark", name)) => Ok(FromGateway::Mark(name.to_owned())),
                Some(("keys", digits)) => Ok(FromGateway::Digits(digits.to_owned())),
                Some(("ping", what)) => Ok(FromGateway::Reply(WireMessage::Text(format!("pong {what}")))),
                _ if text == "status" => Ok(FromGateway::AskStatus),
                _ if text == "hang up" => Ok(FromGateway::HangUp),
                _ => Err(format!("what is `{text}`?")),
            },
        }
    }
}

/// The gateway: what it heard on its sockets by their token, and what it says when a stream starts.
#[derive(Debug, Default)]
struct Desk {
    says: Mutex<Vec<Message>>,
    heard: Mutex<BTreeMap<String, Vec<String>>>,
    hooks: Mutex<Vec<String>>,
    carrier: Mutex<Option<String>>,
    media: Mutex<String>,
    changed: tokio::sync::Notify,
}

async fn hook(State(desk): State<Arc<Desk>>, body: String) -> &'static str {
    let told: Value = serde_json::from_str(&body).unwrap();
    desk.hooks
        .lock()
        .unwrap()
        .push(told["kind"].as_str().unwrap().to_owned());
    if told["kind"] == "incoming" {
        // The command is given, and answered, while the carrier still waits for this response.
        let base = desk.carrier.lock().unwrap().clone().unwrap();
        let command = json!({ "stream": *desk.media.lock().unwrap() });
        let url = format!("{base}/answer/{}", told["call"].as_str().unwrap());
        assert_eq!(post(&url, &command).await.0, 200);
    }
    "the carrier does not read this"
}

async fn media(
    State(desk): State<Arc<Desk>>,
    Query(query): Query<BTreeMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let token = query["token"].clone();
    let protocol = if token == "rude" { "other" } else { "media" };
    upgrade
        .protocols([protocol])
        .on_upgrade(|socket| async move { listen(&desk, token, socket).await })
}

async fn listen(desk: &Desk, token: String, mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let word = match message {
            Message::Text(text) => text.to_string(),
            Message::Binary(bytes) => format!("audio {}", bytes.len()),
            _ => continue,
        };
        let says = match word.as_str() {
            "start" => desk.says.lock().unwrap().clone(),
            "key 5" => vec![Message::Text("keys 7".into())],
            _ => Vec::new(),
        };
        desk.heard.lock().unwrap().entry(token.clone()).or_default().push(word);
        desk.changed.notify_waiters();
        for message in says {
            socket.send(message).await.unwrap();
        }
    }
}

impl Desk {
    fn words(&self, token: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let words = heard.get(token).into_iter().flatten();
        words.filter(|word| !word.starts_with("audio")).cloned().collect()
    }
}

impl Desk {
    /// Waits until this word has come.
    async fn wait(&self, within: Duration, token: &str, word: &str) -> Vec<String> {
        let found = async {
            loop {
                let changed = self.changed.notified();
                let words = self.words(token);
                if words.iter().any(|heard| heard == word) {
                    return words;
                }
                changed.await;
            }
        };
        tokio::time::timeout(within, found).await.unwrap()
    }
}

async fn start(options: Options) -> (Arc<Desk>, RunningCarrier) {
    let desk = Arc::new(Desk::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    *desk.media.lock().unwrap() = format!("ws://{address}/media?token=");
    let app = Router::new()
        .route("/media", get(media))
        .route("/hook", any(hook))
        .with_state(Arc::clone(&desk));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let carrier = RunningCarrier::start(&Switchboard, options).await.unwrap();
    *desk.carrier.lock().unwrap() = Some(format!("http://{}", carrier.rest_addr()));
    carrier
        .set_gateway(Gateway::at(&format!("http://{address}")).unwrap())
        .unwrap();
    carrier.add_number(HOOKED);
    (desk, carrier)
}

async fn post(url: &str, body: &Value) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.post(url).body(body.to_string()).send().await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap(),
    )
}

async fn command(carrier: &RunningCarrier, path: &str, body: &Value) -> (u16, Value) {
    post(&format!("http://{}{path}", carrier.rest_addr()), body).await
}

async fn subscribe(
    carrier: &RunningCarrier,
) -> tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>> {
    let url = format!("ws://{}/events?app=desk", carrier.rest_addr());
    connect_async(url).await.unwrap().0
}

/// Waits for an event that begins so, and gives the id in it.
async fn event<S>(events: &mut S, what: &str) -> String
where
    S: futures_util::Stream<Item = Result<tungstenite::Message, tungstenite::Error>> + Unpin,
{
    let found = async {
        loop {
            let message = events.next().await.unwrap().unwrap();
            if let Some(id) = message.to_text().unwrap().strip_prefix(what) {
                return id.trim().to_owned();
            }
        }
    };
    tokio::time::timeout(SOON, found).await.unwrap()
}

fn hooked(script: CallerScript) -> InboundCall {
    InboundCall::new("+14155550100", HOOKED, script)
}

#[tokio::test]
async fn a_call_is_answered_by_a_command_while_the_webhook_is_under_way() {
    let (desk, carrier) = start(Options::default()).await;
    desk.media.lock().unwrap().push('a');
    let script = CallerScript::new().silence(Duration::from_millis(100)).hang_up();
    let call = carrier.place_inbound(hooked(script)).unwrap();
    let report = call.finished(SOON).await.unwrap();
    assert_eq!(
        (report.status, report.hang_up),
        (CallStatus::Completed, Some(HangUp::Person))
    );
    assert!(report.notes().is_empty(), "{:?}", report.notes());
    // The webhook was answered although the call had gone on by then.
    let incoming = report
        .webhooks
        .iter()
        .find(|webhook| webhook.kind == "incoming")
        .unwrap();
    assert_eq!(incoming.status, Some(200));
    assert_eq!(desk.hooks.lock().unwrap()[..2], ["incoming", "status InProgress"]);
    assert_eq!(desk.words("a"), ["connected", "start"]);
}

#[tokio::test]
async fn a_socket_can_open_before_the_answer_and_close_without_one() {
    let (desk, carrier) = start(Options::default()).await;
    let url = format!("{}early", desk.media.lock().unwrap());
    let after = Duration::from_millis(50);
    carrier.set_callee("+1", Callee::NoAnswer { after });
    command(&carrier, "/dial", &json!({ "to": "+1", "stream": url })).await;
    let report = carrier.next_outbound(SOON).await.unwrap().finished(SOON).await.unwrap();
    assert_eq!(
        (report.status, report.stream().unwrap().end),
        (CallStatus::NoAnswer, Some(StreamEnd::ClosedByCarrier))
    );
    assert_eq!(desk.words("early"), ["connected"]);

    let script = CallerScript::new().silence(after).hang_up();
    carrier.set_callee("+2", Callee::answers(script));
    command(&carrier, "/dial", &json!({ "to": "+2", "stream": url })).await;
    let report = carrier.next_outbound(SOON).await.unwrap().finished(SOON).await.unwrap();
    assert_eq!(desk.words("early"), ["connected", "connected", "start"]);
    assert!(report.stream().unwrap().opened_at >= report.answered_at.unwrap());
}

#[tokio::test]
async fn a_caller_in_a_bridge_talks_through_a_media_channel_and_then_with_a_person() {
    let (desk, carrier) = start(Options::default()).await;
    let tone: Vec<u8> = WireAudio::Linear { rate_hz: 16_000 }.encode(&[5000; 3200]);
    let words = ["mark end", "ping 1"].map(|word| Message::Text(word.into()));
    *desk.says.lock().unwrap() = [Message::Binary(tone.into())].into_iter().chain(words).collect();
    let mut events = subscribe(&carrier).await;
    carrier
        .wait_for_event_sockets(SOON, |sockets| sockets.len() == 1)
        .await
        .unwrap();

    let script = CallerScript::new()
        .speak(short_tone())
        .press('5')
        .wait_person(SOON)
        .speak(short_tone())
        .stay();
    let caller = carrier.place_inbound(call(&carrier, script)).unwrap();
    let id = event(&mut events, "incoming").await;
    assert_eq!(id, caller.id());
    command(&carrier, &format!("/answer/{id}"), &json!({})).await;
    event(&mut events, "status InProgress").await;
    let url = format!("{}b", desk.media.lock().unwrap());
    command(&carrier, "/media/ext", &json!({ "stream": url })).await;
    assert_eq!(event(&mut events, "status InProgress").await, "ext");
    command(&carrier, "/bridge/b1/media/ext", &json!({})).await;
    command(&carrier, &format!("/bridge/b1/{id}"), &json!({})).await;
    // A stream that serves a person is in that person's report.
    caller
        .wait_until(SOON, |report| {
            let stream = report.stream();
            stream.is_some_and(|stream| {
                stream.digits_sent == "5" && stream.marks.iter().all(|mark| mark.echoed_at.is_some())
            })
        })
        .await
        .unwrap();
    assert_eq!(event(&mut events, "digit 5").await, id);
    let words = desk.wait(SOON, "b", "key 5").await;
    assert!(words.contains(&"pong 1".to_owned()), "{words:?}");
    assert_eq!(carrier.calls().len(), 1, "a media channel is not a call");

    let pressed = CallEvent::DigitHeard('7');
    caller
        .wait_until(SOON, |report| report.happened(&pressed))
        .await
        .unwrap();

    // The colleague comes into the bridge, and the media channel leaves it.
    carrier.set_callee("+3", Callee::answers(CallerScript::new().stay()));
    let (_, dialled) = command(&carrier, "/dial", &json!({ "to": "+3" })).await;
    let colleague = carrier.next_outbound(SOON).await.unwrap();
    assert_eq!(
        event(&mut events, "status InProgress").await,
        dialled["id"].as_str().unwrap()
    );
    command(&carrier, &format!("/bridge/b1/{}", colleague.id()), &json!({})).await;
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .delete(format!("http://{}/call/ext", carrier.rest_addr()))
        .send()
        .await
        .unwrap();
    assert_eq!(event(&mut events, "status Completed").await, "ext");
    let heard = |report: &strowger_simulator::CallReport| {
        report
            .rooms
            .first()
            .is_some_and(|room| room.heard().iter().any(|&sample| sample != 0))
    };
    colleague.wait_until(SOON, heard).await.unwrap();
    assert!(colleague.report().met(caller.id()));
    colleague.hang_up();
    assert_eq!(colleague.finished(SOON).await.unwrap().hang_up, Some(HangUp::Person));
    // A bridge does not end with one of its members.
    let parted = CallEvent::Parted(colleague.id().to_owned());
    caller
        .wait_until(SOON, |report| report.happened(&parted))
        .await
        .unwrap();
    assert_eq!(caller.report().hang_up, None);
    caller.hang_up();
    let report = caller.finished(SOON).await.unwrap();
    let stream = report.stream().unwrap();
    assert_eq!(
        (
            stream.sent_samples.iter().any(|&sample| sample != 0),
            stream.received_samples()
        ),
        (true, 1600)
    );
    assert!(report.rooms[0].heard().iter().any(|&sample| sample != 0));
    assert_eq!((report.digits_heard.as_str(), report.notes().len()), ("7", 0));
}

#[tokio::test]
async fn a_full_buffer_stops_the_gateway_and_drops_what_comes_all_the_same() {
    let (desk, carrier) = start(Options::default()).await;
    desk.media.lock().unwrap().push('f');
    let frames = |bytes: usize| Message::Binary(vec![0x11; bytes].into());
    *desk.says.lock().unwrap() = vec![
        frames(640 * 31 + 100),
        Message::Text("status".into()),
        frames(640 * 24),
        frames(640 * 5),
        Message::Text("nonsense".into()),
        Message::Text("mark last".into()),
    ];
    let call = carrier.place_inbound(hooked(CallerScript::new().stay())).unwrap();
    call.wait_until(SOON, |report| report.happened(&CallEvent::MarkSent("last".to_owned())))
        .await
        .unwrap();
    call.hang_up();
    let report = call.finished(SOON).await.unwrap();
    let stream = report.stream().unwrap();
    assert_eq!(
        (stream.received_samples(), stream.discarded_samples),
        (55 * 160, 5 * 160)
    );
    assert_eq!(stream.unreadable, ["100 bytes", "what is `nonsense`?"]);
    assert!(report.happened(&CallEvent::FlowStopped) && report.happened(&CallEvent::FlowResumed));
    let mut words = desk.wait(SOON, "f", "reached last").await;
    let queued = words.remove(2);
    assert!(queued.starts_with("queued ") && queued.ends_with(" false"), "{queued}");
    assert_eq!(words, ["connected", "start", "stop", "go", "reached last"]);
}

#[tokio::test]
async fn a_media_socket_without_its_subprotocol_is_refused_and_a_gateway_can_hang_up_on_it() {
    let (desk, carrier) = start(Options::default()).await;
    desk.media.lock().unwrap().push_str("rude");
    let call = carrier.place_inbound(hooked(CallerScript::new().stay())).unwrap();
    call.wait_until(SOON, |report| !report.notes().is_empty())
        .await
        .unwrap();
    assert!(
        call.report().notes()[0].contains("ubprotocol"),
        "{:?}",
        call.report().notes()
    );
    call.hang_up();

    *desk.says.lock().unwrap() = vec![Message::Text("hang up".into())];
    desk.media.lock().unwrap().push('r');
    let call = carrier.place_inbound(hooked(CallerScript::new().stay())).unwrap();
    assert_eq!(call.finished(SOON).await.unwrap().hang_up, Some(HangUp::Media));
}

#[tokio::test]
async fn the_latest_subscriber_hears_and_sockets_can_be_cut_or_refused() {
    let (_, carrier) = start(Options::default()).await;
    let mut first = subscribe(&carrier).await;
    let mut second = subscribe(&carrier).await;
    carrier
        .wait_for_event_sockets(SOON, |sockets| sockets.len() == 2)
        .await
        .unwrap();
    assert_eq!(event(&mut first, "replaced").await, "");
    carrier.push_event("desk", "hello 1");
    carrier.push_event("elsewhere", "hello 2");
    assert_eq!(event(&mut second, "hello").await, "1");
    let states: Vec<EventSocketState> = carrier.event_sockets().iter().map(|socket| socket.state).collect();
    assert_eq!(states, [EventSocketState::Starved, EventSocketState::Live]);
    assert!(carrier.with_ledger(|ledger| ledger.subscribers.contains("desk")));

    carrier.drop_event_sockets();
    assert!(second.next().await.is_none_or(|message| message.is_err()));
    carrier
        .wait_for_event_sockets(SOON, |sockets| sockets.iter().all(|socket| socket.ended_at.is_some()))
        .await
        .unwrap();
    carrier.set_misbehaviour(Misbehaviour::named("event-socket-503").unwrap());
    let url = format!("ws://{}/events?app=desk", carrier.rest_addr());
    let refused = connect_async(url).await.unwrap_err();
    assert!(matches!(refused, tungstenite::Error::Http(response) if response.status() == 503));
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_until_time_has_passed() {
    let (_, carrier) = start(Options::default()).await;
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(command(&carrier, "/nothing", &json!({})).await.0);
    }
    assert_eq!((statuses[9], statuses[10]), (404, 429));
}
