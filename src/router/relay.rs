//! One hop for a peer that does not reach the target of its request itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::id::NodeName;
use crate::mesh::{Link, Links, Refused};
use crate::metrics::label::{RelayStep, Task};
use crate::receipt::{Answer, Asker};
use crate::router::frame::{self, Request};
use crate::vital::Vitals;

/// Passes a request on to the node `to`, and its answer back over the link `from`. What is passed on
/// names no further hop, so that requests cannot circle.
pub(super) fn relay(
    links: &Links,
    vitals: &Vitals,
    push_timeout: Duration,
    from: &Arc<Link>,
    to: &NodeName,
    request: Request,
    payload: Bytes,
) {
    let metrics = vitals.metrics();
    let Request { seq, recipients, action, .. } = request;
    let target = links.get(to).and_then(|link| Some((action.known_with(link.features())?, link)));
    let Some((action, target)) = target else {
        metrics.mesh_relayed.with(RelayStep::Refused).increment(1);
        return from.answer(seq, Answer::NotRelayed);
    };
    // It may have to wait in the lane, and a few bytes would pin all of the buffer that they were read into.
    let payload = if payload.len() < COPIED_BELOW { Bytes::copy_from_slice(&payload) } else { payload };
    // Queued before this returns: requests for one user stay in their order.
    let answer = match frame::request(&target, None, recipients, action, payload) {
        Ok(answer) => answer,
        Err(refused) => {
            metrics.mesh_relayed.with(RelayStep::Refused).increment(1);
            let full = refused == Refused::Overloaded;
            return from.answer(seq, if full { Answer::Overloaded } else { Answer::NotRelayed });
        }
    };
    metrics.mesh_relayed.with(RelayStep::PassedOn).increment(1);
    let (from, vitals) = (Arc::clone(from), vitals.clone());
    tokio::spawn(async move {
        // It ends with either link, and nobody waits for it longer than for a push.
        let answer = vitals.contained(Task::Relay, timeout(push_timeout, answer)).await;
        let answer = answer.ok().and_then(Result::ok).and_then(Result::ok);
        from.answer(seq, answer.unwrap_or(Answer::Unanswered));
    });
}

/// Shorter payloads are copied. Source: what the mesh reads at once, so that a longer one pins little more than itself.
const COPIED_BELOW: usize = 64 << 10;
