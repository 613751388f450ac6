//! What is left to do for an account, and what to enter in the Twilio Console.

use strowger_sdk::{Detail, DetailGroup, Facts, PublicUrls, Step};

pub(crate) fn checklist(facts: &Facts) -> Vec<Step> {
    vec![
        Step {
            key: "caller_id".to_owned(),
            title: "Add a phone number".to_owned(),
            description: "Add an active number of the account: calls over Twilio need a number to call from."
                .to_owned(),
            complete: facts.active_numbers > 0,
            blocks_outbound: true,
        },
        Step {
            key: "inbound_routing".to_owned(),
            title: "Give a number an agent".to_owned(),
            description: "Choose the agent that answers calls to a number; its webhook at Twilio is then set."
                .to_owned(),
            complete: facts.inbound_numbers > 0,
            blocks_outbound: false,
        },
    ]
}

pub(crate) fn connectivity_details(urls: &PublicUrls) -> Vec<DetailGroup> {
    vec![DetailGroup {
        title: "Webhook".to_owned(),
        description: Some(
            "Set on each number that has an agent. Only a number that belongs to a TwiML app needs it entered there."
                .to_owned(),
        ),
        details: vec![Detail {
            label: "A call comes in (HTTP POST)".to_owned(),
            value: urls.dispatcher.clone(),
        }],
    }]
}
