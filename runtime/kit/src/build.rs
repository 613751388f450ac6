//! From an author's folder to a component: the language's own compiler, then whatever it does not do itself.
//!
//! Nobody has to compile a tool. Compilers that a language's package registry has are installed into the project at the
//! version that this program was tested with; the rest (bindings for C, making a component of a module) is linked in.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wit_component::DecodedWasm;

mod c;
mod error;
mod project;
mod python;
mod rust;
mod tool;
mod typescript;

pub use error::BuildError;
pub use project::{Language, MANIFEST, Project, SDK_FOLDER};

/// What every component imports.
const TYPES: &str = "strowger:provider/types@";

/// A component that was built.
#[derive(Debug)]
pub struct Built {
    /// Where it is.
    pub file: PathBuf,
    /// Its size.
    pub size_bytes: usize,
    /// SHA-256, in hexadecimal digits.
    pub digest: String,
    /// The interfaces with functions that it imports: the `types` of the contract have none.
    pub imports: Vec<String>,
    /// The optional interfaces that it exports.
    pub abilities: Vec<String>,
}

/// Builds the project into `output`. `progress` is told what is being done, one line at a time.
///
/// # Errors
/// Says what failed, where, and how to mend it.
pub fn build(project: &Project, output: &Path, progress: &dyn Fn(&str)) -> Result<Built, BuildError> {
    let output = std::path::absolute(output).map_err(|source| BuildError::io(output, &source))?;
    match project.language {
        Language::Rust => rust::build(project, &output, progress)?,
        Language::TypeScript => typescript::build(project, &output, progress)?,
        Language::Python => python::build(project, &output, progress)?,
        Language::C => c::build(project, &output, progress)?,
    }
    let component = fs::read(&output).map_err(|source| BuildError::io(&output, &source))?;
    describe(output, &component)
}

fn describe(file: PathBuf, component: &[u8]) -> Result<Built, BuildError> {
    let (resolve, world) = match wit_component::decode(component) {
        Ok(DecodedWasm::Component(resolve, world)) => (resolve, world),
        Ok(DecodedWasm::WitPackage(..)) => return Err(BuildError::no_component(&file, "it only describes interfaces")),
        Err(error) => return Err(BuildError::no_component(&file, &format!("{error:#}"))),
    };
    let names = |keys: Vec<&wit_parser::WorldKey>| -> Vec<String> {
        keys.into_iter().map(|key| resolve.name_world_key(key)).collect()
    };
    let exports = names(resolve.worlds[world].exports.keys().collect());
    Ok(Built {
        size_bytes: component.len(),
        digest: hex::encode(Sha256::digest(component)),
        imports: names(resolve.worlds[world].imports.keys().collect())
            .into_iter()
            .filter(|name| !name.starts_with(TYPES))
            .collect(),
        abilities: crate::bindings::ABILITIES
            .into_iter()
            .filter(|ability| exports.iter().any(|name| name.contains(&format!("/{ability}@"))))
            .map(str::to_owned)
            .collect(),
        file,
    })
}
