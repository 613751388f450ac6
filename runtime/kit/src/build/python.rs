//! Python: the SDK's own module finds the provider and has componentize-py make a component of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::tool::{self, Step};
use super::{BuildError, Project};

pub(super) fn build(project: &Project, output: &Path, progress: &dyn Fn(&str)) -> Result<(), BuildError> {
    let sdk = project.sdk.join("python");
    let requirements = sdk.join("requirements.txt");
    let requirements = fs::read_to_string(&requirements).map_err(|source| BuildError::io(&requirements, source))?;
    let python = tool::python_with(project, "python", &requirements, progress)?;
    progress("Making a component of the provider and its interpreter");
    Step {
        failed: "the provider could not be built",
        mend: "mend what it points at",
        install: "remove the folder .strowger/tools, and build again",
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
