//! A new project: a template, the SDK of its language and the contract, so that it depends on nothing unpublished.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::build::{BuildError, Language, MANIFEST, SDK_FOLDER};
use crate::embedded;

/// Makes a project that builds and passes in `folder`, which is empty or not there yet.
///
/// # Errors
/// Says what is wrong with the name or the folder.
pub fn scaffold(name: &str, language: Language, folder: &Path) -> Result<(), BuildError> {
    if !is_provider_name(name) {
        return Err(BuildError::new(
            format!("`{name}` is no provider's name"),
            folder.display().to_string(),
            "use lower-case letters, digits and hyphens, 1 to 32 characters, beginning with a letter",
        ));
    }
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(BuildError::io(folder, &error)),
    };
    if !is_empty {
        return Err(BuildError::new(
            "the folder has something in it already",
            folder.display().to_string(),
            "choose another with --path, or empty it",
        ));
    }
    for (path, contents) in files(name, language)? {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| BuildError::io(parent, &source))?;
        }
        fs::write(&path, contents).map_err(|source| BuildError::io(&path, &source))?;
    }
    Ok(())
}

/// Names of providers are names of URLs, files and packages.
pub(crate) fn is_provider_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn files(name: &str, language: Language) -> Result<Vec<(PathBuf, Vec<u8>)>, BuildError> {
    let (folder, sdk): (&str, &[(&str, &str)]) = match language {
        Language::Rust => (
            "sdk/rust",
            &[
                ("sdk/rust/README.md", "sdk/rust/README.md"),
                ("sdk/rust/src", "sdk/rust/src"),
            ],
        ),
        Language::TypeScript => (
            "sdk/js",
            &[
                ("sdk/js/README.md", "sdk/js/README.md"),
                ("sdk/js/package.json", "sdk/js/package.json"),
                ("sdk/js/src", "sdk/js/src"),
                ("sdk/js/build", "sdk/js/build"),
            ],
        ),
        Language::Python => (
            "sdk/python",
            &[
                ("sdk/python/README.md", "python/README.md"),
                ("sdk/python/strowger_sdk", "python/strowger_sdk"),
                ("sdk/python/wit_world", "python/wit_world"),
                ("sdk/python/componentize_py_types.py", "python/componentize_py_types.py"),
                ("sdk/python/requirements.txt", "python/requirements.txt"),
            ],
        ),
        Language::C => (
            "sdk/c",
            &[
                ("sdk/c/README.md", "sdk/c/README.md"),
                ("sdk/c/strowger.h", "sdk/c/strowger.h"),
                ("sdk/c/strowger.c", "sdk/c/strowger.c"),
                ("sdk/c/memory.c", "sdk/c/memory.c"),
                ("sdk/c/test.h", "sdk/c/test.h"),
                ("sdk/c/requirements.txt", "sdk/c/requirements.txt"),
                ("sdk/c/yyjson", "sdk/c/yyjson"),
            ],
        ),
    };
    let mut files = Vec::new();
    for (path, contents) in embedded::below(&format!("{folder}/template")) {
        // In the repository, a template's own would be taken for the repository's.
        let path = if path == "gitignore" { ".gitignore" } else { path };
        files.push((PathBuf::from(path), filled(contents, name)));
    }
    if !files.iter().any(|(path, _)| path == Path::new(MANIFEST)) {
        let manifest = format!("[provider]\nname = \"{name}\"\nlanguage = \"{language}\"\n");
        files.push((PathBuf::from(MANIFEST), manifest.into_bytes()));
    }
    let vendored = Path::new(SDK_FOLDER);
    for (from, to) in [("wit", "wit")].iter().chain(sdk) {
        for (rest, contents) in embedded::below(from) {
            let path = if rest.is_empty() {
                vendored.join(to)
            } else {
                vendored.join(to).join(rest)
            };
            files.push((path, contents.to_vec()));
        }
    }
    if language == Language::Rust {
        files.push((vendored.join("sdk/rust/Cargo.toml"), sdk_manifest()?.into_bytes()));
        // The versions that this repository is tested with; cargo takes out what the project does not need.
        if let Some(lock) = embedded::text("Cargo.lock") {
            files.push((PathBuf::from("Cargo.lock"), lock.as_bytes().to_vec()));
        }
    }
    Ok(files)
}

/// `{{name}}`, `{{display_name}}` and `{{snake_name}}` in a template's text.
fn filled(contents: &[u8], name: &str) -> Vec<u8> {
    match std::str::from_utf8(contents) {
        Ok(text) => text
            .replace("{{name}}", name)
            .replace("{{snake_name}}", &name.replace('-', "_"))
            .replace("{{display_name}}", &display_name(name))
            .into_bytes(),
        Err(_) => contents.to_vec(),
    }
}

/// `acme-voice` is `Acme Voice` until the author knows better.
fn display_name(name: &str) -> String {
    name.split('-')
        .filter(|word| !word.is_empty())
        .map(|word| {
            let (first, rest) = word.split_at(1);
            format!("{}{rest}", first.to_ascii_uppercase())
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// The Rust SDK's manifest with what it has from this repository's workspace written out.
fn sdk_manifest() -> Result<String, BuildError> {
    let broken = |why: String| {
        BuildError::new(
            "the Rust SDK inside this program cannot be unpacked",
            "sdk/rust/Cargo.toml",
            "this is a defect of strowger; please report it",
        )
        .because(why)
    };
    let read = |path: &str| -> Result<toml::Table, BuildError> {
        embedded::text(path)
            .ok_or_else(|| broken(format!("{path} is missing")))?
            .parse()
            .map_err(|error: toml::de::Error| broken(error.to_string()))
    };
    let root = read("Cargo.toml")?;
    let mut sdk = read("sdk/rust/Cargo.toml")?;
    let empty = toml::Table::new();
    let table = |value: Option<&toml::Value>| value.and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let workspace = root.get("workspace").and_then(toml::Value::as_table).unwrap_or(&empty);
    let (package, dependencies) = (table(workspace.get("package")), table(workspace.get("dependencies")));
    sdk.remove("lints");
    sdk.remove("dev-dependencies");
    for (section, known) in [("package", &package), ("dependencies", &dependencies)] {
        let Some(entries) = sdk.get_mut(section).and_then(toml::Value::as_table_mut) else {
            continue;
        };
        for (key, value) in entries.iter_mut() {
            let inherits = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            if inherits {
                let whole = known
                    .get(key)
                    .ok_or_else(|| broken(format!("the workspace has no {key}")))?;
                *value = inherited(value, whole);
            }
        }
    }
    Ok(sdk.to_string())
}

/// The workspace's entry, with what the crate adds to it.
fn inherited(own: &toml::Value, whole: &toml::Value) -> toml::Value {
    let mut whole = match whole {
        toml::Value::Table(table) => table.clone(),
        toml::Value::String(version) if own.as_table().is_some_and(|own| own.len() > 1) => {
            toml::Table::from_iter([("version".to_owned(), toml::Value::String(version.clone()))])
        }
        plain => return plain.clone(),
    };
    for (key, value) in own
        .as_table()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != "workspace")
    {
        whole.insert(key.clone(), value.clone());
    }
    toml::Value::Table(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_urls_and_files() {
        for good in ["acme", "acme-voice", "a1"] {
            assert!(is_provider_name(good), "{good}");
        }
        for bad in ["", "Acme", "../acme", "acme_voice", "1st", "-a", "a-", &"a".repeat(33)] {
            assert!(!is_provider_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_project_of_each_language_depends_on_nothing_of_the_workspace() {
        for language in Language::ALL {
            let files = files("acme-voice", language).unwrap();
            assert!(
                files
                    .iter()
                    .any(|(path, _)| path == Path::new(".strowger/wit/world.wit")),
                "{language}"
            );
            for (path, contents) in files {
                let text = String::from_utf8_lossy(&contents);
                assert!(
                    !text.contains("{{name}}") && !text.contains("{{display_name}}"),
                    "{}",
                    path.display()
                );
                assert!(
                    !path.ends_with("Cargo.toml") || !text.contains("workspace = true"),
                    "{}",
                    path.display()
                );
            }
        }
    }

    #[test]
    fn a_display_name_is_made_of_the_words() {
        assert_eq!(display_name("acme-voice"), "Acme Voice");
    }
}
