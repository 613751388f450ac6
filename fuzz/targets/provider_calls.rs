//! What carriers say about a call in progress to the seven providers: in its webhooks, in the responses to requests, and over
//! an event socket. Natively, without the sandbox that would catch it.
#![no_main]

mod setting;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use strowger_provider_ari::Ari;
use strowger_provider_cloudonix::Cloudonix;
use strowger_provider_plivo::Plivo;
use strowger_provider_telnyx::Telnyx;
use strowger_provider_twilio::Twilio;
use strowger_provider_vobiz::Vobiz;
use strowger_provider_vonage::Vonage;
use strowger_sdk::{
    Calling, Detection as _, Events as _, Io, MediaAddress, Numbers, Outbound, Reply, Response, Transfer, TransferLeg,
    TransferState, Webhook,
};

use setting::{NOW_MS, call, config, webhook};

/// Everything that a carrier said.
struct Said {
    /// Which of the provider's routes its webhook came to.
    route: usize,
    webhook: Webhook,
    message: String,
    replies: Vec<Reply>,
}

impl Said {
    fn io(&self) -> Io {
        Io::new(self.replies.clone())
    }

    fn route(&self, routes: &[strowger_sdk::RouteUrl]) -> String {
        let routes = routes.iter().map(|route| route.name.as_str()).chain(["inbound"]);
        let routes: Vec<&str> = routes.collect();
        routes[self.route % routes.len()].to_owned()
    }
}

fn carry<P: Calling + Numbers>(config: &P::Config, said: &Said) {
    let call = call::<P>();
    let media = MediaAddress {
        url: "wss://gateway.example/media/token".to_owned(),
        base_url: "wss://gateway.example/media".to_owned(),
        token: "token".to_owned(),
    };
    let outbound = Outbound {
        caller_id: Some("+14155550199".to_owned()),
        answer_url: Some("https://gateway.example/answer".to_owned()),
        media: media.clone(),
        ring_timeout_s: 30,
        detect_machine: None,
        trunk: None,
    };
    let _ = P::handle_callback(config, &said.route(&call.routes), &call, &said.webhook, &mut said.io());
    let _ = P::answer_markup(config, &call, &media, Some(&said.webhook), &mut said.io());
    let _ = P::place_call(config, &call, &outbound, &mut said.io());
    let _ = P::hang_up(config, &call, &mut said.io());
    let _ = P::fetch_status(config, &call, &mut said.io());
    let _ = P::fetch_cost(config, &call, &mut said.io());
    let _ = P::validate_number(config, &call.callee, &mut said.io());
    let _ = P::provision_number(config, &call.callee, &mut said.io());
}

fn transfer<P: Transfer>(config: &P::Config, said: &Said) {
    let call = call::<P>();
    let leg = TransferLeg {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708193".to_owned(),
        state: TransferState::Dialing,
        destination: "+14155550142".to_owned(),
        caller_id: None,
        trunk: None,
        ring_timeout_s: 30,
        announcement: None,
        provider_call_id: None,
        routes: call.routes.clone(),
        attachment: None,
    };
    let route = said.route(&call.routes);
    let _ = P::handle_transfer_callback(config, &route, &call, &leg, &said.webhook, &mut said.io());
    let _ = P::dial_destination(config, &call, &leg, &mut said.io());
    let _ = P::connect(config, &call, &leg, &mut said.io());
    let _ = P::cancel(config, &call, &leg, &mut said.io());
}

/// The provider's configuration, read once.
macro_rules! config {
    ($provider:ty) => {{
        static CONFIG: OnceLock<<$provider as strowger_sdk::Provider>::Config> = OnceLock::new();
        CONFIG.get_or_init(config::<$provider>)
    }};
}

fuzz_target!(
    |input: (u8, u8, &str, Vec<(&str, &str)>, &[u8], String, Vec<(u8, u16, &[u8])>)| {
        let (which, route, query, headers, body, message, replies) = input;
        let said = Said {
            route: route.into(),
            webhook: webhook(
                "POST",
                format!("https://gateway.example/callback{query}"),
                headers,
                body,
            ),
            message,
            replies: replies.into_iter().take(8).map(reply).collect(),
        };
        match which % 7 {
            0 => {
                carry::<Ari>(config!(Ari), &said);
                transfer::<Ari>(config!(Ari), &said);
                let _ = Ari::handle_event(config!(Ari), &said.message, NOW_MS, &mut said.io());
            }
            1 => {
                carry::<Cloudonix>(config!(Cloudonix), &said);
                transfer::<Cloudonix>(config!(Cloudonix), &said);
            }
            2 => {
                carry::<Plivo>(config!(Plivo), &said);
                transfer::<Plivo>(config!(Plivo), &said);
            }
            3 => {
                carry::<Telnyx>(config!(Telnyx), &said);
                transfer::<Telnyx>(config!(Telnyx), &said);
            }
            4 => {
                carry::<Twilio>(config!(Twilio), &said);
                transfer::<Twilio>(config!(Twilio), &said);
                let _ = Twilio::detection_result(config!(Twilio), &said.webhook);
            }
            5 => carry::<Vobiz>(config!(Vobiz), &said),
            _ => carry::<Vonage>(config!(Vonage), &said),
        }
    }
);

fn reply((kind, status, bytes): (u8, u16, &[u8])) -> Reply {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    match kind % 8 {
        0 => Reply::Unreachable(text()),
        1 => Reply::Value(None),
        2 => Reply::Value(Some(text())),
        3 => Reply::Saved,
        4 => Reply::Claimed(status % 2 == 0),
        // What the egress lets through.
        _ => Reply::Http(Response {
            status: 100 + status % 500,
            headers: Vec::new(),
            body: bytes.to_vec(),
        }),
    }
}
