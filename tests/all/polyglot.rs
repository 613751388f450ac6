//! The same small carrier in every language of the SDKs: each sample passes the shared cases, all give the same bytes, and
//! each takes and places calls through a real gateway.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ruzstd::decoding::StreamingDecoder;
use strowger_host::cache::CompiledCache;
use strowger_host::invoke::cases::{self, Case};
use strowger_host::{Engine, EngineOptions, Moment, Provider};
use strowger_simulator::agent::{AgentDo, AgentScript, AgentWhen};
use strowger_simulator::exchange::Callee;
use strowger_simulator::report::{CallStatus, HangUp};
use strowger_simulator::{CallReport, CallerScript, Misbehaviour};
use strowger_tests::root;
use tokio::sync::Mutex;

use crate::harness::{
    CALLEE, DEADLINE, Installation, Scenario, eventually, finished, frequency, in_order, ms, stream, tone,
};

const PROVIDER: &str = "example-telecom";

/// The built sample of a language.
fn sample(language: &str) -> Vec<u8> {
    let path = root().join(format!("target/samples/{language}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}: build the samples with `./just samples`, or this one with `./just sample-{language}`",
            path.display()
        )
    })
}

/// One engine for all, which keeps what it has compiled: an interpreter takes a while.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        Engine::new(EngineOptions {
            instances_max: 16,
            cache: Some(CompiledCache::new(scratch().join("compiled"), [7; 32])),
            ..EngineOptions::default()
        })
        .unwrap()
    })
}

fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("samples")
}

/// The sample of a language, loaded once for all tests.
fn load(language: &str) -> &'static Provider {
    static LOADED: [OnceLock<Provider>; LANGUAGES.len()] = [const { OnceLock::new() }; LANGUAGES.len()];
    let at = LANGUAGES.iter().position(|known| *known == language).unwrap();
    LOADED[at].get_or_init(|| {
        Provider::load(engine(), &sample(language)).unwrap_or_else(|error| panic!("{language}: {error}"))
    })
}

/// The cases that all samples share, in order of their files.
fn shared_cases() -> Vec<Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("sdk/example-telecom/cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| cases::read(&std::fs::read_to_string(file).unwrap()).unwrap())
        .collect()
}

#[track_caller]
fn all_hold(provider: &Provider, cases: &[Case]) {
    assert!(!cases.is_empty());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let problem = case.run(provider).err()?;
            Some(format!("{}: {}\n{problem}", case.export, case.name))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases do not hold:\n\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n\n")
    );
}

fn passes_the_shared_cases(language: &str) {
    all_hold(load(language), &shared_cases());
}

/// Cases read documents that are embedded in texts; here their spelling counts too. Whatever randomness a language has must
/// not show.
fn gives_the_same_bytes_as_the_rust_sample(language: &str) {
    let (reference, provider) = (load("rust"), load(language));
    let exactly = |provider: &Provider, case: &Case| {
        let arguments = case.arguments(provider).unwrap();
        provider
            .invoke_json_exactly(&case.export, &arguments, &Moment::at(0))
            .unwrap_or_else(|error| panic!("{language}: {}: {error}", case.name))
    };
    for case in shared_cases() {
        let (expected, given) = (exactly(reference, &case), exactly(provider, &case));
        assert_eq!(given, expected, "{language}: {}: {}", case.export, case.name);
    }
}

/// What was built for a contract must run for ever, with what was expected of it then.
#[test]
fn every_component_built_for_contract_0_1_0_still_runs() {
    let folder = root().join("tests/fixtures/contract-0.1.0");
    let unpacked = |name: &str| {
        let packed = std::fs::File::open(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut bytes = Vec::new();
        StreamingDecoder::new(packed).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let cases = cases::read(&String::from_utf8(unpacked("cases.json.zst")).unwrap()).unwrap();
    for language in LANGUAGES {
        let provider = Provider::load(engine(), &unpacked(&format!("{language}.wasm.zst")));
        all_hold(&provider.unwrap_or_else(|error| panic!("{language}: {error}")), &cases);
    }
}

/// An agent that is interrupted, answers, and hangs up when a key is pressed.
fn agent() -> AgentScript {
    AgentScript::new()
        .on(
            AgentWhen::Start,
            [tone(440.0, 4_000).into(), AgentDo::Mark("greeting".to_owned())],
        )
        .once(AgentWhen::HeardWhileSpeaking(ms(200)), [AgentDo::Clear])
        .once(
            AgentWhen::Quiet(ms(400)),
            [tone(600.0, 800).into(), AgentDo::Mark("reply".to_owned())],
        )
        .on(AgentWhen::Dtmf('5'), [AgentDo::HangUp])
}

/// Lets the agent begin, speaks over it, hears its answer, and presses a key.
fn person() -> CallerScript {
    CallerScript::new()
        .wait_heard(ms(600), DEADLINE)
        .speak(tone(1_000.0, 1_000))
        .wait_quiet(ms(400), DEADLINE)
        .press('5')
        .stay()
}

/// A gateway that has this sample and nothing else.
async fn start(language: &str) -> Installation {
    let folder = scratch().join(language);
    std::fs::create_dir_all(&folder).unwrap();
    let draft = tempfile::NamedTempFile::new_in(&folder).unwrap();
    std::fs::write(draft.path(), sample(language)).unwrap();
    draft.persist(folder.join(format!("{PROVIDER}.wasm"))).unwrap();
    // The first gateway compiles for all that come after.
    static FIRST: Mutex<()> = Mutex::const_new(());
    let _first = FIRST.lock().await;
    let installation = Scenario::native(16_000, agent())
        .over(PROVIDER)
        .providers(&folder)
        .start()
        .await;
    let skipped = &installation.gateway.skipped;
    assert!(skipped.is_empty(), "{language}: {skipped:#?}");
    installation
}

/// The whole of a conversation, whoever called: speech both ways, an interruption, a key, marks, and the agent hangs up.
async fn check(installation: &Installation, report: &CallReport, direction: &str) {
    let stream = stream(report);
    assert_eq!(stream.unreadable, Vec::<String>::new());
    assert_eq!(report.status, CallStatus::Completed, "{report:#?}");
    // By request, or by closing the media, which this carrier takes as the end of what it was told to do.
    let ended_by_gateway = matches!(report.hang_up, Some(HangUp::Rest | HangUp::Markup));
    assert!(ended_by_gateway, "{report:#?}");
    let agent = installation.heard_by_agent().await;
    assert!((frequency(unbroken(&agent.audio), agent.rate_hz) - 1_000.0).abs() < 20.0);
    let heard = stream.heard();
    let sound = |sample: &i16| sample.abs() > 500;
    let (first, last) = (
        heard.iter().position(sound).unwrap(),
        heard.iter().rposition(sound).unwrap(),
    );
    for (words, hz) in [
        (&heard[first..first + 4_000], 440.0),
        (&heard[last - 4_000..last], 600.0),
    ] {
        let heard_hz = frequency(unbroken(words), stream.rate_hz);
        assert!((heard_hz - hz).abs() < 20.0, "{heard_hz} Hz, not {hz} Hz: {words:?}");
    }
    assert_eq!((agent.digits.as_str(), agent.clears.len()), ("5", 1));
    assert!(agent.marks.iter().any(|mark| mark.name == "reply"), "{:?}", agent.marks);
    // The interruption went through to the carrier, and cut the greeting.
    assert!(!stream.clears.is_empty());
    assert!(stream.heard_duration() < ms(3_500), "{:?}", stream.heard_duration());

    let record = installation.closed_call().await;
    assert_eq!(record["provider"], PROVIDER);
    assert_eq!(record["direction"], direction);
    assert_eq!(record["provider_call_id"], report.call_id);
    assert_eq!(record["outcome"]["status"], "completed");
    assert_eq!(record["outcome"]["reason"], "agent_hung_up");
    assert_eq!(record["outcome"]["digits"], 1);
    assert_eq!(record["outcome"]["media"]["provider_faults"], 0);
    assert_eq!(record["outcome"]["media"]["malformed_messages"], 0);
    in_order(
        &installation.kinds(&record).await,
        &["media_connected", "media_started", "dtmf", "agent_hung_up"],
    );
    // The price is worked out after the call: the first question comes too early.
    let exchange = installation.gateway.exchange();
    let now = exchange.clock().unix_ms();
    for later_ms in [61_000, 600_000] {
        exchange.rate_calls(0, now + later_ms).await.unwrap();
    }
    let rated = installation.closed_call().await;
    assert_eq!(rated["cost"]["currency"], "USD", "{rated:#}");
}

/// The longest stretch of sound without a hole. A slow machine leaves some, and the wave does not go on where it was.
fn unbroken(samples: &[i16]) -> &[i16] {
    let (mut longest, mut start, mut at) = (0..0, 0, 0);
    for run in samples.chunk_by(|one, next| (*one == 0) == (*next == 0)) {
        at += run.len();
        if run[0] == 0 && run.len() >= 8 {
            start = at;
        } else if at - start > longest.len() {
            longest = start..at;
        }
    }
    &samples[longest]
}

async fn takes_a_call(language: &str) {
    let installation = start(language).await;
    // The number points here since it was set up.
    let number = installation.carrier.number(installation.carrier.own_number()).unwrap();
    assert!(number.voice.url.ends_with("/inbound/run"), "{number:?}");
    let report = finished(&installation.call_in(person())).await;
    check(&installation, &report, "inbound").await;
}

async fn places_a_call(language: &str) {
    let installation = start(language).await;
    installation.carrier.set_callee(CALLEE, Callee::answers(person()));
    let placed = installation
        .api
        .post("/telephony/initiate-call", installation.outbound())
        .await;
    placed.ok();
    let call = installation.carrier.next_outbound(DEADLINE).await.unwrap();
    let report = finished(&call).await;
    check(&installation, &report, "outbound").await;
}

/// What goes wrong in the carrier's words arrives in ours.
async fn is_told_what_goes_wrong(language: &str) {
    let installation = start(language).await;
    for (callee, status) in [
        (Callee::Busy, "busy"),
        (Callee::NoAnswer { after: ms(100) }, "no-answer"),
        (Callee::Unreachable, "failed"),
    ] {
        installation.carrier.set_callee(CALLEE, callee);
        let reply = installation
            .api
            .post("/telephony/initiate-call", installation.outbound())
            .await;
        let path = format!("/calls/{}", reply.ok()["call_id"].as_str().unwrap());
        let record = eventually("the call's record is closed", async || {
            let call = installation.api.get(&path).await.ok();
            (call["state"] == "completed").then_some(call)
        })
        .await;
        assert_eq!(record["outcome"]["status"], status, "{record:#}");
    }
    let refuses = Misbehaviour {
        rest_error: Some(429),
        ..Misbehaviour::default()
    };
    installation.carrier.set_misbehaviour(refuses);
    let reply = installation
        .api
        .post("/telephony/initiate-call", installation.outbound())
        .await;
    assert_eq!(reply.status, 429, "{}", reply.text());
    assert!(
        reply.text().contains("The carrier asks to slow down."),
        "{}",
        reply.text()
    );
}

macro_rules! languages {
    ($($language:ident),*) => {
    const LANGUAGES: &[&str] = &[$(stringify!($language)),*];

    $(
        mod $language {
            #[test]
            fn passes_the_shared_cases() {
                super::passes_the_shared_cases(stringify!($language));
            }

            #[test]
            fn gives_the_same_bytes_as_the_rust_sample() {
                super::gives_the_same_bytes_as_the_rust_sample(stringify!($language));
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn takes_a_call() {
                super::takes_a_call(stringify!($language)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn places_a_call() {
                super::places_a_call(stringify!($language)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn is_told_what_goes_wrong() {
                super::is_told_what_goes_wrong(stringify!($language)).await;
            }
        }
    )*
    };
}

languages!(rust, javascript, python, c);
