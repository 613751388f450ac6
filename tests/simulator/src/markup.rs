//! The XML that carriers take instructions in, as a tree; which elements mean what is each carrier's own matter.

use quick_xml::{Reader, events::Event};

/// One element with what is inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Self>,
    /// The text directly inside, without surrounding white space.
    pub text: String,
}

/// Not a well-formed document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the document is not well-formed: {0}")]
pub struct Malformed(String);

impl Element {
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// The root element of a document.
///
/// # Errors
/// When the bytes are not one well-formed XML document.
pub fn parse(document: &[u8]) -> Result<Element, Malformed> {
    let text = std::str::from_utf8(document).map_err(|error| Malformed(error.to_string()))?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let event = reader.read_event().map_err(|error| Malformed(error.to_string()))?;
        match event {
            Event::Start(start) => open.push(element(&start)?),
            Event::Empty(start) => close(element(&start)?, &mut open, &mut root)?,
            Event::End(_) => {
                let done = open
                    .pop()
                    .ok_or_else(|| Malformed("an element ends that never began".to_owned()))?;
                close(done, &mut open, &mut root)?;
            }
            Event::Text(text) => {
                if let Some(parent) = open.last_mut() {
                    parent.text.push_str(&text);
                }
            }
            Event::CData(text) => {
                if let Some(parent) = open.last_mut() {
                    parent.text.push_str(&text);
                }
            }
            Event::GeneralRef(reference) => {
                let resolved = quick_xml::escape::unescape(&format!("&{};", &*reference))
                    .map_err(|error| Malformed(error.to_string()))?
                    .into_owned();
                if let Some(parent) = open.last_mut() {
                    parent.text.push_str(&resolved);
                }
            }
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    if !open.is_empty() {
        return Err(Malformed("an element is never closed".to_owned()));
    }
    root.ok_or_else(|| Malformed("there is no element".to_owned()))
}

fn element(start: &quick_xml::events::BytesStart<'_>) -> Result<Element, Malformed> {
    let name = start.name().as_ref().to_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| Malformed(error.to_string()))?;
        let value = quick_xml::escape::unescape(&attribute.value).map_err(|error| Malformed(error.to_string()))?;
        attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(Element {
        name,
        attributes,
        ..Element::default()
    })
}

fn close(mut done: Element, open: &mut [Element], root: &mut Option<Element>) -> Result<(), Malformed> {
    done.text = done.text.trim().to_owned();
    match open.last_mut() {
        Some(parent) => parent.children.push(done),
        None if root.is_none() => *root = Some(done),
        None => return Err(Malformed("there is more than one root element".to_owned())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_escapes_children_and_text() {
        let root = parse(
            br#"<?xml version="1.0"?><Response><Say voice="a&amp;b">1 &lt; 2 &#38; so</Say><Hangup/></Response>"#,
        )
        .unwrap();
        assert_eq!(root.name, "Response");
        assert_eq!(root.child("Say").unwrap().text, "1 < 2 & so");
        assert_eq!(root.child("Say").unwrap().attribute("voice"), Some("a&b"));
        assert!(root.child("Hangup").is_some());
    }

    #[test]
    fn refuses_what_is_not_well_formed() {
        for document in ["", "<a>", "<a></b>", "<a/><b/>", "<a x=1/>", "<a>&nope;</a>"] {
            assert!(parse(document.as_bytes()).is_err(), "accepted {document:?}");
        }
    }
}
