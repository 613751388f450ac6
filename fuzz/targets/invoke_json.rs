//! The dynamic door to a component's exports: JSON of whoever runs `strowger provider invoke`, or writes cases.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use strowger_host::{Engine, EngineOptions, Provider};
use strowger_hostile::generator;

const EXPORTS: [&str; 12] = [
    "descriptor.config-loader",
    "webhook.recognise",
    "webhook.verify-signature",
    "webhook.handle-callback",
    "answer.answer-markup",
    "answer.reject-call",
    "calling.place-call",
    "calling.hang-up",
    "media.leg",
    "media.deserialize-frame",
    "media.serialize-frame",
    "transfer.dial-destination",
];

fuzz_target!(|input: (u8, &str)| {
    static PROVIDER: OnceLock<Provider> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| {
        let options = EngineOptions {
            instances_max: 8,
            ..EngineOptions::default()
        };
        let engine = Engine::new(options).expect("an engine starts");
        Provider::load(&engine, &generator::component(&[])).expect("the honest one loads")
    });
    let (export, text) = input;
    if let Ok(json) = serde_json::from_str(text)
        && let Err(error) = provider.invoke_json(EXPORTS[usize::from(export) % EXPORTS.len()], &json)
    {
        assert!(!error.to_string().is_empty());
    }
});
