//! Writes the reference of the contract: `provider-reference CONTRACT PAGE`.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [contract, page] = arguments.as_slice() else {
        return Err("usage: provider-reference CONTRACT PAGE".into());
    };
    let text = strowger_kit::reference::markdown(Path::new(contract))?;
    Ok(std::fs::write(page, text)?)
}
