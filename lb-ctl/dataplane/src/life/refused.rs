//! What to tell about an interface that refuses the program, and what helps.

use anyhow::{Error, anyhow};
use nix::errno::Errno;

use super::mode::Mode;

/// A refusal, and what is known of the interface.
pub struct Refused<'a> {
    /// The interface.
    pub name: &'a str,
    /// How the program was to be attached.
    pub mode: Mode,
    /// The kernel's number for the reason.
    pub errno: Errno,
    /// The reason in words of the driver or the kernel.
    pub said: Option<String>,
    /// The largest packet that the interface sends.
    pub mtu: Option<u32>,
}

/// No driver is known that takes larger packets in one piece (pages of 4 KiB).
const LARGEST_MTU: u32 = 3520;
/// Nearly all drivers take this.
const USUAL_MTU: u32 = 3000;

/// Says why an interface refuses the program, and what helps.
pub fn refused(refused: &Refused) -> Error {
    let Refused {
        name,
        mode,
        errno,
        said,
        ..
    } = refused;
    let reason = match said {
        Some(said) => format!("\"{said}\" ({})", errno.desc()),
        None if *errno == Errno::EOPNOTSUPP => format!("{name} has no {} XDP", mode.name()),
        None => errno.desc().to_owned(),
    };
    let mut helps = causes(refused);
    if *mode == Mode::Native {
        helps.push("use --mode generic (slower) or --mode auto".to_owned());
    }
    let helps: String = helps.iter().map(|help| format!("; {help}")).collect();
    anyhow!(
        "cannot attach the XDP program to {name} in {} mode: {reason}{helps}",
        mode.name()
    )
}

/// What can be done about the likely causes.
fn causes(refused: &Refused) -> Vec<String> {
    let Refused { name, mtu, .. } = refused;
    let said = refused.said.as_deref().unwrap_or_default().to_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let mut helps = Vec::new();
    let large = mtu.is_some_and(|mtu| mtu > LARGEST_MTU);
    let silent = said.is_empty() && refused.errno == Errno::EINVAL;
    if refused.errno == Errno::ERANGE
        || any(&["mtu", "frame size", "single-buffer", "single buffer"])
        || (large && silent)
    {
        let mtu = mtu.map_or_else(String::new, |mtu| format!(" (it is {mtu})"));
        helps.push(format!(
            "the MTU is too large for the driver{mtu}: `ip link set dev {name} mtu {USUAL_MTU}` \
             lowers it; of a veth pair, the MTU of the other end counts"
        ));
    }
    if any(&["gro", "lro", "rsc"]) || silent {
        helps.push(format!(
            "packets that are merged by the interface cannot be handled: \
             `ethtool -K {name} lro off rx-gro-hw off` ends that"
        ));
    }
    if any(&["queue", "ring", "channel"]) {
        helps.push(format!(
            "the driver wants spare queues: `ethtool -l {name}` shows how many there are, \
             `ethtool -L {name} combined N` uses fewer"
        ));
    }
    helps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(errno: Errno, said: Option<&str>, mtu: u32) -> String {
        let refusal = Refused {
            name: "eth0",
            mode: Mode::Native,
            errno,
            said: said.map(str::to_owned),
            mtu: Some(mtu),
        };
        refused(&refusal).to_string()
    }

    #[test]
    fn a_refusal_says_the_drivers_reason_and_what_helps() {
        let by_mode = "use --mode generic (slower) or --mode auto";
        for (errno, said, mtu, expected) in [
            (
                Errno::ERANGE,
                Some("Peer MTU is too large to set XDP"),
                9000,
                &[
                    "\"Peer MTU is too large to set XDP\"",
                    "(it is 9000)",
                    "mtu 3000",
                    by_mode,
                ][..],
            ),
            (Errno::ERANGE, None, 9000, &["MTU is too large", by_mode]),
            (Errno::EINVAL, None, 9001, &["MTU is too large", "lro off"]),
            (
                Errno::EOPNOTSUPP,
                Some("Can't set XDP while host is implementing GRO_HW/CSUM, disable first"),
                1500,
                &["disable first", "rx-gro-hw off", by_mode],
            ),
            (
                Errno::ENOMEM,
                Some("Too few free TX rings available"),
                1500,
                &["ethtool -L eth0", by_mode],
            ),
            (
                Errno::EOPNOTSUPP,
                None,
                1500,
                &["eth0 has no native XDP", by_mode],
            ),
        ] {
            let told = told(errno, said, mtu);
            for part in expected {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
        let small = told(Errno::EINVAL, None, 1500);
        assert!(!small.contains("MTU"), "{small}");
    }
}
