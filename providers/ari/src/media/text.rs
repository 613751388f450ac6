//! Text messages in both dialects: `DTMF_END digit:5 channel_id:…` and `{"event":"DTMF_END","digit":"5",…}`.

use std::borrow::Cow;

use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Plain,
    Json,
}

impl Dialect {
    /// A command. `id` needs no escaping in either dialect.
    pub(super) fn command(self, command: &str, id: Option<&str>) -> String {
        match (self, id) {
            (Self::Plain, None) => command.to_owned(),
            (Self::Plain, Some(id)) => format!("{command} {id}"),
            (Self::Json, None) => format!(r#"{{"command":"{command}"}}"#),
            (Self::Json, Some(id)) => format!(r#"{{"command":"{command}","correlation_id":"{id}"}}"#),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notification {
    Start {
        channel: Option<String>,
        format: Option<String>,
        optimal_frame_bytes: Option<usize>,
    },
    /// `MEDIA_XON` and `MEDIA_XOFF`.
    Flow(bool),
    Key(String),
    Mark(String),
    /// A command was refused because Asterisk passes audio through without framing it.
    Unframed,
    /// Nothing that concerns a call, or nothing that is known yet.
    Other,
}

pub(super) fn read(text: &str) -> Result<(Dialect, Notification), &'static str> {
    if text.starts_with('{') {
        let fields: Fields<'_> = serde_json::from_str(text).map_err(|_| "not the JSON of a media socket")?;
        Ok((Dialect::Json, meaning(fields)?))
    } else {
        Ok((Dialect::Plain, meaning(Fields::plain(text))?))
    }
}

fn meaning(fields: Fields<'_>) -> Result<Notification, &'static str> {
    Ok(match &*fields.event {
        "MEDIA_START" => Notification::Start {
            channel: fields.channel_id.map(Cow::into_owned),
            format: fields.format.map(Cow::into_owned),
            optimal_frame_bytes: fields.optimal_frame_size,
        },
        "MEDIA_XOFF" => Notification::Flow(false),
        "MEDIA_XON" => Notification::Flow(true),
        "MEDIA_MARK_PROCESSED" => Notification::Mark(fields.correlation_id.unwrap_or_default().into_owned()),
        "DTMF_END" => {
            let digit = fields.digit.ok_or("a key without its digit")?.to_ascii_uppercase();
            let known = matches!(digit.as_bytes(), [b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D']);
            if !known {
                return Err("a key that no telephone has");
            }
            Notification::Key(digit)
        }
        "ERROR" if fields.error_text.is_some_and(|error| error.contains("passthrough")) => Notification::Unframed,
        // `STATUS`, `QUEUE_DRAINED` and `MEDIA_BUFFERING_COMPLETED` answer what is not asked here.
        _ => Notification::Other,
    })
}

#[derive(Default, Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    channel_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    format: Option<Cow<'a, str>>,
    optimal_frame_size: Option<usize>,
    #[serde(borrow)]
    digit: Option<Cow<'a, str>>,
    #[serde(borrow)]
    correlation_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error_text: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    /// The event's name, then `name:value` pairs between spaces; values may have colons, and those of the channel's name
    /// slashes. Only marks and errors have free text, up to the end.
    fn plain(text: &'a str) -> Self {
        let (event, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut fields = Self {
            event: event.into(),
            ..Self::default()
        };
        match event {
            "MEDIA_MARK_PROCESSED" => fields.correlation_id = Some(rest.into()),
            "ERROR" => fields.error_text = Some(rest.into()),
            _ => {
                for (name, value) in rest.split(' ').filter_map(|pair| pair.split_once(':')) {
                    match name {
                        "channel_id" => fields.channel_id = Some(value.into()),
                        "format" => fields.format = Some(value.into()),
                        "optimal_frame_size" => fields.optimal_frame_size = value.parse().ok(),
                        "digit" => fields.digit = Some(value.into()),
                        _ => {}
                    }
                }
            }
        }
        fields
    }
}
