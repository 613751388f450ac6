//! Random components that have the contract's shape and break its rules.
//!
//! Every export exists with its right type, so each of them loads or nearly does; what it does when it is called follows from
//! the bytes that it is made of. A result is laid out in memory as the canonical ABI wants it, and then some of it is not:
//! pointers, lengths, discriminants, encodings; and the allocator, `post-return`, the start function or the body itself may
//! trap, spin, grow, or overwrite everything. Zeros make an honest component, and so do bytes that have run out: each byte that
//! is not zero may be one more fault, which is what a fuzzer needs to shrink a finding.

use std::fmt::Write as _;
use std::sync::OnceLock;

use arbitrary::Unstructured;
use wit_component::StringEncoding;
use wit_parser::{Int, Resolve, SizeAlign, Type, TypeDefKind, WorldId};

use crate::component::{self, Export};

/// Where the image of results begins and ends; arguments are put above it.
const IMAGE_AT: usize = 1024;
const IMAGE_END: usize = 64 * 1024;
/// Four pages: the image, and room for arguments.
const PAGES: u32 = 4;

/// The contract with all abilities, parsed once.
struct Contract {
    resolve: Resolve,
    world: WorldId,
    sizes: SizeAlign,
}

fn contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let mut resolve = Resolve::default();
        let package = resolve
            .push_str("provider.wit", &component::contract())
            .expect("the contract is well-formed");
        let world = resolve
            .select_world(&[package], Some("everything"))
            .expect("the contract has the world");
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        Contract { resolve, world, sizes }
    })
}

/// The component that these bytes make.
#[must_use]
pub fn component(entropy: &[u8]) -> Vec<u8> {
    let contract = contract();
    let mut image = Image::new(contract, Unstructured::new(entropy));
    let encoding = image.one_of(64, &[StringEncoding::UTF16, StringEncoding::CompactUTF16]);
    let module = image.module();
    component::component(
        &module,
        &contract.resolve,
        contract.world,
        encoding.unwrap_or(StringEncoding::UTF8),
    )
}

/// The memory of a component to be, and what it is made from.
struct Image<'a> {
    contract: &'static Contract,
    entropy: Unstructured<'a>,
    bytes: Vec<u8>,
    next: usize,
    /// While the loader's questions are answered, a fault would only end it there.
    honest: bool,
    /// What is written where a URL is expected.
    url: &'static str,
}

impl<'a> Image<'a> {
    fn new(contract: &'static Contract, entropy: Unstructured<'a>) -> Self {
        Self {
            contract,
            entropy,
            bytes: vec![0; IMAGE_END],
            next: IMAGE_AT,
            honest: false,
            url: "",
        }
    }

    fn byte(&mut self) -> u8 {
        if self.honest {
            0
        } else {
            self.entropy.arbitrary().unwrap_or(0)
        }
    }

    fn word(&mut self) -> u32 {
        self.entropy.arbitrary().unwrap_or(0)
    }

    /// True once in so many times (2 to 255); never for zeros.
    fn once_in(&mut self, times: u8) -> bool {
        self.byte() > 255 - 255 / times
    }

    fn one_of<T: Clone>(&mut self, times: u8, choices: &[T]) -> Option<T> {
        if self.once_in(times) {
            let at = usize::from(self.byte()) % choices.len();
            Some(choices[at].clone())
        } else {
            None
        }
    }

    fn module(&mut self) -> String {
        let contract = self.contract;
        let mut exports = String::new();
        component::each_export(&contract.resolve, contract.world, |export| {
            self.export(&export, &mut exports);
        });
        let mut imports = String::new();
        for (module, name) in component::resource_makers(&contract.resolve, contract.world) {
            writeln!(
                imports,
                "(import \"{module}\" \"{name}\" (func $leg-new (param i32) (result i32)))"
            )
            .expect("a string grows");
        }
        let realloc = self.realloc();
        let start = self
            .one_of(
                32,
                &[
                    "unreachable",
                    SPIN,
                    GROW,
                    "(memory.fill (i32.const 0) (i32.const 255) (i32.const 65536))",
                ],
            )
            .map(|body| format!("(func $start {body}) (start $start)"))
            .unwrap_or_default();
        let end = self
            .bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(IMAGE_AT, |last| last + 1);
        let image: String = self.bytes[IMAGE_AT..end]
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        format!(
            "(module {imports}
              (memory (export \"memory\") {PAGES})
              (global $heap (mut i32) (i32.const {IMAGE_END}))
              (table $table 1 funcref)
              (data (i32.const {IMAGE_AT}) \"{image}\")
              (func $deeper (param i64 i64) (result i64) (i64.add (call $deeper (local.get 1) (local.get 0)) (i64.const 1)))
              (func $realloc (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) {realloc})
              {exports} {start})"
        )
    }

    fn export(&mut self, export: &Export<'_>, out: &mut String) {
        // What the loader asks is mostly answered honestly, or nothing else would ever be asked.
        let loader = matches!(
            export.short.as_str(),
            "descriptor#spec" | "answer#rejection-markup" | "trunks#trunk-fields" | "descriptor#config-loader"
        );
        self.honest = loader && self.entropy.arbitrary::<u8>().unwrap_or(0) < 240;
        self.url = if export.short == "events#endpoint" {
            "wss://api.example.com/v1"
        } else {
            "https://api.example.com/v1"
        };
        let before = self.misdeed(export);
        let result = if export.returns_pointer {
            let ty = export
                .function
                .result
                .expect("what is returned through memory has a type");
            let at = self.place(&ty, &export.function.name);
            match self.one_of(24, &[0xffff_ffff_u32, 0xffff_fff0, 0x8000_0000, 262_140, 1, 65_537]) {
                Some(wild) => format!("(i32.const {})", wild.cast_signed()),
                None => format!("(i32.const {at})"),
            }
        } else if export.results.is_empty() {
            String::new()
        } else {
            let handle = self.one_of(
                8,
                &["(i32.const 0)", "(i32.const 1)", "(i32.const -1)", "(i32.const 7)"],
            );
            handle.unwrap_or("(call $leg-new (i32.const 1))").to_owned()
        };
        let (name, params) = (&export.name, component::types("param", &export.params));
        let results = component::types("result", &export.results);
        writeln!(out, "(func (export \"{name}\") {params} {results} {before} {result})").expect("a string grows");
        if export.returns_pointer
            && let Some(body) = self.one_of(
                12,
                &[
                    "",
                    "",
                    "unreachable",
                    SPIN,
                    GROW,
                    "(memory.fill (i32.const 0) (i32.const 255) (i32.const 65536))",
                ],
            )
        {
            let params = component::types("param", &export.results);
            writeln!(out, "(func (export \"cabi_post_{name}\") {params} {body})").expect("a string grows");
        }
        self.honest = false;
    }

    /// What an export does before it returns; mostly nothing.
    fn misdeed(&mut self, export: &Export<'_>) -> String {
        if !self.once_in(6) {
            return String::new();
        }
        let (address, value) = (self.word() % 262_144, self.word());
        match self.byte() % 16 {
            0 => "unreachable".to_owned(),
            1 if self.once_in(3) => SPIN.to_owned(),
            2 => GROW.to_owned(),
            3 => "(drop (call $deeper (i64.const 1) (i64.const 2)))".to_owned(),
            4 => "(loop $again (drop (call $leg-new (i32.const 1))) (br $again))".to_owned(),
            5 => "(drop (table.grow $table (ref.null func) (i32.const 100000)))".to_owned(),
            6 => "(drop (i32.div_u (i32.const 1) (i32.const 0)))".to_owned(),
            7 => "(call_indirect $table (i32.const 0))".to_owned(),
            // Everything that it was given, wherever its own results are.
            8 if export.params.first() == Some(&"i32") => format!(
                "(memory.copy (i32.const {IMAGE_AT}) (i32.and (local.get 0) (i32.const 0xffff)) (i32.const 4096))"
            ),
            9 => format!(
                "(memory.fill (i32.const {}) (i32.const {}) (i32.const 512))",
                address % 65_000,
                value & 0xff
            ),
            _ => format!(
                "(i32.store (i32.const {}) (i32.const {}))",
                address & 0xfffc,
                value.cast_signed()
            ),
        }
    }

    fn realloc(&mut self) -> String {
        const BUMP: &str = "(local $at i32)
            (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
            (global.set $heap (i32.add (local.get $at) (local.get 3)))
            (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))) (then
              (if (i32.eq (memory.grow (i32.const 32)) (i32.const -1)) (then unreachable))))";
        let lie = self.one_of(
            10,
            &[
                "(i32.const 0)",
                "(i32.const -1)",
                "(i32.const 262143)",
                "(i32.const 70001)",
                "(i32.const 1024)",
                "(i32.sub (local.get $at) (i32.const 8))",
                "(i32.add (local.get $at) (i32.const 1))",
                "unreachable",
                "(loop $again (br $again)) unreachable",
                "(call $realloc (local.get 0) (local.get 1) (local.get 2) (local.get 3))",
                "(drop (memory.grow (i32.const 300))) (local.get $at)",
            ],
        );
        format!("{BUMP} {}", lie.unwrap_or("(local.get $at)"))
    }

    /// Room for something, and its address.
    fn room(&mut self, size: usize, align: usize) -> usize {
        let at = self.next.next_multiple_of(align.max(1));
        if at + size > IMAGE_END {
            // Out of room: results overlap, which is one more way to be odd.
            return IMAGE_AT;
        }
        self.next = at + size;
        at
    }

    fn place(&mut self, ty: &Type, hint: &str) -> usize {
        let sizes = &self.contract.sizes;
        let at = self.room(sizes.size(ty).size_wasm32(), sizes.align(ty).align_wasm32());
        self.lay(ty, at, hint);
        at
    }

    fn store(&mut self, at: usize, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(at..at + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    }

    /// Writes a value of this type; the hint is the name of the field that it is for.
    fn lay(&mut self, ty: &Type, at: usize, hint: &str) {
        match ty {
            Type::Bool => {
                let value = self.byte().max(u8::from(hint == "sensitive"));
                self.store(at, &[value]);
            }
            Type::U8 | Type::S8 => {
                let value = self.byte();
                self.store(at, &[value]);
            }
            Type::U16 | Type::S16 => {
                let wild = self.one_of(10, &[0, 1, 99, 101, 599, 600, u16::MAX]);
                let value = wild.unwrap_or(match hint {
                    "status" => 200,
                    _ => 20,
                });
                self.store(at, &value.to_le_bytes());
            }
            Type::U32 | Type::S32 => {
                let wild = self.one_of(10, &[0, 1, 7_999, 86_400_001, u32::MAX]);
                let value = wild.unwrap_or(if hint == "lifetime-s" { 60 } else { 8_000 });
                self.store(at, &value.to_le_bytes());
            }
            Type::U64 | Type::S64 => {
                let wild = self.one_of(10, &[u64::MAX, 1 << 63, 1 << 32]);
                self.store(at, &wild.unwrap_or(1).to_le_bytes());
            }
            Type::String => self.lay_string(at, hint),
            Type::Id(id) => self.lay_defined(*id, at, hint),
            _ => {}
        }
    }

    fn lay_string(&mut self, at: usize, hint: &str) {
        let text: Vec<u8> = match self.one_of(10, TEXTS) {
            Some(text) => text.to_vec(),
            None if hint == "url" => self.url.as_bytes().to_vec(),
            None => honest_text(hint).as_bytes().to_vec(),
        };
        let address = self.room(text.len(), 1);
        self.store(address, &text);
        self.lay_slice(at, address, text.len());
    }

    /// A pointer and a length, which may be lies.
    fn lay_slice(&mut self, at: usize, address: usize, length: usize) {
        let wild = self.one_of(24, WILD);
        let address = wild.unwrap_or(u32::try_from(address).unwrap_or(u32::MAX));
        let wild = self.one_of(24, WILD);
        let length = wild.unwrap_or(u32::try_from(length).unwrap_or(u32::MAX));
        self.store(at, &address.to_le_bytes());
        self.store(at + 4, &length.to_le_bytes());
    }

    fn lay_tag(&mut self, tag: Int, at: usize, case: usize) {
        let wild = self.one_of(24, &[2_u32, 9, 127, 255, 256, 0x1_0000, u32::MAX]);
        let value = wild.unwrap_or(u32::try_from(case).unwrap_or(0));
        let width = match tag {
            Int::U8 => 1,
            Int::U16 => 2,
            Int::U32 | Int::U64 => 4,
        };
        self.store(at, &value.to_le_bytes()[..width]);
    }

    fn lay_defined(&mut self, id: wit_parser::TypeId, at: usize, hint: &str) {
        let contract = self.contract;
        let (resolve, sizes) = (&contract.resolve, &contract.sizes);
        let definition = &resolve.types[id];
        match &definition.kind {
            TypeDefKind::Type(aliased) => {
                let hint = if definition.name.as_deref() == Some("json") {
                    "json"
                } else {
                    hint
                };
                self.lay(aliased, at, hint);
            }
            TypeDefKind::Record(record) => {
                let offsets = sizes.field_offsets(record.fields.iter().map(|field| &field.ty));
                for (field, (offset, ty)) in record.fields.iter().zip(offsets) {
                    self.lay(ty, at + offset.size_wasm32(), &field.name);
                }
            }
            TypeDefKind::Tuple(tuple) => {
                for (offset, ty) in sizes.field_offsets(tuple.types.iter()) {
                    self.lay(ty, at + offset.size_wasm32(), hint);
                }
            }
            TypeDefKind::Enum(cases) => {
                let honest = usize::from(hint == "kind");
                let case = match self.byte() {
                    0 => honest,
                    byte => usize::from(byte) % cases.cases.len(),
                };
                self.lay_tag(cases.tag(), at, case);
            }
            TypeDefKind::Option(some) => {
                let present = self.byte() > 127;
                self.lay_tag(Int::U8, at, usize::from(present));
                let offset = sizes.payload_offset(Int::U8, [None, Some(some)]).size_wasm32();
                if present {
                    self.lay(some, at + offset, hint);
                }
            }
            TypeDefKind::Result(result) => {
                let failed = self.byte() > 127;
                self.lay_tag(Int::U8, at, usize::from(failed));
                let cases = [result.ok.as_ref(), result.err.as_ref()];
                let offset = sizes.payload_offset(Int::U8, cases).size_wasm32();
                if let Some(ty) = cases[usize::from(failed)] {
                    self.lay(ty, at + offset, hint);
                }
            }
            TypeDefKind::Variant(variant) => {
                let case = usize::from(self.byte()) % variant.cases.len();
                self.lay_tag(variant.tag(), at, case);
                let types = variant.cases.iter().map(|case| case.ty.as_ref());
                let offset = sizes.payload_offset(variant.tag(), types).size_wasm32();
                if let Some(ty) = &variant.cases[case].ty {
                    self.lay(ty, at + offset, &variant.cases[case].name);
                }
            }
            TypeDefKind::List(element) => {
                let honest = usize::from(matches!(hint, "formats" | "fields" | "egress-hosts"));
                let count = match self.byte() {
                    0..128 => honest,
                    byte @ 128..250 => usize::from(byte % 4),
                    _ => 65,
                };
                let (size, align) = (sizes.size(element).size_wasm32(), sizes.align(element).align_wasm32());
                let first = self.room(size * count, align);
                for index in 0..count {
                    self.lay(element, first + index * size, hint);
                }
                self.lay_slice(at, first, count);
            }
            // Resources are handles; the contract returns none but the leg, which is no memory.
            _ => {}
        }
    }
}

const SPIN: &str = "(loop $again (br $again))";
const GROW: &str = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))";

/// Pointers and lengths that are odd: beyond the end, at the end, wrapping, misaligned, or where the arguments are.
const WILD: &[u32] = &[
    0,
    1,
    3,
    1025,
    65_535,
    65_536,
    65_552,
    262_143,
    262_144,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff8,
    0xffff_ffff,
];

/// Texts that are odd: no UTF-8, control characters, markup, JSON that nests, hosts that nobody declared.
const TEXTS: &[&[u8]] = &[
    b"",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"a\r\nb: c",
    b"\0",
    b"\x1b[2J",
    b"<Dial>&lt;![CDATA[",
    b"\"}],\"x\":[{",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"1e999",
    b"http://169.254.169.254/latest/meta-data/",
    b"https://api.example.com@127.0.0.1/",
    b"//",
    b"\xe2\x80\xae",
    b"TRACE",
    b"host",
    b"content-length",
    &[b'x'; 300],
    &[b'9'; 4_096],
];

fn honest_text(hint: &str) -> &'static str {
    match hint {
        "name" | "field" => "secret",
        "version" => "0.1.0",
        "json" => "{}",
        "method" => "GET",
        "egress-hosts" => "api.example.com",
        "code" => "call-not-found",
        "amount" => "0.01",
        "currency" => "EUR",
        "dtmf" => "5",
        "account-id-field" | "subprotocol" => "",
        _ => "a",
    }
}
