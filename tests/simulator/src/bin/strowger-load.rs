//! Load for a gateway: many calls, or many webhooks, and what they cost in time.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use strowger_simulator::{
    AgentProtocol, Gateway, Options, RunningCarrier, Signing, by_name,
    load::{self, LoadAgent, LoadPlan, WebhookPlan},
};

/// Measures a gateway under load, from outside.
///
/// The gateway must know this tool's agent address for the number that is called, and this tool's REST address for the
/// carrier's host; both are printed.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The gateway's address as the carrier knows it.
    #[arg(long)]
    gateway: String,
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
    #[arg(long, value_enum, default_value_t = Protocol::Strowger)]
    protocol: Protocol,
    /// The number that is called; the account's first number if it is not given.
    #[arg(long)]
    to: Option<String>,
    /// Calls at a time, or requests at a time.
    #[arg(long, default_value_t = 100)]
    calls: usize,
    #[arg(long, default_value_t = 30)]
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    MediaStreams,
    Strowger,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let arguments = Arguments::parse();
    let gateway = match arguments.connect {
        Some(connect) => Gateway::behind_proxy(&arguments.gateway, connect)?,
        None => Gateway::at(&arguments.gateway)?,
    };
    let description = by_name(&arguments.carrier).context("no such carrier")?;
    let options = Options {
        gateway: Some(gateway),
        listen: arguments.listen,
        ..Options::default()
    };
    let carrier = RunningCarrier::start(description, options).await?;
    let protocol = match arguments.protocol {
        Protocol::MediaStreams => AgentProtocol::MediaStreams,
        Protocol::Strowger => AgentProtocol::Strowger,
    };
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
            at_once: arguments.calls,
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
            calls: arguments.calls,
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
