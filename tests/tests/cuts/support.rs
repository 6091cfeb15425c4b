//! A node with numbered video, and what it makes of it.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use tests::node::Node;
use tests::numbered::{self, Numbered, Options, Reading};
use tests::raw::{self, Answer};

/// A node that serves one stretch of numbered video as `test/source`.
pub(crate) struct Site {
    pub(crate) node: Node,
    pub(crate) video: Numbered,
}

impl Site {
    /// With video made by these options, and these of the restreamer.
    pub(crate) async fn start(options: &Options, arguments: &[&str]) -> Site {
        let mut node = Node::new("cuts");
        let video = numbered::make(&node.base_dir().join("test/source"), options).await;
        let quiet = ["--log", "info,restreamer::ffmpeg=debug"];
        node.start_restreamer_with(&[&quiet[..], arguments].concat())
            .await;
        Site { node, video }
    }

    /// The instant at which a picture is shown.
    pub(crate) fn at(&self, number: u32) -> DateTime<Utc> {
        self.video.instant(number)
    }

    /// Asks for a cut.
    pub(crate) async fn cut(&self, query: &str) -> Answer {
        let target = format!("/cut/test/source.ts?{query}");
        raw::get(self.node.restreamer_address(), &target).await
    }

    /// Asks for a cut and looks at what comes.
    pub(crate) async fn looked_at(&self, query: &str) -> Reading {
        let answer = self.cut(query).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert!(answer.complete, "{query}: {:?}", self.log());
        numbered::look(&answer.body).await
    }

    /// What the restreamer has said.
    pub(crate) fn log(&self) -> Vec<String> {
        self.node.restreamer.as_ref().expect("it runs").log()
    }
}

/// A time as a parameter.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

/// `start=…&end=…`.
pub(crate) fn bounds(start: DateTime<Utc>, end: DateTime<Utc>) -> String {
    format!("start={}&end={}", time(start), time(end))
}

/// `range=…`.
pub(crate) fn range(start: DateTime<Utc>, end: DateTime<Utc>) -> String {
    format!("range={},{}", time(start), time(end))
}

/// A moment before.
pub(crate) fn before(time: DateTime<Utc>) -> DateTime<Utc> {
    time - TimeDelta::microseconds(1)
}

/// Holds what was cut to be these pictures, one after the other, with sound that belongs to them.
pub(crate) fn holds(reading: &Reading, expected: impl Iterator<Item = u32>, what: &str) {
    let numbers: Vec<u32> = reading.numbers.iter().flatten().copied().collect();
    let expected: Vec<u32> = expected.collect();
    assert_eq!(
        numbers.len(),
        reading.numbers.len(),
        "{what}: damaged: {reading:?}"
    );
    assert_eq!(numbers, expected, "{what}");
    if let Some(off) = reading.sound_off() {
        assert!(off.abs() < 0.04, "{what}: the sound is off by {off} s");
    }
}

/// Numbers of pictures.
pub(crate) fn pictures(ranges: &[Range<u32>]) -> impl Iterator<Item = u32> {
    ranges.iter().cloned().flatten()
}
