//! The command line: what it takes, and which part answers.
#![expect(clippy::print_stderr, reason = "a command line talks to its terminal")]

/// Prints a line. A reader who has seen enough, such as `head`, is no error.
macro_rules! say {
    ($($line:tt)*) => {
        $crate::cli::print_line(format_args!($($line)*))
    };
}

mod audit;
mod config;
mod demo;
mod key;
mod keys;
mod kit;
mod organization;
mod provider;
mod replay;
mod serve;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::install;
use crate::settings::Flags;

/// A telephony gateway between carriers and voice agents that does not have to trust its carriers' integrations.
///
/// Point a carrier's webhook at it, tell it where your voice agent listens, and calls work. Every carrier is a sandboxed
/// WebAssembly component; `strowger demo` plays a whole call to see it at work.
#[derive(Debug, Parser)]
#[command(name = "strowger", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    /// What to log, for example `info` or `strowger_server=debug`
    #[arg(
        long,
        global = true,
        env = "STROWGER_LOG",
        value_name = "FILTER",
        hide_env_values = true
    )]
    log: Option<String>,
    /// How log lines are written
    #[arg(
        long,
        global = true,
        env = "STROWGER_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        hide_env_values = true
    )]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// An object on each line
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(SettingsArgs),
    /// Play a whole call on this machine: carrier, gateway and agent, with a summary, a recording and a picture
    Demo(demo::DemoArgs),
    /// Look at the settings before they are used
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Organisations and their API keys
    #[command(subcommand)]
    Org(OrgCommand),
    /// API keys of organisations and of the operator
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// The log of who changed what
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The encryption keys that protect stored secrets
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Look at provider components, and try them
    #[command(subcommand)]
    Provider(provider::ProviderCommand),
    /// The compiler of components, in a process of its own: for this program itself
    #[command(name = strowger_host::compile::COMMAND, hide = true)]
    Compile(ChildArgs),
    /// The examination of a component, in a process of its own: for this program itself
    #[command(name = install::COMMAND, hide = true)]
    Examine(ChildArgs),
    /// Run again what a provider did in a call, or before a fault, and show every difference
    Replay(replay::ReplayArgs),
}

/// What a child process of this program may use.
#[derive(Debug, Args)]
struct ChildArgs {
    memory_bytes_max: u64,
    address_bytes_max: u64,
    cpu_s_max: u64,
}

impl ChildArgs {
    fn bounds(&self) -> [u64; 3] {
        [self.memory_bytes_max, self.address_bytes_max, self.cpu_s_max]
    }
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show every setting and where it came from, and try what can be tried without starting; writes nothing
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

#[derive(Debug, Subcommand)]
enum OrgCommand {
    /// Create an organisation and print its first API key, once
    Create {
        /// Its name, unique
        name: String,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Show all organisations
    List {
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Look whether an entry was changed, removed or moved; keep the hashes that it prints, and a chain that was made anew shows
    Verify {
        /// Only the log of this organisation
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// Settings. Each may also stand in the environment (STROWGER_ and its name in capitals) or in strowger.toml
#[derive(Debug, Args)]
struct SettingsArgs {
    /// Settings file [default: strowger.toml in the data directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for the database, keys, recordings and caches
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The https URL under which carriers reach this server
    #[arg(long, value_name = "URL")]
    public_base_url: Option<String>,
    /// Database URL [default: SQLite in the data directory]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Folder with provider components; may be repeated
    #[arg(long, value_name = "DIR")]
    providers: Vec<String>,
    /// Network that is not public and may be reached all the same, such as 10.1.0.0/16; may be repeated
    #[arg(long = "allow-network", value_name = "CIDR")]
    allow_networks: Vec<String>,
    /// Send what is meant for a host elsewhere: HOST=URL; may be repeated
    #[arg(long = "egress-route", value_name = "HOST=URL")]
    egress_routes: Vec<String>,
    /// Calls at once
    #[arg(long, value_name = "N")]
    calls_max: Option<u32>,
    /// Seconds that calls may go on after a request to stop
    #[arg(long, value_name = "SECONDS")]
    shutdown_grace_s: Option<u64>,
}

impl SettingsArgs {
    fn flags(self) -> Flags {
        let list = |flags: Flags, name: &str, values: Vec<String>| {
            if values.is_empty() {
                flags
            } else {
                flags.set_all(name, values)
            }
        };
        let flags = Flags::default()
            .config(self.config)
            .set("data_dir", self.data_dir)
            .set("listen", self.listen)
            .set("public_base_url", self.public_base_url)
            .set("database_url", self.database_url)
            .set("calls_max", self.calls_max)
            .set("shutdown_grace_s", self.shutdown_grace_s);
        let flags = list(flags, "providers", self.providers);
        let flags = list(flags, "allow_networks", self.allow_networks);
        list(flags, "egress_routes", self.egress_routes)
    }
}

/// What is logged when `--log` says this. Whatever it says, what passes over the wire is not logged: below `info` the
/// libraries write it down as it is, other people's secrets included.
///
/// # Errors
/// When it is no filter.
pub fn log_filter(text: &str) -> Result<EnvFilter, ParseError> {
    let filter = EnvFilter::try_new(text)?;
    let filters = [
        "tungstenite",
        "tokio_tungstenite",
        "hyper",
        "hyper_util",
        "h2",
        "reqwest",
        "rustls",
        "sqlx",
    ]
    .iter()
    .filter_map(|target| format!("{target}=info").parse().ok())
    .fold(filter, EnvFilter::add_directive);
    Ok(filters)
}

/// Longest value of an invocation that is shown, in characters.
const VALUE_CHARS_MAX: usize = 400;

/// A value of an invocation on one line.
fn shortened(value: &serde_json::Value) -> String {
    let text = value.to_string();
    let mut shown: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn print_line(line: std::fmt::Arguments<'_>) {
    let printed = writeln!(std::io::stdout(), "{line}");
    if printed.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let default = match &cli.command {
        Command::Serve(_) => "info",
        // Their parent reads what they say.
        Command::Compile(_) | Command::Examine(_) => "off",
        // These talk to a person, who wants their answer and not their log.
        Command::Config(_)
        | Command::Demo(_)
        | Command::Org(_)
        | Command::Key(_)
        | Command::Keys(_)
        | Command::Audit(_)
        | Command::Provider(_)
        | Command::Replay(_) => "error",
    };
    let filter = cli.log.as_deref().unwrap_or(default);
    let filter = match log_filter(filter) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("--log: `{filter}` is not a filter ({error}); write for example info, or strowger_server=debug");
            return ExitCode::from(2);
        }
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    let result = match cli.command {
        Command::Serve(settings) => with_runtime(serve::run(settings.flags())),
        Command::Config(ConfigCommand::Check { settings }) => with_runtime(config::check(settings.flags())),
        Command::Demo(args) => with_runtime(demo::run(args)),
        Command::Org(OrgCommand::Create { name, settings }) => {
            with_runtime(organization::create(name, settings.flags()))
        }
        Command::Org(OrgCommand::List { settings }) => with_runtime(organization::list(settings.flags())),
        Command::Key(command) => with_runtime(key::run(command)),
        Command::Audit(AuditCommand::Verify { organization, settings }) => {
            with_runtime(audit::verify(organization, settings.flags()))
        }
        Command::Keys(command) => with_runtime(keys::run(command)),
        Command::Provider(command) => provider::run(command),
        Command::Replay(args) => replay::run(&args),
        Command::Compile(args) => Ok(strowger_host::compile::serve(&args.bounds())),
        Command::Examine(args) => Ok(install::serve(&args.bounds())),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("strowger: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn with_runtime(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
