//! `/files…` and `/extras/…`.

use std::os::unix::fs::symlink;

use crate::support::{Api, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_level_is_listed() {
    let (full, partial) = (
        name("00:00.000000-2.0-full"),
        name("00:02.000000-2.0-partial"),
    );
    let buried = name("00:04.000000-2.0-full");
    let tombstone = buried.replace(".ts", ".tombstone");
    let hour = "c/source/2026-01-02T03";
    let api = Api::new(&[
        &format!("{hour}/{full}"),
        &format!("{hour}/{partial}"),
        &format!("{hour}/{buried}"),
        &format!("{hour}/{tombstone}"),
        &format!("{hour}/.hidden.ts"),
        &format!("{hour}/notes.txt"),
        "c/source/2026-01-02T01/",
        "c/source/not-an-hour/x.ts",
        "c/chat/2026-01-02T03/00:00.000000-abc.json",
        "with space/",
        ".hidden/",
        "file",
    ]);
    // (target, names)
    let table: [(&str, &[&str]); 14] = [
        ("/files", &["c", "with space"]),
        ("/files/", &["c", "with space"]),
        ("/files/c", &["chat", "source"]),
        ("/files/with%20space", &[]),
        ("/files/c/source", &["2026-01-02T01", "2026-01-02T03"]),
        ("/files/c%2fsource", &["2026-01-02T01", "2026-01-02T03"]),
        ("/files/c/source/2026-01-02T03", &[&full, &partial]),
        (
            "/files/c/source/2026-01-02T03?tombstones=false",
            &[&full, &partial],
        ),
        (
            "/files/c/source/2026-01-02T03?tombstones=true",
            &[&full, &partial, &tombstone],
        ),
        ("/files/c/chat/2026-01-02T03", &["00:00.000000-abc.json"]),
        // Nothing exists there.
        ("/files/none", &[]),
        ("/files/c/none", &[]),
        ("/files/c/source/2026-01-02T09", &[]),
        ("/files/c/source/not-an-hour", &[]),
    ];
    for (target, names) in table {
        assert_eq!(api.get(target).await.names(), names, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_get_listings_compressed_and_only_if_they_changed() {
    let hour = "c/source/2026-01-02T03";
    let api = Api::new(&[]);
    let add = |second: usize| {
        let (minute, second) = (second / 60, second % 60);
        let name = name(&format!("{minute:02}:{second:02}.000000-2.0-full"));
        api.write(&format!("{hour}/{name}"), b"x");
    };
    (0..100).for_each(add);
    let target = format!("/files/{hour}?tombstones=true");
    let gzip = ("accept-encoding", "gzip");
    let mut seen = Vec::new();
    for count in 100..110 {
        for headers in [&[][..], &[gzip]] {
            let answer = api.request("GET", &target, headers).await;
            assert_eq!(answer.names().len(), count);
            assert_eq!(answer.header("vary"), Some("accept-encoding"));
            let is_packed = answer.header("content-encoding").is_some();
            assert_eq!(is_packed, !headers.is_empty());
            assert_eq!(is_packed, answer.body.len() < 4000, "{}", answer.body.len());
            let tag = answer.header("etag").unwrap().to_owned();
            let mut known = headers.to_vec();
            known.push(("if-none-match", &tag));
            let again = api.request("GET", &target, &known).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
            assert_eq!(again.header("etag"), Some(tag.as_str()));
            assert!(!seen.contains(&tag), "{tag}");
            seen.push(tag);
        }
        add(count);
    }
    // Not worth it.
    let answer = api.request("GET", "/files", &[gzip]).await;
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.names(), ["c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_directory_that_is_not_there_has_nothing() {
    let api = Api::new(&[]);
    std::fs::remove_dir(api.path("")).unwrap();
    assert!(api.get("/files").await.names().is_empty());
    std::fs::create_dir(api.path("")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extras_are_listed_to_any_depth() {
    let api = Api::new(&["x/a.txt", "x/b/c d.png", "x/b/.h", "x/.h/e", "x/empty/"]);
    assert_eq!(api.get("/extras/x").await.names(), ["a.txt", "b/c d.png"]);
    assert_eq!(api.get("/extras/x/b").await.names(), ["c d.png"]);
    let long = format!("/extras/{}", "x/".repeat(4000));
    for nothing in [
        "/extras/none",
        "/extras/x/empty",
        "/extras/x/a.txt",
        &long[..8001],
    ] {
        assert!(api.get(nothing).await.names().is_empty(), "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_may_be_a_link_to_another_disk() {
    let api = Api::new(&[]);
    let file = format!("source/2026-01-02T03/{}", name("00:00.000000-2.0-full"));
    let elsewhere = Api::new(&[&file]);
    symlink(elsewhere.path(""), api.path("c")).unwrap();
    assert_eq!(api.get("/files").await.names(), ["c"]);
    assert_eq!(api.get("/files/c/source").await.names(), ["2026-01-02T03"]);
    assert_eq!(api.get(&format!("/segments/c/{file}")).await.text(), file);
    let playlist = api.get("/playlist/c/source.m3u8").await;
    assert!(playlist.text().contains("#EXTINF"), "{playlist:?}");
}
