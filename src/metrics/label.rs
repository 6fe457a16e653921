//! The labels of metrics: for each a type with all its values, so that a value that there is not does not compile.

/// A label.
pub(crate) trait Label: Copy + 'static {
    /// All values, in the order of [`index`](Self::index).
    const ALL: &'static [Self];

    /// Which one it is.
    fn index(self) -> usize;

    /// As it is shown.
    fn as_str(self) -> &'static str;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $label:ident { $($value:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $label {
            $(#[doc = concat!("`", $word, "`")] $value,)*
        }

        impl Label for $label {
            const ALL: &'static [Self] = &[$(Self::$value,)*];

            fn index(self) -> usize {
                self as usize
            }

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)*
                }
            }
        }
    )*};
}

labels! {
    /// What became of a push: [`Outcome`](crate::push::Outcome).
    Pushed {
        Delivered = "delivered",
        Buffered = "buffered",
        NoSession = "no_session",
        Overloaded = "overloaded",
        Interrupted = "interrupted",
        Unreachable = "unreachable",
        Unknown = "unknown",
        NotReady = "not_ready",
        IdReused = "id_reused",
        Acked = "acked",
        Queued = "queued",
    }
    /// What becomes of a span.
    Spans {
        Ended = "ended",
        Exported = "exported",
        Failed = "failed",
    }
    /// Where a message that is kept was accepted.
    Origin {
        Here = "here",
        Elsewhere = "elsewhere",
    }
    /// Why a message that was held for a client was not delivered: its time, or that of its session, was over; a backend
    /// or another session ended its session; or no place was found for it.
    Dropped {
        Expired = "expired",
        Ended = "ended",
        Overflow = "overflow",
    }
    /// What became of a hand-over: the next owner has all of it, or nobody took it while the session was kept.
    HandedOver {
        Done = "done",
        Failed = "failed",
    }
    /// Whether keys and certificates that were read again are in effect.
    Reloaded {
        Done = "done",
        Failed = "failed",
    }
    /// Whether a fetch has brought the keys of an identity provider.
    Fetched {
        Done = "done",
        Failed = "failed",
    }
    /// What a client was told when it came back: `resumed` in its welcome.
    ResumedAs {
        None = "none",
        Pending = "pending",
        Partial = "partial",
        Complete = "complete",
    }
    /// What a task is for. Without the first seven the node stops; of the others each ends what it was for.
    Task {
        Http = "http",
        Mesh = "mesh",
        Watch = "watch",
        Copies = "copies",
        Seeds = "seeds",
        FanOut = "fan-out",
        LoginKeys = "login-keys",
        Quic = "quic",
        Handshake = "handshake",
        Dial = "dial",
        Link = "link",
        Pull = "pull",
        Connection = "connection",
        Request = "request",
        Session = "session",
        Handler = "handler",
        Relay = "relay",
        Dispute = "dispute",
        Linger = "linger",
        Parked = "parked",
        HandOver = "hand-over",
        Groups = "groups",
        Absent = "absent",
        Takeover = "takeover",
    }
    /// Why a session ended: [`CloseReason`](crate::session::CloseReason).
    Closed {
        Failed = "failed",
        Excluded = "excluded",
        ClientGone = "client_gone",
        Idle = "idle",
        Policy = "policy",
        HeartbeatTimeout = "heartbeat_timeout",
        TooBig = "too_big",
        Restarting = "restarting",
        TryLater = "try_later",
        Superseded = "superseded",
        Kicked = "kicked",
        TokenExpired = "token_expired",
        SlowConsumer = "slow_consumer",
        Expired = "expired",
    }
    /// Why a WebSocket was refused: the code of the answer, `full` for one that was closed with 1013, `upgrade_failed` for
    /// a client that did not take the answer.
    Refused {
        BadResume = "bad_resume",
        SessionExists = "session_exists",
        Full = "full",
        NotReady = "not_ready",
        Unauthorized = "unauthorized",
        Forbidden = "forbidden",
        TooManySessions = "too_many_sessions",
        TooManyRequests = "too_many_requests",
        Overloaded = "overloaded",
        UpgradeRequired = "upgrade_required",
        BadRequest = "bad_request",
        UpgradeFailed = "upgrade_failed",
    }
    /// Codes of the `error` envelope, and what breaks a connection.
    ClientError {
        BadMessage = "bad_message",
        UnknownType = "unknown_type",
        Binary = "binary",
        TooBig = "too_big",
        InvalidUtf8 = "invalid_utf8",
        ProtocolError = "protocol_error",
        AckAhead = "ack_ahead",
        BadToken = "bad_token",
        TooManyMessages = "too_many_messages",
    }
    /// Why a TCP connection got no place: none was free, or the operating system refused.
    NotAccepted {
        Full = "full",
        Error = "error",
    }
    /// The class of a status.
    StatusClass {
        Informational = "1xx",
        Success = "2xx",
        Redirection = "3xx",
        ClientError = "4xx",
        ServerError = "5xx",
    }
    /// What was wrong with a credential; the last eight are of [`TokenError`](crate::token::TokenError).
    Credential {
        Resume = "resume",
        KeyMissing = "key_missing",
        KeyWrong = "key_wrong",
        Origin = "origin",
        TokenMissing = "token_missing",
        TokenMalformed = "token_malformed",
        TokenAlgorithm = "token_algorithm",
        TokenHeader = "token_header",
        TokenSignature = "token_signature",
        TokenKey = "token_key",
        TokenExpired = "token_expired",
        TokenLifetime = "token_lifetime",
        TokenClaims = "token_claims",
    }
    /// Why a connection between nodes was refused, at whichever end: by its certificate (a wrong key, authority, cluster or
    /// name); for another protocol or version, another takeover policy, another hash key; as a boot that is over; because
    /// too many handshakes were under way, or this one was not brought to its end in time; or for a wrong greeting.
    Refusal {
        Identity = "identity",
        Version = "version",
        Takeover = "takeover",
        HashKey = "hash_key",
        Stale = "stale",
        Flood = "flood",
        Unfinished = "unfinished",
        Protocol = "protocol",
    }
    /// What a peer did that the protocol does not allow: [`Breach`](crate::mesh).
    Offence {
        Codec = "codec",
        Oversize = "oversize",
        Version = "version",
        Answer = "answer",
        Unasked = "unasked",
        Flood = "flood",
        Silent = "silent",
        Stalled = "stalled",
    }
    /// From whom a section was fetched.
    PulledFrom {
        Owner = "owner",
        Relay = "relay",
    }
    /// Who wrote a message: whoever brought it, whoever brought it and then the session's task, the task.
    Writer {
        AtOnce = "at_once",
        Begun = "begun",
        Task = "task",
    }
    /// What this node did for a request over a third node.
    RelayStep {
        Asked = "asked",
        PassedOn = "passed_on",
        Refused = "refused",
    }
    /// Seen from this node.
    Direction {
        Sent = "sent",
        Received = "received",
    }
    /// What a look-up of a name comes to.
    Lookup {
        Found = "found",
        Failed = "failed",
    }
    /// The state of a member: [`MemberState`](crate::membership::member::MemberState).
    Member {
        Alive = "alive",
        Unreachable = "unreachable",
        Suspect = "suspect",
        Dead = "dead",
        Purged = "purged",
        Superseded = "superseded",
        Left = "left",
    }
}
