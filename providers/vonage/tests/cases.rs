//! The recorded cases, natively. The runtime runs the same files against the built component.

use strowger_provider_vonage::Vonage;
use strowger_sdk::testing::Cases;

#[test]
fn recorded_cases_hold() {
    let cases = Cases::<Vonage>::new().calling().numbers().setup();
    cases.check(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
