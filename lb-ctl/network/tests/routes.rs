//! Routes and neighbours of real network namespaces: a director with two interfaces, `eth0` in
//! 10.0.0.0/24 and `eth1` in 10.1.0.0/24, and a peer at the other end of both. Needs root.

use std::{net::Ipv4Addr, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use lb_lab::{
    namespace::{Namespace, remove_leftovers, unique_prefix},
    process,
};
use lb_network::{Changed, Changes, Hop, Interface, Reach, Routing};
use tokio::{
    select,
    time::{Instant, interval, timeout},
};

/// Ten times longer than anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

const DIRECTOR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// No machine has this address.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 99);
/// In a network behind a gateway. The tests add the route to it.
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// Of the server, which is also the gateway.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const NEW_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

#[test]
fn a_neighbour_that_is_not_known_is_resolved() -> Result<()> {
    in_a_lab(async |_, routing, _| {
        let eth0 = interface(routing, "eth0").await?;
        let unresolved = Reach::Unresolved {
            interface: eth0.index,
            interface_name: "eth0".to_owned(),
            next_hop: SERVER,
        };
        assert_eq!(routing.reach(SERVER).await?, unresolved);
        let expected = Hop {
            interface: eth0.index,
            interface_name: "eth0".to_owned(),
            kind: "veth".to_owned(),
            source_mac: eth0.mac,
            next_hop_mac: MAC,
            mtu: 1500,
            source: DIRECTOR,
            next_hop: SERVER,
        };
        assert_eq!(
            routing.resolve(SERVER, PATIENCE).await?,
            Reach::Hop(expected.clone())
        );
        assert_eq!(routing.reach(SERVER).await?, Reach::Hop(expected));
        Ok(())
    })
}

#[test]
fn behind_a_gateway_the_gateway_is_the_next_hop() -> Result<()> {
    in_a_lab(async |lab, routing, _| {
        lab.director
            .ip(["route add 192.0.2.0/24 via 10.0.0.2 mtu 1400"])?;
        let hop = hop(routing.resolve(FAR, PATIENCE).await?)?;
        assert_eq!((hop.next_hop, hop.next_hop_mac), (SERVER, MAC));
        assert_eq!((hop.source, hop.mtu), (DIRECTOR, 1400));
        Ok(())
    })
}

#[test]
fn own_addresses_are_local_as_long_as_they_are_there() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        for own in [DIRECTOR, Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 8, 8, 8)] {
            assert_eq!(routing.reach(own).await?, Reach::Local, "{own}");
        }
        assert_eq!(none(routing.reach(FAR).await?)?, no_route(FAR));
        lab.director.ip(["address add 192.0.2.7/32 dev lo"])?;
        until(routing, changes, FAR, |reach| reach == &Reach::Local).await?;
        lab.director.ip(["address del 192.0.2.7/32 dev lo"])?;
        until(routing, changes, FAR, is_none).await?;
        Ok(())
    })
}

#[test]
fn where_there_is_no_way_the_reason_is_told() -> Result<()> {
    in_a_lab(async |lab, routing, _| {
        for route in [
            "blackhole 198.51.100.1",
            "prohibit 198.51.100.2",
            "unreachable 198.51.100.3",
            "198.51.100.4 dev lo",
        ] {
            lab.director.ip([format!("route add {route}")])?;
        }
        for (address, why) in [
            ([203, 0, 113, 1], "there is no route to 203.0.113.1"),
            ([198, 51, 100, 1], "of the type blackhole"),
            ([198, 51, 100, 2], "of the type prohibit"),
            ([198, 51, 100, 3], "of the type unreachable"),
            ([198, 51, 100, 4], "leaves by lo, which is not an Ethernet"),
            ([10, 0, 0, 255], "10.0.0.255 is a broadcast address"),
            ([0, 0, 0, 0], "0.0.0.0 is not the address of a machine"),
        ] {
            let reason = none(routing.resolve(address.into(), PATIENCE).await?)?;
            assert!(reason.contains(why), "{address:?}: {reason}");
        }
        Ok(())
    })
}

#[test]
fn without_an_answer_to_arp_patience_ends() -> Result<()> {
    in_a_lab(async |_, routing, _| {
        let patience = Duration::from_millis(300);
        let start = Instant::now();
        let reach = routing.resolve(NOBODY, patience).await?;
        let unresolved = Reach::Unresolved {
            interface: interface(routing, "eth0").await?.index,
            interface_name: "eth0".to_owned(),
            next_hop: NOBODY,
        };
        assert_eq!(reach, unresolved);
        assert!(start.elapsed() >= patience);
        Ok(())
    })
}

#[test]
fn an_answer_to_arp_may_be_late() -> Result<()> {
    in_a_lab(async |lab, routing, _| {
        let appear = async {
            // Not before the kernel has given up once.
            until_neighbour(lab, NOBODY, "FAILED").await?;
            lab.peer.ip(["address add 10.0.0.99/24 dev eth0"])
        };
        let (reach, appeared) = tokio::join!(routing.resolve(NOBODY, PATIENCE), appear);
        appeared?;
        assert_eq!(hop(reach?)?.next_hop_mac, MAC);
        Ok(())
    })
}

#[test]
fn a_neighbour_that_announces_another_mac_address_is_followed() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        routing.resolve(SERVER, PATIENCE).await?;
        lab.peer.sysctls(&[("ipv4/conf/eth0/arp_notify", "1")])?;
        lab.peer.ip(["link set eth0 address 02:00:00:00:00:77"])?;
        until(routing, changes, SERVER, is_at(NEW_MAC)).await?;
        Ok(())
    })
}

#[test]
fn a_neighbour_that_moved_silently_is_found_by_refreshing() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        routing.resolve(SERVER, PATIENCE).await?;
        lab.peer.ip(["link set eth0 address 02:00:00:00:00:77"])?;
        let mut refreshes = interval(Duration::from_millis(20));
        loop {
            select! {
                _ = refreshes.tick() => routing.refresh(SERVER).await?,
                _ = changes.next() => {
                    if is_at(NEW_MAC)(&routing.reach(SERVER).await?) {
                        return Ok(());
                    }
                }
            }
        }
    })
}

#[test]
fn a_neighbour_that_died_is_noticed_by_refreshing() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        let alive = routing.resolve(SERVER, PATIENCE).await?;
        routing.refresh(SERVER).await?;
        until_neighbour(lab, SERVER, "REACHABLE").await?;
        assert_eq!(routing.reach(SERVER).await?, alive);

        lab.peer.ip(["address del 10.0.0.2/24 dev eth0"])?;
        routing.refresh(SERVER).await?;
        until(routing, changes, SERVER, is_unresolved).await?;
        Ok(())
    })
}

#[test]
fn a_permanent_neighbour_is_left_alone() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        assert!(is_unresolved(&routing.reach(NOBODY).await?));
        let permanent = "10.0.0.99 dev eth0 lladdr 02:00:00:00:00:77 nud permanent";
        lab.director.ip([format!("neigh add {permanent}")])?;
        until(routing, changes, NOBODY, is_at(NEW_MAC)).await?;
        routing.refresh(NOBODY).await?;
        routing.resolve(NOBODY, PATIENCE).await?;
        until_neighbour(lab, NOBODY, "02:00:00:00:00:77 PERMANENT").await
    })
}

#[test]
fn another_state_of_a_neighbour_wakes_nobody() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        routing.resolve(SERVER, PATIENCE).await?;
        let changed = changes.next().await;
        assert!(changed.neighbours && changed.answers, "{changed:?}");

        lab.director
            .ip(["neigh change 10.0.0.2 dev eth0 nud stale"])?;
        until_neighbour(lab, SERVER, "STALE").await?;
        routing.refresh(SERVER).await?;
        until_neighbour(lab, SERVER, "REACHABLE").await?;
        // The neighbour's states were not reported: the next change is that of the interface.
        lab.director.ip(["link set eth0 mtu 1400"])?;
        let changed = changes.next().await;
        assert!(changed.interfaces && !changed.neighbours, "{changed:?}");
        assert_eq!(hop(routing.reach(SERVER).await?)?.mtu, 1400);
        Ok(())
    })
}

#[test]
fn another_route_is_noticed() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        lab.director.ip(["route add 192.0.2.0/24 via 10.0.0.2"])?;
        routing.resolve(FAR, PATIENCE).await?;
        let other = Ipv4Addr::new(10, 1, 0, 2);
        lab.director
            .ip(["route replace 192.0.2.0/24 via 10.1.0.2"])?;
        let reach = until(routing, changes, FAR, is_unresolved).await?;
        assert!(matches!(reach, Reach::Unresolved { next_hop, .. } if next_hop == other));
        let hop = hop(routing.resolve(FAR, PATIENCE).await?)?;
        assert_eq!((hop.interface_name.as_str(), hop.next_hop), ("eth1", other));

        lab.director.ip(["route del 192.0.2.0/24"])?;
        until(routing, changes, FAR, is_none).await?;
        lab.director.ip(["rule add to 192.0.2.7 lookup 77"])?;
        lab.director
            .ip(["route add default via 10.0.0.2 table 77"])?;
        until(routing, changes, FAR, is_hop).await?;
        Ok(())
    })
}

#[test]
fn a_route_that_nobody_asked_about_changes_no_answers() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        routing.reach(SERVER).await?;
        lab.director.ip(["route add 192.0.2.0/24 via 10.0.0.2"])?;
        let expected = Changed {
            routes: true,
            ..Changed::default()
        };
        assert_eq!(changes.next().await, expected);
        Ok(())
    })
}

#[test]
fn when_an_interface_goes_down_packets_take_the_next_best_route() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        let director = &lab.director;
        director.ip(["route add 192.0.2.0/24 via 10.0.0.2 metric 1"])?;
        director.ip(["route add 192.0.2.0/24 via 10.1.0.2 metric 2"])?;
        routing.resolve(FAR, PATIENCE).await?;
        routing.resolve(SERVER, PATIENCE).await?;
        routing
            .resolve(Ipv4Addr::new(10, 1, 0, 2), PATIENCE)
            .await?;

        // This removes routes, which the kernel does not announce.
        director.ip(["link set eth0 down"])?;
        until(routing, changes, SERVER, is_none).await?;
        let reach = until(routing, changes, FAR, is_hop).await?;
        assert_eq!(hop(reach)?.interface_name, "eth1");

        director.ip(["link set eth0 up"])?;
        until(routing, changes, SERVER, is_unresolved).await?;
        assert!(is_hop(&routing.resolve(SERVER, PATIENCE).await?));
        Ok(())
    })
}

#[test]
fn an_interface_whose_cable_is_pulled_takes_no_packets() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        routing.resolve(SERVER, PATIENCE).await?;
        lab.peer.ip(["link set eth0 down"])?;
        let reach = until(routing, changes, SERVER, is_none).await?;
        assert_eq!(
            none(reach)?,
            "the route to 10.0.0.2 leaves by eth0, which has no carrier"
        );
        lab.peer.ip(["link set eth0 up"])?;
        until(routing, changes, SERVER, is_unresolved).await?;
        assert!(is_hop(&routing.resolve(SERVER, PATIENCE).await?));
        Ok(())
    })
}

#[test]
fn when_announcements_are_lost_everything_is_looked_at_again() -> Result<()> {
    in_a_lab(async |lab, routing, changes| {
        routing.resolve(SERVER, PATIENCE).await?;
        changes.next().await;
        // Overruns the queue: this thread, which would read it, waits for `ip`.
        let mut flood = String::new();
        for number in 0..20_000 {
            let mac = format!("02:00:00:00:01:{:02x}", number % 2);
            flood += &format!("neigh replace 10.0.0.200 dev eth0 lladdr {mac} nud permanent\n");
        }
        flood += "neigh replace 10.0.0.2 dev eth0 lladdr 02:00:00:00:00:77 nud permanent\n";
        flood += "route add 192.0.2.0/24 via 10.0.0.2\n";
        assert_eq!(none(routing.reach(FAR).await?)?, no_route(FAR));
        lab.director.ip([flood])?;

        let everything = Changed {
            interfaces: true,
            addresses: true,
            routes: true,
            neighbours: true,
            answers: true,
        };
        while changes.next().await != everything {}
        assert!(is_at(NEW_MAC)(&routing.reach(SERVER).await?));
        assert!(is_at(NEW_MAC)(&routing.reach(FAR).await?));
        // Later announcements are heard, too.
        lab.director.ip(["route del 192.0.2.0/24"])?;
        until(routing, changes, FAR, is_none).await?;
        Ok(())
    })
}

#[test]
fn interfaces_are_described() -> Result<()> {
    in_a_lab(async |_, routing, _| {
        let interfaces = routing.interfaces().await?;
        let names: Vec<_> = interfaces.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["eth0", "eth1"]);
        let eth0 = interface(routing, "eth0").await?;
        assert!(eth0.up && eth0.carrier && eth0.ethernet);
        assert_eq!((eth0.kind.as_str(), eth0.mtu), ("veth", 1500));
        assert!(!interface(routing, "lo").await?.ethernet);

        let index = routing.index("eth0").await?;
        assert_eq!(index, Some(eth0.index));
        assert_eq!(routing.index("eth9").await?, None);
        Ok(())
    })
}

async fn interface(routing: &Routing, name: &str) -> Result<Interface> {
    let interface = routing.interface(name).await?;
    interface.with_context(|| format!("there is no {name}"))
}

/// Waits until the answer for the address is as wanted. Asks again only when [`Changes`] says so:
/// a change that is not reported ends in a timeout.
async fn until(
    routing: &Routing,
    changes: &mut Changes,
    address: Ipv4Addr,
    is_so: impl Fn(&Reach) -> bool,
) -> Result<Reach> {
    let mut reach = routing.reach(address).await?;
    while !is_so(&reach) {
        let next = async { while !changes.next().await.answers {} };
        let told = timeout(PATIENCE, next).await;
        told.with_context(|| format!("no change was told; {address}: {reach:?}"))?;
        reach = routing.reach(address).await?;
    }
    Ok(reach)
}

/// Waits until the kernel's entry for a neighbour of eth0 contains these words.
async fn until_neighbour(lab: &Lab, address: Ipv4Addr, state: &str) -> Result<()> {
    let start = Instant::now();
    loop {
        let entry = neighbour(&lab.director, address)?;
        if entry.contains(state) {
            return Ok(());
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "{address} is not {state}: {entry}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The kernel's entry for a neighbour of eth0, as `ip` writes it.
fn neighbour(director: &Namespace, address: Ipv4Addr) -> Result<String> {
    let address = address.to_string();
    let mut ip = Command::new("ip");
    ip.args(["-n", director.name()]);
    let output = process::run(ip.args(["neigh", "show", &address, "dev", "eth0"]))?;
    ensure!(output.code == Some(0), "ip neigh: {output:?}");
    Ok(output.stdout)
}

fn hop(reach: Reach) -> Result<Hop> {
    match reach {
        Reach::Hop(hop) => Ok(hop),
        reach => bail!("not a hop: {reach:?}"),
    }
}

fn none(reach: Reach) -> Result<String> {
    match reach {
        Reach::None(why) => Ok(why),
        reach => bail!("there should be no way: {reach:?}"),
    }
}

fn no_route(address: Ipv4Addr) -> String {
    format!("there is no route to {address}")
}

fn is_hop(reach: &Reach) -> bool {
    matches!(reach, Reach::Hop(_))
}

fn is_none(reach: &Reach) -> bool {
    matches!(reach, Reach::None(_))
}

fn is_unresolved(reach: &Reach) -> bool {
    matches!(reach, Reach::Unresolved { .. })
}

fn is_at(mac: [u8; 6]) -> impl Fn(&Reach) -> bool {
    move |reach| matches!(reach, Reach::Hop(hop) if hop.next_hop_mac == mac)
}

/// A director and one other machine, which is its peer on both networks.
struct Lab {
    director: Namespace,
    peer: Namespace,
}

/// Runs a test in the director's namespace, in a lab of its own.
fn in_a_lab(
    test: impl AsyncFnOnce(&Lab, &Routing, &mut Changes) -> Result<()> + Send,
) -> Result<()> {
    let lab = Lab::create()?;
    lab.director.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let (routing, mut changes) = Routing::open().await?;
            let test = test(&lab, &routing, &mut changes);
            timeout(PATIENCE * 2, test)
                .await
                .context("takes too long")?
        })
    })
}

impl Lab {
    fn create() -> Result<Self> {
        remove_leftovers();
        let prefix = unique_prefix();
        let director = Namespace::create(&format!("{prefix}-director"))?;
        let peer = Namespace::create(&format!("{prefix}-peer"))?;
        for network in 0..2 {
            let interface = format!("eth{network}");
            director.ip([
                format!(
                    "link add {interface} type veth peer name {interface} \
                     address 02:00:00:00:{network:02x}:02 netns {}",
                    peer.name()
                ),
                format!("address add 10.{network}.0.1/24 dev {interface}"),
                format!("link set {interface} up"),
            ])?;
            peer.ip([
                format!("address add 10.{network}.0.2/24 dev {interface}"),
                format!("link set {interface} up"),
            ])?;
            // Three unanswered ARP requests then take 60 ms instead of 3 s.
            let retransmit = format!("ipv4/neigh/{interface}/retrans_time_ms");
            director.sysctls(&[(&retransmit, "20")])?;
        }
        Ok(Self { director, peer })
    }
}
