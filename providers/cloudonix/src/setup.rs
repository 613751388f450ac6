//! What happens around a configuration: the domain's UUID and the voice application when it is saved, what is left to do,
//! and which addresses a telephone system needs.
//!
//! <https://developers.cloudonix.com/Documentation/dataModels/domain>

use serde::Deserialize;
use serde_json::{Value, json};
use strowger_sdk::{
    DetailGroup, Facts, Failure, FieldValue, Io, Outcome, PublicUrls, Request, Response, Saving, Step, Unreachable,
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
    let mut values = vec![FieldValue::new("domain_id", &config.domain)];
    if config.domain_uuid.is_none() {
        values.push(FieldValue::new("domain_uuid", &domain_uuid(config, io)?));
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
        values.push(FieldValue::new("application_name", &name));
    }
    values.push(FieldValue::new("application_id", &application.id));
    values.extend(application.uuid.map(|uuid| FieldValue::new("application_uuid", &uuid)));
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
    let domain: Domain = api::accept(response)?.read_json()?;
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
    Ok(Some(api::accept(response)?.read_json()?))
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
        let (Page::List(applications) | Page::Wrapped { applications }) = api::accept(listed)?.read_json()?;
        let same_name = applications
            .into_iter()
            .find(|application| application["name"] == *name);
        if let Some(application) = same_name {
            let application: Application = serde_json::from_value(application)
                .map_err(|_| Failure::unexpected_answer("an application without a number"))?;
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
    let created = match response.read_json::<Application>() {
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
        Ok(response) => api::accept(response).and_then(Response::confirmed).err(),
        Err(Unreachable(_)) => Some(Failure::carrier(
            "unreachable",
            "The carrier could not be reached; try again later.",
        )),
    })
}

pub(crate) fn checklist(config: &Config, facts: &Facts) -> Vec<Step> {
    let mut steps = vec![
        Step::new(
            "sip_domain",
            "Connect the SIP domain",
            "Enter the bearer token and the name of the Cloudonix domain.",
            !config.bearer_token.as_str().is_empty() && !config.domain.is_empty(),
        )
        .blocks_outbound(),
        Step::new(
            "outbound_trunk",
            "Add an outbound trunk",
            "Add a trunk, and switch it on, so that calls leave the domain towards your carrier.",
            facts.enabled_trunks > 0,
        )
        // Whoever set the domain up otherwise may have trunks there that the gateway does not know.
        .blocks_outbound_if(config.managed_by.is_some()),
        Step::new(
            "caller_id",
            "Add a phone number",
            "Add a number that the people you call will see.",
            facts.active_numbers > 0,
        )
        .blocks_outbound(),
    ];
    if facts.enabled_trunks > 1 {
        steps.push(Step::new(
            "trunk_assignment",
            "Assign numbers to trunks",
            "Choose a trunk for each number: with several trunks, a number without one has no way out.",
            facts.numbers_without_trunk == 0,
        ));
    }
    steps.push(Step::new(
        "inbound_routing",
        "Answer inbound calls",
        "Give a number an agent for the calls that come in.",
        facts.inbound_numbers > 0,
    ));
    steps.push(Step::new(
        "webhook_key",
        "Enter the webhook key",
        "Set a Request Authorization Key for the domain in the Cloudonix Cockpit and enter the same key here; without it \
         webhooks must present the bearer token.",
        config.api_key.is_some(),
));
    steps
}

/// What a telephone system needs to reach the domain, and what Cloudonix needs to tell how calls ended.
pub(crate) fn connectivity_details(config: &Config, urls: &PublicUrls) -> Vec<DetailGroup> {
    let domain = DetailGroup::new("Domain settings in the Cloudonix Cockpit")
        .describe("Where Cloudonix asks what to do with a call, and tells how it ended.")
        .detail("Voice application URL (POST)", &urls.dispatcher)
        .detail("CDR endpoint", format!("{}/{CDR}", urls.routes));
    let mut groups = vec![domain];
    let Some(uuid) = &config.domain_uuid else {
        return groups;
    };
    groups.extend(REGIONS.iter().enumerate().map(|(index, region)| {
        let host = format!("{uuid}.{}", region.suffix);
        let group = DetailGroup::new(format!("SIP, {}", region.name))
            .detail("Host", &host)
            .detail("UDP", format!("{host}:{}", region.sip_port))
            .detail("TCP", format!("{host}:{};transport=tcp;", region.sip_port))
            .detail("TLS", format!("{host}:{};transport=tls;", region.tls_port))
            .detail("Address of the edge", region.edge_ip);
        match index {
            0 => group.describe("The usual one, unless another region is nearer."),
            _ => group,
        }
    }));
    groups
}
