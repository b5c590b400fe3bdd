//! What is right, and what the packet path cannot do yet: refused in our words and in the kernel's.

use std::net::IpAddr;

use crate::{
    fault::Fault,
    ids::ServiceId,
    options::{Options, ServerOptions, ServiceOptions},
    packet_path::{UNUSED_SERVER_OPTIONS, UNUSED_SERVICE_OPTIONS},
    refusal::Refusal,
    spelling::{self, Named},
    values::Method,
};

/// Something that is right, and that the packet path cannot do yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotYet {
    /// The key of the option, or of the part of the identity, that asks for it.
    pub key: &'static str,
    /// In our words.
    pub fault: Fault,
    /// The reason that a kernel without it would give.
    pub refusal: Refusal,
}

/// What a service's identity asks for that cannot be done.
pub fn service_id(id: ServiceId) -> Result<(), NotYet> {
    match id {
        ServiceId::Address { at, .. } if at.is_ipv6() => Err(NotYet {
            key: "address",
            fault: ipv6(at.ip()),
            refusal: Refusal::NoFamily,
        }),
        ServiceId::Address { protocol, .. } if !is_usable(&protocol) => Err(NotYet {
            key: "protocol",
            fault: not_one_of(&protocol),
            refusal: Refusal::NoProtocol,
        }),
        ServiceId::Address { .. } => Ok(()),
        ServiceId::Mark { .. } => Err(NotYet {
            key: "mark",
            fault: not_yet("services by firewall mark"),
            refusal: Refusal::NoOption,
        }),
    }
}

/// What a service's options ask for that cannot be done, in the order of the options.
pub fn service_options(options: &ServiceOptions) -> Vec<NotYet> {
    let mut found = Vec::new();
    if !is_usable(&options.scheduler) {
        found.push(NotYet {
            key: "scheduler",
            fault: not_one_of(&options.scheduler),
            refusal: Refusal::NotFound,
        });
    }
    found.extend(method(options.forward));
    found.extend(
        unused(options, UNUSED_SERVICE_OPTIONS).map(|not_yet| NotYet {
            // The kernel looks for an engine as it looks for a scheduler.
            refusal: match not_yet.key {
                "persistence_engine" => Refusal::NotFound,
                _ => not_yet.refusal,
            },
            ..not_yet
        }),
    );
    found
}

/// What a server's options ask for that cannot be done, in the order of the options.
pub fn server_options(options: &ServerOptions) -> Vec<NotYet> {
    let mut found: Vec<_> = options.forward.and_then(method).into_iter().collect();
    found.extend(unused(options, UNUSED_SERVER_OPTIONS));
    found
}

/// Whether a server can have this address.
pub fn server_address(address: IpAddr) -> Result<(), NotYet> {
    match address {
        IpAddr::V4(_) => Ok(()),
        IpAddr::V6(_) => Err(NotYet {
            key: "address",
            fault: ipv6(address),
            refusal: Refusal::NoFamily,
        }),
    }
}

fn method(method: Method) -> Option<NotYet> {
    (!is_usable(&method)).then(|| NotYet {
        key: "forward",
        fault: not_one_of(&method),
        refusal: Refusal::NoOption,
    })
}

/// The options among `keys` that have another value than the default, which means "not used".
fn unused<T: Options>(options: &T, keys: &[&str]) -> impl Iterator<Item = NotYet> {
    let said = options.said().filter(|row| keys.contains(&row.key));
    said.map(|row| NotYet {
        key: row.key,
        fault: not_yet(&format!("`{}`", row.key)),
        refusal: Refusal::NoOption,
    })
}

fn not_yet(what: &str) -> Fault {
    Fault::new(format!(
        "this director does not support {what} yet: leave it out"
    ))
}

fn is_usable<T: Named>(value: &T) -> bool {
    T::usable().contains(&value.name())
}

fn not_one_of<T: Named>(value: &T) -> Fault {
    Fault::new(format!(
        "`{}` is a {} that this director does not support yet: use {}",
        value.name().escape_debug(),
        T::KIND,
        spelling::alternatives(&T::usable())
    ))
}

fn ipv6(address: IpAddr) -> Fault {
    Fault::new(format!(
        "{address} is an IPv6 address, which this director does not balance yet: give an IPv4 address"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_done_yet_is_refused_in_our_words_and_in_the_kernels() {
        let refused = |id: &str| service_id(id.parse().unwrap()).unwrap_err();
        for (id, key, refusal, words) in [
            ("tcp/[2001:db8::1]:80", "address", Refusal::NoFamily, "IPv6"),
            (
                "sctp/192.0.2.1:80",
                "protocol",
                Refusal::NoProtocol,
                "use tcp or udp",
            ),
            ("mark/5", "mark", Refusal::NoOption, "firewall mark"),
        ] {
            let not_yet = refused(id);
            assert_eq!((not_yet.key, not_yet.refusal), (key, refusal));
            assert!(not_yet.fault.to_string().contains(words), "{not_yet:?}");
        }
    }

    #[test]
    fn every_option_that_is_not_used_is_named() {
        let mut options = ServiceOptions::default();
        for (key, word) in [
            ("scheduler", "sed"),
            ("forward", "fullnat"),
            ("scheduler_flags", "flag-1"),
            ("persistence", "60s"),
            ("persistence_engine", "sip"),
            ("one_packet", "yes"),
        ] {
            let row = ServiceOptions::row(key).unwrap();
            (row.set)(&mut options, word).unwrap();
        }
        let found: Vec<_> = service_options(&options)
            .into_iter()
            .map(|not_yet| (not_yet.key, not_yet.refusal))
            .collect();
        assert_eq!(
            found,
            [
                ("scheduler", Refusal::NotFound),
                ("forward", Refusal::NoOption),
                ("scheduler_flags", Refusal::NoOption),
                ("persistence", Refusal::NoOption),
                ("persistence_engine", Refusal::NotFound),
                ("one_packet", Refusal::NoOption),
            ]
        );
        assert!(service_options(&ServiceOptions::default()).is_empty());
    }

    #[test]
    fn the_words_of_the_packet_path_are_words_of_the_model() {
        fn known<T: Named>() {
            for word in T::usable() {
                assert!(T::ALL.iter().any(|value| value.name() == word), "{word}");
            }
        }
        known::<crate::Scheduler>();
        known::<Method>();
        known::<crate::Protocol>();
        let service = |key: &&&str| ServiceOptions::row(key).is_none();
        let server = |key: &&&str| ServerOptions::row(key).is_none();
        assert_eq!(UNUSED_SERVICE_OPTIONS.iter().find(service), None);
        assert_eq!(UNUSED_SERVER_OPTIONS.iter().find(server), None);
    }
}
