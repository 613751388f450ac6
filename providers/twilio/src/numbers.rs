//! The account's numbers: <https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource>.

use serde::Deserialize;
use strowger_sdk::{Failure, Io, Outcome, Ownership, Request, Synchronisation, is_e164};

use crate::api;
use crate::spec::Config;

/// What decides where a number's calls go.
#[derive(Deserialize)]
struct IncomingNumber {
    sid: String,
    phone_number: String,
    voice_url: Option<String>,
    voice_method: Option<String>,
    status_callback: Option<String>,
    voice_application_sid: Option<String>,
    trunk_sid: Option<String>,
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
    let Some(number) = find(config, address, io)? else {
        if !attach {
            return Ok(Synchronisation::Unchanged);
        }
        return Err(Failure::number_not_owned("Twilio").into());
    };

    // Twilio does not look at the number's own URL in these cases; changing it would look like success.
    let elsewhere = [
        (&number.trunk_sid, "an Elastic SIP trunk"),
        (&number.voice_application_sid, "a TwiML application"),
    ];
    if let Some((_, owner)) = elsewhere.iter().find(|(sid, _)| is_filled(sid)) {
        return Ok(Synchronisation::LeftAlone(format!(
            "At Twilio this number belongs to {owner}, which decides where its calls go; remove it there first."
        )));
    }

    let wanted = if attach { webhook_url } else { "" };
    let current = number.voice_url.as_deref().unwrap_or_default();
    // Somebody has pointed the number elsewhere: nothing of ours is left to take away.
    if !attach && current != webhook_url {
        return Ok(Synchronisation::Unchanged);
    }
    let posts = !attach || number.voice_method.as_deref() == Some("POST");
    // The end of an inbound call is told only to the number's status callback. It goes to the same place as the call,
    // unless somebody has pointed it elsewhere: what they watch there is not ours to take away.
    let told = number.status_callback.as_deref().unwrap_or_default();
    let ours = told.is_empty() || told == current || told == wanted;
    if current == wanted && posts && (!ours || told == wanted) {
        return Ok(Synchronisation::Unchanged);
    }
    let url = api::url(config, &["IncomingPhoneNumbers", &format!("{}.json", number.sid)])?;
    let mut form = vec![("VoiceUrl", wanted), ("VoiceMethod", "POST")];
    if ours {
        form.extend([("StatusCallback", wanted), ("StatusCallbackMethod", "POST")]);
    }
    let request = Request::post(url).form(&form);
    let response = io.http(api::authorised(config, request))?;
    // Somebody released the number in the meantime.
    if response.status == 404 && !attach {
        return Ok(Synchronisation::Unchanged);
    }
    api::accept(response)?.confirmed()?;
    Ok(Synchronisation::Done)
}

fn find(config: &Config, address: &str, io: &mut Io) -> Outcome<Option<IncomingNumber>> {
    #[derive(Deserialize)]
    struct Page {
        incoming_phone_numbers: Vec<IncomingNumber>,
    }
    let request = Request::get(api::url(config, &["IncomingPhoneNumbers.json"])?).query(&[("PhoneNumber", address)]);
    let page: Page = api::accept(io.http(api::authorised(config, request))?)?.read_json()?;
    // The filter matches patterns; only the number itself will do.
    Ok(page
        .incoming_phone_numbers
        .into_iter()
        .find(|number| number.phone_number == address))
}

fn is_filled(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(|text| !text.is_empty())
}
