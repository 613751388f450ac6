//! Whoever reaches the port: bytes that may be HTTP, to a running gateway with a provider and no configuration.
//!
//! libFuzzer ends the process at a panic in whatever thread.
#![no_main]

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use strowger_hostile::Guest;
use strowger_server::gateway::Gateway;
use strowger_server::settings::{Flags, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

struct Running {
    runtime: Runtime,
    address: SocketAddr,
    _gateway: Gateway,
    _data: tempfile::TempDir,
}

fn running() -> &'static Running {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    RUNNING.get_or_init(|| {
        let data = tempfile::tempdir().expect("there is room for a data directory");
        let providers = data.path().join("providers");
        std::fs::create_dir(&providers).expect("a folder is made");
        std::fs::write(providers.join("silent.wasm"), Guest::loadable().build()).expect("a component is written");
        let flags = Flags::default()
            .set("data_dir", Some(data.path().join("data").display()))
            .set("listen", Some("127.0.0.1:0"))
            .set_all("providers", [providers.display()]);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let settings = Settings::load(&flags).expect("the settings are good");
        let gateway = runtime.block_on(Gateway::start(settings)).expect("a gateway starts");
        let address = gateway.address();
        Running {
            runtime,
            address,
            _gateway: gateway,
            _data: data,
        }
    })
}

async fn exchange(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(bytes).await?;
    socket.shutdown().await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(answer)
}

const PATHS: [&str; 8] = [
    "/api/v1/telephony/inbound/run",
    "/api/v1/telephony/silent/status/018f3a5e-7c1d-7e2a-9b4c-3d5e6f708192",
    "/api/v1/telephony/ws/token",
    "/api/v1/telephony/ws?token=t",
    "/api/v1/calls",
    "/api/v1/telephony/initiate-call",
    "/api/v1/organizations/telephony-configs",
    "/",
];

fuzz_target!(|input: (u8, &str, &str, &[u8])| {
    let running = running();
    let (how, path, headers, body) = input;
    let method = ["GET", "POST", "PUT", "DELETE"][usize::from(how % 4)];
    // Half of them well-formed enough to be heard.
    let request = if how & 0x80 == 0 {
        let path = format!("{}{path}", PATHS[usize::from(how >> 2) % 8]);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n{headers}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    } else {
        [path.as_bytes(), headers.as_bytes(), body].concat()
    };
    running.runtime.block_on(async {
        // A request that is refused half-way ends in a reset, which is an answer, too.
        let answered = tokio::time::timeout(Duration::from_secs(20), exchange(running.address, &request)).await;
        assert!(answered.is_ok(), "the gateway does not answer");
    });
});
