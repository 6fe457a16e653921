//! Questions of ownership on their way: as operations to owners, whose outcomes are the answers.

use std::future::Future;

use tokio::time::Instant;

use crate::ownership::{self, Answer, Ask, Question};
use crate::push::Outcome;
use crate::router::Operation;
use crate::router::decisions::{self, Asker};
use crate::router::frame::Recipients;
use crate::router::requester::{Pending, Requester};

impl Requester {
    /// Asks an owner about a session of the user of `asker`. The question is on its way before this returns its future, which
    /// waits for the answer until then and repeats the number of the question.
    pub(super) fn ask(
        &self,
        asker: Asker,
        ask: Ask,
        deadline: Instant,
    ) -> impl Future<Output = (u64, Answer)> + Send + use<'_> {
        let Ask { owner, question, .. } = &ask;
        let pending = if *owner == self.me || ownership::is_asked(self.roster.state(owner)) {
            decisions::asked(&self.me, &asker, &ask);
            let (user, devices) = (asker.names.user.clone(), vec![question.device()]);
            self.send(owner, Recipients::Devices { user, devices }, &self.operation(*question))
        } else {
            Pending::Known(Outcome::Unreachable)
        };
        async move {
            let answer = self.outcome(pending, deadline).await.into();
            decisions::heard(&self.me, &asker, &ask, &answer);
            (ask.number, answer)
        }
    }

    fn operation(&self, question: Question) -> Operation {
        match question {
            Question::Yield { below, rival, .. } => {
                Operation::Yield { owner: self.me.clone(), stamp: below, rival }
            }
            Question::Confirm { stamp, .. } => Operation::Confirm { stamp },
        }
    }
}

#[cfg(test)]
impl crate::router::Router {
    /// The same for a test of the node, at the door of that session.
    pub(crate) async fn asked(
        &self,
        names: crate::id::SessionKey,
        ask: Ask,
        deadline: Instant,
    ) -> (u64, Answer) {
        self.requester.ask(Asker { names, stamp: None, resumed: None }, ask, deadline).await
    }
}
