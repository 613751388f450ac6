//! The key file: made at the first start, refused when others can read it.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use super::{KEY_VARIABLE, Settings, SettingsError};
use crate::keyring::Keyring;

impl Settings {
    /// The keys that protect the store: from the environment, or else from the key file. At the first start the file is
    /// made, with a random key and for its owner only.
    ///
    /// # Errors
    /// `Key`, `KeyFile`, `KeyExposed`, or `KeyLost` when there is a database and no key.
    pub fn keyring(&self) -> Result<Keyring, SettingsError> {
        if let Some(text) = &self.encryption_key {
            return Keyring::parse(&text.0).map_err(|source| SettingsError::Key {
                place: format!("${KEY_VARIABLE}"),
                source,
            });
        }
        let path = &self.encryption_key_file;
        let failed = |source| SettingsError::KeyFile {
            path: path.clone(),
            source,
        };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(database) = self.database_file.as_ref().filter(|file| file.exists()) {
                    return Err(SettingsError::KeyLost {
                        key: path.clone(),
                        database: database.clone(),
                    });
                }
                make(path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
            Ok(_) => {}
        }
        let mode = std::fs::metadata(path).map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SettingsError::KeyExposed {
                path: path.clone(),
                mode,
            });
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Keyring::parse(&text).map_err(|source| SettingsError::Key {
            place: path.display().to_string(),
            source,
        })
    }
}

/// Puts a whole key file in place at once, so that another process that starts at the same time reads all of it or none.
/// The first one wins.
fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        private_dir(parent)?;
    }
    let line = Keyring::generate_line().map_err(io::Error::other)?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // The draft has a name of its own and mode 0600, and is gone unless it is put in place.
    let mut draft = tempfile::Builder::new()
        .prefix(".encryption-key-")
        .tempfile_in(folder)?;
    write!(
        draft,
        "# Protects the credentials stored by strowger. Without it they cannot be read: keep a copy apart from the database.\n{line}\n"
    )?;
    draft.as_file().sync_all()?;
    match draft.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

/// Makes a directory that only its owner enters; one that exists stays as it is.
pub(super) fn private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        Ok(())
    } else {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Flags;
    use super::*;
    use crate::keyring::KeyError;

    fn settings(dir: &Path, key: Option<&str>) -> Settings {
        let flags = Flags::default().set("data_dir", Some(dir.display()));
        Settings::resolve(&flags, |name| key.filter(|_| name == KEY_VARIABLE).map(Into::into)).unwrap()
    }

    #[test]
    fn the_first_start_makes_a_key_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(&dir.path().join("new"), None);
        let made = settings.keyring().unwrap();
        let path = dir.path().join("new/encryption.key");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(settings.keyring().unwrap().current_id(), made.current_id());
        assert_eq!(
            std::fs::read_dir(dir.path().join("new")).unwrap().count(),
            1,
            "no draft stays behind"
        );

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = settings.keyring().unwrap_err();
        assert!(
            matches!(error, SettingsError::KeyExposed { mode: 0o640, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn of_many_that_start_at_once_all_have_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), None);
        let ids = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| settings.keyring().unwrap())).collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap().current_id().to_owned())
                .collect::<Vec<_>>()
        });
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    }

    #[test]
    fn a_key_in_the_environment_needs_no_file() {
        let dir = tempfile::tempdir().unwrap();
        settings(dir.path(), Some(&"ab".repeat(32))).keyring().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = settings(dir.path(), Some("abc")).keyring().unwrap_err();
        assert!(
            matches!(
                error,
                SettingsError::Key {
                    source: KeyError::WrongLength { .. },
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("STROWGER_ENCRYPTION_KEY"), "{error}");
    }

    #[test]
    fn no_new_key_is_made_beside_a_database() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("strowger.db"), "").unwrap();
        let error = settings(dir.path(), None).keyring().unwrap_err();
        assert!(matches!(error, SettingsError::KeyLost { .. }), "{error}");
        assert!(!dir.path().join("encryption.key").exists());
    }
}
