//! The options of services, servers and directors. Each is declared once, below: a field with
//! its type, and the sentence that help shows. YAML in both directions, the verbs, JSON, listings
//! and the lines of a plan go through [`Options::ROWS`].
//!
//! A new option that no packet reads is a line here. If the packet path cannot act on it yet,
//! [`packet_path`](crate::packet_path) says so.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value as Json};

use crate::{declare::options, fault::Fault, values::*};

options! {
    /// What an operator says of a service besides which it is and which servers it has.
    pub struct ServiceOptions {
        /// A name for it, which the other verbs take
        name: Option<Name> = None,
        /// What it is for, in a line of text
        description: Option<Text> = None,
        /// How it chooses a server for a new connection
        scheduler: Scheduler = Scheduler::Wlc,
        /// Flags of the scheduler
        scheduler_flags: SchedulerFlags = SchedulerFlags(0),
        /// The forwarding method of its servers that do not have their own
        forward: Method = Method::Dr,
        /// How long a client keeps its server, and which clients are taken for one
        persistence: Option<Persistence> = None,
        /// The engine that tells clients apart
        persistence_engine: Option<Engine> = None,
        /// Whether each packet is scheduled by itself
        one_packet: bool = false,
    }
}

options! {
    /// What an operator says of a server besides where it is.
    pub struct ServerOptions {
        /// What it is, in a line of text
        description: Option<Text> = None,
        /// Its share of new connections; 0 takes none
        weight: u32 = 1,
        /// Its forwarding method; the service's unless given
        forward: Option<Method> = None,
        /// It gets no new connections from this many on; 0 is no limit
        upper: u32 = 0,
        /// It gets new connections again below this many
        lower: u32 = 0,
        /// How its packets are wrapped with the method tun
        tunnel: Tunnel = Tunnel::Ipip,
    }
}

options! {
    /// How long connections live without a packet: what `ipvsadm --set` changes.
    pub struct Timeouts {
        /// Of an established TCP connection
        tcp: Seconds = Seconds(900),
        /// Of a TCP connection after a FIN
        tcpfin: Seconds = Seconds(120),
        /// Of a UDP connection
        udp: Seconds = Seconds(300),
    }
}

/// A set of options.
pub trait Options:
    Clone + Default + PartialEq + Serialize + for<'de> Deserialize<'de> + 'static
{
    /// Every option, in the order in which they are shown.
    const ROWS: &'static [Row<Self>];

    /// The row of this key.
    #[must_use]
    fn row(key: &str) -> Option<&'static Row<Self>> {
        Self::ROWS.iter().find(|row| row.key == key)
    }

    /// The rows whose values are not the default.
    fn said(&self) -> impl Iterator<Item = &'static Row<Self>> {
        Self::ROWS.iter().filter(|row| !(row.is_default)(self))
    }

    /// The options in which `other` differs, as `scheduler wlc -> wrr`.
    #[must_use]
    fn changes(&self, other: &Self) -> Vec<String> {
        let differ = |row: &&Row<Self>| (row.json)(self) != (row.json)(other);
        let rows = Self::ROWS.iter().filter(differ);
        rows.map(|row| format!("{} {} -> {}", row.key, row.shown(self), row.shown(other)))
            .collect()
    }
}

/// All that there is to know of one option of `T`.
pub struct Row<T> {
    /// Its key in files; with `-` for `_`, the flag of the verbs.
    pub key: &'static str,
    /// What it is, for help.
    pub help: &'static str,
    /// What stands for its value in help.
    pub hint: &'static str,
    /// The words for its values, where there are only a few that can be used.
    pub words: fn() -> Vec<&'static str>,
    /// Sets it to what a word means.
    pub set: fn(&mut T, &str) -> Result<(), Fault>,
    /// Its value as a word.
    pub text: fn(&T) -> String,
    /// Sets it to what a value of a file means.
    pub read: fn(&mut T, &Json) -> Result<(), Fault>,
    /// Its value as a file says it.
    pub file: fn(&T) -> Json,
    /// Sets it to a value from the socket or the record.
    pub put: fn(&mut T, &Json) -> Result<(), Fault>,
    /// Its value as [`put`](Self::put) takes it.
    pub json: fn(&T) -> Json,
    /// Whether it has its default value.
    pub is_default: fn(&T) -> bool,
}

impl<T> Row<T> {
    /// Its value for people: `none` if there is none, in quotes where it has spaces.
    pub fn shown(&self, options: &T) -> String {
        match (self.text)(options) {
            text if text.is_empty() => "none".to_owned(),
            text if text.contains(char::is_whitespace) => format!("{text:?}"),
            text => text,
        }
    }
}

/// Some options with the values that they are to have; all others stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Patch(Map<String, Json>);

impl Patch {
    /// Those of `options` that have these keys.
    #[must_use]
    pub fn of<T: Options>(options: &T, keys: &[&str]) -> Self {
        let rows = T::ROWS.iter().filter(|row| keys.contains(&row.key));
        Self(
            rows.map(|row| (row.key.to_owned(), (row.json)(options)))
                .collect(),
        )
    }

    /// One option, set to what a word means.
    pub fn word<T: Options>(&mut self, key: &str, word: &str) -> Result<(), Fault> {
        let row = row::<T>(key)?;
        let mut options = T::default();
        (row.set)(&mut options, word)?;
        self.0.insert(key.to_owned(), (row.json)(&options));
        Ok(())
    }

    /// The value that an option is to have, as JSON.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.get(key)
    }

    /// True if it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the options. Where one cannot be set, none is.
    pub fn put<T: Options>(&self, options: &mut T) -> Result<(), Fault> {
        let mut changed = options.clone();
        for (key, value) in &self.0 {
            (row::<T>(key)?.put)(&mut changed, value)?;
        }
        *options = changed;
        Ok(())
    }
}

fn row<T: Options>(key: &str) -> Result<&'static Row<T>, Fault> {
    T::row(key).ok_or_else(|| {
        let keys: Vec<_> = T::ROWS.iter().map(|row| row.key).collect();
        Fault::new(format!(
            "there is no option `{}`: use {}{}",
            key.escape_debug(),
            crate::spelling::alternatives(&keys),
            crate::spelling::did_you_mean(key, &keys)
        ))
    })
}

/// Options with all their values, defaults too: for JSON that people and scripts read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole<T>(pub T);

impl<T: Options> Serialize for Whole<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(T::ROWS.iter().map(|row| (row.key, (row.json)(&self.0))))
    }
}

impl<'de, T: Options> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Flattened into a larger object, it is given that object's other keys, too.
        let keys = Map::<String, Json>::deserialize(from)?;
        let mut options = T::default();
        for (key, value) in &keys {
            if let Some(row) = T::row(key) {
                (row.put)(&mut options, value).map_err(D::Error::custom)?;
            }
        }
        Ok(Self(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategies;
    use proptest::prelude::*;

    options! {
        /// Options with every kind of value that those above may come not to have.
        pub struct Others {
            /// A line of text
            text: Option<Text> = None,
        }
    }

    fn patch<T: Options>(words: &[(&str, &str)]) -> Result<Patch, Fault> {
        let mut patch = Patch::default();
        for (key, word) in words {
            patch.word::<T>(key, word)?;
        }
        Ok(patch)
    }

    #[test]
    fn a_patch_changes_what_it_names_and_keeps_the_rest() {
        let mut options = ServiceOptions {
            name: Some("web".parse().unwrap()),
            ..ServiceOptions::default()
        };
        let changes = patch::<ServiceOptions>(&[("scheduler", "wrr"), ("persistence", "60s")]);
        changes.unwrap().put(&mut options).unwrap();
        assert_eq!(options.scheduler, Scheduler::Wrr);
        assert_eq!(options.name, Some("web".parse().unwrap()));
        assert!(options.persistence.is_some());
        let away = patch::<ServiceOptions>(&[("name", "")]).unwrap();
        away.put(&mut options).unwrap();
        assert_eq!(options.name, None);
    }

    #[test]
    fn a_patch_that_is_wrong_in_one_place_changes_nothing() {
        let mut options = ServerOptions::default();
        let wrong: Patch = serde_json::from_str(r#"{"weight": 5, "upper": "x"}"#).unwrap();
        let fault = wrong.put(&mut options).unwrap_err().to_string();
        assert!(fault.starts_with("upper: "), "{fault}");
        assert_eq!(options, ServerOptions::default());
        let fault = patch::<ServerOptions>(&[("wieght", "1")]).unwrap_err();
        assert!(fault.to_string().contains("did you mean `weight`?"));
    }

    #[test]
    fn changes_are_told_old_and_new() {
        let (before, mut after) = (ServiceOptions::default(), ServiceOptions::default());
        after.name = Some("web".parse().unwrap());
        after.forward = Method::Tun;
        assert_eq!(
            before.changes(&after),
            ["name none -> web", "forward dr -> tun"]
        );
        let text = Others {
            text: Some("front page".parse().unwrap()),
        };
        assert_eq!(
            Others::default().changes(&text),
            ["text none -> \"front page\""]
        );
    }

    /// Each way in which options are written gives the same again.
    fn come_back<T: Options + std::fmt::Debug>(options: &T) {
        let json = serde_json::to_string(options).unwrap();
        assert_eq!(serde_json::from_str::<T>(&json).unwrap(), *options);
        let whole = serde_json::to_string(&Whole(options.clone())).unwrap();
        assert_eq!(
            serde_json::from_str::<Whole<T>>(&whole).unwrap().0,
            *options
        );
        let (mut words, mut file, mut patched) = (T::default(), T::default(), T::default());
        for row in options.said() {
            (row.set)(&mut words, &(row.text)(options)).unwrap();
            (row.read)(&mut file, &(row.file)(options)).unwrap();
        }
        let keys: Vec<_> = T::ROWS.iter().map(|row| row.key).collect();
        Patch::of(options, &keys).put(&mut patched).unwrap();
        assert_eq!((&words, &file, &patched), (options, options, options));
        assert_eq!(options.changes(&words), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn options_come_back_from_every_way_in_which_they_are_written(
            service in strategies::all_service_options(),
            server in strategies::all_server_options(),
            text in strategies::text(),
        ) {
            come_back(&service);
            come_back(&server);
            come_back(&Others { text: Some(text) });
        }
    }

    #[test]
    fn an_option_with_few_values_says_which() {
        let words = |key| (ServiceOptions::row(key).unwrap().words)();
        assert_eq!(words("scheduler"), ["rr", "wrr", "lc", "wlc"]);
        assert_eq!(words("forward"), ["dr", "nat", "tun"]);
        assert!(words("name").is_empty());
        let words = ServerOptions::row("forward").unwrap().words;
        assert_eq!(words(), ["dr", "nat", "tun"]);
    }

    #[test]
    fn strategies_give_every_option_a_value_that_is_not_its_default() {
        use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
        fn seen<T: Options>(strategy: impl Strategy<Value = T>) {
            let mut runner = TestRunner::deterministic();
            let mut missing: Vec<_> = T::ROWS.iter().map(|row| row.key).collect();
            for _ in 0..200 {
                let options = strategy.new_tree(&mut runner).unwrap().current();
                missing.retain(|key| options.said().all(|row| row.key != *key));
            }
            assert!(missing.is_empty(), "strategies.rs never sets {missing:?}");
        }
        seen(strategies::all_service_options());
        seen(strategies::all_server_options());
    }
}
