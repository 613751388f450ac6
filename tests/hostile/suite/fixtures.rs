//! What the suite's guests are asked, and how the answer is named.

use strowger_host::operation::{Call, Direction, MediaAddress, Outbound};
use strowger_host::{InvokeError, Moment, Provider, Webhook};
use strowger_hostile::Guest;
use strowger_tests::engine;

pub(crate) fn webhook(body: usize) -> Webhook {
    Webhook {
        method: "POST".to_owned(),
        url: "https://gateway.example/x".to_owned(),
        headers: vec![],
        body: vec![b'x'; body],
        received_at: 1,
    }
}

pub(crate) fn call() -> Call {
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

pub(crate) fn media_address() -> MediaAddress {
    MediaAddress {
        url: "wss://gateway.example/ws/t".to_owned(),
        base_url: "wss://gateway.example/ws".to_owned(),
        token: "t".to_owned(),
    }
}

pub(crate) fn outbound() -> Outbound {
    Outbound {
        caller_id: None,
        answer_url: None,
        media: media_address(),
        ring_timeout_s: 30,
        detect_machine: None,
        trunk: None,
    }
}

pub(crate) fn code(error: &InvokeError) -> &'static str {
    match error {
        InvokeError::Guest(fault) => fault.code(),
        InvokeError::Configuration(_) => "configuration",
        _ => "host",
    }
}

/// A component that is expected to load.
#[track_caller]
pub(crate) fn load(guest: &Guest) -> Provider {
    Provider::load(engine(), &guest.build()).unwrap_or_else(|error| panic!("it loads: {error}"))
}

/// How `recognise` ends: the export that needs no configuration. The code of its fault, or `done`.
pub(crate) fn recognise(guest: &Guest) -> &'static str {
    recognised(&load(guest))
}

/// The same, of one that is loaded.
pub(crate) fn recognised(provider: &Provider) -> &'static str {
    match provider.recognise(&webhook(100), &Moment::at(1)) {
        Ok(_) => "done",
        Err(error) => code(&error),
    }
}
