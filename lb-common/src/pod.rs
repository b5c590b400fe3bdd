//! Tells aya that it may copy the types in maps to and from the kernel.

use aya::Pod;

use crate::{layout, schedule, server, service};

// SAFETY: `repr(C)`, integers and arrays of integers only, no implicit padding; so are all below.
unsafe impl Pod for layout::slot::Bucket {}
// SAFETY: see above.
unsafe impl Pod for layout::Constants {}
// SAFETY: see above.
unsafe impl Pod for layout::Moving {}
// SAFETY: see above.
unsafe impl Pod for layout::interface::Interface {}
// SAFETY: see above.
unsafe impl Pod for layout::interface::Station {}
// SAFETY: see above.
unsafe impl Pod for layout::interface::ClientHop {}
// SAFETY: see above.
unsafe impl Pod for layout::Offsets {}
// SAFETY: see above.
unsafe impl Pod for layout::Recount {}
// SAFETY: see above.
unsafe impl Pod for layout::Settings {}
// SAFETY: see above.
unsafe impl Pod for schedule::RosterLine {}
// SAFETY: see above.
unsafe impl Pod for server::Counters {}
// SAFETY: see above.
unsafe impl Pod for server::Server {}
// SAFETY: see above.
unsafe impl Pod for service::Service {}
// SAFETY: see above.
unsafe impl Pod for service::ServiceKey {}
