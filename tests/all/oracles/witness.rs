//! A program of `tests/oracles`, which runs beside a test and prints lines of JSON.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use strowger_tests::root;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::harness::{DEADLINE, eventually};

/// A program of `tests/oracles` that runs. It is killed when the test is over, whatever its end.
pub(crate) struct Witness {
    child: Child,
    lines: UnboundedReceiver<String>,
    errors: Option<JoinHandle<String>>,
}

impl Witness {
    /// A Python program.
    pub(super) fn start(program: &str, arguments: &[&str]) -> Self {
        Self::start_with(program, arguments, String::new())
    }

    /// A Python program with something to read.
    pub(crate) fn start_with(program: &str, arguments: &[&str], input: String) -> Self {
        let python =
            std::env::var_os("STROWGER_PYTHON").map_or_else(|| root().join(".tools/oracles/bin/python"), PathBuf::from);
        assert_installed(&python);
        let mut command = Command::new(python);
        // Isolated from the environment and the packages of whoever runs the tests; no files beside the programs.
        command
            .args(["-I", "-B", "-X", "utf8"])
            .arg(path(program))
            .args(arguments);
        Self::run(command, input)
    }

    /// A program for Node.js with something to read. Its first argument is the folder with the packages.
    pub(super) fn start_node_with(program: &str, input: String) -> Self {
        let packages = root().join(".tools/oracles-node");
        assert_installed(&packages.join("node_modules"));
        let mut command = Command::new("node");
        command.arg(path(program)).arg(packages).env_remove("NODE_OPTIONS");
        Self::run(command, input)
    }

    fn run(mut command: Command, input: String) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", Path::new(command.get_program()).display()));
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        // Each pipe has a thread, so that neither side waits for the other. They end with the program.
        std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let errors = std::thread::spawn(move || {
            let mut words = Vec::new();
            // What there is of them is shown.
            let _ = stderr.read_to_end(&mut words);
            String::from_utf8_lossy(&words).into_owned()
        });
        Self {
            child,
            lines,
            errors: Some(errors),
        }
    }

    /// The next line. Without one the program must have ended well.
    pub(super) async fn next(&mut self) -> Option<Value> {
        match tokio::time::timeout(DEADLINE, self.lines.recv())
            .await
            .expect("the program says nothing")
        {
            Some(line) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))),
            None => {
                let status = eventually("the program ends", async || self.child.try_wait().unwrap()).await;
                let words = self
                    .errors
                    .take()
                    .map(|errors| errors.join().unwrap())
                    .unwrap_or_default();
                assert!(status.success(), "{status}\n{words}");
                None
            }
        }
    }

    pub(super) async fn expect(&mut self) -> Value {
        self.next().await.expect("the program has something to say")
    }

    /// All lines up to the program's end.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().await {
            lines.push(line);
        }
        lines
    }
}

fn path(program: &str) -> PathBuf {
    root().join("tests/oracles").join(program)
}

fn assert_installed(path: &Path) {
    assert!(
        path.exists(),
        "{} is missing: install the witnesses with `./just oracles`",
        path.display()
    );
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is not a text: {value}"))
}

pub(super) fn bytes(value: &Value, field: &str) -> Vec<u8> {
    STANDARD.decode(text(value, field)).unwrap()
}
