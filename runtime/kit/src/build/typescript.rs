//! TypeScript and JavaScript: the SDK's own script checks, bundles and componentizes, with packages from npm.

use std::path::Path;
use std::process::Command;

use super::tool::{self, Step};
use super::{BuildError, Project};

const INSTALL: &str = "install Node.js 20 or later with npm, from https://nodejs.org or your system's packages";

pub(super) fn build(project: &Project, output: &Path, progress: &dyn Fn(&str)) -> Result<(), BuildError> {
    let tools = tool::shared("js");
    if tools.is_none() {
        install(project, progress)?;
    }
    progress("Checking types, bundling, making a component");
    let mut command = Command::new("node");
    command
        .arg(project.sdk.join("sdk/js/build/build.mjs"))
        .arg("--out")
        .arg(output)
        .current_dir(&project.root);
    if let Some(tools) = tools {
        command.env("STROWGER_JS_TOOLS", tools);
    }
    Step {
        failed: "the provider could not be built",
        mend: "mend what it points at",
        install: INSTALL,
    }
    .run(&mut command)
    .map(drop)
}

/// The packages that the project's lock file names, once.
fn install(project: &Project, progress: &dyn Fn(&str)) -> Result<(), BuildError> {
    // npm writes it last.
    let installed = project.root.join("node_modules/.package-lock.json");
    let lock = project.root.join("package-lock.json");
    let time = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    if time(&installed).is_some_and(|installed| Some(installed) >= time(&lock)) {
        return Ok(());
    }
    progress("Installing the compiler from npm into the project, once");
    Step {
        failed: "the compiler could not be installed from npm",
        mend: "see that this machine reaches npm's registry, or name a mirror in .npmrc",
        install: INSTALL,
    }
    .run(
        Command::new("npm")
            .args(["ci", "--loglevel=error"])
            .current_dir(&project.root),
    )
    .map(drop)
}
