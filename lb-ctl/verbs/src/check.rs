//! `lb-ctl check`: says whether a file is a valid configuration, and what would keep it from being
//! served on this machine.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use lb_api::Instance;
use lb_model::{merge::Written, spelling::count};

use crate::{failure::Failure, machine::Machine, text::output::Output};

/// `lb-ctl check`
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file; `-` is standard input
    pub file: PathBuf,
}

impl Check {
    pub fn carry_out(
        &self,
        instance: &Instance,
        machine: &impl Machine,
        output: &mut Output<impl Write>,
    ) -> Result<(), Failure> {
        let written = lb_config::load(&self.file)?;
        write!(output, "{}: ok: ", self.file.display())?;
        summary(&written, output)?;
        // The file is right: it may be meant for another machine.
        let troubles = machine.check(instance, &written);
        for trouble in troubles.unwrap_or_else(|error| vec![format!("{error:#}")]) {
            output.change_line(&format!("! on this machine: {trouble}"))?;
        }
        Ok(())
    }
}

fn summary(written: &Written, to: &mut impl Write) -> io::Result<()> {
    let Some(services) = &written.services else {
        return writeln!(to, "it does not change services");
    };
    let servers = services.iter().map(|service| service.servers.len()).sum();
    let services = count(services.len(), "service");
    writeln!(to, "{services}, {}", count(servers, "server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_file_is_counted() {
        for (text, said) in [
            ("services: []", "0 services, 0 servers"),
            (
                "services: [{address: 192.0.2.1:80, servers: [{address: 10.0.0.1}]}]",
                "1 service, 1 server",
            ),
            ("interfaces: [eth0]", "it does not change services"),
        ] {
            let written = lb_config::parse(text, "lb.yaml").unwrap();
            let mut to = Vec::new();
            summary(&written, &mut to).unwrap();
            assert_eq!(String::from_utf8(to).unwrap(), format!("{said}\n"));
        }
    }
}
