//! Traces of pushes, for those who export them.
//!
//! ```text
//!   push                      accepted by a node ───────────────────────────► answered
//!    ├─ push.socket           at a session of this node ──► written, or kept
//!    └─ push.hop              asked over the mesh ──────────────────► answered
//!        └─ push.socket       at a session of the owner ──► written, or kept
//! ```
//!
//! A span says ids, node names and outcomes, never users, devices or payloads. Without the feature `otlp` these types are empty, and
//! what they do is nothing.
//!
//! Source: the OpenTelemetry specification, its conventions for messaging.

use std::sync::Arc;

#[cfg(feature = "otlp")]
mod export;
#[cfg(not(feature = "otlp"))]
mod off;
#[cfg(feature = "otlp")]
mod on;

#[cfg(feature = "otlp")]
pub(crate) use export::{Exports, start};
#[cfg(not(feature = "otlp"))]
pub(crate) use off::{Exports, Span, Tracer, start};
#[cfg(feature = "otlp")]
pub(crate) use on::{Span, Tracer};

/// What becomes of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "there are no spans"))]
pub(crate) enum Step {
    /// What it stands for is over.
    Ended,
    /// The collector has taken it.
    Exported,
    /// The collector has not.
    Failed,
}

/// Counts that so many spans have come so far.
pub(crate) type Counts = Arc<dyn Fn(Step, u64) + Send + Sync>;
