//! The same frames with their messages in another form: as they travel, or as they are held.

use crate::quorum::frame::{Entry, Held, Op, SealAnswer, ToMember};

impl<M> Entry<M> {
    /// The same with its message in another form.
    pub fn map<N>(self, form: impl FnOnce(M) -> N) -> Entry<N> {
        let Self { key, claim, at, message } = self;
        Entry { key, claim, at, message: form(message) }
    }
}

impl<M> Op<M> {
    /// The same with its message in another form.
    pub fn map<N>(self, form: impl FnOnce(M) -> N) -> Op<N> {
        match self {
            Op::Append(entry) => Op::Append(entry.map(form)),
            Op::Follow { key, claim, owners } => Op::Follow { key, claim, owners },
            Op::Trim { key, upto } => Op::Trim { key, upto },
            Op::Drop { key, claim } => Op::Drop { key, claim },
            Op::Fence { key, fence } => Op::Fence { key, fence },
            Op::Release(release) => Op::Release(release),
        }
    }
}

impl<M> Held<M> {
    /// The same with its messages in another form.
    pub fn map<N>(self, mut form: impl FnMut(M) -> N) -> Held<N> {
        let Self { entries, follows, fences } = self;
        let entries = entries.into_iter().map(|entry| entry.map(&mut form)).collect();
        Held { entries, follows, fences }
    }
}

impl<M> ToMember<M> {
    /// The same with its messages in another form.
    pub fn map<N>(self, form: impl FnMut(M) -> N) -> ToMember<N> {
        match self {
            ToMember::Open { config, place, held } => ToMember::Open { config, place, held: held.map(form) },
            ToMember::Logged { place, op } => ToMember::Logged { place, op: op.map(form) },
            ToMember::Propose { configs } => ToMember::Propose { configs },
        }
    }
}

impl<M> SealAnswer<M> {
    /// The same with its messages in another form.
    pub fn map<N>(self, mut form: impl FnMut(M) -> N) -> SealAnswer<N> {
        match self {
            SealAnswer::Tail { epoch, configs, entries, beyond } => {
                let entries = entries.into_iter().map(|entry| entry.map(&mut form)).collect();
                SealAnswer::Tail { epoch, configs, entries, beyond }
            }
            SealAnswer::Unknown => SealAnswer::Unknown,
            SealAnswer::Newer(configs) => SealAnswer::Newer(configs),
            SealAnswer::Refused(fence) => SealAnswer::Refused(fence),
        }
    }
}
