//! The catalogue of providers: which versions there are, whose they are, and which of them takes calls.
//!
//! Every change is one transaction that begins by counting the catalogue's revision up. That row is the lock under which
//! changes take turns, and by its number other processes notice them.

use serde_json::Value;
use sqlx::any::AnyRow;

use super::pool::Tx;
use super::{OrganizationId, Store, StoreError, UnixMs, corrupt, get, json_optional, optional, parse, parse_optional};
use crate::outbox::OutgoingEvent;

/// Longest description of a fault, in characters.
const FAULT_CHARS_MAX: usize = 500;

/// Who owns a provider, or acts on one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Party {
    /// The operator: owns what all organisations use, and may act on everything.
    Operator,
    /// An organisation: owns what only it uses.
    Organization(OrganizationId),
}

impl Party {
    /// The organisation, if it is one.
    #[must_use]
    pub fn organization(&self) -> Option<&OrganizationId> {
        match self {
            Self::Operator => None,
            Self::Organization(organization) => Some(organization),
        }
    }

    /// Whether what belongs to `owner` may be changed by this party.
    #[must_use]
    pub fn may_change(&self, owner: &Self) -> bool {
        *self == Self::Operator || self == owner
    }

    /// Whether what belongs to `owner` exists for this party.
    #[must_use]
    pub fn sees(&self, owner: &Self) -> bool {
        *owner == Self::Operator || self.may_change(owner)
    }
}

/// Which versions of a provider do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderChannel {
    /// The provider's name, unique over the whole installation.
    pub name: String,
    /// Whose it is.
    pub owner: Party,
    /// Digest of the version that takes new calls.
    pub live: Option<String>,
    /// Digest of the version that a roll back returns to.
    pub previous: Option<String>,
    /// The version that takes a share of new calls.
    pub canary: Option<Canary>,
    /// Digest of the version that runs beside the live one without effect.
    pub shadow: Option<String>,
}

impl ProviderChannel {
    /// The digests that this channel names, live first.
    pub fn digests(&self) -> impl Iterator<Item = &str> {
        let canary = self.canary.as_ref().map(|canary| &canary.digest);
        [self.live.as_ref(), canary, self.previous.as_ref(), self.shadow.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

/// A version that is tried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// Which.
    pub digest: String,
    /// It takes this many of 1000 new calls.
    pub permille: u16,
}

/// A version of a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderVersion {
    /// The provider's name.
    pub provider: String,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// As its author calls it.
    pub version: String,
    /// Size of the component.
    pub size_bytes: u64,
    /// Hosts that it asks for, as it wrote them.
    pub declared_hosts: Vec<String>,
    /// Those that somebody has confirmed; none when nobody was asked yet.
    pub granted_hosts: Option<Vec<String>>,
    /// Where it came from, for people.
    pub source: String,
    /// Who signed it, when a signature was checked.
    pub signer: Option<String>,
    /// What its examination found.
    pub report: Option<Value>,
    /// When it was installed.
    pub installed_at: UnixMs,
    /// When, and how, it last failed so often that somebody should know.
    pub fault: Option<VersionFault>,
    /// Since when it takes no calls because of that.
    pub quarantined_at: Option<UnixMs>,
}

/// How a version failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFault {
    /// When.
    pub at: UnixMs,
    /// How.
    pub reason: String,
}

/// A version to install.
#[derive(Debug, Clone)]
pub struct NewProviderVersion {
    /// Whose it will be.
    pub owner: Party,
    /// See [`ProviderVersion::provider`].
    pub provider: String,
    /// See [`ProviderVersion::digest`].
    pub digest: String,
    /// See [`ProviderVersion::version`].
    pub version: String,
    /// See [`ProviderVersion::size_bytes`].
    pub size_bytes: u64,
    /// See [`ProviderVersion::declared_hosts`].
    pub declared_hosts: Vec<String>,
    /// See [`ProviderVersion::source`].
    pub source: String,
    /// See [`ProviderVersion::signer`].
    pub signer: Option<String>,
    /// See [`ProviderVersion::report`].
    pub report: Option<Value>,
}

/// What came of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    /// The version is new.
    Added,
    /// It was there already.
    Unchanged,
}

/// What a quarantine changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quarantine {
    /// New calls go to the version before.
    FellBack {
        /// Its digest.
        to: String,
    },
    /// It was tried out, and is not any more.
    CanaryWithdrawn,
    /// It took no new calls anyway, and is not returned to.
    SetAside,
    /// There is nothing to fall back to: it goes on taking calls, and the fault was written down.
    NoOtherVersion,
    /// It was set aside before, or is not installed any more.
    AlreadyDone,
}

const NO_PROVIDER: StoreError = StoreError::NotFound { what: "provider" };
const NO_VERSION: StoreError = StoreError::NotFound {
    what: "version of the provider",
};

const CHANNEL: &str =
    "name, organization_id, live_digest, previous_digest, canary_digest, canary_permille, shadow_digest";
const VERSION: &str = "provider, digest, version, size_bytes, declared_hosts, granted_hosts, source, signer, report, \
                       installed_at, faulted_at, fault, quarantined_at";

impl Store {
    /// A number that grows with every change of the catalogue, whoever makes it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn provider_revision(&self) -> Result<i64, StoreError> {
        let query = sqlx::query("SELECT revision FROM provider_catalogue WHERE id = 1");
        let row = optional(query, &self.pool).await?;
        row.as_ref().map_or(Ok(0), |row| get(row, "revision"))
    }

    /// All providers by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn provider_channels(&self) -> Result<Vec<ProviderChannel>, StoreError> {
        let sql = format!("SELECT {CHANNEL} FROM provider_channels ORDER BY name");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.iter().map(channel).collect()
    }

    /// The provider of this name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn provider_channel(&self, name: &str) -> Result<Option<ProviderChannel>, StoreError> {
        let sql = format!("SELECT {CHANNEL} FROM provider_channels WHERE name = $1");
        let row = optional(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name), &self.pool).await?;
        row.as_ref().map(channel).transpose()
    }

    /// All versions of all providers, by name, the newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn provider_versions(&self) -> Result<Vec<ProviderVersion>, StoreError> {
        let sql = format!("SELECT {VERSION} FROM provider_versions ORDER BY provider, installed_at DESC, digest");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.iter().map(version).collect()
    }

    /// One version of a provider.
    ///
    /// # Errors
    /// The database fails.
    pub async fn provider_version(&self, name: &str, digest: &str) -> Result<Option<ProviderVersion>, StoreError> {
        let sql = format!("SELECT {VERSION} FROM provider_versions WHERE provider = $1 AND digest = $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name).bind(digest);
        let row = optional(query, &self.pool).await?;
        row.as_ref().map(version).transpose()
    }

    /// The version with this digest, whatever it calls itself.
    ///
    /// # Errors
    /// The database fails.
    pub async fn provider_version_with_digest(&self, digest: &str) -> Result<Option<ProviderVersion>, StoreError> {
        let sql = format!("SELECT {VERSION} FROM provider_versions WHERE digest = $1");
        let row = optional(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(digest), &self.pool).await?;
        row.as_ref().map(version).transpose()
    }

    /// Writes a version down. It takes no calls until it is adopted.
    ///
    /// # Errors
    /// `Conflict` when the name belongs to somebody else.
    pub async fn install_provider_version(
        &self,
        new: &NewProviderVersion,
        now: UnixMs,
    ) -> Result<Installed, StoreError> {
        let mut tx = self.change_catalogue().await?;
        sqlx::query(
            "INSERT INTO provider_channels (name, organization_id, canary_permille, created_at) VALUES ($1, $2, 0, $3) \
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(&*new.provider)
        .bind(new.owner.organization().map(OrganizationId::as_str))
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let channel = channel_in(&mut tx, &new.provider).await?.ok_or(NO_PROVIDER)?;
        if channel.owner != new.owner {
            return Err(StoreError::Conflict {
                field: "name",
                cure: format!(
                    "there is a provider `{}` of another owner in this installation; choose another name",
                    new.provider
                ),
            });
        }
        let inserted = sqlx::query(
            "INSERT INTO provider_versions (provider, digest, version, size_bytes, declared_hosts, source, signer, report, \
             installed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (provider, digest) DO NOTHING",
        )
        .bind(&*new.provider)
        .bind(&*new.digest)
        .bind(&*new.version)
        .bind(i64::try_from(new.size_bytes).unwrap_or(i64::MAX))
        .bind(Value::from(new.declared_hosts.clone()).to_string())
        .bind(&*new.source)
        .bind(new.signer.as_deref())
        .bind(new.report.as_ref().map(Value::to_string))
        .bind(now)
        .execute(&mut *tx)
        .await?;
        if inserted.rows_affected() == 0 {
            return Ok(Installed::Unchanged);
        }
        tx.commit().await?;
        Ok(Installed::Added)
    }

    /// Lets a version take new calls. The one that did is the one that a roll back returns to. Returns what was before.
    ///
    /// # Errors
    /// `NotFound` when there is no such version that `actor` may change.
    pub async fn adopt_provider_version(
        &self,
        actor: &Party,
        name: &str,
        digest: &str,
        granted_hosts: &[String],
    ) -> Result<ProviderChannel, StoreError> {
        let mut tx = self.change_catalogue().await?;
        let before = own_channel(&mut tx, actor, name).await?;
        grant(&mut tx, name, digest, granted_hosts).await?;
        // Adopted again it keeps its predecessor.
        let previous = match &before.live {
            Some(live) if live != digest => Some(live.clone()),
            _ => before.previous.clone().filter(|previous| previous != digest),
        };
        let canary = before.canary.clone().filter(|canary| canary.digest != digest);
        let after = ProviderChannel {
            live: Some(digest.to_owned()),
            previous,
            canary,
            shadow: before.shadow.clone().filter(|shadow| shadow != digest),
            ..before.clone()
        };
        write_channel(&mut tx, &after).await?;
        tx.commit().await?;
        Ok(before)
    }

    /// Lets the version before take new calls again; returns what is now.
    ///
    /// # Errors
    /// `NotFound` when there is no such provider that `actor` may change, or no version to return to.
    pub async fn roll_back_provider(&self, actor: &Party, name: &str) -> Result<ProviderChannel, StoreError> {
        let mut tx = self.change_catalogue().await?;
        let before = own_channel(&mut tx, actor, name).await?;
        let previous = before.previous.clone().ok_or(StoreError::NotFound {
            what: "version to return to",
        })?;
        let after = ProviderChannel {
            live: Some(previous),
            previous: None,
            ..before
        };
        write_channel(&mut tx, &after).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Lets a version take a share of new calls, or none does any more.
    ///
    /// # Errors
    /// `NotFound` when there is no such version that `actor` may change; `Conflict` when nothing is live beside it.
    pub async fn set_provider_canary(
        &self,
        actor: &Party,
        name: &str,
        canary: Option<(&Canary, &[String])>,
    ) -> Result<ProviderChannel, StoreError> {
        let mut tx = self.change_catalogue().await?;
        let mut channel = own_channel(&mut tx, actor, name).await?;
        if let Some((canary, granted_hosts)) = canary {
            if channel.live.is_none() || channel.live.as_ref() == Some(&canary.digest) {
                return Err(StoreError::Conflict {
                    field: "digest",
                    cure: "a canary takes calls from a live version that is another one; adopt one first".to_owned(),
                });
            }
            grant(&mut tx, name, &canary.digest, granted_hosts).await?;
        }
        channel.canary = canary.map(|(canary, _)| canary.clone());
        write_channel(&mut tx, &channel).await?;
        tx.commit().await?;
        Ok(channel)
    }

    /// Lets a version run beside the live one without effect, or none does any more.
    ///
    /// # Errors
    /// `NotFound` when there is no such version that `actor` may change.
    pub async fn set_provider_shadow(
        &self,
        actor: &Party,
        name: &str,
        digest: Option<&str>,
    ) -> Result<ProviderChannel, StoreError> {
        let mut tx = self.change_catalogue().await?;
        let mut channel = own_channel(&mut tx, actor, name).await?;
        if let Some(digest) = digest {
            let sql = "SELECT digest FROM provider_versions WHERE provider = $1 AND digest = $2";
            let known = optional(sqlx::query(sql).bind(name).bind(digest), &mut *tx).await?;
            known.ok_or(NO_VERSION)?;
        }
        channel.shadow = digest.map(str::to_owned);
        write_channel(&mut tx, &channel).await?;
        tx.commit().await?;
        Ok(channel)
    }

    /// Removes a version; the last one takes the provider's name with it.
    ///
    /// # Errors
    /// `NotFound` when there is no such version that `actor` may change; `Conflict` while it takes calls, or while a
    /// configuration needs it.
    pub async fn remove_provider_version(&self, actor: &Party, name: &str, digest: &str) -> Result<(), StoreError> {
        let mut tx = self.change_catalogue().await?;
        let mut channel = own_channel(&mut tx, actor, name).await?;
        let count = |column: &str, table: &str, of: &str| {
            format!("SELECT COUNT({column}) AS count FROM {table} WHERE {of} = $1")
        };
        let versions = counted(&mut tx, count("digest", "provider_versions", "provider"), name).await?;
        let is_last = versions == 1;
        if !is_last && channel.live.as_deref() == Some(digest) {
            return Err(in_use("it takes calls; adopt another version, or roll back, first"));
        }
        if channel.canary.as_ref().is_some_and(|canary| canary.digest == digest) {
            return Err(in_use("it takes a share of calls; withdraw the canary first"));
        }
        if is_last {
            let users = counted(&mut tx, count("id", "telephony_configurations", "provider"), name).await?;
            if users > 0 {
                let cure =
                    format!("it is the last version, and {users} telephony configuration(s) use it; delete them first");
                return Err(in_use(&cure));
            }
        }
        let removed = sqlx::query("DELETE FROM provider_versions WHERE provider = $1 AND digest = $2")
            .bind(name)
            .bind(digest)
            .execute(&mut *tx)
            .await?;
        if removed.rows_affected() == 0 {
            return Err(NO_VERSION);
        }
        if is_last {
            let sql = "DELETE FROM provider_channels WHERE name = $1";
            sqlx::query(sql).bind(name).execute(&mut *tx).await?;
        } else {
            channel.previous = channel.previous.filter(|previous| previous != digest);
            channel.shadow = channel.shadow.filter(|shadow| shadow != digest);
            write_channel(&mut tx, &channel).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Sets a version aside that keeps failing. New calls go to the version before, if there is one.
    ///
    /// # Errors
    /// The database fails.
    pub async fn quarantine_provider_version(
        &self,
        name: &str,
        digest: &str,
        reason: &str,
        now: UnixMs,
    ) -> Result<Quarantine, StoreError> {
        let mut tx = self.change_catalogue().await?;
        let sql = "SELECT quarantined_at FROM provider_versions WHERE provider = $1 AND digest = $2";
        let known = optional(sqlx::query(sql).bind(name).bind(digest), &mut *tx).await?;
        let (Some(known), Some(mut channel)) = (known, channel_in(&mut tx, name).await?) else {
            return Ok(Quarantine::AlreadyDone);
        };
        if get::<Option<i64>>(&known, "quarantined_at")?.is_some() {
            return Ok(Quarantine::AlreadyDone);
        }
        let outcome = if channel.live.as_deref() == Some(digest) {
            match channel.previous.take() {
                Some(previous) => {
                    channel.live = Some(previous.clone());
                    Quarantine::FellBack { to: previous }
                }
                None => Quarantine::NoOtherVersion,
            }
        } else if channel.canary.as_ref().is_some_and(|canary| canary.digest == digest) {
            channel.canary = None;
            Quarantine::CanaryWithdrawn
        } else {
            channel.previous = channel.previous.filter(|previous| previous != digest);
            Quarantine::SetAside
        };
        let reason: String = reason.chars().take(FAULT_CHARS_MAX).collect();
        sqlx::query(
            "UPDATE provider_versions SET faulted_at = $1, fault = $2, quarantined_at = $3 WHERE provider = $4 AND digest = $5",
        )
        .bind(now)
        .bind(&*reason)
        .bind((outcome != Quarantine::NoOtherVersion).then_some(now))
        .bind(name)
        .bind(digest)
        .execute(&mut *tx)
        .await?;
        write_channel(&mut tx, &channel).await?;
        // A provider that is everybody's is the operator's concern.
        if let Party::Organization(owner) = &channel.owner
            && outcome != Quarantine::NoOtherVersion
        {
            let event = OutgoingEvent::quarantined(name, digest, &reason, channel.live.as_deref());
            self.spool(&mut tx, owner.as_str(), &event, now).await?;
        }
        tx.commit().await?;
        self.signals.spooled();
        Ok(outcome)
    }

    /// Begins a change. Dropped without a commit it has not happened.
    async fn change_catalogue(&self) -> Result<Tx, StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE provider_catalogue SET revision = revision + 1 WHERE id = 1")
            .execute(&mut *tx)
            .await?;
        Ok(tx)
    }
}

async fn channel_in(tx: &mut Tx, name: &str) -> Result<Option<ProviderChannel>, StoreError> {
    let sql = format!("SELECT {CHANNEL} FROM provider_channels WHERE name = $1");
    let row = optional(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name), &mut **tx).await?;
    row.as_ref().map(channel).transpose()
}

/// What belongs to others does not exist, and what belongs to all cannot be changed by one.
async fn own_channel(tx: &mut Tx, actor: &Party, name: &str) -> Result<ProviderChannel, StoreError> {
    let channel = channel_in(tx, name).await?;
    channel
        .filter(|channel| actor.may_change(&channel.owner))
        .ok_or(NO_PROVIDER)
}

async fn write_channel(tx: &mut Tx, channel: &ProviderChannel) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE provider_channels SET live_digest = $1, previous_digest = $2, canary_digest = $3, canary_permille = $4, \
         shadow_digest = $5 WHERE name = $6",
    )
    .bind(channel.live.as_deref())
    .bind(channel.previous.as_deref())
    .bind(channel.canary.as_ref().map(|canary| &*canary.digest))
    .bind(channel.canary.as_ref().map_or(0, |canary| i64::from(canary.permille)))
    .bind(channel.shadow.as_deref())
    .bind(&*channel.name)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes down what somebody has confirmed. Whoever lets a version take calls forgives what it did before.
async fn grant(tx: &mut Tx, name: &str, digest: &str, hosts: &[String]) -> Result<(), StoreError> {
    let result = sqlx::query(
        "UPDATE provider_versions SET granted_hosts = $1, faulted_at = NULL, fault = NULL, quarantined_at = NULL \
         WHERE provider = $2 AND digest = $3",
    )
    .bind(Value::from(hosts.to_vec()).to_string())
    .bind(name)
    .bind(digest)
    .execute(&mut **tx)
    .await?;
    if result.rows_affected() == 0 {
        return Err(NO_VERSION);
    }
    Ok(())
}

async fn counted(tx: &mut Tx, sql: String, of: &str) -> Result<i64, StoreError> {
    let row = optional(sqlx::query(sqlx::AssertSqlSafe(sql)).bind(of), &mut **tx).await?;
    row.as_ref().map_or(Ok(0), |row| get(row, "count"))
}

fn in_use(cure: &str) -> StoreError {
    StoreError::Conflict {
        field: "digest",
        cure: cure.to_owned(),
    }
}

fn channel(row: &AnyRow) -> Result<ProviderChannel, StoreError> {
    let owner = parse_optional(row, "organization_id", OrganizationId::try_from)?;
    let canary: Option<String> = get(row, "canary_digest")?;
    let permille = u16::try_from(get::<i64>(row, "canary_permille")?);
    let permille = permille.map_err(|error| corrupt("canary_permille", error.to_string()))?;
    Ok(ProviderChannel {
        name: get(row, "name")?,
        owner: owner.map_or(Party::Operator, Party::Organization),
        live: get(row, "live_digest")?,
        previous: get(row, "previous_digest")?,
        canary: canary.map(|digest| Canary { digest, permille }),
        shadow: get(row, "shadow_digest")?,
    })
}

fn version(row: &AnyRow) -> Result<ProviderVersion, StoreError> {
    let fault = match (get(row, "faulted_at")?, get(row, "fault")?) {
        (Some(at), Some(reason)) => Some(VersionFault { at, reason }),
        _ => None,
    };
    let size_bytes = u64::try_from(get::<i64>(row, "size_bytes")?);
    Ok(ProviderVersion {
        provider: get(row, "provider")?,
        digest: get(row, "digest")?,
        version: get(row, "version")?,
        size_bytes: size_bytes.map_err(|error| corrupt("size_bytes", error.to_string()))?,
        declared_hosts: parse(row, "declared_hosts", |text| serde_json::from_str(&text))?,
        granted_hosts: parse_optional(row, "granted_hosts", |text| serde_json::from_str(&text))?,
        source: get(row, "source")?,
        signer: get(row, "signer")?,
        report: json_optional(row, "report")?,
        installed_at: get(row, "installed_at")?,
        fault,
        quarantined_at: get(row, "quarantined_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const NAME: &str = "otherphone";

    fn version(owner: &Party, digest: &str) -> NewProviderVersion {
        NewProviderVersion {
            owner: owner.clone(),
            provider: NAME.to_owned(),
            digest: digest.to_owned(),
            version: "1.0.0".to_owned(),
            size_bytes: 1_000,
            declared_hosts: vec!["api.example".to_owned()],
            source: "a test".to_owned(),
            signer: None,
            report: None,
        }
    }

    async fn install(store: &Store, owner: &Party, digests: &[&str]) {
        for (at, digest) in digests.iter().enumerate() {
            let installed = store
                .install_provider_version(&version(owner, digest), i64::try_from(at).unwrap())
                .await
                .unwrap();
            assert_eq!(installed, Installed::Added);
        }
    }

    fn hosts() -> Vec<String> {
        vec!["api.example".to_owned()]
    }

    #[tokio::test]
    async fn a_version_takes_calls_when_it_is_adopted_and_the_one_before_can_be_returned_to() {
        let store = testing::open().await;
        install(&store, &Party::Operator, &["one", "two"]).await;
        let none = store.provider_channel(NAME).await.unwrap().unwrap();
        assert_eq!((none.live, none.previous), (None, None));
        let operator = Party::Operator;
        let mut revision = store.provider_revision().await.unwrap();
        for digest in ["one", "two", "two"] {
            store
                .adopt_provider_version(&operator, NAME, digest, &hosts())
                .await
                .unwrap();
            let now = store.provider_revision().await.unwrap();
            assert!(now > revision);
            revision = now;
        }
        let channel = store.provider_channel(NAME).await.unwrap().unwrap();
        assert_eq!(
            (channel.live.as_deref(), channel.previous.as_deref()),
            (Some("two"), Some("one"))
        );
        let granted = store
            .provider_version(NAME, "two")
            .await
            .unwrap()
            .unwrap()
            .granted_hosts;
        assert_eq!(granted, Some(hosts()));

        let back = store.roll_back_provider(&operator, NAME).await.unwrap();
        assert_eq!((back.live.as_deref(), back.previous), (Some("one"), None));
        let nothing_left = store.roll_back_provider(&operator, NAME).await.unwrap_err();
        assert_eq!(nothing_left.to_string(), "there is no such version to return to");
        assert!(matches!(
            store.adopt_provider_version(&operator, NAME, "three", &[]).await,
            Err(StoreError::NotFound { .. })
        ));
        // What failed has changed nothing.
        assert_eq!(store.provider_revision().await.unwrap(), revision + 1);
    }

    #[tokio::test]
    async fn a_name_has_one_owner_and_nobody_else_changes_what_is_his() {
        let store = testing::open().await;
        let acme = Party::Organization(store.organization("Acme").await);
        let mallory = Party::Organization(store.organization("Mallory").await);
        install(&store, &acme, &["one"]).await;
        for other in [&mallory, &Party::Operator] {
            let error = store
                .install_provider_version(&version(other, "two"), 1)
                .await
                .unwrap_err();
            assert!(matches!(error, StoreError::Conflict { field: "name", .. }), "{error}");
        }
        assert_eq!(
            store.install_provider_version(&version(&acme, "one"), 1).await.unwrap(),
            Installed::Unchanged
        );
        assert!(matches!(
            store.adopt_provider_version(&mallory, NAME, "one", &[]).await,
            Err(StoreError::NotFound { what: "provider" })
        ));
        store.adopt_provider_version(&acme, NAME, "one", &[]).await.unwrap();
        // The operator may: it is his installation.
        store
            .remove_provider_version(&Party::Operator, NAME, "one")
            .await
            .unwrap();
        assert_eq!(store.provider_channels().await.unwrap(), vec![]);
    }

    #[tokio::test]
    async fn a_version_that_is_needed_is_not_removed() {
        let store = testing::open().await;
        let operator = Party::Operator;
        install(&store, &operator, &["one", "two", "three"]).await;
        store.adopt_provider_version(&operator, NAME, "one", &[]).await.unwrap();
        let canary = Canary {
            digest: "two".to_owned(),
            permille: 50,
        };
        store
            .set_provider_canary(&operator, NAME, Some((&canary, &hosts())))
            .await
            .unwrap();
        let remove = |digest: &'static str| store.remove_provider_version(&operator, NAME, digest);
        for (digest, why) in [("one", "takes calls"), ("two", "share of calls")] {
            let error = remove(digest).await.unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        remove("three").await.unwrap();
        store.set_provider_canary(&operator, NAME, None).await.unwrap();
        remove("two").await.unwrap();
        // The last may go, unless somebody uses it.
        let acme = store.organization("Acme").await;
        let mut new = testing::new_configuration(&acme, "main", None);
        new.provider = NAME.to_owned();
        let configuration = store.create_configuration(new, 1).await.unwrap();
        let error = remove("one").await.unwrap_err();
        assert!(error.to_string().contains("1 telephony configuration"), "{error}");
        store
            .delete_configuration(&acme, &configuration.id, None)
            .await
            .unwrap();
        remove("one").await.unwrap();
    }

    #[tokio::test]
    async fn a_version_that_keeps_failing_is_set_aside_if_there_is_another() {
        let store = testing::open().await;
        let operator = Party::Operator;
        install(&store, &operator, &["one", "two", "three"]).await;
        let quarantine = |digest: &'static str| store.quarantine_provider_version(NAME, digest, "it traps", 9);
        store.adopt_provider_version(&operator, NAME, "one", &[]).await.unwrap();
        assert_eq!(quarantine("one").await.unwrap(), Quarantine::NoOtherVersion);
        let one = store.provider_version(NAME, "one").await.unwrap().unwrap();
        assert_eq!(
            (one.fault.map(|fault| fault.reason).as_deref(), one.quarantined_at),
            (Some("it traps"), None)
        );

        store.adopt_provider_version(&operator, NAME, "two", &[]).await.unwrap();
        let canary = Canary {
            digest: "three".to_owned(),
            permille: 500,
        };
        store
            .set_provider_canary(&operator, NAME, Some((&canary, &[])))
            .await
            .unwrap();
        assert_eq!(quarantine("three").await.unwrap(), Quarantine::CanaryWithdrawn);
        let to = "one".to_owned();
        assert_eq!(quarantine("two").await.unwrap(), Quarantine::FellBack { to });
        assert_eq!(quarantine("two").await.unwrap(), Quarantine::AlreadyDone);
        let channel = store.provider_channel(NAME).await.unwrap().unwrap();
        assert_eq!(
            (channel.live.as_deref(), channel.previous, channel.canary),
            (Some("one"), None, None)
        );
        // Somebody who knows better may adopt it all the same.
        store.adopt_provider_version(&operator, NAME, "two", &[]).await.unwrap();
        let two = store.provider_version(NAME, "two").await.unwrap().unwrap();
        assert_eq!((two.fault, two.quarantined_at), (None, None));
    }

    #[tokio::test]
    async fn an_organization_is_told_when_a_version_of_its_own_is_set_aside() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let id = crate::store::WebhookEndpointId::generate();
        let settings = crate::store::WebhookEndpointSettings {
            url: "https://example.com".to_owned(),
            description: None,
            event_types: None,
            enabled: true,
        };
        let secret = crate::outbox::WebhookSecret::generate().unwrap();
        store
            .create_webhook_endpoint(&acme, &id, &settings, &secret, 1)
            .await
            .unwrap();
        let owner = Party::Organization(acme);
        install(&store, &owner, &["one", "two"]).await;
        for digest in ["one", "two"] {
            store.adopt_provider_version(&owner, NAME, digest, &[]).await.unwrap();
        }
        for _ in 0..2 {
            store
                .quarantine_provider_version(NAME, "two", "it traps", 9)
                .await
                .unwrap();
        }
        let told = store.deliveries(&id, None, None, 10).await.unwrap();
        let kinds: Vec<&str> = told.iter().map(|delivery| &*delivery.event_type).collect();
        assert_eq!(kinds, ["provider.quarantined"]);
    }
}
