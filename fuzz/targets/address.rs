//! Addresses as carriers write them: E.164, SIP URIs, extensions, national forms with a country's hint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strowger_call::{Address, Country, E164};

fuzz_target!(|input: (&str, &str)| {
    let (text, country) = input;
    let hint = Country::parse(country).ok();
    if let Ok(address) = Address::parse(text, hint) {
        let again = Address::parse(address.expose(), None).expect("an address is its own spelling");
        assert_eq!(again.expose(), address.expose());
        // Whoever prints it: it is a number of somebody.
        if address.expose().len() > 6 {
            assert!(!format!("{address:?}").contains(address.expose()));
        }
    }
    if let Ok(number) = E164::parse(text) {
        assert!(number.expose().starts_with('+') && number.expose().len() <= 16);
    }
});
