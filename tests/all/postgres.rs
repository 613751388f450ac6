//! A PostgreSQL of a test's own (`tests/postgres/server`), whatever the suite runs with: others must not notice what happens to it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A server that this test alone uses; removed with it.
pub(crate) struct Postgres {
    folder: PathBuf,
    pub(crate) url: String,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let folder = PathBuf::from(format!("/tmp/strowger-outage-{}", uuid()));
        let started = Self::run("start", &folder);
        let url = printed(&started);
        Self { folder, url }
    }

    fn run(command: &str, folder: &PathBuf) -> Output {
        let server = strowger_tests::root().join("tests/postgres/server");
        let mut run = Command::new(server);
        run.arg(command).arg(folder).stdin(Stdio::null()).output().unwrap()
    }

    /// The process that all others of the server are children of.
    fn postmaster(&self) -> String {
        let file = self.folder.join("data/postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().next().unwrap().to_owned()
    }

    /// Every process of the server stops where it is: connections stay open, and nobody answers. Until the result is dropped.
    pub(crate) fn freeze(&self) -> Frozen {
        let postmaster = self.postmaster();
        let children = Command::new("pgrep").args(["-P", &postmaster]).output().unwrap();
        let mut processes: Vec<String> = printed(&children).lines().map(str::to_owned).collect();
        processes.insert(0, postmaster);
        signal("-STOP", &processes);
        Frozen(processes)
    }

    /// As a power cut would.
    pub(crate) fn kill(&self) {
        printed(&Self::run("kill", &self.folder));
    }

    pub(crate) fn start_again(&self) {
        assert_eq!(printed(&Self::run("start", &self.folder)), self.url);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        Self::run("remove", &self.folder);
    }
}

/// See [`Postgres::freeze`].
pub(crate) struct Frozen(Vec<String>);

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(name: &str, processes: &[String]) {
    // One that has ended meanwhile is none of anybody's business.
    drop(Command::new("kill").arg(name).args(processes).output().unwrap());
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

fn uuid() -> String {
    let unique = tempfile::Builder::new().prefix("").tempdir().unwrap();
    unique.path().file_name().unwrap().to_string_lossy().into_owned()
}

/// Runs beside the threads that serve the call.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
