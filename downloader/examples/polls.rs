//! What a poll of a list of a day costs: read for the first time, the same again, and with one
//! new segment. `cargo run --release -p downloader --example polls`

#![expect(clippy::print_stdout, reason = "it speaks to a person")]
#![expect(clippy::unwrap_used, reason = "nothing here comes from outside")]

use std::fmt::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use downloader::playlist::Reading;
use downloader::timeline::Timeline;

/// A day of segments of 2 s.
const SEGMENTS: u64 = 43_200;

/// The sliding list that begins at this segment, with URLs as long as Twitch's.
fn list(first: u64) -> Bytes {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    let path = "x".repeat(700);
    let begin = chrono::DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    for n in first..first + SEGMENTS {
        let date = begin + TimeDelta::seconds(2 * n as i64);
        let date = date.format("%Y-%m-%dT%H:%M:%S%.3fZ");
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}\n#EXTINF:2.000,live").unwrap();
        writeln!(text, "https://video.example.net/v1/segment/{path}/{n}.ts").unwrap();
    }
    text.into()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn main() {
    let base = "https://video.example.net/v1/playlist.m3u8"
        .parse()
        .unwrap();
    let (mut first, mut same, mut slid) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..9 {
        let texts = [list(round), list(round), list(round + 1)];
        let mut timeline = Timeline::default();
        let [one, two, three] = texts;
        let bytes = one.len();

        let begun = Instant::now();
        let reading = Reading::read(None, one, &base).unwrap();
        let news = timeline.update(&reading.list, Utc::now());
        first.push(begun.elapsed());
        assert_eq!(news.wanted.len() as u64, SEGMENTS);

        let begun = Instant::now();
        let again = Reading::read(Some(&reading), two, &base).unwrap();
        let news = timeline.update_unchanged(&again.list, Utc::now());
        same.push(begun.elapsed());
        assert!(news.wanted.is_empty());

        let begun = Instant::now();
        let next = Reading::read(Some(&again), three, &base).unwrap();
        let read = begun.elapsed();
        let news = timeline.update(&next.list, Utc::now());
        slid.push(begun.elapsed());
        assert_eq!(news.wanted.len(), 1);
        if round == 0 {
            println!(
                "a list of {SEGMENTS} segments, {:.1} MB; reading it by its differences takes {read:.1?} of the last figure",
                bytes as f64 / 1e6
            );
        }
    }
    println!("the first time       {:8.2} ms", median(first));
    println!("the same again       {:8.2} ms", median(same));
    println!("one segment is new   {:8.2} ms", median(slid));
}
