//! `lb-ctl ipvsadm`: ipvsadm's command line.

use std::{ffi::OsString, process::ExitCode};

use clap::Args;
use lb_api::Instance;
use lb_ipvsadm::Program;

/// `lb-ctl ipvsadm`
#[derive(Debug, Args)]
pub struct Ipvsadm {
    /// As ipvsadm takes them; see `lb-ctl ipvsadm -h`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub arguments: Vec<OsString>,
}

impl Ipvsadm {
    /// Ends with ipvsadm's exit code.
    pub fn carry_out(self, instance: Instance) -> ExitCode {
        lb_ipvsadm::run(Program::Ipvsadm, self.arguments, instance)
    }
}
