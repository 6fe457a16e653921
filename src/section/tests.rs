//! The laws of sections, over records that are no claims: lines of text by their names.
//!
//! A copy at a position is exactly the owner's map at that position, whatever was truncated, repeated, skipped, overtaken
//! by a snapshot, or came by way of another copy. Everything that is sent goes through its bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::hash::mix;
use crate::id::{Incarnation, NodeName};

/// A line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    name: String,
    text: String,
}

impl Record for Line {
    type Key = String;

    fn key(&self) -> &String {
        &self.name
    }

    fn hash(&self) -> u64 {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes.into_iter().fold(1, |hash, byte| mix(hash ^ u64::from(byte)))
    }
}

impl Pack for String {
    const BYTES_MIN: usize = 1;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::try_from(self.len()).expect("the texts of these tests are short"));
        bytes.extend(self.as_bytes());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first()?;
        let text;
        (text, *bytes) = rest.split_at_checked(usize::from(*len))?;
        Self::from_utf8(text.to_vec()).ok()
    }
}

impl Pack for Line {
    const BYTES_MIN: usize = 2;

    fn write(&self, bytes: &mut Vec<u8>) {
        self.name.write(bytes);
        self.text.write(bytes);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self { name: String::read(bytes)?, text: String::read(bytes)? })
    }
}

type Lines = BTreeMap<String, Line>;

impl Store<Line> for Lines {
    fn put(&mut self, line: Line) -> Option<Line> {
        self.insert(line.name.clone(), line)
    }

    fn take(&mut self, name: &String) -> Option<Line> {
        self.remove(name)
    }
}

/// What arrives of what is sent.
fn sent<T: Serialize + DeserializeOwned>(frame: &T) -> T {
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(frame, config).unwrap();
    bincode::serde::decode_from_slice(&bytes, config).unwrap().0
}

fn owner() -> NodeName {
    NodeName::new("o").unwrap()
}

/// An owner, with its map at each of its versions.
struct Owner {
    log: Log<Line>,
    lines: Lines,
    history: Vec<(Head, Lines)>,
}

impl Owner {
    fn new(changes_max: usize) -> Self {
        let log = Log::new(Incarnation(1), changes_max);
        let history = vec![(log.head(), Lines::new())];
        Self { log, lines: Lines::new(), history }
    }

    /// Writes a line, or removes the one of that name.
    fn write(&mut self, name: u8, text: Option<u8>) {
        let name = "n".repeat(usize::from(name));
        let (before, write) = match text {
            Some(text) => {
                let line = Line { name, text: "t".repeat(usize::from(text)) };
                (self.lines.put(line.clone()), Write::Put(line))
            }
            None => match self.lines.take(&name) {
                None => return, // There is nothing to write.
                before => (before, Write::Remove(name)),
            },
        };
        self.log.write(before.as_ref(), write);
        self.history.push((self.log.head(), self.lines.clone()));
    }

    fn position(&self) -> Position {
        self.log.head().digest.position
    }

    /// The lines of one half of the names.
    fn chunk(&self, upper: bool) -> Vec<Line> {
        let half = self.lines.values().filter(|line| (line.name.len() >= 2) == upper);
        half.cloned().collect()
    }
}

/// A node with a copy.
struct Reader {
    copy: Copy<Line>,
    lines: Lines,
    /// What was merged so far.
    deltas: Vec<Delta<Line>>,
}

impl Reader {
    /// By a snapshot of an owner that has written nothing.
    fn new(owner: &Owner) -> Self {
        let (Head { digest, len }, _) = owner.history[0];
        let copy = Snapshot::new(self::owner(), digest.position).end(digest, len).unwrap();
        Self { copy, lines: Lines::new(), deltas: Vec::new() }
    }

    fn position(&self) -> Position {
        self.copy.head().digest.position
    }

    fn merge(&mut self, delta: &Delta<Line>) -> Result<(), MergeError> {
        self.deltas.push(delta.clone());
        self.copy.merge(&owner(), sent(delta), CHANGES_MAX, &mut self.lines)
    }

    /// Takes one delta of up to `max` writes. Returns whether there is one.
    fn follow(&mut self, owner: &Owner, max: usize) -> bool {
        let delta = owner.log.delta_since(self.position(), max);
        delta.map(|delta| self.merge(&delta).expect("it was asked for")).is_some()
    }

    /// Takes a snapshot that is read in two parts, with `writes` between them and deltas of `max` writes behind them.
    /// Returns whether the deltas were there.
    fn replace(&mut self, owner: &mut Owner, writes: &[(u8, Option<u8>)], max: usize) -> bool {
        let mut at = owner.position();
        let SnapshotFrame::<Line>::Begin(begin) = sent(&SnapshotFrame::<Line>::Begin(at)) else { panic!() };
        let (mut snapshot, mut lines) = (Snapshot::new(self::owner(), begin), Lines::new());
        snapshot.fill(&sent(&Packed(owner.chunk(false))).0, &mut lines);
        writes.iter().for_each(|(name, text)| owner.write(*name, *text));
        snapshot.fill(&sent(&Packed(owner.chunk(true))).0, &mut lines);
        while at != owner.position() {
            let Some(delta) = owner.log.delta_since(at, max) else { return false };
            snapshot.mend(&sent(&delta), &mut lines).expect("its deltas follow each other");
            at = delta.end();
        }
        let Head { digest, len } = owner.log.head();
        self.copy = snapshot.end(digest, len).expect("it adds up");
        self.lines = lines;
        true
    }
}

/// Changes that a copy remembers.
const CHANGES_MAX: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Write(u8, Option<u8>),
    /// The first copy takes a delta, or a snapshot if there is none.
    Follow(usize),
    /// A delta arrives again.
    Repeat(prop::sample::Index),
    /// A delta is skipped: the next one arrives without it.
    Skip,
    Replace(Vec<(u8, Option<u8>)>, usize),
    /// The second copy takes what the first one remembers.
    Relay,
}

fn write() -> impl Strategy<Value = (u8, Option<u8>)> {
    (0..4u8, prop::option::of(0..3u8))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => write().prop_map(|(name, text)| Step::Write(name, text)),
        4 => (1..4usize).prop_map(Step::Follow),
        1 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        1 => Just(Step::Skip),
        2 => (prop::collection::vec(write(), 0..5), 1..3usize)
            .prop_map(|(writes, max)| Step::Replace(writes, max)),
        3 => Just(Step::Relay),
    ]
}

proptest! {
    #[test]
    fn a_copy_of_any_records_is_the_owners_map_at_its_position(
        steps in prop::collection::vec(step(), 0..60),
        changes_max in 1..6usize,
    ) {
        let mut owner = Owner::new(changes_max);
        let (mut first, mut second) = (Reader::new(&owner), Reader::new(&owner));
        for step in steps {
            let reached = first.position();
            match step {
                Step::Write(name, text) => owner.write(name, text),
                Step::Follow(max) => {
                    if !first.follow(&owner, max) {
                        prop_assert!(first.replace(&mut owner, &[], max), "nothing is written meanwhile");
                    }
                }
                Step::Repeat(_) if first.deltas.is_empty() => {}
                Step::Repeat(index) => {
                    let delta = index.get(&first.deltas).clone();
                    prop_assert_eq!(first.merge(&delta), Ok(()));
                }
                Step::Skip => {
                    let next = Position { version: reached.version + 1, ..reached };
                    if let Some(delta) = owner.log.delta_since(next, 9).filter(|delta| !delta.is_empty()) {
                        let gap = MergeError::Gap { from: next.version, held: reached.version };
                        prop_assert_eq!(first.copy.merge(&self::owner(), delta, 9, &mut first.lines), Err(gap));
                    }
                }
                Step::Replace(writes, max) => {
                    first.replace(&mut owner, &writes, max);
                }
                Step::Relay => {
                    if let Some(delta) = first.copy.delta_since(second.position()) {
                        second.merge(&delta).expect("it was asked for");
                    }
                }
            }
            prop_assert!(first.position() >= reached, "a copy is never led back");
            for reader in [&first, &second] {
                let (head, lines) = &owner.history[reader.position().version as usize];
                prop_assert_eq!((reader.copy.head(), &reader.lines), (*head, lines));
            }
        }
    }
}

#[test]
fn a_truncated_delta_leads_to_where_the_owner_was() {
    let mut owner = Owner::new(8);
    for (name, text) in [(1, Some(1)), (2, Some(1)), (1, None), (3, Some(1))] {
        owner.write(name, text);
    }
    let delta = owner.log.delta_since(Reader::new(&owner).position(), 3).unwrap();
    assert_eq!((delta.from, delta.to, delta.hash), (0, 3, owner.history[3].0.digest.hash));
    assert_eq!((delta.upserts.0.len(), delta.removes.0.len()), (1, 1), "each key once");
}

#[test]
fn who_has_fallen_off_the_ring_or_is_of_another_history_needs_a_snapshot() {
    let mut owner = Owner::new(2);
    (0..3).for_each(|text| owner.write(1, Some(text)));
    let at = |incarnation, version| Position { incarnation: Incarnation(incarnation), version };
    let since = |position| owner.log.delta_since(position, 9).map(|delta| delta.len());
    assert_eq!([at(1, 0), at(1, 1), at(1, 3)].map(since), [None, Some(1), Some(0)]);
    assert_eq!([at(1, 4), at(0, 3), at(2, 0)].map(since), [None; 3]);
}

#[test]
fn a_copy_that_differs_from_its_owner_takes_nothing_more() {
    let mut owner = Owner::new(8);
    let mut reader = Reader::new(&owner);
    owner.write(1, Some(1));
    let mut delta = owner.log.delta_since(reader.position(), 9).unwrap();
    delta.upserts.0[0].text.push('!');
    assert_eq!(reader.merge(&delta), Err(MergeError::Diverged { owner: self::owner(), version: 1 }));
    assert!(!reader.copy.is_exact());
    owner.write(2, Some(1));
    let next = owner.log.delta_since(reader.position(), 9).unwrap();
    assert_eq!(reader.merge(&next), Err(MergeError::Gap { from: 1, held: 0 }));
    assert!(reader.replace(&mut owner, &[], 9));
    assert_eq!((reader.copy.is_exact(), &reader.lines), (true, &owner.lines));
}

#[test]
fn a_copy_that_was_found_to_be_wrong_is_distrusted_once_and_only_for_its_boot() {
    let owner = Owner::new(8);
    let mut reader = Reader::new(&owner);
    let digest = reader.copy.head().digest;
    let other = Digest { position: Position { incarnation: Incarnation(2), version: 0 }, hash: 0 };
    assert_eq!([other, digest, digest].map(|held| reader.copy.distrust(&held)), [false, true, false]);
}

#[test]
fn a_snapshot_that_stands_elsewhere_or_does_not_add_up_is_no_copy() {
    let mut owner = Owner::new(8);
    owner.write(1, Some(1));
    let Head { digest, len } = owner.log.head();
    let (mut snapshot, mut lines) = (Snapshot::new(self::owner(), digest.position), Lines::new());
    let diverged = MergeError::Diverged { owner: self::owner(), version: 1 };
    assert_eq!(snapshot.end::<Line>(digest, len).unwrap_err(), diverged, "a line is missing");
    snapshot.fill(&owner.chunk(false), &mut lines);
    assert_eq!(snapshot.end::<Line>(digest, len + 1).unwrap_err(), diverged);
    let later = Digest { position: Position { version: 2, ..digest.position }, ..digest };
    assert_eq!(snapshot.end::<Line>(later, len).unwrap_err(), MergeError::Order);
    assert!(snapshot.end::<Line>(digest, len).is_ok());
}

#[test]
fn packed_records_that_end_early_or_take_no_bytes_are_refused() {
    #[derive(Debug, PartialEq)]
    struct Nothing;
    impl Pack for Nothing {
        const BYTES_MIN: usize = 1;
        fn write(&self, _: &mut Vec<u8>) {}
        fn read(_: &mut &[u8]) -> Option<Self> {
            Some(Self)
        }
    }
    fn read<T: Pack>(bytes: &[u8]) -> Option<Packed<T>> {
        let config = bincode::config::standard();
        let frame = bincode::encode_to_vec(bytes, config).unwrap();
        bincode::serde::decode_from_slice(&frame, config).ok().map(|(packed, _)| packed)
    }
    let line = Line { name: "n".to_owned(), text: "t".to_owned() };
    assert_eq!(read(&[1, b'n', 1, b't']), Some(Packed(vec![line])));
    assert_eq!(read::<Line>(&[]), Some(Packed::default()));
    assert_eq!(
        [&[1, b'n'][..], &[1, b'n', 2, b't'], &[1, b'n', 1, 255]].map(read::<Line>),
        [None, None, None]
    );
    assert_eq!(read::<Nothing>(&[0]), None);
}
