//! Identifiers come from carriers and from strangers. However they are spelled, a request goes to the resource that it is
//! meant for, and a body stays what it is.

use strowger_host::operation::Direction;
use strowger_host::{Effect, OutgoingRequest, Reply, Step};

use super::bench::{Bench, NEW_CALL_ID, benches, call, outbound_of, run, run_with};
use super::moment;
use super::operations::cases;

/// What would lead elsewhere if it were put into a URL, a form, JSON or XML as it is.
const HOSTILE: [&str; 14] = [
    "../../Accounts",
    "a/b",
    "/",
    "..",
    ".",
    "%2e%2e%2f",
    "a?b=c",
    "a#b",
    "a&Status=completed",
    "a b+c",
    "\"}],\"x\":[{\"",
    "</Stream><Hangup/>",
    "\u{fc}\u{1f4de}",
    "@evil.example:8080",
];

/// Host, number of path segments, and names of query parameters.
fn place(url: &str) -> (String, usize, Vec<String>) {
    let url = reqwest::Url::parse(url).unwrap();
    (
        url.host_str().unwrap_or_default().to_owned(),
        url.path_segments().into_iter().flatten().count(),
        url.query_pairs().map(|(name, _)| name.into_owned()).collect(),
    )
}

#[test]
fn an_identifier_leads_to_no_other_resource() {
    for bench in benches() {
        let subject = bench.subject();
        for case in cases(bench) {
            let (_, honest) = run(&mut *case.start(bench), &mut bench.account.clone());
            let Some(honest) = honest.first() else {
                continue;
            };
            for id in HOSTILE {
                let mut spoiled: Bench = bench.clone();
                for known in [&mut spoiled.outbound, &mut spoiled.picked_up, &mut spoiled.inbound] {
                    known.provider_call_id = Some(id.to_owned());
                }
                if let Some(leg) = &mut spoiled.leg {
                    leg.provider_call_id = Some(id.to_owned());
                }
                if let Some(trunk) = &mut spoiled.trunk {
                    trunk.external_id = Some(id.to_owned());
                }
                let mut bodies = Vec::new();
                let mut running = case.start(&spoiled);
                let (_, asked) = run_with(&mut *running, &mut spoiled.account.clone(), |_, request| {
                    bodies.push(request.clone());
                    Reply::Unreachable("not today".to_owned())
                });
                let shown = format!("{} {} with {id:?}", subject.name(), case.name);
                // Either it is refused as unusable, or it is one segment like any other.
                if let Some(asked) = asked.first() {
                    assert_eq!(place(&asked.url), place(&honest.url), "{shown}: {}", asked.url);
                }
                for request in &bodies {
                    readable(request, &shown);
                }
            }
        }
    }
}

/// A form or a JSON document, as its content type says.
#[track_caller]
fn readable(request: &OutgoingRequest, shown: &str) {
    let content_type = request.headers.iter().find(|(name, _)| name == "content-type");
    match content_type.map(|(_, value)| value.expose()) {
        None => assert_eq!(request.body, b"", "{shown}"),
        Some("application/json") => {
            serde_json::from_slice::<serde_json::Value>(&request.body)
                .unwrap_or_else(|error| panic!("{shown}: {error}"));
        }
        Some("application/x-www-form-urlencoded") => {
            let text = std::str::from_utf8(&request.body).unwrap();
            let plain = |c: char| c.is_ascii_alphanumeric() || "&=%+-._*".contains(c);
            assert!(text.chars().all(plain), "{shown}: {text}");
        }
        Some(other) => panic!("{shown}: {other}"),
    }
}

/// Whoever is called: there is one call, to this address and to no other.
#[test]
fn an_address_stays_one_address() {
    let addresses = [
        "sip:a\"b@example.com",
        "sip:a&To=%2B15550100@example.com",
        "sip:a,b@example.com",
        "sip:a<sip:b@example.com",
        "sip:a</Number><Number>b@example.com",
        "sip:a;x=y?z=1@example.com",
        "+12025550188<+12025550199",
        "+12025550188,+12025550199",
    ];
    for bench in benches() {
        let subject = bench.subject();
        for address in addresses {
            let mut call = call(subject, NEW_CALL_ID, Direction::Outbound);
            call.callee = address.to_owned();
            let outbound = outbound_of(subject, &call);
            let placing = subject
                .provider
                .place_call(&bench.credentials, call, outbound, moment());
            let shown = format!("{} {address}", subject.name());
            match placing.unwrap().step().unwrap() {
                Step::Failed(failure) => assert!(!failure.message.contains(address), "{shown}: {}", failure.message),
                Step::Perform(Effect::Http(request)) => {
                    readable(&request, &shown);
                    assert!(
                        !matches!(subject.name(), "plivo" | "vobiz") || !address.contains('<'),
                        "{shown}: this carrier calls each of several addresses with `<` between them"
                    );
                }
                other => panic!("{shown}: {other:?}"),
            }
        }
    }
}
