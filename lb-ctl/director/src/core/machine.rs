//! What cannot be desired on this machine, and why: its table has a size, and some addresses are
//! its own.

use lb_model::{Change, Desired, Service, Undo};

use super::{effective, reaches::Reaches, state::State};

/// Why something cannot be desired instead of what is desired now.
#[must_use]
pub fn refuses(after: &Desired, state: &State) -> Option<String> {
    if after.connections != state.capacity {
        return Some(format!(
            "connections {} -> {}: the table cannot change its size; `lb-ctl detach` ends it \
             (connections are lost), then start again",
            state.capacity, after.connections
        ));
    }
    // An address can become the director's own when its server is there already. That is no
    // reason to refuse what has nothing to do with it.
    let before = |service: &Service| state.desired.services.get(service.id) == Some(service);
    let mut new = after.services.iter().filter(|service| !before(service));
    new.find_map(|service| {
        let error = effective::check_methods(service, &state.network.reaches).err()?;
        Some(error.to_string())
    })
}

/// Why a change cannot be made.
#[must_use]
pub fn refuses_change(change: &Change, desired: &Desired, reaches: &Reaches) -> Option<String> {
    let service = match change {
        Change::AddServer { service, .. }
        | Change::SetServer { service, .. }
        | Change::SetService { service, .. } => desired.services.find(service)?,
        Change::Replace(_) => {
            let why = "all services can be replaced only by a file: use `lb-ctl apply`";
            return Some(why.to_owned());
        }
        _ => return None,
    };
    let has = service.servers.iter().map(|server| server.id.address);
    let mut addresses = has.chain(change.brings());
    if !addresses.any(|address| reaches.is_local(address))
        || effective::check_methods(service, reaches).is_err()
    {
        return None;
    }
    // A copy of this one service shows what the change would make of it.
    let mut copy = Desired {
        services: [service.clone()].into_iter().collect(),
        ..Desired::default()
    };
    change.make(&mut copy, &mut Undo::default()).ok()?;
    let after = copy.services.get(service.id)?;
    let error = effective::check_methods(after, reaches).err()?;
    Some(error.to_string())
}
