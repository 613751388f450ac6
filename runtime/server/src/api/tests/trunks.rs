//! Trunks: the carrier first, the row after it, and nothing of either when something is wrong.

use super::*;

async fn trunk_configuration(server: &Server) -> String {
    let config = json!({ "provider": "trunkphone", "account": "ACCT1", "auth_token": "secret-token-1234" });
    let id = server.made(CONFIGS, json!({ "name": "main", "config": config })).await;
    server.fake.asked();
    format!("{CONFIGS}/{id}")
}

fn east() -> Value {
    json!({ "name": "east-1", "settings": { "region": "EU", "sip_domain": "sip.example" } })
}

#[tokio::test]
async fn a_trunk_is_applied_and_then_written_down() {
    let server = Server::start().await;
    let configuration = trunk_configuration(&server).await;
    let trunks = format!("{configuration}/trunks");
    let applied = AppliedTrunk {
        external_id: Some("TR-77".to_owned()),
        settings: json!({ "region": "us", "sip_domain": "sip.example" }),
    };
    server.fake.answer(|answers| answers.applied = Some(Ok(applied)));
    let (status, body) = server.post(&trunks, east()).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(
        server.fake.asked(),
        ["apply east-1 true {\"region\":\"eu\",\"sip_domain\":\"sip.example\"} new"]
    );
    assert_eq!(
        (&body["name"], &body["enabled"], &body["phone_number_count"]),
        (&json!("east-1"), &json!(true), &json!(0))
    );
    assert_eq!(body["settings"]["region"], "us", "as the carrier has it");
    assert!(!body.to_string().contains("TR-77"), "{body}");
    let path = format!("{trunks}/{}", body["id"].as_str().unwrap());

    let (status, body) = server.put(&path, json!({ "name": "west", "enabled": false })).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        server.fake.asked(),
        ["apply west false {\"region\":\"us\",\"sip_domain\":\"sip.example\"} TR-77"]
    );
    let (_, body) = server.get(&trunks).await;
    assert_eq!(
        (&body["trunks"][0]["name"], &body["trunks"][0]["enabled"]),
        (&json!("west"), &json!(false))
    );
    assert_eq!(server.get(&path).await.1, body["trunks"][0]);
    assert_eq!(server.get(&configuration).await.1["trunks"], body["trunks"]);

    let (status, body) = server.delete(&path).await;
    assert_eq!((status, body), (StatusCode::OK, json!({ "success": true })));
    assert_eq!(server.fake.asked(), ["remove west TR-77"]);
    assert_eq!(server.get(&path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_wrong_with_a_trunk_is_told_before_the_carrier_is_asked() {
    let server = Server::start().await;
    let trunks = format!("{}/trunks", trunk_configuration(&server).await);
    for (body, expected) in [
        (json!({}), vec!["name", "settings.region"]),
        (json!({ "name": "a b", "settings": { "region": "eu" } }), vec!["name"]),
        (
            json!({ "name": "x".repeat(65), "settings": { "region": "eu" } }),
            vec!["name"],
        ),
        (
            json!({ "name": "a", "settings": { "region": "mars", "port": 1, "sip_domain": [] }, "enabled": 1 }),
            vec!["enabled", "settings.port", "settings.region"],
        ),
        (
            json!({ "name": "a", "settings": [] }),
            vec!["settings", "settings.region"],
        ),
    ] {
        let (status, body) = server.post(&trunks, body).await;
        let mut told = fields(&body);
        told.sort_unstable();
        assert_eq!((status, told), (StatusCode::UNPROCESSABLE_ENTITY, expected), "{body}");
    }
    let id = server.made(&trunks, east()).await;
    let other = json!({ "name": "west", "settings": { "region": "us" } });
    let other = server.made(&trunks, other).await;
    server.fake.asked();
    assert_eq!(server.post(&trunks, east()).await.0, StatusCode::CONFLICT);
    let renamed = server
        .put(&format!("{trunks}/{other}"), json!({ "name": "east-1" }))
        .await;
    assert_eq!(renamed.0, StatusCode::CONFLICT);
    let (status, body) = server
        .put(&format!("{trunks}/{id}"), json!({ "settings": { "region": 7 } }))
        .await;
    assert_eq!(
        (status, fields(&body)),
        (StatusCode::UNPROCESSABLE_ENTITY, vec!["settings.region"])
    );
    assert!(server.fake.asked().is_empty());

    let plain = format!("{CONFIGS}/{}/trunks", server.configuration("plain", "ACCT2").await);
    for (status, body) in [server.get(&plain).await, server.post(&plain, east()).await] {
        assert_eq!(
            (status, body["code"].as_str()),
            (StatusCode::BAD_REQUEST, Some("trunks_unsupported"))
        );
    }
}

#[tokio::test]
async fn what_the_carrier_refuses_is_not_written_down() {
    let server = Server::start().await;
    let trunks = format!("{}/trunks", trunk_configuration(&server).await);
    let misfit = AppliedTrunk {
        external_id: None,
        settings: json!({ "region": "mars" }),
    };
    for (answer, status) in [
        (Err(failure(FailureKind::Request)), StatusCode::BAD_REQUEST),
        (Err(failure(FailureKind::Carrier)), StatusCode::BAD_GATEWAY),
        (Ok(misfit), StatusCode::BAD_GATEWAY),
    ] {
        server.fake.answer(|answers| answers.applied = Some(answer));
        let (found, body) = server.post(&trunks, east()).await;
        assert_eq!(found, status, "{body}");
        assert_eq!(server.get(&trunks).await.1["trunks"], json!([]));
    }
    let id = server.made(&trunks, east()).await;
    let path = format!("{trunks}/{id}");
    let before = server.get(&path).await.1;
    server
        .fake
        .answer(|answers| answers.applied = Some(Err(failure(FailureKind::Carrier))));
    let (status, _) = server.put(&path, json!({ "name": "west" })).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    server
        .fake
        .answer(|answers| answers.removed = Some(failure(FailureKind::Carrier)));
    assert_eq!(server.delete(&path).await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(server.get(&path).await.1, before);
}

#[tokio::test]
async fn a_trunk_that_cannot_be_stored_does_not_stay_at_the_carrier() {
    let server = Server::start().await;
    let trunks = format!("{}/trunks", trunk_configuration(&server).await);
    let other = server.fake.store.again(testing::KEY).await.unwrap();
    server.fake.answer(|answers| answers.locked_by = Some(other));
    let (status, _) = server.post(&trunks, east()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.fake.asked()[1..], ["remove east-1 TR-1"]);
}

#[tokio::test]
async fn numbers_are_attached_to_trunks_of_their_configuration() {
    let server = Server::start().await;
    let configuration = trunk_configuration(&server).await;
    let trunks = format!("{configuration}/trunks");
    let numbers = format!("{configuration}/phone-numbers");
    let trunk = server.made(&trunks, east()).await;
    let (status, body) = server
        .post(
            &numbers,
            json!({ "address": "+14155550001", "telephony_trunk_id": trunk }),
        )
        .await;
    assert_eq!(
        (status, &body["telephony_trunk_id"]),
        (StatusCode::CREATED, &json!(trunk))
    );
    let number = format!("{numbers}/{}", body["id"].as_str().unwrap());
    let path = format!("{trunks}/{trunk}");
    assert_eq!(server.get(&path).await.1["phone_number_count"], 1);
    server.fake.asked();
    let (status, body) = server.delete(&path).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body["detail"].as_str().unwrap().contains("1 phone number"), "{body}");
    assert!(server.fake.asked().is_empty(), "the carrier keeps it as well");

    let both = json!({ "clear_trunk": true, "telephony_trunk_id": trunk });
    assert_eq!(fields(&server.put(&number, both).await.1), ["clear_trunk"]);
    let nowhere = json!({ "telephony_trunk_id": crate::store::TrunkId::generate() });
    assert_eq!(server.put(&number, nowhere).await.0, StatusCode::NOT_FOUND);
    let (_, body) = server.put(&number, json!({ "label": "desk" })).await;
    assert_eq!(body["telephony_trunk_id"], json!(trunk), "what is left out stays");
    let (_, body) = server.put(&number, json!({ "clear_trunk": true })).await;
    assert!(body["telephony_trunk_id"].is_null());
    assert_eq!(server.delete(&path).await.0, StatusCode::OK);

    let stranger = server.stranger().await;
    for (status, _) in [
        stranger.get(&trunks).await,
        stranger.post(&trunks, east()).await,
        stranger.get(&path).await,
        stranger.put(&path, json!({ "enabled": false })).await,
        stranger.delete(&path).await,
    ] {
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn the_metadata_tell_of_trunks_and_of_fields_that_nobody_enters() {
    let server = Server::start().await;
    let (_, body) = server.get("/api/v1/organizations/telephony-providers/metadata").await;
    let (plain, trunks) = (&body["providers"][1], &body["providers"][2]);
    assert_eq!(
        (&plain["supports_trunks"], &plain["trunk_fields"]),
        (&json!(false), &json!([]))
    );
    assert_eq!(
        (&trunks["supports_trunks"], &trunks["abilities"]),
        (&json!(true), &json!(["calling", "numbers", "setup", "trunks"]))
    );
    assert_eq!(
        (
            &trunks["trunk_fields"][0]["type"],
            &trunks["trunk_fields"][0]["options"][1]["value"]
        ),
        (&json!("select"), &json!("us"))
    );
    let fields = trunks["fields"].as_array().unwrap();
    assert!(fields.iter().all(|field| field["server_managed"] == false));
    let minted = fields.iter().find(|field| field["name"] == "minted").unwrap();
    assert_eq!(minted["type"], "readonly");
}
