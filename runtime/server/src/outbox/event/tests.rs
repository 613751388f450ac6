use std::collections::BTreeSet;

use boon::{Compiler, SchemaIndex, Schemas};
use strowger_call::TransferFailure;

use super::*;
use crate::store::{CallState, ConfigurationId, NewTransfer, OrganizationId, new_call_id, new_transfer_id};

struct Described {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Described {
    fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.schema.json");
        let text = std::fs::read_to_string(path).unwrap();
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler
            .add_resource("events.json", serde_json::from_str(&text).unwrap())
            .unwrap();
        let mut schemas = Schemas::new();
        let index = compiler.compile("events.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    #[track_caller]
    fn fits(&self, event: &OutgoingEvent) -> Value {
        let body: Value = serde_json::from_str(&event.body(1_795_365_000_125)).unwrap();
        if let Err(error) = self.schemas.validate(&body, self.index) {
            panic!("{error}\n{body:#}");
        }
        body
    }
}

fn call(state: CallState) -> CallRecord {
    let over = state == CallState::Completed;
    CallRecord {
        id: new_call_id(),
        organization: OrganizationId::generate(),
        configuration: Some(ConfigurationId::generate()),
        number: None,
        agent: None,
        provider: "testphone".to_owned(),
        provider_version: "sha256:00".to_owned(),
        direction: Direction::Inbound,
        provider_call_id: Some(ProviderCallId::new("CALL-1").unwrap()),
        caller: Some(Address::parse("+12025550147", None).unwrap()),
        callee: Address::parse("+12025550188", None).unwrap(),
        state,
        outcome: over.then(|| {
            json!({
                "status": "completed", "reason": "caller_hung_up", "detail": null, "carrier_status": "completed",
                "carrier_duration_ms": 1_000, "digits": "4711#", "barge_ins": 2, "media": { "frames": 50 },
            })
        }),
        attachment: Some(json!({ "token": "the provider's own" })),
        answered_by: None,
        cost: over.then(|| json!({ "amount": "0.0085", "currency": "USD" })),
        recording_path: None,
        media_claimed_at: Some(11),
        created_at: 10,
        answered_at: over.then_some(20),
        ended_at: over.then_some(1_020),
        duration_ms: over.then_some(1_000),
    }
}

fn transfer(state: TransferState, failure: Option<TransferFailure>) -> TransferRecord {
    TransferRecord {
        asked: NewTransfer {
            id: new_transfer_id(),
            call: new_call_id(),
            destination: Address::parse("+12025550199", None).unwrap(),
            caller_id: None,
            trunk: None,
            ring_timeout_s: 30,
            announcement: None,
        },
        provider_call_id: None,
        attachment: None,
        state,
        failure,
        created_at: 10,
        answered_at: Some(20),
        connected_at: None,
        ended_at: None,
    }
}

#[test]
fn every_type_has_the_shape_that_is_documented() {
    let schema = Described::load();
    let (live, over) = (call(CallState::Running), call(CallState::Completed));
    let events = [
        OutgoingEvent::of_call(EventType::CallCreated, &call(CallState::Initialized)),
        OutgoingEvent::of_call(EventType::CallAnswered, &live),
        OutgoingEvent::of_call(EventType::CallEnded, &over),
        OutgoingEvent::of_call(EventType::CallRated, &over),
        OutgoingEvent::recording(&over),
        OutgoingEvent::of_transfer(&transfer(TransferState::Dialing, None)),
        OutgoingEvent::of_transfer(&transfer(TransferState::Answered, None)),
        OutgoingEvent::of_transfer(&transfer(TransferState::Connected, None)),
        OutgoingEvent::of_transfer(&transfer(TransferState::Over, Some(TransferFailure::Busy))),
        OutgoingEvent::of_transfer(&transfer(TransferState::Over, None)),
        OutgoingEvent::parked(
            ConfigurationId::generate().as_str(),
            "Main",
            "testphone",
            "it was refused",
        ),
        OutgoingEvent::quarantined("testphone", "sha256:00", "it traps", None),
        OutgoingEvent::ping(),
    ];
    let told: BTreeSet<EventType> = events.iter().map(|event| event.kind).collect();
    let mut known = BTreeSet::from(EventType::CHOICES);
    known.insert(EventType::Ping);
    assert_eq!(told, known, "each type is made, and each can be chosen");
    for event in &events {
        let body = schema.fits(event);
        assert_eq!(body["type"], event.kind.as_str());
        assert_eq!(body["timestamp"], "2026-11-22T16:30:00.125Z");
        assert_eq!(
            event.subject.is_some(),
            event.kind.as_str().starts_with("call."),
            "what is about a call has an order"
        );
    }
}

#[test]
fn what_a_caller_pressed_and_what_a_provider_keeps_is_not_told() {
    let body = OutgoingEvent::of_call(EventType::CallEnded, &call(CallState::Completed)).body(1);
    assert!(!body.contains("4711") && !body.contains("digits"), "{body}");
    assert!(!body.contains("the provider's own"), "{body}");
    assert!(body.contains("+12025550147"), "numbers are the tenant's: {body}");
}

#[test]
fn an_event_shows_nobody_in_logs() {
    let event = OutgoingEvent::of_call(EventType::CallCreated, &call(CallState::Initialized));
    assert!(!format!("{event:?}").contains("2025550147"));
}

#[test]
fn a_name_is_read_back_and_a_ping_cannot_be_chosen() {
    for kind in EventType::CHOICES {
        assert_eq!(EventType::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(EventType::parse("ping"), None);
    assert_eq!(EventType::parse("call"), None);
}
