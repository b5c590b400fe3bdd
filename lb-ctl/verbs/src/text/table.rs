//! Tables for people: each column is as wide as its widest cell.

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

    /// Writes all rows. Further rows can follow: their columns are at least as wide.
    pub fn render(&mut self, to: &mut impl Write) -> io::Result<()> {
        for row in &self.rows {
            let columns = self.widths.len().max(row.cells.len());
            self.widths.resize(columns, 0);
            for (width, cell) in self.widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
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
            line.push_str(&row.note);
            writeln!(to, "{}", line.trim_end())?;
        }
        Ok(())
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
        table.render(&mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "name     count state\n\
             a            7 first\n\
             longer 1234567 up\n"
        );
        let mut text = Vec::new();
        table.row(vec![left("b"), right(8), left("down")]);
        table.render(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "b            8 down\n");
    }
}
