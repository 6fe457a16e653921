//! The result, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::figure::{Figure, Samples, Spread};
use crate::goal::{Bound, GOALS};
use crate::machine::Machine;
use crate::options::Options;
use crate::system::System;

/// A table for each number of nodes, and one of the goals.
pub(crate) fn table(options: &Options, machine: &Machine, samples: &Samples) -> String {
    let mut text = format!("{machine}\n");
    for nodes in &options.nodes {
        let mut rows =
            vec![["", "pushmesh", "redis fan-out", "ratio", "least and greatest"].map(str::to_owned)];
        for figure in Figure::ALL {
            let median = |system| samples.median(figure, *nodes, system);
            let (ours, theirs) = (median(System::Pushmesh), median(System::Redis));
            if ours.or(theirs).is_none() {
                continue;
            }
            let ratio = samples.ratio(figure, *nodes);
            rows.push([
                figure.title().to_owned(),
                ours.map_or_else(String::new, number),
                theirs.map_or_else(String::new, number),
                ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)),
                ratio.map_or_else(String::new, |ratio| format!("{:.2} to {:.2}", ratio.min, ratio.max)),
            ]);
        }
        let _ = write!(text, "\n{nodes} nodes\n{}", aligned(&rows));
    }
    let mut rows = vec![["goal", "at", "measured", ""].map(str::to_owned)];
    for goal in GOALS {
        let bound = match goal.bound {
            Bound::AtMost(bound) => format!("<= {bound}"),
            Bound::AtLeast(bound) => format!(">= {bound}"),
        };
        let Some(measured) = goal.measured(samples) else { continue };
        let verdict = if goal.is_met(measured) { "met" } else { "MISSED" };
        rows.push([goal.what.to_owned(), bound, format!("{measured:.2}"), verdict.to_owned()]);
    }
    let _ = write!(text, "\n{}", aligned(&rows));
    text
}

/// Every value of every round.
pub(crate) fn json(machine: &Machine, samples: &Samples) -> Value {
    let figures = samples.iter().map(|(figure, nodes, system, values)| {
        let median = Spread::of(values).map(|spread| spread.median);
        let title = figure.title();
        json!({ "figure": figure, "title": title, "nodes": nodes, "system": system, "median": median, "rounds": values })
    });
    let goals = GOALS.iter().filter_map(|goal| {
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
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = format!("  {:<1$}", row[0], widths[0]);
        for column in 1..N {
            let _ = write!(line, "  {:>1$}", row[column], widths[column]);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}
