//! An Asterisk of a test's own: its folder below the unpacked root, its ports, its configuration, its process.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::Method;
use serde_json::Value;

use crate::ROOT_VARIABLE;
use crate::harness::eventually;

/// The gateway's user. A password that is not escaped where it must be does not work.
pub(crate) const ARI_USER: &str = "strowger";
pub(crate) const ARI_PASSWORD: &str = "p@ss:w/rd";

/// Two for each leg; sixty legs.
const RTP_PORTS: u16 = 120;
/// Below those that the kernel gives to sockets that ask for none in particular: between choosing a port and using it nobody
/// else gets it.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What has been made for one Asterisk. The process is ended and the folder removed with it, unless a test fails: then the
/// folder stays, and the end of its log is shown.
#[derive(Debug)]
pub(crate) struct Site {
    root: PathBuf,
    /// As seen inside the root.
    home: String,
    values: BTreeMap<&'static str, String>,
    process: Option<Child>,
    client: reqwest::Client,
    telephones: AtomicU32,
}

impl Site {
    /// Chooses a folder and ports. Nothing runs yet.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let root = std::env::var_os(ROOT_VARIABLE).expect("the root of an unpacked Asterisk is named");
        let root = PathBuf::from(root);
        // An HTTP client is not made without one, although nothing here is encrypted. It may be installed already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let home = format!(
            "/instances/{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        // RTP has the even port of a pair, and RTCP the odd one.
        let rtp = free_ports(RTP_PORTS + 1).next_multiple_of(2);
        let mut values = BTreeMap::from([
            ("HOME", home.clone()),
            ("LIB", libraries(&root)),
            ("RTP_PORT_FIRST", rtp.to_string()),
            ("RTP_PORT_LAST", (rtp + RTP_PORTS - 1).to_string()),
            ("ARI_USER", ARI_USER.to_owned()),
            ("ARI_PASSWORD", ARI_PASSWORD.to_owned()),
            ("CONTROL_FORMAT", "plain-text".to_owned()),
        ]);
        for port in [
            "HTTP_PORT",
            "SIP_PORT",
            "ANSWERING_PORT",
            "BUSY_PORT",
            "DECLINING_PORT",
            "RINGING_PORT",
            "UNREACHABLE_PORT",
        ] {
            values.insert(port, free_ports(1).to_string());
        }
        let site = Self {
            root,
            home,
            values,
            process: None,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            telephones: AtomicU32::new(0),
        };
        for folder in ["etc", "lib", "log", "run", "spool"] {
            std::fs::create_dir_all(site.outside(&site.home).join(folder)).unwrap();
        }
        site
    }

    /// What stands in the place of a name in the templates.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.values.insert(name, value.to_owned());
    }

    pub(crate) fn value(&self, name: &str) -> &str {
        &self.values[name]
    }

    /// Where ARI is.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.value("HTTP_PORT"))
    }

    /// Starts Asterisk with the templates as they are now, and waits until it answers.
    pub(crate) async fn start(&mut self) {
        let templates = strowger_tests::root().join("tests/asterisk/conf");
        for template in std::fs::read_dir(templates).unwrap() {
            let template = template.unwrap().path();
            let target = self.outside(&self.home).join("etc").join(template.file_name().unwrap());
            std::fs::write(target, self.fill_in(&template, &[])).unwrap();
        }
        let configuration = format!("{}/etc/asterisk.conf", self.home);
        self.process = Some(self.run("/usr/sbin/asterisk", &["-f".to_owned(), "-C".to_owned(), configuration]));
        eventually("Asterisk answers", async || {
            let answer = self.ask(Method::GET, "/asterisk/ping").await?;
            (answer.status() == 200).then_some(())
        })
        .await;
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// What ARI says of this path.
    pub(crate) async fn ari(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path).await.expect("Asterisk answers");
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// Waits until no call has left anything behind.
    pub(crate) async fn idle(&self) {
        for left in ["/channels", "/bridges"] {
            eventually(&format!("no {left} are left"), async || {
                let left = self.ari(left).await;
                (left == Value::Array(Vec::new())).then_some(())
            })
            .await;
        }
    }

    async fn ask(&self, method: Method, path: &str) -> Option<reqwest::Response> {
        let url = format!("{}/ari{path}", self.endpoint());
        let request = self
            .client
            .request(method, url)
            .basic_auth(ARI_USER, Some(ARI_PASSWORD));
        request.send().await.ok()
    }

    /// A folder for one more telephone, as seen inside the root.
    pub(crate) fn telephone_folder(&self) -> String {
        let count = self.telephones.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{}/telephone-{count}", self.home);
        std::fs::create_dir(self.outside(&folder)).unwrap();
        folder
    }

    /// A path inside the root, as seen from outside.
    pub(crate) fn outside(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// The text of a template with everything in its place.
    pub(crate) fn fill_in(&self, template: &Path, more: &[(&str, &str)]) -> String {
        let mut text = std::fs::read_to_string(template).unwrap();
        let values = self.values.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in values.chain(more.iter().copied()) {
            text = text.replace(&format!("@{name}@"), value);
        }
        text
    }

    /// Runs a program of the root, which is not heard. It ends with the thread that runs it, also when nobody is left to end it.
    pub(crate) fn run(&self, program: &str, arguments: &[String]) -> Child {
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "chroot"])
            .arg(&self.root)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
        let folder = self.outside(&self.home);
        if std::thread::panicking() {
            let log = std::fs::read_to_string(folder.join("log/full")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!(
                "Asterisk's folder is {}; its log ends with:\n{}",
                folder.display(),
                last.join("\n")
            );
        } else {
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

/// The first of so many consecutive ports that are free, for TCP and for UDP. Each call gives others, until all were given.
pub(crate) fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let span = u32::from(PORTS.end - PORTS.start);
    // Two processes that start together begin elsewhere.
    let offset = std::process::id() * 400;
    for _ in 0..span {
        let first = offset + NEXT.fetch_add(u32::from(count), Ordering::Relaxed);
        let first = PORTS.start + u16::try_from(first % span).unwrap();
        if first + count <= PORTS.end && (first..first + count).all(is_free) {
            return first;
        }
    }
    panic!("there are no {count} free ports");
}

fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

/// The folder of libraries of the architecture that was unpacked.
fn libraries(root: &Path) -> String {
    let folders = std::fs::read_dir(root.join("usr/lib")).unwrap();
    folders
        .map(|folder| folder.unwrap())
        .find(|folder| folder.path().join("asterisk/modules").is_dir())
        .and_then(|folder| folder.file_name().into_string().ok())
        .expect("Asterisk's modules are below usr/lib")
}
