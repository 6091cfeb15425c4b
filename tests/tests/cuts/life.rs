//! What is refused, and how cuts end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use tests::eventually;
use tests::node::Node;
use tests::numbered::Options;
use tests::raw;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Site, bounds, holds, range, time};

const SOON: Duration = Duration::from_secs(30);

fn short() -> Options {
    Options {
        seconds: 6.0,
        sound: false,
        ..Options::default()
    }
}

/// A program in the place of ffmpeg.
fn program(directory: &Path, script: &str) -> PathBuf {
    let path = directory.join("stand-in");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
    path
}

/// The process ids of a process's children, zombies too.
fn children(of: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{of}/task")).expect("the process");
    let lists =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

async fn no_children(node: &Node) {
    let id = node
        .restreamer
        .as_ref()
        .and_then(|process| process.id())
        .expect("it runs");
    eventually(SOON, "no ffmpeg to be left", async || {
        let children = children(id);
        children
            .is_empty()
            .then_some(())
            .ok_or(format!("{children:?}"))
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_answered_gets_its_status_and_one_line() {
    let site = Site::start(&short(), &[]).await;
    let (start, end) = (site.at(0), site.at(149) + TimeDelta::milliseconds(40));
    fs::remove_file(&site.video.segments[1].path).expect("the file");
    let cut = |query: String| format!("/cut/test/source.ts?{query}");
    let waveform = |query: String| format!("/waveform/test/source.png?{query}");
    let short_time = TimeDelta::microseconds(1);
    let late = end + TimeDelta::hours(1);
    let table: Vec<(String, u16, &str)> = vec![
        (cut(String::new()), 400, "start"),
        (cut(format!("{}&type=mp4", bounds(start, end))), 400, "mp4"),
        (cut(bounds(end, start)), 400, "end"),
        (cut(format!("{}&range=x", bounds(start, end))), 400, "range"),
        (
            cut(format!(
                "{}&{}&transition=nonsense,1",
                range(start, end),
                range(start, end)
            )),
            400,
            "nonsense",
        ),
        (
            cut(format!(
                "{}&{}&transition=fade:x=1,1",
                range(start, end),
                range(start, end)
            )),
            400,
            "transition",
        ),
        (
            cut(format!(
                "{}&{}&transition=fade,9",
                range(start, end),
                range(start, end)
            )),
            400,
            "too short",
        ),
        (cut(bounds(start, end)), 406, "allow_holes"),
        (
            cut(format!(
                "{}&allow_holes=true",
                bounds(late, late + TimeDelta::seconds(1))
            )),
            406,
            "no video",
        ),
        (
            format!("/cut/none/source.ts?{}", bounds(start, end)),
            404,
            "none/source",
        ),
        (
            format!("/cut/test/source.mp4?{}", bounds(start, end)),
            404,
            ".ts",
        ),
        (
            format!("/cut/.x/source.ts?{}", bounds(start, end)),
            403,
            "dot",
        ),
        (
            cut(format!(
                "{}&type=mpegts",
                bounds(site.at(1) + short_time, site.at(2))
            )),
            406,
            "nothing",
        ),
        (
            cut(bounds(site.at(1) + short_time, site.at(2))),
            406,
            "nothing",
        ),
        ("/frame/test/source.png".to_owned(), 400, "timestamp"),
        (
            "/frame/test/source.png?timestamp=x".to_owned(),
            400,
            "timestamp",
        ),
        (
            format!("/frame/test/source.png?timestamp={}", time(site.at(75))),
            406,
            "timestamp",
        ),
        (
            format!("/frame/test/none.png?timestamp={}", time(start)),
            404,
            "test/none",
        ),
        (waveform(bounds(start, end)), 406, "nothing usable"),
        (waveform(bounds(start, site.at(40))), 406, "no sound"),
        (
            waveform(format!("{}&size=5000x1", bounds(start, end))),
            400,
            "size",
        ),
        (
            waveform(bounds(start, start + TimeDelta::hours(7))),
            400,
            "6 hours",
        ),
    ];
    for (target, status, named) in table {
        let answer = site.node.get(&target).await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{target}: {text}");
        assert_eq!(text.find('\n'), Some(text.len() - 1), "{target}: {text:?}");
        assert!(text.contains(named), "{target}: {text}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    // What is missing is left out, and a HEAD costs nothing.
    for kind in ["rough", "fast", "smart", "mpegts"] {
        let query = format!("{}&allow_holes=true&type={kind}", bounds(start, end));
        let head = raw::request(
            site.node.restreamer_address(),
            "HEAD",
            &cut(query.clone()),
            &[],
        )
        .await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        let reading = site.looked_at(&query).await;
        holds(&reading, (0..50).chain(100..150), kind);
    }
    assert_eq!(
        site.node
            .restreamer
            .as_ref()
            .expect("it runs")
            .count_log("ERROR"),
        0
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_no_ffmpeg_and_an_operator_sees_the_rest() {
    let options = Options {
        seconds: 20.0,
        ..short()
    };
    let site = Site::start(&options, &[]).await;
    let query = format!("{}&type=webm", bounds(site.at(0), site.at(500)));
    // Waits for its first byte, then takes no more.
    let mut stream = TcpStream::connect(site.node.restreamer_address())
        .await
        .expect("a connection");
    let request = format!("GET /cut/test/source.ts?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    drop(stream);
    no_children(&site.node).await;
    let metrics = site.node.metrics().await;
    assert_eq!(metrics.sum("ffmpeg_running", &[]), 0.0);
    assert!(metrics.sum("ffmpeg_runs_total", &[("purpose", "encode")]) >= 1.0);
    assert_eq!(metrics.sum("ffmpeg_failures_total", &[]), 0.0);
    // One that goes to its end is counted as one.
    let reading = site.looked_at(&bounds(site.at(3), site.at(60))).await;
    holds(&reading, 3..60, "fast");
    let metrics = site.node.metrics().await;
    let whole = [("cut_type", "fast"), ("error", "false")];
    assert_eq!(metrics.sum("cut_latency_count", &whole), 1.0);
    let seconds = metrics.sum("cut_video_seconds_total", &[("cut_type", "fast")]);
    assert!((seconds - 57.0 * 0.04).abs() < 0.001, "{seconds}");
}

#[tokio::test]
async fn a_failure_after_the_first_byte_ends_the_connection_uncleanly() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let script = program(
        directory.path(),
        "head -c 300000 /dev/zero; echo the reason >&2; exit 7",
    );
    let script = script.to_str().expect("a path");
    let site = Site::start(&short(), &["--ffmpeg", script]).await;
    let query = format!("{}&type=mpegts", bounds(site.at(1), site.at(100)));
    let answer = site.cut(&query).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.complete);
    let restreamer = site.node.restreamer.as_ref().expect("it runs");
    restreamer.wait_for_log("the reason", SOON).await;
    let metrics = site.node.metrics().await;
    assert_eq!(
        metrics.sum("ffmpeg_failures_total", &[("purpose", "encode")]),
        1.0
    );
    let broken = [("cut_type", "mpegts"), ("error", "true")];
    assert_eq!(metrics.sum("cut_latency_count", &broken), 1.0);
    // Before the first byte there is a status for it.
    program(directory.path(), "exit 7");
    assert_eq!(site.cut(&query).await.status, 500);
    let frame = format!("/frame/test/source.png?timestamp={}", time(site.at(5)));
    assert_eq!(site.node.get(&frame).await.status, 500);
    // Without ffmpeg, too, and the text names what is missing.
    fs::remove_file(directory.path().join("stand-in")).expect("the file");
    let missing = site.cut(&query).await;
    assert_eq!(missing.status, 503);
    assert!(missing.text().contains("stand-in"), "{}", missing.text());
    // What needs no ffmpeg does without.
    let copied = format!("{}&type=fast", bounds(site.at(0), site.at(100)));
    let reading = site.looked_at(&copied).await;
    holds(&reading, 0..100, "without ffmpeg");
    no_children(&site.node).await;
}

#[tokio::test]
async fn past_a_limit_requests_are_refused_at_once() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let script = program(
        directory.path(),
        "case $* in *xfade*) exit;; esac; echo started; exec sleep 60",
    );
    let script = script.to_str().expect("a path");
    let arguments = [
        "--ffmpeg",
        script,
        "--ffmpeg-processes",
        "1",
        "--ffmpeg-queue",
        "0",
    ];
    let site = Site::start(&short(), &arguments).await;
    let query = format!("{}&type=mpegts", bounds(site.at(1), site.at(100)));
    let mut stream = TcpStream::connect(site.node.restreamer_address())
        .await
        .expect("a connection");
    let request = format!("GET /cut/test/source.ts?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    stream.read_u8().await.expect("an answer");
    let refused = site.cut(&query).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    // Files are as good as ever.
    let rough = site
        .cut(&format!("{}&type=rough", bounds(site.at(1), site.at(100))))
        .await;
    assert!(rough.status == 200 && rough.complete);
    drop(stream);
    no_children(&site.node).await;
}

#[tokio::test]
async fn a_range_that_is_being_recorded_is_there_as_far_as_it_is() {
    let site = Site::start(&short(), &[]).await;
    let last = site.video.segments[2].path.clone();
    let content = fs::read(&last).expect("the file");
    // Being written: nobody sees it.
    let temp = last.with_file_name("00:04.000000-2.0-temp-6fa459ea-ee8a-3ca4-894e-db77e160355e.ts");
    fs::rename(&last, &temp).expect("a rename");
    let query = bounds(site.at(30), site.at(120));
    assert_eq!(site.cut(&query).await.status, 406);
    let reading = site
        .looked_at(&format!("{query}&allow_holes=true&type=smart"))
        .await;
    holds(&reading, 30..100, "so far");
    fs::remove_file(&temp).expect("a file");
    fs::write(&last, &content).expect("a file");
    let reading = site.looked_at(&format!("{query}&type=smart")).await;
    holds(&reading, 30..120, "all");
    // Cut short: used where holes are allowed.
    let partial = last
        .to_str()
        .expect("a path")
        .replace("-full-", "-partial-");
    fs::rename(&last, &partial).expect("a rename");
    fs::write(&partial, &content[..content.len() / 2 + 50]).expect("a file");
    assert_eq!(site.cut(&query).await.status, 406);
    for kind in ["smart", "mpegts", "rough"] {
        let cut = site
            .cut(&format!("{query}&allow_holes=true&type={kind}"))
            .await;
        assert!(cut.status == 200 && cut.complete, "{kind}");
        let reading = tests::numbered::look(&cut.body).await;
        let mut numbers: Vec<u32> = reading.numbers.iter().flatten().copied().collect();
        if kind == "rough" {
            // The last one may be half a picture.
            numbers.truncate(numbers.len() - 3);
        }
        let first = if kind == "rough" { 0 } else { 30 };
        let known: Vec<u32> = (first..first + numbers.len() as u32).collect();
        assert!(
            numbers.len() > 75 && numbers == known,
            "{kind}: {numbers:?}"
        );
    }
}
