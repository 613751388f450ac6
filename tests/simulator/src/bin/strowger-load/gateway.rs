//! The process under test: `strowger serve` with a fresh data folder, set up over its REST API; or the relay.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use strowger_simulator::{AgentProtocol, RunningCarrier};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// What otherwise bounds how fast calls and requests of one organisation may come.
const UNBOUNDED_RATES: [&str; 5] = [
    "STROWGER_TENANT_CPU_MS_PER_S",
    "STROWGER_TENANT_INVOCATIONS_PER_S",
    "STROWGER_TENANT_CALLS_PER_S",
    "STROWGER_TENANT_NUMBER_CALLS_PER_S",
    "STROWGER_TENANT_PROVIDER_CALLS_PER_S",
];

/// Components are compiled on the first start, which takes a debug build on a busy machine a while.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const START_POLL: Duration = Duration::from_millis(50);

/// Where the real thing is.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    pub(crate) strowger: PathBuf,
    pub(crate) providers: PathBuf,
    /// URL of an empty PostgreSQL database, in the place of a file of SQLite's for each gateway.
    pub(crate) database: Option<String>,
}

impl Installation {
    /// The program with what tells it where its data are.
    fn command(&self, data: &Path) -> Command {
        let mut command = Command::new(&self.strowger);
        command.env("STROWGER_DATA_DIR", data);
        if let Some(url) = &self.database {
            command.env("STROWGER_DATABASE_URL", url);
        }
        command
    }
}

/// A process that takes calls. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct GatewayProcess {
    process: Process,
    pub(crate) address: SocketAddr,
    /// Of a Strowger; the relay has none.
    strowger: Option<Running>,
}

/// What is needed to work on a gateway's data beside it.
#[derive(Debug)]
struct Running {
    installation: Installation,
    /// Removed with everything in it.
    data: TempDir,
    /// The organisation of the calls that are measured.
    key: String,
}

impl Running {
    fn command(&self) -> Command {
        self.installation.command(self.data.path())
    }
}

#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left to be done about it.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl GatewayProcess {
    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts the relay, which is this program under another name.
    pub(crate) fn relay(agent_url: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--relay", agent_url])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the relay")?;
        let stdout = child.stdout.take().context("the relay has no output")?;
        let process = Process(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().context("the relay did not tell its address")?;
        Ok(Self {
            process,
            address,
            strowger: None,
        })
    }

    /// Starts Strowger with a number of `carrier`'s that is connected to the agent at `agent_url`.
    pub(crate) async fn strowger(
        installation: &Installation,
        carrier: &RunningCarrier,
        protocol: AgentProtocol,
        agent_url: &str,
        calls_max: u32,
    ) -> anyhow::Result<Self> {
        let data = tempfile::tempdir().context("cannot make a folder for the gateway's data")?;
        // Free now; nobody on this machine takes ports by number at random.
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let key = organization(installation.command(data.path()), "Load")?;
        let log = data.path().join("strowger.log");
        let route = format!("{}=http://{}", carrier.rest_host(), carrier.rest_addr());
        let child = installation
            .command(data.path())
            .arg("serve")
            .args(["--listen", &address.to_string()])
            .arg("--providers")
            .arg(&installation.providers)
            .args(["--allow-network", "127.0.0.0/8", "--egress-route", &route])
            .args(["--calls-max", &calls_max.to_string()])
            // One organisation makes all the load.
            .env("STROWGER_TENANT_CALLS_MAX", calls_max.to_string())
            .envs(UNBOUNDED_RATES.map(|name| (name, "100000")))
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot run {}", installation.strowger.display()))?;
        let mut gateway = Self {
            process: Process(child),
            address,
            strowger: Some(Running {
                installation: installation.clone(),
                data,
                key: key.clone(),
            }),
        };
        let began = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() || !gateway.answers().await {
            if let Some(status) = gateway.process.0.try_wait()? {
                bail!("the gateway ended with {status}: {}", std::fs::read_to_string(&log)?);
            }
            if began.elapsed() > START_TIMEOUT {
                bail!("the gateway did not start: {}", std::fs::read_to_string(&log)?);
            }
            sleep(START_POLL).await;
        }
        gateway.set_up(carrier, protocol, agent_url, &key).await?;
        Ok(gateway)
    }

    /// It listens before it serves.
    async fn answers(&self) -> bool {
        let request = client().map(|client| client.get(format!("{}/api/v1/calls", self.url())));
        match request {
            Ok(request) => request.timeout(Duration::from_secs(1)).send().await.is_ok(),
            Err(_) => false,
        }
    }

    async fn set_up(
        &self,
        carrier: &RunningCarrier,
        protocol: AgentProtocol,
        agent_url: &str,
        key: &str,
    ) -> anyhow::Result<()> {
        let (protocol, rate_hz) = match protocol {
            AgentProtocol::Strowger => ("strowger", 16_000),
            AgentProtocol::MediaStreams => ("media-streams", 8_000),
        };
        let agent = json!({ "name": "Load", "protocol": protocol, "url": agent_url, "sample_rate_hz": rate_hz });
        let agent = self.post(key, "/agents", &agent).await?;
        let mut config = carrier.credentials();
        config["provider"] = json!(carrier.carrier().name());
        let config = json!({ "name": "Load", "config": config });
        let config = self.post(key, "/organizations/telephony-configs", &config).await?;
        let id = config["id"].as_str().context("the configuration has no id")?;
        let number = json!({ "address": carrier.own_number(), "inbound_agent_id": agent["id"] });
        let path = format!("/organizations/telephony-configs/{id}/phone-numbers");
        self.post(key, &path, &number).await?;
        Ok(())
    }

    /// The key of the organisation whose calls are measured.
    pub(crate) fn key(&self) -> anyhow::Result<&str> {
        Ok(&self.running()?.key)
    }

    fn running(&self) -> anyhow::Result<&Running> {
        self.strowger.as_ref().context("the relay has no data")
    }

    /// Makes another organisation; its API key.
    pub(crate) fn organization(&self, name: &str) -> anyhow::Result<String> {
        let running = self.running()?;
        organization(running.command(), name)
    }

    /// Runs a command of the program on this gateway's data; what it prints.
    pub(crate) async fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let running = self.running()?;
        let mut command = running.command();
        command.args(arguments);
        tokio::task::spawn_blocking(move || output(command)).await?
    }

    /// The version that the newest call went over.
    pub(crate) async fn newest_version(&self) -> anyhow::Result<String> {
        let response = client()?
            .get(format!("{}/api/v1/calls?limit=1", self.url()))
            .bearer_auth(self.key()?)
            .send()
            .await?;
        let calls: Value = serde_json::from_str(&response.text().await?)?;
        let version = calls["calls"][0]["provider_version"].as_str();
        version.map(str::to_owned).context("the newest call has no version")
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let response = client()?
            .post(format!("{}/api/v1{path}", self.url()))
            .bearer_auth(key)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{path} answered {status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }
}

/// Makes an organisation; its API key.
fn organization(mut program: Command, name: &str) -> anyhow::Result<String> {
    program.args(["org", "create", name]);
    let text = output(program)?;
    let key = text.lines().find_map(|line| line.strip_prefix("API key"));
    key.map(|key| key.trim().to_owned())
        .context("the new organisation has no key")
}

fn output(mut command: Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("cannot run the gateway's program")?;
    if !output.status.success() {
        bail!("a command failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    // The client wants to know how TLS would be done, although everything here is plain text. An error means that it knows.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build()
}
