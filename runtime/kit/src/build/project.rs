//! An author's folder, as its `strowger.toml` describes it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use super::BuildError;

/// Says what a folder is a provider of.
pub const MANIFEST: &str = "strowger.toml";
/// Where a project has the SDK and the contract that it was made with.
pub const SDK_FOLDER: &str = ".strowger";

/// What a provider is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// With `cargo`, for `wasm32-wasip2`.
    Rust,
    /// With npm's componentize-qjs, after a type check. JavaScript is TypeScript without types.
    #[serde(alias = "javascript")]
    TypeScript,
    /// With componentize-py.
    Python,
    /// With Clang, as the package `ziglang` brings it.
    C,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rust, Self::TypeScript, Self::Python, Self::C];

    /// As it is written in the manifest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::TypeScript => "typescript",
            Self::Python => "python",
            Self::C => "c",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|language| language.name() == text || (*language == Self::TypeScript && text == "javascript"))
            .ok_or_else(|| format!("the languages are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A provider that can be built.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its folder, absolute.
    pub root: PathBuf,
    /// The provider's name, which its component file has as well.
    pub name: String,
    /// What it is written in.
    pub language: Language,
    /// The optional interfaces that a provider in C exports; the other languages say it in their code.
    pub abilities: Vec<String>,
    /// The folder with `wit/` and `sdk/`, absolute.
    pub sdk: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    provider: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    language: Language,
    #[serde(default)]
    abilities: Vec<String>,
    sdk: Option<PathBuf>,
}

impl Project {
    /// Reads a folder's manifest.
    ///
    /// # Errors
    /// Says what the manifest lacks.
    pub fn open(folder: &Path) -> Result<Self, BuildError> {
        let path = folder.join(MANIFEST);
        let root = folder
            .canonicalize()
            .map_err(|source| BuildError::io(folder, &source))?;
        let text = fs::read_to_string(&path).map_err(|source| {
            BuildError::new(
                "this folder is no provider's project",
                path.display().to_string(),
                format!(
                    "run it in a project's folder, make one with `strowger provider new NAME --language {}`, or write the file: \
                     [provider] with name and language",
                    Language::ALL.map(Language::name).join("|")
                ),
            )
            .because(source.to_string())
        })?;
        let manifest: Manifest = toml::from_str(&text).map_err(|error| {
            BuildError::new(
                "the project's manifest cannot be read",
                path.display().to_string(),
                "write [provider] with name, language and, for C, abilities",
            )
            .because(error.to_string())
        })?;
        let table = manifest.provider;
        if !crate::scaffold::is_provider_name(&table.name) {
            return Err(BuildError::new(
                format!("`{}` is no provider's name", table.name),
                path.display().to_string(),
                "use lower-case letters, digits and hyphens, 1 to 32 characters",
            ));
        }
        let sdk = root.join(table.sdk.as_deref().unwrap_or(Path::new(SDK_FOLDER)));
        if !sdk.join("wit").is_dir() {
            return Err(BuildError::new(
                "the SDK that belongs to this project is not there",
                sdk.display().to_string(),
                format!(
                    "restore the folder {SDK_FOLDER}: it belongs to the project's sources, keep it under version control"
                ),
            ));
        }
        Ok(Self {
            name: table.name,
            language: table.language,
            abilities: table.abilities,
            sdk: sdk.canonicalize().map_err(|source| BuildError::io(&sdk, &source))?,
            root,
        })
    }

    /// Where the component goes unless somebody says otherwise.
    #[must_use]
    pub fn default_output(&self) -> PathBuf {
        self.root.join(format!("{}.wasm", self.name))
    }
}
