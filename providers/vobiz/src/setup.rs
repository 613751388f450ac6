//! The application that a configuration needs at Vobiz, and what is left for a person to do.

use serde_json::{Value, json};
use strowger_sdk::{DetailGroup, Facts, Failure, FieldValue, Io, Outcome, PublicUrls, Request, Saving, Step};

use crate::api;
use crate::spec::Config;

/// Makes an application unless the configuration has one, be it the user's own or that of an earlier saving. Without one
/// a configuration that exists is treated like a new one: its account has changed, or somebody emptied the field.
pub(crate) fn prepare(config: &Config, saving: &Saving, io: &mut Io) -> Outcome<Vec<FieldValue>> {
    if config.application_id.is_some() {
        return Ok(Vec::new());
    }
    let dispatcher = &saving.urls.dispatcher;
    let request = Request::post(api::url_slash(config, &["Application"])?).json(&json!({
        "app_name": format!("strowger-{}", saving.unique),
        "answer_url": dispatcher,
        "answer_method": "POST",
        "hangup_url": dispatcher,
        "hangup_method": "POST",
    }));
    let response = io.http(api::authorised(config, request))?;
    let refused = "check that the gateway's public address is one that Vobiz can reach.";
    let created: Value = api::accept(response, refused)?.read_json()?;
    let id = created
        .get("app_id")
        .and_then(api::text)
        .ok_or_else(|| Failure::unexpected_answer("an application without an identifier"))?;
    Ok(vec![FieldValue::new("application_id", &id)])
}

pub(crate) fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
    vec![
        Step::new(
            "application",
            "Vobiz application",
            "Save the configuration to have an application made at Vobiz, or enter the ID of one of yours.",
            config.application_id.is_some(),
        ),
        Step::new(
            "caller_id",
            "Phone number",
            "Add a number of your Vobiz account to call from.",
            facts.active_numbers > 0,
        )
        .blocks_outbound(),
        Step::new(
            "inbound_routing",
            "Inbound calls",
            "Choose an agent for one of the numbers; it is then attached to the application at Vobiz.",
            facts.inbound_numbers > 0,
        ),
    ]
}

pub(crate) fn details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
    let Some(application_id) = config.application_id.as_deref() else {
        return Vec::new();
    };
    vec![
        DetailGroup::new("Vobiz application")
            .describe("Numbers are attached to this application, and its addresses are set, from here when a number gets an agent.")
            .detail("Application ID", application_id)
            .detail("Answer URL (POST)", &urls.dispatcher)
            .detail("Hangup URL (POST)", &urls.dispatcher),
    ]
}
