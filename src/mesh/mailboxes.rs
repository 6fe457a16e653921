//! The mailboxes of gossip, one for each address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits;
use crate::mesh::mailbox::Mailbox;

/// At most [`limits::PEERS_MAX`] of them, as far as nobody holds more.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes(HashMap<SocketAddr, Arc<Mailbox<Bytes>>>);

impl Mailboxes {
    /// The mailbox of an address, at the price of one that no link uses when there are too many.
    pub(crate) fn of(&mut self, addr: SocketAddr) -> Arc<Mailbox<Bytes>> {
        if self.0.len() >= limits::PEERS_MAX && !self.0.contains_key(&addr) {
            let unused = self.0.iter().find(|(_, mailbox)| Arc::strong_count(mailbox) == 1);
            let unused = unused.map(|(addr, _)| *addr);
            unused.and_then(|addr| self.0.remove(&addr));
        }
        Arc::clone(self.0.entry(addr).or_default())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
