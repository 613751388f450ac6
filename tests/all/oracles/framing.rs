//! Media messages, as the serializers of `pipecat-ai` read and write them: message for message, and the audio in them
//! value for value, with all 256 code words inbound and all 65,536 samples outbound.
//!
//! Where the two differ (pipecat-ai 1.14.0):
//!
//! | carriers | message | pipecat | ours | because |
//! |---|---|---|---|---|
//! | all | keys `A` to `D` | dropped | told | they are keys (RFC 4733 §3.2) |
//! | all but Vonage | `media` of the other track | taken for the caller's | left out | it is what we sent ourselves |
//! | all but Vonage | payload that is not base64 | raises | `malformed` | it is a stranger's input |
//! | Vonage | half a sample | passed on | `malformed` | every sample after it would be noise |
//!
//! There is no difference in the audio: both cut off the bits below a code word's, for both laws, and both give the
//! negative zero of mu-law the code of the positive one. What says nothing about audio or keys (`start`, `mark`,
//! `stop`) is not compared; pipecat passes over it. Telnyx's serializer names its parameters from the call's side:
//! `inbound_encoding` is what we send.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strowger_audio::{Encoding, SampleRate, WireFormat};
use strowger_host::operation::Direction;
use strowger_host::{MediaEvent, MediaFrame, MediaLeg, Message, Moment, spec};
use strowger_tests::{credentials, provider};

use super::witness::{Witness, bytes, text};
use super::{NOW_MS, call};

/// Milliseconds of a frame, with every carrier.
const FRAME_MS: u32 = 20;

/// A stream of a carrier, which the component and the serializer both have open.
struct Stream {
    leg: MediaLeg,
    receive: WireFormat,
    send: WireFormat,
    /// What the serializer is to do, a line each.
    commands: String,
    ours: Vec<Ours>,
}

/// What the component made of something.
struct Ours {
    what: String,
    made: Made,
}

#[derive(Debug, PartialEq)]
enum Made {
    /// Messages to the carrier, in order.
    Messages(Vec<Value>),
    /// The caller's audio: 16 bit linear, low byte first.
    Audio(Vec<u8>),
    Key(String),
    /// Nothing that concerns audio or keys.
    Nothing,
}

fn wire(format: spec::WireFormat) -> WireFormat {
    let encoding = match format.encoding {
        spec::Encoding::Pcmu => Encoding::Pcmu,
        spec::Encoding::Pcma => Encoding::Pcma,
        spec::Encoding::L16Le => Encoding::L16Le,
        spec::Encoding::L16Be => Encoding::L16Be,
    };
    WireFormat::new(encoding, SampleRate::try_from(format.sample_rate_hz).unwrap())
}

fn linear(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// As the programs take a message, and give one.
fn shown(message: &Message) -> Value {
    match message {
        Message::Text(text) => json!({ "text": text }),
        Message::Binary(bytes) => json!({ "binary": STANDARD.encode(bytes) }),
    }
}

/// A message without what says nothing: the order of a JSON object's members, and its blanks.
fn meaning(message: &Value) -> Value {
    match message["text"].as_str() {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => message.clone(),
    }
}

impl Stream {
    /// Opens both ends. The last of the carrier's messages starts the stream.
    fn open(name: &str, entered: &Value, serializer: &Value, opening: &[Value]) -> Self {
        let provider = provider(name);
        let call = call(&provider, "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192", Direction::Inbound);
        let account = credentials(&provider, entered);
        let mut leg = provider.open_leg(&account, call, Moment::at(NOW_MS)).unwrap();
        let mut formats = None;
        for message in opening {
            for event in leg.deserialize(Message::Text(message.to_string())).unwrap() {
                match event {
                    MediaEvent::Started(started) => formats = Some((wire(started.receive), wire(started.send))),
                    other => panic!("{other:?}"),
                }
            }
        }
        let (receive, send) = formats.expect("the stream starts");
        Self {
            leg,
            receive,
            send,
            commands: format!("{serializer}\n"),
            ours: Vec::new(),
        }
    }

    fn command(&mut self, what: impl Into<String>, command: &Value, made: Made) {
        writeln!(self.commands, "{command}").unwrap();
        self.ours.push(Ours {
            what: what.into(),
            made,
        });
    }

    /// A message of the carrier.
    fn hear(&mut self, what: impl Into<String>, message: Message) {
        let command = json!({ "hear": shown(&message) });
        let events = self.leg.deserialize(message).unwrap();
        let made = match &events[..] {
            [MediaEvent::Audio { payload, .. }] => {
                let mut samples = Vec::new();
                assert_eq!(self.receive.decode(payload, &mut samples), 0);
                Made::Audio(linear(&samples))
            }
            [MediaEvent::Dtmf(digit)] => Made::Key(digit.to_string()),
            events => {
                let silent = |event: &MediaEvent| !matches!(event, MediaEvent::Audio { .. } | MediaEvent::Dtmf(_));
                assert!(events.iter().all(silent), "{events:?}");
                Made::Nothing
            }
        };
        self.command(what, &command, made);
    }

    fn hear_text(&mut self, what: impl Into<String>, message: &Value) {
        self.hear(what, Message::Text(message.to_string()));
    }

    fn serialized(&mut self, frame: &MediaFrame) -> Made {
        let messages = self.leg.serialize(frame).unwrap().unwrap();
        Made::Messages(messages.iter().map(|message| meaning(&shown(message))).collect())
    }

    /// A frame of the agent's audio.
    fn say(&mut self, what: impl Into<String>, samples: &[i16]) {
        let mut payload = Vec::new();
        self.send.encode(samples, &mut payload);
        let made = self.serialized(&MediaFrame::Audio(payload));
        let rate = self.send.rate.hz();
        let command = json!({ "say": { "audio": STANDARD.encode(linear(samples)), "rate": rate } });
        self.command(what, &command, made);
    }

    /// Every sample there is, in frames of the carrier's length.
    fn say_everything(&mut self) {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let frame = self.send.frame_samples(FRAME_MS);
        for samples in all.chunks(frame) {
            let mut samples = samples.to_vec();
            let what = format!("samples from {}", samples[0]);
            samples.resize(frame, 0);
            self.say(what, &samples);
        }
    }

    fn clear(&mut self) {
        let made = self.serialized(&MediaFrame::Clear);
        self.command("clear", &json!({ "clear": true }), made);
    }

    /// Where the serializer makes something else of it; each with what it makes.
    async fn differences(self) -> Vec<(String, Value)> {
        let mut theirs = Witness::start_with("serializers.py", &[], self.commands).rest().await;
        assert_eq!(theirs.remove(0), json!({}));
        assert_eq!(theirs.len(), self.ours.len());
        let mut differences = Vec::new();
        for (Ours { what, made }, answer) in self.ours.into_iter().zip(theirs) {
            let same = match &made {
                Made::Nothing => answer == json!({}),
                Made::Key(digit) => answer["digit"] == json!(digit),
                Made::Audio(audio) => answer["audio"].is_string() && bytes(&answer, "audio") == *audio,
                Made::Messages(messages) => *messages == [meaning(&answer)],
            };
            if !same {
                differences.push((what, answer));
            }
        }
        differences
    }
}

/// The carrier's `media`, with a payload.
type Media = fn(u64, &str) -> Value;

/// What the three carriers with JSON envelopes have in common.
fn converse(stream: &mut Stream, media: Media, key: fn(&str) -> Value) {
    // Every code word, in frames and then in one long message.
    let codes: Vec<u8> = (0..=u8::MAX).collect();
    for (number, payload) in codes.chunks(160).chain([&codes[..]]).enumerate() {
        let number = u64::try_from(number).unwrap() + 1;
        stream.hear_text(format!("media {number}"), &media(number, &STANDARD.encode(payload)));
    }
    for digit in "0123456789*#ABCD".chars() {
        stream.hear_text(format!("key {digit}"), &key(&digit.to_string()));
    }
    for digit in ["E", "12", ""] {
        stream.hear_text(format!("no key {digit:?}"), &key(digit));
    }
    let mut other = media(9, &STANDARD.encode([0; 160]));
    other["media"]["track"] = json!("outbound");
    stream.hear_text("other track", &other);
    stream.hear_text("not base64", &media(10, "AAA"));
    stream.hear_text("no payload", &json!({ "event": "media", "media": {} }));
    stream.hear_text("unknown event", &json!({ "event": "weather", "is": "fine" }));
    stream.hear_text("no event", &json!({ "audio": "none" }));
    stream.hear("not JSON", Message::Text("{".to_owned()));
    stream.say_everything();
    stream.clear();
}

/// What `converse` finds, with each of the three.
const KNOWN: [&str; 6] = ["key A", "key B", "key C", "key D", "other track", "not base64"];

fn names(differences: &[(String, Value)]) -> Vec<&str> {
    differences.iter().map(|(what, _)| what.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn twilio_is_framed_as_pipecat_frames_it() {
    let entered = json!({ "account_sid": "AC0123456789abcdef0123456789abcdef", "auth_token": "a" });
    let serializer = json!({ "serializer": "twilio", "settings": { "stream_sid": "MZ1" } });
    let format = json!({ "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 });
    let opening = [
        json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" }),
        json!({
            "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
            "start": {
                "streamSid": "MZ1", "accountSid": "AC1", "callSid": "CA1", "tracks": ["inbound"], "mediaFormat": format,
                "customParameters": {},
            },
        }),
    ];
    let mut stream = Stream::open("twilio", &entered, &serializer, &opening);
    let media = |number: u64, payload: &str| {
        json!({
            "event": "media", "sequenceNumber": (number + 1).to_string(), "streamSid": "MZ1",
            "media": {
                "track": "inbound", "chunk": number.to_string(), "timestamp": (number * 20).to_string(),
                "payload": payload,
            },
        })
    };
    let key = |digit: &str| {
        let dtmf = json!({ "track": "inbound_track", "digit": digit });
        json!({ "event": "dtmf", "streamSid": "MZ1", "dtmf": dtmf })
    };
    converse(&mut stream, media, key);
    let differences = stream.differences().await;
    assert_eq!(names(&differences), KNOWN, "{differences:?}");
}

/// Plivo's streams, and those of Vobiz, which says of itself that its streams are Plivo's.
async fn converse_as_plivo(name: &str, entered: &Value) {
    let serializer = json!({ "serializer": "plivo", "settings": { "stream_id": "s1" } });
    let format = json!({ "encoding": "audio/x-mulaw", "sampleRate": 8000 });
    let opening = [json!({
        "event": "start", "sequenceNumber": 1,
        "start": { "callId": "c1", "streamId": "s1", "accountId": "MA1", "tracks": ["inbound"], "mediaFormat": format },
    })];
    let mut stream = Stream::open(name, entered, &serializer, &opening);
    let media = |number: u64, payload: &str| {
        json!({
            "event": "media", "sequenceNumber": number, "streamId": "s1",
            "media": { "track": "inbound", "timestamp": "1763800000000", "chunk": number, "payload": payload },
        })
    };
    let key = |digit: &str| {
        let dtmf = json!({ "track": "inbound", "digit": digit, "timestamp": "1763800000000" });
        json!({ "event": "dtmf", "streamId": "s1", "dtmf": dtmf })
    };
    converse(&mut stream, media, key);
    let differences = stream.differences().await;
    assert_eq!(names(&differences), KNOWN, "{differences:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plivo_is_framed_as_pipecat_frames_it() {
    let entered = json!({ "auth_id": "MAXXXXXXXXXXXXXXXXXX", "auth_token": "a" });
    converse_as_plivo("plivo", &entered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vobiz_is_framed_as_plivo_is() {
    converse_as_plivo("vobiz", &json!({ "auth_id": "MA_XXXXXXXX", "auth_token": "a" })).await;
}

fn telnyx(encoding: &str) -> Stream {
    let key = STANDARD.encode([7; 32]);
    let entered = json!({ "api_key": "KEY0123", "connection_id": "1", "webhook_public_key": key });
    let settings = json!({ "stream_id": "s1", "inbound_encoding": "PCMU", "outbound_encoding": encoding });
    let serializer = json!({ "serializer": "telnyx", "settings": settings });
    let format = json!({ "encoding": encoding, "sample_rate": 8000, "channels": 1 });
    let opening = [
        json!({ "event": "connected", "version": "1.0.0" }),
        json!({
            "event": "start", "sequence_number": "1", "stream_id": "s1",
            "start": {
                "user_id": "u1", "call_control_id": "c1", "call_session_id": "e1", "from": "+12025550147",
                "to": "+12025550188", "tags": [], "client_state": null, "custom_parameters": {}, "media_format": format,
            },
        }),
    ];
    Stream::open("telnyx", &entered, &serializer, &opening)
}

#[tokio::test(flavor = "multi_thread")]
async fn telnyx_is_framed_as_pipecat_frames_it() {
    for encoding in ["PCMU", "PCMA"] {
        let mut stream = telnyx(encoding);
        let media = |number: u64, payload: &str| {
            json!({
                "event": "media", "sequence_number": (number + 1).to_string(), "stream_id": "s1",
                "media": {
                    "track": "inbound", "chunk": number.to_string(), "timestamp": (number * 20).to_string(),
                    "payload": payload,
                },
            })
        };
        let key = |digit: &str| {
            let dtmf = json!({ "digit": digit });
            json!({ "event": "dtmf", "stream_id": "s1", "sequence_number": "4", "dtmf": dtmf })
        };
        converse(&mut stream, media, key);
        let differences = stream.differences().await;
        assert_eq!(names(&differences), KNOWN, "{encoding} {differences:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vonage_is_framed_as_pipecat_frames_it() {
    let entered = json!({
        "application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "private_key": "-----BEGIN PRIVATE KEY-----",
        "api_key": "a1b2c3d4", "api_secret": "a", "signature_secret": "b",
    });
    let serializer = json!({ "serializer": "vonage", "settings": {} });
    let opening = [json!({ "event": "websocket:connected", "content-type": "audio/l16;rate=16000", "call": "c1" })];
    let mut stream = Stream::open("vonage", &entered, &serializer, &opening);
    let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    for samples in all.chunks(stream.receive.frame_samples(FRAME_MS)) {
        stream.hear(format!("audio from {}", samples[0]), Message::Binary(linear(samples)));
    }
    stream.hear("half a sample", Message::Binary(vec![1, 2, 3]));
    for digit in "0123456789*#ABCD".chars() {
        let digit = digit.to_string();
        stream.hear_text(
            format!("key {digit}"),
            &json!({ "event": "websocket:dtmf", "digit": digit, "duration": 260 }),
        );
        stream.hear_text(
            format!("key {digit} in its object"),
            &json!({ "event": "websocket:dtmf", "dtmf": { "digit": digit } }),
        );
    }
    stream.hear_text("no key", &json!({ "event": "websocket:dtmf", "digit": "E" }));
    stream.hear_text(
        "notify",
        &json!({ "event": "websocket:notify", "payload": { "mark": "m" } }),
    );
    stream.hear_text("cleared", &json!({ "event": "websocket:cleared" }));
    stream.hear_text("unknown event", &json!({ "event": "weather" }));
    stream.hear_text("no event", &json!({ "audio": "none" }));
    stream.hear("not JSON", Message::Text("{".to_owned()));
    stream.say_everything();
    stream.clear();
    let differences = stream.differences().await;
    let known = [
        "half a sample",
        "key A",
        "key A in its object",
        "key B",
        "key B in its object",
        "key C",
        "key C in its object",
        "key D",
        "key D in its object",
    ];
    assert_eq!(names(&differences), known, "{differences:?}");
}

/// Telnyx gets PCMU from us whatever it sends, so A-law outbound is compared without an envelope of ours.
#[tokio::test(flavor = "multi_thread")]
async fn every_sample_has_the_same_a_law_code() {
    let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let mut codes = Vec::new();
    WireFormat::new(Encoding::Pcma, SampleRate::Hz8000).encode(&samples, &mut codes);
    let settings = json!({ "stream_id": "s1", "inbound_encoding": "PCMA", "outbound_encoding": "PCMA" });
    let mut commands = format!("{}\n", json!({ "serializer": "telnyx", "settings": settings }));
    let said = json!({ "say": { "audio": STANDARD.encode(linear(&samples)), "rate": 8000 } });
    writeln!(commands, "{said}").unwrap();
    let theirs = Witness::start_with("serializers.py", &[], commands).rest().await;
    let message: Value = serde_json::from_str(text(&theirs[1], "text")).unwrap();
    let theirs = bytes(&message["media"], "payload");
    let different: Vec<(i16, u8, u8)> = samples
        .into_iter()
        .zip(codes.into_iter().zip(theirs))
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|(sample, (ours, theirs))| (sample, ours, theirs))
        .collect();
    assert_eq!(different, []);
}
