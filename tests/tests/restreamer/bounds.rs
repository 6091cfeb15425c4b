//! What bounds a restreamer: its options have an effect on the process, and who asks for something
//! cheap never waits for those who ask for much.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rustix::process::{Resource, getrlimit, setrlimit};
use tests::metrics::Metrics;
use tests::node::Node;
use tests::raw;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{SOON, begun, body_of, fill, node, refused};

/// What is cheap takes no longer, on a busy machine too.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_index_keeps_to_its_memory() {
    const HOURS: usize = 12;
    let mut node = Node::new("a");
    for hour in 0..HOURS {
        fill(&node, &format!("2026-01-02T{hour:02}"), 0..600);
    }
    node.start_restreamer_with(&["--index-memory", "1"]).await;
    let whole = "/playlist/test/source.m3u8?start=2026-01-02T00:00&end=2026-01-02T12:00";
    for hour in (0..HOURS).chain(0..HOURS) {
        let files = format!("/files/test/source/2026-01-02T{hour:02}");
        let files = node.get(&files).await.json();
        assert_eq!(files.as_array().unwrap().len(), 600);
        let list = node.get(whole).await.text();
        assert_eq!(list.matches("#EXTINF").count(), 600 * HOURS);
    }
    let metrics = node.metrics().await;
    let of = |name: &str, kind: &str| metrics.get(name, &[("of", kind)]).unwrap();
    // Three quarters are for playlists, one for listings; each has some of its hours, not all.
    for (kind, limit) in [("playlists", 768 << 10), ("listings", 256 << 10)] {
        let bytes = of("restreamer_index_bytes", kind);
        assert!(bytes > 0.0 && bytes <= f64::from(limit), "{kind}: {bytes}");
        let hours = of("restreamer_index_hours", kind);
        assert!((1.0..HOURS as f64).contains(&hours), "{kind}: {hours}");
        // Those that had to go were read again.
        let misses = of("restreamer_index_misses_total", kind);
        assert!(misses > HOURS as f64, "{kind}: {misses}");
    }
}

#[tokio::test]
async fn more_connections_than_there_may_be_are_told_to_come_again() {
    let mut node = Node::new("a");
    node.start_restreamer_with(&["--max-connections", "2"])
        .await;
    let mut places = Vec::new();
    for _ in 0..2 {
        // Answered, and open.
        places.push(begun(&node, "/files", "", "200").await);
    }
    for _ in 0..3 {
        let refused = node.get("/files").await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(refused.header("retry-after"), Some("2"));
        assert!(refused.complete && refused.text().contains("connections"));
    }
    drop(places.pop());
    // Of the one that finds it: it may still be taken when the next one asks.
    let metrics = tests::eventually(SOON, "a free place", async || {
        let answer = node.get("/metrics").await;
        let text = answer.text();
        match answer.status {
            200 => Ok(Metrics::parse(&text)),
            _ => Err(text),
        }
    })
    .await;
    let refused = metrics.sum("http_connections_refused_total", &[]);
    assert!(refused >= 3.0, "{refused}");
}

#[tokio::test]
async fn thousands_of_idle_clients_cost_little() {
    const CLIENTS: usize = 2_000;
    /// Bytes of memory for each of them.
    const EACH: f64 = 32e3;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let node = node(&["2026-01-02T00"]).await;
    let memory = async || {
        node.metrics()
            .await
            .sum("process_resident_memory_bytes", &[])
    };
    let before = memory().await;
    let connect = async || {
        let stream = TcpStream::connect(node.restreamer_address()).await;
        let mut stream = stream.unwrap_or_else(|error| panic!("{error} (ulimit -n)"));
        ask(&mut stream).await;
        stream
    };
    let mut clients = Vec::new();
    // Some at a time: whoever idles for 15 s is dropped.
    for _ in 0..CLIENTS / 100 {
        clients.extend(join_all((0..100).map(|_| connect())).await);
    }
    let each = (memory().await - before) / CLIENTS as f64;
    assert!(each < EACH, "{each} bytes for each");
    // Nobody else waits, and all of them are served when they ask again.
    let asked = Instant::now();
    let listing = node.get("/files/test/source/2026-01-02T00").await;
    assert_eq!(listing.status, 200);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    join_all(clients.iter_mut().map(ask)).await;
}

/// Asks on a connection that stays open.
async fn ask(stream: &mut TcpStream) {
    let request = b"HEAD /files HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut piece).await.unwrap();
        assert!(
            read > 0,
            "closed after {:?}",
            String::from_utf8_lossy(&answer)
        );
        answer.extend_from_slice(&piece[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn what_is_counted_is_what_was_asked() {
    let node = node(&["2026-01-02T00"]).await;
    let listing = "/files/test/source/2026-01-02T00";
    let playlist = "/playlist/test/source.m3u8?start=2026-01-02T00:00&end=2026-01-02T00:01";
    for _ in 0..3 {
        assert_eq!(node.get(listing).await.status, 200);
    }
    assert_eq!(node.get("/playlist/nobody.m3u8").await.status, 404);
    // Read once the hour is no longer so young that it might change unseen.
    let asked = Cell::new(0.0);
    let ask = async || {
        assert_eq!(node.get(playlist).await.status, 200);
        asked.set(asked.get() + 1.0);
    };
    tests::eventually(SOON, "the hour to be in the index", async || {
        ask().await;
        let metrics = node.metrics().await;
        let hits = metrics.get("restreamer_index_hits_total", &[("of", "playlists")]);
        (hits > Some(0.0)).then_some(()).ok_or(format!("{hits:?}"))
    })
    .await;
    // However little work they are.
    for _ in 0..5 {
        ask().await;
    }
    let metrics = node.metrics().await;
    let playlists = [
        ("endpoint", "/playlist/{channel}/{quality}"),
        ("method", "GET"),
        ("status", "200"),
    ];
    let answered = metrics.get("http_request_latency_all_count", &playlists);
    assert_eq!(answered, Some(asked.get()));
    let concurrency = metrics.get("http_request_concurrency_all", &playlists[..2]);
    assert_eq!(concurrency, Some(0.0));
    let listed = [
        ("endpoint", "/files/{channel}/{quality}/{hour}"),
        ("method", "GET"),
        ("status", "200"),
    ];
    let count = |labels| metrics.get("http_request_latency_all_count", labels);
    assert_eq!(count(&listed), Some(3.0));
    let master = [("endpoint", "/playlist/{channel}"), ("status", "404")];
    assert_eq!(count(&master), Some(1.0));
    let now = [("endpoint", "/files/{channel}/{quality}/{hour}")];
    let concurrency = metrics.get("http_request_concurrency_all", &now);
    assert_eq!(concurrency, Some(0.0));
    // Each of the three was either read or known.
    let of_listings = [("of", "listings")];
    let looks = ["hits", "misses"]
        .map(|what| metrics.get(&format!("restreamer_index_{what}_total"), &of_listings));
    assert_eq!(looks[0].unwrap() + looks[1].unwrap(), 3.0, "{looks:?}");
    for kind in ["playlists", "listings"] {
        let of = [("of", kind)];
        assert_eq!(metrics.get("restreamer_index_hours", &of), Some(1.0));
        let bytes = metrics.get("restreamer_index_bytes", &of).unwrap();
        assert!((1000.0..20_000.0).contains(&bytes), "{kind}: {bytes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cheap_does_not_wait_for_what_is_not() {
    let mut node = Node::new("a");
    for hour in 0..20 {
        fill(&node, &format!("2026-01-02T{hour:02}"), 0..300);
    }
    node.start_restreamer().await;
    let address = node.restreamer_address();
    let mut others = JoinSet::new();
    // More than may run and wait.
    for client in 0..48 {
        others.spawn(async move {
            for n in 0..100_000 {
                let target = match client % 2 {
                    0 => "/extras/test".to_owned(),
                    // Another range each time: nothing is known of it.
                    _ => format!(
                        "/playlist/test/source.m3u8?start=2026-01-02T00:00:{client:02}.{n:05}\
                         &end=2026-01-02T20:00"
                    ),
                };
                // Whatever comes of it, until the test has ended.
                let _ = raw::get(address, &target).await;
            }
        });
    }
    let mut slowest = Duration::ZERO;
    for n in 0..200 {
        let targets = ["/files/test/source", "/health"];
        let asked = Instant::now();
        for answer in join_all(targets.map(|target| node.get(target))).await {
            assert_eq!(answer.status, 200, "{n}: {}", answer.text());
        }
        slowest = slowest.max(asked.elapsed());
    }
    assert!(slowest < AT_ONCE, "{slowest:?}");
    others.abort_all();
    // There was more than could be done.
    let family = [("family", "extras")];
    let refused = node
        .metrics()
        .await
        .sum("restreamer_refused_total", &family);
    assert!(refused >= 1.0, "{refused}");
    let playlists = [
        ("endpoint", "/playlist/{channel}/{quality}"),
        ("status", "200"),
    ];
    let answered = node
        .metrics()
        .await
        .sum("http_request_latency_all_count", &playlists);
    assert!(answered >= 24.0, "{answered}");
}

#[tokio::test]
async fn a_poll_costs_no_more_than_what_is_new() {
    const HOURS: usize = 10;
    let mut node = Node::new("a");
    let hour = |n: usize| format!("2026-01-02T{n:02}");
    for n in 0..HOURS {
        fill(&node, &hour(n), 0..300);
    }
    node.start_restreamer().await;
    let live = "/playlist/test/source.m3u8?start=2026-01-02T00:00";
    let misses = async || {
        let of = [("of", "playlists")];
        node.metrics()
            .await
            .sum("restreamer_index_misses_total", &of)
    };
    // Read once they are no longer so young that they might change unseen.
    let mut read = 0.0;
    tests::eventually(SOON, "all hours to be known", async || {
        let before = read;
        assert_eq!(node.get(live).await.status, 200);
        read = misses().await;
        (read == before)
            .then_some(())
            .ok_or(format!("{before} and {read}"))
    })
    .await;
    for index in 300..303 {
        let before = read;
        for _ in 0..20 {
            assert_eq!(node.get(live).await.status, 200);
        }
        assert_eq!(misses().await, before, "nothing was new");
        fill(&node, &hour(HOURS - 1), index..index + 1);
        let list = node.get(live).await.text();
        assert_eq!(
            list.matches("#EXTINF").count(),
            300 * (HOURS - 1) + index + 1
        );
        // Until it is known again, a poll reads the hour that has changed, and no other.
        let mut polls = 1.0;
        tests::eventually(SOON, "the hour to be known", async || {
            assert_eq!(node.get(live).await.status, 200);
            polls += 1.0;
            let before = read;
            read = misses().await;
            (read == before)
                .then_some(())
                .ok_or(format!("{before} and {read}"))
        })
        .await;
        assert!(
            (before + 1.0..=before + polls).contains(&read),
            "{before} and {read}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_of_one_long_list_share_it() {
    const CLIENTS: usize = 40;
    // More than is kept when it has been sent.
    const HOURS: usize = 30;
    let mut node = Node::new("a");
    for hour in 0..HOURS {
        let (day, hour) = (2 + hour / 24, hour % 24);
        fill(&node, &format!("2026-01-{day:02}T{hour:02}"), 0..1800);
    }
    node.start_restreamer().await;
    let target = "/playlist/test/source.m3u8?start=2026-01-02T00:00&end=2026-01-03T06:00";
    let list = node.get(target).await;
    assert_eq!(list.text().matches("#EXTINF").count(), HOURS * 1800);
    let memory = async || {
        node.metrics()
            .await
            .sum("process_resident_memory_bytes", &[])
    };
    let before = memory().await;
    let close = "Connection: close\r\n";
    let clients = (0..CLIENTS).map(|_| begun(&node, target, close, "200"));
    let clients = join_all(clients).await;
    // All of them wait now, and each has the list: it is in memory once.
    let more = memory().await - before;
    assert!(more < 3.0 * list.body.len() as f64, "{more} bytes more");
    for body in join_all(clients.into_iter().map(body_of)).await {
        assert!(body == list.body, "another list");
    }
}

#[tokio::test]
async fn too_many_long_lists_in_a_second_are_told_to_come_again() {
    let node = node(&["2026-01-02T00"]).await;
    // A thousand hours, of which one is there.
    let long = "/playlist/test/source.m3u8?start=2025-12-01T00:00&end=2026-01-11T16:00";
    refused(&node, long, 1000, |answer| {
        assert_eq!(answer.text().matches("#EXTINF").count(), 20);
    })
    .await;
    // What is cheap is not.
    for target in ["/files/test/source", "/playlist/test/source.m3u8"] {
        assert_eq!(node.get(target).await.status, 200, "{target}");
    }
    let known = [("family", "long_playlist"), ("reason", "rate")];
    let metrics = node.metrics().await;
    assert!(metrics.sum("restreamer_refused_total", &known) >= 1.0);
}
