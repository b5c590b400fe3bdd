//! The core in a simulated world: random edits, files, changes of the network, answers out of
//! order, a packet path that fails, crashes at any step, and restarts.
//!
//! What must hold, whatever happens:
//!
//! - In the end, the packet path does what a fresh start from what is desired would make it do.
//! - What was refused changed nothing, and what was not refused is done.
//! - Every request gets exactly one reply, unless the daemon crashes first.
//! - Nothing is put into the packet path that is not recorded.
//! - Every change is told before it is made; what takes a service, a server or a live edit away,
//!   as a warning.

mod file;
mod network;
mod path;
mod world;

use std::env;

use lb_director::core::Level;
use lb_model::{
    Change, Method, Scheduler, Server, ServerOptions, Service, Unreachable, merge::Written,
    strategies,
};
use proptest::{
    collection,
    prelude::*,
    sample::{Index, select},
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{file::file, network::Way, world::World};

/// Something that happens.
#[derive(Clone, Debug)]
enum Action {
    /// Somebody asks for changes.
    Change(Vec<Change>),
    /// Somebody applies a file.
    Apply { file: Box<Written>, own: bool },
    /// Somebody edits the daemon's file.
    Edit(Box<Written>),
    /// SIGHUP.
    Hangup,
    /// `lb-ctl save` into the daemon's own file.
    Save,
    /// An address is reached otherwise.
    Network { last: u8, way: Way },
    /// From now on, questions are answered with what was so when they were asked, or when the
    /// answer comes.
    Early(bool),
    /// One of the answers that are on their way comes.
    Answer(Index),
    /// The packet path fails so many times, after so many steps.
    Fail { after: u8, times: u8 },
    /// The daemon is killed after so many steps. It starts again at [`Action::Start`].
    Kill { after: u8 },
    /// The daemon starts, if it does not run.
    Start,
    /// A second passes.
    Tick,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => collection::vec(strategies::change(), 1..5).prop_map(Action::Change),
        1 => (file(), any::<bool>()).prop_map(|(file, own)| Action::Apply { file, own }),
        2 => file().prop_map(Action::Edit),
        1 => Just(Action::Hangup),
        1 => Just(Action::Save),
        4 => (1..8u8, select(Way::ALL)).prop_map(|(last, way)| Action::Network { last, way }),
        1 => any::<bool>().prop_map(Action::Early),
        12 => any::<Index>().prop_map(Action::Answer),
        3 => (0..6u8, 1..4u8).prop_map(|(after, times)| Action::Fail { after, times }),
        2 => (0..12u8).prop_map(|after| Action::Kill { after }),
        4 => Just(Action::Start),
        1 => Just(Action::Tick),
    ]
}

fn story() -> impl Strategy<Value = (Box<Written>, Vec<Action>)> {
    (file(), collection::vec(action(), 0..40))
}

fn play((file, actions): (Box<Written>, Vec<Action>)) {
    let mut world = World::new(*file);
    world.start();
    for action in actions {
        match action {
            Action::Change(changes) => world.change(changes),
            Action::Apply { file, own } => world.apply(*file, own),
            Action::Edit(file) => world.file = *file,
            Action::Hangup => world.hang_up(),
            Action::Save => world.save(),
            Action::Network { last, way } => world.change_network(last, way),
            Action::Early(early) => world.network.early = early,
            Action::Answer(which) => world.answer(|answers| which.index(answers)),
            Action::Fail { after, times } => world.path.fail(after, times),
            Action::Kill { after } => world.path.kill_after(after),
            Action::Start => world.start(),
            Action::Tick => world.tick(),
        }
    }
    world.end();
}

/// How many stories are told: `LB_STORIES=20000` takes some minutes.
fn stories() -> u32 {
    let told = env::var("LB_STORIES").ok();
    told.and_then(|told| told.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(Config::with_cases(stories()))]

    #[test]
    fn in_the_end_everything_is_as_if_the_daemon_had_just_started(story in story()) {
        play(story);
    }
}

/// Random stories seldom come here: a file's second service fails, and then the record.
#[test]
fn what_cannot_be_put_back_is_put_back_later() {
    let file = |scheduler: &str| {
        let service = |last| {
            let id = format!("tcp/192.0.2.{last}:80");
            let mut service = Service::new(id.parse().expect("a service"));
            service.options.scheduler = Scheduler::named(scheduler);
            service
        };
        Written {
            services: Some(vec![service(1), service(2)]),
            ..Written::default()
        }
    };
    let mut world = World::new(file("rr"));
    world.start();
    world.settle();
    // After the line of the record, the preparation and the first service.
    world.path.fail(3, 2);
    world.apply(file("lc"), true);
    world.end();
}

/// A file with a service whose servers are 10.0.0.1 and 10.0.0.2.
fn two_servers(unreachable: Unreachable) -> Written {
    let mut service = Service::new("tcp/192.0.2.1:80".parse().expect("a service"));
    for id in ["10.0.0.1:80", "10.0.0.2:80"] {
        let mut server = Server {
            id: id.parse().expect("a server"),
            options: ServerOptions::default(),
        };
        server.options.weight = 3;
        service.servers.push(server);
    }
    Written {
        unreachable: Some(unreachable),
        services: Some(vec![service]),
        ..Written::default()
    }
}

#[test]
fn servers_that_cannot_be_reached_get_no_new_connections_if_that_is_wanted() {
    let mut world = World::new(two_servers(Unreachable::Skip));
    world.start();
    world.settle();
    assert_eq!(world.path.weights(), [3, 3]);
    for (way, weights) in [
        (Way::Unresolved, [0, 3]),
        (Way::Direct, [3, 3]),
        (Way::None, [0, 3]),
        (Way::Local, [3, 3]),
    ] {
        world.change_network(1, way);
        world.settle();
        assert_eq!(world.path.weights(), weights, "{way:?}");
    }
    // The packet path fails, and is put right by the next tick.
    world.path.fail(0, 2);
    world.change_network(1, Way::Unresolved);
    world.settle();
    assert_eq!(world.path.weights(), [0, 3]);
    // What the operator wants counts at once.
    world.apply(two_servers(Unreachable::Keep), true);
    world.settle();
    assert_eq!(world.path.weights(), [3, 3]);
    world.apply(two_servers(Unreachable::Skip), true);
    world.settle();
    assert_eq!(world.path.weights(), [0, 3]);
    world.end();
}

#[test]
fn only_dr_servers_get_new_connections_when_their_address_becomes_the_directors_own() {
    let mut file = two_servers(Unreachable::Skip);
    for service in file.services.iter_mut().flatten() {
        service.servers[0].options.forward = Some(Method::Nat);
    }
    let mut world = World::new(file);
    world.start();
    world.settle();
    for (way, weights) in [
        (Way::Local, [0, 3]),
        (Way::Direct, [3, 3]),
        (Way::Unresolved, [0, 3]),
        (Way::Local, [0, 3]),
        (Way::OtherMac, [3, 3]),
    ] {
        world.change_network(1, way);
        world.change_network(2, way);
        if way == Way::Unresolved {
            world.change_network(2, Way::Direct);
        }
        world.settle();
        assert_eq!(world.path.weights(), weights, "{way:?}");
    }
    world.end();
}

#[test]
fn every_warning_of_a_server_is_followed_by_the_all_clear_and_removed_servers_are_not_told_of() {
    let mut world = World::new(two_servers(Unreachable::Keep));
    world.start();
    world.settle();
    let mut told = |way| {
        world.told.clear();
        for last in [1, 2] {
            world.change_network(last, way);
        }
        world.settle();
        let lines = world.told.iter();
        let servers = lines.filter(|(_, line)| line.starts_with("server "));
        servers.cloned().collect::<Vec<_>>()
    };
    for (trouble, why) in [
        (Way::Unresolved, "does not answer ARP"),
        (Way::None, "no route"),
    ] {
        for (way, level, words) in [
            (trouble, Level::Warn, why),
            (Way::Direct, Level::Info, "answers again"),
        ] {
            let lines = told(way);
            assert_eq!(lines.len(), 2, "{lines:?}");
            for (its, line) in lines {
                assert!(its == level && line.contains(words), "{its:?} {line}");
            }
        }
    }
    let mut world = World::new(two_servers(Unreachable::Keep));
    world.start();
    world.settle();
    world.change(vec![Change::DeleteServer {
        service: "tcp/192.0.2.1:80".parse().expect("a service"),
        server: "10.0.0.2:80".parse().expect("a server"),
    }]);
    world.settle();
    world.told.clear();
    for way in [Way::Unresolved, Way::Direct, Way::None] {
        world.change_network(2, way);
        world.settle();
    }
    assert_eq!(world.told, []);
    world.end();
}

/// Stories that found a mistake once, by the seed that tells them.
const SEEDS: &[u8] = &[0, 1, 2, 3];

#[test]
fn stories_that_found_something_once_do_not_find_it_again() {
    for &seed in SEEDS {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        for _ in 0..20 {
            play(story().new_tree(&mut runner).expect("a story").current());
        }
    }
}
