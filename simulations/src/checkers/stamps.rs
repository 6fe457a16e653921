//! A new claim of a client is above all that its node knew of the key, and the visible one is that of the greatest
//! rank among the rows that are shown (under `reject-newer` of the greatest that was resumed, or else of the smallest that has not yielded).
//!
//! So a view goes back to an older claim only while that is still there: the loser lingers, or an owner
//! that was dead is shown again. That is as far as the protocol promises it. Stamps of an owner need not
//! rise from one claim of a key to the next: once the first is released, nothing is left to exceed, and it may
//! have exceeded a faster clock. But none comes twice. That rows do not come back by themselves is checked by
//! position: copies never go back, and what is gone stays gone.
//!
//! A claim for a client that is away is just above its session and no other, and one of a client that has shown its session is
//! above all of those: so no node that keeps a session on stands against its client.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;
use pushmesh::config::Takeover;
use pushmesh::id::Stamp;
use pushmesh::internals::{ClaimState, Known, Position, Standing};

use crate::checkers::checker::Checker;
use crate::decision::Decision;
use crate::event::Event;
use crate::host::{Boot, session_key, user_id};
use crate::id::{ClientIndex, user_of};
use crate::settings::Settings;

/// Watches the claims of all clients at all nodes.
pub(super) struct Stamps {
    oldest_wins: bool,
    clients: BTreeSet<ClientIndex>,
    /// What a boot of a node knew of each client at the last look.
    known: BTreeMap<(NodeName, u64, ClientIndex), Rows>,
    /// What a boot of a node has claimed for a client, and has released.
    released: BTreeSet<(ClientIndex, Rank)>,
    /// The claims for clients that were away: whose, of which node, and their stamps.
    away: BTreeSet<(ClientIndex, NodeName, u64)>,
    compared: u64,
}

/// A row: its stamp, its owner and the owner's boot. In this order it is the rank.
type Rank = (u64, NodeName, u64);

/// Rows, and where the sections stand that they are from.
type Rows = BTreeMap<Rank, Option<Position>>;

impl Stamps {
    /// Nobody has claimed anything.
    pub(super) fn new(settings: &Settings) -> Self {
        let oldest_wins = settings.takeover == Takeover::RejectNewer;
        let (clients, known, released, away) = Default::default();
        Self { oldest_wins, clients, known, released, away, compared: 0 }
    }

    /// Whether none of the claims of a boot has a stamp that the boot has given for that client before.
    fn comes_once(
        &mut self,
        client: ClientIndex,
        boot: (&NodeName, u64),
        before: &Rows,
        now: &Rows,
    ) -> Result<(), String> {
        let released = before.keys().filter(|row| is_of(row, boot) && !now.contains_key(row));
        self.released.extend(released.map(|row| (client, row.clone())));
        match now.keys().find(|row| self.released.contains(&(client, (*row).clone()))) {
            Some(again) if is_of(again, boot) => Err(format!("claimed {again:?} again")),
            _ => Ok(()),
        }
    }

    fn wins(&self, shown: &[(Rank, ClaimState)], visible: Option<&Rank>) -> Result<(), String> {
        let ranks = || shown.iter().map(|(rank, _)| rank);
        let with = |wanted| shown.iter().filter(move |(_, state)| *state == wanted).map(|(rank, _)| rank);
        let leads = with(ClaimState::Resumed).max().or_else(|| with(ClaimState::Connected).min());
        let best = leads.filter(|_| self.oldest_wins).or_else(|| ranks().max());
        if best == visible { Ok(()) } else { Err(format!("{visible:?} is seen among {shown:?}")) }
    }
}

/// Whether that boot of a node has claimed this.
fn is_of((_, owner, incarnation): &Rank, boot: (&NodeName, u64)) -> bool {
    (owner, *incarnation) == boot
}

/// How a stamp stands to that of the session that was proven.
type Rule = fn(u64, Option<u64>) -> bool;

/// Whether a claim is of the millisecond of the session that it is made for, or of the next, where its counter goes on.
fn is_just_above(stamp: u64, session: Option<u64>) -> bool {
    let unix_ms = |stamp| Stamp::from_raw(stamp).unix_ms();
    session.is_some_and(|session| stamp > session && unix_ms(stamp) <= unix_ms(session) + 1)
}

/// Whether a claim is above all that nodes claim to keep the session on that its client has shown.
fn is_past_keepers(stamp: u64, shown: Option<u64>) -> bool {
    shown.is_none_or(|session| Stamp::from_raw(stamp) > Stamp::from_raw(session).kept_on_until())
}

/// Whether what a boot has claimed for clients since the last look is above what it knew then and ever since: rows of
/// sections that have not moved. Where one has, nobody can say whether the row was there when the claim was
/// made; it may be another one with the same stamp.
fn rises(
    boot: (&NodeName, u64),
    is_away: impl Fn(&Rank) -> bool,
    before: &Rows,
    now: &Rows,
) -> Result<(), String> {
    let own = |row: &Rank| is_of(row, boot);
    let new = now.keys().filter(|row| own(row) && !before.contains_key(row));
    for claimed in new.filter(|row| !is_away(row)) {
        let stayed =
            |(row, at): &(&Rank, &Option<Position>)| !own(row) && at.is_some() && before.get(row) == Some(at);
        let mut stayed = now.iter().filter(stayed).map(|(row, _)| row);
        if let Some(above) = stayed.find(|row| row.0 >= claimed.0) {
            return Err(format!("claimed {claimed:?}, and knew {above:?}"));
        }
    }
    Ok(())
}

impl Checker for Stamps {
    fn name(&self) -> &'static str {
        "a claim is above all that its node knew, and the claim of the greatest rank is seen"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { client, .. } => _ = self.clients.insert(*client),
            Event::Decided { by, decision: Decision::Claimed { client, stamp, resumed, away } } => {
                if *away {
                    self.away.insert((*client, by.clone(), *stamp));
                }
                let (is_right, client_is) =
                    if *away { (is_just_above as Rule, "away") } else { (is_past_keepers as Rule, "there") };
                if !is_right(*stamp, *resumed) {
                    return Err(format!(
                        "client {client} is {client_is}; {by} claims {stamp} after {resumed:?}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        if !now_ms.is_multiple_of(LOOK_EVERY_MS) {
            return Ok(());
        }
        for boot in boots.iter().flatten() {
            let hasher = boot.replica.hasher();
            let me = boot.replica.me();
            for client in self.clients.clone() {
                let key = hasher.key(&session_key(client));
                let known = boot.replica.known(hasher.user(&user_id(user_of(client))));
                let seen = known.iter().filter(|row| row.key == key && row.holder.standing.is_seen());
                let of_section = |row: &Known| {
                    let seen = row.holder.standing != Standing::Filling;
                    let head = boot.replica.head(&row.holder.owner).filter(|_| seen);
                    (rank(row), head.map(|head| head.digest.position))
                };
                let all: Rows = known.iter().filter(|row| row.key == key).map(of_section).collect();
                let at = (me.clone(), boot.incarnation, client);
                let before = self.known.insert(at, all.clone()).unwrap_or_default();
                self.comes_once(client, (me, boot.incarnation), &before, &all)
                    .map_err(|what| format!("client {client} at {me}: {what}"))?;
                let is_away = |(stamp, owner, _): &Rank| self.away.contains(&(client, owner.clone(), *stamp));
                rises((me, boot.incarnation), is_away, &before, &all)
                    .map_err(|what| format!("client {client} at {me}: {what}"))?;
                let shown: Vec<_> = seen.map(|row| (rank(row), row.claim.state)).collect();
                let owned = boot.replica.lookup(key);
                let visible = owned.map(|owned| (owned.stamp.raw(), owned.owner, owned.incarnation.0));
                self.compared += 1;
                self.wins(&shown, visible.as_ref())
                    .map_err(|what| format!("client {client} at {me}: {what}"))?;
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("claims compared with all rows", self.compared)
    }
}

fn rank(row: &Known) -> Rank {
    (row.claim.stamp.raw(), row.holder.owner.clone(), row.holder.incarnation.0)
}

/// Time between two looks, in milliseconds: each walks over all rows.
const LOOK_EVERY_MS: u64 = 250;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(stamp: u64, owner: &str) -> Rank {
        (stamp, NodeName::new(owner).unwrap(), 1)
    }

    #[test]
    fn a_claim_below_what_its_node_knew_is_found() {
        let me = NodeName::new("a").unwrap();
        let rises = |before: &[(&Rank, u64)], now: &[(&Rank, u64)]| {
            let at = |version| Some(Position { version, ..Position::default() });
            let rows = |rows: &[(&Rank, u64)]| {
                rows.iter().map(|(row, version)| ((*row).clone(), at(*version))).collect()
            };
            let is_away = |row: &Rank| row.0 == 5;
            super::rises((&me, 1), is_away, &rows(before), &rows(now))
        };
        let (other, six, seven, eight) = (&row(7, "b"), &row(6, "a"), &row(7, "a"), &row(8, "a"));
        let away = &row(5, "a");
        assert_eq!(rises(&[(other, 1)], &[(other, 1), (eight, 1)]), Ok(()));
        assert!(rises(&[(other, 1)], &[(other, 1), (seven, 1)]).is_err());
        assert_eq!(rises(&[(other, 1)], &[(other, 1), (away, 1)]), Ok(()), "its client is away");
        assert_eq!(rises(&[(other, 1)], &[(other, 3), (seven, 1)]), Ok(()), "it may be a later one");
        assert_eq!(rises(&[(other, 1)], &[(six, 1)]), Ok(()), "it was gone, perhaps before");
        assert_eq!(rises(&[], &[(other, 1), (six, 1)]), Ok(()), "it came, perhaps after");
        assert_eq!(rises(&[(six, 1)], &[(six, 1), (other, 1)]), Ok(()), "that is no new claim");
    }

    #[test]
    fn a_claim_for_a_client_that_is_away_is_just_above_its_session() {
        let at = |ms: u64, counter: u64| (ms << 16) + counter;
        let seen = |stamp, resumed| {
            let decision = Decision::Claimed { client: 0, stamp, resumed, away: true };
            let by = NodeName::new("a").unwrap();
            Stamps::new(&Settings::default()).event(1, &Event::Decided { by, decision })
        };
        assert_eq!(seen(at(7, 9), Some(at(7, 8))), Ok(()));
        assert_eq!(seen(at(8, 1), Some(at(7, 8))), Ok(()), "its counter goes on in the next millisecond");
        assert!(seen(at(9, 0), Some(at(7, 8))).is_err());
        assert!(seen(at(7, 8), Some(at(7, 8))).is_err());
        assert!(seen(at(7, 8), None).is_err(), "it keeps nothing on");
    }

    #[test]
    fn a_claim_of_a_client_that_is_back_is_above_those_of_all_who_keep_its_session_on() {
        let at = |ms: u64, counter: u64| (ms << 16) + counter;
        let seen = |stamp, resumed| {
            let decision = Decision::Claimed { client: 0, stamp, resumed, away: false };
            let by = NodeName::new("a").unwrap();
            Stamps::new(&Settings::default()).event(1, &Event::Decided { by, decision })
        };
        assert_eq!(seen(at(24, 0), Some(at(7, 8))), Ok(()));
        assert!(seen(at(23, 0xffff), Some(at(7, 8))).is_err());
        assert_eq!(seen(at(7, 8), None), Ok(()), "it has shown nothing");
    }

    #[test]
    fn a_claim_with_a_stamp_that_was_released_is_found() {
        let boot = NodeName::new("a").unwrap();
        let comes_once = |looks: &[&[Rank]]| {
            let mut checker = Stamps::new(&Settings::default());
            let rows = |look: &[Rank]| look.iter().map(|row| (row.clone(), None)).collect::<Rows>();
            let mut pairs = looks.windows(2);
            pairs.try_for_each(|pair| checker.comes_once(0, (&boot, 1), &rows(pair[0]), &rows(pair[1])))
        };
        let (seven, eight, other) = (&[row(7, "a")][..], &[row(8, "a")][..], &[row(7, "b")][..]);
        assert!(comes_once(&[seven, &[], seven]).unwrap_err().contains("again"));
        assert_eq!(comes_once(&[seven, &[], eight, &[]]), Ok(()));
        assert_eq!(comes_once(&[other, &[], other]), Ok(()), "the copy of another section may come late");
    }

    #[test]
    fn a_view_that_shows_another_claim_is_found() {
        let rows = [row(7, "a"), row(7, "b"), row(3, "c")];
        let wins = |takeover, at: Option<usize>| {
            let settings = Settings { takeover, ..Settings::default() };
            let rows = rows.each_ref().map(|row| (row.clone(), ClaimState::Connected));
            Stamps::new(&settings).wins(&rows, at.map(|at| &rows[at].0))
        };
        assert_eq!(wins(Takeover::ExclusiveDevice, Some(1)), Ok(()));
        assert_eq!(wins(Takeover::RejectNewer, Some(2)), Ok(()));
        for wrong in [Some(0), Some(2), None] {
            assert!(wins(Takeover::ExclusiveDevice, wrong).is_err(), "{wrong:?}");
        }
        let rejecting = Settings { takeover: Takeover::RejectNewer, ..Settings::default() };
        let yields = |states: [ClaimState; 3], at: usize| {
            let rows: Vec<_> = rows.iter().cloned().zip(states).collect();
            Stamps::new(&rejecting).wins(&rows, Some(&rows[at].0))
        };
        let (connected, yielded) = (ClaimState::Connected, ClaimState::Yielded);
        assert_eq!(yields([connected, connected, yielded], 0), Ok(()));
        assert_eq!(yields([yielded; 3], 1), Ok(()));
        assert!(yields([connected, connected, yielded], 2).is_err());
        let resumed = ClaimState::Resumed;
        assert_eq!(yields([resumed, resumed, connected], 1), Ok(()));
        assert!(yields([resumed, connected, connected], 2).is_err());
    }
}
