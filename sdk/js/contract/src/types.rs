//! The contract as TypeScript declarations.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use wit_parser::{Docs, Function, FunctionKind, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, TypeId};

use crate::{HEADER, camel, interfaces, pascal};

/// Longest line before a union is written in several.
const LINE_CHARS_MAX: usize = 120;

pub(crate) fn write(resolve: &Resolve) -> Result<String> {
    let mut out = format!(
        "{HEADER}//\n// A record is an object, a variant `{{ tag, val }}`, an enumeration its word, an option the value or null; bytes are a\n\
         // Uint8Array, and integers of 64 bits are numbers, exact up to 2^53. What the contract calls an error is thrown.\n"
    );
    for (name, interface) in interfaces(resolve) {
        for (name, id) in &interface.types {
            declare(&mut out, resolve, name, *id)?;
        }
        exports(&mut out, resolve, name, interface)?;
    }
    Ok(out)
}

fn declare(out: &mut String, resolve: &Resolve, name: &str, id: TypeId) -> Result<()> {
    let ty = &resolve.types[id];
    let name = pascal(name);
    match &ty.kind {
        // What another interface declares has the same name here.
        TypeDefKind::Type(Type::Id(_)) => {}
        TypeDefKind::Type(other) => {
            head(out, ty, "");
            writeln!(out, "export type {name} = {};", spell(resolve, other)?)?;
        }
        TypeDefKind::Record(record) => {
            head(out, ty, "");
            writeln!(out, "export interface {name} {{")?;
            for field in &record.fields {
                docs(out, &field.docs, "  ");
                let optional = if is_option(resolve, &field.ty) { "?" } else { "" };
                writeln!(
                    out,
                    "  {}{optional}: {};",
                    camel(&field.name),
                    spell(resolve, &field.ty)?
                )?;
            }
            writeln!(out, "}}")?;
        }
        TypeDefKind::Enum(words) => {
            head(out, ty, "");
            let cases: Vec<String> = words.cases.iter().map(|case| format!("\"{}\"", case.name)).collect();
            if words.cases.iter().all(|case| case.docs.is_empty()) {
                let line = format!("export type {name} = {};", cases.join(" | "));
                if line.len() <= LINE_CHARS_MAX {
                    writeln!(out, "{line}")?;
                    return Ok(());
                }
            }
            write!(out, "export type {name} =")?;
            for (case, spelled) in words.cases.iter().zip(cases) {
                writeln!(out)?;
                docs(out, &case.docs, "  ");
                write!(out, "  | {spelled}")?;
            }
            writeln!(out, ";")?;
        }
        TypeDefKind::Variant(variant) => {
            head(out, ty, "");
            write!(out, "export type {name} =")?;
            for case in &variant.cases {
                writeln!(out)?;
                docs(out, &case.docs, "  ");
                match &case.ty {
                    Some(ty) => write!(out, "  | {{ tag: \"{}\"; val: {} }}", case.name, spell(resolve, ty)?)?,
                    None => write!(out, "  | {{ tag: \"{}\" }}", case.name)?,
                }
            }
            writeln!(out, ";")?;
        }
        // Written with its methods, among the functions of its interface.
        TypeDefKind::Resource => {}
        other => bail!(
            "the type {name} is a {}, which the SDK has no spelling for",
            other.as_str()
        ),
    }
    Ok(())
}

/// What a component exports for an interface.
fn exports(out: &mut String, resolve: &Resolve, name: &str, interface: &Interface) -> Result<()> {
    if interface.functions.is_empty() {
        return Ok(());
    }
    for (resource, id) in &interface.types {
        let ty = &resolve.types[*id];
        if !matches!(ty.kind, TypeDefKind::Resource) {
            continue;
        }
        head(out, ty, "");
        writeln!(out, "export interface {}Export {{", pascal(resource))?;
        for function in interface.functions.values() {
            if matches!(function.kind, FunctionKind::Method(of) if of == *id) {
                write_function(out, resolve, function)?;
            }
        }
        writeln!(out, "}}")?;
    }
    writeln!(out)?;
    docs(out, &interface.docs, "");
    writeln!(out, "export interface {}Exports {{", pascal(name))?;
    for function in interface.functions.values() {
        match function.kind {
            FunctionKind::Freestanding => write_function(out, resolve, function)?,
            FunctionKind::Constructor(id) => {
                let resource = pascal(resolve.types[id].name.as_deref().unwrap_or_default());
                let parameters = parameters(resolve, function)?;
                writeln!(out, "  {resource}: new ({parameters}) => {resource}Export;")?;
            }
            FunctionKind::Method(_) => {}
            _ => bail!("the SDK has no spelling for functions such as {}", function.name),
        }
    }
    writeln!(out, "}}")?;
    Ok(())
}

fn write_function(out: &mut String, resolve: &Resolve, function: &Function) -> Result<()> {
    docs(out, &function.docs, "  ");
    let result = match &function.result {
        None => "void".to_owned(),
        Some(Type::Id(id)) => match &resolve.types[*id].kind {
            TypeDefKind::Result(result) => {
                // The error is thrown.
                result
                    .ok
                    .as_ref()
                    .map_or_else(|| Ok("void".to_owned()), |ok| spell(resolve, ok))?
            }
            _ => spell(resolve, &Type::Id(*id))?,
        },
        Some(other) => spell(resolve, other)?,
    };
    writeln!(
        out,
        "  {}({}): {result};",
        camel(function.item_name()),
        parameters(resolve, function)?
    )?;
    Ok(())
}

fn parameters(resolve: &Resolve, function: &Function) -> Result<String> {
    let own = function
        .params
        .iter()
        .filter(|parameter| !is_handle(resolve, &parameter.ty))
        .map(|parameter| {
            Ok(format!(
                "{}: {}",
                camel(&parameter.name),
                spell(resolve, &parameter.ty)?
            ))
        });
    Ok(own.collect::<Result<Vec<_>>>()?.join(", "))
}

fn spell(resolve: &Resolve, ty: &Type) -> Result<String> {
    Ok(match ty {
        Type::Bool => "boolean".to_owned(),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::S8 | Type::S16 | Type::S32 | Type::S64 => {
            "number".to_owned()
        }
        Type::F32 | Type::F64 => "number".to_owned(),
        Type::Char | Type::String => "string".to_owned(),
        Type::ErrorContext => bail!("the SDK has no spelling for error contexts"),
        Type::Id(id) => match &resolve.types[*id] {
            TypeDef { name: Some(name), .. } => pascal(name),
            TypeDef {
                kind: TypeDefKind::List(Type::U8),
                ..
            } => "Uint8Array".to_owned(),
            TypeDef {
                kind: TypeDefKind::List(item),
                ..
            } => format!("{}[]", in_list(spell(resolve, item)?)),
            TypeDef {
                kind: TypeDefKind::Option(inner),
                ..
            } => format!("{} | null", spell(resolve, inner)?),
            TypeDef {
                kind: TypeDefKind::Tuple(tuple),
                ..
            } => {
                let items = tuple.types.iter().map(|ty| spell(resolve, ty));
                format!("[{}]", items.collect::<Result<Vec<_>>>()?.join(", "))
            }
            other => bail!("the SDK has no spelling for {} without a name", other.kind.as_str()),
        },
    })
}

fn in_list(item: String) -> String {
    if item.contains(" | ") {
        format!("({item})")
    } else {
        item
    }
}

fn is_option(resolve: &Resolve, ty: &Type) -> bool {
    matches!(ty, Type::Id(id) if matches!(resolve.types[*id].kind, TypeDefKind::Option(_)))
}

fn is_handle(resolve: &Resolve, ty: &Type) -> bool {
    matches!(ty, Type::Id(id) if matches!(resolve.types[*id].kind, TypeDefKind::Handle(Handle::Borrow(_))))
}

/// A blank line and the documentation of a type.
fn head(out: &mut String, ty: &TypeDef, indent: &str) {
    out.push('\n');
    docs(out, &ty.docs, indent);
}

fn docs(out: &mut String, docs: &Docs, indent: &str) {
    let Some(text) = docs.contents.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
        return;
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    match lines.as_slice() {
        [line] => out.push_str(&format!("{indent}/** {line} */\n")),
        lines => {
            out.push_str(&format!("{indent}/**\n"));
            for line in lines {
                out.push_str(format!("{indent} * {line}").trim_end());
                out.push('\n');
            }
            out.push_str(&format!("{indent} */\n"));
        }
    }
}
