//! The same mistakes at every operation of the document: identifiers, bodies, fields, headers and queries that are none. Whatever
//! is wrong, the answer is a problem that says what; never a failure of ours, and never something of another organisation.

use std::collections::BTreeSet;

use super::bad_input::refused;
use super::document::{document, operations};
use super::*;

/// Fits into a body, and into no field.
const LONG_CHARS: usize = 70_000;

/// An organisation that has one of everything, and the identifiers of all that.
struct Site {
    server: Server,
    operator: Server,
    names: Vec<(&'static str, String)>,
}

impl Site {
    async fn furnish(server: Server, operator: Server, number: &str) -> Self {
        let account = format!("account {number}");
        let settings = json!({ "provider": "trunkphone", "account": account, "auth_token": "secret-token" });
        let configuration = server.made(CONFIGS, json!({ "name": "T", "config": settings })).await;
        let base = format!("{CONFIGS}/{configuration}");
        let address = format!("+1415555{number}");
        let number = server
            .made(&format!("{base}/phone-numbers"), json!({ "address": address }))
            .await;
        let trunk = json!({ "name": "east", "settings": { "region": "eu" } });
        let trunk = server.made(&format!("{base}/trunks"), trunk).await;
        let agent = server.agent().await;
        let call = NewCall {
            id: new_call_id(),
            organization: server.organization.clone(),
            configuration: ConfigurationId::parse(&configuration).unwrap(),
            number: None,
            agent: None,
            provider: "trunkphone".to_owned(),
            provider_version: "v".to_owned(),
            provider_call_id: None,
            caller: None,
            callee: Address::parse("+14155550123", None).unwrap(),
            attachment: None,
            media: None,
        };
        let call = server.fake.store.create_outbound_call(&call, NOW).await.unwrap();
        let key = server
            .made("/api/v1/api-keys", json!({ "name": "k", "role": "read" }))
            .await;
        let endpoints = "/api/v1/webhook-endpoints";
        let endpoint = server
            .made(endpoints, json!({ "url": "https://example.com/hooks" }))
            .await;
        let (_, sent) = server.post(&format!("{endpoints}/{endpoint}/test"), json!({})).await;
        let names = vec![
            ("{configuration}", configuration),
            ("{number}", number),
            ("{trunk}", trunk),
            ("{agent}", agent),
            ("{call}", call.id.to_string()),
            ("{key}", key),
            ("{endpoint}", endpoint),
            ("{delivery}", sent["id"].as_str().unwrap().to_owned()),
            ("{organization}", server.organization.to_string()),
            ("{provider}", "testphone".to_owned()),
            ("{digest}", "00".repeat(32)),
        ];
        Self {
            server,
            operator,
            names,
        }
    }

    async fn start() -> Self {
        let server = Server::start().await;
        let operator = server.operator().await;
        Self::furnish(server, operator, "0001").await
    }

    /// Another organisation, on the same server.
    async fn stranger(&self) -> Self {
        let (server, operator) = (self.server.stranger().await, self.server.operator().await);
        Self::furnish(server, operator, "0002").await
    }

    fn id(&self, name: &str) -> &str {
        let found = self.names.iter().find(|(known, _)| *known == name);
        &found.unwrap_or_else(|| panic!("say what {name} is")).1
    }

    fn path(&self, template: &str) -> String {
        self.path_but(template, "", "")
    }

    /// A path in which one name stands for something else.
    fn path_but(&self, template: &str, name: &str, value: &str) -> String {
        let parts = template.split('/').map(|part| match part {
            part if part == name => value,
            part if part.starts_with('{') => self.id(part),
            part => part,
        });
        parts.collect::<Vec<_>>().join("/")
    }

    fn asks(&self, template: &str) -> &Server {
        if template.starts_with("/api/v1/operator/") {
            &self.operator
        } else {
            &self.server
        }
    }

    fn request(&self, method: &str, template: &str, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.asks(template).key))
    }

    async fn refused(&self, request: Request<Body>) -> (u16, String, Value) {
        refused(&self.server, request).await
    }

    /// A body with which an operation would be done.
    fn body(&self, operation: &Value) -> Value {
        match operation["operationId"].as_str().unwrap() {
            "createConfiguration" => json!({ "name": "N", "config": config("another") }),
            "updateConfiguration" => json!({ "name": "M" }),
            "createTrunk" => json!({ "name": "west", "settings": { "region": "eu" } }),
            "updateTrunk" => json!({ "enabled": false }),
            "createPhoneNumber" => json!({ "address": "+14155550009" }),
            "updatePhoneNumber" => json!({ "label": "L" }),
            "createAgent" => json!({ "name": "B", "protocol": "echo" }),
            "updateAgent" => json!({ "record": true }),
            "initiateCall" => json!({ "agent_id": self.id("{agent}"), "phone_number": "+442079460000" }),
            "transferCall" => json!({ "destination": "+12025550199" }),
            "createApiKey" | "createOrganizationApiKey" => json!({ "name": "k", "role": "read" }),
            "signIn" => json!({ "api_key": "strow_nonsense" }),
            "createWebhookEndpoint" => json!({ "url": "https://example.com/" }),
            "updateWebhookEndpoint" => json!({ "description": "D" }),
            "adoptVersion" | "adoptVersionForAll" | "setOrganizationLimits" => json!({}),
            "setCanary" | "setCanaryForAll" => json!({ "share_permille": 1 }),
            "createOrganization" => json!({ "name": "O" }),
            other => panic!("say what a right body of {other} is"),
        }
    }

    fn text(&self, operation: &Value) -> String {
        if operation.pointer("/requestBody/content/application~1json").is_some() {
            self.body(operation).to_string()
        } else {
            String::new()
        }
    }
}

fn has_parameter(operation: &Value, name: &str) -> bool {
    let parameters = operation["parameters"].as_array();
    parameters.is_some_and(|parameters| parameters.iter().any(|parameter| parameter["name"] == name))
}

#[tokio::test]
async fn a_path_leads_to_nothing_but_ones_own() {
    let site = Site::start().await;
    let stranger = site.stranger().await;
    let long = "x".repeat(5_000);
    let mut checked = 0;
    for (method, template, operation) in operations(&document()) {
        for name in template.split('/').filter(|part| part.starts_with('{')) {
            let mut wrong = vec![
                "7",
                "%00",
                "%ff",
                "..%2f..",
                "%20",
                "nobody",
                "0193c0de-1a2b-7000-8000-0123456789ab",
                "0193c0de-1a2b-7000-8000-0123456789a%00",
                &*long,
            ];
            if name != "{organization}" && name != "{provider}" && name != "{digest}" {
                wrong.push(stranger.id(name));
                // Something of one's own that is something else.
                wrong.push(site.id("{organization}"));
            }
            for value in wrong {
                let path = site.path_but(&template, name, value);
                let request = site.request(&method, &template, &path);
                let request = request.body(Body::from(site.text(&operation))).unwrap();
                let (status, code, body) = site.refused(request).await;
                assert_eq!((status, &*code), (404, "not_found"), "{method} {path:.120}: {body}");
                checked += 1;
            }
        }
    }
    assert!(checked > 400, "{checked}");
    // All of it is still there.
    for (site, template) in [(&site, "{number}"), (&stranger, "{number}")] {
        let path = format!(
            "{CONFIGS}/{}/phone-numbers/{}",
            site.id("{configuration}"),
            site.id(template)
        );
        assert_eq!(site.server.get(&path).await.0, StatusCode::OK);
    }
}

/// The operations that take JSON.
fn with_body(document: &Value) -> Vec<(String, String, Value)> {
    let all = operations(document).into_iter();
    all.filter(|(_, _, operation)| operation.pointer("/requestBody/content/application~1json").is_some())
        .collect()
}

#[tokio::test]
async fn what_is_no_body_is_told_by_every_operation() {
    let site = Site::start().await;
    let deep = format!("{}{}", "{\"a\":".repeat(300), "}".repeat(300));
    let lists = format!("{{\"name\": {}{}}}", "[".repeat(300), "]".repeat(300));
    let bodies: [&[u8]; 16] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"\"name\"",
        b"{} {}",
        b"{'name': 'a'}",
        b"{\"name\": \"a\", \"name\": \"a\"}",
        b"{\"a\": {\"b\": 1, \"\\u0062\": 1}}",
        b"{\"name\": \"\\ud800\"}",
        b"{\"name\": \"\xff\"}",
        b"{\"name\": \"\x00\"}",
        b"\xef\xbb\xbf{}",
        deep.as_bytes(),
        lists.as_bytes(),
    ];
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(BODY_BYTES_MAX));
    for (method, template, operation) in with_body(&document()) {
        let path = site.path(&template);
        let request = || site.request(&method, &template, &path);
        for body in bodies {
            let (status, code, _) = site.refused(request().body(Body::from(body.to_vec())).unwrap()).await;
            let shown = String::from_utf8_lossy(body);
            assert_eq!((status, &*code), (400, "malformed_body"), "{method} {path} {shown:.60}");
        }
        let (status, code, _) = site.refused(request().body(Body::from(large.clone())).unwrap()).await;
        assert_eq!((status, &*code), (413, "body_too_large"), "{method} {path}");
        for kind in ["text/plain", "application/json; charset=latin1", "application/wasm", ""] {
            let request = request().header(header::CONTENT_TYPE, kind);
            let request = request.body(Body::from(site.text(&operation))).unwrap();
            let (status, code, _) = site.refused(request).await;
            assert_eq!(
                (status, &*code),
                (415, "unsupported_media_type"),
                "{method} {path} {kind}"
            );
        }
    }
}

/// The types of JSON values that fit a schema.
fn types(document: &Value, schema: &Value) -> BTreeSet<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return types(document, document.pointer(&reference[1..]).unwrap());
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(schemas) = schema[several].as_array() {
            return schemas.iter().flat_map(|schema| types(document, schema)).collect();
        }
    }
    match &schema["type"] {
        Value::String(one) => BTreeSet::from([one.clone()]),
        Value::Array(several) => several.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        _ => panic!("of what type is {schema}?"),
    }
}

/// Values that no field with these types takes.
fn wrong(types: &BTreeSet<String>) -> Vec<Value> {
    let long = "x".repeat(LONG_CHARS);
    let of_types = [
        ("boolean", vec![]),
        (
            "integer",
            vec![json!(-1), json!(1.5), json!(1e300), json!(u64::MAX), json!(i64::MIN)],
        ),
        (
            "string",
            vec![json!(long), json!("a\u{0}b"), json!("a\u{7}"), json!("a\u{85}b")],
        ),
        (
            "array",
            vec![json!([7]), json!([{}]), json!([null]), json!([long]), json!([["x"]])],
        ),
        ("object", vec![json!({ "name": long })]),
    ];
    let some = [
        ("boolean", json!(true)),
        ("integer", json!(7)),
        ("string", json!("x")),
        ("array", json!(["x"])),
        ("object", json!({ "name": "x" })),
    ];
    let others = some.into_iter().filter(|(name, _)| !types.contains(*name));
    let mut wrong: Vec<Value> = others.map(|(_, value)| value).collect();
    for (name, values) in of_types {
        if types.contains(name) {
            wrong.extend(values);
        }
    }
    wrong
}

#[tokio::test]
async fn every_field_of_every_body_is_checked_and_named() {
    let site = Site::start().await;
    let document = document();
    let mut checked = 0;
    for (method, template, operation) in with_body(&document) {
        let path = site.path(&template);
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let schema = document.pointer(&schema["$ref"].as_str().unwrap()[1..]).unwrap();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (field, schema) in schema["properties"].as_object().unwrap() {
            let mut values = wrong(&types(&document, schema));
            if required.contains(&json!(field)) {
                values.push(Value::Null);
            }
            for value in values {
                let mut body = site.body(&operation);
                body[field] = value.clone();
                let request = site.request(&method, &template, &path);
                let request = request.body(Body::from(body.to_string())).unwrap();
                let (status, _, told) = site.refused(request).await;
                let shown = value.to_string();
                assert_eq!(status, 422, "{method} {path}, {field}: {shown:.60}: {told}");
                let named = fields(&told);
                let below = format!("{field}.");
                assert!(
                    named.iter().any(|name| name == field || name.starts_with(&below)),
                    "{method} {path}, {field}: {shown:.60}: {told}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 300, "{checked}");
}

#[tokio::test]
async fn every_header_that_is_malformed_is_told() {
    let site = Site::start().await;
    let long = "k".repeat(256);
    let (mut conditions, mut keys) = (0, 0);
    for (method, template, operation) in operations(&document()) {
        let path = site.path(&template);
        let send = async |headers: &[(&str, &[u8])]| {
            let mut request = site.request(&method, &template, &path);
            for (name, value) in headers {
                request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
            }
            let request = request.body(Body::from(site.text(&operation))).unwrap();
            let (status, code, _) = site.refused(request).await;
            (status, code)
        };
        for name in ["If-Match", "If-None-Match"] {
            if has_parameter(&operation, name) {
                let told = send(&[(name, b"\"\xff\"")]).await;
                assert_eq!(told, (400, "invalid_condition".to_owned()), "{method} {path}");
                conditions += 1;
            }
        }
        if has_parameter(&operation, "If-Match") {
            for tag in [
                "",
                "nonsense",
                "\"",
                "\"1-\"",
                "W/\"1-0000000000000000\"",
                "\"99999999999999999999-0000000000000000\"",
                &long,
            ] {
                let told = send(&[("If-Match", tag.as_bytes())]).await;
                assert_eq!(told, (412, "stale".to_owned()), "{method} {path} {tag}");
            }
        }
        if has_parameter(&operation, "Idempotency-Key") {
            let name = "Idempotency-Key";
            let wrong: [&[(&str, &[u8])]; 6] = [
                &[(name, b"")],
                &[(name, b"a b")],
                &[(name, b"a\tb")],
                &[(name, b"\xff")],
                &[(name, long.as_bytes())],
                &[(name, b"a"), (name, b"a")],
            ];
            for headers in wrong {
                let told = send(headers).await;
                assert_eq!(
                    told,
                    (400, "invalid_idempotency_key".to_owned()),
                    "{method} {path} {headers:?}"
                );
            }
            keys += 1;
        }
    }
    assert!(conditions >= 15 && keys >= 6, "{conditions} {keys}");
}

#[tokio::test]
async fn every_query_is_checked_and_named() {
    let site = Site::start().await;
    // A row for a cursor to be made of, and one to make another page.
    let second = json!({ "name": "second", "protocol": "echo" });
    site.server.made("/api/v1/agents", second).await;
    let (_, page) = site.server.get("/api/v1/agents?limit=1").await;
    let foreign = page["next_cursor"].as_str().unwrap();
    let long = "A".repeat(1_025);
    let mut checked = 0;
    for (method, template, operation) in operations(&document()) {
        let Some(parameters) = operation["parameters"].as_array() else {
            continue;
        };
        let queries: Vec<&Value> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .collect();
        if queries.is_empty() {
            continue;
        }
        let refused = async |query: &str| {
            let path = format!("{}?{query}", site.path(&template));
            let request = site.request(&method, &template, &path);
            let (status, _, body) = site.refused(request.body(Body::empty()).unwrap()).await;
            assert_eq!(status, 422, "{method} {path:.120}: {body}");
            fields(&body).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(refused("colour=red").await, ["colour"], "{method} {template}");
        for parameter in queries {
            let name = parameter["name"].as_str().unwrap();
            let wrong = match name {
                "limit" | "after" | "points" => {
                    vec![
                        "",
                        "-1",
                        "1.5",
                        "ten",
                        "1e2",
                        "+5",
                        "99999999999999999999",
                        "%00",
                        "%ff",
                        "0x10",
                    ]
                }
                // They are texts of the client's own.
                "digest" | "source" => vec!["", "%00", "a%0ab", &long],
                "cursor" if template == "/api/v1/agents" => vec!["", "7", "%00", "%ff", "W10", &long],
                "cursor" => vec!["", "7", "%00", "%ff", "W10", &long, foreign],
                _ => vec!["", "nonsense", "%00", "%ff", &long],
            };
            for value in wrong {
                let named = refused(&format!("{name}={value}")).await;
                assert_eq!(named, [name], "{method} {template}?{name}={value:.40}");
                checked += 1;
            }
            assert_eq!(
                refused(&format!("{name}=1&{name}=1")).await[0],
                name,
                "{method} {template}"
            );
        }
    }
    assert!(checked > 150, "{checked}");
}
