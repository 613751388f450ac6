//! What a provider says about itself, checked and frozen.
//!
//! `descriptor.spec` is a stranger's input. [`ProviderSpec`] can only be made by validating it, so the rest of the runtime
//! may rely on every bound that the contract states.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::bindings::exports::strowger::provider::descriptor as wit;
use crate::bindings::strowger::provider::types;

/// The most credential fields a spec may have.
pub const FIELDS_MAX: usize = 64;
/// The most settings that a trunk may have.
pub const TRUNK_FIELDS_MAX: usize = 32;
/// The most webhook routes a spec may have.
pub const ROUTES_MAX: usize = 32;
/// The most hosts a spec may ask for.
pub const EGRESS_HOSTS_MAX: usize = 16;

/// Something in a spec that the contract does not allow. Names the place, the rule and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("spec.{place}: {problem}")]
pub struct SpecError {
    /// Path inside the spec, for example `routes[2].path`.
    pub place: String,
    /// The rule that is broken.
    pub problem: String,
}

/// The frozen description of a provider.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct ProviderSpec {
    /// The name in URLs and stored rows.
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// Semantic version of the component.
    pub version: String,
    /// Where a user reads how to set the carrier up.
    pub docs_url: Option<String>,
    /// How calls reach the carrier.
    pub connectivity: Connectivity,
    /// Whether an outbound call needs a number of ours as its caller id.
    pub requires_caller_id: bool,
    /// The credential fields, in the order of the form.
    pub fields: Vec<Field>,
    /// The field that identifies the account in webhooks.
    pub account_id_field: Option<String>,
    /// How the media socket behaves.
    pub media: MediaProfile,
    /// The webhook endpoints to mount.
    pub routes: Vec<Route>,
    /// The hosts that requests may go to.
    pub egress_hosts: Vec<HostPattern>,
    /// How webhooks prove themselves.
    pub webhook_proof: ProofPolicy,
}

/// How calls reach the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connectivity {
    /// Over its API.
    Api,
    /// Over SIP trunks that the user connects.
    Sip,
}

/// How webhooks prove themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofPolicy {
    /// At least one proof must hold.
    Required,
    /// The carrier sends none; whatever arrives is refused.
    NoWebhooks,
}

/// How a field is entered and what type its JSON value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldType {
    /// One line.
    Text,
    /// One line, hidden.
    Password,
    /// Several lines.
    Textarea,
    /// An array of strings.
    StringArray,
    /// A JSON number.
    Number,
    /// A JSON boolean.
    Boolean,
    /// One of the options.
    Select,
    /// Shown, never submitted.
    Readonly,
}

/// One choice of a select field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// What is stored.
    pub value: String,
    /// What people read.
    pub label: String,
}

/// When a field is shown and validated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Condition {
    /// The controlling field.
    pub field: String,
    /// Its value.
    pub equals: Value,
}

/// One credential or setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// snake_case name, unique in the spec.
    pub name: String,
    /// The name for people.
    pub label: String,
    /// How it is entered.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether a configuration needs it.
    pub required: bool,
    /// Whether it is masked when shown, and sealed towards the component.
    pub sensitive: bool,
    /// Set by the provider, never by a user.
    pub server_managed: bool,
    /// Discarded when the account id changes.
    pub account_scoped: bool,
    /// Help text.
    pub description: Option<String>,
    /// Example shown in an empty field.
    pub placeholder: Option<String>,
    /// Choices of a select field.
    pub options: Vec<Choice>,
    /// Shown only when another field has a value.
    pub visible_when: Option<Condition>,
    /// Heading in the form.
    pub section: Option<String>,
}

/// Audio encodings on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// 16-bit linear, little-endian.
    L16Le,
    /// 16-bit linear, network order.
    L16Be,
}

/// An encoding at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WireFormat {
    /// The encoding.
    pub encoding: Encoding,
    /// Samples per second.
    pub sample_rate_hz: u32,
}

/// How the carrier's media socket behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MediaProfile {
    /// At least one; the first is the default.
    pub formats: Vec<WireFormat>,
    /// Milliseconds of one frame.
    pub frame_ms: u16,
    /// WebSocket subprotocol to accept.
    pub subprotocol: Option<String>,
    /// Whether the carrier echoes marks when they have been played.
    pub echoes_marks: bool,
}

/// What a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoutePurpose {
    /// An outbound call was answered.
    Answer,
    /// Something happened to a call.
    Callback,
    /// Something happened to the second leg of a transfer.
    Transfer,
}

/// A webhook endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// kebab-case name, unique in the spec.
    pub name: String,
    /// What it is for.
    pub purpose: RoutePurpose,
    /// `GET` or `POST`.
    pub method: String,
    /// Relative path, `{call}` or `{transfer}` standing for the identifier of the call or the transfer.
    pub path: String,
}

impl Route {
    /// Whether the path names the call.
    #[must_use]
    pub fn names_call(&self) -> bool {
        self.path.split('/').any(|segment| segment == "{call}")
    }

    /// The absolute URL of this route for one call, or for one transfer. `base` has no trailing slash.
    #[must_use]
    pub fn url(&self, base: &str, id: &str) -> String {
        let path = self.path.replace("{call}", id).replace("{transfer}", id);
        format!("{base}/{path}")
    }
}

/// A host, with `{field}` standing for the value of a credential field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct HostPattern(String);

impl HostPattern {
    /// A host as it is, for specs that no component describes. One with braces in it grants nothing.
    #[must_use]
    pub fn literal(host: &str) -> Self {
        Self(host.to_owned())
    }

    /// As the provider wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host that a configuration grants: `None` when one of its fields is empty or does not belong in a host, which
    /// grants nothing. `value` returns the plain text of a field that is not sensitive.
    pub fn resolve(&self, value: impl Fn(&str) -> Option<String>) -> Option<String> {
        if let Some(field) = self.0.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
            && !field.contains(['{', '}'])
        {
            // A field alone holds a whole origin; what is more than an origin in it does not matter here.
            let text = value(field)?;
            let url = url::Url::parse(
                if text.contains("://") {
                    text.clone()
                } else {
                    format!("https://{text}")
                }
                .as_str(),
            )
            .ok()?;
            let origin = url.origin().ascii_serialization();
            return matches!(url.scheme(), "http" | "https").then_some(origin);
        }
        let mut host = String::new();
        let mut rest = self.0.as_str();
        while let Some(start) = rest.find('{') {
            let end = rest[start..].find('}')? + start;
            host.push_str(&rest[..start]);
            let label = value(&rest[start + 1..end])?;
            // One DNS label: a dot or a slash would turn one host into another.
            if label.is_empty() || !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return None;
            }
            host.push_str(&label.to_ascii_lowercase());
            rest = &rest[end + 1..];
        }
        host.push_str(rest);
        Some(host)
    }

    fn fields(&self) -> impl Iterator<Item = &str> {
        self.0
            .split('{')
            .skip(1)
            .filter_map(|part| part.split_once('}').map(|(name, _)| name))
    }
}

impl ProviderSpec {
    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The route of this name.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.name == name)
    }

    /// Whether the value of this field must never reach the component: it is sensitive, and not the account's identifier.
    #[must_use]
    pub fn is_sealed(&self, field: &str) -> bool {
        self.account_id_field.as_deref() != Some(field) && self.field(field).is_some_and(|field| field.sensitive)
    }
}

/// A small vocabulary for the checks below; every error names its place.
struct Check<'a>(&'a str);

impl Check<'_> {
    fn fail<T>(&self, problem: impl Into<String>) -> Result<T, SpecError> {
        Err(SpecError {
            place: self.0.to_owned(),
            problem: problem.into(),
        })
    }

    fn text(&self, text: &str, max: usize) -> Result<(), SpecError> {
        if text.is_empty() || text.chars().count() > max {
            return self.fail(format!("must have 1 to {max} characters, has {}", text.chars().count()));
        }
        if text.chars().any(char::is_control) {
            return self.fail("must not contain control characters");
        }
        Ok(())
    }

    fn optional(&self, text: Option<&str>, max: usize) -> Result<(), SpecError> {
        text.map_or(Ok(()), |text| self.text(text, max))
    }

    fn name(&self, text: &str, max: usize, separator: char) -> Result<(), SpecError> {
        self.text(text, max)?;
        let shape = text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with(separator)
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == separator);
        if shape {
            Ok(())
        } else {
            self.fail(format!(
                "must be lower-case letters, digits and `{separator}`, starting with a letter"
            ))
        }
    }
}

fn at(place: &str) -> Check<'_> {
    Check(place)
}

fn too_many(place: &str, count: usize, max: usize) -> Result<(), SpecError> {
    if count > max {
        at(place).fail(format!("at most {max} are allowed, there are {count}"))
    } else {
        Ok(())
    }
}

/// Words that the runtime uses itself in the place of a provider's name.
const RESERVED_NAMES: [&str; 5] = ["inbound", "ws", "initiate-call", "calls", "media"];

impl TryFrom<wit::ProviderSpec> for ProviderSpec {
    type Error = SpecError;

    fn try_from(raw: wit::ProviderSpec) -> Result<Self, SpecError> {
        at("name").name(&raw.name, 32, '-')?;
        if RESERVED_NAMES.contains(&raw.name.as_str()) {
            return at("name").fail("is a word of the runtime's own URLs; choose another");
        }
        at("display-name").text(&raw.display_name, 64)?;
        at("version").text(&raw.version, 32)?;
        if semver::Version::parse(&raw.version).is_err() {
            return at("version").fail("must be a semantic version such as 1.4.0");
        }
        if let Some(url) = &raw.docs_url
            && (url.len() > 512 || !url::Url::parse(url).is_ok_and(|url| url.scheme() == "https"))
        {
            return at("docs-url").fail("must be an https URL of at most 512 characters");
        }
        let fields = check_fields("fields", raw.fields, FIELDS_MAX)?;
        let account_id_field = (!raw.account_id_field.is_empty()).then_some(raw.account_id_field);
        if let Some(name) = &account_id_field {
            match fields.iter().find(|field| field.name == *name) {
                None => return at("account-id-field").fail(format!("names `{name}`, which is not a field")),
                Some(field) if !matches!(field.kind, FieldType::Text | FieldType::Password) => {
                    return at("account-id-field").fail("must be a text field");
                }
                Some(_) => {}
            }
        }
        let media = check_media(raw.media)?;
        too_many("routes", raw.routes.len(), ROUTES_MAX)?;
        let mut routes: Vec<Route> = Vec::with_capacity(raw.routes.len());
        for (n, route) in raw.routes.into_iter().enumerate() {
            let route = check_route(n, route)?;
            if routes.iter().any(|other| other.name == route.name) {
                return at(&format!("routes[{n}].name")).fail("must be unique");
            }
            if routes
                .iter()
                .any(|other| other.path == route.path && other.method == route.method)
            {
                return at(&format!("routes[{n}].path")).fail("is used by another route with the same method");
            }
            routes.push(route);
        }
        too_many("egress-hosts", raw.egress_hosts.len(), EGRESS_HOSTS_MAX)?;
        let egress_hosts = raw
            .egress_hosts
            .into_iter()
            .enumerate()
            .map(|(n, host)| check_host(n, host, &fields))
            .collect::<Result<_, _>>()?;
        let webhook_proof = match raw.webhook_proof {
            wit::ProofPolicy::Required => ProofPolicy::Required,
            wit::ProofPolicy::NoWebhooks if routes.is_empty() => ProofPolicy::NoWebhooks,
            wit::ProofPolicy::NoWebhooks => return at("webhook-proof").fail("is no-webhooks, but there are routes"),
        };
        Ok(Self {
            name: raw.name,
            display_name: raw.display_name,
            version: raw.version,
            docs_url: raw.docs_url,
            connectivity: match raw.connectivity {
                wit::Connectivity::Api => Connectivity::Api,
                wit::Connectivity::Sip => Connectivity::Sip,
            },
            requires_caller_id: raw.requires_caller_id,
            fields,
            account_id_field,
            media,
            routes,
            egress_hosts,
            webhook_proof,
        })
    }
}

/// Checks what `trunks.trunk-fields` returned.
pub(crate) fn trunk_fields(raw: Vec<wit::Field>) -> Result<Vec<Field>, SpecError> {
    let fields = check_fields("trunk-fields", raw, TRUNK_FIELDS_MAX)?;
    if fields
        .iter()
        .any(|field| field.sensitive || field.server_managed || field.account_scoped)
    {
        return at("trunk-fields").fail("must be neither sensitive nor server-managed nor account-scoped");
    }
    Ok(fields)
}

fn check_fields(list: &str, raw: Vec<wit::Field>, max: usize) -> Result<Vec<Field>, SpecError> {
    too_many(list, raw.len(), max)?;
    let names: BTreeSet<String> = raw.iter().map(|field| field.name.clone()).collect();
    if names.len() != raw.len() {
        return at(list).fail("every name must be unique");
    }
    raw.into_iter()
        .enumerate()
        .map(|(n, field)| check_field(&format!("{list}[{n}]"), field, &names))
        .collect()
}

fn check_field(whole: &str, raw: wit::Field, names: &BTreeSet<String>) -> Result<Field, SpecError> {
    let place = |part: &str| format!("{whole}.{part}");
    at(&place("name")).name(&raw.name, 64, '_')?;
    if matches!(raw.name.as_str(), "provider" | "from_numbers") {
        return at(&place("name")).fail("is a word of the runtime's own; choose another");
    }
    at(&place("label")).text(&raw.label, 64)?;
    at(&place("description")).optional(raw.description.as_deref(), 500)?;
    at(&place("placeholder")).optional(raw.placeholder.as_deref(), 128)?;
    at(&place("section")).optional(raw.section.as_deref(), 64)?;
    let kind = match raw.kind {
        types::FieldType::Text => FieldType::Text,
        types::FieldType::Password => FieldType::Password,
        types::FieldType::Textarea => FieldType::Textarea,
        types::FieldType::StringArray => FieldType::StringArray,
        types::FieldType::Number => FieldType::Number,
        types::FieldType::Boolean => FieldType::Boolean,
        types::FieldType::Select => FieldType::Select,
        types::FieldType::Readonly => FieldType::Readonly,
    };
    if (kind == FieldType::Select) == raw.options.is_empty() {
        return at(&place("options")).fail("a select field needs at least one option, any other field none");
    }
    if raw.sensitive && !matches!(kind, FieldType::Text | FieldType::Password | FieldType::Textarea) {
        return at(&place("sensitive")).fail("only text, password and textarea fields can be sensitive");
    }
    if kind == FieldType::Password && !raw.sensitive {
        return at(&place("sensitive")).fail("a password field must be sensitive");
    }
    too_many(&place("options"), raw.options.len(), 64)?;
    let mut options: Vec<Choice> = Vec::with_capacity(raw.options.len());
    for choice in raw.options {
        at(&place("options")).text(&choice.value, 64)?;
        at(&place("options")).text(&choice.label, 64)?;
        if options.iter().any(|other| other.value == choice.value) {
            return at(&place("options")).fail("every value must be unique");
        }
        options.push(Choice {
            value: choice.value,
            label: choice.label,
        });
    }
    let visible_when = match raw.visible_when {
        None => None,
        Some(condition) => {
            if condition.field == raw.name || !names.contains(&condition.field) {
                return at(&place("visible-when")).fail("must name another field of the spec");
            }
            let Ok(equals) = serde_json::from_str::<Value>(&condition.equals) else {
                return at(&place("visible-when"))
                    .fail("`equals` must be JSON text, such as \"true\" or \"\\\"eu\\\"\"");
            };
            Some(Condition {
                field: condition.field,
                equals,
            })
        }
    };
    Ok(Field {
        name: raw.name,
        label: raw.label,
        kind,
        required: raw.required,
        sensitive: raw.sensitive,
        server_managed: raw.server_managed,
        account_scoped: raw.account_scoped,
        description: raw.description,
        placeholder: raw.placeholder,
        options,
        visible_when,
        section: raw.section,
    })
}

fn check_media(raw: wit::MediaProfile) -> Result<MediaProfile, SpecError> {
    if raw.formats.is_empty() || raw.formats.len() > 16 {
        return at("media.formats").fail("1 to 16 formats are allowed");
    }
    let formats = raw
        .formats
        .into_iter()
        .enumerate()
        .map(|(n, format)| {
            let encoding = match format.encoding {
                wit::Encoding::Pcmu => Encoding::Pcmu,
                wit::Encoding::Pcma => Encoding::Pcma,
                wit::Encoding::L16Le => Encoding::L16Le,
                wit::Encoding::L16Be => Encoding::L16Be,
            };
            let rates: &[u32] = if matches!(encoding, Encoding::Pcmu | Encoding::Pcma) {
                &[8000]
            } else {
                &[8000, 16000, 24000, 48000]
            };
            if !rates.contains(&format.sample_rate_hz) {
                return at(&format!("media.formats[{n}].sample-rate-hz")).fail(format!("must be one of {rates:?}"));
            }
            Ok(WireFormat {
                encoding,
                sample_rate_hz: format.sample_rate_hz,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if ![10, 20, 30, 40, 60].contains(&raw.frame_ms) {
        return at("media.frame-ms").fail("must be 10, 20, 30, 40 or 60");
    }
    if let Some(name) = &raw.subprotocol
        && (name.is_empty()
            || name.len() > 64
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)))
    {
        return at("media.subprotocol").fail("must be a token of at most 64 letters, digits, `-`, `.` and `_`");
    }
    Ok(MediaProfile {
        formats,
        frame_ms: raw.frame_ms,
        subprotocol: raw.subprotocol,
        echoes_marks: raw.echoes_marks,
    })
}

fn check_route(n: usize, raw: wit::Route) -> Result<Route, SpecError> {
    let place = |part: &str| format!("routes[{n}].{part}");
    at(&place("name")).name(&raw.name, 64, '-')?;
    if raw.name == "inbound" {
        return at(&place("name")).fail("`inbound` is the common dispatcher; choose another");
    }
    if !matches!(raw.method.as_str(), "GET" | "POST") {
        return at(&place("method")).fail("must be GET or POST");
    }
    at(&place("path")).text(&raw.path, 128)?;
    let (mut calls, mut transfers) = (0, 0);
    for segment in raw.path.split('/') {
        if segment == "{call}" {
            calls += 1;
        } else if segment == "{transfer}" {
            transfers += 1;
        } else if segment.is_empty()
            || segment.bytes().all(|b| b == b'.')
            || !segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        {
            return at(&place("path")).fail(
                "must be relative, of segments with letters, digits, `-`, `.`, `_`, `~`, or `{call}` or `{transfer}`",
            );
        }
    }
    let purpose = match raw.purpose {
        wit::RoutePurpose::Answer => RoutePurpose::Answer,
        wit::RoutePurpose::Callback => RoutePurpose::Callback,
        wit::RoutePurpose::Transfer => RoutePurpose::Transfer,
    };
    let fits = match purpose {
        RoutePurpose::Answer => (calls, transfers) == (1, 0),
        RoutePurpose::Callback => calls <= 1 && transfers == 0,
        RoutePurpose::Transfer => (calls, transfers) == (0, 1),
    };
    if !fits {
        return at(&place("path")).fail(
            "an answer route names `{call}` once, a callback route at most once, a transfer route `{transfer}` once",
        );
    }
    Ok(Route {
        name: raw.name,
        purpose,
        method: raw.method,
        path: raw.path,
    })
}

fn check_host(n: usize, raw: String, fields: &[Field]) -> Result<HostPattern, SpecError> {
    let place = format!("egress-hosts[{n}]");
    let check = at(&place);
    check.text(&raw, 253)?;
    if raw.contains('*') {
        return check.fail("wildcards are not allowed; name each host");
    }
    // The URL standard lets more into a host than DNS does, and rewrites what is not ASCII: what the operator reads must be
    // what is compared.
    if let Some(c) = raw
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"-._:/{}".contains(*c))
    {
        return check.fail(format!(
            "must not contain {c:?}; write an international name in its xn-- form"
        ));
    }
    let pattern = HostPattern(raw);
    for name in pattern.fields() {
        match fields.iter().find(|field| field.name == name) {
            None => return check.fail(format!("`{{{name}}}` is not a field of this spec")),
            Some(field) if field.sensitive => {
                return check.fail(format!(
                    "`{{{name}}}` is sensitive; a secret must not become part of a host"
                ));
            }
            Some(_) => {}
        }
    }
    let Some(sample) = pattern.resolve(|_| Some("sample".to_owned())) else {
        return check.fail("braces do not pair up");
    };
    let url = if sample.contains("://") {
        sample
    } else {
        format!("https://{sample}")
    };
    // The parser drops a slash and a last dot, behind which a name of one label looks like one of two.
    let authority = url.split_once("://").map_or(url.as_str(), |(_, authority)| authority);
    let name = authority.split(':').next().unwrap_or_default();
    let as_written = !authority.contains('/') && name.split('.').all(|label| !label.is_empty());
    match url::Url::parse(&url) {
        Ok(url)
            if as_written
                && matches!(url.scheme(), "http" | "https")
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && matches!(url.host(), Some(url::Host::Domain(host)) if (host.contains('.') || host == "sample") && !host.contains('}')) =>
            {}
        _ => {
            return check.fail(
                "must be a host name with an optional port, or `http://` and such a host: no path, no address literal",
            );
        }
    }
    Ok(pattern)
}

impl ProviderSpec {
    /// Stands in while the component is asked for its real spec.
    pub(crate) fn placeholder() -> Self {
        Self {
            name: String::new(),
            display_name: String::new(),
            version: String::new(),
            docs_url: None,
            connectivity: Connectivity::Api,
            requires_caller_id: false,
            fields: Vec::new(),
            account_id_field: None,
            media: MediaProfile {
                formats: Vec::new(),
                frame_ms: 20,
                subprotocol: None,
                echoes_marks: false,
            },
            routes: Vec::new(),
            egress_hosts: Vec::new(),
            webhook_proof: ProofPolicy::NoWebhooks,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
