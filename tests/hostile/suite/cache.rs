//! Compiled code on disk: nobody's but this installation's is run.

use strowger_host::cache::CompiledCache;
use strowger_host::{Engine, EngineOptions, LoadError, Provider};
use strowger_hostile::Guest;
use strowger_tests::guest_bytes;

use crate::neighbour::neighbour;

struct Cached {
    folder: tempfile::TempDir,
}

impl Cached {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn engine(&self, key: u8) -> Engine {
        let cache = Some(CompiledCache::new(self.folder.path().join("compiled"), [key; 32]));
        Engine::new(EngineOptions {
            cache,
            ..EngineOptions::default()
        })
        .unwrap()
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("compiled")).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn only_file(&self) -> std::path::PathBuf {
        match self.files().as_slice() {
            [file] => file.clone(),
            files => panic!("{files:?}"),
        }
    }
}

/// What the cache writes behind machine code.
fn tag(key: u8, digest: &str, engine: u64, code: &[u8]) -> Vec<u8> {
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&[key; 32]).unwrap();
    mac.update(digest.as_bytes());
    mac.update(&engine.to_be_bytes());
    mac.update(code);
    mac.finalize().into_bytes().to_vec()
}

/// Two small components that differ in what their loading says.
fn two() -> (Vec<u8>, Vec<u8>) {
    (Guest::new().build(), Guest::new().spec("unreachable").build())
}

fn says(engine: &Engine, bytes: &[u8]) -> &'static str {
    match Provider::load(engine, bytes) {
        Err(LoadError::Spec(_)) => "nameless",
        Err(LoadError::Failed(_)) => "traps",
        other => panic!("{other:?}"),
    }
}

#[test]
fn compiled_code_is_kept_and_used() {
    let cached = Cached::new();
    let (nameless, traps) = two();
    assert_eq!(says(&cached.engine(1), &nameless), "nameless");
    let file = cached.only_file();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let (digest, engine) = name.rsplit_once('-').unwrap();
    let engine = u64::from_str_radix(engine, 16).unwrap();
    // To see that it is used: put the other component's code in its place, as only this installation could.
    assert_eq!(says(&cached.engine(1), &traps), "traps");
    let other = cached.files().into_iter().find(|path| *path != file).unwrap();
    let mut code = std::fs::read(other).unwrap();
    code.truncate(code.len() - 32);
    let tag = tag(1, digest, engine, &code);
    std::fs::write(&file, [code, tag].concat()).unwrap();
    assert_eq!(says(&cached.engine(1), &nameless), "traps");
}

/// Makes a damaged file of this component's and another's.
type Change = fn(&[u8], &[u8]) -> Vec<u8>;

#[test]
fn compiled_code_that_is_not_authentic_is_never_run() {
    let (nameless, traps) = two();
    let changes: [(&str, Change); 6] = [
        ("another component's file", |_, other| other.to_vec()),
        ("another component's code under the old tag", |whole, other| {
            [&other[..other.len() - 32], &whole[whole.len() - 32..]].concat()
        }),
        ("one bit", |whole, _| {
            let mut changed = whole.to_vec();
            changed[whole.len() / 2] ^= 1;
            changed
        }),
        ("truncated", |whole, _| whole[..whole.len() / 2].to_vec()),
        ("empty", |_, _| Vec::new()),
        ("garbage", |_, _| vec![0xcc; 4096]),
    ];
    for (what, change) in changes {
        let cached = Cached::new();
        assert_eq!(says(&cached.engine(1), &nameless), "nameless");
        let file = cached.only_file();
        assert_eq!(says(&cached.engine(1), &traps), "traps");
        let other = cached.files().into_iter().find(|path| *path != file).unwrap();
        let (whole, other) = (std::fs::read(&file).unwrap(), std::fs::read(other).unwrap());
        std::fs::write(&file, change(&whole, &other)).unwrap();
        assert_eq!(says(&cached.engine(1), &nameless), "nameless", "{what}");
        assert_eq!(
            std::fs::read(&file).unwrap().len(),
            whole.len(),
            "{what}: it is compiled and kept again"
        );
    }
}

#[test]
fn a_cache_of_another_installation_is_not_trusted() {
    let cached = Cached::new();
    let (nameless, _) = two();
    assert_eq!(says(&cached.engine(1), &nameless), "nameless");
    let before = std::fs::read(cached.only_file()).unwrap();
    assert_eq!(says(&cached.engine(2), &nameless), "nameless");
    let after = std::fs::read(cached.only_file()).unwrap();
    assert_ne!(
        before[before.len() - 32..],
        after[after.len() - 32..],
        "it is made again under this installation's key"
    );
}

#[test]
fn a_damaged_component_leaves_nothing_in_the_cache() {
    let cached = Cached::new();
    let whole = guest_bytes("strowger_hostile_guest");
    assert!(Provider::load(&cached.engine(1), &whole[..whole.len() / 2]).is_err());
    assert!(!cached.folder.path().join("compiled").exists());
}

/// What the cache writes, and what any compiler writes, is no component: it is told by its first bytes.
#[test]
fn machine_code_is_no_component() {
    let cached = Cached::new();
    let (nameless, _) = two();
    assert_eq!(says(&cached.engine(1), &nameless), "nameless");
    let code = std::fs::read(cached.only_file()).unwrap();
    for bytes in [&code[..], &code[..code.len() - 32]] {
        assert!(matches!(
            Provider::load(&cached.engine(1), bytes),
            Err(LoadError::NotWasm)
        ));
    }
    // Nor is it when a component's header stands before it.
    let dressed = [&b"\0asm\x0d\0\x01\0"[..], &code].concat();
    assert!(matches!(
        Provider::load(&cached.engine(1), &dressed),
        Err(LoadError::Invalid(_))
    ));
    neighbour();
}
