//! The account's numbers, and the application that they are attached to.
//!
//! <https://docs.vobiz.ai/account-phone-number> and <https://docs.vobiz.ai/applications/attach-number>.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use strowger_sdk::{Failure, Io, Outcome, Ownership, Request, Response, Synchronisation, is_e164};

use crate::api;
use crate::spec::Config;

/// The most that Vobiz gives at once.
const PER_PAGE: u64 = 100;
/// An operation has 16 rounds, and changing a number takes some of them.
const PAGES_MAX: u64 = 12;

/// Where a number's calls go.
enum Attachment {
    /// To no application.
    Free,
    Application(String),
    /// The list does not say.
    Unknown,
}

#[derive(Deserialize)]
struct Application {
    answer_url: Option<String>,
    answer_method: Option<String>,
    hangup_url: Option<String>,
}

pub(crate) fn validate(config: &Config, address: &str, io: &mut Io) -> Outcome<Ownership> {
    if !is_e164(address) {
        return Ok(Ownership::NotApplicable);
    }
    Ok(Ownership::of(find(config, address, io)?.is_some()))
}

pub(crate) fn configure_inbound(
    config: &Config,
    address: &str,
    webhook_url: &str,
    attach: bool,
    io: &mut Io,
) -> Outcome<Synchronisation> {
    if !is_e164(address) {
        return Ok(Synchronisation::Unchanged);
    }
    let Some(application_id) = config.application_id.as_deref() else {
        if !attach {
            return Ok(Synchronisation::Unchanged);
        }
        return Err(Failure::configuration(
            "application-missing",
            "The configuration has no Vobiz application; save it again to have one made, or enter an Application ID.",
        )
        .into());
    };
    let found = find(config, address, io)?;
    if !attach {
        return match found {
            None | Some(Attachment::Free) => Ok(Synchronisation::Unchanged),
            Some(Attachment::Application(id)) if id != application_id => Ok(Synchronisation::Unchanged),
            Some(_) => detach(config, address, application_id, webhook_url, io),
        };
    }
    let Some(attachment) = found else {
        return Err(Failure::number_not_owned("Vobiz").into());
    };
    let attached = matches!(&attachment, Attachment::Application(id) if id == application_id);
    // The number first: should it be refused, the application that other numbers share stays as it was.
    if !attached {
        let url = api::url(config, &["numbers", address, "application"])?;
        let request = Request::post(url).json(&json!({ "application_id": application_id }));
        let response = io.http(api::authorised(config, request))?;
        attached_or_why(response)?;
    }
    let changed = point_application(config, application_id, webhook_url, io)?;
    Ok(Synchronisation::of(changed || !attached))
}

fn attached_or_why(response: Response) -> Result<(), Failure> {
    let says_already = || {
        String::from_utf8_lossy(&response.body)
            .to_ascii_lowercase()
            .contains("already")
    };
    match response.status {
        409 => Err(bound_elsewhere()),
        400..=499 if !matches!(response.status, 401..=404 | 408 | 429) && says_already() => Err(bound_elsewhere()),
        404 => Err(Failure::request(
            "number-or-application-not-found",
            "Vobiz knows either the number or the application of this configuration no more; check both in the Vobiz \
             console.",
        )),
        _ => api::confirm(response, "attach the number to the application in the Vobiz console."),
    }
}

fn bound_elsewhere() -> Failure {
    Failure::request(
        "number-bound-elsewhere",
        "At Vobiz this number is bound to something else; release it in the Vobiz console first.",
    )
}

/// Only the number is let go; the answer URL belongs to the other numbers as well.
fn detach(
    config: &Config,
    address: &str,
    application_id: &str,
    webhook_url: &str,
    io: &mut Io,
) -> Outcome<Synchronisation> {
    // An application that somebody has pointed elsewhere does not bring calls here.
    let response = io.http(api::authorised(
        config,
        Request::get(application_url(config, application_id)?),
    ))?;
    if response.status == 404 {
        return Ok(Synchronisation::Unchanged);
    }
    let application: Application = api::accept(response, "check the Application ID.")?.read_json()?;
    if application.answer_url.as_deref() != Some(webhook_url) {
        return Ok(Synchronisation::Unchanged);
    }
    let url = api::url(config, &["numbers", address, "application"])?;
    let response = io.http(api::authorised(config, Request::delete(url)))?;
    if response.status == 404 {
        return Ok(Synchronisation::Unchanged);
    }
    api::confirm(response, "detach the number from the application in the Vobiz console.")?;
    Ok(Synchronisation::Done)
}

/// Whether anything had to be changed.
fn point_application(config: &Config, application_id: &str, webhook_url: &str, io: &mut Io) -> Outcome<bool> {
    let url = application_url(config, application_id)?;
    let response = io.http(api::authorised(config, Request::get(url.as_str())))?;
    if response.status == 404 {
        return Err(Failure::configuration(
            "application-not-found",
            "The Vobiz account does not have the application of this configuration; correct the Application ID, or empty \
             it to have one made.",
        )
        .into());
    }
    let application: Application = api::accept(response, "check the Application ID.")?.read_json()?;

    let mut wanted = Map::new();
    let current = application.answer_url.unwrap_or_default();
    let posts = application.answer_method.as_deref() == Some("POST");
    if current != webhook_url || !posts {
        wanted.insert("answer_url".to_owned(), webhook_url.into());
        wanted.insert("answer_method".to_owned(), "POST".into());
    }
    // The end of an inbound call is told only to the application's hang-up URL. It goes to the same place as the call,
    // unless somebody has pointed it elsewhere: what they watch there is not ours to take away.
    let told = application.hangup_url.unwrap_or_default();
    if told != webhook_url && (told.is_empty() || told == current) {
        wanted.insert("hangup_url".to_owned(), webhook_url.into());
        wanted.insert("hangup_method".to_owned(), "POST".into());
    }
    if wanted.is_empty() {
        return Ok(false);
    }
    let request = Request::post(url).json(&Value::Object(wanted));
    let response = io.http(api::authorised(config, request))?;
    api::confirm(
        response,
        "check that the gateway's public address is one that Vobiz can reach.",
    )?;
    Ok(true)
}

fn application_url(config: &Config, application_id: &str) -> Result<String, Failure> {
    api::url_slash(config, &["Application", application_id])
}

/// The search finds numbers that contain what is searched for; only the number itself will do.
fn find(config: &Config, address: &str, io: &mut Io) -> Outcome<Option<Attachment>> {
    #[derive(Deserialize)]
    struct Page {
        #[serde(default)]
        items: Vec<Map<String, Value>>,
        total: Option<u64>,
    }
    let per_page = PER_PAGE.to_string();
    for number in 1..=PAGES_MAX {
        let request = Request::get(api::url(config, &["numbers"])?).query(&[
            ("page", &number.to_string()),
            ("per_page", &per_page),
            ("search", address),
        ]);
        let response = io.http(api::authorised(config, request))?;
        let page: Page = api::accept(response, "check the number.")?.read_json()?;
        let wanted = |item: &&Map<String, Value>| item.get("e164").and_then(Value::as_str) == Some(address);
        if let Some(item) = page.items.iter().find(wanted) {
            return Ok(Some(match item.get("application_id") {
                None => Attachment::Unknown,
                Some(value) => api::text(value).map_or(Attachment::Free, Attachment::Application),
            }));
        }
        // Without a total, a page that is not full is the last.
        let seen = number * PER_PAGE;
        let last = page
            .total
            .map_or((page.items.len() as u64) < PER_PAGE, |total| seen >= total);
        if page.items.is_empty() || last {
            return Ok(None);
        }
    }
    Ok(None)
}
