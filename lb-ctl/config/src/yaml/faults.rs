//! What is wrong with a file, as it is found, and the paths that say where.

use std::fmt;

use lb_model::Fault;

/// Most faults of one file that are shown: nobody reads more.
const MAX_FAULTS: usize = 100;

/// The keys that lead to a value. A path lives on the stack of its reader and is written out for
/// a fault only.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    /// Nothing for the whole file.
    last: Option<(&'a Path<'a>, Step<'a>)>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

impl<'a> Path<'a> {
    /// The path of the whole file.
    pub const ROOT: Path<'static> = Path { last: None };

    /// A key of a mapping.
    pub fn key(&'a self, key: &'a str) -> Self {
        Self {
            last: Some((self, Step::Key(key))),
        }
    }

    /// An item of a list.
    pub fn item(&'a self, place: usize) -> Self {
        Self {
            last: Some((self, Step::Item(place))),
        }
    }
}

/// `services[1].servers[0].weight`
impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((parent, step)) = self.last else {
            return Ok(());
        };
        parent.fmt(f)?;
        match step {
            Step::Key(key) if parent.last.is_none() => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
            Step::Item(place) => write!(f, "[{place}]"),
        }
    }
}

/// The faults found so far.
#[derive(Default)]
pub struct Faults {
    first: Vec<Found>,
    more: usize,
}

/// A fault and where it is.
pub struct Found {
    /// Leads to what is wrong.
    pub path: String,
    /// Whether the key at the end of the path is wrong, rather than its value.
    pub at_key: bool,
    /// What is wrong.
    pub fault: Fault,
}

impl Faults {
    /// The first faults, and how many there are besides.
    pub fn found(self) -> (Vec<Found>, usize) {
        (self.first, self.more)
    }

    /// A value is wrong.
    pub fn value(&mut self, path: &Path, fault: Fault) {
        self.note(path, false, || fault);
    }

    /// A key is wrong. A fault that is not shown is not put into words.
    pub fn key(&mut self, path: &Path, fault: impl FnOnce() -> Fault) {
        self.note(path, true, fault);
    }

    /// A mapping has a key more than once.
    pub fn written_twice(&mut self, path: &Path) {
        let fault = "this key is written twice: leave one of them out";
        self.key(path, || Fault::new(fault));
    }

    /// Notes what is wrong with a value, and gives it where nothing is.
    pub fn check<T>(&mut self, path: &Path, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.value(path, fault)).ok()
    }

    fn note(&mut self, path: &Path, at_key: bool, fault: impl FnOnce() -> Fault) {
        if self.first.len() < MAX_FAULTS {
            self.first.push(Found {
                path: path.to_string(),
                at_key,
                fault: fault(),
            });
        } else {
            self.more += 1;
        }
    }
}
