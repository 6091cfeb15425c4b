//! The units of systemd: it takes them, and finds them closed; nginx starts where its unit has it.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::{read, replace, succeed};

/// What docs/OPERATING.md has done to nginx' configuration without containers.
const WITHOUT_CONTAINERS: [&str; 3] = [
    r"s/ \(downloader\|backfiller\|restreamer\):/ 127.0.0.1:/",
    "s|root /;|root /srv;|",
    "s/listen 8081/listen 127.0.0.1:8081/",
];

/// How its unit starts it.
const NGINX: &str = "/usr/sbin/nginx -e stderr -c /etc/livestream-nginx.conf -g 'daemon off;'";

/// `systemd-analyze security` gives points from 0 to 100; above 50 a service is said to be exposed.
const MOST_EXPOSED: &str = "--threshold=15";

#[test]
fn systemd_takes_the_units_and_finds_them_closed() {
    let directory = tempfile::tempdir().unwrap();
    for service in ["downloader", "backfiller", "restreamer", "livestream-nginx"] {
        let text = read(&format!("deploy/systemd/{service}.service"));
        for line in [
            "User=livestream-node\n",
            "Restart=always\n",
            "ProtectSystem=strict\n",
        ] {
            assert!(text.contains(line), "{service}: {line}");
        }
        // It looks for the program.
        let text = match service {
            "livestream-nginx" => text,
            service => {
                assert!(text.contains("EnvironmentFile=/etc/livestream-node.env\n"));
                let installed = format!("ExecStart=/usr/local/bin/{service}\n");
                let program = tests::node::Binaries::get().path(service);
                let here = format!("ExecStart={}\n", program.display());
                replace(&text, &installed, &here)
            }
        };
        let unit = directory.path().join(format!("{service}.service"));
        fs::write(&unit, text).unwrap();
        let unit = unit.to_str().unwrap();
        let said = succeed("systemd-analyze", &["verify", "--man=no", unit]);
        assert!(!said.contains(service), "{said}");
        succeed(
            "systemd-analyze",
            &[
                "security",
                "--offline=true",
                "--no-pager",
                MOST_EXPOSED,
                unit,
            ],
        );
    }
}

#[test]
fn nginx_starts_where_its_unit_and_the_guide_put_it() {
    let unit = read("deploy/systemd/livestream-nginx.service");
    assert!(unit.contains(&format!("\nExecStart={NGINX}\n")));
    assert!(unit.contains("\nStandardOutput=null\n"));
    let guide = read("docs/OPERATING.md");
    let mut edits = Vec::new();
    for edit in WITHOUT_CONTAINERS {
        assert!(guide.contains(&format!("-e '{edit}'")), "{edit}");
        edits.extend(["-e", edit]);
    }
    edits.push("deploy/nginx/nginx.conf");
    let text = succeed("sed", &edits);
    for place in [
        "127.0.0.1:8000;",
        "127.0.0.1:8001;",
        "127.0.0.1:8002;",
        "root /srv;",
    ] {
        assert!(text.contains(place), "{place}");
    }
    assert!(
        text.contains("listen 127.0.0.1:8081;"),
        "metrics are not for everybody"
    );

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nginx.conf");
    let own = format!("{}/", directory.path().display());
    fs::write(&file, replace(&text, "/tmp/", &own)).unwrap();
    // Standard error is the journal's socket.
    let (mut ours, journal) = UnixStream::pair().unwrap();
    let status = Command::new("/usr/sbin/nginx")
        .args(["-t", "-e", "stderr", "-g", "daemon off;", "-c"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(OwnedFd::from(journal))
        .status();
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert!(status.unwrap().success(), "{said}");
}
