//! What is left to do before calls work, and what a person may enter at Vonage.

use strowger_sdk::{DetailGroup, Facts, PublicUrls, Step};

use crate::spec::Config;

pub(crate) fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
    vec![
        Step::new(
            "signature_secret",
            "Signature Secret",
            "Enter the Signature Secret from the Vonage Dashboard: without it no webhook can be verified, and no call is \
             connected.",
            config.signature_secret.is_some(),
        )
        .blocks_outbound(),
        Step::new(
            "caller_id",
            "Caller ID",
            "Add a number of the Vonage account, for outbound calls to come from.",
            facts.active_numbers > 0,
        )
        .blocks_outbound(),
        Step::new(
            "inbound_routing",
            "Inbound calls",
            "Give a number an agent, to have incoming calls answered.",
            facts.inbound_numbers > 0,
        ),
    ]
}

/// The gateway enters these itself when a number gets an agent.
pub(crate) fn connectivity_details(urls: &PublicUrls) -> Vec<DetailGroup> {
    vec![
        DetailGroup::new("Vonage application, capability Voice")
            .describe("Entered by the gateway when a number gets an agent; all numbers of the application share them.")
            .detail("Answer URL (POST)", &urls.dispatcher)
            .detail("Event URL (POST)", &urls.dispatcher)
            .detail("Use signed webhooks", "on"),
    ]
}
