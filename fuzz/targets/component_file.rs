//! Component files, all the way to a loaded provider: compiled and asked for its spec, if it comes that far.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use strowger_host::{Engine, EngineOptions, Provider};
use strowger_hostile::Guest;

fuzz_target!(|input: (bool, Vec<(u32, u8)>, &[u8])| {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    static HONEST: OnceLock<Vec<u8>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let options = EngineOptions {
            instances_max: 8,
            ..EngineOptions::default()
        };
        Engine::new(options).expect("an engine starts")
    });
    let (raw, changes, tail) = input;
    let mut bytes = if raw {
        b"\0asm\x0d\0\x01\0".to_vec()
    } else {
        HONEST.get_or_init(|| Guest::loadable().build()).clone()
    };
    // An honest one with some bytes changed gets further than what a fuzzer finds by itself.
    for (at, byte) in changes {
        let at = at as usize % bytes.len();
        bytes[at] = byte;
    }
    bytes.extend_from_slice(tail);
    if let Err(error) = Provider::load(engine, &bytes) {
        let message = error.to_string();
        assert!(!message.contains('\n') && message.len() < 4096, "{message}");
    }
});
