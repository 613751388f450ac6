//! The application that a configuration needs at Plivo, and what is left for a person to do.

use serde::Deserialize;
use serde_json::{Value, json};
use strowger_sdk::{DetailGroup, Facts, Failure, FieldValue, Io, Outcome, PublicUrls, Request, Saving, Step};

use crate::api;
use crate::spec::Config;

/// Makes an application unless the configuration has one, be it the user's own or that of an earlier saving. Without one
/// a configuration that exists is treated like a new one: its account has changed, or somebody emptied the field.
pub(crate) fn prepare(config: &Config, saving: &Saving, io: &mut Io) -> Outcome<Vec<FieldValue>> {
    #[derive(Deserialize)]
    struct Created {
        #[serde(default)]
        app_id: Value,
    }
    if config.application_id.is_some() {
        return Ok(Vec::new());
    }
    let dispatcher = &saving.urls.dispatcher;
    let request = Request::post(api::url(config, &["Application"])?).json(&json!({
        "app_name": format!("strowger-{}", saving.unique),
        "answer_url": dispatcher,
        "answer_method": "POST",
        "hangup_url": dispatcher,
        "hangup_method": "POST",
    }));
    let response = io.http(api::authorised(config, request))?;
    let refused = "check that the gateway's public address is one that Plivo can reach.";
    let created: Created = api::accept(response, refused)?.read_json()?;
    let id = api::identifier(&created.app_id)
        .ok_or_else(|| Failure::unexpected_answer("an application without an identifier"))?;
    Ok(vec![FieldValue::new("application_id", &id)])
}

pub(crate) fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
    vec![
        Step::new(
            "application",
            "Plivo application",
            "Save the configuration to have an application made at Plivo, or enter the ID of one of yours.",
            config.application_id.is_some(),
        ),
        Step::new(
            "caller_id",
            "Phone number",
            "Add a number of your Plivo account to call from.",
            facts.active_numbers > 0,
        )
        .blocks_outbound(),
        Step::new(
            "inbound_routing",
            "Inbound calls",
            "Choose an agent for one of the numbers, and assign the number to the application at Plivo.",
            facts.inbound_numbers > 0,
        ),
    ]
}

pub(crate) fn details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
    let Some(application_id) = config.application_id.as_deref() else {
        return Vec::new();
    };
    vec![
        DetailGroup::new("Plivo application")
            .describe("Assign your numbers to this application under Phone Numbers in the Plivo console. Its addresses are set from \
             here when a number gets an agent.")
            .detail("Application ID", application_id)
            .detail("Answer URL (POST)", &urls.dispatcher)
            .detail("Hangup URL (POST)", &urls.dispatcher),
    ]
}
