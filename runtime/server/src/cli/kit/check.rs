//! `strowger provider check`: what every build should pass.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::component::{ComponentArgs, Progress};

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    component: ComponentArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let Some(opened) = args.component.open()? else {
        return Ok(ExitCode::FAILURE);
    };
    let report = {
        let _progress = Progress::start(format!("Checking {} …", opened.provider.name()));
        strowger_kit::essentials(&opened.provider, &opened.options())
    };
    if args.json {
        let whole = json!({ "component": opened.as_json(), "report": report, "passed": report.passed() });
        say!("{}", serde_json::to_string_pretty(&whole)?);
    } else {
        opened.say();
        say!(
            "{:<9}{:<17}the interfaces have the types of the contract, and import nothing from outside",
            "ok",
            "contract"
        );
        say!("{}", report.to_string().trim_end());
    }
    Ok(if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
