//! The REST API: how many requests a second, and how long each takes, on either database; then calls beside the rotation of
//! all the secrets that the requests have stored.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use strowger_simulator::{
    AgentProtocol, Gateway, Options, RunningCarrier, Signing,
    load::{self, Distribution, LoadAgent, Times, WebhookPlan},
};
use tokio::time::Instant;

use crate::{
    beside::Beside,
    gateway::{GatewayProcess, Installation, client},
    suite::{self, CallRun, SuitePlan, Through},
    usage::{self, Reading, Usage},
};

/// Of each kind of request, by each number of clients.
const DURATION: Duration = Duration::from_secs(4);
const AT_ONCE: [usize; 2] = [1, 16];
/// Announced before, so that there are records to read; media never come.
const ANNOUNCING: Duration = Duration::from_millis(500);
const CALLS_MAX: u32 = 10_000;

#[derive(Debug, Serialize)]
pub(crate) struct RestReport {
    machine: String,
    databases: Vec<DatabaseRun>,
}

#[derive(Debug, Serialize)]
struct DatabaseRun {
    database: &'static str,
    requests: Vec<RequestRun>,
    calls: Vec<CallRun>,
}

#[derive(Debug, Serialize)]
struct RequestRun {
    what: &'static str,
    at_once: usize,
    per_second: f64,
    latency: Distribution,
    statuses: BTreeMap<String, u64>,
    usage: Usage,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
enum Request {
    CreateConfiguration,
    ReadConfiguration,
    ListConfigurations,
    ListCalls,
    CreateAgent,
    UpdateAgent,
}

impl Request {
    const MEASURED: [Self; 6] = [
        Self::ReadConfiguration,
        Self::ListConfigurations,
        Self::ListCalls,
        Self::CreateAgent,
        Self::UpdateAgent,
        Self::CreateConfiguration,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::CreateConfiguration => "create a configuration",
            Self::ReadConfiguration => "read a configuration",
            Self::ListConfigurations => "list 50 configurations",
            Self::ListCalls => "list 50 calls",
            Self::CreateAgent => "create an agent",
            Self::UpdateAgent => "update an agent",
        }
    }

    /// Method, path and body of the `n`th one.
    fn of(self, site: &Site, n: usize) -> (Method, String, Option<Value>) {
        let agent = |n| json!({ "name": format!("Agent {n}"), "protocol": "tone" });
        match self {
            Self::CreateConfiguration => {
                let config = json!({ "provider": site.provider, "account_sid": format!("AC{n:032x}"), "auth_token": format!("{n:032x}") });
                let body = json!({ "name": format!("Configuration {n}"), "config": config });
                (Method::POST, "/organizations/telephony-configs".to_owned(), Some(body))
            }
            Self::ReadConfiguration => {
                let path = format!("/organizations/telephony-configs/{}", site.configuration);
                (Method::GET, path, None)
            }
            Self::ListConfigurations => (
                Method::GET,
                "/organizations/telephony-configs?limit=50".to_owned(),
                None,
            ),
            Self::ListCalls => (Method::GET, "/calls?limit=50".to_owned(), None),
            Self::CreateAgent => (Method::POST, "/agents".to_owned(), Some(agent(n))),
            Self::UpdateAgent => (
                Method::PUT,
                format!("/agents/{}", site.agents[n % site.agents.len()]),
                Some(agent(n)),
            ),
        }
    }
}

/// A gateway and what there is to ask it for.
struct Site {
    client: reqwest::Client,
    base: String,
    key: String,
    pid: u32,
    provider: &'static str,
    configuration: String,
    /// As many as there are clients: two that write one row at once would be told so.
    agents: Vec<String>,
    /// Of everything that was created, so that each has a name and an account of its own.
    count: AtomicUsize,
}

impl Site {
    async fn new(gateway: &GatewayProcess, provider: &'static str) -> anyhow::Result<Self> {
        let mut site = Self {
            client: client()?,
            base: format!("{}/api/v1", gateway.url()),
            key: gateway.key()?.to_owned(),
            pid: gateway.pid(),
            provider,
            configuration: String::new(),
            agents: Vec::new(),
            count: AtomicUsize::new(1),
        };
        site.configuration = site.make(Request::CreateConfiguration).await?;
        for _ in 0..AT_ONCE[1] {
            site.agents.push(site.make(Request::CreateAgent).await?);
        }
        Ok(site)
    }

    /// The id of what the request makes.
    async fn make(&self, request: Request) -> anyhow::Result<String> {
        let (status, body) = self.ask(request).await?;
        ensure!(status.is_success(), "{} answered {status}: {body}", request.name());
        let made: Value = serde_json::from_str(&body)?;
        let id = made["id"].as_str().context("what was made has no id")?;
        Ok(id.to_owned())
    }

    async fn ask(&self, request: Request) -> anyhow::Result<(reqwest::StatusCode, String)> {
        let (method, path, body) = request.of(self, self.count.fetch_add(1, Ordering::Relaxed));
        let mut asked = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key);
        if let Some(body) = body {
            asked = asked.header("content-type", "application/json").body(body.to_string());
        }
        let response = asked.send().await?;
        Ok((response.status(), response.text().await?))
    }

    /// Clients that each ask again as soon as they are answered, until the time is over.
    async fn measure(&self, request: Request, at_once: usize) -> anyhow::Result<RequestRun> {
        let (times, statuses) = (Times::default(), Mutex::<BTreeMap<String, u64>>::default());
        let before = Reading::take(self.pid)?;
        let begin = Instant::now();
        let clients = (0..at_once).map(|_| async {
            while begin.elapsed() < DURATION {
                let asked = Instant::now();
                let (status, _) = self.ask(request).await?;
                times.record(asked.elapsed());
                let mut statuses = statuses.lock().unwrap_or_else(PoisonError::into_inner);
                *statuses.entry(status.as_u16().to_string()).or_default() += 1;
            }
            anyhow::Ok(())
        });
        try_join_all(clients).await?;
        let latency = times.distribution();
        Ok(RequestRun {
            what: request.name(),
            at_once,
            per_second: latency.count as f64 / begin.elapsed().as_secs_f64(),
            latency,
            statuses: statuses.into_inner().unwrap_or_else(PoisonError::into_inner),
            usage: Reading::take(self.pid)?.since(&before),
        })
    }

    /// So many configurations more.
    async fn fill(&self, secrets: usize) -> anyhow::Result<()> {
        let stored = AtomicUsize::new(0);
        let clients = (0..AT_ONCE[1]).map(|_| async {
            while stored.fetch_add(1, Ordering::Relaxed) < secrets {
                self.make(Request::CreateConfiguration).await?;
            }
            anyhow::Ok(())
        });
        try_join_all(clients).await?;
        Ok(())
    }
}

/// Measures everything, on each database there is. `progress` is told what comes next.
pub(crate) async fn run(
    plan: &SuitePlan,
    secrets: usize,
    database: Option<String>,
    mut progress: impl FnMut(&str),
) -> anyhow::Result<RestReport> {
    let mut databases = vec![("SQLite", None)];
    databases.extend(database.map(|url| ("PostgreSQL", Some(url))));
    let mut runs = Vec::new();
    for (name, database) in databases {
        let installation = Installation {
            database,
            ..plan.installation.clone()
        };
        let plan = SuitePlan {
            installation,
            ..plan.clone()
        };
        runs.push(measure(&plan, name, secrets, &mut progress).await?);
    }
    Ok(RestReport {
        machine: usage::machine(),
        databases: runs,
    })
}

async fn measure(
    plan: &SuitePlan,
    database: &'static str,
    secrets: usize,
    progress: &mut impl FnMut(&str),
) -> anyhow::Result<DatabaseRun> {
    let protocol = AgentProtocol::Strowger;
    let carrier = RunningCarrier::start(plan.carrier, Options::default()).await?;
    let agent = LoadAgent::start(protocol, ([127, 0, 0, 1], 0).into()).await?;
    let gateway = GatewayProcess::strowger(&plan.installation, &carrier, protocol, &agent.url(), CALLS_MAX).await?;
    carrier.set_gateway(Gateway::at(&gateway.url())?)?;
    let announced = WebhookPlan {
        at_once: 1,
        duration: ANNOUNCING,
        signing: Signing::Right,
        same_call: false,
        to: None,
    };
    load::webhooks(&carrier, &announced).await?;

    let site = Site::new(&gateway, plan.carrier.name()).await?;
    let mut requests = Vec::new();
    for request in Request::MEASURED {
        for at_once in AT_ONCE {
            progress(&format!("{database}: {}, {at_once} at once", request.name()));
            requests.push(site.measure(request, at_once).await?);
        }
    }
    progress(&format!("{database}: {secrets} secrets are stored"));
    site.fill(secrets).await?;
    let mut calls = Vec::new();
    for &count in &plan.calls {
        for beside in [Beside::Nothing, Beside::Rotation] {
            progress(&format!("{database}: {count} calls beside {}", beside.name()));
            let ends = (&carrier, &agent, &gateway);
            calls.push(suite::play(plan, ends, Through::Strowger(protocol), count, beside).await?);
        }
    }
    Ok(DatabaseRun {
        database,
        requests,
        calls,
    })
}

impl RestReport {
    /// For people, and for `docs/performance.md`.
    pub(crate) fn markdown(&self) -> Result<String, std::fmt::Error> {
        let mut text = format!("Machine: {}.\n", self.machine);
        text.push_str("\n### The REST API\n\n");
        text.push_str("| database | request | at once | per second | p50 ms | p99 ms | p99.9 ms | CPU each | answers | generator | others |\n");
        text.push_str("|---|---|--:|--:|--:|--:|--:|--:|---|--:|--:|\n");
        for database in &self.databases {
            for run in &database.requests {
                writeln!(
                    text,
                    "| {} | {} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} µs | {} | {} | {} |",
                    database.database,
                    run.what,
                    run.at_once,
                    run.per_second,
                    run.latency.p50_ms,
                    run.latency.p99_ms,
                    run.latency.p999_ms,
                    run.usage.gateway_cores * run.usage.seconds * 1e6 / run.latency.count as f64,
                    suite::statuses(&run.statuses),
                    suite::percent(run.usage.generator_cores),
                    suite::percent(run.usage.others_cores),
                )?;
            }
        }
        text.push_str("\n### Pacing at the carrier and latency one way, beside the rotation of all secrets (ms)\n\n");
        text.push_str("| database | secrets rotated | in | frames lost to agent / carrier | calls | beside | jitter p50 | p99 | p99.9 | to agent p50 | p99 | to carrier p50 | p99 |\n");
        text.push_str("|---|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|\n");
        for database in &self.databases {
            for run in &database.calls {
                writeln!(
                    text,
                    "| {} | {} | {:.1} s | {} / {} {}",
                    database.database,
                    run.rotated,
                    run.took_s,
                    run.frames_lost_to_agent,
                    run.frames_lost_to_carrier,
                    run.beside_row(),
                )?;
            }
        }
        Ok(text)
    }
}
