//! `strowger provider new` and `build`: an author's side of the command line.

use std::process::ExitCode;

use clap::Subcommand;

mod bench;
mod build;
mod check;
mod component;
mod new;
mod run;
mod test;

#[derive(Debug, Subcommand)]
pub(super) enum KitCommand {
    /// Make a project of a provider that builds and passes
    New(new::NewArgs),
    /// Build a project into a component
    Build(build::BuildArgs),
    /// Check what every build should pass: contract, imports, determinism, limits
    Check(check::CheckArgs),
    /// Run the recorded cases and everything that the contract asks of a provider, and tell what it costs
    Test(test::TestArgs),
    /// Measure each export: instructions, time, bytes
    Bench(bench::BenchArgs),
    /// Run a gateway with the provider in it, built and adopted anew when a file changes
    Run(run::RunArgs),
}

pub(super) fn run(command: KitCommand) -> anyhow::Result<ExitCode> {
    match command {
        KitCommand::New(args) => new::run(&args),
        KitCommand::Build(args) => build::run(&args),
        KitCommand::Check(args) => check::run(&args),
        KitCommand::Test(args) => test::run(&args),
        KitCommand::Bench(args) => bench::run(&args),
        KitCommand::Run(args) => super::with_runtime(run::run(args)),
    }
}
