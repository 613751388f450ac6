//! The account's numbers: <https://developers.telnyx.com/api-reference/phone-number-configurations/list-phone-numbers>,
//! and the application that they are assigned to:
//! <https://developers.telnyx.com/api-reference/call-control-applications/update-a-call-control-application>.

use serde::Deserialize;
use serde_json::{Value, json};
use strowger_sdk::{Failure, Io, Outcome, Ownership, Request, Response, Synchronisation, is_e164};

use crate::api;
use crate::spec::Config;

/// The version of the format that is read here; an application may have the first one.
pub(crate) const WEBHOOK_API_VERSION: &str = "2";

#[derive(Deserialize)]
struct Number {
    phone_number: String,
    /// The application or connection that gets its calls; text or a number.
    #[serde(default)]
    connection_id: Value,
}

pub(crate) fn validate(config: &Config, address: &str, io: &mut Io) -> Outcome<Ownership> {
    if !is_e164(address) {
        return Ok(Ownership::NotApplicable);
    }
    Ok(Ownership::of(find(config, address, io)?.is_some()))
}

/// One URL serves all numbers of the application. Which application a number belongs to is decided in the portal.
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
            "At Telnyx all numbers of an application share its webhook URL, so it stays as it is; assign the number to \
             another application in the Telnyx portal, or release it."
                .to_owned(),
        ));
    }
    let connection_id = config.connection_id()?;
    let Some(number) = find(config, address, io)? else {
        return Err(Failure::number_not_owned("Telnyx").into());
    };
    let changed = direct(config, connection_id, webhook_url, io)?;
    if !is(&number.connection_id, connection_id) {
        return Ok(Synchronisation::LeftAlone(
            "This number is not assigned to the Telnyx application of this configuration, so its calls do not come here \
             yet; assign it under Numbers in the Telnyx portal."
                .to_owned(),
        ));
    }
    Ok(Synchronisation::of(changed))
}

/// Points the application's webhooks here, if they are not already.
fn direct(config: &Config, connection_id: &str, webhook_url: &str, io: &mut Io) -> Outcome<bool> {
    #[derive(Deserialize)]
    struct Application {
        application_name: String,
        webhook_event_url: Option<String>,
        webhook_api_version: Option<String>,
    }
    let url = api::url(&["call_control_applications", connection_id])?;
    let application: Application = api::data(known(api::send(config, Request::get(url.clone()), io)?)?)?;
    let version = application
        .webhook_api_version
        .as_deref()
        .unwrap_or(WEBHOOK_API_VERSION);
    if application.webhook_event_url.as_deref() == Some(webhook_url) && version == WEBHOOK_API_VERSION {
        return Ok(false);
    }
    // Telnyx demands the name with every change.
    let body = json!({
        "application_name": application.application_name,
        "webhook_event_url": webhook_url,
        "webhook_api_version": WEBHOOK_API_VERSION,
    });
    let response = api::send(config, Request::patch(url).json(&body), io)?;
    api::confirmed(known(response)?)?;
    Ok(true)
}

fn find(config: &Config, address: &str, io: &mut Io) -> Outcome<Option<Number>> {
    let filter = [("filter[phone_number]", address), ("page[size]", "100")];
    let request = Request::get(api::url(&["phone_numbers"])?).query(&filter);
    let numbers: Vec<Number> = api::data(api::send(config, request, io)?)?;
    // The filter matches parts of numbers; only the number itself will do.
    Ok(numbers.into_iter().find(|number| number.phone_number == address))
}

fn known(response: Response) -> Result<Response, Failure> {
    if response.status == 404 {
        return Err(Failure::configuration(
            "application-not-found",
            "Telnyx has no Voice API application with this Call Control App ID; correct it, or empty it to have one made.",
        ));
    }
    Ok(response)
}

fn is(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => value == text,
        Value::Number(value) => value.to_string() == text,
        _ => false,
    }
}
