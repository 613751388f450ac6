//! `strowger replay`: runs a recording again, and tells every difference.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;
use strowger_host::recording::Recording;
use strowger_host::replay::{ReplayOutcome, Replayed, replay};
use strowger_host::{Engine, EngineOptions, Provider};

use super::shortened;

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The recording: of a call or of a fault, from the data directory's `invocations`
    file: PathBuf,
    /// Run this component instead of the one that was recorded
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
    /// Where the recorded component is looked for: a data directory, or a folder of components; may be repeated
    #[arg(long, value_name = "DIR", default_values = ["strowger-data", "."])]
    components: Vec<PathBuf>,
    /// Every invocation as JSON lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let file = File::open(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let recording = Recording::read(BufReader::new(file)).with_context(|| args.file.display().to_string())?;
    let bytes = match &args.with {
        Some(path) => std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => recorded_component(&recording.header.digest, &args.components)?,
    };
    let engine = Engine::new(EngineOptions {
        instances_max: 4,
        ..EngineOptions::default()
    })?;
    let provider = Provider::load(&engine, &bytes).context("the component cannot be loaded")?;
    let replayed = replay(&provider, &recording);
    let (mut same, mut differ, mut context) = (0, 0, 0);
    for one in &replayed {
        match one.outcome {
            ReplayOutcome::Same => same += 1,
            ReplayOutcome::Differs { .. } => differ += 1,
            ReplayOutcome::NotCompared => context += 1,
        }
        if args.json {
            say!("{}", as_json(one));
        } else if let ReplayOutcome::Differs { path, recorded, now } = &one.outcome {
            say!("invocation {}: {}", one.index + 1, one.export);
            say!("  {path}");
            say!("  - {}", shortened(recorded));
            say!("  + {}", shortened(now));
        }
    }
    if !args.json {
        let who = if provider.digest() == recording.header.digest {
            "the recorded component".to_owned()
        } else {
            format!("{} {}", provider.name(), provider.spec().version)
        };
        say!(
            "{same} of {} invocations are the same with {who}; {differ} differ",
            same + differ
        );
        if context > 0 {
            say!("({context} more only lead up to a fault; their results were not recorded)");
        }
    }
    Ok(if differ == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Finds the component by its digest: in a catalogue under that name, elsewhere by reading what is there.
fn recorded_component(digest: &str, places: &[PathBuf]) -> anyhow::Result<Vec<u8>> {
    let matches = |path: &Path| -> Option<Vec<u8>> {
        let bytes = std::fs::read(path).ok()?;
        (strowger_host::engine::digest(&bytes) == digest).then_some(bytes)
    };
    for place in places {
        if let Some(bytes) = matches(&place.join("components").join(format!("{digest}.wasm"))) {
            return Ok(bytes);
        }
        let Ok(entries) = std::fs::read_dir(place) else {
            continue;
        };
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let component = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
        if let Some(bytes) = files.filter(component).find_map(|path| matches(&path)) {
            return Ok(bytes);
        }
    }
    anyhow::bail!(
        "the recorded component, sha256:{digest}, is not in {}. Name its data directory or folder with --components, or \
         another component with --with",
        places
            .iter()
            .map(|place| place.display().to_string())
            .collect::<Vec<_>>()
            .join(" or ")
    )
}

fn as_json(one: &Replayed) -> Value {
    let (outcome, difference) = match &one.outcome {
        ReplayOutcome::Same => ("same", Value::Null),
        ReplayOutcome::NotCompared => ("not-compared", Value::Null),
        ReplayOutcome::Differs { path, recorded, now } => (
            "differs",
            serde_json::json!({ "path": path, "recorded": recorded, "now": now }),
        ),
    };
    serde_json::json!({ "invocation": one.index + 1, "export": one.export, "outcome": outcome, "difference": difference })
}
