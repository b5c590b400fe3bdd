//! Writes figures for people.

use super::report::{Row, Unit};

/// A figure, with as many digits as it has meaning.
#[must_use]
pub fn figure(unit: Unit, value: f64) -> String {
    let whole = matches!(unit, Unit::Bytes | Unit::Instructions);
    match value.abs() {
        size if whole || size >= 1000.0 => thousands(value),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The 10th and the 90th percentile; nothing if they do not differ.
#[must_use]
pub fn spread(row: &Row) -> String {
    let (low, high) = (row.quantile(0.1), row.quantile(0.9));
    if low < high {
        format!("{} – {}", figure(row.unit, low), figure(row.unit, high))
    } else {
        String::new()
    }
}

/// `1k`, `1M`.
#[must_use]
pub fn count(number: u32) -> String {
    match number {
        n if n >= 1_000_000 && n % 1_000_000 == 0 => format!("{}M", n / 1_000_000),
        n if n >= 1_000 && n % 1_000 == 0 => format!("{}k", n / 1_000),
        n => n.to_string(),
    }
}

/// `1 flow`, `1k flows`.
#[must_use]
pub fn flows_of(number: u32) -> String {
    match number {
        1 => "1 flow".to_owned(),
        _ => format!("{} flows", count(number)),
    }
}

/// `12,345`.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        text.insert(0, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_they_deserve() {
        let of = |value| figure(Unit::NanosecondsPerPacket, value);
        assert_eq!(of(0.126), "0.13");
        assert_eq!(of(-0.126), "-0.13");
        assert_eq!(of(12.34), "12.3");
        assert_eq!(of(999.94), "999.9");
        assert_eq!(of(1234.5), "1,234");
        assert_eq!(of(-1_234_567.0), "-1,234,567");
        assert_eq!(figure(Unit::Bytes, 96.0), "96");
    }

    #[test]
    fn values_that_do_not_differ_have_no_spread() {
        let row = |values| Row::new("g", "c", Unit::Milliseconds, values);
        assert_eq!(spread(&row(vec![2.0, 2.0])), "");
        assert_eq!(spread(&row(vec![])), "");
        assert_eq!(spread(&row(vec![10.0, 20.0])), "11.0 – 19.0");
    }

    #[test]
    fn counts_are_short_where_they_are_round() {
        let counts = [1, 999, 1000, 1500, 100_000, 1_000_000].map(count);
        assert_eq!(counts, ["1", "999", "1k", "1500", "100k", "1M"]);
    }
}
