//! Spans of pushes.

use axum::http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

use crate::id::NodeName;
use crate::push::{Message, Outcome, TraceContext};

/// Makes spans, where they are exported.
#[derive(Clone)]
pub(crate) struct Tracer(pub(super) Option<SdkTracer>);

/// What is done for a push, until this is dropped; nothing for one that is not exported.
pub(crate) struct Span(Option<Box<SdkSpan>>);

impl Tracer {
    /// Makes none.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// The span of a caller, as it says in its request.
    pub(crate) fn parent(&self, headers: &HeaderMap) -> Option<TraceContext> {
        self.0.as_ref()?;
        let extracted =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let span = extracted.span();
        let context = span.span_context();
        context.is_valid().then(|| TraceContext::from(context))
    }

    /// A push that this node has accepted. Whether it is exported says its caller's span, or chance.
    pub(crate) fn push(&self, message: &Message) -> Span {
        self.start("push", SpanKind::Server, message.trace()).saying(|span| {
            span.set_attribute(KeyValue::new("messaging.message.id", message.id.as_str().to_owned()));
            span.set_attribute(KeyValue::new("pushmesh.wait", message.terms().wait.as_str()));
        })
    }

    /// A push that is sent to the peer `to`, which passes it on to `relay_to`.
    pub(crate) fn hop(&self, message: &Message, to: &NodeName, relay_to: Option<&NodeName>) -> Span {
        self.part("push.hop", SpanKind::Client, message).saying(|span| {
            span.set_attribute(KeyValue::new("pushmesh.peer", to.to_string()));
            if let Some(owner) = relay_to {
                span.set_attribute(KeyValue::new("pushmesh.relay_to", owner.to_string()));
            }
        })
    }

    /// A push at one session of this node, or at all of them.
    pub(crate) fn socket(&self, message: &Message) -> Span {
        self.part("push.socket", SpanKind::Internal, message)
    }

    /// What is done for a push that is exported.
    fn part(&self, name: &'static str, kind: SpanKind, message: &Message) -> Span {
        message.trace().map_or(Span(None), |parent| self.start(name, kind, Some(parent)))
    }

    fn start(&self, name: &'static str, kind: SpanKind, parent: Option<TraceContext>) -> Span {
        let Some(tracer) = &self.0 else { return Span(None) };
        let parent = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent.into()),
            None => Context::new(),
        };
        let span = tracer.build_with_context(tracer.span_builder(name).with_kind(kind), &parent);
        Span(span.is_recording().then(|| Box::new(span)))
    }
}

impl Span {
    /// Of nothing that is exported.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// The same, where it is exported, with what it says.
    fn saying(mut self, say: impl FnOnce(&mut SdkSpan)) -> Self {
        if let Some(span) = &mut self.0 {
            say(span);
        }
        self
    }

    /// What its children are told.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|span| span.span_context().into())
    }

    /// What it stands for is over. `outcome`: what became of the push, where that is one word.
    pub(crate) fn ends(self, outcome: Option<&Outcome>) {
        let (Some(mut span), Some(outcome)) = (self.0, outcome) else { return };
        let word = outcome.as_str();
        span.set_attribute(KeyValue::new("pushmesh.outcome", word));
        if matches!(outcome, Outcome::Unreachable | Outcome::Overloaded | Outcome::Interrupted) {
            span.set_status(Status::error(word));
        }
    }
}

impl From<&SpanContext> for TraceContext {
    fn from(context: &SpanContext) -> Self {
        Self {
            trace_id: context.trace_id().to_bytes(),
            span_id: context.span_id().to_bytes(),
            sampled: context.is_sampled(),
        }
    }
}

impl From<TraceContext> for SpanContext {
    fn from(TraceContext { trace_id, span_id, sampled }: TraceContext) -> Self {
        let flags = TraceFlags::NOT_SAMPLED.with_sampled(sampled);
        SpanContext::new(
            TraceId::from_bytes(trace_id),
            SpanId::from_bytes(span_id),
            flags,
            true,
            TraceState::NONE,
        )
    }
}
