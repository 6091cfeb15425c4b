//! Where peers come from: a file and a real Postgres, beside `--static-nodes`.

use std::fs;
use std::time::Duration;

use tests::content::ts_bytes;
use tests::eventually;
use tests::node::{Node, Service, free_port};
use tests::postgres::Postgres;

use super::peer::{ScriptedPeer, segment_name};
use super::{CHANNEL, HOUR, SOON, names};

/// The sources are read as often as rounds are done, once a second here.
const REREAD: Duration = Duration::from_secs(30);

const PASSWORD: &str = "TopSecret-47";

async fn errors(service: &Service) -> f64 {
    service.metrics().await.sum("node_list_errors_total", &[])
}

async fn holds(node: &Node, expected: &[&String], time: Duration) {
    let mut expected: Vec<&String> = expected.to_vec();
    expected.sort_unstable();
    eventually(time, "the segments of all peers", async || {
        let here = names(node, HOUR);
        match here.iter().eq(expected.iter().copied()) {
            true => Ok(()),
            false => Err(format!("{here:?}")),
        }
    })
    .await;
}

fn add_late(peer: &ScriptedPeer, second: u32) -> String {
    let content = ts_bytes(second.into(), 900);
    let name = segment_name(second, "full", &content);
    peer.put(HOUR, &name, &content);
    name
}

#[tokio::test]
async fn a_file_is_read_again_and_a_broken_one_costs_no_peer() {
    let node = Node::new("me");
    let peers = [
        ScriptedPeer::start().await,
        ScriptedPeer::start().await,
        ScriptedPeer::start().await,
    ];
    let [a, b, c]: [String; 3] = std::array::from_fn(|n| add_late(&peers[n], n as u32 * 2));
    let file = node.base_dir().join("nodes.txt");
    let url = |n: usize| peers[n].origin.url("");
    // This node itself, by name.
    let lines = format!("# ours\nsecond {}\nme http://127.0.0.1:1\n", url(1));
    fs::write(&file, lines).unwrap();
    let path = file.display().to_string();
    let extra = ["--node-file", &path, "--interval", "1"];
    let service = node.start_backfiller(CHANNEL, &[url(0)], &extra).await;
    holds(&node, &[&a, &b], SOON).await;
    assert_eq!(errors(&service).await, 0.0);
    assert_eq!(service.count_log("peer=me"), 0);

    // A line that cannot be read: its neighbour is a new peer, and the old one stays.
    fs::write(&file, format!("nonsense\nthird {}\n", url(2))).unwrap();
    holds(&node, &[&a, &b, &c], REREAD).await;
    let line = service
        .wait_for_log("cannot read the list of nodes", SOON)
        .await;
    assert!(line.contains("nodes.txt: line 1"), "{line}");
    let late = add_late(&peers[1], 100);
    holds(&node, &[&a, &b, &c, &late], SOON).await;
    assert!(errors(&service).await >= 1.0);

    // Gone altogether: the same.
    fs::remove_file(&file).unwrap();
    let line = service.wait_for_log("No such file", REREAD).await;
    assert!(line.contains("known=3"), "{line}");
    let later = add_late(&peers[2], 102);
    holds(&node, &[&a, &b, &c, &late, &later], SOON).await;
    // Said once, counted each time.
    let before = errors(&service).await;
    eventually(REREAD, "another look", async || {
        let count = errors(&service).await;
        (count >= before + 2.0)
            .then_some(())
            .ok_or(format!("{count}"))
    })
    .await;
    assert_eq!(service.count_log("No such file"), 1);
}

#[tokio::test]
async fn a_table_is_read_again_and_a_database_that_is_away_costs_no_peer() {
    let mut database = Postgres::start(PASSWORD).await;
    let node = Node::new("me");
    let peers = [ScriptedPeer::start().await, ScriptedPeer::start().await];
    let [a, b]: [String; 2] = std::array::from_fn(|n| add_late(&peers[n], n as u32 * 2));
    let dsn = database.dsn("sslmode=disable");
    let extra = ["--node-database", &dsn, "--interval", "1"];
    // Without the table.
    let service = node.start_backfiller(CHANNEL, &[], &extra).await;
    let line = service
        .wait_for_log("cannot read the list of nodes", SOON)
        .await;
    assert!(line.contains("does not exist"), "{line}");
    assert!(errors(&service).await >= 1.0);

    database.execute(
        "CREATE TABLE nodes(name text PRIMARY KEY, url text NOT NULL, backfill_from boolean NOT NULL DEFAULT true)",
    );
    let (one, other) = (peers[0].origin.url(""), peers[1].origin.url(""));
    database.execute(&format!(
        "INSERT INTO nodes VALUES ('one', '{one}', true), ('not', '{other}', false), ('me', 'http://127.0.0.1:1', true)"
    ));
    holds(&node, &[&a], REREAD).await;
    service.wait_for_log("can be read again", SOON).await;
    assert_eq!(service.count_log("a new peer"), 1);

    // Away: the peer stays in service.
    database.stop().await;
    let line = service.wait_for_log("Connection refused", REREAD).await;
    assert!(line.contains("known=2"), "{line}");
    let late = add_late(&peers[0], 100);
    holds(&node, &[&a, &late], SOON).await;

    database.start_again().await;
    database.execute("UPDATE nodes SET backfill_from = (name = 'not')");
    holds(&node, &[&a, &late, &b], REREAD).await;
    service.wait_for_log("the peer is gone", SOON).await;

    // A row that cannot be read keeps its own peer in service, and nobody else's.
    database.execute("UPDATE nodes SET url = 'ftp://x' WHERE name = 'not'");
    service
        .wait_for_log("begins with http:// or https://, not ftp", REREAD)
        .await;
    database.execute("UPDATE nodes SET backfill_from = true WHERE name = 'one'");
    let again = add_late(&peers[0], 102);
    holds(&node, &[&a, &late, &b, &again], REREAD).await;
    database.execute("UPDATE nodes SET backfill_from = false WHERE name = 'one'");
    eventually(REREAD, "the end of that peer", async || {
        let gone = service.count_log("the peer is gone");
        (gone == 2).then_some(()).ok_or(format!("{gone}"))
    })
    .await;
    let last = add_late(&peers[1], 104);
    holds(&node, &[&a, &late, &b, &again, &last], SOON).await;
    assert_eq!(service.count_log(PASSWORD), 0);
}

/// Runs one round at what the database says; the exit code and all that was logged.
async fn once(node: &Node, dsn: &str) -> (Option<i32>, String) {
    let extra = ["--node-database", dsn, "--run-once", "--log", "trace"];
    let mut service = node.start_backfiller(CHANNEL, &[], &extra).await;
    let code = service.wait(SOON).await.code();
    (code, service.log().join("\n"))
}

#[tokio::test]
async fn the_connection_is_encrypted_as_its_string_asks() {
    let mut database = Postgres::start(PASSWORD).await;
    let node = Node::new("me");
    database.execute("CREATE TABLE nodes(name text PRIMARY KEY, url text NOT NULL, backfill_from boolean NOT NULL DEFAULT true)");
    // The server has no TLS yet.
    for (mode, code) in [("disable", 0), ("prefer", 0), ("require", 1)] {
        let (ended, log) = once(&node, &database.dsn(&format!("sslmode={mode}"))).await;
        assert_eq!(ended, Some(code), "{mode}: {log}");
    }
    let certificate = database.make_certificate();
    database.require_tls();
    database.stop().await;
    database.start_again().await;
    let trusted = format!("&sslrootcert={}", certificate.display());
    let table = [
        ("disable", "", 1),
        ("prefer", "", 0),
        ("require", "", 0),
        // Signed by nobody whom the system knows.
        ("verify-ca", "", 1),
        ("verify-full", "", 1),
        ("verify-full", &trusted, 0),
        ("verify-ca", &trusted, 0),
    ];
    for (mode, root, code) in table {
        let (ended, log) = once(&node, &database.dsn(&format!("sslmode={mode}{root}"))).await;
        assert_eq!(ended, Some(code), "{mode}{root}: {log}");
        assert!(!log.contains(PASSWORD), "{log}");
    }
    // Another name of the same host: the certificate is not for it.
    for (mode, code) in [("verify-ca", 0), ("verify-full", 1)] {
        let dsn = database.dsn(&format!("sslmode={mode}{trusted}"));
        let (ended, log) = once(&node, &dsn.replace("127.0.0.1", "localhost")).await;
        assert_eq!(ended, Some(code), "{mode}: {log}");
    }
}

#[tokio::test]
async fn a_database_that_is_slow_or_refuses_us_is_said_without_the_password() {
    let database = Postgres::start("another password").await;
    let node = Node::new("me");
    let wrong = database.dsn("").replace("another password", PASSWORD);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = |port| format!("host=127.0.0.1 port={port} user=u password='{PASSWORD}'");
    let table = [
        (wrong, "password authentication failed"),
        (
            nowhere(silent.local_addr().unwrap().port()),
            "no answer in 5s",
        ),
        (nowhere(free_port()), "Connection refused"),
    ];
    for (dsn, reason) in table {
        let peer = ScriptedPeer::start().await;
        let name = add_late(&peer, 0);
        let extra = ["--node-database", &dsn, "--run-once", "--log", "trace"];
        let urls = [peer.origin.url("")];
        let mut service = node.start_backfiller(CHANNEL, &urls, &extra).await;
        // Not all peers could be asked.
        assert_eq!(service.wait(SOON).await.code(), Some(1));
        let line = service
            .wait_for_log("cannot read the list of nodes", SOON)
            .await;
        assert!(line.contains(reason), "{line}");
        service.wait_for_log("--node-database", SOON).await;
        assert_eq!(service.count_log(PASSWORD), 0);
        assert_eq!(names(&node, HOUR), [name]);
        fs::remove_dir_all(node.base_dir().join(CHANNEL)).unwrap();
    }
}

#[tokio::test]
async fn of_several_hosts_a_silent_one_leaves_time_for_the_next() {
    let database = Postgres::start(PASSWORD).await;
    database.execute("CREATE TABLE nodes(name text PRIMARY KEY, url text NOT NULL, backfill_from boolean NOT NULL DEFAULT true)");
    let node = Node::new("me");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().port();
    let dsn = |other: u16| {
        format!(
            "host=127.0.0.1,127.0.0.1 port={silent},{other} user=node dbname=postgres password={PASSWORD}"
        )
    };
    let (code, log) = once(&node, &dsn(database.address().port())).await;
    assert_eq!(code, Some(0), "{log}");
    // What is wrong with each is said.
    let (code, log) = once(&node, &dsn(free_port())).await;
    assert_eq!(code, Some(1), "{log}");
    let reasons = [
        "127.0.0.1: no answer in 2.5s; 127.0.0.1: ",
        "Connection refused",
    ];
    assert!(reasons.iter().all(|reason| log.contains(reason)), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}
