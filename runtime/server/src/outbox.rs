//! Tells tenants what happens: events to the endpoints that they name, signed after the Standard Webhooks specification.
//!
//! The store writes an event down in the transaction of what it tells of; here it is taken from there and posted. No call waits for
//! that, and nothing is lost with the process: a claim on a delivery ends by itself, so that an event may come twice (with the
//! same `webhook-id`), and does not fail to come. Of the events of one call the next goes out when the one before it has arrived
//! or was given up. Several gateways may share the work.
//!
//! A receiver that is slow or away holds up its own events only: each endpoint has few attempts at a time, one when it is failing.
//!
//! The most important types: [`Outbox`], [`OutgoingEvent`], [`WebhookSecret`].

mod event;
mod schedule;
mod signature;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

pub use self::event::{EventType, OutgoingEvent};
pub use self::signature::WebhookSecret;
use crate::clock::Clock;
use crate::egress::{Egress, EgressConfig, EgressConfigError, HostGrant, IpNetwork, Request};
use crate::store::{Attempted, ClaimedDelivery, Store, StoreError, UnixMs, WebhookEndpointId};

/// How often it is looked for what is due: what another process has spooled, and what is to be attempted again.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often old deliveries and replaced secrets are removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Attempts at once, of all endpoints.
const ATTEMPTS_MAX: usize = 256;
/// Attempts at once of one endpoint, and of one that is failing.
const ATTEMPTS_PER_ENDPOINT_MAX: usize = 4;
const ATTEMPTS_PER_FAILING_ENDPOINT_MAX: usize = 1;
/// Longer than an attempt may take: the door's own bound is half of it.
const CLAIM_FOR: Duration = Duration::from_secs(30);
/// An endpoint that nothing has come through to for so long is given up.
const FAILING_MAX: Duration = Duration::from_secs(3 * 24 * 3600);
/// An endpoint whose row cannot be used is left alone for so long.
const UNUSABLE_FOR: Duration = Duration::from_secs(60);
/// How often, and after which pause, it is tried to write down what came of an attempt.
const SETTLE_ATTEMPTS_MAX: u32 = 3;
const SETTLE_PAUSE: Duration = Duration::from_millis(500);
/// How long attempts may go on when the gateway stops. What is cut off is attempted again after the next start.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// The task that delivers.
#[derive(Debug)]
pub struct Outbox {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Outbox {
    /// Begins to deliver what is spooled. Endpoints obey the address policy of all outgoing HTTP, and those without TLS must be
    /// in `allow_networks`. The operator's routes do not apply: no tenant reaches through them.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn start(store: Store, clock: Clock, allow_networks: &[IpNetwork]) -> Result<Self, EgressConfigError> {
        let door = |granted_only| {
            Egress::new(EgressConfig {
                allow_networks: allow_networks.to_vec(),
                granted_only,
                ..EgressConfig::default()
            })
        };
        let sender = Sender {
            https: door(false)?,
            http: door(true)?,
            store: store.clone(),
            clock: clock.clone(),
        };
        let stop = CancellationToken::new();
        let dispatcher = Dispatcher {
            store,
            clock,
            sender: Arc::new(sender),
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            served: HashMap::new(),
            turn: 0,
            unusable: HashMap::new(),
            database_fails: false,
        };
        let task = tokio::spawn(dispatcher.run(stop.clone()));
        Ok(Self { task, stop })
    }

    /// Stops. Attempts that are under way may come to their end for a moment.
    pub async fn stop(self) {
        self.stop.cancel();
        drop(self.task.await);
    }
}

struct Dispatcher {
    store: Store,
    clock: Clock,
    sender: Arc<Sender>,
    attempts: JoinSet<WebhookEndpointId>,
    /// How many attempts each endpoint has.
    under_way: HashMap<WebhookEndpointId, usize>,
    /// When each endpoint had its last turn: who waits longest is next.
    served: HashMap<WebhookEndpointId, u64>,
    turn: u64,
    /// Endpoints whose row cannot be used, and until when they are left alone.
    unusable: HashMap<WebhookEndpointId, UnixMs>,
    /// It was said that the database fails.
    database_fails: bool,
}

impl Dispatcher {
    async fn run(mut self, stop: CancellationToken) {
        let spooled = self.store.spooled();
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut prunes = interval(PRUNE_INTERVAL);
        prunes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = spooled.notified() => {}
                _ = looks.tick() => {}
                _ = prunes.tick() => {
                    self.prune().await;
                    continue;
                }
                Some(landed) = self.attempts.join_next() => self.landed(landed.ok()),
            }
            let dispatched = self.dispatch().await;
            self.tell(dispatched);
        }
        let leave = async { while self.attempts.join_next().await.is_some() {} };
        if timeout(LEAVE_WITHIN, leave).await.is_err() {
            tracing::info!("outgoing events are cut off, and sent again after the next start");
        }
    }

    fn landed(&mut self, endpoint: Option<WebhookEndpointId>) {
        match endpoint {
            Some(endpoint) => {
                if let Some(count) = self.under_way.get_mut(&endpoint) {
                    *count -= 1;
                }
            }
            // A panic, whose endpoint is not known: nobody may be locked out for it.
            None => self.under_way.clear(),
        }
        self.under_way.retain(|_, count| *count > 0);
    }

    /// Says that the database fails when it begins and when it ends, and not every second.
    fn tell(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) if self.database_fails => tracing::info!("outgoing events are delivered again"),
            Ok(()) => {}
            Err(_) if self.database_fails => return,
            Err(error) => {
                self.database_fails = true;
                return tracing::warn!(%error, "outgoing events wait until the database can be used again");
            }
        }
        self.database_fails = false;
    }

    async fn dispatch(&mut self) -> Result<(), StoreError> {
        let now = self.clock.unix_ms();
        self.unusable.retain(|_, until| *until > now);
        let mut due = self.store.due_endpoints(now).await?;
        self.served
            .retain(|endpoint, _| due.iter().any(|(id, _)| id == endpoint));
        due.sort_by_key(|(endpoint, _)| self.served.get(endpoint).copied().unwrap_or(0));
        for (endpoint, failing) in due {
            let room = ATTEMPTS_MAX.saturating_sub(self.attempts.len());
            if room == 0 {
                break;
            }
            let most = if failing {
                ATTEMPTS_PER_FAILING_ENDPOINT_MAX
            } else {
                ATTEMPTS_PER_ENDPOINT_MAX
            };
            let free = most.saturating_sub(self.under_way.get(&endpoint).copied().unwrap_or(0));
            if free == 0 || self.unusable.contains_key(&endpoint) {
                continue;
            }
            self.turn += 1;
            self.served.insert(endpoint.clone(), self.turn);
            self.serve(&endpoint, free.min(room), now).await?;
        }
        Ok(())
    }

    async fn serve(&mut self, endpoint: &WebhookEndpointId, limit: usize, now: UnixMs) -> Result<(), StoreError> {
        let (url, secrets) = match self.store.webhook_target(endpoint, now).await {
            Ok(Some(target)) => target,
            Ok(None) => return Ok(()),
            Err(error @ (StoreError::Locked | StoreError::Unavailable(_))) => return Err(error),
            Err(error) => {
                tracing::error!(%error, endpoint = endpoint.as_str(), "events cannot be signed, and wait");
                let until = now.saturating_add(UnixMs::try_from(UNUSABLE_FOR.as_millis()).unwrap_or(0));
                self.unusable.insert(endpoint.clone(), until);
                return Ok(());
            }
        };
        let claim = Uuid::new_v4().hyphenated().to_string();
        let claimed = self
            .store
            .claim_deliveries(endpoint, &claim, limit, CLAIM_FOR, now)
            .await?;
        for delivery in claimed {
            *self.under_way.entry(endpoint.clone()).or_default() += 1;
            let (sender, url, secrets) = (self.sender.clone(), url.clone(), secrets.clone());
            self.attempts.spawn(async move {
                sender.attempt(&url, &secrets, &delivery).await;
                delivery.endpoint
            });
        }
        Ok(())
    }

    async fn prune(&mut self) {
        let now = self.clock.unix_ms();
        match self.store.prune_deliveries(now).await {
            Ok(0) => {}
            Ok(lost) => tracing::warn!(
                events = lost,
                "outgoing events were removed that nobody had got: too many waited"
            ),
            Err(error) => tracing::warn!(%error, "old deliveries could not be removed"),
        }
        if let Err(error) = self.store.forget_replaced_secrets(now).await {
            tracing::warn!(%error, "replaced secrets of webhook endpoints could not be removed");
        }
    }
}

struct Sender {
    https: Egress,
    http: Egress,
    store: Store,
    clock: Clock,
}

impl Sender {
    async fn attempt(&self, url: &str, secrets: &[WebhookSecret], delivery: &ClaimedDelivery) {
        let answer = self.post(url, secrets, delivery).await;
        let now = self.clock.unix_ms();
        let failing_since = match &answer {
            Answer::Taken(_) => None,
            // Without it the endpoint is only given up later.
            Answer::Refused(_) | Answer::Nothing(_) => {
                self.store.failing_since(&delivery.endpoint).await.unwrap_or_default()
            }
        };
        let attempted = judge(
            answer,
            delivery.attempts.saturating_add(1),
            failing_since,
            now,
            jitter(),
        );
        let endpoint = delivery.endpoint.as_str();
        if let Some(reason) = &attempted.disable {
            tracing::warn!(endpoint, reason, "a webhook endpoint is disabled");
        } else if attempted.error.is_some() && attempted.retry_at.is_none() {
            tracing::warn!(
                endpoint,
                event = delivery.event.as_str(),
                "an outgoing event is a dead letter"
            );
        }
        for attempt in 1..=SETTLE_ATTEMPTS_MAX {
            match self.store.settle_delivery(delivery, &attempted, now).await {
                Ok(true) => return,
                Ok(false) => return tracing::debug!(endpoint, "an attempt took longer than its claim"),
                Err(error) if attempt == SETTLE_ATTEMPTS_MAX => {
                    tracing::warn!(%error, endpoint, "what came of an outgoing event could not be written down; it is sent again");
                }
                Err(_) => sleep(SETTLE_PAUSE).await,
            }
        }
    }

    async fn post(&self, url: &str, secrets: &[WebhookSecret], delivery: &ClaimedDelivery) -> Answer {
        let Some((grant, door)) = Url::parse(url).ok().and_then(|url| {
            let door = if url.scheme() == "http" {
                &self.http
            } else {
                &self.https
            };
            Some((HostGrant::of_url(&url).ok()?, door))
        }) else {
            return Answer::Nothing("invalid-url");
        };
        let timestamp_s = self.clock.unix_ms().div_euclid(1_000);
        let id = delivery.event.as_str();
        let header = |name: &str, value: String| (name.to_owned(), value.into_bytes());
        let request = Request {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: vec![
                header("content-type", "application/json".to_owned()),
                header("webhook-id", id.to_owned()),
                header("webhook-timestamp", timestamp_s.to_string()),
                header(
                    "webhook-signature",
                    signature::signatures(secrets, id, timestamp_s, &delivery.body),
                ),
            ],
            body: Bytes::from(delivery.body.clone()),
            grants: &[grant],
        };
        match door.send_for_status(request).await {
            Ok(status @ 200..=299) => Answer::Taken(status),
            Ok(status) => Answer::Refused(status),
            Err(error) => Answer::Nothing(error.code()),
        }
    }
}

/// What an endpoint answered.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// It has the event.
    Taken(u16),
    /// A status that says otherwise.
    Refused(u16),
    /// None came, or none was asked for; why, in a word.
    Nothing(&'static str),
}

/// What follows from an answer. `attempts` counts this one, `failing_since` is from before it.
fn judge(answer: Answer, attempts: u32, failing_since: Option<UnixMs>, now: UnixMs, chance: f64) -> Attempted {
    let (status, error) = match answer {
        Answer::Taken(status) => (Some(status), None),
        Answer::Refused(status) => (Some(status), Some(format!("http-{status}"))),
        Answer::Nothing(why) => (None, Some(why.to_owned())),
    };
    let failing_ms = failing_since.map_or(0, |since| now.saturating_sub(since));
    let disable = match answer {
        Answer::Taken(_) => None,
        Answer::Refused(410) => Some("the endpoint answered 410 Gone".to_owned()),
        Answer::Refused(_) | Answer::Nothing(_) => (failing_ms
            >= i64::try_from(FAILING_MAX.as_millis()).unwrap_or(i64::MAX))
        .then(|| "nothing has come through for three days".to_owned()),
    };
    let pause = match (&error, &disable) {
        (Some(_), None) => schedule::pause_after(attempts, chance),
        _ => None,
    };
    Attempted {
        status,
        retry_at: pause.map(|pause| now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))),
        error,
        disable,
    }
}

/// From 0 to 1. A pause is not a secret: without randomness there is no jitter.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    if getrandom::fill(&mut bytes).is_err() {
        return 0.0;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
