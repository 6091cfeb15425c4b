//! A directory of recordings, a restreamer on it, and Debian's nginx on the same.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::content::{sha256_base64, ts_bytes};
use tests::eventually;
use tests::node::{Node, free_port};
use tests::process::Process;
use tests::raw;
use tokio::process::Command;

/// Segments to send, in the hour 2026-01-02T00: more than a processor's cache holds.
pub(super) const SEGMENTS: usize = 40;
/// Their length in bytes.
pub(super) const LENGTH: usize = 1_270_000;
/// Segments of an hour to list, each of 2 s and empty.
pub(super) const PER_HOUR: usize = 1800;
/// Hours to list, from 2026-01-02T02 on: 24.
const HOURS: u32 = 22;

/// What is measured.
pub(super) struct Site {
    node: Node,
    nginx: Process,
    nginx_port: u16,
    // After the processes that use it.
    _nginx_directory: TempDir,
}

impl Site {
    pub(super) async fn start() -> Site {
        let mut node = Node::new("bench");
        let quality = node.base_dir().join("test/source");
        let directory = quality.join("2026-01-02T00");
        fs::create_dir_all(&directory).expect("a directory");
        for n in 0..SEGMENTS {
            let content = ts_bytes(n as u64, LENGTH);
            fs::write(directory.join(format!("{n}.ts")), content).expect("a segment");
        }
        for hour in 0..HOURS {
            let name = format!("2026-01-02T{:02}", hour + 2);
            make_hour(&quality.join(name));
        }
        node.start_restreamer().await;
        let port = free_port();
        let own = TempDir::with_prefix("nginx-").expect("a temporary directory");
        let nginx = nginx(own.path(), node.base_dir(), port).await;
        Site {
            node,
            nginx,
            nginx_port: port,
            _nginx_directory: own,
        }
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    pub(super) fn ours(&self) -> String {
        self.node.restreamer_url()
    }

    pub(super) fn nginx(&self) -> String {
        format!("http://127.0.0.1:{}", self.nginx_port)
    }

    pub(super) fn our_pids(&self) -> Vec<u32> {
        let restreamer = self.node.restreamer.as_ref().expect("it was started");
        restreamer.id().into_iter().collect()
    }

    /// Those of the workers: they do all the work.
    pub(super) fn nginx_pids(&self) -> Vec<u32> {
        let master = self.nginx.id().expect("nginx runs");
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
        let children = children.expect("nginx's workers");
        children
            .split_whitespace()
            .map(|pid| pid.parse().expect("a process"))
            .collect()
    }
}

/// Fills an hour with empty segments of 2 s, each with a hash of its own.
pub(super) fn make_hour(directory: &Path) {
    fs::create_dir_all(directory).expect("a directory");
    for n in 0..PER_HOUR {
        let hash = sha256_base64(format!("{} {n}", directory.display()).as_bytes());
        let (minute, second) = (n / 30, n % 30 * 2);
        let name = format!("{minute:02}:{second:02}.000000-2.0-full-{hash}.ts");
        fs::File::create(directory.join(name)).expect("a segment");
    }
}

impl Drop for Site {
    /// nginx's workers outlive a master that is killed: it is asked to end with them.
    fn drop(&mut self) {
        self.nginx.terminate();
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.nginx.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// As Debian sets it up, on the same directory, with as many connections as we allow.
async fn nginx(own: &Path, base: &Path, port: u16) -> Process {
    let (own_path, base) = (own.display(), base.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {own_path}/{kind};\n"))
        .collect();
    let configuration = format!(
        "daemon off;\npid {own_path}/pid;\nerror_log {own_path}/error.log;\nuser root;\n\
         worker_processes auto;\nworker_rlimit_nofile 20000;\nevents {{ worker_connections 12000; }}\n\
         http {{\n{temporary}access_log off;\nsendfile on;\ntcp_nopush on;\n\
         keepalive_requests 100000000;\ntypes {{ video/mp2t ts; application/vnd.apple.mpegurl m3u8; }}\n\
         server {{ listen 127.0.0.1:{port}; location /segments/ {{ alias {base}/; }} }}\n}}\n"
    );
    let file = own.join("nginx.conf");
    fs::write(&file, configuration).expect("a configuration");
    let mut command = Command::new("/usr/sbin/nginx");
    command
        .arg("-c")
        .arg(&file)
        .arg("-e")
        .arg(own.join("start.log"));
    let nginx = Process::spawn("nginx", command);
    let address = ([127, 0, 0, 1], port).into();
    eventually(Duration::from_secs(20), "nginx to listen", async || {
        let stream = tokio::net::TcpStream::connect(address).await;
        stream.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let answer = raw::get(address, "/segments/test/source/2026-01-02T00/0.ts").await;
    assert_eq!((answer.status, answer.body.len()), (200, LENGTH));
    nginx
}
