//! Who may begin a handshake on the mesh port, decided by the first packet and before anything is spent on it.
//!
//! Anybody can send a first packet, and from an address that is not theirs. A handshake costs the acceptor keys,
//! some 40 KB, and up to three times the bytes of the packet. What strangers can make it spend is bounded, and is
//! not taken from members:
//!
//! ```text
//!   first packet ─┬─ with a pass (identity/pass.rs) ───────────► begin, up to MEMBER_HANDSHAKES_MAX
//!                 └─ without ─┬─ few are under way ────────────► begin
//!                             ├─ the address is not proven ────► Retry: keeps nothing, 1/8 of the bytes
//!                             ├─ within all bounds ────────────► begin
//!                             └─ above ────────────────────────► refuse: keeps nothing either
//! ```
//!
//! Nothing here says who somebody is: that is for the handshake. Pure but for its mutex.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use quinn::ConnectionId;
use tokio::time::Instant;

use crate::limits;
use crate::mesh::bucket::Bucket;
use crate::mesh::identity::Passes;

/// Decides which handshakes begin, and counts those that are under way.
pub(crate) struct Admission {
    passes: Passes,
    state: Mutex<State>,
}

/// A first packet of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// Where it says that it comes from.
    pub(crate) from: SocketAddr,
    /// Whether whoever sent it receives what is sent there.
    pub(crate) proven: bool,
    /// The connection id that the dialler chose.
    pub(crate) first_id: ConnectionId,
}

/// What becomes of an attempt.
pub(crate) enum Verdict {
    /// The handshake begins. It is under way for as long as the place is kept.
    Begin(Place),
    /// It has to come again, with a proof of its address.
    Validate,
    /// Too many are under way.
    Refuse,
}

/// Room for one handshake.
pub(crate) struct Place {
    admission: Arc<Admission>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Member(SocketAddr),
    /// Whose address nobody has proven.
    Anonymous,
    Stranger(IpAddr),
}

struct State {
    members: BTreeMap<SocketAddr, usize>,
    member_hosts: BTreeMap<IpAddr, usize>,
    members_total: usize,
    anonymous: usize,
    strangers: BTreeMap<IpAddr, usize>,
    strangers_total: usize,
    /// Handshakes with strangers that may begin now.
    allowed: Bucket,
    /// Passes that were used, in their order: whoever repeats one has seen it on its way.
    used: BTreeSet<Vec<u8>>,
    used_in_order: VecDeque<Vec<u8>>,
}

impl Admission {
    /// Nothing is under way.
    pub(crate) fn new(passes: Passes) -> Arc<Self> {
        let state = State {
            members: BTreeMap::new(),
            member_hosts: BTreeMap::new(),
            members_total: 0,
            anonymous: 0,
            strangers: BTreeMap::new(),
            strangers_total: 0,
            allowed: Bucket::new(limits::STRANGERS_PER_SECOND, limits::STRANGER_HANDSHAKES_MAX as u32),
            used: BTreeSet::new(),
            used_in_order: VecDeque::new(),
        };
        Arc::new(Self { passes, state: Mutex::new(state) })
    }

    /// Decides about an attempt.
    pub(crate) fn judge(self: &Arc<Self>, attempt: &Attempt, now: Instant) -> Verdict {
        let has_pass = self.passes.holds(&attempt.first_id);
        let kind = {
            let mut state = self.state.lock().expect(NOT_POISONED);
            if has_pass && !state.used.contains(&attempt.first_id[..]) {
                state.member(attempt)
            } else {
                state.stranger(attempt, now)
            }
        };
        match kind {
            Ok(kind) => Verdict::Begin(Place { admission: Arc::clone(self), kind }),
            Err(Refused::Unproven) => Verdict::Validate,
            Err(Refused::Full) => Verdict::Refuse,
        }
    }

    /// How many handshakes are under way: of members, of others.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        let state = self.state.lock().expect(NOT_POISONED);
        (state.members_total, state.anonymous + state.strangers_total)
    }
}

enum Refused {
    Unproven,
    Full,
}

impl State {
    fn member(&mut self, attempt: &Attempt) -> Result<Kind, Refused> {
        let host = source(attempt.from);
        let here = self.members.get(&attempt.from).copied().unwrap_or(0);
        let of_host = self.member_hosts.get(&host).copied().unwrap_or(0);
        if self.members_total >= limits::MEMBER_HANDSHAKES_MAX
            || of_host >= limits::MEMBER_HANDSHAKES_PER_HOST_MAX
            || here >= limits::HANDSHAKES_PER_ADDRESS_MAX
        {
            return Err(Refused::Full);
        }
        *self.members.entry(attempt.from).or_default() += 1;
        *self.member_hosts.entry(host).or_default() += 1;
        self.members_total += 1;
        let pass = attempt.first_id.to_vec();
        if self.used.insert(pass.clone()) {
            self.used_in_order.push_back(pass);
        }
        if self.used_in_order.len() > limits::PASSES_REMEMBERED
            && let Some(oldest) = self.used_in_order.pop_front()
        {
            self.used.remove(&oldest);
        }
        Ok(Kind::Member(attempt.from))
    }

    fn stranger(&mut self, attempt: &Attempt, now: Instant) -> Result<Kind, Refused> {
        if !attempt.proven {
            if self.anonymous >= limits::ANONYMOUS_HANDSHAKES_MAX || !self.allowed.take(now) {
                return Err(Refused::Unproven);
            }
            self.anonymous += 1;
            return Ok(Kind::Anonymous);
        }
        let source = source(attempt.from);
        let here = self.strangers.get(&source).copied().unwrap_or(0);
        if here >= limits::HANDSHAKES_PER_ADDRESS_MAX
            || self.strangers_total >= limits::STRANGER_HANDSHAKES_MAX
            || !self.allowed.take(now)
        {
            return Err(Refused::Full);
        }
        *self.strangers.entry(source).or_default() += 1;
        self.strangers_total += 1;
        Ok(Kind::Stranger(source))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock().expect(NOT_POISONED);
        match self.kind {
            Kind::Member(from) => {
                state.members_total -= 1;
                release(&mut state.members, &from);
                release(&mut state.member_hosts, &source(from));
            }
            Kind::Anonymous => state.anonymous -= 1,
            Kind::Stranger(source) => {
                state.strangers_total -= 1;
                release(&mut state.strangers, &source);
            }
        }
    }
}

fn release<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// What counts as one address: all that one customer of a network usually has. Source: RFC 6177, a /64.
fn source(from: SocketAddr) -> IpAddr {
    match from.ip().to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> (Arc<Admission>, impl Fn() -> ConnectionId) {
        let passes = Passes::new(b"secret");
        let draw = passes.generator([1; 32]);
        (Admission::new(passes), draw)
    }

    fn attempt(host: u8, port: u16, proven: bool, first_id: ConnectionId) -> Attempt {
        Attempt { from: SocketAddr::from(([192, 0, 2, host], port)), proven, first_id }
    }

    fn stranger(host: u8, port: u16, proven: bool) -> Attempt {
        attempt(host, port, proven, ConnectionId::new(&[port as u8; 20]))
    }

    /// Places that are kept, and how many attempts had to prove their address and were refused.
    fn judged(
        admission: &Arc<Admission>,
        attempts: impl IntoIterator<Item = Attempt>,
        now: Instant,
    ) -> (Vec<Place>, usize, usize) {
        let (mut places, mut validate, mut refused) = (Vec::new(), 0, 0);
        for attempt in attempts {
            match admission.judge(&attempt, now) {
                Verdict::Begin(place) => places.push(place),
                Verdict::Validate => validate += 1,
                Verdict::Refuse => refused += 1,
            }
        }
        (places, validate, refused)
    }

    #[test]
    fn above_a_few_strangers_have_to_prove_their_address() {
        let (admission, _) = admission();
        let now = Instant::now();
        let flood = (0..1_000).map(|port| stranger(1, port, false));
        let (places, validate, refused) = judged(&admission, flood, now);
        assert_eq!((places.len(), refused), (limits::ANONYMOUS_HANDSHAKES_MAX, 0));
        assert_eq!(validate, 1_000 - places.len());
        drop(places);
        assert_eq!(admission.under_way(), (0, 0));
        assert!(matches!(admission.judge(&stranger(1, 1, false), now), Verdict::Begin(_)), "it is over");
    }

    #[test]
    fn one_address_has_few_handshakes_and_all_together_have_some() {
        let (admission, _) = admission();
        let now = Instant::now();
        let (places, _, refused) = judged(&admission, (0..100).map(|port| stranger(1, port, true)), now);
        assert_eq!((places.len(), refused), (limits::HANDSHAKES_PER_ADDRESS_MAX, 100 - places.len()));
        let (more, _, _) = judged(&admission, (2..=255).map(|host| stranger(host, 1, true)), now);
        assert_eq!(places.len() + more.len(), limits::STRANGER_HANDSHAKES_MAX);
        drop((places, more));
        let (next, _, _) = judged(&admission, (2..=255).map(|host| stranger(host, 1, true)), now);
        assert_eq!(next.len(), 0, "they end at once, and do not begin faster for that");
        let second = now + std::time::Duration::from_secs(1);
        let (next, _, _) = judged(&admission, (2..=255).map(|host| stranger(host, 1, true)), second);
        assert_eq!(next.len(), limits::STRANGERS_PER_SECOND as usize);
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_count_as_one() {
        let from = |text: &str| source(SocketAddr::new(text.parse().unwrap(), 1));
        assert_eq!(from("2001:db8::1"), from("2001:db8::ffff:1"));
        assert_ne!(from("2001:db8::1"), from("2001:db8:0:1::1"));
        assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
    }

    #[test]
    fn members_begin_whatever_strangers_do_and_none_uses_the_pass_of_another() {
        let (admission, draw) = admission();
        let now = Instant::now();
        let _few = judged(&admission, (0..100).map(|port| stranger(1, port, false)), now);
        let _more = judged(&admission, (0..=255).map(|host| stranger(host, 1, true)), now);
        let member = attempt(1, 7_400, false, draw());
        let Verdict::Begin(place) = admission.judge(&member, now) else { panic!("it is a member") };
        assert_eq!(admission.under_way().0, 1);
        let seen_on_its_way = Attempt { from: "192.0.2.9:1".parse().unwrap(), ..member };
        assert!(matches!(admission.judge(&seen_on_its_way, now), Verdict::Validate));
        drop(place);
        assert!(matches!(admission.judge(&seen_on_its_way, now), Verdict::Validate), "nor later");
        // One who has the key and dials without end is bounded all the same.
        let (places, ..) = judged(&admission, (0..100).map(|_| attempt(1, 7_400, false, draw())), now);
        assert_eq!(places.len(), limits::HANDSHAKES_PER_ADDRESS_MAX);
        let (more, ..) = judged(&admission, (1..5_000).map(|port| attempt(1, port, false, draw())), now);
        assert_eq!(places.len() + more.len(), limits::MEMBER_HANDSHAKES_PER_HOST_MAX, "on other ports");
        let hosts = (2..=255).flat_map(|host| (1..=20).map(move |port| (host, port)));
        let (rest, ..) =
            judged(&admission, hosts.map(|(host, port)| attempt(host, port, false, draw())), now);
        assert_eq!(places.len() + more.len() + rest.len(), limits::MEMBER_HANDSHAKES_MAX);
        assert!(admission.state.lock().unwrap().used.len() <= limits::PASSES_REMEMBERED);
    }
}
