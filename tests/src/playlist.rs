//! What a media playlist of a restreamer says, in the numbers that tests and the demo look at.

use chrono::{DateTime, TimeDelta, Utc};

/// The numbers of a media playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Segments.
    pub segments: usize,
    /// The sum of their durations.
    pub seconds: f64,
    /// `EXT-X-DISCONTINUITY` tags: holes inside.
    pub holes: usize,
    /// True iff it claims to be complete.
    pub ended: bool,
    /// The first segment's start and the last one's end, in ISO 8601, as parameters take them.
    pub range: Option<(String, String)>,
}

impl Summary {
    /// Reads the text of a playlist.
    ///
    /// # Panics
    /// If a duration is no number or a date no date.
    #[must_use]
    pub fn read(text: &str) -> Summary {
        let mut summary = Summary::default();
        let (mut first, mut last): (Option<DateTime<Utc>>, _) = (None, None);
        for line in text.lines() {
            if let Some(value) = line.strip_prefix("#EXTINF:") {
                let seconds = value.split(',').next().unwrap_or_default();
                summary.segments += 1;
                summary.seconds += seconds.parse::<f64>().expect("a duration");
                let micros = (seconds.parse::<f64>().expect("a duration") * 1e6) as i64;
                last = last.map(|start| start + TimeDelta::microseconds(micros));
            } else if let Some(date) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
                let date: DateTime<Utc> = date.parse().expect("a date");
                first = first.or(Some(date));
                last = Some(date);
            } else if line == "#EXT-X-DISCONTINUITY" {
                summary.holes += 1;
            } else if line == "#EXT-X-ENDLIST" {
                summary.ended = true;
            }
        }
        let shown = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
        summary.range = first.zip(last).map(|(f, l)| (shown(f), shown(l)));
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_playlist() {
        let text = "#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:00:00.500000Z\n\
            #EXTINF:2.000,live\n/a\n#EXT-X-DISCONTINUITY\n\
            #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:00:10.000000Z\n#EXTINF:1.500,live\n/b\n";
        let summary = Summary::read(text);
        assert_eq!(
            (summary.segments, summary.holes, summary.ended),
            (2, 1, false)
        );
        assert!((summary.seconds - 3.5).abs() < 1e-9);
        let range = (
            "2026-01-02T03:00:00.500000".to_owned(),
            "2026-01-02T03:00:11.500000".to_owned(),
        );
        assert_eq!(summary.range, Some(range));
        assert_eq!(Summary::read("#EXTM3U\n#EXT-X-ENDLIST\n").range, None);
    }
}
