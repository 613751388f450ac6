//! Transfers told as stories: every way in which one ends.

use super::*;

pub(super) const FIRST: &str = "7d2a1f00-0000-4000-8000-000000000001";
pub(super) const SECOND: &str = "7d2a1f00-0000-4000-8000-000000000002";

fn id() -> TransferId {
    TransferId::parse(FIRST).unwrap()
}

fn requested(transfer: &str) -> Event {
    Event::TransferRequested {
        transfer: TransferId::parse(transfer).unwrap(),
        ring_timeout_ms: 30_000,
    }
}

fn identified() -> Event {
    Event::TransferIdentified { transfer: id() }
}

fn leg(status: CallStatus) -> Event {
    Event::TransferStatus {
        transfer: id(),
        status,
        cause: None,
    }
}

fn connected() -> Event {
    Event::TransferConnected { transfer: id() }
}

fn connect_failed() -> Event {
    Event::TransferConnectFailed {
        transfer: id(),
        code: text("conference"),
        message: text("no room"),
    }
}

/// A call whose transfer is being dialled, and the carrier has taken the request.
fn dialing() -> Story {
    let mut story = Story::connected();
    assert_eq!(story.after_ms(5_000).tell(requested(FIRST)), ["dialing", "dial"]);
    assert_eq!(story.after_ms(200).tell(identified()), [""; 0]);
    story
}

/// A call whose destination has answered.
fn answered() -> Story {
    let mut story = dialing();
    assert_eq!(story.tell(leg(CallStatus::Ringing)), ["ringing"]);
    assert_eq!(
        story.after_ms(4_000).tell(leg(CallStatus::InProgress)),
        ["answered", "connect"]
    );
    story
}

/// A call whose caller talks to the destination.
fn transferred() -> Story {
    let mut story = answered();
    assert_eq!(
        story.after_ms(300).tell(connected()),
        ["connected", "close-agent transferred", "close-media"]
    );
    assert_eq!(story.call.state(), State::Transferred);
    story
}

#[test]
fn a_caller_is_connected_and_hangs_up_later() {
    let mut story = transferred();
    assert_eq!(
        story.after_ms(60_000).tell(completed(70_000)),
        ["ended", "cancel", "finish completed transferred"]
    );
    let summary = story.call.summary();
    assert_eq!(summary.transferred_at, Some(Monotonic::from_millis(9_600)));
    assert_eq!(story.outcome().duration_ms, 69_500);
}

#[test]
fn the_end_of_the_destination_ends_the_caller() {
    let mut story = transferred();
    assert_eq!(story.tell(leg(CallStatus::Completed)), ["ended", "hang-up 1"]);
    assert_eq!(story.tell(Event::HangUpDone { already_ended: false }), [""; 0]);
    assert_eq!(story.tell(completed(9_000)), ["finish completed transferred"]);
}

#[test]
fn what_the_agent_and_the_media_do_after_the_hand_over_ends_nothing() {
    let mut story = transferred();
    for event in [
        Event::AgentHungUp { reason: None },
        Event::AgentClosed {
            code: Some(1000),
            reason: String::new(),
        },
        Event::AgentFailed { reason: text("gone") },
        Event::AgentStalled,
        Event::MediaStopped,
        Event::MediaLost { reason: text("gone") },
    ] {
        assert_eq!(story.verdict(event), (Verdict::Late, vec![]));
    }
    assert_eq!(story.call.state(), State::Transferred);
}

#[test]
fn a_client_can_end_a_call_that_was_handed_over() {
    let mut story = transferred();
    let asked = Event::HangUpRequested { by: Requester::Api };
    assert_eq!(story.tell(asked), ["ended", "cancel", "hang-up 1"]);
    story.tell(Event::HangUpDone { already_ended: false });
    assert_eq!(story.tell(completed(9_000)), ["finish completed api_request"]);
}

#[test]
fn a_gateway_that_stops_leaves_the_two_alone() {
    let mut story = transferred();
    assert_eq!(story.tell(Event::ShutdownRequested), ["finish completed transferred"]);
}

#[test]
fn a_call_that_was_handed_over_has_the_longest_duration_still() {
    let mut story = transferred();
    assert_eq!(story.wait(), ["ended", "cancel", "hang-up 1"]);
}

#[test]
fn a_destination_that_cannot_be_reached_leaves_the_caller_with_the_agent() {
    for (status, reason) in [
        (CallStatus::Busy, "busy"),
        (CallStatus::NoAnswer, "no_answer"),
        (CallStatus::Failed, "call_failed"),
        (CallStatus::Canceled, "no_answer"),
        (CallStatus::Completed, "call_failed"),
    ] {
        let mut story = dialing();
        assert_eq!(story.tell(leg(status)), [format!("failed {reason}")]);
        assert_eq!(story.call.state(), State::Connected);
        // And it can be tried again.
        assert_eq!(story.tell(requested(SECOND)), ["dialing", "dial"]);
    }
}

#[test]
fn a_destination_that_does_not_answer_in_time_is_let_go() {
    let mut story = dialing();
    assert_eq!(story.wait(), ["failed timeout", "cancel"]);
    assert_eq!(story.now, Monotonic::from_millis(35_100));
    // It answers at that very moment.
    assert_eq!(
        story.verdict(leg(CallStatus::InProgress)),
        (Verdict::Late, vec![text("cancel")])
    );
    assert_eq!(story.verdict(leg(CallStatus::Completed)), (Verdict::Late, vec![]));
    assert_eq!(story.call.state(), State::Connected);
}

#[test]
fn a_leg_that_has_no_name_yet_is_let_go_when_it_gets_one() {
    let mut story = Story::connected();
    story.tell(requested(FIRST));
    assert_eq!(story.wait(), ["failed timeout"]);
    assert_eq!(story.tell(identified()), ["cancel"]);
}

#[test]
fn an_answer_that_overtakes_the_reply_to_the_request_counts() {
    let mut story = Story::connected();
    story.tell(requested(FIRST));
    assert_eq!(story.tell(leg(CallStatus::InProgress)), ["answered", "connect"]);
    // The reply to the request comes late, or never.
    assert_eq!(story.tell(identified()), [""; 0]);
    let lost = Event::TransferDialFailed {
        transfer: id(),
        code: text("unreachable"),
        message: text("no reply"),
        refused: false,
    };
    assert_eq!(story.verdict(lost), (Verdict::Late, vec![]));
    assert_eq!(story.tell(connected())[0], "connected");
}

#[test]
fn a_request_that_the_carrier_refuses_fails_the_transfer() {
    let mut story = Story::connected();
    story.tell(requested(FIRST));
    let refused = Event::TransferDialFailed {
        transfer: id(),
        code: text("21211"),
        message: text("no such number"),
        refused: false,
    };
    assert_eq!(story.tell(refused), ["failed provider_error"]);
    assert_eq!(story.call.state(), State::Connected);
}

#[test]
fn an_answer_is_taken_once() {
    let mut story = answered();
    assert_eq!(story.tell(leg(CallStatus::InProgress)), [""; 0]);
    story.tell(connected());
    assert_eq!(story.tell(leg(CallStatus::InProgress)), [""; 0]);
    assert_eq!(story.tell(connected()), [""; 0]);
}

#[test]
fn legs_that_cannot_be_connected_are_taken_apart() {
    let mut story = answered();
    assert_eq!(story.tell(connect_failed()), ["failed connect_failed", "cancel"]);
    assert_eq!(story.call.state(), State::Connected);

    // The carrier says nothing.
    let mut story = answered();
    assert_eq!(story.wait(), ["failed connect_failed", "cancel"]);
    // And connects them after all.
    assert_eq!(story.verdict(connected()), (Verdict::Late, vec![text("cancel")]));
}

#[test]
fn the_caller_was_taken_from_the_media_and_not_connected() {
    let mut story = answered();
    assert_eq!(story.tell(Event::MediaStopped), [""; 0]);
    assert_eq!(
        story.tell(connect_failed()),
        ["failed connect_failed", "cancel", "hang-up 1", "close-agent media_lost"]
    );
}

#[test]
fn the_media_ends_while_the_legs_are_connected() {
    let mut story = answered();
    assert_eq!(story.tell(Event::MediaLost { reason: text("reset") }), [""; 0]);
    assert_eq!(story.tell(connected()), ["connected", "close-agent transferred"]);
}

#[test]
fn a_destination_that_hangs_up_before_it_is_connected() {
    let mut story = answered();
    assert_eq!(story.tell(leg(CallStatus::Completed)), [""; 0]);
    assert_eq!(story.tell(connect_failed()), ["failed hung_up"]);
    assert_eq!(story.call.state(), State::Connected);

    // The caller is in a conference with nobody.
    let mut story = answered();
    story.tell(leg(CallStatus::Completed));
    assert_eq!(
        story.tell(connected()),
        [
            "connected",
            "close-agent transferred",
            "close-media",
            "ended",
            "hang-up 1"
        ]
    );
}

#[test]
fn a_transfer_is_withdrawn() {
    let mut story = dialing();
    assert_eq!(
        story.tell(Event::TransferCanceled { transfer: id() }),
        ["failed canceled", "cancel"]
    );
    assert_eq!(story.call.state(), State::Connected);
    let mut story = answered();
    let late = Event::TransferCanceled { transfer: id() };
    assert_eq!(story.verdict(late), (Verdict::Late, vec![]));
}

#[test]
fn the_end_of_the_call_ends_the_second_leg() {
    for (event, first) in [
        (Event::MediaStopped, "failed call_ended"),
        (completed(1), "failed call_ended"),
        (Event::AgentHungUp { reason: None }, "failed call_ended"),
        (Event::HangUpRequested { by: Requester::Api }, "failed call_ended"),
        (Event::ShutdownRequested, "failed call_ended"),
    ] {
        let mut story = dialing();
        let words = story.tell(event);
        assert_eq!(words[..2], [text(first), text("cancel")], "{words:?}");
    }
    // While the legs are being connected, only the carrier's word counts.
    let mut story = answered();
    let words = story.tell(completed(1));
    assert_eq!(words[..2], ["failed call_ended", "cancel"], "{words:?}");
    assert_eq!(story.verdict(connected()).0, Verdict::Closed);
}

#[test]
fn an_agent_may_leave_once_it_has_asked() {
    let left = || Event::AgentClosed {
        code: Some(1000),
        reason: String::new(),
    };
    let mut story = dialing();
    assert_eq!(story.tell(left()), [""; 0]);
    assert_eq!(story.tell(leg(CallStatus::InProgress)), ["answered", "connect"]);
    assert_eq!(story.tell(connected()), ["connected", "close-media"]);

    // But then nobody is left for the caller when the transfer fails.
    let mut story = dialing();
    story.tell(left());
    assert_eq!(
        story.tell(leg(CallStatus::Busy)),
        ["failed busy", "hang-up 1", "close-media"]
    );
    story.tell(Event::HangUpDone { already_ended: false });
    assert_eq!(story.tell(completed(1)), ["finish completed agent_hung_up"]);
}

#[test]
fn a_call_is_transferred_when_it_is_connected_and_once_at_a_time() {
    let mut story = Story::inbound();
    assert_eq!(story.verdict(requested(FIRST)), (Verdict::Late, vec![]));
    let mut story = dialing();
    assert_eq!(story.verdict(requested(SECOND)), (Verdict::Late, vec![]));
    let mut story = transferred();
    assert_eq!(story.verdict(requested(SECOND)), (Verdict::Late, vec![]));
}

#[test]
fn what_is_told_of_another_transfer_changes_nothing() {
    let mut story = dialing();
    let other = Event::TransferStatus {
        transfer: TransferId::parse(SECOND).unwrap(),
        status: CallStatus::InProgress,
        cause: None,
    };
    // A leg that nobody waits for is let go, whosoever it was.
    assert_eq!(story.verdict(other), (Verdict::Late, vec![text("cancel")]));
    assert_eq!(story.tell(leg(CallStatus::InProgress)), ["answered", "connect"]);
}

#[test]
fn no_second_leg_is_dialled_while_the_first_may_still_come_to_be() {
    let mut story = Story::connected();
    story.tell(requested(FIRST));
    assert_eq!(
        story.tell(Event::TransferCanceled { transfer: id() }),
        ["failed canceled"]
    );
    assert_eq!(story.call.may_transfer(), Err(TransferFailure::InProgress));
    assert_eq!(story.verdict(requested(SECOND)), (Verdict::Late, vec![]));
    assert_eq!(story.tell(identified()), ["cancel"]);
    assert_eq!(story.tell(requested(SECOND)), ["dialing", "dial"]);
}

#[test]
fn a_leg_whose_reply_was_lost_is_let_go_when_it_rings() {
    let mut story = Story::connected();
    story.tell(requested(FIRST));
    let lost = Event::TransferDialFailed {
        transfer: id(),
        code: text("unreachable"),
        message: text("no reply"),
        refused: false,
    };
    assert_eq!(story.tell(lost), ["failed provider_error"]);
    assert_eq!(story.tell(leg(CallStatus::Ringing)), ["cancel"]);
}

#[test]
fn a_call_has_so_many_transfers_and_no_more() {
    let mut story = Story::connected();
    for _ in 0..Limits::default().transfers_max {
        assert_eq!(story.tell(requested(FIRST)), ["dialing", "dial"]);
        story.tell(identified());
        story.tell(leg(CallStatus::Busy));
    }
    assert_eq!(story.verdict(requested(FIRST)), (Verdict::Late, vec![]));
}

#[test]
fn an_agent_that_stops_listening_once_it_has_asked_may_have_left() {
    let mut story = dialing();
    assert_eq!(story.tell(Event::AgentStalled), ["close-agent agent_stalled"]);
    assert_eq!(story.tell(leg(CallStatus::InProgress)), ["answered", "connect"]);
    assert_eq!(story.tell(connected()), ["connected", "close-media"]);
}
