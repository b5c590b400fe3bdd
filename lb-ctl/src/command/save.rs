//! `lb-ctl save`: the live state as a file.

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::Builder;

use super::{Failure, ask, out_of_place};
use crate::{
    api::{Reply, Request},
    args::Save,
    config,
    instance::Instance,
    output::Output,
};

pub fn save(
    instance: &Instance,
    arguments: &Save,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    let desired = match ask(instance, &Request::Show)? {
        Reply::Desired(desired) => desired,
        other => return Err(out_of_place(other)),
    };
    let file = &arguments.file;
    if file == Path::new("-") {
        return Ok(config::write(&desired, output)?);
    }
    let mut text = Vec::new();
    config::write(&desired, &mut text)?;
    replace(file, &text)
        .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", file.display())))?;
    // Without the daemon, there is nothing that it would have to know.
    let checksum = config::checksum(&text);
    let _ = ask(instance, &Request::Saved { checksum });
    Ok(())
}

/// Puts a text into a file such that at any time, whatever happens, either the old or the
/// new one stands there whole.
fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let (file, permissions) = match fs::metadata(file) {
        // A pipe or a device is written to.
        Ok(there) if !there.is_file() => return fs::write(file, text),
        // Behind a link, the file it leads to is replaced and not the link.
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
}
