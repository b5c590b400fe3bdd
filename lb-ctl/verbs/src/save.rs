//! `lb-ctl save`: writes the live state as a configuration file.

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use lb_api::{Instance, Reply, Request};
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
        let text = text(&desired)?;
        let file = &self.file;
        if file == Path::new("-") {
            return Ok(output.write_all(text.as_bytes())?);
        }
        replace(file, text.as_bytes()).map_err(|error| {
            Failure::Failed(format!("cannot write {}: {error}", file.display()))
        })?;
        // The file is written: a daemon that has ended since then does not need to know.
        let _ = ask(instance, &Request::Saved { text });
        Ok(())
    }
}

/// The text of a file that can be read back.
fn text(desired: &Desired) -> Result<String, Failure> {
    let mut text = Vec::new();
    lb_config::write(desired, &mut text)?;
    let text = String::from_utf8(text).map_err(|error| Failure::Failed(error.to_string()))?;
    lb_config::parse(&text, "the file").map_err(|error| {
        Failure::Failed(format!(
            "nothing was written, because the file could not be read back: {error}"
        ))
    })?;
    Ok(text)
}

/// Puts a text into a file. Whenever this is interrupted, the file has either its old or its new
/// contents, whole.
fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let (file, permissions) = match fs::metadata(file) {
        // A pipe or a device cannot be replaced.
        Ok(there) if !there.is_file() => return fs::write(file, text),
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
    new.persist(&file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_model::{Server, Service};
    use std::os::unix::fs::symlink;

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
