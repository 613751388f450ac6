use serde_json::json;
use strowger_sdk::testing::{call, hear as read};
use strowger_sdk::{Direction, Sealed};

use super::*;

const CALLER: &str = "1795375987.1";
const PLAIN: &str = "MEDIA_START connection_id:gateway channel:WebSocket/gateway/0x7f8f40007900 \
                     channel_id:strowger-media.1795375987.1 format:ulaw optimal_frame_size:160 ptime:20";
const JSON: &str = r#"{"event":"MEDIA_START","connection_id":"gateway","channel":"WebSocket/gateway/0x7f8f40007900","channel_id":"strowger-media.1795375987.1","format":"slin16","optimal_frame_size":640,"ptime":20,"channel_variables":{"MEDIA_WEBSOCKET_CONNECTION_ID":"gateway"}}"#;

fn open(format: Format) -> MediaSocket {
    let config = Config {
        endpoint: "http://pbx:8088".to_owned(),
        user: "strowger".to_owned(),
        password: Sealed::new("sealed:p"),
        stasis_app: "strowger-0123456789ab".to_owned(),
        media_client: "gateway".to_owned(),
        media_format: format,
        dial_string: crate::destination::DEFAULT.to_owned(),
    };
    MediaSocket::open(&config, &call(Direction::Inbound, Some(CALLER)))
}

fn started(announcement: &str) -> MediaSocket {
    let mut socket = open(Format::Ulaw);
    assert!(matches!(read(&mut socket, announcement)[..], [MediaEvent::Started(_)]));
    socket
}

fn written(socket: &mut MediaSocket, frame: MediaFrame) -> Vec<Message> {
    socket.serialize_frame(frame).unwrap()
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

fn mark(name: &str) -> MediaFrame {
    MediaFrame::Mark(name.to_owned())
}

#[test]
fn both_dialects_announce_the_stream() {
    for (announcement, format) in [(PLAIN, Format::Ulaw), (JSON, Format::Slin16)] {
        let event = Started {
            provider_call_id: Some(CALLER.to_owned()),
            stream_id: Some("strowger-media.1795375987.1".to_owned()),
            receive_format: Some(format.index()),
            send_format: Some(format.index()),
            parameters: vec![],
        };
        let mut socket = open(Format::Ulaw);
        assert_eq!(socket.serialize_frame(MediaFrame::Clear), Err(FrameProblem::NotStarted));
        assert_eq!(read(&mut socket, announcement), [MediaEvent::Started(event)]);
        // Told twice, it started once.
        assert_eq!(read(&mut socket, announcement), []);
    }
    // As the first builds wrote it.
    let old = "MEDIA_START connection_id:e226e283 channel:WebSocket/gateway optimal_frame_size:160";
    let mut socket = open(Format::Alaw);
    let [MediaEvent::Started(event)] = &read(&mut socket, old)[..] else {
        panic!("not started");
    };
    assert_eq!(
        (event.receive_format, &event.stream_id),
        (Some(Format::Alaw.index()), &None)
    );
}

#[test]
fn audio_before_its_announcement_is_kept() {
    let mut socket = open(Format::Ulaw);
    for n in 0..3 {
        assert_eq!(socket.deserialize_frame(Message::Binary(vec![n; 160])), []);
    }
    let events = read(&mut socket, PLAIN);
    assert!(matches!(events[0], MediaEvent::Started(_)));
    let audio: Vec<MediaEvent> = (0..3).map(|n| MediaEvent::audio(vec![n; 160])).collect();
    assert_eq!(events[1..], audio);
    assert_eq!(
        socket.deserialize_frame(Message::Binary(vec![9])),
        [MediaEvent::audio(vec![9])]
    );
}

#[test]
fn a_stream_that_is_never_announced_starts_all_the_same() {
    let mut socket = open(Format::Alaw);
    let mut events = Vec::new();
    for _ in 0..EARLY_MAX {
        assert_eq!(events, []);
        events = socket.deserialize_frame(Message::Binary(vec![0; 160]));
    }
    assert_eq!(events.len(), EARLY_MAX + 1);
    assert!(matches!(&events[0], MediaEvent::Started(started) if started.receive_format == Some(1)));
    assert_eq!(written(&mut socket, MediaFrame::Clear), [text("FLUSH_MEDIA")]);
    // Late, it still shows the dialect.
    assert_eq!(
        read(&mut socket, &JSON.replace("slin16", "alaw").replace("640", "160")),
        []
    );
    assert_eq!(
        written(&mut socket, MediaFrame::Clear),
        [text(r#"{"command":"FLUSH_MEDIA"}"#)]
    );
}

#[test]
fn the_socket_of_another_call_is_not_listened_to() {
    let mut socket = open(Format::Ulaw);
    assert_eq!(socket.deserialize_frame(Message::Binary(vec![0; 160])), []);
    let events = read(&mut socket, &PLAIN.replace(CALLER, "1795375987.2"));
    assert!(matches!(events[..], [MediaEvent::Stopped(Some(_))]));
    assert_eq!(socket.deserialize_frame(Message::Binary(vec![0; 160])), []);
    assert_eq!(
        socket.serialize_frame(MediaFrame::Audio(vec![0; 160])),
        Err(FrameProblem::Unsupported)
    );
}

#[test]
fn notifications_are_read_in_both_dialects() {
    let mut plain = started(PLAIN);
    let mut json = started(JSON);
    for (one, other, expected) in [
        (
            "DTMF_END digit:5 channel_id:strowger-media.1",
            r#"{"event":"DTMF_END","channel_id":"strowger-media.1","digit":"5"}"#,
            vec![MediaEvent::Dtmf("5".to_owned())],
        ),
        (
            "DTMF_END digit:d",
            r#"{"event":"DTMF_END","digit":"d"}"#,
            vec![MediaEvent::Dtmf("D".to_owned())],
        ),
        (
            "MEDIA_XOFF",
            r#"{"event":"MEDIA_XOFF","channel_id":"c"}"#,
            vec![MediaEvent::Flow(false)],
        ),
        (
            "MEDIA_XON",
            r#"{"event":"MEDIA_XON","channel_id":"c"}"#,
            vec![MediaEvent::Flow(true)],
        ),
        (
            "MEDIA_MARK_PROCESSED turn-1",
            r#"{"event":"MEDIA_MARK_PROCESSED","channel_id":"c","correlation_id":"turn-1"}"#,
            vec![MediaEvent::Mark("turn-1".to_owned())],
        ),
        (
            "MEDIA_MARK_PROCESSED",
            r#"{"event":"MEDIA_MARK_PROCESSED","channel_id":"c","correlation_id":""}"#,
            vec![],
        ),
        (
            "STATUS channel_id:c queue_length:43 xon_level:800 xoff_level:900 queue_full:false bulk_media:true media_paused:false",
            r#"{"event":"STATUS","channel_id":"c","queue_length":43,"queue_full":false}"#,
            vec![],
        ),
        ("QUEUE_DRAINED", r#"{"event":"QUEUE_DRAINED"}"#, vec![]),
        (
            "MEDIA_BUFFERING_COMPLETED x",
            r#"{"event":"MEDIA_BUFFERING_COMPLETED","correlation_id":"x"}"#,
            vec![],
        ),
        (
            "ERROR channel_id:c error_text:Unable to parse",
            r#"{"event":"ERROR","error_text":"Unable to parse JSON command"}"#,
            vec![],
        ),
        ("SOMETHING new:1", r#"{"event":"SOMETHING","new":[1]}"#, vec![]),
        ("", r#"{"event":""}"#, vec![]),
    ] {
        assert_eq!(read(&mut plain, one), expected, "{one}");
        assert_eq!(read(&mut json, other), expected, "{other}");
    }
}

#[test]
fn commands_are_written_in_the_dialect_that_was_heard() {
    let mut plain = started(PLAIN);
    assert_eq!(written(&mut plain, MediaFrame::Clear), [text("FLUSH_MEDIA")]);
    assert_eq!(written(&mut plain, mark("turn-1")), [text("MARK_MEDIA turn-1")]);
    assert_eq!(written(&mut plain, MediaFrame::Stop), [text("HANGUP")]);
    let mut json = started(JSON);
    assert_eq!(
        written(&mut json, mark("turn-1")),
        [text(r#"{"command":"MARK_MEDIA","correlation_id":"turn-1"}"#)]
    );
    assert_eq!(written(&mut json, MediaFrame::Stop), [text(r#"{"command":"HANGUP"}"#)]);
    for socket in [&mut plain, &mut json] {
        assert_eq!(
            socket.serialize_frame(MediaFrame::Dtmf("1".to_owned())),
            Err(FrameProblem::Unsupported)
        );
        assert_eq!(
            written(socket, MediaFrame::Audio(vec![1; 1280])),
            [Message::Binary(vec![1; 1280])]
        );
    }
}

#[test]
fn a_long_mark_comes_back_with_its_own_name() {
    for announcement in [PLAIN, JSON] {
        let mut socket = started(announcement);
        let name = "\u{1f514} \"ring\"".repeat(5);
        let [Message::Text(command)] = &written(&mut socket, mark(&name))[..] else {
            panic!("not one text message");
        };
        assert!(command.len() <= 128, "{command}");
        let echo = command
            .replace("MARK_MEDIA", "MEDIA_MARK_PROCESSED")
            .replace("command", "event");
        assert_eq!(read(&mut socket, &echo), [MediaEvent::Mark(name)]);
    }
}

#[test]
fn odd_frames_are_buffered_once_and_again_after_a_flush() {
    let mut socket = started(&PLAIN.replace("optimal_frame_size:160", "optimal_frame_size:240"));
    let audio = || MediaFrame::Audio(vec![1; 160]);
    let payload = || Message::Binary(vec![1; 160]);
    let buffered = [text("START_MEDIA_BUFFERING"), payload()];
    assert_eq!(written(&mut socket, audio()), buffered);
    assert_eq!(written(&mut socket, audio()), [payload()]);
    written(&mut socket, MediaFrame::Clear);
    assert_eq!(written(&mut socket, audio()), buffered);
}

#[test]
fn without_framing_there_is_no_queue_to_mark_or_flush() {
    let mut announced = started(&PLAIN.replace("optimal_frame_size:160", "optimal_frame_size:0"));
    let mut told = started(PLAIN);
    let refusal = "ERROR channel_id:c error_text:FLUSH_MEDIA not supported in passthrough mode";
    assert_eq!(read(&mut told, refusal), []);
    for socket in [&mut announced, &mut told] {
        for frame in [MediaFrame::Clear, mark("m")] {
            assert_eq!(socket.serialize_frame(frame), Err(FrameProblem::Unsupported));
        }
        assert_eq!(written(socket, MediaFrame::Audio(vec![1; 33])).len(), 1);
    }
}

#[test]
fn what_cannot_be_read_is_dropped_and_said() {
    let mut socket = started(PLAIN);
    for text in [
        "{",
        "{}",
        r#"{"event":7}"#,
        r#"{"event":"MEDIA_START","optimal_frame_size":"x"}"#,
        r#"{"event":"DTMF_END"}"#,
        r#"{"event":"DTMF_END","digit":"12"}"#,
        "DTMF_END",
        "DTMF_END digit:",
        "DTMF_END digit:x",
        "MEDIA_START format:opus optimal_frame_size:0",
        &json!({ "event": "MEDIA_START", "format": "g722" }).to_string(),
    ] {
        assert!(
            matches!(read(&mut socket, text)[..], [MediaEvent::Malformed(_)]),
            "{text}"
        );
    }
    assert!(matches!(socket.state, State::Started));
}
