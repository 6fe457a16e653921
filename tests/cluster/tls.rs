//! https and wss.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{Keys, Launch, Node, eventually, pushmesh, same, unique, within};

/// A node in `--dev` with a certificate for `localhost` that `keys` keeps, and its authority's PEM.
async fn node(keys: &Keys) -> (Node, String) {
    node_with(keys, &[]).await
}

/// The same with more flags.
async fn node_with(keys: &Keys, more: &[&str]) -> (Node, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let made = made.expect("a certificate can be made");
    let cert = keys.write("tls.pem", &made.cert.pem());
    let key = keys.write("tls.key", &made.signing_key.serialize_pem());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("the certificate is one");
    let flags = ["--tls-cert", &cert, "--tls-key", &key];
    let launch = Launch::dev(&unique(), "n1").flags(flags).flags(more.iter().copied());
    let node = launch.https(roots).start().await;
    node.ready().await;
    (node, cert)
}

#[tokio::test]
async fn clients_and_backends_connect_over_tls() {
    let keys = Keys::generate().await;
    let (node, _) = node(&keys).await;
    let mut client = node.connect("u", Some("d")).await;
    let answer = node.push("u", "over wss").await;
    assert_eq!(answer.json["delivered"], 1, "{answer:?}");
    assert_eq!(client.next_text().await, "over wss");
    let largest = "x".repeat(1 << 20);
    assert_eq!(node.push("u", &largest).await.json["delivered"], 1);
    assert!(client.next_text().await == largest, "the largest payload arrives");
    assert_eq!(node.sees("n1").await["http"], format!("https://{}", node.addr));
    assert_eq!(client.close().await.map(|(code, _)| code), Some(1000));
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused_and_so_is_plain_http() {
    let keys = Keys::generate().await;
    let (node, _) = node(&keys).await;
    let base = format!("https://localhost:{}", node.addr.port());
    let distrustful = crate::harness::Http::new(base, None, RootCertStore::empty());
    let error = distrustful.try_call("GET", "/livez", &[], "").await.expect_err("nobody vouches for it");
    assert!(error.contains("UnknownIssuer"), "{error}");
    let plain = crate::harness::Http::new(format!("http://{}", node.addr), None, RootCertStore::empty());
    assert!(plain.try_call("GET", "/livez", &[], "").await.is_err());
    assert_eq!(node.get("/livez").await.status, 200, "the node is not impressed");
    eventually("both are counted", async || {
        same(node.metric("pushmesh_tls_handshakes_failed_total").await, Some(2.0)).map(|_| ())
    })
    .await;
    assert_eq!(node.metric("pushmesh_ready").await, Some(1.0));
    assert_eq!(node.metric("pushmesh_build_info{version=\"0.1.0\"}").await, Some(1.0));
    assert!(node.metric("process_resident_memory_bytes").await > Some(1e6));
}

#[tokio::test]
async fn tls_1_2_is_spoken_where_the_operator_allows_it_and_nowhere_else() {
    let keys = Keys::generate().await;
    let old = |node: &Node| {
        let roots = node.roots().expect("it has a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("ring supports TLS 1.2")
            .with_root_certificates(roots)
            .with_no_client_auth();
        (TlsConnector::from(Arc::new(config)), node.addr)
    };
    for (flags, spoken) in [(&[][..], false), (&["--tls-min", "1.2"], true)] {
        let (node, _) = node_with(&keys, flags).await;
        let (connector, addr) = old(&node);
        let tcp = TcpStream::connect(addr).await.expect("the node listens");
        let name = ServerName::try_from("localhost").expect("a literal that is valid");
        let shaken = within("a handshake", connector.connect(name, tcp)).await;
        assert_eq!(shaken.is_ok(), spoken, "{flags:?}: {:?}", shaken.err());
        assert_eq!(node.get("/livez").await.status, 200, "newer ones are spoken in any case");
    }
}

#[tokio::test]
async fn the_commands_speak_tls_with_the_authority_that_is_given() {
    let keys = Keys::generate().await;
    let (node, ca) = node(&keys).await;
    let mut client = node.connect("u", Some("d")).await;
    let url = format!("https://localhost:{}", node.addr.port());
    let done = pushmesh(&["push", "--url", &url, "--ca-file", &ca, "--to", "user/u", "hello"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(client.next_text().await, "hello");
    let other = keys.write(
        "other.pem",
        &rcgen::generate_simple_self_signed(["x".to_owned()]).expect("it can").cert.pem(),
    );
    let refused = pushmesh(&["push", "--url", &url, "--ca-file", &other, "--to", "user/u", "hello"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
}
