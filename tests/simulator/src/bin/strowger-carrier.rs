//! A carrier to point at a gateway: places calls, answers them, and says how they went.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::Parser;
use strowger_simulator::{
    CallReport, Callee, CallerScript, Gateway, InboundCall, Misbehaviour, Options, RunningCarrier, Speech, by_name,
    carriers, speech,
};
use tokio::sync::Semaphore;

/// Plays a telephone carrier to a gateway.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The gateway's address as the carrier knows it: what webhooks are sent to and signed with.
    #[arg(long)]
    gateway: String,
    /// Where to connect instead, when the gateway's address is that of a proxy which ends TLS.
    #[arg(long)]
    connect: Option<SocketAddr>,
    /// Which carrier to play.
    #[arg(long, default_value = "twilio")]
    carrier: String,
    /// Where the REST API listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The caller's number.
    #[arg(long, default_value = "+14155550100")]
    from: String,
    /// The gateway's number; the account's first number if it is not given.
    #[arg(long)]
    to: Option<String>,
    /// What the caller says: a WAV file, 16 bit, mono.
    #[arg(long)]
    speech: Option<PathBuf>,
    /// How many calls to place; with none, the carrier only answers until it is stopped.
    #[arg(long, default_value_t = 1)]
    calls: usize,
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    /// How long the caller stays on the line after speaking, in seconds.
    #[arg(long, default_value_t = 10)]
    listen_s: u64,
    /// One fault by name; `list` shows them.
    #[arg(long)]
    misbehave: Option<String>,
    /// Writes what was said and heard in each call to this folder.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Prints the whole report of each call as JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let arguments = Arguments::parse();
    if arguments.misbehave.as_deref() == Some("list") {
        Misbehaviour::names().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let carrier = start(&arguments).await?;
    println!(
        "{} answers at http://{} for {}",
        arguments.carrier,
        carrier.rest_addr(),
        carrier.rest_hosts().join(", ")
    );
    println!("credentials {}", carrier.credentials());
    println!("number      {}", carrier.own_number());
    if arguments.calls == 0 {
        tokio::signal::ctrl_c().await?;
        return Ok(());
    }
    let reports = place_calls(&arguments, Arc::new(carrier)).await?;
    let completed = reports
        .iter()
        .filter(|report| report.stream().is_some_and(|stream| !stream.received.is_empty()))
        .count();
    println!("{} calls, {completed} with audio from the gateway", reports.len());
    if completed < reports.len() && arguments.misbehave.is_none() {
        bail!("not every call went well");
    }
    Ok(())
}

async fn start(arguments: &Arguments) -> anyhow::Result<RunningCarrier> {
    let description = by_name(&arguments.carrier).with_context(|| {
        let names: Vec<&str> = carriers().iter().map(|carrier| carrier.name()).collect();
        format!("no such carrier; there are {}", names.join(", "))
    })?;
    let gateway = match arguments.connect {
        Some(connect) => Gateway::behind_proxy(&arguments.gateway, connect)?,
        None => Gateway::at(&arguments.gateway)?,
    };
    let misbehaviour = misbehaviour(arguments)?;
    let options = Options {
        gateway: Some(gateway),
        misbehaviour,
        listen: arguments.listen,
        ..Options::default()
    };
    let carrier = RunningCarrier::start(description, options).await?;
    let callee = Callee::Answers {
        after: Duration::from_secs(1),
        script: script(arguments)?,
        answered_by: "human".to_owned(),
    };
    carrier.set_default_callee(callee);
    Ok(carrier)
}

fn misbehaviour(arguments: &Arguments) -> anyhow::Result<Misbehaviour> {
    match &arguments.misbehave {
        Some(name) => {
            Misbehaviour::named(name).with_context(|| format!("no such fault: {name}; `--misbehave list` shows them"))
        }
        None => Ok(Misbehaviour::default()),
    }
}

fn script(arguments: &Arguments) -> anyhow::Result<CallerScript> {
    let speech = match &arguments.speech {
        Some(path) => {
            Speech::from_wav(&std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)
                .with_context(|| format!("{} is not 16-bit mono WAV", path.display()))?
        }
        None => speech::caller(),
    };
    Ok(CallerScript::new()
        .speak(speech)
        .silence(Duration::from_secs(arguments.listen_s))
        .hang_up())
}

async fn place_calls(arguments: &Arguments, carrier: Arc<RunningCarrier>) -> anyhow::Result<Vec<CallReport>> {
    let to = arguments.to.clone().unwrap_or_else(|| carrier.own_number().to_owned());
    let call = InboundCall::new(&arguments.from, &to, script(arguments)?).misbehaving(misbehaviour(arguments)?);
    let at_once = Arc::new(Semaphore::new(arguments.at_once.max(1)));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..arguments.calls {
        let permit = Arc::clone(&at_once).acquire_owned().await?;
        let handle = carrier.place_inbound(call.clone())?;
        calls.spawn(async move {
            let report = handle.finished(Duration::from_secs(3600)).await;
            drop(permit);
            report
        });
    }
    let mut reports = Vec::new();
    while let Some(report) = calls.join_next().await {
        let report = report??;
        tell(arguments, &report)?;
        reports.push(report);
    }
    Ok(reports)
}

fn tell(arguments: &Arguments, report: &CallReport) -> anyhow::Result<()> {
    if arguments.json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        let hang_up = report
            .hang_up
            .map_or_else(String::new, |hang_up| format!(", ended by {hang_up:?}"));
        println!("{} {:?}{hang_up}", report.call_id, report.status);
    }
    for note in report.notes() {
        println!("  {note}");
    }
    let Some(stream) = report.stream() else { return Ok(()) };
    let pacing = stream.pacing();
    println!(
        "  said {:.1} s, heard {:.1} s; jitter p99 {:.1} ms, at most {:.0} ms ahead, {} gaps ({:.0} ms)",
        stream.sent_samples.len() as f64 / f64::from(stream.rate_hz),
        stream.heard_duration().as_secs_f64(),
        pacing.jitter_p99_ms,
        pacing.ahead_max_ms,
        pacing.gaps,
        pacing.gap_total_ms
    );
    if let Some(folder) = &arguments.record {
        let path = folder.join(format!("{}.wav", report.call_id));
        stream
            .write_wav(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
