//! What two nodes say to each other while nothing happens, with few sessions and with many.
//!
//! Gossip, digests and keep-alives go on; none of them may grow with the sessions.

use std::time::Duration;

use crate::member::Member;
use crate::meter::Sent;
use crate::server::Failure;
use crate::table::{Table, Verdict};

/// Measures two nodes without sessions, and then with a million.
///
/// # Errors
/// A node does not start, or its copy does not come.
pub(crate) fn run() -> Result<Vec<Table>, Failure> {
    let mut table = Table::new(format!("Two idle nodes, both directions, {} s each", WATCHED.as_secs()));
    let first = Member::start("first", &[])?;
    let second = Member::start("second", &[&first])?;
    second.ready();
    let few = watch(&first, &second);
    first.claim(0..SESSIONS);
    second.copied(&first)?;
    let many = watch(&first, &second);
    let rate = |sent: Sent| sent.bytes as f64 / WATCHED.as_secs_f64();
    let told = |sent: Sent| format!("{:.0} bytes a second, {} packets in all", rate(sent), sent.datagrams);
    table.tell("with 0 sessions", told(few));
    table.tell(format!("with {SESSIONS} sessions"), told(many));
    let growth = (rate(many) / rate(few) - 1.0) * 100.0;
    let met = Verdict::speed(growth < GROWTH_PERCENT_MAX);
    table.goal("growth", format!("< {GROWTH_PERCENT_MAX} %"), format!("{growth:.1} %"), met);
    second.end();
    first.end();
    Ok(vec![table])
}

/// What both send, after they have come to rest.
fn watch(first: &Member, second: &Member) -> Sent {
    first.rest(AT_REST_AFTER);
    let before = [first.sent(), second.sent()];
    first.rest(WATCHED);
    let [a, b] = [first.sent() - before[0], second.sent() - before[1]];
    Sent { bytes: a.bytes + b.bytes, datagrams: a.datagrams + b.datagrams }
}

const SESSIONS: u64 = 1_000_000;
/// Ten exchanges of digests, give or take one of each node: the growth is known that well.
const WATCHED: Duration = Duration::from_secs(20);
/// Acknowledgements, the search for the largest packet and the first rounds of gossip are over then.
const AT_REST_AFTER: Duration = Duration::from_secs(5);
/// Guess: the noise of one exchange of digests more or less.
const GROWTH_PERCENT_MAX: f64 = 10.0;
