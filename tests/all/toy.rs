//! Adding a carrier touches nothing else: a component dropped into the folder of providers is offered, and takes calls.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use strowger_simulator::carrier::{
    CallRecord, FromGateway, InboundRoute, Instruction, Ledger, MediaDialect, RestAnswer, RestRequest, RestResponse,
    StreamInstruction, Subscription, Tamper, WebhookKind, WebhookRequest, WebhookResponse, WebhookTarget, WireMessage,
};
use strowger_simulator::report::CallStatus;
use strowger_simulator::{CallerScript, Carrier};

use crate::harness::{DEADLINE, Scenario, finished, frequency, ms, providers, stream, tone};

/// The other end of `tests/guests/toy`.
#[derive(Debug)]
pub(crate) struct Toyphone {
    /// Where it posts: a path of the gateway.
    pub(crate) inbound: &'static str,
}

/// Posts where all shared carriers do.
pub(crate) static TOYPHONE: Toyphone = Toyphone {
    inbound: "/api/v1/telephony/inbound/run",
};

const KEY: &str = "a key that nobody guesses";

impl Carrier for Toyphone {
    fn name(&self) -> &'static str {
        "toyphone"
    }

    fn rest_host(&self) -> &'static str {
        "api.toyphone.example"
    }

    fn credentials(&self) -> Value {
        json!({ "line": "LINE-1", "key": KEY })
    }

    fn own_number(&self) -> &'static str {
        "+12025550100"
    }

    fn new_call_id(&self) -> String {
        static CALLS: AtomicU32 = AtomicU32::new(1);
        format!("toy-call-{}", CALLS.fetch_add(1, Ordering::Relaxed))
    }

    fn handle_rest(&self, _: &mut Ledger, _: &RestRequest) -> RestAnswer {
        self.rest_error(404).into()
    }

    fn rest_error(&self, status: u16) -> RestResponse {
        RestResponse::json(status, &json!({}))
    }

    fn inbound_route(&self, ledger: &Ledger, _: &str) -> InboundRoute {
        let told = WebhookTarget::post(format!("{}{}", ledger.gateway, self.inbound));
        InboundRoute {
            voice: Some(told.clone()),
            callbacks: vec![Subscription::new(told, [CallStatus::Completed])],
            extra: Value::Null,
        }
    }

    fn webhook(&self, call: &CallRecord, kind: &WebhookKind, target: &WebhookTarget, _: &Tamper) -> WebhookRequest {
        let over = matches!(kind, WebhookKind::Status(_));
        let told = json!({ "toy_call": call.id, "line": "LINE-1", "from": call.from, "to": call.to, "over": over });
        WebhookRequest {
            method: "POST".to_owned(),
            url: target.url.clone(),
            headers: vec![("x-toy-key".to_owned(), KEY.to_owned())],
            body: told.to_string().into_bytes(),
            token: String::new(),
        }
    }

    fn read_answer(&self, response: &WebhookResponse) -> Result<Vec<Instruction>, String> {
        let url = String::from_utf8(response.body.clone()).map_err(|error| error.to_string())?;
        Ok(vec![Instruction::Stream(StreamInstruction {
            url,
            ..StreamInstruction::default()
        })])
    }

    fn open_stream(&self, _: &CallRecord, _: &StreamInstruction) -> Box<dyn MediaDialect> {
        Box::new(Raw)
    }
}

#[derive(Debug)]
struct Raw;

impl MediaDialect for Raw {
    fn stream_id(&self) -> &str {
        "raw"
    }

    fn opening(&mut self) -> Vec<WireMessage> {
        vec![WireMessage::Text("a stream begins".to_owned())]
    }

    fn audio(&mut self, payload: &[u8]) -> WireMessage {
        WireMessage::Binary(payload.to_vec())
    }

    fn unreadable_audio(&mut self) -> WireMessage {
        WireMessage::Binary(Vec::new())
    }

    fn malformed(&mut self) -> WireMessage {
        WireMessage::Text("?".to_owned())
    }

    fn dtmf(&mut self, _: char) -> Option<WireMessage> {
        None
    }

    fn mark_played(&mut self, _: &str) -> Option<WireMessage> {
        None
    }

    fn read(&mut self, message: &WireMessage) -> Result<FromGateway, String> {
        match message {
            WireMessage::Binary(payload) => Ok(FromGateway::Audio(payload.clone())),
            WireMessage::Text(text) => Err(format!("a text of {} bytes", text.len())),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_dropped_into_the_folder_takes_calls() {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(providers()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(
        folder.path().join("toyphone.wasm"),
        strowger_tests::guest_bytes("strowger_toy_guest"),
    )
    .unwrap();

    let installation = Scenario::echo()
        .providers(folder.path())
        .over_carrier(&TOYPHONE)
        .start()
        .await;
    let metadata = installation
        .api
        .get("/organizations/telephony-providers/metadata")
        .await
        .ok();
    let names: Vec<&str> = metadata["providers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|provider| provider["provider"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"toyphone") && names.contains(&"twilio"), "{names:?}");
    assert!(names.is_sorted());

    let script = CallerScript::new()
        .silence(ms(300))
        .speak(tone(700.0, 600))
        .wait_heard(ms(400), DEADLINE)
        .silence(ms(300));
    let report = finished(&installation.call_in(script)).await;
    assert!((frequency(&stream(&report).heard(), 8_000) - 700.0).abs() < 20.0);
    let record = installation.closed_call().await;
    assert_eq!(record["provider"], "toyphone");
    assert_eq!(record["outcome"]["reason"], "caller_hung_up");
}
