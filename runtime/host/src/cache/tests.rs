use super::*;

const DIGEST: &str = "d1";
const ENGINE: u64 = 7;
const CODE: &[u8] = b"machine code";

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("strowger-cache-{name}-{}", std::process::id()));
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    folder
}

/// What is loaded after the stored file was changed.
fn after(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> (Option<Vec<u8>>, bool) {
    let folder = folder(name);
    let cache = CompiledCache::new(&folder, [1; 32]);
    cache.store(DIGEST, ENGINE, CODE);
    let path = cache.path(DIGEST, ENGINE);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    let loaded = cache.load(DIGEST, ENGINE);
    let kept = path.exists();
    fs::remove_dir_all(folder).unwrap();
    (loaded, kept)
}

#[test]
fn what_was_stored_is_loaded() {
    assert_eq!(after("hit", |_| {}), (Some(CODE.to_vec()), true));
}

#[test]
fn a_changed_file_is_removed_and_not_loaded() {
    assert_eq!(after("code", |bytes| bytes[0] ^= 1), (None, false));
    assert_eq!(after("tag", |bytes| *bytes.last_mut().unwrap() ^= 1), (None, false));
    assert_eq!(after("longer", |bytes| bytes.push(0)), (None, false));
    assert_eq!(after("shorter", |bytes| bytes.truncate(bytes.len() - 1)), (None, false));
    assert_eq!(
        after("tag-only", |bytes| drop(bytes.drain(..CODE.len()))),
        (None, false)
    );
    assert_eq!(after("stub", |bytes| bytes.truncate(3)), (None, false));
    assert_eq!(after("empty", Vec::clear), (None, false));
}

#[test]
fn a_file_counts_for_its_key_its_component_and_its_engine_only() {
    let folder = folder("binding");
    let cache = CompiledCache::new(&folder, [1; 32]);
    cache.store(DIGEST, ENGINE, CODE);
    let stored = fs::read(cache.path(DIGEST, ENGINE)).unwrap();
    // Moved to the place of another component, and of another engine.
    for (digest, engine) in [("d2", ENGINE), (DIGEST, 8)] {
        fs::write(cache.path(digest, engine), &stored).unwrap();
        assert_eq!(cache.load(digest, engine), None);
    }
    assert_eq!(CompiledCache::new(&folder, [2; 32]).load(DIGEST, ENGINE), None);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_removed_is_gone_for_every_engine_and_nothing_else_is() {
    let folder = folder("remove");
    let cache = CompiledCache::new(&folder, [1; 32]);
    for (digest, engine) in [(DIGEST, ENGINE), (DIGEST, 8), ("d11", ENGINE)] {
        cache.store(digest, engine, CODE);
    }
    cache.remove(DIGEST);
    assert_eq!((cache.load(DIGEST, ENGINE), cache.load(DIGEST, 8)), (None, None));
    assert_eq!(cache.load("d11", ENGINE).as_deref(), Some(CODE));
    CompiledCache::new(folder.join("nowhere"), [1; 32]).remove(DIGEST);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_costs_only_time() {
    let file = folder("file");
    fs::write(&file, b"not a folder").unwrap();
    let cache = CompiledCache::new(file.join("below"), [1; 32]);
    cache.store(DIGEST, ENGINE, CODE);
    assert_eq!(cache.load(DIGEST, ENGINE), None);
    fs::remove_file(file).unwrap();
}
