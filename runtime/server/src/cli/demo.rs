//! `strowger demo`: a whole call on this machine, with the real gateway in the middle.
//!
//! The carrier is a simulator that behaves as the carrier documents; the agent is a WebSocket server with a script. Both are
//! outside the gateway and reach it over loopback, as the real ones would over the network. The gateway is set up through
//! its own REST API.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use strowger_simulator::agent::{
    Agent as SimulatedAgent, AgentDo, AgentOptions, AgentProtocol, AgentScript, AgentWhen,
};
use strowger_simulator::{
    CallReport, CallerScript, Carrier, Gateway as GatewayAddress, InboundCall, Options, RunningCarrier, speech,
};

use crate::gateway::Gateway;
use crate::settings::{Flags, Settings};
use crate::store::{ApiKey, ApiKeyId, NewApiKey, OrganizationId, Role};

/// The call takes about twenty seconds; a machine that is busy compiling may take longer.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Somebody who calls. The number is one of those reserved for fiction.
pub(super) const CALLER: &str = "+12025550123";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Folder for the recording and the picture
    #[arg(long, value_name = "DIR", default_value = "strowger-demo")]
    output: PathBuf,
    /// Folder with provider components
    #[arg(long, env = "STROWGER_PROVIDERS", value_name = "DIR")]
    providers: PathBuf,
    /// Whose carrier to simulate, by the name of the provider
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// How the gateway talks to the agent: strowger or media-streams
    #[arg(long, value_name = "PROTOCOL", default_value = "strowger")]
    agent: String,
}

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let carrier = choose_carrier(args.provider.as_deref())?;
    let protocol = match args.agent.as_str() {
        "strowger" => AgentProtocol::Strowger,
        "media-streams" => AgentProtocol::MediaStreams,
        other => bail!("--agent: `{other}` is not a protocol of the demo; use strowger or media-streams"),
    };
    let data = tempfile::tempdir().context("cannot make a temporary folder for the gateway's data")?;
    let progress =
        ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}")?);
    progress.enable_steady_tick(Duration::from_millis(100));

    progress.set_message("starting a carrier and an agent …");
    let exchange = RunningCarrier::start(carrier, Options::default()).await?;
    let agent = SimulatedAgent::start(AgentOptions::new(protocol, conversation())).await?;

    progress.set_message("starting the gateway and loading its providers …");
    let flags = Flags::default()
        .set("data_dir", Some(data.path().display()))
        .set("listen", Some("127.0.0.1:0"))
        .set("shutdown_grace_s", Some(5))
        .set_all("providers", [args.providers.display()])
        // Carrier and agent are on this machine, which an operator must allow.
        .set_all("allow_networks", ["127.0.0.0/8"])
        .set_all(
            "egress_routes",
            exchange
                .rest_hosts()
                .into_iter()
                .map(|host| format!("{host}=http://{}", exchange.rest_addr())),
        );
    let gateway = Gateway::start(Settings::load(&flags)?).await?;
    let base = format!("http://{}", gateway.address());
    exchange.set_gateway(GatewayAddress::at(&base)?)?;

    progress.set_message("setting up an organisation over the REST API …");
    let api = Api::new(&gateway, &base).await?;
    api.set_up(&exchange, protocol, &agent.url()).await?;

    progress.set_message(format!("{} calls; this takes about twenty seconds …", carrier.name()));
    let call = exchange.place_inbound(InboundCall::new(CALLER, exchange.own_number(), caller()))?;
    let Ok(report) = call.finished(CALL_TIMEOUT).await else {
        bail!(
            "the call did not end in {} s; see with --log info what happened",
            CALL_TIMEOUT.as_secs()
        );
    };
    progress.set_message("waiting for the record to be closed …");
    let record = api.closed_call(CALL_TIMEOUT).await?;
    std::fs::create_dir_all(&args.output).with_context(|| format!("cannot make {}", args.output.display()))?;
    let id = record["id"].as_str().context("the call has no id")?.to_owned();
    let recording = api.save(&id, "recording", &args.output.join("recording.wav")).await?;
    let timeline = api.save(&id, "timeline.svg", &args.output.join("timeline.svg")).await?;
    let sent = args.output.join("caller-sent.wav");
    if let Some(stream) = report.stream() {
        save_wav(&sent, stream.rate_hz, &stream.sent_samples)?;
    }
    progress.finish_and_clear();
    summarise(&gateway, &report, &record, &api.events(&id).await?);
    say!("");
    say!("recording   {} (left the caller, right the agent)", recording.display());
    say!("picture     {}", timeline.display());
    say!("sent        {} (what the carrier sent, to compare)", sent.display());
    gateway.stop().await;
    let status = record["outcome"]["status"].as_str().unwrap_or_default();
    if status != "completed" {
        bail!("the call ended as `{status}`, not as `completed`");
    }
    Ok(ExitCode::SUCCESS)
}

fn choose_carrier(name: Option<&str>) -> anyhow::Result<&'static dyn Carrier> {
    let carriers = strowger_simulator::carriers();
    match name {
        None => Ok(strowger_simulator::usual()),
        Some(name) => strowger_simulator::by_name(name).with_context(|| {
            let known: Vec<&str> = carriers.iter().map(|carrier| carrier.name()).collect();
            format!(
                "--provider: there is no simulated carrier `{name}`; there are {}",
                known.join(", ")
            )
        }),
    }
}

/// The caller lets the agent begin, speaks over it, listens to the answer, and presses a key.
pub(super) fn caller() -> CallerScript {
    CallerScript::new()
        .wait_heard(Duration::from_millis(1_500), Duration::from_secs(10))
        .speak(speech::caller())
        .wait_quiet(Duration::from_millis(600), Duration::from_secs(15))
        .press('5')
        .stay()
}

/// The agent greets, stops when it is interrupted, answers, and hangs up when it is told to by a key.
pub(super) fn conversation() -> AgentScript {
    AgentScript::new()
        .on(
            AgentWhen::Start,
            [speech::agent().into(), AgentDo::Mark("greeting".to_owned())],
        )
        .once(
            AgentWhen::HeardWhileSpeaking(Duration::from_millis(200)),
            [AgentDo::Clear],
        )
        .once(
            AgentWhen::Quiet(Duration::from_millis(1_300)),
            [speech::agent_reply().into(), AgentDo::Mark("reply".to_owned())],
        )
        .on(AgentWhen::Dtmf('5'), [AgentDo::HangUp])
}

fn save_wav(path: &Path, rate_hz: u32, samples: &[i16]) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec)?;
    for &sample in samples {
        file.write_sample(sample)?;
    }
    Ok(file.finalize()?)
}

/// A client of the gateway's REST API.
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    key: ApiKey,
}

impl Api {
    pub(super) async fn new(gateway: &Gateway, base: &str) -> anyhow::Result<Self> {
        let store = gateway.exchange().store();
        let now = gateway.exchange().clock().unix_ms();
        let organization = store
            .create_organization(&OrganizationId::generate(), "Demo", now)
            .await?;
        let key = ApiKey::generate()?;
        store
            .create_api_key(
                &organization.id,
                &NewApiKey::lasting(ApiKeyId::generate(), "demo"),
                Role::Admin,
                &key,
                now,
            )
            .await?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            client,
            base: format!("{base}/api/v1"),
            key,
        })
    }

    /// Shown once, like every key.
    pub(super) fn key(&self) -> &str {
        self.key.expose()
    }

    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<reqwest::Response> {
        let request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(self.key.expose());
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string()),
            None => request,
        };
        let response = request.send().await?;
        if !response.status().is_success() {
            bail!("{path} answered {}: {}", response.status(), response.text().await?);
        }
        Ok(response)
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let response = self.send(reqwest::Method::POST, path, Some(body)).await?;
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response = self.send(reqwest::Method::GET, path, None).await?;
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    }

    /// Agent, configuration and number. Adding the number points it at the gateway, over the carrier's own API.
    pub(super) async fn set_up(
        &self,
        exchange: &RunningCarrier,
        protocol: AgentProtocol,
        agent_url: &str,
    ) -> anyhow::Result<()> {
        let (protocol, rate) = match protocol {
            AgentProtocol::Strowger => ("strowger", 16_000),
            AgentProtocol::MediaStreams => ("media-streams", 8_000),
        };
        let agent = json!({ "name": "Demo agent", "protocol": protocol, "url": agent_url, "sample_rate_hz": rate, "record": true });
        let agent = self.post("/agents", agent).await?;
        let mut config = exchange.credentials();
        config["provider"] = json!(exchange.carrier().name());
        let config = json!({ "name": "Demo carrier", "is_default_outbound": true, "config": config });
        let config = self.post("/organizations/telephony-configs", config).await?;
        let number =
            json!({ "address": exchange.own_number(), "inbound_agent_id": agent["id"], "is_default_caller_id": true });
        let id = config["id"].as_str().context("the configuration has no id")?;
        let number = self
            .post(&format!("/organizations/telephony-configs/{id}/phone-numbers"), number)
            .await?;
        // Without the ability `numbers` nothing is told: a person sets the address at the carrier.
        let synced = &number["provider_sync"];
        if !synced.is_null() && synced["ok"] != json!(true) {
            bail!("the carrier could not be told where calls go: {}", synced["message"]);
        }
        Ok(())
    }

    /// The one call, when its record is closed.
    async fn closed_call(&self, within: Duration) -> anyhow::Result<Value> {
        let closed = async {
            let mut polls = tokio::time::interval(Duration::from_millis(200));
            loop {
                polls.tick().await;
                let calls = self.get("/calls").await?;
                if let Some(call) = calls["calls"].as_array().and_then(|calls| calls.first())
                    && call["state"] == "completed"
                {
                    return Ok::<_, anyhow::Error>(call.clone());
                }
            }
        };
        tokio::time::timeout(within, closed)
            .await
            .context("the call's record was not closed in time")?
    }

    async fn events(&self, id: &str) -> anyhow::Result<Value> {
        self.get(&format!("/calls/{id}/events")).await
    }

    async fn save(&self, id: &str, what: &str, path: &Path) -> anyhow::Result<PathBuf> {
        let response = self
            .send(reqwest::Method::GET, &format!("/calls/{id}/{what}"), None)
            .await?;
        std::fs::write(path, response.bytes().await?).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.to_owned())
    }
}

fn summarise(gateway: &Gateway, report: &CallReport, record: &Value, events: &Value) {
    let provider = report.carrier.as_str();
    let loaded = gateway.exchange().registry().get(provider);
    say!("A call from start to end");
    say!("");
    say!("carrier     {provider}, simulated");
    if let Some(provider) = loaded {
        say!(
            "provider    {} {} as a sandboxed component, sha256:{}…",
            provider.name(),
            provider.spec().version,
            &provider.digest()[..12]
        );
    }
    let outcome = &record["outcome"];
    let text = |value: &Value| value.as_str().unwrap_or("?").replace('_', " ");
    say!(
        "outcome     {} ({})",
        text(&outcome["status"]),
        text(&outcome["reason"])
    );
    say!(
        "duration    {} ms, by the carrier {}",
        record["duration_ms"],
        match outcome["carrier_duration_ms"].as_u64() {
            Some(duration_ms) => format!("{duration_ms} ms"),
            None => "not told".to_owned(),
        }
    );
    say!(
        "cost        {}",
        match &record["cost"] {
            Value::Null => "not rated".to_owned(),
            cost => format!("{} {}", text(&cost["amount"]), text(&cost["currency"])),
        }
    );
    if let Some(stream) = report.stream() {
        let pacing = stream.pacing();
        say!(
            "caller      {} frames of 20 ms sent; the gateway lost {}",
            stream.sent.len(),
            outcome["media"]["caller_frames_lost"]
        );
        say!(
            "agent       {} frames received; pacing jitter p50 {:.1} ms, p99 {:.1} ms; at most {:.0} ms ahead",
            pacing.messages,
            pacing.jitter_p50_ms,
            pacing.jitter_p99_ms,
            pacing.ahead_max_ms
        );
        say!(
            "barge-in    {} time(s), {} mark(s), DTMF {}",
            stream.clears.len(),
            stream.marks.len(),
            stream.digits_sent
        );
    }
    say!("");
    say!("events");
    let events = events["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (n, event) in events.iter().enumerate() {
        let at = event["at"].as_str().unwrap_or_default();
        say!("  {:>2}  {at:<26} {}", n + 1, text(&event["kind"]));
    }
}
