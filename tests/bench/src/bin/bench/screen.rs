//! Writes rows for people, one at a time.

use std::io::{self, Stdout, Write};

use lb_bench::{
    Row,
    figures::{figure, spread},
    report::{Origin, Target},
};
use lb_verbs::text::output::colour_for;

const BOLD: &str = "1";
const DIM: &str = "2";
pub const RED: &str = "31";
pub const GREEN: &str = "32";

/// The width of the column of cases in characters, until a wider case comes.
const CASE: usize = 46;

/// The output of rows.
pub struct Screen<W = Stdout> {
    to: W,
    colour: bool,
    group: String,
    case: usize,
}

impl Screen {
    /// Standard output.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let colour = colour_for(&stdout);
        Self::new(stdout, colour)
    }
}

impl<W: Write> Screen<W> {
    fn new(to: W, colour: bool) -> Self {
        Self {
            to,
            colour,
            group: String::new(),
            case: CASE,
        }
    }

    /// Writes what is measured, and where.
    pub fn origin(&mut self, origin: &Origin) {
        let Origin {
            cpu,
            cpus,
            kernel,
            commit,
            date,
        } = origin;
        self.line(&format!(
            "commit {commit}, {date}, Linux {kernel}, {cpus} × {cpu}"
        ));
    }

    /// Writes a row, below its group's title.
    pub fn row(&mut self, row: &Row) {
        if self.group != row.group {
            self.group.clone_from(&row.group);
            self.title();
        }
        self.case = self.case.max(row.case.chars().count());
        let (case, unit) = (self.case, row.unit.name());
        let (median, spread) = (figure(row.unit, row.median()), spread(row));
        let target = row.target.as_ref().map(|target| self.target(target));
        let line = format!(
            "{:case$} {median:>9} {spread:>17} {unit:19} {}",
            row.case,
            target.unwrap_or_default()
        );
        self.line(line.trim_end());
    }

    /// Writes how many targets are met.
    pub fn summary(&mut self, rows: &[Row]) {
        let targets: Vec<&Target> = rows.iter().filter_map(|row| row.target.as_ref()).collect();
        let met = targets.iter().filter(|target| target.met()).count();
        if !targets.is_empty() {
            self.line(&format!("\n{met} of {} targets met", targets.len()));
        }
    }

    /// Writes any other text. If the output is closed, the report is still written.
    pub fn line(&mut self, line: &str) {
        let _ = writeln!(self.to, "{line}");
    }

    /// Text in a colour, if colours are used.
    pub fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn title(&mut self) {
        let name = self.paint(BOLD, &format!("{:width$}", self.group, width = self.case));
        let columns = format!("{:>9} {:>17} {:19} target", "median", "10–90 %", "unit");
        let columns = self.paint(DIM, &columns);
        self.line(&format!("\n{name} {columns}"));
    }

    fn target(&self, target: &Target) -> String {
        let verdict = match target.met() {
            true => self.paint(GREEN, "met   "),
            false => self.paint(RED, "MISSED"),
        };
        format!("{verdict} {:.2}, target {}", target.value, target.text)
    }
}

#[cfg(test)]
mod tests {
    use lb_bench::Unit;

    use super::*;

    fn shown(colour: bool) -> String {
        let mut screen = Screen::new(Vec::new(), colour);
        let mut rows = ["DR, 1 flow", "DR, 1k flows"].map(|case| {
            let values = vec![10.0, 12.0, 11.0];
            Row::new("program", case, Unit::NanosecondsPerPacket, values)
        });
        rows[0].target = Some(Target::at_most(0.25, 0.3, "≤ 0.30 of katran's 44 ns"));
        rows[1].target = Some(Target::at_most(0.35, 0.3, "≤ 0.30 of katran's 31 ns"));
        rows.iter().for_each(|row| screen.row(row));
        screen.summary(&rows);
        String::from_utf8(screen.to).unwrap()
    }

    #[test]
    fn rows_stand_below_each_other() {
        let [blank, title, first, second, _, summary] = shown(false)
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        assert_eq!(blank, "");
        assert!(title.starts_with("program "));
        let place = |line: &str, of: &str| {
            let byte = line.find(of).unwrap();
            line[..byte].chars().count()
        };
        assert_eq!(place(&title, "target"), place(&first, "met"));
        assert_eq!(place(&first, "met"), place(&second, "MISSED"));
        assert_eq!(place(&first, "11.0"), place(&second, "11.0"));
        assert_eq!(summary, "1 of 2 targets met");
    }

    #[test]
    fn colour_is_for_terminals() {
        assert!(!shown(false).contains('\x1b'));
        assert!(shown(true).contains("\x1b[31mMISSED\x1b[0m"));
    }
}
