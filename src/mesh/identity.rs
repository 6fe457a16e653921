//! Who a node is on the mesh, and how it proves that to its peers.
//!
//! Either all nodes share one secret, the cluster key: each derives the same certificate authority
//! from it and signs itself a certificate with its name. Or the operator has an authority and gives
//! each node its files. Both end in the same mutual TLS 1.3: a peer without a certificate of the
//! cluster is refused within the handshake, so that it can neither join, nor gossip, nor push.
//!
//! Both can be exchanged while the node runs: see [`Identity::replace`].
//!
//! It does not say which node a peer ought to be: whoever dials compares [`Identity::peer_name`] with
//! the name that it expects. A server must wait for the whole handshake (never `into_0rtt`), because
//! the peer's certificate comes with its last message.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring as ring_provider};
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::EndEntityCert;

use crate::config::{Config, MeshIdentity, MeshVersion};
use crate::id::{ClusterName, NodeName};
use crate::limits;
use crate::mesh::version;
use crate::wire::{Clock, SystemClock};

mod certificate;
mod cluster_key;
mod cluster_keys;
mod credentials;
pub(super) mod fuzz;
mod hash_key;
mod pass;
#[cfg(test)]
mod tests;
mod transport;
mod verifier;

pub use cluster_key::{ClusterKey, ClusterKeyError};
pub use cluster_keys::{ClusterKeys, ClusterKeysError};
pub use hash_key::{HashKey, HashKeyError};
pub(crate) use pass::Passes;

use certificate::{Authority, derived_validation_time, named_node, node_uri};
use cluster_key::Root;
use credentials::Credentials;
use verifier::{ED25519_ONLY, PeerVerifier, RefusedCertificate};

/// A node's name, its proof of it, and the rule by which it believes its peers.
#[derive(Clone)]
pub(crate) struct Identity {
    cluster: ClusterName,
    name: NodeName,
    credentials: Arc<Credentials>,
    time: ValidationTime,
    /// Root of this node's own keys: the same after a restart, unless the key that signs is another one then.
    root: Root,
    /// Root of what all nodes of the cluster derive alike.
    shared: Root,
}

impl Identity {
    /// The identity that the configuration asks for.
    ///
    /// # Errors
    /// Those of [`Identity::from_cluster_keys`] and [`Identity::from_files`].
    pub(crate) fn from_config(config: &Config) -> Result<Self, IdentityError> {
        Self::new(&config.cluster, &config.name, &config.mesh_identity)
    }

    /// The identity of a node of the cluster that proves itself like that.
    ///
    /// # Errors
    /// Those of [`Identity::from_config`].
    pub(crate) fn new(
        cluster: &ClusterName,
        name: &NodeName,
        proof: &MeshIdentity,
    ) -> Result<Self, IdentityError> {
        match proof {
            MeshIdentity::ClusterKey(keys) => {
                Self::from_cluster_keys(cluster, name, &ClusterKeys::parse(keys.expose())?)
            }
            MeshIdentity::Files { ca_pem, cert_pem, key_pem, hash_key } => Self::from_files(
                cluster,
                name,
                [ca_pem, cert_pem, key_pem.expose()],
                &HashKey::parse(hash_key.expose())?,
            ),
        }
    }

    /// Derives an authority from each key, trusts them all, and signs a fresh certificate with that of the first.
    ///
    /// # Errors
    /// [`IdentityError::Issue`] when the operating system gives no random bytes for the node's key.
    pub(crate) fn from_cluster_keys(
        cluster: &ClusterName,
        name: &NodeName,
        keys: &ClusterKeys,
    ) -> Result<Self, IdentityError> {
        let derived: Result<Vec<_>, _> =
            keys.all().map(|key| Authority::derive(&key.root(), cluster)).collect();
        let authorities = derived.map_err(IdentityError::Issue)?;
        let (certificate, private_key) = authorities[0].issue(cluster, name).map_err(IdentityError::Issue)?;
        let anchors: Vec<_> = authorities.iter().map(|authority| authority.certificate().clone()).collect();
        let verifier = PeerVerifier::new(cluster.clone(), &anchors, ED25519_ONLY)
            .expect("a certificate that was just made is readable");
        let certified = CertifiedKey::from_der(vec![certificate], private_key, &provider())
            .expect("a key that was just made fits its certificate");
        let root = keys.signing().root();
        Ok(Self {
            cluster: cluster.clone(),
            name: name.clone(),
            credentials: Credentials::new(certified, verifier),
            time: ValidationTime::Fixed(derived_validation_time()),
            shared: keys.shared_root().child(PURPOSE_SHARED, &[cluster.as_str()]),
            root: root.child(PURPOSE_NODE, &[cluster.as_str(), name.as_str()]),
        })
    }

    /// Uses the operator's own authority: its certificates, and this node's chain and key, all PEM, in this
    /// order. What the nodes derive alike follows from the hash key, because an authority is no secret that all
    /// nodes share, and changes when it is rotated. The same checks that peers will make are made here, so that
    /// a mistake shows at start.
    ///
    /// # Errors
    /// [`IdentityError`] names the flag whose file is wrong, and what it needs.
    pub(crate) fn from_files(
        cluster: &ClusterName,
        name: &NodeName,
        [ca_pem, cert_pem, key_pem]: [&str; 3],
        hash_key: &HashKey,
    ) -> Result<Self, IdentityError> {
        let provider = provider();
        let authorities = certificates("mesh-tls-ca", ca_pem)?;
        let chain = certificates("mesh-tls-cert", cert_pem)?;
        let private_key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|_| IdentityError::Pem { flag: "mesh-tls-key", what: "private key" })?;
        let root = Root::new(private_key.secret_der());

        let algorithms = provider.signature_verification_algorithms;
        let verifier =
            PeerVerifier::new(cluster.clone(), &authorities, algorithms).map_err(IdentityError::Authority)?;
        let time = ValidationTime::Machine;
        let found =
            verifier.verify(&chain[0], &chain[1..], time.now()).map_err(IdentityError::OwnCertificate)?;
        if found != *name {
            return Err(IdentityError::OtherName { found, uri: node_uri(cluster, name) });
        }
        let certified =
            CertifiedKey::from_der(chain, private_key, &provider).map_err(IdentityError::PrivateKey)?;
        Ok(Self {
            cluster: cluster.clone(),
            name: name.clone(),
            credentials: Credentials::new(certified, verifier),
            time,
            shared: hash_key.root().child(PURPOSE_SHARED, &[cluster.as_str()]),
            root: root.child(PURPOSE_NODE, &[cluster.as_str(), name.as_str()]),
        })
    }

    /// Whether this identity can take the place of `former` while the node runs.
    ///
    /// # Errors
    /// [`IdentityError::SharedKeys`] and [`IdentityError::OtherProof`]: nodes that have agreed on one thing would not be linked with
    /// those that have agreed on the other.
    pub(crate) fn may_follow(&self, former: &Self) -> Result<(), IdentityError> {
        if matches!(self.time, ValidationTime::Fixed(_)) != matches!(former.time, ValidationTime::Fixed(_)) {
            return Err(IdentityError::OtherProof);
        }
        if self.keys_check() != former.keys_check() {
            return Err(IdentityError::SharedKeys);
        }
        Ok(())
    }

    /// From now on the node shows the certificate of `fresh` in handshakes, and trusts whom that one trusts. What follows
    /// from the secrets that all nodes share stays as it is, and so do this node's own keys and the connections that there are.
    pub(crate) fn replace(&self, fresh: &Self) {
        self.credentials.replace(&fresh.credentials);
    }

    /// Whether the peer of a complete handshake would be believed today what it has proven then.
    pub(crate) fn trusts(&self, connection: &quinn::Connection) -> bool {
        shown_chain(connection).is_some_and(|chain| self.credentials.trusts(&chain, self.time.now()))
    }

    /// The authorities that are trusted, each as a word that tells it from others. Of cluster keys the first has signed this node's
    /// certificate.
    pub(crate) fn trusted(&self) -> Vec<String> {
        self.credentials.trusted()
    }

    /// A secret key for `purpose` that every node of the cluster derives alike.
    pub(crate) fn shared_key(&self, purpose: &str) -> [u8; 32] {
        self.shared.derive(purpose, &[])
    }

    /// A number that two nodes have alike if they derive the same keys, and that tells nothing else.
    pub(crate) fn keys_check(&self) -> u64 {
        let key = self.shared_key(PURPOSE_CHECK);
        u64::from_le_bytes(key[..8].try_into().expect("a key has 32 bytes"))
    }

    /// By which the dials of members are known from those of strangers.
    pub(crate) fn passes(&self) -> Passes {
        Passes::new(&self.shared_key(PURPOSE_PASS))
    }

    /// For the links that this node dials, with [`SERVER_NAME`] as the name of the server. `seed` decides their
    /// first connection ids, and must be a new one for every boot of a name, in a simulation too.
    pub(crate) fn client_config(&self, newest: MeshVersion, seed: [u8; 32]) -> quinn::ClientConfig {
        let mut tls = rustls::ClientConfig::builder_with_details(provider(), Arc::new(self.time))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has TLS 1.3")
            .dangerous() // Only in that the rule is ours: every certificate is verified.
            .with_custom_certificate_verifier(self.credentials.clone())
            .with_client_cert_resolver(self.credentials.clone());
        tls.alpn_protocols = version::protocols(newest);
        // Every handshake proves both identities anew, and costs the same number of bytes.
        tls.resumption = Resumption::disabled();
        let tls = QuicClientConfig::try_from(tls).expect("ring has the cipher suite of QUIC's first packets");
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config
            .transport_config(transport::transport_config())
            .initial_dst_cid_provider(Arc::new(self.passes().generator(seed)));
        config
    }

    /// For the links that peers dial.
    pub(crate) fn server_config(&self, newest: MeshVersion) -> quinn::ServerConfig {
        let mut tls = rustls::ServerConfig::builder_with_details(provider(), Arc::new(self.time))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has TLS 1.3")
            .with_client_cert_verifier(self.credentials.clone())
            .with_cert_resolver(self.credentials.clone());
        tls.alpn_protocols = version::protocols(newest);
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        let tls = QuicServerConfig::try_from(tls).expect("ring has the cipher suite of QUIC's first packets");
        let token_key = self.root.child(PURPOSE_TOKEN, &[]).into_token_key();
        let mut config = quinn::ServerConfig::new(Arc::new(tls), Arc::new(token_key));
        // An address is validated by the handshake itself, or by a Retry where many begin at once.
        config.validation_token.sent(0);
        let (one, all) = limits::FIRST_PACKETS_BYTES_MAX;
        config
            .transport_config(transport::transport_config())
            .time_source(Arc::new(transport::SinceBoot::default()))
            .retry_token_lifetime(limits::DIAL_TIMEOUT)
            // Peers are known to gossip by their address: one that moves dials again.
            .migration(false)
            .max_incoming(limits::FIRST_PACKETS_MAX)
            .incoming_buffer_size(one)
            .incoming_buffer_size_total(all);
        config
    }

    /// For the endpoint of this boot. `seed` decides connection ids and padding, and must be a new
    /// one for every boot of a name, in a simulation too.
    pub(crate) fn endpoint_config(&self, seed: [u8; 32]) -> quinn::EndpointConfig {
        transport::endpoint_config(&self.root.derive(PURPOSE_RESET, &[]), seed)
    }

    /// The name that the peer of a complete handshake has proven.
    ///
    /// # Errors
    /// [`IdentityError::NoPeerCertificate`] and [`IdentityError::PeerCertificate`], neither of which
    /// a connection made with these configurations can give: TLS has refused such a peer.
    pub(crate) fn peer_name(&self, connection: &quinn::Connection) -> Result<NodeName, IdentityError> {
        let chain = shown_chain(connection).ok_or(IdentityError::NoPeerCertificate)?;
        let certificate = chain.first().ok_or(IdentityError::NoPeerCertificate)?;
        let certificate = EndEntityCert::try_from(certificate)
            .map_err(|error| IdentityError::PeerCertificate(RefusedCertificate::Unreadable(error)))?;
        named_node(&certificate, &self.cluster)
            .map_err(|error| IdentityError::PeerCertificate(RefusedCertificate::Name(error)))
    }
}

/// The names alone: the rest is secret or long.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("cluster", &self.cluster)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why a node has no identity, or why a peer's is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// What is to hold the cluster key does not.
    #[error("--cluster-key-file or PUSHMESH_CLUSTER_KEY: {0}")]
    ClusterKeys(#[from] ClusterKeysError),
    /// The hash key is not one.
    #[error("--hash-key-file or PUSHMESH_HASH_KEY: {0}")]
    HashKey(#[from] HashKeyError),
    /// The node could not make its own key and certificate.
    #[error("cannot make this node's certificate ({0}); try again once the machine has started completely")]
    Issue(rcgen::Error),
    /// A file does not hold what its flag needs.
    #[error("--{flag} holds no PEM {what}; write it as -----BEGIN ...----- blocks")]
    Pem {
        /// The flag, without dashes.
        flag: &'static str,
        /// What it needs.
        what: &'static str,
    },
    /// The operator's authority cannot be used.
    #[error("--mesh-tls-ca cannot be used as an authority ({0}); make it again as an X.509 certificate")]
    Authority(webpki::Error),
    /// This node's certificate would be refused by every peer.
    #[error("peers would refuse --mesh-tls-cert: {0}")]
    OwnCertificate(RefusedCertificate),
    /// This node's certificate belongs to another node.
    #[error("--mesh-tls-cert names the node {found}; start it with --name {found}, or make one for {uri}")]
    OtherName {
        /// The name in the certificate.
        found: NodeName,
        /// The URI that it needs.
        uri: String,
    },
    /// The private key cannot be used, or belongs to another certificate.
    #[error(
        "--mesh-tls-key does not fit the first certificate of --mesh-tls-cert ({0}); give the key that it \
         was made with"
    )]
    PrivateKey(rustls::Error),
    /// From the new secrets other keys follow than all nodes share now.
    #[error(
        "the hash key would be another one, and nodes with different ones refuse each other: it stays what it is while the cluster \
         runs. A file that replaces a cluster key has a line with it, as `pushmesh keygen --after FILE` writes one"
    )]
    SharedKeys,
    /// A cluster key was to take the place of an authority, or the reverse.
    #[error("nodes change between a cluster key and --mesh-tls-* only by a restart of them all")]
    OtherProof,
    /// A peer showed no certificate.
    #[error("the peer showed no certificate; close the connection")]
    NoPeerCertificate,
    /// A peer's certificate names no node of the cluster.
    #[error("the peer's certificate is refused: {0}")]
    PeerCertificate(RefusedCertificate),
}

/// When certificates are judged to be valid.
#[derive(Debug, Clone, Copy)]
enum ValidationTime {
    /// Derived ones: always at the same time, see [`derived_validation_time`].
    Fixed(UnixTime),
    /// The operator's own: when the machine says it is, because theirs expire.
    Machine,
}

impl ValidationTime {
    fn now(self) -> UnixTime {
        match self {
            Self::Fixed(time) => time,
            Self::Machine => UnixTime::since_unix_epoch(Duration::from_millis(SystemClock.now_ms())),
        }
    }
}

impl TimeProvider for ValidationTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

/// Ring, passed explicitly: the process default is whatever an embedding program has installed.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring_provider::default_provider())
}

/// The certificates that the peer of a complete handshake has shown.
fn shown_chain(connection: &quinn::Connection) -> Option<Vec<CertificateDer<'static>>> {
    connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok().map(|chain| *chain)
}

fn certificates(flag: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    match CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(IdentityError::Pem { flag, what: "certificate" }),
    }
}

/// The server name to dial with. Nobody looks at it: nodes are known by their certificate.
pub(crate) const SERVER_NAME: &str = "pushmesh";

/// Purposes of a node's own keys in [`Root::derive`].
const PURPOSE_NODE: &str = "node";
const PURPOSE_SHARED: &str = "shared by all nodes";
const PURPOSE_RESET: &str = "stateless reset";
const PURPOSE_TOKEN: &str = "address validation token";

/// Purposes of keys that all nodes share.
const PURPOSE_CHECK: &str = "hash key check";
const PURPOSE_PASS: &str = "first connection id";
