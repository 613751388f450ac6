//! Whether a database could be opened, without opening it.

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection as _};
use url::Url;

use super::{Store, StoreError};

impl Store {
    /// Whether there is a database at the URL, and it answers; `false` for a file that would be made. Changes nothing.
    ///
    /// # Errors
    /// `Locked` or `Unavailable`.
    pub async fn probe(url: &str) -> Result<bool, StoreError> {
        sqlx::any::install_default_drivers();
        let mut existing = url.to_owned();
        if let Some(mut url) = Url::parse(url).ok().filter(|url| url.scheme() == "sqlite") {
            let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy();
            if !std::path::Path::new(&*path).exists() {
                return Ok(false);
            }
            url.set_query(Some("mode=ro"));
            existing = url.to_string();
        }
        let connect: AnyConnectOptions = existing.parse()?;
        let mut connection = AnyConnection::connect_with(&connect).await?;
        sqlx::query("SELECT 1").execute(&mut connection).await?;
        connection.close().await?;
        Ok(true)
    }
}
