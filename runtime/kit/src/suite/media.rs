//! Messages of the media socket that cannot be read: they are told as malformed, and never heard.

use serde_json::Value;
use strowger_host::media::MediaEvent;
use strowger_host::operation::Direction;
use strowger_host::{GuestFault, InvokeError, MediaFrame, MediaLeg, Message};

use super::given::{self, HARMLESS};
use super::inputs;
use super::problems::Problems;
use super::subject::{Subject, moment};
use super::webhooks::cuts;
use crate::report::{Outcome, Problem};

const HEARS: &str = "media.deserialize-frame";
const SAYS: &str = "media.serialize-frame";

pub(super) fn check(subject: &Subject<'_>) -> Outcome {
    let mut problems = Problems::default();
    let open = || {
        let call = given::call(subject.provider, &HARMLESS, Direction::Inbound);
        subject.provider.open_leg(&subject.credentials, call, moment(0))
    };
    // A leg that has heard nothing yet, and one for each recorded beginning of a stream.
    let mut beginnings: Vec<(String, Vec<Message>)> = vec![("before the stream began".to_owned(), Vec::new())];
    beginnings.extend(
        recorded(subject)
            .into_iter()
            .map(|(name, messages)| (format!("after the messages of `{name}`"), messages)),
    );
    beginnings.truncate(6);
    for (when, messages) in &beginnings {
        let mut leg = match open() {
            Ok(leg) => leg,
            Err(fault) => {
                problems.fault("media.leg", "when it was made", &fault);
                break;
            }
        };
        let begun = messages
            .iter()
            .try_for_each(|message| leg.deserialize(message.clone()).map(drop));
        if let Err(fault) = begun {
            problems.fault(HEARS, when, &fault);
            continue;
        }
        let speaks_text = speak(&mut problems, subject, &mut leg, when);
        for (what, message) in garbage(messages) {
            let binary = matches!(message, Message::Binary(_));
            let circumstance = format!("given {what} {when}");
            match patiently(&mut leg, &message) {
                Err(fault @ InvokeError::Host(_)) => {
                    problems.fault(HEARS, &circumstance, &fault);
                    break;
                }
                Err(fault) => problems.fault(HEARS, &circumstance, &fault),
                // Where frames are bare bytes, any bytes are a frame.
                Ok(_) if binary && !speaks_text => {}
                Ok(events) => {
                    let heard = events.iter().find_map(|event| match event {
                        MediaEvent::Audio { .. } => Some("audio"),
                        MediaEvent::Dtmf(_) => Some("a key"),
                        MediaEvent::Started(_) => Some("the beginning of a stream"),
                        _ => None,
                    });
                    if let Some(heard) = heard {
                        problems.add(HEARS, heard, || Problem {
                            what: format!("{HEARS} hears {heard} in what is none, {circumstance}"),
                            why: "noise, or keys that nobody pressed, would reach the agent".to_owned(),
                            mend: "return `malformed` for a message that cannot be read as a whole".to_owned(),
                        });
                    }
                }
            }
        }
        // What came before must not have broken it.
        speak(&mut problems, subject, &mut leg, &format!("{when}, and garbage"));
    }
    problems.outcome()
}

/// Hands a message in. What takes too long once may have met a busy machine; what does so every time is too slow.
fn patiently(leg: &mut MediaLeg, message: &Message) -> Result<Vec<MediaEvent>, InvokeError> {
    const TIMES: usize = 3;
    let mut last = leg.deserialize(message.clone());
    for _ in 1..TIMES {
        match last {
            Err(InvokeError::Guest(GuestFault::Deadline { .. })) => last = leg.deserialize(message.clone()),
            _ => break,
        }
    }
    last
}

/// Says one frame of each kind. Tells whether audio goes out as text.
fn speak(problems: &mut Problems, subject: &Subject<'_>, leg: &mut MediaLeg, when: &str) -> bool {
    let frames = [
        ("audio", MediaFrame::Audio(inputs::silence(subject.provider))),
        ("empty audio", MediaFrame::Audio(Vec::new())),
        ("clear", MediaFrame::Clear),
        (
            "a mark of hostile characters",
            MediaFrame::Mark("m\"'<>&\\/é".to_owned()),
        ),
        ("a key", MediaFrame::Dtmf("#".to_owned())),
        ("stop", MediaFrame::Stop),
    ];
    let mut in_text = false;
    for (what, frame) in frames {
        match leg.serialize(&frame) {
            Err(fault) => problems.fault(SAYS, &format!("for {what} {when}"), &fault),
            Ok(Err(_)) => {}
            Ok(Ok(messages)) => {
                for message in messages {
                    match message {
                        Message::Binary(_) => {}
                        Message::Text(text) => {
                            in_text |= what == "audio";
                            let looks_like_json = text.trim_start().starts_with(['{', '[']);
                            if looks_like_json && serde_json::from_str::<Value>(&text).is_err() {
                                problems.add(SAYS, "not JSON", || Problem {
                                    what: format!(
                                        "{SAYS} says something that begins like JSON and is none, for {what} {when}"
                                    ),
                                    why: "the carrier would drop it, or close the socket".to_owned(),
                                    mend: "escape the name of a mark like any other text".to_owned(),
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    in_text
}

fn garbage(recorded: &[Message]) -> Vec<(String, Message)> {
    let text = |what: &str, text: String| (what.to_owned(), Message::Text(text));
    let mut all = vec![
        text("an empty text", String::new()),
        text("a text that is no JSON", "hello".to_owned()),
        text("JSON null", "null".to_owned()),
        text("an array", "[]".to_owned()),
        text("an object without fields", "{}".to_owned()),
        text(
            "fields of the wrong kinds",
            "{\"event\":7,\"media\":[],\"type\":null,\"payload\":{}}".to_owned(),
        ),
        text(
            "a payload that is not base64",
            "{\"event\":\"media\",\"media\":{\"payload\":\"***\"},\"payload\":\"***\"}".to_owned(),
        ),
        text(
            "numbers beyond every integer",
            "{\"event\":\"media\",\"sequenceNumber\":123456789012345678901234567890,\"seq\":-1e400}".to_owned(),
        ),
        text(
            "10 000 nested arrays",
            format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)),
        ),
        text("2 000 nested objects, cut short", "{\"a\":".repeat(2_000)),
        text(
            "60 000 bytes of one text",
            format!("{{\"event\":\"{}\"}}", "x".repeat(60_000)),
        ),
        text("control characters", "\u{0}\u{1}\u{7f}\u{85}".to_owned()),
        ("an empty binary message".to_owned(), Message::Binary(Vec::new())),
        ("binary garbage".to_owned(), Message::Binary((0..=255).collect())),
    ];
    for message in recorded {
        // A document that is cut short is none. In other dialects it may well be a shorter message.
        if let Message::Text(whole) = message
            && serde_json::from_str::<Value>(whole).is_ok_and(|value| value.is_object())
        {
            all.extend(
                cuts(whole)
                    .into_iter()
                    .map(|cut| text("a recorded message, cut short", cut.to_owned())),
            );
        }
    }
    all
}

/// The messages of the recorded scripts.
pub(crate) fn recorded(subject: &Subject<'_>) -> Vec<(String, Vec<Message>)> {
    subject
        .cases
        .iter()
        .filter(|case| case.export == "media.leg")
        .filter_map(|case| {
            let script = case.input.get("script")?.as_array()?;
            let messages: Vec<Message> = script
                .iter()
                .filter_map(|line| {
                    line.as_object()?
                        .iter()
                        .find(|(verb, _)| verb.starts_with("deserialize"))
                })
                .filter_map(|(_, message)| {
                    let text = message.get("text")?;
                    Some(Message::Text(
                        text.as_str().map_or_else(|| text.to_string(), str::to_owned),
                    ))
                })
                .collect();
            (!messages.is_empty()).then(|| (case.name.clone(), messages))
        })
        .collect()
}
