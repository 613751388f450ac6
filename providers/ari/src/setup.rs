//! What a person does at Asterisk, and the one name that is made here.

use strowger_sdk::{DetailGroup, Facts, FieldValue, Occasion, PublicUrls, Saving, Step};

use crate::spec::{Config, STASIS_APP};

/// A Stasis application has one subscriber, so each configuration gets a name of its own, once.
pub(crate) fn mint(config: &Config, saving: &Saving) -> Vec<FieldValue> {
    if saving.occasion != Occasion::Create || !config.stasis_app.is_empty() {
        return Vec::new();
    }
    vec![FieldValue::new(STASIS_APP, &format!("strowger-{}", saving.unique))]
}

pub(crate) fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
    vec![
        Step::new(
            "ari_connection",
            "Connect to ARI",
            "Enter the ARI endpoint, user and password.",
            !config.endpoint.is_empty() && !config.user.is_empty() && !config.password.as_str().is_empty(),
        )
        .blocks_outbound(),
        Step::new(
            "media_client",
            "Let Asterisk open media sockets",
            "Add the section shown below to websocket_client.conf and enter its name here.",
            !config.media_client.is_empty(),
        )
        .blocks_outbound(),
        Step::new(
            "stasis_app",
            "Stasis application",
            "The application's name is made with the configuration; create it anew when it is missing.",
            !config.stasis_app.is_empty(),
        )
        .blocks_outbound(),
        Step::new(
            "inbound_routing",
            "Receive calls",
            "Hand calls over with the Stasis line shown below, and add their extension or number here with an agent.",
            facts.inbound_numbers > 0,
        ),
    ]
}

pub(crate) fn connectivity_details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
    if config.stasis_app.is_empty() {
        return Vec::new();
    }
    let mut client = DetailGroup::new(format!("websocket_client.conf: [{}]", config.media_client))
        .describe(
            "One line for each: name = value. Asterisk 22.6 or later, 21.11 or 20.16 with chan_websocket and \
             res_websocket_client.",
        )
        .detail("type", "websocket_client")
        .detail("uri", &urls.media)
        .detail("protocols", "media")
        // chan_websocket takes no other.
        .detail("connection_type", "per_call_config");
    if urls.media.starts_with("wss://") {
        client = client
            .detail("tls_enabled", "yes")
            .detail("ca_list_file", "/etc/ssl/certs/ca-certificates.crt");
    }
    let user = DetailGroup::new(format!("ari.conf: [{}]", config.user))
        .describe(
            "One line for each: name = value. Switch on ARI in its [general] section and the server in http.conf with \
             enabled = yes.",
        )
        .detail("type", "user")
        .detail("read_only", "no")
        .detail("password", "the ARI password of this configuration");
    let dialplan = DetailGroup::new("extensions.conf")
        .describe(
            "In the context that receives the calls. The argument of Stasis is looked up among the numbers of this \
             configuration.",
        )
        .detail("exten", format!("_[+0-9]!,1,Stasis({},${{EXTEN}})", config.stasis_app))
        .detail("same", "n,Hangup()");
    vec![client, user, dialplan]
}
