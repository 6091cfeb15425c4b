//! What is no segment: tombstones, chat batches, and the files of `--extras`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tests::content::sha256_base64;
use tests::eventually;
use tests::node::Node;
use tests::origin::{Fault, Framing, Gate, Hold, Log, Resource};

use super::peer::{ScriptedPeer, segment_name};
use super::{CHANNEL, HOUR, SOON, names, put, run_once, start};

/// All files below a directory and their contents.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                files.insert(name, fs::read(&path).unwrap_or_default());
            }
        }
    }
    files
}

fn write(node: &Node, path: &str, content: &[u8]) {
    let file = node.base_dir().join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

fn batch(time: &str, content: &[u8]) -> String {
    format!("{time}-{}.json", sha256_base64(content))
}

#[tokio::test]
async fn everything_spreads_between_real_nodes_and_nothing_else() {
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    let chat = |hour: &str, name: &str| format!("{CHANNEL}/chat/{hour}/{name}");
    let first = batch("00:00.000000", b"[1]");
    let second = batch("00:10.500000", b"[2]");
    let buried = batch("00:20.000000", b"[3]");
    write(&a, &chat(HOUR, &first), b"[1]");
    write(&a, &chat(HOUR, &second), b"[2]");
    write(&a, &chat(HOUR, &buried), b"[3]");
    write(&a, &chat(HOUR, &buried.replace(".json", ".tombstone")), b"");
    write(
        &a,
        &chat(
            HOUR,
            &format!("{first}.1b4e28ba-2fa1-41d2-883f-0016d3cca427.temp"),
        ),
        b"[",
    );
    let segment = segment_name(0, "full", b"x");
    put(&b, HOUR, &segment, b"x");
    // Hidden there, and so it is here; its content's size does not matter.
    put(
        &a,
        HOUR,
        &segment.replace(".ts", ".tombstone"),
        b"not empty",
    );
    for path in [
        "extras/a.txt",
        "extras/d e/ü/b.bin",
        "extras/empty",
        "more/x",
    ] {
        write(&a, path, path.as_bytes());
    }
    write(&a, "extras/.hidden", b"h");
    write(&a, "other/x", b"not asked for");
    write(&b, "extras/a.txt", b"ours is another one");
    a.start_restreamer().await;
    b.start_restreamer().await;
    let extra = [
        "--run-once",
        "--qualities",
        "source,chat",
        "--extras",
        "extras,more",
    ];
    for (node, peer) in [(&b, &a), (&a, &b), (&b, &a)] {
        let urls = [peer.restreamer_url()];
        let mut service = node.start_backfiller(CHANNEL, &urls, &extra).await;
        assert_eq!(
            service.wait(SOON).await.code(),
            Some(0),
            "{:?}",
            service.log()
        );
        assert_eq!(service.count_log("WARN"), 0);
    }
    let expected = BTreeMap::from([
        (chat(HOUR, &first), b"[1]".to_vec()),
        (chat(HOUR, &second), b"[2]".to_vec()),
        (
            chat(HOUR, &buried.replace(".json", ".tombstone")),
            Vec::new(),
        ),
        (format!("{CHANNEL}/source/{HOUR}/{segment}"), b"x".to_vec()),
        (
            format!(
                "{CHANNEL}/source/{HOUR}/{}",
                segment.replace(".ts", ".tombstone")
            ),
            Vec::new(),
        ),
        // What was here has not been touched.
        ("extras/a.txt".to_owned(), b"ours is another one".to_vec()),
        (
            "extras/d e/ü/b.bin".to_owned(),
            "extras/d e/ü/b.bin".as_bytes().to_vec(),
        ),
        ("extras/empty".to_owned(), b"extras/empty".to_vec()),
        ("more/x".to_owned(), b"more/x".to_vec()),
    ]);
    assert_eq!(tree(b.base_dir()), expected);
}

#[tokio::test]
async fn a_chat_batch_that_is_gone_is_no_error_and_one_that_lies_is_not_kept() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let (good, gone) = (batch("00:00.000000", b"[1]"), batch("00:01.000000", b"[2]"));
    for name in [&good, &gone] {
        peer.list_in("chat", HOUR, name);
    }
    let path = |name: &str| format!("/segments/{CHANNEL}/chat/{HOUR}/{name}");
    peer.origin.put(&path(&good), "[1]", "application/json");
    let (service, code) = run_once(&node, &[&peer], &["--qualities", "chat"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(service.count_log("WARN"), 0);
    assert_eq!(peer.origin.count(&path(&gone)), 1);

    let lie = batch("00:02.000000", b"[3]");
    peer.list_in("chat", HOUR, &lie);
    peer.origin.put(&path(&lie), "[4]", "application/json");
    for bad in ["../../../x.json", "x.json", "00:03.000000-2.0-full-x.ts"] {
        peer.list_in("chat", HOUR, bad);
    }
    let (service, code) = run_once(&node, &[&peer], &["--qualities", "chat"]).await;
    assert_eq!(code, Some(1));
    assert_eq!(service.count_log("is not what its name says"), 1);
    assert_eq!(service.count_log("left a bad name"), 3);
    let files = tree(node.base_dir());
    let names: Vec<&String> = files.keys().collect();
    assert_eq!(names, [&format!("{CHANNEL}/chat/{HOUR}/{good}")]);
}

#[tokio::test]
async fn hostile_tombstones_and_extras_write_nothing_they_should_not() {
    let (node, outside) = (Node::new("b"), Node::new("outside"));
    let peer = ScriptedPeer::start().await;
    for name in [
        "x.tombstone",
        ".tombstone",
        "../../x.tombstone",
        "/x.tombstone",
        "00:00.000000-2.0-full-x.tombstone",
    ] {
        peer.list(HOUR, name);
    }
    write(&node, "extras/file", b"a file");
    std::os::unix::fs::symlink(outside.base_dir(), node.base_dir().join("extras/link")).unwrap();
    std::os::unix::fs::symlink("/nowhere", node.base_dir().join("extras/dangling")).unwrap();
    let list = [
        "good",
        "../escaped",
        "a/../../escaped",
        "/tmp/escaped",
        ".hidden",
        "a/.hidden/b",
        "",
        "a//b",
        "a\nb",
        "link/planted",
        "file/below",
        "dangling",
        "endless",
        "unmarked",
        "cut",
    ];
    let body = Resource::json(&serde_json::json!(list));
    peer.origin.put_resource("/extras/extras", body);
    for name in list {
        let path = format!("/segments/extras/{name}");
        peer.origin.put(&path, "content", "text/plain");
    }
    let segments = "/segments/extras/";
    let cut = Fault::cut_after(3);
    peer.origin.always(format!("{segments}cut"), cut);
    let unmarked = Fault::none().framed(Framing::UntilClose);
    peer.origin.always(format!("{segments}unmarked"), unmarked);
    peer.origin
        .always(format!("{segments}endless"), Fault::declare_length(1 << 50));
    let (service, code) = run_once(&node, &[&peer], &["--extras", "extras"]).await;
    assert_eq!(code, Some(1));
    let mut files = tree(node.base_dir());
    files.retain(|_, content| !content.is_empty());
    let expected = [("extras/file", "a file"), ("extras/good", "content")];
    let expected = expected.map(|(name, content)| (name.to_owned(), content.into()));
    assert_eq!(files, BTreeMap::from(expected));
    assert!(tree(outside.base_dir()).is_empty());
    assert!(names(&node, HOUR).is_empty());
    assert_eq!(service.count_log("left a bad name"), 5 + 8);
    service
        .wait_for_log("does not say where its body ends", SOON)
        .await;
    let escaped = node.base_dir().parent().unwrap().join("escaped");
    assert!(!escaped.exists());
}

#[tokio::test]
async fn a_peer_without_extras_is_no_failure() {
    let node = Node::new("b");
    let peers = [ScriptedPeer::start().await, ScriptedPeer::start().await];
    let name = peers[0].add(HOUR, 0, 0);
    // The other one has them.
    let list = Resource::json(&serde_json::json!(["a"]));
    peers[1].origin.put_resource("/extras/extras", list);
    let content = "content";
    peers[1]
        .origin
        .put("/segments/extras/a", content, "text/plain");
    let peers = [&peers[0], &peers[1]];
    let (service, code) = run_once(&node, &peers, &["--extras", "extras,more"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(names(&node, HOUR), [name]);
    assert_eq!(tree(node.base_dir())["extras/a"], content.as_bytes());
    assert_eq!(service.count_log("WARN"), 0);
    assert_eq!(service.count_log("the peer has no such extras"), 3);
}

#[tokio::test]
async fn new_footage_does_not_wait_for_an_extra_that_takes_hours() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let first = peer.add(HOUR, 0, 0);
    let extras = ["endless", "short"];
    let list = Resource::json(&serde_json::json!(extras));
    peer.origin.put_resource("/extras/extras", list);
    let [endless, short] = extras.map(|name| format!("/segments/extras/{name}"));
    for path in [&endless, &short] {
        peer.origin.put(path, "content", "text/plain");
    }
    let gate = Gate::new();
    let hold = Fault::stall_after(3, Hold::Until(gate.clone()));
    peer.origin.always(endless.clone(), hold);
    // One slot for each of them, in the narrowest case.
    let extra = ["--extras", "extras", "--interval", "1", "--max-rate", "10K"];
    let service = start(&node, &[&peer], &extra).await;
    let begun = |log: &Log| log.count(&endless) == 1 && log.count(&short) <= 1;
    peer.origin.wait_for(SOON, begun).await.unwrap();
    let late = peer.add(HOUR, 2, 2);
    let both = async || match names(&node, HOUR) {
        here if here == [first.clone(), late.clone()] => Ok(()),
        here => Err(format!("{here:?}")),
    };
    eventually(SOON, "what came while the extra was under way", both).await;
    assert_eq!(peer.origin.log().last(&endless).unwrap().ended, None);
    gate.open();
    let done = async || match tree(node.base_dir()) {
        all if extras
            .iter()
            .all(|it| all.contains_key(&format!("extras/{it}"))) =>
        {
            Ok(())
        }
        all => Err(format!("{:?}", all.keys())),
    };
    eventually(SOON, "the extras", done).await;
    // It was begun once, and is not cut off by a round.
    assert_eq!(peer.origin.count(&endless), 1);
    assert_eq!(service.count_log("round failed"), 0);
}
