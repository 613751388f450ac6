//! What each provider costs: the size of its component, a webhook proved in a fresh instance, and one frame of media against
//! the same code native. Prints the table of docs/performance.md.
//!
//! Webhooks and messages come from the simulated carriers. Sandboxed and native take turns within one run: on a machine that
//! is busy with other things, only their ratio can be compared.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use strowger_host::operation::{Call, Direction};
use strowger_host::{Credentials, Header, MediaEvent, MediaFrame, Message, Moment, Provider, Verdict, Webhook, spec};
use strowger_sdk::Leg;
use strowger_simulator::Carrier;
use strowger_simulator::carrier::{CallRecord, StreamInstruction, Tamper, WebhookKind, WebhookTarget, WireMessage};
use strowger_simulator::report;
use strowger_tests::{credentials, provider, provider_bytes};

const TURNS: usize = 201;
const FRAMES_A_TURN: u32 = 300;
const PROOFS: usize = 2_000;

/// One carrier, with the native twin of its provider.
fn row<P: strowger_sdk::Provider>() {
    let name = P::spec().name;
    let carrier = strowger_simulator::by_name(&name).expect("every carrier is simulated");
    let component = provider(&name);
    let entered = carrier.credentials();
    let account = credentials(&component, &entered);
    let record = CallRecord::new(
        carrier.new_call_id(),
        report::Direction::Inbound,
        "+12025550147",
        carrier.own_number(),
    );

    let (incoming, frame) = messages(carrier, &record, &component);
    let started = incoming.clone();
    let mut sandboxed = component
        .open_leg(&account, call(&record), Moment::at(1))
        .expect("the leg opens");
    for message in &started.0 {
        sandboxed.deserialize(message.clone()).expect("the stream starts");
    }
    let heard = sandboxed.deserialize(started.1.clone()).expect("it runs");
    assert!(matches!(heard[..], [MediaEvent::Audio { .. }]), "{name}: {heard:?}");
    let mut native = native_leg::<P>(&entered, &record);
    for message in &started.0 {
        native.deserialize_frame(to_native(message.clone()));
    }
    let audio = started.1;
    let (deserialize, serialize) = (
        turns(
            || drop(black_box(sandboxed.deserialize(audio.clone()))),
            || drop(black_box(native.deserialize_frame(to_native(audio.clone())))),
        ),
        {
            let mut sandboxed = component
                .open_leg(&account, call(&record), Moment::at(1))
                .expect("the leg opens");
            for message in &started.0 {
                sandboxed.deserialize(message.clone()).expect("the stream starts");
            }
            let sent = sandboxed.serialize(&MediaFrame::Audio(frame.clone())).expect("it runs");
            assert!(sent.is_ok(), "{name}: {sent:?}");
            turns(
                || drop(black_box(sandboxed.serialize(&MediaFrame::Audio(frame.clone())))),
                || {
                    drop(black_box(
                        native.serialize_frame(strowger_sdk::MediaFrame::Audio(frame.clone())),
                    ))
                },
            )
        },
    );
    println!(
        "| {name} | {} KiB | {} | {} | {} |",
        provider_bytes(&name).len() / 1024,
        proof(carrier, &record, &component, &account),
        deserialize,
        serialize
    );
}

/// What the carrier sends before audio, a message of audio, and a frame in the format that it takes.
fn messages(
    carrier: &'static dyn Carrier,
    record: &CallRecord,
    component: &Provider,
) -> ((Vec<Message>, Message), Vec<u8>) {
    let format = component.spec().media.formats[0];
    let stream = StreamInstruction {
        url: "wss://gateway.example/api/v1/telephony/ws/token".to_owned(),
        content_type: match format.encoding {
            spec::Encoding::Pcmu | spec::Encoding::Pcma => "audio/x-mulaw;rate=8000".to_owned(),
            spec::Encoding::L16Le | spec::Encoding::L16Be => format!("audio/l16;rate={}", format.sample_rate_hz),
        },
        ..StreamInstruction::default()
    };
    let mut dialect = carrier.open_stream(record, &stream);
    let mut first = dialect.connected();
    first.extend(dialect.opening());
    let samples: Vec<i16> = (0..dialect.sends().frame_samples())
        .map(|n| (n as i16 * 37) % 8_000)
        .collect();
    let audio = dialect.audio(&dialect.sends().encode(&samples));
    let bytes = match format.encoding {
        spec::Encoding::Pcmu | spec::Encoding::Pcma => 1,
        spec::Encoding::L16Le | spec::Encoding::L16Be => 2,
    };
    let frame_bytes = format.sample_rate_hz as usize / 1000 * usize::from(component.spec().media.frame_ms) * bytes;
    let frame = (0..frame_bytes).map(|n| (n * 37 % 256) as u8).collect();
    ((first.into_iter().map(message).collect(), message(audio)), frame)
}

fn message(message: WireMessage) -> Message {
    match message {
        WireMessage::Text(text) => Message::Text(text),
        WireMessage::Binary(bytes) => Message::Binary(bytes),
    }
}

fn to_native(message: Message) -> strowger_sdk::Message {
    match message {
        Message::Text(text) => strowger_sdk::Message::Text(text),
        Message::Binary(bytes) => strowger_sdk::Message::Binary(bytes),
    }
}

fn call(record: &CallRecord) -> Call {
    Call {
        id: "0193c0de-0000-7000-8000-0123456789ab".to_owned(),
        provider_call_id: Some(record.id.clone()),
        direction: Direction::Inbound,
        caller: record.from.clone(),
        callee: record.to.clone(),
        routes: vec![],
        attachment: None,
    }
}

fn native_leg<P: strowger_sdk::Provider>(entered: &Value, record: &CallRecord) -> P::Leg {
    let config = P::config_loader(entered.clone())
        .unwrap_or_else(|problems| panic!("the simulated carrier's credentials are refused: {problems:?}"));
    let call = strowger_sdk::Call {
        id: "0193c0de-0000-7000-8000-0123456789ab".to_owned(),
        provider_call_id: Some(record.id.clone()),
        direction: strowger_sdk::Direction::Inbound,
        caller: record.from.clone(),
        callee: record.to.clone(),
        routes: vec![],
        attachment: None,
    };
    P::Leg::open(&config, &call)
}

/// The median time to prove a genuine webhook in a fresh instance.
fn proof(carrier: &'static dyn Carrier, record: &CallRecord, component: &Provider, account: &Credentials) -> String {
    if component.spec().webhook_proof == spec::ProofPolicy::NoWebhooks {
        return "no webhooks".to_owned();
    }
    let target = WebhookTarget::post("https://gateway.example/api/v1/telephony/inbound/run");
    let sent = carrier.webhook(record, &WebhookKind::Incoming, &target, &Tamper::default());
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as u64;
    let webhook = Webhook {
        method: sent.method,
        url: sent.url,
        headers: sent
            .headers
            .into_iter()
            .map(|(name, value)| Header { name, value })
            .collect(),
        body: sent.body,
        received_at: now_ms,
    };
    let prove = || {
        component
            .verify(account, &webhook, &Moment::at(now_ms))
            .expect("it runs")
    };
    let verdict = prove();
    assert!(matches!(verdict, Verdict::Genuine { .. }), "{verdict:?}");
    let mut times: Vec<Duration> = (0..PROOFS)
        .map(|_| {
            let start = Instant::now();
            black_box(prove());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    format!("{:.0} µs", times[PROOFS / 2].as_secs_f64() * 1e6)
}

/// Both take turns, so that whatever else the machine does falls on both: `sandboxed, native, ratio` of the median turn.
fn turns(mut sandboxed: impl FnMut(), mut native: impl FnMut()) -> String {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..FRAMES_A_TURN {
            work();
        }
        start.elapsed().as_secs_f64() / f64::from(FRAMES_A_TURN)
    };
    let mut turns: Vec<(f64, f64)> = (0..TURNS).map(|_| (time(&mut sandboxed), time(&mut native))).collect();
    turns.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let (sandboxed, native) = turns[TURNS / 2];
    format!(
        "{:.0} ns, {:.0} ns, {:.1} ×",
        sandboxed * 1e9,
        native * 1e9,
        sandboxed / native
    )
}

fn main() {
    println!(
        "| provider | component | fresh instance + proof | `deserialize-frame`: sandboxed, native, ratio | `serialize-frame` |"
    );
    println!("|---|--:|--:|--:|--:|");
    row::<strowger_provider_ari::Ari>();
    row::<strowger_provider_cloudonix::Cloudonix>();
    row::<strowger_provider_plivo::Plivo>();
    row::<strowger_provider_telnyx::Telnyx>();
    row::<strowger_provider_twilio::Twilio>();
    row::<strowger_provider_vobiz::Vobiz>();
    row::<strowger_provider_vonage::Vonage>();
}
