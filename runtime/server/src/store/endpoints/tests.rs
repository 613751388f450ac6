use super::super::testing;
use super::*;

fn settings(url: &str) -> WebhookEndpointSettings {
    WebhookEndpointSettings {
        url: url.to_owned(),
        description: None,
        event_types: None,
        enabled: true,
    }
}

#[tokio::test]
async fn an_endpoint_round_trips_and_belongs_to_its_organization() {
    let store = testing::open().await;
    let acme = store.organization("Acme").await;
    let other = store.organization("Other").await;
    let wanted = WebhookEndpointSettings {
        description: Some("Billing".to_owned()),
        event_types: Some(vec![EventType::CallCreated, EventType::CallEnded]),
        ..settings("https://example.com/hooks")
    };
    let (id, secret) = (WebhookEndpointId::generate(), WebhookSecret::generate().unwrap());
    let made = store
        .create_webhook_endpoint(&acme, &id, &wanted, &secret, 5)
        .await
        .unwrap();
    assert_eq!(store.find_webhook_endpoint(&acme, &id).await.unwrap(), made);
    assert_eq!(store.webhook_endpoints(&acme).await.unwrap(), [made]);

    for error in [
        store.find_webhook_endpoint(&other, &id).await.unwrap_err(),
        store
            .update_webhook_endpoint(&other, &id, &wanted, 1, 6)
            .await
            .unwrap_err(),
        store.rotate_webhook_secret(&other, &id, &secret, 6).await.unwrap_err(),
        store.delete_webhook_endpoint(&other, &id, None).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
    }
    assert!(store.webhook_endpoints(&other).await.unwrap().is_empty());

    let changed = store
        .update_webhook_endpoint(&acme, &id, &settings("https://example.com/other"), 1, 7)
        .await
        .unwrap();
    assert_eq!(
        (changed.settings.event_types, changed.updated_at, changed.version),
        (None, 7, 2)
    );
    for stale in [
        store.update_webhook_endpoint(&acme, &id, &wanted, 1, 8).await.map(drop),
        store.delete_webhook_endpoint(&acme, &id, Some(1)).await,
    ] {
        assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
    }
    // A new secret is a change as well.
    store.rotate_webhook_secret(&acme, &id, &secret, 9).await.unwrap();
    assert_eq!(store.find_webhook_endpoint(&acme, &id).await.unwrap().version, 3);
    store.delete_webhook_endpoint(&acme, &id, Some(3)).await.unwrap();
    assert!(store.webhook_endpoints(&acme).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_replaced_secret_signs_for_a_day_and_is_then_forgotten() {
    let store = testing::open().await;
    let acme = store.organization("Acme").await;
    let (id, first) = (WebhookEndpointId::generate(), WebhookSecret::generate().unwrap());
    store
        .create_webhook_endpoint(&acme, &id, &settings("https://example.com"), &first, 5)
        .await
        .unwrap();
    let second = WebhookSecret::generate().unwrap();
    let until = store.rotate_webhook_secret(&acme, &id, &second, 10).await.unwrap();
    assert_eq!(until, 10 + 24 * 3600 * 1000);
    let secrets = async |now| store.webhook_target(&id, now).await.unwrap().unwrap().1;
    assert_eq!(secrets(until - 1).await, [second.clone(), first]);
    assert_eq!(secrets(until).await, std::slice::from_ref(&second));
    store.forget_replaced_secrets(until).await.unwrap();
    assert_eq!(secrets(11).await, std::slice::from_ref(&second), "it is gone for good");
    // A second rotation leaves the last two.
    let (third, fourth) = (WebhookSecret::generate().unwrap(), WebhookSecret::generate().unwrap());
    store.rotate_webhook_secret(&acme, &id, &third, 20).await.unwrap();
    store.rotate_webhook_secret(&acme, &id, &fourth, 21).await.unwrap();
    assert_eq!(secrets(22).await, [fourth, third]);
}

#[tokio::test]
async fn secrets_are_sealed_where_they_are_and_follow_a_new_key() {
    let store = testing::open().await;
    let acme = store.organization("Acme").await;
    let (id, first) = (WebhookEndpointId::generate(), WebhookSecret::generate().unwrap());
    store
        .create_webhook_endpoint(&acme, &id, &settings("https://example.com"), &first, 5)
        .await
        .unwrap();
    let second = WebhookSecret::generate().unwrap();
    store.rotate_webhook_secret(&acme, &id, &second, 10).await.unwrap();
    let row = sqlx::query("SELECT secret_sealed || ' ' || previous_secret_sealed AS kept FROM webhook_endpoints")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    let kept: String = get(&row, "kept").unwrap();
    assert!(!kept.contains("whsec_"), "{kept}");

    let new = "02".repeat(32);
    let rotated = store.again(&format!("{new}\n{}", testing::KEY)).await.unwrap();
    drop(rotated);
    let later = store.again(&new).await.unwrap();
    assert_eq!(later.webhook_target(&id, 11).await.unwrap().unwrap().1, [second, first]);
}

#[tokio::test]
async fn an_organization_has_a_bounded_number_of_them() {
    let store = testing::open().await;
    let acme = store.organization("Acme").await;
    let secret = WebhookSecret::generate().unwrap();
    let create = async || {
        let (id, settings) = (WebhookEndpointId::generate(), settings("https://example.com"));
        store.create_webhook_endpoint(&acme, &id, &settings, &secret, 5).await
    };
    for _ in 0..ENDPOINTS_MAX {
        create().await.unwrap();
    }
    let error = create().await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
}
