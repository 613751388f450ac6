//! The numbers (DNIDs) of the domain, and the application that answers them.
//!
//! <https://developers.cloudonix.com/Documentation/dataModels/voiceApplication>

use serde::Deserialize;
use serde_json::json;
use strowger_sdk::{Failure, Io, Outcome, Ownership, Provisioning, Request, Synchronisation, is_e164};

use crate::api;
use crate::spec::Config;

/// A number, or a pattern of numbers, that activates an application.
#[derive(Deserialize)]
struct Dnid {
    /// What was registered.
    source: Option<String>,
    /// The expression that was made of it.
    dnid: Option<String>,
}

impl Dnid {
    fn is(&self, address: &str) -> bool {
        let escaped = address.replace('+', r"\+");
        let patterns = [address.to_owned(), format!("^{escaped}$"), format!("^({escaped})$")];
        self.source.as_deref().and_then(canonical).as_deref() == Some(address)
            || self.dnid.as_ref().is_some_and(|dnid| patterns.contains(dnid))
    }
}

pub(crate) fn validate(config: &Config, address: &str, io: &mut Io) -> Outcome<Ownership> {
    if !is_e164(address) {
        return Ok(Ownership::NotApplicable);
    }
    let response = api::send(config, Request::get(api::domain_url(config, &["dnids", address])?), io)?;
    if response.status == 404 {
        return Ok(Ownership::NotOwned);
    }
    // The answer may be a pattern that covers this number among others.
    let dnid: Dnid = api::accept(response)?.read_json()?;
    Ok(Ownership::of(dnid.is(address)))
}

/// Numbers come over trunks from anywhere, so adding one is a matter of telling Cloudonix which application answers it.
pub(crate) fn provision(config: &Config, address: &str, io: &mut Io) -> Outcome<Provisioning> {
    #[derive(Deserialize)]
    struct Application {
        uuid: String,
    }

    if !is_e164(address) {
        return Ok(Provisioning::NotOffered);
    }
    let name = application_name(config)?;
    let listed = api::send(config, Request::get(api::domain_url(config, &["dnids"])?), io)?;
    if listed.status != 404 {
        let dnids: Vec<Dnid> = api::accept(listed)?.read_json()?;
        if dnids.iter().any(|dnid| dnid.is(address)) {
            return Ok(Provisioning::Present);
        }
    }
    let found = api::send(
        config,
        Request::get(api::domain_url(config, &["applications", name])?),
        io,
    )?;
    if found.status == 404 {
        return Err(application_not_found().into());
    }
    let application: Application = api::accept(found)?.read_json()?;
    let url = api::domain_url(config, &["applications", &application.uuid, "dnids"])?;
    let registration = json!({ "source": address, "prefix": false, "expression": false, "asteriskCompatible": false });
    api::accept(api::send(config, Request::post(url).json(&registration), io)?)?.confirmed()?;
    Ok(Provisioning::Provisioned)
}

/// The URL belongs to the application, so the first number sets it for all.
pub(crate) fn configure_inbound(
    config: &Config,
    webhook_url: &str,
    attach: bool,
    io: &mut Io,
) -> Outcome<Synchronisation> {
    #[derive(Deserialize)]
    struct Application {
        url: Option<String>,
        method: Option<String>,
    }

    if !attach {
        return Ok(Synchronisation::LeftAlone(
            "At Cloudonix the webhook belongs to the voice application, which other numbers share; it was left as it is."
                .to_owned(),
        ));
    }
    let url = api::domain_url(config, &["applications", application_name(config)?])?;
    let found = api::send(config, Request::get(&url), io)?;
    if found.status == 404 {
        return Err(application_not_found().into());
    }
    let application: Application = api::accept(found)?.read_json()?;
    if application.url.as_deref() == Some(webhook_url) && application.method.as_deref() == Some("POST") {
        return Ok(Synchronisation::Unchanged);
    }
    let change = json!({ "url": webhook_url, "method": "POST" });
    api::accept(api::send(config, Request::patch(&url).json(&change), io)?)?.confirmed()?;
    Ok(Synchronisation::Done)
}

pub(crate) fn application_not_found() -> Failure {
    Failure::configuration(
        "application-not-found",
        "The Cloudonix domain has no application of the configured name; correct it, or leave it empty to have one made.",
    )
}

fn application_name(config: &Config) -> Result<&str, Failure> {
    config.application_name.as_deref().ok_or_else(|| {
        Failure::configuration(
            "application-missing",
            "The configuration has no voice application yet; save it again.",
        )
    })
}

/// A number as the gateway writes it; None for what is no number.
fn canonical(source: &str) -> Option<String> {
    let digits: String = source.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
    let number = format!("+{}", digits.strip_prefix('+').unwrap_or(&digits));
    is_e164(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_all_its_spellings() {
        for (source, dnid, expected) in [
            (Some("14155550199"), None, true),
            (Some("+1 (415) 555-0199"), None, true),
            (None, Some("+14155550199"), true),
            (None, Some(r"^\+14155550199$"), true),
            (Some(""), Some(r"^(\+14155550199)$"), true),
            (Some("+141555501990"), Some("^14155550199$"), false),
            (None, Some(r"^\+1415555.*$"), false),
            (None, None, false),
        ] {
            let entry = Dnid {
                source: source.map(str::to_owned),
                dnid: dnid.map(str::to_owned),
            };
            assert_eq!(entry.is("+14155550199"), expected, "{source:?} {dnid:?}");
        }
    }
}
