//! Tables for people: aligned columns, two spaces between them, nothing drawn.

/// A table that is printed in parts: columns keep the width that an earlier part needed.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    headed: bool,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    right: bool,
    width: usize,
}

impl Table {
    /// An empty table. A title that starts with `>` makes a column of numbers, aligned right.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| {
            let bare = title.strip_prefix('>');
            let title = bare.unwrap_or(title);
            Column { title, right: bare.is_some(), width: title.chars().count() }
        };
        Self { columns: titles.iter().map(column).collect(), rows: Vec::new(), headed: false }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// It has not one cell for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(cells.len(), self.columns.len(), "a row has one cell for each column");
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            column.width = column.width.max(cell.chars().count());
        }
        self.rows.push(cells.into());
    }

    /// The lines of all rows that were added since the last call; the titles come first, once.
    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        let titles =
            (!self.headed).then(|| self.columns.iter().map(|column| column.title.to_owned()).collect());
        self.headed = true;
        let rows = std::mem::take(&mut self.rows);
        titles.into_iter().chain(rows).map(|row| self.line(&row)).collect()
    }

    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (column, cell) in self.columns.iter().zip(cells) {
            let padding = " ".repeat(column.width.saturating_sub(cell.chars().count()));
            let parts = if column.right { [&padding, cell] } else { [cell, &padding] };
            line.extend(parts.map(String::as_str));
            line.push_str("  ");
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// How long ago `since_ms` was, in the two largest units: `3d 4h`, `12m 5s`.
pub(crate) fn age(since_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(since_ms) / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A number with its thousands apart: `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_titles_come_once() {
        let mut table = Table::new(&["NAME", ">SESSIONS", "ZONE"]);
        table.row(["n1".to_owned(), "7".to_owned(), String::new()]);
        table.row(["node-ü".to_owned(), "123456789".to_owned(), "eu".to_owned()]);
        let expected = ["NAME     SESSIONS  ZONE", "n1              7", "node-ü  123456789  eu"];
        assert_eq!(table.take_lines(), expected);
        table.row(["n3".to_owned(), "1".to_owned(), "us".to_owned()]);
        assert_eq!(table.take_lines(), ["n3              1  us"]);
        assert!(table.take_lines().is_empty());
    }

    #[test]
    fn an_empty_table_shows_its_titles() {
        assert_eq!(Table::new(&["A", "B"]).take_lines(), ["A  B"]);
    }

    #[test]
    fn ages_have_two_units_and_a_clock_that_is_behind_reads_as_now() {
        let cases = [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3_725, "1h 2m"), (90_000, "1d 1h")];
        for (seconds, text) in cases {
            assert_eq!(age(5_000, 5_000 + seconds * 1_000), text);
        }
        assert_eq!(age(5_000, 0), "0s");
    }

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
