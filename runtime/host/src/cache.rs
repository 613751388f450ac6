//! Compiled components on disk.
//!
//! Compiling takes a hundred milliseconds for a small component and many seconds for an interpreter, so the machine code is
//! kept. Machine code is trusted code: a file counts only when its authentication code, made with a key that only this
//! installation has, fits its content, its component and this engine. Anything else is compiled again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const TAG_BYTES: usize = 32;

/// A folder of compiled components.
#[derive(Clone)]
pub struct CompiledCache {
    folder: PathBuf,
    key: [u8; 32],
}

impl std::fmt::Debug for CompiledCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledCache")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl CompiledCache {
    /// `key` is secret and stays the same from start to start; the folder is made when it is first needed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, key: [u8; 32]) -> Self {
        Self {
            folder: folder.into(),
            key,
        }
    }

    /// The file for one component and one engine.
    #[must_use]
    pub fn path(&self, digest: &str, engine: u64) -> PathBuf {
        self.folder.join(format!("{digest}-{engine:016x}.cwasm"))
    }

    fn tag(&self, digest: &str, engine: u64, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(digest.as_bytes());
        mac.update(&engine.to_be_bytes());
        mac.update(code);
        mac
    }

    /// Reads what was stored, if it is authentic. A file that is not is removed and reported.
    pub(crate) fn load(&self, digest: &str, engine: u64) -> Option<Vec<u8>> {
        let path = self.path(digest, engine);
        let mut bytes = fs::read(&path).ok()?;
        if bytes.len() > TAG_BYTES {
            let tag = bytes.split_off(bytes.len() - TAG_BYTES);
            if self.tag(digest, engine, &bytes).verify_slice(&tag).is_ok() {
                return Some(bytes);
            }
        }
        tracing::warn!(file = %path.display(), "compiled component is not authentic; compiling it again");
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(file = %path.display(), %error, "could not remove it");
        }
        None
    }

    /// Stores machine code. A failure costs the next start some time and is only reported.
    pub(crate) fn store(&self, digest: &str, engine: u64, code: &[u8]) {
        let path = self.path(digest, engine);
        let tag = self.tag(digest, engine, code).finalize().into_bytes();
        if let Err(error) = write_whole(&path, &[code, tag.as_slice()]) {
            tracing::warn!(file = %path.display(), %error, "could not keep the compiled component");
        }
    }

    /// Removes what was stored of a component, for whatever engine. A failure costs room and is only reported.
    pub fn remove(&self, digest: &str) {
        let Ok(files) = fs::read_dir(&self.folder) else {
            return;
        };
        let prefix = format!("{digest}-");
        for file in files.flatten() {
            if file.file_name().to_string_lossy().starts_with(&prefix)
                && let Err(error) = fs::remove_file(file.path())
            {
                tracing::warn!(file = %file.path().display(), %error, "could not remove a compiled component");
            }
        }
    }
}

/// Writes beside, then renames: a reader sees all of it or nothing.
fn write_whole(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let beside = path.with_extension(format!("{}.partial", std::process::id()));
    let mut file = fs::File::create(&beside)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests;
