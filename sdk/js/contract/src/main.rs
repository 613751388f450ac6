//! Writes the generated files of the SDK again: `just js-contract`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in strowger_sdk_js_contract::generate(&sdk.join("../../wit"), &sdk)? {
        fs::write(&file.path, file.text).with_context(|| format!("writing {}", file.path.display()))?;
    }
    Ok(())
}
