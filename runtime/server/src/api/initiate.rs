//! Placing a call on request.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use strowger_call::address::ADDRESS_CHARS_MAX;
use strowger_call::{Address, CallId};
use strowger_host::Ability;
use strowger_host::operation::DetectionMode;
use utoipa::ToSchema;

use super::authentication::Caller;
use super::form::Form;
use super::idempotency::IdempotencyKey;
use super::schema::Id;
use super::{ApiError, CallRequest, OperationError, Operations, calls, readiness};
use crate::agent::dialable;
use crate::store::{AgentId, ConfigurationId, NumberId, PhoneNumber};

/// About as long as carriers let it ring before a mailbox answers.
const RING_TIMEOUT_S_DEFAULT: u64 = 45;

/// A call to place.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `initiate` reads")]
pub(super) struct NewOutboundCall {
    /// Who talks.
    #[schema(value_type = Id)]
    agent_id: AgentId,
    /// Who is called: a number with `+` and the country's code, a SIP URI or an extension.
    #[schema(
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "+12025550123"
    )]
    phone_number: String,
    /// Else the default one, or the oldest that is active and ready.
    #[schema(value_type = Option<Id>)]
    telephony_configuration_id: Option<ConfigurationId>,
    /// Which number is shown: else the default caller id, else one of the configuration's numbers.
    #[schema(value_type = Option<Id>)]
    from_phone_number_id: Option<NumberId>,
    /// In seconds.
    #[schema(minimum = 5, maximum = 120, default = 45)]
    ring_timeout_s: Option<u16>,
    /// Whether the carrier is to tell if a machine answers.
    #[schema(inline)]
    detect_machine: Option<DetectMachine>,
}

/// What to find out about who answers.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "describes `DetectionMode`")]
enum DetectMachine {
    HumanOrMachine,
    EndOfGreeting,
}

/// A call that was placed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlacedCall {
    message: &'static str,
    #[schema(value_type = Id)]
    call_id: CallId,
    call: calls::CallView,
}

/// Place a call
///
/// The answer comes when the carrier has accepted the call; it then rings.
#[utoipa::path(post, path = "/api/v1/telephony/initiate-call", tag = "Calls", operation_id = "initiateCall",
    request_body = NewOutboundCall, params(IdempotencyKey), responses((status = 200, description = "It was placed.", body = PlacedCall)))]
pub(super) async fn initiate<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    mut form: Form,
) -> Result<Json<PlacedCall>, ApiError> {
    let agent = form.id("agent_id", AgentId::parse);
    if agent.is_none() {
        form.required::<()>("agent_id", None);
    }
    let callee = callee(&mut form);
    let configuration = form.id("telephony_configuration_id", ConfigurationId::parse);
    let from = form.id("from_phone_number_id", NumberId::parse);
    let ring_timeout_s = form.number("ring_timeout_s", 5..=120).unwrap_or(RING_TIMEOUT_S_DEFAULT);
    let detect_machine = form.choice(
        "detect_machine",
        &["human-or-machine", "end-of-greeting"],
        |text| match text {
            "human-or-machine" => Some(DetectionMode::HumanOrMachine),
            "end-of-greeting" => Some(DetectionMode::EndOfGreeting),
            _ => None,
        },
    );
    form.finish()?;
    let (Some(agent), Some(callee)) = (agent, callee) else {
        return Err(ApiError::Fields(Vec::new()));
    };

    let (configuration, provider) =
        readiness::outbound(operations.as_ref(), &organization, configuration.as_ref()).await?;
    if !provider.can(Ability::Calling) {
        let message = format!("{} cannot place calls", provider.spec.display_name);
        return Err(ApiError::Refused("calling_unsupported", message));
    }
    if detect_machine.is_some() && !provider.can(Ability::Detection) {
        let message = format!(
            "{} cannot tell answering machines; leave detect_machine out",
            provider.spec.display_name
        );
        return Err(ApiError::Refused("detection_unsupported", message));
    }
    let agent = operations.store().find_agent(&organization, &agent).await?;
    let numbers = operations.store().numbers(&organization, &configuration.id).await?;
    // Spreads calls over the numbers; nothing depends on its being even.
    let random = getrandom::u32().map_err(|error| OperationError::Internal(error.to_string()))?;
    let caller_id = caller_id(numbers, from.as_ref(), provider.spec.requires_caller_id, random)?;
    let request = CallRequest {
        organization,
        configuration,
        agent,
        callee,
        caller_id,
        ring_timeout_s: u16::try_from(ring_timeout_s).unwrap_or(120),
        detect_machine,
    };
    let call = operations.place_call(request).await?;
    Ok(Json(PlacedCall {
        message: "the call was placed",
        call_id: call.id.clone(),
        call: calls::shown(&call),
    }))
}

fn callee(form: &mut Form) -> Option<Address> {
    let written = form.text("phone_number", ADDRESS_CHARS_MAX);
    let written = form.required("phone_number", written);
    if written.is_empty() {
        return None;
    }
    let callee = dialable(&written);
    if callee.is_none() {
        form.problem(
            "phone_number",
            "must be a number with + and the country's code such as +14155551234, a SIP URI or an extension",
        );
    }
    callee
}

/// What the callee sees: the number that the client names, or the configuration's default. Else, with a provider that must
/// show one, any active number; with another the callee sees whatever the telephone system shows by itself.
fn caller_id(
    mut numbers: Vec<PhoneNumber>,
    explicit: Option<&NumberId>,
    required: bool,
    random: u32,
) -> Result<Option<PhoneNumber>, ApiError> {
    numbers.retain(|number| number.is_active);
    if let Some(id) = explicit {
        let found = numbers.into_iter().find(|number| number.id == *id);
        return found.map(Some).ok_or_else(|| {
            let message = "from_phone_number_id is not an active number of the telephony configuration".to_owned();
            ApiError::Refused("caller_id_unusable", message)
        });
    }
    if let Some(default) = numbers.iter().position(|number| number.is_default_caller_id) {
        return Ok(Some(numbers.swap_remove(default)));
    }
    if !required {
        return Ok(None);
    }
    match u32::try_from(numbers.len()).ok().filter(|count| *count > 0) {
        Some(count) => Ok(Some(numbers.swap_remove((random % count) as usize))),
        None => {
            let message = "the telephony configuration has no active number to show; add one".to_owned();
            Err(ApiError::Refused("caller_id_missing", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[tokio::test]
    async fn a_caller_id_is_named_or_the_default_or_any_where_one_is_needed() {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let configuration = store.configuration(&acme, "main", None).await;
        let mut numbers = Vec::new();
        for address in ["+14155550001", "+14155550002", "+14155550003"] {
            numbers.push(store.number(&configuration, address, None).await);
        }
        let shown = |numbers: &[PhoneNumber], explicit: Option<&NumberId>, required, random| {
            caller_id(numbers.to_vec(), explicit, required, random)
                .map(|found| found.map(|number| number.address.expose()[8..].to_owned()))
        };
        let some = |text: &str| Some(text.to_owned());

        assert_eq!(shown(&numbers, None, true, 0).unwrap(), some("0001"));
        assert_eq!(
            shown(&numbers, None, true, 4).unwrap(),
            some("0002"),
            "random, modulo three"
        );
        assert_eq!(
            shown(&numbers, None, false, 4).unwrap(),
            None,
            "it is left to the telephone system"
        );
        numbers[2].is_default_caller_id = true;
        for (required, random) in [(true, 0), (false, 1)] {
            assert_eq!(shown(&numbers, None, required, random).unwrap(), some("0003"));
        }
        let first = numbers[0].id.clone();
        assert_eq!(shown(&numbers, Some(&first), false, 1).unwrap(), some("0001"));
        for number in &mut numbers {
            number.is_active = false;
        }
        let refusals = [
            (shown(&numbers, Some(&first), true, 0), "caller_id_unusable"),
            (shown(&numbers, None, true, 0), "caller_id_missing"),
        ];
        for (found, expected) in refusals {
            assert!(
                matches!(&found, Err(ApiError::Refused(code, _)) if *code == expected),
                "{found:?}"
            );
        }
        assert_eq!(shown(&numbers, None, false, 0).unwrap(), None);
    }
}
