//! The console's files, packed once, when the first of them is asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::LazyLock;

use axum::http::HeaderValue;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

/// Builds without optimisation read the files from the source folder, so that whoever works on the console sees a change
/// after a restart.
#[derive(RustEmbed)]
#[folder = "console"]
struct Folder;

const FIRST_PAGE: &str = "index.html";
/// Stands in the first page for the name of the folder that the other files are served from.
const VERSION_MARK: &str = "{version}";
/// Hexadecimal digits of a digest that tell two versions apart.
const VERSION_CHARS: usize = 16;

/// All of them.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::pack);

/// The files of one version of the console.
#[derive(Debug)]
pub(super) struct Assets {
    /// Digest of all files, shortened.
    pub(super) version: String,
    /// What is served as `/console/`.
    pub(super) first_page: Asset,
    /// Everything else, by path.
    pub(super) files: BTreeMap<String, Asset>,
}

/// One file.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) content_type: &'static str,
    pub(super) etag: HeaderValue,
    pub(super) plain: Bytes,
    /// With gzip, where that is smaller.
    pub(super) packed: Option<Bytes>,
}

impl Assets {
    fn pack() -> Self {
        let contents: BTreeMap<Cow<'static, str>, Cow<'static, [u8]>> = Folder::iter()
            .filter_map(|path| Folder::get(&path).map(|file| (path, file.data)))
            .collect();
        let mut digest = Sha256::new();
        for (path, content) in &contents {
            // Lengths keep a byte that moves from a name into a content apart.
            digest.update((path.len() as u64).to_be_bytes());
            digest.update(path.as_bytes());
            digest.update((content.len() as u64).to_be_bytes());
            digest.update(content);
        }
        let mut version = hex::encode(digest.finalize());
        version.truncate(VERSION_CHARS);
        let first_page = contents.get(FIRST_PAGE).map(Cow::as_ref).unwrap_or_default();
        let first_page = String::from_utf8_lossy(first_page).replace(VERSION_MARK, &version);
        let first_page = Asset::new(FIRST_PAGE, first_page.into_bytes());
        let files = contents
            .into_iter()
            .filter(|(path, _)| path != FIRST_PAGE)
            .map(|(path, content)| {
                let asset = Asset::new(&path, content.into_owned());
                (path.into_owned(), asset)
            })
            .collect();
        Self {
            version,
            first_page,
            files,
        }
    }
}

impl Asset {
    fn new(path: &str, content: Vec<u8>) -> Self {
        let digest = hex::encode(Sha256::digest(&content));
        let etag = format!("\"{}\"", &digest[..VERSION_CHARS]);
        let packed = gzip(&content).filter(|packed| packed.len() < content.len());
        Self {
            content_type: content_type(path),
            // Hexadecimal digits are always a header's value.
            etag: HeaderValue::try_from(etag).unwrap_or_else(|_| HeaderValue::from_static("\"\"")),
            plain: content.into(),
            packed: packed.map(Bytes::from),
        }
    }
}

fn gzip(content: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    encoder.finish().ok()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}
