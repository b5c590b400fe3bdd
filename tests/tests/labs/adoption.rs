//! What a daemon finds that starts where another one died, or was ended by force: it adopts
//! what it can, repairs what is half-done, and leaves alone what it does not understand.

use std::{fs, path::PathBuf};

use aya::maps::{Array, Map, MapData};
use lb_common::layout::{LAYOUT, Settings};
use lb_dataplane::raw::{Parts, end};
use lb_lab::{
    client::{Client, Connection},
    lab::Lab,
};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{CONFIGURATION, SERVICE, topology},
};
use nix::sys::signal::Signal;

/// A director whose daemon was killed, and a connection that was opened before.
struct Orphan {
    _lab: Lab,
    director: Director,
    client: Client,
    connection: Connection,
}

impl Orphan {
    fn new() -> Self {
        let lab = Lab::realise(&topology()).unwrap();
        let mut director = Director::start(&lab, CONFIGURATION).unwrap();
        let client = lab.client("client", SERVICE).unwrap();
        client.servers(3).unwrap();
        let mut connection = client.connect().unwrap();
        connection.get("/").unwrap();
        director.end(Signal::SIGKILL).unwrap();
        Self {
            _lab: lab,
            director,
            client,
            connection,
        }
    }

    fn pin(&self, name: &str) -> PathBuf {
        self.director.pins().join(name)
    }

    fn settings(&self) -> Parts {
        let map = MapData::from_pin(self.pin("settings")).unwrap();
        Parts::of(&Map::Array(map)).unwrap()
    }

    fn write_settings(&self, change: impl FnOnce(&mut Settings)) {
        let parts = self.settings();
        let mut settings = parts.settings.read(0).unwrap();
        change(&mut settings);
        parts.settings.write(0, settings);
    }

    fn links(&self) -> Vec<PathBuf> {
        let pins = fs::read_dir(self.director.pins()).unwrap().flatten();
        let pins = pins.map(|pin| pin.path());
        let is_link = |path: &PathBuf| path.to_string_lossy().contains("/link-");
        pins.filter(is_link).collect()
    }

    /// The daemon does not start, says all of this, and packets go where they went.
    #[track_caller]
    fn assert_refused(&mut self, said: &[&str]) {
        let file = self.director.path("lb.yaml").display().to_string();
        let run = ["run", "--mode", "native", "--config", &file];
        let output = self.director.try_command(&run).unwrap();
        assert_eq!(output.code, Some(1), "{output:?}");
        for words in said {
            assert!(output.stderr.contains(words), "{words:?} in {output:?}");
        }
        assert!(output.stderr.contains("lb-ctl detach"), "{output:?}");
        self.connection.get("/").unwrap();
    }

    /// The daemon starts, has everything, and packets go where they went.
    #[track_caller]
    fn assert_adopted(&mut self) {
        self.director.run("lb.yaml").unwrap();
        self.connection.get("/").unwrap();
        self.client.servers(2).unwrap();
        let stats = self.director.stats().unwrap();
        assert_eq!(stats.services[0].counters.connections, 3 + 1 + 2);
    }

    /// The daemon starts, and begins anew.
    #[track_caller]
    fn assert_made_anew(&mut self, said: &str) {
        self.director.run("lb.yaml").unwrap();
        self.director.log_with(said).unwrap();
        self.client.servers(2).unwrap();
        let stats = self.director.stats().unwrap();
        assert_eq!(stats.services[0].counters.connections, 2);
    }
}

#[test]
fn another_layout_is_refused_with_the_way_out() {
    let mut orphan = Orphan::new();
    orphan.write_settings(|settings| settings.layout = LAYOUT + 1);
    orphan.assert_refused(&[&format!("layout {}", LAYOUT + 1)]);

    // The way out.
    orphan.director.command(&["detach"]).unwrap();
    assert!(!orphan.director.pins().exists());
    orphan.director.run("lb.yaml").unwrap();
    orphan.client.servers(3).unwrap();
}

#[test]
fn settings_that_say_nothing_are_refused_while_packets_are_handled() {
    let mut orphan = Orphan::new();
    orphan.write_settings(|settings| settings.layout = 0);
    orphan.assert_refused(&["has no layout"]);
    orphan.write_settings(|settings| settings.layout = LAYOUT);
    orphan.assert_adopted();
}

#[test]
fn maps_whose_pins_are_gone_are_found_by_the_program_that_handles_packets() {
    let mut orphan = Orphan::new();
    for name in ["settings", "connections", "loads", "room-1/servers"] {
        fs::remove_file(orphan.pin(name)).unwrap();
    }
    orphan.assert_adopted();
    orphan.director.end(Signal::SIGKILL).unwrap();
    fs::remove_dir_all(orphan.pin("room-1")).unwrap();
    orphan.director.run("lb.yaml").unwrap();
    orphan.connection.get("/").unwrap();
    let stats = orphan.director.stats().unwrap();
    assert_eq!(stats.services[0].counters.connections, 3 + 1 + 2);
}

#[test]
fn a_map_of_another_size_is_refused_while_packets_are_handled() {
    let mut orphan = Orphan::new();
    let pin = orphan.pin("room-1/rosters");
    let ours = MapData::from_pin(&pin).unwrap();
    let other: Array<MapData, [u8; 64]> = Array::create(7, 0).unwrap();
    fs::remove_file(&pin).unwrap();
    other.pin(&pin).unwrap();
    orphan.assert_refused(&["room-1/rosters", "7 entries of 64 bytes"]);
    fs::remove_file(&pin).unwrap();
    ours.pin(&pin).unwrap();
    orphan.assert_adopted();
}

#[test]
fn what_was_removed_in_part_is_cleared_away_and_made_anew() {
    for gone in ["settings", "connections", "room-1/servers"] {
        let mut orphan = Orphan::new();
        for link in orphan.links() {
            end(&link).unwrap();
        }
        fs::remove_file(orphan.pin(gone)).unwrap();
        orphan.assert_made_anew("handled no packets: removed");
    }
}

#[test]
fn what_was_made_in_part_is_cleared_away_and_made_anew() {
    let mut orphan = Orphan::new();
    for link in orphan.links() {
        end(&link).unwrap();
    }
    orphan.write_settings(|settings| settings.layout = 0);
    orphan.assert_made_anew("has no layout, and handled no packets: removed");
}
