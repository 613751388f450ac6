//! What a person does at Asterisk, and the one name that is made here.

use serde_json::Value;
use strowger_sdk::{Detail, DetailGroup, Facts, FieldValue, Occasion, PublicUrls, Saving, Step};

use crate::spec::{Config, STASIS_APP};

/// A Stasis application has one subscriber, so each configuration gets a name of its own, once.
pub(crate) fn mint(config: &Config, saving: &Saving) -> Vec<FieldValue> {
    if saving.occasion != Occasion::Create || !config.stasis_app.is_empty() {
        return Vec::new();
    }
    vec![FieldValue {
        name: STASIS_APP.to_owned(),
        value: Value::from(format!("strowger-{}", saving.unique)).to_string(),
    }]
}

pub(crate) fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
    let step = |key: &str, title: &str, description: &str, complete: bool, blocks_outbound: bool| Step {
        key: key.to_owned(),
        title: title.to_owned(),
        description: description.to_owned(),
        complete,
        blocks_outbound,
    };
    vec![
        step(
            "ari_connection",
            "Connect to ARI",
            "Enter the ARI endpoint, user and password.",
            !config.endpoint.is_empty() && !config.user.is_empty() && !config.password.as_str().is_empty(),
            true,
        ),
        step(
            "media_client",
            "Let Asterisk open media sockets",
            "Add the section shown below to websocket_client.conf and enter its name here.",
            !config.media_client.is_empty(),
            true,
        ),
        step(
            "stasis_app",
            "Stasis application",
            "The application's name is made with the configuration; create it anew when it is missing.",
            !config.stasis_app.is_empty(),
            true,
        ),
        step(
            "inbound_routing",
            "Receive calls",
            "Hand calls over with the Stasis line shown below, and add their extension or number here with an agent.",
            facts.inbound_numbers > 0,
            false,
        ),
    ]
}

pub(crate) fn connectivity_details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
    if config.stasis_app.is_empty() {
        return Vec::new();
    }
    let group = |title: &str, description: &str, details: &[(&str, &str)]| DetailGroup {
        title: title.to_owned(),
        description: Some(description.to_owned()),
        details: details
            .iter()
            .map(|(label, value)| Detail {
                label: (*label).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
    };
    let mut client = vec![
        ("type", "websocket_client"),
        ("uri", urls.media.as_str()),
        ("protocols", "media"),
        // chan_websocket takes no other.
        ("connection_type", "per_call_config"),
    ];
    if urls.media.starts_with("wss://") {
        client.push(("tls_enabled", "yes"));
        client.push(("ca_list_file", "/etc/ssl/certs/ca-certificates.crt"));
    }
    let stasis = format!("_[+0-9]!,1,Stasis({},${{EXTEN}})", config.stasis_app);
    vec![
        group(
            &format!("websocket_client.conf: [{}]", config.media_client),
            "One line for each: name = value. Asterisk 22.6 or later, 21.11 or 20.16 with chan_websocket and res_websocket_client.",
            &client,
        ),
        group(
            &format!("ari.conf: [{}]", config.user),
            "One line for each: name = value. Switch on ARI in its [general] section and the server in http.conf with enabled = yes.",
            &[
                ("type", "user"),
                ("read_only", "no"),
                ("password", "the ARI password of this configuration"),
            ],
        ),
        group(
            "extensions.conf",
            "In the context that receives the calls. The argument of Stasis is looked up among the numbers of this configuration.",
            &[("exten", &stasis), ("same", "n,Hangup()")],
        ),
    ]
}
