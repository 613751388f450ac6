//! Voice agents: who talks to the caller.

use serde_json::Value;

use crate::agent::Protocol;

use super::{
    AgentId, Columns, OrganizationId, Place, SecretHeaders, Store, StoreError, Unique, UnixMs, corrupt, flag, get,
    json, optional, parse,
};

const NAME: Unique = Unique {
    name: "agents_name",
    columns: "agents.organization_id, agents.name",
};

/// What a user decides about an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSettings {
    /// Unique in the organisation.
    pub name: String,
    /// How to talk to it.
    pub protocol: Protocol,
    /// Where it listens (`ws:` or `wss:`); none for those built in.
    pub url: Option<String>,
    /// Samples per second that it takes and gives.
    pub sample_rate_hz: u32,
    /// Sent with the request that opens its socket.
    pub headers: SecretHeaders,
    /// Whether its calls are recorded.
    pub record: bool,
    /// Passed to the agent when a call starts: a JSON object.
    pub parameters: Value,
}

/// An agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Its name in rows.
    pub id: AgentId,
    /// Who it belongs to.
    pub organization: OrganizationId,
    /// What its user decided.
    pub settings: AgentSettings,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
    /// How often it was written; clients change what they have read.
    pub version: u64,
}

const COLUMNS: &str = "id, organization_id, name, protocol, url, sample_rate_hz, headers_sealed, record, parameters, created_at, updated_at, version";

fn place<'a>(organization: &'a str, id: &'a str) -> Place<'a> {
    Place {
        table: "agents",
        organization,
        row: id,
        column: "headers_sealed",
    }
}

fn conflict(error: sqlx::Error) -> StoreError {
    if NAME.is_violated_by(&error) {
        StoreError::Conflict {
            field: "name",
            cure: "another agent has this name; choose another name".to_owned(),
        }
    } else if error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
    {
        StoreError::NotFound { what: "organization" }
    } else {
        error.into()
    }
}

impl Store {
    /// Creates an agent.
    ///
    /// # Errors
    /// `Conflict` when the organisation has an agent of this name.
    pub async fn create_agent(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
        settings: &AgentSettings,
        now: UnixMs,
    ) -> Result<Agent, StoreError> {
        sqlx::query(
            "INSERT INTO agents (id, organization_id, name, protocol, url, sample_rate_hz, headers_sealed, record, parameters, \
             created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(&*settings.name)
        .bind(settings.protocol.as_str())
        .bind(settings.url.as_deref())
        .bind(i64::from(settings.sample_rate_hz))
        .bind(self.seal_headers(organization, id, &settings.headers).await?)
        .bind(i64::from(settings.record))
        .bind(settings.parameters.to_string())
        .bind(now)
        .execute(&self.writer)
        .await
        .map_err(conflict)?;
        Ok(Agent {
            id: id.clone(),
            organization: organization.clone(),
            settings: settings.clone(),
            created_at: now,
            updated_at: now,
            version: 1,
        })
    }

    /// Replaces what its user decided about an agent, of which the version `expected` was read. Calls in progress keep what
    /// they started with.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when it was changed since; `Conflict` when another agent has this name.
    pub async fn update_agent(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
        settings: &AgentSettings,
        expected: u64,
        now: UnixMs,
    ) -> Result<Agent, StoreError> {
        let query = sqlx::query(
            "UPDATE agents SET name = $3, protocol = $4, url = $5, sample_rate_hz = $6, headers_sealed = $7, record = $8, \
             parameters = $9, updated_at = $10, version = version + 1 WHERE id = $1 AND organization_id = $2 AND version = $11 \
             RETURNING created_at, version",
        )
        .bind(id.as_str())
        .bind(organization.as_str())
        .bind(&*settings.name)
        .bind(settings.protocol.as_str())
        .bind(settings.url.as_deref())
        .bind(i64::from(settings.sample_rate_hz))
        .bind(self.seal_headers(organization, id, &settings.headers).await?)
        .bind(i64::from(settings.record))
        .bind(settings.parameters.to_string())
        .bind(now)
        .bind(expected.cast_signed());
        let Some(row) = optional(query, &self.writer).await.map_err(conflict)? else {
            // It is gone, or another one by now.
            self.find_agent(organization, id).await?;
            return Err(StoreError::Stale);
        };
        Ok(Agent {
            id: id.clone(),
            organization: organization.clone(),
            settings: settings.clone(),
            created_at: get(&row, "created_at")?,
            updated_at: now,
            version: get::<i64>(&row, "version")?.unsigned_abs(),
        })
    }

    /// One agent.
    ///
    /// # Errors
    /// `NotFound`, also for one of another organisation.
    pub async fn find_agent(&self, organization: &OrganizationId, id: &AgentId) -> Result<Agent, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM agents WHERE id = $1 AND organization_id = $2"
        ));
        let query = sqlx::query(sql).bind(id.as_str()).bind(organization.as_str());
        let row = optional(query, &self.pool)
            .await?
            .ok_or(StoreError::NotFound { what: "agent" })?;
        self.opened(|| self.agent_of(&row)).await
    }

    /// A page of the agents of an organisation, by name: at most `limit` behind the name and id `after`.
    ///
    /// # Errors
    /// The database fails, or a row does not open.
    pub async fn agents(
        &self,
        organization: &OrganizationId,
        after: Option<&(String, String)>,
        limit: u32,
    ) -> Result<Vec<Agent>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM agents WHERE organization_id = $1 AND (name, id) > ($2, $3) ORDER BY name, id LIMIT $4"
        ));
        let (name, id) = after.map_or(("", ""), |(name, id)| (name, id));
        let rows = sqlx::query(sql)
            .bind(organization.as_str())
            .bind(name)
            .bind(id)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        self.opened(|| rows.iter().map(|row| self.agent_of(row)).collect())
            .await
    }

    /// Deletes an agent. Its numbers stay without one, its calls stay in the record.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when it is not of the version `expected`, if one is.
    pub async fn delete_agent(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
        expected: Option<u64>,
    ) -> Result<(), StoreError> {
        let result =
            sqlx::query("DELETE FROM agents WHERE id = $1 AND organization_id = $2 AND (version = $3 OR $3 = 0)")
                .bind(id.as_str())
                .bind(organization.as_str())
                .bind(expected.unwrap_or(0).cast_signed())
                .execute(&self.writer)
                .await?;
        if result.rows_affected() == 0 {
            self.find_agent(organization, id).await?;
            return Err(StoreError::Stale);
        }
        Ok(())
    }

    async fn seal_headers(
        &self,
        organization: &OrganizationId,
        id: &AgentId,
        headers: &SecretHeaders,
    ) -> Result<String, StoreError> {
        let plain = serde_json::json!(headers.expose()).to_string();
        self.seal(place(organization.as_str(), id.as_str()), &plain).await
    }

    /// Reads an agent from columns with these names.
    pub(super) fn agent_of<'r>(&self, row: impl Into<Columns<'r>>) -> Result<Agent, StoreError> {
        let row = row.into();
        let id = parse(row, "id", AgentId::try_from)?;
        let organization = parse(row, "organization_id", OrganizationId::try_from)?;
        let headers = self.unseal(
            place(organization.as_str(), id.as_str()),
            &get::<String>(row, "headers_sealed")?,
        )?;
        let headers = serde_json::from_str(&headers).map_err(|error| corrupt("headers_sealed", error.to_string()))?;
        let rate: i64 = get(row, "sample_rate_hz")?;
        Ok(Agent {
            settings: AgentSettings {
                name: get(row, "name")?,
                protocol: parse(row, "protocol", |text| {
                    text.parse::<Protocol>().map_err(|_| "unknown protocol")
                })?,
                url: get(row, "url")?,
                sample_rate_hz: u32::try_from(rate).map_err(|error| corrupt("sample_rate_hz", error.to_string()))?,
                headers: SecretHeaders::new(headers),
                record: flag(row, "record")?,
                parameters: json(row, "parameters")?,
            },
            created_at: get(row, "created_at")?,
            updated_at: get(row, "updated_at")?,
            version: get::<i64>(row, "version")?.unsigned_abs(),
            id,
            organization,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn an_agent_round_trips_and_belongs_to_its_organization() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let other = store.organization("Other").await;
        let mut settings = testing::agent_settings("bot");
        settings.protocol = Protocol::MediaStreams;
        settings.url = Some("wss://bot.example/socket".to_owned());
        settings.headers = SecretHeaders::new(vec![("Authorization".to_owned(), "Bearer whisper".to_owned())]);
        settings.parameters = serde_json::json!({ "voice": "low" });
        let made = store
            .create_agent(&acme, &AgentId::generate(), &settings, 5)
            .await
            .unwrap();
        let found = store.find_agent(&acme, &made.id).await.unwrap();
        assert_eq!(found, made);
        assert!(!format!("{found:?}").contains("whisper"));

        assert!(matches!(
            store.find_agent(&other, &made.id).await,
            Err(StoreError::NotFound { .. })
        ));
        assert!(matches!(
            store.update_agent(&other, &made.id, &settings, 1, 6).await,
            Err(StoreError::NotFound { .. })
        ));
        assert!(matches!(
            store.delete_agent(&other, &made.id, None).await,
            Err(StoreError::NotFound { .. })
        ));
        assert!(store.agents(&other, None, 10).await.unwrap().is_empty());

        let error = store
            .create_agent(&acme, &AgentId::generate(), &settings, 6)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Conflict { field: "name", .. }), "{error:?}");
        store
            .create_agent(&other, &AgentId::generate(), &settings, 6)
            .await
            .unwrap();

        settings.name = "bot two".to_owned();
        let changed = store.update_agent(&acme, &made.id, &settings, 1, 7).await.unwrap();
        assert_eq!((changed.created_at, changed.updated_at, changed.version), (5, 7, 2));
        let stale = store.update_agent(&acme, &made.id, &settings, 1, 8).await;
        assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
        let stale = store.delete_agent(&acme, &made.id, Some(1)).await;
        assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
        assert_eq!(store.agents(&acme, None, 10).await.unwrap(), [changed]);
        store.delete_agent(&acme, &made.id, None).await.unwrap();
        assert!(store.agents(&acme, None, 10).await.unwrap().is_empty());
    }

    #[test]
    fn protocols_have_one_name() {
        for protocol in Protocol::ALL {
            assert_eq!(serde_json::json!(protocol), protocol.as_str());
            assert_eq!(protocol.as_str().parse(), Ok(protocol));
        }
    }
}
