//! The examination of a component before it is compiled.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strowger_host::structure::Structure;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = Structure::read(bytes) {
        let message = error.to_string();
        assert!(!message.contains('\n') && message.len() < 4096, "{message}");
    }
});
