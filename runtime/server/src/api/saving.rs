//! Saving a configuration: what a user entered becomes what is stored.
//!
//! The order keeps a refusal cheap: first the shape of the fields, then the provider's own check, then what the carrier
//! must be asked for. Nothing is written here.

use serde_json::{Map, Value};
use strowger_host::operation::Occasion;
use strowger_host::{Ability, Credentials, FieldProblem, ProviderSpec};

use super::form::Form;
use super::{OperationError, Operations, ProviderView, mask};
use crate::store::{AccountId, ConfigurationId, OrganizationId, SecretJson};

/// Credentials that are ready to be stored.
pub(super) struct Prepared {
    pub(super) credentials: SecretJson,
    pub(super) account_id: Option<AccountId>,
}

/// Checks credentials against the provider's fields. Problems go to the form.
pub(super) fn check(
    spec: &ProviderSpec,
    mut entered: Map<String, Value>,
    stored: Option<&Value>,
    form: &mut Form,
) -> Option<Credentials> {
    entered.remove("provider");
    // Numbers have a resource of their own; clients of old send them here.
    if spec.field("from_numbers").is_none() {
        entered.remove("from_numbers");
    }
    match mask::restored(spec, entered, stored).and_then(|meant| Credentials::check(spec, &meant)) {
        Ok(credentials) => Some(credentials),
        Err(problems) => {
            for FieldProblem { field, problem } in problems {
                form.problem(&format!("config.{field}"), problem);
            }
            None
        }
    }
}

/// What webhooks will name the account by.
pub(super) fn account_id(spec: &ProviderSpec, credentials: &Credentials) -> Option<AccountId> {
    credentials
        .plain_text(spec.account_id_field.as_deref()?)
        .map(AccountId::new)
}

/// Lets the provider make at its carrier what the configuration needs, and adds the fields that it sets.
///
/// # Errors
/// The provider's verdict. What it sets must fit its own spec; that it does not is its fault.
pub(super) async fn prepare<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    provider: &ProviderView,
    configuration: &ConfigurationId,
    credentials: Credentials,
    occasion: Occasion,
) -> Result<Prepared, OperationError> {
    let spec = &provider.spec;
    let set = if provider.can(Ability::Setup) {
        operations
            .prepare_credentials(organization, &spec.name, configuration, &credentials, occasion)
            .await?
    } else {
        Vec::new()
    };
    let credentials = if set.is_empty() {
        credentials
    } else {
        let mut all = credentials.expose();
        if let Some(all) = all.as_object_mut() {
            all.extend(set.into_iter().map(|field| (field.name, field.value)));
        }
        let complete = Credentials::check(spec, &all).map_err(|problems| misfit(spec, &problems))?;
        match operations.check_credentials(organization, &spec.name, &complete).await {
            Err(OperationError::Fields(problems)) => return Err(misfit(spec, &problems)),
            checked => checked?,
        }
        complete
    };
    Ok(Prepared {
        account_id: account_id(spec, &credentials),
        credentials: SecretJson::new(credentials.expose()),
    })
}

fn misfit(spec: &ProviderSpec, problems: &[FieldProblem]) -> OperationError {
    tracing::error!(
        provider = spec.name,
        ?problems,
        "a provider set fields that do not fit its spec"
    );
    OperationError::ProviderFault {
        code: "provider-malformed-output".to_owned(),
    }
}
