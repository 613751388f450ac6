//! Transfers over the carriers that can: the caller is connected with somebody else, or is back with the agent.

use reqwest::Method;
use serde_json::{Value, json};
use strowger_simulator::agent::{AgentDo, AgentScript, AgentSession, AgentWhen, Hold, Transfer};
use strowger_simulator::exchange::{CallHandle, Callee};
use strowger_simulator::report::{CallStatus, HangUp};
use strowger_simulator::{CallerScript, Misbehaviour, RestFailure, RestFault};

use crate::harness::{
    CALLEE, DEADLINE, Installation, Scenario, eventually, finished, frequency, in_order, ms, stream, tone,
};

/// Somebody else, who answers transfers. The number is reserved for fiction.
const DESTINATION: &str = "+12025550199";

/// An agent that greets, and asks for `transfer` when a key is pressed.
fn asking(transfer: Transfer) -> AgentScript {
    AgentScript::new()
        .on(AgentWhen::Start, [tone(700.0, 600).into()])
        .on(AgentWhen::Dtmf('1'), [transfer.into()])
        .on(AgentWhen::Dtmf('2'), [AgentDo::CancelTransfer])
        .on(AgentWhen::Dtmf('9'), [AgentDo::HangUp])
}

/// A caller who asks for somebody else, and speaks with whoever that is.
fn caller() -> CallerScript {
    CallerScript::new()
        .wait_heard(ms(300), DEADLINE)
        .press('1')
        .wait_person(DEADLINE)
        .speak(tone(1_000.0, 600))
        .wait_quiet(ms(400), DEADLINE)
        .leave_after(DEADLINE)
        .stay()
}

/// Somebody who answers and says something to whoever is there.
fn destination() -> CallerScript {
    CallerScript::new()
        .wait_person(DEADLINE)
        .speak(tone(600.0, 600))
        .silence(ms(1_000))
}

fn no_answer() -> Callee {
    Callee::NoAnswer { after: DEADLINE }
}

async fn start(transfer: Transfer) -> Installation {
    Scenario::native(16_000, asking(transfer)).start().await
}

fn to_destination() -> Transfer {
    Transfer::to(DESTINATION).hold(Hold::Silence)
}

async fn told(agent: &AgentSession, state: &str) -> Option<String> {
    agent.wait_transfer(DEADLINE, state).await.unwrap().reason
}

/// The transfers of the only call.
async fn transfers(installation: &Installation) -> Vec<Value> {
    let id = installation.calls().await[0]["id"].as_str().unwrap().to_owned();
    let call = installation.api.get(&format!("/calls/{id}")).await.ok();
    call["transfers"].as_array().unwrap().clone()
}

/// The transfer of the only call, when it is over.
async fn over(installation: &Installation) -> Value {
    eventually("the transfer is over", async || {
        let transfers = transfers(installation).await;
        transfers.into_iter().find(|transfer| transfer["state"] == "over")
    })
    .await
}

/// The leg to the destination, once the carrier dials it.
async fn second_leg(installation: &Installation) -> CallHandle {
    installation.carrier.next_outbound(DEADLINE).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_connected_with_somebody_else() {
    let installation = start(to_destination().announcement("A caller for you.")).await;
    installation
        .carrier
        .set_callee(DESTINATION, Callee::answers(destination()));
    let call = installation.call_in(caller());
    let agent = installation.conversation().await;
    let leg = second_leg(&installation).await;
    assert_eq!(told(&agent, "connected").await, None);
    let agent = agent.finished(DEADLINE).await.unwrap();
    let states: Vec<&str> = agent.transfers.iter().map(|seen| seen.state.as_str()).collect();
    assert_eq!(states, ["dialing", "ringing", "answered", "connected"]);
    assert_eq!(agent.stop.as_deref(), Some("transferred"));

    // They hear each other; the destination then hangs up, which ends the caller.
    let (caller, destination) = (finished(&call).await, finished(&leg).await);
    assert!(caller.met(&destination.call_id) && destination.met(&caller.call_id));
    assert!((frequency(&caller.rooms[0].heard(), 8_000) - 600.0).abs() < 20.0);
    assert!((frequency(&destination.rooms[0].heard(), 8_000) - 1_000.0).abs() < 20.0);
    assert_eq!(
        (caller.notes(), destination.notes()),
        (Vec::<&str>::new(), Vec::<&str>::new())
    );

    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["status"], "completed");
    assert_eq!(record["outcome"]["reason"], "transferred");
    let transfer = over(&installation).await;
    assert_eq!(transfer["destination"], DESTINATION);
    assert_eq!(transfer["caller_id"], installation.carrier.own_number());
    assert_eq!(transfer["reason"], Value::Null);
    assert!(transfer["answered_at"].is_string() && transfer["connected_at"].is_string());
    in_order(
        &installation.kinds(&record).await,
        &["transfer_requested", "transfer_status", "transfer_connected"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_caller_ends_the_second_leg() {
    let installation = start(to_destination()).await;
    installation
        .carrier
        .set_callee(DESTINATION, Callee::answers(CallerScript::new().stay()));
    let call = installation.call_in(caller());
    let agent = installation.conversation().await;
    let leg = second_leg(&installation).await;
    told(&agent, "connected").await;
    call.hang_up();
    finished(&leg).await;
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "transferred");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_does_not_answer_leaves_the_caller_with_the_agent() {
    for (callee, reason) in [
        (Callee::Busy, "busy"),
        (no_answer(), "no_answer"),
        (Callee::Unreachable, "call_failed"),
    ] {
        let installation = start(to_destination().ring_timeout_s(5)).await;
        installation.carrier.set_callee(DESTINATION, callee);
        let call = installation.call_in(CallerScript::new().wait_heard(ms(300), DEADLINE).press('1').stay());
        let agent = installation.conversation().await;
        let told = told(&agent, "failed").await.unwrap();
        // The carrier's clock for ringing, and ours, come to an end at about the same time.
        assert!(told == reason || (reason == "no_answer" && told == "timeout"), "{told}");
        // The conversation goes on.
        assert_eq!(installation.live_call().await["outcome"], Value::Null);
        call.hang_up();
        let record = installation.closed_call().await;
        assert_eq!(record["outcome"]["reason"], "caller_hung_up");
        assert_eq!(over(&installation).await["reason"], told);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_answers_too_late_is_let_go() {
    let misbehaviour = Misbehaviour {
        ignores_ring_timeout: true,
        ..Misbehaviour::default()
    };
    let installation = Scenario::native(16_000, asking(to_destination().ring_timeout_s(5)))
        .carrier_misbehaves(misbehaviour)
        .start()
        .await;
    installation.carrier.set_callee(
        DESTINATION,
        Callee::Answers {
            after: ms(6_500),
            script: CallerScript::new().stay(),
            answered_by: "human".to_owned(),
        },
    );
    let call = installation.call_in(CallerScript::new().wait_heard(ms(300), DEADLINE).press('1').stay());
    let agent = installation.conversation().await;
    let leg = second_leg(&installation).await;
    assert_eq!(told(&agent, "failed").await.as_deref(), Some("timeout"));
    let leg = finished(&leg).await;
    assert_eq!(leg.hang_up, Some(HangUp::Rest), "{leg:#?}");
    assert!(!leg.met(call.id()));
    call.hang_up();
    installation.closed_call().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_overtakes_the_reply_is_not_lost() {
    let misbehaviour = Misbehaviour {
        callbacks_before_response: true,
        ..Misbehaviour::default()
    };
    let installation = Scenario::native(16_000, asking(to_destination()))
        .carrier_misbehaves(misbehaviour)
        .start()
        .await;
    installation
        .carrier
        .set_callee(DESTINATION, Callee::answers(destination()));
    let call = installation.call_in(caller());
    let agent = installation.conversation().await;
    told(&agent, "connected").await;
    let caller = finished(&call).await;
    assert_eq!(caller.rooms.len(), 1);
    installation.closed_call().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_refuses_to_dial_is_named_as_the_reason() {
    let installation = start(to_destination()).await;
    installation
        .carrier
        .fail_rest(RestFailure::next(RestFault::Status(400)).of("POST", "/Calls.json"));
    let call = installation.call_in(CallerScript::new().wait_heard(ms(300), DEADLINE).press('1').stay());
    let agent = installation.conversation().await;
    assert_eq!(told(&agent, "failed").await.as_deref(), Some("provider_error"));
    call.hang_up();
    installation.closed_call().await;
    assert_eq!(over(&installation).await["reason"], "provider_error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legs_that_cannot_be_connected_are_taken_apart() {
    let installation = start(to_destination()).await;
    installation
        .carrier
        .set_callee(DESTINATION, Callee::answers(CallerScript::new().stay()));
    let call = installation.call_in(CallerScript::new().wait_heard(ms(300), DEADLINE).press('1').stay());
    let agent = installation.conversation().await;
    let path = format!("/Calls/{}.json", call.id());
    installation
        .carrier
        .fail_rest(RestFailure::next(RestFault::Status(500)).of("POST", &path));
    let leg = second_leg(&installation).await;
    assert_eq!(told(&agent, "failed").await.as_deref(), Some("connect_failed"));
    assert_eq!(finished(&leg).await.hang_up, Some(HangUp::Rest));
    // The caller is back: the agent hears that the call ends only now.
    call.hang_up();
    assert_eq!(installation.closed_call().await["outcome"]["reason"], "caller_hung_up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_is_withdrawn() {
    let installation = start(to_destination()).await;
    installation.carrier.set_callee(DESTINATION, no_answer());
    let script = CallerScript::new()
        .wait_heard(ms(300), DEADLINE)
        .press('1')
        .silence(ms(1_000))
        .press('2')
        .stay();
    let call = installation.call_in(script);
    let agent = installation.conversation().await;
    let leg = second_leg(&installation).await;
    assert_eq!(told(&agent, "failed").await.as_deref(), Some("canceled"));
    assert_eq!(finished(&leg).await.status, CallStatus::Canceled);
    call.hang_up();
    installation.closed_call().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_hangs_up_while_it_rings_ends_the_second_leg() {
    let installation = start(to_destination()).await;
    installation.carrier.set_callee(DESTINATION, no_answer());
    let call = installation.call_in(CallerScript::new().wait_heard(ms(300), DEADLINE).press('1').stay());
    let agent = installation.conversation().await;
    let leg = second_leg(&installation).await;
    told(&agent, "ringing").await;
    call.hang_up();
    assert_eq!(finished(&leg).await.status, CallStatus::Canceled);
    let record = installation.closed_call().await;
    assert_eq!(record["outcome"]["reason"], "caller_hung_up");
    assert_eq!(over(&installation).await["reason"], "call_ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_hang_up_does_not_end_what_was_handed_over() {
    let installation = start(to_destination()).await;
    installation
        .carrier
        .set_callee(DESTINATION, Callee::answers(destination().silence(ms(1_500))));
    let call = installation.call_in(caller());
    let agent = installation.conversation().await;
    // The agent leaves as soon as it knows, as many do, and once more.
    told(&agent, "connected").await;
    drop(agent);
    let caller = finished(&call).await;
    assert_eq!(caller.hang_up, Some(HangUp::Conference), "{caller:#?}");
    assert_eq!(installation.closed_call().await["outcome"]["reason"], "transferred");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_hears_that_it_rings() {
    let installation = start(Transfer::to(DESTINATION).ring_timeout_s(5)).await;
    installation.carrier.set_callee(DESTINATION, no_answer());
    let call = installation.call_in(CallerScript::new().wait_heard(ms(300), DEADLINE).press('1').stay());
    let agent = installation.conversation().await;
    told(&agent, "failed").await;
    call.hang_up();
    let report = finished(&call).await;
    // The first ring lasts a second; the greeting before it is higher, and five seconds later it rings again.
    let heard = stream(&report).heard();
    let rings = heard
        .chunks_exact(400)
        .filter(|chunk| chunk.iter().any(|sample| sample.abs() > 2_000))
        .filter(|chunk| (frequency(chunk, 8_000) - 425.0).abs() < 12.0);
    assert!(rings.count() >= 15);
    installation.closed_call().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_asks_for_a_transfer() {
    let installation = Scenario::echo().start().await;
    installation
        .carrier
        .set_callee(DESTINATION, Callee::answers(destination()));
    let call = installation.call_in(CallerScript::new().wait_person(DEADLINE).speak(tone(800.0, 400)).stay());
    let path = |id: &Value| format!("/calls/{}/transfer", id.as_str().unwrap());
    let live = installation.live_call().await;
    let path = path(&live["id"]);
    let ask = async |body: Value| installation.api.post(&path, body).await;
    eventually("the caller is connected with the agent", async || {
        let kinds = installation.kinds(&live).await;
        kinds.iter().any(|kind| kind == "agent_connected").then_some(())
    })
    .await;

    for (body, field) in [
        (json!({}), "destination"),
        (json!({ "destination": "" }), "destination"),
        (
            json!({ "destination": DESTINATION, "ring_timeout_s": 1 }),
            "ring_timeout_s",
        ),
        (json!({ "destination": DESTINATION, "hold": "music" }), "hold"),
        (json!({ "destination": DESTINATION, "caller_id": 5 }), "caller_id"),
        // Nobody's, as far as this configuration goes.
        (
            json!({ "destination": DESTINATION, "caller_id": "+12025550111" }),
            "caller_id",
        ),
        (json!({ "destination": DESTINATION, "to": "x" }), "to"),
    ] {
        let reply = ask(body.clone()).await;
        assert_eq!(reply.refused(422), "invalid_fields", "{body}");
        assert_eq!(reply.json()["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(
        installation.api.send(Method::DELETE, &path, None).await.refused(409),
        "no_transfer"
    );
    let stranger = crate::harness::Api::new(&installation.gateway, "Second").await;
    assert_eq!(
        stranger
            .post(&path, json!({ "destination": DESTINATION }))
            .await
            .refused(404),
        "not_found"
    );

    let accepted = ask(json!({ "destination": DESTINATION, "hold": "silence" })).await;
    assert_eq!(accepted.status, 202);
    assert_eq!(accepted.json()["transfer"]["state"], "dialing");
    assert_eq!(
        ask(json!({ "destination": CALLEE })).await.refused(409),
        "transfer_in_progress"
    );
    let report = finished(&call).await;
    assert_eq!(report.rooms.len(), 1);
    installation.closed_call().await;
    assert_eq!(
        ask(json!({ "destination": CALLEE })).await.refused(409),
        "not_connected"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_shows_a_number_that_is_not_theirs() {
    let installation = start(to_destination().caller_id("+12025550111")).await;
    let call = installation.call_in(CallerScript::new().wait_heard(ms(300), DEADLINE).press('1').stay());
    let agent = installation.conversation().await;
    assert_eq!(told(&agent, "failed").await.as_deref(), Some("provider_error"));
    assert_eq!(installation.placed(), 0);
    call.hang_up();
    let record = installation.closed_call().await;
    let failed = installation.events(&record).await;
    let failed = failed
        .iter()
        .find(|event| event["kind"] == "transfer_dial_failed")
        .unwrap();
    assert_eq!(failed["detail"]["event"]["code"], "foreign-caller-id");
}

/// The gateway dies after the hand-over: whoever starts it again still ends the caller whose destination has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_survives_the_gateway() {
    let installation = start(to_destination()).await;
    installation
        .carrier
        .set_callee(DESTINATION, Callee::answers(CallerScript::new().stay()));
    let call = installation.call_in(caller());
    let agent = installation.conversation().await;
    let leg = second_leg(&installation).await;
    told(&agent, "connected").await;
    let (ended, installation) = installation.restart().await;
    assert_eq!(ended, 0, "a call that was handed over is not ended");
    assert!(call.look(|report| report.hang_up.is_none()));
    leg.hang_up();
    finished(&call).await;
    assert_eq!(over(&installation).await["reason"], Value::Null);
}
