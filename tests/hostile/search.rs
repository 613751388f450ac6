//! A guest that looks for texts in all of its own memory.
//!
//! It is built with what it looks for, disguised, so that it does not find its own question.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::Guest;
use crate::component::{ZEROS_AT, word};

const DISGUISE: u8 = 0x5a;

/// The ways in which a secret may be spelled: plain, in URLs, JSON, base64 and hexadecimal.
#[must_use]
pub fn spellings(secret: &str) -> Vec<String> {
    let percent: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = Value::from(secret).to_string();
    let mut all = vec![
        secret.to_owned(),
        percent.replace('+', "%20"),
        percent,
        json.trim_matches('"').to_owned(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        hex::encode(secret),
        hex::encode_upper(secret),
    ];
    all.sort();
    all.dedup();
    all
}

/// A guest that traps in every export when it finds one of these texts anywhere in its memory.
///
/// # Panics
/// When they are more than fit.
#[must_use]
pub fn guest(texts: &[String]) -> Guest {
    const PATTERNS_AT: u32 = 60_000;
    const RESULT_AT: u32 = 8320;
    const URL_AT: u32 = 8500;
    let patterns: Vec<u8> = texts
        .iter()
        .flat_map(|text| {
            let length = u8::try_from(text.len()).expect("a text of at most 255 bytes");
            std::iter::once(length).chain(text.bytes().map(|byte| byte ^ DISGUISE))
        })
        .chain([0])
        .collect();
    assert!(PATTERNS_AT as usize + patterns.len() < 65_536, "more than fits");
    let escaped: String = patterns.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let search = format!(
        "(func $search
           (local $pattern i32) (local $length i32) (local $at i32) (local $end i32) (local $i i32)
           (local.set $pattern (i32.const {PATTERNS_AT}))
           (loop $patterns
             (local.set $length (i32.load8_u (local.get $pattern)))
             (if (local.get $length) (then
               (local.set $at (i32.const 0))
               (local.set $end (i32.sub (i32.mul (memory.size) (i32.const 65536)) (local.get $length)))
               (loop $addresses
                 (local.set $i (i32.const 0))
                 (block $differs
                   (loop $bytes
                     (br_if $differs (i32.ne
                       (i32.load8_u (i32.add (local.get $at) (local.get $i)))
                       (i32.xor (i32.const {DISGUISE})
                         (i32.load8_u offset=1 (i32.add (local.get $pattern) (local.get $i))))))
                     (local.set $i (i32.add (local.get $i) (i32.const 1)))
                     (br_if $bytes (i32.lt_u (local.get $i) (local.get $length))))
                   unreachable)
                 (local.set $at (i32.add (local.get $at) (i32.const 1)))
                 (br_if $addresses (i32.lt_u (local.get $at) (local.get $end))))
               (local.set $pattern (i32.add (local.get $pattern) (i32.add (local.get $length) (i32.const 1))))
               (br $patterns)))))"
    );
    // The error; perform; http; then the request: method and URL, no headers, no body, authorization: bearer. Its text is the
    // whole configuration, with the reference in it.
    let request = format!(
        "\\01\\00\\00\\00{}{}{}{}{}{}\\02\\00\\00\\00",
        word(0).repeat(2),
        word(URL_AT),
        word(3),
        word(URL_AT + 4),
        word(29),
        word(0).repeat(4),
    );
    let asks = format!(
        "(call $search)
         (i32.store (i32.const {}) (i32.load (local.get 0))) (i32.store (i32.const {}) (i32.load offset=4 (local.get 0)))
         (i32.const {RESULT_AT})",
        RESULT_AT + 48,
        RESULT_AT + 52
    );
    let config = "(call $search)
         (i32.store (i32.const 4404) (local.get 0)) (i32.store (i32.const 4408) (local.get 1))
         (i32.const 4400)";
    let silent = format!("(call $search) (i32.const {ZEROS_AT})");
    Guest::loadable()
        .with_everything()
        .with_fields(&[("secret", true), ("plain", false)])
        // webhook-proof: required.
        .data(100, "\\00")
        .more(&search)
        .data_at(PATTERNS_AT, &escaped)
        .data_at(URL_AT, "GET\\00https://api.example.com/v1/xx")
        .data_at(RESULT_AT, &request)
        .body("trunks#trunk-fields", &format!("(i32.const {ZEROS_AT})"))
        .body("descriptor#config-loader", config)
        .body("webhook#recognise", &silent)
        .body("webhook#verify-signature", &silent)
        .body("calling#place-call", &asks)
        .body("media#[constructor]leg", "(call $search) (call $leg-new (i32.const 1))")
        .body("media#[method]leg.deserialize-frame", &silent)
        .body("media#[method]leg.serialize-frame", &silent)
}
