//! A live playlist that a player polls: what a poll costs the server when nothing is new, and when a
//! segment is; of an hour and of ten.

use std::fs;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use common::segment::Hour;
use tests::content::sha256_base64;
use tests::node::Node;
use tests::raw::{self, Answer};

use super::load::cpu_time;
use crate::report::{ms, say};

const SEGMENT: TimeDelta = TimeDelta::seconds(2);

/// So many polls that find something new: fewer segments than lie between the end of what is there and
/// now.
const POLLS: usize = 200;

pub(super) async fn run() {
    say("a live playlist that is polled, gzip; the server's CPU time for each poll:");
    for minutes in [60, 600] {
        let mut node = Node::new("bench");
        let end = Utc::now() - TimeDelta::minutes(15);
        let start = end - TimeDelta::minutes(minutes);
        let mut next = start;
        while next < end {
            next = add(&node, next);
        }
        node.start_restreamer().await;
        let target = format!(
            "/playlist/test/source.m3u8?start={}",
            start.format("%Y-%m-%dT%H:%M:%S")
        );
        let begun = Instant::now();
        let first = poll(&node, &target, None).await;
        let first_took = begun.elapsed();
        assert_eq!(first.status, 200);
        let tag = first.header("etag").expect("its tag").to_owned();
        let same = cost(&node, async || {
            assert_eq!(poll(&node, &target, Some(&tag)).await.status, 304);
        });
        let same = same.await;
        let (mut at, mut known) = (next, tag);
        let new = cost(&node, async || {
            at = add(&node, at);
            let answer = poll(&node, &target, Some(&known)).await;
            assert_eq!(answer.status, 200, "a segment is new");
            answer
                .header("etag")
                .expect("its tag")
                .clone_into(&mut known);
        });
        let new = new.await;
        say(&format!(
            "  {:>4.1} h ({:.2} MB): first {:.1} ms in all, nothing new {:.3} ms (304), one segment new {:.3} ms",
            minutes as f64 / 60.0,
            first.body.len() as f64 / 1e6,
            ms(first_took),
            ms(same),
            ms(new)
        ));
    }
}

/// What one of many polls costs.
async fn cost(node: &Node, mut poll: impl AsyncFnMut()) -> Duration {
    let before = cpu(node);
    for _ in 0..POLLS {
        poll().await;
    }
    Duration::from_secs_f64((cpu(node) - before) / POLLS as f64)
}

fn cpu(node: &Node) -> f64 {
    let restreamer = node.restreamer.as_ref().expect("it was started");
    cpu_time(&restreamer.id().into_iter().collect::<Vec<_>>())
}

async fn poll(node: &Node, target: &str, known: Option<&str>) -> Answer {
    let mut headers = vec![("Accept-Encoding", "gzip")];
    headers.extend(known.map(|tag| ("If-None-Match", tag)));
    raw::request(node.restreamer_address(), "GET", target, &headers).await
}

/// Adds a segment; gives the time of the next.
fn add(node: &Node, start: DateTime<Utc>) -> DateTime<Utc> {
    let hour = node
        .base_dir()
        .join("test/source")
        .join(Hour::of(start).to_string());
    fs::create_dir_all(&hour).expect("a directory");
    let hash = sha256_base64(start.to_rfc3339().as_bytes());
    let name = format!("{}-2.0-full-{hash}.ts", start.format("%M:%S%.6f"));
    fs::File::create(hour.join(name)).expect("a segment");
    start + SEGMENT
}
