//! What a carrier returns, with a secret in it: sealed again before the component sees it.
//!
//! The component searches its own memory for every spelling of the secret, and traps when it finds one.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use strowger_host::operation::{Call, Direction, MediaAddress, Outbound};
use strowger_host::{Credentials, Engine, EngineOptions, IncomingResponse, Moment, Provider, Reply, Step};
use strowger_hostile::search;

const SECRET: &str = "S3cr3t/ü+\"hush&=~4711";

fuzz_target!(|input: (Vec<(u8, Vec<u8>)>, &[u8])| {
    static PROVIDER: OnceLock<(Provider, Credentials, Vec<String>)> = OnceLock::new();
    let (provider, credentials, spellings) = PROVIDER.get_or_init(|| {
        let options = EngineOptions {
            instances_max: 8,
            ..EngineOptions::default()
        };
        let engine = Engine::new(options).expect("an engine starts");
        let spellings = search::spellings(SECRET);
        let provider = Provider::load(&engine, &search::guest(&spellings).build()).expect("it loads");
        let credentials =
            Credentials::check(provider.spec(), &json!({ "secret": SECRET, "plain": "x" })).expect("it is set up");
        (provider, credentials, spellings)
    });
    let (pieces, value) = input;
    let mut body = Vec::new();
    for (spelling, piece) in pieces.into_iter().take(32) {
        body.extend(piece);
        if let Some(text) = spellings.get(usize::from(spelling) % (spellings.len() + 1)) {
            body.extend_from_slice(text.as_bytes());
        }
    }
    let mut operation = provider
        .place_call(credentials, call(), outbound(), Moment::at(1))
        .expect("it places calls");
    assert!(matches!(operation.step(), Ok(Step::Perform(_))));
    operation.reply(Reply::Http(IncomingResponse {
        status: 200,
        headers: vec![
            ("x-echo".to_owned(), value.to_vec()),
            ("x-more".to_owned(), body.clone()),
        ],
        body,
    }));
    assert!(
        matches!(operation.step(), Ok(Step::Perform(_))),
        "the component found the secret"
    );
});

fn call() -> Call {
    Call {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192".to_owned(),
        provider_call_id: None,
        direction: Direction::Outbound,
        caller: "+14155550100".to_owned(),
        callee: "+14155550199".to_owned(),
        routes: vec![],
        attachment: None,
    }
}

fn outbound() -> Outbound {
    Outbound {
        caller_id: None,
        answer_url: None,
        media: MediaAddress {
            url: "wss://gateway.example/ws/t".to_owned(),
            base_url: "wss://gateway.example/ws".to_owned(),
            token: "t".to_owned(),
        },
        ring_timeout_s: 30,
        detect_machine: None,
        trunk: None,
    }
}
