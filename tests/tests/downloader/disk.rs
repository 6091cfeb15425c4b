//! Not lost at our end: a disk that is full or read-only, and too few file descriptors.

use std::path::Path;
use std::process::Command;

use tests::content::ts_bytes;
use tests::node::{Node, Service};
use tests::origin::{LiveOptions, LiveStream, NewSegment, Origin, Published};

use super::{FAST, SOON};

/// A small file system of its own, unmounted at the end.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// `None`, with a word, where this user may not mount.
    fn mount(at: &'a Path) -> Option<Disk<'a>> {
        let size = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
        let status = Command::new("mount").args(size).arg(at).status();
        if status.is_ok_and(|status| status.success()) {
            return Some(Disk(at));
        }
        eprintln!("skipped: this user may not mount a small disk");
        None
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount")
            .args(["-o", &options])
            .arg(self.0)
            .status();
        assert!(status.unwrap().success(), "{options}");
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Lazily: a service may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn push(stream: &mut LiveStream, count: u64) -> Vec<Published> {
    let mut segment = |n| stream.push_segment(NewSegment::new("2.000", ts_bytes(900 + n, 60_000)));
    (0..count).map(&mut segment).collect()
}

async fn all_there(node: &Node, all: &[Published]) {
    tests::eventually(SOON, "all segments", async || {
        let files = node.files("test", "source");
        let missing: Vec<_> = all
            .iter()
            .filter(|s| !files.contains_key(&s.file()))
            .collect();
        let clean = missing.is_empty() && node.temp_files().is_empty();
        clean
            .then_some(())
            .ok_or(format!("{} missing of {files:?}", missing.len()))
    })
    .await;
    assert_eq!(node.wrong_hashes("test", "source"), [""; 0]);
}

async fn start(node: &Node, stream: &LiveStream) -> Service {
    node.start_downloader(&format!("test:url:{}", stream.url()), FAST)
        .await
}

#[tokio::test]
async fn a_full_disk_is_waited_out() {
    let origin = Origin::start().await;
    let mut stream = LiveStream::new(&origin, "live", LiveOptions::default());
    let node = Node::new("full");
    let Some(disk) = Disk::mount(node.base_dir()) else {
        return;
    };
    std::fs::write(node.base_dir().join(".filler"), vec![0; 230_000]).unwrap();
    let mut downloader = start(&node, &stream).await;
    let all = push(&mut stream, 3);
    downloader.wait_for_log("cannot store segments", SOON).await;
    let asked = |log: &tests::origin::Log| all.iter().all(|s| log.count(&s.path) >= 3);
    origin.wait_for(SOON, asked).await.unwrap();
    assert_eq!(
        downloader.count_log("cannot store segments"),
        1,
        "said once a minute"
    );
    assert!(downloader.is_running());
    disk.remount("size=4m");
    all_there(&node, &all).await;
}

#[tokio::test]
async fn a_read_only_disk_is_waited_out() {
    let origin = Origin::start().await;
    let mut stream = LiveStream::new(&origin, "live", LiveOptions::default());
    let node = Node::new("read-only");
    let Some(disk) = Disk::mount(node.base_dir()) else {
        return;
    };
    disk.remount("ro,size=4m");
    let mut downloader = start(&node, &stream).await;
    let all = push(&mut stream, 3);
    let line = downloader.wait_for_log("cannot store segments", SOON).await;
    assert!(line.contains("Read-only file system"), "{line}");
    assert!(downloader.is_running());
    disk.remount("rw");
    all_there(&node, &all).await;
}

#[tokio::test]
async fn too_few_file_descriptors_are_waited_out() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let origin = Origin::start().await;
    let mut stream = LiveStream::new(&origin, "live", LiveOptions::default());
    let node = Node::new("files");
    let mut downloader = start(&node, &stream).await;
    let first = push(&mut stream, 1);
    all_there(&node, &first).await;
    let id = i32::try_from(downloader.id().unwrap()).unwrap();
    let pid = Pid::from_raw(id);
    let limit = |files: u64| {
        let limit = Rlimit {
            current: Some(files),
            maximum: Some(4096),
        };
        prlimit(pid, Resource::Nofile, limit).unwrap();
    };
    // Fewer than it has open already: no file and no connection can be opened any more.
    limit(4);
    origin.drop_connections();
    let more = push(&mut stream, 3);
    let failed = downloader.wait_for_log("Too many open files", SOON).await;
    assert!(failed.contains("channel=test"), "{failed}");
    assert!(downloader.is_running());
    limit(4096);
    all_there(&node, &[first, more].concat()).await;
}

#[tokio::test]
async fn a_base_directory_that_is_not_there_yet_is_made() {
    let origin = Origin::start().await;
    let mut stream = LiveStream::new(&origin, "live", LiveOptions::default());
    let outer = Node::new("outer");
    let node = Node::at("inner", &outer.base_dir().join("not/there/yet"));
    let all = push(&mut stream, 1);
    let _downloader = start(&node, &stream).await;
    all_there(&node, &all).await;
}
