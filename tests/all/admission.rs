//! What an organisation may do at once and a day, and where its calls may go.

use reqwest::Method;
use serde_json::{Value, json};
use strowger_server::admission::{DestinationCap, LimitOverrides, Prefix};
use strowger_simulator::agent::{AgentScript, AgentWhen, Hold, Transfer};
use strowger_simulator::exchange::{CallHandle, Callee};
use strowger_simulator::report::CallStatus;
use strowger_simulator::{CallerScript, Misbehaviour};

use crate::harness::{CALLEE, DEADLINE, Installation, Scenario, eventually, finished, ms, tone};

/// A satellite telephone.
const PREMIUM: &str = "+881612345678";

fn stays() -> CallerScript {
    CallerScript::new().speak(tone(500.0, 200)).stay()
}

fn rings() -> Callee {
    Callee::NoAnswer { after: DEADLINE }
}

async fn usage(installation: &Installation) -> Value {
    installation.api.get("/organization/usage").await.ok()
}

async fn lines_taken(installation: &Installation) -> u64 {
    usage(installation).await["calls"]["live"].as_u64().unwrap()
}

async fn until_lines_taken(installation: &Installation, lines: u64) {
    eventually(&format!("{lines} lines are taken"), async || {
        (lines_taken(installation).await == lines).then_some(())
    })
    .await;
}

/// What the operator says about the only organisation.
async fn limited(installation: &Installation, limits: LimitOverrides) {
    let exchange = installation.gateway.exchange();
    let (store, now) = (exchange.store(), exchange.clock().unix_ms());
    let organization = store.organization_named("First").await.unwrap().unwrap();
    store
        .set_organization_limits(&organization.id, &limits, None, now)
        .await
        .unwrap();
}

async fn initiate(installation: &Installation, callee: &str) -> crate::harness::Reply {
    let mut request = installation.outbound();
    request["phone_number"] = json!(callee);
    installation.api.post("/telephony/initiate-call", request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eleventh_call_is_refused_as_the_carrier_expects_and_a_line_that_is_free_is_taken() {
    let installation = Scenario::echo().setting("tenant_calls_max", &10).start().await;
    let calls: Vec<CallHandle> = (0..10).map(|_| installation.call_in(stays())).collect();
    until_lines_taken(&installation, 10).await;

    let eleventh = finished(&installation.call_in(stays())).await;
    assert_eq!(eleventh.status, CallStatus::Busy, "{eleventh:#?}");
    assert!(eleventh.webhooks[0].response.contains("<Reject reason=\"busy\"/>"));
    let reply = initiate(&installation, CALLEE).await;
    assert_eq!(reply.refused(429), "too_many_calls");
    let told = reply.json();
    assert_eq!((&told["owner"], &told["retryable"]), (&json!("operator"), &json!(true)));
    assert!(told["detail"].as_str().unwrap().contains("call 11 at once"), "{told}");
    // Of the eleventh there is a record that says why.
    let records = installation.calls().await;
    assert_eq!((installation.placed(), records.len()), (0, 11));
    assert_eq!(records[0]["outcome"]["detail"], "too_many_calls");
    let used = usage(&installation).await;
    assert_eq!(used["calls"], json!({ "live": 10, "limit": 10 }));
    assert_eq!(used["numbers"][0]["phone_number_id"], json!(installation.ids.number));
    assert_eq!(used["numbers"][0]["live"], 10);

    calls[0].hang_up();
    until_lines_taken(&installation, 9).await;
    let next = installation.call_in(CallerScript::new().speak(tone(500.0, 200)).hang_up());
    assert_eq!(finished(&next).await.status, CallStatus::Completed);
    for call in &calls[1..] {
        call.hang_up();
    }
    until_lines_taken(&installation, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_repeated_takes_one_line() {
    let installation = Scenario::echo().setting("tenant_calls_max", &1).start().await;
    let misbehaviour = Misbehaviour {
        webhook_copies: 3,
        ..Misbehaviour::default()
    };
    let call = installation.call_in_badly(CallerScript::new().speak(tone(500.0, 200)).hang_up(), misbehaviour);
    let report = finished(&call).await;
    assert!(
        report
            .webhooks
            .iter()
            .filter(|webhook| webhook.kind == "incoming")
            .all(|webhook| webhook.response.contains("<Stream")),
        "{:#?}",
        report.webhooks
    );
    until_lines_taken(&installation, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_a_call_ends_its_line_is_free() {
    let installation = Scenario::native(16_000, AgentScript::new())
        .setting("tenant_calls_max", &1)
        .start()
        .await;
    // The caller leaves.
    let call = installation.call_in(stays());
    until_lines_taken(&installation, 1).await;
    call.hang_up();
    until_lines_taken(&installation, 0).await;

    // The carrier refuses to place it.
    installation.carrier.set_misbehaviour(Misbehaviour {
        rest_error: Some(500),
        ..Misbehaviour::default()
    });
    assert_eq!(initiate(&installation, CALLEE).await.status, 502);
    until_lines_taken(&installation, 0).await;
    installation.carrier.set_misbehaviour(Misbehaviour::default());

    // The callee is busy.
    installation.carrier.set_callee(CALLEE, Callee::Busy);
    initiate(&installation, CALLEE).await.ok();
    until_lines_taken(&installation, 0).await;

    // It rings, and somebody thinks better of it.
    installation.carrier.set_callee(CALLEE, rings());
    let placed = initiate(&installation, CALLEE).await.ok();
    assert_eq!(lines_taken(&installation).await, 1);
    assert_eq!(initiate(&installation, CALLEE).await.refused(429), "too_many_calls");
    let path = format!("/calls/{}/hang-up", placed["call_id"].as_str().unwrap());
    installation.api.post(&path, json!({})).await.ok();
    until_lines_taken(&installation, 0).await;

    // Nobody is there to talk to.
    let agent = json!({ "url": "ws://127.0.0.1:9/nobody" });
    let path = format!("/agents/{}", installation.ids.agent);
    installation.api.send(Method::PUT, &path, Some(&agent)).await.ok();
    finished(&installation.call_in(stays())).await;
    until_lines_taken(&installation, 0).await;
    let calls = installation.calls().await;
    assert!(calls.iter().all(|call| call["state"] == "completed"), "{calls:#?}");
}

#[test]
fn the_lines_of_a_gateway_that_crashed_come_back() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let installation = first.block_on(async {
        let installation = Scenario::echo().setting("tenant_calls_max", &1).start().await;
        installation.call_in(stays());
        until_lines_taken(&installation, 1).await;
        installation
    });
    // Every task is gone at once: nobody gives anything back.
    drop(first);
    runtime().block_on(async {
        let installation = installation.resurrect().await;
        assert_eq!(lines_taken(&installation).await, 0);
        let call = installation.call_in(CallerScript::new().speak(tone(500.0, 200)).hang_up());
        assert_eq!(finished(&call).await.status, CallStatus::Completed);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_satellite_telephone_is_not_called_and_nobody_is_asked() {
    let installation = Scenario::echo().start().await;
    let before = installation.carrier.rest_log().len();
    for callee in [
        PREMIUM,
        "00881 6123 45678",
        "sip:+881612345678@carrier.example",
        "+1 900 555 0100",
        "+44 9098 790000",
    ] {
        let reply = initiate(&installation, callee).await;
        assert_eq!(reply.refused(403), "destination_denied", "{callee}");
        assert!(!reply.text().contains("612345678"), "{}", reply.text());
    }
    assert_eq!(installation.carrier.rest_log().len(), before);
    assert_eq!(installation.calls().await, Vec::<Value>::new());

    // The operator of this gateway thinks otherwise of this organisation.
    let allowed = LimitOverrides {
        allowed_destinations: Some(vec![Prefix::parse("+8816").unwrap()]),
        ..LimitOverrides::default()
    };
    limited(&installation, allowed).await;
    installation.carrier.set_callee(PREMIUM, Callee::Busy);
    initiate(&installation, PREMIUM).await.ok();
    assert_eq!(initiate(&installation, CALLEE).await.refused(403), "destination_denied");
    assert_eq!(installation.placed(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_not_connected_with_a_satellite_telephone() {
    let transfer = Transfer::to(PREMIUM).hold(Hold::Silence);
    let script = AgentScript::new()
        .on(AgentWhen::Start, [tone(700.0, 600).into()])
        .on(AgentWhen::Dtmf('1'), [transfer.into()]);
    let installation = Scenario::native(16_000, script).start().await;
    let caller = CallerScript::new().wait_heard(ms(300), DEADLINE).press('1').stay();
    let call = installation.call_in(caller);
    let agent = installation.conversation().await;
    let failed = agent.wait_transfer(DEADLINE, "failed").await.unwrap();
    assert_eq!(failed.reason.as_deref(), Some("destination_refused"));
    let record = installation.live_call().await;
    let events = installation.events(&record).await;
    let refusal = events
        .iter()
        .find(|event| event["kind"] == "transfer_dial_failed")
        .unwrap_or_else(|| panic!("{events:#?}"));
    assert_eq!(refusal["detail"]["event"]["code"], "destination-denied");

    // A client of the API hears it at once.
    let path = format!("/calls/{}/transfer", record["id"].as_str().unwrap());
    let reply = installation.api.post(&path, json!({ "destination": PREMIUM })).await;
    assert_eq!(reply.refused(403), "destination_denied");
    assert_eq!(installation.placed(), 0);
    call.hang_up();
    finished(&call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_by_destination_is_shared_by_calls_and_transfers() {
    let script = AgentScript::new().on(AgentWhen::Start, [tone(700.0, 600).into()]);
    let installation = Scenario::native(16_000, script).start().await;
    let capped = LimitOverrides {
        destination_caps: Some(vec![DestinationCap {
            prefix: Prefix::parse("+1202").unwrap(),
            calls_per_day: Some(1),
            minutes_per_day: None,
        }]),
        ..LimitOverrides::default()
    };
    limited(&installation, capped).await;
    installation.carrier.set_callee(CALLEE, Callee::Busy);
    initiate(&installation, CALLEE).await.ok();
    assert_eq!(
        initiate(&installation, CALLEE).await.refused(429),
        "destination_calls_used_up"
    );
    assert_eq!(installation.placed(), 1);
    let used = usage(&installation).await;
    assert_eq!(used["destinations"][0]["calls"], json!({ "today": 1, "limit": 1 }));
    until_lines_taken(&installation, 0).await;

    let caller = CallerScript::new().wait_heard(ms(300), DEADLINE).stay();
    let call = installation.call_in(caller);
    let agent = installation.conversation().await;
    agent
        .wait_until(DEADLINE, |agent| agent.heard_duration() > ms(100))
        .await
        .unwrap();
    let record = installation.live_call().await;
    let path = format!("/calls/{}/transfer", record["id"].as_str().unwrap());
    let reply = installation.api.post(&path, json!({ "destination": CALLEE })).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let failed = agent.wait_transfer(DEADLINE, "failed").await.unwrap();
    assert_eq!(failed.reason.as_deref(), Some("destination_refused"));
    assert_eq!(installation.placed(), 1);
    call.hang_up();
    finished(&call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_ended_when_its_organization_allows_no_longer_one() {
    let installation = Scenario::echo().start().await;
    let short = LimitOverrides {
        call_duration_max_s: Some(1),
        ..LimitOverrides::default()
    };
    limited(&installation, short).await;
    let call = installation.call_in(stays());
    finished(&call).await;
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "duration_limit", "{record}");
    until_lines_taken(&installation, 0).await;
    let limits = installation.api.get("/organization/limits").await.ok();
    assert_eq!(limits["call_duration_max_s"], 1);
    assert_eq!(limits["set_by_operator"], json!(["call_duration_max_s"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_organization_may_do_is_shown_to_it_alone() {
    let installation = Scenario::echo().setting("tenant_calls_max", &7).start().await;
    let own = LimitOverrides {
        calls_max: Some(3),
        ..LimitOverrides::default()
    };
    limited(&installation, own).await;
    let limits = installation.api.get("/organization/limits").await.ok();
    assert_eq!(limits["calls_max"], 3);
    assert!(
        limits["denied_destinations"]
            .as_array()
            .unwrap()
            .contains(&json!("+979"))
    );
    let other = crate::harness::Api::new(&installation.gateway, "Second").await;
    assert_eq!(other.get("/organization/limits").await.ok()["calls_max"], 7);
    let changed = other
        .send(Method::PUT, "/organization/limits", Some(&json!({ "calls_max": 1000 })))
        .await;
    assert_eq!(changed.status, 405, "only the operator changes limits");
}
