//! A gateway of a few lines, and a carrier that knows it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use strowger_simulator::{CallerScript, Gateway, InboundCall, Options, RunningCarrier, Speech, by_name};
use tokio_tungstenite::{connect_async, tungstenite};

/// Path with query, headers and parameters.
pub(crate) type Webhook = (String, HeaderMap, Vec<(String, String)>);

/// What the little gateway does with a media socket.
#[derive(Debug, Clone)]
pub(crate) enum Media {
    /// Sends back all audio.
    Echo,
    /// Sends these events, with the stream's id filled in, when the stream starts; then only listens.
    Send(Vec<Value>),
    /// Sends a second of audio and a mark, and a clear as soon as some audio has come in.
    Interrupt,
    /// Closes at once.
    Close,
    /// Passes everything to an agent that speaks the same language, and back.
    Bridge(String),
}

#[derive(Debug)]
pub(crate) struct Desk {
    media: Media,
    pub(crate) address: SocketAddr,
    document: Option<String>,
    pub(crate) webhooks: Mutex<Vec<Webhook>>,
    /// Events from media sockets, audio left out.
    pub(crate) events: Mutex<Vec<Value>>,
    sockets: Mutex<usize>,
}

impl Desk {
    pub(crate) fn parameter(&self, webhook: usize, name: &str) -> String {
        let webhooks = self.webhooks.lock().unwrap();
        webhooks[webhook]
            .2
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    }
}

/// A gateway, and a carrier that knows it.
pub(crate) async fn exchange(media: Media, document: Option<&str>, options: Options) -> (Arc<Desk>, RunningCarrier) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let desk = Arc::new(Desk {
        media,
        address,
        document: document.map(str::to_owned),
        webhooks: Mutex::default(),
        events: Mutex::default(),
        sockets: Mutex::default(),
    });
    let app = Router::new()
        .route("/media", get(media_socket))
        .fallback(any(webhook))
        .layer(axum::extract::DefaultBodyLimit::max(20_000_000))
        .with_state(Arc::clone(&desk));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let carrier = RunningCarrier::start(by_name("twilio").unwrap(), options)
        .await
        .unwrap();
    carrier
        .set_gateway(Gateway::at(&format!("http://{address}")).unwrap())
        .unwrap();
    (desk, carrier)
}

async fn webhook(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let parameters = form_urlencoded::parse(&body).into_owned().collect();
    desk.webhooks
        .lock()
        .unwrap()
        .push((uri.to_string(), headers, parameters));
    match uri.path() {
        "/status" => StatusCode::NO_CONTENT.into_response(),
        "/broken" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => {
            let usual = format!(
                r#"<Response><Connect><Stream url="ws://{}/media" statusCallback="http://{}/status"><Parameter name="a" value="b"/></Stream></Connect><Hangup/></Response>"#,
                desk.address, desk.address
            );
            let document = desk.document.clone().unwrap_or(usual);
            ([("content-type", "application/xml")], document).into_response()
        }
    }
}

async fn media_socket(State(desk): State<Arc<Desk>>, upgrade: WebSocketUpgrade) -> Response {
    let second = {
        let mut sockets = desk.sockets.lock().unwrap();
        *sockets += 1;
        *sockets > 1 && matches!(desk.media, Media::Echo)
    };
    if second {
        return StatusCode::CONFLICT.into_response();
    }
    upgrade.on_upgrade(move |socket| async move {
        match &desk.media {
            Media::Bridge(agent) => bridge(socket, agent).await,
            _ => media(&desk, socket).await,
        }
    })
}

async fn media(desk: &Desk, mut socket: WebSocket) {
    let mut stream_id = Value::Null;
    let mut heard = 0;
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        let Ok(event) = serde_json::from_str::<Value>(&text) else {
            desk.events.lock().unwrap().push(json!("malformed"));
            continue;
        };
        if event["event"] != "media" {
            desk.events.lock().unwrap().push(event.clone());
        }
        let mut replies = Vec::new();
        match (event["event"].as_str().unwrap(), &desk.media) {
            ("start", Media::Close) => {
                let _ = socket.send(Message::Close(None)).await;
                continue;
            }
            ("start", media) => {
                stream_id = event["streamSid"].clone();
                match media {
                    Media::Send(events) => replies.clone_from(events),
                    Media::Interrupt => {
                        replies.extend([audio(8000), json!({ "event": "mark", "mark": { "name": "end" } })])
                    }
                    _ => {}
                }
            }
            ("media", Media::Echo) => {
                replies.push(json!({ "event": "media", "media": { "payload": event["media"]["payload"] } }));
            }
            ("media", Media::Interrupt) => {
                heard += 1;
                if heard == 15 {
                    replies.push(json!({ "event": "clear" }));
                }
            }
            _ => {}
        }
        for mut reply in replies {
            reply["streamSid"] = stream_id.clone();
            if socket.send(Message::Text(reply.to_string().into())).await.is_err() {
                return;
            }
        }
    }
}

pub(crate) fn audio(samples: usize) -> Value {
    json!({ "event": "media", "media": { "payload": STANDARD.encode(vec![0x10; samples]) } })
}

/// The agent's stream id is the carrier's here, because everything is passed on as it is.
async fn bridge(socket: WebSocket, agent: &str) {
    let (agent, _) = connect_async(agent).await.unwrap();
    let (mut to_agent, mut from_agent) = agent.split();
    let (mut to_carrier, mut from_carrier) = socket.split();
    let up = async {
        while let Some(Ok(Message::Text(text))) = from_carrier.next().await {
            let mut text = text.to_string();
            if text.contains("\"start\"") {
                // A real gateway tells the agent who calls; this one knows only that the load generator's first is 1.
                text = text.replace("\"a\":\"b\"", "\"from_number\":\"+15550000001\"");
            }
            if to_agent.send(tungstenite::Message::text(text)).await.is_err() {
                break;
            }
        }
        let _ = to_agent.close().await;
    };
    let down = async {
        while let Some(Ok(message)) = from_agent.next().await {
            if let tungstenite::Message::Text(text) = message
                && to_carrier.send(Message::Text(text.to_string().into())).await.is_err()
            {
                break;
            }
        }
        let _ = to_carrier.close().await;
    };
    tokio::join!(up, down);
}

pub(crate) fn call(carrier: &RunningCarrier, script: CallerScript) -> InboundCall {
    InboundCall::new("+14155550100", carrier.own_number(), script)
}

pub(crate) fn short_tone() -> Speech {
    Speech::tone(440.0, Duration::from_millis(300), 8000)
}

/// The gateway's side of the REST API.
pub(crate) async fn rest(carrier: &RunningCarrier, method: reqwest::Method, path: &str, form: &str) -> (u16, Value) {
    let credentials = carrier.credentials();
    let (sid, token) = (
        credentials["account_sid"].as_str().unwrap(),
        credentials["auth_token"].as_str().unwrap(),
    );
    let url = format!("http://{}/2010-04-01/Accounts/{sid}{path}", carrier.rest_addr());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .request(method, url)
        .header(
            "authorization",
            format!("Basic {}", STANDARD.encode(format!("{sid}:{token}"))),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned());
    let response = request.send().await.unwrap();
    (
        response.status().as_u16(),
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap(),
    )
}
