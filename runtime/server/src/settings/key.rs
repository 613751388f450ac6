//! Where the master keys come from: a variable, a command, or a file, which is made at the first start and refused when others
//! can read it.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::{KEY_VARIABLE, Settings, SettingsError};
use crate::keyring::Keyring;
use crate::store::{MasterKeys, NoMasterKey};

/// How long the command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// What it may print: some keys and comments.
const COMMAND_BYTES_MAX: u64 = 16 * 1024;

impl MasterKeys for Settings {
    fn load(&self) -> Result<Keyring, NoMasterKey> {
        self.keyring().map_err(|error| no_key(&error))
    }

    fn load_or_make(&self) -> Result<Keyring, NoMasterKey> {
        let has_file = self.encryption_key.is_none() && self.encryption_key_command.is_none();
        if has_file && matches!(self.encryption_key_file.try_exists(), Ok(false)) {
            let path = self.encryption_key_file.clone();
            make(&path).map_err(|source| no_key(&SettingsError::KeyFile { path, source }))?;
        }
        self.load()
    }
}

fn no_key(error: &SettingsError) -> NoMasterKey {
    let cause = std::error::Error::source(error).map_or_else(String::new, |source| format!(" ({source})"));
    NoMasterKey(format!("{error}{cause}"))
}

impl Settings {
    /// The master keys: from the environment, or else from what a command prints, or else from the key file.
    ///
    /// # Errors
    /// `Key`, `KeyCommand`, `KeyFile`, `KeyExposed`, or `KeyLost` when there is no key file.
    pub fn keyring(&self) -> Result<Keyring, SettingsError> {
        let parse =
            |text: &str, place: String| Keyring::parse(text).map_err(|source| SettingsError::Key { place, source });
        if let Some(text) = &self.encryption_key {
            return parse(&text.0, format!("${KEY_VARIABLE}"));
        }
        if let Some(command) = &self.encryption_key_command {
            let printed = printed(command).map_err(SettingsError::KeyCommand)?;
            return parse(&printed, "what encryption_key_command printed".to_owned());
        }
        let path = &self.encryption_key_file;
        let failed = |source| SettingsError::KeyFile {
            path: path.clone(),
            source,
        };
        let mode = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SettingsError::KeyLost { key: path.clone() });
            }
            metadata => metadata.map_err(failed)?.mode() & 0o777,
        };
        if mode & 0o077 != 0 {
            return Err(SettingsError::KeyExposed {
                path: path.clone(),
                mode,
            });
        }
        parse(
            &std::fs::read_to_string(path).map_err(failed)?,
            path.display().to_string(),
        )
    }

    /// Puts a new key above those in the key file, so that it is the one that wraps. The older ones stay.
    ///
    /// # Errors
    /// As for [`Settings::keyring`]; `KeyElsewhere` when the keys do not come from a file.
    pub fn add_key(&self) -> Result<Keyring, SettingsError> {
        if self.encryption_key.is_some() || self.encryption_key_command.is_some() {
            return Err(SettingsError::KeyElsewhere);
        }
        self.keyring()?;
        let path = &self.encryption_key_file;
        let failed = |source| SettingsError::KeyFile {
            path: path.clone(),
            source,
        };
        let older = std::fs::read_to_string(path).map_err(failed)?;
        let line = Keyring::generate_line().map_err(|error| failed(io::Error::other(error)))?;
        let text = format!("{line}\n{older}");
        let keys = Keyring::parse(&text).map_err(|source| SettingsError::Key {
            place: path.display().to_string(),
            source,
        })?;
        draft(path, &text)
            .and_then(|draft| draft.persist(path).map_err(|error| error.error))
            .map_err(failed)?;
        Ok(keys)
    }
}

/// What a command prints, run by the shell with our own environment. Its errors go where ours go.
fn printed(command: &str) -> Result<String, String> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let Some(output) = child.stdout.take() else {
        return Err("has no output".to_owned());
    };
    let (sender, done) = mpsc::channel();
    // A thread of its own: a command that keeps its output open must not hold up the start for ever.
    let reading = std::thread::Builder::new().spawn(move || {
        let mut text = String::new();
        let read = output.take(COMMAND_BYTES_MAX + 1).read_to_string(&mut text);
        // Nobody waits any more if it took too long.
        let _ = sender.send(read.map(|_| text));
    });
    let read = match reading {
        Ok(_) => done.recv_timeout(COMMAND_TIMEOUT),
        Err(error) => {
            // It prints for nobody.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(format!("cannot be read: {error}"));
        }
    };
    let Ok(read) = read else {
        let _ = child.kill().and_then(|()| child.wait());
        return Err(format!("printed no key within {} s", COMMAND_TIMEOUT.as_secs()));
    };
    let text = match read {
        Ok(text) if text.len() as u64 <= COMMAND_BYTES_MAX => text,
        read => {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(match read {
                Ok(_) => format!("printed more than {COMMAND_BYTES_MAX} bytes"),
                Err(_) => "printed something that is not text".to_owned(),
            });
        }
    };
    match child.wait() {
        Ok(status) if status.success() => Ok(text),
        Ok(status) => Err(format!("failed ({status})")),
        Err(error) => Err(format!("cannot be waited for: {error}")),
    }
}

/// Puts a whole key file in place at once, so that another process that starts at the same time reads all of it or none.
/// The first one wins.
fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        private_dir(parent)?;
    }
    let line = Keyring::generate_line().map_err(io::Error::other)?;
    let draft = draft(
        path,
        &format!(
            "# Protects the credentials stored by strowger. Without it they cannot be read: keep a copy apart from the database.\n{line}\n"
        ),
    )?;
    match draft.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

/// A file beside `path` with this text, which is gone unless it is put in place. It has a name of its own and mode 0600.
fn draft(path: &Path, text: &str) -> io::Result<tempfile::NamedTempFile> {
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut draft = tempfile::Builder::new()
        .prefix(".encryption-key-")
        .tempfile_in(folder)?;
    draft.write_all(text.as_bytes())?;
    draft.as_file().sync_all()?;
    Ok(draft)
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
        let made = settings.load_or_make().unwrap();
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
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| settings.load_or_make().unwrap()))
                .collect();
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
        settings(dir.path(), Some(&"ab".repeat(32))).load_or_make().unwrap();
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
    fn a_key_that_is_gone_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let error = settings(dir.path(), None).load().unwrap_err();
        assert!(error.to_string().contains("from a backup"), "{error}");
        assert!(!dir.path().join("encryption.key").exists());
    }

    #[test]
    fn a_command_prints_the_keys() {
        let dir = tempfile::tempdir().unwrap();
        let settings = |command: &str| {
            let flags = Flags::default()
                .set("data_dir", Some(dir.path().display()))
                .set("encryption_key_command", Some(command));
            Settings::resolve(&flags, |_| None).unwrap()
        };
        let one = "ab".repeat(32);
        let ring = settings(&format!("echo {one}")).load_or_make().unwrap();
        assert_eq!(ring.current_id(), Keyring::parse(&one).unwrap().current_id());
        for (command, problem) in [
            ("exit 3", "exit status: 3"),
            ("echo hush", "what encryption_key_command printed"),
            ("yes", "more than"),
            ("printf '\\377'", "not text"),
        ] {
            let error = settings(command).load().unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains("hush"), "{error}");
        }
        let error = settings("true").add_key().unwrap_err();
        assert!(matches!(error, SettingsError::KeyElsewhere), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_new_key_goes_above_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), None);
        let old = settings.load_or_make().unwrap();
        let new = settings.add_key().unwrap();
        assert_eq!(
            settings.load().unwrap().ids().collect::<Vec<_>>(),
            [new.current_id(), old.current_id()]
        );
        let path = dir.path().join("encryption.key");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(path).unwrap().contains("# Protects"));
    }
}
