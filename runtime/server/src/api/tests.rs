//! The API from outside: requests in, responses out, with a carrier that does as it is told.

mod access;
mod bad_input;
mod conditions;
mod document;
mod every_route;
mod inspection;
mod pages;
mod rules;
mod setup;
mod trunks;
mod webhook_endpoints;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::{self, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use strowger_host::operation::{Detail, FailureKind, FailureOwner};
use strowger_host::spec::{
    Choice, Connectivity, Encoding, Field, FieldType, HostPattern, MediaProfile, ProofPolicy, WireFormat,
};
use strowger_host::{Engine, EngineOptions};
use tower::ServiceExt as _;

use super::*;
use crate::admission::{CallLimits, GatewayId};
use crate::clock::Clock;
use crate::install::{InstallOptions, Installer};
use crate::store::testing::{self, TestStore};
use crate::store::{ApiKey, ApiKeyId, CallFinish, MediaToken, NewApiKey, NewCall, NewEvent, Role, new_call_id};
use crate::waveform::Waveforms;

const NOW: UnixMs = 1_795_365_000_125;
const CONFIGS: &str = "/api/v1/organizations/telephony-configs";

/// What runs calls, as far as the API can tell: it answers what a test has put into it and notes what it was asked.
struct Fake {
    store: TestStore,
    catalogue: Catalogue,
    installer: Installer,
    providers: Vec<ProviderView>,
    slots: Slots,
    answers: Mutex<Answers>,
    asked: Mutex<Vec<String>>,
    changes: AtomicUsize,
    live: LiveCalls,
    allow_networks: Vec<IpNetwork>,
}

#[derive(Default)]
struct Answers {
    check: Option<OperationError>,
    ownership: Option<Result<Ownership, OperationError>>,
    sync: Option<OperationError>,
    /// What the provider sets when a configuration is saved.
    set: Option<Result<Vec<SetField>, OperationError>>,
    /// The provider's checklist: every time, until it is changed.
    steps: Vec<SetupStep>,
    /// The component fails whenever it is asked what is left to do, or what to enter elsewhere.
    speechless: bool,
    applied: Option<Result<AppliedTrunk, OperationError>>,
    removed: Option<OperationError>,
    /// Somebody takes the database's lock while the carrier is busy with a trunk, and keeps it.
    locked_by: Option<Store>,
    lock: Option<testing::Lock>,
    place: Option<OperationError>,
    timeline: Option<String>,
}

impl Fake {
    fn ask(&self, what: impl Into<String>) {
        self.asked.lock().unwrap().push(what.into());
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn answer(&self, set: impl FnOnce(&mut Answers)) {
        set(&mut self.answers.lock().unwrap());
    }
}

impl Operations for Fake {
    fn store(&self) -> &Store {
        &self.store.store
    }

    fn now(&self) -> UnixMs {
        NOW
    }

    fn public_base(&self) -> &str {
        "https://voice.example.com"
    }

    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn installer(&self) -> &Installer {
        &self.installer
    }

    async fn refresh_providers(&self) {
        self.ask("refresh the providers");
    }

    fn providers(&self, _: &OrganizationId) -> Vec<ProviderView> {
        self.providers.clone()
    }

    fn provider(&self, _: &OrganizationId, name: &str) -> Option<ProviderView> {
        self.providers
            .iter()
            .find(|provider| provider.spec.name == name)
            .cloned()
    }

    async fn check_credentials(
        &self,
        _: &OrganizationId,
        provider: &str,
        _: &Credentials,
    ) -> Result<(), OperationError> {
        self.ask(format!("check {provider}"));
        self.answers.lock().unwrap().check.take().map_or(Ok(()), Err)
    }

    async fn prepare_credentials(
        &self,
        _: &OrganizationId,
        _: &str,
        _: &ConfigurationId,
        credentials: &Credentials,
        occasion: Occasion,
    ) -> Result<Vec<SetField>, OperationError> {
        // What the provider made for an account before is in the credentials that it gets.
        let known = credentials.plain_text("application").unwrap_or("nothing");
        let occasion = match occasion {
            Occasion::Create => "create",
            Occasion::Update => "update",
        };
        self.ask(format!("prepare to {occasion}, knowing {known}"));
        self.answers.lock().unwrap().set.take().unwrap_or(Ok(Vec::new()))
    }

    async fn checklist(
        &self,
        configuration: &Configuration,
        _: ConfigurationFacts,
    ) -> Result<Vec<SetupStep>, OperationError> {
        let spec = self
            .provider(&configuration.organization, &configuration.provider)
            .unwrap()
            .spec;
        Credentials::check(&spec, configuration.credentials.expose()).map_err(OperationError::Fields)?;
        let answers = self.answers.lock().unwrap();
        if answers.speechless {
            Err(fault())
        } else {
            Ok(answers.steps.clone())
        }
    }

    async fn connectivity_details(&self, _: &Configuration) -> Result<Vec<DetailGroup>, OperationError> {
        if self.answers.lock().unwrap().speechless {
            return Err(fault());
        }
        let host = Detail {
            label: "Host".to_owned(),
            value: "1.sip.example".to_owned(),
        };
        Ok(vec![DetailGroup {
            title: "SIP".to_owned(),
            description: None,
            details: vec![host],
        }])
    }

    fn configurations_changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    async fn apply_trunk(&self, _: &Configuration, trunk: Trunk) -> Result<AppliedTrunk, OperationError> {
        self.ask(format!(
            "apply {} {} {} {}",
            trunk.name,
            trunk.enabled,
            trunk.settings,
            trunk.external_id.as_deref().unwrap_or("new")
        ));
        let locked_by = self.answers.lock().unwrap().locked_by.take();
        if let Some(store) = locked_by {
            let lock = store.hold_for_tests().await;
            self.answers.lock().unwrap().lock = Some(lock);
        }
        let applied = self.answers.lock().unwrap().applied.take();
        applied.unwrap_or_else(|| {
            Ok(AppliedTrunk {
                external_id: Some(trunk.external_id.unwrap_or_else(|| "TR-1".to_owned())),
                settings: serde_json::from_str(&trunk.settings).unwrap(),
            })
        })
    }

    async fn remove_trunk(&self, _: &Configuration, trunk: Trunk) -> Result<(), OperationError> {
        self.ask(format!(
            "remove {} {}",
            trunk.name,
            trunk.external_id.as_deref().unwrap_or("unknown")
        ));
        self.answers.lock().unwrap().removed.take().map_or(Ok(()), Err)
    }

    async fn validate_number(&self, _: &Configuration, address: &Address) -> Result<Ownership, OperationError> {
        self.ask(format!("validate {}", address.expose()));
        self.answers
            .lock()
            .unwrap()
            .ownership
            .take()
            .unwrap_or(Ok(Ownership::Owned))
    }

    async fn configure_inbound(
        &self,
        _: &Configuration,
        address: &Address,
        attach: bool,
    ) -> Result<Synchronisation, OperationError> {
        self.ask(format!("configure {} {attach}", address.expose()));
        self.answers
            .lock()
            .unwrap()
            .sync
            .take()
            .map_or(Ok(Synchronisation::Done), Err)
    }

    async fn place_call(&self, request: CallRequest) -> Result<CallRecord, OperationError> {
        let from = request
            .caller_id
            .as_ref()
            .map_or("nothing", |number| number.address.expose());
        self.ask(format!(
            "place {} from {from} over {}",
            request.callee.expose(),
            request.configuration.name
        ));
        if let Some(error) = self.answers.lock().unwrap().place.take() {
            return Err(error);
        }
        let new = NewCall {
            id: new_call_id(),
            organization: request.organization,
            configuration: request.configuration.id,
            number: request.caller_id.map(|number| number.id),
            agent: Some(request.agent.id),
            provider: request.configuration.provider,
            provider_version: "sha256:00".to_owned(),
            provider_call_id: None,
            caller: None,
            callee: request.callee,
            attachment: None,
            media: Some((MediaToken::generate()?, NOW + 1_000)),
        };
        Ok(self.store.create_outbound_call(&new, NOW).await?)
    }

    async fn hang_up(&self, call: &CallRecord) -> Result<(), OperationError> {
        self.ask(format!("hang up {}", call.id));
        Ok(())
    }

    fn slots(&self) -> &Slots {
        &self.slots
    }

    async fn permit_destination(&self, _: &OrganizationId, destination: &Address) -> Result<(), OperationError> {
        let rules = crate::admission::DestinationRules::by_default();
        Ok(rules.permit(destination).map_err(crate::admission::Refusal::denied)?)
    }

    async fn transfer(&self, call: &CallRecord, request: TransferRequest) -> Result<TransferId, TransferFailure> {
        self.ask(format!("transfer {} to {}", call.id, request.destination.expose()));
        Ok(TransferId::parse(call.id.as_str()).unwrap())
    }

    async fn cancel_transfer(&self, call: &CallRecord) -> bool {
        self.ask(format!("cancel the transfer of {}", call.id));
        true
    }

    fn event_socket(&self, _: &ConfigurationId) -> Option<EventSocketState> {
        None
    }

    fn live(&self) -> &LiveCalls {
        &self.live
    }

    fn allow_networks(&self) -> &[IpNetwork] {
        &self.allow_networks
    }

    fn recording_file(&self, call: &CallRecord) -> Option<PathBuf> {
        call.recording_path
            .as_ref()
            .map(|path| self.store.directory.path().join(path))
    }

    async fn waveform(&self, call: &CallRecord, points: usize) -> Result<Option<Waveform>, OperationError> {
        let Some(recording) = self.recording_file(call) else {
            return Ok(None);
        };
        let timeline = recording.with_extension("timeline.json");
        let read = Waveforms::default().of(recording, timeline, points).await;
        read.map_err(|error| OperationError::Internal(error.to_string()))
    }

    async fn timeline_svg(&self, _: &CallRecord) -> Option<String> {
        self.answers.lock().unwrap().timeline.clone()
    }
}

fn field(name: &str, kind: FieldType) -> Field {
    Field {
        name: name.to_owned(),
        label: name.to_owned(),
        kind,
        required: false,
        sensitive: false,
        server_managed: false,
        account_scoped: false,
        description: None,
        placeholder: None,
        options: Vec::new(),
        visible_when: None,
        section: None,
    }
}

fn provider(name: &str, requires_caller_id: bool, abilities: &[Ability]) -> ProviderView {
    let spec = ProviderSpec {
        name: name.to_owned(),
        display_name: format!("The {name}"),
        version: "1.0.0".to_owned(),
        docs_url: None,
        connectivity: Connectivity::Api,
        requires_caller_id,
        fields: vec![
            Field {
                required: true,
                sensitive: true,
                ..field("account", FieldType::Text)
            },
            Field {
                required: true,
                sensitive: true,
                ..field("auth_token", FieldType::Password)
            },
            field("region", FieldType::Text),
            field("ring_back", FieldType::Boolean),
            Field {
                server_managed: true,
                account_scoped: true,
                ..field("application", FieldType::Text)
            },
            Field {
                server_managed: true,
                ..field("remembered", FieldType::Text)
            },
        ],
        account_id_field: Some("account".to_owned()),
        media: MediaProfile {
            formats: vec![WireFormat {
                encoding: Encoding::Pcmu,
                sample_rate_hz: 8_000,
            }],
            frame_ms: 20,
            subprotocol: None,
            echoes_marks: true,
        },
        routes: Vec::new(),
        egress_hosts: vec![HostPattern::literal("api.example")],
        webhook_proof: ProofPolicy::NoWebhooks,
    };
    ProviderView {
        spec,
        abilities: abilities.to_vec(),
        trunk_fields: Vec::new(),
        digest: "sha256:00".to_owned(),
    }
}

/// A provider with everything that concerns set-up: fields of its own, a checklist, trunks.
fn trunkphone() -> ProviderView {
    let abilities = [Ability::Calling, Ability::Numbers, Ability::Setup, Ability::Trunks];
    let mut provider = provider("trunkphone", true, &abilities);
    provider.spec.connectivity = Connectivity::Sip;
    provider.spec.fields[0].sensitive = false;
    provider.spec.fields[1].account_scoped = true;
    provider.spec.fields.push(field("minted", FieldType::Readonly));
    provider.spec.fields.push(Field {
        account_scoped: true,
        ..field("folder", FieldType::Text)
    });
    let choice = |value: &str| Choice {
        value: value.to_owned(),
        label: value.to_owned(),
    };
    provider.trunk_fields = vec![
        Field {
            required: true,
            options: vec![choice("eu"), choice("us")],
            ..field("region", FieldType::Select)
        },
        field("sip_domain", FieldType::Text),
    ];
    provider
}

fn fault() -> OperationError {
    OperationError::ProviderFault {
        code: "provider-trap".to_owned(),
    }
}

fn failure(kind: FailureKind) -> OperationError {
    OperationError::Failed(Failure {
        kind,
        code: "carrier-says-no".to_owned(),
        message: "The carrier says no.".to_owned(),
        retryable: false,
        owner: FailureOwner::User,
    })
}

struct Server {
    fake: Arc<Fake>,
    router: Router,
    organization: OrganizationId,
    key: String,
}

impl Server {
    async fn start() -> Self {
        let store = testing::open().await;
        let all = [Ability::Calling, Ability::Numbers];
        let providers = vec![
            provider("sipphone", false, &[]),
            provider("testphone", true, &all),
            trunkphone(),
        ];
        let fake = Arc::new(Fake {
            catalogue: Catalogue::new(store.store.clone(), store.directory.path(), Clock::system()),
            installer: Installer::new(
                Engine::new(EngineOptions {
                    instances_max: 2,
                    ..EngineOptions::default()
                })
                .unwrap(),
                InstallOptions::default(),
            ),
            live: LiveCalls::new(store.store.clone()),
            allow_networks: vec!["10.0.0.0/8".parse().unwrap()],
            store,
            providers,
            slots: Slots::new(GatewayId::generate().unwrap(), CallLimits::default()).0,
            answers: Mutex::default(),
            asked: Mutex::default(),
            changes: AtomicUsize::new(0),
        });
        let organization = fake.store.organization("Acme").await;
        let mut server = Self {
            router: router(fake.clone()),
            fake,
            key: String::new(),
            organization: organization.clone(),
        };
        server.key = server.key_of(&organization).await;
        server
    }

    async fn key_of(&self, organization: &OrganizationId) -> String {
        self.key_with(organization, Role::Admin).await
    }

    async fn key_with(&self, organization: &OrganizationId, role: Role) -> String {
        let key = ApiKey::generate().unwrap();
        let new = NewApiKey::lasting(ApiKeyId::generate(), "test");
        self.fake
            .store
            .create_api_key(organization, &new, role, &key, 1)
            .await
            .unwrap();
        key.expose().to_owned()
    }

    /// The same server as another organisation sees it.
    async fn stranger(&self) -> Self {
        let organization = self.fake.store.organization("Stranger").await;
        let key = self.key_of(&organization).await;
        Self {
            fake: self.fake.clone(),
            router: self.router.clone(),
            organization,
            key,
        }
    }

    async fn raw(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key));
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        answer(self.raw(request.body(body).unwrap()).await).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn put(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::PUT, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::DELETE, path, None).await
    }

    /// Creates something that cannot fail, and gives its id.
    async fn made(&self, path: &str, body: Value) -> String {
        let (status, body) = self.post(path, body).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    async fn configuration(&self, name: &str, account: &str) -> String {
        self.made(CONFIGS, json!({ "name": name, "config": config(account) }))
            .await
    }

    async fn agent(&self) -> String {
        self.made("/api/v1/agents", json!({ "name": "bot", "protocol": "echo" }))
            .await
    }
}

fn config(account: &str) -> Value {
    json!({ "provider": "testphone", "account": account, "auth_token": "secret-token-1234", "region": "ie1" })
}

async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn fields(body: &Value) -> Vec<&str> {
    body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["field"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn without_a_key_that_opens_something_there_is_nothing() {
    let server = Server::start().await;
    for value in [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer nonsense".to_owned()),
        Some(format!("Basic {}", server.key)),
    ] {
        let mut request = Request::builder().uri("/api/v1/calls");
        if let Some(value) = &value {
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = server.raw(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
        let (status, body) = answer(response).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (StatusCode::UNAUTHORIZED, Some("unauthorized")),
            "{value:?}"
        );
    }
    assert_eq!(server.get("/api/v1/calls").await.0, StatusCode::OK);
}

#[tokio::test]
async fn forms_are_described_by_the_providers_in_order() {
    let server = Server::start().await;
    let (status, body) = server.get("/api/v1/organizations/telephony-providers/metadata").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (
            body["providers"][0]["provider"].as_str(),
            body["providers"][1]["provider"].as_str()
        ),
        (Some("sipphone"), Some("testphone"))
    );
    let names: Vec<_> = body["providers"][1]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["account", "auth_token", "region", "ring_back"],
        "server-managed fields are hidden"
    );
    assert_eq!(body["providers"][1]["fields"][1]["type"], "password");
}

#[tokio::test]
async fn a_configuration_shows_masks_and_takes_them_back() {
    let server = Server::start().await;
    let (status, body) = server
        .post(
            CONFIGS,
            json!({ "name": "main", "is_default_outbound": true, "config": config("ACCT12345") }),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(
        body["credentials"],
        json!({ "account": "*****2345", "auth_token": "*************1234", "region": "ie1" })
    );
    assert_eq!(
        (body["is_default_outbound"].as_bool(), body["created_at"].as_str()),
        (Some(true), Some("2026-11-22T16:30:00.125Z"))
    );
    assert_eq!(body["is_ready_for_outbound"], false);
    assert_eq!(body["setup_checklist"]["steps"][0]["key"], "caller_id");
    let id = body["id"].as_str().unwrap().to_owned();
    let path = format!("{CONFIGS}/{id}");

    let mut saved = body["credentials"].clone();
    saved["provider"] = json!("testphone");
    saved["region"] = json!("us1");
    let (status, body) = server.put(&path, json!({ "config": saved })).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let stored = stored(&server, &id).await;
    assert_eq!(
        stored,
        json!({ "account": "ACCT12345", "auth_token": "secret-token-1234", "region": "us1" })
    );

    // A mask of something else is no secret.
    saved["auth_token"] = json!("*************9999");
    let (status, body) = server.put(&path, json!({ "config": saved })).await;
    assert_eq!(
        (status, fields(&body)),
        (StatusCode::UNPROCESSABLE_ENTITY, vec!["config.auth_token"])
    );
    let (_, body) = server.get(&path).await;
    assert!(!body.to_string().contains("secret-token"), "{body}");
    let (_, body) = server.get(CONFIGS).await;
    assert_eq!(body["configurations"][0]["id"].as_str(), Some(&*id));
    assert!(body["configurations"][0]["credentials"].is_null());
}

async fn stored(server: &Server, id: &str) -> Value {
    let id = ConfigurationId::parse(id).unwrap();
    server
        .fake
        .store
        .find_configuration(&server.organization, &id)
        .await
        .unwrap()
        .credentials
        .expose()
        .clone()
}

#[tokio::test]
async fn what_the_provider_manages_is_carried_unless_the_account_is_left() {
    let server = Server::start().await;
    let id = server.configuration("main", "ACCT12345").await;
    let path = format!("{CONFIGS}/{id}");
    let mut managed = stored(&server, &id).await;
    managed["application"] = json!("APP1");
    managed["remembered"] = json!("yes");
    let change = crate::store::ConfigurationChange {
        credentials: Some((
            crate::store::SecretJson::new(managed),
            Some(crate::store::AccountId::new("ACCT12345")),
        )),
        name: None,
    };
    let config_id = ConfigurationId::parse(&id).unwrap();
    server
        .fake
        .store
        .update_configuration(&server.organization, &config_id, change, None, 2)
        .await
        .unwrap();

    let (_, body) = server.get(&path).await;
    assert!(body["credentials"]["application"].is_null(), "{body}");
    let mut forged = config("ACCT12345");
    forged["application"] = json!("FORGED");
    let (status, body) = server.put(&path, json!({ "config": forged })).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(stored(&server, &id).await["application"], "APP1");
    let (status, body) = server.put(&path, json!({ "config": config("OTHER6789") })).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let after = stored(&server, &id).await;
    assert!(
        after["application"].is_null() && after["remembered"] == "yes",
        "{after}"
    );
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once_by_field() {
    let server = Server::start().await;
    let body = json!({
        "name": "",
        "is_default_outbound": "yes",
        "color": "red",
        "config": { "provider": "testphone", "auth_token": 7, "ring_back": "no", "colour": 1 },
    });
    let (status, body) = server.post(CONFIGS, body).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("invalid_fields"))
    );
    let mut told = fields(&body);
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "color",
            "config.account",
            "config.auth_token",
            "config.colour",
            "config.ring_back",
            "is_default_outbound",
            "name"
        ]
    );
    assert!(
        server.fake.asked().is_empty(),
        "the provider is not asked about nonsense"
    );
    let (_, body) = server
        .post(CONFIGS, json!({ "config": { "provider": "nobody" } }))
        .await;
    assert_eq!(fields(&body), ["name", "config.provider"]);
    assert!(
        body["errors"][1]["problem"]
            .as_str()
            .unwrap()
            .contains("sipphone, testphone"),
        "{body}"
    );

    let problems = vec![FieldProblem {
        field: "account".to_owned(),
        problem: "must begin with ACCT".to_owned(),
    }];
    server
        .fake
        .answer(|answers| answers.check = Some(OperationError::Fields(problems)));
    let (status, body) = server
        .post(CONFIGS, json!({ "name": "main", "config": config("X") }))
        .await;
    assert_eq!(
        (status, fields(&body)),
        (StatusCode::UNPROCESSABLE_ENTITY, vec!["config.account"])
    );
    let (_, body) = server.get(CONFIGS).await;
    assert_eq!(body["configurations"], json!([]), "nothing half-done");
}

#[tokio::test]
async fn names_are_unique_and_the_provider_stays() {
    let server = Server::start().await;
    let id = server.configuration("main", "ACCT1").await;
    let (status, body) = server
        .post(CONFIGS, json!({ "name": "main", "config": config("ACCT2") }))
        .await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::CONFLICT, Some("conflict")),
        "{body}"
    );
    let mut other = config("ACCT1");
    other["provider"] = json!("sipphone");
    let (status, body) = server.put(&format!("{CONFIGS}/{id}"), json!({ "config": other })).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("provider_change"))
    );
    let (status, body) = server
        .put(&format!("{CONFIGS}/{id}"), json!({ "name": "renamed" }))
        .await;
    assert_eq!((status, body["name"].as_str()), (StatusCode::OK, Some("renamed")));
}

#[tokio::test]
async fn a_parked_configuration_can_be_read_edited_and_reactivated() {
    let server = Server::start().await;
    let id = server.configuration("main", "ACCT1").await;
    let config_id = ConfigurationId::parse(&id).unwrap();
    assert!(
        server
            .fake
            .store
            .park_configuration(&config_id, "refused: wrong password", NOW, NOW)
            .await
            .unwrap()
    );
    let path = format!("{CONFIGS}/{id}");
    let (_, body) = server.get(&path).await;
    assert_eq!(
        (body["inactive"].as_bool(), body["inactive_reason"].as_str()),
        (Some(true), Some("refused: wrong password"))
    );
    let (status, _) = server.put(&path, json!({ "name": "renamed" })).await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = server.post(&format!("{path}/set-default-outbound"), json!({})).await;
    assert_eq!(
        (status, body["is_default_outbound"].as_bool()),
        (StatusCode::OK, Some(true))
    );
    let (status, body) = server.post(&format!("{path}/reactivate"), json!({})).await;
    assert_eq!(
        (status, body["inactive"].as_bool(), body["inactive_since"].is_null()),
        (StatusCode::OK, Some(false), true)
    );
    assert_eq!(server.delete(&path).await.0, StatusCode::OK);
    assert_eq!(server.get(&path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_belongs_to_another_organization_does_not_exist() {
    let server = Server::start().await;
    let configuration = server.configuration("main", "ACCT1").await;
    let agent = server.agent().await;
    let numbers = format!("{CONFIGS}/{configuration}/phone-numbers");
    let number = server
        .made(
            &numbers,
            json!({ "address": "+14155551234", "inbound_agent_id": agent }),
        )
        .await;
    let (_, placed) = server
        .post(
            "/api/v1/telephony/initiate-call",
            json!({ "agent_id": agent, "phone_number": "+442079460000" }),
        )
        .await;
    let call = placed["call_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{placed}"))
        .to_owned();

    let stranger = server.stranger().await;
    server.fake.asked();
    for (method, path) in [
        (Method::GET, format!("{CONFIGS}/{configuration}")),
        (Method::PUT, format!("{CONFIGS}/{configuration}")),
        (Method::DELETE, format!("{CONFIGS}/{configuration}")),
        (Method::POST, format!("{CONFIGS}/{configuration}/set-default-outbound")),
        (Method::POST, format!("{CONFIGS}/{configuration}/reactivate")),
        (Method::GET, numbers.clone()),
        (Method::POST, numbers.clone()),
        (Method::GET, format!("{numbers}/{number}")),
        (Method::PUT, format!("{numbers}/{number}")),
        (Method::DELETE, format!("{numbers}/{number}")),
        (Method::POST, format!("{numbers}/{number}/set-default-caller")),
        (Method::GET, format!("/api/v1/agents/{agent}")),
        (Method::PUT, format!("/api/v1/agents/{agent}")),
        (Method::DELETE, format!("/api/v1/agents/{agent}")),
        (Method::GET, format!("/api/v1/calls/{call}")),
        (Method::GET, format!("/api/v1/calls/{call}/events")),
        (Method::POST, format!("/api/v1/calls/{call}/hang-up")),
        (Method::GET, format!("/api/v1/calls/{call}/recording")),
        (Method::GET, format!("/api/v1/calls/{call}/timeline.svg")),
        (Method::GET, format!("/api/v1/calls/{call}/waveform")),
        (Method::GET, format!("/api/v1/calls/{call}/invocations")),
        (Method::GET, "/api/v1/agents/17".to_owned()),
    ] {
        let (status, body) = stranger.send(method.clone(), &path, Some(json!({}))).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (StatusCode::NOT_FOUND, Some("not_found")),
            "{method} {path}: {body}"
        );
    }
    for (path, list) in [
        (CONFIGS, "configurations"),
        ("/api/v1/agents", "agents"),
        ("/api/v1/calls", "calls"),
    ] {
        assert_eq!(stranger.get(path).await.1[list], json!([]));
    }
    let theirs = stranger.configuration("main", "ACCT2").await;
    let (status, _) = stranger
        .post(
            &format!("{CONFIGS}/{theirs}/phone-numbers"),
            json!({ "address": "+14155550000", "inbound_agent_id": agent }),
        )
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let request =
        json!({ "agent_id": agent, "phone_number": "+442079460000", "telephony_configuration_id": configuration });
    assert_eq!(
        stranger.post("/api/v1/telephony/initiate-call", request).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        server.fake.asked(),
        ["check testphone"],
        "no carrier was asked anything"
    );
}

#[tokio::test]
async fn a_number_is_validated_stored_and_then_pointed_here() {
    let server = Server::start().await;
    let configuration = server.configuration("main", "ACCT1").await;
    let agent = server.agent().await;
    let numbers = format!("{CONFIGS}/{configuration}/phone-numbers");
    server.fake.asked();

    let number = json!({ "address": "(415) 555-1234", "country_code": "us", "label": "desk", "inbound_agent_id": agent, "extra_metadata": { "a": 1 } });
    let (status, body) = server.post(&numbers, number).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(
        (body["address"].as_str(), body["address_normalized"].as_str()),
        (Some("(415) 555-1234"), Some("+14155551234"))
    );
    assert_eq!(
        (body["address_type"].as_str(), body["country_code"].as_str()),
        (Some("pstn"), Some("US"))
    );
    assert_eq!(body["provider_sync"], json!({ "ok": true, "message": null }));
    assert_eq!(
        server.fake.asked(),
        ["validate +14155551234", "configure +14155551234 true"]
    );
    let id = body["id"].as_str().unwrap().to_owned();

    // Without an agent there is nothing to point anywhere.
    let (_, body) = server.post(&numbers, json!({ "address": "+14155550001" })).await;
    assert!(body["provider_sync"].is_null());
    assert_eq!(server.fake.asked(), ["validate +14155550001"]);

    let (status, body) = server
        .put(&format!("{numbers}/{id}"), json!({ "is_active": false }))
        .await;
    assert_eq!((status, body["is_active"].as_bool()), (StatusCode::OK, Some(false)));
    let (_, body) = server
        .put(
            &format!("{numbers}/{id}"),
            json!({ "clear_inbound_agent": true, "is_active": true }),
        )
        .await;
    assert!(body["inbound_agent_id"].is_null());
    let detach = "configure +14155551234 false";
    assert_eq!(server.fake.asked(), [detach, detach], "every change tells the carrier");
    let (status, body) = server
        .put(&format!("{numbers}/{id}"), json!({ "address": "+14155559999" }))
        .await;
    assert_eq!(
        (status, fields(&body)),
        (StatusCode::UNPROCESSABLE_ENTITY, vec!["address"])
    );
    let (status, body) = server
        .post(&format!("{numbers}/{id}/set-default-caller"), json!({}))
        .await;
    assert_eq!(
        (status, body["is_default_caller_id"].as_bool()),
        (StatusCode::OK, Some(true))
    );
    let (_, body) = server.get(&numbers).await;
    assert_eq!(body["phone_numbers"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_carrier_that_fails_never_loses_a_number() {
    let server = Server::start().await;
    let configuration = server.configuration("main", "ACCT1").await;
    let agent = server.agent().await;
    let numbers = format!("{CONFIGS}/{configuration}/phone-numbers");
    let number = json!({ "address": "+14155551234", "inbound_agent_id": agent });

    server
        .fake
        .answer(|answers| answers.ownership = Some(Ok(Ownership::NotOwned)));
    let (status, body) = server.post(&numbers, number.clone()).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("number_not_owned"))
    );
    server
        .fake
        .answer(|answers| answers.ownership = Some(Err(failure(FailureKind::Configuration))));
    let (status, body) = server.post(&numbers, number.clone()).await;
    assert_eq!(
        (status, body["detail"].as_str()),
        (StatusCode::BAD_GATEWAY, Some("The carrier says no."))
    );
    server
        .fake
        .answer(|answers| answers.ownership = Some(Err(failure(FailureKind::Request))));
    assert_eq!(server.post(&numbers, number.clone()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(server.get(&numbers).await.1["phone_numbers"], json!([]));

    server
        .fake
        .answer(|answers| answers.sync = Some(failure(FailureKind::Carrier)));
    let (status, body) = server.post(&numbers, number.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(
        body["provider_sync"],
        json!({ "ok": false, "message": "The carrier says no." })
    );
    let path = format!("{numbers}/{}", body["id"].as_str().unwrap());

    server
        .fake
        .answer(|answers| answers.sync = Some(failure(FailureKind::Carrier)));
    assert_eq!(server.delete(&path).await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(server.get(&path).await.0, StatusCode::OK, "the row stays");
    server.fake.asked();
    let (status, body) = server.delete(&path).await;
    assert_eq!(
        (status, body["provider_sync"]["ok"].as_bool()),
        (StatusCode::OK, Some(true))
    );
    assert_eq!(server.fake.asked(), ["configure +14155551234 false"]);
    assert_eq!(server.get(&path).await.0, StatusCode::NOT_FOUND);

    // One number of one account has one place, and nobody learns whose.
    server.made(&numbers, number.clone()).await;
    let stranger = server.stranger().await;
    let theirs = stranger.configuration("main", "ACCT1").await;
    server.fake.asked();
    let (status, body) = stranger
        .post(
            &format!("{CONFIGS}/{theirs}/phone-numbers"),
            json!({ "address": "+14155551234" }),
        )
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    let message = body["detail"].as_str().unwrap();
    assert!(
        message.contains("another organization") && !message.contains("Acme"),
        "{message}"
    );
}

#[tokio::test]
async fn addresses_that_could_be_anywhere_are_refused() {
    let server = Server::start().await;
    let configuration = server.configuration("main", "ACCT1").await;
    let numbers = format!("{CONFIGS}/{configuration}/phone-numbers");
    for address in [
        "4155551234",
        "415 555-1234",
        "02271264296",
        " ",
        "+0227 126 4296",
        "x\u{7}y",
    ] {
        let (status, body) = server.post(&numbers, json!({ "address": address })).await;
        assert_eq!(
            (status, fields(&body)),
            (StatusCode::UNPROCESSABLE_ENTITY, vec!["address"]),
            "{address}: {body}"
        );
    }
    let (_, body) = server
        .post(&numbers, json!({ "address": "8000", "country_code": "USA" }))
        .await;
    assert_eq!(fields(&body), ["country_code"]);
    for (address, kind) in [
        ("8000", "sip_extension"),
        ("SIP:Desk@Example.COM:5060", "sip_uri"),
        ("0044 20 7946 0000", "pstn"),
    ] {
        let (status, body) = server.post(&numbers, json!({ "address": address })).await;
        assert_eq!(
            (status, body["address_type"].as_str()),
            (StatusCode::CREATED, Some(kind)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn agents_are_checked_masked_and_changed_in_part() {
    let server = Server::start().await;
    let agents = "/api/v1/agents";
    let agent = json!({
        "name": "bot", "protocol": "strowger", "url": "wss://bot.example/socket", "sample_rate_hz": 24000,
        "headers": { "Authorization": "Bearer whisper-0987" }, "parameters": { "voice": "low" }, "record": true,
    });
    let (status, body) = server.post(agents, agent).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(body["headers"]["Authorization"], "***************0987");
    let path = format!("{agents}/{}", body["id"].as_str().unwrap());
    let change = json!({ "name": "bot two", "headers": { "Authorization": "***************0987", "X-Extra": "1" } });
    let (status, body) = server.put(&path, change).await;
    assert_eq!(
        (status, body["sample_rate_hz"].as_u64(), body["record"].as_bool()),
        (StatusCode::OK, Some(24_000), Some(true)),
        "{body}"
    );
    let id = crate::store::AgentId::parse(body["id"].as_str().unwrap()).unwrap();
    let stored = server.fake.store.find_agent(&server.organization, &id).await.unwrap();
    assert!(
        stored
            .settings
            .headers
            .expose()
            .contains(&("Authorization".to_owned(), "Bearer whisper-0987".to_owned()))
    );

    for (body, expected) in [
        (json!({}), vec!["name", "protocol"]),
        (json!({ "name": "x", "protocol": "telepathy" }), vec!["protocol"]),
        (json!({ "name": "x", "protocol": "strowger" }), vec!["url"]),
        (
            json!({ "name": "x", "protocol": "strowger", "url": "https://bot.example" }),
            vec!["url"],
        ),
        (
            json!({ "name": "x", "protocol": "strowger", "url": "wss://me:pass@bot.example" }),
            vec!["url"],
        ),
        (
            json!({ "name": "x", "protocol": "echo", "url": "wss://bot.example" }),
            vec!["url"],
        ),
        (
            json!({ "name": "x", "protocol": "echo", "sample_rate_hz": 44100 }),
            vec!["sample_rate_hz"],
        ),
        (
            json!({ "name": "x", "protocol": "media-streams", "url": "wss://b.example", "sample_rate_hz": 16000 }),
            vec!["sample_rate_hz"],
        ),
        (
            json!({ "name": "x", "protocol": "echo", "parameters": [] }),
            vec!["parameters"],
        ),
        (
            json!({ "name": "x", "protocol": "echo", "headers": { "Host": "evil", "Sec-WebSocket-Key": "x", "a b": "c", "X": "a\r\nb", "Y": "****" } }),
            vec![
                "headers.Host",
                "headers.Sec-WebSocket-Key",
                "headers.X",
                "headers.Y",
                "headers.a b",
            ],
        ),
    ] {
        let (status, answered) = server.post(agents, body).await;
        let mut told = fields(&answered);
        told.sort_unstable();
        assert_eq!(
            (status, told),
            (StatusCode::UNPROCESSABLE_ENTITY, expected),
            "{answered}"
        );
    }
    let (status, _) = server
        .post(agents, json!({ "name": "bot two", "protocol": "tone" }))
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(server.delete(&path).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_call_goes_over_the_first_configuration_that_is_ready() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let initiate = "/api/v1/telephony/initiate-call";
    let request = json!({ "agent_id": agent, "phone_number": "+44 20 7946 0000" });
    let (status, body) = server.post(initiate, request.clone()).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("telephony_not_configured"))
    );

    let empty = server.configuration("empty", "ACCT1").await;
    let (status, body) = server.post(initiate, request.clone()).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("not_ready_for_outbound"))
    );
    let ready = server.configuration("ready", "ACCT2").await;
    let numbers = format!("{CONFIGS}/{ready}/phone-numbers");
    let first = server.made(&numbers, json!({ "address": "+14155550001" })).await;
    server.fake.asked();

    let (status, body) = server.post(initiate, request.clone()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        (body["call"]["state"].as_str(), body["call"]["direction"].as_str()),
        (Some("initialized"), Some("outbound"))
    );
    assert_eq!(
        server.fake.asked(),
        ["place +442079460000 from +14155550001 over ready"]
    );

    // An explicit configuration never falls through.
    let mut explicit = request.clone();
    explicit["telephony_configuration_id"] = json!(empty);
    assert_eq!(
        server.post(initiate, explicit.clone()).await.1["code"],
        "not_ready_for_outbound"
    );
    explicit["telephony_configuration_id"] = json!(ready);
    server
        .made(
            &numbers,
            json!({ "address": "+14155550002", "is_default_caller_id": true }),
        )
        .await;
    server.fake.asked();
    server.post(initiate, explicit.clone()).await;
    assert_eq!(
        server.fake.asked(),
        ["place +442079460000 from +14155550002 over ready"],
        "the default caller id"
    );
    explicit["from_phone_number_id"] = json!(first);
    server.post(initiate, explicit.clone()).await;
    assert_eq!(
        server.fake.asked(),
        ["place +442079460000 from +14155550001 over ready"],
        "the one that was asked for"
    );

    server
        .put(&format!("{numbers}/{first}"), json!({ "is_active": false }))
        .await;
    let (status, body) = server.post(initiate, explicit.clone()).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("caller_id_unusable"))
    );
    let config_id = ConfigurationId::parse(&ready).unwrap();
    assert!(
        server
            .fake
            .store
            .park_configuration(&config_id, "refused", NOW, NOW)
            .await
            .unwrap()
    );
    let (status, body) = server.post(initiate, explicit).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("configuration_inactive"))
    );
}

#[tokio::test]
async fn a_call_that_cannot_be_placed_says_whose_move_it_is() {
    let server = Server::start().await;
    let initiate = "/api/v1/telephony/initiate-call";
    let agent = server.agent().await;
    let configuration = server.configuration("main", "ACCT1").await;
    server
        .made(
            &format!("{CONFIGS}/{configuration}/phone-numbers"),
            json!({ "address": "+14155550001" }),
        )
        .await;
    let (status, body) = server
        .post(
            initiate,
            json!({ "phone_number": "2079460000", "ring_timeout_s": 1, "workflow_id": 7 }),
        )
        .await;
    let mut told = fields(&body);
    told.sort_unstable();
    assert_eq!(
        (status, told),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            vec!["agent_id", "phone_number", "ring_timeout_s", "workflow_id"]
        )
    );
    let request = json!({ "agent_id": agent, "phone_number": "+442079460000" });
    let nobody = json!({ "agent_id": crate::store::AgentId::generate(), "phone_number": "+442079460000" });
    assert_eq!(server.post(initiate, nobody).await.0, StatusCode::NOT_FOUND);
    let mut detecting = request.clone();
    detecting["detect_machine"] = json!("end-of-greeting");
    assert_eq!(
        server.post(initiate, detecting).await.1["code"],
        "detection_unsupported"
    );
    for (error, status) in [
        (OperationError::AtCapacity, StatusCode::TOO_MANY_REQUESTS),
        (OperationError::Stopping, StatusCode::SERVICE_UNAVAILABLE),
        (
            OperationError::ProviderFault {
                code: "trapped".to_owned(),
            },
            StatusCode::BAD_GATEWAY,
        ),
        (failure(FailureKind::Quota), StatusCode::PAYMENT_REQUIRED),
        (failure(FailureKind::Request), StatusCode::BAD_REQUEST),
        (failure(FailureKind::Carrier), StatusCode::BAD_GATEWAY),
        (
            OperationError::Store(StoreError::Locked),
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        (
            OperationError::Internal("the token is hush".to_owned()),
            StatusCode::INTERNAL_SERVER_ERROR,
        ),
    ] {
        let shown = error.to_string();
        server.fake.answer(|answers| answers.place = Some(error));
        let (found, body) = server.post(initiate, request.clone()).await;
        assert_eq!(found, status, "{shown}");
        assert!(!body.to_string().contains("hush"), "{body}");
    }
}

#[tokio::test]
async fn calls_are_listed_read_and_ended() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let configuration = server.configuration("main", "ACCT1").await;
    server
        .made(
            &format!("{CONFIGS}/{configuration}/phone-numbers"),
            json!({ "address": "+14155550001" }),
        )
        .await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (_, body) = server
            .post(
                "/api/v1/telephony/initiate-call",
                json!({ "agent_id": agent, "phone_number": "+442079460000" }),
            )
            .await;
        ids.push(body["call_id"].as_str().unwrap().to_owned());
    }
    let (_, page) = server.get("/api/v1/calls?limit=2").await;
    assert_eq!(
        (page["calls"][0]["id"].as_str(), page["calls"].as_array().unwrap().len()),
        (Some(&*ids[2]), 2)
    );
    let (_, rest) = server
        .get(&format!(
            "/api/v1/calls?limit=2&cursor={}",
            page["next_cursor"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (rest["calls"][0]["id"].as_str(), rest["next_cursor"].is_null()),
        (Some(&*ids[0]), true)
    );
    let (status, body) = server
        .get("/api/v1/calls?limit=0&state=odd&direction=up&agent_id=7&page=2")
        .await;
    let mut told = fields(&body);
    told.sort_unstable();
    assert_eq!(
        (status, told),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            vec!["agent_id", "direction", "limit", "page", "state"]
        )
    );

    let id = strowger_call::CallId::parse(&ids[0]).unwrap();
    let event = NewEvent {
        at: NOW,
        kind: "placed".to_owned(),
        detail: json!({ "n": 1 }),
        dedupe_key: None,
    };
    server
        .fake
        .store
        .append_events(&id, &[event.clone(), event])
        .await
        .unwrap();
    let path = format!("/api/v1/calls/{id}");
    let (_, body) = server.get(&format!("{path}/events?after=1")).await;
    assert_eq!(
        body["events"],
        json!([{ "sequence": 2, "at": "2026-11-22T16:30:00.125Z", "kind": "placed", "detail": { "n": 1 } }])
    );

    server.fake.asked();
    assert_eq!(
        server.post(&format!("{path}/hang-up"), json!({})).await.0,
        StatusCode::OK
    );
    assert_eq!(server.fake.asked(), [format!("hang up {id}")]);
    assert_eq!(server.get(&format!("{path}/recording")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        server.get(&format!("{path}/timeline.svg")).await.0,
        StatusCode::NOT_FOUND
    );

    let finish = CallFinish {
        outcome: json!({ "reason": "api_request" }),
        answered_at: None,
        ended_at: NOW + 5,
        duration_ms: 0,
    };
    server.fake.store.finish_call(&id, &finish).await.unwrap();
    server
        .fake
        .store
        .set_cost(&id, &json!({ "amount": "0.0085", "currency": "USD" }), 70)
        .await
        .unwrap();
    server.fake.store.set_recording(&id, "call.wav").await.unwrap();
    let (_, body) = server.get(&path).await;
    assert_eq!(
        (body["outcome"]["reason"].as_str(), body["cost"]["amount"].as_str()),
        (Some("api_request"), Some("0.0085"))
    );
    assert_eq!(
        (body["state"].as_str(), body["has_recording"].as_bool()),
        (Some("completed"), Some(true))
    );
    assert_eq!(
        server.post(&format!("{path}/hang-up"), json!({})).await.0,
        StatusCode::OK
    );
    assert!(server.fake.asked().is_empty(), "a call that is over is not ended again");

    assert_eq!(
        server.get(&format!("{path}/recording")).await.0,
        StatusCode::NOT_FOUND,
        "the file is gone"
    );
    let sound = vec![7_u8; 200_000];
    std::fs::write(server.fake.store.directory.path().join("call.wav"), &sound).unwrap();
    server
        .fake
        .answer(|answers| answers.timeline = Some("<svg/>".to_owned()));
    for (rest, kind, bytes) in [
        ("recording", "audio/wav", &*sound),
        ("timeline.svg", "image/svg+xml", b"<svg/>"),
    ] {
        let request = Request::builder()
            .uri(format!("{path}/{rest}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", server.key));
        let response = server.raw(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (
                response.status(),
                response.headers()[header::CONTENT_TYPE].to_str().unwrap()
            ),
            (StatusCode::OK, kind)
        );
        assert_eq!(to_bytes(response.into_body(), usize::MAX).await.unwrap(), bytes);
    }
    // A player that begins in the middle gets the middle; nobody gets what is not there.
    for (range, status, length) in [
        ("bytes=100-299", StatusCode::PARTIAL_CONTENT, 200),
        ("bytes=199990-", StatusCode::PARTIAL_CONTENT, 10),
        ("bytes=200000-", StatusCode::RANGE_NOT_SATISFIABLE, 0),
    ] {
        let request = Request::builder()
            .uri(format!("{path}/recording"))
            .header(header::RANGE, range)
            .header(header::AUTHORIZATION, format!("Bearer {}", server.key));
        let response = server.raw(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{range}");
        let part = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(part.len(), length, "{range}");
    }
}

#[tokio::test]
async fn a_configuration_without_its_provider_shows_masks_only() {
    let server = Server::start().await;
    let new = testing::new_configuration(&server.organization, "orphan", Some("ACCT99"));
    let new = crate::store::NewConfiguration {
        provider: "gonephone".to_owned(),
        ..new
    };
    let orphan = server.fake.store.create_configuration(new, NOW).await.unwrap();
    let (status, body) = server.get(&format!("{CONFIGS}/{}", orphan.id)).await;
    assert_eq!(
        (status, body["is_ready_for_outbound"].as_bool()),
        (StatusCode::OK, Some(false))
    );
    assert_eq!(
        body["credentials"],
        json!({ "account": "**CT99", "auth_token": "*****hush" })
    );
    let (status, body) = server
        .put(
            &format!("{CONFIGS}/{}", orphan.id),
            json!({ "config": { "account": "x" } }),
        )
        .await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("provider_missing"))
    );
}

#[tokio::test]
async fn a_busy_database_is_told_as_such() {
    let server = Server::start().await;
    let other = server.fake.store.again(testing::KEY).await.unwrap();
    let held = other.hold_for_tests().await;
    let (status, body) = server
        .post("/api/v1/agents", json!({ "name": "bot", "protocol": "echo" }))
        .await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("busy"))
    );
    held.rollback().await.unwrap();
}
