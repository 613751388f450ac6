//! What is left to do before everything that an organisation has configured works, over all its configurations.
//!
//! It comes from the providers' own checklists, so that a missing secret which a carrier's webhooks are proved with is told
//! here by whoever knows that it matters.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use strowger_host::operation::SetupStep;
use utoipa::ToSchema;

use super::authentication::Caller;
use super::readiness::Readiness;
use super::schema::Id;
use super::{ApiError, Operations};
use crate::store::ConfigurationId;

/// The warning of a configuration whose checklist nobody can tell.
const UNKNOWN: &str = "unavailable";

/// Something that is left to do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigurationWarning)]
struct Warning {
    #[schema(value_type = Id)]
    telephony_configuration_id: ConfigurationId,
    /// The configuration's.
    name: String,
    provider: String,
    /// The step of the provider's checklist; `unavailable` where nobody can tell.
    key: String,
    title: String,
    description: String,
    blocks_outbound: bool,
}

/// How often something is left to do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigurationWarningCount)]
struct Count {
    provider: String,
    key: String,
    #[schema(minimum = 1)]
    count: u32,
}

/// Everything that is left to do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigurationWarningList)]
pub(super) struct WarningList {
    counts: Vec<Count>,
    warnings: Vec<Warning>,
}

/// List what is left to do
///
/// Over all active configurations, from their checklists.
#[utoipa::path(get, path = "/api/v1/organizations/telephony-config-warnings", tag = "Configurations", operation_id = "listConfigurationWarnings",
    responses((status = 200, description = "What is left to do.", body = WarningList)))]
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<WarningList>, ApiError> {
    let store = operations.store();
    let (mut warnings, mut counts) = (Vec::new(), BTreeMap::new());
    let configurations = store.configurations(&organization).await?;
    // One that is parked takes part in nothing; why is shown with it.
    for configuration in configurations
        .iter()
        .filter(|configuration| configuration.inactive.is_none())
    {
        let facts = store.configuration_facts(&organization, &configuration.id).await?;
        let provider = operations.provider(&organization, &configuration.provider);
        let readiness = Readiness::of(operations.as_ref(), configuration, provider.as_ref(), facts).await;
        let left = match readiness.checklist {
            Some(checklist) => checklist.steps.into_iter().filter(|step| !step.complete).collect(),
            None => vec![SetupStep {
                key: UNKNOWN.to_owned(),
                title: "Its state is unknown".to_owned(),
                description: readiness.blocked.unwrap_or_default(),
                complete: false,
                blocks_outbound: true,
            }],
        };
        for step in left {
            warnings.push(Warning {
                telephony_configuration_id: configuration.id.clone(),
                name: configuration.name.clone(),
                provider: configuration.provider.clone(),
                key: step.key.clone(),
                title: step.title,
                description: step.description,
                blocks_outbound: step.blocks_outbound,
            });
            *counts
                .entry((configuration.provider.clone(), step.key))
                .or_insert(0_u32) += 1;
        }
    }
    let counts = counts
        .into_iter()
        .map(|((provider, key), count)| Count { provider, key, count });
    Ok(Json(WarningList {
        counts: counts.collect(),
        warnings,
    }))
}
