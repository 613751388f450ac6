//! `strowger org`.

use std::process::ExitCode;

use crate::clock::Clock;
use crate::settings::{Flags, Settings};
use crate::store::{ApiKey, ApiKeyId, OrganizationId, Store, StoreOptions};

/// Creates an organisation and shows its API key: only now, because the store keeps a hash.
pub(super) async fn create(name: String, flags: Flags) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&flags)?;
    settings.prepare_data_dir()?;
    let store = Store::open(&settings.database_url, settings.keyring()?, &StoreOptions::default()).await?;
    let now = Clock::system().unix_ms();
    let organization = store
        .create_organization(&OrganizationId::generate(), &name, now)
        .await?;
    let key = ApiKey::generate()?;
    store
        .create_api_key(&organization.id, &ApiKeyId::generate(), "first", &key, now)
        .await?;
    store.close().await;
    say!("organisation  {}", organization.name);
    say!("id            {}", organization.id.as_str());
    say!("API key       {}", key.expose());
    say!("");
    say!("The key is shown this once. Send it with every request: Authorization: Bearer <key>");
    Ok(ExitCode::SUCCESS)
}
