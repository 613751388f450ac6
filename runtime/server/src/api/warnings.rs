//! What is left to do before everything that an organisation has configured works, over all its configurations.
//!
//! It comes from the providers' own checklists, so that a missing secret which a carrier's webhooks are proved with is told
//! here by whoever knows that it matters.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use strowger_host::operation::SetupStep;

use super::authentication::Caller;
use super::readiness::Readiness;
use super::{ApiError, Operations};

/// The warning of a configuration whose checklist nobody can tell.
const UNKNOWN: &str = "unavailable";

pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<Value>, ApiError> {
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
            warnings.push(json!({
                "telephony_configuration_id": configuration.id,
                "name": configuration.name,
                "provider": configuration.provider,
                "key": step.key,
                "title": step.title,
                "description": step.description,
                "blocks_outbound": step.blocks_outbound,
            }));
            *counts
                .entry((configuration.provider.clone(), step.key))
                .or_insert(0_u32) += 1;
        }
    }
    let counts = counts
        .into_iter()
        .map(|((provider, key), count)| json!({ "provider": provider, "key": key, "count": count }));
    Ok(Json(
        json!({ "counts": counts.collect::<Vec<_>>(), "warnings": warnings }),
    ))
}
