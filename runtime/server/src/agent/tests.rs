//! Agents on loopback sockets, well-behaved and otherwise.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use strowger_audio::{Encoding, WireFormat};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::*;
use crate::egress::{Lookup, NetworkClass, Resolver, SystemResolver};

/// Longer than anything here takes on a busy machine; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(20);

/// A certificate for `agent.example.com` that vouches for itself, valid until October 2126, and its key, which is used nowhere else.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBqzCCAVCgAwIBAgIUZTVcOR6Jpob2fyN2IIp5LZ4qj6IwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRYWdlbnQuZXhhbXBsZS5jb20wIBcNMjYxMTIyMTcwNjU5WhgP
MjEyNjEwMjkxNzA2NTlaMBwxGjAYBgNVBAMMEWFnZW50LmV4YW1wbGUuY29tMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YJBJYnKYw5pw8ojhtnlMPK8IV7vTiK3
+7eigTD4M8PC31i/hIgHuu3wFhqjVkzJmXehzvm3kfRV4e/m+lrCzKNuMGwwHQYD
VR0OBBYEFIjkNinT0sYJ0gAUuFiYqQqZZoZXMB8GA1UdIwQYMBaAFIjkNinT0sYJ
0gAUuFiYqQqZZoZXMBwGA1UdEQQVMBOCEWFnZW50LmV4YW1wbGUuY29tMAwGA1Ud
EwEB/wQCMAAwCgYIKoZIzj0EAwIDSQAwRgIhAPC6NnaiyqIm/5mFiMN0zpMcYvep
oaYXaYtqAIwtBqMWAiEAwFbx8LfgjfC3JAdA0EvGyGtUujgmgSjFpr8IMX1P7ak=
-----END CERTIFICATE-----";
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgetXQR47zkG9q2MIn
kVKAHuRHr6uPUBSjN/X7jiW6xbKhRANCAATxgkElicpjDmnDyiOG2eUw8rwhXu9O
Irf7t6KBMPgzw8LfWL+EiAe67fAWGqNWTMmZd6HO+beR9FXh7+b6WsLM
-----END PRIVATE KEY-----";

type ServerSocket = WebSocketStream<TcpStream>;

fn dial() -> CheckedDial {
    CheckedDial::new(|_| Ok(()), Arc::new(SystemResolver), tls_config(&[]).unwrap())
}

fn limits() -> AgentLimits {
    AgentLimits {
        connect_timeout: DEADLINE,
        ..AgentLimits::default()
    }
}

/// Notices silence soon.
fn impatient() -> AgentLimits {
    AgentLimits {
        stall_timeout: Duration::from_millis(200),
        ping_interval: Duration::from_millis(100),
        ..limits()
    }
}

fn spec(protocol: Protocol, url: &str) -> AgentSpec {
    AgentSpec {
        protocol,
        url: Some(url.parse().unwrap()),
        sample_rate: SampleRate::Hz16000,
        headers: vec![("authorization".to_owned(), Secret::new("Bearer hush"))],
        parameters: json!({"voice": "calm"}).as_object().unwrap().clone(),
    }
}

fn call() -> AgentCall {
    AgentCall {
        call_id: "0190a6a4-6e2d-7c3e-9d5f-0123456789ab".to_owned(),
        direction: "inbound",
        caller: "+15005550001".to_owned(),
        callee: "+15005550002".to_owned(),
        frame_ms: 20,
        capabilities: vec!["clear", "mark", "dtmf"],
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/bot?key=hush", listener.local_addr().unwrap());
    (listener, url)
}

/// An agent and the gateway's link to it, connected.
struct Pair {
    agent: ServerSocket,
    link: AgentLink,
    /// What the gateway asked with.
    request: Request,
}

impl Pair {
    async fn connected(protocol: Protocol, limits: AgentLimits) -> Self {
        let (listener, url) = listen().await;
        Self::on(listener, spec(protocol, &url), limits).await
    }

    async fn on(listener: TcpListener, spec: AgentSpec, limits: AgentLimits) -> Self {
        let native = spec.protocol == Protocol::Strowger;
        let mut link = connect(spec, call(), limits, dial());
        let (stream, _) = listener.accept().await.unwrap();
        let mut request = None;
        #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
        let agent = accept_hdr_async(stream, |asked: &Request, mut response: Response| {
            request = Some(asked.clone());
            if native {
                response
                    .headers_mut()
                    .insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
            }
            Ok(response)
        })
        .await
        .unwrap();
        assert_eq!(next(&mut link).await, Some(AgentEvent::Connected));
        Self {
            agent,
            link,
            request: request.unwrap(),
        }
    }

    /// As [`Pair::connected`], with the call started and the agent's first messages read.
    async fn started(protocol: Protocol, limits: AgentLimits) -> Self {
        let mut pair = Self::connected(protocol, limits).await;
        pair.tell(AgentCommand::Start).await;
        pair.greeted(protocol).await;
        pair
    }

    async fn greeted(&mut self, protocol: Protocol) {
        if protocol == Protocol::MediaStreams {
            assert_eq!(self.heard().await["event"], "connected");
            assert_eq!(self.heard().await["event"], "start");
        } else {
            assert_eq!(self.heard().await["type"], "start");
        }
    }

    async fn tell(&self, command: AgentCommand) {
        self.link.commands.send(command).await.unwrap();
    }

    /// The next message that the agent gets, pings aside.
    async fn got(&mut self) -> Message {
        loop {
            match timeout(DEADLINE, self.agent.next())
                .await
                .expect("the gateway is silent")
                .unwrap()
                .unwrap()
            {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    }

    async fn heard(&mut self) -> Value {
        serde_json::from_str(self.got().await.to_text().unwrap()).unwrap()
    }

    /// Takes the gateway's leave, and its reason to close.
    async fn left(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(message) = timeout(DEADLINE, self.agent.next())
            .await
            .expect("the gateway does not leave")
        {
            if let Message::Close(Some(frame)) = message.unwrap() {
                code = Some(frame.code.into());
            }
        }
        code
    }

    async fn say(&mut self, message: Value) {
        self.agent.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Option<AgentEvent> {
        next(&mut self.link).await
    }
}

async fn next(link: &mut AgentLink) -> Option<AgentEvent> {
    timeout(DEADLINE, link.events.recv()).await.expect("no event comes")
}

async fn failure(spec: AgentSpec, limits: AgentLimits, dial: CheckedDial) -> String {
    let mut link = connect(spec, call(), limits, dial);
    let Some(AgentEvent::Failed { reason }) = next(&mut link).await else {
        panic!("it did not fail")
    };
    assert_eq!(next(&mut link).await, None);
    assert!(!reason.contains("hush") && !reason.contains("127.0.0.1"), "{reason}");
    reason
}

fn media(samples: &[i16]) -> Value {
    let mut bytes = Vec::new();
    WireFormat::new(Encoding::Pcmu, SampleRate::Hz8000).encode(samples, &mut bytes);
    json!({"event": "media", "streamSid": "any", "media": {"payload": STANDARD.encode(bytes)}})
}

#[tokio::test]
async fn a_call_with_an_agent_of_the_media_streams_shape() {
    let mut pair = Pair::connected(Protocol::MediaStreams, limits()).await;
    assert_eq!(pair.request.headers()["authorization"], "Bearer hush");
    assert!(
        pair.request.headers()["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("strowger/")
    );
    assert!(!pair.request.headers().contains_key("sec-websocket-protocol"));
    assert_eq!(pair.request.uri(), "/bot?key=hush");

    // Whatever comes before the start is dropped.
    for command in [
        AgentCommand::Audio(vec![1; 160]),
        AgentCommand::Dtmf('1'),
        AgentCommand::Start,
        AgentCommand::Start,
    ] {
        pair.tell(command).await;
    }
    assert_eq!(pair.heard().await["event"], "connected");
    let start = pair.heard().await;
    assert_eq!(start["start"]["customParameters"]["voice"], "calm");
    assert_eq!(start["start"]["customParameters"]["from_number"], "+15005550001");
    let sid = &start["streamSid"];

    pair.tell(AgentCommand::Audio(vec![0; 160])).await;
    let frame = pair.heard().await;
    assert_eq!(frame["media"]["payload"], STANDARD.encode([0xFF; 160]));
    assert_eq!(
        (&frame["streamSid"], &frame["media"]["chunk"], &frame["sequenceNumber"]),
        (sid, &json!("1"), &json!("2"))
    );
    pair.tell(AgentCommand::Dtmf('5')).await;
    assert_eq!(pair.heard().await["dtmf"]["digit"], "5");

    // A greeting of any length, and its mark comes back when the session says so.
    pair.say(media(&[0; 500])).await;
    pair.say(json!({"event": "mark", "streamSid": sid, "mark": {"name": "greeting"}}))
        .await;
    assert_eq!(pair.next().await, Some(AgentEvent::Audio(vec![0; 500])));
    assert_eq!(pair.next().await, Some(AgentEvent::Mark("greeting".to_owned())));
    pair.tell(AgentCommand::MarkPlayed {
        name: "greeting".to_owned(),
        heard_ms: 62,
    })
    .await;
    assert_eq!(pair.heard().await["mark"]["name"], "greeting");

    // A barge-in gives back every mark.
    pair.say(json!({"event": "clear", "streamSid": sid})).await;
    assert_eq!(pair.next().await, Some(AgentEvent::Clear));
    pair.tell(AgentCommand::Cleared {
        heard_ms: 40,
        marks: vec!["a".to_owned(), "b".to_owned()],
    })
    .await;
    assert_eq!(pair.heard().await["mark"]["name"], "a");
    assert_eq!(pair.heard().await["mark"]["name"], "b");

    pair.tell(AgentCommand::Stop {
        reason: "caller_hung_up".to_owned(),
    })
    .await;
    assert_eq!(pair.heard().await["event"], "stop");
    assert_eq!(pair.left().await, Some(1000));
    assert_eq!(pair.next().await, None);
}

#[tokio::test]
async fn a_call_with_an_agent_of_the_native_protocol() {
    let mut pair = Pair::connected(Protocol::Strowger, limits()).await;
    assert_eq!(pair.request.headers()["sec-websocket-protocol"], SUBPROTOCOL);
    pair.tell(AgentCommand::Start).await;
    let start = pair.heard().await;
    assert_eq!(
        (&start["type"], &start["audio"]["sample_rate_hz"]),
        (&json!("start"), &json!(16_000))
    );

    pair.tell(AgentCommand::Audio(vec![-2; 320])).await;
    assert_eq!(pair.got().await, Message::binary([0xFE, 0xFF].repeat(320)));
    pair.tell(AgentCommand::Dtmf('#')).await;
    assert_eq!(pair.heard().await, json!({"type": "dtmf", "digit": "#"}));

    pair.agent
        .send(Message::binary([0x01, 0x02].repeat(1_000)))
        .await
        .unwrap();
    assert_eq!(pair.next().await, Some(AgentEvent::Audio(vec![0x0201; 1_000])));
    pair.say(json!({"type": "mark", "name": "greeting"})).await;
    assert_eq!(pair.next().await, Some(AgentEvent::Mark("greeting".to_owned())));
    pair.say(json!({"type": "clear"})).await;
    assert_eq!(pair.next().await, Some(AgentEvent::Clear));
    pair.tell(AgentCommand::Cleared {
        heard_ms: 40,
        marks: vec!["greeting".to_owned()],
    })
    .await;
    assert_eq!(
        pair.heard().await,
        json!({"type": "cleared", "heard_ms": 40, "marks": ["greeting"]})
    );
    pair.tell(AgentCommand::MarkPlayed {
        name: "bye".to_owned(),
        heard_ms: 90,
    })
    .await;
    assert_eq!(
        pair.heard().await,
        json!({"type": "mark", "name": "bye", "heard_ms": 90})
    );
    pair.say(json!({"type": "send_dtmf", "digits": "1#"})).await;
    assert_eq!(pair.next().await, Some(AgentEvent::SendDtmf("1#".to_owned())));
    pair.say(json!({"type": "hang_up", "reason": "done"})).await;
    assert_eq!(
        pair.next().await,
        Some(AgentEvent::HangUp {
            reason: Some("done".to_owned())
        })
    );

    pair.tell(AgentCommand::Stop {
        reason: "agent_hung_up".to_owned(),
    })
    .await;
    assert_eq!(pair.heard().await, json!({"type": "stop", "reason": "agent_hung_up"}));
    assert_eq!(pair.left().await, Some(1000));
    assert_eq!(pair.next().await, None);
}

#[tokio::test]
async fn before_the_start_an_agent_can_only_refuse() {
    let mut pair = Pair::connected(Protocol::Strowger, limits()).await;
    pair.agent.send(Message::binary(vec![0; 641])).await.unwrap();
    pair.say(json!({"type": "mark", "name": "early"})).await;
    pair.say(json!({"type": "hang_up"})).await;
    assert_eq!(pair.next().await, Some(AgentEvent::HangUp { reason: None }));
    // The odd byte of what was dropped does not shift what comes later.
    pair.tell(AgentCommand::Start).await;
    assert_eq!(pair.heard().await["type"], "start");
    pair.agent.send(Message::binary([0x01, 0x02].repeat(2))).await.unwrap();
    assert_eq!(pair.next().await, Some(AgentEvent::Audio(vec![0x0201; 2])));
}

#[tokio::test]
async fn a_start_that_comes_while_connecting_waits_for_the_connection() {
    let (listener, url) = listen().await;
    let spec = spec(Protocol::MediaStreams, &url);
    let mut link = connect(spec, call(), limits(), dial());
    link.commands.send(AgentCommand::Start).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut agent = tokio_tungstenite::accept_async(stream).await.unwrap();
    assert_eq!(next(&mut link).await, Some(AgentEvent::Connected));
    assert!(
        agent
            .next()
            .await
            .unwrap()
            .unwrap()
            .to_text()
            .unwrap()
            .contains("connected")
    );
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_a_failure_with_a_reason() {
    let (listener, url) = listen().await;
    drop(listener);
    let reason = failure(spec(Protocol::MediaStreams, &url), limits(), dial()).await;
    assert!(reason.contains("connection refused"), "{reason}");
}

#[tokio::test]
async fn handshakes_fail_with_what_the_other_side_said() {
    let refuses = "HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nhush";
    let redirects = "HTTP/1.1 302 Found\r\nlocation: ws://127.0.0.1/\r\n\r\n";
    let garbage = "220 mail.example.com ESMTP\r\n\r\n";
    for (answer, expected) in [
        (refuses, "HTTP status 403"),
        (redirects, "HTTP status 302"),
        (garbage, "did not answer as a WebSocket server"),
        ("", "ended the connection during the handshake"),
    ] {
        let (listener, url) = listen().await;
        let (reason, ()) = tokio::join!(failure(spec(Protocol::Strowger, &url), limits(), dial()), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn the_native_protocol_must_be_agreed_to() {
    let (listener, url) = listen().await;
    let (reason, _) = tokio::join!(failure(spec(Protocol::Strowger, &url), limits(), dial()), async {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_async(stream).await.unwrap()
    });
    assert!(reason.contains("strowger.v1"), "{reason}");
}

#[tokio::test]
async fn plain_text_where_tls_is_due_is_told_as_such() {
    let (listener, url) = listen().await;
    let url = url.replace("ws://", "wss://");
    let (reason, ()) = tokio::join!(failure(spec(Protocol::MediaStreams, &url), limits(), dial()), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    assert!(reason.contains("TLS"), "{reason}");
}

/// Serves one WebSocket over TLS with the certificate of these tests, on a thread of its own, and says `clear` when the call
/// starts. Returns its port.
fn tls_agent() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .unwrap();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let tls = rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::new(config)).unwrap(), socket);
        // A client that does not trust the certificate ends the handshake here, which is what some tests want.
        let Ok(mut agent) = tungstenite::accept(tls) else {
            return;
        };
        while let Ok(message) = agent.read() {
            if message.to_text().is_ok_and(|text| text.contains("customParameters")) {
                agent.send(Message::text(r#"{"event":"clear"}"#)).unwrap();
            }
        }
    });
    port
}

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()
}

#[tokio::test]
async fn tls_holds_for_the_name_of_the_agent_and_a_known_authority() {
    let resolver = || Arc::new(Fixed(Ok(vec!["127.0.0.1".parse().unwrap()])));
    let trusting = CheckedDial::new(|_| Ok(()), resolver(), tls_config(&[certificate()]).unwrap());
    for name in ["agent.example.com", "agent.example.com."] {
        let url = format!("wss://{name}:{}/bot", tls_agent());
        let mut link = connect(spec(Protocol::MediaStreams, &url), call(), limits(), trusting.clone());
        assert_eq!(next(&mut link).await, Some(AgentEvent::Connected));
        link.commands.send(AgentCommand::Start).await.unwrap();
        assert_eq!(next(&mut link).await, Some(AgentEvent::Clear));
        timeout(DEADLINE, link.finish()).await.unwrap();
    }

    let url = format!("wss://other.example.com:{}/bot?key=hush", tls_agent());
    let reason = failure(spec(Protocol::MediaStreams, &url), limits(), trusting).await;
    assert!(reason.contains("not valid for name"), "{reason}");

    let url = format!("wss://agent.example.com:{}/bot?key=hush", tls_agent());
    let distrusting = CheckedDial::new(|_| Ok(()), resolver(), tls_config(&[]).unwrap());
    let reason = failure(spec(Protocol::MediaStreams, &url), limits(), distrusting).await;
    assert!(reason.contains("TLS"), "{reason}");
}

#[tokio::test]
async fn an_agent_that_never_completes_the_handshake_is_given_up() {
    let (_listener, url) = listen().await;
    let limits = AgentLimits {
        connect_timeout: Duration::from_millis(50),
        ..AgentLimits::default()
    };
    let reason = failure(spec(Protocol::MediaStreams, &url), limits, dial()).await;
    assert!(reason.contains("within 50 ms"), "{reason}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_named_without_its_value() {
    for (name, value, expected) in [
        ("host", "hush", "`host` is set by the gateway"),
        ("Sec-WebSocket-Key", "hush", "`sec-websocket-key` is set by the gateway"),
        ("x-key", "hush\r\nevil: 1", "`x-key` contains a control character"),
        ("x key", "hush", "not a token"),
    ] {
        let mut spec = spec(Protocol::MediaStreams, "ws://127.0.0.1:1/");
        spec.headers = vec![(name.to_owned(), Secret::new(value))];
        let reason = failure(spec, limits(), dial()).await;
        assert!(reason.contains(expected), "{reason}");
    }
    for url in ["http://agent.example.com/", "ws://user:hush@agent.example.com/"] {
        let reason = failure(spec(Protocol::MediaStreams, url), limits(), dial()).await;
        assert!(reason.contains("not configured properly"), "{reason}");
    }
}

/// Answers every name with the same addresses.
#[derive(Debug)]
struct Fixed(io::Result<Vec<IpAddr>>);

impl Resolver for Fixed {
    fn lookup(&self, _host: &str) -> Lookup {
        let answer = match &self.0 {
            Ok(addresses) => Ok(addresses.clone()),
            Err(error) => Err(error.kind().into()),
        };
        Box::pin(async { answer })
    }
}

fn strict(answer: io::Result<Vec<IpAddr>>) -> CheckedDial {
    let check = |address: IpAddr| {
        if address.is_loopback() {
            Err(NetworkClass::Loopback)
        } else {
            Ok(())
        }
    };
    CheckedDial::new(check, Arc::new(Fixed(answer)), tls_config(&[]).unwrap())
}

#[tokio::test]
async fn an_agent_in_a_network_that_was_not_granted_is_not_connected_to() {
    let (listener, url) = listen().await;
    let named = url.replace("127.0.0.1", "agent.example.com");
    let literal = url.replace("127.0.0.1", "0x7f.1");
    let public_and_loopback = || Ok(vec!["198.51.100.1".parse().unwrap(), "127.0.0.1".parse().unwrap()]);
    for url in [&url, &named, &literal] {
        let reason = failure(
            spec(Protocol::MediaStreams, url),
            limits(),
            strict(public_and_loopback()),
        )
        .await;
        assert!(reason.contains("loopback network"), "{reason}");
    }
    let bracketed = failure(
        spec(Protocol::MediaStreams, "ws://[::1]:1/"),
        limits(),
        strict(public_and_loopback()),
    )
    .await;
    assert!(bracketed.contains("loopback network"), "{bracketed}");
    let mut pending = std::pin::pin!(listener.accept());
    assert!(futures_util::poll!(&mut pending).is_pending(), "somebody connected");
}

#[tokio::test]
async fn a_name_without_addresses_is_a_failure() {
    for answer in [Ok(Vec::new()), Err(io::ErrorKind::NotFound.into())] {
        let reason = failure(
            spec(Protocol::MediaStreams, "ws://agent.example.com/"),
            limits(),
            strict(answer),
        )
        .await;
        assert!(reason.contains("cannot be resolved"), "{reason}");
    }
}

#[tokio::test]
async fn of_several_addresses_one_that_answers_is_enough() {
    let (listener, url) = listen().await;
    let port = listener.local_addr().unwrap().port();
    // Nobody listens on the other loopback address.
    let addresses = vec!["127.0.0.9".parse().unwrap(), "127.0.0.1".parse().unwrap()];
    let dial = CheckedDial::new(|_| Ok(()), Arc::new(Fixed(Ok(addresses))), tls_config(&[]).unwrap());
    let url = url.replace(&format!("127.0.0.1:{port}"), &format!("agent.example.com:{port}"));
    let mut link = connect(spec(Protocol::MediaStreams, &url), call(), limits(), dial);
    let (stream, _) = listener.accept().await.unwrap();
    let _agent = tokio_tungstenite::accept_async(stream).await.unwrap();
    assert_eq!(next(&mut link).await, Some(AgentEvent::Connected));
}

#[tokio::test]
async fn an_agent_that_closes_says_why() {
    for (frame, code, reason) in [
        (
            Some(CloseFrame {
                code: CloseCode::Normal,
                reason: "bye".into(),
            }),
            Some(1000),
            "bye",
        ),
        (
            Some(CloseFrame {
                code: 4_000.into(),
                reason: "".into(),
            }),
            Some(4000),
            "",
        ),
        (None, Some(1005), ""),
    ] {
        let mut pair = Pair::started(Protocol::MediaStreams, limits()).await;
        // What was said before still counts.
        pair.say(media(&[0; 160])).await;
        pair.agent.close(frame).await.unwrap();
        // The gateway answers the close message, and the socket ends.
        pair.left().await;
        assert_eq!(pair.next().await, Some(AgentEvent::Audio(vec![0; 160])));
        let reason = reason.to_owned();
        assert_eq!(pair.next().await, Some(AgentEvent::Closed { code, reason }));
        assert_eq!(pair.next().await, None);
    }
}

#[tokio::test]
async fn an_agent_that_dies_mid_call_is_lost_without_a_code() {
    let Pair { agent, mut link, .. } = Pair::started(Protocol::Strowger, limits()).await;
    drop(agent);
    assert!(matches!(
        next(&mut link).await,
        Some(AgentEvent::Closed { code: None, .. })
    ));
    assert_eq!(next(&mut link).await, None);
}

#[tokio::test]
async fn words_that_an_agent_left_behind_are_read_although_writing_fails() {
    let Pair {
        mut agent, mut link, ..
    } = Pair::started(Protocol::Strowger, limits()).await;
    // The session takes nothing, so that the gateway reads nothing, while its writes meet a closed socket.
    for _ in 0..20 {
        agent.send(Message::binary(vec![0; 320])).await.unwrap();
    }
    agent.send(Message::text(r#"{"type":"hang_up"}"#)).await.unwrap();
    agent
        .close(Some(CloseFrame {
            code: CloseCode::Away,
            reason: "".into(),
        }))
        .await
        .unwrap();
    for _ in 0..20 {
        let _ = link.commands.send(AgentCommand::Audio(vec![0; 320])).await;
        assert_eq!(next(&mut link).await, Some(AgentEvent::Audio(vec![0; 160])));
    }
    assert_eq!(next(&mut link).await, Some(AgentEvent::HangUp { reason: None }));
    assert_eq!(
        next(&mut link).await,
        Some(AgentEvent::Closed {
            code: Some(1001),
            reason: String::new()
        })
    );
}

#[tokio::test]
async fn an_agent_that_answers_no_ping_is_stalled() {
    // It is connected and never read from again.
    let mut pair = Pair::started(Protocol::MediaStreams, impatient()).await;
    let begun = Instant::now();
    assert_eq!(pair.next().await, Some(AgentEvent::Stalled));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(pair.next().await, None);
}

#[tokio::test]
async fn an_agent_that_answers_pings_is_not_stalled() {
    let mut pair = Pair::started(Protocol::MediaStreams, impatient()).await;
    // Far more pings than a stall takes to be noticed; reading is what answers them.
    for _ in 0..10 {
        while !matches!(
            timeout(DEADLINE, pair.agent.next()).await.unwrap().unwrap().unwrap(),
            Message::Ping(_)
        ) {}
    }
    pair.say(json!({"event": "clear"})).await;
    assert_eq!(pair.next().await, Some(AgentEvent::Clear));
}

#[tokio::test]
async fn an_agent_that_takes_no_data_is_stalled_and_commands_stay_bounded() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    // No ping comes in time: it is the blocked write that is noticed.
    let limits = AgentLimits {
        ping_interval: DEADLINE,
        ..impatient()
    };
    let Pair {
        agent: _silent,
        mut link,
        ..
    } = Pair::on(listener, spec(Protocol::Strowger, &url), limits).await;
    link.commands.send(AgentCommand::Start).await.unwrap();
    let commands = link.commands.clone();
    let talking = async { while commands.send(AgentCommand::Audio(vec![1; 10_000])).await.is_ok() {} };
    let (event, ()) = tokio::join!(next(&mut link), talking);
    assert_eq!(event, Some(AgentEvent::Stalled));
}

#[tokio::test]
async fn garbage_is_ignored_and_the_call_goes_on() {
    for protocol in [Protocol::MediaStreams, Protocol::Strowger] {
        let mut pair = Pair::started(protocol, limits()).await;
        for garbage in [
            "",
            "{",
            "\u{0}",
            "[[[[",
            r#"{"event":"media","media":{"payload":"%"}}"#,
            r#"{"event":"dance","type":"dance"}"#,
        ] {
            pair.agent.send(Message::text(garbage)).await.unwrap();
        }
        if protocol == Protocol::MediaStreams {
            pair.agent.send(Message::binary(vec![0; 320])).await.unwrap();
        } else {
            for code in [
                "malformed",
                "malformed",
                "malformed",
                "malformed",
                "malformed",
                "unknown_type",
            ] {
                let error = pair.heard().await;
                assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)));
            }
        }
        pair.say(json!({"event": "clear", "type": "clear"})).await;
        assert_eq!(pair.next().await, Some(AgentEvent::Clear));
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_connection_with_1009() {
    for protocol in [Protocol::MediaStreams, Protocol::Strowger] {
        let Pair { agent, mut link, .. } = Pair::started(protocol, limits()).await;
        let (mut sink, mut source) = agent.split();
        let message = Message::binary(vec![0; limits().message_bytes_max + 1]);
        // The gateway does not read all of it, so the agent must be able to read while it writes.
        let (_, closing) = tokio::join!(sink.send(message), timeout(DEADLINE, source.next()));
        assert!(
            matches!(
                closing,
                Ok(Some(Ok(Message::Close(Some(CloseFrame {
                    code: CloseCode::Size,
                    ..
                })))))
            ),
            "{closing:?}"
        );
        let Some(AgentEvent::Closed {
            code: Some(1009),
            reason,
        }) = next(&mut link).await
        else {
            panic!("not closed")
        };
        assert!(reason.contains("262144 bytes"), "{reason}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_the_connection_with_1007() {
    let Pair { agent, mut link, .. } = Pair::started(Protocol::MediaStreams, limits()).await;
    let mut stream = agent.into_inner();
    stream.write_all(&[0x81, 0x02, 0xFF, 0xFE]).await.unwrap();
    assert!(matches!(
        next(&mut link).await,
        Some(AgentEvent::Closed { code: Some(1007), .. })
    ));
}

#[tokio::test]
async fn a_burst_waits_in_the_socket_until_the_session_takes_it() {
    const CHUNKS: i16 = 1_000;
    let mut pair = Pair::started(Protocol::Strowger, limits()).await;
    // 20 s of speech at once, far more than the channel holds.
    let (mut sink, mut source) = pair.agent.split();
    let burst = async {
        for chunk in 0..CHUNKS {
            sink.send(Message::binary(chunk.to_le_bytes().repeat(320)))
                .await
                .unwrap();
        }
    };
    // The other direction flows all the same: the session has not taken a single event yet.
    let caller = async {
        for _ in 0..100 {
            pair.link
                .commands
                .send(AgentCommand::Audio(vec![0; 320]))
                .await
                .unwrap();
        }
        let mut frames = 0;
        while frames < 100 {
            if let Message::Binary(frame) = timeout(DEADLINE, source.next()).await.unwrap().unwrap().unwrap() {
                assert_eq!(frame.len(), 640);
                frames += 1;
            }
        }
        for chunk in 0..CHUNKS {
            assert_eq!(
                timeout(DEADLINE, pair.link.events.recv()).await.unwrap(),
                Some(AgentEvent::Audio(vec![chunk; 320]))
            );
        }
    };
    tokio::join!(burst, caller);
}

#[tokio::test]
async fn a_link_that_is_dropped_takes_leave_of_its_agent() {
    let pair = Pair::started(Protocol::Strowger, limits()).await;
    pair.tell(AgentCommand::Stop {
        reason: "shutdown".to_owned(),
    })
    .await;
    let Pair { mut agent, link, .. } = pair;
    let taking_leave = tokio::spawn(link.finish());
    let stop = timeout(DEADLINE, agent.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(stop.to_text().unwrap(), r#"{"type":"stop","reason":"shutdown"}"#);
    assert!(matches!(
        timeout(DEADLINE, agent.next()).await,
        Ok(Some(Ok(Message::Close(_))))
    ));
    assert!(timeout(DEADLINE, agent.next()).await.unwrap().is_none());
    timeout(DEADLINE, taking_leave).await.unwrap().unwrap();

    let Pair { mut agent, link, .. } = Pair::started(Protocol::Strowger, limits()).await;
    drop(link);
    let stop = timeout(DEADLINE, agent.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(stop.to_text().unwrap(), r#"{"type":"stop","reason":"call_ended"}"#);
}

#[tokio::test]
async fn taking_leave_of_an_agent_that_does_not_listen_is_bounded() {
    let Pair {
        agent: _silent, link, ..
    } = Pair::started(Protocol::Strowger, limits()).await;
    let begun = Instant::now();
    timeout(DEADLINE, link.finish()).await.unwrap();
    assert!(begun.elapsed() >= AgentLimits::default().close_timeout);
}

#[tokio::test]
async fn a_call_that_ends_while_connecting_ends_the_attempt() {
    let (_listener, url) = listen().await;
    let mut link = connect(spec(Protocol::MediaStreams, &url), call(), limits(), dial());
    link.commands
        .send(AgentCommand::Stop {
            reason: "caller_hung_up".to_owned(),
        })
        .await
        .unwrap();
    assert_eq!(next(&mut link).await, None);
    timeout(
        DEADLINE,
        connect(spec(Protocol::MediaStreams, &url), call(), limits(), dial()).finish(),
    )
    .await
    .unwrap();
}

#[test]
fn nothing_secret_or_personal_shows_itself() {
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        spec(Protocol::MediaStreams, "wss://agent.example.com/bot?key=hush"),
        call(),
        AgentEvent::SendDtmf("4711".to_owned()),
        AgentCommand::Dtmf('4'),
        AgentCommand::Audio(vec![4_711; 160]),
    );
    for secret in ["hush", "500555", "calm", "4711", "'4'"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("agent.example.com"), "{shown}");
}

#[test]
fn protocols_have_their_names_and_rates() {
    for protocol in Protocol::ALL {
        assert_eq!(protocol.as_str().parse(), Ok(protocol));
        let expected = if protocol == Protocol::MediaStreams {
            SampleRate::Hz8000
        } else {
            SampleRate::Hz48000
        };
        assert_eq!(protocol.sample_rate(SampleRate::Hz48000), expected);
    }
    assert_eq!("telegraph".parse::<Protocol>(), Err(UnknownProtocol));
}
