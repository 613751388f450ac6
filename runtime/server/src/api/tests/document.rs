//! The document about the API says what the API does.

use std::collections::BTreeSet;

use super::*;

pub(super) fn document() -> Value {
    serde_json::to_value(routes::<Fake>().finish().1).unwrap()
}

/// Every operation: method, path, and what is said about it.
pub(super) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

#[test]
fn the_committed_document_is_the_current_one() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let current = format!("{:#}\n", document());
    if std::env::var_os("STROWGER_BLESS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "docs/openapi.json is not what the code says; run `STROWGER_BLESS=1 cargo test -p strowger-server --lib the_committed_document`"
    );
}

#[tokio::test]
async fn every_route_is_in_the_document() {
    let server = Server::start().await;
    let documented: BTreeSet<_> = operations(&document())
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let routes = access::routes(&server).await.into_iter();
    let routes: BTreeSet<_> = routes.map(|(method, path)| (method.to_string(), path)).collect();
    let missing: Vec<_> = routes.difference(&documented).collect();
    assert!(missing.is_empty(), "not in the document: {missing:?}");
    assert_eq!(routes, documented);
}

#[test]
fn every_operation_says_what_a_client_needs_to_know() {
    let document = document();
    let mut names = BTreeSet::new();
    let tags: Vec<_> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].clone())
        .collect();
    for (method, path, operation) in operations(&document) {
        let shown = format!("{method} {path}");
        let name = operation["operationId"].as_str().unwrap_or_default().to_owned();
        assert!(!name.is_empty() && names.insert(name), "{shown} has no name of its own");
        assert!(operation["summary"].is_string(), "{shown} has no summary");
        assert!(tags.contains(&operation["tags"][0]), "{shown} is in no section");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{shown}");
        let open = operation["security"] == json!([]);
        // Signing in is open to everybody, and can fail.
        let can_be_refused = !open || method == "POST";
        assert_eq!(responses.contains_key("401"), can_be_refused, "{shown}");
    }
    assert!(names.len() > 40);
    // Nothing is named that is not there.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[tokio::test]
async fn every_documented_operation_exists_and_no_stranger_may() {
    let server = Server::start().await;
    for (method, path, operation) in operations(&document()) {
        let path = access::filled(&path);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request::builder()
            .method(method.clone())
            .uri(&path)
            .body(Body::empty())
            .unwrap();
        let status = server.raw(request).await.status();
        let expected = if operation["security"] == json!([]) && method == Method::POST {
            // It asks for a key.
            StatusCode::BAD_REQUEST
        } else if operation["security"] == json!([]) {
            StatusCode::OK
        } else {
            StatusCode::UNAUTHORIZED
        };
        assert_eq!(status, expected, "{method} {path}");
    }
}

/// What a handler reads and what is said about its body are written down in two places: this holds them together.
#[tokio::test]
async fn the_fields_of_every_body_are_those_that_are_read() {
    let server = Server::start().await;
    let operator = server.operator().await;
    let organization = server.organization.to_string();
    let endpoint = server
        .made(
            "/api/v1/webhook-endpoints",
            json!({ "url": "https://example.com/hooks" }),
        )
        .await;
    let configuration = server.made(CONFIGS, json!({ "name": "T", "config": { "provider": "trunkphone", "account": "t1", "auth_token": "secret-token" } })).await;
    let base = format!("{CONFIGS}/{configuration}");
    let agent = server.agent().await;
    let number = server
        .made(&format!("{base}/phone-numbers"), json!({ "address": "+14155550001" }))
        .await;
    let trunk = server
        .made(
            &format!("{base}/trunks"),
            json!({ "name": "east", "settings": { "region": "eu" } }),
        )
        .await;
    let document = document();
    let mut checked = 0;
    for (method, path, operation) in operations(&document) {
        let Some(reference) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str() else {
            continue;
        };
        let schema = document.pointer(&reference[1..]).unwrap();
        assert_eq!(schema["additionalProperties"], json!(false), "{path}");
        let documented: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let filled = path
            .replace("{configuration}", &configuration)
            .replace("{agent}", &agent)
            .replace("{number}", &number)
            .replace("{trunk}", &trunk)
            .replace("{call}", &agent)
            .replace("{endpoint}", &endpoint)
            .replace("{organization}", &organization)
            .replace("{provider}", "testphone")
            .replace("{digest}", &"0".repeat(64));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let asks = if path.starts_with("/api/v1/operator/") {
            &operator
        } else {
            &server
        };
        let (status, body) = asks
            .send(method.clone(), &filled, Some(json!({ "no_such_field": 1 })))
            .await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{method} {filled}: {body}");
        let problems = body["errors"].as_array().unwrap();
        let unknown = problems
            .iter()
            .find(|problem| problem["field"] == "no_such_field")
            .unwrap();
        let read = unknown["problem"]
            .as_str()
            .unwrap()
            .split("the fields are ")
            .nth(1)
            .unwrap();
        let read: BTreeSet<String> = read.split(", ").map(str::to_owned).collect();
        assert_eq!(documented, read, "{method} {path}");
        checked += 1;
    }
    assert!(checked >= 20, "{checked}");
}

#[tokio::test]
async fn the_document_is_served_as_json_and_as_a_page_to_everybody() {
    let server = Server::start().await;
    for (path, kind) in [
        ("/api/v1/openapi.json", "application/json"),
        ("/api/v1/docs", "text/html; charset=utf-8"),
    ] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = server.raw(request).await;
        assert_eq!(
            (response.status(), &response.headers()[header::CONTENT_TYPE]),
            (StatusCode::OK, &kind.parse().unwrap())
        );
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("initiateCall"), "{path}");
        if kind.starts_with("text") {
            // Links within the page, and to the document beside it; nothing is fetched from anywhere.
            assert!(
                !text.contains("src=") && !text.contains("<script") && !text.contains("href=\"http"),
                "{text}"
            );
        }
    }
}
