//! Asking the daemon, and showing what it did.

use std::io::Write;

use lb_api::{ErrorKind, Instance, Reply, Request};
use lb_model::Change;

use crate::{failure::Failure, text::output::Output};

/// Asks the daemon. An error that it answers is a failure.
pub fn ask(instance: &Instance, request: &Request) -> Result<Reply, Failure> {
    accept(lb_api::call(instance, request)?)
}

/// Takes a reply that is not an error.
pub fn accept(reply: Reply) -> Result<Reply, Failure> {
    match reply {
        Reply::Error { kind, message } => Err(failure(kind, message)),
        reply => Ok(reply),
    }
}

/// Makes one change, and tells what was done. `verb` is the command as typed.
pub fn change(
    instance: &Instance,
    verb: &str,
    change: Change,
    output: &mut Output<impl Write>,
) -> Result<(), Failure> {
    let request = Request::Change {
        changes: vec![change],
        tell: true,
        verb: verb.to_owned(),
    };
    changed(ask(instance, &request)?, output)
}

fn changed(reply: Reply, output: &mut Output<impl Write>) -> Result<(), Failure> {
    let Reply::Changed { lines, refused } = reply else {
        return Err(out_of_place());
    };
    match refused.into_iter().next() {
        Some(refused) => Err(failure(refused.kind, refused.message)),
        None => tell(&lines, output),
    }
}

/// Shows what was done, line by line.
pub fn tell(lines: &[String], output: &mut Output<impl Write>) -> Result<(), Failure> {
    if lines.iter().all(|line| line.starts_with('!')) {
        writeln!(output, "nothing to do")?;
    }
    for line in lines {
        output.change_line(line)?;
    }
    Ok(())
}

/// The reply does not belong to the request.
pub fn out_of_place() -> Failure {
    Failure::Failed("the daemon sent an unexpected answer".into())
}

fn failure(kind: ErrorKind, message: String) -> Failure {
    match kind {
        ErrorKind::Failed | ErrorKind::NoService => Failure::Failed(message),
        ErrorKind::BadRequest => Failure::Wrong(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_api::Refused;
    use lb_model::{ChangeError, Fault, Refusal};

    fn told(lines: &[&str], refused: Vec<Refused>) -> Result<String, Failure> {
        let mut output = Output::memory(false);
        let lines = lines.iter().map(ToString::to_string).collect();
        changed(Reply::Changed { lines, refused }, &mut output)?;
        Ok(output.text())
    }

    #[test]
    fn a_change_is_told_line_by_line() {
        let text = told(&["~ a", "+ b"], vec![]).unwrap();
        assert_eq!(text, "~ a\n+ b\n");
        assert_eq!(told(&[], vec![]).unwrap(), "nothing to do\n");
        let trouble = "! no interface has the VIP";
        let text = told(&[trouble], vec![]).unwrap();
        assert_eq!(text, format!("nothing to do\n{trouble}\n"));
    }

    #[test]
    fn a_change_that_is_refused_fails_and_a_wrong_one_is_a_wrong_argument() {
        let exists = ChangeError::ServiceExists("tcp/192.0.2.1:80".parse().unwrap());
        assert_eq!(exists.refusal(), Refusal::Exists);
        let failure = told(&[], vec![Refused::of(0, &exists)]).unwrap_err();
        assert!(matches!(failure, Failure::Failed(why) if why.contains("already exists")));
        let wrong = ChangeError::Invalid(Fault::new("no"));
        let failure = told(&[], vec![Refused::of(0, &wrong)]).unwrap_err();
        assert!(matches!(failure, Failure::Wrong(why) if why == "no"));
        let failure = changed(Reply::Done, &mut Output::memory(false)).unwrap_err();
        assert!(matches!(failure, Failure::Failed(why) if why.contains("unexpected answer")));
    }
}
