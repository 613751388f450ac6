//! Set-up over the real components: what they make at their carriers when a configuration is saved, what is left to do
//! before calls go out, trunks, and configurations that take no part.
//!
//! The carriers' REST API is played by [`Rest`], which answers what a test tells it: only the requests and what follows from
//! the answers matter here.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};
use strowger_server::store::ConfigurationId;
use strowger_simulator::CallerScript;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{CALLEE, Installation, Reply, Scenario, created, finished, ms, tone};

const CONFIGS: &str = "/organizations/telephony-configs";

/// A request that a carrier got.
#[derive(Debug, Clone)]
struct Asked {
    /// Method and path.
    what: String,
    body: Value,
}

/// An answer to the next request whose method and path begin like this.
#[derive(Debug)]
struct Fault {
    what: &'static str,
    answer: (u16, Value),
}

type Answers = dyn Fn(&str) -> (u16, Value) + Send + Sync;

/// A carrier's REST API that answers by method and path.
struct Rest {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Come before the usual answer, each once.
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl Rest {
    async fn start(answers: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rest = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            faults: Arc::default(),
        };
        let (asked, faults) = (rest.asked.clone(), rest.faults.clone());
        let answers: Arc<Answers> = Arc::new(answers);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (asked, faults, answers) = (asked.clone(), faults.clone(), answers.clone());
                tokio::spawn(async move {
                    let answer = |request: &Asked| {
                        asked.lock().unwrap().push(request.clone());
                        let mut faults = faults.lock().unwrap();
                        match faults.pop_front_if(|fault| request.what.starts_with(fault.what)) {
                            Some(fault) => fault.answer,
                            None => answers(&request.what),
                        }
                    };
                    // A gateway that has enough may close.
                    let _ = serve(socket, answer).await;
                });
            }
        });
        rest
    }

    /// The next request that begins like this gets another answer.
    fn fail(&self, what: &'static str, status: u16, body: Value) {
        let answer = (status, body);
        self.faults.lock().unwrap().push_back(Fault { what, answer });
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// The same, by method and path.
    fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.what).collect()
    }

    /// A gateway whose requests to `host` come here.
    async fn behind(&self, host: &str) -> Installation {
        Scenario::echo()
            .without_number()
            .setting("egress_routes", &format!("{host}=http://{}", self.address))
            .start()
            .await
    }
}

/// HTTP/1.1, one request for each connection.
async fn serve(socket: TcpStream, answer: impl Fn(&Asked) -> (u16, Value)) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let mut line = String::new();
    socket.read_line(&mut line).await?;
    let what = line.rsplit_once(" HTTP/").map_or("", |(what, _)| what).to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        socket.read_line(&mut header).await?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, body) = answer(&Asked { what, body });
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let head = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(format!("{head}{body}").as_bytes()).await?;
    socket.flush().await
}

impl Installation {
    async fn save(&self, name: &str, config: &Value) -> Reply {
        self.api.post(CONFIGS, json!({ "name": name, "config": config })).await
    }

    async fn put(&self, path: &str, body: Value) -> Reply {
        self.api.send(Method::PUT, path, Some(&body)).await
    }

    /// How many configurations there are beside the one of the scenario.
    async fn others(&self) -> usize {
        let listed = self.api.get(CONFIGS).await.ok();
        listed["configurations"].as_array().unwrap().len() - 1
    }
}

/// A form as a client fills it in and sends it back.
fn edited(detail: &Value, field: &str, value: &str) -> Value {
    let mut config = detail["credentials"].clone();
    config["provider"] = detail["provider"].clone();
    config[field] = json!(value);
    json!({ "config": config })
}

fn path_of(detail: &Value) -> String {
    format!("{CONFIGS}/{}", detail["id"].as_str().unwrap())
}

fn step<'a>(detail: &'a Value, key: &str) -> &'a Value {
    let steps = detail["setup_checklist"]["steps"].as_array().unwrap();
    steps
        .iter()
        .find(|step| step["key"] == key)
        .unwrap_or_else(|| panic!("no step {key}: {steps:#?}"))
}

const PLIVO: &str = "api.plivo.com";

fn plivo() -> Value {
    json!({ "provider": "plivo", "auth_id": "MAXXXXXXXXXXXXXXXXXX", "auth_token": "0123456789abcdef0123456789abcdef" })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_made_once_when_a_configuration_is_saved() {
    let rest = Rest::start(|_| (201, json!({ "app_id": 20468599130939380_u64, "message": "created" }))).await;
    let gateway = rest.behind(PLIVO).await;
    let detail = gateway.save("plivo", &plivo()).await.ok();
    let asked = rest.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].what, "POST /v1/Account/MAXXXXXXXXXXXXXXXXXX/Application/");
    let dispatcher = format!("{}/api/v1/telephony/inbound/run", gateway.base());
    assert_eq!(asked[0].body["answer_url"], json!(dispatcher));
    let name = asked[0].body["app_name"].as_str().unwrap();
    let unique = name.strip_prefix("strowger-").unwrap();
    assert!(
        unique.len() == 12 && unique.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{name}"
    );
    assert_eq!(detail["credentials"]["application_id"], "20468599130939380");
    assert_eq!(step(&detail, "application")["complete"], true);
    assert_eq!(detail["supports_trunks"], false);

    // Saved again as it was shown, nothing is made.
    let path = path_of(&detail);
    gateway
        .put(&path, edited(&detail, "audio_format", "l16-16000"))
        .await
        .ok();
    assert_eq!(rest.paths(), Vec::<String>::new());
    // A user's own application stays the user's.
    let own = gateway.put(&path, edited(&detail, "application_id", "777")).await.ok();
    assert_eq!(own["credentials"]["application_id"], "777");
    // Without one it is made again, also for an account that has none.
    gateway.put(&path, edited(&detail, "application_id", "")).await.ok();
    assert_eq!(rest.paths().len(), 1);
    let mut other = edited(&detail, "auth_id", "MAYYYYYYYYYYYYYYYYYY");
    other["config"]["auth_token"] = json!("fedcba9876543210fedcba9876543210");
    let detail = gateway.put(&path, other).await.ok();
    assert_eq!(rest.paths(), ["POST /v1/Account/MAYYYYYYYYYYYYYYYYYY/Application/"]);
    assert_eq!(detail["credentials"]["application_id"], "20468599130939380");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_at_the_carrier_leaves_nothing_behind() {
    let rest = Rest::start(|_| (201, json!({ "app_id": "1" }))).await;
    let gateway = rest.behind(PLIVO).await;
    for (status, answer, told) in [
        (401, json!({}), 400),
        (429, json!({}), 429),
        (500, json!("<html>"), 502),
        (201, json!({ "message": "created" }), 502),
        (201, json!("no object"), 502),
    ] {
        rest.fail("POST", status, answer);
        let reply = gateway.save("plivo", &plivo()).await;
        assert_eq!(reply.status, told, "{status}: {}", reply.text());
        let message = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(message.len() > 10 && !message.contains("0123456789abcdef"), "{message}");
        assert_eq!(gateway.others().await, 0);
    }
    rest.asked();
    // The name is taken: the carrier is not asked at all.
    gateway.save("The carrier", &plivo()).await.refused(409);
    // Nor about fields that are wrong.
    let mut wrong = plivo();
    wrong["audio_format"] = json!("mp3");
    gateway.save("plivo", &wrong).await.refused(422);
    assert_eq!(rest.paths(), Vec::<String>::new());

    let detail = gateway.save("plivo", &plivo()).await.ok();
    rest.fail("POST", 500, Value::Null);
    let mut emptied = edited(&detail, "application_id", "");
    emptied["name"] = json!("renamed");
    gateway.put(&path_of(&detail), emptied).await.refused(502);
    let after = gateway.api.get(&path_of(&detail)).await.ok();
    assert_eq!(
        (&after["name"], &after["credentials"]),
        (&json!("plivo"), &detail["credentials"])
    );
}

const CLOUDONIX: &str = "api.cloudonix.io";

/// A domain with nothing in it.
fn cloudonix_rest(asked: &str) -> (u16, Value) {
    static SESSIONS: AtomicUsize = AtomicUsize::new(0);
    let (method, path) = asked.split_once(' ').unwrap_or_default();
    let path = path.strip_prefix("/customers/self").unwrap_or(path);
    let part = path.splitn(4, '/').nth(3).unwrap_or_default();
    match (method, part) {
        ("GET", "") => (200, json!({ "uuid": "d0d0-1" })),
        ("GET", "applications" | "dnids" | "trunks") => (200, json!([])),
        ("GET", _) => (200, json!({ "id": 7, "uuid": "a0a0-7" })),
        ("POST", "applications") => (201, json!({ "id": 7, "uuid": "a0a0-7" })),
        ("POST", "trunks") => (201, json!({ "uuid": "t0t0-1" })),
        ("POST", "application") => {
            let session = SESSIONS.fetch_add(1, Ordering::Relaxed);
            (200, json!({ "token": format!("session-{session}") }))
        }
        _ => (200, json!({})),
    }
}

fn cloudonix() -> Value {
    json!({ "provider": "cloudonix", "bearer_token": "XI0123456789ABCDEF0123456789ABCDEF", "domain_id": "Acme" })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_manages_is_kept_hidden_and_goes_with_its_account() {
    let rest = Rest::start(cloudonix_rest).await;
    let gateway = rest.behind(CLOUDONIX).await;
    let mut forged = cloudonix();
    forged["domain_uuid"] = json!("forged");
    forged["managed_by"] = json!("forged");
    let detail = gateway.save("domain", &forged).await.ok();
    let asked = rest.asked();
    let paths: Vec<&str> = asked.iter().map(|asked| &*asked.what).collect();
    let domain = "/customers/self/domains/acme.cloudonix.net";
    assert_eq!(
        paths,
        [
            format!("GET {domain}"),
            format!("POST {domain}/applications"),
            format!("PUT {domain}")
        ],
        "the uuid that was forged was not believed"
    );
    assert_eq!(asked[2].body, json!({ "defaultApplication": 7 }));
    assert_eq!(
        detail["credentials"]["domain_id"], "acme.cloudonix.net",
        "stored as webhooks name it"
    );
    let shown = detail["credentials"].to_string();
    for hidden in ["domain_uuid", "application_uuid", "application_id", "managed_by"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert!(
        detail["credentials"]["application_name"]
            .as_str()
            .unwrap()
            .starts_with("strowger-")
    );
    assert_eq!(
        (&detail["connectivity"], &detail["supports_trunks"]),
        (&json!("sip"), &json!(true))
    );
    let connectivity = detail["sip_connectivity"].to_string();
    assert!(connectivity.contains("d0d0-1.sip.cloudonix.net"), "{connectivity}");

    // Known is known.
    let path = path_of(&detail);
    gateway
        .put(&path, edited(&detail, "api_key", "webhook-key-4711"))
        .await
        .ok();
    assert_eq!(rest.paths(), Vec::<String>::new());
    // Another domain has another uuid.
    gateway
        .put(&path, edited(&detail, "domain_id", "other.example"))
        .await
        .ok();
    assert_eq!(rest.paths()[0], "GET /customers/self/domains/other.example");

    // Half of it fails: nothing is stored, and the application that was made is taken away again.
    rest.fail("PUT", 500, Value::Null);
    let mut second = cloudonix();
    second["domain_id"] = json!("second.example");
    gateway.save("second", &second).await.refused(502);
    assert_eq!(gateway.others().await, 1);
    let paths = rest.paths();
    assert!(paths.last().unwrap().starts_with("DELETE "), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_takes_the_trunk_of_its_number() {
    let rest = Rest::start(cloudonix_rest).await;
    let gateway = rest.behind(CLOUDONIX).await;
    let api = &gateway.api;
    let detail = gateway.save("domain", &cloudonix()).await.ok();
    let path = path_of(&detail);
    let (trunks, numbers) = (format!("{path}/trunks"), format!("{path}/phone-numbers"));
    assert_eq!(step(&detail, "outbound_trunk")["complete"], false);
    rest.asked();

    // The number is registered before it is stored.
    rest.fail("POST", 500, Value::Null);
    api.post(&numbers, json!({ "address": "+12025550001" }))
        .await
        .refused(502);
    assert_eq!(api.get(&numbers).await.ok()["phone_numbers"], json!([]));
    let number = created(&api.post(&numbers, json!({ "address": "+12025550001" })).await);
    assert!(
        rest.paths()
            .iter()
            .any(|path| path.ends_with("/applications/a0a0-7/dnids"))
    );

    let place = async || {
        let request = json!({
            "agent_id": gateway.ids.agent, "phone_number": CALLEE,
            "telephony_configuration_id": detail["id"], "from_phone_number_id": number,
        });
        rest.asked();
        api.post("/telephony/initiate-call", request).await.ok();
        let asked = rest.asked();
        let placed = asked.iter().find(|asked| asked.body.get("destination").is_some());
        placed.unwrap_or_else(|| panic!("{asked:?}")).body.get("trunk").cloned()
    };
    assert_eq!(place().await, None, "there is no trunk");

    let east = json!({ "name": "east", "settings": { "region": "india", "sip_domain": "SIP.Carrier.example" } });
    rest.fail("GET", 500, Value::Null);
    api.post(&trunks, east.clone()).await.refused(502);
    assert_eq!(api.get(&trunks).await.ok()["trunks"], json!([]));
    rest.asked();
    let made = api.post(&trunks, east.clone()).await.ok();
    assert_eq!(
        made["settings"],
        json!({ "region": "India", "sip_domain": "sip.carrier.example" }),
        "as the carrier has it"
    );
    assert!(!made.to_string().contains("t0t0-1"), "{made}");
    let asked = rest.asked();
    assert_eq!(asked[1].body["ip"], "128.199.27.19", "{asked:?}");
    assert_eq!(place().await, Some(json!("east")), "the only one");
    api.post(&trunks, east).await.refused(409);
    let misfit = json!({ "name": "moon", "settings": { "region": "moon", "sip_domain": 7, "port": 1 } });
    let refused = api.post(&trunks, misfit).await;
    refused.refused(422);
    let fields = refused.json()["errors"].to_string();
    for field in ["settings.region", "settings.sip_domain", "settings.port"] {
        assert!(fields.contains(field), "{fields}");
    }

    let east = format!("{trunks}/{}", made["id"].as_str().unwrap());
    let west = json!({ "name": "west", "settings": { "region": "Global", "sip_domain": "sip.carrier.example" } });
    api.post(&trunks, west).await.ok();
    assert_eq!(place().await, None, "of two none is guessed");
    let detail = api.get(&path).await.ok();
    assert_eq!(step(&detail, "outbound_trunk")["complete"], true);
    assert_eq!(step(&detail, "trunk_assignment")["complete"], false);
    let number_path = format!("{numbers}/{number}");
    let attached = gateway
        .put(&number_path, json!({ "telephony_trunk_id": made["id"] }))
        .await
        .ok();
    assert_eq!(attached["telephony_trunk_id"], made["id"]);
    assert_eq!(place().await, Some(json!("east")));
    let remote = json!([{ "uuid": "t0t0-1", "name": "east", "direction": "public-outbound", "active": true }]);
    rest.fail("GET", 200, remote.clone());
    rest.asked();
    gateway.put(&east, json!({ "enabled": false })).await.ok();
    let asked = rest.asked();
    assert_eq!(asked[1].body, json!({ "active": false }), "{asked:?}");
    assert_eq!(place().await, None, "a call is not rerouted");

    api.send(Method::DELETE, &east, None).await.refused(409);
    gateway.put(&number_path, json!({ "clear_trunk": true })).await.ok();
    rest.fail("GET", 500, Value::Null);
    api.send(Method::DELETE, &east, None).await.refused(502);
    api.get(&east).await.ok();
    rest.fail("GET", 200, remote);
    rest.asked();
    assert_eq!(
        api.send(Method::DELETE, &east, None).await.ok(),
        json!({ "success": true })
    );
    assert!(rest.paths()[1].starts_with("PUT "));
    api.get(&east).await.refused(404);
    assert_eq!(place().await, Some(json!("west")), "now it is the only one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_minted_is_shown_and_stays() {
    let gateway = Scenario::echo().without_number().start().await;
    let config = json!({
        "provider": "ari", "ari_endpoint": "http://127.0.0.1:8088", "app_name": "strowger", "app_password": "secret-1234",
        "ws_client_name": "strowger", "stasis_app_name": "forged",
    });
    let detail = gateway.save("pbx", &config).await.ok();
    let minted = detail["credentials"]["stasis_app_name"].as_str().unwrap().to_owned();
    assert!(
        minted.starts_with("strowger-") && minted.len() == "strowger-".len() + 12,
        "{minted}"
    );
    let second = gateway.save("another", &config).await.ok();
    assert_ne!(
        second["credentials"]["stasis_app_name"],
        detail["credentials"]["stasis_app_name"]
    );
    let changed = gateway
        .put(&path_of(&detail), edited(&detail, "stasis_app_name", "forged"))
        .await
        .ok();
    assert_eq!(changed["credentials"]["stasis_app_name"], json!(minted));
    assert!(
        detail["connectivity_details"].to_string().contains(&minted),
        "the dialplan needs it"
    );
    // A telephone system shows a caller id of its own.
    assert!(
        detail["setup_checklist"]["steps"]
            .as_array()
            .unwrap()
            .iter()
            .all(|step| step["key"] != "caller_id")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_not_ready_says_what_is_missing() {
    let gateway = Scenario::echo().without_number().start().await;
    let path = format!("{CONFIGS}/{}", gateway.ids.configuration);
    let detail = gateway.api.get(&path).await.ok();
    let reason = detail["setup_checklist"]["outbound_blocked_reason"].as_str().unwrap();
    assert_eq!(
        (&detail["is_ready_for_outbound"], &detail["outbound_blocked_reason"]),
        (&json!(false), &json!(reason))
    );
    assert_eq!(step(&detail, "caller_id")["description"], json!(reason));
    let mut request = gateway.outbound();
    for explicit in [false, true] {
        if explicit {
            request["telephony_configuration_id"] = json!(gateway.ids.configuration);
        }
        let refused = gateway.api.post("/telephony/initiate-call", request.clone()).await;
        assert_eq!(refused.refused(400), "not_ready_for_outbound");
        assert_eq!(refused.json()["detail"], json!(reason));
    }
    assert!(gateway.calls().await.is_empty(), "no call was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_configuration_takes_no_part_until_it_is_reactivated() {
    let gateway = Scenario::echo().start().await;
    let id = ConfigurationId::parse(&gateway.ids.configuration).unwrap();
    let exchange = gateway.gateway.exchange();
    let now = exchange.clock().unix_ms();
    assert!(
        exchange
            .store()
            .park_configuration(&id, "auth-failed: HTTP 401", now, now)
            .await
            .unwrap()
    );

    let call = || gateway.call_in(CallerScript::new().speak(tone(500.0, 200)).silence(ms(200)).hang_up());
    let report = finished(&call()).await;
    assert!(report.streams.is_empty(), "{report:#?}");
    assert!(gateway.calls().await.is_empty());
    let path = format!("{CONFIGS}/{}", gateway.ids.configuration);
    let detail = gateway.api.get(&path).await.ok();
    assert_eq!(
        (&detail["inactive"], &detail["inactive_reason"]),
        (&json!(true), &json!("auth-failed: HTTP 401"))
    );
    assert!(detail["inactive_since"].is_string());
    let mut request = gateway.outbound();
    let refused = gateway.api.post("/telephony/initiate-call", request.clone()).await;
    assert_eq!(refused.refused(400), "telephony_not_configured");
    request["telephony_configuration_id"] = json!(gateway.ids.configuration);
    let refused = gateway.api.post("/telephony/initiate-call", request).await;
    assert_eq!(refused.refused(400), "configuration_inactive");

    let detail = gateway.api.post(&format!("{path}/reactivate"), json!({})).await.ok();
    assert_eq!(
        (&detail["inactive"], &detail["inactive_since"]),
        (&json!(false), &Value::Null)
    );
    let report = finished(&call()).await;
    assert_eq!(report.streams.len(), 1, "{report:#?}");
}
