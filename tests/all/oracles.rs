//! Independent witnesses: programs that others wrote for this carrier, on ours.
//!
//! Whoever reads a specification wrongly writes the same mistake into the product and into its tests. The official package
//! of Twilio signs webhooks for our verifier, writes the TwiML that ours is compared with, and drives the simulator that
//! all other tests trust; an agent on somebody else's WebSocket library follows the documentation of Media Streams. The
//! programs are in `tests/oracles`; each prints lines of JSON.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strowger_host::operation::{Call, Direction, MediaAddress, RouteUrl};
use strowger_host::{Header, Moment, Provider, RejectionReason, Response, Step, Verdict, Webhook};
use strowger_simulator::g711::decode_mulaw;
use strowger_simulator::report::{CallEvent, HangUp};
use strowger_simulator::{Callee, CallerScript, Gateway as GatewayAddress, Options, RunningCarrier, speech};
use strowger_tests::{credentials, provider, root};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::harness::{CALLER, DEADLINE, Scenario, eventually, finished, lag_of, ms, sounds, stream};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const NOW_MS: u64 = 1_763_800_000_000;

/// Always the same webhooks: a failure can be looked at again.
const SEED: &str = "1";
const WEBHOOKS: usize = 2_000;

/// A program of `tests/oracles` that runs. It is killed when the test is over, whatever its end.
struct Witness {
    child: Child,
    lines: UnboundedReceiver<String>,
    errors: Option<JoinHandle<String>>,
}

impl Witness {
    fn start(program: &str, arguments: &[&str]) -> Self {
        Self::start_with(program, arguments, String::new())
    }

    /// Starts it with something to read.
    fn start_with(program: &str, arguments: &[&str], input: String) -> Self {
        let python =
            std::env::var_os("STROWGER_PYTHON").map_or_else(|| root().join(".tools/oracles/bin/python"), PathBuf::from);
        assert!(
            python.exists(),
            "{} is missing: install the witnesses with `./just oracles`",
            python.display()
        );
        let mut child = Command::new(&python)
            // Isolated from the environment and the packages of whoever runs the tests; no files beside the programs.
            .args(["-I", "-B", "-X", "utf8"])
            .arg(root().join("tests/oracles").join(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        // Each pipe has a thread, so that neither side waits for the other. They end with the program.
        std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let errors = std::thread::spawn(move || {
            let mut words = Vec::new();
            // What there is of them is shown.
            let _ = stderr.read_to_end(&mut words);
            String::from_utf8_lossy(&words).into_owned()
        });
        Self {
            child,
            lines,
            errors: Some(errors),
        }
    }

    /// The next line. Without one the program must have ended well.
    async fn next(&mut self) -> Option<Value> {
        match tokio::time::timeout(DEADLINE, self.lines.recv())
            .await
            .expect("the program says nothing")
        {
            Some(line) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))),
            None => {
                let status = eventually("the program ends", async || self.child.try_wait().unwrap()).await;
                let words = self
                    .errors
                    .take()
                    .map(|errors| errors.join().unwrap())
                    .unwrap_or_default();
                assert!(status.success(), "{status}\n{words}");
                None
            }
        }
    }

    async fn expect(&mut self) -> Value {
        self.next().await.expect("the program has something to say")
    }

    /// All lines up to the program's end.
    async fn rest(mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().await {
            lines.push(line);
        }
        lines
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is not a text: {value}"))
}

fn bytes(value: &Value, field: &str) -> Vec<u8> {
    STANDARD.decode(text(value, field)).unwrap()
}

// Signatures.

/// What our verifier finds.
fn is_genuine(twilio: &Provider, case: &Value) -> bool {
    let mut entered = case["credentials"].clone();
    entered["account_sid"] = json!(ACCOUNT);
    let headers = case["headers"].as_array().unwrap().iter();
    let webhook = Webhook {
        method: text(case, "method").to_owned(),
        url: text(case, "url").to_owned(),
        headers: headers
            .map(|pair| Header {
                name: pair[0].as_str().unwrap().to_owned(),
                value: pair[1].as_str().unwrap().to_owned(),
            })
            .collect(),
        body: bytes(case, "body"),
        received_at: NOW_MS,
    };
    match twilio.verify(&credentials(twilio, &entered), &webhook, &Moment::at(NOW_MS)) {
        Ok(Verdict::Genuine { .. }) => true,
        Ok(Verdict::Refused(_)) => false,
        Err(error) => panic!("{error}: {case:#}"),
    }
}

/// Where ours and the official verdict differ, and what was compared, counted.
fn compare(twilio: &Provider, cases: &[Value]) -> (Vec<String>, BTreeMap<String, usize>) {
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::new();
    for case in cases {
        let mut count = |what: String| *counts.entry(what).or_default() += 1;
        let why = text(case, "why");
        // What the official package has signed is genuine, even where its own validator does not see it.
        if !is_genuine(twilio, case) {
            wrong.push(format!("genuine, but refused: {case:#}"));
        }
        if case["official"] != json!(why.is_empty()) {
            wrong.push(format!("the official validator is not as it was: {case:#}"));
        }
        count(format!("signed {}", text(case, "kind")));
        count(format!("signed with known defect {why:?}"));
        for change in case["changes"].as_array().unwrap() {
            let official = change["official"].as_bool().unwrap();
            if is_genuine(twilio, change) != official {
                wrong.push(format!("with another {}: {change:#}", text(change, "what")));
            }
            count(format!("changed {}: {official}", text(change, "what")));
        }
    }
    (wrong, counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_official_package_signs_is_genuine_and_what_was_changed_is_not() {
    let cases = Witness::start("sign.py", &[SEED, &WEBHOOKS.to_string()]).rest().await;
    assert_eq!(cases.len(), WEBHOOKS);
    let twilio = provider("twilio");
    let (wrong, counts) = tokio::task::spawn_blocking(move || compare(&twilio, &cases))
        .await
        .unwrap();
    assert!(
        wrong.is_empty(),
        "{} verdicts are wrong; the first:\n{}",
        wrong.len(),
        wrong[0]
    );
    // A generator that no longer makes one of these would make this test blind.
    for (what, at_least) in [
        ("signed form", 500),
        ("signed get", 100),
        ("signed json", 200),
        ("signed empty", 50),
        ("signed form-with-digest", 50),
        ("signed with known defect \"\"", 1_500),
        ("signed with known defect \"ipv6-port-removed\"", 3),
        ("signed with known defect \"user-information-port-removed\"", 3),
        ("signed with known defect \"user-information-left-out\"", 5),
        ("signed with known defect \"empty-query-kept\"", 5),
        ("signed with known defect \"body-digest-upper-case\"", 5),
        ("changed url: false", WEBHOOKS),
        ("changed body: false", WEBHOOKS),
        ("changed signature: false", WEBHOOKS),
        ("changed key: false", WEBHOOKS),
        ("changed settings: false", 500),
        ("changed port: true", 300),
        ("changed port: false", 300),
        ("changed order: true", 500),
    ] {
        assert!(
            counts.get(what).is_some_and(|&count| count >= at_least),
            "{what}: {counts:#?}"
        );
    }
}

// TwiML.

/// One document of ours, and the verbs that the official package makes the other one of.
struct Document {
    name: String,
    response: Response,
    verbs: Value,
}

fn account(twilio: &Provider) -> strowger_host::Credentials {
    credentials(twilio, &json!({ "account_sid": ACCOUNT, "auth_token": "a" }))
}

fn call(id: &str, direction: Direction, stream_callback: &str) -> Call {
    let route = |name: &str, url: &str| RouteUrl {
        name: name.to_owned(),
        url: url.to_owned(),
    };
    Call {
        id: id.to_owned(),
        provider_call_id: Some("CAabcdef0123456789abcdef0123456789".to_owned()),
        direction,
        caller: "+12025550147".to_owned(),
        callee: "+12025550188".to_owned(),
        routes: vec![
            route("answer", "https://gateway.example/answer"),
            route("status-callback", "https://gateway.example/status"),
            route("stream-callback", stream_callback),
        ],
        attachment: None,
    }
}

/// Connects a call to `media_url`.
fn connected(twilio: &Provider, media_url: &str, stream_callback: &str, id: &str) -> Document {
    let call = call(id, Direction::Inbound, stream_callback);
    let media = MediaAddress {
        url: media_url.to_owned(),
        base_url: "wss://gateway.example/ws".to_owned(),
        token: "t".to_owned(),
    };
    let webhook = Webhook {
        method: "POST".to_owned(),
        url: "https://gateway.example/answer".to_owned(),
        headers: vec![],
        body: vec![],
        received_at: NOW_MS,
    };
    let mut answer = twilio.answer(&account(twilio), call, media, Some(webhook), Moment::at(NOW_MS));
    let response = match answer.step().unwrap() {
        Step::Done(outcome) => outcome.response,
        other => panic!("{other:?}"),
    };
    Document {
        name: format!("{media_url} {stream_callback} {id}"),
        response,
        verbs: json!([
            ["connect-stream", media_url, stream_callback, [["call", id]]],
            ["pause", 40]
        ]),
    }
}

fn refused(twilio: &Provider, direction: Direction, reason: RejectionReason) -> Document {
    let call = call(
        "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192",
        direction,
        "https://gateway.example/stream",
    );
    let mut rejection = twilio.reject_call(&account(twilio), call, reason, Moment::at(NOW_MS));
    let response = match rejection.step().unwrap() {
        Step::Done(response) => response,
        other => panic!("{other:?}"),
    };
    let verbs = match direction {
        Direction::Inbound => refusal_verbs(reason),
        Direction::Outbound => json!([["hangup"]]),
    };
    Document {
        name: format!("{direction:?} {reason:?}"),
        response,
        verbs,
    }
}

fn refusal_verbs(reason: RejectionReason) -> Value {
    let spoken = "This number cannot take your call right now. Please try again later.";
    match reason {
        RejectionReason::AtCapacity => json!([["reject", "busy"]]),
        RejectionReason::UnknownNumber
        | RejectionReason::AccountMismatch
        | RejectionReason::Signature
        | RejectionReason::ProviderMismatch => json!([["reject", null]]),
        RejectionReason::NoAgent | RejectionReason::Quota | RejectionReason::Unavailable => {
            json!([["say", spoken], ["hangup"]])
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_twiml_is_what_the_official_package_writes() {
    /// What markup, attributes and canonical forms treat in a way of their own.
    const NASTY: [&str; 12] = [
        "",
        "a",
        "&",
        "<>\"'",
        "&amp;&lt;&#38;&quot;",
        "]]>",
        "<!--x-->",
        "a  b ",
        "%0A%22",
        "äöü語🎧",
        "\u{a0}\u{2028}\u{85}",
        "\t\n\r",
    ];
    let twilio = provider("twilio");
    let mut documents = Vec::new();
    for nasty in NASTY {
        let media_url = format!("wss://gateway.example/ws/{nasty}");
        let stream_callback = format!("https://gateway.example/stream?a={nasty}&b=");
        documents.push(connected(&twilio, &media_url, &stream_callback, &format!("id{nasty}")));
    }
    for reason in RejectionReason::ALL {
        documents.push(refused(&twilio, Direction::Inbound, reason));
        documents.push(refused(&twilio, Direction::Outbound, reason));
        documents.push(Document {
            name: format!("unconfigured {reason:?}"),
            response: twilio.rejection(reason).clone(),
            verbs: refusal_verbs(reason),
        });
    }
    let mut input = String::new();
    for document in &documents {
        let markup = String::from_utf8(document.response.body.clone()).unwrap();
        let line = json!({ "name": document.name, "markup": markup, "verbs": document.verbs });
        input.push_str(&format!("{line}\n"));
        assert!(
            document
                .response
                .headers
                .contains(&("content-type".to_owned(), "application/xml".to_owned()))
        );
    }
    let compared = Witness::start_with("twiml.py", &[], input).rest().await;
    assert_eq!(compared.len(), documents.len());
    for pair in compared {
        assert_eq!(text(&pair, "ours"), text(&pair, "official"), "{}", pair["name"]);
    }
}

// The REST API of the simulator.

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_finds_its_api_in_the_simulator() {
    const PATIENT: &str = "+12025550188";
    const BUSY: &str = "+12025550199";
    let twilio = strowger_simulator::by_name("twilio").expect("there is a simulated carrier");
    let carrier = RunningCarrier::start(twilio, Options::default()).await.unwrap();
    // No webhook is asked for: a carrier only wants to know where it would go.
    carrier
        .set_gateway(GatewayAddress::at("http://127.0.0.1:9").unwrap())
        .unwrap();
    carrier.set_callee(PATIENT, Callee::default());
    carrier.set_callee(
        BUSY,
        Callee::NoAnswer {
            after: Duration::from_secs(600),
        },
    );
    let more = ["+15005550101", "+15005550102", "+15005550103"];
    more.iter().for_each(|number| carrier.add_number(number));

    let base = format!("http://{}", carrier.rest_addr());
    let account = carrier.credentials();
    let (sid, token) = (text(&account, "account_sid"), text(&account, "auth_token"));
    let arguments = [&base, sid, token, carrier.own_number(), PATIENT, BUSY];
    let seen = Witness::start("rest_client.py", &arguments).rest().await.remove(0);

    let created = &seen["created"];
    assert!(
        text(created, "sid").starts_with("CA") && text(created, "sid").len() == 34,
        "{created}"
    );
    assert_eq!(text(created, "account_sid"), sid);
    assert_eq!(
        (text(created, "status"), text(created, "direction")),
        ("queued", "outbound-api")
    );
    assert_eq!(
        (text(created, "to"), text(created, "from_formatted")),
        (PATIENT, carrier.own_number())
    );
    assert!(created["date_created"].is_number(), "{created}");
    assert!(created["end_time"].is_null() && created["price"].is_null(), "{created}");
    assert!(seen["answered"]["start_time"].is_number(), "{}", seen["answered"]);
    let completed = &seen["completed"];
    assert!(
        completed["start_time"].as_f64() <= completed["end_time"].as_f64(),
        "{completed}"
    );
    assert!(text(completed, "duration").parse::<u64>().is_ok(), "{completed}");
    let priced = &seen["priced"];
    assert!(
        text(priced, "price").parse::<f64>().is_ok_and(|price| price <= 0.0),
        "{priced}"
    );
    assert_eq!(text(priced, "price_unit"), "USD");
    assert_eq!(text(&seen["canceled"], "status"), "canceled");

    for (attempt, status, code) in [
        ("hung_up_again", 404, 20404),
        ("unknown_call", 404, 20404),
        ("unknown_number", 404, 20404),
        ("unauthorised", 401, 20003),
        ("without_url", 400, 21205),
        ("foreign_caller_id", 400, 21210),
        ("not_a_number", 400, 21211),
    ] {
        assert_eq!(
            (&seen[attempt]["status"], &seen[attempt]["code"]),
            (&json!(status), &json!(code)),
            "{attempt}"
        );
        assert!(!text(&seen[attempt], "message").is_empty(), "{attempt}");
    }

    let all = [&[carrier.own_number()], &more[..]].concat();
    assert_eq!(seen["all_numbers"], json!(all), "page after page");
    assert_eq!(seen["found_numbers"], json!([carrier.own_number()]));
    let url = "https://gateway.example/voice?a=1&b=ä ö";
    let told = json!([url, "POST", format!("{url}#end")]);
    assert_eq!((&seen["voice_url"], &seen["voice_url_kept"]), (&told, &told));
    assert_eq!(carrier.number(carrier.own_number()).unwrap().voice.url, url);
    assert_eq!(seen["account"], "active");
    let calls = carrier.calls();
    assert_eq!(calls.len(), 2);
    let ended = finished(&calls[0]).await;
    assert!(ended.happened(&CallEvent::HungUp(HangUp::Rest)), "{ended:#?}");
}

// An agent of somebody else's.

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
