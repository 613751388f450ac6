//! Asterisk: a PBX with ARI and chan_websocket. No webhooks; an event socket, REST commands, and media channels that open
//! their own socket to the address in `websocket_client.conf`.
//!
//! Written from Asterisk's documentation and from what an Asterisk 22.10.1 was seen to do; where the two differ, the latter.

mod events;
mod media;
mod rest;

use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{
    CallRecord, Carrier, EventSocket, InboundRoute, Ledger, MediaDialect, Notice, RestAnswer, RestRequest,
    RestResponse, StreamInstruction, WebhookKind, WebhookTarget, random_hex,
};

const USER: &str = "strowger";
/// With the characters that a careless client spoils.
const PASSWORD: &str = "p@ss:w/rd";
/// The section of `websocket_client.conf` that leads to the gateway.
const MEDIA_CLIENT: &str = "gateway";
const OWN_NUMBER: &str = "+15005550008";

#[derive(Debug)]
pub(super) struct Ari;

impl Carrier for Ari {
    fn name(&self) -> &'static str {
        "ari"
    }

    fn rest_host(&self) -> &'static str {
        "pbx.example.com"
    }

    fn credentials(&self) -> Value {
        credentials("http://pbx.example.com")
    }

    fn credentials_at(&self, rest: SocketAddr) -> Value {
        credentials(&format!("http://{rest}"))
    }

    fn own_number(&self) -> &'static str {
        OWN_NUMBER
    }

    fn new_call_id(&self) -> String {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let number = u32::from_str_radix(&random_hex(7), 16).unwrap_or_default();
        format!("{seconds}.{number}")
    }

    fn handle_rest(&self, ledger: &mut Ledger, request: &RestRequest) -> RestAnswer {
        rest::handle(ledger, request)
    }

    fn rest_error(&self, status: u16) -> RestResponse {
        rest::error(
            status,
            match status {
                401 => "Authentication required",
                403 => "Write access denied",
                404 => "Resource not found",
                500 => "An internal error prevented this request from being handled",
                _ => "The request could not be served",
            },
        )
    }

    fn event_socket(&self, _ledger: &Ledger, request: &RestRequest) -> Option<Result<EventSocket, RestResponse>> {
        if request.path != "/ari/events" {
            return None;
        }
        if !rest::is_authorised(request) {
            return Some(Err(self.rest_error(401)));
        }
        let parameters = request.parameters();
        let Some(app) = parameters.get("app") else {
            return Some(Err(RestResponse {
                status: 400,
                content_type: "text/html",
                body: b"HTTP request is missing param: [app]".to_vec(),
            }));
        };
        Some(Ok(EventSocket {
            key: app.to_owned(),
            farewell: Some(events::application_replaced(app)),
        }))
    }

    /// The dialplan announces nothing; it hands the call to the Stasis application, which [`events`] tells.
    fn inbound_route(&self, _ledger: &Ledger, _to: &str) -> InboundRoute {
        InboundRoute {
            voice: None,
            callbacks: Vec::new(),
            extra: Value::Null,
        }
    }

    fn notices(
        &self,
        ledger: &mut Ledger,
        call: &CallRecord,
        what: &WebhookKind,
        _given: Option<&WebhookTarget>,
    ) -> Vec<Notice> {
        events::told(ledger, call, what)
    }

    fn upgrade_headers(&self, _url: &str, _tamper: &super::Tamper) -> Vec<(String, String)> {
        vec![("sec-websocket-protocol".to_owned(), "media".to_owned())]
    }

    fn open_stream(&self, call: &CallRecord, _stream: &StreamInstruction) -> Box<dyn MediaDialect> {
        Box::new(media::Socket::new(&call.id, &call.extra))
    }
}

fn credentials(endpoint: &str) -> Value {
    json!({
        "ari_endpoint": endpoint,
        "app_name": USER,
        "app_password": PASSWORD,
        "ws_client_name": MEDIA_CLIENT,
    })
}
