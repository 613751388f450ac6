//! What a component is made of, read before anything of it is compiled or run.
//!
//! The file is a stranger's. It is read once, from front to back, in time that grows with its size, and whatever is counted is
//! held against its bound before more of it is read. What is refused here costs milliseconds; it could cost the compiler
//! minutes. Function bodies are only measured: the compiler validates them.

use serde::Serialize;
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, Encoding, Instance, Operator, Parser, Payload, Validator, WasmFeatures,
};

use crate::error::LoadError;
use crate::inert;
use crate::limits::{Class, Limits};
use crate::provider::{PACKAGE, VERSION};

/// The largest component file.
pub const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

const PAGE_BYTES: u64 = 64 * 1024;

/// How much there is of everything that costs the host something: in the file, and in each instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Core modules.
    pub core_modules: u64,
    /// How deep components are nested: 1 is a component in the component.
    pub nesting: u64,
    /// Functions with a body.
    pub functions: u64,
    /// What core modules import, the component's own shims included.
    pub core_imports: u64,
    /// Globals.
    pub globals: u64,
    /// Data and element segments.
    pub segments: u64,
    /// Bytes of type definitions.
    pub type_bytes: u64,
    /// Bytes of everything that is neither code, nor data, nor a custom section.
    pub definition_bytes: u64,
    /// Bytes of the largest function body.
    pub function_bytes: u64,
    /// Branch targets of the largest function's tables.
    pub branch_targets: u64,
    /// Bytes of custom sections: names, debug information.
    pub custom_bytes: u64,
    /// What every instance needs.
    #[serde(flatten)]
    pub instance: Demand,
}

/// What one instance needs before anything has run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Demand {
    /// Instances of core modules.
    pub core_instances: u64,
    /// Those of them that belong to a nested component: the engine puts code of its own between them and the others.
    pub nested_core_instances: u64,
    /// Instances of nested components.
    pub component_instances: u64,
    /// Memories.
    pub memories: u64,
    /// Bytes of all memories.
    pub memory_bytes: u64,
    /// Tables.
    pub tables: u64,
    /// Elements of all tables.
    pub table_elements: u64,
}

impl Demand {
    /// A component may instantiate another a thousand times, and that one a third: nobody counts that by one and one.
    fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.core_instances, other.core_instances),
            (&mut self.nested_core_instances, other.nested_core_instances),
            (&mut self.component_instances, other.component_instances),
            (&mut self.memories, other.memories),
            (&mut self.memory_bytes, other.memory_bytes),
            (&mut self.tables, other.tables),
            (&mut self.table_elements, other.table_elements),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// A bound on one count: what fits a pool slot, and what is refused altogether.
struct Bound {
    what: &'static str,
    of: fn(&Counts) -> u64,
    compact: u64,
    max: u64,
    mend: &'static str,
}

/// A slot of the pool, as the engine shares it out.
pub(crate) const SLOT_CORE_INSTANCES: u32 = 4;
pub(crate) const SLOT_MEMORIES: u32 = 2;
pub(crate) const SLOT_TABLES: u32 = 4;

/// Compiled languages stay far below the first number. The second is a few times what the largest known interpreter needs
/// (CPython with its libraries: 38 core modules, 13 500 functions, the largest of 417 KiB with 15 800 branch targets), and what keeps reading, compiling
/// and instantiating cheap.
const BOUNDS: [Bound; 18] = [
    bound("core modules", |n| n.core_modules, 4, 128, STATIC),
    bound(
        "core instances",
        |n| n.instance.core_instances,
        SLOT_CORE_INSTANCES as u64,
        128,
        STATIC,
    ),
    bound(
        "core instances in nested components",
        |n| n.instance.nested_core_instances,
        0,
        32,
        ONE_COMPONENT,
    ),
    bound(
        "instances of nested components",
        |n| n.instance.component_instances,
        64,
        64,
        ONE_COMPONENT,
    ),
    bound("levels of nested components", |n| n.nesting, 1, 3, ONE_COMPONENT),
    bound("memories", |n| n.instance.memories, SLOT_MEMORIES as u64, 8, STATIC),
    bound(
        "bytes of memory at the start",
        |n| n.instance.memory_bytes,
        Limits::MEDIA.memory_bytes_max as u64,
        Limits::control(Class::Interpreted).memory_bytes_max as u64,
        "make static data and the initial heap smaller",
    ),
    bound("tables", |n| n.instance.tables, SLOT_TABLES as u64, 16, STATIC),
    bound(
        "table elements at the start",
        |n| n.instance.table_elements,
        Limits::CONTROL.table_elements_max as u64,
        Limits::control(Class::Interpreted).table_elements_max as u64,
        UNUSED,
    ),
    bound("functions", |n| n.functions, 8_000, 60_000, UNUSED),
    bound("imports of core modules", |n| n.core_imports, 4_000, 50_000, STATIC),
    bound("globals", |n| n.globals, 4_000, 50_000, STATIC),
    bound(
        "data and element segments",
        |n| n.segments,
        4_000,
        50_000,
        "merge data segments when linking",
    ),
    bound(
        "bytes of type definitions",
        |n| n.type_bytes,
        1 << 20,
        2 << 20,
        "use the contract's types alone",
    ),
    bound(
        "bytes of definitions",
        |n| n.definition_bytes,
        4 << 20,
        16 << 20,
        UNUSED,
    ),
    bound("bytes in one function", |n| n.function_bytes, 512 << 10, 1 << 20, SPLIT),
    bound(
        "branch targets in one function",
        |n| n.branch_targets,
        16 << 10,
        64 << 10,
        SPLIT,
    ),
    bound(
        "bytes of custom sections",
        |n| n.custom_bytes,
        16 << 20,
        16 << 20,
        "strip debug information, with `wasm-tools strip` for example",
    ),
];

const STATIC: &str = "link the program statically, into one module";
const ONE_COMPONENT: &str = "build one component instead of a composition of several";
const UNUSED: &str = "leave out what is never called";
const SPLIT: &str = "split the function; a large table belongs into data";

const fn bound(what: &'static str, of: fn(&Counts) -> u64, compact: u64, max: u64, mend: &'static str) -> Bound {
    Bound {
        what,
        of,
        compact,
        max,
        mend,
    }
}

/// What a component is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Structure {
    /// Which engine it runs in, and under which limits.
    pub class: Class,
    /// Its imports, all on the inert list, sorted.
    pub imports: Vec<String>,
    /// Its exports, sorted.
    pub exports: Vec<String>,
    /// What was counted.
    pub counts: Counts,
}

impl Structure {
    /// Reads a component.
    ///
    /// # Errors
    /// What makes the file unfit: it is no component, of another version of the contract, imports what it may not, or has
    /// more of something than any honest component.
    pub fn read(bytes: &[u8]) -> Result<Self, LoadError> {
        if bytes.len() > COMPONENT_BYTES_MAX {
            return Err(LoadError::TooLarge {
                bytes: bytes.len(),
                max: COMPONENT_BYTES_MAX,
            });
        }
        match bytes {
            [0, b'a', b's', b'm', 1, _, 0, _, ..] => return Err(LoadError::CoreModule),
            [0, b'a', b's', b'm', _, _, _, _, ..] => {}
            [0, b'a', b's', b'm', ..] => {
                return Err(LoadError::Invalid("it ends within its first eight bytes".to_owned()));
            }
            _ => return Err(LoadError::NotWasm),
        }
        let mut reader = Reader::default();
        reader.read(bytes)?;
        reader.finish()
    }

    /// Whether it exports an interface of the contract, in the version spoken here.
    #[must_use]
    pub fn exports_interface(&self, interface: &str) -> bool {
        let name = format!("{PACKAGE}{interface}{VERSION}");
        self.exports.binary_search(&name).is_ok()
    }
}

/// What is known while reading.
#[derive(Default)]
struct Reader {
    counts: Counts,
    imports: Vec<(String, bool)>,
    exports: Vec<String>,
    /// The components that the reader is in, the outermost first.
    components: Vec<Scope>,
    in_module: bool,
}

/// A component, as far as it was read.
#[derive(Default)]
struct Scope {
    /// What one instance of each of its core modules needs.
    modules: Vec<Demand>,
    /// What one instance of each of its nested components needs.
    nested: Vec<Demand>,
    /// What one instance of itself needs.
    demand: Demand,
}

/// What the engine's compiler accepts, so that the rest is told before it is started.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::CALL_INDIRECT_OVERLONG
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::COMPONENT_MODEL
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        let mut validator = Validator::new_with_features(features());
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(damaged)?;
            self.count(&payload)?;
            self.hold_bounds()?;
            // Bodies are validated by whoever compiles them.
            validator.payload(&payload).map_err(damaged)?;
        }
        Ok(())
    }

    /// Whether the reader is in the outermost component itself.
    fn is_outside(&self) -> bool {
        self.components.len() == 1 && !self.in_module
    }

    fn count(&mut self, payload: &Payload<'_>) -> Result<(), LoadError> {
        let counts = &mut self.counts;
        if let Some((_, range)) = payload.as_section() {
            let length = (range.end - range.start) as u64;
            match payload {
                Payload::CustomSection(_) => counts.custom_bytes += length,
                Payload::CodeSectionStart { .. }
                | Payload::CodeSectionEntry(_)
                | Payload::DataSection(_)
                | Payload::ModuleSection { .. }
                | Payload::ComponentSection { .. } => {}
                Payload::TypeSection(_) | Payload::CoreTypeSection(_) | Payload::ComponentTypeSection(_) => {
                    counts.type_bytes += length;
                    counts.definition_bytes += length;
                }
                _ => counts.definition_bytes += length,
            }
        }
        match payload {
            Payload::Version { encoding, .. } => match encoding {
                Encoding::Module => {
                    counts.core_modules += 1;
                    self.in_module = true;
                    self.scope()?.modules.push(Demand::default());
                }
                Encoding::Component => {
                    counts.nesting = counts.nesting.max(self.components.len() as u64);
                    self.components.push(Scope::default());
                }
            },
            Payload::End(_) if self.in_module => self.in_module = false,
            Payload::End(_) => {
                // The outermost stays: what it needs is what the file needs.
                if self.components.len() > 1
                    && let Some(scope) = self.components.pop()
                {
                    self.scope()?.nested.push(Demand {
                        nested_core_instances: scope.demand.core_instances,
                        component_instances: scope.demand.component_instances + 1,
                        ..scope.demand
                    });
                }
            }
            Payload::ImportSection(section) => {
                // Imports come in compact groups as well, each of which counts for as many as it has.
                for import in section.clone().into_imports() {
                    import.map_err(damaged)?;
                    self.counts.core_imports += 1;
                    self.hold_bounds()?;
                }
            }
            Payload::FunctionSection(section) => counts.functions += u64::from(section.count()),
            Payload::GlobalSection(section) => counts.globals += u64::from(section.count()),
            Payload::DataSection(section) => counts.segments += u64::from(section.count()),
            Payload::ElementSection(section) => counts.segments += u64::from(section.count()),
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let memory = memory.map_err(damaged)?;
                    let needs = self.module()?;
                    needs.memories += 1;
                    needs.memory_bytes = needs
                        .memory_bytes
                        .saturating_add(memory.initial.saturating_mul(PAGE_BYTES));
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    let table = table.map_err(damaged)?;
                    self.module()?.add(&Demand {
                        tables: 1,
                        table_elements: table.ty.initial,
                        ..Demand::default()
                    });
                }
            }
            Payload::CodeSectionEntry(body) => {
                counts.function_bytes = counts.function_bytes.max(body.range().len() as u64);
                let mut targets = 0;
                let mut operators = body.get_operators_reader().map_err(damaged)?;
                while !operators.eof() {
                    if let Operator::BrTable { targets: table } = operators.read().map_err(damaged)? {
                        targets += u64::from(table.len());
                    }
                }
                counts.branch_targets = counts.branch_targets.max(targets);
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance.map_err(damaged)? {
                        let scope = self.scope()?;
                        let module = scope.modules.get(module_index as usize).ok_or_else(not_its_own)?;
                        scope.demand.add(&Demand {
                            core_instances: 1,
                            ..*module
                        });
                        self.hold_bounds()?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance.map_err(damaged)? {
                        let scope = self.scope()?;
                        let nested = scope.nested.get(component_index as usize).ok_or_else(not_its_own)?;
                        scope.demand.add(nested);
                        self.hold_bounds()?;
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    let is_code = match alias.map_err(damaged)? {
                        ComponentAlias::InstanceExport { kind, .. } => {
                            matches!(kind, ComponentExternalKind::Module | ComponentExternalKind::Component)
                        }
                        ComponentAlias::Outer { kind, .. } => {
                            matches!(
                                kind,
                                ComponentOuterAliasKind::CoreModule | ComponentOuterAliasKind::Component
                            )
                        }
                        ComponentAlias::CoreInstanceExport { .. } => false,
                    };
                    if is_code {
                        return Err(not_its_own());
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    check_canonical(&function.map_err(damaged)?)?;
                }
            }
            Payload::ComponentImportSection(section) => {
                let is_outside = self.is_outside();
                for import in section.clone() {
                    let import = import.map_err(damaged)?;
                    if is_outside {
                        let is_instance = matches!(import.ty, ComponentTypeRef::Instance(_));
                        self.imports.push((import.name.name.to_owned(), is_instance));
                    } else if matches!(import.ty, ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_)) {
                        return Err(not_its_own());
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                let is_outside = self.is_outside();
                for export in section.clone() {
                    let export = export.map_err(damaged)?;
                    // It would also number the code that follows anew.
                    if matches!(
                        export.kind,
                        ComponentExternalKind::Module | ComponentExternalKind::Component
                    ) {
                        return Err(not_its_own());
                    }
                    if is_outside {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn scope(&mut self) -> Result<&mut Scope, LoadError> {
        self.components.last_mut().ok_or_else(misplaced)
    }

    fn module(&mut self) -> Result<&mut Demand, LoadError> {
        self.scope()?.modules.last_mut().ok_or_else(misplaced)
    }

    fn hold_bounds(&self) -> Result<(), LoadError> {
        let counts = self.so_far();
        match BOUNDS.iter().find(|bound| (bound.of)(&counts) > bound.max) {
            None => Ok(()),
            Some(bound) => Err(LoadError::Structure {
                what: bound.what,
                demand: (bound.of)(&counts),
                max: bound.max,
                mend: bound.mend,
            }),
        }
    }

    /// What was counted, with what an instance needs of the component that the reader is in.
    fn so_far(&self) -> Counts {
        Counts {
            instance: self.components.last().map(|scope| scope.demand).unwrap_or_default(),
            ..self.counts
        }
    }

    fn finish(mut self) -> Result<Structure, LoadError> {
        self.exports.sort();
        self.imports.sort();
        // Exports before imports: a component of another version of the contract imports that version too, and is to hear that
        // rather than that it reaches out.
        check_exports(&self.exports)?;
        if let Some((name, _)) = self
            .imports
            .iter()
            .find(|(name, is_instance)| !is_instance || !inert::is_allowed(name))
        {
            return Err(LoadError::ForbiddenImport { import: clip(name) });
        }
        let counts = self.so_far();
        let fits_a_slot = BOUNDS.iter().all(|bound| (bound.of)(&counts) <= bound.compact);
        Ok(Structure {
            class: if fits_a_slot {
                Class::Compact
            } else {
                Class::Interpreted
            },
            imports: self.imports.into_iter().map(|(name, _)| name).collect(),
            exports: self.exports,
            counts,
        })
    }
}

/// All four required interfaces, in the version that is spoken here.
fn check_exports(exports: &[String]) -> Result<(), LoadError> {
    for interface in ["descriptor", "webhook", "answer", "media"] {
        let needed = format!("{PACKAGE}{interface}{VERSION}");
        if exports.binary_search(&needed).is_ok() {
            continue;
        }
        // A name without a version is no name of ours: the package has had one from the beginning.
        let other = exports
            .iter()
            .filter_map(|name| name.strip_prefix(PACKAGE)?.split_once('@'))
            .find(|(name, _)| *name == interface);
        return Err(match other {
            Some((_, version)) => LoadError::OtherContract {
                found: clip(version),
                spoken: &VERSION[1..],
            },
            None => LoadError::MissingExport { interface: needed },
        });
    }
    Ok(())
}

/// Plain functions and resources, and strings in UTF-8: what every language's tools produce for this contract. The rest of
/// the canonical ABI is code of the host that strangers need not reach.
fn check_canonical(function: &CanonicalFunction) -> Result<(), LoadError> {
    let options = match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => options,
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => return Ok(()),
        _ => {
            return Err(refused(
                "it uses asynchronous functions or threads of the component model".to_owned(),
            ));
        }
    };
    for option in options {
        let what = match option {
            CanonicalOption::UTF8
            | CanonicalOption::Memory(_)
            | CanonicalOption::Realloc(_)
            | CanonicalOption::PostReturn(_) => continue,
            CanonicalOption::UTF16 | CanonicalOption::CompactUTF16 => "its strings are not in UTF-8",
            CanonicalOption::Async | CanonicalOption::Callback(_) => "it has asynchronous functions",
            CanonicalOption::CoreType(_) | CanonicalOption::Gc => "it passes values as garbage-collected objects",
        };
        return Err(refused(what.to_owned()));
    }
    Ok(())
}

/// Code that is passed around as a value could be instantiated any number of times without being counted.
fn not_its_own() -> LoadError {
    refused("a core module or component is instantiated or passed on that is not defined in the same place".to_owned())
}

fn misplaced() -> LoadError {
    refused("it has a section in a place where it does not belong".to_owned())
}

fn refused(what: String) -> LoadError {
    LoadError::Invalid(what)
}

#[expect(clippy::needless_pass_by_value, reason = "it is the function of a `map_err`")]
fn damaged(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Invalid(format!("{} (at byte {})", clip(error.message()), error.offset()))
}

fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests;
