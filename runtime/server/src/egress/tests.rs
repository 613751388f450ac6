//! The door against real servers on loopback, with name lookups answered by the tests.
//!
//! Loopback is a private network, so the tests that are about something else grant it, as an operator would.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Also this machine, but another address: it can be granted while the usual one is not.
const OTHER_LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));

/// A certificate for `pbx.example.com` that vouches for itself, valid until October 2126, and its key, which is used nowhere else.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBpDCCAUqgAwIBAgIUaIg3WndZegACVRKhV8asU77zUeQwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPcGJ4LmV4YW1wbGUuY29tMCAXDTI2MTEyMjE2Mzk1M1oYDzIx
MjYxMDI5MTYzOTUzWjAaMRgwFgYDVQQDDA9wYnguZXhhbXBsZS5jb20wWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAQU72IJKBoKsEKbaw5cZZo+j7jdQFr0O3QJ9tQv
qytRkCHybLT5+PoxGeWjCgsPWbPhBwpNSlYah6ch+aa6Ux69o2wwajAdBgNVHQ4E
FgQU9lvVHp1DPLKPK6QsR9Nro38uoA0wHwYDVR0jBBgwFoAU9lvVHp1DPLKPK6Qs
R9Nro38uoA0wGgYDVR0RBBMwEYIPcGJ4LmV4YW1wbGUuY29tMAwGA1UdEwEB/wQC
MAAwCgYIKoZIzj0EAwIDSAAwRQIgJuL7S42RoASQeXYCIvbe+46nYO3D3AD7SkNY
aPomq6MCIQCV/redhhTvsR/jHiug6O7Pe0UwSCbfTaE8aQ855zD8bQ==
-----END CERTIFICATE-----";
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtgOow7Ijph5qfXKq
ywQB1AEEq0YsvIxVq2LdQWm90lKhRANCAAQU72IJKBoKsEKbaw5cZZo+j7jdQFr0
O3QJ9tQvqytRkCHybLT5+PoxGeWjCgsPWbPhBwpNSlYah6ch+aa6Ux69
-----END PRIVATE KEY-----";

/// Answers lookups from a table; each lookup of a name takes its next answer, the last one again and again.
#[derive(Debug, Default)]
struct Names {
    answers: HashMap<String, Vec<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    fn of(answers: &[(&str, &[&[IpAddr]])]) -> Arc<Self> {
        let answers = answers
            .iter()
            .map(|(name, answers)| ((*name).to_owned(), answers.iter().map(|a| a.to_vec()).collect()))
            .collect();
        Arc::new(Self {
            answers,
            asked: Mutex::default(),
        })
    }

    fn local(names: &[&str]) -> Arc<Self> {
        Self::of(
            &names
                .iter()
                .map(|name| (*name, &[&[LOCAL] as &[_]] as &[_]))
                .collect::<Vec<_>>(),
        )
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolver for Names {
    fn lookup(&self, host: &str) -> Lookup {
        let mut asked = self.asked.lock().unwrap();
        let earlier = asked.iter().filter(|name| *name == host).count();
        asked.push(host.to_owned());
        let answer = self
            .answers
            .get(host)
            .and_then(|answers| answers.get(earlier).or(answers.last()))
            .cloned();
        Box::pin(async move { answer.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such name")) })
    }
}

/// Never answers.
#[derive(Debug)]
struct Silence;

impl Resolver for Silence {
    fn lookup(&self, _: &str) -> Lookup {
        Box::pin(std::future::pending())
    }
}

/// What a server does with each request.
#[derive(Clone)]
enum Reply {
    Text(String),
    /// These bytes and then the end of the connection.
    Last(Vec<u8>),
    /// This head and then chunks for as long as somebody reads.
    Endless(&'static str),
    Never,
    /// These bytes at once, without waiting for a request.
    Greeting(&'static str),
}

impl Reply {
    fn ok(body: &str) -> Self {
        Self::Text(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

struct Server {
    port: u16,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(reply: Reply) -> Self {
        Self::listen(TcpListener::bind((LOCAL, 0)).await.unwrap(), reply)
    }

    fn listen(listener: TcpListener, reply: Reply) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (accepted, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::default()));
        let server = Self {
            port,
            accepted: Arc::clone(&accepted),
            requests: Arc::clone(&requests),
        };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, reply.clone(), Arc::clone(&requests)));
            }
        });
        server
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(mut socket: TcpStream, reply: Reply, requests: Arc<Mutex<Vec<String>>>) -> Option<()> {
    if let Reply::Greeting(text) = &reply {
        socket.write_all(text.as_bytes()).await.ok()?;
    }
    loop {
        let request = read_request(&mut socket).await?;
        requests.lock().unwrap().push(request);
        match &reply {
            Reply::Text(text) => socket.write_all(text.as_bytes()).await.ok()?,
            Reply::Last(bytes) => {
                socket.write_all(bytes).await.ok()?;
                return socket.shutdown().await.ok();
            }
            Reply::Endless(head) => {
                socket.write_all(head.as_bytes()).await.ok()?;
                loop {
                    socket.write_all(b"5\r\nagain\r\n").await.ok()?;
                }
            }
            Reply::Never | Reply::Greeting(_) => std::future::pending().await,
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn loopback_granted() -> EgressConfig {
    EgressConfig {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressConfig::default()
    }
}

/// A door through which the names given lead to loopback.
fn door(names: &[&str]) -> Egress {
    Egress::with_resolver(loopback_granted(), Names::local(names)).unwrap()
}

fn grants(texts: &[&str]) -> Vec<HostGrant> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Permission for just the place that the URL names.
fn granted(url: &str) -> Vec<HostGrant> {
    vec![HostGrant::of_url(&Url::parse(url).unwrap()).unwrap()]
}

fn get<'a>(url: &str, grants: &'a [HostGrant]) -> Request<'a> {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        grants,
    }
}

#[track_caller]
fn assert_code(outcome: &Result<Response, EgressError>, code: &str, case: &str) {
    match outcome {
        Ok(response) => panic!("{case}: expected {code}, got {response:?}"),
        Err(error) => assert_eq!(error.code(), code, "{case}: {error:?}"),
    }
}

#[tokio::test]
async fn a_request_arrives_as_it_was_given_and_its_response_comes_back() {
    let reply = "HTTP/1.1 201 Created\r\nX-Two: a\r\nX-Two: b\r\nx-raw: caf\u{e9}\r\ncontent-length: 2\r\n\r\nhi";
    let server = Server::start(Reply::Text(reply.to_owned())).await;
    let url = format!("http://api.example.com.:{}/v1/calls?to=%2B15550100#part", server.port);
    let grants = granted(&url);
    let headers = vec![
        ("Authorization".to_owned(), b"Basic c2VjcmV0".to_vec()),
        ("X-A".to_owned(), b"1".to_vec()),
        ("x-a".to_owned(), b"2".to_vec()),
    ];
    let request = Request {
        method: "POST".to_owned(),
        headers,
        body: Bytes::from_static(b"From=1"),
        ..get(&url, &grants)
    };

    let response = door(&["api.example.com"]).send(request).await.unwrap();

    assert_eq!(response.status, 201);
    assert_eq!(&response.body[..], b"hi");
    let values: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| name == "x-two")
        .map(|(_, value)| &value[..])
        .collect();
    assert_eq!(values, [b"a", b"b"]);
    assert!(
        response
            .headers
            .contains(&("x-raw".to_owned(), "caf\u{e9}".as_bytes().to_vec()))
    );

    let request = server.requests().pop().unwrap();
    assert!(
        request.starts_with("POST /v1/calls?to=%2B15550100 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\nFrom=1"), "{request}");
    for line in [
        "authorization: Basic c2VjcmV0",
        "x-a: 1",
        "x-a: 2",
        "content-length: 6",
        &format!("host: api.example.com:{}", server.port),
    ] {
        assert!(request.contains(&format!("{line}\r\n")), "{line} in {request}");
    }
    assert!(
        request.contains(concat!("user-agent: strowger/", env!("CARGO_PKG_VERSION"), "\r\n")),
        "{request}"
    );
    for header in ["accept-encoding", "referer", "cookie"] {
        assert!(!request.contains(&format!("{header}:")), "{header} in {request}");
    }
}

#[tokio::test]
async fn all_five_methods_pass_and_an_empty_body_has_a_length_where_one_is_expected() {
    let server = Server::start(Reply::ok("")).await;
    let url = format!("http://api.example.com:{}/", server.port);
    let (door, grants) = (door(&["api.example.com"]), granted(&url));
    for (method, length) in [
        ("GET", false),
        ("DELETE", false),
        ("POST", true),
        ("PUT", true),
        ("PATCH", true),
    ] {
        door.send(Request {
            method: method.to_owned(),
            ..get(&url, &grants)
        })
        .await
        .unwrap();
        let request = server.requests().pop().unwrap();
        assert!(request.starts_with(method), "{request}");
        assert_eq!(request.contains("content-length: 0\r\n"), length, "{request}");
        assert!(!request.contains("transfer-encoding"), "{request}");
    }
    // One connection served them all.
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn only_what_was_granted_is_reached() {
    let server = Server::start(Reply::ok("")).await;
    let port = server.port;
    let door = door(&["api.example.com", "evil.example", "example.com", "a.api.example.com"]);
    let granted = grants(&[&format!("http://api.example.com:{port}"), "other.example.com"]);
    for (url, code) in [
        (format!("http://evil.example:{port}/"), "host-not-allowed"),
        (format!("http://example.com:{port}/"), "host-not-allowed"),
        (format!("http://a.api.example.com:{port}/"), "host-not-allowed"),
        (
            format!("http://api.example.com.evil.example:{port}/"),
            "host-not-allowed",
        ),
        (format!("http://127.0.0.1:{port}/"), "host-not-allowed"),
        ("http://api.example.com/".to_owned(), "host-not-allowed"),
        (format!("https://api.example.com:{port}/"), "scheme-not-allowed"),
        ("http://other.example.com/".to_owned(), "scheme-not-allowed"),
        (format!("ftp://api.example.com:{port}/"), "scheme-not-allowed"),
        (format!("ws://api.example.com:{port}/"), "scheme-not-allowed"),
        ("file:///etc/passwd".to_owned(), "scheme-not-allowed"),
        ("data:text/plain,x".to_owned(), "scheme-not-allowed"),
        (
            format!("http://127.0.0.1:{port}#@api.example.com:{port}/"),
            "host-not-allowed",
        ),
        (
            format!("http://127.0.0.1:{port}\\@api.example.com:{port}/"),
            "host-not-allowed",
        ),
    ] {
        assert_code(&door.send(get(&url, &granted)).await, code, &url);
    }
    assert_code(
        &door.send(get(&format!("http://api.example.com:{port}/"), &[])).await,
        "host-not-allowed",
        "no grants",
    );
    assert_eq!(server.accepted(), 0);

    for host in [
        "api.example.com",
        "API.Example.com",
        "api.example.com.",
        "api%2Eexample.com",
        "api。example.com",
    ] {
        door.send(get(&format!("http://{host}:{port}/"), &granted))
            .await
            .unwrap();
    }
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_malformed_request_is_refused_before_anything_is_sent() {
    let server = Server::start(Reply::ok("")).await;
    let url = format!("http://api.example.com:{}/", server.port);
    let (door, grants) = (door(&["api.example.com"]), granted(&url));

    for method in [
        "",
        "get",
        "HEAD",
        "OPTIONS",
        "CONNECT",
        "TRACE",
        "GET ",
        "GET / HTTP/1.1\r\nx: y\r\n\r\nGET",
    ] {
        let request = Request {
            method: method.to_owned(),
            ..get(&url, &grants)
        };
        assert_code(&door.send(request).await, "invalid-request", method);
    }
    let port = server.port;
    for url in [
        String::new(),
        "/v1/calls".to_owned(),
        "api.example.com".to_owned(),
        "http://".to_owned(),
        format!("http://user@api.example.com:{port}/"),
        format!("http://user:secret@api.example.com:{port}/"),
        format!("http://:secret@api.example.com:{port}/"),
        format!(" http://api.example.com:{port}/"),
        format!("http://api.exa\nmple.com:{port}/"),
        format!("http://api.example.com:{port}/a\r\nx: y"),
        format!("http://api.example.com:{port}/a b"),
        format!("http://api.example.com:{port}/\0"),
        format!("http://api.example.com%00.evil.example:{port}/"),
        "http://api.example.com:0/".to_owned(),
        "http://api.example.com:65536/".to_owned(),
        "http://api..example.com/".to_owned(),
        "http://256.256.256.256/".to_owned(),
        "http://1.2.3.4.5/".to_owned(),
        "http://[::1/".to_owned(),
        "http://[fe80::1%25eth0]/".to_owned(),
        format!("http://{}example/", "a.".repeat(140)),
    ] {
        assert_code(&door.send(get(&url, &grants)).await, "invalid-request", &url);
    }
    for (name, value) in [
        ("x-a", &b"1\r\nx-b: 2"[..]),
        ("x-a", b"1\n"),
        ("x-a", b"1\r"),
        ("x-a", b"1\0"),
        ("x-a", b"\x7f"),
        ("x-a\r\nx-b", b"1"),
        ("x a", b"1"),
        ("x-a:", b"1"),
        ("", b"1"),
        ("x-\u{e9}", b"1"),
        (":authority", b"evil.example"),
        ("Host", b"evil.example"),
        ("HOST", b"evil.example"),
        ("Content-Length", b"0"),
        ("Transfer-Encoding", b"chunked"),
        ("Connection", b"upgrade"),
        ("Keep-Alive", b"1"),
        ("Upgrade", b"websocket"),
        ("TE", b"trailers"),
        ("Trailer", b"x"),
        ("Expect", b"100-continue"),
        ("Proxy-Authorization", b"x"),
        ("Proxy-Connection", b"x"),
        ("User-Agent", b"x"),
    ] {
        let request = Request {
            headers: vec![(name.to_owned(), value.to_vec())],
            ..get(&url, &grants)
        };
        assert_code(&door.send(request).await, "invalid-request", name);
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_request_beyond_its_limits_is_refused() {
    let server = Server::start(Reply::ok("")).await;
    let url = format!("http://api.example.com:{}/", server.port);
    let grants = granted(&url);
    let config = EgressConfig {
        request_bytes_max: 10,
        ..loopback_granted()
    };
    let door = Egress::with_resolver(config, Names::local(&["api.example.com"])).unwrap();
    let header = |bytes: usize| ("x-a".to_owned(), vec![b'a'; bytes]);

    let post = |body: &'static [u8]| Request {
        method: "POST".to_owned(),
        body: Bytes::from_static(body),
        ..get(&url, &grants)
    };
    assert_code(&door.send(post(b"01234567890")).await, "too-large", "body");
    assert_code(
        &door
            .send(Request {
                headers: vec![header(1); 65],
                ..get(&url, &grants)
            })
            .await,
        "too-large",
        "header lines",
    );
    assert_code(
        &door
            .send(Request {
                headers: vec![header(16 * 1024)],
                ..get(&url, &grants)
            })
            .await,
        "too-large",
        "header bytes",
    );
    assert_code(
        &door.send(get(&format!("{url}{}", "a".repeat(8 * 1024)), &grants)).await,
        "too-large",
        "URL",
    );
    assert_eq!(server.accepted(), 0);
    let error = door.send(post(b"01234567890")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the request's body is larger than the limit of 10 bytes"
    );
    assert!(!error.may_have_arrived());

    door.send(post(b"0123456789")).await.unwrap();
    door.send(Request {
        headers: vec![header(1); 64],
        ..get(&url, &grants)
    })
    .await
    .unwrap();
}

/// Every spelling is granted, so that nothing but the address check stands in the way.
#[tokio::test]
async fn no_spelling_of_loopback_or_of_a_metadata_service_is_reached() {
    let server = Server::start(Reply::ok("reached")).await;
    let metadata = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
    let names = Names::of(&[
        ("localhost", &[&[LOCAL]]),
        ("localtest.me", &[&[LOCAL]]),
        ("ip6-localhost", &[&["::1".parse().unwrap()]]),
        ("metadata.google.internal", &[&[metadata]]),
        ("169.254.169.254.nip.io", &[&[metadata]]),
        ("a.mapped.example", &[&["::ffff:127.0.0.1".parse().unwrap()]]),
        ("a.nat64.example", &[&["64:ff9b::a9fe:a9fe".parse().unwrap()]]),
        ("mixed.example", &[&[PUBLIC, LOCAL]]),
        ("mixed-last.example", &[&[LOCAL, PUBLIC]]),
    ]);
    let door = Egress::with_resolver(EgressConfig::default(), names).unwrap();

    let spellings = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7f.1",
        "0X7F.0x0.0.0x1",
        "0177.0.0.1",
        "017700000001",
        "127.000.000.001",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "127%2E0%2E0%2E1",
        "１２７.０.０.１",
        "127。0。0。1",
        "①②⑦.⓪.⓪.①",
        "127.255.255.254",
        "0",
        "0x0",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[0000:0000:0000:0000:0000:0000:0000:0001]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::FFFF:7F00:0001]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001::80ff:fffe]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "localtest.me",
        "ip6-localhost",
        "a.mapped.example",
        "mixed.example",
        "mixed-last.example",
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "025177524776",
        "169.254.43518",
        "169.16689662",
        "169.254.169.254.",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1:a9fe:a9:fe00::]",
        "[2002:a9fe:a9fe::1]",
        "[fe80::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "192.0.0.192",
        "100.100.100.200",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "169.254.169.254.nip.io",
        "a.nat64.example",
    ];
    assert!(spellings.len() >= 40);
    for spelling in spellings {
        let url = format!("http://{spelling}:{}/latest/meta-data/", server.port);
        let outcome = door.send(get(&url, &granted(&url))).await;
        assert_code(&outcome, "private-address", spelling);
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn the_error_for_a_private_address_tells_the_cure_and_not_the_address() {
    let names = Names::of(&[("pbx.example.com", &[&[IpAddr::V4(Ipv4Addr::new(10, 11, 12, 13))]])]);
    let door = Egress::with_resolver(EgressConfig::default(), names).unwrap();
    let url = "http://pbx.example.com:8088/ari?api_key=secret";
    let error = door.send(get(url, &granted(url))).await.unwrap_err();
    assert!(matches!(
        error,
        EgressError::PrivateAddress {
            network: NetworkClass::Private,
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        "`http://pbx.example.com:8088` has an address in a private network; \
         if it is meant, the operator adds its range to `allow_networks`"
    );
    assert!(!format!("{error:?}").contains("10.11"));
}

/// Two addresses with one port, which the first may have free and the second not.
async fn one_port_on(first: IpAddr, second: IpAddr) -> (TcpListener, TcpListener) {
    loop {
        let one = TcpListener::bind((first, 0)).await.unwrap();
        if let Ok(other) = TcpListener::bind((second, one.local_addr().unwrap().port())).await {
            return (one, other);
        }
    }
}

#[tokio::test]
async fn an_answer_that_changes_after_the_check_does_not_lead_anywhere_else() {
    let (allowed, forbidden) = one_port_on(OTHER_LOCAL, LOCAL).await;
    let allowed = Server::listen(
        allowed,
        Reply::Last(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()),
    );
    let forbidden = Server::listen(forbidden, Reply::ok("reached"));
    let names = Names::of(&[("rebind.example", &[&[OTHER_LOCAL], &[LOCAL]])]);
    let config = EgressConfig {
        allow_networks: vec!["127.0.0.2".parse().unwrap()],
        ..EgressConfig::default()
    };
    let door = Egress::with_resolver(config, names.clone()).unwrap();
    let url = format!("http://rebind.example:{}/", allowed.port);
    let grants = granted(&url);

    // What was checked is what is connected to: one lookup, and its answer is used.
    assert_eq!(door.send(get(&url, &grants)).await.unwrap().status, 200);
    assert_eq!(names.asked(), ["rebind.example"]);
    assert_eq!((allowed.accepted(), forbidden.accepted()), (1, 0));

    // The server ended the connection, so the next request looks the name up again and is refused.
    for _ in 0..3 {
        assert_code(&door.send(get(&url, &grants)).await, "private-address", "rebound");
    }
    assert_eq!((allowed.accepted(), forbidden.accepted()), (1, 0));
}

#[tokio::test]
async fn a_public_answer_passes_the_check_and_a_later_private_one_does_not() {
    use reqwest::dns::Resolve as _;
    let names = Names::of(&[("rebind.example", &[&[PUBLIC], &[LOCAL], &[PUBLIC, LOCAL], &[]])]);
    let resolver = CheckedResolver {
        resolver: names,
        policy: Arc::new(AddressPolicy::default()),
    };
    let resolve = || resolver.resolve("rebind.example".parse().unwrap());

    let addresses: Vec<_> = resolve().await.map(Iterator::collect).unwrap();
    assert_eq!(addresses, [(PUBLIC, 0).into()]);
    for _ in 0..2 {
        let error = resolve().await.err().unwrap();
        assert!(
            matches!(error.downcast_ref(), Some(Refusal::NotPublic(NetworkClass::Loopback))),
            "{error:?}"
        );
    }
    let error = resolve().await.err().unwrap();
    assert!(
        matches!(error.downcast_ref(), Some(Refusal::Unresolved(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let target = Server::start(Reply::ok("reached")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://127.0.0.1:{}/latest/meta-data/", target.port);
        let reply = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let server = Server::start(Reply::Text(reply)).await;
        let url = format!("http://api.example.com:{}/", server.port);
        let response = door(&["api.example.com"])
            .send(get(&url, &granted(&url)))
            .await
            .unwrap();
        assert_eq!(response.status, status);
        assert!(
            response
                .headers
                .contains(&("location".to_owned(), location.into_bytes()))
        );
    }
    assert_eq!(target.accepted(), 0);
}

#[tokio::test]
async fn a_cookie_is_returned_and_not_kept() {
    let server = Server::start(Reply::Text(
        "HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n".to_owned(),
    ))
    .await;
    let url = format!("http://api.example.com:{}/", server.port);
    let (door, grants) = (door(&["api.example.com"]), granted(&url));
    for _ in 0..2 {
        let response = door.send(get(&url, &grants)).await.unwrap();
        assert!(response.headers.contains(&("set-cookie".to_owned(), b"a=b".to_vec())));
    }
    assert!(server.requests().iter().all(|request| !request.contains("cookie")));
}

#[tokio::test]
async fn a_route_leads_elsewhere_for_exactly_its_host() {
    let simulator = Server::start(Reply::ok("simulated")).await;
    let base = format!("http://127.0.0.1:{}/carrier/", simulator.port);
    let named = format!("http://simulator.internal:{}", simulator.port);
    let config = EgressConfig {
        routes: vec![
            Route {
                host: "api.example.com".parse().unwrap(),
                base: base.parse().unwrap(),
            },
            Route {
                host: "api.example.com:8443".parse().unwrap(),
                base: named.parse().unwrap(),
            },
        ],
        ..EgressConfig::default()
    };
    let names = Names::local(&["simulator.internal", "other.example.com", "api.example.com"]);
    let door = Egress::with_resolver(config, names.clone()).unwrap();
    let all = grants(&[
        "api.example.com",
        "api.example.com:8443",
        "http://api.example.com",
        "api.example.com:444",
        "other.example.com",
        &format!("http://127.0.0.1:{}", simulator.port),
        &named,
    ]);

    for url in [
        "https://api.example.com/v1/../v2/%2e%2e/calls/a%2Fb?to=1&x",
        "https://API.example.com.:443/calls/a%2Fb?to=1&x",
    ] {
        let response = door.send(get(url, &all)).await.unwrap();
        assert_eq!(&response.body[..], b"simulated");
        let request = simulator.requests().pop().unwrap();
        assert!(
            request.starts_with("GET /carrier/calls/a%2Fb?to=1&x HTTP/1.1\r\n"),
            "{request}"
        );
    }
    // An address needs no lookup, and the original host must not be looked up.
    assert!(names.asked().is_empty());
    door.send(get("https://api.example.com:8443/calls", &all))
        .await
        .unwrap();
    assert_eq!(names.asked(), ["simulator.internal"]);
    assert!(
        simulator
            .requests()
            .pop()
            .unwrap()
            .starts_with("GET /calls HTTP/1.1\r\n")
    );
    let accepted = simulator.accepted();

    // The base itself stays private, though connections to it are open and every host here is granted.
    for url in [
        base.as_str(),
        named.as_str(),
        "http://api.example.com/",
        "https://api.example.com:444/",
        "https://other.example.com/",
    ] {
        assert_code(&door.send(get(url, &all)).await, "private-address", url);
    }
    // A route is no permission.
    assert_code(
        &door
            .send(get("https://api.example.com/", &grants(&["other.example.com"])))
            .await,
        "host-not-allowed",
        "not granted",
    );
    assert_eq!((simulator.accepted(), simulator.requests().len()), (accepted, 3));
}

#[tokio::test]
async fn the_routed_client_resolves_nothing_but_its_bases() {
    use reqwest::dns::Resolve as _;
    let resolver = RoutedResolver {
        resolver: Names::local(&["a.example", "b.example"]),
        hosts: ["a.example".to_owned()].into(),
    };
    assert!(resolver.resolve("a.example".parse().unwrap()).await.is_ok());
    assert!(resolver.resolve("b.example".parse().unwrap()).await.is_err());
}

#[test]
fn routes_that_cannot_mean_anything_are_refused() {
    let route = |base: &str| Route {
        host: "api.example.com".parse().unwrap(),
        base: base.parse().unwrap(),
    };
    let open = |routes: Vec<Route>| {
        Egress::new(EgressConfig {
            routes,
            ..EgressConfig::default()
        })
    };
    for base in [
        "ftp://a.example",
        "file:///tmp",
        "mailto:a@a.example",
        "http://u:p@a.example",
        "http://a.example/?x",
        "http://a.example/#x",
    ] {
        let error = open(vec![route(base)]).unwrap_err();
        assert!(matches!(error, EgressConfigError::RouteBase { .. }), "{base}");
        assert!(!error.to_string().contains("u:p"));
    }
    let error = open(vec![route("http://a.example"), route("http://b.example")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there are two routes for `api.example.com`; remove one"
    );
}

#[tokio::test]
async fn a_name_without_addresses_is_a_resolve_error() {
    let door = Egress::with_resolver(EgressConfig::default(), Names::of(&[("empty.example", &[&[]])])).unwrap();
    for url in ["https://unknown.example/", "https://empty.example/"] {
        let outcome = door.send(get(url, &granted(url))).await;
        assert_code(&outcome, "resolve", url);
        assert!(outcome.unwrap_err().source().is_some());
    }
}

#[tokio::test]
async fn a_closed_port_is_a_connect_error() {
    // Bound but not listening: nobody else can take the port meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((LOCAL, 0).into()).unwrap();
    let url = format!(
        "http://api.example.com:{}/?key=secret",
        socket.local_addr().unwrap().port()
    );
    let error = door(&["api.example.com"])
        .send(get(&url, &granted(&url)))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            EgressError::Connect {
                reason: io::ErrorKind::ConnectionRefused,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!error.may_have_arrived());
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[tokio::test]
async fn a_lookup_that_never_ends_times_out_before_anything_is_sent() {
    let config = EgressConfig {
        connect_timeout: Duration::from_millis(50),
        ..EgressConfig::default()
    };
    let door = Egress::with_resolver(config, Arc::new(Silence)).unwrap();
    let url = "https://api.example.com/";
    let error = door.send(get(url, &granted(url))).await.unwrap_err();
    assert!(
        matches!(
            error,
            EgressError::Timeout {
                phase: Phase::Connect,
                limit_ms: 50,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!error.may_have_arrived());
}

#[tokio::test]
async fn a_slow_response_times_out() {
    for reply in [
        Reply::Never,
        // The head arrives, the body does not.
        Reply::Text("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhal".to_owned()),
        Reply::Text("HTTP/1.1 200 OK\r\nx-unfinished: ".to_owned()),
        Reply::Text("HTTP/1.1 103 Early Hints\r\n\r\n".to_owned()),
    ] {
        let server = Server::start(reply).await;
        let url = format!("http://api.example.com:{}/", server.port);
        let config = EgressConfig {
            total_timeout: Duration::from_millis(100),
            ..loopback_granted()
        };
        let door = Egress::with_resolver(config, Names::local(&["api.example.com"])).unwrap();
        let error = door.send(get(&url, &granted(&url))).await.unwrap_err();
        assert!(
            matches!(
                error,
                EgressError::Timeout {
                    phase: Phase::Response,
                    limit_ms: 100,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(error.may_have_arrived());
    }
}

#[tokio::test]
async fn a_response_body_is_read_up_to_its_limit_and_no_further() {
    let limit = 1000;
    let door = |limit| {
        let config = EgressConfig {
            response_bytes_max: limit,
            ..loopback_granted()
        };
        Egress::with_resolver(config, Names::local(&["api.example.com"])).unwrap()
    };
    let server = Server::start(Reply::ok(&"a".repeat(limit))).await;
    let url = format!("http://api.example.com:{}/", server.port);
    assert_eq!(
        door(limit).send(get(&url, &granted(&url))).await.unwrap().body.len(),
        limit
    );
    let error = door(limit - 1).send(get(&url, &granted(&url))).await.unwrap_err();
    assert!(
        matches!(
            error,
            EgressError::TooLarge {
                part: Part::ResponseBody,
                limit: 999
            }
        ),
        "{error:?}"
    );
    assert!(error.may_have_arrived());

    for reply in [
        Reply::Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        // Without a length the body lasts as long as the connection.
        Reply::Endless("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"),
        // An announcement alone is enough.
        Reply::Text("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_owned()),
        Reply::Text(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", u64::MAX - 2)),
    ] {
        let server = Server::start(reply).await;
        let url = format!("http://api.example.com:{}/", server.port);
        assert_code(
            &door(limit).send(get(&url, &granted(&url))).await,
            "too-large",
            "endless",
        );
    }
}

#[tokio::test]
async fn a_compressed_body_is_passed_on_as_it_is() {
    let server = Server::start(Reply::Text(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x08ab".to_owned(),
    ))
    .await;
    let url = format!("http://api.example.com:{}/", server.port);
    let response = door(&["api.example.com"])
        .send(get(&url, &granted(&url)))
        .await
        .unwrap();
    assert_eq!(&response.body[..], b"\x1f\x08ab");
}

#[tokio::test]
async fn a_response_head_has_its_limits() {
    let head = |lines: usize, bytes: usize| {
        let lines = format!("x-a: {}\r\n", "a".repeat(bytes)).repeat(lines);
        Reply::Text(format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{lines}\r\n"))
    };
    for (reply, expected) in [
        (head(99, 1), None),
        (head(100, 1), Some(Part::ResponseHeaders)),
        (head(5000, 1), Some(Part::ResponseHeaders)),
        (head(10, 7 * 1024), Some(Part::ResponseHeaderBytes)),
    ] {
        let server = Server::start(reply).await;
        let url = format!("http://api.example.com:{}/", server.port);
        match (
            door(&["api.example.com"]).send(get(&url, &granted(&url))).await,
            expected,
        ) {
            (Ok(_), None) => {}
            (Err(EgressError::TooLarge { part, .. }), Some(expected)) => assert_eq!(part, expected),
            (outcome, expected) => panic!("expected {expected:?}, got {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_broken_response_is_the_remote_sides_fault() {
    for reply in [
        &b""[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhal",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    ] {
        let server = Server::start(Reply::Last(reply.to_vec())).await;
        let url = format!("http://api.example.com:{}/", server.port);
        let outcome = door(&["api.example.com"]).send(get(&url, &granted(&url))).await;
        assert_code(&outcome, "interrupted", &String::from_utf8_lossy(reply));
        assert!(outcome.unwrap_err().may_have_arrived());
    }
}

/// Serves one TLS connection with the certificate of these tests, on a thread of its own. Returns its port.
fn tls_server() -> u16 {
    let listener = std::net::TcpListener::bind((LOCAL, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut tls = rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::new(config)).unwrap(), socket);
        // A client that does not trust the certificate ends the handshake here, which is what some tests want.
        if tls.read(&mut [0; 1024]).is_ok_and(|bytes| bytes > 0) {
            let name = tls.conn.server_name().unwrap_or("-").to_owned();
            write!(tls, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len()).unwrap();
            tls.flush().unwrap();
        }
    });
    port
}

#[tokio::test]
async fn tls_holds_for_the_name_that_was_asked_for_and_a_known_authority() {
    let root = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let trusting = EgressConfig {
        extra_roots: vec![root],
        ..loopback_granted()
    };
    let names = Names::local(&["pbx.example.com", "other.example.com"]);

    let door = Egress::with_resolver(trusting, names.clone()).unwrap();
    let url = format!("https://pbx.example.com.:{}/", tls_server());
    assert_eq!(
        &door.send(get(&url, &granted(&url))).await.unwrap().body[..],
        b"pbx.example.com"
    );

    let url = format!("https://other.example.com:{}/?key=secret", tls_server());
    let error = door.send(get(&url, &granted(&url))).await.unwrap_err();
    assert!(
        matches!(
            error,
            EgressError::Tls {
                source: rustls::Error::InvalidCertificate(_),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!format!("{error} {error:?}").contains("secret"));
    assert!(!error.may_have_arrived());

    let door = Egress::with_resolver(loopback_granted(), names).unwrap();
    let url = format!("https://pbx.example.com:{}/", tls_server());
    assert_code(&door.send(get(&url, &granted(&url))).await, "tls", "unknown authority");

    let plain = Server::start(Reply::Greeting("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let url = format!("https://pbx.example.com:{}/", plain.port);
    assert_code(&door.send(get(&url, &granted(&url))).await, "tls", "no TLS at all");
}

#[test]
fn debug_shows_neither_path_nor_values_nor_body() {
    let grants = grants(&["api.example.com"]);
    let request = Request {
        method: "POST".to_owned(),
        url: "https://api.example.com/secret-path?secret-query".to_owned(),
        headers: vec![("authorization".to_owned(), b"secret-value".to_vec())],
        body: Bytes::from_static(b"secret-body"),
        grants: &grants,
    };
    let text = format!("{request:?}");
    assert!(!text.contains("secret"), "{text}");
    for part in ["POST", "api.example.com", "authorization", "11"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let response = Response {
        status: 200,
        headers: vec![("x-a".to_owned(), b"secret".to_vec())],
        body: Bytes::from_static(b"secret"),
    };
    assert_eq!(
        format!("{response:?}"),
        r#"Response { status: 200, headers: ["x-a"], body_bytes: 6 }"#
    );
}

/// Collects what is logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn one_event_per_request_tells_method_host_status_and_time_and_nothing_else() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .without_time()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);

    let server = Server::start(Reply::ok("secret")).await;
    let url = format!("http://api.example.com:{}/secret-path?secret-query", server.port);
    let (door, grants) = (door(&["api.example.com"]), granted(&url));
    let request = |url: &str| Request {
        headers: vec![("authorization".to_owned(), b"secret".to_vec())],
        ..get(url, &grants)
    };
    // Whether anybody wants an event is remembered where it is sent from, and a test on another thread may be about to
    // remember a no from the time before this subscriber.
    let wanted = async {
        loop {
            door.send(request(&url)).await.unwrap();
            door.send(request("https://evil.example/")).await.unwrap_err();
            let events = std::mem::take(&mut *log.0.lock().unwrap());
            if String::from_utf8(events).unwrap().matches(r#""egress""#).count() == 2 {
                break;
            }
            tracing::callsite::rebuild_interest_cache();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wanted).await.unwrap();

    door.send(request(&url)).await.unwrap();
    door.send(request("https://evil.example/secret")).await.unwrap_err();
    door.send(request("https://secret@evil.example/secret"))
        .await
        .unwrap_err();
    drop(guard);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let ours: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["fields"]["message"] == "egress")
        .collect();
    assert_eq!(ours.len(), 3, "{log}");
    let host = format!("http://api.example.com:{}", server.port);
    for (event, (method, host, status)) in ours.iter().zip([
        ("GET", host.as_str(), serde_json::json!(200)),
        ("GET", "evil.example", serde_json::json!("host-not-allowed")),
        ("GET", "-", serde_json::json!("invalid-request")),
    ]) {
        let fields = &event["fields"];
        assert_eq!(
            (&fields["method"], &fields["host"], &fields["status"]),
            (&method.into(), &host.into(), &status)
        );
        assert!(fields["milliseconds"].is_u64());
        assert_eq!(fields.as_object().unwrap().len(), 5);
    }
    // Nor do the libraries below give anything away as far as they use the same log, at whatever level.
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn whoever_wants_the_status_only_gets_it_whatever_follows() {
    let huge = format!(
        "HTTP/1.1 202 Accepted\r\ncontent-length: 20000000\r\n\r\n{}",
        "x".repeat(100_000)
    );
    for reply in [
        Reply::ok("fine"),
        Reply::Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        Reply::Last(huge.into_bytes()),
        // A body that never comes.
        Reply::Text("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n".to_owned()),
    ] {
        let server = Server::start(reply).await;
        let url = format!("http://api.example.com:{}/", server.port);
        let grants = granted(&url);
        let status = door(&["api.example.com"]).send_for_status(get(&url, &grants)).await;
        assert!(matches!(status, Ok(200 | 202)), "{status:?}");
    }
    let server = Server::start(Reply::Text(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".to_owned(),
    ))
    .await;
    let url = format!("http://api.example.com:{}/", server.port);
    let grants = granted(&url);
    let status = door(&["api.example.com"]).send_for_status(get(&url, &grants)).await;
    assert_eq!((status.unwrap(), server.requests().len()), (307, 1));
}

#[tokio::test]
async fn a_door_to_granted_networks_only_does_not_lead_to_the_internet() {
    let config = EgressConfig {
        granted_only: true,
        ..loopback_granted()
    };
    let public: IpAddr = "8.8.8.8".parse().unwrap();
    let names = Names::of(&[
        ("pbx.example.com", &[&[LOCAL] as &[_]] as &[_]),
        ("api.example.com", &[&[public] as &[_]] as &[_]),
    ]);
    let door = Egress::with_resolver(config, names).unwrap();
    let server = Server::start(Reply::ok("fine")).await;
    let inside = format!("http://pbx.example.com:{}/", server.port);
    assert_eq!(
        door.send_for_status(get(&inside, &granted(&inside))).await.unwrap(),
        200
    );
    for url in ["http://api.example.com/", "http://8.8.8.8/"] {
        assert_code(&door.send(get(url, &granted(url))).await, "private-address", url);
    }
}
