//! Voice agents that follow a script, behind a WebSocket on loopback.
//!
//! An agent is a list of rules, [`AgentWhen`] this happens [`AgentDo`] that; it speaks either of two protocols with the same
//! script. It hears by energy alone: good enough to be interrupted by a caller, and free of surprises.

mod session;
pub(crate) mod wire;

use std::{collections::VecDeque, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use crate::{
    speech::Speech,
    watched::{TimedOut, Watched},
};

/// What an agent speaks on its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentProtocol {
    /// The de-facto standard: the server's side of Twilio Media Streams; JSON text, mu-law at 8 kHz.
    MediaStreams,
    /// Strowger's own: JSON text for control, binary messages with linear 16-bit audio; subprotocol `strowger.v1`.
    Strowger,
}

/// Something that happens to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentWhen {
    Start,
    /// The caller has spoken for so long without a pause.
    Heard(Duration),
    /// The same, while the agent speaks: barge-in.
    HeardWhileSpeaking(Duration),
    /// The caller has spoken and then been quiet for so long: the agent's turn.
    Quiet(Duration),
    Dtmf(char),
    /// The gateway says that this mark was reached.
    Mark(String),
    /// The gateway says that a clear has been carried out. Only in the `strowger` protocol.
    Cleared,
    /// The gateway says that a transfer has come to this state: `dialing`, `ringing`, `answered`, `connected` or `failed`.
    Transfer(String),
}

/// Something that an agent does.
#[derive(Debug, Clone)]
pub enum AgentDo {
    Say(Speech),
    /// Asks to be told when everything said so far has been heard.
    Mark(String),
    /// Stops speaking and has the gateway forget what was not heard yet.
    Clear,
    HangUp,
    SendDtmf(String),
    /// From now on says back what it hears.
    EchoBack,
    /// Asks for the caller to be connected with somebody else. Only in the `strowger` protocol.
    Transfer(Transfer),
    CancelTransfer,
}

/// A transfer that an agent asks for; what is `None` is left to the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transfer {
    pub destination: String,
    pub ring_timeout_s: Option<u32>,
    pub caller_id: Option<String>,
    /// Said to the destination before the caller is there.
    pub announcement: Option<String>,
    pub hold: Option<Hold>,
}

/// What the caller hears meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Ringback,
    Silence,
    /// The agent itself.
    Agent,
}

impl Hold {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ringback => "ringback",
            Self::Silence => "silence",
            Self::Agent => "agent",
        }
    }
}

impl Transfer {
    #[must_use]
    pub fn to(destination: &str) -> Self {
        Self {
            destination: destination.to_owned(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn ring_timeout_s(mut self, seconds: u32) -> Self {
        self.ring_timeout_s = Some(seconds);
        self
    }

    #[must_use]
    pub fn caller_id(mut self, number: &str) -> Self {
        self.caller_id = Some(number.to_owned());
        self
    }

    #[must_use]
    pub fn announcement(mut self, text: &str) -> Self {
        self.announcement = Some(text.to_owned());
        self
    }

    #[must_use]
    pub fn hold(mut self, hold: Hold) -> Self {
        self.hold = Some(hold);
        self
    }
}

impl From<Transfer> for AgentDo {
    fn from(transfer: Transfer) -> Self {
        Self::Transfer(transfer)
    }
}

impl From<Speech> for AgentDo {
    fn from(speech: Speech) -> Self {
        Self::Say(speech)
    }
}

/// How an agent's audio leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// 20 ms every 20 ms.
    RealTime,
    /// Everything at once in messages of this duration, as synthetic speech comes from most services.
    AtOnce { message: Duration },
}

/// What an agent does, as rules.
#[derive(Debug, Clone, Default)]
pub struct AgentScript {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    when: AgentWhen,
    then: Vec<AgentDo>,
    once: bool,
}

impl AgentScript {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An agent that greets, stops when it is interrupted, and answers when the caller has finished.
    #[must_use]
    pub fn conversation() -> Self {
        Self::new()
            .on(
                AgentWhen::Start,
                [crate::speech::agent().into(), AgentDo::Mark("greeting".to_owned())],
            )
            .on(
                AgentWhen::HeardWhileSpeaking(Duration::from_millis(200)),
                [AgentDo::Clear],
            )
            .once(
                AgentWhen::Quiet(Duration::from_millis(900)),
                [crate::speech::agent_reply().into(), AgentDo::Mark("reply".to_owned())],
            )
    }

    /// An agent that says back what it hears.
    #[must_use]
    pub fn echo() -> Self {
        Self::new().on(AgentWhen::Start, [AgentDo::EchoBack])
    }

    /// Has all speech ready at these rates, so that no call waits for it.
    fn prepare(&self, rates_hz: &[u32]) {
        for action in self.rules.iter().flat_map(|rule| &rule.then) {
            if let AgentDo::Say(speech) = action {
                for &rate_hz in rates_hz {
                    let _ = speech.at_rate(rate_hz);
                }
            }
        }
    }

    /// Does it every time.
    #[must_use]
    pub fn on(mut self, when: AgentWhen, then: impl IntoIterator<Item = AgentDo>) -> Self {
        self.rules.push(Rule {
            when,
            then: then.into_iter().collect(),
            once: false,
        });
        self
    }

    /// Does it the first time only.
    #[must_use]
    pub fn once(mut self, when: AgentWhen, then: impl IntoIterator<Item = AgentDo>) -> Self {
        self.rules.push(Rule {
            when,
            then: then.into_iter().collect(),
            once: true,
        });
        self
    }
}

/// What an agent gets wrong on demand; times count from the moment that its socket is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgentMisbehaviour {
    /// Answers the upgrade with this HTTP status.
    pub refuse: Option<u16>,
    /// Closes the socket properly.
    pub close_after: Option<Duration>,
    /// Drops the connection.
    pub drop_after: Option<Duration>,
    /// Neither reads nor writes any more, and keeps the socket open.
    pub stall_after: Option<Duration>,
    /// Sends messages that mean nothing.
    pub garbage_after: Option<Duration>,
    /// Sends so much audio at once when the call starts.
    pub burst: Option<Duration>,
}

/// How an agent is run.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    pub protocol: AgentProtocol,
    pub script: AgentScript,
    pub pace: Pace,
    pub misbehaviour: AgentMisbehaviour,
    pub listen: SocketAddr,
}

impl AgentOptions {
    #[must_use]
    pub fn new(protocol: AgentProtocol, script: AgentScript) -> Self {
        Self {
            protocol,
            script,
            pace: Pace::RealTime,
            misbehaviour: AgentMisbehaviour::default(),
            listen: ([127, 0, 0, 1], 0).into(),
        }
    }

    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    #[must_use]
    pub fn misbehaving(mut self, misbehaviour: AgentMisbehaviour) -> Self {
        self.misbehaviour = misbehaviour;
        self
    }
}

/// How an agent's socket ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentEnd {
    /// With the code of the closing message, if it had one.
    ClosedByGateway(Option<u16>),
    LostByGateway,
    ClosedByAgent,
    DroppedByAgent,
    /// The upgrade was refused on purpose.
    Refused,
}

/// Audio from the gateway, in one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HeardAudio {
    pub at: Duration,
    /// Its place in [`AgentReport::audio`].
    pub first_sample: usize,
    pub samples: usize,
}

/// Audio to the gateway, in one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SpokenAudio {
    pub at: Duration,
    pub samples: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MarkReached {
    pub at: Duration,
    pub name: String,
    /// What the gateway says was heard of the agent's speech by then. Only in the `strowger` protocol.
    pub heard_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClearDone {
    pub at: Duration,
    pub heard_ms: Option<u64>,
    pub marks: Vec<String>,
}

/// What the gateway said of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransferSeen {
    pub at: Duration,
    pub state: String,
    /// Why, when it failed.
    pub reason: Option<String>,
}

/// Everything that an agent saw of one call. All times are of [`crate::clock`].
#[derive(Clone, Serialize)]
pub struct AgentReport {
    pub protocol: AgentProtocol,
    /// With the query.
    pub path: String,
    /// Of the upgrade.
    pub headers: Vec<(String, String)>,
    pub opened_at: Duration,
    /// The gateway's first message about the call, as it is.
    pub start: Option<Value>,
    pub rate_hz: u32,
    #[serde(skip)]
    pub heard: Vec<HeardAudio>,
    /// What the caller said, at `rate_hz`; without the silence of messages that never came.
    #[serde(skip)]
    pub audio: Vec<i16>,
    #[serde(skip)]
    pub spoken: Vec<SpokenAudio>,
    /// Messages other than audio, as they came.
    pub messages: Vec<(Duration, Value)>,
    /// Times at which this agent asked for its speech to be cleared.
    pub clears: Vec<Duration>,
    pub cleared: Vec<ClearDone>,
    pub marks: Vec<MarkReached>,
    pub digits: String,
    pub transfers: Vec<TransferSeen>,
    /// The reason of the gateway's stop message; empty when it gives none.
    pub stop: Option<String>,
    /// Messages that this agent could not read, each with the reason.
    pub unreadable: Vec<String>,
    pub end: Option<AgentEnd>,
    pub ended_at: Option<Duration>,
}

impl fmt::Debug for AgentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentReport")
            .field("path", &self.path)
            .field("start", &self.start)
            .field("heard_messages", &self.heard.len())
            .field("spoken_messages", &self.spoken.len())
            .field("marks", &self.marks)
            .field("clears", &self.clears)
            .field("cleared", &self.cleared)
            .field("digits", &self.digits)
            .field("transfers", &self.transfers)
            .field("stop", &self.stop)
            .field("unreadable", &self.unreadable)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl AgentReport {
    fn new(protocol: AgentProtocol) -> Self {
        Self {
            protocol,
            path: String::new(),
            headers: Vec::new(),
            opened_at: crate::clock::now(),
            start: None,
            rate_hz: 8000,
            heard: Vec::new(),
            audio: Vec::new(),
            spoken: Vec::new(),
            messages: Vec::new(),
            clears: Vec::new(),
            cleared: Vec::new(),
            marks: Vec::new(),
            digits: String::new(),
            transfers: Vec::new(),
            stop: None,
            unreadable: Vec::new(),
            end: None,
            ended_at: None,
        }
    }

    #[must_use]
    pub fn heard_duration(&self) -> Duration {
        crate::speech::duration_of(self.audio.len(), self.rate_hz)
    }

    #[must_use]
    pub fn spoken_duration(&self) -> Duration {
        crate::speech::duration_of(self.spoken.iter().map(|audio| audio.samples).sum(), self.rate_hz)
    }

    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// An agent that listens for calls. Dropping it closes its socket and ends its sessions.
#[derive(Debug)]
pub struct Agent {
    address: SocketAddr,
    sessions: Arc<Watched<Sessions>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Sessions {
    all: Vec<AgentSession>,
    unseen: VecDeque<AgentSession>,
}

impl Agent {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(options: AgentOptions) -> io::Result<Self> {
        options.script.prepare(match options.protocol {
            AgentProtocol::MediaStreams => &[8000],
            // Only the call's start tells the rate; these are the likely ones.
            AgentProtocol::Strowger => &[8000, 16_000],
        });
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let sessions = Arc::new(Watched::new(Sessions::default()));
        let known = Arc::clone(&sessions);
        let server = tokio::spawn(async move {
            // Sessions end with the agent, because they are tasks of this set.
            let mut running = tokio::task::JoinSet::new();
            loop {
                let Ok((tcp, _)) = listener.accept().await else {
                    continue;
                };
                while running.try_join_next().is_some() {}
                let (commands, inbox) = mpsc::unbounded_channel();
                let report = Arc::new(Watched::new(AgentReport::new(options.protocol)));
                let session = AgentSession {
                    report: Arc::clone(&report),
                    commands,
                };
                known.update(|sessions| {
                    sessions.all.push(session.clone());
                    sessions.unseen.push_back(session);
                });
                running.spawn(session::run(tcp, options.clone(), report, inbox));
            }
        });
        Ok(Self {
            address,
            sessions,
            server,
        })
    }

    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The address to configure at the gateway.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// The next connection that was made to this agent, in order; refused ones count.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn next_session(&self, within: Duration) -> Result<AgentSession, TimedOut> {
        self.sessions
            .wait_for(within, |sessions| sessions.unseen.pop_front())
            .await
    }

    /// All connections so far, oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<AgentSession> {
        self.sessions.read(|sessions| sessions.all.clone())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Watches, and if need be directs, an agent in one call.
#[derive(Debug, Clone)]
pub struct AgentSession {
    report: Arc<Watched<AgentReport>>,
    commands: mpsc::UnboundedSender<AgentDo>,
}

impl AgentSession {
    /// The report so far.
    #[must_use]
    pub fn report(&self) -> AgentReport {
        self.report.read(Clone::clone)
    }

    /// Looks at the report without copying it.
    pub fn look<R>(&self, look: impl FnOnce(&AgentReport) -> R) -> R {
        self.report.read(look)
    }

    /// Waits until the report fulfils a condition.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn wait_until(
        &self,
        within: Duration,
        mut is_so: impl FnMut(&AgentReport) -> bool,
    ) -> Result<(), TimedOut> {
        self.report.wait_for(within, |report| is_so(report).then_some(())).await
    }

    /// Waits until the socket is closed, and gives the complete report.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn finished(&self, within: Duration) -> Result<AgentReport, TimedOut> {
        self.report
            .wait_for(within, |report| report.end.is_some().then(|| report.clone()))
            .await
    }

    /// Waits until the gateway has said that a transfer has come to this state, and gives what it said first.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn wait_transfer(&self, within: Duration, state: &str) -> Result<TransferSeen, TimedOut> {
        self.report
            .wait_for(within, |report| {
                report.transfers.iter().find(|seen| seen.state == state).cloned()
            })
            .await
    }

    /// Does something now, beside the script.
    pub fn perform(&self, action: AgentDo) {
        // A session that has ended does nothing any more.
        let _ = self.commands.send(action);
    }
}
