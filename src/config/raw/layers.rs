//! Configurations laid over one another, and compared with those before.

#[cfg(feature = "cli")]
use std::path::{Path, PathBuf};

use super::RawConfig;

/// Gives all fields to a macro.
macro_rules! all_fields {
    ($each:ident) => {
        $each! {
            cluster name listen api_listen admin_listen trusted_proxy proxy_protocol threads dev data_dir zone http_advertise
            otlp_endpoint otlp_sample
            mesh_listen mesh_advertise mesh_version peer allow_alone expect isolated_not_ready replace
            cluster_key_file mesh_tls_ca mesh_tls_cert mesh_tls_key hash_key_file
            api_key_file jwt_secret_file jwt_public_key_file jwks_file jwks_url jwks_ca jwt_issuer jwt_audience origin
            max_token_lifetime tls_cert tls_key tls_min
            max_connections max_sessions_per_user takeover wait_default max_payload_bytes max_client_message_bytes
            outbox_messages outbox_bytes kept_messages kept_bytes kept_bytes_total copies
            connects_per_address connects_per_user messages_per_connection takeovers_per_session
            heartbeat_interval heartbeat_timeout idle_timeout push_timeout drain_delay drain_timeout keep_max resume_timeout
            keep_alive join_timeout
        }
    };
}

impl RawConfig {
    /// Lays `over` on top: what it says wins, field by field. A list replaces a list.
    #[must_use]
    pub fn overlay(self, over: RawConfig) -> RawConfig {
        // The struct literal makes the compiler ask for every field that is added.
        macro_rules! layered {
            ($($field:ident)*) => { RawConfig { $($field: over.$field.or_below(self.$field)),* } };
        }
        all_fields! { layered }
    }

    /// The settings in which this differs from `before` and that a node that runs cannot take over.
    #[cfg(feature = "cli")]
    pub(crate) fn differs_beyond_reload(&self, before: &RawConfig) -> Vec<&'static str> {
        let mut differs = Vec::new();
        macro_rules! compared {
            ($($field:ident)*) => { $(
                if self.$field != before.$field && !RELOADED.contains(&stringify!($field)) {
                    differs.push(stringify!($field));
                }
            )* };
        }
        all_fields! { compared }
        differs
    }

    /// The files that a node that runs reads again.
    #[cfg(feature = "cli")]
    pub(crate) fn reloaded_files(&self) -> impl Iterator<Item = &Path> {
        let mesh = [&self.cluster_key_file, &self.mesh_tls_ca, &self.mesh_tls_cert, &self.mesh_tls_key];
        let one = [&self.api_key_file, &self.tls_cert, &self.tls_key].into_iter().chain(mesh).flatten();
        let many = [&self.jwt_secret_file, &self.jwt_public_key_file, &self.jwks_file].into_iter().flatten();
        one.chain(many).map(PathBuf::as_path)
    }
}

/// What a node that runs takes over from a configuration that is read again.
#[cfg(feature = "cli")]
const RELOADED: [&str; 14] = [
    "cluster_key_file",
    "mesh_tls_ca",
    "mesh_tls_cert",
    "mesh_tls_key",
    "api_key_file",
    "jwt_secret_file",
    "jwt_public_key_file",
    "jwks_file",
    "jwt_issuer",
    "jwt_audience",
    "origin",
    "max_token_lifetime",
    "tls_cert",
    "tls_key",
];

/// A field that may leave the word to the layer below.
trait Layer {
    /// This value where it says something, else the one below.
    fn or_below(self, below: Self) -> Self;
}

impl<T> Layer for Option<T> {
    fn or_below(self, below: Self) -> Self {
        self.or(below)
    }
}

impl<T> Layer for Vec<T> {
    fn or_below(self, below: Self) -> Self {
        if self.is_empty() { below } else { self }
    }
}
