//! Which dialect a client is spoken to in.

use crate::gateway::clients::dialect::Dialect;
use crate::gateway::clients::dialect::plain::Plain;
use crate::gateway::clients::dialect::v1::V1;

/// The dialect with that subprotocol, if there is one.
#[cfg(test)]
pub(in crate::gateway::clients) fn named(subprotocol: Option<&str>) -> &'static dyn Dialect {
    DIALECTS.iter().find(|dialect| dialect.subprotocol() == subprotocol).copied().unwrap_or(&Plain)
}

/// The dialect of a client that offers those whose names `offers` is true for: the first one here, or bare payloads.
pub(in crate::gateway::clients) fn offered(offers: impl Fn(&str) -> bool) -> &'static dyn Dialect {
    let offered = |dialect: &&&dyn Dialect| dialect.subprotocol().is_some_and(&offers);
    DIALECTS.iter().find(offered).copied().unwrap_or(&Plain)
}

/// Those that a client has to ask for.
static DIALECTS: [&dyn Dialect; 1] = [&V1];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::gateway::clients::dialect::Close;
    use crate::id::MessageId;
    use crate::push::{Message, Payload};
    use crate::session::CloseReason;

    #[test]
    fn a_dialect_is_spoken_where_it_is_offered_by_its_exact_name() {
        let asked = |offers: &[&str]| offered(|name| offers.contains(&name)).subprotocol();
        assert_eq!(asked(&["graphql-ws", "pushmesh.v1"]), Some("pushmesh.v1"));
        for none in [&[][..], &["PUSHMESH.V1"], &["pushmesh.v2", "mqtt"]] {
            assert_eq!(asked(none), None, "{none:?}");
        }
    }

    #[test]
    fn both_dialects_close_with_the_documented_codes() {
        let restarting = Close { code: 1012, text: "{\"retry_ms\":7}".to_owned() };
        let kicked = Close { code: 4002, text: "kicked".to_owned() };
        for dialect in [named(None), named(Some("pushmesh.v1"))] {
            assert_eq!(dialect.close(&CloseReason::Restarting { retry_ms: 7 }), restarting);
            assert_eq!(dialect.close(&CloseReason::Kicked), kicked);
        }
    }

    #[test]
    fn a_message_is_encoded_once_however_many_sessions_get_it() {
        let message = Arc::new(Message::new(MessageId::new("m").unwrap(), false, Payload::text("hello")));
        let dialect = DIALECTS[0];
        let first = dialect.message(&message, None);
        let second = dialect.message(&message.kept(), None);
        assert_eq!(first.bytes.as_ptr(), second.bytes.as_ptr());
        let bare = Plain.message(&message, None);
        assert_eq!(bare.bytes.as_ptr(), message.payload.bytes.as_ptr());
    }
}
