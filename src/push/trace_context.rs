//! Which trace a push belongs to, as it travels between nodes.
//!
//! Source: W3C Trace Context, level 1.

use serde::{Deserialize, Serialize};

/// The span of a push that is exported, whose children are the spans of what is done for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TraceContext {
    /// The trace; not zero.
    pub(crate) trace_id: [u8; 16],
    /// The span; not zero.
    pub(crate) span_id: [u8; 8],
    /// Whether whoever began the trace wants it to be exported. Nodes send each other nothing else.
    pub(crate) sampled: bool,
}

impl TraceContext {
    /// Whether neither id is zero, which stands for none.
    pub(crate) fn is_valid(&self) -> bool {
        self.trace_id != [0; 16] && self.span_id != [0; 8]
    }
}
