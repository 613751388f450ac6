//! Components in a real OCI registry, on loopback.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use strowger_server::oci::{Fetched, Login, OciError, OciRef, Registry};
use strowger_tests::provider_bytes;
use tempfile::TempDir;

/// A registry of the test's own, gone with it.
struct Running {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    fn start() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let program = strowger_tests::root().join(".tools/registry/usr/bin/docker-registry");
        assert!(
            program.exists(),
            "{} is missing: `just registry-tool`",
            program.display()
        );
        let folder = tempfile::tempdir().unwrap();
        // Port 0 is any; the registry tells which in its log.
        let config = format!(
            "version: 0.1\nlog: {{level: info, formatter: json}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            folder.path().join("blobs").display()
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(program)
            .arg("serve")
            .arg(file)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let port = log
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, rest) = line.split_once("listening on 127.0.0.1:")?;
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                digits.parse().ok()
            })
            .expect("the registry says where it listens");
        // It goes on talking, and must not wait for a listener.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, port, folder }
    }

    fn place(&self, rest: &str) -> OciRef {
        format!("oci://127.0.0.1:{}/{rest}", self.port).parse().unwrap()
    }

    /// Something else than our own code would send, under the same name.
    async fn push_foreign(&self, rest: &str, layers: &[ImageLayer]) {
        let reference: Reference = format!("127.0.0.1:{}/{rest}", self.port).parse().unwrap();
        let client = Client::new(ClientConfig {
            protocol: ClientProtocol::Http,
            ..ClientConfig::default()
        });
        let config = Config::oci_v1(b"{}".to_vec(), None);
        let manifest = OciImageManifest::build(layers, &config, None);
        client
            .push(&reference, layers, config, &RegistryAuth::Anonymous, Some(manifest))
            .await
            .unwrap();
    }
}

async fn pull(place: &OciRef) -> Result<Fetched, OciError> {
    Registry::new(place, Login::default()).pull(place).await
}

async fn push(place: &OciRef, component: &[u8]) -> OciRef {
    Registry::new(place, Login::default())
        .push(place, component)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_sent_and_fetched_and_its_tag_is_pinned() {
    let registry = Running::start();
    let (one, two) = (provider_bytes("twilio"), provider_bytes("plivo"));
    let place = registry.place("acme/voice:1.0.0");
    let pinned = push(&place, &one).await;
    assert!(pinned.to_string().contains("@sha256:"), "{pinned}");
    let fetched = pull(&place).await.unwrap();
    assert!(fetched.bytes == one);
    assert_eq!(fetched.pinned.to_string(), pinned.to_string());
    // The same component is the same image.
    assert_eq!(
        push(&registry.place("acme/voice:again"), &one)
            .await
            .to_string()
            .split('@')
            .next_back(),
        pinned.to_string().split('@').next_back()
    );
    // The tag moves on; the pinned place does not.
    let moved = push(&place, &two).await;
    assert_ne!(moved.to_string(), pinned.to_string());
    assert!(pull(&place).await.unwrap().bytes == two);
    assert!(pull(&pinned).await.unwrap().bytes == one);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_refused_by_what_it_is() {
    let registry = Running::start();
    let wasm = |bytes: &[u8]| ImageLayer::new(bytes.to_vec(), "application/wasm".to_owned(), None);
    registry
        .push_foreign("image:1", &[ImageLayer::oci_v1_gzip(b"a container".to_vec(), None)])
        .await;
    registry.push_foreign("two:1", &[wasm(b"one"), wasm(b"two")]).await;
    for (rest, expected) in [
        ("image:1", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("two:1", "2 layers"),
        ("nothing:1", "nothing"),
    ] {
        let error = pull(&registry.place(rest)).await.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(rest), "{error}");
    }
    let digest = format!("nothing@sha256:{}", "0".repeat(64));
    let place = registry.place(&digest);
    assert!(
        Registry::new(&place, Login::default())
            .push(&place, b"x")
            .await
            .unwrap_err()
            .to_string()
            .contains("under a tag")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_changes_what_it_keeps_is_found_out() {
    let registry = Running::start();
    let component = provider_bytes("twilio");
    let place = registry.place("acme/voice:1.0.0");
    push(&place, &component).await;
    let digest = strowger_host::engine::digest(&component);
    let blob = registry
        .folder
        .path()
        .join("blobs/docker/registry/v2/blobs/sha256")
        .join(&digest[..2])
        .join(&digest)
        .join("data");
    let mut changed = std::fs::read(&blob).unwrap();
    changed[100] ^= 1;
    std::fs::write(&blob, changed).unwrap();
    let error = pull(&place).await.unwrap_err().to_string();
    assert!(error.contains(&digest), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told() {
    let place: OciRef = "oci://127.0.0.1:1/acme/voice:1".parse().unwrap();
    let error = pull(&place).await.unwrap_err().to_string();
    assert!(
        error.contains("oci://127.0.0.1:1/acme/voice:1") && error.contains("onnect"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_installs_from_a_registry_what_the_digest_says() {
    let registry = Running::start();
    let component = provider_bytes("plivo");
    let place = registry.place("acme/voice:1.0.0").to_string();
    let data = registry.folder.path().join("data").display().to_string();
    let file = registry.folder.path().join("plivo.wasm").display().to_string();
    std::fs::write(&file, &component).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(crate::cli::binary())
            .env_clear()
            .arg("provider")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{text}");
        text
    };
    let pinned = run(&["push", &file, &place]).trim().to_owned();
    let fetched = registry.folder.path().join("fetched.wasm").display().to_string();
    let pulled = run(&["pull", &place, "--output", &fetched]);
    assert!(pulled.contains(&pinned), "{pulled}");
    assert!(std::fs::read(&fetched).unwrap() == component);
    run(&["add", &place, "--data-dir", &data, "--yes"]);
    let versions = run(&["versions", "--data-dir", &data]);
    assert!(versions.contains(&pinned) && versions.contains("live"), "{versions}");
}
