//! A provider that misbehaves on request.
//!
//! Its credential `misbehave` names what it does wrong, and where: `answer:spin`, `place-call:secret-in-url`. Where no
//! configuration is at hand, the header `x-misbehave` of the webhook does. Everything else about it is honest, so that each
//! test meets one fault in an otherwise working provider.
//!
//! What Rust cannot be brought to do, such as a discriminant that does not exist, is done by components in text form beside
//! the tests.

#![allow(unsafe_code, reason = "an allocator that lies, and strings that are not UTF-8")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use strowger_sdk::{
    Answered, Call, CallEvent, CallStatus, CallbackOutcome, Calling, Cost, Encoding, Failure, Field, FieldProblem,
    FrameProblem, HangUpOutcome, Hash, InboundCall, Io, Leg, MediaAddress, MediaEvent, MediaFrame, MediaProfile,
    Message, Outbound, Outcome, Placed, Proof, Provider, ProviderSpec, Recognition, Rejection, RejectionReason,
    Request, Response, Route, Sealed, Started, StatusReport, Webhook,
};

/// The one size of allocation at which an armed allocator strikes: nothing honest in here asks for it.
const STRIKE_BYTES: usize = 31_337;

const HONEST: u8 = 0;
const ALLOC_TRAP: u8 = 1;
const ALLOC_WILD: u8 = 2;
const ALLOC_NULL: u8 = 3;
const ALLOC_SPIN: u8 = 4;
const ALLOC_START: u8 = 5;
const FREE_TRAP: u8 = 6;
const FREE_SPIN: u8 = 7;

static ARMED: AtomicU8 = AtomicU8::new(HONEST);

/// The host puts every argument where this allocator says: it is the guest's way to lie about its own memory.
struct Liar;

#[global_allocator]
static ALLOCATOR: Liar = Liar;

// SAFETY: unarmed it is the system's allocator. Armed it breaks the contract on purpose; nothing but the sandbox can be hurt.
unsafe impl GlobalAlloc for Liar {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() == STRIKE_BYTES {
            match ARMED.load(Ordering::Relaxed) {
                ALLOC_TRAP => trap(),
                ALLOC_WILD => return usize::MAX as *mut u8,
                ALLOC_NULL => return std::ptr::null_mut(),
                ALLOC_SPIN => spin(),
                ALLOC_START => return layout.align() as *mut u8,
                _ => {}
            }
        }
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if layout.size() == STRIKE_BYTES {
            match ARMED.load(Ordering::Relaxed) {
                FREE_TRAP => trap(),
                FREE_SPIN => spin(),
                ALLOC_WILD | ALLOC_START => return,
                _ => {}
            }
        }
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

#[expect(unconditional_recursion, reason = "on purpose")]
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    black_box(recurse(depth + 1)) + room[usize::try_from(depth % 64).unwrap_or(0)]
}

fn eat_memory() -> ! {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(black_box(vec![1; 256 * 1024]));
    }
}

/// What can go wrong in any export. Returns when `how` is something else.
fn misbehave(how: &str) {
    match how {
        "spin" => spin(),
        "trap" => trap(),
        "panic" => panic!("on purpose"),
        "exit" => std::process::exit(0),
        "recursion" => drop(black_box(recurse(0))),
        "memory" => eat_memory(),
        "print" => {
            use std::io::Write as _;
            let line = [b'x'; 1000];
            for _ in 0..2_000 {
                std::io::stdout().write_all(&line).unwrap_or_default();
                std::io::stderr().write_all(b"\x1b[2Jforged\n").unwrap_or_default();
            }
        }
        "copy" => {
            // Bulk operations are not interrupted: only the bound on memory bounds them.
            let mut room = vec![0_u8; 6 * 1024 * 1024];
            loop {
                room.copy_within(..5 * 1024 * 1024, 1024 * 1024);
                black_box(&room);
            }
        }
        _ => {}
    }
}

/// Bytes that no UTF-8 contains.
fn not_text() -> String {
    // SAFETY: never looked at in here.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xfe]) }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    #[serde(default)]
    misbehave: String,
    #[serde(default)]
    host: String,
    secret: Sealed,
}

impl Config {
    /// What to do wrong in this export; empty for nothing.
    fn at(&self, export: &str) -> String {
        let how = self
            .misbehave
            .split_once(':')
            .filter(|(place, _)| *place == export)
            .map(|(_, how)| how);
        let how = how.unwrap_or_default().to_owned();
        misbehave(&how);
        how
    }
}

#[derive(Debug)]
pub struct Hostile;

impl Provider for Hostile {
    type Config = Config;
    type Leg = HostileLeg;

    fn spec() -> ProviderSpec {
        ProviderSpec::new(
            "hostile",
            "Hostile Telecom",
            "0.1.0",
            MediaProfile::new(Encoding::Pcmu, 8000),
        )
        .field(Field::text("misbehave", "Misbehave"))
        .field(Field::text("host", "Host that it wants to reach"))
        .field(Field::password("secret", "Secret").required().sensitive())
        .route(Route::callback("status"))
        .egress_host("api.example.com")
        .egress_host("{host}")
    }

    fn config_loader(credentials: serde_json::Value) -> Result<Config, Vec<FieldProblem>> {
        let config: Config = serde_json::from_value(credentials).map_err(|_| vec![])?;
        match config.at("config").as_str() {
            "problems" => {
                return Err((0..1000)
                    .map(|_| FieldProblem::new("secret", format!("is {}", config.secret.as_str())))
                    .collect());
            }
            "not-text" => {
                return Ok(Config {
                    misbehave: not_text(),
                    ..config
                });
            }
            _ => {}
        }
        // Armed for what the host does next in this instance.
        ARMED.store(
            match config.misbehave.as_str() {
                "realloc:trap" => ALLOC_TRAP,
                "realloc:wild" => ALLOC_WILD,
                "realloc:null" => ALLOC_NULL,
                "realloc:spin" => ALLOC_SPIN,
                "realloc:overlap" => ALLOC_START,
                "post-return:trap" => FREE_TRAP,
                "post-return:spin" => FREE_SPIN,
                _ => HONEST,
            },
            Ordering::Relaxed,
        );
        Ok(config)
    }

    fn recognise(webhook: &Webhook) -> Option<Recognition> {
        let how = webhook.header("x-misbehave")?.to_owned();
        misbehave(&how);
        let mut call = InboundCall {
            provider_call_id: webhook.header("x-call-id").unwrap_or("call-1").to_owned(),
            caller: "+14155550100".to_owned(),
            callee: "+14155550199".to_owned(),
            caller_country: None,
            callee_country: None,
            account_id: None,
        };
        match how.as_str() {
            "empty-id" => call.provider_call_id.clear(),
            "long-id" => call.provider_call_id = "x".repeat(256),
            "line-break" => call.caller = "a\r\nb".to_owned(),
            "not-text" => call.callee = not_text(),
            "flood" => call.caller = "x".repeat(3 * 1024 * 1024),
            _ => {}
        }
        Some(Recognition::InboundCall(call))
    }

    fn verify_signature(config: &Config, _: &Webhook) -> Result<Vec<Proof>, Rejection> {
        let how = config.at("verify");
        let honest = || Proof::new("shared secret").equals(&config.secret, "hush-hush");
        Ok(match how.as_str() {
            "no-proof" => vec![],
            "keyless" => vec![Proof::new("digest").digest(
                Hash::Sha1,
                "abc",
                // FIPS 180-2, appendix A.1.
                b"\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d".to_vec(),
            )],
            "key-in-the-clear" => vec![Proof::new("own key").hmac_sha1(&Sealed::new("my own key"), "", "")],
            "secret-in-rejection" => {
                return Err(Rejection::new("x", format!("the secret is {}", config.secret.as_str())));
            }
            "many" => (0..17).map(|_| honest()).collect(),
            "flood" => (0..100_000).map(|_| Proof::new("")).collect(),
            _ => vec![honest()],
        })
    }

    fn handle_callback(config: &Config, _: &str, _: &Call, _: &Webhook, _: &mut Io) -> Outcome<CallbackOutcome> {
        let how = config.at("callback");
        let status = |cause: Option<String>| {
            CallEvent::Status(strowger_sdk::StatusEvent {
                status: CallStatus::Completed,
                duration_ms: None,
                cause,
            })
        };
        let mut outcome = CallbackOutcome {
            events: vec![],
            response: Response::empty(204),
        };
        match how.as_str() {
            "many" => outcome.events = (0..17).map(|_| status(None)).collect(),
            "long-cause" => outcome.events = vec![status(Some("x".repeat(101)))],
            "empty-id" => outcome.events = vec![CallEvent::Identified(String::new())],
            "attach-garbage" => outcome.events = vec![CallEvent::Attach("{".to_owned())],
            "attach-much" => outcome.events = vec![CallEvent::Attach(json!("x".repeat(4096)).to_string())],
            "attach-secret" => outcome.events = vec![CallEvent::Attach(json!(config.secret).to_string())],
            "status" => outcome.response.status = 101,
            "header" => outcome.response = Response::empty(204).with_raw_header("x-a", "1\r\nx-b: 2"),
            "header-name" => outcome.response = Response::empty(204).with_raw_header("x-a: 1\r\nx-b", "2"),
            "header-null" => outcome.response = Response::empty(204).with_raw_header("x-a", "1\0"),
            "hop-header" => outcome.response = Response::empty(204).with_raw_header("Transfer-Encoding", "chunked"),
            _ => {}
        }
        Ok(outcome)
    }

    fn answer_markup(
        config: &Config,
        _: &Call,
        media: &MediaAddress,
        webhook: Option<&Webhook>,
        io: &mut Io,
    ) -> Outcome<Answered> {
        let how = config.at("answer");
        let secret = config.secret.as_str();
        let mut response = Response::xml(format!("<Stream>{}</Stream>", media.url));
        match how.as_str() {
            "secret-in-markup" => response = Response::xml(format!("<Say>{secret}</Say>")),
            "secret-in-header" => response = response.with_raw_header("x-secret", secret),
            "secret-in-failure" => return Err(Failure::internal("leak", format!("it is {secret}")).into()),
            "flood" => response = Response::xml("x".repeat(3 * 1024 * 1024)),
            "much" => response = Response::xml("x".repeat(256 * 1024 + 1)),
            // Secrets that a carrier echoes must not come back to the guest in the clear.
            "echo" => {
                let reply = io.http(Request::get("https://api.example.com/").bearer(&config.secret))?;
                response = Response::xml(reply.body);
            }
            "echo-twice" => {
                let reply = io.http(Request::get("https://api.example.com/").bearer(&config.secret))?;
                let heard = String::from_utf8_lossy(&reply.body).contains("hush-hush");
                response = Response::xml(if heard { "<Heard/>" } else { "<Nothing/>" });
            }
            _ => {}
        }
        if ARMED.load(Ordering::Relaxed) >= FREE_TRAP {
            response.body = vec![b'x'; STRIKE_BYTES];
        }
        black_box(webhook.and_then(|webhook| webhook.body.first()));
        Ok(Answered {
            response,
            events: vec![],
        })
    }

    fn rejection_markup(_: RejectionReason) -> Response {
        Response::xml("<Reject/>")
    }
}

/// Headers as the author wrote them.
trait RawHeader {
    fn with_raw_header(self, name: &str, value: &str) -> Self;
}

impl RawHeader for Response {
    fn with_raw_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(strowger_sdk::Header {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        self
    }
}

impl Calling for Hostile {
    fn place_call(config: &Config, _: &Call, _: &Outbound, io: &mut Io) -> Outcome<Placed> {
        let how = config.at("place-call");
        let secret = config.secret.as_str();
        let minute = Duration::from_secs(60);
        let url = "https://api.example.com/calls";
        match how.as_str() {
            "endless" => loop {
                io.http(Request::get(url))?;
            },
            "secret-in-url" => drop(io.http(Request::get(format!("{url}?key={secret}")))?),
            "secret-in-body" => drop(io.http(Request::post(url).form(&[("key", secret)]))?),
            "secret-in-header" => drop(io.http(Request::post(url).header("x-key", secret))?),
            "secret-in-header-name" => drop(io.http(Request::post(url).header(secret, "x"))?),
            "secret-in-value" => io.save("key", &secret, minute)?,
            "secret-in-key" => drop(io.claim(secret, minute)?),
            "foreign-reference" => {
                let forged = format!("{}999", &secret[..secret.len() - 3]);
                drop(io.http(Request::get(url).bearer(forged))?);
            }
            "method" => drop(io.http(Request::new("TRACE", url))?),
            "request" => drop(io.http(Request::get(format!("{}/latest/meta-data/", config.host)))?),
            "relative" => drop(io.http(Request::get("/calls"))?),
            "scheme" => drop(io.http(Request::get("file:///etc/passwd"))?),
            "line-in-header" => drop(io.http(Request::get(url).header("x-a", "1\r\nx-b: 2"))?),
            "line-in-header-name" => drop(io.http(Request::get(url).header("x-a: 1\r\nx-b", "2"))?),
            "line-in-method" => drop(io.http(Request::new("GET / HTTP/1.1\r\nx-a: 1\r\n\r\nGET", url))?),
            "host-header" => drop(io.http(Request::get(url).header("Host", "internal"))?),
            "long-key" => drop(io.load::<String>(&"k".repeat(129))?),
            "long-value" => io.save("key", &"v".repeat(16 * 1024), minute)?,
            "long-time" => io.save("key", &1, Duration::from_secs(24 * 60 * 60 + 1))?,
            "much" => drop(io.http(Request::post(url).json(&"x".repeat(256 * 1024)))?),
            "empty-id" => {
                return Ok(Placed {
                    provider_call_id: String::new(),
                    attachment: None,
                });
            }
            _ => {}
        }
        Ok(Placed {
            provider_call_id: "call-1".to_owned(),
            attachment: None,
        })
    }

    fn hang_up(config: &Config, _: &Call, _: &mut Io) -> Outcome<HangUpOutcome> {
        config.at("hang-up");
        Ok(HangUpOutcome::Ended)
    }

    fn fetch_status(_: &Config, _: &Call, _: &mut Io) -> Outcome<StatusReport> {
        Ok(StatusReport {
            status: CallStatus::Completed,
            duration_ms: None,
        })
    }

    fn fetch_cost(config: &Config, _: &Call, _: &mut Io) -> Outcome<Option<Cost>> {
        let (amount, currency) = match config.at("cost").as_str() {
            "negative" => ("-1", "USD"),
            "exponent" => ("1e9", "USD"),
            "dots" => ("1.2.3", "USD"),
            "currency" => ("1", "$"),
            _ => ("0.0085", "USD"),
        };
        Ok(Some(Cost {
            amount: amount.to_owned(),
            currency: currency.to_owned(),
            duration_s: 1,
        }))
    }
}

/// Misbehaves on the text message and on the mark that name the fault, so that a leg is honest until then.
#[derive(Debug)]
pub struct HostileLeg {
    secret: String,
    started: bool,
}

impl Leg<Config> for HostileLeg {
    fn open(config: &Config, _: &Call) -> Self {
        config.at("open-leg");
        Self {
            secret: config.secret.as_str().to_owned(),
            started: false,
        }
    }

    fn deserialize_frame(&mut self, message: Message) -> Vec<MediaEvent> {
        let text = match message {
            Message::Binary(payload) if self.started => return vec![MediaEvent::audio(payload)],
            Message::Binary(_) => return vec![MediaEvent::malformed("audio before start")],
            Message::Text(text) => text,
        };
        misbehave(&text);
        let format = |receive_format| {
            vec![MediaEvent::Started(Started {
                provider_call_id: None,
                stream_id: None,
                receive_format,
                send_format: None,
                parameters: vec![],
            })]
        };
        match text.as_str() {
            "start" => {
                self.started = true;
                format(None)
            }
            "unknown-format" => format(Some(7)),
            "many" => (0..65).map(|_| MediaEvent::Flow(true)).collect(),
            "flood" => (0..10_000).map(|_| MediaEvent::Flow(true)).collect(),
            "much" => vec![MediaEvent::audio(vec![0; 512 * 1024])],
            "dtmf" => vec![MediaEvent::Dtmf("E".to_owned())],
            "dtmf-empty" => vec![MediaEvent::Dtmf(String::new())],
            "not-text" => vec![MediaEvent::Mark(not_text())],
            _ => vec![],
        }
    }

    fn serialize_frame(&mut self, frame: MediaFrame) -> Result<Vec<Message>, FrameProblem> {
        match frame {
            MediaFrame::Audio(payload) if self.started => Ok(vec![Message::Binary(payload)]),
            MediaFrame::Audio(_) => Err(FrameProblem::NotStarted),
            MediaFrame::Mark(how) => {
                misbehave(&how);
                Ok(match how.as_str() {
                    "many" => (0..5).map(|_| Message::Binary(vec![])).collect(),
                    "much" => vec![Message::Text("x".repeat(64 * 1024 + 1))],
                    "secret" => vec![Message::Text(format!("{{\"key\":\"{}\"}}", self.secret))],
                    "secret-binary" => vec![Message::Binary(self.secret.clone().into_bytes())],
                    _ => vec![],
                })
            }
            _ => Err(FrameProblem::Unsupported),
        }
    }
}

strowger_sdk::export!(Hostile: calling);
