//! Lists in pages: every row is there once, in order, whatever the size of a page.

use super::*;

/// Follows the cursors to the end; the ids of all rows.
async fn walked(server: &Server, path: &str, items: &str, id: &str, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut url = format!("{path}?limit={limit}");
    loop {
        let (status, page) = server.get(&url).await;
        assert_eq!(status, StatusCode::OK, "{url}: {page}");
        let rows = page[items].as_array().unwrap();
        assert!(rows.len() <= limit, "{url}");
        found.extend(rows.iter().map(|row| row[id].as_str().unwrap_or_default().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => {
                assert_eq!(rows.len(), limit, "only the last page may be short: {url}");
                url = format!("{path}?limit={limit}&cursor={cursor}");
            }
            None => return found,
        }
    }
}

#[tokio::test]
async fn every_list_comes_in_pages() {
    let server = Server::start().await;
    for n in 0..5 {
        server
            .made(
                "/api/v1/agents",
                json!({ "name": format!("bot {n}"), "protocol": "echo" }),
            )
            .await;
    }
    let mut configurations = Vec::new();
    for n in 0..4 {
        configurations.push(server.configuration(&format!("c{n}"), &format!("a{n}")).await);
    }
    let last = configurations.last().unwrap();
    server
        .post(&format!("{CONFIGS}/{last}/set-default-outbound"), json!({}))
        .await;
    let numbers = format!("{CONFIGS}/{last}/phone-numbers");
    for n in 0..5 {
        server
            .made(&numbers, json!({ "address": format!("+1415555000{n}") }))
            .await;
    }
    let trunked = server
        .made(CONFIGS, json!({ "name": "T", "config": { "provider": "trunkphone", "account": "t1", "auth_token": "secret-token" } }))
        .await;
    let trunks = format!("{CONFIGS}/{trunked}/trunks");
    for n in 0..3 {
        server
            .made(
                &trunks,
                json!({ "name": format!("t{n}"), "settings": { "region": "eu" } }),
            )
            .await;
    }
    let stranger = server.stranger().await;
    for (path, items, id, count) in [
        ("/api/v1/agents", "agents", "id", 5),
        (CONFIGS, "configurations", "id", 5),
        (&*numbers, "phone_numbers", "id", 5),
        (&*trunks, "trunks", "id", 3),
        (
            "/api/v1/organizations/telephony-providers/metadata",
            "providers",
            "provider",
            3,
        ),
    ] {
        let all = walked(&server, path, items, id, 200).await;
        assert_eq!(all.len(), count, "{path}");
        for limit in 1..=count {
            assert_eq!(walked(&server, path, items, id, limit).await, all, "{path} by {limit}");
        }
        // A cursor of a stranger's leads through the stranger's own rows only.
        let (_, page) = server.get(&format!("{path}?limit=1")).await;
        let cursor = page["next_cursor"].as_str().unwrap();
        if !path.contains("phone-numbers") && !path.contains("trunks") && !path.contains("metadata") {
            let (status, page) = stranger.get(&format!("{path}?cursor={cursor}")).await;
            assert_eq!((status, &page[items]), (StatusCode::OK, &json!([])), "{path}");
        }
    }
    assert_eq!(
        walked(&server, CONFIGS, "configurations", "id", 1).await[0],
        *last,
        "the default comes first"
    );
}

#[tokio::test]
async fn rows_that_come_and_go_hide_no_others() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for name in ["a", "c", "e", "g"] {
        ids.push(
            server
                .made("/api/v1/agents", json!({ "name": name, "protocol": "echo" }))
                .await,
        );
    }
    let (_, page) = server.get("/api/v1/agents?limit=2").await;
    let next = format!(
        "/api/v1/agents?limit=2&cursor={}",
        page["next_cursor"].as_str().unwrap()
    );
    // The very row that the cursor names, and one that is not read yet.
    server.delete(&format!("/api/v1/agents/{}", ids[1])).await;
    server.delete(&format!("/api/v1/agents/{}", ids[2])).await;
    server
        .made("/api/v1/agents", json!({ "name": "b", "protocol": "echo" }))
        .await;
    server
        .made("/api/v1/agents", json!({ "name": "f", "protocol": "echo" }))
        .await;
    let (_, page) = server.get(&next).await;
    let names: Vec<_> = page["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| agent["name"].clone())
        .collect();
    assert_eq!(names, ["f", "g"]);
}
