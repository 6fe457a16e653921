//! The way of gossip to the links.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::mesh::gossip::GossipSend;
use crate::mesh::links::{Links, NOT_POISONED};

/// Gossip knows peers by address; a seed may have another address than the one it advertises.
pub(crate) struct GossipOut(pub(crate) Arc<Links>);

impl GossipSend for GossipOut {
    fn send(&self, to: SocketAddr, message: Bytes) {
        let links = &self.0;
        let link = links.linked_at(to).or_else(|| {
            let there = links.dials.lock().expect(NOT_POISONED).name_at(to);
            links.get(&there?)
        });
        match link {
            Some(link) => {
                links.mailbox(link.peer().mesh).push(message);
            }
            None => {
                links.mailbox(to).push(message);
                links.dial(to, None);
            }
        }
    }
}
