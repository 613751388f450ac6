//! The account's numbers, and the application that they share.
//!
//! <https://docs.plivo.com/docs/numbers/api/account-phone-number> and <https://docs.plivo.com/docs/account/api/application>.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use strowger_sdk::{Failure, Io, Outcome, Ownership, Request, Synchronisation, is_e164};

use crate::api::{self, dialled};
use crate::spec::Config;

#[derive(Deserialize)]
struct Number {
    /// `/v1/Account/…/Application/20468599130939380/`
    application: Option<String>,
}

#[derive(Deserialize)]
struct Application {
    answer_url: Option<String>,
    answer_method: Option<String>,
    hangup_url: Option<String>,
}

pub(crate) fn validate(config: &Config, address: &str, io: &mut Io) -> Outcome<Ownership> {
    if !is_e164(address) {
        return Ok(Ownership::NotApplicable);
    }
    Ok(Ownership::of(find(config, address, io)?.is_some()))
}

pub(crate) fn configure_inbound(
    config: &Config,
    address: &str,
    webhook_url: &str,
    attach: bool,
    io: &mut Io,
) -> Outcome<Synchronisation> {
    if !is_e164(address) {
        return Ok(Synchronisation::Unchanged);
    }
    if !attach {
        return Ok(Synchronisation::LeftAlone(
            "All numbers of a Plivo application share its answer URL, so it stays as it is; to send this number's calls \
             elsewhere, assign the number to another application in the Plivo console."
                .to_owned(),
        ));
    }
    let Some(application_id) = config.application_id.as_deref() else {
        return Err(Failure::configuration(
            "application-missing",
            "The configuration has no Plivo application; save it again to have one made, or enter an Application ID.",
        )
        .into());
    };
    let Some(number) = find(config, address, io)? else {
        return Err(Failure::number_not_owned("Plivo").into());
    };
    let assigned = number
        .application
        .as_deref()
        .map(last_segment)
        .filter(|id| !id.is_empty());
    if assigned.is_some_and(|id| id != application_id) {
        return Ok(Synchronisation::LeftAlone(format!(
            "At Plivo this number belongs to another application, which decides where its calls go; assign it to the \
             application {application_id} in the Plivo console."
        )));
    }

    let changed = point_application(config, application_id, webhook_url, io)?;
    // A number without an application rings nowhere; nobody else is concerned when it gets ours.
    if assigned.is_none() {
        let url = api::url(config, &["Number", dialled(address)])?;
        let request = Request::post(url).json(&json!({ "app_id": application_id }));
        let response = io.http(api::authorised(config, request))?;
        api::confirm(response, "assign the number to the application in the Plivo console.")?;
        return Ok(Synchronisation::Done);
    }
    Ok(Synchronisation::of(changed))
}

/// Whether anything had to be changed.
fn point_application(config: &Config, application_id: &str, webhook_url: &str, io: &mut Io) -> Outcome<bool> {
    let url = api::url(config, &["Application", application_id])?;
    let response = io.http(api::authorised(config, Request::get(url.as_str())))?;
    if response.status == 404 {
        return Err(Failure::configuration(
            "application-not-found",
            "The Plivo account does not have the application of this configuration; correct the Application ID, or empty \
             it to have one made.",
        )
        .into());
    }
    let application: Application = api::accept(response, "check the Application ID.")?.read_json()?;

    let mut wanted = Map::new();
    let current = application.answer_url.unwrap_or_default();
    let posts = application.answer_method.as_deref() == Some("POST");
    if current != webhook_url || !posts {
        wanted.insert("answer_url".to_owned(), webhook_url.into());
        wanted.insert("answer_method".to_owned(), "POST".into());
    }
    // The end of an inbound call is told only to the application's hang-up URL. It goes to the same place as the call,
    // unless somebody has pointed it elsewhere: what they watch there is not ours to take away.
    let told = application.hangup_url.unwrap_or_default();
    if told != webhook_url && (told.is_empty() || told == current) {
        wanted.insert("hangup_url".to_owned(), webhook_url.into());
        wanted.insert("hangup_method".to_owned(), "POST".into());
    }
    if wanted.is_empty() {
        return Ok(false);
    }
    let request = Request::post(url).json(&Value::Object(wanted));
    let response = io.http(api::authorised(config, request))?;
    api::confirm(
        response,
        "check that the gateway's public address is one that Plivo can reach.",
    )?;
    Ok(true)
}

fn find(config: &Config, address: &str, io: &mut Io) -> Outcome<Option<Number>> {
    let request = Request::get(api::url(config, &["Number", dialled(address)])?);
    let response = io.http(api::authorised(config, request))?;
    if response.status == 404 {
        return Ok(None);
    }
    Ok(Some(api::accept(response, "check the number.")?.read_json()?))
}

fn last_segment(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}
