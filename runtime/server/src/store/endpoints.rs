//! Where tenants want to be told what happens.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::{OrganizationId, Place, Store, StoreError, UnixMs, WebhookEndpointId, corrupt, flag, get, optional, parse};
use crate::outbox::{EventType, WebhookSecret};

/// Endpoints of an organisation: each has a spool of its own.
pub const ENDPOINTS_MAX: usize = 10;
/// How long a secret that was replaced goes on signing beside the new one.
pub const OLD_SECRET_FOR: Duration = Duration::from_secs(24 * 3600);

const COLUMNS: &str = "id, organization_id, url, description, event_types, enabled, disabled_at, disabled_reason, \
                       failing_since, created_at, updated_at, version";
const SECRETS: &str = "secret_sealed, previous_secret_sealed, previous_secret_until";
const NO_SUCH: StoreError = StoreError::NotFound {
    what: "webhook endpoint",
};

/// What a tenant decides about an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEndpointSettings {
    /// Where events are posted to.
    pub url: String,
    /// For people.
    pub description: Option<String>,
    /// Those that are wanted; none: all.
    pub event_types: Option<Vec<EventType>>,
    /// Whether events are sent there. Those that wait meanwhile go on waiting.
    pub enabled: bool,
}

/// An endpoint, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// Its name in rows.
    pub id: WebhookEndpointId,
    /// Whose.
    pub organization: OrganizationId,
    /// What its tenant decided.
    pub settings: WebhookEndpointSettings,
    /// When and why the gateway gave it up, unless it was enabled since.
    pub disabled: Option<(UnixMs, String)>,
    /// Since when nothing has come through.
    pub failing_since: Option<UnixMs>,
    /// When it was created.
    pub created_at: UnixMs,
    /// When its settings were last changed.
    pub updated_at: UnixMs,
    /// How often its tenant has changed it; clients change what they have read.
    pub version: u64,
}

fn place<'a>(organization: &'a str, id: &'a str, column: &'static str) -> Place<'a> {
    Place {
        table: "webhook_endpoints",
        organization,
        row: id,
        column,
    }
}

/// With a comma before and after each, so that a name is found whole.
fn written(types: Option<&[EventType]>) -> Option<String> {
    let types = types?.iter().map(|kind| format!("{},", kind.as_str()));
    Some(std::iter::once(",".to_owned()).chain(types).collect())
}

impl Store {
    /// Creates an endpoint.
    ///
    /// # Errors
    /// `Conflict` when the organisation has [`ENDPOINTS_MAX`].
    pub async fn create_webhook_endpoint(
        &self,
        organization: &OrganizationId,
        id: &WebhookEndpointId,
        settings: &WebhookEndpointSettings,
        secret: &WebhookSecret,
        now: UnixMs,
    ) -> Result<WebhookEndpoint, StoreError> {
        let sealed = self.seal_secret(organization, id, secret).await?;
        let mut tx = self.begin().await?;
        // The row's lock: two at once may not both be the last one.
        let organizations = sqlx::query("UPDATE organizations SET name = name WHERE id = $1")
            .bind(organization.as_str())
            .execute(&mut *tx)
            .await?;
        if organizations.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "organization" });
        }
        let query = sqlx::query("SELECT COUNT(*) AS number FROM webhook_endpoints WHERE organization_id = $1")
            .bind(organization.as_str());
        let number: i64 = optional(query, &mut *tx)
            .await?
            .map_or(Ok(0), |row| get(&row, "number"))?;
        if usize::try_from(number).is_ok_and(|number| number >= ENDPOINTS_MAX) {
            return Err(StoreError::Conflict {
                field: "webhook_endpoints",
                cure: format!("an organization has at most {ENDPOINTS_MAX}; delete one that is not used"),
            });
        }
        sqlx::query(
            "INSERT INTO webhook_endpoints (id, organization_id, url, description, event_types, enabled, secret_sealed, \
             created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(&*settings.url)
        .bind(settings.description.as_deref())
        .bind(written(settings.event_types.as_deref()))
        .bind(i64::from(settings.enabled))
        .bind(sealed)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(WebhookEndpoint {
            id: id.clone(),
            organization: organization.clone(),
            settings: settings.clone(),
            disabled: None,
            failing_since: None,
            created_at: now,
            updated_at: now,
            version: 1,
        })
    }

    async fn seal_secret(
        &self,
        organization: &OrganizationId,
        id: &WebhookEndpointId,
        secret: &WebhookSecret,
    ) -> Result<String, StoreError> {
        self.seal(
            place(organization.as_str(), id.as_str(), "secret_sealed"),
            secret.expose(),
        )
        .await
    }

    /// The endpoints of an organisation, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn webhook_endpoints(&self, organization: &OrganizationId) -> Result<Vec<WebhookEndpoint>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook_endpoints WHERE organization_id = $1 ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(organization.as_str())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(endpoint_of).collect()
    }

    /// One endpoint.
    ///
    /// # Errors
    /// `NotFound`, also for one of another organisation.
    pub async fn find_webhook_endpoint(
        &self,
        organization: &OrganizationId,
        id: &WebhookEndpointId,
    ) -> Result<WebhookEndpoint, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook_endpoints WHERE id = $1 AND organization_id = $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str());
        endpoint_of(&optional(query, &self.pool).await?.ok_or(NO_SUCH)?)
    }

    /// Replaces what its tenant decided about an endpoint, of which the version `expected` was read. One that is enabled again
    /// begins anew: what failed before is forgotten.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when it was changed since.
    pub async fn update_webhook_endpoint(
        &self,
        organization: &OrganizationId,
        id: &WebhookEndpointId,
        settings: &WebhookEndpointSettings,
        expected: u64,
        now: UnixMs,
    ) -> Result<WebhookEndpoint, StoreError> {
        let sql = format!(
            "UPDATE webhook_endpoints SET url = $3, description = $4, event_types = $5, \
             disabled_at = CASE WHEN $6 = 1 THEN NULL ELSE disabled_at END, \
             disabled_reason = CASE WHEN $6 = 1 THEN NULL ELSE disabled_reason END, \
             failing_since = CASE WHEN $6 = 1 AND enabled = 0 THEN NULL ELSE failing_since END, \
             enabled = $6, updated_at = $7, version = version + 1 \
             WHERE id = $1 AND organization_id = $2 AND version = $8 RETURNING {COLUMNS}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .bind(organization.as_str())
            .bind(&*settings.url)
            .bind(settings.description.as_deref())
            .bind(written(settings.event_types.as_deref()))
            .bind(i64::from(settings.enabled))
            .bind(now)
            .bind(expected.cast_signed());
        let Some(row) = optional(query, &self.writer).await? else {
            // It is gone, or another one by now.
            self.find_webhook_endpoint(organization, id).await?;
            return Err(StoreError::Stale);
        };
        let endpoint = endpoint_of(&row)?;
        self.signals.spooled();
        Ok(endpoint)
    }

    /// Gives an endpoint a new secret. The one before signs beside it for [`OLD_SECRET_FOR`], the one before that no more.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn rotate_webhook_secret(
        &self,
        organization: &OrganizationId,
        id: &WebhookEndpointId,
        secret: &WebhookSecret,
        now: UnixMs,
    ) -> Result<UnixMs, StoreError> {
        let key = self.sealing_key(organization.as_str()).await?;
        let mut tx = self.begin().await?;
        // With the row's lock in hand, so that of two rotations at once neither loses the other's secret.
        let query = sqlx::query(
            "UPDATE webhook_endpoints SET updated_at = $3, version = version + 1 WHERE id = $1 AND organization_id = $2 \
             RETURNING secret_sealed",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(now);
        let row = optional(query, &mut *tx).await?.ok_or(NO_SUCH)?;
        let (organization, row_id) = (organization.as_str(), id.as_str());
        let sealed: String = get(&row, "secret_sealed")?;
        let current = self
            .opened(|| self.unseal(place(organization, row_id, "secret_sealed"), &sealed))
            .await?;
        let until = now.saturating_add(UnixMs::try_from(OLD_SECRET_FOR.as_millis()).unwrap_or(UnixMs::MAX));
        sqlx::query(
            "UPDATE webhook_endpoints SET secret_sealed = $2, previous_secret_sealed = $3, previous_secret_until = $4 WHERE id = $1",
        )
        .bind(row_id)
        .bind(key.seal(place(organization, row_id, "secret_sealed"), secret.expose())?)
        .bind(key.seal(place(organization, row_id, "previous_secret_sealed"), &current)?)
        .bind(until)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(until)
    }

    /// Deletes an endpoint with everything that waits for it.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when it is not of the version `expected`, if one is.
    pub async fn delete_webhook_endpoint(
        &self,
        organization: &OrganizationId,
        id: &WebhookEndpointId,
        expected: Option<u64>,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM webhook_endpoints WHERE id = $1 AND organization_id = $2 AND (version = $3 OR $3 = 0)";
        let result = sqlx::query(sql)
            .bind(id.as_str())
            .bind(organization.as_str())
            .bind(expected.unwrap_or(0).cast_signed())
            .execute(&self.writer)
            .await?;
        if result.rows_affected() == 0 {
            self.find_webhook_endpoint(organization, id).await?;
            return Err(StoreError::Stale);
        }
        Ok(())
    }

    /// Where an endpoint is, and the secrets that sign at this moment; none when it takes nothing (any more).
    ///
    /// # Errors
    /// The database fails, or a secret does not open.
    pub(crate) async fn webhook_target(
        &self,
        id: &WebhookEndpointId,
        now: UnixMs,
    ) -> Result<Option<(String, Vec<WebhookSecret>)>, StoreError> {
        let sql =
            format!("SELECT organization_id, url, {SECRETS} FROM webhook_endpoints WHERE id = $1 AND enabled = 1");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.as_str());
        let Some(row) = optional(query, &self.pool).await? else {
            return Ok(None);
        };
        self.opened(|| self.target_of(id, &row, now)).await.map(Some)
    }

    fn target_of(
        &self,
        id: &WebhookEndpointId,
        row: &AnyRow,
        now: UnixMs,
    ) -> Result<(String, Vec<WebhookSecret>), StoreError> {
        let organization: String = get(row, "organization_id")?;
        let open = |column, sealed: String| {
            let text = self.unseal(place(&organization, id.as_str(), column), &sealed)?;
            WebhookSecret::parse(&text).ok_or_else(|| corrupt(column, "no secret"))
        };
        let mut secrets = vec![open("secret_sealed", get(row, "secret_sealed")?)?];
        if get::<Option<i64>>(row, "previous_secret_until")?.is_some_and(|until| until > now)
            && let Some(sealed) = get::<Option<String>>(row, "previous_secret_sealed")?
        {
            secrets.push(open("previous_secret_sealed", sealed)?);
        }
        Ok((get(row, "url")?, secrets))
    }

    /// Forgets replaced secrets whose time is over.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn forget_replaced_secrets(&self, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE webhook_endpoints SET previous_secret_sealed = NULL, previous_secret_until = NULL \
             WHERE previous_secret_until <= $1",
        )
        .bind(now)
        .execute(&self.writer)
        .await?;
        Ok(())
    }
}

fn endpoint_of(row: &AnyRow) -> Result<WebhookEndpoint, StoreError> {
    let types = get::<Option<String>>(row, "event_types")?.map(|text| {
        let names = text.split(',').filter(|name| !name.is_empty());
        names
            .map(|name| EventType::parse(name).ok_or_else(|| corrupt("event_types", "not an event's type")))
            .collect::<Result<Vec<_>, _>>()
    });
    let disabled_at: Option<i64> = get(row, "disabled_at")?;
    let reason: Option<String> = get(row, "disabled_reason")?;
    Ok(WebhookEndpoint {
        id: parse(row, "id", WebhookEndpointId::try_from)?,
        organization: parse(row, "organization_id", OrganizationId::try_from)?,
        settings: WebhookEndpointSettings {
            url: get(row, "url")?,
            description: get(row, "description")?,
            event_types: types.transpose()?,
            enabled: flag(row, "enabled")?,
        },
        disabled: disabled_at.map(|at| (at, reason.unwrap_or_default())),
        failing_since: get(row, "failing_since")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
        version: get::<i64>(row, "version")?.unsigned_abs(),
    })
}

#[cfg(test)]
mod tests;
