//! Event sockets: carriers that tell what happens over a socket that the gateway opens and keeps.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use strowger_server::exchange::{EventSocketPhase, EventSocketState};
use strowger_server::gateway::Gateway;
use strowger_server::store::ConfigurationId;
use strowger_simulator::exchange::{Callee, EventSocketReport};
use strowger_simulator::report::{CallStatus, HangUp};
use strowger_simulator::{CallerScript, Gateway as GatewayAddress, Misbehaviour};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::harness::{CALLEE, DEADLINE, Installation, Scenario, eventually, finished, in_order, ms, tone};

/// Of the carriers that are simulated, the one that tells over a socket.
fn scenario() -> Scenario {
    Scenario::echo().over("ari")
}

/// Starts, and waits until the carrier can tell something.
async fn start(scenario: Scenario) -> Installation {
    let installation = scenario.start().await;
    until(&installation, "the event socket is open", |state| {
        state.phase == EventSocketPhase::Up
    })
    .await;
    installation
}

fn state_of(gateway: &Gateway, configuration: &str) -> Option<EventSocketState> {
    let id = ConfigurationId::parse(configuration).unwrap();
    gateway.exchange().event_socket_state(&id)
}

async fn until(installation: &Installation, what: &str, is_it: impl Fn(&EventSocketState) -> bool) -> EventSocketState {
    until_of(&installation.gateway, &installation.ids.configuration, what, is_it).await
}

async fn until_of(
    gateway: &Gateway,
    configuration: &str,
    what: &str,
    is_it: impl Fn(&EventSocketState) -> bool,
) -> EventSocketState {
    eventually(what, async || {
        state_of(gateway, configuration).filter(|state| is_it(state))
    })
    .await
}

fn live(sockets: &[EventSocketReport]) -> Vec<&EventSocketReport> {
    sockets.iter().filter(|socket| socket.ended_at.is_none()).collect()
}

/// Says something, hears it again, and hangs up.
fn short() -> CallerScript {
    CallerScript::new().speak(tone(900.0, 600)).silence(ms(400)).hang_up()
}

/// Says something, and stays.
fn long() -> CallerScript {
    CallerScript::new().speak(tone(900.0, 600)).stay()
}

async fn takes_a_call(installation: &Installation) {
    let report = finished(&installation.call_in(short())).await;
    assert_eq!(report.status, CallStatus::Completed, "{report:#?}");
    assert!(report.stream().is_some(), "{report:#?}");
}

/// Until the person and the agent talk.
async fn talking(installation: &Installation) {
    let call = installation.live_call().await;
    eventually("they talk", async || {
        let kinds = installation.kinds(&call).await;
        kinds.iter().any(|kind| kind == "media_started").then_some(())
    })
    .await;
}

async fn configuration(installation: &Installation) -> Value {
    let path = format!("/organizations/telephony-configs/{}", installation.ids.configuration);
    installation.api.get(&path).await.ok()
}

/// Changes settings, as the form in which they are shown would.
async fn change(installation: &Installation, fields: Value) {
    let path = format!("/organizations/telephony-configs/{}", installation.ids.configuration);
    let mut config = installation.configuration("The carrier")["config"].clone();
    for (field, value) in fields.as_object().unwrap() {
        config[field] = value.clone();
    }
    let body = json!({ "name": "The carrier", "config": config });
    installation.api.send(Method::PUT, &path, Some(&body)).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_is_opened_with_credentials_in_a_header_and_closed_at_the_end() {
    let installation = start(scenario()).await;
    let sockets = installation.carrier.event_sockets();
    assert_eq!(sockets.len(), 1);
    let header = |name: &str| {
        let found = sockets[0].headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    assert_eq!(
        header("authorization"),
        format!("Basic {}", STANDARD.encode("strowger:p@ss:w/rd"))
    );
    assert!(header("user-agent").starts_with("strowger/"));
    assert!(!sockets[0].path.contains("ss:w"), "{}", sockets[0].path);
    let Installation { gateway, carrier, .. } = installation;
    gateway.stop().await;
    assert_eq!(live(&carrier.event_sockets()).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_is_opened_again_and_calls_go_on() {
    let installation = start(scenario()).await;
    let call = installation.call_in(long());
    talking(&installation).await;
    installation.carrier.drop_event_sockets();
    installation
        .carrier
        .wait_for_event_sockets(DEADLINE, |sockets| live(sockets).len() == 1 && sockets.len() == 2)
        .await
        .unwrap();
    let state = until(&installation, "open again", |state| state.phase == EventSocketPhase::Up).await;
    assert_eq!(state.last_failure.unwrap().code, "connection-lost");
    // The call has not noticed, and its end is told over the new socket.
    call.hang_up();
    finished(&call).await;
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "caller_hung_up", "{record:#}");
    takes_a_call(&installation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_call_that_was_told_to_nobody_is_found_out() {
    let installation = start(scenario()).await;
    let call = installation.call_in(long());
    talking(&installation).await;
    installation.carrier.set_misbehaviour(Misbehaviour {
        event_socket_refused: Some(503),
        ..Misbehaviour::default()
    });
    installation.carrier.drop_event_sockets();
    until(&installation, "refused", |state| {
        state
            .last_failure
            .as_ref()
            .is_some_and(|failure| failure.code == "http-503")
    })
    .await;
    call.hang_up();
    finished(&call).await;
    installation.carrier.set_misbehaviour(Misbehaviour::default());
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["status"], "completed", "{record:#}");
    assert_eq!(installation.gateway.exchange().live_calls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_is_refused_parks_its_configuration_until_somebody_reactivates_it() {
    let refused = Misbehaviour {
        event_socket_refused: Some(401),
        ..Misbehaviour::default()
    };
    let installation = scenario().carrier_misbehaves(refused).start().await;
    let parked = eventually("it is parked", async || {
        let configuration = configuration(&installation).await;
        (configuration["inactive"] == true).then_some(configuration)
    })
    .await;
    let reason = parked["inactive_reason"].as_str().unwrap();
    assert!(reason.starts_with("http-401: ") && !reason.contains("p@ss"), "{reason}");

    installation.carrier.set_misbehaviour(Misbehaviour::default());
    let path = format!(
        "/organizations/telephony-configs/{}/reactivate",
        installation.ids.configuration
    );
    installation.api.post(&path, json!({})).await.ok();
    until(&installation, "it is open", |state| state.phase == EventSocketPhase::Up).await;
    takes_a_call(&installation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_settings_are_used_and_the_socket_stays_open_where_they_do_not_concern_it() {
    let installation = start(scenario()).await;
    change(&installation, json!({ "media_format": "alaw" })).await;
    takes_a_call(&installation).await;
    assert_eq!(installation.carrier.event_sockets().len(), 1);
    let opened_media = installation
        .carrier
        .wait_for_rest(DEADLINE, |request| request.path.ends_with("/channels/externalMedia"))
        .await
        .unwrap();
    assert!(opened_media.body.contains("\"alaw\""), "{}", opened_media.body);

    change(&installation, json!({ "app_password": "another" })).await;
    until(&installation, "it is refused", |state| {
        state
            .last_failure
            .as_ref()
            .is_some_and(|failure| failure.code == "http-401")
    })
    .await;
    change(&installation, json!({})).await;
    let state = until(&installation, "it is open", |state| state.phase == EventSocketPhase::Up).await;
    assert_eq!(state.last_failure, None);
    takes_a_call(&installation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_gateways_one_listens_and_the_other_takes_over() {
    let lease = || scenario().setting("event_lease_s", &5);
    let installation = start(lease()).await;
    let id = installation.ids.configuration.clone();
    let settings = || {
        lease()
            .settings(installation.data.path(), &installation.carrier)
            .unwrap()
    };

    // One that can vanish without a word, because its threads are its own.
    let elsewhere = tokio::runtime::Runtime::new().unwrap();
    let (handle, for_second) = (elsewhere.handle().clone(), settings());
    let starting = tokio::task::spawn_blocking(move || handle.block_on(Gateway::start(for_second)));
    let second = starting.await.unwrap().unwrap();
    until_of(&second, &id, "the second one waits", |state| {
        state.phase == EventSocketPhase::Waiting
    })
    .await;
    assert_eq!(live(&installation.carrier.event_sockets()).len(), 1);

    // The first one stops, as it should: the second one need not wait for the end of a lease.
    let third = settings();
    let Installation { gateway, carrier, .. } = installation;
    gateway.stop().await;
    until_of(&second, &id, "the second one listens", |state| {
        state.phase == EventSocketPhase::Up
    })
    .await;

    let third = Gateway::start(third).await.unwrap();
    until_of(&third, &id, "the third one waits", |state| {
        state.phase == EventSocketPhase::Waiting
    })
    .await;
    elsewhere.shutdown_background();
    until_of(&third, &id, "the third one listens", |state| {
        state.phase == EventSocketPhase::Up
    })
    .await;
    let sockets = carrier.event_sockets();
    assert_eq!((sockets.len(), live(&sockets).len()), (3, 1), "{sockets:#?}");

    carrier
        .set_gateway(GatewayAddress::at(&format!("http://{}", third.address())).unwrap())
        .unwrap();
    let call = strowger_simulator::InboundCall::new("+12025550147", carrier.own_number(), short().patience(DEADLINE));
    let report = finished(&carrier.place_inbound(call).unwrap()).await;
    assert_eq!(report.status, CallStatus::Completed, "{report:#?}");
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_takes_the_application_is_noticed() {
    let installation = start(scenario()).await;
    let path = installation.carrier.event_sockets()[0].path.clone();
    let url = format!("ws://{}{path}", installation.carrier.rest_addr());
    let mut request = url.into_client_request().unwrap();
    let credentials = format!("Basic {}", STANDARD.encode("strowger:p@ss:w/rd"));
    request
        .headers_mut()
        .insert("authorization", credentials.parse().unwrap());
    let (mut stranger, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let state = until(&installation, "it is told", |state| state.last_failure.is_some()).await;
    assert_eq!(state.last_failure.unwrap().code, "application-replaced");
    // And it is taken back.
    let farewell = stranger.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(farewell.contains("ApplicationReplaced"), "{farewell}");
    until(&installation, "it is open", |state| state.phase == EventSocketPhase::Up).await;
    takes_a_call(&installation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_announced_twice_is_one_call() {
    let installation = start(scenario()).await;
    let call = installation.call_in(long());
    talking(&installation).await;
    let socket = installation.carrier.event_sockets().remove(0);
    let announcement = socket.sent.iter().find(|event| event.contains("\"Ring\"")).unwrap();
    installation.carrier.push_event(&socket.key, announcement);
    // What comes later is handled later.
    let other = installation.call_number("+12025550100", CallerScript::new().stay(), Misbehaviour::default());
    assert_eq!(finished(&other).await.hang_up, Some(HangUp::Rest));
    assert_eq!(installation.calls().await.len(), 1);
    let answers = installation.carrier.rest_log();
    let answers = answers
        .iter()
        .filter(|request| request.path.ends_with("/answer"))
        .count();
    assert_eq!(answers, 1);
    call.hang_up();
    finished(&call).await;
    assert_eq!(installation.closed_call().await["outcome"]["status"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_cannot_be_taken_are_refused_over_the_carriers_interface() {
    let installation = start(scenario().setting("calls_max", &1)).await;
    let unknown = installation.call_number("+12025550100", CallerScript::new().stay(), Misbehaviour::default());
    let report = finished(&unknown).await;
    assert_eq!(
        (report.status, report.hang_up),
        (CallStatus::Failed, Some(HangUp::Rest))
    );
    assert_eq!(installation.calls().await.len(), 0);

    let call = installation.call_in(long());
    talking(&installation).await;
    let report = finished(&installation.call_in(CallerScript::new().stay())).await;
    assert_eq!(report.status, CallStatus::Busy, "{report:#?}");
    call.hang_up();
    finished(&call).await;

    // A number that nobody takes.
    let path = format!(
        "/organizations/telephony-configs/{}/phone-numbers/{}",
        installation.ids.configuration, installation.ids.number
    );
    let body = json!({ "clear_inbound_agent": true });
    installation.api.send(Method::PUT, &path, Some(&body)).await.ok();
    let report = finished(&installation.call_in(CallerScript::new().stay())).await;
    assert_eq!(report.hang_up, Some(HangUp::Rest), "{report:#?}");
    // Of calls to a number that is somebody's there is a record, of all others there is none.
    let outcomes = eventually("all records are closed", async || {
        let calls = installation.calls().await;
        let details = calls
            .iter()
            .map(|call| call["outcome"]["detail"].clone())
            .collect::<Vec<_>>();
        calls.iter().all(|call| call["state"] == "completed").then_some(details)
    });
    assert_eq!(outcomes.await, [json!("no-agent"), json!("at-capacity"), Value::Null]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_cannot_be_answered_is_hung_up() {
    let installation = start(scenario()).await;
    let fault = strowger_simulator::RestFailure::next(strowger_simulator::RestFault::Status(503));
    installation.carrier.fail_rest(fault.of("POST", "/answer"));
    let report = finished(&installation.call_in(CallerScript::new().stay())).await;
    assert_eq!(report.hang_up, Some(HangUp::Rest), "{report:#?}");
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["status"], "failed", "{record:#}");
    takes_a_call(&installation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_is_gone_before_the_answer_has_withdrawn_the_call() {
    let installation = start(scenario()).await;
    let fault = strowger_simulator::RestFailure::next(strowger_simulator::RestFault::Status(409));
    installation.carrier.fail_rest(fault.of("POST", "/answer"));
    let call = installation.call_in(CallerScript::new().stay());
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["status"], "canceled", "{record:#}");
    assert_eq!(record["outcome"]["reason"], "caller_hung_up", "{record:#}");
    call.hang_up();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_passed_over() {
    let installation = start(scenario()).await;
    let key = installation.carrier.event_sockets()[0].key.clone();
    for message in [
        "",
        "{",
        "null",
        "[]",
        "not JSON",
        "{\"type\":5}",
        "{\"type\":\"StasisStart\"}",
        "\u{0}",
    ] {
        installation.carrier.push_event(&key, message);
    }
    installation.carrier.push_event(&key, &"x".repeat(900_000));
    takes_a_call(&installation).await;
    assert_eq!(installation.carrier.event_sockets().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_that_comes_before_the_carrier_has_answered_the_request_is_not_lost() {
    let early = Misbehaviour {
        callbacks_before_response: true,
        ..Misbehaviour::default()
    };
    let installation = start(scenario().carrier_misbehaves(early)).await;
    installation.carrier.set_callee(CALLEE, Callee::Busy);
    let initiate = async || {
        let reply = installation
            .api
            .post("/telephony/initiate-call", installation.outbound());
        reply.await.ok()["call_id"].as_str().unwrap().to_owned()
    };
    let closed = async |id: String| {
        eventually("the call's record is closed", async || {
            let call = installation.api.get(&format!("/calls/{id}")).await.ok();
            (call["state"] == "completed").then_some(call)
        })
        .await
    };
    let record = closed(initiate().await).await;
    assert_eq!(record["outcome"]["status"], "busy", "{record:#}");

    installation
        .carrier
        .set_callee(CALLEE, Callee::answers(short().patience(DEADLINE)));
    let record = closed(initiate().await).await;
    assert_eq!(record["outcome"]["status"], "completed", "{record:#}");
    in_order(
        &installation.kinds(&record).await,
        &["placed", "media_connected", "media_started"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_messages_come_faster_than_they_are_handled_the_socket_is_opened_anew() {
    let installation = start(scenario()).await;
    installation.carrier.set_misbehaviour(Misbehaviour {
        rest_delay: ms(2_000),
        ..Misbehaviour::default()
    });
    let key = installation.carrier.event_sockets()[0].key.clone();
    // What is to be cleared up after a call takes two requests, and meanwhile nothing else is handled.
    let end = json!({ "type": "StasisEnd", "channel": { "id": "1795375987.1", "state": "Up" } }).to_string();
    installation.carrier.push_event(&key, &end);
    for _ in 0..2_000 {
        installation
            .carrier
            .push_event(&key, "{\"type\":\"DeviceStateChanged\"}");
    }
    let state = until(&installation, "it is closed", |state| state.last_failure.is_some()).await;
    assert_eq!(state.last_failure.unwrap().code, "fell-behind");
    installation.carrier.set_misbehaviour(Misbehaviour::default());
    until(&installation, "it is open", |state| state.phase == EventSocketPhase::Up).await;
    takes_a_call(&installation).await;
}
