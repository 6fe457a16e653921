//! What happened at least sometimes: a simulation that never meets a case does not check it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pushmesh::Outcome;

use crate::aim::Aim;
use crate::answer::Answer;
use crate::ask::Ask;
use crate::decision::{Decision, Ended, Why};
use crate::event::{End, Event, Way};
use crate::host::Boot;
use crate::plan::Step;
use crate::reply::Reply;
use crate::settings::Settings;

mod counted;
mod faults;
mod keeping;
mod together;

use counted::Counted;
use faults::Faults;
use keeping::KeepingCases;
use together::Together;

/// How often each case was met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    cases: BTreeMap<String, u64>,
    counted: Counted,
    faults: Faults,
    together: Together,
    keeping: KeepingCases,
}

impl Coverage {
    /// A case was met that often.
    pub(crate) fn count(&mut self, case: impl Into<String>, times: u64) {
        *self.cases.entry(case.into()).or_default() += times;
    }

    /// A run with these settings begins, whose nodes' wall clocks are so far ahead.
    pub(crate) fn begin(&mut self, settings: &Settings, skews_ms: &[i64]) {
        self.faults = Faults::new(skews_ms);
        let usual = Settings::default();
        self.count(format!("policy: {}", settings.takeover), 1);
        self.count("settings: small outbox", u64::from(settings.outbox_messages < usual.outbox_messages));
        self.count("settings: sessions are kept", u64::from(settings.keeping.is_some()));
        self.count(
            "settings: few messages are kept",
            u64::from(settings.kept_messages < usual.kept_messages),
        );
        self.count("settings: two versions", u64::from(settings.mixed_versions));
        self.count("settings: short heartbeat", u64::from(settings.is_watchful()));
        self.count("settings: small TCP window", u64::from(settings.tcp_segments < usual.tcp_segments));
    }

    /// A step of the plan was done.
    pub(crate) fn step(&mut self, step: &Step) {
        for case in self.faults.step(step) {
            self.count(case, 1);
        }
        match step {
            Step::Break { .. } => self.count("client: breaks its socket", 1),
            Step::Leave { .. } => self.count("client: leaves", 1),
            _ => {}
        }
    }

    /// Something happened.
    pub(crate) fn event(&mut self, event: &Event) {
        let cases = [self.together.event(event), self.keeping.event(event)];
        cases.into_iter().flatten().for_each(|case| self.count(case, 1));
        match event {
            Event::Opened { .. } => self.count("client: connected", 1),
            Event::Refused { why, .. } => {
                // An answer of a node is told by its status, anything else by its first words, and by no
                // address, of which each would be a case of its own.
                let refused = why.parse::<SocketAddr>().is_ok();
                let why = if refused { "nobody listens" } else { why.as_str() };
                let why: String = why.chars().filter(|letter| !letter.is_control()).take(40).collect();
                self.count(format!("client: refused: {why}"), 1);
            }
            Event::Ended { end, .. } => self.count(
                match end {
                    End::Closed(Some(code)) => format!("client: closed with {code}"),
                    End::Closed(None) => "client: closed".to_owned(),
                    End::Dropped => "client: dropped".to_owned(),
                    End::Reset => "client: reset by a crash".to_owned(),
                    End::Broken(_) => "client: broken".to_owned(),
                },
                1,
            ),
            Event::Got { .. } => self.count("push: received", 1),
            Event::Pushed { aim, way, .. } => {
                let way = match way {
                    Way::Embedded { .. } => "",
                    Way::Http => " over HTTP",
                    Way::Line(_) => " in a batch",
                };
                let aim = if *aim == Aim::All { "broadcast" } else { "to a session or a user" };
                self.count(format!("push: {aim}{way}"), 1);
            }
            Event::Answered { sessions, .. } => self.outcomes("outcome", sessions),
            Event::Called { ask, .. } => self.count(
                match ask {
                    Ask::Push(..) => "call: push",
                    Ask::Repeat { .. } => "call: push that may be made again",
                    Ask::Batch(_) => "call: batch",
                    Ask::Kick(_) => "call: disconnect",
                    Ask::List { .. } => "call: list of sessions",
                    Ask::Who(_) => "call: presence of a user",
                    Ask::Explain(_) => "call: explain",
                    Ask::Stats => "call: stats",
                    Ask::Nodes => "call: nodes",
                },
                1,
            ),
            Event::Replied { status, reply, .. } => {
                self.count(format!("call: answered with {status}"), 1);
                match reply {
                    Reply::Refused(code) => self.count(format!("call: refused as {code}"), 1),
                    Reply::Kicked(sessions) => self.outcomes("disconnect", sessions),
                    Reply::Pushed(fates) => {
                        let reused = fates.iter().flat_map(|fate| &fate.sessions);
                        let reused = reused.filter(|at| at.outcome == Outcome::IdReused).count();
                        self.count("outcome: id_reused", reused as u64);
                    }
                    Reply::Listed { silent, .. } | Reply::Present { silent, .. } => {
                        self.count("call: a node could not be asked", u64::from(!silent.is_empty()));
                    }
                    _ => {}
                }
            }
            Event::Decided { decision: Decision::Ended(Ended { why, .. }), .. } => self.count(
                match why {
                    Why::Replaced => "session: ends, claimed anew by its node",
                    Why::Lost => "session: ends, excluded by a claim that is shown",
                    Why::Disputed => "session: ends, an older claim is confirmed",
                    Why::Asked => "session: ends, another node has asked for it",
                },
                1,
            ),
            Event::Decided { decision: Decision::Heard { asked, answer }, .. } => {
                let when = if asked.stamp.is_some() { "of a session" } else { "at the door" };
                let (question, answer) = (asked.question.as_str(), answer.as_str());
                self.count(format!("session: question {when}: {question}: {answer}"), 1);
            }
            Event::Lost { .. } => self.count("call: no answer", 1),
            Event::Dialled { resumed: Some(_), .. } => self.count("client: shows its resume token", 1),
            Event::Welcomed { .. } => self.count("client: welcomed", 1),
            Event::Enveloped { .. } => self.count("client: received an envelope", 1),
            Event::Stalled { .. } => self.count("client: stops to read", 1),
            Event::Heard { .. } => self.count("client: message heard", 1),
            Event::Failed { .. } => self.count("node: cannot go on", 1),
            Event::BeginsAgain { .. } => self.count("node: begins again", 1),
            _ => {}
        }
    }

    /// A millisecond is over; looks now and then at what the nodes have counted.
    pub(crate) fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) {
        for (case, times) in self.counted.tick(now_ms, boots) {
            self.count(case, times);
        }
    }

    fn outcomes(&mut self, what: &str, sessions: &[Answer]) {
        for answer in sessions {
            let nameless = if answer.client.is_none() { ", no name" } else { "" };
            let word = match answer.outcome {
                Outcome::Delivered if what == "disconnect" => "disconnected",
                _ => answer.outcome.as_str(),
            };
            self.count(format!("{what}: {word}{nameless}"), 1);
        }
    }

    /// The cases with their numbers, in a fixed order.
    pub(crate) fn cases(&self) -> impl Iterator<Item = (&str, u64)> {
        self.cases.iter().map(|(case, times)| (case.as_str(), *times))
    }
}

/// The cases that a swarm of so many runs has to meet.
pub(crate) fn required(runs: u64) -> impl Iterator<Item = &'static str> {
    let of = |cases: &'static [&str], from_runs| if runs >= from_runs { cases } else { &[] };
    of(REQUIRED, REQUIRED_FROM_RUNS).iter().chain(of(RARE, RARE_FROM_RUNS)).copied()
}

/// The cases that every swarm has to meet, by their names in its table. Measured: each happens in half of
/// the runs or more, so that a swarm of [`REQUIRED_FROM_RUNS`] misses one by chance once in a million times.
const REQUIRED: &[&str] = &[
    "call: answered with 200",
    "call: batch",
    "call: disconnect",
    "call: explain",
    "call: list of sessions",
    "call: presence of a user",
    "call: push that may be made again",
    "call: refused as isolated",
    "call: refused as not_ready",
    "checked: answers about who is there",
    "checked: answers of nodes that join",
    "checked: answers to pushes and calls",
    "checked: boots watched",
    "checked: calls, pushes and connects answered",
    "checked: claims compared with all rows",
    "checked: clients silent for too long",
    "checked: copies compared with their owner",
    "checked: decisions about sessions, and closes for another one",
    "checked: deliveries promised",
    "checked: dials answered",
    "checked: ends of connections and lost calls explained",
    "checked: envelopes",
    "checked: frames compared with the one before",
    "checked: frames received",
    "checked: looks at how much a node holds",
    "checked: looks for clients that are gone",
    "checked: looks for copies that were found wrong",
    "checked: milliseconds watched for panics",
    "checked: messages of clients heard",
    "checked: messages of sessions that have let go",
    "checked: messages that kept sessions accepted, and sessions that are over",
    "checked: nodes that reach each other",
    "checked: numbers of kept sessions",
    "checked: pushes called acked or queued",
    "checked: pushes called stored",
    "checked: returns to kept sessions",
    "checked: sessions called disconnected",
    "checked: signs of boots that are over, ignored",
    "client: breaks its socket",
    "client: closed with 1007", // It sent a text that is none.
    "client: closed with 1008", // It was silent for too long.
    "client: closed with 1009", // Its message was too big.
    "client: closed with 1012", // Its node stops in good order.
    "client: closed with 4001", // A takeover.
    "client: closed with 4002", // A backend disconnects it.
    "client: connected once more to its node",
    "client: connected to two nodes",
    "client: leaves",
    "client: refused: HTTP error: 503 Service Unavailable",
    "client: refused: no answer",
    "client: reset by a crash",
    "client: shows its resume token",
    "client: stops to read",
    "disconnect: disconnected",
    "fault: crash",
    "fault: large packets swallowed",
    "fault: one-way partition",
    "fault: packets corrupted",
    "fault: packets lost, doubled, reordered",
    "fault: partition",
    "fault: restart",
    "fault: slow paths",
    "fault: stop in good order",
    "fault: tasks run late",
    "fault: wall clock set",
    "kept: a message comes again",
    "kept: a message comes whose owner has crashed, from who held it",
    "kept: a session is kept on whose owner is gone",
    "kept: a segment is closed",
    "kept: a tail goes to the next owner",
    "kept: partial, after waiting",
    "kept: welcomed as complete",
    "kept: welcomed as none",
    "kept: welcomed as pending",
    "node: called one dead that runs",
    "node: delta taken",
    "node: message begun at once",
    "node: message written at once",
    "node: message written by its session's task",
    "node: doubted itself",
    "node: previous owner did not answer",
    "node: refused a boot that is over",
    "node: request passed on for another one",
    "node: rows swept",
    "node: section pulled from a third node",
    "node: session taken over",
    "node: snapshot taken",
    "node: was isolated",
    "outcome: acked",
    "outcome: delivered",
    "outcome: id_reused",
    "outcome: queued",
    "packets: corrupted",
    "packets: cut off",
    "packets: doubled",
    "packets: held back",
    "packets: lost",
    "packets: slow",
    "packets: swallowed",
    "outcome: no_session",
    "outcome: unreachable",
    "push: broadcast",
    "push: broadcast in a batch",
    "push: broadcast over HTTP",
    "push: received",
    "push: to a session or a user",
    "push: to a session or a user in a batch",
    "push: to a session or a user over HTTP",
    "session: ends, another node has asked for it",
    "session: ends, claimed anew by its node",
    "session: ends, excluded by a claim that is shown",
    "settings: sessions are kept",
    "settings: small TCP window",
    "settings: small outbox",
    "settings: two versions",
];

/// The cases that only a long swarm has to meet. Measured: each happens in one of thirty runs or more.
const RARE: &[&str] = &[
    "checked: gaps of kept sessions",
    "checked: pushes said not to be written",
    "client: closed with 4004", // It did not read for too long.
    "client: connected to three nodes",
    "client: refused: HTTP error: 409 Conflict",
    "core: with a node that is slow",
    "core: without a node that hears nobody",
    "core: without a node that is cut off",
    "core: without a node that is dead",
    "core: without a node that nobody hears",
    "fault: a node holds still",
    "fault: clock set back across a restart",
    "fault: mass restart",
    "fault: one node isolated",
    "fault: replaced by a node of another name",
    "fault: restart with an empty disk",
    "fault: rolling restart",
    "kept: a client goes for good",
    "kept: a client shows a forged position",
    "kept: a client shows half of a position",
    "kept: a client shows no positions",
    "kept: a client shows old positions",
    "kept: a gap of what expired",
    "kept: a gap of what was acknowledged",
    "kept: a tail finds nobody",
    "kept: a tail goes from a node that stops",
    "kept: a tail goes over a third node",
    "kept: an acknowledgement of what was not sent",
    "kept: complete after all",
    "kept: welcomed as partial",
    "node: digest of an older boot refused",
    "node: forgot a dead one",
    "node: remembers one whose place another one has",
    "node: snapshot came too late",
    "outcome: buffered",
    "outcome: interrupted",
    "outcome: overloaded",
    "packets: held",
    "policy: max-per-user=1",
    "policy: max-per-user=2",
    "session: ends, an older claim is confirmed",
    "settings: few messages are kept",
    "policy: one-per-user",
    "policy: reject-newer",
];

/// A swarm of fewer runs may miss some. Arithmetic: half to the power of 20 is one in a million.
const REQUIRED_FROM_RUNS: u64 = 20;
/// The same of [`RARE`]. Arithmetic: 29/30 to the power of 400 is one in a million.
const RARE_FROM_RUNS: u64 = 400;
/// Shorter runs meet too little. Source: the default, where the figures above were measured.
pub(crate) const REQUIRED_FROM_SECONDS: u16 = 60;
