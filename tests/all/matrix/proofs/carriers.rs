//! The proofs of all carriers, as data for the tests.

use serde_json::{Value, json};

/// How one carrier proves its webhooks.
pub(super) struct Proof {
    pub(super) carrier: &'static str,
    /// Headers, of each group at least one.
    pub(super) headers: &'static [&'static [&'static str]],
    /// Whether the address up to the query is covered.
    pub(super) address: bool,
    /// Whether the query is, of a POST and of a GET.
    pub(super) query: (bool, bool),
    pub(super) body: bool,
    pub(super) replay: Replay,
    /// Fields that verification needs and a configuration need not have.
    pub(super) optional: &'static [&'static str],
    /// What a configuration has besides, to verify the carrier's newer way to sign.
    pub(super) newer: fn() -> Option<Value>,
    /// Other people's accounts, each of which differs in one field.
    pub(super) others: fn() -> Vec<(&'static str, Value)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Replay {
    Once,
    /// Seconds that a webhook may be old, and may be ahead.
    Window {
        old_s: u64,
        ahead_s: u64,
    },
    Unprotected,
}

pub(super) static PROOFS: [Proof; 6] = [
    Proof {
        carrier: "cloudonix",
        headers: &[&["authorization", "x-cx-apikey"]],
        address: false,
        query: (false, false),
        body: false,
        replay: Replay::Unprotected,
        optional: &["api_key"],
        newer: || Some(json!({})),
        others: || {
            vec![
                ("api_key", json!("0Lq^vS-kI3Q!_U65_wj=E36kv7--pQM3")),
                ("domain_id", json!("another.cloudonix.net")),
            ]
        },
    },
    Proof {
        carrier: "plivo",
        headers: &[
            &["x-plivo-signature-v3", "x-plivo-signature-ma-v3"],
            &["x-plivo-signature-v3-nonce"],
        ],
        address: true,
        query: (true, true),
        body: true,
        replay: Replay::Once,
        optional: &[],
        newer: || Some(json!({})),
        others: || vec![("auth_token", json!("another-token-of-another-account"))],
    },
    Proof {
        carrier: "telnyx",
        headers: &[&["telnyx-signature-ed25519"], &["telnyx-timestamp"]],
        address: false,
        query: (false, false),
        body: true,
        replay: Replay::Window {
            old_s: 300,
            ahead_s: 300,
        },
        optional: &["webhook_public_key"],
        newer: || None,
        // The key of the first test vector of RFC 8032.
        others: || {
            vec![(
                "webhook_public_key",
                json!("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
            )]
        },
    },
    Proof {
        carrier: "twilio",
        headers: &[&["x-twilio-signature"]],
        address: true,
        query: (true, true),
        body: true,
        replay: Replay::Unprotected,
        optional: &[],
        newer: || Some(json!({ "webhook_shared_key": "q8Zr2mVx0Tn5Yb7Lc1Ke4Wd9Hs3Pf6Ua" })),
        others: || vec![("auth_token", json!("00000000000000000000000000000000"))],
    },
    Proof {
        carrier: "vobiz",
        headers: &[
            &[
                "x-vobiz-signature-v3",
                "x-vobiz-signature-ma-v3",
                "x-vobiz-signature-v2",
                "x-vobiz-signature-ma-v2",
            ],
            &["x-vobiz-signature-v3-nonce", "x-vobiz-signature-v2-nonce"],
        ],
        address: true,
        query: (false, false),
        body: false,
        replay: Replay::Once,
        optional: &[],
        newer: || Some(json!({})),
        others: || vec![("auth_token", json!("another-token-of-another-account"))],
    },
    Proof {
        carrier: "vonage",
        headers: &[&["authorization"]],
        address: false,
        query: (false, true),
        body: true,
        replay: Replay::Window {
            old_s: 300,
            ahead_s: 60,
        },
        optional: &["signature_secret"],
        newer: || None,
        others: || {
            vec![
                ("signature_secret", json!("w7Jx2Lr9Vd4Kq0Tn8Yb5Hs1Pf6Ua3Zd")),
                ("api_key", json!("4f1c9a08")),
                ("application_id", json!("78d335fa-323d-4114-9c3d-d6f0d48968ce")),
            ]
        },
    },
];
