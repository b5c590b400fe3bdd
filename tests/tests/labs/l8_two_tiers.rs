use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use lb_lab::{client::Client, lab::Lab, process::Process, wait::wait_until};
use lb_tests::{
    director::Director,
    labs::l8_two_tiers::{CONFIGURATION, NGINX, SERVICE, topology},
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const NGINX_PROGRAM: &str = "/usr/sbin/nginx";

#[test]
fn a_page_and_a_dynamic_page_answer_also_after_the_rules_were_saved_and_restored() {
    let lab = Lab::realise(&topology()).unwrap();
    let _fronts = [
        front(&lab, "nginx110").unwrap(),
        front(&lab, "nginx120").unwrap(),
    ];
    let mut director = Director::start(&lab, CONFIGURATION).unwrap();
    let client = lab.client("client", SERVICE).unwrap();
    both_pages_answer(&client).unwrap();

    let saved = director.path("saved.yaml");
    director
        .command(&["save", &saved.to_string_lossy()])
        .unwrap();
    director.command(&["detach"]).unwrap();
    director.end(Signal::SIGTERM).unwrap();
    wait_until("the service is gone", || {
        let open = client.connect_within(Duration::from_millis(500));
        ensure!(open.is_err(), "somebody answers");
        Ok(())
    })
    .unwrap();

    director.run("saved.yaml").unwrap();
    both_pages_answer(&client).unwrap();
}

fn both_pages_answer(client: &Client) -> Result<()> {
    let bodies = |path: &str, connections: usize| -> Result<BTreeSet<String>> {
        let replies = (0..connections).map(|_| client.get(path));
        replies
            .map(|reply| Ok(String::from_utf8_lossy(&reply?.body).into_owned()))
            .collect()
    };
    let pages = bodies("/page.html", 4)?;
    ensure!(
        pages
            .iter()
            .eq(["page of nginx110\n", "page of nginx120\n"]),
        "{pages:?}"
    );
    let dynamic = bodies("/dynamic/", 12)?;
    ensure!(
        dynamic.iter().eq(["app1\n", "app2\n", "app3\n"]),
        "{dynamic:?}"
    );
    Ok(())
}

/// Starts nginx on one of the lab's machines.
fn front(lab: &Lab, name: &str) -> Result<(Process, TempDir)> {
    ensure!(
        Path::new(NGINX_PROGRAM).exists(),
        "this lab needs {NGINX_PROGRAM}: apt-get install nginx"
    );
    let directory = TempDir::with_prefix("lb-nginx-")?;
    fs::create_dir(directory.path().join("html"))?;
    fs::write(
        directory.path().join("html/page.html"),
        format!("page of {name}\n"),
    )?;
    let configuration = directory.path().join("nginx.conf");
    fs::write(&configuration, NGINX)?;
    let mut command = lab.host(name)?.command(NGINX_PROGRAM);
    command
        .arg("-p")
        .arg(directory.path())
        .arg("-c")
        .arg(configuration);
    let mut process = Process::start(name, &mut command)?;
    let local = Client::new(lab.host(name)?.clone(), "127.0.0.1:80".parse()?);
    wait_until("nginx serves", || {
        process.ensure_running()?;
        local.get("/page.html").context(name.to_owned()).map(drop)
    })?;
    Ok((process, directory))
}
