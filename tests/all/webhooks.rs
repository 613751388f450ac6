//! Webhooks that are not what they seem: nothing happens because of them, and whoever calls is refused politely.

use reqwest::Method;
use serde_json::json;
use strowger_simulator::agent::AgentScript;
use strowger_simulator::{CallerScript, Misbehaviour, Signing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{
    CALLER, DEADLINE, Installation, Reply, Scenario, created, eventually, finished, ms, signature, tone,
};

const INBOUND: &str = "/api/v1/telephony/inbound/run";
const CALL: &str = "CA00112233445566778899aabbccddeeff";

/// The parameters of a webhook that announces a call.
fn announcement<'a>(account: &'a str, to: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("AccountSid", account),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", CALL),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", CALLER),
        ("To", to),
    ]
}

/// The markup of a refusal, and that nothing else happened.
async fn refused(installation: &Installation, reply: &Reply, verb: &str) {
    assert_eq!(
        (reply.status, reply.content_type.as_str()),
        (200, "application/xml"),
        "{reply:?}"
    );
    assert!(reply.text().contains(verb), "{}", reply.text());
    nothing_happened(installation).await;
}

async fn nothing_happened(installation: &Installation) {
    assert_eq!(installation.calls().await, Vec::<serde_json::Value>::new());
    assert_eq!(installation.gateway.exchange().live_calls(), 0);
    assert_eq!(installation.conversations(), 0);
}

async fn refuses_signing(signing: Signing) {
    let installation = Scenario::native(16_000, AgentScript::new()).start().await;
    let misbehaviour = Misbehaviour {
        signing,
        ..Misbehaviour::default()
    };
    let report = finished(&installation.call_in_badly(CallerScript::new().stay(), misbehaviour)).await;
    assert!(report.streams.is_empty());
    let webhook = &report.webhooks[0];
    assert_eq!(webhook.status, Some(200));
    assert!(webhook.response.contains("<Reject/>"), "{}", webhook.response);
    nothing_happened(&installation).await;
    // The same call, well signed, goes through.
    let call = installation.call_in(CallerScript::new().hang_up());
    finished(&call).await;
    installation.closed_call().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_signature_is_refused() {
    refuses_signing(Signing::Wrong).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_signature_is_refused() {
    refuses_signing(Signing::Missing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_body_is_refused() {
    let installation = Scenario::echo().start().await;
    let (account, number) = (installation.account(), installation.carrier.own_number());
    let signed = announcement(&account, number);
    let url = format!("{}{INBOUND}", installation.base());
    let headers = [("x-twilio-signature", signature(&installation.token(), &url, &signed))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut sent = signed.clone();
    sent[5].1 = "+12025550199";
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&sent)
        .finish();
    let reply = installation.post_raw(INBOUND, &headers, body.into_bytes()).await;
    refused(&installation, &reply, "<Reject/>").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_repeated_gets_the_same_answer_and_makes_one_call() {
    let installation = Scenario::native(16_000, AgentScript::new()).start().await;
    let misbehaviour = Misbehaviour {
        webhook_copies: 3,
        status_copies: 2,
        ..Misbehaviour::default()
    };
    let call = installation.call_in_badly(CallerScript::new().speak(tone(500.0, 300)).hang_up(), misbehaviour);
    let report = finished(&call).await;
    let answers: Vec<_> = report
        .webhooks
        .iter()
        .filter(|webhook| webhook.kind == "incoming")
        .collect();
    assert_eq!(answers.len(), 4);
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == Some(200) && answer.response.contains("<Stream"))
    );
    assert!(
        answers.iter().all(|answer| answer.response == answers[0].response),
        "{answers:#?}"
    );
    assert_eq!(report.streams.len(), 1);
    let record = installation.closed_call().await;
    assert_eq!(installation.conversations(), 1);
    let terminal = installation.events(&record).await;
    let terminal = terminal
        .iter()
        .filter(|event| event["detail"]["event"]["status"] == "completed")
        .count();
    assert_eq!(terminal, 1, "what is told three times happens once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_replayed_after_the_end_changes_nothing() {
    let installation = Scenario::echo().start().await;
    let (account, token) = (installation.account(), installation.token());
    let announced = announcement(&account, installation.carrier.own_number());
    let first = installation.webhook(INBOUND, &token, &announced).await;
    assert!(first.text().contains("<Stream"), "{}", first.text());
    let again = installation.webhook(INBOUND, &token, &announced).await;
    assert_eq!(again, first);

    let mut withdrawn = announced.clone();
    withdrawn[3].1 = "canceled";
    let told = installation.webhook(INBOUND, &token, &withdrawn).await;
    assert_eq!(told.status, 200, "{told:?}");
    let record = installation.closed_call().await;
    let events = installation.events(&record).await;

    let late = installation.webhook(INBOUND, &token, &announced).await;
    assert_eq!(late.status, 200);
    assert!(!late.text().contains("<Stream"), "{}", late.text());
    assert_eq!(installation.closed_call().await, record);
    assert_eq!(installation.events(&record).await, events);
    assert_eq!(installation.gateway.exchange().live_calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_of_another_tenant_opens_nothing() {
    let installation = Scenario::echo().start().await;
    let other = crate::harness::Api::new(&installation.gateway, "Second").await;
    let (account, token) = ("AC00000000000000000000000000000bad", "another-secret");
    let config = json!({ "provider": "twilio", "account_sid": account, "auth_token": token });
    created(
        &other
            .post(
                "/organizations/telephony-configs",
                json!({ "name": "Theirs", "config": config }),
            )
            .await,
    );

    let number = installation.carrier.own_number();
    // Their account does not have our number, and their secret does not sign for our account.
    let reply = installation
        .webhook(INBOUND, token, &announcement(account, number))
        .await;
    refused(&installation, &reply, "<Reject/>").await;
    let reply = installation
        .webhook(INBOUND, token, &announcement(&installation.account(), number))
        .await;
    refused(&installation, &reply, "<Reject/>").await;
    assert_eq!(other.get("/calls").await.ok()["calls"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_number_is_refused() {
    let installation = Scenario::native(16_000, AgentScript::new()).start().await;
    installation.carrier.add_number("+15005550009");
    let call = installation.call_number("+15005550009", CallerScript::new().stay(), Misbehaviour::default());
    let report = finished(&call).await;
    assert!(
        report.webhooks[0].response.contains("<Reject/>"),
        "{}",
        report.webhooks[0].response
    );
    nothing_happened(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_without_an_agent_tells_the_caller() {
    let installation = Scenario::native(16_000, AgentScript::new())
        .without_number()
        .start()
        .await;
    let path = format!(
        "/organizations/telephony-configs/{}/phone-numbers",
        installation.ids.configuration
    );
    created(
        &installation
            .api
            .post(&path, json!({ "address": installation.carrier.own_number() }))
            .await,
    );
    let account = installation.account();
    let announced = announcement(&account, installation.carrier.own_number());
    // Without the secret one does not even learn that the number exists.
    let reply = installation.webhook(INBOUND, "wrong", &announced).await;
    refused(&installation, &reply, "<Reject/>").await;
    let reply = installation.webhook(INBOUND, &installation.token(), &announced).await;
    assert!(reply.status == 200 && reply.text().contains("<Say>"), "{reply:?}");
    // Whose number it is sees that somebody called.
    let calls = installation.calls().await;
    assert_eq!((calls.len(), installation.conversations()), (1, 0), "{calls:#?}");
    assert_eq!(calls[0]["outcome"]["detail"], "no-agent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_utf_8_is_refused_or_read_but_never_in_between() {
    let installation = Scenario::echo().start().await;
    let mut body = b"AccountSid=".to_vec();
    body.extend_from_slice(installation.account().as_bytes());
    body.extend_from_slice(
        b"&CallSid=\xff\xfe&CallStatus=ringing&Direction=inbound&ApiVersion=2010-04-01&To=%2B15005550006&From=\xc3\x28",
    );
    let reply = installation
        .post_raw(INBOUND, &[("x-twilio-signature", "AAAA")], body)
        .await;
    refused(&installation, &reply, "<Reject/>").await;
    let reply = installation.post_raw(INBOUND, &[], vec![0xff; 512]).await;
    assert_eq!(reply.status, 404);
    nothing_happened(&installation).await;

    // A carrier that signs such bytes means them: nothing of the call depends on that parameter.
    let misbehaviour = Misbehaviour {
        invalid_utf8: true,
        ..Misbehaviour::default()
    };
    let report = finished(&installation.call_in_badly(CallerScript::new().hang_up(), misbehaviour)).await;
    assert_eq!(report.webhooks[0].status, Some(200));
    if report.streams.is_empty() {
        assert!(
            report.webhooks[0].response.contains("<Reject/>"),
            "{}",
            report.webhooks[0].response
        );
        nothing_happened(&installation).await;
    } else {
        installation.closed_call().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_are_refused_before_they_are_read() {
    let installation = Scenario::echo().start().await;
    for (header, sent) in [
        ("content-length: 10000000", 0_usize),
        ("transfer-encoding: chunked", 3 << 20),
    ] {
        let mut socket = TcpStream::connect(installation.gateway.address()).await.unwrap();
        let head = format!("POST {INBOUND} HTTP/1.1\r\nhost: gateway\r\n{header}\r\nconnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let (mut from, mut to) = socket.split();
        let send = async {
            for _ in 0..sent / 65_536 {
                let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65_536], b"\r\n"].concat();
                if to.write_all(&chunk).await.is_err() {
                    // It has heard enough.
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut reply = Vec::new();
        let receive = async {
            let mut piece = [0; 1024];
            while !reply.ends_with(b"\r\n\r\n") && !reply.windows(4).any(|end| end == b"\r\n\r\n") {
                match from.read(&mut piece).await {
                    Ok(count) if count > 0 => reply.extend_from_slice(&piece[..count]),
                    _ => break,
                }
            }
        };
        tokio::select! {
            () = send => {}
            result = tokio::time::timeout(DEADLINE, receive) => result.unwrap(),
        }
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.starts_with("HTTP/1.1 413"), "{header}: {reply}");
    }
    let misbehaviour = Misbehaviour {
        padding_bytes: 10_000_000,
        ..Misbehaviour::default()
    };
    let report = finished(&installation.call_in_badly(CallerScript::new().stay(), misbehaviour)).await;
    assert!(report.streams.is_empty());
    nothing_happened(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_provider_recognises_is_not_found() {
    let installation = Scenario::echo().start().await;
    for (path, body) in [
        (INBOUND, &b"hello=world"[..]),
        (INBOUND, b""),
        (INBOUND, b"\0\0\0"),
        ("/api/v1/telephony/inbound/fallback", b"a=b"),
        ("/api/v1/telephony/no-such-carrier/status-callback/x", b"a=b"),
        ("/api/v1/telephony/twilio/no-such-route/x", b"a=b"),
        ("/api/v1/telephony/twilio/status-callback/not-an-id", b"a=b"),
        ("/api/v1/telephony/twilio/status-callback", b"a=b"),
        (
            "/api/v1/telephony/twilio/status-callback/018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192",
            b"a=b",
        ),
    ] {
        let reply = installation.post_raw(path, &[], body.to_vec()).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
    nothing_happened(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_refuses_politely() {
    let installation = Scenario::echo().start().await;
    let account = installation.account();
    let announced = announcement(&account, installation.carrier.own_number());
    let reply = installation
        .webhook("/api/v1/telephony/inbound/fallback", &installation.token(), &announced)
        .await;
    refused(&installation, &reply, "<Say>").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_its_method() {
    let installation = Scenario::echo().start().await;
    let call = "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192";
    for path in [
        format!("/telephony/twilio/status-callback/{call}"),
        format!("/telephony/twilio/answer/{call}"),
    ] {
        let reply = installation.api.get(&path).await;
        assert!(matches!(reply.status, 404 | 405), "{path}: {}", reply.status);
    }
    assert_eq!(
        installation
            .api
            .send(Method::GET, "/telephony/initiate-call", None)
            .await
            .refused(405),
        "method_not_allowed"
    );
    nothing_happened(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_callback_with_a_bad_signature_changes_nothing() {
    let installation = Scenario::native(16_000, AgentScript::new()).start().await;
    let call = installation.call_in(CallerScript::new().speak(tone(500.0, 200)).stay());
    let conversation = installation.conversation().await;
    conversation
        .wait_until(DEADLINE, |agent| agent.heard_duration() > ms(200))
        .await
        .unwrap();
    let record = installation.live_call().await;
    let path = format!(
        "/api/v1/telephony/twilio/status-callback/{}",
        record["id"].as_str().unwrap()
    );
    let account = installation.account();
    let ended = [
        ("AccountSid", account.as_str()),
        ("CallSid", call.id()),
        ("CallStatus", "completed"),
        ("CallbackSource", "call-progress-events"),
        ("ApiVersion", "2010-04-01"),
    ];
    let events = installation.events(&record).await;
    assert_eq!(installation.webhook(&path, "wrong", &ended).await.status, 403);
    assert_eq!(installation.webhook(INBOUND, "wrong", &ended).await.status, 403);
    assert_eq!(
        installation
            .webhook(
                "/api/v1/telephony/twilio/status-callback/018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192",
                &installation.token(),
                &ended
            )
            .await
            .status,
        404
    );
    assert_eq!(installation.events(&record).await.len(), events.len());
    assert_eq!(installation.live_call().await["state"], record["state"]);

    // The same callback, well signed, ends the call: for the gateway, the carrier has.
    assert_eq!(
        installation.webhook(&path, &installation.token(), &ended).await.status,
        204
    );
    assert_eq!(installation.closed_call().await["outcome"]["reason"], "caller_hung_up");
    eventually("the media socket is closed", async || {
        call.report().stream().and_then(|stream| stream.end)
    })
    .await;
}
