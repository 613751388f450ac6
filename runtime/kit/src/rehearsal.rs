//! A call of a carrier that nobody simulates, from the author's recorded cases: the webhook that announces it, signed with the
//! secrets of a made-up configuration, and the messages of its media socket.
//!
//! No carrier's way of signing is known here. The provider itself describes what must hold for a webhook to be genuine, so
//! what is missing is computed and put where the recorded webhook has its old value.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use strowger_host::operation::Recognition;
use strowger_host::{Header, Message, Moment, Provider, Verdict, Webhook};

use crate::suite::subject::{Subject, moment, reference};
use crate::suite::{ConformanceOptions, media, proofs};

const VERIFY: &str = "webhook.verify-signature";
/// A recorded time is as old as this from the moment at which its webhook arrived, in seconds, or it is no time.
const AGE_S_MAX: u64 = 300;

/// One call, ready to be played.
#[derive(Debug)]
pub struct Rehearsal {
    /// The configuration, as a user enters it.
    pub entered: Value,
    /// The number of ours that is called.
    pub callee: String,
    /// Our side's secrets and settings, as the component gets them.
    config: Value,
    /// Text of each sealed reference in `config`, and the secret behind it.
    secrets: Vec<(String, String)>,
    /// Unsigned.
    webhook: Webhook,
    /// What the carrier says over the media socket, in order.
    messages: Vec<Message>,
    /// The carrier's identifier of the recorded call.
    call_id: String,
}

/// One call, as the carrier makes it now.
#[derive(Debug)]
pub struct Performance {
    /// Announces it, and is genuine.
    pub webhook: Webhook,
    /// What the carrier says over the media socket, in order.
    pub messages: Vec<Message>,
}

impl Rehearsal {
    /// Makes a call of the recorded cases.
    ///
    /// # Errors
    /// Which case is missing, in words for the author.
    pub fn new(provider: &Provider, options: &ConformanceOptions) -> Result<Self, String> {
        let subject = Subject::new(provider, options)?;
        let recorded: Vec<(Value, Webhook)> = proofs::recorded(&subject)
            .into_iter()
            .filter_map(|(_, webhook, config)| Some((config, proofs::read(&webhook)?)))
            .collect();
        let announced = recorded
            .iter()
            .find_map(|(_, webhook)| match provider.recognise(webhook, &moment(0)) {
                Ok(Some(Recognition::InboundCall(call))) => Some((webhook.clone(), call)),
                _ => None,
            });
        let Some((mut webhook, call)) = announced else {
            return Err(
                "no recorded webhook announces a call; record a case of `webhook.recognise` that does".to_owned(),
            );
        };
        // A case of recognition may do without a signature. What one looks like is in the cases of verification.
        let signed = recorded.iter().find(|(config, webhook)| {
            !config.is_null() && describe(provider, config, webhook).is_some_and(|proofs| !proofs.is_empty())
        });
        for header in signed.into_iter().flat_map(|(_, webhook)| &webhook.headers) {
            match webhook
                .headers
                .iter_mut()
                .find(|known| known.name.eq_ignore_ascii_case(&header.name))
            {
                Some(known) => known.value.clone_from(&header.value),
                None => webhook.headers.push(header.clone()),
            }
        }
        if let Some((_, signed)) = signed {
            webhook.received_at = signed.received_at;
        }
        let spec = provider.spec();
        let entered = subject.credentials.expose();
        let ours = spec
            .account_id_field
            .as_deref()
            .and_then(|field| entered.get(field)?.as_str());
        if let (Some(theirs), Some(ours)) = (call.account_id.as_deref(), ours)
            && theirs != ours
        {
            replace(&mut webhook, theirs, ours);
        }
        let secrets = spec
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| spec.is_sealed(&field.name))
            .filter_map(|(n, field)| Some((reference(n), entered.get(&field.name)?.as_str()?.to_owned())))
            .collect();
        let messages = media::recorded(&subject).into_iter().next();
        Ok(Self {
            callee: call.callee,
            call_id: call.provider_call_id,
            config: subject.config.clone(),
            secrets,
            webhook,
            messages: messages.map(|(_, messages)| messages).unwrap_or_default(),
            entered,
        })
    }

    /// The call as the carrier would make it at this moment, by a webhook to this address. Each has an identifier of its own.
    ///
    /// # Errors
    /// When it cannot be signed: because the provider takes a signature that only a private key of the carrier's makes.
    pub fn perform(&self, provider: &Provider, url: &str, now_ms: u64) -> Result<Performance, String> {
        let mut messages = self.messages.clone();
        let mut webhook = self.webhook.clone();
        let call_id = format!("{}{now_ms:x}", self.call_id);
        replace(&mut webhook, &self.call_id, &call_id);
        for message in &mut messages {
            if let Message::Text(text) = message {
                *text = replaced(text, &self.call_id, &call_id);
            }
        }
        let webhook = self.signed(provider, webhook, url, now_ms)?;
        Ok(Performance { webhook, messages })
    }

    fn signed(&self, provider: &Provider, mut webhook: Webhook, url: &str, now_ms: u64) -> Result<Webhook, String> {
        let query = webhook.url.split_once('?').map(|(_, query)| query.to_owned());
        webhook.url = query.map_or_else(|| url.to_owned(), |query| format!("{url}?{query}"));
        let (then_s, now_s) = (webhook.received_at / 1_000, now_ms / 1_000);
        for header in &mut webhook.headers {
            // A time has ten digits; a signature may have digits only, and many more.
            let time = header.value.parse::<u64>().ok().filter(|_| header.value.len() == 10);
            if time.is_some_and(|time| time.abs_diff(then_s) <= AGE_S_MAX) {
                header.value = now_s.to_string();
            }
        }
        webhook.received_at = now_ms;
        let ways = describe(provider, &self.config, &webhook).unwrap_or_default();
        for proof in &ways {
            let mut tried = webhook.clone();
            let checks = proof.get("checks").and_then(Value::as_array).into_iter().flatten();
            let all = checks
                .filter_map(|check| check.as_object()?.iter().next())
                .all(|(kind, check)| self.fulfil(kind, check, &mut tried).is_some());
            if all && self.is_genuine(provider, &tried, now_ms) {
                return Ok(tried);
            }
        }
        Err(format!(
            "the recorded webhook cannot be signed anew: the provider describes {} proofs for it, and none could be fulfilled \
             with the secrets of a configuration",
            ways.len()
        ))
    }

    /// Whether the provider takes it for genuine under the configuration that is entered.
    fn is_genuine(&self, provider: &Provider, webhook: &Webhook, now_ms: u64) -> bool {
        let Ok(credentials) = strowger_host::Credentials::check(provider.spec(), &self.entered) else {
            return false;
        };
        let verdict = provider.verify(&credentials, webhook, &Moment::at(now_ms));
        matches!(verdict, Ok(Verdict::Genuine { .. }))
    }

    /// Makes one check of a proof hold. `None` when that takes more than a secret of ours.
    fn fulfil(&self, kind: &str, check: &Value, webhook: &mut Webhook) -> Option<()> {
        match kind {
            "once" => Some(()),
            "equals" => {
                let secret = self.secret(check.get("sealed")?)?;
                let presented = bytes(check.get("presented")?)?;
                put(webhook, &presented, secret.as_bytes())
            }
            "hmac" => {
                let key = self.key(check.get("key")?)?;
                let message = self.message(check.get("message")?)?;
                let made = match check.get("hash")?.as_str()? {
                    "sha1" => Hmac::<Sha1>::new_from_slice(&key)
                        .ok()?
                        .chain_update(message)
                        .finalize()
                        .into_bytes()
                        .to_vec(),
                    "sha256" => Hmac::<Sha256>::new_from_slice(&key)
                        .ok()?
                        .chain_update(message)
                        .finalize()
                        .into_bytes()
                        .to_vec(),
                    _ => Hmac::<Sha512>::new_from_slice(&key)
                        .ok()?
                        .chain_update(message)
                        .finalize()
                        .into_bytes()
                        .to_vec(),
                };
                put(webhook, &bytes(check.get("expected")?)?, &made)
            }
            "digest" => {
                let message = self.message(check.get("message")?)?;
                let made = match check.get("hash")?.as_str()? {
                    "sha1" => Sha1::digest(message).to_vec(),
                    "sha256" => Sha256::digest(message).to_vec(),
                    _ => Sha512::digest(message).to_vec(),
                };
                put(webhook, &bytes(check.get("expected")?)?, &made)
            }
            _ => None,
        }
    }

    fn secret(&self, reference: &Value) -> Option<&str> {
        let reference = reference.as_str()?;
        let (_, secret) = self.secrets.iter().find(|(known, _)| known == reference)?;
        Some(secret)
    }

    fn key(&self, key: &Value) -> Option<Vec<u8>> {
        let secret = self.secret(key.get("reference")?)?;
        match key.get("encoding")?.as_str()? {
            "base64" => STANDARD.decode(secret).ok(),
            "hex" => hex::decode(secret).ok(),
            _ => Some(secret.as_bytes().to_vec()),
        }
    }

    fn message(&self, segments: &Value) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        for segment in segments.as_array()? {
            match segment.get("bytes") {
                Some(piece) => message.extend(bytes(piece)?),
                None => message.extend(self.secret(segment.get("sealed")?)?.as_bytes()),
            }
        }
        Some(message)
    }
}

/// What must hold for a webhook to be genuine, in the provider's words.
fn describe(provider: &Provider, config: &Value, webhook: &Webhook) -> Option<Vec<Value>> {
    let webhook = strowger_host::recording::spelled(webhook);
    let described = provider
        .invoke_json(VERIFY, &json!({ "config": config, "webhook": webhook }))
        .ok()?;
    described.get("ok")?.as_array().cloned()
}

/// Bytes in the spelling of the contract.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(object) => STANDARD.decode(object.get("base64")?.as_str()?).ok(),
        // A text that is JSON is shown as such.
        other => Some(other.to_string().into_bytes()),
    }
}

/// Puts bytes where others are in the headers or the address, written in the same way.
fn put(webhook: &mut Webhook, old: &[u8], new: &[u8]) -> Option<()> {
    if old == new {
        return Some(());
    }
    let spellings: [fn(&[u8]) -> String; 7] = [
        |bytes| String::from_utf8_lossy(bytes).into_owned(),
        |bytes| hex::encode(bytes),
        |bytes| hex::encode_upper(bytes),
        |bytes| STANDARD.encode(bytes),
        |bytes| STANDARD_NO_PAD.encode(bytes),
        |bytes| URL_SAFE.encode(bytes),
        |bytes| URL_SAFE_NO_PAD.encode(bytes),
    ];
    for spell in spellings {
        let (old, new) = (spell(old), spell(new));
        let mut texts = webhook
            .headers
            .iter_mut()
            .map(|Header { value, .. }| value)
            .chain(std::iter::once(&mut webhook.url));
        if let Some(text) = texts.find(|text| !old.is_empty() && text.contains(&old)) {
            *text = text.replace(&old, &new);
            return Some(());
        }
    }
    None
}

/// Puts a word in the place of another, wherever it is.
fn replace(webhook: &mut Webhook, old: &str, new: &str) {
    webhook.url = replaced(&webhook.url, old, new);
    for header in &mut webhook.headers {
        header.value = replaced(&header.value, old, new);
    }
    if let Ok(body) = std::str::from_utf8(&webhook.body) {
        webhook.body = replaced(body, old, new).into_bytes();
    }
}

/// The text with a word in the place of another. What is only part of a longer word stays.
fn replaced(text: &str, old: &str, new: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(old).filter(|_| !old.is_empty()) {
        let (before, after) = (&rest[..at], &rest[at + old.len()..]);
        let within = before.ends_with(char::is_alphanumeric)
            || (before.is_empty() && out.ends_with(char::is_alphanumeric))
            || after.starts_with(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if within { old } else { new });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn only_whole_words_are_replaced() {
        assert_eq!(
            replaced("{\"call\":\"C1\",\"x\":\"AC1\"}", "C1", "C2"),
            "{\"call\":\"C2\",\"x\":\"AC1\"}"
        );
        assert_eq!(replaced("call=C1&again=C1C1&C1", "C1", "C2"), "call=C2&again=C1C1&C2");
        assert_eq!(replaced("C1", "", "C2"), "C1");
    }
}
