//! A telephone: a sipp that does what the test says, and an ear for what it is sent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strowger_simulator::Speech;
use strowger_simulator::g711::{decode_mulaw, encode_mulaw};
use strowger_simulator::speech::energy;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::harness::{eventually, tone};
use crate::site::{Site, free_ports};

/// Root mean square above which a packet is no silence.
const SOUND_ENERGY_MIN: f64 = 400.0;
/// Of one packet, at 8 kHz.
const PACKET_SAMPLES: usize = 160;
const PACKET_MS: usize = 20;

/// A telephone before it is used.
#[derive(Debug)]
pub(crate) struct Telephone<'a> {
    site: &'a Site,
    number: String,
    voice: Speech,
    keys: String,
    patience: Duration,
}

impl<'a> Telephone<'a> {
    pub(crate) fn new(site: &'a Site) -> Self {
        Self {
            site,
            number: crate::harness::CALLER.to_owned(),
            // Longer than anybody waits for: on a busy machine some of it is lost.
            voice: tone(1_000.0, 10_000),
            keys: "0".to_owned(),
            patience: Duration::ZERO,
        }
    }

    /// From which it calls.
    pub(crate) fn number(mut self, number: &str) -> Self {
        self.number = number.to_owned();
        self
    }

    /// What is said into it, until keys are pressed.
    pub(crate) fn voice(mut self, voice: Speech) -> Self {
        self.voice = voice;
        self
    }

    /// What is pressed on it.
    pub(crate) fn keys(mut self, keys: &str) -> Self {
        self.keys = keys.to_owned();
        self
    }

    /// Calls somebody.
    pub(crate) async fn calls(self, callee: &str) -> Line {
        self.scenario("caller", Some(callee), free_ports(1)).await
    }

    /// Calls somebody, and gives up so soon after Asterisk has taken note, unless there is an answer by then.
    pub(crate) async fn calls_and_gives_up(mut self, callee: &str, after: Duration) -> Line {
        self.patience = after;
        self.scenario("cancelling", Some(callee), free_ports(1)).await
    }

    /// Waits to be called as `answering` or `ringing`: rings until [`Line::answer`].
    pub(crate) async fn waits_as(self, endpoint: &str) -> Line {
        self.plays("answering", endpoint).await
    }

    /// Waits to be called as `busy` or `declining`, and is just that.
    pub(crate) async fn refuses_as(self, endpoint: &str) -> Line {
        self.plays(endpoint, endpoint).await
    }

    async fn plays(self, scenario: &str, endpoint: &str) -> Line {
        let port = self.site.value(&format!("{}_PORT", endpoint.to_uppercase()));
        let port = port.parse().unwrap();
        self.scenario(scenario, None, port).await
    }

    async fn scenario(self, name: &str, callee: Option<&str>, port: u16) -> Line {
        let ear = Ear::open().await;
        let inside = self.site.telephone_folder();
        let folder = self.site.outside(&inside);
        let values = [
            ("FOLDER", inside.as_str()),
            ("CALLER", &self.number),
            ("KEYS", &self.keys),
            ("PATIENCE_MS", &self.patience.as_millis().to_string()),
            ("LISTENER_PORT", &ear.port.to_string()),
        ];
        let template = strowger_tests::root().join(format!("tests/asterisk/sipp/{name}.xml"));
        std::fs::write(folder.join("scenario.xml"), self.site.fill_in(&template, &values)).unwrap();
        let voice: Vec<u8> = self
            .voice
            .at_rate(8_000)
            .samples()
            .iter()
            .copied()
            .map(encode_mulaw)
            .collect();
        std::fs::write(folder.join("speech.ulaw"), voice).unwrap();

        let mut arguments: Vec<String> = ["-m", "1", "-nostdin", "-i", "127.0.0.1", "-p"]
            .map(str::to_owned)
            .into();
        arguments.push(port.to_string());
        for (option, file) in [
            ("-sf", "scenario.xml"),
            ("-message_file", "messages.log"),
            ("-error_file", "errors.log"),
        ] {
            arguments.extend([option.to_owned(), format!("{inside}/{file}")]);
        }
        arguments.extend(["-trace_msg", "-trace_err"].map(str::to_owned));
        if name == "cancelling" {
            // An answer that comes in the very moment of giving up is repeated, and expected then.
            arguments.extend(["-default_behaviors", "all,-abortunexp"].map(str::to_owned));
        }
        if let Some(callee) = callee {
            let server = format!("127.0.0.1:{}", self.site.value("SIP_PORT"));
            arguments.extend(["-s".to_owned(), callee.to_owned(), server]);
        }
        let line = Line {
            process: Mutex::new(self.site.run("/usr/bin/sipp", &arguments)),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            folder,
            ear,
        };
        if callee.is_none() {
            eventually("the telephone is plugged in", async || is_taken(port).then_some(())).await;
        }
        line
    }
}

/// A telephone in use, for one call. Dropping it pulls the plug: the other side is not told.
#[derive(Debug)]
pub(crate) struct Line {
    process: Mutex<Child>,
    address: SocketAddr,
    folder: PathBuf,
    ear: Ear,
}

impl Line {
    /// Until it rings here, or there.
    pub(crate) async fn rings(&self) {
        self.sees("SIP/2.0 180 ").await;
    }

    /// Until the two are connected.
    pub(crate) async fn talks(&self) {
        self.sees("\nACK ").await;
    }

    /// Picks up when it rings.
    pub(crate) async fn answer(&self) {
        self.rings().await;
        self.order("ANSWER").await;
        self.talks().await;
    }

    pub(crate) async fn speak(&self) {
        self.order("SPEAK").await;
    }

    /// Presses the keys.
    pub(crate) async fn press(&self) {
        self.order("PRESS").await;
    }

    /// Hangs up, and waits until that is done.
    pub(crate) async fn leave(&self) {
        self.order("LEAVE").await;
        self.over().await;
    }

    /// Waits until the call is over, whoever ended it, and in an orderly way.
    pub(crate) async fn over(&self) {
        let code = self.ended().await;
        assert_eq!(code, 0, "{}{}", self.messages(), self.errors());
    }

    /// Waits until the telephone has done with the call; with what sipp thinks of it.
    pub(crate) async fn ended(&self) -> i32 {
        eventually("the telephone has done", async || self.code()).await
    }

    /// What sipp thinks of the call, when it has done with it.
    fn code(&self) -> Option<i32> {
        let status = self.process.lock().unwrap().try_wait().unwrap()?;
        Some(status.code().unwrap_or(-1))
    }

    /// The last status that the other side's answers had.
    pub(crate) fn status(&self) -> Option<u16> {
        let messages = self.messages();
        let last = messages.lines().rfind(|line| line.starts_with("SIP/2.0 "))?;
        last.split(' ').nth(1)?.parse().ok()
    }

    /// Waits until so much was heard that is no silence, in milliseconds.
    pub(crate) async fn hears(&self, ms: usize) {
        eventually(&format!("{ms} ms of sound"), async || {
            (self.ear.sound_ms() >= ms).then_some(())
        })
        .await;
    }

    /// All that was heard so far, at 8 kHz.
    pub(crate) fn heard(&self) -> Vec<i16> {
        self.ear.look(<[i16]>::to_vec)
    }

    /// How much of it was no silence, in milliseconds.
    pub(crate) fn heard_sound_ms(&self) -> usize {
        self.ear.sound_ms()
    }

    /// Waits until this stands in the messages that were exchanged.
    async fn sees(&self, text: &str) {
        eventually(&format!("{text:?} at {}", self.folder.display()), async || {
            // In this order: what it has written before its end is there afterwards.
            let ended = self.code();
            let messages = self.messages();
            let seen = messages.contains(text);
            assert!(seen || ended.is_none(), "no {text:?}: {messages}{}", self.errors());
            seen.then_some(())
        })
        .await;
    }

    /// The messages that were exchanged, as sipp writes them down.
    pub(crate) fn messages(&self) -> String {
        self.read("messages.log")
    }

    /// What sipp did not like.
    fn errors(&self) -> String {
        self.read("errors.log")
    }

    fn read(&self, file: &str) -> String {
        let text = std::fs::read(self.folder.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&text).replace('\r', "")
    }

    /// Sends the telephone a request inside its call, with a method that only the scenarios here know.
    async fn order(&self, method: &str) {
        self.sees("Call-ID: ").await;
        let messages = self.messages();
        let call_id = messages
            .lines()
            .find_map(|line| line.strip_prefix("Call-ID: "))
            .unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let from = socket.local_addr().unwrap();
        let order = format!(
            "{method} sip:telephone@{to} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {from};branch=z9hG4bK{method}\r\n\
             From: <sip:test@127.0.0.1>;tag=test\r\n\
             To: <sip:telephone@127.0.0.1>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 {method}\r\n\
             Content-Length: 0\r\n\r\n",
            to = self.address,
        );
        socket.send_to(order.as_bytes(), self.address).await.unwrap();
        self.sees(&format!("CSeq: 1 {method}")).await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // It may have ended by itself.
        if let Ok(process) = self.process.get_mut() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// Where RTP arrives.
#[derive(Debug)]
struct Ear {
    port: u16,
    heard: Arc<Mutex<Vec<i16>>>,
    listening: JoinHandle<()>,
}

impl Ear {
    async fn open() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heard);
        let listening = tokio::spawn(async move {
            let mut packet = [0; 2_048];
            while let Ok(bytes) = socket.recv(&mut packet).await {
                let samples = payload(&packet[..bytes]).iter().copied().map(decode_mulaw);
                all.lock().unwrap().extend(samples);
            }
        });
        Self { port, heard, listening }
    }

    fn look<R>(&self, look: impl FnOnce(&[i16]) -> R) -> R {
        look(&self.heard.lock().unwrap())
    }

    fn sound_ms(&self) -> usize {
        self.look(|heard| sound_ms(heard, 8_000))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Whether somebody listens at this UDP port of loopback, without getting in the way of who is about to.
fn is_taken(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
    sockets.contains(&format!(": 0100007F:{port:04X} "))
}

/// How much of some audio is no silence, in milliseconds.
pub(crate) fn sound_ms(samples: &[i16], rate_hz: u32) -> usize {
    let packet = PACKET_SAMPLES * rate_hz as usize / 8_000;
    let sounds = |packet: &&[i16]| energy(packet) > SOUND_ENERGY_MIN;
    PACKET_MS * samples.chunks(packet).filter(sounds).count()
}

/// The audio of an RTP packet (RFC 3550, section 5.1); nothing of one with keys. Asterisk sends neither padding nor extensions.
fn payload(packet: &[u8]) -> &[u8] {
    const PCMU: u8 = 0;
    match packet {
        [0x80, kind, rest @ ..] if kind & 0x7f == PCMU => rest.get(10..).unwrap_or_default(),
        _ => &[],
    }
}
