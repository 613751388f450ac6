//! Tokens of Vonage's webhooks, made with PyJWT, for our verifier and for that of Vonage's own package; and the tokens
//! that authorise our requests, for PyJWT.
//!
//! The official package (vonage-jwt 1.1.5) looks at the signature and at dates that a token happens to have. Vonage
//! leaves it to its users to compare the account and the digest of the payload, and sets no end to its tokens: what the
//! table below marks as accepted there and refused here is that part. The other way round, ours allows clocks to differ
//! by a minute.

use serde_json::{Value, json};
use strowger_host::operation::{Direction, MediaAddress, Outbound};
use strowger_host::{Credentials, Effect, Moment, Operation, OutgoingRequest, Provider, Step};
use strowger_tests::{credentials, provider};

use super::witness::{Witness, text};
use super::{call, verdict, webhook};

const APPLICATION_ID: &str = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab";
const API_KEY: &str = "a1b2c3d4";
const SECRET: &str = "qwertyuiopasdfghjklzxcvbnm123456";

/// Each webhook, whether the official package accepts its token, and what ours finds.
const VERDICTS: [(&str, bool, &str); 52] = [
    ("genuine", true, "genuine"),
    ("genuine, with an end", true, "genuine"),
    ("genuine, of the account", true, "genuine"),
    ("genuine, with a key's name", true, "genuine"),
    // Left to the package's user.
    ("other api key", true, "account-mismatch"),
    ("no api key", true, "account-mismatch"),
    ("other application", true, "application-mismatch"),
    ("other issuer", true, "issuer-wrong"),
    ("no issuer", true, "issuer-wrong"),
    ("other payload hash", true, "not-proved"),
    ("payload hash of nothing", true, "not-proved"),
    ("no payload hash", true, "payload-hash-missing"),
    ("no date", true, "issued-at-missing"),
    ("issued long ago", true, "token-expired"),
    ("issued in 1970", true, "token-expired"),
    // A minute of grace.
    ("issued in half a minute", false, "genuine"),
    ("ended half a minute ago", false, "genuine"),
    // Refused by both.
    ("issued in the future", false, "token-from-the-future"),
    ("not yet valid", false, "token-from-the-future"),
    ("expired", false, "token-expired"),
    ("other secret", false, "not-proved"),
    ("empty secret", false, "not-proved"),
    ("no algorithm, unsigned", false, "algorithm-refused"),
    ("no algorithm, signed", false, "algorithm-refused"),
    ("no algorithm in other letters", false, "algorithm-refused"),
    ("algorithm in small letters", false, "algorithm-refused"),
    ("no algorithm named", false, "signature-malformed"),
    ("HS384 with the secret", false, "algorithm-refused"),
    ("HS512 with the secret", false, "algorithm-refused"),
    ("RS256 in the header, the secret as key", false, "algorithm-refused"),
    ("RS256 of a key of somebody's", false, "algorithm-refused"),
    ("HS256 with the public key as secret", false, "not-proved"),
    ("its own key in the header", false, "not-proved"),
    ("a critical extension", false, "algorithm-refused"),
    ("a bit of the header", false, "not-proved"),
    ("a bit of the claims", false, "not-proved"),
    ("a bit of the signature", false, "not-proved"),
    ("signature left out", false, "not-proved"),
    ("two parts", false, "signature-malformed"),
    ("four parts", false, "signature-malformed"),
    ("claims of another token", false, "not-proved"),
    ("claims that are no object", false, "signature-malformed"),
    ("garbage", false, "signature-malformed"),
    ("empty", false, "signature-missing"),
    ("not base64", false, "signature-malformed"),
    // The package sees the token alone.
    ("genuine, another body", true, "not-proved"),
    ("genuine, another URL", true, "genuine"),
    ("genuine get", true, "genuine"),
    ("genuine get, by name", true, "genuine"),
    ("get with another query", true, "not-proved"),
    ("get with more in the query", true, "not-proved"),
    ("get without a payload hash", true, "payload-hash-missing"),
];

fn account(vonage: &Provider, private_key: &str) -> Credentials {
    let entered = json!({
        "application_id": APPLICATION_ID,
        "private_key": private_key,
        "api_key": API_KEY,
        "api_secret": "secret",
        "signature_secret": SECRET,
    });
    credentials(vonage, &entered)
}

#[tokio::test(flavor = "multi_thread")]
async fn genuine_tokens_are_accepted_and_all_others_refused() {
    let vonage = provider("vonage");
    let account = account(&vonage, "-----BEGIN PRIVATE KEY-----");
    let cases = Witness::start("vonage_sign.py", &[APPLICATION_ID, API_KEY, SECRET])
        .rest()
        .await;
    assert_eq!(cases.len(), VERDICTS.len());
    for (case, expected) in cases.iter().zip(VERDICTS) {
        let webhook = webhook(case, case["received_at"].as_u64().unwrap());
        let ours = verdict(&vonage, &account, &webhook);
        assert_eq!(
            (text(case, "what"), case["official"] == json!(true), ours.as_str()),
            expected
        );
    }
}

// The tokens of our requests.

/// The first request of an operation.
fn request<T>(mut operation: Operation<T>) -> OutgoingRequest {
    match operation.step().unwrap() {
        Step::Perform(Effect::Http(request)) => request,
        _ => panic!("no request is made"),
    }
}

fn bearer(request: &OutgoingRequest) -> String {
    let (_, value) = request
        .headers
        .iter()
        .find(|(name, _)| name == "authorization")
        .unwrap();
    value.expose().strip_prefix("Bearer ").unwrap().to_owned()
}

/// What an application does to a call, as requests that carry a token.
fn authorised(vonage: &Provider, account: &Credentials, now_ms: u64) -> Vec<OutgoingRequest> {
    let call = call(vonage, "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192", Direction::Outbound);
    let outbound = Outbound {
        caller_id: Some(call.caller.clone()),
        answer_url: Some("https://gateway.example/ncco".to_owned()),
        media: MediaAddress {
            url: "wss://gateway.example/ws/t".to_owned(),
            base_url: "wss://gateway.example/ws".to_owned(),
            token: "t".to_owned(),
        },
        ring_timeout_s: 30,
        detect_machine: None,
        trunk: None,
    };
    let now = || Moment::at(now_ms);
    vec![
        request(vonage.place_call(account, call.clone(), outbound, now()).unwrap()),
        request(vonage.hang_up(account, call.clone(), now()).unwrap()),
        request(vonage.fetch_status(account, call, now()).unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn our_requests_carry_tokens_that_the_public_key_verifies() {
    let vonage = provider("vonage");
    let keys = Witness::start("vonage_tokens.py", &["keys"]).rest().await.remove(0);
    let now_ms = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let now_ms = u64::try_from(now_ms).unwrap();
    let mut input = String::new();
    for form in ["pkcs8", "pkcs1"] {
        let account = account(&vonage, text(&keys, form));
        for request in authorised(&vonage, &account, now_ms) {
            assert_eq!(request.url.host_str(), Some("api.nexmo.com"));
            let line = json!({
                "token": bearer(&request),
                "public": text(&keys, "public"),
                // Vonage's package takes one of the two forms.
                "private": text(&keys, "pkcs8"),
                "application_id": APPLICATION_ID,
            });
            input.push_str(&format!("{line}\n"));
        }
    }
    let seen = Witness::start_with("vonage_tokens.py", &["check"], input).rest().await;
    assert_eq!(seen.len(), 6);
    let mut identifiers = std::collections::BTreeSet::new();
    for token in &seen {
        let (claims, official) = (&token["claims"], &token["official"]["claims"]);
        assert_eq!(token["header"], json!({ "alg": "RS256", "typ": "JWT" }), "{token:#}");
        assert_eq!(token["header"], token["official"]["header"]);
        assert_eq!(text(claims, "application_id"), APPLICATION_ID);
        let names = |claims: &Value| claims.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(claims), names(official), "{token:#}");
        let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
        assert_eq!(iat, now_ms / 1000);
        // Vonage refuses tokens that last longer than a day.
        assert!(exp > iat && exp - iat <= 3600, "{token:#}");
        identifiers.insert(text(claims, "jti").to_owned());
    }
    assert_eq!(identifiers.len(), seen.len(), "a token's identifier is used once");
}
