//! What the daemon was told when it was started.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lb_api::Instance;
use lb_dataplane::Mode;
use lb_model::merge::Written;

/// What the daemon was told when it was started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which director.
    pub instance: Instance,
    /// Its file.
    pub config: PathBuf,
    /// Interfaces besides those of the file.
    pub interfaces: Vec<String>,
    /// How to attach.
    pub mode: ModeChoice,
}

/// How the XDP program is to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeChoice {
    /// Native where every interface can, else generic.
    Auto,
    /// As said.
    Only(Mode),
}

impl Options {
    /// The file, where it can be read again: standard input and pipes are empty by now, and
    /// reading them would wait for somebody to write.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        let path = Some(&*self.config).filter(|path| *path != Path::new("-"))?;
        let waits = fs::metadata(path).is_ok_and(|there| !there.is_file());
        (!waits).then_some(path)
    }

    /// The file's name for people.
    #[must_use]
    pub fn name(&self) -> String {
        self.config.display().to_string()
    }

    /// What the daemon's own file says, and the command line with it.
    #[must_use]
    pub fn own(&self, mut written: Written) -> Written {
        if !self.interfaces.is_empty() {
            add(written.interfaces.get_or_insert_default(), &self.interfaces);
        }
        written
    }

    /// What another file says. If it names interfaces, those of the command line stay.
    #[must_use]
    pub fn other(&self, mut written: Written) -> Written {
        if let Some(interfaces) = &mut written.interfaces {
            add(interfaces, &self.interfaces);
        }
        written
    }
}

fn add(interfaces: &mut Vec<String>, more: &[String]) {
    for name in more {
        if !interfaces.contains(name) {
            interfaces.push(name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_the_command_line_belong_to_the_file() {
        let options = Options {
            instance: "x".parse().unwrap(),
            config: "lb.yaml".into(),
            interfaces: vec!["eth1".to_owned(), "eth0".to_owned()],
            mode: ModeChoice::Auto,
        };
        let file = Written {
            interfaces: Some(vec!["eth0".to_owned()]),
            ..Written::default()
        };
        let both = Some(vec!["eth0".to_owned(), "eth1".to_owned()]);
        assert_eq!(options.own(file.clone()).interfaces, both);
        assert_eq!(options.other(file).interfaces, both);
        let own = options.own(Written::default());
        assert_eq!(own.interfaces, Some(options.interfaces.clone()));
        assert_eq!(options.other(Written::default()).interfaces, None);
    }
}
