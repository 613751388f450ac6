//! The account's numbers and the application that takes their calls: <https://developer.vonage.com/en/api/numbers>,
//! <https://developer.vonage.com/en/api/application.v2>.
//!
//! A number belongs to an application, and the application has the webhooks, for all its numbers alike.

use serde::Deserialize;
use serde_json::{Map, Value};
use strowger_sdk::{Failure, Io, Outcome, Ownership, Request, Synchronisation, is_e164};

use crate::api;
use crate::spec::Config;

const SHARED: &str = "At Vonage all numbers of an application share its webhooks, so they were left as they are; unlink \
                      the number from the application in the Vonage Dashboard if its calls are to go elsewhere.";

/// What decides where a number's calls go.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnedNumber {
    country: String,
    #[serde(alias = "number")]
    msisdn: String,
    #[serde(rename = "app_id")]
    application_id: Option<String>,
    voice_callback_type: Option<String>,
    /// Where the number's messages go.
    mo_http_url: Option<String>,
}

pub(crate) fn validate(config: &Config, address: &str, io: &mut Io) -> Outcome<Ownership> {
    let Some(number) = digits(address) else {
        return Ok(Ownership::NotApplicable);
    };
    Ok(Ownership::of(find(config, number, io)?.is_some()))
}

pub(crate) fn configure_inbound(
    config: &Config,
    address: &str,
    webhook_url: &str,
    attach: bool,
    io: &mut Io,
) -> Outcome<Synchronisation> {
    let Some(number) = digits(address) else {
        return Ok(Synchronisation::Unchanged);
    };
    if !attach {
        return Ok(Synchronisation::LeftAlone(SHARED.to_owned()));
    }
    if config.signature_secret.is_none() {
        return Err(Failure::configuration(
            "signature-secret-missing",
            "Enter the Signature Secret first: without it the webhooks of incoming calls cannot be verified.",
        )
        .into());
    }
    let number = find(config, number, io)?.ok_or_else(|| Failure::number_not_owned("Vonage"))?;

    // Vonage does not look at the application in these cases; changing it would look like success.
    let forwarded = matches!(number.voice_callback_type.as_deref(), Some("sip" | "tel" | "vxml"));
    let application_id = number.application_id.as_deref().filter(|id| !id.is_empty());
    let linked = application_id.is_some_and(|id| id.eq_ignore_ascii_case(&config.application_id));
    if forwarded {
        return Ok(Synchronisation::LeftAlone(
            "At Vonage this number's calls are forwarded to a telephone or a SIP address; remove that in the Vonage \
             Dashboard first."
                .to_owned(),
        ));
    }
    if application_id.is_some() && !linked {
        return Ok(Synchronisation::LeftAlone(
            "At Vonage this number belongs to another application, which decides where its calls go; unlink it in the \
             Vonage Dashboard first."
                .to_owned(),
        ));
    }

    let directed = direct_application(config, webhook_url, io)?;
    if !linked {
        link(config, &number, io)?;
    }
    Ok(Synchronisation::of(directed || !linked))
}

/// A number as Vonage writes it, without the plus sign. SIP addresses and extensions are
/// not numbers of the account.
pub(crate) fn digits(address: &str) -> Option<&str> {
    address.strip_prefix('+').filter(|_| is_e164(address))
}

fn find(config: &Config, number: &str, io: &mut Io) -> Outcome<Option<OwnedNumber>> {
    /// Without a match Vonage leaves the list out.
    #[derive(Deserialize)]
    struct Page {
        #[serde(default)]
        numbers: Vec<OwnedNumber>,
    }
    let request = Request::get(api::numbers_url("account/numbers")).query(&[
        ("pattern", number),
        ("search_pattern", "0"),
        ("size", "100"),
    ]);
    let response = api::accept(io.http(api::as_account(config, request))?, api::ACCOUNT)?;
    let page: Page = response.read_json()?;
    // The filter matches beginnings; only the number itself will do.
    Ok(page
        .numbers
        .into_iter()
        .find(|owned| owned.msisdn.trim_start_matches('+') == number))
}

/// Points the application's webhooks at `webhook_url`; false when they were. The whole application is written, so all that
/// it has goes back as it came.
fn direct_application(config: &Config, webhook_url: &str, io: &mut Io) -> Outcome<bool> {
    let url = api::application_url(config)?;
    let response = io.http(api::as_account(config, Request::get(&url)))?;
    if response.status == 404 {
        return Err(no_application().into());
    }
    let current: Map<String, Value> = api::accept(response, api::ACCOUNT)?.read_json()?;
    let mut wanted = current.clone();
    direct(&mut wanted, webhook_url)?;
    if wanted == current {
        return Ok(false);
    }
    // These two are Vonage's.
    wanted.remove("id");
    wanted.remove("_links");
    let response = io.http(api::as_account(config, Request::put(url).json(&wanted)))?;
    if response.status == 404 {
        return Err(no_application().into());
    }
    api::accept(response, api::ACCOUNT)?.confirmed()?;
    Ok(true)
}

fn direct(application: &mut Map<String, Value>, webhook_url: &str) -> Result<(), Failure> {
    let voice = member(member(application, "capabilities")?, "voice")?;
    voice.insert("signed_callbacks".to_owned(), Value::Bool(true));
    let webhooks = member(voice, "webhooks")?;
    // Calls and events go to the same place: an event is told from a call by what it says.
    for name in ["answer_url", "event_url"] {
        let webhook = member(webhooks, name)?;
        webhook.insert("address".to_owned(), Value::from(webhook_url));
        webhook.insert("http_method".to_owned(), Value::from("POST"));
    }
    Ok(())
}

/// The object below, made if it is not there.
fn member<'a>(object: &'a mut Map<String, Value>, name: &str) -> Result<&'a mut Map<String, Value>, Failure> {
    let value = object.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value
        .as_object_mut()
        .ok_or_else(|| Failure::unexpected_answer("an application of another shape"))
}

/// Gives the number to the application.
fn link(config: &Config, number: &OwnedNumber, io: &mut Io) -> Outcome<()> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "error-code")]
        error_code: Option<String>,
    }
    let mut form = vec![
        ("country", number.country.as_str()),
        ("msisdn", number.msisdn.as_str()),
        ("app_id", &config.application_id),
    ];
    // Vonage does not say whether what is left out of an update stays.
    if let Some(url) = number.mo_http_url.as_deref().filter(|url| !url.is_empty()) {
        form.push(("moHttpUrl", url));
    }
    let request = Request::post(api::numbers_url("number/update")).form(&form);
    let response = api::accept(io.http(api::as_account(config, request))?, api::ACCOUNT)?;
    let answer: Answer = response.read_json()?;
    if answer.error_code.is_some_and(|code| code != "200") {
        return Err(Failure::request(
            "number-not-linked",
            "Vonage did not link the number to the application; link it in the Vonage Dashboard.",
        )
        .into());
    }
    Ok(())
}

fn no_application() -> Failure {
    Failure::configuration(
        "application-not-found",
        "The Vonage account has no application with this Application ID; check it in the configuration.",
    )
}
