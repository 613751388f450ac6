//! Calls told as stories, and then at random.

mod transfers;

use proptest::prelude::*;

use super::*;

const ID: &str = "0193c0de-0000-7000-8000-0123456789ab";

fn carrier_id() -> ProviderCallId {
    ProviderCallId::new("CA0123456789abcdef").unwrap()
}

fn inbound_setup() -> Setup {
    Setup {
        provider_call_id: Some(carrier_id()),
        ..Setup::new(CallId::parse(ID).unwrap())
    }
}

fn outbound_setup() -> Setup {
    Setup::new(CallId::parse(ID).unwrap())
}

/// A call and its clock. Actions are told as short words: `hang-up 1`, `close-agent agent_stalled`.
struct Story {
    call: Call,
    now: Monotonic,
    recorded: Vec<Recorded>,
}

impl Story {
    fn inbound() -> Self {
        Self::of(Call::inbound(inbound_setup(), Monotonic::ZERO))
    }

    fn outbound() -> Self {
        Self::of(Call::outbound(outbound_setup(), Monotonic::ZERO))
    }

    fn of(call: Call) -> Self {
        Self {
            call,
            now: Monotonic::ZERO,
            recorded: Vec::new(),
        }
    }

    /// An inbound call in which caller and agent hear each other since 100 ms.
    fn connected() -> Self {
        let mut story = Self::inbound();
        story.after_ms(100);
        for event in [
            Event::WebhookAnswered,
            Event::MediaConnected,
            Event::MediaStarted,
            Event::AgentConnected,
        ] {
            story.tell(event);
        }
        assert_eq!(story.call.state(), State::Connected);
        story
    }

    /// An outbound call that rings since the beginning.
    fn ringing() -> Self {
        let mut story = Self::outbound();
        story.tell(Event::Placed {
            provider_call_id: carrier_id(),
        });
        story.tell(status(CallStatus::Ringing));
        assert_eq!(story.call.state(), State::Ringing);
        story
    }

    fn after_ms(&mut self, ms: u64) -> &mut Self {
        self.now = self.now + Duration::from_millis(ms);
        self
    }

    /// Tells an event and gives what the call wants done, without its entries in the record.
    fn tell(&mut self, event: Event) -> Vec<String> {
        self.verdict(event).1
    }

    fn verdict(&mut self, event: Event) -> (Verdict, Vec<String>) {
        let verdict = self.call.handle_event(event, self.now);
        (verdict, self.drain())
    }

    /// Moves the clock to the next timer and lets it run.
    fn wait(&mut self) -> Vec<String> {
        self.now = self.call.poll_timeout().expect("a call that has not ended has a timer");
        self.call.handle_timeout(self.now);
        self.drain()
    }

    fn drain(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(action) = self.call.poll_action() {
            words.push(match action {
                Action::Record(recorded) => {
                    self.recorded.push(recorded);
                    continue;
                }
                Action::ConnectAgent => "connect-agent".to_owned(),
                Action::StartAgent => "start-agent".to_owned(),
                Action::HangUp { attempt, .. } => format!("hang-up {attempt}"),
                Action::CloseMedia => "close-media".to_owned(),
                Action::CloseAgent { reason } => format!("close-agent {}", word(&reason)),
                Action::FetchStatus { .. } => "fetch-status".to_owned(),
                Action::FetchCost { .. } => "fetch-cost".to_owned(),
                Action::DialDestination { .. } => "dial".to_owned(),
                Action::ConnectTransfer { .. } => "connect".to_owned(),
                Action::CancelTransfer { .. } => "cancel".to_owned(),
                Action::TransferChanged { progress, .. } => progress_words(progress),
                Action::Finish(outcome) => {
                    format!("finish {} {}", word(&outcome.status), word(&outcome.reason))
                }
            });
        }
        words
    }

    fn outcome(&self) -> &Outcome {
        self.call.outcome().expect("the call has ended")
    }
}

fn progress_words(progress: TransferProgress) -> String {
    match progress {
        TransferProgress::Dialing => "dialing".to_owned(),
        TransferProgress::Ringing => "ringing".to_owned(),
        TransferProgress::Answered => "answered".to_owned(),
        TransferProgress::Connected => "connected".to_owned(),
        TransferProgress::Failed(reason) => format!("failed {}", word(&reason)),
        TransferProgress::Ended => "ended".to_owned(),
    }
}

fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

fn status(status: CallStatus) -> Event {
    Event::Status {
        status,
        duration_ms: None,
        cause: None,
    }
}

fn completed(duration_ms: u64) -> Event {
    Event::Status {
        status: CallStatus::Completed,
        duration_ms: Some(duration_ms),
        cause: None,
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn hang_up_failed(retryable: bool) -> Event {
    Event::HangUpFailed {
        code: text("503"),
        message: text("try later"),
        retryable,
    }
}

#[test]
fn an_inbound_call_from_answer_to_goodbye() {
    let mut story = Story::inbound();
    assert_eq!(story.after_ms(20).tell(Event::WebhookAnswered), [""; 0]);
    assert_eq!(story.call.state(), State::Answered);
    assert_eq!(story.after_ms(200).tell(Event::MediaConnected), ["connect-agent"]);
    assert_eq!(story.after_ms(5).tell(Event::MediaStarted), [""; 0]);
    assert_eq!(story.after_ms(75).tell(Event::AgentConnected), ["start-agent"]);
    assert_eq!(story.call.state(), State::Connected);
    story.tell(Event::Dtmf {
        digit: Digit::new('5').unwrap(),
    });
    story.tell(Event::BargedIn { heard_ms: 640 });
    assert_eq!(
        story.after_ms(30_000).tell(Event::MediaStopped),
        ["close-agent caller_hung_up", "close-media"]
    );
    assert_eq!(story.call.state(), State::Ending);
    assert_eq!(
        story.after_ms(900).tell(completed(31_000)),
        ["finish completed caller_hung_up"]
    );
    assert_eq!(story.call.state(), State::Ended);
    assert_eq!(story.call.poll_timeout(), None);

    let outcome = story.outcome();
    assert_eq!(outcome.answered_at, Some(Monotonic::from_millis(20)));
    assert_eq!(outcome.ended_at, Monotonic::from_millis(30_300));
    assert_eq!(
        (outcome.duration_ms, outcome.carrier_duration_ms),
        (30_280, Some(31_000))
    );
    assert_eq!(outcome.carrier_status, Some(CallStatus::Completed));
    let summary = story.call.summary();
    assert_eq!((summary.digits, summary.barge_ins), (1, 1));
    assert_eq!(summary.agent_started_at, Some(Monotonic::from_millis(300)));
    assert_eq!(story.recorded.len(), 8);
    assert!(story.recorded.iter().all(|recorded| !recorded.late));
}

#[test]
fn an_outbound_call_that_the_agent_ends() {
    let mut story = Story::outbound();
    story.after_ms(150).tell(Event::Placed {
        provider_call_id: carrier_id(),
    });
    assert_eq!(story.call.state(), State::Dialing);
    story.tell(status(CallStatus::Initiated));
    story.after_ms(800).tell(status(CallStatus::Ringing));
    assert_eq!(story.call.state(), State::Ringing);
    story.after_ms(6_000).tell(status(CallStatus::InProgress));
    assert_eq!(story.call.state(), State::Answered);
    story.tell(Event::WebhookAnswered);
    story.tell(Event::AnsweredBy { by: AnsweredBy::Human });
    assert_eq!(story.tell(Event::MediaConnected), ["connect-agent"]);
    story.tell(Event::AgentConnected);
    assert_eq!(story.tell(Event::MediaStarted), ["start-agent"]);
    let hung_up = story.after_ms(10_000).tell(Event::AgentHungUp {
        reason: Some(text("said goodbye")),
    });
    assert_eq!(hung_up, ["hang-up 1", "close-agent agent_hung_up", "close-media"]);
    story.after_ms(120).tell(Event::HangUpDone { already_ended: false });
    assert_eq!(
        story.after_ms(400).tell(completed(10_000)),
        ["finish completed agent_hung_up"]
    );
    assert_eq!(story.outcome().duration_ms, 10_120);
    assert_eq!(story.outcome().detail.as_deref(), Some("said goodbye"));
    assert_eq!(story.call.summary().answered_by, Some(AnsweredBy::Human));
}

#[test]
fn an_agent_never_starts_while_the_call_rings() {
    let mut story = Story::ringing();
    // Early media: the socket is open and has audio before anybody answers.
    assert_eq!(story.tell(Event::MediaConnected), ["connect-agent"]);
    assert_eq!(story.tell(Event::MediaStarted), [""; 0]);
    assert_eq!(story.tell(Event::AgentConnected), [""; 0]);
    assert_eq!(
        story.after_ms(4_000).tell(status(CallStatus::InProgress)),
        ["start-agent"]
    );
}

#[test]
fn a_start_that_overtakes_its_socket_is_tolerated() {
    let mut story = Story::inbound();
    assert_eq!(story.tell(Event::MediaStarted), ["connect-agent"]);
    assert_eq!(story.verdict(Event::MediaConnected), (Verdict::Repeated, vec![]));
    story.tell(Event::AgentConnected);
    assert_eq!(story.tell(Event::WebhookAnswered), ["start-agent"]);
}

#[test]
fn media_that_never_begins_ends_the_call() {
    for connects in [false, true] {
        let mut story = Story::inbound();
        story.tell(Event::WebhookAnswered);
        if connects {
            story.tell(Event::MediaConnected);
            story.tell(Event::AgentConnected);
        }
        let ended = story.wait();
        assert_eq!(story.now, Monotonic::from_millis(30_000));
        assert_eq!(ended[0], "hang-up 1");
        story.tell(Event::HangUpDone { already_ended: false });
        assert_eq!(story.tell(completed(30_000)), ["finish failed media_timeout"]);
        assert_eq!(story.outcome().carrier_status, Some(CallStatus::Completed));
    }
}

#[test]
fn an_agent_out_of_reach_ends_the_call() {
    let reach = || {
        let mut story = Story::inbound();
        story.tell(Event::WebhookAnswered);
        story.tell(Event::MediaConnected);
        story.tell(Event::MediaStarted);
        story
    };
    let mut story = reach();
    assert_eq!(
        story.wait(),
        ["hang-up 1", "close-agent agent_unreachable", "close-media"]
    );
    assert_eq!(story.now, Monotonic::from_millis(5_000));
    assert_eq!(story.tell(Event::AgentConnected), [""; 0]);
    assert_eq!(story.tell(completed(5_000)), ["finish failed agent_unreachable"]);

    let mut story = reach();
    assert_eq!(
        story.tell(Event::AgentFailed {
            reason: text("refused")
        }),
        ["hang-up 1", "close-media"]
    );
    assert_eq!(story.tell(completed(5_000)), ["finish failed agent_unreachable"]);
    assert_eq!(story.outcome().detail.as_deref(), Some("refused"));
}

#[test]
fn an_agent_that_goes_takes_the_call_with_it() {
    let closed = |code| Event::AgentClosed {
        code,
        reason: String::new(),
    };
    let check = |event: Event, reason: &str, left_open: bool| {
        let mut story = Story::connected();
        let mut expected = vec![text("hang-up 1")];
        if left_open {
            expected.push(format!("close-agent {reason}"));
        }
        expected.push(text("close-media"));
        assert_eq!(story.tell(event), expected);
        story.tell(Event::HangUpDone { already_ended: false });
        story.tell(completed(1_000));
        assert_eq!(word(&story.outcome().reason), reason);
        let fault = reason != "agent_hung_up";
        assert_eq!(
            story.outcome().status,
            if fault {
                OutcomeStatus::Failed
            } else {
                OutcomeStatus::Completed
            }
        );
    };
    check(Event::AgentStalled, "agent_stalled", true);
    check(Event::AgentHungUp { reason: None }, "agent_hung_up", true);
    check(Event::AgentFailed { reason: text("reset") }, "agent_lost", false);
    check(closed(Some(1011)), "agent_lost", false);
    check(closed(None), "agent_lost", false);
    check(closed(Some(1000)), "agent_hung_up", false);
    check(closed(Some(1005)), "agent_hung_up", false);
}

#[test]
fn lost_media_is_hung_up_because_the_carrier_may_hold_the_call() {
    let mut story = Story::connected();
    let lost = story.tell(Event::MediaLost {
        reason: text("reset by peer"),
    });
    assert_eq!(lost, ["hang-up 1", "close-agent media_lost"]);
    story.tell(Event::HangUpDone { already_ended: false });
    assert_eq!(story.tell(completed(1_000)), ["finish failed media_lost"]);
}

#[test]
fn lost_media_of_a_call_that_was_over_is_a_goodbye() {
    let mut story = Story::connected();
    story.after_ms(2_000).tell(Event::MediaLost { reason: text("closed") });
    story.after_ms(300).tell(Event::HangUpDone { already_ended: true });
    assert_eq!(story.tell(completed(2_000)), ["finish completed caller_hung_up"]);
    assert_eq!(story.outcome().duration_ms, 2_000);
    assert_eq!(story.outcome().detail, None);
}

#[test]
fn a_carrier_that_was_away_with_the_media_has_lost_the_call() {
    let mut story = Story::connected();
    story.after_ms(2_000).tell(Event::MediaLost { reason: text("reset") });
    story.tell(Event::HangUpFailed {
        code: text("unreachable"),
        message: String::new(),
        retryable: true,
    });
    assert_eq!(story.wait(), ["hang-up 2"]);
    story.tell(Event::HangUpDone { already_ended: true });
    assert_eq!(story.tell(completed(2_000)), ["finish failed media_lost"]);
    assert_eq!(story.outcome().detail.as_deref(), Some("reset"));
}

#[test]
fn a_component_that_fails_ends_its_call() {
    let mut story = Story::connected();
    let failed = story.tell(Event::MediaFailed {
        reason: text("past its deadline"),
    });
    assert_eq!(failed, ["hang-up 1", "close-agent provider_fault", "close-media"]);
    story.tell(Event::HangUpDone { already_ended: false });
    assert_eq!(story.tell(completed(1_000)), ["finish failed provider_fault"]);
}

#[test]
fn without_a_callback_the_carrier_is_asked_once() {
    let mut story = Story::connected();
    story.tell(Event::MediaStopped);
    let stopped_at = story.now;
    assert_eq!(story.wait(), ["fetch-status"]);
    assert_eq!(story.now.since(stopped_at), Duration::from_secs(15));
    assert_eq!(story.tell(completed(1_000)), ["finish completed caller_hung_up"]);

    let mut story = Story::connected();
    story.tell(Event::MediaStopped);
    story.wait();
    let unavailable = Event::StatusUnavailable { reason: text("404") };
    assert_eq!(story.tell(unavailable), ["finish completed caller_hung_up"]);
    assert_eq!(story.outcome().carrier_status, None);

    let mut story = Story::connected();
    story.tell(Event::MediaStopped);
    story.wait();
    assert_eq!(story.wait(), ["finish completed caller_hung_up"]);
}

#[test]
fn a_call_that_the_carrier_still_holds_is_hung_up() {
    let mut story = Story::connected();
    story.tell(status(CallStatus::InProgress));
    story.tell(Event::MediaStopped);
    assert_eq!(story.wait(), ["fetch-status"]);
    assert_eq!(story.tell(status(CallStatus::InProgress)), ["hang-up 1"]);
    story.tell(Event::HangUpDone { already_ended: false });
    // It was asked once; now the call ends with what is known.
    assert_eq!(story.wait(), ["finish completed caller_hung_up"]);
}

#[test]
fn the_carriers_word_corrects_a_guess_but_not_a_fact() {
    let failed = Event::Status {
        status: CallStatus::Failed,
        duration_ms: None,
        cause: Some(text("SIP 503")),
    };
    let mut story = Story::connected();
    story.tell(Event::MediaStopped);
    assert_eq!(story.tell(failed.clone()), ["finish failed carrier_failed"]);
    assert_eq!(story.outcome().detail.as_deref(), Some("SIP 503"));

    let mut story = Story::connected();
    story.tell(Event::AgentHungUp { reason: None });
    assert_eq!(story.tell(failed), ["finish failed agent_hung_up"]);
}

#[test]
fn a_terminal_status_closes_what_is_open() {
    let mut story = Story::connected();
    let over = story.tell(completed(3_000));
    assert_eq!(
        over,
        [
            "close-agent caller_hung_up",
            "close-media",
            "finish completed caller_hung_up"
        ]
    );
    assert_eq!(story.verdict(Event::MediaStopped), (Verdict::Closed, vec![]));
}

#[test]
fn an_outbound_call_that_is_not_answered() {
    let check = |by: CallStatus, finish: &str| {
        let mut story = Story::ringing();
        assert_eq!(story.tell(status(by)), [finish]);
        assert_eq!((story.outcome().answered_at, story.outcome().duration_ms), (None, 0));
    };
    check(CallStatus::Busy, "finish busy busy");
    check(CallStatus::NoAnswer, "finish no-answer no_answer");
    check(CallStatus::Failed, "finish failed carrier_failed");
    check(CallStatus::Canceled, "finish canceled canceled");

    let mut story = Story::ringing();
    assert_eq!(story.wait(), ["hang-up 1"]);
    assert_eq!(story.now, Monotonic::from_millis(60_000));
    story.tell(Event::HangUpDone { already_ended: false });
    assert_eq!(story.tell(status(CallStatus::Canceled)), ["finish no-answer no_answer"]);
}

#[test]
fn a_caller_who_gives_up_before_the_answer() {
    let mut story = Story::inbound();
    assert_eq!(
        story.tell(status(CallStatus::Canceled)),
        ["finish canceled caller_hung_up"]
    );
}

#[test]
fn a_refused_call() {
    let mut story = Story::inbound();
    assert_eq!(
        story.tell(Event::Rejected {
            reason: text("no free slot")
        }),
        ["finish failed rejected"]
    );
    assert_eq!(
        Story::connected().verdict(Event::Rejected { reason: text("late") }).0,
        Verdict::Late
    );
}

#[test]
fn a_call_that_could_not_be_placed() {
    let failed = Event::PlaceFailed {
        code: text("21211"),
        message: text("invalid number"),
        retryable: false,
    };
    let mut story = Story::outbound();
    assert_eq!(story.tell(failed.clone()), ["finish failed place_failed"]);
    assert_eq!(story.outcome().detail.as_deref(), Some("21211: invalid number"));

    // The reply was lost, but the carrier's callback shows that there is a call.
    let mut story = Story::outbound();
    story.tell(Event::Identified {
        provider_call_id: carrier_id(),
    });
    story.tell(status(CallStatus::Ringing));
    assert_eq!(story.verdict(failed), (Verdict::Late, vec![]));
    assert_eq!(story.call.state(), State::Ringing);
}

#[test]
fn a_hang_up_before_the_call_has_a_name_waits_for_it() {
    let request = Event::HangUpRequested { by: Requester::Api };
    let mut story = Story::outbound();
    assert_eq!(story.tell(request.clone()), [""; 0]);
    assert_eq!(
        story.after_ms(800).tell(Event::Placed {
            provider_call_id: carrier_id()
        }),
        ["hang-up 1"]
    );
    story.tell(Event::HangUpDone { already_ended: false });
    assert_eq!(
        story.tell(status(CallStatus::Canceled)),
        ["finish canceled api_request"]
    );

    let mut story = Story::outbound();
    story.tell(request.clone());
    let failed = Event::PlaceFailed {
        code: text("timeout"),
        message: String::new(),
        retryable: true,
    };
    assert_eq!(story.tell(failed), ["finish canceled api_request"]);

    let mut story = Story::outbound();
    story.after_ms(1_000).tell(request);
    assert_eq!(story.wait(), ["finish canceled api_request"]);
    assert_eq!(story.now, Monotonic::from_millis(30_000));
}

#[test]
fn a_placement_without_an_answer_is_bounded() {
    let mut story = Story::outbound();
    assert_eq!(story.wait(), [""; 0]);
    assert_eq!(
        story.after_ms(1).tell(Event::Placed {
            provider_call_id: carrier_id()
        }),
        ["hang-up 1"]
    );

    let mut story = Story::outbound();
    story.wait();
    assert_eq!(story.wait(), ["finish failed setup_timeout"]);
}

#[test]
fn hang_ups_are_repeated_only_if_that_can_help() {
    let mut story = Story::connected();
    story.tell(Event::HangUpRequested {
        by: Requester::Operator,
    });
    let from = story.now;
    assert_eq!(story.tell(hang_up_failed(true)), [""; 0]);
    // A limit of requests in ten seconds, as a carrier has, is outlasted.
    for (attempt, at_ms) in [(2, 500), (3, 1_500), (4, 3_500), (5, 7_500), (6, 15_500)] {
        assert_eq!(story.wait(), [format!("hang-up {attempt}")]);
        assert_eq!(story.now.since(from), Duration::from_millis(at_ms));
        story.tell(hang_up_failed(true));
    }
    // That is enough. The carrier is asked, and the call closed.
    assert_eq!(story.wait(), ["fetch-status"]);
    assert_eq!(
        story.tell(status(CallStatus::InProgress)),
        ["finish completed operator_request"]
    );

    let mut story = Story::connected();
    story.tell(Event::HangUpRequested { by: Requester::Api });
    story.tell(hang_up_failed(false));
    assert_eq!(story.wait(), ["fetch-status"]);

    // No reply at all is not a failure: the hang-up may have been carried out.
    let mut story = Story::connected();
    story.tell(Event::HangUpRequested { by: Requester::Api });
    assert_eq!(story.wait(), [""; 0]);
    assert_eq!(story.wait(), ["fetch-status"]);
}

#[test]
fn a_forgotten_call_is_ended() {
    let mut story = Story::connected();
    assert_eq!(story.wait(), ["hang-up 1", "close-agent duration_limit", "close-media"]);
    assert_eq!(story.now, Monotonic::from_millis(100 + 4 * 3_600_000));
    story.tell(Event::HangUpDone { already_ended: false });
    assert_eq!(story.tell(completed(14_400_000)), ["finish completed duration_limit"]);
}

#[test]
fn shutdown_ends_the_call_when_the_server_says_so() {
    let mut story = Story::connected();
    let ended = story.tell(Event::ShutdownRequested);
    assert_eq!(ended, ["hang-up 1", "close-agent shutdown", "close-media"]);
    assert_eq!(story.verdict(Event::ShutdownRequested).0, Verdict::Late);
    story.tell(Event::HangUpDone { already_ended: false });
    assert_eq!(story.tell(completed(1)), ["finish completed shutdown"]);
}

#[test]
fn statuses_are_recorded_once_and_never_go_back() {
    let mut story = Story::ringing();
    story.tell(status(CallStatus::InProgress));
    assert_eq!(story.verdict(status(CallStatus::InProgress)).0, Verdict::Repeated);
    assert_eq!(story.verdict(status(CallStatus::Ringing)).0, Verdict::Repeated);
    assert_eq!(story.verdict(status(CallStatus::Initiated)).0, Verdict::Late);
    assert_eq!(story.call.state(), State::Answered);
    let told: Vec<_> = story
        .recorded
        .iter()
        .map(|recorded| (word_of(&recorded.event), recorded.late))
        .collect();
    let expected = [
        ("placed", false),
        ("ringing", false),
        ("in-progress", false),
        ("initiated", true),
    ];
    assert_eq!(told, expected.map(|(word, late)| (text(word), late)));
}

fn word_of(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap();
    json.get("status").unwrap_or(&json["type"]).as_str().unwrap().to_owned()
}

#[test]
fn a_failure_after_the_completion_does_not_overwrite_it() {
    let setup = Setup {
        fetch_cost: true,
        ..inbound_setup()
    };
    let mut story = Story::of(Call::inbound(setup, Monotonic::ZERO));
    story.tell(Event::WebhookAnswered);
    let completed_without = status(CallStatus::Completed);
    assert_eq!(story.tell(completed_without), ["fetch-cost"]);
    assert_eq!(story.verdict(status(CallStatus::Failed)).0, Verdict::Late);
    // The same end again, this time with its duration.
    assert_eq!(story.verdict(completed(2_000)).0, Verdict::Repeated);
    let cost = Cost {
        amount: text("-0.0085"),
        currency: text("USD"),
    };
    assert_eq!(
        story.tell(Event::CostKnown { cost: cost.clone() }),
        ["finish completed caller_hung_up"]
    );
    assert_eq!(story.outcome().carrier_duration_ms, Some(2_000));
    assert_eq!(story.call.summary().cost, Some(cost));
}

#[test]
fn the_cost_is_asked_for_only_when_there_may_be_one() {
    let with_cost = |setup: Setup| Setup {
        fetch_cost: true,
        ..setup
    };
    let mut story = Story::of(Call::inbound(with_cost(inbound_setup()), Monotonic::ZERO));
    assert_eq!(
        story.tell(status(CallStatus::Canceled)),
        ["finish canceled caller_hung_up"]
    );

    let answered = || {
        let mut story = Story::of(Call::inbound(with_cost(inbound_setup()), Monotonic::ZERO));
        story.tell(Event::WebhookAnswered);
        story
    };
    let mut story = answered();
    story.tell(Event::CostKnown {
        cost: Cost {
            amount: text("1"),
            currency: text("EUR"),
        },
    });
    assert_eq!(story.tell(completed(1)), ["finish completed caller_hung_up"]);

    let mut story = answered();
    story.tell(completed(1));
    assert_eq!(
        story.tell(Event::CostUnavailable {
            reason: text("not yet")
        }),
        ["finish completed caller_hung_up"]
    );

    let mut story = answered();
    story.tell(completed(1));
    assert_eq!(story.wait(), ["finish completed caller_hung_up"]);
}

#[test]
fn media_that_arrives_at_a_call_that_ends_is_closed() {
    let mut story = Story::inbound();
    story.tell(Event::WebhookAnswered);
    story.tell(Event::HangUpRequested { by: Requester::Api });
    assert_eq!(
        story.verdict(Event::MediaConnected),
        (Verdict::Late, vec![text("close-media")])
    );
    assert_eq!(story.tell(Event::MediaStarted), [""; 0]);
}

#[test]
fn the_record_is_bounded() {
    let limits = Limits {
        records_max: 3,
        ..Limits::default()
    };
    let mut story = Story::of(Call::inbound(
        Setup {
            limits,
            ..inbound_setup()
        },
        Monotonic::ZERO,
    ));
    for _ in 0..10 {
        story.tell(Event::Dtmf {
            digit: Digit::new('#').unwrap(),
        });
    }
    assert_eq!(story.recorded.len(), 3);
    assert_eq!(
        (story.call.summary().digits, story.call.summary().records_dropped),
        (10, 7)
    );
}

#[test]
fn details_are_bounded() {
    let mut story = Story::connected();
    story.tell(Event::MediaFailed {
        reason: "é".repeat(10_000),
    });
    story.tell(completed(1));
    assert_eq!(
        story.outcome().detail.as_ref().unwrap().chars().count(),
        DETAIL_CHARS_MAX
    );
}

#[test]
fn events_are_stored_in_the_fields_words() {
    let json = |event: &Event| serde_json::to_string(event).unwrap();
    assert_eq!(json(&Event::MediaConnected), r#"{"type":"media_connected"}"#);
    let no_answer = Event::Status {
        status: CallStatus::NoAnswer,
        duration_ms: Some(5),
        cause: None,
    };
    assert_eq!(
        json(&no_answer),
        r#"{"type":"status","status":"no-answer","duration_ms":5,"cause":null}"#
    );
    let dtmf = Event::Dtmf {
        digit: Digit::new('a').unwrap(),
    };
    assert_eq!(json(&dtmf), r#"{"type":"dtmf","digit":"A"}"#);
    assert_eq!(format!("{dtmf:?}"), "Dtmf { digit: Digit(•) }");
    assert_eq!(serde_json::from_str::<Event>(&json(&dtmf)).unwrap(), dtmf);
    assert!(serde_json::from_str::<Event>(r#"{"type":"dtmf","digit":"x"}"#).is_err());
}

/// What can happen at random: an event, or the passing of some time, or of all the time until the next timer.
#[derive(Debug, Clone)]
enum Step {
    Happens(Event),
    PassesMs(u64),
    Expires,
}

fn any_event() -> impl Strategy<Value = Event> {
    let id =
        || prop_oneof![Just("CA0123456789abcdef"), Just("another")].prop_map(|id| ProviderCallId::new(id).unwrap());
    let any_status = prop_oneof![
        Just(CallStatus::Initiated),
        Just(CallStatus::Ringing),
        Just(CallStatus::InProgress),
        Just(CallStatus::Completed),
        Just(CallStatus::Failed),
        Just(CallStatus::Busy),
        Just(CallStatus::NoAnswer),
        Just(CallStatus::Canceled),
    ];
    let plain = proptest::sample::select(vec![
        Event::WebhookAnswered,
        Event::Rejected { reason: text("full") },
        Event::PlaceFailed {
            code: text("x"),
            message: text("y"),
            retryable: true,
        },
        Event::StatusUnavailable { reason: text("x") },
        Event::AnsweredBy {
            by: AnsweredBy::Machine,
        },
        Event::MediaStopped,
        Event::MediaLost { reason: text("x") },
        Event::MediaFailed { reason: text("x") },
        Event::AgentFailed { reason: text("x") },
        Event::AgentClosed {
            code: None,
            reason: text("x"),
        },
        Event::AgentStalled,
        Event::AgentHungUp { reason: None },
        Event::BargedIn { heard_ms: 3 },
        Event::HangUpRequested { by: Requester::Api },
        Event::ShutdownRequested,
        Event::CostKnown {
            cost: Cost {
                amount: text("1"),
                currency: text("EUR"),
            },
        },
        Event::CostUnavailable { reason: text("x") },
    ]);
    // What leads on into a call is more likely than what ends it, or few sequences would get far.
    let progress = proptest::sample::select(vec![
        Event::WebhookAnswered,
        Event::MediaConnected,
        Event::MediaStarted,
        Event::AgentConnected,
    ]);
    prop_oneof![
        4 => progress,
        2 => plain,
        1 => id().prop_map(|provider_call_id| Event::Placed { provider_call_id }),
        1 => id().prop_map(|provider_call_id| Event::Identified { provider_call_id }),
        2 => (any_status, proptest::option::of(0..9_000_u64))
            .prop_map(|(status, duration_ms)| Event::Status { status, duration_ms, cause: None }),
        3 => any_transfer_event(),
        1 => any::<bool>().prop_map(|already_ended| Event::HangUpDone { already_ended }),
        1 => any::<bool>().prop_map(hang_up_failed),
    ]
}

fn any_transfer_event() -> impl Strategy<Value = Event> {
    let transfer = prop_oneof![4 => Just(transfers::FIRST), 1 => Just(transfers::SECOND)]
        .prop_map(|id| TransferId::parse(id).unwrap());
    (transfer, 0..11_u8).prop_map(|(transfer, which)| {
        let status = |status| Event::TransferStatus {
            transfer: transfer.clone(),
            status,
            cause: None,
        };
        let (code, message) = (text("x"), text("y"));
        match which {
            0..=2 => Event::TransferRequested {
                transfer,
                ring_timeout_ms: 30_000,
            },
            3 => Event::TransferCanceled { transfer },
            4 => Event::TransferIdentified { transfer },
            5 => Event::TransferDialFailed {
                transfer,
                code,
                message,
                refused: false,
            },
            6 => Event::TransferConnected { transfer },
            7 => Event::TransferConnectFailed {
                transfer,
                code,
                message,
            },
            8 => status(CallStatus::Ringing),
            9 => status(CallStatus::InProgress),
            _ => status(CallStatus::Completed),
        }
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any_event().prop_map(Step::Happens),
        1 => (0..20_000_u64).prop_map(Step::PassesMs),
        1 => Just(Step::Expires),
    ]
}

/// What must hold whatever happens, checked as the actions come.
#[derive(Default)]
struct Watch {
    answered: bool,
    media_started: bool,
    connects: u32,
    starts: u32,
    hang_ups: u32,
    fetches: u32,
    media_closes: u32,
    agent_closes: u32,
    finishes: u32,
    dials: u32,
    joins: u32,
    connected: bool,
    last_entry: Monotonic,
    statuses: Vec<CallStatus>,
}

impl Watch {
    fn see(&mut self, action: Action, now: Monotonic) {
        assert_eq!(self.finishes, 0, "nothing comes after Finish, not even {action:?}");
        match action {
            Action::Record(Recorded { at, event, .. }) => {
                assert!(at >= self.last_entry && at <= now, "entries are in order");
                self.last_entry = at;
                match event {
                    Event::WebhookAnswered => self.answered = true,
                    Event::MediaStarted => self.media_started = true,
                    Event::Status { status, .. } => {
                        assert!(!self.statuses.contains(&status), "{status:?} is recorded once");
                        self.answered |= status == CallStatus::InProgress;
                        self.statuses.push(status);
                    }
                    _ => {}
                }
            }
            Action::ConnectAgent => self.connects += 1,
            Action::StartAgent => {
                assert!(
                    self.answered && self.media_started,
                    "an agent starts in a call that is answered and has audio"
                );
                self.starts += 1;
            }
            Action::HangUp { attempt, .. } => {
                self.hang_ups += 1;
                assert_eq!(attempt, self.hang_ups);
            }
            Action::FetchStatus { .. } => self.fetches += 1,
            Action::FetchCost { .. } => {}
            Action::CloseMedia => self.media_closes += 1,
            Action::CloseAgent { .. } => self.agent_closes += 1,
            Action::DialDestination { .. } => self.dials += 1,
            Action::ConnectTransfer { .. } => {
                self.joins += 1;
                assert!(self.joins <= self.dials, "one answer is taken of each leg");
            }
            Action::CancelTransfer { .. } => {}
            Action::TransferChanged { progress, .. } => {
                assert!(!self.connected || progress == TransferProgress::Ended, "{progress:?}");
                self.connected |= progress == TransferProgress::Connected;
            }
            Action::Finish(_) => self.finishes += 1,
        }
        let once = [
            self.connects,
            self.starts,
            self.fetches,
            self.media_closes,
            self.agent_closes,
            self.finishes,
        ];
        assert!(once.iter().all(|times| *times <= 1), "{once:?}");
        assert!(self.agent_closes <= self.connects);
        assert!(self.hang_ups <= Limits::default().hang_up_attempts_max);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_call_ends_once(
        outbound: bool,
        fetch_cost: bool,
        known: bool,
        steps in proptest::collection::vec(any_step(), 0..40),
        drains_rarely: bool,
        refuses: bool,
    ) {
        let provider_call_id = known.then(carrier_id);
        let setup = Setup { fetch_cost, provider_call_id, ..outbound_setup() };
        let mut now = Monotonic::from_millis(5);
        let mut call = if outbound { Call::outbound(setup, now) } else { Call::inbound(setup, now) };
        let mut watch = Watch::default();
        let mut furthest = call.state();

        for step in steps {
            match step {
                Step::Happens(event) => {
                    call.handle_event(event, now);
                }
                Step::PassesMs(ms) => {
                    now = now + Duration::from_millis(ms);
                    call.handle_timeout(now);
                }
                Step::Expires => {
                    now = call.poll_timeout().unwrap_or(now).max(now);
                    call.handle_timeout(now);
                }
            }
            prop_assert!(call.state() >= furthest, "{:?} after {furthest:?}", call.state());
            furthest = call.state();
            prop_assert_eq!(call.poll_timeout().is_none(), call.state() == State::Ended);
            if !drains_rarely {
                while let Some(action) = call.poll_action() {
                    watch.see(action, now);
                }
            }
        }

        // Then nothing more happens, or only refusals of each hang-up, and time alone ends the call.
        let mut wakes = 0;
        loop {
            while let Some(action) = call.poll_action() {
                let hangs_up = matches!(action, Action::HangUp { .. });
                watch.see(action, now);
                if hangs_up && refuses {
                    call.handle_event(hang_up_failed(true), now);
                }
            }
            let Some(at) = call.poll_timeout() else { break };
            wakes += 1;
            prop_assert!(wakes < 20, "the end is near");
            now = now.max(at);
            call.handle_timeout(now);
        }
        prop_assert_eq!(watch.finishes, 1);
        let outcome = call.outcome().unwrap();
        prop_assert!(outcome.ended_at <= now);
        prop_assert!(outcome.answered_at.is_none_or(|answered_at| answered_at <= outcome.ended_at));
        prop_assert_eq!(call.handle_event(Event::WebhookAnswered, now), Verdict::Closed);
        prop_assert_eq!(call.poll_action(), None);
    }
}
