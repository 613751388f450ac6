//! Load for a gateway: many calls, or many webhooks, and what they cost in time.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its user"
)]

mod beside;
mod gateway;
mod rest;
mod suite;
mod usage;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use strowger_simulator::{
    AgentProtocol, Gateway, Options, RunningCarrier, Signing, by_name,
    load::{self, LoadAgent, LoadPlan, WebhookPlan, relay},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{beside::Beside, gateway::Installation, suite::SuitePlan};

/// Measures a gateway under load, from outside.
///
/// With --strowger it starts the gateway itself, sets it up, and measures all there is in one run: webhooks, and calls through
/// the gateway in comparison with a relay that only copies. With --gateway it measures one thing at a gateway that runs. That
/// gateway must know this tool's agent address for the number that is called, and this tool's REST address for the carrier's
/// host; both are printed.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The strowger binary to start and measure
    #[arg(long, value_name = "PATH", requires = "providers", conflicts_with_all = ["gateway", "relay"])]
    strowger: Option<PathBuf>,
    /// Folder with provider components, for --strowger
    #[arg(long, env = "STROWGER_PROVIDERS", value_name = "DIR")]
    providers: Option<PathBuf>,
    /// A hostile component: measures what forty of its calls, or the adoption of a version, do to the calls beside them, with --strowger
    #[arg(long, value_name = "FILE", requires = "strowger")]
    hostile: Option<PathBuf>,
    /// Seconds of each run with webhooks, for --strowger; 0 leaves them out
    #[arg(long, default_value_t = 8)]
    webhook_seconds: u64,
    /// Measures the REST API instead, on SQLite and on --database, and calls beside the rotation of this many secrets
    #[arg(long, value_name = "SECRETS", requires = "strowger", conflicts_with = "hostile")]
    rest: Option<usize>,
    /// URL of an empty PostgreSQL database, for --rest
    #[arg(long, env = "STROWGER_TEST_DATABASE", value_name = "URL", hide_env_values = true)]
    database: Option<String>,
    /// The gateway's address as the carrier knows it.
    #[arg(long, required_unless_present_any = ["strowger", "relay"])]
    gateway: Option<String>,
    /// Where to connect instead, when the gateway's address is that of a proxy which ends TLS.
    #[arg(long)]
    connect: Option<SocketAddr>,
    #[arg(long, default_value = "twilio")]
    carrier: String,
    /// Where the carrier's REST API listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the agent listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    agent_listen: SocketAddr,
    /// How the gateway talks to the agent [default: strowger; with --strowger both]
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// The number that is called; the account's first number if it is not given.
    #[arg(long)]
    to: Option<String>,
    /// Calls at a time, or requests at a time [default: 100]; with --strowger several numbers [default: 1,50,200]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    calls: Vec<usize>,
    /// Seconds of each run with calls
    #[arg(long, default_value_t = 25)]
    seconds: u64,
    /// Seconds over which the calls begin.
    #[arg(long, default_value_t = 2.0)]
    ramp: f64,
    /// Announces calls only, as fast as it goes.
    #[arg(long)]
    webhooks: bool,
    /// With `--webhooks`: signs with a wrong key.
    #[arg(long)]
    wrong_signature: bool,
    /// With `--webhooks`: announces the same call again and again.
    #[arg(long)]
    same_call: bool,
    /// Waits for Enter before it begins, to configure the gateway.
    #[arg(long)]
    wait: bool,
    #[arg(long)]
    json: bool,
    /// Be a gateway that only copies, between any caller and this agent: the measure's zero
    #[arg(long, hide = true, value_name = "AGENT")]
    relay: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    MediaStreams,
    Strowger,
}

impl From<Protocol> for AgentProtocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::MediaStreams => Self::MediaStreams,
            Protocol::Strowger => Self::Strowger,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    // The processes that were started end with what holds them, so an interruption must let that be dropped.
    tokio::select! {
        result = work(arguments) => result,
        _ = terminate.recv() => anyhow::bail!("terminated"),
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

async fn work(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(agent) = arguments.relay {
        relay::serve(agent, |address| println!("{address}")).await?;
        return Ok(());
    }
    match &arguments.strowger {
        Some(strowger) => measure_all(&arguments, strowger.clone()).await,
        None => measure_one(arguments).await,
    }
}

async fn measure_all(arguments: &Arguments, strowger: PathBuf) -> anyhow::Result<()> {
    let calls = if arguments.calls.is_empty() && (arguments.hostile.is_some() || arguments.rest.is_some()) {
        vec![50]
    } else if arguments.calls.is_empty() {
        vec![1, 50, 200]
    } else {
        arguments.calls.clone()
    };
    let largest = calls.iter().copied().max().unwrap_or_default();
    anyhow::ensure!(!calls.contains(&0), "--calls: at least 1");
    let ramp = Duration::try_from_secs_f64(arguments.ramp).context("the ramp is a number of seconds")?;
    let duration = Duration::from_secs(arguments.seconds);
    anyhow::ensure!(
        duration >= ramp + Duration::from_secs(4),
        "--seconds: at least 4 more than --ramp, so that there is a steady part"
    );
    let protocols = match arguments.protocol {
        Some(protocol) => vec![protocol.into()],
        None => vec![AgentProtocol::Strowger, AgentProtocol::MediaStreams],
    };
    let providers = arguments.providers.clone().context("--providers is missing")?;
    let shelf = match &arguments.hostile {
        Some(hostile) => Some(beside::shelf(&providers, hostile)?),
        None => None,
    };
    let plan = SuitePlan {
        installation: Installation {
            strowger,
            providers: shelf.as_ref().map_or(providers, |shelf| shelf.path().to_owned()),
            database: None,
        },
        carrier: by_name(&arguments.carrier).context("no such carrier")?,
        protocols,
        calls_max: u32::try_from(largest * 2)?.max(400),
        calls,
        duration,
        ramp,
        webhook_duration: Duration::from_secs(if shelf.is_some() { 0 } else { arguments.webhook_seconds }),
        beside: shelf.as_ref().map_or_else(Vec::new, |_| Beside::GUESTS.to_vec()),
    };
    let progress = |next: &str| eprintln!("{next} …");
    if let Some(secrets) = arguments.rest {
        let report = rest::run(&plan, secrets, arguments.database.clone(), progress).await?;
        if !arguments.json {
            println!("{}", report.markdown()?);
        }
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    let report = suite::run(&plan, progress).await?;
    if !arguments.json {
        println!("{}", report.markdown());
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn measure_one(arguments: Arguments) -> anyhow::Result<()> {
    let address = arguments.gateway.as_deref().context("--gateway is missing")?;
    let gateway = match arguments.connect {
        Some(connect) => Gateway::behind_proxy(address, connect)?,
        None => Gateway::at(address)?,
    };
    let count = arguments.calls.first().copied().unwrap_or(100);
    let description = by_name(&arguments.carrier).context("no such carrier")?;
    let options = Options {
        gateway: Some(gateway),
        listen: arguments.listen,
        ..Options::default()
    };
    let carrier = RunningCarrier::start(description, options).await?;
    let protocol = arguments.protocol.unwrap_or(Protocol::Strowger).into();
    let agent = LoadAgent::start(protocol, arguments.agent_listen).await?;
    if !arguments.json {
        println!(
            "{} is at http://{}, the agent at {}",
            carrier.rest_host(),
            carrier.rest_addr(),
            agent.url()
        );
        println!("credentials {}", carrier.credentials());
    }
    if arguments.wait {
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    }
    let duration = Duration::from_secs(arguments.seconds);
    if arguments.webhooks {
        let plan = WebhookPlan {
            at_once: count,
            duration,
            signing: if arguments.wrong_signature {
                Signing::Wrong
            } else {
                Signing::Right
            },
            same_call: arguments.same_call,
            to: arguments.to,
        };
        let report = load::webhooks(&carrier, &plan).await?;
        println!(
            "{}",
            if arguments.json {
                serde_json::to_string(&report)?
            } else {
                report.table()
            }
        );
    } else {
        let ramp = Duration::try_from_secs_f64(arguments.ramp).context("the ramp is a number of seconds")?;
        let plan = LoadPlan {
            calls: count,
            duration,
            ramp,
            to: arguments.to,
        };
        let report = load::run(&carrier, &agent, &plan).await?;
        println!(
            "{}",
            if arguments.json {
                serde_json::to_string(&report)?
            } else {
                report.table()
            }
        );
    }
    Ok(())
}
