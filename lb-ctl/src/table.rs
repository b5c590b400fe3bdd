//! Tables for people: columns as wide as what stands in them.

use std::io::{self, Write};

/// Rows of cells.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
    widths: Vec<usize>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<Cell>,
    note: String,
}

/// What stands in one column of one row.
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

    /// One more row, with something behind it that is no column.
    pub fn row_with_note(&mut self, cells: Vec<Cell>, note: String) {
        self.rows.push(Row { cells, note });
    }

    /// Writes all rows and forgets them. The columns of later ones are no narrower, so that a
    /// long table can be written in pieces.
    pub fn render(&mut self, to: &mut impl Write) -> io::Result<()> {
        let widths = &mut self.widths;
        for row in &self.rows {
            widths.resize(widths.len().max(row.cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        for row in self.rows.drain(..) {
            let mut line = String::new();
            for (Cell { text, right }, &width) in row.cells.iter().zip(&*widths) {
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
    }

    #[test]
    fn a_table_in_pieces_keeps_its_columns() {
        let mut table = Table::default();
        let mut text = Vec::new();
        table.row(vec![left("name"), left("state")]);
        table.row(vec![left("longer"), left("up")]);
        table.render(&mut text).unwrap();
        table.row(vec![left("a"), left("up")]);
        table.render(&mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "name   state\n\
             longer up\n\
             a      up\n"
        );
    }
}
