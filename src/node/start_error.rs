//! Why a node does not start.

use std::io;
use std::net::SocketAddr;

use crate::config::InvalidConfig;
use crate::gateway::HttpTlsError;
use crate::id::NodeName;
use crate::membership::gossip::GossipError;
use crate::membership::incarnation::IncarnationError;
use crate::mesh::identity::IdentityError;
use crate::token::TokenKeyError;

/// Why a node did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value of the configuration breaks a rule: see [`Config::check`](crate::Config::check).
    #[error("{0}")]
    Config(#[from] InvalidConfig),
    /// A socket of the wire is of no use.
    #[error("the node's sockets cannot be used: {0}")]
    Wire(#[from] io::Error),
    /// The node cannot prove who it is.
    #[error("{0}")]
    Identity(String),
    /// The keys for client tokens are of no use.
    #[error("{0}")]
    TokenKeys(String),
    /// The certificate or the key for https is of no use.
    #[error("{0}")]
    HttpTls(String),
    /// Traces cannot be sent to the collector.
    #[error("traces cannot be exported: {0}")]
    Traces(io::Error),
    /// The incarnation cannot be kept in the data directory.
    #[error("{0}")]
    Incarnation(String),
    /// Another process of this name is a member of the cluster.
    #[error(
        "a node named {name} runs at {addr} already: give this one another --name, stop that one first, or pass --replace to end it"
    )]
    NameTaken {
        /// The name of both.
        name: NodeName,
        /// Where the other one is reached.
        addr: SocketAddr,
    },
    /// The name of the mesh address that peers are to be told means nothing.
    #[error("--mesh-advertise: {name} cannot be resolved ({problem}); correct it, or give an address")]
    Advertised {
        /// The name.
        name: String,
        /// What the resolver said.
        problem: String,
    },
    /// Gossip did not start.
    #[error("gossip did not start: {0}")]
    Gossip(String),
}

impl From<IdentityError> for StartError {
    fn from(error: IdentityError) -> Self {
        StartError::Identity(error.to_string())
    }
}

impl From<TokenKeyError> for StartError {
    fn from(error: TokenKeyError) -> Self {
        StartError::TokenKeys(error.to_string())
    }
}

impl From<HttpTlsError> for StartError {
    fn from(error: HttpTlsError) -> Self {
        StartError::HttpTls(error.to_string())
    }
}

impl From<IncarnationError> for StartError {
    fn from(error: IncarnationError) -> Self {
        StartError::Incarnation(error.to_string())
    }
}

impl From<GossipError> for StartError {
    fn from(error: GossipError) -> Self {
        StartError::Gossip(error.to_string())
    }
}
