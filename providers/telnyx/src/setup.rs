//! What a configuration needs at Telnyx, and what is left to do.
//!
//! <https://developers.telnyx.com/api-reference/call-control-applications/create-a-call-control-application>

use serde::Deserialize;
use serde_json::{Value, json};
use strowger_sdk::{Detail, DetailGroup, Facts, Failure, FieldValue, Io, Outcome, PublicUrls, Request, Saving, Step};

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
        _ => {
            let failure = Failure::unexpected_answer("an application without an identifier");
            return Err(failure.retryable().into());
        }
    };
    Ok(vec![FieldValue {
        name: "connection_id".to_owned(),
        value: json!(id).to_string(),
    }])
}

pub(crate) fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
    vec![
        Step {
            key: "call_control_app".to_owned(),
            title: "Voice API application".to_owned(),
            description:
                "Save the configuration to have an application made at Telnyx, or enter the Call Control App ID \
                          of one."
                    .to_owned(),
            complete: config.connection_id.is_some(),
            blocks_outbound: true,
        },
        Step {
            key: "caller_id".to_owned(),
            title: "Phone number".to_owned(),
            description: "Add a number of the Telnyx account, for calls to be placed from.".to_owned(),
            complete: facts.active_numbers > 0,
            blocks_outbound: true,
        },
        Step {
            key: "webhook_public_key".to_owned(),
            title: "Webhook public key".to_owned(),
            description: "Enter the public key from Keys & Credentials in the Telnyx portal: without it no webhook is \
                          believed, so no call comes in, and what becomes of calls is not heard."
                .to_owned(),
            complete: config.webhook_public_key.is_some(),
            blocks_outbound: false,
        },
        Step {
            key: "inbound_routing".to_owned(),
            title: "Agent for inbound calls".to_owned(),
            description: "Give a number an agent, and assign the number to the application in the Telnyx portal."
                .to_owned(),
            complete: facts.inbound_numbers > 0,
            blocks_outbound: false,
        },
    ]
}

pub(crate) fn connectivity_details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
    let detail = |label: &str, value: &str| Detail {
        label: label.to_owned(),
        value: value.to_owned(),
    };
    let mut details = vec![
        detail("Webhook URL", &urls.dispatcher),
        detail("Webhook API version", WEBHOOK_API_VERSION),
    ];
    if let Some(id) = &config.connection_id {
        details.insert(0, detail("Call Control App ID", id));
    }
    vec![DetailGroup {
        title: "Voice API application in the Telnyx portal".to_owned(),
        description: Some(
            "The application has these settings; assign the numbers to it, and give it an outbound voice profile to place \
             calls."
                .to_owned(),
        ),
        details,
    }]
}
