//! Protocols, forwarding methods and schedulers: words in the model, numbers in map values. What
//! has no number, the packet path cannot do.

use lb_common::{schedule::Scheduler as SchedulerNumber, server::Method as MethodNumber};
use lb_model::{Method, Protocol, Scheduler, spelling::Named as _};

use super::unsupported::Unsupported;

/// All forwarding methods that an entry can have.
pub const METHODS: [Method; 3] = [Method::Dr, Method::Nat, Method::Tun];

pub fn method_number(method: Method) -> Result<MethodNumber, Unsupported> {
    match method {
        Method::Dr => Ok(MethodNumber::Dr),
        Method::Nat => Ok(MethodNumber::Nat),
        Method::Tun => Ok(MethodNumber::Tun),
        Method::Fullnat => Err(Unsupported(format!("forwarding method {}", method.name()))),
    }
}

pub fn method(number: u8) -> Option<Method> {
    Some(match MethodNumber::of_number(number)? {
        MethodNumber::Dr => Method::Dr,
        MethodNumber::Nat => Method::Nat,
        MethodNumber::Tun => Method::Tun,
    })
}

/// The scheduler of the packet path.
pub fn scheduler_number(scheduler: &Scheduler) -> Result<SchedulerNumber, Unsupported> {
    match scheduler {
        Scheduler::Rr => Ok(SchedulerNumber::Rr),
        Scheduler::Wrr => Ok(SchedulerNumber::Wrr),
        Scheduler::Lc => Ok(SchedulerNumber::Lc),
        Scheduler::Wlc => Ok(SchedulerNumber::Wlc),
        Scheduler::Sed
        | Scheduler::Nq
        | Scheduler::Fo
        | Scheduler::Ovf
        | Scheduler::Sh
        | Scheduler::Dh
        | Scheduler::Mh
        | Scheduler::Lblc
        | Scheduler::Lblcr
        | Scheduler::Twos
        | Scheduler::Other(_) => Err(Unsupported(format!("scheduler {}", scheduler.name()))),
    }
}

pub fn protocol_number(protocol: Protocol) -> Result<u8, Unsupported> {
    match protocol {
        Protocol::Tcp | Protocol::Udp => Ok(protocol as u8),
        Protocol::Sctp => Err(Unsupported(format!("protocol {protocol}"))),
    }
}

pub fn protocol(number: u8) -> Option<Protocol> {
    Protocol::ALL
        .iter()
        .copied()
        .find(|&protocol| protocol_number(protocol).is_ok_and(|known| known == number))
}
