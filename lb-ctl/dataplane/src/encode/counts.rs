//! What packets count.

use lb_common::server::{Counters, Load};

/// What was counted.
pub fn counters(counters: Counters) -> lb_model::Counters {
    let Counters {
        connections,
        in_packets,
        out_packets,
        in_bytes,
        out_bytes,
    } = counters;
    lb_model::Counters {
        connections,
        in_packets,
        out_packets,
        in_bytes,
        out_bytes,
    }
}

/// The connections of one entry.
pub fn load(load: Load) -> lb_model::Load {
    let Load { active, inactive } = load;
    lb_model::Load {
        active: active.into(),
        inactive: inactive.into(),
    }
}
