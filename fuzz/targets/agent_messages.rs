//! What agents say, in both protocols.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strowger_server::agent::fuzzing::{Spoken, decode};

fuzz_target!(|input: (bool, Vec<(bool, Vec<u8>)>)| {
    let (native, messages) = input;
    let spoken: Vec<Spoken> = messages
        .into_iter()
        .take(64)
        .map(|(text, bytes)| match String::from_utf8(bytes) {
            Ok(message) if text => Spoken::Text(message),
            Ok(message) => Spoken::Binary(message.into_bytes()),
            Err(error) => Spoken::Binary(error.into_bytes()),
        })
        .collect();
    decode(native, &spoken);
});
