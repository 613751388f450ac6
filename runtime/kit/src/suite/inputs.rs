//! An input for each export, as JSON: from the recorded cases, and one that fits any component.

use serde_json::{Map, Value, json};
use strowger_host::Provider;
use strowger_host::operation::{Direction, Occasion, TransferState};
use strowger_host::recording::{spelled, spelled_bytes};
use strowger_host::spec::Encoding;

use super::given::{self, HARMLESS};
use super::subject::{NOW_MS, Subject, reference};

/// An export and what it is given.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// `interface.function`.
    pub(crate) export: String,
    /// What it is, for people.
    pub(crate) name: String,
    /// As [`Provider::invoke_json`] takes it.
    pub(crate) value: Value,
}

/// All inputs for one component: made up ones for each of its exports, then those of its recorded cases.
pub(super) fn all(subject: &Subject<'_>) -> Vec<Input> {
    let mut inputs = made_up(subject);
    inputs.extend(recorded(subject));
    inputs
}

fn recorded(subject: &Subject<'_>) -> Vec<Input> {
    let mut inputs = Vec::new();
    for case in subject.cases {
        let Ok(value) = case.arguments(subject.provider) else {
            continue;
        };
        if case.export == "media.leg" {
            inputs.extend(lines(&case.name, &value));
        } else {
            inputs.push(Input {
                export: case.export.clone(),
                name: case.name.clone(),
                value,
            });
        }
    }
    inputs
}

/// Each line of a script on its own, with the messages that came before it.
fn lines(name: &str, script: &Value) -> Vec<Input> {
    let mut inputs = Vec::new();
    let mut messages: Vec<Value> = Vec::new();
    for line in script.get("script").and_then(Value::as_array).into_iter().flatten() {
        let Some((verb, argument)) = line.as_object().and_then(|line| line.iter().next()) else {
            continue;
        };
        let hears = verb.starts_with("deserialize");
        let (export, parameter) = if hears {
            ("media.deserialize-frame", "message")
        } else {
            ("media.serialize-frame", "frame")
        };
        inputs.push(Input {
            export: export.to_owned(),
            name: name.to_owned(),
            value: json!({
                "config": script.get("config"),
                "call": script.get("call"),
                "messages": messages,
                parameter: argument,
            }),
        });
        if hears {
            messages.push(argument.clone());
        }
    }
    inputs
}

fn made_up(subject: &Subject<'_>) -> Vec<Input> {
    let provider = subject.provider;
    let call = |direction| spelled(&given::call(provider, &HARMLESS, direction));
    let inbound = call(Direction::Inbound);
    let webhook = spelled(&given::webhook("application/json", b"{\"event\":\"test\"}"));
    let leg = spelled(&given::leg(provider, &HARMLESS, TransferState::Answered));
    let media = spelled(&given::media(&HARMLESS));
    let address = json!(HARMLESS.callee);
    let mut credentials: Map<String, Value> = subject.credentials.expose().as_object().cloned().unwrap_or_default();
    for (n, field) in provider.spec().fields.iter().enumerate() {
        if provider.spec().is_sealed(&field.name) && credentials.contains_key(&field.name) {
            credentials.insert(field.name.clone(), json!(reference(n)));
        }
    }
    // One entry for each parameter that any export has; each takes those that it knows.
    let whole = json!({
        "webhook": webhook, "call": inbound, "media": media, "route": "inbound", "reason": "no-agent",
        "outbound": spelled(&given::outbound(provider, &HARMLESS)), "address": address,
        "webhook-url": given::urls(provider).dispatcher, "attach": true, "leg": leg,
        "saving": spelled(&given::saving(provider, Occasion::Create)), "facts": spelled(&given::facts()),
        "urls": spelled(&given::urls(provider)), "trunk": spelled(&given::trunk(provider)),
        "message": "{\"event\":\"test\"}", "received-at": NOW_MS,
        "credentials": credentials, "config": subject.config,
    });
    let takes: [(&str, &[&str]); 31] = [
        ("descriptor.spec", &[]),
        ("descriptor.config-loader", &["credentials"]),
        ("webhook.recognise", &["webhook"]),
        ("webhook.verify-signature", &["config", "webhook"]),
        ("webhook.handle-callback", &["config", "route", "call", "webhook"]),
        ("answer.answer-markup", &["config", "call", "media", "webhook"]),
        ("answer.rejection-markup", &["reason"]),
        ("answer.reject-call", &["config", "call", "reason"]),
        ("calling.place-call", &["config", "call", "outbound"]),
        ("calling.hang-up", &["config", "call"]),
        ("calling.fetch-status", &["config", "call"]),
        ("calling.fetch-cost", &["config", "call"]),
        ("detection.detection-modes", &["config"]),
        ("detection.detection-result", &["config", "webhook"]),
        ("numbers.validate-number", &["config", "address"]),
        ("numbers.provision-number", &["config", "address"]),
        (
            "numbers.configure-inbound",
            &["config", "address", "webhook-url", "attach"],
        ),
        ("transfer.dial-destination", &["config", "call", "leg"]),
        ("transfer.connect", &["config", "call", "leg"]),
        ("transfer.cancel", &["config", "call", "leg"]),
        (
            "transfer.handle-transfer-callback",
            &["config", "route", "call", "leg", "webhook"],
        ),
        ("setup.prepare-credentials", &["config", "saving"]),
        ("setup.checklist", &["config", "facts"]),
        ("setup.connectivity-details", &["config", "urls"]),
        ("trunks.trunk-fields", &[]),
        ("trunks.apply-trunk", &["config", "trunk"]),
        ("trunks.remove-trunk", &["config", "trunk"]),
        ("events.endpoint", &["config"]),
        ("events.handle-event", &["config", "message", "received-at"]),
        ("media.deserialize-frame", &["config", "call"]),
        ("media.serialize-frame", &["config", "call"]),
    ];
    let exported = provider.export_names();
    takes
        .into_iter()
        .filter(|(export, _)| exported.iter().any(|name| name == export))
        .map(|(export, parameters)| {
            let mut value: Map<String, Value> = parameters
                .iter()
                .map(|name| ((*name).to_owned(), whole.get(*name).cloned().unwrap_or_default()))
                .collect();
            match export {
                "media.deserialize-frame" => {
                    drop(value.insert("message".to_owned(), json!({ "text": "{\"event\":\"test\"}" })))
                }
                "media.serialize-frame" => drop(value.insert(
                    "frame".to_owned(),
                    json!({ "audio": spelled_bytes(&silence(provider)) }),
                )),
                _ => {}
            }
            Input {
                export: export.to_owned(),
                name: "made up".to_owned(),
                value: Value::Object(value),
            }
        })
        .collect()
}

/// One frame of silence in the first format.
pub(super) fn silence(provider: &Provider) -> Vec<u8> {
    let media = &provider.spec().media;
    let Some(format) = media.formats.first() else {
        return Vec::new();
    };
    let samples = format.sample_rate_hz as usize * usize::from(media.frame_ms) / 1000;
    match format.encoding {
        Encoding::Pcmu => vec![0xff; samples],
        Encoding::Pcma => vec![0xd5; samples],
        Encoding::L16Le | Encoding::L16Be => vec![0; samples * 2],
    }
}
