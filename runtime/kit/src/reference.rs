//! The reference of the contract, as a page for authors: generated, so that it cannot say anything else than the contract.

use std::path::Path;

use wit_parser::{Docs, Function, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, TypeOwner};

/// The order in which an author meets them, and whether every provider has it.
const INTERFACES: [(&str, bool); 11] = [
    ("descriptor", true),
    ("webhook", true),
    ("answer", true),
    ("media", true),
    ("calling", false),
    ("detection", false),
    ("numbers", false),
    ("transfer", false),
    ("setup", false),
    ("trunks", false),
    ("events", false),
];

const PREFACE: &str = "\
# Reference of the contract

Generated from `wit/` by `just provider-reference`; change it there. What an author does with it is in the
[tutorial](tutorial.md) and the [checklist](checklist.md).

A provider exports the first four interfaces, and of the others those that its carrier has: an ability exists when its
interface is exported. It imports `types`, which has no functions. Every function is pure: the same arguments give the same
result, whatever came before. Values that are too long, too many or malformed cost the call that is served, never the
gateway; the numbers are in [limits.md](../limits.md).

## How values are written in cases

Recorded cases, `strowger provider invoke` and recordings write values of the contract in JSON:

| contract | JSON |
|---|---|
| record | object with the names of the contract; `null` and absent are the same |
| option | the value, or `null` |
| variant | `{\"case\": payload}`; `\"case\"` without payload |
| enum | `\"case\"` |
| flags | array of names |
| result | `{\"ok\": value}` or `{\"err\": value}` |
| tuple, list | array; a list that is absent is empty |
| `list<u8>` | text, standing for its UTF-8 bytes, or `{\"base64\": \"…\"}` |
| string | text; anything else that JSON knows stands for its own JSON text, which is how documents are embedded |

An operation that may ask for effects has `replies` as its last parameter and an `interruption` as its error. It is called
with no replies first. When it returns `perform(effect)`, the runtime does what it asks, and calls it again, in a fresh
instance, with the reply appended. The SDKs hide this behind straight-line code.
";

/// The page, from the folder of the contract.
///
/// # Errors
/// Says what is wrong with the folder.
pub fn markdown(contract: &Path) -> Result<String, String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(contract).map_err(|error| format!("{error:#}"))?;
    let interface = |name: &str| -> Result<&Interface, String> {
        let id = resolve.packages[package]
            .interfaces
            .get(name)
            .ok_or_else(|| format!("{}: there is no interface `{name}`", contract.display()))?;
        Ok(&resolve.interfaces[*id])
    };
    let mut page = Page {
        resolve: &resolve,
        text: PREFACE.to_owned(),
    };
    let known = resolve.packages[package].interfaces.keys();
    for name in known.filter(|name| *name != "types") {
        if !INTERFACES.iter().any(|(known, _)| known == name) {
            return Err(format!(
                "the interface `{name}` has no place on the page; add it to INTERFACES"
            ));
        }
    }
    page.line("\n## Interfaces\n");
    page.line("| interface | | functions |\n|---|---|---|");
    for (name, required) in INTERFACES {
        let functions: Vec<String> = interface(name)?
            .functions
            .values()
            .map(|function| {
                let short = short(function);
                format!("[`{short}`](#{})", anchor(&format!("{name}.{short}")))
            })
            .collect();
        let kind = if required { "required" } else { "ability" };
        page.line(&format!("| [`{name}`](#{name}) | {kind} | {} |", functions.join(", ")));
    }
    for (name, _) in INTERFACES {
        page.interface(name, interface(name)?);
    }
    page.interface("types", interface("types")?);
    Ok(page.text)
}

struct Page<'a> {
    resolve: &'a Resolve,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn docs(&mut self, docs: &Docs) {
        if let Some(docs) = &docs.contents {
            self.line(&format!("\n{}", docs.trim()));
        }
    }

    fn interface(&mut self, name: &str, interface: &Interface) {
        self.line(&format!("\n## {name}"));
        self.docs(&interface.docs);
        for function in interface.functions.values() {
            self.function(name, function);
        }
        for (name, id) in &interface.types {
            let definition = &self.resolve.types[*id];
            // A name that stands for one of `types` is told there.
            let elsewhere = matches!(&definition.kind, TypeDefKind::Type(Type::Id(other))
                if self.resolve.types[*other].owner != definition.owner);
            if !elsewhere {
                self.definition(name, definition);
            }
        }
    }

    fn function(&mut self, interface: &str, function: &Function) {
        self.line(&format!("\n### {interface}.{}", short(function)));
        let parameters: Vec<String> = function
            .params
            .iter()
            .filter(|parameter| parameter.name != "self")
            .map(|parameter| format!("{}: {}", parameter.name, self.ty(&parameter.ty)))
            .collect();
        let result = function
            .result
            .as_ref()
            .map_or(String::new(), |ty| format!("\n  -> {}", self.ty(ty)));
        self.line(&format!(
            "\n```wit\n{}({}){result}\n```",
            short(function),
            parameters.join(", ")
        ));
        self.docs(&function.docs);
    }

    fn definition(&mut self, name: &str, definition: &TypeDef) {
        self.line(&format!("\n### {} {name}", definition.kind.as_str()));
        self.docs(&definition.docs);
        let rows: Vec<(String, String, &Docs)> = match &definition.kind {
            TypeDefKind::Record(record) => record
                .fields
                .iter()
                .map(|field| (field.name.clone(), self.ty(&field.ty), &field.docs))
                .collect(),
            TypeDefKind::Variant(variant) => variant
                .cases
                .iter()
                .map(|case| {
                    let payload = case.ty.as_ref().map_or(String::new(), |ty| self.ty(ty));
                    (case.name.clone(), payload, &case.docs)
                })
                .collect(),
            TypeDefKind::Enum(names) => names
                .cases
                .iter()
                .map(|case| (case.name.clone(), String::new(), &case.docs))
                .collect(),
            TypeDefKind::Resource => Vec::new(),
            _ => {
                let body = self.body(definition);
                return self.line(&format!("\n`{body}`"));
            }
        };
        if rows.is_empty() {
            return;
        }
        self.line(match definition.kind {
            TypeDefKind::Record(_) => "\n| field | type | |\n|---|---|---|",
            TypeDefKind::Variant(_) => "\n| case | with | |\n|---|---|---|",
            _ => "\n| case | |\n|---|---|",
        });
        let is_enum = matches!(definition.kind, TypeDefKind::Enum(_));
        for (name, ty, docs) in rows {
            let docs = docs.contents.as_deref().unwrap_or_default().trim();
            let docs = docs.replace('\n', " ").replace('|', "\\|");
            self.line(&match (is_enum, ty.is_empty()) {
                (true, _) => format!("| `{name}` | {docs} |"),
                (false, true) => format!("| `{name}` | | {docs} |"),
                (false, false) => format!("| `{name}` | `{ty}` | {docs} |"),
            });
        }
    }

    fn ty(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "bool".to_owned(),
            Type::U8 => "u8".to_owned(),
            Type::U16 => "u16".to_owned(),
            Type::U32 => "u32".to_owned(),
            Type::U64 => "u64".to_owned(),
            Type::S8 => "s8".to_owned(),
            Type::S16 => "s16".to_owned(),
            Type::S32 => "s32".to_owned(),
            Type::S64 => "s64".to_owned(),
            Type::F32 => "f32".to_owned(),
            Type::F64 => "f64".to_owned(),
            Type::Char => "char".to_owned(),
            Type::String => "string".to_owned(),
            Type::ErrorContext => "error-context".to_owned(),
            Type::Id(id) => {
                let definition = &self.resolve.types[*id];
                match (&definition.name, definition.owner) {
                    (Some(name), TypeOwner::Interface(_)) => name.clone(),
                    _ => self.body(definition),
                }
            }
        }
    }

    /// A type that has no name of its own.
    fn body(&self, definition: &TypeDef) -> String {
        let maybe = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |ty| self.ty(ty));
        match &definition.kind {
            TypeDefKind::Option(ty) => format!("option<{}>", self.ty(ty)),
            TypeDefKind::List(ty) => format!("list<{}>", self.ty(ty)),
            TypeDefKind::Result(result) => format!("result<{}, {}>", maybe(&result.ok), maybe(&result.err)),
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<String> = tuple.types.iter().map(|ty| self.ty(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Type(ty) => self.ty(ty),
            TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => {
                self.resolve.types[*id].name.clone().unwrap_or_default()
            }
            // Kinds that the contract does not use.
            other => other.as_str().to_owned(),
        }
    }
}

/// A function without the name of its resource: `[method]leg.deserialize-frame` is `deserialize-frame`.
fn short(function: &Function) -> &str {
    match function.name.split_once(']') {
        Some(("[constructor", resource)) => resource,
        Some((_, rest)) => rest.rsplit('.').next().unwrap_or(rest),
        None => &function.name,
    }
}

/// The anchor of a heading, as it is made where Markdown is shown.
fn anchor(heading: &str) -> String {
    heading.replace('.', "")
}
