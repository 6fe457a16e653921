//! From what was said to what is true: ranges, relations and files, checked once.
//!
//! Each group of settings has a function. The first problem ends the work: an operator fixes one
//! thing at a time, and later problems are often its consequences.

use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use rustix::system::uname;

use super::{ConfigError, RawConfig, files};
use crate::config::dialable::{NOT_DIALABLE, is_dialable};
use crate::config::environment::variable;
use crate::config::{
    Again, AuthConfig, CLUSTER, Config, DEV_CLUSTER_KEY, HttpTls, LISTEN, MESH_LISTEN, MeshIdentity, Origin,
    Otlp, SampleRatio, Secret, Tuning, cores,
};
use crate::id::{ClusterName, NodeName};
use crate::limits;

/// What a configuration takes from the process and the machine rather than from its fields.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct Surroundings {
    /// `PUSHMESH_CLUSTER_KEY`.
    pub(in crate::config) cluster_key: Option<Secret>,
    /// `PUSHMESH_HASH_KEY`.
    pub(in crate::config) hash_key: Option<Secret>,
    /// The machine's host name, the default of `--name`.
    pub(in crate::config) host_name: Option<String>,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        Self {
            cluster_key: variable("PUSHMESH_CLUSTER_KEY").map(Secret::new),
            hash_key: variable("PUSHMESH_HASH_KEY").map(Secret::new),
            host_name: uname()
                .nodename()
                .to_str()
                .ok()
                .filter(|name| !UNNAMED.contains(name))
                .map(str::to_owned),
        }
    }
}

impl RawConfig {
    /// Reads the files that are named, checks every value and every relation between values.
    ///
    /// Beside the fields it takes `PUSHMESH_CLUSTER_KEY` and `PUSHMESH_HASH_KEY` from the environment,
    /// which have no flag because the process list would show them, and the machine's host name as
    /// the default of `--name`.
    ///
    /// # Errors
    /// The first problem found; its message names the flag and says what to do.
    pub fn validate(self) -> Result<Config, ConfigError> {
        self.validate_in(&Surroundings::of_process())
    }

    /// [`RawConfig::validate`] with the surroundings given.
    pub(in crate::config) fn validate_in(self, around: &Surroundings) -> Result<Config, ConfigError> {
        let dev = self.dev.unwrap_or(false);
        let listen = self.listen.unwrap_or_else(|| LISTEN.into());
        let mesh_listen = self.mesh_listen.unwrap_or_else(|| MESH_LISTEN.into());
        if dev {
            self.check_dev(around)?;
        }
        let cluster = self.cluster.as_deref().unwrap_or(CLUSTER);
        let config = Config {
            cluster: ClusterName::new(cluster)
                .map_err(|source| ConfigError::Name { flag: "cluster", source })?,
            name: self.node_name(around)?,
            listen,
            threads: self.threads.unwrap_or_else(cores),
            mesh_listen,
            mesh_advertise: self.mesh_advertise.clone(),
            api_listen: self.api_listen,
            admin_listen: self.admin_listen,
            trusted_proxies: self.trusted_proxies()?,
            proxy_protocol: self.proxy_protocol.unwrap_or(false),
            http_advertise: self.http_advertise,
            peers: self.peers()?,
            allow_alone: self.allow_alone.unwrap_or(false),
            expect: self.expect.unwrap_or(1),
            isolated_not_ready: self.isolated_not_ready.unwrap_or(false),
            replace: self.replace.unwrap_or(false),
            mesh_identity: self.mesh_identity(dev, around)?,
            auth: self.auth(dev)?,
            tls: self.http_tls()?,
            tls_min: self.tls_min.unwrap_or_default(),
            mesh_version: self.mesh_version.unwrap_or_default(),
            takeover: self.takeover.unwrap_or_default(),
            wait_default: self.wait_default.unwrap_or_default(),
            otlp: self.otlp()?,
            tuning: Tuning::default(),
            again: Again::default(),
            limits: self.limits(),
            timers: self.timers(),
            data_dir: self.data_dir,
            zone: self.zone,
        };
        config.check()?;
        config.check_mesh_address(mesh_listen)?;
        Ok(config)
    }

    /// Where traces go.
    fn otlp(&self) -> Result<Option<Otlp>, ConfigError> {
        let sample = self.otlp_sample.unwrap_or(SampleRatio::STANDARD);
        match &self.otlp_endpoint {
            Some(endpoint) => Ok(Some(Otlp { endpoint: endpoint.clone(), sample })),
            None if self.otlp_sample.is_some() => {
                let advice = "--otlp-sample says how much is sent there: give it, such as http://127.0.0.1:4318, or leave both out";
                Err(ConfigError::Missing { flag: "otlp-endpoint", advice })
            }
            None => Ok(None),
        }
    }

    /// A node that accepts everyone has its peers on its own machine, and does not pretend to be protected.
    fn check_dev(&self, around: &Surroundings) -> Result<(), ConfigError> {
        let elsewhere = |peer: &&String| {
            peer.trim().parse::<SocketAddr>().is_ok_and(|addr| !addr.ip().to_canonical().is_loopback())
        };
        if let Some(peer) = self.peer.iter().find(elsewhere) {
            let problem = format!(
                "{peer} is not on this machine, and a --dev node listens on loopback only: use keys instead of --dev"
            );
            return Err(ConfigError::Value { flag: "peer", problem });
        }
        let keys = [
            ("--cluster-key-file", self.cluster_key_file.is_some()),
            ("PUSHMESH_CLUSTER_KEY", around.cluster_key.is_some()),
            ("--mesh-tls-ca", self.mesh_tls_ca.is_some()),
            ("--mesh-tls-cert", self.mesh_tls_cert.is_some()),
            ("--mesh-tls-key", self.mesh_tls_key.is_some()),
            ("--hash-key-file", self.hash_key_file.is_some()),
            ("PUSHMESH_HASH_KEY", around.hash_key.is_some()),
            ("--api-key-file", self.api_key_file.is_some()),
            ("--jwt-secret-file", !self.jwt_secret_file.is_empty()),
            ("--jwt-public-key-file", !self.jwt_public_key_file.is_empty()),
            ("--jwks-file", !self.jwks_file.is_empty()),
            ("--jwks-url", self.jwks_url.is_some()),
        ];
        match keys.into_iter().find(|(_, given)| *given) {
            Some((second, _)) => Err(ConfigError::Conflict {
                first: "--dev",
                second,
                advice: "--dev accepts everyone on this machine, so that keys would protect nothing; leave out one",
            }),
            None => Ok(()),
        }
    }

    fn node_name(&self, around: &Surroundings) -> Result<NodeName, ConfigError> {
        let name = self.name.as_deref().or(around.host_name.as_deref()).ok_or(ConfigError::Missing {
            flag: "name",
            advice: "this machine has no host name; give the node a name that is unique in the cluster",
        })?;
        NodeName::new(name).map_err(|source| ConfigError::Name { flag: "name", source })
    }

    fn peers(&self) -> Result<Vec<String>, ConfigError> {
        let mut peers = Vec::new();
        for peer in given("peer", &self.peer)? {
            if !is_dialable(peer) {
                return Err(ConfigError::Value { flag: "peer", problem: format!("{peer:?} {NOT_DIALABLE}") });
            }
            peers.push(peer.to_owned());
        }
        Ok(peers)
    }

    fn mesh_identity(&self, dev: bool, around: &Surroundings) -> Result<MeshIdentity, ConfigError> {
        if dev {
            return Ok(MeshIdentity::ClusterKey(Secret::new(DEV_CLUSTER_KEY)));
        }
        if self.cluster_key_file.is_some() && around.cluster_key.is_some() {
            return Err(ConfigError::Conflict {
                first: "--cluster-key-file",
                second: "PUSHMESH_CLUSTER_KEY",
                advice: "the cluster keys of a node come from one place; leave out one",
            });
        }
        let key = match &self.cluster_key_file {
            Some(path) => Some(files::secret("cluster-key-file", path, 1)?),
            None => around.cluster_key.clone(),
        };
        let hash_key = self.hash_key(around)?;
        match (key, &self.mesh_tls_ca, &self.mesh_tls_cert, &self.mesh_tls_key) {
            (Some(_), None, None, None) if hash_key.is_some() => Err(ConfigError::Conflict {
                first: "a cluster key",
                second: "a hash key",
                advice: "with cluster keys the hash key follows from them, or is a line of their file; --hash-key-file is for --mesh-tls-*: leave out one",
            }),
            (Some(key), None, None, None) => cluster_key(key),
            (Some(_), ..) => Err(ConfigError::Conflict {
                first: "a cluster key",
                second: "--mesh-tls-*",
                advice: "the mesh trusts one authority: the one of the cluster key, or yours; leave out one",
            }),
            (None, Some(ca), Some(cert), Some(key)) => Ok(MeshIdentity::Files {
                ca_pem: files::certificates("mesh-tls-ca", ca)?,
                cert_pem: files::certificates("mesh-tls-cert", cert)?,
                key_pem: files::private_key("mesh-tls-key", key)?,
                hash_key: hash_key.ok_or(ConfigError::Missing {
                    flag: "hash-key-file",
                    advice: "with an authority of your own the nodes share no secret yet, and the hashes that the \
                             directory keeps of users need one: run `pushmesh keygen --kind hash --out hash.key` \
                             once and give every node a copy",
                })?,
            }),
            (None, None, None, None) if hash_key.is_some() => Err(ConfigError::Missing {
                flag: "mesh-tls-ca",
                advice: "a hash key goes with an authority of your own: give --mesh-tls-ca, --mesh-tls-cert and \
                         --mesh-tls-key, or a cluster key alone",
            }),
            (None, None, None, None) => Err(ConfigError::Missing {
                flag: "cluster-key-file",
                advice: "nodes prove themselves with a key that all of them share: run `pushmesh keygen --out \
                         cluster.key` once and give every node a copy, or use --dev for a try on this machine",
            }),
            (None, ca, cert, _) => Err(ConfigError::Missing {
                flag: match (ca, cert) {
                    (None, _) => "mesh-tls-ca",
                    (_, None) => "mesh-tls-cert",
                    _ => "mesh-tls-key",
                },
                advice: "--mesh-tls-ca, --mesh-tls-cert and --mesh-tls-key go together",
            }),
        }
    }

    fn hash_key(&self, around: &Surroundings) -> Result<Option<Secret>, ConfigError> {
        match &self.hash_key_file {
            Some(_) if around.hash_key.is_some() => Err(ConfigError::Conflict {
                first: "--hash-key-file",
                second: "PUSHMESH_HASH_KEY",
                advice: "a node has one hash key; leave out one",
            }),
            Some(path) => files::secret("hash-key-file", path, 1).map(Some),
            None => Ok(around.hash_key.clone()),
        }
    }

    fn auth(&self, dev: bool) -> Result<AuthConfig, ConfigError> {
        let origins = given("origin", &self.origin)?.map(|text| origin(text)).collect::<Result<_, _>>()?;
        let auth = AuthConfig {
            dev,
            origins,
            max_token_lifetime: self.max_token_lifetime.unwrap_or(limits::TOKEN_LIFETIME_MAX),
            jwt_issuer: self.jwt_issuer.clone(),
            jwt_audiences: given("jwt-audience", &self.jwt_audience)?.cloned().collect(),
            ..AuthConfig::default()
        };
        if dev {
            return Ok(auth);
        }
        let Some(api_key_file) = &self.api_key_file else {
            return Err(ConfigError::Missing {
                flag: "api-key-file",
                advice: "backends push with a key: run `pushmesh keygen --kind api --out api.key`, \
                         or use --dev for a try on this machine",
            });
        };
        let mut jwt_secrets = Vec::new();
        for path in given("jwt-secret-file", &self.jwt_secret_file)? {
            jwt_secrets.push(files::secret("jwt-secret-file", path, files::JWT_SECRET_BYTES_MIN)?);
        }
        let mut jwt_public_keys_pem = Vec::new();
        for path in given("jwt-public-key-file", &self.jwt_public_key_file)? {
            jwt_public_keys_pem.push(files::ed25519_public_key("jwt-public-key-file", path)?);
        }
        let mut jwks = Vec::new();
        for path in given("jwks-file", &self.jwks_file)? {
            jwks.push(files::key_set("jwks-file", path)?);
        }
        let has_keys = !jwt_secrets.is_empty() || !jwt_public_keys_pem.is_empty() || !jwks.is_empty();
        if !has_keys && self.jwks_url.is_none() {
            return Err(ConfigError::Missing {
                flag: "jwt-secret-file",
                advice: "clients connect with tokens that your backend or your identity provider signs: run `pushmesh keygen \
                         --kind jwt-secret --out jwt.secret`, give --jwt-public-key-file, --jwks-file or --jwks-url, or use --dev for a \
                         try on this machine",
            });
        }
        let api_keys = files::api_keys("api-key-file", api_key_file)?;
        let (jwks_url, jwks_ca_pem) = (self.jwks_url.clone(), self.jwks_ca()?);
        Ok(AuthConfig { api_keys, jwt_secrets, jwt_public_keys_pem, jwks, jwks_url, jwks_ca_pem, ..auth })
    }

    fn jwks_ca(&self) -> Result<Option<String>, ConfigError> {
        match (&self.jwks_ca, &self.jwks_url) {
            (Some(_), None) => Err(ConfigError::Missing {
                flag: "jwks-url",
                advice: "--jwks-ca says whom to trust there; give both, or leave both out",
            }),
            (path, _) => path.as_ref().map(|path| files::certificates("jwks-ca", path)).transpose(),
        }
    }

    /// An address stands for itself alone.
    fn trusted_proxies(&self) -> Result<Vec<IpNet>, ConfigError> {
        let read = |text: &String| {
            let text = text.trim();
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| ConfigError::Value {
                flag: "trusted-proxy",
                problem: format!("{text:?} is neither an address nor a network such as 10.0.0.0/8"),
            })
        };
        given("trusted-proxy", &self.trusted_proxy)?.map(read).collect()
    }

    fn http_tls(&self) -> Result<Option<HttpTls>, ConfigError> {
        let advice = "--tls-cert and --tls-key go together";
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(HttpTls {
                cert_pem: files::certificates("tls-cert", cert)?,
                key_pem: files::private_key("tls-key", key)?,
            })),
            (Some(_), None) => Err(ConfigError::Missing { flag: "tls-key", advice }),
            (None, Some(_)) => Err(ConfigError::Missing { flag: "tls-cert", advice }),
        }
    }
}

/// Refuses the key that everyone knows; the shape is checked by the part that derives from it.
fn cluster_key(key: Secret) -> Result<MeshIdentity, ConfigError> {
    // Line by line and trimmed, as the part that derives from it reads it.
    if key.expose().lines().any(|line| line.trim() == DEV_CLUSTER_KEY) {
        return Err(ConfigError::Value {
            flag: "cluster-key-file",
            problem: "this is the public key of --dev, which protects nothing: run `pushmesh keygen`"
                .to_owned(),
        });
    }
    Ok(MeshIdentity::ClusterKey(key))
}

/// The items of a list. Those that are empty do not count, but a list of nothing else was meant to say something.
fn given<'a, T: AsRef<OsStr>>(
    flag: &'static str,
    items: &'a [T],
) -> Result<impl Iterator<Item = &'a T>, ConfigError> {
    let is_given = |item: &&T| !item.as_ref().as_encoded_bytes().trim_ascii().is_empty();
    if !items.is_empty() && !items.iter().any(|item| is_given(&item)) {
        let problem = "it is given and empty: give a value, or leave it out".to_owned();
        return Err(ConfigError::Value { flag, problem });
    }
    Ok(items.iter().filter(is_given))
}

/// An origin in the form that browsers send.
fn origin(text: &str) -> Result<Origin, ConfigError> {
    text.parse().map_err(|source| {
        let problem = format!("{text:?} is not an origin: {source}");
        ConfigError::Value { flag: "origin", problem }
    })
}

/// What a machine without host name is called. Source: `UTS_NODENAME` in Linux's include/linux/uts.h.
const UNNAMED: [&str; 2] = ["", "(none)"];
