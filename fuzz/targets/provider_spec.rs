//! The spec that a component returns, before it is frozen; and the hosts that it grants.
#![no_main]

use arbitrary::{Arbitrary as _, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use strowger_host::bindings::exports::strowger::provider::descriptor as wit;
use strowger_host::bindings::strowger::provider::types::{Choice, Condition, Field, FieldType};
use strowger_host::{Credentials, ProviderSpec};
use strowger_server::egress::HostGrant;
use url::Host;

fn text(u: &mut Unstructured<'_>, honest: &str) -> Result<String> {
    Ok(if u.ratio(3, 4)? {
        honest.to_owned()
    } else {
        u.arbitrary()?
    })
}

fn maybe(u: &mut Unstructured<'_>, honest: &str) -> Result<Option<String>> {
    Ok(if u.arbitrary()? { Some(text(u, honest)?) } else { None })
}

fn list<T>(
    u: &mut Unstructured<'_>,
    most: usize,
    mut one: impl FnMut(&mut Unstructured<'_>, usize) -> Result<T>,
) -> Result<Vec<T>> {
    let count = u.int_in_range(0..=most)?;
    (0..count).map(|index| one(u, index)).collect()
}

fn field(u: &mut Unstructured<'_>, index: usize) -> Result<Field> {
    let kinds = [
        FieldType::Text,
        FieldType::Password,
        FieldType::Textarea,
        FieldType::StringArray,
        FieldType::Number,
        FieldType::Boolean,
        FieldType::Select,
        FieldType::Readonly,
    ];
    Ok(Field {
        name: text(u, &format!("field_{index}"))?,
        label: text(u, "A field")?,
        kind: *u.choose(&kinds)?,
        required: u.arbitrary()?,
        sensitive: u.arbitrary()?,
        server_managed: u.arbitrary()?,
        account_scoped: u.arbitrary()?,
        description: maybe(u, "What it is for")?,
        placeholder: maybe(u, "like this")?,
        options: list(u, 3, |u, _| {
            Ok(Choice {
                value: text(u, "a")?,
                label: text(u, "A")?,
            })
        })?,
        visible_when: if u.ratio(1, 4)? {
            Some(Condition {
                field: text(u, "field_0")?,
                equals: text(u, "\"a\"")?,
            })
        } else {
            None
        },
        section: maybe(u, "Section")?,
    })
}

fn spec(u: &mut Unstructured<'_>) -> Result<wit::ProviderSpec> {
    let encodings = [
        wit::Encoding::Pcmu,
        wit::Encoding::Pcma,
        wit::Encoding::L16Le,
        wit::Encoding::L16Be,
    ];
    let purposes = [
        wit::RoutePurpose::Answer,
        wit::RoutePurpose::Callback,
        wit::RoutePurpose::Transfer,
    ];
    Ok(wit::ProviderSpec {
        name: text(u, "name")?,
        display_name: text(u, "Name")?,
        version: text(u, "0.1.0")?,
        docs_url: maybe(u, "https://docs.example.com/")?,
        connectivity: if u.arbitrary()? {
            wit::Connectivity::Api
        } else {
            wit::Connectivity::Sip
        },
        requires_caller_id: u.arbitrary()?,
        fields: list(u, 5, field)?,
        account_id_field: {
            let honest = if u.arbitrary()? { "field_0" } else { "" };
            text(u, honest)?
        },
        media: wit::MediaProfile {
            formats: list(u, 3, |u, _| {
                Ok(wit::WireFormat {
                    encoding: *u.choose(&encodings)?,
                    sample_rate_hz: *u.choose(&[8_000, 16_000, 24_000, 48_000, 0, u32::MAX])?,
                })
            })?,
            frame_ms: *u.choose(&[20, 10, 30, 40, 60, 0, u16::MAX])?,
            subprotocol: maybe(u, "chat")?,
            echoes_marks: u.arbitrary()?,
        },
        routes: list(u, 4, |u, index| {
            Ok(wit::Route {
                name: text(u, &format!("route-{index}"))?,
                purpose: *u.choose(&purposes)?,
                method: text(u, "POST")?,
                path: text(u, &format!("route-{index}/{{call}}"))?,
            })
        })?,
        egress_hosts: list(u, 3, |u, _| {
            let honest = *u.choose(&[
                "api.example.com",
                "{field_0}",
                "http://{field_1}.example.com:8088",
                "[::1]",
            ])?;
            text(u, honest)
        })?,
        webhook_proof: if u.arbitrary()? {
            wit::ProofPolicy::Required
        } else {
            wit::ProofPolicy::NoWebhooks
        },
    })
}

fuzz_target!(|bytes: &[u8]| {
    let mut u = Unstructured::new(bytes);
    let Ok(raw) = spec(&mut u) else { return };
    let Ok(frozen) = ProviderSpec::try_from(raw) else {
        return;
    };
    // What anybody may enter for it.
    let Ok(entered) = <(String, String)>::arbitrary_take_rest(u) else {
        return;
    };
    let entered = serde_json::json!({ "field_0": entered.0, "field_1": entered.1 });
    if let Ok(credentials) = Credentials::check(&frozen, &entered) {
        for declared in &frozen.egress_hosts {
            let granted = declared.resolve(|field| entered[field].as_str().map(str::to_owned));
            let Some(Ok(grant)) = granted.map(|host| host.parse::<HostGrant>()) else {
                continue;
            };
            // Only a field that is a whole host may name an address; what a spec itself names is a domain.
            let whole = declared.as_str().starts_with('{') && declared.as_str().matches(['{', '}', '.']).count() == 2;
            assert!(
                whole || matches!(grant.host(), Host::Domain(name) if name.contains('.')),
                "{declared:?} grants {grant}"
            );
        }
        drop(credentials);
    }
});
