//! What an organisation may do, and how much of that is in use.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::authentication::Caller;
use super::etag::{Conditions, IfMatch, IfNoneMatch, Tagged};
use super::form::Form;
use super::path::Path;
use super::schema::{Id, Timestamp};
use super::{ApiError, Operations, operator};
use crate::admission::{CallLimits, DestinationCap, LimitOverrides, Prefix, day_of};
use crate::store::NumberId;

const DAY_MS: i64 = 86_400_000;
/// The highest number of calls that anybody has said, and more than any gateway carries.
const NUMBER_MAX: u64 = 100_000;
/// As many as there are countries, with room for exceptions.
const PREFIXES_MAX: usize = 512;
/// Each is looked up for every call that it fits.
const CAPS_MAX: usize = 64;
/// Calls or minutes of a day: more than there are, and no sum of it overflows.
const CAP_MAX: u64 = 1_000_000_000;

/// What an organisation may do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limits)]
pub(super) struct LimitsView {
    /// Calls at once, in both directions.
    #[schema(minimum = 0)]
    calls_max: u32,
    /// Calls at once over one of its numbers; null for no more than the organisation has.
    #[schema(minimum = 0)]
    number_calls_max: Option<u32>,
    /// Calls in each second.
    #[schema(minimum = 0)]
    calls_per_s: u32,
    /// Calls in each second over one of its numbers.
    #[schema(minimum = 0)]
    number_calls_per_s: u32,
    /// Calls in each second over one provider.
    #[schema(minimum = 0)]
    provider_calls_per_s: u32,
    /// Seconds after which a call is ended.
    #[schema(minimum = 0)]
    call_duration_max_s: u64,
    /// Beginnings of numbers where no call may go.
    #[schema(value_type = Vec<NumberPrefix>)]
    denied_destinations: Vec<Prefix>,
    /// Beginnings of numbers where calls may go all the same; when there are any, nowhere else.
    #[schema(value_type = Vec<NumberPrefix>)]
    allowed_destinations: Vec<Prefix>,
    /// How much may go where in a day.
    #[schema(value_type = Vec<DestinationCapView>)]
    destination_caps: Vec<DestinationCap>,
    /// Names of the limits that the operator has set for this organisation.
    set_by_operator: Vec<String>,
}

/// `+` and digits: the beginning of numbers. `+` alone is every number.
#[derive(ToSchema)]
#[schema(pattern = r"^\+[0-9]{0,15}$", example = "+44")]
#[expect(dead_code, reason = "describes `Prefix`")]
pub(super) struct NumberPrefix(String);

/// How much may go to the numbers with a prefix, on one day by UTC.
#[derive(ToSchema)]
#[schema(as = DestinationCap)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes `DestinationCap`")]
struct DestinationCapView {
    #[schema(inline)]
    prefix: NumberPrefix,
    #[schema(minimum = 0, maximum = 1_000_000_000_u64)]
    calls_per_day: Option<u64>,
    #[schema(minimum = 0, maximum = 1_000_000_000_u64)]
    minutes_per_day: Option<u64>,
}

/// What holds for one organisation. What is left out is as in the whole installation.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `set` reads")]
pub(super) struct NewLimits {
    /// 0 stops an organisation's calls.
    #[schema(minimum = 0, maximum = 100_000)]
    calls_max: Option<u32>,
    #[schema(minimum = 1, maximum = 100_000)]
    number_calls_max: Option<u32>,
    #[schema(minimum = 1, maximum = 100_000)]
    calls_per_s: Option<u32>,
    #[schema(minimum = 1, maximum = 100_000)]
    number_calls_per_s: Option<u32>,
    #[schema(minimum = 1, maximum = 100_000)]
    provider_calls_per_s: Option<u32>,
    /// Never more than in the whole installation.
    #[schema(minimum = 1, maximum = 86_400)]
    call_duration_max_s: Option<u32>,
    #[schema(max_items = 512)]
    denied_destinations: Option<Vec<NumberPrefix>>,
    #[schema(max_items = 512)]
    allowed_destinations: Option<Vec<NumberPrefix>>,
    /// A prefix is there once.
    #[schema(max_items = 64)]
    destination_caps: Option<Vec<DestinationCapView>>,
}

/// How much is in use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub(super) struct UsageView {
    calls: LiveCalls,
    /// Those numbers that have live calls.
    numbers: Vec<NumberUsage>,
    calls_per_s: RateUsage,
    destinations: Vec<DestinationUsage>,
    /// Midnight by UTC.
    day_ends_at: Timestamp,
}

/// Live calls of the organisation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LiveCallUsage)]
struct LiveCalls {
    #[schema(minimum = 0)]
    live: u32,
    #[schema(minimum = 0)]
    limit: u32,
}

/// Live calls over a number.
#[derive(Debug, Serialize, ToSchema)]
struct NumberUsage {
    #[schema(value_type = Id)]
    phone_number_id: NumberId,
    #[schema(minimum = 0)]
    live: u32,
    #[schema(minimum = 0)]
    limit: Option<u32>,
}

/// How many calls may begin at this moment.
#[derive(Debug, Serialize, ToSchema)]
struct RateUsage {
    available: i64,
    #[schema(minimum = 0)]
    limit: u32,
}

/// What of a cap is used.
#[derive(Debug, Serialize, ToSchema)]
struct DestinationUsage {
    #[schema(value_type = NumberPrefix)]
    prefix: Prefix,
    calls: DayUsage,
    minutes: DayUsage,
}

/// What today has used.
#[derive(Debug, Serialize, ToSchema)]
struct DayUsage {
    #[schema(minimum = 0)]
    today: u64,
    #[schema(minimum = 0)]
    limit: Option<u64>,
}

/// Read the limits
///
/// Those that hold for the organisation. They are the operator's.
#[utoipa::path(get, path = "/api/v1/organization/limits", tag = "Limits", operation_id = "readLimits",
    responses((status = 200, description = "The limits.", body = LimitsView)))]
pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<LimitsView>, ApiError> {
    let own = operations.store().organization_limits(&organization).await?;
    Ok(Json(shown(&operations.slots().limits, &own)))
}

/// Read how much of the limits is in use
///
/// Right now, and today.
#[utoipa::path(get, path = "/api/v1/organization/usage", tag = "Limits", operation_id = "readUsage",
    responses((status = 200, description = "What is in use.", body = UsageView)))]
pub(super) async fn usage<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
) -> Result<Json<UsageView>, ApiError> {
    let (store, slots, now) = (operations.store(), operations.slots(), operations.now());
    let limits = slots.limits.with(store.organization_limits(&organization).await?);
    let used = store.usage_report(&organization, &slots.gateway, now).await?;
    let numbers = used.number_calls.into_iter().map(|(number, live)| NumberUsage {
        phone_number_id: number,
        live,
        limit: limits.number_calls_max,
    });
    let available = used.rate.map_or(i64::from(limits.calls_per_s) * 1_000, |bucket| {
        bucket.at(limits.calls_per_s, now).level_milli
    });
    let destinations = limits.destinations.caps.iter().map(|cap| {
        let spent = used.destinations.iter().find(|(prefix, ..)| *prefix == cap.prefix);
        let (calls, seconds) = spent.map_or((0, 0), |(_, calls, seconds)| (*calls, *seconds));
        DestinationUsage {
            prefix: cap.prefix.clone(),
            calls: DayUsage {
                today: calls,
                limit: cap.calls_per_day,
            },
            minutes: DayUsage {
                today: seconds.div_ceil(60),
                limit: cap.minutes_per_day,
            },
        }
    });
    Ok(Json(UsageView {
        calls: LiveCalls {
            live: used.calls,
            limit: limits.calls_max,
        },
        numbers: numbers.collect(),
        calls_per_s: RateUsage {
            available: available / 1_000,
            limit: limits.calls_per_s,
        },
        destinations: destinations.collect(),
        day_ends_at: Timestamp((day_of(now) + 1) * DAY_MS),
    }))
}

/// Read an organisation's limits
///
/// Those that hold for it, and which of them are its own.
#[utoipa::path(get, path = "/api/v1/operator/organizations/{organization}/limits", tag = "Operator", operation_id = "readOrganizationLimits",
    params(IfNoneMatch), responses((status = 200, description = "The limits.", body = LimitsView)))]
pub(super) async fn read_for_operator<O: Operations>(
    State(operations): State<Arc<O>>,
    Path(organization): Path<String>,
    conditions: Conditions,
) -> Result<Tagged<LimitsView>, ApiError> {
    let organization = operator::find(&*operations, &organization).await?;
    let (own, version) = operations.store().versioned_limits(&organization.id).await?;
    let shown = shown(&operations.slots().limits, &own);
    Ok(Tagged::read(version, shown, conditions))
}

/// Set an organisation's limits
///
/// Replaces what was said about it: what is left out is as in the whole installation again. It holds from the next call on.
#[utoipa::path(put, path = "/api/v1/operator/organizations/{organization}/limits", tag = "Operator", operation_id = "setOrganizationLimits",
    request_body = NewLimits, params(IfMatch), responses((status = 200, description = "The limits as they are now.", body = LimitsView)))]
pub(super) async fn set<O: Operations>(
    State(operations): State<Arc<O>>,
    Path(organization): Path<String>,
    conditions: Conditions,
    mut form: Form,
) -> Result<Tagged<LimitsView>, ApiError> {
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
    let store = operations.store();
    let (_, version) = store.versioned_limits(&organization.id).await?;
    let expected = conditions.expected(version)?;
    let version = store
        .set_organization_limits(&organization.id, &own, expected, operations.now())
        .await
        .map_err(|error| conditions.told(error))?;
    Ok(Tagged::new(version, shown(&operations.slots().limits, &own)))
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
    let fits = |cap: &DestinationCap| cap.calls_per_day.max(cap.minutes_per_day) <= Some(CAP_MAX);
    let Some(caps) = read.filter(|caps| caps.len() <= CAPS_MAX && caps.iter().all(fits)) else {
        let problem = format!(
            "must be a list of at most {CAPS_MAX} objects with a prefix such as +44, and calls_per_day, minutes_per_day or both, \
             each at most {CAP_MAX}"
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
fn shown(installation: &CallLimits, own: &LimitOverrides) -> LimitsView {
    let said = serde_json::to_value(own).unwrap_or_default();
    let said = said.as_object().into_iter().flat_map(|said| said.keys().cloned());
    let limits = installation.with(own.clone());
    LimitsView {
        calls_max: limits.calls_max,
        number_calls_max: limits.number_calls_max,
        calls_per_s: limits.calls_per_s,
        number_calls_per_s: limits.number_calls_per_s,
        provider_calls_per_s: limits.provider_calls_per_s,
        call_duration_max_s: limits.call_duration_max_s,
        denied_destinations: limits.destinations.denied,
        allowed_destinations: limits.destinations.allowed,
        destination_caps: limits.destinations.caps,
        set_by_operator: said.collect(),
    }
}
