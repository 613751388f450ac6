//! What must not be seen: in logs at the most detailed level, in the database's file, in recordings of calls and of what guests
//! did, in answers of the API, in pictures.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;
use strowger_server::cli::log_filter;
use strowger_simulator::agent::{AgentDo, AgentScript, AgentWhen};
use strowger_simulator::{Callee, CallerScript, Misbehaviour, Signing};

use crate::harness::{CALLEE, CALLER, DEADLINE, Scenario, created, eventually, finished, ms, tone};
use crate::receiver::Receiver;

const AGENT_SECRET: &str = "sesame-open-the-agent-4711";
/// A key that no other part of a log line is.
const KEY: char = '*';

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// Runs a test on threads whose logs are all caught, as `strowger --log trace` would write them.
fn caught(test: impl AsyncFnOnce()) -> String {
    // Some libraries log through `log`; another test may have installed the bridge, which serves as well.
    let _ = tracing_log::LogTracer::init();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(log_filter("trace").unwrap())
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With one subscriber in the process, a log statement that a thread of another test reaches first is switched off for
    // all threads. With two, each is asked.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let dispatch = tracing::Dispatch::new(subscriber);
    let on_thread = dispatch.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&on_thread)))
        .build()
        .unwrap();
    let _guard = tracing::dispatcher::set_default(&dispatch);
    runtime.block_on(test());
    drop(runtime);
    log.text()
}

/// The secrets of an installation, each with its name.
struct Secrets(Vec<(&'static str, String)>);

/// The ways in which bytes are written down: plain, in base64, hexadecimal, and in URLs. What is shorter than eight bytes occurs
/// by chance.
fn spellings(secret: &str) -> Vec<String> {
    let mut all = vec![
        secret.to_owned(),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        hex::encode(secret),
        hex::encode_upper(secret),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
    ];
    all.sort();
    all.dedup();
    all
}

impl Secrets {
    #[track_caller]
    fn are_not_in(&self, place: &str, bytes: &[u8], except: &[&str]) {
        for (name, secret) in self.0.iter().filter(|(name, _)| !except.contains(name)) {
            for spelling in spellings(secret) {
                if let Some(at) = memchr::memmem::find(bytes, spelling.as_bytes()) {
                    let around = &bytes[at.saturating_sub(300)..(at + 100).min(bytes.len())];
                    panic!(
                        "the {name} is in the {place} as {spelling}: …{}…",
                        String::from_utf8_lossy(around)
                    );
                }
            }
        }
    }
}

/// All files below a folder, but for compiled code, which was made before there were any secrets.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_none_or(|extension| extension != "cwasm"))
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[test]
fn no_number_secret_token_or_key_pressed_is_seen() {
    let secrets = Arc::new(Mutex::new(Vec::new()));
    let found = secrets.clone();
    let log = caught(async move || whole_story(&found).await);
    assert!(
        log.contains("TRACE") && log.contains("call ended"),
        "the log is not what this test believes"
    );
    let secrets = Secrets(std::mem::take(&mut *secrets.lock().unwrap()));
    secrets.are_not_in("log", log.as_bytes(), &[]);
    for line in log
        .lines()
        .filter(|line| line.to_lowercase().contains("dtmf") || line.to_lowercase().contains("digit"))
    {
        assert!(!line.contains(KEY), "the log tells which key was pressed: {line}");
    }
}

/// An inbound call with all that can happen in one, one that is refused, and outbound ones that succeed and fail.
async fn whole_story(found: &Mutex<Vec<(&'static str, String)>>) {
    let script = AgentScript::new()
        .on(
            AgentWhen::Start,
            [tone(440.0, 1_500).into(), AgentDo::Mark("greeting".to_owned())],
        )
        .once(AgentWhen::HeardWhileSpeaking(ms(200)), [AgentDo::Clear])
        .on(AgentWhen::Dtmf(KEY), [AgentDo::HangUp]);
    let installation = Scenario::native(16_000, script)
        .recorded()
        .setting("record_invocations", &true)
        .start()
        .await;
    let headers = json!({ "headers": { "x-agent-key": AGENT_SECRET } });
    let path = format!("/agents/{}", installation.ids.agent);
    installation
        .api
        .send(reqwest::Method::PUT, &path, Some(&headers))
        .await
        .ok();

    let receiver = Receiver::start().await;
    let endpoint = installation
        .api
        .post("/webhook-endpoints", json!({ "url": receiver.url() }))
        .await;
    let endpoint_path = format!("/webhook-endpoints/{}", created(&endpoint));
    let old_secret = endpoint.ok()["secret"].as_str().unwrap().to_owned();
    let rotated = installation
        .api
        .post(&format!("{endpoint_path}/rotate-secret"), json!({}))
        .await;
    let new_secret = rotated.ok()["secret"].as_str().unwrap().to_owned();

    let own = installation.carrier.own_number();
    let wrong = Misbehaviour {
        signing: Signing::Wrong,
        ..Misbehaviour::default()
    };
    finished(&installation.call_in_badly(CallerScript::new().stay(), wrong)).await;
    let call = installation.call_in(
        CallerScript::new()
            .wait_heard(ms(300), DEADLINE)
            .speak(tone(900.0, 500))
            .silence(ms(200))
            .press(KEY)
            .stay(),
    );
    let agent = installation.heard_by_agent().await;
    assert_eq!(agent.header("x-agent-key"), Some(AGENT_SECRET));
    assert_eq!(agent.digits, KEY.to_string());
    let report = finished(&call).await;
    let record = installation.closed_call().await;
    let media_token = report.streams[0].url.rsplit('/').next().unwrap().to_owned();

    let script = CallerScript::new().silence(ms(200)).hang_up();
    let callee = Callee::Answers {
        after: ms(20),
        script,
        answered_by: "human".to_owned(),
    };
    installation.carrier.set_callee(CALLEE, callee);
    placed(&installation, 200).await;
    let outbound = finished(&installation.carrier.next_outbound(DEADLINE).await.unwrap()).await;
    let outbound_token = outbound.streams[0].url.rsplit('/').next().unwrap().to_owned();
    installation.carrier.set_misbehaviour(Misbehaviour {
        rest_error: Some(500),
        ..Misbehaviour::default()
    });
    placed(&installation, 502).await;

    let digits = |number: &str| number.trim_start_matches('+').to_owned();
    let secrets = Secrets(vec![
        ("caller", digits(CALLER)),
        ("callee", digits(CALLEE)),
        ("number", digits(own)),
        ("auth token", installation.token()),
        ("API key", installation.api.key().to_owned()),
        ("agent's header", AGENT_SECRET.to_owned()),
        ("webhook secret", old_secret.trim_start_matches("whsec_").to_owned()),
        ("new webhook secret", new_secret.trim_start_matches("whsec_").to_owned()),
        ("prefix of webhook secrets", "whsec_".to_owned()),
        ("media token", media_token),
        ("outbound media token", outbound_token),
    ]);

    // Numbers are what the API is about; secrets are not.
    let numbers = ["caller", "callee", "number"];
    let id = record["id"].as_str().unwrap();
    let configurations = "/organizations/telephony-configs";
    for path in [
        "/agents".to_owned(),
        path,
        configurations.to_owned(),
        format!("{configurations}/{}", installation.ids.configuration),
        format!("{configurations}/{}/phone-numbers", installation.ids.configuration),
        "/organizations/telephony-providers/metadata".to_owned(),
        "/webhook-endpoints".to_owned(),
        format!("{endpoint_path}/deliveries"),
        endpoint_path.clone(),
        "/calls".to_owned(),
        format!("/calls/{id}"),
        format!("/calls/{id}/events"),
    ] {
        let reply = installation.api.get(&path).await;
        assert_eq!(reply.status, 200, "{path}");
        secrets.are_not_in(&path, &reply.body, &numbers);
    }
    let picture = installation.api.get(&format!("/calls/{id}/timeline.svg")).await;
    secrets.are_not_in("picture", &picture.body, &[]);
    assert!(!picture.text().contains(KEY), "the picture tells which key was pressed");

    // They were used: both sign what the tenant is told, in the numbers of its own.
    let told = receiver
        .until("the calls are told", |told| {
            told.iter().filter(|event| event.kind() == "call.ended").count() >= 2
        })
        .await;
    assert!(
        told.iter()
            .all(|event| event.headers["webhook-signature"].contains(' '))
    );
    assert!(told.iter().any(|event| event.body.contains(CALLER)));

    // What the guests were asked and answered is recorded; the recordings are written by a thread of their own.
    let data = installation.data.path().to_owned();
    let recorded = data.join("invocations");
    eventually("the invocations are recorded", async || {
        (recorded.is_dir() && files(&recorded).len() >= 2).then_some(())
    })
    .await;
    installation.gateway.stop().await;
    let files = files(&data);
    for file in &files {
        let place = file.display().to_string();
        let mut except = numbers.to_vec();
        if file.starts_with(&recorded) {
            // What a guest is given is recorded to the byte, and a media token is an argument. It opens one socket, of a call
            // that is over when somebody reads this.
            except.extend(["media token", "outbound media token"]);
        }
        secrets.are_not_in(&place, &std::fs::read(file).unwrap(), &except);
    }
    assert!(files.len() >= 5, "{files:?}");
    *found.lock().unwrap() = secrets.0;
}

async fn placed(installation: &crate::harness::Installation, status: u16) {
    let reply = installation
        .api
        .post("/telephony/initiate-call", installation.outbound())
        .await;
    assert_eq!(reply.status, status, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_that_comes_back_means_as_it_was() {
    let installation = Scenario::echo().without_number().start().await;
    let path = format!("/organizations/telephony-configs/{}", installation.ids.configuration);
    let shown = installation.api.get(&path).await.ok();
    assert_ne!(shown["config"]["auth_token"], json!(installation.token()));
    let body = json!({ "name": "Renamed", "config": shown["config"] });
    installation
        .api
        .send(reqwest::Method::PUT, &path, Some(&body))
        .await
        .ok();
    // The carrier still accepts it, so it is still there.
    let numbers = format!("{path}/phone-numbers");
    created(
        &installation
            .api
            .post(&numbers, json!({ "address": installation.carrier.own_number() }))
            .await,
    );
}
