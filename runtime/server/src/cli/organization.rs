//! `strowger org`.

use std::process::ExitCode;

use super::audit::{audited, open};
use crate::clock::Clock;
use crate::settings::Flags;
use crate::store::{ApiKey, ApiKeyId, AuditChain, NewApiKey, OrganizationId, Role};

/// Creates an organisation and shows its API key: only now, because the store keeps a hash.
pub(super) async fn create(name: String, flags: Flags) -> anyhow::Result<ExitCode> {
    let store = open(&flags).await?;
    let now = Clock::system().unix_ms();
    let id = OrganizationId::generate();
    let key = ApiKey::generate()?;
    let chains = [AuditChain::Installation, AuditChain::Organization(id.clone())];
    let resources = [("organization", id.as_str())];
    let organization = audited(&store, &chains, "strowger org create", &resources, async {
        let organization = store.create_organization(&id, &name, now).await?;
        let new = NewApiKey::lasting(ApiKeyId::generate(), "first");
        store.create_api_key(&id, &new, Role::Admin, &key, now).await?;
        Ok(organization)
    })
    .await?;
    store.close().await;
    say!("organisation  {}", organization.name);
    say!("id            {}", organization.id.as_str());
    say!("API key       {}", key.expose());
    say!("");
    say!("The key is shown this once. Send it with every request: Authorization: Bearer <key>");
    Ok(ExitCode::SUCCESS)
}

/// Shows all organisations.
pub(super) async fn list(flags: Flags) -> anyhow::Result<ExitCode> {
    let store = open(&flags).await?;
    let organizations = store.organizations().await?;
    store.close().await;
    for organization in &organizations {
        say!("{}  {}", organization.id, organization.name);
    }
    if organizations.is_empty() {
        say!("There is no organization. `strowger org create NAME` makes one.");
    }
    Ok(ExitCode::SUCCESS)
}
