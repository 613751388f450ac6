//! What belongs to one organisation does not exist for another.

use reqwest::Method;
use serde_json::json;
use strowger_simulator::CallerScript;

use crate::harness::{Api, Scenario, created, finished, ms, tone};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_organisation_sees_and_touches_nothing() {
    let ours = Scenario::echo().recorded().start().await;
    finished(&ours.call_in(CallerScript::new().speak(tone(500.0, 200)).silence(ms(200)).hang_up())).await;
    let call = ours.closed_call().await;
    let call = call["id"].as_str().unwrap();
    let theirs = Api::new(&ours.gateway, "Second").await;
    let (agent, configuration, number) = (&ours.ids.agent, &ours.ids.configuration, &ours.ids.number);
    let configurations = "/organizations/telephony-configs";

    let own = [
        (Method::GET, format!("/agents/{agent}")),
        (Method::GET, format!("{configurations}/{configuration}")),
        (Method::GET, format!("{configurations}/{configuration}/phone-numbers")),
        (
            Method::GET,
            format!("{configurations}/{configuration}/phone-numbers/{number}"),
        ),
        (Method::GET, format!("/calls/{call}")),
        (Method::GET, format!("/calls/{call}/events")),
        (Method::GET, format!("/calls/{call}/recording")),
        (Method::GET, format!("/calls/{call}/timeline.svg")),
        (Method::POST, format!("/calls/{call}/hang-up")),
    ];
    for (method, path) in &own {
        // It is there, for us.
        assert_eq!(ours.api.send(method.clone(), path, None).await.status, 200, "{path}");
    }
    let touching = [
        (
            Method::PUT,
            format!("/agents/{agent}"),
            json!({ "name": "Mine", "protocol": "echo" }),
        ),
        (Method::DELETE, format!("/agents/{agent}"), json!({})),
        (
            Method::PUT,
            format!("{configurations}/{configuration}"),
            json!({ "name": "Mine" }),
        ),
        (Method::DELETE, format!("{configurations}/{configuration}"), json!({})),
        (
            Method::POST,
            format!("{configurations}/{configuration}/set-default-outbound"),
            json!({}),
        ),
        (
            Method::POST,
            format!("{configurations}/{configuration}/reactivate"),
            json!({}),
        ),
        (
            Method::POST,
            format!("{configurations}/{configuration}/phone-numbers"),
            json!({ "address": "+12025550101" }),
        ),
        (
            Method::PUT,
            format!("{configurations}/{configuration}/phone-numbers/{number}"),
            json!({ "label": "Mine" }),
        ),
        (
            Method::DELETE,
            format!("{configurations}/{configuration}/phone-numbers/{number}"),
            json!({}),
        ),
        (
            Method::POST,
            format!("{configurations}/{configuration}/phone-numbers/{number}/set-default-caller"),
            json!({}),
        ),
    ];
    let before = ours.api.get(&format!("{configurations}/{configuration}")).await.json();
    let asked = ours.carrier.rest_log().len();
    for (method, path, body) in own
        .into_iter()
        .map(|(method, path)| (method, path, json!({})))
        .chain(touching)
    {
        let body = (method != Method::GET).then_some(&body);
        let reply = theirs.send(method.clone(), &path, body).await;
        assert_eq!(reply.refused(404), "not_found", "{method} {path}");
    }
    for path in ["/agents", configurations, "/calls"] {
        let list = theirs.get(path).await.ok();
        let items = list
            .as_object()
            .unwrap()
            .values()
            .find(|value| value.is_array())
            .unwrap();
        assert_eq!(items, &json!([]), "{path}");
    }
    assert_eq!(
        ours.api.get(&format!("{configurations}/{configuration}")).await.json(),
        before
    );
    assert_eq!(ours.api.get(&format!("/agents/{agent}")).await.ok()["name"], "An agent");
    assert_eq!(
        ours.carrier.rest_log().len(),
        asked,
        "the carrier was not asked on a stranger's behalf"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_cannot_be_placed_with_what_belongs_to_another() {
    let ours = Scenario::echo().start().await;
    let theirs = Api::new(&ours.gateway, "Second").await;
    let agent = created(
        &theirs
            .post("/agents", json!({ "name": "Theirs", "protocol": "echo" }))
            .await,
    );
    let configuration = created(
        &theirs
            .post("/organizations/telephony-configs", ours.configuration("Theirs"))
            .await,
    );
    ours.carrier.add_number("+15005550009");
    let path = format!("/organizations/telephony-configs/{configuration}/phone-numbers");
    created(&theirs.post(&path, json!({ "address": "+15005550009" })).await);
    let request = |agent: &str, configuration: &str, from: Option<&str>| {
        let mut request =
            json!({ "agent_id": agent, "phone_number": "+12025550188", "telephony_configuration_id": configuration });
        if let Some(from) = from {
            request["from_phone_number_id"] = json!(from);
        }
        request
    };
    let ids = &ours.ids;
    for (body, status) in [
        (request(&ids.agent, &configuration, None), 404),
        (request(&agent, &ids.configuration, None), 404),
        (request(&agent, &configuration, Some(&ids.number)), 400),
    ] {
        theirs.post("/telephony/initiate-call", body).await.refused(status);
    }
    // Nor can a number be given to another's agent.
    theirs
        .post(
            &path,
            json!({ "address": "+12025550101", "inbound_agent_id": ids.agent }),
        )
        .await
        .refused(404);
    assert_eq!(ours.placed(), 0);
    assert!(ours.calls().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_there_is_nothing() {
    let ours = Scenario::echo().start().await;
    let client = &ours.api.client;
    for path in [
        "/agents",
        "/calls",
        "/organizations/telephony-configs",
        "/calls/018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192",
    ] {
        let url = format!("{}/api/v1{path}", ours.base());
        assert_eq!(client.get(&url).send().await.unwrap().status(), 401, "{path}");
        assert_eq!(
            client.get(&url).bearer_auth("nonsense").send().await.unwrap().status(),
            401,
            "{path}"
        );
        let mut almost = ours.api.key().to_owned();
        almost.pop();
        assert_eq!(
            client.get(&url).bearer_auth(almost).send().await.unwrap().status(),
            401,
            "{path}"
        );
    }
}
