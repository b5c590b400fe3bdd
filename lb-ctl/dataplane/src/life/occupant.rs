//! Who has an interface that cannot be attached to, and how it is made free.

use std::os::fd::AsFd as _;

use anyhow::{Error, anyhow};

use super::pins::Pins;
use crate::kernel::{
    bpffs::Bpffs,
    syscall,
    xdp::{self, How},
};

/// Says who has an interface, and the command that takes it off.
pub fn occupied(name: &str, index: u32, pins: &Pins) -> Error {
    let Some(attached) = xdp::attached(index).ok().flatten() else {
        return anyhow!(
            "{name} had another XDP program a moment ago, which is gone now: try again"
        );
    };
    let Some(program) = attached.program else {
        return anyhow!(
            "{name} already carries several XDP programs: `ip link show dev {name}` lists them; \
             each is removed by `ip link set dev {name} xdpgeneric off`, `xdpdrv off` or \
             `xdpoffload off`"
        );
    };
    if let Some(instance) = pins.instance_with(index, program) {
        return anyhow!(
            "{name} already carries another XDP program, that of instance `{instance}` of lb-ctl: \
             `lb-ctl --instance {instance} detach` removes it (its connections end)"
        );
    }
    if let Some(link) = xdp::link_of(index, program) {
        return anyhow!(
            "{name} already carries another XDP program (number {program}), attached by link \
             {link}: `bpftool link detach id {link}` removes it if nobody needs it; \
             `bpftool -p link show id {link}` and `bpftool prog show id {program}` say whose it is"
        );
    }
    let mode = match attached.how {
        How::Native => "xdpdrv",
        How::Generic => "xdpgeneric",
        How::Offloaded => "xdpoffload",
        How::Several => "xdp",
    };
    anyhow!(
        "{name} already carries another XDP program (number {program}): \
         `ip link set dev {name} {mode} off` removes it if nobody needs it; \
         `bpftool prog show id {program}` says whose it is"
    )
}

/// What is said where an interface already carries an XDP program that is not this instance's: the
/// program cannot be attached there. Nothing if it can, or if the kernel does not tell.
#[must_use]
pub fn other_program(instance: &str, name: &str, interface: u32) -> Option<String> {
    let pins = Pins::of(instance, Bpffs::find());
    let there = xdp::attached(interface).ok().flatten()?;
    let own = syscall::open(&pins.link(interface));
    let own = own.and_then(|link| syscall::look_at(link.as_fd())).ok();
    let is_own = own.is_some_and(|own| Some(own.program) == there.program);
    (!is_own).then(|| occupied(name, interface, &pins).to_string())
}
