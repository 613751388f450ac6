//! The component under examination, with a configuration that it accepts.

use serde_json::{Map, Value, json};
use strowger_host::invoke::cases::Case;
use strowger_host::spec::{Field, FieldType};
use strowger_host::{Credentials, InvokeError, Moment, Provider};

use super::ConformanceOptions;

/// The moment of every invocation of the suite, in Unix milliseconds: a report is the same whenever it is made.
pub(super) const NOW_MS: u64 = 1_790_000_000_000;
/// Attempts to find a configuration that the provider accepts.
const ATTEMPTS_MAX: usize = 200;

/// A component and what it is asked with.
pub(crate) struct Subject<'a> {
    pub(super) provider: &'a Provider,
    pub(super) cases: &'a [Case],
    pub(crate) credentials: Credentials,
    /// The configuration as the component shapes it; what is sealed is the text of a made-up reference.
    pub(crate) config: Value,
}

impl<'a> Subject<'a> {
    /// Finds a configuration: the given one, or that of a recorded case, or one made up from the spec.
    ///
    /// # Errors
    /// Why there is none, in words for the author.
    pub(crate) fn new(provider: &'a Provider, options: &'a ConformanceOptions) -> Result<Self, String> {
        let entered = match &options.credentials {
            Some(given) => accepted(provider, given)
                .map_err(|problems| format!("the given configuration is refused: {problems}"))?,
            None => match recorded(provider, &options.cases) {
                Some(entered) => entered,
                None => made_up(provider)?,
            },
        };
        let credentials = Credentials::check(provider.spec(), &entered)
            .map_err(|problems| format!("the configuration is refused: {problems:?}"))?;
        let mut sealed = entered;
        for (n, field) in provider.spec().fields.iter().enumerate() {
            if provider.spec().is_sealed(&field.name)
                && let Some(value) = sealed.get_mut(&field.name)
            {
                *value = json!(reference(n));
            }
        }
        let loaded = provider
            .invoke_json("descriptor.config-loader", &json!({ "credentials": sealed }))
            .map_err(|error| error.to_string())?;
        let config = loaded
            .get("ok")
            .cloned()
            .ok_or_else(|| format!("config-loader refuses sealed references: {loaded}"))?;
        Ok(Self {
            provider,
            cases: &options.cases,
            credentials,
            config,
        })
    }
}

/// A moment with its randomness; the same number gives the same one.
pub(crate) fn moment(n: u8) -> Moment {
    Moment {
        now_ms: NOW_MS + u64::from(n) * 1_000,
        entropy: [n.wrapping_add(1); 40],
    }
}

/// What a sealed reference looks like.
pub(crate) fn reference(n: usize) -> String {
    format!("sealed-{}-{n:03}", "5e".repeat(16))
}

/// The value of a field whose content nobody but the carrier knows.
pub(super) fn secret(field: &Field) -> Value {
    match field.kind {
        FieldType::Textarea => json!(include_str!("made_up_key.pem")),
        // Valid as text, as base64 and as hexadecimal digits, whatever the provider says that it is.
        _ => {
            let seed = field
                .name
                .bytes()
                .fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
            json!(format!("{seed:02x}").repeat(32))
        }
    }
}

fn accepted(provider: &Provider, entered: &Value) -> Result<Value, String> {
    problems(provider, entered).map_or_else(
        || Ok(entered.clone()),
        |problems| {
            let lines: Vec<String> = problems
                .iter()
                .map(|(field, problem)| format!("{field}: {problem}"))
                .collect();
            Err(lines.join("; "))
        },
    )
}

/// What the spec and the provider have against a configuration; a fault counts as a problem of no field.
fn problems(provider: &Provider, entered: &Value) -> Option<Vec<(String, String)>> {
    let named = |problems: Vec<strowger_host::FieldProblem>| {
        problems
            .into_iter()
            .map(|problem| (problem.field, problem.problem))
            .collect()
    };
    match Credentials::check(provider.spec(), entered) {
        Err(problems) => Some(named(problems)),
        Ok(credentials) => match provider.check_credentials(&credentials, &moment(0)) {
            Ok(()) => None,
            Err(InvokeError::Configuration(problems)) => Some(named(problems)),
            Err(fault) => Some(vec![(String::new(), fault.to_string())]),
        },
    }
}

/// The fullest configuration of the recorded cases, with secrets in the places of their placeholders.
fn recorded(provider: &Provider, cases: &[Case]) -> Option<Value> {
    let spec = provider.spec();
    let mut found: Vec<Map<String, Value>> = cases
        .iter()
        .filter_map(|case| case.credentials.as_ref().or_else(|| case.input.get("credentials")))
        .filter_map(|entered| {
            let mut entered = entered.as_object()?.clone();
            entered.retain(|name, value| spec.field(name).is_some() && !value.is_null());
            for field in spec.fields.iter().filter(|field| spec.is_sealed(&field.name)) {
                entered.insert(field.name.clone(), secret(field));
            }
            Some(entered)
        })
        .collect();
    found.sort_by_key(|entered| std::cmp::Reverse(entered.len()));
    found
        .into_iter()
        .map(Value::Object)
        .find(|entered| problems(provider, entered).is_none())
}

/// A configuration that the provider accepts, found by listening to what it says about those that it does not.
fn made_up(provider: &Provider) -> Result<Value, String> {
    let spec = provider.spec();
    let mut tried: Vec<(&Field, Vec<Value>)> = spec
        .fields
        .iter()
        .filter(|field| !field.server_managed && field.kind != FieldType::Readonly)
        .map(|field| {
            let mut values = candidates(field);
            values.reverse();
            (field, values)
        })
        .collect();
    let mut entered = Map::new();
    for (field, values) in &mut tried {
        let wanted = field.required || spec.is_sealed(&field.name) || field.placeholder.is_some();
        if wanted && let Some(value) = values.pop() {
            entered.insert(field.name.clone(), value);
        }
    }
    let mut last = String::new();
    let mut seen: Vec<(String, Value)> = Vec::new();
    for _ in 0..ATTEMPTS_MAX {
        let whole = Value::Object(entered.clone());
        let Some(problems) = problems(provider, &whole) else {
            return Ok(whole);
        };
        let mut moved = false;
        for (name, problem) in problems {
            last = format!("{name}: {problem}");
            let Some((field, values)) = tried.iter_mut().find(|(field, _)| field.name == name) else {
                continue;
            };
            // What the message gives as an example is the best guess.
            for example in examples(&problem) {
                let once = (name.clone(), example);
                if !seen.contains(&once) {
                    values.push(once.1.clone());
                    seen.push(once);
                }
            }
            match values.pop() {
                Some(value) => {
                    entered.insert(name, value);
                    moved = true;
                }
                None if !field.required => moved |= entered.remove(&name).is_some(),
                None => {}
            }
        }
        if !moved {
            break;
        }
    }
    Err(format!(
        "no configuration could be made up that config-loader accepts; it says last: {last}. Record a case of \
         `descriptor.config-loader` with a good one in cases/"
    ))
}

/// Values worth a try, the likeliest first.
fn candidates(field: &Field) -> Vec<Value> {
    if field.sensitive {
        return vec![secret(field)];
    }
    match field.kind {
        FieldType::Boolean => vec![json!(false), json!(true)],
        FieldType::Number => vec![json!(1), json!(10), json!(1000), json!(0)],
        FieldType::Select => field.options.iter().map(|choice| json!(choice.value)).collect(),
        FieldType::StringArray => vec![
            json!(["example"]),
            json!(["+14155550123"]),
            json!(["https://example.com"]),
        ],
        FieldType::Textarea => vec![json!(include_str!("made_up_key.pem")), json!("example")],
        FieldType::Text | FieldType::Password | FieldType::Readonly => {
            let mut values: Vec<Value> = field.placeholder.iter().map(|text| json!(text)).collect();
            values.extend(field.description.iter().flat_map(|text| examples(text)));
            values.extend(
                [
                    "ACME01",
                    "example",
                    "1234567890",
                    "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab",
                    "0123456789abcdef0123456789abcdef",
                    "https://pbx.example.com",
                    "pbx.example.com",
                    "user@example.com",
                    "+14155550123",
                    "EXAMPLE0123456789",
                    "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
                ]
                .map(|text| json!(text)),
            );
            values
        }
    }
}

/// Words of a sentence that may be values rather than words, and what a prefix such as `AC` may be completed to.
fn examples(sentence: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for word in sentence.split_whitespace() {
        let word = word.trim_matches(|c: char| matches!(c, ',' | '.' | ';' | ':' | '(' | ')' | '`' | '"' | '\''));
        let is_value = word.len() > 3 && word.contains(|c: char| c.is_ascii_digit() || "/@._+-".contains(c));
        if is_value {
            found.push(json!(word));
        }
        let is_prefix = (2..=5).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_uppercase() || b"_-".contains(&b))
            && word.bytes().any(|b| b.is_ascii_uppercase());
        if is_prefix {
            for rest in [
                "0123456789abcdef0123456789abcdef",
                "XXXXXXXXXXXXXXXXXX",
                "QVEY4SSB",
                "0123456789",
            ] {
                found.push(json!(format!("{word}{rest}")));
            }
        }
    }
    found
}
