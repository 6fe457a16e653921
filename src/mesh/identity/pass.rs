//! How the first packet of a dial shows that a member sent it.
//!
//! The first packet of a QUIC connection carries a connection id that the dialler chooses at random. A node
//! chooses one that only who knows the cluster's secret can make: random bytes and a code of them. So an
//! acceptor that is flooded knows whom to serve before it spends anything on a handshake. It is no proof of who
//! it is, and who listens on the path may repeat one: the certificates decide, and each id is served once.

use std::sync::{Arc, Mutex};

use quinn::ConnectionId;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use ring::hmac;

/// Makes and recognizes first connection ids of members.
#[derive(Clone)]
pub(crate) struct Passes(Arc<hmac::Key>);

impl Passes {
    /// Of the cluster that shares `secret`.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// Draws one after the other; `seed` decides them all.
    pub(crate) fn generator(&self, seed: [u8; 32]) -> impl Fn() -> ConnectionId + Send + Sync + use<> {
        let (passes, random) = (self.clone(), Mutex::new(StdRng::from_seed(seed)));
        move || {
            let mut nonce = [0; NONCE_BYTES];
            random.lock().expect("no panic happens under this lock").fill_bytes(&mut nonce);
            passes.issue(nonce)
        }
    }

    fn issue(&self, nonce: [u8; NONCE_BYTES]) -> ConnectionId {
        let mut id = [0; PASS_BYTES];
        id[..NONCE_BYTES].copy_from_slice(&nonce);
        id[NONCE_BYTES..].copy_from_slice(&hmac::sign(&self.0, &nonce).as_ref()[..CODE_BYTES]);
        ConnectionId::new(&id)
    }

    /// Whether a member made this id.
    pub(crate) fn holds(&self, id: &ConnectionId) -> bool {
        let Ok(nonce) = <[u8; NONCE_BYTES]>::try_from(&id[..NONCE_BYTES.min(id.len())]) else { return false };
        // Who could learn it by timing could as well listen to one.
        self.issue(nonce) == *id
    }
}

/// Random bytes of a pass. Source: RFC 9000 section 7.2 asks for 8 that nobody can foresee.
const NONCE_BYTES: usize = 8;
/// Bytes of its code: what is left of the longest connection id. Nobody guesses 96 bits.
const CODE_BYTES: usize = PASS_BYTES - NONCE_BYTES;
/// The longest connection id. Source: RFC 9000 section 17.2.
const PASS_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_the_same_secret_are_passes_and_none_comes_twice() {
        let (ours, theirs) = (Passes::new(b"ours"), Passes::new(b"theirs"));
        let draw = ours.generator([1; 32]);
        let (first, second) = (draw(), draw());
        assert!(ours.holds(&first) && ours.holds(&second) && first != second);
        assert!(!theirs.holds(&first));
        for at in 0..first.len() {
            let mut forged = first.to_vec();
            forged[at] ^= 1;
            assert!(!ours.holds(&ConnectionId::new(&forged)), "byte {at}");
        }
        for len in 0..first.len() {
            assert!(!ours.holds(&ConnectionId::new(&first[..len])), "{len} bytes");
        }
    }

    #[test]
    fn a_pass_is_what_the_protocol_says() {
        // HMAC-SHA256 with the key "secret" of eight zero bytes begins with these.
        let pass = Passes::new(b"secret").issue([0; NONCE_BYTES]);
        let hex: String = pass.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    const GOLDEN: &str = "0000000000000000f51998968de9457eb238202b";
}
