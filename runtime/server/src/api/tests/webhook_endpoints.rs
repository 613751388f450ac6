//! Endpoints for events, as far as they can be told without delivering anything.

use super::*;

const ENDPOINTS: &str = "/api/v1/webhook-endpoints";

#[tokio::test]
async fn an_endpoint_is_made_changed_and_taken_away_and_its_secret_shown_once() {
    let server = Server::start().await;
    let (status, made) = server
        .post(ENDPOINTS, json!({ "url": "https://example.com/hooks" }))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let secret = made["secret"].as_str().unwrap();
    assert!(crate::outbox::WebhookSecret::parse(secret).is_some());
    assert_eq!(
        (&made["event_types"], &made["enabled"], &made["description"]),
        (&json!(["*"]), &json!(true), &Value::Null)
    );
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    let change = json!({ "event_types": ["call.ended", "call.created", "call.ended"], "description": "Billing" });
    let (status, changed) = server.send(Method::PUT, &path, Some(change)).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert_eq!(changed["event_types"], json!(["call.created", "call.ended"]));
    assert_eq!(changed["url"], made["url"], "what is left out stays");
    assert_eq!(changed.get("secret"), None);
    let (_, cleared) = server
        .send(
            Method::PUT,
            &path,
            Some(json!({ "event_types": ["*"], "description": "" })),
        )
        .await;
    assert_eq!(
        (&cleared["event_types"], &cleared["description"]),
        (&json!(["*"]), &Value::Null)
    );
    let (_, list) = server.get(ENDPOINTS).await;
    assert_eq!(list, json!({ "webhook_endpoints": [cleared], "next_cursor": null }));
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, StatusCode::OK);
    assert_eq!(server.get(&path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_an_endpoint_cannot_be_is_told_by_field() {
    let server = Server::start().await;
    for (body, field) in [
        (json!({}), "url"),
        (json!({ "url": "example.com" }), "url"),
        // The operator allows 10.0.0.0/8, and the rest of the internet only with TLS.
        (json!({ "url": "http://192.0.2.1/" }), "url"),
        (json!({ "url": "http://[::1]/" }), "url"),
        (json!({ "url": "https://127.0.0.1/" }), "url"),
        (json!({ "url": "https://a:b@example.com/" }), "url"),
        (json!({ "url": "https://example.com/#x" }), "url"),
        (json!({ "url": "https://example.com:0/" }), "url"),
        (
            json!({ "url": "https://example.com", "event_types": [] }),
            "event_types",
        ),
        (
            json!({ "url": "https://example.com", "event_types": "*" }),
            "event_types",
        ),
        (
            json!({ "url": "https://example.com", "event_types": ["ping"] }),
            "event_types",
        ),
        (
            json!({ "url": "https://example.com", "event_types": ["*", "call.ended"] }),
            "event_types",
        ),
        (json!({ "url": "https://example.com", "description": 7 }), "description"),
        (json!({ "url": "https://example.com", "enabled": "yes" }), "enabled"),
        (
            json!({ "url": "https://example.com", "secret": "whsec_mine" }),
            "secret",
        ),
    ] {
        let (status, told) = server.post(ENDPOINTS, body.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(fields(&told), [field], "{body}");
    }
    assert_eq!(
        server.post(ENDPOINTS, json!({ "url": "http://10.1.2.3/" })).await.0,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn deliveries_are_asked_for_by_state_and_page() {
    let server = Server::start().await;
    let (_, made) = server
        .post(ENDPOINTS, json!({ "url": "https://example.com/hooks" }))
        .await;
    let path = format!("{ENDPOINTS}/{}", made["id"].as_str().unwrap());
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (status, told) = server.post(&format!("{path}/test"), json!({})).await;
        assert_eq!(
            (status, &told["event_type"], &told["state"]),
            (StatusCode::ACCEPTED, &json!("ping"), &json!("pending"))
        );
        ids.insert(0, told["id"].clone());
    }
    let (_, page) = server.get(&format!("{path}/deliveries?limit=2&state=pending")).await;
    let shown: Vec<&Value> = page["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(shown, [&ids[0], &ids[1]]);
    let cursor = page["next_cursor"].as_str().unwrap();
    let (_, page) = server.get(&format!("{path}/deliveries?limit=2&cursor={cursor}")).await;
    assert_eq!(
        (&page["deliveries"][0]["id"], &page["next_cursor"]),
        (&ids[2], &Value::Null)
    );
    let (_, page) = server.get(&format!("{path}/deliveries?state=dead")).await;
    assert_eq!(page["deliveries"], json!([]));
    for query in ["state=lost", "limit=0", "limit=201", "cursor=7", "before=x"] {
        let (status, _) = server.get(&format!("{path}/deliveries?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
    for (delivery, status) in [
        (ids[0].as_str().unwrap(), StatusCode::CONFLICT),
        ("018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192", StatusCode::NOT_FOUND),
        ("7", StatusCode::NOT_FOUND),
    ] {
        let (told, _) = server
            .post(&format!("{path}/deliveries/{delivery}/resend"), json!({}))
            .await;
        assert_eq!(told, status, "{delivery}");
    }
}
