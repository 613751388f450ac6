//! Recordings of invocations, which come from other installations with a report of a defect.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use strowger_host::recording::Recording;
use strowger_host::{Engine, EngineOptions, Provider, replay};
use strowger_hostile::generator;

fuzz_target!(|bytes: &[u8]| {
    static PROVIDER: OnceLock<Provider> = OnceLock::new();
    let Ok(recording) = Recording::read(bytes) else { return };
    let provider = PROVIDER.get_or_init(|| {
        let options = EngineOptions {
            instances_max: 8,
            ..EngineOptions::default()
        };
        let engine = Engine::new(options).expect("an engine starts");
        Provider::load(&engine, &generator::component(&[])).expect("the honest one loads")
    });
    let _ = replay::replay(provider, &recording);
});
