//! What goes on in the gateway beside the calls that are measured: forty guests of another organisation that do harm, a new
//! version of the calls' own provider, or the rotation of the keys.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use crate::gateway::{GatewayProcess, client};

/// Hostile calls at once.
pub(crate) const GUESTS: usize = 40;
/// Misdeeds of one hostile call; the gateway may end it sooner.
const MISDEEDS_PER_CALL: usize = 24;
/// How long a hostile call waits for the gateway to have had enough of it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Before a hostile caller who was turned away comes again.
const TURNED_AWAY: Duration = Duration::from_millis(20);
/// The name under which the hostile component lies in the folder of providers, and its provider's.
pub(crate) const HOSTILE: &str = "hostile";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Beside {
    Nothing,
    Spinning,
    Allocating,
    Flooding,
    /// A new version of the calls' provider is examined, installed and adopted.
    Adoption,
    /// Every secret is sealed again under a new key.
    Rotation,
}

impl Beside {
    /// What hostile guests, and the owner of an honest one, do.
    pub(crate) const GUESTS: [Self; 5] = [
        Self::Nothing,
        Self::Spinning,
        Self::Allocating,
        Self::Flooding,
        Self::Adoption,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Spinning => "40 that spin",
            Self::Allocating => "40 that allocate",
            Self::Flooding => "40 that flood",
            Self::Adoption => "a version is adopted",
            Self::Rotation => "all secrets are rotated",
        }
    }

    /// What the hostile guest of the test suite does when it reads these from its media socket.
    fn misdeeds(self) -> &'static [&'static str] {
        match self {
            Self::Nothing | Self::Adoption | Self::Rotation => &[],
            Self::Spinning => &["spin"],
            Self::Allocating => &["memory"],
            Self::Flooding => &["flood", "much", "many", "print"],
        }
    }
}

/// What the hostile side has come to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Harm {
    /// Calls that were answered.
    pub(crate) calls: u64,
    /// Calls that were turned away.
    pub(crate) refused: u64,
    /// Messages that each made the guest misbehave once, as far as they were read.
    pub(crate) misdeeds: u64,
}

#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    refused: AtomicU64,
    misdeeds: AtomicU64,
}

/// Hostile calls that go on until this is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

impl Crowd {
    /// Sets up another organisation with the hostile provider and lets its callers loose.
    pub(crate) async fn start(gateway: &GatewayProcess, beside: Beside) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let counts = Arc::<Counts>::default();
        if !beside.misdeeds().is_empty() {
            let key = gateway.organization("Hostile")?;
            let agent = json!({ "name": "Hostile", "protocol": "tone" });
            let agent = gateway.post(&key, "/agents", &agent).await?;
            let config = json!({ "name": "Hostile", "config": { "provider": HOSTILE, "secret": "hush-hush" } });
            let config = gateway.post(&key, "/organizations/telephony-configs", &config).await?;
            let id = config["id"].as_str().context("the configuration has no id")?;
            let number = json!({ "address": "+14155550199", "inbound_agent_id": agent["id"] });
            let path = format!("/organizations/telephony-configs/{id}/phone-numbers");
            gateway.post(&key, &path, &number).await?;
            for guest in 0..GUESTS {
                let caller = Caller {
                    http: client()?,
                    gateway: gateway.address.to_string(),
                    misdeeds: beside.misdeeds(),
                    counts: counts.clone(),
                };
                tasks.spawn(async move {
                    for turn in 0_u64.. {
                        if caller.call(&format!("hostile-{guest}-{turn}")).await.is_none() {
                            caller.counts.refused.fetch_add(1, Ordering::Relaxed);
                            sleep(TURNED_AWAY).await;
                        }
                    }
                });
            }
        }
        Ok(Self { counts, _tasks: tasks })
    }

    pub(crate) fn harm(&self) -> Harm {
        Harm {
            calls: self.counts.calls.load(Ordering::Relaxed),
            refused: self.counts.refused.load(Ordering::Relaxed),
            misdeeds: self.counts.misdeeds.load(Ordering::Relaxed),
        }
    }
}

struct Caller {
    http: reqwest::Client,
    gateway: String,
    misdeeds: &'static [&'static str],
    counts: Arc<Counts>,
}

impl Caller {
    /// One call: announced, its socket opened, and each message one more misdeed. Nothing when it was turned away.
    async fn call(&self, id: &str) -> Option<()> {
        let announced = self
            .http
            .post(format!("http://{}/api/v1/telephony/inbound/run", self.gateway))
            .header("x-misbehave", "honest")
            .header("x-call-id", id)
            .send()
            .await
            .ok()?;
        let markup = announced.text().await.ok()?;
        let path = markup.split("/api/").nth(1)?.split('<').next()?;
        let url = format!("ws://{}/api/{path}", self.gateway);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.ok()?;
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        socket.send(Message::text("start")).await.ok()?;
        for misdeed in self.misdeeds.iter().cycle().take(MISDEEDS_PER_CALL) {
            if socket.send(Message::text(*misdeed)).await.is_err() {
                break;
            }
            self.counts.misdeeds.fetch_add(1, Ordering::Relaxed);
        }
        let enough = async { while let Some(Ok(_)) = socket.next().await {} };
        // What is left of it when the patience ends is dropped with the socket.
        let _ = timeout(PATIENCE, enough).await;
        Some(())
    }
}

/// Installs and adopts a version of `provider` that differs in nothing but its digest, which is returned.
pub(crate) async fn adopt_version(
    gateway: &GatewayProcess,
    component: &Path,
    provider: &str,
) -> anyhow::Result<String> {
    // A custom section named "tag", which means nothing.
    let variant = [&fs::read(component)?[..], &[0, 5, 3], b"tag", &[1]].concat();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("next.wasm");
    fs::write(&file, variant)?;
    let file = file
        .to_str()
        .context("the temporary folder has a name that is no text")?;
    let page = gateway.command(&["provider", "add", file, "--yes"]).await?;
    let digest = page.lines().find_map(|line| line.trim().strip_prefix("digest"));
    let digest = digest
        .and_then(|digest| digest.trim().strip_prefix("sha256:"))
        .context("`strowger provider add` told no digest")?;
    gateway
        .command(&["provider", "adopt", provider, digest, "--yes"])
        .await?;
    Ok(digest.to_owned())
}

/// Seals every secret again; how many there were.
pub(crate) async fn rotate_keys(gateway: &GatewayProcess) -> anyhow::Result<u64> {
    let told = gateway.command(&["keys", "rotate"]).await?;
    let count = told.split_whitespace().nth(1).and_then(|count| count.parse().ok());
    count.context("`strowger keys rotate` told no number")
}

/// A folder with the providers and the hostile one beside them.
pub(crate) fn shelf(providers: &Path, hostile: &Path) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(providers).with_context(|| format!("{} cannot be read", providers.display()))? {
        let path = entry?.path();
        let name = path.file_name().context("a file has a name")?;
        fs::copy(&path, folder.path().join(name))?;
    }
    ensure!(
        hostile.is_file(),
        "--hostile: {} is missing; `just guests` builds it",
        hostile.display()
    );
    fs::copy(hostile, folder.path().join(format!("{HOSTILE}.wasm")))?;
    Ok(folder)
}
