//! Where the daemon's log goes: a queue, which a thread of its own writes to standard error.
//!
//! A daemon must not wait for who reads its log, nor end because nobody does. A reader that has
//! stopped lets the queue fill: lines that have no room in it are lost, as are those that cannot
//! be written. How many, the log says as soon as it can be written again.

use std::{
    collections::VecDeque,
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use lb_model::spelling::count;
use tracing_subscriber::fmt::{
    MakeWriter,
    format::Writer,
    time::{FormatTime as _, SystemTime},
};

/// How many bytes of lines may wait for the reader.
const MOST: usize = 4 << 20;
/// How long the daemon's end waits until the lines are written.
const FAREWELL: Duration = Duration::from_secs(1);

/// Takes lines without waiting. When it is dropped, it waits a little until they are written.
pub struct Log(Arc<Queue>);

/// Puts lines into the queue.
#[derive(Clone)]
pub struct Lines(Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// Lines were added, or lost.
    more: Condvar,
    /// Everything was written.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Line>,
    bytes: usize,
    /// Lines that had no room, since one had.
    lost: u64,
    is_writing: bool,
}

#[derive(Default)]
struct Line {
    text: Vec<u8>,
    /// Lines that were lost before this one.
    lost: u64,
}

impl Log {
    /// Starts the thread that writes to `to`.
    pub fn to(to: impl Write + Send + 'static) -> anyhow::Result<Self> {
        let queue = Arc::<Queue>::default();
        let log = Self(Arc::clone(&queue));
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || queue.write_to(to))
            .context("cannot start the thread that writes the log")?;
        Ok(log)
    }

    /// Where lines go in.
    pub fn lines(&self) -> Lines {
        Lines(Arc::clone(&self.0))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let state = self.0.state();
        let _ = self.0.idle.wait_timeout_while(state, FAREWELL, |state| {
            state.is_writing || state.has_work()
        });
    }
}

impl Write for Lines {
    /// A line, whole: `tracing_subscriber` writes each in one piece.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.add(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl State {
    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.lost > 0
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole between any two of its statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: &[u8]) {
        let mut state = self.state();
        if state.bytes + text.len() > MOST {
            state.lost += 1;
        } else {
            state.bytes += text.len();
            let line = Line {
                text: text.to_owned(),
                lost: mem::take(&mut state.lost),
            };
            state.waiting.push_back(line);
        }
        self.more.notify_one();
    }

    /// What is written next; without a text, if only lines were lost.
    fn next(&self) -> Line {
        let mut state = self.state();
        state.is_writing = false;
        if !state.has_work() {
            self.idle.notify_all();
        }
        let waited = self.more.wait_while(state, |state| !state.has_work());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        let line = state.waiting.pop_front().unwrap_or_else(|| Line {
            lost: mem::take(&mut state.lost),
            ..Line::default()
        });
        state.bytes -= line.text.len();
        line
    }

    fn write_to(&self, mut to: impl Write) {
        let mut lost = 0;
        // The last write ended within a line.
        let mut is_cut = false;
        loop {
            let line = self.next();
            lost += line.lost;
            if lost > 0 {
                let end = if is_cut { "\n" } else { "" };
                let notice = format!("{end}{}", notice(lost));
                is_cut = match write(&mut to, notice.as_bytes()) {
                    Written::All => {
                        lost = 0;
                        false
                    }
                    Written::Part => true,
                    Written::Nothing => is_cut,
                };
            }
            if line.text.is_empty() {
                continue;
            }
            // In the order in which they came, or not at all.
            if lost > 0 {
                lost += 1;
                continue;
            }
            let written = write(&mut to, &line.text);
            lost = u64::from(written != Written::All);
            is_cut = written == Written::Part;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Written {
    All,
    Part,
    Nothing,
}

fn write(to: &mut impl Write, text: &[u8]) -> Written {
    let mut rest = text;
    while !rest.is_empty() {
        match to.write(rest) {
            Ok(0) => break,
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    match rest.len() {
        0 => Written::All,
        left if left == text.len() => Written::Nothing,
        _ => Written::Part,
    }
}

/// A line like those around it.
fn notice(lost: u64) -> String {
    let mut time = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let lines = count(usize::try_from(lost).unwrap_or(usize::MAX), "line");
    let were = if lost == 1 { "was" } else { "were" };
    format!("{time}  WARN lb_verbs: {lines} of the log {were} lost: they could not be written\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Read as _,
        os::unix::net::UnixStream,
        sync::mpsc::{Receiver, channel},
    };

    /// Has the writes that a test allows; each takes so many bytes, or fails.
    struct Scripted {
        allowed: Receiver<Result<usize, io::ErrorKind>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Scripted {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let most = self.allowed.recv().unwrap()?;
            let count = most.min(text.len());
            self.taken.lock().unwrap().extend_from_slice(&text[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of `lines` by such writes, with the time left out.
    fn written(lines: &[&str], writes: &[Result<usize, io::ErrorKind>]) -> String {
        let (allow, allowed) = channel();
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let to = Scripted {
            allowed,
            taken: Arc::clone(&taken),
        };
        let log = Log::to(to).unwrap();
        for line in lines {
            log.lines()
                .write_all(format!("{line}\n").as_bytes())
                .unwrap();
        }
        for &write in writes {
            allow.send(write).unwrap();
        }
        drop(log);
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| match line.split_once("Z  WARN ") {
            Some((_, notice)) => notice,
            None => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        const FULL: Result<usize, io::ErrorKind> = Err(io::ErrorKind::StorageFull);
        const ALL: Result<usize, io::ErrorKind> = Ok(usize::MAX);
        assert_eq!(written(&["a", "b"], &[ALL, ALL]), "a\nb");
        let notice = "lb_verbs: 1 line of the log was lost: they could not be written";
        assert_eq!(
            written(&["a", "b"], &[FULL, ALL, ALL]),
            format!("{notice}\nb")
        );
        // Not even the notice can be written; then there is room in the middle of a line only.
        assert_eq!(
            written(
                &["aaa", "bbb", "ccc", "d"],
                &[Ok(2), FULL, FULL, FULL, ALL, ALL]
            ),
            "aa\nlb_verbs: 3 lines of the log were lost: they could not be written\nd"
        );
    }

    #[test]
    fn a_reader_that_stops_holds_up_nobody() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let log = Log::to(ours).unwrap();
        let line = [b'x'; 1 << 10];
        // More than the queue and the socket take.
        let many = 2 * MOST / line.len();
        for _ in 0..many {
            log.lines().write_all(&line).unwrap();
        }
        let mut seen = Vec::new();
        let mut part = [0; 1 << 16];
        while !seen.ends_with(b"they could not be written\n") {
            let count = theirs.read(&mut part).unwrap();
            seen.extend_from_slice(&part[..count]);
        }
        let text = String::from_utf8(seen).unwrap();
        let written = text.matches('x').count() / line.len();
        // More than one, if the writer took lines while others came.
        let notices = text.split("lb_verbs: ").skip(1);
        let lost =
            notices.map(|notice| notice.split_once(' ').unwrap().0.parse::<usize>().unwrap());
        assert_eq!(lost.sum::<usize>() + written, many);
    }

    #[test]
    fn nobody_reads_at_all() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let log = Log::to(ours).unwrap();
        log.lines().write_all(b"a\n").unwrap();
        drop(log);
    }
}
