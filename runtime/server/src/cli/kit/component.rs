//! What `check`, `test`, `bench` and `run` work on: a component file, or a project that is built first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use strowger_host::{Engine, EngineOptions, Provider};
use strowger_kit::build::MANIFEST;
use strowger_kit::cases::{self, CaseFile};
use strowger_kit::{ConformanceOptions, ExportCost};

use super::build;

#[derive(Debug, Args)]
pub(in crate::cli) struct ComponentArgs {
    /// A component, or a project's folder, which is built first
    #[arg(default_value = ".", value_name = "FILE|DIR")]
    pub(super) component: PathBuf,
    /// Folder with recorded cases [default: cases, in the project's folder or beside the file]
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// JSON file with a configuration as a user would enter it [default: that of a recorded case, or one made up from the spec]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A component with all that belongs to it.
pub(super) struct Opened {
    pub(super) file: PathBuf,
    pub(super) bytes: Arc<[u8]>,
    pub(super) provider: Provider,
    pub(super) cases: Vec<CaseFile>,
    credentials: Option<Value>,
}

impl ComponentArgs {
    /// Builds and loads. `None`: it was not built, and the compiler's words have been shown.
    pub(super) fn open(&self) -> anyhow::Result<Option<Opened>> {
        let Some(file) = self.built()? else {
            return Ok(None);
        };
        let bytes: Arc<[u8]> = std::fs::read(&file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .into();
        let provider = {
            let _progress = Progress::start(format!("Compiling {} …", file.display()));
            let engine = Engine::new(EngineOptions {
                instances_max: 16,
                ..EngineOptions::default()
            })?;
            Provider::load(&engine, &bytes).with_context(|| format!("{} is not a provider", file.display()))?
        };
        let credentials = match &self.config {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                Some(serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?)
            }
        };
        Ok(Some(Opened {
            cases: cases::read(&self.cases_folder())?,
            file,
            bytes,
            provider,
            credentials,
        }))
    }

    /// The component file, built when the argument is a project.
    pub(super) fn built(&self) -> anyhow::Result<Option<PathBuf>> {
        if !self.component.is_dir() {
            return Ok(Some(self.component.clone()));
        }
        if self.component.join(MANIFEST).is_file() {
            return match build::build(&self.component, None) {
                Ok(built) => Ok(Some(built.file)),
                Err(error) => {
                    build::show(&error);
                    Ok(None)
                }
            };
        }
        // A folder that is built by other means, with its component in it.
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.component)
            .with_context(|| format!("cannot read {}", self.component.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
            .collect();
        match (files.pop(), files.len()) {
            (Some(file), 0) => Ok(Some(file)),
            (found, _) => anyhow::bail!(
                "{} has no {MANIFEST}, so it cannot be built, and {} component files. Name the file, or make a project with \
                 `strowger provider new`",
                self.component.display(),
                if found.is_some() { "several" } else { "no" },
            ),
        }
    }

    fn cases_folder(&self) -> PathBuf {
        match &self.cases {
            Some(folder) => folder.clone(),
            None if self.component.is_dir() => self.component.join("cases"),
            None => self.component.parent().unwrap_or(Path::new(".")).join("cases"),
        }
    }
}

impl Opened {
    /// What the conformance suite may use.
    pub(super) fn options(&self) -> ConformanceOptions {
        ConformanceOptions {
            component: Some(Arc::clone(&self.bytes)),
            cases: self.cases.iter().flat_map(|file| file.cases.iter().cloned()).collect(),
            credentials: self.credentials.clone(),
        }
    }

    /// The component in a line or two.
    pub(super) fn say(&self) {
        let provider = &self.provider;
        let spec = provider.spec();
        let abilities: Vec<&str> = provider.abilities().iter().map(|ability| ability.name()).collect();
        say!("{} ({}) {}", spec.display_name, spec.name, spec.version);
        say!(
            "  {}, {} bytes, sha256:{}",
            self.file.display(),
            provider.size_bytes(),
            provider.digest()
        );
        say!(
            "  abilities  {}",
            if abilities.is_empty() {
                "none beside the required".to_owned()
            } else {
                abilities.join(", ")
            }
        );
        say!("  imports    {}", provider.imports().join(", "));
        say!("");
    }

    /// The component in a program's words.
    pub(super) fn as_json(&self) -> Value {
        let provider = &self.provider;
        json!({
            "name": provider.name(),
            "version": provider.spec().version,
            "digest": provider.digest(),
            "size_bytes": provider.size_bytes(),
            "imports": provider.imports(),
            "abilities": provider.abilities(),
        })
    }
}

/// A line that says what is being done, for as long as it lives.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn start(what: String) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// What each export costs, as a table.
pub(super) fn say_costs(costs: &[ExportCost]) {
    if costs.is_empty() {
        return;
    }
    say!("");
    say!(
        "{:<36} {:>14} {:>10} {:>10}",
        "cost of one call",
        "instructions",
        "memory",
        "output"
    );
    for cost in costs {
        say!(
            "{:<36} {:>14} {:>10} {:>10}",
            cost.export,
            grouped(cost.instructions),
            format!("{} KiB", cost.memory_bytes.div_ceil(1024)),
            format!("{} B", cost.output_bytes),
        );
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1 000");
        assert_eq!(grouped(1_234_567), "1 234 567");
    }
}
