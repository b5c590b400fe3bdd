//! The file that holds the record.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use lb_api::{Instance, run_directory};
use lb_dataplane::crash::{self, Step};
use lb_model::Fault;
use tempfile::NamedTempFile;

use super::{Line, Read, Recorded, begin, encode, read};
use crate::core::Record;

/// A record that has grown by less than this is not written anew.
const LEAST: u64 = 1 << 20;

/// The file `INSTANCE.record`, beside the daemon's socket.
///
/// Where a line could not be written, no other is until the file is written anew: what follows
/// could mean something else without it.
///
/// Nothing is synced to a disk. What was written is in the kernel, where `kill -9` cannot take it
/// back; and after a crash of the machine, the record would not be used, because the packet path
/// is gone, too.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    boot: String,
    file: Option<File>,
    length: u64,
    /// Its length when it was written anew.
    begun: u64,
}

/// What was found in place of a record.
#[derive(Debug)]
pub enum Found {
    /// There is none.
    Nothing,
    /// One that can be used.
    Recorded {
        /// What it says.
        recorded: Box<Recorded>,
        /// Bytes of a last line that was not written to its end. Nobody had acted on it.
        torn: usize,
    },
    /// It was written before the machine was started.
    OtherBoot,
    /// It cannot be used, for this reason.
    Damaged(String),
}

impl RecordFile {
    /// The record of an instance, with what it says.
    pub fn open(instance: &Instance) -> io::Result<(Self, Found)> {
        let boot = fs::read_to_string(BOOT)?;
        Ok(Self::open_at(path(instance), boot.trim().to_owned()))
    }

    fn open_at(path: PathBuf, boot: String) -> (Self, Found) {
        let mut this = Self {
            path,
            boot,
            file: None,
            length: 0,
            begun: 0,
        };
        let found = this.load();
        (this, found)
    }

    fn load(&mut self) -> Found {
        let damaged = |why: String| Found::Damaged(format!("{}: {why}", self.path.display()));
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return damaged(error.to_string()),
        };
        match read(&bytes, &self.boot) {
            Read::OtherBoot => Found::OtherBoot,
            Read::Damaged { line, why } => damaged(format!("line {line}: {why}")),
            Read::Whole { recorded, length } => {
                let torn = bytes.len() - length;
                let open = || {
                    let file = OpenOptions::new().append(true).open(&self.path)?;
                    file.set_len(length as u64)?;
                    Ok(file)
                };
                let file: io::Result<File> = open();
                match file {
                    Ok(file) => self.file = Some(file),
                    Err(error) => return damaged(error.to_string()),
                }
                self.length = length as u64;
                self.begun = length as u64;
                Found::Recorded { recorded, torn }
            }
        }
    }

    /// True if it should be written anew: it has grown to more than twice its size, somebody
    /// has removed it, or it could not be written the last time.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let Some(file) = &self.file else {
            return true;
        };
        let gone = !self.is_at_its_path(file);
        if gone {
            tracing::warn!("the record {} was gone: written again", self.path.display());
        }
        gone || self.length - self.begun > self.begun.max(LEAST)
    }

    fn is_at_its_path(&self, file: &File) -> bool {
        let id = |found: Metadata| (found.dev(), found.ino());
        let there = fs::symlink_metadata(&self.path).map(id).ok();
        there.is_some() && there == file.metadata().map(id).ok()
    }

    /// Removes it.
    pub fn remove(&mut self) -> io::Result<()> {
        self.file = None;
        remove_at(&self.path).map(drop)
    }

    /// Writes it anew.
    pub fn rewrite(&mut self, recorded: &Recorded) -> io::Result<()> {
        self.file = None;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let bytes = begin(&self.boot, recorded);
        prove(&bytes, &self.boot, recorded)?;
        let mut new = NamedTempFile::new_in(folder)?;
        new.write_all(&bytes)?;
        crash::after(Step::RecordWritten);
        // Whole under its name or not at all.
        new.persist(&self.path)?;
        crash::after(Step::RecordRenamed);
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        self.length = bytes.len() as u64;
        self.begun = self.length;
        Ok(())
    }
}

/// Which boot of the machine this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// What an instance's record says; nothing if there is none that can be used. Nothing is changed.
pub fn look(instance: &Instance) -> io::Result<Option<Recorded>> {
    let boot = fs::read_to_string(BOOT)?;
    let bytes = match fs::read(path(instance)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    Ok(match read(&bytes, boot.trim()) {
        Read::Whole { recorded, .. } => Some(*recorded),
        Read::OtherBoot | Read::Damaged { .. } => None,
    })
}

impl Record for RecordFile {
    fn append(&mut self, line: &Line) -> Result<(), Fault> {
        let bytes = encode(line);
        let why =
            |error: io::Error| Fault::new(format!("cannot write {}: {error}", self.path.display()));
        let Some(file) = &mut self.file else {
            return Err(why(io::Error::other("it could not be written before")));
        };
        if let Err(error) = file.write_all(&bytes) {
            // A daemon that starts leaves out a part of a line, too.
            let _ = file.set_len(self.length);
            let error = why(error);
            self.file = None;
            return Err(error);
        }
        self.length += bytes.len() as u64;
        match line {
            Line::Batch { .. } => crash::after(Step::RecordAppended),
            Line::Undone { .. } => crash::after(Step::RecordUndone),
            _ => {}
        }
        Ok(())
    }
}

/// Makes sure that a record can be read, and means what it was made of, before it takes the place
/// of the one before.
fn prove(bytes: &[u8], boot: &str, recorded: &Recorded) -> io::Result<()> {
    let why = match read(bytes, boot) {
        Read::Whole {
            recorded: again, ..
        } if again.desired == recorded.desired
            && again.files == recorded.files
            && again.number == recorded.number =>
        {
            return Ok(());
        }
        Read::Whole { .. } => "it would mean something else".to_owned(),
        Read::OtherBoot => "it would be of another boot".to_owned(),
        Read::Damaged { line, why } => format!("line {line}: {why}"),
    };
    Err(io::Error::other(format!(
        "the new record could not be read back, and the old one stays: {why}"
    )))
}

/// Removes an instance's record: what was desired is not desired any more. True if there was one.
pub fn remove(instance: &Instance) -> io::Result<bool> {
    remove_at(&path(instance))
}

fn remove_at(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where an instance's record is.
#[must_use]
pub fn path(instance: &Instance) -> PathBuf {
    run_directory().join(format!("{instance}.record"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> (RecordFile, Found) {
        RecordFile::open_at(folder.join("x.record"), "boot".to_owned())
    }

    fn number(found: Found) -> (u64, usize) {
        match found {
            Found::Recorded { recorded, torn } => (recorded.number, torn),
            other => panic!("{other:?}"),
        }
    }

    fn batch(number: u64) -> Line {
        Line::Batch {
            number,
            changes: Vec::new(),
            files: None,
        }
    }

    #[test]
    fn lines_are_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, found) = open(folder.path());
        assert!(matches!(found, Found::Nothing));
        assert!(file.is_due() && file.append(&batch(1)).is_err());
        file.rewrite(&Recorded::default()).unwrap();
        file.append(&batch(1)).unwrap();
        assert_eq!(number(open(folder.path()).1), (1, 0));

        // The next line begins where the last whole one ends.
        let path = folder.path().join("x.record");
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(b"0123 {");
        fs::write(&path, bytes).unwrap();
        let (mut file, found) = open(folder.path());
        assert_eq!(number(found), (1, 6));
        file.append(&Line::Done { number: 1 }).unwrap();
        file.append(&batch(2)).unwrap();
        assert_eq!(number(open(folder.path()).1), (2, 0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_record_that_was_removed_or_replaced_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.record");
        let (mut file, _) = open(folder.path());
        for damage in [
            |path: &Path| fs::remove_file(path),
            |path: &Path| fs::rename(path, path.with_extension("old")),
            |path: &Path| {
                fs::copy(path, path.with_extension("new"))
                    .and_then(|_| fs::rename(path.with_extension("new"), path))
            },
        ] {
            file.rewrite(&Recorded::default()).unwrap();
            assert!(!file.is_due());
            damage(&path).unwrap();
            assert!(file.is_due());
        }
    }

    #[test]
    fn a_record_that_could_not_be_read_back_is_not_written() {
        let recorded = Recorded::default();
        let bytes = begin("boot", &recorded);
        assert!(prove(&bytes, "boot", &recorded).is_ok());
        let other = Recorded {
            number: 1,
            ..Recorded::default()
        };
        for (bytes, boot, recorded) in [
            (&bytes[..], "boot", &other),
            (&bytes, "other", &recorded),
            (&bytes[..bytes.len() - 1], "boot", &recorded),
        ] {
            assert!(prove(bytes, boot, recorded).is_err());
        }
    }

    #[test]
    fn a_damaged_record_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, _) = open(folder.path());
        file.rewrite(&Recorded::default()).unwrap();
        let path = folder.path().join("x.record");
        let mut bytes = fs::read(&path).unwrap();
        let place = bytes.len() - 5;
        bytes[place] ^= 1;
        fs::write(&path, bytes).unwrap();
        let Found::Damaged(why) = open(folder.path()).1 else {
            panic!("it is not noticed");
        };
        assert!(
            why.ends_with("x.record: line 2: its checksum is wrong"),
            "{why}"
        );
    }
}
