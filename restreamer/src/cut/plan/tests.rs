use super::*;
use crate::ffmpeg::Transition;
use common::segment::Hour;

const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

/// Seconds after three o'clock; three decimals at most.
fn at(seconds: f64) -> DateTime<Utc> {
    let hour: Hour = "2026-01-02T03".parse().unwrap();
    hour.start() + TimeDelta::milliseconds((seconds * 1e3).round() as i64)
}

/// Segments from `START-DURATION[-TYPE]` in seconds.
fn segments(texts: &str) -> Vec<Segment> {
    let read = |text: &str| {
        let mut fields = text.split('-');
        let start: f64 = fields.next().unwrap().parse().unwrap();
        let duration = fields.next().unwrap();
        let kind = fields.next().unwrap_or("full");
        let start = at(start);
        let name = start.format("%M:%S%.6f").to_string();
        let name = format!("{name}-{duration}-{kind}-{HASH}.ts");
        Segment::parse(Hour::of(start), &name).unwrap()
    };
    texts.split_whitespace().map(read).collect()
}

/// `START-END` in seconds.
fn request(kind: CutType, ranges: &[(f64, f64)], fades: &[f64], allow_holes: bool) -> CutRequest {
    let ranges = ranges.iter().map(|&(start, end)| TimeRange {
        start: at(start),
        end: at(end),
    });
    let fades = fades.iter().map(|&seconds| {
        (seconds > 0.0).then(|| Fade {
            transition: Transition::of("fade"),
            length: TimeDelta::milliseconds((seconds * 1e3).round() as i64),
        })
    });
    CutRequest {
        kind,
        ranges: ranges.collect(),
        fades: fades.collect(),
        allow_holes,
    }
}

/// A source, a stretch, a part as a short text.
fn source(source: &Source) -> String {
    (source.segment.start() - at(0.0))
        .as_seconds_f64()
        .to_string()
}

fn sources(sources: &[Source]) -> String {
    let texts: Vec<String> = sources.iter().map(source).collect();
    texts.join(" ")
}

fn stretch(stretch: &Stretch) -> String {
    let second = |time: DateTime<Utc>| (time - at(0.0)).as_seconds_f64();
    let after = stretch
        .after
        .as_ref()
        .map_or(String::new(), |after| format!(")({}", source(after)));
    format!(
        "{}..{}:({}){}({})",
        second(stretch.from),
        second(stretch.until),
        sources(&stretch.before),
        sources(&stretch.sources),
        after.trim_start_matches(")(")
    )
}

fn stretches(all: &[Stretch]) -> String {
    let texts: Vec<String> = all.iter().map(stretch).collect();
    texts.join(" | ")
}

fn planned(request: &CutRequest, best: &str) -> Result<Vec<String>, String> {
    let best = segments(best);
    let best: Vec<&Segment> = best.iter().collect();
    let covered: Vec<Covered> = request
        .ranges
        .iter()
        .map(|range| Covered::of(*range, &best, |_| PathBuf::new()))
        .collect();
    let plan = plan(request, &covered).map_err(|error| error.to_string())?;
    let parts = plan.parts.iter().map(|part| match part {
        Part::Copy(files) => format!("copy {}", sources(files)),
        Part::Exact(parts) => format!("exact {}", stretches(parts)),
        Part::CrossFade { from, to, fade } => format!(
            "fade {} {} -> {}",
            fade.transition.as_str(),
            stretches(from),
            stretches(to)
        ),
        Part::Encode(clips) => {
            let clips: Vec<String> = clips
                .iter()
                .map(|clip| {
                    format!(
                        "{} fade {}",
                        stretches(&clip.stretches),
                        clip.fade.is_some()
                    )
                })
                .collect();
            format!("encode {}", clips.join(" + "))
        }
    });
    Ok(parts.collect())
}

const WHOLE: &str = "0-2.0 2-2.0 4-2.0 6-2.0 8-2.0";
const WITH_HOLE: &str = "0-2.0 2-2.0 6-2.0 8-2.0";

#[test]
fn plans() {
    use CutType::{Fast, MpegTs, Rough, Smart};
    type Row<'a> = (
        CutType,
        &'a [(f64, f64)],
        &'a [f64],
        bool,
        &'a str,
        &'a [&'a str],
    );
    let table: [Row<'_>; 14] = [
        (Rough, &[(3.0, 5.0)], &[], false, WHOLE, &["copy 2 4"]),
        (Rough, &[(4.0, 6.0)], &[], false, WHOLE, &["copy 4"]),
        // In the order given, and what is asked for twice is there twice.
        (
            Rough,
            &[(5.0, 6.0), (0.0, 5.0)],
            &[0.0],
            false,
            WHOLE,
            &["copy 4 0 2 4"],
        ),
        (Rough, &[(1.0, 7.0)], &[], true, WITH_HOLE, &["copy 0 2 6"]),
        (
            Fast,
            &[(3.0, 5.0)],
            &[],
            false,
            WHOLE,
            &["exact 3..5:(0)2 4(6)"],
        ),
        (
            Fast,
            &[(0.0, 10.0)],
            &[],
            false,
            WHOLE,
            &["exact 0..10:()0 2 4 6 8()"],
        ),
        // One picture long.
        (
            Fast,
            &[(4.0, 4.04)],
            &[],
            false,
            WHOLE,
            &["exact 4..4.04:(0 2)4(6)"],
        ),
        // A hole divides a range.
        (
            Smart,
            &[(1.0, 7.0)],
            &[],
            true,
            WITH_HOLE,
            &["exact 1..7:()0 2() | 1..7:()6(8)"],
        ),
        // What follows a doubtful segment is another stretch.
        (
            Smart,
            &[(0.0, 4.0)],
            &[],
            true,
            "0-2.0-partial 2-2.0",
            &["exact 0..4:()0() | 0..4:()2()"],
        ),
        (
            Fast,
            &[(5.0, 6.0), (1.0, 5.0)],
            &[0.0],
            false,
            WHOLE,
            &["exact 5..6:(0 2)4(6)", "exact 1..5:()0 2 4(6)"],
        ),
        // A transition takes its time from both.
        (
            Fast,
            &[(0.0, 4.0), (6.0, 10.0)],
            &[1.0],
            false,
            WHOLE,
            &[
                "exact 0..3:()0 2(4)",
                "fade fade 3..4:(0)2(4) -> 6..7:(0 2 4)6(8)",
                "exact 7..10:(0 2 4)6 8()",
            ],
        ),
        // All of a range may be transitions.
        (
            Smart,
            &[(0.0, 4.0), (4.0, 6.0), (6.0, 8.0)],
            &[1.0, 1.0],
            false,
            WHOLE,
            &[
                "exact 0..3:()0 2(4)",
                "fade fade 3..4:(0)2(4) -> 4..5:(0 2)4(6)",
                "fade fade 5..6:(0 2)4(6) -> 6..7:(0 2 4)6(8)",
                "exact 7..8:(0 2 4)6(8)",
            ],
        ),
        (
            MpegTs,
            &[(0.0, 4.0), (5.0, 9.0)],
            &[1.0],
            false,
            WHOLE,
            &["encode 0..4:()0 2(4) fade true + 5..9:(0 2)4 6 8() fade false"],
        ),
        // Segments may overlap or lie apart a little.
        (
            Fast,
            &[(0.5, 3.0)],
            &[],
            false,
            "0-2.0 1.995-2.0 4-2.0",
            &["exact 0.5..3:()0 1.995(4)"],
        ),
    ];
    for (kind, ranges, fades, allow_holes, best, expected) in table {
        let request = request(kind, ranges, fades, allow_holes);
        let plan = planned(&request, best).unwrap();
        assert_eq!(plan, expected, "{kind} {ranges:?} {fades:?}");
    }
}

#[test]
fn what_cannot_be_planned() {
    type Row<'a> = (
        CutType,
        &'a [(f64, f64)],
        &'a [f64],
        bool,
        &'a str,
        &'a [&'a str],
    );
    use CutType::{Fast, MpegTs, Rough};
    let table: [Row<'_>; 9] = [
        (
            Rough,
            &[(1.0, 7.0)],
            &[],
            false,
            WITH_HOLE,
            &["range 1", "03:00:04.000000Z to", "allow_holes"],
        ),
        (
            Fast,
            &[(0.0, 2.0), (1.0, 7.0)],
            &[0.0],
            false,
            WITH_HOLE,
            &["range 2", "03:00:04.000000Z to"],
        ),
        (
            Fast,
            &[(8.0, 11.0)],
            &[],
            false,
            WHOLE,
            &["range 1", "03:00:10.000000Z to 2026-01-02T03:00:11"],
        ),
        (
            Fast,
            &[(20.0, 21.0)],
            &[],
            true,
            WHOLE,
            &["range 1", "no video", "03:00:20"],
        ),
        (
            Rough,
            &[(0.0, 1.0)],
            &[],
            false,
            "0-2.0-suspect",
            &["range 1"],
        ),
        (
            Fast,
            &[(0.0, 1.0), (2.0, 4.0)],
            &[1.5],
            false,
            WHOLE,
            &["range 1 is too short (1 s)", "transition 1 (fade) (1.5 s)"],
        ),
        (
            Fast,
            &[(0.0, 4.0), (4.0, 6.0), (6.0, 9.0)],
            &[1.5, 0.75],
            false,
            WHOLE,
            &[
                "range 2 is too short (2 s)",
                "transition 1 (fade) and transition 2 (fade) (2.25 s)",
            ],
        ),
        (
            MpegTs,
            &[(0.0, 4.0), (4.0, 5.0)],
            &[1.001],
            false,
            WHOLE,
            &["range 2", "transition 1"],
        ),
        (
            Fast,
            &[(0.0, 2.0), (3.0, 8.0)],
            &[1.0],
            true,
            "0-2.0 6-2.0",
            &["range 2", "no video"],
        ),
    ];
    for (kind, ranges, fades, allow_holes, best, parts) in table {
        let request = request(kind, ranges, fades, allow_holes);
        let error = planned(&request, best).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{kind} {ranges:?}: {error}");
        }
    }
}
