//! An honest provider beside the hostile one: after every attack it still does its work.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha1::Sha1;
use strowger_host::operation::{Call, Direction};
use strowger_host::{Credentials, Header, MediaEvent, MediaFrame, Message, Moment, Provider, Verdict, Webhook};
use strowger_tests::{credentials, provider};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const NOW_MS: u64 = 1_763_800_000_000;

/// A genuine webhook is genuine, and audio passes in both directions.
#[track_caller]
pub(crate) fn neighbour() {
    let twilio = provider("twilio");
    let credentials = credentials(&twilio, &json!({ "account_sid": ACCOUNT, "auth_token": TOKEN }));
    let verdict = twilio.verify(&credentials, &webhook(), &Moment::at(NOW_MS));
    assert!(
        matches!(verdict, Ok(Verdict::Genuine { .. })),
        "the neighbour suffers: {verdict:?}"
    );
    talks(&twilio, &credentials);
}

#[track_caller]
fn talks(provider: &Provider, credentials: &Credentials) {
    let mut leg = provider.open_leg(credentials, call(), Moment::at(NOW_MS)).unwrap();
    let started = json!({
        "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
        "start": {
            "streamSid": "MZ1", "accountSid": ACCOUNT, "callSid": "CA1", "tracks": ["inbound"], "customParameters": {},
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
        },
    });
    let started = leg.deserialize(Message::Text(started.to_string())).unwrap();
    assert!(matches!(started.as_slice(), [MediaEvent::Started(_)]), "{started:?}");
    let sent = leg.serialize(&MediaFrame::Audio(vec![0x7f; 160])).unwrap().unwrap();
    assert!(matches!(sent.as_slice(), [Message::Text(_)]), "{sent:?}");
}

fn call() -> Call {
    Call {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192".to_owned(),
        provider_call_id: None,
        direction: Direction::Inbound,
        caller: "+14155550100".to_owned(),
        callee: "+14155550199".to_owned(),
        routes: vec![],
        attachment: None,
    }
}

fn webhook() -> Webhook {
    let url = "https://gateway.example/api/v1/telephony/inbound/run".to_owned();
    let parameters = [
        ("AccountSid", ACCOUNT),
        ("CallSid", "CAabcdef0123456789abcdef0123456789"),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", "+14155550100"),
        ("To", "+14155550199"),
    ];
    let mut mac = Hmac::<Sha1>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(url.as_bytes());
    for (name, value) in parameters {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    let signature = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, mac.finalize().into_bytes());
    let header = |name: &str, value: &str| Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    Webhook {
        method: "POST".to_owned(),
        url,
        headers: vec![
            header("Content-Type", "application/x-www-form-urlencoded"),
            header("X-Twilio-Signature", &signature),
        ],
        body: form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish()
            .into_bytes(),
        received_at: NOW_MS,
    }
}
