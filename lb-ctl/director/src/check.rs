//! What would keep a file's services from being served on this machine, as far as that can be known
//! before a daemon has it. Nothing is changed, and no packet is sent.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Context as _, Result};
use lb_api::Instance;
use lb_model::{Desired, ServiceId, merge::Written};
use lb_network::{Reach, Routing};

use crate::core::{first, nowhere};

/// Looks at this machine: a sentence for each trouble.
pub async fn check(instance: &Instance, written: &Written) -> Result<Vec<String>> {
    let desired = written.alone();
    let open = Routing::open().await;
    let (routing, _) = open.context("cannot look at this machine's network")?;
    let mut troubles = interfaces(instance, &desired, &routing).await?;
    troubles.extend(vips(&desired, &routing).await?);
    troubles.extend(servers(&desired, &routing).await?);
    Ok(troubles)
}

async fn interfaces(
    instance: &Instance,
    desired: &Desired,
    routing: &Routing,
) -> Result<Vec<String>> {
    let mut troubles = Vec::new();
    for name in &desired.interfaces {
        match routing.interface(name).await? {
            None => troubles.push(format!(
                "interface {name} does not exist; see `ip -brief link` for those that do"
            )),
            Some(interface) => {
                let obstacle = interface.obstacle();
                troubles.extend(obstacle.map(|it| format!("no packets arrive by {name}, {it}")));
                let other = lb_dataplane::other_program(instance.as_str(), name, interface.index);
                troubles.extend(other);
            }
        }
    }
    Ok(troubles)
}

async fn vips(desired: &Desired, routing: &Routing) -> Result<Vec<String>> {
    let own = routing.addresses().await?.into_iter();
    let own: BTreeSet<IpAddr> = own.map(|own| own.address.into()).collect();
    let vips = desired
        .services
        .iter()
        .filter_map(|service| match service.id {
            ServiceId::Address { at, .. } => Some(at.ip()).filter(IpAddr::is_ipv4),
            ServiceId::Mark { .. } => None,
        });
    let vips: BTreeSet<IpAddr> = vips.collect();
    let elsewhere = vips.difference(&own).map(|vip| nowhere(*vip)).collect();
    Ok(first(elsewhere, "and", "VIP", "of which the same is true"))
}

async fn servers(desired: &Desired, routing: &Routing) -> Result<Vec<String>> {
    let mut troubles = Vec::new();
    for service in desired.services.iter() {
        for server in &service.servers {
            let IpAddr::V4(address) = server.id.address else {
                continue;
            };
            // One that has not answered ARP yet may do so when it is asked.
            if let Reach::None(why) = routing.reach(address).await? {
                let (service, server) = (service.id, server.id);
                troubles.push(format!(
                    "{service}: server {server} cannot be reached: {why}"
                ));
            }
        }
    }
    Ok(first(troubles, "and", "server", "cannot be reached"))
}
