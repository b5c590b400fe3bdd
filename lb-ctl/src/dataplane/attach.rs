//! Attaching the program to interfaces, and taking over where it already is.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};
use nix::errno::Errno;

use super::{link, pins::Pins};
use crate::crash::{self, Step};

/// Where in the kernel the program meets packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the network stack, after an skb was made: slower, works with every interface.
    Generic,
}

impl Mode {
    /// As in listings and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// Makes the program handle an interface's packets. Where an older program of this instance
/// does, it is replaced between two packets.
pub fn attach(program: &mut Xdp, pins: &Pins, name: &str, index: u32, mode: Mode) -> Result<()> {
    let pin = pins.link(index);
    if pin.exists() {
        match take_over(program, pins, index) {
            Ok(()) => return Ok(()),
            Err(error) => {
                // The interface is gone and its index was given to another one, or somebody
                // else detached the link.
                tracing::warn!("{name}: the pinned link is dead ({error:#}); attaching anew");
                fs::remove_file(&pin)
                    .with_context(|| format!("cannot remove {}", pin.display()))?;
            }
        }
    }
    let flags = match mode {
        Mode::Native => XdpMode::Driver,
        Mode::Generic => XdpMode::Skb,
    };
    let id = program
        .attach_to_if_index(index, flags)
        .map_err(|error| explain(name, mode, error))?;
    let link: FdLink = program
        .take_link(id)?
        .try_into()
        .map_err(|_| anyhow!("{name}: this kernel has no links for XDP; Linux 5.17 is needed"))?;
    crash::after(Step::LinkMade);
    link.pin(&pin)
        .with_context(|| format!("{name}: cannot pin the link at {}", pin.display()))?;
    crash::after(Step::LinkPinned);
    Ok(())
}

/// Has the program handle the packets that a pinned link's program handled so far.
pub fn take_over(program: &mut Xdp, pins: &Pins, index: u32) -> Result<()> {
    let link: FdLink = PinnedLink::from_pin(pins.link(index))?.into();
    let link = XdpLink::try_from(link)?;
    let id = program.attach_to_link(link)?;
    crash::after(Step::LinkReplaced);
    // Dropping our handle leaves the link to its pin.
    drop(program.take_link(id)?);
    Ok(())
}

fn explain(name: &str, mode: Mode, error: ProgramError) -> anyhow::Error {
    let errno = match &error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error().map(Errno::from_raw),
        _ => None,
    };
    match errno {
        Some(Errno::EBUSY | Errno::EEXIST) => anyhow!(
            "{name} already carries another XDP program; look with `ip link show dev {name}`, and \
             remove it with `ip link set dev {name} xdp off` if nobody needs it"
        ),
        Some(Errno::EOPNOTSUPP) if mode == Mode::Native => anyhow!(
            "{name}: its driver has no native XDP; use --mode generic (slower) or --mode auto"
        ),
        Some(Errno::EPERM) => {
            anyhow!(
                "{name}: not permitted to attach XDP programs; be root (CAP_BPF, CAP_NET_ADMIN)"
            )
        }
        _ => anyhow!(error).context(format!(
            "cannot attach the XDP program to {name} in {} mode",
            mode.name()
        )),
    }
}

/// Stops handling an interface's packets, from the next one on.
pub fn detach(pins: &Pins, index: u32) -> Result<()> {
    end(&pins.link(index))
}

/// Detaches a pinned link and removes its pin.
pub fn end(pin: &Path) -> Result<()> {
    match link::detach(pin) {
        Ok(()) => {}
        // The interface is gone, and the link with it.
        Err(error) => tracing::debug!("{}: nothing to detach: {error}", pin.display()),
    }
    crash::after(Step::LinkDetached);
    fs::remove_file(pin).with_context(|| format!("cannot remove the pin {}", pin.display()))?;
    crash::after(Step::LinkUnpinned);
    Ok(())
}
