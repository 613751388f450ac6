//! Parameters of requests whose names and values are text, as several carriers take them.

use serde_json::{Map, Value};

use super::WebhookTarget;

/// The text under a name, unless it is empty.
pub(super) fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// The address under one name, with the method under another; POST unless it says otherwise.
pub(super) fn target(body: &Map<String, Value>, url: &str, method: &str) -> Option<WebhookTarget> {
    address(text(body, url)?, text(body, method))
}

/// An address that is not empty; POST unless it says otherwise.
pub(super) fn address(url: &str, method: Option<&str>) -> Option<WebhookTarget> {
    (!url.is_empty()).then(|| WebhookTarget {
        url: url.to_owned(),
        method: method.unwrap_or("POST").to_owned(),
    })
}

pub(super) fn is_web_address(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// E.164 of a number that is written with or without its plus sign; an address of another kind as it is.
pub(super) fn e164(written: &str) -> String {
    let digits = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        format!("+{written}")
    } else {
        written.to_owned()
    }
}

/// Replaces the members of an object that the body names.
pub(super) fn change(object: &mut Value, body: &Map<String, Value>) {
    for (name, value) in body {
        object[name.as_str()] = value.clone();
    }
}
