//! Keys and certificates change while a node runs: nobody who is there is cut off, and what is of no use changes nothing.

use rustls::RootCertStore;
use serde_json::json;

use crate::harness::{Http, Keys, Launch, Node, eventually, now_unix, sign_hs256, unique};

async fn node(keys: &Keys, flags: &[&str]) -> Node {
    let launch = Launch::new(&unique(), "n1").flags(keys.flags()).flags(flags.to_vec()).key(&keys.api);
    let node = launch.start().await;
    node.ready().await;
    node
}

/// Waits until that many reloads have ended so, or more.
pub(crate) async fn reloaded(node: &Node, result: &str, times: f64) {
    let sample = format!("pushmesh_reloads_total{{result=\"{result}\"}}");
    eventually(&sample, async || match node.metric(&sample).await {
        Some(ended) if ended >= times => Ok(()),
        other => Err(other),
    })
    .await;
}

async fn status_with(node: &Node, key: &str) -> u16 {
    node.http.with_key(Some(key)).call("GET", "/v1/stats", &[], "").await.status
}

const OTHER: &str = "another-key-of-a-backend-0123456789";

#[tokio::test]
async fn a_key_that_is_added_to_its_file_is_let_in_and_one_that_is_removed_is_not() {
    let keys = Keys::generate().await;
    let node = node(&keys, &[]).await;
    let mut client = node.dial().token(&keys.token("u")).device("d").open().await;
    assert_eq!(status_with(&node, OTHER).await, 401);
    keys.write("api.key", &format!("{}\n{OTHER}\n", keys.api));
    reloaded(&node, "done", 1.0).await;
    assert_eq!((status_with(&node, OTHER).await, status_with(&node, &keys.api).await), (200, 200));
    // The secret of tokens is another one from now on. Who is there stays.
    let secret = "a-secret-of-tokens-that-is-long-enough";
    keys.write("jwt.secret", secret);
    keys.write("api.key", OTHER);
    reloaded(&node, "done", 2.0).await;
    assert_eq!(status_with(&node, &keys.api).await, 401);
    assert_eq!(node.dial().token(&keys.token("v")).refused().await.status, 401);
    let claims = json!({ "sub": "v", "exp": now_unix() + 60 });
    let mut new = node.dial().token(&sign_hs256(secret, &claims)).device("d").open().await;
    let backend = node.http.with_key(Some(OTHER));
    for (user, client) in [("u", &mut client), ("v", &mut new)] {
        let pushed = backend.call("POST", &format!("/v1/users/{user}/push"), &[], "hello").await;
        assert_eq!(pushed.json["delivered"], 1, "{pushed:?}");
        assert_eq!(client.next_text().await, "hello");
    }
}

#[tokio::test]
async fn what_is_of_no_use_changes_nothing_and_is_counted() {
    let keys = Keys::generate().await;
    let node = node(&keys, &[]).await;
    for (file, times) in [("api.key", 1.0), ("jwt.public.pem", 2.0)] {
        let before = std::fs::read_to_string(keys.path(file)).expect("it is there");
        keys.write(file, "short");
        reloaded(&node, "failed", times).await;
        assert_eq!(status_with(&node, &keys.api).await, 200);
        assert!(node.process.stderr().contains("all stays as it was"));
        keys.write(file, &before);
        reloaded(&node, "done", times).await;
    }
    std::fs::remove_file(keys.path("api.key")).expect("it is there");
    reloaded(&node, "failed", 3.0).await;
    assert_eq!(status_with(&node, &keys.api).await, 200);
}

#[tokio::test]
async fn sighup_reads_the_file_of_settings_again_and_says_what_needs_a_restart() {
    let keys = Keys::generate().await;
    let settings = keys.write("node.toml", "origin = [\"https://old.example\"]\n");
    let node = node(&keys, &["--config", &settings]).await;
    let dial = |origin: &'static str| node.dial().token(&keys.token("u")).header("origin", origin);
    dial("https://old.example").open().await;
    assert_eq!(dial("https://new.example").refused().await.status, 403);
    keys.write("node.toml", "origin = [\"https://new.example\"]\npush-timeout = \"7s\"\n");
    node.process.signal("HUP");
    reloaded(&node, "done", 1.0).await;
    dial("https://new.example").open().await;
    assert_eq!(dial("https://old.example").refused().await.status, 403);
    let said = node.process.stderr();
    assert!(said.contains("need a restart") && said.contains("push_timeout"), "{said}");
}

#[tokio::test]
async fn keys_change_also_during_the_drain_delay() {
    let keys = Keys::generate().await;
    let node = node(&keys, &["--drain-delay", "1h"]).await;
    node.process.signal("TERM");
    eventually("the node leaves", async || match node.get("/readyz").await.status {
        503 => Ok(()),
        other => Err(other),
    })
    .await;
    keys.write("api.key", OTHER);
    reloaded(&node, "done", 1.0).await;
    assert_eq!(status_with(&node, OTHER).await, 200);
    node.process.signal("TERM");
    assert_eq!(node.process.end().await.code(), Some(143));
}

/// A certificate for `localhost`, written over the one before, and whoever trusts it.
fn certificate(keys: &Keys) -> RootCertStore {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("one can be made");
    keys.write("tls.pem", &made.cert.pem());
    keys.write("tls.key", &made.signing_key.serialize_pem());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("the certificate is one");
    roots
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_shown_to_new_connections_and_the_others_stay() {
    let keys = Keys::generate().await;
    let roots = certificate(&keys);
    let (cert, key) = (keys.flag("tls.pem"), keys.flag("tls.key"));
    let flags = ["--tls-cert", &cert, "--tls-key", &key];
    let node = Launch::dev(&unique(), "n1").flags(flags).https(roots).start().await;
    node.ready().await;
    let mut before = node.connect("u", Some("before")).await;
    let base = format!("https://localhost:{}", node.addr.port());
    let roots = certificate(&keys);
    let new = || Http::new(base.clone(), None, roots.clone());
    eventually("the new certificate", async || {
        new().try_call("GET", "/readyz", &[], "").await.map(|answer| assert_eq!(answer.status, 200))
    })
    .await;
    let pushed = new().call("POST", "/v1/users/u/push", &[], "hello").await;
    assert_eq!(pushed.json["delivered"], 1, "{pushed:?}");
    assert_eq!(before.next_text().await, "hello");
}
