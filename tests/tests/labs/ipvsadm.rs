//! The director for users of ipvsadm: only their scripts change and read it. Its file names an
//! interface and nothing else.

use anyhow::ensure;
use lb_lab::{lab::Lab, process::Output, topology::Topology, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::{l1_nat_weighted, l3_direct_one_subnet, l7_tunnel},
};
use nix::sys::signal::Signal;

/// The director's file. ipvsadm says the rest.
const INTERFACE: &str = "interfaces: [eth0]\n";

/// A lab, and a director without services.
fn empty(topology: &Topology) -> (Lab, Director) {
    let lab = Lab::realise(topology).unwrap();
    let director = Director::start(&lab, INTERFACE).unwrap();
    (lab, director)
}

/// Fails unless a script wrote this to stderr and ended with this exit code.
#[track_caller]
fn assert_says(output: &Output, code: i32, stderr: &str) {
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(code), stderr),
        "{output:?}"
    );
}

#[test]
fn a_script_makes_a_director_that_starts_with_the_server_added_last() {
    let (lab, director) = empty(&l3_direct_one_subnet::topology());
    let script = "
        set -e
        VIP=192.168.100.11
        ipvsadm -C
        ipvsadm -A -t $VIP:80 -s rr
        for rip in 47 23; do
            ipvsadm -a -t $VIP:http -r 192.168.100.$rip -g -w 1
        done
        ipvsadm --set 0 4 0
        ipvsadm -Ln
    ";
    assert_eq!(
        director.done(script).unwrap(),
        "\
IP Virtual Server version 1.2.1 (size=1000000)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.168.100.11:80 rr
  -> 192.168.100.23:80            Route   1      0          0         
  -> 192.168.100.47:80            Route   1      0          0         
"
    );
    let client = lab.client("client", l3_direct_one_subnet::SERVICE).unwrap();
    let servers = client.servers(4).unwrap();
    assert_eq!(servers, ["web23", "web47", "web23", "web47"]);

    // Their connections are closed and stay in FIN_WAIT for 4 seconds, as set above.
    wait_until("all connections are inactive", || {
        let listing = director.done("ipvsadm -Ln -t 192.168.100.11:80")?;
        let rows: Vec<_> = listing.lines().skip(3).collect();
        ensure!(
            rows == [
                "  -> 192.168.100.23:80            Route   1      0          2         ",
                "  -> 192.168.100.47:80            Route   1      0          2         ",
            ],
            "{listing}"
        );
        Ok(())
    })
    .unwrap();
    let timeouts = director.done("ipvsadm -L --timeout").unwrap();
    assert_eq!(timeouts, "Timeout (tcp tcpfin udp): 900 4 300\n");
    let connections = director.done("ipvsadm -Lnc").unwrap();
    let mut rows = connections.lines();
    assert_eq!(rows.next(), Some("IPVS connection entries"));
    assert_eq!(
        rows.next(),
        Some("pro expire state       source             virtual            destination")
    );
    for row in rows {
        let columns: Vec<_> = row.split_whitespace().collect();
        let [protocol, expires, state, source, service, server] = columns[..] else {
            panic!("{row}");
        };
        assert_eq!(
            (protocol, state, service),
            ("TCP", "FIN_WAIT", "192.168.100.11:80")
        );
        assert!(expires.starts_with("00:0"), "{row}");
        assert!(source.starts_with("192.168.100.46:"), "{row}");
        assert!(server.ends_with(":80"), "{row}");
    }
    // The default would be 120 seconds.
    wait_until("their time is over", || {
        let connections = director.done("ipvsadm -Lnc")?;
        ensure!(connections.lines().count() == 2, "{connections}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn counters_begin_anew_where_ipvsadm_says_so_and_a_restart_does_not_forget_it() {
    let (lab, mut director) = empty(&l3_direct_one_subnet::topology());
    let made = "ipvsadm -A -t 192.168.100.11:80 -s rr &&
        ipvsadm -a -t 192.168.100.11:80 -r 192.168.100.47 &&
        ipvsadm -a -t 192.168.100.11:80 -r 192.168.100.23";
    director.done(made).unwrap();
    let client = lab.client("client", l3_direct_one_subnet::SERVICE).unwrap();
    client.servers(6).unwrap();
    // The last packets of these connections may still arrive.
    wait_until("all connections have ended", || {
        let rows = director.connections()?;
        ensure!(rows.len() == 6 && rows.iter().all(|row| row.state == "FIN_WAIT"));
        Ok(())
    })
    .unwrap();
    let connections = |listing: &str| -> Vec<String> {
        let rows = listing.lines().skip(3);
        rows.map(|row| row[33..].split_whitespace().next().unwrap().to_owned())
            .collect()
    };
    let stats = "ipvsadm -Ln --stats";
    assert_eq!(connections(&director.done(stats).unwrap()), ["6", "3", "3"]);
    wait_until("rates are estimated", || {
        let rates = director.done("ipvsadm -Ln --rate")?;
        let service = rates.lines().nth(3).unwrap_or_default();
        let bytes = service.split_whitespace().nth(5);
        ensure!(bytes.is_some_and(|bytes| bytes != "0"), "{rates}");
        Ok(())
    })
    .unwrap();

    director.done("ipvsadm -Z").unwrap();
    let none = "        0        0        0        0        0";
    let zero = format!(
        "\
IP Virtual Server version 1.2.1 (size=1000000)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  192.168.100.11:80           {none}
  -> 192.168.100.23:80           {none}
  -> 192.168.100.47:80           {none}
"
    );
    assert_eq!(director.done(stats).unwrap(), zero);
    let rates = director.done("ipvsadm -Ln --rate").unwrap();
    assert_eq!(rates.lines().nth(3), zero.lines().nth(3));
    // Zeroing one service leaves the others' counters alone.
    assert_eq!(
        director.stats().unwrap().services[0].counters.connections,
        6
    );

    director
        .command(&["save", path(&director, "lb.yaml").as_str()])
        .unwrap();
    director.end(Signal::SIGKILL).unwrap();
    client.servers(2).unwrap();
    director.run("lb.yaml").unwrap();
    assert_eq!(connections(&director.done(stats).unwrap()), ["2", "1", "1"]);
    // A server that is removed and added again starts with counters at 0.
    director
        .done(
            "ipvsadm -d -t 192.168.100.11:80 -r 192.168.100.23 &&
             ipvsadm -a -t 192.168.100.11:80 -r 192.168.100.23",
        )
        .unwrap();
    assert_eq!(connections(&director.done(stats).unwrap()), ["2", "0", "1"]);
}

fn path(director: &Director, file: &str) -> String {
    director.path(file).display().to_string()
}

#[test]
fn what_is_saved_is_restored_by_ipvsadm_and_by_apply() {
    let (_lab, director) = empty(&l3_direct_one_subnet::topology());
    let rules = "\
-A -t 192.168.100.11:80 -s wrr
-a -t 192.168.100.11:80 -r 192.168.100.23:80 -g -w 0
-a -t 192.168.100.11:80 -r 192.168.100.47:80 -i -w 65535 --tun-type ipip
-a -t 192.168.100.11:80 -r 192.168.100.48:8080 -m -w 3
-A -t 192.168.100.11:443 -s lc
-A -u 192.168.100.11:53 -s wlc
-a -u 192.168.100.11:53 -r 192.168.100.23:53 -g -w 1
";
    director
        .write("rules", &format!("# by hand\n{rules}"))
        .unwrap();
    assert_eq!(director.done("ipvsadm-restore < rules").unwrap(), "");
    assert_eq!(director.done("ipvsadm -Sn").unwrap(), rules);
    let listing = director.done("ipvsadm -Ln --nosort").unwrap();

    director
        .done("ipvsadm-save -n > saved; ipvsadm -C")
        .unwrap();
    assert_eq!(director.done("ipvsadm-save").unwrap(), "");
    director.done("ipvsadm -R < saved").unwrap();
    assert_eq!(director.done("ipvsadm -S -n").unwrap(), rules);

    let file = path(&director, "live.yaml");
    director.command(&["save", &file]).unwrap();
    let again = director.done("ipvsadm -Ln --nosort").unwrap();
    director.done("ipvsadm -C").unwrap();
    director.command(&["apply", &file]).unwrap();
    assert_eq!(director.done("ipvsadm -Ln --nosort").unwrap(), again);
    assert_eq!(again.lines().count(), listing.lines().count());
}

#[test]
fn servers_behind_nat_and_tunnels_are_added_too() {
    let (lab, director) = {
        let lab = Lab::realise(&l1_nat_weighted::topology()).unwrap();
        let director = Director::start(&lab, "interfaces: [eth0, eth1]\n").unwrap();
        (lab, director)
    };
    director
        .done(
            "lb() { ipvsadm \"$@\" || exit; }
             lb -A -t 172.16.10.21:80 -s wrr
             lb -a -t 172.16.10.21:80 -r 192.168.100.39:80 -m -w 2
             lb -a -t 172.16.10.21:80 -r 192.168.100.23:80 -m -w 3",
        )
        .unwrap();
    let client = lab.client("client", l1_nat_weighted::SERVICE).unwrap();
    let servers = client.servers(10).unwrap();
    assert_eq!(servers.iter().filter(|name| *name == "web39").count(), 4);
    let stats = director.done("ipvsadm -Ln --stats --exact").unwrap();
    let service: Vec<u64> = stats.lines().nth(3).unwrap()[33..]
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    assert!(
        service[0] == 10 && service.iter().all(|&number| number > 0),
        "{stats}"
    );
    drop((director, lab));

    let (lab, director) = empty(&l7_tunnel::topology());
    director
        .done(
            "ipvsadm -A -t 192.168.100.11:80 -s rr &&
             ipvsadm -a -t 192.168.100.11:80 -r 10.20.0.2 --ipip &&
             ipvsadm -a -t 192.168.100.11:80 -r 10.20.0.3 --ipip --tun-type ipip",
        )
        .unwrap();
    let client = lab.client("client", "192.168.100.11:80").unwrap();
    assert_eq!(client.servers(2).unwrap(), ["web3", "web2"]);
}

#[test]
fn what_the_packet_path_does_not_act_on_is_refused_as_a_kernel_without_it_would() {
    let (_lab, director) = empty(&l3_direct_one_subnet::topology());
    director
        .done("ipvsadm -A -t 10.9.9.9:80 && ipvsadm -a -t 10.9.9.9:80 -r 192.168.100.47")
        .unwrap();
    let before = director.done("ipvsadm -Sn").unwrap();
    let scheduler = "Scheduler or persistence engine not found";
    let option = "Protocol not available";
    let family = "Operation not supported with specified address family";
    let range = "Numerical result out of range";
    let invalid = "Invalid operation.  Possibly wrong module version, address not unicast, ...";
    for (arguments, message) in [
        ("-A -t 10.9.9.9:81 -s sed", scheduler),
        ("-A -t 10.9.9.9:81 -s sh -b sh-port", scheduler),
        ("-A -t 10.9.9.9:81 --pe sip -p", scheduler),
        ("-E -t 10.9.9.9:80 -s mh", scheduler),
        ("-A -t 10.9.9.9:81 -p", option),
        ("-A -t 10.9.9.9:0 -p 60", option),
        ("-A -t 10.9.9.9:81 -s rr -b flag-1", option),
        ("-A -u 10.9.9.9:53 -o", option),
        ("-A -f 1", option),
        ("-A --sctp-service 10.9.9.9:2905", "Protocol not supported"),
        ("-A -t [2001:db8::1]:80", family),
        ("-A -t 224.0.0.1:80", invalid),
        ("-A -t 10.9.9.9:80 -s sed", "Service already exists"),
        ("-E -f 1 -p", "No such service"),
        ("-a -f 1 -r 192.168.100.47", "Service not defined"),
        ("-a -t 10.9.9.9:80 -r 192.168.100.23 -x 5", option),
        ("-a -t 10.9.9.9:80 -r 192.168.100.23 -y 5", range),
        ("-a -t 10.9.9.9:80 -r 192.168.100.23 -w 65536", range),
        ("-a -t 10.9.9.9:80 -r [2001:db8::2]:80 -i", family),
        (
            "-a -t 10.9.9.9:80 -r 192.168.100.23 -i --tun-type gre",
            option,
        ),
        (
            "-a -t 10.9.9.9:80 -r 192.168.100.47",
            "Destination already exists",
        ),
        ("-a -t 10.9.9.9:80 -r 192.168.100.17 -m", invalid),
        ("-a -t 10.9.9.9:80 -r 239.1.1.1", invalid),
        ("-e -t 10.9.9.9:80 -r 192.168.100.99", "No such destination"),
        ("-e -t 10.9.9.9:80 -r 192.168.100.47 -x 5", option),
        ("-d -t 10.9.9.9:81 -r 192.168.100.47", "Service not defined"),
        ("-Z -t 10.9.9.9:81", "No such service"),
        ("--start-daemon master --mcast-interface eth0", option),
        ("--stop-daemon master", "No daemon is running"),
    ] {
        let output = director.script(&format!("ipvsadm {arguments}")).unwrap();
        assert_says(&output, 255, &format!("{message}\n"));
    }
    assert_eq!(director.done("ipvsadm -Sn").unwrap(), before);
    assert_eq!(director.done("ipvsadm -L --daemon").unwrap(), "");
}

#[test]
fn restoring_goes_line_by_line_and_ends_at_a_wrong_argument() {
    let (_lab, director) = empty(&l3_direct_one_subnet::topology());
    let restored = "ipvsadm -R <<'EOF'
-A -t 10.9.9.9:80 -s rr
-a -t 10.9.9.9:80 -r 192.168.100.47 -g -w 1
-a -t 10.9.9.9:80 -r 192.168.100.47 -g -w 2
-a -t 10.9.9.9:81 -r 192.168.100.47
-a -t 10.9.9.9:80 -r 192.168.100.17 -m
-a -t 10.9.9.9:80 -r 192.168.100.23
-A -t 10.9.9.9:82 -w 1
-A -t 10.9.9.9:83
EOF
";
    assert_says(
        &director.script(restored).unwrap(),
        2,
        "\
Destination already exists
Service not defined
Invalid operation.  Possibly wrong module version, address not unicast, ...
Illegal 'weight' option with the 'add-service' command
",
    );
    assert_eq!(
        director.done("ipvsadm -Sn").unwrap(),
        "\
-A -t 10.9.9.9:80 -s rr
-a -t 10.9.9.9:80 -r 192.168.100.23:80 -g -w 1
-a -t 10.9.9.9:80 -r 192.168.100.47:80 -g -w 1
"
    );
}

#[test]
fn what_is_typed_takes_effect_before_the_next_line_is_typed() {
    let (_lab, director) = empty(&l3_direct_one_subnet::topology());
    let typed = "
        (
            echo '-A -t 10.9.9.9:90 -s lc'
            until ipvsadm -Ln -t 10.9.9.9:90 >/dev/null 2>&1; do :; done
            echo '-D -t 10.9.9.9:90'
        ) | ipvsadm -R
        ipvsadm -Ln -t 10.9.9.9:90
    ";
    let output = director.script(typed).unwrap();
    assert_says(&output, 1, "No such service\n");
}

#[test]
fn without_a_daemon_it_is_as_without_ip_vs() {
    let (_lab, mut director) = empty(&l3_direct_one_subnet::topology());
    director.end(Signal::SIGTERM).unwrap();
    director.command(&["detach"]).unwrap();
    for command in [
        "ipvsadm -Ln",
        "ipvsadm -A -t 10.9.9.9:80",
        "ipvsadm-save",
        "ipvsadm-restore",
    ] {
        let output = director.script(command).unwrap();
        assert_eq!(output.code, Some(2), "{output:?}");
        let mut lines = output.stderr.lines();
        let first = "Can't initialize ipvs: Protocol not available";
        assert_eq!(lines.next(), Some(first));
        let ours = lines.next().unwrap();
        assert!(
            ours.contains("no daemon") && ours.contains("lb-ctl run --config"),
            "{ours}"
        );
        assert_eq!(lines.next(), None);
    }
    assert_eq!(
        director.done("ipvsadm --version").unwrap(),
        "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n"
    );
}

#[test]
fn ipvsadm_is_a_verb_too() {
    let (_lab, director) = empty(&l3_direct_one_subnet::topology());
    let add = ["ipvsadm", "-A", "-t", "10.9.9.9:80", "-s", "rr"];
    assert_eq!(director.command(&add).unwrap(), "");
    let list = director.command(&["ipvsadm", "-Ln"]).unwrap();
    assert_eq!(list, director.done("ipvsadm -Ln").unwrap());
    let output = director.try_command(&add).unwrap();
    assert_says(&output, 255, "Service already exists\n");
    let help = director.command(&["ipvsadm", "--help"]).unwrap();
    assert_eq!(help, director.done("ipvsadm -h").unwrap());
}

#[test]
fn a_limit_that_ipvs_does_not_have_is_named() {
    let (_lab, director) = empty(&l3_direct_one_subnet::topology());
    let rules = "
        echo '-A -t 10.9.9.9:80 -s rr'
        for port in $(seq 1024); do
            echo \"-a -t 10.9.9.9:80 -r 192.168.100.47:$port -m\"
        done
    ";
    director
        .done(&format!("({rules}) > rules; ipvsadm -R < rules"))
        .unwrap();
    let one_more = "ipvsadm -a -t 10.9.9.9:80 -r 192.168.100.47:2000 -m";
    let limit = "Memory allocation problem\n\
                 1025 servers, but a service has at most 1024: spread them over several services\n";
    assert_says(&director.script(one_more).unwrap(), 255, limit);
}

#[test]
fn hundreds_of_changes_that_cannot_be_done_leave_what_was_made() {
    let (_lab, director) = empty(&l3_direct_one_subnet::topology());
    // NAT to a server on the director itself cannot be refused before the routes are asked.
    let rules = "
        echo '-A -t 10.9.9.9:80 -s rr'
        echo '-a -t 10.9.9.9:80 -r 192.168.100.47 -m'
        for port in $(seq 300); do
            echo \"-a -t 10.9.9.9:80 -r 192.168.100.17:$port -m\"
        done
    ";
    let output = director.script(&format!("({rules}) > rules; ipvsadm -R < rules"));
    let invalid = "Invalid operation.  Possibly wrong module version, address not unicast, ...\n";
    assert_says(&output.unwrap(), 255, &invalid.repeat(300));
    assert_eq!(
        director.done("ipvsadm -Sn").unwrap(),
        "\
-A -t 10.9.9.9:80 -s rr
-a -t 10.9.9.9:80 -r 192.168.100.47:80 -m -w 1
"
    );
}
