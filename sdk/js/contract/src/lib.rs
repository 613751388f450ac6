//! Writes the contract in TypeScript.
//!
//! [`types`] has what an author sees: an interface for each record, a union for each variant and enumeration, and the
//! functions of each interface as a component exports them. [`shapes`] has the same as data, by which recorded cases are
//! read and written. How values look in JavaScript is what componentize-qjs makes of them.

mod shapes;
mod types;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wit_parser::{Interface, Resolve};

/// A file that is written from the contract.
#[derive(Debug)]
pub struct Generated {
    pub path: PathBuf,
    pub text: String,
}

/// Writes the contract of a folder of WIT as the SDK below `sdk` has it.
///
/// # Errors
/// When the folder has no readable WIT, or uses what the SDK has no spelling for.
pub fn generate(wit: &Path, sdk: &Path) -> Result<[Generated; 2]> {
    let mut resolve = Resolve::default();
    resolve
        .push_dir(wit)
        .with_context(|| format!("reading {}", wit.display()))?;
    Ok([
        Generated {
            path: sdk.join("src/contract.ts"),
            text: types::write(&resolve)?,
        },
        Generated {
            path: sdk.join("src/testing/shapes.ts"),
            text: shapes::write(&resolve)?,
        },
    ])
}

const HEADER: &str = "// Written from the contract in wit/ by `just js-contract`; do not edit.\n";

/// The interfaces of the contract, with their names.
fn interfaces(resolve: &Resolve) -> impl Iterator<Item = (&str, &Interface)> {
    resolve
        .interfaces
        .iter()
        .filter_map(|(_, interface)| Some((interface.name.as_deref()?, interface)))
}

/// `provider-call-id` as `providerCallId`.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| text + &capital(word))
}

/// `provider-call-id` as `ProviderCallId`.
fn pascal(name: &str) -> String {
    name.split('-').map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + chars.as_str()
    })
}
