//! Components as files, each named by its digest: what is read is what was installed, or an error.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Why a component's file is of no use.
#[derive(Debug, Error)]
pub enum ComponentError {
    /// It cannot be read, written or removed.
    #[error("cannot {doing} the component {}: {cause}. Look at the data directory, or install the version again", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// It is not what was installed.
    #[error("the component {} was changed or damaged: it has another digest than its name says. Install the version again", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

/// A folder of components. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Components {
    folder: Arc<Path>,
}

impl Components {
    /// The components in this folder, which is made when it is needed.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder: folder.into() }
    }

    /// Keeps a component. It is there entirely or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put(&self, digest: &str, bytes: Vec<u8>) -> Result<(), ComponentError> {
        let (folder, path) = (self.folder.clone(), self.path(digest));
        let write = move || -> Result<(), (PathBuf, std::io::Error)> {
            let written = std::fs::create_dir_all(&folder)
                .and_then(|()| tempfile::NamedTempFile::new_in(&folder))
                .and_then(|mut draft| {
                    draft.write_all(&bytes)?;
                    draft.as_file().sync_all()?;
                    draft.persist(&path).map_err(|error| error.error)
                });
            written.map(drop).map_err(|cause| (path, cause))
        };
        blocking("write", write).await
    }

    /// Reads a component.
    ///
    /// # Errors
    /// When it is not there, or not what its digest says.
    pub async fn get(&self, digest: &str) -> Result<Vec<u8>, ComponentError> {
        let path = self.path(digest);
        let read = move || std::fs::read(&path).map_err(|cause| (path, cause));
        let bytes = blocking("read", read).await?;
        if hex::encode(Sha256::digest(&bytes)) != digest {
            return Err(ComponentError::Damaged {
                path: self.path(digest),
            });
        }
        Ok(bytes)
    }

    /// Removes a component, if it is there.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub async fn remove(&self, digest: &str) -> Result<(), ComponentError> {
        let path = self.path(digest);
        let remove = move || match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err((path, cause)),
            _ => Ok(()),
        };
        blocking("remove", remove).await
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }
}

/// Components have megabytes: away from the threads that serve sockets.
async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, (PathBuf, std::io::Error)> + Send + 'static,
) -> Result<T, ComponentError> {
    let done = tokio::task::spawn_blocking(work).await;
    // The task fails only when the process ends.
    let done = done.unwrap_or_else(|error| Err((PathBuf::new(), std::io::Error::other(error))));
    done.map_err(|(path, cause)| ComponentError::File { doing, path, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_read_is_what_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let components = Components::new(folder.path().join("components"));
        let digest = hex::encode(Sha256::digest(b"a component"));
        assert!(matches!(
            components.get(&digest).await,
            Err(ComponentError::File { doing: "read", .. })
        ));
        components.put(&digest, b"a component".to_vec()).await.unwrap();
        components.put(&digest, b"a component".to_vec()).await.unwrap();
        assert_eq!(components.get(&digest).await.unwrap(), b"a component");
        std::fs::write(components.path(&digest), "something else").unwrap();
        let error = components.get(&digest).await.unwrap_err();
        assert!(matches!(error, ComponentError::Damaged { .. }), "{error}");
        components.remove(&digest).await.unwrap();
        components.remove(&digest).await.unwrap();
        let left = std::fs::read_dir(folder.path().join("components")).unwrap().count();
        assert_eq!(left, 0);
    }
}
