//! The native `strowger.v1` protocol: JSON control in text messages, PCM16 at the agent's rate in binary ones.
//!
//! `docs/agent-protocol.md` describes it and `docs/agent-protocol.schema.json` defines it; a test holds this module to the
//! schema in both directions.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::{BufMut as _, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strowger_audio::{Decoder, DtmfDigit, Encoding, WireFormat};
use strowger_call::{TransferFailure, TransferProgress};
use tokio_tungstenite::tungstenite::Message;

use super::media_streams::MARK_CHARS_MAX;
use super::socket::{Ignored, Incoming, Shape};
use super::{AgentCall, AgentCommand, AgentEvent, AgentSpec, SUBPROTOCOL, TransferProblem, TransferRequest};

/// More keys in one go are no menu choice, card number or extension.
const DTMF_DIGITS_MAX: usize = 32;

/// Goes into the call's record.
const REASON_CHARS_MAX: usize = 200;

/// An agent that errs in every message is told so a few times. More would be traffic, not information.
const ERRORS_MAX: u32 = 10;

/// Frames of 20 ms have 320 to 1920 bytes.
const BUFFER_BYTES: usize = 4096;

/// One conversation with an agent.
pub(super) struct Native {
    wire: WireFormat,
    frame_ms: u16,
    call: AgentCall,
    parameters: Map<String, Value>,
    decoder: Decoder,
    errors: u32,
    bytes: Vec<u8>,
    frame: BytesMut,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToAgent<'a> {
    Start {
        call_id: &'a str,
        direction: &'a str,
        caller: &'a str,
        callee: &'a str,
        audio: Audio,
        capabilities: &'a [&'static str],
        parameters: &'a Map<String, Value>,
    },
    Dtmf {
        digit: char,
    },
    Mark {
        name: &'a str,
        heard_ms: u64,
    },
    Cleared {
        heard_ms: u64,
        marks: &'a [String],
    },
    Transfer {
        #[serde(flatten)]
        progress: &'a TransferProgress,
    },
    Stop {
        reason: &'a str,
    },
    Error {
        code: &'a str,
        message: &'a str,
    },
}

#[derive(Serialize)]
struct Audio {
    encoding: &'static str,
    sample_rate_hz: u32,
    channels: u8,
    frame_ms: u16,
}

/// The members of all messages: which of them count follows from `type`. An enum would have to buffer every message.
#[derive(Deserialize)]
struct FromAgent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    digits: Option<Text<'a>>,
    #[serde(borrow, default)]
    destination: Option<Text<'a>>,
    #[serde(borrow, default)]
    caller_id: Option<Text<'a>>,
    #[serde(default)]
    ring_timeout_s: Option<u64>,
    #[serde(borrow, default)]
    announcement: Option<Text<'a>>,
    #[serde(borrow, default)]
    hold: Option<Text<'a>>,
}

/// Borrows inside an `Option`, which a bare `Cow` does not.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Native {
    pub(super) fn new(spec: &AgentSpec, call: &AgentCall) -> Self {
        let wire = WireFormat::new(Encoding::L16Le, spec.effective_sample_rate());
        Self {
            wire,
            frame_ms: call.frame_ms,
            call: call.clone(),
            parameters: spec.parameters.clone(),
            decoder: Decoder::new(wire),
            errors: 0,
            bytes: Vec::new(),
            frame: BytesMut::with_capacity(BUFFER_BYTES),
        }
    }

    fn start(&self) -> ToAgent<'_> {
        ToAgent::Start {
            call_id: &self.call.call_id,
            direction: self.call.direction,
            caller: &self.call.caller,
            callee: &self.call.callee,
            audio: Audio {
                encoding: "pcm_s16le",
                sample_rate_hz: self.wire.rate.hz(),
                channels: 1,
                frame_ms: self.frame_ms,
            },
            capabilities: &self.call.capabilities,
            parameters: &self.parameters,
        }
    }

    fn control(
        &mut self,
        message: &str,
        events: &mut VecDeque<AgentEvent>,
    ) -> Result<Option<TransferProgress>, (Ignored, Cow<'static, str>)> {
        let malformed = |what: &'static str| (Ignored::Malformed, Cow::Borrowed(what));
        let FromAgent {
            kind,
            name,
            reason,
            digits,
            destination,
            caller_id,
            ring_timeout_s,
            announcement,
            hold,
        } = serde_json::from_str(message).map_err(|_| {
            malformed("a text message must be a JSON object with a string `type`, and its members of the right types")
        })?;
        events.push_back(match &*kind {
            "clear" => {
                // The rest of a sample that the agent has now given up would shift all that follows by a byte.
                self.decoder.reset();
                AgentEvent::Clear
            }
            "mark" => {
                let Text(name) = name.ok_or(malformed("`mark` needs a `name`"))?;
                if name.chars().count() > MARK_CHARS_MAX {
                    return Err(malformed("the `name` of a `mark` has at most 256 characters"));
                }
                AgentEvent::Mark(name.into_owned())
            }
            "hang_up" => AgentEvent::HangUp {
                reason: reason.map(|Text(reason)| reason.chars().take(REASON_CHARS_MAX).collect()),
            },
            "send_dtmf" => {
                let Text(digits) = digits.ok_or(malformed("`send_dtmf` needs `digits`"))?;
                let keys = digits
                    .chars()
                    .map(|key| DtmfDigit::try_from(key).map(DtmfDigit::as_char))
                    .collect::<Result<String, _>>();
                match keys {
                    Ok(keys) if (1..=DTMF_DIGITS_MAX).contains(&keys.len()) => AgentEvent::SendDtmf(keys),
                    _ => {
                        return Err(malformed(
                            "the `digits` of `send_dtmf` are 1 to 32 of 0-9, A-D, * and #",
                        ));
                    }
                }
            }
            "transfer" => {
                let text = |member: &Option<Text<'_>>| member.as_ref().map(|Text(text)| text.clone().into_owned());
                let request = TransferRequest::read(
                    text(&destination).as_deref(),
                    text(&caller_id).as_deref(),
                    ring_timeout_s,
                    text(&announcement).as_deref(),
                    text(&hold).as_deref(),
                );
                match request {
                    Ok(request) => AgentEvent::Transfer(request),
                    // Whoever looked the destination up found nobody: an outcome like others, not a mistake.
                    Err(TransferProblem::NoDestination) => {
                        return Ok(Some(TransferProgress::Failed(TransferFailure::NoDestination)));
                    }
                    Err(problem) => return Err((Ignored::Malformed, Cow::Owned(problem.to_string()))),
                }
            }
            "cancel_transfer" => AgentEvent::CancelTransfer,
            _ => return Err((Ignored::Unknown, Cow::Borrowed("there is no message of this `type`"))),
        });
        Ok(None)
    }
}

impl Shape for Native {
    const SUBPROTOCOL: Option<&'static str> = Some(SUBPROTOCOL);

    fn encode(&mut self, command: &AgentCommand, out: &mut Vec<Message>) {
        let message = match command {
            AgentCommand::Audio(samples) => {
                if !samples.is_empty() {
                    self.bytes.clear();
                    self.wire.encode(samples, &mut self.bytes);
                    self.frame.put_slice(&self.bytes);
                    out.push(Message::Binary(self.frame.split().freeze()));
                }
                return;
            }
            AgentCommand::Start => {
                // What came before was dropped; half a sample of it would shift all that follows by a byte.
                self.decoder.reset();
                self.start()
            }
            AgentCommand::Dtmf(digit) => ToAgent::Dtmf { digit: *digit },
            AgentCommand::MarkPlayed { name, heard_ms } => ToAgent::Mark {
                name,
                heard_ms: *heard_ms,
            },
            AgentCommand::Cleared { heard_ms, marks } => ToAgent::Cleared {
                heard_ms: *heard_ms,
                marks,
            },
            AgentCommand::Transfer(progress) => ToAgent::Transfer { progress },
            AgentCommand::Stop { reason } => ToAgent::Stop { reason },
        };
        out.extend(text(&message));
    }

    fn decode(
        &mut self,
        message: Incoming<'_>,
        events: &mut VecDeque<AgentEvent>,
        replies: &mut Vec<Message>,
    ) -> Result<(), Ignored> {
        match message {
            Incoming::Binary(bytes) => {
                let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
                self.decoder.push(bytes, &mut samples);
                if !samples.is_empty() {
                    events.push_back(AgentEvent::Audio(samples));
                }
                Ok(())
            }
            Incoming::Text(text_message) => match self.control(text_message, events) {
                Ok(progress) => {
                    replies.extend(progress.and_then(|progress| text(&ToAgent::Transfer { progress: &progress })));
                    Ok(())
                }
                Err((ignored, message)) => {
                    if self.errors < ERRORS_MAX {
                        self.errors += 1;
                        let code = if ignored == Ignored::Unknown {
                            "unknown_type"
                        } else {
                            "malformed"
                        };
                        replies.extend(text(&ToAgent::Error {
                            code,
                            message: &message,
                        }));
                    }
                    Err(ignored)
                }
            },
        }
    }
}

fn text(message: &ToAgent<'_>) -> Option<Message> {
    // Serialising these types cannot fail: all keys are strings and nothing does I/O.
    serde_json::to_string(message).ok().map(Message::text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use boon::{Compiler, SchemaIndex, Schemas};
    use serde_json::json;
    use strowger_audio::SampleRate;
    use strowger_call::{Address, TransferFailure};

    use super::super::{Hold, Protocol};
    use super::*;

    /// The published schema, and the two sets of messages in it.
    struct Published {
        schemas: Schemas,
        to_agent: SchemaIndex,
        from_agent: SchemaIndex,
    }

    impl Published {
        fn new() -> Self {
            let schema = serde_json::from_str(include_str!("../../../../docs/agent-protocol.schema.json")).unwrap();
            let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
            compiler.add_resource("file:///schema.json", schema).unwrap();
            let mut compile = |place: &str| {
                compiler
                    .compile(&format!("file:///schema.json{place}"), &mut schemas)
                    .unwrap()
            };
            let (to_agent, from_agent) = (compile("#/$defs/gateway_message"), compile("#/$defs/agent_message"));
            compile("");
            Self {
                schemas,
                to_agent,
                from_agent,
            }
        }
    }

    fn native(rate: SampleRate) -> Native {
        let spec = AgentSpec {
            protocol: Protocol::Strowger,
            url: None,
            sample_rate: rate,
            headers: Vec::new(),
            parameters: json!({"voice": "a", "depth": {"limit": 3}})
                .as_object()
                .unwrap()
                .clone(),
        };
        let call = AgentCall {
            call_id: "0190a6a4-6e2d-7c3e-9d5f-0123456789ab".to_owned(),
            direction: "outbound",
            caller: String::new(),
            callee: "sip:reception@pbx.example.com".to_owned(),
            frame_ms: 20,
            capabilities: vec!["clear", "mark", "dtmf"],
        };
        Native::new(&spec, &call)
    }

    fn decoded(native: &mut Native, message: &str) -> (Result<(), Ignored>, Vec<AgentEvent>, Vec<Message>) {
        let (mut events, mut replies) = (VecDeque::new(), Vec::new());
        let result = native.decode(Incoming::Text(message), &mut events, &mut replies);
        (result, events.into(), replies)
    }

    #[test]
    fn every_message_to_the_agent_is_of_the_published_schema() {
        let published = Published::new();
        for rate in SampleRate::ALL {
            let mut native = native(rate);
            let mut out = Vec::new();
            for command in [
                AgentCommand::Start,
                AgentCommand::Dtmf('#'),
                AgentCommand::MarkPlayed {
                    name: "a \"b\"".to_owned(),
                    heard_ms: 1_240,
                },
                AgentCommand::Cleared {
                    heard_ms: 0,
                    marks: Vec::new(),
                },
                AgentCommand::Cleared {
                    heard_ms: 5,
                    marks: vec!["a".to_owned(), "a".to_owned()],
                },
                AgentCommand::Transfer(TransferProgress::Dialing),
                AgentCommand::Transfer(TransferProgress::Failed(TransferFailure::NoAnswer)),
                AgentCommand::Stop {
                    reason: "caller_hung_up".to_owned(),
                },
            ] {
                native.encode(&command, &mut out);
            }
            for broken in ["{", r#"{"type":"dance"}"#, r#"{"type":"mark"}"#] {
                out.extend(decoded(&mut native, broken).2);
            }
            assert_eq!(out.len(), 11);
            for message in &out {
                let message = serde_json::from_str(message.to_text().unwrap()).unwrap();
                if let Err(error) = published.schemas.validate(&message, published.to_agent) {
                    panic!("{message}: {error}");
                }
                assert!(
                    published.schemas.validate(&message, published.from_agent).is_err()
                        || ["mark", "transfer"].contains(&message["type"].as_str().unwrap())
                );
            }
        }
    }

    #[test]
    fn start_says_everything_about_the_call() {
        let mut out = Vec::new();
        native(SampleRate::Hz24000).encode(&AgentCommand::Start, &mut out);
        let start: Value = serde_json::from_str(out[0].to_text().unwrap()).unwrap();
        assert_eq!(
            start,
            json!({
                "type": "start",
                "call_id": "0190a6a4-6e2d-7c3e-9d5f-0123456789ab",
                "direction": "outbound",
                "caller": "",
                "callee": "sip:reception@pbx.example.com",
                "audio": {"encoding": "pcm_s16le", "sample_rate_hz": 24000, "channels": 1, "frame_ms": 20},
                "capabilities": ["clear", "mark", "dtmf"],
                "parameters": {"voice": "a", "depth": {"limit": 3}},
            })
        );
    }

    #[test]
    fn the_schema_and_the_decoder_accept_the_same_messages() {
        let published = Published::new();
        let long = |length: usize| "x".repeat(length);
        let understood = [
            (json!({"type": "clear"}), AgentEvent::Clear),
            (
                json!({"type": "mark", "name": "greeting"}),
                AgentEvent::Mark("greeting".to_owned()),
            ),
            (json!({"type": "mark", "name": long(256)}), AgentEvent::Mark(long(256))),
            (json!({"type": "hang_up"}), AgentEvent::HangUp { reason: None }),
            (
                json!({"type": "hang_up", "reason": null}),
                AgentEvent::HangUp { reason: None },
            ),
            (
                json!({"type": "hang_up", "reason": "done"}),
                AgentEvent::HangUp {
                    reason: Some("done".to_owned()),
                },
            ),
            (
                json!({"type": "send_dtmf", "digits": "12aD*#"}),
                AgentEvent::SendDtmf("12AD*#".to_owned()),
            ),
            (
                json!({"type": "transfer", "destination": "+1 (415) 555-0100"}),
                AgentEvent::Transfer(TransferRequest {
                    destination: Address::parse("+14155550100", None).unwrap(),
                    caller_id: None,
                    ring_timeout: Duration::from_secs(30),
                    announcement: None,
                    hold: Hold::Ringback,
                }),
            ),
            (
                json!({
                    "type": "transfer", "destination": "8000", "caller_id": "+14155550101", "ring_timeout_s": 5,
                    "announcement": "A caller for you.", "hold": "agent",
                }),
                AgentEvent::Transfer(TransferRequest {
                    destination: Address::parse("8000", None).unwrap(),
                    caller_id: Some(Address::parse("+14155550101", None).unwrap()),
                    ring_timeout: Duration::from_secs(5),
                    announcement: Some("A caller for you.".to_owned()),
                    hold: Hold::Agent,
                }),
            ),
            (json!({"type": "cancel_transfer"}), AgentEvent::CancelTransfer),
            // Members of later versions do no harm.
            (json!({"type": "clear", "later": [1]}), AgentEvent::Clear),
        ];
        for (message, event) in understood {
            assert!(
                published.schemas.validate(&message, published.from_agent).is_ok(),
                "{message}"
            );
            let (result, events, replies) = decoded(&mut native(SampleRate::Hz16000), &message.to_string());
            assert_eq!((result, events, replies), (Ok(()), vec![event], vec![]), "{message}");
        }
        let refused = [
            (json!({"type": "dance"}), Ignored::Unknown),
            (json!({"type": 1}), Ignored::Malformed),
            (json!({}), Ignored::Malformed),
            (json!([]), Ignored::Malformed),
            (json!("clear"), Ignored::Malformed),
            (json!({"type": "mark"}), Ignored::Malformed),
            (json!({"type": "mark", "name": 3}), Ignored::Malformed),
            (json!({"type": "mark", "name": long(257)}), Ignored::Malformed),
            (json!({"type": "hang_up", "reason": {}}), Ignored::Malformed),
            (json!({"type": "send_dtmf"}), Ignored::Malformed),
            (json!({"type": "send_dtmf", "digits": ""}), Ignored::Malformed),
            (json!({"type": "send_dtmf", "digits": "12w3"}), Ignored::Malformed),
            (json!({"type": "transfer", "destination": 8000}), Ignored::Malformed),
            (
                json!({"type": "transfer", "destination": "8000", "ring_timeout_s": 4}),
                Ignored::Malformed,
            ),
            (
                json!({"type": "transfer", "destination": "8000", "hold": "music"}),
                Ignored::Malformed,
            ),
            (
                json!({"type": "transfer", "destination": "8000", "announcement": long(501)}),
                Ignored::Malformed,
            ),
            (
                json!({"type": "send_dtmf", "digits": "1".repeat(33)}),
                Ignored::Malformed,
            ),
        ];
        for (message, reason) in refused {
            assert!(
                published.schemas.validate(&message, published.from_agent).is_err(),
                "{message}"
            );
            let (result, events, replies) = decoded(&mut native(SampleRate::Hz16000), &message.to_string());
            assert_eq!((result, events.len(), replies.len()), (Err(reason), 0, 1), "{message}");
        }
    }

    #[test]
    fn a_transfer_to_nobody_fails_like_other_transfers() {
        for message in [
            json!({"type": "transfer"}),
            json!({"type": "transfer", "destination": null}),
            json!({"type": "transfer", "destination": " "}),
        ] {
            let (result, events, replies) = decoded(&mut native(SampleRate::Hz16000), &message.to_string());
            assert_eq!((result, events.len()), (Ok(()), 0));
            let reply: Value = serde_json::from_str(replies[0].to_text().unwrap()).unwrap();
            assert_eq!(
                reply,
                json!({"type": "transfer", "state": "failed", "reason": "no_destination"})
            );
        }
    }

    #[test]
    fn an_agent_that_errs_all_the_time_is_told_so_a_few_times() {
        let mut native = native(SampleRate::Hz8000);
        let told: usize = (0..100).map(|_| decoded(&mut native, "?").2.len()).sum();
        assert_eq!(told, ERRORS_MAX as usize);
    }

    #[test]
    fn audio_is_little_endian_in_both_directions_and_may_be_cut_anywhere() {
        let mut native = native(SampleRate::Hz16000);
        let mut out = Vec::new();
        native.encode(&AgentCommand::Audio(vec![0x0102, -2]), &mut out);
        assert_eq!(out, [Message::binary(vec![0x02, 0x01, 0xFE, 0xFF])]);

        let mut events = VecDeque::new();
        for chunk in [&[0x02][..], &[0x01, 0xFE], &[0xFF, 0x77]] {
            native
                .decode(Incoming::Binary(chunk), &mut events, &mut Vec::new())
                .unwrap();
        }
        assert_eq!(events, [AgentEvent::Audio(vec![0x0102]), AgentEvent::Audio(vec![-2])]);

        // Half a sample does not outlive what it belonged to.
        events.clear();
        native
            .decode(Incoming::Text(r#"{"type":"clear"}"#), &mut events, &mut Vec::new())
            .unwrap();
        native
            .decode(Incoming::Binary(&[0x02, 0x01]), &mut events, &mut Vec::new())
            .unwrap();
        assert_eq!(events, [AgentEvent::Clear, AgentEvent::Audio(vec![0x0102])]);
    }
}
