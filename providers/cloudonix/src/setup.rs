//! What happens around a configuration: the domain's UUID and the voice application when it is saved, what is left to do,
//! and which addresses a telephone system needs.
//!
//! <https://developers.cloudonix.com/Documentation/dataModels/domain>

use serde::Deserialize;
use serde_json::{Value, json};
use strowger_sdk::{
    Detail, DetailGroup, Facts, Failure, FieldValue, Io, Outcome, PublicUrls, Request, Saving, Step, Unreachable,
};

use crate::api;
use crate::numbers::application_not_found;
use crate::regions::REGIONS;
use crate::spec::{CDR, Config, OURS};

/// How much of a provisioning id goes into a name, in characters.
const PROVISIONING_CHARS_MAX: usize = 24;

#[derive(Deserialize)]
struct Application {
    id: u64,
    uuid: Option<String>,
    name: Option<String>,
}

/// What is there already is not asked for again: the domain's UUID, and an application with name and identifiers.
pub(crate) fn prepare(config: &Config, saving: &Saving, io: &mut Io) -> Outcome<Vec<FieldValue>> {
    // Webhooks name the domain in full; the account id must be stored the same way to be found.
    let mut values = vec![value("domain_id", &json!(config.domain))];
    if config.domain_uuid.is_none() {
        values.push(value("domain_uuid", &json!(domain_uuid(config, io)?)));
    }
    let application = match (&config.application_name, &config.application_uuid) {
        (Some(_), Some(_)) => return Ok(values),
        // A name that a user entered, or one that belonged to the domain before this one.
        (Some(name), None) => match find(config, name, io)? {
            Some(application) => application,
            None if name.starts_with(OURS) => create(config, name, saving, io)?,
            None => return Err(application_not_found().into()),
        },
        // Somebody has emptied the field: the application that was there will do.
        (None, Some(uuid)) => match find(config, uuid, io)? {
            Some(application) => application,
            None => make(config, saving, io)?,
        },
        (None, None) => make(config, saving, io)?,
    };
    if let Some(name) = application.name.or_else(|| config.application_name.clone()) {
        values.push(value("application_name", &json!(name)));
    }
    values.push(value("application_id", &json!(application.id)));
    values.extend(application.uuid.map(|uuid| value("application_uuid", &json!(uuid))));
    Ok(values)
}

fn domain_uuid(config: &Config, io: &mut Io) -> Outcome<String> {
    #[derive(Deserialize)]
    struct Domain {
        uuid: String,
    }

    let response = api::send(config, Request::get(api::domain_url(config, &[])?), io)?;
    if response.status == 404 {
        return Err(Failure::configuration(
            "domain-not-found",
            "Cloudonix does not know this domain, or the bearer token belongs to another one; check both.",
        )
        .into());
    }
    let domain: Domain = api::read(&api::accept(response)?)?;
    if domain.uuid.is_empty() {
        return Err(Failure::unexpected_answer("a domain without a UUID").into());
    }
    Ok(domain.uuid)
}

/// An application by its name or its UUID.
fn find(config: &Config, name: &str, io: &mut Io) -> Outcome<Option<Application>> {
    let response = api::send(
        config,
        Request::get(api::domain_url(config, &["applications", name])?),
        io,
    )?;
    if response.status == 404 {
        return Ok(None);
    }
    Ok(Some(api::read(&api::accept(response)?)?))
}

/// An application of our own, under a name that nobody else has. Where the set-up may be repeated, the name is the same each
/// time, and the application of the time before is used again.
fn make(config: &Config, saving: &Saving, io: &mut Io) -> Outcome<Application> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Page {
        List(Vec<Value>),
        Wrapped { applications: Vec<Value> },
    }

    let provisioned: Option<String> = config
        .provisioning_id
        .as_ref()
        .map(|id| {
            id.chars()
                .filter(char::is_ascii_alphanumeric)
                .take(PROVISIONING_CHARS_MAX)
                .collect()
        })
        .filter(|id: &String| !id.is_empty());
    let Some(provisioned) = provisioned else {
        return create(config, &format!("{OURS}{}", saving.unique), saving, io);
    };
    let name = format!("{OURS}{provisioned}");
    let listed = api::send(config, Request::get(api::domain_url(config, &["applications"])?), io)?;
    if listed.status != 404 {
        let (Page::List(applications) | Page::Wrapped { applications }) = api::read(&api::accept(listed)?)?;
        let same_name = applications
            .into_iter()
            .find(|application| application["name"] == *name);
        if let Some(application) = same_name {
            let application: Application = serde_json::from_value(application)
                .map_err(|_| Failure::unexpected_answer("an application without a number").retryable())?;
            make_default(config, &application, io)?;
            return Ok(application);
        }
    }
    create(config, &name, saving, io)
}

/// Creates an application and makes it the domain's default. Nothing is left behind when either fails.
fn create(config: &Config, name: &str, saving: &Saving, io: &mut Io) -> Outcome<Application> {
    let application = json!({ "name": name, "type": "cxml", "url": saving.urls.dispatcher, "method": "POST" });
    let request = Request::post(api::domain_url(config, &["applications"])?).json(&application);
    let response = api::accept(api::send(config, request, io)?)?;
    let created = match api::read::<Application>(&response) {
        Ok(created) => Ok(Application {
            name: created.name.or_else(|| Some(name.to_owned())),
            ..created
        }),
        Err(failure) => Err(failure),
    };
    let failure = match created {
        Ok(created) => match default_application(config, &created, io)? {
            None => return Ok(created),
            Some(failure) => failure,
        },
        Err(failure) => failure,
    };
    let removal = Request::delete(api::domain_url(config, &["applications", name])?).bearer(&config.bearer_token);
    let _ = io.try_http(removal)?;
    Err(failure.into())
}

fn make_default(config: &Config, application: &Application, io: &mut Io) -> Outcome<()> {
    match default_application(config, application, io)? {
        None => Ok(()),
        Some(failure) => Err(failure.into()),
    }
}

/// Lets the application answer whatever no other application of the domain answers. Gives the failure, if it failed.
fn default_application(config: &Config, application: &Application, io: &mut Io) -> Outcome<Option<Failure>> {
    let request = Request::put(api::domain_url(config, &[])?)
        .json(&json!({ "defaultApplication": application.id }))
        .bearer(&config.bearer_token);
    Ok(match io.try_http(request)? {
        Ok(response) => api::accept(response).err(),
        Err(Unreachable(_)) => Some(Failure::carrier(
            "unreachable",
            "The carrier could not be reached; try again later.",
        )),
    })
}

pub(crate) fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
    let step = |key: &str, title: &str, description: &str, complete: bool, blocks_outbound: bool| Step {
        key: key.to_owned(),
        title: title.to_owned(),
        description: description.to_owned(),
        complete,
        blocks_outbound,
    };
    let mut steps = vec![
        step(
            "sip_domain",
            "Connect the SIP domain",
            "Enter the bearer token and the name of the Cloudonix domain.",
            !config.bearer_token.as_str().is_empty() && !config.domain.is_empty(),
            true,
        ),
        step(
            "outbound_trunk",
            "Add an outbound trunk",
            "Add a trunk, and switch it on, so that calls leave the domain towards your carrier.",
            facts.enabled_trunks > 0,
            // Whoever set the domain up otherwise may have trunks there that the gateway does not know.
            config.managed_by.is_some(),
        ),
        step(
            "caller_id",
            "Add a phone number",
            "Add a number that the people you call will see.",
            facts.active_numbers > 0,
            true,
        ),
    ];
    if facts.enabled_trunks > 1 {
        steps.push(step(
            "trunk_assignment",
            "Assign numbers to trunks",
            "Choose a trunk for each number: with several trunks, a number without one has no way out.",
            facts.numbers_without_trunk == 0,
            false,
        ));
    }
    steps.push(step(
        "inbound_routing",
        "Answer inbound calls",
        "Give a number an agent for the calls that come in.",
        facts.inbound_numbers > 0,
        false,
    ));
    steps.push(step(
        "webhook_key",
        "Enter the webhook key",
        "Set a Request Authorization Key for the domain in the Cloudonix Cockpit and enter the same key here; without it \
         webhooks must present the bearer token.",
        config.api_key.is_some(),
        false,
    ));
    steps
}

/// What a telephone system needs to reach the domain, and what Cloudonix needs to tell how calls ended.
pub(crate) fn connectivity_details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
    let mut groups = vec![DetailGroup {
        title: "Domain settings in the Cloudonix Cockpit".to_owned(),
        description: Some("Where Cloudonix asks what to do with a call, and tells how it ended.".to_owned()),
        details: vec![
            detail("Voice application URL (POST)", urls.dispatcher.clone()),
            detail("CDR endpoint", format!("{}/{CDR}", urls.routes)),
        ],
    }];
    let Some(uuid) = &config.domain_uuid else {
        return groups;
    };
    groups.extend(REGIONS.iter().enumerate().map(|(index, region)| {
        let host = format!("{uuid}.{}", region.suffix);
        DetailGroup {
            title: format!("SIP, {}", region.name),
            description: (index == 0).then(|| "The usual one, unless another region is nearer.".to_owned()),
            details: vec![
                detail("Host", host.clone()),
                detail("UDP", format!("{host}:{}", region.sip_port)),
                detail("TCP", format!("{host}:{};transport=tcp;", region.sip_port)),
                detail("TLS", format!("{host}:{};transport=tls;", region.tls_port)),
                detail("Address of the edge", region.edge_ip.to_owned()),
            ],
        }
    }));
    groups
}

fn detail(label: &str, value: String) -> Detail {
    Detail {
        label: label.to_owned(),
        value,
    }
}

fn value(name: &str, value: &Value) -> FieldValue {
    FieldValue {
        name: name.to_owned(),
        value: value.to_string(),
    }
}
