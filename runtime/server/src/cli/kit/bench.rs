//! `strowger provider bench`: what each export costs, in instructions, time and bytes.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::component::{ComponentArgs, Progress, grouped};

#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    #[command(flatten)]
    component: ComponentArgs,
    /// Calls of each export
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let Some(opened) = args.component.open()? else {
        return Ok(ExitCode::FAILURE);
    };
    let measured = {
        let _progress = Progress::start(format!("Measuring {} …", opened.provider.name()));
        strowger_kit::bench::bench(&opened.provider, &opened.bytes, &opened.options(), args.calls as usize)?
    };
    if args.json {
        let whole = json!({ "component": opened.as_json(), "calls": args.calls, "exports": measured });
        say!("{}", serde_json::to_string_pretty(&whole)?);
        return Ok(ExitCode::SUCCESS);
    }
    opened.say();
    say!(
        "{:<36} {:>14} {:>12} {:>12} {:>10} {:>10}",
        "one call",
        "instructions",
        "p50 ns",
        "p99 ns",
        "output",
        "memory"
    );
    for row in &measured {
        say!(
            "{:<36} {:>14} {:>12} {:>12} {:>10} {:>10}",
            row.export,
            grouped(row.instructions),
            grouped(row.p50_ns),
            grouped(row.p99_ns),
            format!("{} B", row.output_bytes),
            format!("{} KiB", row.memory_bytes.div_ceil(1024)),
        );
    }
    say!("");
    say!(
        "Each export on the input on which it needs the most instructions. Frames of a leg are timed on a leg that lives,"
    );
    say!(
        "everything else with the making of its instance, as in a gateway; cpu frequency and other work show in the times."
    );
    if cfg!(debug_assertions) {
        say!("This program was built without optimisation: its own part of the times is several times too high.");
    }
    Ok(ExitCode::SUCCESS)
}
