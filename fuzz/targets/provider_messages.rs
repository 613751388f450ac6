//! What carriers say to the seven providers: webhooks and media messages. Natively, without the sandbox that would catch it.
#![no_main]

mod setting;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use strowger_sdk::{Leg as _, MediaFrame, Message, Provider, Webhook};

use setting::{call, config, webhook};

fn hear<P: Provider>(config: &P::Config, webhook: &Webhook, messages: &[(bool, Vec<u8>)]) {
    let _ = P::recognise(webhook);
    let _ = P::verify_signature(config, webhook);
    let mut leg = P::Leg::open(config, &call::<P>());
    for (text, bytes) in messages.iter().take(16) {
        let message = match std::str::from_utf8(bytes) {
            Ok(message) if *text => Message::Text(message.to_owned()),
            _ => Message::Binary(bytes.clone()),
        };
        let events = leg.deserialize_frame(message);
        assert!(events.len() <= 64);
        let _ = leg.serialize_frame(MediaFrame::Audio(vec![0; 160]));
    }
}

macro_rules! each {
    ($which:expr, $webhook:expr, $messages:expr, $($number:literal => $provider:ty),+) => {
        match $which % 7 {
            $($number => {
                static CONFIG: OnceLock<<$provider as Provider>::Config> = OnceLock::new();
                hear::<$provider>(CONFIG.get_or_init(config::<$provider>), $webhook, $messages);
            })+
            _ => {}
        }
    };
}

fuzz_target!(
    |input: (u8, bool, &str, Vec<(&str, &str)>, &[u8], Vec<(bool, Vec<u8>)>)| {
        let (which, post, query, headers, body, messages) = input;
        let method = if post { "POST" } else { "GET" };
        let url = format!("https://gateway.example/api/v1/telephony/inbound/run{query}");
        let webhook = webhook(method, url, headers, body);
        each!(which, &webhook, &messages,
        0 => strowger_provider_ari::Ari,
        1 => strowger_provider_cloudonix::Cloudonix,
        2 => strowger_provider_plivo::Plivo,
        3 => strowger_provider_telnyx::Telnyx,
        4 => strowger_provider_twilio::Twilio,
        5 => strowger_provider_vobiz::Vobiz,
        6 => strowger_provider_vonage::Vonage);
    }
);
