//! A disk here that is full.

use std::path::Path;
use std::process::Command;

use tests::content::ts_bytes;
use tests::eventually;
use tests::node::Node;

use super::peer::{ScriptedPeer, segment_name};
use super::{CHANNEL, HOUR, SOON, names, start};

/// A small file system of its own, unmounted at the end.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// `None`, with a word, where this user may not mount.
    fn mount(at: &'a Path) -> Option<Disk<'a>> {
        let size = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
        let status = Command::new("mount").args(size).arg(at).status();
        if status.is_ok_and(|status| status.success()) {
            return Some(Disk(at));
        }
        eprintln!("skipped: this user may not mount a small disk");
        None
    }

    fn grow(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,size=64m"]).arg(self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Lazily: a service may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_keeps_nothing_half_and_is_waited_out() {
    let node = Node::new("full");
    let Some(disk) = Disk::mount(node.base_dir()) else {
        return;
    };
    let peer = ScriptedPeer::start().await;
    let mut expected = Vec::new();
    for second in 0..20 {
        let content = ts_bytes(second.into(), 100_000);
        let name = segment_name(second * 2, "full", &content);
        peer.put(HOUR, &name, &content);
        expected.push(name);
    }
    let mut service = start(&node, &[&peer], &["--interval", "1"]).await;
    let line = service.wait_for_log("round failed", SOON).await;
    assert!(line.contains("there is no room for more"), "{line}");
    assert!(line.contains("No space left on device"), "{line}");
    let kept = names(&node, HOUR);
    assert!(!kept.is_empty() && kept.len() < 20, "{kept:?}");
    assert!(node.wrong_hashes(CHANNEL, "source").is_empty());
    // The round ends at the first one that does not fit: the rest would not either.
    let asked = peer.origin.log();
    let asked = asked
        .iter()
        .filter(|e| e.request.path.starts_with("/segments/"));
    assert!(asked.count() <= kept.len() + 5);
    assert!(service.is_running());
    disk.grow();
    eventually(SOON * 2, "all of it", async || {
        let here = names(&node, HOUR);
        (here == expected).then_some(()).ok_or(format!("{here:?}"))
    })
    .await;
    assert!(node.wrong_hashes(CHANNEL, "source").is_empty());
}
