//! A node's configuration: validated once, then never checked again.
//!
//! [`RawConfig`] is what flags, `PUSHMESH_*` variables and the TOML file say, under the same names.
//! [`RawConfig::validate`] reads the files it names, and gives a [`Config`]. A program that embeds a
//! node starts with [`Config::new`] and changes what it needs. The rules of its values, and the
//! relations between them, stand in [`Config::check`], which both ways pass, so that the rest of the
//! program trusts it. Secrets live in [`Secret`], which never prints itself.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;

use crate::id::{ClusterName, NodeName};
use crate::limits;
use crate::push::Wait;

mod advertised;
mod again;
mod check;
mod dialable;
pub(crate) mod duration;
pub(crate) mod environment;
pub(crate) mod http_url;
mod jwks_url;
mod mesh_version;
mod origin;
mod otlp;
mod rate;
mod raw;
mod takeover;
#[cfg(test)]
#[cfg(feature = "cli")]
mod tests;
mod tls_version;
mod tuning;

pub use advertised::{Advertised, AdvertisedError};
pub use again::Again;
pub use check::{InvalidConfig, Problem};
pub use jwks_url::{JwksUrl, JwksUrlError};
pub use mesh_version::{MeshVersion, MeshVersionError};
pub use origin::{Origin, OriginError};
pub use otlp::{Otlp, OtlpEndpoint, OtlpError, SampleRatio};
pub(crate) use rate::Bucket;
pub use rate::{Rate, RateError};
pub use raw::{ConfigError, RawConfig};
pub use takeover::{Takeover, TakeoverError};
pub use tls_version::{TlsVersion, TlsVersionError};
pub use tuning::Tuning;

/// Everything that a node needs to know. [`Config::check`] has the rules of its values. It is made by [`Config::new`],
/// and may come to have more fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Name of the cluster. Nodes of another cluster are refused. Default `pushmesh`.
    pub cluster: ClusterName,
    /// Stable name of this node, unique in the cluster.
    pub name: NodeName,
    /// Where HTTP and WebSocket clients connect. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// The one UDP address of the mesh. Default `127.0.0.1:7400`.
    pub mesh_listen: SocketAddr,
    /// How many threads carry connections and pushes, for a program that makes them with
    /// [`Threads::start`](crate::wire::Threads::start). Default: as many as the cores that the process may use.
    pub threads: usize,
    /// The mesh address that peers are told, where it differs (NAT, containers).
    pub mesh_advertise: Option<Advertised>,
    /// Take the place of another process of this name that runs, which ends. Default: this one does not start.
    pub replace: bool,
    /// The newest version of the mesh protocol that this node speaks. Default: the newest that it knows.
    pub mesh_version: MeshVersion,
    /// Where backends call the API, if not where clients connect: see [`Wire::with_api`](crate::Wire::with_api).
    pub api_listen: Option<SocketAddr>,
    /// Where operators and their tools find metrics, if not where clients connect: see
    /// [`Wire::with_admin`](crate::Wire::with_admin).
    pub admin_listen: Option<SocketAddr>,
    /// The addresses of balancers that say truly whose requests they pass on, in `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections from those to `listen` begin with a header of the PROXY protocol, version 2.
    pub proxy_protocol: bool,
    /// The HTTP address shown to operators, where it differs from `listen`.
    pub http_advertise: Option<SocketAddr>,
    /// Mesh addresses of some other nodes: `host:port` with a DNS name or a literal address. All addresses
    /// of a name are tried.
    pub peers: Vec<String>,
    /// This node may be the only one: it does not wait for its peers until
    /// [`join_timeout`](TimersConfig::join_timeout) has passed.
    pub allow_alone: bool,
    /// The node is not ready before the cluster has so many members, itself included. Default 1.
    pub expect: usize,
    /// `/readyz` says that an isolated node is not ready.
    pub isolated_not_ready: bool,
    /// Where the last incarnation is kept across restarts. Without it the clock decides.
    pub data_dir: Option<PathBuf>,
    /// Failure domain, shown to operators.
    pub zone: Option<String>,
    /// How nodes prove themselves to each other.
    pub mesh_identity: MeshIdentity,
    /// Who may connect and who may push.
    pub auth: AuthConfig,
    /// Certificate chain and key (PEM) for https and wss; plain http and ws without.
    pub tls: Option<HttpTls>,
    /// The oldest version of TLS that clients and backends may speak. The mesh has TLS 1.3 in any case.
    pub tls_min: TlsVersion,
    /// Bounds that the operator may choose.
    pub limits: LimitsConfig,
    /// Timers that the operator may choose.
    pub timers: TimersConfig,
    /// Which sessions of a user exclude each other. All nodes of a cluster need the same.
    pub takeover: Takeover,
    /// What pushes of the API wait for that do not say so. Default: for the receipts of the owners. The pushes of a
    /// [`NodeHandle`](crate::NodeHandle) say it themselves, in their [`Terms`](crate::Terms).
    pub wait_default: Wait,
    /// Traces of pushes for an OpenTelemetry collector; only in a build with the feature `otlp`. Default: none.
    pub otlp: Option<Otlp>,
    /// Bounds that only a simulation changes. Not part of the contract.
    #[doc(hidden)]
    pub tuning: Tuning,
    /// Which boot of the process this is: see [`Node::again`](crate::Node::again).
    #[doc(hidden)]
    pub again: Again,
}

/// How a node proves itself to its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeshIdentity {
    /// The cluster's certificate authority is derived from one shared secret: the text of a cluster key, or of the file with
    /// several of them while one takes the place of another.
    ClusterKey(Secret),
    /// An authority of the operator's own; all PEM, already read.
    Files {
        /// Certificates of the authority.
        ca_pem: String,
        /// This node's chain; its first certificate names the node in a URI SAN.
        cert_pem: String,
        /// This node's private key.
        key_pem: Secret,
        /// The text form of the key from which the hashes of sessions follow, the same on all nodes.
        hash_key: Secret,
    },
}

/// Who may connect as a client and who may call the API.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// Development: `?user=` without token and API calls without key. Loopback only.
    pub dev: bool,
    /// Keys that a backend presents as bearer token; any of them is accepted.
    pub api_keys: Vec<Secret>,
    /// Secrets for client tokens signed with HS256.
    pub jwt_secrets: Vec<Secret>,
    /// Public keys (PEM) for client tokens signed with EdDSA (Ed25519).
    pub jwt_public_keys_pem: Vec<String>,
    /// Key sets of identity providers (RFC 7517), already read, for client tokens signed with RS256, ES256 or EdDSA.
    pub jwks: Vec<String>,
    /// Where such a set is fetched again and again.
    pub jwks_url: Option<JwksUrl>,
    /// Certificates (PEM, already read) that vouch for that server. `None`: those that the machine trusts.
    pub jwks_ca_pem: Option<String>,
    /// What `iss` of client tokens has to be, whoever signed them. `None`: it is ignored.
    pub jwt_issuer: Option<String>,
    /// `aud` of client tokens has to name one of these, whoever signed them. Empty: a token that has `aud` names `pushmesh`.
    pub jwt_audiences: Vec<String>,
    /// Where the pages come from whose browsers may connect, such as `https://app.example`; empty means
    /// anywhere.
    pub origins: Vec<Origin>,
    /// How far in the future the expiry of a client token may be. Default 366 days.
    pub max_token_lifetime: Duration,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            dev: false,
            api_keys: Vec::new(),
            jwt_secrets: Vec::new(),
            jwt_public_keys_pem: Vec::new(),
            jwks: Vec::new(),
            jwks_url: None,
            jwks_ca_pem: None,
            jwt_issuer: None,
            jwt_audiences: Vec::new(),
            origins: Vec::new(),
            max_token_lifetime: limits::TOKEN_LIFETIME_MAX,
        }
    }
}

/// TLS of the HTTP and WebSocket face; PEM, already read.
#[derive(Debug, Clone)]
pub struct HttpTls {
    /// Certificate chain.
    pub cert_pem: String,
    /// Private key.
    pub key_pem: Secret,
}

/// Bounds that the operator may choose. Each default stands in [`limits`].
#[derive(Debug, Clone)]
pub struct LimitsConfig {
    /// WebSocket connections of this node.
    pub max_connections: usize,
    /// Sessions of one user across the cluster.
    pub max_sessions_per_user: usize,
    /// Bytes of one pushed payload.
    pub max_payload_bytes: usize,
    /// Bytes of one message from a client.
    pub max_client_message_bytes: usize,
    /// Messages waiting in one session's outbox before it counts as a slow consumer.
    pub outbox_messages: usize,
    /// Bytes waiting in one session's outbox before it counts as a slow consumer.
    pub outbox_bytes: usize,
    /// Messages that one session holds for a client that asked for it, beyond those of its outbox.
    pub kept_messages: usize,
    /// Bytes that one session holds so, beyond those of its outbox.
    pub kept_bytes: usize,
    /// Bytes that the node holds so, and as many again for what other nodes hand over.
    pub kept_bytes_total: usize,
    /// Other nodes that hold what a session holds, so that it is not lost with this one; at most
    /// [`COPIES_MAX`](limits::COPIES_MAX).
    pub copies: usize,
    /// How often clients may connect from one address to this node; of IPv6 from one network of 64 bits. Default: as often as they
    /// like.
    pub connects_per_address: Option<Rate>,
    /// How often clients of one user may connect to this node. Default: as often as they like.
    pub connects_per_user: Option<Rate>,
    /// How often a client may say something on one connection. Default: as often as it likes.
    pub messages_per_connection: Option<Rate>,
    /// How often a session may be taken from a client that is there, at one node, before the next one has to wait. Default
    /// [`Rate::TAKEOVERS`].
    pub takeovers_per_session: Rate,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_connections: limits::CONNECTIONS_MAX,
            max_sessions_per_user: limits::SESSIONS_PER_USER_MAX,
            max_payload_bytes: limits::PAYLOAD_BYTES_MAX,
            max_client_message_bytes: limits::CLIENT_MESSAGE_BYTES_MAX,
            outbox_messages: limits::OUTBOX_MESSAGES_MAX,
            outbox_bytes: limits::OUTBOX_BYTES_MAX,
            kept_messages: limits::KEPT_MESSAGES_MAX,
            kept_bytes: limits::KEPT_BYTES_MAX,
            kept_bytes_total: limits::KEPT_NODE_BYTES_MAX,
            copies: limits::COPIES,
            connects_per_address: None,
            connects_per_user: None,
            messages_per_connection: None,
            takeovers_per_session: Rate::TAKEOVERS,
        }
    }
}

/// Timers that the operator may choose. Each default stands in [`limits`].
#[derive(Debug, Clone)]
pub struct TimersConfig {
    /// How often a silent client is pinged.
    pub heartbeat_interval: Duration,
    /// How long a client may be silent, pongs included, before its session ends.
    pub heartbeat_timeout: Duration,
    /// How long a session may pass no message in either direction; `None` means for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a push waits for its receipts.
    pub push_timeout: Duration,
    /// How long a node that is asked to stop serves on first, while `/readyz` says 503: balancers need that time to notice.
    pub drain_delay: Duration,
    /// Bound of a graceful stop, from then on.
    pub drain_timeout: Duration,
    /// How long a session is kept for a client that is away and asked for it, at most; whole seconds. Zero: none is.
    pub keep_max: Duration,
    /// How long a client that came back waits for what it missed, before it is told that some of it may be missing.
    pub resume_timeout: Duration,
    /// How long a connection of the API may be idle between two requests.
    pub keep_alive: Duration,
    /// How long a starting node waits for its peers and their sections before it is ready without them.
    pub join_timeout: Duration,
}

impl Default for TimersConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval: limits::HEARTBEAT_INTERVAL,
            heartbeat_timeout: limits::HEARTBEAT_TIMEOUT,
            idle_timeout: None,
            push_timeout: limits::PUSH_TIMEOUT,
            drain_delay: limits::DRAIN_DELAY,
            drain_timeout: limits::DRAIN_TIMEOUT,
            keep_max: limits::KEEP_MAX,
            resume_timeout: limits::RESUME_TIMEOUT,
            keep_alive: limits::KEEP_ALIVE,
            join_timeout: limits::JOIN_TIMEOUT,
        }
    }
}

impl Config {
    /// A node with these keys, and the default of every other value: on loopback, without peers.
    ///
    /// ```
    /// use std::fs::read_to_string;
    ///
    /// use pushmesh::config::{AuthConfig, MeshIdentity, Secret};
    /// use pushmesh::{Config, NodeName};
    ///
    /// fn config() -> Result<Config, Box<dyn std::error::Error>> {
    ///     let identity = MeshIdentity::ClusterKey(Secret::new(read_to_string("cluster.key")?));
    ///     let auth = AuthConfig {
    ///         api_keys: vec![Secret::new(read_to_string("api.key")?.trim_end())],
    ///         jwt_secrets: vec![Secret::new(read_to_string("jwt.secret")?.trim_end())],
    ///         ..AuthConfig::default()
    ///     };
    ///     let mut config = Config::new(NodeName::new("n1")?, identity, auth);
    ///     config.listen = "0.0.0.0:8080".parse()?;
    ///     config.mesh_listen = "10.0.0.1:7400".parse()?;
    ///     config.peers = vec!["10.0.0.2:7400".to_owned(), "10.0.0.3:7400".to_owned()];
    ///     config.check()?; // `Node::start` does it too.
    ///     Ok(config)
    /// }
    /// ```
    #[must_use]
    pub fn new(name: NodeName, mesh_identity: MeshIdentity, auth: AuthConfig) -> Self {
        Self {
            cluster: ClusterName::new(CLUSTER).expect("a literal that is valid"),
            name,
            listen: LISTEN.into(),
            threads: cores(),
            mesh_listen: MESH_LISTEN.into(),
            mesh_advertise: None,
            mesh_version: MeshVersion::default(),
            api_listen: None,
            admin_listen: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            http_advertise: None,
            peers: Vec::new(),
            allow_alone: false,
            expect: 1,
            isolated_not_ready: false,
            replace: false,
            data_dir: None,
            zone: None,
            mesh_identity,
            auth,
            tls: None,
            tls_min: TlsVersion::default(),
            limits: LimitsConfig::default(),
            timers: TimersConfig::default(),
            takeover: Takeover::default(),
            wait_default: Wait::default(),
            otlp: None,
            tuning: Tuning::default(),
            again: Again::default(),
        }
    }

    /// A development node on loopback: ports chosen by the kernel, no tokens, the well-known
    /// development key. For tests and the demo: whoever reaches such a node can push and listen.
    #[must_use]
    pub fn dev(name: NodeName) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let identity = MeshIdentity::ClusterKey(Secret::new(DEV_CLUSTER_KEY));
        let auth = AuthConfig { dev: true, ..AuthConfig::default() };
        Self {
            cluster: ClusterName::new("dev").expect("a literal that is valid"),
            listen: loopback,
            mesh_listen: loopback,
            ..Self::new(name, identity, auth)
        }
    }

    /// A development node with the smallest legal limits, so that a test meets every bound.
    #[must_use]
    pub fn minimal(name: NodeName) -> Self {
        let mut config = Self::dev(name);
        config.limits = LimitsConfig {
            max_connections: 1,
            max_sessions_per_user: 1,
            max_payload_bytes: 1,
            max_client_message_bytes: 1,
            outbox_messages: 1,
            outbox_bytes: 1,
            kept_messages: 1,
            kept_bytes: 1,
            kept_bytes_total: limits::KEPT_MESSAGE_OVERHEAD + 1,
            copies: 0,
            connects_per_address: None,
            connects_per_user: None,
            messages_per_connection: None,
            takeovers_per_session: Rate::TAKEOVERS,
        };
        config
    }
}

/// Default of `--threads`: the cores that the process may use.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(limits::THREADS_MAX)
}

/// Default of `--cluster`.
const CLUSTER: &str = "pushmesh";
/// Default of `--listen`: this machine only, so that opening up is a decision.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);
/// Default of `--mesh-listen`.
const MESH_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 7400);

/// The cluster key of `--dev`: public, and therefore refused anywhere but on loopback.
pub const DEV_CLUSTER_KEY: &str = "pmk1_cHVzaG1lc2gtZGV2LWtleS1ub3QtYS1zZWNyZXQtISE";

/// A secret that does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
