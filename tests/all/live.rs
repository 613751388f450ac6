//! Live calls as a stream: what there is, what changes, and who may watch.

use serde_json::Value;
use strowger_server::live::STREAMS_MAX;
use strowger_simulator::CallerScript;
use tokio::time::timeout;

use crate::harness::{Api, DEADLINE, Scenario, finished, ms, tone};

/// One stream, as a browser would read it.
struct Stream {
    response: reqwest::Response,
    text: String,
}

#[derive(Debug)]
struct Told {
    name: String,
    id: String,
    data: Value,
}

impl Stream {
    async fn open(api: &Api) -> Self {
        let response = request(api).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event; nothing at the end of the stream. Comments are passed over.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = event
                        .lines()
                        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    lines.collect::<Vec<_>>().join("\n")
                };
                let (name, id, data) = (field("event"), field("id"), field("data"));
                self.text = rest.to_owned();
                if name.is_empty() {
                    continue;
                }
                let data = serde_json::from_str(&data).unwrap();
                return Some(Told { name, id, data });
            }
            let chunk = timeout(DEADLINE, self.response.chunk())
                .await
                .expect("the stream says nothing");
            match chunk {
                Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    async fn expect(&mut self, name: &str) -> Told {
        let told = self.next().await.expect("the stream goes on");
        assert_eq!(told.name, name, "{told:?}");
        told
    }

    /// The next event of this name.
    async fn until(&mut self, name: &str) -> Told {
        loop {
            let told = self.next().await.expect("the stream goes on");
            if told.name == name {
                return told;
            }
            assert_eq!(told.name, "call", "{told:?}");
        }
    }
}

fn request(api: &Api) -> reqwest::RequestBuilder {
    api.client.get(api.url("/calls/live")).bearer_auth(api.key())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_appears_changes_and_ends() {
    let installation = Scenario::echo().start().await;
    let mut stream = Stream::open(&installation.api).await;
    assert_eq!(
        stream.expect("snapshot").await.data["calls"].as_array().unwrap().len(),
        0
    );
    let call = installation.call_in(CallerScript::new().speak(tone(500.0, 200)).silence(ms(300)).hang_up());
    let first = stream.expect("call").await;
    let id = first.data["id"].clone();
    // Somebody who comes later begins with what there is, whatever they have heard before.
    let again = request(&installation.api)
        .header("last-event-id", &first.id)
        .send()
        .await
        .unwrap();
    let mut later = Stream {
        response: again,
        text: String::new(),
    };
    later.expect("snapshot").await;
    let ended = stream.until("ended").await;
    finished(&call).await;
    let record = installation.closed_call().await;
    assert_eq!((&ended.data, &id), (&record, &record["id"]));
    assert_ne!(ended.id, first.id);
    drop(later);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_shows_its_own_organisation_and_needs_a_key() {
    let installation = Scenario::echo().start().await;
    let stranger = Api::new(&installation.gateway, "Second").await;
    let (mut ours, mut theirs) = (Stream::open(&installation.api).await, Stream::open(&stranger).await);
    ours.expect("snapshot").await;
    theirs.expect("snapshot").await;
    let nobody = installation
        .api
        .client
        .get(installation.api.url("/calls/live"))
        .send()
        .await
        .unwrap();
    assert_eq!(nobody.status(), 401);
    finished(&installation.call_in(CallerScript::new().silence(ms(200)).hang_up())).await;
    ours.until("ended").await;
    installation.gateway.stop().await;
    assert!(theirs.next().await.is_none(), "nothing but its end");
    assert!(ours.next().await.is_none(), "a stop ends all streams");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_and_make_room_when_they_end() {
    let installation = Scenario::echo().without_number().start().await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        let mut stream = Stream::open(&installation.api).await;
        stream.expect("snapshot").await;
        streams.push(stream);
    }
    assert_eq!(
        installation.api.get("/calls/live").await.refused(429),
        "too_many_streams"
    );
    // Others have their own.
    let stranger = Api::new(&installation.gateway, "Second").await;
    Stream::open(&stranger).await.expect("snapshot").await;
    streams.pop();
    crate::harness::eventually("there is room", async || {
        let response = request(&installation.api).send().await.unwrap();
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_ends_its_stream() {
    let installation = Scenario::echo().without_number().start().await;
    let mut stream = Stream::open(&installation.api).await;
    stream.expect("snapshot").await;
    let store = installation.gateway.exchange().store();
    let organization = store.organization_named("First").await.unwrap().unwrap().id;
    let key = store.api_keys(&organization).await.unwrap().remove(0);
    let now = installation.gateway.exchange().clock().unix_ms();
    store.revoke_api_key(&organization, &key.id, true, now).await.unwrap();
    assert!(stream.next().await.is_none(), "the stream ends");
}
