//! The same over HTTP, through a running gateway: a forged call over every carrier, and a REST API that fails.

use serde_json::Value;
use strowger_host::RejectionReason;
use strowger_simulator::agent::AgentScript;
use strowger_simulator::carrier::{CallRecord, Tamper, WebhookKind, WebhookTarget};
use strowger_simulator::report::Direction;
use strowger_simulator::{CallerScript, Misbehaviour, RestFailure, RestFault, Signing, by_name, carriers};

use crate::harness::{CALLEE, CALLER, DEADLINE, Installation, Scenario, finished};

const INBOUND: &str = "/api/v1/telephony/inbound/run";

async fn nothing_happened(installation: &Installation) {
    assert_eq!(installation.calls().await, Vec::<Value>::new());
    assert_eq!(installation.gateway.exchange().live_calls(), 0);
}

/// Whoever forges a call gets the carrier's rejection, and the gateway does nothing; a genuine one goes through afterwards.
async fn refuses_what_is_forged(carrier: &str) {
    let installation = Scenario::echo().over(carrier).start().await;
    let rejection = strowger_tests::provider(carrier)
        .rejection(RejectionReason::Signature)
        .clone();
    for signing in [Signing::Wrong, Signing::Missing] {
        let misbehaviour = Misbehaviour {
            signing,
            ..Misbehaviour::default()
        };
        let call = installation.call_in_badly(CallerScript::new().hang_up(), misbehaviour);
        // A carrier that does not read the answer lets the caller ring on: nothing is sent to its API because of a forgery.
        let answered = call.wait_until(DEADLINE, |report| !report.webhooks.is_empty()).await;
        answered.unwrap_or_else(|_| panic!("{carrier}: {:#?}", call.report()));
        let report = call.report();
        let webhook = &report.webhooks[0];
        // Without its signature a webhook may not even be known for this carrier's.
        let refused = webhook.status == Some(rejection.status) && webhook.response.as_bytes() == rejection.body;
        let unknown = signing == Signing::Missing && webhook.status.is_some_and(|status| (400..500).contains(&status));
        assert!(refused || unknown, "{carrier} {signing:?}: {webhook:#?}");
        assert!(report.streams.is_empty(), "{carrier} {signing:?}");
        nothing_happened(&installation).await;
    }
    let call = installation.call_in(CallerScript::new().hang_up());
    finished(&call).await;
    let record = installation.closed_call().await;
    assert_eq!(record["direction"], "inbound", "{carrier}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forged_is_refused_over_every_carrier() {
    for carrier in carriers().iter().filter(|carrier| carrier.name() != "ari") {
        refuses_what_is_forged(carrier.name()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_without_webhooks_has_no_address_for_them() {
    let installation = Scenario::echo().over("ari").start().await;
    let event = format!(r#"{{"type":"StasisStart","channel":{{"id":"1","caller":{{"number":"{CALLER}"}}}}}}"#);
    for path in [INBOUND, "/api/v1/telephony/ari/events", "/api/v1/telephony/ari"] {
        let reply = installation.post_raw(path, &[], event.clone().into_bytes()).await;
        assert!((400..500).contains(&reply.status), "{path}: {reply:?}");
    }
    nothing_happened(&installation).await;
}

/// What came of a call that the carrier's API did not take.
async fn not_placed(installation: &Installation, status: u16, code: &str) -> String {
    let reply = installation
        .api
        .post("/telephony/initiate-call", installation.outbound())
        .await;
    assert_eq!(reply.refused(status), code, "{}", reply.text());
    let message = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!((1..=500).contains(&message.chars().count()), "{message}");
    assert!(!message.contains(CALLEE), "{message}");
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "place_failed", "{record:#}");
    assert_eq!(installation.gateway.exchange().live_calls(), 0);
    message
}

/// A redirect leads nowhere, not even to a place that the operator has allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_to_a_private_address_is_not_followed() {
    let private = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/latest/meta-data/", private.local_addr().unwrap());
    let installation = Scenario::native(16_000, AgentScript::new()).start().await;
    let redirect = RestFault::Redirect(address.clone());
    installation.carrier.fail_rest(RestFailure::next(redirect));
    let message = not_placed(&installation, 400, "redirected").await;
    assert!(!message.contains(&address), "{message}");
    // The whole exchange is over; whoever had been led there would have come by now.
    let visited = tokio::select! {
        biased;
        visitor = private.accept() => Some(visitor),
        () = std::future::ready(()) => None,
    };
    assert!(visited.is_none(), "the gateway went there");
    let log = installation.carrier.rest_log();
    let placing = log.iter().filter(|request| request.path.ends_with("/Calls.json"));
    assert_eq!(placing.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_an_answer_and_a_page_for_people_are_the_carriers_fault() {
    for (fault, code) in [
        (RestFault::HalfBody, "unreachable"),
        (RestFault::Html, "unexpected-answer"),
    ] {
        let installation = Scenario::native(16_000, AgentScript::new()).start().await;
        installation.carrier.fail_rest(RestFailure::next(fault.clone()));
        not_placed(&installation, 502, code).await;
        assert_eq!(installation.placed(), 1, "{fault:?}: nothing is sent twice");
    }
}

/// It takes as long as the gateway waits for a carrier.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_come_is_waited_for_only_so_long() {
    let installation = Scenario::native(16_000, AgentScript::new()).start().await;
    installation.carrier.fail_rest(RestFailure::next(RestFault::Timeout));
    let message = not_placed(&installation, 502, "unreachable").await;
    assert!(message.contains("try again"), "{message}");
    assert_eq!(installation.placed(), 1, "nothing is sent twice");
}

/// The proof of a webhook with a nonce is spent with the first: another one behind it is refused, and its repetition is a
/// retry.
async fn counts_once(name: &str) {
    let carrier = by_name(name).unwrap();
    let installation = Scenario::echo().over(name).start().await;
    let record = CallRecord::new(carrier.new_call_id(), Direction::Inbound, CALLER, carrier.own_number());
    let target = WebhookTarget::post(format!("{}{INBOUND}", installation.base()));
    let webhook = carrier.webhook(&record, &WebhookKind::Incoming, &target, &Tamper::default());
    let headers: Vec<(&str, &str)> = webhook
        .headers
        .iter()
        .filter(|(name, _)| name != "content-type")
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let first = installation.post_raw(INBOUND, &headers, webhook.body.clone()).await;
    assert!(first.text().contains("<Stream"), "{name}: {}", first.text());
    let rejection = strowger_tests::provider(name)
        .rejection(RejectionReason::Signature)
        .clone();
    // A carrier that did not hear the answer gets it again.
    let again = installation.post_raw(INBOUND, &headers, webhook.body.clone()).await;
    assert_eq!((again.status, again.text()), (first.status, first.text()), "{name}");
    // What is new behind a nonce that was seen is a forgery.
    let changed = [webhook.body.as_slice(), b"&Changed=1"].concat();
    let changed = installation.post_raw(INBOUND, &headers, changed).await;
    assert_eq!(
        (changed.status, &changed.body),
        (rejection.status, &rejection.body),
        "{name}: {}",
        changed.text()
    );
    assert_eq!(installation.calls().await.len(), 1, "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_with_a_nonce_counts_once() {
    for carrier in ["plivo", "vobiz"] {
        counts_once(carrier).await;
    }
}
