//! Secrets that look like their masks, warnings over all configurations, limits.

use super::*;
use crate::admission::LimitOverrides;

#[tokio::test]
async fn what_looks_like_a_mask_is_kept_replaced_or_refused_and_never_guessed() {
    let server = Server::start().await;
    let id = server.configuration("main", "ACCT12345").await;
    let path = format!("{CONFIGS}/{id}");
    let save = async |token: Value| {
        let mut entered = config("ACCT12345");
        entered["auth_token"] = token;
        server.put(&path, json!({ "config": entered })).await
    };
    let token = async || stored(&server, &id).await["auth_token"].clone();

    let unchanged = || json!({ "unchanged": true });
    assert_eq!(save(unchanged()).await.0, StatusCode::OK);
    assert_eq!(token().await, "secret-token-1234");
    // A secret that is nothing but what a mask looks like.
    let (status, body) = save(json!("****")).await;
    assert_eq!(
        (status, fields(&body)),
        (StatusCode::UNPROCESSABLE_ENTITY, vec!["config.auth_token"])
    );
    assert!(body.to_string().contains("{\\\"value\\\": …}"), "{body}");
    assert_eq!(token().await, "secret-token-1234");
    assert_eq!(save(json!({ "value": "****" })).await.0, StatusCode::OK);
    assert_eq!(token().await, "****");
    // Its mask is the same text and means the same.
    assert_eq!(save(json!("****")).await.0, StatusCode::OK);
    assert_eq!(token().await, "****");
    // Exactly the mask of what is stored, and meant.
    assert_eq!(save(json!({ "value": "secret-token-1234" })).await.0, StatusCode::OK);
    assert_eq!(save(json!({ "value": "*************1234" })).await.0, StatusCode::OK);
    assert_eq!(token().await, "*************1234");

    for nonsense in [
        json!({}),
        json!({ "unchanged": false }),
        json!({ "unchanged": true, "value": "x" }),
        json!({ "value": { "value": "x" } }),
        json!({ "keep": true }),
    ] {
        let (status, body) = save(nonsense.clone()).await;
        assert_eq!(
            (status, fields(&body)),
            (StatusCode::UNPROCESSABLE_ENTITY, vec!["config.auth_token"]),
            "{nonsense}"
        );
    }
    assert_eq!(token().await, "*************1234");
    // Where nothing is stored nothing can stay.
    let mut entered = config("OTHER6789");
    entered["auth_token"] = unchanged();
    let (status, body) = server.post(CONFIGS, json!({ "name": "new", "config": entered })).await;
    assert_eq!(
        (status, fields(&body)),
        (StatusCode::UNPROCESSABLE_ENTITY, vec!["config.auth_token"])
    );
}

#[tokio::test]
async fn what_is_left_to_do_is_counted_over_the_configurations_that_take_part() {
    let server = Server::start().await;
    let path = "/api/v1/organizations/telephony-config-warnings";
    assert_eq!(server.get(path).await.1, json!({ "counts": [], "warnings": [] }));
    let main = server.configuration("main", "ACCT12345").await;
    server.configuration("second", "ACCT67890").await;
    let parked = server.configuration("third", "ACCT00000").await;
    let parked = ConfigurationId::parse(&parked).unwrap();
    assert!(
        server
            .fake
            .store
            .park_configuration(&parked, "refused", NOW, NOW)
            .await
            .unwrap()
    );
    let (status, body) = server.get(path).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body["counts"],
        json!([{ "provider": "testphone", "key": "caller_id", "count": 2 }])
    );
    assert_eq!(body["warnings"][0]["telephony_configuration_id"], json!(main));
    assert_eq!(body["warnings"][0]["blocks_outbound"], true);
    let number = json!({ "address": "+14155551234" });
    server.made(&format!("{CONFIGS}/{main}/phone-numbers"), number).await;
    let (_, body) = server.get(path).await;
    assert_eq!(body["counts"][0]["count"], 1, "{body}");
    assert!(!body.to_string().contains("secret-token"), "{body}");
}

#[tokio::test]
async fn limits_and_their_use_are_told() {
    let server = Server::start().await;
    let (status, limits) = server.get("/api/v1/organization/limits").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&limits["calls_max"], &limits["set_by_operator"]),
        (&json!(10), &json!([]))
    );
    let own = LimitOverrides {
        calls_max: Some(2),
        ..LimitOverrides::default()
    };
    let store = &server.fake.store;
    store
        .set_organization_limits(&server.organization, &own, None, NOW)
        .await
        .unwrap();
    let (_, limits) = server.get("/api/v1/organization/limits").await;
    assert_eq!(
        (&limits["calls_max"], &limits["set_by_operator"]),
        (&json!(2), &json!(["calls_max"]))
    );
    let (_, usage) = server.get("/api/v1/organization/usage").await;
    assert_eq!(usage["calls"], json!({ "live": 0, "limit": 2 }));
    assert_eq!(usage["day_ends_at"], "2026-11-23T00:00:00.000Z");
}

#[tokio::test]
async fn the_operator_sets_limits_and_nobody_else_does() {
    let server = Server::start().await;
    let operator = server.operator().await;
    let path = format!("/api/v1/operator/organizations/{}/limits", server.organization);
    let own = json!({
        "calls_max": 3,
        "call_duration_max_s": 600,
        "allowed_destinations": ["+44", "+1 202"],
        "destination_caps": [{ "prefix": "+44", "calls_per_day": 5 }],
    });
    let (status, set) = operator.put(&path, own.clone()).await;
    assert_eq!(status, StatusCode::OK, "{set}");
    let (_, seen) = server.get("/api/v1/organization/limits").await;
    assert_eq!(seen, set);
    assert_eq!(operator.get(&path).await.1, set);
    assert_eq!((&seen["calls_max"], &seen["calls_per_s"]), (&json!(3), &json!(20)));
    assert_eq!(seen["allowed_destinations"], json!(["+44", "+1202"]));
    assert_eq!(seen["destination_caps"][0]["minutes_per_day"], Value::Null);
    // Not for an organisation, its own or another one's; and not for one that is not there.
    let (status, _) = server.put(&path, own.clone()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let nobody = format!("/api/v1/operator/organizations/{}/limits", OrganizationId::generate());
    assert_eq!(operator.put(&nobody, own).await.0, StatusCode::NOT_FOUND);

    let wrong = json!({
        "calls_max": -1,
        "number_calls_max": 0,
        "calls_per_s": "many",
        "call_duration_max_s": 90_000,
        "denied_destinations": ["44"],
        "allowed_destinations": "+44",
        "destination_caps": [{ "prefix": "+1" }, { "prefix": "+ 1" }],
        "colour": "red",
    });
    let (status, body) = operator.put(&path, wrong).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let mut told = fields(&body);
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "allowed_destinations",
            "call_duration_max_s",
            "calls_max",
            "calls_per_s",
            "colour",
            "denied_destinations",
            "destination_caps",
            "number_calls_max"
        ]
    );
    assert_eq!(operator.get(&path).await.1, set, "nothing was changed");
    // What is left out is as in the installation again.
    let (_, reset) = operator.put(&path, json!({})).await;
    assert_eq!(
        (&reset["calls_max"], &reset["set_by_operator"]),
        (&json!(10), &json!([]))
    );
}
