//! What browsers are told beside the files.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use tower::ServiceExt as _;

use super::assets::ASSETS;
use super::router;

async fn get(path: &str, headers: &[(header::HeaderName, &str)]) -> Response {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn said(response: &Response, name: header::HeaderName) -> String {
    let value = response.headers().get(name).map(|value| value.to_str().unwrap());
    value.unwrap_or_default().to_owned()
}

async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn browsers_are_led_to_the_console_and_programs_are_not() {
    let led = get("/", &[(header::ACCEPT, "text/html,application/xhtml+xml")]).await;
    assert_eq!(
        (led.status(), &*said(&led, header::LOCATION)),
        (StatusCode::TEMPORARY_REDIRECT, "/console/")
    );
    assert_eq!(
        get("/", &[(header::ACCEPT, "*/*")]).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(said(&get("/console", &[]).await, header::LOCATION), "/console/");
}

#[tokio::test]
async fn the_first_page_names_the_folder_of_its_version() {
    let page = get("/console/", &[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(said(&page, header::CACHE_CONTROL), "no-cache");
    assert_eq!(said(&page, header::CONTENT_TYPE), "text/html; charset=utf-8");
    let page = text(page).await;
    assert!(page.contains(&format!("/console/{}/app.js", ASSETS.version)), "{page}");
    assert!(!page.contains("{version}"), "{page}");
}

#[tokio::test]
async fn every_answer_has_the_policy_and_no_script_is_inline() {
    let file = format!("/console/{}/app.js", ASSETS.version);
    for path in ["/console/", &file, "/console/0000000000000000/app.js"] {
        let response = get(path, &[]).await;
        let policy = said(&response, header::CONTENT_SECURITY_POLICY);
        for rule in ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(said(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(said(&response, header::REFERRER_POLICY), "no-referrer", "{path}");
    }
}

#[tokio::test]
async fn files_are_kept_for_ever_under_the_name_of_their_version() {
    let path = format!("/console/{}/style.css", ASSETS.version);
    let file = get(&path, &[]).await;
    assert_eq!(file.status(), StatusCode::OK);
    assert!(said(&file, header::CACHE_CONTROL).contains("immutable"));
    let etag = said(&file, header::ETAG);
    let known = get(&path, &[(header::IF_NONE_MATCH, &format!("\"other\", {etag}"))]).await;
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(said(&known, header::ETAG), etag);
    for stranger in [
        "/console/0000000000000000/style.css",
        &format!("/console/{}/none.css", ASSETS.version),
    ] {
        let missing = get(stranger, &[]).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        assert_eq!(
            said(&missing, header::CACHE_CONTROL),
            "no-cache",
            "a mistake is not kept"
        );
    }
}

#[tokio::test]
async fn files_are_packed_for_those_who_can_unpack_them() {
    let path = format!("/console/{}/app.js", ASSETS.version);
    for (accepted, encoding) in [
        ("gzip, deflate, br", "gzip"),
        ("br;q=1.0, gzip;q=0.8", "gzip"),
        ("identity", ""),
    ] {
        let file = get(&path, &[(header::ACCEPT_ENCODING, accepted)]).await;
        assert_eq!(said(&file, header::CONTENT_ENCODING), encoding, "{accepted}");
        assert_eq!(said(&file, header::VARY), "accept-encoding");
    }
}

/// The console is drawn from metadata: a carrier's name in it would be a line for a particular provider.
#[test]
fn no_file_names_another_host() {
    for (path, asset) in &ASSETS.files {
        let text = String::from_utf8_lossy(&asset.plain);
        for (place, _) in text.match_indices("://") {
            let before = &text[..place];
            let rest = &text[place..];
            // A namespace, and what a form shows as an example (RFC 2606): nothing is fetched from either.
            let namespace = ["://www.w3.org/", "://example.com/"]
                .iter()
                .any(|inert| rest.starts_with(inert));
            assert!(
                namespace || !(before.ends_with("http") || before.ends_with("https")),
                "{path} names another host: {}",
                rest.chars().take(40).collect::<String>()
            );
        }
    }
}
