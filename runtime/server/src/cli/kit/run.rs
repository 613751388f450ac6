//! `strowger provider run`: a gateway with one provider in it, which is built and adopted anew whenever a file changes.
//!
//! Where there is a simulated carrier of the provider's name, it calls once after every build, and an agent with a script
//! answers. Every invocation of the call is shown as it happens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use strowger_simulator::agent::{Agent, AgentOptions, AgentProtocol};
use strowger_simulator::{Gateway as GatewayAddress, InboundCall, Options, RunningCarrier};

use self::change::Watch;
use self::show::Show;
use super::component::{ComponentArgs, Opened};
use crate::catalogue::NewVersion;
use crate::cli::demo;
use crate::gateway::Gateway;
use crate::settings::{Flags, Settings};
use crate::store::Party;

mod change;
mod show;

#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    component: ComponentArgs,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// New folder for the gateway's data, recordings among them, which is kept [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// End after the first call
    #[arg(long)]
    once: bool,
}

/// Where the gateway's data are, for as long as it runs.
enum Data {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Data {
    fn new(kept: Option<&Path>) -> anyhow::Result<Self> {
        match kept {
            None => Ok(Self::Temporary(
                tempfile::tempdir().context("cannot make a temporary folder for the gateway's data")?,
            )),
            Some(folder) => {
                let taken = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
                if taken {
                    bail!(
                        "--data-dir: {} has something in it already; name a new folder, or serve it with `strowger serve`",
                        folder.display()
                    );
                }
                Ok(Self::Kept(folder.to_owned()))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let Some(opened) = args.component.open()? else {
        return Ok(ExitCode::FAILURE);
    };
    let data = Data::new(args.data_dir.as_deref())?;
    // The client of our own API takes what the process has; a second time does no harm.
    drop(rustls::crypto::ring::default_provider().install_default());
    let carrier = match strowger_simulator::by_name(opened.provider.name()) {
        Some(carrier) => Some(RunningCarrier::start(carrier, Options::default()).await?),
        None => None,
    };
    let gateway = start(data.path(), args.listen, carrier.as_ref()).await?;
    let base = format!("http://{}", gateway.address());
    adopt(&gateway, &opened).await?;
    opened.say();
    say!("gateway    {base}");
    say!("webhooks   {base}/api/v1/telephony/inbound/run");
    let api = demo::Api::new(&gateway, &base).await?;
    say!("API key    {}", api.key());
    let agent = Agent::start(AgentOptions::new(AgentProtocol::Strowger, demo::conversation())).await?;
    if let Some(carrier) = &carrier {
        carrier.set_gateway(GatewayAddress::at(&base)?)?;
        api.set_up(carrier, AgentProtocol::Strowger, &agent.url()).await?;
        say!("carrier    {}, simulated", opened.provider.name());
    } else {
        say!(
            "carrier    none: there is no simulated carrier called `{}`; send it webhooks yourself",
            opened.provider.name()
        );
    }
    let mut show = Show::new(data.path().join("invocations"));
    let mut watch = Watch::new(&args.component.component);
    let mut status = ExitCode::SUCCESS;
    loop {
        if let Some(carrier) = &carrier {
            status = play(carrier, &mut show).await?;
        }
        if args.once {
            break;
        }
        say!("");
        say!(
            "waiting for a change in {}; Ctrl-C ends",
            args.component.component.display()
        );
        tokio::select! {
            () = watch.changed(|| show.look()) => {}
            _ = tokio::signal::ctrl_c() => break,
        }
        match args.component.open() {
            Ok(Some(opened)) => match adopt(&gateway, &opened).await {
                Ok(()) => say!("adopted    sha256:{}", opened.provider.digest()),
                Err(error) => eprintln!("error: {error:#}"),
            },
            // The compiler's words were shown; what ran before runs on.
            Ok(None) => {}
            Err(error) => eprintln!("error: {error:#}"),
        }
        watch = Watch::new(&args.component.component);
    }
    gateway.stop().await;
    show.look();
    Ok(status)
}

async fn start(data: &Path, listen: SocketAddr, carrier: Option<&RunningCarrier>) -> anyhow::Result<Gateway> {
    let routes: Vec<String> = carrier
        .map(|carrier| {
            let hosts = carrier.rest_hosts().into_iter();
            hosts
                .map(|host| format!("{host}=http://{}", carrier.rest_addr()))
                .collect()
        })
        .unwrap_or_default();
    let flags = Flags::default()
        .set("data_dir", Some(data.display()))
        .set("listen", Some(listen))
        .set("shutdown_grace_s", Some(2))
        .set("record_invocations", Some(true))
        // Carrier and agent are on this machine.
        .set_all("allow_networks", ["127.0.0.0/8"])
        .set_all("egress_routes", routes);
    Ok(Gateway::start(Settings::load(&flags)?).await?)
}

/// Lets new calls use this build. Its author has every host that it declares.
async fn adopt(gateway: &Gateway, opened: &Opened) -> anyhow::Result<()> {
    let provider = &opened.provider;
    let catalogue = gateway.exchange().catalogue();
    let new = NewVersion {
        owner: Party::Operator,
        provider,
        bytes: &opened.bytes,
        source: format!("file: {}", opened.file.display()),
        signer: None,
        report: None,
    };
    catalogue.add(new).await?;
    let hosts: Vec<String> = provider
        .spec()
        .egress_hosts
        .iter()
        .map(|host| host.as_str().to_owned())
        .collect();
    catalogue
        .adopt(&Party::Operator, provider.name(), provider.digest(), Some(&hosts))
        .await?;
    gateway.exchange().refresh_providers().await;
    Ok(())
}

/// One call of the simulated carrier, shown as it goes.
async fn play(carrier: &RunningCarrier, show: &mut Show) -> anyhow::Result<ExitCode> {
    say!("");
    say!("a call from {} to {}", demo::CALLER, carrier.own_number());
    let call = carrier.place_inbound(InboundCall::new(demo::CALLER, carrier.own_number(), demo::caller()))?;
    let mut finished = std::pin::pin!(call.finished(demo::CALL_TIMEOUT));
    let mut look = tokio::time::interval(std::time::Duration::from_millis(100));
    let report = loop {
        tokio::select! {
            report = &mut finished => break report,
            _ = look.tick() => show.look(),
        }
    };
    show.look();
    show.frames();
    let Ok(report) = report else {
        say!("the call did not end in {} s", demo::CALL_TIMEOUT.as_secs());
        return Ok(ExitCode::FAILURE);
    };
    match report.stream() {
        Some(stream) => {
            say!(
                "the call ended: the caller sent {} frames and heard {}",
                stream.sent.len(),
                stream.pacing().messages
            );
            Ok(ExitCode::SUCCESS)
        }
        None => {
            say!("the call ended without a media stream: see what the carrier was answered above");
            Ok(ExitCode::FAILURE)
        }
    }
}
