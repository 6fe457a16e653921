//! Nodes and intruders meet over real QUIC on loopback.

use std::error::Error;
use std::future::Future;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};

use quinn::{Connection, ConnectionError, Endpoint, TokioRuntime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::ServerName;

use super::*;

mod files;
mod restart;
mod rotation;

const KEY: &str = "pmk1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const OTHER_KEY: &str = "pmk1_IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn cluster(text: &str) -> ClusterName {
    ClusterName::new(text).unwrap()
}

fn node(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn identity(in_cluster: &str, name: &str, key: &str) -> Identity {
    let keys = ClusterKeys::parse(key).unwrap();
    Identity::from_cluster_keys(&cluster(in_cluster), &node(name), &keys).unwrap()
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A node's endpoint at `addr`, with a seed that no other endpoint of the process has.
fn endpoint_at(addr: SocketAddr, identity: &Identity) -> Endpoint {
    static BOOTS: AtomicU8 = AtomicU8::new(0);
    let seed = [BOOTS.fetch_add(1, Ordering::Relaxed); 32];
    let socket = UdpSocket::bind(addr).unwrap();
    let server = Some(identity.server_config(MeshVersion::V5));
    Endpoint::new(identity.endpoint_config(seed), server, socket, Arc::new(TokioRuntime)).unwrap()
}

/// Bounds every wait, so that a mistake fails the test and does not hang it.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it happens within ten seconds")
}

async fn accept(endpoint: &Endpoint) -> Result<Connection, ConnectionError> {
    endpoint.accept().await.expect("the endpoint is open").await
}

/// Two nodes that are linked; the endpoints come along because dropping them closes the link.
async fn link(server: &Identity, client: &Identity) -> (Connection, Connection, [Endpoint; 2]) {
    let (accepting, dialing) = (endpoint_at(loopback(), server), endpoint_at(loopback(), client));
    let addr = accepting.local_addr().unwrap();
    let dial =
        dialing.connect_with(client.client_config(MeshVersion::V5, [7; 32]), addr, SERVER_NAME).unwrap();
    let (accepted, dialed) = within(async { tokio::join!(accept(&accepting), dial) }).await;
    (accepted.unwrap(), dialed.unwrap(), [accepting, dialing])
}

/// Sends a byte there and back, so that both sides know that the handshake is complete.
async fn round_trip(from: &Connection, to: &Connection) -> Result<(), Box<dyn Error>> {
    let ask = async {
        let (mut send, mut recv) = from.open_bi().await?;
        send.write_all(b"?").await?;
        send.finish()?;
        assert_eq!(recv.read_to_end(1).await?, b"!");
        Ok::<_, Box<dyn Error>>(())
    };
    let answer = async {
        let (mut send, mut recv) = to.accept_bi().await?;
        assert_eq!(recv.read_to_end(1).await?, b"?");
        send.write_all(b"!").await?;
        send.finish()?;
        Ok::<_, Box<dyn Error>>(())
    };
    let (asked, answered) = within(async { tokio::join!(ask, answer) }).await;
    asked.and(answered)
}

/// Dials `server` and checks that neither side gets a connection to use. Answers why, as the server
/// sees it and as the client sees it.
async fn refused(server: &Identity, client: quinn::ClientConfig) -> (String, String) {
    let accepting = endpoint_at(loopback(), server);
    let dialing = Endpoint::client(loopback()).unwrap();
    let addr = accepting.local_addr().unwrap();
    let used = async {
        // In TLS 1.3 the client is done before the server has seen its certificate: connecting may
        // succeed, and what follows must not.
        let connection = dialing.connect_with(client, addr, SERVER_NAME)?.await?;
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(b"push").await?;
        recv.read_to_end(1).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let (accepted, used) = within(async { tokio::join!(accept(&accepting), used) }).await;
    let accepted = accepted.expect_err("the server accepted an intruder");
    let used = used.expect_err("an intruder used a stream");
    (accepted.to_string(), with_causes(used.as_ref()))
}

/// Dials a server that takes every client and shows `certified`. Answers why the client refuses it.
async fn refused_impostor(client: &Identity, certified: &Identity) -> String {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(certified.credentials.clone());
    tls.alpn_protocols = version::protocols(MeshVersion::V5);
    let tls = QuicServerConfig::try_from(tls).unwrap();
    let accepting = Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(tls)), loopback()).unwrap();
    let dialing = endpoint_at(loopback(), client);
    let addr = accepting.local_addr().unwrap();
    let dial =
        dialing.connect_with(client.client_config(MeshVersion::V5, [7; 32]), addr, SERVER_NAME).unwrap();
    let (_, dialed) = within(async { tokio::join!(accept(&accepting), dial) }).await;
    dialed.expect_err("the client believed an impostor").to_string()
}

fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A client that believes every server and shows `certified`, or nothing.
fn intruder(certified: Option<&Identity>) -> quinn::ClientConfig {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible));
    let mut tls = match certified {
        Some(identity) => builder.with_client_cert_resolver(identity.credentials.clone()),
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = version::protocols(MeshVersion::V5);
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn two_nodes_with_the_same_key_know_each_other_by_name() {
    let (n1, n2) = (identity("shop", "n1", KEY), identity("shop", "n2", KEY));
    let (accepted, dialed, _endpoints) = link(&n1, &n2).await;
    round_trip(&dialed, &accepted).await.unwrap();
    round_trip(&accepted, &dialed).await.unwrap();
    assert_eq!(n1.peer_name(&accepted).unwrap(), node("n2"));
    assert_eq!(n2.peer_name(&dialed).unwrap(), node("n1"));
    assert!(dialed.max_datagram_size().is_some(), "gossip goes in datagrams");
}

#[tokio::test]
async fn another_key_or_another_cluster_is_refused_by_the_dialing_node() {
    let client = identity("shop", "n1", KEY);
    for stranger in [identity("shop", "n2", OTHER_KEY), identity("bank", "n2", KEY)] {
        let says = refused_impostor(&client, &stranger).await;
        assert!(says.contains("UnknownIssuer"), "{stranger:?}: {says}");
    }
}

#[tokio::test]
async fn another_key_or_another_cluster_is_refused_by_the_dialed_node() {
    let server = identity("shop", "n1", KEY);
    for stranger in [identity("shop", "n2", OTHER_KEY), identity("bank", "n2", KEY)] {
        let (server, client) = refused(&server, intruder(Some(&stranger))).await;
        assert!(server.contains("UnknownIssuer"), "{stranger:?}: the server says {server}");
        assert!(client.contains("UnknownIssuer"), "{stranger:?}: the client says {client}");
    }
}

#[tokio::test]
async fn a_certificate_that_a_stranger_made_for_a_name_of_ours_is_refused() {
    let server = identity("shop", "n1", KEY);
    // With the signatures of our own: a client keeps to itself what the server would not even read.
    let authority = files::Operator::with_keys(&rcgen::PKCS_ED25519);
    let stranger = authority.node("shop", "n2");
    let (server_says, _) = refused(&server, intruder(Some(&stranger))).await;
    assert!(server_says.contains("UnknownIssuer"), "{server_says}");

    // The same with a certificate that signs itself.
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let uri = node_uri(&cluster("shop"), &node("n2"));
    params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
    params.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let certified = CertifiedKey::from_der(vec![certificate], key, &provider()).unwrap();
    let stranger = shows(certified, stranger);
    let (server_says, _) = refused(&server, intruder(Some(&stranger))).await;
    assert!(server_says.contains("UnknownIssuer"), "{server_says}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let (server, _) = refused(&identity("shop", "n1", KEY), intruder(None)).await;
    assert!(server.contains("no certificates"), "{server}");
}

#[tokio::test]
async fn a_certificate_without_its_private_key_is_refused_in_both_directions() {
    let n1 = identity("shop", "n1", KEY);
    let authority = Authority::derive(&ClusterKey::parse(KEY).unwrap().root(), &cluster("shop")).unwrap();
    let (stolen, _) = authority.issue(&cluster("shop"), &node("n2")).unwrap();
    let (_, own_key) = authority.issue(&cluster("shop"), &node("n3")).unwrap();
    let own_key = provider().key_provider.load_private_key(own_key).unwrap();
    let certified = CertifiedKey::new(vec![stolen], own_key);
    let thief = shows(certified, identity("shop", "n2", KEY));
    let (server_says, _) = refused(&n1, intruder(Some(&thief))).await;
    assert!(server_says.contains("BadSignature"), "{server_says}");
    let client_says = refused_impostor(&n1, &thief).await;
    assert!(client_says.contains("BadSignature"), "{client_says}");
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let (n1, n2) = (identity("shop", "n1", KEY), identity("shop", "n2", KEY));
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(n2.credentials.clone())
        .with_client_cert_resolver(n2.credentials.clone());
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let (server, _) = refused(&n1, client).await;
    assert!(server.contains("any known protocol"), "{server}");
}

/// Shows that the refusals above are not the intruder's own clumsiness.
#[tokio::test]
async fn the_client_of_these_tests_is_accepted_with_a_certificate_of_the_cluster() {
    let (n1, n2) = (identity("shop", "n1", KEY), identity("shop", "n2", KEY));
    let accepting = endpoint_at(loopback(), &n1);
    let dialing = Endpoint::client(loopback()).unwrap();
    let addr = accepting.local_addr().unwrap();
    let dial = dialing.connect_with(intruder(Some(&n2)), addr, SERVER_NAME).unwrap();
    let (accepted, dialed) = within(async { tokio::join!(accept(&accepting), dial) }).await;
    let (accepted, dialed) = (accepted.unwrap(), dialed.unwrap());
    round_trip(&dialed, &accepted).await.unwrap();
    assert_eq!(n1.peer_name(&accepted).unwrap(), node("n2"));
}

/// A later version must derive the same authority, or it could not join a running cluster.
#[test]
fn the_authority_of_a_key_and_a_cluster_never_changes() {
    let root = ClusterKey::parse(KEY).unwrap().root();
    let authority = Authority::derive(&root, &cluster("golden")).unwrap();
    let certificate = EndEntityCert::try_from(authority.certificate()).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        hex(&certificate.subject_public_key_info()),
        "302a300506032b65700321001926991aad766d5a2dbc2d31913f7579d3dc01d41b309f3ec0eedf71200e3997"
    );
    assert_eq!(
        hex(certificate.subject()),
        "3123302106035504030c1a707573686d65736820636c757374657220617574686f72697479310f300d060355040a0c06676f6c64656e"
    );
    let again = Authority::derive(&root, &cluster("golden")).unwrap();
    assert_eq!(again.certificate(), authority.certificate());
}

#[test]
fn certificates_of_one_name_have_the_same_length() {
    let root = ClusterKey::parse(KEY).unwrap().root();
    let authority = Authority::derive(&root, &cluster("shop")).unwrap();
    let length = || authority.issue(&cluster("shop"), &node("n1")).unwrap().0.len();
    let first = length();
    // rcgen's own serial numbers start with a zero byte once in 128 times.
    assert!((0..1_000).all(|_| length() == first));
}

#[test]
fn a_derived_identity_is_valid_whatever_the_clock_says() {
    let n1 = identity("shop", "n1", KEY);
    let certificate = leaf(&n1);
    let verify = |now| n1.credentials.verifier().verify(&certificate, &[], now);
    assert_eq!(verify(n1.time.now()), Ok(node("n1")));
    let epoch = UnixTime::since_unix_epoch(Duration::ZERO);
    assert!(matches!(verify(epoch), Err(RefusedCertificate::Chain(webpki::Error::CertNotValidYet { .. }))));
    assert_eq!(n1.time.now().as_secs(), 3_155_760_000, "2070-01-01T00:00:00Z");
}

#[test]
fn the_configuration_chooses_the_kind_of_identity() {
    let mut config = Config::dev(node("n1"));
    assert!(matches!(Identity::from_config(&config).unwrap().time, ValidationTime::Fixed(_)));

    config.mesh_identity = MeshIdentity::ClusterKey(crate::config::Secret::new("hunter2"));
    assert_eq!(
        Identity::from_config(&config).unwrap_err().to_string(),
        "--cluster-key-file or PUSHMESH_CLUSTER_KEY: line 1: a cluster key starts with pmk1_; \
         make one with `pushmesh keygen`"
    );

    let (ca_pem, cert_pem, key_pem) = files::Operator::new().files("dev", "n1");
    let key_pem = crate::config::Secret::new(key_pem);
    let hash_key = crate::config::Secret::new(files::HASH_KEY);
    let of_files = |hash_key| MeshIdentity::Files {
        ca_pem: ca_pem.clone(),
        cert_pem: cert_pem.clone(),
        key_pem: key_pem.clone(),
        hash_key,
    };
    config.mesh_identity = of_files(hash_key);
    assert!(matches!(Identity::from_config(&config).unwrap().time, ValidationTime::Machine));
    config.mesh_identity = of_files(crate::config::Secret::new("hunter2"));
    assert_eq!(
        Identity::from_config(&config).unwrap_err().to_string(),
        "--hash-key-file or PUSHMESH_HASH_KEY: a hash key starts with pmh1_; \
         make one with `pushmesh keygen --kind hash`"
    );
}

#[test]
fn an_identity_prints_its_names_only() {
    let printed = format!("{:?}", identity("shop", "n1", KEY));
    assert_eq!(printed, r#"Identity { cluster: "shop", name: "n1", .. }"#);
}

/// The certificate that an identity shows.
fn leaf(identity: &Identity) -> CertificateDer<'static> {
    identity.credentials.certified().end_entity_cert().unwrap().clone().into_owned()
}

/// An identity that shows this in place of what it has.
fn shows(certified: CertifiedKey, identity: Identity) -> Identity {
    let verifier = PeerVerifier::clone(&identity.credentials.verifier());
    Identity { credentials: Credentials::new(certified, verifier), ..identity }
}
