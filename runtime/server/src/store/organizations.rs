//! Organisations: the tenants, between which nothing is shared.

use sqlx::any::AnyRow;

use super::sessions::SESSION_IDLE_MS;
use super::{OrganizationId, Store, StoreError, Unique, UnixMs, get, optional, parse};

const NAME: Unique = Unique {
    name: "organizations_name",
    columns: "organizations.name",
};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its name in rows.
    pub id: OrganizationId,
    /// Its name for people.
    pub name: String,
    /// When it was created.
    pub created_at: UnixMs,
}

/// How much there is in the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstallationCounts {
    /// All of them.
    pub organizations: i64,
    /// Keys of organisations that open something.
    pub usable_api_keys: i64,
    /// Sessions of the console that hold.
    pub console_sessions: i64,
    /// All of them.
    pub telephony_configurations: i64,
    /// All of them.
    pub phone_numbers: i64,
    /// Calls whose record is open.
    pub calls_in_progress: i64,
}

impl Store {
    /// How much there is, over all organisations.
    ///
    /// # Errors
    /// The database fails.
    pub async fn installation_counts(&self, now: UnixMs) -> Result<InstallationCounts, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM organizations) AS organizations, \
             (SELECT COUNT(*) FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)) AS keys, \
             (SELECT COUNT(*) FROM console_sessions WHERE ends_at > $1 AND last_seen_at > $2) AS sessions, \
             (SELECT COUNT(*) FROM telephony_configurations) AS configurations, \
             (SELECT COUNT(*) FROM phone_numbers) AS numbers, \
             (SELECT COUNT(*) FROM calls WHERE state <> 'completed') AS calls",
        )
        .bind(now)
        .bind(now.saturating_sub(SESSION_IDLE_MS))
        .fetch_one(&self.pool)
        .await?;
        Ok(InstallationCounts {
            organizations: get(&row, "organizations")?,
            usable_api_keys: get(&row, "keys")?,
            console_sessions: get(&row, "sessions")?,
            telephony_configurations: get(&row, "configurations")?,
            phone_numbers: get(&row, "numbers")?,
            calls_in_progress: get(&row, "calls")?,
        })
    }

    /// Creates an organisation.
    ///
    /// # Errors
    /// `Conflict` when the name is taken.
    pub async fn create_organization(
        &self,
        id: &OrganizationId,
        name: &str,
        now: UnixMs,
    ) -> Result<Organization, StoreError> {
        sqlx::query("INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)")
            .bind(id.as_str())
            .bind(name)
            .bind(now)
            .execute(&self.writer)
            .await
            .map_err(|error| {
                if NAME.is_violated_by(&error) {
                    StoreError::Conflict {
                        field: "name",
                        cure: "an organization of this name exists; choose another name".to_owned(),
                    }
                } else {
                    error.into()
                }
            })?;
        Ok(Organization {
            id: id.clone(),
            name: name.to_owned(),
            created_at: now,
        })
    }

    /// All organisations by name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        let rows = sqlx::query("SELECT id, name, created_at FROM organizations ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(organization).collect()
    }

    /// The organisation with this id.
    ///
    /// # Errors
    /// `NotFound`, or the database fails.
    pub async fn find_organization(&self, id: &OrganizationId) -> Result<Organization, StoreError> {
        let query = sqlx::query("SELECT id, name, created_at FROM organizations WHERE id = $1").bind(id.as_str());
        let row = optional(query, &self.pool).await?;
        row.as_ref()
            .map(organization)
            .transpose()?
            .ok_or(StoreError::NotFound { what: "organization" })
    }

    /// The organisation of this name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn organization_named(&self, name: &str) -> Result<Option<Organization>, StoreError> {
        let query = sqlx::query("SELECT id, name, created_at FROM organizations WHERE name = $1").bind(name);
        optional(query, &self.pool)
            .await?
            .as_ref()
            .map(organization)
            .transpose()
    }
}

fn organization(row: &AnyRow) -> Result<Organization, StoreError> {
    Ok(Organization {
        id: parse(row, "id", OrganizationId::try_from)?,
        name: get(row, "name")?,
        created_at: get(row, "created_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn organizations_have_names_of_their_own() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let error = store
            .create_organization(&OrganizationId::generate(), "Acme", 1)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Conflict { field: "name", .. }), "{error:?}");
        assert_eq!(store.organization_named("Acme").await.unwrap().unwrap().id, acme);
        assert!(store.organization_named("Nobody").await.unwrap().is_none());
    }
}
