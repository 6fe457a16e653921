//! Users who log in at an identity provider connect with its tokens, also while it changes its keys.

use serde_json::json;

use crate::harness::{
    ISSUER, KeyServer, Keys, Launch, Node, ProviderKey, eventually, key_set, now_unix, unique,
};
use crate::reload::reloaded;

/// A node that takes tokens of a provider.
async fn node(keys: &Keys, provider: &[&str]) -> Node {
    let (cluster, api) = (keys.flag("cluster.key"), keys.flag("api.key"));
    let flags = ["--cluster-key-file", &cluster, "--api-key-file", &api, "--jwt-issuer", ISSUER];
    let launch = Launch::new(&unique(), "n1").flags(flags).flags(["--jwt-audience", "push"]);
    let node = launch.flags(provider.to_vec()).key(&keys.api).start().await;
    node.ready().await;
    node
}

#[tokio::test]
async fn a_key_set_in_a_file_is_replaced_while_the_node_runs() {
    let keys = Keys::generate().await;
    let (old, new) = (ProviderKey::new("old"), ProviderKey::new("new"));
    let file = keys.write("jwks.json", &key_set(&[&old]));
    let node = node(&keys, &["--jwks-file", &file]).await;
    let mut before = node.dial().token(&old.token("u")).device("d").open().await;
    let refused = node.dial().token(&new.token("v")).refused().await;
    assert!(refused.text().contains("in no key set that this node knows"), "{}", refused.text());

    // As a provider changes its keys: both, then the new one alone.
    keys.write("jwks.json", &key_set(&[&old, &new]));
    reloaded(&node, "done", 1.0).await;
    for key in [&old, &new] {
        node.dial().token(&key.token("v")).open().await.close().await;
    }
    keys.write("jwks.json", &key_set(&[&new]));
    reloaded(&node, "done", 2.0).await;
    assert_eq!(node.dial().token(&old.token("v")).refused().await.status, 401);

    keys.write("jwks.json", "{\"keys\":[]}");
    reloaded(&node, "failed", 1.0).await;
    node.dial().token(&new.token("v")).open().await.close().await;
    assert_eq!(node.push("u", "hello").await.json["delivered"], 1, "who was there stays");
    assert_eq!(before.next_text().await, "hello");
}

#[tokio::test]
async fn a_token_of_the_provider_for_somebody_else_is_refused() {
    let keys = Keys::generate().await;
    let key = ProviderKey::new("a");
    let file = keys.write("jwks.json", &key_set(&[&key]));
    let node = node(&keys, &["--jwks-file", &file]).await;
    let exp = now_unix() + 60;
    let cases = [
        ("iss", json!({ "sub": "u", "exp": exp, "aud": "push" })),
        ("iss", json!({ "sub": "u", "exp": exp, "aud": "push", "iss": "https://id.example/realms/other" })),
        ("aud", json!({ "sub": "u", "exp": exp, "iss": ISSUER })),
        ("aud", json!({ "sub": "u", "exp": exp, "iss": ISSUER, "aud": "pushmesh" })),
    ];
    for (why, claims) in cases {
        let answer = node.dial().token(&key.sign(&claims)).refused().await;
        assert_eq!(answer.error(), (401, "unauthorized"), "{claims}");
        assert!(answer.text().contains(why), "{claims}: {}", answer.text());
    }
    node.dial().token(&key.token("u")).open().await.close().await;
}

/// Waits until that many fetches have ended so, or more.
async fn fetched(node: &Node, result: &str, times: f64) {
    let sample = format!("pushmesh_jwks_fetches_total{{result=\"{result}\"}}");
    eventually(&sample, async || match node.metric(&sample).await {
        Some(ended) if ended >= times => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn a_key_set_is_fetched_from_a_provider_that_changes_it_and_stays_when_the_provider_fails() {
    let keys = Keys::generate().await;
    let (old, new) = (ProviderKey::new("old"), ProviderKey::new("new"));
    let server = KeyServer::https(key_set(&[&old])).await;
    let ca = keys.write("ca.pem", &server.ca_pem);
    let node = node(&keys, &["--jwks-url", &server.url, "--jwks-ca", &ca]).await;
    // The client waits for the first fetch where it is still under way.
    node.dial().token(&old.token("u")).open().await.close().await;
    assert_eq!(node.dial().token(&new.token("u")).refused().await.status, 401);

    server.answers(200, key_set(&[&new]));
    node.process.signal("HUP");
    fetched(&node, "done", 2.0).await;
    node.dial().token(&new.token("u")).open().await.close().await;
    assert_eq!(node.dial().token(&old.token("u")).refused().await.status, 401);

    for (times, status, body) in [(1.0, 503, key_set(&[&old])), (2.0, 200, "{\"keys\":[]}".to_owned())] {
        server.answers(status, body);
        node.process.signal("HUP");
        fetched(&node, "failed", times).await;
        node.dial().token(&new.token("u")).open().await.close().await;
    }
    let said = node.process.stderr();
    assert_eq!(said.matches("those that are known stay").count(), 1, "{said}");
    assert_eq!(node.metric("pushmesh_jwks_keys").await, Some(1.0));
}

#[tokio::test]
async fn a_provider_that_nobody_vouches_for_brings_no_keys_and_one_on_this_machine_does() {
    let keys = Keys::generate().await;
    let key = ProviderKey::new("a");
    let server = KeyServer::https(key_set(&[&key])).await;
    let other = KeyServer::https(String::new()).await;
    let ca = keys.write("ca.pem", &other.ca_pem);
    let node_of_stranger = node(&keys, &["--jwks-url", &server.url, "--jwks-ca", &ca]).await;
    fetched(&node_of_stranger, "failed", 1.0).await;
    let refused = node_of_stranger.dial().token(&key.token("u")).refused().await;
    assert_eq!(refused.error(), (401, "unauthorized"));

    let server = KeyServer::http(key_set(&[&key])).await;
    let node = node(&keys, &["--jwks-url", &server.url]).await;
    node.dial().token(&key.token("u")).open().await.close().await;
}
