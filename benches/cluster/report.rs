//! The result, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::figure::{Copying, Figure, Samples, Spread};
use crate::goal::{Bound, GOALS, Goal};
use crate::machine::Machine;
use crate::options::Options;
use crate::round::copyings;
use crate::system::System;

/// Tables for each number of nodes, and one of the goals.
pub(crate) fn table(options: &Options, machine: &Machine, samples: &Samples) -> String {
    let mut text = format!("{machine}\n");
    for nodes in &options.nodes {
        for (title, is_of_stored, others) in
            [("", false, &OTHERS), (", pushes that are stored", true, &STORING)]
        {
            let figures = Figure::ALL.into_iter().filter(|figure| figure.is_of_stored() == is_of_stored);
            let others = others.iter().filter(|(system, _)| options.systems.contains(system));
            let rows = beside(samples, *nodes, figures, &others.collect::<Vec<_>>());
            if rows.len() > 1 {
                let _ = write!(text, "\n{nodes} nodes{title}\n{}", aligned(&rows));
            }
        }
        let rows = copying(options, samples, *nodes);
        if rows.len() > 1 {
            let _ = write!(
                text,
                "\n{nodes} nodes, server CPU per push to kept clients, us, by when it is copied\n{}",
                aligned(&rows)
            );
        }
    }
    let mut rows = vec![["goal", "at", "measured", ""].map(str::to_owned).to_vec()];
    for goal in goals(options) {
        let bound = match goal.bound {
            Bound::AtMost(bound) => format!("<= {bound}"),
            Bound::AtLeast(bound) => format!(">= {bound}"),
        };
        let Some(measured) = goal.measured(samples) else { continue };
        let verdict = if goal.is_met(measured) { "met" } else { "MISSED" };
        rows.push(vec![goal.what.to_owned(), bound, format!("{measured:.2}"), verdict.to_owned()]);
    }
    let _ = write!(text, "\n{}", aligned(&rows));
    text
}

/// Figures of pushmesh beside those of others.
fn beside(
    samples: &Samples,
    nodes: usize,
    figures: impl Iterator<Item = Figure>,
    others: &[&(System, &str)],
) -> Vec<Vec<String>> {
    let mut heads = vec![String::new(), "pushmesh".to_owned()];
    for (_, name) in others {
        heads.extend([*name, "ratio", "least and greatest"].map(str::to_owned));
    }
    let mut rows = vec![heads];
    for figure in figures {
        let told = |system| samples.median(figure, nodes, system).map(number);
        let mut row = vec![figure.title().to_owned(), told(System::Pushmesh).unwrap_or_default()];
        for (system, _) in others {
            let ratio = samples.ratio(figure, nodes, *system);
            row.extend([
                told(*system).unwrap_or_default(),
                ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)),
                ratio.map_or_else(String::new, |ratio| format!("{:.2} to {:.2}", ratio.min, ratio.max)),
            ]);
        }
        if row.iter().skip(1).any(|cell| !cell.is_empty()) {
            rows.push(row);
        }
    }
    rows
}

/// What pushes cost by what is copied, each beside what they cost without copies.
fn copying(options: &Options, samples: &Samples, nodes: usize) -> Vec<Vec<String>> {
    let heads =
        ["", "closed loop", "ratio", "least and greatest", "fixed rate", "ratio", "least and greatest"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for copying in copyings(options) {
        let mut row = vec![match copying {
            Copying::Off => "no copies".to_owned(),
            Copying::After(after) => format!("two, of what is not acknowledged in {after} ms"),
        }];
        for of in [Figure::CopyingClosedCpu, Figure::CopyingPacedCpu] {
            let Some(value) = samples.median(of(copying), nodes, System::Pushmesh) else { return rows };
            let ratio = samples.within(of(copying), of(Copying::Off), nodes);
            row.push(number(value));
            row.extend(ratio.map_or_else(Default::default, |Spread { median, min, max }| {
                [format!("{median:.2}"), format!("{min:.2} to {max:.2}")]
            }));
        }
        rows.push(row);
    }
    rows
}

/// The goals for the number of threads that the servers had.
fn goals(options: &Options) -> impl Iterator<Item = &'static Goal> {
    let threads = options.threads;
    GOALS.iter().filter(move |goal| goal.threads.is_none() || goal.threads == threads)
}

/// With what pushmesh is compared.
const OTHERS: [(System, &str); 2] = [(System::Redis, "redis fan-out"), (System::Nats, "NATS")];

/// With what it is compared where pushes are stored.
const STORING: [(System, &str); 2] =
    [(System::Jetstream, "JetStream"), (System::JetstreamCore, "JetStream, subscriptions")];

/// Every value of every round.
pub(crate) fn json(options: &Options, machine: &Machine, samples: &Samples) -> Value {
    let figures = samples.iter().map(|(figure, nodes, system, values)| {
        let median = Spread::of(values).map(|spread| spread.median);
        let title = figure.title();
        json!({ "figure": figure, "title": title, "nodes": nodes, "system": system, "median": median, "rounds": values })
    });
    let goals = goals(options).filter_map(|goal| {
        let measured = goal.measured(samples)?;
        Some(json!({ "goal": goal.what, "measured": measured, "met": goal.is_met(measured) }))
    });
    json!({
        "machine": machine,
        "figures": figures.collect::<Vec<_>>(),
        "goals": goals.collect::<Vec<_>>(),
    })
}

/// Large numbers without decimals, small ones with one.
fn number(value: f64) -> String {
    if value >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// Columns of equal width; the first is text, the others are numbers.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = format!("  {:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(line, "  {cell:>width$}");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}
