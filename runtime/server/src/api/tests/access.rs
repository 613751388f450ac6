//! Who may do what: roles on every route, keys, sessions of the console and attacks on them.

use axum::http::HeaderMap;

use super::*;
use crate::store::{Power, SessionToken};

const SESSION: &str = "/api/v1/session";
const KEYS: &str = "/api/v1/api-keys";
const OPERATOR: &str = "/api/v1/operator";
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap_or_default()
}

/// A browser: its cookie, and what it says about requests.
#[derive(Debug, Clone)]
struct Browser {
    cookie: String,
    csrf: String,
}

impl Server {
    fn with_key(&self, key: String) -> Self {
        Self {
            fake: self.fake.clone(),
            router: self.router.clone(),
            organization: self.organization.clone(),
            key,
        }
    }

    async fn role(&self, role: Role) -> Self {
        self.with_key(self.key_with(&self.organization, role).await)
    }

    pub(super) async fn operator(&self) -> Self {
        let key = ApiKey::generate_for_operator().unwrap();
        let new = NewApiKey::lasting(ApiKeyId::generate(), "root");
        self.fake.store.create_operator_key(&new, &key, 1).await.unwrap();
        self.with_key(key.expose().to_owned())
    }

    async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        self.raw(request.body(body).unwrap()).await
    }

    /// The answer, unless it is a stream that goes on.
    async fn told(&self, method: Method, path: &str) -> (StatusCode, Value) {
        let bearer = format!("Bearer {}", self.key);
        let response = self.request(method, path, &[("authorization", &*bearer)], None).await;
        if response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "text/event-stream")
        {
            return (response.status(), Value::Null);
        }
        answer(response).await
    }

    async fn try_sign_in(&self, key: &str, headers: &[(&str, &str)]) -> (HeaderMap, StatusCode, Value) {
        let body = json!({ "api_key": key });
        let response = self.request(Method::POST, SESSION, headers, Some(body)).await;
        let headers = response.headers().clone();
        let (status, body) = answer(response).await;
        (headers, status, body)
    }

    async fn sign_in(&self) -> Browser {
        let (headers, status, body) = self.try_sign_in(&self.key, &[]).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let cookie = headers[header::SET_COOKIE].to_str().unwrap();
        Browser {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            csrf: body["csrf_token"].as_str().unwrap().to_owned(),
        }
    }

    /// Sends something with a session and its CSRF token.
    async fn browse(&self, browser: &Browser, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let headers = [("cookie", &*browser.cookie), ("x-csrf-token", &*browser.csrf)];
        answer(self.request(method, path, &headers, body).await).await
    }

    async fn entries(&self) -> Vec<Value> {
        let (status, body) = self.get("/api/v1/audit-log").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["entries"].as_array().unwrap().clone()
    }
}

/// Every method of every path, asked of the router itself.
pub(super) async fn routes(server: &Server) -> Vec<(Method, String)> {
    let described = format!("{:?}", server.router);
    let mut paths: Vec<&str> = described
        .split('"')
        .filter(|text| text.starts_with("/api/v1/"))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    assert!(paths.len() > 30 && paths.contains(&KEYS), "{paths:?}");
    let operator = server.operator().await;
    let mut routes = Vec::new();
    for path in paths {
        let asks = if path.starts_with(OPERATOR) { &operator } else { server };
        for method in METHODS {
            if asks.told(method.clone(), &filled(path)).await.0 != StatusCode::METHOD_NOT_ALLOWED {
                routes.push((method, path.to_owned()));
            }
        }
    }
    routes
}

/// A path whose parameters name nothing that there is.
pub(super) fn filled(route: &str) -> String {
    let segments = route.split('/').map(|segment| match segment {
        "{digest}" => "00".repeat(32),
        "{provider}" => "nobody".to_owned(),
        segment if segment.starts_with('{') => ApiKeyId::generate().as_str().to_owned(),
        segment => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn no_route_opens_to_a_role_that_is_too_low() {
    const OPERATE: [(&str, &str); 6] = [
        ("POST", "/api/v1/telephony/initiate-call"),
        ("POST", "/api/v1/calls/{call}/hang-up"),
        ("POST", "/api/v1/calls/{call}/transfer"),
        ("DELETE", "/api/v1/calls/{call}/transfer"),
        (
            "POST",
            "/api/v1/webhook-endpoints/{endpoint}/deliveries/{delivery}/resend",
        ),
        ("POST", "/api/v1/webhook-endpoints/{endpoint}/resend-dead"),
    ];
    const OPEN: [&str; 3] = [SESSION, "/api/v1/openapi.json", "/api/v1/docs"];
    const READ_BY_ADMINS: [&str; 3] = [KEYS, "/api/v1/audit-log", "/api/v1/audit-log/export"];
    let server = Server::start().await;
    // A stream that begins has no end to wait for.
    server.fake.live.close();
    let (reader, clerk, operator) = (
        server.role(Role::Read).await,
        server.role(Role::Operate).await,
        server.operator().await,
    );
    for (method, route) in routes(&server).await {
        if OPEN.contains(&&*route) {
            continue;
        }
        let needed = if route.starts_with(OPERATOR) {
            "operator"
        } else if OPERATE.contains(&(method.as_str(), &route)) {
            "operate"
        } else if method == Method::GET && !READ_BY_ADMINS.contains(&&*route) {
            "read"
        } else {
            "admin"
        };
        let path = filled(&route);
        for (name, asks) in [
            ("read", &reader),
            ("operate", &clerk),
            ("admin", &server),
            ("operator", &operator),
        ] {
            let (status, body) = asks.told(method.clone(), &path).await;
            let is_enough = match (needed, name) {
                ("operator", name) => name == "operator",
                (_, "operator") => false,
                ("read", _) => true,
                ("operate", name) => name != "read",
                (_, name) => name == "admin",
            };
            assert_eq!(
                code(&body) == "forbidden_role",
                !is_enough,
                "{name}: {method} {route}: {body}"
            );
            if !is_enough {
                assert_eq!(status, StatusCode::FORBIDDEN);
                let detail = body["detail"].as_str().unwrap();
                let named = if name == "operator" { "organization" } else { needed };
                assert!(detail.contains(named), "{method} {route}: {detail}");
            }
        }
        let (status, _) = answer(server.request(method.clone(), &path, &[], None).await).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {route}");
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_works_until_it_is_revoked() {
    let server = Server::start().await;
    let (status, made) = server
        .post(
            KEYS,
            json!({ "name": "dialler", "role": "operate", "expires_in_days": 2 }),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(
        (&made["role"], &made["expires_at"]),
        (&json!("operate"), &json!("2026-11-24T16:30:00.125Z"))
    );
    let key = made["api_key"].as_str().unwrap();
    let (_, listed) = server.get(KEYS).await;
    assert!(!listed.to_string().contains(key));
    assert_eq!(listed["api_keys"].as_array().unwrap().len(), 2);

    let dialler = server.with_key(key.to_owned());
    assert_eq!(dialler.get("/api/v1/calls").await.0, StatusCode::OK);
    let (_, own) = dialler.get("/api/v1/organization").await;
    assert_eq!(own["name"], "Acme");
    let path = format!("{KEYS}/{}", made["id"].as_str().unwrap());
    assert_eq!(server.stranger().await.delete(&path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(server.delete(&path).await.0, StatusCode::NO_CONTENT);
    assert_eq!(dialler.get("/api/v1/calls").await.0, StatusCode::UNAUTHORIZED);
    for wrong in ["7", "%ff", "..%2f"] {
        assert_eq!(
            server.delete(&format!("{KEYS}/{wrong}")).await.0,
            StatusCode::NOT_FOUND,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn the_last_admin_key_stays() {
    let server = Server::start().await;
    let (_, listed) = server.get(KEYS).await;
    let own = format!("{KEYS}/{}", listed["api_keys"][0]["id"].as_str().unwrap());
    server.role(Role::Operate).await;
    let (status, body) = server.delete(&own).await;
    assert_eq!((status, code(&body)), (StatusCode::CONFLICT, "last_admin_key"));
    server.role(Role::Admin).await;
    assert_eq!(server.delete(&own).await.0, StatusCode::NO_CONTENT);
    assert_eq!(server.get(KEYS).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_is_checked_before_it_is_made() {
    let server = Server::start().await;
    for (body, wrong) in [
        (json!({}), vec!["name", "role"]),
        (json!({ "name": "", "role": "root" }), vec!["name", "role"]),
        (json!({ "name": "x", "role": "operator" }), vec!["role"]),
        (
            json!({ "name": "x", "role": "read", "expires_in_days": 0 }),
            vec!["expires_in_days"],
        ),
        (
            json!({ "name": "x", "role": "read", "organization_id": "y" }),
            vec!["organization_id"],
        ),
        (json!({ "name": "n".repeat(65), "role": "read" }), vec!["name"]),
    ] {
        let (status, told) = server.post(KEYS, body.clone()).await;
        assert_eq!(
            (status, fields(&told)),
            (StatusCode::UNPROCESSABLE_ENTITY, wrong),
            "{body}"
        );
    }
    let mut made = 1;
    loop {
        let (status, body) = server.post(KEYS, json!({ "name": "many", "role": "read" })).await;
        if status != StatusCode::CREATED {
            assert_eq!((code(&body), made), ("too_many_keys", 100));
            break;
        }
        made += 1;
    }
}

#[tokio::test]
async fn the_use_of_a_key_is_written_down() {
    let server = Server::start().await;
    server.get("/api/v1/calls").await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let (_, listed) = server.get(KEYS).await;
        if listed["api_keys"][0]["last_used_at"] == "2026-11-22T16:30:00.125Z" {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{listed}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_has_a_key_signs_in_and_out() {
    let server = Server::start().await;
    let (headers, status, body) = server.try_sign_in(&server.key, &[]).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let cookie = headers[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.starts_with("strowger_session=") && !cookie.contains(&server.key),
        "{cookie}"
    );
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"),
        "{cookie}"
    );
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(
        (&body["organization"]["name"], &body["role"], &body["expires_at"]),
        (&json!("Acme"), &json!("admin"), &json!("2026-11-22T17:00:00.125Z"))
    );
    let browser = server.sign_in().await;
    let (status, read) = server.browse(&browser, Method::GET, SESSION, None).await;
    assert_eq!(
        (status, read["csrf_token"].as_str()),
        (StatusCode::OK, Some(&*browser.csrf))
    );
    let made = server
        .browse(
            &browser,
            Method::POST,
            "/api/v1/agents",
            Some(json!({ "name": "bot", "protocol": "echo" })),
        )
        .await;
    assert_eq!(made.0, StatusCode::CREATED, "{}", made.1);

    let (status, _) = server.browse(&browser, Method::DELETE, SESSION, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(
        server.browse(&browser, Method::GET, SESSION, None).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        server.browse(&browser, Method::GET, "/api/v1/calls", None).await.0,
        StatusCode::UNAUTHORIZED
    );
    // A key is no session.
    assert_eq!(server.get(SESSION).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_session_has_the_role_of_its_key_and_ends_with_it() {
    let server = Server::start().await;
    let reader = server.role(Role::Read).await;
    let browser = reader.sign_in().await;
    let body = json!({ "name": "more", "role": "admin" });
    let (status, told) = server.browse(&browser, Method::POST, KEYS, Some(body)).await;
    assert_eq!((status, code(&told)), (StatusCode::FORBIDDEN, "forbidden_role"));
    assert_eq!(
        server.browse(&browser, Method::DELETE, SESSION, None).await.0,
        StatusCode::NO_CONTENT
    );

    let browser = reader.sign_in().await;
    let holder = server
        .fake
        .store
        .authenticate(&ApiKey::new(&*reader.key), NOW)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(holder.power, Power::Organization(_, Role::Read)));
    server.delete(&format!("{KEYS}/{}", holder.key)).await;
    assert_eq!(
        server.browse(&browser, Method::GET, SESSION, None).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_page_elsewhere_changes_nothing_in_somebodys_name() {
    let server = Server::start().await;
    let (ours, others) = (server.sign_in().await, server.stranger().await.sign_in().await);
    let cookie = ("cookie", &*ours.cookie);
    let csrf = ("x-csrf-token", &*ours.csrf);
    let long = "x".repeat(4_000);
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[cookie], "csrf"),
        (&[cookie, ("x-csrf-token", &*others.csrf)], "csrf"),
        (&[cookie, ("x-csrf-token", "")], "csrf"),
        (&[cookie, ("x-csrf-token", &*long)], "csrf"),
        (&[cookie, csrf, csrf], "csrf"),
        (&[cookie, csrf, ("sec-fetch-site", "cross-site")], "foreign_origin"),
        (&[cookie, csrf, ("sec-fetch-site", "same-site")], "foreign_origin"),
        (&[cookie, csrf, ("origin", "https://evil.example")], "foreign_origin"),
        (&[cookie, csrf, ("origin", "null")], "foreign_origin"),
    ];
    let agent = json!({ "name": "bot", "protocol": "echo" });
    for (headers, expected) in cases {
        let response = server
            .request(Method::POST, "/api/v1/agents", headers, Some(agent.clone()))
            .await;
        let (status, body) = answer(response).await;
        assert_eq!((status, code(&body)), (StatusCode::FORBIDDEN, expected), "{headers:?}");
    }
    let reading = [cookie, ("sec-fetch-site", "cross-site")];
    let response = server.request(Method::GET, "/api/v1/calls", &reading, None).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let (_, agents) = server.get("/api/v1/agents").await;
    assert_eq!(agents["agents"], json!([]));
    let good = [
        cookie,
        csrf,
        ("sec-fetch-site", "same-origin"),
        ("origin", "https://voice.example.com"),
    ];
    let response = server.request(Method::POST, "/api/v1/agents", &good, Some(agent)).await;
    assert_eq!(response.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn nobody_is_signed_in_from_another_page() {
    let server = Server::start().await;
    for headers in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let (headers, status, body) = server.try_sign_in(&server.key, &[headers]).await;
        assert_eq!((status, code(&body)), (StatusCode::FORBIDDEN, "foreign_origin"));
        assert!(!headers.contains_key(header::SET_COOKIE));
    }
}

#[tokio::test]
async fn a_session_from_before_the_sign_in_is_none_after_it() {
    let server = Server::start().await;
    let before = server.sign_in().await;
    let (headers, status, _) = server.try_sign_in(&server.key, &[("cookie", &*before.cookie)]).await;
    assert_eq!(status, StatusCode::OK);
    let after = headers[header::SET_COOKIE].to_str().unwrap();
    assert!(!after.starts_with(&*before.cookie));
    assert_eq!(
        server.browse(&before, Method::GET, SESSION, None).await.0,
        StatusCode::UNAUTHORIZED
    );
    // What somebody else has put into the browser is not taken over.
    let planted = SessionToken::new("planted-by-somebody-else");
    let cookie = format!("strowger_session={}", planted.expose());
    let (_, status, _) = server.try_sign_in(&server.key, &[("cookie", &*cookie)]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(server.fake.store.session(&planted, NOW).await.unwrap(), None);
}

#[tokio::test]
async fn who_says_two_things_at_once_is_not_believed() {
    let server = Server::start().await;
    let browser = server.sign_in().await;
    let bearer = format!("Bearer {}", server.key);
    let stranger = format!("Bearer {}", server.stranger().await.key);
    let cookie = ("cookie", &*browser.cookie);
    let twice = format!("{0}; {0}", browser.cookie);
    let huge = format!("Bearer {}", "k".repeat(8_000));
    let refused: [&[(&str, &str)]; 8] = [
        &[("authorization", &*bearer), ("authorization", &*stranger)],
        &[("authorization", &*bearer), ("authorization", &*bearer)],
        &[("authorization", "Bearer wrong"), cookie],
        &[("authorization", ""), cookie],
        &[("authorization", &*huge)],
        &[("authorization", "Bearer \u{e4}")],
        &[("cookie", &*twice)],
        &[cookie, ("cookie", "strowger_session=another")],
    ];
    for headers in refused {
        let response = server.request(Method::GET, "/api/v1/organization", headers, None).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{headers:?}");
    }
    // With both, the key alone counts, and then nothing needs a CSRF token.
    let both = [("authorization", &*stranger), cookie];
    let (_, own) = answer(server.request(Method::GET, "/api/v1/organization", &both, None).await).await;
    assert_eq!(own["name"], "Stranger");
}

#[tokio::test]
async fn who_tries_keys_has_to_wait() {
    let server = Server::start().await;
    let mut tried = 0;
    let retry_after = loop {
        let (headers, status, body) = server.try_sign_in(&format!("strow_wrong-{tried}"), &[]).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(code(&body), "too_many_attempts");
            break headers[header::RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap();
        }
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        tried += 1;
        assert!(tried < 100);
    };
    // All of them begin alike: the limit of a key's first characters is the lower one.
    assert_eq!(tried, 5);
    assert!((1..=12).contains(&retry_after), "{retry_after}");
    // Others at the same address still come in until the address has failed too often itself.
    server.sign_in().await;
}

#[tokio::test]
async fn the_operators_key_leads_to_organizations_and_not_into_them() {
    let server = Server::start().await;
    let operator = server.operator().await;
    let organizations = format!("{OPERATOR}/organizations");
    let (status, made) = operator.post(&organizations, json!({ "name": "Newcomer" })).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (status, _) = operator.post(&organizations, json!({ "name": "Newcomer" })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (_, listed) = operator.get(&organizations).await;
    assert_eq!(listed["organizations"].as_array().unwrap().len(), 2);

    let id = made["id"].as_str().unwrap();
    let keys = format!("{organizations}/{id}/api-keys");
    let (status, key) = operator.post(&keys, json!({ "name": "first", "role": "admin" })).await;
    assert_eq!(status, StatusCode::CREATED, "{key}");
    let newcomer = server.with_key(key["api_key"].as_str().unwrap().to_owned());
    assert_eq!(newcomer.get("/api/v1/organization").await.1["name"], "Newcomer");
    let (_, listed) = operator.get(&keys).await;
    assert_eq!(listed["api_keys"][0]["prefix"], key["prefix"]);
    // The organisation sees who let themselves in.
    let told = &newcomer.entries().await[0];
    assert_eq!(
        (&told["actor"], &told["operation"], &told["resources"]["id"]),
        (
            &json!("operator"),
            &json!("POST /api/v1/operator/organizations/{organization}/api-keys"),
            &key["id"]
        )
    );
    let nobody = format!("{organizations}/{}/api-keys", OrganizationId::generate());
    let (status, _) = operator.post(&nobody, json!({ "name": "x", "role": "read" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, counts) = operator.get(&format!("{OPERATOR}/status")).await;
    assert_eq!((status, &counts["organizations"]), (StatusCode::OK, &json!(2)));
    let (status, providers) = operator.get(&format!("{OPERATOR}/telephony-providers")).await;
    assert_eq!((status, &providers["providers"]), (StatusCode::OK, &json!([])));
    // The console is for organisations.
    let (_, status, body) = server.try_sign_in(&operator.key, &[]).await;
    assert_eq!((status, code(&body)), (StatusCode::FORBIDDEN, "operator_key"));
}

#[tokio::test]
async fn every_change_is_in_the_log_without_its_values() {
    let server = Server::start().await;
    let agent = json!({ "name": "secret-name", "protocol": "media-streams", "url": "wss://agent.example/hush",
        "headers": { "x-secret": "hush" } });
    let id = server.made("/api/v1/agents", agent).await;
    server
        .put(&format!("/api/v1/agents/{id}"), json!({ "protocol": "hush" }))
        .await;
    let config = server.configuration("main", "ACCT1").await;
    server.get("/api/v1/agents").await;
    let reader = server.role(Role::Read).await;
    reader.delete(&format!("/api/v1/agents/{id}")).await;
    server.delete("/api/v1/calls/%2B14155551234/transfer").await;
    let browser = server.sign_in().await;
    server
        .browse(&browser, Method::DELETE, &format!("/api/v1/agents/{id}"), None)
        .await;

    let entries = server.entries().await;
    let told: Vec<_> = entries
        .iter()
        .rev()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
            (text("actor"), text("operation"), text("outcome"))
        })
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(actor, operation, outcome)| (&**actor, &**operation, &**outcome))
        .collect();
    assert_eq!(
        told,
        [
            ("api_key", "POST /api/v1/agents", "done"),
            ("api_key", "PUT /api/v1/agents/{agent}", "refused"),
            ("api_key", "POST /api/v1/organizations/telephony-configs", "done"),
            ("api_key", "DELETE /api/v1/agents/{agent}", "refused"),
            ("api_key", "DELETE /api/v1/calls/{call}/transfer", "refused"),
            ("session", "POST /api/v1/session", "done"),
            ("session", "DELETE /api/v1/agents/{agent}", "done"),
        ]
    );
    let first = entries.last().unwrap();
    assert_eq!(
        (&first["fields"], &first["resources"]["id"], &first["sequence"]),
        (&json!(["headers", "name", "protocol", "url"]), &json!(id), &json!(1))
    );
    assert_eq!(entries[4]["resources"]["id"], config);
    assert!(
        entries[4]["fields"]
            .as_array()
            .unwrap()
            .contains(&json!("config.auth_token"))
    );
    assert_eq!(entries[2]["resources"]["call"], "?", "no identifier of ours");
    let all = json!(entries).to_string();
    for value in [
        "hush",
        "secret-name",
        "secret-token",
        "ACCT1",
        "4155551234",
        &browser.csrf,
    ] {
        assert!(!all.contains(value), "{value}");
    }
    let verdict = server
        .fake
        .store
        .verify_audit(&crate::store::AuditChain::Organization(server.organization.clone()))
        .await;
    assert!(matches!(
        verdict.unwrap(),
        crate::store::AuditVerdict::Intact { entries: 7, .. }
    ));
    // Another organisation has a log of its own.
    assert!(server.stranger().await.entries().await.is_empty());
}

#[tokio::test]
async fn the_log_is_read_in_pages_and_exported_whole() {
    let server = Server::start().await;
    for number in 0..5 {
        server
            .made(
                "/api/v1/agents",
                json!({ "name": format!("bot {number}"), "protocol": "echo" }),
            )
            .await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/audit-log?limit=2".to_owned();
    loop {
        let (status, page) = server.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        seen.extend(
            page["entries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["sequence"].as_i64().unwrap()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/audit-log?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    for wrong in ["limit=0", "limit=201", "cursor=x", "cursor=-1", "other=1"] {
        let (status, _) = server.get(&format!("/api/v1/audit-log?{wrong}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }

    let bearer = format!("Bearer {}", server.key);
    let response = server
        .request(
            Method::GET,
            "/api/v1/audit-log/export",
            &[("authorization", &*bearer)],
            None,
        )
        .await;
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(text.lines().count(), 5);
    // Whoever has the export can verify it without us.
    let mut before = "0".repeat(64);
    for line in text.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap();
        let entry = line.split_once("\"entry\":").unwrap().1.strip_suffix('}').unwrap();
        let digest = <sha2::Sha256 as sha2::Digest>::digest(format!("{before}\n{entry}"));
        before = hex::encode(digest);
        assert_eq!(parsed["hash"], before);
    }
}

#[tokio::test]
async fn nothing_is_changed_that_cannot_be_written_down() {
    let server = Server::start().await;
    let held = server.fake.store.hold_for_tests().await;
    let (status, _) = server
        .post("/api/v1/agents", json!({ "name": "bot", "protocol": "echo" }))
        .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    held.rollback().await.unwrap();
    let (_, agents) = server.get("/api/v1/agents").await;
    assert_eq!(agents["agents"], json!([]));
    assert!(server.entries().await.is_empty());
}
