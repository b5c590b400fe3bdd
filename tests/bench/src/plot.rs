//! Plots as SVG, with a background of their own, so that they are readable on light and on dark
//! pages.

use std::ops::Range;

use anyhow::{Context, Result};
use plotters::{
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint, Ranged, ValueFormatter},
        types::RangedCoordf64,
    },
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    figures::{count, figure},
    program::OPENING,
    report::{Report, Row, Unit},
};

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The group whose figures it shows.
    pub group: &'static str,
    /// The file's name, without extension.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The SVG.
    pub svg: String,
}

impl Plot {
    /// Its path, relative to the document.
    #[must_use]
    pub fn path(&self) -> String {
        format!("performance/{}.svg", self.name)
    }
}

/// All plots that the report has figures for.
pub fn plots(report: &Report) -> Result<Vec<Plot>> {
    let opens = |row: &&Row| curve_of(row).starts_with(OPENING);
    let timed = |row: &&Row| row.group == "program" && row.unit == Unit::NanosecondsPerPacket;
    let rows = report.rows.iter().filter(timed);
    let (opening, known): (Vec<&Row>, Vec<&Row>) = rows.partition(opens);
    let flows = Curves {
        name: "flows",
        title: "What the program takes for a packet of a known connection",
        across: "flows",
        up: "ns per packet (logarithmic)",
        // Times from cache and from memory differ tenfold: use a logarithmic axis.
        by_factors: true,
        curves: curves(&known, "reference: "),
    };
    let servers = Curves {
        name: "servers",
        title: "What the program takes for a packet that opens a connection",
        across: "servers of the service",
        up: "ns per packet",
        by_factors: false,
        curves: curves(&opening, OPENING),
    };
    let mut plots = Vec::new();
    for curves in [flows, servers] {
        if !curves.curves.is_empty() {
            plots.push(curves.plot()?);
        }
    }
    let path = |row: &&Row| row.group == "path" && row.unit == Unit::MegapacketsPerSecond;
    let bars: Vec<&Row> = report.rows.iter().filter(path).collect();
    if !bars.is_empty() {
        plots.push(bar_chart(&bars)?);
    }
    Ok(plots)
}

const WIDTH: u32 = 860;
const HEIGHT: u32 = 440;
/// The share of the width for the names of curves or bars.
const NAMES: u32 = 220;
const LINE: i32 = 24;

const GROUND: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(36, 41, 47);
const FAINT: RGBColor = RGBColor(225, 228, 232);
/// The colour of the machine's reference curves.
const GREYS: [RGBColor; 3] = [
    RGBColor(170, 176, 183),
    RGBColor(125, 132, 140),
    RGBColor(80, 86, 94),
];
/// Okabe and Ito's palette: colour-blind readers can distinguish it, too.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A plot of curves.
struct Curves {
    name: &'static str,
    title: &'static str,
    across: &'static str,
    up: &'static str,
    /// Whether the vertical axis is logarithmic, too.
    by_factors: bool,
    curves: Vec<Curve>,
}

struct Curve {
    name: String,
    reference: bool,
    colour: RGBColor,
    points: Vec<Place>,
}

/// The curve that a row belongs to.
struct Place {
    x: f64,
    median: f64,
    low: f64,
    high: f64,
}

impl Curve {
    /// The line's width. The peer's is as wide as ours.
    fn width(&self) -> u32 {
        if self.reference && !self.name.starts_with("katran") {
            1
        } else {
            2
        }
    }
}

fn curve_of(row: &Row) -> &str {
    row.point.as_ref().map_or("", |point| &point.curve)
}

/// The curves of these rows, in the rows' order. This common beginning of their names is left out.
fn curves(rows: &[&Row], beginning: &str) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    let (mut greys, mut colours) = (GREYS.iter().cycle(), COLOURS.iter().cycle());
    for row in rows {
        let Some(point) = &row.point else { continue };
        let name = point.curve.strip_prefix(beginning).unwrap_or(&point.curve);
        let place = Place {
            x: point.x,
            median: row.median(),
            low: row.quantile(0.1),
            high: row.quantile(0.9),
        };
        if let Some(curve) = curves.iter_mut().find(|curve| curve.name == name) {
            curve.points.push(place);
            continue;
        }
        let reference = row.is_reference();
        let colour = if reference {
            greys.next()
        } else {
            colours.next()
        };
        curves.push(Curve {
            name: name.to_owned(),
            reference,
            colour: colour.copied().unwrap_or(INK),
            points: vec![place],
        });
    }
    curves
}

impl Curves {
    fn plot(&self) -> Result<Plot> {
        let mut svg = String::new();
        draw(&mut svg, HEIGHT, self.title, |area| self.draw(area))
            .with_context(|| format!("draw the plot {:?}", self.name))?;
        Ok(Plot {
            group: "program",
            name: self.name,
            title: self.title,
            svg,
        })
    }

    fn draw(&self, area: &Area) -> Result<()> {
        let (left, right) = area.split_horizontally(WIDTH - NAMES);
        let places = || self.curves.iter().flat_map(|curve| &curve.points);
        let top = places().fold(0.0_f64, |top, place| top.max(place.high));
        let across = Logarithmic::labelled(places().map(|place| place.x));
        if self.by_factors {
            let bottom = places().fold(top, |bottom, place| bottom.min(place.low));
            let up = Logarithmic::round(bottom.max(1.0)..top.max(10.0));
            self.chart(&left, across, up)?;
        } else {
            let up: RangedCoordf64 = (0.0..top * 1.05).into();
            self.chart(&left, across, up)?;
        }
        self.names(&right)
    }

    fn chart<Y>(&self, area: &Area, across: Logarithmic, up: Y) -> Result<()>
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .margin_top(8)
            .margin_bottom(12)
            .margin_left(12)
            .margin_right(12)
            .x_label_area_size(48)
            .y_label_area_size(72)
            .build_cartesian_2d(across, up)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .axis_style(GREYS[1])
            .label_style(text(14))
            .axis_desc_style(text(15))
            .x_label_formatter(&|number| count(*number as u32))
            .y_label_formatter(&|value| format!("{value:.0}"))
            .y_labels(8)
            .x_desc(self.across)
            .y_desc(self.up)
            .draw()?;
        for curve in &self.curves {
            let width = curve.width();
            let style = curve.colour.stroke_width(width);
            let whisker = curve.colour.mix(0.5).stroke_width(1);
            let at = |place: &Place| (place.x, place.median);
            chart.draw_series(curve.points.iter().map(|place| {
                PathElement::new(vec![(place.x, place.low), (place.x, place.high)], whisker)
            }))?;
            if curve.reference {
                let dashes = DashedLineSeries::new(curve.points.iter().map(at), 5, 4, style);
                chart.draw_series(dashes)?;
            } else {
                chart.draw_series(LineSeries::new(curve.points.iter().map(at), style))?;
            }
            let dots = curve.points.iter();
            chart.draw_series(
                dots.map(|place| Circle::new(at(place), 3 + width, curve.colour.filled())),
            )?;
        }
        Ok(())
    }

    /// Sorted from the curve that ends highest to the one that ends lowest.
    fn names(&self, area: &Area) -> Result<()> {
        let end = |curve: &Curve| curve.points.last().map_or(0.0, |place| place.median);
        let mut curves: Vec<&Curve> = self.curves.iter().collect();
        curves.sort_by(|one, other| end(other).total_cmp(&end(one)));
        for (line, curve) in curves.iter().enumerate() {
            let y = LINE + line as i32 * LINE;
            let width = curve.width();
            let stroke = curve.colour.stroke_width(width);
            area.draw(&PathElement::new(vec![(0, y), (24, y)], stroke))?;
            area.draw(&Circle::new((12, y), 3 + width, curve.colour.filled()))?;
            let style = text(14).pos(Pos::new(HPos::Left, VPos::Center));
            area.draw(&Text::new(curve.name.clone(), (34, y), style))?;
        }
        Ok(())
    }
}

/// A logarithmic axis.
struct Logarithmic {
    /// Logarithms of its two ends.
    ends: Range<f64>,
    labels: Vec<f64>,
}

impl Logarithmic {
    /// An axis with a label at each figure.
    fn labelled(numbers: impl Iterator<Item = f64>) -> Self {
        let mut labels: Vec<f64> = numbers.collect();
        labels.sort_by(f64::total_cmp);
        labels.dedup();
        let end = |number: Option<&f64>| number.copied().unwrap_or(1.0).log10();
        let (first, last) = (end(labels.first()), end(labels.last()));
        let margin = 0.04 * (last - first).max(1.0);
        Self {
            ends: first - margin..last + margin,
            labels,
        }
    }

    /// An axis with labels at round numbers.
    fn round(Range { start, end }: Range<f64>) -> Self {
        let (start, end) = (start * 0.8, end * 1.2);
        let decades = start.log10().floor() as i32..=end.log10().ceil() as i32;
        let labels = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|n| n * 10_f64.powi(decade)));
        Self {
            ends: start.log10()..end.log10(),
            labels: labels.filter(|n| (start..=end).contains(n)).collect(),
        }
    }
}

impl Ranged for Logarithmic {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (left, right): (i32, i32)) -> i32 {
        let Range { start, end } = self.ends;
        // Noise can make a figure negative, which has no logarithm: it is drawn at the axis's
        // beginning.
        let share = (value.log10().max(start) - start) / (end - start);
        left + (share * f64::from(right - left)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.labels.clone()
    }

    fn range(&self) -> Range<f64> {
        10_f64.powf(self.ends.start)..10_f64.powf(self.ends.end)
    }
}

/// A plot with a bar for each row, and its figure.
fn bar_chart(rows: &[&Row]) -> Result<Plot> {
    let (name, title) = (
        "path",
        "Packets per second, sender and receiver included, on one CPU",
    );
    /// The distance from one bar to the next, and the space below all.
    const STEP: i32 = 34;
    let height = (rows.len() as i32 * STEP + 64) as u32;
    let most = rows
        .iter()
        .fold(0.0_f64, |most, row| most.max(row.median()));
    let mut svg = String::new();
    draw(&mut svg, height, title, |area| {
        let names = NAMES as i32 + 60;
        let room = WIDTH as i32 - names - 110;
        for (line, row) in rows.iter().enumerate() {
            let y = line as i32 * STEP + STEP / 2;
            let share = if most > 0.0 { row.median() / most } else { 0.0 };
            let end = names + (share.clamp(0.0, 1.0) * f64::from(room)) as i32;
            let colour = if row.is_reference() {
                GREYS[0]
            } else {
                COLOURS[0]
            };
            let bar = [(names, y - 10), (end, y + 10)];
            area.draw(&Rectangle::new(bar, colour.filled()))?;
            let case = text(14).pos(Pos::new(HPos::Right, VPos::Center));
            let name = row.case.strip_suffix(", rate").unwrap_or(&row.case);
            area.draw(&Text::new(name.to_owned(), (names - 10, y), case))?;
            let value = text(14).pos(Pos::new(HPos::Left, VPos::Center));
            let figure = format!("{} {}", figure(row.unit, row.median()), row.unit.name());
            area.draw(&Text::new(figure, (end + 8, y), value))?;
        }
        Ok(())
    })
    .with_context(|| format!("draw the plot {name:?}"))?;
    Ok(Plot {
        group: "path",
        name,
        title,
        svg,
    })
}

/// Draws the background and the title. The caller draws the rest.
fn draw(
    svg: &mut String,
    height: u32,
    title: &str,
    content: impl FnOnce(&Area) -> Result<()>,
) -> Result<()> {
    let root = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    root.fill(&GROUND)?;
    let (head, body) = root.split_vertically(44);
    let style = text(18).pos(Pos::new(HPos::Left, VPos::Center));
    head.draw(&Text::new(title.to_owned(), (16, 24), style))?;
    content(&body)?;
    root.present()?;
    Ok(())
}

fn text(size: u32) -> TextStyle<'static> {
    // The backend writes smaller font sizes than it is given.
    ("sans-serif", f64::from(size) * 1.24)
        .into_font()
        .color(&INK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Point;

    fn row(curve: &str, x: f64) -> Row {
        let mut row = Row::new(
            "program",
            format!("{curve}, {x}"),
            Unit::NanosecondsPerPacket,
            vec![x + 1.0, x + 2.0],
        );
        row.point = Some(Point {
            curve: curve.to_owned(),
            x,
        });
        row
    }

    #[test]
    fn there_is_a_plot_for_what_there_are_figures_for() {
        let mut report = Report::default();
        assert!(plots(&report).unwrap().is_empty());
        report.rows = vec![row("DR", 1.0), row("DR", 1000.0)];
        let names = |report: &Report| -> Vec<&str> {
            plots(report)
                .unwrap()
                .iter()
                .map(|plot| plot.name)
                .collect()
        };
        assert_eq!(names(&report), ["flows"]);
        // Also with a single point.
        report.rows.push(row("new connection, rr", 4.0));
        let bar = Row::new("path", "DR", Unit::MegapacketsPerSecond, vec![4.0]);
        report.rows.push(bar);
        assert_eq!(names(&report), ["flows", "servers", "path"]);
    }

    #[test]
    fn plots_name_their_curves() {
        let report = Report {
            rows: vec![row("DR", 1.0), row("reference: lookup", 1.0)],
            ..Report::default()
        };
        let svg = &plots(&report).unwrap()[0].svg;
        assert!(svg.contains("DR") && svg.contains("lookup"), "{svg}");
        assert!(svg.contains("ns per packet"), "{svg}");
    }
}
