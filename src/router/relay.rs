//! One hop for a peer that does not reach the target of its request itself.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::timeout;

use crate::id::NodeName;
use crate::limits;
use crate::mesh::{Link, Links, Request};
use crate::metrics::Metrics;
use crate::receipt::Answer;

/// Passes a request on to the node `to`, and its answer back over the link `from`. What is passed on
/// names no further hop, so that requests can not circle.
pub(crate) fn relay(
    links: &Links,
    metrics: &Metrics,
    from: &Arc<Link>,
    to: &NodeName,
    request: Request,
    payload: Bytes,
) {
    let Request { seq, recipients, action, .. } = request;
    let Some(target) = links.get(to) else {
        metrics.mesh_relayed.with("refused").increment(1);
        return from.answer(seq, Answer::NotRelayed);
    };
    // Queued before this returns: requests for one user stay in their order.
    let Ok(answer) = target.request(None, recipients, action, payload) else {
        metrics.mesh_relayed.with("refused").increment(1);
        return from.answer(seq, Answer::NotRelayed);
    };
    metrics.mesh_relayed.with("passed_on").increment(1);
    let from = Arc::clone(from);
    tokio::spawn(async move {
        let answer = timeout(limits::PUSH_TIMEOUT, answer).await;
        from.answer(seq, answer.ok().and_then(Result::ok).unwrap_or(Answer::Unanswered));
    });
}
