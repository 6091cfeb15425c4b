//! The units of systemd: it takes them, and finds them closed.

use std::fs;

use super::{read, succeed};

/// `systemd-analyze security` gives points from 0 to 100; above 50 a service is said to be exposed.
const MOST_EXPOSED: &str = "--threshold=15";

#[test]
fn systemd_takes_the_units_and_finds_them_closed() {
    let directory = tempfile::tempdir().unwrap();
    for service in ["downloader", "backfiller", "restreamer"] {
        let text = read(&format!("deploy/systemd/{service}.service"));
        for line in [
            "EnvironmentFile=/etc/livestream-node.env\n",
            "User=livestream-node\n",
            "Restart=always\n",
            "ProtectSystem=strict\n",
        ] {
            assert!(text.contains(line), "{service}: {line}");
        }
        // It looks for the program.
        let installed = format!("ExecStart=/usr/local/bin/{service}\n");
        let program = tests::node::Binaries::get().path(service);
        let here = format!("ExecStart={}\n", program.display());
        let unit = directory.path().join(format!("{service}.service"));
        fs::write(&unit, super::replace(&text, &installed, &here)).unwrap();
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
