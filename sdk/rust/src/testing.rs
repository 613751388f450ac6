//! Runs a provider's recorded cases natively: what goes into an export, and what comes out of it.
//!
//! Cases are JSON files in the provider's `cases/`, one case or an array of cases in each. The runtime runs the same files
//! against the built component, so they hold for a provider in any language.
//!
//! ```json
//! {
//!   "name": "a call that has ended already",
//!   "export": "calling.hang-up",
//!   "config": { "account": "A1", "token": "sealed:token" },
//!   "input": {
//!     "call": { "id": "7", "provider-call-id": "C1", "direction": "inbound", "caller": "", "callee": "", "routes": [] }
//!   },
//!   "replies": [{ "http": { "status": 404, "headers": [], "body": "" } }],
//!   "expect": { "ok": "already-ended" }
//! }
//! ```
//!
//! - `config` is what the export gets; with `credentials` in its place it is made by `config-loader` first. `replies` is the
//!   history of an operation.
//! - `input` has the other arguments by name. For `media.leg` these are `call` and `script`, an array of
//!   `{"deserialize": message}` and `{"serialize": frame}`; it gives an array with the result of each.
//! - Values are written as their WIT types read: a record is an object with kebab-case keys, an absent option is `null` or
//!   left out, a variant is `{"case": payload}` or `"case"`, a result is `{"ok": …}` or `{"err": …}`, a list of bytes is a
//!   string or `{"base64": "…"}`, a tuple is an array, and a string that holds JSON is that JSON.
//!
//! ```no_run
//! # use strowger_sdk::{Calling, testing::Cases};
//! fn recorded_cases_hold<P: Calling>() {
//!     Cases::<P>::new().calling().check(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
//! }
//! ```

mod given;
mod value;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

pub use self::given::{call, hear, post_form, post_json, say, webhook};
use self::value::{Json, Wit};
use crate::bindings::calling::exports::strowger::provider::calling::Guest as CallingGuest;
use crate::bindings::detection::exports::strowger::provider::detection::Guest as DetectionGuest;
use crate::bindings::events::exports::strowger::provider::events::Guest as EventsGuest;
use crate::bindings::numbers::exports::strowger::provider::numbers::Guest as NumbersGuest;
use crate::bindings::provider::exports::strowger::provider::answer::Guest as AnswerGuest;
use crate::bindings::provider::exports::strowger::provider::descriptor::Guest as DescriptorGuest;
use crate::bindings::provider::exports::strowger::provider::media::GuestLeg;
use crate::bindings::provider::exports::strowger::provider::webhook::Guest as WebhookGuest;
use crate::bindings::setup::exports::strowger::provider::setup::Guest as SetupGuest;
use crate::bindings::transfer::exports::strowger::provider::transfer::Guest as TransferGuest;
use crate::bindings::trunks::exports::strowger::provider::trunks::Guest as TrunksGuest;
use crate::export::LegCell;
use crate::{Calling, Detection, Events, MediaFrame, Message, Numbers, Provider, Reply, Setup, Transfer, Trunks};

/// The cases of one provider, with the exports that they may call.
pub struct Cases<P> {
    exports: BTreeMap<&'static str, Export>,
    provider: PhantomData<P>,
}

type Export = fn(&Arguments<'_>) -> Result<Verdict, String>;

/// What an export gave and what was expected of it, both written the same way.
struct Verdict {
    given: Value,
    expected: Value,
}

impl Verdict {
    /// What was expected is read and written again, so that the many spellings of one value compare equal.
    fn of<T: Wit>(given: &T, expected: &Value) -> Result<Self, String> {
        let expected = T::read(expected).map_err(|problem| format!("expect: {problem}"))?;
        Ok(Self {
            given: given.write(),
            expected: expected.write(),
        })
    }
}

impl<P> fmt::Debug for Cases<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cases")
            .field("exports", &self.exports.keys())
            .finish()
    }
}

impl<P: Provider> Default for Cases<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Provider> Cases<P> {
    /// The exports that every provider has.
    pub fn new() -> Self {
        let exports: [(&'static str, Export); 9] = [
            ("descriptor.spec", |given| {
                given.verdict(&<P as DescriptorGuest>::spec())
            }),
            ("descriptor.config-loader", |given| {
                let credentials: Json = given.argument("credentials")?;
                given.verdict(&<P as DescriptorGuest>::config_loader(credentials.0).map(Json))
            }),
            ("webhook.recognise", |given| {
                given.verdict(&<P as WebhookGuest>::recognise(given.argument("webhook")?))
            }),
            ("webhook.verify-signature", |given| {
                given.verdict(&<P as WebhookGuest>::verify_signature(
                    given.config::<P>()?,
                    given.argument("webhook")?,
                ))
            }),
            ("webhook.handle-callback", |given| {
                given.verdict(&<P as WebhookGuest>::handle_callback(
                    given.config::<P>()?,
                    given.argument("route")?,
                    given.argument("call")?,
                    given.argument("webhook")?,
                    given.replies()?,
                ))
            }),
            ("answer.answer-markup", |given| {
                given.verdict(&<P as AnswerGuest>::answer_markup(
                    given.config::<P>()?,
                    given.argument("call")?,
                    given.argument("media")?,
                    given.argument("webhook")?,
                    given.replies()?,
                ))
            }),
            ("answer.rejection-markup", |given| {
                given.verdict(&<P as AnswerGuest>::rejection_markup(given.argument("reason")?))
            }),
            ("answer.reject-call", |given| {
                given.verdict(&<P as AnswerGuest>::reject_call(
                    given.config::<P>()?,
                    given.argument("call")?,
                    given.argument("reason")?,
                    given.replies()?,
                ))
            }),
            ("media.leg", |given| given.script::<P>()),
        ];
        Self {
            exports: exports.into(),
            provider: PhantomData,
        }
    }

    /// Runs every case in the `*.json` files of a folder.
    ///
    /// # Panics
    ///
    /// With all cases that do not hold, or when the folder has none.
    pub fn check(&self, folder: impl AsRef<Path>) {
        let mut count = 0;
        let mut failures = Vec::new();
        for file in json_files(folder.as_ref()) {
            let mut failed = |what: &str| failures.push(format!("{}: {what}", file.display()));
            match read_cases(&file) {
                Ok(cases) => {
                    count += cases.len();
                    for case in &cases {
                        if let Err(problem) = self.run(case) {
                            failed(&format!("{}: {problem}", case.name));
                        }
                    }
                }
                Err(problem) => failed(&problem),
            }
        }
        assert!(
            failures.is_empty(),
            "{} failures in {count} cases:\n{}",
            failures.len(),
            failures.join("\n")
        );
        assert!(count > 0, "there are no cases in {}", folder.as_ref().display());
    }

    fn run(&self, case: &Case) -> Result<(), String> {
        let export = self
            .exports
            .get(case.export.as_str())
            .ok_or_else(|| format!("no export {}", case.export))?;
        let arguments = Arguments {
            case,
            used: Cell::new(0),
        };
        let Verdict { given, expected } = export(&arguments)?;
        if arguments.used.get() != case.input.len() {
            return Err(format!("the input has arguments that {} does not take", case.export));
        }
        if given != expected {
            return Err(format!("\n  expected {expected}\n  given    {given}"));
        }
        Ok(())
    }
}

impl<P: Calling> Cases<P> {
    #[must_use]
    pub fn calling(mut self) -> Self {
        let exports: [(&'static str, Export); 4] = [
            ("calling.place-call", |given| {
                given.verdict(&<P as CallingGuest>::place_call(
                    given.config::<P>()?,
                    given.argument("call")?,
                    given.argument("outbound")?,
                    given.replies()?,
                ))
            }),
            ("calling.hang-up", |given| {
                given.verdict(&<P as CallingGuest>::hang_up(
                    given.config::<P>()?,
                    given.argument("call")?,
                    given.replies()?,
                ))
            }),
            ("calling.fetch-status", |given| {
                given.verdict(&<P as CallingGuest>::fetch_status(
                    given.config::<P>()?,
                    given.argument("call")?,
                    given.replies()?,
                ))
            }),
            ("calling.fetch-cost", |given| {
                given.verdict(&<P as CallingGuest>::fetch_cost(
                    given.config::<P>()?,
                    given.argument("call")?,
                    given.replies()?,
                ))
            }),
        ];
        self.exports.extend(exports);
        self
    }
}

impl<P: Detection> Cases<P> {
    #[must_use]
    pub fn detection(mut self) -> Self {
        let exports: [(&'static str, Export); 2] = [
            ("detection.detection-modes", |given| {
                given.verdict(&<P as DetectionGuest>::detection_modes(given.config::<P>()?))
            }),
            ("detection.detection-result", |given| {
                given.verdict(&<P as DetectionGuest>::detection_result(
                    given.config::<P>()?,
                    given.argument("webhook")?,
                ))
            }),
        ];
        self.exports.extend(exports);
        self
    }
}

impl<P: Numbers> Cases<P> {
    #[must_use]
    pub fn numbers(mut self) -> Self {
        let exports: [(&'static str, Export); 3] = [
            ("numbers.validate-number", |given| {
                given.verdict(&<P as NumbersGuest>::validate_number(
                    given.config::<P>()?,
                    given.argument("address")?,
                    given.replies()?,
                ))
            }),
            ("numbers.provision-number", |given| {
                given.verdict(&<P as NumbersGuest>::provision_number(
                    given.config::<P>()?,
                    given.argument("address")?,
                    given.replies()?,
                ))
            }),
            ("numbers.configure-inbound", |given| {
                given.verdict(&<P as NumbersGuest>::configure_inbound(
                    given.config::<P>()?,
                    given.argument("address")?,
                    given.argument("webhook-url")?,
                    given.argument("attach")?,
                    given.replies()?,
                ))
            }),
        ];
        self.exports.extend(exports);
        self
    }
}

impl<P: Transfer> Cases<P> {
    #[must_use]
    pub fn transfer(mut self) -> Self {
        let exports: [(&'static str, Export); 4] = [
            ("transfer.dial-destination", |given| {
                given.verdict(&<P as TransferGuest>::dial_destination(
                    given.config::<P>()?,
                    given.argument("call")?,
                    given.argument("leg")?,
                    given.replies()?,
                ))
            }),
            ("transfer.connect", |given| {
                given.verdict(&<P as TransferGuest>::connect(
                    given.config::<P>()?,
                    given.argument("call")?,
                    given.argument("leg")?,
                    given.replies()?,
                ))
            }),
            ("transfer.cancel", |given| {
                given.verdict(&<P as TransferGuest>::cancel(
                    given.config::<P>()?,
                    given.argument("call")?,
                    given.argument("leg")?,
                    given.replies()?,
                ))
            }),
            ("transfer.handle-transfer-callback", |given| {
                given.verdict(&<P as TransferGuest>::handle_transfer_callback(
                    given.config::<P>()?,
                    given.argument("route")?,
                    given.argument("call")?,
                    given.argument("leg")?,
                    given.argument("webhook")?,
                    given.replies()?,
                ))
            }),
        ];
        self.exports.extend(exports);
        self
    }
}

impl<P: Setup> Cases<P> {
    #[must_use]
    pub fn setup(mut self) -> Self {
        let exports: [(&'static str, Export); 3] = [
            ("setup.prepare-credentials", |given| {
                given.verdict(&<P as SetupGuest>::prepare_credentials(
                    given.config::<P>()?,
                    given.argument("saving")?,
                    given.replies()?,
                ))
            }),
            ("setup.checklist", |given| {
                given.verdict(&<P as SetupGuest>::checklist(
                    given.config::<P>()?,
                    given.argument("facts")?,
                ))
            }),
            ("setup.connectivity-details", |given| {
                given.verdict(&<P as SetupGuest>::connectivity_details(
                    given.config::<P>()?,
                    given.argument("urls")?,
                ))
            }),
        ];
        self.exports.extend(exports);
        self
    }
}

impl<P: Trunks> Cases<P> {
    #[must_use]
    pub fn trunks(mut self) -> Self {
        let exports: [(&'static str, Export); 3] = [
            ("trunks.trunk-fields", |given| {
                given.verdict(&<P as TrunksGuest>::trunk_fields())
            }),
            ("trunks.apply-trunk", |given| {
                given.verdict(&<P as TrunksGuest>::apply_trunk(
                    given.config::<P>()?,
                    given.argument("trunk")?,
                    given.replies()?,
                ))
            }),
            ("trunks.remove-trunk", |given| {
                given.verdict(&<P as TrunksGuest>::remove_trunk(
                    given.config::<P>()?,
                    given.argument("trunk")?,
                    given.replies()?,
                ))
            }),
        ];
        self.exports.extend(exports);
        self
    }
}

impl<P: Events> Cases<P> {
    #[must_use]
    pub fn events(mut self) -> Self {
        let exports: [(&'static str, Export); 2] = [
            ("events.endpoint", |given| {
                given.verdict(&<P as EventsGuest>::endpoint(given.config::<P>()?))
            }),
            ("events.handle-event", |given| {
                given.verdict(&<P as EventsGuest>::handle_event(
                    given.config::<P>()?,
                    given.message()?,
                    given.argument("received-at")?,
                    given.replies()?,
                ))
            }),
        ];
        self.exports.extend(exports);
        self
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    export: String,
    config: Option<Value>,
    credentials: Option<Value>,
    #[serde(default)]
    input: BTreeMap<String, Value>,
    #[serde(default)]
    replies: Vec<Value>,
    expect: Value,
}

/// Reads the arguments of a case and counts them, so that a misspelled optional one does not pass as absent.
struct Arguments<'a> {
    case: &'a Case,
    used: Cell<usize>,
}

impl Arguments<'_> {
    fn argument<T: Wit>(&self, name: &str) -> Result<T, String> {
        let value = self.case.input.get(name);
        self.used.set(self.used.get() + usize::from(value.is_some()));
        T::read(value.unwrap_or(&Value::Null)).map_err(|problem| format!("{name}: {problem}"))
    }

    /// A message of an event socket, as JSON or as text.
    fn message(&self) -> Result<String, String> {
        let Json(message) = self.argument("message")?;
        Ok(serde_json::from_str::<String>(&message).unwrap_or(message))
    }

    fn config<P: Provider>(&self) -> Result<String, String> {
        match (&self.case.config, &self.case.credentials) {
            (Some(config), None) => Ok(config.to_string()),
            (None, Some(credentials)) => <P as DescriptorGuest>::config_loader(credentials.to_string())
                .map_err(|problems| format!("the credentials are refused: {}", problems.write())),
            _ => Err("a case has either config or credentials".to_owned()),
        }
    }

    fn replies(&self) -> Result<Vec<Reply>, String> {
        self.case
            .replies
            .iter()
            .map(Reply::read)
            .collect::<Result<_, _>>()
            .map_err(|problem| format!("replies: {problem}"))
    }

    fn script<P: Provider>(&self) -> Result<Verdict, String> {
        let leg: LegCell<P> = LegCell::new(self.config::<P>()?, self.argument("call")?);
        let Json(lines) = self.argument("script")?;
        let lines: Vec<Line> = serde_json::from_str(&lines).map_err(|error| format!("script: {error}"))?;
        let expected = self.case.expect.as_array().ok_or("expect: not a list")?;
        if expected.len() != lines.len() {
            return Err(format!(
                "{} lines of script have {} results",
                lines.len(),
                expected.len()
            ));
        }
        let steps = lines.iter().zip(expected).map(|(line, expected)| match line {
            Line::Deserialize(message) => Verdict::of(&leg.deserialize_frame(Message::read(message)?), expected),
            Line::Serialize(frame) => Verdict::of(&leg.serialize_frame(MediaFrame::read(frame)?), expected),
        });
        let steps: Vec<Verdict> = steps.collect::<Result<_, String>>()?;
        let (given, expected) = steps.into_iter().map(|step| (step.given, step.expected)).unzip();
        Ok(Verdict {
            given: Value::Array(given),
            expected: Value::Array(expected),
        })
    }

    fn verdict<T: Wit>(&self, given: &T) -> Result<Verdict, String> {
        Verdict::of(given, &self.case.expect)
    }
}

/// One line of the script of a leg.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Deserialize(Value),
    Serialize(Value),
}

fn read_cases(file: &Path) -> Result<Vec<Case>, String> {
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let cases: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let cases = if cases.is_array() {
        cases
    } else {
        Value::Array(vec![cases])
    };
    serde_json::from_value(cases).map_err(|error| error.to_string())
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}
