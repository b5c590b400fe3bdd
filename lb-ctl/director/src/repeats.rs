//! Lines of the log about what may change again and again, because of what others do: after a few
//! in a minute, the rest are counted, so that nobody on the network can fill the log.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::core::Level;

/// For so long lines about one subject are counted.
const PERIOD: Duration = Duration::from_secs(60);
/// So many of them are logged as they come.
const AT_ONCE: u32 = 5;

/// The subjects that had lines in the last minute.
#[derive(Debug, Default)]
pub struct Repeats(BTreeMap<String, Repeat>);

#[derive(Debug)]
struct Repeat {
    since: Instant,
    lines: u32,
    /// The last line that was not logged.
    held: Option<(Level, String)>,
}

impl Repeats {
    /// True if a line about a subject is logged now. Otherwise it is held back.
    pub fn passes(&mut self, subject: &str, level: Level, line: &str, now: Instant) -> bool {
        let new = Repeat {
            since: now,
            lines: 0,
            held: None,
        };
        let repeat = self.0.entry(subject.to_owned()).or_insert(new);
        repeat.lines += 1;
        if repeat.lines <= AT_ONCE {
            return true;
        }
        repeat.held = Some((level, line.to_owned()));
        false
    }

    /// The lines about what was held back for a minute. To be called every second.
    pub fn due(&mut self, now: Instant) -> Vec<(Level, String)> {
        let is_over = |repeat: &Repeat| now.saturating_duration_since(repeat.since) >= PERIOD;
        let mut lines = Vec::new();
        for (subject, repeat) in self.0.iter_mut().filter(|(_, repeat)| is_over(repeat)) {
            if let Some(held) = repeat.take() {
                lines.push(told(subject, held));
            }
            repeat.since = now;
        }
        // Who was silent for a minute begins anew.
        self.0
            .retain(|_, repeat| repeat.lines > 0 || repeat.since != now);
        lines
    }

    /// The lines about all that is held back, because the daemon ends.
    pub fn end(&mut self) -> Vec<(Level, String)> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.filter_map(|(subject, mut repeat)| Some(told(&subject, repeat.take()?)))
            .collect()
    }
}

impl Repeat {
    /// What was held back: how many lines, and the last of them.
    fn take(&mut self) -> Option<(u32, Level, String)> {
        let lines = std::mem::take(&mut self.lines);
        let (level, line) = self.held.take()?;
        // As long as it goes on, nothing is logged at once.
        self.lines = AT_ONCE;
        Some((lines - AT_ONCE, level, line))
    }
}

fn told(subject: &str, (more, level, line): (u32, Level, String)) -> (Level, String) {
    let now = line.strip_prefix(subject).unwrap_or(&line);
    let now = now.trim_start_matches([':', ' ']);
    let line = format!("{subject} changed {more} times more in the last minute, now: {now}");
    (level, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_a_thousand_times_gets_six_lines_and_then_one_a_minute() {
        let (mut repeats, begin) = (Repeats::default(), Instant::now());
        let subject = "server 10.0.0.2";
        let flip = |repeats: &mut Repeats, times: u32, now| {
            let lines = (0..times).map(|n| format!("{subject}: at 02:{:02x}", n % 2));
            let passed = lines.filter(|line| repeats.passes(subject, Level::Info, line, now));
            passed.count() as u32
        };
        assert_eq!(flip(&mut repeats, 1000, begin), AT_ONCE);
        // Others are not concerned.
        assert!(repeats.passes("server 10.0.0.3", Level::Info, "x", begin));
        assert!(repeats.due(begin + PERIOD / 2).is_empty());
        let line = |more: u32| {
            let line =
                format!("{subject} changed {more} times more in the last minute, now: at 02:01");
            vec![(Level::Info, line)]
        };
        assert_eq!(repeats.due(begin + PERIOD), line(995));
        assert_eq!(flip(&mut repeats, 1000, begin + PERIOD), 0);
        assert_eq!(repeats.due(begin + 2 * PERIOD), line(1000));
        // After a calm minute, everything is logged at once again.
        assert!(repeats.due(begin + 3 * PERIOD).is_empty());
        assert!(repeats.0.is_empty());
        assert_eq!(flip(&mut repeats, 4, begin + 3 * PERIOD), 4);
    }

    #[test]
    fn what_is_held_back_is_logged_when_the_daemon_ends() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for _ in 0..7 {
            repeats.passes("server 10.0.0.2", Level::Warn, "server 10.0.0.2: gone", now);
        }
        let line = "server 10.0.0.2 changed 2 times more in the last minute, now: gone";
        assert_eq!(repeats.end(), [(Level::Warn, line.to_owned())]);
    }
}
