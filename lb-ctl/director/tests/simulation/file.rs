//! Files.

use lb_model::{Desired, Patch, Timeouts, merge::Written, options::Options, strategies};
use proptest::prelude::*;

/// A file, which may leave out sections.
pub fn file() -> impl Strategy<Value = Box<Written>> {
    (strategies::desired(), any::<[bool; 3]>())
        .prop_map(|(desired, [one, two, three])| Box::new(written(&desired, one, two, three)))
}

/// What a file says that `lb-ctl save` has written, or a part of it.
pub fn written(desired: &Desired, interfaces: bool, timeouts: bool, services: bool) -> Written {
    let keys: Vec<_> = Timeouts::ROWS.iter().map(|row| row.key).collect();
    Written {
        interfaces: interfaces.then(|| desired.interfaces.clone()),
        connections: None,
        timeouts: match timeouts {
            true => Patch::of(&desired.timeouts, &keys),
            false => Patch::default(),
        },
        unreachable: timeouts.then_some(desired.unreachable),
        services: services.then(|| desired.services.iter().cloned().collect()),
    }
}
