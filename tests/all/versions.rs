//! Versions of providers: who decides which one a call gets, what becomes of one that fails, whose they are, and what all that
//! acts for one organisation may use together.

use std::path::Path;

use serde_json::{Value, json};
use strowger_host::Provider;
use strowger_server::catalogue::shelf::ShelfError;
use strowger_server::catalogue::{Catalogue, CatalogueError, NewVersion};
use strowger_server::clock::Clock;
use strowger_server::store::{Installed, OrganizationId, Party, StoreError};
use strowger_simulator::agent::AgentScript;
use strowger_simulator::exchange::{CallHandle, EventSocketReport};
use strowger_simulator::{CallReport, CallerScript, Gateway as GatewayAddress, InboundCall, Options, RunningCarrier};
use tempfile::TempDir;

use crate::harness::{
    Api, DEADLINE, Installation, Scenario, created, eventually, finished, ms, providers, stream, tone,
};
use crate::toy::{TOYPHONE, Toyphone};

/// What the callers of `tests/guests/toy` bring about.
const TRAPS: &str = "+12025550199";
const SPINS: &str = "+12025550198";
const ASKS: &str = "+12025550197";
const KEEPS: &str = "+12025550196";
const NOBODY: &str = "+12025550147";

/// A component that does the same and is another one: a custom section more.
fn variant(component: &[u8], tag: u8) -> Vec<u8> {
    [component, &[0, 5, 3], b"tag", &[tag]].concat()
}

fn toy(tag: u8) -> Vec<u8> {
    variant(&strowger_tests::guest_bytes("strowger_toy_guest"), tag)
}

fn twilio() -> Vec<u8> {
    std::fs::read(providers().join("twilio.wasm")).unwrap()
}

/// A folder with one version of the toy carrier.
fn shelf(component: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("toyphone.wasm"), component).unwrap();
    folder
}

fn over_toy(shelf: &Path) -> Scenario {
    Scenario::echo().providers(shelf).over_carrier(&TOYPHONE)
}

/// As another process would: nothing of it is shared with the gateway but the database and the folder.
async fn catalogue(installation: &Installation) -> Catalogue {
    let exchange = installation.gateway.exchange();
    Catalogue::new(exchange.store().clone(), installation.data.path(), Clock::system())
}

fn loaded(component: &[u8]) -> Provider {
    Provider::load(strowger_tests::engine(), component).unwrap()
}

/// Installs a version; its digest.
async fn add(catalogue: &Catalogue, owner: Party, component: &[u8]) -> Result<String, CatalogueError> {
    let provider = loaded(component);
    let new = NewVersion {
        owner,
        provider: &provider,
        bytes: component,
        source: "a test".to_owned(),
        signer: None,
        report: None,
    };
    catalogue.add(new).await?;
    Ok(provider.digest().to_owned())
}

fn live(installation: &Installation, name: &str) -> String {
    let live = installation.gateway.exchange().registry().get(name);
    live.map_or_else(|| "none".to_owned(), |provider| provider.digest().to_owned())
}

async fn becomes_live(installation: &Installation, name: &str, digest: &str) {
    eventually("the gateway follows the catalogue", async || {
        (live(installation, name) == digest).then_some(())
    })
    .await;
}

async fn organization(installation: &Installation, name: &str) -> OrganizationId {
    let found = installation.gateway.exchange().store().organization_named(name).await;
    found.unwrap().expect("there is such an organisation").id
}

fn hosts() -> Vec<String> {
    vec!["api.toyphone.example".to_owned()]
}

fn from(carrier: &RunningCarrier, caller: &str) -> CallHandle {
    let script = CallerScript::new().speak(tone(500.0, 200)).silence(ms(100));
    let call = InboundCall::new(caller, carrier.own_number(), script.hang_up().patience(DEADLINE));
    carrier.place_inbound(call).unwrap()
}

/// Somebody calls, and the call is over.
async fn called(installation: &Installation, caller: &str) -> CallReport {
    finished(&from(&installation.carrier, caller)).await
}

/// What the carrier was told to do with the call.
fn answer(report: &CallReport) -> &str {
    &report.webhooks[0].response
}

fn is_answered(report: &CallReport) -> bool {
    answer(report).starts_with("ws://")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_adopted_under_live_calls_and_no_frame_is_lost() {
    let installation = Scenario::native(16_000, AgentScript::new()).start().await;
    let before = live(&installation, "twilio");
    let mut calls = Vec::new();
    for _ in 0..4 {
        let talks = CallerScript::new().speak(tone(500.0, 3_000)).silence(ms(100)).hang_up();
        let call = installation.call_in(talks);
        let heard = installation.conversation().await;
        heard
            .wait_until(DEADLINE, |agent| agent.heard_duration() > ms(200))
            .await
            .unwrap();
        calls.push(call);
    }
    let catalogue = catalogue(&installation).await;
    let after = add(&catalogue, Party::Operator, &variant(&twilio(), 1)).await.unwrap();
    assert_ne!(before, after);
    catalogue.adopt(&Party::Operator, "twilio", &after, None).await.unwrap();
    becomes_live(&installation, "twilio", &after).await;
    let newer = installation.call_in(CallerScript::new().speak(tone(500.0, 300)).silence(ms(100)).hang_up());
    finished(&newer).await;
    for call in &calls {
        let report = finished(call).await;
        assert_eq!(report.streams.len(), 1, "{report:#?}");
        assert!(stream(&report).unreadable.is_empty());
    }
    let records = eventually("all records are closed", async || {
        let records = installation.calls().await;
        records
            .iter()
            .all(|call| call["state"] == "completed")
            .then_some(records)
    })
    .await;
    let versions: Vec<&str> = records
        .iter()
        .map(|record| record["provider_version"].as_str().unwrap())
        .collect();
    // The newest first.
    assert_eq!(versions, [&*after, &*before, &*before, &*before, &*before]);
    for record in &records {
        assert_eq!(record["outcome"]["reason"], "caller_hung_up", "{record}");
        let media = &record["outcome"]["media"];
        assert_eq!(
            (&media["caller_frames_lost"], &media["provider_faults"]),
            (&json!(0), &json!(0)),
            "{record}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_socket_stays_open_when_another_version_reads_it() {
    let installation = Scenario::echo().over("ari").start().await;
    let sockets = |least: usize| {
        let open = move |sockets: &[EventSocketReport]| sockets.len() >= least;
        installation.carrier.wait_for_event_sockets(DEADLINE, open)
    };
    sockets(1).await.unwrap();
    let component = std::fs::read(providers().join("ari.wasm")).unwrap();
    let catalogue = catalogue(&installation).await;
    let after = add(&catalogue, Party::Operator, &variant(&component, 1)).await.unwrap();
    catalogue.adopt(&Party::Operator, "ari", &after, None).await.unwrap();
    becomes_live(&installation, "ari", &after).await;
    let call = installation.call_in(CallerScript::new().speak(tone(500.0, 300)).silence(ms(100)).hang_up());
    finished(&call).await;
    assert_eq!(installation.closed_call().await["provider_version"], json!(after));
    let sockets = installation.carrier.event_sockets();
    assert_eq!((sockets.len(), sockets[0].ended_at), (1, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_installed_and_waits_and_a_roll_back_outlives_a_restart() {
    let (one, two) = (toy(1), toy(2));
    let folder = shelf(&one);
    let installation = over_toy(folder.path()).start().await;
    let first = live(&installation, "toyphone");
    assert!(is_answered(&called(&installation, NOBODY).await));

    std::fs::write(folder.path().join("toyphone.wasm"), &two).unwrap();
    let (_, installation) = installation.restart().await;
    let [
        ShelfError::NotAdopted {
            name,
            live: told,
            offered,
            ..
        },
    ] = installation.gateway.skipped.as_slice()
    else {
        panic!("{:?}", installation.gateway.skipped);
    };
    assert_eq!((name.as_str(), told), ("toyphone", &first));
    assert_eq!(live(&installation, "toyphone"), first);
    let told = installation.gateway.skipped[0].to_string();
    assert!(
        told.contains(&format!("strowger provider adopt toyphone {offered}")),
        "{told}"
    );

    // The beginning of a digest is enough, and hosts that were confirmed once need not be again.
    let (catalogue, second) = (catalogue(&installation).await, offered.clone());
    let given = format!("sha256:{}", &second[..12]);
    catalogue
        .adopt(&Party::Operator, "toyphone", &given, None)
        .await
        .unwrap();
    becomes_live(&installation, "toyphone", &second).await;
    assert!(is_answered(&called(&installation, NOBODY).await));
    catalogue.roll_back(&Party::Operator, "toyphone").await.unwrap();
    becomes_live(&installation, "toyphone", &first).await;
    let (_, installation) = installation.restart().await;
    assert_eq!(live(&installation, "toyphone"), first);
    assert!(is_answered(&called(&installation, ASKS).await));
    let versions: Vec<Value> = eventually("all records are closed", async || {
        let calls = installation.calls().await;
        let closed = calls.iter().all(|call| call["state"] == "completed");
        closed.then(|| calls.iter().map(|call| call["provider_version"].clone()).collect())
    })
    .await;
    assert_eq!(versions, [json!(first), json!(second), json!(first)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_was_changed_on_disk_takes_no_calls() {
    let folder = shelf(&toy(1));
    let installation = over_toy(folder.path()).start().await;
    let digest = live(&installation, "toyphone");
    let file = installation
        .data
        .path()
        .join("components")
        .join(format!("{digest}.wasm"));
    std::fs::remove_file(folder.path().join("toyphone.wasm")).unwrap();
    std::fs::write(&file, toy(2)).unwrap();
    let (_, installation) = installation.restart().await;
    assert_eq!(live(&installation, "toyphone"), "none");
    // The same file again, wherever it comes from, mends it.
    std::fs::write(folder.path().join("toyphone.wasm"), toy(1)).unwrap();
    let (_, installation) = installation.restart().await;
    assert_eq!(live(&installation, "toyphone"), digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_cannot_be_loaded_takes_no_calls_from_the_one_before() {
    let folder = shelf(&toy(1));
    let installation = over_toy(folder.path()).start().await;
    let (catalogue, operator) = (catalogue(&installation).await, Party::Operator);
    let first = live(&installation, "toyphone");
    let second = add(&catalogue, operator.clone(), &toy(2)).await.unwrap();
    let components = installation.data.path().join("components");
    std::fs::remove_file(components.join(format!("{second}.wasm"))).unwrap();
    catalogue.adopt(&operator, "toyphone", &second, None).await.unwrap();
    installation.gateway.exchange().refresh_providers().await;
    assert_eq!(live(&installation, "toyphone"), first);
    assert!(is_answered(&called(&installation, NOBODY).await));
    // Installed again, and adopted again, it takes them.
    add(&catalogue, operator.clone(), &toy(2)).await.unwrap();
    catalogue.adopt(&operator, "toyphone", &second, None).await.unwrap();
    becomes_live(&installation, "toyphone", &second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_takes_its_share_of_new_calls() {
    let folder = shelf(&toy(1));
    let installation = over_toy(folder.path()).start().await;
    let (catalogue, operator) = (catalogue(&installation).await, Party::Operator);
    let stable = live(&installation, "toyphone");
    let canary = add(&catalogue, operator.clone(), &toy(2)).await.unwrap();
    let exchange = installation.gateway.exchange();
    let acme = organization(&installation, "First").await;
    let taken = |share: u16| {
        let of = |call: u32| {
            exchange
                .registry()
                .for_new_call(&acme, "toyphone", &format!("call {call}"))
        };
        let taken = (0..1_000).filter(|&call| of(call).unwrap().digest() == canary).count();
        (share, taken)
    };
    for (share, expected) in [(0, 0..1), (100, 60..140), (1_000, 1_000..1_001)] {
        catalogue
            .set_canary(&operator, "toyphone", &canary, share, None)
            .await
            .unwrap();
        exchange.refresh_providers().await;
        assert!(expected.contains(&taken(share).1), "{:?}", taken(share));
    }
    assert!(is_answered(&called(&installation, NOBODY).await));
    assert_eq!(installation.closed_call().await["provider_version"], json!(canary));
    assert_eq!(live(&installation, "toyphone"), stable);
    let too_much = catalogue.set_canary(&operator, "toyphone", &canary, 1_001, None).await;
    assert!(matches!(too_much, Err(CatalogueError::Share { permille: 1_001 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_keeps_trapping_is_set_aside_and_the_operator_sees_why() {
    let folder = shelf(&toy(1));
    let installation = over_toy(folder.path()).start().await;
    let (catalogue, operator) = (catalogue(&installation).await, Party::Operator);
    let good = live(&installation, "toyphone");
    let bad = add(&catalogue, operator.clone(), &toy(2)).await.unwrap();
    catalogue.adopt(&operator, "toyphone", &bad, None).await.unwrap();
    becomes_live(&installation, "toyphone", &bad).await;
    for _ in 0..5 {
        assert_eq!(answer(&called(&installation, TRAPS).await), "bye");
    }
    becomes_live(&installation, "toyphone", &good).await;
    let row = catalogue.find(&operator, "toyphone", &bad).await.unwrap();
    assert!(row.quarantined_at.is_some(), "{row:?}");
    let reason = row.fault.unwrap().reason;
    assert!(
        reason.contains("5 calls failed") && reason.contains("trapped"),
        "{reason}"
    );
    assert!(is_answered(&called(&installation, NOBODY).await));

    // There is nothing left to fall back to: the provider goes on, and somebody is told.
    for _ in 0..5 {
        assert_eq!(answer(&called(&installation, TRAPS).await), "bye");
    }
    eventually("the fault is written down", async || {
        let row = catalogue.find(&operator, "toyphone", &good).await.unwrap();
        assert_eq!(row.quarantined_at, None);
        row.fault
    })
    .await;
    assert_eq!(live(&installation, "toyphone"), good);
    assert!(is_answered(&called(&installation, NOBODY).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_make_a_version_do_does_not_bring_it_down() {
    let folder = shelf(&toy(1));
    let installation = over_toy(folder.path()).start().await;
    let (catalogue, operator) = (catalogue(&installation).await, Party::Operator);
    let second = add(&catalogue, operator.clone(), &toy(2)).await.unwrap();
    catalogue.adopt(&operator, "toyphone", &second, None).await.unwrap();
    becomes_live(&installation, "toyphone", &second).await;
    for call in 0..10 {
        let told = json!({ "toy_call": format!("{call}"), "line": "LINE-1", "from": TRAPS, "to": "+12025550100" });
        let headers = [("x-toy-key", "a key that is not theirs")];
        let reply = installation
            .post_raw("/api/v1/telephony/inbound/run", &headers, told.to_string().into_bytes())
            .await;
        assert_eq!(reply.text(), "bye");
    }
    // The same number of genuine ones would have.
    assert!(is_answered(&called(&installation, NOBODY).await));
    assert_eq!(live(&installation, "toyphone"), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_organisation_has_installed_exists_for_it_alone() {
    static OWN: Toyphone = Toyphone {
        inbound: "/api/v1/telephony/inbound/run/toyphone",
    };
    let installation = Scenario::echo().start().await;
    let theirs = Api::new(&installation.gateway, "Second").await;
    let first = Party::Organization(organization(&installation, "First").await);
    let second = Party::Organization(organization(&installation, "Second").await);
    let catalogue = catalogue(&installation).await;
    let digest = add(&catalogue, first.clone(), &toy(1)).await.unwrap();
    catalogue
        .adopt(&first, "toyphone", &digest, Some(&hosts()))
        .await
        .unwrap();
    becomes_live(&installation, "toyphone", &digest).await;

    // The other organisation neither sees it nor uses it, and cannot take its name or change it.
    let offered = async |api: &Api| -> Vec<Value> {
        let metadata = api.get("/organizations/telephony-providers/metadata").await.ok();
        let providers = metadata["providers"].as_array().unwrap();
        providers.iter().map(|provider| provider["provider"].clone()).collect()
    };
    assert!(offered(&installation.api).await.contains(&json!("toyphone")));
    assert!(!offered(&theirs).await.contains(&json!("toyphone")));
    let configuration = json!({
        "name": "Mine",
        "config": { "provider": "toyphone", "line": "LINE-1", "key": "a key that nobody guesses" },
    });
    let configurations = "/organizations/telephony-configs";
    let refused = theirs.post(configurations, configuration.clone()).await;
    assert_eq!(refused.refused(422), "invalid_fields");
    assert!(!refused.text().contains("toyphone,"), "{}", refused.text());
    for party in [&second, &Party::Operator] {
        let taken = add(&catalogue, party.clone(), &toy(2)).await.unwrap_err();
        assert!(
            matches!(taken, CatalogueError::Store(StoreError::Conflict { field: "name", .. })),
            "{taken}"
        );
    }
    let changed = catalogue.adopt(&second, "toyphone", &digest, None).await.unwrap_err();
    assert!(
        matches!(changed, CatalogueError::Store(StoreError::NotFound { .. })),
        "{changed}"
    );
    // What is the operator's is there for all, and nobody's to change or to shadow.
    let shadowed = add(&catalogue, second.clone(), &variant(&twilio(), 3))
        .await
        .unwrap_err();
    assert!(
        matches!(shadowed, CatalogueError::Store(StoreError::Conflict { .. })),
        "{shadowed}"
    );
    let operators = catalogue.roll_back(&second, "twilio").await.unwrap_err();
    assert!(matches!(operators, CatalogueError::NotYours { .. }), "{operators}");

    // It takes calls on a URL of its own, and is not asked about what comes to the common one.
    let id = created(&installation.api.post(configurations, configuration).await);
    let carrier = RunningCarrier::start(&OWN, Options::default()).await.unwrap();
    carrier
        .set_gateway(GatewayAddress::at(&installation.base()).unwrap())
        .unwrap();
    let number = json!({ "address": carrier.own_number(), "inbound_agent_id": installation.ids.agent });
    let numbers = format!("{configurations}/{id}/phone-numbers");
    created(&installation.api.post(&numbers, number).await);
    let report = finished(&from(&carrier, NOBODY)).await;
    assert!(is_answered(&report), "{report:#?}");
    assert_eq!(installation.closed_call().await["provider_version"], json!(digest));
    let told = json!({ "toy_call": "7", "line": "LINE-1", "from": NOBODY, "to": carrier.own_number() });
    let headers = [("x-toy-key", "a key that nobody guesses")];
    let common = installation
        .post_raw("/api/v1/telephony/inbound/run", &headers, told.to_string().into_bytes())
        .await;
    assert_eq!(common.status, 404, "{}", common.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_nobody_confirmed_is_not_reached() {
    let folder = shelf(&toy(1));
    let installation = over_toy(folder.path()).start().await;
    let (catalogue, operator) = (catalogue(&installation).await, Party::Operator);
    let second = add(&catalogue, operator.clone(), &toy(2)).await.unwrap();
    let stranger = vec!["elsewhere.example".to_owned()];
    let wrong = catalogue
        .adopt(&operator, "toyphone", &second, Some(&stranger))
        .await
        .unwrap_err();
    assert!(
        wrong
            .to_string()
            .contains("`elsewhere.example`; it declares `api.toyphone.example`"),
        "{wrong}"
    );

    catalogue
        .adopt(&operator, "toyphone", &second, Some(&[]))
        .await
        .unwrap();
    becomes_live(&installation, "toyphone", &second).await;
    assert_eq!(answer(&called(&installation, ASKS).await), "bye");
    assert_eq!(installation.carrier.rest_log().len(), 0);
    // What needs no host works; what was not confirmed for one version is not for the next either.
    assert!(is_answered(&called(&installation, NOBODY).await));
    let third = add(&catalogue, operator.clone(), &toy(3)).await.unwrap();
    let unsettled = catalogue.adopt(&operator, "toyphone", &third, None).await.unwrap_err();
    let CatalogueError::UnconfirmedHosts { hosts: asked } = &unsettled else {
        panic!("{unsettled}");
    };
    assert_eq!(*asked, hosts());

    catalogue
        .adopt(&operator, "toyphone", &second, Some(&hosts()))
        .await
        .unwrap();
    installation.gateway.exchange().refresh_providers().await;
    called(&installation, ASKS).await;
    assert_eq!(installation.carrier.rest_log().len(), 1);
}

/// A gateway with this bound on each organisation, and a second organisation beside the first.
async fn bounded(bound: &'static str, value: u32) -> (Installation, TempDir) {
    let folder = shelf(&toy(1));
    let installation = over_toy(folder.path()).setting(bound, &value).start().await;
    (installation, folder)
}

/// The code and text of a client's refusal, as soon as there is one.
async fn client_is_refused(installation: &Installation) -> String {
    eventually("a client is refused", async || {
        let reply = installation
            .api
            .post(
                "/organizations/telephony-configs",
                installation.configuration("Another"),
            )
            .await;
        (reply.status == 429).then(|| {
            assert_eq!(reply.refused(429), "over_budget");
            reply.text()
        })
    })
    .await
}

/// Another organisation's provider answers as ever.
async fn others_do_not_notice(installation: &Installation) {
    let theirs = Api::new(&installation.gateway, "Second").await;
    created(
        &theirs
            .post("/organizations/telephony-configs", installation.configuration("Theirs"))
            .await,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_that_has_used_its_processor_time_waits_and_others_do_not() {
    let (installation, _folder) = bounded("tenant_cpu_ms_per_s", 1).await;
    assert_eq!(answer(&called(&installation, SPINS).await), "bye");
    assert_eq!(answer(&called(&installation, NOBODY).await), "bye");
    let told = client_is_refused(&installation).await;
    assert!(told.contains("processor-time"), "{told}");
    others_do_not_notice(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_has_so_many_invocations() {
    let (installation, _folder) = bounded("tenant_invocations_per_s", 1).await;
    let told = client_is_refused(&installation).await;
    assert!(told.contains("invocations"), "{told}");
    others_do_not_notice(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_send_does_not_use_up_what_an_organisation_may_use() {
    let (installation, _folder) = bounded("tenant_invocations_per_s", 5).await;
    let told = json!({ "toy_call": "forged", "line": "LINE-1", "from": NOBODY, "to": "+12025550100" });
    let headers = [("x-toy-key", "a key that is not theirs")];
    for _ in 0..150 {
        let reply = installation
            .post_raw("/api/v1/telephony/inbound/run", &headers, told.to_string().into_bytes())
            .await;
        assert_eq!(reply.text(), "bye");
    }
    assert!(is_answered(&called(&installation, NOBODY).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_has_so_many_effects() {
    let (installation, _folder) = bounded("tenant_effects_per_s", 1).await;
    let mut answered = 0;
    while is_answered(&called(&installation, KEEPS).await) {
        answered += 1;
        assert!(answered < 100, "{answered} calls were answered");
    }
    assert!(answered >= 9, "{answered} calls were answered");
    // What needs no effect still works.
    assert!(is_answered(&called(&installation, NOBODY).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_has_so_many_instances() {
    let (installation, _folder) = bounded("tenant_instances_max", 1).await;
    let first = installation.call_in(CallerScript::new().speak(tone(500.0, 200)).stay());
    eventually("the agent is heard", async || {
        first
            .look(|report| report.stream().is_some_and(|stream| !stream.received.is_empty()))
            .then_some(())
    })
    .await;
    assert_eq!(answer(&called(&installation, NOBODY).await), "bye");
    others_do_not_notice(&installation).await;
    first.hang_up();
    finished(&first).await;
    eventually("there is room again", async || {
        is_answered(&called(&installation, NOBODY).await).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_keeps_so_many_values() {
    let (installation, _folder) = bounded("tenant_keys_max", 2).await;
    for _ in 0..2 {
        assert!(is_answered(&called(&installation, KEEPS).await));
    }
    assert_eq!(answer(&called(&installation, KEEPS).await), "bye");
    assert!(is_answered(&called(&installation, NOBODY).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_version_goes_when_nobody_uses_it_and_its_component_with_it() {
    let folder = shelf(&toy(1));
    let installation = over_toy(folder.path()).start().await;
    let (catalogue, operator) = (catalogue(&installation).await, Party::Operator);
    let digest = live(&installation, "toyphone");
    let needed = catalogue.remove(&operator, "toyphone", &digest).await.unwrap_err();
    assert!(needed.to_string().contains("telephony configuration"), "{needed}");
    let again = loaded(&toy(1));
    let new = NewVersion {
        owner: operator.clone(),
        provider: &again,
        bytes: &toy(1),
        source: "a test".to_owned(),
        signer: None,
        report: None,
    };
    assert_eq!(catalogue.add(new).await.unwrap(), Installed::Unchanged);
    let path = format!("/organizations/telephony-configs/{}", installation.ids.configuration);
    let deleted = installation.api.send(reqwest::Method::DELETE, &path, None).await;
    assert!(deleted.status < 300, "{}", deleted.text());
    catalogue.remove(&operator, "toyphone", &digest).await.unwrap();
    becomes_live(&installation, "toyphone", "none").await;
    let left = std::fs::read_dir(installation.data.path().join("components"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
}
