//! A call looked at closely: its waveform and its invocations.

use super::*;
use crate::store::{FrameTimes, InvocationRecord};

async fn call(server: &Server) -> (strowger_call::CallId, String) {
    let configuration = server.configuration("main", "ACCT1").await;
    let id = new_call_id();
    let new = NewCall {
        id: id.clone(),
        organization: server.organization.clone(),
        configuration: ConfigurationId::parse(&configuration).unwrap(),
        number: None,
        agent: None,
        provider: "testphone".to_owned(),
        provider_version: "v".to_owned(),
        provider_call_id: None,
        caller: None,
        callee: Address::parse("+14155550123", None).unwrap(),
        attachment: None,
        media: None,
    };
    server.fake.store.create_outbound_call(&new, NOW).await.unwrap();
    let path = format!("/api/v1/calls/{id}");
    (id, path)
}

#[tokio::test]
async fn a_recording_has_a_waveform_in_as_many_points_as_are_asked_for() {
    let server = Server::start().await;
    let (id, path) = call(&server).await;
    let path = format!("{path}/waveform");
    assert_eq!(
        server.get(&path).await.0,
        StatusCode::NOT_FOUND,
        "there is no recording"
    );
    server.fake.store.set_recording(&id, "call.wav").await.unwrap();
    assert_eq!(server.get(&path).await.0, StatusCode::NOT_FOUND, "the file is gone");
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let file = server.fake.store.directory.path().join("call.wav");
    let mut writer = hound::WavWriter::create(&file, spec).unwrap();
    for _ in 0..16_000 {
        writer.write_sample(-0x4000_i16).unwrap();
        writer.write_sample(0x2000_i16).unwrap();
    }
    writer.finalize().unwrap();

    let (status, body) = server.get(&path).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        (&body["duration_ms"], &body["sample_rate_hz"], &body["starts_at_ms"]),
        (&json!(2_000), &json!(8_000), &json!(0))
    );
    for (at, name, value) in [(0, "caller", -64), (1, "agent", 32)] {
        let channel = &body["channels"][at];
        assert_eq!(channel["name"], name);
        assert_eq!(channel["min"].as_array().unwrap().len(), 800);
        assert_eq!(
            (&channel["min"][799], &channel["max"][0]),
            (&json!(value), &json!(value))
        );
    }
    let (_, body) = server.get(&format!("{path}?points=16")).await;
    assert_eq!(body["channels"][1]["max"].as_array().unwrap().len(), 16);
    for (query, field) in [
        ("points=15", "points"),
        ("points=4001", "points"),
        ("points=x", "points"),
        ("width=1", "width"),
    ] {
        let (status, body) = server.get(&format!("{path}?{query}")).await;
        assert_eq!((status, fields(&body)), (StatusCode::UNPROCESSABLE_ENTITY, vec![field]));
    }
    // What cannot be read is ours, and says nothing.
    std::fs::write(file, "RIFF").unwrap();
    assert_eq!(server.get(&path).await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn invocations_are_listed_with_their_cost_page_by_page() {
    let server = Server::start().await;
    let (id, path) = call(&server).await;
    let path = format!("{path}/invocations");
    let empty = json!({ "invocations": [], "dropped": 0, "next_cursor": null });
    assert_eq!(server.get(&path).await, (StatusCode::OK, empty));
    let record = |sequence, export: &str, frames: Option<FrameTimes>| InvocationRecord {
        sequence,
        export: export.to_owned(),
        version: "ab".repeat(32),
        at: NOW,
        round: 0,
        count: if frames.is_some() { 50 } else { 1 },
        faults: 0,
        cpu_ns: 61_234,
        wall_ns: 1_234_567,
        memory_bytes: frames.is_none().then_some(1 << 20),
        frames,
        outcome: "done".to_owned(),
    };
    let frames = FrameTimes {
        p50_ns: 1_250,
        p99_ns: 9_000,
        max_ns: 20_049,
    };
    let records = [
        record(1, "calling.place-call", None),
        record(2, "media.leg", None),
        record(3, "media.serialize-frame", Some(frames)),
    ];
    server.fake.store.append_invocations(&id, &records).await.unwrap();
    server.fake.store.set_invocations_dropped(&id, 4).await.unwrap();

    let (_, page) = server.get(&format!("{path}?limit=2")).await;
    assert_eq!(page["invocations"].as_array().unwrap().len(), 2);
    assert_eq!(
        page["invocations"][0],
        json!({
            "sequence": 1, "export": "calling.place-call", "version": "ab".repeat(32), "at": "2026-11-22T16:30:00.125Z",
            "round": 0, "count": 1, "faults": 0, "cpu_us": 61.2, "wall_us": 1234.5, "wall_p50_us": null,
            "wall_p99_us": null, "wall_max_us": null, "memory_bytes": 1 << 20, "outcome": "done",
        })
    );
    let cursor = page["next_cursor"].as_str().unwrap();
    let (_, rest) = server.get(&format!("{path}?limit=2&cursor={cursor}")).await;
    assert_eq!((&rest["next_cursor"], &rest["dropped"]), (&Value::Null, &json!(4)));
    let frames = &rest["invocations"][0];
    assert_eq!(
        (
            &frames["count"],
            &frames["wall_p50_us"],
            &frames["wall_p99_us"],
            &frames["wall_max_us"]
        ),
        (&json!(50), &json!(1.2), &json!(9.0), &json!(20.0))
    );
    let (status, body) = server.get(&format!("{path}?limit=0&cursor=x")).await;
    assert_eq!(
        (status, fields(&body)),
        (StatusCode::UNPROCESSABLE_ENTITY, vec!["limit", "cursor"])
    );
}
