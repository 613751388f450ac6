//! `strowger provider new` and `build`: an author's side of the command line.

use std::process::ExitCode;

use clap::Subcommand;

mod build;
mod new;

#[derive(Debug, Subcommand)]
pub(super) enum KitCommand {
    /// Make a project of a provider that builds and passes
    New(new::NewArgs),
    /// Build a project into a component
    Build(build::BuildArgs),
}

pub(super) fn run(command: KitCommand) -> anyhow::Result<ExitCode> {
    match command {
        KitCommand::New(args) => new::run(&args),
        KitCommand::Build(args) => build::run(&args),
    }
}
