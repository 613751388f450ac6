//! What a configuration needs at Telnyx, and what is left to do.
//!
//! <https://developers.telnyx.com/api-reference/call-control-applications/create-a-call-control-application>

use serde::Deserialize;
use serde_json::{Value, json};
use strowger_sdk::{DetailGroup, Facts, Failure, FieldValue, Io, Outcome, PublicUrls, Request, Saving, Step};

use crate::api;
use crate::numbers::WEBHOOK_API_VERSION;
use crate::spec::Config;

/// Makes an application when the user named none, whether the configuration is new or not. One that is named is left as
/// it is: adding a number points it here.
pub(crate) fn prepare(config: &Config, saving: &Saving, io: &mut Io) -> Outcome<Vec<FieldValue>> {
    #[derive(Deserialize)]
    struct Application {
        id: Value,
    }
    if config.connection_id.is_some() {
        return Ok(Vec::new());
    }
    let body = json!({
        "application_name": format!("strowger-{}", saving.unique),
        "webhook_event_url": saving.urls.dispatcher,
        "webhook_api_version": WEBHOOK_API_VERSION,
    });
    let request = Request::post(api::url(&["call_control_applications"])?).json(&body);
    let application: Application = api::data(api::send(config, request, io)?)?;
    let id = match application.id {
        Value::String(id) if !id.is_empty() => id,
        Value::Number(id) => id.to_string(),
        _ => return Err(Failure::unexpected_answer("an application without an identifier").into()),
    };
    Ok(vec![FieldValue::new("connection_id", &id)])
}

pub(crate) fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
    vec![
        Step::new(
            "call_control_app",
            "Voice API application",
            "Save the configuration to have an application made at Telnyx, or enter the Call Control App ID of one.",
            config.connection_id.is_some(),
        )
        .blocks_outbound(),
        Step::new(
            "caller_id",
            "Phone number",
            "Add a number of the Telnyx account, for calls to be placed from.",
            facts.active_numbers > 0,
        )
        .blocks_outbound(),
        Step::new(
            "webhook_public_key",
            "Webhook public key",
            "Enter the public key from Keys & Credentials in the Telnyx portal: without it no webhook is believed, so no \
             call comes in, and what becomes of calls is not heard.",
            config.webhook_public_key.is_some(),
        ),
        Step::new(
            "inbound_routing",
            "Agent for inbound calls",
            "Give a number an agent, and assign the number to the application in the Telnyx portal.",
            facts.inbound_numbers > 0,
        ),
    ]
}

pub(crate) fn connectivity_details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
    let mut group = DetailGroup::new("Voice API application in the Telnyx portal").describe(
        "The application has these settings; assign the numbers to it, and give it an outbound voice profile to place calls.",
    );
    if let Some(id) = &config.connection_id {
        group = group.detail("Call Control App ID", id);
    }
    vec![
        group
            .detail("Webhook URL", &urls.dispatcher)
            .detail("Webhook API version", WEBHOOK_API_VERSION),
    ]
}
