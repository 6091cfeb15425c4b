//! Tables and properties of names: what is read, what is written, what is refused.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;

const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
const UUID: &str = "0c5d81c6-79a5-4d6b-8df4-3a8a8e5b5e0f";

fn hour() -> Hour {
    "2026-01-02T03".parse().unwrap()
}

fn parse(stem: &str) -> Result<Segment, SegmentNameError> {
    Segment::parse(hour(), &format!("{stem}.ts"))
}

#[test]
fn reads_every_form_and_displays_the_name_as_it_was_found() {
    // (name without hash, microseconds into the hour, duration in µs)
    let table = [
        ("00:00.000000-2.0", 0, 2_000_000),
        ("59:59.999999-2.0", 3_599_999_999, 2_000_000),
        ("04:05.678-1.967", 245_678_000, 1_967_000),
        ("04:05.6-1.967", 245_600_000, 1_967_000),
        ("04:05.-2", 245_000_000, 2_000_000),
        ("04:05-2", 245_000_000, 2_000_000),
        ("04:05.678901-2.000", 245_678_901, 2_000_000),
        ("04:05.678901-2.0021234567", 245_678_901, 2_002_123),
        ("04:05.678901-0.0", 245_678_901, 0),
        ("04:05.678901-.5", 245_678_901, 500_000),
        ("04:05.678901-5.", 245_678_901, 5_000_000),
        ("04:05.678901-007.0", 245_678_901, 7_000_000),
        (
            "04:05.678901-2.00000000000000000000001",
            245_678_901,
            2_000_000,
        ),
    ];
    for (stem, offset, duration) in table {
        for kind in ["full", "suspect", "partial", "temp"] {
            let hash = if kind == "temp" { UUID } else { HASH };
            let segment = parse(&format!("{stem}-{kind}-{hash}")).expect(stem);
            assert_eq!(segment.to_string(), format!("{stem}-{kind}-{hash}.ts"));
            assert_eq!(segment.kind().as_str(), kind);
            assert_eq!(
                segment.start() - hour().start(),
                TimeDelta::microseconds(offset)
            );
            assert_eq!(
                segment.end() - segment.start(),
                TimeDelta::microseconds(duration)
            );
            assert_eq!(segment.hash().is_none(), kind == "temp");
        }
    }
}

#[test]
fn keeps_a_name_of_its_own_only_where_it_would_write_another() {
    for (stem, kept) in [
        ("04:05.678000-2.0", false),
        ("04:05.678000-0.0", false),
        ("04:05.678000-2.0021234567", false),
        ("04:05.678000-123456789012345.5", false),
        ("04:05.678-2.0", true),
        ("04:05.678000-2", true),
        ("04:05.678000-2.00", true),
        ("04:05.678000-02.0", true),
        ("04:05.678000-.5", true),
        ("04:05.678000-2.00000000000000000001", true),
    ] {
        let segment = parse(&format!("{stem}-full-{HASH}")).unwrap();
        assert_eq!(segment.found_as.is_some(), kept, "{stem}");
    }
}

#[test]
fn refuses_what_is_no_segment_and_says_which_part() {
    use SegmentNameError as E;
    let full = |stem: &str| format!("{stem}-full-{HASH}.ts");
    let table = [
        (String::new(), E::Extension),
        (format!("04:05.678-2.0-full-{HASH}.mp4"), E::Extension),
        (
            format!("04:05.678-2.0-full-{HASH}.ts.tombstone"),
            E::Extension,
        ),
        ("04:05.678-2.0-full.ts".into(), E::Parts),
        (full("60:05.678-2.0"), E::Time),
        (full("04:60.678-2.0"), E::Time),
        (full("4:05.678-2.0"), E::Time),
        (full("04.05.678-2.0"), E::Time),
        (full("04:05,678-2.0"), E::Time),
        (full("04:05.6789012-2.0"), E::Time),
        (full("04:05.67x-2.0"), E::Time),
        (full("04:05.678-inf"), E::Duration),
        (full("04:05.678-NaN"), E::Duration),
        (full("04:05.678-1e3"), E::Duration),
        (full("04:05.678-+2.0"), E::Duration),
        (full("04:05.678-2.0.0"), E::Duration),
        (full("04:05.678-."), E::Duration),
        (full("04:05.678-"), E::Duration),
        (full(&format!("04:05.678-{}", "9".repeat(400))), E::Duration),
        (format!("04:05.678-2.0-done-{HASH}.ts"), E::Type),
        (format!("04:05.678--2.0-full-{HASH}.ts"), E::Duration),
        (format!("04:05.678-2.0-FULL-{HASH}.ts"), E::Type),
        (format!("04:05.678-2.0-full-{}.ts", &HASH[1..]), E::Hash),
        (format!("04:05.678-2.0-full-{HASH}=.ts"), E::Hash),
        (
            format!("04:05.678-2.0-full-{}.ts", HASH.replace('_', "/")),
            E::Hash,
        ),
        // The last character's two spare bits are not zero: no encoder writes this.
        (format!("04:05.678-2.0-full-{}V.ts", &HASH[..42]), E::Hash),
        (format!("04:05.678-2.0-full-{UUID}.ts"), E::Hash),
        (format!("04:05.678-2.0-temp-{HASH}.ts"), E::Hash),
        (
            format!("04:05.678-2.0-temp-{}.ts", UUID.to_uppercase()),
            E::Hash,
        ),
    ];
    for (name, error) in table {
        assert_eq!(Segment::parse(hour(), &name).err(), Some(error), "{name:?}");
    }
}

#[test]
fn a_huge_duration_ends_at_the_end_of_time_and_harms_nothing() {
    let segment = parse(&format!("04:05.678000-{}.0-full-{HASH}", "9".repeat(300))).unwrap();
    assert!(segment.end() > segment.start());
    assert_eq!(segment.end_micros(), i64::MAX);
}

#[test]
fn writes_durations_as_the_spec_says() {
    for (seconds, text) in [
        (2.0, "2.0"),
        (1.967, "1.967"),
        (2.002_123_456_7, "2.0021234567"),
        (0.0, "0.0"),
        (-0.0, "0.0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-7, "0.0000001"),
        (1e21, "1000000000000000000000.0"),
    ] {
        assert_eq!(
            SegmentDuration::from_secs(seconds).unwrap().to_string(),
            text
        );
    }
    for seconds in [-1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(SegmentDuration::from_secs(seconds), None);
    }
}

#[test]
fn a_path_has_four_visible_parts() {
    let name = format!("04:05.678000-2.0-full-{HASH}.ts");
    let path = format!("desertbus/source/2026-01-02T03/{name}");
    let parsed: SegmentPath = path.parse().unwrap();
    assert_eq!(parsed.to_string(), path);
    assert_eq!(parsed.channel.as_str(), "desertbus");
    assert_eq!(parsed.segment.hour(), hour());
    for bad in [
        format!("source/2026-01-02T03/{name}"),
        format!("/source/2026-01-02T03/{name}"),
        format!("../source/2026-01-02T03/{name}"),
        format!("a/.b/2026-01-02T03/{name}"),
        format!("a/b/2026-01-02T03/c/{name}"),
        format!("a/b/2026-01-02T99/{name}"),
    ] {
        assert!(bad.parse::<SegmentPath>().is_err(), "{bad}");
    }
}

fn any_start() -> impl Strategy<Value = DateTime<Utc>> {
    // Year 1 to year 9999, to the microsecond.
    (-62_135_596_800_000_000_i64..253_402_300_800_000_000)
        .prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(
        start in any_start(),
        seconds in prop_oneof![0.0..20.0_f64, 0.0..1e300_f64],
        hash: [u8; 32],
        uuid: u128,
        kind in prop_oneof![
            Just(FinalType::Full), Just(FinalType::Suspect), Just(FinalType::Partial)],
    ) {
        let duration = SegmentDuration::from_secs(seconds).unwrap();
        let made = Segment::new(start, duration, kind, SegmentHash::from_bytes(hash));
        let temp = Segment::temp(start, duration, Uuid::from_u128(uuid));
        for segment in [made, temp] {
            let name = segment.to_string();
            let read = Segment::parse(segment.hour(), &name).unwrap();
            prop_assert_eq!(&read, &segment);
            prop_assert_eq!(read.to_string(), name);
            prop_assert_eq!(read.start(), start);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), odd in "[0-9:.a-z-]{0,80}\\.ts") {
        let _ = Segment::parse(hour(), &text);
        let _ = text.parse::<SegmentPath>();
        if let Ok(segment) = Segment::parse(hour(), &odd) {
            prop_assert_eq!(segment.to_string(), odd);
        }
    }
}
