//! `strowger serve`.

use std::process::ExitCode;

use strowger_host::child::THIS_PROGRAM;
use tokio::signal::unix::{SignalKind, signal};

use crate::gateway::Gateway;
use crate::settings::{Flags, Settings};

/// Runs until it is told to stop, then lets calls finish.
pub(super) async fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(&flags)?;
    settings.program = Some(THIS_PROGRAM.into());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    eprintln!("Loading providers …");
    let gateway = Gateway::start(settings).await?;
    for error in &gateway.skipped {
        eprintln!("Passed over: {error}");
    }
    for provider in gateway.exchange().registry().providers() {
        let abilities: Vec<&str> = provider.abilities().iter().map(|ability| ability.name()).collect();
        eprintln!(
            "  {} {} ({})",
            provider.name(),
            provider.spec().version,
            abilities.join(", ")
        );
    }
    if gateway.exchange().registry().providers().is_empty() {
        eprintln!(
            "  none takes calls: install one with `strowger provider add`, or name a folder with --providers DIR"
        );
    }
    eprintln!("Listening on {}", gateway.address());
    eprintln!("Carriers post inbound calls to {}", gateway.exchange().inbound_url());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let live = gateway.exchange().live_calls();
    if live > 0 {
        eprintln!("Stopping: no new calls; {live} may finish …");
    }
    let ended = tokio::select! {
        ended = gateway.stop() => ended,
        _ = interrupt.recv() => {
            eprintln!("Stopped at once; the records of live calls are closed at the next start.");
            return Ok(ExitCode::FAILURE);
        }
    };
    if ended > 0 {
        eprintln!("{ended} calls had to be ended.");
    }
    eprintln!("Stopped.");
    Ok(ExitCode::SUCCESS)
}
