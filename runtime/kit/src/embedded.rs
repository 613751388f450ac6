//! The contract, the SDKs and their templates, as they were when this program was built.

/// Paths below the repository's root, sorted, and what the files contain.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files below a folder, by their paths below it; or the one file of that name, by an empty path.
pub(crate) fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES.iter().filter_map(move |(path, contents)| {
        let rest = path.strip_prefix(folder)?;
        match rest.strip_prefix('/') {
            Some(rest) => Some((rest, *contents)),
            None => rest.is_empty().then_some((rest, *contents)),
        }
    })
}

/// One file, as text.
pub(crate) fn text(path: &str) -> Option<&'static str> {
    let (_, contents) = FILES.iter().find(|(known, _)| *known == path)?;
    std::str::from_utf8(contents).ok()
}
