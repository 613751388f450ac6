//! What is left to do before a configuration places calls, and which configuration an outbound call goes over.

use serde::Serialize;
use strowger_host::Ability;
use strowger_host::operation::SetupStep;
use utoipa::ToSchema;

use super::{ApiError, OperationError, Operations, ProviderView};
use crate::store::{Configuration, ConfigurationFacts, ConfigurationId, OrganizationId};

/// What is left to do before calls work.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SetupChecklist {
    ready_for_outbound: bool,
    /// The first step without which no call goes out.
    outbound_blocked_reason: Option<String>,
    #[schema(value_type = Vec<SetupChecklistStep>)]
    pub(super) steps: Vec<SetupStep>,
    docs_url: Option<String>,
}

/// One step of a checklist.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `SetupStep`")]
struct SetupChecklistStep {
    key: String,
    title: String,
    /// What to do and where.
    description: String,
    complete: bool,
    /// No outbound call before it is done.
    blocks_outbound: bool,
}

/// The steps towards calls that work.
#[derive(Debug, Clone)]
pub(super) struct Checklist {
    steps: Vec<SetupStep>,
    docs_url: Option<String>,
}

impl Checklist {
    /// The provider's own, or the one step that every provider has which shows a number.
    pub(super) async fn of<O: Operations>(
        operations: &O,
        configuration: &Configuration,
        provider: &ProviderView,
        facts: ConfigurationFacts,
    ) -> Result<Self, OperationError> {
        let steps = if provider.can(Ability::Setup) {
            operations.checklist(configuration, facts).await?
        } else if provider.spec.requires_caller_id {
            vec![caller_id(facts)]
        } else {
            Vec::new()
        };
        Ok(Self {
            steps,
            docs_url: provider.spec.docs_url.clone(),
        })
    }

    /// What the first step that keeps the configuration from placing calls asks for.
    pub(super) fn blocked(&self) -> Option<&str> {
        let step = self.steps.iter().find(|step| step.blocks_outbound && !step.complete)?;
        Some(&step.description)
    }

    fn shown(&self) -> SetupChecklist {
        let blocked = self.blocked();
        SetupChecklist {
            ready_for_outbound: blocked.is_none(),
            outbound_blocked_reason: blocked.map(str::to_owned),
            steps: self.steps.clone(),
            docs_url: self.docs_url.clone(),
        }
    }
}

fn caller_id(facts: ConfigurationFacts) -> SetupStep {
    SetupStep {
        key: "caller_id".to_owned(),
        title: "Add a phone number".to_owned(),
        description:
            "Add a phone number of this account and keep it active: outbound calls show it as their caller id."
                .to_owned(),
        complete: facts.active_numbers > 0,
        blocks_outbound: true,
    }
}

/// A configuration's readiness as it is shown, whatever state its provider is in.
pub(super) struct Readiness {
    /// None when nobody can tell.
    pub(super) checklist: Option<SetupChecklist>,
    /// Why it places no calls; none when it does.
    pub(super) blocked: Option<String>,
}

impl Readiness {
    /// A component that fails must not hide the configuration from its owner.
    pub(super) async fn of<O: Operations>(
        operations: &O,
        configuration: &Configuration,
        provider: Option<&ProviderView>,
        facts: ConfigurationFacts,
    ) -> Self {
        let unknown = |why: &str| Self {
            checklist: None,
            blocked: Some(why.to_owned()),
        };
        let Some(provider) = provider else {
            return unknown("The provider is unavailable: its component is not loaded.");
        };
        match Checklist::of(operations, configuration, provider, facts).await {
            Ok(checklist) => Self {
                blocked: checklist.blocked().map(str::to_owned),
                checklist: Some(checklist.shown()),
            },
            Err(OperationError::Fields(_)) => {
                unknown("The stored settings do not fit this version of the provider: enter them again.")
            }
            Err(error) => {
                tracing::error!(%error, configuration = %configuration.id, "a checklist could not be made");
                unknown(
                    "The provider failed when it was asked what is left to do; the operator finds the cause in the log.",
                )
            }
        }
    }
}

/// The configuration that an outbound call goes over. One that the client names is what it gets, or nothing. Else, of the
/// active ones, in the order of the store, the first that is ready; when none is, the reason of the first. One whose provider
/// asks no host for anything reaches nobody outside, so unless it is the default it comes last.
pub(super) async fn outbound<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    explicit: Option<&ConfigurationId>,
) -> Result<(Configuration, ProviderView), ApiError> {
    let candidates = match explicit {
        Some(id) => {
            let configuration = operations.store().find_configuration(organization, id).await?;
            if let Some(inactive) = &configuration.inactive {
                let message = format!(
                    "the telephony configuration is inactive ({}); reactivate it first",
                    inactive.reason
                );
                return Err(ApiError::Refused("configuration_inactive", message));
            }
            vec![configuration]
        }
        None => {
            let mut all = operations.store().configurations(organization).await?;
            all.retain(|configuration| configuration.inactive.is_none());
            all.sort_by_key(|configuration| {
                let provider = operations.provider(organization, &configuration.provider);
                let asks_nobody = provider.is_some_and(|provider| provider.spec.egress_hosts.is_empty());
                asks_nobody && !configuration.is_default_outbound
            });
            all
        }
    };
    let mut first = None;
    for configuration in candidates {
        match ready(operations, &configuration).await {
            Ok(provider) => return Ok((configuration, provider)),
            Err(blocked) => {
                first.get_or_insert(blocked);
            }
        }
    }
    let none = "no active telephony configuration; create one first".to_owned();
    Err(first.unwrap_or(ApiError::Refused("telephony_not_configured", none)))
}

async fn ready<O: Operations>(operations: &O, configuration: &Configuration) -> Result<ProviderView, ApiError> {
    let provider = operations
        .provider(&configuration.organization, &configuration.provider)
        .ok_or(OperationError::ProviderMissing)?;
    let facts = operations
        .store()
        .configuration_facts(&configuration.organization, &configuration.id)
        .await?;
    match Checklist::of(operations, configuration, &provider, facts)
        .await?
        .blocked()
    {
        Some(reason) => Err(ApiError::Refused("not_ready_for_outbound", reason.to_owned())),
        None => Ok(provider),
    }
}
