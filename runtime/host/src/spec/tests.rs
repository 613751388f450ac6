//! A spec that lies: each rule of the contract, broken once.

use serde_json::json;

use super::*;

fn text(name: &str) -> wit::Field {
    wit::Field {
        name: name.to_owned(),
        label: "Label".to_owned(),
        kind: types::FieldType::Text,
        required: true,
        sensitive: false,
        server_managed: false,
        account_scoped: false,
        description: None,
        placeholder: None,
        options: Vec::new(),
        visible_when: None,
        section: None,
    }
}

fn password(name: &str) -> wit::Field {
    wit::Field {
        kind: types::FieldType::Password,
        sensitive: true,
        ..text(name)
    }
}

fn route(name: &str, purpose: wit::RoutePurpose, path: &str) -> wit::Route {
    wit::Route {
        name: name.to_owned(),
        purpose,
        method: "POST".to_owned(),
        path: path.to_owned(),
    }
}

pub(crate) fn honest() -> wit::ProviderSpec {
    wit::ProviderSpec {
        name: "example".to_owned(),
        display_name: "Example Telecom".to_owned(),
        version: "1.4.0-rc.1+build".to_owned(),
        docs_url: Some("https://docs.example.com/voice".to_owned()),
        connectivity: wit::Connectivity::Api,
        requires_caller_id: true,
        fields: vec![text("account_id"), password("auth_token"), text("edge")],
        account_id_field: "account_id".to_owned(),
        media: wit::MediaProfile {
            formats: vec![wit::WireFormat {
                encoding: wit::Encoding::Pcmu,
                sample_rate_hz: 8000,
            }],
            frame_ms: 20,
            subprotocol: Some("audio.example.com".to_owned()),
            echoes_marks: true,
        },
        routes: vec![
            route("answer", wit::RoutePurpose::Answer, "answer/{call}"),
            route("status", wit::RoutePurpose::Callback, "status"),
        ],
        egress_hosts: vec![
            "api.example.com".to_owned(),
            "api.{edge}.example.com:8443".to_owned(),
            "http://pbx.example.com".to_owned(),
        ],
        webhook_proof: wit::ProofPolicy::Required,
    }
}

fn problem(change: impl FnOnce(&mut wit::ProviderSpec)) -> Option<SpecError> {
    let mut raw = honest();
    change(&mut raw);
    ProviderSpec::try_from(raw).err()
}

/// The change is refused, and the error names the place.
#[track_caller]
fn refused(place: &str, change: impl FnOnce(&mut wit::ProviderSpec)) {
    match problem(change) {
        Some(error) => {
            assert_eq!(error.place, place, "{error}");
            assert!(!error.problem.is_empty());
        }
        None => panic!("accepted; the error should be at {place}"),
    }
}

#[track_caller]
fn accepted(change: impl FnOnce(&mut wit::ProviderSpec)) {
    assert_eq!(problem(change), None);
}

#[test]
fn an_honest_spec_is_frozen_as_it_is() {
    let spec = ProviderSpec::try_from(honest()).unwrap();
    assert_eq!(spec.name, "example");
    assert_eq!(spec.account_id_field.as_deref(), Some("account_id"));
    assert!(spec.is_sealed("auth_token"));
    assert!(!spec.is_sealed("account_id") && !spec.is_sealed("nothing"));
    assert!(spec.route("answer").is_some_and(Route::names_call));
    assert!(spec.route("status").is_some_and(|route| !route.names_call()));
    assert_eq!(
        spec.routes[0].url("https://gw.example.net/x", "42"),
        "https://gw.example.net/x/answer/42"
    );
}

#[test]
fn the_account_id_stays_readable_even_when_it_is_sensitive() {
    let mut raw = honest();
    raw.fields[0] = password("account_id");
    assert!(!ProviderSpec::try_from(raw).unwrap().is_sealed("account_id"));
}

#[test]
fn names() {
    for name in [
        "", "Example", "ex_ample", "1example", "example-", "-example", "ex ample", "ex/ample", "é", "ex\u{0}",
    ] {
        refused("name", |spec| spec.name = name.to_owned());
    }
    refused("name", |spec| spec.name = "x".repeat(33));
    accepted(|spec| spec.name = "x".repeat(32));
    for name in RESERVED_NAMES {
        refused("name", |spec| spec.name = name.to_owned());
    }
    for name in ["", "two\nlines"] {
        refused("display-name", |spec| spec.display_name = name.to_owned());
    }
    refused("display-name", |spec| spec.display_name = "x".repeat(1 << 20));
}

#[test]
fn versions_and_docs() {
    for version in ["", "1", "1.2", "1.2.x", "v1.2.3", "1.2.3.4", "1..3", "01.2.3", "1.2.3-"] {
        refused("version", |spec| spec.version = version.to_owned());
    }
    for url in [
        "",
        "docs",
        "http://docs.example.com",
        "javascript:alert(1)",
        "file:///etc/passwd",
    ] {
        refused("docs-url", |spec| spec.docs_url = Some(url.to_owned()));
    }
    refused("docs-url", |spec| {
        spec.docs_url = Some(format!("https://example.com/{}", "x".repeat(500)))
    });
    accepted(|spec| spec.docs_url = None);
}

#[test]
fn fields() {
    refused("fields", |spec| {
        spec.fields = (0..=FIELDS_MAX).map(|n| text(&format!("field_{n}"))).collect()
    });
    refused("fields", |spec| spec.fields.push(text("edge")));
    for name in [
        "",
        "Auth",
        "auth-token",
        "auth token",
        "_auth",
        "auth_",
        "0auth",
        "provider",
        "from_numbers",
    ] {
        refused("fields[2].name", |spec| {
            spec.egress_hosts.clear();
            spec.fields[2].name = name.to_owned();
        });
    }
    refused("fields[0].name", |spec| spec.fields[0].name = "x".repeat(65));
    for label in ["", "a\tb"] {
        refused("fields[0].label", |spec| spec.fields[0].label = label.to_owned());
    }
    refused("fields[0].label", |spec| spec.fields[0].label = "x".repeat(65));
    refused("fields[0].description", |spec| {
        spec.fields[0].description = Some("x".repeat(501))
    });
    refused("fields[0].placeholder", |spec| {
        spec.fields[0].placeholder = Some(String::new())
    });
    refused("fields[0].section", |spec| {
        spec.fields[0].section = Some("x".repeat(65))
    });
}

#[test]
fn field_types() {
    let choice = |value: &str| types::Choice {
        value: value.to_owned(),
        label: "Choice".to_owned(),
    };
    refused("fields[0].options", |spec| spec.fields[0].options = vec![choice("eu")]);
    refused("fields[2].options", |spec| {
        spec.fields[2].kind = types::FieldType::Select
    });
    refused("fields[2].options", |spec| {
        spec.fields[2].kind = types::FieldType::Select;
        spec.fields[2].options = vec![choice("eu"), choice("eu")];
    });
    refused("fields[2].options", |spec| {
        spec.fields[2].kind = types::FieldType::Select;
        spec.fields[2].options = vec![choice("")];
    });
    refused("fields[2].options", |spec| {
        spec.fields[2].kind = types::FieldType::Select;
        spec.fields[2].options = (0..65).map(|n| choice(&n.to_string())).collect();
    });
    accepted(|spec| {
        spec.fields[2].kind = types::FieldType::Select;
        spec.fields[2].options = vec![choice("eu"), choice("us")];
    });
    refused("fields[1].sensitive", |spec| spec.fields[1].sensitive = false);
    for kind in [
        types::FieldType::Number,
        types::FieldType::Boolean,
        types::FieldType::StringArray,
        types::FieldType::Readonly,
    ] {
        refused("fields[0].sensitive", |spec| {
            spec.fields[0].kind = kind;
            spec.fields[0].sensitive = true;
        });
    }
}

#[test]
fn conditions() {
    let when = |field: &str, equals: &str| {
        Some(types::Condition {
            field: field.to_owned(),
            equals: equals.to_owned(),
        })
    };
    refused("fields[1].visible-when", |spec| {
        spec.fields[1].visible_when = when("nothing", "true")
    });
    refused("fields[1].visible-when", |spec| {
        spec.fields[1].visible_when = when("auth_token", "true")
    });
    refused("fields[1].visible-when", |spec| {
        spec.fields[1].visible_when = when("edge", "eu")
    });
    let mut raw = honest();
    raw.fields[1].visible_when = when("edge", "\"eu\"");
    let spec = ProviderSpec::try_from(raw).unwrap();
    assert_eq!(
        spec.fields[1].visible_when.as_ref().map(|condition| &condition.equals),
        Some(&json!("eu"))
    );
}

#[test]
fn account_ids() {
    refused("account-id-field", |spec| spec.account_id_field = "nothing".to_owned());
    refused("account-id-field", |spec| {
        spec.fields[0].kind = types::FieldType::Number
    });
    accepted(|spec| spec.account_id_field.clear());
}

#[test]
fn media() {
    refused("media.formats", |spec| spec.media.formats.clear());
    refused("media.formats", |spec| {
        spec.media.formats = vec![
            wit::WireFormat {
                encoding: wit::Encoding::L16Le,
                sample_rate_hz: 16000
            };
            17
        ];
    });
    for (encoding, sample_rate_hz) in [
        (wit::Encoding::Pcmu, 16000),
        (wit::Encoding::Pcma, 0),
        (wit::Encoding::L16Le, 44100),
        (wit::Encoding::L16Be, u32::MAX),
    ] {
        refused("media.formats[1].sample-rate-hz", |spec| {
            spec.media.formats.push(wit::WireFormat {
                encoding,
                sample_rate_hz,
            });
        });
    }
    for frame_ms in [0, 1, 19, 50, 1000, u16::MAX] {
        refused("media.frame-ms", |spec| spec.media.frame_ms = frame_ms);
    }
    for name in ["", "two words", "a,b", "x\r\ny"] {
        refused("media.subprotocol", |spec| {
            spec.media.subprotocol = Some(name.to_owned())
        });
    }
    refused("media.subprotocol", |spec| {
        spec.media.subprotocol = Some("x".repeat(65))
    });
}

#[test]
fn routes() {
    refused("routes", |spec| {
        spec.routes = (0..=ROUTES_MAX)
            .map(|n| route(&format!("r{n}"), wit::RoutePurpose::Callback, &format!("r{n}")))
            .collect();
    });
    for name in ["", "Status", "status_callback", "status/callback", "inbound"] {
        refused("routes[1].name", |spec| spec.routes[1].name = name.to_owned());
    }
    for method in ["", "post", "PUT", "GET, POST"] {
        refused("routes[1].method", |spec| spec.routes[1].method = method.to_owned());
    }
    for path in [
        "",
        "/status",
        "status/",
        "a//b",
        ".",
        "..",
        "../admin",
        "a/./b",
        "status?x=1",
        "status#x",
        "a b",
        "%2e%2e",
        "{id}",
        "x{call}",
        "{call}/{call}",
        "état",
        "a\\b",
    ] {
        refused("routes[1].path", |spec| spec.routes[1].path = path.to_owned());
    }
    refused("routes[0].path", |spec| spec.routes[0].path = "answer".to_owned());
    refused("routes[1].name", |spec| spec.routes[1].name = "answer".to_owned());
    refused("routes[1].path", |spec| {
        spec.routes[1].path = "answer/{call}".to_owned()
    });
    accepted(|spec| {
        spec.routes[1].path = "answer/{call}".to_owned();
        spec.routes[1].method = "GET".to_owned();
    });
}

#[test]
fn hosts() {
    refused("egress-hosts", |spec| {
        spec.egress_hosts = vec!["api.example.com".to_owned(); EGRESS_HOSTS_MAX + 1]
    });
    for host in [
        "",
        "*",
        "*.example.com",
        "https://api.example.com/v1",
        "api.example.com?x",
        "api.example.com#x",
        "user@api.example.com",
        "ftp://api.example.com",
        "ws://api.example.com",
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "localhost",
        "localhost.",
        "metadata.:80",
        "api.example.com.",
        "api..example.com",
        "api.example.com/",
        "http://api.example.com/",
        "é.example.com",
        "api%2eexample.com",
        "metadata",
        "a b.example.com",
        "{nothing}.example.com",
        "{auth_token}.example.com",
        "{edge.example.com",
        "edge}.example.com",
        "{edge}{.example.com",
    ] {
        refused("egress-hosts[0]", |spec| spec.egress_hosts[0] = host.to_owned());
    }
    accepted(|spec| spec.egress_hosts = vec!["{edge}".to_owned()]);
}

#[test]
fn a_spec_without_webhooks_has_no_routes() {
    refused("webhook-proof", |spec| {
        spec.webhook_proof = wit::ProofPolicy::NoWebhooks
    });
    accepted(|spec| {
        spec.webhook_proof = wit::ProofPolicy::NoWebhooks;
        spec.routes.clear();
    });
}

#[test]
fn a_value_in_a_host_stays_one_label_of_it() {
    let host = HostPattern("api.{edge}.example.com:8443".to_owned());
    let resolve = |value: &str| host.resolve(|field| (field == "edge").then(|| value.to_owned()));
    assert_eq!(resolve("Dublin").as_deref(), Some("api.dublin.example.com:8443"));
    for value in ["", "evil.org/", "evil.org", "a b", "a@b", "a:1", "a#", "é", "a\n"] {
        assert_eq!(resolve(value), None, "{value}");
    }
    assert_eq!(host.resolve(|_| None), None);
}

#[test]
fn a_field_that_is_a_whole_host_grants_its_origin() {
    let host = HostPattern("{endpoint}".to_owned());
    let resolve = |value: &str| host.resolve(|_| Some(value.to_owned()));
    assert_eq!(
        resolve("http://pbx.example.com:8088/ari?x=1").as_deref(),
        Some("http://pbx.example.com:8088")
    );
    assert_eq!(resolve("pbx.example.com").as_deref(), Some("https://pbx.example.com"));
    for value in ["", "ftp://pbx.example.com", "file:///etc/passwd", "http://"] {
        assert_eq!(resolve(value), None, "{value}");
    }
}
