//! What tenants are told of what happens: in which order, how often, by whose word, and what it costs everybody else.

use reqwest::Method;
use serde_json::{Value, json};
use strowger_simulator::CallerScript;

use crate::harness::{Api, Installation, Scenario, created, eventually, finished, ms, tone};
use crate::oracles::witness::Witness;
use crate::receiver::{Received, Receiver, Reply};

const ENDPOINTS: &str = "/webhook-endpoints";

fn caller() -> CallerScript {
    CallerScript::new()
        .speak(tone(500.0, 200))
        .press('7')
        .silence(ms(200))
        .hang_up()
}

/// The path and the secret of a new endpoint.
async fn endpoint(api: &Api, body: Value) -> (String, String) {
    let reply = api.post(ENDPOINTS, body).await;
    let path = format!("{ENDPOINTS}/{}", created(&reply));
    (path, reply.ok()["secret"].as_str().unwrap().to_owned())
}

fn kinds(received: &[Received]) -> Vec<String> {
    received.iter().map(Received::kind).collect()
}

fn ends(received: &[Received]) -> usize {
    received
        .iter()
        .filter(|received| received.kind() == "call.ended")
        .count()
}

async fn deliveries(api: &Api, endpoint: &str, state: &str) -> Vec<Value> {
    let list = api.get(&format!("{endpoint}/deliveries?state={state}")).await.ok();
    list["deliveries"].as_array().unwrap().clone()
}

/// What the official package says of requests: genuine under this secret, or not.
async fn verdicts(secret: &str, received: &[Received]) -> Vec<Value> {
    let lines = received.iter().map(|received| {
        json!({ "secret": secret, "headers": received.headers, "body": received.body }).to_string() + "\n"
    });
    Witness::start_with("standard_webhooks.py", &[], lines.collect())
        .rest()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_in_order_and_others_can_tell_that_it_is_genuine() {
    let installation = Scenario::echo().recorded().start().await;
    let receiver = Receiver::start().await;
    let (path, secret) = endpoint(
        &installation.api,
        json!({ "url": receiver.url(), "description": "Ours" }),
    )
    .await;
    finished(&installation.call_in(caller())).await;
    let call = installation.closed_call().await;
    let told = receiver
        .until("the recording is told", |told| {
            kinds(told).contains(&"call.recording.available".to_owned())
        })
        .await;
    assert_eq!(
        kinds(&told),
        [
            "call.created",
            "call.answered",
            "call.ended",
            "call.recording.available"
        ]
    );
    assert!(
        told.iter()
            .all(|received| received.call() == call["id"].as_str().unwrap())
    );
    for (received, verdict) in told.iter().zip(verdicts(&secret, &told).await) {
        assert_eq!(verdict, json!({ "genuine": true, "type": received.kind() }));
        assert_eq!(received.headers["content-type"], "application/json");
    }
    // The witness would notice.
    let mut changed = told[0].clone();
    changed.body = changed.body.replace("inbound", "outbound");
    assert_eq!(verdicts(&secret, &[changed]).await[0]["genuine"], false);

    let ended = &told[2].json()["data"]["call"];
    for field in [
        "caller",
        "callee",
        "duration_ms",
        "answered_at",
        "ended_at",
        "cost",
        "has_recording",
    ] {
        assert_eq!(ended[field], call[field], "{field}");
    }
    assert_eq!(ended["outcome"]["reason"], call["outcome"]["reason"]);
    assert_eq!(call["outcome"]["digits"], 1, "somebody pressed a key");
    assert!(
        told.iter().all(|received| !received.body.contains("digits")),
        "{told:#?}"
    );
    let recording = told[3].json()["data"]["recording"]["path"].as_str().unwrap().to_owned();
    let recording = installation.api.get(recording.strip_prefix("/api/v1").unwrap()).await;
    assert_eq!(recording.status, 200);

    let delivered = eventually("they are delivered", async || {
        let delivered = deliveries(&installation.api, &path, "delivered").await;
        (delivered.len() == 4).then_some(delivered)
    })
    .await;
    assert_eq!(delivered[3]["id"], told[0].id());
    assert_eq!(
        (&delivered[3]["attempts"], &delivered[3]["last_status"]),
        (&json!(1), &json!(204))
    );
    let page = installation.api.get(&format!("{path}/deliveries?limit=3")).await.ok();
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = installation
        .api
        .get(&format!("{path}/deliveries?limit=3&cursor={cursor}"))
        .await
        .ok();
    assert_eq!(
        (rest["deliveries"][0]["id"].as_str(), &rest["next_cursor"]),
        (Some(told[0].id()), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_comes_again_and_holds_up_its_own_call_only() {
    let installation = Scenario::echo().start().await;
    let receiver = Receiver::start().await;
    endpoint(&installation.api, json!({ "url": receiver.url() })).await;
    let mut first = true;
    // A redirect is a refusal, and is not followed.
    receiver.answer(move |_| Reply::Status(if std::mem::take(&mut first) { 307 } else { 200 }));
    finished(&installation.call_in(caller())).await;
    eventually("the first is refused", async || {
        (!receiver.received().is_empty()).then_some(())
    })
    .await;
    let refused = receiver.received()[0].clone();
    finished(&installation.call_in(caller())).await;
    let told = receiver.until("both calls are told", |told| ends(told) == 2).await;
    let late: Vec<Received> = told
        .iter()
        .filter(|received| received.call() == refused.call())
        .cloned()
        .collect();
    assert_eq!(kinds(&late), ["call.created", "call.answered", "call.ended"]);
    assert_eq!(late[0].id(), refused.id(), "the same event has the same name");
    assert_eq!(late[0].body, refused.body);
    let other: Vec<usize> = (0..told.len())
        .filter(|&at| told[at].call() != refused.call())
        .collect();
    assert_eq!(kinds(&told)[..3], ["call.created", "call.answered", "call.ended"]);
    assert_eq!(other, [0, 1, 2], "the other call did not wait: {:?}", kinds(&told));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_told_yet_survives_a_restart() {
    let installation = Scenario::echo().start().await;
    let receiver = Receiver::start().await;
    let (path, secret) = endpoint(&installation.api, json!({ "url": receiver.url() })).await;
    receiver.answer(|_| Reply::Status(503));
    finished(&installation.call_in(caller())).await;
    installation.closed_call().await;
    let waiting = eventually("an attempt has failed", async || {
        let waiting = deliveries(&installation.api, &path, "pending").await;
        (waiting.iter().any(|delivery| delivery["attempts"] == 1)).then_some(waiting)
    })
    .await;
    assert_eq!(waiting.len(), 3);
    assert_eq!(waiting[2]["last_error"], "http-503");
    let shown = installation.api.get(&path).await.ok();
    assert!(shown["failing_since"].is_string(), "{shown}");
    // While it is disabled nothing is attempted, however long the restart takes.
    let enabled = |enabled: bool| json!({ "enabled": enabled });
    installation
        .api
        .send(Method::PUT, &path, Some(&enabled(false)))
        .await
        .ok();
    let (_, installation) = installation.restart().await;
    receiver.answer(|_| Reply::Status(200));
    installation
        .api
        .send(Method::PUT, &path, Some(&enabled(true)))
        .await
        .ok();
    let told = receiver.until("all of it is told", |told| ends(told) == 1).await;
    assert_eq!(kinds(&told), ["call.created", "call.answered", "call.ended"]);
    let verdicts = verdicts(&secret, &told).await;
    assert!(
        verdicts.iter().all(|verdict| verdict["genuine"] == true),
        "{verdicts:?}"
    );
    eventually("it is not failing any more", async || {
        installation.api.get(&path).await.ok()["failing_since"]
            .is_null()
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_disabled_and_its_dead_letters_can_be_sent_again() {
    let installation = Scenario::echo().start().await;
    let receiver = Receiver::start().await;
    let (path, _) = endpoint(&installation.api, json!({ "url": receiver.url() })).await;
    receiver.answer(|_| Reply::Status(410));
    finished(&installation.call_in(caller())).await;
    installation.closed_call().await;
    let shown = eventually("it is disabled", async || {
        let shown = installation.api.get(&path).await.ok();
        (shown["enabled"] == false).then_some(shown)
    })
    .await;
    assert!(shown["disabled_reason"].as_str().unwrap().contains("410"), "{shown}");
    assert!(shown["disabled_at"].is_string());
    let dead = deliveries(&installation.api, &path, "dead").await;
    assert!(!dead.is_empty());
    assert!(deliveries(&installation.api, &path, "pending").await.is_empty());
    let resend = format!("{path}/resend-dead");
    for path in [resend.clone(), format!("{path}/test")] {
        let reply = installation.api.post(&path, json!({})).await;
        assert_eq!(reply.refused(409), "endpoint_disabled", "{path}");
    }
    receiver.answer(|_| Reply::Status(200));
    let enabled = installation
        .api
        .send(Method::PUT, &path, Some(&json!({ "enabled": true })))
        .await
        .ok();
    assert_eq!(
        (&enabled["disabled_at"], &enabled["failing_since"]),
        (&Value::Null, &Value::Null)
    );
    // One, and then the rest.
    let oldest = dead.last().unwrap()["id"].as_str().unwrap();
    let reply = installation
        .api
        .post(&format!("{path}/deliveries/{oldest}/resend"), json!({}))
        .await;
    assert_eq!((reply.status, reply.ok()["resent"].as_u64()), (202, Some(1)));
    receiver.until("the one is told", |told| told.len() == 1).await;
    let reply = installation.api.post(&resend, json!({})).await;
    assert_eq!(reply.ok()["resent"].as_u64(), Some(dead.len() as u64 - 1));
    let told = receiver
        .until("the rest is told", |told| told.len() == dead.len())
        .await;
    assert_eq!(kinds(&told)[0], "call.created");
    let mut told: Vec<&str> = told.iter().map(Received::id).collect();
    let mut known: Vec<&str> = dead.iter().map(|dead| dead["id"].as_str().unwrap()).collect();
    told.sort_unstable();
    known.sort_unstable();
    assert_eq!(told, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_secret_changes_both_sign() {
    let installation = Scenario::echo().without_number().start().await;
    let receiver = Receiver::start().await;
    let wanted = json!({ "url": receiver.url(), "event_types": ["provider.quarantined"] });
    let (path, old) = endpoint(&installation.api, wanted).await;
    let rotated = installation
        .api
        .post(&format!("{path}/rotate-secret"), json!({}))
        .await
        .ok();
    let new = rotated["secret"].as_str().unwrap().to_owned();
    assert!(rotated["previous_secret_signs_until"].is_string());
    assert_ne!(old, new);
    // Whatever the endpoint has chosen.
    let reply = installation.api.post(&format!("{path}/test"), json!({})).await;
    assert_eq!((reply.status, reply.ok()["event_type"].as_str()), (202, Some("ping")));
    let told = receiver.until("a ping comes", |told| !told.is_empty()).await;
    assert_eq!(kinds(&told), ["ping"]);
    assert_eq!(told[0].headers["webhook-signature"].split(' ').count(), 2);
    for secret in [&old, &new] {
        assert_eq!(verdicts(secret, &told).await[0]["genuine"], true);
    }
    let stranger = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    assert_eq!(verdicts(stranger, &told).await[0]["genuine"], false);
    // Shown once, and never again.
    for path in [ENDPOINTS, &path] {
        let shown = installation.api.get(path).await.text();
        assert!(!shown.contains("whsec_"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_holds_up_no_call_and_nobody_elses_events() {
    let installation = Scenario::echo().start().await;
    let (silent, other) = (Receiver::start().await, Receiver::start().await);
    silent.answer(|_| Reply::Silence);
    endpoint(&installation.api, json!({ "url": silent.url() })).await;
    endpoint(
        &installation.api,
        json!({ "url": other.url(), "event_types": ["call.ended"] }),
    )
    .await;
    for _ in 0..6 {
        finished(&installation.call_in(caller())).await;
    }
    other.until("the calls are told", |told| told.len() == 6).await;
    let attempts = silent.received().len();
    assert!((1..=4).contains(&attempts), "{attempts} attempts at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisation_is_told_nothing_and_sees_nothing() {
    let installation = Scenario::echo().start().await;
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let stranger = Api::new(&installation.gateway, "Second").await;
    let (path, _) = endpoint(&installation.api, json!({ "url": ours.url() })).await;
    let (their_path, _) = endpoint(&stranger, json!({ "url": theirs.url() })).await;
    finished(&installation.call_in(caller())).await;
    let told = ours.until("the call is told", |told| ends(told) == 1).await;
    assert!(theirs.received().is_empty());

    let delivery = told[0].id();
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::PUT, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}/rotate-secret")),
        (Method::POST, format!("{path}/test")),
        (Method::GET, format!("{path}/deliveries")),
        (Method::POST, format!("{path}/deliveries/{delivery}/resend")),
        (Method::POST, format!("{path}/resend-dead")),
        // Nor do they reach ours through an endpoint of their own.
        (Method::POST, format!("{their_path}/deliveries/{delivery}/resend")),
    ] {
        let body = json!({});
        let body = (method != Method::GET).then_some(&body);
        let reply = stranger.send(method.clone(), &path, body).await;
        assert_eq!(reply.refused(404), "not_found", "{method} {path}");
    }
    let list = stranger.get(ENDPOINTS).await.ok();
    assert_eq!(list["webhook_endpoints"].as_array().unwrap().len(), 1);
    assert_eq!(installation.api.get(&path).await.status, 200, "it is there, for us");
    let gone = installation.api.send(Method::DELETE, &path, None).await;
    assert_eq!((gone.status, installation.api.get(&path).await.status), (200, 404));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_nobody_allowed_is_not_reached() {
    let installation: Installation = Scenario::echo().without_number().start().await;
    let receiver = Receiver::start().await;
    for url in [
        "http://example.com/hooks",
        "http://10.0.0.1/hooks",
        "https://10.0.0.1/hooks",
        "https://169.254.169.254/latest",
        "https://user:password@example.com/hooks",
        "https://example.com/hooks#part",
        "ftp://example.com/hooks",
        "hooks",
    ] {
        let reply = installation.api.post(ENDPOINTS, json!({ "url": url })).await;
        // What a name leads to is only known when it is connected to.
        if url == "http://example.com/hooks" {
            assert_eq!(reply.status, 201, "{url}");
        } else {
            assert_eq!(reply.refused(422), "invalid_fields", "{url}");
        }
    }
    // A name whose address was not allowed for that.
    let port = receiver.url().rsplit(':').next().unwrap().to_owned();
    let (path, _) = endpoint(&installation.api, json!({ "url": format!("https://localhost:{port}") })).await;
    installation.api.post(&format!("{path}/test"), json!({})).await.ok();
    let tried = eventually("it was tried", async || {
        let waiting = deliveries(&installation.api, &path, "pending").await;
        waiting.into_iter().find(|delivery| delivery["attempts"] == 1)
    })
    .await;
    assert_eq!(tried["last_status"], Value::Null, "{tried}");
    assert!(receiver.received().is_empty());
}
