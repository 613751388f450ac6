//! Running other people's compilers, and having them there in the first place.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{BuildError, Project, SDK_FOLDER};

/// A folder with toolchains that several projects share: `c` and `python` are virtual environments of Python, `js` has
/// npm's packages. Without it each project has its own.
const SHARED: &str = "STROWGER_TOOLCHAINS";

/// Bytes of a compiler's output that are shown; the first errors are the ones that matter.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// One command, and what to say when it does not work.
pub(super) struct Step<'a> {
    /// What happened when it fails, one sentence.
    pub(super) failed: &'a str,
    /// What to do when it fails.
    pub(super) mend: &'a str,
    /// How to come by the program when it is not there.
    pub(super) install: &'a str,
}

impl Step<'_> {
    /// Runs the command to its end, without a terminal, and gives what it wrote.
    pub(super) fn run(&self, command: &mut Command) -> Result<Output, BuildError> {
        let shown = shown(command);
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    let program = command.get_program().to_string_lossy();
                    BuildError::new(format!("`{program}` is not installed"), shown.clone(), self.install)
                }
                _ => BuildError::new("a command could not be started", shown.clone(), self.install)
                    .because(error.to_string()),
            })?;
        if output.status.success() {
            return Ok(output);
        }
        Err(BuildError {
            output: complaint_of(&output),
            ..BuildError::new(self.failed, shown, self.mend)
                .because(format!("the command ended with {}", output.status))
        })
    }
}

/// As one would type it, shortened when it is long.
fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    let mut line = String::new();
    for word in &words {
        if line.len() + word.len() > 160 {
            line.push_str(" …");
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

fn complaint_of(output: &Output) -> String {
    // Some compilers complain on the wrong channel; on the right one, the other has reports for programs.
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.trim().is_empty() {
        text = String::from_utf8_lossy(&output.stdout).into_owned();
    }
    let mut end = text.len().min(OUTPUT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let cut = text.len() - end;
    text.truncate(end);
    if cut > 0 {
        text.push_str(&format!("\n… and {cut} more bytes"));
    }
    text.trim().to_owned()
}

/// The folder of a toolchain that is shared, when there is one.
pub(super) fn shared(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os(SHARED)?).join(name);
    folder.is_dir().then_some(folder)
}

/// The Python of a virtual environment with the packages of `requirements`: the shared one, or the project's own, which is
/// made when it is not there or has other packages.
pub(super) fn python_with(
    project: &Project,
    name: &str,
    requirements: &Path,
    progress: &dyn Fn(&str),
) -> Result<PathBuf, BuildError> {
    if let Some(folder) = shared(name) {
        return Ok(folder.join("bin/python"));
    }
    let wanted = fs::read_to_string(requirements).map_err(|source| BuildError::io(requirements, &source))?;
    let folder = project.root.join(SDK_FOLDER).join("venv");
    let python = folder.join("bin/python");
    // Written last: what was interrupted is made again.
    let stamp = folder.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    progress("Installing the compiler from PyPI into the project, once");
    const INSTALL: &str = "install Python 3.11 or later with its module venv (Debian: apt install python3-venv; macOS: brew install python), and put `python3` on the PATH";
    Step {
        failed: "Python could not make a virtual environment",
        mend: INSTALL,
        install: INSTALL,
    }
    .run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    Step {
        failed: "the compiler could not be installed from PyPI",
        mend: "see that this machine reaches PyPI, or set PIP_INDEX_URL to a mirror",
        install: INSTALL,
    }
    .run(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(requirements),
    )?;
    fs::write(&stamp, wanted).map_err(|source| BuildError::io(&stamp, &source))?;
    Ok(python)
}
