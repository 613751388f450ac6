//! Runs any export once on JSON: for the command line, for recorded cases, for authors who try out a provider.
//!
//! Everything here is dynamic: names and types are read off the component, so an export that the typed doors of this crate
//! do not know yet can be called all the same. Nothing is sealed and no effect is performed. What goes in is what the guest
//! sees, and what comes out is what it said, unchecked: look at it, do not act on it.
//!
//! An export is spelled `interface.function`, as in `webhook.verify-signature`; its input is an object with one entry for
//! each parameter, by its name in the contract. The resource `media.leg` is run on a `script` beside the arguments of its
//! constructor: `[{"deserialize": message}, {"serialize": frame}]` gives one result for each. One of its methods can be run
//! alone, as `media.deserialize-frame` or `media.serialize-frame`: its input has the arguments of both, and `messages` that
//! the leg was given before.
//!
//! How a value of the contract is spelled in JSON:
//!
//! | contract | JSON |
//! |---|---|
//! | record | object with the names of the contract; `null` and absent are the same |
//! | option | the value, or `null` |
//! | variant | `{"case": payload}`; `"case"` without payload |
//! | enum | `"case"` |
//! | flags | array of names |
//! | result | `{"ok": value}` or `{"err": value}` |
//! | tuple, list | array; a list that is absent is empty |
//! | `list<u8>` | text, standing for its UTF-8 bytes, or `{"base64": "…"}` |
//! | string | text; anything else that JSON knows stands for its own JSON text, which is how documents are embedded |
//!
//! On the way out, bytes that are printable UTF-8 are shown as text, and a string that is a JSON object or array as that.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};
use thiserror::Error;
use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Instance, ResourceAny, Type, Val};

use crate::error::{GuestFault, HostFault, InvokeError};
use crate::limits::Limits;
use crate::operation::Moment;
use crate::provider::{Invocation, PACKAGE, Provider, VERSION};

pub mod cases;

const METHOD: &str = "[method]";
const CONSTRUCTOR: &str = "[constructor]";
/// What the input of a resource is called, beside the arguments of its constructor.
const SCRIPT: &str = "script";
/// The carrier's messages that a leg was given before the method under test, and the method that takes them.
const MESSAGES: &str = "messages";
const TAKES_MESSAGES: &str = "deserialize-frame";
/// Longest text of the input that an error repeats, in characters.
const QUOTE_CHARS_MAX: usize = 40;

/// A dynamic value takes many times the room of the bytes that it stands for, one whole [`Val`] for each byte of a body:
/// the same output, measured in these units.
const LIMITS: Limits = Limits {
    output_bytes_max: Limits::CONTROL.output_bytes_max * size_of::<Val>(),
    // Writing a dynamic value into the guest is our own work, byte by byte, and runs on the guest's clock.
    cpu_ms_max: Limits::LOAD.cpu_ms_max,
    ..Limits::CONTROL
};

/// Why an export did not run, or has no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvokeJsonError {
    /// The caller named something that is not there.
    #[error("there is no export `{export}`; this component exports {}", .known.join(", "))]
    UnknownExport {
        /// What was asked for.
        export: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The caller's JSON does not fit the parameters.
    #[error("{path}: {problem}")]
    Input {
        /// Where in the input, for example `input.webhook.headers[2].name`.
        path: String,
        /// What is wrong, and what fits.
        problem: String,
    },
    /// The guest's fault, or ours.
    #[error(transparent)]
    Invoke(#[from] InvokeError),
}

impl From<HostFault> for InvokeJsonError {
    fn from(fault: HostFault) -> Self {
        Self::Invoke(fault.into())
    }
}

/// One thing that can be called.
struct Export {
    /// `interface.function`, `interface.resource` or `interface.method`.
    name: String,
    kind: Kind,
}

enum Kind {
    Function(Function),
    /// A resource, to be given a script.
    Resource(Resource),
    /// One method of a resource, by its name there.
    Method(Resource, String),
}

#[derive(Clone)]
struct Resource {
    constructor: Function,
    methods: Vec<(String, Function)>,
}

impl Resource {
    fn method(&self, name: &str) -> Option<&Function> {
        self.methods
            .iter()
            .find(|(candidate, _)| candidate == name)
            .map(|(_, function)| function)
    }
}

#[derive(Clone)]
pub(crate) struct Function {
    index: ComponentExportIndex,
    ty: ComponentFunc,
}

impl Provider {
    /// Everything that [`Self::invoke_json`] can run, in the order of the component.
    #[must_use]
    pub fn export_names(&self) -> Vec<String> {
        let exports = exports(self.engine().wasmtime(self.class()), self.component());
        exports.into_iter().map(|export| export.name).collect()
    }

    /// Runs an export once, in a fresh instance, at the beginning of time.
    ///
    /// # Errors
    /// When there is no such export, when the input does not fit its parameters, and when the guest faults.
    pub fn invoke_json(&self, export: &str, input: &Value) -> Result<Value, InvokeJsonError> {
        self.invoke_json_at(export, input, &Moment::fixed())
    }

    /// The same at another moment, on whose clock and randomness no result may depend.
    ///
    /// # Errors
    /// As for [`Self::invoke_json`].
    pub fn invoke_json_at(&self, export: &str, input: &Value, moment: &Moment) -> Result<Value, InvokeJsonError> {
        let script = Script::prepare(self.engine().wasmtime(self.class()), self.component(), export, input)?;
        let mut invocation = self.instantiate(LIMITS, moment)?;
        script.run(&mut running(&mut invocation, &script))
    }

    /// The same with the result in the spelling of recordings, in which a text is never shown as the document that it holds.
    ///
    /// # Errors
    /// As for [`Self::invoke_json`].
    pub fn invoke_json_exactly(&self, export: &str, input: &Value, moment: &Moment) -> Result<Value, InvokeJsonError> {
        let mut script = Script::prepare(self.engine().wasmtime(self.class()), self.component(), export, input)?;
        script.style = Style::Exact;
        let mut invocation = self.instantiate(LIMITS, moment)?;
        script.run(&mut running(&mut invocation, &script))
    }
}

/// A fresh instance under the limits of this module, at the beginning of time.
pub(crate) fn open(provider: &Provider) -> Result<Invocation, InvokeError> {
    provider.instantiate(LIMITS, &Moment::fixed())
}

/// An instance that runs this script.
pub(crate) fn running<'a>(invocation: &'a mut Invocation, script: &Script) -> impl Caller + use<'a> {
    Running {
        invocation,
        export: script.name,
    }
}

struct Running<'a> {
    invocation: &'a mut Invocation,
    export: &'static str,
}

/// Whatever has an instance and can call into it.
pub(crate) trait Caller {
    /// Calls a function and returns its result, if it has one.
    fn call(&mut self, function: &Function, arguments: &[Val]) -> Result<Option<Val>, InvokeError>;
    /// Gives a resource back.
    fn give_back(&mut self, resource: ResourceAny) -> Result<(), InvokeError>;
}

impl Caller for Running<'_> {
    fn call(&mut self, function: &Function, arguments: &[Val]) -> Result<Option<Val>, InvokeError> {
        self.invocation.run(self.export, |_, store, instance| {
            call(&mut *store, instance, function, arguments)
        })
    }

    fn give_back(&mut self, resource: ResourceAny) -> Result<(), InvokeError> {
        self.invocation
            .run(self.export, |_, store, _| resource.resource_drop(store))
    }
}

/// Calls a function of an instance, and returns its result.
pub(crate) fn call<T: 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    function: &Function,
    arguments: &[Val],
) -> wasmtime::Result<Option<Val>> {
    let mut results = vec![Val::Bool(false); function.ty.results().len()];
    instance
        .get_func(&mut *store, function.index)
        .ok_or_else(|| wasmtime::Error::msg("the export is not a function"))?
        .call(&mut *store, arguments, &mut results)?;
    Ok(results.pop())
}

/// An export and its input, read against the types of a component: ready to be run any number of times.
pub(crate) struct Script {
    /// The export, as faults name it.
    pub(crate) name: &'static str,
    constructor: Option<(Function, Vec<Val>)>,
    lines: Vec<Line>,
    /// Whether the result is that of every line, or of the last one.
    all: bool,
    style: Style,
}

/// How a result is spelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// For people: a text that is a document is shown as that.
    Readable,
    /// Nothing is lost: a text is a text.
    Exact,
}

impl Script {
    pub(crate) fn prepare(
        engine: &wasmtime::Engine,
        component: &Component,
        export: &str,
        input: &Value,
    ) -> Result<Self, InvokeJsonError> {
        let mut known = exports(engine, component);
        let Some(at) = known.iter().position(|candidate| candidate.name == export) else {
            return Err(InvokeJsonError::UnknownExport {
                export: quote(export),
                known: known.into_iter().map(|export| export.name).collect(),
            });
        };
        let (constructor, lines, all) = match known.swap_remove(at).kind {
            Kind::Function(method) => {
                let arguments = arguments(&method.ty, input, &[])?;
                (None, vec![Line { method, arguments }], false)
            }
            Kind::Resource(resource) => {
                let arguments = arguments(&resource.constructor.ty, input, &[SCRIPT])?;
                let lines = script(&resource.methods, input)?;
                (Some((resource.constructor, arguments)), lines, true)
            }
            Kind::Method(resource, method) => {
                let (arguments, lines) = lone_method(&resource, &method, input)?;
                (Some((resource.constructor, arguments)), lines, false)
            }
        };
        Ok(Self {
            name: known_name(export),
            constructor,
            lines,
            all,
            style: Style::Readable,
        })
    }

    /// Whether this is one method of a resource: what comes before its last line only prepares it.
    pub(crate) fn is_method(&self) -> bool {
        self.constructor.is_some() && !self.all
    }

    pub(crate) fn run(&self, caller: &mut impl Caller) -> Result<Value, InvokeJsonError> {
        let resource = self.construct(caller)?;
        let mut results = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            let result = caller.call(&line.method, &line.arguments_on(resource))?;
            results.push(shown_result(&line.method, result, self.style)?);
        }
        if let Some(resource) = resource {
            caller.give_back(resource)?;
        }
        if self.all {
            Ok(Value::Array(results))
        } else {
            Ok(results.pop().unwrap_or_default())
        }
    }

    /// Runs the last line many times, on the same instance, and tells how long each took.
    pub(crate) fn time_last(&self, caller: &mut impl Caller, calls: usize) -> Result<Vec<Duration>, InvokeJsonError> {
        let resource = self.construct(caller)?;
        let Some((last, before)) = self.lines.split_last() else {
            return Ok(Vec::new());
        };
        for line in before {
            caller.call(&line.method, &line.arguments_on(resource))?;
        }
        let arguments = last.arguments_on(resource);
        (0..calls)
            .map(|_| {
                let start = Instant::now();
                caller.call(&last.method, &arguments)?;
                Ok(start.elapsed())
            })
            .collect()
    }

    fn construct(&self, caller: &mut impl Caller) -> Result<Option<ResourceAny>, InvokeJsonError> {
        match &self.constructor {
            None => Ok(None),
            Some((constructor, arguments)) => match caller.call(constructor, arguments)? {
                Some(Val::Resource(resource)) => Ok(Some(resource)),
                _ => Err(HostFault::Engine("a constructor returned no resource".to_owned()).into()),
            },
        }
    }
}

/// Faults name a function of the contract; what a component exports beyond it has one name.
fn known_name(export: &str) -> &'static str {
    const KNOWN: [&str; 32] = [
        "answer.answer-markup",
        "answer.reject-call",
        "answer.rejection-markup",
        "calling.fetch-cost",
        "calling.fetch-status",
        "calling.hang-up",
        "calling.place-call",
        "descriptor.config-loader",
        "descriptor.spec",
        "detection.detection-modes",
        "detection.detection-result",
        "events.endpoint",
        "events.handle-event",
        "media.deserialize-frame",
        "media.leg",
        "media.serialize-frame",
        "numbers.configure-inbound",
        "numbers.provision-number",
        "numbers.validate-number",
        "setup.checklist",
        "setup.connectivity-details",
        "setup.prepare-credentials",
        "transfer.cancel",
        "transfer.connect",
        "transfer.dial-destination",
        "transfer.handle-transfer-callback",
        "trunks.apply-trunk",
        "trunks.remove-trunk",
        "trunks.trunk-fields",
        "webhook.handle-callback",
        "webhook.recognise",
        "webhook.verify-signature",
    ];
    KNOWN.into_iter().find(|name| *name == export).unwrap_or("the export")
}

fn exports(engine: &wasmtime::Engine, component: &Component) -> Vec<Export> {
    let mut found = Vec::new();
    for (interface, item) in component.component_type().exports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        let Some(parent) = component.get_export_index(None, interface) else {
            continue;
        };
        let short = interface
            .strip_prefix(PACKAGE)
            .and_then(|rest| rest.strip_suffix(VERSION))
            .unwrap_or(interface);
        let functions: Vec<(&str, Function)> = instance
            .exports(engine)
            .filter_map(|(name, item)| match item.ty {
                ComponentItem::ComponentFunc(ty) => Some((
                    name,
                    Function {
                        index: component.get_export_index(Some(&parent), name)?,
                        ty,
                    },
                )),
                _ => None,
            })
            .collect();
        let mut add = |name: &str, kind: Kind| {
            found.push(Export {
                name: format!("{short}.{name}"),
                kind,
            })
        };
        for (name, function) in &functions {
            if let Some(resource) = name.strip_prefix(CONSTRUCTOR) {
                let prefix = format!("{METHOD}{resource}.");
                let methods: Vec<(String, Function)> = functions
                    .iter()
                    .filter_map(|(name, function)| Some((name.strip_prefix(&prefix)?.to_owned(), function.clone())))
                    .collect();
                let whole = Resource {
                    constructor: function.clone(),
                    methods,
                };
                add(resource, Kind::Resource(whole.clone()));
                for (method, _) in &whole.methods {
                    add(method, Kind::Method(whole.clone(), method.clone()));
                }
            } else if !name.starts_with('[') {
                add(name, Kind::Function(function.clone()));
            }
        }
    }
    found
}

/// The arguments of a function, in order. `beside` are entries of the input that are not parameters.
fn arguments(function: &ComponentFunc, input: &Value, beside: &[&str]) -> Result<Vec<Val>, InvokeJsonError> {
    let at = Place::root("input");
    let Value::Object(input) = input else {
        return at.misfit("an object with one entry for each parameter", input);
    };
    let known: Vec<&str> = function
        .params()
        .map(|(name, _)| name)
        .chain(beside.iter().copied())
        .collect();
    at.no_other_than(input, &known, "parameter")?;
    function
        .params()
        .map(|(name, ty)| entry(&at, input, name, &ty))
        .collect()
}

fn entry(at: &Place<'_>, object: &Map<String, Value>, name: &str, ty: &Type) -> Result<Val, InvokeJsonError> {
    let at = at.entry(name);
    match (object.get(name), ty) {
        (Some(value), _) if !(value.is_null() && matches!(ty, Type::List(_))) => value_of(&at, ty, value),
        (_, Type::Option(_)) => Ok(Val::Option(None)),
        (_, Type::List(_)) => Ok(Val::List(Vec::new())),
        _ => at.fail(format!("is missing; it is {}", describe(ty))),
    }
}

/// Reads the arguments of a constructor and of one method from the same object, and what came before it.
fn lone_method(resource: &Resource, name: &str, input: &Value) -> Result<(Vec<Val>, Vec<Line>), InvokeJsonError> {
    let Some(method) = resource.method(name) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let parameters: Vec<(&str, Type)> = method.ty.params().skip(1).collect();
    let mut beside: Vec<&str> = parameters.iter().map(|(name, _)| *name).collect();
    beside.push(MESSAGES);
    let arguments = arguments(&resource.constructor.ty, input, &beside)?;
    let at = Place::root("input");
    let mut script = Vec::new();
    if let (Some(messages), Some(takes)) = (
        input.get(MESSAGES).filter(|m| !m.is_null()),
        resource.method(TAKES_MESSAGES),
    ) {
        let at = at.entry(MESSAGES);
        let Value::Array(messages) = messages else {
            return at.misfit("an array", messages);
        };
        for (n, message) in messages.iter().enumerate() {
            let ty = takes.ty.params().map(|(_, ty)| ty).nth(1);
            let argument = ty.map(|ty| value_of(&at.item(n), &ty, message)).transpose()?;
            script.push(Line {
                method: takes.clone(),
                arguments: argument.into_iter().collect(),
            });
        }
    }
    let given = input.as_object().cloned().unwrap_or_default();
    let own = parameters
        .iter()
        .map(|(name, ty)| entry(&at, &given, name, ty))
        .collect::<Result<_, _>>()?;
    script.push(Line {
        method: method.clone(),
        arguments: own,
    });
    Ok((arguments, script))
}

/// One step of a script: which method, and its arguments without the resource itself.
struct Line {
    method: Function,
    arguments: Vec<Val>,
}

impl Line {
    fn arguments_on(&self, resource: Option<ResourceAny>) -> Vec<Val> {
        let itself = resource.map(Val::Resource).into_iter();
        itself.chain(self.arguments.iter().cloned()).collect()
    }
}

/// Reads `script`: an array of `{"method": argument}`. A method may be named by the part before its hyphen, and one with
/// several parameters takes an object.
fn script(methods: &[(String, Function)], input: &Value) -> Result<Vec<Line>, InvokeJsonError> {
    let at = Place::root("input");
    let at = at.entry(SCRIPT);
    let lines = match input.get(SCRIPT) {
        Some(Value::Array(lines)) => lines,
        other => {
            return at.misfit(
                "an array of objects such as {\"deserialize\": message}",
                other.unwrap_or(&Value::Null),
            );
        }
    };
    let short = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let at = at.item(n);
        let Some((verb, argument)) = line
            .as_object()
            .filter(|object| object.len() == 1)
            .and_then(|o| o.iter().next())
        else {
            return at.misfit("an object with one entry, the method and its argument", line);
        };
        let Some((_, method)) = methods.iter().find(|(name, _)| name == verb || short(name) == *verb) else {
            let names: Vec<String> = methods.iter().map(|(name, _)| short(name)).collect();
            return at.fail(format!(
                "`{}` is not a method; the methods are {}",
                quote(verb),
                names.join(", ")
            ));
        };
        let at = at.entry(verb);
        // The first parameter is the resource.
        let parameters: Vec<(&str, Type)> = method.ty.params().skip(1).collect();
        let arguments = match parameters.as_slice() {
            [(_, ty)] => vec![value_of(&at, ty, argument)?],
            several => {
                let Value::Object(given) = argument else {
                    return at.misfit("an object with one entry for each parameter", argument);
                };
                at.no_other_than(
                    given,
                    &several.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
                    "parameter",
                )?;
                several
                    .iter()
                    .map(|(name, ty)| entry(&at, given, name, ty))
                    .collect::<Result<_, _>>()?
            }
        };
        found.push(Line {
            method: method.clone(),
            arguments,
        });
    }
    Ok(found)
}

fn shown_result(function: &Function, result: Option<Val>, style: Style) -> Result<Value, InvokeJsonError> {
    match (function.ty.results().next(), result) {
        (Some(ty), Some(value)) => shown(&ty, &value, style),
        _ => Ok(Value::Null),
    }
}

/// Where in the input a value stands.
struct Place<'a> {
    before: Option<&'a Self>,
    part: Part<'a>,
}

enum Part<'a> {
    Name(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    fn root(name: &'a str) -> Self {
        Self {
            before: None,
            part: Part::Name(name),
        }
    }

    fn entry(&'a self, name: &'a str) -> Self {
        Self {
            before: Some(self),
            part: Part::Name(name),
        }
    }

    fn item(&'a self, index: usize) -> Self {
        Self {
            before: Some(self),
            part: Part::Index(index),
        }
    }

    fn path(&self) -> String {
        match (self.before, &self.part) {
            (None, Part::Name(name)) => (*name).to_owned(),
            (None, Part::Index(n)) => format!("[{n}]"),
            (Some(before), Part::Name(name)) => format!("{}.{}", before.path(), quote(name)),
            (Some(before), Part::Index(n)) => format!("{}[{n}]", before.path()),
        }
    }

    fn fail<T>(&self, problem: impl Into<String>) -> Result<T, InvokeJsonError> {
        Err(InvokeJsonError::Input {
            path: self.path(),
            problem: problem.into(),
        })
    }

    fn misfit<T>(&self, expected: &str, found: &Value) -> Result<T, InvokeJsonError> {
        self.fail(format!("must be {expected}, not {}", kind(found)))
    }

    fn no_other_than(&self, object: &Map<String, Value>, known: &[&str], what: &str) -> Result<(), InvokeJsonError> {
        match object.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) if known.is_empty() => self.entry(name).fail(format!("is not a {what}; there are none")),
            Some(name) => self
                .entry(name)
                .fail(format!("is not a {what}; there are {}", known.join(", "))),
        }
    }
}

fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().filter(|c| !c.is_control()).take(QUOTE_CHARS_MAX).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    quoted
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {:?}", quote(text)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// What to write for a value of this type.
fn describe(ty: &Type) -> String {
    match ty {
        Type::Bool => "true or false".to_owned(),
        Type::S8 | Type::S16 | Type::S32 | Type::S64 => "an integer".to_owned(),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => "an integer that is not negative".to_owned(),
        Type::Float32 | Type::Float64 => "a number".to_owned(),
        Type::Char => "a text of one character".to_owned(),
        Type::String => "a text, or JSON to embed".to_owned(),
        Type::List(list) if list.ty() == Type::U8 => "a text or {\"base64\": \"…\"}".to_owned(),
        Type::List(_) => "an array".to_owned(),
        Type::Record(record) => {
            let names: Vec<&str> = record.fields().map(|field| field.name).collect();
            format!("an object with {}", names.join(", "))
        }
        Type::Tuple(tuple) => format!("an array of {}", tuple.types().len()),
        Type::Variant(variant) => {
            let cases: Vec<String> = variant
                .cases()
                .map(|case| {
                    if case.ty.is_some() {
                        format!("{{\"{}\": …}}", case.name)
                    } else {
                        format!("\"{}\"", case.name)
                    }
                })
                .collect();
            format!("one of {}", cases.join(", "))
        }
        Type::Enum(names) => {
            let names: Vec<String> = names.names().map(|name| format!("\"{name}\"")).collect();
            format!("one of {}", names.join(", "))
        }
        Type::Option(option) => format!("{}, or null", describe(&option.ty())),
        Type::Result(_) => "{\"ok\": …} or {\"err\": …}".to_owned(),
        Type::Flags(flags) => format!("an array of any of {}", flags.names().collect::<Vec<_>>().join(", ")),
        Type::Map(_)
        | Type::FixedLengthList(_)
        | Type::Own(_)
        | Type::Borrow(_)
        | Type::Future(_)
        | Type::Stream(_)
        | Type::ErrorContext => "of a type that has no spelling in JSON".to_owned(),
    }
}

fn value_of(at: &Place<'_>, ty: &Type, value: &Value) -> Result<Val, InvokeJsonError> {
    let misfit = || at.misfit(&describe(ty), value);
    let unsigned = |max: u64| match value.as_u64() {
        Some(number) if number <= max => Ok(number),
        Some(_) => at.fail(format!("must be at most {max}")),
        None => at.misfit(&describe(ty), value),
    };
    let signed = |min: i64, max: i64| match value.as_i64() {
        Some(number) if (min..=max).contains(&number) => Ok(number),
        Some(_) => at.fail(format!("must be from {min} to {max}")),
        None => at.misfit(&describe(ty), value),
    };
    // The bounds were checked against the type, so the casts below lose nothing.
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().map_or_else(misfit_of(at, ty, value), Ok)?),
        Type::U8 => Val::U8(unsigned(u8::MAX.into())? as u8),
        Type::U16 => Val::U16(unsigned(u16::MAX.into())? as u16),
        Type::U32 => Val::U32(unsigned(u32::MAX.into())? as u32),
        Type::U64 => Val::U64(unsigned(u64::MAX)?),
        Type::S8 => Val::S8(signed(i8::MIN.into(), i8::MAX.into())? as i8),
        Type::S16 => Val::S16(signed(i16::MIN.into(), i16::MAX.into())? as i16),
        Type::S32 => Val::S32(signed(i32::MIN.into(), i32::MAX.into())? as i32),
        Type::S64 => Val::S64(signed(i64::MIN, i64::MAX)?),
        Type::Float32 => Val::Float32(value.as_f64().map_or_else(misfit_of(at, ty, value), Ok)? as f32),
        Type::Float64 => Val::Float64(value.as_f64().map_or_else(misfit_of(at, ty, value), Ok)?),
        Type::Char => {
            let mut chars = value.as_str().unwrap_or_default().chars();
            match (chars.next(), chars.next()) {
                (Some(only), None) => Val::Char(only),
                _ => return misfit(),
            }
        }
        Type::String => match value {
            Value::String(text) => Val::String(text.clone()),
            Value::Null => return misfit(),
            document => Val::String(document.to_string()),
        },
        Type::List(list) if list.ty() == Type::U8 => {
            Val::List(bytes_of(at, ty, value)?.into_iter().map(Val::U8).collect())
        }
        Type::List(list) => {
            let Value::Array(items) = value else { return misfit() };
            let ty = list.ty();
            Val::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(n, item)| value_of(&at.item(n), &ty, item))
                    .collect::<Result<_, _>>()?,
            )
        }
        Type::Record(record) => {
            let Value::Object(object) = value else { return misfit() };
            at.no_other_than(
                object,
                &record.fields().map(|field| field.name).collect::<Vec<_>>(),
                "field",
            )?;
            Val::Record(
                record
                    .fields()
                    .map(|field| Ok((field.name.to_owned(), entry(at, object, field.name, &field.ty)?)))
                    .collect::<Result<_, InvokeJsonError>>()?,
            )
        }
        Type::Tuple(tuple) => {
            let Value::Array(items) = value else { return misfit() };
            if items.len() != tuple.types().len() {
                return at.fail(format!("must be {}, has {}", describe(ty), items.len()));
            }
            let typed = tuple.types().zip(items).enumerate();
            Val::Tuple(
                typed
                    .map(|(n, (ty, item))| value_of(&at.item(n), &ty, item))
                    .collect::<Result<_, _>>()?,
            )
        }
        Type::Variant(variant) => {
            let (name, payload) = match value {
                Value::String(name) => (name, &Value::Null),
                Value::Object(object) if object.len() == 1 => object.iter().next().expect("one entry"),
                _ => return misfit(),
            };
            let Some(case) = variant.cases().find(|case| case.name == name) else {
                return misfit();
            };
            let at = at.entry(name);
            let payload = match case.ty {
                None if payload.is_null() => None,
                None => return at.fail("takes no payload"),
                Some(Type::Option(_)) if payload.is_null() => Some(Box::new(Val::Option(None))),
                Some(ty) if payload.is_null() => return at.fail(format!("needs a payload: {}", describe(&ty))),
                Some(ty) => Some(Box::new(value_of(&at, &ty, payload)?)),
            };
            Val::Variant(name.clone(), payload)
        }
        Type::Enum(names) => match value {
            Value::String(name) if names.names().any(|known| known == name) => Val::Enum(name.clone()),
            _ => return misfit(),
        },
        Type::Option(option) => match value {
            Value::Null => Val::Option(None),
            value => Val::Option(Some(Box::new(value_of(at, &option.ty(), value)?))),
        },
        Type::Result(result) => {
            let (side, payload) = match value {
                Value::String(side) => (side, &Value::Null),
                Value::Object(object) if object.len() == 1 => object.iter().next().expect("one entry"),
                _ => return misfit(),
            };
            let ty = match side.as_str() {
                "ok" => result.ok(),
                "err" => result.err(),
                _ => return misfit(),
            };
            let payload = ty
                .map(|ty| value_of(&at.entry(side), &ty, payload).map(Box::new))
                .transpose()?;
            Val::Result(if side == "ok" { Ok(payload) } else { Err(payload) })
        }
        Type::Flags(flags) => {
            let Value::Array(items) = value else { return misfit() };
            let named = |item: &Value| {
                item.as_str()
                    .filter(|name| flags.names().any(|known| known == *name))
                    .map(str::to_owned)
            };
            match items.iter().map(named).collect::<Option<Vec<_>>>() {
                Some(names) => Val::Flags(names),
                None => return misfit(),
            }
        }
        Type::Map(_)
        | Type::FixedLengthList(_)
        | Type::Own(_)
        | Type::Borrow(_)
        | Type::Future(_)
        | Type::Stream(_)
        | Type::ErrorContext => return at.fail("has a type that has no spelling in JSON"),
    })
}

/// [`Place::misfit`] for `Option::map_or_else`.
fn misfit_of<'a, T>(
    at: &'a Place<'_>,
    ty: &'a Type,
    value: &'a Value,
) -> impl FnOnce() -> Result<T, InvokeJsonError> + 'a {
    move || at.misfit(&describe(ty), value)
}

fn bytes_of(at: &Place<'_>, ty: &Type, value: &Value) -> Result<Vec<u8>, InvokeJsonError> {
    match value {
        Value::String(text) => Ok(text.clone().into_bytes()),
        // An empty list, as recordings spell it.
        Value::Array(items) if items.is_empty() => Ok(Vec::new()),
        Value::Object(object) => match bytes_of_base64(object) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(())) => at.entry("base64").fail("is not base64 with padding (RFC 4648 §4)"),
            None => at.misfit(&describe(ty), value),
        },
        _ => at.misfit(&describe(ty), value),
    }
}

/// The bytes of `{"base64": "…"}`; `None` when it is another object.
fn bytes_of_base64(object: &Map<String, Value>) -> Option<Result<Vec<u8>, ()>> {
    let text = object.get("base64").filter(|_| object.len() == 1)?.as_str()?;
    Some(STANDARD.decode(text).map_err(drop))
}

/// What a guest returned, spelled in JSON. The type tells an empty body from an empty list.
fn shown(ty: &Type, value: &Val, style: Style) -> Result<Value, InvokeJsonError> {
    let payload = |name: &str, ty: Option<Type>, value: &Option<Box<Val>>| match (ty, value) {
        (Some(ty), Some(value)) => Ok::<_, InvokeJsonError>(json!({ name: shown(&ty, value, style)? })),
        _ => Ok(json!(name)),
    };
    Ok(match (ty, value) {
        (_, Val::Bool(value)) => json!(value),
        (_, Val::S8(value)) => json!(value),
        (_, Val::U8(value)) => json!(value),
        (_, Val::S16(value)) => json!(value),
        (_, Val::U16(value)) => json!(value),
        (_, Val::S32(value)) => json!(value),
        (_, Val::U32(value)) => json!(value),
        (_, Val::S64(value)) => json!(value),
        (_, Val::U64(value)) => json!(value),
        (_, Val::Float32(value)) => Number::from_f64(f64::from(*value)).map_or(Value::Null, Value::Number),
        (_, Val::Float64(value)) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        (_, Val::Char(value)) => json!(value),
        (_, Val::String(text)) => match style {
            Style::Readable => embedded(text).unwrap_or_else(|| json!(text)),
            Style::Exact => json!(text),
        },
        (_, Val::List(items)) if items.is_empty() && style == Style::Exact => json!([]),
        (Type::List(list), Val::List(items)) if list.ty() == Type::U8 => shown_bytes(items),
        (Type::List(list), Val::List(items)) => {
            let ty = list.ty();
            Value::Array(
                items
                    .iter()
                    .map(|item| shown(&ty, item, style))
                    .collect::<Result<_, _>>()?,
            )
        }
        (Type::Tuple(tuple), Val::Tuple(items)) => Value::Array(
            tuple
                .types()
                .zip(items)
                .map(|(ty, item)| shown(&ty, item, style))
                .collect::<Result<_, _>>()?,
        ),
        (Type::Record(record), Val::Record(values)) => {
            let values = record
                .fields()
                .zip(values)
                .map(|(field, (name, value))| Ok((name.clone(), shown(&field.ty, value, style)?)));
            Value::Object(values.collect::<Result<_, InvokeJsonError>>()?)
        }
        (Type::Variant(variant), Val::Variant(name, value)) => {
            let ty = variant.cases().find(|case| case.name == name).and_then(|case| case.ty);
            payload(name, ty, value)?
        }
        (_, Val::Enum(name)) => json!(name),
        (_, Val::Option(None)) => Value::Null,
        (Type::Option(option), Val::Option(Some(value))) => shown(&option.ty(), value, style)?,
        (Type::Result(result), Val::Result(Ok(value))) => payload("ok", result.ok(), value)?,
        (Type::Result(result), Val::Result(Err(value))) => payload("err", result.err(), value)?,
        (_, Val::Flags(names)) => json!(names),
        _ => {
            let what = "a value of a type that has no spelling in JSON".to_owned();
            return Err(InvokeError::from(GuestFault::MalformedOutput {
                export: "the export",
                what,
            })
            .into());
        }
    })
}

/// The document in a text that is a JSON object or array. A scalar stays text, because most texts that look like one are
/// not meant so.
fn embedded(text: &str) -> Option<Value> {
    serde_json::from_str(text)
        .ok()
        .filter(|value: &Value| value.is_object() || value.is_array())
}

fn shown_bytes(items: &[Val]) -> Value {
    let bytes: Vec<u8> = items
        .iter()
        .filter_map(|item| if let Val::U8(byte) = item { Some(*byte) } else { None })
        .collect();
    match String::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) => Value::String(text),
        Ok(text) => json!({ "base64": STANDARD.encode(text) }),
        Err(error) => json!({ "base64": STANDARD.encode(error.as_bytes()) }),
    }
}
