//! Whether an author has changed a file.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often it is looked. An editor's save takes less.
const INTERVAL: Duration = Duration::from_millis(300);
/// What builds write.
const LEFT_OUT: [&str; 5] = ["node_modules", "target", "build", "__pycache__", "venv"];

/// The files of a project, as they were.
pub(super) struct Watch {
    root: PathBuf,
    known: Vec<(PathBuf, Option<SystemTime>, u64)>,
}

impl Watch {
    /// Watches a file, or a project's folder without what builds write.
    pub(super) fn new(root: &Path) -> Self {
        let mut watch = Self {
            root: root.to_owned(),
            known: Vec::new(),
        };
        watch.known = watch.files();
        watch
    }

    /// Waits until a file has changed and all have come to rest. `meanwhile` is called now and then.
    pub(super) async fn changed(&mut self, mut meanwhile: impl FnMut()) {
        let mut ticks = tokio::time::interval(INTERVAL);
        let mut moved = false;
        loop {
            ticks.tick().await;
            meanwhile();
            let now = self.files();
            let same = now == self.known;
            self.known = now;
            if moved && same {
                return;
            }
            moved |= !same;
        }
    }

    fn files(&self) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
        let mut found = Vec::new();
        collect(&self.root, self.root.is_dir(), &mut found);
        found.sort();
        found
    }
}

fn collect(path: &Path, in_project: bool, found: &mut Vec<(PathBuf, Option<SystemTime>, u64)>) {
    // What cannot be read now may be there the next time.
    let Ok(metadata) = path.metadata() else { return };
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !name.starts_with('.') && !LEFT_OUT.contains(&&*name) {
                collect(&entry.path(), in_project, found);
            }
        }
    } else if !(in_project && path.extension().is_some_and(|extension| extension == "wasm")) {
        found.push((path.to_owned(), metadata.modified().ok(), metadata.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_source_is_noticed_and_a_built_component_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("provider.py");
        std::fs::write(&source, "one").unwrap();
        let mut watch = Watch::new(folder.path());
        std::fs::write(folder.path().join("acme.wasm"), "built").unwrap();
        assert_eq!(watch.files(), watch.known);
        std::fs::write(&source, "another").unwrap();
        tokio::time::timeout(Duration::from_secs(30), watch.changed(|| ()))
            .await
            .unwrap();
    }
}
