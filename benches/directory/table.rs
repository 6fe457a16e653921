//! A table of goals and figures, for people.

use std::fmt;
use std::time::Duration;

/// What a figure says about its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As good as the goal.
    Met,
    /// Slower than the goal.
    Missed,
    /// Not true: the bench fails.
    Wrong,
    /// There is no goal; the figure explains others.
    Told,
}

impl Verdict {
    /// Of a goal of speed or rate.
    pub(crate) fn speed(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }

    /// Of what must hold on any machine.
    pub(crate) fn truth(holds: bool) -> Self {
        if holds { Self::Met } else { Self::Wrong }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::Wrong => "WRONG",
            Self::Told => "",
        }
    }
}

/// One part's result.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    goal: String,
    measured: String,
    verdict: Verdict,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new() }
    }

    /// Adds a figure that has a goal.
    pub(crate) fn goal(
        &mut self,
        what: impl Into<String>,
        goal: impl Into<String>,
        measured: impl Into<String>,
        verdict: Verdict,
    ) {
        let (what, goal, measured) = (what.into(), goal.into(), measured.into());
        self.rows.push(Row { what, goal, measured, verdict });
    }

    /// Adds a figure that has none.
    pub(crate) fn tell(&mut self, what: impl Into<String>, measured: impl Into<String>) {
        self.goal(what, "", measured, Verdict::Told);
    }

    /// Whether nothing in it is wrong. Missed goals do not matter here.
    pub(crate) fn is_sound(&self) -> bool {
        self.rows.iter().all(|row| row.verdict != Verdict::Wrong)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: fn(&Row) -> &str, head: &str| {
            self.rows.iter().map(|row| column(row).chars().count()).fold(head.len(), usize::max)
        };
        let what = width(|row| &row.what, "");
        let goal = width(|row| &row.goal, "goal");
        let measured = width(|row| &row.measured, "measured");
        writeln!(f, "{}", self.title)?;
        writeln!(f, "  {:what$}  {:goal$}  {:measured$}  verdict", "", "goal", "measured")?;
        for row in &self.rows {
            let line = format!(
                "  {:what$}  {:goal$}  {:measured$}  {}",
                row.what,
                row.goal,
                row.measured,
                row.verdict.as_str()
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Microseconds as milliseconds, to the accuracy that a bench on one machine has.
pub(crate) fn milliseconds(us: u32) -> String {
    format!("{:.2} ms", f64::from(us) / 1_000.0)
}

/// A duration in whole microseconds, for percentiles.
pub(crate) fn as_us(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
