//! The way in: what is examined before a component is installed, what is shown of it, and who may do what with it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use strowger_host::child::ChildError;
use strowger_host::limits::Class;
use strowger_host::operation::{Call, Direction};
use strowger_host::{Engine, EngineOptions, HostFault, InvokeError, IsolatedCompiler, LoadError, Moment, Provider};
use strowger_server::gateway::Gateway;
use strowger_server::settings::Settings;
use strowger_tests::{guest_bytes, provider_bytes};
use tempfile::TempDir;

use crate::cli::binary;
use crate::harness::{self, Api};

/// Below `/api/v1`.
const PROVIDERS: &str = "/organizations/telephony-providers";

/// A component that does the same and is another one: a custom section more.
fn variant(component: &[u8], tag: u8) -> Vec<u8> {
    [component, &[0, 5, 3], b"tag", &[tag]].concat()
}

fn digest(component: &[u8]) -> String {
    strowger_host::engine::digest(component)
}

// The compiler in a process of its own.

fn compile(component: &[u8], bound: impl FnOnce(&mut IsolatedCompiler)) -> Result<Provider, LoadError> {
    let mut compiler = IsolatedCompiler::new(binary());
    bound(&mut compiler);
    let engine = Engine::new(EngineOptions {
        instances_max: 4,
        compiler: Some(compiler),
        ..EngineOptions::default()
    });
    Provider::load(&engine.unwrap(), component)
}

/// Well within the limits of its structure, and more work than the compiler is given here.
fn bomb() -> Vec<u8> {
    let body = "(local.set 0 (i64.mul (i64.add (local.get 0) (i64.const 3)) (i64.xor (local.get 0) (i64.const 5))))";
    let function = format!("(func (param i64) (result i64) {} (local.get 0))", body.repeat(300));
    let contract = ["descriptor", "webhook", "answer", "media"]
        .map(|interface| format!("(export \"strowger:provider/{interface}@0.1.0\" (instance $empty))"))
        .join("\n");
    let text = format!(
        "(component (core module {}) (instance $empty) {contract})",
        function.repeat(2_000)
    );
    wat::parse_str(text).unwrap()
}

fn cause(result: Result<Provider, LoadError>) -> ChildError {
    match result {
        Err(LoadError::Compiler(error)) => error.cause().clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_honest_component_is_compiled_in_a_process_of_its_own() {
    let provider = compile(&provider_bytes("twilio"), |_| {}).unwrap();
    assert_eq!(provider.name(), "twilio");
}

#[test]
fn a_compiler_that_takes_too_long_or_too_much_is_ended_and_says_so() {
    let bomb = bomb();
    let ended = cause(compile(&bomb, |compiler| compiler.bounds.cpu_s_max = 1));
    assert_eq!(ended, ChildError::Processor { max_s: 1 });
    let wall = Duration::from_millis(100);
    assert_eq!(
        cause(compile(&bomb, |compiler| compiler.bounds.wall = wall)),
        ChildError::Wall { max: wall }
    );
    let max = 48 << 20;
    assert_eq!(
        cause(compile(&bomb, |compiler| compiler.bounds.memory_bytes_max = max)),
        ChildError::Memory { max }
    );
    let max = 1_000;
    assert_eq!(
        cause(compile(&provider_bytes("twilio"), |compiler| compiler
            .bounds
            .output_bytes_max =
            max)),
        ChildError::Output { max }
    );
}

#[test]
fn what_the_compiler_refuses_is_the_components_fault_and_a_missing_compiler_is_ours() {
    // A body that does not fit its type: its structure is sound.
    let mut broken = bomb();
    let multiplication = broken.iter().position(|&byte| byte == 0x7e).unwrap();
    broken[multiplication] = 0x7d;
    let refused = compile(&broken, |_| {}).unwrap_err();
    assert!(matches!(refused, LoadError::Invalid(_)), "{refused}");
    let missing = compile(&provider_bytes("twilio"), |compiler| {
        compiler.program = "/nowhere/strowger".into()
    });
    let missing = missing.unwrap_err();
    assert!(
        missing.to_string().contains("/nowhere/strowger") && missing.to_string().contains("not the component's fault"),
        "{missing}"
    );
}

#[test]
fn large_instances_are_few_and_one_more_than_that_is_our_fault() {
    let file = strowger_tests::root().join("target/samples/javascript.wasm");
    let component = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}: `just samples`", file.display()));
    let engine = Engine::new(EngineOptions {
        instances_max: 4,
        interpreted_instances_max: 1,
        compiler: Some(IsolatedCompiler::new(binary())),
        ..EngineOptions::default()
    });
    let engine = engine.unwrap();
    let provider = Provider::load(&engine, &component).unwrap();
    assert_eq!(provider.class(), Class::Interpreted);
    let entered = json!({ "account": "ACME01", "api_key": "key", "signing_secret": "secret" });
    let credentials = strowger_tests::credentials(&provider, &entered);
    let call = Call {
        id: "018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192".to_owned(),
        provider_call_id: None,
        direction: Direction::Inbound,
        caller: "+4930123456".to_owned(),
        callee: "+14155550100".to_owned(),
        routes: Vec::new(),
        attachment: None,
    };
    let leg = provider.open_leg(&credentials, call, Moment::at(1)).unwrap();
    let check = || provider.check_credentials(&credentials, &Moment::at(1));
    assert!(matches!(check(), Err(InvokeError::Host(HostFault::AtCapacity(_)))));
    // Compact ones have slots of their own.
    let compact = Provider::load(&engine, &provider_bytes("twilio")).unwrap();
    assert_eq!(compact.class(), Class::Compact);
    drop(leg);
    check().unwrap();
}

// The operator's command line.

struct Operator {
    data: TempDir,
}

impl Operator {
    fn new() -> Self {
        Self {
            data: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let file = self.data.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file.display().to_string()
    }

    fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        let mut command = Command::new(binary());
        command.env_clear().args(["provider"]).args(arguments);
        command.arg("--data-dir").arg(self.data.path().join("data"));
        command.envs(settings.iter().copied());
        command.stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn tells(&self, arguments: &[&str]) -> String {
        self.tells_with(arguments, &[], 0)
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str]) -> String {
        self.tells_with(arguments, &[], 2)
    }

    #[track_caller]
    fn tells_with(&self, arguments: &[&str], settings: &[(&str, &str)], status: i32) -> String {
        let output = self.run(arguments, settings);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        text
    }
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn what_a_component_may_ever_do_is_shown_before_it_is_granted() {
    let operator = Operator::new();
    let component = provider_bytes("plivo");
    let file = operator.write("plivo.wasm", &component);
    let page: Value = serde_json::from_str(&operator.tells(&["add", &file, "--json"])).unwrap();
    assert_eq!(page["provider"], "plivo");
    assert_eq!(page["digest"], digest(&component));
    assert_eq!(page["class"], "compact");
    assert_eq!(page["signer"], Value::Null);
    let hosts: Vec<&str> = page["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|host| host["host"].as_str().unwrap())
        .collect();
    assert!(hosts.contains(&"api.plivo.com"), "{hosts:?}");
    let sealed = |field: &str| {
        let fields = page["fields"].as_array().unwrap();
        fields.iter().find(|shown| shown["name"] == field).unwrap()["sealed"].clone()
    };
    assert_eq!((sealed("auth_token"), sealed("auth_id")), (json!(true), json!(false)));
    assert!(page["abilities"].as_array().unwrap().contains(&json!("calling")));
    let costs = page["costs"].as_array().unwrap();
    assert!(
        costs
            .iter()
            .any(|cost| cost["export"] == "media.serialize-frame" && cost["instructions"].as_u64() > Some(0))
    );
    // The same for people, on one screen.
    let shown = operator.tells(&["add", &file]);
    contains(
        &shown,
        &[
            "api.plivo.com",
            "sealed: it never sees",
            "instructions",
            "was installed before",
            "provider adopt plivo",
        ],
    );
    assert!(shown.lines().count() < 80, "{}", shown.lines().count());
}

#[test]
fn versions_are_adopted_tried_out_returned_to_and_removed_from_the_command_line() {
    let operator = Operator::new();
    let (one, two) = (provider_bytes("plivo"), variant(&provider_bytes("plivo"), 2));
    let (one_file, two_file) = (operator.write("one.wasm", &one), operator.write("two.wasm", &two));
    let (one, two) = (digest(&one), digest(&two));
    operator.tells(&["add", &one_file]);
    // Nobody was asked about its hosts, and nobody is there to answer.
    contains(
        &operator.refuses(&["adopt", "plivo", &one]),
        &["api.plivo.com", "--allow-host", "--yes"],
    );
    contains(
        &operator.refuses(&["adopt", "plivo", &one, "--allow-host", "elsewhere.example"]),
        &["elsewhere.example", "api.plivo.com"],
    );
    operator.tells(&["adopt", "plivo", &one[..12], "--yes"]);
    contains(
        &operator.tells(&["versions"]),
        &["for all organizations", &one[..12], "live", "may reach api.plivo.com"],
    );
    // What was confirmed once need not be confirmed for every version.
    operator.tells(&["add", &two_file]);
    operator.tells(&["canary", "plivo", &two, "--share", "5%"]);
    contains(&operator.tells(&["versions", "plivo"]), &["canary 5.0 %"]);
    contains(&operator.refuses(&["remove", "plivo", &two]), &["share of calls"]);
    operator.tells(&["canary", "plivo", &two, "--share", "0%"]);
    operator.tells(&["adopt", "plivo", &two]);
    contains(&operator.tells(&["rollback", "plivo"]), &[&one]);
    operator.tells(&["remove", "plivo", &two]);
    assert!(!operator.tells(&["versions"]).contains(&two[..12]));
    contains(&operator.refuses(&["versions", "nobody"]), &["no provider `nobody`"]);
    contains(
        &operator.refuses(&["add", &one_file, "--organization", "Nobody"]),
        &["no organization `Nobody`", "org create"],
    );
}

#[test]
fn a_component_must_be_the_one_that_was_meant_and_signed_by_who_is_trusted() {
    let operator = Operator::new();
    let component = provider_bytes("plivo");
    let file = operator.write("plivo.wasm", &component);
    let key = SigningKey::from_bytes(&[9; 32]);
    let signature = operator.write("plivo.sig", &key.sign(&component).to_bytes());
    let forged = operator.write("forged.sig", &key.sign(b"something else").to_bytes());
    let trusted = format!("acme={}", hex::encode(key.verifying_key().to_bytes()));
    let strict = [
        ("STROWGER_TRUSTED_SIGNERS", trusted.as_str()),
        ("STROWGER_REQUIRE_SIGNATURE", "true"),
    ];
    let refuses = |arguments: &[&str]| operator.tells_with(arguments, &strict, 2);
    contains(&refuses(&["add", &file]), &["no signature", "acme"]);
    contains(
        &refuses(&["add", &file, "--signature", &forged]),
        &["another file", "acme"],
    );
    contains(&refuses(&["add", &file, "--signature", &file]), &["no signature"]);
    // A signature that nobody can check is not passed over.
    contains(
        &operator.refuses(&["add", &file, "--signature", &signature]),
        &["nobody is trusted", "trusted_signers"],
    );
    let added = operator.tells_with(&["add", &file, "--signature", &signature], &strict, 0);
    contains(&added, &["signed by   acme"]);
    contains(&operator.tells(&["versions"]), &["signed by acme"]);

    let other = digest(b"another file");
    contains(
        &operator.refuses(&["add", &file, "--digest", &other]),
        &[&digest(&component), &other],
    );
    contains(
        &operator.refuses(&["add", &file, "--digest", "abc"]),
        &["`abc` is no digest"],
    );
    operator.tells(&["add", &file, "--digest", &format!("sha256:{}", digest(&component))]);
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let operator = Operator::new();
    for (name, bytes, expected) in [
        ("garbage", b"hello".to_vec(), "not a WebAssembly file"),
        (
            "bad-manners",
            guest_bytes("strowger_hostile_guest"),
            "does not conform to the contract",
        ),
        ("empty", Vec::new(), "not a WebAssembly file"),
    ] {
        let file = operator.write(name, &bytes);
        contains(&operator.refuses(&["add", &file, "--yes"]), &[expected]);
    }
    contains(&operator.tells(&["versions"]), &["No provider is installed"]);
    for folder in ["cache", "components"] {
        let folder = operator.data.path().join("data").join(folder);
        let files = std::fs::read_dir(&folder).map_or(0, Iterator::count);
        assert_eq!(files, 0, "{}", folder.display());
    }
}

/// `strowger serve` on the operator's data directory, ended with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_runs_follows_the_command_line() {
    let operator = Operator::new();
    let data = operator.data.path().join("data");
    let org = Command::new(binary())
        .env_clear()
        .args(["org", "create", "Acme", "--data-dir"])
        .arg(&data)
        .output();
    let org = String::from_utf8(org.unwrap().stdout).unwrap();
    let key = org
        .lines()
        .find_map(|line| line.strip_prefix("API key"))
        .unwrap()
        .trim()
        .to_owned();
    let mut served = Command::new(binary());
    served
        .env_clear()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data);
    let mut served = Served(served.stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(served.0.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    // Without a provider it runs, and says how to get one.
    assert!(log.any(|line| line.contains("strowger provider add")));
    let address = log
        .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
        .unwrap();
    std::thread::spawn(move || log.for_each(drop));

    let file = operator.write("plivo.wasm", &provider_bytes("plivo"));
    operator.tells(&["add", &file, "--yes"]);
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    harness::eventually("the gateway offers the provider", async || {
        let request = client.get(format!("http://{address}/api/v1{PROVIDERS}/metadata"));
        let (_, metadata) = answer(request.bearer_auth(&key)).await;
        (metadata["providers"][0]["provider"] == "plivo").then_some(())
    })
    .await;
}

// A tenant, over the API.

struct Tenants {
    gateway: Gateway,
    acme: Api,
    mallory: Api,
    _shelf: TempDir,
    data: TempDir,
}

impl Tenants {
    async fn start() -> Self {
        let (data, shelf) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(shelf.path().join("twilio.wasm"), provider_bytes("twilio")).unwrap();
        let mut settings = Settings::load(&harness::flags(data.path(), shelf.path())).unwrap();
        settings.program = Some(binary());
        // The clients of other tests have it from their simulated carrier.
        drop(rustls::crypto::ring::default_provider().install_default());
        let gateway = Gateway::start(settings).await.unwrap();
        Self {
            acme: Api::new(&gateway, "Acme").await,
            mallory: Api::new(&gateway, "Mallory").await,
            gateway,
            _shelf: shelf,
            data,
        }
    }

    fn upload(&self, tenant: &Api, query: &str, component: Vec<u8>) -> RequestBuilder {
        tenant
            .client
            .post(format!("http://{}/api/v1{PROVIDERS}{query}", self.gateway.address()))
            .bearer_auth(tenant.key())
            .header("content-type", "application/wasm")
            .body(component)
    }

    async fn uploaded(&self, tenant: &Api, component: Vec<u8>) -> (u16, Value) {
        answer(self.upload(tenant, "", component)).await
    }
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap(),
    )
}

async fn names(api: &Api, path: &str) -> Vec<String> {
    let providers = api.get(path).await.ok()["providers"].clone();
    let providers = providers.as_array().unwrap();
    providers
        .iter()
        .map(|provider| provider["provider"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_installs_a_provider_for_itself_alone() {
    let tenants = Tenants::start().await;
    let (acme, mallory) = (&tenants.acme, &tenants.mallory);
    let component = provider_bytes("plivo");
    let (status, page) = tenants.uploaded(acme, component.clone()).await;
    assert_eq!(status, 201, "{page}");
    assert_eq!(
        (&page["provider"], &page["digest"]),
        (&json!("plivo"), &json!(digest(&component)))
    );
    assert!(!page["costs"].as_array().unwrap().is_empty());
    assert_eq!(tenants.uploaded(acme, component.clone()).await.0, 200);

    // It is there, takes no calls, and for the other organisation it is not there.
    let metadata = format!("{PROVIDERS}/metadata");
    assert_eq!(names(acme, PROVIDERS).await, ["plivo", "twilio"]);
    assert_eq!(names(acme, &metadata).await, ["twilio"]);
    assert_eq!(names(mallory, PROVIDERS).await, ["twilio"]);

    let version = format!("{PROVIDERS}/plivo/versions/{}", digest(&component));
    let adopt = format!("{version}/adopt");
    mallory.post(&adopt, json!({ "hosts": [] })).await.refused(404);
    assert_eq!(acme.post(&adopt, json!({})).await.refused(422), "unconfirmed_hosts");
    assert_eq!(
        acme.post(&adopt, json!({ "hosts": ["elsewhere.example"] }))
            .await
            .refused(422),
        "undeclared_hosts"
    );
    assert_eq!(
        acme.post(&adopt, json!({ "hosts": "all" })).await.refused(422),
        "invalid_fields"
    );
    let hosts: Vec<Value> = page["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|host| host["host"].clone())
        .collect();
    let adopted = acme.post(&adopt, json!({ "hosts": hosts })).await.ok();
    assert_eq!(
        (&adopted["live"], &adopted["own"]),
        (&json!(digest(&component)), &json!(true))
    );
    assert_eq!(names(acme, &metadata).await, ["plivo", "twilio"]);
    assert_eq!(names(mallory, &metadata).await, ["twilio"]);

    // Names are unique: nobody's provider stands in for another's.
    let (status, error) = tenants.uploaded(mallory, variant(&component, 1)).await;
    assert_eq!(status, 409, "{error}");
    let (status, error) = tenants.uploaded(acme, variant(&provider_bytes("twilio"), 1)).await;
    assert_eq!(status, 409, "{error}");
    let twilio = format!("{PROVIDERS}/twilio/rollback");
    assert_eq!(acme.post(&twilio, json!({})).await.refused(403), "not_yours");

    // A second version, tried out, adopted, rolled back, removed.
    let second = variant(&component, 2);
    assert_eq!(tenants.uploaded(acme, second.clone()).await.0, 201);
    let version = format!("{PROVIDERS}/plivo/versions/{}", digest(&second));
    let tried = acme
        .post(&format!("{version}/canary"), json!({ "share_permille": 50 }))
        .await
        .ok();
    assert_eq!(
        tried["canary"],
        json!({ "digest": digest(&second), "share_permille": 50 })
    );
    acme.post(&format!("{version}/canary"), json!({ "share_permille": 1001 }))
        .await
        .refused(422);
    acme.post(&format!("{version}/canary"), json!({ "share_permille": 0 }))
        .await
        .ok();
    assert_eq!(
        acme.post(&format!("{version}/adopt"), json!({})).await.ok()["live"],
        json!(digest(&second))
    );
    let back = acme.post(&format!("{PROVIDERS}/plivo/rollback"), json!({})).await.ok();
    assert_eq!(back["live"], json!(digest(&component)));
    assert_eq!(acme.send(Method::DELETE, &version, None).await.status, 204);
    acme.send(Method::DELETE, &version, None).await.refused(404);
    let cache = std::fs::read_dir(tenants.data.path().join("cache")).unwrap();
    let removed = digest(&second);
    assert!(
        cache
            .flatten()
            .all(|file| !file.file_name().to_string_lossy().starts_with(&removed))
    );
    tenants.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_uploads_is_refused_with_its_reason() {
    let tenants = Tenants::start().await;
    let acme = &tenants.acme;
    for (component, status, code) in [
        (b"hello".to_vec(), 422, "not_a_provider"),
        (guest_bytes("strowger_hostile_guest"), 422, "not_conformant"),
        (vec![0; 64 * 1024 * 1024 + 1], 413, "not_a_provider"),
    ] {
        let (found, error) = tenants.uploaded(acme, component).await;
        assert_eq!((found, error["code"].as_str()), (status, Some(code)), "{error}");
    }
    let component = provider_bytes("plivo");
    let pinned = format!("?digest=sha256:{}", digest(b"another file"));
    let (status, error) = answer(tenants.upload(acme, &pinned, component.clone())).await;
    assert_eq!((status, error["code"].as_str()), (422, Some("digest")), "{error}");
    let signed = tenants
        .upload(acme, "", component.clone())
        .header("strowger-signature", "AAAA");
    let (status, error) = answer(signed).await;
    assert_eq!((status, error["code"].as_str()), (422, Some("signature")), "{error}");
    let stranger = acme
        .client
        .post(format!("http://{}/api/v1{PROVIDERS}", tenants.gateway.address()));
    assert_eq!(answer(stranger.body(component.clone())).await.0, 401);

    // One at a time: the second is told so, and may come again.
    let (first, second) = tokio::join!(
        tenants.uploaded(acme, component.clone()),
        tenants.uploaded(acme, variant(&component, 7))
    );
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 429], "{first:?} {second:?}");
    let refused = if first.0 == 429 {
        component
    } else {
        variant(&component, 7)
    };
    assert_eq!(tenants.uploaded(acme, refused).await.0, 201);
    tenants.gateway.stop().await;
}
