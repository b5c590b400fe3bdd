//! What is likely meant by words of other load balancers, and of ipvsadm's listings.

/// A word, and ours for the same thing. Where a word can mean several things, it has several
/// lines.
const WORDS: &[(&str, &str)] = &[
    // Forwarding methods.
    ("masq", "nat"),
    ("masquerade", "nat"),
    ("masquerading", "nat"),
    ("snat", "nat"),
    ("dnat", "nat"),
    ("gate", "dr"),
    ("gateway", "dr"),
    ("gatewaying", "dr"),
    ("route", "dr"),
    ("direct", "dr"),
    ("dsr", "dr"),
    ("direct_routing", "dr"),
    ("ipip", "tun"),
    ("tunnel", "tun"),
    ("tunneling", "tun"),
    // Schedulers.
    ("round_robin", "rr"),
    ("roundrobin", "rr"),
    ("weighted_round_robin", "wrr"),
    ("least_conn", "lc"),
    ("leastconn", "lc"),
    ("least_connections", "lc"),
    ("weighted_least_connections", "wlc"),
    // States of connections.
    ("est", "ESTABLISHED"),
    ("estab", "ESTABLISHED"),
    ("syn_r", "SYN_RECV"),
    ("fin_w", "FIN_WAIT"),
    ("time_w", "TIME_WAIT"),
    ("close_w", "CLOSE_WAIT"),
    ("timewait", "TIME_WAIT"),
    ("fin", "FIN_WAIT"),
    ("syn", "SYN_RECV"),
    ("closed", "CLOSE"),
    // Keys.
    ("vip", "address"),
    ("rip", "address"),
    ("ip", "address"),
    ("host", "address"),
    ("listen", "address"),
    ("virtual", "address"),
    ("proto", "protocol"),
    ("algorithm", "scheduler"),
    ("algo", "scheduler"),
    ("lb_algo", "scheduler"),
    ("lvs_sched", "scheduler"),
    ("sched", "scheduler"),
    ("method", "forward"),
    ("lvs_method", "forward"),
    ("lb_kind", "forward"),
    ("kind", "forward"),
    ("mode", "forward"),
    ("forwarding", "forward"),
    ("forwarding_method", "forward"),
    ("real", "servers"),
    ("reals", "servers"),
    ("real_server", "servers"),
    ("real_servers", "servers"),
    ("realservers", "servers"),
    ("backend", "servers"),
    ("backends", "servers"),
    ("destinations", "servers"),
    ("upstreams", "servers"),
    ("virtual_server", "services"),
    ("virtual_servers", "services"),
    ("virtual_service", "services"),
    ("virtual_services", "services"),
    ("virtuals", "services"),
    ("vips", "services"),
    ("listeners", "services"),
    ("comment", "description"),
    ("id", "name"),
    ("ifaces", "interfaces"),
    ("nics", "interfaces"),
    ("devices", "interfaces"),
    ("conn_tab_size", "connections"),
    ("max_connections", "connections"),
    ("table_size", "connections"),
    ("persistence_timeout", "persistence"),
    ("persistent", "persistence"),
    ("sticky", "persistence"),
    ("persistence_granularity", "netmask"),
    ("granularity", "netmask"),
    ("mask", "netmask"),
    ("prefix", "netmask"),
    ("ttl", "timeout"),
    ("time", "timeout"),
    ("seconds", "timeout"),
    ("duration", "timeout"),
    ("persistence_timeout", "timeout"),
    ("tcp_fin", "tcpfin"),
    ("fin_wait", "tcpfin"),
    ("established", "tcp"),
];

/// Keys that have no counterpart here, and what is done instead.
const KEYS: &[(&str, &str)] = &[
    ("port", PORT),
    ("ports", PORT),
    ("health_check", HEALTH),
    ("health_checks", HEALTH),
    ("healthcheck", HEALTH),
    ("check", HEALTH),
    ("checks", HEALTH),
    ("monitor", HEALTH),
    ("http_get", HEALTH),
    ("tcp_check", HEALTH),
    (
        "mode",
        "the mode is an option of the daemon: lb-ctl run --mode native or generic",
    ),
    (
        "xdp_mode",
        "the mode is an option of the daemon: lb-ctl run --mode native or generic",
    ),
    (
        "instance",
        "the instance is an option of every command: lb-ctl --instance NAME",
    ),
    (
        "log",
        "what is logged is an option of the daemon: lb-ctl run --log info",
    ),
    (
        "log_level",
        "what is logged is an option of the daemon: lb-ctl run --log info",
    ),
    (
        "drain",
        "to send no new connections to a server, write `weight: 0`",
    ),
    (
        "disabled",
        "to send no new connections to a server, write `weight: 0`",
    ),
    (
        "enabled",
        "to send no new connections to a server, write `weight: 0`",
    ),
    (
        "state",
        "to send no new connections to a server, write `weight: 0`",
    ),
];

const PORT: &str = "write the port behind the address: `address: IP:PORT`";
const HEALTH: &str = "the director does not check servers: ldirectord can, with ipvsadm's \
                      commands, or a script that calls `lb-ctl server drain`";

/// The one among these that another word stands for.
pub fn among<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = plain(word);
    let ours = WORDS.iter().filter(|(given, _)| *given == word);
    { ours }.find_map(|(_, ours)| candidates.iter().copied().find(|found| found == ours))
}

/// What is done here instead of a key, if that is known.
#[must_use]
pub fn instead(key: &str) -> Option<&'static str> {
    let key = plain(key);
    let found = KEYS.iter().find(|(given, _)| *given == key);
    found.map(|(_, instead)| *instead)
}

fn plain(word: &str) -> String {
    word.trim().to_lowercase().replace(['-', ' '], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_ipvs_and_keepalived_mean_ours() {
        let methods = ["dr", "nat", "tun"];
        for (word, ours) in [
            ("masq", Some("nat")),
            ("Masq", Some("nat")),
            ("Route", Some("dr")),
            ("Tunnel", Some("tun")),
            ("direct-routing", Some("dr")),
            ("rr", None),
            ("port", None),
        ] {
            assert_eq!(among(word, &methods), ours, "{word}");
        }
        let of_service = ["address", "protocol", "servers", "scheduler", "forward"];
        assert_eq!(among("lb_algo", &of_service), Some("scheduler"));
        assert_eq!(among("real_server", &of_service), Some("servers"));
        assert_eq!(among("real_server", &["weight"]), None);
    }

    #[test]
    fn what_has_no_counterpart_says_what_is_done_instead() {
        assert!(instead("health-check").unwrap().contains("ldirectord"));
        assert!(instead("port").unwrap().contains("IP:PORT"));
        assert_eq!(instead("weight"), None);
    }
}
