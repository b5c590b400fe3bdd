//! Errors with an exit code of their own.

use std::{
    fmt,
    process::{ExitCode, ExitStatus},
};

/// Wrong arguments: exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

/// A command failed. Its exit code becomes xtask's.
#[derive(Debug)]
pub struct Failed {
    /// The step that it was part of.
    pub title: String,
    /// Its exit status.
    pub status: ExitStatus,
}

/// The exit code for an error.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<Usage>() {
        return ExitCode::from(2);
    }
    let code = error
        .downcast_ref::<Failed>()
        .and_then(|failed| failed.status.code());
    match code.map(u8::try_from) {
        Some(Ok(code)) => ExitCode::from(code),
        _ => ExitCode::FAILURE,
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed ({})", self.title, self.status)
    }
}

impl std::error::Error for Usage {}
impl std::error::Error for Failed {}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn wrong_arguments_are_told_from_failures_by_the_exit_code() {
        let code = |error: anyhow::Error| format!("{:?}", exit_code(&error));
        let two = format!("{:?}", ExitCode::from(2));
        let hundred_and_one = format!("{:?}", ExitCode::from(101));
        let one = format!("{:?}", ExitCode::FAILURE);
        let failed = |status| Failed {
            title: "tests".into(),
            status: ExitStatus::from_raw(status),
        };
        assert_eq!(code(Usage("no".into()).into()), two);
        assert_eq!(code(failed(101 << 8).into()), hundred_and_one);
        // Killed by SIGKILL: there is no exit code.
        assert_eq!(code(failed(9).into()), one);
        assert_eq!(code(anyhow::anyhow!("no")), one);
    }
}
