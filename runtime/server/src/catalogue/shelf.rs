//! The operator's own shelf: folders of components (`--providers`) that are looked through at every start.
//!
//! What is on it under a name that is new is installed and takes calls at once, with all its hosts: the operator has put it
//! there. Another version under a known name is installed and waits, because calls would change without anybody having said
//! so.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use strowger_host::{Engine, LoadError, Provider};
use thiserror::Error;

use super::{Catalogue, CatalogueError, ComponentError, NewVersion};
use crate::store::{Party, StoreError};

/// Why a file of the shelf takes no calls.
#[derive(Debug, Error)]
pub enum ShelfError {
    /// Another version of the provider is live.
    #[error(
        "{}: this is another version of `{name}` than the one that takes calls ({live}). It is installed; to let new calls use \
         it: strowger provider adopt {name} {offered}",
        file.display()
    )]
    NotAdopted {
        /// Which file.
        file: PathBuf,
        /// The provider.
        name: String,
        /// Digest of the version that takes calls, or `none`.
        live: String,
        /// Digest of the file.
        offered: String,
    },
    /// Its name belongs to an organisation.
    #[error(
        "{}: an organisation has a provider of the same name, `{name}`. Build this one under another name, or remove theirs \
         with strowger provider remove",
        file.display()
    )]
    NameTaken {
        /// Which file.
        file: PathBuf,
        /// The provider.
        name: String,
    },
    /// It is not a provider.
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

/// What is on a shelf.
#[derive(Debug, Default)]
pub struct Stock {
    /// Providers that had to be loaded to learn their names.
    pub loaded: Vec<Provider>,
    /// Files that take no calls, and why.
    pub passed_over: Vec<ShelfError>,
}

/// Why a shelf could not be looked through.
#[derive(Debug, Error)]
pub enum StockError {
    /// The folder cannot be read.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// A component cannot be kept, or the database fails.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

impl From<StoreError> for StockError {
    fn from(error: StoreError) -> Self {
        Self::Catalogue(error.into())
    }
}

impl From<ComponentError> for StockError {
    fn from(error: ComponentError) -> Self {
        Self::Catalogue(error.into())
    }
}

/// The `*.wasm` files of a folder, in the order of their names.
///
/// # Errors
/// When the folder cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ShelfError> {
    let read = |cause| ShelfError::Read {
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
    Ok(files)
}

impl Catalogue {
    /// Installs what is on a shelf and not in the catalogue yet.
    ///
    /// # Errors
    /// When the folder cannot be read, or the catalogue fails. What is wrong with one file is part of the stock.
    pub async fn stock(&self, engine: &Engine, folder: &Path) -> Result<Stock, StockError> {
        let mut stock = Stock::default();
        for file in files(folder)? {
            match self.stock_file(engine, &file, &mut stock.loaded).await? {
                Ok(()) => {}
                Err(error) => stock.passed_over.push(error),
            }
        }
        Ok(stock)
    }

    async fn stock_file(
        &self,
        engine: &Engine,
        file: &Path,
        loaded: &mut Vec<Provider>,
    ) -> Result<Result<(), ShelfError>, StockError> {
        let bytes = match tokio::fs::read(file).await {
            Ok(bytes) => bytes,
            Err(cause) => {
                let path = file.to_owned();
                return Ok(Err(ShelfError::Read { path, cause }));
            }
        };
        let digest = hex::encode(Sha256::digest(&bytes));
        if let Some(known) = self.store().provider_version_with_digest(&digest).await? {
            self.heal(&digest, bytes).await?;
            return Ok(self.takes_calls(file, &known.provider, &digest).await?);
        }
        let (provider, bytes) = match load(engine, bytes).await {
            Ok(loaded) => loaded,
            Err(cause) => {
                let file = file.to_owned();
                return Ok(Err(ShelfError::Load { file, cause }));
            }
        };
        let name = provider.name().to_owned();
        let before = self.store().provider_channel(&name).await?;
        if before.as_ref().is_some_and(|channel| channel.owner != Party::Operator) {
            let file = file.to_owned();
            return Ok(Err(ShelfError::NameTaken { file, name }));
        }
        let shown = file.file_name().unwrap_or_default().to_string_lossy();
        let new = NewVersion {
            owner: Party::Operator,
            provider: &provider,
            bytes: &bytes,
            source: format!("shelf: {shown}"),
            signer: None,
            report: None,
        };
        self.add(new).await?;
        if before.is_none() {
            let hosts: Vec<String> = provider
                .spec()
                .egress_hosts
                .iter()
                .map(|host| host.as_str().to_owned())
                .collect();
            self.adopt(&Party::Operator, &name, &digest, Some(&hosts)).await?;
        }
        loaded.push(provider);
        Ok(self.takes_calls(file, &name, &digest).await?)
    }

    async fn takes_calls(&self, file: &Path, name: &str, digest: &str) -> Result<Result<(), ShelfError>, StoreError> {
        let live = self
            .store()
            .provider_channel(name)
            .await?
            .and_then(|channel| channel.live);
        if live.as_deref() == Some(digest) {
            return Ok(Ok(()));
        }
        Ok(Err(ShelfError::NotAdopted {
            file: file.to_owned(),
            name: name.to_owned(),
            live: live.unwrap_or_else(|| "none".to_owned()),
            offered: digest.to_owned(),
        }))
    }
}

/// Compiling takes seconds for a large component: away from the threads that serve sockets.
async fn load(engine: &Engine, bytes: Vec<u8>) -> Result<(Provider, Vec<u8>), LoadError> {
    let engine = engine.clone();
    let load = move || Provider::load(&engine, &bytes).map(|provider| (provider, bytes));
    tokio::task::spawn_blocking(load).await.unwrap_or_else(|error| {
        Err(strowger_host::InvokeError::from(strowger_host::HostFault::Engine(error.to_string())).into())
    })
}
