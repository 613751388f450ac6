//! Addresses as carriers write them: E.164, SIP URIs, extensions, national forms with a country's hint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strowger_call::{Address, Country, E164};

fuzz_target!(|input: (&str, &str)| {
    let (text, country) = input;
    let hint = Country::parse(country).ok();
    if let Ok(address) = Address::parse(text, hint) {
        for hint in [None, hint] {
            let again = Address::parse(address.expose(), hint).expect("an address is its own spelling");
            assert_eq!(again.expose(), address.expose());
        }
        // Too few for a number of somebody: its last two, or those in the name of a host.
        let shown = format!("{address:?}").chars().filter(char::is_ascii_digit).count();
        assert!(shown < 7, "{address:?}");
    }
    if let Ok(number) = E164::parse(text) {
        assert!(number.expose().starts_with('+') && number.expose().len() <= 16);
    }
});
