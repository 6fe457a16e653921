//! What flags, environment and file say, before anyone believes it.
//!
//! One struct is the command line (clap), the environment (`PUSHMESH_*`) and the TOML file (serde)
//! at once, so that the flag `--mesh-listen`, the variable `PUSHMESH_MESH_LISTEN` and the key
//! `mesh-listen` cannot drift apart. Every field is optional here: an absent one lets a lower
//! layer speak, and the defaults are those of [`Config`](crate::Config). Shapes (addresses, durations, numbers)
//! are parsed where they are read, so that a bad one is reported with its flag or its line; ranges
//! and relations are the business of [`RawConfig::validate`].
//!
//! Secrets never pass through here: the fields hold paths.
//!
//! The flags need the feature `cli`. Without it a program still reads the file, or fills in the fields.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(feature = "cli")]
use clap::builder::BoolishValueParser;
use serde::Deserialize;

#[cfg(feature = "cli")]
use crate::config::duration;
use crate::config::{
    Advertised, JwksUrl, MeshVersion, OtlpEndpoint, Rate, SampleRatio, Takeover, TlsVersion,
};
use crate::push::Wait;

mod bounds;
mod error;
mod files;
#[cfg(feature = "cli")]
mod heading;
mod layers;
mod parse;
pub(in crate::config) mod validate;

pub use error::ConfigError;
#[cfg(feature = "cli")]
use heading::{ACCESS, LIMITS, MESH, TIMERS};

/// A node's configuration as given. See [`Config`](crate::Config) for what the values mean once they are checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawConfig {
    /// Name of the cluster; nodes of another cluster are refused [default: pushmesh]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_CLUSTER", value_name = "NAME"))]
    pub cluster: Option<String>,
    /// Stable name of this node, unique in the cluster [default: the machine's host name]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_NAME", value_name = "NAME"))]
    pub name: Option<String>,
    /// Where HTTP and WebSocket clients connect: an address, or `:8080` for every address of this machine [default: 127.0.0.1:8080]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_LISTEN", value_name = "ADDR",
          value_parser = parse::listen))]
    #[serde(deserialize_with = "parse::de_listen")]
    pub listen: Option<SocketAddr>,
    /// Where backends call the API, if not at --listen, where it is not served then
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_API_LISTEN", value_name = "ADDR",
          value_parser = parse::listen))]
    #[serde(deserialize_with = "parse::de_listen")]
    pub api_listen: Option<SocketAddr>,
    /// Where metrics are served, if not at --listen, where they are not served then; plain http
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_ADMIN_LISTEN", value_name = "ADDR",
          value_parser = parse::listen))]
    #[serde(deserialize_with = "parse::de_listen")]
    pub admin_listen: Option<SocketAddr>,
    /// Threads that carry connections and pushes [default: the cores that the process may use]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_THREADS", value_name = "N"))]
    pub threads: Option<usize>,
    /// A development node: no keys, no tokens, and therefore on loopback only
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_DEV", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true", hide_possible_values = true,
          value_parser = BoolishValueParser::new()))]
    pub dev: Option<bool>,
    /// Directory that keeps this node's incarnation across restarts [default: none, the clock decides]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_DATA_DIR", value_name = "DIR"))]
    #[serde(deserialize_with = "parse::de_path")]
    pub data_dir: Option<PathBuf>,
    /// Failure domain of this node, shown to operators
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_ZONE", value_name = "NAME"))]
    pub zone: Option<String>,
    /// Address or network (10.0.0.0/8) of balancers whose X-Forwarded-For is believed; repeat it or separate by commas
    #[cfg_attr(
        feature = "cli",
        arg(long, env = "PUSHMESH_TRUSTED_PROXY", value_name = "NETWORK", value_delimiter = ',')
    )]
    #[serde(deserialize_with = "parse::de_list")]
    pub trusted_proxy: Vec<String>,
    /// Connections from them to --listen begin with a header of the PROXY protocol, version 2 [default: off]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_PROXY_PROTOCOL", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true, value_parser = BoolishValueParser::new()))]
    pub proxy_protocol: Option<bool>,
    /// The HTTP address shown to operators, where it differs from --listen
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_HTTP_ADVERTISE", value_name = "ADDR",
          value_parser = parse::addr))]
    #[serde(deserialize_with = "parse::de_addr")]
    pub http_advertise: Option<SocketAddr>,
    /// OpenTelemetry collector that takes traces of pushes over OTLP/HTTP, such as http://127.0.0.1:4318; needs a build with the
    /// feature otlp [default: none]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_OTLP_ENDPOINT", value_name = "URL"))]
    #[serde(deserialize_with = "parse::de_text")]
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// The part of pushes that are traced where their callers say nothing of a trace, 0 to 1 [default: 0.01]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_OTLP_SAMPLE", value_name = "RATIO"))]
    #[serde(deserialize_with = "parse::de_ratio")]
    pub otlp_sample: Option<SampleRatio>,

    /// The one UDP address of the mesh [default: 127.0.0.1:7400]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MESH_LISTEN", value_name = "ADDR",
          value_parser = parse::listen, help_heading = MESH))]
    #[serde(deserialize_with = "parse::de_listen")]
    pub mesh_listen: Option<SocketAddr>,
    /// The mesh address that peers are told, or a name with a port, where it differs from --mesh-listen (NAT, containers)
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MESH_ADVERTISE", value_name = "ADDR", help_heading = MESH))]
    #[serde(deserialize_with = "parse::de_text")]
    pub mesh_advertise: Option<Advertised>,
    /// The newest version of the mesh protocol to speak: 5 or 4 [default: 5]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MESH_VERSION", value_name = "N",
          help_heading = MESH))]
    #[serde(deserialize_with = "parse::de_mesh_version")]
    pub mesh_version: Option<MeshVersion>,
    /// Mesh address of another node, host:port; repeat it or separate by commas. A few are enough
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_PEER", value_name = "HOST:PORT",
          value_delimiter = ',', help_heading = MESH))]
    #[serde(deserialize_with = "parse::de_list")]
    pub peer: Vec<String>,
    /// This node may be the only one: ready after 3 s without its peers, not after --join-timeout only [default: off]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_ALLOW_ALONE", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = MESH))]
    pub allow_alone: Option<bool>,
    /// Not ready before the cluster has so many members, this one included [default: 1]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_EXPECT", value_name = "N", help_heading = MESH))]
    pub expect: Option<usize>,
    /// /readyz says 503 while this node is isolated; without it a survivor says 200 and goes on serving [default: off]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_ISOLATED_NOT_READY", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = MESH))]
    pub isolated_not_ready: Option<bool>,
    /// Take the place of a process of this name that runs, which ends; without it this one does not start [default: off]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_REPLACE", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = MESH))]
    pub replace: Option<bool>,
    /// File with the cluster key of `pushmesh keygen`, or with several while one replaces another; or PUSHMESH_CLUSTER_KEY holds that
    /// text
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_CLUSTER_KEY_FILE", value_name = "FILE",
          help_heading = MESH))]
    #[serde(deserialize_with = "parse::de_path")]
    pub cluster_key_file: Option<PathBuf>,
    /// PEM certificates of your own authority for the mesh, instead of a cluster key
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MESH_TLS_CA", value_name = "FILE",
          help_heading = MESH))]
    #[serde(deserialize_with = "parse::de_path")]
    pub mesh_tls_ca: Option<PathBuf>,
    /// PEM certificate chain of this node for the mesh, named in a URI SAN pushmesh://CLUSTER/NAME
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MESH_TLS_CERT", value_name = "FILE",
          help_heading = MESH))]
    #[serde(deserialize_with = "parse::de_path")]
    pub mesh_tls_cert: Option<PathBuf>,
    /// PEM private key of this node for the mesh
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MESH_TLS_KEY", value_name = "FILE",
          help_heading = MESH))]
    #[serde(deserialize_with = "parse::de_path")]
    pub mesh_tls_key: Option<PathBuf>,
    /// File with the hash key of `pushmesh keygen --kind hash`, the same on all nodes, with --mesh-tls-*; or
    /// PUSHMESH_HASH_KEY holds the key itself
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_HASH_KEY_FILE", value_name = "FILE",
          help_heading = MESH))]
    #[serde(deserialize_with = "parse::de_path")]
    pub hash_key_file: Option<PathBuf>,

    /// File with the API keys of backends, one a line; # starts a comment
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_API_KEY_FILE", value_name = "FILE",
          help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_path")]
    pub api_key_file: Option<PathBuf>,
    /// File with a secret of client tokens signed with HS256; repeat it to accept several
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_JWT_SECRET_FILE", value_name = "FILE",
          value_delimiter = ',', help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_list")]
    pub jwt_secret_file: Vec<PathBuf>,
    /// PEM file with an Ed25519 public key of client tokens signed with EdDSA; repeat it for several
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_JWT_PUBLIC_KEY_FILE", value_name = "FILE",
          value_delimiter = ',', help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_list")]
    pub jwt_public_key_file: Vec<PathBuf>,
    /// File with a JSON Web Key Set of an identity provider, for client tokens signed with RS256, ES256 or EdDSA; repeat it
    /// for several
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_JWKS_FILE", value_name = "FILE",
          value_delimiter = ',', help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_list")]
    pub jwks_file: Vec<PathBuf>,
    /// URL of such a set, which is fetched at the start and then again and again: https, or http on this machine
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_JWKS_URL", value_name = "URL", help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_text")]
    pub jwks_url: Option<JwksUrl>,
    /// PEM certificates to trust for --jwks-url, instead of those of this machine
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_JWKS_CA", value_name = "FILE", help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_path")]
    pub jwks_ca: Option<PathBuf>,
    /// What iss of every client token has to be [default: any]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_JWT_ISSUER", value_name = "TEXT",
          help_heading = ACCESS))]
    pub jwt_issuer: Option<String>,
    /// aud of every client token has to name this, or one of these; repeat it [default: pushmesh, where there is aud]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_JWT_AUDIENCE", value_name = "TEXT",
          value_delimiter = ',', help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_list")]
    pub jwt_audience: Vec<String>,
    /// Origin that browsers may connect from, such as `https://app.example`, `https://*.app.example` (one label)
    /// or `null`; repeat it [default: any]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_ORIGIN", value_name = "ORIGIN",
          value_delimiter = ',', help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_list")]
    pub origin: Vec<String>,
    /// How far in the future the expiry of a client token may be [default: 366d]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MAX_TOKEN_LIFETIME", value_name = "DURATION",
          value_parser = duration::parse, help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub max_token_lifetime: Option<Duration>,
    /// PEM certificate chain for https and wss; plain http and ws without
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_TLS_CERT", value_name = "FILE",
          help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_path")]
    pub tls_cert: Option<PathBuf>,
    /// PEM private key for https and wss
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_TLS_KEY", value_name = "FILE",
          help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_path")]
    pub tls_key: Option<PathBuf>,
    /// The oldest version of TLS for https and wss: 1.2 or 1.3 [default: 1.3]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_TLS_MIN", value_name = "VERSION",
          help_heading = ACCESS))]
    #[serde(deserialize_with = "parse::de_text")]
    pub tls_min: Option<TlsVersion>,

    /// WebSocket connections of this node [default: 100000]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MAX_CONNECTIONS", value_name = "N",
          help_heading = LIMITS))]
    pub max_connections: Option<usize>,
    /// Sessions of one user in the cluster, up to 1000 [default: 100]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MAX_SESSIONS_PER_USER", value_name = "N",
          help_heading = LIMITS))]
    pub max_sessions_per_user: Option<usize>,
    /// Which sessions of a user exclude each other, the same on all nodes: exclusive-device,
    /// one-per-user, reject-newer or max-per-user=N [default: exclusive-device]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_TAKEOVER", value_name = "POLICY",
          help_heading = LIMITS))]
    #[serde(deserialize_with = "parse::de_text")]
    pub takeover: Option<Takeover>,
    /// What pushes wait for that do not say so: receipt, stored or acked [default: receipt]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_WAIT_DEFAULT", value_name = "LEVEL",
          help_heading = LIMITS))]
    #[serde(deserialize_with = "parse::de_text")]
    pub wait_default: Option<Wait>,
    /// Bytes of one pushed payload, up to 16777216 [default: 1048576]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MAX_PAYLOAD_BYTES", value_name = "N",
          help_heading = LIMITS))]
    pub max_payload_bytes: Option<usize>,
    /// Bytes of one message from a client, up to 16777216 [default: 65536]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MAX_CLIENT_MESSAGE_BYTES", value_name = "N",
          help_heading = LIMITS))]
    pub max_client_message_bytes: Option<usize>,
    /// Messages waiting for one session before it is closed as a slow consumer [default: 1024]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_OUTBOX_MESSAGES", value_name = "N",
          help_heading = LIMITS))]
    pub outbox_messages: Option<usize>,
    /// Bytes waiting for one session before it is closed as a slow consumer [default: 4194304]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_OUTBOX_BYTES", value_name = "N",
          help_heading = LIMITS))]
    pub outbox_bytes: Option<usize>,
    /// Messages that one session holds for a client that asked for it, beyond those of its outbox [default: 256]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_KEPT_MESSAGES", value_name = "N",
          help_heading = LIMITS))]
    pub kept_messages: Option<usize>,
    /// Bytes that one session holds so, beyond those of its outbox [default: 262144]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_KEPT_BYTES", value_name = "N",
          help_heading = LIMITS))]
    pub kept_bytes: Option<usize>,
    /// Bytes that the node holds so, and as many again for what other nodes hand over [default: 268435456]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_KEPT_BYTES_TOTAL", value_name = "N",
          help_heading = LIMITS))]
    pub kept_bytes_total: Option<usize>,
    /// Other nodes that hold what a session holds, so that it is not lost with this one: 0, 1 or 2 [default: 2]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_COPIES", value_name = "N", help_heading = LIMITS))]
    pub copies: Option<usize>,
    /// How often clients may connect from one address to this node, such as 100/10s [default: no limit]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_CONNECTS_PER_ADDRESS", value_name = "RATE", help_heading = LIMITS))]
    #[serde(deserialize_with = "parse::de_text")]
    pub connects_per_address: Option<Rate>,
    /// How often clients of one user may connect to this node, such as 20/10s [default: no limit]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_CONNECTS_PER_USER", value_name = "RATE", help_heading = LIMITS))]
    #[serde(deserialize_with = "parse::de_text")]
    pub connects_per_user: Option<Rate>,
    /// How often a client may say something on one connection, such as 100/10s [default: no limit]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_MESSAGES_PER_CONNECTION", value_name = "RATE", help_heading = LIMITS))]
    #[serde(deserialize_with = "parse::de_text")]
    pub messages_per_connection: Option<Rate>,
    /// How often a session may be taken from a client that is there before the next one has to wait [default: 5/30s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_TAKEOVERS_PER_SESSION", value_name = "RATE", help_heading = LIMITS))]
    #[serde(deserialize_with = "parse::de_text")]
    pub takeovers_per_session: Option<Rate>,

    /// How often a silent client is pinged [default: 25s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_HEARTBEAT_INTERVAL", value_name = "DURATION",
          value_parser = duration::parse, help_heading = TIMERS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub heartbeat_interval: Option<Duration>,
    /// How long a client may be silent, pongs included, before its session ends [default: 60s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_HEARTBEAT_TIMEOUT", value_name = "DURATION",
          value_parser = duration::parse, help_heading = TIMERS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub heartbeat_timeout: Option<Duration>,
    /// How long a session may pass no message in either direction; 0s means for ever [default: 0s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_IDLE_TIMEOUT", value_name = "DURATION",
          value_parser = duration::parse, help_heading = TIMERS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub idle_timeout: Option<Duration>,
    /// How long a push waits for its receipts [default: 2s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_PUSH_TIMEOUT", value_name = "DURATION",
          value_parser = duration::parse, help_heading = TIMERS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub push_timeout: Option<Duration>,
    /// How long a node that is asked to stop serves on first, with /readyz at 503, so that balancers notice [default: 0s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_DRAIN_DELAY", value_name = "DURATION",
          value_parser = duration::parse, help_heading = TIMERS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub drain_delay: Option<Duration>,
    /// Bound of a graceful stop, from then on [default: 10s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_DRAIN_TIMEOUT", value_name = "DURATION",
          value_parser = duration::parse, help_heading = TIMERS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub drain_timeout: Option<Duration>,
    /// How long a session is kept for a client that is away and asked for it, at most; 0s means that none is [default: 300s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_KEEP_MAX", value_name = "DURATION",
          value_parser = duration::parse, help_heading = TIMERS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub keep_max: Option<Duration>,
    /// How long a client that came back waits for what it missed, before it is told that some may be missing [default: 2s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_RESUME_TIMEOUT", value_name = "DURATION",
          value_parser = duration::parse, help_heading = TIMERS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub resume_timeout: Option<Duration>,
    /// How long an HTTP connection may be idle between two requests [default: 75s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_KEEP_ALIVE", value_name = "DURATION",
          value_parser = duration::parse, help_heading = TIMERS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub keep_alive: Option<Duration>,
    /// How long a starting node waits for its peers and their sessions before it is ready without them
    /// [default: 30s]
    #[cfg_attr(feature = "cli", arg(long, env = "PUSHMESH_JOIN_TIMEOUT", value_name = "DURATION",
          value_parser = duration::parse, help_heading = TIMERS))]
    #[serde(deserialize_with = "parse::de_duration")]
    pub join_timeout: Option<Duration>,
}

impl RawConfig {
    /// Reads the TOML file at `path`. Its keys are the flags without their dashes.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, holds a key that does not exist or a value of the
    /// wrong shape; the error names file, line and key.
    pub fn from_toml(path: &Path) -> Result<Self, ConfigError> {
        let text = files::read("config", path)?;
        toml::from_str(&text).map_err(|error| ConfigError::Toml {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count()),
            problem: error.message().to_owned(),
        })
    }
}
