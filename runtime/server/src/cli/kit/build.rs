//! `strowger provider build`: from a project to a component.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use strowger_kit::build::{BuildError, Built, Project};

#[derive(Debug, Args)]
pub(in crate::cli) struct BuildArgs {
    /// The project's folder
    #[arg(default_value = ".", value_name = "DIR")]
    project: PathBuf,
    /// The component [default: NAME.wasm in the project's folder]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    match build(&args.project, args.output.as_deref()) {
        Ok(built) => {
            say!("{}", built.file.display());
            say!("  size       {} bytes", built.size_bytes);
            say!("  digest     sha256:{}", built.digest);
            say!("  abilities  {}", listed(&built.abilities));
            say!("  imports    {}", listed(&built.imports));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            show(&error);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Builds the project in `folder`, and shows on the terminal what is being done.
pub(in crate::cli) fn build(folder: &Path, output: Option<&Path>) -> Result<Built, BuildError> {
    let project = Project::open(folder)?;
    let output = output.map_or_else(|| project.default_output(), Path::to_owned);
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(100));
    let built = strowger_kit::build::build(&project, &output, &|step| spinner.set_message(format!("{step} …")));
    spinner.finish_and_clear();
    built
}

/// What the compiler said, then what that means.
pub(in crate::cli) fn show(error: &BuildError) {
    if !error.output.is_empty() {
        eprintln!("{}\n", error.output);
    }
    eprintln!("error: {error}");
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
