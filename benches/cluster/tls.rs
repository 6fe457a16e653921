//! What clients over TLS cost in memory.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::dial::dial;
use crate::server::Failure;
use crate::system::{Cluster, Setup, System};
use crate::upgrade::upgrade;

/// Resident bytes of all nodes of pushmesh for each of so many clients.
///
/// # Errors
/// A client is not let in.
pub(crate) async fn idle_bytes(clients: usize, nodes: usize, threads: Option<usize>) -> Result<f64, Failure> {
    let directory = tempfile::tempdir()?;
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let file = |name: &str, pem: String| -> Result<String, Failure> {
        let path = directory.path().join(name);
        std::fs::write(&path, pem)?;
        Ok(path.display().to_string())
    };
    let cert = file("cert.pem", certified.cert.pem())?;
    let key = file("key.pem", certified.signing_key.serialize_pem())?;
    let flags = ["--tls-cert".to_owned(), cert, "--tls-key".to_owned(), key];
    let cluster =
        Cluster::start(System::Pushmesh, Setup { nodes, threads, flags: &flags, copied_after: None }).await?;
    let empty = cluster.resident_bytes()?;

    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let connects = (0..clients).map(|user| {
        let (connector, addr) = (connector.clone(), cluster.nodes[user % nodes].http);
        async move {
            let stream = connector.connect(ServerName::try_from("localhost")?, dial(addr).await?).await?;
            let url = format!("wss://localhost/v1/ws?user=u{user}&device=d");
            upgrade(stream, url).await
        }
    });
    let sockets: Vec<_> = futures_util::stream::iter(connects).buffer_unordered(32).collect().await;
    let sockets = sockets.into_iter().collect::<Result<Vec<_>, _>>()?;
    sleep(SPREAD).await;
    let full = cluster.resident_bytes()?;
    drop(sockets);
    Ok(full.saturating_sub(empty) as f64 / clients as f64)
}

/// Until the claims have reached all nodes; far longer than that takes.
const SPREAD: Duration = Duration::from_secs(1);
