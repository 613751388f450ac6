//! Two writers at once on every resource, and requests that are sent again.

use futures_util::future::join_all;

use super::*;

impl Server {
    /// Sends something with headers, and gives the answer's entity tag as well.
    async fn with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> (u16, Option<String>, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        let response = self.raw(request.body(body).unwrap()).await;
        let tag = response
            .headers()
            .get(header::ETAG)
            .map(|tag| tag.to_str().unwrap().to_owned());
        let (status, body) = answer(response).await;
        (status.as_u16(), tag, body)
    }
}

/// One of every resource that is changed: its path, and two changes of it.
async fn resources(server: &Server) -> Vec<(String, Value, Value)> {
    let trunked = server
        .made(CONFIGS, json!({ "name": "T", "config": { "provider": "trunkphone", "account": "t1", "auth_token": "secret-token" } }))
        .await;
    let base = format!("{CONFIGS}/{trunked}");
    let number = server
        .made(&format!("{base}/phone-numbers"), json!({ "address": "+14155550001" }))
        .await;
    let trunk = server
        .made(
            &format!("{base}/trunks"),
            json!({ "name": "east", "settings": { "region": "eu" } }),
        )
        .await;
    let agent = server.agent().await;
    let configuration = server.configuration("C", "c1").await;
    let endpoint = server
        .made(
            "/api/v1/webhook-endpoints",
            json!({ "url": "https://example.com/hooks" }),
        )
        .await;
    vec![
        (
            format!("/api/v1/webhook-endpoints/{endpoint}"),
            json!({ "description": "a" }),
            json!({ "description": "b" }),
        ),
        (
            format!("{base}/phone-numbers/{number}"),
            json!({ "label": "a" }),
            json!({ "label": "b" }),
        ),
        (
            format!("{base}/trunks/{trunk}"),
            json!({ "name": "a" }),
            json!({ "name": "b" }),
        ),
        (
            format!("/api/v1/agents/{agent}"),
            json!({ "name": "a" }),
            json!({ "name": "b" }),
        ),
        (
            format!("{CONFIGS}/{configuration}"),
            json!({ "name": "a" }),
            json!({ "name": "b" }),
        ),
    ]
}

#[tokio::test]
async fn a_change_counts_for_what_was_read_and_for_nothing_else() {
    let server = Server::start().await;
    for (path, one, other) in resources(&server).await {
        let (status, tag, read) = server.with(Method::GET, &path, &[], None).await;
        let tag = tag.unwrap();
        assert_eq!(status, 200, "{path}");
        for known in [&*tag, "*", &format!("\"x\", W/{tag}")] {
            let (status, again, body) = server.with(Method::GET, &path, &[("if-none-match", known)], None).await;
            assert_eq!(
                (status, again.as_deref(), body),
                (304, Some(&*tag), Value::Null),
                "{path}: {known}"
            );
        }
        let (status, _, _) = server
            .with(Method::GET, &path, &[("if-none-match", "\"other\"")], None)
            .await;
        assert_eq!(status, 200);

        let (status, changed, body) = server
            .with(Method::PUT, &path, &[("if-match", &tag)], Some(one.clone()))
            .await;
        assert_eq!(status, 200, "{path}: {body}");
        assert_ne!(changed.as_deref(), Some(&*tag), "{path}");
        for stale in [&*tag, "\"never-given\"", "1", "W/\"1-0000000000000000\""] {
            for (method, body) in [(Method::PUT, Some(other.clone())), (Method::DELETE, None)] {
                let (status, _, body) = server.with(method, &path, &[("if-match", stale)], body).await;
                assert_eq!((status, body["code"].as_str()), (412, Some("stale")), "{path}: {stale}");
            }
        }
        let (_, _, now) = server.with(Method::GET, &path, &[], None).await;
        let field = one.as_object().unwrap().keys().next().unwrap();
        assert_eq!(
            now[field], one[field],
            "a refused change changed something: {path}, {read}"
        );
        // Who does not say is taken at their word, and so is `*`.
        for headers in [&[][..], &[("if-match", "*")]] {
            let (status, _, body) = server.with(Method::PUT, &path, headers, Some(other.clone())).await;
            assert_eq!((status, &body[field]), (200, &other[field]), "{path}");
        }
        let (_, current, _) = server.with(Method::GET, &path, &[], None).await;
        let (status, _, body) = server
            .with(Method::DELETE, &path, &[("if-match", &current.unwrap())], None)
            .await;
        assert_eq!(status, 200, "{path}: {body}");
    }
}

#[tokio::test]
async fn of_writers_that_have_read_the_same_one_writes() {
    let server = Server::start().await;
    for (path, one, other) in resources(&server).await {
        let (_, tag, _) = server.with(Method::GET, &path, &[], None).await;
        let headers = [("if-match", &*tag.unwrap())];
        let writers = (0..8).map(|n| {
            let body = if n % 2 == 0 { &one } else { &other };
            server.with(Method::PUT, &path, &headers, Some(body.clone()))
        });
        let mut statuses: Vec<u16> = join_all(writers).await.into_iter().map(|(status, ..)| status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412], "{path}");
    }
}

#[tokio::test]
async fn limits_are_set_for_what_was_read() {
    let server = Server::start().await;
    let operator = server.operator().await;
    let path = format!("/api/v1/operator/organizations/{}/limits", server.organization);
    // Nothing was said yet, and that can be read as well.
    let (status, tag, _) = operator.with(Method::GET, &path, &[], None).await;
    let tag = tag.unwrap();
    let known = [("if-none-match", &*tag)];
    assert_eq!(
        (status, operator.with(Method::GET, &path, &known, None).await.0),
        (200, 304)
    );
    let headers = [("if-match", &*tag)];
    let writers = (1..=8).map(|max| operator.with(Method::PUT, &path, &headers, Some(json!({ "calls_max": max }))));
    let answers = join_all(writers).await;
    let mut statuses: Vec<u16> = answers.iter().map(|(status, ..)| *status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    let written = answers.iter().find(|(status, ..)| *status == 200).unwrap();
    let (_, now, body) = operator.with(Method::GET, &path, &[], None).await;
    assert_eq!((&now, &body), (&written.1, &written.2));
    // Who does not say replaces what there is.
    let (status, _, body) = operator.with(Method::PUT, &path, &[], Some(json!({}))).await;
    assert_eq!((status, &body["set_by_operator"]), (200, &json!([])));
}

#[tokio::test]
async fn writers_of_different_fields_lose_nothing_of_each_other() {
    let server = Server::start().await;
    let agent = format!("/api/v1/agents/{}", server.agent().await);
    let changes = [
        json!({ "name": "renamed" }),
        json!({ "record": true }),
        json!({ "sample_rate_hz": 8000 }),
        json!({ "parameters": { "a": 1 } }),
    ];
    let writers = changes.iter().map(|change| server.put(&agent, change.clone()));
    for (status, body) in join_all(writers).await {
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    let (_, body) = server.get(&agent).await;
    for change in &changes {
        for (field, value) in change.as_object().unwrap() {
            assert_eq!(&body[field], value, "{field}");
        }
    }
    let mut others = resources(&server).await;
    let (endpoint, ..) = others.remove(0);
    let changes = [
        json!({ "description": "Billing" }),
        json!({ "enabled": false }),
        json!({ "event_types": ["call.ended"] }),
    ];
    for (status, body) in join_all(changes.iter().map(|change| server.put(&endpoint, change.clone()))).await {
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    let (_, body) = server.get(&endpoint).await;
    assert_eq!(
        (&body["description"], &body["enabled"], &body["event_types"]),
        (&json!("Billing"), &json!(false), &json!(["call.ended"]))
    );
    let (number, ..) = others.remove(0);
    let changes = [
        json!({ "label": "front" }),
        json!({ "is_active": false }),
        json!({ "extra_metadata": { "a": 1 } }),
    ];
    for (status, body) in join_all(changes.iter().map(|change| server.put(&number, change.clone()))).await {
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    let (_, body) = server.get(&number).await;
    assert_eq!(
        (&body["label"], &body["is_active"], &body["extra_metadata"]),
        (&json!("front"), &json!(false), &json!({ "a": 1 }))
    );
}

#[tokio::test]
async fn a_condition_that_is_no_text_is_told() {
    let server = Server::start().await;
    let agent = format!("/api/v1/agents/{}", server.agent().await);
    let request = Request::builder()
        .uri(&agent)
        .header(header::AUTHORIZATION, format!("Bearer {}", server.key))
        .header(header::IF_NONE_MATCH, HeaderValue::from_bytes(b"\"\xff\"").unwrap());
    let (status, body) = answer(server.raw(request.body(Body::empty()).unwrap()).await).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("invalid_condition"))
    );
}

/// A configuration that places calls, and the body that places one.
async fn callable(server: &Server) -> Value {
    let configuration = server.configuration("ready", "acct").await;
    let numbers = format!("{CONFIGS}/{configuration}/phone-numbers");
    server.made(&numbers, json!({ "address": "+14155550001" })).await;
    let body = json!({ "agent_id": server.agent().await, "phone_number": "+442079460000" });
    server.fake.asked();
    body
}

const INITIATE: &str = "/api/v1/telephony/initiate-call";

#[tokio::test]
async fn a_call_that_is_asked_for_again_is_placed_once() {
    let server = Server::start().await;
    let body = callable(&server).await;
    let key = [("idempotency-key", "order-17")];
    let (status, _, first) = server.with(Method::POST, INITIATE, &key, Some(body.clone())).await;
    assert_eq!(status, 200, "{first}");
    for _ in 0..2 {
        let (status, _, again) = server.with(Method::POST, INITIATE, &key, Some(body.clone())).await;
        assert_eq!((status, &again), (200, &first));
    }
    assert_eq!(server.fake.asked().len(), 1);
    let mut other = body.clone();
    other["ring_timeout_s"] = json!(20);
    let (status, _, refused) = server.with(Method::POST, INITIATE, &key, Some(other)).await;
    assert_eq!(
        (status, refused["code"].as_str()),
        (422, Some("idempotency_key_reused"))
    );
    // The same text is another key for another request's path, and for another organisation.
    let stranger = server.stranger().await;
    let (status, ..) = stranger.with(Method::POST, INITIATE, &key, Some(body.clone())).await;
    assert_eq!(status, 400, "the stranger has no configuration of its own");
    let (status, _, next) = server
        .with(Method::POST, INITIATE, &[("idempotency-key", "order-18")], Some(body))
        .await;
    assert_eq!(status, 200);
    assert_ne!(next["call_id"], first["call_id"]);
}

#[tokio::test]
async fn of_requests_at_once_under_one_key_one_is_done() {
    let server = Server::start().await;
    let body = callable(&server).await;
    let key = [("idempotency-key", "k")];
    let requests = (0..8).map(|_| server.with(Method::POST, INITIATE, &key, Some(body.clone())));
    let answers = join_all(requests).await;
    let mut placed = Vec::new();
    for (status, _, body) in answers {
        match status {
            200 => placed.push(body["call_id"].clone()),
            409 => assert_eq!(
                (&body["code"], &body["retryable"]),
                (&json!("idempotency_key_in_use"), &json!(true))
            ),
            _ => panic!("{status}: {body}"),
        }
    }
    placed.dedup();
    assert_eq!((placed.len(), server.fake.asked().len()), (1, 1));
}

#[tokio::test]
async fn what_did_nothing_gives_the_key_back_and_what_may_have_done_something_keeps_it() {
    let server = Server::start().await;
    let body = callable(&server).await;
    let key = [("idempotency-key", "k")];
    let (status, ..) = server
        .with(Method::POST, INITIATE, &key, Some(json!({ "agent_id": 1 })))
        .await;
    assert_eq!(status, 422);
    server.fake.answer(|answers| answers.place = Some(fault()));
    let (status, _, first) = server.with(Method::POST, INITIATE, &key, Some(body.clone())).await;
    assert_eq!(status, 502, "{first}");
    let (status, _, again) = server.with(Method::POST, INITIATE, &key, Some(body)).await;
    assert_eq!((status, again), (502, first));
    assert_eq!(server.fake.asked().len(), 1);
}

#[tokio::test]
async fn creating_is_idempotent_and_a_key_that_is_none_is_refused() {
    let server = Server::start().await;
    let agent = json!({ "name": "bot", "protocol": "echo" });
    let key = [("idempotency-key", "k")];
    let (status, _, first) = server
        .with(Method::POST, "/api/v1/agents", &key, Some(agent.clone()))
        .await;
    assert_eq!(status, 201, "{first}");
    let (status, _, again) = server
        .with(Method::POST, "/api/v1/agents", &key, Some(agent.clone()))
        .await;
    assert_eq!((status, again), (201, first));
    for wrong in ["", "a b", &"k".repeat(256)] {
        let (status, _, body) = server
            .with(
                Method::POST,
                "/api/v1/agents",
                &[("idempotency-key", wrong)],
                Some(agent.clone()),
            )
            .await;
        assert_eq!(
            (status, body["code"].as_str()),
            (400, Some("invalid_idempotency_key")),
            "{wrong:.10}"
        );
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let (status, ..) = server.with(Method::POST, "/api/v1/agents", &twice, Some(agent)).await;
    assert_eq!(status, 400);
}
