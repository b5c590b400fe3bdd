//! Interfaces that swap names: the program stays where it is attached.

use anyhow::ensure;
use lb_lab::{client::Connection, lab::Lab, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
};
use nix::sys::signal::Signal;

struct Story {
    lab: Lab,
    director: Director,
    connection: Connection,
}

impl Story {
    fn begin() -> Self {
        let lab = Lab::realise(&topology()).unwrap();
        let director = Director::start(&lab, CONFIGURATION).unwrap();
        let client = lab.client("client", SERVICE).unwrap();
        Self {
            connection: client.connect().unwrap(),
            lab,
            director,
        }
    }

    fn ip(&self, command: &str) {
        self.lab.host("director").unwrap().ip([command]).unwrap();
    }

    /// The connection that was opened first is served, and so are new clients; `stats` shows the
    /// interfaces so.
    #[track_caller]
    fn assert_served(&mut self, shown: &str) {
        let shown = format!("interfaces: {shown}\n");
        wait_until("stats shows it", || {
            let stats = self.director.command(&["stats"])?;
            ensure!(stats.contains(&shown), "{shown:?} in {stats}");
            Ok(())
        })
        .unwrap();
        self.connection.get("/").unwrap();
        let client = self.lab.client("client", SERVICE).unwrap();
        client.servers(3).unwrap();
        let log = self.director.log().unwrap();
        assert!(!log.contains("went away"), "{log}");
        // Nobody is told that servers are reached by an interface with another name.
        assert!(!log.contains(" through 192.168.100."), "{log}");
    }
}

#[test]
fn an_interface_that_takes_the_name_of_a_renamed_one_does_not_take_its_place() {
    let mut story = Story::begin();
    story.ip("link set eth0 name wan0");
    story.assert_served("wan0 (native, eth0 in the configuration)");
    story.ip("link set wan0 name eth0");
    story.assert_served("eth0 (native)");

    story.ip("link set eth0 name wan0");
    story.ip("link add eth0 type veth peer name other");
    story.assert_served("wan0 (native, eth0 in the configuration)");
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        story.director.end(signal).unwrap();
        story.director.run("lb.yaml").unwrap();
        let told = "interface eth0 is called wan0 now";
        story.director.log_with(told).unwrap();
        assert_eq!(story.director.attached("eth0").unwrap(), None);
        story.assert_served("wan0 (native, eth0 in the configuration)");
    }

    // Where both names are in the file, each means what has it now.
    let file = CONFIGURATION.replace("[eth0]", "[wan0, eth0]");
    let path = story.director.write("lb.yaml", &file).unwrap();
    let path = path.display().to_string();
    story.director.command(&["apply", &path]).unwrap();
    story.assert_served("wan0 (native), eth0 (native)");
}

#[test]
fn next_hops_that_are_silent_while_an_interface_is_renamed_stay_in_use() {
    let mut story = Story::begin();
    for name in ["web47", "web23"] {
        let server = story.lab.host(name).unwrap();
        server
            .sysctls(&[("ipv4/conf/all/arp_ignore", "8")])
            .unwrap();
    }
    wait_until("both are silent", || {
        let stats = story.director.command(&["stats"])?;
        ensure!(stats.matches("next hop silent").count() == 4, "{stats}");
        Ok(())
    })
    .unwrap();
    story.ip("link set eth0 name wan0");
    story.assert_served("wan0 (native, eth0 in the configuration)");
}
