//! What the sandbox costs: a whole webhook verification in a fresh instance, and one frame of media against the same code
//! native.
//!
//! Beside criterion's table it prints the ratios, measured in turns within one run: on a machine that is busy with other
//! things, only they can be compared.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::hint::black_box;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;
use strowger_host::operation::{Call, Direction};
use strowger_host::{Credentials, Header, MediaFrame, MediaLeg, Message, Moment, Provider, Verdict, Webhook};
use strowger_provider_twilio::{Config, MediaStream};
use strowger_sdk::Leg;
use strowger_tests::{credentials, provider};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// One frame of 20 ms: G.711 at 8 kHz.
const FRAME_BYTES: usize = 160;

fn account(provider: &Provider) -> Credentials {
    credentials(provider, &json!({ "account_sid": ACCOUNT, "auth_token": TOKEN }))
}

fn webhook() -> Webhook {
    let url = "https://gateway.example/api/v1/telephony/inbound/run".to_owned();
    let parameters = [
        ("AccountSid", ACCOUNT),
        ("CallSid", "CAabcdef0123456789abcdef0123456789"),
        ("From", "+14155550100"),
    ];
    let mut mac = Hmac::<Sha1>::new_from_slice(TOKEN.as_bytes()).expect("any key");
    mac.update(url.as_bytes());
    for (name, value) in parameters {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    Webhook {
        method: "POST".to_owned(),
        url,
        headers: vec![
            Header {
                name: "content-type".to_owned(),
                value: "application/x-www-form-urlencoded".to_owned(),
            },
            Header {
                name: "x-twilio-signature".to_owned(),
                value: STANDARD.encode(mac.finalize().into_bytes()),
            },
        ],
        body: form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish()
            .into_bytes(),
        received_at: 1_763_800_000_000,
    }
}

fn start() -> String {
    json!({
        "event": "start", "sequenceNumber": "1", "streamSid": "MZ0123456789abcdef0123456789abcdef",
        "start": {
            "streamSid": "MZ0123456789abcdef0123456789abcdef", "accountSid": ACCOUNT,
            "callSid": "CAabcdef0123456789abcdef0123456789", "tracks": ["inbound"], "customParameters": {},
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
        },
    })
    .to_string()
}

fn frame() -> Vec<u8> {
    (0..FRAME_BYTES).map(|n| (n * 37 % 256) as u8).collect()
}

fn media() -> String {
    json!({
        "event": "media", "sequenceNumber": "1234", "streamSid": "MZ0123456789abcdef0123456789abcdef",
        "media": { "track": "inbound", "chunk": "1233", "timestamp": "24660", "payload": STANDARD.encode(frame()) },
    })
    .to_string()
}

fn sandboxed(provider: &Provider) -> MediaLeg {
    let call = Call {
        id: "1".to_owned(),
        provider_call_id: None,
        direction: Direction::Inbound,
        caller: String::new(),
        callee: String::new(),
        routes: vec![],
        attachment: None,
    };
    let mut leg = provider
        .open_leg(&account(provider), call, Moment::at(1))
        .expect("the leg opens");
    leg.deserialize(Message::Text(start())).expect("the stream starts");
    leg
}

fn native() -> MediaStream {
    let config: Value = json!({
        "account_sid": ACCOUNT, "auth_token": "sealed", "detect_machines": false, "api_host": "api.twilio.com",
    });
    let config: Config = serde_json::from_value(config).expect("a configuration");
    let call = strowger_sdk::Call {
        id: "1".to_owned(),
        provider_call_id: None,
        direction: strowger_sdk::Direction::Inbound,
        caller: String::new(),
        callee: String::new(),
        routes: vec![],
        attachment: None,
    };
    let mut leg = MediaStream::open(&config, &call);
    leg.deserialize_frame(strowger_sdk::Message::Text(start()));
    leg
}

fn benchmarks(criterion: &mut Criterion) {
    let twilio = provider("twilio");
    let (account, webhook) = (account(&twilio), webhook());
    let verify = || twilio.verify(&account, &webhook, &Moment::at(1)).expect("it runs");
    assert!(matches!(verify(), Verdict::Genuine { .. }));
    criterion.bench_function("fresh instance, verify-signature, drop", |bencher| bencher.iter(verify));

    let (mut sandboxed, mut native) = (sandboxed(&twilio), native());
    let (frame, media) = (frame(), media());
    let mut group = criterion.benchmark_group("serialize-frame");
    group.bench_function("sandboxed", |bencher| {
        bencher.iter_batched(
            || MediaFrame::Audio(frame.clone()),
            |frame| sandboxed.serialize(&frame),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("native", |bencher| {
        bencher.iter_batched(
            || strowger_sdk::MediaFrame::Audio(frame.clone()),
            |frame| native.serialize_frame(frame),
            BatchSize::SmallInput,
        );
    });
    group.finish();
    let mut group = criterion.benchmark_group("deserialize-frame");
    group.bench_function("sandboxed", |bencher| {
        bencher.iter_batched(
            || Message::Text(media.clone()),
            |message| sandboxed.deserialize(message),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("native", |bencher| {
        bencher.iter_batched(
            || strowger_sdk::Message::Text(media.clone()),
            |message| native.deserialize_frame(message),
            BatchSize::SmallInput,
        );
    });
    group.finish();

    println!("ratios, sandboxed to native, median of turns within this run:");
    ratio(
        "serialize-frame",
        || drop(black_box(sandboxed.serialize(&MediaFrame::Audio(frame.clone())))),
        || {
            drop(black_box(
                native.serialize_frame(strowger_sdk::MediaFrame::Audio(frame.clone())),
            ))
        },
    );
    ratio(
        "deserialize-frame",
        || drop(black_box(sandboxed.deserialize(Message::Text(media.clone())))),
        || {
            drop(black_box(
                native.deserialize_frame(strowger_sdk::Message::Text(media.clone())),
            ))
        },
    );
    ratio(
        "both directions of one frame",
        || {
            drop(black_box(sandboxed.deserialize(Message::Text(media.clone()))));
            drop(black_box(sandboxed.serialize(&MediaFrame::Audio(frame.clone()))));
        },
        || {
            drop(black_box(
                native.deserialize_frame(strowger_sdk::Message::Text(media.clone())),
            ));
            drop(black_box(
                native.serialize_frame(strowger_sdk::MediaFrame::Audio(frame.clone())),
            ));
        },
    );
}

/// Takes turns, so that whatever else the machine does falls on both.
fn ratio(name: &str, mut sandboxed: impl FnMut(), mut native: impl FnMut()) {
    const TURNS: usize = 301;
    const CALLS: u32 = 500;
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..CALLS {
            work();
        }
        start.elapsed().as_secs_f64() / f64::from(CALLS)
    };
    let mut turns: Vec<(f64, f64)> = (0..TURNS).map(|_| (time(&mut sandboxed), time(&mut native))).collect();
    turns.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let (sandboxed, native) = turns[TURNS / 2];
    println!(
        "  {name}: {:.2} ({:.0} ns to {:.0} ns)",
        sandboxed / native,
        sandboxed * 1e9,
        native * 1e9
    );
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
