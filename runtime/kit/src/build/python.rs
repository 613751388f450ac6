//! Python: the SDK's own module finds the provider and has componentize-py make a component of it.

use std::path::Path;
use std::process::Command;

use super::tool::{self, Step};
use super::{BuildError, Project};

pub(super) fn build(project: &Project, output: &Path, progress: &dyn Fn(&str)) -> Result<(), BuildError> {
    let sdk = project.sdk.join("python");
    let python = tool::python_with(project, "python", &sdk.join("requirements.txt"), progress)?;
    progress("Making a component of the provider and its interpreter");
    Step {
        failed: "the provider could not be built",
        mend: "mend what it points at",
        install: "remove the folder .strowger/venv, and build again",
    }
    .run(
        Command::new(&python)
            .args(["-m", "strowger_sdk", "build", ".", "--wit"])
            .arg(project.sdk.join("wit"))
            .arg("--output")
            .arg(output)
            .env("PYTHONPATH", &sdk)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(&project.root),
    )
    .map(drop)
}
