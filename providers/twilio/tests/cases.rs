//! The recorded cases, natively. The runtime runs the same files against the built component.

use strowger_provider_twilio::Twilio;
use strowger_sdk::testing::Cases;

#[test]
fn recorded_cases_hold() {
    let cases = Cases::<Twilio>::new()
        .calling()
        .detection()
        .numbers()
        .transfer()
        .setup();
    cases.check(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
