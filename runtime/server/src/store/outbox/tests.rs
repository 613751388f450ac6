use serde_json::json;
use strowger_call::Address;

use super::super::calls::tests::new_call;
use super::super::testing::{self, TestStore};
use super::super::{CallFinish, Configuration, NewTransfer, TransferState, WebhookEndpointSettings, new_transfer_id};
use super::*;
use crate::outbox::{EventType, WebhookSecret};

const LEASE: Duration = Duration::from_secs(30);

/// An organisation with a configuration whose calls are told to endpoints.
struct Story {
    store: TestStore,
    configuration: Configuration,
}

impl Story {
    async fn begin() -> Self {
        let store = testing::open().await;
        let acme = store.organization("Acme").await;
        let configuration = store.configuration(&acme, "main", Some("A1")).await;
        Self { store, configuration }
    }

    async fn endpoint(&self, types: Option<Vec<EventType>>) -> WebhookEndpointId {
        let id = WebhookEndpointId::generate();
        let settings = WebhookEndpointSettings {
            url: "https://example.com".to_owned(),
            description: None,
            event_types: types,
            enabled: true,
        };
        let secret = WebhookSecret::generate().unwrap();
        let organization = &self.configuration.organization;
        self.store
            .create_webhook_endpoint(organization, &id, &settings, &secret, 1)
            .await
            .unwrap();
        id
    }

    /// A call that comes in, is answered and ends: three events.
    async fn call(&self) {
        let call = new_call(&self.configuration, None);
        self.store.create_inbound_call(&call, 10).await.unwrap();
        self.store.set_answered(&call.id, 11).await.unwrap();
        let finish = CallFinish {
            outcome: json!({}),
            answered_at: Some(11),
            ended_at: 12,
            duration_ms: 1,
        };
        assert!(self.store.finish_call(&call.id, &finish).await.unwrap());
    }

    async fn claim(&self, endpoint: &WebhookEndpointId, now: UnixMs) -> Vec<ClaimedDelivery> {
        let claim = OutgoingEventId::generate();
        self.store
            .claim_deliveries(endpoint, claim.as_str(), 10, LEASE, now)
            .await
            .unwrap()
    }

    async fn settle(&self, delivery: &ClaimedDelivery, attempted: &Attempted, now: UnixMs) -> bool {
        self.store.settle_delivery(delivery, attempted, now).await.unwrap()
    }

    async fn states(&self, endpoint: &WebhookEndpointId) -> Vec<(String, DeliveryState)> {
        let mut deliveries = self.store.deliveries(endpoint, None, None, 100).await.unwrap();
        deliveries.reverse();
        deliveries
            .into_iter()
            .map(|delivery| (delivery.event_type, delivery.state))
            .collect()
    }
}

fn taken() -> Attempted {
    Attempted {
        status: Some(200),
        error: None,
        retry_at: None,
        disable: None,
    }
}

fn failed(retry_at: Option<UnixMs>) -> Attempted {
    Attempted {
        status: Some(500),
        error: Some("http-500".to_owned()),
        retry_at,
        disable: None,
    }
}

fn kind(delivery: &ClaimedDelivery) -> String {
    let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
    body["type"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_events_of_a_call_go_one_after_the_other_and_other_calls_do_not_wait() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    story.call().await;
    story.call().await;
    let first = story.claim(&endpoint, 20).await;
    assert_eq!(
        first.iter().map(kind).collect::<Vec<_>>(),
        ["call.created", "call.created"]
    );
    assert!(story.claim(&endpoint, 21).await.is_empty(), "nothing else may go yet");
    // One comes through, the other is tried again later and keeps its own call waiting.
    assert!(story.settle(&first[0], &taken(), 22).await);
    assert!(story.settle(&first[1], &failed(Some(500)), 22).await);
    let second = story.claim(&endpoint, 23).await;
    assert_eq!(second.iter().map(kind).collect::<Vec<_>>(), ["call.answered"]);
    assert!(story.settle(&second[0], &taken(), 24).await);
    let third = story.claim(&endpoint, 25).await;
    assert_eq!(third.iter().map(kind).collect::<Vec<_>>(), ["call.ended"]);
    assert!(story.settle(&third[0], &taken(), 26).await);
    assert!(story.claim(&endpoint, 499).await.is_empty());
    let again = story.claim(&endpoint, 500).await;
    assert_eq!(again.iter().map(kind).collect::<Vec<_>>(), ["call.created"]);
    assert_eq!(
        (again[0].attempts, &again[0].event),
        (1, &first[1].event),
        "the same event with the same name"
    );
    // Given up, it holds up nobody any more.
    assert!(story.settle(&again[0], &failed(None), 501).await);
    let next = story.claim(&endpoint, 502).await;
    assert_eq!(next.iter().map(kind).collect::<Vec<_>>(), ["call.answered"]);
}

#[tokio::test]
async fn what_is_spooled_is_there_exactly_when_what_it_tells_of_is() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    let mut missing = new_call(&story.configuration, None);
    missing.configuration = super::super::ConfigurationId::generate();
    story.store.create_inbound_call(&missing, 10).await.unwrap_err();
    assert!(story.states(&endpoint).await.is_empty());
    story.call().await;
    // A webhook that is repeated, and an end that is told twice, are told once.
    let call = new_call(&story.configuration, Some("CALL-1"));
    story.store.create_inbound_call(&call, 20).await.unwrap();
    story.store.create_inbound_call(&call, 21).await.unwrap();
    assert_eq!(story.states(&endpoint).await.len(), 4);
}

#[tokio::test]
async fn an_endpoint_gets_what_it_wants_and_what_is_its_organizations() {
    let story = Story::begin().await;
    let all = story.endpoint(None).await;
    let ends = story.endpoint(Some(vec![EventType::CallEnded])).await;
    let other = story.store.organization("Other").await;
    let stranger = WebhookEndpointId::generate();
    let settings = WebhookEndpointSettings {
        url: "https://example.org".to_owned(),
        description: None,
        event_types: None,
        enabled: true,
    };
    let secret = WebhookSecret::generate().unwrap();
    story
        .store
        .create_webhook_endpoint(&other, &stranger, &settings, &secret, 1)
        .await
        .unwrap();
    story.call().await;
    assert_eq!(story.states(&all).await.len(), 3);
    assert_eq!(
        story.states(&ends).await,
        [("call.ended".to_owned(), DeliveryState::Pending)]
    );
    assert!(story.states(&stranger).await.is_empty());
}

#[tokio::test]
async fn a_claim_excludes_others_and_ends_by_itself() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    story.call().await;
    let elsewhere = story.store.again(testing::KEY).await.unwrap();
    let lost = story.claim(&endpoint, 20).await;
    assert_eq!(lost.len(), 1);
    let until = 20 + 30_000;
    let claim = async |now| {
        elsewhere
            .claim_deliveries(&endpoint, "elsewhere", 10, LEASE, now)
            .await
            .unwrap()
    };
    assert!(claim(until - 1).await.is_empty());
    let found = claim(until).await;
    assert_eq!(found.len(), 1);
    // Whoever had it before has nothing to say any more.
    assert!(!story.settle(&lost[0], &failed(None), until + 1).await);
    assert!(elsewhere.settle_delivery(&found[0], &taken(), until + 1).await.unwrap());
}

#[tokio::test]
async fn of_many_that_claim_at_once_each_delivery_goes_to_one() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    for _ in 0..20 {
        let call = new_call(&story.configuration, None);
        story.store.create_inbound_call(&call, 10).await.unwrap();
    }
    let other = story.store.again(testing::KEY).await.unwrap();
    let mut claims = tokio::task::JoinSet::new();
    for number in 0..10 {
        let store = if number % 2 == 0 {
            story.store.store.clone()
        } else {
            other.clone()
        };
        let endpoint = endpoint.clone();
        claims.spawn(async move {
            store
                .claim_deliveries(&endpoint, &format!("claim {number}"), 3, LEASE, 20)
                .await
                .unwrap()
        });
    }
    let claimed: Vec<ClaimedDelivery> = claims.join_all().await.into_iter().flatten().collect();
    let different: std::collections::BTreeSet<&str> = claimed.iter().map(|delivery| delivery.event.as_str()).collect();
    assert_eq!((claimed.len(), different.len()), (20, 20));
}

#[tokio::test]
async fn dead_letters_are_sent_again_in_their_order() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    story.call().await;
    for now in [20, 30, 40] {
        let claimed = story.claim(&endpoint, now).await;
        assert!(story.settle(&claimed[0], &failed(None), now + 1).await);
    }
    assert!(
        story
            .states(&endpoint)
            .await
            .iter()
            .all(|(_, state)| *state == DeliveryState::Dead)
    );
    assert_eq!(story.store.resend_dead(&endpoint, None, 50).await.unwrap(), 3);
    let mut told = Vec::new();
    for now in [60, 70, 80] {
        let claimed = story.claim(&endpoint, now).await;
        assert_eq!((claimed.len(), claimed[0].attempts), (1, 0));
        told.push(kind(&claimed[0]));
        assert!(story.settle(&claimed[0], &taken(), now + 1).await);
    }
    assert_eq!(told, ["call.created", "call.answered", "call.ended"]);
    let delivered = story
        .store
        .deliveries(&endpoint, Some(DeliveryState::Delivered), None, 10)
        .await
        .unwrap();
    let error = story
        .store
        .resend_dead(&endpoint, Some(&delivered[0].event), 90)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    let nobody = OutgoingEventId::generate();
    let error = story.store.resend_dead(&endpoint, Some(&nobody), 90).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_given_up_keeps_its_dead_letters_and_gets_nothing_new() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    story.call().await;
    let claimed = story.claim(&endpoint, 20).await;
    let gone = Attempted {
        disable: Some("gone".to_owned()),
        ..failed(None)
    };
    assert!(story.settle(&claimed[0], &gone, 21).await);
    assert!(
        story
            .states(&endpoint)
            .await
            .iter()
            .all(|(_, state)| *state == DeliveryState::Dead)
    );
    story.call().await;
    assert_eq!(story.states(&endpoint).await.len(), 3);
    let organization = &story.configuration.organization;
    let found = story
        .store
        .find_webhook_endpoint(organization, &endpoint)
        .await
        .unwrap();
    assert_eq!(
        (found.settings.enabled, found.disabled, found.failing_since),
        (false, Some((21, "gone".to_owned())), Some(21))
    );
    assert_eq!(story.store.webhook_target(&endpoint, 22).await.unwrap(), None);
    // Enabled again it begins anew.
    let settings = WebhookEndpointSettings {
        enabled: true,
        ..found.settings
    };
    let found = story
        .store
        .update_webhook_endpoint(organization, &endpoint, &settings, found.version, 30)
        .await
        .unwrap();
    assert_eq!((found.disabled, found.failing_since), (None, None));
    assert_eq!(story.store.resend_dead(&endpoint, None, 31).await.unwrap(), 3);
    assert_eq!(story.store.due_endpoints(31).await.unwrap(), [(endpoint, false)]);
}

#[tokio::test]
async fn failing_begins_with_the_first_failure_and_ends_with_the_first_success() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    story.call().await;
    for (attempted, now, since) in [
        (failed(Some(30)), 20, Some(20)),
        (failed(Some(40)), 30, Some(20)),
        (taken(), 40, None),
    ] {
        let claimed = story.claim(&endpoint, now).await;
        assert!(story.settle(&claimed[0], &attempted, now).await);
        assert_eq!(story.store.failing_since(&endpoint).await.unwrap(), since);
    }
}

#[tokio::test]
async fn a_spool_is_bounded_and_what_was_delivered_goes_first_then_the_oldest_dead() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    story.call().await;
    story.call().await;
    // Of one call the first event was delivered and the second is dead; everything else waits.
    let claimed = story.claim(&endpoint, 20).await;
    assert!(story.settle(&claimed[0], &taken(), 21).await);
    let claimed = story.claim(&endpoint, 22).await;
    assert!(story.settle(&claimed[0], &failed(None), 23).await);
    let left = async || story.states(&endpoint).await;
    assert_eq!(left().await.len(), 6);
    let prune = async |rows| {
        story
            .store
            .prune_endpoint(endpoint.as_str(), rows, i64::MAX)
            .await
            .unwrap()
    };
    assert_eq!(prune(6).await, 0);
    assert_eq!(prune(5).await, 0, "nobody misses what was delivered");
    assert!(left().await.iter().all(|(_, state)| *state != DeliveryState::Delivered));
    assert_eq!(prune(4).await, 1);
    assert!(left().await.iter().all(|(_, state)| *state == DeliveryState::Pending));
    let bytes = story.store.prune_endpoint(endpoint.as_str(), 100, 1).await.unwrap();
    assert_eq!((bytes, left().await.len()), (4, 0));
}

#[tokio::test]
async fn what_is_old_is_removed() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    story.call().await;
    for attempted in [taken(), failed(None)] {
        let claimed = story.claim(&endpoint, 20).await;
        assert!(story.settle(&claimed[0], &attempted, 20).await);
    }
    let day = 24 * 3600 * 1000;
    for (now, left) in [(7 * day, 3), (7 * day + 21, 2), (30 * day, 2), (30 * day + 21, 1)] {
        assert_eq!(story.store.prune_deliveries(now).await.unwrap(), 0);
        assert_eq!(story.states(&endpoint).await.len(), left, "{now}");
    }
}

#[tokio::test]
async fn a_transfer_is_told_step_by_step_in_its_calls_order() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    let call = new_call(&story.configuration, None);
    let store = &story.store;
    store.create_inbound_call(&call, 10).await.unwrap();
    let transfer = |destination: &str| NewTransfer {
        id: new_transfer_id(),
        call: call.id.clone(),
        destination: Address::parse(destination, None).unwrap(),
        caller_id: None,
        trunk: None,
        ring_timeout_s: 30,
        announcement: None,
    };
    let first = transfer("+12025550100");
    store.create_transfer(&first, 11).await.unwrap();
    for state in [
        TransferState::Answered,
        // Told again, it is no news.
        TransferState::Answered,
        TransferState::Connected,
        TransferState::Over,
    ] {
        store.advance_transfer(&first.id, state, None, 12).await.unwrap();
    }
    let second = transfer("+12025550101");
    store.create_transfer(&second, 13).await.unwrap();
    store.close_transfers(&call.id, 14).await.unwrap();
    let mut told = Vec::new();
    for now in 20..40 {
        let claimed = story.claim(&endpoint, now).await;
        let Some(delivery) = claimed.first() else { break };
        assert_eq!(claimed.len(), 1, "one at a time");
        told.push(kind(delivery));
        assert!(story.settle(delivery, &taken(), now).await);
    }
    assert_eq!(
        told,
        [
            "call.created",
            "call.transfer.started",
            "call.transfer.answered",
            "call.transfer.connected",
            "call.transfer.ended",
            "call.transfer.started",
            "call.transfer.failed",
        ]
    );
}

#[tokio::test]
async fn a_price_that_comes_late_is_told_and_one_that_is_known_comes_with_the_end() {
    let story = Story::begin().await;
    let rated = story.endpoint(Some(vec![EventType::CallRated])).await;
    let call = new_call(&story.configuration, None);
    story.store.create_inbound_call(&call, 10).await.unwrap();
    let cost = json!({ "amount": "0.01", "currency": "USD" });
    story.store.set_cost(&call.id, &cost, 11).await.unwrap();
    assert!(story.states(&rated).await.is_empty());
    let finish = CallFinish {
        outcome: json!({}),
        answered_at: None,
        ended_at: 12,
        duration_ms: 0,
    };
    story.store.finish_call(&call.id, &finish).await.unwrap();
    assert!(story.states(&rated).await.is_empty());
    // What was told with the end, or by another gateway that asked as well, is not told again.
    story.store.set_cost(&call.id, &cost, 13).await.unwrap();
    assert!(story.states(&rated).await.is_empty());
    let late = json!({ "amount": "0.02", "currency": "USD" });
    for at in [14, 15] {
        story.store.set_cost(&call.id, &late, at).await.unwrap();
        assert_eq!(story.states(&rated).await.len(), 1);
    }
}

#[tokio::test]
async fn a_configuration_that_is_parked_is_told_of_once() {
    let story = Story::begin().await;
    let endpoint = story.endpoint(None).await;
    let configuration = &story.configuration;
    for now in [10, 11] {
        story
            .store
            .park_configuration(&configuration.id, "it was refused", configuration.updated_at, now)
            .await
            .unwrap();
    }
    let claimed = story.claim(&endpoint, 20).await;
    assert_eq!(claimed.iter().map(kind).collect::<Vec<_>>(), ["configuration.parked"]);
    assert!(claimed[0].body.contains("it was refused"));
}
