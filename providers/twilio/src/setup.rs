//! What is left to do for an account, and what to enter in the Twilio Console.

use strowger_sdk::{DetailGroup, Facts, PublicUrls, Step};

pub(crate) fn checklist(facts: &Facts) -> Vec<Step> {
    vec![
        Step::new(
            "caller_id",
            "Add a phone number",
            "Add an active number of the account: calls over Twilio need a number to call from.",
            facts.active_numbers > 0,
        )
        .blocks_outbound(),
        Step::new(
            "inbound_routing",
            "Give a number an agent",
            "Choose the agent that answers calls to a number; its webhook at Twilio is then set.",
            facts.inbound_numbers > 0,
        ),
    ]
}

pub(crate) fn connectivity_details(urls: &PublicUrls) -> Vec<DetailGroup> {
    let group = DetailGroup::new("Webhook").describe(
        "Set on each number that has an agent. Only a number that belongs to a TwiML app needs it entered there.",
    );
    vec![group.detail("A call comes in (HTTP POST)", &urls.dispatcher)]
}
