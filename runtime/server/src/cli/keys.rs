//! `strowger keys`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::SettingsArgs;
use super::audit::audited;
use crate::clock::Clock;
use crate::settings::Settings;
use crate::store::{AuditChain, KeyReport, Rotation, Secrets, Store, StoreOptions};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Show which keys there are, and what each of them protects
    List(SettingsArgs),
    /// Seal all stored secrets again under new keys; gateways may run meanwhile. One that was interrupted goes on
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// Make a new encryption key as well, and put it above the old one in the key file
    #[arg(long)]
    new_key: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(command: KeysCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeysCommand::List(args) => list(&Settings::load(&args.flags())?).await,
        KeysCommand::Rotate(args) => {
            let settings = Settings::load(&args.settings.flags())?;
            rotate(&settings, args.new_key).await
        }
    }
}

async fn open(settings: &Settings) -> anyhow::Result<Store> {
    settings.prepare_data_dir()?;
    let store = Store::open(&settings.database_url, settings.clone(), &StoreOptions::default()).await?;
    Ok(store)
}

async fn list(settings: &Settings) -> anyhow::Result<ExitCode> {
    let store = open(settings).await?;
    let report = store.key_report().await?;
    show(&report);
    let secrets = store.secrets();
    store.close().await;
    if let Secrets::Unavailable { reason } = secrets {
        anyhow::bail!("stored secrets can neither be read nor written: {reason}");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(report: &KeyReport) {
    say!("Encryption keys, by their ids:");
    for key in &report.master_keys {
        let state = match (key.present, key.current) {
            (false, _) => "MISSING",
            (true, true) => "current",
            (true, false) if key.data_keys == 0 => "not used any more: its line can be removed",
            (true, false) => "older",
        };
        say!("  {}  wraps {} data keys  {state}", key.id, key.data_keys);
    }
    say!("Secrets, by the rotation that their data key came with:");
    for (generation, secrets) in &report.secrets_by_generation {
        let state = if *generation == report.generation {
            "current"
        } else {
            "older"
        };
        say!("  {generation:>4}  {secrets} secrets  {state}");
    }
    if report.without_data_key > 0 {
        say!(
            "  none  {} secrets, from before there were data keys",
            report.without_data_key
        );
    }
    if report.unfinished {
        say!("The newest rotation was interrupted: `strowger keys rotate` goes on with it.");
    }
}

async fn rotate(settings: &Settings, new_key: bool) -> anyhow::Result<ExitCode> {
    if new_key {
        let keys = settings.add_key()?;
        say!(
            "A new encryption key, {}, is the first line of the key file.",
            keys.current_id()
        );
    }
    let store = open(settings).await?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:30} {pos} of {len} secrets")?);
    let clock = Clock::system();
    let operation = if new_key {
        "strowger keys rotate --new-key"
    } else {
        "strowger keys rotate"
    };
    let rotation = audited(&store, &[AuditChain::Installation], operation, &[], async {
        let progress = |rotation: Rotation| {
            bar.set_length(rotation.total.max(rotation.done));
            bar.set_position(rotation.done);
        };
        Ok(store.rotate_keys(|| clock.unix_ms(), progress).await?)
    });
    let rotation = rotation.await?;
    bar.finish_and_clear();
    if rotation.resumed {
        say!("An earlier rotation had been interrupted; this is the rest of it.");
    }
    say!(
        "Sealed {} secrets again (rotation {}).",
        rotation.done,
        rotation.generation
    );
    let report = store.key_report().await?;
    store.close().await;
    for key in report
        .master_keys
        .iter()
        .filter(|key| key.present && !key.current && key.data_keys == 0)
    {
        say!(
            "The encryption key {} is not used any more: its line can be removed.",
            key.id
        );
    }
    if rotation.failed > 0 {
        anyhow::bail!(
            "{} secrets do not open and stay as they are; the log names them",
            rotation.failed
        );
    }
    Ok(ExitCode::SUCCESS)
}
