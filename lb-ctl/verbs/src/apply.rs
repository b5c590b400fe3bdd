//! `lb-ctl apply`: makes the live state equal to a file.

use std::{io::Write, path::PathBuf};

use clap::Args;
use lb_api::{Instance, Reply, Request};
use lb_config::Source;

use crate::{
    ask::{accept, out_of_place, tell},
    failure::Failure,
    text::output::Output,
};

/// `lb-ctl apply`
#[derive(Debug, Args)]
pub struct Apply {
    /// The configuration file; `-` is standard input
    pub file: PathBuf,
    /// Print the changes, but do not make them
    #[arg(long)]
    pub dry_run: bool,
}

impl Apply {
    pub fn carry_out(
        &self,
        instance: &Instance,
        output: &mut Output<impl Write>,
    ) -> Result<(), Failure> {
        let source = lb_config::read(&self.file)?;
        match lb_api::call(instance, &request(source.clone(), self.dry_run)) {
            Ok(reply) => match accept(reply)? {
                Reply::Lines(lines) => tell(&lines, output),
                _ => Err(out_of_place()),
            },
            Err(error) => {
                // A wrong file is reported as such also where no daemon runs.
                lb_config::parse(&source.text, &source.name)?;
                Err(error.into())
            }
        }
    }
}

fn request(Source { text, name }: Source, dry_run: bool) -> Request {
    Request::Apply {
        text,
        name,
        dry_run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_can_be_read_fits_into_a_request() {
        let source = Source {
            text: "\n".repeat(lb_config::MAX_TEXT / 2),
            // The longest path that the kernel takes.
            name: "\u{7f}".repeat(4096),
        };
        assert!(
            lb_config::parse(&source.text, "")
                .is_err_and(|why| { why.to_string().contains("the file is empty") })
        );
        let line = serde_json::to_vec(&request(source, false)).unwrap();
        assert!(line.len() < lb_api::MAX_REQUEST, "{}", line.len());
    }
}
