//! What an organisation may do, and how much of that is in use.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::authentication::Caller;
use super::form::Form;
use super::path::Path;
use super::{ApiError, Operations, operator, timestamp};
use crate::admission::{CallLimits, DestinationCap, LimitOverrides, Prefix, day_of};

const DAY_MS: i64 = 86_400_000;
/// The highest number of calls that anybody has said, and more than any gateway carries.
const NUMBER_MAX: u64 = 100_000;
/// As many as there are countries, with room for exceptions.
const PREFIXES_MAX: usize = 512;
/// Each is looked up for every call that it fits.
const CAPS_MAX: usize = 64;

pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<Value>, ApiError> {
    let own = operations.store().organization_limits(&organization).await?;
    Ok(Json(shown(&operations.slots().limits, &own)))
}

pub(super) async fn usage<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<Value>, ApiError> {
    let (store, slots, now) = (operations.store(), operations.slots(), operations.now());
    let limits = slots.limits.with(store.organization_limits(&organization).await?);
    let used = store.usage_report(&organization, &slots.gateway, now).await?;
    let numbers = used
        .number_calls
        .iter()
        .map(|(number, live)| json!({ "phone_number_id": number, "live": live, "limit": limits.number_calls_max }));
    let available = used.rate.map_or(i64::from(limits.calls_per_s) * 1_000, |bucket| {
        bucket.at(limits.calls_per_s, now).level_milli
    });
    let destinations = limits.destinations.caps.iter().map(|cap| {
        let spent = used.destinations.iter().find(|(prefix, ..)| *prefix == cap.prefix);
        let (calls, seconds) = spent.map_or((0, 0), |(_, calls, seconds)| (*calls, *seconds));
        json!({
            "prefix": cap.prefix,
            "calls": { "today": calls, "limit": cap.calls_per_day },
            "minutes": { "today": seconds.div_ceil(60), "limit": cap.minutes_per_day },
        })
    });
    Ok(Json(json!({
        "calls": { "live": used.calls, "limit": limits.calls_max },
        "numbers": numbers.collect::<Vec<_>>(),
        "calls_per_s": { "available": available / 1_000, "limit": limits.calls_per_s },
        "destinations": destinations.collect::<Vec<_>>(),
        "day_ends_at": timestamp::rfc3339((day_of(now) + 1) * DAY_MS),
    })))
}

/// The limits of an organisation, for the operator.
pub(super) async fn read_for_operator<O: Operations>(
    State(operations): State<Arc<O>>,
    Path(organization): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let organization = operator::find(&*operations, &organization).await?;
    let own = operations.store().organization_limits(&organization.id).await?;
    Ok(Json(shown(&operations.slots().limits, &own)))
}

/// Replaces what the operator has said about an organisation: what is left out is as in the whole installation again. It
/// holds for the next call; live ones keep their longest duration.
pub(super) async fn set<O: Operations>(
    State(operations): State<Arc<O>>,
    Path(organization): Path<String>,
    mut form: Form,
) -> Result<Json<Value>, ApiError> {
    let organization = operator::find(&*operations, &organization).await?;
    let mut number = |name, least| {
        let number = form.number(name, least..=NUMBER_MAX)?;
        u32::try_from(number).ok()
    };
    let own = LimitOverrides {
        // None at all stops an organisation without taking anything from it.
        calls_max: number("calls_max", 0),
        number_calls_max: number("number_calls_max", 1),
        calls_per_s: number("calls_per_s", 1),
        number_calls_per_s: number("number_calls_per_s", 1),
        provider_calls_per_s: number("provider_calls_per_s", 1),
        call_duration_max_s: form.number("call_duration_max_s", 1..=24 * 3600),
        denied_destinations: prefixes(&mut form, "denied_destinations"),
        allowed_destinations: prefixes(&mut form, "allowed_destinations"),
        destination_caps: caps(&mut form),
    };
    form.finish()?;
    operations
        .store()
        .set_organization_limits(&organization.id, &own, operations.now())
        .await?;
    Ok(Json(shown(&operations.slots().limits, &own)))
}

fn prefixes(form: &mut Form, name: &'static str) -> Option<Vec<Prefix>> {
    let value = form.value(name)?;
    let read: Option<Vec<Prefix>> = value
        .as_array()
        .filter(|items| items.len() <= PREFIXES_MAX)
        .and_then(|items| items.iter().map(|item| Prefix::parse(item.as_str()?).ok()).collect());
    if read.is_none() {
        let problem =
            format!("must be a list of at most {PREFIXES_MAX} beginnings of numbers such as +44; + is every number");
        form.problem(name, problem);
    }
    read
}

fn caps(form: &mut Form) -> Option<Vec<DestinationCap>> {
    const NAME: &str = "destination_caps";
    let value = form.value(NAME)?;
    let read: Option<Vec<DestinationCap>> = serde_json::from_value(value).ok();
    let Some(caps) = read.filter(|caps| caps.len() <= CAPS_MAX) else {
        let problem = format!(
            "must be a list of at most {CAPS_MAX} objects with a prefix such as +44, and calls_per_day, minutes_per_day or both"
        );
        form.problem(NAME, problem);
        return None;
    };
    let mut prefixes: Vec<&str> = caps.iter().map(|cap| cap.prefix.as_str()).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    if prefixes.len() < caps.len() {
        form.problem(NAME, "has a prefix twice; say what holds for it in one place");
    }
    Some(caps)
}

/// The limits that hold, and which of them are the organisation's own.
fn shown(installation: &CallLimits, own: &LimitOverrides) -> Value {
    let said = serde_json::to_value(own).unwrap_or_default();
    let said: Vec<&String> = said.as_object().into_iter().flat_map(|said| said.keys()).collect();
    let limits = installation.with(own.clone());
    json!({
        "calls_max": limits.calls_max,
        "number_calls_max": limits.number_calls_max,
        "calls_per_s": limits.calls_per_s,
        "number_calls_per_s": limits.number_calls_per_s,
        "provider_calls_per_s": limits.provider_calls_per_s,
        "call_duration_max_s": limits.call_duration_max_s,
        "denied_destinations": limits.destinations.denied,
        "allowed_destinations": limits.destinations.allowed,
        "destination_caps": limits.destinations.caps,
        "set_by_operator": said,
    })
}
