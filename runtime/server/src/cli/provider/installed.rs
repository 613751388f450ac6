//! `strowger provider add` and what follows it: installing components, adopting versions, returning to them.
//!
//! All of it works on the database of the data directory, also while a gateway runs, which follows within a second.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use strowger_host::child::THIS_PROGRAM;

use super::shadow;
use crate::catalogue::{Catalogue, CatalogueError, Catalogued};
use crate::cli::SettingsArgs;
use crate::cli::audit::audited;
use crate::clock::Clock;
use crate::gateway;
use crate::install::{Examined, InstallOptions, Installer, Page, Upload};
use crate::invocations;
use crate::oci::{self, Login, OciRef, Registry};
use crate::settings::Settings;
use crate::store::{AuditChain, Installed, Party, Store, StoreOptions};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum InstalledCommand {
    /// Examine a component, show what it may ever do, and install it
    Add(AddArgs),
    /// Show the installed providers and their versions
    Versions {
        /// Only this provider
        name: Option<String>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Let an installed version take new calls; calls in progress end on theirs
    Adopt {
        /// The provider
        name: String,
        /// The version's digest, or the beginning of it
        digest: String,
        #[command(flatten)]
        hosts: HostArgs,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Let the version before take new calls again
    Rollback {
        /// The provider
        name: String,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Let an installed version take a share of new calls
    Canary {
        /// The provider
        name: String,
        /// The version's digest, or the beginning of it
        digest: String,
        /// How many of the new calls, such as 5% or 0.5%; 0% ends it
        #[arg(long, value_name = "PERCENT", value_parser = share)]
        share: u16,
        #[command(flatten)]
        hosts: HostArgs,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Run an installed version beside the live one on the same inputs, and show every difference until interrupted;
    /// nothing acts on what it says
    Shadow {
        /// The provider
        name: String,
        /// The version's digest, or the beginning of it; without one a shadow that was left running ends
        digest: Option<String>,
        /// Leave it running, and do not wait for differences
        #[arg(long, requires = "digest")]
        detach: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Remove an installed version
    Remove {
        /// The provider
        name: String,
        /// The version's digest, or the beginning of it
        digest: String,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Fetch a component from an OCI registry into a file
    Pull {
        /// oci://registry/repository:tag, or @sha256:…
        reference: OciRef,
        /// The file
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        login: LoginArgs,
    },
    /// Send a component to an OCI registry
    Push {
        /// The component
        file: PathBuf,
        /// oci://registry/repository:tag
        reference: OciRef,
        #[command(flatten)]
        login: LoginArgs,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// The component: a file, or oci://registry/repository:tag
    component: String,
    /// Its detached signature: minisign's file, or an Ed25519 signature
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Refuse it if its digest is another
    #[arg(long, value_name = "sha256:…")]
    digest: Option<String>,
    /// For this organisation only [default: for all of them]
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Print what it may ever do as JSON, and do not ask
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    login: LoginArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Which hosts a version may reach.
#[derive(Debug, Args)]
pub(in crate::cli) struct HostArgs {
    /// It may reach this host that it asks for, and none that is not named so; may be repeated
    #[arg(long = "allow-host", value_name = "HOST", conflicts_with = "yes")]
    allow_hosts: Vec<String>,
    /// It may reach all hosts that it asks for: ask nothing
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LoginArgs {
    /// The registry's user
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// File with the user's password or token, on one line
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
}

/// Thousandths.
fn share(text: &str) -> Result<u16, String> {
    const CURE: &str = "must be a percentage from 0% to 100%, with at most one decimal, such as 5% or 0.5%";
    let number = text.strip_suffix('%').ok_or(CURE)?;
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| {
        let is_number = !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten()
    };
    match (digits(whole), digits(tenths)) {
        (Some(whole), Some(tenths)) if tenths < 10 && whole * 10 + tenths <= 1000 => Ok(whole * 10 + tenths),
        _ => Err(CURE.to_owned()),
    }
}

pub(in crate::cli) async fn run(command: InstalledCommand) -> anyhow::Result<ExitCode> {
    let operator = Party::Operator;
    match command {
        InstalledCommand::Add(args) => return add(args).await,
        InstalledCommand::Versions { name, settings } => {
            let catalogue = Opened::open(settings).await?.catalogue;
            let mut catalogued = catalogue.list(&operator).await?;
            if let Some(name) = &name {
                catalogued.retain(|provider| provider.channel.name == *name);
                if catalogued.is_empty() {
                    bail!("no provider `{name}` is installed");
                }
            }
            for provider in &catalogued {
                show(&catalogue, provider).await?;
            }
            if catalogued.is_empty() {
                say!("No provider is installed. `strowger provider add` installs one.");
            }
        }
        InstalledCommand::Adopt {
            name,
            digest,
            hosts,
            settings,
        } => {
            let catalogue = Opened::open(settings).await?.catalogue;
            let digest = catalogue.find(&operator, &name, &digest).await?.digest;
            adopt(&catalogue, &name, &digest, &hosts).await?;
        }
        InstalledCommand::Rollback { name, settings } => {
            let catalogue = Opened::open(settings).await?.catalogue;
            let channel = recorded(&catalogue, "rollback", &name, None, async {
                Ok(catalogue.roll_back(&operator, &name).await?)
            })
            .await?;
            let live = channel.live.unwrap_or_default();
            say!("{name}: sha256:{live} takes new calls again.");
        }
        InstalledCommand::Canary {
            name,
            digest,
            share,
            hosts,
            settings,
        } => {
            let catalogue = Opened::open(settings).await?.catalogue;
            let version = catalogue.find(&operator, &name, &digest).await?;
            let digest = &version.digest;
            let set = |hosts: Option<Vec<String>>| {
                let (catalogue, name) = (&catalogue, &name);
                async move {
                    catalogue
                        .set_canary(&Party::Operator, name, digest, share, hosts.as_deref())
                        .await
                }
            };
            let given = given_hosts(&hosts, &version.declared_hosts);
            recorded(&catalogue, "canary", &name, Some(digest), async {
                confirmed(set(given).await, &version.declared_hosts, set).await
            })
            .await?;
            say!(
                "{name}: sha256:{digest} takes {}.{} % of new calls.",
                share / 10,
                share % 10
            );
        }
        InstalledCommand::Shadow {
            name,
            digest,
            detach,
            settings,
        } => shadow_version(&Opened::open(settings).await?, &name, digest.as_deref(), detach).await?,
        InstalledCommand::Remove { name, digest, settings } => {
            let Opened {
                settings, catalogue, ..
            } = Opened::open(settings).await?;
            let digest = catalogue.find(&operator, &name, &digest).await?.digest;
            recorded(&catalogue, "remove", &name, Some(&digest), async {
                Ok(catalogue.remove(&operator, &name, &digest).await?)
            })
            .await?;
            gateway::engine(&settings)?.forget(&digest);
            say!("{name}: sha256:{digest} is removed.");
        }
        InstalledCommand::Pull {
            reference,
            output,
            login,
        } => {
            let fetched = Registry::new(&reference, login.read()?).pull(&reference).await?;
            std::fs::write(&output, &fetched.bytes).with_context(|| format!("cannot write {}", output.display()))?;
            say!("{}", fetched.pinned);
            say!(
                "{}: {} bytes, sha256:{}",
                output.display(),
                fetched.bytes.len(),
                strowger_host::engine::digest(&fetched.bytes)
            );
        }
        InstalledCommand::Push { file, reference, login } => {
            let bytes = read(&file)?;
            let pinned = Registry::new(&reference, login.read()?)
                .push(&reference, &bytes)
                .await?;
            say!("{pinned}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

impl LoginArgs {
    fn read(self) -> anyhow::Result<Login> {
        let (Some(user), Some(file)) = (self.username, self.password_file) else {
            return Ok(Login::default());
        };
        let password = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Login::new(user, password.trim_end().to_owned()))
    }
}

/// The installation in a data directory.
struct Opened {
    settings: Settings,
    store: Store,
    catalogue: Catalogue,
}

impl Opened {
    async fn open(args: SettingsArgs) -> anyhow::Result<Self> {
        let mut settings = Settings::load(&args.flags())?;
        settings.program = Some(THIS_PROGRAM.into());
        settings.prepare_data_dir()?;
        let store = Store::open(&settings.database_url, settings.clone(), &StoreOptions::default()).await?;
        let catalogue = Catalogue::new(store.clone(), &settings.data_dir, Clock::system());
        Ok(Self {
            settings,
            store,
            catalogue,
        })
    }
}

async fn shadow_version(opened: &Opened, name: &str, digest: Option<&str>, detach: bool) -> anyhow::Result<()> {
    let catalogue = &opened.catalogue;
    let set = async |digest| {
        recorded(catalogue, "shadow", name, digest, async {
            Ok(catalogue.set_shadow(&Party::Operator, name, digest).await?)
        })
        .await
    };
    set(digest).await?;
    let Some(digest) = digest else {
        say!("{name}: nothing runs beside the live version any more.");
        return Ok(());
    };
    let listed = catalogue.list(&Party::Operator).await?;
    let channel = listed.into_iter().map(|one| one.channel).find(|one| one.name == name);
    let Some((live, shadow)) = channel.and_then(|channel| Some((channel.live?, channel.shadow?))) else {
        bail!("{name} has no live version, so nothing can run beside it; adopt one first");
    };
    let file = invocations::shadow::file(&opened.settings.invocations_dir().join("shadows"), &live, &shadow);
    if detach {
        say!(
            "{name}: {digest} runs beside the live version. Differences are written to {}",
            file.display()
        );
        return Ok(());
    }
    say!("{name}: {digest} runs beside the live version of a gateway on this data directory. Interrupt to end it.");
    let tally = shadow::follow(&file).await;
    set(None).await?;
    tally?.show();
    Ok(())
}

async fn add(args: AddArgs) -> anyhow::Result<ExitCode> {
    let AddArgs {
        component,
        signature,
        digest,
        organization,
        json,
        hosts,
        login,
        settings,
    } = args;
    let (bytes, source) = if oci::is_reference(&component) {
        let reference: OciRef = component.parse()?;
        let fetched = Registry::new(&reference, login.read()?).pull(&reference).await?;
        (fetched.bytes, fetched.pinned.to_string())
    } else {
        (read(Path::new(&component))?, component)
    };
    let signature = signature.as_deref().map(read).transpose()?;
    let Opened {
        settings,
        store,
        catalogue,
    } = Opened::open(settings).await?;
    let owner = match organization {
        None => Party::Operator,
        Some(name) => match store.organization_named(&name).await? {
            Some(organization) => Party::Organization(organization.id),
            None => bail!("there is no organization `{name}`; `strowger org create` makes one"),
        },
    };
    let installer = Installer::new(gateway::engine(&settings)?, InstallOptions::of(&settings));
    let upload = Upload {
        bytes,
        signature,
        digest,
        source,
    };
    let examined = examine(&installer, &owner, upload).await?;
    let page = &examined.page;
    let chain = match &owner {
        Party::Operator => vec![AuditChain::Installation],
        Party::Organization(id) => vec![AuditChain::Installation, AuditChain::Organization(id.clone())],
    };
    let resources = [("digest", &*page.digest), ("provider", &*page.provider)];
    let installed = audited(&store, &chain, "strowger provider add", &resources, async {
        Ok(examined.install(&catalogue, owner.clone()).await?)
    })
    .await?;
    if json {
        say!("{}", serde_json::to_string_pretty(page)?);
    } else {
        say!("{page}");
        match installed {
            Installed::Added => say!("It is installed, and takes no calls yet."),
            Installed::Unchanged => say!("It was installed before."),
        }
    }
    let may_ask = !json && std::io::stdin().is_terminal();
    if hosts.yes || !hosts.allow_hosts.is_empty() || may_ask {
        adopt_after_adding(&catalogue, page, &hosts).await?;
    } else if !json {
        say!(
            "To let it take new calls: strowger provider adopt {} {}",
            page.provider,
            &page.digest[..12]
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn examine(installer: &Installer, owner: &Party, upload: Upload) -> anyhow::Result<Examined> {
    let progress = ProgressBar::new_spinner().with_message("Examining the component …");
    progress.enable_steady_tick(Duration::from_millis(100));
    let admission = installer.admit(owner)?;
    let examined = installer.examine(&admission, upload).await;
    progress.finish_and_clear();
    Ok(examined?)
}

async fn adopt_after_adding(catalogue: &Catalogue, page: &Page, hosts: &HostArgs) -> anyhow::Result<()> {
    let asked = hosts.yes || !hosts.allow_hosts.is_empty();
    if !asked && !confirm("Let it take new calls now?")? {
        return Ok(());
    }
    adopt(catalogue, &page.provider, &page.digest, hosts).await
}

async fn adopt(catalogue: &Catalogue, name: &str, digest: &str, hosts: &HostArgs) -> anyhow::Result<()> {
    let version = catalogue.find(&Party::Operator, name, digest).await?;
    let adopt = |hosts: Option<Vec<String>>| async move {
        catalogue.adopt(&Party::Operator, name, digest, hosts.as_deref()).await
    };
    let given = given_hosts(hosts, &version.declared_hosts);
    recorded(catalogue, "adopt", name, Some(digest), async {
        confirmed(adopt(given).await, &version.declared_hosts, adopt).await
    })
    .await?;
    say!("{name}: sha256:{digest} takes new calls from now on; a gateway that runs follows within a second.");
    Ok(())
}

/// Does something to a provider, which the installation's log then tells, and that of the organisation whose provider it is.
async fn recorded<T>(
    catalogue: &Catalogue,
    command: &str,
    name: &str,
    digest: Option<&str>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let store = catalogue.store();
    let mut chains = vec![AuditChain::Installation];
    if let Some(Party::Organization(id)) = store.provider_channel(name).await?.map(|channel| channel.owner) {
        chains.push(AuditChain::Organization(id));
    }
    let mut resources = vec![("provider", name)];
    resources.extend(digest.map(|digest| ("digest", digest)));
    audited(
        store,
        &chains,
        &format!("strowger provider {command}"),
        &resources,
        work,
    )
    .await
}

/// The hosts that the command line confirms, if it says anything about them.
fn given_hosts(hosts: &HostArgs, declared: &[String]) -> Option<Vec<String>> {
    if hosts.yes {
        Some(declared.to_vec())
    } else if hosts.allow_hosts.is_empty() {
        None
    } else {
        Some(hosts.allow_hosts.clone())
    }
}

/// When a version asks for hosts that nobody has confirmed, asks for them one by one, and tries again.
async fn confirmed<F: Future<Output = Result<(), CatalogueError>>>(
    tried: Result<(), CatalogueError>,
    declared: &[String],
    again: impl Fn(Option<Vec<String>>) -> F,
) -> anyhow::Result<()> {
    match tried {
        Err(CatalogueError::UnconfirmedHosts { hosts }) if std::io::stdin().is_terminal() => {
            let mut granted = Vec::new();
            for host in declared {
                // What was confirmed for the version before need not be asked again.
                if !hosts.contains(host) || confirm(&format!("May it send requests to {host}?"))? {
                    granted.push(host.clone());
                }
            }
            Ok(again(Some(granted)).await?)
        }
        Err(error @ CatalogueError::UnconfirmedHosts { .. }) => {
            Err(error).context("say which with --allow-host, or --yes for all of them")
        }
        done => Ok(done?),
    }
}

fn confirm(question: &str) -> anyhow::Result<bool> {
    let mut out = std::io::stderr();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

async fn show(catalogue: &Catalogue, provider: &Catalogued) -> anyhow::Result<()> {
    let Catalogued { channel, versions } = provider;
    let owner = match &channel.owner {
        Party::Operator => "for all organizations".to_owned(),
        Party::Organization(id) => {
            let organizations = catalogue.store().organizations().await?;
            let named = organizations.into_iter().find(|organization| organization.id == *id);
            let name = named.map_or_else(|| id.as_str().to_owned(), |organization| organization.name);
            format!("of the organization {name}")
        }
    };
    say!("{} ({owner})", channel.name);
    for version in versions {
        let is = |digest: &Option<String>| digest.as_deref() == Some(version.digest.as_str());
        let mut marks = Vec::new();
        if is(&channel.live) {
            marks.push("live".to_owned());
        }
        if is(&channel.previous) {
            marks.push("previous".to_owned());
        }
        if is(&channel.shadow) {
            marks.push("shadow".to_owned());
        }
        if let Some(canary) = channel.canary.as_ref().filter(|canary| canary.digest == version.digest) {
            marks.push(format!("canary {}.{} %", canary.permille / 10, canary.permille % 10));
        }
        if version.quarantined_at.is_some() {
            marks.push("quarantined".to_owned());
        }
        say!(
            "  {}  {:<12} {:<24} {}",
            &version.digest[..12.min(version.digest.len())],
            version.version,
            marks.join(", "),
            version.source
        );
        if let Some(signer) = &version.signer {
            say!("    signed by {signer}");
        }
        match &version.granted_hosts {
            Some(hosts) if !hosts.is_empty() => say!("    may reach {}", hosts.join(", ")),
            Some(_) => say!("    may reach nobody"),
            None => say!("    asks for {}", version.declared_hosts.join(", ")),
        }
        if let Some(fault) = &version.fault {
            say!("    {}", fault.reason);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_a_percentage() {
        for (text, permille) in [("5%", 50), ("0.5%", 5), ("0%", 0), ("100%", 1000), ("100.0%", 1000)] {
            assert_eq!(share(text), Ok(permille), "{text}");
        }
        for text in ["5", "", "%", "101%", "100.1%", "-1%", "0.55%", "1.%", "five%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
