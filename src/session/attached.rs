//! What is attached to a session: the login of its client, and the attributes that the application keeps with it.
//!
//! Attributes go with the session to its next owner, together with their version: the stamp of the session in which they were changed
//! last, and one more for each further change there. The greater one counts: what was changed here stands against whatever an earlier
//! owner hands over late, and a repetition changes nothing. The login is that of the connection's own token, and is not handed over.

use crate::attributes::{Attributes, Change, Changed};
use crate::id::{LoginId, Stamp};

/// Attributes on their way to the next owner of their session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandedAttributes {
    /// Their version: the stamp of the session in which they were changed last, or above.
    pub(crate) changed: Stamp,
    /// The attributes, without a login.
    pub(crate) attributes: Attributes,
}

/// What is attached to a session.
#[derive(Debug, Default)]
pub(super) struct Attached {
    login: Option<LoginId>,
    /// `None` while nobody has set any, here or at an earlier owner. An empty object is not that: somebody wanted it.
    held: Option<HandedAttributes>,
}

impl Attached {
    /// Of a session of that login.
    pub(super) fn of(login: LoginId) -> Self {
        Self { login: Some(login), held: None }
    }

    /// The login of the client.
    pub(super) fn login(&self) -> Option<&LoginId> {
        self.login.as_ref()
    }

    /// The attributes, the login among them.
    pub(super) fn shown(&self) -> Attributes {
        let attributes = self.attributes();
        self.login.as_ref().map_or_else(|| attributes.clone(), |login| attributes.with_login(login))
    }

    /// Changes the attributes of the session with the stamp `own`.
    pub(super) fn change(&mut self, change: &Change, own: Stamp) -> Changed {
        let (changed, said) = match change {
            Change::Read => return Changed::Are(self.shown()),
            Change::Replace(attributes) => {
                let (attributes, said) = attributes.without_login();
                (Ok(attributes), said)
            }
            Change::Merge(patch) => {
                let (patch, said) = patch.without_login();
                (self.attributes().merged(&patch), said)
            }
        };
        if said.is_some_and(|said| !said.is(self.login.as_ref())) {
            return Changed::Reserved;
        }
        let Ok(attributes) = changed else { return Changed::TooLarge };
        let above = self.version().map(|before| Stamp::from_raw(before.raw().saturating_add(1)));
        self.held = Some(HandedAttributes { changed: own.max(above.unwrap_or(own)), attributes });
        Changed::Are(self.shown())
    }

    /// The version of the attributes, if anybody has set any.
    pub(super) fn version(&self) -> Option<Stamp> {
        self.held.as_ref().map(|held| held.changed)
    }

    /// What goes to the next owner.
    pub(super) fn handed(&self) -> Option<HandedAttributes> {
        self.held.clone()
    }

    /// Takes what an earlier owner hands over, unless what is here was changed later.
    pub(super) fn adopt(&mut self, handed: &HandedAttributes) {
        if self.held.as_ref().is_none_or(|held| held.changed < handed.changed) {
            self.held = Some(handed.clone());
        }
    }

    fn attributes(&self) -> Attributes {
        self.held.as_ref().map(|held| held.attributes.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::MergePatch;
    use crate::limits;

    fn own() -> Stamp {
        Stamp::from_raw(7)
    }

    fn attributes(text: &str) -> Attributes {
        Attributes::parse(text).unwrap()
    }

    fn replace(text: &str) -> Change {
        Change::Replace(attributes(text))
    }

    fn merge(text: &str) -> Change {
        Change::Merge(MergePatch::parse(text).unwrap())
    }

    fn are(text: &str) -> Changed {
        Changed::Are(attributes(text))
    }

    fn handed(stamp: u64, text: &str) -> HandedAttributes {
        HandedAttributes { changed: Stamp::from_raw(stamp), attributes: attributes(text) }
    }

    #[test]
    fn attributes_are_replaced_whole_merged_and_read() {
        let mut attached = Attached::default();
        assert_eq!(attached.change(&Change::Read, own()), are("{}"));
        assert_eq!(attached.handed(), None, "a look changes nothing");
        assert_eq!(attached.change(&replace(r#"{"a":1,"b":2}"#), own()), are(r#"{"a":1,"b":2}"#));
        assert_eq!(attached.change(&merge(r#"{"b":null,"c":3}"#), own()), are(r#"{"a":1,"c":3}"#));
        assert_eq!(attached.change(&replace(r#"{"d":4}"#), own()), are(r#"{"d":4}"#));
        assert_eq!(attached.change(&Change::Read, own()), are(r#"{"d":4}"#));
    }

    #[test]
    fn a_change_that_makes_them_too_long_changes_nothing() {
        let mut attached = Attached::default();
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(limits::ATTRIBUTES_BYTES_MAX - 8));
        assert_eq!(attached.change(&replace(&long), own()), are(&long));
        assert_eq!(attached.change(&merge(r#"{"b":1}"#), own()), Changed::TooLarge);
        assert_eq!(attached.change(&Change::Read, own()), are(&long));
    }

    #[test]
    fn no_change_sets_or_removes_the_login() {
        let mut attached = Attached::of(LoginId::new("s1").unwrap());
        assert_eq!(attached.change(&replace(r#"{"a":1}"#), own()), are(r#"{"a":1,"sid":"s1"}"#), "it stays");
        assert_eq!(attached.change(&replace(r#"{"a":2,"sid":"s1"}"#), own()), are(r#"{"a":2,"sid":"s1"}"#));
        assert_eq!(attached.change(&merge(r#"{"sid":"s1"}"#), own()), are(r#"{"a":2,"sid":"s1"}"#));
        for change in [replace(r#"{"sid":"s2"}"#), merge(r#"{"sid":null}"#), merge(r#"{"sid":"s2"}"#)] {
            assert_eq!(attached.change(&change, own()), Changed::Reserved);
        }
        assert_eq!(attached.change(&Change::Read, own()), are(r#"{"a":2,"sid":"s1"}"#));
        assert_eq!(attached.handed(), Some(handed(9, r#"{"a":2}"#)), "the next connection has its own");
        assert_eq!(Attached::default().change(&replace(r#"{"sid":"s1"}"#), own()), Changed::Reserved);
    }

    #[test]
    fn what_was_changed_last_counts_in_whatever_order_it_comes() {
        let mut attached = Attached::default();
        attached.adopt(&handed(4, r#"{"a":4}"#));
        attached.adopt(&handed(3, r#"{"a":3}"#));
        assert_eq!(attached.shown(), attributes(r#"{"a":4}"#));
        attached.adopt(&handed(5, "{}"));
        assert_eq!(attached.handed(), Some(handed(5, "{}")), "the owner between removed them");
        attached.change(&merge(r#"{"b":1}"#), own());
        for late in [handed(5, r#"{"a":5}"#), handed(6, r#"{"a":6}"#), handed(7, r#"{"a":7}"#)] {
            attached.adopt(&late);
            assert_eq!(attached.shown(), attributes(r#"{"b":1}"#), "it was changed here");
        }
    }
}
