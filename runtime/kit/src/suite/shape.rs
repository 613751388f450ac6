//! The skeleton of what a component says, and the texts in it: two answers that differ in their words only have the same
//! skeleton, whatever the words are. That is what escaping means.

use quick_xml::events::{BytesStart, Event};
use serde_json::Value;
use strowger_host::{OutgoingRequest, Response};

/// A document or a request, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Names and structure, without any text that came from outside.
    pub(super) skeleton: Vec<String>,
    /// Where a text stands, and the text itself, read back from its escapes.
    pub(super) leaves: Vec<(String, String)>,
}

impl Shape {
    fn name(&mut self, name: impl Into<String>) {
        self.skeleton.push(name.into());
    }

    /// A text; one that is a document of its own, such as markup in a field, is taken apart, too.
    fn leaf(&mut self, place: impl Into<String>, text: impl Into<String>) -> Result<(), String> {
        let (place, text) = (place.into(), text.into());
        let mut inner = Self::default();
        let trimmed = text.trim();
        let read = if trimmed.starts_with('<') {
            xml(&mut inner, trimmed.as_bytes())
        } else if trimmed.starts_with(['{', '[']) {
            json(&mut inner, trimmed.as_bytes())
        } else {
            self.skeleton.push(place.clone());
            self.leaves.push((place, text));
            return Ok(());
        };
        read.map_err(|what| format!("{place}: {what}"))?;
        self.skeleton
            .extend(inner.skeleton.into_iter().map(|name| format!("{place}: {name}")));
        self.leaves.extend(
            inner
                .leaves
                .into_iter()
                .map(|(inner, text)| (format!("{place}: {inner}"), text)),
        );
        Ok(())
    }
}

/// Takes a response apart.
///
/// # Errors
/// When its body is not what its content type says.
pub(super) fn of_response(response: &Response) -> Result<Shape, String> {
    let mut shape = Shape::default();
    shape.name(format!("status {}", response.status));
    let headers: Vec<(&str, &str)> = response
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    body(&mut shape, &headers, &response.body)?;
    Ok(shape)
}

/// Takes a request apart.
///
/// # Errors
/// When its body is not what its content type says.
pub(super) fn of_request(request: &OutgoingRequest) -> Result<Shape, String> {
    let mut shape = Shape::default();
    let url = &request.url;
    shape.name(format!("{} {}", request.method, url.origin().ascii_serialization()));
    for segment in url.path_segments().into_iter().flatten() {
        shape.leaf("path segment", percent_decoded(segment))?;
    }
    for (name, value) in url.query_pairs() {
        shape.leaf(format!("query {name}"), value.into_owned())?;
    }
    if let Some(fragment) = url.fragment() {
        shape.leaf("fragment", fragment)?;
    }
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    // Values of headers are the business of the host, which refuses what ends one; and some of them are secrets.
    for (name, _) in &headers {
        shape.name(format!("header {name}"));
    }
    body(&mut shape, &headers, &request.body)?;
    Ok(shape)
}

fn body(shape: &mut Shape, headers: &[(&str, &str)], body: &[u8]) -> Result<(), String> {
    if body.is_empty() {
        return Ok(());
    }
    let content_type = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map_or(String::new(), |(_, value)| value.to_ascii_lowercase());
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if content_type.contains("json") {
        json(shape, body)
    } else if content_type.contains("xml") {
        xml(shape, body)
    } else if content_type.contains("x-www-form-urlencoded") {
        for (name, value) in url::form_urlencoded::parse(body) {
            shape.leaf(format!("form field {name}"), value.into_owned())?;
        }
        Ok(())
    } else {
        // Not said: what it looks like.
        match first {
            Some(b'<') => xml(shape, body),
            Some(b'{' | b'[') => json(shape, body),
            _ => {
                shape
                    .leaves
                    .push(("text".to_owned(), String::from_utf8_lossy(body).into_owned()));
                Ok(())
            }
        }
    }
}

fn json(shape: &mut Shape, body: &[u8]) -> Result<(), String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    walk(shape, "body", &value)
}

fn walk(shape: &mut Shape, place: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Object(members) => {
            shape.name(format!("{place} {{"));
            for (name, member) in members {
                walk(shape, &format!("{place}.{name}"), member)?;
            }
        }
        Value::Array(items) => {
            shape.name(format!("{place} ["));
            for item in items {
                walk(shape, &format!("{place}[]"), item)?;
            }
        }
        Value::String(text) => shape.leaf(place, text.clone())?,
        Value::Null | Value::Bool(_) | Value::Number(_) => shape.name(format!("{place} {value}")),
    }
    Ok(())
}

fn xml(shape: &mut Shape, body: &[u8]) -> Result<(), String> {
    const NOT_XML: &str = "the body is not well-formed XML";
    let text = std::str::from_utf8(body).map_err(|_| "the body is XML that is not UTF-8".to_owned())?;
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut depth, mut roots) = (0_usize, 0_usize);
    // Text comes in pieces: what lies between two tags is one.
    let mut pending = String::new();
    loop {
        let event = reader.read_event().map_err(|error| format!("{NOT_XML}: {error}"))?;
        match &event {
            Event::Text(piece) => pending.push_str(piece),
            Event::CData(piece) => pending.push_str(piece),
            Event::GeneralRef(reference) => pending.push_str(&unescaped(&format!("&{};", &**reference))?),
            _ => {
                if !pending.trim().is_empty() {
                    shape.leaf("text", pending.trim())?;
                }
                pending.clear();
            }
        }
        match event {
            Event::Start(tag) => {
                roots += usize::from(depth == 0);
                depth += 1;
                element(shape, &tag)?;
            }
            Event::Empty(tag) => {
                roots += usize::from(depth == 0);
                element(shape, &tag)?;
                shape.name("/");
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                shape.name("/");
            }
            Event::Comment(_) => shape.name("comment"),
            Event::PI(_) => shape.name("processing instruction"),
            Event::DocType(_) => shape.name("document type"),
            Event::Decl(_) | Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {}
            Event::Eof if depth > 0 => return Err(format!("{NOT_XML}: it ends within an element")),
            Event::Eof if roots != 1 => return Err(format!("{NOT_XML}: it has {roots} root elements")),
            Event::Eof => return Ok(()),
        }
    }
}

fn unescaped(text: &str) -> Result<String, String> {
    quick_xml::escape::unescape(text)
        .map(std::borrow::Cow::into_owned)
        .map_err(|error| format!("the body is not well-formed XML: {error}"))
}

fn element(shape: &mut Shape, tag: &BytesStart<'_>) -> Result<(), String> {
    let name = tag.name().as_ref().to_owned();
    shape.name(format!("<{name}>"));
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| format!("the body is not well-formed XML: {error}"))?;
        if attribute.value.contains('<') {
            return Err("the body is not well-formed XML: `<` in an attribute".to_owned());
        }
        shape.leaf(
            format!("<{name}> {}", attribute.key.as_ref()),
            unescaped(&attribute.value)?,
        )?;
    }
    Ok(())
}

/// A text with its percent escapes read, as far as they are some.
pub(super) fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(content_type: &str, body: &str) -> Result<Shape, String> {
        of_response(&Response {
            status: 200,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.as_bytes().to_vec(),
        })
    }

    #[test]
    fn words_do_not_change_the_skeleton() {
        let xml = |url: &str| response("application/xml", &format!("<R><S url=\"{url}\"/>{url}</R>")).unwrap();
        let (one, two) = (xml("wss://x/y"), xml("a&lt;b&amp;&quot;"));
        assert_eq!(one.skeleton, two.skeleton);
        assert_eq!(two.leaves[0].1, "a<b&\"");
        assert_eq!(two.leaves[1].1, "a<b&\"");
        let json = |word: &str| response("application/json", &serde_json::json!([{ "a": word }]).to_string()).unwrap();
        assert_eq!(json("x").skeleton, json("\"},{\"").skeleton);
    }

    #[test]
    fn what_breaks_out_changes_it() {
        let xml = |url: &str| response("application/xml", &format!("<R><S url=\"{url}\"/></R>"));
        assert_ne!(xml("x").unwrap().skeleton, xml("x\"/><T u=\"").unwrap().skeleton);
        assert!(xml("x\"").is_err());
        assert!(xml("<").is_err() || xml("<").unwrap().skeleton != xml("x").unwrap().skeleton);
        assert!(response("application/xml", "<R>").is_err());
        assert!(response("application/xml", "<R>&nope;</R>").is_err());
        assert!(response("application/json", "{\"a\":\"b\"c\"}").is_err());
    }
}
