//! A new author's first quarter of an hour, in each language: a project in an empty folder builds, passes, and says what is
//! wrong when it does not.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A project in a folder of its own.
struct Project {
    _scratch: TempDir,
    folder: PathBuf,
}

impl Project {
    fn new(language: &str) -> Self {
        let scratch = TempDir::new().unwrap();
        let folder = scratch.path().join("acme");
        let project = Self {
            _scratch: scratch,
            folder,
        };
        let made = strowger(&["new", "acme", "--language", language, "--path"])
            .arg(&project.folder)
            .output()
            .unwrap();
        passes(&made);
        project
    }

    fn strowger(&self, arguments: &[&str]) -> Output {
        strowger(arguments).current_dir(&self.folder).output().unwrap()
    }

    /// Runs the project's own unit tests, which need no runtime.
    fn native(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.folder);
        passes(
            &toolchains(&mut command)
                .env("PYTHONPATH", ".strowger/python")
                .output()
                .unwrap(),
        );
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no `{from}`");
        std::fs::write(&path, text.replace(from, to)).unwrap();
    }
}

fn strowger(arguments: &[&str]) -> Command {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().and_then(Path::parent).unwrap().join("strowger");
    assert!(
        binary.exists(),
        "{}: `cargo build -p strowger-server`",
        binary.display()
    );
    let mut command = Command::new(binary);
    command.arg("provider").args(arguments);
    toolchains(&mut command);
    command
}

/// The toolchains of this checkout, so that nothing is downloaded again for each project.
fn toolchains(command: &mut Command) -> &mut Command {
    let tools = strowger_tests::root().join(".tools");
    command
        .env("STROWGER_JS_TOOLS", tools.join("js"))
        .env("STROWGER_TOOLCHAINS", tools)
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("acme"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
fn passes(output: &Output) -> String {
    let text = text(output);
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

/// It ends with status 1, and says all of this.
#[track_caller]
fn fails_with(output: &Output, wanted: &[&str]) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for wanted in wanted {
        assert!(text.contains(wanted), "`{wanted}` is not in: {text}");
    }
}

/// Builds into `acme.wasm`, which passes everything that is asked of a provider, its recorded cases among it.
#[track_caller]
fn builds_and_passes(project: &Project) {
    let built = passes(&project.strowger(&["build"]));
    assert!(built.contains("acme.wasm"), "{built}");
    let tested = passes(&project.strowger(&["test", "acme.wasm"]));
    for wanted in ["7 recorded cases hold", "All of it holds."] {
        assert!(tested.contains(wanted), "`{wanted}` is not in: {tested}");
    }
}

#[test]
fn a_project_in_c_builds_and_passes() {
    let project = Project::new("c");
    builds_and_passes(&project);
    passes(&project.strowger(&["check", "."]));
    project.native("make", &["test"]);
    let built = passes(&project.strowger(&["build"]));
    assert!(built.contains("imports    none"), "{built}");
}

#[test]
fn a_project_in_rust_builds_and_passes() {
    let project = Project::new("rust");
    builds_and_passes(&project);
    passes(&project.strowger(&["check", "."]));
    project.native("cargo", &["test", "--quiet"]);
}

#[test]
fn a_project_in_typescript_builds_and_passes() {
    let project = Project::new("typescript");
    builds_and_passes(&project);
    passes(&project.strowger(&["check", "."]));
    project.native("node", &[".strowger/sdk/js/build/test.mjs"]);
}

// Compiling an interpreter of this size takes a while, so it is not checked a second time.
#[test]
fn a_project_in_python_builds_and_passes() {
    let project = Project::new("python");
    builds_and_passes(&project);
    project.native("python3", &["-m", "unittest", "--quiet"]);
}

#[test]
fn the_same_sources_in_c_give_the_same_component() {
    let project = Project::new("c");
    let digest = || passes(&project.strowger(&["build"]));
    assert_eq!(digest(), digest());
}

#[test]
fn what_the_compiler_says_is_shown_with_what_to_do() {
    let project = Project::new("c");
    project.edit("src/provider.c", "bool webhook_recognise(", "bool webhook_recognize(");
    fails_with(
        &project.strowger(&["build"]),
        &["webhook_recognise", "undefined symbol", "where:", "mend:"],
    );
    let project = Project::new("rust");
    project.edit("src/lib.rs", "Response::empty(204)", "Response::nothing(204)");
    fails_with(
        &project.strowger(&["build"]),
        &[
            "no function or associated item",
            "src/lib.rs",
            "cargo could not build",
            "mend:",
        ],
    );
    let project = Project::new("typescript");
    project.edit("provider.ts", "204", "\"204\"");
    fails_with(&project.strowger(&["build"]), &["provider.ts", "mend:"]);
    let project = Project::new("python");
    project.edit("provider.py", "def recognise", "def recognize");
    fails_with(&project.strowger(&["build"]), &["recognise", "mend:"]);
}

#[test]
fn an_ability_has_to_be_there_and_written() {
    let project = Project::new("c");
    project.edit("strowger.toml", "abilities = []", "abilities = [\"dialing\"]");
    fails_with(
        &project.strowger(&["build"]),
        &["`dialing` is no ability", "calling", "strowger.toml"],
    );
    project.edit("strowger.toml", "dialing", "numbers");
    fails_with(
        &project.strowger(&["build"]),
        &["numbers_validate_number", "write it, or take the ability away"],
    );
}

#[test]
fn a_tool_that_is_missing_is_named_with_how_to_come_by_it() {
    for (language, tool, install) in [
        ("rust", "`cargo` is not installed", "rustup target add wasm32-wasip2"),
        ("typescript", "`npm` is not installed", "Node.js 20"),
        ("python", "`python3` is not installed", "python3-venv"),
        ("c", "`python3` is not installed", "python3-venv"),
    ] {
        let project = Project::new(language);
        let mut build = strowger(&["build"]);
        build.env_remove("STROWGER_TOOLCHAINS").env("PATH", "");
        fails_with(&build.current_dir(&project.folder).output().unwrap(), &[tool, install]);
    }
}

#[test]
fn a_project_is_made_in_an_empty_folder_under_a_good_name() {
    let project = Project::new("c");
    let path = project.folder.to_str().unwrap();
    fails_with(
        &project.strowger(&["new", "acme", "--language", "c", "--path", path]),
        &["has something in it already", "--path"],
    );
    fails_with(
        &project.strowger(&["new", "../acme", "--language", "c"]),
        &["`../acme` is no provider's name", "lower-case letters"],
    );
    std::fs::remove_file(project.folder.join("strowger.toml")).unwrap();
    fails_with(&project.strowger(&["build"]), &["strowger.toml", "provider new"]);
}

/// What the tutorial says to change, one step after the other, for one language.
struct Tutorial {
    /// A file's new contents.
    cases: String,
    /// Each step has places of files, with the lines that go and those that come.
    steps: Vec<Vec<(String, String, String)>>,
}

impl Tutorial {
    fn read(language: &str) -> Self {
        let text = std::fs::read_to_string(strowger_tests::root().join("docs/providers/tutorial.md")).unwrap();
        let summary = format!("<details><summary>{language}</summary>");
        let steps: Vec<_> = text
            .split("<details>")
            .skip(1)
            .map(|section| format!("<details>{section}"))
            .filter(|section| section.starts_with(&summary))
            .map(|section| changes(fenced(&section, "diff")))
            .collect();
        assert_eq!(steps.len(), 3, "{language}");
        Self {
            cases: fenced(&text, "json").to_owned(),
            steps,
        }
    }
}

/// The first block of that kind.
fn fenced<'a>(text: &'a str, kind: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("```{kind}\n")).unwrap();
    rest.split_once("\n```").unwrap().0
}

/// Reads a diff whose places are found by their text: the file, what is there, and what should be.
fn changes(diff: &str) -> Vec<(String, String, String)> {
    let mut changes: Vec<(String, String, String)> = Vec::new();
    let mut file = "";
    for line in diff.lines() {
        if let Some(name) = line.strip_prefix("--- ") {
            file = name;
        } else if line == "@@" {
            changes.push((file.to_owned(), String::new(), String::new()));
        } else {
            let (_, from, to) = changes.last_mut().unwrap();
            let (mark, rest) = line.split_at(line.len().min(1));
            for (marks, text) in [(" -", from), (" +", to)] {
                if mark.is_empty() || marks.contains(mark) {
                    text.push_str(rest);
                    text.push('\n');
                }
            }
        }
    }
    changes
}

/// What the tutorial promises: each step builds, and at the end a call is taken.
fn leads_to_a_call(language: &str, shown: &str, test: impl FnOnce(&Project)) {
    let scratch = TempDir::new().unwrap();
    let folder = scratch.path().join("example-telecom");
    passes(
        &strowger(&["new", "example-telecom", "--language", language])
            .current_dir(scratch.path())
            .output()
            .unwrap(),
    );
    let project = Project {
        _scratch: scratch,
        folder,
    };
    let tutorial = Tutorial::read(shown);
    for case in std::fs::read_dir(project.folder.join("cases")).unwrap() {
        std::fs::remove_file(case.unwrap().path()).unwrap();
    }
    std::fs::write(project.folder.join("cases/example-telecom.json"), &tutorial.cases).unwrap();
    for step in &tutorial.steps {
        for (file, from, to) in step {
            project.edit(file, from, to);
        }
        passes(&project.strowger(&["build"]));
    }
    test(&project);
    let called = passes(&project.strowger(&["run", "--once", "example-telecom.wasm"]));
    assert!(called.contains("the call ended: the caller sent"), "{called}");
}

fn everything_holds(project: &Project) {
    let tested = passes(&project.strowger(&["test", "example-telecom.wasm"]));
    assert!(tested.contains("3 recorded cases hold"), "{tested}");
}

#[test]
fn the_tutorial_leads_to_a_call_in_c() {
    leads_to_a_call("c", "C", |project| {
        everything_holds(project);
        project.native("make", &["test"]);
    });
}

#[test]
fn the_tutorial_leads_to_a_call_in_rust() {
    leads_to_a_call("rust", "Rust", everything_holds);
}

#[test]
fn the_tutorial_leads_to_a_call_in_typescript() {
    leads_to_a_call("typescript", "TypeScript", everything_holds);
}

#[test]
fn the_tutorial_leads_to_a_call_in_python() {
    leads_to_a_call("python", "Python", |project| {
        project.native("python3", &["-m", "unittest", "--quiet"]);
    });
}
