//! A gateway between a real Asterisk and a simulated agent.

use reqwest::Method;
use serde_json::{Value, json};
use strowger_server::exchange::{EventSocketPhase, EventSocketState};
use strowger_server::gateway::Gateway;
use strowger_server::settings::Settings;
use strowger_server::store::ConfigurationId;
use strowger_simulator::Pace;
use strowger_simulator::agent::{Agent, AgentOptions, AgentProtocol, AgentReport, AgentScript, AgentSession};
use tempfile::TempDir;

use crate::harness::{self, Api, DEADLINE, Reply, created, eventually};
use crate::site::{ARI_PASSWORD, ARI_USER, Site};
use crate::telephone::{Telephone, sound_ms};

/// The number that Asterisk hands over. Reserved for fiction.
pub(crate) const OWN: &str = "+12025550100";
/// The section of websocket_client.conf.
const MEDIA_CLIENT: &str = "gateway";

/// What there is to be before it starts.
#[derive(Debug)]
pub(crate) struct Plan {
    agent: AgentOptions,
    media_format: &'static str,
    control_format: &'static str,
    password: &'static str,
    media_uri: Option<String>,
    calls_max: u32,
}

impl Plan {
    pub(crate) fn new(script: AgentScript) -> Self {
        Self {
            agent: AgentOptions::new(AgentProtocol::Strowger, script),
            media_format: "ulaw",
            control_format: "plain-text",
            password: ARI_PASSWORD,
            media_uri: None,
            calls_max: 50,
        }
    }

    /// How the agent's audio leaves it.
    pub(crate) fn pace(mut self, pace: Pace) -> Self {
        self.agent = self.agent.pace(pace);
        self
    }

    /// In what format audio goes over the media socket.
    pub(crate) fn media_format(mut self, format: &'static str) -> Self {
        self.media_format = format;
        self
    }

    /// In which dialect Asterisk talks on the media socket.
    pub(crate) fn control_format(mut self, format: &'static str) -> Self {
        self.control_format = format;
        self
    }

    /// What the gateway takes for the password.
    pub(crate) fn password(mut self, password: &'static str) -> Self {
        self.password = password;
        self
    }

    /// Where Asterisk thinks that the gateway's media endpoint is.
    pub(crate) fn media_uri(mut self, uri: &str) -> Self {
        self.media_uri = Some(uri.to_owned());
        self
    }

    pub(crate) fn calls_max(mut self, calls: u32) -> Self {
        self.calls_max = calls;
        self
    }

    /// Starts everything, and waits until Asterisk's events arrive.
    pub(crate) async fn start(self) -> Installation {
        let installation = self.start_deaf().await;
        installation.hears_events().await;
        installation
    }

    /// Starts everything. Whether events arrive is another matter.
    pub(crate) async fn start_deaf(self) -> Installation {
        let mut site = Site::new();
        let data = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(self.settings(&data)).await.unwrap();
        harness::keep_compiled(data.path());
        assert!(gateway.skipped.is_empty(), "{:#?}", gateway.skipped);
        let api = Api::new(&gateway, "First").await;
        let agent = Agent::start(self.agent.clone()).await.unwrap();

        let settings = json!({
            "name": "An agent", "protocol": "strowger", "url": agent.url(), "sample_rate_hz": 16_000, "record": false,
        });
        let agent_id = created(&api.post("/agents", settings).await);
        let settings = configuration(&site, self.media_format, self.password);
        let configuration = created(&api.post("/organizations/telephony-configs", settings).await);
        let path = format!("/organizations/telephony-configs/{configuration}");
        let number = json!({ "address": OWN, "inbound_agent_id": agent_id, "is_default_caller_id": true });
        let number_id = created(&api.post(&format!("{path}/phone-numbers"), number).await);

        // What the gateway says to enter at Asterisk is what is entered.
        let told = api.get(&path).await.ok();
        site.set("STASIS_APP", told["credentials"]["stasis_app_name"].as_str().unwrap());
        let mut client = details(&told, "websocket_client.conf");
        if let Some(uri) = self.media_uri {
            client.iter_mut().find(|(name, _)| name == "uri").unwrap().1 = uri;
        }
        let lines: Vec<String> = client.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        site.set("MEDIA_CLIENT", MEDIA_CLIENT);
        site.set("MEDIA_CLIENT_SETTINGS", &lines.join("\n"));
        site.set("INBOUND_EXTENSION", &details(&told, "extensions.conf")[0].1);
        site.set("CONTROL_FORMAT", self.control_format);
        site.start().await;
        Installation {
            agent,
            gateway,
            api,
            site,
            agent_id,
            configuration,
            number: number_id,
            data,
        }
    }

    fn settings(&self, data: &TempDir) -> Settings {
        // Only one of the components, so that nothing depends on the others.
        let providers = data.path().join("providers");
        std::fs::create_dir(&providers).unwrap();
        std::fs::copy(harness::providers().join("ari.wasm"), providers.join("ari.wasm")).unwrap();
        Settings::load(&harness::flags(data.path(), &providers).set("calls_max", Some(self.calls_max))).unwrap()
    }
}

fn configuration(site: &Site, media_format: &str, password: &str) -> Value {
    json!({
        "name": "The PBX",
        "is_default_outbound": true,
        "config": {
            "provider": "ari",
            "ari_endpoint": site.endpoint(),
            "app_name": ARI_USER,
            "app_password": password,
            "ws_client_name": MEDIA_CLIENT,
            "media_format": media_format,
        },
    })
}

/// Names and values to enter at Asterisk, of the group whose title begins so.
fn details(configuration: &Value, title: &str) -> Vec<(String, String)> {
    let groups = configuration["connectivity_details"].as_array().unwrap();
    let group = groups
        .iter()
        .find(|group| group["title"].as_str().unwrap().starts_with(title))
        .unwrap_or_else(|| panic!("nothing about {title}: {groups:#?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let details = group["details"].as_array().unwrap().iter();
    details
        .map(|detail| (text(&detail["label"]), text(&detail["value"])))
        .collect()
}

/// Gateway, agent and Asterisk.
#[derive(Debug)]
pub(crate) struct Installation {
    agent: Agent,
    pub(crate) gateway: Gateway,
    pub(crate) api: Api,
    pub(crate) site: Site,
    agent_id: String,
    configuration: String,
    number: String,
    #[expect(dead_code, reason = "it is removed when the gateway has ended")]
    data: TempDir,
}

impl Installation {
    /// One more telephone.
    pub(crate) fn telephone(&self) -> Telephone<'_> {
        Telephone::new(&self.site)
    }

    /// The agent's next conversation.
    pub(crate) async fn conversation(&self) -> AgentSession {
        self.agent.next_session(DEADLINE).await.unwrap()
    }

    /// Has the gateway call somebody; the call's id.
    pub(crate) async fn call(&self, callee: &str) -> String {
        self.try_call(callee, 60).await.ok()["call_id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The same; what comes of the request.
    pub(crate) async fn try_call(&self, callee: &str, ring_timeout_s: u32) -> Reply {
        let request = json!({ "agent_id": self.agent_id, "phone_number": callee, "ring_timeout_s": ring_timeout_s });
        self.api.post("/telephony/initiate-call", request).await
    }

    /// How often the agent was called.
    pub(crate) fn conversations(&self) -> usize {
        self.agent.sessions().len()
    }

    /// The record of a call, when it is closed.
    pub(crate) async fn closed(&self, id: &str) -> Value {
        let path = format!("/calls/{id}");
        eventually("the call's record is closed", async || {
            let call = self.api.get(&path).await.ok();
            (call["state"] == "completed").then_some(call)
        })
        .await
    }

    /// The transfers of a call.
    pub(crate) async fn transfers(&self, call: &Value) -> Vec<Value> {
        let path = format!("/calls/{}", call["id"].as_str().unwrap());
        self.api.get(&path).await.ok()["transfers"].as_array().unwrap().clone()
    }

    /// Nobody takes calls to the number any more.
    pub(crate) async fn without_agent(&self) {
        let path = format!(
            "/organizations/telephony-configs/{}/phone-numbers/{}",
            self.configuration, self.number
        );
        let body = json!({ "clear_inbound_agent": true });
        self.api.send(Method::PUT, &path, Some(&body)).await.ok();
    }

    /// Enters the right password.
    pub(crate) async fn put_password_right(&self) {
        let path = format!("/organizations/telephony-configs/{}", self.configuration);
        let mut body = configuration(&self.site, "ulaw", ARI_PASSWORD);
        body.as_object_mut().unwrap().remove("is_default_outbound");
        self.api.send(Method::PUT, &path, Some(&body)).await.ok();
    }

    /// Waits for a state of the event socket.
    pub(crate) async fn events_are(&self, what: &str, is_it: impl Fn(&EventSocketState) -> bool) -> EventSocketState {
        let id = ConfigurationId::parse(&self.configuration).unwrap();
        eventually(what, async || {
            self.gateway
                .exchange()
                .event_socket_state(&id)
                .filter(|state| is_it(state))
        })
        .await
    }

    /// Waits until the event socket is open.
    pub(crate) async fn hears_events(&self) {
        self.events_are("the event socket is open", |state| state.phase == EventSocketPhase::Up)
            .await;
    }

    /// The end of a story: no call has left anything behind, here or at Asterisk.
    pub(crate) async fn finish(self) {
        eventually("no call is live", async || {
            (self.gateway.exchange().live_calls() == 0).then_some(())
        })
        .await;
        self.site.idle().await;
        self.gateway.stop().await;
    }
}

/// Waits until the agent has heard so much that is no silence, in milliseconds.
pub(crate) async fn heard_by(agent: &AgentSession, ms: usize) {
    let enough = |report: &AgentReport| sound_ms(&report.audio, report.rate_hz) >= ms;
    agent.wait_until(DEADLINE, enough).await.unwrap();
}
