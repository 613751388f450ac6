//! `strowger audit`, and the record of what other commands change.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::clock::Clock;
use crate::settings::{Flags, Settings};
use crate::store::{AuditChain, AuditEntry, AuditVerdict, IntentId, OrganizationId, Outcome, Store, StoreOptions};

/// Opens the store of an installation that need not run.
pub(super) async fn open(flags: &Flags) -> anyhow::Result<Store> {
    let settings = Settings::load(flags)?;
    settings.prepare_data_dir()?;
    Ok(Store::open(&settings.database_url, settings.clone(), &StoreOptions::default()).await?)
}

/// The organisation of this name, or what to do.
pub(super) async fn organization(store: &Store, name: &str) -> anyhow::Result<OrganizationId> {
    let found = store.organization_named(name).await?;
    let found = found.with_context(|| format!("there is no organization `{name}`; `strowger org list` shows them"))?;
    Ok(found.id)
}

/// Runs what a command changes, with an intent before and an entry after it in the first of the chains, and an entry in the
/// others.
///
/// # Errors
/// What the work says; or the log cannot be written, and then the work has not begun, or may have been done.
pub(super) async fn audited<T>(
    store: &Store,
    chains: &[AuditChain],
    operation: &str,
    resources: &[(&str, &str)],
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let clock = Clock::system();
    let resources: BTreeMap<_, _> = resources
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let entry = AuditEntry {
        actor: "command_line",
        actor_id: format!("uid:{}", rustix::process::getuid().as_raw()),
        operation: operation.to_owned(),
        resources,
        ..AuditEntry::default()
    };
    let intent = IntentId::generate();
    if let Some(first) = chains.first() {
        store.begin_audit(&intent, first, &entry, clock.unix_ms()).await?;
    }
    let done = work.await;
    let outcome = if done.is_ok() { Outcome::Done } else { Outcome::Failed };
    for chain in chains {
        store
            .end_audit(&intent, chain, &entry, outcome, clock.unix_ms())
            .await
            .context("it may have been done, and could not be written to the audit log")?;
    }
    done
}

/// Looks whether the log is what it was: of one organisation, or all logs of the installation.
pub(super) async fn verify(organization: Option<String>, flags: Flags) -> anyhow::Result<ExitCode> {
    let store = open(&flags).await?;
    let mut chains = Vec::new();
    match organization {
        Some(name) => chains.push((
            name.clone(),
            AuditChain::Organization(self::organization(&store, &name).await?),
        )),
        None => {
            chains.push(("installation".to_owned(), AuditChain::Installation));
            for organization in store.organizations().await? {
                chains.push((organization.name, AuditChain::Organization(organization.id)));
            }
        }
    }
    let mut code = ExitCode::SUCCESS;
    for (name, chain) in chains {
        match store.verify_audit(&chain).await? {
            AuditVerdict::Intact { entries, hash } => say!("{name}: intact, {entries} entries, sha256:{hash}"),
            AuditVerdict::Broken { sequence, problem } => {
                say!("{name}: BROKEN at entry {sequence}: {problem}");
                code = ExitCode::FAILURE;
            }
        }
    }
    store.close().await;
    Ok(code)
}
