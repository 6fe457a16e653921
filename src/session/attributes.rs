//! The attributes of a session, as those see them who have the session.

use std::sync::atomic::Ordering;

use crate::attributes::{Attributes, Change, Changed};
use crate::id::LoginId;
use crate::push::Outcome;
use crate::session::Session;
use crate::session::attached::Attached;
use crate::session::state::State;

impl Session {
    /// The same session, which is of that login.
    pub(crate) fn of_login(self, login: Option<LoginId>) -> Self {
        if let Some(login) = login {
            self.lock().attach(Attached::of(login));
        }
        self
    }

    /// The login of its client, if the client's token has one.
    pub(crate) fn login(&self) -> Option<LoginId> {
        self.lock().attached()?.login().cloned()
    }

    /// The attributes, with the login among them, if there are any.
    pub(crate) fn attributes(&self) -> Option<Attributes> {
        self.lock().attached().map(|attached| attached.shown()).filter(|shown| !shown.is_empty())
    }

    /// Reads or changes the attributes.
    ///
    /// # Errors
    /// The session is over: what a push would learn.
    pub(crate) fn change_attributes(&self, change: &Change) -> Result<Changed, Outcome> {
        let mut state = self.lock();
        if let Some(reason) = state.closing().filter(|_| !state.is_away()) {
            return Err(if reason.moves() { reason.outcome() } else { Outcome::NoSession });
        }
        let changed = self.change_in(&mut state, change);
        if *change != Change::Read && matches!(changed, Changed::Are(_)) {
            state.copy_attributes(self.key);
        }
        Ok(changed)
    }

    fn change_in(&self, state: &mut State, change: &Change) -> Changed {
        match (change, state.attached()) {
            // A look costs no memory.
            (Change::Read, None) => Changed::Are(Attributes::default()),
            (change, Some(attached)) => attached.change(change, self.stamp),
            (change, None) => {
                let mut attached = Attached::default();
                let changed = attached.change(change, self.stamp);
                if matches!(changed, Changed::Are(_)) {
                    state.attach(attached);
                }
                changed
            }
        }
    }

    /// Earlier owners have handed over what they had, or are late.
    pub(super) fn opened(&self) {
        self.opened.store(true, Ordering::SeqCst);
        self.ending.notify_waiters();
    }

    /// Whether they have, or are.
    pub(crate) fn is_open(&self) -> bool {
        self.opened.load(Ordering::SeqCst)
    }

    /// Waits until they have, or are, or the session is over. Cancel-safe.
    pub(crate) async fn until_open(&self) {
        self.until(|| self.is_open() || self.over().is_some()).await;
    }
}
