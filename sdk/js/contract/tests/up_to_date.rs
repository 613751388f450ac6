//! The generated files of the SDK are those of the contract.

use std::fs;
use std::path::Path;

#[test]
fn the_generated_files_are_up_to_date() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in strowger_sdk_js_contract::generate(&sdk.join("../../wit"), &sdk).unwrap() {
        let written = fs::read_to_string(&file.path).unwrap();
        assert!(
            written == file.text,
            "{} is not what the contract says: run `just js-contract`",
            file.path.display()
        );
    }
}
