//! The providers that are loaded: name to component, immutable.
//!
//! Registering the same artefact again is a no-op; another artefact under a live name is a new version, and is refused until
//! somebody adopts it. A call keeps the [`Provider`] it started with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use strowger_host::{Engine, LoadError, Provider};
use thiserror::Error;

/// Why a provider was not registered.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// The name is taken by another artefact.
    #[error(
        "`{name}` is already registered with digest {live}; {offered} is another version of it. Remove one of the two files, \
         and restart to adopt the one that stays"
    )]
    NameTaken {
        /// The provider's name.
        name: String,
        /// Digest that is live.
        live: String,
        /// Digest that was offered.
        offered: String,
    },
    /// The file is not a provider.
    #[error("{}: {cause}", file.display())]
    Load {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it; told with the rest, because a list of these has a line for each.
        cause: LoadError,
    },
    /// The file or folder cannot be read.
    #[error("cannot read {}: {cause}. Name a folder of provider components with --providers", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
}

/// What came of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// The provider is new.
    Added,
    /// The same artefact was there.
    Unchanged,
}

/// The registry. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    providers: Arc<RwLock<BTreeMap<String, Provider>>>,
}

impl Registry {
    /// Registers a loaded provider.
    ///
    /// # Errors
    /// When its name belongs to another artefact.
    pub fn register(&self, provider: Provider) -> Result<Registered, RegisterError> {
        let mut providers = self.providers.write().unwrap_or_else(PoisonError::into_inner);
        match providers.get(provider.name()) {
            None => {
                providers.insert(provider.name().to_owned(), provider);
                Ok(Registered::Added)
            }
            Some(live) if live.digest() == provider.digest() => Ok(Registered::Unchanged),
            Some(live) => Err(RegisterError::NameTaken {
                name: provider.name().to_owned(),
                live: live.digest().to_owned(),
                offered: provider.digest().to_owned(),
            }),
        }
    }

    /// Loads every `*.wasm` file of a folder, in the order of their names. What cannot be loaded is returned, each with its
    /// reason; the others are registered.
    ///
    /// # Errors
    /// When the folder itself cannot be read.
    pub fn load_folder(&self, engine: &Engine, folder: &Path) -> Result<Vec<RegisterError>, RegisterError> {
        let read = |cause| RegisterError::Read {
            path: folder.to_owned(),
            cause,
        };
        let mut files = std::fs::read_dir(folder)
            .map_err(read)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(read)?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "wasm"));
        files.sort();
        Ok(files
            .iter()
            .filter_map(|file| self.load_file(engine, file).err())
            .collect())
    }

    fn load_file(&self, engine: &Engine, file: &Path) -> Result<Registered, RegisterError> {
        let bytes = std::fs::read(file).map_err(|cause| RegisterError::Read {
            path: file.to_owned(),
            cause,
        })?;
        let provider = Provider::load(engine, &bytes).map_err(|cause| RegisterError::Load {
            file: file.to_owned(),
            cause,
        })?;
        self.register(provider)
    }

    /// The provider of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Provider> {
        self.providers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// All providers, sorted by name: the order in which they are asked whether a webhook is theirs.
    #[must_use]
    pub fn providers(&self) -> Vec<Provider> {
        self.providers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }
}
