//! Saving with a provider that makes things at its carrier, and what is left to do.

use super::*;

const CONFIG: &str = "config";

fn trunk_config(account: &str) -> Value {
    json!({ "provider": "trunkphone", "account": account, "auth_token": "secret-token-1234" })
}

fn set(fields: Value) -> Vec<SetField> {
    match fields {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| SetField { name, value })
            .collect(),
        other => panic!("{other} is no object"),
    }
}

fn step(key: &str, complete: bool, blocks_outbound: bool) -> SetupStep {
    SetupStep {
        key: key.to_owned(),
        title: key.to_owned(),
        description: format!("Do {key}."),
        complete,
        blocks_outbound,
    }
}

#[tokio::test]
async fn what_the_provider_makes_is_stored_with_what_the_user_entered() {
    let server = Server::start().await;
    let made = set(json!({ "application": "APP1", "minted": "strowger-1", "region": "us1" }));
    server.fake.answer(|answers| answers.set = Some(Ok(made)));
    let mut entered = trunk_config("ACCT1");
    entered["application"] = json!("FORGED");
    entered["minted"] = json!("FORGED");
    let (status, body) = server.post(CONFIGS, json!({ "name": "main", CONFIG: entered })).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(
        server.fake.asked(),
        [
            "check trunkphone",
            "prepare to create, knowing nothing",
            "check trunkphone"
        ],
        "what a client says about such fields never arrives"
    );
    assert_eq!(
        body["credentials"],
        json!({ "account": "ACCT1", "auth_token": "*************1234", "region": "us1", "minted": "strowger-1" }),
        "read-only is shown, server-managed is not"
    );
    assert_eq!(server.fake.changes.load(Ordering::Relaxed), 1);
    let id = body["id"].as_str().unwrap().to_owned();
    let path = format!("{CONFIGS}/{id}");

    // A client saves what it read.
    let mut saved = body["credentials"].clone();
    saved["minted"] = json!("FORGED");
    saved["folder"] = json!("one");
    let (status, body) = server.put(&path, json!({ CONFIG: saved })).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(server.fake.asked()[1], "prepare to update, knowing APP1");
    let expected = json!({
        "account": "ACCT1", "auth_token": "secret-token-1234", "region": "us1", "application": "APP1",
        "minted": "strowger-1", "folder": "one",
    });
    assert_eq!(stored(&server, &id).await, expected);

    // With another account, what belonged to the one before is entered or made anew.
    saved["account"] = json!("ACCT2");
    let (status, body) = server.put(&path, json!({ CONFIG: saved })).await;
    assert_eq!(
        (status, fields(&body)),
        (StatusCode::UNPROCESSABLE_ENTITY, vec!["config.auth_token"]),
        "the mask stands for the other account's"
    );
    saved["auth_token"] = json!("secret-token-1234");
    server.fake.asked();
    let made = set(json!({ "application": "APP2" }));
    server.fake.answer(|answers| answers.set = Some(Ok(made)));
    let (status, body) = server.put(&path, json!({ CONFIG: saved })).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(server.fake.asked()[1], "prepare to update, knowing nothing");
    let after = stored(&server, &id).await;
    assert_eq!(
        (&after["application"], &after["folder"], &after["minted"]),
        (&json!("APP2"), &Value::Null, &json!("strowger-1"))
    );
    saved["folder"] = json!("two");
    saved["account"] = json!("ACCT3");
    server.put(&path, json!({ CONFIG: saved })).await;
    assert_eq!(
        stored(&server, &id).await["folder"],
        "two",
        "a value that was entered with it"
    );

    // A new name needs nothing of the carrier.
    server.fake.asked();
    server.put(&path, json!({ "name": "renamed" })).await;
    assert!(server.fake.asked().is_empty());
}

#[tokio::test]
async fn the_account_id_is_what_the_provider_made_of_it() {
    let server = Server::start().await;
    let normal = set(json!({ "account": "acme.example" }));
    server.fake.answer(|answers| answers.set = Some(Ok(normal)));
    let (_, body) = server
        .post(CONFIGS, json!({ "name": "main", CONFIG: trunk_config("ACME") }))
        .await;
    let id = ConfigurationId::parse(body["id"].as_str().unwrap()).unwrap();
    let found = server
        .fake
        .store
        .find_configuration(&server.organization, &id)
        .await
        .unwrap();
    assert_eq!(found.account_id, Some(crate::store::AccountId::new("acme.example")));
}

#[tokio::test]
async fn a_failure_at_the_carrier_stores_nothing() {
    let server = Server::start().await;
    let create = json!({ "name": "main", "is_default_outbound": true, CONFIG: trunk_config("ACCT1") });
    for (answer, status, code) in [
        (
            Err(failure(FailureKind::Configuration)),
            StatusCode::BAD_REQUEST,
            "carrier-says-no",
        ),
        (
            Err(failure(FailureKind::Carrier)),
            StatusCode::BAD_GATEWAY,
            "carrier-says-no",
        ),
        (
            Err(failure(FailureKind::Quota)),
            StatusCode::PAYMENT_REQUIRED,
            "carrier-says-no",
        ),
        (Err(fault()), StatusCode::BAD_GATEWAY, "provider_fault"),
        // What it sets must fit its own spec.
        (
            Ok(set(json!({ "application": 7 }))),
            StatusCode::BAD_GATEWAY,
            "provider_fault",
        ),
        (
            Ok(set(json!({ "ring_back": "yes" }))),
            StatusCode::BAD_GATEWAY,
            "provider_fault",
        ),
    ] {
        server.fake.answer(|answers| answers.set = Some(answer));
        let (found, body) = server.post(CONFIGS, create.clone()).await;
        assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(server.get(CONFIGS).await.1["configurations"], json!([]));
    }

    let id = server.made(CONFIGS, create).await;
    let before = stored(&server, &id).await;
    let path = format!("{CONFIGS}/{id}");
    let changes = server.fake.changes.load(Ordering::Relaxed);
    server
        .fake
        .answer(|answers| answers.set = Some(Err(failure(FailureKind::Configuration))));
    let (status, body) = server
        .put(&path, json!({ "name": "renamed", CONFIG: trunk_config("ACCT2") }))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        body["detail"], "The carrier says no.",
        "the carrier's verdict tells what to do"
    );
    assert_eq!(
        (&body["owner"], &body["retryable"]),
        (&json!("user"), &json!(false)),
        "and who can do it"
    );
    assert_eq!(stored(&server, &id).await, before);
    assert_eq!(server.get(&path).await.1["name"], "main");
    assert_eq!(server.fake.changes.load(Ordering::Relaxed), changes);
}

#[tokio::test]
async fn the_carrier_is_not_asked_for_what_will_be_refused() {
    let server = Server::start().await;
    let first = server
        .made(CONFIGS, json!({ "name": "main", CONFIG: trunk_config("ACCT1") }))
        .await;
    let second = server
        .made(CONFIGS, json!({ "name": "other", CONFIG: trunk_config("ACCT2") }))
        .await;
    for id in [&first, &second] {
        let stranger = json!({ "address": "+14155550001" });
        let (status, _) = server.post(&format!("{CONFIGS}/{id}/phone-numbers"), stranger).await;
        // One organisation has a number once.
        assert_eq!(status == StatusCode::CREATED, *id == first);
    }
    let rival = server.stranger().await;
    let theirs = rival
        .made(CONFIGS, json!({ "name": "main", CONFIG: trunk_config("ACCT3") }))
        .await;
    rival
        .made(
            &format!("{CONFIGS}/{theirs}/phone-numbers"),
            json!({ "address": "+14155550001" }),
        )
        .await;
    server.fake.asked();

    let taken = json!({ "name": "main", CONFIG: trunk_config("ACCT4") });
    assert_eq!(server.post(CONFIGS, taken.clone()).await.0, StatusCode::CONFLICT);
    let path = format!("{CONFIGS}/{second}");
    assert_eq!(server.put(&path, taken).await.0, StatusCode::CONFLICT);
    let path = format!("{CONFIGS}/{first}");
    let (status, body) = server.put(&path, json!({ CONFIG: trunk_config("ACCT3") })).await;
    assert_eq!(
        status,
        StatusCode::CONFLICT,
        "their number is routed by that account: {body}"
    );
    assert!(
        body["detail"].as_str().unwrap().contains("another organization"),
        "{body}"
    );
    let asked = server.fake.asked();
    assert!(asked.iter().all(|asked| asked == "check trunkphone"), "{asked:?}");
    // Its own name and its own account are free for itself.
    let same = json!({ "name": "main", CONFIG: trunk_config("ACCT1") });
    assert_eq!(server.put(&path, same).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_providers_checklist_decides_whether_calls_go_out() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let id = server
        .made(CONFIGS, json!({ "name": "main", CONFIG: trunk_config("ACCT1") }))
        .await;
    let path = format!("{CONFIGS}/{id}");
    let steps = vec![
        step("done", true, true),
        step("nice_to_have", false, false),
        step("sip_domain", false, true),
        step("caller_id", false, true),
    ];
    server.fake.answer(|answers| answers.steps = steps);
    let (_, body) = server.get(&path).await;
    let checklist = &body["setup_checklist"];
    assert_eq!(
        (&checklist["ready_for_outbound"], &checklist["outbound_blocked_reason"]),
        (&json!(false), &json!("Do sip_domain."))
    );
    assert_eq!(
        checklist["steps"][1],
        json!({ "key": "nice_to_have", "title": "nice_to_have", "description": "Do nice_to_have.", "complete": false, "blocks_outbound": false })
    );
    assert_eq!(body["connectivity_details"][0]["details"][0]["value"], "1.sip.example");
    assert_eq!(body["sip_connectivity"], body["connectivity_details"]);
    assert_eq!((&body["supports_trunks"], &body["trunks"]), (&json!(true), &json!([])));

    let initiate = "/api/v1/telephony/initiate-call";
    let request = json!({ "agent_id": agent, "phone_number": "+442079460000", "telephony_configuration_id": id });
    let (status, body) = server.post(initiate, request.clone()).await;
    assert_eq!(
        (status, &body["detail"]),
        (StatusCode::BAD_REQUEST, &json!("Do sip_domain."))
    );
    // The steps say that it is ready, and still there is no number to show.
    server.fake.answer(|answers| answers.steps = Vec::new());
    let (status, body) = server.post(initiate, request.clone()).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("caller_id_missing"))
    );
    server
        .made(&format!("{path}/phone-numbers"), json!({ "address": "+14155550001" }))
        .await;
    let (status, body) = server.post(initiate, request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

#[tokio::test]
async fn a_component_that_fails_does_not_hide_the_configuration() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let main = json!({ "name": "main", "is_default_outbound": true, CONFIG: trunk_config("ACCT1") });
    let id = server.made(CONFIGS, main).await;
    server.fake.answer(|answers| answers.speechless = true);
    let (status, body) = server.get(&format!("{CONFIGS}/{id}")).await;
    assert_eq!(status, StatusCode::OK);
    for unknown in ["setup_checklist", "connectivity_details", "sip_connectivity"] {
        assert!(body[unknown].is_null(), "{unknown}: {body}");
    }
    let (status, body) = server.get(CONFIGS).await;
    assert_eq!(
        (status, &body["configurations"][0]["is_ready_for_outbound"]),
        (StatusCode::OK, &json!(false))
    );
    let request = json!({ "agent_id": agent, "phone_number": "+442079460000" });
    let (status, body) = server.post("/api/v1/telephony/initiate-call", request.clone()).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::BAD_GATEWAY, Some("provider_fault"))
    );
    // Another configuration is not held up by it.
    let ready = server.configuration("ready", "ACCT2").await;
    server
        .made(
            &format!("{CONFIGS}/{ready}/phone-numbers"),
            json!({ "address": "+14155550001" }),
        )
        .await;
    let (status, body) = server.post("/api/v1/telephony/initiate-call", request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

#[tokio::test]
async fn settings_that_do_not_fit_todays_component_are_shown_as_such() {
    let server = Server::start().await;
    let new = crate::store::NewConfiguration {
        provider: "trunkphone".to_owned(),
        credentials: crate::store::SecretJson::new(json!({ "account": "ACCT1", "password": "hush-hush" })),
        ..testing::new_configuration(&server.organization, "old", Some("ACCT1"))
    };
    let old = server.fake.store.create_configuration(new, NOW).await.unwrap();
    let (status, body) = server.get(&format!("{CONFIGS}/{}", old.id)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        body["credentials"],
        json!({ "account": "ACCT1", "password": "*****hush" })
    );
    assert!(body["setup_checklist"].is_null());
    let reason = body["outbound_blocked_reason"].as_str().unwrap();
    assert!(reason.contains("enter them again"), "{reason}");
}

#[tokio::test]
async fn every_change_of_a_configuration_is_told_to_who_listens() {
    let server = Server::start().await;
    let told = || server.fake.changes.swap(0, Ordering::Relaxed);
    let id = server.configuration("main", "ACCT1").await;
    assert_eq!(told(), 1);
    let path = format!("{CONFIGS}/{id}");
    server.put(&path, json!({ "name": "renamed" })).await;
    assert_eq!(told(), 1);
    for action in ["set-default-outbound", "reactivate"] {
        server.post(&format!("{path}/{action}"), json!({})).await;
        assert_eq!(told(), 1, "{action}");
    }
    server.delete(&path).await;
    assert_eq!(told(), 1);
    server.delete(&path).await;
    server.put(&path, json!({ "name": "gone" })).await;
    assert_eq!(told(), 0, "nothing was changed");
}
