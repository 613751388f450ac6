//! `strowger provider run`: a gateway with one provider in it, which is built and adopted anew whenever a file changes.
//!
//! After every build somebody calls: a simulated carrier of the provider's name, where there is one, or the author's recorded
//! cases. An agent with a script answers. Every invocation of the call is shown as it happens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use strowger_host::Provider;
use strowger_kit::rehearsal::Rehearsal;
use strowger_simulator::agent::{Agent, AgentOptions, AgentProtocol};
use strowger_simulator::{Gateway as GatewayAddress, InboundCall, Options, RunningCarrier};

use self::change::Watch;
use self::player::DeadEnd;
use self::show::Show;
use super::component::{ComponentArgs, Opened};
use crate::catalogue::NewVersion;
use crate::cli::demo;
use crate::gateway::Gateway;
use crate::settings::{Flags, Settings};
use crate::store::Party;

mod change;
mod player;
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
    let site = Site::start(&opened).await?;
    let gateway = start(data.path(), args.listen, site.routes(&opened)).await?;
    let base = format!("http://{}", gateway.address());
    adopt(&gateway, &opened).await?;
    opened.say();
    say!("gateway    {base}");
    say!("webhooks   {base}/api/v1/telephony/inbound/run");
    let api = demo::Api::new(&gateway, &base).await?;
    say!("API key    {}", api.key());
    let agent = Agent::start(AgentOptions::new(AgentProtocol::Strowger, demo::conversation())).await?;
    site.set_up(&api, &base, &opened, &agent.url()).await?;
    say!("carrier    {}", site.name());
    let mut show = Show::new(data.path().join("invocations"));
    let mut watch = Watch::new(&args.component.component);
    let mut provider = opened.provider;
    let mut played;
    loop {
        played = site.play(&base, &provider, &mut show).await;
        if let Err(error) = &played {
            eprintln!("error: {error:#}");
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
                Ok(()) => {
                    say!("adopted    sha256:{}", opened.provider.digest());
                    provider = opened.provider;
                }
                Err(error) => eprintln!("error: {error:#}"),
            },
            // The compiler's words were shown; what ran before runs on.
            Ok(None) => {}
            Err(error) => eprintln!("error: {error:#}"),
        }
    }
    gateway.stop().await;
    show.look();
    Ok(if played.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Who calls.
enum Site {
    /// A simulated carrier of the provider's name.
    Simulated(Box<RunningCarrier>),
    /// The author's recorded cases.
    Recorded(Box<Rehearsal>, DeadEnd),
    /// Nobody, and why.
    Nobody(String),
}

impl Site {
    async fn start(opened: &Opened) -> anyhow::Result<Self> {
        if let Some(carrier) = strowger_simulator::by_name(opened.provider.name()) {
            let carrier = RunningCarrier::start(carrier, Options::default()).await?;
            return Ok(Self::Simulated(Box::new(carrier)));
        }
        match Rehearsal::new(&opened.provider, &opened.options()) {
            Ok(rehearsal) => Ok(Self::Recorded(Box::new(rehearsal), DeadEnd::start().await?)),
            Err(why) => Ok(Self::Nobody(why)),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Simulated(carrier) => format!("{}, simulated", carrier.carrier().name()),
            Self::Recorded(..) => "the recorded cases; requests to its API are answered 200 with {}".to_owned(),
            Self::Nobody(why) => format!("none, so nobody calls: {why}"),
        }
    }

    /// Settings that keep the provider's requests on this machine.
    fn routes(&self, opened: &Opened) -> Vec<String> {
        match self {
            Self::Simulated(carrier) => {
                let hosts = carrier.rest_hosts().into_iter();
                hosts
                    .map(|host| format!("{host}=http://{}", carrier.rest_addr()))
                    .collect()
            }
            Self::Recorded(rehearsal, dead_end) => dead_end.routes(&opened.provider, rehearsal),
            Self::Nobody(_) => Vec::new(),
        }
    }

    async fn set_up(&self, api: &demo::Api, base: &str, opened: &Opened, agent_url: &str) -> anyhow::Result<()> {
        match self {
            Self::Simulated(carrier) => {
                carrier.set_gateway(GatewayAddress::at(base)?)?;
                api.set_up(carrier, AgentProtocol::Strowger, agent_url).await
            }
            Self::Recorded(rehearsal, _) => player::set_up(api, &opened.provider, rehearsal, agent_url).await,
            Self::Nobody(_) => Ok(()),
        }
    }

    async fn play(&self, base: &str, provider: &Provider, show: &mut Show) -> anyhow::Result<()> {
        match self {
            Self::Simulated(carrier) => simulated(carrier, show).await,
            Self::Recorded(rehearsal, dead_end) => player::play(base, provider, rehearsal, dead_end, show).await,
            Self::Nobody(_) => Ok(()),
        }
    }
}

async fn start(data: &Path, listen: SocketAddr, routes: Vec<String>) -> anyhow::Result<Gateway> {
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
async fn simulated(carrier: &RunningCarrier, show: &mut Show) -> anyhow::Result<()> {
    say!("");
    say!("a call from {} to {}", demo::CALLER, carrier.own_number());
    let call = carrier.place_inbound(InboundCall::new(demo::CALLER, carrier.own_number(), demo::caller()))?;
    let mut finished = std::pin::pin!(call.finished(demo::CALL_TIMEOUT));
    let mut look = tokio::time::interval(Duration::from_millis(100));
    let report = loop {
        tokio::select! {
            report = &mut finished => break report,
            _ = look.tick() => show.look(),
        }
    };
    show.look();
    show.frames();
    let Ok(report) = report else {
        bail!("the call did not end in {} s", demo::CALL_TIMEOUT.as_secs());
    };
    let Some(stream) = report.stream() else {
        bail!("the call ended without a media stream: see above what the carrier was answered");
    };
    say!(
        "the call ended: the caller sent {} frames and heard {}",
        stream.sent.len(),
        stream.pacing().messages
    );
    Ok(())
}
