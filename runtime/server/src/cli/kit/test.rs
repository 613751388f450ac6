//! `strowger provider test`: the recorded cases, everything that the contract asks, and what it all costs.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use strowger_kit::cases::{self, FailedCase};

use super::component::{ComponentArgs, Progress, say_costs};

#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    #[command(flatten)]
    component: ComponentArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let Some(opened) = args.component.open()? else {
        return Ok(ExitCode::FAILURE);
    };
    let total: usize = opened.cases.iter().map(|file| file.cases.len()).sum();
    let failed = {
        let _progress = Progress::start(format!("Running {total} cases …"));
        cases::run(&opened.provider, &opened.cases)
    };
    let report = {
        let _progress = Progress::start("Asking what the contract asks of every provider …".to_owned());
        strowger_kit::conformance(&opened.provider, &opened.options())
    };
    let passed = failed.is_empty() && report.passed();
    if args.json {
        let whole = json!({
            "component": opened.as_json(),
            "cases": { "total": total, "failed": failed },
            "report": report,
            "passed": passed,
        });
        say!("{}", serde_json::to_string_pretty(&whole)?);
    } else {
        opened.say();
        if total == 0 {
            say!(
                "{:<9}{:<17}there are none; record some in cases/*.json",
                "skipped",
                "cases"
            );
        } else if failed.is_empty() {
            say!("{:<9}{:<17}{total} recorded cases hold", "ok", "cases");
        } else {
            say!(
                "{:<9}{:<17}{} of {total} recorded cases do not hold",
                "FAILED",
                "cases",
                failed.len()
            );
            failed.iter().for_each(say_failed);
        }
        say!("{}", report.to_string().trim_end());
        say_costs(&report.costs);
        say!("");
        say!(
            "{}",
            if passed {
                "All of it holds."
            } else {
                "Not all of it holds."
            }
        );
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say_failed(failed: &FailedCase) {
    say!("  {}: {}: {}", failed.file.display(), failed.case, failed.export);
    for line in failed.problem.lines() {
        say!("    {line}");
    }
}
