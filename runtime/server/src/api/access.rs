//! Who may send a request, and the record of what it changed: a layer around every route of the API.
//!
//! A request speaks for somebody by an API key in `Authorization`, or by the cookie of a console session; with both, the key
//! alone counts. [`policy`] says what the route needs. Whatever is no mere reading is then written to the audit log: as an
//! intent before the handler runs, which must succeed, and with its outcome before the answer goes out.

mod browser;
mod from;
mod limiter;
pub(super) mod policy;
mod trail;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;

pub(super) use self::browser::{check_origin, cookie, no_cookie, session_token};
pub(super) use self::from::From;
pub(super) use self::limiter::{Limiter, Source};
use self::policy::Need;
use super::{ApiError, BODY_BYTES_MAX, Operations};
use crate::store::{
    ApiKey, AuditChain, AuditEntry, IntentId, KeyHolder, OrganizationId, Outcome, Party, Power, Session, SessionToken,
    Store, StoreError, UnixMs,
};

/// The longest key that is looked up, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// How precisely it is known when a key or session was last used, in milliseconds.
const USE_INTERVAL_MS: UnixMs = 60 * 1000;
/// Keys and sessions whose last use is remembered at once.
const USES_MAX: usize = 10_000;

/// Who sends a request.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// The key that it is sent with, or that the session was opened with.
    pub(super) holder: KeyHolder,
    /// The console's session, if it is one.
    pub(super) session: Option<(Session, SessionToken)>,
}

/// What the layer keeps between requests.
#[derive(Debug)]
pub(super) struct Gate<O> {
    operations: Arc<O>,
    /// When the use of a key or session was last written down, by its id.
    uses: Mutex<HashMap<String, UnixMs>>,
}

impl<O: Operations> Gate<O> {
    pub(super) fn new(operations: Arc<O>) -> Arc<Self> {
        Arc::new(Self {
            operations,
            uses: Mutex::default(),
        })
    }

    /// Has the use of a key or session written down, at most once a minute, and without anybody waiting for it.
    fn note_use(&self, identity: &Identity) {
        let now = self.operations.now();
        let session = identity.session.as_ref().map(|(session, _)| session.id.clone());
        let is_due = |id: &str| {
            let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            if uses
                .get(id)
                .is_some_and(|noted| (0..USE_INTERVAL_MS).contains(&(now - noted)))
            {
                return false;
            }
            if uses.len() >= USES_MAX {
                uses.clear();
            }
            uses.insert(id.to_owned(), now);
            true
        };
        let session = session.filter(|id| is_due(id.as_str()));
        let key_is_due = is_due(identity.holder.key.as_str());
        if session.is_none() && !key_is_due {
            return;
        }
        let (operations, holder) = (self.operations.clone(), identity.holder.clone());
        tokio::spawn(async move {
            let store = operations.store();
            let mut noted = Ok(());
            if let Some(session) = session {
                noted = store.note_session_use(&session, now).await;
            }
            if key_is_due {
                noted = noted.and(store.note_key_use(&holder, now).await);
            }
            if let Err(error) = noted {
                tracing::warn!(%error, "the use of an API key could not be written down");
            }
        });
    }
}

async fn identify<O: Operations>(operations: &O, parts: &Parts) -> Result<Identity, ApiError> {
    let (store, now) = (operations.store(), operations.now());
    if parts.headers.contains_key(header::AUTHORIZATION) {
        let key = bearer(&parts.headers).ok_or(ApiError::Unauthorized)?;
        let holder = store.authenticate(&key, now).await?.ok_or(ApiError::Unauthorized)?;
        return Ok(Identity { holder, session: None });
    }
    let token = session_token(&parts.headers).ok_or(ApiError::Unauthorized)?;
    let (session, holder) = store.session(&token, now).await?.ok_or(ApiError::Unauthorized)?;
    check_origin(&parts.method, &parts.headers, operations.public_base())?;
    Ok(Identity {
        holder,
        session: Some((session, token)),
    })
}

/// Whether a request that was let in for `identity` would be let in today. For answers that take long.
pub(super) async fn still_admits<O: Operations>(operations: &O, parts: &Parts, identity: &Identity) -> bool {
    match identify(operations, parts).await {
        Ok(today) => today.holder.power == identity.holder.power,
        Err(_) => false,
    }
}

fn bearer(headers: &HeaderMap) -> Option<ApiKey> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    // Of two, a proxy in front may have meant the other one.
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    let fits = scheme.eq_ignore_ascii_case("bearer") && (1..=KEY_BYTES_MAX).contains(&key.len());
    fits.then(|| ApiKey::new(key))
}

/// The layer.
pub(super) async fn guard<O: Operations>(
    State(gate): State<Arc<Gate<O>>>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    match admit(gate, route, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn admit<O: Operations>(
    gate: Arc<Gate<O>>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    // Nothing here has a NUL in its name, and not every database takes one.
    if parts.uri.path().contains("%00") {
        return Err(ApiError::NotFound("resource"));
    }
    let need = policy::need(&parts.method, route.as_str());
    if need == Need::Nothing {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    let identity = identify(&*gate.operations, &parts).await?;
    gate.note_use(&identity);
    let changes = !policy::is_safe(&parts.method);
    if !need.is_met_by(&identity.holder.power) {
        if changes {
            let record = Record::of(gate.operations.store(), &identity, &mut parts, route.as_str()).await?;
            record.end(&*gate.operations, Outcome::Refused).await?;
        }
        return Err(refusal(need, &identity.holder.power));
    }
    if let Some((_, token)) = &identity.session {
        browser::check_csrf(&parts.method, &parts.headers, token)?;
    }
    if !changes {
        parts.extensions.insert(identity);
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    let mut record = Record::of(gate.operations.store(), &identity, &mut parts, route.as_str()).await?;
    let body = if policy::takes_component(&parts.method, route.as_str()) {
        body
    } else {
        let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX)
            .await
            .map_err(|_| ApiError::TooLarge)?;
        record.sent = trail::fields(&bytes);
        Body::from(bytes)
    };
    parts.extensions.insert(identity);
    let request = Request::from_parts(parts, body);
    let operations = gate.operations.clone();
    // To its end even when the client goes away: what was done is then written down.
    let work = async move {
        record.begin(&*operations).await?;
        let response = next.run(request).await;
        record.finish(&*operations, response).await
    };
    super::unbroken(work.in_current_span()).await
}

fn refusal(need: Need, power: &Power) -> ApiError {
    let message = match (need, power) {
        (Need::Operator, _) | (Need::Nothing, _) => {
            "this is for the operator of the installation; `strowger key create --operator` makes a key for it".to_owned()
        }
        (Need::Role(_), Power::Operator) => {
            "the operator's key acts on the installation and not for an organization; make a key of the organization, with \
             `POST /api/v1/operator/organizations/{organization}/api-keys` or `strowger key create --organization NAME`"
                .to_owned()
        }
        (Need::Role(needed), Power::Organization(_, role)) => {
            format!("this needs a key with the role `{needed}`, and this key has the role `{role}`")
        }
    };
    ApiError::Forbidden("forbidden_role", message)
}

/// The record of one request, as it becomes known.
struct Record {
    id: IntentId,
    chain: AuditChain,
    /// An organisation that the operator did something to, which its own log tells as well.
    concerns: Option<OrganizationId>,
    entry: AuditEntry,
    /// Names of the fields in the body; they count when what was asked for was done.
    sent: Vec<String>,
}

impl Record {
    async fn of(store: &Store, identity: &Identity, parts: &mut Parts, route: &str) -> Result<Self, StoreError> {
        let parameters = RawPathParams::from_request_parts(parts, &()).await.ok();
        let parameters = parameters.iter().flatten();
        let resources = trail::resources(parameters);
        let operation = format!("{} {route}", parts.method);
        let (chain, concerns) = match &identity.holder.power {
            Power::Organization(organization, _) => (AuditChain::Organization(organization.clone()), None),
            Power::Operator => (AuditChain::Installation, concerned(store, &resources).await?),
        };
        Ok(Self {
            id: IntentId::generate(),
            chain,
            concerns,
            entry: AuditEntry {
                resources,
                ..entry(identity, &From::of(parts), operation)
            },
            sent: Vec::new(),
        })
    }

    async fn begin<O: Operations>(&self, operations: &O) -> Result<(), StoreError> {
        let store = operations.store();
        store
            .begin_audit(&self.id, &self.chain, &self.entry, operations.now())
            .await
    }

    /// Completes the record and lets the answer go.
    async fn finish<O: Operations>(mut self, operations: &O, response: Response) -> Result<Response, ApiError> {
        let outcome = trail::outcome(response.status());
        if outcome != Outcome::Done {
            self.end(operations, outcome).await?;
            return Ok(response);
        }
        self.entry.fields = std::mem::take(&mut self.sent);
        let response = trail::made(response, &mut self.entry.resources).await;
        if let Some(organization) = &self.concerns {
            let chain = AuditChain::Organization(organization.clone());
            append(operations, &IntentId::generate(), &chain, &self.entry, outcome).await?;
        }
        self.end(operations, outcome).await?;
        Ok(response)
    }

    async fn end<O: Operations>(&self, operations: &O, outcome: Outcome) -> Result<(), ApiError> {
        append(operations, &self.id, &self.chain, &self.entry, outcome).await
    }
}

/// Whose is what the operator changes: an organisation that the path names, or the one whose provider it names.
async fn concerned(store: &Store, resources: &BTreeMap<String, String>) -> Result<Option<OrganizationId>, StoreError> {
    if let Some(organization) = resources.get("organization") {
        return Ok(OrganizationId::parse(organization).ok());
    }
    let Some(provider) = resources.get("provider") else {
        return Ok(None);
    };
    Ok(
        match store.provider_channel(provider).await?.map(|channel| channel.owner) {
            Some(Party::Organization(organization)) => Some(organization),
            Some(Party::Operator) | None => None,
        },
    )
}

/// The entry of what somebody does; the rest is added as it becomes known.
pub(super) fn entry(identity: &Identity, from: &From, operation: String) -> AuditEntry {
    let holder = &identity.holder;
    let actor = match (&holder.power, &identity.session) {
        (Power::Operator, _) => "operator",
        (Power::Organization(..), Some(_)) => "session",
        (Power::Organization(..), None) => "api_key",
    };
    AuditEntry {
        actor,
        actor_id: holder.key.as_str().to_owned(),
        actor_name: holder.name.clone(),
        address: from.told(),
        operation,
        session: identity
            .session
            .as_ref()
            .map(|(session, _)| session.id.as_str().to_owned()),
        ..AuditEntry::default()
    }
}

/// Writes an entry. When that fails, nobody is told that the change was made: the intent, if there was one, says so later.
pub(super) async fn append<O: Operations>(
    operations: &O,
    intent: &IntentId,
    chain: &AuditChain,
    entry: &AuditEntry,
    outcome: Outcome,
) -> Result<(), ApiError> {
    let (store, now) = (operations.store(), operations.now());
    store
        .end_audit(intent, chain, entry, outcome, now)
        .await
        .map_err(|error| {
            tracing::error!(%error, operation = entry.operation, "what was done could not be written to the audit log");
            ApiError::Unrecorded
        })
}
