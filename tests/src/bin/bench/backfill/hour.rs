//! An hour of segments of real MPEG-TS in memory (`/dev/shm`), and who serves it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tests::content::sha256_base64;
use tests::node::{Node, free_port};
use tests::process::Process;
use tests::{eventually, raw};
use tokio::process::Command;

pub(super) const CHANNEL: &str = "test";
pub(super) const HOUR: &str = "2026-01-02T03";
const SEGMENTS: usize = 1800;
const SOON: Duration = Duration::from_secs(20);

/// The hour, a restreamer on it, and an nginx.
pub(super) struct Hour {
    base: TempDir,
    names: Vec<String>,
    bytes: u64,
    node: Node,
    nginx: Process,
    nginx_port: u16,
}

impl Hour {
    /// Makes the segments (one by ffmpeg; the others differ from it by a null packet at their
    /// end) and starts the servers.
    pub(super) async fn make() -> Hour {
        let base = TempDir::with_prefix_in("bench-hour-", "/dev/shm").expect("room in /dev/shm");
        let segment = segment(base.path()).await;
        let directory = base.path().join(CHANNEL).join("source").join(HOUR);
        fs::create_dir_all(&directory).expect("a directory");
        let mut names = Vec::new();
        let mut bytes = 0;
        for n in 0..SEGMENTS {
            let content = [&segment[..], &null_packet(n)].concat();
            let (minute, second) = (n * 2 / 60, n * 2 % 60);
            let hash = sha256_base64(&content);
            let name = format!("{minute:02}:{second:02}.000000-2.0-full-{hash}.ts");
            fs::write(directory.join(&name), &content).expect("room in /dev/shm");
            bytes += content.len() as u64;
            names.push(name);
        }
        let mut node = Node::at("bench", base.path());
        node.start_restreamer().await;
        let nginx_port = free_port();
        let nginx = nginx(base.path(), &names, nginx_port).await;
        Hour {
            base,
            names,
            bytes,
            node,
            nginx,
            nginx_port,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn restreamer(&self) -> String {
        self.node.restreamer_url()
    }

    pub(super) fn nginx(&self) -> String {
        assert!(self.nginx.id().is_some(), "nginx runs");
        format!("http://127.0.0.1:{}", self.nginx_port)
    }

    /// Where the segments are.
    pub(super) fn directory(&self) -> PathBuf {
        self.base.path().join(CHANNEL).join("source").join(HOUR)
    }

    /// Hashes every byte, as a check of what was downloaded has to.
    pub(super) fn hash(&self) {
        for name in &self.names {
            let content = fs::read(self.directory().join(name)).expect("a segment");
            assert!(name.contains(&sha256_base64(&content)));
        }
    }
}

/// A second or two of real MPEG-TS of about 1.27 MB.
async fn segment(directory: &Path) -> Vec<u8> {
    let file = directory.join(".segment.ts");
    let picture = "testsrc2=size=1280x720:rate=30:duration=2,noise=alls=40:allf=t";
    let sound = "sine=frequency=440:sample_rate=48000:duration=2";
    let coding = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 4040k -minrate 4040k \
        -maxrate 4040k -bufsize 4040k -x264-params nal-hrd=cbr -c:a aac -b:a 128k -f mpegts";
    let status = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-loglevel",
            "error",
            "-f",
            "lavfi",
            "-i",
            picture,
        ])
        .args(["-f", "lavfi", "-i", sound])
        .args(coding.split_whitespace())
        .arg(&file)
        .status()
        .await
        .expect("ffmpeg");
    assert!(status.success(), "ffmpeg: {status}");
    let content = fs::read(&file).expect("a segment");
    fs::remove_file(file).expect("a file to remove");
    content
}

/// A packet that no player looks into (ISO 13818-1, PID 0x1FFF), with a number in it.
fn null_packet(number: usize) -> [u8; 188] {
    let mut packet = [0xff; 188];
    packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    packet[4..12].copy_from_slice(&(number as u64).to_be_bytes());
    packet
}

/// An nginx that lists and serves the base directory as a node does, and as `rclone` wants it.
async fn nginx(base: &Path, names: &[String], port: u16) -> Process {
    let lists = base.join("lists");
    fs::create_dir_all(&lists).expect("a directory");
    let json = |names: &[String]| serde_json::to_string(names).expect("names are text");
    fs::write(lists.join("hours.json"), json(&[HOUR.to_owned()])).expect("a file");
    fs::write(lists.join("names.json"), json(names)).expect("a file");
    let base = base.display();
    let configuration = format!(
        "daemon off; master_process off; pid {base}/lists/pid; error_log stderr error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
           default_type application/octet-stream; types {{ application/json json; }}\n\
           client_body_temp_path {base}/lists/a; proxy_temp_path {base}/lists/b;\n\
           fastcgi_temp_path {base}/lists/c; uwsgi_temp_path {base}/lists/d; scgi_temp_path {base}/lists/e;\n\
           server {{\n\
             listen 127.0.0.1:{port};\n\
             location = /files/{CHANNEL}/source {{ alias {base}/lists/hours.json; }}\n\
             location = /files/{CHANNEL}/source/{HOUR} {{ alias {base}/lists/names.json; }}\n\
             location /segments/ {{ alias {base}/; autoindex on; }}\n\
           }}\n\
         }}\n"
    );
    let file = lists.join("nginx.conf");
    fs::write(&file, configuration).expect("a file");
    // Where Debian has it; not everybody's PATH leads there.
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(&file).arg("-p").arg(&lists);
    command.stdin(Stdio::null());
    let nginx = Process::spawn("nginx", command);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    eventually(SOON, "nginx to listen", async || {
        let connected = tokio::net::TcpStream::connect(address).await;
        connected.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let answer = raw::get(address, &format!("/files/{CHANNEL}/source")).await;
    assert_eq!(answer.text(), format!("[\"{HOUR}\"]"), "nginx serves lists");
    nginx
}
