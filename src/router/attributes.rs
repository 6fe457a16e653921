//! The attributes of any session: asked of its owner, wherever that is, and followed when the session moves.

use std::sync::Arc;

use tokio::time::Instant;

use crate::attributes::{Attributes, AttributesError, Change, Changed};
use crate::id::{NodeName, SessionKey};
use crate::push::{Knowledge, Outcome};
use crate::receipt::Answer;
use crate::router::frame::Recipients;
use crate::router::requester::Patience;
use crate::router::route::{self, Follow, Hop};
use crate::router::{Operation, Router};

impl Router {
    /// Reads or changes the attributes of a session, within the push timeout. Returns them as they are from then on.
    ///
    /// # Errors
    /// [`AttributesError`].
    pub(crate) async fn attributes(
        &self,
        names: &SessionKey,
        change: Change,
    ) -> Result<Attributes, AttributesError> {
        // Before the look-up: what is known only after it was not looked at.
        let knowledge = self.knowledge();
        let key = self.parts.replica.hasher().key(names);
        let Some(found) = self.parts.replica.lookup(key) else { return Err(nowhere(knowledge)) };
        let (mut owner, mut stamp) = (found.owner, found.stamp);
        let operation = Operation::Attributes(Arc::new(change));
        let patience = Patience::until(Instant::now() + self.parts.push_timeout);
        for number in 0.. {
            let outcome = match self.ask_for_attributes(names, &owner, &operation, patience).await {
                Ok(changed) => return told(changed),
                Err(outcome) => outcome,
            };
            let visible = || self.parts.replica.lookup_other(key, &owner, stamp);
            match route::follow(outcome, &Hop { owner: &owner, stamp, number }, visible) {
                Follow::Retry { owner: next, stamp: later } => (owner, stamp) = (next, later),
                Follow::Done(outcome) => return Err(self.refused(&owner, &outcome, knowledge)),
            }
        }
        unreachable!("a session is followed a few times at most")
    }

    async fn ask_for_attributes(
        &self,
        names: &SessionKey,
        owner: &NodeName,
        operation: &Operation,
        patience: Patience,
    ) -> Result<Changed, Outcome> {
        let pending = self.requester.send(owner, Recipients::Session(names.clone()), operation);
        match self.requester.answer(pending, patience).await? {
            Answer::Attributes(changed) => Ok(changed),
            Answer::Outcomes(mut outcomes) if outcomes.len() == 1 => {
                Err(outcomes.pop().unwrap_or(Outcome::Unreachable))
            }
            // An answer that does not fit the question says nothing.
            _ => Err(Outcome::Unreachable),
        }
    }

    /// Why there is no answer, of the owner that was asked last.
    fn refused(&self, owner: &NodeName, outcome: &Outcome, knowledge: Knowledge) -> AttributesError {
        match outcome {
            Outcome::NoSession | Outcome::Moved { .. } => nowhere(knowledge),
            Outcome::Overloaded => AttributesError::Overloaded,
            _ if self.requester.knows_attributes(owner) == Some(false) => AttributesError::NotSupported,
            _ => AttributesError::Unreachable,
        }
    }
}

fn told(changed: Changed) -> Result<Attributes, AttributesError> {
    match changed {
        Changed::Are(attributes) => Ok(attributes),
        Changed::TooLarge => Err(AttributesError::TooLarge),
        Changed::Reserved => Err(AttributesError::Reserved),
    }
}

fn nowhere(knowledge: Knowledge) -> AttributesError {
    match knowledge {
        Knowledge::Whole => AttributesError::NoSession,
        Knowledge::Joining => AttributesError::NotReady,
        Knowledge::Isolated => AttributesError::Isolated,
    }
}
