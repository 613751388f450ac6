//! Who may do what, from outside: keys with roles, the console's session, the operator, and the log of it all.

use std::process::Command;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection as _};
use strowger_simulator::CallerScript;

use crate::cli::binary;
use crate::harness::{
    Installation, Reply, Scenario, created, database, encryption_key_file, eventually, finished, ms, tone,
};

impl Installation {
    /// Runs a command on the data directory, beside the gateway; what it printed.
    #[track_caller]
    fn command(&self, arguments: &[&str], status: i32) -> String {
        let database = database(self.data.path()).map(|url| ("STROWGER_DATABASE_URL", url));
        let output = Command::new(binary())
            .env_clear()
            .envs(database)
            .env("STROWGER_ENCRYPTION_KEY_FILE", encryption_key_file())
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data.path())
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(status), "{text}");
        text
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.api.client.request(method, format!("{}/api/v1{path}", self.base()))
    }

    async fn with_key(&self, key: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
        let mut request = self.ask(method, path).bearer_auth(key);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        Reply::of(request.send().await.unwrap()).await
    }
}

fn line<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clerk_ends_calls_and_changes_nothing_else() {
    let ours = Scenario::echo().start().await;
    let key = |role: &str| json!({ "name": role, "role": role });
    let clerk = ours.api.post("/api-keys", key("operate")).await.ok()["api_key"].clone();
    let reader = ours.api.post("/api-keys", key("read")).await.ok()["api_key"].clone();
    let (clerk, reader) = (clerk.as_str().unwrap(), reader.as_str().unwrap());

    let caller = ours.call_in(CallerScript::new().speak(tone(500.0, 60_000)).hang_up());
    let call = ours.live_call().await;
    let hang_up = format!("/calls/{}/hang-up", call["id"].as_str().unwrap());
    let refused = ours.with_key(reader, Method::POST, &hang_up, None).await;
    assert_eq!(refused.refused(403), "forbidden_role");
    assert_eq!(ours.with_key(reader, Method::GET, "/calls", None).await.status, 200);
    ours.with_key(clerk, Method::POST, &hang_up, None).await.ok();
    finished(&caller).await;
    ours.closed_call().await;
    let agent = format!("/agents/{}", ours.ids.agent);
    let refused = ours.with_key(clerk, Method::DELETE, &agent, None).await;
    assert_eq!(refused.refused(403), "forbidden_role");
    ours.api.get(&agent).await.ok();

    let log = ours.api.get("/audit-log").await.ok();
    let told: Vec<_> = log["entries"].as_array().unwrap()[..3]
        .iter()
        .map(|entry| {
            (
                entry["actor_name"].as_str().unwrap(),
                entry["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("operate", "refused"), ("operate", "done"), ("read", "refused")]);
    assert_eq!(log["entries"][1]["resources"]["call"], call["id"]);
    assert_eq!(log["entries"][1]["address"], "127.0.0.1");

    // A proxy on this machine says for whom it speaks.
    let through = ours
        .ask(Method::DELETE, &agent)
        .bearer_auth(clerk)
        .header("x-forwarded-for", "192.0.2.1, 203.0.113.7");
    assert_eq!(through.send().await.unwrap().status(), 403);
    let log = ours.api.get("/audit-log").await.ok();
    assert_eq!(log["entries"][0]["address"], "203.0.113.7 via 127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_opens_the_api_and_nothing_of_the_carriers() {
    let ours = Scenario::echo().start().await;
    let body = json!({ "api_key": ours.api.key() }).to_string();
    let signed_in = ours.ask(Method::POST, "/session").body(body).send().await.unwrap();
    assert_eq!(signed_in.status(), 200);
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.contains("; HttpOnly; SameSite=Strict") && !cookie.contains("Secure"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    let session = Reply::of(signed_in).await.ok();
    let csrf = session["csrf_token"].as_str().unwrap();

    let agent = || ours.ask(Method::POST, "/agents").header("cookie", cookie);
    let body = json!({ "name": "From the console", "protocol": "echo" }).to_string();
    let without = Reply::of(agent().body(body.clone()).send().await.unwrap()).await;
    assert_eq!(without.refused(403), "csrf");
    created(&Reply::of(agent().header("x-csrf-token", csrf).body(body).send().await.unwrap()).await);

    // A carrier's webhook is proved by its signature, whoever is signed in.
    let path = "/api/v1/telephony/inbound/run";
    let parameters = "AccountSid=AC1&CallSid=CA1&From=%2B12025550100&To=%2B12025550123&Direction=inbound";
    let plain = ours.post_raw(path, &[], parameters.into()).await;
    let headers = [("cookie", cookie), ("x-csrf-token", csrf)];
    let with_cookie = ours.post_raw(path, &headers, parameters.into()).await;
    assert_eq!(plain, with_cookie);
    assert!(ours.calls().await.is_empty());
    let socket = ours.ask(Method::GET, "/telephony/ws/unknown").header("cookie", cookie);
    assert_ne!(socket.send().await.unwrap().status(), 101);

    let sign_out = ours
        .ask(Method::DELETE, "/session")
        .header("cookie", cookie)
        .header("x-csrf-token", csrf);
    assert_eq!(sign_out.send().await.unwrap().status(), 204);
    let after = ours.ask(Method::GET, "/session").header("cookie", cookie);
    assert_eq!(after.send().await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_lets_organisations_in_and_the_log_says_so() {
    let ours = Scenario::echo().start().await;
    let made = ours.command(&["key", "create", "--operator", "--name", "root"], 0);
    let operator = line(&made, "API key");
    let organizations = "/operator/organizations";
    let reply = ours
        .with_key(
            operator,
            Method::POST,
            organizations,
            Some(json!({ "name": "Newcomer" })),
        )
        .await
        .ok();
    let keys = format!("{organizations}/{}/api-keys", reply["id"].as_str().unwrap());
    let first = json!({ "name": "first", "role": "admin" });
    let first = ours.with_key(operator, Method::POST, &keys, Some(first)).await.ok();
    let first = first["api_key"].as_str().unwrap().to_owned();
    assert_eq!(
        ours.with_key(operator, Method::GET, "/calls", None).await.refused(403),
        "forbidden_role"
    );
    assert_eq!(
        ours.with_key(ours.api.key(), Method::GET, organizations, None)
            .await
            .refused(403),
        "forbidden_role"
    );
    tells(&ours.command(&["org", "list"], 0), &["Newcomer"]);

    // What the command line makes works at once, and ends at once.
    let made = ours.command(&["key", "create", "--organization", "Newcomer", "--role", "read"], 0);
    let reader = line(&made, "API key");
    assert_eq!(ours.with_key(reader, Method::GET, "/agents", None).await.status, 200);
    let listed = ours.command(&["key", "list", "--organization", "Newcomer"], 0);
    tells(&listed, &["read", "admin", line(&made, "id")]);
    assert!(!listed.contains(reader));
    ours.command(&["key", "revoke", line(&made, "id"), "--organization", "Newcomer"], 0);
    assert_eq!(ours.with_key(reader, Method::GET, "/agents", None).await.status, 401);

    let entries = ours.with_key(&first, Method::GET, "/audit-log", None).await.ok();
    let told: Vec<_> = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["actor"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["command_line", "command_line", "operator"]);
    tells(
        &ours.command(&["audit", "verify"], 0),
        &["installation: intact, 5 entries", "Newcomer: intact, 3 entries"],
    );

    // Somebody with the database's file takes an entry away.
    sqlx::any::install_default_drivers();
    let file = || format!("sqlite://{}", ours.data.path().join("strowger.db").display());
    let url = database(ours.data.path()).unwrap_or_else(file);
    let mut other = AnyConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("DELETE FROM audit_entries WHERE chain = 'installation' AND sequence = 2")
        .execute(&mut other)
        .await
        .unwrap();
    tells(
        &ours.command(&["audit", "verify"], 1),
        &["installation: BROKEN at entry 2", "Newcomer: intact"],
    );
    tells(
        &ours.command(&["audit", "verify", "--organization", "Newcomer"], 0),
        &["intact"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_of_a_key_is_known() {
    let ours = Scenario::echo().start().await;
    eventually("the use is written down", async || {
        let keys = ours.api.get("/api-keys").await.ok();
        keys["api_keys"][0]["last_used_at"].as_str().map(drop)
    })
    .await;
    finished(&ours.call_in(CallerScript::new().silence(ms(100)).hang_up())).await;
}

#[track_caller]
fn tells(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "`{wanted}` is not in: {text}");
    }
}
