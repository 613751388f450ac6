//! What no client should send: whatever is wrong with it, the answer is a problem that says what, and nothing was changed.

use super::*;

/// Sends something, and checks that the answer is a problem as RFC 9457 wants it.
pub(super) async fn refused(server: &Server, request: Request<Body>) -> (u16, String, Value) {
    let shown = format!("{} {}", request.method(), request.uri());
    let response = server.raw(request).await;
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/problem+json",
        "{shown}"
    );
    let (status, body) = answer(response).await;
    let code = body["code"].as_str().unwrap().to_owned();
    assert_eq!(body["status"], status.as_u16(), "{body}");
    assert!(body["type"].as_str().unwrap().ends_with(&format!("/{code}")), "{body}");
    for (member, text) in [
        ("title", true),
        ("detail", true),
        ("retryable", false),
        ("errors", false),
    ] {
        assert_eq!(body[member].is_string(), text, "{member} of {body}");
        assert!(!body[member].is_null(), "{member} of {body}");
    }
    (status.as_u16(), code, body)
}

fn request(server: &Server, method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {}", server.key))
}

#[tokio::test]
async fn a_body_that_is_no_object_is_told() {
    let server = Server::start().await;
    let large = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX));
    let deep = format!("{}{}", "{\"a\":".repeat(200), "}".repeat(200));
    for (body, status, code) in [
        ("", 400, "malformed_body"),
        ("{\"name\": ", 400, "malformed_body"),
        ("[]", 400, "malformed_body"),
        ("null", 400, "malformed_body"),
        ("{\"name\": \"a\", \"name\": \"b\"}", 400, "malformed_body"),
        ("{\"name\": \"\\ud800\"}", 400, "malformed_body"),
        ("{\"name\": 1e999}", 400, "malformed_body"),
        (&*deep, 400, "malformed_body"),
        (&*large, 413, "body_too_large"),
    ] {
        let request = request(&server, Method::POST, CONFIGS).body(Body::from(body.to_owned()));
        let (found, answered, _) = refused(&server, request.unwrap()).await;
        assert_eq!((found, &*answered), (status, code), "{body:.80}");
    }
    let bytes = request(&server, Method::POST, CONFIGS).body(Body::from(&b"{\"name\": \"\xff\"}"[..]));
    assert_eq!(refused(&server, bytes.unwrap()).await.0, 400);
    assert_eq!(server.get(CONFIGS).await.1["configurations"], json!([]));
}

#[tokio::test]
async fn a_body_of_another_type_is_not_read() {
    let server = Server::start().await;
    let agents = "/api/v1/agents";
    let agent = r#"{"name": "bot", "protocol": "echo"}"#;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/jsonp",
        "json",
    ] {
        let request = request(&server, Method::POST, agents).header(header::CONTENT_TYPE, kind);
        let (status, code, _) = refused(&server, request.body(Body::from(agent)).unwrap()).await;
        assert_eq!((status, &*code), (415, "unsupported_media_type"), "{kind}");
    }
    for kind in [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/merge-patch+json",
    ] {
        let request = request(&server, Method::POST, agents).header(header::CONTENT_TYPE, kind);
        let body = json!({ "name": kind, "protocol": "echo" }).to_string();
        let response = server.raw(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{kind}");
    }
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_told() {
    let server = Server::start().await;
    for (method, path, status, code) in [
        (Method::GET, "/api/v1/nothing", 404, "not_found"),
        (Method::GET, "/api/v1/agents/", 404, "not_found"),
        (Method::GET, "/api/v1/agents/%ff", 404, "not_found"),
        (Method::GET, "/api/v1/agents/%00", 404, "not_found"),
        (Method::GET, "/api/v1/agents/..%2fcalls", 404, "not_found"),
        (Method::DELETE, "/api/v1/calls/not-an-id/transfer", 404, "not_found"),
        (Method::PATCH, CONFIGS, 405, "method_not_allowed"),
        (Method::DELETE, "/api/v1/calls", 405, "method_not_allowed"),
    ] {
        let request = request(&server, method, path).body(Body::empty()).unwrap();
        let (found, answered, _) = refused(&server, request).await;
        assert_eq!((found, &*answered), (status, code), "{path}");
    }
    let request = request(&server, Method::PATCH, CONFIGS).body(Body::empty()).unwrap();
    assert_eq!(server.raw(request).await.headers()[header::ALLOW], "GET,HEAD,POST");
}

#[tokio::test]
async fn a_query_is_checked_like_a_body() {
    let server = Server::start().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=5&limit=5", "limit"),
        ("state=%ff", "state"),
        ("direction=sideways", "direction"),
        ("agent_id=1", "agent_id"),
        ("colour=red", "colour"),
    ] {
        let path = format!("/api/v1/calls?{query}");
        let request = request(&server, Method::GET, &path).body(Body::empty()).unwrap();
        let (status, _, body) = refused(&server, request).await;
        assert_eq!((status, fields(&body)), (422, vec![field]), "{query}");
    }
}

#[tokio::test]
async fn an_answer_does_not_repeat_more_than_a_little_of_what_was_sent() {
    let server = Server::start().await;
    let many: serde_json::Map<String, Value> = (0..5_000)
        .map(|n| (format!("{n}{}", "x".repeat(40)), json!(1)))
        .collect();
    let long = json!({ "n".repeat(100_000): 1 });
    for body in [Value::Object(many), long] {
        let request = request(&server, Method::POST, "/api/v1/agents").body(Body::from(body.to_string()));
        let (status, _, body) = refused(&server, request.unwrap()).await;
        assert_eq!(status, 422);
        assert!(body.to_string().len() < 32 * 1024, "{}", body.to_string().len());
    }
}
