//! Clients of the fast level, questions between nodes about their sessions, and disputes: the product's `ownership` says
//! what is done next, and this does it over messages of the model and without sockets.
//!
//! Left out: relays, and the bound on a user's sessions.

use std::collections::VecDeque;

use pushmesh::config::Takeover;
use pushmesh::id::Stamp;
use pushmesh::internals::policy::{self, Fate};
use pushmesh::internals::{
    Answer, Ask, Claimed, Dispute, DisputeEffect, Ending, Key, Lost, Opening, OpeningEffect, Question, Rival,
    Timer, confirms, elsewhere, is_asked, stays, yields,
};
use pushmesh::{NodeName, limits};

use crate::id::NodeIndex;
use crate::model::boot::{Boot, Disputed, Session, Waiting, Waits};
use crate::model::client::key_of;
use crate::model::cluster::{Cluster, index_of};
use crate::model::due::Event;
use crate::model::message::{Asker, Message};
use crate::model::plan::{DEVICES, Token};

impl Cluster {
    /// A client connects to a node.
    pub(super) fn open(&mut self, user: u64, device: u64, node: NodeIndex, token: Token) {
        let Some(id) = self.running(node) else { return };
        let Some(mut boot) = self.boots[id].take() else { return };
        if !boot.left {
            let token = self.clients[(user * DEVICES + device) as usize].token(token);
            self.admit(&mut boot, user, device, token);
        }
        self.boots[id] = Some(boot);
    }

    fn admit(&mut self, boot: &mut Boot, user: u64, device: u64, token: Option<Stamp>) {
        let (key, takeover) = (key_of(user, device), self.plan.takeover);
        let shown = boot.replica.sessions_of(key.user);
        if policy::admit(takeover, usize::MAX, &shown, key.device, token).is_err() {
            return self.count(REFUSED);
        }
        let mut opening = Opening::new(boot.name.clone(), takeover, key.device, token);
        let effects = opening.begin(boot.replica.lookup(key).as_ref());
        self.streams += 1;
        let number = self.streams;
        let (waits, excludes) = (Waits::default(), Vec::new());
        boot.waiting.insert(
            number,
            Waiting { user, device, token, opening, claimed: None, waits, doubts: None, excludes },
        );
        self.go_on(boot, number, effects, true);
    }

    /// Does what is to be done next for a client that wants to connect. `begins`: it follows no answer.
    pub(super) fn go_on(&mut self, boot: &mut Boot, number: u64, effects: Vec<OpeningEffect>, begins: bool) {
        let (mut effects, mut at_once) = (VecDeque::from(effects), Vec::new());
        while let Some(effect) = effects.pop_front() {
            let Some(waiting) = boot.waiting.get(&number) else { return };
            let &Waiting { user, device, token, claimed, .. } = waiting;
            match effect {
                OpeningEffect::Start(timer) => {
                    let timer = self.start(boot, Asker::Opening(number), timer);
                    waits(boot, number).timer = timer;
                }
                OpeningEffect::Ask(ask) => {
                    let yields = matches!(ask.question, Question::Yield { .. });
                    self.count(match yields {
                        true if !begins => "session: asks the next owner",
                        true if claimed.is_some() => "session: asks whom its claim excludes",
                        true => "session: asks for the end of its earlier one",
                        false => "session: asks whether the older one is there",
                    });
                    if yields && begins {
                        waits(boot, number).asked.insert(ask.number);
                    }
                    let waiting = boot.waiting.get_mut(&number).expect("it was found a moment ago");
                    match ask.question {
                        Question::Yield { device, .. } => {
                            waiting.excludes.retain(|(held, _)| *held != device)
                        }
                        Question::Confirm { .. } => waiting.doubts = Some(ask.number),
                    }
                    let (key, asked) = (key_of(user, device), ask.number);
                    let answer = self.ask_owner(boot, key, ask, Asker::Opening(number), token);
                    at_once.extend(answer.map(|answer| (asked, answer)));
                }
                OpeningEffect::Claim { below } => match self.claim(boot, user, device, token, below) {
                    Some((Claimed { stamp, displaced, lost, .. }, yielded)) => {
                        self.supersede(boot, lost);
                        let excludes = self.excluded_elsewhere(
                            boot,
                            &boot.waiting[&number],
                            &displaced,
                            yielded.as_ref(),
                        );
                        let waiting = boot.waiting.get_mut(&number).expect("it was found a moment ago");
                        waiting.claimed = Some(stamp);
                        waiting.excludes = excludes;
                        let effects = waiting.opening.claimed(stamp, displaced, yielded.as_ref());
                        return self.go_on(boot, number, effects, true);
                    }
                    None => {
                        self.count(REFUSED);
                        boot.waiting.remove(&number);
                    }
                },
                OpeningEffect::Refuse => {
                    self.count(REFUSED);
                    boot.waiting.remove(&number);
                }
                OpeningEffect::Open { late } => {
                    self.check_opens(boot, &boot.waiting[&number]);
                    self.count(if late { "session: opened without an answer" } else { "session: open" });
                    boot.waiting.remove(&number);
                }
            }
        }
        // Who cannot be asked is as good as one that does not answer.
        for (asked, answer) in at_once {
            self.told(boot, None, Asker::Opening(number), asked, &answer);
        }
    }

    /// Starts a timer, and returns its number.
    pub(super) fn start(&mut self, boot: &Boot, asker: Asker, timer: Timer) -> u64 {
        self.streams += 1;
        let elapsed = Event::Elapsed { boot: boot.id, asker, timer: self.streams };
        self.queue.put(self.now + timer.after(limits::PUSH_TIMEOUT), elapsed);
        self.streams
    }

    /// Asks a node. The answer, if it is known at once.
    pub(super) fn ask_owner(
        &mut self,
        boot: &mut Boot,
        key: Key,
        ask: Ask,
        asker: Asker,
        proven: Option<Stamp>,
    ) -> Option<Answer> {
        let Ask { number, owner, question } = ask;
        let key = Key { device: question.device(), ..key };
        if owner == boot.name {
            return Some(self.answer_question(boot, &owner, key, question, proven));
        }
        let member = boot.overlay.members().find(|member| *member.name() == owner);
        let to = index_of(&owner);
        if !is_asked(member.map(|member| member.state())) || !boot.links.contains_key(&to) {
            return Some(Answer::Silent);
        }
        self.send(boot, to, Message::Ask { key, question, asker, number, proven });
        None
    }

    /// What a node says that is asked about a session.
    pub(super) fn answer_question(
        &mut self,
        boot: &mut Boot,
        from: &NodeName,
        key: Key,
        question: Question,
        proven: Option<Stamp>,
    ) -> Answer {
        let Some(held) = boot.sessions.get(&key) else {
            let shown = match question {
                Question::Yield { .. } => boot.replica.lookup_beside(key, from),
                Question::Confirm { .. } => boot.replica.lookup(key),
            };
            return elsewhere(&boot.name, shown);
        };
        let stamp = held.stamp;
        match question {
            Question::Confirm { stamp: asked, .. } => {
                let answer = confirms((stamp, held.ending.is_some()), asked);
                if answer == Answer::Yes {
                    self.check_confirms(boot, key, asked);
                }
                answer
            }
            Question::Yield { below, rival, .. } => {
                let (mine, theirs) = ((stamp, &boot.name), (below, from));
                let Some(yielding) = yields(self.plan.takeover, mine, theirs, rival) else {
                    return stays(&boot.name, stamp, rival);
                };
                self.count("session: yielded");
                self.check_yields(boot, key, stamp, (below, from), proven);
                self.end_session(boot, key, stamp, yielding.ending.clone());
                if yielding.says_so {
                    self.say_yielded(boot, key, stamp);
                }
                self.check_says_so(boot, key, stamp);
                let ending = boot.sessions.get(&key).and_then(|session| session.ending.clone());
                yielding.answer(from, ending.map(|(ending, _)| ending))
            }
        }
    }

    /// The answer to a question arrives, of that node; without one nobody could be asked.
    pub(super) fn told(
        &mut self,
        boot: &mut Boot,
        from: Option<NodeIndex>,
        asker: Asker,
        number: u64,
        answer: &Answer,
    ) {
        match asker {
            Asker::Opening(opening) => {
                let Some(waiting) = boot.waiting.get_mut(&opening) else { return };
                let first = waiting.waits.asked.remove(&number);
                let stays = waiting.doubts == Some(number) && *answer == Answer::Yes;
                let effects = waiting.opening.answered(number, answer);
                if stays {
                    self.check_refused(boot, &effects);
                }
                let asks = effects.iter().find_map(|effect| match effect {
                    OpeningEffect::Ask(ask) => Some(&ask.owner),
                    _ => None,
                });
                self.check_followed(boot, from.filter(|_| first), answer, asks);
                self.go_on(boot, opening, effects, false);
            }
            Asker::Session(key, stamp) => {
                let Some(disputed) = disputed(boot, key, stamp) else { return };
                let first = disputed.waits.asked.remove(&number);
                let effects = disputed.dispute.answered(number, answer);
                let asks = effects.iter().find_map(|effect| match effect {
                    DisputeEffect::Ask(ask) => Some(&ask.owner),
                    _ => None,
                });
                self.check_followed(boot, from.filter(|_| first), answer, asks);
                self.settle_dispute(boot, key, stamp, effects, false);
            }
        }
    }

    /// Who had to let go before names the next owner, who is asked as well.
    fn check_followed(
        &mut self,
        boot: &Boot,
        from: Option<NodeIndex>,
        answer: &Answer,
        asks: Option<&NodeName>,
    ) {
        let (Some(from), Answer::Moved { owner, .. }) = (from, answer) else { return };
        if *owner != boot.name && *owner != self.names[from] && asks != Some(owner) {
            let (me, from) = (&boot.name, &self.names[from]);
            let what = format!("{me} hears of {from} that {owner} has the session, and asks {asks:?}");
            self.fail("a session that is to end is followed to its next owner", what);
        }
    }

    /// A timer has elapsed.
    pub(super) fn elapsed(&mut self, boot: &mut Boot, asker: Asker, timer: u64) {
        let ends = |waits: &mut Waits| {
            let ends = waits.timer == timer;
            if ends {
                waits.asked.clear();
            }
            ends
        };
        match asker {
            Asker::Opening(number) => {
                let Some(waiting) = boot.waiting.get_mut(&number) else { return };
                if ends(&mut waiting.waits) {
                    let effects = waiting.opening.elapsed();
                    self.go_on(boot, number, effects, true);
                }
            }
            Asker::Session(key, stamp) => {
                let Some(disputed) = disputed(boot, key, stamp) else { return };
                if ends(&mut disputed.waits) {
                    let effects = disputed.dispute.elapsed();
                    self.settle_dispute(boot, key, stamp, effects, true);
                }
            }
        }
    }

    /// Sessions of a node lost against other claims.
    pub(super) fn supersede(&mut self, boot: &mut Boot, lost: Vec<Lost>) {
        for lost in lost {
            self.check_lost(boot, &lost);
            self.count("session: takeover lost");
            if lost.rival == Rival::OtherDevice {
                self.count(match self.plan.takeover {
                    Takeover::MaxPerUser(2..) => "session: no room beside two others",
                    _ => "session: no room beside another one",
                });
            }
            let Lost { key, stamp, winner, winner_stamp, rival } = lost;
            let Some(session) = held(boot, key, stamp).filter(|held| held.ending.is_none()) else { continue };
            match policy::fate(self.plan.takeover, session.succeeds, winner_stamp) {
                Fate::Closes => {
                    self.end_session(boot, key, stamp, Ending::of(rival, winner, winner_stamp));
                }
                Fate::Disputed if session.dispute.is_none() => {
                    let me = boot.name.clone();
                    let session = held(boot, key, stamp).expect("it was found a moment ago");
                    let mut dispute = Dispute::new(me, key.device, stamp, session.succeeds);
                    let effects = dispute.begin();
                    session.dispute = Some(Disputed { dispute, waits: Waits::default() });
                    self.count("session: disputed");
                    self.settle_dispute(boot, key, stamp, effects, true);
                }
                Fate::Disputed => {}
            }
        }
    }

    /// Does what is to be done next in a dispute. `begins`: it follows no answer.
    fn settle_dispute(
        &mut self,
        boot: &mut Boot,
        key: Key,
        stamp: Stamp,
        effects: Vec<DisputeEffect>,
        mut begins: bool,
    ) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let rival = boot.replica.rival(key);
            let Some(session) = held(boot, key, stamp) else { return };
            let (ends, succeeds) = (session.ending.is_some(), session.succeeds);
            let Some(disputed) = session.dispute.as_mut() else { return };
            match effect {
                DisputeEffect::Look => {
                    let opposition = disputed.dispute.opposition(ends, rival);
                    effects.extend(disputed.dispute.looked(opposition));
                    begins = true;
                }
                DisputeEffect::Start(timer) => {
                    let timer = self.start(boot, Asker::Session(key, stamp), timer);
                    self::disputed(boot, key, stamp).expect("it is disputed").waits.timer = timer;
                }
                DisputeEffect::Ask(ask) => {
                    if matches!(ask.question, Question::Yield { .. }) && begins {
                        disputed.waits.asked.insert(ask.number);
                    }
                    match ask.question {
                        Question::Yield { .. } if begins => self.count("session: insists"),
                        Question::Yield { .. } => self.count("session: asks the next owner"),
                        Question::Confirm { stamp: asked, .. } => {
                            let shown = rival.map(|held| (held.owner, held.stamp));
                            if shown != Some((ask.owner.clone(), asked)) {
                                let what = format!("{} sees {shown:?}, and asks {ask:?}", boot.name);
                                self.fail("a session gives way only to a claim that stands against it", what);
                            }
                        }
                    }
                    let (number, asker) = (ask.number, Asker::Session(key, stamp));
                    if let Some(answer) = self.ask_owner(boot, key, ask, asker, succeeds) {
                        return self.told(boot, None, asker, number, &answer);
                    }
                }
                DisputeEffect::Close(ending) => {
                    self.count("session: gives way");
                    self.check_gives_way(boot, key, &ending);
                    self.end_session(boot, key, stamp, ending);
                    self.say_yielded(boot, key, stamp);
                }
                DisputeEffect::Over => session.dispute = None,
            }
        }
    }
}

/// What a client waits for that is about to be a session.
fn waits(boot: &mut Boot, number: u64) -> &mut Waits {
    &mut boot.waiting.get_mut(&number).expect("it was found a moment ago").waits
}

/// The session of a key that was claimed with that stamp.
fn held(boot: &mut Boot, key: Key, stamp: Stamp) -> Option<&mut Session> {
    boot.sessions.get_mut(&key).filter(|held| held.stamp == stamp)
}

/// Its dispute.
fn disputed(boot: &mut Boot, key: Key, stamp: Stamp) -> Option<&mut Disputed> {
    held(boot, key, stamp)?.dispute.as_mut()
}

const REFUSED: &str = "session: refused, because an older one stays";
