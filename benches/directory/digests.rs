//! What comparing two directories costs that agree, by the number of members.
//!
//! The pure part of an exchange is done here as the mesh does it: heads into a map, the question, its
//! comparison at the other end, the answer. The frames are private to the mesh; their header is
//! bincode of the same list, and ten bytes open the stream.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use pushmesh::NodeName;
use pushmesh::id::Stamp;
use pushmesh::internals::{Claim, ClaimState, Digest, Entry, Position, Replica};
use tokio::time::Instant;

use crate::figures::percentile;
use crate::population::{BOOT, empty, name, session};
use crate::server::Failure;
use crate::table::{Table, as_us};

type Digests = Vec<(NodeName, Digest)>;

/// Measures an exchange in clusters of several sizes.
///
/// # Errors
/// A section was refused, or a list does not encode.
pub(crate) fn run() -> Result<Vec<Table>, Failure> {
    let mut table = Table::new("One exchange of digests between directories that agree");
    for members in MEMBERS {
        measure(&mut table, members)?;
    }
    Ok(vec![table])
}

fn measure(table: &mut Table, members: usize) -> Result<(), Failure> {
    let replica = known(members)?;
    let mut bytes = 0;
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let asked = question(&replica)?;
        let built = Instant::now();
        let answered = answer(&replica, &asked)?;
        times[0].push(as_us(built - started));
        times[1].push(as_us(built.elapsed()));
        bytes = asked.len() + answered.len() + OPENING_BYTES;
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    let [build, compare] = times.map(|times| percentile(&times, 0.5));
    table.tell(
        format!("{members} members"),
        format!(
            "{bytes} bytes, {:.1} a member; {build} us to ask, {compare} us to answer",
            bytes as f64 / members as f64
        ),
    );
    Ok(())
}

/// The directory of a cluster whose nodes hold one session each.
fn known(members: usize) -> Result<Arc<Replica>, Failure> {
    let replica = empty();
    for member in 1..members {
        let key = replica.hasher().key(&session(member as u64));
        let claim = Claim { stamp: Stamp::from_raw(1), state: ClaimState::Connected };
        // As large as the numbers of a node that has been busy for days.
        let position = Position { incarnation: BOOT, version: VERSION };
        let owner = name(&format!("node-{member:03}"));
        let mut arriving = replica.begin(&owner, position)?.ok_or("a section was held before")?;
        arriving.fill(&[Entry { key, claim }]);
        arriving.end(Digest { position, hash: claim.hash(&key) }, 1)?;
    }
    Ok(replica)
}

fn question(replica: &Replica) -> Result<Vec<u8>, Failure> {
    let asked: BTreeMap<_, _> = replica.heads().into_iter().collect();
    let digests: Digests = asked.iter().map(|(owner, digest)| (owner.clone(), *digest)).collect();
    black_box(&asked);
    encode(&digests)
}

fn answer(replica: &Replica, asked: &[u8]) -> Result<Vec<u8>, Failure> {
    let (theirs, _): (Digests, usize) =
        bincode::serde::decode_from_slice(asked, bincode::config::standard())?;
    let theirs: BTreeMap<_, _> = theirs.into_iter().collect();
    let ours: BTreeMap<_, _> = replica.heads().into_iter().collect();
    let news = ours.iter().filter(|(owner, held)| {
        theirs.get(*owner).is_none_or(|theirs| theirs.position < held.position || theirs.contradicts(held))
    });
    encode(&news.map(|(owner, digest)| (owner.clone(), *digest)).collect())
}

fn encode(digests: &Digests) -> Result<Vec<u8>, Failure> {
    Ok(bincode::serde::encode_to_vec(digests, bincode::config::standard())?)
}

const MEMBERS: [usize; 3] = [3, 30, 300];
const ROUNDS: usize = 1_000;
const VERSION: u64 = 100_000_000;
/// Kind and version of the stream, and the lengths before each of the two frames.
const OPENING_BYTES: usize = 2 + 2 * 8;
