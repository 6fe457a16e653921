//! What the API says became of a push: for people, and as an exit code.

use hyper::StatusCode;

use super::address::Address;
use crate::cli::client::Answer;
use crate::cli::exit::Exit;
use crate::cli::table::{Table, thousands};
use crate::gateway::schema::{Accepted, BroadcastAnswer, ErrorBody, NodeOutcome, PushAnswer};
use crate::id::{DeviceId, NodeName};
use crate::json;
use crate::push::Tally;

/// What the API says became of a push or a broadcast.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// What was refused.
    pub(super) error: Option<ErrorBody>,
    /// What is known, also beside an error.
    pub(super) what: Option<What>,
}

/// What an answer is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    Accepted(Accepted),
    Pushed(PushAnswer),
    Broadcast(BroadcastAnswer),
}

impl Report {
    /// Reads an answer. One that is nothing of ours is an empty report.
    pub(super) fn of(answer: &Answer, to: &Address) -> Self {
        let body = &answer.body;
        let what = match (answer.status, to) {
            (StatusCode::ACCEPTED, _) => json::object(body).ok().map(What::Accepted),
            (_, Address::All) => json::object(body).ok().map(What::Broadcast),
            _ => json::object(body).ok().map(What::Pushed),
        };
        Self { error: answer.refusal(), what }
    }
}

/// The exit code: the best outcome among a user's sessions; of a broadcast, whether all nodes
/// answered and somebody was reached.
pub(super) fn judge(answer: &Answer, report: &Report) -> Exit {
    if let Some(error) = &report.error {
        return by_word(&error.code.to_string());
    }
    match &report.what {
        _ if !answer.status.is_success() => Exit::Error,
        Some(What::Accepted(_)) => Exit::Done,
        Some(What::Pushed(push)) if push.delivered > 0 => Exit::Done,
        Some(What::Pushed(_)) => Exit::NotDelivered,
        Some(What::Broadcast(broadcast)) => {
            let Tally { delivered, buffered, overloaded, interrupted, id_reused, acked, queued } =
                broadcast.total;
            let silent = broadcast.nodes.iter().any(|node| node.outcome == NodeOutcome::Unreachable);
            match delivered + acked {
                _ if silent => Exit::NotDelivered,
                0 if buffered + queued + overloaded + interrupted + id_reused == 0 => Exit::NoSession,
                0 => Exit::NotDelivered,
                _ => Exit::Done,
            }
        }
        None => Exit::Error,
    }
}

/// The exit code for the word of an outcome or of an error.
pub(super) fn by_word(word: &str) -> Exit {
    match word {
        "acked" | "delivered" | "accepted" => Exit::Done,
        "no_session" => Exit::NoSession,
        "queued" | "buffered" | "overloaded" | "unreachable" | "interrupted" | "id_reused" | "not_stored" => {
            Exit::NotDelivered
        }
        "unknown" | "isolated" | "not_ready" => Exit::NotDelivered,
        _ => Exit::Error,
    }
}

/// A sentence and, where there is more than one place, a table.
pub(super) fn describe(report: &Report) -> Vec<String> {
    match &report.what {
        None => Vec::new(),
        Some(What::Accepted(accepted)) => vec![format!("accepted, id {}", accepted.id)],
        // The error says that there is nobody.
        Some(What::Pushed(push)) if push.sessions.is_empty() => Vec::new(),
        Some(What::Pushed(push)) => describe_push(push),
        Some(What::Broadcast(broadcast)) => describe_broadcast(broadcast),
    }
}

fn describe_push(push: &PushAnswer) -> Vec<String> {
    let total = push.sessions.len();
    let mut table = Table::new(&["DEVICE", "NODE", "OUTCOME"]);
    for session in &push.sessions {
        let copies = session.copies.map(|copies| format!(", copies at other nodes: {copies}"));
        table.row([
            session.device.as_ref().map(DeviceId::to_string).unwrap_or_default(),
            session.node.as_ref().map(NodeName::to_string).unwrap_or_default(),
            format!("{}{}", session.outcome, copies.unwrap_or_default()),
        ]);
    }
    let head = format!("delivered to {} of {total} sessions, id {}", push.delivered, push.id);
    std::iter::once(head).chain(table.take_lines()).collect()
}

fn describe_broadcast(broadcast: &BroadcastAnswer) -> Vec<String> {
    let Tally { delivered, buffered, overloaded, interrupted, id_reused, acked, queued } = broadcast.total;
    let others = [
        (queued, "held for clients that are away"),
        (buffered, "buffered"),
        (overloaded, "overloaded"),
        (interrupted, "interrupted"),
        (id_reused, "refused, as the id is another message's"),
    ];
    let others: String = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!(", {} {word}", thousands(*count)))
        .collect();
    let mut table = Table::new(&["NODE", "OUTCOME", ">DELIVERED"]);
    for node in &broadcast.nodes {
        let Tally { delivered, acked, .. } = node.tally;
        table.row([node.node.to_string(), node.outcome.to_string(), thousands(delivered + acked)]);
    }
    let head = format!("delivered to {} sessions{others}, id {}", thousands(delivered + acked), broadcast.id);
    std::iter::once(head).chain(table.take_lines()).collect()
}
