//! A host that answers nothing, not even that it takes no connections.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tests::eventually;
use tests::origin::{LiveOptions, MasterPlaylist};

use super::{SOON, Scene};

/// A port whose queue of connections is full: the system drops further SYNs without a word.
struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Silent {
    fn new() -> Silent {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        listen(&socket, 0).unwrap();
        let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
        let mut queued = Vec::new();
        let soon = Duration::from_millis(300);
        while let Ok(stream) = TcpStream::connect_timeout(&address, soon) {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue does not fill");
        }
        Silent {
            address,
            _listener: socket.into(),
            _queued: queued,
        }
    }

    /// How many connections to it wait for an answer to their SYN.
    fn waiting(&self) -> usize {
        let port = format!(":{:04X}", self.address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let is_waiting = |line: &&str| {
            let mut fields = line.split_whitespace().skip(2);
            fields.next().is_some_and(|remote| remote.ends_with(&port))
                && fields.next() == Some("02")
        };
        table.lines().filter(is_waiting).count()
    }
}

#[tokio::test]
async fn a_host_that_takes_no_connection_is_hedged_said_and_passed_over() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let all = scene.push(3);
    let silent = tokio::task::spawn_blocking(Silent::new).await.unwrap();
    let dead = format!("http://{}/playlist.m3u8", silent.address);
    // Of two equal variants the first is dead.
    let master = MasterPlaylist::new()
        .unnamed(&dead, 1000)
        .unnamed(&scene.stream.path(), 1000);
    scene.origin.put_playlist("/master.m3u8", master.render());
    let channel = format!("test:url:{}", scene.origin.url("/master.m3u8"));
    // A second attempt starts after 50 ms, and after 4.5 s all are given up.
    let fast = ["--time-scale", "0.05"];
    let downloader = scene.node.start_downloader(&channel, &fast).await;
    eventually(SOON, "a second connection", async || {
        match silent.waiting() {
            count @ 2.. => Ok(count),
            count => Err(format!("{count}")),
        }
    })
    .await;
    let line = downloader
        .wait_for_log("the media playlist fails", SOON)
        .await;
    assert!(
        line.contains("no answer from") && line.contains(&dead),
        "{line}"
    );
    scene.expect(&all).await;
    let metrics = downloader.metrics().await;
    let timeouts = [("reason", "timeout")];
    assert!(metrics.sum("playlist_fetch_failures_total", &timeouts) >= 1.0);
}
