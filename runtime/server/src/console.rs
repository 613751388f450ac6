//! The console: pages that operators and tenants work with, served below `/console/`.
//!
//! The files of `runtime/server/console/` are in the binary as they are written: HTML, one style sheet, ES modules. Nothing
//! builds them, and a page asks no other host for anything. They are the same for everybody and hold no data; what they show
//! comes from the REST API, with the session of whoever signed in.
//!
//! All files but the first page lie below a folder named by the digest of all of them, so that a browser may keep them for
//! ever and never mixes two versions. The first page names that folder, and is asked for each time.

mod assets;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use self::assets::{ASSETS, Asset};

/// Where the console is.
const CONSOLE: &str = "/console/";

/// What a page may do: run and show what this gateway serves, ask this gateway, and be in nobody's frame. Media of the API
/// comes over the page's own requests (`blob:`), sound processing from a module of this folder.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For ever: another content has another address.
const KEEP: &str = "public, max-age=31536000, immutable";
/// Kept as well, but asked about each time.
const ASK: &str = "no-cache";

/// The console's routes, and the way there from `/` for browsers.
pub fn router() -> Router {
    Router::new()
        .route("/", get(front_door))
        .route("/console", get(|| async { Redirect::permanent(CONSOLE) }))
        .route(CONSOLE, get(first_page))
        .route("/console/{version}/{*file}", get(file))
}

/// A person who types the gateway's address wants the console; a program that asks for `/` wants to know that it is wrong.
async fn front_door(headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accepts| accepts.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        Redirect::temporary(CONSOLE).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

async fn first_page(headers: HeaderMap) -> Response {
    serve(&ASSETS.first_page, &headers, ASK)
}

/// A file of this version. Of another one there is none: a page that is older than the gateway says so and is loaded again.
async fn file(Path((version, file)): Path<(String, String)>, headers: HeaderMap) -> Response {
    match ASSETS.files.get(&*file) {
        Some(asset) if version == ASSETS.version => serve(asset, &headers, KEEP),
        _ => (
            StatusCode::NOT_FOUND,
            guarded(ASK),
            "there is no such file in this version of the console",
        )
            .into_response(),
    }
}

fn serve(asset: &Asset, headers: &HeaderMap, caching: &'static str) -> Response {
    let named = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let mut shared = guarded(caching);
    shared.insert(header::ETAG, asset.etag.clone());
    shared.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if named(header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(|tag| asset.etag == tag.trim())) {
        return (StatusCode::NOT_MODIFIED, shared).into_response();
    }
    shared.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    let packs = named(header::ACCEPT_ENCODING).is_some_and(|names| {
        let mut names = names
            .split(',')
            .map(|name| name.split(';').next().unwrap_or_default().trim());
        names.any(|name| name == "gzip")
    });
    match &asset.packed {
        Some(packed) if packs => {
            shared.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            (shared, packed.clone()).into_response()
        }
        _ => (shared, asset.plain.clone()).into_response(),
    }
}

/// What every answer says, whatever is in it.
fn guarded(caching: &'static str) -> HeaderMap {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, caching),
    ]
    .into_iter()
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
    .collect()
}

#[cfg(test)]
mod tests;
