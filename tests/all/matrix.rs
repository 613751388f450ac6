//! Bad input, over all carriers: the same questions to each component in the folder, with the carrier's own simulator as the
//! other side. A carrier that is added is asked without a line here, save where its proof has to be described
//! ([`proofs`]) or its documentation is quoted (`documented/`).

mod bench;
mod corpus;
mod faults;
mod gateway;
mod identifiers;
mod operations;
mod proofs;
mod recognition;
mod rejections;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use strowger_host::operation::Moment;
use strowger_host::{Credentials, Header, Provider, Webhook};
use strowger_simulator::carrier::WebhookRequest;
use strowger_simulator::{Carrier, carriers};

use crate::harness;

/// How many carriers there are.
const CARRIERS: usize = 7;
/// A telephone without a carrier behind it, which a simulated carrier could not play: `crate::browser` asks it the same.
const NO_CARRIERS: [&str; 1] = ["browser"];
/// Where the gateway is reached, as carriers see it.
const GATEWAY: &str = "https://gateway.example";
const DISPATCHER: &str = "https://gateway.example/api/v1/telephony/inbound/run";

/// A built component, and the carrier that it is for.
#[derive(Debug, Clone)]
struct Subject {
    carrier: &'static dyn Carrier,
    provider: Provider,
}

impl Subject {
    fn name(&self) -> &str {
        self.provider.name()
    }

    /// The account that the simulated carrier has, with some fields replaced. A field that becomes `null` is not entered.
    fn credentials(&self, changed: &Value) -> Credentials {
        let mut entered = self.carrier.credentials();
        for (field, value) in changed.as_object().into_iter().flatten() {
            entered[field] = value.clone();
        }
        strowger_tests::credentials(&self.provider, &entered)
    }

    /// Base of the provider's own routes.
    fn base(&self) -> String {
        format!("{GATEWAY}/api/v1/telephony/{}", self.name())
    }
}

/// The components in the folder of providers, by name.
fn components() -> Vec<String> {
    let files = std::fs::read_dir(harness::providers()).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn subjects() -> Vec<Subject> {
    let built = components();
    carriers()
        .iter()
        .filter(|carrier| built.iter().any(|name| name == carrier.name()))
        .map(|&carrier| Subject {
            carrier,
            provider: strowger_tests::provider(carrier.name()),
        })
        .collect()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn moment() -> Moment {
    Moment::at(now_ms())
}

/// A webhook as it arrives at the gateway, now.
fn arrived(request: WebhookRequest) -> Webhook {
    Webhook {
        method: request.method,
        url: request.url,
        headers: request
            .headers
            .into_iter()
            .map(|(name, value)| Header { name, value })
            .collect(),
        body: request.body,
        received_at: now_ms(),
    }
}

/// Nothing is left out of this matrix.
#[test]
fn every_component_has_a_simulated_carrier_and_there_are_seven() {
    let simulated: Vec<&str> = carriers().iter().map(|carrier| carrier.name()).collect();
    let mut built = components();
    built.retain(|name| !NO_CARRIERS.contains(&name.as_str()));
    assert_eq!(built, simulated);
    assert_eq!(simulated.len(), CARRIERS);
}
