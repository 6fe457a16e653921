//! What nodes log of their decisions about sessions, read back: `src/router/decisions.rs` of the product writes it.

use std::collections::BTreeMap;

use pushmesh::NodeName;
use pushmesh::id::Stamp;
use pushmesh::internals::{Answer, DeviceHash, Question, Rival};

use crate::id::{ClientIndex, client_of, user_named};
use crate::position::{Position, Segment};

/// A decision of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// It has claimed a session.
    Claimed {
        /// Whose.
        client: ClientIndex,
        /// With which stamp.
        stamp: u64,
        /// The stamp that the client has proven.
        resumed: Option<u64>,
        /// The client is away: nobody has connected.
        away: bool,
    },
    /// It asks an owner.
    Asked(Asked),
    /// It has heard the answer.
    Heard {
        /// To which question.
        asked: Asked,
        /// What.
        answer: Answer,
    },
    /// It answers a question.
    Answered {
        /// Who has asked, where the question says that.
        by: Option<NodeName>,
        /// About a session of which user.
        user: usize,
        /// What.
        question: Question,
        /// The stamp of the session that it has.
        held: Option<u64>,
        /// What it says.
        answer: Answer,
    },
    /// A session of it ends for another claim.
    Ended(Ended),
    /// Others hold a message for it.
    Stored(Stored),
    /// It has tried to hand over what a session owes its client.
    HandedOver(HandedOver),
    /// It is about to take over the session of a client that is away, whose owner is gone.
    KeepsOn {
        /// Whose.
        client: ClientIndex,
        /// With which stamp that owner has claimed it.
        stamp: u64,
        /// Which one.
        owner: NodeName,
    },
    /// It has tried to.
    KeptOn {
        /// Whose.
        client: ClientIndex,
        /// Whether it is there now.
        kept: bool,
    },
    /// It has taken over what other nodes have held of a segment: what the owner of that has accepted beside is numbered anew.
    Sealed {
        /// Of whose session.
        client: ClientIndex,
        /// Which one.
        segment: Segment,
    },
}

/// A question, as its node asks it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// For which client.
    pub(crate) client: ClientIndex,
    /// With which stamp its session is claimed; `None` at the door.
    pub(crate) stamp: Option<u64>,
    /// The stamp that the client has proven. Not told with an answer.
    pub(crate) resumed: Option<u64>,
    /// Which node is asked.
    pub(crate) owner: NodeName,
    /// What.
    pub(crate) question: Question,
}

/// The end of a session for another claim.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    /// Whose session.
    pub(crate) client: ClientIndex,
    /// With which stamp.
    pub(crate) stamp: u64,
    /// Why.
    pub(crate) why: Why,
    /// Which node made the other claim.
    pub(crate) winner: NodeName,
    /// With which stamp.
    pub(crate) winner_stamp: u64,
    /// Of which session.
    pub(crate) rival: Rival,
}

/// A message that others hold for the owner of its session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    /// Whose session.
    pub(crate) client: ClientIndex,
    /// Where it stands.
    pub(crate) at: Position,
    /// The id of the message.
    pub(crate) id: String,
    /// Which nodes have said that they hold it.
    pub(crate) members: Vec<NodeName>,
}

/// A try to hand over what a session owes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HandedOver {
    /// Whose session.
    pub(crate) client: ClientIndex,
    /// With which stamp.
    pub(crate) stamp: u64,
    /// To which node.
    pub(crate) to: NodeName,
    /// Whether it went over a third node.
    pub(crate) relayed: bool,
    /// How many messages it had.
    pub(crate) messages: u64,
    /// Whether that node has it now.
    pub(crate) taken: bool,
}

/// Why a session ends for another claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// A later claim of the same node has taken its key.
    Replaced,
    /// The directory shows the other claim.
    Lost,
    /// The owner of the other claim has confirmed it in a dispute.
    Disputed,
    /// The node of the other claim has asked for that.
    Asked,
}

/// The fields of a line of the log, by name; the text is `message`.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(crate) BTreeMap<&'static str, String>);

impl Fields {
    /// The node and its decision. `None`: the line is not as the product writes it.
    pub(crate) fn decision(&self) -> Option<(NodeName, Decision)> {
        let decision = match self.0.get("message")?.as_str() {
            "a session is claimed" => Decision::Claimed {
                client: self.client()?,
                stamp: self.number("stamp")?,
                resumed: self.number("resumed"),
                away: self.0.get("away")?.parse().ok()?,
            },
            "an owner is asked" => Decision::Asked(self.asked()?),
            "an owner's answer is known" => Decision::Heard { asked: self.asked()?, answer: self.answer()? },
            "a question is answered" => Decision::Answered {
                by: self.name("by"),
                user: user_named(self.0.get("user")?)?,
                question: self.question()?,
                held: self.number("held"),
                answer: self.answer()?,
            },
            "a session ends for another claim" => Decision::Ended(Ended {
                client: self.client()?,
                stamp: self.number("stamp")?,
                why: self.why()?,
                winner: self.name("owner")?,
                winner_stamp: self.number("bound")?,
                rival: self.rival()?,
            }),
            "a segment is sealed" => {
                Decision::Sealed { client: self.client()?, segment: Segment::new(self.0.get("segment")?)? }
            }
            "a session is to be kept on" => Decision::KeepsOn {
                client: self.client()?,
                stamp: self.number("stamp")?,
                owner: self.name("owner")?,
            },
            "a session is kept on" => {
                Decision::KeptOn { client: self.client()?, kept: self.0.get("outcome")? == "delivered" }
            }
            "other nodes hold a message" => Decision::Stored(Stored {
                client: self.client()?,
                at: Position::new(self.0.get("at")?)?,
                id: self.0.get("id")?.clone(),
                members: self
                    .0
                    .get("members")?
                    .split(',')
                    .map(NodeName::new)
                    .collect::<Result<_, _>>()
                    .ok()?,
            }),
            "what a session owes is handed over" => Decision::HandedOver(HandedOver {
                client: self.client()?,
                stamp: self.number("stamp")?,
                to: self.name("owner")?,
                relayed: self.0.get("relayed")?.parse().ok()?,
                messages: self.number("messages")?,
                taken: self.0.get("outcome")? == "delivered",
            }),
            _ => return None,
        };
        Some((self.name("node")?, decision))
    }

    fn asked(&self) -> Option<Asked> {
        Some(Asked {
            client: self.client()?,
            stamp: self.number("stamp"),
            resumed: self.number("resumed"),
            owner: self.name("owner")?,
            question: self.question()?,
        })
    }

    fn question(&self) -> Option<Question> {
        let device = DeviceHash(u64::from_str_radix(self.0.get("device")?, 16).ok()?);
        let stamp = self.stamp("bound")?;
        match self.0.get("question")?.as_str() {
            "yield" => Some(Question::Yield { device, below: stamp, rival: self.rival()? }),
            "confirm" => Some(Question::Confirm { device, stamp }),
            _ => None,
        }
    }

    fn answer(&self) -> Option<Answer> {
        match self.0.get("answer")?.as_str() {
            "yes" => Some(Answer::Yes),
            "no" => Some(Answer::No),
            "moved" => Some(Answer::Moved { owner: self.name("next")?, stamp: self.stamp("next_stamp")? }),
            "silent" => Some(Answer::Silent),
            _ => None,
        }
    }

    fn why(&self) -> Option<Why> {
        match self.0.get("why")?.as_str() {
            "replaced" => Some(Why::Replaced),
            "lost" => Some(Why::Lost),
            "disputed" => Some(Why::Disputed),
            "asked" => Some(Why::Asked),
            _ => None,
        }
    }

    fn rival(&self) -> Option<Rival> {
        match self.0.get("rival")?.as_str() {
            "same_device" => Some(Rival::SameDevice),
            "other_device" => Some(Rival::OtherDevice),
            _ => None,
        }
    }

    fn client(&self) -> Option<ClientIndex> {
        client_of(self.0.get("key")?.split_once('/')?.1)
    }

    fn name(&self, field: &str) -> Option<NodeName> {
        NodeName::new(self.0.get(field)?).ok()
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.0.get(field)?.parse().ok()
    }

    fn stamp(&self, field: &str) -> Option<Stamp> {
        self.number(field).map(Stamp::from_raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_is_written_and_no_other_one_is() {
        let read = |fields: &[(&'static str, &str)]| {
            Fields(fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()).decision()
        };
        let question = [("question", "yield"), ("device", "00ff"), ("bound", "9"), ("rival", "other_device")];
        let asked = [&[("message", "an owner is asked"), ("node", "n1"), ("key", "u3/d5")], &question[..]];
        let asked = [&asked.concat()[..], &[("owner", "n2"), ("stamp", "9")]].concat();
        let expected = Asked {
            client: 5,
            stamp: Some(9),
            resumed: None,
            owner: NodeName::new("n2").unwrap(),
            question: Question::Yield {
                device: DeviceHash(0xff),
                below: Stamp::from_raw(9),
                rival: Rival::OtherDevice,
            },
        };
        assert_eq!(read(&asked), Some((NodeName::new("n1").unwrap(), Decision::Asked(expected))));
        for missing in ["message", "node", "key", "owner", "question", "device", "bound", "rival"] {
            let rest: Vec<_> = asked.iter().copied().filter(|(name, _)| *name != missing).collect();
            assert_eq!(read(&rest), None, "{missing}");
        }
    }
}
