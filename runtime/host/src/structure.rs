//! What a component is made of, read before anything of it is compiled or run.
//!
//! The file is a stranger's. It is read once, from front to back, in time that grows with its size, and whatever is counted is
//! held against its bound before more of it is read. What is refused here costs milliseconds; it could cost the compiler
//! minutes. Function bodies are only measured: the compiler validates them.

use serde::Serialize;
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentTypeRef, Encoding, Instance,
    Operator, Parser, Payload, Validator, WasmFeatures,
};

use crate::error::LoadError;
use crate::inert;
use crate::limits::{Class, Limits};
use crate::provider::{PACKAGE, VERSION};

/// The largest component file.
pub const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

const PAGE_BYTES: u64 = 64 * 1024;

/// How much there is of everything that costs the host something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Core modules.
    pub core_modules: u64,
    /// Core modules that are instantiated whenever the component is.
    pub core_instances: u64,
    /// Instances of nested components.
    pub component_instances: u64,
    /// How deep components are nested: 1 is a component in the component.
    pub nesting: u64,
    /// Memories of all core instances.
    pub memories: u64,
    /// Bytes of all memories before anything has run.
    pub memory_bytes: u64,
    /// Tables of all core instances.
    pub tables: u64,
    /// Elements of all tables before anything has run.
    pub table_elements: u64,
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

/// Compiled languages stay far below the first number. The second is several times what the largest known interpreter needs
/// (CPython with its libraries: 40 core instances, 20 MiB of file), and what keeps reading, compiling and instantiating cheap.
const BOUNDS: [Bound; 17] = [
    bound(
        "core modules",
        |n| n.core_modules,
        SLOT_CORE_INSTANCES as u64,
        128,
        "link the program statically",
    ),
    bound(
        "core instances",
        |n| n.core_instances,
        SLOT_CORE_INSTANCES as u64,
        128,
        "link the program statically",
    ),
    bound(
        "instances of nested components",
        |n| n.component_instances,
        64,
        64,
        "export no more than the contract's interfaces",
    ),
    bound(
        "levels of nested components",
        |n| n.nesting,
        1,
        1,
        "build one component instead of a composition of several",
    ),
    bound(
        "memories",
        |n| n.memories,
        SLOT_MEMORIES as u64,
        8,
        "link the program statically",
    ),
    bound(
        "bytes of memory at the start",
        |n| n.memory_bytes,
        Limits::MEDIA.memory_bytes_max as u64,
        Limits::control(Class::Interpreted).memory_bytes_max as u64,
        "make static data and the initial heap smaller",
    ),
    bound(
        "tables",
        |n| n.tables,
        SLOT_TABLES as u64,
        16,
        "link the program statically",
    ),
    bound(
        "table elements at the start",
        |n| n.table_elements,
        Limits::CONTROL.table_elements_max as u64,
        Limits::control(Class::Interpreted).table_elements_max as u64,
        "leave out what is never called",
    ),
    bound(
        "functions",
        |n| n.functions,
        8_000,
        100_000,
        "leave out what is never called",
    ),
    bound(
        "imports of core modules",
        |n| n.core_imports,
        4_000,
        50_000,
        "link the program statically",
    ),
    bound("globals", |n| n.globals, 4_000, 50_000, "link the program statically"),
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
        "strip the component",
    ),
    bound(
        "bytes in one function",
        |n| n.function_bytes,
        512 << 10,
        1 << 20,
        "split the function; a generated table belongs in data",
    ),
    bound(
        "branch targets in one function",
        |n| n.branch_targets,
        16 << 10,
        16 << 10,
        "split the function; a generated table belongs in data",
    ),
    bound(
        "bytes of custom sections",
        |n| n.custom_bytes,
        16 << 20,
        16 << 20,
        "strip debug information: `wasm-tools strip`",
    ),
];

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
    /// What one instance of each core module of the outermost component needs.
    modules: Vec<Needs>,
    /// How many components and modules the reader is in; 1 is the component itself.
    depth: usize,
}

/// What one instance of a core module needs.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    memories: u64,
    memory_bytes: u64,
    tables: u64,
    table_elements: u64,
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
            Payload::Version { encoding, .. } => {
                self.depth += 1;
                match encoding {
                    Encoding::Module => self.begin_module()?,
                    Encoding::Component => counts.nesting = counts.nesting.max(self.depth as u64 - 1),
                }
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
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
                    let needs = self.module()?;
                    needs.tables += 1;
                    needs.table_elements = needs.table_elements.saturating_add(table.ty.initial);
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
                        self.instantiate(module_index)?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                counts.component_instances += u64::from(section.count());
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    if let ComponentAlias::InstanceExport {
                        kind: ComponentExternalKind::Module,
                        name,
                        ..
                    } = alias.map_err(damaged)?
                    {
                        return Err(refused(format!(
                            "a core module is taken from an instance, as `{}`",
                            clip(name)
                        )));
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    check_canonical(&function.map_err(damaged)?)?;
                }
            }
            Payload::ComponentImportSection(section) if self.depth == 1 => {
                for import in section.clone() {
                    let import = import.map_err(damaged)?;
                    let is_instance = matches!(import.ty, ComponentTypeRef::Instance(_));
                    self.imports.push((import.name.name.to_owned(), is_instance));
                }
            }
            Payload::ComponentExportSection(section) if self.depth == 1 => {
                for export in section.clone() {
                    self.exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Core modules belong to the outermost component: an instance of a nested one would multiply what they need.
    fn begin_module(&mut self) -> Result<(), LoadError> {
        if self.depth != 2 {
            return Err(refused("a nested component has a core module of its own".to_owned()));
        }
        self.counts.core_modules += 1;
        self.modules.push(Needs::default());
        Ok(())
    }

    fn module(&mut self) -> Result<&mut Needs, LoadError> {
        self.modules
            .last_mut()
            .ok_or_else(|| LoadError::Invalid("it has a section outside a core module that belongs in one".to_owned()))
    }

    fn instantiate(&mut self, module_index: u32) -> Result<(), LoadError> {
        let Some(needs) = self.modules.get(module_index as usize).filter(|_| self.depth == 1) else {
            return Err(refused(
                "a core module is instantiated that is not the component's own".to_owned(),
            ));
        };
        let counts = &mut self.counts;
        counts.core_instances += 1;
        counts.memories += needs.memories;
        counts.memory_bytes = counts.memory_bytes.saturating_add(needs.memory_bytes);
        counts.tables += needs.tables;
        counts.table_elements = counts.table_elements.saturating_add(needs.table_elements);
        Ok(())
    }

    fn hold_bounds(&self) -> Result<(), LoadError> {
        match BOUNDS.iter().find(|bound| (bound.of)(&self.counts) > bound.max) {
            None => Ok(()),
            Some(bound) => Err(LoadError::Structure {
                what: bound.what,
                demand: (bound.of)(&self.counts),
                max: bound.max,
                mend: bound.mend,
            }),
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
        let fits_a_slot = BOUNDS.iter().all(|bound| (bound.of)(&self.counts) <= bound.compact);
        Ok(Structure {
            class: if fits_a_slot {
                Class::Compact
            } else {
                Class::Interpreted
            },
            imports: self.imports.into_iter().map(|(name, _)| name).collect(),
            exports: self.exports,
            counts: self.counts,
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
