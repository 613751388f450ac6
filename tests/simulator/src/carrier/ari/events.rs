//! What a Stasis application is told, in Asterisk's order.
//!
//! An application hears of a channel while it is in Stasis; of one that was originated for it, until it is destroyed.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::super::{CallRecord, ConferenceChange, Ledger, Notice, WebhookKind, rfc2822};
use crate::report::{CallStatus, Direction, HangUp};

const ASTERISK_ID: &str = "02:fc:00:00:00:01";

pub(super) fn told(ledger: &mut Ledger, call: &CallRecord, what: &WebhookKind) -> Vec<Notice> {
    if matches!(what, WebhookKind::Incoming) {
        return announce(ledger, call);
    }
    let Some(app) = call.extra["app"].as_str() else {
        return Vec::new();
    };
    let is_ours = call.direction == Direction::Outbound;
    let mut say = Vec::new();
    match what {
        WebhookKind::Status(CallStatus::Initiated) => say.push(dial(call, "")),
        WebhookKind::Status(CallStatus::Ringing) if is_ours => {
            if let Some(record) = ledger.calls.get_mut(&call.id) {
                record.extra["rang"] = true.into();
            }
            say.push(dial(call, "RINGING"));
            say.push(about(call, "ChannelStateChange", "Ringing", json!({})));
        }
        WebhookKind::Status(CallStatus::InProgress) => {
            if let Some(record) = ledger.calls.get_mut(&call.id) {
                record.extra["stasis"] = true.into();
            }
            say.push(about(call, "ChannelStateChange", "Up", json!({})));
            // A call that came is in Stasis already.
            if is_ours {
                say.push(dial(call, "ANSWER"));
                say.push(about(call, "StasisStart", "Up", json!({ "args": call.extra["args"] })));
            }
        }
        WebhookKind::Status(status) if status.is_final() => say = ended(ledger, call, *status),
        WebhookKind::Conference { name, change } => {
            let kind = match change {
                ConferenceChange::Joined => "ChannelEnteredBridge",
                ConferenceChange::Left => "ChannelLeftBridge",
            };
            let bridge = ledger
                .objects
                .get(&format!("bridge/{name}"))
                .cloned()
                .unwrap_or_default();
            say.push(about(call, kind, "Up", json!({ "bridge": bridge })));
        }
        WebhookKind::Digit(digit) => {
            let key = json!({ "digit": digit.to_string(), "duration_ms": 100 });
            say.push(about(call, "ChannelDtmfReceived", "Up", key));
        }
        _ => {}
    }
    say.into_iter().map(|event| notice(app, event)).collect()
}

pub(super) fn application_replaced(app: &str) -> String {
    stamped(app, json!({ "type": "ApplicationReplaced" }))
}

/// A channel as ARI shows it.
pub(super) fn channel(call: &CallRecord, state: &str) -> Value {
    let inbound = call.direction == Direction::Inbound;
    let (caller, connected) = if inbound {
        (&call.from, "")
    } else {
        (&call.to, call.from.as_str())
    };
    let exten = if inbound { call.to.as_str() } else { "s" };
    let app = call.extra["app"].as_str().unwrap_or_default();
    json!({
        "id": call.id,
        "name": call.extra["name"].as_str().unwrap_or("PJSIP/callers-00000001"),
        "state": state,
        "protocol_id": format!("1-{}@127.0.0.1", call.id),
        "caller": { "name": "", "number": caller },
        "connected": { "name": "", "number": connected },
        "accountcode": "",
        "dialplan": {
            "context": "callers", "exten": exten, "priority": 1,
            "app_name": if inbound { "Stasis" } else { "AppDial2" },
            "app_data": if inbound { format!("{app},{}", call.to) } else { "(Outgoing Line)".to_owned() },
        },
        "creationtime": iso8601(call.created),
        "language": "en",
    })
}

/// The state of a channel, in Asterisk's word.
pub(super) fn state(call: &CallRecord) -> &'static str {
    match call.status {
        CallStatus::InProgress => "Up",
        _ if call.answered.is_some() => "Up",
        _ if call.direction == Direction::Inbound => "Ring",
        CallStatus::Ringing => "Ringing",
        _ if call.extra["rang"] == true => "Ringing",
        _ => "Down",
    }
}

/// The dialplan runs `Stasis(app,${EXTEN})`.
fn announce(ledger: &mut Ledger, call: &CallRecord) -> Vec<Notice> {
    // One gateway is what most tests have; `dialplan/<number>` names the application otherwise.
    let configured = ledger
        .objects
        .get(&format!("dialplan/{}", call.to))
        .and_then(Value::as_str);
    let app = configured
        .or_else(|| ledger.subscribers.first().map(String::as_str))
        .map(str::to_owned);
    // Without a subscriber there is no application, and the dialplan goes on: nobody is told.
    let Some(app) = app.filter(|app| ledger.subscribers.contains(app)) else {
        return Vec::new();
    };
    let args = json!([call.to]);
    let mut call = call.clone();
    call.extra = json!({ "app": app, "args": args, "stasis": true });
    if let Some(record) = ledger.calls.get_mut(&call.id) {
        record.extra = call.extra.clone();
    }
    vec![notice(
        &app,
        about(&call, "StasisStart", "Ring", json!({ "args": args })),
    )]
}

fn ended(ledger: &mut Ledger, call: &CallRecord, status: CallStatus) -> Vec<Value> {
    let was_bridged = leave_bridges(ledger, &call.id);
    let state = state(call);
    let end = Cause::of(call, status, was_bridged);
    let mut say = vec![about(call, "ChannelHangupRequest", state, end.request(call))];
    if call.extra["stasis"] == true {
        say.push(about(call, "StasisEnd", state, json!({})));
    } else {
        say.push(dial(call, if status == CallStatus::Busy { "BUSY" } else { "NOANSWER" }));
    }
    // Only those that were originated for the application: it is not subscribed to a caller after Stasis.
    if call.direction == Direction::Outbound {
        say.push(about(call, "ChannelDestroyed", state, end.destroyed()));
    }
    say
}

fn leave_bridges(ledger: &mut Ledger, channel: &str) -> bool {
    let mut left = false;
    for (key, bridge) in &mut ledger.objects {
        let channels = bridge.get_mut("channels").and_then(Value::as_array_mut);
        if let Some(channels) = channels.filter(|_| key.starts_with("bridge/")) {
            let before = channels.len();
            channels.retain(|member| member != channel);
            left |= channels.len() < before;
        }
    }
    left
}

/// Why a channel ended (Q.850), and the SIP status or WebSocket close code behind it.
struct Cause {
    number: i64,
    text: &'static str,
    tech: Option<i64>,
}

impl Cause {
    fn of(call: &CallRecord, status: CallStatus, was_bridged: bool) -> Self {
        let cause = |number, text, tech| Self { number, text, tech };
        if call.extra["media"] == true {
            return match status {
                CallStatus::Completed if call.ended_by == Some(HangUp::Rest) => cause(16, "Normal Clearing", None),
                // Its socket was closed.
                CallStatus::Completed => cause(0, "Unknown", Some(1001)),
                _ => cause(3, "No route to destination", None),
            };
        }
        if let Some(number) = call.extra["hangup_cause"].as_i64() {
            return cause(number, text_of(number), None);
        }
        match status {
            CallStatus::Busy => cause(17, "User busy", Some(486)),
            CallStatus::NoAnswer => cause(19, "User alerting, no answer", Some(480)),
            CallStatus::Rejected => cause(21, "Call Rejected", Some(603)),
            CallStatus::Failed => cause(1, "Unallocated (unassigned) number", Some(404)),
            // A BYE without a reason is told apart only inside of a bridge.
            _ if was_bridged => cause(16, "Normal Clearing", None),
            _ => cause(0, "Unknown", None),
        }
    }

    fn request(&self, call: &CallRecord) -> Value {
        match (call.ended_by, self.tech) {
            (Some(HangUp::Rest), _) => json!({ "cause": 32, "soft": true }),
            (_, Some(tech)) => json!({ "cause": self.number, "tech_cause": tech }),
            _ => json!({}),
        }
    }

    fn destroyed(&self) -> Value {
        let mut end = json!({ "cause": self.number, "cause_txt": self.text });
        if let Some(tech) = self.tech {
            end["tech_cause"] = tech.into();
        }
        end
    }
}

fn text_of(cause: i64) -> &'static str {
    match cause {
        1 => "Unallocated (unassigned) number",
        16 => "Normal Clearing",
        17 => "User busy",
        19 => "User alerting, no answer",
        21 => "Call Rejected",
        31 => "Normal, unspecified",
        34 => "Circuit/channel congestion",
        38 => "Network out of order",
        _ => "Unknown",
    }
}

fn about(call: &CallRecord, kind: &str, state: &str, more: Value) -> Value {
    // Asterisk does not always write the type first.
    let mut event = json!({ "channel": channel(call, state), "type": kind });
    if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
        event.extend(more);
    }
    event
}

fn dial(call: &CallRecord, status: &str) -> Value {
    json!({ "type": "Dial", "dialstatus": status, "forward": "", "dialstring": "", "peer": channel(call, state(call)) })
}

fn notice(app: &str, event: Value) -> Notice {
    Notice::Event {
        key: app.to_owned(),
        text: stamped(app, event),
    }
}

fn stamped(app: &str, event: Value) -> String {
    let mut object = match event {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    object.insert("timestamp".to_owned(), iso8601(SystemTime::now()).into());
    object.insert("asterisk_id".to_owned(), ASTERISK_ID.into());
    object.insert("application".to_owned(), app.into());
    Value::Object(object).to_string()
}

/// As `2026-11-22T19:33:07.339+0000`.
pub(super) fn iso8601(time: SystemTime) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let millis = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_millis());
    let date = rfc2822(time);
    let parts: Vec<&str> = date.split(' ').collect();
    let month = parts.get(2).and_then(|name| MONTHS.find(name)).unwrap_or_default() / 3 + 1;
    match parts.as_slice() {
        [_, day, _, year, clock, zone] => format!("{year}-{month:02}-{day}T{clock}.{millis:03}{zone}"),
        _ => date,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn outbound() -> CallRecord {
        let mut call = CallRecord::new("our-call".to_owned(), Direction::Outbound, "", "6001");
        call.extra = json!({ "app": "app", "args": ["call", "7"] });
        call
    }

    fn kinds(notices: &[Notice]) -> Vec<String> {
        notices
            .iter()
            .map(|notice| match notice {
                Notice::Event { key, text } => {
                    assert_eq!(key, "app");
                    let event: Value = serde_json::from_str(text).unwrap();
                    assert_eq!(event["application"], "app");
                    event["type"].as_str().unwrap().to_owned()
                }
                Notice::Webhook { .. } => panic!("Asterisk sends no webhooks"),
            })
            .collect()
    }

    fn last(notices: &[Notice]) -> Value {
        match notices.last() {
            Some(Notice::Event { text, .. }) => serde_json::from_str(text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn dates_as_asterisk_writes_them() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_599_042);
        assert_eq!(iso8601(time), "2025-12-31T23:59:59.042+0000");
    }

    #[test]
    fn a_caller_enters_the_subscribers_application_and_leaves_without_a_cause() {
        let mut ledger = Ledger::default();
        let call = CallRecord::new("1.2".to_owned(), Direction::Inbound, "2001", "1001");
        ledger.enter(call.clone());
        assert_eq!(told(&mut ledger, &call, &WebhookKind::Incoming), []);

        ledger.subscribers.insert("app".to_owned());
        let said = told(&mut ledger, &call, &WebhookKind::Incoming);
        let event = last(&said);
        assert_eq!(
            (&event["type"], &event["args"][0]),
            (&json!("StasisStart"), &json!("1001"))
        );
        assert_eq!(event["channel"]["state"], "Ring");
        assert_eq!(event["channel"]["caller"]["number"], "2001");

        let call = ledger.call("1.2").unwrap().clone();
        let said = told(&mut ledger, &call, &WebhookKind::Status(CallStatus::InProgress));
        assert_eq!(kinds(&said), ["ChannelStateChange"]);
        let said = told(&mut ledger, &call, &WebhookKind::Status(CallStatus::Completed));
        assert_eq!(kinds(&said), ["ChannelHangupRequest", "StasisEnd"]);
    }

    #[test]
    fn a_call_that_is_not_answered_never_enters_stasis() {
        for (status, cause, tech) in [
            (CallStatus::Busy, 17, Some(486)),
            (CallStatus::NoAnswer, 19, Some(480)),
            (CallStatus::Rejected, 21, Some(603)),
            (CallStatus::Failed, 1, Some(404)),
        ] {
            let mut ledger = Ledger::default();
            let call = outbound();
            ledger.enter(call.clone());
            let said = told(&mut ledger, &call, &WebhookKind::Status(CallStatus::Ringing));
            assert_eq!(kinds(&said), ["Dial", "ChannelStateChange"]);
            let call = ledger.call("our-call").unwrap().clone();
            let said = told(&mut ledger, &call, &WebhookKind::Status(status));
            assert_eq!(kinds(&said), ["ChannelHangupRequest", "Dial", "ChannelDestroyed"]);
            let event = last(&said);
            assert_eq!(
                (event["cause"].as_i64(), event["tech_cause"].as_i64()),
                (Some(cause), tech)
            );
            assert_eq!(event["channel"]["state"], "Ringing");
        }
    }

    #[test]
    fn an_answered_call_enters_stasis_with_its_arguments() {
        let mut ledger = Ledger::default();
        let mut call = outbound();
        call.status = CallStatus::InProgress;
        ledger.enter(call.clone());
        let said = told(&mut ledger, &call, &WebhookKind::Status(CallStatus::InProgress));
        assert_eq!(kinds(&said), ["ChannelStateChange", "Dial", "StasisStart"]);
        assert_eq!(last(&said)["args"], json!(["call", "7"]));
        let mut call = ledger.call("our-call").unwrap().clone();
        call.answered = Some(SystemTime::now());
        let said = told(&mut ledger, &call, &WebhookKind::Status(CallStatus::Completed));
        assert_eq!(kinds(&said), ["ChannelHangupRequest", "StasisEnd", "ChannelDestroyed"]);
        let event = last(&said);
        assert_eq!((&event["cause"], &event["channel"]["state"]), (&json!(0), &json!("Up")));
        assert_eq!(event.get("tech_cause"), None);
    }
}
