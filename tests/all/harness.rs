//! What a test of the running gateway is made of: a carrier, a gateway, an agent, and who calls whom.
//!
//! A [`Scenario`] is written in the order of the story and started; what comes out is an [`Installation`] that the test talks to
//! as the outside world does: as a carrier, as an agent, as a client of the REST API. Nothing in here sleeps: a test waits for
//! what it expects, and fails after [`DEADLINE`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha1::Sha1;
use sqlx::{Connection as _, PgConnection};
use strowger_server::gateway::{Gateway, StartError};
use strowger_server::settings::{Flags, Settings};
use strowger_server::store::{ApiKey, ApiKeyId, NewApiKey, OrganizationId, Role};
use strowger_simulator::agent::{Agent, AgentOptions, AgentProtocol, AgentReport, AgentScript, AgentSession};
use strowger_simulator::exchange::CallHandle;
use strowger_simulator::g711::{decode_mulaw, encode_mulaw};
use strowger_simulator::report::StreamReport;
use strowger_simulator::{
    CallReport, CallerScript, Carrier, Gateway as GatewayAddress, InboundCall, Misbehaviour, Options, RunningCarrier,
    Speech,
};
use tempfile::TempDir;

/// How long a test waits for something that takes milliseconds on a machine with nothing else to do.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Somebody who calls, and somebody who is called. The numbers are reserved for fiction.
pub(crate) const CALLER: &str = "+12025550147";
pub(crate) const CALLEE: &str = "+12025550188";

/// How often a condition is looked at that nobody reports.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What speaks at the gateway's other end.
#[derive(Debug)]
enum Voice {
    Simulated {
        options: AgentOptions,
        rate_hz: u32,
    },
    /// Configured, but not simulated here: built in, or not there at all.
    Configured(Value),
}

/// A gateway with one carrier account, one number and one agent.
#[derive(Debug)]
pub(crate) struct Scenario {
    voice: Voice,
    record: bool,
    carrier: &'static dyn Carrier,
    options: Options,
    credentials: Value,
    flags: Vec<(&'static str, String)>,
    providers: PathBuf,
    number: bool,
    /// Whatever database the suite runs with.
    sqlite: bool,
}

impl Scenario {
    fn new(voice: Voice) -> Self {
        Self {
            voice,
            record: false,
            carrier: described("twilio"),
            options: Options::default(),
            credentials: json!({}),
            flags: Vec::new(),
            providers: providers(),
            number: true,
            sqlite: false,
        }
    }

    /// An agent that speaks Strowger's own protocol.
    pub(crate) fn native(rate_hz: u32, script: AgentScript) -> Self {
        Self::agent(AgentOptions::new(AgentProtocol::Strowger, script)).rate(rate_hz)
    }

    /// An agent that expects a carrier's media stream.
    pub(crate) fn media_streams(script: AgentScript) -> Self {
        Self::agent(AgentOptions::new(AgentProtocol::MediaStreams, script))
    }

    pub(crate) fn agent(options: AgentOptions) -> Self {
        let rate_hz = match options.protocol {
            AgentProtocol::Strowger => 16_000,
            AgentProtocol::MediaStreams => 8_000,
        };
        Self::new(Voice::Simulated { options, rate_hz })
    }

    /// An agent that is only configured, as `{"protocol": …}`.
    pub(crate) fn configured(agent: Value) -> Self {
        Self::new(Voice::Configured(agent))
    }

    /// The agent that says back what it hears, built into the gateway.
    pub(crate) fn echo() -> Self {
        Self::configured(json!({ "protocol": "echo" }))
    }

    pub(crate) fn rate(mut self, hz: u32) -> Self {
        if let Voice::Simulated { rate_hz, .. } = &mut self.voice {
            *rate_hz = hz;
        }
        self
    }

    pub(crate) fn recorded(mut self) -> Self {
        self.record = true;
        self
    }

    /// The calls go over the carrier of this provider.
    pub(crate) fn over(self, provider: &str) -> Self {
        self.over_carrier(described(provider))
    }

    /// The calls go over a carrier that the test itself describes.
    pub(crate) fn over_carrier(mut self, carrier: &'static dyn Carrier) -> Self {
        self.carrier = carrier;
        self
    }

    /// A test sets up in a second what a customer does in minutes, which some carriers' limits do not allow.
    pub(crate) fn without_rate_limit(mut self) -> Self {
        self.options.without_rate_limit = true;
        self
    }

    /// Faults of the carrier's REST API, and of the calls that the gateway places.
    pub(crate) fn carrier_misbehaves(mut self, misbehaviour: Misbehaviour) -> Self {
        self.options.misbehaviour = misbehaviour;
        self
    }

    /// More fields of the telephony configuration.
    pub(crate) fn credentials(mut self, fields: Value) -> Self {
        self.credentials = fields;
        self
    }

    pub(crate) fn setting(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.flags.push((name, value.to_string()));
        self
    }

    pub(crate) fn providers(mut self, folder: &Path) -> Self {
        self.providers = folder.to_owned();
        self
    }

    /// About what is particular to the database in a file, `strowger.db` in the data directory.
    pub(crate) fn on_sqlite(mut self) -> Self {
        self.sqlite = true;
        self
    }

    /// The number is not told to the gateway.
    pub(crate) fn without_number(mut self) -> Self {
        self.number = false;
        self
    }

    pub(crate) async fn start(self) -> Installation {
        let data = tempfile::tempdir().unwrap();
        self.start_in(data)
            .await
            .unwrap_or_else(|error| panic!("the gateway does not start: {error}"))
    }

    /// Starts with a data directory that may have been used before.
    pub(crate) async fn start_in(self, data: TempDir) -> Result<Installation, StartError> {
        let carrier = RunningCarrier::start(self.carrier, self.options.clone()).await.unwrap();
        let gateway = Gateway::start(self.settings(data.path(), &carrier)?).await?;
        keep_compiled(data.path());
        if self.providers == providers() {
            let skipped = &gateway.skipped;
            assert!(
                skipped.is_empty(),
                "build the components again, with `./just providers`: {skipped:#?}"
            );
        }
        let base = format!("http://{}", gateway.address());
        carrier.set_gateway(GatewayAddress::at(&base).unwrap()).unwrap();
        let api = Api::new(&gateway, "First").await;
        let mut installation = Installation {
            scenario: self,
            carrier,
            agent: None,
            gateway,
            api,
            ids: Ids::default(),
            data,
        };
        installation.set_up().await;
        Ok(installation)
    }

    pub(crate) fn settings(&self, data: &Path, carrier: &RunningCarrier) -> Result<Settings, StartError> {
        let mut flags = flags(data, &self.providers).set_all(
            "egress_routes",
            carrier
                .rest_hosts()
                .into_iter()
                .map(|host| format!("{host}=http://{}", carrier.rest_addr())),
        );
        if self.sqlite {
            let file = data.join("strowger.db");
            flags = flags.set("database_url", Some(format!("sqlite://{}?mode=rwc", file.display())));
        }
        for (name, value) in &self.flags {
            flags = flags.set(name, Some(value));
        }
        Ok(Settings::load(&flags)?)
    }
}

/// Settings of a gateway on loopback, with the components of a folder.
///
/// Compiling a provider takes longer than most tests: all gateways start with what an earlier one has compiled, and with the
/// key that it is bound to. What is damaged is compiled again.
pub(crate) fn flags(data: &Path, providers: &Path) -> Flags {
    let shared = shared_folder();
    if data.is_dir() && !data.join("cache").exists() {
        copy_files(&shared.join("cache"), &data.join("cache")).unwrap();
    }
    Flags::default()
        .set("data_dir", Some(data.display()))
        .set("database_url", database(data))
        .set("encryption_key_file", Some(encryption_key_file().display()))
        .set("listen", Some("127.0.0.1:0"))
        .set("shutdown_grace_s", Some(1))
        // Tests do in a second what an organisation does in an hour; those about limits set them themselves.
        .set("tenant_calls_max", Some(200))
        .set("tenant_calls_per_s", Some(10_000))
        .set("tenant_number_calls_per_s", Some(10_000))
        .set("tenant_provider_calls_per_s", Some(10_000))
        .set_all("providers", [providers.display()])
        .set_all("allow_networks", ["127.0.0.0/8"])
}

/// The key that all of them have.
pub(crate) fn encryption_key_file() -> PathBuf {
    shared_folder().join("encryption.key")
}

/// The database of the gateway with this data directory, unless it is the one in there: a schema of its own on the server that
/// `STROWGER_TEST_DATABASE` names.
pub(crate) fn database(data: &Path) -> Option<String> {
    let server = std::env::var("STROWGER_TEST_DATABASE").ok()?;
    // By the folder: a gateway that starts again finds what it left.
    let folder = data.file_name().unwrap().to_string_lossy().to_ascii_lowercase();
    let name = format!("gateway_{}", folder.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let sql = format!("CREATE SCHEMA IF NOT EXISTS \"{name}\"");
    let mut url = reqwest::Url::parse(&server).unwrap();
    url.query_pairs_mut().append_pair("options[search_path]", &name);
    // Settings are read where nothing can be waited for.
    let made = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&server).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
            connection.close().await.unwrap();
        });
    });
    made.join().unwrap();
    Some(url.into())
}

/// What a gateway has compiled is there for the next one.
pub(crate) fn keep_compiled(data: &Path) {
    copy_files(&data.join("cache"), &shared_folder().join("cache")).unwrap();
}

/// Where the built components are.
pub(crate) fn providers() -> PathBuf {
    let folder = std::env::var_os("STROWGER_PROVIDERS")
        .map_or_else(|| strowger_tests::root().join("target/providers"), PathBuf::from);
    let built = folder.join("twilio.wasm");
    assert!(
        built.exists(),
        "{} is missing: build the components with `./just providers`",
        built.display()
    );
    folder
}

fn described(provider: &str) -> &'static dyn Carrier {
    strowger_simulator::by_name(provider).expect("there is a simulated carrier of this name")
}

/// What outlives a run of the tests: compiled providers.
fn shared_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installation");
    std::fs::create_dir_all(folder.join("cache")).unwrap();
    folder
}

/// Copies what is not there yet; a reader sees all of a file or nothing.
fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let copy = to.join(path.file_name().unwrap_or_default());
        if path.extension().is_some_and(|extension| extension == "cwasm") && !copy.exists() {
            let draft = to.join(format!(
                "{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ));
            std::fs::copy(&path, &draft)?;
            std::fs::rename(&draft, &copy)?;
        }
    }
    Ok(())
}

/// What was set up, by its ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids {
    pub(crate) agent: String,
    pub(crate) configuration: String,
    pub(crate) number: String,
}

/// A running gateway with everything around it.
#[derive(Debug)]
pub(crate) struct Installation {
    scenario: Scenario,
    pub(crate) carrier: RunningCarrier,
    agent: Option<Agent>,
    pub(crate) gateway: Gateway,
    pub(crate) api: Api,
    pub(crate) ids: Ids,
    pub(crate) data: TempDir,
}

impl Installation {
    async fn set_up(&mut self) {
        let mut agent = match &self.scenario.voice {
            Voice::Configured(agent) => agent.clone(),
            Voice::Simulated { options, rate_hz } => {
                let running = Agent::start(options.clone()).await.unwrap();
                let protocol = match options.protocol {
                    AgentProtocol::Strowger => "strowger",
                    AgentProtocol::MediaStreams => "media-streams",
                };
                let agent = json!({ "protocol": protocol, "url": running.url(), "sample_rate_hz": rate_hz });
                self.agent = Some(running);
                agent
            }
        };
        agent["name"] = json!("An agent");
        agent["record"] = json!(self.scenario.record);
        self.ids.agent = created(&self.api.post("/agents", agent).await);
        let configuration = self.configuration("The carrier");
        self.ids.configuration = created(&self.api.post("/organizations/telephony-configs", configuration).await);
        if self.scenario.number {
            let number = json!({
                "address": self.carrier.own_number(),
                "inbound_agent_id": self.ids.agent,
                "is_default_caller_id": true,
            });
            let path = format!(
                "/organizations/telephony-configs/{}/phone-numbers",
                self.ids.configuration
            );
            self.ids.number = created(&self.api.post(&path, number).await);
        }
    }

    /// The body of a request that makes a telephony configuration of the carrier's account.
    pub(crate) fn configuration(&self, name: &str) -> Value {
        let mut config = self.carrier.credentials();
        config["provider"] = json!(self.carrier.carrier().name());
        for (field, value) in self.scenario.credentials.as_object().into_iter().flatten() {
            config[field] = value.clone();
        }
        json!({ "name": name, "is_default_outbound": true, "config": config })
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.gateway.address())
    }

    /// Somebody calls the number.
    pub(crate) fn call_in(&self, script: CallerScript) -> CallHandle {
        self.call_in_badly(script, Misbehaviour::default())
    }

    /// The same, over a carrier that makes mistakes.
    pub(crate) fn call_in_badly(&self, script: CallerScript, misbehaviour: Misbehaviour) -> CallHandle {
        self.call_number(self.carrier.own_number(), script, misbehaviour)
    }

    pub(crate) fn call_number(&self, number: &str, script: CallerScript, misbehaviour: Misbehaviour) -> CallHandle {
        let call = InboundCall::new(CALLER, number, script.patience(DEADLINE)).misbehaving(misbehaviour);
        self.carrier.place_inbound(call).unwrap()
    }

    /// The body of a request for a call to [`CALLEE`].
    pub(crate) fn outbound(&self) -> Value {
        json!({ "agent_id": self.ids.agent, "phone_number": CALLEE })
    }

    /// The agent's next conversation.
    pub(crate) async fn conversation(&self) -> AgentSession {
        self.agent
            .as_ref()
            .expect("a simulated agent")
            .next_session(DEADLINE)
            .await
            .unwrap()
    }

    /// The agent's only conversation, when it is over.
    pub(crate) async fn heard_by_agent(&self) -> AgentReport {
        self.conversation().await.finished(DEADLINE).await.unwrap()
    }

    /// How often the agent was called.
    pub(crate) fn conversations(&self) -> usize {
        self.agent.as_ref().map_or(0, |agent| agent.sessions().len())
    }

    /// See [`Api::calls`].
    pub(crate) async fn calls(&self) -> Vec<Value> {
        self.api.calls().await
    }

    /// See [`Api::closed_call`].
    pub(crate) async fn closed_call(&self) -> Value {
        self.api.closed_call().await
    }

    /// See [`Api::live_call`].
    pub(crate) async fn live_call(&self) -> Value {
        self.api.live_call().await
    }

    /// See [`Api::events`].
    pub(crate) async fn events(&self, call: &Value) -> Vec<Value> {
        self.api.events(call).await
    }

    /// See [`Api::kinds`].
    pub(crate) async fn kinds(&self, call: &Value) -> Vec<String> {
        self.api.kinds(call).await
    }

    /// Waits until the gateway has asked the carrier to end the call.
    pub(crate) async fn hung_up_at_carrier(&self, call: &CallHandle) {
        let path = format!("/Calls/{}.json", call.id());
        let asked = self.carrier.wait_for_rest(DEADLINE, |request| {
            request.method == "POST" && request.path.ends_with(&path) && request.body.contains("Status=completed")
        });
        asked.await.expect("the gateway hangs up at the carrier");
    }

    /// The calls that the gateway asked the carrier to place.
    pub(crate) fn placed(&self) -> usize {
        let is_call = |request: &&strowger_simulator::exchange::RestLogEntry| {
            request.method == "POST" && request.path.ends_with("/Calls.json")
        };
        self.carrier.rest_log().iter().filter(is_call).count()
    }

    /// Samples of a call's recording: left, right.
    pub(crate) async fn recording(&self, call: &Value) -> (Vec<i16>, Vec<i16>) {
        let path = format!("/calls/{}/recording", call["id"].as_str().unwrap());
        let reply = self.api.get(&path).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let mut wav = hound::WavReader::new(std::io::Cursor::new(reply.body)).unwrap();
        assert_eq!(
            (wav.spec().channels, wav.spec().sample_rate, wav.spec().bits_per_sample),
            (2, 8_000, 16)
        );
        let samples: Vec<i16> = wav.samples().collect::<Result<_, _>>().unwrap();
        samples.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip()
    }

    /// Sends a webhook as the carrier would, signed with `token`.
    pub(crate) async fn webhook(&self, path: &str, token: &str, parameters: &[(&str, &str)]) -> Reply {
        let url = format!("{}{path}", self.base());
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let signature = signature(token, &url, parameters);
        self.post_raw(path, &[("x-twilio-signature", &signature)], body.into_bytes())
            .await
    }

    /// Sends a form whose bytes are what they are.
    pub(crate) async fn post_raw(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let mut request = self.api.client.post(format!("{}{path}", self.base()));
        request = request.header("content-type", "application/x-www-form-urlencoded; charset=UTF-8");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Reply::of(request.body(body).send().await.unwrap()).await
    }

    /// The secret that the carrier signs with.
    pub(crate) fn token(&self) -> String {
        self.carrier.credentials()["auth_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn account(&self) -> String {
        self.carrier.credentials()["account_sid"].as_str().unwrap().to_owned()
    }

    /// Stops the gateway and starts it again; how many calls had to be ended.
    pub(crate) async fn restart(self) -> (usize, Self) {
        let Self {
            scenario,
            carrier,
            agent,
            gateway,
            api,
            ids,
            data,
        } = self;
        // Where the carrier knows it.
        let address = gateway.address();
        let ended = gateway.stop().await;
        let mut settings = scenario.settings(data.path(), &carrier).unwrap();
        settings.listen = address;
        let gateway = Gateway::start(settings).await.unwrap();
        let api = api.at(&gateway);
        (
            ended,
            Self {
                scenario,
                carrier,
                agent,
                gateway,
                api,
                ids,
                data,
            },
        )
    }

    /// The carrier and the gateway vanish, and another gateway starts with what they left; for a runtime that is gone.
    pub(crate) async fn resurrect(self) -> Self {
        let Self {
            scenario,
            carrier,
            gateway,
            api,
            ids,
            data,
            ..
        } = self;
        drop((carrier, gateway));
        let carrier = RunningCarrier::start(scenario.carrier, Options::default())
            .await
            .unwrap();
        let gateway = Gateway::start(scenario.settings(data.path(), &carrier).unwrap())
            .await
            .unwrap();
        carrier
            .set_gateway(GatewayAddress::at(&format!("http://{}", gateway.address())).unwrap())
            .unwrap();
        let api = api.at(&gateway);
        Self {
            scenario,
            carrier,
            agent: None,
            gateway,
            api,
            ids,
            data,
        }
    }
}

/// A client of the REST API, with the key of one organisation.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) client: reqwest::Client,
    base: String,
    key: ApiKey,
}

impl Api {
    /// Makes an organisation and acts for it.
    pub(crate) async fn new(gateway: &Gateway, organization: &str) -> Self {
        let store = gateway.exchange().store();
        let now = gateway.exchange().clock().unix_ms();
        let organization = store
            .create_organization(&OrganizationId::generate(), organization, now)
            .await
            .unwrap();
        let key = ApiKey::generate().unwrap();
        store
            .create_api_key(
                &organization.id,
                &NewApiKey::lasting(ApiKeyId::generate(), "tests"),
                Role::Admin,
                &key,
                now,
            )
            .await
            .unwrap();
        Self {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            base: format!("http://{}/api/v1", gateway.address()),
            key,
        }
    }

    fn at(self, gateway: &Gateway) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            client,
            base: format!("http://{}/api/v1", gateway.address()),
            ..self
        }
    }

    pub(crate) fn key(&self) -> &str {
        self.key.expose()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(self.key.expose());
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        Reply::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(&body)).await
    }

    /// All calls that there are, as the API has them; the newest first.
    pub(crate) async fn calls(&self) -> Vec<Value> {
        let calls = self.get("/calls").await.ok();
        calls["calls"].as_array().unwrap().clone()
    }

    /// The only call, when its record is closed.
    pub(crate) async fn closed_call(&self) -> Value {
        let calls = eventually("the call's record is closed", async || {
            let calls = self.calls().await;
            (!calls.is_empty() && calls.iter().all(|call| call["state"] == "completed")).then_some(calls)
        })
        .await;
        assert_eq!(calls.len(), 1, "{calls:#?}");
        calls.into_iter().next().unwrap()
    }

    /// The only call, while it goes on.
    pub(crate) async fn live_call(&self) -> Value {
        let calls = eventually("a call is live", async || {
            let calls = self.calls().await;
            calls.iter().any(|call| call["state"] != "completed").then_some(calls)
        })
        .await;
        calls[0].clone()
    }

    /// What happened in a call, in order.
    pub(crate) async fn events(&self, call: &Value) -> Vec<Value> {
        let path = format!("/calls/{}/events?limit=200", call["id"].as_str().unwrap());
        self.get(&path).await.ok()["events"].as_array().unwrap().clone()
    }

    pub(crate) async fn kinds(&self, call: &Value) -> Vec<String> {
        self.events(call)
            .await
            .iter()
            .map(|event| event["kind"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// What came back over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let content_type = response
            .headers()
            .get("content-type")
            .map(|value| value.to_str().unwrap().to_owned());
        Self {
            status: response.status().as_u16(),
            content_type: content_type.unwrap_or_default(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    /// The document of a request that succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        self.json()
    }

    /// The code of a request that failed with `status`.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

#[track_caller]
pub(crate) fn created(reply: &Reply) -> String {
    let value = reply.ok();
    if let Some(sync) = value.get("provider_sync").filter(|sync| !sync.is_null()) {
        assert_eq!(sync["ok"], true, "the carrier was not told: {value}");
    }
    value["id"].as_str().unwrap().to_owned()
}

/// How the carrier signs a form: the address, then each parameter's name and value, sorted.
pub(crate) fn signature(token: &str, url: &str, parameters: &[(&str, &str)]) -> String {
    let mut sorted = parameters.to_vec();
    sorted.sort_unstable();
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Waits until `look` finds what a test waits for.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        loop {
            polls.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    tokio::time::timeout(DEADLINE, found)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

pub(crate) async fn finished(call: &CallHandle) -> CallReport {
    call.finished(DEADLINE)
        .await
        .unwrap_or_else(|_| panic!("the call goes on: {:#?}", call.report()))
}

/// The stream of a call that had one.
#[track_caller]
pub(crate) fn stream(report: &CallReport) -> &StreamReport {
    report.stream().unwrap_or_else(|| panic!("no media: {report:#?}"))
}

/// A tone that is heard as speech.
pub(crate) fn tone(hz: f64, ms: u64) -> Speech {
    Speech::tone(hz, Duration::from_millis(ms), 8_000)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The main frequency of some audio, by its zero crossings. Silence does not count, nor do the holes that a slow machine
/// leaves in speech.
#[track_caller]
pub(crate) fn frequency(samples: &[i16], rate_hz: u32) -> f64 {
    // A tone may pass through nothing, but does not stay there.
    let runs = samples.chunk_by(|one, next| (*one == 0) == (*next == 0));
    let sound: Vec<i16> = runs
        .filter(|run| run[0] != 0 || run.len() < 8)
        .flatten()
        .copied()
        .collect();
    let first = sound
        .iter()
        .position(|sample| sample.abs() >= 1_000)
        .expect("nothing was heard");
    let last = sound
        .iter()
        .rposition(|sample| sample.abs() >= 1_000)
        .expect("nothing was heard");
    let loud = &sound[first..=last];
    let crossings = loud.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
    crossings as f64 / 2.0 / (loud.len() as f64 / f64::from(rate_hz))
}

/// What mu-law makes of linear samples.
pub(crate) fn quantised(samples: &[i16]) -> Vec<i16> {
    samples
        .iter()
        .map(|&sample| decode_mulaw(encode_mulaw(sample)))
        .collect()
}

/// Where a recording has what was sent: how many samples later. Every sample that was sent must be in its place, up to where
/// the recording ends, and none of the first `at_least` may be missing.
#[track_caller]
pub(crate) fn lag_of(recorded: &[i16], sent: &[i16], at_least: usize) -> usize {
    let sent = quantised(sent);
    let first = |samples: &[i16]| samples.iter().position(|&sample| sample != 0).expect("only silence");
    let lag = first(recorded)
        .checked_sub(first(&sent))
        .expect("the recording is earlier than what it records");
    let common = sent.len().min(recorded.len() - lag);
    assert!(
        common >= at_least,
        "{common} of {} samples are in the recording",
        sent.len()
    );
    let wrong = (0..common).find(|&at| recorded[lag + at] != sent[at]);
    assert_eq!(
        wrong, None,
        "the first sample out of place, of {common}, with a lag of {lag}"
    );
    lag
}

/// Audio without its silence, which is as long as the machine was slow.
pub(crate) fn sounds(samples: &[i16]) -> Vec<i16> {
    samples.iter().copied().filter(|&sample| sample != 0).collect()
}

/// `wanted` happened in this order, with anything in between.
#[track_caller]
pub(crate) fn in_order(happened: &[String], wanted: &[&str]) {
    let mut rest = happened.iter();
    for wanted in wanted {
        assert!(
            rest.any(|kind| kind == wanted),
            "{wanted} is not there, or too early: {happened:?}"
        );
    }
}
