//! Why a token is refused.

use crate::metrics::label::Credential;

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// It is not a JSON Web Token.
    #[error("the token is malformed: it is not a JSON Web Token signed with RS256, ES256, EdDSA or HS256")]
    Malformed,
    /// Its algorithm is not one that is accepted.
    #[error("the token's alg is not accepted: sign it with RS256, ES256, EdDSA or HS256")]
    Algorithm,
    /// Its header asks for what nobody here does.
    #[error("the token's header is not accepted: {problem}; leave it out")]
    Header {
        /// Which field, and what is wrong.
        problem: String,
    },
    /// No configured key of its algorithm made its signature.
    #[error("the token's signature matches no key of this cluster")]
    Signature,
    /// There are key sets, and none of them has a key with its `kid` for its algorithm.
    #[error("the token's key, by its kid and alg, is in no key set that this node knows")]
    UnknownKey,
    /// Its time is over.
    #[error("the token expired {} s ago: get a new one", by_ms / 1_000)]
    Expired {
        /// For how long, in milliseconds.
        by_ms: u64,
    },
    /// It expires too far ahead.
    #[error(
        "the token's exp {exp} is further ahead than a token may be good (--max-token-lifetime), the latest is {latest} \
         now: exp is in Unix seconds, not in milliseconds"
    )]
    Lifetime {
        /// Its `exp`.
        exp: u64,
        /// The latest that would be accepted now, in Unix seconds.
        latest: u64,
    },
    /// A claim is missing or wrong.
    #[error("the token's claims are not accepted: {problem}")]
    Claims {
        /// Which claim, and what is wrong.
        problem: String,
    },
}

impl TokenError {
    /// As metrics call it.
    pub(crate) fn label(&self) -> Credential {
        match self {
            TokenError::Malformed => Credential::TokenMalformed,
            TokenError::Algorithm => Credential::TokenAlgorithm,
            TokenError::Header { .. } => Credential::TokenHeader,
            TokenError::Signature => Credential::TokenSignature,
            TokenError::UnknownKey => Credential::TokenKey,
            TokenError::Expired { .. } => Credential::TokenExpired,
            TokenError::Lifetime { .. } => Credential::TokenLifetime,
            TokenError::Claims { .. } => Credential::TokenClaims,
        }
    }
}
