//! What the database costs: where a webhook goes with 10, 10 000 and 1 000 000 numbers, and the rotation of 100 000 secrets while
//! routes are looked up. Prints the tables of docs/performance.md for SQLite, and for the PostgreSQL that
//! `STROWGER_TEST_DATABASE` names. `STROWGER_BENCH_SCALE=100` divides all counts, for trying it.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says where")]

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha1::Sha1;
use sqlx::{AnyConnection, Connection as _};
use strowger_call::Address;
use strowger_server::gateway::Gateway;
use strowger_server::settings::{Flags, Settings};
use strowger_server::store::{
    AccountId, ConfigurationId, NewConfiguration, OrganizationId, SecretJson, Store, StoreOptions,
};
use tokio::task::JoinSet;

const NUMBERS: [i64; 3] = [10, 10_000, 1_000_000];
const ORGANIZATIONS: i64 = 100;
const SECRETS: i64 = 100_000;
const LOOKUPS: i64 = 5_000;
const WEBHOOKS: i64 = 1_000;
const WRITERS: usize = 8;
/// The first number's, which the others count up from.
const FIRST: i64 = 2_120_000_000;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn scale() -> i64 {
    std::env::var("STROWGER_BENCH_SCALE").map_or(1, |text| text.parse().unwrap())
}

fn number(i: i64) -> String {
    format!("+1{}", FIRST + i)
}

fn account(k: i64) -> String {
    format!("AC{k:032x}")
}

/// Times of one kind.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn at(&mut self, permille: usize) -> Duration {
        self.0.sort_unstable();
        self.0[(self.0.len() - 1) * permille / 1000]
    }

    fn shown(&mut self) -> String {
        let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
        format!("{} | {} | {}", ms(self.at(500)), ms(self.at(990)), ms(self.at(1000)))
    }
}

/// A database with everything that makes a gateway of it.
struct Site {
    /// Of the data; removed with this.
    _folder: tempfile::TempDir,
    settings: Settings,
    store: Store,
}

impl Site {
    async fn open(url: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flags = Flags::default()
            .set("data_dir", Some(folder.path().display()))
            .set("listen", Some("127.0.0.1:0"))
            .set("database_url", url)
            .set_all("providers", [strowger_tests::root().join("target/providers").display()]);
        let settings = Settings::load(&flags).unwrap();
        let store = Store::open(&settings.database_url, settings.clone(), &StoreOptions::default())
            .await
            .unwrap();
        Self {
            _folder: folder,
            settings,
            store,
        }
    }

    async fn run(&self, sql: String, bound: &[i64]) {
        let mut connection = AnyConnection::connect(&self.settings.database_url).await.unwrap();
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for value in bound {
            query = query.bind(*value);
        }
        query.execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Organisations, each with one account.
    async fn organizations(&self) -> Vec<OrganizationId> {
        let mut ids = Vec::new();
        for k in 0..ORGANIZATIONS {
            let id = OrganizationId::generate();
            self.store
                .create_organization(&id, &format!("Organisation {k}"), 1)
                .await
                .unwrap();
            let configuration = configuration(&id, "main", Some(k));
            self.store.create_configuration(configuration, 1).await.unwrap();
            ids.push(id);
        }
        ids
    }

    /// Numbers from `from` on, below `to`, spread over the accounts.
    async fn fill(&self, from: i64, to: i64) {
        let kind = Address::parse(&number(0), None).unwrap().kind().as_str();
        let sql = format!(
            "INSERT INTO phone_numbers (id, organization_id, configuration_id, address, address_normalized, address_type, is_active, \
             is_default_caller_id, metadata, provider, account_index, created_at, updated_at) \
             WITH RECURSIVE n (i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2), \
             c AS (SELECT c.id, organization_id, provider, account_index, CAST(SUBSTR(o.name, 14) AS BIGINT) AS k \
             FROM telephony_configurations c JOIN organizations o ON o.id = c.organization_id) \
             SELECT '00000000-0000-4000-8000-' || CAST(100000000000 + i AS TEXT), c.organization_id, c.id, \
             '+1' || CAST({FIRST} + i AS TEXT), '+1' || CAST({FIRST} + i AS TEXT), '{kind}', 1, 0, '{{}}', c.provider, c.account_index, 1, 1 \
             FROM n JOIN c ON c.k = n.i % {ORGANIZATIONS}"
        );
        self.run(sql, &[from, to]).await;
        self.run("ANALYZE".to_owned(), &[]).await;
    }

    /// Where calls to numbers go that come in no order.
    async fn routes(&self, numbers: i64) -> Times {
        let mut times = Times::default();
        for turn in 0..LOOKUPS / scale() {
            times.0.push(look_up(&self.store, turn * 7_919 % numbers).await);
        }
        times
    }

    /// Whole webhooks, as a carrier sends them, of calls to numbers without an agent: recognised, routed, proved, and refused.
    async fn webhooks(&self, numbers: i64) -> Times {
        let gateway = Gateway::start(self.settings.clone()).await.unwrap();
        let url = format!("http://{}/api/v1/telephony/inbound/run", gateway.address());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut times = Times::default();
        for turn in 0..WEBHOOKS / scale() + 20 {
            let i = turn * 7_919 % numbers;
            let (sid, account, called) = (format!("CA{turn:032x}"), account(i % ORGANIZATIONS), number(i));
            let parameters = [
                ("AccountSid", &*account),
                ("CallSid", &*sid),
                ("CallStatus", "ringing"),
                ("Direction", "inbound"),
                ("From", "+12025550147"),
                ("To", &*called),
            ];
            let request = client
                .post(&url)
                .header("x-twilio-signature", signature(&url, &parameters))
                .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
                .body(
                    form_urlencoded::Serializer::new(String::new())
                        .extend_pairs(parameters)
                        .finish(),
                );
            let began = Instant::now();
            let response = request.send().await.unwrap();
            let (status, body) = (response.status(), response.text().await.unwrap());
            let took = began.elapsed();
            assert!(status.is_success() && body.contains("<Response>"), "{status}: {body}");
            // The first ones warm up.
            if turn >= 20 {
                times.0.push(took);
            }
        }
        gateway.stop().await;
        times
    }
}

async fn look_up(store: &Store, i: i64) -> Duration {
    let (account, callee) = (
        AccountId::new(account(i % ORGANIZATIONS)),
        Address::parse(&number(i), None).unwrap(),
    );
    let began = Instant::now();
    let route = store.find_route("twilio", Some(&account), &callee).await.unwrap();
    let took = began.elapsed();
    assert!(route.is_some(), "number {i} is routed");
    took
}

fn configuration(organization: &OrganizationId, name: &str, k: Option<i64>) -> NewConfiguration {
    let sid = k.map(account);
    NewConfiguration {
        id: ConfigurationId::generate(),
        organization: organization.clone(),
        name: name.to_owned(),
        provider: "twilio".to_owned(),
        credentials: SecretJson::new(json!({ "account_sid": sid, "auth_token": TOKEN })),
        account_id: sid.map(AccountId::new),
        is_default_outbound: false,
    }
}

fn signature(url: &str, parameters: &[(&str, &str)]) -> String {
    // They are in their order.
    let mut mac = Hmac::<Sha1>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(url.as_bytes());
    for (name, value) in parameters {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

async fn routes(name: &str, url: Option<&str>) {
    let site = Site::open(url).await;
    site.organizations().await;
    let mut from = 0;
    for numbers in NUMBERS.map(|count| (count / scale()).max(10)) {
        site.fill(from, numbers).await;
        from = numbers;
        println!(
            "| {name} | {numbers} | {} | {} |",
            site.routes(numbers).await.shown(),
            site.webhooks(numbers).await.shown()
        );
    }
}

async fn rotation(name: &str, url: Option<&str>) {
    let site = Site::open(url).await;
    let organizations = site.organizations().await;
    site.fill(0, 1_000).await;
    let secrets = SECRETS / scale() - ORGANIZATIONS;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, organizations) = (site.store.clone(), organizations.clone());
        writers.spawn(async move {
            for n in (0..usize::try_from(secrets).unwrap()).skip(writer).step_by(WRITERS) {
                let organization = &organizations[n % organizations.len()];
                let new = configuration(organization, &format!("more {n}"), None);
                store.create_configuration(new, 1).await.unwrap();
            }
        });
    }
    writers.join_all().await;

    let mut before = site.routes(1_000).await;
    let rotating = site.store.clone();
    let began = Instant::now();
    let rotation = tokio::spawn(async move { rotating.rotate_keys(|| 2, |_| {}).await.unwrap() });
    let (mut during, mut ticks) = (Times::default(), tokio::time::interval(Duration::from_millis(2)));
    let mut turn = 0;
    while !rotation.is_finished() {
        ticks.tick().await;
        turn += 1;
        during.0.push(look_up(&site.store, turn * 7_919 % 1_000).await);
    }
    let (took, rotation) = (began.elapsed(), rotation.await.unwrap());
    println!(
        "| {name} | {} | {:.1} | {:.0} | {} | {} |",
        rotation.done,
        took.as_secs_f64(),
        f64::from(u32::try_from(rotation.done).unwrap()) / took.as_secs_f64(),
        before.shown(),
        during.shown()
    );
}

/// A new schema on the server.
async fn schema(server: &str, name: &str) -> String {
    let mut connection = AnyConnection::connect(server).await.unwrap();
    for sql in [
        format!("DROP SCHEMA IF EXISTS {name} CASCADE"),
        format!("CREATE SCHEMA {name}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
    let mut url = reqwest::Url::parse(server).unwrap();
    url.query_pairs_mut().append_pair("options[search_path]", name);
    url.into()
}

#[tokio::main]
async fn main() {
    sqlx::any::install_default_drivers();
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nobody has installed one yet");
    let server = std::env::var("STROWGER_TEST_DATABASE").ok();
    println!("Where an inbound call goes, in milliseconds: the look-up in the database; the whole webhook over HTTP\n");
    println!("| database | numbers | look-up p50 | p99 | worst | webhook p50 | p99 | worst |");
    println!("|---|---|---|---|---|---|---|---|");
    routes("SQLite", None).await;
    if let Some(server) = &server {
        routes("PostgreSQL", Some(&schema(server, "bench_routes").await)).await;
    }
    println!("\nRotation of all secrets, and what looking up a route takes before and meanwhile, in milliseconds\n");
    println!("| database | secrets | s | a second | before p50 | p99 | worst | meanwhile p50 | p99 | worst |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    rotation("SQLite", None).await;
    if let Some(server) = &server {
        rotation("PostgreSQL", Some(&schema(server, "bench_rotation").await)).await;
    }
}
