//! Schedulers and their flags.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{named::words, value::Value};
use crate::{
    fault::Fault,
    packet_path,
    spelling::{self, Named},
};

/// How a service chooses a server for a new connection: IPVS's schedulers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "IPVS's names say it")]
pub enum Scheduler {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Sed,
    Nq,
    Fo,
    Ovf,
    Sh,
    Dh,
    Mh,
    Lblc,
    Lblcr,
    Twos,
    /// A name that IPVS does not know. Only ipvsadm's command line can bring one; it is kept so
    /// that it can be refused by name, as the kernel does.
    Other(String),
}

impl Named for Scheduler {
    const KIND: &'static str = "scheduler";
    const ALL: &'static [Self] = &[
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Sh,
        Self::Dh,
        Self::Mh,
        Self::Lblc,
        Self::Lblcr,
        Self::Twos,
    ];

    fn name(&self) -> &str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Sh => "sh",
            Self::Dh => "dh",
            Self::Mh => "mh",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Twos => "twos",
            Self::Other(name) => name,
        }
    }

    fn usable() -> Vec<&'static str> {
        packet_path::SCHEDULERS.to_vec()
    }
}

impl Scheduler {
    /// By the name that a kernel is given, which takes any.
    #[must_use]
    pub fn named(word: &str) -> Self {
        let found = Self::ALL.iter().find(|scheduler| scheduler.name() == word);
        found
            .cloned()
            .unwrap_or_else(|| Self::Other(word.to_owned()))
    }

    fn received(word: &str) -> Result<Self, Fault> {
        Ok(Self::named(word))
    }
}

// The daemon refuses a name that it does not know for the kernel's reason.
words!(Scheduler, "NAME", Scheduler::received);

/// The flags of a scheduler: bit 0 is IPVS's `flag-1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerFlags(pub u8);

impl SchedulerFlags {
    /// IPVS's words for them: those of `sh` and `mh`, and the numbered ones for all others.
    pub const WORDS: [(&'static str, u8); 7] = [
        ("sh-fallback", 1),
        ("sh-port", 2),
        ("mh-fallback", 1),
        ("mh-port", 2),
        ("flag-1", 1),
        ("flag-2", 2),
        ("flag-3", 4),
    ];
}

impl Value for SchedulerFlags {
    const HINT: &'static str = "FLAGS";

    fn from_text(text: &str) -> Result<Self, Fault> {
        let mut flags = 0;
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let names = Self::WORDS.map(|(name, _)| name);
            let Some((_, bit)) = Self::WORDS.iter().find(|(name, _)| *name == word) else {
                return Err(Fault::new(format!(
                    "`{}` is not a scheduler's flag: use {}",
                    word.escape_debug(),
                    spelling::alternatives(&names)
                )));
            };
            flags |= bit;
        }
        Ok(Self(flags))
    }

    fn text(&self) -> String {
        let numbered = Self::WORDS.iter().skip(4);
        let set = numbered.filter(|(_, bit)| self.0 & bit != 0);
        set.map(|(name, _)| *name).collect::<Vec<_>>().join(",")
    }

    fn from_file(value: &Json) -> Result<Self, Fault> {
        let Json::Array(items) = value else {
            return Err(Fault::new("expected a list such as `[sh-port]`"));
        };
        let mut flags = 0;
        for item in items {
            let word = item
                .as_str()
                .ok_or_else(|| Fault::new(format!("`{item}` is not a scheduler's flag")))?;
            flags |= Self::from_text(word)?.0;
        }
        Ok(Self(flags))
    }

    fn file(&self) -> Json {
        let text = self.text();
        let words = text.split(',').filter(|word| !word.is_empty());
        Json::Array(words.map(Json::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::round_trip::comes_back;

    #[test]
    fn schedulers_and_flags_come_back_as_they_were_written() {
        Scheduler::ALL.iter().cloned().for_each(comes_back);
        (0..8).map(SchedulerFlags).for_each(comes_back);
    }

    #[test]
    fn a_scheduler_that_ipvs_does_not_know_is_received_to_be_refused() {
        let scheduler = serde_json::from_str::<Scheduler>("\"nosuch\"").unwrap();
        assert_eq!(scheduler, Scheduler::named("nosuch"));
        assert!(Scheduler::from_text("nosuch").is_err());
    }

    #[test]
    fn a_word_that_is_nearly_right_gets_a_suggestion() {
        let fault = |word| Scheduler::parse(word).unwrap_err().to_string();
        assert_eq!(
            fault("WRR"),
            "`WRR` is not a valid scheduler: use rr, wrr, lc or wlc (did you mean `wrr`?)"
        );
        assert!(!fault("random").contains("did you mean"));
    }

    #[test]
    fn an_unknown_flag_is_not_taken() {
        assert!(SchedulerFlags::from_text("sh-port,x").is_err());
    }
}
