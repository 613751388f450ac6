//! `strowger provider new`: a project that builds and passes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use strowger_kit::build::{Language, SDK_FOLDER};
use strowger_kit::scaffold::scaffold;

#[derive(Debug, Args)]
pub(in crate::cli) struct NewArgs {
    /// The provider's name in URLs and files: lower-case letters, digits and hyphens
    name: String,
    /// rust, typescript, python or c
    #[arg(long, short, value_name = "LANGUAGE")]
    language: Language,
    /// Folder of the project [default: one with the provider's name]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

pub(super) fn run(args: &NewArgs) -> anyhow::Result<ExitCode> {
    let folder = args.path.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    if let Err(error) = scaffold(&args.name, args.language, &folder) {
        eprintln!("error: {error}");
        return Ok(ExitCode::FAILURE);
    }
    say!(
        "{} is a provider in {}. {SDK_FOLDER} is its SDK: keep it with the sources.",
        folder.display(),
        args.language
    );
    say!("");
    say!("  cd {}", folder.display());
    say!("  strowger provider build    makes {}.wasm", args.name);
    say!("  strowger provider check .  contract, imports, limits, determinism");
    say!("  strowger provider test .   the cases in cases/, and what the contract asks of every provider");
    say!("");
    say!("README.md says where to write what.");
    Ok(ExitCode::SUCCESS)
}
