//! `strowger provider`: look at a component, run an export of it, find out why a webhook is refused.

mod installed;
mod shadow;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::{Value, json};
use strowger_host::child::THIS_PROGRAM;
use strowger_host::limits::Limits;
use strowger_host::spec::{Field, ProviderSpec};
use strowger_host::{
    Ability, Credentials, Engine, EngineOptions, Header, IsolatedCompiler, Moment, Provider, Refusal, Verdict, Webhook,
};

use crate::catalogue::shelf;
use crate::cli::{kit, with_runtime};
use crate::clock::Clock;

#[derive(Debug, Subcommand)]
pub(super) enum ProviderCommand {
    #[command(flatten)]
    Kit(Box<kit::KitCommand>),
    #[command(flatten)]
    Installed(Box<installed::InstalledCommand>),
    /// List the provider components of a folder
    List {
        /// The folder
        #[arg(long, env = "STROWGER_PROVIDERS", value_name = "DIR")]
        providers: PathBuf,
    },
    /// Show what a component is, what it can do, and what it asks for
    Inspect {
        /// The component
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run one export on JSON, and print its result as JSON
    Invoke {
        /// The component
        file: PathBuf,
        /// Which, for example webhook.recognise
        export: String,
        /// JSON file with one entry for each parameter; `-` for standard input
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
    },
    /// Tell whether a webhook is authentic under given credentials, and if not, which check failed
    Verify {
        /// The component
        file: PathBuf,
        /// JSON file with the credentials, as entered in a configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// JSON file with the webhook: method, url, headers as [name, value] pairs, body or `body_base64`, `received_at` in
        /// unix milliseconds
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
    },
}

pub(super) fn run(command: ProviderCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProviderCommand::Kit(command) => kit::run(*command),
        ProviderCommand::Installed(command) => with_runtime(installed::run(*command)),
        ProviderCommand::List { providers } => list(&providers),
        ProviderCommand::Inspect { file, json } => inspect(&file, json),
        ProviderCommand::Invoke { file, export, input } => invoke(&file, &export, &input),
        ProviderCommand::Verify { file, config, request } => verify(&file, &config, &request),
    }
}

fn engine() -> anyhow::Result<Engine> {
    Ok(Engine::new(EngineOptions {
        instances_max: 16,
        compiler: Some(IsolatedCompiler::new(THIS_PROGRAM)),
        ..EngineOptions::default()
    })?)
}

fn load(file: &Path) -> anyhow::Result<Provider> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let progress = ProgressBar::new_spinner().with_message(format!("Compiling {} …", file.display()));
    progress.enable_steady_tick(std::time::Duration::from_millis(100));
    let provider = Provider::load(&engine()?, &bytes).with_context(|| format!("{} is not a provider", file.display()));
    progress.finish_and_clear();
    provider
}

fn read_json<T: for<'de> Deserialize<'de>>(file: &Path) -> anyhow::Result<T> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    serde_json::from_str(&text).with_context(|| format!("{} is not the JSON that is needed", file.display()))
}

fn list(folder: &Path) -> anyhow::Result<ExitCode> {
    let engine = engine()?;
    let mut skipped = 0;
    for file in shelf::files(folder)? {
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let provider = match Provider::load(&engine, &bytes) {
            Ok(provider) => provider,
            Err(error) => {
                eprintln!("passed over: {}: {error}", file.display());
                skipped += 1;
                continue;
            }
        };
        let abilities: Vec<&str> = provider.abilities().iter().map(|ability| ability.name()).collect();
        let spec = provider.spec();
        say!(
            "{:<16} {:<10} {:<24} {:<12} {}",
            spec.name,
            spec.version,
            spec.display_name,
            &provider.digest()[..12],
            abilities.join(" ")
        );
    }
    Ok(if skipped == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn inspect(file: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let provider = load(file)?;
    let spec = provider.spec();
    let (control, media) = (Limits::control(provider.class()), Limits::media(provider.class()));
    if as_json {
        let report = json!({
            "digest": provider.digest(),
            "size_bytes": provider.size_bytes(),
            "imports": provider.imports(),
            "abilities": provider.abilities(),
            "spec": spec,
            "trunk_fields": provider.trunk_fields(),
            "limits": {
                "control": { "cpu_ms": control.cpu_ms_max, "memory_bytes": control.memory_bytes_max, "output_bytes": control.output_bytes_max, "effects": control.rounds_max },
                "media": { "cpu_ms": media.cpu_ms_max, "memory_bytes": media.memory_bytes_max, "output_bytes": media.output_bytes_max },
            },
        });
        say!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("{} ({}) {}", spec.display_name, spec.name, spec.version);
    if let Some(url) = &spec.docs_url {
        say!("{url}");
    }
    say!("");
    say!("digest     sha256:{}", provider.digest());
    say!("size       {} bytes", provider.size_bytes());
    let abilities: Vec<&str> = provider.abilities().iter().map(|ability| ability.name()).collect();
    say!(
        "abilities  {}",
        if abilities.is_empty() {
            "none beside the required".to_owned()
        } else {
            abilities.join(", ")
        }
    );
    heading(
        "imports: all of them inert, none reaches the outside",
        provider.imports().len(),
    );
    for import in provider.imports() {
        say!("  {import}");
    }
    heading("hosts that it may send requests to", spec.egress_hosts.len());
    for host in &spec.egress_hosts {
        say!("  {}", host.as_str());
    }
    heading("routes", spec.routes.len());
    for route in &spec.routes {
        let purpose = format!("{:?}", route.purpose).to_lowercase();
        say!(
            "  {:<5} /api/v1/telephony/{}/{:<28} {} ({purpose})",
            route.method,
            spec.name,
            route.path,
            route.name
        );
    }
    heading("credential fields", spec.fields.len());
    for field in &spec.fields {
        show_field(spec, field);
    }
    if provider.can(Ability::Trunks) {
        heading("settings of a trunk", provider.trunk_fields().len());
        for field in provider.trunk_fields() {
            show_field(spec, field);
        }
    }
    heading("media", spec.media.formats.len());
    for format in &spec.media.formats {
        say!(
            "  {:?} at {} Hz, frames of {} ms",
            format.encoding,
            format.sample_rate_hz,
            spec.media.frame_ms
        );
    }
    say!("");
    say!("limits of one invocation");
    say!(
        "  control  {} ms of processor time, {} MiB of memory, {} KiB of output, {} effects",
        control.cpu_ms_max,
        control.memory_bytes_max >> 20,
        control.output_bytes_max >> 10,
        control.rounds_max
    );
    say!(
        "  media    {} ms of processor time, {} MiB of memory, {} KiB of output",
        media.cpu_ms_max,
        media.memory_bytes_max >> 20,
        media.output_bytes_max >> 10
    );
    Ok(ExitCode::SUCCESS)
}

fn show_field(spec: &ProviderSpec, field: &Field) {
    let mut marks = Vec::new();
    if field.required {
        marks.push("required");
    }
    if field.sensitive && spec.is_sealed(&field.name) {
        marks.push("sealed: the component never sees it");
    } else if field.sensitive {
        marks.push("masked");
    }
    if spec.account_id_field.as_deref() == Some(&field.name) {
        marks.push("account id");
    }
    if field.server_managed {
        marks.push("server-managed: never shown");
    }
    if field.account_scoped {
        marks.push("discarded with the account id");
    }
    say!(
        "  {:<20} {:<12} {}",
        field.name,
        format!("{:?}", field.kind).to_lowercase(),
        marks.join(", ")
    );
}

fn heading(text: &str, count: usize) {
    say!("");
    say!("{text}{}", if count == 0 { ": none" } else { "" });
}

fn invoke(file: &Path, export: &str, input: &Path) -> anyhow::Result<ExitCode> {
    let input: Value = read_json(input)?;
    let result = load(file)?.invoke_json(export, &input)?;
    say!("{}", serde_json::to_string_pretty(&result)?);
    Ok(ExitCode::SUCCESS)
}

/// A webhook as a user writes it down.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestFile {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
    received_at: Option<u64>,
}

fn verify(file: &Path, config: &Path, request: &Path) -> anyhow::Result<ExitCode> {
    let entered: Value = read_json(config)?;
    let request: RequestFile = read_json(request)?;
    let body = match (request.body, request.body_base64) {
        (Some(_), Some(_)) => anyhow::bail!("the request has both `body` and `body_base64`; give one"),
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => STANDARD.decode(text).context("`body_base64` is not base64")?,
        (None, None) => Vec::new(),
    };
    let provider = load(file)?;
    let credentials = Credentials::check(provider.spec(), &entered).map_err(|problems| {
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| format!("  {}: {}", problem.field, problem.problem))
            .collect();
        anyhow::anyhow!(
            "{} does not fit the fields of {}:\n{}",
            config.display(),
            provider.spec().display_name,
            lines.join("\n")
        )
    })?;
    let received_at = request
        .received_at
        .unwrap_or_else(|| Clock::system().unix_ms_unsigned());
    let webhook = Webhook {
        method: request.method,
        url: request.url,
        headers: request
            .headers
            .into_iter()
            .map(|(name, value)| Header { name, value })
            .collect(),
        body,
        received_at,
    };
    match provider.verify(&credentials, &webhook, &Moment::at(received_at))? {
        Verdict::Genuine { label, once } => {
            say!("authentic: {label}");
            if !once.is_empty() {
                say!(
                    "(a gateway accepts it once: a repetition within {} s is refused)",
                    once[0].ttl_ms / 1000
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Verdict::Refused(refusal) => {
            say!("refused");
            match refusal {
                Refusal::Rejected { code, message } => say!("  {code}: {message}"),
                Refusal::NoProof => say!("  the provider described no proof for this webhook"),
                Refusal::NotProved(failed) => {
                    for proof in failed {
                        say!("  {}\n    {}", proof.label, proof.failed);
                    }
                }
            }
            Ok(ExitCode::FAILURE)
        }
    }
}
