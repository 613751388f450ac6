//! What is left to do before calls work, and what a person may enter at Vonage.

use strowger_sdk::{Detail, DetailGroup, Facts, PublicUrls, Step};

use crate::spec::Config;

pub(crate) fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
    vec![
        step(
            "signature_secret",
            "Signature Secret",
            "Enter the Signature Secret from the Vonage Dashboard: without it no webhook can be verified, and no call is \
             connected.",
            config.signature_secret.is_some(),
            true,
        ),
        step(
            "caller_id",
            "Caller ID",
            "Add a number of the Vonage account, for outbound calls to come from.",
            facts.active_numbers > 0,
            true,
        ),
        step(
            "inbound_routing",
            "Inbound calls",
            "Give a number an agent, to have incoming calls answered.",
            facts.inbound_numbers > 0,
            false,
        ),
    ]
}

/// The gateway enters these itself when a number gets an agent.
pub(crate) fn connectivity_details(urls: &PublicUrls) -> Vec<DetailGroup> {
    let detail = |label: &str, value: &str| Detail {
        label: label.to_owned(),
        value: value.to_owned(),
    };
    vec![DetailGroup {
        title: "Vonage application, capability Voice".to_owned(),
        description: Some(
            "Entered by the gateway when a number gets an agent; all numbers of the application share them.".to_owned(),
        ),
        details: vec![
            detail("Answer URL (POST)", &urls.dispatcher),
            detail("Event URL (POST)", &urls.dispatcher),
            detail("Use signed webhooks", "on"),
        ],
    }]
}

fn step(key: &str, title: &str, description: &str, complete: bool, blocks_outbound: bool) -> Step {
    Step {
        key: key.to_owned(),
        title: title.to_owned(),
        description: description.to_owned(),
        complete,
        blocks_outbound,
    }
}
