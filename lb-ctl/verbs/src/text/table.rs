//! Tables for people: each column is as wide as its widest cell. Lists that are too long for the
//! screen are broken between their items.

use std::io::{self, Write};

/// Rows of cells.
#[derive(Debug, Default)]
pub struct Table {
    /// Those that are not written yet.
    rows: Vec<Row>,
    /// Of the columns, in characters, as far as rows have needed them.
    widths: Vec<usize>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<Cell>,
    note: String,
}

/// The content of one column in one row.
#[derive(Debug)]
pub struct Cell {
    text: String,
    right: bool,
}

/// A cell of text.
pub fn left(text: impl ToString) -> Cell {
    Cell {
        text: text.to_string(),
        right: false,
    }
}

/// A cell with a number, aligned by its last digit.
pub fn right(text: impl ToString) -> Cell {
    Cell {
        text: text.to_string(),
        right: true,
    }
}

impl Table {
    /// One more row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.row_with_note(cells, String::new());
    }

    /// One more row, with a text behind its columns.
    pub fn row_with_note(&mut self, cells: Vec<Cell>, note: String) {
        self.rows.push(Row { cells, note });
    }

    /// Whether all columns fit into so many characters.
    pub fn fits(&mut self, width: Option<usize>) -> bool {
        self.measure();
        let columns: usize = self.widths.iter().map(|width| width + 1).sum();
        width.is_none_or(|width| columns.saturating_sub(1) <= width)
    }

    fn measure(&mut self) {
        for row in &self.rows {
            let columns = self.widths.len().max(row.cells.len());
            self.widths.resize(columns, 0);
            for (width, cell) in self.widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
    }

    /// Writes all rows. Further rows can follow: their columns are at least as wide. A note for
    /// which there is no room gets lines of its own.
    pub fn render(&mut self, width: Option<usize>, to: &mut impl Write) -> io::Result<()> {
        self.measure();
        for row in self.rows.drain(..) {
            let mut line = String::new();
            for (Cell { text, right }, &width) in row.cells.iter().zip(&self.widths) {
                let padded = if *right {
                    format!("{text:>width$} ")
                } else {
                    format!("{text:<width$} ")
                };
                line.push_str(&padded);
            }
            let length = line.chars().count() + row.note.chars().count();
            if width.is_none_or(|width| length <= width) {
                line.push_str(&row.note);
                writeln!(to, "{}", line.trim_end())?;
            } else {
                writeln!(to, "{}", line.trim_end())?;
                list("    ", &row.note, width, to)?;
            }
        }
        Ok(())
    }
}

/// Writes a list, broken into several lines where that is needed.
pub fn list(
    before: &str,
    items: &str,
    width: Option<usize>,
    to: &mut impl Write,
) -> io::Result<()> {
    let mut line = before.to_owned();
    let mut empty = true;
    for word in items.split(' ') {
        let length = line.chars().count() + 1 + word.chars().count();
        if !empty && width.is_some_and(|width| length > width) {
            writeln!(to, "{line}")?;
            line = format!("    {word}");
            continue;
        }
        if !std::mem::take(&mut empty) {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(to, "{line}")
}

/// A number in at most five characters: `99999`, `123K`, `12.3M`. Smaller parts are left out.
pub fn short(number: u64) -> String {
    if number < 100_000 {
        return number.to_string();
    }
    let units = [
        ("K", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000u64),
    ];
    let unit = units.iter().rfind(|(_, size)| number >= *size);
    let (letter, size) = unit.copied().unwrap_or(units[0]);
    let (whole, tenth) = (number / size, number % size * 10 / size);
    match whole {
        0..=99 => format!("{whole}.{tenth}{letter}"),
        _ => format!("{whole}{letter}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::default();
        table.row(vec![left("name"), right("count"), left("state")]);
        table.row_with_note(vec![left("a"), right(7)], "first".into());
        table.row(vec![left("longer"), right(1_234_567), left("up")]);
        let mut text = Vec::new();
        table.render(None, &mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "name     count state\n\
             a            7 first\n\
             longer 1234567 up\n"
        );
        let mut text = Vec::new();
        table.row(vec![left("b"), right(8), left("down")]);
        table.render(None, &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "b            8 down\n");
    }

    #[test]
    fn what_does_not_fit_is_broken_between_words() {
        let mut table = Table::default();
        table.row_with_note(
            vec![left("name"), right(7)],
            "a note of six words here".into(),
        );
        assert!(table.fits(Some(6)) && !table.fits(Some(5)));
        let mut text = Vec::new();
        table.render(Some(16), &mut text).unwrap();
        list("dropped: ", "no_server 3, too_big 1", Some(20), &mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "name 7\n    a note of\n    six words\n    here\n\
             dropped: no_server\n    3, too_big 1\n"
        );
    }

    #[test]
    fn short_numbers_have_at_most_five_characters() {
        for (number, shown) in [
            (0, "0"),
            (99_999, "99999"),
            (100_000, "100K"),
            (999_999, "999K"),
            (1_000_000, "1.0M"),
            (12_345_678, "12.3M"),
            (999_999_999_999, "999G"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(short(number), shown);
        }
    }
}
