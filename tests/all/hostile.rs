//! What hostile components do through the gateway's own doors. What they do to the sandbox itself is in `tests/hostile`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use strowger_host::operation::{Call, Direction, MediaAddress, Outbound};
use strowger_host::{Effect, Moment, Step};
use strowger_server::egress::{Egress, EgressConfig, HostGrant, Lookup, Request, Resolver};
use strowger_simulator::CallerScript;
use strowger_tests::{credentials, guest, guest_bytes};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Api, DEADLINE, Scenario, created, eventually, finished, ms, providers, stream, tone};

/// Forty ways to name where clouds keep their metadata service, and what else a machine talks to itself by.
const METADATA: [&str; 44] = [
    "169.254.169.254",
    "169.254.169.254.",
    "2852039166",
    "0xA9FEA9FE",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "0251.254.0xa9.254",
    "025177524776",
    "169.254.43518",
    "169.16689662",
    "0xa9.16689662",
    "0251.16689662",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::FFFF:A9FE:A9FE]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[0000:0000:0000:0000:0000:ffff:a9fe:a9fe]",
    "[::a9fe:a9fe]",
    "[::169.254.169.254]",
    "[::ffff:0:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1:a9fe:a9:fe00::]",
    "[2002:a9fe:a9fe::1]",
    "[2002:a9fe:a9fe::]",
    "[2001:0:a9fe:a9fe::5601:5601]",
    "[fe80::a9fe:a9fe]",
    "[fd00:ec2::254]",
    "[fd00:0ec2:0:0:0:0:0:254]",
    "[fd20:ce::254]",
    "192.0.0.192",
    "0xC00000C0",
    "100.100.100.200",
    "metadata.google.internal",
    "METADATA.Google.Internal",
    "metadata.google.internal.",
    "169.254.169.254.nip.io",
    "mapped.example",
    "nat64.example",
    "127.0.0.1",
    "localhost",
    "0",
    "[::1]",
];

/// Answers lookups as somebody would who owns the name.
#[derive(Debug)]
struct Names(HashMap<&'static str, IpAddr>);

impl Resolver for Names {
    fn lookup(&self, host: &str) -> Lookup {
        let name = host.to_ascii_lowercase();
        let found = self.0.get(name.trim_end_matches('.')).copied();
        Box::pin(async move {
            found
                .map(|address| vec![address])
                .ok_or_else(|| std::io::ErrorKind::NotFound.into())
        })
    }
}

/// The tenant means harm as well: the configuration names the host, so that it is granted.
#[tokio::test]
async fn no_spelling_of_a_metadata_service_is_reached() {
    let metadata: IpAddr = "169.254.169.254".parse().unwrap();
    let names = Names(HashMap::from([
        ("metadata.google.internal", metadata),
        ("169.254.169.254.nip.io", metadata),
        ("mapped.example", "::ffff:169.254.169.254".parse().unwrap()),
        ("nat64.example", "64:ff9b::a9fe:a9fe".parse().unwrap()),
        ("localhost", "127.0.0.1".parse().unwrap()),
    ]));
    let door = Egress::with_resolver(EgressConfig::default(), Arc::new(names)).unwrap();
    let provider = guest("strowger_hostile_guest");
    for spelling in METADATA {
        let host = format!("http://{spelling}");
        let entered = json!({ "misbehave": "place-call:request", "host": host, "secret": "hush-hush" });
        let credentials = credentials(&provider, &entered);
        let mut operation = provider
            .place_call(&credentials, call(), outbound(), Moment::at(1))
            .unwrap();
        let request = match operation.step() {
            Ok(Step::Perform(Effect::Http(request))) => request,
            other => panic!("{spelling}: {other:?}"),
        };
        let grants: Vec<HostGrant> = request.grants.iter().filter_map(|grant| grant.parse().ok()).collect();
        let sent = door
            .send(Request {
                method: request.method.clone(),
                url: request.url.to_string(),
                headers: vec![],
                body: Bytes::new(),
                grants: &grants,
            })
            .await;
        let code = sent.map_or_else(|error| error.code(), |_| "reached");
        assert!(
            matches!(code, "private-address" | "host-not-allowed"),
            "{spelling}: {code}"
        );
    }
}

fn call() -> Call {
    Call {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192".to_owned(),
        provider_call_id: None,
        direction: Direction::Outbound,
        caller: "+14155550100".to_owned(),
        callee: "+14155550199".to_owned(),
        routes: vec![],
        attachment: None,
    }
}

fn outbound() -> Outbound {
    Outbound {
        caller_id: None,
        answer_url: None,
        media: MediaAddress {
            url: "wss://gateway.example/ws/t".to_owned(),
            base_url: "wss://gateway.example/ws".to_owned(),
            token: "t".to_owned(),
        },
        ring_timeout_s: 30,
        detect_machine: None,
        trunk: None,
    }
}

/// Guests at once that do everything they can think of, and callers beside them who only want to be heard.
const HOSTILE: usize = 40;
const HONEST: usize = 5;

/// One call of the hostile carrier: it is announced, its socket opened, and each message is one more misdeed. How many
/// messages were taken.
async fn misbehave(gateway: &str, number: usize, turn: usize) -> usize {
    const MISDEEDS: [&str; 8] = ["spin", "memory", "flood", "trap", "panic", "much", "print", "many"];
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let announced = client
        .post(format!("http://{gateway}/api/v1/telephony/inbound/run"))
        .header("x-misbehave", "honest")
        .header("x-call-id", format!("hostile-{number}-{turn}"))
        .send()
        .await
        .unwrap();
    let markup = announced.text().await.unwrap();
    let Some(path) = markup.split("/api/").nth(1).and_then(|rest| rest.split('<').next()) else {
        // Its organisation has used up what it may use.
        return 0;
    };
    let Ok((mut socket, _)) = tokio_tungstenite::connect_async(format!("ws://{gateway}/api/{path}")).await else {
        return 0;
    };
    let mut taken = 0;
    let misdeeds = (0..6).map(|offset| MISDEEDS[(number + turn + offset) % MISDEEDS.len()]);
    for text in ["start"].into_iter().chain(misdeeds) {
        if socket.send(Message::text(text)).await.is_err() {
            break;
        }
        taken += 1;
    }
    // Until the gateway has had enough of it.
    while let Some(Ok(_)) = socket.next().await {}
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_calls_are_heard_beside_forty_hostile_guests() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(providers()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(
        folder.path().join("hostile.wasm"),
        guest_bytes("strowger_hostile_guest"),
    )
    .unwrap();
    let installation = Scenario::echo()
        .providers(folder.path())
        .setting("calls_max", &(2 * HOSTILE + HONEST))
        .start()
        .await;
    // The hostile carrier belongs to another organisation.
    let evil = Api::new(&installation.gateway, "Evil").await;
    let agent = created(
        &evil
            .post("/agents", json!({ "name": "An agent", "protocol": "tone" }))
            .await,
    );
    let config = json!({ "provider": "hostile", "secret": "hush-hush" });
    let configurations = "/organizations/telephony-configs";
    let configuration = created(
        &evil
            .post(configurations, json!({ "name": "Evil", "config": config }))
            .await,
    );
    let number = json!({ "address": "+14155550199", "inbound_agent_id": agent });
    let numbers = format!("{configurations}/{configuration}/phone-numbers");
    created(&evil.post(&numbers, number).await);

    let over = Arc::new(AtomicBool::new(false));
    let taken = Arc::new(AtomicUsize::new(0));
    let gateway = installation.gateway.address().to_string();
    let hostile: Vec<_> = (0..HOSTILE)
        .map(|number| {
            let (over, taken, gateway) = (over.clone(), taken.clone(), gateway.clone());
            tokio::spawn(async move {
                let mut turn = 0;
                while !over.load(Ordering::Relaxed) {
                    taken.fetch_add(misbehave(&gateway, number, turn).await, Ordering::Relaxed);
                    turn += 1;
                }
            })
        })
        .collect();
    eventually("the hostile guests are at work", async || {
        (taken.load(Ordering::Relaxed) >= HOSTILE).then_some(())
    })
    .await;

    // Each hears the echo of its own words, which has come all the way through a guest and back.
    let script = || {
        CallerScript::new()
            .speak(tone(600.0, 600))
            .wait_heard(ms(300), DEADLINE)
            .hang_up()
    };
    let honest: Vec<_> = (0..HONEST).map(|_| installation.call_in(script())).collect();
    for call in &honest {
        let report = finished(call).await;
        let stream = stream(&report);
        assert!(stream.unreadable.is_empty(), "{:?}", stream.unreadable);
        assert!(
            stream.received.len() > 15,
            "{} frames were heard",
            stream.received.len()
        );
    }
    over.store(true, Ordering::Relaxed);
    for task in hostile {
        tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    }
    // Nothing is left of them but their records.
    eventually("no hostile call goes on", async || {
        evil.calls()
            .await
            .iter()
            .all(|call| call["state"] == "completed")
            .then_some(())
    })
    .await;
}
