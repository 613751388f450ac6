//! Twilio's own package: it signs webhooks for our verifier, and drives the simulator that all other tests trust.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use strowger_host::Provider;
use strowger_simulator::report::{CallEvent, HangUp};
use strowger_simulator::{Callee, Gateway as GatewayAddress, Options, RunningCarrier};
use strowger_tests::{credentials, provider};

use super::witness::{Witness, text};
use super::{NOW_MS, SEED, verdict, webhook};
use crate::harness::finished;

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const WEBHOOKS: usize = 2_000;

fn is_genuine(twilio: &Provider, case: &Value) -> bool {
    let mut entered = case["credentials"].clone();
    entered["account_sid"] = json!(ACCOUNT);
    verdict(twilio, &credentials(twilio, &entered), &webhook(case, NOW_MS)) == "genuine"
}

/// Where ours and the official verdict differ, and what was compared, counted.
fn compare(twilio: &Provider, cases: &[Value]) -> (Vec<String>, BTreeMap<String, usize>) {
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::new();
    for case in cases {
        let mut count = |what: String| *counts.entry(what).or_default() += 1;
        let why = text(case, "why");
        // What the official package has signed is genuine, even where its own validator does not see it.
        if !is_genuine(twilio, case) {
            wrong.push(format!("genuine, but refused: {case:#}"));
        }
        if case["official"] != json!(why.is_empty()) {
            wrong.push(format!("the official validator is not as it was: {case:#}"));
        }
        count(format!("signed {}", text(case, "kind")));
        count(format!("signed with known defect {why:?}"));
        for change in case["changes"].as_array().unwrap() {
            let official = change["official"].as_bool().unwrap();
            if is_genuine(twilio, change) != official {
                wrong.push(format!("with another {}: {change:#}", text(change, "what")));
            }
            count(format!("changed {}: {official}", text(change, "what")));
        }
    }
    (wrong, counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_official_package_signs_is_genuine_and_what_was_changed_is_not() {
    let cases = Witness::start("sign.py", &[SEED, &WEBHOOKS.to_string()]).rest().await;
    assert_eq!(cases.len(), WEBHOOKS);
    let twilio = provider("twilio");
    let (wrong, counts) = tokio::task::spawn_blocking(move || compare(&twilio, &cases))
        .await
        .unwrap();
    assert!(
        wrong.is_empty(),
        "{} verdicts are wrong; the first:\n{}",
        wrong.len(),
        wrong[0]
    );
    // A generator that no longer makes one of these would make this test blind.
    for (what, at_least) in [
        ("signed form", 500),
        ("signed get", 100),
        ("signed json", 200),
        ("signed empty", 50),
        ("signed form-with-digest", 50),
        ("signed with known defect \"\"", 1_500),
        ("signed with known defect \"ipv6-port-removed\"", 3),
        ("signed with known defect \"user-information-port-removed\"", 3),
        ("signed with known defect \"user-information-left-out\"", 5),
        ("signed with known defect \"empty-query-kept\"", 5),
        ("signed with known defect \"body-digest-upper-case\"", 5),
        ("changed url: false", WEBHOOKS),
        ("changed body: false", WEBHOOKS),
        ("changed signature: false", WEBHOOKS),
        ("changed key: false", WEBHOOKS),
        ("changed settings: false", 500),
        ("changed port: true", 300),
        ("changed port: false", 300),
        ("changed order: true", 500),
    ] {
        assert!(
            counts.get(what).is_some_and(|&count| count >= at_least),
            "{what}: {counts:#?}"
        );
    }
}

// The REST API of the simulator.

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_finds_its_api_in_the_simulator() {
    const PATIENT: &str = "+12025550188";
    const BUSY: &str = "+12025550199";
    let twilio = strowger_simulator::by_name("twilio").expect("there is a simulated carrier");
    let carrier = RunningCarrier::start(twilio, Options::default()).await.unwrap();
    // No webhook is asked for: a carrier only wants to know where it would go.
    carrier
        .set_gateway(GatewayAddress::at("http://127.0.0.1:9").unwrap())
        .unwrap();
    carrier.set_callee(PATIENT, Callee::default());
    carrier.set_callee(
        BUSY,
        Callee::NoAnswer {
            after: Duration::from_secs(600),
        },
    );
    let more = ["+15005550101", "+15005550102", "+15005550103"];
    more.iter().for_each(|number| carrier.add_number(number));

    let base = format!("http://{}", carrier.rest_addr());
    let account = carrier.credentials();
    let (sid, token) = (text(&account, "account_sid"), text(&account, "auth_token"));
    let arguments = [&base, sid, token, carrier.own_number(), PATIENT, BUSY];
    let seen = Witness::start("rest_client.py", &arguments).rest().await.remove(0);

    let created = &seen["created"];
    assert!(
        text(created, "sid").starts_with("CA") && text(created, "sid").len() == 34,
        "{created}"
    );
    assert_eq!(text(created, "account_sid"), sid);
    assert_eq!(
        (text(created, "status"), text(created, "direction")),
        ("queued", "outbound-api")
    );
    assert_eq!(
        (text(created, "to"), text(created, "from_formatted")),
        (PATIENT, carrier.own_number())
    );
    assert!(created["date_created"].is_number(), "{created}");
    assert!(created["end_time"].is_null() && created["price"].is_null(), "{created}");
    assert!(seen["answered"]["start_time"].is_number(), "{}", seen["answered"]);
    let completed = &seen["completed"];
    assert!(
        completed["start_time"].as_f64() <= completed["end_time"].as_f64(),
        "{completed}"
    );
    assert!(text(completed, "duration").parse::<u64>().is_ok(), "{completed}");
    let priced = &seen["priced"];
    assert!(
        text(priced, "price").parse::<f64>().is_ok_and(|price| price <= 0.0),
        "{priced}"
    );
    assert_eq!(text(priced, "price_unit"), "USD");
    assert_eq!(text(&seen["canceled"], "status"), "canceled");

    for (attempt, status, code) in [
        ("hung_up_again", 404, 20404),
        ("unknown_call", 404, 20404),
        ("unknown_number", 404, 20404),
        ("unauthorised", 401, 20003),
        ("without_url", 400, 21205),
        ("foreign_caller_id", 400, 21210),
        ("not_a_number", 400, 21211),
    ] {
        assert_eq!(
            (&seen[attempt]["status"], &seen[attempt]["code"]),
            (&json!(status), &json!(code)),
            "{attempt}"
        );
        assert!(!text(&seen[attempt], "message").is_empty(), "{attempt}");
    }

    let all = [&[carrier.own_number()], &more[..]].concat();
    assert_eq!(seen["all_numbers"], json!(all), "page after page");
    assert_eq!(seen["found_numbers"], json!([carrier.own_number()]));
    let url = "https://gateway.example/voice?a=1&b=ä ö";
    let told = json!([url, "POST", format!("{url}#end")]);
    assert_eq!((&seen["voice_url"], &seen["voice_url_kept"]), (&told, &told));
    assert_eq!(carrier.number(carrier.own_number()).unwrap().voice.url, url);
    assert_eq!(seen["account"], "active");
    let calls = carrier.calls();
    assert_eq!(calls.len(), 2);
    let ended = finished(&calls[0]).await;
    assert!(ended.happened(&CallEvent::HungUp(HangUp::Rest)), "{ended:#?}");
}
