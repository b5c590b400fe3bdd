//! Debian's ldirectord: it checks the servers and changes the director by ipvsadm.

use anyhow::ensure;
use lb_lab::{lab::Lab, process::Process, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l3_direct_one_subnet::{SERVICE, topology},
};
use nix::sys::signal::Signal;

const CONFIGURATION: &str = "
checktimeout=2
negotiatetimeout=2
checkinterval=1
autoreload=no
quiescent=yes
virtual=192.168.100.11:80
        real=192.168.100.47:80 gate 2
        real=192.168.100.23:80 gate
        scheduler=wrr
        protocol=tcp
        checktype=connect
virtual=192.168.100.11:53
        real=192.168.100.47:53 masq
        real=192.168.100.23:53 ipip 7
        scheduler=wlc
        protocol=udp
        checktype=on
";

#[test]
fn ldirectord_looks_after_the_servers_of_a_director() {
    let lab = Lab::realise(&topology()).unwrap();
    let director = Director::start(&lab, "interfaces: [eth0]\n").unwrap();
    // ldirectord derives its pid file's name from this one, in a directory of the whole machine.
    let file = format!("{}.cf", director.instance());
    let log = director.path("ldirectord.log");
    let logged = format!("logfile=\"{}\"{CONFIGURATION}", log.display());
    let file = director.write(&file, &logged).unwrap();
    // With `-d`, it runs the `ipvsadm` of its working directory.
    let script = format!(
        "ln -s bin/ipvsadm ipvsadm; exec ldirectord -d {} start",
        file.display()
    );
    let mut shell = director.shell(&script).unwrap();
    let mut ldirectord = Process::start("ldirectord", &mut shell).unwrap();
    let saved = |weight: u32| {
        format!(
            "\
-A -t 192.168.100.11:80 -s wrr
-a -t 192.168.100.11:80 -r 192.168.100.23:80 -g -w {weight}
-a -t 192.168.100.11:80 -r 192.168.100.47:80 -g -w 2
-A -u 192.168.100.11:53 -s wlc
-a -u 192.168.100.11:53 -r 192.168.100.23:53 -i -w 7 --tun-type ipip
-a -u 192.168.100.11:53 -r 192.168.100.47:53 -m -w 1
"
        )
    };
    let becomes = |expected: &str| {
        let what = "ldirectord does what it should";
        wait_until(what, || {
            let rules = director.done("ipvsadm -Sn")?;
            ensure!(rules == expected, "{rules}");
            Ok(())
        })
    };
    becomes(&saved(1)).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    let mut servers = client.servers(3).unwrap();
    servers.sort();
    assert_eq!(servers, ["web23", "web47", "web47"]);

    let web23 = lab.host("web23").unwrap();
    web23.ip(["link set eth0 down"]).unwrap();
    becomes(&saved(0)).unwrap();
    assert_eq!(client.servers(3).unwrap(), ["web47"; 3]);
    web23.ip(["link set eth0 up"]).unwrap();
    becomes(&saved(1)).unwrap();

    ldirectord.end(Signal::SIGTERM).unwrap();
    becomes("").unwrap();
}
