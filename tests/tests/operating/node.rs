//! A whole node from the files that docker-compose uses, without containers: nginx in front, the
//! table of nodes in Postgres, Prometheus with its rules. The stream plays through nginx, and
//! every panel of the dashboard has its numbers.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tests::content::{sha256_base64, ts_bytes};
use tests::eventually;
use tests::ffmpeg::{LiveHls, LiveHlsOptions, decode};
use tests::node::{Binaries, Node, free_port};
use tests::playlist::Summary;
use tests::postgres::Postgres;
use tests::process::Process;
use tests::raw;
use tokio::process::Command;
use url::form_urlencoded::byte_serialize;

use super::front::{Nginx, Services};
use super::{SOON, alerts, dashboard, read, replace, root};

/// What only trouble brings onto a page of metrics, and where it is registered under this name.
const BROUGHT_BY_TROUBLE: [(&str, &str); 3] = [
    ("http_connections_refused_total", "common/src/serve.rs"),
    ("restreamer_refused_total", "restreamer/src/limits.rs"),
    ("playlist_fetch_failures_total", "downloader/src/metrics.rs"),
];

/// What Prometheus itself knows.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

/// An old hour of the peer's.
const HOUR: &str = "test/source/2026-11-14T18";

/// A peer that has two segments, one of which is not what its name says.
async fn peer() -> Node {
    let mut peer = Node::new("peer");
    let directory = peer.base_dir().join(HOUR);
    fs::create_dir_all(&directory).unwrap();
    for (start, content, named) in [(0, 1, 1), (4, 2, 3)] {
        let hash = sha256_base64(&ts_bytes(named, 1000));
        let name = format!("00:{start:02}.000000-2.0-full-{hash}.ts");
        fs::write(directory.join(name), ts_bytes(content, 1000)).unwrap();
    }
    peer.start_restreamer().await;
    peer
}

/// Prometheus with the configuration of `deploy/prometheus`.
struct Prometheus {
    // Before its directory.
    process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

impl Prometheus {
    async fn start(services: &Services) -> Prometheus {
        let directory = TempDir::with_prefix("prometheus-").unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut text = read("deploy/prometheus/prometheus.yml");
        for (from, to) in [
            ("downloader:8001", services.downloader.to_string()),
            ("backfiller:8002", services.backfiller.to_string()),
            ("restreamer:8000", services.restreamer.to_string()),
            ("localhost:9090", address.to_string()),
            // A test has less time.
            ("interval: 10s", "interval: 1s".to_owned()),
        ] {
            text = replace(&text, from, &to);
        }
        let own = directory.path();
        fs::write(own.join("prometheus.yml"), text).unwrap();
        let rules = root().join("deploy/prometheus/alerts.yml");
        fs::copy(rules, own.join("alerts.yml")).unwrap();
        let mut command = Command::new("prometheus");
        command.arg("--config.file").arg(own.join("prometheus.yml"));
        command.arg("--storage.tsdb.path").arg(own.join("data"));
        command.arg(format!("--web.listen-address={address}"));
        let mut prometheus = Prometheus {
            process: Process::spawn("prometheus", command),
            address,
            _directory: directory,
        };
        eventually(SOON, "Prometheus to listen", async || {
            let running = prometheus.process.is_running();
            assert!(running, "{:?}", prometheus.process.log());
            let listens = tokio::net::TcpStream::connect(address).await;
            listens.map(drop).map_err(|error| error.to_string())
        })
        .await;
        prometheus
    }

    async fn get(&self, path: &str) -> Value {
        let answer = raw::get(self.address, &format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()["data"].clone()
    }

    /// How many samples an expression has now.
    async fn count(&self, expr: &str) -> usize {
        let expr: String = byte_serialize(expr.as_bytes()).collect();
        let data = self.get(&format!("query?query={expr}")).await;
        data["result"].as_array().map_or(0, Vec::len)
    }
}

/// The names of metrics in an expression: what is neither a label, nor a function, nor a word.
fn metrics_in(expr: &str) -> BTreeSet<String> {
    let mut text = String::new();
    let (mut in_text, mut braces) = (false, 0);
    for c in expr.chars() {
        match c {
            '"' => in_text = !in_text,
            '{' | '[' if !in_text => braces += 1,
            '}' | ']' if !in_text => braces -= 1,
            _ if !in_text && braces == 0 => text.push(c),
            _ => {}
        }
    }
    for of_labels in ["by", "without", "on"] {
        while let Some(at) = text.find(&format!(" {of_labels} (")) {
            let end = text[at..].find(')').unwrap();
            text.replace_range(at..=at + end, " of ");
        }
    }
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut names = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(is_of_name) {
        rest = &rest[at..];
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let is_word = ["and", "or", "unless", "bool", "offset", "of"].contains(&name);
        let is_number = name.starts_with(|c: char| c.is_ascii_digit());
        // An aggregation's `by` may stand between it and its parenthesis.
        let after_of = after.trim_start();
        let is_function = after_of.starts_with('(') || after_of.starts_with("of ");
        if !is_word && !is_number && !is_function {
            names.insert(name.to_owned());
        }
        rest = after;
    }
    names
}

#[test]
fn names_of_metrics_in_expressions() {
    let table: [(&str, &[&str]); 4] = [
        (
            "100 * (1 - min without (job, a) (b_bytes) / c)",
            &["b_bytes", "c"],
        ),
        (
            "sum by (le) (rate(x_bucket{job=\"a b\", le=~\"c|d\"}[5m])) > 2e9 or up == 0",
            &["x_bucket", "up"],
        ),
        (
            "(a == 1 unless time() - b < bool 30) and on (job) time() - c > 30",
            &["a", "b", "c"],
        ),
        ("a unless a offset 15m", &["a"]),
    ];
    for (expr, expected) in table {
        let expected = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(metrics_in(expr), expected, "{expr}");
    }
}

/// The names on a page of metrics, by which its samples are found.
async fn names_at(address: SocketAddr, path: &str) -> BTreeSet<String> {
    let answer = raw::get(address, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let page = tests::metrics::Metrics::parse(&answer.text());
    page.names().map(str::to_owned).collect()
}

/// Fails unless all metrics of the rules and the dashboard are on these pages, or come with
/// trouble.
fn assert_exposed(exposed: &BTreeSet<String>) {
    for (name, file) in BROUGHT_BY_TROUBLE {
        let registered = name.trim_end_matches("_total");
        let is_there = read(file).contains(&format!("\"{registered}\""));
        assert!(is_there, "{file} does not register {registered}");
    }
    let known = |name: &str| {
        exposed.contains(name)
            || OF_PROMETHEUS.contains(&name)
            || BROUGHT_BY_TROUBLE.iter().any(|(it, _)| *it == name)
    };
    let alerts = alerts::all().into_iter().map(|it| (it.name, it.expr));
    let panels = dashboard::panels();
    let panels = panels.into_iter().map(|it| (it.title, it.expr));
    for (of, expr) in alerts.chain(panels) {
        let names = metrics_in(&expr);
        assert!(!names.is_empty(), "{of}: {expr}");
        for name in names {
            assert!(known(&name), "{of}: no service exposes {name}");
        }
    }
}

/// True iff an expression may have nothing to show on a node on which all is well.
fn may_be_empty(expr: &str) -> bool {
    let trouble = BROUGHT_BY_TROUBLE
        .iter()
        .any(|(name, _)| expr.contains(name));
    // Of two, one: alerts, or that there are none. A disk may not fill up.
    trouble || expr.contains("ALERTS") || expr.contains("deriv(")
}

/// Fails unless the stream plays through nginx.
async fn assert_plays(nginx: SocketAddr) {
    let hour_ago = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    let from = hour_ago.format("%Y-%m-%dT%H:%M:%S");
    let path = format!("/playlist/test/source.m3u8?start={from}");
    let summary = eventually(SOON, "three segments through nginx", async || {
        let summary = Summary::read(&raw::get(nginx, &path).await.text());
        match summary.segments {
            3.. => Ok(summary),
            segments => Err(format!("there are {segments}")),
        }
    })
    .await;
    let (start, end) = summary.range.unwrap();
    let url = format!("http://{nginx}/playlist/test/source.m3u8?start={start}&end={end}");
    let decoded = decode(&url).await;
    assert!(decoded.success && decoded.errors.is_empty(), "{decoded:?}");
    assert!(
        (decoded.seconds - summary.seconds).abs() < 0.5,
        "{decoded:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_node_plays_and_every_panel_has_its_numbers() {
    tokio::task::spawn_blocking(Binaries::get).await.unwrap();
    let (mut live, postgres, peer) = tokio::join!(
        LiveHls::start(LiveHlsOptions::default()),
        Postgres::start("secret"),
        peer()
    );
    live.wait_first_playlist(SOON).await;
    postgres.execute(&read("deploy/postgres/nodes.sql"));
    postgres.execute(&format!(
        "INSERT INTO nodes VALUES ('peer', '{}')",
        peer.restreamer_url()
    ));
    let mut node = Node::new("a");
    node.start_restreamer().await;
    let channel = format!("test!:url:{}", live.url());
    let downloader = node.start_downloader(&channel, &[]).await;
    let dsn = postgres.dsn("sslmode=disable");
    let extra = ["--node-database", &dsn, "--interval", "5"];
    let backfiller = node.start_backfiller("test", &[], &extra).await;
    let services = Services {
        downloader: downloader.address().await,
        backfiller: backfiller.address().await,
        restreamer: node.restreamer_address(),
    };
    let prometheus = Prometheus::start(&services).await;
    let nginx = Nginx::start(node.base_dir(), &services).await;

    assert_plays(nginx.public).await;
    assert_eq!(raw::get(nginx.public, "/nothing").await.status, 404);
    backfiller.wait_for_log("hash", SOON).await;
    assert!(fetched(node.base_dir()), "what the peer has is here");
    eventually(SOON, "all targets to be up", async || {
        let up = prometheus.count("up == 1").await;
        (up == 4).then_some(()).ok_or(format!("{up} are"))
    })
    .await;

    let exposed = eventually(SOON, "the look for holes", async || {
        let mut exposed = BTreeSet::new();
        for service in ["downloader", "backfiller", "restreamer"] {
            let path = format!("/metrics/{service}");
            exposed.extend(names_at(nginx.operator, &path).await);
        }
        let holes = "recording_hole_seconds";
        // It is looked for every 10 s, and there was nothing at first.
        exposed
            .contains(holes)
            .then_some(exposed)
            .ok_or("no holes")
            .map_err(str::to_owned)
    })
    .await;
    assert_exposed(&exposed);
    for panel in dashboard::panels() {
        if may_be_empty(&panel.expr) {
            continue;
        }
        let what = format!("numbers for {}: {}", panel.title, panel.expr);
        eventually(Duration::from_secs(20), &what, async || {
            let count = prometheus.count(&panel.expr).await;
            (count > 0).then_some(()).ok_or("nothing".to_owned())
        })
        .await;
    }
    let groups = prometheus.get("rules").await;
    let rules = groups["groups"][0]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), alerts::all().len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        // The peer's rotten segment is the only trouble there is.
        let is_quiet = rule["state"] == "inactive" || rule["name"] == "HashMismatches";
        assert!(is_quiet || rule["state"] == "pending", "{rule}");
    }
}

/// True iff the peer's good segment is here, and the other one is not.
fn fetched(base: &Path) -> bool {
    let here = fs::read_dir(base.join(HOUR))
        .into_iter()
        .flatten()
        .flatten();
    let names: Vec<_> = here.map(|file| file.file_name()).collect();
    names.len() == 1 && names[0].to_string_lossy().starts_with("00:00")
}
