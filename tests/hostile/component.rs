//! Components written by hand: what no compiler would emit.
//!
//! A core module in text form implements the contract's exports with bodies of our choice, and `wit-component` makes a
//! component of it, from the contract itself or from a falsified copy. Where the fields of the records lie follows from the
//! canonical ABI (component-model, `CanonicalABI.md`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{
    LiftLowerAbi, ManglingAndAbi, Resolve, ResourceIntrinsic, TypeDefKind, WasmExport, WasmExportKind, WasmImport,
    WorldId, WorldItem,
};

/// Where `spec` returns its record from.
pub const SPEC_AT: u32 = 1024;
/// Zeros for [`Guest::loadable`] to return: nothing, in whatever type.
pub const ZEROS_AT: u32 = 8192;
/// Where the arguments are put: above everything that a guest writes by hand.
pub const HEAP_AT: u32 = 16 * 1024;

/// An honest allocator: it never frees, and grows its memory by a megabyte.
const BUMP: &str = "
    (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get 2) (i32.const 1))) (i32.sub (i32.const 0) (local.get 2))))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (loop $again
      (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))) (then
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $again))))
    (local.get $at)";

/// A component to be: the contract and the core module, open for falsification.
#[derive(Debug, Clone)]
pub struct Guest {
    wit: String,
    world: String,
    memory: String,
    bodies: BTreeMap<String, String>,
    imports: String,
    more: String,
    encoding: StringEncoding,
}

impl Guest {
    /// Honest as far as its types go; its spec is all zeros, and its other exports trap.
    #[must_use]
    pub fn new() -> Self {
        Self {
            wit: contract(),
            world: "provider".to_owned(),
            memory: "1".to_owned(),
            bodies: BTreeMap::new(),
            imports: String::new(),
            more: String::new(),
            encoding: StringEncoding::UTF8,
        }
        .spec(&format!("(i32.const {SPEC_AT})"))
        .realloc(BUMP)
    }

    /// One that loads: a carrier that sends no webhooks. Its `config-loader` returns what it is given; its leg is silent; what
    /// else it has traps.
    #[must_use]
    pub fn loadable() -> Self {
        const TEXT_AT: u32 = 4096;
        const FORMATS_AT: u32 = 4200;
        const RESPONSE_AT: u32 = 4300;
        const CONFIG_AT: u32 = 4400;
        let text = |length: u32| format!("{}{}", word(TEXT_AT), word(length));
        Self::new()
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
            .body("answer#rejection-markup", &format!("(i32.const {RESPONSE_AT})"))
            .body(
                "descriptor#config-loader",
                &format!(
                    "(i32.store (i32.const {}) (local.get 0)) (i32.store (i32.const {}) (local.get 1)) (i32.const {CONFIG_AT})",
                    CONFIG_AT + 4,
                    CONFIG_AT + 8
                ),
            )
            .body("media#[constructor]leg", "(call $leg-new (i32.const 1))")
            .body("media#[method]leg.deserialize-frame", &format!("(i32.const {ZEROS_AT})"))
            .body("media#[method]leg.serialize-frame", &format!("(i32.const {ZEROS_AT})"))
    }

    /// Text fields of its configuration: their names, and whether they are sensitive.
    ///
    /// # Panics
    /// When there are more than fit.
    #[must_use]
    pub fn with_fields(self, fields: &[(&str, bool)]) -> Self {
        const FIELDS_AT: u32 = 5000;
        const FIELD_BYTES: u32 = 88;
        const NAMES_AT: u32 = 6000;
        let count = u32::try_from(fields.len()).expect("a few fields");
        assert!(FIELDS_AT + count * FIELD_BYTES <= NAMES_AT, "more fields than fit");
        let mut guest = self.data(40, &format!("{}{}", word(FIELDS_AT), word(count)));
        let (mut at, mut name_at) = (FIELDS_AT, NAMES_AT);
        for (name, sensitive) in fields {
            let length = u32::try_from(name.len()).expect("a short name");
            let text = word(name_at) + &word(length);
            // name, label; kind: text; required; sensitive.
            guest = guest
                .data_at(name_at, name)
                .data_at(at, &format!("{text}{text}\\00\\01\\{:02x}", u8::from(*sensitive)));
            at += FIELD_BYTES;
            name_at += length;
        }
        guest
    }

    /// Replaces a piece of the contract, which must be there.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn wit(mut self, from: &str, to: &str) -> Self {
        assert!(self.wit.contains(from), "the contract has no {from:?}");
        self.wit = self.wit.replace(from, to);
        self
    }

    /// Adds to the contract's package.
    #[must_use]
    pub fn more_wit(mut self, text: &str) -> Self {
        self.wit.push_str(text);
        self
    }

    /// Exports all abilities as well; they trap unless they have a [`body`](Self::body).
    #[must_use]
    pub fn with_everything(mut self) -> Self {
        "everything".clone_into(&mut self.world);
        self
    }

    /// Minimum and maximum pages.
    #[must_use]
    pub fn memory(mut self, limits: &str) -> Self {
        limits.clone_into(&mut self.memory);
        self
    }

    /// What `spec` does; it leaves the address of its record.
    #[must_use]
    pub fn spec(self, body: &str) -> Self {
        self.body("descriptor#spec", body)
    }

    /// What an export does, as `webhook#recognise`. Its flattened parameters are locals; it leaves its result.
    #[must_use]
    pub fn body(mut self, export: &str, body: &str) -> Self {
        self.bodies.insert(export.to_owned(), body.to_owned());
        self
    }

    /// What the allocator does with old address, old size, alignment and new size; it leaves an address.
    #[must_use]
    pub fn realloc(self, body: &str) -> Self {
        self.body("cabi_realloc", body)
    }

    /// What becomes of the result of an export after it was read: its address is the only local.
    #[must_use]
    pub fn post_return(self, export: &str, body: &str) -> Self {
        self.body(&format!("cabi_post_{export}"), body)
    }

    /// Bytes of the record that `spec` returns, from an offset in it.
    #[must_use]
    pub fn data(self, offset: u32, bytes: &str) -> Self {
        self.data_at(SPEC_AT + offset, bytes)
    }

    /// Bytes of the memory, in the escapes of the text format.
    #[must_use]
    pub fn data_at(self, address: u32, bytes: &str) -> Self {
        self.more(&format!("(data (i32.const {address}) \"{bytes}\")"))
    }

    /// More imports of the module.
    #[must_use]
    pub fn import(mut self, text: &str) -> Self {
        self.imports.push_str(text);
        self.imports.push('\n');
        self
    }

    /// More fields of the module.
    #[must_use]
    pub fn more(mut self, fields: &str) -> Self {
        self.more.push_str(fields);
        self.more.push('\n');
        self
    }

    /// How its strings are encoded: a canonical option.
    #[must_use]
    pub fn encoding(mut self, encoding: StringEncoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// The component.
    ///
    /// # Panics
    /// When the falsification cannot be expressed.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let package = resolve
            .push_str("provider.wit", &self.wit)
            .expect("the contract is well-formed");
        let world = resolve
            .select_world(&[package], Some(&self.world))
            .expect("the contract has the world");
        component(&self.module(&resolve, world), &resolve, world, self.encoding)
    }

    fn module(&self, resolve: &Resolve, world: WorldId) -> String {
        let Self {
            memory, imports, more, ..
        } = self;
        let mut exports = String::new();
        let mut intrinsics = String::new();
        each_export(resolve, world, |export| {
            let name = &export.name;
            let params = types("param", &export.params);
            let results = types("result", &export.results);
            let body = self.bodies.get(&export.short).map_or("unreachable", String::as_str);
            writeln!(exports, "(func (export \"{name}\") {params} {results} {body})").expect("a string grows");
            if let Some(body) = self.bodies.get(&format!("cabi_post_{}", export.short)) {
                let params = types("param", &export.results);
                writeln!(exports, "(func (export \"cabi_post_{name}\") {params} {body})").expect("a string grows");
            }
        });
        for (module, name) in resource_makers(resolve, world) {
            writeln!(
                intrinsics,
                "(import \"{module}\" \"{name}\" (func $leg-new (param i32) (result i32)))"
            )
            .expect("a string grows");
        }
        let realloc = &self.bodies["cabi_realloc"];
        format!(
            "(module
              {imports}
              {intrinsics}
              (global $heap (mut i32) (i32.const {HEAP_AT}))
              {more}
              (memory (export \"memory\") {memory})
              (func $realloc (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) {realloc})
              {exports})"
        )
    }
}

impl Default for Guest {
    fn default() -> Self {
        Self::loadable()
    }
}

/// A number as its four bytes, in the escapes of the text format.
#[must_use]
pub fn word(value: u32) -> String {
    value.to_le_bytes().map(|byte| format!("\\{byte:02x}")).concat()
}

/// A function that a component of this world exports.
pub(crate) struct Export<'a> {
    /// `strowger:provider/webhook@0.1.0#recognise`.
    pub(crate) name: String,
    /// `webhook#recognise`.
    pub(crate) short: String,
    pub(crate) function: &'a wit_parser::Function,
    /// After flattening.
    pub(crate) params: Vec<&'static str>,
    pub(crate) results: Vec<&'static str>,
    /// Its result is in memory, and what it returns the address.
    pub(crate) returns_pointer: bool,
}

const ABI: ManglingAndAbi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);

/// Calls `take` with every function that a component of this world exports.
pub(crate) fn each_export<'a>(resolve: &'a Resolve, world: WorldId, mut take: impl FnMut(Export<'a>)) {
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        for function in resolve.interfaces[*id].functions.values() {
            let name = resolve.wasm_export_name(
                ABI,
                WasmExport::Func {
                    interface: Some(key),
                    func: function,
                    kind: WasmExportKind::Normal,
                },
            );
            let signature = resolve.wasm_signature(ABI.export_variant(), function);
            let flat = |types: &[wit_parser::abi::WasmType]| types.iter().map(|ty| flat_type(*ty)).collect();
            let interface = resolve.interfaces[*id].name.as_deref().unwrap_or_default();
            take(Export {
                short: format!("{interface}#{}", function.name),
                name,
                function,
                params: flat(&signature.params),
                results: flat(&signature.results),
                returns_pointer: signature.retptr,
            });
        }
    }
}

/// Where the functions are imported from that make a handle of an exported resource.
pub(crate) fn resource_makers(resolve: &Resolve, world: WorldId) -> Vec<(String, String)> {
    let mut makers = Vec::new();
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        for ty in resolve.interfaces[*id].types.values() {
            if matches!(resolve.types[*ty].kind, TypeDefKind::Resource) {
                makers.push(resolve.wasm_import_name(
                    ABI,
                    WasmImport::ResourceIntrinsic {
                        interface: Some(key),
                        resource: *ty,
                        intrinsic: ResourceIntrinsic::ExportedNew,
                    },
                ));
            }
        }
    }
    makers
}

/// Turns the text of a core module into a component of this world.
pub(crate) fn component(module: &str, resolve: &Resolve, world: WorldId, encoding: StringEncoding) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("the module is not well-formed: {error}"));
    embed_component_metadata(&mut module, resolve, world, encoding).expect("the types are embedded");
    let mut encoder = ComponentEncoder::default();
    encoder
        .validate(true)
        .module(&module)
        .unwrap_or_else(|error| panic!("the module does not fit the contract: {error:#}"))
        .encode()
        .unwrap_or_else(|error| panic!("the component is not valid: {error:#}"))
}

pub(crate) fn types(what: &str, types: &[&str]) -> String {
    if types.is_empty() {
        String::new()
    } else {
        format!("({what} {})", types.join(" "))
    }
}

fn flat_type(ty: wit_parser::abi::WasmType) -> &'static str {
    use wit_parser::abi::WasmType;
    match ty {
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
    }
}

/// All files of the contract as one.
pub(crate) fn contract() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the contract is in wit/")
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
