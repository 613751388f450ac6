//! XML documents, which is what many carriers take instructions in. Text and attributes are escaped by the writer.
//!
//! ```
//! use strowger_sdk::xml::{self, BytesText};
//!
//! let document = xml::document("Response", |xml| {
//!     xml.create_element("Say").write_text_content(BytesText::new("Fish & chips"))?;
//!     xml.create_element("Hangup").write_empty()?;
//!     Ok(())
//! });
//! assert!(document.ends_with("<Response><Say>Fish &amp; chips</Say><Hangup/></Response>"));
//! ```

use std::io;

use quick_xml::events::{BytesDecl, Event};

pub use quick_xml::events::BytesText;

/// A document that is being written.
pub type Writer = quick_xml::Writer<Vec<u8>>;

/// A document with one root element, and what `content` writes into it.
pub fn document(root: &str, content: impl FnOnce(&mut Writer) -> io::Result<()>) -> String {
    let mut document = Writer::new(Vec::new());
    document
        .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
        .and_then(|()| document.create_element(root).write_inner_content(content).map(|_| ()))
        .expect("writing to memory does not fail");
    String::from_utf8(document.into_inner()).expect("what was written is text")
}
