//! The contract as data: how each named type is made, and what each function takes and gives.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use wit_parser::{FunctionKind, Handle, Resolve, Type, TypeDefKind};

use crate::{HEADER, interfaces};

pub(crate) fn write(resolve: &Resolve) -> Result<String> {
    let mut types = BTreeMap::new();
    let mut functions = BTreeMap::new();
    for (interface, contents) in interfaces(resolve) {
        for (name, id) in &contents.types {
            let shape = match &resolve.types[*id].kind {
                // Declared elsewhere, or known by its methods.
                TypeDefKind::Type(Type::Id(_)) | TypeDefKind::Resource => continue,
                // A document is not any text.
                TypeDefKind::Type(Type::String) if name == "json" => json!("json"),
                TypeDefKind::Type(other) => spell(resolve, other)?,
                TypeDefKind::Record(record) => {
                    let fields = record
                        .fields
                        .iter()
                        .map(|field| Ok(json!([field.name, spell(resolve, &field.ty)?])));
                    json!({ "record": fields.collect::<Result<Vec<_>>>()? })
                }
                TypeDefKind::Variant(variant) => {
                    let cases = variant.cases.iter().map(|case| {
                        let payload = case.ty.as_ref().map(|ty| spell(resolve, ty)).transpose()?;
                        Ok(json!([case.name, payload]))
                    });
                    json!({ "variant": cases.collect::<Result<Vec<_>>>()? })
                }
                TypeDefKind::Enum(words) => {
                    let cases: Vec<&str> = words.cases.iter().map(|case| case.name.as_str()).collect();
                    json!({ "enum": cases })
                }
                other => bail!(
                    "the type {name} is a {}, which the SDK has no spelling for",
                    other.as_str()
                ),
            };
            if types.insert(name.clone(), shape).is_some() {
                bail!("two types are called {name}, and the SDK has one name for each");
            }
        }
        for function in contents.functions.values() {
            let name = match function.kind {
                FunctionKind::Constructor(id) => resolve.types[id].name.clone().unwrap_or_default(),
                _ => function.item_name().to_owned(),
            };
            let parameters = function
                .params
                .iter()
                .filter(|parameter| !is_handle(resolve, &parameter.ty))
                .map(|parameter| Ok(json!([parameter.name, spell(resolve, &parameter.ty)?])))
                .collect::<Result<Vec<_>>>()?;
            let result = match (&function.kind, &function.result) {
                // A constructor gives its resource, which is no value.
                (FunctionKind::Constructor(_), _) | (_, None) => Value::Null,
                (_, Some(ty)) => spell(resolve, ty)?,
            };
            functions.insert(
                format!("{interface}.{name}"),
                json!({ "parameters": parameters, "result": result }),
            );
        }
    }
    let mut out = format!(
        "{HEADER}\nimport type {{ FunctionShape, Shape }} from \"./value.ts\";\n\n\
         /** How each named type is made. */\nexport const types: Record<string, Shape> = {{\n"
    );
    lines(&mut out, &types);
    out.push_str(
        "};\n\n/** What each function takes and gives. */\nexport const functions: Record<string, FunctionShape> = {\n",
    );
    lines(&mut out, &functions);
    out.push_str("};\n");
    Ok(out)
}

fn lines(out: &mut String, entries: &BTreeMap<String, Value>) {
    for (name, value) in entries {
        out.push_str(&format!("  \"{name}\": {value},\n"));
    }
}

/// A primitive or a named type is its name.
fn spell(resolve: &Resolve, ty: &Type) -> Result<Value> {
    Ok(match ty {
        Type::Bool => json!("bool"),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::S8 | Type::S16 | Type::S32 | Type::S64 => json!("integer"),
        Type::String => json!("string"),
        Type::Id(id) => {
            let ty = &resolve.types[*id];
            match (&ty.name, &ty.kind) {
                (Some(name), _) => json!(name),
                (None, TypeDefKind::List(Type::U8)) => json!("bytes"),
                (None, TypeDefKind::List(item)) => json!({ "list": spell(resolve, item)? }),
                (None, TypeDefKind::Option(inner)) => json!({ "option": spell(resolve, inner)? }),
                (None, TypeDefKind::Tuple(tuple)) => {
                    let items = tuple.types.iter().map(|ty| spell(resolve, ty));
                    json!({ "tuple": items.collect::<Result<Vec<_>>>()? })
                }
                (None, TypeDefKind::Result(result)) => {
                    let side = |ty: &Option<Type>| ty.as_ref().map(|ty| spell(resolve, ty)).transpose();
                    json!({ "result": [side(&result.ok)?, side(&result.err)?] })
                }
                (None, other) => bail!("the SDK has no spelling for {} without a name", other.as_str()),
            }
        }
        other => bail!("the SDK has no spelling for {other:?}"),
    })
}

fn is_handle(resolve: &Resolve, ty: &Type) -> bool {
    matches!(ty, Type::Id(id) if matches!(resolve.types[*id].kind, TypeDefKind::Handle(Handle::Borrow(_))))
}
