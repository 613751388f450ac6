//! Plays a call of a carrier that nobody simulates, from the author's recorded cases: it posts the webhook, opens the media
//! socket that the gateway names, and says what was recorded.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use strowger_host::{Credentials, Message, Provider};
use strowger_kit::rehearsal::{Performance, Rehearsal};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, http::HeaderValue};

use super::show::Show;
use crate::cli::demo::Api;
use crate::clock::Clock;

/// How long the agent's greeting is listened to.
const LISTENS: Duration = Duration::from_secs(3);
/// How long the gateway may take to answer or to let go.
const PATIENCE: Duration = Duration::from_secs(20);

/// The API of every host that the provider asks: it takes everything and says nothing.
pub(super) struct DeadEnd {
    address: std::net::SocketAddr,
    /// What it was sent, as text.
    heard: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl DeadEnd {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let ears = Arc::clone(&heard);
        let router = Router::new().fallback(move |body: Bytes| async move {
            let text = String::from_utf8_lossy(&body).into_owned();
            ears.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            ([(CONTENT_TYPE, "application/json")], "{}")
        });
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self {
            address,
            heard,
            serving,
        })
    }

    /// Settings that send each host of a configuration here.
    pub(super) fn routes(&self, provider: &Provider, rehearsal: &Rehearsal) -> Vec<String> {
        let Ok(credentials) = Credentials::check(provider.spec(), &rehearsal.entered) else {
            return Vec::new();
        };
        let hosts = provider.granted_hosts(&credentials).into_iter();
        hosts
            .map(|host| {
                let host = host.split_once("://").map_or(host.as_str(), |(_, host)| host);
                format!("{host}=http://{}", self.address)
            })
            .collect()
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for DeadEnd {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Agent, configuration and number, over the REST API.
pub(super) async fn set_up(
    api: &Api,
    provider: &Provider,
    rehearsal: &Rehearsal,
    agent_url: &str,
) -> anyhow::Result<()> {
    let agent = json!({ "name": "Agent", "protocol": "strowger", "url": agent_url, "sample_rate_hz": 16_000 });
    let agent = api.post("/agents", agent).await?;
    let mut config = rehearsal.entered.clone();
    config["provider"] = json!(provider.name());
    let config = json!({ "name": "Rehearsal", "is_default_outbound": true, "config": config });
    let config = api.post("/organizations/telephony-configs", config).await?;
    let id = config["id"].as_str().context("the configuration has no id")?;
    let number = json!({ "address": rehearsal.callee, "inbound_agent_id": agent["id"], "is_default_caller_id": true });
    api.post(&format!("/organizations/telephony-configs/{id}/phone-numbers"), number)
        .await?;
    Ok(())
}

/// One call. What went wrong is an error, in words for the author.
pub(super) async fn play(
    base: &str,
    provider: &Provider,
    rehearsal: &Rehearsal,
    api: &DeadEnd,
    show: &mut Show,
) -> anyhow::Result<()> {
    let url = format!("{base}/api/v1/telephony/inbound/run");
    let Performance { webhook, messages } = rehearsal
        .perform(provider, &url, Clock::system().unix_ms_unsigned())
        .map_err(anyhow::Error::msg)?;
    say!("");
    say!("a call to {}, from the recorded cases", rehearsal.callee);
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let method = webhook.method.parse().context("the recorded webhook has no method")?;
    let mut request = client.request(method, &webhook.url).body(webhook.body);
    for header in &webhook.headers {
        let name = header.name.to_ascii_lowercase();
        if !matches!(name.as_str(), "host" | "content-length" | "connection") {
            request = request.header(name, &header.value);
        }
    }
    let response = request.send().await?;
    let status = response.status();
    let body = response.text().await?;
    show.look();
    say!("  the gateway answers {status}: {}", super::show::clipped(&body));
    let spoken = std::iter::once(body).chain(api.heard());
    let media = spoken
        .filter_map(|text| media_url(&text))
        .next()
        .context("the gateway named no media socket: neither in its answer nor in a request to the carrier")?;
    let heard = converse(provider, &media, &messages, show).await?;
    show.look();
    show.frames();
    say!(
        "the call ended: {} messages were said, {heard} were heard",
        messages.len()
    );
    Ok(())
}

/// Says the first recorded message, listens for a while, says the others, and hangs up.
async fn converse(provider: &Provider, url: &str, messages: &[Message], show: &mut Show) -> anyhow::Result<usize> {
    let mut request = url
        .into_client_request()
        .context("the address of the media socket is none")?;
    if let Some(subprotocol) = &provider.spec().media.subprotocol {
        let subprotocol = HeaderValue::from_str(subprotocol).context("the spec's subprotocol is none")?;
        request.headers_mut().insert("sec-websocket-protocol", subprotocol);
    }
    let (mut socket, _) = tokio_tungstenite::connect_async(request)
        .await
        .with_context(|| format!("the media socket {url} does not open"))?;
    let mut heard = 0;
    for (n, message) in messages.iter().enumerate() {
        socket
            .send(match message {
                Message::Text(text) => tungstenite::Message::text(text.as_str()),
                Message::Binary(bytes) => tungstenite::Message::binary(bytes.clone()),
            })
            .await
            .context("the gateway closed the media socket")?;
        if n == 0 {
            let until = tokio::time::Instant::now() + LISTENS;
            while let Ok(Some(Ok(message))) = tokio::time::timeout_at(until, socket.next()).await {
                heard += usize::from(message.is_text() || message.is_binary());
                show.look();
            }
        }
    }
    drop(socket.close(None).await);
    // The gateway ends the call, and says what that takes.
    let until = tokio::time::Instant::now() + PATIENCE;
    while let Ok(Some(Ok(_))) = tokio::time::timeout_at(until, socket.next()).await {}
    Ok(heard)
}

/// The first address of a WebSocket in a document, read from its escapes.
fn media_url(text: &str) -> Option<String> {
    let start = text
        .find("ws://")
        .or_else(|| text.find("wss://"))
        .or_else(|| text.find("ws:\\/\\/"))?;
    let end = text[start..].find(|c: char| matches!(c, '"' | '\'' | '<' | '>') || c.is_whitespace());
    let url = &text[start..end.map_or(text.len(), |end| start + end)];
    Some(url.trim_end_matches('\\').replace("\\/", "/").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::media_url;

    #[test]
    fn an_address_is_found_in_any_document() {
        let wanted = Some("ws://h:1/a/b?x=1&y=2".to_owned());
        assert_eq!(media_url("<S url=\"ws://h:1/a/b?x=1&amp;y=2\"/>"), wanted);
        assert_eq!(media_url("{\"uri\":\"ws:\\/\\/h:1\\/a\\/b?x=1&y=2\"}"), wanted);
        assert_eq!(media_url("<Stream>ws://h:1/a/b?x=1&amp;y=2</Stream>"), wanted);
        assert_eq!(
            media_url("{\"a\":\"{\\\"u\\\":\\\"ws://h:1/a/b?x=1&y=2\\\"}\"}"),
            wanted
        );
        assert_eq!(media_url("nothing"), None);
    }
}
