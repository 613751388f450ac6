//! C bindings of the contract, so that nobody has to compile a generator: the same one that `wit-bindgen c` is.
//!
//! The names are shortened for those who write them all day: what `types` has begins with `st_`, and every other interface
//! with its own name, `webhook_recognise` for `exports_strowger_provider_webhook_recognise`.

use std::path::Path;

use wit_bindgen_core::Files;
use wit_component::ComponentEncoder;
use wit_parser::{Resolve, WorldId};

/// The optional interfaces of the contract.
pub const ABILITIES: [&str; 7] = [
    "calling",
    "detection",
    "events",
    "numbers",
    "setup",
    "transfer",
    "trunks",
];
const REQUIRED: [&str; 4] = ["answer", "descriptor", "media", "webhook"];
/// Of the names of `types`, and of the generated files.
const SHORT: &str = "st";
const WORLD: &str = "author";

/// One generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// `st.h`, `st.c` and `st_component_type.o`.
    pub name: String,
    /// What it contains.
    pub contents: Vec<u8>,
}

/// The bindings of a component that exports the required interfaces and these abilities, from the contract's folder.
///
/// # Errors
/// Says what is wrong with the contract's folder, or names an ability that there is none of.
pub fn c_bindings(contract: &Path, abilities: &[String]) -> Result<Vec<Generated>, String> {
    if let Some(unknown) = abilities.iter().find(|name| !ABILITIES.contains(&name.as_str())) {
        return Err(format!(
            "`{unknown}` is no ability; the abilities are {}",
            ABILITIES.join(", ")
        ));
    }
    let (mut resolve, world) = world(contract, abilities)?;
    let rename = resolve.worlds[world]
        .imports
        .keys()
        .chain(resolve.worlds[world].exports.keys())
        .map(|key| {
            let whole = resolve.name_world_key(key);
            let interface = whole.rsplit_once('/').map_or(whole.as_str(), |(_, name)| name);
            let interface = interface.split('@').next().unwrap_or_default();
            let short = if interface == "types" { SHORT } else { interface };
            (whole.clone(), short.to_owned())
        })
        .collect();
    let options = wit_bindgen_c::Opts {
        rename_world: Some(SHORT.to_owned()),
        rename,
        ..wit_bindgen_c::Opts::default()
    };
    let mut files = Files::default();
    options
        .build()
        .generate(&mut resolve, world, &mut files)
        .map_err(|error| format!("the bindings cannot be made: {error:#}"))?;
    Ok(files
        .iter()
        .map(|(name, contents)| Generated {
            name: name.to_owned(),
            contents: match std::str::from_utf8(contents) {
                Ok(code) if !name.ends_with(".o") => without_exports_prefix(code).into_bytes(),
                _ => contents.to_vec(),
            },
        })
        .collect())
}

/// The component of a core module that was compiled with [`c_bindings`].
///
/// # Errors
/// Says what the module lacks.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))
}

/// The contract, and a world with exactly what the component exports.
fn world(contract: &Path, abilities: &[String]) -> Result<(Resolve, WorldId), String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(contract)
        .map_err(|error| format!("{}: {error:#}", contract.display()))?;
    let everything = resolve
        .select_world(&[package], Some("everything"))
        .map_err(|error| format!("{}: {error:#}", contract.display()))?;
    let mut author = resolve.worlds[everything].clone();
    author.name = WORLD.to_owned();
    author.exports.retain(|key, _| {
        let name = resolve.name_world_key(key);
        REQUIRED
            .into_iter()
            .chain(abilities.iter().map(String::as_str))
            .any(|interface| name.contains(&format!("/{interface}@")))
    });
    let world = resolve.worlds.alloc(author);
    resolve.packages[package].worlds.insert(WORLD.to_owned(), world);
    Ok((resolve, world))
}

/// Takes `exports_` off the beginning of every identifier: an interface is imported or exported here, never both.
fn without_exports_prefix(code: &str) -> String {
    let is_identifier = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut short = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(begin) = rest.find(is_identifier) {
        let (before, identifier) = rest.split_at(begin);
        let end = identifier.find(|c| !is_identifier(c)).unwrap_or(identifier.len());
        let (identifier, after) = identifier.split_at(end);
        short.push_str(before);
        short.push_str(
            identifier
                .strip_prefix("exports_")
                .or_else(|| identifier.strip_prefix("EXPORTS_"))
                .unwrap_or(identifier),
        );
        rest = after;
    }
    short.push_str(rest);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
    }

    fn header(abilities: &[&str]) -> String {
        let abilities: Vec<String> = abilities.iter().map(|&name| name.to_owned()).collect();
        let files = c_bindings(&contract(), &abilities).unwrap();
        let header = files.into_iter().find(|file| file.name == "st.h").unwrap();
        String::from_utf8(header.contents).unwrap()
    }

    #[test]
    fn names_are_short_and_only_what_is_named_is_there() {
        let header = header(&["numbers"]);
        assert!(header.contains("bool webhook_recognise("));
        assert!(header.contains("bool numbers_validate_number("));
        assert!(!header.contains("calling_"));
        assert!(!header.contains("exports_"));
    }

    #[test]
    fn an_unknown_ability_is_told_with_the_known_ones() {
        let problem = c_bindings(&contract(), &["dialing".to_owned()]).unwrap_err();
        assert!(
            problem.contains("`dialing`") && problem.contains("calling"),
            "{problem}"
        );
    }

    #[test]
    fn only_the_beginning_of_an_identifier_is_taken_off() {
        assert_eq!(
            without_exports_prefix("exports_a(EXPORTS_B, __wasm_export_exports_c)"),
            "a(B, __wasm_export_exports_c)"
        );
    }
}
