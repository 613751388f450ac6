//! Components written by hand: what no compiler would emit.
//!
//! A core module in text form implements the contract's exports with bodies of our choice, and `wit-component` makes a
//! component of it, from the contract itself or from a falsified copy.

use strowger_tests::root;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where `spec` returns its record from.
pub(crate) const SPEC_AT: u32 = 1024;

/// A component to be: the contract and the core module, open for falsification.
pub(crate) struct Guest {
    wit: String,
    memory: String,
    spec: String,
    rejection: String,
    more: String,
}

impl Guest {
    /// Honest as far as its types go; its spec is all zeros.
    pub(crate) fn new() -> Self {
        Self {
            wit: contract(),
            memory: "1".to_owned(),
            spec: format!("(i32.const {SPEC_AT})"),
            rejection: "unreachable".to_owned(),
            more: String::new(),
        }
    }

    /// One that loads: a carrier that sends no webhooks. Its other exports trap.
    pub(crate) fn loadable() -> Self {
        const TEXT_AT: u32 = 4096;
        const FORMATS_AT: u32 = 4200;
        const RESPONSE_AT: u32 = 4300;
        let word = |value: u32| value.to_le_bytes().map(|byte| format!("\\{byte:02x}")).concat();
        let text = |length: u32| format!("{}{}", word(TEXT_AT), word(length));
        Self {
            rejection: format!("(i32.const {RESPONSE_AT})"),
            ..Self::new()
        }
        .more(&format!(
            "(data (i32.const {TEXT_AT}) \"silent\") (data (i32.const {}) \"0.1.0\")",
            TEXT_AT + 16
        ))
        // name and display-name, then version.
        .data(0, &format!("{0}{0}{1}{2}", text(6), word(TEXT_AT + 16), word(5)))
        // media: one format, PCMU at 8000; frames of 20 ms.
        .more(&format!("(data (i32.const {}) \"{}\")", FORMATS_AT + 4, word(8000)))
        .data(56, &format!("{}{}{}", word(FORMATS_AT), word(1), word(20)))
        // webhook-proof: the second case.
        .data(100, "\\01")
        // The status of every rejection.
        .more(&format!("(data (i32.const {RESPONSE_AT}) \"{}\")", word(200)))
    }

    /// Replaces a piece of the contract, which must be there.
    pub(crate) fn wit(mut self, from: &str, to: &str) -> Self {
        assert!(self.wit.contains(from), "the contract has no {from:?}");
        self.wit = self.wit.replace(from, to);
        self
    }

    /// Adds to the contract's package.
    pub(crate) fn more_wit(mut self, text: &str) -> Self {
        self.wit.push_str(text);
        self
    }

    /// Minimum and maximum pages.
    pub(crate) fn memory(mut self, limits: &str) -> Self {
        limits.clone_into(&mut self.memory);
        self
    }

    /// What `spec` does; it leaves the address of its record.
    pub(crate) fn spec(mut self, body: &str) -> Self {
        body.clone_into(&mut self.spec);
        self
    }

    /// Bytes of the record that `spec` returns, from an offset in it.
    pub(crate) fn data(self, offset: u32, bytes: &str) -> Self {
        self.more(&format!("(data (i32.const {}) \"{bytes}\")", SPEC_AT + offset))
    }

    /// More fields of the module.
    pub(crate) fn more(mut self, fields: &str) -> Self {
        self.more.push_str(fields);
        self.more.push('\n');
        self
    }

    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.module()).expect("the module is well-formed");
        let mut resolve = Resolve::default();
        let package = resolve
            .push_str("provider.wit", &self.wit)
            .expect("the contract is well-formed");
        let world = resolve
            .select_world(&[package], Some("provider"))
            .expect("the contract has the world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("the types are embedded");
        let mut encoder = ComponentEncoder::default();
        let encoder = encoder
            .validate(true)
            .module(&module)
            .expect("the module fits the contract");
        encoder.encode().expect("the component is valid")
    }

    fn module(&self) -> String {
        let Self {
            memory,
            spec,
            rejection,
            more,
            ..
        } = self;
        // Parameters of each export after flattening; all of them return the address of their result.
        let functions = [
            ("descriptor@0.1.0#config-loader", "i32 i32"),
            ("webhook@0.1.0#recognise", "i32 i32 i32 i32 i32 i32 i32 i32 i64"),
            (
                "webhook@0.1.0#verify-signature",
                "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64",
            ),
            ("webhook@0.1.0#handle-callback", "i32"),
            ("answer@0.1.0#answer-markup", "i32"),
            ("answer@0.1.0#reject-call", "i32"),
            ("media@0.1.0#[constructor]leg", "i32"),
            ("media@0.1.0#[method]leg.deserialize-frame", "i32 i32 i32 i32"),
            ("media@0.1.0#[method]leg.serialize-frame", "i32 i32 i32 i32"),
        ];
        // A falsified contract may lack an interface, or carry another version.
        let declared = |name: &str| {
            let interface = name.split('@').next().unwrap_or_default();
            self.wit.contains(&format!("export {interface};"))
        };
        let version = if self.wit.starts_with("package strowger:provider@0.1.0;") {
            "0.1.0"
        } else {
            "0.2.0"
        };
        let rejection_export = if declared("answer") {
            format!(
                "(func (export \"strowger:provider/answer@{version}#rejection-markup\") (param i32) (result i32) {rejection})"
            )
        } else {
            String::new()
        };
        let exports: String = functions
            .into_iter()
            .filter(|(name, _)| declared(name))
            .map(|(name, params)| {
                let name = name.replace("0.1.0", version);
                format!("(func (export \"strowger:provider/{name}\") (param {params}) (result i32) unreachable)\n")
            })
            .collect();
        format!(
            "(module
              {more}
              (memory (export \"memory\") {memory})
              (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable)
              (func (export \"strowger:provider/descriptor@{version}#spec\") (result i32) {spec})
              {rejection_export}
              {exports})"
        )
    }
}

/// All files of the contract as one.
fn contract() -> String {
    let folder = std::fs::read_dir(root().join("wit")).expect("the contract is in wit/");
    let mut files: Vec<_> = folder
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wit"));
    files.sort();
    let mut text = "package strowger:provider@0.1.0;\n".to_owned();
    for file in files {
        for line in std::fs::read_to_string(file)
            .expect("a file of the contract is text")
            .lines()
        {
            if !line.starts_with("package ") {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}
