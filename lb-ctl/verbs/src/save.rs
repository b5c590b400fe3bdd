//! `lb-ctl save`: writes the live state as a configuration file.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use clap::Args;
use lb_api::{Instance, Reply, Request};
use lb_config::Extras;
use lb_model::Desired;
use tempfile::Builder;

use crate::{
    ask::{ask, out_of_place},
    failure::Failure,
    text::output::Output,
};

/// `lb-ctl save`
#[derive(Debug, Args)]
pub struct Save {
    /// Where to; `-` is standard output
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// Replace a file also if it has comments or aliases, which are lost, or is no configuration;
    /// the old file is kept beside it
    #[arg(long)]
    pub force: bool,
}

impl Save {
    pub fn carry_out(
        &self,
        instance: &Instance,
        output: &mut Output<impl Write>,
    ) -> Result<(), Failure> {
        let Reply::Desired(desired) = ask(instance, &Request::Show)? else {
            return Err(out_of_place());
        };
        let mut text = text(&desired)?;
        let file = &self.file;
        if file == Path::new("-") {
            return Ok(output.write_all(text.as_bytes())?);
        }
        let failed = |action: &str, error: io::Error| {
            Failure::Failed(format!("cannot {action} {}: {error}", file.display()))
        };
        match there(file, &desired).map_err(|error| failed("read", error))? {
            There::Same(old) => {
                writeln!(
                    output,
                    "{} already matches the live state: not changed",
                    file.display()
                )?;
                text = old;
            }
            There::Other => {
                replace(file, text.as_bytes()).map_err(|error| failed("write", error))?;
            }
            There::More(more) if self.force => {
                let kept = keep(file).map_err(|error| failed("keep a copy of", error))?;
                writeln!(output, "the old file is kept as {}", kept.display())?;
                replace(file, text.as_bytes()).map_err(|error| failed("write", error))?;
                let without = match more {
                    More::Extras(extras) => format!(" without {}", told(&extras)),
                    More::Unknown(_) => String::new(),
                };
                writeln!(output, "{} was written{without}", file.display())?;
            }
            There::More(more) => {
                let file = file.display();
                let why = match more {
                    More::Extras(extras) => {
                        format!("{file} has {}, which would be lost", told(&extras))
                    }
                    More::Unknown(why) => format!("{file} is not a configuration ({why})"),
                };
                return Err(Failure::Failed(format!(
                    "{why}: nothing was written\n\
                     `lb-ctl save --force {file}` replaces it and keeps the old file beside it; \
                     `lb-ctl save` prints what is live",
                )));
            }
        }
        // The file is written: a daemon that has ended since then does not need to know.
        let _ = ask(instance, &Request::Saved { text });
        Ok(())
    }
}

/// What is at the file's place already.
enum There {
    /// Nothing, or what can be replaced without a loss.
    Other,
    /// A file, with this text, that means what is live.
    Same(String),
    /// A file with more than what is live says.
    More(More),
}

/// What a file has, and would lose.
enum More {
    /// It means something else, and has more than a meaning.
    Extras(Extras),
    /// Nobody knows: it is not a configuration, for this reason.
    Unknown(String),
}

fn there(file: &Path, desired: &Desired) -> io::Result<There> {
    // What is no file is judged when it is written.
    let text = match fs::metadata(file) {
        Ok(there) if there.is_file() => fs::read(file)?,
        _ => return Ok(There::Other),
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let written = lb_config::parse(&text, "the file");
    let same = written.as_ref().is_ok_and(|written| {
        // A file that says nothing of services does not keep them.
        written.services.is_some() && written.alone() == *desired
    });
    if same {
        return Ok(There::Same(text));
    }
    let extras = lb_config::extras(&text);
    Ok(if !extras.is_empty() {
        There::More(More::Extras(extras))
    } else if let Err(error) = written
        && !text.trim().is_empty()
    {
        let why = error.to_string();
        let first = why.lines().next().unwrap_or_default();
        There::More(More::Unknown(first.to_owned()))
    } else {
        There::Other
    })
}

/// `2 comments (line 1 and others)`
fn told(extras: &Extras) -> String {
    let kinds = [(&extras.comments, "comment"), (&extras.aliases, "alias")];
    let kinds = kinds.into_iter().filter_map(|(places, noun)| {
        let first = places.first()?.line;
        Some(match (places.len(), noun) {
            (1, noun) => format!("1 {noun} (line {first})"),
            (many, "alias") => format!("{many} aliases (the first in line {first})"),
            (many, noun) => format!("{many} {noun}s (the first in line {first})"),
        })
    });
    kinds.collect::<Vec<_>>().join(" and ")
}

/// Keeps a copy of a file beside it, under a name that was free.
fn keep(file: &Path) -> io::Result<PathBuf> {
    let file = fs::canonicalize(file)?;
    for number in 0u32.. {
        let mut name = file.clone().into_os_string();
        name.push(".bak");
        if number > 0 {
            name.push(format!(".{number}"));
        }
        match fs::hard_link(&file, &name) {
            Ok(()) => return Ok(name.into()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Not every file system has links.
            Err(_) => {
                fs::copy(&file, &name)?;
                return Ok(name.into());
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The text of a file that can be read back.
fn text(desired: &Desired) -> Result<String, Failure> {
    let mut text = Vec::new();
    lb_config::write(desired, &mut text)?;
    let text = String::from_utf8(text).map_err(|error| Failure::Failed(error.to_string()))?;
    let read = lb_config::parse(&text, "the file").map_err(|error| {
        Failure::Failed(format!(
            "nothing was written, because the file could not be read back: {error}"
        ))
    })?;
    if read.alone() != *desired {
        return Err(Failure::Failed(
            "nothing was written, because the file would not mean what is live: this is an error \
             in lb-ctl, please report it with the output of `lb-ctl service list --json`"
                .to_owned(),
        ));
    }
    Ok(text)
}

/// Puts a text into a file. Whenever this is interrupted, the file has either its old or its new
/// contents, whole.
fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let (file, permissions) = match fs::metadata(file) {
        // A pipe or a device cannot be replaced.
        Ok(there) if !there.is_file() => return pour(file, text),
        // A link stays; the file that it leads to is replaced.
        Ok(there) => (fs::canonicalize(file)?, there.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (PathBuf::from(file), Permissions::from_mode(0o644))
        }
        Err(error) => return Err(error),
    };
    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut new = Builder::new()
        .prefix(".lb-ctl-save-")
        .permissions(permissions)
        .tempfile_in(directory)?;
    new.write_all(text)?;
    new.as_file().sync_all()?;
    if fs::read(new.path())? != text {
        return Err(io::Error::other(
            "what was written is not what is read back: is the disk damaged?",
        ));
    }
    new.persist(&file)?;
    Ok(())
}

/// Writes a text to what is no file, such as `/dev/stdout`; does not wait for somebody to read from
/// a pipe.
fn pour(to: &Path, text: &[u8]) -> io::Result<()> {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(to);
    let mut opened = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ENXIO) => io::Error::other("it is not a file, and nobody reads from it"),
        _ => error,
    })?;
    // Who reads may be slow.
    // SAFETY: the descriptor is open, and the kernel ignores those flags that were for the opening.
    if unsafe { libc::fcntl(opened.as_raw_fd(), libc::F_SETFL, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    opened.write_all(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_model::{Server, Service};
    use std::{
        io::Read,
        os::unix::fs::{FileTypeExt, symlink},
        process::Command,
        thread,
    };

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_kept() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lb.yaml");
        fs::write(&file, "old and longer").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let link = directory.path().join("link.yaml");
        symlink(&file, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(link.is_symlink());
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_with_comments_is_not_replaced_by_one_without() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lb.yaml");
        let live = |text: &str| lb_config::parse(text, "").unwrap().alone();
        let with = "# the shop\nservices: [{address: 192.0.2.1:80}] # web\n";
        fs::write(&file, with).unwrap();
        assert!(matches!(there(&file, &live(with)).unwrap(), There::Same(text) if text == with));
        let other = live("services: []\n");
        let There::More(More::Extras(extras)) = there(&file, &other).unwrap() else {
            panic!("its comments are not seen");
        };
        assert_eq!(told(&extras), "2 comments (the first in line 1)");
        fs::write(&file, "interfaces: [eth0] # ours\n").unwrap();
        let interfaces = live("interfaces: [eth0]\n");
        assert!(matches!(there(&file, &interfaces).unwrap(), There::More(_)));
        fs::write(&file, "services: [{address: 192.0.2.1:80}]\n").unwrap();
        assert!(matches!(there(&file, &other).unwrap(), There::Other));
        let none = directory.path().join("none.yaml");
        assert!(matches!(there(&none, &other).unwrap(), There::Other));
    }

    #[test]
    fn what_nobody_knows_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lb.yaml");
        let there = |text: &[u8]| {
            fs::write(&file, text).unwrap();
            there(&file, &Desired::default()).unwrap()
        };
        for text in [&b"garbage"[..], b"\x00\xff", b"servces: []\n", b"[1, 2]\n"] {
            assert!(
                matches!(there(text), There::More(More::Unknown(_))),
                "{text:?}"
            );
        }
        let marked = "\u{feff}# ours\nservices: [{address: 192.0.2.1:80}]\n";
        assert!(matches!(
            there(marked.as_bytes()),
            There::More(More::Extras(_))
        ));
        for text in [&b""[..], b"\n \n"] {
            assert!(matches!(there(text), There::Other), "{text:?}");
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let error = replace(&pipe, b"new").unwrap_err().to_string();
        assert!(error.contains("nobody reads from it"), "{error}");
        // More than a pipe holds, to a reader that takes its time.
        let text = vec![b'x'; 1 << 20];
        let mut reader = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&pipe)
            .unwrap();
        let mut seen = vec![0; text.len()];
        let reading = thread::spawn(move || reader.read_exact(&mut seen).map(|()| seen));
        replace(&pipe, &text).unwrap();
        assert_eq!(reading.join().unwrap().unwrap(), text);
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }

    #[test]
    fn every_old_file_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lb.yaml");
        for text in ["first", "second"] {
            fs::write(&file, text).unwrap();
            let kept = keep(&file).unwrap();
            replace(&file, b"new").unwrap();
            assert_eq!(fs::read_to_string(kept).unwrap(), text);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        assert!(replace(Path::new("/nonexistent/lb.yaml"), b"").is_err());
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let mut service = Service::new("tcp/192.0.2.1:80".parse().unwrap());
        service.servers = (0..1025u32)
            .map(|n| Server {
                id: format!("10.0.{}.{}:80", n / 200, n % 200 + 1)
                    .parse()
                    .unwrap(),
                options: Default::default(),
            })
            .collect();
        let desired = Desired {
            services: [service].into_iter().collect(),
            ..Desired::default()
        };
        let refused = text(&desired).unwrap_err();
        assert!(
            matches!(refused, Failure::Failed(why) if why.contains("nothing was written") && why.contains("1025 servers"))
        );
    }
}
