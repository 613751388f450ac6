//! The permission page: everything that a component may ever do, on one screen.
//!
//! All of it is read from the component, or measured with it; none of it is its author's description of it. What is not on the
//! page does not exist for the component: it has no other way out.

use std::fmt;

use serde::{Deserialize, Serialize};
use strowger_host::limits::{Class, Limits};
use strowger_host::spec::{self, ProviderSpec};
use strowger_host::{Ability, Provider};
use utoipa::ToSchema;

/// What a component is and may ever do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PermissionPage)]
pub struct Page {
    /// The name in URLs and configurations.
    pub provider: String,
    /// The name for people, as its author gives it.
    pub display_name: String,
    /// As its author counts.
    pub version: String,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// Who signed it.
    pub signer: Option<String>,
    /// Size of the component.
    pub size_bytes: usize,
    /// Compact or interpreted.
    #[schema(value_type = String, example = "compact")]
    pub class: Class,
    /// What it imports: nothing of it reaches the outside.
    pub imports: Vec<String>,
    /// The optional interfaces that it exports.
    pub abilities: Vec<&'static str>,
    /// The webhooks that it answers.
    pub routes: Vec<Route>,
    /// What it is given of a configuration.
    pub fields: Vec<Field>,
    /// The hosts that it asks to reach.
    pub hosts: Vec<HostRequest>,
    /// What one invocation may use.
    pub limits: Bounds,
    /// What was measured.
    pub costs: Vec<Cost>,
    /// What it was asked, all of which it has passed.
    pub findings: Vec<Finding>,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PageRoute)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: String,
    /// The whole path.
    pub path: String,
    /// What for.
    #[schema(value_type = String, example = "callback")]
    pub purpose: spec::RoutePurpose,
}

/// A field of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PageField)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Whether a configuration needs it.
    pub required: bool,
    /// Whether the component gets a reference in its place, and never what was entered.
    pub sealed: bool,
    /// Whether it belongs to a trunk rather than to the configuration itself.
    pub of_trunk: bool,
}

/// A host that the component asks to reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PageHost)]
pub struct HostRequest {
    /// As the component declares it.
    pub host: String,
    /// The field of the configuration that says which host it is, when it is not the component that does.
    pub chosen_by_field: Option<String>,
}

/// What one invocation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PageBounds)]
pub struct Bounds {
    /// Milliseconds of processor time off the media path.
    pub control_cpu_ms: u64,
    /// Milliseconds of processor time for one frame.
    pub media_cpu_ms: u64,
    /// Bytes of memory off the media path.
    pub control_memory_bytes: usize,
    /// Bytes of memory of a call's media.
    pub media_memory_bytes: usize,
    /// Bytes of output.
    pub output_bytes: usize,
    /// Requests and other effects of one operation.
    pub effects: usize,
}

/// What one call of an export costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PageCost)]
pub struct Cost {
    /// `interface.function`.
    pub export: String,
    /// WebAssembly instructions.
    pub instructions: u64,
    /// Bytes of memory after it.
    pub memory_bytes: u64,
    /// Bytes of its result, as JSON.
    pub output_bytes: u64,
}

/// A question of the conformance suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PageFinding)]
pub struct Finding {
    /// Its stable name.
    pub name: String,
    /// What the contract asks.
    pub rule: String,
    /// Why it could not be asked, if it could not.
    pub skipped: Option<String>,
}

impl Page {
    /// Reads it from a component that is loaded.
    pub(super) fn new(provider: &Provider, signer: Option<String>, findings: Vec<Finding>, costs: Vec<Cost>) -> Self {
        let spec = provider.spec();
        let (control, media) = (Limits::control(provider.class()), Limits::media(provider.class()));
        let fields = spec.fields.iter().map(|field| Field::new(spec, field, false));
        let trunk_fields = provider.trunk_fields().iter().map(|field| Field {
            sealed: field.sensitive,
            ..Field::new(spec, field, true)
        });
        Self {
            provider: spec.name.clone(),
            display_name: spec.display_name.clone(),
            version: spec.version.clone(),
            digest: provider.digest().to_owned(),
            signer,
            size_bytes: provider.size_bytes(),
            class: provider.class(),
            imports: provider.imports().to_vec(),
            abilities: provider.abilities().iter().copied().map(Ability::name).collect(),
            routes: spec
                .routes
                .iter()
                .map(|route| Route {
                    method: route.method.clone(),
                    path: format!("/api/v1/telephony/{}/{}", spec.name, route.path),
                    purpose: route.purpose,
                })
                .collect(),
            fields: fields.chain(trunk_fields).collect(),
            hosts: spec
                .egress_hosts
                .iter()
                .map(|host| HostRequest {
                    host: host.as_str().to_owned(),
                    chosen_by_field: host
                        .as_str()
                        .strip_prefix('{')
                        .and_then(|rest| rest.strip_suffix('}'))
                        .map(str::to_owned),
                })
                .collect(),
            limits: Bounds {
                control_cpu_ms: control.cpu_ms_max,
                media_cpu_ms: media.cpu_ms_max,
                control_memory_bytes: control.memory_bytes_max,
                media_memory_bytes: media.memory_bytes_max,
                output_bytes: control.output_bytes_max,
                effects: control.rounds_max,
            },
            costs,
            findings,
        }
    }
}

impl Field {
    fn new(spec: &ProviderSpec, field: &spec::Field, of_trunk: bool) -> Self {
        Self {
            name: field.name.clone(),
            required: field.required,
            sealed: spec.is_sealed(&field.name),
            of_trunk,
        }
    }
}

impl HostRequest {
    /// The question that a person answers.
    #[must_use]
    pub fn question(&self) -> String {
        match &self.chosen_by_field {
            Some(field) => format!("the host that the field `{field}` of a configuration names"),
            None => self.host.clone(),
        }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}) {}", self.display_name, self.provider, self.version)?;
        writeln!(f)?;
        writeln!(f, "digest      sha256:{}", self.digest)?;
        writeln!(f, "signed by   {}", self.signer.as_deref().unwrap_or("nobody"))?;
        let class = match self.class {
            Class::Compact => "compiled",
            Class::Interpreted => "an interpreter with its program",
        };
        writeln!(f, "size        {} KiB, {class}", self.size_bytes.div_ceil(1024))?;
        writeln!(
            f,
            "abilities   answers calls and carries their audio{}{}",
            if self.abilities.is_empty() { "" } else { "; " },
            self.abilities.join(", ")
        )?;
        writeln!(
            f,
            "imports     {}",
            if self.imports.is_empty() {
                "nothing".to_owned()
            } else {
                format!("{}; none of it reaches the outside", self.imports.join(", "))
            }
        )?;
        writeln!(f, "\nIt asks to send requests to")?;
        if self.hosts.is_empty() {
            writeln!(f, "  nobody")?;
        }
        for host in &self.hosts {
            writeln!(f, "  {}", host.question())?;
        }
        writeln!(f, "\nIt is given of a configuration")?;
        for field in &self.fields {
            let what = if field.sealed {
                "sealed: it never sees what was entered"
            } else {
                "as it was entered"
            };
            let of = if field.of_trunk { " of a trunk" } else { "" };
            writeln!(f, "  {:<28} {what}", format!("{}{of}", field.name))?;
        }
        writeln!(f, "\nIt answers the webhooks")?;
        for route in &self.routes {
            writeln!(f, "  {:<4} {}", route.method, route.path)?;
        }
        let limits = &self.limits;
        writeln!(f, "\nOne invocation may use at most")?;
        writeln!(
            f,
            "  {} ms of a processor and {} MiB of memory; for a frame of audio {} ms and {} MiB",
            limits.control_cpu_ms,
            limits.control_memory_bytes >> 20,
            limits.media_cpu_ms,
            limits.media_memory_bytes >> 20
        )?;
        writeln!(
            f,
            "  {} KiB of output, {} requests",
            limits.output_bytes >> 10,
            limits.effects
        )?;
        if !self.costs.is_empty() {
            writeln!(f, "\nOne call costs, as measured")?;
            for cost in &self.costs {
                let (instructions, memory) = (cost.instructions, cost.memory_bytes.div_ceil(1024));
                writeln!(
                    f,
                    "  {:<32} {instructions:>12} instructions {memory:>8} KiB",
                    cost.export
                )?;
            }
        }
        let skipped = self.findings.iter().filter(|finding| finding.skipped.is_some()).count();
        writeln!(
            f,
            "\nIt has passed all {} questions of the conformance suite that apply ({skipped} do not).",
            self.findings.len() - skipped
        )
    }
}
