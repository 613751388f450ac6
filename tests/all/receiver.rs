//! A tenant's server that events are posted to: it keeps what comes, and answers as it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::harness::eventually;

/// How a request is answered: with a status, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(u16),
    /// The request is read, and nothing follows.
    Silence,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// What it was answered with.
    pub(crate) reply: Reply,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// The call that it is about.
    pub(crate) fn call(&self) -> String {
        let data = &self.json()["data"];
        let id = data["call_id"].as_str().or(data["call"]["id"].as_str());
        id.unwrap_or_default().to_owned()
    }

    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }
}

type Decide = Box<dyn FnMut(&Received) -> Reply + Send>;

/// The server. It is gone when it is dropped.
pub(crate) struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    decide: Arc<Mutex<Decide>>,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let decide: Arc<Mutex<Decide>> = Arc::new(Mutex::new(Box::new(|_: &Received| Reply::Status(204))));
        let (kept, decided) = (received.clone(), decide.clone());
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, kept.clone(), decided.clone()));
            }
        });
        Self {
            port,
            received,
            decide,
            serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks?tenant=1", self.port)
    }

    /// Answers from now on as `decide` says.
    pub(crate) fn answer(&self, decide: impl FnMut(&Received) -> Reply + Send + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }

    /// Everything that came, in order.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// What was taken, in order.
    pub(crate) fn taken(&self) -> Vec<Received> {
        let mut all = self.received();
        all.retain(|received| matches!(received.reply, Reply::Status(200..=299)));
        all
    }

    /// Waits until what was taken is enough.
    pub(crate) async fn until(&self, what: &str, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        eventually(what, async || {
            let taken = self.taken();
            enough(&taken).then_some(taken)
        })
        .await
    }
}

async fn serve(socket: TcpStream, received: Arc<Mutex<Vec<Received>>>, decide: Arc<Mutex<Decide>>) {
    let mut socket = BufReader::new(socket);
    // A client that closes its connection has nothing more to say.
    while let Ok(Some((headers, body))) = read(&mut socket).await {
        let mut request = Received {
            headers,
            body,
            reply: Reply::Silence,
        };
        request.reply = (decide.lock().unwrap())(&request);
        let reply = request.reply;
        received.lock().unwrap().push(request);
        match reply {
            Reply::Status(status) => {
                let head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 2\r\nlocation: /elsewhere\r\n\r\nok");
                let head = if status == 204 {
                    "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
                } else {
                    head
                };
                if socket.write_all(head.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Silence => std::future::pending::<()>().await,
        }
    }
}

async fn read(socket: &mut BufReader<TcpStream>) -> std::io::Result<Option<(BTreeMap<String, String>, String)>> {
    let mut line = String::new();
    if socket.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    assert!(line.starts_with("POST /hooks?tenant=1 HTTP/1.1"), "{line}");
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        socket.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers["content-length"].parse().unwrap();
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await?;
    Ok(Some((headers, String::from_utf8(body).unwrap())))
}
