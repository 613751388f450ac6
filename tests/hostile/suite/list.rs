//! Holds `docs/sandbox.md` to what it says: each row of the hostile list names tests that exist.

use std::collections::BTreeSet;
use std::path::Path;

use strowger_tests::root;
use wit_parser::{Resolve, Type, TypeDefKind};

/// What the second word of a cell may be, and where its tests are.
const PLACES: [(&str, &str); 5] = [
    ("hostile", "tests/hostile/suite"),
    ("all", "tests/all"),
    ("server", "runtime/server/src"),
    ("host", "runtime/host/src"),
    ("kit", "runtime/kit"),
];
const ROWS: usize = 48;

/// The names of all functions in the Rust files of a folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split("fn ").skip(1) {
                let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                names.insert(part[..end.unwrap_or(part.len())].to_owned());
            }
        }
    }
}

#[test]
fn every_row_has_its_tests() {
    let places: Vec<(&str, BTreeSet<String>)> = PLACES
        .iter()
        .map(|(place, folder)| {
            let mut names = BTreeSet::new();
            functions(&root().join(folder), &mut names);
            (*place, names)
        })
        .collect();
    let page = std::fs::read_to_string(root().join("docs/sandbox.md")).unwrap();
    let mut rows = 0;
    let mut missing = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Ok(number) = cells[0].parse::<usize>() else {
            continue;
        };
        rows += 1;
        assert_eq!(number, rows, "the rows are in order");
        let mut place = None;
        let mut named = 0;
        for word in cells[cells.len() - 1].split([' ', ',']).filter(|word| !word.is_empty()) {
            match word.strip_prefix('`').and_then(|word| word.strip_suffix('`')) {
                None => {
                    place = places.iter().find(|(name, _)| *name == word);
                    assert!(place.is_some(), "row {number}: there is no place `{word}`");
                }
                Some(test) => {
                    named += 1;
                    let (_, names) = place.unwrap_or_else(|| panic!("row {number}: where is {test}?"));
                    if !names.contains(test) {
                        missing.push(format!("row {number}: {test}"));
                    }
                }
            }
        }
        assert!(named > 0, "row {number} names no test");
    }
    assert_eq!(rows, ROWS);
    assert!(
        missing.is_empty(),
        "there is no test of this name:\n{}",
        missing.join("\n")
    );
}

/// What some rows rely on: the canonical ABI has more than this contract uses.
#[test]
fn the_contract_has_nothing_that_it_does_not_need() {
    let mut resolve = Resolve::default();
    resolve.push_path(root().join("wit")).unwrap();
    let mut resources = 0;
    for (_, definition) in resolve.types.iter() {
        let name = definition.name.as_deref().unwrap_or("a type without a name");
        match &definition.kind {
            TypeDefKind::Stream(_) | TypeDefKind::Future(_) | TypeDefKind::Flags(_) | TypeDefKind::Map(..) => {
                panic!("{name} is of a kind that the host need not read")
            }
            TypeDefKind::Resource => resources += 1,
            TypeDefKind::Type(ty) => assert_plain(name, ty),
            TypeDefKind::Record(record) => record.fields.iter().for_each(|field| assert_plain(name, &field.ty)),
            _ => {}
        }
    }
    assert_eq!(resources, 1, "the leg is the only resource");
    for (_, interface) in resolve.interfaces.iter() {
        let types = interface.name.as_deref() == Some("types");
        assert!(
            !types || interface.functions.is_empty(),
            "what a provider imports has no functions"
        );
        for function in interface.functions.values() {
            for param in &function.params {
                assert_plain(&function.name, &param.ty);
            }
        }
    }
}

fn assert_plain(name: &str, ty: &Type) {
    assert!(
        !matches!(ty, Type::Char | Type::F32 | Type::F64 | Type::ErrorContext),
        "{name} has a {ty:?}"
    );
}
