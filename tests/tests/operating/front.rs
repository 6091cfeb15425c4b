//! nginx in front of a real restreamer, with the configuration of `deploy/nginx`: it serves what
//! the restreamer would, and refuses what the restreamer refuses.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use tests::content::{sha256_base64, ts_bytes};
use tests::eventually;
use tests::node::{Node, free_port};
use tests::process::Process;
use tests::raw::{self, Answer};
use tokio::process::Command;

use super::{SOON, read, replace};

/// nginx with the configuration of `deploy/nginx`, told where things are on this machine.
pub(super) struct Nginx {
    // Before its directory.
    process: Process,
    /// For everybody.
    pub(super) public: SocketAddr,
    /// For the operator.
    pub(super) operator: SocketAddr,
    _directory: TempDir,
}

/// Where the services are.
pub(super) struct Services {
    pub(super) downloader: SocketAddr,
    pub(super) backfiller: SocketAddr,
    pub(super) restreamer: SocketAddr,
}

impl Nginx {
    /// Starts it in front of these services and this base directory.
    pub(super) async fn start(base: &Path, services: &Services) -> Nginx {
        let directory = TempDir::with_prefix("nginx-").unwrap();
        let own = directory.path();
        std::os::unix::fs::symlink(base, own.join("segments")).unwrap();
        let public = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let operator = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut text = read("deploy/nginx/nginx.conf");
        for (from, to) in [
            // First: the others bring such paths in.
            ("/tmp/", format!("{}/", own.display())),
            ("listen 8080", format!("listen {public}")),
            ("listen 8081", format!("listen {operator}")),
            ("downloader:8001", services.downloader.to_string()),
            ("backfiller:8002", services.backfiller.to_string()),
            ("restreamer:8000", services.restreamer.to_string()),
            ("root /;", format!("root {};", own.display())),
            ("/dev/stdout", format!("{}/access.log", own.display())),
        ] {
            text = replace(&text, from, &to);
        }
        let file = own.join("nginx.conf");
        fs::write(&file, text).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        // One process, so that none is left when it is killed.
        command.arg("-c").arg(&file);
        command.args(["-e", "stderr", "-g", "daemon off; master_process off;"]);
        let mut nginx = Nginx {
            process: Process::spawn("nginx", command),
            public,
            operator,
            _directory: directory,
        };
        eventually(SOON, "nginx to listen", async || {
            assert!(nginx.process.is_running(), "{:?}", nginx.process.log());
            let listens = tokio::net::TcpStream::connect(public).await;
            listens.map(drop).map_err(|error| error.to_string())
        })
        .await;
        nginx
    }
}

const HOUR: &str = "test/source/2026-11-14T18";

fn write(base: &Path, file: &str, content: &[u8]) {
    let file = base.join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

/// The name of a segment with this content.
fn name(start: &str, kind: &str, content: &[u8]) -> String {
    format!("{HOUR}/{start}-2.0-{kind}-{}.ts", sha256_base64(content))
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.header(name).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_and_refused_as_the_restreamer_does() {
    let mut node = Node::new("a");
    let base = node.base_dir().to_owned();
    let content = ts_bytes(1, 100_000);
    let (full, partial) = (
        name("00:00.000000", "full", &content),
        name("00:02.000000", "partial", b"\x47"),
    );
    let buried = name("00:04.000000", "full", b"\x47 buried");
    let temporary = format!("{HOUR}/00:06.000000-2.0-temp-6f1b0e7c-0d0f-4c5e-9d43-2b2a7f4f3c11.ts");
    let hidden = name("00:08.000000", "full", b"\x47 hidden").replace("source/", "source/.");
    let odd = full.replace("test/", "a%20b%3F/");
    write(&base, &full, &content);
    write(&base, &partial, b"\x47");
    write(&base, &buried, b"\x47 buried");
    write(&base, &buried.replace(".ts", ".tombstone"), b"");
    write(&base, &temporary, b"\x47 half");
    write(&base, &hidden, b"\x47 hidden");
    write(&base, &full.replace("test/", "a b?/"), &content);
    write(&base, "test/chat/2026-11-14T18/00:00.000000-x.json", b"[]");
    write(&base, "emotes/x.html", b"<p>");
    fs::create_dir_all(base.join(name("00:10.000000", "full", b"a directory"))).unwrap();
    node.start_restreamer().await;
    let restreamer = node.restreamer_address();
    let services = Services {
        downloader: restreamer,
        backfiller: restreamer,
        restreamer,
    };
    let nginx = Nginx::start(&base, &services).await;

    let paths = [
        format!("/segments/{full}"),
        format!(
            "/segments/{}",
            full.replace(':', "%3A").replace("-full", "%2Dfull")
        ),
        format!("/segments/{odd}"),
        format!("/segments/{partial}"),
        format!("/segments/{buried}"),
        format!("/segments/{}", buried.replace(".ts", ".tombstone")),
        format!("/segments/{temporary}"),
        format!("/segments/{hidden}"),
        format!("/segments/{}", hidden.replace("/.", "/%2E")),
        format!("/segments/{}", name("00:10.000000", "full", b"a directory")),
        format!("/segments/{}", name("00:12.000000", "full", b"nothing")),
        format!("/segments/{HOUR}"),
        format!("/segments/{HOUR}/"),
        format!("/segments/{HOUR}/../2026-11-14T18/x.ts"),
        "/segments/../etc/passwd".to_owned(),
        "/segments/%2e%2e/etc/passwd".to_owned(),
        "/segments/..%2fetc%2fpasswd".to_owned(),
        format!("/segments/{}", full.replace("source", "..%2fsource")),
        "/segments/test/chat/2026-11-14T18/00:00.000000-x.json".to_owned(),
        "/segments/emotes/x.html".to_owned(),
        format!("/files/{HOUR}"),
        "/files/.hidden".to_owned(),
        "/playlist/test/source.m3u8?start=2026-11-14T18&end=2026-11-14T18:00:03".to_owned(),
        "/playlist/test/source.m3u8?start=nonsense".to_owned(),
        "/nothing".to_owned(),
    ];
    let mut statuses = Vec::new();
    for path in &paths {
        let (ours, front) = (
            raw::get(restreamer, path).await,
            raw::get(nginx.public, path).await,
        );
        assert_eq!(front.status, ours.status, "{path}");
        assert_eq!(front.body, ours.body, "{path}");
        for name in [
            "content-type",
            "cache-control",
            "access-control-allow-origin",
            "accept-ranges",
            "last-modified",
        ] {
            assert_eq!(
                header(&front, name),
                header(&ours, name),
                "{name} of {path}"
            );
        }
        statuses.push(front.status);
    }
    for status in [200, 400, 403, 404] {
        assert!(statuses.contains(&status), "{statuses:?}");
    }

    // Ranges, conditions and other methods.
    let path = paths[0].as_str();
    let part = raw::request(nginx.public, "GET", path, &[("Range", "bytes=188-375")]).await;
    assert_eq!((part.status, part.body.as_ref()), (206, &content[188..376]));
    assert_eq!(header(&part, "content-range"), "bytes 188-375/100000");
    let whole = raw::get(nginx.public, path).await;
    assert_eq!(header(&whole, "content-type"), "video/mp2t");
    let tag = header(&whole, "etag");
    assert!(!tag.is_empty());
    let again = raw::request(nginx.public, "GET", path, &[("If-None-Match", tag)]).await;
    assert_eq!(again.status, 304);
    let beyond = raw::request(nginx.public, "GET", path, &[("Range", "bytes=100000-")]).await;
    assert_eq!(beyond.status, 416);
    let head = raw::request(nginx.public, "HEAD", path, &[]).await;
    assert_eq!(
        (head.status, header(&head, "content-length")),
        (200, "100000")
    );
    let asked = [
        ("Origin", "https://editor"),
        ("Access-Control-Request-Method", "GET"),
    ];
    let preflight = raw::request(nginx.public, "OPTIONS", path, &asked).await;
    assert_eq!(
        (
            preflight.status,
            header(&preflight, "access-control-allow-origin")
        ),
        (200, "*")
    );
    assert_eq!(
        raw::request(nginx.public, "DELETE", path, &[]).await.status,
        405
    );

    // What is the operator's is not everybody's.
    for path in [
        "/metrics",
        "/metrics/restreamer",
        "/%6detrics",
        "//metrics",
        "/metrics/downloader",
    ] {
        assert_eq!(raw::get(nginx.public, path).await.status, 403, "{path}");
    }
    for path in ["/segments/", "/playlist/test.m3u8", "/metrics"] {
        assert_eq!(raw::get(nginx.operator, path).await.status, 404, "{path}");
    }

    // Finished segments need no restreamer; and all comes back with it.
    drop(node.restreamer.take());
    assert_eq!(raw::get(nginx.public, path).await.status, 200);
    assert_eq!(raw::get(nginx.public, "/files").await.status, 502);
}
