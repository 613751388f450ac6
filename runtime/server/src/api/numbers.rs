//! Phone numbers of a configuration.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::{Value, json};
use strowger_call::address::ADDRESS_CHARS_MAX;
use strowger_call::{Address, AddressKind, Country};
use strowger_host::Ability;
use strowger_host::operation::{FailureKind, Ownership, Synchronisation};
use utoipa::ToSchema;

use super::authentication::Caller;
use super::etag::{Conditions, IfMatch, IfNoneMatch, Tagged};
use super::form::Form;
use super::idempotency::IdempotencyKey;
use super::page::{Asked, PageQuery};
use super::path::Path;
use super::schema::{FreeObject, Id, Timestamp};
use super::{ApiError, OperationError, Operations, configurations, unbroken};
use crate::store::{
    AgentId, Configuration, ConfigurationId, NewNumber, NumberChange, NumberId, OrganizationId, PhoneNumber,
    StoreError, TrunkId, WrittenAddress,
};

/// How often a change is tried that others keep getting ahead of.
const ATTEMPTS_MAX: u32 = 16;
const LABEL_CHARS_MAX: usize = 64;
/// A user's own data, as JSON text.
const METADATA_BYTES_MAX: usize = 16 * 1024;

/// A phone number.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PhoneNumber)]
pub(super) struct NumberView {
    #[schema(value_type = Id)]
    id: NumberId,
    #[schema(value_type = Id)]
    telephony_configuration_id: ConfigurationId,
    /// As it was entered.
    address: String,
    /// Unique in the organisation.
    #[schema(example = "+14155551234")]
    address_normalized: String,
    #[schema(value_type = AddressType)]
    address_type: &'static str,
    /// ISO 3166.
    country_code: Option<String>,
    label: Option<String>,
    /// Who answers its calls; without one they are refused.
    #[schema(value_type = Option<Id>)]
    inbound_agent_id: Option<AgentId>,
    #[schema(value_type = Option<Id>)]
    telephony_trunk_id: Option<TrunkId>,
    is_active: bool,
    /// Whether outbound calls of the configuration show it unless they say otherwise.
    is_default_caller_id: bool,
    /// An object of the user's.
    #[schema(value_type = FreeObject)]
    extra_metadata: Value,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// How telling the carrier went; null where this request did not try.
    provider_sync: Option<ProviderSync>,
}

/// What an address is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes `AddressKind`")]
enum AddressType {
    Pstn,
    SipUri,
    SipExtension,
}

/// How telling the carrier went.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderSync {
    ok: bool,
    /// What it said, or what to do.
    message: Option<String>,
}

/// A page of phone numbers, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PhoneNumberList)]
pub(super) struct NumberList {
    phone_numbers: Vec<NumberView>,
    next_cursor: Option<String>,
}

/// A phone number to add.
#[derive(ToSchema)]
#[schema(as = NewPhoneNumber)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `create` reads")]
pub(super) struct NewNumberForm {
    /// E.164 with `+`, national with `country_code`, a SIP URI, or an extension.
    #[schema(
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "+14155551234"
    )]
    address: String,
    /// Two letters of ISO 3166.
    #[schema(max_length = 2, example = "US")]
    country_code: Option<String>,
    #[schema(
        max_length = 64,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    label: Option<String>,
    #[schema(value_type = Option<Id>)]
    inbound_agent_id: Option<AgentId>,
    #[schema(value_type = Option<Id>)]
    telephony_trunk_id: Option<TrunkId>,
    #[schema(default = true)]
    is_active: Option<bool>,
    #[schema(default = false)]
    is_default_caller_id: Option<bool>,
    /// At most 16 KiB.
    extra_metadata: Option<FreeObject>,
}

/// What to change in a phone number: what is left out stays.
#[derive(ToSchema)]
#[schema(as = PhoneNumberChange)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `update` reads")]
pub(super) struct NumberChangeForm {
    /// It stays: only the address that the number has may be sent.
    address: Option<String>,
    #[schema(max_length = 2)]
    country_code: Option<String>,
    #[schema(
        max_length = 64,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    label: Option<String>,
    #[schema(value_type = Option<Id>)]
    inbound_agent_id: Option<AgentId>,
    /// Leaves it without an agent.
    clear_inbound_agent: Option<bool>,
    #[schema(value_type = Option<Id>)]
    telephony_trunk_id: Option<TrunkId>,
    /// Leaves it without a trunk.
    clear_trunk: Option<bool>,
    is_active: Option<bool>,
    extra_metadata: Option<FreeObject>,
}

/// A phone number is gone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PhoneNumberDeleted)]
pub(super) struct NumberDeleted {
    message: &'static str,
    provider_sync: Option<ProviderSync>,
}

/// List phone numbers
///
/// Oldest first.
#[utoipa::path(get, path = "/api/v1/organizations/telephony-configs/{configuration}/phone-numbers", tag = "Phone numbers", operation_id = "listPhoneNumbers",
    params(PageQuery), responses((status = 200, description = "A page of phone numbers.", body = NumberList)))]
pub(super) async fn list<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(configuration): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<NumberList>, ApiError> {
    let mut form = Form::of_query(query.as_deref());
    let page = Asked::<(i64, String)>::read(&mut form, "phone-numbers");
    form.finish()?;
    let configuration = configurations::find(operations.as_ref(), &organization, &configuration).await?;
    let mut numbers = operations
        .store()
        .numbers_page(&organization, &configuration.id, page.after.as_ref(), page.rows())
        .await?;
    let next_cursor = page.cut(&mut numbers, |number| (number.created_at, number.id.to_string()));
    Ok(Json(NumberList {
        phone_numbers: numbers.iter().map(|number| shown(number, None)).collect(),
        next_cursor,
    }))
}

/// Add a phone number
///
/// It is registered at carriers where that is done from here; others are asked whether the account owns it.
#[utoipa::path(post, path = "/api/v1/organizations/telephony-configs/{configuration}/phone-numbers", tag = "Phone numbers", operation_id = "createPhoneNumber",
    request_body = NewNumberForm, params(IdempotencyKey), responses((status = 201, description = "The number.", body = NumberView)))]
pub(super) async fn create<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path(configuration): Path<String>,
    mut form: Form,
) -> Result<Tagged<NumberView>, ApiError> {
    let configuration = configurations::find(operations.as_ref(), &organization, &configuration).await?;
    let country = country(&mut form);
    let written = form.text("address", ADDRESS_CHARS_MAX);
    let written = form.required("address", written);
    let address = address(&mut form, &written, country);
    let label = form.text("label", LABEL_CHARS_MAX);
    let agent = form.id("inbound_agent_id", AgentId::parse);
    let trunk = form.id("telephony_trunk_id", TrunkId::parse);
    let is_active = form.flag("is_active").unwrap_or(true);
    let is_default_caller_id = form.flag("is_default_caller_id").unwrap_or(false);
    let metadata = metadata(&mut form).unwrap_or_else(|| json!({}));
    form.finish()?;
    let Some(address) = address else {
        return Err(ApiError::Fields(Vec::new()));
    };

    let new = NewNumber {
        id: NumberId::generate(),
        organization,
        configuration: configuration.id.clone(),
        written: WrittenAddress::new(written),
        country: address.country().or(country),
        address,
        label,
        agent,
        trunk,
        is_active,
        is_default_caller_id,
        metadata,
    };
    unbroken(async move { add(operations.as_ref(), &configuration, new).await }).await
}

/// The carrier is asked last: what can be refused here costs it nothing.
async fn add<O: Operations>(
    operations: &O,
    configuration: &Configuration,
    new: NewNumber,
) -> Result<Tagged<NumberView>, ApiError> {
    let store = operations.store();
    if let Some(agent) = &new.agent {
        store.find_agent(&new.organization, agent).await?;
    }
    if let Some(trunk) = &new.trunk {
        store.find_trunk(&new.organization, &configuration.id, trunk).await?;
    }
    store.require_free_number(configuration, &new.address).await?;
    if can_sync(operations, configuration) {
        match operations.validate_number(configuration, &new.address).await {
            Ok(Ownership::Owned | Ownership::NotApplicable) => {}
            Ok(Ownership::NotOwned) => {
                let message =
                    "the account of this configuration does not own this number; check the number and the account"
                        .to_owned();
                return Err(ApiError::Refused("number_not_owned", message));
            }
            Err(error) => return Err(lookup_failed(error)),
        }
    }
    let number = store.create_number(new, operations.now()).await?;
    // One that nobody answers here may be answered elsewhere: it is left as it is.
    let sync = if number.agent.is_some() {
        synchronise(operations, configuration, &number.address, is_attached(&number)).await
    } else {
        None
    };
    Ok(Tagged::created(number.version, shown(&number, sync.as_ref())))
}

/// Read a phone number
#[utoipa::path(get, path = "/api/v1/organizations/telephony-configs/{configuration}/phone-numbers/{number}", tag = "Phone numbers", operation_id = "readPhoneNumber",
    params(IfNoneMatch), responses((status = 200, description = "The number.", body = NumberView)))]
pub(super) async fn read<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((configuration, number)): Path<(String, String)>,
    conditions: Conditions,
) -> Result<Tagged<NumberView>, ApiError> {
    let (_, number) = find(operations.as_ref(), &organization, &configuration, &number).await?;
    Ok(Tagged::read(number.version, shown(&number, None), conditions))
}

/// Change a phone number
///
/// What is left out stays. The carrier is told again.
#[utoipa::path(put, path = "/api/v1/organizations/telephony-configs/{configuration}/phone-numbers/{number}", tag = "Phone numbers", operation_id = "updatePhoneNumber",
    request_body = NumberChangeForm, params(IfMatch), responses((status = 200, description = "The number as it is now.", body = NumberView)))]
pub(super) async fn update<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((configuration, number)): Path<(String, String)>,
    conditions: Conditions,
    mut form: Form,
) -> Result<Tagged<NumberView>, ApiError> {
    let (configuration, number) = find(operations.as_ref(), &organization, &configuration, &number).await?;
    if let Some(written) = form.value("address")
        && written.as_str() != Some(number.written.expose())
    {
        form.problem("address", "cannot be changed; add another number and remove this one");
    }
    let clear_agent = form.flag("clear_inbound_agent").unwrap_or(false);
    let agent = form.id("inbound_agent_id", AgentId::parse);
    if clear_agent && agent.is_some() {
        form.problem(
            "clear_inbound_agent",
            "contradicts inbound_agent_id; send one of the two",
        );
    }
    let clear_trunk = form.flag("clear_trunk").unwrap_or(false);
    let trunk = form.id("telephony_trunk_id", TrunkId::parse);
    if clear_trunk && trunk.is_some() {
        form.problem("clear_trunk", "contradicts telephony_trunk_id; send one of the two");
    }
    let change = NumberChange {
        label: form.text("label", LABEL_CHARS_MAX).map(Some),
        agent: if clear_agent { Some(None) } else { agent.map(Some) },
        trunk: if clear_trunk { Some(None) } else { trunk.map(Some) },
        is_active: form.flag("is_active"),
        country: country(&mut form).map(Some),
        metadata: metadata(&mut form),
    };
    form.finish()?;
    let expected = conditions.expected(number.version)?;
    unbroken(async move {
        let operations = operations.as_ref();
        let store = operations.store();
        let mut attempts = 0;
        let number = loop {
            let changed = store
                .update_number(
                    &organization,
                    &configuration.id,
                    &number.id,
                    change.clone(),
                    expected,
                    operations.now(),
                )
                .await;
            attempts += 1;
            match changed {
                Err(StoreError::Stale) if expected.is_none() && attempts < ATTEMPTS_MAX => {}
                changed => break changed.map_err(|error| conditions.told(error))?,
            }
        };
        // Whatever changed: it repairs what an earlier attempt left undone. Detaching touches only what points here.
        let mut told = is_attached(&number);
        let mut sync = synchronise(operations, &configuration, &number.address, told).await;
        // Somebody else may have decided otherwise meanwhile, and been told of before: the carrier is to have the last word
        // that was written.
        for _ in 1..ATTEMPTS_MAX {
            let Ok(now) = store.find_number(&organization, &configuration.id, &number.id).await else {
                break;
            };
            if is_attached(&now) == told {
                break;
            }
            told = is_attached(&now);
            sync = synchronise(operations, &configuration, &number.address, told).await;
        }
        Ok(Tagged::new(number.version, shown(&number, sync.as_ref())))
    })
    .await
}

/// Delete a phone number
///
/// Its calls are pointed away from here first; when the carrier cannot be told, the number stays.
#[utoipa::path(delete, path = "/api/v1/organizations/telephony-configs/{configuration}/phone-numbers/{number}", tag = "Phone numbers", operation_id = "deletePhoneNumber",
    params(IfMatch), responses((status = 200, description = "It is gone.", body = NumberDeleted)))]
pub(super) async fn delete<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((configuration, number)): Path<(String, String)>,
    conditions: Conditions,
) -> Result<Json<NumberDeleted>, ApiError> {
    let (configuration, number) = find(operations.as_ref(), &organization, &configuration, &number).await?;
    let expected = conditions.expected(number.version)?;
    unbroken(async move {
        let operations = operations.as_ref();
        // While the carrier still sends calls here, the number must not vanish: its owner could not see why they are
        // refused.
        let sync = synchronise(operations, &configuration, &number.address, false).await;
        let shown = sync.as_ref().map(Sync::shown);
        if let Some(error) = sync.and_then(|sync| sync.failed) {
            return Err(lookup_failed(error));
        }
        operations
            .store()
            .delete_number(&organization, &configuration.id, &number.id, expected)
            .await
            .map_err(|error| conditions.told(error))?;
        Ok(Json(NumberDeleted {
            message: "the phone number was deleted",
            provider_sync: shown,
        }))
    })
    .await
}

/// Make a number the default caller id
#[utoipa::path(post, path = "/api/v1/organizations/telephony-configs/{configuration}/phone-numbers/{number}/set-default-caller", tag = "Phone numbers", operation_id = "setDefaultCaller",
    responses((status = 200, description = "The number as it is now.", body = NumberView)))]
pub(super) async fn set_default<O: Operations>(
    State(operations): State<Arc<O>>,
    Caller(organization): Caller,
    Path((configuration, number)): Path<(String, String)>,
) -> Result<Tagged<NumberView>, ApiError> {
    let (configuration, number) = (configurations::parse_id(&configuration)?, parse_id(&number)?);
    let number = operations
        .store()
        .set_default_caller(&organization, &configuration, &number, operations.now())
        .await?;
    Ok(Tagged::new(number.version, shown(&number, None)))
}

fn parse_id(text: &str) -> Result<NumberId, ApiError> {
    NumberId::parse(text).map_err(|_| ApiError::NotFound("phone number"))
}

async fn find<O: Operations>(
    operations: &O,
    organization: &OrganizationId,
    configuration: &str,
    number: &str,
) -> Result<(Configuration, PhoneNumber), ApiError> {
    let configuration = configurations::find(operations, organization, configuration).await?;
    let number = operations
        .store()
        .find_number(organization, &configuration.id, &parse_id(number)?)
        .await?;
    Ok((configuration, number))
}

fn country(form: &mut Form) -> Option<Country> {
    let text = form.text("country_code", 2)?;
    let country = Country::parse(&text).ok();
    if country.is_none() {
        form.problem("country_code", "must be two letters of ISO 3166 such as US");
    }
    country
}

/// Normalises an address that was entered. A number that could be of any country is refused, instead of guessing one.
fn address(form: &mut Form, written: &str, country: Option<Country>) -> Option<Address> {
    if written.is_empty() {
        return None;
    }
    let international =
        "must be written with + and the country's code such as +14155551234, or sent with its country_code";
    let bare = |char: char| char.is_ascii_digit() || " -()\u{a0}".contains(char);
    match Address::parse(written, country) {
        Err(error) => form.problem("address", format!("cannot be: {error}")),
        Ok(address) if address.kind() != AddressKind::Pstn => return Some(address),
        Ok(_) if country.is_none() && written.chars().all(bare) && !written.trim().starts_with("00") => {
            form.problem("address", international);
        }
        Ok(address) if address.e164().is_none() => form.problem("address", international),
        Ok(address) => return Some(address),
    }
    None
}

fn metadata(form: &mut Form) -> Option<Value> {
    let metadata = Value::Object(form.object("extra_metadata")?);
    if metadata.to_string().len() > METADATA_BYTES_MAX {
        form.problem(
            "extra_metadata",
            format!("must have at most {METADATA_BYTES_MAX} bytes as JSON"),
        );
    }
    Some(metadata)
}

fn can_sync<O: Operations>(operations: &O, configuration: &Configuration) -> bool {
    operations
        .provider(&configuration.organization, &configuration.provider)
        .is_some_and(|provider| provider.can(Ability::Numbers))
}

/// What came of pointing a number at this gateway or away from it.
struct Sync {
    message: Option<String>,
    failed: Option<OperationError>,
}

impl Sync {
    fn shown(&self) -> ProviderSync {
        ProviderSync {
            ok: self.failed.is_none(),
            message: self.message.clone(),
        }
    }
}

/// Whether the carrier is to send the number's calls here.
fn is_attached(number: &PhoneNumber) -> bool {
    number.agent.is_some() && number.is_active
}

/// None when the provider has no say in it.
async fn synchronise<O: Operations>(
    operations: &O,
    configuration: &Configuration,
    address: &Address,
    attach: bool,
) -> Option<Sync> {
    if !can_sync(operations, configuration) {
        return None;
    }
    Some(
        match operations.configure_inbound(configuration, address, attach).await {
            Ok(Synchronisation::Done | Synchronisation::Unchanged) => Sync {
                message: None,
                failed: None,
            },
            Ok(Synchronisation::LeftAlone(why)) => Sync {
                message: Some(why),
                failed: None,
            },
            Err(error) => {
                tracing::warn!(%error, attach, configuration = %configuration.id, "a number could not be synchronised with its carrier");
                let message = match &error {
                    OperationError::Failed(failure) => failure.message.clone(),
                    _ => "the carrier could not be asked; save the number again later".to_owned(),
                };
                Sync {
                    message: Some(message),
                    failed: Some(error),
                }
            }
        },
    )
}

/// A carrier that cannot be asked is the carrier's trouble (502), except for what was wrong with the question.
fn lookup_failed(error: OperationError) -> ApiError {
    match error {
        OperationError::Failed(mut failure) if !matches!(failure.kind, FailureKind::Request) => {
            failure.kind = FailureKind::Carrier;
            ApiError::Operation(OperationError::Failed(failure))
        }
        error => ApiError::Operation(error),
    }
}

fn shown(number: &PhoneNumber, sync: Option<&Sync>) -> NumberView {
    NumberView {
        id: number.id.clone(),
        telephony_configuration_id: number.configuration.clone(),
        address: number.written.expose().to_owned(),
        address_normalized: number.address.expose().to_owned(),
        address_type: number.address.kind().as_str(),
        country_code: number.country.map(|country| country.as_str().to_owned()),
        label: number.label.clone(),
        inbound_agent_id: number.agent.clone(),
        telephony_trunk_id: number.trunk.clone(),
        is_active: number.is_active,
        is_default_caller_id: number.is_default_caller_id,
        extra_metadata: number.metadata.clone(),
        created_at: Timestamp(number.created_at),
        updated_at: Timestamp(number.updated_at),
        provider_sync: sync.map(Sync::shown),
    }
}
