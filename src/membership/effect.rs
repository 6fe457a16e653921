//! What the state of a member means for what it claims: here and nowhere else.

use crate::membership::member::MemberState;

/// What is done with the claims of a member that enters a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// They are seen.
    Show,
    /// They are kept, and not seen.
    Hide,
    /// They are forgotten. `over`: that boot has ended for good, and nothing of it is taken any more.
    Forget {
        /// Whether it has.
        over: bool,
    },
}

impl Effect {
    /// What entering `state` asks for.
    #[must_use]
    pub(crate) fn of(state: MemberState) -> Self {
        match state {
            MemberState::Alive | MemberState::Unreachable | MemberState::Suspect => Self::Show,
            MemberState::Dead => Self::Hide,
            // A partition can be longer than a purge: only the other two are for good.
            MemberState::Purged => Self::Forget { over: false },
            MemberState::Superseded | MemberState::Left => Self::Forget { over: true },
        }
    }
}
