//! What carriers say to the seven providers: webhooks and media messages. Natively, without the sandbox that would catch it.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use strowger_sdk::{Call, Direction, Header, Leg as _, MediaFrame, Message, Provider, Webhook};

/// The first configuration among the provider's own cases that it accepts.
fn config<P: Provider>() -> P::Config {
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

fn hear<P: Provider>(config: &P::Config, webhook: &Webhook, messages: &[(bool, Vec<u8>)]) {
    let _ = P::recognise(webhook);
    let _ = P::verify_signature(config, webhook);
    let mut leg = P::Leg::open(config, &call());
    for (text, bytes) in messages.iter().take(16) {
        let message = match std::str::from_utf8(bytes) {
            Ok(message) if *text => Message::Text(message.to_owned()),
            _ => Message::Binary(bytes.clone()),
        };
        let events = leg.deserialize_frame(message);
        assert!(events.len() <= 64);
        let _ = leg.serialize_frame(MediaFrame::Audio(vec![0; 160]));
    }
}

fn call() -> Call {
    Call {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192".to_owned(),
        provider_call_id: None,
        direction: Direction::Inbound,
        caller: "+14155550100".to_owned(),
        callee: "+14155550199".to_owned(),
        routes: vec![],
        attachment: None,
    }
}

macro_rules! each {
    ($which:expr, $webhook:expr, $messages:expr, $($number:literal => $provider:ty),+) => {
        match $which % 7 {
            $($number => {
                static CONFIG: OnceLock<<$provider as Provider>::Config> = OnceLock::new();
                hear::<$provider>(CONFIG.get_or_init(config::<$provider>), $webhook, $messages);
            })+
            _ => {}
        }
    };
}

fuzz_target!(
    |input: (u8, bool, &str, Vec<(&str, &str)>, &[u8], Vec<(bool, Vec<u8>)>)| {
        let (which, post, query, headers, body, messages) = input;
        let webhook = Webhook {
            method: if post { "POST" } else { "GET" }.to_owned(),
            url: format!("https://gateway.example/api/v1/telephony/inbound/run{query}"),
            headers: headers
                .into_iter()
                .take(64)
                .map(|(name, value)| Header {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .collect(),
            body: body.to_vec(),
            received_at: 1_763_800_000_000,
        };
        each!(which, &webhook, &messages,
        0 => strowger_provider_ari::Ari,
        1 => strowger_provider_cloudonix::Cloudonix,
        2 => strowger_provider_plivo::Plivo,
        3 => strowger_provider_telnyx::Telnyx,
        4 => strowger_provider_twilio::Twilio,
        5 => strowger_provider_vobiz::Vobiz,
        6 => strowger_provider_vonage::Vonage);
    }
);
