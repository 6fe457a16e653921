//! What every test needs: nodes that die with the test, an HTTP client, WebSocket clients, and
//! waiting with a deadline.

mod client;
mod cluster;
pub(crate) mod contract;
mod gate;
mod http;
mod kept;
mod key_server;
mod keys;
mod node;
mod plain;
mod process;
mod provider;
mod raw;
mod wait;

pub(crate) use client::{Client, Dial, Message};
pub(crate) use cluster::{Cluster, unique};
pub(crate) use gate::Gate;
pub(crate) use http::{Answer, Http};
pub(crate) use kept::{Kept, parked, push, push_with, try_push};
pub(crate) use key_server::KeyServer;
pub(crate) use keys::{Keys, now_unix, sign_hs256};
pub(crate) use node::{Launch, Node};
pub(crate) use plain::Plain;
pub(crate) use process::{Process, Streams, pushmesh};
pub(crate) use provider::{ISSUER, ProviderKey, key_set};
pub(crate) use raw::Frame;
pub(crate) use wait::{SLACK, alone, eventually, same, within};
