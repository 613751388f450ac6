//! Two gateways on one database: each carries its own calls, leaves the other's alone while it lives, and closes what it leaves
//! behind when it is gone.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use strowger_server::gateway::Gateway;
use strowger_simulator::agent::AgentScript;
use strowger_simulator::{CallHandle, CallerScript, Gateway as GatewayAddress};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::harness::{Api, DEADLINE, Installation, Scenario, created, eventually, finished, ms, tone};
use crate::postgres::{Postgres, blocking};
use crate::receiver::Receiver;

/// The shortest that may be set.
const LEASE_S: u32 = 5;

fn scenario(database: &str) -> Scenario {
    Scenario::native(16_000, AgentScript::new())
        .setting("database_url", &database)
        .setting("call_lease_s", &LEASE_S)
}

/// A gateway that can vanish without a word, because its threads are its own.
struct Second {
    gateway: Gateway,
    threads: Runtime,
    data: TempDir,
}

impl Second {
    async fn start(installation: &Installation, database: &str, data: TempDir) -> Self {
        let settings = scenario(database).settings(data.path(), &installation.carrier).unwrap();
        let threads = Runtime::new().unwrap();
        let handle = threads.handle().clone();
        let gateway = blocking(move || handle.block_on(Gateway::start(settings))).await;
        Self {
            gateway: gateway.unwrap(),
            threads,
            data,
        }
    }

    /// As a power cut would. Returns its data directory.
    fn vanish(self) -> TempDir {
        self.threads.shutdown_background();
        self.data
    }
}

/// Calls are announced to this gateway from now on.
fn towards(installation: &Installation, gateway: &Gateway) {
    let (carrier, base) = (&installation.carrier, format!("http://{}", gateway.address()));
    carrier.set_gateway(GatewayAddress::at(&base).unwrap()).unwrap();
    let url = format!("{base}/api/v1/telephony/inbound/run");
    carrier.set_voice_url(carrier.own_number(), &url);
}

/// A call that has just begun to be heard, with its record.
async fn live(installation: &Installation) -> (CallHandle, Value) {
    let call = installation.call_in(CallerScript::new().speak(tone(500.0, 300)).stay());
    installation
        .conversation()
        .await
        .wait_until(DEADLINE, |agent| agent.heard_duration() > ms(200))
        .await
        .unwrap();
    let record = installation.live_call().await;
    (call, record)
}

async fn record(api: &Api, call: &Value) -> Value {
    api.get(&format!("/calls/{}", call["id"].as_str().unwrap())).await.ok()
}

async fn until_closed(api: &Api, call: &Value) -> Value {
    eventually("the call's record is closed", async || {
        let record = record(api, call).await;
        (record["state"] == "completed").then_some(record)
    })
    .await
}

/// How often each kind of event came for each call. An event that came twice has come twice with one name.
fn told(receiver: &Receiver) -> BTreeMap<(String, String), usize> {
    let mut told = BTreeMap::new();
    for received in receiver.taken() {
        *told.entry((received.call(), received.kind())).or_default() += 1;
    }
    told
}

async fn each_carries_its_own_calls(database: &str) {
    let installation = scenario(database).start().await;
    let second = Second::start(&installation, database, tempfile::tempdir().unwrap()).await;
    let receiver = Receiver::start().await;
    created(
        &installation
            .api
            .post("/webhook-endpoints", json!({ "url": receiver.url() }))
            .await,
    );

    // The second one carries a call while the first one starts again.
    towards(&installation, &second.gateway);
    let (call, carried) = live(&installation).await;
    let (_, installation) = installation.restart().await;
    let going_on = record(&installation.api, &carried).await;
    assert_eq!(going_on["state"], "running", "{going_on}");

    // Its lease goes by, and it renews it; both deliver what is spooled, and nothing comes twice.
    let api = &installation.api;
    let mut short = Vec::new();
    for gateway in [&installation.gateway, &second.gateway] {
        towards(&installation, gateway);
        for _ in 0..4 {
            let caller = CallerScript::new().speak(tone(500.0, 200)).silence(ms(1_500)).hang_up();
            finished(&installation.call_in(caller)).await;
            installation.heard_by_agent().await;
        }
    }
    for call in api.calls().await {
        if call["id"] != carried["id"] {
            let closed = until_closed(api, &call).await;
            assert_eq!(closed["outcome"]["reason"], "caller_hung_up", "{closed}");
            short.push(closed["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(short.len(), 8);
    let going_on = record(api, &carried).await;
    assert_eq!(going_on["state"], "running", "{going_on}");
    call.hang_up();
    finished(&call).await;
    let closed = until_closed(api, &carried).await;
    assert_eq!(closed["outcome"]["reason"], "caller_hung_up", "{closed}");
    eventually("all ends are told", async || {
        let ends = told(&receiver).into_keys().filter(|(_, kind)| kind == "call.ended");
        (ends.count() == 9).then_some(())
    })
    .await;
    let told = told(&receiver);
    assert!(told.values().all(|count| *count == 1), "{told:#?}");
    for call in &short {
        let kinds: Vec<&str> = told
            .keys()
            .filter(|(id, _)| id == call)
            .map(|(_, kind)| &**kind)
            .collect();
        assert_eq!(kinds, ["call.answered", "call.created", "call.ended"]);
    }

    // It vanishes with a call, which the first one closes when it notices.
    let (_call, carried) = live(&installation).await;
    let data = second.vanish();
    let closed = until_closed(&installation.api, &carried).await;
    assert_eq!(closed["outcome"]["reason"], "shutdown", "{closed}");
    let usage = installation.api.get("/organization/usage").await.ok();
    assert_eq!(usage["calls"]["live"], 0, "{usage}");

    // Its successor in the same data directory takes calls again.
    let second = Second::start(&installation, database, data).await;
    towards(&installation, &second.gateway);
    let (call, carried) = live(&installation).await;
    call.hang_up();
    finished(&call).await;
    let closed = until_closed(&installation.api, &carried).await;
    assert_eq!(closed["outcome"]["reason"], "caller_hung_up", "{closed}");
    second.vanish();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_postgresql_each_gateway_carries_its_own_calls() {
    let server = blocking(Postgres::start).await;
    each_carries_its_own_calls(&server.url).await;
    blocking(move || drop(server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_sqlite_file_each_gateway_carries_its_own_calls() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shared.db");
    each_carries_its_own_calls(&format!("sqlite://{}?mode=rwc", file.display())).await;
}
