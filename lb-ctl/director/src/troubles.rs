//! What keeps the director from serving what it was told to serve: logged when it begins and when it
//! is over, and shown by `stats` meanwhile.

use std::collections::BTreeMap;

use anyhow::Result;

/// The troubles that there are now, by what each is about.
#[derive(Default)]
pub struct Troubles {
    /// Errors of what is tried again and again.
    failing: BTreeMap<String, String>,
    /// All others, by kind and subject.
    found: BTreeMap<(&'static str, String), String>,
}

impl Troubles {
    /// Takes in how something went that is tried again and again.
    pub fn note(&mut self, about: &str, outcome: Result<()>) {
        let Err(error) = outcome else {
            if self.failing.remove(about).is_some() {
                tracing::info!("{about}: it works again");
            }
            return;
        };
        let error = format!("{error:#}");
        if self.failing.get(about) != Some(&error) {
            tracing::error!("{about}: {error}; trying again every second");
            self.failing.insert(about.to_owned(), error);
        }
    }

    /// Makes these all troubles of a kind: sentences by subject.
    pub fn set(&mut self, kind: &'static str, now: BTreeMap<String, String>) {
        let before: Vec<_> = self.found.keys().filter(|(its, _)| *its == kind).collect();
        let over: Vec<_> = before
            .into_iter()
            .filter(|(_, subject)| !now.contains_key(subject))
            .cloned()
            .collect();
        for key in first(&over, "are over") {
            if let Some(trouble) = self.found.get(key) {
                tracing::info!("over: {trouble}");
            }
        }
        for key in &over {
            self.found.remove(key);
        }
        let new: Vec<_> = now
            .into_iter()
            .map(|(subject, trouble)| ((kind, subject), trouble))
            .filter(|(key, trouble)| self.found.get(key) != Some(trouble))
            .collect();
        for (_, trouble) in first(&new, "have begun") {
            tracing::warn!("{trouble}");
        }
        self.found.extend(new);
    }

    /// The troubles of a kind that there are now, as sentences.
    pub fn of(&self, kind: &str) -> Vec<String> {
        let of_kind = self.found.iter().filter(|((its, _), _)| *its == kind);
        of_kind.map(|(_, trouble)| trouble.clone()).collect()
    }

    /// All troubles that there are now, as sentences.
    pub fn all(&self) -> Vec<String> {
        let failing = self.failing.iter();
        let failing = failing.map(|(about, error)| format!("{about}: {error}"));
        failing.chain(self.found.values().cloned()).collect()
    }
}

/// The first few of many; says how many more there are.
fn first<'a, T>(all: &'a [T], what: &str) -> &'a [T] {
    const SHOWN: usize = 10;
    if all.len() > SHOWN {
        tracing::warn!(
            "{} troubles {what}; the first {SHOWN} follow, `stats` lists those that remain",
            all.len()
        );
    }
    &all[..all.len().min(SHOWN)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_last_until_they_are_no_longer_found() {
        let mut troubles = Troubles::default();
        let set = |troubles: &mut Troubles, subjects: &[&str]| {
            let now = subjects.iter();
            let now = now.map(|it| ((*it).to_owned(), format!("{it} is missing")));
            troubles.set("missing", now.collect());
        };
        set(&mut troubles, &["a", "b"]);
        troubles.note("pins", Err(anyhow::anyhow!("no room")));
        let all = ["pins: no room", "a is missing", "b is missing"];
        assert_eq!(troubles.all(), all);
        set(&mut troubles, &["b"]);
        troubles.note("pins", Ok(()));
        assert_eq!(troubles.all(), all[2..]);
        // Another kind leaves these alone.
        troubles.set("other", BTreeMap::new());
        assert_eq!(troubles.all(), all[2..]);
    }
}
