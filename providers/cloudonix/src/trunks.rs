//! Outbound SIP trunks: <https://developers.cloudonix.com/Documentation/dataModels/voiceTrunk>.
//!
//! A trunk is known by its UUID. Its name only finds one that was made but never stored.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use strowger_sdk::{AppliedTrunk, Failure, Field, Io, Outcome, Request, Response, Trunk};

use crate::api;
use crate::regions::{REGIONS, Region, region};
use crate::spec::{Config, is_domain};

/// Usable for every call of the domain.
const DIRECTION: &str = "public-outbound";

/// What of a trunk's profile is ours. Everything else there belongs to somebody else and stays.
const MANAGED_PROFILE_KEYS: [&str; 6] = [
    "hostname",
    "domain",
    "ruri-domain",
    "connection-timeout",
    "provisional-timeout",
    "authentication",
];

pub(crate) fn fields() -> Vec<Field> {
    let regions = REGIONS.map(|region| (region.name, region.name));
    vec![
        Field::select("region", "Region", &regions)
            .required()
            .describe("The Cloudonix region that the calls leave through."),
        Field::text("sip_domain", "SIP Domain")
            .required()
            .placeholder("sip.carrier.example")
            .describe("The domain that your carrier expects in SIP addresses."),
    ]
}

/// A trunk as Cloudonix has it.
#[derive(Deserialize)]
struct Remote {
    uuid: Option<String>,
    name: Option<String>,
    ip: Option<String>,
    /// A number, though some trunks have it as text.
    port: Option<Value>,
    transport: Option<String>,
    prefix: Option<String>,
    direction: Option<String>,
    active: Option<bool>,
    profile: Option<Map<String, Value>>,
}

/// The settings of a trunk in their usual spelling.
struct Settings {
    region: &'static Region,
    sip_domain: String,
}

impl Settings {
    fn read(trunk: &Trunk) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Entered {
            region: String,
            sip_domain: String,
        }

        let entered: Entered = serde_json::from_str(&trunk.settings)
            .map_err(|_| Failure::request("trunk-settings", "A trunk needs a region and a SIP domain."))?;
        let region = region(&entered.region).ok_or_else(|| {
            let names = REGIONS.map(|region| region.name).join(", ");
            Failure::request(
                "trunk-region",
                format!("Cloudonix has no such region; choose one of {names}."),
            )
        })?;
        let sip_domain = entered.sip_domain.trim().to_ascii_lowercase();
        let is_address = sip_domain.parse::<std::net::IpAddr>().is_ok();
        if !is_address && !is_domain(&sip_domain) {
            return Err(Failure::request(
                "trunk-sip-domain",
                "Enter the SIP domain as a host name without a port, for example sip.carrier.example.",
            ));
        }
        Ok(Self { region, sip_domain })
    }

    fn applied(&self, external_id: Option<String>) -> AppliedTrunk {
        AppliedTrunk {
            external_id,
            settings: json!({ "region": self.region.name, "sip_domain": self.sip_domain }).to_string(),
        }
    }

    fn payload(&self, name: &str, kept: &Map<String, Value>) -> Map<String, Value> {
        let mut profile: Map<String, Value> = kept
            .iter()
            .filter(|(key, _)| !MANAGED_PROFILE_KEYS.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        profile.insert("domain".to_owned(), json!(self.sip_domain));
        profile.insert("ruri-domain".to_owned(), json!(self.sip_domain));
        Map::from_iter([
            ("name".to_owned(), json!(name)),
            ("ip".to_owned(), json!(self.region.edge_ip)),
            ("port".to_owned(), json!(self.region.sip_port)),
            ("transport".to_owned(), json!("udp")),
            ("prefix".to_owned(), json!("")),
            ("direction".to_owned(), json!(DIRECTION)),
            ("profile".to_owned(), Value::Object(profile)),
        ])
    }
}

impl Remote {
    fn is(&self, uuid: &str) -> bool {
        self.uuid.as_deref() == Some(uuid)
    }

    fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    /// Whether it is as the payload says already.
    fn is_as(&self, payload: &Map<String, Value>) -> bool {
        let port = match &self.port {
            Some(Value::String(text)) => text.parse().map_or(Value::Null, |port: u16| json!(port)),
            port => json!(port),
        };
        let own = json!({
            "name": self.name, "ip": self.ip, "port": port,
            "transport": self.transport.as_ref().map(|transport| transport.to_ascii_lowercase()),
            "prefix": self.prefix.as_deref().unwrap_or_default(), "direction": self.direction,
            "profile": self.profile,
        });
        self.active != Some(false) && payload.iter().all(|(key, value)| own.get(key) == Some(value))
    }
}

pub(crate) fn apply(config: &Config, trunk: &Trunk, io: &mut Io) -> Outcome<AppliedTrunk> {
    let settings = Settings::read(trunk)?;
    if !trunk.enabled {
        if let Some(uuid) = &trunk.external_id {
            deactivate(config, uuid, io)?;
        }
        return Ok(settings.applied(trunk.external_id.clone()));
    }
    let remotes = list(config, io)?;
    let known = trunk
        .external_id
        .as_deref()
        .and_then(|uuid| remotes.iter().find(|remote| remote.is(uuid)));
    let found = match known {
        Some(remote) => Some(remote),
        None => named(&remotes, &trunk.name)?,
    };
    let uuid = match found {
        Some(remote) => update(config, trunk, &settings, remote, io)?,
        None => create(config, trunk, &settings, io)?,
    };
    Ok(settings.applied(Some(uuid)))
}

pub(crate) fn remove(config: &Config, trunk: &Trunk, io: &mut Io) -> Outcome<()> {
    match &trunk.external_id {
        Some(uuid) => deactivate(config, uuid, io),
        None => Ok(()),
    }
}

fn update(config: &Config, trunk: &Trunk, settings: &Settings, remote: &Remote, io: &mut Io) -> Outcome<String> {
    let uuid = remote
        .uuid
        .clone()
        .ok_or_else(|| Failure::unexpected_answer("a trunk without a UUID"))?;
    let nothing = Map::new();
    let mut payload = settings.payload(&trunk.name, remote.profile.as_ref().unwrap_or(&nothing));
    if !remote.is_as(&payload) {
        payload.insert("active".to_owned(), json!(true));
        api::accept(put(config, &uuid, &payload.into(), io)?)?.confirmed()?;
    }
    Ok(uuid)
}

fn create(config: &Config, trunk: &Trunk, settings: &Settings, io: &mut Io) -> Outcome<String> {
    let payload = settings.payload(&trunk.name, &Map::new());
    let request = Request::post(api::domain_url(config, &["trunks"])?).json(&payload);
    let response = api::accept(api::send(config, request, io)?)?;
    let uuid = if response.body.is_empty() {
        // Some versions answer without the trunk.
        let remotes = list(config, io)?;
        named(&remotes, &trunk.name)?.and_then(|remote| remote.uuid.clone())
    } else {
        response.read_json::<Remote>()?.uuid
    };
    Ok(uuid.ok_or_else(|| Failure::unexpected_answer("a new trunk without a UUID"))?)
}

/// Only the trunk of this UUID: one of the same name may be somebody else's.
fn deactivate(config: &Config, uuid: &str, io: &mut Io) -> Outcome<()> {
    let active = list(config, io)?
        .iter()
        .any(|remote| remote.is(uuid) && remote.active != Some(false));
    if !active {
        return Ok(());
    }
    let response = put(config, uuid, &json!({ "active": false }), io)?;
    // Somebody removed it in the meantime.
    if response.status != 404 {
        api::accept(response)?.confirmed()?;
    }
    Ok(())
}

fn put(config: &Config, uuid: &str, change: &Value, io: &mut Io) -> Outcome<Response> {
    let request = Request::put(api::domain_url(config, &["trunks", uuid])?).json(change);
    api::send(config, request, io)
}

fn list(config: &Config, io: &mut Io) -> Outcome<Vec<Remote>> {
    let response = api::send(config, Request::get(api::domain_url(config, &["trunks"])?), io)?;
    if response.status == 404 {
        return Ok(Vec::new());
    }
    Ok(api::accept(response)?.read_json()?)
}

/// The trunk of this name that could be ours.
fn named<'a>(remotes: &'a [Remote], name: &str) -> Result<Option<&'a Remote>, Failure> {
    let ours = |remote: &&Remote| remote.direction.as_deref() == Some(DIRECTION);
    let mut same_name = remotes.iter().filter(|remote| remote.is_named(name)).peekable();
    if same_name.peek().is_none() {
        return Ok(None);
    }
    same_name.find(ours).map(Some).ok_or_else(|| {
        Failure::request(
            "trunk-name-taken",
            "Cloudonix has a trunk of this name that serves another direction (conflict); choose another name.",
        )
    })
}
