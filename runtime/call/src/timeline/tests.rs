//! The picture is read back as XML; its looks are for eyes.

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event as Xml;

use super::*;

/// A call of 24 s with two utterances, a barge-in and a hang-up, such as one sees every day.
fn example() -> Timeline {
    let utterances = [(1_450, 6_300), (9_700, 12_480), (15_100, 21_000)];
    let speaks = [(6_900, 9_050), (12_100, 14_500), (21_500, 22_900)];
    let levels = |spoken: &[(u64, u64)], seed: u64| {
        // A cheap likeness of speech: syllables of about 200 ms under a phrase's rise and fall.
        (0..1_200_u64)
            .map(|window| {
                let ms = window * 20;
                let Some((from, to)) = spoken.iter().find(|(from, to)| (*from..*to).contains(&ms)) else {
                    return u8::try_from((window * 7 + seed) % 5).unwrap();
                };
                let phrase = ((ms - from) as f64 / (to - from) as f64 * std::f64::consts::PI)
                    .sin()
                    .sqrt();
                let syllable = 0.35 + 0.65 * ((ms as f64 / 95.0 + seed as f64).sin() * (ms as f64 / 410.0).cos()).abs();
                (phrase * syllable * 235.0) as u8
            })
            .collect()
    };
    Timeline {
        title: vec![
            "Inbound call to the reception · 24.0 s · completed, the caller hung up".to_owned(),
            "twilio · +•••34 → +•••00 · 0193c0de-0000-7000-8000-0123456789ab · 2026-11-22 16:04:11 UTC".to_owned(),
        ],
        duration_ms: 24_000,
        levels: Levels {
            window_ms: 20,
            start_ms: 0,
            caller: levels(&speaks, 3),
            agent: levels(&utterances, 11),
        },
        entries: vec![
            Entry::webhook(0, 12, "incoming call"),
            Entry::point(Kind::Answered, 14, "answered"),
            Entry::point(Kind::Status, 820, "in-progress"),
            Entry::point(Kind::Media, 640, "socket connected"),
            Entry::point(Kind::Media, 705, "stream started"),
            Entry::span(Kind::Agent, 640, 1_190, "connecting · 550 ms"),
            Entry::point(Kind::Agent, 1_190, "ready"),
            Entry::span(Kind::AgentSpeaking, 1_450, 6_300, "speaking"),
            Entry::point(Kind::Mark, 6_300, "mark greeting-done"),
            Entry::point(Kind::Dtmf, 8_200, "key 4"),
            Entry::point(Kind::Dtmf, 8_450, "key 2"),
            Entry::point(Kind::Dtmf, 8_700, "key #"),
            Entry::span(Kind::AgentSpeaking, 9_700, 12_480, "speaking"),
            Entry::barge_in(12_480, 2_640),
            Entry::span(Kind::AgentSpeaking, 15_100, 21_000, "speaking"),
            Entry::point(Kind::Mark, 21_000, "mark 3"),
            Entry::point(Kind::HangUp, 23_950, "caller hung up"),
            Entry::point(Kind::Media, 23_960, "stream stopped"),
            Entry::webhook(24_610, 4, "status callback"),
            Entry::point(Kind::Status, 24_611, "completed · carrier says 24 s"),
        ],
    }
}

/// Reads the document, and gives the contents of its text elements.
fn texts(svg: &str) -> Vec<String> {
    let mut reader = Reader::from_str(svg);
    reader.config_mut().check_end_names = true;
    let (mut depth, mut in_text, mut texts) = (0_usize, false, Vec::new());
    loop {
        match reader.read_event().expect("well-formed") {
            Xml::Start(start) => {
                for attribute in start.attributes() {
                    attribute.expect("well-formed attributes");
                }
                depth += 1;
                in_text = start.name().as_ref() == "text";
                if in_text {
                    texts.push(String::new());
                }
            }
            Xml::End(_) => {
                depth -= 1;
                in_text = false;
            }
            Xml::Text(text) if in_text => texts.last_mut().unwrap().push_str(&text),
            Xml::GeneralRef(name) if in_text => {
                let char = match &*name {
                    "amp" => '&',
                    "lt" => '<',
                    "gt" => '>',
                    "quot" => '"',
                    "#39" => '\'',
                    other => panic!("unknown entity {other}"),
                };
                texts.last_mut().unwrap().push(char);
            }
            Xml::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "every element is closed");
    texts
}

#[test]
fn everything_that_happened_is_named() {
    let svg = example().to_svg();
    let texts = texts(&svg);
    for entry in example().entries {
        assert!(texts.contains(&entry.label), "{}", entry.label);
    }
    for lane in ["Carrier", "Media", "Agent link", "Caller", "Agent", "0 s", "24 s"] {
        assert!(texts.iter().any(|text| text == lane), "{lane}");
    }
    assert_eq!(texts[0], example().title[0]);
}

#[test]
fn the_same_call_gives_the_same_picture() {
    assert_eq!(example().to_svg(), example().to_svg());
    // The order of the entries is the order of time, however they come.
    let mut reversed = example();
    reversed.entries.reverse();
    assert_eq!(reversed.to_svg(), example().to_svg());
}

#[test]
fn strangers_texts_stay_texts() {
    let evil = "</text><script>alert('1' & \"2\")</script>";
    let timeline = Timeline {
        title: vec![evil.to_owned()],
        duration_ms: 2_000,
        entries: vec![
            Entry::point(Kind::Agent, 500, evil),
            Entry::point(Kind::Mark, 600, "a\u{0}b\u{1b}c\u{202e}d\ne"),
        ],
        ..Timeline::default()
    };
    let svg = timeline.to_svg();
    assert!(!svg.contains("<script"));
    let texts = texts(&svg);
    assert_eq!(texts[0], evil);
    assert!(texts.iter().any(|text| text == evil));
    assert!(texts.iter().any(|text| text == "a\u{fffd}b\u{fffd}cd e"));
}

#[test]
fn labels_do_not_overlap() {
    let mut timeline = example();
    for burst in 0..30 {
        timeline.entries.push(Entry::point(
            Kind::Dtmf,
            16_000 + burst * 90,
            format!("key {}", burst % 10),
        ));
    }
    let scale = Scale::of(&timeline);
    for lane in Lane::ALL {
        let placed = timeline.placed(lane, &scale);
        assert!(placed.rows <= ROWS_MAX);
        let mut taken: Vec<(usize, f64, f64)> = Vec::new();
        for item in placed.items {
            let Some((label, side)) = item.label else {
                continue;
            };
            let width = text_width(&label, LABEL_SIZE);
            let (left, right) = match side {
                Side::Inside => (item.x, item.x + item.bar.unwrap()),
                Side::Right => (item.x, item.x + item.bar.map_or(8.0, |bar| bar + 6.0) + width),
                Side::Left => (item.x - 8.0 - width, item.x),
            };
            for (row, other_left, other_right) in &taken {
                assert!(
                    *row != item.row || right <= *other_left || left >= *other_right,
                    "{label} overlaps"
                );
            }
            taken.push((item.row, left, right));
        }
    }
}

#[test]
fn a_call_without_anything_is_still_a_picture() {
    let texts = texts(&Timeline::default().to_svg());
    assert!(texts.iter().any(|text| text == "Caller"));
}

#[test]
fn a_long_call_has_readable_ticks() {
    let ticks = |duration_ms| {
        let timeline = Timeline {
            duration_ms,
            ..Timeline::default()
        };
        let scale = Scale::of(&timeline);
        (scale.span_ms / scale.tick_ms(), scale.tick_label(scale.tick_ms()))
    };
    assert_eq!(ticks(1_000), (10, "0.1 s".to_owned()));
    assert_eq!(ticks(24_000), (12, "2 s".to_owned()));
    assert_eq!(ticks(600_000), (10, "1:00".to_owned()));
    assert_eq!(ticks(4 * 3_600_000), (8, "30:00".to_owned()));
    assert!(ticks(u64::MAX / 2).0 <= 14);
    Timeline {
        duration_ms: u64::MAX,
        ..Timeline::default()
    }
    .to_svg();
}

#[test]
fn a_picture_is_bounded() {
    let entries = (0..5_000).map(|at| Entry::point(Kind::Dtmf, at * 3, "key 1")).collect();
    let timeline = Timeline {
        duration_ms: 15_000,
        entries,
        levels: Levels {
            window_ms: 1,
            start_ms: 0,
            caller: vec![200; 2_000_000],
            agent: vec![],
        },
        ..Timeline::default()
    };
    let svg = timeline.to_svg();
    assert!(svg.len() < 200_000, "{}", svg.len());
    assert!(
        texts(&svg)
            .iter()
            .any(|text| text == "4600 later entries are not drawn")
    );
}

proptest! {
    #[test]
    fn any_input_gives_a_well_formed_picture(
        title in proptest::collection::vec(".{0,20}", 0..7),
        duration_ms: u64,
        window_ms: u32,
        start_ms in 0..5_000_u64,
        levels in proptest::collection::vec(any::<u8>(), 0..50),
        entries in proptest::collection::vec((any::<u64>(), proptest::option::of(any::<u64>()), ".{0,60}"), 0..20),
    ) {
        let entries = entries
            .into_iter()
            .map(|(from_ms, to_ms, label)| Entry { kind: Kind::Fault, from_ms, to_ms, label })
            .collect();
        let levels = Levels { window_ms, start_ms, caller: levels.clone(), agent: levels };
        let svg = Timeline { title, duration_ms, levels, entries }.to_svg();
        texts(&svg);
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
