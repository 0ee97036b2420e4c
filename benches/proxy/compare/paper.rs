//! What the comparison says, as Markdown.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::report::Spread;

/// Between these lines of a file stands what this program writes.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Said as it comes, and kept for the file.
#[derive(Default)]
pub struct Paper {
    head: String,
    body: String,
}

impl Paper {
    /// For the beginning of the file, whenever it is said.
    pub fn head(&mut self, text: &str) {
        println!("{text}");
        self.head += text;
        self.head.push('\n');
    }

    pub fn add(&mut self, text: &str) {
        println!("{text}");
        self.body += text;
        self.body.push('\n');
    }

    /// For who watches, and not for the file.
    pub fn say(&self, text: &str) {
        println!("{text}");
    }

    /// Replaces what stands between the marks.
    pub fn write(&self, file: &Path) -> Result<()> {
        let before = fs::read_to_string(file)?;
        let marks = before.split_once(BEGIN).and_then(|(head, rest)| {
            let (_, tail) = rest.split_once(END)?;
            Some((head, tail))
        });
        let (head, tail) = marks.ok_or(format!("{} has no {BEGIN} … {END}", file.display()))?;
        let text = format!("{}{}", self.head, self.body);
        let text = text.trim_end();
        fs::write(file, format!("{head}{BEGIN}\n\n{text}\n\n{END}{tail}"))?;
        Ok(())
    }
}

#[derive(Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Table {
        let mut table = Table::default();
        table.row(head);
        table
    }

    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        for (number, row) in self.rows.iter().enumerate() {
            write!(f, "|")?;
            for (column, cell) in row.iter().enumerate() {
                write!(f, " {cell:<width$} |", width = width(column))?;
            }
            writeln!(f)?;
            if number == 0 {
                write!(f, "|")?;
                for column in 0..row.len() {
                    write!(f, " {} |", "-".repeat(width(column).max(3)))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// A spread with so many digits; a dash where nothing was measured.
pub fn told(values: &[f64], digits: usize) -> String {
    if values.is_empty() {
        return String::from("–");
    }
    let spread = Spread::of(values.iter().copied());
    match values.len() {
        1 => format!("{:.digits$}", spread.median),
        _ => format!("{spread:.digits$}"),
    }
}

/// The median, where something was measured.
pub fn median(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| Spread::of(values.iter().copied()).median)
}
