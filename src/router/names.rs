//! The names behind hashed keys: asked of the owners, who alone keep them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::id::{NodeName, SessionKey};
use crate::key::{Key, KeyHasher};
use crate::limits;
use crate::receipt::Answer;
use crate::router::frame::Recipients;
use crate::router::operation::Operation;
use crate::router::requester::{Patience, Requester};
use crate::router::route;
use crate::section::Packed;

/// What owners told about the names of their sessions.
#[derive(Debug, Default)]
pub(crate) struct Names {
    told: BTreeMap<(NodeName, Key), Option<SessionKey>>,
    /// The owners that did not answer.
    pub(crate) silent: BTreeSet<NodeName>,
}

/// The answer of a session's owner about its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamesAnswer {
    /// It is there, with these names.
    Here(SessionKey),
    /// It is gone by now.
    Gone,
    /// Nothing: the owner did not answer.
    Nothing,
}

impl Names {
    /// Asks the owners of these sessions for the names, all at once, and waits so long at most.
    pub(super) async fn ask(
        requester: &Requester,
        hasher: &KeyHasher,
        push_timeout: Duration,
        sessions: impl IntoIterator<Item = (Key, NodeName)>,
    ) -> Self {
        let by_owner = sessions.into_iter().map(|(key, owner)| (owner, key));
        let deadline = Instant::now() + push_timeout;
        let plan = route::plan(by_owner, limits::SESSIONS_PAGE_MAX);
        let patience = Patience::of(plan.len(), deadline);
        let answers = plan.into_iter().map(|(owner, keys)| async move {
            let recipients = Recipients::Keys(Packed(keys.clone()));
            let pending = requester.send(&owner, recipients, &Operation::Describe);
            let answer = requester.answer(pending, patience).await;
            (owner, keys, answer)
        });
        let mut names = Self::default();
        for (owner, keys, answer) in join_all(answers).await {
            match answer {
                Ok(Answer::Sessions(told)) if told.len() == keys.len() => {
                    // A peer with another hash would tell another session.
                    let right = |(key, told): &(Key, Option<SessionKey>)| {
                        told.as_ref().is_none_or(|told| hasher.key(told) == *key)
                    };
                    let told = keys.into_iter().zip(told).filter(right);
                    names.told.extend(told.map(|(key, told)| ((owner.clone(), key), told)));
                }
                _ => {
                    names.silent.insert(owner);
                }
            }
        }
        names
    }

    /// What `owner` told of the session of `key`.
    pub(crate) fn of(&self, owner: &NodeName, key: Key) -> NamesAnswer {
        match self.told.get(&(owner.clone(), key)) {
            Some(Some(names)) => NamesAnswer::Here(names.clone()),
            Some(None) => NamesAnswer::Gone,
            None => NamesAnswer::Nothing,
        }
    }
}

impl NamesAnswer {
    /// The names, where they are known.
    pub(crate) fn names(self) -> Option<SessionKey> {
        match self {
            NamesAnswer::Here(names) => Some(names),
            NamesAnswer::Gone | NamesAnswer::Nothing => None,
        }
    }
}
