//! Links: attaching the program to interfaces, and replacing it where it is attached already.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};
use nix::errno::Errno;

use super::{
    mode::Mode,
    occupant::occupied,
    pins::Pins,
    refused::{Refused, refused},
};
use crate::{
    crash::{self, Step},
    kernel::{interface::name_of, rejection, syscall, xdp},
};

/// The links to interfaces. Their pins let them outlive the daemon; the daemon holds them open,
/// which lets them outlive their pins.
pub struct Links {
    pins: Pins,
    held: HashMap<u32, OwnedFd>,
}

impl Links {
    /// No link is open yet.
    pub fn new(pins: Pins) -> Self {
        let held = HashMap::new();
        Self { pins, held }
    }

    /// The interfaces that have a link, by index.
    pub fn interfaces(&self) -> Result<Vec<u32>> {
        let pinned = self.pins.links()?.into_iter().map(|(index, _)| index);
        let all: BTreeSet<_> = pinned.chain(self.held.keys().copied()).collect();
        Ok(all.into_iter().collect())
    }

    /// Those of the pinned links that are attached to their interface.
    pub fn alive(&self) -> Result<Vec<u32>> {
        let pinned = self.pins.links()?.into_iter();
        let alive = pinned.filter(|(index, pin)| {
            let link = syscall::open(pin).and_then(|link| syscall::look_at(link.as_fd()));
            link.is_ok_and(|link| link.interface == *index)
        });
        Ok(alive.map(|(index, _)| index).collect())
    }

    /// From now on, links are pinned here. Those that are held are pinned again by
    /// [`repair`](Self::repair).
    pub fn move_to(&mut self, pins: Pins) {
        self.pins = pins;
    }

    /// Makes the program handle an interface's packets. If an older program of this instance
    /// does, it is replaced between two packets.
    pub fn attach(&mut self, program: &mut Xdp, name: &str, index: u32, mode: Mode) -> Result<()> {
        let pin = self.pins.link(index);
        if pin.exists() {
            match self.take_over(program, index) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    // The kernel gave the index of a deleted interface to another one, or somebody
                    // else detached the link.
                    tracing::warn!("{name}: the pinned link is dead ({error:#}); attaching anew");
                    remove(&pin)?;
                }
            }
        }
        self.held.remove(&index);
        let flags = match mode {
            Mode::Native => XdpMode::Driver,
            Mode::Generic => XdpMode::Skb,
        };
        let id = match program.attach_to_if_index(index, flags) {
            Ok(id) => id,
            Err(error) => return Err(self.explain(program, name, index, mode, error)),
        };
        let link: FdLink = program.take_link(id)?.try_into().map_err(|_| {
            anyhow!("{name}: this kernel has no links for XDP; Linux 5.17 is needed")
        })?;
        crash::after(Step::LinkMade);
        link.pin(&pin)
            .with_context(|| format!("{name}: cannot pin the link at {}", pin.display()))?;
        crash::after(Step::LinkPinned);
        self.hold(index)
    }

    /// Replaces the program of a pinned link by this one.
    pub fn take_over(&mut self, program: &mut Xdp, index: u32) -> Result<()> {
        let link: FdLink = PinnedLink::from_pin(self.pins.link(index))?.into();
        let link = XdpLink::try_from(link)?;
        let id = program.attach_to_link(link)?;
        crash::after(Step::LinkReplaced);
        // The pin keeps the link when our handle is dropped.
        drop(program.take_link(id)?);
        self.hold(index)
    }

    /// Makes sure that a link is pinned and has this program. Gives what was wrong, if anything.
    pub fn repair(
        &mut self,
        program: &mut Xdp,
        index: u32,
    ) -> Result<Option<&'static str>, LinkError> {
        let link = self.look_at(index).map_err(LinkError::Dead)?;
        let wrong = self
            .pin_again(index, link.id)
            .map_err(LinkError::Unpinned)?;
        let own = program
            .info()
            .map_err(|error| LinkError::Dead(error.into()))?;
        if link.program != own.id() {
            self.take_over(program, index).map_err(LinkError::Dead)?;
            return Ok(Some("it had another program"));
        }
        Ok(wrong)
    }

    fn look_at(&mut self, index: u32) -> Result<syscall::Link> {
        if !self.held.contains_key(&index) {
            self.hold(index)?;
        }
        let held = self.held.get(&index).context("there is no link")?;
        let link = syscall::look_at(held.as_fd())?;
        match link.interface == index {
            true => Ok(link),
            false => Err(anyhow!("the link was detached")),
        }
    }

    /// Pins the link of an interface again, which has this number, if its pin is gone.
    fn pin_again(&self, index: u32, id: u32) -> Result<Option<&'static str>> {
        let pin = self.pins.link(index);
        let pinned = syscall::open(&pin).and_then(|pinned| syscall::look_at(pinned.as_fd()));
        if pinned.is_ok_and(|pinned| pinned.id == id) {
            return Ok(None);
        }
        let held = self.held.get(&index).context("there is no link")?;
        remove(&pin)?;
        syscall::pin(held.as_fd(), &pin)
            .with_context(|| format!("cannot pin the link at {}", pin.display()))?;
        Ok(Some("its pin was gone"))
    }

    /// Stops handling an interface's packets, from the next one on.
    pub fn detach(&mut self, index: u32) -> Result<()> {
        if let Some(held) = self.held.remove(&index)
            && let Err(error) = syscall::detach(held.as_fd())
        {
            tracing::debug!("nothing to detach from {}: {error}", name_of(index));
        }
        end(&self.pins.link(index))
    }

    /// Says why the program cannot be attached, and what helps.
    fn explain(
        &self,
        program: &Xdp,
        name: &str,
        index: u32,
        mode: Mode,
        error: ProgramError,
    ) -> anyhow::Error {
        let errno = match &error {
            ProgramError::SyscallError(error) => error.io_error.raw_os_error().map(Errno::from_raw),
            _ => None,
        };
        match errno {
            Some(Errno::EBUSY | Errno::EEXIST) => occupied(name, index, &self.pins),
            Some(Errno::EPERM) => anyhow!(
                "{name}: not permitted to attach XDP programs; be root (CAP_BPF, CAP_NET_ADMIN)"
            ),
            Some(errno) => refused(&Refused {
                name,
                mode,
                errno,
                said: program.fd().ok().and_then(|program| {
                    rejection::reason(index, program.as_fd(), mode == Mode::Native)
                }),
                mtu: xdp::mtu(index),
            }),
            None => anyhow!(error).context(format!(
                "cannot attach the XDP program to {name} in {} mode",
                mode.name()
            )),
        }
    }

    fn hold(&mut self, index: u32) -> Result<()> {
        let pin = self.pins.link(index);
        let link = syscall::open(&pin)
            .with_context(|| format!("cannot open the pinned link {}", pin.display()))?;
        self.held.insert(index, link);
        Ok(())
    }
}

/// What is wrong with a link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No packet meets the program by it: the program must be attached anew.
    #[error("{0:#}")]
    Dead(anyhow::Error),
    /// Packets do, but a daemon that starts would not find it.
    #[error("{0:#}")]
    Unpinned(anyhow::Error),
}

/// Detaches a pinned link and removes its pin.
pub fn end(pin: &Path) -> Result<()> {
    match syscall::open(pin).and_then(|link| syscall::detach(link.as_fd())) {
        Ok(()) => {}
        // The interface is gone, and the link with it.
        Err(error) => tracing::debug!("{}: nothing to detach: {error}", pin.display()),
    }
    crash::after(Step::LinkDetached);
    remove(pin)?;
    crash::after(Step::LinkUnpinned);
    Ok(())
}

fn remove(pin: &Path) -> Result<()> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the pin {}", pin.display()))
        }
        _ => Ok(()),
    }
}
