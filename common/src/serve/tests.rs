use std::fs::File;
use std::io::Write as _;

use axum::extract::Extension;
use bytes::Bytes;
use futures::stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

/// Nothing here takes so long.
const SOON: Duration = Duration::from_secs(20);

/// A server that ends with the test.
struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Server {
    async fn start(router: Router, limits: Limits) -> Server {
        Server::start_with(router, limits, SOON).await
    }

    async fn start_with(router: Router, limits: Limits, grace: Duration) -> Server {
        let listener = bind(IpAddr::from([127, 0, 0, 1]), 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = serve(listener, router, limits, shutdown.clone(), grace);
        Server {
            address,
            shutdown,
            running: tokio::spawn(serving),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(SOON, self.running).await.unwrap().unwrap();
    }
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// All that comes until the connection ends, however it ends.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut bytes))
        .await
        .expect("the connection ends");
    bytes
}

/// The status line's number of what comes next; the connection goes on.
async fn status(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    timeout(SOON, stream.read_exact(&mut line))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(line.into()).unwrap()
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_head_that_does_not_come_or_is_too_long_ends_the_connection() {
    let limits = Limits {
        head_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    // Far less than the usual limit.
    let soon = Limits::default().head_timeout / 3;
    let server = Server::start(hello(), limits).await;
    let begun = Instant::now();
    for beginning in [
        "",
        "G",
        "PRI * HTTP/2.0\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: ",
    ] {
        let mut stream = server.connect().await;
        send(&mut stream, beginning).await;
        let answer = String::from_utf8(rest(&mut stream).await).unwrap();
        assert!(!answer.contains(" 200 "), "{beginning:?}: {answer}");
    }
    // Nor does it help to send a byte now and then.
    let mut stream = server.connect().await;
    let trickle = async {
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, trickle).await.unwrap();
    assert!(begun.elapsed() < soon, "{:?}", begun.elapsed());
    // One that has asked before may not idle for ever either.
    let mut stream = server.connect().await;
    send(&mut stream, GET).await;
    assert!(rest(&mut stream).await.ends_with(b"hello"));
    let mut stream = server.connect().await;
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * MAX_HEAD));
    // It may be closed before all of it is sent.
    let _ = stream.write_all(long.as_bytes()).await;
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_dropped_and_a_slow_one_is_not() {
    const PIECE: usize = 64 * 1024;
    let (dropped, mut drops) = mpsc::unbounded_channel();
    /// Tells when an answer is given up or out.
    struct Tell(mpsc::UnboundedSender<()>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let endless = async move || {
        let tell = Tell(dropped.clone());
        let pieces = stream::repeat_with(move || {
            let _ = &tell;
            Ok::<_, io::Error>(Bytes::from_static(&[0; PIECE]))
        });
        Body::from_stream(pieces)
    };
    let limits = Limits {
        stall_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let server = Server::start(Router::new().route("/", get(endless)), limits).await;
    let mut reader = server.connect().await;
    send(&mut reader, GET).await;
    assert_eq!(status(&mut reader).await, "HTTP/1.1 200");
    let mut stalled = server.connect().await;
    send(&mut stalled, GET).await;
    // The one that reads a little now and then is served as long as it lives, the other one not.
    let mut piece = vec![0; 4 * PIECE];
    let slow = async {
        loop {
            reader.read_exact(&mut piece).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = slow => {}
        first = timeout(SOON, drops.recv()) => assert_eq!(first, Ok(Some(()))),
    }
    reader.read_exact(&mut piece).await.unwrap();
    assert!(drops.try_recv().is_err());
    drop(reader);
    assert_eq!(timeout(SOON, drops.recv()).await, Ok(Some(())));
    drop(stalled);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_does_not_keep_the_server_from_ending() {
    const GRACE: Duration = Duration::from_millis(300);
    // Far more than the buffers between two processes hold.
    let large = Bytes::from(vec![0; 64 << 20]);
    let router = Router::new().route("/", get(async move || large.clone()));
    let server = Server::start_with(router, Limits::default(), GRACE).await;
    let mut stream = server.connect().await;
    send(&mut stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(status(&mut stream).await, "HTTP/1.1 200");
    let asked = Instant::now();
    server.stop().await;
    assert!((GRACE..SOON / 2).contains(&asked.elapsed()));
}

#[test]
fn only_a_lack_of_room_makes_others_wait() {
    // (error, whether it is one)
    let table = [
        (Errno::MFILE, true),
        (Errno::NFILE, true),
        (Errno::NOBUFS, true),
        (Errno::NOMEM, true),
        (Errno::CONNABORTED, false),
        (Errno::PERM, false),
        (Errno::PROTO, false),
    ];
    for (errno, expected) in table {
        let error = io::Error::from_raw_os_error(errno.raw_os_error());
        assert_eq!(is_out_of_room(&error), expected, "{error}");
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_others_go_on() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = Server::start(hello(), limits).await;
    let (mut a, mut b) = (server.connect().await, server.connect().await);
    for stream in [&mut a, &mut b] {
        send(stream, GET).await;
        assert_eq!(status(stream).await, "HTTP/1.1 200");
    }
    let mut c = server.connect().await;
    send(&mut c, GET).await;
    let answer = String::from_utf8(rest(&mut c).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 2\r\n"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "too many connections\n");
    assert!(answer.contains(&format!("content-length: {}\r\n", body.len())));
    // Its place is free when it is gone.
    drop(a);
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let mut d = server.connect().await;
        send(&mut d, GET).await;
        if status(&mut d).await == "HTTP/1.1 200" {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline);
    }
    server.stop().await;
}

/// A router that sends a file of this length in pieces of at most `piece` bytes, as though it
/// had `claimed` bytes.
fn file_router(content: &[u8], claimed: u64, piece: u64) -> Router {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    let file = Arc::new(file);
    let send = async move |Extension(files): Extension<FileSender>| {
        let whole = (file.clone() as Arc<File>, 0);
        let pieces = stream::iter(std::iter::successors(Some(whole), move |(file, start)| {
            let next = start + piece;
            (next < claimed).then(|| (Arc::clone(file), next))
        }));
        let pieces = futures::StreamExt::map(pieces, move |(file, start)| {
            Ok::<_, io::Error>(files.order(file, start, piece.min(claimed - start)))
        });
        let head = [(header::CONTENT_LENGTH, claimed.to_string())];
        (head, Body::from_stream(pieces)).into_response()
    };
    Router::new().route("/", get(send))
}

#[tokio::test]
async fn files_are_sent_in_the_place_of_their_placeholders() {
    let content: Vec<u8> = (0..3_000_001_u32).map(|n| (n % 251) as u8).collect();
    for piece in [1, 1000, 65_537, 512 * 1024] {
        let content = &content[..content.len().min(usize::try_from(piece * 500).unwrap())];
        let router = file_router(content, content.len() as u64, piece);
        let server = Server::start(router, Limits::default()).await;
        let mut stream = server.connect().await;
        // Two at once over one connection.
        send(&mut stream, GET).await;
        send(
            &mut stream,
            &GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
        )
        .await;
        let mut answers = rest(&mut stream).await;
        for _ in 0..2 {
            let body = body(&answers);
            assert!(body[..content.len()] == *content, "pieces of {piece}");
            answers = body[content.len()..].to_vec();
        }
        assert!(answers.is_empty());
        server.stop().await;
    }
}

#[tokio::test]
async fn a_file_that_became_shorter_ends_the_connection() {
    let router = file_router(&[7; 1000], 2000, 1500);
    let server = Server::start(router, Limits::default()).await;
    let mut stream = server.connect().await;
    send(&mut stream, GET).await;
    let answer = rest(&mut stream).await;
    assert_eq!(body(&answer), [7; 1000]);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_more_of_a_file_is_dropped() {
    const LENGTH: u64 = 64 << 20;
    let limits = Limits {
        stall_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = Server::start(
        file_router(&vec![7; LENGTH as usize], LENGTH, 512 * 1024),
        limits,
    )
    .await;
    let mut stream = server.connect().await;
    send(&mut stream, GET).await;
    assert_eq!(status(&mut stream).await, "HTTP/1.1 200");
    // It takes nothing until the server has closed the connection.
    let closed = async {
        while !stream
            .ready(tokio::io::Interest::ERROR)
            .await
            .is_ok_and(|ready| ready.is_error())
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = timeout(Duration::from_secs(2), closed).await;
    let rest = rest(&mut stream).await;
    assert!(rest.len() < LENGTH as usize, "it was sent all of it");
    server.stop().await;
}

/// What follows the first head.
fn body(answer: &[u8]) -> &[u8] {
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    &answer[head + 4..]
}
