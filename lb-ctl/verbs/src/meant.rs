//! What is likely meant by a command line that clap refuses: words of ipvsadm, of other load
//! balancers and of other verbs, arguments that are left out or swapped.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use lb_model::{Endpoint, ServiceId};

/// A sentence that says what to write instead, if that is known. `arguments` begin with the
/// program's name.
pub fn hint(error: &Error, arguments: &[OsString]) -> Option<String> {
    let words: Vec<&str> = (arguments.iter().skip(1))
        .filter_map(|word| word.to_str())
        .collect();
    match error.kind() {
        ErrorKind::InvalidSubcommand => verb(&said(error, ContextKind::InvalidSubcommand)?, &words),
        ErrorKind::UnknownArgument => option(&said(error, ContextKind::InvalidArg)?, &words),
        ErrorKind::MissingRequiredArgument | ErrorKind::ValueValidation => server(&words),
        _ => None,
    }
}

fn said(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

/// Verbs by other names.
fn verb(word: &str, words: &[&str]) -> Option<String> {
    let within = |noun| words.contains(&noun) && words.first() != Some(&word);
    let meant = if within("server") {
        match word {
            "delete" | "remove" | "rm" => "lb-ctl server del SERVICE SERVER",
            "edit" | "change" | "mod" | "modify" | "update" | "weight" => {
                "lb-ctl server set SERVICE SERVER --weight WEIGHT"
            }
            "enable" | "undrain" | "resume" | "up" => "lb-ctl server set SERVICE SERVER --weight 1",
            "disable" | "stop" | "down" => "lb-ctl server drain SERVICE SERVER",
            "list" | "ls" | "show" => "lb-ctl service list",
            _ => return None,
        }
    } else if within("service") {
        match word {
            "delete" | "remove" | "rm" => "lb-ctl service del SERVICE",
            "edit" | "change" | "mod" | "modify" | "update" => {
                "lb-ctl service set SERVICE --scheduler SCHEDULER"
            }
            "ls" | "show" => "lb-ctl service list",
            _ => return None,
        }
    } else {
        match word {
            "list" | "ls" | "show" | "services" | "servers" => "lb-ctl service list",
            "status" | "top" | "statistics" => "lb-ctl stats",
            "connections" | "connection" | "sessions" => "lb-ctl conns",
            "start" | "up" | "daemon" | "serve" | "attach" => "lb-ctl run --config FILE",
            "stop" | "down" | "unload" | "remove" | "uninstall" => "lb-ctl detach",
            "restore" | "load" | "reload" | "sync" => "lb-ctl apply FILE",
            "dump" | "export" => "lb-ctl save FILE",
            "validate" | "test" | "lint" => "lb-ctl check FILE",
            "drain" => "lb-ctl server drain SERVICE SERVER",
            "add" => "lb-ctl service add SERVICE, or lb-ctl server add SERVICE SERVER",
            "del" | "delete" | "rm" => {
                "lb-ctl service del SERVICE, or lb-ctl server del SERVICE SERVER"
            }
            "set" | "edit" => "lb-ctl service set SERVICE, or lb-ctl server set SERVICE SERVER",
            "ipvs" | "ipvsadm-save" | "ipvsadm-restore" => "lb-ctl ipvsadm",
            _ => return None,
        }
    };
    Some(format!("did you mean `{meant}`?"))
}

/// Options of ipvsadm, and options that are options elsewhere.
fn option(option: &str, words: &[&str]) -> Option<String> {
    // clap gives a cluster such as `-Ln` by its first letter.
    let name = option.split('=').next().unwrap_or(option);
    let of_server = words.contains(&"server");
    let meant = match name {
        "-A" | "-E" | "-D" | "-C" | "-R" | "-S" | "-a" | "-e" | "-d" | "-L" | "-l" | "-Z" => {
            return Some(format!(
                "`{option}` is an option of ipvsadm: write `lb-ctl ipvsadm {option} ...`, or call \
                 this program by the name ipvsadm"
            ));
        }
        "-w" => "--weight",
        "-s" => "--scheduler",
        "-g" | "--gatewaying" | "--dr" => "--forward dr",
        "-m" | "--masquerading" | "--masq" | "--nat" => "--forward nat",
        "-i" | "--ipip" | "--tun" => "--forward tun",
        "--method" => "--forward",
        "-t" | "--tcp-service" => "tcp/IP:PORT, without an option",
        "-u" | "--udp-service" => "udp/IP:PORT, without an option",
        "-r" | "--real-server" if of_server => "IP:PORT of the server, without an option",
        "-c" | "--file" if words.contains(&"run") => "--config",
        "-f" | "--fwmark-service" => {
            return Some("services by firewall mark are not supported yet".to_owned());
        }
        "-p" | "--persistent" => {
            return Some("persistence is not supported yet".to_owned());
        }
        "-n" | "--numeric" => {
            return Some("addresses and ports are always numbers: leave it out".to_owned());
        }
        _ => {
            let candidates = [
                "--weight",
                "--scheduler",
                "--forward",
                "--config",
                "--interface",
            ];
            let bare: Vec<_> = candidates.map(|flag| &flag[2..]).into();
            let near = lb_model::meant::among(name.trim_start_matches('-'), &bare)?;
            return Some(format!("did you mean `--{near}`?"));
        }
    };
    Some(format!("did you mean `{meant}`?"))
}

/// `server VERB` without a service, or with service and server swapped.
fn server(words: &[&str]) -> Option<String> {
    let begin = words.iter().position(|word| *word == "server")?;
    let verb = *words.get(begin + 1)?;
    let mut places = words.iter().skip(begin + 2);
    let (first, second) = (places.next(), places.next());
    let second = second.filter(|word| !word.starts_with('-'));
    let is_service = |word: &str| word.parse::<ServiceId>().is_ok();
    let is_server = |word: &str| word.parse::<Endpoint>().is_ok();
    match (first, second) {
        (Some(first), Some(second)) if is_server(first) && is_service(second) => Some(format!(
            "the service comes first: lb-ctl server {verb} {second} {first}"
        )),
        (Some(first), Some(second)) if is_server(first) && is_server(second) => Some(format!(
            "`{first}` does not say its protocol: lb-ctl server {verb} tcp/IP:PORT {second}, or \
             udp/IP:PORT"
        )),
        (Some(first), None) if is_server(first) => Some(format!(
            "name the service before the server: lb-ctl server {verb} SERVICE {first} \
             (`lb-ctl service list` shows which services have it)"
        )),
        (Some(first), None) if !first.starts_with('-') => Some(format!(
            "name the server, too: lb-ctl server {verb} {first} IP"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::command_line::CommandLine;

    #[test]
    fn a_refused_line_says_what_is_likely_meant() {
        for (line, meant) in [
            (
                "server drain 192.0.2.21",
                Some("name the service before the server: lb-ctl server drain SERVICE 192.0.2.21"),
            ),
            ("server del web", Some("lb-ctl server del web IP")),
            (
                "server add 192.0.2.21 tcp/192.0.2.10:80",
                Some("the service comes first: lb-ctl server add tcp/192.0.2.10:80 192.0.2.21"),
            ),
            (
                "server del 192.0.2.10:80 192.0.2.21",
                Some("does not say its protocol: lb-ctl server del tcp/IP:PORT 192.0.2.21"),
            ),
            (
                "server set web 192.0.2.21 -w 3",
                Some("did you mean `--weight`?"),
            ),
            ("server add web 192.0.2.21 -m", Some("`--forward nat`")),
            (
                "server add web 192.0.2.21 --method nat",
                Some("`--forward`"),
            ),
            (
                "server add -t 192.0.2.1:80 -r 192.0.2.21",
                Some("tcp/IP:PORT"),
            ),
            ("server enable web 192.0.2.21", Some("--weight 1")),
            ("server list", Some("lb-ctl service list")),
            ("service add tcp/192.0.2.1:80 -s rr", Some("`--scheduler`")),
            (
                "service add tcp/192.0.2.1:80 --algo rr",
                Some("`--scheduler`"),
            ),
            ("service rm web", Some("lb-ctl service del SERVICE")),
            ("-Ln", Some("lb-ctl ipvsadm -L")),
            ("-A -t 192.0.2.1:80", Some("lb-ctl ipvsadm -A")),
            ("list", Some("lb-ctl service list")),
            ("start", Some("lb-ctl run --config FILE")),
            ("stop", Some("lb-ctl detach")),
            ("reload", Some("lb-ctl apply FILE")),
            (
                "drain web 192.0.2.21",
                Some("lb-ctl server drain SERVICE SERVER"),
            ),
            ("run -c lb.yaml", Some("`--config`")),
            ("stats -n", Some("always numbers")),
            ("frobnicate", None),
        ] {
            let arguments: Vec<_> = std::iter::once("lb-ctl")
                .chain(line.split(' '))
                .map(OsString::from)
                .collect();
            let error = CommandLine::try_parse_from(&arguments).unwrap_err();
            let hint = hint(&error, &arguments);
            match meant {
                Some(meant) => assert!(
                    hint.as_ref().is_some_and(|hint| hint.contains(meant)),
                    "{line}: {hint:?}\n{error}"
                ),
                None => assert_eq!(hint, None, "{line}"),
            }
        }
    }
}
