//! No traces: what a build without the feature `otlp` has in their place.

use std::io;

use axum::http::HeaderMap;
use axum::http::uri::Uri;

use super::Counts;
use crate::id::NodeName;
use crate::push::{Message, Outcome, TraceContext};

/// Makes no spans.
#[derive(Clone)]
pub(crate) struct Tracer;

/// Of nothing.
pub(crate) struct Span;

/// To nobody.
pub(crate) struct Exports;

/// Nothing is started: a configuration that asks for it is refused.
pub(crate) fn start(_: (&Uri, f64), _: &NodeName, _: Counts) -> io::Result<(Tracer, Exports)> {
    Ok((Tracer, Exports))
}

impl Exports {
    /// To nobody.
    pub(crate) fn none() -> Self {
        Self
    }

    /// There is nothing to be sent.
    pub(crate) async fn finish(&self) {}
}

impl Tracer {
    /// Makes none.
    pub(crate) fn none() -> Self {
        Self
    }

    /// Nothing.
    pub(crate) fn parent(&self, _: &HeaderMap) -> Option<TraceContext> {
        None
    }

    /// Nothing.
    pub(crate) fn push(&self, _: &Message) -> Span {
        Span
    }

    /// Nothing.
    pub(crate) fn hop(&self, _: &Message, _: &NodeName, _: Option<&NodeName>) -> Span {
        Span
    }

    /// Nothing.
    pub(crate) fn socket(&self, _: &Message) -> Span {
        Span
    }
}

impl Span {
    /// Of nothing.
    pub(crate) fn none() -> Self {
        Self
    }

    /// Nothing.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        None
    }

    /// Says nothing.
    pub(crate) fn ends(self, _: Option<&Outcome>) {}
}
