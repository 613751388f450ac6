use super::*;
use crate::wire::Encoding;
use proptest::prelude::*;

const WIRE: WireFormat = WireFormat::new(Encoding::L16Le, SampleRate::Hz8000);
const RATE: SampleRate = SampleRate::Hz8000;
/// Not zero, so that nothing passes by treating the origin as the start.
const START_MS: u64 = 5_000;

/// A playout with its driver, a clock in milliseconds since the start, and all that happened.
struct Rig {
    playout: Playout,
    now_ms: u64,
    /// Time in ms and position of each frame.
    frames: Vec<(u64, u64)>,
    pcm: Vec<i16>,
    /// Time in ms, and `>name` for a mark to the carrier, `name` for one that was played.
    marks: Vec<(u64, String)>,
}

impl Rig {
    fn new(config: PlayoutConfig) -> Self {
        let playout = Playout::new(config, at(0));
        Self {
            playout,
            now_ms: 0,
            frames: Vec::new(),
            pcm: Vec::new(),
            marks: Vec::new(),
        }
    }

    fn same_rate() -> Self {
        Self::new(PlayoutConfig::new(WIRE, RATE))
    }

    fn host_timed() -> Self {
        Self::new(PlayoutConfig {
            marks: MarkMode::HostTimed,
            ..PlayoutConfig::new(WIRE, RATE)
        })
    }

    fn say(&mut self, ms: u32) {
        let rate = self.playout.config.agent_rate;
        self.playout.push_audio(&vec![1_000; rate.samples_in_ms(ms)]).unwrap();
        self.poll();
    }

    fn mark(&mut self, name: &str) {
        self.playout.push_mark(name).unwrap();
        self.poll();
    }

    fn echo(&mut self, name: &str) {
        self.playout.handle_mark_echo(name, at(self.now_ms));
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(event) = self.playout.poll(at(self.now_ms)) {
            match event {
                PlayoutEvent::Frame(frame) => {
                    assert_eq!((frame.pcm.len(), frame.payload.len()), (160, 320));
                    self.frames.push((self.now_ms, frame.position));
                    self.pcm.extend_from_slice(frame.pcm);
                }
                PlayoutEvent::Mark(name) => self.marks.push((self.now_ms, format!(">{name}"))),
                PlayoutEvent::MarkPlayed(name) => self.marks.push((self.now_ms, name)),
            }
        }
    }

    /// Follows `next_wake` until `ms`, as a driver does, with times rounded up to the milliseconds that the tests speak of.
    fn run_to(&mut self, ms: u64) {
        while let Some(wake) = self.playout.next_wake() {
            let wake_ms = (wake.as_micros().div_ceil(1_000)).saturating_sub(START_MS);
            if wake_ms > ms {
                break;
            }
            assert!(
                wake_ms > self.now_ms,
                "a drained playout wants to be polled at {wake_ms} again"
            );
            self.now_ms = wake_ms;
            self.poll();
        }
        self.now_ms = ms;
    }

    fn clear(&mut self) -> Cleared {
        self.playout.clear(at(self.now_ms))
    }

    fn frame_times(&self) -> Vec<u64> {
        self.frames.iter().map(|frame| frame.0).collect()
    }

    fn marks(&self) -> Vec<(u64, &str)> {
        self.marks.iter().map(|(ms, name)| (*ms, name.as_str())).collect()
    }
}

fn at(ms: u64) -> Monotonic {
    Monotonic::from_micros((START_MS + ms) * 1_000)
}

#[test]
fn a_burst_leaves_on_the_grid_with_a_bounded_lead() {
    let mut rig = Rig::same_rate();
    rig.say(300);
    assert_eq!(rig.frame_times(), [0; 5]);
    rig.run_to(1_000);
    let expected: Vec<u64> = [0; 5].into_iter().chain((1..=10).map(|n| n * 20)).collect();
    assert_eq!(rig.frame_times(), expected);
    // On the carrier's time line the frames are contiguous.
    assert!(
        rig.frames
            .iter()
            .enumerate()
            .all(|(n, frame)| frame.1 == n as u64 * 160)
    );
    assert!(rig.playout.is_idle(at(300)) && !rig.playout.is_idle(at(299)));
    assert_eq!(rig.playout.next_wake(), None);
}

#[test]
fn a_late_poll_catches_up_and_no_further() {
    let mut rig = Rig::same_rate();
    rig.say(1_000);
    rig.now_ms = 47;
    rig.poll();
    // At 47 ms the carrier has 53 ms; two frames fit under 100, a third does not.
    assert_eq!(rig.frames.len(), 7);
    // So late that the carrier ran dry: it starts anew from now, and the position says so.
    rig.now_ms = 500;
    rig.poll();
    assert_eq!(rig.frames.len(), 12);
    assert_eq!(rig.frames[7], (500, 4_000));
}

#[test]
fn the_tail_is_padded_once_nothing_more_comes() {
    let mut rig = Rig::same_rate();
    rig.say(50);
    assert_eq!(rig.frames.len(), 2);
    rig.run_to(1_000);
    // The next 50 ms would have been due at 50; one frame later they are missed.
    assert_eq!(rig.frame_times(), [0, 0, 70]);
    assert_eq!(rig.pcm[479], 0);
    assert_eq!(rig.pcm[399], 1_000);
    assert_eq!(rig.playout.played_ms(at(1_000)), 50);
    assert!(rig.playout.is_idle(at(1_000)));
}

#[test]
fn chunks_that_do_not_fit_frames_are_not_padded_in_between() {
    // Real time in chunks of 30 ms, some of them late, then a burst of odd sizes.
    let mut rig = Rig::same_rate();
    for n in 0..20 {
        rig.run_to(n * 30 + (n % 3) * 4);
        rig.say(30);
    }
    for ms in [33, 71, 16] {
        rig.say(ms);
    }
    rig.run_to(2_000);
    assert_eq!(rig.pcm.iter().filter(|sample| **sample == 0).count(), 0);
    assert_eq!(rig.pcm.len(), 8 * 720);
}

#[test]
fn the_tail_of_the_resampler_is_heard_too() {
    let mut rig = Rig::new(PlayoutConfig::new(WIRE, SampleRate::Hz24000));
    rig.say(40);
    rig.run_to(1_000);
    assert_eq!(rig.frames.len(), 3);
    let sum: i64 = rig.pcm.iter().map(|sample| i64::from(*sample)).sum();
    // 40 ms of 1000, whatever the filter's edges look like.
    assert!((sum - 320_000).abs() < 1_000, "{sum}");
    assert_eq!(rig.playout.played_ms(at(1_000)), 40);
}

#[test]
fn a_full_queue_takes_nothing() {
    let mut rig = Rig::new(PlayoutConfig {
        queue_ms_max: 200,
        ..PlayoutConfig::new(WIRE, RATE)
    });
    rig.say(100);
    rig.say(200);
    let refused = rig.playout.push_audio(&[0; 8]);
    assert_eq!(
        refused,
        Err(QueueFull::Audio {
            queued_ms: 200,
            queue_ms_max: 200
        })
    );
    rig.run_to(20);
    rig.say(1);
    for n in 0..MARKS_MAX {
        rig.playout.push_mark(n.to_string()).unwrap();
    }
    assert_eq!(rig.playout.push_mark("one too many"), Err(QueueFull::Marks));
    assert_eq!(rig.clear().marks.len(), MARKS_MAX);
}

#[test]
fn marks_go_to_the_carrier_in_their_place_and_its_echo_to_the_agent() {
    let mut rig = Rig::same_rate();
    rig.mark("hello");
    rig.say(30);
    rig.mark("a");
    rig.say(170);
    rig.mark("b");
    rig.run_to(40);
    rig.echo("hello");
    // "a" lies in the second frame, which left at once; "b" leaves with the tenth, at 100 ms.
    assert_eq!(rig.marks(), [(0, ">hello"), (0, ">a"), (40, "hello")]);
    rig.run_to(75);
    rig.echo("a");
    rig.run_to(230);
    rig.echo("b");
    assert_eq!(rig.marks()[3..], [(75, "a"), (100, ">b"), (230, "b")]);
    assert!(rig.playout.is_idle(at(230)));
}

#[test]
fn an_echo_before_its_time_is_not_believed_and_a_missing_one_not_waited_for() {
    let mut rig = Rig::same_rate();
    rig.say(200);
    rig.mark("early");
    rig.run_to(105);
    rig.echo("early");
    assert_eq!(rig.playout.played_ms(at(105)), 105);
    rig.run_to(1_000);
    assert_eq!(rig.marks(), [(100, ">early"), (200, "early")]);

    rig.say(20);
    rig.mark("never");
    rig.run_to(5_000);
    assert_eq!(rig.marks()[2..], [(1_000, ">never"), (3_020, "never")]);
    rig.echo("never");
    assert_eq!(rig.marks.len(), 4);
}

#[test]
fn an_echo_vouches_for_the_marks_before_it() {
    let mut rig = Rig::same_rate();
    rig.say(20);
    rig.mark("a");
    rig.say(20);
    rig.mark("b");
    rig.run_to(60);
    rig.echo("b");
    assert_eq!(rig.marks()[2..], [(60, "a"), (60, "b")]);
}

#[test]
fn without_echoes_the_pacing_clock_times_marks() {
    let mut rig = Rig::host_timed();
    rig.say(250);
    rig.mark("end");
    rig.mark("also");
    rig.run_to(1_000);
    assert_eq!(rig.marks(), [(250, "end"), (250, "also")]);
    // With everything heard a mark is played at once.
    rig.mark("now");
    assert_eq!(rig.marks()[2..], [(1_000, "now")]);
}

#[test]
fn a_barge_in_drops_what_was_not_heard_and_says_what_was() {
    let mut rig = Rig::same_rate();
    rig.say(500);
    rig.mark("sentence");
    rig.say(500);
    rig.mark("end");
    rig.run_to(333);
    let cleared = rig.clear();
    assert_eq!(
        cleared,
        Cleared {
            heard_ms: 333,
            dropped_ms: 667,
            marks: vec!["sentence".into(), "end".into()],
            position: 333 * 8,
        }
    );
    assert!(rig.playout.is_idle(at(333)));
    assert_eq!((rig.playout.next_wake(), rig.playout.queued_ms()), (None, 0));
    // Speech after it starts at once and is counted from zero.
    let before = rig.frames.len();
    rig.run_to(340);
    rig.say(200);
    assert_eq!(rig.frames[before..], [340, 360, 380, 400, 420].map(|ms| (340, ms * 8)));
    rig.run_to(400);
    assert_eq!(rig.playout.played_ms(at(400)), 333 + 60);
    assert_eq!(rig.clear().heard_ms, 60);
    assert_eq!(
        rig.clear(),
        Cleared {
            position: 400 * 8,
            ..Cleared::default()
        }
    );
}

#[test]
fn pauses_and_padding_do_not_count_as_heard() {
    let mut rig = Rig::same_rate();
    rig.say(30);
    rig.run_to(45);
    // Still the same utterance, although the carrier will run dry for a moment before this.
    rig.say(35);
    rig.run_to(55);
    // 20 ms were heard by 20; the second frame started at 45.
    assert_eq!(rig.playout.played_ms(at(55)), 30);
    let cleared = rig.clear();
    assert_eq!((cleared.heard_ms, cleared.dropped_ms), (30, 35));
}

#[test]
fn an_utterance_begins_when_all_before_it_was_heard_or_when_told() {
    let mut rig = Rig::same_rate();
    rig.say(100);
    rig.run_to(500);
    rig.say(100);
    rig.run_to(530);
    assert_eq!(rig.clear().heard_ms, 30);

    rig.say(60);
    rig.playout.begin_utterance();
    rig.say(100);
    rig.run_to(550);
    let cleared = rig.clear();
    assert_eq!((cleared.heard_ms, cleared.dropped_ms), (0, 100));
    assert_eq!(rig.playout.played_ms(at(550)), 100 + 30 + 20);
}

#[test]
fn heard_is_exact_through_the_resampler() {
    for agent_rate in SampleRate::ALL {
        let mut rig = Rig::new(PlayoutConfig::new(WIRE, agent_rate));
        rig.say(1_000);
        rig.run_to(333);
        // The filter's 2.4 ms are not yet heard.
        let expected = if agent_rate == RATE { 333 } else { 330 };
        let cleared = rig.clear();
        assert_eq!(
            (cleared.heard_ms, cleared.heard_ms + cleared.dropped_ms),
            (expected, 1_000),
            "{agent_rate:?}"
        );
        // No sound of what was dropped comes out of the filter later.
        rig.pcm.clear();
        let silence = vec![0; agent_rate.samples_in_ms(100)];
        rig.playout.push_audio(&silence).unwrap();
        rig.poll();
        rig.run_to(1_000);
        assert!(rig.pcm.iter().all(|sample| *sample == 0));
    }
}

#[test]
fn echoes_show_how_late_the_carrier_plays() {
    let mut rig = Rig::same_rate();
    rig.say(100);
    rig.mark("a");
    rig.say(900);
    rig.run_to(180);
    rig.echo("a");
    // It was due at 100, so hearing lags 80 ms behind; what the echo vouches for is heard in any case.
    assert_eq!(rig.playout.played_ms(at(180)), 100);
    assert_eq!(rig.playout.played_ms(at(280)), 200);
    rig.run_to(280);
    assert_eq!(rig.clear().heard_ms, 200);
}

#[test]
fn a_carrier_that_cannot_clear_plays_what_it_has() {
    let config = PlayoutConfig {
        carrier_clears: false,
        ..PlayoutConfig::new(WIRE, RATE)
    };
    let mut rig = Rig::new(config);
    rig.say(500);
    rig.run_to(210);
    let cleared = rig.clear();
    assert_eq!(
        (cleared.heard_ms, cleared.dropped_ms, cleared.position),
        (300, 200, 300 * 8)
    );
    // New speech queues up behind it, within the same bound.
    let before = rig.frames.len();
    rig.say(100);
    rig.run_to(300);
    assert_eq!(rig.frames[before], (220, 300 * 8));
}

#[test]
fn a_paused_playout_sends_nothing_and_resumes_from_the_present() {
    let mut rig = Rig::same_rate();
    rig.say(300);
    rig.mark("end");
    rig.playout.pause();
    rig.run_to(500);
    assert_eq!((rig.frames.len(), rig.playout.next_wake()), (5, None));
    rig.playout.resume();
    rig.poll();
    assert_eq!(rig.frames.len(), 10);
    assert_eq!(rig.frames[5], (500, 4_000));
    rig.run_to(800);
    assert_eq!(rig.marks(), [(600, ">end")]);
}

#[test]
fn memory_of_a_long_utterance_is_given_back() {
    let mut rig = Rig::same_rate();
    rig.say(60_000);
    assert!(rig.playout.queue.capacity() >= 8 * 60_000 - 800);
    rig.run_to(61_000);
    assert!(rig.playout.queue.capacity() <= 8 * KEPT_MS as usize);
    assert_eq!(rig.frames.len(), 3_000);
}

#[derive(Clone, Debug)]
enum Step {
    Say(u32),
    Mark,
    Echo,
    Wait(u64),
    Stall(u64),
    Clear,
    Pause,
    Resume,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..400_u32).prop_map(Step::Say),
        2 => Just(Step::Mark),
        2 => Just(Step::Echo),
        4 => (1..300_u64).prop_map(Step::Wait),
        1 => (1..300_u64).prop_map(Step::Stall),
        1 => Just(Step::Clear),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_the_bounds_hold_and_the_books_balance(
        steps in steps(),
        agent_rate in prop::sample::select(&SampleRate::ALL[..]),
        host_timed: bool,
        ahead_ms_max in 0..200_u32,
    ) {
        let marks = if host_timed { MarkMode::HostTimed } else { MarkMode::CarrierEchoes };
        let mut rig = Rig::new(PlayoutConfig { marks, ahead_ms_max, ..PlayoutConfig::new(WIRE, agent_rate) });
        let (mut said_ms, mut dropped_ms, mut marks_set, mut marks_cleared) = (0, 0, 0, 0);
        // Positions from a clear on may repeat those of frames that the clear took back.
        let mut segment = 0;
        for step in steps {
            match step {
                Step::Say(ms) => { rig.say(ms); said_ms += u64::from(ms); }
                Step::Mark => { rig.mark(&marks_set.to_string()); marks_set += 1; }
                Step::Echo => {
                    let sent = rig.marks.iter().rev().find_map(|(_, name)| name.strip_prefix('>').map(String::from));
                    rig.echo(&sent.unwrap_or_default());
                }
                Step::Wait(ms) => rig.run_to(rig.now_ms + ms),
                Step::Stall(ms) => { rig.now_ms += ms; rig.poll(); }
                Step::Clear => {
                    let played = rig.playout.played_ms(at(rig.now_ms));
                    let cleared = rig.clear();
                    prop_assert!(rig.playout.is_idle(at(rig.now_ms)));
                    prop_assert_eq!(rig.playout.played_ms(at(rig.now_ms)), played);
                    dropped_ms = said_ms - played;
                    prop_assert!(cleared.dropped_ms <= dropped_ms);
                    marks_cleared += cleared.marks.len();
                    segment = rig.frames.len();
                }
                Step::Pause => rig.playout.pause(),
                Step::Resume => { rig.playout.resume(); rig.poll(); }
            }
            prop_assert!(rig.frames[segment..].is_sorted_by(|a, b| a.1 + 160 <= b.1));
            for (time, position) in &rig.frames[segment..] {
                // Played no earlier than sent, and at most the allowed lead later.
                prop_assert!(*position >= time * 8);
                prop_assert!(position + 160 <= (time + u64::from(ahead_ms_max.max(20))) * 8);
            }
            prop_assert!(rig.playout.played_ms(at(rig.now_ms)) <= said_ms);
        }
        rig.playout.resume();
        rig.poll();
        rig.run_to(rig.now_ms + said_ms + 10_000);
        prop_assert!(rig.playout.is_idle(at(rig.now_ms)));
        prop_assert_eq!(rig.playout.next_wake(), None);
        // Everything that was not dropped has been heard in the end, and every mark accounted for once.
        prop_assert_eq!(rig.playout.played_ms(at(rig.now_ms)), said_ms - dropped_ms);
        let played = rig.marks.iter().filter(|(_, name)| !name.starts_with('>')).count();
        prop_assert_eq!(played + marks_cleared, marks_set);
    }
}
