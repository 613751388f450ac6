//! `strowger key`: API keys of organisations and of the operator.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};

use super::SettingsArgs;
use super::audit::{audited, open, organization};
use crate::api::rfc3339;
use crate::clock::Clock;
use crate::store::{ApiKey, ApiKeyId, ApiKeyRecord, AuditChain, LAST_ADMIN, NewApiKey, Role, Store, StoreError};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key and print it, once
    Create {
        #[command(flatten)]
        whose: Whose,
        /// What the key may do for the organisation
        #[arg(long, value_enum, required_unless_present = "operator", conflicts_with = "operator")]
        role: Option<RoleArg>,
        /// What it is for
        #[arg(long, default_value = "command line")]
        name: String,
        /// Days until it opens nothing any more [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=3650))]
        expires_in_days: Option<i64>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Show keys; what they open cannot be shown again
    List {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// End a key's power at once, and the console sessions that were opened with it
    Revoke {
        /// Its id, as `strowger key list` shows it
        id: String,
        #[command(flatten)]
        whose: Whose,
        /// Also when it is the last one that can administrate the organisation
        #[arg(long, conflicts_with = "operator")]
        force: bool,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// Whose key.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Whose {
    /// A key of this organisation
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// A key of the operator, which acts on the installation and on no organisation
    #[arg(long)]
    operator: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleArg {
    /// Look at everything
    Read,
    /// And place, end and transfer calls
    Operate,
    /// Everything
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Read => Self::Read,
            RoleArg::Operate => Self::Operate,
            RoleArg::Admin => Self::Admin,
        }
    }
}

pub(super) async fn run(command: KeyCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeyCommand::Create {
            whose,
            role,
            name,
            expires_in_days,
            settings,
        } => {
            let store = open(&settings.flags()).await?;
            let expires_at = expires_in_days.map(|days| Clock::system().unix_ms() + days * DAY_MS);
            let new = NewApiKey {
                expires_at,
                ..NewApiKey::lasting(ApiKeyId::generate(), name)
            };
            let key = create(&store, &whose, role.map(Role::from), &new).await?;
            store.close().await;
            say!("id       {}", new.id);
            say!("API key  {}", key.expose());
            say!("");
            say!("The key is shown this once.");
        }
        KeyCommand::List { whose, settings } => {
            let store = open(&settings.flags()).await?;
            let keys = match &whose.organization {
                Some(name) => store.api_keys(&organization(&store, name).await?).await?,
                None => store.operator_keys().await?,
            };
            store.close().await;
            for key in &keys {
                show(key);
            }
            if keys.is_empty() {
                say!("There is no key. `strowger key create` makes one.");
            }
        }
        KeyCommand::Revoke {
            id,
            whose,
            force,
            settings,
        } => {
            let Ok(id) = ApiKeyId::parse(&id) else {
                bail!("a key is named by its id, a UUID, which `strowger key list` shows");
            };
            let store = open(&settings.flags()).await?;
            revoke(&store, &whose, &id, force).await?;
            store.close().await;
            say!("The key opens nothing any more.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(store: &Store, whose: &Whose, role: Option<Role>, new: &NewApiKey) -> anyhow::Result<ApiKey> {
    const OPERATION: &str = "strowger key create";
    let now = Clock::system().unix_ms();
    let resources = [("key", new.id.as_str())];
    let (Some(name), Some(role)) = (&whose.organization, role) else {
        let key = ApiKey::generate_for_operator()?;
        audited(store, &[AuditChain::Installation], OPERATION, &resources, async {
            Ok(store.create_operator_key(new, &key, now).await?)
        })
        .await?;
        return Ok(key);
    };
    let id = organization(store, name).await?;
    let key = ApiKey::generate()?;
    let chains = [AuditChain::Installation, AuditChain::Organization(id.clone())];
    let resources = [("key", new.id.as_str()), ("organization", id.as_str())];
    audited(store, &chains, OPERATION, &resources, async {
        Ok(store.create_api_key(&id, new, role, &key, now).await?)
    })
    .await?;
    Ok(key)
}

async fn revoke(store: &Store, whose: &Whose, id: &ApiKeyId, force: bool) -> anyhow::Result<()> {
    const OPERATION: &str = "strowger key revoke";
    let now = Clock::system().unix_ms();
    let Some(name) = &whose.organization else {
        return audited(
            store,
            &[AuditChain::Installation],
            OPERATION,
            &[("key", id.as_str())],
            async { Ok(store.revoke_operator_key(id, now).await?) },
        )
        .await;
    };
    let organization = organization(store, name).await?;
    let chains = [AuditChain::Installation, AuditChain::Organization(organization.clone())];
    let resources = [("key", id.as_str()), ("organization", organization.as_str())];
    audited(store, &chains, OPERATION, &resources, async {
        match store.revoke_api_key(&organization, id, force, now).await {
            Err(StoreError::Conflict { field: LAST_ADMIN, .. }) => {
                bail!(
                    "it is the last key that can administrate the organization; make another one first, or say --force"
                )
            }
            done => Ok(done?),
        }
    })
    .await
}

fn show(key: &ApiKeyRecord) {
    let state = match (key.revoked_at, key.expires_at, key.last_used_at) {
        (Some(at), ..) => format!("revoked {}", rfc3339(at)),
        (None, Some(at), _) if at <= Clock::system().unix_ms() => format!("expired {}", rfc3339(at)),
        (None, _, Some(at)) => format!("last used {}", rfc3339(at)),
        (None, _, None) => "never used".to_owned(),
    };
    say!(
        "{}  {}…  {:<8}  {}  ({state})",
        key.id,
        key.prefix,
        key.role.as_str(),
        key.name
    );
}
