//! What is desired, recorded beside the socket: it outlives the daemon, and not the machine, like
//! the packet path.
//!
//! The record is a file of lines. The first says its format and the boot that it belongs to, the
//! second all that is desired; then comes a line for each batch of changes, written before the
//! packet path is touched. Each line is a checksum, a space, and JSON. This module is the
//! language; [`file`] keeps the file.

pub mod file;

use std::collections::BTreeMap;

use lb_model::{Change, Desired, Undo, merge::Written};
use serde::{Deserialize, Serialize};

/// A line of the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// The first line.
    Header {
        /// [`FORMAT`].
        format: u32,
        /// The kernel's `boot_id`.
        boot: String,
    },
    /// The second line: everything.
    Snapshot {
        /// The number of the last batch before.
        number: u64,
        /// What is desired.
        desired: Box<Desired>,
        /// The files.
        files: Box<Files>,
        /// The indices of interfaces, by the names that `desired` has for them.
        #[serde(default)]
        interfaces: BTreeMap<String, u32>,
    },
    /// The interfaces that the packet path is attached to now: see [`Line::Snapshot`].
    Interfaces(BTreeMap<String, u32>),
    /// Changes that are about to be made.
    Batch {
        /// Higher than that of the batch before.
        number: u64,
        /// In this order.
        changes: Vec<Change>,
        /// The files, where they change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        files: Option<Box<Files>>,
    },
    /// The last batch, and all before, have reached the packet path.
    Done {
        /// Its number.
        number: u64,
    },
    /// The packet path could not do the last batch: it is as if it had not been.
    Undone {
        /// Its number.
        number: u64,
    },
}

/// What files say that were read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The daemon's own file, when it was read or saved last.
    pub own: Written,
    /// The file that was applied last.
    pub last: Written,
}

/// What a record says.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// What is desired.
    pub desired: Desired,
    /// The files.
    pub files: Files,
    /// The indices of interfaces, by the names that they are desired by: they may have others now.
    pub interfaces: BTreeMap<String, u32>,
    /// The number of the last batch.
    pub number: u64,
    /// The last batches, if the daemon ended before the packet path had done them. There is more
    /// than one where the next daemon ended while it finished the first.
    pub doubts: Vec<Doubt>,
}

/// A batch that the packet path may not have, or only in part.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// Its number.
    pub number: u64,
    /// Undoes it.
    pub undo: Undo,
    /// The files before.
    pub files: Files,
}

/// The format that is written and read here.
pub const FORMAT: u32 = 1;

/// What was read.
#[derive(Debug)]
pub enum Read {
    /// A record that can be used.
    Whole {
        /// What it says.
        recorded: Box<Recorded>,
        /// The bytes of whole lines.
        length: usize,
    },
    /// It was written before the machine was started.
    OtherBoot,
    /// It cannot be used.
    Damaged {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// A line as it is written.
#[must_use]
pub fn encode(line: &Line) -> Vec<u8> {
    // A line has no keys that are not text, and no other thing that JSON does not have.
    let json = serde_json::to_string(line).unwrap_or_default();
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
}

/// A new record.
#[must_use]
pub fn begin(boot: &str, recorded: &Recorded) -> Vec<u8> {
    let header = Line::Header {
        format: FORMAT,
        boot: boot.to_owned(),
    };
    let snapshot = Line::Snapshot {
        number: recorded.number,
        desired: Box::new(recorded.desired.clone()),
        files: Box::new(recorded.files.clone()),
        interfaces: recorded.interfaces.clone(),
    };
    [encode(&header), encode(&snapshot)].concat()
}

/// Reads a record. A last line without its end is left out: a daemon crashed while it wrote the
/// line, and had not acted on it.
#[must_use]
pub fn read(bytes: &[u8], boot: &str) -> Read {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n');
    let length = whole.map_or(0, |end| end + 1);
    let mut recorded: Option<Recorded> = None;
    for (place, text) in bytes[..length].split_inclusive(|&b| b == b'\n').enumerate() {
        let outcome = decode(text).and_then(|line| match (place, line) {
            (0, Line::Header { format, .. }) if format != FORMAT => Err(format!(
                "it has format {format}, and this lb-ctl reads format {FORMAT}"
            )),
            (0, Line::Header { boot: of, .. }) => Ok(of == boot),
            (
                1,
                Line::Snapshot {
                    number,
                    desired,
                    files,
                    interfaces,
                },
            ) => {
                recorded = Some(Recorded {
                    desired: *desired,
                    files: *files,
                    interfaces,
                    number,
                    doubts: Vec::new(),
                });
                Ok(true)
            }
            (_, line) => match &mut recorded {
                Some(recorded) => recorded.add(line).map(|()| true),
                None => Err("it is not the line that a record begins with".to_owned()),
            },
        });
        match outcome {
            Ok(true) => {}
            Ok(false) => return Read::OtherBoot,
            Err(why) => {
                let line = place + 1;
                return Read::Damaged { line, why };
            }
        }
    }
    match recorded {
        Some(recorded) => Read::Whole {
            recorded: Box::new(recorded),
            length,
        },
        None => Read::Damaged {
            line: 1,
            why: "it ends before it says what is desired".to_owned(),
        },
    }
}

fn decode(text: &[u8]) -> Result<Line, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
    let (checksum, json) = text
        .trim_end_matches('\n')
        .split_once(' ')
        .ok_or("it has no checksum")?;
    if checksum != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
        return Err("its checksum is wrong".to_owned());
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}

impl Recorded {
    /// Takes in one more line.
    fn add(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Batch {
                number,
                changes,
                files,
            } if number > self.number => {
                let mut undo = Undo::default();
                for change in &changes {
                    change
                        .make(&mut self.desired, &mut undo)
                        .map_err(|error| format!("a change cannot be made: {error}"))?;
                }
                let before = self.files.clone();
                if let Some(files) = files {
                    self.files = *files;
                }
                self.number = number;
                self.doubts.push(Doubt {
                    number,
                    undo,
                    files: before,
                });
                Ok(())
            }
            Line::Interfaces(interfaces) => {
                self.interfaces = interfaces;
                Ok(())
            }
            Line::Done { number } if number == self.number => {
                self.doubts.clear();
                Ok(())
            }
            Line::Undone { number } => match self.doubts.pop() {
                Some(doubt) if doubt.number == number => {
                    doubt.undo.revert(&mut self.desired);
                    self.files = doubt.files;
                    Ok(())
                }
                _ => Err(format!("batch {number} is undone, and was not begun")),
            },
            other => Err(format!("it is out of place: {other:?}")
                .chars()
                .take(200)
                .collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_model::strategies;
    use proptest::{collection, prelude::*};

    const BOOT: &str = "this boot";

    fn whole(bytes: &[u8]) -> Recorded {
        match read(bytes, BOOT) {
            Read::Whole { recorded, length } => {
                assert!(length <= bytes.len());
                *recorded
            }
            other => panic!("{other:?}"),
        }
    }

    fn batch(number: u64, change: Change) -> Vec<u8> {
        encode(&Line::Batch {
            number,
            changes: vec![change],
            files: None,
        })
    }

    fn add(service: &str) -> Change {
        Change::AddService {
            id: service.parse().unwrap(),
            options: Default::default(),
        }
    }

    #[test]
    fn what_was_undone_was_not_desired() {
        let mut bytes = begin(BOOT, &Recorded::default());
        bytes.extend(batch(1, add("tcp/192.0.2.1:80")));
        bytes.extend(encode(&Line::Done { number: 1 }));
        bytes.extend(batch(2, Change::Clear));
        assert!(whole(&bytes).desired.services.is_empty());
        assert_eq!(whole(&bytes).doubts[0].number, 2);
        bytes.extend(encode(&Line::Undone { number: 2 }));
        assert_eq!(whole(&bytes).desired.services.len(), 1);
        assert!(whole(&bytes).doubts.is_empty());
        bytes.extend(batch(3, Change::Clear));
        assert!(whole(&bytes).desired.services.is_empty());
    }

    #[test]
    fn a_record_of_another_boot_or_format_is_not_used() {
        let bytes = begin("before", &Recorded::default());
        assert!(matches!(read(&bytes, BOOT), Read::OtherBoot));
        let header = encode(&Line::Header {
            format: FORMAT + 1,
            boot: BOOT.to_owned(),
        });
        assert!(matches!(read(&header, BOOT), Read::Damaged { line: 1, .. }));
        assert!(matches!(read(b"", BOOT), Read::Damaged { line: 1, .. }));
    }

    proptest! {
        #[test]
        fn a_line_that_was_not_written_to_its_end_is_as_if_it_had_not_been_begun(
            desired in strategies::desired(),
            after in strategies::desired(),
            cut in any::<prop::sample::Index>(),
        ) {
            let recorded = Recorded { desired, number: 7, ..Recorded::default() };
            let begun = begin(BOOT, &recorded);
            let last = batch(8, Change::Replace(Box::new(after.clone())));
            let bytes = [&begun[..], &last[..cut.index(last.len())]].concat();
            prop_assert_eq!(whole(&bytes).desired, recorded.desired);
            let bytes = [begun, last].concat();
            prop_assert_eq!(whole(&bytes).desired, after);
        }

        #[test]
        fn a_byte_that_changes_anywhere_in_a_whole_line_is_noticed(
            desired in strategies::desired(),
            changes in collection::vec(strategies::change(), 0..5),
            place in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let recorded = Recorded { desired, ..Recorded::default() };
            let mut bytes = begin(BOOT, &recorded);
            let mut live = recorded.desired;
            let mut number = 0;
            for change in changes {
                if change.make(&mut live, &mut Undo::default()).is_ok() {
                    number += 1;
                    bytes.extend(batch(number, change));
                }
            }
            prop_assert_eq!(&whole(&bytes).desired, &live);
            // Not the last byte: without it, the line is one that was not written to its end.
            let place = place.index(bytes.len() - 1);
            bytes[place] ^= flip;
            let outcome = read(&bytes, BOOT);
            let noticed = matches!(outcome, Read::Damaged { .. });
            prop_assert!(noticed, "byte {} of {}: {:?}", place, bytes.len(), outcome);
        }
    }
}
