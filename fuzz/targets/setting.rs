//! A configuration and a call, for the targets in which a carrier speaks to its provider.

use serde_json::Value;
use strowger_sdk::{Call, Direction, Header, Provider, RouteUrl, Webhook};

/// When everything happens, in ms since 1970.
pub(crate) const NOW_MS: u64 = 1_763_800_000_000;

/// The first configuration among the provider's own cases that it accepts.
pub(crate) fn config<P: Provider>() -> P::Config {
    let name = P::spec().name;
    let path = format!(
        "{}/../providers/{name}/cases/descriptor.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    cases
        .into_iter()
        .filter(|case| case["export"] == "descriptor.config-loader")
        .find_map(|case| P::config_loader(case["input"]["credentials"].clone()).ok())
        .unwrap_or_else(|| panic!("{path} has no configuration that the provider accepts"))
}

/// A call with an address for each of the provider's routes.
pub(crate) fn call<P: Provider>() -> Call {
    let route = |name: String| RouteUrl {
        url: format!("https://gateway.example/callback/{name}"),
        name,
    };
    Call {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192".to_owned(),
        provider_call_id: Some("a1b2c3".to_owned()),
        direction: Direction::Inbound,
        caller: "+14155550100".to_owned(),
        callee: "+14155550199".to_owned(),
        routes: P::spec().routes.into_iter().map(|known| route(known.name)).collect(),
        attachment: None,
    }
}

/// What a carrier posted.
pub(crate) fn webhook(method: &str, url: String, headers: Vec<(&str, &str)>, body: &[u8]) -> Webhook {
    let header = |(name, value): (&str, &str)| Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    Webhook {
        method: method.to_owned(),
        url,
        headers: headers.into_iter().take(64).map(header).collect(),
        body: body.to_vec(),
        received_at: NOW_MS,
    }
}
