//! HTTP/2 over TLS, from a real nginx: one connection carries everything.

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;
use tests::content::{sha256_base64, ts_bytes};
use tests::node::{Node, free_port};
use tests::process::Process;
use tokio::process::Command;

use super::SOON;

/// A certificate for 127.0.0.1, and the authority that signed it.
async fn certificate(directory: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(
        directory.join("extensions"),
        "subjectAltName=IP:127.0.0.1\n",
    )
    .unwrap();
    for line in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"),
        format!("req {key} -keyout server.key -out server.csr -subj /CN=127.0.0.1"),
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
         -extfile extensions -out server.pem"
            .to_owned(),
    ] {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(directory)
            .output()
            .await
            .expect("openssl (apt-get install openssl)");
        assert!(output.status.success(), "{line}: {output:?}");
    }
}

/// nginx with TLS and HTTP/2, serving `www`; it logs connection, protocol and path.
fn nginx(directory: &Path, port: u16) -> Process {
    let at = directory.display();
    // One process, so that none is left when it is killed.
    let configuration = format!(
        "daemon off; master_process off; pid {at}/nginx.pid; error_log stderr warn;
        events {{}}
        http {{
            log_format short '$connection $server_protocol $uri';
            access_log {at}/access.log short;
            client_body_temp_path {at}/t1; proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3;
            uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;
            server {{
                listen 127.0.0.1:{port} ssl http2;
                ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;
                root {at}/www;
            }}
        }}"
    );
    std::fs::write(directory.join("nginx.conf"), configuration).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(directory.join("nginx.conf"));
    // Debian has it where only root looks.
    command.env("PATH", format!("{path}:/usr/sbin"));
    Process::spawn("nginx (apt-get install nginx)", command)
}

#[tokio::test]
async fn http_2_connections_are_used_again() {
    let directory = TempDir::with_prefix("nginx-").unwrap();
    certificate(directory.path()).await;
    let www = directory.path().join("www");
    std::fs::create_dir(&www).unwrap();
    let list = |count: usize| {
        let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n\
            #EXT-X-PROGRAM-DATE-TIME:2024-11-08T22:00:00.000Z\n"
            .to_owned();
        for n in 0..count {
            text.push_str(&format!("#EXTINF:2.0,\n{n}.ts\n"));
        }
        // As packagers do it, so that nobody reads half a list.
        std::fs::write(www.join("new"), text).unwrap();
        std::fs::rename(www.join("new"), www.join("index.m3u8")).unwrap();
    };
    let push = |n: usize| {
        let content = ts_bytes(n as u64, 20_000);
        std::fs::write(www.join(format!("{n}.ts")), &content).unwrap();
        list(n + 1);
        sha256_base64(&content)
    };
    let mut hashes: Vec<String> = vec![push(0)];
    let port = free_port();
    let _nginx = nginx(directory.path(), port);
    let node = Node::new("a");
    let base = node.base_dir().display().to_string();
    let channel = format!("test:url:https://127.0.0.1:{port}/index.m3u8");
    let arguments = [
        &channel,
        "--base-dir",
        &base,
        "--metrics-port",
        "0",
        "--time-scale",
        "0.1",
    ];
    let authority = directory.path().join("ca.pem").display().to_string();
    let environment = [("SSL_CERT_FILE", authority.as_str())];
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let _downloader = node.start("downloader", &arguments, &environment).await;
    for n in 1..=10 {
        tests::eventually(SOON, "the segments so far", async || {
            let files = node.files("test", "source");
            let there: BTreeSet<&String> = files.values().collect();
            let all = hashes.iter().all(|hash| there.contains(hash));
            all.then_some(()).ok_or(format!("{files:?}"))
        })
        .await;
        hashes.push(push(n));
    }
    let log = std::fs::read_to_string(directory.path().join("access.log")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.len() > 20, "{log}");
    let odd = lines.iter().find(|line| !line.contains(" HTTP/2.0 "));
    assert_eq!(odd, None);
    let connections: BTreeSet<&str> = lines.iter().filter_map(|l| l.split(' ').next()).collect();
    // One, unless a request was hedged on a busy machine: those have one of their own.
    let hedged = connections.len() - 1;
    assert!(
        hedged * 10 < lines.len(),
        "{} of {}",
        connections.len(),
        lines.len()
    );
}
