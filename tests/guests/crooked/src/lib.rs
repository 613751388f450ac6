//! A provider that keeps the contract, or breaks one rule of it. Which one is written in its data, where a test puts another
//! word of the same length before it loads the component.

use std::hash::{BuildHasher as _, RandomState};
use std::hint::black_box;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strowger_sdk::{
    Answered, Call, CallStatus, CallbackOutcome, Calling, Cost, Encoding, Field, FieldProblem, FrameProblem,
    HangUpOutcome, InboundCall, Io, Leg, MediaAddress, MediaEvent, MediaFrame, MediaProfile, Message, Outbound,
    Outcome, Placed, Proof, Provider, ProviderSpec, Recognition, Rejection, RejectionReason, Request, Response, Sealed,
    Started, StatusReport, Webhook,
};

/// Which rule is broken; `none` for an honest provider.
static MISBEHAVIOUR: [u8; 32] = *b"misbehaviour: none              ";

/// RFC 8032 §7.1, test 1: a signature that is always right, because it is over nothing.
const PUBLIC_KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const SIGNATURE: &str = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";

fn does(what: &str) -> bool {
    let told = black_box(&MISBEHAVIOUR);
    told["misbehaviour: ".len()..]
        .strip_prefix(what.as_bytes())
        .is_some_and(|rest| rest.iter().all(|&byte| byte == b' '))
}

#[derive(Debug)]
pub struct Crooked;

#[derive(Debug, Serialize, Deserialize)]
pub struct Config {
    line: String,
    key: Sealed,
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .filter_map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).ok())
        .collect()
}

impl Provider for Crooked {
    type Config = Config;
    type Leg = Said;

    fn spec() -> ProviderSpec {
        let spec = ProviderSpec::new(
            "crooked",
            "Crooked Telephone",
            env!("CARGO_PKG_VERSION"),
            MediaProfile::new(Encoding::Pcmu, 8000),
        )
        .caller_id_optional()
        .field(Field::text("line", "Line").required())
        .field(Field::password("key", "Key").required().sensitive())
        .account_id_field("line")
        .egress_host("api.crooked.example");
        if does("is-deaf") { spec.no_webhooks() } else { spec }
    }

    fn config_loader(credentials: Value) -> Result<Config, Vec<FieldProblem>> {
        let line = text(&credentials, "line").unwrap_or_default();
        if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let problem = if does("quotes") {
                format!("{line} is no line.")
            } else {
                "A line has letters and digits only, for example LINE1.".to_owned()
            };
            return Err(vec![FieldProblem::new("line", problem)]);
        }
        let key = text(&credentials, "key").unwrap_or_default();
        Ok(Config {
            line,
            key: Sealed::new(key),
        })
    }

    fn recognise(webhook: &Webhook) -> Option<Recognition> {
        if does("is-slow") {
            (0..10_000_000_u32).for_each(|n| _ = black_box(n));
        }
        if !does("claims-all") {
            webhook.header("x-crooked-key")?;
        }
        let body: Value = serde_json::from_slice(&webhook.body).unwrap_or_default();
        let call = text(&body, "call");
        Some(Recognition::InboundCall(InboundCall {
            provider_call_id: if does("claims-all") {
                call.unwrap_or("1".to_owned())
            } else {
                call?
            },
            caller: text(&body, "from").unwrap_or_default(),
            callee: text(&body, "to").unwrap_or_default(),
            caller_country: None,
            callee_country: None,
            account_id: text(&body, "line"),
        }))
    }

    fn verify_signature(config: &Config, webhook: &Webhook) -> Result<Vec<Proof>, Rejection> {
        if does("signs-itself") {
            return Ok(vec![Proof::new("own").ed25519(
                bytes(PUBLIC_KEY),
                Vec::new(),
                bytes(SIGNATURE),
            )]);
        }
        if does("expects-itself") {
            return Ok(vec![Proof::new("own").equals(&config.key, b"hush".to_vec())]);
        }
        let presented = webhook
            .header("x-crooked-key")
            .ok_or_else(|| Rejection::new("key-missing", "The header x-crooked-key is missing."))?;
        Ok(vec![Proof::new("key").equals(&config.key, presented.as_bytes())])
    }

    fn handle_callback(_: &Config, _: &str, _: &Call, webhook: &Webhook, _: &mut Io) -> Outcome<CallbackOutcome> {
        if does("trusts-callbacks") {
            let body: Value = serde_json::from_slice(&webhook.body).expect("the carrier sends JSON");
            drop(body);
        }
        Ok(CallbackOutcome {
            events: vec![],
            response: Response::empty(204),
        })
    }

    fn answer_markup(_: &Config, _: &Call, media: &MediaAddress, _: Option<&Webhook>, _: &mut Io) -> Outcome<Answered> {
        if does("rolls-dice") {
            return Ok(Answered::with(Response::text(
                RandomState::new().hash_one("dice").to_string(),
            )));
        }
        let url = if does("injects") {
            media.url.clone()
        } else {
            media.url.replace('&', "&amp;")
        };
        Ok(Answered::with(Response::xml(format!("<Answer url=\"{url}\"/>"))))
    }

    fn rejection_markup(_: RejectionReason) -> Response {
        if does("refuses-with-503") {
            Response::empty(503)
        } else {
            Response::xml("<Bye/>")
        }
    }
}

impl Calling for Crooked {
    fn place_call(config: &Config, call: &Call, _: &Outbound, io: &mut Io) -> Outcome<Placed> {
        let host = if does("wanders") {
            "https://api.elsewhere.example"
        } else {
            "https://api.crooked.example"
        };
        let mut url = format!("{host}/calls");
        if does("leaks") {
            url = format!("{url}?key={}", config.key.as_str());
        }
        let request = || {
            Request::post(url.as_str())
                .bearer(config.key.as_str())
                .json(&json!({ "to": call.callee }))
        };
        let mut response = io.http(request())?;
        while does("insists") {
            response = io.http(request())?;
        }
        if !does("believes-all") {
            response = response.require(200..=201)?;
        }
        let placed: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        Ok(Placed {
            provider_call_id: text(&placed, "call").unwrap_or("unknown".to_owned()),
            attachment: None,
        })
    }

    fn hang_up(_: &Config, _: &Call, _: &mut Io) -> Outcome<HangUpOutcome> {
        Ok(HangUpOutcome::AlreadyEnded)
    }

    fn fetch_status(_: &Config, _: &Call, _: &mut Io) -> Outcome<StatusReport> {
        Ok(StatusReport {
            status: CallStatus::Completed,
            duration_ms: None,
        })
    }

    fn fetch_cost(_: &Config, _: &Call, _: &mut Io) -> Outcome<Option<Cost>> {
        Ok(None)
    }
}

/// Text messages with a payload in plain letters.
#[derive(Debug)]
pub struct Said;

impl Leg<Config> for Said {
    fn open(_: &Config, _: &Call) -> Self {
        Self
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        let Message::Text(text) = message else {
            return vec![MediaEvent::Malformed("a binary message".to_owned())];
        };
        let message: Value = serde_json::from_str(&text).unwrap_or_default();
        if message.get("begin").is_some() {
            return vec![MediaEvent::Started(Started::default())];
        }
        match message.get("audio").and_then(Value::as_str).map(str::to_owned) {
            Some(payload) => vec![MediaEvent::audio(payload.into_bytes())],
            None if does("hears-voices") => vec![MediaEvent::audio(text.into_bytes())],
            None => vec![MediaEvent::Malformed("no audio in it".to_owned())],
        }
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        match frame {
            MediaFrame::Audio(payload) => Ok(vec![Message::Text(json!({ "bytes": payload.len() }).to_string())]),
            MediaFrame::Stop => Ok(vec![]),
            MediaFrame::Clear | MediaFrame::Mark(_) | MediaFrame::Dtmf(_) => Err(FrameProblem::Unsupported),
        }
    }
}

strowger_sdk::export!(Crooked: calling);
