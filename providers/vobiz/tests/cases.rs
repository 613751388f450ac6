//! The recorded cases, natively. The runtime runs the same files against the built component.

use strowger_provider_vobiz::Vobiz;
use strowger_sdk::testing::Cases;

#[test]
fn recorded_cases_hold() {
    let cases = Cases::<Vobiz>::new().calling().numbers().setup();
    cases.check(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
