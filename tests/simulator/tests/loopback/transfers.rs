//! Second legs and conferences: who hears whom, who is told what, and who ends whom.

use std::time::Duration;

use reqwest::Method;
use strowger_simulator::{
    CallReport, Callee, CallerScript, Misbehaviour, Options, RestFailure, RestFault, RunningCarrier, Speech,
    exchange::CallHandle,
    report::{CallEvent, CallStatus, HangUp, StreamEnd},
};

use crate::{
    SOON,
    desk::{Desk, Media, call, exchange, rest},
};

const COLLEAGUE: &str = "+14155550111";

fn conference(name: &str) -> String {
    format!(r#"<Response><Dial><Conference endConferenceOnExit="true">{name}</Conference></Dial></Response>"#)
}

fn tone(hz: f64) -> Speech {
    Speech::tone(hz, Duration::from_millis(400), 8000)
}

/// Somebody who says something as soon as there is a person to say it to.
fn talker(hz: f64) -> CallerScript {
    CallerScript::new().wait_person(SOON).speak(tone(hz)).stay()
}

fn voiced(samples: &[i16]) -> Vec<i16> {
    samples.iter().copied().filter(|&sample| sample != 0).collect()
}

/// Has the colleague called, to wait in the conference.
async fn dial(carrier: &RunningCarrier, desk: &Desk, timeout_s: u32) -> (u16, CallHandle) {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("To", COLLEAGUE)
        .append_pair("From", carrier.own_number())
        .append_pair("Timeout", &timeout_s.to_string())
        .append_pair("Twiml", &conference("room"))
        .append_pair("StatusCallback", &format!("http://{}/status", desk.address))
        .extend_pairs(["initiated", "ringing", "answered", "completed"].map(|event| ("StatusCallbackEvent", event)))
        .finish();
    let (status, _) = rest(carrier, Method::POST, "/Calls.json", &form).await;
    (status, carrier.next_outbound(SOON).await.unwrap())
}

/// Sends the caller to the conference too.
async fn send_there(carrier: &RunningCarrier, caller: &CallHandle) {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("Twiml", &conference("room"))
        .finish();
    let path = format!("/Calls/{}.json", caller.id());
    assert_eq!(rest(carrier, Method::POST, &path, &form).await.0, 200);
}

async fn streaming(carrier: &RunningCarrier, script: CallerScript) -> CallHandle {
    let caller = carrier.place_inbound(call(carrier, script)).unwrap();
    let flows = |report: &CallReport| report.stream().is_some_and(|stream| !stream.received.is_empty());
    caller.wait_until(SOON, flows).await.unwrap();
    caller
}

async fn joined(call: &CallHandle) {
    let there = CallEvent::ConferenceJoined("room".to_owned());
    call.wait_until(SOON, |report| report.happened(&there)).await.unwrap();
}

fn told(call: &CallHandle) -> Vec<String> {
    let told = |report: &CallReport| {
        let kinds = report.webhooks.iter().map(|webhook| webhook.kind.clone());
        kinds.collect()
    };
    call.look(told)
}

#[tokio::test]
async fn two_people_in_a_conference_hear_each_other_until_one_leaves() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    let caller = streaming(&carrier, talker(440.0)).await;
    carrier.set_callee(COLLEAGUE, Callee::answers(talker(880.0)));
    let (status, colleague) = dial(&carrier, &desk, 30).await;
    assert_eq!(status, 201);
    joined(&colleague).await;
    send_there(&carrier, &caller).await;
    // Both have said it all, and a fifth of a second has passed in which the other could hear the end of it.
    let heard = |report: &CallReport| {
        report.rooms.first().is_some_and(|room| {
            room.said
                .iter()
                .rposition(|&sample| sample != 0)
                .is_some_and(|last| room.said.len() >= last + 1600)
        })
    };
    caller.wait_until(SOON, heard).await.unwrap();
    colleague.wait_until(SOON, heard).await.unwrap();
    caller.hang_up();
    let (caller, colleague) = (
        caller.finished(SOON).await.unwrap(),
        colleague.finished(SOON).await.unwrap(),
    );

    assert_eq!(caller.stream().unwrap().end, Some(StreamEnd::ClosedByCarrier));
    assert_eq!(
        (caller.hang_up, colleague.hang_up),
        (Some(HangUp::Person), Some(HangUp::Conference))
    );
    assert!(caller.met(&colleague.call_id) && colleague.met(&caller.call_id));
    assert!(colleague.ended_at >= caller.rooms[0].left_at);
    // Each heard what the other said, sample for sample.
    for (speaker, listener) in [(&caller, &colleague), (&colleague, &caller)] {
        let (said, heard) = (&speaker.rooms[0].said, listener.rooms[0].heard());
        assert!(
            voiced(said) == voiced(&heard),
            "said {}, heard {}",
            said.len(),
            heard.len()
        );
        assert!(!voiced(said).is_empty());
    }
    assert!(caller.notes().is_empty() && colleague.notes().is_empty());
}

#[tokio::test]
async fn a_colleague_can_be_away_busy_unwilling_or_gone_again() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    let after = Duration::from_millis(20);
    for (callee, status, last) in [
        (Callee::Busy, CallStatus::Busy, "status Busy"),
        (Callee::NoAnswer { after }, CallStatus::NoAnswer, "status NoAnswer"),
        (Callee::Rejects { after }, CallStatus::Rejected, "status Rejected"),
        (
            Callee::answers(CallerScript::new().leave_after(after)),
            CallStatus::Completed,
            "status Completed",
        ),
    ] {
        carrier.set_callee(COLLEAGUE, callee);
        let (_, colleague) = dial(&carrier, &desk, 30).await;
        let report = colleague.finished(SOON).await.unwrap();
        assert_eq!(
            (report.status, told(&colleague).last().map(String::as_str)),
            (status, Some(last))
        );
    }
    // Declining is told as being busy.
    let declined = desk.webhooks.lock().unwrap().len();
    let statuses: Vec<String> = (0..declined)
        .map(|webhook| desk.parameter(webhook, "CallStatus"))
        .collect();
    assert_eq!(statuses.iter().filter(|status| *status == "busy").count(), 2);
}

#[tokio::test]
async fn ringing_ends_in_time_unless_the_carrier_forgets() {
    let late = Callee::Answers {
        after: Duration::from_millis(1100),
        script: CallerScript::new().leave_after(Duration::from_millis(10)),
        answered_by: "human".to_owned(),
    };
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    carrier.set_callee(COLLEAGUE, late);
    let (_, colleague) = dial(&carrier, &desk, 1).await;
    assert_eq!(colleague.finished(SOON).await.unwrap().status, CallStatus::NoAnswer);

    carrier.set_misbehaviour(Misbehaviour::named("ignored-ring-timeout").unwrap());
    let (_, colleague) = dial(&carrier, &desk, 1).await;
    assert_eq!(colleague.finished(SOON).await.unwrap().status, CallStatus::Completed);
}

#[tokio::test]
async fn an_answer_can_be_told_before_the_request_is_answered() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    carrier.set_misbehaviour(Misbehaviour {
        callbacks_before_response: true,
        status_copies: 1,
        ..Misbehaviour::default()
    });
    let (_, colleague) = dial(&carrier, &desk, 30).await;
    // The response is here, and so is everything up to the answer, twice.
    let kinds = told(&colleague);
    assert_eq!(
        kinds,
        [
            "status Initiated",
            "status Initiated",
            "status Ringing",
            "status Ringing",
            "status InProgress",
            "status InProgress"
        ]
    );
    let logged = carrier.rest_log().pop().unwrap();
    let answered = colleague.look(|report| report.webhooks.last().unwrap().at);
    assert!(answered <= logged.at);
    colleague.hang_up();
    colleague.finished(SOON).await.unwrap();
}

#[tokio::test]
async fn callbacks_can_overtake_each_other() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    carrier.set_misbehaviour(Misbehaviour::named("statuses-swapped").unwrap());
    carrier.set_callee(
        COLLEAGUE,
        Callee::answers(CallerScript::new().leave_after(Duration::from_millis(10))),
    );
    let (_, colleague) = dial(&carrier, &desk, 30).await;
    colleague.finished(SOON).await.unwrap();
    assert_eq!(
        told(&colleague),
        [
            "status Ringing",
            "status Initiated",
            "status Completed",
            "status InProgress"
        ]
    );
}

#[tokio::test]
async fn somebody_alone_in_a_conference_loses_patience() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    let script = CallerScript::new().stay().patience(Duration::from_millis(100));
    carrier.set_callee(COLLEAGUE, Callee::answers(script));
    let (_, colleague) = dial(&carrier, &desk, 30).await;
    let report = colleague.finished(SOON).await.unwrap();
    assert_eq!((report.hang_up, report.rooms[0].met.len()), (Some(HangUp::Person), 0));
}

#[tokio::test]
async fn requests_fail_in_every_way() {
    let (_, carrier) = exchange(Media::Echo, None, Options::default()).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let credentials = carrier.credentials();
    let account = credentials["account_sid"].as_str().unwrap();
    let url = format!("http://{}/2010-04-01/Accounts/{account}.json", carrier.rest_addr());
    let get = || {
        client
            .get(&url)
            .basic_auth(account, credentials["auth_token"].as_str())
            .send()
    };
    for fault in [
        RestFault::Status(403),
        RestFault::Html,
        RestFault::Redirect("http://10.0.0.1/".to_owned()),
        RestFault::HalfBody,
        RestFault::Timeout,
    ] {
        // It is about another request first.
        carrier.fail_rest(RestFailure::next(fault.clone()).of("POST", "/Calls"));
        assert_eq!(get().await.unwrap().status(), 200);
        carrier.fail_rest(RestFailure::next(fault.clone()).of("GET", account));
        let failed = get().await;
        match fault {
            RestFault::Timeout => assert!(failed.unwrap_err().is_timeout()),
            RestFault::HalfBody => assert!(failed.unwrap().bytes().await.is_err()),
            RestFault::Html => assert!(failed.unwrap().text().await.unwrap().starts_with("<!DOCTYPE html>")),
            RestFault::Redirect(to) => assert_eq!(failed.unwrap().headers()["location"], to.as_str()),
            RestFault::Status(status) => assert_eq!(failed.unwrap().status(), status),
        }
        assert_eq!(get().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_request_can_be_carried_out_and_its_answer_lost() {
    let (desk, carrier) = exchange(Media::Echo, None, Options::default()).await;
    carrier.fail_rest(
        RestFailure::next(RestFault::Status(500))
            .of("POST", "/Calls")
            .carried_out(),
    );
    let (status, colleague) = dial(&carrier, &desk, 30).await;
    assert_eq!(status, 500);
    joined(&colleague).await;
}
